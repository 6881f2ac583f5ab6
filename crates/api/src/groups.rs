//! Handlers of groups of SIMs, and their answers in the words of the wire. `wire` documents each call; the use-cases are
//! in `mall`.

use axum::extract::State;
use axum::response::Response;
use domain::Locale;
use domain::group::{Group, Item, ItemState, Operation, OperationKind, OperationState};
use domain::package::Volume;
use mall::groups::{
    ChangeSims, Changed, OperationResult, ResultWish, ShownGroup, SimsPage, SimsWish,
};
use serde::Serialize;
use wire::groups as shape;
use wire::groups::{
    Accepted, AddGroupSims, AsyncResult, CancelOperation, ChangeGroupSims, DryRun, ListGroupSims,
    ListGroups, RemoveGroupSims, RetryFailed, SIMS_MAX, SimResult,
};

use crate::App;
use crate::file::File;
use crate::messages;
use crate::signed::Signed;

/// What a request to add or remove SIMs is answered with.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Accepted(Accepted),
    DryRun(DryRun),
}

pub(crate) async fn list(State(app): State<App>, call: Signed<ListGroups>) -> Response {
    let groups = app.mall.list_groups(&call.caller).await;
    call.answer(groups.map(|groups| groups.into_iter().map(shown).collect::<Vec<_>>()))
}

pub(crate) async fn list_sims(State(app): State<App>, call: Signed<ListGroupSims>) -> Response {
    let request = &call.request;
    let wish =
        SimsWish { page_no: request.page_no, page_size: request.page_size, cursor: request.cursor };
    let page = app.mall.list_group_sims(&call.caller, &request.group_id, &wish).await;
    call.answer(page.map(|page| sims(&request.group_id, page)))
}

pub(crate) async fn add_sims(State(app): State<App>, call: Signed<AddGroupSims>) -> Response {
    change(&app, &call, OperationKind::AddSims, &call.request.0).await
}

pub(crate) async fn remove_sims(State(app): State<App>, call: Signed<RemoveGroupSims>) -> Response {
    change(&app, &call, OperationKind::RemoveSims, &call.request.0).await
}

async fn change<R>(
    app: &App,
    call: &Signed<R>,
    kind: OperationKind,
    request: &ChangeGroupSims,
) -> Response {
    let wish = ChangeSims {
        kind,
        group_id: request.group_id.clone(),
        iccids: request.sims.clone(),
        idempotency_key: Some(call.idempotency_key.clone()).filter(|key| !key.is_empty()),
        dry_run: request.dry_run,
    };
    let changed = app.mall.change_group_sims(&call.caller, &wish).await;
    call.answer(changed.map(|changed| match changed {
        // Published so, however far it is by now where the request is a repeat.
        Changed::Accepted(operation) => Answer::Accepted(Accepted {
            status: OperationState::Accepted.as_str().to_owned(),
            ..accepted(&operation)
        }),
        Changed::DryRun(items) => Answer::DryRun(dry_run(&wish, &items, call.caller.locale)),
    }))
}

pub(crate) async fn async_result(State(app): State<App>, call: Signed<AsyncResult>) -> Response {
    let (request, locale) = (&call.request, call.caller.locale);
    let mut wish = ResultWish {
        page_no: request.page_no,
        page_size: request.page_size,
        only_failed: request.only_failed,
    };
    if request.csv {
        let all = u32::try_from(SIMS_MAX).unwrap_or(u32::MAX);
        wish = ResultWish { page_no: 1, page_size: all, ..wish };
    }
    let result = app.mall.group_result(&call.caller, &request.request_id, wish).await;
    if request.csv {
        return call.answer_file(result.map(|result| file(&result, locale)));
    }
    call.answer(result.map(|result| told(&result, locale)))
}

pub(crate) async fn retry_failed(State(app): State<App>, call: Signed<RetryFailed>) -> Response {
    let key = Some(call.idempotency_key.as_str()).filter(|key| !key.is_empty());
    let id = &call.request.request_id;
    let begun = app.mall.retry_failed_group_sims(&call.caller, id, key).await;
    call.answer(begun.map(|operation| accepted(&operation)))
}

