//! The demo mall: three partners, twenty plans, two hundred SIMs and one old payment, in test mode.
//!
//! The first two partners, their SIMs and plans are those of the published requests, so that these
//! work verbatim.

use domain::ledger::{Account, Posting};
use domain::order::{Order, OrderSource, OrderState};
use domain::package::{Package, PackageType, PlanLength, Volume};
use domain::partner::{Partner, ResponseStyle};
use domain::payment::{Channel, Payment, PaymentState, Report};
use domain::plan::{Plan, PriceKind};
use domain::sim::{Sim, SimState};
use domain::sim_plan::{QueuedPlan, SimPlanState};
use domain::{Iccid, Locale, LocalizedText, Mode, Money, Span, territory};
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

const EUROPE: &str = "AT,BE,CH,CZ,DE,DK,ES,FI,FR,GB,GR,HU,IE,IT,NL,NO,PL,PT,SE";
const ASIA: &str = "CN,HK,ID,JP,KR,MO,MY,PH,SG,TH,TW,VN";
const AMERICAS: &str = "AR,BR,CA,CL,CO,MX,PE,US";

/// One plan of the catalogue with its package.
struct Entry {
    plan: &'static str,
    package: &'static str,
    kind: PackageType,
    calendar: bool,
    /// Gibibytes per period; `None` for unlimited.
    gibibytes: Option<u64>,
    /// A region of UN M.49 or a country of ISO 3166.
    area: &'static str,
    countries: &'static str,
    names: (&'static str, &'static str),
    periods: &'static [u32],
    /// Minor units per period, in each partner's currency alike.
    price: i64,
    settlement: i64,
}

const fn entry(
    (plan, package): (&'static str, &'static str),
    (kind, calendar): (PackageType, bool),
    gibibytes: Option<u64>,
    (area, countries): (&'static str, &'static str),
    names: (&'static str, &'static str),
    (price, settlement): (i64, i64),
) -> Entry {
    let periods: &[u32] = match kind {
        PackageType::DayPass => &[1],
        PackageType::Daily => &[1, 3, 5, 7, 10, 15, 30],
        PackageType::Monthly => &[1, 2, 3, 6, 12],
        PackageType::Quarterly => &[1, 2, 4],
        PackageType::HalfYearly => &[1, 2],
        PackageType::Yearly => &[1],
    };
    Entry {
        plan,
        package,
        kind,
        calendar,
        gibibytes,
        area,
        countries,
        names,
        periods,
        price,
        settlement,
    }
}

