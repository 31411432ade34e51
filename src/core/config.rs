//! The configuration of a process, read from its LONET_… environment variables.

use crate::address::MAX_HOST;
use crate::control::{Key, Options, Requester};
use crate::directory::{Place, SHARED, Which, find};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The longest name of a network, in bytes.
pub const MAX_NETWORK: usize = 64;

/// The configuration of a process. Command-line flags override variables.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network's name, e.g. `mynet`.
    pub network: String,
    /// `<net>`: the network's directory, absolute.
    pub dir: PathBuf,
    /// `<tmp>`: TMPDIR, or /tmp.
    pub tmp: PathBuf,
    /// The directory to use if `<tmp>/lonet` cannot be used: see [`crate::directory`]. `None`: there is no
    /// alternative, as LONET_DIR or [`Config::choose_directory`] has decided.
    pub private_dir: Option<PathBuf>,
    /// LONET_HOST. `None`: the process has no host until it binds or dials.
    pub host: Option<String>,
    pub membership: Option<Membership>,
    pub options: Options,
    /// LONET_LOG: the file for the library's log.
    pub log: Option<PathBuf>,
    /// LONET_BIN: the lonet command.
    pub bin: Option<PathBuf>,
    /// PATH, which is searched last for the lonet command.
    pub path: Option<OsString>,
}

/// LONET_KEY: lets processes that have dropped the owner's uid stay members of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    pub owner: u32,
    pub key: Key,
}

/// An invalid variable or network name. The text names it and says what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Membership {
    /// Parses `<owner uid>-<32 hexadecimal digits>`.
    pub fn parse(text: &str) -> Option<Membership> {
        let (owner, hex) = text.split_once('-')?;
        let mut key = [0; 16];
        if hex.len() != 32 || !hex.is_ascii() {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Membership { owner: owner.parse().ok()?, key })
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.owner)?;
        self.key.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl Config {
    /// Reads the variables through `get`. `uid` names the default network. `network` is the command's
    /// `--network`, which overrides LONET_NETWORK and LONET_DIR.
    pub fn read(
        get: &dyn Fn(&str) -> Option<OsString>,
        uid: u32,
        network: Option<&str>,
    ) -> Result<Config, ConfigError> {
        let get = |name: &str| get(name).filter(|v| !v.is_empty());
        let get_str = |name: &str| {
            get(name)
                .map(|v| v.into_string().map_err(|v| ConfigError(format!("{name}={v:?} is not UTF-8"))))
                .transpose()
        };

        let dir = get("LONET_DIR").map(PathBuf::from);
        let dir_name = dir.as_deref().and_then(Path::file_name).and_then(OsStr::to_str).map(str::to_owned);
        let network = match (network, get_str("LONET_NETWORK")?) {
            (Some(flag), _) => flag.to_owned(),
            (None, Some(variable)) => variable,
            (None, None) => dir_name.clone().unwrap_or_else(|| format!("u{uid}")),
        };
        check_network(&network)?;
        let given = dir.filter(|_| dir_name.as_deref() == Some(&network));
        let tmp = get("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let dir = given.clone().unwrap_or_else(|| tmp.join(SHARED).join(&network));
        if !dir.is_absolute() {
            return Err(ConfigError(format!(
                "the network's directory {dir:?} is not an absolute path (see LONET_DIR, TMPDIR)"
            )));
        }

        let host = get_str("LONET_HOST")?.map(|h| bare_host(&h).to_owned());
        if let Some(h) = host.as_deref().filter(|h| h.len() > MAX_HOST) {
            return Err(ConfigError(format!("LONET_HOST={h:?} is longer than {MAX_HOST} bytes")));
        }
        let choice = |name: &str, yes: &str, no: &str| match get_str(name)?.as_deref() {
            None => Ok(false),
            Some(v) if v == no => Ok(false),
            Some(v) if v == yes => Ok(true),
            Some(v) => Err(ConfigError(format!("{name}={v:?} is neither {no:?} nor {yes:?}"))),
        };
        let autobind_from =
            match get_str("LONET_AUTOBIND")? {
                None => 1,
                Some(v) => v.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                    ConfigError(format!("LONET_AUTOBIND={v:?} is not a port from 1 to 65535"))
                })?,
            };
        let membership = match get_str("LONET_KEY")? {
            None => None,
            Some(v) => Some(
                Membership::parse(&v)
                    .ok_or_else(|| ConfigError("LONET_KEY is not a key that `lonet run` made".into()))?,
            ),
        };
        let owner = membership.map_or(uid, |m: Membership| m.owner);
        let private_dir = given.is_none().then(|| tmp.join(format!("{SHARED}-{owner}")).join(&network));
        Ok(Config {
            network,
            dir,
            tmp,
            private_dir,
            host,
            membership,
            options: Options {
                real_loopback: choice("LONET_LOOPBACK", "real", "host")?,
                private_ports: choice("LONET_OS_PORTS", "private", "native")?,
                strict_names: choice("LONET_NAMES", "strict", "lenient")?,
                fresh_accept_ports: false,
                closes_unseen: get(SUPERVISED).is_some_and(|v| v == SUPERVISES),
                is_first: false,
                autobind_from,
            },
            log: get("LONET_LOG").map(PathBuf::from),
            bin: get("LONET_BIN").map(PathBuf::from),
            path: get("PATH"),
        })
    }

    /// What requests to lonetd say of this process.
    pub fn requester(&self) -> Requester<'_> {
        Requester {
            host: self.host.as_deref().unwrap_or(""),
            key: self.membership.map_or([0; 16], |m| m.key),
            options: self.options,
        }
    }

    /// Decides between `dir` and `private_dir`, for processes that may access files, and sets `dir`. Returns
    /// a message if the directory is not in `<tmp>/lonet`, with the reason.
    pub fn choose_directory(&mut self, uid: u32) -> Option<String> {
        let private = self.private_dir.take()?;
        let owner = self.membership.map_or(uid, |m| m.owner);
        let (which, _) = find(&Place::new(&self.dir), &Place::new(&private), owner);
        let parent = |dir: &Path| dir.parent().unwrap_or(dir).display().to_string();
        let (root, other) = (parent(&private), parent(&self.dir));
        let why = match which {
            Which::Shared => return None,
            Which::Private => format!("network {:?} has begun in {root}", self.network),
            Which::PrivateAs(why) => format!("{other} {why}"),
        };
        self.dir = private;
        Some(format!("{why}: using {root}; Go and Python peers look in {other} alone"))
    }
}

