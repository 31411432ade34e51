//! Detects programs that gain privileges when they are executed. For these the kernel sets AT_SECURE, and
//! ld.so then ignores an LD_PRELOAD with slashes in it and removes it from their environment (ld.so(8)).

use crate::sys;
use std::fmt;
use std::os::fd::RawFd;

/// What makes the kernel set AT_SECURE for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    SetUser(u32),
    SetGroup(u32),
    Capabilities,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Privilege::SetUser(user) => write!(f, "set-user-ID to user {user}"),
            Privilege::SetGroup(group) => write!(f, "set-group-ID to group {group}"),
            Privilege::Capabilities => f.write_str("given capabilities by its file"),
        }
    }
}

/// The process that executes a program.
#[derive(Clone, Copy)]
pub(super) struct Executor {
    pub uid: u32,
    pub gid: u32,
    pub no_new_privs: bool,
}

/// The privilege that this process gains by executing an open file. What cannot be determined counts as none.
pub(super) fn gained_by(fd: RawFd, stat: &libc::stat) -> Option<Privilege> {
    let sets_ids = stat.st_mode & (libc::S_ISUID | libc::S_ISGID) != 0;
    let uid = sys::getuid();
    if !sets_ids && uid == 0 {
        return None;
    }
    let has_capabilities = sys::has_attribute(fd, c"security.capability");
    if !sets_ids && !has_capabilities || sys::is_nosuid(fd) == Ok(true) {
        return None;
    }
    gained(stat, has_capabilities, Executor { uid, gid: sys::getgid(), no_new_privs: sys::no_new_privs() })
}

/// The kernel's rules (security/commoncap.c, and bprm_fill_uid in fs/exec.c), on a file system without
/// nosuid.
pub(super) fn gained(stat: &libc::stat, has_capabilities: bool, by: Executor) -> Option<Privilege> {
    // A set-group-ID bit without execute permission for the group has another meaning: mandatory locks.
    let setgid = libc::S_ISGID | libc::S_IXGRP;
    if !by.no_new_privs {
        if stat.st_mode & libc::S_ISUID != 0 && stat.st_uid != by.uid {
            return Some(Privilege::SetUser(stat.st_uid));
        }
        if stat.st_mode & setgid == setgid && stat.st_gid != by.gid {
            return Some(Privilege::SetGroup(stat.st_gid));
        }
    }
    // Root has all capabilities anyway, so that AT_SECURE is not set for these; no_new_privs does not undo
    // them.
    (by.uid != 0 && has_capabilities).then_some(Privilege::Capabilities)
}
