//! AddressSanitizer.
//!
//! Its runtime ends a program in which another library comes first, as one that is preloaded does. It could be
//! preloaded before this one, but then every program that this one starts had it, too, and was searched for leaks. So
//! the runtime is told not to insist: it asks for its options under this name, which it leaves to others to define.
//! A program that defines it counts before a library; it has to say the same.

/// Options as in ASAN_OPTIONS, which counts more.
#[unsafe(no_mangle)]
pub extern "C" fn __asan_default_options() -> *const libc::c_char {
    c"verify_asan_link_order=0".as_ptr()
}
