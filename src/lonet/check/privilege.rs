//! Programs that gain privileges when they are executed. For them the kernel sets AT_SECURE, and ld.so
//! then ignores an LD_PRELOAD with slashes in it and removes it from what they start (ld.so(8)).

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::refusal::{Privilege, Reason};

/// Who executes the program.
pub(super) struct Caller {
    pub uid: u32,
    pub gid: u32,
    pub no_new_privs: bool,
}

impl Caller {
    pub fn current() -> Self {
        Self {
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            no_new_privs: nix::sys::prctl::get_no_new_privs().unwrap_or(false),
        }
    }
}

pub(super) fn check(file: &File) -> Result<(), Reason> {
    match gained(file, &Caller::current()) {
        Some(privilege) => Err(Reason::Privileged(privilege)),
        None => Ok(()),
    }
}

/// What `caller` gains by executing `file`, by the rules of the kernel (security/commoncap.c and
/// bprm_fill_uid in fs/exec.c). What cannot be found out counts as nothing.
pub(super) fn gained(file: &File, caller: &Caller) -> Option<Privilege> {
    let meta = file.metadata().ok()?;
    if fstatvfs(file).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOSUID)) {
        return None;
    }
    // A set-group-ID bit without execute permission for the group has another meaning: mandatory locks.
    let setgid = libc::S_ISGID | libc::S_IXGRP;
    if !caller.no_new_privs {
        if meta.mode() & libc::S_ISUID != 0 && meta.uid() != caller.uid {
            return Some(Privilege::SetUid(meta.uid()));
        }
        if meta.mode() & setgid == setgid && meta.gid() != caller.gid {
            return Some(Privilege::SetGid(meta.gid()));
        }
    }
    // Root has all capabilities anyway and is told nothing of these; no_new_privs does not undo them.
    (caller.uid != 0 && has_capabilities(file)).then_some(Privilege::Capabilities)
}

fn has_capabilities(file: &File) -> bool {
    // SAFETY: the descriptor is open while `file` is borrowed, the name is a C string, and with size 0
    // nothing is written: the call returns the attribute's length or -1.
    let length = unsafe {
        libc::fgetxattr(file.as_raw_fd(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0)
    };
    length > 0
}
