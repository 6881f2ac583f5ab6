//! Partners, their keys, credit, prices and SIMs.

use crate::admin::Outcome;
use crate::admin::call::{Call, created, done};

pub(crate) async fn list(call: Call) -> Outcome {
    done(call.mall.list_partners(call.mode()?, &call.page()?).await)
}

pub(crate) async fn add(call: Call) -> Outcome {
    created(call.mall.add_partner(&call.by, call.mode()?, &call.body()?).await)
}

pub(crate) async fn show(call: Call) -> Outcome {
    let (mode, code) = call.partner()?;
    done(call.mall.show_partner(mode, code).await)
}

pub(crate) async fn change(call: Call) -> Outcome {
    done(call.mall.change_partner(&call.by, call.partner()?, &call.body()?).await)
}

pub(crate) async fn suspend(call: Call) -> Outcome {
    done(call.mall.suspend_partner(&call.by, call.partner()?, true).await)
}

pub(crate) async fn resume(call: Call) -> Outcome {
    done(call.mall.suspend_partner(&call.by, call.partner()?, false).await)
}

pub(crate) async fn list_keys(call: Call) -> Outcome {
    done(call.mall.list_keys(call.partner()?, &call.page()?).await)
}

pub(crate) async fn add_key(call: Call) -> Outcome {
    created(call.mall.issue_key(&call.by, call.partner()?).await)
}

pub(crate) async fn retire_key(call: Call) -> Outcome {
    done(call.mall.retire_key(&call.by, call.of_partner("key_id")?).await)
}

pub(crate) async fn list_credits(call: Call) -> Outcome {
    done(call.mall.list_credits(call.partner()?, &call.page()?).await)
}

pub(crate) async fn set_credit(call: Call) -> Outcome {
    done(call.mall.set_credit(&call.by, call.of_partner("currency")?, &call.body()?).await)
}

pub(crate) async fn list_prices(call: Call) -> Outcome {
    done(call.mall.list_prices(call.partner()?, call.query("plan"), &call.page()?).await)
}

pub(crate) async fn add_price(call: Call) -> Outcome {
    created(call.mall.add_price(&call.by, call.partner()?, &call.body()?).await)
}

pub(crate) async fn end_price(call: Call) -> Outcome {
    done(call.mall.end_price(&call.by, call.of_partner("price_id")?).await)
}

pub(crate) async fn list_sims(call: Call) -> Outcome {
    done(call.mall.list_sims(call.partner()?, call.query("state"), &call.page()?).await)
}

pub(crate) async fn show_sim(call: Call) -> Outcome {
    done(call.mall.show_sim(call.of_partner("iccid")?).await)
}

pub(crate) async fn put_sim(call: Call) -> Outcome {
    done(call.mall.put_sim(&call.by, call.of_partner("iccid")?, &call.body()?).await)
}

pub(crate) async fn change_sim(call: Call) -> Outcome {
    done(call.mall.change_sim(&call.by, call.of_partner("iccid")?, &call.body()?).await)
}
