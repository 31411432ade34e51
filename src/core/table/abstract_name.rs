//! The abstract name of the control socket, in the header: who has the table mapped finds lonetd by it, also from another
//! root directory and as another user, and also where lonetd could not have the name that the network's key gives.

use super::Table;
use super::word::Word;
use crate::unix::AbstractName;

impl Table<'_> {
    /// The name, as the lonetd that served last has written it.
    pub fn abstract_name(self) -> Option<AbstractName> {
        AbstractName::from_number(self.header().abstract_name.get())
    }

    /// lonetd's.
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
