//! What the next lonetd restores of hosts and processes, beside the records. Only lonetd reads and writes it.
//!
//! A host's word holds the position and length of its name and its flags; the name is written before the
//! word. A member is a process together with one of its hosts, or with none; its word is written last, and
//! cleared when its replacement has been written.

use super::Table;
use super::layout::{HOSTS, MEMBERS, Member, NAMES};
use super::word::Word;
use std::time::Duration;

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedHost {
    pub index: u16,
    pub name: String,
    /// Accepted connections get the lowest free port of the host.
    pub fresh_accept_ports: bool,
    /// When its last process has left it, on CLOCK_MONOTONIC; 0: none has.
    pub left: Duration,
}

/// A process of the network, with one of its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedMember {
    pub pid: i32,
    /// Index of the host; 0: none.
    pub host: u16,
    /// The host is named after the process's program.
    pub has_implicit_host: bool,
    /// It is a process of lonet's own, and no program.
    pub is_lonets: bool,
    /// Start time of the process, in clock ticks since boot.
    pub began: u64,
}

const KNOWN: u64 = 1 << 40;
const FRESH: u64 = 1 << 41;
const MEMBER: u64 = 1;
const IMPLICIT: u64 = 2;
const LONETS: u64 = 4;

impl Table<'_> {
    /// Saves a host. `false`: there is no room for its name, and the next lonetd will not know it.
    pub fn save_host(self, host: &SavedHost) -> bool {
        let layout = self.layout;
        let words = &layout.hosts[usize::from(host.index)];
        layout.left[usize::from(host.index)].set(host.left.as_nanos() as u64);
        let is = words.get();
        let flags = KNOWN | if host.fresh_accept_ports { FRESH } else { 0 };
        if is & KNOWN != 0 && self.name_at(is) == host.name {
            words.set(is & !FRESH | flags);
            return true;
        }
        let used = self.header().names_used.get() as usize;
        let n = host.name.len().div_ceil(8);
        let Some(room) = (used + n <= NAMES).then(|| &layout.names[used..used + n]) else { return false };
        for (word, bytes) in room.iter().zip(host.name.as_bytes().chunks(8)) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            word.set(u64::from_le_bytes(eight));
        }
        self.header().names_used.set((used + n) as u64);
        words.set(flags | (host.name.len() as u64) << 32 | used as u64);
        true
    }

    fn name_at(self, word: u64) -> String {
        let (at, len) = (word as u32 as usize, (word >> 32) as u8 as usize);
        let words = self.layout.names.get(at..at + len.div_ceil(8)).unwrap_or_default();
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.get().to_le_bytes()).collect();
        bytes.truncate(len);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All saved hosts, by index.
    pub fn saved_hosts(self) -> Vec<SavedHost> {
        let known = |index: usize| {
            let word = self.layout.hosts[index].get();
            (word & KNOWN != 0).then(|| SavedHost {
                index: index as u16,
                name: self.name_at(word),
                fresh_accept_ports: word & FRESH != 0,
                left: Duration::from_nanos(self.layout.left[index].get()),
            })
        };
        // Indexes have no gaps.
        (1..HOSTS).map_while(known).collect()
    }

    /// Saves all hosts of a process in place of those saved before. `false`: there is no room for all.
    ///
    /// If lonetd is killed meanwhile, the former ones remain, or these and some of the new ones: the process
    /// is never missing.
    pub fn save_members(self, pid: i32, all: &[SavedMember]) -> bool {
        let used = &self.header().members_used;
        let words = &self.layout.members;
        let is_its = |member: &Member| {
            let is = member.who.get();
            is & MEMBER != 0 && (is >> 32) as i32 == pid
        };
        let used_before = used.get() as usize;
        let before: Vec<&Member> = words.iter().take(used_before).filter(|m| is_its(m)).collect();
        let mut left = all.iter();
        let mut next = left.next();
        for (n, member) in (1..).zip(words) {
            let Some(saved) = next else { break };
            if member.who.get() & MEMBER == 0 {
                used.set(used.get().max(n));
                member.began.set(saved.began);
                let flag = |is: bool, flag| if is { flag } else { 0 };
                let flags = MEMBER | flag(saved.has_implicit_host, IMPLICIT) | flag(saved.is_lonets, LONETS);
                member.who.set((saved.pid as u32 as u64) << 32 | u64::from(saved.host) << 16 | flags);
                next = left.next();
            }
        }
        before.into_iter().for_each(|member| member.who.set(0));
        next.is_none()
    }

    /// All saved members.
    pub fn saved_members(self) -> Vec<SavedMember> {
        let used = self.header().members_used.get() as usize;
        let all = self.layout.members.iter().take(used);
        all.filter_map(|member| {
            let is = member.who.get();
            (is & MEMBER != 0).then(|| SavedMember {
                pid: (is >> 32) as i32,
                host: (is >> 16) as u16,
                has_implicit_host: is & IMPLICIT != 0,
                is_lonets: is & LONETS != 0,
                began: member.began.get(),
            })
        })
        .collect()
    }
}

const _: () = assert!(MEMBERS >= super::layout::SLOTS);

#[cfg(test)]
mod tests {
    use super::super::map::tests::file;
    use super::*;
    use crate::table::Mapping;

    #[test]
    fn hosts_and_members_are_read_as_they_were_saved() {
        let file = file();
        let mapping = Mapping::create(file.raw()).expect("a table");
        let table = mapping.table();
        let host = |index, name: &str, fresh| SavedHost {
            index,
            name: name.into(),
            fresh_accept_ports: fresh,
            left: Duration::from_nanos(index.into()),
        };
        let mut hosts = vec![host(1, "α", false), host(2, &"x".repeat(255), true), host(3, "", false)];
        hosts.iter().for_each(|h| assert!(table.save_host(h)));
        hosts[0] = host(1, "alpha", true);
        assert!(table.save_host(&hosts[0]));
        assert_eq!(table.saved_hosts(), hosts);
        let member = |pid, host| SavedMember {
            pid,
            host,
            has_implicit_host: host == 2,
            is_lonets: pid == 6,
            began: 9,
        };
        assert!(table.save_members(5, &[member(5, 1), member(5, 2)]));
        assert!(table.save_members(6, &[member(6, 0)]));
        assert!(table.save_members(5, &[member(5, 3)]));
        let mut saved = table.saved_members();
        saved.sort_by_key(|m| m.pid);
        assert_eq!(saved, [member(5, 3), member(6, 0)]);
    }
}
