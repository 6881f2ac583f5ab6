//! What can be learnt of a database's health: its engine and settings, its soundness, its clock, what
//! waits in it, and whether its books agree. Reads only; what is good or bad is decided elsewhere.
//!
//! What is asked of the engine itself stands in `engine`.

mod engine;
pub(crate) mod groups;
pub(crate) mod pushes;

use domain::{Mode, Timestamp};

use crate::engine::{Tx, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::partners::PartnerKey;

pub use engine::{EngineVersion, Setting};
#[cfg(test)]
pub(crate) use engine::{POSTGRES, SQLITE};

/// How many faults of a kind are named.
pub const FAULTS_MAX: i64 = 10;
/// How many keys are read at once.
pub const KEYS_MAX: i64 = 500;
/// How many carriers' names are read.
const CARRIERS_MAX: i64 = 100;

statements! {
    BACKLOG = "SELECT COUNT(CASE WHEN state = 'ready' AND run_at <= $1 THEN 1 END) AS due,
        CAST(MIN(CASE WHEN state = 'ready' AND run_at <= $1 THEN run_at END) AS BIGINT) AS oldest,
        COUNT(CASE WHEN state = 'dead' THEN 1 END) AS dead FROM jobs";
    IN_STATE = "SELECT mode, COUNT(*) AS count FROM orders WHERE state = $1
        GROUP BY mode ORDER BY mode";
    /// The newest order of each partner is found by its key: ids grow with time. Its date is that of its mode.
    NEWEST = "SELECT CAST(MAX(at) AS BIGINT) AS at FROM (
        SELECT (SELECT created_at FROM orders
            WHERE orders.mode = partners.mode AND orders.partner_id = partners.partner_id
            ORDER BY order_id DESC LIMIT 1) - COALESCE((SELECT ahead FROM mode_clocks
            WHERE mode_clocks.mode = partners.mode), 0) AS at FROM partners
        UNION ALL SELECT MAX(created_at) AS at FROM partners
        UNION ALL SELECT MAX(created_at) AS at FROM partner_keys) AS newest";
    LIVE_KEYS = "SELECT mode, partner_id, key_id, sealed FROM partner_keys
        WHERE retired_at IS NULL AND (mode, partner_id, key_id) > ($1, $2, $3)
        ORDER BY mode, partner_id, key_id LIMIT $4";
    CARRIERS = "SELECT DISTINCT mode, carrier FROM packages ORDER BY mode, carrier LIMIT $1";
    /// A posting names two accounts and one amount, so that it sums to zero unless it is malformed.
    MALFORMED = "SELECT 'a posting that does not sum to zero' AS what, mode, partner_id,
        order_id AS id FROM postings WHERE debit = credit OR minor < 0 LIMIT $1";
    /// What a partner owes stands twice: in its credit, and as the balance of its account.
    CREDIT = "SELECT 'the credit used is not the balance owed' AS what, mode, partner_id,
        currency AS id FROM (
            SELECT mode, partner_id, currency, used_minor AS minor FROM credits
            UNION ALL SELECT mode, partner_id, currency, -minor FROM postings
                WHERE debit = 'partner_receivable'
            UNION ALL SELECT mode, partner_id, currency, minor FROM postings
                WHERE credit = 'partner_receivable') AS entries
        GROUP BY mode, partner_id, currency HAVING SUM(minor) <> 0 LIMIT $1";
    UNBOOKED = "SELECT 'paid, but its sale is not booked' AS what, mode, partner_id, order_id AS id
        FROM orders WHERE paid_at IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM postings WHERE postings.mode = orders.mode
            AND postings.partner_id = orders.partner_id AND postings.order_id = orders.order_id
            AND postings.kind = 'sale') LIMIT $1";
    NOT_TAKEN_BACK = "SELECT 'without a plan, but its sale is not taken back' AS what, mode,
        partner_id, order_id AS id FROM orders WHERE source = 'reported'
        AND state IN ('FAILED', 'REFUNDED') AND paid_at IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM postings WHERE postings.mode = orders.mode
            AND postings.partner_id = orders.partner_id AND postings.order_id = orders.order_id
            AND postings.kind = 'reversal') LIMIT $1";
    /// What a refund did to the money stands twice: in its row, and as a posting under its number.
    REFUND_UNBOOKED = "SELECT 'a refund that is done, but not booked' AS what, mode, partner_id, order_id AS id
        FROM refunds WHERE state = 'succeeded'
        AND NOT EXISTS (SELECT 1 FROM postings WHERE postings.mode = refunds.mode
            AND postings.partner_id = refunds.partner_id AND postings.order_id = refunds.order_id
            AND postings.kind = 'refund' AND postings.reference = refunds.refund_id) LIMIT $1";
    /// Of what an order stands on, that is its sale without a reference.
    OVER_REFUNDED = "SELECT 'more went back than came' AS what, mode, partner_id, order_id AS id FROM (
            SELECT mode, partner_id, order_id, minor FROM postings
                WHERE debit = 'stripe_balance' AND kind IN ('sale', 'refund_failed')
            UNION ALL SELECT mode, partner_id, order_id, -minor FROM postings
                WHERE credit = 'stripe_balance' AND kind = 'refund') AS entries
        GROUP BY mode, partner_id, order_id HAVING SUM(minor) < 0 LIMIT $1";
    UNPAID_BOOKED = "SELECT 'booked, but no paid order is there' AS what, postings.mode AS mode,
        postings.partner_id AS partner_id, postings.order_id AS id FROM postings LEFT JOIN orders
        ON orders.mode = postings.mode AND orders.partner_id = postings.partner_id
        AND orders.order_id = postings.order_id WHERE orders.paid_at IS NULL
        AND postings.order_id <> '' LIMIT $1";
    PAYMENT_UNPAID = "SELECT 'paid, but its payment is not' AS what, mode, partner_id,
        order_id AS id FROM orders WHERE paid_at IS NOT NULL
        AND pay_state NOT IN ('succeeded', 'refunding', 'refunded') LIMIT $1";
    /// The subjects of jobs have no index: they are read once instead.
    FORGOTTEN = "SELECT 'paid, but no job provisions it' AS what, mode, partner_id, order_id AS id
        FROM orders WHERE state IN ('PAID', 'PROVISIONING')
        AND (mode, partner_id, order_id) NOT IN
        (SELECT mode, partner_id, subject FROM jobs WHERE kind = 'provision') LIMIT $1";
    UNCLOSED = "SELECT 'not paid, but no job closes it' AS what, mode, partner_id, order_id AS id
        FROM orders WHERE state = 'AWAITING_PAYMENT'
        AND (mode, partner_id, order_id) NOT IN
        (SELECT mode, partner_id, subject FROM jobs WHERE kind = 'close_order') LIMIT $1";
    UNDELIVERED = "SELECT 'provisioned, but no plan is on its SIM' AS what, mode, partner_id,
        order_id AS id FROM orders WHERE state = 'PROVISIONED'
        AND NOT EXISTS (SELECT 1 FROM sim_plans WHERE sim_plans.mode = orders.mode
            AND sim_plans.partner_id = orders.partner_id AND sim_plans.iccid = orders.iccid
            AND sim_plans.queue_no = orders.queue_no
            AND sim_plans.order_id = orders.order_id) LIMIT $1";
    UNORDERED = "SELECT 'a plan on a SIM, but no such order is there' AS what, mode, partner_id,
        order_id AS id FROM sim_plans
        WHERE NOT EXISTS (SELECT 1 FROM orders WHERE orders.mode = sim_plans.mode
            AND orders.partner_id = sim_plans.partner_id
            AND orders.order_id = sim_plans.order_id) LIMIT $1";
}

