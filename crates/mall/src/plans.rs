//! What a SIM can buy.

use std::collections::HashMap;

use domain::package::Volume;
use domain::plan::{Plan, PriceKind};
use domain::{Currency, Locale, Money, territory};
use store::Price;
use wire::vshop::{ServicePlan, SingleServicePlanPage, SingleServicePlanPageAnswer};

use crate::error::Result;
use crate::sims::{flag, sellable_sim};
use crate::{Caller, Mall};

impl Mall {
    /// 5.2: the plans that a SIM can buy.
    pub async fn plan_page(
        &self,
        caller: &Caller,
        request: &SingleServicePlanPage,
    ) -> Result<SingleServicePlanPageAnswer> {
        let (partner, now) = (&caller.partner, self.ctx.now());
        let mut tx = self.store.read().await?;
        let sim = sellable_sim(&mut tx, partner, &request.iccid).await?;
        let plans = tx.plans_of_carrier(partner.mode, &sim.carrier).await?;
        let prices = tx.prices(partner.mode, partner.id, None, (now, now)).await?;
        drop(tx);
        let book = Book::new(&prices);
        let offers: Vec<ServicePlan> = plans
            .iter()
            .filter(|plan| in_area(plan, &request.area))
            .filter_map(|plan| {
                let sale = book.price(&plan.code, PriceKind::Sale, partner.currency)?;
                let settle_currency = partner.settlement_currency;
                let settle = book.price(&plan.code, PriceKind::Settlement, settle_currency)?;
                Some(service_plan(plan, caller.locale, sale, settle))
            })
            .collect();
        let total = offers.len();
        let page_size = usize::try_from(request.page_size).unwrap_or(usize::MAX);
        let skipped = usize::try_from(request.page_no - 1).unwrap_or(usize::MAX);
        let skipped = skipped.saturating_mul(page_size);
        Ok(SingleServicePlanPageAnswer {
            partner_code: partner.code.clone(),
            device_code: sim.iccid.as_str().to_owned(),
            total: total.to_string(),
            page_no: request.page_no.to_string(),
            page_size: request.page_size.to_string(),
            service_plan_list: offers.into_iter().skip(skipped).take(page_size).collect(),
        })
    }
}

/// A partner's prices by plan, kind and currency; the newest counts.
struct Book<'a>(HashMap<(&'a str, PriceKind, Currency), Money>);

impl<'a> Book<'a> {
    fn new(prices: &'a [Price]) -> Self {
        let mut book = HashMap::with_capacity(prices.len());
        for price in prices {
            let key = (price.plan_code.as_str(), price.kind, price.unit.currency);
            book.entry(key).or_insert(price.unit);
        }
        Self(book)
    }

    fn price(&self, plan: &str, kind: PriceKind, currency: Currency) -> Option<Money> {
        self.0.get(&(plan, kind, currency)).copied()
    }
}

/// Whether a plan covers what the caller wrote: the region by its own name in any language, or a
/// country by code or by name in any language.
fn in_area(plan: &Plan, area: &str) -> bool {
    let area = area.trim();
    let package = &plan.package;
    let named = |name: &String| name.to_lowercase() == area.to_lowercase();
    area.is_empty()
        || package.area.0.values().any(named)
        || territory::find(area).is_some_and(|code| package.countries.iter().any(|c| c == code))
}

fn service_plan(plan: &Plan, locale: Locale, sale: Money, settle: Money) -> ServicePlan {
    let package = &plan.package;
    ServicePlan {
        service_plan_code: plan.code.clone(),
        service_plan_show_name: plan.name.get(locale).to_owned(),
        description: plan.description.get(locale).to_owned(),
        package_code: package.code.clone(),
        package_type: package.kind.code().to_owned(),
        order_period_list: plan.periods.iter().map(ToString::to_string).collect(),
        pay_unit: sale.decimal(),
        pay_currency: sale.currency.code().to_owned(),
        settle_price: settle.decimal(),
        data_volume: match package.volume {
            Volume::Bytes(bytes) => bytes.to_string(),
            Volume::Unlimited => "-1".to_owned(),
        },
        area: package.area.get(locale).to_owned(),
        countries: package.countries.clone(),
        auto_renewal: flag(plan.renewable),
        plan_id: plan.plan_id.clone(),
    }
}
