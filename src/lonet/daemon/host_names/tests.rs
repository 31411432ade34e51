//! Tests of spellings of one host, of valid names, and of inputs of any kind, none of which panics.

use super::*;
use proptest::prelude::*;

/// Asserts that all of `spellings` are one host.
fn one_host(spellings: &[&str]) {
    let key = fold(spellings[0].as_bytes());
    assert!(key.is_some(), "{:?}", spellings[0]);
    for spelling in spellings {
        assert_eq!(fold(spelling.as_bytes()), key, "{spelling:?}");
    }
}

#[test]
fn spellings_of_one_name_are_one_host() {
    one_host(&["straße", "STRASSE", "strasse", "STRAẞE", "xn--strae-oqa", "XN--STRAE-OQA"]);
    one_host(&["bücher", "BÜCHER", "bu\u{308}cher", "xn--bcher-kva", "XN--BCHER-KVA", "Xn--Bcher-Kva"]);
    one_host(&["α", "Α", "xn--mxa", "xn--MXA"]);
    one_host(&["βόλος", "ΒΌΛΟΣ", "βόλοσ", "βο\u{301}λος", "xn--nxasmq6b", "xn--nxasmm1c"]);
    one_host(&["é", "É", "e\u{301}", "xn--9ca"]);
    one_host(&["redis", "Redis", "ｒｅｄｉｓ", "re\u{ad}dis"]);
    one_host(&["ﬁle", "file", "FILE"]);
    one_host(&["نامه\u{200c}ای", "نامهای", "xn--mgba3gch31f", "xn--mgba3gch31f060k"]);
    one_host(&["my_host 1", "MY_HOST 1"]);
}

#[test]
fn different_names_are_different_hosts() {
    let keys = ["bucher", "bücher", "buecher", "α", "a", "а", "db", "db-2"];
    for (i, a) in keys.iter().enumerate() {
        for b in &keys[..i] {
            assert_ne!(fold(a.as_bytes()), fold(b.as_bytes()), "{a} {b}");
        }
    }
}

#[test]
fn invalid_name_has_no_key() {
    let nested = format!("xn--{}", punycode::encode_str("ｘn--bcher-kva").unwrap());
    for label in ["", "\u{ad}", "xn--", "xn--!", "xn--db-", "xn--ü", "xn--99999999", &nested] {
        assert_eq!(fold(label.as_bytes()), None, "{label:?}");
    }
    assert_eq!(fold(b"b\xfccher"), None);
    assert_eq!(fold(b"\xff\xfe"), None);
    assert!(fold(b"b?cher").is_some());
}

#[test]
fn ascii_is_the_a_label_of_idna_2008() {
    for (name, label) in [
        ("redis-1", "redis-1"),
        ("Redis", "Redis"),
        ("bücher", "xn--bcher-kva"),
        ("BU\u{308}CHER", "xn--bcher-kva"),
        ("straße", "xn--strae-oqa"),
        ("α", "xn--mxa"),
        ("βόλος", "xn--nxasmm1c"),
        ("ｒｅｄｉｓ", "redis"),
        ("xn--mxa", "xn--mxa"),
    ] {
        assert_eq!(ascii(name).as_deref(), Some(label), "{name}");
    }
    for name in ["", "a.b", "a b", "xn--!", &"x".repeat(64), &"α".repeat(60)] {
        assert_eq!(ascii(name), None, "{name:?}");
    }
}

#[test]
fn names_within_the_rules_are_accepted() {
    let long = "x".repeat(63);
    for name in ["a", "0", "127", "my_host", "Redis-1", "-", "α", "♥", "bücher", "xn--mxa", "日本語", &long]
    {
        assert_eq!(check(name), Ok(()), "{name}");
    }
}

#[test]
fn refusals_name_the_input_and_the_reason() {
    let mixed = format!("{}ä中", "ab".repeat(25));
    for (name, reason) in [
        ("", "is empty"),
        ("a.b", "a dot"),
        ("a。b", "a dot"),
        ("a．b", "a dot"),
        ("a/b", "a slash"),
        ("a:80", "a colon"),
        ("a[b", "a bracket"),
        ("a b", "whitespace"),
        ("a\u{a0}b", "whitespace"),
        ("a\tb", "whitespace"),
        ("a\0", "a control character"),
        ("a\u{7f}", "a control character"),
        ("\u{200b}", "no visible character"),
        ("xn--!", "not valid Punycode"),
        ("xn-\u{200d}-mxa", "no xn-- form that stands for it"),
        (&"x".repeat(64), "64 bytes long in UTF-8"),
        (&mixed, "bytes long in its xn-- form"),
    ] {
        let said = check(name).unwrap_err();
        assert!(said.contains(reason) && said.contains(&format!("{name:?}")), "{said}");
        assert!(!said.contains('\n') && !said.ends_with('.'), "{said}");
    }
}

#[test]
fn program_names_become_host_names() {
    for (comm, name) in [
        (&b"curl"[..], "curl"),
        (b"python3.11", "python3-11"),
        (b"redis-server *:6379", "redis-server"),
        (b"nginx: worker process", "nginx"),
        (b"/usr/bin/nc.openbsd", "nc-openbsd"),
        (b"(sd-pam)", "sd-pam"),
        (b"g++", "g"),
        (b"xn--mxa", "xn-mxa"),
        (b"my_tool", "my_tool"),
        ("größe".as_bytes(), "größe"),
        (b"a\xff\xfeb", "a-b"),
        (b"", "program"),
        (b"  ", "program"),
        (b"\xff", "program"),
        (b"///", "program"),
    ] {
        assert_eq!(from_program(comm), name, "{}", comm.escape_ascii());
    }
    assert_eq!(from_program(&[b'x'; 300]), "x".repeat(58));
}

proptest! {
    #[test]
    fn any_bytes_fold_to_a_key_of_their_own(label in spelling()) {
        if let Some(key) = fold(&label) {
            prop_assert_eq!(fold(key.as_bytes()), Some(key));
        }
    }

    #[test]
    fn the_ascii_form_is_the_same_host(name in spelling()) {
        let name = String::from_utf8_lossy(&name);
        if let Some(label) = ascii(&name) {
            prop_assert!(label.is_ascii() && (1..=63).contains(&label.len()));
            prop_assert_eq!(fold(label.as_bytes()), fold(name.as_bytes()));
        }
        prop_assert!(check(&name).is_err() || ascii(&name).is_some());
    }

    #[test]
    fn any_program_can_be_numbered(comm in spelling()) {
        let name = from_program(&comm);
        for suffix in ["", "-2", "-9999"] {
            let name = format!("{name}{suffix}");
            prop_assert_eq!(check(&name), Ok(()));
        }
    }
}

/// Bytes of all kinds, weighted towards what has gone wrong elsewhere.
fn spelling() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        any::<String>().prop_map(Vec::from),
        "[xX][nN]--[a-zA-Z0-9-]{0,70}".prop_map(Vec::from),
        "[a-zßςΣİŉᾳΐẞﬁａ．xn\u{301}\u{345}\u{34f}\u{ad}\u{200d}-]{1,40}".prop_map(Vec::from),
    ]
}
