//! lonetd's setup before it serves: its process environment, the network's key, the machine's settings.

use lonet_core::control::Key;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::stat::{Mode, umask};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::time::Duration;

/// Why lonetd cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("all 254 blocks of loopback addresses are in use, by {by}")]
    NoBlock { by: String },
    #[error("the network's block 127.{block}.0.0/16 is in use by {by}")]
    BlockTaken { block: u8, by: String },
    #[error(
        "the limit of open descriptors is {limit}, and lonetd needs at least {LEAST_DESCRIPTORS}, and more for many processes: \
         start the network's first program with a higher limit (`ulimit -n`, RLIMIT_NOFILE)"
    )]
    Descriptors { limit: u64 },
    #[error("another lonetd serves the network")]
    Served,
    #[error("{}", lonet_core::trouble::OTHER_NETWORK_NAMESPACE)]
    OtherNetworkNamespace,
    #[error("{0}")]
    Directory(lonet_core::directory::Trouble),
    #[error("cannot {step}: {why}")]
    Os { step: &'static str, why: io::Error },
}

/// The least limit of descriptors to serve with: about 25 are always open, each process of the network has one, and
/// a request or a search for members has up to five meanwhile.
const LEAST_DESCRIPTORS: u64 = 40;

/// How long the previous lonetd may take to exit. Clients wait for 5 s, which is enough for two such waits.
const TIMEOUT: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(5);

/// Retries `attempt` with timeout: the previous lonetd may still hold what it takes, and closes its last
/// descriptors soon. `None`, from `attempt` and from this: it is held by another process.
pub fn with_timeout<T>(
    mut attempt: impl FnMut() -> Result<Option<T>, SetupError>,
) -> Result<Option<T>, SetupError> {
    // Attempts are counted, as the exiting process may wait for a processor, too.
    for _ in 0..TIMEOUT.as_millis() / STEP.as_millis() {
        if let Some(taken) = attempt()? {
            return Ok(Some(taken));
        }
        std::thread::sleep(STEP);
    }
    attempt()
}

/// Adds the step that failed to a system error.
pub fn os<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> SetupError {
    move |why| SetupError::Os { step, why: why.into() }
}

/// Resets what was inherited from the program that started lonetd: limits, umask, signals, working directory.
/// Its descriptors and environment were left behind at the start.
pub fn detach() -> Result<(), SetupError> {
    let _ = std::env::set_current_dir("/");
    umask(Mode::from_bits_truncate(0o077));
    for limit in [Resource::RLIMIT_NOFILE, Resource::RLIMIT_FSIZE, Resource::RLIMIT_CORE] {
        if let Ok((_, hard)) = getrlimit(limit) {
            let _ = setrlimit(limit, hard, hard);
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(os("reset signals"))?;
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        // A full disk or a closed socket is an error of one call, and must not end the network.
        let silent = matches!(signal, Signal::SIGPIPE | Signal::SIGXFSZ | Signal::SIGHUP);
        // SAFETY: no handler of ours, only default and ignored.
        let _ = unsafe { sigaction(signal, if silent { &ignore } else { &default }) };
    }
    Ok(())
}

/// Whether there are enough descriptors to serve a small network. With fewer lonetd would start, and fail to notice what
/// its network does.
pub fn check_descriptors() -> Result<(), SetupError> {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((limit, _)) if limit < LEAST_DESCRIPTORS => Err(SetupError::Descriptors { limit }),
        _ => Ok(()),
    }
}

/// The kernel's range of source ports.
pub fn ephemeral_ports() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|n| n.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) if low <= high => (low, high),
        _ => (32768, 60999),
    }
}

/// The network's random key: made once, and kept for the next lonetd in the file that is also the service
/// lock. On a full disk it is not kept; this affects only processes that have nothing but LONET_KEY, and only
/// after another lonetd follows.
pub fn key(file: &mut File) -> Result<Key, SetupError> {
    let mut key: Key = [0; 16];
    if file.metadata().is_ok_and(|m| m.len() == key.len() as u64) && file.read_exact(&mut key).is_ok() {
        return Ok(key);
    }
    key = random()?;
    write_key(file, &key);
    Ok(key)
}

pub fn write_key(file: &mut File, key: &Key) {
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(key));
    if let Err(e) = written {
        tracing::error!("the network's key cannot be saved, a lonetd after this one would have another: {e}");
    }
}

/// Random bytes that cannot be guessed.
pub fn random<const N: usize>() -> Result<[u8; N], SetupError> {
    let mut bytes = [0; N];
    let mut source = File::open("/dev/urandom").map_err(os("open /dev/urandom"))?;
    source.read_exact(&mut bytes).map_err(os("read /dev/urandom"))?;
    Ok(bytes)
}
