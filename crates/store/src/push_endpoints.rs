//! Where partners are told of events, and the keys that sign what they are told. What the relay notes of an endpoint is
//! in `push_relay.rs`.
//!
//! Nodes remember a partner's endpoints with the partner: every change here raises its version.

use domain::id::{EndpointId, PartnerId};
use domain::push::{EndpointKind, EndpointState};
use domain::{Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

/// All columns of [`EndpointRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT mode, partner_id, endpoint_id, kind, url, description, events, state,
            off_reason, version, created_at, failing_since, failures, probe_at, tried_at,
            succeeded_at FROM push_endpoints WHERE state <> 'deleted' AND ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO push_endpoints (mode, partner_id, endpoint_id, kind, url, description, events,
        state, off_reason, version, created_at, leased_until, fence, failing_since, failures,
        probe_at, tried_at, succeeded_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, 0, 0, NULL, 0, NULL, NULL, NULL)";
    UPDATE = "UPDATE push_endpoints SET url = $5, description = $6, events = $7, state = $8,
        off_reason = $9, version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND version = $4";
    /// As if nothing had been tried yet.
    FRESH = "UPDATE push_endpoints SET failing_since = NULL, failures = 0, probe_at = NULL
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3";
    RAISE = "UPDATE push_endpoints SET version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND state <> 'deleted'";
    /// Whoever sends to it finds that its lease is lost.
    DELETE = "UPDATE push_endpoints SET state = 'deleted', fence = fence + 1, version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND state <> 'deleted'";
    DELETE_LEFT = "UPDATE push_endpoints SET state = 'deleted', fence = fence + 1, version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND state <> 'deleted'
        AND kind = 'listener' AND COALESCE(tried_at, created_at) < $4";
    DELETE_KEYS = "DELETE FROM push_keys WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3";
    BY_ID = select!("mode = $1 AND partner_id = $2 AND endpoint_id = $3");
    OF_PARTNER = select!("mode = $1 AND partner_id = $2 ORDER BY endpoint_id");
    /// Listeners that nobody asked for since a time.
    LEFT_LISTENERS = select!("kind = 'listener' AND COALESCE(tried_at, created_at) < $1
        ORDER BY endpoint_id LIMIT $2");
    ASKED = "UPDATE push_endpoints SET tried_at = $4
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3";
    INSERT_KEY = "INSERT INTO push_keys (mode, partner_id, endpoint_id, key_id, sealed, created_at,
        retires_at) VALUES ($1, $2, $3, $4, $5, $6, NULL)";
    KEYS = "SELECT key_id, sealed, created_at, retires_at FROM push_keys
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3
        ORDER BY CASE WHEN retires_at IS NULL THEN 0 ELSE 1 END, created_at DESC, key_id";
    RETIRE_KEYS = "UPDATE push_keys SET retires_at = $5 WHERE mode = $1 AND partner_id = $2
        AND endpoint_id = $3 AND key_id <> $4 AND (retires_at IS NULL OR retires_at > $5)";
    DELETE_RETIRED = "DELETE FROM push_keys WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3
        AND retires_at <= $4";
}

/// What names the row of an endpoint.
pub type EndpointKey = (Mode, PartnerId, EndpointId);

/// An endpoint of a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEndpoint {
    /// Live or test.
    pub mode: Mode,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Its id.
    pub id: EndpointId,
    /// Sent to or taken from.
    pub kind: EndpointKind,
    /// Where to; empty of a listener.
    pub url: String,
    /// For people; may be empty.
    pub description: String,
    /// The types of the events that it is told; none: all.
    pub events: Vec<String>,
    /// Whether events are sent to it.
    pub state: EndpointState,
    /// Why it is off, for people; else empty.
    pub off_reason: String,
    /// Raised at each change of the above.
    pub version: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// How it does.
    pub health: EndpointHealth,
}

/// How an endpoint does, as the relay noted it last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Since when nothing but failures came of it; `None` after a success, and before the first try.
    pub failing_since: Option<Timestamp>,
    /// How many tries failed since the last success.
    pub failures: i64,
    /// Its breaker is open: when the next probe goes out.
    pub probe_at: Option<Timestamp>,
    /// When a try was made last; of a listener, when somebody asked last.
    pub tried_at: Option<Timestamp>,
    /// When a try succeeded last.
    pub succeeded_at: Option<Timestamp>,
}

/// A key that signs pushes, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushKey {
    /// The id by which headers name it.
    pub key_id: String,
    /// Its hexadecimal text, sealed; see [`PushKey::seal_row`].
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on nothing is signed with it; `None`: for ever.
    pub retires_at: Option<Timestamp>,
}

