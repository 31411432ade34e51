//! Runs programs that cannot be hooked as hosts, supervised by seccomp user notification (seccomp_unotify(2)).
//!
//! Theory of operation. There are three processes: the one that the user has started (`user`), which waits for the program and
//! exits as it does; the supervisor; and the program, which is the supervisor's child. The program and its descendants run under
//! a filter (`filter`) that suspends the few system calls about addresses until the supervisor has responded to them. The
//! supervisor is itself a hooked program of the same host: for each call it takes a duplicate of the program's socket (`caller`)
//! and calls libc's function of the same name on it (`calls`). So lonet's hooks bind, connect and accept; the socket, its data
//! and its readiness remain between the kernel and the program. Calls that may block are made by threads (`workers`).
//!
//! Lifetimes: when the user's process dies, so does the supervisor (PR_SET_PDEATHSIG), and with the supervisor the program. The
//! program's descendants are served until the last one has ended. A process whose supervisor is gone has no network: its calls
//! fail with ENOSYS.
//!
//! A call that the supervisor cannot carry out fails with ENETDOWN. Nothing falls back to the machine's network.
//!
//! Limits: the program cannot use the calls of another ABI, nor io_uring unless its user allows that (`filter`). A signal for a thread in a suspended call
//! may be [`workers::INTERRUPT_EVERY_MS`] milliseconds late. To lonetd the supervisor is the owner of the program's sockets;
//! lists and events show its child instead.

mod arch;
mod caller;
mod calls;
mod filter;
mod notify_fd;
mod program;
mod report;
mod rights;
mod serve;
mod user;
mod workers;

use crate::exit::{FAILED, RunError};
use clap::Args;
use filter::Rules;
use lonet_core::client::{Client, StartIf, TIME_LIMIT};
use lonet_core::config::Config;
use lonet_core::control::{MAX_MESSAGE, Op};
use lonet_core::hookable::{Unhookable, Verdict, look};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::unistd::{Pid, getppid};
use program::{Failure, Program};
use report::{Report, close_all_except, redirect_to_null};
use serve::Server;
use std::ffi::{CStr, CString, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::ExitCode;

pub use program::probe;
pub use user::{Order, ProgramFile, run, signal_fd, wait_for_child, warn_tracer};

use lonet_core::config::{IS_SUPERVISED, SUPERVISED as VARIABLE};

/// Whether this process is supervised.
pub fn is_supervised() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|is| is == IS_SUPERVISED) && sys::is_filtered()
}

/// The supervisor process. Internal: `lonet run` starts it.
#[derive(Args)]
pub struct Supervise {
    /// The socket for reports
    #[arg(long)]
    control: RawFd,
    /// The program's file
    #[arg(long)]
    path: OsString,
    /// PATH is /proc/self/fd/N, a descriptor that the program does not inherit
    #[arg(long)]
    open: bool,
    /// See `lonet run`
    #[arg(long)]
    allow_io_uring: bool,
    /// The program's arguments, with argv[0]
    #[arg(required = true, trailing_var_arg = true)]
    arguments: Vec<OsString>,
}

impl Supervise {
    pub fn run(self) -> ExitCode {
        let control = Fd::adopt(self.control);
        let user = getppid();
        // SAFETY: no pointers; a descriptor of ours.
        unsafe {
            libc::syscall(libc::SYS_fcntl, control.raw(), libc::F_SETFD, libc::FD_CLOEXEC);
            libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // Orphans of the program stay descendants of this process, which Yama lets it access.
            libc::syscall(libc::SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1);
        }
        // The user's process may have died before PR_SET_PDEATHSIG.
        if sys::ready_within(control.raw(), libc::POLLHUP, Some(0)) == Ok(true) {
            return ExitCode::from(FAILED);
        }
        match self.start(&control) {
            Ok((notify_fd, program)) => {
                take_name(Path::new(&self.path), self.open);
                serve(control, user, notify_fd, program)
            }
            Err((code, why)) => {
                Report::Failed(code, why).send(control.raw());
                ExitCode::from(code)
            }
        }
    }

