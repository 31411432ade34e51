//! What programs say without waiting for an answer: a queue in the part of the view's file that they may write.
//!
//! A message has a ticket, which is its place in the order that lonetd takes all in, and lies in the slot of that
//! number. A slot is free for one ticket, claimed by a process, or full; all of that is one word, so that a process may be
//! killed at any instant: what it has claimed and not filled is free again when it has ended, and nobody waits for it
//! meanwhile. What is full stays where it is until lonetd has written down what it made of it, and waits for the next
//! lonetd if it was killed before.
//!
//! Order: a message that was said before another call began has the lower ticket, and is full by then.

use super::View;
use nix::errno::Errno;
use std::sync::atomic::{AtomicU64, Ordering, fence};

const SLOTS: u32 = 512;
const SLOT_WORDS: usize = 32;
const HEADER_WORDS: usize = 512;
/// A multiple of a page.
pub(super) const WORDS: usize = HEADER_WORDS + SLOTS as usize * SLOT_WORDS;

/// The longest message, in bytes: a slot without its state and the length.
pub const ROOM: usize = (SLOT_WORDS - 2) * 8;

/// The next ticket, or one that others are about to leave behind.
const NEXT: usize = 0;
/// Whether lonetd looks here by itself; else it wants to be woken.
const AWAKE: usize = 8;
/// Which bells somebody waits for, by bits.
const WAITED_FOR: usize = 16;

/// How often a ticket that somebody else took meanwhile is given up for the next one.
const TRIES: usize = 10_000;

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const FULL: u64 = 2;

/// A slot's state: for which ticket it is, who has it, and what that one has done.
fn state(ticket: u32, pid: u32, phase: u64) -> u64 {
    u64::from(ticket) << 32 | u64::from(pid) << 2 | phase
}

fn ticket(state: u64) -> u32 {
    (state >> 32) as u32
}

fn pid(state: u64) -> u32 {
    (state as u32) >> 2
}

fn phase(state: u64) -> u64 {
    state & 3
}

fn slot(view: View<'_>, ticket: u32) -> &[AtomicU64] {
    let first = HEADER_WORDS + (ticket % SLOTS) as usize * SLOT_WORDS;
    &view.words[first..][..SLOT_WORDS]
}

