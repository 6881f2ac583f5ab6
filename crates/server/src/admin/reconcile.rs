//! `simmall admin reconcile`: a day's money, part by part, as a table, as JSON or as CSV.

use std::io::{IsTerminal, Write};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::{Call, Session, show};
use crate::cli::say;

/// The columns of a difference.
const COLUMNS: [&str; 9] = [
    "kind",
    "partner",
    "order_id",
    "state",
    "stripe_id",
    "at_stripe",
    "in_books",
    "currency",
    "what",
];
/// How many orders are looked at with one request.
const ORDERS_AT_ONCE: &str = "100";

#[derive(Debug, Args)]
pub(super) struct Reconcile {
    /// The day, in UTC, such as 2027-01-31. Of a day that is not over, what is under way may be listed.
    #[arg(long)]
    day: String,
    /// Print the differences as CSV.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    orders: i64,
    movements: Vec<Value>,
    differences: Vec<Value>,
}

impl Reconcile {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let mode = session.mode();
        let (mut found, mut cursor) = (Found::default(), None);
        loop {
            let call = Call::get([mode, "reconciliation"]).only("day", Some(&self.day));
            let call = call.only("limit", Some(ORDERS_AT_ONCE)).only("cursor", cursor);
            let mut part = session.ask(&call).await?;
            found.take(&mut part)?;
            cursor = part["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
            if std::io::stderr().is_terminal() {
                // Nothing can be done if standard error is closed.
                let _ = write!(std::io::stderr(), "\r{} ", found.told());
            }
        }
        if std::io::stderr().is_terminal() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        let count = found.differences.len();
        if self.csv {
            found.write_csv()?;
        } else if session.json {
            session.print(&json!({
                "day": self.day, "orders": found.orders, "movements": found.movements,
                "differences": found.differences,
            }))?;
        } else {
            found.show()?;
        }
        anyhow::ensure!(count == 0, "the sides differ in {count} places");
        Ok(())
    }
}

impl Found {
    /// Adds a part.
    fn take(&mut self, part: &mut Value) -> anyhow::Result<()> {
        self.orders += part["orders"].as_i64().context("an answer without its orders")?;
        if let Value::Array(differences) = part["differences"].take() {
            self.differences.extend(differences);
        }
        if let Value::Array(movements) = part["movements"].take() {
            movements.into_iter().try_for_each(|moved| self.add(moved))?;
        }
        Ok(())
    }

    /// Adds movements to those of their kind and currency.
    fn add(&mut self, moved: Value) -> anyhow::Result<()> {
        let same =
            |one: &&mut Value| one["kind"] == moved["kind"] && one["currency"] == moved["currency"];
        let Some(so_far) = self.movements.iter_mut().find(same) else {
            self.movements.push(moved);
            return Ok(());
        };
        let count = |one: &Value| one["count"].as_i64().unwrap_or_default();
        so_far["count"] = json!(count(so_far) + count(&moved));
        for field in ["amount", "fee"] {
            let (Some(one), Some(other)) = (so_far[field].as_str(), moved[field].as_str()) else {
                anyhow::bail!("an answer without its {field}");
            };
            so_far[field] = json!(sum(one, other)?);
        }
        Ok(())
    }

    fn told(&self) -> String {
        let moved: i64 = self.movements.iter().filter_map(|one| one["count"].as_i64()).sum();
        let differences = self.differences.len();
        format!("{moved} movements at Stripe, {} orders, {differences} differences", self.orders)
    }

    fn show(&self) -> anyhow::Result<()> {
        if !self.movements.is_empty() {
            say(&show::table(&self.movements, &["kind", "currency", "count", "amount", "fee"]))?;
            say("")?;
        }
        say(&self.told())?;
        if !self.differences.is_empty() {
            say("")?;
            say(&show::table(&self.differences, &COLUMNS))?;
        }
        Ok(())
    }

    fn write_csv(&self) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(std::io::stdout());
        csv.write_record(COLUMNS)?;
        for one in &self.differences {
            csv.write_record(COLUMNS.map(|column| show::text(&one[column])))?;
        }
        Ok(csv.flush()?)
    }
}

/// The sum of two amounts with the same number of decimals.
fn sum(one: &str, other: &str) -> anyhow::Result<String> {
    let digits = |text: &str| text.replace('.', "").parse::<i128>().context("not an amount");
    let decimals = one.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let total = digits(one)? + digits(other)?;
    let sign = if total < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", total.abs(), width = decimals + 1);
    let (whole, rest) = text.split_at(text.len() - decimals);
    let point = if rest.is_empty() { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_added_with_their_decimals() {
        for (one, other, total) in [
            ("10.00", "-0.59", "9.41"),
            ("-10.00", "0.05", "-9.95"),
            ("0.05", "-0.06", "-0.01"),
            ("100", "23", "123"),
            ("1.234", "0.766", "2.000"),
        ] {
            assert_eq!(sum(one, other).unwrap(), total);
        }
    }
}
