//! An order's timeline for people: how it stands and why, then a line for each thing that happened.

use domain::{Span, Timestamp};
use serde_json::Value;

use super::show;
use crate::cli::say;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The timeline of an answer.
pub(super) fn print(answer: &Value) -> anyhow::Result<()> {
    say(&lines(answer).join("\n"))
}

fn lines(answer: &Value) -> Vec<String> {
    let entries = answer["entries"].as_array().map_or(&[][..], Vec::as_slice);
    let mut lines = vec![head(&answer["order"])];
    // Not from the first entry: a partner may have been paid long before it told.
    let Some(made) = time(&answer["order"]["created_at"]) else { return lines };
    lines.push(format!("made {}", made.rfc3339()));
    let cells: Vec<[String; 3]> = entries
        .iter()
        .map(|entry| {
            let offset = time(&entry["at"]).map(|at| offset(at.since(made))).unwrap_or_default();
            [offset, show::text(&entry["kind"]), show::text(&entry["what"])]
        })
        .collect();
    let width = |column: usize| {
        let chars = |row: &[String; 3]| row.get(column).map_or(0, |cell| cell.chars().count());
        cells.iter().map(chars).max().unwrap_or(0)
    };
    let (offsets, kinds) = (width(0), width(1));
    lines.extend(
        cells
            .iter()
            .map(|[offset, kind, what]| format!("{offset:>offsets$}  {kind:kinds$}  {what}")),
    );
    lines
}

/// How the order stands, and why.
fn head(order: &Value) -> String {
    let field = |name: &str| show::text(&order[name]);
    let stands = format!(
        "{}, {} of {}: {}",
        field("order_id"),
        field("order_no"),
        field("partner"),
        field("state")
    );
    match (field("failure_code"), field("failure_message")) {
        (code, _) if code.is_empty() => stands,
        (code, message) => format!("{stands}, {code}: {message}"),
    }
}

fn time(text: &Value) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text.as_str()?).ok()
}

/// How long after the order was made, or before, in the units in which one thinks of such a time.
fn offset(span: Span) -> String {
    let micros = span.as_micros();
    let sign = if micros < 0 { '-' } else { '+' };
    format!("{sign}{}", length(micros.saturating_abs()))
}

fn length(micros: i64) -> String {
    match micros {
        micros if micros < SECOND => format!("{}.{:03} ms", micros / 1_000, micros % 1_000),
        micros if micros < MINUTE => {
            format!("{}.{:03} s", micros / SECOND, micros % SECOND / 1_000)
        }
        micros if micros < HOUR => {
            format!("{} min {:02} s", micros / MINUTE, micros % MINUTE / SECOND)
        }
        micros if micros < DAY => format!("{} h {:02} min", micros / HOUR, micros % HOUR / MINUTE),
        micros => format!("{} d {:02} h", micros / DAY, micros % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn offsets_are_in_units_that_fit() {
        for (micros, told) in [
            (0, "+0.000 ms"),
            (-28_100, "-28.100 ms"),
            (-2 * DAY, "-2 d 00 h"),
            (12_345, "+12.345 ms"),
            (SECOND, "+1.000 s"),
            (61 * SECOND, "+1 min 01 s"),
            (HOUR + 5 * MINUTE, "+1 h 05 min"),
            (30 * DAY + 2 * HOUR, "+30 d 02 h"),
        ] {
            assert_eq!(offset(Span::micros(micros)), told);
        }
    }

    #[test]
    fn the_reason_stands_first_and_nothing_acts_on_the_terminal() {
        let answer = json!({
            "order": {"created_at": "2026-11-22T08:00:00Z", "order_id": "ord_1", "order_no": "N1", "partner": "P1", "state": "REVIEW",
                "failure_code": "CARRIER_UNCLEAR", "failure_message": "lost"},
            "entries": [
                {"at": "2026-11-22T07:00:00Z", "kind": "payment", "what": "paid"},
                {"at": "2026-11-22T08:00:00Z", "kind": "order", "what": "made\u{1b}[31m"},
                {"at": "2026-11-22T08:00:01.5Z", "kind": "attempt", "what": "sent"},
            ],
        });
        let expected = [
            "ord_1, N1 of P1: REVIEW, CARRIER_UNCLEAR: lost",
            "made 2026-11-22T08:00:00Z",
            "-1 h 00 min  payment  paid",
            "  +0.000 ms  order    made[31m",
            "   +1.500 s  attempt  sent",
        ];
        assert_eq!(lines(&answer), expected);
    }
}
