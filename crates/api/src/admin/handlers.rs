//! Handlers of the admin API: each calls one use-case and renders its answer.

mod audit;
mod catalogue;
mod groups;
mod imports;
mod ledger;
mod orders;
mod partners;
mod pushes;
mod renewals;
mod requests;
mod tokens;

use std::sync::Arc;

use axum::routing::MethodRouter;
use mall::Mall;
use wire::admin::{Op, Route};

use super::on;

/// The handler of an operation.
#[expect(clippy::too_many_lines, reason = "a line for each operation: none can be forgotten")]
pub(crate) fn of(op: Op, route: &'static Route, mall: &Arc<Mall>) -> MethodRouter {
    match op {
        Op::Whoami => on(route, mall, tokens::whoami),
        Op::ListTokens => on(route, mall, tokens::list),
        Op::AddToken => on(route, mall, tokens::add),
        Op::RetireToken => on(route, mall, tokens::retire),
        Op::ListPartners => on(route, mall, partners::list),
        Op::AddPartner => on(route, mall, partners::add),
        Op::ShowPartner => on(route, mall, partners::show),
        Op::ChangePartner => on(route, mall, partners::change),
        Op::SuspendPartner => on(route, mall, partners::suspend),
        Op::ResumePartner => on(route, mall, partners::resume),
        Op::ListKeys => on(route, mall, partners::list_keys),
        Op::AddKey => on(route, mall, partners::add_key),
        Op::RetireKey => on(route, mall, partners::retire_key),
        Op::ListPushEndpoints => on(route, mall, pushes::list),
        Op::AddPushEndpoint => on(route, mall, pushes::add),
        Op::ShowPushEndpoint => on(route, mall, pushes::show),
        Op::ChangePushEndpoint => on(route, mall, pushes::change),
        Op::DeletePushEndpoint => on(route, mall, pushes::delete),
        Op::TestPushEndpoint => on(route, mall, pushes::test),
        Op::RotatePushKey => on(route, mall, pushes::rotate),
        Op::ListPushDeliveries => on(route, mall, pushes::deliveries),
        Op::ResendPushes => on(route, mall, pushes::resend),
        Op::ListCredits => on(route, mall, partners::list_credits),
        Op::SetCredit => on(route, mall, partners::set_credit),
        Op::ListPrices => on(route, mall, partners::list_prices),
        Op::AddPrice => on(route, mall, partners::add_price),
        Op::EndPrice => on(route, mall, partners::end_price),
        Op::ListSims => on(route, mall, partners::list_sims),
        Op::ShowSim => on(route, mall, partners::show_sim),
        Op::PutSim => on(route, mall, partners::put_sim),
        Op::ChangeSim => on(route, mall, partners::change_sim),
        Op::ListPackages => on(route, mall, catalogue::list_packages),
        Op::ShowPackage => on(route, mall, catalogue::show_package),
        Op::PutPackage => on(route, mall, catalogue::put_package),
        Op::ShowRoute => on(route, mall, catalogue::show_route),
        Op::PutRoute => on(route, mall, catalogue::put_route),
        Op::ListPlans => on(route, mall, catalogue::list_plans),
        Op::ShowPlan => on(route, mall, catalogue::show_plan),
        Op::PutPlan => on(route, mall, catalogue::put_plan),
        Op::ListOrders => on(route, mall, orders::list),
        Op::ShowOrder => on(route, mall, orders::show),
        Op::ShowTimeline => on(route, mall, orders::timeline),
        Op::ListReviews => on(route, mall, orders::list_reviews),
        Op::ResolveOrder => on(route, mall, orders::resolve),
        Op::RefundOrder => on(route, mall, orders::refund),
        Op::ListRenewals => on(route, mall, renewals::list),
        Op::ShowRenewal => on(route, mall, renewals::timeline),
        Op::CancelRenewal => on(route, mall, renewals::cancel),
        Op::ListGroups => on(route, mall, groups::list),
        Op::ShowGroup => on(route, mall, groups::show),
        Op::AddGroup => on(route, mall, groups::add),
        Op::ChangeGroup => on(route, mall, groups::change),
        Op::SetBundle => on(route, mall, groups::set_bundle),
        Op::ListOperations => on(route, mall, groups::list_operations),
        Op::ShowOperation => on(route, mall, groups::show_operation),
        Op::ListOperationSims => on(route, mall, groups::list_operation_sims),
        Op::ListGroupReviews => on(route, mall, groups::list_reviews),
        Op::ResolveGroupSim => on(route, mall, groups::resolve),
        Op::ListJobs => on(route, mall, orders::list_jobs),
        Op::ShowJob => on(route, mall, orders::show_job),
        Op::RetryJob => on(route, mall, orders::retry_job),
        Op::CancelJob => on(route, mall, orders::cancel_job),
        Op::ShowClock => on(route, mall, ledger::show_clock),
        Op::MoveClock => on(route, mall, ledger::move_clock),
        Op::Reconcile => on(route, mall, ledger::reconcile),
        Op::Settle => on(route, mall, ledger::settle),
        Op::ListBalances => on(route, mall, ledger::balances),
        Op::ListPostings => on(route, mall, ledger::postings),
        Op::ListRequests => on(route, mall, requests::list),
        Op::ListAudit => on(route, mall, audit::list),
        Op::AuditHead => on(route, mall, audit::head),
        Op::VerifyAudit => on(route, mall, audit::verify),
        Op::AddImport => on(route, mall, imports::add),
        Op::PutImportPart => on(route, mall, imports::put_part),
        Op::ApplyImport => on(route, mall, imports::apply),
        Op::ShowImport => on(route, mall, imports::show),
        Op::Export => on(route, mall, imports::export),
    }
}
