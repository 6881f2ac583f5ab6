//! Many rows at a time: look-ups and writes of imports, and the pages of exports.
//!
//! A statement of so many rows is a statement of its own, so that there are two of each: one for
//! [`BATCH_ROWS`] and one for a single row, which takes what is left over.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use domain::id::{PartnerId, PriceId};
use domain::package::{Package, Volume};
use domain::plan::PriceKind;
use domain::sim::{Sim, SimState};
use domain::{Iccid, LocalizedText, Mode, Money, Timestamp};

use crate::engine::{Tx, fetch_all, fetch_optional, on_engine, statements};
use crate::error::{Result, Row};
use crate::partners::words;
use crate::plans::{json, route, texts};

/// How many rows one statement looks up or writes.
pub const BATCH_ROWS: usize = 250;

statements! {
    EXPORT_SIMS = "SELECT partner_id, iccid, carrier, state FROM sims
        WHERE mode = $1 AND partner_id = $2 AND iccid > $3 ORDER BY iccid LIMIT $4";
    EXPORT_PACKAGES = "SELECT code, unit, calendar, volume_bytes, area, countries, carrier,
        carrier_product FROM packages WHERE mode = $1 AND code > $2 ORDER BY code LIMIT $3";
    EXPORT_PLANS = "SELECT code, plan_id, package_code, name, description, periods, renewable,
        on_sale FROM plans WHERE mode = $1 AND code > $2 ORDER BY code LIMIT $3";
    EXPORT_PRICES = "SELECT partner_id, plan_code, kind, currency, minor, valid_from, valid_to
        FROM prices WHERE mode = $1 AND partner_id = $2
        AND (plan_code, kind, currency, valid_from) > ($3, $4, $5, $6)
        ORDER BY plan_code, kind, currency, valid_from LIMIT $7";
    NEXT_PARTNER = "SELECT code FROM partners WHERE mode = $1 AND code > $2
        ORDER BY code LIMIT 1";
}

/// A statement for one row and for many.
struct Sized {
    one: String,
    many: String,
}

impl Sized {
    /// An insert of rows with so many values, and what to do where a row is there already.
    fn insert(head: &str, columns: usize, conflict: &str) -> Self {
        let text = |rows: usize| {
            let mut text = format!("{head} VALUES ");
            for row in 0..rows {
                text.push_str(if row == 0 { "(" } else { ", (" });
                placeholders(&mut text, row * columns + 1, columns);
                text.push(')');
            }
            format!("{text} {conflict}")
        };
        Self { one: text(1), many: text(BATCH_ROWS) }
    }

    /// A look-up of the rows `r` of a table by columns of an index, of which the last one differs from key
    /// to key. Keys are joined whole, and neither put into `IN (…)` nor compared with `mode = $1` apart: as
    /// long as PostgreSQL knows nothing of a table's contents, it takes both for a reason to read the whole
    /// table. SQLite reads the keys first, as it is told by `CROSS JOIN`.
    fn select(columns: &str, table: &str, key: &[&str]) -> Self {
        let text = |rows: usize| {
            let (mut keys, mut fixed) = (String::new(), String::new());
            placeholders(&mut fixed, 1, key.len() - 1);
            for row in 0..rows {
                // Writing to a string does not fail.
                let comma = if row == 0 { "" } else { ", " };
                let _ = write!(keys, "{comma}({fixed}, ${})", key.len() + row);
            }
            let equal = |(place, column)| format!("r.{column} = k.column{}", place + 1);
            let equal: Vec<String> = key.iter().enumerate().map(equal).collect();
            format!(
                "SELECT {columns} FROM (VALUES {keys}) AS k CROSS JOIN {table} r WHERE {}",
                equal.join(" AND ")
            )
        };
        Self { one: text(1), many: text(BATCH_ROWS) }
    }

    /// The rows cut into as many as one statement takes, each with its statement.
    fn batches<'a, T>(
        &'static self,
        rows: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        let whole = rows.len() / BATCH_ROWS * BATCH_ROWS;
        let (many, rest) = rows.split_at(whole);
        let many = many.chunks(BATCH_ROWS).map(|rows| (self.many.as_str(), rows));
        many.chain(rest.chunks(1).map(|rows| (self.one.as_str(), rows)))
    }
}

