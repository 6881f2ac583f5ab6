//! Auto-renewals.

use mall::admin::RenewalQuery;

use crate::admin::Outcome;
use crate::admin::call::{Call, done};

pub(crate) async fn list(call: Call) -> Outcome {
    let query = RenewalQuery {
        partner: call.filter("partner"),
        state: call.filter("state"),
        failing: call.query("failing") == Some("true"),
        number: call.filter("number"),
    };
    done(call.mall.list_all_renewals(call.mode()?, query, &call.page()?).await)
}

pub(crate) async fn timeline(call: Call) -> Outcome {
    done(call.mall.renewal_timeline(call.mode()?, call.path("renewal_id")).await)
}

pub(crate) async fn cancel(call: Call) -> Outcome {
    let (mode, id) = (call.mode()?, call.path("renewal_id").to_owned());
    done(call.mall.end_renewal_by(&call.by, mode, &id, &call.body()?).await)
}
