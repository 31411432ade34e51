//! Whether a lonetd serves the network: a robust futex in the table's header.
//!
//! A lonetd that is killed cannot announce it. The kernel does: it marks the futex when the thread that holds
//! it ends, before anything else of the process does.

use super::Table;
use crate::sys::{self, check};
use std::sync::atomic::{AtomicU32, Ordering};

/// The kernel's `struct robust_list_head`, and the one entry of the list.
#[repr(C)]
struct Robust {
    first: *const *const Robust,
    /// From an entry to its futex, in bytes.
    offset: libc::c_long,
    pending: *const libc::c_void,
    entry: *const Robust,
}

impl Table<'_> {
    fn service(&self) -> &AtomicU32 {
        // SAFETY: within the word, whose lifetime it gets, and never used as anything else than this.
        unsafe { AtomicU32::from_ptr(self.header().service.as_ptr().cast()) }
    }

    /// Whether a lonetd serves the network.
    pub fn is_served(self) -> bool {
        let by = self.service().load(Ordering::Acquire);
        by & libc::FUTEX_TID_MASK != 0 && by & libc::FUTEX_OWNER_DIED == 0
    }

    /// For lonetd, once: marks the network as served until the calling thread ends or calls [`Table::leave`].
    pub fn serve(self) {
        let futex = self.service();
        let robust = Box::leak(Box::new(Robust {
            first: std::ptr::null(),
            offset: 0,
            pending: std::ptr::null(),
            entry: std::ptr::null(),
        }));
        // A circular list of one entry.
        robust.first = &raw const robust.entry;
        robust.entry = robust;
        let entry = (&raw const robust.entry).addr();
        robust.offset = futex.as_ptr().addr().wrapping_sub(entry) as libc::c_long;
        let head = &raw const *robust;
        // SAFETY: a list that is never changed or freed, whose futex lies in a mapping that stays.
        let set = check(unsafe {
            libc::syscall(libc::SYS_set_robust_list, head, std::mem::offset_of!(Robust, entry))
        });
        if set.is_ok() {
            futex.store(sys::gettid() as u32, Ordering::Release);
        }
    }

    /// For lonetd: marks the network as not served any more.
    pub fn leave(self) {
        self.service().store(0, Ordering::Release);
    }
}
