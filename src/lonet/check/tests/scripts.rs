//! Tests with scripts, and of the search in PATH.

use super::super::env::{Target, target};
use super::*;
use lonet_core::hookable::Unhookable;
use proptest::prelude::*;

#[test]
fn scripts_are_what_their_interpreter_is() {
    let bench = Bench::new();
    let dead = bench.cc(MAIN, &["-static"]);
    let dead = dead.to_str().unwrap();
    bench.check(bench.file("sh", "#!/bin/sh\nexit 0\n")).unwrap();
    bench.check(bench.file("no-line", "exit 0\n")).unwrap();
    bench.check(bench.file("empty", "")).unwrap();

    let direct = bench.file("direct", format!("#! {dead} -x\n"));
    assert_eq!(bench.reason(&direct), Reason::Unhookable(Unhookable::Static));
    let refusal = bench.check(&direct).unwrap_err();
    assert_eq!((refusal.script, refusal.program), (Some(direct.clone()), dead.into()));

    let indirect = bench.file("indirect", format!("#!{}\n", direct.display()));
    assert_eq!(bench.reason(indirect), Reason::Unhookable(Unhookable::Static));
    let lost = bench.file("lost", "#!/nonexistent/sh\n");
    assert!(matches!(bench.reason(lost), Reason::Fails(Failure::NotFound(_))));
}

#[test]
fn env_is_followed_through_path() {
    let bench = Bench::new();
    let dead = bench.cc(MAIN, &["-static"]);
    fs::rename(dead, bench.path("dead")).unwrap();
    for (line, refused) in [
        ("/usr/bin/env sh", false),
        ("/usr/bin/env dead", true),
        ("/usr/bin/env -S dead -u x", true),
        ("/usr/bin/env -S A=1 'sh' -c true", false),
        ("/usr/bin/env -S -u A A=1 dead", true),
        ("/usr/bin/env -S ${WHO} dead", false),
        ("/usr/bin/env", false),
    ] {
        let script = bench.file("script", format!("#!{line}\n"));
        let found = bench.check(&script);
        assert_eq!(found.is_err(), refused, "{line}: {found:?}");
        if refused {
            assert_eq!(bench.reason(&script), Reason::Unhookable(Unhookable::Static));
        }
    }
    // One word to env, and there is no program of that name.
    for line in ["/usr/bin/env sh -e", "/usr/bin/env -S PATH=/nonexistent sh"] {
        assert_eq!(bench.reason(bench.file("script", format!("#!{line}\n"))), Reason::NotInPath, "{line}");
    }
}

#[test]
fn chains_of_scripts_end_where_the_kernel_ends_them() {
    let bench = Bench::new();
    let mut last = PathBuf::from("/bin/true");
    for depth in 1..=7 {
        last = bench.file(&format!("s{depth}"), format!("#!{}\n", last.display()));
        assert_eq!(bench.check(&last).is_ok(), executes(&last), "{depth}");
    }
    assert_eq!(bench.reason(&last), Reason::Fails(Failure::TooManyScripts));
}

fn executes(program: &Path) -> bool {
    loop {
        match Command::new(program).status() {
            // A child that another test is starting has inherited the file, still open for writing.
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            result => return result.is_ok(),
        }
    }
}

#[test]
fn words_of_env_are_read_as_env_reads_them() {
    let to = |program: Option<&str>, path: Option<&str>| Target {
        program: program.map(OsString::from),
        path: path.map(OsString::from),
    };
    for (argument, expected) in [
        ("-S PATH=/opt \"a b\" # c", to(Some("a b"), Some("/opt"))),
        ("python3 -u", to(Some("python3 -u"), None)),
        ("-S -C / dead", to(None, None)),
    ] {
        assert_eq!(target(argument.as_bytes()), expected, "{argument:?}");
    }
}

#[test]
fn programs_are_found_as_execvp_finds_them() {
    let bench = Bench::new();
    for (name, mode) in
        [("a/tool", 0o644), ("b/tool", 0o755), ("c/tool", 0o755), ("a/locked", 0o644), ("b/locked", 0o644)]
    {
        fs::create_dir_all(bench.path(name).parent().unwrap()).unwrap();
        chmod(&bench.file(name, ""), mode);
    }
    fs::create_dir_all(bench.path("a/directory")).unwrap();
    let path = std::env::join_paths(["missing", "a", "b", "c"].map(|name| bench.path(name))).unwrap();
    let find = |name: &str| resolve(OsStr::new(name), Some(&path));

    assert_eq!(find("tool").unwrap(), bench.path("b/tool"));
    assert_eq!(find("./any/tool").unwrap(), Path::new("./any/tool"));
    for name in ["locked", "directory"] {
        let refusal = find(name).unwrap_err();
        assert!(
            matches!(refusal.reason, Reason::Fails(Failure::Denied(_) | Failure::NotRegular)),
            "{refusal}"
        );
        assert_eq!(refusal.program, bench.path("a").join(name));
    }
    for name in ["nothing", "", "a\0b"] {
        assert_eq!(find(name).unwrap_err().reason, Reason::NotInPath, "{name:?}");
    }
    assert!(resolve(OsStr::new("true"), None).is_ok());
    // An empty element is the working directory, which is this package's.
    assert_eq!(resolve(OsStr::new("true"), Some(OsStr::new(":/bin"))).unwrap(), Path::new("/bin/true"));
}

proptest! {
    #[test]
    fn any_argument_of_env_is_read_without_panic(
        argument in prop_oneof![
            any::<Vec<u8>>(),
            "(-S|-vS|--split-string=)?[ A=PTH/a'\"#$\\\\\t-]{0,40}\n?".prop_map(Vec::from),
        ],
    ) {
        _ = target(&argument);
    }
}
