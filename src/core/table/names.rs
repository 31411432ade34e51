//! How often what lonetd has answered about names has changed, in the table's header: what was answered under one count is
//! valid while the count is the same, and need not be asked again.
//!
//! lonetd raises it before it tells anybody of the change, so that whoever has heard of it finds it raised. No two lonetds
//! count alike: each begins with the nanoseconds since the machine's start, and above what the one before has left in
//! the file. A program may still look into a file that was deleted.

use super::Table;
use super::word::Word;

impl Table<'_> {
    /// The count, never 0. `None`: nobody serves, and what was answered is valid no more than the network.
    pub fn names_generation(self) -> Option<u64> {
        self.is_served().then(|| self.header().names_generation.get())
    }

    /// lonetd's: what was answered about names so far is valid no more.
    pub fn bump_names_generation(self) {
        let count = &self.header().names_generation;
        count.set(count.get().wrapping_add(1).max(since_start()));
    }
}

fn since_start() -> u64 {
    crate::sys::clock(libc::CLOCK_BOOTTIME).as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::file;
    use super::*;
    use crate::table::Mapping;

    #[test]
    fn change_of_names_is_seen_by_another_mapping() {
        let file = file();
        let writer = Mapping::create(file.raw()).expect("a table");
        writer.table().serve();
        let reader = Mapping::create(file.raw()).expect("a mapping");
        let before = reader.table().names_generation();
        assert_eq!(before, writer.table().names_generation());
        writer.table().bump_names_generation();
        assert_ne!(reader.table().names_generation(), before);
    }

    #[test]
    fn names_have_no_count_where_nobody_serves() {
        let file = file();
        let mapping = Mapping::create(file.raw()).expect("a table");
        assert_eq!(mapping.table().names_generation(), None);
        mapping.table().bump_names_generation();
        mapping.table().serve();
        assert!(mapping.table().names_generation().is_some());
        mapping.table().leave();
        assert_eq!(mapping.table().names_generation(), None);
    }

    #[test]
    fn count_of_names_is_not_lowered_by_a_clock_that_is_behind() {
        let file = file();
        let mapping = Mapping::create(file.raw()).expect("a table");
        mapping.table().header().names_generation.set(u64::MAX / 2);
        mapping.table().bump_names_generation();
        assert_eq!(mapping.table().header().names_generation.get(), u64::MAX / 2 + 1);
    }
}
