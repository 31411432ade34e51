//! Memory of which it is known without a question that it can be read: where programs have their addresses, for the most part.
//! A question is a system call, which a sandbox of the program's may refuse, or end the program for.
//!
//! | what | how it is known |
//! |---|---|
//! | the stack of the main thread | from the frame that asks to the environment, which lies at its end |
//! | the stack of another thread | the page of the frame that asks; all above it, while that is near the stack's end |
//! | variables of the program and of the libraries that it starts with | the loader names their segments at the start |
//! | the heap of libc's malloc | from a block that there is at the start to the break |
//!
//! It is a limit that none of this is found to have gone: a program that unmaps it by itself and goes on to point there crashes.
//! Of all else nothing is known: of frames far up the stack of a thread, of variables of libraries that are opened later,
//! of large blocks of malloc's and those of other threads' arenas, and of other allocators' memory.

use super::{PAGE, WRITABLE};
use libc::{c_char, c_int, c_void, dl_phdr_info};
use std::sync::atomic::{AtomicUsize, Ordering};

/// As far as the main thread's stack reaches by default: with what is mapped beside it the kernel keeps a larger distance.
const STACK: usize = 8 << 20;

/// Less than the smallest stack of a thread, without the guard below it and the thread's description, which ends it.
const THREAD_STACK: usize = 8 << 10;

/// Behind the last string of the environment that the kernel has put on the main thread's stack; 0: unknown.
static STACK_END: AtomicUsize = AtomicUsize::new(0);

/// Where a segment begins, with [`WRITABLE`] if it can be written, and where it ends: whole pages. The first that is empty is
/// behind the last. Of a program with more libraries the rest is not known.
static SEGMENTS: [[AtomicUsize; 2]; 256] = [const { [const { AtomicUsize::new(0) }; 2] }; 256];

/// Where the heap begins, or later; 0: unknown.
static HEAP: AtomicUsize = AtomicUsize::new(0);

/// Learns what there is when the process begins: of this environment, whose strings are in a block of malloc's.
pub fn learn(environment: *const *const c_char, strings: &[&[u8]]) {
    learn_stack(environment, strings);
    let mut segments = Segments { count: 0 };
    // SAFETY: `note` takes what it is called with.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut segments).cast()) };
    learn_heap(strings.as_ptr().addr());
}

/// Learns where the main thread's stack ends, if it is the stack that this runs on and has the environment.
fn learn_stack(environment: *const *const c_char, strings: &[&[u8]]) {
    let (here, array) = (here(), environment.addr());
    if here < array && array - here < STACK {
        let ends = strings.iter().map(|s| s.as_ptr_range().end.addr());
        let end = ends.filter(|end| (array..array + STACK).contains(end)).max().unwrap_or(array);
        STACK_END.store(end, Ordering::Relaxed);
    }
}

/// Those that have been learnt so far.
struct Segments {
    count: usize,
}

/// The segments of an object, for dl_iterate_phdr.
unsafe extern "C" fn note(object: *mut dl_phdr_info, _: usize, segments: *mut c_void) -> c_int {
    // SAFETY: the loader's description of an object, and what `learn` passes.
    let (object, segments) = unsafe { (&*object, &mut *segments.cast::<Segments>()) };
    // SAFETY: the loader's table.
    let all = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    let range = |header: &libc::Elf64_Phdr| {
        let start = (object.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        start..start.wrapping_add(header.p_memsz as usize)
    };
    // What the loader has made read-only after it has written there: the beginning of a segment.
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

/// The segments: where each begins, where it ends, and how it can be used.
fn segments() -> impl Iterator<Item = (usize, usize, usize)> {
    let all =
        SEGMENTS.iter().map(|[first, last]| (first.load(Ordering::Relaxed), last.load(Ordering::Relaxed)));
    all.take_while(|(_, end)| *end != 0).map(|(first, end)| (first & !WRITABLE, end, first & WRITABLE))
}

/// The heap begins in the page of this block, if that lies below the break with no segment between them: other memory of
/// malloc's does not.
fn learn_heap(block: usize) {
    let end = the_break();
    if block < end && !segments().any(|(start, ..)| (block..end).contains(&start)) {
        HEAP.store(block & !(PAGE - 1), Ordering::Relaxed);
    }
}

/// Where the heap ends; 0 if that cannot be told. No system call, once there is a heap.
fn the_break() -> usize {
    // SAFETY: moves nothing.
    let end = unsafe { libc::sbrk(0) }.addr();
    if end == usize::MAX { 0 } else { end }
}

fn here() -> usize {
    let local = 0u8;
    (&raw const local).addr()
}

/// Whether all of this lies on the stack that this runs on, above this frame, as far as it is known.
pub fn is_on_stack(first: usize, last: usize) -> bool {
    let (here, end) = (here(), STACK_END.load(Ordering::Relaxed));
    if here <= first && last < end && end - here < STACK {
        return true;
    }
    // libc has a thread's description at the end of its stack.
    // SAFETY: no preconditions.
    let end = unsafe { libc::pthread_self() } as usize;
    here <= first && last < end && end - here < THREAD_STACK
}

/// Whether this page can be read, and written if `how` is [`WRITABLE`].
pub fn is_known(page: usize, how: usize) -> bool {
    if page == here() & !(PAGE - 1)
        || segments().any(|(start, end, can)| (start..end).contains(&page) && can & how == how)
    {
        return true;
    }
    let heap = HEAP.load(Ordering::Relaxed);
    heap != 0 && heap <= page && page < the_break()
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
    fn variables_and_the_stack_are_known() {
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
    fn the_end_of_a_threads_stack_is_known_and_no_more() {
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
