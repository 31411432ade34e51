//! Errors of reading or writing registry.db.

use rusqlite::ErrorCode;

#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("registry.db is locked by another process")]
    Busy,
    #[error("{0}")]
    Refused(String),
    #[error("registry.db: {0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(e: rusqlite::Error) -> Trouble {
        match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Busy,
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Trouble::Refused(format!("registry.db: {e}"))
            }
            _ => Trouble::Sqlite(e),
        }
    }
}
