//! Tests of the search for inherited members, with real processes.

use super::*;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn config(dir: &Path) -> Config {
    let dir = dir.join("mynet").into_os_string();
    let get = |name: &str| (name == "LONET_DIR").then(|| dir.clone());
    Config::read(&get, 0, None).expect("a configuration")
}

fn members(config: &Config, owner: Owner, key: u8) -> Members {
    let uid = Owner::here().uid();
    let place = lonet_core::directory::Place::new(&config.dir);
    let root = place.make_root(uid).expect("a directory");
    let directory = root.make(place.name()).expect("the network's directory");
    Members::new(config, &directory, owner, Membership { owner: owner.uid(), key: [key; 16] })
}

/// A process that has this key in its environment, and ends with its standard input.
fn child(config: &Config, key: u8) -> Child {
    let membership = Membership { owner: Owner::here().uid(), key: [key; 16] };
    Command::new("cat")
        .stdin(Stdio::piped())
        .env("LONET_DIR", &config.dir)
        .env("LONET_KEY", membership.to_string())
        .env("LONET_HOST", "α")
        .spawn()
        .expect("a child")
}

fn end(mut child: Child) {
    child.kill().expect("its end");
    child.wait().expect("its end");
}

fn found(members: &Members) -> Vec<(Pid, Option<String>)> {
    members.find(&BTreeSet::new()).into_iter().map(|member| (member.pid, member.host)).collect()
}

#[test]
fn a_child_with_the_networks_key_in_its_environment_is_found() {
    let tmp = tempfile::tempdir().expect("a directory");
    let config = config(tmp.path());
    let child = child(&config, 7);
    let pid = child.id() as Pid;
    let with_key = found(&members(&config, Owner::here(), 7));
    let with_another = found(&members(&config, Owner::here(), 8));
    end(child);
    assert_eq!(with_key, [(pid, Some("α".into()))]);
    assert_eq!(with_another, []);
}

#[test]
fn process_of_another_user_is_not_found_whatever_it_has() {
    let tmp = tempfile::tempdir().expect("a directory");
    let config = config(tmp.path());
    let child = child(&config, 7);
    let pid = child.id() as Pid;
    // To another owner this process is another user's.
    let other_user = Owner::with_uid(Owner::here().uid() + 1);
    let (ours, others) = (members(&config, Owner::here(), 7), members(&config, other_user, 7));
    let looked = (ours.look_at(pid).is_some(), others.look_at(pid).is_some());
    end(child);
    assert_eq!(looked, (true, false));
}

#[test]
fn known_process_is_not_looked_at() {
    let tmp = tempfile::tempdir().expect("a directory");
    let config = config(tmp.path());
    let child = child(&config, 7);
    let known = BTreeSet::from([child.id() as Pid]);
    let members = members(&config, Owner::here(), 7);
    let (without, with) = (members.find(&BTreeSet::new()).len(), members.find(&known).len());
    end(child);
    assert_eq!((without, with), (1, 0));
}

#[test]
fn member_that_has_ended_is_not_found() {
    let tmp = tempfile::tempdir().expect("a directory");
    let config = config(tmp.path());
    let child = child(&config, 7);
    let pid = child.id() as Pid;
    let directory = ProcessDirectory::open(pid).expect("its directory");
    let before = directory.is_owners(&Owner::here());
    end(child);
    assert!(before && !directory.is_owners(&Owner::here()));
}

#[test]
fn uids_are_read_from_status() {
    let status = b"Name:\tcat\nUid:\t0\t33\t65534\t33\nGid:\t1\t1\t1\t1\n";
    assert_eq!(parse_uids(status), Some([0, 33, 65534]));
    assert_eq!(parse_uids(b"Name:\tcat\nUid:\t0\t33\n"), None);
}

#[test]
fn user_may_signal_only_own_processes() {
    let tmp = tempfile::tempdir().expect("a directory");
    let child = child(&config(tmp.path()), 7);
    let pid = child.id() as Pid;
    let process = pidfd_open(pid).expect("a pidfd");
    let uid = Owner::here().uid();
    let may = |uid| may_be_signalled_by(uid, pid, &process);
    let alive = (may(uid), may(uid + 1));
    end(child);
    assert_eq!((alive, may(uid)), ((true, false), false));
}

#[test]
fn exec_is_told_from_an_empty_environment() {
    let stat = |vsize: u64, env_end: u64| {
        let zeros = |n| vec!["0"; n].join(" ");
        is_executing(format!("1 (a) b) R {} {vsize} {} {env_end} 0\n", zeros(19), zeros(27)).as_bytes())
    };
    assert!(stat(4096, 0));
    assert!(!stat(4096, 8192), "env -i");
    assert!(!stat(0, 0), "a thread of the kernel's");
}

#[test]
fn own_stat_has_an_environment() {
    assert!(!is_executing(&std::fs::read("/proc/self/stat").expect("a process")));
}
