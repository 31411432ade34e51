//! Handles the messages of programs and sends the replies.

use super::end::{self, reply_to_down};
use super::rights::Right;
use super::sender::Peer;
use super::{DIAL_ANNOUNCED_WITHIN, Daemon, EarlyAccept};
use crate::daemon::dns::{self, Querier};
use crate::daemon::foreign::{EventLoop, Parked, Resume};
use crate::daemon::state::{By, Named, Sender, StateReply};
use crate::daemon::tally::{self, Kind};
use crate::memory_file;
use lonet_core::block::Block;
use lonet_core::control::{
    self, AnyOp, MAX_MESSAGE, Malformed, Name, NetworkOp, Op, Opening, Reply, Requester,
};
use nix::sys::socket::{self, MsgFlags, sockopt};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// What was done for a message before it is handled; nothing, at first.
#[derive(Clone, Copy, Default)]
pub(super) struct Preparation {
    /// registry.db was asked whether another subnetwork has the sender's host.
    claimed: bool,
    /// registry.db was asked where the host is that the message names.
    found: bool,
    /// The dialer of an accept has had enough time to notify lonetd of its dial.
    waited: bool,
}

impl Daemon {
    /// Resumes messages that have waited for registry.db.
    pub(super) fn resume(&mut self, all: Vec<Resume>) {
        for one in all {
            match one {
                Resume::Take(p) => self.handle_message(
                    p.fd,
                    None,
                    &p.bytes,
                    Preparation { claimed: p.claimed, found: p.found, waited: false },
                ),
                Resume::Refuse(p, errno, text) => {
                    self.reply(&p.fd, &Reply::Error { errno: errno as i32, text: &text });
                }
                Resume::List(fd) => self.list(&fd),
            }
        }
    }

    /// Handles a message. `right`: the descriptor that came with it.
    pub(super) fn handle_message(
        &mut self,
        fd: OwnedFd,
        right: Option<Right>,
        bytes: &[u8],
        preparation: Preparation,
    ) {
        let pid = socket::getsockopt(&fd, sockopt::PeerCredentials).map_or(0, |peer| peer.pid());
        let (requester, received) = match control::read_request(bytes) {
            Ok(request) => request,
            Err(Malformed::Version(theirs)) => {
                tally::count(Kind::Version, &format_args!("pid {pid}, version {theirs}"));
                self.reply(&fd, &Reply::Error { errno: libc::EPROTO, text: "another version" });
                return self.connections.closer.close(fd);
            }
            Err(Malformed::Bytes) => {
                tally::count(Kind::Malformed, &format_args!("pid {pid}"));
                return self.connections.closer.close(fd);
            }
        };
        let is_elsewhere =
            lonet_core::diag::netns_cookie(fd.as_raw_fd()).is_ok_and(|theirs| theirs != self.netns);
        let admitted = match is_elsewhere {
            true => Err(lonet_core::trouble::OTHER_NETWORK_NAMESPACE),
            false => self.admit(&fd, &requester.key),
        };
        let Peer { sender: peer, is_owner } = match admitted {
            Ok(peer) => peer,
            Err(text) => {
                match received {
                    AnyOp::Network(NetworkOp::Down { .. }) => reply_to_down(&fd, Err((libc::EACCES, text))),
                    _ => _ = self.reply(&fd, &Reply::Error { errno: libc::EACCES, text }),
                }
                return self.connections.closer.close(fd);
            }
        };
        if requester.options.is_first {
            self.may_execute_another(peer.pid);
        }
        match received {
            AnyOp::Op(op) => self.handle_op(fd, peer, (requester, op), bytes, preparation),
            AnyOp::Network(op) => self.handle_network_op(fd, right, (peer, is_owner), (&requester, op)),
        }
    }

