//! `simmall listen`: a partner's developer without a public address sees pushes as they happen, and has them passed on
//! to a program of theirs.
//!
//! It asks the mall by signed calls, like any partner. What was neither printed nor taken by the program behind `--forward`
//! is not acknowledged, and comes again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args as ClapArgs, ValueEnum};
use domain::Timestamp;
use sdk::push::{Event, Forwarder};
use sdk::push_endpoints::SignedEvent;
use sdk::{AddEndpoint, Client, Credentials, Error, Prefix};

use crate::cli::say;
use crate::run::told_to_stop;

/// The variable that holds the partner's key itself. There is no flag for it: others can see a command line.
pub(crate) const KEY_VARIABLE: &str = "SIMMALL_PARTNER_KEY";
/// How often it asks where nothing waits.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it waits at most where it fails again and again.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How many events it takes at once.
const TAKEN_MAX: u32 = 100;

/// For whom it listens, and what it does with what it hears.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The partner's code, whose key is in the variable `SIMMALL_PARTNER_KEY` or in --key-file.
    #[arg(long, env = "SIMMALL_PARTNER", value_name = "CODE")]
    partner: String,
    /// File that holds the partner's key; the variable `SIMMALL_PARTNER_KEY` may hold it instead.
    #[arg(long, env = "SIMMALL_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// URL to which pushes are passed on as the mall would send them, such as <http://127.0.0.1:3000/hook>.
    #[arg(long, env = "SIMMALL_FORWARD", value_name = "URL")]
    forward: Option<String>,
    /// Address of the mall's API for partners, such as <https://mall.example>.
    #[arg(long, env = "SIMMALL_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// Live or test: the mode whose events are heard.
    #[arg(long, env = "SIMMALL_MODE", default_value = "test")]
    mode: ModeWord,
    /// Types of events that are heard, such as recharge.success,order.failed; all, if not given.
    #[arg(long, env = "SIMMALL_EVENTS", value_delimiter = ',', value_name = "TYPE,…")]
    events: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeWord {
    Live,
    Test,
}

impl Args {
    fn client(&self) -> anyhow::Result<Client> {
        let key = match &self.key_file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the key file {}", file.display()))?,
            None => std::env::var(KEY_VARIABLE).unwrap_or_default(),
        };
        let key = key.trim();
        ensure!(
            !key.is_empty(),
            "no key of the partner: set {KEY_VARIABLE} or give --key-file FILE"
        );
        let prefix = match self.mode {
            ModeWord::Live => Prefix::Live,
            ModeWord::Test => Prefix::Test,
        };
        Ok(Client::new(&self.url, prefix, Credentials::hmac(&self.partner, key))?)
    }
}

/// Listens until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let client = args.client()?;
    let forwarder = args.forward.as_deref().map(Forwarder::new).transpose()?;
    let told = told_to_stop()?;
    tokio::pin!(told);
    let new = AddEndpoint {
        is_listener: true,
        url: String::new(),
        description: "simmall listen".to_owned(),
        events: args.events.clone(),
    };
    let mut ear = Ear { client, forwarder, new, id: String::new(), heard: Vec::new() };
    ear.open(&args).await?;
    let mut pause = PAUSE;
    loop {
        let round = tokio::select! {
            // What was heard until then is acknowledged below.
            biased;
            () = &mut told => break,
            round = ear.round() => round,
        };
        match round {
            Ok(Round { heard: 0, missed: 0 }) => pause = PAUSE,
            Ok(Round { missed: 0, .. }) => {
                // There may be more: what came behind it is free to go.
                pause = PAUSE;
                continue;
            }
            Ok(_) => pause = (pause * 2).min(PAUSE_MAX),
            Err(error) if error.code() == Some("ENDPOINT_UNKNOWN") => {
                complain("the mall has forgotten this listener, which was silent for too long");
                ear.open(&args).await?;
            }
            Err(error @ Error::Refused { status: 400, .. }) => return Err(error.into()),
            Err(error) => {
                complain(&format!("{error}; trying again"));
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        tokio::select! {
            () = &mut told => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    ear.close().await
}

fn complain(what: &str) {
    // Nothing can be done if standard error is closed.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("simmall: {what}\n"));
}

/// What came of asking once.
struct Round {
    heard: usize,
    missed: usize,
}

/// A listener at the mall.
struct Ear {
    client: Client,
    forwarder: Option<Forwarder>,
    new: AddEndpoint,
    id: String,
    /// What is to be acknowledged.
    heard: Vec<String>,
}

impl Ear {
    /// Makes the listener, and tells how to verify what comes.
    async fn open(&mut self, args: &Args) -> anyhow::Result<()> {
        let added = self.client.add_push_endpoint(&self.new).await;
        let added = added.with_context(|| format!("listening at {}", args.url))?;
        self.id = added.endpoint.endpoint_id;
        self.heard.clear();
        say(&format!("listening for {} at {} as {}", args.partner, args.url, self.id))?;
        let key = added.key;
        say(&format!("pushes are signed with {}={} ({})", key.key_id, key.hex, key.whsec))?;
        match &args.forward {
            Some(url) => say(&format!("passing them on to {url}; Ctrl-C ends it")),
            None => say("Ctrl-C ends it"),
        }
    }

    /// Acknowledges what was heard, takes what waits, and handles it.
    async fn round(&mut self) -> Result<Round, Error> {
        let taken = self.client.take_pushes(&self.id, &self.heard, TAKEN_MAX).await?;
        self.heard.clear();
        let mut missed = 0;
        for event in &taken.events {
            if self.handle(event).await {
                self.heard.push(event.event_id.clone());
            } else {
                missed += 1;
            }
        }
        Ok(Round { heard: self.heard.len(), missed })
    }

    /// Prints an event and passes it on; whether that is done.
    async fn handle(&self, event: &SignedEvent) -> bool {
        let read: Result<Event, _> = serde_json::from_str(&event.body);
        let (kind, at) = read.map_or_else(
            |_| ("?".to_owned(), String::new()),
            |event| (event.event_type, time(event.occurred_at)),
        );
        let (end, done) = match &self.forwarder {
            None => (String::new(), true),
            Some(forwarder) => match forwarder.forward(event).await {
                Ok(status) => (format!(" -> {status}"), (200..=299).contains(&status)),
                Err(error) => (format!(" -> {error}"), false),
            },
        };
        let line = format!("{at} {kind} {}{end}\n{}", event.event_id, event.body);
        say(&line).is_ok() && done
    }

    /// Acknowledges what was heard last, and deletes the listener.
    async fn close(self) -> anyhow::Result<()> {
        if !self.heard.is_empty() {
            self.client.take_pushes(&self.id, &self.heard, 0).await?;
        }
        self.client.delete_push_endpoint(&self.id).await?;
        say("stopped; the listener is deleted")
    }
}

fn time(millis: i64) -> String {
    Timestamp::from_millis(millis).map(Timestamp::rfc3339).unwrap_or_default()
}
