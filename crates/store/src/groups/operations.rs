//! Operations on the SIMs of groups, and their parts. A part keeps its SIMs and what came of each as lines of one text: it is
//! written by whoever has its job, and by a person's decision, each by compare-and-set.

use std::collections::HashSet;

use domain::group::{Item, ItemCounts, ItemState, Operation, OperationState};
use domain::id::{GroupOperationId, PartnerId};
use domain::{Iccid, Mode, Timestamp};

use super::GroupKey;
use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};
use crate::many::execute_many;

/// All columns of [`OperationRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT partner_id, request_id, group_id, operation_no, kind, state, cancelled, total, succeeded,
            failed, not_begun, in_review, idempotency_key, content_hash, retry_of, trace, asked_at,
            created_at, finished_at FROM group_operations WHERE mode = $1 ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO group_operations (mode, partner_id, request_id, group_id, operation_no, kind,
        state, cancelled, total, succeeded, failed, not_begun, in_review, idempotency_key, content_hash,
        retry_of, trace, asked_at, created_at, finished_at) VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE, $8,
        0, 0, 0, 0, $9, $10, $11, $12, $13, $14, NULL)";
    FIND = select!("AND partner_id = $2 AND request_id = $3");
    BY_KEY = select!("AND partner_id = $2 AND idempotency_key = $3 AND idempotency_key <> ''");
    NEWEST = select!("AND partner_id = $2 AND group_id = $3 ORDER BY operation_no DESC LIMIT 1");
    OF_GROUP = select!("AND partner_id = $2 AND group_id = $3 AND operation_no < $4
        ORDER BY operation_no DESC LIMIT $5");
    /// Parts of earlier operations on a group that have SIMs which are not decided, among them perhaps some of a range.
    EARLIER = "SELECT c.request_id, c.lines FROM group_operations o JOIN group_chunks c ON c.mode = o.mode
        AND c.partner_id = o.partner_id AND c.request_id = o.request_id WHERE o.mode = $1
        AND o.partner_id = $2 AND o.group_id = $3 AND o.operation_no < $4 AND o.finished_at IS NULL
        AND c.open > 0 AND c.last_iccid >= $5 AND c.first_iccid <= $6";
    OPEN = select!("AND request_id > $2 AND finished_at IS NULL ORDER BY request_id LIMIT $3");
    ANYBODYS = select!("AND request_id = $2");
    /// Ids sort by their time.
    OLD = select!("AND request_id < $2 AND finished_at IS NOT NULL ORDER BY request_id LIMIT $3");
    BEGIN = "UPDATE group_operations SET state = 'RUNNING'
        WHERE mode = $1 AND partner_id = $2 AND request_id = $3 AND state = 'ACCEPTED'";
    /// The row is locked by it: of parts that end at the same time, one sees that all are done.
    COUNT = "UPDATE group_operations SET succeeded = succeeded + $4, failed = failed + $5,
        not_begun = not_begun + $6, in_review = in_review + $7
        WHERE mode = $1 AND partner_id = $2 AND request_id = $3
        RETURNING total, succeeded, failed, not_begun, in_review";
    SET_STATE = "UPDATE group_operations SET state = $4, finished_at = COALESCE(finished_at, $5)
        WHERE mode = $1 AND partner_id = $2 AND request_id = $3";
    CANCEL = "UPDATE group_operations SET cancelled = TRUE
        WHERE mode = $1 AND partner_id = $2 AND request_id = $3 AND finished_at IS NULL";
    DELETE = "DELETE FROM group_operations WHERE mode = $1 AND partner_id = $2 AND request_id = $3";
    DELETE_CHUNKS = "DELETE FROM group_chunks WHERE mode = $1 AND partner_id = $2 AND request_id = $3";
    CHUNK = "SELECT chunk_no, followed, lines, version FROM group_chunks
        WHERE mode = $1 AND partner_id = $2 AND request_id = $3 AND chunk_no = $4";
    UPDATE_CHUNK = "UPDATE group_chunks SET open = $6, failed = $7, followed = $8, lines = $9,
        version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND request_id = $3 AND chunk_no = $4 AND version = $5";
    SIZES = "SELECT chunk_no, sims, failed, open, followed FROM group_chunks
        WHERE mode = $1 AND partner_id = $2 AND request_id = $3 ORDER BY chunk_no";
}

