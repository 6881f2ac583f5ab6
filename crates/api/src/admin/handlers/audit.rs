//! The audit log.

use mall::admin::AuditQuery;

use crate::admin::Outcome;
use crate::admin::call::{Call, done};

pub(crate) async fn list(call: Call) -> Outcome {
    let query = AuditQuery {
        token_id: call.filter("token_id"),
        action: call.filter("action"),
        mode: call.filter("mode"),
        object: call.filter("object"),
        from: call.filter("from"),
        to: call.filter("to"),
    };
    done(call.mall.list_audit(query, &call.page()?).await)
}

pub(crate) async fn head(call: Call) -> Outcome {
    done(call.mall.audit_head().await)
}

pub(crate) async fn verify(call: Call) -> Outcome {
    done(call.mall.verify_audit(&call.body()?).await)
}
