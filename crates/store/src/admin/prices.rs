//! What operators see of a partner's price book.

use domain::id::{PartnerId, PriceId};
use domain::plan::PriceKind;
use domain::{Currency, Mode, Money, Timestamp};

use crate::engine::{Tx, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::plans::{DatedPrice, Price};

statements! {
    PAGE = "SELECT price_id, plan_code, kind, currency, minor, valid_from, valid_to FROM prices
        WHERE mode = $1 AND partner_id = $2 AND price_id > $3 AND (plan_code = $4 OR $4 = '')
        ORDER BY price_id LIMIT $5";
    FIND = "SELECT price_id, plan_code, kind, currency, minor, valid_from, valid_to FROM prices
        WHERE mode = $1 AND partner_id = $2 AND price_id = $3";
    LINE = "SELECT price_id, plan_code, kind, currency, minor, valid_from, valid_to FROM prices
        WHERE mode = $1 AND partner_id = $2 AND plan_code = $3 AND kind = $4 AND currency = $5
        ORDER BY valid_from";
}

/// A price with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedPrice {
    /// Our id.
    pub id: PriceId,
    /// What is paid, and when.
    pub dated: DatedPrice,
}

#[derive(sqlx::FromRow)]
struct PriceRow {
    price_id: String,
    plan_code: String,
    kind: String,
    currency: String,
    minor: i64,
    valid_from: i64,
    valid_to: Option<i64>,
}

impl PriceRow {
    fn into_price(self) -> Result<BookedPrice> {
        let row = Row { table: "prices", key: &self.price_id };
        let currency = row.parse("currency", &self.currency)?;
        Ok(BookedPrice {
            id: row.parse("price_id", &self.price_id)?,
            dated: DatedPrice {
                price: Price {
                    kind: row.parse("kind", &self.kind)?,
                    unit: Money::new(self.minor, currency),
                    plan_code: self.plan_code,
                },
                valid_from: Timestamp::from_micros(self.valid_from),
                valid_to: self.valid_to.map(Timestamp::from_micros),
            },
        })
    }
}

impl Tx {
    /// A page of a partner's prices, of one plan if that is given, the oldest first.
    pub async fn prices_page(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        plan_code: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<BookedPrice>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, PriceRow, PAGE, mode, partner, after, plan_code, limit)?;
        rows.into_iter().map(PriceRow::into_price).collect()
    }

    /// A price by its id.
    pub async fn price(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        id: PriceId,
    ) -> Result<Option<BookedPrice>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, PriceRow, FIND, mode, partner, id.to_string())?;
        row.map(PriceRow::into_price).transpose()
    }

    /// All prices of a plan of one kind and currency, in the order in which they begin.
    pub async fn price_line(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        plan_code: &str,
        kind: PriceKind,
        currency: Currency,
    ) -> Result<Vec<BookedPrice>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let (kind, currency) = (kind.as_str(), currency.code());
        let rows = fetch_all!(self, PriceRow, LINE, mode, partner, plan_code, kind, currency)?;
        rows.into_iter().map(PriceRow::into_price).collect()
    }
}
