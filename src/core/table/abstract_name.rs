//! The control socket's abstract name, in the table's header. A process that has mapped the table finds
//! lonetd by it from another root directory, as another user, and also if lonetd could not bind the name
//! derived from the key.

use super::Table;
use super::word::Word;
use crate::unix::AbstractName;

impl Table<'_> {
    /// The name, as the last lonetd that served has written it. `None`: it had none.
    pub fn abstract_name(self) -> Option<AbstractName> {
        AbstractName::from_number(self.header().abstract_name.get())
    }

    /// For lonetd: publishes the name, or that there is none.
    pub fn set_abstract_name(self, name: Option<AbstractName>) {
        self.header().abstract_name.set(name.map_or(0, AbstractName::number));
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::file;
    use super::*;
    use crate::table::Mapping;

    #[test]
    fn abstract_name_is_read_by_another_mapping() {
        let file = file();
        let writer = Mapping::create(file.raw()).expect("a table");
        let reader = Mapping::create(file.raw()).expect("a mapping");
        assert_eq!(reader.table().abstract_name(), None);
        let name = AbstractName::of(&[7; 16], "n");
        writer.table().set_abstract_name(Some(name));
        assert_eq!(reader.table().abstract_name(), Some(name));
    }
}
