//! The clients: each order from its making to its plan.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use domain::Ctx;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, header};
use serde_json::Value;
use tokio::time::Instant;
use wire::sign::Scheme;

use super::double;
use super::watch::Watch;
use crate::data::{Database, PACKAGE, PARTNER, PLAN, iccid};
use crate::load::{self, Done};

pub(super) type Connection = SendRequest<Full<Bytes>>;

/// When nobody waits any more for a plan.
const GIVE_UP: Duration = Duration::from_mins(1);

/// How orders follow one another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// So many clients, each of which waits for its plan.
    Clients(u64),
    /// So many a second.
    Rate(u64),
}

/// Where the walk goes.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    pub(super) mall: String,
    pub(super) double: String,
    pub(super) database: Database,
    /// Tells runs on the same database apart.
    pub(super) run: u64,
}

/// How long the steps took.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) order: Done,
    pub(super) authorise: Done,
    /// The end user's payment, until the double's answer.
    pub(super) confirm: Done,
    /// From the sending of that payment until the plan was seen: more than from its success.
    pub(super) plan: Done,
    pub(super) whole: Done,
}

impl Walked {
    fn add(&mut self, other: Self) {
        self.order.add(other.order);
        self.authorise.add(other.authorise);
        self.confirm.add(other.confirm);
        self.plan.add(other.plan);
        self.whole.add(other.whole);
    }
}

/// A connection to each, kept for the next order.
type Connections = (Connection, Connection);

#[derive(Clone)]
struct Client {
    ctx: Ctx,
    walk: Rc<Walk>,
    watch: Watch,
    idle: Rc<RefCell<Vec<Connections>>>,
}

/// Lets all of them walk; gives how long that was, to the last plan.
pub(super) async fn all(
    ctx: Ctx,
    walk: Walk,
    (pace, time): (Pace, Duration),
) -> anyhow::Result<(Walked, Duration)> {
    let watch = Watch::default();
    let looking = tokio::task::spawn_local(watch.clone().look(walk.database.clone()));
    let client = Client { ctx, walk: Rc::new(walk), watch, idle: Rc::default() };
    let (began, mut tasks) = (Instant::now(), Vec::new());
    match pace {
        Pace::Clients(clients) => {
            for first in 0..clients {
                let client = client.clone();
                tasks.push(tokio::task::spawn_local(async move {
                    let mut walked = Walked::default();
                    let mut number = first;
                    while began.elapsed() < time {
                        client.take(number, Instant::now(), &mut walked).await;
                        number += clients;
                    }
                    walked
                }));
            }
        }
        Pace::Rate(rate) => {
            for number in 0..rate * time.as_secs() {
                let due = began + Duration::from_micros(number * 1_000_000 / rate);
                tokio::time::sleep_until(due).await;
                let client = client.clone();
                tasks.push(tokio::task::spawn_local(async move {
                    let mut walked = Walked::default();
                    client.take(number, due, &mut walked).await;
                    walked
                }));
            }
        }
    }
    let mut walked = Walked::default();
    for task in tasks {
        walked.add(task.await?);
    }
    let took = began.elapsed();
    ensure!(!looking.is_finished(), "the plans could not be looked for: {:?}", looking.await);
    looking.abort();
    Ok((walked, took))
}

impl Client {
    /// Takes one order all the way, and notes what went wrong.
    async fn take(&self, number: u64, due: Instant, walked: &mut Walked) {
        match self.order(number, walked).await {
            Ok(order_no) => {
                walked.whole.note(due);
                walked.whole.orders.push(order_no);
            }
            Err(error) => walked.whole.fail(&error),
        }
    }

    async fn order(&self, number: u64, walked: &mut Walked) -> anyhow::Result<String> {
        let idle = self.idle.borrow_mut().pop();
        let (mut mall, mut double) = match idle {
            Some(connections) => connections,
            None => {
                (load::connect(&self.walk.mall).await?, load::connect(&self.walk.double).await?)
            }
        };
        let order_no = format!("W{}N{number:014}", self.walk.run);
        let began = Instant::now();
        let content = self.order_content(number, &order_no);
        let made = self.ask("/vshop_uat/singleOrder", &content, &mut mall).await?;
        ensure!(made["payId"] == format!("P{order_no}"), "not the answer to this order: {made}");
        walked.order.note(began);
        let began = Instant::now();
        let content = self.auth_content(&order_no);
        let auth = self.ask("/payment_uat/stripeSingleAuth", &content, &mut mall).await?;
        let text = |name: &str| auth["data"][name].as_str().map(str::to_owned).context("no auth");
        let (intent, secret) = (text("paymentIntentId")?, text("clientSecret")?);
        walked.authorise.note(began);
        let planned = self.watch.plan_of(&order_no);
        let began = Instant::now();
        double::confirm(&self.walk.double, (&intent, &secret), &mut double).await?;
        walked.confirm.note(began);
        self.idle.borrow_mut().push((mall, double));
        let seen = tokio::time::timeout(GIVE_UP, planned).await;
        seen.with_context(|| format!("{order_no} was paid and has no plan"))??;
        walked.plan.note(began);
        Ok(order_no)
    }

    /// Makes a signed call.
    async fn ask(
        &self,
        path: &str,
        content: &str,
        connection: &mut Connection,
    ) -> anyhow::Result<Value> {
        let sign = wire::sign::sign(Scheme::HmacSha256, &self.walk.database.key, content);
        let open = content.strip_suffix('}').context("the content is an object")?;
        let request = Request::post(path)
            .header(header::HOST, &self.walk.mall)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(format!("{open},\"sign\":\"{sign}\"}}"))))?;
        Ok(serde_json::from_str(&load::send(request, connection).await?)?)
    }

    /// The signing content of an order: its parameters in the order of their names.
    fn order_content(&self, number: u64, order_no: &str) -> String {
        // Far apart, so that neighbours in time are no neighbours in the database.
        let number = (self.walk.run * 5_000_000 + number).wrapping_mul(7_919_147);
        let sim = iccid(number % self.walk.database.sims);
        let now = self.ctx.now().as_millis();
        format!(
            "{{\"autoRenewal\":\"0\",\"deviceCode\":\"{sim}\",\"orderNo\":\"{order_no}\",\
             \"orderPeriod\":\"1\",\"packageCode\":\"{PACKAGE}\",\"partnerCode\":\"{PARTNER}\",\
             \"payAmount\":\"10.00\",\"payCurrency\":\"EUR\",\"payId\":\"P{order_no}\",\
             \"requestOrderId\":\"\",\"servicePlanCode\":\"{PLAN}\",\"tradeTime\":\"{now}\",\
             \"tradeType\":\"singleOrder\",\"version\":\"3.0\"}}"
        )
    }

    fn auth_content(&self, order_no: &str) -> String {
        let now = self.ctx.now().as_millis();
        format!(
            "{{\"email\":\"\",\"partnerCode\":\"{PARTNER}\",\"payAmount\":\"10.00\",\
             \"payCurrency\":\"EUR\",\"payId\":\"P{order_no}\",\"tradeTime\":\"{now}\",\
             \"tradeType\":\"stripeSingleAuth\",\"version\":\"3.0\"}}"
        )
    }
}
