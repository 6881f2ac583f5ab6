//! Partners, their keys, their credit, and the forms of signature they were seen to use.

use domain::id::PartnerId;
use domain::partner::{Partner, Scheme};
use domain::{Locale, Mode, Money, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

statements! {
    INSERT = "INSERT INTO partners (mode, partner_id, code, name, suspended, schemes, ip_allowlist,
        currency, settlement_currency, zone, locale, response_style, checks_luhn,
        checks_pay_amount, version, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, $15)";
    UPDATE = "UPDATE partners SET name = $3, suspended = $4, schemes = $5, ip_allowlist = $6,
        currency = $7, settlement_currency = $8, zone = $9, locale = $10, response_style = $11,
        checks_luhn = $12, checks_pay_amount = $13, version = version + 1
        WHERE mode = $1 AND partner_id = $2";
    BY_CODE = "SELECT partner_id, code, name, suspended, schemes, ip_allowlist, currency,
        settlement_currency, zone, locale, response_style, checks_luhn, checks_pay_amount, version
        FROM partners WHERE mode = $1 AND code = $2";
    BY_ID = "SELECT partner_id, code, name, suspended, schemes, ip_allowlist, currency,
        settlement_currency, zone, locale, response_style, checks_luhn, checks_pay_amount, version
        FROM partners WHERE mode = $1 AND partner_id = $2";
    VERSIONS = "SELECT p.version AS partner, c.version AS catalogue FROM partners p
        JOIN catalogues c ON c.mode = p.mode WHERE p.mode = $1 AND p.code = $2";
    VERSIONS_BY_ID = "SELECT p.version AS partner, c.version AS catalogue FROM partners p
        JOIN catalogues c ON c.mode = p.mode WHERE p.mode = $1 AND p.partner_id = $2";
    TOUCH = "UPDATE partners SET version = version + 1 WHERE mode = $1 AND partner_id = $2";
    INSERT_KEY = "INSERT INTO partner_keys (mode, partner_id, key_id, sealed, created_at)
        VALUES ($1, $2, $3, $4, $5)";
    KEYS = "SELECT key_id, sealed, retired_at FROM partner_keys
        WHERE mode = $1 AND partner_id = $2 ORDER BY created_at, key_id";
    SOME_KEY = "SELECT mode, partner_id, key_id, sealed FROM partner_keys LIMIT 1";
    RETIRE_KEY = "UPDATE partner_keys SET retired_at = $4
        WHERE mode = $1 AND partner_id = $2 AND key_id = $3 AND retired_at IS NULL";
    NOTE_FORM = "INSERT INTO sign_forms (mode, partner_id, form, first_seen_at)
        VALUES ($1, $2, $3, $4) ON CONFLICT (mode, partner_id, form) DO NOTHING";
    FORMS = "SELECT form FROM sign_forms WHERE mode = $1 AND partner_id = $2 ORDER BY form";
    SET_LIMIT = "INSERT INTO credits (mode, partner_id, currency, limit_minor, used_minor)
        VALUES ($1, $2, $3, $4, 0)
        ON CONFLICT (mode, partner_id, currency) DO UPDATE SET limit_minor = excluded.limit_minor";
    CREDIT = "SELECT limit_minor, used_minor FROM credits
        WHERE mode = $1 AND partner_id = $2 AND currency = $3";
    BOOK_CREDIT = "UPDATE credits SET used_minor = used_minor + $4
        WHERE mode = $1 AND partner_id = $2 AND currency = $3
        AND used_minor <= limit_minor - $4";
    RELEASE_CREDIT = "UPDATE credits SET used_minor = used_minor - $4
        WHERE mode = $1 AND partner_id = $2 AND currency = $3 AND used_minor >= $4";
}

/// A signing key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerKey {
    /// The id by which people speak of it.
    pub key_id: String,
    /// The sealed text; see [`PartnerKey::seal_row`].
    pub sealed: Vec<u8>,
    /// When it was retired, if it was.
    pub retired_at: Option<Timestamp>,
}

impl PartnerKey {
    /// The row under which a key is sealed.
    pub fn seal_row(mode: Mode, partner_id: PartnerId, key_id: &str) -> String {
        format!("partner_keys/{mode}/{partner_id}/{key_id}")
    }
}

/// What a partner may owe, and owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// The limit.
    pub limit: Money,
    /// What is owed.
    pub used: Money,
}

#[derive(sqlx::FromRow)]
pub(crate) struct PartnerRow {
    partner_id: String,
    code: String,
    name: String,
    suspended: bool,
    schemes: String,
    ip_allowlist: String,
    currency: String,
    settlement_currency: String,
    zone: String,
    locale: String,
    response_style: String,
    checks_luhn: bool,
    checks_pay_amount: bool,
    version: i64,
}

