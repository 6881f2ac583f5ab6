//! Statements over many rows at once: one text and one round trip for a batch.
//!
//! A batch is cut into pieces of 1, 2, 4 … [`ROWS_MAX`] rows, so that there are few texts to prepare.

use std::fmt::Write as _;

use crate::engine::{Engine, Tx};

/// The most rows of one statement.
pub(crate) const ROWS_MAX: usize = 32;

/// Cuts a batch into pieces whose sizes are powers of two, the largest first.
pub(crate) fn pieces<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = ROWS_MAX.min(1 << items.len().checked_ilog2()?);
        let (piece, rest) = items.split_at(size);
        items = rest;
        Some(piece)
    })
}

/// `($1, $2), ($3, $4)` for two rows of two columns.
fn numbered(columns: usize, rows: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    let mut number = 0;
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            number += 1;
            let comma = if column == 0 { "" } else { ", " };
            // A string takes whatever is written to it.
            let _ = write!(text, "{comma}${number}");
        }
        text.push(')');
    }
    text
}

/// `(?, ?), (?, ?)` for two rows of two columns.
fn unnumbered(columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}

impl Tx {
    /// The parameters of so many rows, each of so many columns, as all that a statement has.
    ///
    /// SQLite keeps numbers as names, which the driver looks up one by one in a list of all: of a thousand
    /// parameters that is the dearest part. Without numbers there is nothing to look up.
    pub(crate) fn values(&self, columns: usize, rows: usize) -> String {
        match self.engine() {
            Engine::Sqlite => unnumbered(columns, rows),
            Engine::Postgres => numbered(columns, rows),
        }
    }
}

/// Executes a statement over the rows of a piece; gives the number of rows it changed.
macro_rules! execute_many {
    ($tx:expr, $sql:expr, $items:expr,
        $item:pat => [$($value:expr),* $(,)?]) => {
        $crate::engine::on_engine!($tx, connection => {
            let mut query = sqlx::query(sqlx::AssertSqlSafe($sql));
            for $item in $items {
                query = query$(.bind($value))*;
            }
            query.execute(connection).await.map(|done| done.rows_affected())
        })
    };
}

/// Fetches what a statement over the rows of a piece returns, as a `FromRow` type.
macro_rules! fetch_many {
    ($tx:expr, $row:ty, $sql:expr, $items:expr,
        $item:pat => [$($value:expr),* $(,)?]) => {
        $crate::engine::on_engine!($tx, connection => {
            let mut query =
                sqlx::query_as::<_, $row>(sqlx::AssertSqlSafe($sql));
            for $item in $items {
                query = query$(.bind($value))*;
            }
            query.fetch_all(connection).await
        })
    };
}

pub(crate) use {execute_many, fetch_many};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_into_few_sizes() {
        let batch: Vec<usize> = (0..77).collect();
        let sizes: Vec<usize> = pieces(&batch).map(<[usize]>::len).collect();
        assert_eq!(sizes, [32, 32, 8, 4, 1]);
        assert_eq!(pieces(&batch).flatten().copied().collect::<Vec<_>>(), batch);
        assert_eq!(pieces(&batch[..0]).count(), 0);
    }

    #[test]
    fn rows_of_parameters() {
        assert_eq!(numbered(2, 2), "($1, $2), ($3, $4)");
        assert_eq!(unnumbered(2, 2), "(?, ?), (?, ?)");
    }
}
