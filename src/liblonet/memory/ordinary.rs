//! Memory that is known to be readable without a system call: where most programs keep their addresses. A
//! system call may be refused by the program's sandbox, or end the program.
//!
//! | what | how it is known |
//! |---|---|
//! | the stack of the main thread | from the current frame to the environment, which is at its end |
//! | the stack of another thread | the page of the current frame; all above it, if that is near the stack's end |
//! | variables of the program and of the libraries that it starts with | from the loader's list of segments at the start |
//! | the heap of libc's malloc | from a block allocated at the start to the break |
//!
//! Limit: unmapping any of this goes unnoticed, and a program that does so and passes a pointer there
//! crashes. Everything else is unknown: frames far up a thread's stack, variables of libraries opened later,
//! malloc's large blocks and other threads' arenas, and other allocators' memory.

use super::{PAGE, WRITABLE};
use libc::{c_char, c_int, c_void, dl_phdr_info};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The default limit of the main thread's stack; the kernel keeps a larger distance to the mappings beside
/// it.
const STACK: usize = 8 << 20;

/// Less than the smallest stack of a thread, not counting its guard page and the thread's descriptor at its
/// end.
const THREAD_STACK: usize = 8 << 10;

/// The end of the environment's last string, which the kernel has put on the main thread's stack; 0: unknown.
static STACK_END: AtomicUsize = AtomicUsize::new(0);

/// Start, with [`WRITABLE`] if it can be written, and end of each segment, in whole pages. The first empty
/// entry ends the list. Further segments of a program with more libraries are unknown.
static SEGMENTS: [[AtomicUsize; 2]; 256] = [const { [const { AtomicUsize::new(0) }; 2] }; 256];

/// The start of the heap, or an address in its first part; 0: unknown.
static HEAP: AtomicUsize = AtomicUsize::new(0);

/// Records the memory that there is when the process starts. `strings`, the entries of `environment`, is in a
/// block of malloc's.
pub fn learn(environment: *const *const c_char, strings: &[&[u8]]) {
    learn_stack(environment, strings);
    let mut segments = Segments { count: 0 };
    // SAFETY: `note` takes what it is called with.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut segments).cast()) };
    learn_heap(strings.as_ptr().addr());
}

/// Records the end of the main thread's stack, if this runs on that stack and the environment is on it.
fn learn_stack(environment: *const *const c_char, strings: &[&[u8]]) {
    let (here, array) = (here(), environment.addr());
    if here < array && array - here < STACK {
        let ends = strings.iter().map(|s| s.as_ptr_range().end.addr());
        let end = ends.filter(|end| (array..array + STACK).contains(end)).max().unwrap_or(array);
        STACK_END.store(end, Ordering::Relaxed);
    }
}

/// The segments recorded so far.
struct Segments {
    count: usize,
}

/// Records the segments of an object, for dl_iterate_phdr.
unsafe extern "C" fn note(object: *mut dl_phdr_info, _: usize, segments: *mut c_void) -> c_int {
    // SAFETY: the loader's description of an object, and what `learn` passes.
    let (object, segments) = unsafe { (&*object, &mut *segments.cast::<Segments>()) };
    // SAFETY: the loader's table.
    let all = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    let range = |header: &libc::Elf64_Phdr| {
        let start = (object.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        start..start.wrapping_add(header.p_memsz as usize)
    };
    // The start of a segment, which the loader has made read-only after relocation.
    let settled = all.iter().find(|header| header.p_type == libc::PT_GNU_RELRO);
    let settled = settled.map_or(0, |header| range(header).end & !(PAGE - 1));
    for header in
        all.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_R != 0)
    {
        let range = range(header);
        let (start, end) = (range.start & !(PAGE - 1), range.end.next_multiple_of(PAGE));
        if header.p_flags & libc::PF_W == 0 {
            segments.add(start, end, 0);
        } else {
            let middle = settled.clamp(start, end);
            segments.add(start, middle, 0);
            segments.add(middle, end, WRITABLE);
        }
    }
    0
}

