//! The catalogue: packages, plans on sale, and each partner's prices.

use std::collections::BTreeMap;

use domain::id::{PartnerId, PriceId};
use domain::package::{Package, Volume};
use domain::plan::{Plan, PriceKind};
use domain::{LocalizedText, Mode, Money, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
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
    UPDATE_PACKAGE = "UPDATE packages SET unit = $3, calendar = $4, volume_bytes = $5, area = $6,
        countries = $7, carrier = $8, carrier_product = $9 WHERE mode = $1 AND code = $2";
    UPDATE_PLAN = "UPDATE plans SET plan_id = $3, package_code = $4, name = $5, description = $6,
        periods = $7, renewable = $8, on_sale = $9 WHERE mode = $1 AND code = $2";
    SET_PRICE_END = "UPDATE prices SET valid_to = $4
        WHERE mode = $1 AND partner_id = $2 AND price_id = $3";
    DELETE_PRICE = "DELETE FROM prices WHERE mode = $1 AND partner_id = $2 AND price_id = $3";
    /// A plan on sale with its package.
    FIND = "SELECT p.code, p.plan_id, p.name, p.description, p.periods, p.renewable,
        k.code AS package_code, k.unit, k.calendar, k.volume_bytes, k.area, k.countries,
        k.carrier, k.carrier_product
        FROM plans p JOIN packages k ON k.mode = p.mode AND k.code = p.package_code
        WHERE p.mode = $1 AND p.code = $2 AND p.on_sale";
    /// All plans of a mode on sale.
    ON_SALE = "SELECT p.code, p.plan_id, p.name, p.description, p.periods, p.renewable,
        k.code AS package_code, k.unit, k.calendar, k.volume_bytes, k.area, k.countries,
        k.carrier, k.carrier_product
        FROM plans p JOIN packages k ON k.mode = p.mode AND k.code = p.package_code
        WHERE p.mode = $1 AND p.on_sale ORDER BY p.code";
    SET_ROUTE = "UPDATE packages SET route = $3 WHERE mode = $1 AND code = $2";
    ROUTE = "SELECT route FROM packages WHERE mode = $1 AND code = $2";
    VERSION = "SELECT version FROM catalogues WHERE mode = $1";
    TOUCH = "UPDATE catalogues SET version = version + 1 WHERE mode = $1";
    NAME = "SELECT name FROM plans WHERE mode = $1 AND code = $2";
    /// A partner's prices that end after $3 or not at all, those to come included.
    PRICES = "SELECT plan_code, kind, currency, minor, valid_from, valid_to FROM prices
        WHERE mode = $1 AND partner_id = $2 AND (valid_to IS NULL OR valid_to > $3)
        ORDER BY plan_code, valid_from DESC";
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

/// A price with the time in which it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedPrice {
    /// What is paid.
    pub price: Price,
    /// In force from here on,
    pub valid_from: Timestamp,
    /// and until before this time, if it ends.
    pub valid_to: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct RouteRow {
    route: String,
}

#[derive(sqlx::FromRow)]
pub(crate) struct PlanRow {
    code: String,
    plan_id: String,
    name: String,
    description: String,
    periods: String,
    renewable: bool,
    #[sqlx(flatten)]
    package: PackageRow,
}

#[derive(sqlx::FromRow)]
pub(crate) struct PackageRow {
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
    pub(crate) fn into_plan(self) -> Result<Plan> {
        let row = Row { table: "plans", key: &self.code };
        let periods = words(&self.periods).map(|word| row.parse("periods", word));
        Ok(Plan {
            name: texts(&row, "name", &self.name)?,
            description: texts(&row, "description", &self.description)?,
            periods: periods.collect::<Result<_>>()?,
            package: self.package.into_package()?,
            code: self.code,
            plan_id: self.plan_id,
            renewable: self.renewable,
        })
    }
}

impl PackageRow {
    pub(crate) fn into_package(self) -> Result<Package> {
        let row = Row { table: "packages", key: &self.package_code };
        let volume = match self.volume_bytes {
            None => Volume::Unlimited,
            Some(bytes) => {
                Volume::Bytes(u64::try_from(bytes).map_err(|why| row.corrupt("volume_bytes", why))?)
            }
        };
        Ok(Package {
            kind: row.parse("unit", &self.unit)?,
            area: texts(&row, "area", &self.area)?,
            countries: words(&self.countries).map(str::to_owned).collect(),
            code: self.package_code,
            calendar: self.calendar,
            volume,
            carrier: self.carrier,
            carrier_product: self.carrier_product,
        })
    }
}

pub(crate) fn texts(row: &Row<'_>, column: &'static str, json: &str) -> Result<LocalizedText> {
    let map: BTreeMap<String, String> =
        serde_json::from_str(json).map_err(|why| row.corrupt(column, why))?;
    Ok(LocalizedText(map))
}

/// The carriers of a route, each with its product.
pub(crate) fn route(row: &Row<'_>, text: &str) -> Result<Vec<(String, String)>> {
    let pair = |word: &str| match word.split_once(':') {
        Some((carrier, product)) => Ok((carrier.to_owned(), product.to_owned())),
        None => Err(row.corrupt("route", format!("{word:?} has no product"))),
    };
    text.split_whitespace().map(pair).collect()
}

pub(crate) fn json(text: &LocalizedText) -> String {
    // A map of strings always has a JSON form.
    serde_json::to_string(&text.0).unwrap_or_default()
}

fn volume_bytes(package: &Package) -> Option<i64> {
    match package.volume {
        Volume::Unlimited => None,
        Volume::Bytes(bytes) => Some(i64::try_from(bytes).unwrap_or(i64::MAX)),
    }
}

#[derive(sqlx::FromRow)]
struct PriceRow {
    plan_code: String,
    kind: String,
    currency: String,
    minor: i64,
    valid_from: i64,
    valid_to: Option<i64>,
}

impl PriceRow {
    fn into_price(self) -> Result<DatedPrice> {
        let row = Row { table: "prices", key: &self.plan_code };
        let kind = row.parse("kind", &self.kind)?;
        let unit = Money::new(self.minor, row.parse("currency", &self.currency)?);
        Ok(DatedPrice {
            price: Price { kind, unit, plan_code: self.plan_code },
            valid_from: Timestamp::from_micros(self.valid_from),
            valid_to: self.valid_to.map(Timestamp::from_micros),
        })
    }
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    version: i64,
}

#[derive(sqlx::FromRow)]
struct NameRow {
    name: String,
}

impl Tx {
    /// Sets the route of a package that is there.
    pub async fn set_package_route(
        &mut self,
        mode: Mode,
        code: &str,
        route: &[(String, String)],
    ) -> Result<()> {
        let words: Vec<String> =
            route.iter().map(|(carrier, product)| format!("{carrier}:{product}")).collect();
        let changed = execute!(self, SET_ROUTE, mode.as_str(), code, words.join(" "))?;
        one_row(changed, "the package")
    }

    /// The carriers, each with its product, that may provide a package if its own refuses; in their order.
    pub async fn package_route(&mut self, mode: Mode, code: &str) -> Result<Vec<(String, String)>> {
        let found = fetch_optional!(self, RouteRow, ROUTE, mode.as_str(), code)?;
        let row = Row { table: "packages", key: code };
        route(&row, &found.map(|found| found.route).unwrap_or_default())
    }

    /// Adds a package.
    pub async fn insert_package(&mut self, mode: Mode, package: &Package) -> Result<()> {
        execute!(
            self,
            INSERT_PACKAGE,
            mode.as_str(),
            &package.code,
            package.kind.code(),
            package.calendar,
            volume_bytes(package),
            json(&package.area),
            package.countries.join(","),
            &package.carrier,
            &package.carrier_product,
        )?;
        self.touch_catalogue(mode).await
    }

    /// Changes a package.
    pub async fn update_package(&mut self, mode: Mode, package: &Package) -> Result<()> {
        let changed = execute!(
            self,
            UPDATE_PACKAGE,
            mode.as_str(),
            &package.code,
            package.kind.code(),
            package.calendar,
            volume_bytes(package),
            json(&package.area),
            package.countries.join(","),
            &package.carrier,
            &package.carrier_product,
        )?;
        one_row(changed, "the package")?;
        self.touch_catalogue(mode).await
    }

    /// Changes a plan. Its package must be there.
    pub async fn update_plan(&mut self, mode: Mode, plan: &Plan, on_sale: bool) -> Result<()> {
        let periods: Vec<String> = plan.periods.iter().map(ToString::to_string).collect();
        let changed = execute!(
            self,
            UPDATE_PLAN,
            mode.as_str(),
            &plan.code,
            &plan.plan_id,
            &plan.package.code,
            json(&plan.name),
            json(&plan.description),
            periods.join(","),
            plan.renewable,
            on_sale,
        )?;
        one_row(changed, "the plan")?;
        self.touch_catalogue(mode).await
    }

    /// Says when a price ends, if it ends.
    pub async fn set_price_end(
        &mut self,
        (mode, partner_id): (Mode, PartnerId),
        id: PriceId,
        end: Option<Timestamp>,
    ) -> Result<()> {
        let (word, partner) = (mode.as_str(), partner_id.to_string());
        let end = end.map(Timestamp::as_micros);
        let changed = execute!(self, SET_PRICE_END, word, partner, id.to_string(), end)?;
        one_row(changed, "the price")?;
        self.touch_partner(mode, partner_id).await
    }

    /// Takes a price out of the book.
    pub async fn delete_price(
        &mut self,
        (mode, partner_id): (Mode, PartnerId),
        id: PriceId,
    ) -> Result<()> {
        let (word, partner) = (mode.as_str(), partner_id.to_string());
        let changed = execute!(self, DELETE_PRICE, word, partner, id.to_string())?;
        one_row(changed, "the price")?;
        self.touch_partner(mode, partner_id).await
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
        self.touch_catalogue(mode).await
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
        self.touch_partner(mode, partner_id).await
    }

    /// Ends the prices of a plan that are in force at `at`.
    pub async fn end_prices(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        (plan_code, kind): (&str, PriceKind),
        at: Timestamp,
    ) -> Result<()> {
        let (word, partner) = (mode.as_str(), partner_id.to_string());
        execute!(self, END_PRICE, word, partner, plan_code, kind.as_str(), at.as_micros())?;
        self.touch_partner(mode, partner_id).await
    }

    /// A plan on sale.
    pub async fn plan(&mut self, mode: Mode, code: &str) -> Result<Option<Plan>> {
        let row = fetch_optional!(self, PlanRow, FIND, mode.as_str(), code)?;
        row.map(PlanRow::into_plan).transpose()
    }

    /// The names of a plan, whether it is on sale or not.
    pub async fn plan_name(&mut self, mode: Mode, code: &str) -> Result<LocalizedText> {
        let found = fetch_optional!(self, NameRow, NAME, mode.as_str(), code)?;
        let row = Row { table: "plans", key: code };
        found.map_or_else(|| Ok(LocalizedText::default()), |plan| texts(&row, "name", &plan.name))
    }

    /// A partner's prices that end after `after` or not at all, the newest of each plan first.
    pub async fn prices(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        after: Timestamp,
    ) -> Result<Vec<DatedPrice>> {
        let (mode, partner) = (mode.as_str(), partner_id.to_string());
        let rows = fetch_all!(self, PriceRow, PRICES, mode, partner, after.as_micros())?;
        rows.into_iter().map(PriceRow::into_price).collect()
    }

    /// All plans of a mode on sale, by code.
    pub async fn plans_on_sale(&mut self, mode: Mode) -> Result<Vec<Plan>> {
        let rows = fetch_all!(self, PlanRow, ON_SALE, mode.as_str())?;
        rows.into_iter().map(PlanRow::into_plan).collect()
    }

    /// The version of a mode's packages and plans.
    pub async fn catalogue_version(&mut self, mode: Mode) -> Result<i64> {
        let row = fetch_optional!(self, VersionRow, VERSION, mode.as_str())?;
        Ok(row.map_or(0, |row| row.version))
    }

    /// Raises that version: whatever a node has cached of the catalogue is to be read again.
    pub async fn touch_catalogue(&mut self, mode: Mode) -> Result<()> {
        self.has_raised = true;
        execute!(self, TOUCH, mode.as_str())?;
        Ok(())
    }
}
