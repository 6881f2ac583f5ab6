//! What partners are told: events, what each endpoint is told of them, and every try.
//!
//! An event is written in the transaction that made it true, with a delivery for each endpoint that wants it. Both come in
//! batches, because orders do.

use std::collections::HashMap;

use domain::id::{EndpointId, EventId, PartnerId};
use domain::push::DeliveryState;
use domain::{Mode, Span, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::many::{execute_many, fetch_many};
use crate::push_endpoints::EndpointKey;
use crate::push_sweep::COUNTED_MAX;

/// All columns of [`DeliveryRow`], with the event's.
macro_rules! deliveries {
    ($rest:literal) => {
        concat!(
            "SELECT d.endpoint_id, d.event_id, d.subject, d.sequence, d.state, d.tries, d.due_at,
            e.event_type, e.occurred_at, e.recorded_at FROM push_deliveries d
            JOIN push_events e ON e.mode = d.mode AND e.partner_id = d.partner_id
            AND e.event_id = d.event_id
            WHERE d.mode = $1 AND d.partner_id = $2 AND d.endpoint_id = $3 ",
            $rest
        )
    };
}

/// All columns of [`EventRow`].
macro_rules! events {
    ($rest:literal) => {
        concat!(
            "SELECT event_id, event_type, subject, sequence, occurred_at, recorded_at, body
            FROM push_events WHERE mode = $1 AND partner_id = $2 ",
            $rest
        )
    };
}

statements! {
    EVENT = events!("AND event_id = $3");
    /// Those of a range of ids, which sort by when they were written.
    EVENTS = events!("AND event_id > $3 AND event_id < $4 ORDER BY event_id LIMIT $5");
    LAST = events!("AND subject = $3 AND event_type = $4 ORDER BY sequence DESC LIMIT 1");
    LISTED = deliveries!("AND d.event_id < $4 ORDER BY d.event_id DESC LIMIT $5");
    LISTED_IN_STATE = deliveries!("AND d.event_id < $4 AND d.event_id >= $7 AND d.state = $6
        ORDER BY d.event_id DESC LIMIT $5");
    /// By the index of what failed.
    LISTED_FAILED = deliveries!("AND d.event_id < $4 AND d.state = 'failed'
        ORDER BY d.event_id DESC LIMIT $5");
    /// Where so many of an endpoint's deliveries end, the newest first.
    WINDOW = "SELECT MIN(event_id) AS event_id, COUNT(*) AS count FROM (SELECT event_id
        FROM push_deliveries WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3
        AND event_id < $4 ORDER BY event_id DESC LIMIT $5) w";
    ONE = deliveries!("AND d.event_id = $4");
    /// Of each delivery so many tries as it can have in days: few. The last one stands in its own row.
    ATTEMPTS = "SELECT tried_at, latency_micros, status, failure, said FROM push_deliveries
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND event_id = $4
        AND tried_at IS NOT NULL
        UNION ALL SELECT tried_at, latency_micros, status, failure, said FROM push_attempts
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND event_id = $4
        ORDER BY tried_at DESC LIMIT $5";
    /// An endpoint's samples are about itself. What is cut off comes behind what is not, subject by subject. `||` keeps
    /// engines to the index of what failed.
    /// By whole keys, as every batch: of half a key PostgreSQL may look through all that has it, for each of the batch.
    RESEND_FAILED = "UPDATE push_deliveries SET state = 'waiting', tries = 0, due_at = $5
        WHERE (mode, partner_id, endpoint_id, event_id) IN (
        SELECT mode, partner_id, endpoint_id, event_id FROM push_deliveries
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND state = 'failed'
        AND due_at >= $4 AND subject <> $3 AND event_id || '' >= $7 ORDER BY subject, sequence LIMIT $6)";
    HASTEN = "UPDATE push_deliveries SET due_at = $4 WHERE mode = $1 AND partner_id = $2
        AND endpoint_id = $3 AND state = 'waiting' AND due_at > $4 AND tries <= $5";
    WAITING = "SELECT COUNT(*) AS count FROM (SELECT 1 FROM push_deliveries
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND state = 'waiting' LIMIT $4)
        AS counted";
}

/// Something that happened, as partners are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEvent {
    /// Live or test.
    pub mode: Mode,
    /// Who is told.
    pub partner_id: PartnerId,
    /// Its id: the same wherever and whenever it is told.
    pub id: EventId,
    /// What happened, as on the wire.
    pub event_type: String,
    /// What it is about. Events of one subject are told in the order of their sequence.
    pub subject: String,
    /// Its place among the events of its subject.
    pub sequence: i64,
    /// When it happened: business time.
    pub occurred_at: Timestamp,
    /// When it was written: real time.
    pub recorded_at: Timestamp,
    /// The bytes that are signed and sent.
    pub body: String,
}

