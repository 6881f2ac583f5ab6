//! `simmall demo`: where its data are, and what it tells a newcomer.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ::stripe_double::Config;
use anyhow::Context;
use cashiers::stripe::Settings;
use domain::partner::Scheme;
use domain::{Ctx, Mode, Role};
use mall::Cashier;
use mall::admin::made_offline;
use mall::demo::Seeded;
use serde_json::{Map, Value, json};
use store::{Options, Sealer, Store};
use tokio::net::TcpListener;
use wire::Params;
use wire::content::signing_content;

use crate::cli::say;
use crate::run::{Running, Wiring};
use crate::sealing;
use crate::stripe_double::{self, StripeDouble};

/// Opens the demo's database and key, which are made if they are not there.
pub(crate) async fn open(ctx: &Ctx, data: &Path) -> anyhow::Result<(Store, Sealer)> {
    let named = || format!("the demo's directory {}", data.display());
    std::fs::create_dir_all(data).with_context(named)?;
    let data = data.canonicalize().with_context(named)?;
    let sealer = sealing::read_or_create(ctx, &data.join("sealing.key"))?;
    let url = format!("sqlite://{}", data.join("mall.db").display());
    let store = Store::connect(&url, Options { create: true, ..Options::default() }).await?;
    store.migrate().await?;
    store.check_schema().await?;
    Ok((store, sealer))
}

/// Signs the events of the Stripe that is played for the demo.
const WEBHOOK_SECRET: &str = "whsec_demo";

/// The file of the owner's token in the demo's directory.
const TOKEN_FILE: &str = "admin.token";

/// Makes an owner's token, unless there is a file with one; gives its text where it was made now.
pub(crate) async fn admin_token(wiring: &Wiring, data: &Path) -> anyhow::Result<Option<String>> {
    let file = data.join(TOKEN_FILE);
    if file.exists() {
        return Ok(None);
    }
    let (store, ctx, sealer) = (&wiring.store, &wiring.ctx, &wiring.sealer);
    let made = made_offline(store, ctx, sealer, ("demo owner", Role::Owner, None)).await?;
    sealing::write_secret(&file, &made.text.0)
        .with_context(|| format!("the token cannot be written to {}", file.display()))?;
    Ok(Some(made.text.0))
}

/// Stripe, played for the demo on a port of its own; what is done with it is kept in the demo's directory.
pub(crate) struct Stripe {
    listener: TcpListener,
    double: Arc<StripeDouble>,
}

/// Lets the money of test mode be taken by a Stripe that is played, unless there is an account for it.
pub(crate) async fn play_stripe(
    wiring: &mut Wiring,
    data: &Path,
) -> anyhow::Result<Option<Stripe>> {
    if wiring.cashiers.modes.contains_key(&Mode::Test) {
        return Ok(None);
    }
    let config = Config { webhook_secret: WEBHOOK_SECRET.to_owned(), seed: 1, ..Config::default() };
    let file = data.join("stripe-double.jsonl");
    let double = StripeDouble::open(config, wiring.ctx.clone(), Some(file))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let settings = Settings::new(Mode::Test, "sk_test_demo", "pk_test_demo");
    let stripe = cashiers::stripe::Stripe::new(&Settings { base_url, ..settings })?;
    let webhook_secrets = vec![WEBHOOK_SECRET.to_owned()];
    wiring
        .cashiers
        .modes
        .insert(Mode::Test, Arc::new(Cashier { stripe, webhook_secrets, played: true }));
    Ok(Some(Stripe { listener, double: Arc::new(double) }))
}

impl Stripe {
    /// Plays from now on, and tells a mall of what happens; gives its address.
    pub(crate) fn run(self, mall: SocketAddr) -> String {
        let Self { listener, double } = self;
        double.deliver_to(&format!("http://{mall}/stripe/webhook/test"));
        let address = listener.local_addr().map(|address| format!("http://{address}"));
        tokio::spawn(stripe_double::serve(listener, double, std::future::pending()));
        address.unwrap_or_default()
    }
}