#[derive(sqlx::FromRow)]
struct OperationRow {
    partner_id: String,
    request_id: String,
    group_id: String,
    operation_no: i64,
    kind: String,
    state: String,
    cancelled: bool,
    total: i64,
    succeeded: i64,
    failed: i64,
    not_begun: i64,
    in_review: i64,
    idempotency_key: String,
    content_hash: Vec<u8>,
    retry_of: String,
    trace: String,
    asked_at: i64,
    created_at: i64,
    finished_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CountsRow {
    total: i64,
    succeeded: i64,
    failed: i64,
    not_begun: i64,
    in_review: i64,
}

#[derive(sqlx::FromRow)]
struct ChunkRow {
    chunk_no: i64,
    followed: bool,
    lines: String,
    version: i64,
}

/// A part of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its number, from 1.
    pub no: i64,
    /// Whether the job of the part that follows it was written.
    pub followed: bool,
    /// Its SIMs.
    pub items: Vec<Item>,
    version: i64,
}

/// How many SIMs a part has, and how many of them did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct ChunkSize {
    /// Its number.
    #[sqlx(rename = "chunk_no")]
    pub no: i64,
    /// All of its SIMs.
    pub sims: i64,
    /// Those that failed, were not begun, or wait for a person.
    pub failed: i64,
    /// Those that are not decided.
    pub open: i64,
    /// Whether the job of the part that follows it was written.
    pub followed: bool,
}

impl Chunk {
    /// A part that nobody has begun.
    pub fn new(no: i64, items: Vec<Item>) -> Self {
        Self { no, followed: false, items, version: 0 }
    }

    fn count(&self, is_one: impl Fn(ItemState) -> bool) -> i64 {
        let found = self.items.iter().filter(|item| is_one(item.state)).count();
        i64::try_from(found).unwrap_or(i64::MAX)
    }

    /// How many of its SIMs are not decided.
    pub fn open(&self) -> i64 {
        self.count(|state| state == ItemState::Waiting)
    }

    fn failed(&self) -> i64 {
        self.count(|state| !matches!(state, ItemState::Waiting | ItemState::Succeeded))
    }

    /// Its first SIM and its last, in the order of their numbers; `None`: it has none.
    pub fn range(&self) -> Option<(&Iccid, &Iccid)> {
        let iccids = || self.items.iter().map(|item| &item.iccid);
        Some((iccids().min()?, iccids().max()?))
    }

    fn lines(&self) -> String {
        self.items.iter().map(Item::line).collect::<Vec<_>>().join("\n")
    }
}

impl OperationRow {
    fn into_operation(self, mode: Mode) -> Result<Operation> {
        let row = Row { table: "group_operations", key: &self.request_id };
        let retry_of = match self.retry_of.as_str() {
            "" => None,
            id => Some(row.parse("retry_of", id)?),
        };
        Ok(Operation {
            mode,
            partner_id: row.parse("partner_id", &self.partner_id)?,
            id: row.parse("request_id", &self.request_id)?,
            kind: row.parse("kind", &self.kind)?,
            state: row.parse("state", &self.state)?,
            retry_of,
            group_id: self.group_id,
            no: self.operation_no,
            cancelled: self.cancelled,
            counts: ItemCounts {
                total: self.total,
                succeeded: self.succeeded,
                failed: self.failed,
                cancelled: self.not_begun,
                review: self.in_review,
            },
            idempotency_key: self.idempotency_key,
            content_hash: self.content_hash,
            trace: self.trace,
            asked_at: Timestamp::from_micros(self.asked_at),
            created_at: Timestamp::from_micros(self.created_at),
            finished_at: self.finished_at.map(Timestamp::from_micros),
        })
    }
}

fn items(request: &str, lines: &str) -> Result<Vec<Item>> {
    let row = Row { table: "group_chunks", key: request };
    let read = |line| Item::from_line(line).ok_or_else(|| row.corrupt("lines", "not a line"));
    lines.lines().map(read).collect()
}

