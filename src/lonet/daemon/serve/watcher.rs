//! A thread that waits for what the kernel has to tell, while lonetd sleeps where programs can wake it without a
//! descriptor. It touches nothing: it knocks, and what there is lonetd finds by itself.

use lonet_core::view::sleep::Knocker;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollTimeout};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};

pub struct Watcher {
    thread: Thread,
    watches: Arc<AtomicBool>,
}

impl Watcher {
    pub fn start(epoll: &Arc<Epoll>, knocker: Knocker) -> io::Result<Watcher> {
        let watches = Arc::new(AtomicBool::new(false));
        let (shared, epoll) = (watches.clone(), epoll.clone());
        let run = move || loop {
            while !shared.load(Ordering::Acquire) {
                thread::park();
            }
            match epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE) {
                Ok(0) | Err(Errno::EINTR) => continue,
                // lonetd finds out what is wrong with it.
                Ok(_) | Err(_) => {}
            }
            // From now on it is lonetd's turn.
            shared.store(false, Ordering::Release);
            knocker.knock();
        };
        // Little is on its stack, and the size is what is asked for first where memory is short.
        let thread = thread::Builder::new().name("lonetd-watch".into()).stack_size(64 << 10).spawn(run)?;
        Ok(Watcher { thread: thread.thread().clone(), watches })
    }

    /// Knocks as soon as there is something, once.
    pub fn watch(&self) {
        if !self.watches.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}
