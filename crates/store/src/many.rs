//! Statements over many rows at once: one text and one round trip for a batch.
//!
//! SQLite gets the rows as a list of values, in a text for each number of rows. PostgreSQL gets an array for
//! each column, so that one text does for any number of rows.

use std::fmt::Write as _;

use crate::engine::{Engine, Tx};

/// The most rows of one statement on SQLite; so many texts of it are prepared at most.
const SQLITE_ROWS_MAX: usize = 32;
/// The most rows of one statement on PostgreSQL, where each statement is a round trip.
const POSTGRES_ROWS_MAX: usize = 1_000;

impl Tx {
    /// Cuts a batch into what statements take.
    pub(crate) fn pieces<'a, T>(&self, items: &'a [T]) -> std::slice::Chunks<'a, T> {
        items.chunks(match self.engine() {
            Engine::Sqlite => SQLITE_ROWS_MAX,
            Engine::Postgres => POSTGRES_ROWS_MAX,
        })
    }

    /// So many rows, each of so many columns, as a part of a statement that has no other parameters.
    ///
    /// SQLite keeps numbers of parameters as names, which the driver looks up one by one in a list of all: of
    /// a thousand parameters that is the dearest part. Without numbers there is nothing to look up.
    pub(crate) fn rows(&self, columns: usize, rows: usize) -> String {
        match self.engine() {
            Engine::Sqlite => values(columns, rows),
            Engine::Postgres => arrays(columns),
        }
    }
}

/// `VALUES (?, ?), (?, ?)` for two rows of two columns.
fn values(columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    format!("VALUES {}", vec![row; rows].join(", "))
}

/// `SELECT * FROM UNNEST($1, $2)` for two columns.
fn arrays(columns: usize) -> String {
    let mut text = "SELECT * FROM UNNEST($1".to_owned();
    for column in 2..=columns {
        // A string takes whatever is written to it.
        let _ = write!(text, ", ${column}");
    }
    text + ")"
}

/// Binds the rows of a piece: value by value on SQLite, column by column on PostgreSQL.
macro_rules! bind_many {
    (sqlite, $query:expr, $items:expr, $item:tt => [$($value:expr),*]) => {{
        let mut query = $query;
        for $item in $items {
            query = query$(.bind($value))*;
        }
        query
    }};
    (postgres, $query:expr, $items:expr, $item:tt => [$($value:expr),*]) => {
        // A row's names read as a value of it too: each of them is used, even if not by this column.
        $query$(.bind($items.into_iter().map(|$item| {
            let _ = $item;
            $value
        }).collect::<Vec<_>>()))*
    };
}

/// Executes a statement over the rows of a piece; gives the number of rows it changed.
macro_rules! execute_many {
    ($tx:expr, $sql:expr, $items:expr, $item:tt => [$($value:expr),* $(,)?]) => {
        $crate::engine::on_engine!(
            $tx,
            connection,
            sqlite => $crate::many::bind_many!(sqlite, sqlx::query(sqlx::AssertSqlSafe($sql)), $items,
                $item => [$($value),*])
                .execute(connection).await.map(|done| done.rows_affected()),
            postgres => $crate::many::bind_many!(postgres, sqlx::query(sqlx::AssertSqlSafe($sql)), $items,
                $item => [$($value),*])
                .execute(connection).await.map(|done| done.rows_affected())
        )
    };
}

/// Fetches what a statement over the rows of a piece returns, as a `FromRow` type.
macro_rules! fetch_many {
    ($tx:expr, $row:ty, $sql:expr, $items:expr, $item:tt => [$($value:expr),* $(,)?]) => {
        $crate::engine::on_engine!(
            $tx,
            connection,
            sqlite => $crate::many::bind_many!(sqlite,
                sqlx::query_as::<_, $row>(sqlx::AssertSqlSafe($sql)), $items,
                $item => [$($value),*])
                .fetch_all(connection).await,
            postgres => $crate::many::bind_many!(postgres,
                sqlx::query_as::<_, $row>(sqlx::AssertSqlSafe($sql)), $items,
                $item => [$($value),*])
                .fetch_all(connection).await
        )
    };
}

pub(crate) use {bind_many, execute_many, fetch_many};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_parameters() {
        assert_eq!(values(2, 2), "VALUES (?, ?), (?, ?)");
        assert_eq!(arrays(2), "SELECT * FROM UNNEST($1, $2)");
    }
}
