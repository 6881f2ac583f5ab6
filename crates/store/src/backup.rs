//! Copies of a SQLite database while a mall serves it, and reading of a file that nobody serves.
//!
//! A copy is made over a connection of its own. It reads one snapshot of the write-ahead log, so that
//! it neither waits for the mall's writer nor holds it up, however much is written meanwhile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection};

use crate::engine::{Conn, Tx};
use crate::error::{Result, StoreError};

/// How long a copy waits for a database that is just being opened by others.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Only SQLite knows it.
pub(crate) const COPY: &str = "VACUUM INTO $1";

/// The file behind a database's URL; `None` where PostgreSQL holds it.
pub fn sqlite_file(url: &str) -> Result<Option<PathBuf>> {
    if !url.starts_with("sqlite:") {
        return Ok(None);
    }
    let options: SqliteConnectOptions = url.parse()?;
    Ok(Some(options.get_filename().to_owned()))
}

/// Copies a database as it is at this moment into `to`, which is empty or not there. Nothing is known
/// to be on disk yet: SQLite leaves that to the caller.
pub async fn copy_sqlite(file: &Path, to: &Path) -> Result<()> {
    let to = to
        .to_str()
        .ok_or_else(|| StoreError::Unfit(format!("the name of {} is not UTF-8", to.display())))?;
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let copied = sqlx::query(COPY).bind(to).execute(&mut connection).await;
    connection.close().await?;
    copied?;
    Ok(())
}

/// Opens a database that no process has open, for reading only: the file is not changed, and no log
/// beside it is looked at.
pub async fn read_file(file: &Path) -> Result<Tx> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .read_only(true)
        .immutable(true)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    Ok(Tx::on(Conn::SqliteRead(pool.acquire().await?)))
}
