//! What differs between processors.

/// `seccomp_data.arch` of the calls that are looked at (linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub const NATIVE: u32 = 0xc000_00b7;

/// Calls whose number has one of these bits are another ABI's with the same `arch`: x32.
#[cfg(target_arch = "x86_64")]
pub const X32_BIT: Option<u32> = Some(0x4000_0000);
#[cfg(target_arch = "aarch64")]
pub const X32_BIT: Option<u32> = None;

/// Another ABI that a program may use beside the native one, and those of its calls by which it would reach the network past
/// the supervisor: they are not there for it.
#[cfg(target_arch = "x86_64")]
pub const COMPAT_ABI: Option<(u32, &[u32])> = Some((
    0x4000_0003,
    // Of i386: socketcall, socket, bind, connect, listen, accept4, io_uring_setup.
    &[102, 359, 361, 362, 363, 364, 425],
));
#[cfg(target_arch = "aarch64")]
pub const COMPAT_ABI: Option<(u32, &[u32])> = None;
