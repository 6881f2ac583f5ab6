//! What is kept of pushes, and for how long: events, what became of telling them, and endpoints that are no more.
//!
//! All goes in small steps: nobody else must wait for it.

use std::sync::Arc;
use std::time::Duration;

use domain::{Span, Timestamp};
use store::EndpointKey;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::Mall;
use crate::error::Result;

/// How often it is looked for what is over.
const PERIOD: Duration = Duration::from_mins(1);
/// How many rows go at once, and the pause between two such steps.
const ROWS: i64 = 500;
const PAUSE: Duration = Duration::from_millis(20);
/// After so long a listener that nobody asked for is taken to be gone.
const LISTENER_LEFT: Span = Span::minutes(60);

/// Deletes what is over, until `stop` turns true.
pub async fn run_push_sweep(mall: Arc<Mall>, mut stop: watch::Receiver<bool>) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stop.borrow() {
        tokio::select! {
            _ = period.tick() => {}
            // Nobody left to tell us to stop means that we should.
            changed = stop.changed() => if changed.is_err() { return } else { continue },
        }
        tokio::select! {
            swept = mall.sweep_pushes() => if let Err(error) = swept {
                tracing::warn!(%error, "what is over of pushes is not deleted now");
            },
            // A step that breaks off changes nothing.
            _ = stop.changed() => {}
        }
    }
}

impl Mall {
    /// Deletes listeners that were left, what belongs to deleted endpoints, and what is older than is kept. What still
    /// waits is not over, unless its endpoint is paused or off. Gives how many rows went.
    pub async fn sweep_pushes(&self) -> Result<u64> {
        let now = self.ctx.now();
        let since = now - LISTENER_LEFT;
        let left = self.store.read().await?.left_push_listeners(since, ROWS).await?;
        for listener in left {
            self.retry(|| async {
                let mut tx = self.store.begin().await?;
                tx.delete_left_push_listener(&listener, since).await?;
                Ok(tx.commit().await?)
            })
            .await?;
        }
        let before = now - self.settings.push_log;
        let mut swept = 0;
        for (key, state) in self.store.read().await?.push_endpoints_to_sweep().await? {
            swept += self.sweep_endpoint((key, &state), before).await?;
        }
        let mut after = None;
        loop {
            let page = self.store.read().await?.old_push_events(after, before, ROWS).await?;
            let Some(last) = page.last() else { return Ok(swept) };
            after = Some((last.recorded_at, last.key.2));
            let untold = page.iter().filter(|event| !event.is_told);
            let keys: Vec<_> = untold.map(|event| event.key).collect();
            if keys.is_empty() {
                continue;
            }
            swept += self
                .retry(|| async {
                    let mut tx = self.store.begin().await?;
                    let gone = tx.delete_untold_push_events(&keys).await?;
                    tx.commit().await?;
                    Ok(gone)
                })
                .await?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn sweep_endpoint(
        &self,
        endpoint: (EndpointKey, &str),
        before: Timestamp,
    ) -> Result<u64> {
        let mut swept = 0;
        // Whoever has something to write waits for nothing that deletes nothing.
        while self.store.read().await?.has_push_sweepings(endpoint, before).await? {
            let step = || async {
                let mut tx = self.store.begin().await?;
                let gone = tx.sweep_push_endpoint(endpoint, before, ROWS).await?;
                tx.commit().await?;
                Ok(gone)
            };
            let gone = self.retry(step).await?;
            if gone == 0 {
                return Ok(swept);
            }
            swept += gone;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(swept)
    }
}
