//! Hooks of if_nameindex(3), if_nametoindex(3) and if_indextoname: the interfaces of `getifaddrs`.

use crate::process;
use libc::{c_char, c_uint};
use nix::errno::Errno;
use std::ffi::CStr;

pub const LO: &CStr = c"lo";
pub const LO_INDEX: c_uint = 1;
pub const LONET0: &CStr = c"lonet0";
/// Far above those that the kernel assigns, so that a program which passes it to the kernel is told that
/// there is no such interface, rather than reaching one of the machine's.
pub const LONET0_INDEX: c_uint = 0x6c_6f6e;

hook! {
    unsafe fn if_nametoindex(name: *const c_char) -> c_uint => lonet_if_nametoindex {
        if !has_own() || name.is_null() {
            // SAFETY: the program's argument.
            return unsafe { redhook::real!(if_nametoindex)(name) };
        }
        // SAFETY: a C string, as if_nametoindex(3) takes it.
        let name = unsafe { CStr::from_ptr(name) };
        match INTERFACES.iter().find(|(_, n)| *n == name) {
            Some((index, _)) => *index,
            None => {
                Errno::ENODEV.set();
                0
            }
        }
    }
}

hook! {
    unsafe fn if_indextoname(index: c_uint, name: *mut c_char) -> *mut c_char => lonet_if_indextoname {
        if !has_own() {
            // SAFETY: the program's arguments.
            return unsafe { redhook::real!(if_indextoname)(index, name) };
        }
        match INTERFACES.iter().find(|(i, _)| *i == index) {
            Some((_, text)) => {
                let text = text.to_bytes_with_nul();
                // SAFETY: IF_NAMESIZE bytes, of which these are fewer.
                unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), name.cast(), text.len()) };
                name
            }
            None => {
                Errno::ENXIO.set();
                std::ptr::null_mut()
            }
        }
    }
}

hook! {
    unsafe fn if_nameindex() -> *mut libc::if_nameindex => lonet_if_nameindex {
        if !has_own() {
            // SAFETY: no arguments.
            return unsafe { redhook::real!(if_nameindex)() };
        }
        build()
    }
}

const INTERFACES: [(c_uint, &CStr); 2] = [(LO_INDEX, LO), (LONET0_INDEX, LONET0)];

fn has_own() -> bool {
    process::is_active() && process::is_host()
}

/// The list, as libc's if_freenameindex frees it: each name, then the array.
fn build() -> *mut libc::if_nameindex {
    let errno = Errno::last_raw();
    // SAFETY: new memory, all zeroes: its last entry is the closing one.
    let all: *mut libc::if_nameindex =
        unsafe { libc::calloc(INTERFACES.len() + 1, size_of::<libc::if_nameindex>()) }.cast();
    if all.is_null() {
        Errno::ENOBUFS.set();
        return all;
    }
    for (i, (index, name)) in INTERFACES.iter().enumerate() {
        // SAFETY: entry `i` of the array; on failure the entries made so far are freed.
        unsafe {
            let copy = libc::strdup(name.as_ptr());
            if copy.is_null() {
                libc::if_freenameindex(all);
                Errno::ENOBUFS.set();
                return std::ptr::null_mut();
            }
            all.add(i).write(libc::if_nameindex { if_index: *index, if_name: copy });
        }
    }
    Errno::set_raw(errno);
    all
}
