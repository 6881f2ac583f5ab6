//! `simmall stripe-double`: Stripe played over HTTP, for tests, partners and operators. What it answers is decided in
//! `stripe_double`; here are its listener, its file, and the delivery of its webhooks.

mod file;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::stripe_double::{Config, Delivery, Double, Reply, Request};
use anyhow::Context;
use domain::Ctx;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::cli::say;
use crate::clock;
use crate::run::told_to_stop;
use crate::simulator::webhooks::{Target, post};
use crate::telemetry::LogFormat;

use file::StateFile;

/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most connections at a time.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a connection may be silent, and how long the body of a request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(75);
/// The pause of a listener that cannot take connections.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause between two looks at which webhooks are due.
const WEBHOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long a webhook may take.
const WEBHOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// What is played, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on, such as 127.0.0.1:8091; port 0 picks a free one. Its controls are open to
    /// whoever reaches it.
    #[arg(long, env = "SIMMALL_LISTEN", default_value = "127.0.0.1:8091", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where webhooks are sent, as `http://HOST:PORT/PATH`; without it none are.
    #[arg(long, env = "SIMMALL_WEBHOOK_URL", value_name = "URL")]
    webhook_url: Option<String>,
    /// The secret that signs webhooks. Better given in the environment, since a command line can be
    /// seen by others.
    #[arg(
        long,
        env = "SIMMALL_WEBHOOK_SECRET",
        hide_env_values = true,
        default_value = "whsec_double"
    )]
    webhook_secret: String,
    /// File that keeps what was asked, so that the double comes back with the same objects; without it
    /// all is forgotten.
    #[arg(long, env = "SIMMALL_STATE", value_name = "FILE")]
    state: Option<PathBuf>,
    /// Makes ids repeatable: the same seed and the same requests make the same ids.
    #[arg(long, env = "SIMMALL_SEED", default_value_t = 1)]
    seed: u64,
    /// What to log: error, warn, info, debug, trace, or a filter such as info,server=debug
    #[arg(long, env = "SIMMALL_LOG", default_value = "info")]
    pub(crate) log: String,
    /// How log lines look.
    #[arg(long, env = "SIMMALL_LOG_FORMAT", default_value = "pretty")]
    pub(crate) log_format: LogFormat,
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped, as a fault wants it")
    }
}

impl std::error::Error for Dropped {}

/// A double with its clock and its file.
#[derive(Debug)]
pub struct StripeDouble {
    ctx: Ctx,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    double: Double,
    file: Option<StateFile>,
}

impl StripeDouble {
    /// A double, as it was when its file was last written, if one is given. Fails if the file cannot be read or
    /// written, or is none of a double.
    pub fn open(config: Config, ctx: Ctx, state: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut double = Double::new(config);
        let file = state.map(|path| {
            StateFile::open(&path, &mut double)
                .with_context(|| format!("--state {}", path.display()))
        });
        let inner = Mutex::new(Inner { double, file: file.transpose()? });
        Ok(Self { ctx, inner })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A request that panicked left its objects as whole as any other: each change is one step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request; what changes anything is on the disk before.
    fn answer(&self, request: &Request) -> anyhow::Result<Reply> {
        let mut inner = self.lock();
        let Inner { double, file } = &mut *inner;
        let now = self.ctx.now().as_micros();
        if let Some(file) = file.as_mut().filter(|_| double.must_keep(request)) {
            file.keep_request(now, request)?;
        }
        Ok(double.answer(now, request))
    }

    fn due_events(&self) -> Vec<Delivery> {
        let now = self.ctx.now().as_micros();
        self.lock().double.due_events(now)
    }

    fn delivered(&self, id: u64, is_taken: bool) -> anyhow::Result<()> {
        let mut inner = self.lock();
        let now = self.ctx.now().as_micros();
        if let Some(file) = &mut inner.file {
            file.keep_delivery(now, id, is_taken)?;
        }
        inner.double.delivered(now, id, is_taken);
        Ok(())
    }
}

/// Plays until told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let target = args.webhook_url.as_deref().map(str::parse::<Target>).transpose();
    target.map_err(|error| anyhow::anyhow!("--webhook-url: {error}"))?;
    let Args { webhook_secret, webhook_url, seed, .. } = args;
    let config = Config { secret_keys: Vec::new(), webhook_secret, webhook_url, seed };
    let double = StripeDouble::open(config, clock::system_ctx(), args.state)?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let told = told_to_stop()?;
    say(&format!("Stripe {} under http://{address}/v1", ::stripe_double::VERSION))?;
    say(&format!("journal and controls under http://{address}/_double"))?;
    say(&format!("listening on http://{address}"))?;
    serve(listener, Arc::new(double), told).await;
    Ok(())
}

/// Plays Stripe to all who connect, and delivers its webhooks, until `stop` ends.
pub async fn serve(
    listener: TcpListener,
    double: Arc<StripeDouble>,
    stop: impl Future<Output = ()>,
) {
    // Dropped with this function, all end.
    let mut deliveries = JoinSet::new();
    deliveries.spawn(deliver_all(Arc::clone(&double)));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, Arc::clone(&double)));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken; the next try is in a moment");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, double: Arc<StripeDouble>) {
    // An answer is written whole: waiting for more would only delay it. It goes without, too.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, Arc::clone(&double)));
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = conversation.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    double: Arc<StripeDouble>,
) -> Result<hyper::Response<Full<Bytes>>, Dropped> {
    // A caller that breaks off in the midst of its request did not ask.
    let request = read(request).await.map_err(|_| Dropped)?;
    let (method, path) = (request.method.clone(), request.path.clone());
    // The disk is waited for on a thread that may wait.
    let answered = tokio::task::spawn_blocking(move || double.answer(&request)).await;
    let reply = answered.map_err(anyhow::Error::from).flatten().map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "a request could not be kept or answered");
        Dropped
    })?;
    tokio::time::sleep(Duration::from_millis(reply.delay_ms)).await;
    let Some(answer) = reply.answer else {
        tracing::info!(method, path, "dropped");
        return Err(Dropped);
    };
    tracing::info!(method, path, status = answer.status, "answered");
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(answer.body.into())).map_err(|_| Dropped)
}

async fn read(request: hyper::Request<Incoming>) -> anyhow::Result<Request> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect();
    let body = tokio::time::timeout(REQUEST_TIME_MAX, body).await?;
    let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes().to_vec();
    let headers = head.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Ok(Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body,
    })
}

/// Delivers what becomes due, one after another, for ever.
async fn deliver_all(double: Arc<StripeDouble>) {
    loop {
        for delivery in double.due_events() {
            let id = delivery.id;
            let sent = tokio::time::timeout(WEBHOOK_TIME_MAX, deliver(delivery)).await;
            let status = sent.context("it took too long").flatten();
            match &status {
                Ok(status) => tracing::info!(status, "webhook delivered"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "webhook not delivered"),
            }
            let is_taken = status.is_ok_and(|status| (200..300).contains(&status));
            if let Err(error) = double.delivered(id, is_taken) {
                tracing::error!(error = format!("{error:#}"), "a delivery could not be kept");
            }
        }
        tokio::time::sleep(WEBHOOK_PAUSE).await;
    }
}

async fn deliver(delivery: Delivery) -> anyhow::Result<u16> {
    let target: Target = delivery.url.parse().map_err(anyhow::Error::msg)?;
    let headers = vec![
        ("content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
        ("stripe-signature".to_owned(), delivery.signature),
    ];
    post(&target, headers, delivery.body).await
}
