//! Auto-renewals: who agreed to what, and why one did not renew.

use clap::Subcommand;
use sdk::admin::Method;
use serde_json::Value;

use super::{Call, Paging, Session, given, object, show};
use crate::cli::say;

#[derive(Debug, Subcommand)]
pub(super) enum RenewalCommand {
    /// List auto-renewals, the newest first.
    List {
        /// Only of the partner with this code.
        #[arg(long)]
        partner: Option<String>,
        /// Only in this state: active, cancelled or replaced.
        #[arg(long)]
        state: Option<String>,
        /// Only those whose last period did not come, or was declined.
        #[arg(long)]
        failing: bool,
        /// Only of this SIM, or of an order with this orderNo, payId, requestOrderId or id.
        #[arg(long)]
        number: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show why it did not renew: the agreement, each period with its order and charge, misses, its end.
    Explain {
        /// Its id, its SIM, or the id, orderNo, payId or requestOrderId of any of its orders.
        number: String,
    },
    /// End an auto-renewal, as its partner would; the running period stays.
    Cancel {
        /// Its id, its SIM, or the id, orderNo, payId or requestOrderId of any of its orders.
        number: String,
        /// Why, for the audit log.
        #[arg(long)]
        reason: String,
    },
}

impl RenewalCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::List { partner, state, failing, number, paging } => {
                let columns = &[
                    "renewal_id",
                    "partner",
                    "order_no",
                    "iccid",
                    "paid_by",
                    "state",
                    "next_at",
                    "last_result",
                    "misses",
                ];
                let call = Call::get([mode, "renewals"]).only("partner", partner);
                let call = call.only("state", state).only("failing", failing.then_some(true));
                call.only("number", number).list(columns, paging)
            }
            Self::Explain { number } => {
                Call::get([mode, "renewals", &number, "timeline"]).of_renewal().renewal()
            }
            Self::Cancel { number, reason } => {
                let body = object([("reason", given(Some(reason)))]);
                let call = Call::new(Method::POST, [mode, "renewals", &number, "cancel"]);
                call.of_renewal().with(body)
            }
        }
    }
}

impl Session {
    /// Puts the auto-renewal's id where a number of its SIM or of one of its orders stands. Of several the one in force
    /// is meant.
    pub(super) async fn find_renewal(&self, call: &mut Call) -> anyhow::Result<()> {
        let [mode, _, number, ..] = call.path.as_mut_slice() else { return Ok(()) };
        if number.starts_with("rnw_") {
            return Ok(());
        }
        let found = Call::get([mode, "renewals"]).only("number", Some(&number));
        let found = self.ask(&found).await?;
        let items = found["items"].as_array().map_or(&[][..], Vec::as_slice);
        let active: Vec<&Value> = items.iter().filter(|item| item["state"] == "active").collect();
        let items: Vec<&Value> = items.iter().collect();
        match (items.as_slice(), active.as_slice()) {
            ([], _) => {
                let why = self.why_none(mode, number).await?;
                anyhow::bail!("no auto-renewal in {mode} mode has to do with {number}: {why}")
            }
            ([one], _) | (_, [one]) => *number = show::text(&one["renewal_id"]),
            (several, _) => {
                let ids: Vec<String> =
                    several.iter().map(|item| show::text(&item["renewal_id"])).collect();
                anyhow::bail!(
                    "several auto-renewals have to do with {number}, give the id of one: {}",
                    ids.join(", ")
                )
            }
        }
        Ok(())
    }

    /// Why nothing renews what has this number.
    async fn why_none(&self, mode: &str, number: &str) -> anyhow::Result<String> {
        let orders = Call::get([mode, "orders"]).only("number", Some(number));
        let found = self.ask(&orders).await?;
        Ok(match found["items"].as_array().and_then(|items| items.first()) {
            None => "no order has this number, and no SIM with it ever had one".to_owned(),
            Some(order) if order["auto_renewal"] != true => {
                "it was ordered with autoRenewal 0".to_owned()
            }
            Some(order) => {
                let state = show::text(&order["state"]);
                format!(
                    "an auto-renewal begins when the plan is on the SIM, and the order is {state}"
                )
            }
        })
    }
}

/// The timeline of an answer.
pub(super) fn print(answer: &Value) -> anyhow::Result<()> {
    say(&lines(answer).join("\n"))
}

fn lines(answer: &Value) -> Vec<String> {
    let renewal = &answer["renewal"];
    let field = |name: &str| show::text(&renewal[name]);
    let mut lines = vec![
        format!(
            "{}, {} of {} for {}: {}",
            field("renewal_id"),
            field("order_no"),
            field("partner"),
            field("iccid"),
            field("state")
        ),
        format!("why: {}", show::text(&answer["why"])),
    ];
    if let Some(known) = answer["subscription"].as_object() {
        let part = |(name, value): (&String, &Value)| {
            let value = show::text(value);
            (!value.is_empty()).then(|| format!("{name} {value}"))
        };
        let parts: Vec<String> = known.iter().filter_map(part).collect();
        lines.push(format!("at Stripe, as last known: {}", parts.join(", ")));
    }
    let entries = answer["entries"].as_array().map_or(&[][..], Vec::as_slice);
    let cells: Vec<[String; 3]> = entries
        .iter()
        .map(|entry| ["at", "kind", "what"].map(|name| show::text(&entry[name])))
        .collect();
    let width = |column: usize| {
        let chars = |row: &[String; 3]| row.get(column).map_or(0, |cell| cell.chars().count());
        cells.iter().map(chars).max().unwrap_or(0)
    };
    let (times, kinds) = (width(0), width(1));
    lines
        .extend(cells.iter().map(|[at, kind, what]| format!("{at:times$}  {kind:kinds$}  {what}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_answer_stands_first_and_then_what_happened() {
        let answer = json!({
            "renewal": {"renewal_id": "rnw_1", "order_no": "N1", "partner": "P1", "iccid": "8944", "state": "active"},
            "why": "1 period failed\u{1b}[31m",
            "subscription": {"status": "past_due", "decline_code": "", "ends": false},
            "entries": [
                {"at": "2026-11-22T08:00:00Z", "kind": "renewal", "what": "agreed"},
                {"at": "2026-11-22T08:00:01.5Z", "kind": "job", "what": "waits"},
            ],
        });
        let expected = [
            "rnw_1, N1 of P1 for 8944: active",
            "why: 1 period failed[31m",
            "at Stripe, as last known: ends no, status past_due",
            "2026-11-22T08:00:00Z    renewal  agreed",
            "2026-11-22T08:00:01.5Z  job      waits",
        ];
        let mut lines = lines(&answer);
        // Whether members keep their order is a matter of the whole build.
        lines[2] = lines[2].replace("status past_due, ends no", "ends no, status past_due");
        assert_eq!(lines, expected);
    }
}
