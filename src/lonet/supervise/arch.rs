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

/// A 32-bit ABI that programs may use besides the native one.
pub struct CompatAbi {
    /// The `arch` of its calls.
    pub arch: u32,
    /// The numbers of its calls that could reach the network without the supervisor, show its addresses, or rename the machine.
    pub refused_calls: &'static [u32],
    pub prctl: u32,
}

#[cfg(target_arch = "x86_64")]
pub const COMPAT_ABI: Option<CompatAbi> = Some(CompatAbi {
    arch: 0x4000_0003,
    // Of i386: sethostname, socketcall, setdomainname, recvmmsg, sendmmsg, socket, bind, connect, listen, accept4, getsockopt, setsockopt, getsockname,
    // getpeername, sendto, sendmsg, recvfrom, recvmsg, recvmmsg_time64, io_uring_setup.
    refused_calls: &[
        74, 102, 121, 337, 345, 359, 361, 362, 363, 364, 365, 366, 367, 368, 369, 370, 371, 372, 417, 425,
    ],
    prctl: 172,
});
#[cfg(target_arch = "aarch64")]
pub const COMPAT_ABI: Option<CompatAbi> = None;
