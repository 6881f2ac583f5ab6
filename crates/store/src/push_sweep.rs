//! What goes of pushes when it is over, and figures of what waits.

use domain::id::{EventId, PartnerId};
use domain::{Mode, Timestamp};

use crate::engine::{Store, Tx, execute, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::many::execute_many;
use crate::push_endpoints::EndpointKey;
use crate::push_events::first_id;
use crate::push_relay::first_of_its_subject;

/// The most events that are counted as waiting for an endpoint; there may be more.
pub(crate) const COUNTED_MAX: i64 = 100_000;
/// What a deleted endpoint's row says until it is gone.
const DELETED: &str = "deleted";
/// What one says that is sent to, or taken from.
const ON: &str = "on";

statements! {
    ENDPOINTS = "SELECT mode, partner_id, endpoint_id, state FROM push_endpoints
        ORDER BY mode, partner_id, endpoint_id";
    /// Whether there is anything to delete.
    HAS_ATTEMPTS = "SELECT 1 FROM push_attempts WHERE mode = $1 AND partner_id = $2
        AND endpoint_id = $3 AND event_id < $4 AND tried_at < $5 LIMIT 1";
    HAS_DELIVERIES = "SELECT 1 FROM push_deliveries WHERE mode = $1 AND partner_id = $2
        AND endpoint_id = $3 AND event_id < $4 AND (state <> 'waiting' OR $5) LIMIT 1";
    DELETE_ATTEMPTS = "DELETE FROM push_attempts
        WHERE (mode, partner_id, endpoint_id, event_id, tried_at) IN (
        SELECT mode, partner_id, endpoint_id, event_id, tried_at FROM push_attempts
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND event_id < $4
        AND tried_at < $5 ORDER BY event_id LIMIT $6)";
    DELETE_DELIVERIES = "DELETE FROM push_deliveries
        WHERE (mode, partner_id, endpoint_id, event_id) IN (
        SELECT mode, partner_id, endpoint_id, event_id FROM push_deliveries
        WHERE mode = $1 AND partner_id = $2 AND endpoint_id = $3 AND event_id < $4
        AND (state <> 'waiting' OR $5) ORDER BY event_id LIMIT $6)";
    DELETE_ENDPOINT = "DELETE FROM push_endpoints WHERE mode = $1 AND partner_id = $2
        AND endpoint_id = $3 AND state = 'deleted'";
    OLD_EVENTS = "SELECT mode, partner_id, event_id, recorded_at, CAST(CASE WHEN EXISTS (
        SELECT 1 FROM push_endpoints e JOIN push_deliveries d ON d.mode = e.mode
        AND d.partner_id = e.partner_id AND d.endpoint_id = e.endpoint_id
        AND d.event_id = push_events.event_id WHERE e.mode = push_events.mode
        AND e.partner_id = push_events.partner_id) THEN 1 ELSE 0 END AS BIGINT) AS told
        FROM push_events WHERE recorded_at < $1 AND (recorded_at, event_id) > ($2, $3)
        ORDER BY recorded_at, event_id LIMIT $4";
    /// What waits behind something earlier of its subject, and what waits for a breaker, is no backlog.
    FIGURES = concat!("SELECT mode, state, CAST(COUNT(*) AS BIGINT) AS endpoints,
        CAST(COUNT(probe_at) AS BIGINT) AS failing, CAST(SUM(waiting) AS BIGINT) AS waiting,
        CAST(MIN(oldest) AS BIGINT) AS oldest FROM (
            SELECT e.mode, e.state, e.probe_at, (SELECT COUNT(*) FROM (
                SELECT 1 FROM push_deliveries d WHERE d.mode = e.mode
                AND d.partner_id = e.partner_id AND d.endpoint_id = e.endpoint_id
                AND d.state = 'waiting' LIMIT $1) AS counted) AS waiting,
                CASE WHEN e.probe_at IS NULL THEN (SELECT d.due_at FROM push_deliveries d
                WHERE d.mode = e.mode AND d.partner_id = e.partner_id
                AND d.endpoint_id = e.endpoint_id AND ", first_of_its_subject!(),
                " ORDER BY d.due_at LIMIT 1) END AS oldest
            FROM push_endpoints e WHERE e.state <> 'deleted') AS each_one
        GROUP BY mode, state");
}

/// How endpoints of a mode that are in a state do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushFigure {
    /// Live or test.
    pub mode: Mode,
    /// The state's word.
    pub state: String,
    /// How many there are.
    pub endpoints: i64,
    /// How many of them have an open breaker.
    pub failing: i64,
    /// How many events wait for them; of each 100,000 at most are counted.
    pub waiting: i64,
    /// When the event was due that has waited longest since then; it may be yet to come.
    pub oldest: Option<Timestamp>,
}

/// What names an event's row.
pub type EventKey = (Mode, PartnerId, EventId);

#[derive(sqlx::FromRow)]
struct EndpointRow {
    mode: String,
    partner_id: String,
    endpoint_id: String,
    state: String,
}

#[derive(sqlx::FromRow)]
struct OldRow {
    mode: String,
    partner_id: String,
    event_id: String,
    recorded_at: i64,
    told: i64,
}

/// An event that was written long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldPushEvent {
    /// Its row.
    pub key: EventKey,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// Whether an endpoint is to be told of it, or has been and that is still known.
    pub is_told: bool,
}

