//! Attempts: what was asked of a carrier for an order, and what it said.
//!
//! One is written before a byte leaves. Unique indexes see to it that an order has one live attempt at most,
//! and a SIM one that holds it. An outcome is written by compare-and-set on the state.

use std::str::FromStr;

use domain::id::{OrderId, PartnerId};
use domain::order::Order;
use domain::{Iccid, Mode, Timestamp, UnknownWord};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};
use crate::jobs::JobKind;

/// All columns of [`AttemptRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT order_id, attempt_no, carrier, carrier_product, upstream_key, iccid, state,
            holds_sim, snapshot, upstream_id, said, sent_at, heard_at FROM attempts
            WHERE mode = $1 AND partner_id = $2 ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO attempts (mode, partner_id, order_id, attempt_no, carrier, carrier_product,
        upstream_key, iccid, state, holds_sim, snapshot, upstream_id, said, sent_at, heard_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    UPDATE = "UPDATE attempts SET state = $6, holds_sim = $7, snapshot = $8, upstream_id = $9,
        said = $10, sent_at = $11, heard_at = $12
        WHERE mode = $1 AND partner_id = $2 AND order_id = $3 AND attempt_no = $4 AND state = $5";
    OF_ORDER = select!("AND order_id = $3 ORDER BY attempt_no");
    /// Whoever has a SIM at its carrier: an order, or a group that it joins or leaves.
    HOLDER = "SELECT 'order' AS what, order_id AS id FROM attempts WHERE mode = $1 AND partner_id = $2
        AND iccid = $3 AND holds_sim
        UNION ALL SELECT 'group', group_id FROM group_members WHERE mode = $1 AND partner_id = $2
        AND iccid = $3 AND state IN ('joining', 'leaving')";
    /// The eldest order of a SIM that was not sent yet.
    NEXT_OF_SIM = "SELECT partner_id, order_id FROM orders WHERE mode = $1 AND partner_id = $2
        AND iccid = $3 AND state = 'PAID' ORDER BY order_id LIMIT 1";
    /// Live attempts at a carrier that a notification can be about. Keys are ours, and so are ids made of them.
    BY_UPSTREAM = "SELECT partner_id, order_id FROM attempts WHERE mode = $1 AND carrier = $2
        AND upstream_id = $3 AND state IN ('reading', 'sending', 'accepted', 'unclear') LIMIT 10";
}

/// The most characters of what a carrier said at a time, and the most bytes of all of it.
const WORDS_CHARS_MAX: usize = 500;
const SAID_BYTES_MAX: usize = 8_000;

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptState {
    /// What is on the SIM is being read; nothing was sent.
    Reading,
    /// It is being sent, or nobody wrote down what became of it.
    Sending,
    /// The carrier works on it.
    Accepted,
    /// It was sent, and what became of it is not known: it is looked for.
    Unclear,
    /// The plan is on the SIM.
    Done,
    /// Refused for good; nothing was done.
    Refused,
    /// Not then; nothing was done.
    PutOff,
}

impl AttemptState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Reading,
        Self::Sending,
        Self::Accepted,
        Self::Unclear,
        Self::Done,
        Self::Refused,
        Self::PutOff,
    ];

    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Sending => "sending",
            Self::Accepted => "accepted",
            Self::Unclear => "unclear",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::PutOff => "put_off",
        }
    }

    /// Whether something may still come of it.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Reading | Self::Sending | Self::Accepted | Self::Unclear)
    }
}

impl FromStr for AttemptState {
    type Err = UnknownWord;
    fn from_str(text: &str) -> std::result::Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "state of an attempt")
    }
}

/// One time that a carrier was asked for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The order.
    pub order_id: OrderId,
    /// Its number among those of the order, from 1.
    pub no: i64,
    /// The carrier that was asked.
    pub carrier: String,
    /// For which product.
    pub carrier_product: String,
    /// Under which key.
    pub upstream_key: String,
    /// For which SIM.
    pub iccid: Iccid,
    /// How it stands.
    pub state: AttemptState,
    /// Whether no other order of the SIM may be sent meanwhile.
    pub holds_sim: bool,
    /// What was on the SIM before, as the carrier's module wrote it; may be empty.
    pub snapshot: String,
    /// The carrier's id of it; empty until known.
    pub upstream_id: String,
    /// What the carrier said, or why there are no words: see [`Attempt::hear`].
    pub said: String,
    /// When it was about to be sent; while the SIM is read, since when.
    pub sent_at: Timestamp,
    /// When the carrier was last heard of it.
    pub heard_at: Option<Timestamp>,
}

impl Attempt {
    /// Adds a line of what the carrier said, unless it said the same before. The oldest lines go if they get
    /// too long.
    pub fn hear(&mut self, at: Timestamp, words: &str) {
        let words: String = words.chars().take(WORDS_CHARS_MAX).collect();
        let words = words.replace(['\n', '\r'], " ");
        if words.is_empty() || self.words() == words {
            return;
        }
        self.said = format!("{}{} {words}\n", self.said, at.rfc3339());
        while self.said.len() > SAID_BYTES_MAX {
            match self.said.split_once('\n') {
                Some((_, rest)) if !rest.is_empty() => self.said = rest.to_owned(),
                _ => return,
            }
        }
    }