pub(crate) async fn cancel_operation(
    State(app): State<App>,
    call: Signed<CancelOperation>,
) -> Response {
    let ended = app.mall.cancel_group_operation(&call.caller, &call.request.request_id).await;
    call.answer(ended.map(|operation| accepted(&operation)))
}

/// A group in the words of the wire.
fn shown(ShownGroup { group, plan_name }: ShownGroup) -> shape::Group {
    let Group { bundle, period, .. } = group;
    let bundle = shape::Bundle {
        service_plan_code: bundle.plan_code,
        service_plan_show_name: plan_name,
        package_code: bundle.package_code,
        package_type: bundle.length.unit.code().to_owned(),
        data_volume: match bundle.volume {
            Volume::Bytes(bytes) => whole(bytes),
            Volume::Unlimited => -1,
        },
        used_volume: whole(group.used_bytes),
        effective_at: period.effective_at.as_millis(),
        expire_at: period.expire_at.as_millis(),
    };
    shape::Group {
        group_id: group.id,
        name: group.name,
        status: group.state.as_str().to_uppercase(),
        sim_count: group.sim_count,
        sim_limit: group.sim_limit,
        bundle,
    }
}

/// Bytes as a number of the wire; there are no volumes beyond 64 bits with a sign.
fn whole(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn sims(group_id: &str, page: SimsPage) -> shape::GroupSims {
    let sims = page.sims.into_iter().map(|placed| shape::GroupSim {
        sim_id: placed.iccid.as_str().to_owned(),
        joined_at: placed.joined_at.as_millis(),
    });
    shape::GroupSims {
        group_id: group_id.to_owned(),
        total_count: page.total_count,
        next_cursor: page.next_cursor,
        sims: sims.collect(),
    }
}

fn accepted(operation: &Operation) -> Accepted {
    Accepted { request_id: operation.id.to_string(), status: operation.state.as_str().to_owned() }
}

fn dry_run(wish: &ChangeSims, items: &[Item], locale: Locale) -> DryRun {
    let failed = items.iter().filter(|item| item.state == ItemState::Failed).count();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    DryRun {
        operation: wish.kind.as_str().to_owned(),
        group_id: wish.group_id.clone(),
        status: "DRY_RUN".to_owned(),
        total: count(items.len()),
        succeeded: count(items.len() - failed),
        failed: count(failed),
        results: items.iter().map(|item| result(item, locale)).collect(),
    }
}

fn told(result: &OperationResult, locale: Locale) -> shape::OperationResult {
    let (operation, counts) = (&result.operation, result.operation.counts);
    shape::OperationResult {
        request_id: operation.id.to_string(),
        operation: operation.kind.as_str().to_owned(),
        group_id: operation.group_id.clone(),
        status: operation.state.as_str().to_owned(),
        total: counts.total,
        succeeded: counts.succeeded,
        // As many as `only=failed` lists.
        failed: counts.failed + counts.cancelled + counts.review,
        results: result.items.iter().map(|item| self::result(item, locale)).collect(),
        created_at: operation.created_at.as_millis(),
        finished_at: operation.finished_at.map(domain::Timestamp::as_millis),
    }
}

/// What became of a SIM, in a language.
fn result(item: &Item, locale: Locale) -> SimResult {
    SimResult {
        sim_id: item.iccid.as_str().to_owned(),
        status: item.state.as_str().to_owned(),
        code: item.code.map(|code| code.as_str().to_owned()),
        message: item.code.map(|code| messages::sim_result(locale, code, &item.detail)),
    }
}

/// All results as a file.
fn file(result: &OperationResult, locale: Locale) -> File {
    let names = ["sim_id", "status", "code", "message"].map(str::to_owned).to_vec();
    let lines = result.items.iter().map(|item| {
        let SimResult { sim_id, status, code, message } = self::result(item, locale);
        vec![sim_id, status, code.unwrap_or_default(), message.unwrap_or_default()]
    });
    let lines = std::iter::once(names).chain(lines).collect();
    File { name: result.operation.id.to_string(), lines }
}
