//! The demo mall: three partners, twenty plans, two hundred SIMs and one old payment, in test mode.
//!
//! The first two partners, their SIMs and plans are those of the published requests, so that these
//! work verbatim.

use std::collections::HashSet;

use domain::ledger::{Account, Posting};
use domain::order::{Order, OrderSource, OrderState};
use domain::package::{Package, PackageType, PlanLength, Volume};
use domain::partner::{Partner, ResponseStyle};
use domain::payment::{Channel, PaymentState};
use domain::plan::{Plan, PriceKind};
use domain::sim::{Sim, SimState};
use domain::sim_plan::{QueuedPlan, SimPlanState};
use domain::{Iccid, Locale, LocalizedText, Mode, Money, Span, Timestamp, territory};
use store::{Price, Tx};

use crate::error::{Error, Result};
use crate::{Mall, NewKey};

/// The carrier of all demo SIMs.
pub const CARRIER: &str = "simulator";
/// What each demo partner may owe, in minor units of its currency: 10,000.00.
const CREDIT_MINOR: i64 = 1_000_000;
/// How many SIMs there are in all.
const SIMS: u32 = 200;

/// Code, currency and published SIM of each demo partner.
const PARTNERS: [(&str, &str, &str); 3] = [
    ("P000270", "GBP", "89852420180910340793"),
    ("P000818", "USD", "89860220190905123941"),
    ("P012345", "EUR", "89852420180910341000"),
];

/// The catalogue: one plan with its package per line, the columns named in the first. The type is
/// `packageType`, the volume gibibytes per period (-1: unlimited), the area a code of `territory`,
/// prices are minor units per period, in each partner's currency alike.
const CATALOGUE: &str = include_str!("../data/demo-plans.tsv");

/// A plan and its prices for every partner.
struct Entry {
    plan: Plan,
    price: i64,
    settlement: i64,
}

/// What the demo shows once.
#[derive(Debug)]
pub struct Seeded {
    /// The HMAC key of `P012345`, if the mall was empty until now.
    pub key: Option<NewKey>,
}

/// Fills an empty mall with the demo's data; a mall that has them is left as it is.
pub async fn seed(mall: &Mall) -> Result<Seeded> {
    let mut tx = mall.store().begin().await?;
    if tx.partner_by_code(Mode::Test, PARTNERS[0].0).await?.is_some() {
        return Ok(Seeded { key: None });
    }
    let entries = CATALOGUE.lines().skip(1).map(entry).collect::<Result<Vec<Entry>>>()?;
    let mut packages = HashSet::new();
    for Entry { plan, .. } in &entries {
        // Two plans may share a package.
        if packages.insert(&plan.package.code) {
            tx.insert_package(Mode::Test, &plan.package).await?;
        }
        tx.insert_plan(Mode::Test, plan).await?;
    }
    let mut key = None;
    for (place, (code, currency, iccid)) in (0_u32..).zip(PARTNERS) {
        let partner = new_partner(mall, code, currency)?;
        tx.insert_partner(&partner, mall.ctx().now()).await?;
        let credit = Money::new(CREDIT_MINOR, partner.settlement_currency);
        tx.set_credit_limit(&partner, credit).await?;
        insert_prices(mall, &mut tx, &partner, &entries).await?;
        insert_sims(mall, &mut tx, &partner, (place, iccid)).await?;
        match code {
            "P012345" => key = Some(mall.add_key(&mut tx, &partner).await?),
            "P000818" => insert_old_payment(mall, &mut tx, &partner, iccid).await?,
            _ => {}
        }
    }
    tx.commit().await?;
    Ok(Seeded { key })
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::Internal(format!("the demo's data are broken: {what}"))
}

