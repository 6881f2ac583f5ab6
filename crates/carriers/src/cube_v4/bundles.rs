//! What is on a SIM according to Cube, and how its other objects read. Pure.

use serde_json::Value;

use crate::evidence::Mark;
use crate::{
    Allowance, CarrierPlan, PeriodUnit, PlanState, Product, QueryError, SimState, Usage, tolerant,
};

/// The bundles of one page. Strict: a list that is misread would later look like a purchase.
pub(super) fn read_page(data: &Value) -> Result<Vec<Value>, QueryError> {
    let list = data.as_array().or_else(|| data.get("bundles").and_then(Value::as_array));
    let list = list.ok_or_else(|| unreadable("a list of bundles"))?;
    let named = list.iter().all(|bundle| tolerant::text(bundle, &["id"]).is_some());
    if named { Ok(list.clone()) } else { Err(unreadable("a bundle without an id")) }
}

/// What of a bundle shows that it was bought.
pub(super) fn mark(bundle: &Value) -> Mark {
    let micros = |names: &[&str]| tolerant::time(bundle, names).map(domain::Timestamp::as_micros);
    Mark {
        id: tolerant::text(bundle, &["id"]).unwrap_or_default(),
        amount: tolerant::count(bundle, &["cycles"]),
        added: micros(&["added_at"]),
        end: micros(&["end_at"]),
    }
}

/// A bundle as a plan on a SIM.
pub(super) fn plan(bundle: &Value) -> CarrierPlan {
    let state = match tolerant::number(bundle, &["status"]) {
        Some(0) => PlanState::Queued,
        Some(1) => PlanState::Active,
        Some(2) => PlanState::Paused,
        Some(3) => PlanState::Ended,
        _ => PlanState::Other(tolerant::text(bundle, &["status"]).unwrap_or_default()),
    };
    let periods = tolerant::count(bundle, &["cycles"]);
    CarrierPlan {
        id: tolerant::text(bundle, &["id"]).unwrap_or_default(),
        order: None,
        state,
        data: tolerant::allowance(bundle, &["data_limit"]),
        used: tolerant::count(bundle, &["current_cycle_usage"]),
        periods: periods.and_then(|periods| u32::try_from(periods).ok()),
        start_at: tolerant::time(bundle, &["start_at"]),
        end_at: tolerant::time(bundle, &["end_at"]),
    }
}

/// The state of a SIM.
pub(super) fn sim_state(data: &Value) -> SimState {
    match tolerant::number(data, &["status"]) {
        Some(10) => SimState::PreActive,
        Some(23) => SimState::Active,
        Some(30) => SimState::Paused,
        Some(40) => SimState::Expired,
        Some(50) => SimState::Terminated,
        _ => SimState::Other(tolerant::text(data, &["status"]).unwrap_or_default()),
    }
}

/// A product. Its price is not read: nobody says whether it is in yuan or fen.
pub(super) fn product(sku: &Value) -> Option<Product> {
    let bundle = sku.get("sim_service").and_then(|service| service.get("bundle"));
    let unit = |unit| match unit {
        1 => Some(PeriodUnit::Day),
        2 => Some(PeriodUnit::Month),
        3 => Some(PeriodUnit::Year),
        _ => None,
    };
    let validity = bundle.and_then(|bundle| {
        let length = u32::try_from(tolerant::number(bundle, &["period_number"])?).ok()?;
        let unit = tolerant::number(bundle, &["period_type", "period_unit"]).and_then(unit)?;
        Some((length, unit))
    });
    Some(Product {
        id: tolerant::text(sku, &["id"])?,
        name: tolerant::text(sku, &["name"]).unwrap_or_default(),
        data: bundle.map_or(Allowance::Unknown, |it| tolerant::allowance(it, &["data_limit"])),
        validity,
        coverage: tolerant::text(sku, &["coverage"]).into_iter().collect(),
        cost: None,
    })
}

/// Usage per day.
pub(super) fn usage(data: &Value) -> Result<Usage, QueryError> {
    let rows = data.get("usage").and_then(Value::as_array);
    let rows = rows.ok_or_else(|| unreadable("usage"))?;
    let mut usage = Usage {
        used: 0,
        total: Allowance::Unknown,
        as_of: None,
        periods: Vec::with_capacity(rows.len()),
    };
    for row in rows {
        let bytes = row.get("data").and_then(|data| tolerant::count(data, &["all"]));
        let bytes = bytes.ok_or_else(|| unreadable("a day's usage"))?;
        usage.used = usage.used.saturating_add(bytes);
        let period = tolerant::text(row, &["period"]).unwrap_or_default();
        usage.periods.push((period, bytes));
        usage.as_of = usage.as_of.max(tolerant::time(row, &["updated_at", "update_at"]));
    }
    Ok(usage)
}

pub(super) fn unreadable(what: &str) -> QueryError {
    QueryError { message: format!("the answer cannot be read: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn usage_is_read_in_both_published_forms() {
        let row = |at: &str, bytes: Value| json!({"period": "2023-07", at: "2023-07-13T14:05:02", "data": {"all": bytes}});
        let data =
            json!({"usage": [row("updated_at", json!("2222")), row("update_at", json!(32_000))]});
        let usage = usage(&data).unwrap();
        assert_eq!(usage.used, 34_222);
        assert_eq!(usage.as_of, tolerant::time(&json!({"at": 1_689_257_102}), &["at"]));
        assert_eq!(usage.periods[1], ("2023-07".to_owned(), 32_000));
    }

    #[test]
    fn a_list_that_is_no_list_is_an_error() {
        for bad in [json!(null), json!({}), json!("x"), json!([{"cycles": 1}]), json!([null])] {
            assert!(read_page(&bad).is_err(), "{bad}");
        }
        assert_eq!(read_page(&json!([])), Ok(Vec::new()));
        assert_eq!(read_page(&json!({"bundles": [{"id": "LP1"}]})).unwrap().len(), 1);
    }

    #[test]
    fn a_bundle_reads() {
        let bundle = json!({"id": "LP20230619004077", "status": 1, "data_limit": -1, "cycles": "20",
            "added_at": "1686707689000", "end_at": null, "current_cycle_usage": "5"});
        let (mark, plan) = (mark(&bundle), plan(&bundle));
        assert_eq!(
            (mark.amount, mark.added, mark.end),
            (Some(20), Some(1_686_707_689_000_000), None)
        );
        assert_eq!((plan.state, plan.data), (PlanState::Active, Allowance::Unlimited));
        assert_eq!((plan.used, plan.periods), (Some(5), Some(20)));
        assert_eq!(sim_state(&json!({"status": "50"})), SimState::Terminated);
        assert_eq!(sim_state(&json!({"status": 11})), SimState::Other("11".to_owned()));
    }
}
