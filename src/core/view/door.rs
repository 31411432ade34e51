//! The abstract name of the control socket, in the header: who has the view mapped finds lonetd by it, also from another
//! root directory and as another user, and also where lonetd could not have the name that the network's key gives.

use super::{HEADER, View, Writer};
use crate::unix::AbstractName;
use std::sync::atomic::{AtomicU64, Ordering};

impl<'a> View<'a> {
    fn door(self) -> &'a AtomicU64 {
        &self.words[HEADER + 3]
    }

    /// The name, as the lonetd that served last has written it.
    pub fn abstract_name(self) -> Option<AbstractName> {
        AbstractName::from_number(self.door().load(Ordering::Acquire))
    }
}

impl Writer {
    pub fn set_abstract_name(&mut self, name: Option<AbstractName>) {
        self.0.door().store(name.map_or(0, AbstractName::number), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn abstract_name_is_read_by_another_mapping() {
        let file = file();
        let mut writer = Writer::take(file.raw()).expect("a view");
        let reader = View::map(file.raw(), false).expect("a mapping");
        assert_eq!(reader.abstract_name(), None);
        let name = AbstractName::of(&[7; 16], "n");
        writer.set_abstract_name(Some(name));
        assert_eq!(reader.abstract_name(), Some(name));
    }
}
