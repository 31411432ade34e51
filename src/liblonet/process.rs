//! The process's host, network and client of lonetd: from the environment that it started with, unless the C
//! API has set a default host.

use crate::bypass::Bypass;
use crate::handle::Used;
use crate::joined::{self, HOSTS, Host, Net};
use crate::key_map::KeyMap;
use crate::log_file;
use crate::memory;
use crate::panic_barrier;
use crate::seat;
use crate::stderr;
use crate::table_map;
use lonet_core::block::{Block, Place, is_face, may_be_lonet};
use lonet_core::client::Client;
use lonet_core::config::{Config, IS_SUPERVISED, SUPERVISED, SUPERVISES, lookup};
use lonet_core::sys;
use lonet_core::table::Table;
use nix::errno::Errno;
use once_cell::race::OnceRef;
use std::ffi::{CStr, OsStr};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

static CLIENT: OnceRef<'static, Client> = OnceRef::new();

/// Whether LONET_HOST is set: all sockets of the process are then the host's.
static IS_HOST: AtomicBool = AtomicBool::new(false);

/// Whether the hooks do anything. They do not in a program that is merely linked with the library.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// N of the environment's network, whose block is 127.N.0.0/16; 0 while it is unknown.
static BLOCK: AtomicU8 = AtomicU8::new(0);

/// The handle of the host set by lonet_set_default_host, or 0. While it is set it overrides all of the above.
static DEFAULT_HOST: AtomicU64 = AtomicU64::new(0);

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

/// Progress of the library's initialisation. The constructors of the program's libraries run before ours and
/// may use the network: initialisation then happens in the first call. A call that initialisation itself
/// causes, such as an allocator's, finds the hooks inactive.
static INIT_STATE: AtomicU8 = AtomicU8::new(UNINITIALIZED);
const UNINITIALIZED: u8 = 0;
const INITIALIZING: u8 = 1;
const INITIALIZED: u8 = 2;

/// Initialises the library from this environment, once.
///
/// # Safety
/// As for [`strings`].
pub unsafe fn init_once(envp: *const *const libc::c_char) {
    if INIT_STATE.compare_exchange(UNINITIALIZED, INITIALIZING, Ordering::AcqRel, Ordering::Relaxed).is_err()
    {
        return;
    }
    let errno = Errno::last_raw();
    panic_barrier::silence_panics();
    let result = panic_barrier::catch_panic(|| {
        // SAFETY: as the caller promises.
        let environment = unsafe { strings(envp) };
        memory::learn(envp, &environment);
        init(&environment);
    });
    if result.is_none() {
        init_unreachable();
    }
    Errno::set_raw(errno);
    INIT_STATE.store(INITIALIZED, Ordering::Release);
}

#[cold]
fn init_early() {
    let environment = crate::environment::own();
    // Before libc's own constructor there is no environment, and no process has a host yet.
    if !environment.is_null() {
        // SAFETY: the process's own environment, which nothing has had a chance to change.
        unsafe { init_once(environment) };
    }
}

/// Reads the environment. Does no I/O unless a variable is invalid or asks for a log.
fn init(environment: &[&'static [u8]]) {
    let get = |name: &str| lookup(environment.iter().copied(), name);
    let preloaded = get("LD_PRELOAD").is_some_and(|v| v.to_string_lossy().contains("liblonet"));
    let host = get("LONET_HOST").is_some_and(|v| !v.is_empty());
    let is_said = |what: &str| get(SUPERVISED).is_some_and(|v| v == what);
    if !preloaded && !host || is_said(IS_SUPERVISED) && sys::is_filtered() {
        return;
    }
    crate::environment::save(environment);
    seat::map_page(is_said(SUPERVISES));
    let uid = sys::geteuid();
    match Config::read(&get, uid, None) {
        Ok(config) => {
            let client = Client::new(config, library_directory().as_deref(), uid);
            if let Some(why) = log_file::open_error(&client)
                && stderr::is_writable()
            {
                let path = client.config.log.as_deref().unwrap_or(Path::new(""));
                warn(&format!("liblonet: cannot write to LONET_LOG={path:?}: {}\n", why.desc()));
            }
            let _ = CLIENT.set(Box::leak(Box::new(client)));
        }
        Err(e) => warn(&format!("liblonet: {e}; this program's lonet calls fail with ENETDOWN\n")),
    }
    IS_HOST.store(host, Ordering::Release);
    ACTIVE.store(true, Ordering::Release);
}

/// Used where `init` has failed: makes all of lonet's calls fail, so that nothing reaches the machine's
/// network by mistake.
fn init_unreachable() {
    warn("liblonet: initialization failed; this program's lonet calls fail with ENETDOWN\n");
    IS_HOST.store(true, Ordering::Release);
    ACTIVE.store(true, Ordering::Release);
}

/// Tells the user, whose error an invalid variable is. Called when the program starts, and never later.
fn warn(text: &str) {
    stderr::write(text.as_bytes());
}

/// The directory of this library; the lonet command may be beside it.
pub fn library_directory() -> Option<PathBuf> {
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
    let name = unsafe { CStr::from_ptr(name) };
    let path = name.to_bytes();
    let mut buffer = [0; libc::PATH_MAX as usize];
    let path = if path.starts_with(b"/") { path } else { sys::real_path(name, &mut buffer).ok()? };
    Path::new(OsStr::from_bytes(path)).parent().map(Path::to_owned)
}

/// Whether the hooks do anything in this process.
pub fn is_active() -> bool {
    if INIT_STATE.load(Ordering::Acquire) == UNINITIALIZED {
        init_early();
    }
    ACTIVE.load(Ordering::Acquire) || has_default_host()
}

pub fn is_host() -> bool {
    IS_HOST.load(Ordering::Acquire) || has_default_host()
}

/// The name of the process's host.
pub struct HostName(ClientRef);

impl Deref for HostName {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.config.host.as_deref().unwrap_or_default()
    }
}

