//! What a SIM can buy.

use domain::package::Volume;
use domain::plan::{Plan, PriceKind};
use domain::{Locale, Money, territory};
use wire::Code;
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
        let (partner, now) = (&caller.partner, self.now(caller.partner.mode));
        let mut tx = self.store.read().await?;
        let sim = sellable_sim(&mut tx, partner, &request.iccid).await?;
        let seen = self.partner_now(&mut tx, partner.mode, &partner.code).await?;
        let seen = seen.ok_or(Code::PartnerUnknown)?;
        let catalogue = self.catalogue_at(&mut tx, partner.mode, seen.versions.catalogue).await?;
        drop(tx);
        let price = |plan: &Plan, kind, currency| {
            let of_kind =
                |(other, unit): &(PriceKind, Money)| *other == kind && unit.currency == currency;
            seen.known.prices(&plan.code, (now, now)).find(of_kind).map(|(_, unit)| unit)
        };
        let offers: Vec<ServicePlan> = catalogue
            .plans_of(&sim.carrier)
            .iter()
            .filter(|plan| in_area(plan, &request.area))
            .filter_map(|plan| {
                let sale = price(plan, PriceKind::Sale, partner.currency)?;
                let settle = price(plan, PriceKind::Settlement, partner.settlement_currency)?;
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
