//! The answers to those who have many SIMs and are told of events: groups and push endpoints.

use wire::groups::{
    Accepted, Bundle, DryRun, Group, GroupSim, GroupSims, OperationResult, SimResult,
};

use super::check;

#[test]
fn the_answers_about_push_endpoints_fit_their_schemas() {
    let t = String::new;
    let endpoint = |time| wire::endpoints::Endpoint {
        endpoint_id: t(),
        kind: "url".into(),
        url: t(),
        description: t(),
        events: vec!["plan.expired".into()],
        state: "off".into(),
        off_reason: t(),
        created_at: 0,
        failing_since: time,
        failures: 0,
        probe_at: time,
        tried_at: time,
        succeeded_at: time,
        waiting: 0,
        keys: vec![wire::endpoints::Key { key_id: t(), created_at: 0, retires_at: time }],
    };
    check("changePushEndpoint", &endpoint(None));
    let all = vec![endpoint(None), endpoint(Some(1))];
    check("listPushEndpoints", &wire::endpoints::Endpoints { endpoints: all });
    let key = wire::endpoints::IssuedKey { key_id: t(), hex: t(), whsec: t() };
    let issued = wire::endpoints::IssuedEndpoint { endpoint: endpoint(None), key };
    check("addPushEndpoint", &issued);
    check("rotatePushKey", &issued);
    let attempt = |status| wire::endpoints::Try {
        tried_at: 0,
        latency_ms: 0,
        status,
        failure: t(),
        said: t(),
    };
    for attempt in [None, Some(attempt(None)), Some(attempt(Some(200)))] {
        let (event_id, state) = (t(), "waiting".to_owned());
        check("testPushEndpoint", &wire::endpoints::Tested { event_id, state, attempt });
    }
    for next_cursor in [None, Some(t())] {
        let deliveries = vec![wire::endpoints::Delivery {
            event_id: t(),
            event_type: "push.sample".into(),
            subject: t(),
            sequence: 1,
            occurred_at: 0,
            recorded_at: 0,
            state: "failed".into(),
            tries: 0,
            due_at: Some(0),
            decided_at: None,
            attempts: vec![attempt(None), attempt(Some(200))],
            body: next_cursor.clone(),
        }];
        let resent = wire::endpoints::Resent { count: 1, next_cursor: next_cursor.clone() };
        check("resendPushes", &resent);
        check("listPushDeliveries", &wire::endpoints::Deliveries { deliveries, next_cursor });
    }
    let event = wire::endpoints::SignedEvent {
        event_id: t(),
        headers: [("webhook-id".to_owned(), t())].into(),
        body: t(),
    };
    check("takePushes", &wire::endpoints::Taken { events: vec![event] });
}

#[test]
fn the_answers_about_groups_fit_their_schemas() {
    let t = String::new;
    let bundle = Bundle {
        service_plan_code: t(),
        service_plan_show_name: t(),
        package_code: t(),
        package_type: "2".into(),
        data_volume: -1,
        used_volume: 0,
        effective_at: 0,
        expire_at: 1,
    };
    let status = "THROTTLED".into();
    let group = Group { group_id: t(), name: t(), status, sim_count: 0, sim_limit: 1, bundle };
    check("listGroups", &vec![group]);
    let sim = GroupSim { sim_id: t(), joined_at: 0 };
    for next_cursor in [None, Some(t())] {
        let sims = vec![sim.clone()];
        check("listGroupSims", &GroupSims { group_id: t(), total_count: 1, next_cursor, sims });
    }
    let accepted = Accepted { request_id: t(), status: "ACCEPTED".into() };
    for name in ["addGroupSims", "removeGroupSims", "retryFailed", "cancelOperation"] {
        check(name, &accepted);
    }
    let result = |status: &str, why: Option<String>| SimResult {
        sim_id: t(),
        status: status.into(),
        code: why.clone(),
        message: why,
    };
    let results = vec![result("SUCCEEDED", None), result("REVIEW", Some(t()))];
    let dry_run = DryRun {
        operation: "ADD_SIMS".into(),
        group_id: t(),
        status: "DRY_RUN".into(),
        total: 2,
        succeeded: 1,
        failed: 1,
        results: results.clone(),
    };
    check("removeGroupSims", &dry_run);
    let whole = OperationResult {
        request_id: t(),
        operation: "REMOVE_SIMS".into(),
        group_id: t(),
        status: "RUNNING".into(),
        total: 2,
        succeeded: 1,
        failed: 0,
        results,
        created_at: 0,
        finished_at: None,
    };
    check("asyncResult", &whole);
    check("asyncResult", &OperationResult { finished_at: Some(1), ..whole });
}
