//! Tests with ELF files that can be hooked, that cannot, and that are no programs.

use super::*;
use lonet_core::hookable::{Libc, Privilege, Unhookable};

#[test]
fn dynamically_linked_programs_can_be_hooked() {
    let bench = Bench::new();
    bench.check("/bin/true").unwrap();
    bench.check(bench.cc(MAIN, &[])).unwrap();
    bench.check(bench.cc(MAIN, &["-no-pie"])).unwrap();
    bench.check(bench.cc(MAIN, &["-s"])).unwrap();
    hookable(Path::new("/bin/true"), &bench.library).unwrap();
}

#[test]
fn statically_linked_programs_are_refused() {
    let bench = Bench::new();
    assert_eq!(bench.reason(bench.cc(MAIN, &["-static"])), Reason::Unhookable(Unhookable::Static));
    assert_eq!(bench.reason(bench.cc(MAIN, &["-static-pie"])), Reason::Unhookable(Unhookable::Static));
}

#[test]
fn go_programs_are_refused_though_dynamically_linked() {
    let bench = Bench::new();
    let section =
        r#"__attribute__((section(".go.buildinfo"), used)) static char info[] = "\xff Go buildinf:";"#;
    // Assembly, because a C array in a note section would not be of type NOTE everywhere.
    let note = r#"__asm__(".pushsection .note.go.buildid,\"a\",@note\n.long 4,4,4\n.ascii \"Go\\0\\0\"\n.ascii \"id/x\"\n.popsection");"#;
    for mark in [section, note] {
        let source = format!("{mark}\n{MAIN}");
        assert_eq!(bench.reason(bench.cc(&source, &[])), Reason::Unhookable(Unhookable::Go), "{mark}");
        assert_eq!(
            bench.reason(bench.cc(&source, &["-static"])),
            Reason::Unhookable(Unhookable::Go),
            "{mark}"
        );
    }
}

/// A program that makes one system call itself: the code for it, on this machine.
fn with_call(before: &str) -> String {
    let call = if cfg!(target_arch = "x86_64") { "syscall" } else { "svc #0" };
    format!("{MAIN}\n__asm__(\".text\\nown: nop\\n{before}\\n{call}\\nret\\n\");")
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn programs_with_own_system_calls_are_uncertain() {
    let bench = Bench::new();
    let [connect, futex, unknown] = match cfg!(target_arch = "x86_64") {
        true => ["mov $42, %eax", "mov $202, %eax", "mov %rdi, %rax"],
        false => ["mov w8, #203", "mov w8, #98", "mov x8, x0"],
    };
    for before in [connect, unknown] {
        let program = bench.cc(&with_call(before), &["-O1"]);
        assert!(matches!(bench.reason(&program), Reason::OwnCalls(_)), "{before}");
        assert_eq!(bench.check(&program).unwrap_err().exit_code(), 1);
        // Only `lonet check` says so: the library can be loaded.
        hookable(&program, &bench.library).unwrap();
    }
    bench.check(bench.cc(&with_call(futex), &["-O1"])).unwrap();
}

#[test]
fn the_loader_decides_about_the_c_library() {
    let bench = Bench::new();
    for (loader, libc) in [("/lib/ld-musl-x86_64.so.1", Libc::Musl), ("/system/bin/linker64", Libc::Bionic)] {
        let program = bench.cc(MAIN, &[&format!("-Wl,--dynamic-linker={loader}")]);
        assert_eq!(bench.reason(program), Reason::Unhookable(Unhookable::Libc(libc)));
    }
    let program = bench.cc(MAIN, &["-Wl,--dynamic-linker=/nonexistent/ld.so"]);
    assert_eq!(bench.reason(program), Reason::NoLoader("/nonexistent/ld.so".into()));
}

#[test]
fn programs_of_another_architecture_are_refused() {
    let bench = Bench::new();
    let mut content = fs::read("/bin/true").unwrap();
    // e_machine, at the same place in both classes.
    content[18..20].copy_from_slice(&libc::EM_PPC64.to_ne_bytes());
    let program = bench.file("ppc", content);
    let reason = bench.reason(program);
    assert!(matches!(reason, Reason::Unhookable(Unhookable::Architecture(_))));
    assert!(reason.to_string().contains("PowerPC"), "{reason}");
}

#[test]
fn elf_file_that_is_no_program_is_refused() {
    let bench = Bench::new();
    let object = bench.cc(MAIN, &["-c"]);
    chmod(&object, 0o755);
    // Objects have no program headers, and the kernel takes that as a reason too.
    assert!(matches!(bench.reason(object), Reason::Fails(Failure::NotAProgram | Failure::Damaged(_))));
}

#[test]
fn set_user_id_of_another_user_is_refused_end_to_end() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: only root can give a file away");
        return;
    }
    let bench = Bench::new();
    let program = bench.file("true", fs::read("/bin/true").unwrap());
    std::os::unix::fs::chown(&program, Some(65534), None).unwrap();
    chmod(&program, 0o4755);
    assert_eq!(bench.reason(&program), Reason::Unhookable(Unhookable::Privileged(Privilege::SetUser(65534))));
}

#[test]
fn not_executable_differs_from_not_found() {
    let bench = Bench::new();
    let plain = bench.file("plain", "#!/bin/sh\n");
    chmod(&plain, 0o644);
    for (program, code) in [
        (bench.path("missing"), 127),
        (plain.join("below"), 127),
        (plain, 126),
        (bench.dir.path().to_owned(), 126),
        ("/dev/null".into(), 126),
    ] {
        let refusal = bench.check(&program).unwrap_err();
        assert_eq!(refusal.exit_code(), code, "{refusal}");
    }
}

#[test]
fn unreadable_program_is_refused() {
    if nix::unistd::geteuid().is_root() {
        println!("SKIPPED: root can read everything");
        return;
    }
    let bench = Bench::new();
    let program = bench.file("true", fs::read("/bin/true").unwrap());
    chmod(&program, 0o111);
    assert_eq!(bench.reason(program), Reason::Unreadable);
}

#[test]
fn unusable_library_is_lonets_failure() {
    let bench = Bench::new();
    for library in [bench.path("missing"), bench.file("text", "text")] {
        let refusal = hookable(Path::new("/bin/true"), &library).unwrap_err();
        assert!(matches!(refusal.reason, Reason::Library(_)) && refusal.exit_code() == 125, "{refusal}");
    }
}

#[test]
fn programs_cut_off_anywhere_in_their_headers_are_damaged() {
    let bench = Bench::new();
    let content = fs::read("/bin/true").unwrap();
    for length in (4..800).step_by(3) {
        let program = bench.file("cut", &content[..length]);
        assert!(matches!(bench.reason(program), Reason::Fails(Failure::Damaged(_))), "{length}");
    }
}
