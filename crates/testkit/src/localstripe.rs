//! localstripe, a double of Stripe that nobody here wrote, as the place where a test mall's money is taken.
//! `scripts/test-localstripe` starts it. It speaks older words than the mall and lacks a few things, so a bridge stands
//! between: it changes those words, answers for what is not there at all, and copies what a payment's charge took to the
//! payment. What is taken and given back, and who is told, is localstripe's. Touches loopback sockets.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use cashiers::stripe::Settings;
use domain::Mode;
use mall::Cashiers;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::mall::http_client;
use crate::stripe::{WEBHOOK_SECRET, test_cashiers};

const SECRET: &str = "sk_test_localstripe";

type Fields = Vec<(String, String)>;

/// localstripe, empty at first, with the bridge before it.
#[derive(Debug)]
pub struct Localstripe {
    direct: Direct,
    bridge: SocketAddr,
    serving: JoinHandle<()>,
}

impl Localstripe {
    /// Empties it. Whoever else uses it meanwhile loses what they have there.
    pub(crate) async fn start() -> Self {
        let url = std::env::var("LOCALSTRIPE_URL").unwrap_or_else(|_| {
            panic!(
                "LOCALSTRIPE_URL does not say where localstripe is: run scripts/test-localstripe"
            )
        });
        let direct = Direct { url, client: http_client() };
        let emptied = direct.client.delete(format!("{}/_config/data", direct.url)).send().await;
        assert!(emptied.unwrap().status().is_success());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let bridge = listener.local_addr().unwrap();
        let app = Router::new().fallback(cross).with_state(direct.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { direct, bridge, serving }
    }

    /// The account of the test mode's money.
    pub(crate) fn cashiers(&self) -> Cashiers {
        let settings = Settings::new(Mode::Test, SECRET, "pk_test_localstripe");
        let base_url = format!("http://{}", self.bridge);
        test_cashiers(&Settings { base_url, ..settings }, false)
    }

    /// Lets it tell a mall of its events from now on, and nobody else.
    pub async fn tell(&self, mall: &str) {
        let hook = json!({"url": format!("{mall}/stripe/webhook/test"), "secret": WEBHOOK_SECRET});
        let url = format!("{}/_config/webhooks/mall", self.direct.url);
        let told = self.direct.client.post(url).body(hook.to_string()).send().await.unwrap();
        assert!(told.status().is_success());
    }

    /// Lets it tell nobody.
    pub async fn tell_nobody(&self) {
        // It forgets no endpoint; this one never answers.
        self.tell("http://127.0.0.1:9").await;
    }

    /// A call of its own API, as an app or a person would make it; gives status and answer.
    pub async fn call(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let form: Fields = form.iter().map(own).collect();
        let (status, answer) = self.direct.ask(&Method::POST, path, &form).await;
        (status.as_u16(), answer)
    }

    /// An object of it.
    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.direct.ask(&Method::GET, path, &Vec::new()).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// A card that a customer has.
    pub async fn card(&self, customer: &str, card: &str) -> String {
        let path = format!("payment_methods/{card}/attach");
        let (status, card) = self.call(&path, &[("customer", customer)]).await;
        assert_eq!(status, 200, "{card}");
        card["id"].as_str().unwrap().to_owned()
    }

    /// Plays the end user, who pays with a card; gives the payment's status then.
    pub async fn pay(&self, intent: &str, card: &str) -> String {
        let path = format!("payment_intents/{intent}");
        let customer = self.get(&path).await["customer"].as_str().unwrap().to_owned();
        let card = self.card(&customer, card).await;
        assert_eq!(self.call(&path, &[("payment_method", &card)]).await.0, 200);
        self.call(&format!("{path}/confirm"), &[]).await;
        self.get(&path).await["status"].as_str().unwrap().to_owned()
    }
}

impl Drop for Localstripe {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The way past the bridge.
#[derive(Debug, Clone)]
struct Direct {
    url: String,
    client: reqwest::Client,
}

impl Direct {
    async fn ask(&self, method: &Method, path: &str, fields: &Fields) -> (StatusCode, Value) {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut url = format!("{}/v1/{path}", self.url);
        if *method == Method::GET {
            url = format!("{url}?{form}");
        }
        let mut request = self.client.request(method.clone(), url).bearer_auth(SECRET);
        if *method == Method::POST {
            let kind = "application/x-www-form-urlencoded";
            request = request.header("content-type", kind).body(form);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        // Its own faults are not JSON.
        let told = serde_json::from_str(&text);
        (status, told.unwrap_or_else(|_| json!({"error": {"message": text}})))
    }
}

/// A call of the mall's, in the words of localstripe.
async fn cross(State(direct): State<Direct>, method: Method, uri: Uri, body: Bytes) -> Response {
    let path = uri.path().trim_start_matches("/v1/");
    let asked =
        if method == Method::GET { uri.query().unwrap_or_default().as_bytes() } else { &body };
    let mut fields: Fields = form_urlencoded::parse(asked).into_owned().collect();
    let name = path.split('/').next().unwrap_or_default();
    let (status, mut answer) = match (&method, name) {
        // It has none. What opens saved cards to an app is used by apps alone, and nothing is ever disputed.
        (&Method::POST, "ephemeral_keys") => {
            (StatusCode::OK, json!({"id": "ephkey_1", "secret": "ek_test_localstripe"}))
        }
        (&Method::GET, "disputes") => (StatusCode::OK, json!({"data": [], "has_more": false})),
        // What it has under an older name.
        (&Method::POST, "prices") => {
            for (field, _) in &mut fields {
                *field = match field.as_str() {
                    "unit_amount" => "amount".to_owned(),
                    "recurring[interval]" => "interval".to_owned(),
                    "recurring[interval_count]" => "interval_count".to_owned(),
                    _ => continue,
                };
            }
            direct.ask(&method, "plans", &fields).await
        }
        (&Method::POST, "subscriptions") => subscribe(&direct, fields).await,
        (&Method::GET, "balance_transactions") => moved(&direct, fields).await,
        // Two settings that it always has as the mall wants them, and a reason that it does not keep.
        _ => {
            let kept = |(field, _): &(String, String)| {
                field != "automatic_payment_methods[enabled]" && field != "cancellation_reason"
            };
            fields.retain(kept);
            direct.ask(&method, path, &fields).await
        }
    };
    add_amounts(&mut answer);
    (status, answer.to_string()).into_response()
}

/// It does not say beside a payment what came of it, but with the payment's charge.
fn add_amounts(answer: &mut Value) {
    match answer {
        Value::Array(all) => all.iter_mut().for_each(add_amounts),
        Value::Object(fields) => {
            fields.values_mut().for_each(add_amounts);
            if fields.get("object").is_some_and(|kind| kind == "payment_intent") {
                let charge = &fields["latest_charge"];
                let came = charge["status"] == "succeeded" && charge["captured"] == true;
                let amount = if came { charge["amount"].clone() } else { json!(0) };
                fields.insert("amount_received".to_owned(), amount);
            }
        }
        _ => {}
    }
}

/// It takes the customer's own card alone, and plans in the place of prices.
async fn subscribe(direct: &Direct, mut fields: Fields) -> (StatusCode, Value) {
    let of = |name: &str| fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
    let (customer, card) = (of("customer"), of("default_payment_method"));
    let default = vec![("invoice_settings[default_payment_method]".to_owned(), card)];
    let path = format!("customers/{customer}");
    let (status, answer) = direct.ask(&Method::POST, &path, &default).await;
    if !status.is_success() {
        return (status, answer);
    }
    fields.retain(|(field, _)| field != "default_payment_method");
    for (field, _) in fields.iter_mut().filter(|(field, _)| field == "items[0][price]") {
        "items[0][plan]".clone_into(field);
    }
    direct.ask(&Method::POST, "subscriptions", &fields).await
}

/// It does not choose by time, so that is done here.
async fn moved(direct: &Direct, mut fields: Fields) -> (StatusCode, Value) {
    let time = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.parse::<i64>().unwrap())
    };
    let (from, before) = (time("created[gte]"), time("created[lt]"));
    fields.retain(|(field, _)| !field.starts_with("created["));
    let (status, mut answer) = direct.ask(&Method::GET, "balance_transactions", &fields).await;
    if let Some(list) = answer["data"].as_array_mut() {
        list.retain(|one| {
            let at = one["created"].as_i64().unwrap();
            from.is_none_or(|from| at >= from) && before.is_none_or(|before| at < before)
        });
    }
    (status, answer)
}
