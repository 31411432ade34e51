//! The network's rows in registry.db, and the messages that wait for its replies.
//!
//! A host is announced when it comes up and withdrawn when it goes down. Before a host comes up that a
//! program names (LONET_HOST), registry.db is asked whether another subnetwork has it; before a name is used
//! that is no running host's of this subnetwork, registry.db is asked where the host is. Both have time
//! limits: a host that is up stays up even if registry.db is locked.

use super::Foreign;
use crate::daemon::registry::{Request, Response, ResponseBody, Row, Verdict};
use crate::daemon::state::{Index, RegistryQuery, State, cannot_tell};
use lonet_core::control::{self, AnyOp, Op};
use nix::errno::Errno;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a host that comes up waits for the reply that no other subnetwork has its name.
const CLAIM_FOR: Duration = Duration::from_secs(1);

/// How long a look-up waits: longer than the registry tries, and shorter than a program waits for lonetd.
const FIND_FOR: Duration = Duration::from_millis(3500);

/// A message that waits for registry.db.
pub struct Parked {
    pub fd: OwnedFd,
    pub bytes: Vec<u8>,
    pub claimed: bool,
    pub found: bool,
    ticket: u64,
    query: RegistryQuery,
    until: Instant,
}

/// What happens to a message after it has waited.
pub enum Resume {
    Take(Parked),
    Refuse(Parked, Errno, String),
    /// A listing of the network was requested, and can be made.
    List(OwnedFd),
}

#[derive(Default)]
pub struct Names {
    announced: HashMap<Index, String>,
    /// The tickets of announcements without a reply so far.
    announcing: HashMap<Index, u64>,
    parked: Vec<Parked>,
    lists: HashMap<u64, OwnedFd>,
}

impl Names {
    pub fn is_idle(&self) -> bool {
        self.parked.is_empty() && self.lists.is_empty()
    }

    pub fn until(&self) -> Option<Instant> {
        self.parked.iter().map(|p| p.until).min()
    }
}

impl Foreign {
    /// Parks a message until registry.db has replied. `Err`: there is nothing to ask.
    pub fn park(&mut self, state: &State, query: RegistryQuery, mut parked: Parked) -> Result<(), Parked> {
        match &query {
            RegistryQuery::Claim(index) => {
                let Some(host) =
                    state.hosts.get(*index).filter(|_| !self.names.announced.contains_key(index))
                else {
                    return Err(parked);
                };
                parked.ticket = self.announce(*index, host.name.clone());
                parked.until = Instant::now() + CLAIM_FOR;
            }
            RegistryQuery::Find(name) => {
                parked.ticket = self.new_id();
                parked.until = Instant::now() + FIND_FOR;
                self.registry.ask(Request::Find { ticket: parked.ticket, name: name.clone() });
            }
        }
        parked.query = query;
        self.names.parked.push(parked);
        Ok(())
    }

    fn announce(&mut self, index: Index, name: String) -> u64 {
        if let Some(ticket) = self.names.announcing.get(&index) {
            return *ticket;
        }
        let ticket = self.new_id();
        self.names.announcing.insert(index, ticket);
        self.registry.ask(Request::Announce { ticket, name });
        ticket
    }

    /// Parks a request for a listing until registry.db has replied which foreign hosts there are.
    pub fn park_list(&mut self, fd: OwnedFd) {
        let ticket = self.new_id();
        self.names.lists.insert(ticket, fd);
        self.registry.ask(Request::Others { ticket });
    }

    /// Announces and withdraws the hosts that came up or went down since the last call.
    pub fn keep_rows(&mut self, state: &mut State) {
        for index in state.hosts.take_touched() {
            let Some(host) = state.hosts.get(index) else { continue };
            let (up, name) = (host.is_up(), host.name.clone());
            let claimed = self.names.parked.iter().any(|p| p.query == RegistryQuery::Claim(index));
            if up && !self.names.announced.contains_key(&index) {
                self.announce(index, name);
            } else if !up && !claimed {
                let was = self.names.announced.remove(&index);
                let was_about_to = self.names.announcing.remove(&index).map(|_| name);
                if let Some(name) = was.or(was_about_to) {
                    self.registry.ask(Request::Withdraw { name });
                }
            }
        }
    }

