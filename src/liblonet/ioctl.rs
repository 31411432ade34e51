//! Hook of ioctl(2), for the requests of netdevice(7) that list interfaces and ask for one: those of `getifaddrs`.
//!
//! Open MPI and Java find by them which addresses they may tell other hosts.
//!
//! What the kernel has under its own names, lo among them, it answers itself: a program that has been given the name
//! of an interface of the machine's, for UDP or for packets, reaches it. lonet0 it does not know.

use crate::bypass::Bypass;
use crate::getifaddrs::{flags, hardware};
use crate::hook::{Decision, HookResult, run_hook};
use crate::if_nameindex::{LO, LONET0, LONET0_INDEX};
use crate::log::{About, Call};
use crate::{ask, host, memory, process};
use libc::{
    __c_anonymous_ifc_ifcu as ifc_ifcu, c_char, c_int, c_short, c_ulong, c_void, ifconf, ifreq, sockaddr,
};
use lonet_core::block::Face;
use lonet_core::sys::check;
use nix::errno::Errno;
use std::ffi::CStr;
use std::net::Ipv4Addr;

hook! {
    unsafe fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int => lonet_ioctl {
        // SAFETY: the program's arguments.
        let real = || unsafe { redhook::real!(ioctl)(fd, request, argument) };
        // Terminals and files, of which there are many calls: libc's at once.
        if request & !0xff != INTERFACES || !process::is_active() || !process::is_host() {
            return real();
        }
        // SAFETY: as for ioctl(2).
        run_hook(Call { name: "ioctl", about: About::Nothing }, || unsafe { decide(fd, request, argument) }, real)
    }
}

/// The requests that begin so are about sockets of all kinds, and interfaces.
const INTERFACES: c_ulong = 0x8900;

/// The requests about one interface that lonet answers.
const ANSWERED: [c_ulong; 10] = [
    libc::SIOCGIFNAME,
    libc::SIOCGIFADDR,
    libc::SIOCGIFDSTADDR,
    libc::SIOCGIFNETMASK,
    libc::SIOCGIFBRDADDR,
    libc::SIOCGIFFLAGS,
    libc::SIOCGIFINDEX,
    libc::SIOCGIFMTU,
    libc::SIOCGIFMETRIC,
    libc::SIOCGIFHWADDR,
];

/// # Safety
/// As for ioctl(2), but memory may be missing.
unsafe fn decide(fd: c_int, request: c_ulong, argument: *mut c_void) -> HookResult {
    match request {
        // SAFETY: as this function.
        libc::SIOCGIFCONF => unsafe { list(fd, argument.cast()) },
        // SAFETY: as this function.
        _ if ANSWERED.contains(&request) => unsafe { ask(fd, request, argument.cast()) },
        // The argument may be something else than an interface.
        _ => Ok(Decision::Libc(Bypass::OtherInterface)),
    }
}

/// # Safety
/// As [`decide`].
unsafe fn list(fd: c_int, argument: *mut ifconf) -> HookResult {
    if !memory::is_readable(argument.cast(), size_of::<ifconf>()) {
        return Ok(Decision::Libc(Bypass::Arguments));
    }
    // SAFETY: it can be read.
    let list = unsafe { argument.read_unaligned() };
    // SAFETY: each member is a pointer.
    let buffer: *mut ifreq = unsafe { list.ifc_ifcu.ifcu_req };
    let Ok(size) = usize::try_from(list.ifc_len) else { return Ok(Decision::Libc(Bypass::Arguments)) };
    // The kernel says whether it is a socket, and whether it can write there, as it writes a list of its own.
    // SAFETY: the program's arguments.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::SIOCGIFCONF, argument) })?;
    let entries = [(LO, Ipv4Addr::LOCALHOST), (LONET0, own_address()?)];
    let mut n = 0;
    for (name, ip) in entries {
        let at = buffer.wrapping_add(n);
        if !buffer.is_null() {
            if size < (n + 1) * size_of::<ifreq>() {
                break;
            }
            // The kernel's list may be the shorter one.
            if !memory::is_writable(at.cast(), size_of::<ifreq>(), || has_room(fd, at)) {
                return Err(Errno::EFAULT.into());
            }
            let mut entry = entry(name);
            entry.ifr_ifru.ifru_addr = address(ip);
            // SAFETY: it can be written.
            unsafe { at.write_unaligned(entry) };
        }
        n += 1;
    }
    let ifc_len = c_int::try_from(n * size_of::<ifreq>()).unwrap_or(0);
    // SAFETY: the kernel has written there.
    unsafe { argument.write_unaligned(ifconf { ifc_len, ..list }) };
    Ok(Decision::Done(0))
}

