//! Tests of the directories of networks: who owns them, and what stands in their place.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A directory for one test, removed on drop.
struct Tmp(PathBuf);

impl Tmp {
    fn new(name: &str) -> Tmp {
        let dir = std::env::temp_dir().join(format!("directory-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        Tmp(dir)
    }

    fn place(&self, root: &str) -> Place {
        Place::new(&self.0.join(root).join("net"))
    }

    fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.0.join(name), PermissionsExt::from_mode(mode)).expect("a mode");
    }
}

impl Drop for Tmp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn own() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() }
}

fn made(place: &Place) -> Directory {
    place.make_root(own()).expect("a root").make(place.name()).expect("a directory")
}

#[test]
fn root_is_made_for_all_users_and_any_other_for_its_owner() {
    let tmp = Tmp::new("made");
    for (name, mode) in [("lonet", 0o1777), ("lonet-7", 0o700)] {
        made(&tmp.place(name));
        let have = std::fs::metadata(tmp.0.join(name)).expect("it").permissions().mode();
        assert_eq!(have & 0o7777, mode, "{name}");
    }
}

#[test]
fn what_would_be_made_is_told_without_making_it() {
    let tmp = Tmp::new("would");
    let place = tmp.place("lonet");
    assert!(matches!(place.would_make(own()), Ok(None)));
    assert!(!tmp.0.join("lonet").exists());
    place.make_root(own()).expect("a root");
    assert!(matches!(place.would_make(own()), Ok(None)));
    assert!(!tmp.0.join("lonet/net").exists());
    made(&place);
    assert!(matches!(place.would_make(own()), Ok(Some(_))));
    let nowhere = tmp.place("none/lonet").would_make(own());
    assert_eq!(nowhere.err(), Some(Trouble::Root(Unfit::Errno(Errno::ENOENT))));
    tmp.mode("lonet/net", 0o755);
    assert_eq!(place.would_make(own()).err(), Some(Trouble::Network(Unfit::Open)));
}

#[test]
fn root_that_others_can_change_is_unfit() {
    let tmp = Tmp::new("modes");
    let place = tmp.place("lonet");
    assert_eq!(place.open(own()).err(), Some(Trouble::Root(Unfit::Errno(Errno::ENOENT))));
    made(&place);
    for mode in [0o1777, 0o1775, 0o755, 0o700] {
        tmp.mode("lonet", mode);
        assert!(place.open(own()).is_ok(), "{mode:o}");
    }
    for mode in [0o777, 0o775, 0o757, 0o722] {
        tmp.mode("lonet", mode);
        assert_eq!(place.open(own()).err(), Some(Trouble::Root(Unfit::Open)), "{mode:o}");
    }
}

#[test]
fn links_and_files_in_place_of_directories_are_unfit() {
    let tmp = Tmp::new("links");
    made(&tmp.place("real"));
    symlink(tmp.0.join("real"), tmp.0.join("lonet")).expect("a link");
    assert_eq!(tmp.place("lonet").open(own()).err(), Some(Trouble::Root(Unfit::Link)));
    assert_eq!(tmp.place("lonet").make_root(own()).err(), Some(Unfit::Link));
    std::fs::write(tmp.0.join("file"), "").expect("a file");
    assert_eq!(tmp.place("file").open(own()).err(), Some(Trouble::Root(Unfit::NoDirectory)));
    std::fs::create_dir(tmp.0.join("other")).expect("a directory");
    symlink(tmp.0.join("real/net"), tmp.0.join("other/net")).expect("a link");
    assert_eq!(tmp.place("other").open(own()).err(), Some(Trouble::Network(Unfit::Link)));
    tmp.mode("real/net", 0o710);
    assert_eq!(tmp.place("real").open(own()).err(), Some(Trouble::Network(Unfit::Open)));
}

#[test]
fn directories_of_other_users_are_unfit() {
    let tmp = Tmp::new("users");
    let place = tmp.place("lonet");
    made(&place);
    let other_user = own() + 1;
    let unfit = |uid| {
        if own() == 0 { Trouble::Network(Unfit::OfUid(uid)) } else { Trouble::Root(Unfit::OfUid(uid)) }
    };
    assert_eq!(place.open(other_user).err(), Some(unfit(own())));
    assert!(place.open(own()).is_ok());
}

#[test]
fn private_place_is_found_if_used_or_if_the_shared_is_unfit() {
    let tmp = Tmp::new("find");
    let (shared, private) = (tmp.place("lonet"), tmp.place("lonet-7"));
    let which = || find(&shared, &private, own());
    assert_eq!(which().0, Which::Shared);
    made(&shared);
    assert!(matches!(which(), (Which::Shared, Ok(_))));
    tmp.mode("lonet", 0o777);
    assert!(matches!(which(), (Which::PrivateAs(Unfit::Open), Err(_))));
    made(&private);
    assert!(matches!(which(), (Which::PrivateAs(Unfit::Open), Ok(_))));
    tmp.mode("lonet", 0o1777);
    assert!(matches!(which(), (Which::Private, Ok(_))));
}

#[test]
fn only_regular_files_are_opened_and_a_fifo_does_not_block() {
    let tmp = Tmp::new("files");
    let directory = made(&tmp.place("lonet"));
    let at = |name: &str| tmp.0.join("lonet/net").join(name);
    std::fs::write(tmp.0.join("victim"), "mine").expect("a file");
    symlink(tmp.0.join("victim"), at("link")).expect("a link");
    let fifo = CString::new(at("fifo").as_os_str().as_bytes()).expect("a path");
    // SAFETY: a path that ends in zero.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    for flags in [libc::O_RDONLY, libc::O_RDWR, libc::O_WRONLY | libc::O_CREAT] {
        assert_eq!(directory.open(c"link", flags).err(), Some(Errno::ELOOP));
        assert!(matches!(directory.open(c"fifo", flags).err(), Some(Errno::EINVAL | Errno::ENXIO)));
    }
    assert!(directory.open(c".", libc::O_RDONLY).is_err());
    directory.open(c"file", libc::O_WRONLY | libc::O_CREAT).expect("a new file");
    directory.open(c"file", libc::O_RDWR).expect("the same");
    assert!(directory.is_file_or_nothing(c"file") && directory.is_file_or_nothing(c"nothing"));
    assert!(!directory.is_file_or_nothing(c"fifo") && !directory.is_file_or_nothing(c"link"));
}

#[test]
fn directory_stays_the_opened_one_when_its_path_changes() {
    let tmp = Tmp::new("moved");
    let place = tmp.place("lonet");
    let directory = made(&place);
    let root = place.root(own()).expect("the root");
    directory.open(c"key", libc::O_WRONLY | libc::O_CREAT).expect("a file");
    assert!(root.leads_to(place.name(), &directory));
    std::fs::rename(tmp.0.join("lonet/net"), tmp.0.join("away")).expect("moved");
    made(&place).open(c"key", libc::O_WRONLY | libc::O_CREAT).expect("another's");
    directory.remove(c"key").expect("removed");
    root.remove(place.name(), &directory);
    assert!(!root.leads_to(place.name(), &directory));
    assert!(tmp.0.join("lonet/net/key").exists());
    assert!(!tmp.0.join("away/key").exists());
}
