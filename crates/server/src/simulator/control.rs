//! The simulator's controls: what it really did, what time it is there, what goes wrong. No faults here, and
//! no credentials: they are for whoever runs it. Touches the played network only.

use std::collections::BTreeMap;

use domain::Span;
use serde_json::{Value, json};
use upstream::{Answer, Entry, Faults, Request, Upstream};

/// Where the controls begin.
pub(super) const PREFIX: &str = "/__simulator";
/// The most entries of a page of the journal.
const ENTRIES_PAGE_MAX: usize = 10_000;
/// The furthest that the clock is moved at once: ten years, in seconds.
const SECONDS_MAX: i64 = 315_360_000;

/// Answers a call of the controls.
pub(super) fn answer(call: &str, request: &Request, upstream: &Upstream) -> Answer {
    let answered = match (request.method.as_str(), call) {
        ("GET", "" | "/") => Ok(state(upstream)),
        ("GET", "/journal") => journal(request, upstream),
        ("GET", "/counts") => Ok(counts(upstream)),
        ("GET", "/groups") => Ok(json!(upstream.members())),
        ("GET", "/faults") => Ok(upstream.faults().to_json()),
        ("POST", "/faults") => set_faults(request, upstream),
        ("POST", "/advance") => advance(request, upstream),
        _ => return Answer::json(404, &json!({"message": "no such control"})),
    };
    match answered {
        Ok(body) => Answer::json(200, &body),
        Err(message) => Answer::json(400, &json!({ "message": message })),
    }
}

fn state(upstream: &Upstream) -> Value {
    json!({
        "now": upstream.now().rfc3339(),
        "controls": [
            "GET journal?from=N", "GET counts", "GET groups", "GET faults", "POST faults", "POST advance?seconds=N",
        ],
    })
}

/// A parameter of the query as a number.
fn number(request: &Request, name: &str) -> Result<Option<u64>, String> {
    let given = request.parameters().into_iter().find(|(given, _)| given == name);
    let Some((_, value)) = given else { return Ok(None) };
    value.parse().map(Some).map_err(|_| format!("{name} is a whole number, not {value:?}"))
}

fn journal(request: &Request, upstream: &Upstream) -> Result<Value, String> {
    let from = number(request, "from")?.unwrap_or(0);
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let (entries, total) = upstream.journal_page(from, ENTRIES_PAGE_MAX);
    let next = from.saturating_add(entries.len());
    let entries: Vec<Value> = entries.iter().map(Entry::to_json).collect();
    let next = (next < total).then_some(next);
    Ok(json!({"entries": entries, "total": total, "next": next}))
}

fn counts(upstream: &Upstream) -> Value {
    let counts = upstream.counts().into_iter();
    json!(counts.map(|(name, count)| (name, count.to_json())).collect::<BTreeMap<_, _>>())
}

/// Takes a preset's name, or faults as JSON.
fn set_faults(request: &Request, upstream: &Upstream) -> Result<Value, String> {
    let text = String::from_utf8_lossy(&request.body);
    let faults = match Faults::preset(text.trim()) {
        Some(preset) => preset,
        None => Faults::parse(&text).map_err(|error| error.to_string())?,
    };
    upstream.set_faults(faults);
    Ok(upstream.faults().to_json())
}

fn advance(request: &Request, upstream: &Upstream) -> Result<Value, String> {
    let seconds = number(request, "seconds")?.and_then(|seconds| i64::try_from(seconds).ok());
    let seconds = seconds.filter(|seconds| *seconds <= SECONDS_MAX);
    let seconds = seconds.ok_or_else(|| format!("seconds is from 0 to {SECONDS_MAX}"))?;
    upstream.advance(Span::seconds(seconds));
    Ok(json!({"now": upstream.now().rfc3339()}))
}