impl Tx {
    /// Adds an operation with its parts. A unique index refuses a key of the caller's that is taken.
    pub async fn insert_operation(
        &mut self,
        operation: &Operation,
        chunks: &[Chunk],
    ) -> Result<()> {
        let (mode, partner) = (operation.mode.as_str(), operation.partner_id.to_string());
        let id = operation.id.to_string();
        execute!(
            self,
            INSERT,
            mode,
            &partner,
            &id,
            &operation.group_id,
            operation.no,
            operation.kind.as_str(),
            operation.state.as_str(),
            operation.counts.total,
            &operation.idempotency_key,
            &operation.content_hash,
            operation.retry_of.map(|id| id.to_string()).unwrap_or_default(),
            &operation.trace,
            operation.asked_at.as_micros(),
            operation.created_at.as_micros(),
        )?;
        for piece in self.pieces(chunks) {
            let sql = format!(
                "INSERT INTO group_chunks (mode, partner_id, request_id, chunk_no, sims, open, failed,
                followed, lines, version, first_iccid, last_iccid) {}",
                self.rows(12, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, chunk => [
                mode,
                partner.as_str(),
                id.as_str(),
                chunk.no,
                i64::try_from(chunk.items.len()).unwrap_or(i64::MAX),
                chunk.open(),
                chunk.failed(),
                chunk.followed,
                chunk.lines(),
                0_i64,
                chunk.range().map_or("", |(first, _)| first.as_str()),
                chunk.range().map_or("", |(_, last)| last.as_str()),
            ])?;
        }
        Ok(())
    }

    /// An operation of a partner.
    pub async fn operation(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        id: GroupOperationId,
    ) -> Result<Option<Operation>> {
        let (partner, id) = (partner.to_string(), id.to_string());
        let row = fetch_optional!(self, OperationRow, FIND, mode.as_str(), partner, id)?;
        row.map(|row| row.into_operation(mode)).transpose()
    }

    /// The operation of a key of the caller's.
    pub async fn operation_by_key(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        key: &str,
    ) -> Result<Option<Operation>> {
        let partner = partner.to_string();
        let row = fetch_optional!(self, OperationRow, BY_KEY, mode.as_str(), partner, key)?;
        row.map(|row| row.into_operation(mode)).transpose()
    }

    /// A group's newest operation.
    pub async fn newest_operation(
        &mut self,
        (mode, partner, group): GroupKey<'_>,
    ) -> Result<Option<Operation>> {
        let partner = partner.to_string();
        let row = fetch_optional!(self, OperationRow, NEWEST, mode.as_str(), partner, group)?;
        row.map(|row| row.into_operation(mode)).transpose()
    }

    /// A group's operations before one with a number, the newest first.
    pub async fn operations_of_group(
        &mut self,
        (mode, partner, group): GroupKey<'_>,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Operation>> {
        let (text, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, OperationRow, OF_GROUP, text, partner, group, before, limit)?;
        rows.into_iter().map(|row| row.into_operation(mode)).collect()
    }

    /// The SIMs that earlier operations on the same group have not decided: those of a range, and perhaps others.
    pub async fn undecided_before(
        &mut self,
        operation: &Operation,
        (first, last): (&Iccid, &Iccid),
    ) -> Result<HashSet<Iccid>> {
        let (mode, partner) = (operation.mode.as_str(), operation.partner_id.to_string());
        let (group, no) = (&operation.group_id, operation.no);
        let (first, last) = (first.as_str(), last.as_str());
        let mut undecided = HashSet::new();
        for (request, lines) in
            fetch_all!(self, (String, String), EARLIER, mode, partner, group, no, first, last)?
        {
            let waiting = items(&request, &lines)?.into_iter();
            let waiting = waiting.filter(|item| item.state == ItemState::Waiting);
            undecided.extend(waiting.map(|item| item.iccid));
        }
        Ok(undecided)
    }

    /// An operation by its id, whosever it is.
    pub async fn find_operation(
        &mut self,
        mode: Mode,
        id: GroupOperationId,
    ) -> Result<Option<Operation>> {
        let row = fetch_optional!(self, OperationRow, ANYBODYS, mode.as_str(), id.to_string())?;
        row.map(|row| row.into_operation(mode)).transpose()
    }

    /// Operations that have ended and whose ids come before one, the eldest first.
    pub async fn old_operations(
        &mut self,
        mode: Mode,
        before: GroupOperationId,
        limit: i64,
    ) -> Result<Vec<Operation>> {
        let before = before.to_string();
        let rows = fetch_all!(self, OperationRow, OLD, mode.as_str(), before, limit)?;
        rows.into_iter().map(|row| row.into_operation(mode)).collect()
    }

