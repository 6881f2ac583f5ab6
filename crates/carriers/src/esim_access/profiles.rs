//! What is on a SIM according to eSIM Access, and how its packages and notifications read. Pure.

use domain::{Currency, Money};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::evidence::Mark;
use crate::{
    Allowance, CarrierPlan, PeriodUnit, PlanState, Product, QueryError, SimState, WebhookError,
    WebhookHint, tolerant,
};

/// Prices are in units of which so many make one minor unit of a currency with two decimals.
const PRICE_PER_MINOR: i64 = 100;

/// The profiles of an answer to a query. Strict: what is misread would later look like a purchase.
pub(super) fn read_list(obj: &Value) -> Result<&[Value], QueryError> {
    let list = obj.get("esimList").and_then(Value::as_array).map(Vec::as_slice);
    let list = list.ok_or_else(|| unreadable("a list of profiles"))?;
    let named = |profile: &Value| tolerant::text(profile, &["esimTranNo", "iccid"]).is_some();
    if list.iter().all(named) { Ok(list) } else { Err(unreadable("a profile without a number")) }
}

/// What of a profile grows when it is topped up: its volume, and the entries of its packages. Its end moves
/// by itself when it is first used.
pub(super) fn marks(profile: &Value) -> Vec<Mark> {
    let micros = |value: &Value, names: &[&str]| {
        tolerant::time(value, names).map(domain::Timestamp::as_micros)
    };
    let id = tolerant::text(profile, &["esimTranNo", "iccid"]).unwrap_or_default();
    let mut marks = vec![Mark {
        id: id.clone(),
        amount: tolerant::count(profile, &["totalVolume"]),
        added: None,
        end: None,
    }];
    marks.extend(tolerant::list(profile, "packageList").iter().map(|package| {
        let code = tolerant::text(package, &["packageCode", "slug"]).unwrap_or_default();
        let added = micros(package, &["createTime"]);
        Mark { id: format!("{id}/{code}"), amount: None, added, end: None }
    }));
    marks
}

/// The order of ours that made a profile.
pub(super) fn is_of_key(profile: &Value, key: &str) -> bool {
    let of = |value: &Value| tolerant::text(value, &["transactionId"]).as_deref() == Some(key);
    of(profile) || tolerant::list(profile, "packageList").iter().any(of)
}

/// The carrier's word for the state of a profile.
pub(super) fn status(profile: &Value) -> String {
    let deleted = tolerant::text(profile, &["smdpStatus"]).filter(|status| status == "DELETED");
    deleted.or_else(|| tolerant::text(profile, &["esimStatus"])).unwrap_or_default()
}

/// The state of a SIM by the carrier's word.
pub(super) fn sim_state(status: &str) -> SimState {
    match status {
        "CREATE" | "PAYING" | "PAID" | "GETTING_RESOURCE" | "GOT_RESOURCE" => SimState::PreActive,
        "IN_USE" => SimState::Active,
        "SUSPENDED" => SimState::Paused,
        "USED_UP" | "UNUSED_EXPIRED" | "USED_EXPIRED" => SimState::Expired,
        "CANCEL" | "REVOKE" | "REVOKED" | "DELETED" => SimState::Terminated,
        other => SimState::Other(other.to_owned()),
    }
}

/// A profile as the one plan that it is: a top-up makes it larger.
pub(super) fn plan(profile: &Value) -> CarrierPlan {
    let status = status(profile);
    let state = match sim_state(&status) {
        SimState::Terminated if status != "DELETED" => PlanState::Revoked,
        SimState::PreActive => PlanState::Queued,
        SimState::Active => PlanState::Active,
        SimState::Paused => PlanState::Paused,
        SimState::Expired | SimState::Terminated => PlanState::Ended,
        SimState::Other(word) => PlanState::Other(word),
    };
    CarrierPlan {
        id: tolerant::text(profile, &["esimTranNo", "iccid"]).unwrap_or_default(),
        // Top-ups of later orders make the same profile larger.
        order: None,
        state,
        data: tolerant::allowance(profile, &["totalVolume"]),
        used: tolerant::count(profile, &["orderUsage"]),
        periods: None,
        start_at: tolerant::time(profile, &["activateTime"]),
        end_at: tolerant::time(profile, &["expiredTime"]),
    }
}