impl Segments {
    fn add(&mut self, start: usize, end: usize, how: usize) {
        let before = self.count.checked_sub(1).and_then(|last| SEGMENTS.get(last));
        if let Some([first, last]) = before
            && last.load(Ordering::Relaxed) == start
            && first.load(Ordering::Relaxed) & WRITABLE == how
        {
            last.store(end, Ordering::Relaxed);
        } else if let Some([first, last]) = SEGMENTS.get(self.count).filter(|_| start < end) {
            first.store(start | how, Ordering::Relaxed);
            last.store(end, Ordering::Relaxed);
            self.count += 1;
        }
    }
}

/// The recorded segments: start, end, and [`WRITABLE`] or 0.
fn segments() -> impl Iterator<Item = (usize, usize, usize)> {
    let all =
        SEGMENTS.iter().map(|[first, last]| (first.load(Ordering::Relaxed), last.load(Ordering::Relaxed)));
    all.take_while(|(_, end)| *end != 0).map(|(first, end)| (first & !WRITABLE, end, first & WRITABLE))
}

/// Records the page of this block as the start of the heap, if it is below the break with no segment in
/// between: other memory of malloc's is not.
fn learn_heap(block: usize) {
    let end = heap_end();
    if block < end && !segments().any(|(start, ..)| (block..end).contains(&start)) {
        HEAP.store(block & !(PAGE - 1), Ordering::Relaxed);
    }
}

/// The end of the heap; 0 if unknown. No system call, once there is a heap.
fn heap_end() -> usize {
    // SAFETY: moves nothing.
    let end = unsafe { libc::sbrk(0) }.addr();
    if end == usize::MAX { 0 } else { end }
}

fn here() -> usize {
    let local = 0u8;
    (&raw const local).addr()
}

/// Whether this range is known to lie on the current stack, above this frame.
pub fn is_on_stack(first: usize, last: usize) -> bool {
    let (here, end) = (here(), STACK_END.load(Ordering::Relaxed));
    if here <= first && last < end && end - here < STACK {
        return true;
    }
    // libc has a thread's descriptor at the end of its stack.
    // SAFETY: no preconditions.
    let end = unsafe { libc::pthread_self() } as usize;
    here <= first && last < end && end - here < THREAD_STACK
}

/// Whether this page is known to be readable, and writable if `how` is [`WRITABLE`].
pub fn is_known(page: usize, how: usize) -> bool {
    if page == here() & !(PAGE - 1)
        || segments().any(|(start, end, can)| (start..end).contains(&page) && can & how == how)
    {
        return true;
    }
    let heap = HEAP.load(Ordering::Relaxed);
    heap != 0 && heap <= page && page < heap_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    static CONSTANT: [u8; 64] = [7; 64];
    static VARIABLE: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

    fn page_of<T>(at: &T) -> usize {
        std::ptr::from_ref(at).addr() & !(PAGE - 1)
    }

    #[test]
    fn variables_and_the_stack_are_known_to_be_readable() {
        let strings: [&[u8]; 1] = [b"A=b"];
        learn(std::ptr::null(), &strings);
        assert!(is_known(page_of(&CONSTANT), 0) && !is_known(page_of(&CONSTANT), WRITABLE));
        assert!(is_known(page_of(&VARIABLE), WRITABLE));
        let local = [0u8; 16];
        assert!(
            is_known(page_of(&local), WRITABLE)
                || is_on_stack(local.as_ptr().addr(), local.as_ptr().addr() + 15)
        );
        assert!(!is_known(0, 0) && !is_known(PAGE, 0) && !is_known(usize::MAX & !(PAGE - 1), 0));
    }

    #[test]
    fn only_the_end_of_a_thread_stack_is_known() {
        std::thread::spawn(|| {
            // SAFETY: no preconditions.
            let end = unsafe { libc::pthread_self() } as usize;
            let near = end - here() < THREAD_STACK;
            assert_eq!(is_on_stack(end - 16, end - 1), near);
            assert!(!is_on_stack(end - 16, end) && !is_on_stack(here() - THREAD_STACK, here()));
        })
        .join()
        .expect("a thread");
    }
}