impl PushEndpoint {
    /// What names its row.
    pub fn key(&self) -> EndpointKey {
        (self.mode, self.partner_id, self.id)
    }

    /// Whether it is told events of a type.
    pub fn wants(&self, event_type: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|wanted| wanted == event_type)
    }
}

impl PushKey {
    /// The row under which a key is sealed.
    pub fn seal_row(mode: Mode, partner: PartnerId, endpoint: EndpointId, key_id: &str) -> String {
        format!("push/{mode}/{partner}/{endpoint}/{key_id}")
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct EndpointRow {
    mode: String,
    partner_id: String,
    endpoint_id: String,
    kind: String,
    url: String,
    description: String,
    events: String,
    state: String,
    off_reason: String,
    version: i64,
    created_at: i64,
    failing_since: Option<i64>,
    failures: i64,
    probe_at: Option<i64>,
    tried_at: Option<i64>,
    succeeded_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: String,
    sealed: Vec<u8>,
    created_at: i64,
    retires_at: Option<i64>,
}

impl EndpointRow {
    pub(crate) fn into_endpoint(self) -> Result<PushEndpoint> {
        let row = Row { table: "push_endpoints", key: &self.endpoint_id };
        let time = |at: Option<i64>| at.map(Timestamp::from_micros);
        Ok(PushEndpoint {
            mode: row.parse("mode", &self.mode)?,
            partner_id: row.parse("partner_id", &self.partner_id)?,
            id: row.parse("endpoint_id", &self.endpoint_id)?,
            kind: row.parse("kind", &self.kind)?,
            url: self.url,
            description: self.description,
            events: self.events.split_whitespace().map(str::to_owned).collect(),
            state: row.parse("state", &self.state)?,
            off_reason: self.off_reason,
            version: self.version,
            created_at: Timestamp::from_micros(self.created_at),
            health: EndpointHealth {
                failing_since: time(self.failing_since),
                failures: self.failures,
                probe_at: time(self.probe_at),
                tried_at: time(self.tried_at),
                succeeded_at: time(self.succeeded_at),
            },
        })
    }
}

impl Tx {
    /// Adds an endpoint, which nothing was tried at yet.
    pub async fn insert_push_endpoint(&mut self, endpoint: &PushEndpoint) -> Result<()> {
        execute!(
            self,
            INSERT,
            endpoint.mode.as_str(),
            endpoint.partner_id.to_string(),
            endpoint.id.to_string(),
            endpoint.kind.as_str(),
            &endpoint.url,
            &endpoint.description,
            endpoint.events.join(" "),
            endpoint.state.as_str(),
            &endpoint.off_reason,
            endpoint.created_at.as_micros(),
        )?;
        self.touch_partner(endpoint.mode, endpoint.partner_id).await
    }

    /// Changes URL, description, events and state, provided that nobody else did since it was read.
    pub async fn update_push_endpoint(&mut self, endpoint: &PushEndpoint) -> Result<()> {
        let changed = execute!(
            self,
            UPDATE,
            endpoint.mode.as_str(),
            endpoint.partner_id.to_string(),
            endpoint.id.to_string(),
            endpoint.version,
            &endpoint.url,
            &endpoint.description,
            endpoint.events.join(" "),
            endpoint.state.as_str(),
            &endpoint.off_reason,
        )?;
        one_row(changed, "the endpoint")?;
        self.touch_partner(endpoint.mode, endpoint.partner_id).await
    }

    /// Forgets how an endpoint did, in the transaction that changes it: its breaker is closed, and what waits for it is
    /// due.
    pub async fn refresh_push_endpoint(
        &mut self,
        endpoint: &PushEndpoint,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (endpoint.mode.as_str(), endpoint.partner_id.to_string());
        execute!(self, FRESH, mode, partner, endpoint.id.to_string())?;
        self.hasten_push_deliveries(endpoint.key(), (now, i64::MAX)).await
    }

    /// Lets whoever sends to an endpoint read anew what is due, and write nothing until this transaction ends.
    pub async fn raise_push_endpoint(&mut self, endpoint: &PushEndpoint) -> Result<()> {
        let (mode, partner) = (endpoint.mode.as_str(), endpoint.partner_id.to_string());
        one_row(execute!(self, RAISE, mode, partner, endpoint.id.to_string())?, "the endpoint")
    }

    /// Deletes an endpoint with its keys. Its row stays, unseen, until all that was told to it is gone as well.
    pub async fn delete_push_endpoint(&mut self, endpoint: &PushEndpoint) -> Result<()> {
        let (mode, partner, id) =
            (endpoint.mode.as_str(), endpoint.partner_id.to_string(), endpoint.id.to_string());
        execute!(self, DELETE_KEYS, mode, &partner, &id)?;
        one_row(execute!(self, DELETE, mode, &partner, &id)?, "the endpoint")?;
        self.touch_partner(endpoint.mode, endpoint.partner_id).await
    }

    /// An endpoint of a partner.
    pub async fn push_endpoint(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        id: EndpointId,
    ) -> Result<Option<PushEndpoint>> {
        let (mode, partner, id) = (mode.as_str(), partner.to_string(), id.to_string());
        let row = fetch_optional!(self, EndpointRow, BY_ID, mode, partner, id)?;
        row.map(EndpointRow::into_endpoint).transpose()
    }

    /// All endpoints of a partner, the oldest first.
    pub async fn push_endpoints(
        &mut self,
        (mode, partner): (Mode, PartnerId),
    ) -> Result<Vec<PushEndpoint>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, EndpointRow, OF_PARTNER, mode, partner)?;
        rows.into_iter().map(EndpointRow::into_endpoint).collect()
    }

