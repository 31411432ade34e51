//! Queries and updates of the rows of registry.db.
//!
//! Nothing here waits for a lock: [`Trouble::Busy`] asks the caller to retry.

use super::Place;
use super::file::{self, connect, is_new, remove_unless_open};
use super::trouble::Trouble;
use crate::daemon::host_names;
use lonet_core::diag::{Diag, NOBODY};
use lonet_core::directory::Directory;
use lonet_core::handshake::{DialRequest, LineBuf, Reply, WireAddr};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the probe of a row's owner waits for a reply. An owner that does not reply counts as alive.
const PROBE: Duration = Duration::from_millis(300);

/// How long a killed lonetd may still have the database open.
const EXIT_TIMEOUT: Duration = Duration::from_millis(200);

/// A host of another subnetwork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As its owner spells it.
    pub name: String,
    pub os: SocketAddrV4,
}

/// The result of an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Announced,
    /// Another subnetwork, which is alive, has the name.
    Taken {
        by: SocketAddrV4,
    },
    /// The database is another network's, or of another schema, or the name's row makes no sense: the reason.
    Refused(String),
    /// It could not be written: the reason.
    Failed(String),
}

/// The value of a row.
enum Address {
    Os(SocketAddrV4),
    /// Not an address that can be connected to: the value, for messages.
    Odd(String),
}

impl Address {
    fn read(value: ValueRef<'_>) -> Address {
        let text = match value {
            ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            ValueRef::Null => return Address::Odd("NULL".into()),
            ValueRef::Integer(n) => return Address::Odd(n.to_string()),
            ValueRef::Real(n) => return Address::Odd(n.to_string()),
            ValueRef::Blob(bytes) => return Address::Odd(format!("a blob of {} bytes", bytes.len())),
        };
        match text.parse::<SocketAddrV4>() {
            Ok(os) if os.ip().is_loopback() && os.port() != 0 => Address::Os(os),
            _ => Address::Odd(format!("{text:?}")),
        }
    }

    fn of(self, name: &str) -> Result<SocketAddrV4, Trouble> {
        match self {
            Address::Os(os) => Ok(os),
            Address::Odd(value) => Err(Trouble::Refused(format!(
                "registry.db: the row of host {name:?} has the address {value}, expected 127.x.y.z:port"
            ))),
        }
    }
}

/// The database, opened on first use.
pub struct Database {
    place: Place,
    /// The connection with its directory: SQLite reaches its other files by the number of that descriptor.
    open: Option<(Connection, Arc<Directory>)>,
}

impl Database {
    pub fn new(place: Place) -> Database {
        Database { place, open: None }
    }

    fn connection(&mut self) -> Result<&mut Connection, Trouble> {
        if self.open.is_none() {
            let directory = self.place.directory.get();
            self.open = Some((file::open(&self.place, &directory)?, directory));
        }
        self.open.as_mut().map(|(connection, _)| connection).ok_or(Trouble::Busy)
    }

    /// Inserts a row, or takes over the row of an owner that has gone.
    pub fn announce(&mut self, name: &str) -> Result<Verdict, Trouble> {
        let (own, network) = (self.place.own, self.place.network.clone());
        // Another process may insert the name between the probe and the update; an owner that does so a third
        // time is alive.
        for _ in 0..3 {
            let tx = self.connection()?.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let Some((holder, address)) = spelled_alike(&tx, name, own)? else {
                let insert = "INSERT INTO hosts (hostname, osladdr) VALUES (?1, ?2) \
                              ON CONFLICT (hostname) DO UPDATE SET osladdr = excluded.osladdr";
                tx.prepare_cached(insert)?.execute((name, own.to_string()))?;
                tx.commit()?;
                return Ok(Verdict::Announced);
            };
            drop(tx);
            let os = match address.of(&holder) {
                Ok(os) => os,
                Err(trouble) => return Ok(Verdict::Refused(trouble.to_string())),
            };
            if lives(os, &network, &holder) {
                return Ok(Verdict::Taken { by: os });
            }
            let delete = "DELETE FROM hosts WHERE hostname = ?1 AND osladdr = ?2";
            let gone = self.connection()?.prepare_cached(delete)?.execute((&holder, os.to_string()))?;
            if gone > 0 {
                tracing::info!("registry.db: host {holder:?} was at {os}, where nobody answers: reclaimed");
            }
        }
        Ok(Verdict::Failed(format!("registry.db: others keep taking the name {name:?}")))
    }