/// A package.
pub(super) fn product(package: &Value) -> Option<Product> {
    let unit = match tolerant::text(package, &["durationUnit"]).as_deref() {
        Some("DAY") => Some(PeriodUnit::Day),
        Some("MONTH") => Some(PeriodUnit::Month),
        Some("YEAR") => Some(PeriodUnit::Year),
        _ => None,
    };
    let length = tolerant::count(package, &["duration"]).and_then(|it| u32::try_from(it).ok());
    let unlimited = tolerant::number(package, &["dataType"]) == Some(4);
    let areas = tolerant::text(package, &["location"]).unwrap_or_default();
    Some(Product {
        id: tolerant::text(package, &["packageCode"])?,
        name: tolerant::text(package, &["name"]).unwrap_or_default(),
        data: if unlimited {
            Allowance::Unlimited
        } else {
            tolerant::allowance(package, &["volume"])
        },
        validity: length.zip(unit),
        coverage: areas.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
        cost: cost(package),
    })
}

/// The price of a package, rounded up to a minor unit.
fn cost(package: &Value) -> Option<Money> {
    let price = tolerant::number(package, &["price"]).filter(|price| *price >= 0)?;
    let currency: Currency = tolerant::text(package, &["currencyCode"])?.parse().ok()?;
    // For other currencies nobody says what 10,000 stands for.
    let known = currency.exponent() == 2;
    let minor = price.checked_add(PRICE_PER_MINOR - 1)? / PRICE_PER_MINOR;
    known.then(|| Money::new(minor, currency))
}

/// A notification. It carries no signature that is published.
pub(super) fn webhook(body: &[u8]) -> Result<WebhookHint, WebhookError> {
    let value: Value = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
    let kind = tolerant::text(&value, &["notifyType"]).ok_or(WebhookError::Unreadable)?;
    let content = value.get("content").unwrap_or(&Value::Null);
    let dedupe_id = tolerant::text(&value, &["notifyId"]);
    Ok(WebhookHint {
        dedupe_id: dedupe_id.unwrap_or_else(|| hex::encode(Sha256::digest(body))),
        kind,
        iccid: tolerant::text(content, &["iccid"]).and_then(|iccid| iccid.parse().ok()),
        upstream_id: tolerant::text(content, &["orderNo"]),
        key: tolerant::text(content, &["transactionId"]),
        signed: false,
    })
}

pub(super) fn unreadable(what: &str) -> QueryError {
    QueryError { message: format!("the answer cannot be read: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prices_are_ten_thousandths_and_round_up() {
        let cost_of = |price: i64, code: &str| {
            cost(&json!({"price": price, "currencyCode": code})).map(|cost| cost.minor)
        };
        assert_eq!(cost_of(112_500, "USD"), Some(1125));
        assert_eq!(cost_of(10_001, "USD"), Some(101));
        assert_eq!(cost_of(10_000, "JPY"), None);
        assert_eq!(cost_of(-1, "USD"), None);
    }

    #[test]
    fn a_notification_names_the_order_and_our_key() {
        let body = br#"{"notifyType":"ORDER_STATUS","notifyId":"n1","content":
            {"orderNo":"B1","orderStatus":"GOT_RESOURCE","transactionId":"k1"}}"#;
        let hint = webhook(body).unwrap();
        assert_eq!((hint.dedupe_id.as_str(), hint.signed), ("n1", false));
        assert_eq!((hint.upstream_id.as_deref(), hint.key.as_deref()), (Some("B1"), Some("k1")));
        assert_eq!(webhook(b"{}"), Err(WebhookError::Unreadable));
    }

    #[test]
    fn what_was_taken_back_is_told_from_what_ran_out() {
        let state = |status: &str, smdp: &str| {
            plan(&json!({"esimTranNo": "1", "esimStatus": status, "smdpStatus": smdp})).state
        };
        for taken_back in ["CANCEL", "REVOKE", "REVOKED"] {
            assert_eq!(state(taken_back, "RELEASED"), PlanState::Revoked, "{taken_back}");
        }
        for ended in ["USED_UP", "UNUSED_EXPIRED", "USED_EXPIRED"] {
            assert_eq!(state(ended, "ENABLED"), PlanState::Ended, "{ended}");
        }
        assert_eq!(state("IN_USE", "DELETED"), PlanState::Ended);
        assert_eq!(state("IN_USE", "ENABLED"), PlanState::Active);
    }

    #[test]
    fn a_profile_without_a_number_is_no_evidence() {
        assert!(read_list(&json!({"esimList": [{}]})).is_err());
        assert!(read_list(&json!({})).is_err());
        assert_eq!(read_list(&json!({"esimList": []})).map(<[Value]>::len), Ok(0));
    }
}
