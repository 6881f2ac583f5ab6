//! Packages and plans.
//!
//! What was sold stays what it was: an order keeps its own copy of unit, carrier and product. Yet
//! prices are per unit, and auto-renewals buy the same plan again, so a package that a plan gives
//! keeps unit, calendar and carrier, and a plan takes another package only of the same ones.

use domain::package::{Package, PackageType, Volume};
use domain::plan::Plan;
use domain::{LocalizedText, Mode, territory};
use serde_json::Value;
use store::ListedPlan;
use wire::admin::{List, Problem, catalogue as shape};

use super::{Change, Operator, Page, Wrong, json};
use crate::Mall;
use crate::error::Result;

fn shown(package: &Package) -> shape::Package {
    shape::Package {
        code: package.code.clone(),
        unit: package.kind.word().to_owned(),
        calendar: package.calendar,
        volume_bytes: match package.volume {
            Volume::Bytes(bytes) => Some(i64::try_from(bytes).unwrap_or(i64::MAX)),
            Volume::Unlimited => None,
        },
        area: package.area.0.clone(),
        countries: package.countries.clone(),
        carrier: package.carrier.clone(),
        carrier_product: package.carrier_product.clone(),
    }
}

fn shown_plan(ListedPlan { plan, on_sale }: &ListedPlan) -> shape::Plan {
    shape::Plan {
        code: plan.code.clone(),
        plan_id: plan.plan_id.clone(),
        package_code: plan.package.code.clone(),
        name: plan.name.0.clone(),
        description: plan.description.0.clone(),
        periods: plan.periods.clone(),
        renewable: plan.renewable,
        on_sale: *on_sale,
    }
}

/// What the network gives, as it is wanted.
pub(crate) fn read_package(code: &str, wanted: &shape::PutPackage) -> Result<Package> {
    let mut wrong = Wrong::default();
    check_code(&mut wrong, code);
    let kind = wrong.read("unit", PackageType::from_word(&wanted.unit));
    for country in &wanted.countries {
        if territory::find(country) != Some(country.as_str()) {
            wrong.add("countries", format!("{country:?} is no ISO 3166-1 code"));
        }
    }
    if wanted.area.values().all(|text| text.trim().is_empty()) {
        wrong.add("area", "needs a name in one language at least");
    }
    let volume = match wanted.volume_bytes {
        None => Volume::Unlimited,
        Some(bytes) => wrong
            .read("volume_bytes", u64::try_from(bytes))
            .map_or(Volume::Unlimited, Volume::Bytes),
    };
    wrong.check()?;
    Ok(Package {
        code: code.to_owned(),
        kind: kind.unwrap_or(PackageType::Daily),
        calendar: wanted.calendar.unwrap_or(false),
        volume,
        area: LocalizedText(wanted.area.clone()),
        countries: wanted.countries.clone(),
        carrier: wanted.carrier.clone(),
        carrier_product: wanted.carrier_product.clone(),
    })
}

/// A code that stands in a path and is new.
fn check_code(wrong: &mut Wrong, code: &str) {
    let taken = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !(1..=wire::admin::CODE_CHARS_MAX).contains(&code.len()) || !code.bytes().all(taken) {
        wrong.add("code", "not 1 to 64 letters, digits, '-', '_' or '.'");
    }
}

/// Whether what is priced and provisioned by one package would be so by the other.
pub(crate) fn alike(one: &Package, other: &Package) -> bool {
    one.kind == other.kind && one.calendar == other.calendar && one.carrier == other.carrier
}

impl Mall {
    /// All packages by code.
    pub async fn list_packages(&self, mode: Mode, page: &Page) -> Result<List<shape::Package>> {
        let mut tx = self.store.read().await?;
        let packages = tx.packages_page(mode, &page.after, page.limit_and_one()).await?;
        Ok(page.list(packages, |package| package.code.clone(), |package| shown(&package)))
    }

    /// A package.
    pub async fn show_package(&self, mode: Mode, code: &str) -> Result<shape::Package> {
        let package = self.store.read().await?.package(mode, code).await?;
        Ok(shown(&package.ok_or_else(|| Problem::not_found("package"))?))
    }