    /// What the carrier said last.
    pub fn words(&self) -> &str {
        let last = self.said.lines().last().and_then(|line| line.split_once(' '));
        last.map_or("", |(_, words)| words)
    }

    /// All that the carrier said: the time as it is written, and the words.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.said.lines().filter_map(|line| line.split_once(' '))
    }
}

#[derive(sqlx::FromRow)]
struct AttemptRow {
    order_id: String,
    attempt_no: i64,
    carrier: String,
    carrier_product: String,
    upstream_key: String,
    iccid: String,
    state: String,
    holds_sim: bool,
    snapshot: String,
    upstream_id: String,
    said: String,
    sent_at: i64,
    heard_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct NamedRow {
    partner_id: String,
    order_id: String,
}

#[derive(sqlx::FromRow)]
struct HolderRow {
    what: String,
    id: String,
}

impl AttemptRow {
    fn into_attempt(self) -> Result<Attempt> {
        let row = Row { table: "attempts", key: &self.order_id };
        Ok(Attempt {
            order_id: row.parse("order_id", &self.order_id)?,
            iccid: row.parse("iccid", &self.iccid)?,
            state: row.parse("state", &self.state)?,
            no: self.attempt_no,
            carrier: self.carrier,
            carrier_product: self.carrier_product,
            upstream_key: self.upstream_key,
            holds_sim: self.holds_sim,
            snapshot: self.snapshot,
            upstream_id: self.upstream_id,
            said: self.said,
            sent_at: Timestamp::from_micros(self.sent_at),
            heard_at: self.heard_at.map(Timestamp::from_micros),
        })
    }
}

impl Tx {
    /// Writes an attempt down. Unique indexes refuse a second live one of the order, and a second one that
    /// holds the SIM.
    pub async fn insert_attempt(&mut self, order: &Order, attempt: &Attempt) -> Result<()> {
        execute!(
            self,
            INSERT,
            order.mode.as_str(),
            order.partner_id.to_string(),
            attempt.order_id.to_string(),
            attempt.no,
            &attempt.carrier,
            &attempt.carrier_product,
            &attempt.upstream_key,
            attempt.iccid.as_str(),
            attempt.state.as_str(),
            attempt.holds_sim,
            &attempt.snapshot,
            &attempt.upstream_id,
            &attempt.said,
            attempt.sent_at.as_micros(),
            attempt.heard_at.map(Timestamp::as_micros),
        )?;
        Ok(())
    }

    /// Writes what became of an attempt, provided that it still was in the state given.
    pub async fn update_attempt(
        &mut self,
        order: &Order,
        attempt: &Attempt,
        old: AttemptState,
    ) -> Result<()> {
        let changed = execute!(
            self,
            UPDATE,
            order.mode.as_str(),
            order.partner_id.to_string(),
            attempt.order_id.to_string(),
            attempt.no,
            old.as_str(),
            attempt.state.as_str(),
            attempt.holds_sim,
            &attempt.snapshot,
            &attempt.upstream_id,
            &attempt.said,
            attempt.sent_at.as_micros(),
            attempt.heard_at.map(Timestamp::as_micros),
        )?;
        one_row(changed, "the attempt")
    }

    /// All attempts of an order, the first one first.
    pub async fn attempts(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order: OrderId,
    ) -> Result<Vec<Attempt>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, AttemptRow, OF_ORDER, mode, partner, order.to_string())?;
        rows.into_iter().map(AttemptRow::into_attempt).collect()
    }

    /// Whoever has a SIM at its carrier at this moment, in words.
    pub async fn holder_of_sim(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        iccid: &Iccid,
    ) -> Result<Option<String>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let found = fetch_optional!(self, HolderRow, HOLDER, mode, partner, iccid.as_str())?;
        Ok(found.map(|holder| format!("{} {}", holder.what, holder.id)))
    }

    /// Lets the SIM's eldest order that was not sent yet be tried now; whether there is one. If a worker has
    /// it at this moment, it loses it before it sends.
    pub async fn hasten_next_of_sim(
        &mut self,
        (mode, partner, iccid): (Mode, PartnerId, &Iccid),
        now: Timestamp,
    ) -> Result<bool> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let sim = iccid.as_str();
        let Some(next) = fetch_optional!(self, NamedRow, NEXT_OF_SIM, mode, &partner, sim)? else {
            return Ok(false);
        };
        let job = JobKind::Provision.job_id(&next.order_id);
        self.hasten((mode, &partner), &job, (now, now)).await
    }

    /// The orders that a carrier's own id of an attempt in progress may mean, and whose they are.
    pub async fn orders_in_progress_at(
        &mut self,
        mode: Mode,
        carrier: &str,
        upstream_id: &str,
    ) -> Result<Vec<(PartnerId, OrderId)>> {
        let rows = fetch_all!(self, NamedRow, BY_UPSTREAM, mode.as_str(), carrier, upstream_id)?;
        let parsed = rows.into_iter().map(|found| {
            let row = Row { table: "attempts", key: &found.order_id };
            let partner = row.parse("partner_id", &found.partner_id)?;
            Ok((partner, row.parse("order_id", &found.order_id)?))
        });
        parsed.collect()
    }
}
