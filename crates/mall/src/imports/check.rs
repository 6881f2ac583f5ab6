//! What rows of a file would do to what the mall has, and what stands between rows of the same file.

use std::collections::{BTreeSet, HashMap, HashSet};

use domain::partner::Partner;
use domain::plan::PriceKind;
use domain::{Mode, Timestamp};
use sha2::{Digest, Sha256};
use store::{Import, ImportError, PartnerPrice, Tx};

use super::lines::{Line, Numbered, PackageLine, PriceLine, SimLine, error};
use crate::admin::alike;
use crate::error::{Error, Result};

/// How many keys are compared with each other in one pass over a file: what bounds the memory, whatever
/// the file's length. A pass over a million rows takes about a second.
pub(crate) const KEYS_PER_PASS: i64 = 200_000;

/// What a row would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It adds something.
    New,
    /// It changes something.
    Changed,
    /// All is so already.
    Unchanged,
    /// It cannot be: the column and why.
    Impossible(&'static str, String),
}

impl Effect {
    fn of<T: PartialEq>(standing: Option<&T>, wanted: &T) -> Self {
        match standing {
            None => Self::New,
            Some(standing) if standing == wanted => Self::Unchanged,
            Some(_) => Self::Changed,
        }
    }
}

/// What tells rows of a file apart: no two may share one.
fn keys(line: &Line) -> Vec<(&'static str, String)> {
    match line {
        Line::Sim(sim) => vec![("iccid", sim.iccid.as_str().to_owned())],
        Line::Package(line) => vec![("code", line.package.code.clone())],
        Line::Plan(plan) => vec![("code", plan.code.clone()), ("plan_id", plan.plan_id.clone())],
        Line::Price(price) => {
            vec![("valid_from", format!("{} {}", series(price), price.valid_from.as_micros()))]
        }
    }
}

/// Of a partner's prices for one plan, kind and currency one is in force at a time.
fn series(price: &PriceLine) -> String {
    let PriceLine { partner, plan, kind, unit, .. } = price;
    format!("{partner} {plan} {} {}", kind.as_str(), unit.currency)
}

/// Half of a SHA-256: sixteen bytes stand for a text of any length, and nobody can find two texts for
/// the same.
fn digest(column: &str, text: &str) -> u128 {
    let hash = Sha256::new().chain_update(column).chain_update([0]).chain_update(text).finalize();
    hash.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// How many passes tell all rows of a file apart.
pub(crate) fn passes(import: &Import) -> i64 {
    let keys = match import.kind {
        domain::import::ImportKind::Plans => import.records * 2,
        _ => import.records,
    };
    keys.div_euclid(KEYS_PER_PASS) + 1
}

/// Finds rows that share a key, among those whose keys fall into one of several passes.
pub(crate) struct Twins {
    pass: u128,
    passes: u128,
    seen: HashMap<u128, i64>,
}

impl Twins {
    pub(crate) fn new(pass: i64, passes: i64) -> Self {
        let number = |count: i64| u128::try_from(count).unwrap_or(0);
        Self { pass: number(pass), passes: number(passes).max(1), seen: HashMap::new() }
    }

    /// What is wrong with a row beside the rows before it.
    pub(crate) fn look(&mut self, (line_no, line): &Numbered) -> Option<ImportError> {
        for (column, text) in keys(line) {
            let key = digest(column, &text);
            if key % self.passes != self.pass {
                continue;
            }
            if let Some(first) = self.seen.insert(key, *line_no) {
                self.seen.insert(key, first);
                return Some(error(*line_no, column, format!("the same as in line {first}")));
            }
        }
        None
    }
}

/// When the prices of a file are in force, by their series.
#[derive(Default)]
pub(crate) struct Calendar(HashMap<u128, Vec<(Timestamp, Option<Timestamp>, i64)>>);

impl Calendar {
    pub(crate) fn add(&mut self, (line_no, line): &Numbered) {
        if let Line::Price(price) = line {
            let times = self.0.entry(digest("series", &series(price))).or_default();
            times.push((price.valid_from, price.valid_to, *line_no));
        }
    }

    /// All prices of the file that overlap another one of it; ones that begin at the same time are found
    /// elsewhere.
    pub(crate) fn overlaps(&mut self) -> Vec<ImportError> {
        let mut errors = Vec::new();
        for times in self.0.values_mut() {
            times.sort_unstable();
            for pair in times.windows(2) {
                let [(earlier, to, first), (from, _, line_no)] = pair else { continue };
                if earlier < from && to.is_none_or(|to| to > *from) {
                    let what = format!("the price of line {first} is in force then: end it before");
                    errors.push(error(*line_no, "valid_from", what));
                }
            }
        }
        errors
    }

    fn begins(&self, price: &PriceLine, at: Timestamp) -> bool {
        let times = self.0.get(&digest("series", &series(price)));
        times.is_some_and(|times| times.iter().any(|(from, ..)| *from == at))
    }
}

/// What a validation holds against prices that are known already; an application does not, since it would
/// leave half of a file behind.
pub(crate) struct Judge<'a> {
    /// The prices of the whole file.
    pub calendar: &'a Calendar,
    /// What time it is.
    pub now: Timestamp,
}

