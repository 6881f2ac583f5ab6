//! The audit log: one row per change, and a chain over them.
//!
//! A row is written in the transaction of its change, with a MAC over itself; so nobody who can
//! only write to the database can make one up. The chain is computed behind it: each row gets its
//! place and a MAC over the row and the chain before it. A row that vanishes before it has its
//! place is all that cannot be found.

use domain::Timestamp;

use crate::engine::{Store, Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::Result;
use crate::seal::{Purpose, Sealer};

/// All columns of an entry.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT audit_id, at, token_id, token_name, action, mode, object, before_json, \
             after_json, request_id, entry_mac, sequence, mac FROM audit ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO audit (audit_id, at, token_id, token_name, action, mode, object,
        before_json, after_json, request_id, entry_mac)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    SOME_UNSEALED = "SELECT audit_id FROM audit WHERE sequence IS NULL LIMIT 1";
    UNSEALED = select!("WHERE sequence IS NULL ORDER BY audit_id LIMIT $1");
    LAST = select!("WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1");
    SEAL = "UPDATE audit SET sequence = $2, mac = $3 WHERE audit_id = $1 AND sequence IS NULL";
    CHAIN = select!("WHERE sequence > $1 ORDER BY sequence LIMIT $2");
    /// One statement, so that entries sealed meanwhile make no head that never was.
    COUNTS = "SELECT COUNT(sequence) AS sealed, COUNT(*) AS entries,
        CAST(MAX(sequence) AS BIGINT) AS last FROM audit";
    AT = select!("WHERE sequence = $1");
    PAGE = select!(
        "WHERE audit_id < $1 AND at >= $2 AND at < $3 AND (action = $4 OR $4 = '')
        AND (mode = $5 OR $5 = '') ORDER BY audit_id DESC LIMIT $6"
    );
    PAGE_OF_TOKEN = select!(
        "WHERE token_id = $7 AND audit_id < $1 AND at >= $2 AND at < $3
        AND (action = $4 OR $4 = '') AND (mode = $5 OR $5 = '')
        ORDER BY audit_id DESC LIMIT $6"
    );
    PAGE_OF_OBJECT = select!(
        "WHERE object = $7 AND audit_id < $1 AND at >= $2 AND at < $3
        AND (action = $4 OR $4 = '') AND (mode = $5 OR $5 = '')
        AND (token_id = $8 OR $8 = '') ORDER BY audit_id DESC LIMIT $6"
    );
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Our id. As stored: a row that somebody damaged must still be read, to be found.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
    /// Whose token made it; empty for the command line.
    pub token_id: String,
    /// That token's name.
    pub token_name: String,
    /// What was done.
    pub action: String,
    /// Live or test; empty where the object belongs to neither.
    pub mode: String,
    /// To what.
    pub object: String,
    /// The object before, as JSON.
    pub before: String,
    /// The object after, as JSON.
    pub after: String,
    /// The request that made it.
    pub request_id: String,
}

/// An entry as stored, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEntry {
    /// What it says.
    pub entry: AuditEntry,
    /// The MAC over itself.
    pub entry_mac: Vec<u8>,
    /// Its place in the chain, once it is sealed.
    pub sequence: Option<i64>,
    /// The chain's MAC up to here, once it is sealed.
    pub mac: Vec<u8>,
}

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// The last sealed entry.
    pub last: Option<SealedEntry>,
    /// How many entries are sealed.
    pub sealed: i64,
    /// How many are not.
    pub unsealed: i64,
}

/// Which entries are wanted. Empty texts want all.
#[derive(Debug, Clone)]
pub struct AuditFilter {
    /// Of this token.
    pub token_id: String,
    /// This action.
    pub action: String,
    /// Of this mode.
    pub mode: String,
    /// Of this object.
    pub object: String,
    /// From this time on.
    pub from: Timestamp,
    /// Before this time.
    pub to: Timestamp,
    /// Older than this entry.
    pub before_id: String,
}

impl AuditEntry {
    /// The MAC over what it says.
    pub fn entry_mac(&self, sealer: &Sealer) -> [u8; 32] {
        self.with_parts(|parts| sealer.mac(Purpose::AuditEntry, parts))
    }

    fn with_parts<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let at = self.at.as_micros().to_be_bytes();
        with(&[
            self.id.as_bytes(),
            &at,
            self.token_id.as_bytes(),
            self.token_name.as_bytes(),
            self.action.as_bytes(),
            self.mode.as_bytes(),
            self.object.as_bytes(),
            self.before.as_bytes(),
            self.after.as_bytes(),
            self.request_id.as_bytes(),
        ])
    }
}

impl SealedEntry {
    /// Whether the entry is as it was written.
    pub fn entry_holds(&self, sealer: &Sealer) -> bool {
        let holds = |parts: &[&[u8]]| sealer.mac_holds(Purpose::AuditEntry, parts, &self.entry_mac);
        self.entry.with_parts(holds)
    }