/// A host's name without the suffix: `α` for `α`, `α.lonet` and `α.lonet.`
pub fn bare_host(name: &str) -> &str {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let at = bare.len().wrapping_sub(LONET_SUFFIX.len());
    match bare.get(at..) {
        Some(suffix) if suffix.eq_ignore_ascii_case(LONET_SUFFIX) => &bare[..at],
        _ => name,
    }
}

/// The variable that `lonet run` sets for supervision: to [`IS_SUPERVISED`] in supervised programs, and to
/// [`SUPERVISES`] in their supervisor.
pub const SUPERVISED: &str = "LONET_SUPERVISED";

/// A supervisor handles the calls of this process, so that the library does nothing in it.
pub const IS_SUPERVISED: &str = "1";

/// This process makes calls for others, whose closes it does not see.
pub const SUPERVISES: &str = "others";

/// The domain of the hosts' names.
pub const LONET_SUFFIX: &str = ".lonet";

/// Checks the name of a network, which must be one path component of at most [`MAX_NETWORK`] bytes.
pub fn check_network(name: &str) -> Result<(), ConfigError> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_NETWORK {
        "is longer than 64 bytes"
    } else if name == "." || name == ".." || name.contains('/') {
        "is not one path component"
    } else if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "has a space or control character in it"
    } else {
        return Ok(());
    };
    Err(ConfigError(format!("network {name:?} {why}: give it a short plain name such as \"mynet\"")))
}

/// Looks a variable up in an environment of `NAME=value` strings.
pub fn lookup<'a>(environment: impl Iterator<Item = &'a [u8]>, name: &str) -> Option<OsString> {
    environment
        .filter_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .map(|value| OsString::from_vec(value.to_vec()))
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)], flag: Option<&str>) -> Result<Config, ConfigError> {
        let get = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Config::read(&get, 1000, flag)
    }

    #[test]
    fn default_network_is_the_users_own() {
        let c = read(&[], None).expect("a configuration");
        assert_eq!((c.network.as_str(), c.dir.as_path()), ("u1000", Path::new("/tmp/lonet/u1000")));
    }

    #[test]
    fn lonet_dir_survives_a_changed_tmpdir() {
        let c = read(&[("LONET_DIR", "/a/lonet/n"), ("LONET_NETWORK", "n"), ("TMPDIR", "/b")], None);
        assert_eq!(c.expect("a configuration").dir, Path::new("/a/lonet/n"));
    }

    #[test]
    fn lonet_dir_has_no_private_alternative() {
        let given = read(&[("LONET_DIR", "/a/lonet/n")], None).expect("a configuration");
        assert_eq!(given.private_dir, None);
        let other =
            read(&[("LONET_DIR", "/a/lonet/n"), ("TMPDIR", "/b")], Some("m")).expect("a configuration");
        assert_eq!(other.private_dir.as_deref(), Some(Path::new("/b/lonet-1000/m")));
        let key = "7-00000000000000000000000000000000";
        let of_seven = read(&[("LONET_KEY", key)], Some("m")).expect("a configuration");
        assert_eq!(of_seven.private_dir.as_deref(), Some(Path::new("/tmp/lonet-7/m")));
    }

    #[test]
    fn flag_overrides_the_variables() {
        let c = read(&[("LONET_DIR", "/a/lonet/n"), ("LONET_NETWORK", "n"), ("TMPDIR", "/b")], Some("m"));
        assert_eq!(c.expect("a configuration").dir, Path::new("/b/lonet/m"));
    }

    #[test]
    fn invalid_variable_is_named() {
        let e = read(&[("LONET_AUTOBIND", "0")], None).expect_err("0 is no port");
        assert!(e.to_string().contains("LONET_AUTOBIND"), "{e}");
        assert!(read(&[("LONET_NETWORK", "a/b")], None).is_err());
        assert!(read(&[("LONET_LOOPBACK", "maybe")], None).is_err());
    }

    #[test]
    fn suffix_of_a_host_is_removed_in_any_case() {
        for name in ["α", "α.lonet", "α.LONET", "α.Lonet."] {
            assert_eq!(bare_host(name), "α");
        }
        assert_eq!(bare_host("lonet"), "lonet");
    }

    #[test]
    fn key_is_parsed_as_it_was_written() {
        let m = Membership { owner: 65534, key: std::array::from_fn(|i| i as u8 * 17) };
        assert_eq!(Membership::parse(&m.to_string()), Some(m));
        assert_eq!(Membership::parse("0-zz"), None);
    }
}
