//! The generation of names, in the table's header: a cached answer of lonetd's about a name is valid while
//! the generation is the one under which it was given.
//!
//! lonetd raises the generation before it tells anyone of a change, so that whoever knows of the change finds
//! it raised. No two lonetds use the same values: each starts at the nanoseconds since boot, and above the
//! value that the last one has left in the file. A program may still have a deleted file mapped.

use super::Table;
use super::word::Word;

impl Table<'_> {
    /// The generation, never 0. `None`: no lonetd serves the network, and no cached answer is valid.
    pub fn names_generation(self) -> Option<u64> {
        self.is_served().then(|| self.header().names_generation.get())
    }

    /// For lonetd: invalidates all cached answers about names.
    pub fn bump_names_generation(self) {
        let generation = &self.header().names_generation;
        generation.set(generation.get().wrapping_add(1).max(since_boot()));
    }
}

/// Nanoseconds since boot.
fn since_boot() -> u64 {
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
    fn names_have_no_generation_without_lonetd() {
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
    fn names_generation_is_not_lowered_by_a_clock_that_is_behind() {
        let file = file();
        let mapping = Mapping::create(file.raw()).expect("a table");
        mapping.table().header().names_generation.set(u64::MAX / 2);
        mapping.table().bump_names_generation();
        assert_eq!(mapping.table().header().names_generation.get(), u64::MAX / 2 + 1);
    }
}
