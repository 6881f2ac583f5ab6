//! The load: clients that sign requests of their own, check every answer and note how long it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use domain::Ctx;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::Instant;
use wire::sign::Scheme;

use crate::Kind;
use crate::data::{Database, PACKAGE, PARTNER, PLAN, iccid, old_order_no};

/// What one client, or all of them, did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How long each request took, in microseconds.
    pub(crate) micros: Vec<u32>,
    /// What went wrong, the first of it.
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// The numbers of the orders that were acknowledged.
    pub(crate) orders: Vec<String>,
}

impl Done {
    pub(crate) fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.orders.extend(other.orders);
    }

    pub(crate) fn note(&mut self, began: Instant) {
        self.micros.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn fail(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }
}

/// What the clients ask for.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) address: String,
    pub(crate) database: Database,
    pub(crate) clients: u64,
    pub(crate) run: u64,
    /// The operator's token, for searches.
    pub(crate) token: String,
}

/// Counts over all clients of a process, so that no number is used twice.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Lets all clients run for so long, in a thread of their own.
pub(crate) async fn run(ctx: &Ctx, load: Load, time: Duration) -> anyhow::Result<Done> {
    let ctx = ctx.clone();
    let work = move || -> anyhow::Result<Done> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, all_clients(ctx, load, time))
    };
    tokio::task::spawn_blocking(work).await?
}

async fn all_clients(ctx: Ctx, load: Load, time: Duration) -> anyhow::Result<Done> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for number in 0..load.clients {
        let (ctx, load, stop) = (ctx.clone(), load.clone(), Arc::clone(&stop));
        clients.push(tokio::task::spawn_local(client(ctx, load, number, stop)));
    }
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut done = Done::default();
    for client in clients {
        done.add(client.await?);
    }
    Ok(done)
}

async fn client(ctx: Ctx, load: Load, client: u64, stop: Arc<AtomicBool>) -> Done {
    let mut done = Done::default();
    let mut connection = match connect(&load.address).await {
        Ok(connection) => connection,
        Err(error) => {
            done.fail(&error);
            return done;
        }
    };
    let mut turn = client;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let call = match load.kind {
            Kind::Mixed if turn.is_multiple_of(4) => Kind::Orders,
            Kind::Mixed if turn.is_multiple_of(2) => Kind::Plans,
            Kind::Mixed => Kind::Verify,
            kind => kind,
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        match ask(&ctx, &load, call, number, &mut connection).await {
            Ok(order) => {
                done.note(began);
                done.orders.extend(order);
            }
            Err(error) => {
                done.fail(&error);
                match connect(&load.address).await {
                    Ok(fresh) => connection = fresh,
                    Err(_) => return done,
                }
            }
        }
    }
    done
}

/// A connection that stays.
pub(crate) async fn connect(address: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Makes one request with a fresh signature and checks the answer; gives the order's number if it made
/// one.
pub(crate) async fn ask(
    ctx: &Ctx,
    load: &Load,
    kind: Kind,
    number: u64,
    connection: &mut SendRequest<Full<Bytes>>,
) -> anyhow::Result<Option<String>> {
    // Far apart, so that neighbours in time are no neighbours in the database.
    let sim = iccid(number.wrapping_mul(7_919_147) % load.database.sims);
    let now = ctx.now().as_millis();
    let order_no = format!("B{}N{number:014}", load.run);
    if kind == Kind::Search {
        return search(load, number, &sim, connection).await.map(|()| None);
    }
    let (path, content) = match kind {
        Kind::Orders | Kind::Mixed | Kind::Search => {
            ("/vshop_uat/synPartner/SynOrderInfo", order_content(load.run, &sim, &order_no, now))
        }
        Kind::Plans => {
            ("/vshop_uat/singleServicePlanPage", read_content("singleServicePlanPage", &sim, now))
        }
        Kind::Verify => ("/vshop_uat/singleVerify", read_content("singleVerify", &sim, now)),
    };
    let sign = wire::sign::sign(Scheme::HmacSha256, &load.database.key, &content);
    let open = content.strip_suffix('}').context("the content is an object")?;
    let body = format!("{open},\"sign\":\"{sign}\"}}");
    let request = Request::post(path)
        .header(header::HOST, &load.address)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let text = &send(request, connection).await?;
    let answered = match kind {
        Kind::Orders | Kind::Mixed | Kind::Search => {
            text.contains(&order_no) && text.contains("\"orderStatus\"")
        }
        Kind::Plans => text.contains("\"total\":\"20\"") && text.contains(&sim),
        Kind::Verify => text.contains("\"cardStatus\"") && text.contains(&sim),
    };
    ensure!(answered, "not the answer to this request: {text}");
    Ok((kind == Kind::Orders).then_some(order_no))
}

/// Sends a request; gives the body of its answer, which must be a good one.
pub(crate) async fn send(
    request: Request<Full<Bytes>>,
    connection: &mut SendRequest<Full<Bytes>>,
) -> anyhow::Result<String> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let text = String::from_utf8(body.to_vec())?;
    ensure!(status == 200, "{status}: {text}");
    Ok(text)
}

