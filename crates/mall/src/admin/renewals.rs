//! Auto-renewals, as operators look for them and end them.

use std::collections::BTreeMap;

use domain::id::RenewalId;
use domain::package::PackageType;
use domain::renewal::RenewalState;
use domain::{Mode, Timestamp};
use serde_json::json;
use store::{OrderFilter, RenewalFilter, RenewalRecord, Tx};
use wire::admin::{List, Problem, renewal as shape};

use super::{Change, Operator, Page, Wrong, filtered, json, text};
use crate::Mall;
use crate::error::{Error, Result};
use crate::renewals::{Ending, renewed_by};

/// The most orders of one number whose agreements are looked for.
const ORDERS_MAX: i64 = 200;

/// Which agreements are wanted, as a request says it.
#[derive(Debug, Clone, Default)]
pub struct RenewalQuery {
    /// Of the partner with this code.
    pub partner: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// Those whose last period did not come.
    pub failing: bool,
    /// Of the order, the SIM or the agreement with this number.
    pub number: Option<String>,
}

/// An agreement as an operator sees it.
pub(super) fn shown(mode: Mode, record: &RenewalRecord) -> Result<shape::Renewal> {
    let renewal = &record.renewal;
    let unit: PackageType = record.unit.parse().map_err(|_| {
        Error::Internal(format!("{} has no unit: {:?}", renewal.order_id, record.unit))
    })?;
    Ok(shape::Renewal {
        mode: mode.as_str().to_owned(),
        partner: record.partner.clone(),
        renewal_id: renewal.id.to_string(),
        iccid: renewal.iccid.as_str().to_owned(),
        order_id: renewal.order_id.to_string(),
        order_no: record.order_no.clone(),
        plan_code: record.plan_code.clone(),
        unit: unit.word().to_owned(),
        periods: record.periods,
        paid_by: if record.subscribed { "stripe" } else { "partner" }.to_owned(),
        state: renewal.state.as_str().to_owned(),
        agreed_at: text(renewal.agreed_at),
        ended_at: renewal.ended_at.map(text),
        next_at: renewal.next_at.map(text),
        last_result: renewal.last_result().to_owned(),
        misses: i64::from(renewal.misses),
    })
}

pub(super) async fn found(tx: &mut Tx, mode: Mode, id: &str) -> Result<RenewalRecord> {
    let unknown = || Problem::not_found("auto-renewal");
    let id: RenewalId = id.parse().map_err(|_| unknown())?;
    Ok(tx.find_renewal(mode, id).await?.ok_or_else(unknown)?)
}

impl Mall {
    /// Agreements, the newest first.
    pub async fn list_all_renewals(
        &self,
        mode: Mode,
        query: RenewalQuery,
        page: &Page,
    ) -> Result<List<shape::Renewal>> {
        let mut tx = self.store.read().await?;
        let filter = RenewalFilter {
            mode,
            partner: filtered(&mut tx, mode, query.partner.as_deref()).await?,
            iccid: query.number.as_deref().and_then(|number| number.parse().ok()),
            state: query.state.unwrap_or_default(),
            misses_min: i64::from(query.failing),
            before_id: page.after.clone(),
        };
        let wanted = match query.number.filter(|_| filter.iccid.is_none()) {
            Some(number) => numbered(&mut tx, &filter, &number).await?,
            None => tx.renewals_page(&filter, page.limit_and_one()).await?,
        };
        let key = |record: &RenewalRecord| record.renewal.id.to_string();
        let List { items, next_cursor } = page.list(wanted, key, |record| shown(mode, &record));
        Ok(List { items: items.into_iter().collect::<Result<_>>()?, next_cursor })
    }

    /// Ends an agreement as its partner would: its subscription ends, the running period stays. One that was
    /// cancelled before stays as it is.
    pub async fn end_renewal_by(
        &self,
        by: &Operator,
        mode: Mode,
        id: &str,
        request: &shape::CancelRenewal,
    ) -> Result<shape::Renewal> {
        let mut wrong = Wrong::default();
        if request.reason.trim().is_empty() {
            wrong.add("reason", "needs a word: why?");
        }
        wrong.check()?;
        let after = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let record = found(&mut tx, mode, id).await?;
                let before = shown(mode, &record)?;
                match record.renewal.state {
                    RenewalState::Cancelled => return Ok(before),
                    RenewalState::Replaced => {
                        let detail =
                            "a later auto-renewal of the SIM took its place: cancel that one";
                        return Err(Problem::conflict("RENEWAL_ENDED", detail.to_owned()).into());
                    }
                    RenewalState::Active => {}
                }
                let actor = format!("operator {}", by.name);
                let (state, reason) = (RenewalState::Cancelled, request.reason.as_str());
                let ending = Ending { state, actor: &actor, reason };
                let whose = (mode, record.partner_id);
                self.end_agreement(&mut tx, whose, &record.renewal, ending).await?;
                let after = shown(mode, &found(&mut tx, mode, id).await?)?;
                let change = Change {
                    action: "renewal.cancel",
                    mode: Some(mode),
                    object: format!("renewals/{id}"),
                    before: json(&before),
                    after: json!({ "renewal": json(&after), "reason": request.reason }),
                };
                self.record(&mut tx, by, change).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await?;
        self.bell.notify_one();
        Ok(after)
    }
}

/// The agreements of the orders with a number, whichever it is, or the one with this id.
async fn numbered(tx: &mut Tx, filter: &RenewalFilter, number: &str) -> Result<Vec<RenewalRecord>> {
    let mode = filter.mode;
    let mut found: BTreeMap<String, RenewalRecord> = BTreeMap::new();
    if let Ok(id) = number.parse::<RenewalId>() {
        found.extend(tx.find_renewal(mode, id).await?.map(|one| (number.to_owned(), one)));
    }
    let orders = OrderFilter {
        mode,
        partner: filter.partner,
        state: String::new(),
        iccid: String::new(),
        number: number.to_owned(),
        plan_code: String::new(),
        from: Timestamp::from_micros(i64::MIN),
        to: Timestamp::from_micros(i64::MAX),
        before_id: String::new(),
    };
    for order in tx.search_orders(&orders, ORDERS_MAX).await?.orders {
        let order = order.order;
        let mut renewal = tx.renewal_of_order(mode, order.partner_id, order.id).await?;
        if renewal.is_none() {
            renewal = renewed_by(tx, &order).await?;
        }
        let Some(renewal) = renewal else { continue };
        let record = tx.find_renewal(mode, renewal.id).await?;
        found.extend(record.map(|one| (renewal.id.to_string(), one)));
    }
    let wanted = |record: &RenewalRecord| {
        let renewal = &record.renewal;
        filter.partner.is_none_or(|partner| partner == record.partner_id)
            && (filter.state.is_empty() || renewal.state.as_str() == filter.state)
            && i64::from(renewal.misses) >= filter.misses_min
            && (filter.before_id.is_empty() || renewal.id.to_string() < filter.before_id)
    };
    Ok(found.into_values().rev().filter(wanted).collect())
}
