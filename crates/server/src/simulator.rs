//! `simmall simulator`: an upstream network that is played over HTTP, for tests, partners and operators.
//! What it answers is decided in `upstream`; here are its listener, its controls and its webhooks.

mod body;
mod control;
pub(crate) mod webhooks;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use upstream::{Answer, Credentials, Faults, Protocol, Reply, Request, Upstream};

use crate::cli::say;
use crate::clock;
use crate::run::told_to_stop;
use crate::telemetry::LogFormat;

use body::Body;
use webhooks::Target;

/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The most connections at a time.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a connection may be silent, and how long the body of a request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(75);
/// The pause of a listener that cannot take connections.
const PAUSE: Duration = Duration::from_millis(100);

/// What is played, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on, such as 127.0.0.1:8090; port 0 picks a free one. Its controls are open to
    /// whoever reaches it.
    #[arg(long, env = "SIMMALL_LISTEN", default_value = "127.0.0.1:8090", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// The protocol: cube-v4, esim-access or esim-go.
    #[arg(long, env = "SIMMALL_SPEAK", value_name = "PROTOCOL")]
    speak: Protocol,
    /// What goes wrong: none, calm, rough, all, or a JSON file.
    #[arg(long, env = "SIMMALL_FAULTS", default_value = "none", value_name = "PRESET|FILE")]
    faults: String,
    /// Makes a run repeatable: the same seed and the same requests fare alike.
    #[arg(long, env = "SIMMALL_SEED", default_value_t = 1)]
    seed: u64,
    /// Cube: the caller's public key as PEM; without it signatures are not checked.
    #[arg(long, env = "SIMMALL_PUBLIC_KEY_FILE", value_name = "FILE")]
    public_key_file: Option<PathBuf>,
    /// eSIM Access: the secret that signs requests. eSIM Go: the API key. Cube: the notification key.
    /// Better given in the environment, since a command line can be seen by others.
    #[arg(long, env = "SIMMALL_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Where webhooks are sent, as `http://HOST:PORT/PATH`; without it none are.
    #[arg(long, env = "SIMMALL_WEBHOOK_URL", value_name = "URL")]
    webhook_url: Option<Target>,
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

/// Plays until told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let faults = read_faults(&args.faults)?;
    let read_key = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let public_key_pem = args.public_key_file.as_ref().map(read_key).transpose()?;
    let credentials = Credentials { public_key_pem, secret: args.secret };
    let (protocol, ctx) = (args.speak, clock::system_ctx());
    let upstream = Upstream::with_credentials(protocol, faults, args.seed, ctx, credentials)
        .context("--public-key-file")?;
    let upstream = Arc::new(upstream);
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let told = told_to_stop()?;
    // Dropped with this function, both end.
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, Arc::clone(&upstream)));
    if let Some(target) = args.webhook_url {
        tasks.spawn(webhooks::send_all(upstream, target));
    }
    say(&format!("{} under http://{address}{}", protocol.word(), protocol.prefix()))?;
    say(&format!("journal and controls under http://{address}{}", control::PREFIX))?;
    say(&format!("listening on http://{address}"))?;
    tokio::select! {
        () = told => Ok(()),
        _ = tasks.join_next() => anyhow::bail!("the simulator ended by itself"),
    }
}

/// A preset by its name, or else a file.
fn read_faults(given: &str) -> anyhow::Result<Faults> {
    if let Some(preset) = Faults::preset(given) {
        return Ok(preset);
    }
    let presets = Faults::PRESETS.join(", ");
    let text = std::fs::read_to_string(Path::new(given));
    let text = text.with_context(|| format!("--faults {given}: neither {presets} nor a file"))?;
    Faults::parse(&text).with_context(|| format!("--faults {given}"))
}

/// Plays a network to all who connect, for ever.
pub async fn serve(listener: TcpListener, upstream: Arc<Upstream>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, Arc::clone(&upstream)));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken; the next try is in a moment");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, upstream: Arc<Upstream>) {
    // An answer is written whole: waiting for more would only delay it. It goes without, too.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, &upstream));
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
    upstream: &Upstream,
) -> Result<hyper::Response<Body>, Dropped> {
    // A caller that breaks off in the midst of its request did not ask.
    let request = read(request).await.map_err(|_| Dropped)?;
    let reply = match request.path.strip_prefix(control::PREFIX) {
        Some(call) => Reply::Answer(control::answer(call, &request, upstream)),
        None => upstream.handle(&request),
    };
    let (method, path) = (&request.method, &request.path);
    let (answer, body) = match reply {
        Reply::Drop => {
            tracing::info!(method, path, "dropped");
            return Err(Dropped);
        }
        Reply::Answer(mut answer) => {
            let body = Body::whole(std::mem::take(&mut answer.body));
            (answer, body)
        }
        Reply::Slow { mut answer, first_bytes, pause } => {
            let body = std::mem::take(&mut answer.body);
            (answer, Body::in_two(body, first_bytes, pause.to_std()))
        }
    };
    tracing::info!(method, path, status = answer.status, "answered");
    Ok(response(&answer, body))
}

fn response(answer: &Answer, body: Body) -> hyper::Response<Body> {
    let mut response = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response.body(body).expect("the simulator's own statuses and headers are valid")
}

async fn read(request: hyper::Request<Incoming>) -> io::Result<Request> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect();
    let body = tokio::time::timeout(REQUEST_TIME_MAX, body).await?;
    let body = body.map_err(io::Error::other)?.to_bytes().to_vec();
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
