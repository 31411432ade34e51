//! A thread that reads keys from the terminal. crossterm spins on a terminal that has gone, which must not block the event loop.

use nix::sys::eventfd::{EfdFlags, EventFd};
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

pub struct Keys {
    keys: Receiver<io::Result<KeyEvent>>,
    /// Readable when there are keys.
    pub ready: Arc<EventFd>,
}

impl Keys {
    /// Starts the thread. The terminal must be in raw mode.
    pub fn start() -> io::Result<Keys> {
        let ready =
            Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (tell, keys) = mpsc::channel();
        let told = ready.clone();
        let read = move || {
            loop {
                let key = match event::read() {
                    Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Ok(key),
                    Ok(_) => continue,
                    Err(e) => Err(e),
                };
                let is_last = key.is_err();
                if tell.send(key).is_err() || told.write(1).is_err() || is_last {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("keys".into()).spawn(read)?;
        Ok(Keys { keys, ready })
    }

    /// The keys that were typed since the last call.
    pub fn typed(&self) -> impl Iterator<Item = io::Result<KeyEvent>> {
        let _ = self.ready.read();
        self.keys.try_iter()
    }
}
