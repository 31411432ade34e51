//! libc's functions that not every libc has, and those that redhook's macro cannot say.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The function of this name behind ours: libc's, or another preload's. `F` is a function pointer.
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

    /// To be called in the constructor.
    pub fn resolve(&self) {
        // SAFETY: a C string; RTLD_NEXT is relative to this library, which the call is in.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.at.store(found, Ordering::Release);
    }

    /// `None`: this libc has none. What is called before the constructor has run is looked up then.
    pub fn get(&self) -> Option<F> {
        if self.at.load(Ordering::Acquire).is_null() {
            self.resolve();
        }
        let at = self.at.load(Ordering::Acquire);
        // SAFETY: not null, of the size of `F`, which is its type, as `new` was promised.
        (!at.is_null()).then(|| unsafe { std::mem::transmute_copy(&at) })
    }
}
