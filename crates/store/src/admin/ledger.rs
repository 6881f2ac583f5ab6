//! What operators see of the ledger.

use domain::id::{OrderId, PartnerId};
use domain::ledger::{Account, Posting, PostingKind};
use domain::{Mode, Money, Timestamp};

use crate::engine::{Tx, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::ledger::order_of;

/// All columns of [`PostingRow`], from postings `t`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT (SELECT code FROM partners p WHERE p.mode = t.mode
            AND p.partner_id = t.partner_id) AS partner, t.partner_id, t.order_id, t.kind, t.reference, t.debit,
            t.credit, t.minor, t.currency, t.created_at FROM postings t WHERE t.mode = $1 ",
            $rest
        )
    };
}

statements! {
    /// Walks the primary key backwards.
    PAGE = select!(
        "AND (t.partner_id, t.order_id, t.kind, t.reference) < ($2, $3, $4, $5)
        ORDER BY t.partner_id DESC, t.order_id DESC, t.kind DESC, t.reference DESC LIMIT $6"
    );
    PAGE_OF_PARTNER = select!(
        "AND t.partner_id = $2 AND (t.order_id, t.kind, t.reference) < ($3, $4, $5)
        ORDER BY t.order_id DESC, t.kind DESC, t.reference DESC LIMIT $6"
    );
    OF_PARTNER_AS_A_WHOLE = select!(
        "AND t.partner_id = $2 AND t.order_id = '' AND t.kind = $3 AND t.reference = $4"
    );
    OF_ORDER = select!("AND t.partner_id = $2 AND t.order_id = $3 ORDER BY t.created_at, t.kind, t.reference");
    SUMS = "SELECT (SELECT code FROM partners p WHERE p.mode = $1 AND p.partner_id = s.partner_id)
        AS partner, s.debit, s.credit, s.currency, s.minor FROM (SELECT partner_id, debit, credit,
        currency, CAST(SUM(minor) AS BIGINT) AS minor FROM postings
        WHERE mode = $1 GROUP BY partner_id, debit, credit, currency) s";
    SUMS_OF_PARTNER = "SELECT (SELECT code FROM partners p WHERE p.mode = $1
        AND p.partner_id = $2) AS partner, s.debit, s.credit, s.currency, s.minor FROM (
        SELECT debit, credit, currency, CAST(SUM(minor) AS BIGINT) AS minor FROM postings
        WHERE mode = $1 AND partner_id = $2 GROUP BY debit, credit, currency) s";
}

/// A posting as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostingRecord {
    /// Whose books it is in.
    pub partner_id: PartnerId,
    /// That partner's code.
    pub partner: String,
    /// The order it was booked for; none where it is of the partner as a whole.
    pub order_id: Option<OrderId>,
    /// What was booked.
    pub posting: Posting,
    /// Of which refund, fee, dispute or settlement; empty where an order has one of the kind.
    pub reference: String,
    /// When.
    pub created_at: Timestamp,
}

/// How much was moved between two accounts of a partner's books in a currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The partner's code.
    pub partner: String,
    /// To here,
    pub debit: Account,
    /// from here.
    pub credit: Account,
    /// How much in all.
    pub amount: Money,
}

#[derive(sqlx::FromRow)]
struct PostingRow {
    partner: Option<String>,
    partner_id: String,
    order_id: String,
    kind: String,
    reference: String,
    debit: String,
    credit: String,
    minor: i64,
    currency: String,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct SumRow {
    partner: Option<String>,
    debit: String,
    credit: String,
    currency: String,
    minor: i64,
}

impl PostingRow {
    fn into_record(self) -> Result<PostingRecord> {
        let row = Row { table: "postings", key: &self.order_id };
        Ok(PostingRecord {
            partner_id: row.parse("partner_id", &self.partner_id)?,
            order_id: order_of(&row, &self.order_id)?,
            posting: Posting {
                kind: row.parse("kind", &self.kind)?,
                debit: row.parse("debit", &self.debit)?,
                credit: row.parse("credit", &self.credit)?,
                amount: Money::new(self.minor, row.parse("currency", &self.currency)?),
            },
            partner: row.needed("partner_id", self.partner)?,
            reference: self.reference,
            created_at: Timestamp::from_micros(self.created_at),
        })
    }
}

impl SumRow {
    fn into_moved(self) -> Result<Moved> {
        let row = Row { table: "postings", key: "(a sum)" };
        Ok(Moved {
            debit: row.parse("debit", &self.debit)?,
            credit: row.parse("credit", &self.credit)?,
            amount: Money::new(self.minor, row.parse("currency", &self.currency)?),
            partner: row.needed("partner_id", self.partner)?,
        })
    }
}

impl Tx {
    /// A page of postings by partner, those of the newest orders first: of one partner, or of all.
    pub async fn postings_page(
        &mut self,
        mode: Mode,
        of: Option<PartnerId>,
        (partner, order, kind, reference): (&str, &str, &str, &str),
        limit: i64,
    ) -> Result<Vec<PostingRecord>> {
        let mode = mode.as_str();
        let rows = match of.map(|id| id.to_string()) {
            None => {
                fetch_all!(self, PostingRow, PAGE, mode, partner, order, kind, reference, limit)?
            }
            Some(id) => {
                let page = PAGE_OF_PARTNER;
                fetch_all!(self, PostingRow, page, mode, id, order, kind, reference, limit)?
            }
        };
        rows.into_iter().map(PostingRow::into_record).collect()
    }

    /// What was booked for an order.
    pub async fn postings_of_order(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        order: OrderId,
    ) -> Result<Vec<PostingRecord>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, PostingRow, OF_ORDER, mode, partner, order.to_string())?;
        rows.into_iter().map(PostingRow::into_record).collect()
    }

    /// A posting of a partner as a whole, under the operator's reference.
    pub async fn partner_posting(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        (kind, reference): (PostingKind, &str),
    ) -> Result<Option<PostingRecord>> {
        let (mode, partner, kind) = (mode.as_str(), partner.to_string(), kind.as_str());
        let query = OF_PARTNER_AS_A_WHOLE;
        let row = fetch_optional!(self, PostingRow, query, mode, partner, kind, reference)?;
        row.map(PostingRow::into_record).transpose()
    }

    /// What was moved in all: in one partner's books, or in all.
    pub async fn moved(&mut self, mode: Mode, of: Option<PartnerId>) -> Result<Vec<Moved>> {
        let mode = mode.as_str();
        let rows = match of.map(|id| id.to_string()) {
            None => fetch_all!(self, SumRow, SUMS, mode)?,
            Some(id) => fetch_all!(self, SumRow, SUMS_OF_PARTNER, mode, id)?,
        };
        rows.into_iter().map(SumRow::into_moved).collect()
    }
}
