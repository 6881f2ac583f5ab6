//! The floor under orders: the same rows (accept with its claimed job, outcome) through the same driver's
//! prepared statements, with the same durability and as many clients, but no HTTP, no signature, no
//! parsing.
//!
//! Single: each client commits for itself. Grouped: the orders of all clients that wait share a
//! transaction, each with statements of its own. The better of the two is the floor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use domain::{Ctx, id};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, Postgres, Row, Sqlite, SqlitePool};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use crate::data::{Database, PACKAGE, PLAN, iccid};
use crate::load::Done;
use crate::sql;

/// Which rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All that an order writes, and the workers' claims and outcomes beside it.
    Whole,
    /// The order and its job, and nothing ever comes of them.
    Two,
}

/// How commits are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commits {
    Single,
    Grouped,
}

/// More orders than the clients make while they warm up.
const WARM_UP_NUMBERS: u64 = 1_000_000;
/// How many outcomes a worker writes together.
const OUTCOMES_MAX: usize = 128;

#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A connection with a transaction open, or none.
#[derive(Debug)]
pub(crate) enum Conn {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A value of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Int(i64),
    NoInt(Option<i64>),
    NoText(Option<String>),
    Bool(bool),
    Bytes(Vec<u8>),
}

macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Text(value) => query.bind(value),
                Value::Int(value) => query.bind(value),
                Value::NoInt(value) => query.bind(value),
                Value::NoText(value) => query.bind(value),
                Value::Bool(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Pool {
    async fn open(url: &str, clients: u32) -> anyhow::Result<Self> {
        if !url.starts_with("sqlite:") {
            let pool = PgPoolOptions::new().max_connections(clients).connect(url).await?;
            return Ok(Self::Postgres(pool));
        }
        // As the mall opens it, with one writer.
        let options = url
            .parse::<SqliteConnectOptions>()?
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        Ok(Self::Sqlite(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?))
    }

    pub(crate) async fn readers(url: &str, many: u32) -> anyhow::Result<Self> {
        if !url.starts_with("sqlite:") {
            let pool = PgPoolOptions::new().max_connections(many).connect(url).await?;
            return Ok(Self::Postgres(pool));
        }
        let options = url.parse::<SqliteConnectOptions>()?;
        Ok(Self::Sqlite(SqlitePoolOptions::new().max_connections(4).connect_with(options).await?))
    }

    pub(crate) async fn get(&self) -> sqlx::Result<Conn> {
        Ok(match self {
            Self::Sqlite(pool) => Conn::Sqlite(pool.acquire().await?),
            Self::Postgres(pool) => Conn::Postgres(pool.acquire().await?),
        })
    }

    /// How many orders wait for their outcome.
    pub(crate) async fn backlog(&self) -> anyhow::Result<u64> {
        let sql = "SELECT CAST(COUNT(*) AS TEXT) FROM jobs WHERE kind = 'provision'";
        let rows = self.get().await?.fetch(sql, Vec::new(), 1).await?;
        Ok(rows.first().and_then(|row| row.first()).context("a count has a row")?.parse()?)
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    fn text(&self, texts: [&'static str; 2]) -> &'static str {
        match self {
            Self::Sqlite(_) => texts[0],
            Self::Postgres(_) => texts[1],
        }
    }
}

impl Conn {
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> sqlx::Result<u64> {
        Ok(match self {
            Self::Sqlite(connection) => {
                bound!(sqlx::query(sql), values).execute(&mut **connection).await?.rows_affected()
            }
            Self::Postgres(connection) => {
                bound!(sqlx::query(sql), values).execute(&mut **connection).await?.rows_affected()
            }
        })
    }

    /// The rows that a statement returns, each with all its columns read as text.
    pub(crate) async fn fetch(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
        texts: usize,
    ) -> sqlx::Result<Vec<Vec<String>>> {
        match self {
            Self::Sqlite(connection) => {
                let rows = bound!(sqlx::query(sql), values).fetch_all(&mut **connection).await?;
                rows.iter().map(|row| (0..texts).map(|at| row.try_get(at)).collect()).collect()
            }
            Self::Postgres(connection) => {
                let rows = bound!(sqlx::query(sql), values).fetch_all(&mut **connection).await?;
                rows.iter().map(|row| (0..texts).map(|at| row.try_get(at)).collect()).collect()
            }
        }
    }

    async fn begin(&mut self) -> sqlx::Result<()> {
        let begin = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        self.execute(begin, Vec::new()).await.map(|_| ())
    }

    async fn commit(&mut self) -> sqlx::Result<()> {
        self.execute("COMMIT", Vec::new()).await.map(|_| ())
    }
}

/// A run of the floor.
#[derive(Debug, Clone)]
pub(crate) struct Floor {
    pub(crate) database: Database,
    pub(crate) clients: u32,
    pub(crate) rows: Rows,
    pub(crate) commits: Commits,
    /// Tells runs on the same database apart.
    pub(crate) run: u64,
}

/// What a side did in its turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) done: Done,
    /// How long the clients were at it.
    pub(crate) took: Duration,
    /// How many orders waited for their outcome when the clients stopped.
    pub(crate) backlog: u64,
    /// How long these took.
    pub(crate) drained: Duration,
}

type Waiting = (Vec<Value>, oneshot::Sender<bool>);

impl Floor {
    /// Writes orders for so long, after a while that does not count.
    pub(crate) async fn run(
        &self,
        ctx: &Ctx,
        (warm_up, time): (Duration, Duration),
    ) -> anyhow::Result<Turn> {
        let pool = Pool::open(&self.database.url, 2 * self.clients).await?;
        self.turn(ctx, &pool, (0, warm_up)).await?;
        let turn = self.turn(ctx, &pool, (WARM_UP_NUMBERS, time)).await?;
        pool.close().await;
        Ok(turn)
    }

    async fn turn(
        &self,
        ctx: &Ctx,
        pool: &Pool,
        (first, time): (u64, Duration),
    ) -> anyhow::Result<Turn> {
        let stop = Arc::new(AtomicBool::new(false));
        let (queue, waiting) = mpsc::channel::<Waiting>(1_000);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut tasks = Vec::new();
        // PostgreSQL takes two groups at once, SQLite has one writer.
        let lanes = if matches!(pool, Pool::Postgres(_)) { 2 } else { 1 };
        if self.commits == Commits::Grouped {
            for _ in 0..lanes {
                let (pool, waiting, rows) = (pool.clone(), Arc::clone(&waiting), self.rows);
                tasks.push(tokio::spawn(commit_groups(pool, waiting, rows)));
            }
        }
        let (handing, handed) = mpsc::unbounded_channel();
        let handed = Arc::new(Mutex::new(handed));
        // As many as the clients, so that outcomes come to their turn as often as orders do.
        let workers = if self.commits == Commits::Grouped { lanes } else { self.clients };
        for _ in 0..workers {
            let (ctx, pool, handed) = (ctx.clone(), pool.clone(), Arc::clone(&handed));
            tasks.push(tokio::spawn(work(ctx, pool, self.commits, handed)));
        }
        let began = Instant::now();
        let mut clients = Vec::new();
        for number in 0..self.clients {
            let (ctx, floor, pool) = (ctx.clone(), self.clone(), pool.clone());
            let (queues, stop) = ((queue.clone(), handing.clone()), Arc::clone(&stop));
            let number = first + u64::from(number);
            clients.push(tokio::spawn(floor.client(ctx, pool, queues, stop, number)));
        }
        drop((queue, handing));
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
        let mut done = Done::default();
        for client in clients {
            done.add(client.await??);
        }
        let took = began.elapsed();
        let backlog = if self.rows == Rows::Whole { pool.backlog().await? } else { 0 };
        let stopped_at = Instant::now();
        for task in tasks {
            task.await??;
        }
        let drained = stopped_at.elapsed();
        if self.rows == Rows::Two {
            // Nobody will ever claim them.
            pool.get().await?.execute("DELETE FROM jobs", Vec::new()).await?;
        }
        Ok(Turn { done, took, backlog, drained })
    }

    async fn client(
        self,
        ctx: Ctx,
        pool: Pool,
        (queue, handing): (mpsc::Sender<Waiting>, mpsc::UnboundedSender<Vec<Value>>),
        stop: Arc<AtomicBool>,
        mut number: u64,
    ) -> anyhow::Result<Done> {
        let mut done = Done::default();
        let sql = accept_text(&pool, self.rows);
        while !stop.load(Ordering::Relaxed) {
            number += u64::from(self.clients);
            let began = Instant::now();
            let values = order_values(&ctx, &self.database, self.run, number);
            let keys = [0, 1, 2, 47].map(|place| values[place].clone());
            match self.commits {
                Commits::Single => {
                    let mut connection = pool.get().await?;
                    if let Conn::Sqlite(_) = connection {
                        connection.begin().await?;
                        connection.execute(sql, values).await?;
                        connection.commit().await?;
                    } else {
                        connection.execute(sql, values).await?;
                    }
                }
                Commits::Grouped => {
                    let (sender, answer) = oneshot::channel();
                    queue.send((values, sender)).await?;
                    anyhow::ensure!(answer.await?, "the group was not committed");
                }
            }
            done.note(began);
            if self.rows == Rows::Whole {
                handing.send(keys.to_vec())?;
            }
        }
        Ok(done)
    }
}

fn accept_text(pool: &Pool, rows: Rows) -> &'static str {
    match rows {
        Rows::Whole => pool.text([sql::ACCEPT_SQLITE, sql::ACCEPT_POSTGRES]),
        Rows::Two => pool.text([sql::TWO_ROWS_SQLITE, sql::TWO_ROWS_POSTGRES]),
    }
}

/// Commits all orders that wait together.
async fn commit_groups(
    pool: Pool,
    waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>,
    rows: Rows,
) -> anyhow::Result<()> {
    let sql = accept_text(&pool, rows);
    loop {
        let mut group = Vec::new();
        if waiting.lock().await.recv_many(&mut group, 128).await == 0 {
            return Ok(());
        }
        let mut connection = pool.get().await?;
        connection.begin().await?;
        let mut answers = Vec::with_capacity(group.len());
        for (values, answer) in group {
            connection.execute(sql, values).await?;
            answers.push(answer);
        }
        connection.commit().await?;
        drop(connection);
        for answer in answers {
            // A client that stopped meanwhile does not want to know.
            let _ = answer.send(true);
        }
    }
}

/// Writes the outcomes of what the clients hand over, until all of them have gone.
async fn work(
    ctx: Ctx,
    pool: Pool,
    commits: Commits,
    handed: Arc<Mutex<mpsc::UnboundedReceiver<Vec<Value>>>>,
) -> anyhow::Result<()> {
    let outcome = pool.text([sql::OUTCOME_SQLITE, sql::OUTCOME_POSTGRES]);
    let many = if commits == Commits::Grouped { OUTCOMES_MAX } else { 1 };
    loop {
        let mut jobs = Vec::with_capacity(many);
        if handed.lock().await.recv_many(&mut jobs, many).await == 0 {
            return Ok(());
        }
        let now = ctx.now().as_micros();
        let mut connection = pool.get().await?;
        connection.begin().await?;
        for mut values in jobs {
            values.extend([Value::Int(now), Value::Int(now + 2_592_000_000_000)]);
            connection.execute(outcome, values).await?;
        }
        connection.commit().await?;
    }
}

/// All values of an order, its posting and its job.
fn order_values(ctx: &Ctx, database: &Database, run: u64, number: u64) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.to_owned());
    let order_id: id::OrderId = ctx.id();
    let payment_id: id::PaymentId = ctx.id();
    let job_id: id::JobId = ctx.id();
    let now = ctx.now().as_micros();
    let order_no = format!("F{run}N{number:014}");
    let sim = iccid(number.wrapping_mul(7_919_147) % database.sims);
    vec![
        text("test"),
        Value::Text(database.partner.id.to_string()),
        Value::Text(order_id.to_string()),
        Value::Text(order_no.clone()),
        Value::Text(format!("P{order_no}")),
        text(""),
        text(""),
        text("reported"),
        Value::Text(sim),
        text(PLAN),
        text("Europe 10 GB 30 Days"),
        text(PACKAGE),
        text("simulator"),
        text("CP-00"),
        text("2"),
        Value::Int(1),
        Value::Bool(false),
        Value::NoInt(Some(800)),
        Value::NoText(Some("EUR".to_owned())),
        Value::Bool(false),
        Value::Bytes(vec![7; 32]),
        text("PAID"),
        Value::Int(0),
        Value::NoInt(None),
        Value::NoInt(Some(now)),
        Value::NoInt(None),
        Value::NoInt(None),
        Value::NoText(None),
        Value::NoText(None),
        text(""),
        text("SynOrderInfo"),
        text("0"),
        text("1"),
        Value::Text(payment_id.to_string()),
        text("third_party"),
        Value::Int(1_000),
        text("EUR"),
        text("succeeded"),
        Value::Int(0),
        Value::NoInt(Some(now)),
        Value::Text(format!("ch_{order_no}")),
        text("SUCCESS"),
        text("1"),
        text("3"),
        text("1"),
        text("10.00"),
        Value::Int(now),
        Value::Text(job_id.to_string()),
    ]
}
