//! The floor under reads: the rows that an answer is made of, read by the same driver's prepared statements
//! with as many clients; no HTTP, no signature, no rendering.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use crate::Kind;
use crate::data::{Database, iccid};
use crate::floor::{Pool, Value};
use crate::load::Done;
use crate::sql::{CARD_ROWS, PLAN_ROWS};

/// Reads for so long.
pub(crate) async fn run(
    database: &Database,
    kind: Kind,
    clients: u32,
    time: Duration,
) -> anyhow::Result<Done> {
    let pool = Pool::readers(&database.url, clients).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..clients {
        let task = client(database.clone(), pool.clone(), kind, Arc::clone(&stop), number);
        tasks.push(tokio::spawn(task));
    }
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut done = Done::default();
    for task in tasks {
        done.add(task.await??);
    }
    Ok(done)
}

async fn client(
    database: Database,
    pool: Pool,
    kind: Kind,
    stop: Arc<AtomicBool>,
    client: u32,
) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let mut number = u64::from(client);
    let partner = database.partner.id.to_string();
    let (statements, columns): (&[&'static str], &[usize]) = match kind {
        Kind::Plans => (&PLAN_ROWS, &[9, 1, 3, 10, 4]),
        _ => (&CARD_ROWS, &[9, 1, 3, 2, 1, 2]),
    };
    while !stop.load(Ordering::Relaxed) {
        number += 1_000;
        let sim = iccid(number.wrapping_mul(7_919_147) % database.sims);
        let began = Instant::now();
        let mut connection = pool.get().await?;
        for (place, (statement, columns)) in statements.iter().zip(columns).enumerate() {
            let mut values = vec![Value::Text("test".to_owned())];
            if statement.contains("$2") {
                values.push(Value::Text(partner.clone()));
            }
            if statement.contains("$3") {
                values.push(Value::Text(sim.clone()));
            }
            let rows = connection.fetch(statement, values, *columns).await?;
            ensure!(place > 2 || rows.len() == 1, "the row is not there: {statement}");
        }
        drop(connection);
        done.note(began);
    }
    Ok(done)
}
