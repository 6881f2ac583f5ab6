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
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::cli::say;
use crate::clock;
use crate::played::{self, Asked, Body, Play, Target, Told, post};
use crate::run::told_to_stop;
use crate::telemetry::LogFormat;

use file::StateFile;

/// The pause between two looks at which webhooks are due, where no request makes one due.
const WEBHOOK_PAUSE: Duration = Duration::from_millis(100);
/// How many webhooks are on their way at a time. Like Stripe's, they may overtake each other.
const WEBHOOKS_MAX: usize = 16;
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

/// A double with its clock and its file.
#[derive(Debug)]
pub struct StripeDouble {
    ctx: Ctx,
    inner: Mutex<Inner>,
    /// Rings when a webhook may have become due.
    bell: Notify,
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
        Ok(Self { ctx, inner, bell: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A request that panicked left its objects as whole as any other: each change is one step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request; what changes anything is on the disk before.
    fn reply(&self, request: &Request) -> anyhow::Result<Reply> {
        let mut inner = self.lock();
        let Inner { double, file } = &mut *inner;
        let now = self.ctx.now().as_micros();
        let changes = double.must_keep(request);
        if let Some(file) = file.as_mut().filter(|_| changes) {
            file.keep_request(now, request)?;
        }
        let reply = double.answer(now, request);
        if changes {
            self.bell.notify_one();
        }
        Ok(reply)
    }

    /// Where webhooks go from now on.
    pub fn deliver_to(&self, url: &str) {
        self.lock().double.deliver_to(url);
    }

    /// How many webhooks are due or on their way.
    pub fn waiting(&self) -> usize {
        let now = self.ctx.now().as_micros();
        self.lock().double.waiting(now)
    }

    /// All that happened to money, in its order.
    pub fn effects(&self) -> Vec<serde_json::Value> {
        self.lock().double.effects().to_vec()
    }

    fn due_events(&self, many: usize) -> Vec<Delivery> {
        let now = self.ctx.now().as_micros();
        self.lock().double.due_events(now, many)
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
    tokio::select! {
        () = stop => {}
        () = played::serve(listener, Arc::clone(&double)) => {}
        () = deliver_all(double) => {}
    }
}

impl Play for StripeDouble {
    async fn answer(self: Arc<Self>, asked: Asked) -> Told {
        let Asked { method, path, query, headers, body } = asked;
        let request = Request { method, path, query, headers, body };
        // The disk is waited for on a thread that may wait.
        let answered = tokio::task::spawn_blocking(move || self.reply(&request)).await;
        let reply = answered.map_err(anyhow::Error::from).flatten().inspect_err(|error| {
            tracing::error!(
                error = format!("{error:#}"),
                "a request could not be kept or answered"
            );
        });
        let reply = reply.ok()?;
        tokio::time::sleep(Duration::from_millis(reply.delay_ms)).await;
        let answer = reply.answer?;
        Some((answer.status, answer.headers, Body::whole(answer.body)))
    }
}

/// Delivers what becomes due, some at a time, for ever.
async fn deliver_all(double: Arc<StripeDouble>) {
    let mut underway = JoinSet::new();
    loop {
        for delivery in double.due_events(WEBHOOKS_MAX.saturating_sub(underway.len())) {
            underway.spawn(deliver_one(Arc::clone(&double), delivery));
        }
        tokio::select! {
            Some(_) = underway.join_next() => {}
            () = double.bell.notified(), if underway.len() < WEBHOOKS_MAX => {}
            () = tokio::time::sleep(WEBHOOK_PAUSE) => {}
        }
    }
}

async fn deliver_one(double: Arc<StripeDouble>, delivery: Delivery) {
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

async fn deliver(delivery: Delivery) -> anyhow::Result<u16> {
    let target: Target = delivery.url.parse().map_err(anyhow::Error::msg)?;
    let headers = vec![
        ("content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
        ("stripe-signature".to_owned(), delivery.signature),
    ];
    post(&target, headers, delivery.body).await
}