const CATALOGUE: [Entry; 20] = {
    use PackageType::{Daily, DayPass, HalfYearly, Monthly, Quarterly, Yearly};
    const WORLD: (&str, &str) = ("001", "AU,BR,CA,CN,DE,ES,FR,GB,HK,IT,JP,KR,MX,SG,TH,US,ZA");
    const US_ONLY: (&str, &str) = ("US", "US");
    const SINGAPORE: (&str, &str) = ("SG", "SG");
    [
        entry(
            ("SP202111041459", "DP20190726001274"),
            (Monthly, false),
            Some(10),
            ("150", EUROPE),
            ("biaoqianweikong", "biaoqianweikong"),
            (1236, 1236),
        ),
        entry(
            ("SP201804280499", "PACKAGE20180428000007"),
            (Monthly, false),
            Some(1),
            US_ONLY,
            ("USA 1 GB 30 Days", "美国 1GB 30天"),
            (499, 399),
        ),
        entry(
            ("SP201804281999", "PACKAGE20180428000007"),
            (Monthly, false),
            Some(1),
            US_ONLY,
            ("USA 1 GB 30 Days Plus", "美国 1GB 30天 尊享"),
            (1999, 1599),
        ),
        entry(
            ("SP-EU-DAYPASS", "PK-EU-DAYPASS"),
            (DayPass, false),
            Some(1),
            ("150", EUROPE),
            ("Europe Day Pass 1 GB", "欧洲日租 1GB"),
            (199, 159),
        ),
        entry(
            ("SP-EU-DAILY", "PK-EU-DAILY"),
            (Daily, false),
            Some(2),
            ("150", EUROPE),
            ("Europe Daily 2 GB", "欧洲每日 2GB"),
            (299, 239),
        ),
        entry(
            ("SP-EU-MONTH-20", "PK-EU-MONTH-20"),
            (Monthly, false),
            Some(20),
            ("150", EUROPE),
            ("Europe Monthly 20 GB", "欧洲包月 20GB"),
            (1899, 1519),
        ),
        entry(
            ("SP-EU-CALENDAR", "PK-EU-CALENDAR"),
            (Monthly, true),
            Some(15),
            ("150", EUROPE),
            ("Europe Calendar Month 15 GB", "欧洲自然月 15GB"),
            (1599, 1279),
        ),
        entry(
            ("SP-EU-QUARTER", "PK-EU-QUARTER"),
            (Quarterly, false),
            Some(50),
            ("150", EUROPE),
            ("Europe Quarterly 50 GB", "欧洲包季 50GB"),
            (4499, 3599),
        ),
        entry(
            ("SP-EU-YEAR", "PK-EU-YEAR"),
            (Yearly, false),
            Some(120),
            ("150", EUROPE),
            ("Europe Yearly 120 GB", "欧洲包年 120GB"),
            (9999, 7999),
        ),
        entry(
            ("SP-AS-DAILY", "PK-AS-DAILY"),
            (Daily, false),
            Some(1),
            ("142", ASIA),
            ("Asia Daily 1 GB", "亚洲每日 1GB"),
            (249, 199),
        ),
        entry(
            ("SP-AS-MONTH", "PK-AS-MONTH"),
            (Monthly, false),
            Some(10),
            ("142", ASIA),
            ("Asia Monthly 10 GB", "亚洲包月 10GB"),
            (1399, 1119),
        ),
        entry(
            ("SP-AS-HALF", "PK-AS-HALF"),
            (HalfYearly, false),
            Some(60),
            ("142", ASIA),
            ("Asia Half-Year 60 GB", "亚洲半年 60GB"),
            (5999, 4799),
        ),
        entry(
            ("SP-AS-YEAR", "PK-AS-YEAR"),
            (Yearly, true),
            Some(150),
            ("142", ASIA),
            ("Asia Calendar Year 150 GB", "亚洲自然年 150GB"),
            (10_999, 8799),
        ),
        entry(
            ("SP-SG-MONTH", "PK-SG-MONTH"),
            (Monthly, false),
            Some(2),
            SINGAPORE,
            ("Singapore 2 GB 30 Days", "新加坡 2GB 30天"),
            (699, 559),
        ),
        entry(
            ("SP-JP-DAYPASS", "PK-JP-DAYPASS"),
            (DayPass, false),
            None,
            ("JP", "JP"),
            ("Japan Day Pass Unlimited", "日本日租 不限量"),
            (399, 319),
        ),
        entry(
            ("SP-AM-MONTH", "PK-AM-MONTH"),
            (Monthly, false),
            Some(8),
            ("019", AMERICAS),
            ("Americas Monthly 8 GB", "美洲包月 8GB"),
            (1699, 1359),
        ),
        entry(
            ("SP-AM-QUARTER", "PK-AM-QUARTER"),
            (Quarterly, false),
            Some(24),
            ("019", AMERICAS),
            ("Americas Quarterly 24 GB", "美洲包季 24GB"),
            (4299, 3439),
        ),
        entry(
            ("SP-WW-DAILY", "PK-WW-DAILY"),
            (Daily, false),
            Some(1),
            WORLD,
            ("World Daily 1 GB", "全球每日 1GB"),
            (499, 399),
        ),
        entry(
            ("SP-WW-MONTH", "PK-WW-MONTH"),
            (Monthly, false),
            Some(5),
            WORLD,
            ("World Monthly 5 GB", "全球包月 5GB"),
            (2499, 1999),
        ),
        entry(
            ("SP-WW-HALF", "PK-WW-HALF"),
            (HalfYearly, false),
            None,
            WORLD,
            ("World Half-Year Unlimited", "全球半年 不限量"),
            (19_999, 15_999),
        ),
    ]
};

/// What the demo shows once.
#[derive(Debug)]
pub struct Seeded {
    /// The HMAC key of `P012345`, if the mall was empty until now.
    pub key: Option<NewKey>,
}

