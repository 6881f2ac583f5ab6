//! The use-cases of operators: each checks what it is given, changes it in one transaction and
//! appends to the audit log in that same transaction.

mod audit;
mod catalogue;
mod groups;
mod jobs;
mod keys;
mod ledger;
mod orders;
mod partners;
mod prices;
pub(crate) mod pushes;
mod reconcile;
mod refunds;
mod renewal_timeline;
mod renewals;
mod requests;
mod reviews;
mod routes;
mod settlements;
mod sims;
mod timeline;
mod tokens;

use std::fmt::Display;

use domain::id::{PartnerId, RequestId};
use domain::partner::Partner;
use domain::{Mode, Role, Timestamp};
use serde::Serialize;
use serde_json::Value;
use store::{AuditEntry, Tx};
use wire::admin::{FieldError, LIMIT_DEFAULT, List, Problem};

use crate::Mall;
use crate::error::Result;

pub use audit::{AuditQuery, Bad, Verifier, run_sealer};
pub(crate) use catalogue::alike;
pub use jobs::JobQuery;
pub use orders::OrderQuery;
pub use pushes::PushQuery;
pub use renewals::RenewalQuery;
pub use requests::RequestQuery;
pub(crate) use routes::read_hop;
pub use tokens::made_offline;

/// Who calls the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The token's id; empty for the command line on the database itself.
    pub token_id: String,
    /// The token's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// From when on the token is no longer taken.
    pub expires_at: Option<Timestamp>,
    /// The request.
    pub request_id: Option<RequestId>,
}

/// One change, for the audit log. No secret may be in it.
pub(crate) struct Change<'a> {
    /// What is done, such as `partner.add`.
    pub action: &'a str,
    /// Where.
    pub mode: Option<Mode>,
    /// To what, such as `partners/P000270`.
    pub object: String,
    /// What it was; null where there was nothing.
    pub before: Value,
    /// What it is; null where there is nothing.
    pub after: Value,
}

/// Which page of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many items.
    pub limit: i64,
    /// The key of the item before the first; empty for the beginning.
    pub after: String,
}

impl Page {
    /// A page as a request asks for it: a limit that was checked, and the cursor of the page
    /// before.
    pub fn new(limit: Option<i64>, cursor: Option<&str>) -> Result<Self> {
        let wrong = || Problem::field("cursor", "not one that this list gave");
        let after = match cursor {
            None => String::new(),
            Some(cursor) => {
                let bytes = hex::decode(cursor).map_err(|_| wrong())?;
                String::from_utf8(bytes).map_err(|_| wrong())?
            }
        };
        // Neither engine takes it in a text, and no key has it.
        if after.contains('\0') {
            return Err(wrong().into());
        }
        Ok(Self { limit: limit.unwrap_or(LIMIT_DEFAULT), after })
    }

    /// One more than the page has: whether it is there says whether there is another page.
    pub(crate) fn limit_and_one(&self) -> i64 {
        self.limit + 1
    }

    /// The page of a list from at most [`Self::limit_and_one`] items, with each one's key.
    pub(crate) fn list<T, U>(
        &self,
        mut items: Vec<T>,
        key: impl Fn(&T) -> String,
        shown: impl FnMut(T) -> U,
    ) -> List<U> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more).map(&key);
        List { next_cursor: last.map(hex::encode), items: items.into_iter().map(shown).collect() }
    }
}

/// A record for the audit log.
pub(crate) fn json(record: &impl Serialize) -> Value {
    // Records have a JSON form: their keys are texts.
    serde_json::to_value(record).unwrap_or_default()
}

/// A time as the admin API writes it.
pub(crate) fn text(time: Timestamp) -> String {
    time.rfc3339()
}

/// A time that the request's check has taken.
pub(crate) fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let parse = |text: &str| {
        Timestamp::parse_rfc3339(text).map_err(|error| Problem::field(field, error.to_string()))
    };
    Ok(text.map(parse).transpose()?)
}

/// Gathers what is wrong with a request that fits its table.
#[derive(Debug, Default)]
pub(crate) struct Wrong(Vec<FieldError>);

impl Wrong {
    /// Something is wrong with a field.
    pub(crate) fn add(&mut self, field: &str, detail: impl Into<String>) {
        self.0.push(FieldError::new(field, detail));
    }

    /// A field's value, or `None` and the mistake noted.
    pub(crate) fn read<T, E: Display>(
        &mut self,
        field: &str,
        read: std::result::Result<T, E>,
    ) -> Option<T> {
        read.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// Refuses the request if anything is wrong with it.
    pub(crate) fn check(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::invalid(self.0).into()) }
    }
}

/// A partner by its code, or there is no such object.
pub(crate) async fn partner_of(tx: &mut Tx, mode: Mode, code: &str) -> Result<Partner> {
    let partner = tx.partner_by_code(mode, code).await?;
    partner.ok_or_else(|| Problem::not_found("partner").into())
}

/// A partner for a change of it or of what is its own. Whoever else changes it waits until this
/// transaction ends.
pub(crate) async fn held_partner(tx: &mut Tx, mode: Mode, code: &str) -> Result<Partner> {
    let partner = partner_of(tx, mode, code).await?;
    tx.touch_partner(mode, partner.id).await?;
    partner_of(tx, mode, code).await
}

/// The partner of a filter, if it has one. One that there is not has nothing.
pub(crate) async fn filtered(
    tx: &mut Tx,
    mode: Mode,
    code: Option<&str>,
) -> Result<Option<PartnerId>> {
    match code {
        None => Ok(None),
        Some(code) => Ok(Some(partner_of(tx, mode, code).await?.id)),
    }
}

impl Mall {
    /// Appends a change to the audit log, in the transaction that makes it.
    pub(crate) async fn record(
        &self,
        tx: &mut Tx,
        by: &Operator,
        change: Change<'_>,
    ) -> Result<()> {
        let entry = AuditEntry {
            id: self.ctx.id::<domain::id::kind::Audit>().to_string(),
            at: self.ctx.now(),
            token_id: by.token_id.clone(),
            token_name: by.name.clone(),
            action: change.action.to_owned(),
            mode: change.mode.map_or("", Mode::as_str).to_owned(),
            object: change.object,
            before: change.before.to_string(),
            after: change.after.to_string(),
            request_id: by.request_id.map(|id| id.to_string()).unwrap_or_default(),
        };
        tx.insert_audit(&self.sealer, &entry).await?;
        self.audit_bell.notify_one();
        Ok(())
    }
}
