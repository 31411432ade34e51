//! Tests of registry.db: its file, its rows, and several processes that write them at once.

#![allow(clippy::unwrap_used)]

use super::database::Database;
use super::trouble::Trouble;
use super::{Place, Registry, Request, ResponseBody, Row, Verdict};
use rusqlite::Connection;
use std::net::{SocketAddrV4, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

const OWN: &str = "127.7.255.254:7373";

fn place(dir: &Path) -> Place {
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let directory = lonet_core::directory::Place::new(dir).open(nix::unistd::geteuid().as_raw()).unwrap();
    let directory = crate::daemon::current_directory::CurrentDirectory::new(directory);
    Place { directory, network: "mynet".into(), own: OWN.parse().unwrap(), former: None }
}

/// A database with another subnetwork's rows.
fn with_rows(dir: &Path, rows: &[(&str, &str)]) -> Database {
    let mut database = Database::new(place(dir));
    assert_eq!(database.find("x").unwrap(), None);
    let db = Connection::open(dir.join("registry.db")).unwrap();
    for (name, value) in rows {
        db.execute(&format!("INSERT INTO hosts VALUES ('{name}', {value})"), []).unwrap();
    }
    database
}

fn rows(dir: &Path) -> Vec<(String, String)> {
    let db = Connection::open(dir.join("registry.db")).unwrap();
    let mut all = db.prepare("SELECT hostname, osladdr FROM hosts ORDER BY hostname").unwrap();
    all.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(Result::unwrap).collect()
}

#[test]
fn the_database_is_made_as_the_reference_makes_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = Database::new(place(dir.path()));
    assert_eq!(database.announce("α").unwrap(), Verdict::Announced);
    let db = Connection::open(dir.path().join("registry.db")).unwrap();
    let mode: String = db.query_row("PRAGMA journal_mode", [], |r| r.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let mut all = db.prepare("SELECT name, value FROM meta").unwrap();
    let meta: Vec<(String, String)> =
        all.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(Result::unwrap).collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(meta, [pair("schemaver", "lonet.1"), pair("network", "mynet")]);
    assert_eq!(rows(dir.path()), [pair("α", OWN)]);
}

#[test]
fn rows_leave_with_their_hosts_and_the_database_with_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = Database::new(place(dir.path()));
    database.announce("α").unwrap();
    database.announce("β").unwrap();
    database.withdraw("α").unwrap();
    assert_eq!(rows(dir.path()).len(), 1);
    database.withdraw("β").unwrap();
    database.leave();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_database_stays_while_others_have_rows_or_have_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = with_rows(dir.path(), &[("γ", "'127.0.0.1:1'")]);
    database.leave();
    assert_eq!(rows(dir.path()).len(), 1);

    let dir = tempfile::tempdir().unwrap();
    let mut database = with_rows(dir.path(), &[]);
    let other = Connection::open(dir.path().join("registry.db")).unwrap();
    let n: i64 = other.query_row("SELECT count(*) FROM hosts", [], |r| r.get(0)).unwrap();
    database.leave();
    assert_eq!(n, 0);
    assert!(dir.path().join("registry.db").exists());
}

#[test]
fn an_empty_file_that_nobody_has_locked_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.db");
    std::fs::write(&path, "").unwrap();
    Database::new(place(dir.path())).leave();
    assert!(!path.exists());
}

#[test]
fn a_database_that_was_refused_stays() {
    let dir = tempfile::tempdir().unwrap();
    with_rows(dir.path(), &[]);
    let other = Place { network: "other".into(), ..place(dir.path()) };
    let mut database = Database::new(other);
    assert!(matches!(database.find("α"), Err(Trouble::Refused(_))));
    database.leave();
    assert!(dir.path().join("registry.db").exists());
}

