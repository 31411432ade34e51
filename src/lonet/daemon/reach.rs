//! Access to other processes' sockets: an option set through one descriptor applies to all holders of the
//! socket.

use super::process::pidfd_open;
use super::state::{Cookie, Pid};
use lonet_core::sys;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Calls `each` for those TCP sockets of a process whose inode `is_wanted` accepts, with a copy of the
/// descriptor and its number in that process, until `each` returns false.
///
/// Fails if the kernel does not let lonetd copy another process's descriptors: the rules are those of
/// ptrace(2).
pub fn each_socket(
    pid: Pid,
    is_wanted: &dyn Fn(u32) -> bool,
    each: &mut dyn FnMut(Cookie, &OwnedFd, i32) -> bool,
) -> Result<(), Errno> {
    let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
    let process = match pidfd_open(pid) {
        Ok(process) => process,
        Err(Errno::ESRCH) => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).map_err(errno)? {
        // The process has ended meanwhile.
        let Ok(entry) = entry else { break };
        let inode = std::fs::read_link(entry.path()).ok().as_deref().and_then(inode);
        let number = entry.file_name().to_str().and_then(|n| n.parse().ok());
        let (Some(number), Some(_)) = (number, inode.filter(|inode| is_wanted(*inode))) else { continue };
        match copy(&process, number) {
            Ok(socket) => {
                let Ok(cookie) = sys::cookie(socket.as_raw_fd()) else { continue };
                let goes_on = each(cookie, &socket, number as i32);
                close(socket);
                if !goes_on {
                    break;
                }
            }
            // Closed meanwhile.
            Err(Errno::EBADF) => {}
            Err(Errno::ESRCH) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A copy of a process' descriptor. ESTALE: it is not of this socket.
pub fn copy_of(process: &OwnedFd, number: i32, cookie: Cookie) -> Result<OwnedFd, Errno> {
    let file = copy(process, number.into())?;
    if sys::cookie(file.as_raw_fd()) == Ok(cookie) {
        return Ok(file);
    }
    // It may be of a file system that takes its time with each close.
    aside(file);
    Err(Errno::ESTALE)
}

/// The inode of `socket:[INODE]`.
fn inode(link: &std::path::Path) -> Option<u32> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Copies a descriptor of a process.
pub fn copy(process: &OwnedFd, number: libc::c_long) -> Result<OwnedFd, Errno> {
    // SAFETY: numbers only.
    let fd = sys::check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Closes a socket without blocking. The last close of one that lingers (SO_LINGER) takes as long as that
/// says, and the process may have closed its own descriptor meanwhile.
pub fn close(socket: OwnedFd) {
    let linger = sys::getsockopt::<libc::linger>(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER);
    if linger.is_ok_and(|linger| linger.l_onoff != 0 && linger.l_linger != 0) {
        aside(socket);
    }
}

fn aside(file: OwnedFd) {
    let close = std::thread::Builder::new().name("lonetd-close".into()).spawn(move || drop(file));
    drop(close);
}

/// The reason why lonetd cannot reach a process's sockets, as text.
pub fn why(pid: Pid, errno: Errno) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uid: Option<u32> =
        status.lines().find_map(|l| l.strip_prefix("Uid:")?.split_ascii_whitespace().nth(1)?.parse().ok());
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match (errno, uid, scope.trim()) {
        (Errno::EPERM | Errno::EACCES, Some(uid), _) if uid != sys::geteuid() => {
            format!("it is of uid {uid}, and lonetd of uid {}", sys::geteuid())
        }
        (Errno::EPERM | Errno::EACCES, _, scope @ ("1" | "2" | "3")) => {
            format!("the kernel forbids it (kernel.yama.ptrace_scope is {scope})")
        }
        (Errno::EPERM | Errno::EACCES, ..) => "it may not be traced (PR_SET_DUMPABLE, or a sandbox)".into(),
        (errno, ..) => errno.desc().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_of_another_process_is_reached_by_its_cookie() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let cookie = sys::cookie(socket.as_raw_fd()).expect("its cookie");
        let (mut seen, mut all) = (0, 0);
        let own = std::process::id() as Pid;
        let reached = each_socket(own, &|_| true, &mut |found, copy, number| {
            all += 1;
            if found == cookie {
                seen += 1;
                assert_ne!(copy.as_raw_fd(), socket.as_raw_fd());
                assert_eq!(number, socket.as_raw_fd());
            }
            true
        });
        assert_eq!((reached, seen), (Ok(()), 1));
        assert!(each_socket(own, &|_| false, &mut |_, _, _| unreachable!()).is_ok());
        assert!(all >= 1);
    }

    #[test]
    fn descriptor_of_another_socket_is_not_copied() {
        let [one, other] = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a listener"));
        let cookie = sys::cookie(one.as_raw_fd()).expect("its cookie");
        let own = pidfd_open(std::process::id() as Pid).expect("this process");
        let copied = |fd: i32| copy_of(&own, fd, cookie).and_then(|copy| sys::cookie(copy.as_raw_fd()));
        assert_eq!(copied(one.as_raw_fd()), Ok(cookie));
        let others = [other.as_raw_fd(), own.as_raw_fd(), -1].map(copied);
        assert_eq!(others, [Err(Errno::ESTALE), Err(Errno::ESTALE), Err(Errno::EBADF)]);
    }

    #[test]
    fn inode_is_read_of_links_to_sockets_alone() {
        assert_eq!(inode("socket:[17]".as_ref()), Some(17));
        for other in ["pipe:[17]", "/dev/null", "socket:[]", "socket:[x]"] {
            assert_eq!(inode(other.as_ref()), None, "{other}");
        }
    }
}