/// Has the kernel write an entry there, if it has one.
fn has_room(fd: c_int, at: *mut ifreq) -> bool {
    let ifc_len = c_int::try_from(size_of::<ifreq>()).unwrap_or(0);
    let mut one = ifconf { ifc_len, ifc_ifcu: ifc_ifcu { ifcu_req: at } };
    // SAFETY: the kernel fails if it cannot write there.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::SIOCGIFCONF, &raw mut one) }).is_ok()
        && one.ifc_len > 0
}

/// # Safety
/// As [`decide`].
unsafe fn ask(fd: c_int, request: c_ulong, argument: *mut ifreq) -> HookResult {
    if !memory::is_readable(argument.cast(), size_of::<ifreq>()) {
        return Ok(Decision::Libc(Bypass::Arguments));
    }
    // What the request does not change stays as it is.
    // SAFETY: it can be read.
    let mut entry = unsafe { argument.read_unaligned() };
    let is_lonet0 = match request {
        // SAFETY: what this request has there.
        libc::SIOCGIFNAME => unsafe { entry.ifr_ifru.ifru_ifindex == LONET0_INDEX as c_int },
        // Behind the zero anything may be.
        _ => LONET0.to_bytes_with_nul().iter().zip(&entry.ifr_name).all(|(a, b)| *a == *b as u8),
    };
    if !is_lonet0 {
        return Ok(Decision::Libc(Bypass::OtherInterface));
    }
    // The kernel says whether it is a socket that has such requests, about an interface of each network namespace.
    let of_lo = if request == libc::SIOCGIFNAME { libc::SIOCGIFFLAGS } else { request };
    let mut lo = self::entry(LO);
    // SAFETY: the entry is valid.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd, of_lo, &raw mut lo) })?;
    let own = own_address()?;
    let value = &mut entry.ifr_ifru;
    match request {
        libc::SIOCGIFADDR | libc::SIOCGIFDSTADDR => value.ifru_addr = address(own),
        libc::SIOCGIFNETMASK => value.ifru_netmask = address(Ipv4Addr::new(255, 255, 0, 0)),
        libc::SIOCGIFBRDADDR => value.ifru_broadaddr = address(Ipv4Addr::UNSPECIFIED),
        // The kernel, too, cuts them to 16 bits.
        libc::SIOCGIFFLAGS => value.ifru_flags = flags(LONET0) as c_short,
        libc::SIOCGIFINDEX => value.ifru_ifindex = LONET0_INDEX as c_int,
        libc::SIOCGIFNAME => entry.ifr_name = padded(LONET0),
        libc::SIOCGIFMTU => value.ifru_mtu = MTU,
        libc::SIOCGIFMETRIC => value.ifru_metric = 0,
        libc::SIOCGIFHWADDR => value.ifru_hwaddr = hardware_address(own),
        _ => return Ok(Decision::Libc(Bypass::OtherInterface)),
    }
    if !memory::is_writable(argument.cast(), size_of::<ifreq>(), || has_room(fd, argument)) {
        return Err(Errno::EFAULT.into());
    }
    // SAFETY: it can be written.
    unsafe { argument.write_unaligned(entry) };
    Ok(Decision::Done(0))
}

/// That of the loopback's, over which all goes.
const MTU: c_int = 65536;

fn own_address() -> Result<Ipv4Addr, Errno> {
    match host::own(&mut ask::unbegun()) {
        Some(Ok(host)) => Ok(host.address(Face::V4).to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED)),
        _ => Err(Errno::ENETDOWN),
    }
}

/// An entry with this name, and zeros.
fn entry(name: &CStr) -> ifreq {
    // SAFETY: numbers and pointers, which may be null.
    let mut entry: ifreq = unsafe { std::mem::zeroed() };
    entry.ifr_name = padded(name);
    entry
}

fn padded(name: &CStr) -> [c_char; libc::IFNAMSIZ] {
    let mut padded = [0; libc::IFNAMSIZ];
    for (to, from) in padded.iter_mut().zip(name.to_bytes()) {
        *to = *from as c_char;
    }
    padded
}

fn address(ip: Ipv4Addr) -> sockaddr {
    let [a, b, c, d] = ip.octets().map(|octet| octet as c_char);
    sockaddr { sa_family: libc::AF_INET as u16, sa_data: [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0] }
}

fn hardware_address(ip: Ipv4Addr) -> sockaddr {
    let mut sa_data = [0; 14];
    for (to, from) in sa_data.iter_mut().zip(hardware(ip)) {
        *to = from as c_char;
    }
    sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data }
}