    /// Marks the descriptor by which the program is executed close-on-exec.
    fn close_file_at_exec(&self) {
        let number = Path::new(&self.path).file_name().and_then(|name| name.to_str()?.parse::<RawFd>().ok());
        if let Some(fd) = number {
            // SAFETY: no pointers.
            unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }

    fn start(&self, control: &Fd) -> Result<(Fd, Pid), RunError> {
        let failed = |why: &str| (FAILED, why.to_owned());
        if !is_hooked() {
            return Err(failed("the supervisor could not load liblonet.so: reinstall lonet"));
        }
        let mut mask = SigSet::empty();
        let all = SigSet::all();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), Some(&mut mask)).map_err(|e| failed(e.desc()))?;
        let string = |text: &OsString| {
            CString::new(text.as_bytes()).map_err(|_| failed("an argument contains a NUL byte"))
        };
        let path = string(&self.path)?;
        let seen = look(libc::AT_FDCWD, &path);
        let is_go = seen.verdict == Verdict::Unhookable(Unhookable::Go);
        // The interpreter of a script opens it by this path, and so inherits the descriptor, as after fexecve.
        if self.open && seen.script.is_none() {
            self.close_file_at_exec();
        }
        let program = Program {
            rules: Rules { notify_recvmsg: !is_go, allow_io_uring: self.allow_io_uring },
            path,
            arguments: self.arguments.iter().map(string).collect::<Result<_, _>>()?,
            environment: environment(),
            mask,
        };
        match program.start() {
            Ok(started) => {
                Report::Runs(started.process.as_raw()).send(control.raw());
                Ok((started.notify_fd, started.process))
            }
            Err(Failure::Supervision(why)) => {
                let name = self.path.to_string_lossy();
                Err((126, format!("{name:?} cannot be supervised: {why}")))
            }
            Err(Failure::NoRoom(why)) => Err(failed(&why)),
            Err(Failure::Exec(errno)) => {
                let code = if errno == Errno::ENOENT { 127 } else { 126 };
                Err((code, format!("{}: {}", self.path.to_string_lossy(), errno.desc())))
            }
        }
    }
}

/// Names this process after a program, as the kernel names one that executes it. `is_open`: the path leads to its file by a
/// descriptor.
pub fn take_name(path: &Path, is_open: bool) {
    let file = std::fs::read_link(path).ok().filter(|_| is_open);
    let path = file.as_deref().unwrap_or(path);
    let name = path.file_name().and_then(|name| CString::new(name.as_bytes()).ok());
    if let Some(name) = name {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Reports the program to lonetd, before any call of it is carried out. It was not reaped, though it may have ended. A lonetd that
/// is not told finds it as it finds children of hooked programs.
fn report_program() {
    let uid = sys::geteuid();
    if let Ok(config) = Config::read(&|name| std::env::var_os(name), uid, None) {
        let (client, mut buffer) = (Client::new(config, None, uid), [0; MAX_MESSAGE]);
        let limit = Limit::NONE.or_of_lonetd(TIME_LIMIT);
        let _ = client.ask_insisting(StartIf::Killed, limit, &Op::Supervise, &mut buffer);
    }
}

fn serve(control: Fd, user: Pid, notify_fd: Fd, program: Pid) -> ExitCode {
    close_all_except(vec![control.raw(), notify_fd.raw()]);
    redirect_to_null([0, 1, 2]);
    // No signals of the program's process group or terminal, and no directory kept in use.
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    raise_descriptor_limit();
    report_program();
    extern "C" fn do_nothing(_: i32) {}
    // Without SA_RESTART, so that the signal interrupts blocking calls.
    let interrupts = SigAction::new(SigHandler::Handler(do_nothing), SaFlags::empty(), SigSet::empty());
    if let Ok(signal) = Signal::try_from(workers::INTERRUPT_SIGNAL) {
        // SAFETY: the handler does nothing.
        let _ = unsafe { sigaction(signal, &interrupts) };
    }
    match Server::new(notify_fd, program, (control, user)) {
        Ok(mut server) => {
            server.run();
            ExitCode::SUCCESS
        }
        // The program ends with this process (PR_SET_PDEATHSIG).
        Err(_) => ExitCode::from(FAILED),
    }
}

/// Whether this process is hooked: LD_PRELOAD was honoured, and `connect` is lonet's.
fn is_hooked() -> bool {
    let library_of = |symbol: &CStr| {
        // SAFETY: a string, and a structure to fill.
        unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            let at = libc::dlsym(libc::RTLD_DEFAULT, symbol.as_ptr());
            (!at.is_null() && libc::dladdr(at, &raw mut info) != 0).then_some(info.dli_fbase)
        }
    };
    library_of(c"lonet_version").is_some_and(|lonets| library_of(c"connect") == Some(lonets))
}

/// The program's environment: without liblonet.so in LD_PRELOAD, which would translate addresses a second time.
fn environment() -> Vec<CString> {
    let others = |value: OsString| {
        let all: Vec<&[u8]> = value.as_bytes().split(|b| matches!(b, b':' | b' ')).collect();
        let others: Vec<&[u8]> =
            all.into_iter().filter(|entry| !entry.is_empty() && !entry.ends_with(b"/liblonet.so")).collect();
        OsString::from_vec(others.join(&b':'))
    };
    let all = std::env::vars_os().filter(|(name, _)| name != VARIABLE);
    let all = all.filter_map(|(name, value)| match name.as_bytes() {
        b"LD_PRELOAD" => Some((name, others(value))).filter(|(_, value)| !value.is_empty()),
        _ => Some((name, value)),
    });
    let all = all.chain([(VARIABLE.into(), IS_SUPERVISED.into())]);
    all.filter_map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect()
}

/// Raises the limit of open descriptors: each call in progress needs a duplicate of its socket.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
