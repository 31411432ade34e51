//! Asks again until there is a reply, also where the lonetd that was asked is killed and another one has to be started.
//!
//! A lonetd that was killed loses its descriptors one by one: it takes connections still while those that it had
//! have ended already, and its names and its block of addresses come free last. So an exchange that broke off says
//! neither that nobody serves the network nor that another lonetd can begin at once. Who needs an answer asks again
//! until there is one, with a start in between where nobody serves; a program that only has something to say
//! ([`Client::ask`]) need not: what it did is to be seen in the kernel.

use super::connection::receive_raw;
use super::{Client, Exchange, TIME_LIMIT, TIME_LIMIT_SECONDS, Trouble};
use crate::control::{MAX_MESSAGE, Request};
use crate::limit::Limit;
use crate::lock::{PAUSES_PER_SECOND, pause};
use nix::errno::Errno;

/// Which networks that nobody serves get a lonetd for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartIf {
    /// Each: the question is why it is there.
    Asked,
    /// One whose lonetd was killed: it is there all the same. One that has ended is not started for a question.
    Killed,
}

impl Client {
    /// Asks, and starts a lonetd if none runs. On [`Trouble::Failed`] `buffer` begins with lonetd's words,
    /// ended by a zero.
    pub fn ask_or_start<'b>(&self, request: &dyn Request, buffer: &'b mut [u8; MAX_MESSAGE]) -> Exchange<'b> {
        self.ask_insisting(StartIf::Asked, Limit::NONE, request, buffer)
    }

    /// As [`Client::ask_or_start`], with the choice which networks are started, and how long all of it may take.
    pub fn ask_insisting<'b>(
        &self,
        start: StartIf,
        limit: Limit,
        request: &dyn Request,
        buffer: &'b mut [u8; MAX_MESSAGE],
    ) -> Exchange<'b> {
        let n = self.retry(start, limit, buffer, |limit, buffer| {
            let fd = self.send_within(limit, request, buffer)?;
            receive_raw(&fd, limit, buffer)
        })?;
        self.parse(buffer, n)
    }

    /// Tries `exchange` until a lonetd has answered; its limit is the one that is left. [`Trouble::NotRunning`] from
    /// it: nobody serves, or who was asked came to its end over the question; from this: nobody serves, and `start`
    /// says that it stays so.
    pub fn retry<T>(
        &self,
        start: StartIf,
        limit: Limit,
        buffer: &mut [u8; MAX_MESSAGE],
        mut exchange: impl FnMut(Limit, &mut [u8; MAX_MESSAGE]) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let (mut wordless, mut limit) = (0, limit);
        for turn in 0..TIME_LIMIT_SECONDS * PAUSES_PER_SECOND {
            if turn > 1 {
                pause();
            }
            if turn > 0 && limit.is_over() {
                return Err(Trouble::Silent(Errno::ETIMEDOUT));
            }
            match exchange(limit, buffer) {
                Err(Trouble::NotRunning) => {}
                result => return result,
            }
            if start == StartIf::Killed && !self.was_killed() {
                return Err(Trouble::NotRunning);
            }
            match self.start(start, limit, buffer) {
                Ok(()) => limit = limit.forgiven(TIME_LIMIT),
                // It ended without a word: killed, perhaps.
                Err(Trouble::NoCommand) if wordless < 2 => wordless += 1,
                // Another one was about to serve, whose starter has died.
                Err(Trouble::Failed) if self.connect(limit).is_ok() => {}
                Err(trouble) => return Err(trouble),
            }
        }
        // Each was there and died, or hung up.
        Err(Trouble::Silent(Errno::ECONNRESET))
    }
}
