//! Orders, jobs and the ledger.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use mall::admin::{JobQuery, OrderQuery};

use crate::admin::Outcome;
use crate::admin::call::{Call, done};

pub(crate) async fn list(call: Call) -> Outcome {
    let query = OrderQuery {
        partner: call.filter("partner"),
        state: call.filter("state"),
        iccid: call.filter("iccid"),
        number: call.filter("number"),
        plan: call.filter("plan"),
        from: call.filter("from"),
        to: call.filter("to"),
    };
    done(call.mall.list_orders(call.mode()?, query, &call.page()?).await)
}

pub(crate) async fn show(call: Call) -> Outcome {
    done(call.mall.show_order(call.mode()?, call.path("order_id")).await)
}

pub(crate) async fn timeline(call: Call) -> Outcome {
    done(call.mall.order_timeline(call.mode()?, call.path("order_id")).await)
}

pub(crate) async fn list_reviews(call: Call) -> Outcome {
    let partner = call.filter("partner");
    done(call.mall.list_reviews(call.mode()?, partner.as_deref(), &call.page()?).await)
}

pub(crate) async fn resolve(call: Call) -> Outcome {
    let (mode, id) = (call.mode()?, call.path("order_id").to_owned());
    done(call.mall.resolve_order(&call.by, mode, &id, &call.body()?).await)
}

pub(crate) async fn refund(call: Call) -> Outcome {
    let (mode, id) = (call.mode()?, call.path("order_id").to_owned());
    done(call.mall.refund_order(&call.by, mode, &id, &call.body()?).await)
}

pub(crate) async fn list_jobs(call: Call) -> Outcome {
    let query = JobQuery {
        partner: call.filter("partner"),
        kind: call.filter("kind"),
        state: call.filter("state"),
    };
    done(call.mall.list_jobs(call.mode()?, query, &call.page()?).await)
}

pub(crate) async fn show_job(call: Call) -> Outcome {
    done(call.mall.show_job(call.mode()?, call.path("job_id")).await)
}

pub(crate) async fn retry_job(call: Call) -> Outcome {
    done(call.mall.retry_job(&call.by, call.mode()?, call.path("job_id")).await)
}

pub(crate) async fn cancel_job(call: Call) -> Outcome {
    call.mall.cancel_job(&call.by, call.mode()?, call.path("job_id")).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
