//! Partners' push endpoints.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use mall::admin::PushQuery;

use crate::admin::Outcome;
use crate::admin::call::{Call, created, done};

/// What names the endpoint in the path.
const ID: &str = "endpoint_id";

pub(crate) async fn list(call: Call) -> Outcome {
    done(call.mall.list_push_endpoints(&call.by, call.partner()?, &call.page()?).await)
}

pub(crate) async fn add(call: Call) -> Outcome {
    created(call.mall.add_push_endpoint_for(&call.by, call.partner()?, call.body()?).await)
}

pub(crate) async fn show(call: Call) -> Outcome {
    done(call.mall.show_push_endpoint(&call.by, call.of_partner(ID)?).await)
}

pub(crate) async fn change(call: Call) -> Outcome {
    done(call.mall.change_push_endpoint_for(&call.by, call.of_partner(ID)?, call.body()?).await)
}

pub(crate) async fn delete(call: Call) -> Outcome {
    call.mall.delete_push_endpoint_for(&call.by, call.of_partner(ID)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn test(call: Call) -> Outcome {
    done(call.mall.test_push_endpoint_for(&call.by, call.of_partner(ID)?).await)
}

pub(crate) async fn rotate(call: Call) -> Outcome {
    done(call.mall.rotate_push_key_for(&call.by, call.of_partner(ID)?, &call.body()?).await)
}

pub(crate) async fn deliveries(call: Call) -> Outcome {
    let query = PushQuery { state: call.filter("state"), event_id: call.filter("event_id") };
    let wanted = (&query, &call.page()?);
    done(call.mall.list_push_deliveries(&call.by, call.of_partner(ID)?, wanted).await)
}

pub(crate) async fn resend(call: Call) -> Outcome {
    done(call.mall.resend_pushes_for(&call.by, call.of_partner(ID)?, &call.body()?).await)
}
