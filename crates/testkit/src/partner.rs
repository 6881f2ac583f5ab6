//! Partners of a test's own, with a catalogue and SIMs.

use std::collections::HashMap;

use domain::package::{Package, PackageType, Volume};
use domain::partner::{Partner, ResponseStyle};
use domain::plan::{Plan, PriceKind};
use domain::sim::{Sim, SimState};
use domain::{Currency, Iccid, Locale, LocalizedText, Mode, Money};
use sdk::{Client, Credentials, NewOrder, PaidOrder, Prefix, Scheme};
use store::Price;

use crate::mall::TestMall;

/// A partner with a key, 1,000 major units of credit, three plans and three SIMs.
///
/// Plans: `PLAN-D` (daily, 1.00 and 0.80 a day), `PLAN-M` (30 days, 10.00 and 8.00), `PLAN-C`
/// (calendar month, 20.00 and 16.00); the sale price first, the settlement price second. A currency
/// without decimals has 100, 1000, 2000 and 80, 800, 1600. The monthly ones may renew. Packages:
/// `PACK-D`, `PACK-M`, `PACK-C`.
#[derive(Debug, Clone)]
pub struct TestPartner {
    /// The partner.
    pub partner: Partner,
    /// Its key's id.
    pub key_id: String,
    /// Its key.
    pub key: String,
    /// Its SIMs.
    pub sims: Vec<String>,
}

/// Plan, package, type, calendar, sale price and settlement price in hundredths of a major unit.
const CATALOGUE: [(&str, &str, PackageType, bool, i64, i64); 3] = [
    ("PLAN-D", "PACK-D", PackageType::Daily, false, 100, 80),
    ("PLAN-M", "PACK-M", PackageType::Monthly, false, 1_000, 800),
    ("PLAN-C", "PACK-C", PackageType::Monthly, true, 2_000, 1_600),
];

/// A price in hundredths, in minor units of a currency: JPY counts them as whole yen.
fn price(currency: Currency, hundredths: i64) -> Money {
    let minor = match currency.exponent() {
        3 => hundredths * 10,
        _ => hundredths,
    };
    Money::new(minor, currency)
}