fn placeholders(text: &mut String, first: usize, count: usize) {
    for number in first..first + count {
        let comma = if number == first { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}${number}");
    }
}

static SIMS: LazyLock<Sized> = LazyLock::new(|| {
    let columns = "r.partner_id, r.iccid, r.carrier, r.state";
    Sized::select(columns, "sims", &["mode", "iccid"])
});
static PACKAGES: LazyLock<Sized> = LazyLock::new(|| {
    let columns = "r.code, r.unit, r.calendar, r.volume_bytes, r.area, r.countries, r.carrier,
        r.carrier_product";
    Sized::select(columns, "packages", &["mode", "code"])
});
static ROUTES: LazyLock<Sized> =
    LazyLock::new(|| Sized::select("r.code, r.route", "packages", &["mode", "code"]));
static PLANS: LazyLock<Sized> = LazyLock::new(|| {
    let columns =
        "r.code, r.plan_id, r.package_code, r.name, r.description, r.periods, r.renewable,
        r.on_sale";
    Sized::select(columns, "plans", &["mode", "code"])
});
static PLAN_IDS: LazyLock<Sized> =
    LazyLock::new(|| Sized::select("r.code, r.plan_id", "plans", &["mode", "plan_id"]));
static PRICES: LazyLock<Sized> = LazyLock::new(|| {
    let columns =
        "r.partner_id, r.plan_code, r.kind, r.currency, r.minor, r.valid_from, r.valid_to";
    Sized::select(columns, "prices", &["mode", "partner_id", "plan_code"])
});
static PUT_SIMS: LazyLock<Sized> = LazyLock::new(|| {
    let head = "INSERT INTO sims (mode, partner_id, iccid, sim_id, carrier, state, created_at)";
    let conflict = "ON CONFLICT (mode, partner_id, iccid) DO UPDATE SET
        carrier = excluded.carrier, state = excluded.state";
    Sized::insert(head, 7, conflict)
});
static PUT_PACKAGES: LazyLock<Sized> = LazyLock::new(|| {
    let head = "INSERT INTO packages (mode, code, unit, calendar, volume_bytes, area, countries,
        carrier, carrier_product)";
    let conflict = "ON CONFLICT (mode, code) DO UPDATE SET unit = excluded.unit,
        calendar = excluded.calendar, volume_bytes = excluded.volume_bytes, area = excluded.area,
        countries = excluded.countries, carrier = excluded.carrier,
        carrier_product = excluded.carrier_product";
    Sized::insert(head, 9, conflict)
});
static PUT_PLANS: LazyLock<Sized> = LazyLock::new(|| {
    let head = "INSERT INTO plans (mode, code, plan_id, package_code, name, description, periods,
        renewable, on_sale)";
    let conflict = "ON CONFLICT (mode, code) DO UPDATE SET plan_id = excluded.plan_id,
        package_code = excluded.package_code, name = excluded.name,
        description = excluded.description, periods = excluded.periods,
        renewable = excluded.renewable, on_sale = excluded.on_sale";
    Sized::insert(head, 9, conflict)
});
static PUT_PRICES: LazyLock<Sized> = LazyLock::new(|| {
    let head = "INSERT INTO prices (mode, partner_id, price_id, plan_code, kind, currency, minor,
        valid_from, valid_to)";
    let conflict = "ON CONFLICT (mode, partner_id, plan_code, kind, currency, valid_from)
        DO UPDATE SET minor = excluded.minor, valid_to = excluded.valid_to";
    Sized::insert(head, 9, conflict)
});

/// All statements that are put together here, for the test that prepares them.
#[cfg(test)]
pub(crate) fn built() -> impl Iterator<Item = &'static str> {
    let read = [&SIMS, &PACKAGES, &ROUTES, &PLANS, &PRICES];
    let all = read.into_iter().chain([&PUT_SIMS, &PUT_PACKAGES, &PUT_PLANS, &PUT_PRICES]);
    all.flat_map(|sized| [sized.one.as_str(), sized.many.as_str()])
}

