//! Every route of the table, with every kind of caller and object: nobody gets further than the
//! role lets them, and what is another mode's or partner's is not there.

use domain::sim::SimState;
use domain::{Mode, Role, Span};
use serde_json::{Value, json};
use testkit::{AdminClient, Engine, TestMall, TestPartner, on_both_engines};
use wire::admin::{Body, Op, ROUTES, Route};

on_both_engines!(every_route_with_every_role);

/// A package and a plan that the test mode has and the live mode has not.
const PACKAGE: &str = "DP20190726001274";
const PLAN: &str = "SP202111041459";
/// A file to be imported.
const FILE: &str = "code,unit,calendar,volume_bytes,area_en,area_zh,countries,carrier,\
    carrier_product\nPK,daily,false,1,Europe,,DE,simulator,X\n";
/// An id of no kind's row.
const NO_ID: &str = "00000000000070008000000000000000";

/// With what a route succeeds, and with what there is no such object.
struct Case {
    /// What stands for the names in its path.
    own: Vec<(&'static str, String)>,
    /// Each of these instead leads to nothing.
    elsewhere: Vec<(&'static str, String)>,
    /// Its body.
    body: Value,
    /// Its query, with the question mark.
    query: &'static str,
}

impl Case {
    fn new(own: &[(&'static str, &str)]) -> Self {
        let own = own.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { own, elsewhere: Vec::new(), body: Value::Null, query: "" }
    }

    fn not(mut self, name: &'static str, value: &str) -> Self {
        self.elsewhere.push((name, value.to_owned()));
        self
    }

    fn body(self, body: Value) -> Self {
        Self { body, ..self }
    }

    /// The path of a route, with a name's value replaced.
    fn path(&self, route: &Route, instead: Option<&(&'static str, String)>) -> String {
        let mut path = route.path.to_owned();
        for (name, value) in instead.into_iter().chain(&self.own) {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        assert!(!path.contains('{'), "{path}: a name in it has no value in the case");
        path + self.query
    }
}

/// What there is of a partner.
struct Stock {
    partner: TestPartner,
    order_id: String,
    job_id: String,
    price_id: String,
}

struct World {
    mall: TestMall,
    owner: AdminClient,
    /// In the other mode.
    live: Stock,
    /// Another partner of the same mode.
    other: Stock,
    count: usize,
}

impl World {
    async fn new(engine: Engine) -> Self {
        let mall = TestMall::start(engine).await;
        let owner = mall.admin(Role::Owner).await;
        let live = stock(&mall, &owner, "LIVE", Mode::Live).await;
        let other = stock(&mall, &owner, "OTHER", Mode::Test).await;
        Self { mall, owner, live, other, count: 0 }
    }

    async fn token(&mut self) -> String {
        let token = self.mall.admin(Role::Viewer).await;
        token.get("/whoami").await.done()["token_id"].as_str().unwrap().to_owned()
    }

    /// A case about a partner of its own.
    async fn partner(&mut self) -> (TestPartner, Case) {
        self.count += 1;
        let code = format!("P{}", self.count);
        let partner = self.mall.add_partner(&code, Mode::Test, |_| ()).await;
        let case = Case::new(&[("mode", "test"), ("code", &code)]);
        let case = case.not("mode", "live").not("mode", "prod");
        (partner, case.not("code", "NOPE").not("code", "LIVE"))
    }

    async fn stock(&mut self) -> Stock {
        self.count += 1;
        stock(&self.mall, &self.owner, &format!("P{}", self.count), Mode::Test).await
    }

    /// With what an operation succeeds once.
    async fn case(&mut self, op: Op) -> Case {
        let list = Case::new(&[("mode", "test")]).not("mode", "prod");
        match op {
            Op::Whoami | Op::ListTokens | Op::ListAudit | Op::AuditHead => Case::new(&[]),
            Op::AddToken => Case::new(&[]).body(json!({"name": "Jo", "role": "viewer"})),
            Op::VerifyAudit => Case::new(&[]).body(json!({})),
            Op::RetireToken => {
                let id = self.token().await;
                let none = format!("tok_{NO_ID}");
                Case::new(&[("token_id", &id)]).not("token_id", &none).not("token_id", "tok_x")
            }
            Op::ListPartners
            | Op::ListPackages
            | Op::ListPlans
            | Op::ListOrders
            | Op::ListReviews
            | Op::ListRenewals
            | Op::ListGroups
            | Op::ListGroupReviews
            | Op::ListJobs
            | Op::ListBalances
            | Op::ListPostings
            | Op::ShowClock => list,
            Op::MoveClock => list.body(json!({"to": "2024-03-10T08:00:00Z"})),
            Op::Reconcile => Case { query: "?day=2027-01-31", ..list },
            Op::AddPartner => {
                self.count += 1;
                let code = format!("NEW{}", self.count);
                list.body(json!({"code": code, "name": "New", "currency": "EUR"}))
            }
            Op::ShowPackage
            | Op::ShowRoute
            | Op::PutRoute
            | Op::ShowPlan
            | Op::PutPackage
            | Op::PutPlan => catalogue(op),
            Op::AddImport => list.body(json!({"kind": "plans", "file_name": "plans.csv"})),
            Op::PutImportPart | Op::ApplyImport | Op::ShowImport => self.import(op).await,
            Op::Export => export(),
            Op::ShowPushEndpoint
            | Op::ChangePushEndpoint
            | Op::DeletePushEndpoint
            | Op::TestPushEndpoint
            | Op::RotatePushKey
            | Op::ListPushDeliveries
            | Op::ResendPushes => self.push_endpoint(op).await,
            Op::ShowRenewal | Op::CancelRenewal => self.renewal(op).await,
            Op::AddGroup
            | Op::ShowGroup
            | Op::ChangeGroup
            | Op::SetBundle
            | Op::ListOperations
            | Op::ShowOperation
            | Op::ListOperationSims
            | Op::ResolveGroupSim => self.group(op).await,
            Op::ShowOrder
            | Op::ShowTimeline
            | Op::ResolveOrder
            | Op::RefundOrder
            | Op::ShowJob
            | Op::RetryJob
            | Op::CancelJob => self.order(op).await,
            of_partner => self.partner_case(of_partner).await,
        }
    }

    /// A case about an import with one part that is not applied yet.
    async fn import(&mut self, op: Op) -> Case {
        let new = json!({"kind": "packages", "file_name": "packages.csv"});
        let import = self.owner.post("/test/imports", &new).await.done();
        let import = import["import_id"].as_str().unwrap().to_owned();
        let part = format!("/test/imports/{import}/parts/1");
        self.owner.put_csv(&part, FILE).await.done();
        let case = Case::new(&[("mode", "test"), ("import_id", &import)]);
        let case = case.not("mode", "live").not("mode", "prod");
        let mut case = case.not("import_id", &format!("imp_{NO_ID}")).not("import_id", "x");
        if op == Op::PutImportPart {
            case.own.push(("part", "1".to_owned()));
            case = case.not("part", "0").not("part", "x").body(Value::from(FILE));
        }
        case
    }

    async fn order(&mut self, op: Op) -> Case {
        let own = self.stock().await;
        let (name, own, foreign, none) = match op {
            Op::ShowOrder | Op::ShowTimeline => {
                ("order_id", own.order_id, &self.live.order_id, "ord")
            }
            Op::ResolveOrder | Op::RefundOrder => {
                let id = self.reviewed(&own.partner).await;
                ("order_id", id, &self.live.order_id, "ord")
            }
            _ => ("job_id", own.job_id, &self.live.job_id, "job"),
        };
        let case = Case::new(&[("mode", "test"), (name, &own)]).not("mode", "live");
        let case =
            case.not("mode", "prod").not(name, foreign).not(name, &format!("{none}_{NO_ID}"));
        let case = case.not(name, "x");
        if op == Op::RefundOrder {
            return case.body(json!({"reason": "the network is closed"}));
        }
        if op == Op::ResolveOrder {
            return case.body(json!({"finding": "refund", "reason": "the carrier said so"}));
        }
        case
    }

    /// A case about an auto-renewal in force.
    async fn renewal(&mut self, op: Op) -> Case {
        let partner = self.stock().await.partner;
        let mut order = partner.paid_order(&partner.sims[0], "A1");
        order.order.auto_renewal = true;
        partner.client(&self.mall).syn_order_info(&order).await.unwrap();
        self.mall.settle().await;
        let list = format!("/test/renewals?partner={}", partner.partner.code);
        let found = self.owner.get(&list).await.done();
        let id = found["items"][0]["renewal_id"].as_str().unwrap().to_owned();
        let case = Case::new(&[("mode", "test"), ("renewal_id", &id)]);
        let case = case.not("mode", "live").not("mode", "prod");
        let case = case.not("renewal_id", &format!("rnw_{NO_ID}")).not("renewal_id", "x");
        if op == Op::CancelRenewal { case.body(json!({"reason": "asked by phone"})) } else { case }
    }

    /// A case about a push endpoint, where nobody listens.
    async fn push_endpoint(&mut self, op: Op) -> Case {
        let (partner, mut case) = self.partner().await;
        let new = json!({"url": "http://127.0.0.1:9/pushes"});
        let mut ids = Vec::new();
        for code in [&partner.partner.code, &self.other.partner.partner.code] {
            let path = format!("/test/partners/{code}/push-endpoints");
            let added = match self.owner.get(&path).await.done()["items"].get(0) {
                Some(there) => there.clone(),
                None => self.owner.post(&path, &new).await.done()["endpoint"].clone(),
            };
            ids.push(added["endpoint_id"].as_str().unwrap().to_owned());
        }
        case.own.push(("endpoint_id", ids[0].clone()));
        let none = format!("end_{NO_ID}");
        let case = case.not("endpoint_id", &ids[1]).not("endpoint_id", &none);
        let case = case.not("endpoint_id", "x");
        match op {
            Op::ChangePushEndpoint => case.body(json!({"state": "paused"})),
            Op::ResendPushes => case.body(json!({"failed_since": "2024-03-10T08:00:00Z"})),
            _ => case,
        }
    }

    /// A case about a group, an operation on it, or a SIM in doubt.
    async fn group(&mut self, op: Op) -> Case {
        let (partner, mut case) = self.partner().await;
        let bundle = json!({"plan_code": "PLAN-M", "period_no": 1});
        if op == Op::AddGroup {
            return case.body(
                json!({"group_id": "G-3", "name": "New", "sim_limit": 5, "plan_code": "PLAN-M"}),
            );
        }
        self.mall.add_group(&partner, "G-1", 5).await;
        match op {
            Op::ShowOperation | Op::ListOperationSims => {
                let client = partner.client(&self.mall);
                let begun = client.add_group_sims("G-1", &partner.sims, "").await.unwrap();
                self.mall.settle().await;
                let case = Case::new(&[("mode", "test"), ("request_id", &begun.request_id)]);
                let case = case.not("mode", "live").not("mode", "prod");
                case.not("request_id", &format!("gop_{NO_ID}")).not("request_id", "x")
            }
            Op::ResolveGroupSim => {
                let sim = self.in_doubt(&partner).await;
                case.own.push(("iccid", sim));
                let case = case.not("iccid", &partner.sims[0]).not("iccid", "x");
                case.body(json!({"finding": "out", "reason": "the carrier said so"}))
            }
            _ => {
                case.own.push(("group_id", "G-1".to_owned()));
                let case = case.not("group_id", "G-2");
                match op {
                    Op::ChangeGroup => case.body(json!({"name": "Another"})),
                    Op::SetBundle => case.body(bundle),
                    _ => case,
                }
            }
        }
    }

    /// A SIM of which nobody can tell whether it is in its group.
    async fn in_doubt(&self, partner: &TestPartner) -> String {
        let sim = self.mall.add_sim(partner, "9005", "simulator", SimState::Ready).await;
        let client = partner.client(&self.mall);
        let sims = [sim.clone()];
        let begun = client.add_group_sims("G-1", &sims, "").await.unwrap().request_id;
        for _ in 0..100 {
            self.mall.advance(Span::minutes(10)).await;
            if client.async_result(&begun, false, 1).await.unwrap().finished_at.is_some() {
                return sim;
            }
        }
        panic!("the SIM does not come to be in doubt")
    }

    /// An order that waits for a person.
    async fn reviewed(&self, partner: &TestPartner) -> String {
        let sim = self.mall.add_sim(partner, "9005", "simulator", SimState::Ready).await;
        let order = partner.paid_order(&sim, "R1");
        let made = partner.client(&self.mall).syn_order_info(&order).await.unwrap();
        self.mall.settle().await;
        made.order_id
    }

    async fn partner_case(&mut self, op: Op) -> Case {
        let (partner, mut case) = self.partner().await;
        let other = &self.other;
        let own = |case: &mut Case, name, value: &str| case.own.push((name, value.to_owned()));
        match op {
            Op::AddPushEndpoint => case.body(json!({"url": "http://127.0.0.1:9/pushes"})),
            Op::ChangePartner => case.body(json!({"name": "Another"})),
            Op::RetireKey => {
                own(&mut case, "key_id", &partner.key_id);
                case.not("key_id", &other.partner.key_id).not("key_id", "key_x")
            }
            Op::SetCredit => {
                own(&mut case, "currency", "USD");
                case.not("currency", "XXX").not("currency", "usd").body(json!({"limit": "12.36"}))
            }
            Op::Settle => {
                let order = partner.paid_order(&partner.sims[0], "OWED");
                partner.client(&self.mall).syn_order_info(&order).await.unwrap();
                own(&mut case, "currency", "EUR");
                let case = case.not("currency", "XXX").not("currency", "eur");
                case.body(json!({"kind": "settlement", "amount": "1.00", "reference": "B-1"}))
            }
            Op::AddPrice => case.body(json!({
                "plan_code": "PLAN-D", "kind": "sale", "amount": "1.50", "currency": "USD",
            })),
            Op::EndPrice => {
                let price = price_of(&self.owner, "test", &partner.partner.code).await;
                own(&mut case, "price_id", &price);
                let none = format!("prc_{NO_ID}");
                case.not("price_id", &other.price_id).not("price_id", &none).not("price_id", "x")
            }
            Op::ShowSim | Op::ChangeSim => {
                own(&mut case, "iccid", &partner.sims[0]);
                let case = case.not("iccid", &other.partner.sims[0]).not("iccid", "x");
                let case = case.not("iccid", "8944000000000000000");
                if op == Op::ShowSim { case } else { case.body(json!({"state": "suspended"})) }
            }
            Op::PutSim => {
                own(&mut case, "iccid", &partner.sims[0]);
                case.not("iccid", "x").body(json!({"carrier": "simulator"}))
            }
            Op::ListRequests
            | Op::ShowPartner
            | Op::SuspendPartner
            | Op::ResumePartner
            | Op::ListKeys
            | Op::AddKey
            | Op::ListPushEndpoints
            | Op::ListCredits
            | Op::ListPrices
            | Op::ListSims => case,
            new => panic!("{new:?} is new: say here with what it succeeds"),
        }
    }
}

async fn price_of(owner: &AdminClient, mode: &str, code: &str) -> String {
    let prices = owner.get(&format!("/{mode}/partners/{code}/prices")).await.done();
    prices["items"][0]["price_id"].as_str().unwrap().to_owned()
}

/// A case about the catalogue.
fn catalogue(op: Op) -> Case {
    let sold = |code, mode| {
        Case::new(&[("mode", "test"), ("code", code)]).not("mode", mode).not("mode", "prod")
    };
    match op {
        Op::PutPackage => sold("NEW", "prod").body(package()),
        Op::PutPlan => sold("NEW", "prod").body(plan()),
        Op::ShowPlan => sold(PLAN, "live").not("code", "NOPE"),
        Op::PutRoute => sold(PACKAGE, "live").not("code", "NOPE").body(json!({"route": []})),
        _ => sold(PACKAGE, "live").not("code", "NOPE"),
    }
}

fn export() -> Case {
    let case = Case::new(&[("mode", "test"), ("kind", "plans")]);
    case.not("mode", "prod").not("kind", "orders")
}

fn package() -> Value {
    json!({
        "unit": "daily", "area": {"en": "Europe"}, "countries": ["DE"], "carrier": "simulator",
        "carrier_product": "X",
    })
}

fn plan() -> Value {
    json!({"package_code": PACKAGE, "name": {"en": "New"}, "periods": [1, 3]})
}

/// A partner with an order of a SIM that is terminated by now, and a job about it that can be
/// dropped.
async fn stock(mall: &TestMall, owner: &AdminClient, code: &str, mode: Mode) -> Stock {
    let partner = mall.add_partner(code, mode, |_| ()).await;
    let sim = mall.add_sim(&partner, "9002", "simulator", SimState::Ready).await;
    partner.client(mall).syn_order_info(&partner.paid_order(&sim, "N1")).await.unwrap();
    mall.settle().await;
    let orders = owner.get(&format!("/{mode}/orders?partner={code}")).await.done();
    let order_id = orders["items"][0]["order_id"].as_str().unwrap().to_owned();
    assert_eq!(orders["items"][0]["state"], "FAILED", "the carrier refuses it");
    // As after a crash between two versions: a job whose order has ended.
    let job = store::NewJob {
        claimed_at: None,
        mode,
        partner_id: partner.partner.id,
        kind: store::JobKind::CloseOrder,
        subject: order_id.clone(),
        trace: String::new(),
        run_at: mall.now() + Span::days(1),
    };
    let mut tx = mall.store().begin().await.unwrap();
    tx.insert_job(&job, mall.now()).await.unwrap();
    tx.commit().await.unwrap();
    let job_id = store::JobKind::CloseOrder.job_id(&order_id).to_string();
    let price_id = price_of(owner, mode.as_str(), code).await;
    Stock { partner, order_id, job_id, price_id }
}

async fn call(client: &AdminClient, route: &Route, path: &str, body: &Value) -> (u16, Value) {
    if let (Body::Raw(..), Some(text)) = (route.body, body.as_str()) {
        let answer = client.put_csv(path, text).await;
        return (answer.status, answer.body);
    }
    let body = Some(body).filter(|body| !body.is_null());
    let answer = client.call(route.method.as_str(), path, body).await;
    (answer.status, answer.body)
}

async fn every_route_with_every_role(engine: Engine) {
    let mut world = World::new(engine).await;
    let mut clients = Vec::new();
    for role in Role::ALL {
        clients.push((role, world.mall.admin(role).await));
    }
    let bad = world.mall.admin_with(Some(format!("smt_{}_{}", "0".repeat(32), "0".repeat(64))));
    let nobody = [world.mall.admin_with(None), bad];
    for route in ROUTES {
        let case = world.case(route.op).await;
        let path = case.path(route, None);
        for client in &nobody {
            for body in [&case.body, &json!({"x": 1})] {
                let (status, _) = call(client, route, &path, body).await;
                assert_eq!(status, 401, "{:?} {path}", route.op);
            }
        }
        for (role, client) in clients.iter().filter(|(role, _)| *role < route.role) {
            let (status, _) = call(client, route, &path, &case.body).await;
            assert_eq!(status, 403, "{:?} {path} {role:?}", route.op);
        }
        for absent in &case.elsewhere {
            let path = case.path(route, Some(absent));
            for (role, client) in &clients {
                let (status, body) = call(client, route, &path, &case.body).await;
                let right = if *role < route.role { 403 } else { 404 };
                assert_eq!(status, right, "{:?} {path} {role:?}: {body}", route.op);
            }
        }
        for (role, client) in clients.iter().filter(|(role, _)| *role >= route.role) {
            let case = world.case(route.op).await;
            let path = case.path(route, None);
            let (status, body) = call(client, route, &path, &case.body).await;
            assert!((200..300).contains(&status), "{:?} {path} {role:?}: {body}", route.op);
        }
    }
}