    /// Handles a message for the state, once everything that the reply depends on is known.
    fn handle_op(
        &mut self,
        mut fd: OwnedFd,
        peer: Sender,
        (mut requester, op): (Requester<'_>, Op<'_>),
        bytes: &[u8],
        mut preparation: Preparation,
    ) {
        if let Op::Dial { to, .. } = op
            && dns::is_name_server(to)
        {
            // A host may query the machine's name server on the loopback, as the machine itself does.
            requester.options.real_loopback = true;
        }
        while let Some(query) =
            self.state.registry_query(&requester, &op, preparation.claimed, preparation.found)
        {
            match self.foreign.park(
                &self.state,
                query,
                Parked::new(fd, bytes, preparation.claimed, preparation.found),
            ) {
                Ok(()) => return,
                // The host is this subnetwork's by a row that still exists.
                Err(back) => (fd, preparation.claimed) = (back.fd, true),
            }
        }
        self.verify_hosts(|state| state.depends_on_unverified(peer.pid, &requester, &op));
        match op {
            Op::Accept { local, remote, .. } => {
                let mut event_loop =
                    EventLoop { state: &mut self.state, kernel: &mut self.kernel, epoll: &self.epoll };
                if let Some((connection, dialer)) =
                    self.foreign.claim(&mut event_loop, peer.pid, local, remote)
                {
                    self.commit();
                    let [receive_buffer, send_buffer] = self.foreign.buffers();
                    self.reply(&fd, &Reply::Courier { peer: dialer, receive_buffer, send_buffer });
                    let _ = lonet_core::sys::send_with(fd.as_raw_fd(), b"\n", connection.as_raw_fd());
                } else if !preparation.waited && self.state.is_dialer_to_come(&mut self.kernel, local, remote)
                {
                    self.early.push(EarlyAccept { fd, bytes: bytes.to_owned(), since: Instant::now() });
                } else {
                    self.answer(fd, peer, (&requester, op));
                }
            }
            Op::Resolve { name, .. } => self.handle_name_query(fd, peer, (&requester, name, op), bytes),
            _ => self.answer(fd, peer, (&requester, op)),
        }
    }

    /// Handles a message about the network. `right`: the descriptor that came with it.
    fn handle_network_op(
        &mut self,
        fd: OwnedFd,
        right: Option<Right>,
        (peer, is_owner): (Sender, bool),
        (requester, op): (&Requester<'_>, NetworkOp<'_>),
    ) {
        match op {
            NetworkOp::List => self.foreign.park_list(fd),
            NetworkOp::HandOver { cookie, milliseconds } => {
                let mut event_loop =
                    EventLoop { state: &mut self.state, kernel: &mut self.kernel, epoll: &self.epoll };
                self.foreign.hand_over(
                    &mut event_loop,
                    fd,
                    right.and_then(Right::take),
                    cookie,
                    milliseconds,
                );
            }
            // It belongs on the connection of the handshake that it is about.
            NetworkOp::GiveUp { .. } => {
                let text = "no handshake on this connection";
                self.reply(&fd, &Reply::Error { errno: libc::EPROTO, text });
            }
            NetworkOp::Lend { cookie, os, connects } => match right.and_then(Right::take) {
                Some(socket) => self.handle_lent(fd, socket, cookie, os, connects),
                None => _ = self.reply(&fd, &Reply::Error { errno: libc::EACCES, text: "without a socket" }),
            },
            NetworkOp::Wait { now, fails, loopback, since } => {
                let by = if loopback { By::Anybody } else { By::Host(requester.host) };
                match now {
                    true => self.tell_missing(&fd, right, by),
                    false => self.wait(fd, right, by, (fails, Duration::from_nanos(since))),
                }
            }
            NetworkOp::Faults => self.handle_fault_request(&fd, right, is_owner),
            NetworkOp::Fault { what, from, to } => {
                self.handle_fault_of_program(&fd, (what, from, to), is_owner)
            }
            NetworkOp::Trace(what) => self.trace(fd, what, is_owner),
            NetworkOp::Down { kill } => {
                self.queue_down_request(end::DownRequest::new(fd, peer, is_owner, kill))
            }
            NetworkOp::Signal { host, signal } => self.signal_host(fd, (peer, is_owner), host, signal),
            NetworkOp::NameServer { server, from, tcp } => {
                let querier = Querier::new(peer, requester);
                let instead = self.dns.instead_of(server, (from, tcp), querier);
                let to = |to| Reply::ConnectTo { to, from: None };
                self.reply(&fd, &instead.map_or(Reply::Native, to));
            }
            NetworkOp::Behind { os } => {
                let peer = self.dns.behind(os);
                let named = Reply::Named { local: None, peer, reuse_address: false, v6only: false };
                self.reply(&fd, &named);
            }
        }
    }