    /// Removes the row, if it is this subnetwork's.
    pub fn withdraw(&mut self, name: &str) -> Result<(), Trouble> {
        let own = self.place.own.to_string();
        let delete = "DELETE FROM hosts WHERE hostname = ?1 AND osladdr = ?2";
        self.connection()?.prepare_cached(delete)?.execute((name, own))?;
        Ok(())
    }

    /// Removes every row of this subnetwork's, also of its previous lonetd.
    pub fn sweep(&mut self) -> Result<(), Trouble> {
        let own = self.place.own.to_string();
        let former = self.place.former.map_or_else(String::new, |ip| format!("{ip}:"));
        let delete = "DELETE FROM hosts WHERE osladdr = ?1 OR ?2 != '' AND instr(osladdr, ?2) = 1";
        let n = self.connection()?.execute(delete, [own, former])?;
        if n > 0 {
            tracing::info!("registry.db: {n} rows of hosts that are gone reclaimed");
        }
        Ok(())
    }

    /// The host of another subnetwork with this name, in any spelling.
    pub fn find(&mut self, name: &str) -> Result<Option<Row>, Trouble> {
        let own = self.place.own;
        match spelled_alike(self.connection()?, name, own)? {
            Some((name, address)) => Ok(Some(Row { os: address.of(&name)?, name })),
            None => Ok(None),
        }
    }

    /// The hosts of other subnetworks, in the order in which they were announced, without those whose owners
    /// have gone and those whose rows make no sense.
    pub fn others(&mut self) -> Result<Vec<Row>, Trouble> {
        let own = self.place.own;
        let mut all = Vec::new();
        {
            let connection = self.connection()?;
            let mut rows = connection.prepare_cached("SELECT hostname, osladdr FROM hosts ORDER BY rowid")?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                if let (Ok(name), Address::Os(os)) =
                    (row.get_ref(0)?.as_str(), Address::read(row.get_ref(1)?))
                    && os != own
                {
                    all.push(Row { name: name.to_owned(), os });
                }
            }
        }
        let mut asked = std::collections::BTreeMap::new();
        all.retain(|row| *asked.entry(row.os).or_insert_with(|| somebody_listens(row.os)));
        Ok(all)
    }

    /// Closes the database, and removes it if it has no host and no other process has it open.
    pub fn leave(&mut self) {
        let until = Instant::now() + EXIT_TIMEOUT;
        if self.open.is_some() {
            // A host may have gone before its announcement was answered: its row was not withdrawn then.
            let _ = retry_until(until, || self.sweep());
        }
        let count = |c: &Connection| c.query_row("SELECT count(*) FROM hosts", [], |r| r.get::<_, i64>(0));
        let Some((connection, directory)) = self.open.take() else {
            let directory = &self.place.directory.get();
            let is_empty = |file: &File| file.metadata().is_ok_and(|m| m.len() == 0);
            // It is incomplete: there was no space for its tables.
            let has_no_tables = directory.file(file::NAME, libc::O_RDONLY).is_ok_and(|file| !is_empty(&file))
                && connect(directory, OpenFlags::SQLITE_OPEN_READ_WRITE)
                    .is_ok_and(|c| is_new(&c) == Ok(true));
            return remove_unless_open(directory, |file| has_no_tables || is_empty(file));
        };
        let directory = &directory;
        let before = count(&connection);
        if before == Ok(0) {
            // What is about to be removed need not be on the disk, which may be busy.
            let _ = connection.pragma_update(None, "synchronous", "OFF");
        }
        // SQLite lets only the sole connection leave WAL. The rows are counted by a new connection after
        // that: the old one's cache may be older than the last writes of others.
        let alone = || -> Result<(), Trouble> {
            retry_until(until, || Ok(connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?))?;
            drop(connection);
            let connection = connect(directory, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.execute_batch("BEGIN EXCLUSIVE")?;
            let mode: String = connection.query_row("PRAGMA journal_mode", [], |r| r.get(0))?;
            if mode == "delete" && count(&connection)? == 0 {
                // This is done under the lock: a process that waits for it finds no database and makes one.
                let _ = directory.remove(file::NAME);
            }
            Ok(())
        };
        match alone() {
            Ok(()) => {}
            // On a full disk the last connection cannot leave WAL. No other process can have written anything
            // either.
            Err(Trouble::Sqlite(e))
                if e.sqlite_error_code() == Some(ErrorCode::DiskFull) && before == Ok(0) =>
            {
                remove_unless_open(directory, |_| true);
            }
            Err(trouble) => tracing::info!("registry.db stays, others use it: {trouble}"),
        }
    }
}

