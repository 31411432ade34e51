//! `lonet_net`: a network that the process has joined.

use super::error::{Error, EscapedBytes, Result, call};
use super::named::{self, LonetNet, refuse_net};
use super::{ask, bytes, host, room_for_two};
use crate::ask::limit;
use crate::environment;
use crate::handle::Used;
use crate::joined::{self, HOSTS, NETS, Net};
use crate::key_map::KeyMap;
use crate::process::{library_directory, strings};
use lonet_core::block::Block;
use lonet_core::client::Client;
use lonet_core::config::{Config, lookup};
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use lonet_core::sys;
use nix::errno::Errno;
use std::ffi::{CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn lonet_join(network: *const c_char, net: *mut *mut LonetNet) -> c_int {
    call(|| {
        // SAFETY: null or a C string, as lonet.h says.
        let name = unsafe { bytes(network) }.unwrap_or_default();
        let config = match std::str::from_utf8(name) {
            Ok("") => new_network(),
            Ok(name) => configuration(name),
            Err(_) => Err(format!("network \"{}\" is not UTF-8", EscapedBytes(name))),
        };
        let config = config.map_err(|e| Error::Invalid.because("join", e))?;
        let what = format!("join lonet{}", config.network);
        let joined = join(config, &what)?;
        if !net.is_null() {
            // SAFETY: a place for a handle, as lonet.h says.
            unsafe { net.write(std::ptr::without_provenance_mut(joined.handle as usize)) };
        }
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn lonet_network(net: *const LonetNet) -> *const c_char {
    let mut name = std::ptr::null();
    call(|| {
        name = named::net(net, "lonet_network")?.full_name.as_ptr();
        Ok(0)
    });
    name
}

#[unsafe(no_mangle)]
pub extern "C" fn lonet_leave(net: *mut LonetNet) -> c_int {
    call(|| {
        let handle = net.addr() as u64;
        // Checked before anything is ended, which takes descriptors.
        let open = named::net(net, "leave")?;
        let what = format!("leave {}", open.full_name.to_string_lossy());
        room_for_two().map_err(|e| e.of(what))?;
        drop(open);
        let net = NETS.close(handle, false).map_err(|stale| refuse_net(stale, "leave"))?;
        joined::mark_left(net.block);
        let limit = limit();
        for host in HOSTS.all().filter(|host| host.net == handle) {
            // Another thread may be closing it.
            let _ = host::close(limit, host.handle, true);
        }
        if !NETS.all().any(|other| other.client.config.dir == net.client.config.dir) {
            // Without a lonetd there is no membership either.
            let _ = net.client.ask(limit, &Op::Leave, &mut [0; MAX_MESSAGE]);
        }
        Ok(0)
    })
}

fn configuration(network: &str) -> std::result::Result<Config, String> {
    // The current environment: the program may have set TMPDIR since it started.
    // SAFETY: the program's environment; a program that changes it meanwhile in another thread breaks getenv, too.
    let environment = unsafe { strings(environment::own()) };
    let get = |name: &str| lookup(environment.iter().copied(), name);
    let uid = sys::geteuid();
    let mut config = Config::read(&get, uid, Some(network)).map_err(|e| e.to_string())?;
    // A library prints no note about the directory: lonet(7) tells where it is.
    let _ = config.choose_directory(uid);
    Ok(Config { host: None, ..config })
}

/// The configuration of a new network, whose directory does not exist.
fn new_network() -> std::result::Result<Config, String> {
    loop {
        let config = configuration(&random_name()?)?;
        let dir = CString::new(config.dir.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
        if sys::fstatat(libc::AT_FDCWD, &dir, libc::AT_SYMLINK_NOFOLLOW).is_err() {
            return Ok(config);
        }
    }
}

/// Twelve letters and digits, 62 bits.
fn random_name() -> std::result::Result<String, String> {
    let mut random = [0u8; 8];
    // SAFETY: the buffer is valid for its length.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, random.as_mut_ptr(), random.len(), 0) };
    if got != random.len() as libc::c_long {
        return Err(format!("no random name: {}", Errno::last()));
    }
    let mut rest = u64::from_ne_bytes(random);
    let digit = |_| {
        let (digit, more) = (rest % 36, rest / 36);
        rest = more;
        char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[digit as usize])
    };
    Ok((0..12).map(digit).collect())
}

fn join(config: Config, what: &str) -> Result<Used<Net>> {
    let uid = sys::geteuid();
    let full_name = CString::new(format!("lonet{}", config.network)).unwrap_or_default();
    let client = Client::new(config, library_directory().as_deref(), uid);
    let block = ask(&client, &Op::Join { supervises: false }, what, |block, reply| match reply {
        Reply::Done => Block::new(block),
        _ => None,
    })?;
    let directory = client.directory();
    let key = directory.as_ref().and_then(|directory| KeyMap::new(&client, directory));
    let table = client.map_table().map(Arc::new);
    if let Some(table) = &table {
        // SAFETY: the table is dropped after the client.
        unsafe { client.look_at(table.table()) };
    }
    NETS.open(Net { client, full_name, block, table, _key: key })
        .ok_or_else(|| Error::Memory.because(what, "too many networks in one process"))
}
