//! lonetd's sleep, and what wakes it: a futex beside the mailbox.
//!
//! Where a program would have to say it on a socket that would be four system calls, here it is one. What lonetd is told
//! by the kernel, on descriptors, a thread of its own knocks for.

use super::mailbox::{Mailbox, SLEEP};
use super::{View, futex};
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

impl<'a> View<'a> {
    /// Whether lonetd looks into the mailbox by itself, and how often somebody has knocked.
    fn sleep(self) -> (&'a AtomicU32, &'a AtomicU32) {
        (futex::word(&self.words[SLEEP]), futex::word(&self.words[SLEEP + 1]))
    }

    /// Wakes lonetd if it sleeps, or is about to.
    pub(super) fn knock_if_asleep(self) {
        // lonetd says that it sleeps before it looks for the last time.
        fence(Ordering::SeqCst);
        if self.sleep().0.load(Ordering::Relaxed) == 0 {
            self.knock();
        }
    }

    fn knock(self) {
        let knocks = self.sleep().1;
        // Said that way it is heard also by one that has looked and does not sleep yet. Who is killed in between has
        // not kept others from waking it.
        knocks.fetch_add(1, Ordering::Release);
        futex::wake(knocks);
    }
}

impl Mailbox {
    /// How often somebody has knocked.
    pub fn knocks(&self) -> u32 {
        self.view.sleep().1.load(Ordering::Acquire)
    }

    /// Sleeps until something urgent is said, somebody knocks once more than so many `knocks`, a signal comes, or for
    /// `limit`; not at all if something has been said that was not received.
    pub fn sleep(&self, knocks: u32, limit: Duration) {
        let (awake, word) = self.view.sleep();
        awake.store(0, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.is_empty() {
            futex::wait(word, knocks, limit);
        }
        awake.store(1, Ordering::Relaxed);
    }

    pub fn knocker(&self) -> Knocker {
        Knocker(self.view)
    }
}

/// Wakes lonetd, from another thread of its own.
pub struct Knocker(View<'static>);

impl Knocker {
    pub fn knock(&self) {
        self.0.knock();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::super::{View, Writer};
    use super::*;

    const LONG: Duration = Duration::from_secs(100);

    #[test]
    fn a_lonetd_that_sleeps_is_woken_by_what_is_urgent() {
        let file = file();
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let raw = file.raw();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let program = View::map(raw, false).expect("a mapping");
                for _ in 0..20_000 {
                    while program.post(1, true, b"x").is_err() {
                        std::thread::yield_now();
                    }
                }
            });
            let mut heard = 0;
            while heard < 20_000 {
                mailbox.sleep(mailbox.knocks(), LONG);
                heard += mailbox.receive(|_| true).len();
                mailbox.done();
            }
        });
    }

    #[test]
    fn a_lonetd_that_is_about_to_sleep_looks_into_the_mailbox_before() {
        let file = file();
        let mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        View::map(file.raw(), false).expect("a mapping").post(1, false, b"x").expect("room");
        mailbox.sleep(mailbox.knocks(), LONG);
    }

    #[test]
    fn who_says_much_wakes_lonetd_whatever_it_is() {
        let file = file();
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let raw = file.raw();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let program = View::map(raw, false).expect("a mapping");
                (0..300).for_each(|_| assert_eq!(program.post(1, false, b"x"), Ok(())));
            });
            let mut heard = 0;
            while heard < 256 {
                mailbox.sleep(mailbox.knocks(), LONG);
                heard += mailbox.receive(|_| true).len();
            }
        });
    }

    #[test]
    fn a_knock_ends_a_sleep_also_one_that_has_not_begun() {
        let file = file();
        let mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let (before, knocker) = (mailbox.knocks(), mailbox.knocker());
        knocker.knock();
        mailbox.sleep(before, LONG);
        let before = mailbox.knocks();
        std::thread::scope(|scope| {
            scope.spawn(|| knocker.knock());
            mailbox.sleep(before, LONG);
        });
    }
}