    /// The chain's MAC up to this entry at a place, after the chain before it.
    pub fn chain_mac(&self, sealer: &Sealer, sequence: i64, previous: &[u8]) -> [u8; 32] {
        let place = sequence.to_be_bytes();
        // The entry's own MAC, checked apart, stands for what it says.
        let parts: [&[u8]; 4] = [previous, &place, self.entry.id.as_bytes(), &self.entry_mac];
        sealer.mac(Purpose::AuditChain, &parts)
    }
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    audit_id: String,
    at: i64,
    token_id: String,
    token_name: String,
    action: String,
    mode: String,
    object: String,
    before_json: String,
    after_json: String,
    request_id: String,
    entry_mac: Vec<u8>,
    sequence: Option<i64>,
    mac: Option<Vec<u8>>,
}

impl EntryRow {
    fn into_entry(self) -> SealedEntry {
        SealedEntry {
            entry: AuditEntry {
                id: self.audit_id,
                mode: self.mode,
                at: Timestamp::from_micros(self.at),
                token_id: self.token_id,
                token_name: self.token_name,
                action: self.action,
                object: self.object,
                before: self.before_json,
                after: self.after_json,
                request_id: self.request_id,
            },
            entry_mac: self.entry_mac,
            sequence: self.sequence,
            mac: self.mac.unwrap_or_default(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct IdRow {
    #[expect(dead_code, reason = "only asked whether there is one")]
    audit_id: String,
}

#[derive(sqlx::FromRow)]
struct CountsRow {
    sealed: i64,
    entries: i64,
    last: Option<i64>,
}

impl Tx {
    /// Writes an entry of the audit log, in the transaction of its change.
    pub async fn insert_audit(&mut self, sealer: &Sealer, entry: &AuditEntry) -> Result<()> {
        execute!(
            self,
            INSERT,
            &entry.id,
            entry.at.as_micros(),
            &entry.token_id,
            &entry.token_name,
            &entry.action,
            &entry.mode,
            &entry.object,
            &entry.before,
            &entry.after,
            &entry.request_id,
            entry.entry_mac(sealer).as_slice(),
        )?;
        Ok(())
    }

    /// Whether an entry waits for its place in the chain.
    pub async fn has_unsealed_audit(&mut self) -> Result<bool> {
        Ok(fetch_optional!(self, IdRow, SOME_UNSEALED)?.is_some())
    }

    /// Entries that wait for their place in the chain, the oldest first.
    pub async fn unsealed_audit(&mut self, limit: i64) -> Result<Vec<SealedEntry>> {
        let rows = fetch_all!(self, EntryRow, UNSEALED, limit)?;
        Ok(rows.into_iter().map(EntryRow::into_entry).collect())
    }

    /// Gives an entry its place in the chain. A unique index refuses a place that is taken.
    pub async fn seal_audit(&mut self, id: &str, sequence: i64, mac: &[u8; 32]) -> Result<()> {
        let changed = execute!(self, SEAL, id, sequence, mac.as_slice())?;
        one_row(changed, "the audit log")
    }

    /// The last sealed entry.
    pub async fn last_sealed_audit(&mut self) -> Result<Option<SealedEntry>> {
        Ok(fetch_optional!(self, EntryRow, LAST)?.map(EntryRow::into_entry))
    }

    /// The end of the chain.
    pub async fn audit_head(&mut self) -> Result<AuditHead> {
        let counts = fetch_optional!(self, CountsRow, COUNTS)?;
        let (sealed, all) = counts.as_ref().map_or((0, 0), |row| (row.sealed, row.entries));
        let last = match counts.and_then(|row| row.last) {
            Some(place) => fetch_optional!(self, EntryRow, AT, place)?.map(EntryRow::into_entry),
            None => None,
        };
        Ok(AuditHead { last, sealed, unsealed: all - sealed })
    }

    /// Sealed entries after a place, in the order of the chain.
    pub async fn audit_chain(&mut self, after: i64, limit: i64) -> Result<Vec<SealedEntry>> {
        let rows = fetch_all!(self, EntryRow, CHAIN, after, limit)?;
        Ok(rows.into_iter().map(EntryRow::into_entry).collect())
    }

    /// A page of entries, the newest first.
    pub async fn audit_page(
        &mut self,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<SealedEntry>> {
        let AuditFilter { token_id, action, mode, object, from, to, before_id } = filter;
        let (from, to) = (from.as_micros(), to.as_micros());
        let rows = if !object.is_empty() {
            let (sql, token) = (PAGE_OF_OBJECT, token_id);
            fetch_all!(
                self, EntryRow, sql, before_id, from, to, action, mode, limit, object, token
            )?
        } else if !token_id.is_empty() {
            let sql = PAGE_OF_TOKEN;
            fetch_all!(self, EntryRow, sql, before_id, from, to, action, mode, limit, token_id)?
        } else {
            fetch_all!(self, EntryRow, PAGE, before_id, from, to, action, mode, limit)?
        };
        Ok(rows.into_iter().map(EntryRow::into_entry).collect())
    }
}

impl Store {
    /// Whether an entry of the audit log waits for its place in the chain; an idle node asks this
    /// without taking SQLite's writer.
    pub async fn has_unsealed_audit(&self) -> Result<bool> {
        self.read().await?.has_unsealed_audit().await
    }
}
