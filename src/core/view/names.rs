//! How often what lonetd has said of names has changed, in the view's header: what was said under one count stands while
//! the count is the same, and need not be asked again.
//!
//! lonetd raises it before it tells anybody of the change, so that whoever has heard of it finds it raised. No two lonetds
//! count alike: each begins with the nanoseconds since the machine's start, and above what the one before has left in
//! the file. A program may still look into a file that was deleted.

use super::{HEADER, View, Writer};
use crate::sys;
use std::sync::atomic::{AtomicU64, Ordering};

impl<'a> View<'a> {
    fn count(self) -> &'a AtomicU64 {
        &self.words[HEADER + 2]
    }

    /// The count, never 0. `None`: nobody serves, and what was said stands no more than the network.
    pub fn names(self) -> Option<u64> {
        self.is_served().then(|| self.count().load(Ordering::Acquire))
    }
}

impl Writer {
    /// What was said of names so far does not stand any more.
    pub fn names_changed(&mut self) {
        let count = self.0.count();
        let next = count.load(Ordering::Relaxed).wrapping_add(1).max(since_start());
        count.store(next, Ordering::Release);
    }

    /// See [`View::names`].
    pub fn names(&self) -> u64 {
        self.0.count().load(Ordering::Relaxed)
    }
}

fn since_start() -> u64 {
    sys::clock(libc::CLOCK_BOOTTIME).as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn a_change_is_seen_by_another_mapping() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        writer.serve();
        let reader = View::map(file.raw(), false).expect("a mapping");
        let before = reader.names();
        assert_eq!(before, Some(writer.names()));
        writer.names_changed();
        assert_ne!(reader.names(), before);
        assert_eq!(reader.names(), Some(writer.names()));
    }

    #[test]
    fn there_is_no_count_of_a_view_that_nobody_serves() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        let reader = View::map(file.raw(), false).expect("a mapping");
        assert_eq!(reader.names(), None);
        writer.serve();
        assert!(reader.names().is_some());
        writer.leave();
        assert_eq!(reader.names(), None);
    }

    #[test]
    fn a_new_writer_does_not_count_as_one_before() {
        let all = [file(), file()];
        let counts = (0..100).map(|n| Writer::take(all[n % 2].raw()).expect("a view").names());
        assert_eq!(counts.collect::<std::collections::BTreeSet<u64>>().len(), 100);
    }

    #[test]
    fn a_count_is_not_lowered_by_a_clock_that_is_behind() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        writer.0.count().store(u64::MAX / 2, Ordering::Relaxed);
        writer.names_changed();
        assert_eq!(Writer::take(file.raw()).expect("a view").names(), u64::MAX / 2 + 2);
    }
}
