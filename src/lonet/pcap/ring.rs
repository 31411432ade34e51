//! Reads the packets of a network from a packet socket on the loopback, through a ring in shared memory.
//!
//! See packet(7), and Documentation/networking/packet_mmap.rst of the kernel. Packets are handed over in blocks: when one is full,
//! or [`BLOCK_TIMEOUT`] after it was begun. A socket bound to all protocols gets a packet when it is sent, and when it arrives,
//! before TCP does. Outgoing packets are ignored, so that a packet on the loopback comes once. (A socket bound to one protocol
//! gets it once, too, but after TCP: another processor's answer to it may come first.) A filter in the kernel drops packets of
//! other networks.

use super::pcapng::Statistics;
use libc::{c_int, sock_filter};
use lonet_core::block::Block;
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a packet may wait in a block that is not full (tp_retire_blk_tov).
pub const BLOCK_TIMEOUT: Duration = Duration::from_millis(10);

/// The size of a block: sixteen of the largest packets.
const BLOCK: usize = 1 << 20;
/// The number of blocks. If there is no memory for them, half of them are requested, and so on, down to [`MIN_BLOCKS`].
const BLOCKS: usize = 64;
const MIN_BLOCKS: usize = 2;
/// The frame size, which the kernel requires but does not use for blocks.
const FRAME: usize = 1 << 11;

/// A packet socket that does not receive yet.
pub struct Socket(Fd);

/// A packet socket that receives, with its ring.
pub struct Ring {
    socket: Fd,
    memory: Memory,
    /// The number of the block that the kernel hands over next.
    next: usize,
    statistics: Statistics,
}

/// The memory of the ring, shared with the kernel.
struct Memory {
    at: NonNull<u8>,
    blocks: usize,
}

impl Socket {
    /// Opens a socket. EPERM: this process has no CAP_NET_RAW in its network namespace. Also clears the ambient capabilities, so that
    /// programs that this process starts do not inherit it.
    pub fn open() -> Result<Socket, Errno> {
        // Without a protocol, so that nothing arrives before the filter is set.
        let socket = sys::socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0).map(Socket);
        // SAFETY: no pointers.
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
        socket
    }

    /// Starts to receive the packets of the network with this block of addresses.
    pub fn receive(self, block: Block) -> Result<Ring, Errno> {
        let Socket(socket) = self;
        let fd = socket.raw();
        let filter = filter(block);
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
        let version = libc::tpacket_versions::TPACKET_V3 as c_int;
        sys::setsockopt(fd, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        sys::setsockopt(fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)?;
        let memory = Memory::map(fd)?;
        // SAFETY: plain numbers may be all zeroes.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: a string that ends with NUL.
        address.sll_ifindex = unsafe { libc::if_nametoindex(c"lo".as_ptr()) } as c_int;
        if address.sll_ifindex == 0 {
            return Err(Errno::ENODEV);
        }
        // SAFETY: an address of this length.
        let bound =
            unsafe { libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32) };
        Errno::result(bound)?;
        Ok(Ring { socket, memory, next: 0, statistics: Statistics::default() })
    }
}

impl Ring {
    /// The descriptor, which is readable when a block is handed over.
    pub fn raw(&self) -> i32 {
        self.socket.raw()
    }

