//! Waiting for what lonetd makes of a dial: it is told in the mailbox and answers in the table.
//!
//! A dial has one of some futexes by its cookie, in the header of the view, with a number that lonetd raises for
//! every dial that it has dealt with, and beside it the cookie of the last one that it did not enter. Who waits says so
//! in the mailbox: to wake nobody is a system call, too.

use super::{Entry, HEADER, View, Writer, futex};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

const BELLS: u64 = 63;

/// A cache line each, from the header's second one on.
const BELL_WORDS: usize = 8;

/// Looked at so many times before the kernel is asked to wait: lonetd is at work while the kernel connects.
const LOOKS: usize = 100;

/// How often a waiter is woken for others' dials, or by signals, at most.
const TURNS: usize = 16;

impl<'a> View<'a> {
    fn bell(self, cookie: u64) -> (&'a AtomicU32, &'a AtomicU64) {
        let first = HEADER + (1 + cookie % BELLS) as usize * BELL_WORDS;
        (futex::word(&self.words[first]), &self.words[first + 1])
    }

    /// What is said of a dial that lonetd has been told of, as soon as it is said. `None`: it is not entered, or nothing
    /// is said for `limit`: by then lonetd may be another, which has not been told. Ask.
    pub fn await_dial(self, cookie: u64, limit: Duration) -> Option<Entry> {
        let (bell, refused) = self.bell(cookie);
        let dial = || self.find(cookie).filter(|e| e.is_dial);
        for _ in 0..LOOKS {
            if let Some(entry) = dial() {
                return Some(entry);
            }
            std::hint::spin_loop();
        }
        for _ in 0..TURNS {
            // Before it is said that somebody waits: who rings for others takes that back first.
            let rung = bell.load(Ordering::Acquire);
            self.wait_for(cookie % BELLS);
            let entry = dial();
            if entry.is_some() || refused.load(Ordering::Relaxed) == cookie || !futex::wait(bell, rung, limit)
            {
                return entry;
            }
        }
        dial()
    }
}

impl Writer {
    /// Wakes who waits for a dial that has been dealt with.
    pub fn ring(&mut self, cookie: u64) {
        let (bell, refused) = self.0.bell(cookie);
        if !self.0.find(cookie).is_some_and(|e| e.is_dial) {
            refused.store(cookie, Ordering::Relaxed);
        }
        // First: who says it from now on finds the entry, and who has said it has an older number or is woken.
        let is_waited_for = self.0.is_waited_for(cookie % BELLS);
        bell.fetch_add(1, Ordering::Release);
        if is_waited_for {
            futex::wake(bell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{entry, file};
    use super::*;

    #[test]
    fn who_waits_for_a_dial_is_woken_when_it_is_entered() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        let reader = View::map(file.raw(), false).expect("a mapping");
        let waiter = std::thread::spawn(move || reader.await_dial(64, Duration::from_millis(900)));
        writer.set(1, Some(&entry(1)));
        writer.ring(1);
        writer.set(64, Some(&entry(7)));
        writer.ring(64);
        assert_eq!(waiter.join().expect("no panic"), Some(entry(7)));
    }

    #[test]
    fn who_waits_for_a_dial_that_is_not_entered_is_told() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        let reader = View::map(file.raw(), false).expect("a mapping");
        writer.ring(64);
        assert_eq!(reader.await_dial(64, Duration::from_millis(900)), None);
    }

    #[test]
    fn who_begins_to_wait_while_others_are_woken_is_woken_in_its_turn() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        let raw = file.raw();
        let begun = AtomicU64::new(0);
        let dials = (1..=100_000).map(|turn| turn * BELLS);
        let unheard = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let reader = View::map(raw, false).expect("a mapping");
                dials.clone().find(|cookie| {
                    begun.store(*cookie, Ordering::Release);
                    reader.await_dial(*cookie, Duration::from_millis(900)).is_none()
                })
            });
            for cookie in dials.clone() {
                while begun.load(Ordering::Acquire) < cookie && !waiter.is_finished() {
                    std::thread::yield_now();
                }
                // Others' of the same bell, while this one begins to wait.
                (0..cookie / BELLS % 400).for_each(|_| std::hint::spin_loop());
                (0..12).for_each(|_| writer.ring(BELLS * 1_000_000));
                writer.set(cookie, Some(&entry(1)));
                writer.ring(cookie);
            }
            waiter.join().expect("no panic")
        });
        assert_eq!(unheard, None);
    }

    #[test]
    fn a_listener_is_found_by_host_port_and_class() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        let reader = View::map(file.raw(), false).expect("a mapping");
        let os = "127.7.0.3:80".parse().expect("an address");
        writer.set_listener(3, 80, 0, Some(os));
        assert_eq!(reader.listener(3, 80, 0), Some(os));
        let others = [reader.listener(3, 80, 1), reader.listener(4, 80, 0), reader.listener(3, 81, 0)];
        assert_eq!(others, [None; 3]);
        writer.set_listener(3, 80, 0, None);
        assert_eq!(reader.listener(3, 80, 0), None);
    }

    #[test]
    fn the_same_port_of_many_hosts_is_found() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        let reader = View::map(file.raw(), false).expect("a mapping");
        let os = |host: u16| std::net::SocketAddrV4::new([127, 7, 0, host as u8].into(), 8080);
        (1..=200).for_each(|host| writer.set_listener(host, 8080, 0, Some(os(host))));
        let found = (1..=200).filter(|host| reader.listener(*host, 8080, 0) == Some(os(*host)));
        assert_eq!(found.count(), 200);
    }
}
