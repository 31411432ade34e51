//! Handling of executed programs that cannot load this library, as [`lonet_core::hookable`] tells. `lonet
//! run`, executed in their place, supervises those that it can. The others use the machine's network, and one
//! line on stderr tells the user why they cannot be hooked; they run all the same.
//!
//! A file that cannot be judged is executed as it is, and so is one that the kernel will refuse, which the
//! program is told. Of a script the interpreter is judged; what that executes passes the hooks.
//!
//! The line goes where the shell would report an error, unless descriptor 2 is a socket, which is the
//! program's and no terminal, or a pipe that would block or has no reader.

use crate::environment;
use crate::{log, process, stderr};
use lonet_core::hookable::{Look, Unhookable, Verdict, look, search};
use lonet_core::sys::{self, Text};
use nix::errno::Errno;
use std::ffi::CStr;
use std::fmt::Write;

/// A program about to be executed, as the call names it.
#[derive(Clone, Copy)]
pub enum Program {
    Path(*const libc::c_char),
    /// Searched for in PATH, unless it has a slash.
    Name(*const libc::c_char),
    Open(libc::c_int),
    At {
        dir: libc::c_int,
        path: *const libc::c_char,
        flags: libc::c_int,
    },
}

/// Longest path, in bytes with the terminating zero, that a hook stores on the stack.
const SHORT: usize = 512;

/// The file of a program to be supervised.
// It is on the stack of a hook, where nothing can be boxed.
#[expect(clippy::large_enum_variant)]
pub enum File {
    /// The path that the call passes.
    Given(*const libc::c_char),
    /// The path found in PATH.
    Found(Text<SHORT>),
    /// A file without a path, or with one that there is no room for: an open one, or one in an open directory.
    Open(Opened),
}

impl File {
    fn path(&self) -> Option<*const libc::c_char> {
        match self {
            File::Given(path) => Some(*path),
            File::Found(path) => path.c_str().map(CStr::as_ptr),
            File::Open(opened) => opened.path.c_str().map(CStr::as_ptr),
        }
    }
}

/// A descriptor that the executed program inherits, closed if exec fails; and its path there.
pub struct Opened {
    fd: libc::c_int,
    path: Text<32>,
}

impl Opened {
    /// Takes ownership of the descriptor.
    fn new(fd: libc::c_int) -> Option<Opened> {
        let mut opened = Opened { fd, path: Text::new() };
        write!(opened.path, "/proc/self/fd/{fd}").ok()?;
        Some(opened)
    }

    /// A duplicate of a descriptor that may be close-on-exec.
    fn copy(fd: libc::c_int) -> Option<Opened> {
        // SAFETY: no pointers.
        let copy = sys::check(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_DUPFD, 3) });
        Opened::new(copy.ok()? as libc::c_int)
    }

    fn at(dir: libc::c_int, path: &CStr, flags: libc::c_int) -> Option<Opened> {
        let follow = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { libc::O_NOFOLLOW } else { 0 };
        // SAFETY: a string.
        let fd = unsafe { libc::syscall(libc::SYS_openat, dir, path.as_ptr(), libc::O_PATH | follow) };
        let opened = Opened::new(sys::check(fd).ok()? as libc::c_int)?;
        // Not a symbolic link that must not be followed: the kernel refuses that.
        let kind = sys::fstat(opened.fd).ok()?.st_mode & libc::S_IFMT;
        (kind == libc::S_IFREG).then_some(opened)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: a descriptor of ours.
        unsafe { libc::syscall(libc::SYS_close, self.fd) };
    }
}

/// The file of `program` if it must be supervised. `None`: it is executed as it is, after a warning if it
/// cannot be hooked.
pub fn supervised(program: Program) -> Option<File> {
    if !environment::is_preloaded() {
        return None;
    }
    let at = libc::AT_FDCWD;
    match program {
        Program::Path(path) => look_at(at, path, 0),
        Program::Open(fd) => look_at_open(fd),
        Program::At { dir, path, flags } if flags & libc::AT_EMPTY_PATH != 0 && is_empty(path) => {
            supervised(if dir == at { Program::Path(c".".as_ptr()) } else { Program::Open(dir) })
        }
        Program::At { dir, path, flags } => look_at(dir, path, flags),
        Program::Name(name) => {
            let name = c_str(name)?;
            if name.to_bytes().contains(&b'/') { look_at(at, name.as_ptr(), 0) } else { look_in_path(name) }
        }
    }
}

fn c_str<'a>(text: *const libc::c_char) -> Option<&'a CStr> {
    crate::memory::text(text)
}

fn is_empty(path: *const libc::c_char) -> bool {
    c_str(path).is_some_and(CStr::is_empty)
}

fn look_at(dir: i32, given: *const libc::c_char, flags: i32) -> Option<File> {
    let path = c_str(given)?;
    let look = look(dir, path);
    if !is_to_be_supervised(&look) {
        warn(&look, path);
        return None;
    }
    let is_reached = dir == libc::AT_FDCWD || path.to_bytes().starts_with(b"/");
    if is_reached && flags & libc::AT_SYMLINK_NOFOLLOW == 0 {
        return Some(File::Given(given));
    }
    open_at(dir, path, flags, &look)
}

/// Opens a program to be supervised that no path leads to.
fn open_at(dir: i32, path: &CStr, flags: i32, look: &Look) -> Option<File> {
    let opened = Opened::at(dir, path, flags);
    if opened.is_none() {
        warn(look, path);
    }
    opened.map(File::Open)
}

