//! Where partners are told of events, and what they were told.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use sdk::admin::Method;
use serde_json::Value;

use super::{Call, Paging, given, object};

#[derive(Debug, Subcommand)]
pub(super) enum PushCommand {
    /// List a partner's push endpoints.
    List {
        /// The partner's code.
        partner: String,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show a push endpoint: how it does, and what waits for it.
    Show(Named),
    /// Add a push endpoint; its key is shown only now.
    Add {
        /// The partner's code.
        partner: String,
        /// Where pushes go: https, in test mode also http.
        #[arg(value_name = "URL")]
        target: String,
        #[command(flatten)]
        told: Told,
    },
    /// Change, pause or resume a push endpoint; what is not given stays.
    Change {
        #[command(flatten)]
        named: Named,
        /// Where its pushes go from now on.
        #[arg(long, value_name = "URL")]
        target: Option<String>,
        #[command(flatten)]
        told: Told,
        /// Whether it is told all events, whichever it was told before.
        #[arg(long, conflicts_with = "events")]
        all_events: bool,
        /// Whether events go to it, or wait until they may.
        #[arg(long)]
        state: Option<StateWord>,
    },
    /// Send a sample, and tell what came of it.
    Test(Named),
    /// Make a new key, shown only now; the old one signs too for a while.
    Rotate {
        #[command(flatten)]
        named: Named,
        /// Hours for which the old key signs too, up to 168; 0: no longer.
        #[arg(long, default_value_t = 24)]
        overlap_hours: i64,
    },
    /// Delete a push endpoint with what waits for it and its log.
    Delete(Named),
    /// List what a push endpoint was told, the newest first.
    Log {
        #[command(flatten)]
        named: Named,
        /// Only what is in this state: waiting, delivered or failed.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show an event as a push endpoint was told it: its body and every try.
    Event {
        #[command(flatten)]
        named: Named,
        /// The event's id.
        event_id: String,
    },
    /// Send events again: they keep their ids, and go in their order.
    Resend(Resend),
}

/// An endpoint of a partner.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The partner's code.
    partner: String,
    /// The endpoint's id.
    endpoint: String,
}

/// What an endpoint is told.
#[derive(Debug, Args)]
pub(super) struct Told {
    /// What it is, for people to read.
    #[arg(long)]
    description: Option<String>,
    /// A type of events that it is told, such as recharge.success; repeat it for several.
    #[arg(long = "event", value_name = "TYPE")]
    events: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum StateWord {
    /// Its events go, at once where it was paused or off.
    On,
    /// Its events wait.
    Paused,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["event", "failed_since", "from"]))]
pub(super) struct Resend {
    #[command(flatten)]
    named: Named,
    /// Only this event, by its id.
    #[arg(long, value_name = "EVENT_ID")]
    event: Option<String>,
    /// All events recorded since this time that failed for good, such as 2027-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    failed_since: Option<String>,
    /// All events recorded from this time on, those that were delivered too.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// And recorded before this time; until now, if not given.
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Go on where an earlier answer ended: its `next_cursor`.
    #[arg(long)]
    cursor: Option<String>,
}

impl Named {
    fn call<const N: usize>(&self, method: Method, of: &str, more: [&str; N]) -> Call {
        let path = [of, "partners", &self.partner, "push-endpoints", &self.endpoint];
        let mut call = Call::new(method, path);
        call.path.extend(more.map(str::to_owned));
        call
    }
}

impl Told {
    fn members(self) -> [(&'static str, Option<Value>); 2] {
        let events = Some(self.events).filter(|events| !events.is_empty());
        [("description", given(self.description)), ("events", given(events))]
    }
}

impl PushCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::List { partner, paging } => {
                let columns =
                    &["endpoint_id", "kind", "url", "events", "state", "waiting", "failures"];
                Call::get([mode, "partners", &partner, "push-endpoints"]).list(columns, paging)
            }
            Self::Show(named) => named.call(Method::GET, mode, []),
            Self::Add { partner, target, told } => {
                let [description, events] = told.members();
                let body = object([("url", given(Some(target))), description, events]);
                let path = [mode, "partners", &partner, "push-endpoints"];
                Call::new(Method::POST, path).with(body)
            }
            Self::Change { named, target, told, all_events, state } => {
                let [description, (_, events)] = told.members();
                let events = events.or(all_events.then(|| Value::Array(Vec::new())));
                let state = state.map(|state| match state {
                    StateWord::On => "on",
                    StateWord::Paused => "paused",
                });
                let body = object([
                    ("url", given(target)),
                    description,
                    ("events", events),
                    ("state", given(state)),
                ]);
                named.call(Method::PATCH, mode, []).with(body)
            }
            Self::Test(named) => named.call(Method::POST, mode, ["test"]),
            Self::Rotate { named, overlap_hours } => {
                let body = object([("overlap_hours", given(Some(overlap_hours)))]);
                named.call(Method::POST, mode, ["rotate"]).with(body)
            }
            Self::Delete(named) => {
                named.call(Method::DELETE, mode, []).done("the push endpoint is deleted")
            }
            Self::Log { named, state, paging } => {
                named.call(Method::GET, mode, ["deliveries"]).only("state", state).pushes(paging)
            }
            Self::Event { named, event_id } => {
                let call = named.call(Method::GET, mode, ["deliveries"]);
                call.only("event_id", Some(event_id)).first()
            }
            Self::Resend(resend) => {
                let Resend { named, event, failed_since, from, to, cursor } = resend;
                let body = object([
                    ("event_id", given(event)),
                    ("failed_since", given(failed_since)),
                    ("from", given(from)),
                    ("to", given(to)),
                    ("cursor", given(cursor)),
                ]);
                named.call(Method::POST, mode, ["resend"]).with(body)
            }
        }
    }
}

/// What a list of deliveries shows of each.
pub(super) const COLUMNS: &[&str] =
    &["recorded_at", "event_type", "event_id", "state", "tries", "last", "took", "said"];

/// Puts each delivery's last try beside it, as people want to see it in a line.
pub(super) fn with_last_try(list: &mut Value) {
    let items = list.get_mut("items").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        let tried = item["attempts"][0].clone();
        if tried.is_null() {
            continue;
        }
        let status = &tried["status"];
        item["last"] = if status.is_null() { tried["failure"].clone() } else { status.clone() };
        item["took"] = format!("{} ms", tried["latency_ms"]).into();
        let said = tried["said"].as_str().unwrap_or_default();
        let line = said.lines().next().unwrap_or_default();
        item["said"] = line.chars().take(60).collect::<String>().into();
    }
}
