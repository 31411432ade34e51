//! lonetd, the daemon of a network: one for each network and user. It decides what needs one authority, and
//! cleans up after processes that have ended.
//!
//! Theory of operation: one thread runs a state machine ([`state`]) on the same table that the network's
//! processes use ([`lonet_core::table`]). [`serve`] passes it the messages and the kernel's announcements in
//! the order in which they happened, and sends its replies. lonetd is started by the first program that needs
//! it, under the lock file of the network's directory, and exits after the network has been empty for a few
//! seconds. It removes its sockets and files under the same lock, so that a program which starts just then
//! finds either a lonetd that serves or none.

mod control_sockets;
mod current_directory;
mod dns;
pub mod faults;
mod foreign;
mod holders;
pub mod host_names;
mod in_place;
mod kernel;
mod log;
mod members;
mod owner;
pub mod process;
mod reach;
mod registry;
mod reserved_block;
mod serve;
mod setup;
pub mod state;
mod store;
mod tally;
pub mod trace;

use current_directory::CurrentDirectory;
use lonet_core::config::{Config, Membership};
use lonet_core::diag::Destroyed;
use lonet_core::directory::Place;
use lonet_core::launch::{READY, READY_FD};
use owner::Owner;
use setup::SetupError;
use std::fs::File;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::process::ExitCode;

/// How lonetd was started.
pub struct Start {
    pub config: Config,
    /// A program started it and waits on the readiness pipe.
    pub on_demand: bool,
    /// Stay in the foreground and write the log to stderr.
    pub foreground: bool,
}

/// Serves the network until it has been empty for a while.
///
/// `lock`: the start lock of a lonetd that was started by hand; it is released as soon as lonetd serves.
pub fn run(start: Start, lock: Option<lonet_core::lock::Lock>) -> ExitCode {
    let pipe = start.on_demand.then(|| {
        // SAFETY: a program that starts lonetd on demand passes it this descriptor.
        unsafe { File::from_raw_fd(READY_FD) }
    });
    match prepare(&start) {
        Ok(mut daemon) => {
            drop(lock);
            match pipe {
                Some(mut pipe) => {
                    let _ = pipe.write_all(READY);
                }
                None => error_line!("lonetd: serving network {:?}", start.config.network),
            }
            match daemon.serve() {
                Ok(()) => ExitCode::SUCCESS,
                Err(e) => {
                    tracing::error!("lonetd ends: {e}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(e) => {
            tracing::error!("lonetd cannot start: {e}");
            match pipe {
                Some(mut pipe) => {
                    let _ = pipe.write_all(format!("{e}\0").as_bytes());
                }
                None => error_line!("lonet: {e}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// Whether a lonetd that is started here would refuse to serve, as the network's programs live in another network namespace.
pub fn lives_elsewhere(config: &Config) -> bool {
    let owner = Owner::here();
    let directory = Place::new(&config.dir).open(owner.uid());
    match (directory, reserved_block::network_namespace()) {
        (Ok(directory), Ok(netns)) => members::live_elsewhere(config, &directory, owner, netns),
        _ => false,
    }
}

fn prepare(start: &Start) -> Result<serve::Daemon, SetupError> {
    let config = &start.config;
    let owner = Owner::here();
    let place = Place::new(&config.dir);
    let directory = CurrentDirectory::new(place.open(owner.uid()).map_err(SetupError::Directory)?);
    open_log(start, &directory)?;
    if !start.foreground {
        setup::detach()?;
    }
    setup::check_descriptors()?;
    let netns = reserved_block::network_namespace()?;
    if members::live_elsewhere(config, &directory.get(), owner, netns) {
        return Err(SetupError::OtherNetworkNamespace);
    }
    // From here on messages are received; the effects of those that were sent before are visible in the
    // kernel. A second lonetd ends here, before it touches anything.
    let here = directory.get();
    let mut service = control_sockets::take_service(&here)?;
    let key = setup::key(&mut service)?;
    let sockets = control_sockets::open(&here, &key, &config.network)?;
    in_place::write_in_place(&here);
    let (store, previous) = store::Store::open(&here, netns).map_err(setup::os("map the table"))?;
    // It lives as long as the process.
    let store: &'static store::Store = Box::leak(Box::new(store));
    let former = previous.as_ref().map(|previous| previous.block.stack());
    let had = previous.filter(|previous| previous.is_here).map(|previous| previous.block);
    let reserved = reserved_block::take_block(&config.network, had)?;
    let destroyed = Destroyed::open()
        .and_then(|d| d.only(reserved.block).map(|()| d))
        .inspect_err(|e| tracing::warn!("the ends of sockets are not announced: {e}"))
        .ok();
    let mut kernel = kernel::Live::new(reserved.lock_address, reserved.shows_bound);
    store.begin(reserved.block, setup::ephemeral_ports());
    let table = Box::new(store);
    let whose = owner.if_told_by_number();
    let mut state = state::State::new(table, whose, reserved.refuser_address, setup::ephemeral_ports());
    let mut recorded = Vec::new();
    if had.is_some() {
        // Of those that have ended, the table may have nothing afterwards.
        if state.is_recorded() {
            recorded = state.connections_left();
        }
        let kernel_sockets = kernel.kernel_sockets(reserved.block);
        state.restore(&mut kernel, state::Saved::of(store.table()), kernel_sockets.as_ref());
        if let Some(kernel_sockets) = &kernel_sockets {
            store.table().retain_hops(|cookie| kernel_sockets.contains_key(&cookie));
        }
        tracing::info!("restored {} sockets from the previous lonetd", state.sockets.len());
    }
    tracing::info!(network = config.network, block = %format!("127.{}.0.0/16", reserved.block.number()), "serving");
    serve::Daemon::new(serve::Parts {
        state,
        kernel,
        store,
        reserved,
        former,
        service,
        control_sockets: sockets,
        destroyed,
        place,
        directory,
        config: config.clone(),
        owner,
        membership: Membership { owner: owner.uid(), key },
        netns,
        recorded,
    })
}

/// The log: `<net>/log`, or stderr in the foreground.
fn open_log(start: &Start, directory: &CurrentDirectory) -> Result<(), SetupError> {
    let builder = tracing_subscriber::fmt().with_ansi(false).event_format(log::Lines::default());
    if start.foreground {
        builder.with_writer(std::io::stderr).init();
        return Ok(());
    }
    let log = log::Log::open(directory);
    let log = log.map_err(setup::os("open the log, a regular file of the network's owner"))?;
    builder.with_writer(std::sync::Mutex::new(log)).init();
    Ok(())
}
