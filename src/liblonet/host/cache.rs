//! Cache of lonetd's replies about names: a program that makes many connections looks up the same name each
//! time.
//!
//! A reply carries the generation of names for which it is valid: it is valid while the table has the same
//! generation and a lonetd serves it ([`Table::names_generation`]). A lookup makes the process a member of the network,
//! so replies are for the process that asked: a child of a fork asks for itself.
//!
//! The replies are in a few slots of static memory, by the name as it was looked up. A slot has a sequence
//! number that is odd during a write: a reader compares it before and after, and a second writer leaves the
//! slot alone. So nobody waits, in a signal handler or in a child that was forked in the middle of a write; a
//! slot whose writer does not return is lost to that process.

use lonet_core::block::fnv1a;
use lonet_core::control::Reply;
use lonet_core::sys::getpid;
use lonet_core::table::Table;
use std::sync::atomic::{AtomicU64, Ordering, fence};

const SLOTS: usize = 8;

/// The longest name of a host, rounded up; longer spellings are not cached.
const TEXT: usize = 64;
const TEXT_WORDS: usize = TEXT / 8;

// The words of a slot besides its sequence number.
const GENERATION: usize = 0;
const PID: usize = 1;
/// The host's index and the lengths of the three texts.
const NUMBERS: usize = 2;
const ASKED: usize = 3;
const NAME: usize = ASKED + TEXT_WORDS;
const ASCII: usize = NAME + TEXT_WORDS;
const WORDS: usize = ASCII + TEXT_WORDS;

struct Slot {
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

static CACHE: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];

/// A cached reply.
pub struct CachedReply {
    numbers: u64,
    generation: u64,
    name: [u8; TEXT],
    ascii: [u8; TEXT],
}

impl CachedReply {
    pub fn reply(&self) -> Reply<'_> {
        let text = |bytes, len| text(bytes, len).unwrap_or_default();
        Reply::Host {
            index: self.numbers as u16,
            name: text(&self.name, self.numbers >> 24),
            ascii: text(&self.ascii, self.numbers >> 32),
            generation: self.generation,
        }
    }
}

/// The cached reply for this name, if it is valid.
pub fn find(table: Table<'_>, name: &[u8]) -> Option<CachedReply> {
    find_in(&CACHE, table.names_generation()?, name)
}

/// Caches the reply for this name, if lonetd allows it.
pub fn insert(name: &[u8], reply: &Reply<'_>) {
    insert_in(&CACHE, name, reply);
}

fn find_in(slots: &[Slot], generation: u64, name: &[u8]) -> Option<CachedReply> {
    let asked = pack(name)?;
    let words = slots.iter().find_map(|slot| {
        slot.read().filter(|words| words[GENERATION] == generation && is_of(words, name, &asked))
    })?;
    (words[PID] == getpid() as u64).then(|| CachedReply {
        numbers: words[NUMBERS],
        generation,
        name: unpack(&words[NAME..]),
        ascii: unpack(&words[ASCII..]),
    })
}

fn insert_in(slots: &[Slot], asked: &[u8], reply: &Reply<'_>) -> Option<()> {
    let Reply::Host { index, name, ascii, generation: generation @ 1.. } = *reply else { return None };
    let mut words = [0; WORDS];
    words[GENERATION] = generation;
    words[PID] = getpid() as u64;
    let lengths = [asked, name.as_bytes(), ascii.as_bytes()].map(|text| text.len() as u64);
    words[NUMBERS] = u64::from(index) | lengths[0] << 16 | lengths[1] << 24 | lengths[2] << 32;
    for (at, text) in [(ASKED, asked), (NAME, name.as_bytes()), (ASCII, ascii.as_bytes())] {
        words[at..at + TEXT_WORDS].copy_from_slice(&pack(text)?);
    }
    let packed = pack(asked)?;
    // The slot of this name; else one that is no longer valid; else any.
    let same = slots.iter().find(|slot| slot.read().is_some_and(|words| is_of(&words, asked, &packed)));
    let stale = || slots.iter().find(|slot| slot.read().is_some_and(|words| words[GENERATION] != generation));
    let any = || slots.get(fnv1a(asked) as usize % slots.len());
    same.or_else(stale).or_else(any)?.write(&words);
    Some(())
}

fn is_of(words: &[u64; WORDS], name: &[u8], packed: &[u64; TEXT_WORDS]) -> bool {
    words[NUMBERS] >> 16 & 0xff == name.len() as u64 && words[ASKED..NAME] == *packed
}

impl Slot {
    const fn new() -> Slot {
        Slot { sequence: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; WORDS] }
    }

    /// The words; `None` during a write.
    fn read(&self) -> Option<[u64; WORDS]> {
        let sequence = self.sequence.load(Ordering::Acquire);
        let words = std::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let is_steady = sequence.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == sequence;
        is_steady.then_some(words)
    }

    /// Writes the words, unless another writer is at it.
    fn write(&self, words: &[u64; WORDS]) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        let odd = sequence | 1;
        let taken = self.sequence.compare_exchange(sequence & !1, odd, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            return;
        }
        fence(Ordering::Release);
        for (to, from) in self.words.iter().zip(words) {
            to.store(*from, Ordering::Relaxed);
        }
        self.sequence.store(odd.wrapping_add(1), Ordering::Release);
    }
}