/// What each of some rows would do to what the mall has.
pub(crate) async fn effects(
    tx: &mut Tx,
    import: &Import,
    rows: &[Numbered],
    judge: Option<&Judge<'_>>,
) -> Result<Vec<Effect>> {
    let mode = import.mode;
    match rows.first() {
        None => Ok(Vec::new()),
        Some((_, Line::Sim(_))) => sims(tx, import, rows, judge.is_none()).await,
        Some((_, Line::Package(_))) => packages(tx, mode, rows).await,
        Some((_, Line::Plan(_))) => plans(tx, mode, rows).await,
        Some((_, Line::Price(_))) => {
            let known = Known::load(tx, mode, rows).await?;
            let effect = |row: &Numbered| match &row.1 {
                Line::Price(price) => known.effect(price, judge),
                _ => mixed(),
            };
            Ok(rows.iter().map(effect).collect())
        }
    }
}

/// A file has rows of one kind.
fn mixed() -> Effect {
    Effect::Impossible("", "a row of another kind".to_owned())
}

async fn sims(
    tx: &mut Tx,
    import: &Import,
    rows: &[Numbered],
    is_applied: bool,
) -> Result<Vec<Effect>> {
    let owner = import.partner_id.ok_or_else(|| Error::Internal("SIMs of nobody".to_owned()))?;
    let iccid = |row: &'_ Numbered| match &row.1 {
        Line::Sim(sim) => Some(sim.iccid.clone()),
        _ => None,
    };
    let iccids: Vec<_> = rows.iter().filter_map(iccid).collect();
    let texts: Vec<&str> = iccids.iter().map(domain::Iccid::as_str).collect();
    let standing = tx.sims_among(import.mode, &texts).await?;
    let standing: HashMap<&str, _> = standing.iter().map(|sim| (sim.iccid.as_str(), sim)).collect();
    let partner = tx.partner(import.mode, owner).await?;
    let checks_luhn = partner.is_some_and(|partner| partner.checks_luhn);
    let mut effects = Vec::with_capacity(rows.len());
    for (_, line) in rows {
        let Line::Sim(SimLine { iccid, carrier, state }) = line else {
            effects.push(mixed());
            continue;
        };
        let found = standing.get(iccid.as_str());
        if is_applied && found.is_some_and(|sim| sim.carrier != *carrier) {
            // One that comes into a group of its carrier does so before or after; and if it keeps its carrier after
            // all, that is asked once more.
            tx.hold_sim(import.mode, owner, iccid).await?;
            tx.forget_answers(&(import.mode, owner, iccid.clone())).await?;
        }
        let why_not = match found {
            None if checks_luhn && !iccid.luhn_holds() => {
                Some(("iccid", "its check digit is wrong, and this partner has it checked"))
            }
            Some(sim) if sim.partner_id != owner => {
                Some(("iccid", "the card is in another partner's stock"))
            }
            Some(sim)
                if sim.carrier != *carrier
                    && tx.sim_has_plans((import.mode, owner), iccid).await? =>
            {
                Some(("carrier", "the SIM has plans of its carrier, running or waiting"))
            }
            Some(sim)
                if sim.carrier != *carrier
                    && tx.member((import.mode, owner), iccid).await?.is_some() =>
            {
                Some(("carrier", "the SIM is in a group of its carrier, or on its way"))
            }
            _ => None,
        };
        let found = found.map(|sim| (&sim.carrier, sim.state));
        effects.push(match why_not {
            Some((column, what)) => Effect::Impossible(column, what.to_owned()),
            None => Effect::of(found.as_ref(), &(carrier, *state)),
        });
    }
    Ok(effects)
}

