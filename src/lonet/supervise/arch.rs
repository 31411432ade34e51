//! Constants of the filter that differ between processor architectures.

/// `seccomp_data.arch` of native calls (linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub const NATIVE: u32 = 0xc000_00b7;

/// The bit by which numbers of x32 calls differ; they have the same `arch` as native ones.
#[cfg(target_arch = "x86_64")]
pub const X32_BIT: Option<u32> = Some(0x4000_0000);
#[cfg(target_arch = "aarch64")]
pub const X32_BIT: Option<u32> = None;

/// The `arch` of a 32-bit ABI that programs may use besides the native one, and those of its calls that would reach the network
/// without the supervisor: they fail with ENOSYS.
#[cfg(target_arch = "x86_64")]
pub const COMPAT_ABI: Option<(u32, &[u32])> = Some((
    0x4000_0003,
    // Of i386: socketcall, socket, bind, connect, listen, accept4, io_uring_setup.
    &[102, 359, 361, 362, 363, 364, 425],
));
#[cfg(target_arch = "aarch64")]
pub const COMPAT_ABI: Option<(u32, &[u32])> = None;
