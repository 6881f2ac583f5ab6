//! The calls about groups of SIMs, one method each.

use serde_json::Value;
use wire::groups::{
    ADD_GROUP_SIMS, ASYNC_RESULT, Accepted, CANCEL_OPERATION, DryRun, Group, GroupSims,
    LIST_GROUP_SIMS, LIST_GROUPS, OperationResult, REMOVE_GROUP_SIMS, RETRY_FAILED,
};

use crate::client::{Client, Error, Fields, Way};

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageAt {
    /// A page by its number, from 1. While members change, one may be missed or seen twice.
    Number(u32),
    /// Behind another page: its `next_cursor`.
    Cursor(String),
}

fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

fn change(group_id: &str, iccids: &[String], dry_run: bool) -> Fields<'static> {
    let mut fields =
        vec![("group_id", text(group_id)), ("sim_ids", iccids.iter().map(text).collect())];
    if dry_run {
        fields.push(("dry_run", text("1")));
    }
    fields
}

impl Client {
    /// Your groups, each with its bundle.
    pub async fn groups(&self) -> Result<Vec<Group>, Error> {
        self.call(&LIST_GROUPS, Vec::new()).await
    }

    /// A page of a group's SIMs.
    pub async fn group_sims(
        &self,
        group_id: &str,
        at: PageAt,
        page_size: u32,
    ) -> Result<GroupSims, Error> {
        let at = match at {
            PageAt::Number(number) => ("page_no", text(number.to_string())),
            PageAt::Cursor(cursor) => ("cursor", text(cursor)),
        };
        let size = ("page_size", text(page_size.to_string()));
        self.call(&LIST_GROUP_SIMS, vec![("group_id", text(group_id)), at, size]).await
    }

    /// Begins to add SIMs to a group. The same again under the same key (empty: none) begins nothing new, so that
    /// after a lost reply one simply asks again.
    pub async fn add_group_sims(
        &self,
        group_id: &str,
        iccids: &[String],
        idempotency_key: &str,
    ) -> Result<Accepted, Error> {
        let way = Way { idempotency_key, ..Way::default() };
        self.call_in_way(&ADD_GROUP_SIMS, change(group_id, iccids, false), way).await
    }

    /// Begins to remove SIMs from a group; otherwise like [`Client::add_group_sims`].
    pub async fn remove_group_sims(
        &self,
        group_id: &str,
        iccids: &[String],
        idempotency_key: &str,
    ) -> Result<Accepted, Error> {
        let way = Way { idempotency_key, ..Way::default() };
        self.call_in_way(&REMOVE_GROUP_SIMS, change(group_id, iccids, false), way).await
    }

    /// The same for callers behind a proxy that drops the body of a DELETE: all parameters stand in the query. At most
    /// 1,000 SIMs.
    pub async fn remove_group_sims_by_query(
        &self,
        group_id: &str,
        iccids: &[String],
        idempotency_key: &str,
    ) -> Result<Accepted, Error> {
        let fields = vec![("group_id", text(group_id)), ("sim_ids", text(iccids.join(",")))];
        let way = Way { in_query: true, idempotency_key };
        self.call_in_way(&REMOVE_GROUP_SIMS, fields, way).await
    }

    /// What would become of SIMs if they were added to a group. Nothing is done.
    pub async fn would_add_group_sims(
        &self,
        group_id: &str,
        iccids: &[String],
    ) -> Result<DryRun, Error> {
        self.call(&ADD_GROUP_SIMS, change(group_id, iccids, true)).await
    }

    /// What would become of SIMs if they were removed from a group. Nothing is done.
    pub async fn would_remove_group_sims(
        &self,
        group_id: &str,
        iccids: &[String],
    ) -> Result<DryRun, Error> {
        self.call(&REMOVE_GROUP_SIMS, change(group_id, iccids, true)).await
    }

    /// How far an operation is, with a page of 1,000 of its results from 1 on: all of them, or those of SIMs that
    /// failed.
    pub async fn async_result(
        &self,
        request_id: &str,
        only_failed: bool,
        page_no: u32,
    ) -> Result<OperationResult, Error> {
        let mut fields = vec![
            ("request_id", text(request_id)),
            ("page_no", text(page_no.to_string())),
            ("page_size", text("1000")),
        ];
        if only_failed {
            fields.push(("only", text("failed")));
        }
        self.call(&ASYNC_RESULT, fields).await
    }

    /// All results of an operation as comma-separated values, with a line of names first.
    pub async fn async_result_csv(
        &self,
        request_id: &str,
        only_failed: bool,
    ) -> Result<String, Error> {
        let mut fields = vec![("request_id", text(request_id)), ("format", text("csv"))];
        if only_failed {
            fields.push(("only", text("failed")));
        }
        self.text(&ASYNC_RESULT, fields, Way::default()).await
    }

    /// Begins a new operation with the SIMs of one that failed or were cancelled; where there are none, that one is the
    /// answer.
    pub async fn retry_failed(
        &self,
        request_id: &str,
        idempotency_key: &str,
    ) -> Result<Accepted, Error> {
        let way = Way { idempotency_key, ..Way::default() };
        self.call_in_way(&RETRY_FAILED, vec![("request_id", text(request_id))], way).await
    }

    /// Stops an operation: SIMs whose turn has not come are left as they are.
    pub async fn cancel_operation(&self, request_id: &str) -> Result<Accepted, Error> {
        self.call(&CANCEL_OPERATION, vec![("request_id", text(request_id))]).await
    }
}
