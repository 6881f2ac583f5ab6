//! Groups of SIMs that share a bundle, the operations on them, and SIMs of which nobody can tell whether they are in.

use clap::{Args, Subcommand, ValueEnum};
use sdk::admin::Method;
use serde_json::json;

use super::{Call, Paging, Session, View, given, object, show};
use crate::cli::say;

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// List groups by partner and code.
    List {
        /// Only of the partner with this code.
        #[arg(long)]
        partner: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show a group with its bundle.
    Show {
        /// The partner's code.
        partner: String,
        /// The group's code.
        group: String,
    },
    /// Make a group under a bundle, whose first period begins now and is charged.
    Create {
        /// The partner's code.
        partner: String,
        /// The code by which the partner shall know it.
        group: String,
        /// Its name, for people.
        #[arg(long)]
        name: String,
        /// How many SIMs there may be.
        #[arg(long, value_name = "NUMBER")]
        sim_limit: i64,
        #[command(flatten)]
        bundle: Bundle,
        /// What the carrier calls the group; one that no other group has is made if it is not given.
        #[arg(long, value_name = "NAME")]
        carrier_group: Option<String>,
    },
    /// Change a group's name, how many SIMs there may be, or its bundle's policies.
    Change {
        /// The partner's code.
        partner: String,
        /// The group's code.
        group: String,
        /// Its name, for people.
        #[arg(long)]
        name: Option<String>,
        /// How many SIMs there may be; fewer than there are keep others out.
        #[arg(long, value_name = "NUMBER")]
        sim_limit: Option<i64>,
        /// What happens when the shared volume is used up: no data, slow data, or the next period at once.
        #[arg(long)]
        at_limit: Option<AtLimit>,
        /// What happens when a period is over: the next one begins, or the bundle ends.
        #[arg(long)]
        at_end: Option<AtEnd>,
    },
    /// What the SIMs of a group share.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// SIMs of which nobody can tell whether they are in their group.
    #[command(subcommand)]
    Review(GroupReviewCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum BundleCommand {
    /// Set what the SIMs of a group share: a period begins now and is charged, what was left is lost.
    Set {
        /// The partner's code.
        partner: String,
        /// The group's code.
        group: String,
        /// The number of the period that ends by it, as `group show` has it: a repeat does not begin one more.
        #[arg(long, value_name = "NUMBER")]
        period_no: i64,
        #[command(flatten)]
        bundle: Bundle,
    },
}

#[derive(Debug, Args)]
pub(super) struct Bundle {
    /// The plan that the SIMs share; its package says carrier and volume.
    #[arg(long, value_name = "CODE")]
    plan: String,
    /// How many units a period of the bundle has; 1 if it is not given.
    #[arg(long, value_name = "NUMBER")]
    periods: Option<u32>,
    /// What happens when the shared volume is used up: no data, slow data, or the next period at once.
    #[arg(long)]
    at_limit: Option<AtLimit>,
    /// What happens when a period is over: the next one begins, or the bundle ends.
    #[arg(long)]
    at_end: Option<AtEnd>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum AtLimit {
    Stop,
    Throttle,
    Renew,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum AtEnd {
    Renew,
    End,
}

impl AtLimit {
    fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Throttle => "throttle",
            Self::Renew => "renew",
        }
    }
}

impl AtEnd {
    fn word(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::End => "end",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum GroupReviewCommand {
    /// List SIMs that wait for a person, by ICCID.
    List(Paging),
    /// Decide about a SIM that waits. Ask the carrier what it did before.
    Resolve {
        /// The partner's code.
        partner: String,
        /// The SIM.
        iccid: String,
        #[command(flatten)]
        finding: Finding,
        /// How that is known, for the audit log.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Finding {
    /// At its carrier the SIM is in the group.
    #[arg(long = "in")]
    is_in: bool,
    /// At its carrier the SIM is not in the group.
    #[arg(long)]
    out: bool,
}

impl GroupCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::List { partner, paging } => {
                let columns = &[
                    "partner",
                    "group_id",
                    "name",
                    "state",
                    "sim_count",
                    "sim_limit",
                    "plan_code",
                    "used_bytes",
                    "volume_bytes",
                    "expires_at",
                ];
                Call::get([mode, "groups"]).only("partner", partner).list(columns, paging)
            }
            Self::Show { partner, group } => {
                Call::get([mode, "partners", &partner, "groups", &group])
            }
            Self::Create { partner, group, name, sim_limit, bundle, carrier_group } => {
                let body = object([
                    ("group_id", given(Some(group))),
                    ("name", given(Some(name))),
                    ("sim_limit", given(Some(sim_limit))),
                    ("plan_code", given(Some(bundle.plan))),
                    ("periods", given(bundle.periods)),
                    ("carrier_group", given(carrier_group)),
                    ("at_limit", given(bundle.at_limit.map(AtLimit::word))),
                    ("at_end", given(bundle.at_end.map(AtEnd::word))),
                ]);
                Call::new(Method::POST, [mode, "partners", &partner, "groups"]).with(body)
            }
            Self::Change { partner, group, name, sim_limit, at_limit, at_end } => {
                let body = object([
                    ("name", given(name)),
                    ("sim_limit", given(sim_limit)),
                    ("at_limit", given(at_limit.map(AtLimit::word))),
                    ("at_end", given(at_end.map(AtEnd::word))),
                ]);
                Call::new(Method::PATCH, [mode, "partners", &partner, "groups", &group]).with(body)
            }
            Self::Bundle(BundleCommand::Set { partner, group, period_no, bundle }) => {
                let body = object([
                    ("period_no", given(Some(period_no))),
                    ("plan_code", given(Some(bundle.plan))),
                    ("periods", given(bundle.periods)),
                    ("at_limit", given(bundle.at_limit.map(AtLimit::word))),
                    ("at_end", given(bundle.at_end.map(AtEnd::word))),
                ]);
                let path = [mode, "partners", &partner, "groups", &group, "bundle"];
                Call::new(Method::PUT, path).with(body)
            }
            Self::Review(review) => review.call(mode),
        }
    }
}

impl GroupReviewCommand {
    fn call(self, mode: &str) -> Call {
        match self {
            Self::List(paging) => {
                let columns = &[
                    "partner",
                    "group_id",
                    "iccid",
                    "operation",
                    "request_id",
                    "asked_at",
                    "said",
                ];
                Call::get([mode, "group-reviews"]).list(columns, paging)
            }
            Self::Resolve { partner, iccid, finding, reason } => {
                let word = if finding.is_in { "in" } else { "out" };
                let body =
                    object([("finding", given(Some(word))), ("reason", given(Some(reason)))]);
                let path = [mode, "partners", &partner, "group-reviews", &iccid, "resolve"];
                Call::new(Method::POST, path).with(body).done("decided")
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum OperationCommand {
    /// List operations on a group, the newest first.
    List {
        /// The partner's code.
        partner: String,
        /// The group's code.
        group: String,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show how far an operation is, and what came of its SIMs.
    Show {
        /// Its id, which the partner was answered.
        request_id: String,
        /// Only the SIMs that did not succeed.
        #[arg(long)]
        failed: bool,
        #[command(flatten)]
        paging: Paging,
    },
}

impl OperationCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::List { partner, group, paging } => {
                let columns = &[
                    "request_id",
                    "operation",
                    "state",
                    "total",
                    "succeeded",
                    "failed",
                    "not_begun",
                    "in_review",
                    "created_at",
                    "finished_at",
                ];
                let path = [mode, "partners", &partner, "groups", &group, "operations"];
                Call::get(path).list(columns, paging)
            }
            Self::Show { request_id, failed, paging } => {
                let call = Call::get([mode, "operations", &request_id]);
                let call = call.only("failed", failed.then_some(true));
                Call { view: View::Operation(paging), ..call }
            }
        }
    }
}

impl Session {
    /// Shows an operation and its SIMs, for which the call's query is meant.
    pub(super) async fn show_operation(&self, call: Call, paging: &Paging) -> anyhow::Result<()> {
        let mut sims = call;
        let query = std::mem::take(&mut sims.query);
        let operation = self.ask(&sims).await?;
        sims.query = query;
        sims.path.push("sims".to_owned());
        let sims = self.all(&sims, paging).await?;
        if self.json {
            return self.print(&json!({ "operation": operation, "sims": sims }));
        }
        show::record(&operation)?;
        say("")?;
        show::list(&sims, &["iccid", "state", "code", "detail", "waits_since"])
    }
}
