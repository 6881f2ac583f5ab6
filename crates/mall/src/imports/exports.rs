//! Exports: what the mall has, as files that an import takes, page by page.

use csv::{Terminator, WriterBuilder};
use domain::Mode;
use domain::import::ImportKind;
use domain::package::Package;
use store::{PartnerPrice, Tx};
use wire::admin::Problem;
use wire::admin::import::EXPORT_ROWS_MAX;

use super::lines::{Line, PackageLine, PriceLine, SimLine, cells, fields};
use crate::Mall;
use crate::error::{Error, Result};

/// A page of an export. All pages one after another are the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPage {
    /// Lines; the first page begins with the header.
    pub text: String,
    /// Where the next page begins, if there is one.
    pub next_cursor: Option<String>,
}

/// Rows, and the key of the last one if there may be more.
type Rows = (Vec<Line>, Option<String>);

impl Mall {
    /// A page of what the mall has of a kind; of SIMs a partner's, of prices a partner's or all.
    pub async fn export(
        &self,
        mode: Mode,
        kind: &str,
        partner: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<ExportPage> {
        let kind: ImportKind = kind.parse().map_err(|_| Problem::not_found("kind of export"))?;
        let wrong = || Problem::field("cursor", "not one that this export gave");
        let after = match cursor {
            None => String::new(),
            Some(cursor) => {
                let bytes = hex::decode(cursor).map_err(|_| wrong())?;
                let text = String::from_utf8(bytes).map_err(|_| wrong())?;
                if text.contains('\0') {
                    return Err(wrong().into());
                }
                text
            }
        };
        let mut tx = self.store.read().await?;
        let (rows, last) = match (kind, partner) {
            (ImportKind::Sims, None) => {
                return Err(Problem::field("partner", "missing: whose SIMs?").into());
            }
            (ImportKind::Sims, Some(code)) => sims(&mut tx, mode, code, &after).await?,
            (ImportKind::Packages, None) => packages(&mut tx, mode, &after).await?,
            (ImportKind::Plans, None) => plans(&mut tx, mode, &after).await?,
            (ImportKind::Prices, partner) => {
                let key = PriceKey::parse(&after).ok_or_else(wrong)?;
                prices(&mut tx, mode, partner, key).await?
            }
            (_, Some(_)) => {
                let what = "only SIMs and prices belong to a partner";
                return Err(Problem::field("partner", what).into());
            }
        };
        let text = write(kind, cursor.is_none(), &rows)?;
        Ok(ExportPage { text, next_cursor: last.map(hex::encode) })
    }
}

fn write(kind: ImportKind, with_header: bool, rows: &[Line]) -> Result<String> {
    let broken = |why: String| Error::Internal(format!("an export cannot be written: {why}"));
    let mut writer =
        WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new());
    if with_header {
        let names = fields(kind).iter().map(|field| field.name);
        writer.write_record(names).map_err(|why| broken(why.to_string()))?;
    }
    for row in rows {
        writer.write_record(cells(row)).map_err(|why| broken(why.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|why| broken(why.to_string()))?;
    String::from_utf8(bytes).map_err(|why| broken(why.to_string()))
}

/// Whether a page of so many rows may be followed by another one.
fn is_full(rows: usize) -> bool {
    i64::try_from(rows) == Ok(EXPORT_ROWS_MAX)
}

async fn sims(tx: &mut Tx, mode: Mode, code: &str, after: &str) -> Result<Rows> {
    let partner = tx.partner_by_code(mode, code).await?;
    let partner = partner.ok_or_else(|| Problem::not_found("partner"))?;
    let sims = tx.sims_after((mode, partner.id), after, EXPORT_ROWS_MAX).await?;
    let last = sims.last().filter(|_| is_full(sims.len()));
    let last = last.map(|sim| sim.iccid.as_str().to_owned());
    let line = |sim: store::OwnedSim| {
        Line::Sim(SimLine { iccid: sim.iccid, carrier: sim.carrier, state: sim.state })
    };
    Ok((sims.into_iter().map(line).collect(), last))
}

async fn packages(tx: &mut Tx, mode: Mode, after: &str) -> Result<Rows> {
    let packages = tx.packages_after(mode, after, EXPORT_ROWS_MAX).await?;
    let last = packages.last().filter(|_| is_full(packages.len()));
    let last = last.map(|package| package.code.clone());
    let codes: Vec<&str> = packages.iter().map(|package| package.code.as_str()).collect();
    let mut routes = tx.routes_among(mode, &codes).await?;
    let line = |package: Package| {
        let route = Some(routes.remove(&package.code).unwrap_or_default());
        Line::Package(Box::new(PackageLine { package, route }))
    };
    Ok((packages.into_iter().map(line).collect(), last))
}

async fn plans(tx: &mut Tx, mode: Mode, after: &str) -> Result<Rows> {
    let plans = tx.plans_after(mode, after, EXPORT_ROWS_MAX).await?;
    let last = plans.last().filter(|_| is_full(plans.len()));
    let last = last.map(|plan| plan.code.clone());
    Ok((plans.into_iter().map(|plan| Line::Plan(Box::new(plan))).collect(), last))
}

/// After which price a page begins: the partner's code and what tells its prices apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PriceKey {
    partner: String,
    plan: String,
    kind: String,
    currency: String,
    from: i64,
}

impl PriceKey {
    /// Codes have no spaces.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::before_all(String::new()));
        }
        let words: Vec<&str> = text.split(' ').collect();
        let &[partner, plan, kind, currency, from] = words.as_slice() else { return None };
        let [partner, plan, kind, currency] = [partner, plan, kind, currency].map(str::to_owned);
        Some(Self { partner, plan, kind, currency, from: from.parse().ok()? })
    }

    fn before_all(partner: String) -> Self {
        let [plan, kind, currency] = [const { String::new() }; 3];
        Self { partner, plan, kind, currency, from: i64::MIN }
    }

    fn of(partner: String, price: &PartnerPrice) -> Self {
        let (kind, currency) = (price.kind.as_str(), price.unit.currency.code());
        Self {
            partner,
            plan: price.plan_code.clone(),
            kind: kind.to_owned(),
            currency: currency.to_owned(),
            from: price.valid_from.as_micros(),
        }
    }

    fn text(&self) -> String {
        let Self { partner, plan, kind, currency, from } = self;
        format!("{partner} {plan} {kind} {currency} {from}")
    }
}

