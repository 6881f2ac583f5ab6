//! Orders, jobs, the ledger, and operators' tokens.

use clap::{Args, Subcommand, ValueEnum};
use sdk::admin::Method;

use super::{Call, Paging, given, object};

#[derive(Debug, Subcommand)]
pub(super) enum OrderCommand {
    /// List orders, the newest first.
    List {
        /// Only orders of the partner with this code.
        #[arg(long)]
        partner: Option<String>,
        /// Only orders in this state, such as REVIEW.
        #[arg(long)]
        state: Option<String>,
        /// Only orders for the SIM with this number.
        #[arg(long)]
        iccid: Option<String>,
        /// Only orders with this orderNo, payId, requestOrderId or id.
        #[arg(long)]
        number: Option<String>,
        /// Only orders of the plan with this code.
        #[arg(long)]
        plan: Option<String>,
        /// Only orders that came from this time on, such as 2027-01-01T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Only orders that came before this time.
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show an order with its payment, plan, postings and jobs.
    Show {
        /// Its id, orderNo, payId or requestOrderId.
        number: String,
    },
    /// Show all that happened to an order, in its order: requests, payment, every attempt, plan, operators' acts.
    Explain {
        /// Its id, orderNo, payId or requestOrderId.
        number: String,
    },
}

impl OrderCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::List { partner, state, iccid, number, plan, from, to, paging } => {
                let columns = &[
                    "order_id",
                    "partner",
                    "order_no",
                    "iccid",
                    "plan_code",
                    "state",
                    "created_at",
                ];
                let call = Call::get([mode, "orders"]).only("partner", partner);
                let call = call.only("state", state).only("iccid", iccid).only("number", number);
                call.only("plan", plan).only("from", from).only("to", to).list(columns, paging)
            }
            Self::Show { number } => Call::get([mode, "orders", &number]).of_order(),
            Self::Explain { number } => timeline(mode, &number),
        }
    }
}

/// All that happened to an order, for people line by line.
fn timeline(mode: &str, number: &str) -> Call {
    Call::get([mode, "orders", number, "timeline"]).of_order().timeline()
}

#[derive(Debug, Subcommand)]
pub(super) enum ReviewCommand {
    /// List orders that wait for a person, the eldest first.
    List {
        /// Only of the partner with this code.
        #[arg(long)]
        partner: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show all that is known of an order that waits.
    Show {
        /// Its id, orderNo, payId or requestOrderId.
        number: String,
    },
    /// Decide about an order that waits. Ask the carrier what it did before.
    Resolve {
        /// Its id, orderNo, payId or requestOrderId.
        number: String,
        #[command(flatten)]
        finding: Finding,
        /// How that is known, for the audit log.
        #[arg(long)]
        reason: String,
        /// The carrier's id of the order, with --provisioned.
        #[arg(long)]
        upstream_id: Option<String>,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Finding {
    /// The plan is on the SIM.
    #[arg(long)]
    provisioned: bool,
    /// The plan is not on the SIM: the carrier is asked again, under the same key.
    #[arg(long)]
    not_provisioned: bool,
    /// The order ends without a plan, and what was owed for it is given back.
    #[arg(long)]
    refund: bool,
}

impl ReviewCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::List { partner, paging } => {
                let columns = &["order_id", "partner", "order_no", "carrier", "paid_at", "message"];
                Call::get([mode, "reviews"]).only("partner", partner).list(columns, paging)
            }
            Self::Show { number } => timeline(mode, &number),
            Self::Resolve { number, finding, reason, upstream_id } => {
                let word = match finding {
                    Finding { provisioned: true, .. } => "provisioned",
                    Finding { not_provisioned: true, .. } => "not_provisioned",
                    Finding { .. } => "refund",
                };
                let body = object([
                    ("finding", given(Some(word))),
                    ("reason", given(Some(reason))),
                    ("upstream_id", given(upstream_id)),
                ]);
                let call = Call::new(Method::POST, [mode, "orders", &number, "resolve"]);
                call.of_order().with(body)
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum JobCommand {
    /// List jobs: the dead ones, then the others as they fall due.
    List {
        /// Only jobs of the partner with this code.
        #[arg(long)]
        partner: Option<String>,
        /// Only jobs of this kind, such as provision.
        #[arg(long)]
        kind: Option<String>,
        /// Only jobs in this state: ready or dead.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show a job.
    Show {
        /// Its id.
        job_id: String,
    },
    /// Run a job now, as if it had never failed.
    Retry {
        /// Its id.
        job_id: String,
    },
    /// Drop a job that has nothing left to do.
    Cancel {
        /// Its id.
        job_id: String,
    },
}

impl JobCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::List { partner, kind, state, paging } => {
                let columns =
                    &["job_id", "partner", "kind", "state", "run_at", "failures", "last_error"];
                let call = Call::get([mode, "jobs"]).only("partner", partner);
                call.only("kind", kind).only("state", state).list(columns, paging)
            }
            Self::Show { job_id } => Call::get([mode, "jobs", &job_id]),
            Self::Retry { job_id } => {
                Call::new(Method::POST, [mode, "jobs", &job_id, "retry"]).done("the job runs again")
            }
            Self::Cancel { job_id } => {
                let call = Call::new(Method::POST, [mode, "jobs", &job_id, "cancel"]);
                call.done("the job is dropped")
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// List the balance of each account, by partner.
    Balances {
        /// Only of the partner with this code.
        #[arg(long)]
        partner: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// List postings by partner, those of the newest orders first.
    Postings {
        /// Only of the partner with this code.
        #[arg(long)]
        partner: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
}

impl LedgerCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::Balances { partner, paging } => {
                let columns = &["partner", "account", "currency", "balance"];
                let call = Call::get([mode, "ledger", "balances"]);
                call.only("partner", partner).list(columns, paging)
            }
            Self::Postings { partner, paging } => {
                let columns =
                    &["partner", "order_id", "kind", "debit", "credit", "amount", "currency"];
                let call = Call::get([mode, "ledger", "postings"]);
                call.only("partner", partner).list(columns, paging)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleWord {
    /// Reads everything but secrets.
    Viewer,
    /// Also does day-to-day work.
    Operator,
    /// Also manages tokens and verifies the audit log.
    Owner,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; its text is shown only now.
    Add {
        /// Whose token it is, for people and the audit log.
        #[arg(long)]
        name: String,
        /// What its holder may do in the mall.
        #[arg(long)]
        role: RoleWord,
        /// From when on it is no longer taken, such as 2027-01-01T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// List tokens, the oldest first.
    List(Paging),
    /// Retire a token: it is no longer taken.
    Retire {
        /// Its id.
        token_id: String,
    },
}

impl TokenCommand {
    pub(super) fn call(self) -> Call {
        match self {
            Self::Add { name, role, expires_at } => {
                let role = match role {
                    RoleWord::Viewer => "viewer",
                    RoleWord::Operator => "operator",
                    RoleWord::Owner => "owner",
                };
                let body = object([
                    ("name", given(Some(name))),
                    ("role", given(Some(role))),
                    ("expires_at", given(expires_at)),
                ]);
                Call::new(Method::POST, ["tokens"]).with(body)
            }
            Self::List(paging) => {
                let columns =
                    &["token_id", "name", "role", "last_used_at", "expires_at", "retired_at"];
                Call::get(["tokens"]).list(columns, paging)
            }
            Self::Retire { token_id } => Call::new(Method::DELETE, ["tokens", &token_id]),
        }
    }
}
