//! The database file registry.db, in the network's directory and nowhere else.

use super::trouble::Trouble;
use super::{Place, vfs};
use lonet_core::directory::Directory;
use nix::fcntl::{FcntlArg, fcntl};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use std::ffi::CStr;
use std::fs::File;
use std::time::Duration;

const SCHEMA: &str = "lonet.1";

pub const NAME: &CStr = c"registry.db";

/// The files that SQLite has beside it.
const BESIDE: [&CStr; 3] = [c"registry.db-wal", c"registry.db-shm", c"registry.db-journal"];

/// The bytes of a database file that SQLite locks for reading or writing: offset and length.
const SQLITE_LOCKS: (i64, i64) = (0x4000_0000, 512);

/// Removes a database that is not needed, with the files beside it, unless a process has a lock on it, as
/// every connection has in WAL mode. It follows SQLite's locking protocol without SQLite, which would make
/// the file before it finds that it cannot write a byte, on a full disk for example, and would write the
/// first page of an empty database as soon as it has the lock.
pub fn remove_unless_open(directory: &Directory, is_unneeded: impl Fn(&File) -> bool) {
    let Ok(file) = directory.file(NAME, libc::O_RDWR) else { return };
    // SAFETY: all zeroes is a lock's description.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    (lock.l_start, lock.l_len) = SQLITE_LOCKS;
    if is_unneeded(&file) && fcntl(&file, FcntlArg::F_SETLK(&lock)).is_ok() && is_unneeded(&file) {
        for name in [c"registry.db-wal", c"registry.db-shm", NAME] {
            let _ = directory.remove(name);
        }
    }
}

/// Opens a connection to the database in the network's directory, wherever the path leads by now.
pub fn connect(directory: &Directory, flags: OpenFlags) -> Result<Connection, Trouble> {
    // SQLite would block on a FIFO. Only the owner can put files here between the check and the use.
    for name in std::iter::once(&NAME).chain(&BESIDE) {
        if !directory.is_file_or_nothing(name) {
            let name = name.to_string_lossy();
            return Err(Trouble::Refused(format!("{name} is no regular file of the network's owner")));
        }
    }
    let vfs = vfs::name().ok_or_else(|| Trouble::Refused("registry.db: SQLite has no VFS".into()))?;
    let path = format!("/proc/self/fd/{}/registry.db", directory.raw());
    Ok(Connection::open_with_flags_and_vfs(path, flags, vfs)?)
}

/// Opens or makes the database, and checks that it is this network's.
pub fn open(place: &Place, directory: &Directory) -> Result<Connection, Trouble> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(directory, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    if is_new(&connection)? {
        // This saves five syncs for a file without contents.
        connection.pragma_update(None, "synchronous", "OFF")?;
        // As in the reference implementation. An existing database keeps its mode.
        connection.query_row("PRAGMA journal_mode = WAL", [], |r| r.get::<_, String>(0))?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if is_new(&tx)? {
            tx.execute_batch(
                "CREATE TABLE hosts (hostname TEXT NON NULL PRIMARY KEY, osladdr TEXT NON NULL);
                 CREATE TABLE meta (name TEXT NON NULL PRIMARY KEY, value TEXT NON NULL);",
            )?;
            let mut insert = tx.prepare("INSERT INTO meta (name, value) VALUES (?1, ?2)")?;
            insert.execute(("schemaver", SCHEMA))?;
            insert.execute(("network", &place.network))?;
        }
        tx.commit()?;
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    for (name, what, want) in
        [("schemaver", "schema version", SCHEMA), ("network", "network name", &place.network)]
    {
        let have = meta(&connection, name)?;
        if have != want {
            return Err(Trouble::Refused(format!(
                "registry.db: {what} mismatch: want {want:?}; have {have:?}"
            )));
        }
    }
    Ok(connection)
}

pub fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_master WHERE type = 'table'", [], |r| r.get(0))
}

/// A value of the table `meta`, empty if there is none.
fn meta(connection: &Connection, name: &str) -> Result<String, Trouble> {
    let there = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('hosts', 'meta')";
    if connection.query_row(there, [], |r| r.get::<_, i64>(0))? < 2 {
        return Ok(String::new());
    }
    let value = connection
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |r| {
            Ok(r.get_ref(0)?.as_str().unwrap_or_default().to_owned())
        })
        .optional()?;
    Ok(value.unwrap_or_default())
}