impl<'a> View<'a> {
    /// Says `message`. `true`: lonetd sleeps and is to be woken. EAGAIN: there is no room; EMSGSIZE: nor would there ever be.
    ///
    /// `pid`: the process that says it, as lonetd sees it. What is not `urgent` wakes nobody: it
    /// is taken with what comes next.
    pub fn post(self, pid: u32, urgent: bool, message: &[u8]) -> Result<bool, Errno> {
        if message.len() > ROOM {
            return Err(Errno::EMSGSIZE);
        }
        let (ticket, slot) = self.claim(pid)?;
        slot[1].store(message.len() as u64, Ordering::Relaxed);
        for (to, from) in slot[2..].iter().zip(message.chunks(8)) {
            let mut word = [0; 8];
            word[..from.len()].copy_from_slice(from);
            to.store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
        slot[0].store(state(ticket, pid, FULL), Ordering::Release);
        // lonetd says that it sleeps before it looks for the last time.
        fence(Ordering::SeqCst);
        Ok(urgent && self.words[AWAKE].load(Ordering::Relaxed) == 0)
    }

    fn claim(self, pid: u32) -> Result<(u32, &'a [AtomicU64]), Errno> {
        let next = &self.words[NEXT];
        for _ in 0..TRIES {
            let at = next.load(Ordering::Acquire) as u32;
            let slot = slot(self, at);
            let free = state(at, 0, FREE);
            let is = slot[0].load(Ordering::Acquire);
            let claimed = is == free
                && (slot[0].compare_exchange(
                    free,
                    state(at, pid, CLAIMED),
                    Ordering::AcqRel,
                    // Who sees the ticket after it is to see what came before the claim.
                    Ordering::Acquire,
                ))
                .is_ok();
            if claimed || ticket(is) == at {
                // For somebody else, too, who was killed before.
                let after = u64::from(at.wrapping_add(1));
                let _ = next.compare_exchange(at.into(), after, Ordering::AcqRel, Ordering::Relaxed);
            }
            if claimed {
                return Ok((at, slot));
            }
            if (ticket(is).wrapping_sub(at) as i32) < 0 {
                break;
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Somebody waits for this bell, which is to be told to the kernel when it is rung.
    pub(super) fn wait_for(self, bell: u64) {
        self.words[WAITED_FOR].fetch_or(1 << bell, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether somebody has waited for this bell since it was last asked.
    pub(super) fn is_waited_for(self, bell: u64) -> bool {
        fence(Ordering::SeqCst);
        let all = &self.words[WAITED_FOR];
        all.load(Ordering::Relaxed) & 1 << bell != 0
            && all.fetch_and(!(1 << bell), Ordering::SeqCst) & 1 << bell != 0
    }

    /// Every slot free for its first ticket, which is the next one; whatever was there before.
    pub(super) fn empty_mailbox(self) {
        self.words[..HEADER_WORDS].iter().for_each(|word| word.store(0, Ordering::Relaxed));
        for first in 0..SLOTS {
            slot(self, first)[0].store(state(first, 0, FREE), Ordering::Relaxed);
        }
    }
}

/// The one who reads: lonetd.
pub struct Mailbox {
    view: View<'static>,
    /// No message has a lower ticket.
    oldest: u32,
    /// Received, and still in their slots.
    received: Vec<u32>,
}

/// What a process has said.
pub struct Said {
    pub pid: u32,
    len: usize,
    words: [u64; SLOT_WORDS - 2],
}

impl Said {
    /// Copies the message out; its length.
    pub fn copy(&self, to: &mut [u8; ROOM]) -> usize {
        for (to, from) in to.chunks_exact_mut(8).zip(self.words) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        self.len.min(ROOM)
    }
}

impl Mailbox {
    pub(super) fn new(view: View<'static>) -> Mailbox {
        // Tickets lie within two rounds: what is half said has its slot still when all others have had two.
        let before = ticket(slot(view, 0)[0].load(Ordering::Acquire)).wrapping_sub(2 * SLOTS);
        let after = |at: u32| ticket(slot(view, at)[0].load(Ordering::Acquire)).wrapping_sub(before);
        let oldest = before.wrapping_add((0..SLOTS).map(after).min().unwrap_or_default());
        Mailbox { view, oldest, received: Vec::new() }
    }

    /// What has been said, in order, since it was last [`done`](Mailbox::done). `is_alive`: whether this process may yet
    /// fill a slot that it has claimed.
    pub fn receive(&mut self, mut is_alive: impl FnMut(u32) -> bool) -> Vec<Said> {
        let mut all = Vec::new();
        // Not what comes meanwhile: it may follow from what was found half said, which would come after it.
        for at in self.tickets() {
            let slot = slot(self.view, at);
            let is = slot[0].load(Ordering::Acquire);
            match phase(is) {
                _ if ticket(is) != at => {}
                FULL => {
                    let len = slot[1].load(Ordering::Relaxed) as usize;
                    let words = std::array::from_fn(|i| slot[2 + i].load(Ordering::Relaxed));
                    all.push(Said { pid: pid(is), len, words });
                    self.received.push(at);
                }
                _ if is_alive(pid(is)) => {}
                _ => self.received.push(at),
            }
        }
        all
    }

    /// What was received needs to be kept no longer.
    pub fn done(&mut self) {
        for at in self.received.drain(..) {
            let free = state(at.wrapping_add(SLOTS), 0, FREE);
            slot(self.view, at)[0].store(free, Ordering::Release);
        }
        for _ in 0..SLOTS {
            if ticket(slot(self.view, self.oldest)[0].load(Ordering::Relaxed)) == self.oldest {
                break;
            }
            self.oldest = self.oldest.wrapping_add(1);
        }
    }

    /// The tickets that were given so far and may be worth a look.
    fn tickets(&self) -> impl Iterator<Item = u32> + use<> {
        let oldest = self.oldest;
        let next = self.view.words[NEXT].load(Ordering::Acquire) as u32;
        (0..next.wrapping_sub(oldest).min(SLOTS)).map(move |n| oldest.wrapping_add(n))
    }

    /// From now on who says something urgent wakes lonetd. `false`: something has been said meanwhile.
    pub fn sleep(&self) -> bool {
        self.view.words[AWAKE].store(0, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let is_empty = self.is_empty();
        if !is_empty {
            self.wake();
        }
        is_empty
    }

    /// Nothing has been said that was not received.
    pub fn is_empty(&self) -> bool {
        self.tickets()
            .map(|at| (at, slot(self.view, at)[0].load(Ordering::Acquire)))
            .all(|(at, is)| ticket(is) != at || phase(is) != FULL)
    }

    pub fn wake(&self) {
        self.view.words[AWAKE].store(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::super::{View, Writer};
    use super::*;

    fn said(mailbox: &mut Mailbox) -> Vec<(u32, Vec<u8>)> {
        let all = mailbox.receive(|_| true);
        let bytes = |said: &Said| {
            let mut bytes = [0; ROOM];
            let n = said.copy(&mut bytes);
            bytes[..n].to_vec()
        };
        let all = all.iter().map(|said| (said.pid, bytes(said))).collect();
        mailbox.done();
        all
    }

    #[test]
    fn what_is_said_is_received_in_order_and_once() {
        let file = file();
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let program = View::map(file.raw(), false).expect("a mapping");
        for turn in 0..1000u32 {
            for n in 0..3 {
                let said = format!("{turn} {n}");
                program.post(turn + n, true, said.as_bytes()).expect("room");
            }
            let expected: Vec<_> = (0..3).map(|n| (turn + n, format!("{turn} {n}").into_bytes())).collect();
            assert_eq!(said(&mut mailbox), expected);
        }
        assert_eq!(said(&mut mailbox), []);
    }

    #[test]
    fn there_is_no_room_for_more_than_the_slots_have() {
        let file = file();
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let program = View::map(file.raw(), false).expect("a mapping");
        (0..SLOTS).for_each(|n| assert!(program.post(1, true, &n.to_ne_bytes()).is_ok()));
        assert_eq!(program.post(1, true, b"one more"), Err(Errno::EAGAIN));
        assert_eq!(program.post(1, true, &[0; ROOM + 1]), Err(Errno::EMSGSIZE));
        assert_eq!(said(&mut mailbox).len(), SLOTS as usize);
        assert!(program.post(1, true, &[7; ROOM]).is_ok());
        assert_eq!(said(&mut mailbox), [(1, vec![7; ROOM])]);
    }

    #[test]
    fn what_was_received_and_not_done_with_waits_for_the_next_lonetd() {
        let file = file();
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let program = View::map(file.raw(), false).expect("a mapping");
        (0..700u32).for_each(|_| {
            program.post(1, false, b"before").expect("room");
            said(&mut mailbox);
        });
        program.post(2, true, b"received").expect("room");
        assert_eq!(mailbox.receive(|_| true).len(), 1);
        program.post(3, false, b"later").expect("room");
        let mut next = Writer::take(file.raw()).expect("a view").mailbox();
        assert_eq!(said(&mut next), [(2, b"received".to_vec()), (3, b"later".to_vec())]);
    }

    #[test]
    fn who_is_killed_in_the_middle_of_a_word_keeps_nobody_else_from_being_heard() {
        let file = file();
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let program = View::map(file.raw(), false).expect("a mapping");
        program.claim(13).expect("room");
        // Killed even before it has said which ticket is the next.
        let at = program.words[NEXT].load(Ordering::Relaxed) as u32;
        slot(program, at)[0].store(state(at, 14, CLAIMED), Ordering::Relaxed);
        for turn in 0..u64::from(SLOTS) * 2 {
            program.post(1, true, &turn.to_ne_bytes()).expect("room");
            let living = |pid| pid == 13 && turn < 100;
            assert_eq!(mailbox.receive(living).len(), 1, "{turn}");
            mailbox.done();
        }
    }

    #[test]
    fn what_was_half_said_to_a_lonetd_that_was_killed_is_heard_by_the_next_one() {
        let file = file();
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let program = View::map(file.raw(), false).expect("a mapping");
        let last = SLOTS - 1;
        (0..last).for_each(|_| {
            program.post(1, true, b"before").expect("room");
            said(&mut mailbox);
        });
        let (ticket, slot) = program.claim(2).expect("room");
        program.post(1, true, b"meanwhile").expect("room");
        assert_eq!(said(&mut mailbox), [(1, b"meanwhile".to_vec())]);
        let mut next = Writer::take(file.raw()).expect("a view").mailbox();
        slot[1].store(0, Ordering::Relaxed);
        slot[0].store(state(ticket, 2, FULL), Ordering::Release);
        assert_eq!(said(&mut next), [(2, vec![])]);
    }

    #[test]
    fn a_file_of_another_layout_becomes_an_empty_mailbox() {
        let file = file();
        Writer::take(file.raw()).expect("a view");
        let other = View::map(file.raw(), true).expect("a mapping");
        other.words.iter().take(super::super::HEADER + 1).for_each(|w| w.store(u64::MAX, Ordering::Relaxed));
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let program = View::map(file.raw(), false).expect("a mapping");
        program.post(1, true, b"x").expect("room");
        assert_eq!(said(&mut mailbox), [(1, b"x".to_vec())]);
    }

    #[test]
    fn a_lonetd_that_sleeps_is_to_be_woken_for_what_is_urgent() {
        let file = file();
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let program = View::map(file.raw(), false).expect("a mapping");
        mailbox.wake();
        assert_eq!(program.post(1, false, b"x"), Ok(false));
        assert!(!mailbox.sleep(), "something was said");
        assert_eq!(program.post(1, true, b"x"), Ok(false));
        assert_eq!(said(&mut mailbox).len(), 2);
        assert!(mailbox.sleep());
        assert_eq!(program.post(1, false, b"x"), Ok(false));
        assert_eq!(program.post(1, true, b"x"), Ok(true));
    }

    #[test]
    fn many_processes_say_all_that_they_say() {
        let file = file();
        let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
        let raw = file.raw();
        let speakers: Vec<_> = (1..=4u32)
            .map(|pid| {
                std::thread::spawn(move || {
                    let program = View::map(raw, false).expect("a mapping");
                    for n in 0..20_000u32 {
                        while program.post(pid, n % 2 == 0, &n.to_ne_bytes()).is_err() {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut heard = [0u32; 5];
        while heard[1..] != [20_000; 4] {
            for (pid, bytes) in said(&mut mailbox) {
                let next = &mut heard[pid as usize];
                assert_eq!(bytes, next.to_ne_bytes());
                *next += 1;
            }
        }
        speakers.into_iter().for_each(|s| s.join().expect("no panic"));
    }
}
