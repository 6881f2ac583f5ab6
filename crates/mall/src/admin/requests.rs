//! The partners' request log, as operators read it.

use domain::Mode;
use domain::id::RequestId;
use store::{LogFilter, SUCCESS};
use wire::admin::request::LoggedRequest;
use wire::admin::{List, Problem};

use super::{Page, text, time};
use crate::Mall;
use crate::error::Result;

/// Which requests are wanted, as an operator says it.
#[derive(Debug, Clone, Default)]
pub struct RequestQuery {
    /// With this code.
    pub code: Option<String>,
    /// `succeeded` or `failed`.
    pub outcome: Option<String>,
    /// From this time on.
    pub from: Option<String>,
    /// Before this time.
    pub to: Option<String>,
}

fn shown(request: store::LoggedRequest) -> LoggedRequest {
    let outcome = if request.code == SUCCESS { "succeeded" } else { "failed" };
    // The form as `Match::form` writes it; empty where no signature held.
    let (scheme, without) = request.form.split_once(' ').unwrap_or((&request.form, ""));
    let signed = !scheme.is_empty();
    let kept = |what: &str| signed.then(|| !without.split(' ').any(|part| part == what));
    LoggedRequest {
        request_id: request.id.to_string(),
        at: text(request.at),
        outcome: outcome.to_owned(),
        status: i64::from(request.status),
        scheme: signed.then(|| scheme.to_owned()),
        empty_kept: kept("without-empty"),
        path_kept: kept("without-path"),
        key_id: Some(request.key_id).filter(|id| !id.is_empty()),
        route: request.route,
        code: request.code,
        took_us: request.took_us,
        address: request.address,
        trace_id: request.trace,
        sign_content: request.sign_content,
        causes: request.causes.map(|causes| causes.split(',').map(str::to_owned).collect()),
    }
}

impl Mall {
    /// The requests of a partner, the newest first.
    pub async fn list_requests(
        &self,
        mode: Mode,
        partner_code: &str,
        query: RequestQuery,
        page: &Page,
    ) -> Result<List<LoggedRequest>> {
        let before: Option<RequestId> = match page.after.as_str() {
            "" => None,
            after => {
                let wrong = |_| Problem::field("cursor", "not one that this list gave");
                Some(after.parse().map_err(wrong)?)
            }
        };
        let filter = LogFilter {
            code: query.code,
            succeeded: query.outcome.map(|outcome| outcome == "succeeded"),
            from: time("from", query.from.as_deref())?,
            to: time("to", query.to.as_deref())?,
            before,
        };
        let mut tx = self.store.read().await?;
        let partner = tx.partner_by_code(mode, partner_code).await?;
        let partner = partner.ok_or_else(|| Problem::not_found("partner"))?;
        let key = (mode, partner.id);
        let found = tx.logged_requests(key, &filter, page.limit_and_one()).await?;
        Ok(page.list(found, |request| request.id.to_string(), shown))
    }
}
