//! Partners and what they may owe.

use domain::partner::{Partner, PolicyError};
use domain::{Currency, Locale, Mode, Money};
use ipnet::IpNet;
use serde_json::Value;
use store::{Credit, Tx};
use wire::admin::{List, Problem, partner as shape};

use super::{Change, Operator, Page, Wrong, held_partner, json, partner_of};
use crate::Mall;
use crate::error::Result;

fn shown(partner: &Partner) -> shape::Partner {
    shape::Partner {
        mode: partner.mode.as_str().to_owned(),
        partner_id: partner.id.to_string(),
        code: partner.code.clone(),
        name: partner.name.clone(),
        suspended: partner.suspended,
        currency: partner.currency.code().to_owned(),
        settlement_currency: partner.settlement_currency.code().to_owned(),
        zone: partner.zone.name().to_owned(),
        locale: partner.locale.tag().to_owned(),
        response_style: partner.response_style.as_str().to_owned(),
        schemes: partner.schemes.iter().map(|scheme| scheme.as_str().to_owned()).collect(),
        ip_allowlist: partner.ip_allowlist.clone(),
        checks_luhn: partner.checks_luhn,
        checks_pay_amount: partner.checks_pay_amount,
    }
}

/// A partner's credit as an operator sees it.
fn shown_credit(credit: Credit) -> shape::Credit {
    let currency = credit.limit.currency;
    // Neither is negative, so that the difference is in range.
    let available = Money::new(credit.limit.minor - credit.used.minor, currency);
    shape::Credit {
        currency: currency.code().to_owned(),
        limit: credit.limit.decimal(),
        used: credit.used.decimal(),
        available: available.decimal(),
    }
}

/// Puts a value where there is one.
fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// Puts the wanted settings into a partner; what is left out stays.
fn apply(partner: &mut Partner, change: &shape::PartnerChange) -> Result<()> {
    let mut wrong = Wrong::default();
    let mut currency = |field, text: &Option<String>| {
        text.as_ref().and_then(|text| wrong.read(field, text.parse::<Currency>()))
    };
    set(&mut partner.currency, currency("currency", &change.currency));
    set(
        &mut partner.settlement_currency,
        currency("settlement_currency", &change.settlement_currency),
    );
    set(&mut partner.name, change.name.clone());
    let zone = change.zone.as_ref().and_then(|zone| wrong.read("zone", zone.parse()));
    set(&mut partner.zone, zone);
    set(&mut partner.locale, change.locale.as_deref().and_then(Locale::from_tag));
    let style = change.response_style.as_ref();
    let style = style.and_then(|style| wrong.read("response_style", style.parse()));
    set(&mut partner.response_style, style);
    if let Some(words) = &change.schemes {
        partner.schemes.clear();
        for scheme in words.iter().filter_map(|word| wrong.read("schemes", word.parse())) {
            if !partner.schemes.contains(&scheme) {
                partner.schemes.push(scheme);
            }
        }
    }
    if let Some(ranges) = &change.ip_allowlist {
        for range in ranges.iter().filter(|range| !is_range(range)) {
            wrong.add("ip_allowlist", format!("{range:?} is no address and no CIDR range"));
        }
        partner.ip_allowlist.clone_from(ranges);
    }
    set(&mut partner.checks_luhn, change.checks_luhn);
    set(&mut partner.checks_pay_amount, change.checks_pay_amount);
    wrong.check()?;
    partner.check_policy().map_err(|error| {
        let field = match error {
            PolicyError::NoScheme => "schemes",
            PolicyError::KeylessLiveWithoutAllowlist => "ip_allowlist",
        };
        Problem::field(field, error.to_string()).into()
    })
}

fn is_range(text: &str) -> bool {
    text.parse::<IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok()
}

fn object(partner: &Partner) -> String {
    format!("partners/{}", partner.code)
}

impl Mall {
    /// All partners of a mode by code.
    pub async fn list_partners(&self, mode: Mode, page: &Page) -> Result<List<shape::Partner>> {
        let mut tx = self.store.read().await?;
        let partners = tx.partners_page(mode, &page.after, page.limit_and_one()).await?;
        Ok(page.list(partners, |partner| partner.code.clone(), |partner| shown(&partner)))
    }

    /// A partner.
    pub async fn show_partner(&self, mode: Mode, code: &str) -> Result<shape::Partner> {
        let mut tx = self.store.read().await?;
        Ok(shown(&partner_of(&mut tx, mode, code).await?))
    }

