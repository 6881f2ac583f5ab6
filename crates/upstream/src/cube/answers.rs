//! The answers of Cube: its envelope, and its records as far as a client reads them. Touches nothing.

use domain::{Timestamp, Zone};
use serde_json::{Value, json};

use crate::exchange::{Answer, Request};
use crate::face::{Bundles, Refused};
use crate::network::{Network, Operation, Order};
use crate::sim::{BundleState, PRODUCTS, Sim, SimState, View, product};

fn envelope(data: &Value, code: &str, message: &str) -> Value {
    json!({"data": data, "status": {"code": code, "message": message, "detail": null}})
}

pub(super) fn ok(data: &Value) -> Answer {
    Answer::json(200, &envelope(data, "CB-00-0000", "Success"))
}

fn ok_list(data: &[Value], total: usize) -> Answer {
    let mut body = envelope(&json!(data), "CB-00-0000", "Success");
    body["total_count"] = total.into();
    Answer::json(200, &body)
}

pub(super) fn fail(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &envelope(&Value::Null, code, message))
}

pub(super) fn refused(code: &str, message: &str) -> Refused {
    Refused { why: code.to_owned(), answer: fail(200, code, message) }
}

pub(super) fn missing(request: &Request) -> Answer {
    let message = format!("no such call: {} {}", request.method, request.path);
    fail(404, "CB-99-9400", &message)
}

pub(super) fn products() -> Answer {
    let rows = PRODUCTS.map(|product| {
        json!({
            "category": 1,
            "status": 1,
            "name": product.name,
            "description": product.name,
            "currency": "CNY",
            "id": product.id,
            "created_at": 0,
            "updated_at": 0,
            "factory_price": product.price_minor,
            "sim_service": {"bundle": {
                "data_limit": product.bytes,
                "period_type": 1,
                "period_number": product.days,
                "cycles": 1,
            }},
        })
    });
    ok_list(&rows, rows.len())
}

pub(super) fn order(order: &Order, now: Timestamp) -> Answer {
    // The numbers that an order's status may have are not published; these two were seen. A SIM that
    // failed in silence shows nowhere.
    let status = if order.is_over(now) { 3 } else { 1 };
    let price = |id: &str| product(id).map_or(0, |product| product.price_minor);
    let items: Vec<Value> = order
        .parts
        .iter()
        .map(|part| {
            json!({
                "id": part.line.product,
                "quantity": part.line.quantity,
                "price": price(&part.line.product),
                "sim_ids": [part.line.iccid],
            })
        })
        .collect();
    let lines = order.parts.iter().map(|part| &part.line);
    let total: u64 =
        lines.map(|line| price(&line.product).saturating_mul(u64::from(line.quantity))).sum();
    ok(&json!({
        "id": order.id,
        "type": 2,
        "status": status,
        "items": items,
        "accounting": {"currency": "CNY", "pay_channel": 1, "total_amount": total},
        "extra": {"po": order.reference},
        "created_at": order.made_at.as_millis().to_string(),
        "abnormal": [],
    }))
}

fn status(sim: &Sim) -> u32 {
    match sim.state {
        SimState::Active => 23,
        SimState::Suspended => 30,
        SimState::Ended => 40,
    }
}

fn bundle_status(state: BundleState) -> u32 {
    match state {
        BundleState::Queued => 0,
        BundleState::Active => 1,
        BundleState::Paused => 2,
        BundleState::Expired | BundleState::Revoked => 3,
    }
}

fn bundle(view: &View<'_>) -> Value {
    let bundle = view.bundle;
    let days = product(&bundle.product).map_or(0, |product| product.days);
    json!({
        "id": bundle.id,
        "status": bundle_status(view.state),
        "type": 0,
        "use": 0,
        "data_limit": view.limit_bytes,
        "period_unit": 1,
        "period_number": days,
        "cycles": bundle.quantity,
        "current_cycle": 1,
        "current_cycle_start_at": view.start_at.as_millis(),
        "current_cycle_end_at": view.end_at.as_millis(),
        "current_cycle_usage": view.used_bytes,
        "added_at": bundle.added_at.as_millis(),
        "start_at": view.start_at.as_millis(),
        "end_at": view.end_at.as_millis(),
    })
}

pub(super) fn sim(iccid: &str, network: &Network) -> Answer {
    let sim = network.sim(iccid);
    let views = sim.views(network.now);
    let in_use = |view: &&View<'_>| matches!(view.state, BundleState::Active | BundleState::Paused);
    // Only the bundle in use stands here; the list of bundles has all (published).
    let bundles: Vec<Value> = views.iter().filter(in_use).map(bundle).collect();
    ok(&json!({
        "sim_id": iccid,
        "status": status(&sim),
        "tags": [],
        "sim_service": {"bundles": bundles},
    }))
}

pub(super) fn bundles(asked: &Bundles, network: &Network) -> Answer {
    let sim = network.sim(&asked.iccid);
    let wanted: Option<Vec<&str>> = asked.filter.as_deref().map(|list| list.split(',').collect());
    let is_wanted = |view: &&View<'_>| {
        let status = bundle_status(view.state).to_string();
        wanted.as_ref().is_none_or(|list| list.contains(&status.as_str()))
    };
    let views = sim.views(network.now);
    let rows: Vec<Value> = views.iter().filter(is_wanted).map(bundle).collect();
    let before = asked.page.saturating_sub(1).saturating_mul(asked.page_size);
    let shown: Vec<Value> = rows.iter().skip(before).take(asked.page_size).cloned().collect();
    ok_list(&shown, rows.len())
}

pub(super) fn usage(iccids: &[String], period: &str, network: &Network) -> Answer {
    let iccid = iccids.first().map(String::as_str).unwrap_or_default();
    let today = network.now.date(&Zone::UTC);
    let period = if period.is_empty() { today.as_str() } else { period };
    let updated_at = network.now.date_time(&Zone::UTC).replace(' ', "T");
    // All that was ever used stands under the last period that was asked for.
    ok(&json!({
        "sim_id": iccid,
        "usage": [{
            "period": period,
            "updated_at": updated_at,
            "data": {"all": network.sim(iccid).used_bytes(network.now)},
        }],
    }))
}

/// The form of this record is not published; chosen here.
pub(super) fn result(operation: &Operation, now: Timestamp) -> Answer {
    let status = u32::from(operation.due_at <= now);
    ok(&json!({
        "request_id": operation.id,
        "sim_id": operation.iccid,
        "operation": operation.action.word(),
        "status": status,
    }))
}