async fn packages(tx: &mut Tx, mode: Mode, rows: &[Numbered]) -> Result<Vec<Effect>> {
    let code = |row: &'_ Numbered| match &row.1 {
        Line::Package(line) => Some(line.package.code.clone()),
        _ => None,
    };
    let codes: Vec<String> = rows.iter().filter_map(code).collect();
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    let standing = tx.packages_among(mode, &codes).await?;
    let standing: HashMap<&str, _> =
        standing.iter().map(|package| (package.code.as_str(), package)).collect();
    let routes = tx.routes_among(mode, &codes).await?;
    let mut effects = Vec::with_capacity(rows.len());
    for (_, line) in rows {
        let Line::Package(line) = line else {
            effects.push(mixed());
            continue;
        };
        let PackageLine { package, route } = &**line;
        let standing = standing.get(package.code.as_str()).copied();
        let user = match standing {
            Some(standing) if !alike(standing, package) => {
                tx.plan_of_package(mode, &package.code).await?
            }
            _ => None,
        };
        effects.push(match user {
            None => {
                let before = routes.get(&package.code);
                let after = route.as_ref().or(before);
                let mut others = after.into_iter().flatten();
                let goes_to_own = others.any(|(carrier, _)| *carrier == package.carrier);
                match Effect::of(standing, package) {
                    _ if goes_to_own => {
                        let what = "this carrier is in the package's route already";
                        Effect::Impossible("carrier", what.to_owned())
                    }
                    Effect::Unchanged if after != before => Effect::Changed,
                    effect => effect,
                }
            }
            Some(plan) => {
                let what = format!(
                    "the plan {plan} gives this package, so that its unit, calendar and carrier \
                     stay: make another package and another plan"
                );
                Effect::Impossible("code", what)
            }
        });
    }
    Ok(effects)
}

async fn plans(tx: &mut Tx, mode: Mode, rows: &[Numbered]) -> Result<Vec<Effect>> {
    let (mut codes, mut ids, mut packages) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (_, line) in rows {
        if let Line::Plan(plan) = line {
            codes.push(plan.code.as_str());
            ids.push(plan.plan_id.as_str());
            packages.insert(plan.package_code.as_str());
        }
    }
    let standing = tx.plans_among(mode, &codes).await?;
    let standing: HashMap<&str, _> =
        standing.iter().map(|plan| (plan.code.as_str(), plan)).collect();
    let owners: HashMap<String, String> =
        tx.plan_ids_among(mode, &ids).await?.into_iter().map(|(code, id)| (id, code)).collect();
    packages.extend(standing.values().map(|plan| plan.package_code.as_str()));
    let packages: Vec<&str> = packages.into_iter().collect();
    let known = tx.packages_among(mode, &packages).await?;
    let known: HashMap<&str, _> =
        known.iter().map(|package| (package.code.as_str(), package)).collect();
    let effect = |row: &Numbered| {
        let Line::Plan(plan) = &row.1 else { return mixed() };
        let Some(package) = known.get(plan.package_code.as_str()) else {
            let what = "there is no such package: import packages first".to_owned();
            return Effect::Impossible("package_code", what);
        };
        if let Some(owner) = owners.get(&plan.plan_id).filter(|code| **code != plan.code) {
            return Effect::Impossible("plan_id", format!("the plan {owner} has it"));
        }
        let standing = standing.get(plan.code.as_str()).copied();
        let before = standing.and_then(|plan| known.get(plan.package_code.as_str()));
        if before.is_some_and(|before| !alike(before, package)) {
            let what = "the package of a plan may change to one of the same unit, calendar and \
                        carrier only: make another plan";
            return Effect::Impossible("package_code", what.to_owned());
        }
        Effect::of(standing, &**plan)
    };
    Ok(rows.iter().map(effect).collect())
}

/// What the mall has that some prices are about.
pub(crate) struct Known {
    partners: HashMap<String, Partner>,
    plans: HashSet<String>,
    prices: HashMap<(String, String), Vec<PartnerPrice>>,
}

