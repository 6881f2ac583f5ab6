//! Partners' price books. The prices of one plan, kind and currency make a line in which each one
//! ends at the latest where the next begins.

use domain::id::PriceId;
use domain::plan::PriceKind;
use domain::{Currency, Mode, Money, Timestamp};
use serde_json::Value;
use store::{BookedPrice, DatedPrice, Price};
use wire::admin::{List, Problem, partner as shape};

use super::{Change, Operator, Page, Wrong, held_partner, json, partner_of, text, time};
use crate::Mall;
use crate::error::Result;

fn shown(booked: &BookedPrice) -> shape::Price {
    let DatedPrice { price, valid_from, valid_to } = &booked.dated;
    shape::Price {
        price_id: booked.id.to_string(),
        plan_code: price.plan_code.clone(),
        kind: price.kind.as_str().to_owned(),
        amount: price.unit.decimal(),
        currency: price.unit.currency.code().to_owned(),
        valid_from: text(*valid_from),
        valid_to: valid_to.map(text),
    }
}

/// A new price's place in its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The price that it ends.
    ends: Option<PriceId>,
    /// Where the next one begins.
    until: Option<Timestamp>,
}

/// Where a price that begins at a time has its place; `None` where another begins at the same time.
fn place(line: &[BookedPrice], from: Timestamp) -> Option<Place> {
    if line.iter().any(|booked| booked.dated.valid_from == from) {
        return None;
    }
    let runs = |booked: &&BookedPrice| {
        let DatedPrice { valid_from, valid_to, .. } = booked.dated;
        valid_from < from && valid_to.is_none_or(|end| end > from)
    };
    let later = line.iter().map(|booked| booked.dated.valid_from).filter(|begin| *begin > from);
    Some(Place { ends: line.iter().find(runs).map(|booked| booked.id), until: later.min() })
}

/// What a request asks for, read.
fn read(wanted: &shape::NewPrice, now: Timestamp) -> Result<(Price, Timestamp)> {
    let mut wrong = Wrong::default();
    let kind = wrong.read("kind", wanted.kind.parse::<PriceKind>());
    let currency = wrong.read("currency", wanted.currency.parse::<Currency>());
    let unit =
        currency.and_then(|currency| wrong.read("amount", Money::parse(&wanted.amount, currency)));
    let from = time("valid_from", wanted.valid_from.as_deref())?.unwrap_or(now);
    if from < now {
        wrong.add("valid_from", format!("in the past; it is {} now", text(now)));
    }
    wrong.check()?;
    match (kind, unit) {
        (Some(kind), Some(unit)) => {
            Ok((Price { plan_code: wanted.plan_code.clone(), kind, unit }, from))
        }
        _ => Err(crate::Error::Internal("a price without kind or amount".to_owned())),
    }
}

impl Mall {
    /// A partner's prices, the oldest first.
    pub async fn list_prices(
        &self,
        (mode, code): (Mode, &str),
        plan: Option<&str>,
        page: &Page,
    ) -> Result<List<shape::Price>> {
        let mut tx = self.store.read().await?;
        let partner = partner_of(&mut tx, mode, code).await?;
        let (plan, limit) = (plan.unwrap_or_default(), page.limit_and_one());
        let prices = tx.prices_page((mode, partner.id), plan, &page.after, limit).await?;
        Ok(page.list(prices, |booked| booked.id.to_string(), |booked| shown(&booked)))
    }

    /// Adds a price, which ends the one before it in its line and ends where the next one begins.
    pub async fn add_price(
        &self,
        by: &Operator,
        (mode, code): (Mode, &str),
        wanted: &shape::NewPrice,
    ) -> Result<shape::Price> {
        let (price, from) = read(wanted, self.now(mode))?;
        let (price, id) = (&price, self.ctx.id());
        self.retry(|| async move {
            let mut tx = self.store.begin().await?;
            let partner = held_partner(&mut tx, mode, code).await?;
            if tx.listed_plan(mode, &price.plan_code).await?.is_none() {
                return Err(Problem::field("plan_code", "there is no such plan").into());
            }
            let whose = (mode, partner.id);
            let currency = price.unit.currency;
            let line = tx.price_line(whose, &price.plan_code, price.kind, currency).await?;
            let Some(Place { ends, until }) = place(&line, from) else {
                let detail = format!(
                    "another {} price of {} in {currency} begins at {}: end it first",
                    price.kind.as_str(),
                    price.plan_code,
                    text(from)
                );
                return Err(Problem::conflict("PRICE_EXISTS", detail).into());
            };
            if let Some(earlier) = ends {
                tx.set_price_end(whose, earlier, Some(from)).await?;
            }
            tx.insert_price(mode, partner.id, id, price, (from, until)).await?;
            let dated = DatedPrice { price: price.clone(), valid_from: from, valid_to: until };
            let after = shown(&BookedPrice { id, dated });
            let before = line.iter().find(|booked| Some(booked.id) == ends);
            let change = Change {
                action: "price.add",
                mode: Some(mode),
                object: format!("partners/{code}/prices/{id}"),
                // The price that it takes the place of.
                before: before.map_or(Value::Null, |before| json(&shown(before))),
                after: json(&after),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(after)
        })
        .await
    }

    /// Ends a price that is in force, or cancels one that is to come: then the one before it goes
    /// on.
    pub async fn end_price(
        &self,
        by: &Operator,
        (mode, code, id): (Mode, &str, &str),
    ) -> Result<shape::Price> {
        let unknown = || Problem::not_found("price");
        let id: PriceId = id.parse().map_err(|_| unknown())?;
        self.retry(|| async move {
            let mut tx = self.store.begin().await?;
            let partner = held_partner(&mut tx, mode, code).await?;
            let (whose, now) = ((mode, partner.id), self.now(mode));
            let before = tx.price(whose, id).await?.ok_or_else(unknown)?;
            let DatedPrice { price, valid_from, valid_to } = before.dated.clone();
            if valid_to.is_some_and(|end| end <= now) {
                return Err(Problem::conflict("PRICE_ENDED", "the price has ended already").into());
            }
            let end = valid_from.max(now);
            if valid_from > now {
                let unit = price.unit;
                let line =
                    tx.price_line(whose, &price.plan_code, price.kind, unit.currency).await?;
                let earlier = line.iter().find(|one| one.dated.valid_to == Some(valid_from));
                tx.delete_price(whose, id).await?;
                if let Some(earlier) = earlier {
                    tx.set_price_end(whose, earlier.id, valid_to).await?;
                }
            } else {
                tx.set_price_end(whose, id, Some(end)).await?;
            }
            let dated = DatedPrice { price, valid_from, valid_to: Some(end) };
            let after = shown(&BookedPrice { id, dated });
            let change = Change {
                action: if valid_from > now { "price.cancel" } else { "price.end" },
                mode: Some(mode),
                object: format!("partners/{code}/prices/{id}"),
                before: json(&shown(&before)),
                after: if valid_from > now { Value::Null } else { json(&after) },
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(after)
        })
        .await
    }
}
