//! What can go wrong in the database.

use std::fmt::Display;
use std::str::FromStr;

/// The result of a statement.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What can go wrong in the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine says so.
    #[error("the database answers: {0}")]
    Database(#[from] sqlx::Error),
    /// A stored value does not parse.
    #[error("table {table}, column {column}, row {row}: {why}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
        /// What is wrong.
        why: String,
    },
    /// A compare-and-set found another version: somebody else was faster.
    #[error("{0} was changed by somebody else")]
    Changed(&'static str),
    /// Another worker has the job, or it is done: whoever held it before can write nothing.
    #[error("the lease of the job was lost")]
    LeaseLost,
    /// A sealed value cannot be opened.
    #[error("a sealed key cannot be opened: {0}")]
    Seal(#[from] crate::seal::SealerError),
    /// The database is not what this program needs.
    #[error("{0}")]
    Unfit(String),
}

impl StoreError {
    /// Whether the whole transaction may simply be run again: a serialisation failure, a deadlock, a
    /// busy writer, or a row that somebody else changed meanwhile.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Changed(_) => true,
            Self::Database(sqlx::Error::Database(error)) => {
                let code = error.code();
                let busy = ["40001", "40P01", "5", "517", "261"];
                code.is_some_and(|code| busy.contains(&code.as_ref()))
            }
            _ => false,
        }
    }

    /// Whether a unique index refused a row.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Whether somebody else was faster: run again, a transaction sees what the other did.
    pub fn is_lost_race(&self) -> bool {
        self.is_retryable() || self.is_unique_violation()
    }

    /// Whether a stored value is not even of its column's type, as SQLite lets somebody write it.
    pub fn is_undecodable(&self) -> bool {
        let decode = |error: &sqlx::Error| {
            matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
        };
        matches!(self, Self::Corrupt { .. })
            || matches!(self, Self::Database(error) if decode(error))
    }

    /// Whether the database cannot be reached or is too busy now.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Database(
                sqlx::Error::Io(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
            )
        ) || self.is_retryable()
    }
}

/// Where a stored value stands, to name it when it does not parse.
pub(crate) struct Row<'a> {
    pub table: &'static str,
    pub key: &'a str,
}

impl Row<'_> {
    /// A parsed column.
    pub fn parse<T>(&self, column: &'static str, text: &str) -> Result<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        text.parse().map_err(|error: T::Err| self.corrupt(column, error))
    }

    /// A column that its state cannot be without.
    pub fn needed<T>(&self, column: &'static str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.corrupt(column, "it is NULL in a state that needs it"))
    }

    /// A column that does not parse.
    pub fn corrupt(&self, column: &'static str, why: impl Display) -> StoreError {
        let (table, row) = (self.table, self.key.to_owned());
        StoreError::Corrupt { table, column, row, why: why.to_string() }
    }
}