/// Looks for orders as an operator does: the newest, a partner's, a SIM's, one by its number, those in a
/// rare state, and those of a plan that nobody bought.
async fn search(
    load: &Load,
    number: u64,
    sim: &str,
    connection: &mut SendRequest<Full<Bytes>>,
) -> anyhow::Result<()> {
    let order_no = old_order_no(number % load.database.orders.max(1));
    let (query, wanted) = match number % 6 {
        0 => (String::new(), "\"order_no\""),
        1 => (format!("partner={PARTNER}&limit=100"), "\"order_no\""),
        2 => (format!("iccid={sim}"), ""),
        3 => (format!("number={order_no}"), order_no.as_str()),
        4 => ("state=REVIEW".to_owned(), ""),
        _ => ("plan=PLAN-19".to_owned(), ""),
    };
    let request = Request::get(format!("{}/test/orders?{query}", wire::admin::PREFIX))
        .header(header::HOST, &load.address)
        .header(header::AUTHORIZATION, format!("Bearer {}", load.token))
        .body(Full::new(Bytes::new()))?;
    let text = send(request, connection).await?;
    ensure!(text.contains(wanted), "not the answer to {query}: {text}");
    Ok(())
}

/// The signing content of an order: its parameters in the order of their names.
fn order_content(run: u64, sim: &str, order_no: &str, now: i64) -> String {
    format!(
        "{{\"autoRenewal\":\"0\",\"deviceCode\":\"{sim}\",\"languageCode\":\"\",\"mark\":\"0\",\
         \"orderNo\":\"{order_no}\",\"orderPeriod\":\"1\",\"orgOrderId\":\"\",\
         \"packageCode\":\"{PACKAGE}\",\"partnerCode\":\"{PARTNER}\",\"payAccount\":\"1\",\
         \"payAmount\":\"10.00\",\"payCurrency\":\"EUR\",\"payId\":\"P{order_no}\",\
         \"payResultDate\":\"2026-06-07 15:10:35\",\"payRst\":\"SUCCESS\",\"payStatus\":\"1\",\
         \"payType\":\"3\",\"payUnit\":\"10.00\",\"requestOrderId\":\"\",\
         \"servicePlanCode\":\"{PLAN}\",\"servicePlanShowName\":\"Europe 10 GB 30 Days\",\
         \"settlePrice\":\"8.00\",\"terminal\":\"1\",\"tradeTime\":\"{now}\",\
         \"tradeType\":\"SynOrderInfo\",\"transactionId\":\"ch_{run}{order_no}\",\
         \"version\":\"3.0\"}}"
    )
}

fn read_content(call: &str, sim: &str, now: i64) -> String {
    format!(
        "{{\"deviceCode\":\"{sim}\",\"languageCode\":\"\",\"mark\":\"0\",\
         \"partnerCode\":\"{PARTNER}\",\"terminal\":\"1\",\"tradeTime\":\"{now}\",\
         \"tradeType\":\"{call}\",\"version\":\"3.0\"}}"
    )
}