/// Looks rows up by many keys, after some other values.
macro_rules! look_up {
    ($tx:expr, $row:ty, $sized:expr, $keys:expr, [$($before:expr),*]) => {{
        let mut found: Vec<$row> = Vec::new();
        for (sql, keys) in $sized.batches($keys) {
            found.extend(on_engine!($tx, connection => {
                let mut query = sqlx::query_as::<_, $row>(sql)$(.bind($before))*;
                for key in keys {
                    query = query.bind(key);
                }
                // PostgreSQL would keep a plan that it made while the table was small.
                query.persistent(false).fetch_all(connection).await
            })?);
        }
        found
    }};
}

/// Writes many rows.
macro_rules! put {
    ($tx:expr, $sized:expr, $rows:expr, $row:ident => [$($value:expr),* $(,)?]) => {
        for (sql, rows) in $sized.batches($rows) {
            on_engine!($tx, connection => {
                let mut query = sqlx::query(sql);
                for $row in rows {
                    query = query$(.bind($value))*;
                }
                query.execute(connection).await.map(|_| ())
            })?;
        }
    };
}

/// A SIM with its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedSim {
    /// In whose stock it is.
    pub partner_id: PartnerId,
    /// The number on the card.
    pub iccid: Iccid,
    /// The carrier it belongs to.
    pub carrier: String,
    /// What the network says of it.
    pub state: SimState,
}

/// A plan as it stands in the catalogue, on sale or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CataloguePlan {
    /// The code that partners know.
    pub code: String,
    /// The id for subscriptions.
    pub plan_id: String,
    /// The package it gives.
    pub package_code: String,
    /// The name per language.
    pub name: LocalizedText,
    /// A sentence per language.
    pub description: LocalizedText,
    /// The numbers of periods that can be bought, ascending.
    pub periods: Vec<u32>,
    /// Whether it may renew by itself.
    pub renewable: bool,
    /// Whether it can be bought.
    pub on_sale: bool,
}

/// A price with its owner and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerPrice {
    /// In whose book it stands.
    pub partner_id: PartnerId,
    /// The plan.
    pub plan_code: String,
    /// Who pays it to whom.
    pub kind: PriceKind,
    /// For one period.
    pub unit: Money,
    /// From when it is in force.
    pub valid_from: Timestamp,
    /// Until before when; without an end if absent.
    pub valid_to: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct SimRow {
    partner_id: String,
    iccid: String,
    carrier: String,
    state: String,
}

impl SimRow {
    fn into_sim(self) -> Result<OwnedSim> {
        let row = Row { table: "sims", key: &self.iccid };
        Ok(OwnedSim {
            partner_id: row.parse("partner_id", &self.partner_id)?,
            state: row.parse("state", &self.state)?,
            iccid: row.parse("iccid", &self.iccid)?,
            carrier: self.carrier,
        })
    }
}

#[derive(sqlx::FromRow)]
struct PackageRow {
    code: String,
    unit: String,
    calendar: bool,
    volume_bytes: Option<i64>,
    area: String,
    countries: String,
    carrier: String,
    carrier_product: String,
}

impl PackageRow {
    fn into_package(self) -> Result<Package> {
        let row = Row { table: "packages", key: &self.code };
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
            code: self.code,
            calendar: self.calendar,
            volume,
            carrier: self.carrier,
            carrier_product: self.carrier_product,
        })
    }
}

fn volume_bytes(volume: Volume) -> Option<i64> {
    match volume {
        Volume::Unlimited => None,
        Volume::Bytes(bytes) => Some(i64::try_from(bytes).unwrap_or(i64::MAX)),
    }
}

#[derive(sqlx::FromRow)]
struct PlanRow {
    code: String,
    plan_id: String,
    package_code: String,
    name: String,
    description: String,
    periods: String,
    renewable: bool,
    on_sale: bool,
}

impl PlanRow {
    fn into_plan(self) -> Result<CataloguePlan> {
        let row = Row { table: "plans", key: &self.code };
        let periods = words(&self.periods).map(|word| row.parse("periods", word));
        Ok(CataloguePlan {
            name: texts(&row, "name", &self.name)?,
            description: texts(&row, "description", &self.description)?,
            periods: periods.collect::<Result<_>>()?,
            code: self.code,
            plan_id: self.plan_id,
            package_code: self.package_code,
            renewable: self.renewable,
            on_sale: self.on_sale,
        })
    }
}

