//! The ledger: balances, postings, what partners paid, and whether a day's money adds up.

use super::super::Outcome;
use super::super::call::{Call, created, done};

pub(crate) async fn balances(call: Call) -> Outcome {
    done(call.mall.list_balances(call.mode()?, call.query("partner"), &call.page()?).await)
}

pub(crate) async fn postings(call: Call) -> Outcome {
    done(call.mall.list_postings(call.mode()?, call.query("partner"), &call.page()?).await)
}

pub(crate) async fn settle(call: Call) -> Outcome {
    let (mode, code, currency) = call.of_partner("currency")?;
    created(call.mall.settle_credit(&call.by, (mode, code, currency), &call.body()?).await)
}

pub(crate) async fn reconcile(call: Call) -> Outcome {
    let day = call.query("day").unwrap_or_default();
    done(call.mall.reconcile_day(call.mode()?, day, &call.page()?).await)
}
