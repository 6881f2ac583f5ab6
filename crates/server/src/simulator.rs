//! `simmall simulator`: an upstream network that is played over HTTP, for tests, partners and operators.
//! What it answers is decided in `upstream`; here are its listener, its controls and its webhooks.

mod control;
mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use upstream::{Credentials, Faults, Protocol, Reply, Request, Upstream};

use crate::cli::say;
use crate::clock;
use crate::played::{self, Asked, Body, Play, Target, Told};
use crate::run::told_to_stop;
use crate::telemetry::LogFormat;

/// What is played, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on, such as 127.0.0.1:8090; port 0 picks a free one. Its controls are open to
    /// whoever reaches it.
    #[arg(long, env = "SIMMALL_LISTEN", default_value = "127.0.0.1:8090", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// The protocol: cube-v4, esim-access, esim-go, or plain, which is our own and has groups.
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
    /// eSIM Access: the secret that signs requests. eSIM Go and plain: the API key. Cube: the notification key.
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
    played::serve(listener, Arc::new(Network(upstream))).await;
}

struct Network(Arc<Upstream>);

impl Play for Network {
    async fn answer(self: Arc<Self>, asked: Asked) -> Told {
        let Asked { method, path, query, headers, body } = asked;
        let request = Request { method, path, query, headers, body };
        let reply = match request.path.strip_prefix(control::PREFIX) {
            Some(call) => Reply::Answer(control::answer(call, &request, &self.0)),
            None => self.0.handle(&request),
        };
        let (answer, body) = match reply {
            Reply::Drop => return None,
            Reply::Answer(mut answer) => {
                let body = Body::whole(std::mem::take(&mut answer.body));
                (answer, body)
            }
            Reply::Slow { mut answer, first_bytes, pause } => {
                let body = std::mem::take(&mut answer.body);
                (answer, Body::in_two(body, first_bytes, pause.to_std()))
            }
        };
        Some((answer.status, answer.headers, body))
    }
}
