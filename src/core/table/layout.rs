//! The layout of the table's file, which holds the state of a network and is mapped by all its processes.

use super::listeners::ListenerCell;
use super::ports::Page;
use super::record::Record;
use super::slot::Slot;
use super::{events, hops, rules};
use std::sync::atomic::AtomicU64;

/// Sockets of a network. lonetd handles further ones itself, logs an error, and loses them when it is
/// restarted.
pub const RECORDS: usize = 1 << 17;
/// Processes of a network that act on the table by themselves; all others ask lonetd.
pub const SLOTS: usize = 1 << 12;
const COOKIES: usize = 1 << 18;
const TUPLES: usize = 1 << 16;
/// Room for every index of a host.
pub const HOSTS: usize = 1 << 16;
const PAGES: usize = 1 << 14;
const LISTENERS: usize = 1 << 15;
pub const MEMBERS: usize = 1 << 14;
/// Words for the names of hosts.
pub const NAMES: usize = 3 << 16;

/// The first word of the file: an identifier and the version of the layout.
pub const MAGIC: u64 = u64::from_le_bytes(*b"lntable\x06");

/// The head of the table, one page. Words that change often have cache lines of their own.
#[repr(C, align(4096))]
pub struct Header {
    pub magic: AtomicU64,
    /// A robust futex that lonetd holds: see `service`.
    pub service: AtomicU64,
    /// See `names`.
    pub names_generation: AtomicU64,
    /// The boot id. With `netns` it says where the cookies and addresses are valid.
    pub boot: [AtomicU64; 2],
    /// The network namespace.
    pub netns: AtomicU64,
    /// N of the network's block.
    pub block: AtomicU64,
    /// lonetd's pid.
    pub lonetd: AtomicU64,
    /// Version of the fault rules: see `rules`; 0 while there are none.
    pub faults: AtomicU64,
    /// Not 0 while events are recorded: flags of lonetd's. See `events`.
    pub recording: AtomicU64,
    /// The range from which the kernel takes source ports: `low << 16 | high`.
    pub sources: AtomicU64,
    /// Number of the control socket's abstract name; 0: it has none.
    pub abstract_name: AtomicU64,
    /// Counts sockets that begin to listen. A dial with a lower number than a listener was not made to it.
    pub listen_count: AtomicU64,
    /// Counts changes of the fault rules.
    pub faults_made: AtomicU64,
    /// Length of the part of `hops` that was ever used.
    pub hops_used: AtomicU64,
    _rest_of_line: [AtomicU64; 1],
    /// Length of the part of `records` that was ever used.
    pub records_used: AtomicU64,
    /// Words of `names` in use.
    pub names_used: AtomicU64,
    /// Length of the part of `members` that was ever used.
    pub members_used: AtomicU64,
    _rest_of_line_2: [AtomicU64; 5],
    /// Dials whose source port the kernel chose.
    pub kernel_chose: AtomicU64,
    /// Source ports that were already in use, so that a dial tried another one.
    pub tried_again: AtomicU64,
    _rest_of_line_3: [AtomicU64; 6],
    /// Number of the last event.
    pub events: AtomicU64,
    _rest_of_line_4: [AtomicU64; 7],
    /// Number of the last event that lonetd has taken or skipped.
    pub events_taken: AtomicU64,
}

/// A process of the network, and one of its hosts.
#[repr(C)]
pub struct Member {
    /// `pid << 32 | host << 16 | flags`; 0: none.
    pub who: AtomicU64,
    /// Start time of the process, in clock ticks since boot.
    pub began: AtomicU64,
}

#[repr(C)]
pub struct Layout {
    pub header: Header,
    pub slots: [Slot<AtomicU64>; SLOTS],
    /// The first slot of each host: see `slot`.
    pub heads: [AtomicU64; HOSTS],
    /// The low-water mark of each host: see `ports`.
    pub marks: [AtomicU64; HOSTS],
    /// Each host's name and flags.
    pub hosts: [AtomicU64; HOSTS],
    /// When the last process of each host has left it, in nanoseconds on CLOCK_MONOTONIC; 0: none has.
    pub left: [AtomicU64; HOSTS],
    /// Host and port range of each page of ports.
    pub directory: [AtomicU64; PAGES],
    pub tuples: [AtomicU64; TUPLES],
    pub cookies: [AtomicU64; COOKIES],
    pub listeners: [ListenerCell<AtomicU64>; LISTENERS],
    pub members: [Member; MEMBERS],
    pub names: [AtomicU64; NAMES],
    pub pages: [Page<AtomicU64>; PAGES],
    pub records: [Record<AtomicU64>; RECORDS],
    pub rules: [rules::RuleSet; 2],
    /// The rules' counters of hits.
    pub hits: [AtomicU64; rules::COUNTERS],
    pub hops: [hops::HopsCell; hops::CELLS],
    pub events: [events::EventCell; events::EVENTS],
}

/// The length of the file, in bytes.
pub const SIZE: usize = size_of::<Layout>();

// The layout does not depend on the compiler: a program and a lonetd of different builds agree on it, or
// differ in MAGIC.
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Record<AtomicU64>>() == 128 && align_of::<Record<AtomicU64>>() == 128);
    assert!(size_of::<Slot<AtomicU64>>() == 128);
    assert!(size_of::<ListenerCell<AtomicU64>>() == 32);
    assert!(size_of::<Page<AtomicU64>>() == 512);
    assert!(size_of::<Header>() == 4096 && size_of::<Member>() == 16);
    assert!(offset_of!(Header, names_generation) == 16 && offset_of!(Header, recording) == 72);
    assert!(offset_of!(Header, records_used) == 128 && offset_of!(Header, kernel_chose) == 192);
    assert!(offset_of!(Header, events) == 256 && offset_of!(Header, events_taken) == 320);
    assert!(size_of::<events::EventCell>() == 64);
    assert!(offset_of!(Layout, slots) == 0x1000);
    assert!(offset_of!(Layout, heads) == 0x8_1000);
    assert!(offset_of!(Layout, records) % 4096 == 0);
    // What each network takes of the disk, or of memory on a tmpfs: the file is allocated in full.
    assert!(SIZE <= 36 << 20);
};