fn entry(line: &str) -> Result<Entry> {
    let columns: Vec<&str> = line.split('\t').collect();
    let &[code, package, kind, calendar, gibibytes, area, countries, en, zh, price, settlement] =
        columns.as_slice()
    else {
        return Err(broken(line));
    };
    let kind: PackageType = kind.parse().map_err(broken)?;
    let (periods, days): (&[u32], u32) = match kind {
        PackageType::DayPass | PackageType::Yearly => (&[1], kind.days()),
        PackageType::Daily => (&[1, 3, 5, 7, 10, 15, 30], kind.days()),
        PackageType::Monthly => (&[1, 2, 3, 6, 12], kind.days()),
        PackageType::Quarterly => (&[1, 2, 4], kind.days()),
        PackageType::HalfYearly => (&[1, 2], kind.days()),
    };
    let (english_unit, chinese_unit) = match (calendar, days) {
        ("1", 365) => ("a calendar year".to_owned(), "一个自然年".to_owned()),
        ("1", _) => ("a calendar month".to_owned(), "一个自然月".to_owned()),
        (_, 1) => ("one day".to_owned(), "1天".to_owned()),
        _ => (format!("{days} days"), format!("{days}天")),
    };
    let (volume, in_english, in_chinese) = match gibibytes {
        "-1" => (Volume::Unlimited, "unlimited data".to_owned(), "不限量".to_owned()),
        number => {
            let bytes = number.parse::<u64>().map_err(broken)? << 30;
            (Volume::Bytes(bytes), format!("{number} GB"), format!("{number}GB"))
        }
    };
    let plan = Plan {
        code: code.to_owned(),
        plan_id: format!("plan_{code}"),
        name: LocalizedText::en_zh(en, zh),
        description: LocalizedText::en_zh(
            &format!("{in_english}, {english_unit} per period"),
            &format!("{in_chinese}，每周期{chinese_unit}"),
        ),
        package: Package {
            code: package.to_owned(),
            kind,
            calendar: calendar == "1",
            volume,
            area: territory::names(area).ok_or_else(|| broken(area))?,
            countries: countries.split(',').map(str::to_owned).collect(),
            carrier: CARRIER.to_owned(),
            carrier_product: format!("CP-{package}"),
        },
        periods: periods.to_vec(),
        renewable: kind != PackageType::DayPass,
    };
    let minor = |text: &str| text.parse::<i64>().map_err(broken);
    Ok(Entry { plan, price: minor(price)?, settlement: minor(settlement)? })
}

fn new_partner(mall: &Mall, code: &str, currency: &str) -> Result<Partner> {
    let currency = currency.parse().map_err(broken)?;
    Ok(Partner {
        mode: Mode::Test,
        id: mall.ctx().id(),
        code: code.to_owned(),
        name: format!("Demo partner {code}"),
        suspended: false,
        schemes: Partner::default_schemes(Mode::Test),
        ip_allowlist: Vec::new(),
        currency,
        settlement_currency: currency,
        zone: "Asia/Shanghai".parse().map_err(broken)?,
        locale: Locale::EnUs,
        response_style: ResponseStyle::AsPublished,
        checks_luhn: false,
        checks_pay_amount: false,
        version: 0,
    })
}

async fn insert_prices(
    mall: &Mall,
    tx: &mut Tx,
    partner: &Partner,
    entries: &[Entry],
) -> Result<()> {
    for entry in entries {
        for (kind, minor, currency) in [
            (PriceKind::Sale, entry.price, partner.currency),
            (PriceKind::Settlement, entry.settlement, partner.settlement_currency),
        ] {
            let unit = Money::new(minor, currency);
            let price = Price { plan_code: entry.plan.code.clone(), kind, unit };
            let always = (mall.ctx().now(), None);
            tx.insert_price(Mode::Test, partner.id, mall.ctx().id(), &price, always).await?;
        }
    }
    Ok(())
}

