//! The two engines behind one face: connections, transactions, and the dispatch of statements.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{
    ConnectOptions, Connection, Executor, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
};

use crate::error::{Result, StoreError};
use crate::waits::AllWaits;

/// The oldest SQLite that does not lose commits when its write-ahead log is reset.
pub(crate) const SQLITE_VERSION_MIN: [u32; 3] = [3, 51, 3];
/// Readers of a SQLite database, beside its one writer.
const SQLITE_READERS: u32 = 4;
/// How much of the file the writer keeps in memory, in KiB below zero: orders of a million SIMs touch pages all
/// over its indexes. Taken only as it is needed.
const SQLITE_WRITER_CACHE: &str = "-131072";
/// After how many pages of the write-ahead log the writer itself puts them into the file, so that the log begins anew:
/// 128 MiB. By then [`Store::checkpoint`] has left it little to do.
const SQLITE_CHECKPOINT_PAGES: &str = "32000";
/// How many prepared statements a connection to SQLite keeps: a batch has a text for each number of rows.
const SQLITE_STATEMENTS: usize = 512;
/// How many rows SQLite's thread reads ahead of whoever asked for them, so that the two do not take turns.
const SQLITE_ROWS: usize = 512;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to PostgreSQL that was used more recently is taken for good without a look: that look is a
/// round trip before every transaction.
const IDLE_UNTESTED: Duration = Duration::from_secs(1);

/// What every session with PostgreSQL begins with. Statements are prepared once, and a plan may be kept that was made when
/// a table was empty: reading it whole was cheapest then, and is not once it has grown. Every statement that is in a hurry
/// has an index to go by. What none helps is planned as dear as can be, and not worth a compiler for that.
const POSTGRES_SESSION: &str = "SET enable_seqscan = off; SET jit = off";

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// SQLite, inside the process.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// How to open a database.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether to create a SQLite file that is not there.
    pub create: bool,
    /// The most connections to PostgreSQL.
    pub connections_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { create: false, connections_max: 16 }
    }
}

/// An open database.
#[derive(Debug, Clone)]
pub struct Store(pub(crate) Pools, pub(crate) Arc<AllWaits>);

