//! connect(2).

pub mod foreign;
mod lent;
mod table;

use crate::address::Address;
use crate::ask::{Failed, Start, ask_of, tell_to};
use crate::bypass::Bypass;
use crate::fence::{PANIC, guard, silently};
use crate::log::{self, About, Call};
use crate::{actor, dns, given, kernel, marks, memory, name, process, sandbox, valve};
use libc::{c_int, sockaddr, socklen_t};
use lonet_core::client::{Client, TIME_LIMIT};
use lonet_core::control::{Asked, Op, Reply};
use lonet_core::limit::Limit;
use lonet_sockets::Actor;
use lonet_sockets::close::shutting_down;
use lonet_sockets::dial::Dial;
use nix::errno::Errno;
use std::net::{Ipv4Addr, SocketAddrV4};
use table::Settled;

hook! {
    unsafe fn connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int => lonet_connect {
        // SAFETY: the program's arguments.
        unsafe { run(fd, address, len) }
    }
}

/// connect's other name, as with [`crate::close::__close`].
///
/// # Safety
/// As for connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __connect(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the program's arguments.
    unsafe { run(fd, address, len) }
}

/// What stands before and after the kernel's connect.
struct Plan {
    real: unsafe extern "C" fn(c_int, *const sockaddr, socklen_t) -> c_int,
    step: Step,
    /// Where to connect to, if `step` is not `Native`.
    target: Address,
    cookie: u64,
    /// The same for the kernel; if `step` is `Disconnect`, where the socket is.
    os: SocketAddrV4,
    /// The port that the program dials.
    port: u16,
    /// The socket is at `os` itself: its program has bound it to the address that it dials.
    to_itself: bool,
    /// IPV6_V6ONLY is set again when the dial has been refused.
    was_v6only: bool,
    /// If `step` is `Table`.
    dial: Option<(Actor<'static>, Dial)>,
    /// At first the program's, which a success leaves as it was; for `Fail` what failed.
    errno: i32,
    /// What a connection that comes too late is reported as: EINTR or EINPROGRESS; 0: it is in time.
    late: i32,
    /// How long lonetd may take, from the first question on.
    limit: Limit,
    /// A foreign peer has not answered within so many milliseconds.
    slow: u32,
    /// The address that the program gave.
    to: (*const sockaddr, socklen_t),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Not lonet's: do what libc does.
    Native,
    /// To a listener that the table names: the process decides.
    Table,
    /// To a listener; lonetd waits for the outcome.
    Dial,
    /// To a foreign peer; lonetd shakes hands on the connection.
    Foreign,
    /// To where connections are refused.
    Refusal,
    /// To what stands for a name server (`dns`).
    Instead,
    /// To where it is connected already.
    Again,
    /// The connection is taken off the socket.
    Disconnect,
    /// The call fails, or has failed, with `errno`.
    Fail,
    /// The connection has been made.
    Done,
}

impl Plan {
    fn call(&self) -> Call {
        Call { name: "connect", about: About::To(self.to.0, self.to.1) }
    }

