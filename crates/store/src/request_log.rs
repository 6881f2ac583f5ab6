//! What partners asked and how they were answered. Rows come in batches, are read by key, and go when they
//! are old; nothing else depends on them.

use domain::id::{PartnerId, RequestId};
use domain::{Mode, Timestamp};

use crate::engine::{Store, Tx, execute, fetch_all, statements};
use crate::error::{Result, Row};
use crate::many::execute_many;

/// The code of a request that was not refused.
pub const SUCCESS: &str = "SUCCESS";

/// The rows of a partner that a filter takes, the newest first.
macro_rules! list {
    ($more:literal) => {
        concat!(
            "SELECT request_id, at, route, status, code, form, key_id, took_us, address, trace,
            sign_content, causes, order_no FROM request_log WHERE mode = $1 AND partner_id = $2
            AND request_id >= $3 AND request_id < $4 AND at >= $5 AND at < $6 ",
            $more,
            " ORDER BY request_id DESC LIMIT $7"
        )
    };
}

statements! {
    LIST = list!("");
    LIST_ORDER = list!("AND order_no = $8");
    LIST_SUCCEEDED = list!("AND code = 'SUCCESS'");
    LIST_FAILED = list!("AND code <> 'SUCCESS'");
    LIST_CODE = list!("AND code <> 'SUCCESS' AND code = $8");
    PARTNERS = "SELECT mode, partner_id FROM partners";
    /// A few of them at a time: others must not wait for it.
    DELETE_OLD = "DELETE FROM request_log WHERE (mode, partner_id, request_id) IN (
        SELECT mode, partner_id, request_id FROM request_log WHERE mode = $1 AND partner_id = $2 AND request_id < $3
        ORDER BY request_id LIMIT $4)";
}

/// A request of a partner, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Live or test.
    pub mode: Mode,
    /// The partner that made it, or was named by it.
    pub partner_id: PartnerId,
    /// Its number.
    pub id: RequestId,
    /// When it came.
    pub at: Timestamp,
    /// Method and template of its route.
    pub route: String,
    /// The HTTP status of its answer.
    pub status: u16,
    /// [`SUCCESS`], or why it was refused.
    pub code: String,
    /// How a good signature was made; else empty.
    pub form: String,
    /// With which key; empty where there was none.
    pub key_id: String,
    /// How long it took, in microseconds.
    pub took_us: i64,
    /// Where it came from.
    pub address: String,
    /// Its trace.
    pub trace: String,
    /// The content whose signature does not match, redacted.
    pub sign_content: Option<String>,
    /// Why it does not match, as words joined by commas; empty if nothing was found.
    pub causes: Option<String>,
    /// The number of the order that it is about; empty where it is about none.
    pub order_no: String,
}

/// Which requests are listed.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Those with this code.
    pub code: Option<String>,
    /// Those that succeeded, or those that did not.
    pub succeeded: Option<bool>,
    /// Those that came then or later.
    pub from: Option<Timestamp>,
    /// Those that came before.
    pub to: Option<Timestamp>,
    /// Those before this one.
    pub before: Option<RequestId>,
}

#[derive(sqlx::FromRow)]
struct LogRow {
    request_id: String,
    at: i64,
    route: String,
    status: i64,
    code: String,
    form: String,
    key_id: String,
    took_us: i64,
    address: String,
    trace: String,
    sign_content: Option<String>,
    causes: Option<String>,
    order_no: String,
}

#[derive(sqlx::FromRow)]
struct PartnerRow {
    mode: String,
    partner_id: String,
}

impl LogRow {
    fn into_request(self, mode: Mode, partner_id: PartnerId) -> Result<LoggedRequest> {
        let row = Row { table: "request_log", key: &self.request_id };
        Ok(LoggedRequest {
            mode,
            partner_id,
            id: row.parse("request_id", &self.request_id)?,
            status: u16::try_from(self.status).map_err(|why| row.corrupt("status", why))?,
            at: Timestamp::from_micros(self.at),
            route: self.route,
            code: self.code,
            form: self.form,
            key_id: self.key_id,
            took_us: self.took_us,
            address: self.address,
            trace: self.trace,
            sign_content: self.sign_content,
            causes: self.causes,
            order_no: self.order_no,
        })
    }
}