#[derive(sqlx::FromRow)]
struct PriceRow {
    partner_id: String,
    plan_code: String,
    kind: String,
    currency: String,
    minor: i64,
    valid_from: i64,
    valid_to: Option<i64>,
}

impl PriceRow {
    fn into_price(self) -> Result<PartnerPrice> {
        let row = Row { table: "prices", key: &self.plan_code };
        Ok(PartnerPrice {
            partner_id: row.parse("partner_id", &self.partner_id)?,
            kind: row.parse("kind", &self.kind)?,
            unit: Money::new(self.minor, row.parse("currency", &self.currency)?),
            valid_from: Timestamp::from_micros(self.valid_from),
            valid_to: self.valid_to.map(Timestamp::from_micros),
            plan_code: self.plan_code,
        })
    }
}

#[derive(sqlx::FromRow)]
struct PlanIdRow {
    code: String,
    plan_id: String,
}

#[derive(sqlx::FromRow)]
struct RouteRow {
    code: String,
    route: String,
}

#[derive(sqlx::FromRow)]
struct CodeRow {
    code: String,
}

impl Tx {
    /// The SIMs among these numbers that are in anybody's stock, in no order.
    pub async fn sims_among(&mut self, mode: Mode, iccids: &[&str]) -> Result<Vec<OwnedSim>> {
        let rows = look_up!(self, SimRow, SIMS, iccids, [mode.as_str()]);
        rows.into_iter().map(SimRow::into_sim).collect()
    }

    /// The packages among these codes, in no order.
    pub async fn packages_among(&mut self, mode: Mode, codes: &[&str]) -> Result<Vec<Package>> {
        let rows = look_up!(self, PackageRow, PACKAGES, codes, [mode.as_str()]);
        rows.into_iter().map(PackageRow::into_package).collect()
    }

    /// The plans among these codes, on sale or not, in no order.
    pub async fn plans_among(&mut self, mode: Mode, codes: &[&str]) -> Result<Vec<CataloguePlan>> {
        let rows = look_up!(self, PlanRow, PLANS, codes, [mode.as_str()]);
        rows.into_iter().map(PlanRow::into_plan).collect()
    }

    /// The prices that a partner has, had or will have for these plans, in no order.
    pub async fn prices_among(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        plan_codes: &[&str],
    ) -> Result<Vec<PartnerPrice>> {
        let partner = partner_id.to_string();
        let rows = look_up!(self, PriceRow, PRICES, plan_codes, [mode.as_str(), &partner]);
        rows.into_iter().map(PriceRow::into_price).collect()
    }

    /// The plans that have one of these `plan_id`s, each with it, in no order.
    pub async fn plan_ids_among(
        &mut self,
        mode: Mode,
        plan_ids: &[&str],
    ) -> Result<Vec<(String, String)>> {
        let rows = look_up!(self, PlanIdRow, PLAN_IDS, plan_ids, [mode.as_str()]);
        Ok(rows.into_iter().map(|row| (row.code, row.plan_id)).collect())
    }

    /// The routes of the packages among these codes: carriers, each with its product.
    pub async fn routes_among(
        &mut self,
        mode: Mode,
        codes: &[&str],
    ) -> Result<BTreeMap<String, Vec<(String, String)>>> {
        let rows = look_up!(self, RouteRow, ROUTES, codes, [mode.as_str()]);
        let parsed = rows.into_iter().map(|found| {
            let route = route(&Row { table: "packages", key: &found.code }, &found.route)?;
            Ok((found.code, route))
        });
        parsed.collect()
    }

    /// Adds SIMs to a partner's stock, or changes those that are in it. One in another's stock violates
    /// the unique index.
    pub async fn put_sims(
        &mut self,
        mode: Mode,
        partner_id: PartnerId,
        sims: &[Sim],
        now: Timestamp,
    ) -> Result<()> {
        let partner = partner_id.to_string();
        put!(self, PUT_SIMS, sims, sim => [
            mode.as_str(),
            &partner,
            sim.iccid.as_str(),
            sim.id.to_string(),
            &sim.carrier,
            sim.state.as_str(),
            now.as_micros(),
        ]);
        Ok(())
    }