    /// Makes a package, or changes it.
    pub async fn put_package(
        &self,
        by: &Operator,
        (mode, code): (Mode, &str),
        wanted: &shape::PutPackage,
    ) -> Result<shape::Package> {
        let after = &read_package(code, wanted)?;
        self.check_carrier(mode, &after.carrier)?;
        self.retry(|| async move {
            let mut tx = self.store.begin().await?;
            // Whoever else changes the catalogue waits.
            tx.touch_catalogue(mode).await?;
            let before = tx.package(mode, code).await?;
            match &before {
                None => tx.insert_package(mode, after).await?,
                Some(same) if same == after => return Ok(shown(same)),
                Some(before) => {
                    if !alike(before, after)
                        && let Some(plan) = tx.plan_of_package(mode, code).await?
                    {
                        let detail = format!(
                            "the plan {plan} gives this package, so that its unit, calendar and \
                             carrier stay: make another package and another plan"
                        );
                        return Err(Problem::conflict("PACKAGE_IN_USE", detail).into());
                    }
                    Self::check_own_route(&mut tx, mode, after).await?;
                    tx.update_package(mode, after).await?;
                }
            }
            let change = Change {
                action: if before.is_some() { "package.change" } else { "package.add" },
                mode: Some(mode),
                object: format!("packages/{code}"),
                before: before.as_ref().map_or(Value::Null, |before| json(&shown(before))),
                after: json(&shown(after)),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(shown(after))
        })
        .await
    }

    /// All plans by code, on sale or not.
    pub async fn list_plans(&self, mode: Mode, page: &Page) -> Result<List<shape::Plan>> {
        let mut tx = self.store.read().await?;
        let plans = tx.plans_page(mode, &page.after, page.limit_and_one()).await?;
        Ok(page.list(plans, |listed| listed.plan.code.clone(), |listed| shown_plan(&listed)))
    }

    /// A plan, on sale or not.
    pub async fn show_plan(&self, mode: Mode, code: &str) -> Result<shape::Plan> {
        let plan = self.store.read().await?.listed_plan(mode, code).await?;
        Ok(shown_plan(&plan.ok_or_else(|| Problem::not_found("plan"))?))
    }

    /// Makes a plan, or changes it.
    pub async fn put_plan(
        &self,
        by: &Operator,
        (mode, code): (Mode, &str),
        wanted: &shape::PutPlan,
    ) -> Result<shape::Plan> {
        let mut wrong = Wrong::default();
        check_code(&mut wrong, code);
        if wanted.name.values().all(|text| text.trim().is_empty()) {
            wrong.add("name", "needs a text in one language at least");
        }
        let mut periods = wanted.periods.clone();
        periods.sort_unstable();
        periods.dedup();
        if periods.is_empty() {
            wrong.add("periods", "needs one number of periods at least");
        }
        wrong.check()?;
        let periods = &periods;
        self.retry(|| async move {
            let mut tx = self.store.begin().await?;
            // Whoever else changes the catalogue waits.
            tx.touch_catalogue(mode).await?;
            let before = tx.listed_plan(mode, code).await?;
            let package = tx.package(mode, &wanted.package_code).await?;
            let no_package = || Problem::field("package_code", "there is no such package");
            let package = package.ok_or_else(no_package)?;
            let earlier = before.as_ref().map_or(code, |before| &before.plan.plan_id);
            let plan_id = wanted.plan_id.as_deref().unwrap_or(earlier).to_owned();
            if tx.plan_of_id(mode, &plan_id).await?.is_some_and(|owner| owner != code) {
                let detail = format!("another plan has the plan_id {plan_id}");
                return Err(Problem::conflict("PLAN_ID_TAKEN", detail).into());
            }
            let plan = Plan {
                code: code.to_owned(),
                plan_id,
                name: LocalizedText(wanted.name.clone()),
                description: LocalizedText(wanted.description.clone().unwrap_or_default()),
                package,
                periods: periods.clone(),
                renewable: wanted.renewable.unwrap_or(false),
            };
            let after = ListedPlan { plan, on_sale: wanted.on_sale.unwrap_or(true) };
            match &before {
                Some(same) if *same == after => return Ok(shown_plan(same)),
                Some(before) if !alike(&before.plan.package, &after.plan.package) => {
                    let detail = "its package may change to one of the same unit, calendar and \
                                  carrier only: make another plan";
                    return Err(Problem::conflict("PLAN_IN_USE", detail).into());
                }
                Some(_) => {}
                None => tx.insert_plan(mode, &after.plan).await?,
            }
            tx.update_plan(mode, &after.plan, after.on_sale).await?;
            let change = Change {
                action: if before.is_some() { "plan.change" } else { "plan.add" },
                mode: Some(mode),
                object: format!("plans/{code}"),
                before: before.as_ref().map_or(Value::Null, |before| json(&shown_plan(before))),
                after: json(&shown_plan(&after)),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(shown_plan(&after))
        })
        .await
    }
}
