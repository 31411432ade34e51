use super::super::tests::file;
use super::super::{View, Writer};
use super::*;

fn said(mailbox: &mut Mailbox) -> Vec<(u32, Vec<u8>)> {
    let all = mailbox.receive(|_| true);
    let bytes = |said: &Said| {
        let mut bytes = [0; ROOM];
        let n = said.copy(&mut bytes);
        bytes[..n].to_vec()
    };
    let all = all.iter().map(|said| (said.pid, bytes(said))).collect();
    mailbox.done();
    all
}

#[test]
fn what_is_said_is_received_in_order_and_once() {
    let file = file();
    let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
    let program = View::map(file.raw(), false).expect("a mapping");
    for turn in 0..1000u32 {
        for n in 0..3 {
            let said = format!("{turn} {n}");
            program.post(turn + n, true, said.as_bytes()).expect("room");
        }
        let expected: Vec<_> = (0..3).map(|n| (turn + n, format!("{turn} {n}").into_bytes())).collect();
        assert_eq!(said(&mut mailbox), expected);
    }
    assert_eq!(said(&mut mailbox), []);
}

#[test]
fn there_is_no_room_for_more_than_the_slots_have() {
    let file = file();
    let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
    let program = View::map(file.raw(), false).expect("a mapping");
    (0..SLOTS).for_each(|n| assert!(program.post(1, true, &n.to_ne_bytes()).is_ok()));
    assert_eq!(program.post(1, true, b"one more"), Err(Errno::EAGAIN));
    assert_eq!(program.post(1, true, &[0; ROOM + 1]), Err(Errno::EMSGSIZE));
    assert_eq!(said(&mut mailbox).len(), SLOTS as usize);
    assert!(program.post(1, true, &[7; ROOM]).is_ok());
    assert_eq!(said(&mut mailbox), [(1, vec![7; ROOM])]);
}

#[test]
fn what_was_received_and_not_done_with_waits_for_the_next_lonetd() {
    let file = file();
    let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
    let program = View::map(file.raw(), false).expect("a mapping");
    (0..700u32).for_each(|_| {
        program.post(1, false, b"before").expect("room");
        said(&mut mailbox);
    });
    program.post(2, true, b"received").expect("room");
    assert_eq!(mailbox.receive(|_| true).len(), 1);
    program.post(3, false, b"later").expect("room");
    let mut next = Writer::take(file.raw()).expect("a view").mailbox();
    assert_eq!(said(&mut next), [(2, b"received".to_vec()), (3, b"later".to_vec())]);
}

#[test]
fn who_is_killed_in_the_middle_of_a_word_keeps_nobody_else_from_being_heard() {
    let file = file();
    let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
    let program = View::map(file.raw(), false).expect("a mapping");
    program.claim(13).expect("room");
    // Killed even before it has said which ticket is the next.
    let at = program.words[NEXT].load(Ordering::Relaxed) as u32;
    slot(program, at)[0].store(state(at, 14, CLAIMED), Ordering::Relaxed);
    for turn in 0..u64::from(SLOTS) * 2 {
        program.post(1, true, &turn.to_ne_bytes()).expect("room");
        let living = |pid| pid == 13 && turn < 100;
        assert_eq!(mailbox.receive(living).len(), 1, "{turn}");
        mailbox.done();
    }
}

#[test]
fn what_was_half_said_to_a_lonetd_that_was_killed_is_heard_by_the_next_one() {
    let file = file();
    let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
    let program = View::map(file.raw(), false).expect("a mapping");
    let last = SLOTS - 1;
    (0..last).for_each(|_| {
        program.post(1, true, b"before").expect("room");
        said(&mut mailbox);
    });
    let (ticket, slot) = program.claim(2).expect("room");
    program.post(1, true, b"meanwhile").expect("room");
    assert_eq!(said(&mut mailbox), [(1, b"meanwhile".to_vec())]);
    let mut next = Writer::take(file.raw()).expect("a view").mailbox();
    slot[1].store(0, Ordering::Relaxed);
    slot[0].store(state(ticket, 2, FULL), Ordering::Release);
    assert_eq!(said(&mut next), [(2, vec![])]);
}

#[test]
fn a_file_of_another_layout_becomes_an_empty_mailbox() {
    let file = file();
    Writer::take(file.raw()).expect("a view");
    let other = View::map(file.raw(), true).expect("a mapping");
    other.words.iter().take(super::super::HEADER + 1).for_each(|w| w.store(u64::MAX, Ordering::Relaxed));
    let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
    let program = View::map(file.raw(), false).expect("a mapping");
    program.post(1, true, b"x").expect("room");
    assert_eq!(said(&mut mailbox), [(1, b"x".to_vec())]);
}

#[test]
fn many_processes_say_all_that_they_say() {
    let file = file();
    let mut mailbox = Writer::take(file.raw()).expect("a view").mailbox();
    let raw = file.raw();
    let speakers: Vec<_> = (1..=4u32)
        .map(|pid| {
            std::thread::spawn(move || {
                let program = View::map(raw, false).expect("a mapping");
                for n in 0..20_000u32 {
                    while program.post(pid, n % 2 == 0, &n.to_ne_bytes()).is_err() {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut heard = [0u32; 5];
    while heard[1..] != [20_000; 4] {
        for (pid, bytes) in said(&mut mailbox) {
            let next = &mut heard[pid as usize];
            assert_eq!(bytes, next.to_ne_bytes());
            *next += 1;
        }
    }
    speakers.into_iter().for_each(|s| s.join().expect("no panic"));
}