    /// Sends the state's reply to a message.
    pub(super) fn answer(&mut self, fd: OwnedFd, peer: Sender, (requester, op): (&Requester<'_>, Op<'_>)) {
        // The generation before the state is asked: a change meanwhile is not in the reply.
        let names = self.store.table().names_generation().unwrap_or(0);
        let answer = self.state.handle(&mut self.kernel, peer, requester, &op);
        self.commit();
        self.apply_due_rules();
        if let Op::Dialed { cookie, .. } | Op::Accept { cookie, .. } = op {
            self.enforce_on_new(cookie);
        }
        let is_heard = match answer {
            StateReply::Reply(reply) => {
                if let (Reply::Drop, Op::Accept { local, remote, .. }) = (reply, op) {
                    tally::count(Kind::Reset, &format_args!("from {remote} to {local}"));
                }
                self.reply(&fd, &reply)
            }
            StateReply::Host(Named { index, name, ascii, is_cacheable }) => {
                let generation = if is_cacheable { names } else { 0 };
                self.reply(&fd, &Reply::Host { index, name: &name, ascii: &ascii, generation })
            }
            StateReply::Refuse(errno, text) => {
                self.reply(&fd, &Reply::Error { errno: errno as i32, text: &text })
            }
            StateReply::Names { local, peer, own, member } => {
                let local = Name { host: &local.0, port: local.1 };
                let peer = peer.as_ref().map(|(host, port)| Name { host, port: *port });
                self.reply(&fd, &Reply::Names { local, peer, own, member })
            }
        };
        if let (false, Some(undo)) = (is_heard, not_done(&op)) {
            self.state.handle(&mut self.kernel, peer, requester, &undo);
            self.commit();
        }
        if matches!(op, Op::Listening { .. }) {
            self.answer_waiters();
        }
    }

    /// Answers the accepts whose dialer has been reported by now, or whose time limit has passed.
    pub(super) fn retry_early_accepts(&mut self) {
        for EarlyAccept { fd, bytes, since } in std::mem::take(&mut self.early) {
            let is_late = since.elapsed() >= DIAL_ANNOUNCED_WITHIN;
            let before = self.early.len();
            self.handle_message(fd, None, &bytes, Preparation { waited: is_late, ..Preparation::default() });
            self.early.iter_mut().skip(before).for_each(|again| again.since = since);
        }
    }

    /// Sends a reply. `false`: the client does not wait for it any more.
    pub(super) fn reply(&self, fd: &OwnedFd, reply: &Reply<'_>) -> bool {
        self::reply(self.state.block, fd, reply)
    }

    /// Sends the listing of the network as JSON, in a memory file: it may be larger than any packet.
    pub(super) fn list(&mut self, fd: &OwnedFd) {
        self.verify_hosts(|state| !state.unverified().is_empty());
        self.review_left();
        self.commit();
        self.read_events();
        let shown = self.state.show(&mut self.kernel, &self.config.network);
        let sent = serde_json::to_vec(&shown).map_err(io::Error::from).and_then(|text| send_file(fd, &text));
        if let Err(e) = sent {
            tally::count(Kind::List, &e);
        }
    }
}

/// Like [`Daemon::reply`], for a network with this block.
pub(super) fn reply(block: Block, fd: &OwnedFd, reply: &Reply<'_>) -> bool {
    let mut buffer = [0u8; MAX_MESSAGE];
    let pid = socket::getsockopt(fd, sockopt::PeerCredentials).map_or(0, |peer| peer.pid());
    let opening = Opening { block: block.number(), pid: pid.unsigned_abs() };
    control::write_reply(&mut buffer, opening, reply)
        .is_some_and(|n| socket::send(fd.as_raw_fd(), &buffer[..n], MsgFlags::MSG_NOSIGNAL).is_ok())
}

/// The message that rolls back a permission whose client had given up before the reply.
fn not_done(op: &Op<'_>) -> Option<Op<'static>> {
    match *op {
        Op::Bind { cookie, .. } | Op::Listen { cookie, .. } => Some(Op::Failed { cookie }),
        Op::Dial { cookie, .. } | Op::DialHost { cookie, .. } => {
            Some(Op::Dialed { cookie, from: None, errno: libc::ETIMEDOUT })
        }
        _ => None,
    }
}

/// Sends `Reply::Stream` with a descriptor of a memory file that holds `text`.
pub(super) fn send_file(fd: &OwnedFd, text: &[u8]) -> io::Result<()> {
    let file = memory_file::of(text)?;
    let mut buffer = [0u8; MAX_MESSAGE];
    let n = control::write_reply(&mut buffer, Opening::NOTHING, &Reply::Stream).unwrap_or(0);
    let rights = [file.as_raw_fd()];
    socket::sendmsg::<()>(
        fd.as_raw_fd(),
        &[io::IoSlice::new(&buffer[..n])],
        &[socket::ControlMessage::ScmRights(&rights)],
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}
