//! What operators see of the catalogue: packages and plans, on sale or not.

use domain::Mode;
use domain::package::Package;
use domain::plan::Plan;

use crate::engine::{Tx, fetch_all, fetch_optional, statements};
use crate::error::Result;
use crate::plans::{PackageRow, PlanRow};

/// The columns of [`ListedPlanRow`].
macro_rules! plans {
    ($rest:literal) => {
        concat!(
            "SELECT p.code, p.plan_id, p.name, p.description, p.periods, p.renewable, p.on_sale,
            k.code AS package_code, k.unit, k.calendar, k.volume_bytes, k.area, k.countries,
            k.carrier, k.carrier_product
            FROM plans p JOIN packages k ON k.mode = p.mode AND k.code = p.package_code
            WHERE p.mode = $1 ",
            $rest
        )
    };
}

/// The columns of [`PackageRow`].
macro_rules! packages {
    ($rest:literal) => {
        concat!(
            "SELECT code AS package_code, unit, calendar, volume_bytes, area, countries, carrier,
            carrier_product FROM packages WHERE mode = $1 ",
            $rest
        )
    };
}

statements! {
    PLANS = plans!("AND p.code > $2 ORDER BY p.code LIMIT $3");
    PLAN = plans!("AND p.code = $2");
    PLAN_OF_ID = "SELECT code FROM plans WHERE mode = $1 AND plan_id = $2";
    PLAN_OF_PACKAGE = "SELECT code FROM plans WHERE mode = $1 AND package_code = $2
        ORDER BY code LIMIT 1";
    PACKAGES = packages!("AND code > $2 ORDER BY code LIMIT $3");
    PACKAGE = packages!("AND code = $2");
}

/// A plan, and whether it can be bought.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedPlan {
    /// The plan.
    pub plan: Plan,
    /// Whether it can be bought.
    pub on_sale: bool,
}

#[derive(sqlx::FromRow)]
struct ListedPlanRow {
    #[sqlx(flatten)]
    plan: PlanRow,
    on_sale: bool,
}

#[derive(sqlx::FromRow)]
struct CodeRow {
    code: String,
}

impl ListedPlanRow {
    fn into_plan(self) -> Result<ListedPlan> {
        Ok(ListedPlan { plan: self.plan.into_plan()?, on_sale: self.on_sale })
    }
}

impl Tx {
    /// A page of plans by code.
    pub async fn plans_page(
        &mut self,
        mode: Mode,
        after: &str,
        limit: i64,
    ) -> Result<Vec<ListedPlan>> {
        let rows = fetch_all!(self, ListedPlanRow, PLANS, mode.as_str(), after, limit)?;
        rows.into_iter().map(ListedPlanRow::into_plan).collect()
    }

    /// A plan, on sale or not.
    pub async fn listed_plan(&mut self, mode: Mode, code: &str) -> Result<Option<ListedPlan>> {
        let row = fetch_optional!(self, ListedPlanRow, PLAN, mode.as_str(), code)?;
        row.map(ListedPlanRow::into_plan).transpose()
    }

    /// The code of the plan with an id for subscriptions.
    pub async fn plan_of_id(&mut self, mode: Mode, plan_id: &str) -> Result<Option<String>> {
        let row = fetch_optional!(self, CodeRow, PLAN_OF_ID, mode.as_str(), plan_id)?;
        Ok(row.map(|row| row.code))
    }

    /// The code of some plan that gives a package.
    pub async fn plan_of_package(&mut self, mode: Mode, package: &str) -> Result<Option<String>> {
        let row = fetch_optional!(self, CodeRow, PLAN_OF_PACKAGE, mode.as_str(), package)?;
        Ok(row.map(|row| row.code))
    }

    /// A page of packages by code.
    pub async fn packages_page(
        &mut self,
        mode: Mode,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Package>> {
        let rows = fetch_all!(self, PackageRow, PACKAGES, mode.as_str(), after, limit)?;
        rows.into_iter().map(PackageRow::into_package).collect()
    }

    /// A package.
    pub async fn package(&mut self, mode: Mode, code: &str) -> Result<Option<Package>> {
        let row = fetch_optional!(self, PackageRow, PACKAGE, mode.as_str(), code)?;
        row.map(PackageRow::into_package).transpose()
    }
}