/// The name in words; `None`: too long.
fn pack(text: &[u8]) -> Option<[u64; TEXT_WORDS]> {
    let mut bytes = [0; TEXT];
    bytes.get_mut(..text.len())?.copy_from_slice(text);
    let (words, _) = bytes.as_chunks::<8>();
    Some(std::array::from_fn(|i| u64::from_ne_bytes(words[i])))
}

fn unpack(words: &[u64]) -> [u8; TEXT] {
    std::array::from_fn(|i| words[i / 8].to_ne_bytes()[i % 8])
}

fn text(bytes: &[u8; TEXT], len: u64) -> Option<&str> {
    std::str::from_utf8(bytes.get(..(len & 0xff) as usize)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> [Slot; SLOTS] {
        [const { Slot::new() }; SLOTS]
    }

    fn reply(index: u16, generation: u64) -> Reply<'static> {
        Reply::Host { index, name: "β", ascii: "xn--nxa", generation }
    }

    fn index(slots: &[Slot], generation: u64, name: &str) -> Option<u16> {
        match find_in(slots, generation, name.as_bytes())?.reply() {
            Reply::Host { index, .. } => Some(index),
            _ => None,
        }
    }

    #[test]
    fn valid_reply_is_found_as_it_was_cached() {
        let slots = slots();
        insert_in(&slots, "B\u{3b2}".as_bytes(), &reply(7, 3));
        let cached = find_in(&slots, 3, "B\u{3b2}".as_bytes()).expect("an answer");
        assert_eq!(cached.reply(), reply(7, 3));
        assert_eq!(index(&slots, 3, "β"), None, "another spelling");
    }

    #[test]
    fn reply_of_another_generation_is_not_found() {
        let slots = slots();
        insert_in(&slots, b"b", &reply(7, 3));
        assert_eq!(index(&slots, 4, "b"), None);
        insert_in(&slots, b"b", &reply(8, 4));
        assert_eq!(index(&slots, 4, "b"), Some(8));
        assert_eq!(index(&slots, 3, "b"), None);
    }

    #[test]
    fn reply_without_a_generation_is_not_cached() {
        let slots = slots();
        insert_in(&slots, b"b", &reply(7, 0));
        insert_in(&slots, b"b", &Reply::Error { errno: libc::ENOENT, text: "" });
        assert!(slots.iter().all(|slot| slot.sequence.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn reply_to_another_process_is_not_found() {
        let slots = slots();
        insert_in(&slots, b"b", &reply(7, 3));
        slots.iter().for_each(|slot| _ = slot.words[PID].fetch_add(1, Ordering::Relaxed));
        assert_eq!(index(&slots, 3, "b"), None);
        insert_in(&slots, b"b", &reply(7, 3));
        assert_eq!(index(&slots, 3, "b"), Some(7), "in the place of the other's");
    }

    #[test]
    fn full_cache_replaces_invalid_replies() {
        let slots = slots();
        let names: Vec<String> = (0..SLOTS).map(|n| format!("host-{n}")).collect();
        for generation in 1..=3 {
            (0u16..)
                .zip(&names)
                .for_each(|(n, name)| _ = insert_in(&slots, name.as_bytes(), &reply(n, generation)));
            let found: Vec<_> = names.iter().filter_map(|name| index(&slots, generation, name)).collect();
            assert_eq!(found, (0..SLOTS as u16).collect::<Vec<_>>());
        }
        insert_in(&slots, b"one more", &reply(99, 3));
        assert_eq!(index(&slots, 3, "one more"), Some(99));
    }

    #[test]
    fn name_that_is_too_long_is_not_cached() {
        let slots = slots();
        let long = "x".repeat(TEXT);
        assert!(insert_in(&slots, long.as_bytes(), &reply(7, 3)).is_some());
        assert_eq!(index(&slots, 3, &long), Some(7));
        assert!(insert_in(&slots, "x".repeat(TEXT + 1).as_bytes(), &reply(7, 3)).is_none());
        assert_eq!(index(&slots, 3, &"x".repeat(TEXT + 1)), None);
    }

    #[test]
    fn abandoned_write_blocks_nobody() {
        let slots = slots();
        slots[0].sequence.store(1, Ordering::Relaxed);
        insert_in(&slots, b"b", &reply(7, 3));
        assert_eq!(index(&slots, 3, "b"), Some(7));
        slots.iter().for_each(|slot| slot.sequence.store(1, Ordering::Relaxed));
        insert_in(&slots, b"c", &reply(8, 3));
        assert_eq!((index(&slots, 3, "b"), index(&slots, 3, "c")), (None, None));
    }

    #[test]
    fn concurrent_writes_are_never_mixed() {
        let slots = slots();
        let letters = "abcdefghijklmnop";
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for turn in 0..40_000 {
                            let letter = &letters[turn % 16..][..1];
                            let text = letter.repeat(60);
                            let reply = Reply::Host {
                                index: turn as u16 % 16,
                                name: &text,
                                ascii: &text,
                                generation: 1,
                            };
                            insert_in(&slots, letter.as_bytes(), &reply);
                        }
                    })
                })
                .collect();
            while !writers.iter().all(|s| s.is_finished()) {
                for (n, letter) in letters.char_indices() {
                    let name = letter.to_string();
                    let Some(cached) = find_in(&slots, 1, name.as_bytes()) else { continue };
                    let text = name.repeat(60);
                    assert_eq!(
                        cached.reply(),
                        Reply::Host { index: n as u16, name: &text, ascii: &text, generation: 1 }
                    );
                }
            }
        });
    }
}
