//! Compatibility with AddressSanitizer.
//!
//! Its runtime ends a program in which another library comes first, as a preloaded one does. The runtime
//! could be preloaded before this library, but then every program that this one starts would have it, too,
//! and would be checked for leaks. So this function turns the check off: the runtime gets default options
//! from a function of this name, which it leaves to others to define. A definition in the program takes
//! precedence over one in a library, and must return the same.

/// Default options; ASAN_OPTIONS overrides them.
#[unsafe(no_mangle)]
pub extern "C" fn __asan_default_options() -> *const libc::c_char {
    c"verify_asan_link_order=0".as_ptr()
}