/// Fills an empty mall with the demo's data; a mall that has them is left as it is.
pub async fn seed(mall: &Mall) -> Result<Seeded> {
    let mut tx = mall.store().begin().await?;
    if tx
        .partner_by_code(Mode::Test, PARTNERS[0].0)
        .await?
        .is_some()
    {
        return Ok(Seeded { key: None });
    }
    let plans = CATALOGUE.iter().map(plan).collect::<Vec<Plan>>();
    for (place, plan) in plans.iter().enumerate() {
        // Two plans may share a package.
        if !plans[..place]
            .iter()
            .any(|earlier| earlier.package.code == plan.package.code)
        {
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
        insert_prices(mall, &mut tx, &partner).await?;
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

fn plan(entry: &Entry) -> Plan {
    let (en, zh) = entry.names;
    let days = entry.kind.days();
    let volume = match entry.gibibytes {
        Some(gibibytes) => (format!("{gibibytes} GB"), format!("{gibibytes}GB")),
        None => ("unlimited data".to_owned(), "不限量".to_owned()),
    };
    Plan {
        code: entry.plan.to_owned(),
        plan_id: format!("plan_{}", entry.plan),
        name: LocalizedText::en_zh(en, zh),
        description: LocalizedText::en_zh(
            &format!("{} for {days} days per period", volume.0),
            &format!("每周期 {}，有效期 {days} 天", volume.1),
        ),
        package: Package {
            code: entry.package.to_owned(),
            kind: entry.kind,
            calendar: entry.calendar,
            volume: entry
                .gibibytes
                .map_or(Volume::Unlimited, |n| Volume::Bytes(n << 30)),
            area: territory::names(entry.area).unwrap_or_default(),
            countries: entry.countries.split(',').map(str::to_owned).collect(),
            carrier: CARRIER.to_owned(),
            carrier_product: format!("CP-{}", entry.package),
        },
        periods: entry.periods.to_vec(),
        renewable: !matches!(entry.kind, PackageType::DayPass),
    }
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
    })
}

async fn insert_prices(mall: &Mall, tx: &mut Tx, partner: &Partner) -> Result<()> {
    for entry in &CATALOGUE {
        for (kind, minor, currency) in [
            (PriceKind::Sale, entry.price, partner.currency),
            (
                PriceKind::Settlement,
                entry.settlement,
                partner.settlement_currency,
            ),
        ] {
            let unit = Money::new(minor, currency);
            let price = Price {
                plan_code: entry.plan.to_owned(),
                kind,
                unit,
            };
            let always = (mall.ctx().now(), None);
            tx.insert_price(Mode::Test, partner.id, mall.ctx().id(), &price, always)
                .await?;
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
    for (ending, state) in [
        (7001, SimState::Suspended),
        (7002, SimState::Expired),
        (7003, SimState::Terminated),
    ] {
        sims.push((format!("898520000000000{place}{ending}"), state));
    }
    let partners = u32::try_from(PARTNERS.len()).unwrap_or(1);
    let share = SIMS / partners + u32::from(place < SIMS % partners);
    let special = u32::try_from(sims.len()).unwrap_or(0);
    for number in 1..=share - special {
        sims.push((
            format!("898520000000000{place}{number:04}"),
            SimState::Ready,
        ));
    }
    for (iccid, state) in sims {
        let iccid: Iccid = iccid.parse().map_err(broken)?;
        let sim = Sim {
            id: mall.ctx().id(),
            iccid,
            carrier: CARRIER.to_owned(),
            state,
        };
        tx.insert_sim(Mode::Test, partner.id, &sim, mall.ctx().now())
            .await?;
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
    let ctx = mall.ctx();
    let paid_at = partner
        .zone
        .parse_date_time("2020-09-17 18:11:10")
        .map_err(broken)?;
    let amount = Money::new(1999, partner.currency);
    let length = PlanLength {
        unit: PackageType::Monthly,
        periods: 1,
        calendar: false,
    };
    let provisioned_at = paid_at + Span::seconds(2);
    let order = Order {
        mode: Mode::Test,
        partner_id: partner.id,
        id: ctx.id(),
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
        length,
        settlement: None,
        auto_renewal: false,
        // No request made it, so that none can repeat it.
        content_hash: Vec::new(),
        state: OrderState::Provisioned {
            paid_at,
            provisioned_at,
        },
        version: 0,
        upstream_id: "SIM-DEMO".to_owned(),
        created_at: paid_at - Span::seconds(70),
        trade_type: "singleOrder".to_owned(),
        mark: String::new(),
        terminal: String::new(),
    };
    let payment = Payment {
        id: ctx.id(),
        order_id: order.id,
        channel: Channel::Stripe,
        amount,
        state: PaymentState::Succeeded { at: paid_at },
        version: 0,
        report: Report::default(),
    };
    mall.insert_order(tx, &order, &payment).await?;
    let posting = Posting::sale(Account::StripeBalance, amount);
    tx.insert_posting(
        Mode::Test,
        partner.id,
        (ctx.id(), order.id),
        posting,
        paid_at,
    )
    .await?;
    let expires_at = length.end(provisioned_at, &partner.zone);
    let plan = QueuedPlan {
        id: ctx.id(),
        queue_no: 1,
        added_at: provisioned_at,
        length,
        state: SimPlanState::Finished {
            effective_at: provisioned_at,
            expires_at,
        },
    };
    tx.insert_sim_plan(Mode::Test, partner.id, &order.iccid, order.id, &plan)
        .await?;
    Ok(())
}
