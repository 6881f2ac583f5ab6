//! The catalogue: packages, plans on sale, and each partner's prices.

use std::collections::BTreeMap;

use domain::id::{PartnerId, PriceId};
use domain::package::{Package, Volume};
use domain::plan::{Plan, PriceKind};
use domain::{LocalizedText, Mode, Money, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::partners::words;

statements! {
    INSERT_PACKAGE = "INSERT INTO packages (mode, code, unit, calendar, volume_bytes, area,
        countries, carrier, carrier_product) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    INSERT_PLAN = "INSERT INTO plans (mode, code, plan_id, package_code, name, description, periods,
        renewable, on_sale) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, true)";
    INSERT_PRICE = "INSERT INTO prices (mode, partner_id, price_id, plan_code, kind, currency,
        minor, valid_from, valid_to) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    END_PRICE = "UPDATE prices SET valid_to = $5 WHERE mode = $1 AND partner_id = $2
        AND plan_code = $3 AND kind = $4 AND (valid_to IS NULL OR valid_to > $5)";
    /// A plan on sale with its package.
    FIND = "SELECT p.code, p.plan_id, p.name, p.description, p.periods, p.renewable,
        k.code AS package_code, k.unit, k.calendar, k.volume_bytes, k.area, k.countries,
        k.carrier, k.carrier_product
        FROM plans p JOIN packages k ON k.mode = p.mode AND k.code = p.package_code
        WHERE p.mode = $1 AND p.code = $2 AND p.on_sale";
    /// The plans on sale of a carrier.
    OF_CARRIER = "SELECT p.code, p.plan_id, p.name, p.description, p.periods, p.renewable,
        k.code AS package_code, k.unit, k.calendar, k.volume_bytes, k.area, k.countries,
        k.carrier, k.carrier_product
        FROM plans p JOIN packages k ON k.mode = p.mode AND k.code = p.package_code
        WHERE p.mode = $1 AND k.carrier = $2 AND p.on_sale ORDER BY p.code";
    NAME = "SELECT name FROM plans WHERE mode = $1 AND code = $2";
    /// A partner's prices that were in force at some time from $3 to $4.
    PRICES = "SELECT plan_code, kind, currency, minor FROM prices
        WHERE mode = $1 AND partner_id = $2 AND valid_from <= $4
        AND (valid_to IS NULL OR valid_to > $3) ORDER BY plan_code, valid_from DESC";
    PRICES_OF_PLAN = "SELECT plan_code, kind, currency, minor FROM prices
        WHERE mode = $1 AND partner_id = $2 AND plan_code = $5 AND valid_from <= $4
        AND (valid_to IS NULL OR valid_to > $3) ORDER BY plan_code, valid_from DESC";
}

/// A price in a partner's book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The plan.
    pub plan_code: String,
    /// Who pays it to whom.
    pub kind: PriceKind,
    /// For one period.
    pub unit: Money,
}

#[derive(sqlx::FromRow)]
struct PlanRow {
    code: String,
    plan_id: String,
    name: String,
    description: String,
    periods: String,
    renewable: bool,
    package_code: String,
    unit: String,
    calendar: bool,
    volume_bytes: Option<i64>,
    area: String,
    countries: String,
    carrier: String,
    carrier_product: String,
}

impl PlanRow {
    fn into_plan(self) -> Result<Plan> {
        let row = Row { table: "plans", key: &self.code };
        let package_row = Row { table: "packages", key: &self.package_code };
        let periods = words(&self.periods).map(|word| row.parse("periods", word));
        let volume = match self.volume_bytes {
            None => Volume::Unlimited,
            Some(bytes) => Volume::Bytes(
                u64::try_from(bytes).map_err(|why| package_row.corrupt("volume_bytes", why))?,
            ),
        };
        Ok(Plan {
            name: texts(&row, "name", &self.name)?,
            description: texts(&row, "description", &self.description)?,
            periods: periods.collect::<Result<_>>()?,
            package: Package {
                kind: package_row.parse("unit", &self.unit)?,
                area: texts(&package_row, "area", &self.area)?,
                countries: words(&self.countries).map(str::to_owned).collect(),
                code: self.package_code,
                calendar: self.calendar,
                volume,
                carrier: self.carrier,
                carrier_product: self.carrier_product,
            },
            code: self.code,
            plan_id: self.plan_id,
            renewable: self.renewable,
        })
    }
}

fn texts(row: &Row<'_>, column: &'static str, json: &str) -> Result<LocalizedText> {
    let map: BTreeMap<String, String> =
        serde_json::from_str(json).map_err(|why| row.corrupt(column, why))?;
    Ok(LocalizedText(map))
}

