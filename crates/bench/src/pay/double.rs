//! Stripe's double in a process of its own, and its floor: the calls of a payment without a mall.

use std::convert::Infallible;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::walk::Connection;
use crate::child::SERVE;
use crate::load::{self, Done};

/// Keys that protect nothing.
pub(super) const SECRET_KEY: &str = "sk_test_bench";
pub(super) const PUBLISHABLE_KEY: &str = "pk_test_bench";
pub(super) const WEBHOOK_SECRET: &str = "whsec_bench";

/// A double in a process of its own.
#[derive(Debug)]
pub(super) struct Double {
    process: Child,
    pub(super) address: String,
}

impl Double {
    /// Starts a double that keeps nothing on a disk, and tells of its events at a URL.
    pub(super) async fn start(port: u16, hook: &str) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([SERVE, "stripe-double", "--log", "warn", "--webhook-url", hook])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .env("SIMMALL_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("the double has an output")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = loop {
            let Some(line) = lines.next_line().await? else { bail!("the double did not start") };
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.to_owned();
            }
        };
        // Whatever it says later is read, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { process, address })
    }

    /// Ends it as an operator would.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.process.id().unwrap_or(0).to_string();
        Command::new("kill").args(["-TERM", &id]).status().await?;
        self.process.wait().await?;
        Ok(())
    }
}

/// A port that nobody listens on now.
pub(super) async fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

/// Takes webhooks and does nothing with them; gives its URL.
pub(super) async fn sink() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(taken)),
            );
        }
    });
    Ok(url)
}

async fn taken(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    // What is cut off is repeated by the double.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Empty::new()))
}

/// A number that no other call has.
fn next_key() -> u64 {
    static KEYS: AtomicU64 = AtomicU64::new(0);
    KEYS.fetch_add(1, Ordering::Relaxed)
}

/// Makes a call; gives its object.
async fn call(
    (address, key): (&str, &str),
    (method, path): (&str, &str),
    body: String,
    connection: &mut Connection,
) -> anyhow::Result<Value> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/{path}"))
        .header(header::HOST, address)
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("stripe-version", "2025-02-24.acacia");
    let request = match method {
        // As the mall does it: each with a key of its own, by which it could be repeated.
        "POST" => request.header("idempotency-key", format!("k{}", next_key())),
        _ => request,
    };
    let request = request.body(Full::new(Bytes::from(body)))?;
    Ok(serde_json::from_str(&load::send(request, connection).await?)?)
}

/// Pays an intent as the end user's program does.
pub(super) async fn confirm(
    address: &str,
    (intent, secret): (&str, &str),
    connection: &mut Connection,
) -> anyhow::Result<()> {
    let form = format!("client_secret={secret}&payment_method=pm_card_visa&use_stripe_sdk=true");
    let path = format!("payment_intents/{intent}/confirm");
    let paid = call((address, PUBLISHABLE_KEY), ("POST", &path), form, connection).await?;
    ensure!(paid["status"] == "succeeded", "the payment did not succeed: {paid}");
    Ok(())
}

/// So many clients pay for so long without a mall.
pub(super) async fn pay_alone(
    address: &str,
    clients: u32,
    time: Duration,
) -> anyhow::Result<(Done, Duration)> {
    let address = address.to_owned();
    let work = move || -> anyhow::Result<(Done, Duration)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async move {
            let (began, mut all) = (Instant::now(), JoinSet::new());
            for _ in 0..clients {
                all.spawn_local(pay_on(address.clone(), began + time));
            }
            let mut done = Done::default();
            while let Some(one) = all.join_next().await {
                done.add(one??);
            }
            Ok((done, began.elapsed()))
        })
    };
    tokio::task::spawn_blocking(work).await?
}

async fn pay_on(address: String, until: Instant) -> anyhow::Result<Done> {
    let mut connection = load::connect(&address).await?;
    let mut done = Done::default();
    while Instant::now() < until {
        let began = Instant::now();
        pay_once(&address, &mut connection).await?;
        done.note(began);
    }
    Ok(done)
}

/// The calls that an order makes: a SIM's customer, its payment, a key to its cards, the end user's payment, and
/// the look at it.
async fn pay_once(address: &str, connection: &mut Connection) -> anyhow::Result<()> {
    let whose = (address, SECRET_KEY);
    let text = |object: &Value, name: &str| object[name].as_str().map(str::to_owned);
    let form = "metadata[partner]=BENCH&metadata[mode]=test".to_owned();
    let customer = call(whose, ("POST", "customers"), form, connection).await?;
    let customer = text(&customer, "id").context("a customer has an id")?;
    let form = format!(
        "amount=1000&currency=eur&customer={customer}&metadata[partner]=BENCH&metadata[mode]=test\
         &automatic_payment_methods[enabled]=true"
    );
    let intent = call(whose, ("POST", "payment_intents"), form, connection).await?;
    let secret = text(&intent, "client_secret").context("an intent has a secret")?;
    let intent = text(&intent, "id").context("an intent has an id")?;
    let form = format!("customer={customer}");
    call(whose, ("POST", "ephemeral_keys"), form, connection).await?;
    confirm(address, (&intent, &secret), connection).await?;
    let path = format!("payment_intents/{intent}?expand[]=latest_charge.balance_transaction");
    let seen = call(whose, ("GET", &path), String::new(), connection).await?;
    ensure!(seen["status"] == "succeeded", "the payment is not seen: {seen}");
    Ok(())
}
