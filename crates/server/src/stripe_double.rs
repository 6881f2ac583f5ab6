//! `simmall stripe-double`: Stripe, played over HTTP, for tests, partners and the demo. What it answers is decided in
//! the crate `stripe_double`; here are its listener, its events on their way, and the file that lets it survive.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use domain::Ctx;
use serde_json::{Value, json};
use stripe_double::{Double, Request};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::say;
use crate::clock;
use crate::played::{self, Asked, Body, Play, Target, Told, post};
use crate::run::told_to_stop;
use crate::telemetry::LogFormat;

/// The pause between two looks at which events are due.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the delivery of an event may take.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);

/// What is played, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on, such as 127.0.0.1:8091; port 0 picks a free one. Its controls are open to
    /// whoever reaches it.
    #[arg(long, env = "SIMMALL_LISTEN", default_value = "127.0.0.1:8091", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where events are sent, as `http://HOST:PORT/stripe/webhook/test`; without it none are.
    #[arg(long, env = "SIMMALL_WEBHOOK_URL", value_name = "URL")]
    webhook_url: Option<Target>,
    /// The secret that signs events. Better given in the environment, since a command line can be seen by others.
    #[arg(
        long,
        env = "SIMMALL_WEBHOOK_SECRET",
        hide_env_values = true,
        default_value = "whsec_test"
    )]
    webhook_secret: String,
    /// File in which it keeps what was asked of it, so that it goes on there after its end.
    #[arg(long, env = "SIMMALL_STATE", value_name = "FILE")]
    state: Option<PathBuf>,
    /// Makes the ids repeatable.
    #[arg(long, env = "SIMMALL_SEED", default_value_t = 1)]
    seed: u64,
    /// What to log: error, warn, info, debug, trace, or a filter such as info,server=debug
    #[arg(long, env = "SIMMALL_LOG", default_value = "info")]
    pub(crate) log: String,
    /// How log lines look.
    #[arg(long, env = "SIMMALL_LOG_FORMAT", default_value = "pretty")]
    pub(crate) log_format: LogFormat,
}

/// Plays until told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let double = Arc::new(Double::new(args.seed, &args.webhook_secret));
    let ctx = clock::system_ctx();
    let file = args.state.as_deref().map(|file| kept(file, &double)).transpose()?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let told = told_to_stop()?;
    // Dropped with this function, both end.
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_kept(listener, Arc::clone(&double), ctx.clone(), file));
    if let Some(target) = args.webhook_url {
        tasks.spawn(send_events(double, target, ctx));
    }
    say(&format!("controls under http://{address}{}", stripe_double::CONTROL))?;
    say(&format!("listening on http://{address}"))?;
    tokio::select! {
        () = told => Ok(()),
        _ = tasks.join_next() => anyhow::bail!("the double ended by itself"),
    }
}

/// Lets the double do again what is kept in a file, and opens the file for more.
fn kept(file: &Path, double: &Double) -> anyhow::Result<File> {
    let named = || format!("--state {}", file.display());
    let kept = OpenOptions::new().create(true).read(true).append(true).open(file);
    let kept = kept.with_context(named)?;
    for line in BufReader::new(&kept).lines() {
        // The last line may be half: what it was about to do was not answered.
        let Ok(entry) = serde_json::from_str::<Value>(&line.with_context(named)?) else { break };
        let request = Request::from_json(&entry["request"]);
        if let (Some(at), Some(request)) = (entry["at"].as_i64(), request) {
            double.answer(at, &request);
        }
    }
    Ok(kept)
}

/// Plays Stripe to all who connect, for ever.
pub async fn serve(listener: TcpListener, double: Arc<Double>, ctx: Ctx) {
    serve_kept(listener, double, ctx, None).await;
}

async fn serve_kept(listener: TcpListener, double: Arc<Double>, ctx: Ctx, file: Option<File>) {
    let file = file.map(Mutex::new);
    played::serve(listener, Arc::new(Stripe { double, ctx, file })).await;
}

struct Stripe {
    double: Arc<Double>,
    ctx: Ctx,
    file: Option<Mutex<File>>,
}

impl Play for Stripe {
    async fn answer(&self, asked: Asked) -> Told {
        let Asked { method, path, query, headers, body } = asked;
        let request = Request { method, path, query, headers, body };
        let now = self.ctx.now().as_micros();
        if request.method != "GET"
            && let Some(file) = &self.file
            && let Err(error) = keep(file, &request, now)
        {
            tracing::error!(%error, "what was asked cannot be kept");
            return None;
        }
        let reply = self.double.answer(now, &request);
        tokio::time::sleep(Duration::from_millis(reply.delay_ms)).await;
        let answer = reply.answer?;
        Some((answer.status, answer.headers, Body::whole(answer.body)))
    }
}

/// Writes down what is about to be done, before it is.
fn keep(file: &Mutex<File>, request: &Request, at: i64) -> std::io::Result<()> {
    let line = format!("{}\n", json!({"at": at, "request": request.to_json()}));
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(line.as_bytes())?;
    file.sync_data()
}

/// Delivers events as they fall due, for ever.
pub async fn send_events(double: Arc<Double>, target: Target, ctx: Ctx) {
    loop {
        for delivery in double.due_events(ctx.now().as_micros()) {
            let headers = vec![
                ("content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
                ("stripe-signature".to_owned(), delivery.signature),
            ];
            let sent = post(&target, headers, delivery.body);
            let sent = tokio::time::timeout(SEND_TIME_MAX, sent).await;
            let taken = match sent.context("it took too long").flatten() {
                Ok(status) => (200..=299).contains(&status),
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "an event is not delivered");
                    false
                }
            };
            double.delivered(&delivery.event_id, taken, ctx.now().as_micros());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
