//! The partners' request log.

use mall::admin::RequestQuery;

use crate::admin::Outcome;
use crate::admin::call::{Call, done};

pub(crate) async fn list(call: Call) -> Outcome {
    let query = RequestQuery {
        code: call.filter("code"),
        outcome: call.filter("outcome"),
        from: call.filter("from"),
        to: call.filter("to"),
    };
    done(call.mall.list_requests(call.mode()?, call.path("code"), query, &call.page()?).await)
}