    /// Operations of a mode after one that have not ended, the eldest first.
    pub async fn open_operations(
        &mut self,
        mode: Mode,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Operation>> {
        let rows = fetch_all!(self, OperationRow, OPEN, mode.as_str(), after, limit)?;
        rows.into_iter().map(|row| row.into_operation(mode)).collect()
    }

    /// Notes that an operation has begun.
    pub async fn begin_operation(&mut self, operation: &Operation) -> Result<()> {
        let (mode, partner) = (operation.mode.as_str(), operation.partner_id.to_string());
        execute!(self, BEGIN, mode, partner, operation.id.to_string())?;
        Ok(())
    }

    /// Counts what came of SIMs of an operation; gives what came of all.
    pub async fn count_operation(
        &mut self,
        operation: &Operation,
        came: ItemCounts,
    ) -> Result<ItemCounts> {
        let (mode, partner) = (operation.mode.as_str(), operation.partner_id.to_string());
        let id = operation.id.to_string();
        let counts = fetch_optional!(
            self,
            CountsRow,
            COUNT,
            mode,
            partner,
            &id,
            came.succeeded,
            came.failed,
            came.cancelled,
            came.review,
        )?;
        let row = Row { table: "group_operations", key: &id };
        let counts = row.needed("request_id", counts)?;
        Ok(ItemCounts {
            total: counts.total,
            succeeded: counts.succeeded,
            failed: counts.failed,
            cancelled: counts.not_begun,
            review: counts.in_review,
        })
    }

    /// Notes what an operation came to. When it ended stays.
    pub async fn end_operation(
        &mut self,
        operation: &Operation,
        state: OperationState,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (operation.mode.as_str(), operation.partner_id.to_string());
        let (id, state) = (operation.id.to_string(), state.as_str());
        one_row(
            execute!(self, SET_STATE, mode, partner, id, state, now.as_micros())?,
            "the operation",
        )
    }

    /// Lets nothing more begin of an operation; `false` where it has ended.
    pub async fn cancel_operation(&mut self, operation: &Operation) -> Result<bool> {
        let (mode, partner) = (operation.mode.as_str(), operation.partner_id.to_string());
        Ok(execute!(self, CANCEL, mode, partner, operation.id.to_string())? == 1)
    }

    /// Deletes an operation with its parts.
    pub async fn delete_operation(&mut self, operation: &Operation) -> Result<()> {
        let (mode, partner) = (operation.mode.as_str(), operation.partner_id.to_string());
        let id = operation.id.to_string();
        execute!(self, DELETE_CHUNKS, mode, &partner, &id)?;
        execute!(self, DELETE, mode, partner, id)?;
        Ok(())
    }

    /// A part of an operation.
    pub async fn chunk(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        (request, no): (GroupOperationId, i64),
    ) -> Result<Option<Chunk>> {
        let (mode, partner, request) = (mode.as_str(), partner.to_string(), request.to_string());
        let row = fetch_optional!(self, ChunkRow, CHUNK, mode, partner, &request, no)?;
        let chunk = |row: ChunkRow| {
            let items = items(&request, &row.lines)?;
            Ok(Chunk { no: row.chunk_no, followed: row.followed, items, version: row.version })
        };
        row.map(chunk).transpose()
    }

    /// Writes what came of a part's SIMs, provided that nobody did since it was read.
    pub async fn update_chunk(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        request: GroupOperationId,
        chunk: &mut Chunk,
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let changed = execute!(
            self,
            UPDATE_CHUNK,
            mode,
            partner,
            request.to_string(),
            chunk.no,
            chunk.version,
            chunk.open(),
            chunk.failed(),
            chunk.followed,
            chunk.lines(),
        )?;
        one_row(changed, "a part of the operation")?;
        chunk.version += 1;
        Ok(())
    }

    /// How large the parts of an operation are, in their order.
    pub async fn chunk_sizes(&mut self, operation: &Operation) -> Result<Vec<ChunkSize>> {
        let (mode, partner) = (operation.mode.as_str(), operation.partner_id.to_string());
        Ok(fetch_all!(self, ChunkSize, SIZES, mode, partner, operation.id.to_string())?)
    }
}