/// The first id that a request of a time can have.
fn first_id(at: Timestamp) -> RequestId {
    RequestId::from_parts(u64::try_from(at.as_millis()).unwrap_or(0), [0; 10])
}

impl Tx {
    /// Writes requests down; one that is there already stays as it is.
    pub async fn insert_requests(&mut self, requests: &[LoggedRequest]) -> Result<()> {
        for piece in self.pieces(requests) {
            let sql = format!(
                "INSERT INTO request_log (mode, partner_id, request_id, at, route, status, code,
                form, key_id, took_us, address, trace, sign_content, causes, order_no) {}
                ON CONFLICT DO NOTHING",
                self.rows(15, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, request => [
                request.mode.as_str(),
                request.partner_id.to_string(),
                request.id.to_string(),
                request.at.as_micros(),
                request.route.as_str(),
                i64::from(request.status),
                request.code.as_str(),
                request.form.as_str(),
                request.key_id.as_str(),
                request.took_us,
                request.address.as_str(),
                request.trace.as_str(),
                request.sign_content.as_deref(),
                request.causes.as_deref(),
                request.order_no.as_str(),
            ])?;
        }
        Ok(())
    }

    /// The requests of a partner, the newest first.
    pub async fn logged_requests(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        filter: &LogFilter,
        limit: i64,
    ) -> Result<Vec<LoggedRequest>> {
        let from = filter.from.unwrap_or(Timestamp::from_micros(0));
        let to = filter.to.unwrap_or(Timestamp::from_micros(i64::MAX));
        let first = first_id(from).to_string();
        let last = match filter.before {
            Some(id) => id.to_string(),
            // Above every id there is.
            None => format!("req_{}", "f".repeat(32)),
        };
        let (from, to) = (from.as_micros(), to.as_micros());
        let (key, id) = (mode.as_str(), partner.to_string());
        let rows = match (filter.code.as_deref(), filter.succeeded) {
            // Nothing fails with the code of success, or succeeds with another.
            (Some(SUCCESS), Some(false)) => Vec::new(),
            (Some(SUCCESS), _) | (None, Some(true)) => {
                fetch_all!(self, LogRow, LIST_SUCCEEDED, key, id, first, last, from, to, limit)?
            }
            (Some(_), Some(true)) => Vec::new(),
            (Some(code), _) => {
                fetch_all!(self, LogRow, LIST_CODE, key, id, first, last, from, to, limit, code)?
            }
            (None, Some(false)) => {
                fetch_all!(self, LogRow, LIST_FAILED, key, id, first, last, from, to, limit)?
            }
            (None, None) => fetch_all!(self, LogRow, LIST, key, id, first, last, from, to, limit)?,
        };
        rows.into_iter().map(|row| row.into_request(mode, partner)).collect()
    }

    /// The requests of a partner about an order, that came within a time, the newest first.
    pub async fn requests_of_order(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        order_no: &str,
        (from, to): (Timestamp, Timestamp),
        limit: i64,
    ) -> Result<Vec<LoggedRequest>> {
        let (first, last) = (first_id(from).to_string(), first_id(to).to_string());
        let (from, to) = (from.as_micros(), to.as_micros());
        let (key, id) = (mode.as_str(), partner.to_string());
        let sql = LIST_ORDER;
        let rows = fetch_all!(self, LogRow, sql, key, id, first, last, from, to, limit, order_no)?;
        rows.into_iter().map(|row| row.into_request(mode, partner)).collect()
    }

    /// Deletes at most `limit` requests of a partner that came before a time; gives how many they were.
    pub async fn delete_requests(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        before: Timestamp,
        limit: i64,
    ) -> Result<u64> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let first = first_id(before).to_string();
        Ok(execute!(self, DELETE_OLD, mode, partner, first, limit)?)
    }
}

impl Store {
    /// All partners of both modes, by id.
    pub async fn partner_ids(&self) -> Result<Vec<(Mode, PartnerId)>> {
        let mut reader = self.read().await?;
        let rows = fetch_all!(reader, PartnerRow, PARTNERS)?;
        let parse = |row: PartnerRow| {
            let place = Row { table: "partners", key: &row.partner_id };
            Ok((place.parse("mode", &row.mode)?, place.parse("partner_id", &row.partner_id)?))
        };
        rows.into_iter().map(parse).collect()
    }
}