/// The numbers that change with whatever a node may have cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Versions {
    /// Of the partner, its keys and its prices.
    pub partner: i64,
    /// Of the mode's packages and plans.
    pub catalogue: i64,
}

impl PartnerRow {
    pub(crate) fn into_partner(self, mode: Mode) -> Result<Partner> {
        let row = Row { table: "partners", key: &self.partner_id };
        let schemes = words(&self.schemes).map(|word| row.parse::<Scheme>("schemes", word));
        let locale = Locale::from_tag(&self.locale);
        Ok(Partner {
            mode,
            id: row.parse("partner_id", &self.partner_id)?,
            schemes: schemes.collect::<Result<_>>()?,
            ip_allowlist: words(&self.ip_allowlist).map(str::to_owned).collect(),
            currency: row.parse("currency", &self.currency)?,
            settlement_currency: row.parse("settlement_currency", &self.settlement_currency)?,
            zone: row.parse("zone", &self.zone)?,
            locale: locale.ok_or_else(|| row.corrupt("locale", "no such language"))?,
            response_style: row.parse("response_style", &self.response_style)?,
            code: self.code,
            name: self.name,
            suspended: self.suspended,
            checks_luhn: self.checks_luhn,
            checks_pay_amount: self.checks_pay_amount,
            version: self.version,
        })
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: String,
    sealed: Vec<u8>,
    retired_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct SomeKeyRow {
    mode: String,
    partner_id: String,
    key_id: String,
    sealed: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct CreditRow {
    limit_minor: i64,
    used_minor: i64,
}

#[derive(sqlx::FromRow)]
struct FormRow {
    form: String,
}

/// The words of a comma-joined column.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|word| !word.is_empty())
}

fn joined(schemes: &[Scheme]) -> String {
    schemes.iter().map(|scheme| scheme.as_str()).collect::<Vec<_>>().join(",")
}

impl Tx {
    /// Adds a partner.
    pub async fn insert_partner(&mut self, partner: &Partner, now: Timestamp) -> Result<()> {
        execute!(
            self,
            INSERT,
            partner.mode.as_str(),
            partner.id.to_string(),
            &partner.code,
            &partner.name,
            partner.suspended,
            joined(&partner.schemes),
            partner.ip_allowlist.join(","),
            partner.currency.code(),
            partner.settlement_currency.code(),
            partner.zone.name(),
            partner.locale.tag(),
            partner.response_style.as_str(),
            partner.checks_luhn,
            partner.checks_pay_amount,
            now.as_micros(),
        )?;
        Ok(())
    }

    /// Changes a partner's settings.
    pub async fn update_partner(&mut self, partner: &Partner) -> Result<()> {
        self.has_raised = true;
        let changed = execute!(
            self,
            UPDATE,
            partner.mode.as_str(),
            partner.id.to_string(),
            &partner.name,
            partner.suspended,
            joined(&partner.schemes),
            partner.ip_allowlist.join(","),
            partner.currency.code(),
            partner.settlement_currency.code(),
            partner.zone.name(),
            partner.locale.tag(),
            partner.response_style.as_str(),
            partner.checks_luhn,
            partner.checks_pay_amount,
        )?;
        one_row(changed, "the partner")
    }

    /// A partner by its code.
    pub async fn partner_by_code(&mut self, mode: Mode, code: &str) -> Result<Option<Partner>> {
        let row = fetch_optional!(self, PartnerRow, BY_CODE, mode.as_str(), code)?;
        row.map(|row| row.into_partner(mode)).transpose()
    }

    /// A partner by its id.
    pub async fn partner(&mut self, mode: Mode, id: PartnerId) -> Result<Option<Partner>> {
        let row = fetch_optional!(self, PartnerRow, BY_ID, mode.as_str(), id.to_string())?;
        row.map(|row| row.into_partner(mode)).transpose()
    }

    /// The versions of a partner, by its code, and of its mode's catalogue.
    pub async fn versions(&mut self, mode: Mode, code: &str) -> Result<Option<Versions>> {
        Ok(fetch_optional!(self, Versions, VERSIONS, mode.as_str(), code)?)
    }

    /// The same by the partner's id.
    pub async fn versions_by_id(&mut self, mode: Mode, id: PartnerId) -> Result<Option<Versions>> {
        Ok(fetch_optional!(self, Versions, VERSIONS_BY_ID, mode.as_str(), id.to_string())?)
    }

    /// Raises a partner's version: whatever a node has cached of the partner, its keys or its prices is to
    /// be read again.
    pub async fn touch_partner(&mut self, mode: Mode, id: PartnerId) -> Result<()> {
        self.has_raised = true;
        execute!(self, TOUCH, mode.as_str(), id.to_string())?;
        Ok(())
    }

    /// Adds a sealed key.
    pub async fn insert_key(
        &mut self,
        partner: &Partner,
        key_id: &str,
        sealed: Vec<u8>,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, id) = (partner.mode.as_str(), partner.id.to_string());
        execute!(self, INSERT_KEY, mode, id, key_id, sealed, now.as_micros())?;
        self.touch_partner(partner.mode, partner.id).await
    }

    /// All keys of a partner, retired ones too, the oldest first.
    pub async fn keys(&mut self, mode: Mode, partner_id: PartnerId) -> Result<Vec<PartnerKey>> {
        let rows = fetch_all!(self, KeyRow, KEYS, mode.as_str(), partner_id.to_string())?;
        let key = |row: KeyRow| PartnerKey {
            key_id: row.key_id,
            sealed: row.sealed,
            retired_at: row.retired_at.map(Timestamp::from_micros),
        };
        Ok(rows.into_iter().map(key).collect())
    }

    /// Some sealed key with the row it is sealed for, if there is any: what a sealing key must open.
    pub async fn some_key(&mut self) -> Result<Option<(String, Vec<u8>)>> {
        let Some(key) = fetch_optional!(self, SomeKeyRow, SOME_KEY)? else { return Ok(None) };
        let row = Row { table: "partner_keys", key: &key.key_id };
        let mode = row.parse("mode", &key.mode)?;
        let partner_id = row.parse("partner_id", &key.partner_id)?;
        Ok(Some((PartnerKey::seal_row(mode, partner_id, &key.key_id), key.sealed)))
    }

    /// Retires a key.
    pub async fn retire_key(
        &mut self,
        partner: &Partner,
        key_id: &str,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, id) = (partner.mode.as_str(), partner.id.to_string());
        let changed = execute!(self, RETIRE_KEY, mode, id, key_id, now.as_micros())?;
        one_row(changed, "the key")?;
        self.touch_partner(partner.mode, partner.id).await
    }