impl Known {
    pub(crate) async fn load(tx: &mut Tx, mode: Mode, rows: &[Numbered]) -> Result<Self> {
        let mut wanted: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for (_, line) in rows {
            if let Line::Price(price) = line {
                wanted.entry(&price.partner).or_default().insert(&price.plan);
            }
        }
        let codes: BTreeSet<&str> = wanted.values().flatten().copied().collect();
        let codes: Vec<&str> = codes.into_iter().collect();
        let plans = tx.plans_among(mode, &codes).await?;
        let plans = plans.into_iter().map(|plan| plan.code).collect();
        let mut known = Self { partners: HashMap::new(), plans, prices: HashMap::new() };
        for (code, plans) in wanted {
            let Some(partner) = tx.partner_by_code(mode, code).await? else { continue };
            let plans: Vec<&str> = plans.into_iter().collect();
            for price in tx.prices_among(mode, partner.id, &plans).await? {
                let of_plan = (code.to_owned(), price.plan_code.clone());
                known.prices.entry(of_plan).or_default().push(price);
            }
            known.partners.insert(code.to_owned(), partner);
        }
        Ok(known)
    }

    /// The price as the mall would have it.
    pub(crate) fn dated(&self, price: &PriceLine) -> Option<PartnerPrice> {
        Some(PartnerPrice {
            partner_id: self.partners.get(&price.partner)?.id,
            plan_code: price.plan.clone(),
            kind: price.kind,
            unit: price.unit,
            valid_from: price.valid_from,
            valid_to: price.valid_to,
        })
    }

    fn effect(&self, price: &PriceLine, judge: Option<&Judge<'_>>) -> Effect {
        let Some(partner) = self.partners.get(&price.partner) else {
            return Effect::Impossible("partner", "there is no such partner".to_owned());
        };
        if !self.plans.contains(&price.plan) {
            let what = "there is no such plan: import plans first".to_owned();
            return Effect::Impossible("plan", what);
        }
        let settles = price.kind == PriceKind::Settlement;
        if settles && price.unit.currency != partner.settlement_currency {
            let what = format!("the partner settles in {}", partner.settlement_currency);
            return Effect::Impossible("currency", what);
        }
        let of_plan = self.prices.get(&(price.partner.clone(), price.plan.clone()));
        let mut series = of_plan.into_iter().flatten().filter(|standing| {
            standing.kind == price.kind && standing.unit.currency == price.unit.currency
        });
        let impossible = judge.and_then(|judge| judge.why_not(price, series.clone()));
        if let Some((column, what)) = impossible {
            return Effect::Impossible(column, what);
        }
        let standing = series.find(|standing| standing.valid_from == price.valid_from);
        let standing = standing.map(|standing| (standing.unit, standing.valid_to));
        Effect::of(standing.as_ref(), &(price.unit, price.valid_to))
    }
}

impl Judge<'_> {
    /// Why a price cannot stand beside those of its series: what was in force stays as it was, and no two
    /// are in force at a time.
    fn why_not<'a>(
        &self,
        price: &PriceLine,
        series: impl Iterator<Item = &'a PartnerPrice>,
    ) -> Option<(&'static str, String)> {
        for standing in series {
            let (from, to) = (standing.valid_from, standing.valid_to);
            if from == price.valid_from {
                if from <= self.now && standing.unit != price.unit {
                    let what = format!(
                        "it has been {} since then: end that price and add another one",
                        standing.unit
                    );
                    return Some(("amount", what));
                }
                let is_over = |at: Option<Timestamp>| at.is_some_and(|at| at <= self.now);
                if to != price.valid_to && (is_over(to) || is_over(price.valid_to)) {
                    return Some(("valid_to", "what is past cannot be changed".to_owned()));
                }
                continue;
            }
            // Where the file has a row for that price, the two were compared already.
            let at_once = to.is_none_or(|to| to > price.valid_from)
                && price.valid_to.is_none_or(|to| to > from);
            if at_once && !self.calendar.begins(price, from) {
                let until = to.map_or_else(|| "for good".to_owned(), Timestamp::rfc3339);
                let what = format!(
                    "another price is in force from {} to {until}: end it in a row of its own",
                    from.rfc3339()
                );
                return Some(("valid_from", what));
            }
        }
        None
    }
}
