//! Waiting for the peer of a foreign dial, whose handshake lonetd performs, but not for a lonetd that is stopped or stuck.
//!
//! The peer may take longer than lonetd may, so that no reply in time tells nothing of lonetd. Whoever has waited for half of
//! lonetd's time sends it a question on a connection of its own, and goes on waiting when that is answered.
//!
//! connect(2) is restarted after a signal whose handler has SA_RESTART, and fails with EINTR after others. A wait with a time
//! limit, as by ppoll, fails with EINTR after either. So the handlers are looked at before it: if all of them have SA_RESTART, or
//! none has, it is known what connect would do. A process with handlers of both kinds waits without a limit, so that the kernel
//! decides: nothing tells afterwards which handler it was, and to wait in short steps would miss a signal between two of them.

use lonet_core::client::{Client, TIME_LIMIT, Trouble, await_reply};
use lonet_core::control::{MAX_MESSAGE, Op};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd, check};
use nix::errno::Errno;
use std::net::Ipv6Addr;
use std::time::Duration;

/// How often whoever waits calls [`Watch::look`]. Seldom: a signal between two waits does not interrupt them.
pub const LOOK: Duration = Duration::from_millis(1250);

/// Watches, while a program waits for a peer, whether lonetd still answers.
pub struct Watch<'a> {
    client: &'a Client,
    /// That of the program's call.
    call: Limit,
    /// lonetd's, from its last sign of life on.
    lonetds: Limit,
    /// The connection of a question that is not answered yet.
    question: Option<Fd>,
}

impl<'a> Watch<'a> {
    pub fn begin(client: &'a Client, call: Limit) -> Watch<'a> {
        Watch { client, call, lonetds: Limit::within(TIME_LIMIT), question: None }
    }

    /// What is left for lonetd.
    pub fn limit(&self) -> Limit {
        self.call.and_of_lonetd(Duration::from_millis(self.lonetds.of(TIME_LIMIT) as u64))
    }

    /// Called again and again during the wait for a reply on `control`. Fails when lonetd has answered nothing within its limit.
    pub fn look(&mut self, control: &Fd) -> Result<(), Trouble> {
        let is_answered = |question: &Fd| sys::readable_within(question.raw(), 0) == Ok(true);
        if self.question.as_ref().is_some_and(is_answered) {
            *self = Watch::begin(self.client, self.call);
        } else if self.lonetds.is_over() {
            // Without a descriptor for the question only the reply itself shows that lonetd goes on.
            await_reply(self.question.as_ref().unwrap_or(control), self.call.and_of_lonetd(Duration::ZERO))?;
            *self = Watch::begin(self.client, self.call);
        } else if self.question.is_none() && self.lonetds.of(TIME_LIMIT) <= TIME_LIMIT.as_millis() as i64 / 2
        {
            self.ask();
        }
        Ok(())
    }

    // Not inlined: its buffer would enlarge the frame of a connect.
    #[inline(never)]
    fn ask(&mut self) {
        let mut buffer = [0; MAX_MESSAGE];
        let at_once = Limit::within(Duration::ZERO);
        // Any question that lonetd answers by itself will do.
        let question = Op::Reverse { ip: Ipv6Addr::LOCALHOST };
        self.question = self.client.send_within(at_once, &question, &mut buffer).ok();
    }
}

/// What a signal that comes during a wait does to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    Restart,
    Interrupt,
    /// Either, by its handler.
    Both,
}

impl Signals {
    /// By the handlers that the process has.
    pub fn of_handlers() -> Signals {
        let (mut restart, mut interrupt) = (false, false);
        for signal in 1..=64 {
            match flags_of_handler(signal) {
                Some(flags) if flags & libc::SA_RESTART as usize != 0 => restart = true,
                Some(_) => interrupt = true,
                None => {}
            }
        }
        match (restart, interrupt) {
            (true, true) => Signals::Both,
            (false, true) => Signals::Interrupt,
            (_, false) => Signals::Restart,
        }
    }
}

fn flags_of_handler(signal: i32) -> Option<usize> {
    // The kernel's structure: the handler, the flags, the restorer and the mask.
    let mut action = [0usize; 4];
    let none = std::ptr::null::<usize>();
    // SAFETY: the action is read into room for it.
    check(unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, none, action.as_mut_ptr(), size_of::<u64>())
    })
    .ok()?;
    (action[0] != libc::SIG_DFL && action[0] != libc::SIG_IGN).then_some(action[1])
}

/// Waits until `fd` is readable. `false`: not within [`LOOK`]. EINTR: a handler has run.
pub fn readable_or_interrupted(fd: &Fd) -> Result<bool, Errno> {
    let mut poll = libc::pollfd { fd: fd.raw(), events: libc::POLLIN, revents: 0 };
    let mut time = libc::timespec { tv_sec: LOOK.as_secs() as i64, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    let mask = std::ptr::null::<libc::sigset_t>();
    // SAFETY: one pollfd, one timespec, no signal mask.
    check(unsafe { libc::syscall(libc::SYS_ppoll, &raw mut poll, 1, &raw mut time, mask, size_of::<u64>()) })
        .map(|n| n > 0)
}