impl TestMall {
    /// Adds a partner, after `change` made it special.
    pub async fn add_partner(
        &self,
        code: &str,
        mode: Mode,
        change: impl FnOnce(&mut Partner),
    ) -> TestPartner {
        let ctx = self.mall().ctx();
        let currency: Currency = "EUR".parse().unwrap();
        let mut partner = Partner {
            mode,
            id: ctx.id(),
            code: code.to_owned(),
            name: code.to_owned(),
            suspended: false,
            schemes: Partner::default_schemes(mode),
            ip_allowlist: Vec::new(),
            currency,
            settlement_currency: currency,
            zone: "Asia/Shanghai".parse().unwrap(),
            locale: Locale::EnUs,
            response_style: ResponseStyle::AsPublished,
            checks_luhn: false,
            checks_pay_amount: false,
            version: 0,
        };
        change(&mut partner);
        self.insert_catalogue(mode).await;
        let mut tx = self.store().begin().await.unwrap();
        tx.insert_partner(&partner, self.now()).await.unwrap();
        let key = self.mall().add_key(&mut tx, &partner).await.unwrap();
        let credit = price(partner.settlement_currency, 100_000);
        tx.set_credit_limit(&partner, credit).await.unwrap();
        for (plan, _, _, _, sale, settlement) in CATALOGUE {
            for (kind, unit) in [
                (PriceKind::Sale, price(partner.currency, sale)),
                (PriceKind::Settlement, price(partner.settlement_currency, settlement)),
            ] {
                let price = Price { plan_code: plan.to_owned(), kind, unit };
                let always = (self.now(), None);
                tx.insert_price(mode, partner.id, ctx.id(), &price, always).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
        let mut added = TestPartner { partner, key_id: key.id, key: key.text, sims: Vec::new() };
        for _ in 0..3 {
            let iccid = self.add_sim(&added, "", "simulator", SimState::Ready).await;
            added.sims.push(iccid);
        }
        added
    }

    /// Adds a SIM whose number ends as told, and gives its number.
    pub async fn add_sim(
        &self,
        partner: &TestPartner,
        ending: &str,
        carrier: &str,
        state: SimState,
    ) -> String {
        let ctx = self.mall().ctx();
        // 19 random digits of which the last four never are a special ending by chance.
        let digits = u64::from_be_bytes(ctx.random()) % 10_000_000_000;
        let ending = if ending.is_empty() { "0000" } else { ending };
        let iccid: Iccid = format!("89440{digits:010}{ending}").parse().unwrap();
        let sim = Sim { id: ctx.id(), iccid: iccid.clone(), carrier: carrier.to_owned(), state };
        let mut tx = self.store().begin().await.unwrap();
        let (mode, id) = (partner.partner.mode, partner.partner.id);
        tx.insert_sim(mode, id, &sim, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        iccid.as_str().to_owned()
    }

    /// Changes a partner's settings.
    pub async fn change_partner(
        &self,
        partner: &mut TestPartner,
        change: impl FnOnce(&mut Partner),
    ) {
        change(&mut partner.partner);
        let mut tx = self.store().begin().await.unwrap();
        tx.update_partner(&partner.partner).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Adds a package of a carrier and its plan for 30 days, unless they are there, at the partner's prices of 10.00 and 8.00. The
    /// plan's code is `PLAN-` and the carrier's, the package's `PACK-` and the carrier's.
    pub async fn add_plan_of(&self, partner: &TestPartner, carrier: &str) {
        let (mode, id) = (partner.partner.mode, partner.partner.id);
        let (code, package) = (format!("PLAN-{carrier}"), format!("PACK-{carrier}"));
        let package = Package {
            code: package.clone(),
            kind: PackageType::Monthly,
            calendar: false,
            volume: Volume::Bytes(1 << 30),
            area: LocalizedText::en_zh("Europe", "欧洲"),
            countries: vec!["DE".to_owned()],
            carrier: carrier.to_owned(),
            carrier_product: format!("CP-{package}"),
        };
        let mut tx = self.store().begin().await.unwrap();
        let is_new = tx.plan(mode, &code).await.unwrap().is_none();
        if is_new {
            tx.insert_package(mode, &package).await.unwrap();
        }
        let plan = Plan {
            plan_id: format!("plan_{code}"),
            name: LocalizedText::en_zh(&code, &code),
            description: LocalizedText::default(),
            package,
            periods: vec![1],
            renewable: true,
            code: code.clone(),
        };
        if is_new {
            tx.insert_plan(mode, &plan).await.unwrap();
        }
        for (kind, hundredths) in [(PriceKind::Sale, 1_000), (PriceKind::Settlement, 800)] {
            let unit = price(partner.partner.currency, hundredths);
            let price = Price { plan_code: code.clone(), kind, unit };
            let price_id = self.mall().ctx().id();
            tx.insert_price(mode, id, price_id, &price, (self.now(), None)).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn insert_catalogue(&self, mode: Mode) {
        let mut tx = self.store().begin().await.unwrap();
        if tx.plan(mode, CATALOGUE[0].0).await.unwrap().is_some() {
            return;
        }
        for (code, package, kind, calendar, _, _) in CATALOGUE {
            let package = Package {
                code: package.to_owned(),
                kind,
                calendar,
                volume: Volume::Bytes(1 << 30),
                area: LocalizedText::en_zh("Europe", "欧洲"),
                countries: vec!["DE".to_owned(), "FR".to_owned()],
                carrier: "simulator".to_owned(),
                carrier_product: format!("CP-{package}"),
            };
            tx.insert_package(mode, &package).await.unwrap();
            let plan = Plan {
                code: code.to_owned(),
                plan_id: format!("plan_{code}"),
                name: LocalizedText::en_zh(code, &format!("套餐 {code}")),
                description: LocalizedText::default(),
                package,
                periods: vec![1, 2, 3],
                renewable: kind == PackageType::Monthly,
            };
            tx.insert_plan(mode, &plan).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

impl TestPartner {
    /// A client that signs with HMAC.
    pub fn client(&self, mall: &TestMall) -> Client {
        self.client_with(mall, Scheme::HmacSha256, &self.key)
    }

    /// A client that signs in some way.
    pub fn client_with(&self, mall: &TestMall, scheme: Scheme, key: &str) -> Client {
        let prefix = match self.partner.mode {
            Mode::Live => Prefix::Live,
            Mode::Test => Prefix::Test,
        };
        let (partner_code, key) = (self.partner.code.clone(), key.to_owned());
        mall.client(prefix, Credentials { partner_code, scheme, key })
    }

    /// An order of `PLAN-M` for one period on a SIM, to be paid to the mall. `number` makes it unique.
    pub fn order(&self, sim: &str, number: &str) -> NewOrder {
        NewOrder {
            iccid: sim.to_owned(),
            order_no: number.to_owned(),
            pay_id: format!("{}{number}", self.partner.code),
            request_order_id: String::new(),
            service_plan_code: "PLAN-M".to_owned(),
            package_code: "PACK-M".to_owned(),
            order_period: 1,
            pay_amount: price(self.partner.currency, 1_000).decimal(),
            pay_currency: self.partner.currency.code().to_owned(),
            auto_renewal: false,
        }
    }

    /// An order of the plan that [`TestMall::add_plan_of`] made of a carrier, to be paid to the mall.
    pub fn order_at(&self, carrier: &str, sim: &str, number: &str) -> NewOrder {
        self.paid_order_at(carrier, sim, number).order
    }

    /// A paid order of the plan that [`TestMall::add_plan_of`] made of a carrier.
    pub fn paid_order_at(&self, carrier: &str, sim: &str, number: &str) -> PaidOrder {
        let mut order = self.paid_order(sim, number);
        order.order.service_plan_code = format!("PLAN-{carrier}");
        order.order.package_code = format!("PACK-{carrier}");
        order
    }

    /// A paid order of `PLAN-M` for one period on a SIM. `number` makes it unique.
    pub fn paid_order(&self, sim: &str, number: &str) -> PaidOrder {
        PaidOrder {
            order: self.order(sim, number),
            settle_price: price(self.partner.settlement_currency, 800).decimal(),
            pay_rst: "SUCCESS".to_owned(),
            pay_status: "1".to_owned(),
            pay_result_date: "2024-03-10 16:00:00".to_owned(),
            transaction_id: String::new(),
            org_order_id: String::new(),
            pay_unit: String::new(),
            pay_type: String::new(),
            pay_account: String::new(),
        }
    }

    /// What the partner owes, in minor units of its settlement currency.
    pub async fn owes(&self, mall: &TestMall) -> i64 {
        let mut tx = mall.store().read().await.unwrap();
        tx.credit(&self.partner).await.unwrap().used.minor
    }

    /// The balances of the partner's ledger, by account and currency.
    pub async fn ledger(&self, mall: &TestMall) -> HashMap<(String, String), i64> {
        let mut tx = mall.store().read().await.unwrap();
        let booked = tx.postings(self.partner.mode, self.partner.id).await.unwrap();
        let postings: Vec<_> = booked.into_iter().map(|booked| booked.posting).collect();
        let sums = domain::ledger::balances(&postings).unwrap();
        sums.into_iter()
            .map(|((account, currency), sum)| {
                ((account.as_str().to_owned(), currency.to_owned()), sum)
            })
            .collect()
    }
}
