//! A pool of threads for work that may block, beside lonetd's loop.
//!
//! A thread is started for each job that would have to wait, up to a limit; then jobs wait. A process that
//! keeps all threads busy for ever blocks this kind of work, and nothing else of lonetd's.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

pub struct ThreadPool {
    name: &'static str,
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    queued: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            while let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = self.lock();
            }
            queue.idle += 1;
            queue = self.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

impl ThreadPool {
    /// A pool of at most `most` threads of this name; none is started before there is work.
    pub fn new(name: &'static str, most: usize) -> ThreadPool {
        ThreadPool { name, most, shared: Arc::default() }
    }

    /// Queues a job. Jobs begin in the order in which they were queued, as soon as a thread is free.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        let mut queue = self.shared.lock();
        queue.jobs.push_back(Box::new(job));
        if queue.jobs.len() > queue.idle && queue.threads < self.most {
            let shared = self.shared.clone();
            let thread = thread::Builder::new().name(self.name.into()).stack_size(128 << 10);
            match thread.spawn(move || shared.work()) {
                Ok(_) => queue.threads += 1,
                Err(e) => tracing::warn!("no thread {}, {} jobs wait: {e}", self.name, queue.jobs.len()),
            }
        }
        self.shared.queued.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn jobs_that_end_are_done_beside_one_that_does_not() {
        let pool = ThreadPool::new("test", 2);
        let (done, results) = channel();
        let (end, stuck) = channel::<()>();
        pool.submit(move || _ = stuck.recv());
        for n in 0..100 {
            let done = done.clone();
            pool.submit(move || _ = done.send(n));
        }
        assert_eq!(results.iter().take(100).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        drop(end);
    }
}
