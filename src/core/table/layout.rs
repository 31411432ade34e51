//! Where everything lies in the file.

use super::listeners::Place;
use super::ports::Page;
use super::record::Record;
use super::slot::Slot;
use super::{events, hops, rules};
use std::sync::atomic::AtomicU64;

/// Sockets of a network. One more is refused with what a full machine answers.
pub const RECORDS: usize = 1 << 17;
/// Processes of a network that act on the table by themselves; others ask.
pub const SLOTS: usize = 1 << 12;
const COOKIES: usize = 1 << 18;
const TUPLES: usize = 1 << 16;
/// One more than the largest index of a host.
pub const HOSTS: usize = 1 << 16;
const PAGES: usize = 1 << 14;
const LISTENERS: usize = 1 << 15;
pub const MEMBERS: usize = 1 << 14;
/// Words of the hosts' names.
pub const NAMES: usize = 3 << 16;

/// The first word of the file: a name, and the version of the layout.
pub const MAGIC: u64 = u64::from_le_bytes(*b"lntable\x05");

/// The head of the table, a page. Words that are often changed lie in cache lines of their own.
#[repr(C, align(4096))]
pub struct Header {
    pub magic: AtomicU64,
    /// A robust futex of lonetd's: see `service`.
    pub service: AtomicU64,
    /// See `names`.
    pub names: AtomicU64,
    /// The world in which cookies and addresses mean something: the boot's id, and the network namespace.
    pub boot: [AtomicU64; 2],
    pub netns: AtomicU64,
    /// N of the network's block.
    pub block: AtomicU64,
    /// lonetd's process.
    pub lonetd: AtomicU64,
    /// The rules for faults: see `rules`; 0 while there is none.
    pub faults: AtomicU64,
    /// How events are recorded: see `events`; 0 while nobody does.
    pub recording: AtomicU64,
    /// The range from which the kernel takes source ports: `low << 16 | high`.
    pub sources: AtomicU64,
    /// The number of the control socket's abstract name; 0: there is none.
    pub door: AtomicU64,
    /// How many times a socket has begun to listen. A dial that has a lower number than a listener was not made to it.
    pub listenings: AtomicU64,
    /// How many times rules for faults have been written.
    pub faults_made: AtomicU64,
    /// How many of the first places of `hops` have ever been used.
    pub hops_used: AtomicU64,
    _rest_of_line: [AtomicU64; 1],
    /// How many of the first records have ever been taken.
    pub records_used: AtomicU64,
    /// How many words of names are in use.
    pub names_used: AtomicU64,
    /// How many of the first places for members have ever been used.
    pub members_used: AtomicU64,
    _rest_of_line_2: [AtomicU64; 5],
    /// How many dials got their source port by the kernel's choice, and how many tried more than one.
    pub kernel_chose: AtomicU64,
    pub tried_again: AtomicU64,
    _rest_of_line_3: [AtomicU64; 6],
    /// Counts events.
    pub events: AtomicU64,
    _rest_of_line_4: [AtomicU64; 7],
    /// lonetd has done with the events up to this number.
    pub events_taken: AtomicU64,
}

/// A process of the network, and one of its hosts.
#[repr(C)]
pub struct Member {
    /// `pid << 32 | host << 16 | flags`; 0: none.
    pub who: AtomicU64,
    /// When it began, in clock ticks since boot.
    pub began: AtomicU64,
}

#[repr(C)]
pub struct Layout {
    pub header: Header,
    pub slots: [Slot<AtomicU64>; SLOTS],
    /// The first slot of each host.
    pub heads: [AtomicU64; HOSTS],
    pub marks: [AtomicU64; HOSTS],
    /// Each host's name and flags.
    pub hosts: [AtomicU64; HOSTS],
    /// Whose each page of ports is.
    pub directory: [AtomicU64; PAGES],
    pub tuples: [AtomicU64; TUPLES],
    pub cookies: [AtomicU64; COOKIES],
    pub listeners: [Place<AtomicU64>; LISTENERS],
    pub members: [Member; MEMBERS],
    pub names: [AtomicU64; NAMES],
    pub pages: [Page<AtomicU64>; PAGES],
    pub records: [Record<AtomicU64>; RECORDS],
    pub rules: [rules::Place; 2],
    /// What each rule has met.
    pub hits: [AtomicU64; rules::COUNTERS],
    pub hops: [hops::Place; hops::PLACES],
    pub events: [events::Place; events::EVENTS],
}

/// The length of the file, in bytes.
pub const SIZE: usize = size_of::<Layout>();

// Nothing here depends on who compiles it: a program of yesterday and a lonetd of today agree, or differ in MAGIC.
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Record<AtomicU64>>() == 128 && align_of::<Record<AtomicU64>>() == 128);
    assert!(size_of::<Slot<AtomicU64>>() == 128);
    assert!(size_of::<Place<AtomicU64>>() == 32);
    assert!(size_of::<Page<AtomicU64>>() == 512);
    assert!(size_of::<Header>() == 4096 && size_of::<Member>() == 16);
    assert!(offset_of!(Header, names) == 16 && offset_of!(Header, recording) == 72);
    assert!(offset_of!(Header, records_used) == 128 && offset_of!(Header, kernel_chose) == 192);
    assert!(offset_of!(Header, events) == 256 && offset_of!(Header, events_taken) == 320);
    assert!(size_of::<events::Place>() == 64);
    assert!(offset_of!(Layout, slots) == 0x1000);
    assert!(offset_of!(Layout, heads) == 0x8_1000);
    assert!(offset_of!(Layout, records) % 4096 == 0);
    assert!(SIZE <= 36 << 20);
};
