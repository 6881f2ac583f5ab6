//! Whether what partners are to be told can be told, for the doctor.

use domain::Timestamp;
use domain::id::EndpointId;

use super::{Fault, KEYS_MAX, SealedKey};
use crate::engine::{Tx, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::push_endpoints::PushKey;
use crate::push_relay::first_of_its_subject;

statements! {
    BACKLOG = concat!(
        "SELECT CAST(COUNT(probe_at) AS BIGINT) AS failing,
        CAST(COUNT(CASE WHEN state = 'off' THEN 1 END) AS BIGINT) AS off,
        CAST(MIN(oldest) AS BIGINT) AS oldest FROM (
            SELECT e.state, e.probe_at, CASE WHEN e.state = 'on' AND e.kind = 'url'
                AND e.probe_at IS NULL THEN (SELECT d.due_at FROM push_deliveries d
                WHERE d.mode = e.mode AND d.partner_id = e.partner_id
                AND d.endpoint_id = e.endpoint_id AND d.due_at <= $1 AND ",
        first_of_its_subject!(),
        " ORDER BY d.due_at LIMIT 1) END AS oldest
            FROM push_endpoints e WHERE e.state <> 'deleted') AS each_one"
    );
    UNEVENTFUL = "SELECT 'to be told, but its event is not there' AS what, mode, partner_id, event_id AS id
        FROM push_deliveries WHERE state = 'waiting' AND NOT EXISTS (SELECT 1 FROM push_events e
            WHERE e.mode = push_deliveries.mode AND e.partner_id = push_deliveries.partner_id
            AND e.event_id = push_deliveries.event_id) LIMIT $1";
    UNADDRESSED = "SELECT 'to be told, but its endpoint is not there' AS what, mode, partner_id,
        event_id AS id FROM push_deliveries WHERE state = 'waiting' AND NOT EXISTS (
            SELECT 1 FROM push_endpoints e WHERE e.mode = push_deliveries.mode
            AND e.partner_id = push_deliveries.partner_id
            AND e.endpoint_id = push_deliveries.endpoint_id) LIMIT $1";
    UNSIGNED = "SELECT 'an endpoint without a key' AS what, mode, partner_id, endpoint_id AS id
        FROM push_endpoints WHERE state <> 'deleted' AND NOT EXISTS (SELECT 1 FROM push_keys k
            WHERE k.mode = push_endpoints.mode AND k.partner_id = push_endpoints.partner_id
            AND k.endpoint_id = push_endpoints.endpoint_id AND k.retires_at IS NULL) LIMIT $1";
    KEYS = "SELECT mode, partner_id, endpoint_id, key_id, sealed FROM push_keys
        WHERE (mode, partner_id, endpoint_id, key_id) > ($1, $2, $3, $4)
        ORDER BY mode, partner_id, endpoint_id, key_id LIMIT $5";
}

/// Where what is to be told lacks what it needs.
const CHECKS: [&str; 3] = [UNEVENTFUL, UNADDRESSED, UNSIGNED];

/// What the relay has before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushBacklog {
    /// Endpoints that fail as a whole.
    pub failing: i64,
    /// Endpoints that were switched off.
    pub off: i64,
    /// Since when the longest waiting event has been due at an endpoint that does not fail.
    pub oldest: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct BacklogRow {
    failing: i64,
    off: i64,
    oldest: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    mode: String,
    partner_id: String,
    endpoint_id: String,
    key_id: String,
    sealed: Vec<u8>,
}

impl KeyRow {
    fn into_key(self) -> Result<SealedKey> {
        let row = Row { table: "push_keys", key: &self.key_id };
        let mode = row.parse("mode", &self.mode)?;
        let partner = row.parse("partner_id", &self.partner_id)?;
        let endpoint: EndpointId = row.parse("endpoint_id", &self.endpoint_id)?;
        Ok(SealedKey {
            row: PushKey::seal_row(mode, partner, endpoint, &self.key_id),
            sealed: self.sealed,
            place: [self.mode, self.partner_id, self.endpoint_id, self.key_id],
        })
    }
}

impl Tx {
    /// What the relay has before it at a time.
    pub async fn push_backlog(&mut self, now: Timestamp) -> Result<PushBacklog> {
        let row = fetch_optional!(self, BacklogRow, BACKLOG, now.as_micros())?;
        let backlog = |row: BacklogRow| PushBacklog {
            failing: row.failing,
            off: row.off,
            oldest: row.oldest.map(Timestamp::from_micros),
        };
        Ok(row.map(backlog).unwrap_or_default())
    }

    /// Where what is to be told lacks what it needs: at most [`super::FAULTS_MAX`] of each kind.
    pub async fn push_faults(&mut self) -> Result<Vec<Fault>> {
        self.faults(&CHECKS).await
    }

    /// At most [`KEYS_MAX`] keys of all endpoints, from a place on.
    pub async fn sealed_push_keys(&mut self, after: &[String; 4]) -> Result<Vec<SealedKey>> {
        let [mode, partner, endpoint, key] = after;
        let rows = fetch_all!(self, KeyRow, KEYS, mode, partner, endpoint, key, KEYS_MAX)?;
        rows.into_iter().map(KeyRow::into_key).collect()
    }
}