#[test]
fn another_networks_or_schemas_database_is_refused() {
    for (change, text) in [
        ("UPDATE meta SET value = 'other' WHERE name = 'network'", "network name mismatch"),
        ("UPDATE meta SET value = 'lonet.2' WHERE name = 'schemaver'", "schema version mismatch"),
        ("DELETE FROM meta", "schema version mismatch"),
        ("DROP TABLE meta", "schema version mismatch"),
        ("DROP TABLE hosts", "schema version mismatch"),
        ("UPDATE meta SET value = NULL WHERE name = 'network'", "network name mismatch"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        with_rows(dir.path(), &[]);
        Connection::open(dir.path().join("registry.db")).unwrap().execute(change, []).unwrap();
        let refused = Database::new(place(dir.path())).announce("α").unwrap_err();
        assert!(matches!(&refused, Trouble::Refused(t) if t.contains(text)), "{change}: {refused}");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("registry.db"), [b'x'; 4096]).unwrap();
    assert!(matches!(Database::new(place(dir.path())).find("α"), Err(Trouble::Refused(_))));
}

#[test]
fn row_of_living_owner_with_full_backlog_is_not_reclaimed() {
    use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn};
    use std::os::fd::AsRawFd;
    let tcp =
        || socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
    let owner = tcp();
    socket::bind(owner.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    socket::listen(&owner, Backlog::new(0).unwrap()).unwrap();
    let at: SockaddrIn = socket::getsockname(owner.as_raw_fd()).unwrap();
    // What the backlog takes is connected at once; the first that is not shows that it is full.
    let mut queue = Vec::new();
    loop {
        queue.push(tcp());
        let last = queue.last().unwrap();
        let _ = socket::connect(last.as_raw_fd(), &at);
        if socket::getpeername::<SockaddrIn>(last.as_raw_fd()).is_err() {
            break;
        }
    }
    let os = SocketAddrV4::new(at.ip(), at.port());
    let dir = tempfile::tempdir().unwrap();
    let mut database = with_rows(dir.path(), &[("γ", &format!("'{os}'"))]);
    assert_eq!(database.announce("γ").unwrap(), Verdict::Taken { by: os });
    assert_eq!(rows(dir.path()), [("γ".to_owned(), os.to_string())]);
    assert_eq!(database.others().unwrap(), [Row { name: "γ".into(), os }]);
}

#[test]
fn odd_rows_fail_the_look_up_of_that_host_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = with_rows(
        dir.path(),
        &[
            ("null", "NULL"),
            ("portless", "'127.0.0.1'"),
            ("zero", "'127.0.0.1:0'"),
            ("far", "'10.0.0.1:80'"),
            ("six", "'[::1]:80'"),
            ("number", "x'00ff'"),
            ("good", "'127.0.0.1:80'"),
        ],
    );
    let db = Connection::open(dir.path().join("registry.db")).unwrap();
    db.execute("INSERT INTO hosts VALUES (NULL, '127.0.0.1:9'), (x'ff', '127.0.0.1:9')", []).unwrap();
    for name in ["null", "portless", "zero", "far", "six", "number"] {
        let odd = database.find(name).unwrap_err().to_string();
        assert!(odd.contains(&format!("{name:?}")), "{odd}");
        assert!(matches!(database.announce(name).unwrap(), Verdict::Refused(_)));
    }
    let good = Row { name: "good".into(), os: "127.0.0.1:80".parse().unwrap() };
    assert_eq!(database.find("good").unwrap(), Some(good));
    assert_eq!(database.find("nobody").unwrap(), None);
}

#[test]
fn a_name_is_taken_while_its_owner_lives_and_reclaimed_after() {
    let dir = tempfile::tempdir().unwrap();
    let owner = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = owner.local_addr().unwrap().to_string();
    let mut database = with_rows(dir.path(), &[("Straße", &format!("'{at}'"))]);
    let taken = Verdict::Taken { by: at.parse().unwrap() };
    // A silent owner is alive, and so is one that spells the name in another way.
    assert_eq!(database.announce("Straße").unwrap(), taken);
    assert_eq!(database.announce("strasse").unwrap(), taken);
    drop(owner);
    assert_eq!(database.announce("strasse").unwrap(), Verdict::Announced);
    assert_eq!(rows(dir.path()), [("strasse".to_owned(), OWN.to_owned())]);
}

#[test]
fn address_reused_by_another_network_blocks_no_name() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = other.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut s, _) = other.accept().unwrap();
        let mut line = [0; 256];
        let n = s.read(&mut line).unwrap();
        s.write_all(b"< lonet \"lonetother\" E \"protocol error: network mismatch\"\n").unwrap();
        line[..n].to_vec()
    });
    let mut database = with_rows(dir.path(), &[("α", &format!("'{at}'"))]);
    assert_eq!(database.announce("α").unwrap(), Verdict::Announced);
    assert_eq!(answering.join().unwrap(), "> lonet \"lonetmynet\" dial \"α:0\" \"α:0\"\n".as_bytes());
}

#[test]
fn rows_of_an_earlier_lonetd_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = with_rows(dir.path(), &[("α", &format!("'{OWN}'")), ("β", "'127.0.0.1:1'")]);
    assert_eq!(database.find("α").unwrap(), None);
    database.sweep().unwrap();
    assert_eq!(rows(dir.path()).len(), 1);
}

