//! The terminal: put into full-screen mode, and restored at the end, after a panic, too.

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Stdout, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is in full-screen mode.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The signals that are read from a descriptor.
const SIGNALS: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    // The terminal's size has changed.
    Signal::SIGWINCH,
];

pub struct Screen {
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
    pub signals: SignalFd,
}

/// Why a full screen is not possible here, if so.
pub fn unusable_reason() -> Option<String> {
    let what = match (stdin().is_terminal(), stdout().is_terminal()) {
        (true, true) if std::env::var_os("TERM").as_deref() == Some(OsStr::new("dumb")) => "TERM is \"dumb\"",
        (true, true) => return None,
        (false, _) => "standard input is not a terminal",
        (true, false) => "standard output is not a terminal",
    };
    Some(format!(
        "{what}, and lonet top needs a full screen: `lonet ls` and `lonet trace --follow` print what it shows"
    ))
}

fn signal_set() -> SigSet {
    SIGNALS.into_iter().collect()
}

impl Screen {
    /// Enters full-screen mode. To be called before other threads are started, which inherit the blocked signals.
    pub fn take() -> io::Result<Screen> {
        signal_set().thread_block()?;
        let signals = SignalFd::with_flags(&signal_set(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        take()?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()));
        terminal.map(|terminal| Screen { terminal, signals }).inspect_err(|_| give_back())
    }

    /// Restores the terminal and stops this process until it is continued. `all`: stops its whole process group, as Ctrl-Z does.
    pub fn suspend(&mut self, all: bool) -> io::Result<()> {
        give_back();
        let stop: SigSet = [Signal::SIGTSTP].into_iter().collect();
        kill(if all { Pid::from_raw(0) } else { Pid::this() }, Signal::SIGTSTP)?;
        // The process stops here, as the signal is pending.
        stop.thread_unblock()?;
        stop.thread_block()?;
        self.retake()
    }

    /// Enters full-screen mode again, after other programs may have used the terminal.
    pub fn retake(&mut self) -> io::Result<()> {
        give_back();
        take()?;
        // Not Terminal::clear(), which queries the cursor's position and takes typed keys for the reply.
        self.terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    IS_TAKEN.store(true, Ordering::SeqCst);
    execute!(stdout(), EnterAlternateScreen, Hide).inspect_err(|_| give_back())
}

fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// Ends this process by a signal that it has received, so that its parent sees that.
pub fn end_by(signal: Signal) {
    let only: SigSet = [signal].into_iter().collect();
    // SAFETY: no handler of ours.
    unsafe { libc::signal(signal as i32, libc::SIG_DFL) };
    let _ = kill(Pid::this(), signal);
    let _ = only.thread_unblock();
}
