//! Packages and plans.

use crate::admin::Outcome;
use crate::admin::call::{Call, done};

pub(crate) async fn list_packages(call: Call) -> Outcome {
    done(call.mall.list_packages(call.mode()?, &call.page()?).await)
}

pub(crate) async fn show_package(call: Call) -> Outcome {
    done(call.mall.show_package(call.mode()?, call.path("code")).await)
}

pub(crate) async fn put_package(call: Call) -> Outcome {
    let place = (call.mode()?, call.path("code"));
    done(call.mall.put_package(&call.by, place, &call.body()?).await)
}

pub(crate) async fn show_route(call: Call) -> Outcome {
    done(call.mall.show_route(call.mode()?, call.path("code")).await)
}

pub(crate) async fn put_route(call: Call) -> Outcome {
    let place = (call.mode()?, call.path("code"));
    done(call.mall.put_route(&call.by, place, &call.body()?).await)
}

pub(crate) async fn list_plans(call: Call) -> Outcome {
    done(call.mall.list_plans(call.mode()?, &call.page()?).await)
}

pub(crate) async fn show_plan(call: Call) -> Outcome {
    done(call.mall.show_plan(call.mode()?, call.path("code")).await)
}

pub(crate) async fn put_plan(call: Call) -> Outcome {
    let place = (call.mode()?, call.path("code"));
    done(call.mall.put_plan(&call.by, place, &call.body()?).await)
}
