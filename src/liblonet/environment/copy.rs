//! Completed copies of an environment: for one call, or lent to the process itself.

use super::{Environment, environ, missing, own};
use libc::c_char;
use lonet_core::sys::check;
use nix::errno::Errno;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Runs `call` with `all`, or with a copy that has the missing variables. Fails if there is no memory for the
/// copy.
///
/// `all` is as an exec call takes it.
pub unsafe fn with_saved<R>(all: Environment, call: &dyn Fn(Environment) -> R) -> Result<R, Errno> {
    // SAFETY: as the caller promises.
    let Some(missing) = (unsafe { missing(all) }) else { return Ok(call(all)) };
    // SAFETY: as the caller promises.
    let text = unsafe { missing.text(all) };
    with_room(missing.pointers(), text, &|pointers, text| {
        // SAFETY: there is room for so much.
        unsafe { missing.put_back(all, pointers, text) };
        call(pointers)
    })
}

/// The room on the stack: 2 KiB in all, which programs that execute others have left.
const POINTERS: usize = 160;
const TEXT: usize = 768;

/// Runs `call` with room for so many pointers and bytes of text: on the stack, or in mapped memory.
pub fn with_room<R>(
    pointers: usize,
    text: usize,
    call: &dyn Fn(*mut *const c_char, *mut u8) -> R,
) -> Result<R, Errno> {
    if pointers <= POINTERS && text <= TEXT { Ok(on_stack(call)) } else { in_mapping(pointers, text, call) }
}

#[inline(never)]
fn on_stack<R>(call: &dyn Fn(*mut *const c_char, *mut u8) -> R) -> R {
    let mut pointers = [std::ptr::null(); POINTERS];
    let mut text = [0; TEXT];
    call(pointers.as_mut_ptr(), text.as_mut_ptr())
}

#[inline(never)]
fn in_mapping<R>(
    pointers: usize,
    text: usize,
    call: &dyn Fn(*mut *const c_char, *mut u8) -> R,
) -> Result<R, Errno> {
    let pointers = pointers * size_of::<Environment>();
    let (protection, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a mapping of its own, which is unmapped when nothing points there any more.
    unsafe {
        let nowhere = std::ptr::null::<u8>();
        let at = check(libc::syscall(libc::SYS_mmap, nowhere, pointers + text, protection, kind, -1, 0))?;
        let at = std::ptr::with_exposed_provenance_mut::<u8>(at as usize);
        let result = call(at.cast(), at.add(pointers));
        let errno = Errno::last_raw();
        libc::syscall(libc::SYS_munmap, at, pointers + text);
        Errno::set_raw(errno);
        Ok(result)
    }
}

/// The last array that [`lend`] made, preceded by the number of its pointers.
static LENT: AtomicPtr<usize> = AtomicPtr::new(std::ptr::null_mut());

/// Replaces the process's own environment by a complete one, for calls that use it inside libc. Returns the
/// old and the new one, for [`take_back`]; `None`: nothing is missing.
///
/// May allocate. A lent environment is not freed, as other threads may read it; it is reused while the
/// process's own has not changed.
pub fn lend() -> Option<(Environment, Environment)> {
    let had = own();
    // SAFETY: the process's own environment.
    let missing = unsafe { missing(had) }?;
    let (pointers, word) = (missing.pointers(), size_of::<usize>());
    // SAFETY: new memory; all writes are within the size requested.
    unsafe {
        let size = (1 + pointers) * word + missing.text(had);
        let new: *mut usize = libc::calloc(1, size).cast();
        if new.is_null() {
            return None;
        }
        new.write(pointers);
        missing.put_back(had, new.add(1).cast(), new.add(1 + pointers).cast());
        let last = LENT.load(Ordering::Acquire);
        let same = !last.is_null()
            && *last == pointers
            && std::slice::from_raw_parts(last, 1 + pointers)
                == std::slice::from_raw_parts(new, 1 + pointers);
        let lent = if same {
            libc::free(new.cast());
            last
        } else {
            LENT.store(new, Ordering::Release);
            new
        };
        let lent: Environment = lent.add(1).cast();
        (&raw mut environ).write(lent);
        Some((had, lent))
    }
}

/// Restores the environment, unless the program has set another one meanwhile.
pub fn take_back((had, lent): (Environment, Environment)) {
    if own() == lent {
        // SAFETY: a pointer of libc's; the old environment is still there.
        unsafe { (&raw mut environ).write(had) };
    }
}
