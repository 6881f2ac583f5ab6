//! Groups of SIMs, the operations on them, and SIMs in doubt.

use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::admin::Outcome;
use crate::admin::call::{Call, created, done};

pub(crate) async fn list(call: Call) -> Outcome {
    let page = call.page()?;
    done(call.mall.groups_page(call.mode()?, call.query("partner"), &page).await)
}

pub(crate) async fn show(call: Call) -> Outcome {
    done(call.mall.group_shown(call.of_partner("group_id")?).await)
}

pub(crate) async fn add(call: Call) -> Outcome {
    created(call.mall.add_group(&call.by, call.partner()?, call.body()?).await)
}

pub(crate) async fn change(call: Call) -> Outcome {
    let place = call.of_partner("group_id")?;
    done(call.mall.group_changed(&call.by, place, call.body()?).await)
}

pub(crate) async fn set_bundle(call: Call) -> Outcome {
    let place = call.of_partner("group_id")?;
    done(call.mall.bundle_set(&call.by, place, &call.body()?).await)
}

pub(crate) async fn list_operations(call: Call) -> Outcome {
    done(call.mall.operations_page(call.of_partner("group_id")?, &call.page()?).await)
}

pub(crate) async fn show_operation(call: Call) -> Outcome {
    done(call.mall.operation_shown(call.mode()?, call.path("request_id")).await)
}

pub(crate) async fn list_operation_sims(call: Call) -> Outcome {
    let operation = (call.mode()?, call.path("request_id"));
    let failed = call.query("failed") == Some("true");
    done(call.mall.operation_sims_page(operation, failed, &call.page()?).await)
}

pub(crate) async fn list_reviews(call: Call) -> Outcome {
    done(call.mall.group_reviews_page(call.mode()?, &call.page()?).await)
}

pub(crate) async fn resolve(call: Call) -> Outcome {
    let place = call.of_partner("iccid")?;
    call.mall.group_sim_resolved(&call.by, place, &call.body()?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