    /// Adds a partner.
    pub async fn add_partner(
        &self,
        by: &Operator,
        mode: Mode,
        new: &shape::NewPartner,
    ) -> Result<shape::Partner> {
        let read = |field, text: &str| {
            text.parse::<Currency>().map_err(|error| Problem::field(field, error.to_string()))
        };
        let currency = read("currency", &new.currency)?;
        let mut partner = Partner {
            mode,
            id: self.ctx.id(),
            code: new.code.clone(),
            name: new.name.clone(),
            suspended: false,
            schemes: Partner::default_schemes(mode),
            ip_allowlist: Vec::new(),
            currency,
            settlement_currency: currency,
            zone: domain::Zone::UTC,
            locale: Locale::EnUs,
            response_style: domain::partner::ResponseStyle::default(),
            checks_luhn: false,
            checks_pay_amount: false,
            version: 0,
        };
        let settings = shape::PartnerChange {
            name: None,
            currency: None,
            settlement_currency: new.settlement_currency.clone(),
            zone: new.zone.clone(),
            locale: new.locale.clone(),
            response_style: new.response_style.clone(),
            schemes: new.schemes.clone(),
            ip_allowlist: new.ip_allowlist.clone(),
            checks_luhn: new.checks_luhn,
            checks_pay_amount: new.checks_pay_amount,
        };
        apply(&mut partner, &settings)?;
        let partner = &partner;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            if tx.partner_by_code(mode, &partner.code).await?.is_some() {
                let detail = format!("there is a partner {} already", partner.code);
                return Err(Problem::conflict("PARTNER_EXISTS", detail).into());
            }
            tx.insert_partner(partner, self.ctx.now()).await?;
            let change = Change {
                action: "partner.add",
                mode: Some(mode),
                object: object(partner),
                before: Value::Null,
                after: json(&shown(partner)),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(shown(partner))
        })
        .await
    }

    /// Changes a partner's settings.
    pub async fn change_partner(
        &self,
        by: &Operator,
        (mode, code): (Mode, &str),
        wanted: &shape::PartnerChange,
    ) -> Result<shape::Partner> {
        self.update(by, "partner.change", (mode, code), |partner| apply(partner, wanted)).await
    }

    /// Refuses a partner's requests from now on, or takes them again.
    pub async fn suspend_partner(
        &self,
        by: &Operator,
        (mode, code): (Mode, &str),
        suspended: bool,
    ) -> Result<shape::Partner> {
        let action = if suspended { "partner.suspend" } else { "partner.resume" };
        self.update(by, action, (mode, code), |partner| {
            partner.suspended = suspended;
            Ok(())
        })
        .await
    }

    async fn update(
        &self,
        by: &Operator,
        action: &str,
        (mode, code): (Mode, &str),
        apply: impl Fn(&mut Partner) -> Result<()>,
    ) -> Result<shape::Partner> {
        let apply = &apply;
        self.retry(|| async move {
            let mut tx = self.store.begin().await?;
            let before = held_partner(&mut tx, mode, code).await?;
            let mut after = before.clone();
            apply(&mut after)?;
            if after == before {
                return Ok(shown(&before));
            }
            tx.update_partner(&after).await?;
            let change = Change {
                action,
                mode: Some(mode),
                object: object(&after),
                before: json(&shown(&before)),
                after: json(&shown(&after)),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(shown(&after))
        })
        .await
    }

    /// What a partner may owe, and owes, by currency.
    pub async fn list_credits(
        &self,
        (mode, code): (Mode, &str),
        page: &Page,
    ) -> Result<List<shape::Credit>> {
        let mut tx = self.store.read().await?;
        let partner = partner_of(&mut tx, mode, code).await?;
        let mut credits: Vec<shape::Credit> =
            tx.credits(&partner).await?.into_iter().map(shown_credit).collect();
        credits.retain(|credit| credit.currency > page.after);
        Ok(page.list(credits, |credit| credit.currency.clone(), |credit| credit))
    }

    /// Sets what a partner may owe in a currency.
    pub async fn set_credit(
        &self,
        by: &Operator,
        (mode, code, currency): (Mode, &str, &str),
        wanted: &shape::CreditLimit,
    ) -> Result<shape::Credit> {
        let known = currency.parse::<Currency>().ok().filter(|known| known.code() == currency);
        let currency = known.ok_or_else(|| Problem::not_found("currency"))?;
        let limit = Money::parse(&wanted.limit, currency)
            .map_err(|error| Problem::field("limit", error.to_string()))?;
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let partner = held_partner(&mut tx, mode, code).await?;
            let before = credit_in(&mut tx, &partner, currency).await?;
            if let Some(same) = before.filter(|before| before.limit == limit) {
                return Ok(shown_credit(same));
            }
            tx.set_credit_limit(&partner, limit).await?;
            let used = before.map_or(Money::new(0, currency), |before| before.used);
            let after = shown_credit(Credit { limit, used });
            let change = Change {
                action: "credit.set",
                mode: Some(mode),
                object: format!("{}/credits/{currency}", object(&partner)),
                before: before.map_or(Value::Null, |before| json(&shown_credit(before))),
                after: json(&after),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(after)
        })
        .await
    }
}

async fn credit_in(tx: &mut Tx, partner: &Partner, currency: Currency) -> Result<Option<Credit>> {
    let credits = tx.credits(partner).await?;
    Ok(credits.into_iter().find(|credit| credit.limit.currency == currency))
}
