//! The read-only view of a network's sockets: a table in shared memory, by cookie, and who listens where. Before it in
//! the same file lies what programs may write, the [`mailbox`].
//!
//! lonetd writes it, and every process maps it when it first speaks to lonetd, so that who calls, what a socket is
//! called and where a dial leads need no question. The table says a part of what lonetd knows; whoever finds nothing
//! in it asks.
//!
//! It is a file of fixed size, allocated in full before anybody maps it, so that no disk that is full later can
//! take a page away from a program. A new lonetd takes up the file of the one before: what was mapped stays true.
//! A socket has one of four slots, by its cookie; a fifth socket for the same four is not in the table. Writing is
//! announced in the slot's sequence number, which is odd meanwhile: who reads compares it before and after.
//!
//! All words are atomic, and nothing in the file is a pointer.

mod dials;
mod door;
mod futex;
pub mod mailbox;
mod names;
mod service;
pub mod sleep;

use crate::block::Endpoint;
use crate::directory::Directory;
use crate::sys::{self, check};
use mailbox::Mailbox;
use nix::errno::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering, fence};

const WORDS: usize = 8;
const WAYS: usize = 4;
const SETS: usize = 1 << 15;
const HEADER: usize = mailbox::WORDS;
const HEADER_WORDS: usize = 512;
const TABLE: usize = HEADER + HEADER_WORDS;

/// The length of the file, in bytes.
pub const SIZE: usize = (TABLE + SETS * WAYS * WORDS) * 8;

/// The header's first word: a name and a version of the layout. The second one is `service`'s, the third `names`', the fourth `door`'s.
const MAGIC: u64 = u64::from_le_bytes(*b"lnview\0\x07");

/// What the view says of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub local: Option<Endpoint>,
    pub peer: Option<Endpoint>,
    /// Where the kernel has the other end; 0.0.0.0:0 for none.
    pub os_remote: SocketAddrV4,
    /// The port that a dial was for.
    pub dialed_port: u16,
    /// Which of its host's addresses a listener answers on, or a dial was for: bits, see lonetd's `Classes`.
    pub class: u8,
    pub is_dial: bool,
    pub is_listener: bool,
    /// What the program set.
    pub reuse_address: bool,
    pub v6only: bool,
}

/// A mapping of the view.
#[derive(Clone, Copy)]
pub struct View<'a> {
    words: &'a [AtomicU64],
}

