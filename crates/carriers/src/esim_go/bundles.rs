//! What is on a SIM according to eSIM Go, and how its catalogue, orders and notifications read. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::{Currency, Money};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::evidence::Mark;
use crate::http::Answer;
use crate::secret::words;
use crate::webhook::header;
use crate::{
    Allowance, CarrierPlan, Headers, PeriodUnit, PlanState, Product, QueryError, Secret, SimState,
    SubmitError, WebhookError, WebhookHint, tolerant,
};

/// The catalogue counts in megabytes. That they are decimal is an inference from its names.
const BYTES_PER_MB: u64 = 1_000_000;

/// What the carrier says: its message, or the beginning of the answer.
pub(super) fn said(answer: &Answer, body: Option<&Value>) -> String {
    let message = body.and_then(|it| tolerant::text(it, &["message", "statusMessage", "error"]));
    message.map_or_else(|| answer.said(), |it| words(&format!("HTTP {} {it}", answer.status)))
}

/// Whether an order was taken. Only a refusal that names its reason as a request's fault is final.
pub(super) fn taken(answer: &Answer) -> Result<Value, SubmitError> {
    let body: Option<Value> = serde_json::from_str(&answer.body).ok();
    let message = said(answer, body.as_ref());
    match (answer.status, body) {
        (200..=299, Some(body)) if body.is_object() => Ok(body),
        (429, _) => Err(SubmitError::RetryLater { after: answer.wait(), message }),
        // With the header it is a promise that the order was not taken; without it a gateway speaks.
        (503, _) if answer.retry_after.is_some() => {
            Err(SubmitError::RetryLater { after: answer.wait(), message })
        }
        // 408 and 409 come after the carrier began; others without its own words are a gateway's.
        (400..=499, Some(body)) if body.is_object() && !matches!(answer.status, 408 | 409) => {
            Err(SubmitError::Permanent { code: format!("HTTP_{}", answer.status), message })
        }
        _ => Err(SubmitError::Ambiguous { message }),
    }
}

/// One assignment of a bundle to a SIM.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    /// The bundle's name.
    pub name: String,
    value: Value,
}

/// The assignments of an answer: nested in their bundles, or bundles that are assignments themselves. Strict:
/// what is misread would later look like a purchase.
pub(super) fn read_list(body: &Value) -> Result<Vec<Assignment>, QueryError> {
    let list = body.get("bundles").and_then(Value::as_array).or_else(|| body.as_array());
    let list = list.ok_or_else(|| unreadable("a list of bundles"))?;
    let mut all = Vec::new();
    for bundle in list {
        let name = tolerant::text(bundle, &["name"]);
        let name = name.ok_or_else(|| unreadable("a bundle without a name"))?;
        let of_name = |value: &Value| Assignment { name: name.clone(), value: value.clone() };
        match bundle.get("assignments").and_then(Value::as_array) {
            Some(assignments) => all.extend(assignments.iter().map(of_name)),
            None => all.push(of_name(bundle)),
        }
    }
    Ok(all)
}

impl Assignment {
    /// The carrier's word for its state, in lower case.
    fn word(&self) -> String {
        tolerant::text(&self.value, &["bundleState"]).unwrap_or_default().to_ascii_lowercase()
    }

    /// Whether it is on the SIM, and not only on its way there.
    pub fn is_there(&self) -> bool {
        matches!(self.word().as_str(), "queued" | "active" | "depleted" | "expired" | "lapsed")
    }

    /// Whether it was made by an order.
    pub fn is_of(&self, reference: &str) -> bool {
        let of = tolerant::text(&self.value, &["assignmentReference", "reference"]);
        of.is_some_and(|of| !reference.is_empty() && of.starts_with(reference))
    }

    /// What of it shows that it was bought.
    pub fn mark(&self) -> Mark {
        let micros =
            |names: &[&str]| tolerant::time(&self.value, names).map(domain::Timestamp::as_micros);
        let number = tolerant::text(&self.value, &["assignmentId", "id", "assignmentReference"]);
        let number = number.unwrap_or_default();
        let id = format!("{}/{number}", self.name);
        // An end moves by itself when a bundle starts.
        Mark { id, amount: None, added: micros(&["assignmentDateTime"]), end: None }
    }

