//! Operators' tokens.

use crate::admin::Outcome;
use crate::admin::call::{Call, created, done};

pub(crate) async fn whoami(call: Call) -> Outcome {
    done(Ok(call.mall.whoami(&call.by)))
}

pub(crate) async fn list(call: Call) -> Outcome {
    done(call.mall.list_tokens(&call.page()?).await)
}

pub(crate) async fn add(call: Call) -> Outcome {
    created(call.mall.add_token(&call.by, &call.body()?).await)
}

pub(crate) async fn retire(call: Call) -> Outcome {
    done(call.mall.retire_token(&call.by, call.path("token_id")).await)
}
