//! Figures for whoever watches the mall. Each is read through an index that holds little more than what
//! is counted, so that a look costs the same however large the tables are.

use std::time::Duration;

use domain::{Mode, Timestamp};

use crate::engine::{Pools, Store, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row, StoreError};

statements! {
    ALIVE = "SELECT CAST(1 AS BIGINT) AS count";
    DUE = "SELECT kind, COUNT(*) AS count, CAST(MIN(run_at) AS BIGINT) AS oldest FROM jobs
        WHERE state = 'ready' AND run_at <= $1 GROUP BY kind";
    DEAD = "SELECT kind, COUNT(*) AS count, CAST(MIN(run_at) AS BIGINT) AS oldest FROM jobs
        WHERE state = 'dead' GROUP BY kind";
    /// The last condition is that of the index `orders_unsettled`, as its migration has it.
    OPEN = "SELECT mode, state, COUNT(*) AS count FROM orders WHERE mode IN ('live', 'test')
        AND state IN ('AWAITING_PAYMENT', 'REVIEW') AND state IN ('AWAITING_PAYMENT', 'CLOSED',
        'FAILED', 'REVIEW', 'REFUNDING', 'REFUNDED') GROUP BY mode, state";
    /// A paid order has its job until its plan is on the SIM.
    PROVISIONING = "SELECT mode, 'PAID' AS state, COUNT(*) AS count FROM jobs
        WHERE state = 'ready' AND run_at <= $1 AND kind = 'provision' GROUP BY mode";
}

/// A number of jobs of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindFigure {
    /// The kind's word; of a newer version perhaps.
    pub kind: String,
    /// How many there are.
    pub count: i64,
    /// When the oldest was to run.
    pub oldest: Timestamp,
}

/// How many orders are in a state: `AWAITING_PAYMENT`, `PAID` (the plan is not on the SIM yet) or `REVIEW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrders {
    /// Live or test.
    pub mode: Mode,
    /// The state.
    pub state: String,
    /// How many.
    pub count: i64,
}

/// A pool of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolFigure {
    /// Its name.
    pub name: &'static str,
    /// How many connections it has.
    pub connections: u32,
    /// How many of them nobody uses.
    pub idle: usize,
}

/// Waits of a millisecond or more for a connection, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitFigure {
    /// For what.
    pub name: &'static str,
    /// How many.
    pub count: u64,
    /// How long they took in all.
    pub waited: Duration,
}

#[derive(sqlx::FromRow)]
struct KindRow {
    kind: String,
    count: i64,
    oldest: i64,
}

#[derive(sqlx::FromRow)]
struct OpenRow {
    mode: String,
    state: String,
    count: i64,
}

#[derive(sqlx::FromRow)]
struct AliveRow {
    count: i64,
}

fn kinds(rows: Vec<KindRow>) -> Vec<KindFigure> {
    let figure = |row: KindRow| KindFigure {
        kind: row.kind,
        count: row.count,
        oldest: Timestamp::from_micros(row.oldest),
    };
    rows.into_iter().map(figure).collect()
}

fn open(row: OpenRow) -> Result<OpenOrders> {
    let place = Row { table: "orders or jobs", key: "any" };
    let mode = place.parse("mode", &row.mode)?;
    Ok(OpenOrders { mode, state: row.state, count: row.count })
}

impl Store {
    /// Whether the database answers within a time.
    pub async fn check_alive(&self, limit: Duration) -> Result<()> {
        let answer = async {
            let mut reader = self.read().await?;
            let row = fetch_optional!(reader, AliveRow, ALIVE)?;
            let alive = row.is_some_and(|row| row.count == 1);
            if alive { Ok(()) } else { Err(StoreError::Unfit("it cannot count to one".to_owned())) }
        };
        tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
            Err(StoreError::Unfit(format!("no answer within {} seconds", limit.as_secs())))
        })
    }

    /// Jobs that are due, by kind.
    pub async fn jobs_due(&self, now: Timestamp) -> Result<Vec<KindFigure>> {
        let mut reader = self.read().await?;
        Ok(kinds(fetch_all!(reader, KindRow, DUE, now.as_micros())?))
    }

    /// Jobs that were given up, by kind.
    pub async fn jobs_dead(&self) -> Result<Vec<KindFigure>> {
        let mut reader = self.read().await?;
        Ok(kinds(fetch_all!(reader, KindRow, DEAD)?))
    }

    /// Orders that are not settled. One whose provisioning was put off beyond `horizon` is not seen.
    pub async fn open_orders(&self, horizon: Timestamp) -> Result<Vec<OpenOrders>> {
        let mut reader = self.read().await?;
        let mut rows = fetch_all!(reader, OpenRow, OPEN)?;
        rows.extend(fetch_all!(reader, OpenRow, PROVISIONING, horizon.as_micros())?);
        rows.into_iter().map(open).collect()
    }

    /// How long was waited for connections, to write and to read.
    pub fn waits(&self) -> [WaitFigure; 2] {
        [("write", &self.1.write), ("read", &self.1.read)].map(|(name, waits)| {
            let (count, waited) = waits.so_far();
            WaitFigure { name, count, waited }
        })
    }

    /// The connections as they stand now.
    pub fn pools(&self) -> Vec<PoolFigure> {
        match &self.0 {
            Pools::Sqlite { writer, readers } => vec![
                PoolFigure { name: "writer", connections: writer.size(), idle: writer.num_idle() },
                PoolFigure {
                    name: "readers",
                    connections: readers.size(),
                    idle: readers.num_idle(),
                },
            ],
            Pools::Postgres(pool) => vec![PoolFigure {
                name: "postgres",
                connections: pool.size(),
                idle: pool.num_idle(),
            }],
        }
    }
}