/// Tells how to pay with play money.
pub(crate) fn welcome_payer(running: &Running, stripe: &str) -> anyhow::Result<()> {
    let base = format!("http://{}", running.address);
    let now = running.mall.ctx().now().as_millis().to_string();
    let (sim, number) = ("89852420180910340793", format!("DEMO{now}"));
    say("\n# Order a plan, and pay for it with a test card (Stripe is played; play money)")?;
    let mut order = common("P000270", sim, &now, "singleOrder");
    let fields = json!({
        "orderNo": number, "payId": number, "requestOrderId": "", "servicePlanShowName": "",
        "servicePlanCode": "SP202111041459", "packageCode": "DP20190726001274", "orderPeriod": "1",
        "payAmount": "12.36", "payCurrency": "GBP", "autoRenewal": "0",
    });
    if let (Value::Object(order), Value::Object(fields)) = (&mut order, fields) {
        order.extend(fields);
    }
    say(&curl(&base, "/vshop_uat/singleOrder", Scheme::Md5, "", order)?)?;
    let auth = json!({
        "version": "3.0", "partnerCode": "P000270", "tradeTime": now,
        "tradeType": "stripeSingleAuth", "payId": number, "payAmount": "12.36",
        "payCurrency": "GBP",
    });
    say(&curl(&base, "/payment_uat/stripeSingleAuth", Scheme::Md5, "", auth)?)?;
    say(&format!(
        "curl -s {stripe}/_double/pay/PAYMENT_INTENT_ID -d '{{\"card\": \"pm_card_visa\"}}'"
    ))?;
    let result = json!({
        "version": "3.0", "partnerCode": "P000270", "tradeTime": now, "tradeType": "resultQuery",
        "payId": number,
    });
    say(&curl(&base, "/payment_uat/resultQuery", Scheme::Md5, "", result)?)?;
    say("  other cards: pm_card_chargeDeclined, pm_card_refundFail, … (docs/STRIPE-DOUBLE.md)\n")
}

/// Tells how to get at the admin API.
pub(crate) fn welcome_operator(
    running: &Running,
    token: Option<&str>,
    data: &Path,
) -> anyhow::Result<()> {
    let Some(address) = running.admin_address else { return Ok(()) };
    let file = data.join(TOKEN_FILE);
    match token {
        Some(token) => say(&format!("Owner's token (shown only now): {token}"))?,
        None => say("Owner's token: shown at the first start only")?,
    }
    say(&format!("  it stands in {}; try:", file.display()))?;
    let url = format!("http://{address}{}/test/partners", wire::admin::PREFIX);
    say(&format!("  curl -s {url} -H \"Authorization: Bearer $(cat '{}')\"", file.display()))?;
    say("")
}

/// Tells a newcomer what there is and what to try.
pub(crate) fn welcome(running: &Running, seeded: &Seeded, data: &Path) -> anyhow::Result<()> {
    let base = format!("http://{}", running.address);
    say(&format!("A demo mall in {} (test mode; play money only).", data.display()))?;
    say(&format!("Read and try the API: {base}/docs/"))?;
    say("")?;
    say("Partners, each with 10,000.00 of credit:")?;
    say("  P000270  GBP  SIM 89852420180910340793  plan SP202111041459")?;
    say("  P000818  USD  SIM 89860220190905123941  plans SP201804280499, SP201804281999")?;
    say("  P012345  EUR  SIM 89852420180910341000  signs with hmac-sha256")?;
    match &seeded.key {
        Some(key) => say(&format!("           key (shown only now): {}", key.text))?,
        None => {
            say("           key: shown at the first start only (a new directory makes a new one)")?;
        }
    }
    say("SIMs that end in 9001 to 9005 show what a network can do: late, refused, put off,")?;
    say("reply lost, reply lost for good. Example: 89852000000000009002 of P000270.")?;
    say("")?;
    say("Try, in this order:")?;
    let now = running.mall.ctx().now().as_millis().to_string();
    for (title, path, body) in examples(&now) {
        say(&format!("\n# {title}"))?;
        say(&curl(&base, path, Scheme::Md5, "", body)?)?;
    }
    if let Some(key) = &seeded.key {
        say("\n# The card of P012345, signed with hmac-sha256 (valid for five minutes)")?;
        let body = common("P012345", "89852420180910341000", &now, "singleVerify");
        say(&curl(&base, "/vshop_uat/singleVerify", Scheme::HmacSha256, &key.text, body)?)?;
        say("\n# Its pushes as they happen, in another terminal")?;
        let listen = format!("simmall listen --partner P012345 --url {base}");
        say(&format!("SIMMALL_PARTNER_KEY={} {listen}", key.text))?;
    }
    say("")
}

