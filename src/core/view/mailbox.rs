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
/// No message that lonetd has not done with has a lower ticket.
const OLDEST: usize = 24;
/// Two words for `sleep`.
pub(super) const SLEEP: usize = 8;
/// Which bells somebody waits for, by bits.
const WAITED_FOR: usize = 16;

/// So many messages that wait are urgent, whatever they say: the next ones might find no room.
const MANY: u32 = SLOTS / 2;

/// In a slot, beside the length: somebody waits for what comes of it.
const URGENT: u64 = 1 << 32;

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
    /// Says `message`. EAGAIN: there is no room; EMSGSIZE: nor would there ever be.
    ///
    /// `pid`: the process that says it, as lonetd sees it. What is not `urgent` wakes nobody, unless much waits: it
    /// is taken with what comes next.
    pub fn post(self, pid: u32, urgent: bool, message: &[u8]) -> Result<(), Errno> {
        if message.len() > ROOM {
            return Err(Errno::EMSGSIZE);
        }
        let (ticket, slot) = self.claim(pid)?;
        let oldest = self.words[OLDEST].load(Ordering::Relaxed) as u32;
        let urgent = urgent || ticket.wrapping_sub(oldest) >= MANY;
        slot[1].store(message.len() as u64 | if urgent { URGENT } else { 0 }, Ordering::Relaxed);
        for (to, from) in slot[2..].iter().zip(message.chunks(8)) {
            let mut word = [0; 8];
            word[..from.len()].copy_from_slice(from);
            to.store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
        slot[0].store(state(ticket, pid, FULL), Ordering::Release);
        if urgent {
            self.knock_if_asleep();
        }
        Ok(())
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
    pub(super) view: View<'static>,
    /// No message has a lower ticket.
    oldest: u32,
    /// Received, and still in their slots.
    received: Vec<u32>,
}

/// What a process has said.
pub struct Said {
    pub pid: u32,
    /// Somebody waits for what comes of it.
    pub urgent: bool,
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
        view.words[OLDEST].store(oldest.into(), Ordering::Relaxed);
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
                    let head = slot[1].load(Ordering::Relaxed);
                    let (len, urgent) = (head as u32 as usize, head & URGENT != 0);
                    let words = std::array::from_fn(|i| slot[2 + i].load(Ordering::Relaxed));
                    all.push(Said { pid: pid(is), urgent, len, words });
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
        self.view.words[OLDEST].store(self.oldest.into(), Ordering::Relaxed);
    }

    /// The tickets that were given so far and may be worth a look.
    fn tickets(&self) -> impl Iterator<Item = u32> + use<> {
        let oldest = self.oldest;
        let next = self.view.words[NEXT].load(Ordering::Acquire) as u32;
        (0..next.wrapping_sub(oldest).min(SLOTS)).map(move |n| oldest.wrapping_add(n))
    }

    /// Nothing has been said that was not received.
    pub fn is_empty(&self) -> bool {
        self.tickets()
            .map(|at| (at, slot(self.view, at)[0].load(Ordering::Acquire)))
            .all(|(at, is)| ticket(is) != at || phase(is) != FULL)
    }
}

#[cfg(test)]
mod tests;