    /// It as a plan on a SIM.
    pub fn plan(&self) -> CarrierPlan {
        let word = self.word();
        let state = match word.as_str() {
            "processing" | "queued" => PlanState::Queued,
            "active" => PlanState::Active,
            "revoked" => PlanState::Revoked,
            "depleted" | "expired" | "lapsed" => PlanState::Ended,
            _ => PlanState::Other(word),
        };
        let unlimited = self.value.get("unlimited").and_then(Value::as_bool) == Some(true);
        let total = tolerant::allowance(&self.value, &["initialQuantity"]);
        let left = tolerant::count(&self.value, &["remainingQuantity"]);
        let used = match total {
            Allowance::Bytes(total) => left.map(|left| total.saturating_sub(left)),
            _ => None,
        };
        CarrierPlan {
            id: self.name.clone(),
            order: tolerant::text(&self.value, &["assignmentReference", "reference"]),
            state,
            data: if unlimited { Allowance::Unlimited } else { total },
            used,
            periods: Some(1),
            start_at: tolerant::time(&self.value, &["startTime"]),
            end_at: tolerant::time(&self.value, &["endTime"]),
        }
    }
}

/// The state of a SIM by the carrier's word for its profile.
pub(super) fn sim_state(word: &str) -> SimState {
    match word.to_ascii_lowercase().as_str() {
        "released" | "available" | "downloaded" | "unavailable" => SimState::PreActive,
        "installed" | "enabled" | "disabled" => SimState::Active,
        "deleted" => SimState::Terminated,
        _ => SimState::Other(word.to_owned()),
    }
}

/// A bundle of the catalogue.
pub(super) fn product(bundle: &Value) -> Option<Product> {
    let id = tolerant::text(bundle, &["name"])?;
    let unlimited = bundle.get("unlimited").and_then(Value::as_bool) == Some(true);
    let bytes =
        tolerant::count(bundle, &["dataAmount"]).and_then(|mb| mb.checked_mul(BYTES_PER_MB));
    let days = tolerant::count(bundle, &["duration"]).and_then(|days| u32::try_from(days).ok());
    let countries = tolerant::list(bundle, "countries").iter();
    Some(Product {
        name: tolerant::text(bundle, &["description"]).unwrap_or_else(|| id.clone()),
        id,
        data: match (unlimited, bytes) {
            (true, _) => Allowance::Unlimited,
            (false, bytes) => bytes.map_or(Allowance::Unknown, Allowance::Bytes),
        },
        validity: days.map(|days| (days, PeriodUnit::Day)),
        coverage: countries.filter_map(|it| tolerant::text(it, &["iso", "name"])).collect(),
        // The catalogue gives no currency: a dry run does.
        cost: None,
    })
}

/// The total of an order with its currency, where both are there and exact.
pub(super) fn total(body: &Value) -> Option<Money> {
    let currency: Currency = tolerant::text(body, &["currency"])?.parse().ok()?;
    Money::parse(&tolerant::text(body, &["total"])?, currency).ok()
}

/// A notification. Its signature is checked where there is one, in both published forms.
pub(super) fn webhook(
    key: &Secret,
    headers: &Headers<'_>,
    body: &[u8],
) -> Result<WebhookHint, WebhookError> {
    let given = header(headers, "x-signature-sha256").ok_or(WebhookError::BadSignature)?;
    let forms = [hex::decode(given).ok(), BASE64.decode(given).ok()];
    let is_right = |mac: &Vec<u8>| {
        let known = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes());
        known.is_ok_and(|known| known.chain_update(body).verify_slice(mac).is_ok())
    };
    if !forms.iter().flatten().any(is_right) {
        return Err(WebhookError::BadSignature);
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
    let kind = tolerant::text(&value, &["alertType"]).ok_or(WebhookError::Unreadable)?;
    let bundle = value.get("bundle").unwrap_or(&Value::Null);
    Ok(WebhookHint {
        dedupe_id: hex::encode(Sha256::digest(body)),
        kind,
        iccid: tolerant::text(&value, &["iccid"]).and_then(|iccid| iccid.parse().ok()),
        upstream_id: tolerant::text(bundle, &["reference"]),
        key: None,
        signed: true,
    })
}