/// Where the books contradict themselves.
const LEDGER_CHECKS: [&str; 8] = [
    MALFORMED,
    CREDIT,
    UNBOOKED,
    NOT_TAKEN_BACK,
    REFUND_UNBOOKED,
    OVER_REFUNDED,
    UNPAID_BOOKED,
    PAYMENT_UNPAID,
];
/// Where an order lacks what its state needs.
const ORDER_CHECKS: [&str; 4] = [FORGOTTEN, UNCLOSED, UNDELIVERED, UNORDERED];

/// What workers have before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Jobs that could run now.
    pub due: i64,
    /// Since when the longest waiting of them has been due.
    pub oldest: Option<Timestamp>,
    /// Jobs that were given up.
    pub dead: i64,
}

/// Rows that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Live or test.
    pub mode: Mode,
    /// What is wrong, and with which row.
    pub what: String,
}

/// A live signing key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// The row for which it is sealed.
    pub row: String,
    /// The sealed text.
    pub sealed: Vec<u8>,
    /// Where the next page begins: the parts of its row's key, the last ones empty where there are fewer.
    pub place: [String; 4],
}

#[derive(sqlx::FromRow)]
struct BacklogRow {
    due: i64,
    oldest: Option<i64>,
    dead: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    mode: String,
    count: i64,
}