/// Retries `attempt` until then while the database is in use: a killed lonetd has it open until it has
/// exited.
fn retry_until<T>(until: Instant, mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
    loop {
        match attempt() {
            Err(Trouble::Busy) if Instant::now() < until => std::thread::sleep(EXIT_TIMEOUT / 20),
            result => return result,
        }
    }
}

/// The row of another subnetwork's host whose name is `name`, or another spelling of it.
fn spelled_alike(
    connection: &Connection,
    name: &str,
    own: SocketAddrV4,
) -> Result<Option<(String, Address)>, Trouble> {
    let theirs = |address: &Address| !matches!(address, Address::Os(os) if *os == own);
    let exact = connection
        .prepare_cached("SELECT osladdr FROM hosts WHERE hostname = ?1")?
        .query_row([name], |r| Ok(Address::read(r.get_ref(0)?)))
        .optional()?;
    if let Some(address) = exact.filter(theirs) {
        return Ok(Some((name.to_owned(), address)));
    }
    let Some(key) = host_names::fold(name.as_bytes()) else { return Ok(None) };
    let mut others =
        connection.prepare_cached("SELECT hostname, osladdr FROM hosts WHERE osladdr IS NOT ?1")?;
    let mut rows = others.query([own.to_string()])?;
    while let Some(row) = rows.next()? {
        let Ok(spelled) = row.get_ref(0)?.as_str() else { continue };
        if host_names::fold(spelled.as_bytes()).is_some_and(|k| k == key) {
            return Ok(Some((spelled.to_owned(), Address::read(row.get_ref(1)?))));
        }
    }
    Ok(None)
}

/// Whether a socket listens at this address. The kernel is asked first: a connection without a request is a
/// nuisance to the program that accepts it.
fn somebody_listens(os: SocketAddrV4) -> bool {
    let listener = Diag::open().and_then(|d| d.lookup(os, NOBODY));
    matches!(listener, Ok(Some(_))) || TcpStream::connect_timeout(&SocketAddr::V4(os), PROBE).is_ok()
}

/// Whether a lonetd or peer of the network is at this address. None is if nothing listens there; if another
/// network replies, the address has been reused. One that cannot be asked, or sends another reply, counts as
/// alive.
fn lives(os: SocketAddrV4, network: &str, host: &str) -> bool {
    let mut stream = match TcpStream::connect_timeout(&SocketAddr::V4(os), PROBE) {
        Ok(stream) => stream,
        Err(e) => return e.kind() != std::io::ErrorKind::ConnectionRefused,
    };
    let _ = stream.set_read_timeout(Some(PROBE));
    let nobody = WireAddr { host: host.as_bytes().to_vec(), port: 0 };
    let network = [b"lonet", network.as_bytes()].concat();
    // Nothing listens on port 0: the reply is a refusal, and nothing else happens there.
    let request = DialRequest { network, src: nobody.clone(), dst: nobody };
    if stream.write_all(&request.to_line()).is_err() {
        return true;
    }
    let mut line = LineBuf::default();
    loop {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => {}
            _ => return true,
        }
        if let Some(line) = line.push(&byte) {
            let mismatch = b"protocol error: network mismatch";
            return !matches!(Reply::parse(line, &request), Ok(Reply::Error(text)) if text == mismatch);
        }
    }
}
