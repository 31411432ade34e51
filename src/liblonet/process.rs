//! What this process is to lonet: fixed by the environment that it began with.

use lonet_core::block::{Block, Place, is_face, may_be_lonet};
use lonet_core::client::Client;
use lonet_core::config::{Config, lookup};
use once_cell::race::OnceRef;
use std::ffi::CStr;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

static CLIENT: OnceRef<'static, Client> = OnceRef::new();

/// LONET_HOST is set: all sockets of the process are the host's.
static IS_HOST: AtomicBool = AtomicBool::new(false);

/// The hooks do something. Not so before the constructor has run, and not in a program that is merely linked with
/// the library.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// N of the network's block; 0 while it is not known.
static BLOCK: AtomicU8 = AtomicU8::new(0);

/// The strings of an environment.
///
/// # Safety
/// `array` is null, or a null-terminated array of C strings that stay as they are.
pub unsafe fn strings(array: *const *const libc::c_char) -> Vec<&'static [u8]> {
    let mut all = Vec::new();
    if array.is_null() {
        return all;
    }
    // SAFETY: within the array up to its null, as the caller promises.
    unsafe {
        let mut at = array;
        while !(*at).is_null() {
            all.push(CStr::from_ptr(*at).to_bytes());
            at = at.add(1);
        }
    }
    all
}

/// Reads the environment; no I/O unless it is wrong.
pub fn begin(environment: &[&'static [u8]]) {
    std::panic::set_hook(Box::new(|_| {}));
    let get = |name: &str| lookup(environment.iter().copied(), name);
    let preloaded = get("LD_PRELOAD").is_some_and(|v| v.to_string_lossy().contains("liblonet"));
    let host = get("LONET_HOST").is_some_and(|v| !v.is_empty());
    if !preloaded && !host {
        return;
    }
    crate::environment::keep(environment);
    // SAFETY: no arguments, cannot fail.
    let uid = unsafe { libc::geteuid() };
    match Config::read(&get, uid, None) {
        Ok(config) => {
            let client = Client::new(config, library_directory().as_deref(), uid);
            let _ = CLIENT.set(Box::leak(Box::new(client)));
        }
        Err(e) => complain(&format!("liblonet: {e}; this program's lonet calls fail with ENETDOWN\n")),
    }
    IS_HOST.store(host, Ordering::Release);
    ACTIVE.store(true, Ordering::Release);
}

/// A variable that cannot be followed is the user's to mend, who sees it where ld.so speaks of its own, at the
/// start of the program and never later.
fn complain(text: &str) {
    // SAFETY: a valid buffer; what cannot be written is lost.
    unsafe { libc::syscall(libc::SYS_write, 2, text.as_ptr(), text.len()) };
}

/// Where this library lies: the lonet command may be beside it.
fn library_directory() -> Option<PathBuf> {
    let here: *const libc::c_void = (&raw const ACTIVE).cast();
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: an address in this library, and a structure to fill.
    let found = unsafe { libc::dladdr(here, info.as_mut_ptr()) } != 0;
    // SAFETY: zeroed plain pointers, filled by dladdr.
    let name = unsafe { info.assume_init() }.dli_fname;
    if !found || name.is_null() {
        return None;
    }
    // SAFETY: dladdr names the library by a string that lives as long as it does.
    let path = unsafe { CStr::from_ptr(name) }.to_bytes();
    let path = Path::new(std::os::unix::ffi::OsStrExt::from_bytes(path) as &std::ffi::OsStr);
    let path = if path.is_absolute() { path.to_owned() } else { path.canonicalize().ok()? };
    path.parent().map(Path::to_owned)
}

/// Whether the hooks have anything to do in this process.
pub fn is_active() -> bool {
    ACTIVE.load(Ordering::Acquire)
}

pub fn is_host() -> bool {
    IS_HOST.load(Ordering::Acquire)
}

/// LONET_HOST, if it made sense.
pub fn host() -> Option<&'static str> {
    client()?.config.host.as_deref()
}

/// Whether `host` with `.lonet` behind it is short enough for what uname(2) has room for.
pub fn hostname_fits(host: &str) -> bool {
    const HOST_NAME_MAX: usize = 64;
    host.len() + lonet_core::config::LONET_SUFFIX.len() <= HOST_NAME_MAX
}

/// `None`: the environment made no sense.
pub fn client() -> Option<&'static Client> {
    CLIENT.get()
}

pub fn block() -> Option<Block> {
    Block::new(BLOCK.load(Ordering::Acquire))
}

pub fn learn_block(n: u8) {
    if Block::new(n).is_some() && BLOCK.swap(n, Ordering::AcqRel) == 0 {
        map_key();
    }
}

/// Maps the network's key file: what is mapped passes to the children of a fork, which tell nobody, and lonetd sees
/// by it that they are members, too. No descriptor stays. A process that may not read the file has LONET_KEY in its
/// environment.
fn map_key() {
    use lonet_core::sys::{Fd, check};
    let Some(client) = client() else { return };
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: a path that ends in zero.
    let fd =
        check(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, client.key_file().as_ptr(), flags) });
    if let Ok(fd) = fd.and_then(|fd| Fd::new(fd as i32)) {
        // SAFETY: a new mapping where the kernel likes, which nobody reads.
        unsafe {
            let anywhere = std::ptr::null_mut::<libc::c_void>();
            libc::mmap(anywhere, 4096, libc::PROT_READ, libc::MAP_SHARED, fd.raw(), 0)
        };
    }
}

/// Whether `ip` may be an address of this network: certain once its block is known.
pub fn may_be_ours(ip: Ipv6Addr) -> bool {
    match block() {
        Some(block) => !matches!(block.place(ip), Place::Elsewhere | Place::Any(_) | Place::Loopback(_)),
        None => may_be_lonet(ip),
    }
}

/// Whether binding or connecting to `ip` is lonet's to decide.
pub fn concerns(ip: Ipv6Addr) -> bool {
    let own = |ip: Ipv6Addr| match ip.to_ipv4_mapped() {
        Some(v4) => v4.is_unspecified() || v4 == std::net::Ipv4Addr::LOCALHOST,
        None => ip.is_unspecified() || ip.is_loopback(),
    };
    is_active() && (is_host() && own(ip) || may_be_ours(ip))
}

/// Whether a question about `ip` is worth starting a lonetd: it is certain that lonet is meant.
pub fn is_certain(ip: Ipv6Addr) -> bool {
    is_host() || block().is_some() || is_face(ip)
}