/// How far the telling of an event to an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushDelivery {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The event.
    pub event_id: EventId,
    /// What happened, as on the wire.
    pub event_type: String,
    /// What it is about.
    pub subject: String,
    /// Its place among the events of its subject.
    pub sequence: i64,
    /// When it happened: business time.
    pub occurred_at: Timestamp,
    /// When it was written: real time.
    pub recorded_at: Timestamp,
    /// How far it is.
    pub state: DeliveryState,
    /// Tries that count.
    pub tries: i64,
    /// When it is due, if it waits; when it was decided, if not.
    pub due_at: Timestamp,
}

/// A try to tell an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushAttempt {
    /// The event.
    pub event_id: EventId,
    /// When it was signed and sent.
    pub tried_at: Timestamp,
    /// From then until the answer's status was there, or until it had failed.
    pub latency: Span,
    /// The answer's status; `None` where there was no answer.
    pub status: Option<u16>,
    /// Why there was none, as a word for programs; else empty.
    pub failure: String,
    /// The beginning of the answer, or words about the failure.
    pub said: String,
}

/// What events are about: whose they are, and the subject.
pub type SubjectKey = (Mode, PartnerId, String);

#[derive(sqlx::FromRow)]
struct EventRow {
    event_id: String,
    event_type: String,
    subject: String,
    sequence: i64,
    occurred_at: i64,
    recorded_at: i64,
    body: String,
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    endpoint_id: String,
    event_id: String,
    event_type: String,
    subject: String,
    sequence: i64,
    occurred_at: i64,
    recorded_at: i64,
    state: String,
    tries: i64,
    due_at: i64,
}

#[derive(sqlx::FromRow)]
struct AttemptRow {
    tried_at: i64,
    latency_micros: i64,
    status: Option<i64>,
    failure: String,
    said: String,
}

#[derive(sqlx::FromRow)]
struct LastRow {
    mode: String,
    partner_id: String,
    subject: String,
    last: i64,
}

impl EventRow {
    fn into_event(self, mode: Mode, partner_id: PartnerId) -> Result<PushEvent> {
        let row = Row { table: "push_events", key: &self.event_id };
        Ok(PushEvent {
            mode,
            partner_id,
            id: row.parse("event_id", &self.event_id)?,
            event_type: self.event_type,
            subject: self.subject,
            sequence: self.sequence,
            occurred_at: Timestamp::from_micros(self.occurred_at),
            recorded_at: Timestamp::from_micros(self.recorded_at),
            body: self.body,
        })
    }
}

impl DeliveryRow {
    fn into_delivery(self) -> Result<PushDelivery> {
        let row = Row { table: "push_deliveries", key: &self.event_id };
        Ok(PushDelivery {
            endpoint_id: row.parse("endpoint_id", &self.endpoint_id)?,
            event_id: row.parse("event_id", &self.event_id)?,
            state: row.parse("state", &self.state)?,
            event_type: self.event_type,
            subject: self.subject,
            sequence: self.sequence,
            occurred_at: Timestamp::from_micros(self.occurred_at),
            recorded_at: Timestamp::from_micros(self.recorded_at),
            tries: self.tries,
            due_at: Timestamp::from_micros(self.due_at),
        })
    }
}

impl AttemptRow {
    fn into_attempt(self, event_id: EventId) -> Result<PushAttempt> {
        let key = event_id.to_string();
        let row = Row { table: "push_deliveries or push_attempts", key: &key };
        let status = self.status.map(u16::try_from).transpose();
        Ok(PushAttempt {
            event_id,
            tried_at: Timestamp::from_micros(self.tried_at),
            latency: Span::micros(self.latency_micros),
            status: status.map_err(|why| row.corrupt("status", why))?,
            failure: self.failure,
            said: self.said,
        })
    }
}

/// The first id that an event of a time can have.
pub(crate) fn first_id(at: Timestamp) -> String {
    EventId::from_parts(u64::try_from(at.as_millis()).unwrap_or(0), [0; 10]).to_string()
}

/// Above every id that there is.
pub(crate) fn last_id() -> String {
    format!("evt_{}", "g".repeat(32))
}

