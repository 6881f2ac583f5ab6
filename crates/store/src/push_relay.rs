//! How the relay works: which endpoints something is due for, who may send to one, what is sent next, and what came of it.
//!
//! A lease of an endpoint raises its fence, as a claim does a job's. Whoever writes outcomes holds the lease anew in the
//! same transaction: whose fence is too old is left out and writes nothing.

use domain::Timestamp;
use domain::id::EventId;
use domain::push::DeliveryState;

use crate::engine::{Tx, execute, fetch_all, statements};
use crate::error::{Result, Row};
use crate::many::{execute_many, fetch_many};
use crate::push_endpoints::{EndpointHealth, EndpointKey, EndpointRow, PushEndpoint};
use crate::push_events::PushAttempt;

/// A delivery that nothing earlier of its subject waits before. Most are of the first event of their subject, before which
/// there is nothing.
///
/// Not `EXISTS`, here and below, which PostgreSQL may turn into one look through all that waits.
macro_rules! first_of_its_subject {
    () => {
        "d.state = 'waiting' AND (d.sequence = 1 OR (SELECT 1 FROM push_deliveries b WHERE b.mode = d.mode
        AND b.partner_id = d.partner_id AND b.endpoint_id = d.endpoint_id AND b.subject = d.subject
        AND b.state = 'waiting' AND b.sequence < d.sequence LIMIT 1) IS NULL)"
    };
}

pub(crate) use first_of_its_subject;

statements! {
    /// Of an endpoint whose breaker is open, one probe is due and whatever waits will do.
    WITH_WORK = concat!(
        "SELECT e.mode, e.partner_id, e.endpoint_id FROM push_endpoints e WHERE e.state = 'on'
        AND e.kind = 'url' AND e.leased_until <= $1 AND (e.probe_at IS NULL OR e.probe_at <= $1)
        AND (SELECT 1 FROM push_deliveries d WHERE d.mode = e.mode
        AND d.partner_id = e.partner_id AND d.endpoint_id = e.endpoint_id
        AND (e.probe_at IS NOT NULL OR d.due_at <= $1) AND ",
        first_of_its_subject!(),
        " LIMIT 1) IS NOT NULL ORDER BY COALESCE(e.tried_at, 0) LIMIT $2"
    );
    DUE = concat!(
        "SELECT d.event_id, d.tries, d.due_at, d.tried_at, e.body FROM push_deliveries d
        JOIN push_events e ON e.mode = d.mode AND e.partner_id = d.partner_id
        AND e.event_id = d.event_id WHERE d.mode = $1 AND d.partner_id = $2
        AND d.endpoint_id = $3 AND d.due_at <= $4 AND ",
        first_of_its_subject!(),
        " ORDER BY d.due_at, d.event_id LIMIT $5"
    );
    /// By the primary key from its end: what waits is not far from it.
    NEWEST = concat!(
        "SELECT d.event_id, d.tries, d.due_at, d.tried_at, e.body FROM push_deliveries d
        JOIN push_events e ON e.mode = d.mode AND e.partner_id = d.partner_id
        AND e.event_id = d.event_id WHERE d.mode = $1 AND d.partner_id = $2
        AND d.endpoint_id = $3 AND ",
        first_of_its_subject!(),
        " ORDER BY d.event_id DESC LIMIT $4"
    );
    SWITCH_OFF = "UPDATE push_endpoints SET state = 'off', off_reason = $4, version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND state IN ('on', 'paused')";
}

/// Whether a delivery still is as it was when it was read.
const AS_READ: &str = "state = 'waiting' AND tries = k_tries AND due_at = k_due";

/// The right to send to an endpoint, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushLease {
    /// The endpoint.
    pub key: EndpointKey,
    /// The number of this lease; an older one can write nothing.
    pub fence: i64,
    /// Until when nobody else gets it.
    pub until: Timestamp,
}

/// An endpoint whose lease still holds, and the version of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEndpoint {
    /// The endpoint.
    pub key: EndpointKey,
    /// Raised by whoever changes what the partner sees of it.
    pub version: i64,
}

/// A push that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePush {
    /// The event.
    pub event_id: EventId,
    /// How many tries failed that count.
    pub tries: i64,
    /// Since when it is due.
    pub due_at: Timestamp,
    /// Whether it was tried before, with whatever result.
    pub is_tried: bool,
    /// The bytes to sign and send.
    pub body: String,
}

/// What a try made of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushOutcome {
    /// The event.
    pub event_id: EventId,
    /// The tries that counted and the due time that were read before the try: who changed them since keeps his word.
    pub was: (i64, Timestamp),
    /// Whether it may have been tried before: if so, that try goes to the log of earlier ones.
    pub was_tried: bool,
    /// How far the telling of it is.
    pub state: DeliveryState,
    /// Tries that count.
    pub tries: i64,
    /// When it is due, if it waits; when it was decided, if not.
    pub due_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    mode: String,
    partner_id: String,
    endpoint_id: String,
}

