//! Relays the bytes of a connection whose two ends could not be joined: see `courier` and `dialer`.

use super::{Task, TaskContext, TaskEvent, io};
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

/// The buffer size of each direction.
const ROOM: usize = 64 << 10;

/// How much is relayed before other tasks have their turn.
const TURN: usize = 1 << 20;

pub struct Relay {
    ends: [End; 2],
    /// The courier's source and listener, if this was one.
    courier: Option<(SocketAddrV4, SocketAddrV4)>,
}

struct End {
    fd: OwnedFd,
    /// Received data that the other end has not taken yet, from `start` on.
    under_way: Vec<u8>,
    start: usize,
    /// It will send no more.
    ended: bool,
    /// The other end has been shut down for it.
    end_passed_on: bool,
    watched: Option<EpollFlags>,
}

impl End {
    fn has_data(&self) -> bool {
        self.start < self.under_way.len()
    }
}

impl Relay {
    pub fn begin(
        cx: &mut TaskContext<'_, '_>,
        fds: [OwnedFd; 2],
        courier: Option<(SocketAddrV4, SocketAddrV4)>,
    ) -> Task {
        let ends = fds.map(|fd| End {
            fd,
            under_way: Vec::new(),
            start: 0,
            ended: false,
            end_passed_on: false,
            watched: None,
        });
        let mut relay = Relay { ends, courier };
        relay.watch(cx);
        Task::Relay(relay)
    }

    pub fn step(mut self, cx: &mut TaskContext<'_, '_>, event: TaskEvent) -> Option<Task> {
        let mut over = false;
        if let TaskEvent::Ready { side, flags } = event {
            // An end that has sent everything and is closed now will not take more data.
            let gone = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
            over = gone && self.ends[usize::from(side == 1)].ended;
        }
        let carried = self.carry(0).and_then(|()| self.carry(1));
        if over || carried.is_err() {
            self.finish(cx);
            self.ends.into_iter().for_each(|end| io::reset(end.fd));
            return None;
        }
        if self.ends.iter().all(|end| end.end_passed_on) {
            self.finish(cx);
            return None;
        }
        self.watch(cx);
        Some(Task::Relay(self))
    }

    fn finish(&self, cx: &mut TaskContext<'_, '_>) {
        if let Some((source, listener)) = self.courier {
            cx.event_loop.state.courier_ends(source, listener);
        }
        self.ends.iter().for_each(|end| cx.unwatch(&end.fd));
    }

    /// Moves data from one end to the other, as far as it goes without blocking.
    fn carry(&mut self, from: usize) -> Result<(), Errno> {
        let [a, b] = &mut self.ends;
        let (from, to) = if from == 0 { (a, b) } else { (b, a) };
        let mut carried = 0;
        while carried < TURN {
            if from.has_data() {
                match io::send(&to.fd, &from.under_way[from.start..]) {
                    Ok(n) => from.start += n,
                    Err(Errno::EAGAIN) => return Ok(()),
                    Err(e) => return Err(e),
                }
                continue;
            }
            from.start = 0;
            if from.ended {
                from.under_way = Vec::new();
                if !from.end_passed_on {
                    io::end_of_data(&to.fd);
                    from.end_passed_on = true;
                }
                return Ok(());
            }
            from.under_way.resize(ROOM, 0);
            let received = io::receive(&from.fd, &mut from.under_way);
            from.under_way.truncate(*received.as_ref().unwrap_or(&0));
            match received {
                Ok(0) => from.ended = true,
                Ok(n) => carried += n,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn watch(&mut self, cx: &mut TaskContext<'_, '_>) {
        let data = [self.ends[0].has_data(), self.ends[1].has_data()];
        for (side, end) in self.ends.iter_mut().enumerate() {
            let mut flags = EpollFlags::empty();
            flags.set(EpollFlags::EPOLLIN, !end.ended && !data[side]);
            flags.set(EpollFlags::EPOLLOUT, data[1 - side]);
            if end.watched != Some(flags) {
                cx.watch(side as u64, &end.fd, flags);
                end.watched = Some(flags);
            }
        }
    }
}
