//! Looks several sockets up at once, by one message to the kernel, which answers each look-up.

use super::netlink::HEAD;
use super::{Diag, SocketAnswer, error, wire};
use std::io;
use std::net::SocketAddrV4;

/// So many fit a message.
pub const SEVERAL: usize = 9;

/// Which socket is meant: its local address, its remote one, and its cookie, if it is known.
pub type SocketQuestion = (SocketAddrV4, SocketAddrV4, Option<u64>);

impl Diag {
    /// What the kernel says to each of these questions, of which there are at most [`SEVERAL`], as [`Diag::answer`] says it;
    /// where a cookie is asked for it is as [`Diag::lookup_cookie`] says. `answers` has a place for each question.
    ///
    /// [`SocketAnswer::Nobody`] says nothing unless another question of the same message was answered with a socket.
    // A frame of its own, as it takes a good part of a small stack.
    #[inline(never)]
    pub fn answers_as_they_come(
        &self,
        questions: &[SocketQuestion],
        answers: &mut [Option<SocketAnswer>],
    ) -> io::Result<()> {
        const { assert!(wire::Request::ROOM <= HEAD) };
        let mut buffers = [[0; HEAD]; SEVERAL];
        let request = buffers.as_flattened_mut();
        let (mut len, mut first) = (0, None);
        for (local, remote, cookie) in questions.iter().take(SEVERAL) {
            let sequence = self.next_sequence();
            first.get_or_insert(sequence);
            let mut one = wire::exact_request(sequence, *local, *remote, *cookie);
            let bytes = one.bytes();
            request[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
        }
        let Some(first) = first else { return Ok(()) };
        self.netlink.send(&request[..len])?;
        let lengths = self.netlink.receive_several(&mut buffers)?;
        for (buffer, length) in buffers.iter().zip(lengths) {
            // What is left of an earlier question takes the place of an answer, which is then not there.
            let Some(message) = wire::messages(&buffer[..length]).next() else { continue };
            let number = message.sequence.wrapping_sub(first) as usize;
            let (Some((local, remote, _)), Some(answer)) = (questions.get(number), answers.get_mut(number))
            else {
                continue;
            };
            *answer = understand(&message, (*local, *remote)).ok();
        }
        Ok(())
    }
}

/// What an answer to a look-up says.
pub(super) fn understand(
    message: &wire::Message<'_>,
    (local, remote): (SocketAddrV4, SocketAddrV4),
) -> io::Result<SocketAnswer> {
    match message.kind {
        wire::ERROR if message.errno() == libc::ENOENT => Ok(SocketAnswer::Nobody),
        wire::ERROR if message.errno() != 0 => Err(error(message.errno())),
        _ if !message.is_socket() => Err(error(libc::EPROTO)),
        _ => Ok(wire::socket(message.body)
            .filter(|f| f.local == local && f.remote == remote)
            .map_or(SocketAnswer::Another, SocketAnswer::Found)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::NOBODY;
    use super::*;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    fn v4(address: SocketAddr) -> SocketAddrV4 {
        match address {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => unreachable!("bound to an IPv4 address"),
        }
    }

    #[test]
    fn each_look_up_of_several_is_answered_as_it_is_alone() {
        let diag = Diag::open().expect("sock_diag");
        let listener = TcpListener::bind("127.231.9.7:0").expect("a listener");
        let at = listener.local_addr().expect("its address");
        let calls: Vec<TcpStream> = (0..6).map(|_| TcpStream::connect(at).expect("a connection")).collect();
        let mut pairs: Vec<_> =
            calls.iter().map(|c| (v4(c.local_addr().expect("an address")), v4(at))).collect();
        // Where nobody is, in the middle.
        pairs.insert(3, (SocketAddrV4::new([127, 231, 9, 8].into(), 9), v4(at)));
        let alone: Vec<_> = pairs.iter().map(|(a, b)| diag.answer(*a, *b).expect("an answer")).collect();
        let questions: Vec<_> = pairs.iter().map(|(a, b)| (*a, *b, None)).collect();
        let mut together = [None; SEVERAL];
        diag.answers_as_they_come(&questions, &mut together).expect("answers");
        assert_eq!(together[..7].iter().map(|a| a.expect("an answer")).collect::<Vec<_>>(), alone);
        assert_eq!(together[7..], [None; SEVERAL - 7]);
    }

    #[test]
    fn socket_with_another_cookie_is_not_the_one_asked_for() {
        let diag = Diag::open().expect("sock_diag");
        let listener = TcpListener::bind("127.231.9.9:0").expect("a listener");
        let at = v4(listener.local_addr().expect("its address"));
        let found = diag.lookup(at, NOBODY).expect("an answer").expect("the listener");
        let questions = [(at, NOBODY, Some(found.cookie)), (at, NOBODY, Some(found.cookie + 1))];
        let mut answers = [None; 2];
        diag.answers_as_they_come(&questions, &mut answers).expect("answers");
        assert_eq!(answers[..2], [Some(SocketAnswer::Found(found)), Some(SocketAnswer::Nobody)]);
    }
}
