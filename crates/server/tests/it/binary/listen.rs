//! `simmall listen`: a developer's program, without a public address, hears of an order.

use std::time::SystemTime;

use domain::Mode;
use sdk::push::Key;
use sdk::{Client, Credentials, NewOrder, PaidOrder, Prefix};
use testkit::{Engine, Received, Receiver, Reply, on_both_engines};

use super::install::Installation;
use super::process::{Process, Server, run, simmall};
use super::sleep::until;

on_both_engines!(
    what_is_forwarded_is_acknowledged_and_nothing_else,
    without_a_program_it_prints,
    what_stands_in_the_way_is_said,
);

const SIM: &str = "89852420180910341000";

/// A mall that runs, and the demo's partner that signs with HMAC.
struct Shop {
    installation: Installation,
    server: Server,
    client: Client,
}

impl Shop {
    async fn open(engine: Engine) -> Self {
        let installation = Installation::new(engine).await;
        let server = Server::start(&mut installation.serve([]));
        let credentials = Credentials::hmac("P012345", &installation.demo_key);
        let client = Client::new(&server.url, Prefix::Test, credentials).unwrap();
        Self { installation, server, client }
    }

    /// `simmall listen` for it.
    fn listen(&self, args: &[&str]) -> Process {
        let mut command = simmall(["listen", "--partner=P012345"]);
        command.arg(format!("--url={}", self.server.url)).args(args);
        Process::spawn(command.env("SIMMALL_PARTNER_KEY", &self.installation.demo_key))
    }

    /// The id of the listener, once it is there.
    async fn listener(&self) -> String {
        let mut found = None;
        until("somebody listens", async || {
            found = self.client.push_endpoints().await.unwrap().pop();
            found.is_some()
        })
        .await;
        found.unwrap().endpoint_id
    }

    /// Reports a paid order.
    async fn order(&self, number: &str) {
        let plans = self.client.single_service_plan_page(SIM, "", 1).await.unwrap();
        let plan = &plans.service_plan_list[0];
        let order = PaidOrder {
            order: NewOrder {
                iccid: SIM.to_owned(),
                order_no: number.to_owned(),
                pay_id: format!("P-{number}"),
                service_plan_code: plan.service_plan_code.clone(),
                package_code: plan.package_code.clone(),
                order_period: 1,
                pay_amount: plan.pay_unit.clone(),
                pay_currency: plan.pay_currency.clone(),
                ..NewOrder::default()
            },
            settle_price: plan.settle_price.clone(),
            pay_rst: "SUCCESS".to_owned(),
            pay_status: "1".to_owned(),
            ..PaidOrder::default()
        };
        self.client.syn_order_info(&order).await.unwrap();
    }

    /// How many events wait for the listener.
    async fn waiting(&self) -> i64 {
        self.client.push_endpoints().await.unwrap()[0].waiting
    }
}

/// The key that a listener said.
fn key(said: &str) -> Key {
    let line = said.lines().find_map(|line| line.strip_prefix("pushes are signed with ")).unwrap();
    let (id, rest) = line.split_once('=').unwrap();
    Key::parse(id, rest.split(' ').next().unwrap()).unwrap()
}

fn number(push: &Received, key: &Key) -> String {
    let headers = push.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    #[expect(clippy::disallowed_methods, reason = "the program under test has the real clock")]
    let now = SystemTime::now();
    let event = sdk::push::verify(headers, &push.body, std::slice::from_ref(key), now).unwrap();
    event.order().unwrap().purchase_order_id
}

async fn what_is_forwarded_is_acknowledged_and_nothing_else(engine: Engine) {
    let (shop, receiver) = (Shop::open(engine).await, Receiver::start().await);
    let mut process = shop.listen(&["--forward", &receiver.url("/hook")]);
    let id = shop.listener().await;
    shop.order("N1").await;
    let came = receiver.wait_for(1).await;
    let said = process.stdout();
    let key = key(&said);
    assert!(said.contains(&id) && said.contains("passing them on to http://127.0.0.1:"), "{said}");
    assert_eq!((came[0].path.as_str(), number(&came[0], &key).as_str()), ("/hook", "N1"));
    until("it is acknowledged", async || shop.waiting().await == 0).await;
    assert!(process.stdout().contains(" recharge.success evt_"), "{}", process.stdout());
    assert!(process.stdout().contains(" -> 200\n"), "{}", process.stdout());

    // A program that refuses is asked again, and the mall is told of nothing.
    receiver.answers(|_| Reply::Status(500));
    shop.order("N2").await;
    let came = receiver.wait_for(3).await;
    assert_eq!(shop.waiting().await, 1);
    assert_eq!(came[1].event_id(), came[2].event_id());
    receiver.answers(|_| Reply::Status(204));
    until("it is acknowledged at last", async || shop.waiting().await == 0).await;
    let log = shop.client.push_deliveries(&id, ("", "delivered"), "").await.unwrap();
    assert_eq!(log.deliveries.len(), 2);

    // Whoever stops it takes its listener along.
    process.signal("INT");
    let ended = process.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.ends_with("stopped; the listener is deleted\n"), "{}", ended.stdout);
    assert_eq!(shop.client.push_endpoints().await.unwrap(), []);
    shop.server.stop();
}

async fn without_a_program_it_prints(engine: Engine) {
    let shop = Shop::open(engine).await;
    let mut process = shop.listen(&["--events", "order.failed,recharge.success"]);
    let id = shop.listener().await;
    let wanted = shop.client.push_endpoints().await.unwrap().remove(0).events;
    assert_eq!(wanted, ["order.failed", "recharge.success"]);
    shop.order("N1").await;
    until("it is printed", async || process.stdout().contains("\"purchase_order_id\":\"N1\""))
        .await;
    until("it is acknowledged", async || shop.waiting().await == 0).await;

    // A listener that was deleted meanwhile is made anew.
    shop.client.delete_push_endpoint(&id).await.unwrap();
    until("it listens again", async || {
        let all = shop.client.push_endpoints().await.unwrap();
        all.first().is_some_and(|endpoint| endpoint.endpoint_id != id)
    })
    .await;
    shop.order("N2").await;
    until("it is printed", async || process.stdout().contains("\"purchase_order_id\":\"N2\""))
        .await;
    process.signal("TERM");
    assert_eq!(process.wait().code, Some(0));
    assert_eq!(shop.client.push_endpoints().await.unwrap(), []);
    shop.server.stop();
}

async fn what_stands_in_the_way_is_said(engine: Engine) {
    let shop = Shop::open(engine).await;
    let fails = |args: &[&str], key: Option<&str>| {
        let mut command = simmall(["listen", "--partner=P012345"]);
        command.arg(format!("--url={}", shop.server.url)).args(args);
        run(command.envs(key.map(|key| ("SIMMALL_PARTNER_KEY", key))), "").failure()
    };
    let key = shop.installation.demo_key.as_str();
    assert!(fails(&[], None).contains("SIMMALL_PARTNER_KEY"));
    assert!(fails(&["--key-file=/nowhere"], None).contains("/nowhere"));
    assert!(fails(&[], Some("another key")).contains("SIGN_MISMATCH"));
    assert!(fails(&["--forward=127.0.0.1:3000"], Some(key)).contains("http"));
    assert!(fails(&["--events=plan.ended"], Some(key)).contains("events"));
    assert!(fails(&["--mode", Mode::Live.as_str()], Some(key)).contains("SIGN_MISMATCH"));
    assert_eq!(shop.client.push_endpoints().await.unwrap(), []);
    shop.server.stop();
}
