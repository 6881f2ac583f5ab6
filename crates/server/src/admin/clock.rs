//! `simmall admin clock`: a mode's business time, shown and moved on.

use std::io::{IsTerminal, Write};

use anyhow::Context;
use clap::Subcommand;
use domain::{Span, Timestamp};
use sdk::admin::Method;
use serde_json::{Value, json};

use super::{Call, Session, show};

#[derive(Debug, Subcommand)]
pub(super) enum ClockCommand {
    /// Show a mode's business time.
    Show,
    /// Move the test mode's business time on: what falls due until then happens, in its order.
    Advance {
        /// How far, such as 30d, 12h, 45m or 90s.
        #[arg(value_parser = span)]
        by: Span,
    },
}

/// A span as people write it.
fn span(text: &str) -> Result<Span, String> {
    let wrong = || format!("{text:?} is not a span such as 30d, 12h, 45m or 90s");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let all = number.checked_mul(seconds).filter(|all| (1..=315_360_000).contains(all));
    all.map(Span::seconds).ok_or_else(|| format!("{text:?} is not between 1s and 3650d"))
}

impl ClockCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let mode = session.mode();
        let clock = session.ask(&Call::get([mode, "clock"])).await?;
        let answer = match self {
            Self::Show => clock,
            Self::Advance { by } => {
                let now = clock["now"].as_str().context("a clock without its time")?;
                let to = (Timestamp::parse_rfc3339(now)? + by).rfc3339();
                Self::advance(session, mode, &to).await?
            }
        };
        if session.json { session.print(&answer) } else { show::record(&answer) }
    }

    /// Asks again until the clock is there: each time it goes on for a few seconds.
    async fn advance(session: &Session, mode: &str, to: &str) -> anyhow::Result<Value> {
        let is_seen = std::io::stderr().is_terminal();
        loop {
            let call = Call::new(Method::POST, [mode, "clock"]).with(json!({ "to": to }));
            let clock = session.ask(&call).await?;
            let now = clock["now"].as_str().context("a clock without its time")?;
            if clock["is_there"] == true {
                if is_seen {
                    // Nothing can be done if standard error is closed.
                    let _ = write!(std::io::stderr(), "\r\x1b[K");
                }
                return Ok(clock);
            }
            if is_seen {
                let _ = write!(std::io::stderr(), "\r{now}, on the way to {to}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        assert_eq!(span("30d"), Ok(Span::days(30)));
        assert_eq!(span("90s"), Ok(Span::seconds(90)));
        for bad in ["", "d", "30", "-1d", "0s", "1.5d", "4000d", "9999999999999999999d", "3ü"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
