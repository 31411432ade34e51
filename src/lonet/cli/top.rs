//! `lonet top`: shows a network on a full screen, as it changes.
//!
//! [`source`] is a thread that polls lonetd and the kernel and carries out commands. [`snapshot`] and [`meter`] turn its data into
//! what is shown, [`rows`] filters and sorts it. [`view`] is the state of the screen and handles keys, [`draw`] draws it. [`screen`]
//! is the terminal, [`keys`] reads it.

mod choice;
mod columns;
mod draw;
mod keys;
mod meter;
mod popups;
mod rows;
mod screen;
mod snapshot;
mod source;
mod style;
mod tables;
mod view;

use super::Network;
use clap::Args;
use keys::Keys;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use screen::Screen;
use source::Source;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;
use style::Style;
use view::{Action, View};

/// Show a network on the whole terminal, as it changes: hosts, listeners, connections, rates, faults and events.
///
/// Keys filter, sort and pause what is shown, and cut and heal hosts; `?` lists them. It waits for a network that is not
/// running, and keeps the last view of one that has ended. It records nothing: what `lonet trace` prints is the same
/// whether or not it runs. There are no colours if NO_COLOR is set.
///
/// Exit codes: 0 it was ended by a key, 1 lonet failed, 2 there is no terminal.
#[derive(Args)]
pub struct Top {
    #[command(flatten)]
    network: Network,
}

/// The least time between two drawings, unless a key is typed.
const FRAME_INTERVAL: Duration = Duration::from_millis(40);

/// The exit code if there is no terminal.
const USAGE: u8 = 2;

/// Why the event loop has ended.
enum End {
    Quit,
    Signal(Signal),
}

impl Top {
    pub fn run(self) -> ExitCode {
        if let Some(why) = screen::unusable_reason() {
            error_line!("lonet: {why}");
            return ExitCode::from(USAGE);
        }
        let ended = self.network.client().and_then(|client| {
            let mut view = View::new(&client.config.network);
            // First, as it blocks signals, which the other threads inherit.
            let mut screen = Screen::take().map_err(|e| format!("cannot use the terminal: {e}"))?;
            let keys = Keys::start().map_err(|e| format!("cannot read the terminal: {e}"))?;
            let source = Source::start(client)?;
            let style = Style::of_the_environment();
            event_loop(&mut screen, (&keys, &source), &mut view, style)
                .map_err(|e| format!("cannot use the terminal: {e}"))
        });
        match ended {
            Ok(End::Quit) => ExitCode::SUCCESS,
            Ok(End::Signal(signal)) => {
                screen::end_by(signal);
                ExitCode::FAILURE
            }
            Err(why) => {
                error_line!("lonet: {why}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Draws and handles keys, signals and updates until the end.
fn event_loop(
    screen: &mut Screen,
    (keys, source): (&Keys, &Source),
    view: &mut View,
    style: Style,
) -> io::Result<End> {
    loop {
        screen.terminal.draw(|frame| draw::draw(frame, view, style))?;
        let stdin = io::stdin();
        let fds = [keys.ready.as_fd(), screen.signals.as_fd(), source.ready.as_fd()];
        let [keys_fd, signals_fd, source_fd] = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // Of the terminal only errors, which mean that it has gone.
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::empty()), keys_fd, signals_fd, source_fd];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let [has_gone, is_typed, ..] = fds.map(|fd| fd.any().unwrap_or(true));
        while let Some(info) = screen.signals.read_signal()? {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGTSTP) => screen.suspend(false)?,
                Ok(Signal::SIGCONT) => screen.retake()?,
                Ok(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP)) => {
                    return Ok(End::Signal(signal));
                }
                // SIGWINCH: the next drawing gets the new size.
                _ => {}
            }
        }
        if has_gone {
            return Ok(End::Quit);
        }
        source.updates().for_each(|updates| view.update(updates));
        for key in keys.typed() {
            match view.key(key?) {
                Action::Nothing => {}
                Action::Quit => return Ok(End::Quit),
                Action::Suspend => screen.suspend(true)?,
                Action::Order(command) => {
                    view.show_pending(&command);
                    source.order(command);
                }
            }
        }
        if !is_typed {
            std::thread::sleep(FRAME_INTERVAL);
        }
    }
}
