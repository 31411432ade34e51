//! A small table of any kind of word, and the operations of a process on it, for tests.

use crate::block::{Block, Endpoint, Face};
use crate::control::Asked;
use crate::scopes::Scopes;
use crate::table::Parts;
use crate::table::claim::{Claim, SocketQuery};
use crate::table::entry::{Call, Entry};
use crate::table::index::Index;
use crate::table::listeners::{ListenerCell, Listeners, tests::place};
use crate::table::ports::{Page, Ports, tests::page};
use crate::table::record::{Record, Records, tests::record};
use crate::table::slot::{Phase, Slot, Slots, tests::slot};
use crate::table::state::Reference;
use crate::table::word::Word;
use std::net::SocketAddrV4;

pub const ALPHA: u16 = 1;
const PID: i32 = 100;
pub const BETA: u16 = 2;
/// The count of listens when its dials are made.
pub const LISTEN_COUNT: u64 = 5;

pub struct Small<W> {
    records: Vec<Record<W>>,
    pub slots: Vec<Slot<W>>,
    /// The words of cookies, tuples, directory, marks and heads.
    words: [Vec<W>; 5],
    used: W,
    pages: Vec<Page<W>>,
    places: Vec<ListenerCell<W>>,
    /// The slot of a process of α.
    pub slot: u16,
}

pub struct Dial {
    pub reference: Reference,
    pub cookie: u64,
    pub port: u16,
    pub entry: Entry,
}

pub fn block() -> Block {
    Block::new(7).expect("a block")
}

/// The kernel's addresses of a dial that has this lonet port.
pub fn tuple(port: u16) -> (SocketAddrV4, SocketAddrV4) {
    let at = |host, port| SocketAddrV4::new(block().address(host), port);
    (at(ALPHA, 40_000 + port), at(BETA, 80))
}

impl<W: Word> Small<W> {
    pub fn new(word: fn() -> W) -> Small<W> {
        Small::sized(word, 32, 3)
    }

    pub fn sized(word: fn() -> W, records: usize, pages: usize) -> Small<W> {
        let words = |n: usize| (0..n).map(|_| word()).collect::<Vec<W>>();
        let mut small = Small {
            records: (0..records).map(|_| record(word)).collect(),
            slots: vec![slot(word), slot(word)],
            words: [words(records), words(records), words(pages), words(3), words(3)],
            used: word(),
            pages: (0..pages).map(|_| page(word)).collect(),
            places: vec![place(word), place(word)],
            slot: 0,
        };
        small.slot = small.parts().slots.reserve(PID, ALPHA, 0).expect("a slot");
        small.parts().slots.set_phase(small.slot, Phase::Live);
        small
    }

    pub fn parts(&self) -> Parts<'_, W> {
        let [cookies, tuples, directory, marks, heads] = &self.words;
        Parts {
            block: block(),
            records: Records::new(&self.records, &self.used),
            cookies: Index::new(cookies),
            tuples: Index::new(tuples),
            ports: Ports::new(directory, &self.pages, marks),
            slots: Slots::new(&self.slots, heads),
            listeners: Listeners::new(&self.places),
        }
    }

    /// Begins a dial, up to connect.
    pub fn dial(&self, cookie: u64, kernel: &mut impl SocketQuery) -> Dial {
        let p = self.parts();
        let reference = p.records.take(0, self.slot, cookie).expect("a record");
        let Claim::Port(port) = p.claim(ALPHA, 1, reference, kernel) else { unreachable!("no port") };
        let asked = Asked { family: Face::V4, v6only: false, reuse_address: false, reuse_port: false };
        let name = |host, port| Endpoint::new(block().shown(host, Face::V4), port);
        let call = Call {
            local: name(ALPHA, port),
            peer: name(BETA, 80),
            os_local: Some(tuple(port).0),
            os_remote: tuple(port).1,
            peer_host: BETA,
            dialed_port: 80,
            scope: Scopes(1),
        };
        let entry = Entry {
            host: ALPHA,
            port,
            asked,
            at: None,
            os: None,
            call: Some(call),
            accept_port: None,
            role: 0,
            since: LISTEN_COUNT,
        };
        assert!(p.enter_dial(reference, cookie, &entry));
        Dial { reference, cookie, port, entry }
    }

    /// Makes a dial whose connect has succeeded.
    pub fn connected(&self, cookie: u64, kernel: &mut impl SocketQuery) -> Dial {
        let dial = self.dial(cookie, kernel);
        let (from, to) = tuple(dial.port);
        assert!(self.parts().publish(dial.reference, from, to));
        self.parts().connected(dial.reference, true);
        dial
    }

    /// Announces the close of a socket.
    pub fn close(&self, cookie: u64) {
        let found = self.parts().find(cookie).expect("its record");
        self.parts().closing(&found, self.slot, || PID);
    }
}