pub(super) fn unreadable(what: &str) -> QueryError {
    QueryError { message: format!("the answer cannot be read: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Span;
    use serde_json::json;

    fn answered(status: u16, retry_after: Option<Span>, body: &str) -> Result<Value, SubmitError> {
        taken(&Answer { status, retry_after, body: body.to_owned() })
    }

    #[test]
    fn the_table_of_statuses() {
        assert!(answered(200, None, "{}").is_ok());
        for status in [400, 401, 403, 404, 422] {
            let refused = answered(status, None, r#"{"message":"words"}"#);
            let (code, message) = (format!("HTTP_{status}"), format!("HTTP {status} words"));
            assert_eq!(refused, Err(SubmitError::Permanent { code, message }));
        }
        let wait = Some(Span::seconds(9));
        for (status, wait) in [(429, None), (429, wait), (503, wait)] {
            let later = answered(status, wait, "");
            assert!(matches!(later, Err(SubmitError::RetryLater { .. })), "{status}");
        }
        let unclear = [
            (200, "{"),
            (200, "[]"),
            (302, ""),
            (400, "<html>"),
            (408, "{}"),
            (409, "{}"),
            (500, "{}"),
            (502, ""),
            (503, "{}"),
        ];
        for (status, body) in unclear {
            let unclear = answered(status, None, body);
            assert!(matches!(unclear, Err(SubmitError::Ambiguous { .. })), "{status} {body}");
        }
    }

    #[test]
    fn assignments_are_read_in_both_forms() {
        let nested = json!({"bundles": [{"name": "b1", "assignments": [
            {"assignmentReference": "r1-0", "bundleState": "Queued", "initialQuantity": 1000, "remainingQuantity": 400},
            {"assignmentReference": "r2-0", "bundleState": "processing"}]}]});
        let all = read_list(&nested).unwrap();
        assert_eq!(all.len(), 2);
        assert!(all[0].is_of("r1") && all[0].is_there() && !all[1].is_there());
        assert_eq!(all[0].plan().used, Some(600));
        let flat = json!({"bundles": [{"name": "b1", "bundleState": "active"}]});
        assert_eq!(read_list(&flat).unwrap()[0].plan().state, PlanState::Active);
        for bad in [json!({}), json!({"bundles": [{}]}), json!("x")] {
            assert!(read_list(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn totals_are_exact_or_none() {
        let total = |amount: Value| {
            let total = super::total(&json!({"total": amount, "currency": "USD"}));
            total.map(|total| total.minor)
        };
        assert_eq!(total(json!(3.5)), Some(350));
        assert_eq!(total(json!("12.36")), Some(1236));
        assert_eq!(total(json!(0.123)), None);
        assert_eq!(super::total(&json!({"total": 1})), None);
    }

    #[test]
    fn notifications_are_signed_as_hexadecimal_or_base64() {
        let body = br#"{"iccid":"8944538532008160222","alertType":"Utilisation","bundle":{"reference":"r1"}}"#;
        let key = Secret::new("k3y");
        let mac = Hmac::<Sha256>::new_from_slice(b"k3y").unwrap().chain_update(body).finalize();
        for signature in [hex::encode(mac.clone().into_bytes()), BASE64.encode(mac.into_bytes())] {
            let hint = webhook(&key, &[("X-Signature-SHA256", &signature)], body).unwrap();
            assert_eq!((hint.kind.as_str(), hint.signed), ("Utilisation", true));
            assert_eq!(hint.upstream_id.as_deref(), Some("r1"));
            let changed = webhook(&key, &[("x-signature-sha256", &signature)], b"{}");
            assert_eq!(changed, Err(WebhookError::BadSignature));
        }
        assert_eq!(webhook(&key, &[], body), Err(WebhookError::BadSignature));
    }
}