#[derive(sqlx::FromRow)]
struct LeasedRow {
    fence: i64,
    #[sqlx(flatten)]
    endpoint: EndpointRow,
}

#[derive(sqlx::FromRow)]
struct HeldRow {
    version: i64,
    #[sqlx(flatten)]
    key: KeyRow,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    event_id: String,
    tries: i64,
    due_at: i64,
    tried_at: Option<i64>,
    body: String,
}

impl DueRow {
    fn into_push(self) -> Result<DuePush> {
        let row = Row { table: "push_deliveries", key: &self.event_id };
        let event_id = row.parse("event_id", &self.event_id)?;
        let due_at = Timestamp::from_micros(self.due_at);
        let is_tried = self.tried_at.is_some();
        Ok(DuePush { event_id, tries: self.tries, due_at, is_tried, body: self.body })
    }
}

impl KeyRow {
    fn into_key(self) -> Result<EndpointKey> {
        let row = Row { table: "push_endpoints", key: &self.endpoint_id };
        Ok((
            row.parse("mode", &self.mode)?,
            row.parse("partner_id", &self.partner_id)?,
            row.parse("endpoint_id", &self.endpoint_id)?,
        ))
    }
}

impl Tx {
    /// Endpoints that nobody sends to and that something is due for, those first that were not sent to for longest.
    pub async fn push_endpoints_with_work(
        &mut self,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<EndpointKey>> {
        let rows = fetch_all!(self, KeyRow, WITH_WORK, now.as_micros(), limit)?;
        rows.into_iter().map(KeyRow::into_key).collect()
    }

    /// Takes the lease of endpoints that are on and that nobody has, and whose breaker is not open or is due to be
    /// probed; gives those that it got.
    pub async fn lease_push_endpoints(
        &mut self,
        keys: &[EndpointKey],
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Vec<(PushLease, PushEndpoint)>> {
        let mut leased = Vec::new();
        for piece in self.pieces(keys) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_endpoint, k_now, k_until) AS ({})
                UPDATE push_endpoints SET leased_until = k_until, fence = fence + 1
                FROM v WHERE mode = k_mode AND partner_id = k_partner AND endpoint_id = k_endpoint
                AND state = 'on' AND kind = 'url' AND leased_until <= k_now
                AND (probe_at IS NULL OR probe_at <= k_now)
                RETURNING fence, mode, partner_id, endpoint_id, kind, url, description, events,
                state, off_reason, version, created_at, failing_since, failures, probe_at,
                tried_at, succeeded_at",
                self.rows(5, piece.len())
            );
            let rows = fetch_many!(self, LeasedRow, sql.as_str(), piece,
            (mode, partner, endpoint) => [
                mode.as_str(),
                partner.to_string(),
                endpoint.to_string(),
                now.as_micros(),
                until.as_micros(),
            ])?;
            for row in rows {
                let endpoint = row.endpoint.into_endpoint()?;
                leased.push((PushLease { key: endpoint.key(), fence: row.fence, until }, endpoint));
            }
        }
        Ok(leased)
    }

    /// Holds leases until the times that stand in them; gives those that still hold. In this transaction nobody else
    /// takes them.
    pub async fn hold_push_leases(&mut self, leases: &[&PushLease]) -> Result<Vec<HeldEndpoint>> {
        let mut held = Vec::with_capacity(leases.len());
        for piece in self.pieces(leases) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_endpoint, k_fence, n_until) AS ({})
                UPDATE push_endpoints SET leased_until = n_until
                FROM v WHERE mode = k_mode AND partner_id = k_partner AND endpoint_id = k_endpoint
                AND fence = k_fence RETURNING version, mode, partner_id, endpoint_id",
                self.rows(5, piece.len())
            );
            let rows = fetch_many!(self, HeldRow, sql.as_str(), piece, lease => [
                lease.key.0.as_str(),
                lease.key.1.to_string(),
                lease.key.2.to_string(),
                lease.fence,
                lease.until.as_micros(),
            ])?;
            for row in rows {
                held.push(HeldEndpoint { version: row.version, key: row.key.into_key()? });
            }
        }
        Ok(held)
    }

    /// Notes how endpoints do, in the transaction in which their leases are held.
    pub async fn note_push_health(
        &mut self,
        endpoints: &[(EndpointKey, EndpointHealth)],
    ) -> Result<()> {
        let micros = |at: Option<Timestamp>| at.map(Timestamp::as_micros);
        for piece in self.pieces(endpoints) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_endpoint, n_failing, n_failures, n_probe, n_tried,
                n_succeeded) AS ({})
                UPDATE push_endpoints SET failing_since = n_failing, failures = n_failures,
                probe_at = n_probe, tried_at = n_tried, succeeded_at = n_succeeded
                FROM v WHERE mode = k_mode AND partner_id = k_partner AND endpoint_id = k_endpoint",
                self.rows(8, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, (key, health) => [
                key.0.as_str(),
                key.1.to_string(),
                key.2.to_string(),
                micros(health.failing_since),
                health.failures,
                micros(health.probe_at),
                micros(health.tried_at),
                micros(health.succeeded_at),
            ])?;
        }
        Ok(())
    }

    /// Gives an endpoint up, for a reason that people are told; whether it was not given up before. The partner's version
    /// was raised in this transaction already, before any endpoint was held: whoever changes an endpoint begins there too.
    pub async fn switch_push_endpoint_off(
        &mut self,
        (mode, partner, endpoint): EndpointKey,
        reason: &str,
    ) -> Result<bool> {
        let (word, of, id) = (mode.as_str(), partner.to_string(), endpoint.to_string());
        Ok(execute!(self, SWITCH_OFF, word, of, id, reason)? == 1)
    }

    /// What is to be told to an endpoint by a time, what has waited longest first, and of each subject only what comes
    /// first.
    pub async fn due_pushes(
        &mut self,
        (mode, partner, endpoint): EndpointKey,
        (due_by, limit): (Timestamp, i64),
    ) -> Result<Vec<DuePush>> {
        let (mode, partner, endpoint) = (mode.as_str(), partner.to_string(), endpoint.to_string());
        let due_by = due_by.as_micros();
        let rows = fetch_all!(self, DueRow, DUE, mode, partner, endpoint, due_by, limit)?;
        rows.into_iter().map(DueRow::into_push).collect()
    }

    /// What waits for an endpoint, due or not, what happened last first, and of each subject only what comes first.
    pub async fn newest_pushes(
        &mut self,
        (mode, partner, endpoint): EndpointKey,
        limit: i64,
    ) -> Result<Vec<DuePush>> {
        let (mode, partner, endpoint) = (mode.as_str(), partner.to_string(), endpoint.to_string());
        let rows = fetch_all!(self, DueRow, NEWEST, mode, partner, endpoint, limit)?;
        rows.into_iter().map(DueRow::into_push).collect()
    }

    /// Writes tries, and what they made of deliveries. What was made to wait anew after it was read goes on as it is, but
    /// for its last try.
    pub async fn write_push_outcomes(
        &mut self,
        outcomes: &[(EndpointKey, &PushOutcome, &PushAttempt)],
    ) -> Result<()> {
        let tried: Vec<_> =
            outcomes.iter().filter(|(_, outcome, _)| outcome.was_tried).copied().collect();
        self.log_earlier_push_tries(&tried).await?;
        for piece in self.pieces(outcomes) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_endpoint, k_event, k_tries, k_due, n_state, n_tries,
                n_due, n_tried, n_latency, n_status, n_failure, n_said) AS ({})
                UPDATE push_deliveries SET
                state = CASE WHEN {AS_READ} THEN n_state ELSE state END,
                tries = CASE WHEN {AS_READ} THEN n_tries ELSE tries END,
                due_at = CASE WHEN {AS_READ} THEN n_due ELSE due_at END,
                tried_at = n_tried, latency_micros = n_latency, status = n_status,
                failure = n_failure, said = n_said
                FROM v WHERE mode = k_mode AND partner_id = k_partner AND endpoint_id = k_endpoint
                AND event_id = k_event",
                self.rows(14, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, (key, outcome, attempt) => [
                key.0.as_str(),
                key.1.to_string(),
                key.2.to_string(),
                outcome.event_id.to_string(),
                outcome.was.0,
                outcome.was.1.as_micros(),
                outcome.state.as_str(),
                outcome.tries,
                outcome.due_at.as_micros(),
                attempt.tried_at.as_micros(),
                attempt.latency.as_micros(),
                attempt.status.map(i64::from),
                attempt.failure.as_str(),
                attempt.said.as_str(),
            ])?;
        }
        Ok(())
    }

    /// Adds the tries that stand in deliveries to the log of earlier ones, before others take their places. One that takes
    /// its own place, because it is not known whether it was written, is no earlier one.
    async fn log_earlier_push_tries(
        &mut self,
        outcomes: &[(EndpointKey, &PushOutcome, &PushAttempt)],
    ) -> Result<()> {
        for piece in self.pieces(outcomes) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_endpoint, k_event, n_tried) AS ({})
                INSERT INTO push_attempts (mode, partner_id, endpoint_id, event_id, tried_at,
                latency_micros, status, failure, said)
                SELECT mode, partner_id, endpoint_id, event_id, tried_at, latency_micros, status,
                failure, said FROM v JOIN push_deliveries ON mode = k_mode
                AND partner_id = k_partner AND endpoint_id = k_endpoint AND event_id = k_event
                WHERE tried_at <> n_tried ON CONFLICT DO NOTHING",
                self.rows(5, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, (key, outcome, attempt) => [
                key.0.as_str(),
                key.1.to_string(),
                key.2.to_string(),
                outcome.event_id.to_string(),
                attempt.tried_at.as_micros(),
            ])?;
        }
        Ok(())
    }
}