    /// Adds packages, or changes those that are there.
    pub async fn put_packages(&mut self, mode: Mode, packages: &[Package]) -> Result<()> {
        put!(self, PUT_PACKAGES, packages, package => [
            mode.as_str(),
            &package.code,
            package.kind.code(),
            package.calendar,
            volume_bytes(package.volume),
            json(&package.area),
            package.countries.join(","),
            &package.carrier,
            &package.carrier_product,
        ]);
        if packages.is_empty() { Ok(()) } else { self.touch_catalogue(mode).await }
    }

    /// Adds plans, or changes those that are there.
    pub async fn put_plans(&mut self, mode: Mode, plans: &[CataloguePlan]) -> Result<()> {
        put!(self, PUT_PLANS, plans, plan => [
            mode.as_str(),
            &plan.code,
            &plan.plan_id,
            &plan.package_code,
            json(&plan.name),
            json(&plan.description),
            plan.periods.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            plan.renewable,
            plan.on_sale,
        ]);
        if plans.is_empty() { Ok(()) } else { self.touch_catalogue(mode).await }
    }

    /// Adds prices under these ids, or changes amount and end of those that begin at the same time.
    pub async fn put_prices(
        &mut self,
        mode: Mode,
        prices: &[(PriceId, PartnerPrice)],
    ) -> Result<()> {
        put!(self, PUT_PRICES, prices, price => [
            mode.as_str(),
            price.1.partner_id.to_string(),
            price.0.to_string(),
            &price.1.plan_code,
            price.1.kind.as_str(),
            price.1.unit.currency.code(),
            price.1.unit.minor,
            price.1.valid_from.as_micros(),
            price.1.valid_to.map(Timestamp::as_micros),
        ]);
        // In the same order everywhere, so that two writers do not wait for each other.
        let owners: BTreeMap<String, PartnerId> =
            prices.iter().map(|price| price.1.partner_id).map(|id| (id.to_string(), id)).collect();
        for id in owners.into_values() {
            self.touch_partner(mode, id).await?;
        }
        Ok(())
    }

    /// A partner's SIMs after a number, in its order.
    pub async fn sims_after(
        &mut self,
        (mode, partner_id): (Mode, PartnerId),
        iccid: &str,
        limit: i64,
    ) -> Result<Vec<OwnedSim>> {
        let partner = partner_id.to_string();
        let rows = fetch_all!(self, SimRow, EXPORT_SIMS, mode.as_str(), partner, iccid, limit)?;
        rows.into_iter().map(SimRow::into_sim).collect()
    }

    /// The packages after a code, in its order.
    pub async fn packages_after(
        &mut self,
        mode: Mode,
        code: &str,
        limit: i64,
    ) -> Result<Vec<Package>> {
        let mode = mode.as_str();
        let rows = fetch_all!(self, PackageRow, EXPORT_PACKAGES, mode, code, limit)?;
        rows.into_iter().map(PackageRow::into_package).collect()
    }

    /// The plans after a code, on sale or not, in its order.
    pub async fn plans_after(
        &mut self,
        mode: Mode,
        code: &str,
        limit: i64,
    ) -> Result<Vec<CataloguePlan>> {
        let rows = fetch_all!(self, PlanRow, EXPORT_PLANS, mode.as_str(), code, limit)?;
        rows.into_iter().map(PlanRow::into_plan).collect()
    }

    /// A partner's prices after one of plan, kind, currency and time, in this order.
    pub async fn prices_after(
        &mut self,
        (mode, partner_id): (Mode, PartnerId),
        (plan, kind, currency, from): (&str, &str, &str, i64),
        limit: i64,
    ) -> Result<Vec<PartnerPrice>> {
        let (mode, partner) = (mode.as_str(), partner_id.to_string());
        let rows = fetch_all!(
            self,
            PriceRow,
            EXPORT_PRICES,
            mode,
            partner,
            plan,
            kind,
            currency,
            from,
            limit
        )?;
        rows.into_iter().map(PriceRow::into_price).collect()
    }

    /// The code of the partner after a code, in its order.
    pub async fn partner_code_after(&mut self, mode: Mode, code: &str) -> Result<Option<String>> {
        let row = fetch_optional!(self, CodeRow, NEXT_PARTNER, mode.as_str(), code)?;
        Ok(row.map(|row| row.code))
    }
}