    /// The call fails, or has failed, with this. The log has its line.
    fn fail(&mut self, failed: Failed) {
        self.step = Step::Fail;
        self.errno = failed.errno as i32;
        silently(|| log::ended(self.call(), Err(failed.errno), format_args!("{}", failed.why())));
    }
}

/// The hook. connect may block, and a thread may be cancelled or jump out of it: this frame and those above it
/// hold nothing, and call nothing that could unwind, so that cancellation passes through them (see `fence`).
///
/// # Safety
/// The arguments are as connect(2) takes them.
pub unsafe extern "C" fn run(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    let mut plan = std::mem::MaybeUninit::<Plan>::uninit();
    // SAFETY: the program's arguments; `prepare` fills the plan.
    unsafe {
        prepare(fd, address, len, false, plan.as_mut_ptr());
        let plan = &mut *plan.as_mut_ptr();
        while plan.step == Step::Table {
            let result = lent::dial(fd, plan);
            match table::settle(result, plan) {
                Settled::Done => return result,
                Settled::Again => {}
                Settled::Ask => prepare(fd, address, len, true, plan),
            }
        }
        match plan.step {
            Step::Native => (plan.real)(fd, address, len),
            Step::Fail => finish(fd, -1, plan),
            Step::Done => finish(fd, 0, plan),
            Step::Disconnect => finish(fd, (plan.real)(fd, address, len), plan),
            Step::Table | Step::Dial | Step::Refusal | Step::Instead | Step::Again => {
                finish(fd, lent::dial(fd, plan), plan)
            }
            Step::Foreign => {
                let mut result = (plan.real)(fd, plan.target.pointer(), plan.target.len);
                if foreign::shake_hands(fd, &raw mut result, plan) {
                    result = (plan.real)(fd, plan.target.pointer(), plan.target.len);
                }
                finish(fd, result, plan)
            }
        }
    }
}

/// # Safety
/// The arguments are as connect(2) takes them; `plan` is writable and is filled. `asks`: whatever the table says; the second
/// time that it is filled.
// Frames of their own: what each takes of a small stack is given back before the next one.
#[inline(never)]
unsafe extern "C" fn prepare(
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
    asks: bool,
    plan: *mut Plan,
) {
    // SAFETY: as the caller promises; what asks has been filled the first time.
    let limit = if asks { unsafe { (*plan).limit } } else { Limit::NONE };
    let made = Plan {
        real: connect.get(),
        step: Step::Native,
        target: Address::empty(),
        cookie: 0,
        os: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
        port: 0,
        to_itself: false,
        was_v6only: false,
        dial: None,
        errno: Errno::last_raw(),
        late: 0,
        limit,
        slow: 0,
        to: (address, len),
    };
    // In its place at once: the stack may be small.
    // SAFETY: as the caller promises.
    let plan = unsafe {
        plan.write(made);
        &mut *plan
    };
    let mut made = Err(Failed::new(Errno::EIO, PANIC));
    // SAFETY: as the caller promises.
    let _ = guard(|| made = unsafe { plan_for(fd, address, len, asks, plan) });
    match made {
        Ok(None) => {}
        Ok(Some(why)) => {
            plan.step = Step::Native;
            silently(|| log::bypassed(plan.call(), why));
        }
        Err(failed) => plan.fail(failed),
    }
}

/// # Safety
/// As for connect(2).
unsafe fn plan_for(
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
    asks: bool,
    plan: &mut Plan,
) -> Result<Option<Bypass>, Failed> {
    if !process::is_active() {
        return Ok(Some(Bypass::Inactive));
    }
    let Some((to, family)) = memory::address(address, len) else {
        let unspecified = memory::family(address, len) == Some(libc::AF_UNSPEC);
        if unspecified && kernel::tcp_family(fd).is_some() {
            // Not by its mark: a copy, and what came by exec or in a message, has none.
            let local = kernel::local(fd).and_then(|a| a.os());
            let is_there = local.is_some_and(|os| process::may_be_ours(os.ip().to_ipv6_mapped()));
            if !is_there && !marks::get(fd) {
                return Ok(Some(Bypass::OtherSocket));
            }
            plan.os = local.unwrap_or(plan.os);
            plan.cookie = kernel::cookie(fd)?;
            if let Some(parts) = actor::mapped() {
                // First: as soon as it is done the addresses may be another's.
                shutting_down(parts, plan.cookie);
            }
            plan.step = Step::Disconnect;
            return Ok(None);
        }
        return Ok(Some(Bypass::NoAddress));
    };
    // SAFETY: as the caller promises.
    if unsafe { dns::redirect(fd, address, len, &raw mut plan.target) } {
        plan.step = Step::Instead;
        return Ok(None);
    }
    if let Err(why) = process::concerns(to.ip) {
        return Ok(Some(why));
    }
    if kernel::tcp_family(fd) != Some(family) {
        return Ok(Some(Bypass::OtherSocket));
    }
    let asked = kernel::asked(fd, family);
    plan.port = to.port;
    plan.cookie = kernel::cookie(fd)?;
    let mut local =
        kernel::local(fd).and_then(|a| a.os()).filter(|a| a.port() != 0 || !a.ip().is_unspecified());
    // lonetd would take it for a bound socket that dials.
    if local.is_some_and(|a| a.port() != 0) && kernel::listens(fd) {
        return Err(Errno::EISCONN.into());
    }
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    if local.is_none_or(|a| a.port() == 0) && table::was_left(&client, fd, plan.cookie) {
        local = None;
    }
    if let Some(os) =
        local.filter(|a| a.port() != 0).and_then(|_| table::arrived_at(&client, fd, plan.cookie, to))
    {
        plan.target = Address::of_os(os, family);
        plan.step = Step::Again;
        return Ok(None);
    }
    if !asks && table::plan(&client, fd, (family, asked), to, local, plan)? {
        return Ok(None);
    }
    let start = if process::is_certain(to.ip) { Start::Yes } else { Start::No };
    plan.limit = plan.limit.or_of_lonetd(TIME_LIMIT);
    let (cookie, limit) = (plan.cookie, plan.limit);
    let dial = |acts| ask_of(limit, &client, &Op::Dial { cookie, to, local, asked, acts }, start);
    let mut reply = dial(!asks && table::decides(&client, asked, local))?;
    if reply == Reply::Go {
        if table::plan(&client, fd, (family, asked), to, local, plan)? {
            return Ok(None);
        }
        reply = dial(false)?;
    }
    let (os, from, foreign) = match reply {
        Reply::Native => return Ok(Some(Bypass::LeftByLonetd)),
        Reply::ConnectTo { to, from } => (to, from, false),
        Reply::DialForeign { to, from } => (to, from, true),
        _ => return Err(Errno::ENETDOWN.into()),
    };
    let refused = process::block().is_some_and(|b| *os.ip() == b.stack());
    let socket = sandbox::Socket { client: &client, limit: plan.limit, fd, cookie: plan.cookie };
    set_out(&socket, (family, asked), from, to.port)?;
    valve::before_connect(&client, fd, cookie, Some(to));
    plan.was_v6only = refused && asked.v6only;
    if plan.was_v6only {
        set_v6only(fd, false);
    }
    plan.target = Address::of_os(os, family);
    plan.os = os;
    plan.to_itself = local == Some(os);
    plan.step = match (foreign, refused) {
        (true, _) => Step::Foreign,
        (false, true) => Step::Refusal,
        (false, false) => Step::Dial,
    };
    if !refused && local.is_some() && !given::is_empty() {
        name::named(fd).local.into_iter().for_each(given::is_used);
    }
    Ok(None)
}

/// Puts a socket where lonetd says that its dial to this port is to come from.
pub fn set_out(
    socket: &sandbox::Socket<'_>,
    (family, asked): (c_int, Asked),
    from: Option<Ipv4Addr>,
    port: u16,
) -> Result<(), Errno> {
    let fd = socket.fd;
    let call = |at: &Address| socket.bind(at, || sandbox::may_connect(port));
    match from.map_or(Ok(()), |ip| kernel::bind_address(fd, family, ip, asked, &call)) {
        // EINVAL: the program bound it before lonet had a say; it dials from there.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(e) => {
            tell_of(socket.limit, socket.client, socket.cookie, None, e as i32);
            return Err(e);
        }
    }
    marks::set(fd);
    Ok(())
}