async fn prices(tx: &mut Tx, mode: Mode, only: Option<&str>, mut key: PriceKey) -> Result<Rows> {
    if let Some(code) = only {
        tx.partner_by_code(mode, code).await?.ok_or_else(|| Problem::not_found("partner"))?;
        if key.partner.is_empty() {
            key = PriceKey::before_all(code.to_owned());
        }
    }
    let mut rows = Vec::new();
    loop {
        if let Some(partner) = tx.partner_by_code(mode, &key.partner).await? {
            let room = EXPORT_ROWS_MAX - i64::try_from(rows.len()).unwrap_or(EXPORT_ROWS_MAX);
            let after = (key.plan.as_str(), key.kind.as_str(), key.currency.as_str(), key.from);
            let found = tx.prices_after((mode, partner.id), after, room).await?;
            if let Some(last) = found.last() {
                key = PriceKey::of(partner.code.clone(), last);
            }
            rows.extend(found.into_iter().map(|price| line(&partner.code, price)));
            if is_full(rows.len()) {
                return Ok((rows, Some(key.text())));
            }
        }
        let next = match only {
            Some(_) => None,
            None => tx.partner_code_after(mode, &key.partner).await?,
        };
        match next {
            Some(code) => key = PriceKey::before_all(code),
            None => return Ok((rows, None)),
        }
    }
}

fn line(partner: &str, price: PartnerPrice) -> Line {
    Line::Price(Box::new(PriceLine {
        partner: partner.to_owned(),
        plan: price.plan_code,
        kind: price.kind,
        unit: price.unit,
        valid_from: price.valid_from,
        valid_to: price.valid_to,
    }))
}
