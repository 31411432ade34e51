//! Tests of the decision whether a program can be hooked, also with damaged files.

use super::privilege::{Executor, gained};
use super::script::LINE;
use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

#[test]
fn this_program_is_hooked_and_a_missing_file_fails() {
    let look = |path| look(libc::AT_FDCWD, path).verdict;
    assert_eq!(look(c"/proc/self/exe"), Verdict::Hooked);
    assert_eq!(look(c"/no/such/file"), Verdict::Fails(Failure::NotFound(Errno::ENOENT)));
    assert_eq!(look(c"/dev/null"), Verdict::Fails(Failure::NotRegular));
}

#[test]
fn shebang_lines_are_read_as_the_kernel_reads_them() {
    let long = format!("#!/{}", "x".repeat(LINE));
    for (head, expected) in [
        ("#!/bin/sh\n", Some(("/bin/sh", ""))),
        ("#!/bin/sh", Some(("/bin/sh", ""))),
        ("#! \t/bin/sh\t-e \n", Some(("/bin/sh", "-e"))),
        ("#!/usr/bin/env -S a b\n", Some(("/usr/bin/env", "-S a b"))),
        ("#!/bin/sh\r\n", Some(("/bin/sh\r", ""))),
        ("#!sh\0x\n", Some(("sh", ""))),
        ("#!\n", None),
        ("#!", None),
        ("#!  \n/bin/sh\n", None),
        (" #!/bin/sh\n", None),
        (&long, None),
    ] {
        let read = Script::read(head.as_bytes()).map(|s| (s.interpreter, s.argument));
        let read = read.as_ref().map(|(path, argument)| (path.bytes(), argument.bytes()));
        assert_eq!(read, expected.map(|(a, b)| (a.as_bytes(), b.as_bytes())), "{head:?}");
    }
}

#[test]
fn programs_that_change_ids_gain_privileges() {
    let file = |mode| {
        let mut stat = sys::fstatat(libc::AT_FDCWD, c"/proc/self/exe", 0).expect("a file");
        (stat.st_mode, stat.st_uid, stat.st_gid) = (mode, 1, 2);
        stat
    };
    let by = |uid, gid| Executor { uid, gid, no_new_privs: false };
    let (same, other) = (by(1, 2), by(3, 4));
    assert_eq!(gained(&file(0o755), false, other), None);
    assert_eq!(gained(&file(0o4755), false, same), None);
    assert_eq!(gained(&file(0o4755), false, other), Some(Privilege::SetUser(1)));
    assert_eq!(gained(&file(0o2755), false, other), Some(Privilege::SetGroup(2)));
    assert_eq!(gained(&file(0o2745), false, other), None, "mandatory locks");
    assert_eq!(gained(&file(0o6755), false, Executor { no_new_privs: true, ..other }), None);
    assert_eq!(gained(&file(0o755), true, other), Some(Privilege::Capabilities));
    assert_eq!(gained(&file(0o755), true, by(0, 0)), None, "root has them all");
}

#[test]
fn loaders_of_other_programs_are_recognised_by_name() {
    for path in [&b"/lib64/ld-linux-x86-64.so.2"[..], b"ld.so", b"/usr/libexec/valgrind/memcheck-amd64-linux"]
    {
        assert!(loads_others(path));
    }
    assert!(!loads_others(b"/usr/bin/valgrind") && !loads_others(b"/lib64/ld-linux/x"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_the_reader_panic(
        length in 0..40_000_usize,
        changes in prop::collection::vec((0..2000_usize, any::<u8>()), 0..30),
        late in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..30),
    ) {
        let mut content = fs::read("/bin/true").expect("a program");
        content.truncate(length.max(64));
        for (at, byte) in changes {
            if let Some(old) = content.get_mut(at) {
                *old = byte;
            }
        }
        for (at, byte) in late {
            let at = at.index(content.len());
            content[at] = byte;
        }
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&content, 0).expect("written");
        let head = &content[..content.len().min(HEAD)];
        _ = elf::check(file.as_raw_fd(), head, &mut Text::new());
        _ = code(file.as_raw_fd(), |_| {});
    }

    #[test]
    fn any_head_is_read_without_panic(
        head in prop_oneof![any::<Vec<u8>>(), "#!(/usr/bin/)?env? ?[ A=/a'\"#\t\0-]{0,40}\n?".prop_map(Vec::from)],
    ) {
        _ = Script::read(&head);
    }
}
