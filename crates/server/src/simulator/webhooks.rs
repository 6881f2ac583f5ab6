//! Sends the simulator's webhooks, one after another in the order that was planned. Each is sent once: how the
//! real ones repeat theirs is not published, and repeats are a fault. Touches the network.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use upstream::Upstream;

use crate::played::{Target, post};

/// The pause between two looks at what is due.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a webhook may take.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);

/// Sends what becomes due, for ever.
pub(super) async fn send_all(upstream: Arc<Upstream>, target: Target) {
    loop {
        for webhook in upstream.due_webhooks(upstream.now()) {
            let sent = post(&target, webhook.headers, webhook.body);
            let sent = tokio::time::timeout(SEND_TIME_MAX, sent).await;
            match sent.context("it took too long").flatten() {
                Ok(status) => tracing::info!(status, "webhook sent"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "a webhook is lost"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