#[derive(sqlx::FromRow)]
struct FaultRow {
    what: String,
    mode: String,
    partner_id: String,
    id: String,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    mode: String,
    partner_id: String,
    key_id: String,
    sealed: Vec<u8>,
}

impl KeyRow {
    fn into_key(self) -> Result<SealedKey> {
        let row = Row { table: "partner_keys", key: &self.key_id };
        let mode = row.parse("mode", &self.mode)?;
        let partner_id = row.parse("partner_id", &self.partner_id)?;
        Ok(SealedKey {
            row: PartnerKey::seal_row(mode, partner_id, &self.key_id),
            sealed: self.sealed,
            place: [self.mode, self.partner_id, self.key_id, String::new()],
        })
    }
}

impl Tx {
    /// What workers have before them at a time.
    pub async fn backlog(&mut self, now: Timestamp) -> Result<Backlog> {
        let row = fetch_optional!(self, BacklogRow, BACKLOG, now.as_micros())?;
        let row = row.unwrap_or(BacklogRow { due: 0, oldest: None, dead: 0 });
        let oldest = row.oldest.map(Timestamp::from_micros);
        Ok(Backlog { due: row.due, oldest, dead: row.dead })
    }

    /// How many orders wait for a person, by mode.
    pub async fn orders_in_review(&mut self) -> Result<Vec<(Mode, i64)>> {
        let rows = fetch_all!(self, CountRow, IN_STATE, "REVIEW")?;
        let row = Row { table: "orders", key: "any" };
        rows.iter().map(|count| Ok((row.parse("mode", &count.mode)?, count.count))).collect()
    }

    /// The time of the newest of those rows that are never written with a time to come.
    pub async fn newest_row_at(&mut self) -> Result<Option<Timestamp>> {
        let row = fetch_optional!(self, (Option<i64>,), NEWEST)?;
        Ok(row.and_then(|(at,)| at).map(Timestamp::from_micros))
    }

    /// At most [`KEYS_MAX`] live keys of all partners, from a place on.
    pub async fn live_keys(&mut self, after: &[String; 4]) -> Result<Vec<SealedKey>> {
        let [mode, partner, key, _] = after;
        let rows = fetch_all!(self, KeyRow, LIVE_KEYS, mode, partner, key, KEYS_MAX)?;
        rows.into_iter().map(KeyRow::into_key).collect()
    }

    /// The carriers that each mode's packages name.
    pub async fn carriers_in_use(&mut self) -> Result<Vec<(Mode, String)>> {
        let rows = fetch_all!(self, (String, String), CARRIERS, CARRIERS_MAX)?;
        let read = |(mode, carrier): (String, String)| {
            let row = Row { table: "packages", key: &carrier };
            Ok((row.parse("mode", &mode)?, carrier))
        };
        rows.into_iter().map(read).collect()
    }

    /// Where the books contradict themselves: at most [`FAULTS_MAX`] of each kind. Each kind is one
    /// statement, so that what is written meanwhile cannot look like a fault.
    pub async fn ledger_faults(&mut self) -> Result<Vec<Fault>> {
        self.faults(&LEDGER_CHECKS).await
    }

    /// Where an order lacks what its state needs, or a group counts something else than there is: at most [`FAULTS_MAX`]
    /// of each kind.
    pub async fn order_faults(&mut self) -> Result<Vec<Fault>> {
        let mut faults = self.faults(&ORDER_CHECKS).await?;
        faults.extend(self.faults(&groups::CHECKS).await?);
        Ok(faults)
    }

    pub(super) async fn faults(&mut self, checks: &[&'static str]) -> Result<Vec<Fault>> {
        let mut faults = Vec::new();
        for check in checks {
            for found in fetch_all!(self, FaultRow, *check, FAULTS_MAX)? {
                let row = Row { table: "orders", key: &found.id };
                let mode = row.parse("mode", &found.mode)?;
                let FaultRow { what, partner_id, id, .. } = found;
                faults.push(Fault { mode, what: format!("{partner_id}, {id}: {what}") });
            }
        }
        Ok(faults)
    }
}