    /// Remembers a form of signature that a partner uses.
    pub async fn note_sign_form(
        &mut self,
        partner: &Partner,
        form: &str,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, id) = (partner.mode.as_str(), partner.id.to_string());
        execute!(self, NOTE_FORM, mode, id, form, now.as_micros())?;
        Ok(())
    }

    /// The forms of signature that a partner was seen to use.
    pub async fn sign_forms(&mut self, mode: Mode, partner_id: PartnerId) -> Result<Vec<String>> {
        let rows = fetch_all!(self, FormRow, FORMS, mode.as_str(), partner_id.to_string())?;
        Ok(rows.into_iter().map(|row| row.form).collect())
    }

    /// Sets what a partner may owe in a currency.
    pub async fn set_credit_limit(&mut self, partner: &Partner, limit: Money) -> Result<()> {
        let (mode, id) = (partner.mode.as_str(), partner.id.to_string());
        execute!(self, SET_LIMIT, mode, id, limit.currency.code(), limit.minor)?;
        Ok(())
    }

    /// A partner's credit in its settlement currency; none at all where no limit was set.
    pub async fn credit(&mut self, partner: &Partner) -> Result<Credit> {
        let currency = partner.settlement_currency;
        let (mode, id) = (partner.mode.as_str(), partner.id.to_string());
        let row = fetch_optional!(self, CreditRow, CREDIT, mode, id, currency.code())?;
        let (limit, used) = row.map_or((0, 0), |row| (row.limit_minor, row.used_minor));
        Ok(Credit { limit: Money::new(limit, currency), used: Money::new(used, currency) })
    }

    /// Takes an amount from a partner's credit; `false`, and nothing taken, if it would go over the
    /// limit.
    pub async fn book_credit(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        amount: Money,
    ) -> Result<bool> {
        let (mode, id) = (mode.as_str(), partner.to_string());
        let changed = execute!(self, BOOK_CREDIT, mode, id, amount.currency.code(), amount.minor)?;
        Ok(changed == 1)
    }

    /// Takes an amount from what a partner owes; `false`, and nothing taken, if it owes less.
    pub async fn take_from_owed(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        amount: Money,
    ) -> Result<bool> {
        let (mode, id) = (mode.as_str(), partner.to_string());
        let (currency, minor) = (amount.currency.code(), amount.minor);
        Ok(execute!(self, RELEASE_CREDIT, mode, id, currency, minor)? == 1)
    }

    /// Gives an amount back that was taken from a partner's credit.
    pub async fn release_credit(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        amount: Money,
    ) -> Result<()> {
        let taken = self.take_from_owed(mode, partner, amount).await?;
        one_row(u64::from(taken), "the partner's credit")
    }
}
