//! What programs say in datagrams, which are not answered.
//!
//! What there is is received first, then the kernel's news are taken, and then what was said is acted upon: the news
//! are as new as the newest of it, and all is saved and shown at once.

use super::Daemon;
use crate::daemon::state::{Cookie, Sender};
use lonet_core::control::{self, MAX_MESSAGE, Op};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, UnixCredentials, recvmmsg};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};

/// How many are received before any is acted upon.
const AT_ONCE: usize = 64;

struct Said {
    sender: Sender,
    /// The bytes are `MAX_MESSAGE * number` and on in the buffer.
    number: usize,
    len: usize,
}

pub(super) struct Datagrams {
    fd: OwnedFd,
    buffer: Vec<u8>,
    headers: MultiHeaders<()>,
    was_busy: bool,
}

impl Datagrams {
    pub fn new(fd: OwnedFd) -> Datagrams {
        let headers = MultiHeaders::preallocate(AT_ONCE, Some(cmsg_space!(UnixCredentials)));
        Datagrams { fd, buffer: vec![0; AT_ONCE * MAX_MESSAGE], headers, was_busy: false }
    }

    /// There was something when it was last looked for.
    pub fn was_busy(&self) -> bool {
        self.was_busy
    }

    fn receive(&mut self) -> Vec<Said> {
        let mut parts: Vec<[IoSliceMut<'_>; 1]> =
            self.buffer.chunks_exact_mut(MAX_MESSAGE).map(|part| [IoSliceMut::new(part)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = match recvmmsg(self.fd.as_raw_fd(), &mut self.headers, &mut parts, flags, None) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Vec::new(),
            Err(e) => {
                tracing::error!("what is said cannot be received: {e}");
                return Vec::new();
            }
        };
        let said = received.enumerate().filter_map(|(number, datagram)| {
            let sender = datagram.cmsgs().ok()?.find_map(|c| match c {
                ControlMessageOwned::ScmCredentials(by) => Some(Sender { pid: by.pid(), uid: by.uid() }),
                _ => None,
            })?;
            Some(Said { sender, number, len: datagram.bytes })
        });
        said.collect()
    }

    fn bytes(&self, said: &Said) -> &[u8] {
        self.buffer.get(said.number * MAX_MESSAGE..).and_then(|rest| rest.get(..said.len)).unwrap_or_default()
    }
}

impl Daemon {
    /// Takes what the kernel has announced and what programs have said.
    pub(super) fn take_what_is_said(&mut self) {
        loop {
            let all = self.said.receive();
            self.said.was_busy = !all.is_empty();
            self.take_announcements();
            let mut dials = Vec::new();
            let mut listens = false;
            for said in &all {
                let Daemon { said: datagrams, state, kernel, .. } = self;
                let bytes = datagrams.bytes(said);
                let member =
                    said.sender.uid == self.membership.owner || self.processes.contains_key(&said.sender.pid);
                match control::read_request(bytes) {
                    Ok((caller, op)) if member && op.one_way() => {
                        if let Op::SetOut { cookie, .. } = op {
                            dials.push(cookie);
                            // Whether its host is somebody else's is not known: it has to ask.
                            if state.doubt(&caller, &op, false, false).is_some() {
                                continue;
                            }
                        }
                        listens |= matches!(op, Op::Listening { .. });
                        state.handle(kernel, said.sender, &caller, &op);
                        // One that has ended since is no member again, and holds nothing when the next one dials.
                        if !self.processes.contains_key(&said.sender.pid) {
                            self.settle();
                        }
                    }
                    _ => tracing::warn!(
                        "pid {} of uid {} is not listened to",
                        said.sender.pid,
                        said.sender.uid
                    ),
                }
            }
            self.take_unknown_ends();
            self.settle();
            self.tell_of_dials(&dials);
            if listens {
                self.answer_waiters();
            }
            if all.len() < AT_ONCE {
                return;
            }
        }
    }

    /// A socket may have ended before what was said of it was acted upon.
    fn take_unknown_ends(&mut self) {
        let Daemon { unknown_ends, state, kernel, .. } = self;
        let (new, old) = std::mem::take(unknown_ends);
        for cookie in old {
            state.destroyed(kernel, cookie);
        }
        unknown_ends.1 = new.into_iter().filter(|cookie| !state.destroyed(kernel, *cookie)).collect();
    }

    /// What has become of dials is in the view; who waits for it looks there now.
    fn tell_of_dials(&mut self, dials: &[Cookie]) {
        let Some(view) = &mut self.view else { return };
        for cookie in dials {
            view.ring(*cookie);
        }
    }
}