    /// Listeners of all partners that nobody asked for since a time.
    pub async fn left_push_listeners(
        &mut self,
        since: Timestamp,
        limit: i64,
    ) -> Result<Vec<PushEndpoint>> {
        let rows = fetch_all!(self, EndpointRow, LEFT_LISTENERS, since.as_micros(), limit)?;
        rows.into_iter().map(EndpointRow::into_endpoint).collect()
    }

    /// Deletes a listener unless somebody asked for it since a time, or it is gone; whether it did.
    pub async fn delete_left_push_listener(
        &mut self,
        listener: &PushEndpoint,
        since: Timestamp,
    ) -> Result<bool> {
        let (mode, partner, id) =
            (listener.mode.as_str(), listener.partner_id.to_string(), listener.id.to_string());
        if execute!(self, DELETE_LEFT, mode, &partner, &id, since.as_micros())? == 0 {
            return Ok(false);
        }
        execute!(self, DELETE_KEYS, mode, &partner, &id)?;
        self.touch_partner(listener.mode, listener.partner_id).await?;
        Ok(true)
    }

    /// Notes that somebody asked for a listener's events.
    pub async fn note_push_listener_asked(
        &mut self,
        endpoint: &PushEndpoint,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (endpoint.mode.as_str(), endpoint.partner_id.to_string());
        execute!(self, ASKED, mode, partner, endpoint.id.to_string(), now.as_micros())?;
        Ok(())
    }

    /// Adds a sealed key to an endpoint, and raises nothing: whoever adds it changes the endpoint too.
    pub async fn insert_push_key(
        &mut self,
        endpoint: &PushEndpoint,
        (key_id, sealed): (&str, Vec<u8>),
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (endpoint.mode.as_str(), endpoint.partner_id.to_string());
        let id = endpoint.id.to_string();
        execute!(self, INSERT_KEY, mode, partner, id, key_id, sealed, now.as_micros())?;
        Ok(())
    }

    /// An endpoint's keys, those that retired too; the one that does not retire comes first, then the newest.
    pub async fn push_keys(&mut self, endpoint: &PushEndpoint) -> Result<Vec<PushKey>> {
        let (mode, partner) = (endpoint.mode.as_str(), endpoint.partner_id.to_string());
        let rows = fetch_all!(self, KeyRow, KEYS, mode, partner, endpoint.id.to_string())?;
        let key = |row: KeyRow| PushKey {
            key_id: row.key_id,
            sealed: row.sealed,
            created_at: Timestamp::from_micros(row.created_at),
            retires_at: row.retires_at.map(Timestamp::from_micros),
        };
        Ok(rows.into_iter().map(key).collect())
    }

    /// Lets all keys of an endpoint but one retire at a time, if they would not earlier.
    pub async fn retire_push_keys(
        &mut self,
        endpoint: &PushEndpoint,
        but: &str,
        at: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (endpoint.mode.as_str(), endpoint.partner_id.to_string());
        let id = endpoint.id.to_string();
        execute!(self, RETIRE_KEYS, mode, partner, id, but, at.as_micros())?;
        Ok(())
    }

    /// Deletes the keys of an endpoint that retired.
    pub async fn delete_retired_push_keys(
        &mut self,
        endpoint: &PushEndpoint,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (endpoint.mode.as_str(), endpoint.partner_id.to_string());
        execute!(self, DELETE_RETIRED, mode, partner, endpoint.id.to_string(), now.as_micros())?;
        Ok(())
    }
}