    /// Handles the replies of registry.db. Returns the messages that waited for them.
    pub fn handle_responses(&mut self, state: &mut State) -> Vec<Resume> {
        let mut all = Vec::new();
        while let Some(Response { ticket, body }) = self.registry.response() {
            let (waited, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.names.parked).into_iter().partition(|p| p.ticket == ticket);
            self.names.parked = rest;
            match body {
                ResponseBody::Announced(verdict) => self.announced(state, ticket, verdict, waited, &mut all),
                ResponseBody::Found(found) => {
                    all.extend(waited.into_iter().map(|p| found_for(state, p, &found)))
                }
                ResponseBody::Others(rows) => {
                    if let Some(rows) = rows {
                        let hosts: Vec<_> = rows.into_iter().map(|Row { name, os }| (name, os)).collect();
                        state.foreign_are(&hosts);
                    }
                    all.extend(self.names.lists.remove(&ticket).map(Resume::List));
                }
            }
        }
        all
    }

    fn announced(
        &mut self,
        state: &mut State,
        ticket: u64,
        verdict: Verdict,
        waited: Vec<Parked>,
        all: &mut Vec<Resume>,
    ) {
        let index = self.names.announcing.iter().find(|(_, t)| **t == ticket).map(|(index, _)| *index);
        let Some(index) = index else {
            // It has gone down again meanwhile.
            return all.extend(waited.into_iter().map(resumed));
        };
        self.names.announcing.remove(&index);
        let name = state.hosts.get(index).map(|h| h.name.clone()).unwrap_or_default();
        let taken = matches!(verdict, Verdict::Taken { .. });
        let why = match verdict {
            Verdict::Announced => {
                self.names.announced.insert(index, name);
                // It may not come up after all.
                state.hosts.touch(index);
                return all.extend(waited.into_iter().map(resumed));
            }
            Verdict::Failed(text) => {
                tracing::error!("host {name:?} is not announced: {text}");
                return all.extend(waited.into_iter().map(resumed));
            }
            Verdict::Taken { by } => format!("host already registered, by the process at {by}"),
            Verdict::Refused(text) => text,
        };
        tracing::error!("host {name:?} is not announced: {why}");
        all.extend(waited.into_iter().map(|p| {
            let errno = match control::read_request(&p.bytes) {
                Ok((_, AnyOp::Op(Op::Announce { .. }))) if !taken => Errno::EPROTO,
                Ok((_, AnyOp::Op(Op::Join { .. } | Op::Announce { .. }))) => Errno::EEXIST,
                _ => Errno::EADDRNOTAVAIL,
            };
            // A program that announces a host puts its name into the error itself.
            let named = !matches!(control::read_request(&p.bytes), Ok((_, AnyOp::Op(Op::Announce { .. }))));
            let why = if taken && named { format!("{name}: {why}") } else { why.clone() };
            Resume::Refuse(p, errno, why)
        }));
    }

    /// Returns the messages whose time limit has passed.
    pub fn resume_late(&mut self) -> Vec<Resume> {
        let now = Instant::now();
        if self.names.until().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let (late, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.names.parked).into_iter().partition(|p| p.until <= now);
        self.names.parked = rest;
        tracing::warn!("registry.db does not answer: {} calls go on without it", late.len());
        late.into_iter().map(resumed).collect()
    }

    /// Withdraws all rows before lonetd ends.
    pub fn leave(&mut self) {
        for (_, name) in self.names.announced.drain() {
            self.registry.ask(Request::Withdraw { name });
        }
        self.registry.leave();
    }
}

impl Parked {
    pub fn new(fd: OwnedFd, bytes: &[u8], claimed: bool, found: bool) -> Parked {
        let query = RegistryQuery::Find(String::new());
        Parked { fd, bytes: bytes.to_vec(), claimed, found, ticket: 0, query, until: Instant::now() }
    }
}

/// Resumes a message after one of its queries.
fn resumed(mut parked: Parked) -> Resume {
    match parked.query {
        RegistryQuery::Claim(_) => parked.claimed = true,
        RegistryQuery::Find(_) => parked.found = true,
    }
    Resume::Take(parked)
}

fn found_for(state: &mut State, parked: Parked, found: &Result<Option<Row>, String>) -> Resume {
    let RegistryQuery::Find(name) = &parked.query else { return resumed(parked) };
    match found {
        Ok(Some(row)) => state.foreign_found(&row.name, row.os),
        Ok(None) => state.foreign_missing(name),
        Err(text) => {
            tracing::warn!("{text}");
            let errno = match control::read_request(&parked.bytes) {
                Ok((_, AnyOp::Op(op))) => cannot_tell(&op),
                _ => Errno::EPROTO,
            };
            return Resume::Refuse(parked, errno, text.clone());
        }
    }
    resumed(parked)
}
