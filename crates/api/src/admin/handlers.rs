//! Handlers of the admin API: each calls one use-case and renders its answer.

mod audit;
mod tokens;

use std::sync::Arc;

use axum::routing::MethodRouter;
use mall::Mall;
use wire::admin::{Op, Route};

use super::on;

/// The handler of an operation.
pub(crate) fn of(op: Op, route: &'static Route, mall: &Arc<Mall>) -> MethodRouter {
    match op {
        Op::Whoami => on(route, mall, tokens::whoami),
        Op::ListTokens => on(route, mall, tokens::list),
        Op::AddToken => on(route, mall, tokens::add),
        Op::RetireToken => on(route, mall, tokens::retire),
        Op::ListAudit => on(route, mall, audit::list),
        Op::AuditHead => on(route, mall, audit::head),
        Op::VerifyAudit => on(route, mall, audit::verify),
    }
}