fn common(partner: &str, iccid: &str, time: &str, name: &str) -> Value {
    json!({
        "version": "3.0", "partnerCode": partner, "tradeTime": time, "tradeType": name,
        "languageCode": "0", "mark": "0", "terminal": "1", "deviceCode": iccid,
    })
}

/// Title, path and body of each request to try. The published ones are kept to the letter.
fn examples(now: &str) -> [(&'static str, &'static str, Value); 5] {
    const SIM: &str = "89852420180910340793";
    [
        (
            "Is this card ours? (published request)",
            "/vshop_uat/singleVerify",
            json!({
                "deviceCode": SIM, "languageCode": "1", "mark": "0", "partnerCode": "P000270",
                "terminal": "1", "tradeTime": "1645683857572", "tradeType": "singleVerify",
                "url": "https://dist.linksfield.net/login", "version": "3.0",
            }),
        ),
        (
            "Which plans can it buy in Europe? (published request)",
            "/vshop_uat/singleServicePlanPage",
            json!({
                "area": "欧洲", "deviceCode": SIM, "languageCode": "1", "mark": "0",
                "partnerCode": "P000270", "terminal": "0", "tradeTime": "1645782486394",
                "tradeType": "singleServicePlanPage", "version": "3.0",
            }),
        ),
        (
            "Report an order that was paid (published request)",
            "/vshop_uat/synPartner/SynOrderInfo",
            json!({
                "autoRenewal": "0", "deviceCode": SIM, "languageCode": "", "mark": "0",
                "orderNo": "NO2023060915590562022", "orderPeriod": "1", "orgOrderId": "",
                "packageCode": "DP20190726001274", "partnerCode": "P000270", "payAccount": "1",
                "payAmount": "12.36", "payCurrency": "GBP", "payId": "P000000002022",
                "payResultDate": "2022-06-07 15:10:35", "payRst": "SUCCESS", "payStatus": "1",
                "payType": "3", "payUnit": "12.36", "requestOrderId": "",
                "servicePlanCode": "SP202111041459", "servicePlanShowName": "biaoqianweikong",
                "settlePrice": "12.36", "terminal": "1", "tradeTime": "1654585746965",
                "tradeType": "SynOrderInfo", "transactionId": "ch_3L7wXlLnVNBddzsl1phHDiSi",
                "version": "3.0",
            }),
        ),
        (
            "What runs on the card now? (a moment later)",
            "/vshop_uat/singleQueryOrder",
            common("P000270", SIM, now, "singleQueryOrder"),
        ),
        (
            "How did an old payment end? (published request, with its true sign)",
            "/payment_uat/resultQuery",
            json!({
                "partnerCode": "P000818", "payId": "20190321192436",
                "tradeTime": "20181031256548", "tradeType": "resultQuery", "version": "3.0",
            }),
        ),
    ]
}

/// A `curl` command for a signed request.
fn curl(base: &str, path: &str, scheme: Scheme, key: &str, body: Value) -> anyhow::Result<String> {
    let params = Params::read(None, body.to_string().as_bytes())?;
    let sign = wire::sign::sign(scheme, key, &signing_content(&params));
    let mut members: Map<String, Value> = match body {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    members.insert("sign".to_owned(), Value::String(sign));
    // No value of these requests has an apostrophe, which the shell would take for the end.
    let body = Value::Object(members);
    Ok(format!("curl -s {base}{path} -H 'Content-Type: application/json' -d '{body}'"))
}