#[test]
fn rows_of_a_lonetd_that_had_another_block_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let rows_before =
        [("α", "'127.9.255.254:17373'"), ("β", "'127.91.255.254:7373'"), ("γ", "'127.9.255.25:7373'")];
    drop(with_rows(dir.path(), &rows_before));
    let former = Some("127.9.255.254".parse().unwrap());
    Database::new(Place { former, ..place(dir.path()) }).sweep().unwrap();
    assert_eq!(rows(dir.path()).len(), 2);
}

#[test]
fn leave_removes_rows_that_were_not_withdrawn() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = Database::new(place(dir.path()));
    assert_eq!(database.announce("α").unwrap(), Verdict::Announced);
    database.leave();
    assert!(!dir.path().join("registry.db").exists());
}

fn wait_for(registry: &Registry, ticket: u64) -> ResponseBody {
    let start = Instant::now();
    loop {
        match registry.response() {
            Some(response) if response.ticket == ticket => return response.body,
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no answer");
    }
}

#[test]
fn look_ups_pass_writes_that_wait_for_a_lock() {
    for mode in ["wal", "delete"] {
        let dir = tempfile::tempdir().unwrap();
        drop(with_rows(dir.path(), &[("γ", "'127.0.0.1:80'")]));
        let other = Connection::open(dir.path().join("registry.db")).unwrap();
        other.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
        let registry = Registry::start(place(dir.path())).unwrap();
        registry.ask(Request::Find { ticket: 1, name: "γ".into() });
        wait_for(&registry, 1);
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        registry.ask(Request::Announce { ticket: 2, name: "α".into() });
        registry.ask(Request::Find { ticket: 3, name: "γ".into() });
        let os: SocketAddrV4 = "127.0.0.1:80".parse().unwrap();
        assert!(
            matches!(wait_for(&registry, 3), ResponseBody::Found(Ok(Some(row))) if row.os == os),
            "{mode}"
        );
        other.execute_batch("COMMIT").unwrap();
        assert!(matches!(wait_for(&registry, 2), ResponseBody::Announced(Verdict::Announced)));
        let kept: String = other.query_row("PRAGMA journal_mode", [], |r| r.get(0)).unwrap();
        assert_eq!(kept, mode);
    }
}

#[test]
fn many_writers_at_once_all_get_their_rows() {
    let dir = tempfile::tempdir().unwrap();
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let mut place = place(dir.path());
            place.own.set_port(7000 + n);
            std::thread::spawn(move || {
                let registry = Registry::start(place).unwrap();
                for i in 0..20 {
                    registry.ask(Request::Announce { ticket: i, name: format!("h{n}-{i}") });
                    assert!(matches!(wait_for(&registry, i), ResponseBody::Announced(Verdict::Announced)));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(rows(dir.path()).len(), 80);
}

#[test]
fn database_that_is_no_regular_file_is_refused() {
    for name in ["registry.db", "registry.db-wal", "registry.db-shm", "registry.db-journal"] {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = Database::new(place(dir.path())).find("α").unwrap_err();
        assert!(
            matches!(&refused, Trouble::Refused(t) if t.contains("no regular file")),
            "{name}: {refused}"
        );
        std::fs::remove_file(&path).unwrap();
        let target = other.path().join("target");
        std::fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(Database::new(place(dir.path())).announce("α"), Err(Trouble::Refused(_))), "{name}");
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Database::new(place(dir.path())).announce("α").unwrap(), Verdict::Announced);
    }
}

#[test]
fn database_is_in_the_directory_that_was_opened_not_at_its_path() {
    let tmp = tempfile::tempdir().unwrap();
    let (path, moved, other) = (tmp.path().join("net"), tmp.path().join("moved"), tmp.path().join("other"));
    std::fs::create_dir(&path).unwrap();
    std::fs::create_dir(&other).unwrap();
    let place = place(&path);
    std::fs::rename(&path, &moved).unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    let mut database = Database::new(place);
    assert_eq!(database.announce("α").unwrap(), Verdict::Announced);
    // As another implementation has it, which shares the log and its index.
    assert_eq!(rows(&moved), [("α".to_owned(), OWN.to_owned())]);
    let there = |dir: &Path, name| dir.join(name).exists();
    assert!(["registry.db", "registry.db-wal", "registry.db-shm"].iter().all(|name| there(&moved, name)));
    database.withdraw("α").unwrap();
    database.leave();
    assert_eq!(std::fs::read_dir(&moved).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0);
}
