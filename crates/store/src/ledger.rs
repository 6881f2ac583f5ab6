//! Postings: one row with a debit and a credit account, so that each sums to zero by its shape.

use domain::id::{OrderId, PartnerId};
use domain::ledger::Posting;
use domain::{Mode, Money, Timestamp};

use crate::engine::{Tx, execute, fetch_all, statements};
use crate::error::{Result, Row};

statements! {
    INSERT = "INSERT INTO postings (mode, partner_id, order_id, kind, reference, debit, credit, minor,
        currency, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    OF_PARTNER = "SELECT order_id, kind, debit, credit, minor, currency FROM postings
        WHERE mode = $1 AND partner_id = $2 ORDER BY order_id, created_at, kind, reference";
}

/// A posting and the order it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookedPosting {
    /// The order; none where it is of the partner as a whole.
    pub order_id: Option<OrderId>,
    /// What was booked.
    pub posting: Posting,
}

#[derive(sqlx::FromRow)]
struct PostingRow {
    order_id: String,
    kind: String,
    debit: String,
    credit: String,
    minor: i64,
    currency: String,
}

impl Tx {
    /// Books a posting of an order, unless one of its kind and reference is booked; whether it did.
    pub async fn insert_posting(
        &mut self,
        (mode, partner, order_id): (Mode, PartnerId, OrderId),
        (posting, reference): (Posting, &str),
        now: Timestamp,
    ) -> Result<bool> {
        self.book((mode, partner), &order_id.to_string(), (posting, reference), now).await
    }

    /// Books a posting of a partner as a whole under the operator's reference, unless one of its kind and reference
    /// is booked; whether it did.
    pub async fn insert_partner_posting(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        (posting, reference): (Posting, &str),
        now: Timestamp,
    ) -> Result<bool> {
        self.book((mode, partner), "", (posting, reference), now).await
    }

    async fn book(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        order: &str,
        (posting, reference): (Posting, &str),
        now: Timestamp,
    ) -> Result<bool> {
        let booked = execute!(
            self,
            INSERT,
            mode.as_str(),
            partner.to_string(),
            order,
            posting.kind.as_str(),
            reference,
            posting.debit.as_str(),
            posting.credit.as_str(),
            posting.amount.minor,
            posting.amount.currency.code(),
            now.as_micros(),
        )?;
        Ok(booked == 1)
    }

    /// All postings of a partner, in the order of its orders.
    pub async fn postings(&mut self, mode: Mode, partner: PartnerId) -> Result<Vec<BookedPosting>> {
        let rows = fetch_all!(self, PostingRow, OF_PARTNER, mode.as_str(), partner.to_string())?;
        rows.into_iter()
            .map(|posting| {
                let row = Row { table: "postings", key: &posting.order_id };
                let currency = row.parse("currency", &posting.currency)?;
                Ok(BookedPosting {
                    order_id: order_of(&row, &posting.order_id)?,
                    posting: Posting {
                        kind: row.parse("kind", &posting.kind)?,
                        debit: row.parse("debit", &posting.debit)?,
                        credit: row.parse("credit", &posting.credit)?,
                        amount: Money::new(posting.minor, currency),
                    },
                })
            })
            .collect()
    }
}

/// The order of a posting; none where it is of the partner as a whole.
pub(crate) fn order_of(row: &Row<'_>, text: &str) -> Result<Option<OrderId>> {
    match text {
        "" => Ok(None),
        text => row.parse("order_id", text).map(Some),
    }
}
