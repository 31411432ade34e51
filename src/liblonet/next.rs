//! Lookup of the next definition of a function after ours (RTLD_NEXT), for functions that some versions of
//! libc lack or whose type redhook's macro cannot express.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The next definition of a function: libc's, or another preloaded library's. `F` is its function pointer
/// type.
pub struct Next<F> {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
    is: std::marker::PhantomData<F>,
}

impl<F: Copy> Next<F> {
    /// # Safety
    /// `F` is the type of the function that libc has under this name.
    pub const unsafe fn new(name: &'static CStr) -> Next<F> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        Next { name, at: AtomicPtr::new(std::ptr::null_mut()), is: std::marker::PhantomData }
    }

    /// Looks the function up. The constructor calls this for each.
    pub fn resolve(&self) {
        // SAFETY: a C string; RTLD_NEXT is relative to this library, which the call is in.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.at.store(found, Ordering::Release);
    }

    /// The function; `None` if this libc has none. Looks it up if the constructor has not run yet.
    pub fn get(&self) -> Option<F> {
        if self.at.load(Ordering::Acquire).is_null() {
            self.resolve();
        }
        let at = self.at.load(Ordering::Acquire);
        // SAFETY: not null, and of the size of `F`, which is its type, as the caller of `new` promised.
        (!at.is_null()).then(|| unsafe { std::mem::transmute_copy(&at) })
    }
}