/// The process's host: LONET_HOST if it is valid, or the default host.
pub fn host() -> Option<HostName> {
    client().filter(|client| client.config.host.is_some()).map(HostName)
}

/// Whether `host` followed by `.lonet` fits uname(2)'s field.
pub fn hostname_fits(host: &str) -> bool {
    const HOST_NAME_MAX: usize = 64;
    host.len() + lonet_core::config::LONET_SUFFIX.len() <= HOST_NAME_MAX
}

fn has_default_host() -> bool {
    DEFAULT_HOST.load(Ordering::Acquire) != 0
}

fn default_host() -> Option<Used<Host>> {
    match DEFAULT_HOST.load(Ordering::Acquire) {
        0 => None,
        handle => HOSTS.get(handle).ok(),
    }
}

/// Sets the default host; 0: as the environment says.
pub fn set_default_host(handle: u64) {
    DEFAULT_HOST.store(handle, Ordering::Release);
}

/// Unsets the default host if it is this one, which is being closed.
pub fn forget_default_host(handle: u64) {
    let _ = DEFAULT_HOST.compare_exchange(handle, 0, Ordering::AcqRel, Ordering::Relaxed);
}

/// A reference to a client. The object behind a handle stays alive for as long as it is referenced.
pub enum ClientRef {
    Environment(&'static Client),
    Host(Used<Host>),
    Net(Used<Net>),
}

impl Deref for ClientRef {
    type Target = Client;

    fn deref(&self) -> &Client {
        match self {
            ClientRef::Environment(client) => client,
            ClientRef::Host(host) => &host.client,
            ClientRef::Net(net) => &net.client,
        }
    }
}

/// The client for this process's own calls. `None`: the environment is invalid.
pub fn client() -> Option<ClientRef> {
    default_host().map(ClientRef::Host).or_else(|| CLIENT.get().map(ClientRef::Environment))
}

/// The client of the network that `ip` belongs to: the process's own network, or one that it has joined.
pub fn client_at(ip: Ipv4Addr) -> Option<ClientRef> {
    let ours = is_active() && may_be_ours(ip.to_ipv6_mapped());
    if ours && block().is_some() {
        return client();
    }
    joined::network_at(ip).map(ClientRef::Net).or_else(|| if ours { client() } else { None })
}

pub fn block() -> Option<Block> {
    match default_host() {
        Some(host) => Some(host.block),
        None => Block::new(BLOCK.load(Ordering::Acquire)),
    }
}

/// Stores the N that `client`'s lonetd has reported.
pub fn learn_block(client: &Client, n: u8) {
    let own = CLIENT.get().is_some_and(|own| std::ptr::eq(own, client));
    if own && Block::new(n).is_some() && BLOCK.swap(n, Ordering::AcqRel) == 0 {
        map_key();
    }
}

/// Maps the network's key file. The mapping passes to the children of a fork, which do not announce
/// themselves: lonetd recognises them as members by it. The key also yields the abstract name of lonetd's
/// socket, for a program that changes its root or drops the owner's uid. No descriptor stays open. A process
/// that may not read the file has LONET_KEY in its environment.
fn map_key() {
    let Some(client) = CLIENT.get() else { return };
    let Some(directory) = client.directory() else { return };
    if let Some(key) = KeyMap::new(client, &directory) {
        std::mem::forget(key);
    }
    table_map::map(client);
}

/// Whether `client` is that of the environment's network, whose table the process maps.
pub fn is_own(client: &Client) -> bool {
    CLIENT.get().is_some_and(|own| std::ptr::eq(own, client))
}

/// The table of `client`'s network, if that is the environment's and the process maps it.
pub fn table(client: &Client) -> Option<Table<'static>> {
    if is_own(client) { table_map::table() } else { None }
}

/// Whether `ip` may be an address of this network; exact once its block is known.
pub fn may_be_ours(ip: Ipv6Addr) -> bool {
    match block() {
        Some(block) => !matches!(block.place(ip), Place::NotLonet | Place::Any(_) | Place::Loopback(_)),
        None => may_be_lonet(ip),
    }
}

/// Whether binding or connecting to `ip` is lonet's to handle; if not, why.
pub fn concerns(ip: Ipv6Addr) -> Result<(), Bypass> {
    let own = |ip: Ipv6Addr| match ip.to_ipv4_mapped() {
        Some(v4) => v4.is_unspecified() || v4 == std::net::Ipv4Addr::LOCALHOST,
        None => ip.is_unspecified() || ip.is_loopback(),
    };
    if !is_active() {
        return Err(Bypass::Inactive);
    }
    match own(ip) {
        true if is_host() => Ok(()),
        true => Err(Bypass::NoHost),
        false if may_be_ours(ip) => Ok(()),
        false => Err(Bypass::OtherAddress),
    }
}

/// Whether a request about `ip` is worth starting lonetd: `ip` is certainly lonet's.
pub fn is_certain(ip: Ipv6Addr) -> bool {
    is_host() || block().is_some() || is_face(ip)
}
