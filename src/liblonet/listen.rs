//! The hook of listen(2).

use crate::ask::{self, Start, tell_to};
use crate::bind::{BindOutcome, bind_assigned};
use crate::bypass::Bypass;
use crate::hook::{Decision, HookResult};
use crate::log::About;
use crate::{actor, autobound, descriptor_hints, kernel, name, process};
use libc::c_int;
use lonet_core::control::Op;
use nix::errno::Errno;

hook! {
    unsafe fn listen(fd: c_int, backlog: c_int) -> c_int => lonet_listen_hook decides(About::Socket(fd)) |real| {
        on_network(fd, &real)
    }
}

fn on_network(fd: c_int, real: &dyn Fn() -> c_int) -> HookResult {
    if !process::is_active() {
        return Ok(Decision::Libc(Bypass::Inactive));
    }
    // listen again, for another backlog; lonetd knows the listener.
    if kernel::listens(fd) {
        return Ok(Decision::Libc(Bypass::Listens));
    }
    let Some(local) = kernel::local(fd).and_then(|a| a.endpoint()) else {
        return Ok(Decision::Libc(Bypass::OtherSocket));
    };
    let bound = local.port != 0;
    if bound && !process::may_be_ours(local.ip) {
        return Ok(Decision::Libc(Bypass::OtherAddress));
    }
    if !bound && !process::is_host() {
        return Ok(Decision::Libc(Bypass::NoHost));
    }
    let Some(family) = kernel::tcp_family(fd) else { return Ok(Decision::Libc(Bypass::OtherSocket)) };
    // lonetd would remove the connection from its record.
    if bound && kernel::has_connection(fd) {
        return Ok(Decision::Fail(Errno::EINVAL));
    }
    let asked = kernel::asked(fd, family);
    let cookie = kernel::cookie(fd)?;
    let start = if process::is_certain(local.ip) { Start::Yes } else { Start::No };
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    let mut limit = ask::limit();
    // Dialers must be able to see whether the listener's process is alive.
    let _ = actor::actor(&client, false, &mut limit);
    let request = |attempt| Op::Listen { cookie, bound, asked, attempt };
    // No sandbox forbids a port that the kernel chooses.
    match bind_assigned(limit, &client, fd, (family, asked), request, &|| true, start)? {
        BindOutcome::Native => return Ok(Decision::Libc(Bypass::LeftByLonetd)),
        BindOutcome::Already => {}
        BindOutcome::At { os, .. } => tell_to(limit, &client, &Op::Bound { cookie, os }),
    }
    descriptor_hints::set(fd);
    if real() == 0 {
        tell_to(limit, &client, &Op::Listening { cookie });
        if bound && !autobound::is_empty() {
            name::named(fd, &mut limit).local.into_iter().for_each(autobound::record_listen);
        }
        return Ok(Decision::Done(0));
    }
    let errno = Errno::last();
    tell_to(limit, &client, &Op::Failed { cookie });
    Ok(Decision::Fail(errno))
}
