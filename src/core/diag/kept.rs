//! Netlink sockets that are kept open from one question to the kernel to the next.
//!
//! A program's process gets no lasting descriptor: one is opened for a question and closed behind it, which takes longer than the
//! answer. A process of lonet's own that asks often says so ([`keep`]).
//!
//! Nothing allocates or locks here: hooks ask in signal handlers, too. A child of a fork does not ask by what its parent keeps.

use super::Diag;
use super::netlink::Netlink;
use crate::sys::Fd;
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static KEEPS: AtomicBool = AtomicBool::new(false);

/// Each `sequence << 32 | descriptor + 1`; 0: none.
static KEPT: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// This process keeps them from now on.
pub fn keep() {
    KEEPS.store(true, Ordering::Relaxed);
}

/// A [`Diag`] that is kept afterwards where the process does that.
#[derive(Debug)]
pub struct Loan {
    diag: Option<Diag>,
    /// All that it was asked has been answered, so that nothing of it comes when something else is asked.
    is_clean: bool,
}

impl Loan {
    pub fn open() -> io::Result<Loan> {
        let kept = KEPT.iter().map(|place| place.swap(0, Ordering::AcqRel)).find(|kept| *kept != 0);
        let diag = kept.map_or_else(Diag::open, |kept| Ok(Diag::of_kept(kept)))?;
        Ok(Loan { diag: Some(diag), is_clean: true })
    }

    pub fn ask<T>(&mut self, question: impl FnOnce(&Diag) -> io::Result<T>) -> io::Result<T> {
        let diag = self.diag.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let answer = question(diag);
        self.is_clean &= answer.is_ok();
        answer
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.is_clean || !KEEPS.load(Ordering::Relaxed) {
            return;
        }
        let Some(diag) = self.diag.take() else { return };
        let kept = diag.into_kept();
        let put =
            |place: &AtomicU64| place.compare_exchange(0, kept, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if !KEPT.iter().any(put) {
            drop(Diag::of_kept(kept));
        }
    }
}

impl Diag {
    fn into_kept(self) -> u64 {
        let fd = self.netlink.into_raw();
        u64::from(self.sequence.get()) << 32 | (fd as u64 + 1)
    }

    fn of_kept(kept: u64) -> Diag {
        let fd = (kept as u32).wrapping_sub(1) as i32;
        let sequence = Cell::new((kept >> 32) as u32);
        Diag { netlink: Netlink::of_raw(Fd::adopt(fd)), sequence, answers: Cell::new(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::NOBODY;
    use std::net::{SocketAddr, TcpListener};

    #[test]
    fn loan_that_was_answered_is_taken_again_and_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let Ok(SocketAddr::V4(at)) = listener.local_addr() else { unreachable!("an IPv4 socket") };
        let look = |loan: &mut Loan| loan.ask(|diag| diag.lookup(at, NOBODY));
        let kept = || KEPT.iter().filter(|place| place.load(Ordering::Relaxed) != 0).count();
        let mut loan = Loan::open().expect("a way to ask");
        assert!(matches!(look(&mut loan), Ok(Some(_))));
        drop(loan);
        assert_eq!(kept(), 0);
        keep();
        let mut loan = Loan::open().expect("a way to ask");
        assert!(matches!(look(&mut loan), Ok(Some(_))));
        drop(loan);
        assert_eq!(kept(), 1);
        let mut loan = Loan::open().expect("the same");
        assert_eq!(kept(), 0);
        assert!(matches!(look(&mut loan), Ok(Some(_))));
        assert!(loan.ask(|_| Err::<(), _>(io::ErrorKind::Other.into())).is_err());
        drop(loan);
        assert_eq!(kept(), 0);
        KEEPS.store(false, Ordering::Relaxed);
    }
}