/// What of an endpoint's log is over.
struct Over {
    key: (&'static str, String, String),
    first: String,
    tried_before: i64,
    /// What waits is over too.
    is_all: bool,
    is_deleted: bool,
}

impl Over {
    fn of(((mode, partner, endpoint), state): (EndpointKey, &str), before: Timestamp) -> Self {
        let is_deleted = state == DELETED;
        let (tried_before, first) = if is_deleted {
            (i64::MAX, crate::push_events::last_id())
        } else {
            (before.as_micros(), first_id(before))
        };
        let key = (mode.as_str(), partner.to_string(), endpoint.to_string());
        Self { key, first, tried_before, is_all: state != ON, is_deleted }
    }
}

#[derive(sqlx::FromRow)]
struct FigureRow {
    mode: String,
    state: String,
    endpoints: i64,
    failing: i64,
    waiting: i64,
    oldest: Option<i64>,
}

impl Store {
    /// How endpoints do, by mode and state.
    pub async fn push_figures(&self) -> Result<Vec<PushFigure>> {
        let mut reader = self.read().await?;
        let rows = fetch_all!(reader, FigureRow, FIGURES, COUNTED_MAX)?;
        let figure = |row: FigureRow| {
            let at = Row { table: "push_endpoints", key: "any" };
            Ok(PushFigure {
                mode: at.parse("mode", &row.mode)?,
                state: row.state,
                endpoints: row.endpoints,
                failing: row.failing,
                waiting: row.waiting,
                oldest: row.oldest.map(Timestamp::from_micros),
            })
        };
        rows.into_iter().map(figure).collect()
    }
}

impl Tx {
    /// All endpoints with the words of their states, those that were deleted too.
    pub async fn push_endpoints_to_sweep(&mut self) -> Result<Vec<(EndpointKey, String)>> {
        let rows = fetch_all!(self, EndpointRow, ENDPOINTS)?;
        let parse = |found: EndpointRow| {
            let row = Row { table: "push_endpoints", key: &found.endpoint_id };
            let mode = row.parse("mode", &found.mode)?;
            let partner = row.parse("partner_id", &found.partner_id)?;
            let key = (mode, partner, row.parse("endpoint_id", &found.endpoint_id)?);
            Ok((key, found.state))
        };
        rows.into_iter().map(parse).collect()
    }

    /// Whether [`Tx::sweep_push_endpoint`] would delete anything.
    pub async fn has_push_sweepings(
        &mut self,
        endpoint: (EndpointKey, &str),
        before: Timestamp,
    ) -> Result<bool> {
        let Over { key: (mode, partner, id), first, tried_before, is_all, is_deleted } =
            Over::of(endpoint, before);
        if is_deleted {
            return Ok(true);
        }
        let sql = HAS_ATTEMPTS;
        if fetch_optional!(self, (i32,), sql, mode, &partner, &id, &first, tried_before)?.is_some()
        {
            return Ok(true);
        }
        let sql = HAS_DELIVERIES;
        Ok(fetch_optional!(self, (i32,), sql, mode, &partner, &id, &first, is_all)?.is_some())
    }

    /// Deletes some of what was told to an endpoint of events from before a time: of one that is on what does not wait, of
    /// one that is paused or off all, of one that was deleted whatever there is, and at last the endpoint itself. Gives
    /// how many rows went.
    pub async fn sweep_push_endpoint(
        &mut self,
        endpoint: (EndpointKey, &str),
        before: Timestamp,
        limit: i64,
    ) -> Result<u64> {
        let Over { key: (mode, partner, id), first, tried_before, is_all, is_deleted } =
            Over::of(endpoint, before);
        let sql = DELETE_ATTEMPTS;
        let tries = execute!(self, sql, mode, &partner, &id, &first, tried_before, limit)?;
        let sql = DELETE_DELIVERIES;
        let told = execute!(self, sql, mode, &partner, &id, &first, is_all, limit)?;
        if is_deleted && tries + told == 0 {
            return Ok(execute!(self, DELETE_ENDPOINT, mode, &partner, &id)?);
        }
        Ok(tries + told)
    }

    /// Events that were written before a time, behind one of them if it is given, the oldest first.
    pub async fn old_push_events(
        &mut self,
        after: Option<(Timestamp, EventId)>,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<OldPushEvent>> {
        let (at, id) =
            after.map_or((i64::MIN, String::new()), |(at, id)| (at.as_micros(), id.to_string()));
        let rows = fetch_all!(self, OldRow, OLD_EVENTS, before.as_micros(), at, id, limit)?;
        let parse = |old: OldRow| {
            let row = Row { table: "push_events", key: &old.event_id };
            let mode = row.parse("mode", &old.mode)?;
            let partner = row.parse("partner_id", &old.partner_id)?;
            let key = (mode, partner, row.parse("event_id", &old.event_id)?);
            let recorded_at = Timestamp::from_micros(old.recorded_at);
            Ok(OldPushEvent { key, recorded_at, is_told: old.told != 0 })
        };
        rows.into_iter().map(parse).collect()
    }

    /// Deletes those of some events that no endpoint is told of any more; gives how many they were.
    pub async fn delete_untold_push_events(&mut self, events: &[EventKey]) -> Result<u64> {
        let mut gone = 0;
        for piece in self.pieces(events) {
            let sql = format!(
                "DELETE FROM push_events WHERE (mode, partner_id, event_id) IN ({}) AND NOT EXISTS (
                SELECT 1 FROM push_endpoints e JOIN push_deliveries d ON d.mode = e.mode
                AND d.partner_id = e.partner_id AND d.endpoint_id = e.endpoint_id
                AND d.event_id = push_events.event_id
                WHERE e.mode = push_events.mode AND e.partner_id = push_events.partner_id)",
                self.rows(3, piece.len())
            );
            gone += execute_many!(self, sql.as_str(), piece, (mode, partner, event) => [
                mode.as_str(),
                partner.to_string(),
                event.to_string(),
            ])?;
        }
        Ok(gone)
    }
}
