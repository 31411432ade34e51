//! Name queries, and the faults that rules inject into them (`lonet names`).

use super::Daemon;
use crate::daemon::dns::{QUERY_DELAY, StateAnswer};
use crate::daemon::state::{Sender, StateReply};
use lonet_core::control::{self, AnyOp, Op, Reply, Requester};
use lonet_core::table::rules::NameFault;
use nix::errno::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// A delayed query, and the client that waits for the reply.
pub struct DelayedQuery {
    pub fd: OwnedFd,
    pub peer: Sender,
    pub bytes: Vec<u8>,
}

#[derive(Default)]
pub struct DelayedQueries(VecDeque<(Instant, DelayedQuery)>);

/// How many queries may wait, each with a descriptor of lonetd's; more fail at once.
const MOST: usize = 256;

impl DelayedQueries {
    pub fn has_room(&self) -> bool {
        self.0.len() < MOST
    }

    pub fn put(&mut self, fd: OwnedFd, peer: Sender, bytes: &[u8]) {
        self.0.push_back((Instant::now() + QUERY_DELAY, DelayedQuery { fd, peer, bytes: bytes.to_owned() }));
    }

    /// The time when the next query is due.
    pub fn until(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }

    /// Takes the queries that are due.
    pub fn due(&mut self) -> Vec<DelayedQuery> {
        let now = Instant::now();
        let n = self.0.iter().take_while(|(at, _)| *at <= now).count();
        self.0.drain(..n).map(|(_, late)| late).collect()
    }
}

/// The error of a query that fails at once.
fn refusal(fault: NameFault) -> (Errno, &'static str) {
    let errno = match fault {
        NameFault::Unknown => Errno::ENOENT,
        NameFault::Fail | NameFault::Slow => Errno::EAGAIN,
    };
    (errno, "a rule for faults (lonet faults)")
}

impl Daemon {
    /// Handles the query of a hooked program. `bytes`: the whole message.
    pub(super) fn handle_name_query(
        &mut self,
        fd: OwnedFd,
        peer: Sender,
        (requester, name, op): (&Requester<'_>, &[u8], Op<'_>),
        bytes: &[u8],
    ) {
        match self.state.name_fault(peer, requester, name) {
            None => self.answer(fd, peer, (requester, op)),
            Some(NameFault::Slow) if self.delayed_queries.has_room() => {
                self.delayed_queries.put(fd, peer, bytes)
            }
            Some(fault) => {
                let (errno, text) = refusal(fault);
                self.reply(&fd, &Reply::Error { errno: errno as i32, text });
            }
        }
    }

    /// Answers the delayed queries that are due.
    pub(super) fn answer_delayed_queries(&mut self) {
        for DelayedQuery { fd, peer, bytes } in self.delayed_queries.due() {
            if let Ok((requester, AnyOp::Op(op))) = control::read_request(&bytes) {
                self.answer(fd, peer, (&requester, op));
            }
        }
    }

    /// Handles DNS queries, and the replies of the machine's name servers.
    pub(super) fn handle_dns(&mut self) {
        self.verify_hosts(|state| !state.unverified().is_empty());
        let Daemon { dns, state, kernel, .. } = self;
        dns.take(&mut |querier, op, is_late| {
            let fault = match op {
                Op::Resolve { name, .. } if !is_late => {
                    state.name_fault(querier.sender, &querier.requester(), name)
                }
                _ => None,
            };
            match fault {
                Some(NameFault::Slow) => StateAnswer::Later,
                Some(fault) => {
                    let (errno, text) = refusal(fault);
                    StateAnswer::Now(StateReply::Refuse(errno, text.into()))
                }
                None => StateAnswer::Now(state.handle(kernel, querier.sender, &querier.requester(), op)),
            }
        });
        self.commit();
    }
}