fn json(text: &LocalizedText) -> String {
    // A map of strings always has a JSON form.
    serde_json::to_string(&text.0).unwrap_or_default()
}

#[derive(sqlx::FromRow)]
struct PriceRow {
    plan_code: String,
    kind: String,
    currency: String,
    minor: i64,
}

impl PriceRow {
    fn into_price(self) -> Result<Price> {
        let row = Row { table: "prices", key: &self.plan_code };
        let kind = row.parse("kind", &self.kind)?;
        let unit = Money::new(self.minor, row.parse("currency", &self.currency)?);
        Ok(Price { kind, unit, plan_code: self.plan_code })
    }
}

#[derive(sqlx::FromRow)]
struct NameRow {
    name: String,
}

impl Tx {
    /// Adds a package.
    pub async fn insert_package(&mut self, mode: Mode, package: &Package) -> Result<()> {
        let volume = match package.volume {
            Volume::Unlimited => None,
            Volume::Bytes(bytes) => Some(i64::try_from(bytes).unwrap_or(i64::MAX)),
        };
        execute!(
            self,
            INSERT_PACKAGE,
            mode.as_str(),
            &package.code,
            package.kind.code(),
            package.calendar,
            volume,
            json(&package.area),
            package.countries.join(","),
            &package.carrier,
            &package.carrier_product,
        )?;
        Ok(())
    }

    /// Puts a plan on sale. Its package must be there.
    pub async fn insert_plan(&mut self, mode: Mode, plan: &Plan) -> Result<()> {
        let periods: Vec<String> = plan.periods.iter().map(ToString::to_string).collect();
        execute!(
            self,
            INSERT_PLAN,
            mode.as_str(),
            &plan.code,
            &plan.plan_id,
            &plan.package.code,
            json(&plan.name),
            json(&plan.description),
            periods.join(","),
            plan.renewable,
        )?;
        Ok(())
    }

    /// Adds a price to a partner's book, in force from `from` and until `to` if that is given.
    pub async fn insert_price(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        id: PriceId,
        price: &Price,
        (from, to): (Timestamp, Option<Timestamp>),
    ) -> Result<()> {
        execute!(
            self,
            INSERT_PRICE,
            mode.as_str(),
            partner_id.to_string(),
            id.to_string(),
            &price.plan_code,
            price.kind.as_str(),
            price.unit.currency.code(),
            price.unit.minor,
            from.as_micros(),
            to.map(Timestamp::as_micros),
        )?;
        Ok(())
    }

    /// Ends the prices of a plan that are in force at `at`.
    pub async fn end_prices(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        (plan_code, kind): (&str, PriceKind),
        at: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner_id.to_string());
        execute!(self, END_PRICE, mode, partner, plan_code, kind.as_str(), at.as_micros())?;
        Ok(())
    }

    /// A plan on sale.
    pub async fn plan(&mut self, mode: Mode, code: &str) -> Result<Option<Plan>> {
        let row = fetch_optional!(self, PlanRow, FIND, mode.as_str(), code)?;
        row.map(PlanRow::into_plan).transpose()
    }

    /// All plans on sale that a carrier provides, by code.
    pub async fn plans_of_carrier(&mut self, mode: Mode, carrier: &str) -> Result<Vec<Plan>> {
        let rows = fetch_all!(self, PlanRow, OF_CARRIER, mode.as_str(), carrier)?;
        rows.into_iter().map(PlanRow::into_plan).collect()
    }

    /// The names of a plan, whether it is on sale or not.
    pub async fn plan_name(&mut self, mode: Mode, code: &str) -> Result<LocalizedText> {
        let found = fetch_optional!(self, NameRow, NAME, mode.as_str(), code)?;
        let row = Row { table: "plans", key: code };
        found.map_or_else(|| Ok(LocalizedText::default()), |plan| texts(&row, "name", &plan.name))
    }

    /// A partner's prices that were in force at some time from `from` to `to`, the newest of each plan
    /// first; of one plan, or of all.
    pub async fn prices(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        plan_code: Option<&str>,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<Price>> {
        let (mode, partner) = (mode.as_str(), partner_id.to_string());
        let (from, to) = (from.as_micros(), to.as_micros());
        let rows = match plan_code {
            None => fetch_all!(self, PriceRow, PRICES, mode, partner, from, to)?,
            Some(plan) => {
                fetch_all!(self, PriceRow, PRICES_OF_PLAN, mode, partner, from, to, plan)?
            }
        };
        rows.into_iter().map(PriceRow::into_price).collect()
    }
}