/// The published SIM, one SIM for each thing the simulator can do, three that cannot be used as they
/// are, and plain ones up to the partner's share.
async fn insert_sims(
    mall: &Mall,
    tx: &mut Tx,
    partner: &Partner,
    (place, published): (u32, &str),
) -> Result<()> {
    let mut sims = vec![(published.to_owned(), SimState::Ready)];
    for ending in 9001..=9005 {
        sims.push((format!("898520000000000{place}{ending}"), SimState::Ready));
    }
    for (ending, state) in
        [(7001, SimState::Suspended), (7002, SimState::Expired), (7003, SimState::Terminated)]
    {
        sims.push((format!("898520000000000{place}{ending}"), state));
    }
    let partners = u32::try_from(PARTNERS.len()).unwrap_or(1);
    let share = SIMS / partners + u32::from(place < SIMS % partners);
    let special = u32::try_from(sims.len()).unwrap_or(0);
    for number in 1..=share - special {
        sims.push((format!("898520000000000{place}{number:04}"), SimState::Ready));
    }
    for (iccid, state) in sims {
        let iccid: Iccid = iccid.parse().map_err(broken)?;
        let sim = Sim { id: mall.ctx().id(), iccid, carrier: CARRIER.to_owned(), state };
        tx.insert_sim(Mode::Test, partner.id, &sim, mall.ctx().now()).await?;
    }
    Ok(())
}

/// The payment of the published `resultQuery`: 19.99 USD, succeeded at 2020-09-17 18:11:10.
async fn insert_old_payment(
    mall: &Mall,
    tx: &mut Tx,
    partner: &Partner,
    iccid: &str,
) -> Result<()> {
    let paid_at = partner.zone.parse_date_time("2020-09-17 18:11:10").map_err(broken)?;
    let provisioned_at = paid_at + Span::seconds(2);
    // No cashier of this mall took it: it is as if the partner had reported it.
    let amount = Money::new(1999, partner.currency);
    let order = old_order(mall, partner, iccid, (paid_at, provisioned_at))?;
    let order = Order { source: OrderSource::Reported, settlement: Some(amount), ..order };
    let mut payment = mall.new_payment(&order, Channel::ThirdParty, amount);
    payment.state = PaymentState::Succeeded { at: paid_at };
    mall.insert_order(tx, &order, &payment).await?;
    if !tx.book_credit(Mode::Test, partner.id, amount).await? {
        return Err(broken("the partner's credit does not reach"));
    }
    let posting = Posting::sale(Account::PartnerReceivable, amount);
    tx.insert_postings(&[(&order, posting)], paid_at).await?;
    let expires_at = order.length.end(provisioned_at, &partner.zone);
    let plan = QueuedPlan {
        queue_no: 1,
        added_at: provisioned_at,
        length: order.length,
        counted_from: None,
        state: SimPlanState::Finished { effective_at: provisioned_at, expires_at },
    };
    let sim = (Mode::Test, partner.id, order.iccid.clone());
    tx.insert_sim_plan(&sim, order.id, &plan).await?;
    Ok(())
}

fn old_order(
    mall: &Mall,
    partner: &Partner,
    iccid: &str,
    (paid_at, provisioned_at): (Timestamp, Timestamp),
) -> Result<Order> {
    Ok(Order {
        mode: Mode::Test,
        partner_id: partner.id,
        id: mall.ctx().id(),
        order_no: "20200917181000000001".to_owned(),
        pay_id: "20190321192436".to_owned(),
        request_order_id: String::new(),
        org_order_id: String::new(),
        source: OrderSource::Mall,
        iccid: iccid.parse().map_err(broken)?,
        plan_code: "SP201804281999".to_owned(),
        show_name: String::new(),
        package_code: "PACKAGE20180428000007".to_owned(),
        carrier: CARRIER.to_owned(),
        carrier_product: "CP-PACKAGE20180428000007".to_owned(),
        length: PlanLength { unit: PackageType::Monthly, periods: 1, calendar: false },
        settlement: None,
        auto_renewal: false,
        // No request made it, so that none can repeat it.
        content_hash: Vec::new(),
        state: OrderState::Provisioned { paid_at, provisioned_at },
        version: 0,
        queue_no: Some(1),
        upstream_id: "SIM-DEMO".to_owned(),
        created_at: paid_at - Span::seconds(70),
        trade_type: "singleOrder".to_owned(),
        mark: String::new(),
        terminal: String::new(),
    })
}
