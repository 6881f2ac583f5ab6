//! What operators see of partners: pages of them, their keys and credit.

use domain::id::PartnerId;
use domain::partner::Partner;
use domain::{Currency, Mode, Money, Timestamp};

use crate::engine::{Tx, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::partners::{Credit, PartnerRow};

statements! {
    PAGE = "SELECT partner_id, code, name, suspended, schemes, ip_allowlist, currency,
        settlement_currency, zone, locale, response_style, checks_luhn, checks_pay_amount, version
        FROM partners WHERE mode = $1 AND code > $2 ORDER BY code LIMIT $3";
    CODE = "SELECT code FROM partners WHERE mode = $1 AND partner_id = $2";
    KEYS = "SELECT key_id, created_at, retired_at FROM partner_keys
        WHERE mode = $1 AND partner_id = $2 ORDER BY created_at, key_id";
    CREDITS = "SELECT currency, limit_minor, used_minor FROM credits
        WHERE mode = $1 AND partner_id = $2 ORDER BY currency";
}

/// A signing key, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The id by which people speak of it.
    pub key_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was retired.
    pub retired_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct CodeRow {
    code: String,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: String,
    created_at: i64,
    retired_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CreditRow {
    currency: String,
    limit_minor: i64,
    used_minor: i64,
}

impl Tx {
    /// A page of partners by code.
    pub async fn partners_page(
        &mut self,
        mode: Mode,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Partner>> {
        let rows = fetch_all!(self, PartnerRow, PAGE, mode.as_str(), after, limit)?;
        rows.into_iter().map(|row| row.into_partner(mode)).collect()
    }

    /// The code of a partner.
    pub async fn partner_code(&mut self, mode: Mode, id: PartnerId) -> Result<Option<String>> {
        let row = fetch_optional!(self, CodeRow, CODE, mode.as_str(), id.to_string())?;
        Ok(row.map(|row| row.code))
    }

    /// All keys of a partner, retired ones too, the oldest first.
    pub async fn key_records(&mut self, partner: &Partner) -> Result<Vec<KeyRecord>> {
        let (mode, id) = (partner.mode.as_str(), partner.id.to_string());
        let rows = fetch_all!(self, KeyRow, KEYS, mode, id)?;
        let record = |row: KeyRow| KeyRecord {
            key_id: row.key_id,
            created_at: Timestamp::from_micros(row.created_at),
            retired_at: row.retired_at.map(Timestamp::from_micros),
        };
        Ok(rows.into_iter().map(record).collect())
    }

    /// A partner's credit in every currency that has a limit.
    pub async fn credits(&mut self, partner: &Partner) -> Result<Vec<Credit>> {
        let (mode, id) = (partner.mode.as_str(), partner.id.to_string());
        let rows = fetch_all!(self, CreditRow, CREDITS, mode, &id)?;
        let credit = |row: CreditRow| {
            let place = Row { table: "credits", key: &id };
            let currency: Currency = place.parse("currency", &row.currency)?;
            let money = |minor| Money::new(minor, currency);
            Ok(Credit { limit: money(row.limit_minor), used: money(row.used_minor) })
        };
        rows.into_iter().map(credit).collect()
    }
}