impl Tx {
    /// The highest sequence of each of some subjects; those that nothing happened to are left out.
    pub async fn last_push_sequences(
        &mut self,
        subjects: &[&SubjectKey],
    ) -> Result<HashMap<SubjectKey, i64>> {
        let mut last = HashMap::new();
        for piece in self.pieces(subjects) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_subject) AS ({})
                SELECT mode, partner_id, subject, CAST(MAX(sequence) AS BIGINT) AS last
                FROM v JOIN push_events
                ON mode = k_mode AND partner_id = k_partner AND subject = k_subject
                GROUP BY mode, partner_id, subject",
                self.rows(3, piece.len())
            );
            let rows = fetch_many!(self, LastRow, sql.as_str(), piece,
                (mode, partner, subject) => [mode.as_str(), partner.to_string(), subject.as_str()])?;
            for row in rows {
                let at = Row { table: "push_events", key: "the last of a subject" };
                let mode = at.parse("mode", &row.mode)?;
                let partner = at.parse("partner_id", &row.partner_id)?;
                last.insert((mode, partner, row.subject), row.last);
            }
        }
        Ok(last)
    }

    /// Writes events. A unique index refuses one whose sequence its subject has already.
    pub async fn insert_push_events(&mut self, events: &[PushEvent]) -> Result<()> {
        for piece in self.pieces(events) {
            let sql = format!(
                "INSERT INTO push_events (mode, partner_id, event_id, event_type, subject, sequence,
                occurred_at, recorded_at, body) {}",
                self.rows(9, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, event => [
                event.mode.as_str(),
                event.partner_id.to_string(),
                event.id.to_string(),
                event.event_type.as_str(),
                event.subject.as_str(),
                event.sequence,
                event.occurred_at.as_micros(),
                event.recorded_at.as_micros(),
                event.body.as_str(),
            ])?;
        }
        Ok(())
    }

    /// Lets endpoints be told events from a time on. What an endpoint was told already it is told again, and is due at
    /// another time than before: what came of an earlier try changes it no more.
    pub async fn insert_push_deliveries(
        &mut self,
        deliveries: &[(EndpointId, &PushEvent)],
        due_at: Timestamp,
    ) -> Result<()> {
        for piece in self.pieces(deliveries) {
            let sql = format!(
                "INSERT INTO push_deliveries (mode, partner_id, endpoint_id, event_id, subject,
                sequence, state, tries, due_at) {}
                ON CONFLICT (mode, partner_id, endpoint_id, event_id) DO UPDATE
                SET state = excluded.state, tries = excluded.tries,
                due_at = CASE WHEN push_deliveries.due_at = excluded.due_at
                THEN excluded.due_at - 1 ELSE excluded.due_at END",
                self.rows(9, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, (endpoint, event) => [
                event.mode.as_str(),
                event.partner_id.to_string(),
                endpoint.to_string(),
                event.id.to_string(),
                event.subject.as_str(),
                event.sequence,
                "waiting",
                0_i64,
                due_at.as_micros(),
            ])?;
        }
        Ok(())
    }

    /// An event of a partner.
    pub async fn push_event(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        id: EventId,
    ) -> Result<Option<PushEvent>> {
        let (word, of, id) = (mode.as_str(), partner.to_string(), id.to_string());
        let row = fetch_optional!(self, EventRow, EVENT, word, of, id)?;
        row.map(|row| row.into_event(mode, partner)).transpose()
    }

    /// The last event of a type about a subject.
    pub async fn last_push_event(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        (subject, event_type): (&str, &str),
    ) -> Result<Option<PushEvent>> {
        let (word, of) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, EventRow, LAST, word, of, subject, event_type)?;
        row.map(|row| row.into_event(mode, partner)).transpose()
    }

    /// The events of a partner that were written from a time on and before another, behind one of them if it is given,
    /// the oldest first.
    pub async fn push_events(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        (from, to): (Timestamp, Timestamp),
        (after, limit): (Option<EventId>, i64),
    ) -> Result<Vec<PushEvent>> {
        let after = after.map_or_else(|| first_id(from), |id| id.to_string());
        let (word, of, last) = (mode.as_str(), partner.to_string(), first_id(to));
        let rows = fetch_all!(self, EventRow, EVENTS, word, of, after, last, limit)?;
        rows.into_iter().map(|row| row.into_event(mode, partner)).collect()
    }

    /// What an endpoint is told, the newest event first, before one of them if it is given.
    pub async fn push_deliveries(
        &mut self,
        (mode, partner, endpoint): EndpointKey,
        state: Option<DeliveryState>,
        (before, limit): (Option<EventId>, i64),
    ) -> Result<Vec<PushDelivery>> {
        let (mode, partner, endpoint) = (mode.as_str(), partner.to_string(), endpoint.to_string());
        let before = before.map_or_else(last_id, |id| id.to_string());
        let rows = match state.map(DeliveryState::as_str) {
            None => fetch_all!(self, DeliveryRow, LISTED, mode, partner, endpoint, before, limit)?,
            Some("failed") => {
                let sql = LISTED_FAILED;
                fetch_all!(self, DeliveryRow, sql, mode, partner, endpoint, before, limit)?
            }
            Some(state) => {
                let (sql, from) = (LISTED_IN_STATE, "");
                fetch_all!(
                    self,
                    DeliveryRow,
                    sql,
                    mode,
                    partner,
                    endpoint,
                    before,
                    limit,
                    state,
                    from
                )?
            }
        };
        rows.into_iter().map(DeliveryRow::into_delivery).collect()
    }

    /// The same of what is in a state, looking at so many deliveries at most; and where the next look begins, if that was
    /// not all. So it is quick however rare the state is.
    pub async fn push_deliveries_within(
        &mut self,
        key: EndpointKey,
        state: DeliveryState,
        (before, limit, looked_at): (Option<EventId>, i64, i64),
    ) -> Result<(Vec<PushDelivery>, Option<EventId>)> {
        let (mode, partner, endpoint) = (key.0.as_str(), key.1.to_string(), key.2.to_string());
        let before = before.map_or_else(last_id, |id| id.to_string());
        let window = fetch_optional!(
            self,
            (Option<String>, i64),
            WINDOW,
            mode,
            &partner,
            &endpoint,
            &before,
            looked_at
        )?;
        let Some((Some(from), count)) = window else { return Ok((Vec::new(), None)) };
        let (sql, state) = (LISTED_IN_STATE, state.as_str());
        let rows = fetch_all!(
            self,
            DeliveryRow,
            sql,
            mode,
            partner,
            endpoint,
            before,
            limit,
            state,
            &from
        )?;
        let row = Row { table: "push_deliveries", key: &from };
        let end = (count == looked_at).then(|| row.parse("event_id", &from)).transpose()?;
        let found = rows.into_iter().map(DeliveryRow::into_delivery).collect::<Result<_>>()?;
        Ok((found, end))
    }

    /// How far the telling of one event to an endpoint is.
    pub async fn push_delivery(
        &mut self,
        (mode, partner, endpoint): EndpointKey,
        event: EventId,
    ) -> Result<Option<PushDelivery>> {
        let (mode, partner, endpoint) = (mode.as_str(), partner.to_string(), endpoint.to_string());
        let row =
            fetch_optional!(self, DeliveryRow, ONE, mode, partner, endpoint, event.to_string())?;
        row.map(DeliveryRow::into_delivery).transpose()
    }

    /// The tries to tell an event to an endpoint, the last first.
    pub async fn push_attempts(
        &mut self,
        (mode, partner, endpoint): EndpointKey,
        event: EventId,
        limit: i64,
    ) -> Result<Vec<PushAttempt>> {
        let (mode, partner, endpoint) = (mode.as_str(), partner.to_string(), endpoint.to_string());
        let id = event.to_string();
        let rows = fetch_all!(self, AttemptRow, ATTEMPTS, mode, partner, endpoint, id, limit)?;
        rows.into_iter().map(|row| row.into_attempt(event)).collect()
    }

    /// Lets what failed since a time, of events that were written from another time on, be told to an endpoint again, from
    /// the first try on, but for its samples: at most `limit` events, what comes first of each subject first. Gives how
    /// many they were.
    pub async fn resend_failed_pushes(
        &mut self,
        (mode, partner, endpoint): EndpointKey,
        (since, written_since): (Timestamp, Timestamp),
        (now, limit): (Timestamp, i64),
    ) -> Result<u64> {
        let (mode, partner, endpoint) = (mode.as_str(), partner.to_string(), endpoint.to_string());
        let (since, now, first) = (since.as_micros(), now.as_micros(), first_id(written_since));
        Ok(execute!(self, RESEND_FAILED, mode, partner, endpoint, since, now, limit, first)?)
    }

    /// Lets what waits for an endpoint be due, if so many tries of it failed at most.
    pub async fn hasten_push_deliveries(
        &mut self,
        (mode, partner, endpoint): EndpointKey,
        (now, tries_max): (Timestamp, i64),
    ) -> Result<()> {
        let (mode, partner, endpoint) = (mode.as_str(), partner.to_string(), endpoint.to_string());
        execute!(self, HASTEN, mode, partner, endpoint, now.as_micros(), tries_max)?;
        Ok(())
    }

    /// How much waits for an endpoint; more than 100,000 is not counted.
    pub async fn waiting_pushes(&mut self, (mode, partner, endpoint): EndpointKey) -> Result<i64> {
        let (mode, partner, endpoint) = (mode.as_str(), partner.to_string(), endpoint.to_string());
        let row = fetch_optional!(self, (i64,), WAITING, mode, partner, endpoint, COUNTED_MAX)?;
        Ok(row.map_or(0, |(count,)| count))
    }
}