#[derive(Debug, Clone)]
pub(crate) enum Pools {
    /// SQLite has one writer: eight of them gave waits over a second, one gives milliseconds.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// A transaction, or a connection that only reads. Dropped without [`Tx::commit`] it changes nothing.
pub struct Tx {
    pub(crate) conn: Conn,
    after_commit: Vec<AfterCommit>,
    /// Whether a version was raised by which nodes know whether what they remember still holds.
    pub(crate) has_raised: bool,
}

/// What is done once a transaction is durable.
type AfterCommit = Box<dyn FnOnce() + Send + Sync>;

#[derive(Debug)]
pub(crate) enum Conn {
    SqliteTx(Transaction<'static, Sqlite>),
    SqliteRead(PoolConnection<Sqlite>),
    PgTx(Transaction<'static, Postgres>),
    PgRead(PoolConnection<Postgres>),
}

impl Store {
    /// Opens `sqlite://PATH` (three slashes for an absolute path) or `postgres://…`.
    pub async fn connect(url: &str, options: Options) -> Result<Self> {
        if url.starts_with("sqlite:") {
            Self::connect_sqlite(url, options).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let connect: PgConnectOptions = url.parse()?;
            let server = format!("{}:{}", connect.get_host(), connect.get_port());
            let pool = PgPoolOptions::new()
                .max_connections(options.connections_max)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        connection.execute(POSTGRES_SESSION).await?;
                        Ok(())
                    })
                })
                .before_acquire(|connection, meta| {
                    Box::pin(async move {
                        if meta.idle_for >= IDLE_UNTESTED {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
                .connect_with(connect.disable_statement_logging())
                .await;
            let pool = pool.map_err(|error| match error {
                // The pool knocks again and again, and at last no longer knows why it was in vain.
                sqlx::Error::PoolTimedOut => StoreError::Unfit(format!(
                    "PostgreSQL at {server} took no connection for {} seconds",
                    ACQUIRE_TIMEOUT.as_secs()
                )),
                other => other.into(),
            })?;
            Ok(Self(Pools::Postgres(pool), Arc::default()))
        } else {
            let why = "the database URL must begin with sqlite:// or postgres://";
            Err(StoreError::Unfit(why.to_owned()))
        }
    }

    async fn connect_sqlite(url: &str, options: Options) -> Result<Self> {
        let connect = url
            .parse::<SqliteConnectOptions>()?
            .create_if_missing(options.create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(SQLITE_STATEMENTS)
            .row_buffer_size(SQLITE_ROWS)
            .pragma("wal_autocheckpoint", SQLITE_CHECKPOINT_PAGES)
            .disable_statement_logging();
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // Nothing can break between a file and its process.
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let file = connect.get_filename().to_owned();
        let wide = connect.clone().pragma("cache_size", SQLITE_WRITER_CACHE);
        let writer = pool(1).connect_with(wide).await;
        let writer = writer.map_err(|error| cannot_open(&file, &error))?;
        let version: String =
            sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&writer).await?;
        let parts: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
        if parts[..] < SQLITE_VERSION_MIN[..] {
            return Err(StoreError::Unfit(format!(
                "SQLite {version} can lose commits; version 3.51.3 or newer is needed"
            )));
        }
        let readers = pool(SQLITE_READERS).connect_with(connect.create_if_missing(false)).await?;
        Ok(Self(Pools::Sqlite { writer, readers }, Arc::default()))
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match self.0 {
            Pools::Sqlite { .. } => Engine::Sqlite,
            Pools::Postgres(_) => Engine::Postgres,
        }
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> Result<Tx> {
        Ok(Tx::on(match &self.0 {
            Pools::Sqlite { writer, .. } => {
                let begin = writer.begin_with("BEGIN IMMEDIATE");
                Conn::SqliteTx(self.1.write.during(begin).await?)
            }
            Pools::Postgres(pool) => Conn::PgTx(self.1.write.during(pool.begin()).await?),
        }))
    }

    /// A connection for reading: each statement sees what is committed when it runs.
    pub async fn read(&self) -> Result<Tx> {
        Ok(Tx::on(match &self.0 {
            Pools::Sqlite { readers, .. } => {
                Conn::SqliteRead(self.1.read.during(readers.acquire()).await?)
            }
            Pools::Postgres(pool) => Conn::PgRead(self.1.read.during(pool.acquire()).await?),
        }))
    }

    /// Puts what SQLite's write-ahead log holds into the file, beside the writer and without holding it up. The
    /// writer would do it within a transaction, and those behind it would wait. Nothing on PostgreSQL, which does
    /// it by itself.
    pub async fn checkpoint(&self) -> Result<()> {
        if let Pools::Sqlite { readers, .. } = &self.0 {
            sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(readers).await?;
        }
        Ok(())
    }

    /// Closes all connections; what is not committed is lost.
    pub async fn close(&self) {
        match &self.0 {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// SQLite says neither which file it could not open nor why.
fn cannot_open(file: &Path, error: &sqlx::Error) -> StoreError {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    let why = if directory.is_some_and(|directory| !directory.is_dir()) {
        "its directory is not there".to_owned()
    } else if file.exists() {
        error.to_string()
    } else {
        "it is not there; `simmall migrate` makes it".to_owned()
    };
    StoreError::Unfit(format!("the SQLite file {} cannot be opened: {why}", file.display()))
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

impl Tx {
    pub(crate) fn on(connection: Conn) -> Self {
        Self { conn: connection, after_commit: Vec::new(), has_raised: false }
    }

    /// Does something once this is committed, and nothing if it never is: what others are to be woken for lies deep
    /// below whoever commits.
    pub fn after_commit(&mut self, then: impl FnOnce() + Send + Sync + 'static) {
        self.after_commit.push(Box::new(then));
    }

    /// Whether what is read through this may be remembered. Once a version was raised in it, that version names what
    /// is not committed and perhaps never will be.
    pub fn is_memorable(&self) -> bool {
        !self.has_raised
    }

    /// Which engine this is on.
    pub fn engine(&self) -> Engine {
        match self.conn {
            Conn::SqliteTx(_) | Conn::SqliteRead(_) => Engine::Sqlite,
            Conn::PgTx(_) | Conn::PgRead(_) => Engine::Postgres,
        }
    }

    /// Makes everything done through this transaction durable.
    pub async fn commit(self) -> Result<()> {
        match self.conn {
            Conn::SqliteTx(tx) => tx.commit().await?,
            Conn::PgTx(tx) => tx.commit().await?,
            // Nothing was written.
            Conn::SqliteRead(_) | Conn::PgRead(_) => {}
        }
        for then in self.after_commit {
            then();
        }
        Ok(())
    }
}

/// Runs one statement on whichever engine the `Tx` stands. The statement builders of the two engines
/// have different types, so that a function cannot do this.
macro_rules! on_engine {
    ($tx:expr, $connection:ident => $run:expr) => {
        $crate::engine::on_engine!($tx, $connection, sqlite => $run, postgres => $run)
    };
    ($tx:expr, $connection:ident, sqlite => $sqlite:expr, postgres => $postgres:expr) => {
        match &mut $tx.conn {
            $crate::engine::Conn::SqliteTx(tx) => {
                let $connection = &mut **tx;
                $sqlite
            }
            $crate::engine::Conn::SqliteRead(tx) => {
                let $connection = &mut **tx;
                $sqlite
            }
            $crate::engine::Conn::PgTx(tx) => {
                let $connection = &mut **tx;
                $postgres
            }
            $crate::engine::Conn::PgRead(tx) => {
                let $connection = &mut **tx;
                $postgres
            }
        }
    };
}

/// Executes a statement; gives the number of rows it changed.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::engine::on_engine!($tx, connection => {
            sqlx::query($sql)$(.bind($value))*.execute(connection).await
                .map(|done| done.rows_affected())
        })
    };
}

/// Fetches at most one row as a `FromRow` type.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::engine::on_engine!($tx, connection => {
            sqlx::query_as::<_, $row>($sql)$(.bind($value))*.fetch_optional(connection).await
        })
    };
}

/// Fetches all rows as a `FromRow` type.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::engine::on_engine!($tx, connection => {
            sqlx::query_as::<_, $row>($sql)$(.bind($value))*.fetch_all(connection).await
        })
    };
}

/// Declares the SQL constants of a module and lists them in `ALL`, so that one test can prepare every
/// statement on both engines.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        #[cfg(test)]
        pub(crate) const ALL: &[&str] = &[$($name),*];
    };
}

pub(crate) use {execute, fetch_all, fetch_optional, on_engine, statements};

/// Insists that a compare-and-set changed exactly one row.
pub(crate) fn one_row(changed: u64, what: &'static str) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Changed(what)) }
}
