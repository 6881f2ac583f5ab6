//! What goes wrong on demand: the next calls of a kind are lost, put off or refused. Touches nothing.

use serde_json::{Value, json};

/// The longest delay.
const DELAY_MS_MAX: u64 = 600_000;
/// The most faults at a time.
const FAULTS_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection closes; nothing was done.
    DropBefore,
    /// The connection closes; all was done.
    DropAfter,
    Delay(u64),
    /// Another answer, and whether all was done.
    Status(u16, bool),
    /// Payments that are confirmed are processing for so many seconds.
    LateSuccess(i64),
    /// What a charge cost is told so many seconds later.
    LateFee(i64),
}

#[derive(Debug, Clone)]
struct Planned {
    times: u64,
    method: Option<String>,
    path: String,
    fault: Fault,
    given: Value,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Vec<Planned>,
}

/// Whether a path fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((head, rest)) => path.strip_prefix(head).is_some_and(|left| {
            left.char_indices().any(|(at, _)| fits(rest, &left[at..])) || fits(rest, "")
        }),
    }
}

fn read(given: &Value) -> Result<Planned, String> {
    let number = |name: &str| given[name].as_u64();
    let fault = match given["kind"].as_str().unwrap_or_default() {
        "drop_before" => Fault::DropBefore,
        "drop_after" => Fault::DropAfter,
        "delay" => Fault::Delay(number("delay_ms").ok_or("delay_ms is missing")?.min(DELAY_MS_MAX)),
        "status" => {
            let status = number("status").and_then(|status| u16::try_from(status).ok());
            let status = status.filter(|status| (400..600).contains(status));
            let effect = given["effect"].as_bool().unwrap_or(false);
            Fault::Status(status.ok_or("status is from 400 to 599")?, effect)
        }
        "late_success" => {
            let seconds = number("delay_seconds").ok_or("delay_seconds is missing")?;
            Fault::LateSuccess(i64::try_from(seconds).unwrap_or(i64::MAX))
        }
        "late_fee" => {
            let seconds = number("delay_seconds").ok_or("delay_seconds is missing")?;
            Fault::LateFee(i64::try_from(seconds).unwrap_or(i64::MAX))
        }
        other => {
            return Err(format!(
                "kind is drop_before, drop_after, delay, status, late_success or late_fee, not {other:?}"
            ));
        }
    };
    Ok(Planned {
        times: number("times").unwrap_or(1),
        method: given["method"].as_str().map(str::to_ascii_uppercase),
        path: given["path"].as_str().unwrap_or("/v1/*").to_owned(),
        fault,
        given: given.clone(),
    })
}

impl Faults {
    pub(crate) fn add(&mut self, given: &Value) -> Result<Value, String> {
        let all = given["faults"].as_array().cloned().unwrap_or_else(|| vec![given.clone()]);
        let planned = all.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if self.planned.len().saturating_add(planned.len()) > FAULTS_MAX {
            return Err(format!("there may be {FAULTS_MAX} faults at a time"));
        }
        self.planned.extend(planned);
        Ok(self.to_json())
    }

    pub(crate) fn clear(&mut self) -> Value {
        self.planned.clear();
        self.to_json()
    }

    pub(crate) fn to_json(&self) -> Value {
        let shown = self.planned.iter().map(|planned| {
            let mut given = planned.given.clone();
            given["times"] = json!(planned.times);
            given
        });
        json!({"faults": shown.collect::<Vec<_>>()})
    }

    fn place(&self, method: &str, path: &str) -> Option<usize> {
        self.planned.iter().position(|planned| {
            planned.method.as_deref().is_none_or(|wanted| wanted == method)
                && fits(&planned.path, path)
        })
    }

    pub(crate) fn matches(&self, method: &str, path: &str) -> bool {
        self.place(method, path).is_some()
    }

    /// The fault of a call, which is used up by it.
    pub(crate) fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        let place = self.place(method, path)?;
        let planned = self.planned.get_mut(place)?;
        planned.times = planned.times.saturating_sub(1);
        let fault = planned.fault.clone();
        self.planned.retain(|planned| planned.times > 0);
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(
            fits("/v1/*", "/v1/refunds") && fits("/v1/*/confirm", "/v1/payment_intents/x/confirm")
        );
        assert!(
            !fits("/v1/*/confirm", "/v1/payment_intents/x")
                && !fits("/v1/refunds", "/v1/refunds/x")
        );
    }
}