impl<'a> View<'a> {
    /// Maps the open file `fd`, for writing all of it if `write`. It stays unless a [`Mapping`] is made of it.
    pub fn map(fd: i32, write: bool) -> Result<View<'a>, Errno> {
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let map = |at, size, protection, flags| {
            // SAFETY: a new mapping where the kernel likes, or in the place of a part of that.
            unsafe { sys::mmap(at, size, protection, libc::MAP_SHARED | flags, fd) }
        };
        let at = map(std::ptr::null_mut(), SIZE, if write { both } else { libc::PROT_READ }, 0)?;
        // SAFETY: SIZE bytes, page-aligned; all access is atomic.
        let words = unsafe { std::slice::from_raw_parts(at.cast::<AtomicU64>(), SIZE / 8) };
        if !write && let Err(e) = map(at, mailbox::WORDS * 8, both, libc::MAP_FIXED) {
            drop(Mapping(View { words }));
            return Err(e);
        }
        Ok(View { words })
    }

    /// The address of the mapping, to keep it in an atomic.
    pub fn address(self) -> usize {
        self.words.as_ptr().expose_provenance()
    }

    /// The mapping at `address`, which [`View::address`] gave in this process or one that it is a child of.
    ///
    /// # Safety
    /// `address` is of a mapping that is not taken away meanwhile.
    pub unsafe fn at(address: usize) -> View<'a> {
        let words = std::ptr::with_exposed_provenance::<AtomicU64>(address);
        // SAFETY: as the caller promises.
        View { words: unsafe { std::slice::from_raw_parts(words, SIZE / 8) } }
    }

    /// Whether lonetd has written here, in this layout.
    pub fn is_ready(self) -> bool {
        self.words[HEADER].load(Ordering::Acquire) == MAGIC
    }

    fn slots(self, cookie: u64) -> impl Iterator<Item = &'a [AtomicU64]> {
        // Cookies count up, for each processor in runs of 4096: taken as they are they fill all sets alike, and the few
        // sockets of a small program lie together in memory. Listeners do not: twenty hosts have the same port.
        let set = match cookie & LISTENER {
            0 => cookie % SETS as u64,
            _ => cookie.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SETS.trailing_zeros()),
        };
        let first = TABLE + set as usize * WAYS * WORDS;
        (0..WAYS).map(move |way| &self.words[first + way * WORDS..][..WORDS])
    }

    /// What is said of the socket with this cookie. `None`: ask.
    pub fn find(self, cookie: u64) -> Option<Entry> {
        let slot = self.slots(cookie).find(|slot| slot[1].load(Ordering::Relaxed) == cookie)?;
        let sequence = slot[0].load(Ordering::Acquire);
        let words: [u64; WORDS] = std::array::from_fn(|i| slot[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let steady = sequence % 2 == 0 && slot[0].load(Ordering::Relaxed) == sequence && words[1] == cookie;
        steady.then(|| unpack(&words))
    }

    /// Where a dial to this port of the host with this index leads. `class`: which of its addresses, 0 for its own,
    /// 1 for the loopback, and 2 more where they are IPv6 ones. `None`: ask.
    pub fn listener(self, host: u16, port: u16, class: u8) -> Option<SocketAddrV4> {
        self.find(listener_key(host, port, class)).map(|e| e.os_remote)
    }
}

/// Marks what stands in the place of a cookie; those count up from 1.
const LISTENER: u64 = 1 << 63;

fn listener_key(host: u16, port: u16, class: u8) -> u64 {
    LISTENER | u64::from(host) << 32 | u64::from(port) << 8 | u64::from(class)
}

/// The one who writes: lonetd.
pub struct Writer(View<'static>);

impl Writer {
    /// Takes the file `fd` as its own: allocated in full, and empty, but for what programs have said that nobody has heard.
    pub fn take(fd: i32) -> Result<Writer, Errno> {
        // SAFETY: no pointers.
        check(unsafe { libc::syscall(libc::SYS_fallocate, fd, 0, 0, SIZE) })?;
        let view = View::map(fd, true)?;
        if view.is_ready() {
            for slot in view.words[TABLE..].chunks_exact(WORDS) {
                if slot[1].load(Ordering::Relaxed) != 0 || slot[0].load(Ordering::Relaxed) % 2 == 1 {
                    write(slot, 0, None);
                }
            }
        } else {
            view.empty_mailbox();
        }
        view.words[HEADER].store(MAGIC, Ordering::Release);
        let mut writer = Writer(view);
        writer.names_changed();
        Ok(writer)
    }

    pub fn mailbox(&self) -> Mailbox {
        Mailbox::new(self.0)
    }

    /// Says where a dial leads; see [`View::listener`].
    pub fn set_listener(&mut self, host: u16, port: u16, class: u8, os: Option<SocketAddrV4>) {
        let entry = os.map(|os_remote| Entry {
            local: None,
            peer: None,
            os_remote,
            dialed_port: port,
            class,
            is_dial: false,
            is_listener: true,
            reuse_address: false,
            v6only: false,
        });
        self.set(listener_key(host, port, class), entry.as_ref());
    }

    /// Says `entry` of a socket, or nothing any more.
    pub fn set(&mut self, cookie: u64, entry: Option<&Entry>) {
        let has = |slot: &&[AtomicU64], cookie| slot[1].load(Ordering::Relaxed) == cookie;
        let slot = self.0.slots(cookie).find(|slot| has(slot, cookie));
        match (slot, entry) {
            (Some(slot), None) => write(slot, 0, None),
            (None, None) => {}
            (slot, Some(entry)) => {
                if let Some(slot) = slot.or_else(|| self.0.slots(cookie).find(|slot| has(slot, 0))) {
                    write(slot, cookie, Some(entry));
                }
            }
        }
    }
}

fn write(slot: &[AtomicU64], cookie: u64, entry: Option<&Entry>) {
    let sequence = slot[0].load(Ordering::Relaxed) | 1;
    slot[0].store(sequence, Ordering::Relaxed);
    fence(Ordering::Release);
    slot[1].store(cookie, Ordering::Relaxed);
    for (to, from) in slot[2..].iter().zip(entry.map_or([0; WORDS - 2], pack)) {
        to.store(from, Ordering::Relaxed);
    }
    slot[0].store(sequence.wrapping_add(1), Ordering::Release);
}

fn halves(ip: Ipv6Addr) -> [u64; 2] {
    let all = u128::from(ip);
    [(all >> 64) as u64, all as u64]
}

fn pack(e: &Entry) -> [u64; WORDS - 2] {
    let nobody = Endpoint::new(Ipv6Addr::UNSPECIFIED, 0);
    let (local, peer) = (e.local.unwrap_or(nobody), e.peer.unwrap_or(nobody));
    let flags = [e.local.is_some(), e.peer.is_some(), e.is_dial, e.is_listener, e.reuse_address, e.v6only];
    let flags = flags.iter().enumerate().fold(0u64, |all, (i, f)| all | u64::from(*f) << i);
    let ports = u64::from(local.port) | u64::from(peer.port) << 16 | u64::from(e.dialed_port) << 32;
    let ([a, b], [c, d]) = (halves(local.ip), halves(peer.ip));
    let os = u64::from(u32::from(*e.os_remote.ip())) | u64::from(e.os_remote.port()) << 32;
    [a, b, c, d, ports | u64::from(e.class) << 48 | flags << 56, os]
}

fn unpack(words: &[u64; WORDS]) -> Entry {
    let ip = |i: usize| Ipv6Addr::from(u128::from(words[i]) << 64 | u128::from(words[i + 1]));
    let (mixed, os) = (words[6], words[7]);
    let flag = |i: u32| mixed >> (56 + i) & 1 == 1;
    Entry {
        local: flag(0).then(|| Endpoint::new(ip(2), mixed as u16)),
        peer: flag(1).then(|| Endpoint::new(ip(4), (mixed >> 16) as u16)),
        os_remote: SocketAddrV4::new(Ipv4Addr::from(os as u32), (os >> 32) as u16),
        dialed_port: (mixed >> 32) as u16,
        class: (mixed >> 48) as u8,
        is_dial: flag(2),
        is_listener: flag(3),
        reuse_address: flag(4),
        v6only: flag(5),
    }
}

/// A mapping that goes with this.
pub struct Mapping(View<'static>);

impl Mapping {
    /// Opens the view in `<net>` and maps it for reading, and its mailbox for writing. `None`: there is no view to be had.
    ///
    /// A file that lonetd could not allocate in full, or has not yet, is shorter: to look into its mapping would be a
    /// SIGBUS.
    pub fn open(directory: &Directory) -> Option<Mapping> {
        let fd = directory.open(c"view", libc::O_RDWR).ok()?;
        if sys::fstat(fd.raw()).ok()?.st_size < SIZE as i64 {
            return None;
        }
        let mapping = Mapping(View::map(fd.raw(), false).ok()?);
        mapping.0.is_ready().then_some(mapping)
    }

    /// As [`View::address`].
    pub fn address(&self) -> usize {
        self.0.address()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: whoever looks there keeps this.
        unsafe { sys::munmap(self.0.words.as_ptr().cast_mut().cast(), SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    pub fn file() -> sys::Fd {
        // SAFETY: a C string.
        let fd = unsafe { libc::memfd_create(c"view".as_ptr(), libc::MFD_CLOEXEC) };
        sys::Fd::new(fd).expect("a memory file")
    }

    pub fn entry(port: u16) -> Entry {
        let ip = Ipv4Addr::new(127, 7, 0, 1);
        Entry {
            local: Some(Endpoint::from(SocketAddrV4::new(ip, port))),
            peer: Some(Endpoint::new(Ipv6Addr::new(0xfd6c, 1, 2, 3, 4, 5, 6, 7), 65535)),
            os_remote: SocketAddrV4::new(ip, 10_000),
            dialed_port: 80,
            class: 9,
            is_dial: true,
            is_listener: false,
            reuse_address: true,
            v6only: true,
        }
    }

    #[test]
    fn what_is_written_is_read_by_another_mapping() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        let reader = View::map(file.raw(), false).expect("a mapping");
        for cookie in 1..=1000 {
            writer.set(cookie, Some(&entry(cookie as u16)));
        }
        assert_eq!(reader.find(77), Some(entry(77)));
        writer.set(77, None);
        assert_eq!(reader.find(77), None);
        assert_eq!(reader.find(78), Some(entry(78)));
    }

    #[test]
    fn a_new_writer_begins_with_nothing_in_the_same_file() {
        let file = file();
        Writer::take(file.raw()).expect("a view").set(5, Some(&entry(5)));
        let reader = View::map(file.raw(), false).expect("a mapping");
        let mut next = Writer::take(file.raw()).expect("a view");
        assert_eq!(reader.find(5), None);
        next.set(5, Some(&entry(6)));
        assert_eq!(reader.find(5), Some(entry(6)));
    }

    #[test]
    fn a_fifth_socket_for_the_same_slots_is_left_out() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        let cookies: Vec<u64> = (1..=5).map(|turn| turn * SETS as u64).collect();
        cookies.iter().for_each(|c| writer.set(*c, Some(&entry(1))));
        let found = |c: &&u64| writer.0.find(**c).is_some();
        assert_eq!(cookies.iter().filter(found).count(), 4);
    }
}
