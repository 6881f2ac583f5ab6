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
    AWAITING = "SELECT mode, COUNT(*) AS count FROM orders WHERE closes_at IS NOT NULL
        GROUP BY mode";
    /// A paid order has its job until its plan is on the SIM.
    PROVISIONING = "SELECT mode, COUNT(*) AS count FROM jobs
        WHERE state = 'ready' AND run_at <= $1 AND kind = 'provision' GROUP BY mode";
    /// The reasons for which the mall gives an order to a person, as the index has them.
    REVIEW = "SELECT mode, COUNT(*) AS count FROM orders WHERE state = 'REVIEW' AND failure_code IN
        ('CARRIER_UNCLEAR', 'CARRIER_OVERDUE', 'PROVISIONING_FAILED') GROUP BY mode";
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

/// Orders that are not settled, by mode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOrders {
    /// Not paid, or not known to be.
    pub awaiting_payment: Vec<(Mode, i64)>,
    /// Paid; the plan is not on the SIM yet.
    pub provisioning: Vec<(Mode, i64)>,
    /// A person must decide.
    pub review: Vec<(Mode, i64)>,
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

#[derive(sqlx::FromRow)]
struct KindRow {
    kind: String,
    count: i64,
    oldest: i64,
}

#[derive(sqlx::FromRow)]
struct ModeRow {
    mode: String,
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

fn modes(rows: Vec<ModeRow>) -> Result<Vec<(Mode, i64)>> {
    rows.into_iter()
        .map(|row| {
            let place = Row { table: "orders or jobs", key: "any" };
            Ok((place.parse("mode", &row.mode)?, row.count))
        })
        .collect()
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
    pub async fn open_orders(&self, horizon: Timestamp) -> Result<OpenOrders> {
        let mut reader = self.read().await?;
        Ok(OpenOrders {
            awaiting_payment: modes(fetch_all!(reader, ModeRow, AWAITING)?)?,
            provisioning: modes(fetch_all!(reader, ModeRow, PROVISIONING, horizon.as_micros())?)?,
            review: modes(fetch_all!(reader, ModeRow, REVIEW)?)?,
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
