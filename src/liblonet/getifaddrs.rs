//! Hook of getifaddrs(3): a host has two interfaces, lo and lonet0, and lonet0 has its addresses.
//!
//! The list is one block of malloc's, as libc's freeifaddrs frees it, in libc's order: links, IPv4, IPv6.
//! Programs that ask the kernel itself (netlink, /proc/net) see the machine's interfaces.

use crate::ask;
use crate::bypass::Bypass;
use crate::hook::{Decision, HookResult};
use crate::host;
use crate::if_nameindex::{LO, LO_INDEX, LONET0, LONET0_INDEX};
use crate::log::About;
use libc::{c_int, c_uint, c_void, ifaddrs, sockaddr_in, sockaddr_in6, sockaddr_ll};
use lonet_core::block::Face;
use nix::errno::Errno;
use std::ffi::CStr;
use std::net::{Ipv4Addr, Ipv6Addr};

hook! {
    unsafe fn getifaddrs(all: *mut *mut ifaddrs) -> c_int => lonet_getifaddrs decides(About::Nothing) |real| {
        // SAFETY: the program's pointer.
        unsafe { on_network(all) }
    }
}

/// # Safety
/// `all` is as getifaddrs(3) takes it.
unsafe fn on_network(all: *mut *mut ifaddrs) -> HookResult {
    let host = match host::own(&mut ask::unbegun()) {
        None => return Ok(Decision::Libc(Bypass::NoHost)),
        Some(Ok(host)) => host,
        Some(Err(_)) => return Err(Errno::ENETDOWN.into()),
    };
    let v4 = host.address(Face::V4).to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let list = build(v4, host.address(Face::V6)).ok_or(Errno::ENOMEM)?;
    // SAFETY: as the caller promises.
    unsafe { all.write(list) };
    Ok(Decision::Done(0))
}

#[derive(Clone, Copy)]
#[repr(C)]
union SocketAddress {
    link: sockaddr_ll,
    v4: sockaddr_in,
    v6: sockaddr_in6,
}

#[repr(C)]
struct Entry {
    entry: ifaddrs,
    address: SocketAddress,
    netmask: SocketAddress,
    name: [u8; 8],
    /// A link's statistics: struct rtnl_link_stats, of 24 counters, all zero.
    statistics: [u32; 24],
}

const ENTRIES: usize = 6;

/// One allocation, freed by freeing its first entry.
#[repr(C)]
struct List([Entry; ENTRIES]);

fn build(v4: Ipv4Addr, v6: Ipv6Addr) -> Option<*mut ifaddrs> {
    // SAFETY: new memory, all zeroes.
    let list: *mut List = unsafe { libc::calloc(1, size_of::<List>()) }.cast();
    if list.is_null() {
        return None;
    }
    let lo_hardware = [0; 6];
    let entries: [(&CStr, SocketAddress, Option<SocketAddress>); ENTRIES] = [
        (LO, link(LO_INDEX, libc::ARPHRD_LOOPBACK, lo_hardware), None),
        (LONET0, link(LONET0_INDEX, libc::ARPHRD_ETHER, hardware(v4)), None),
        (LO, ipv4(Ipv4Addr::LOCALHOST), Some(ipv4(Ipv4Addr::new(255, 0, 0, 0)))),
        (LONET0, ipv4(v4), Some(ipv4(Ipv4Addr::new(255, 255, 0, 0)))),
        (LO, ipv6(Ipv6Addr::LOCALHOST), Some(ipv6(Ipv6Addr::from(u128::MAX)))),
        (LONET0, ipv6(v6), Some(ipv6(Ipv6Addr::from(u128::MAX << 64)))),
    ];
    for (i, (name, address, netmask)) in entries.into_iter().enumerate() {
        // SAFETY: entry `i` of the block, and the one behind it unless it is the last.
        unsafe {
            let at = (&raw mut (*list).0).cast::<Entry>().add(i);
            (&raw mut (*at).address).write(address);
            let text = name.to_bytes_with_nul();
            std::ptr::copy_nonoverlapping(text.as_ptr(), (&raw mut (*at).name).cast(), text.len());
            let entry = &raw mut (*at).entry;
            (*entry).ifa_name = (&raw mut (*at).name).cast();
            (*entry).ifa_flags = flags(name);
            (*entry).ifa_addr = (&raw mut (*at).address).cast();
            match netmask {
                Some(netmask) => {
                    (&raw mut (*at).netmask).write(netmask);
                    (*entry).ifa_netmask = (&raw mut (*at).netmask).cast();
                }
                None => (*entry).ifa_data = (&raw mut (*at).statistics).cast::<c_void>(),
            }
            if i + 1 < ENTRIES {
                (*entry).ifa_next = (&raw mut (*at.add(1)).entry).cast();
            }
        }
    }
    Some(list.cast())
}

/// The hardware address of lonet0: a locally administered one, another for each host.
pub fn hardware(v4: Ipv4Addr) -> [u8; 6] {
    let [_, a, b, c] = v4.octets();
    [0x02, b'l', b'n', a, b, c]
}

/// The flags of an interface: lonet has neither broadcast nor multicast.
pub fn flags(name: &CStr) -> c_uint {
    let up = libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_LOWER_UP;
    (if name == LO { up | libc::IFF_LOOPBACK } else { up }) as c_uint
}

fn link(index: c_uint, kind: u16, hardware: [u8; 6]) -> SocketAddress {
    let mut sll_addr = [0; 8];
    sll_addr[..6].copy_from_slice(&hardware);
    SocketAddress {
        link: sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: 0,
            sll_ifindex: index as c_int,
            sll_hatype: kind,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr,
        },
    }
}

fn ipv4(ip: Ipv4Addr) -> SocketAddress {
    SocketAddress {
        v4: sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
            sin_zero: [0; 8],
        },
    }
}

fn ipv6(ip: Ipv6Addr) -> SocketAddress {
    SocketAddress {
        v6: sockaddr_in6 {
            sin6_family: libc::AF_INET6 as u16,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: ip.octets() },
            sin6_scope_id: 0,
        },
    }
}