/// The program that execvp(3) would find.
fn look_in_path(name: &CStr) -> Option<File> {
    // SAFETY: the process's own environment. getenv would be the shell's own in some.
    let path = unsafe { environment::find(environment::own(), b"PATH=") };
    let name = name.to_bytes();
    let longest = path.unwrap_or_default().split(|b| *b == b':').map(<[u8]>::len).max().unwrap_or(0);
    // With a slash and the zero.
    if longest + name.len() + 2 > SHORT {
        return look_in_long_path(name, path);
    }
    let mut file = Text::new();
    search(name, path, &mut file).ok()?;
    look_at(libc::AT_FDCWD, file.c_str()?.as_ptr(), 0).map(|_| File::Found(file))
}

/// As [`look_in_path`], with paths of any length that the kernel accepts. libc, too, has as much on the stack then.
#[cold]
#[inline(never)]
fn look_in_long_path(name: &[u8], path: Option<&[u8]>) -> Option<File> {
    let mut file = Text::<{ libc::PATH_MAX as usize }>::new();
    search(name, path, &mut file).ok()?;
    let file = file.c_str()?;
    let look = look(libc::AT_FDCWD, file);
    if is_to_be_supervised(&look) {
        return open_at(libc::AT_FDCWD, file, 0, &look);
    }
    warn(&look, file);
    None
}

/// Whether to supervise: a host's programs must be the host, too. Not without a lonet command, as after
/// chroot.
fn is_to_be_supervised(look: &Look) -> bool {
    let Verdict::Unhookable(why) = look.verdict else { return false };
    why.is_supervisable()
        && process::is_host()
        && process::client().is_some_and(|client| client.command().is_some())
}

type Strings = *const *const libc::c_char;

/// Runs `call` with the program and arguments to execute in place of `file`: `lonet run`, which supervises
/// it. `None`: the arguments are unreadable, and left for the kernel to refuse.
///
/// # Safety
/// `arguments` is an array that ends with null, as far as it can be read.
pub unsafe fn with_supervisor<R>(
    file: &File,
    arguments: Strings,
    call: &dyn Fn(*const libc::c_char, Strings) -> R,
) -> Option<Result<R, Errno>> {
    let client = process::client()?;
    let (command, path) = (client.command()?, file.path()?);
    let option = if matches!(file, File::Open(_)) { c"--open" } else { c"--path" };
    let front =
        [c"lonet".as_ptr(), c"run".as_ptr(), c"--quiet".as_ptr(), option.as_ptr(), path, c"--".as_ptr()];
    let mut count = 0;
    // SAFETY: as the caller promises.
    for argument in unsafe { environment::strings(arguments) } {
        argument?;
        count += 1;
    }
    // Without arguments the file's path serves as argv[0]; one more for the null.
    let room = front.len() + count.max(1) + 1;
    Some(environment::with_room(room, 0, &|to, _| {
        // SAFETY: there is room for so many, and `count` arguments.
        unsafe {
            for (i, word) in front.iter().enumerate() {
                to.add(i).write(*word);
            }
            let to_arguments = to.add(front.len());
            to_arguments.write(path);
            for i in 0..count {
                to_arguments.add(i).write(*arguments.add(i));
            }
            to.add(room - 1).write(std::ptr::null());
        }
        call(command.as_ptr(), to)
    }))
}

fn look_at_open(fd: i32) -> Option<File> {
    let mut at = Text::<32>::new();
    write!(at, "/proc/self/fd/{fd}").ok()?;
    let at = at.c_str()?;
    // By its path, as the descriptor itself may be open for execution only.
    let look = look(libc::AT_FDCWD, at);
    if is_to_be_supervised(&look) {
        return Opened::copy(fd).map(File::Open);
    }
    let mut name = [0u8; 512];
    // SAFETY: a C string and a buffer, whose last byte stays zero.
    unsafe {
        libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, at.as_ptr(), name.as_mut_ptr(), name.len() - 1)
    };
    warn(&look, CStr::from_bytes_until_nul(&name).unwrap_or(at));
    None
}

fn warn(look: &Look, program: &CStr) {
    let Verdict::Unhookable(why) = look.verdict else { return };
    let mut line = Text::<1024>::new();
    let interpreter = look.script.as_ref().map(|script| script.interpreter.bytes());
    if write_warning(&mut line, program.to_bytes(), interpreter, why).is_none() {
        return;
    }
    if stderr::is_writable() {
        stderr::write(line.bytes());
    }
    let line = line.bytes().strip_prefix(b"lonet: ").and_then(|line| line.strip_suffix(b"\n"));
    log::note(format_args!("exec: {}", str::from_utf8(line.unwrap_or_default()).unwrap_or_default()));
}

/// `None`: the line does not fit.
fn write_warning(
    line: &mut Text<1024>,
    name: &[u8],
    interpreter: Option<&[u8]>,
    why: Unhookable,
) -> Option<()> {
    // The end of a long path tells more.
    let name = name.get(name.len().saturating_sub(256)..).unwrap_or(name);
    let mut all = line.push(b"lonet: ") && line.push(name);
    if let Some(interpreter) = interpreter {
        all = all && line.push(b" is run by ") && line.push(interpreter) && line.push(b", which");
    }
    (all && writeln!(line, " {why}: it will use the machine's network").is_ok()).then_some(())
}