    /// Passes each packet of the next block to `take`, with its time and original length. `false`: no block is ready.
    pub fn read(&mut self, mut take: impl FnMut(u64, usize, &[u8])) -> bool {
        let Some(block) = self.memory.block(self.next) else { return false };
        let first = offset_of!(libc::tpacket_block_desc, hdr);
        let [packets, mut at] = [
            offset_of!(libc::tpacket_hdr_v1, num_pkts),
            offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt),
        ]
        .map(|field| word(block, first + field) as usize);
        for _ in 0..packets {
            let Some(packet) = block.get(at..) else { break };
            let field = |field| word(packet, field) as usize;
            let [seconds, nanoseconds, kept, length, next] = [
                field(offset_of!(libc::tpacket3_hdr, tp_sec)),
                field(offset_of!(libc::tpacket3_hdr, tp_nsec)),
                field(offset_of!(libc::tpacket3_hdr, tp_snaplen)),
                field(offset_of!(libc::tpacket3_hdr, tp_len)),
                field(offset_of!(libc::tpacket3_hdr, tp_next_offset)),
            ];
            let place = offset_of!(libc::tpacket3_hdr, tp_net);
            let net =
                packet.get(place..place + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_ne_bytes);
            let net = usize::from(net);
            if let Some(bytes) = packet.get(net..net + kept) {
                take(seconds as u64 * 1_000_000_000 + nanoseconds as u64, length, bytes);
            }
            at += next;
        }
        self.memory.release(self.next);
        self.next = (self.next + 1) % self.memory.blocks;
        true
    }

    /// The counters of packets up to now.
    pub fn statistics(&mut self) -> Statistics {
        // The kernel's counters restart with each call.
        let counted =
            sys::getsockopt::<libc::tpacket_stats_v3>(self.raw(), libc::SOL_PACKET, libc::PACKET_STATISTICS);
        if let Ok(counted) = counted {
            self.statistics.received += u64::from(counted.tp_packets);
            self.statistics.dropped += u64::from(counted.tp_drops);
        }
        self.statistics
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

impl Memory {
    /// Has the kernel make a ring for this socket, and maps it.
    fn map(fd: i32) -> Result<Memory, Errno> {
        let mut blocks = BLOCKS;
        loop {
            let wanted = libc::tpacket_req3 {
                tp_block_size: BLOCK as u32,
                tp_block_nr: blocks as u32,
                tp_frame_size: FRAME as u32,
                tp_frame_nr: (BLOCK / FRAME * blocks) as u32,
                tp_retire_blk_tov: BLOCK_TIMEOUT.as_millis() as u32,
                tp_sizeof_priv: 0,
                tp_feature_req_word: 0,
            };
            match sys::setsockopt(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &wanted) {
                Err(Errno::ENOMEM) if blocks > MIN_BLOCKS => blocks /= 2,
                made => break made?,
            }
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping where the kernel likes.
        let at =
            unsafe { libc::mmap(std::ptr::null_mut(), BLOCK * blocks, protection, libc::MAP_SHARED, fd, 0) };
        match NonNull::new(at.cast::<u8>()) {
            Some(at) if at.as_ptr().cast::<libc::c_void>() != libc::MAP_FAILED => Ok(Memory { at, blocks }),
            _ => Err(Errno::last()),
        }
    }

    /// The status word of a block, which says who owns it.
    fn status(&self, block: usize) -> &AtomicU32 {
        let at = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);
        // SAFETY: an aligned word of the mapping, which lives as long as this; the kernel accesses it atomically, too.
        unsafe { AtomicU32::from_ptr(self.at.add(block % self.blocks * BLOCK + at).as_ptr().cast()) }
    }

    /// A block, if the kernel has handed it over.
    fn block(&self, block: usize) -> Option<&[u8]> {
        let is_ours = self.status(block).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0;
        // SAFETY: the block is in the mapping, which stays while this does, and the kernel writes nothing there before it
        // is given back, for which the `Ring` has to be borrowed anew.
        is_ours.then(|| unsafe {
            std::slice::from_raw_parts(self.at.add(block % self.blocks * BLOCK).as_ptr(), BLOCK)
        })
    }

    fn release(&self, block: usize) {
        self.status(block).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping of `of`, which nobody has a reference to any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), BLOCK * self.blocks) };
    }
}

/// A filter that accepts IPv4 packets from or to an address of the block, untruncated.
fn filter(block: Block) -> [sock_filter; 10] {
    let op = |code: u32, k: u32, jt: u8, jf: u8| sock_filter { code: code as u16, jt, jf, k };
    let load = |at| op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
    let mask = || op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xffff_0000, 0, 0);
    let is = |value, jt, jf| op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, jt, jf);
    let network = u32::from(block.address(0));
    let answer = |length| op(libc::BPF_RET | libc::BPF_K, length, 0, 0);
    let protocol = load((libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32);
    [
        protocol,
        is(libc::ETH_P_IP as u32, 0, 7),
        // The source, and the destination.
        load(12),
        mask(),
        is(network, 3, 0),
        load(16),
        mask(),
        is(network, 0, 1),
        answer(u32::MAX),
        answer(0),
    ]
}