fn tell_of(limit: Limit, client: &Client, cookie: u64, from: Option<SocketAddrV4>, errno: i32) {
    tell_to(limit, client, &Op::Dialed { cookie, from, errno });
}

/// Tells lonetd what came of a connect to `os` that ended with `errno`; the errno that the program gets.
pub fn arrived(limit: Limit, client: &Client, fd: c_int, cookie: u64, os: SocketAddrV4, errno: i32) -> i32 {
    let source = kernel::source(fd);
    if source == Some(os) {
        // The listener has gone and the kernel chose its port for the source: the socket would talk to itself.
        kernel::disconnect(fd, cookie);
        tell_of(limit, client, cookie, None, libc::ECONNREFUSED);
        return libc::ECONNREFUSED;
    }
    tell_of(limit, client, cookie, source, errno);
    errno
}

/// Tells lonetd what came of it; the result and errno that the program gets.
#[inline(never)]
extern "C" fn finish(fd: c_int, result: c_int, plan: &Plan) -> c_int {
    let failed_now = result != 0 && plan.step != Step::Fail;
    let mut errno = if failed_now { Errno::last_raw() } else { plan.errno };
    let mut result = result;
    silently(|| {
        let Some(client) = process::client() else { return };
        match plan.step {
            Step::Disconnect if result == 0 => {
                let is_certain = process::is_certain(plan.os.ip().to_ipv6_mapped());
                let start = if is_certain { Start::Yes } else { Start::No };
                let _ = ask_of(plan.limit, &client, &Op::Disconnected { cookie: plan.cookie }, start);
            }
            Step::Dial => {
                let outcome = if result == 0 { 0 } else { errno };
                let told = if plan.to_itself {
                    tell_of(plan.limit, &client, plan.cookie, kernel::source(fd), outcome);
                    outcome
                } else {
                    arrived(plan.limit, &client, fd, plan.cookie, plan.os, outcome)
                };
                if told != outcome {
                    (result, errno) = (-1, told);
                }
            }
            // A socket that has a port stays open to IPv4.
            Step::Refusal if plan.was_v6only => set_v6only(fd, true),
            _ => {}
        }
        if plan.late != 0 && result == 0 {
            (result, errno) = (-1, plan.late);
        }
    });
    silently(|| report(plan, result, errno, failed_now));
    Errno::set_raw(errno);
    result
}

/// The log's line.
#[inline(never)]
fn report(plan: &Plan, result: c_int, errno: i32, by_kernel: bool) {
    let outcome = if result == 0 { Ok(()) } else { Err(Errno::from_raw(errno)) };
    match plan.step {
        // What was planned to fail has its line.
        Step::Fail | Step::Native => {}
        Step::Instead => log::ended(plan.call(), outcome, format_args!("lonetd is the name server")),
        _ if errno == libc::ECONNREFUSED && by_kernel => log::refused(plan.call()),
        _ if plan.slow != 0 => {
            let why = format_args!("relayed, as the peer has not answered within {} ms", plan.slow);
            log::ended(plan.call(), outcome, why);
        }
        _ => log::ended(plan.call(), outcome, format_args!("")),
    }
}

fn set_v6only(fd: c_int, value: bool) {
    let _ = lonet_core::sys::setsockopt(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &i32::from(value));
}
