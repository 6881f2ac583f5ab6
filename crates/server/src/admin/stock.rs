//! SIMs, packages and plans.

use clap::{Subcommand, ValueEnum};
use sdk::admin::Method;

use super::{Call, Paging, given, object};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum SimState {
    Ready,
    Suspended,
    Expired,
    Terminated,
}

impl SimState {
    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Terminated => "terminated",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum SimCommand {
    /// List a partner's SIMs by number.
    List {
        /// The partner's code.
        partner: String,
        /// Only SIMs in this state.
        #[arg(long)]
        state: Option<SimState>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show a SIM.
    Show {
        /// The partner's code.
        partner: String,
        /// The number on the card.
        iccid: String,
    },
    /// Change a SIM's state; with a carrier, add the SIM if it is not there.
    Set {
        /// The partner's code.
        partner: String,
        /// The number on the card.
        iccid: String,
        /// What the network says of it.
        state: SimState,
        /// The carrier that it belongs to.
        #[arg(long)]
        carrier: Option<String>,
    },
}

impl SimCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::List { partner, state, paging } => {
                let call = Call::get([mode, "partners", &partner, "sims"]);
                let state = state.map(SimState::word);
                call.only("state", state).list(&["iccid", "carrier", "state", "created_at"], paging)
            }
            Self::Show { partner, iccid } => {
                Call::get([mode, "partners", &partner, "sims", &iccid])
            }
            Self::Set { partner, iccid, state, carrier } => {
                let method = if carrier.is_some() { Method::PUT } else { Method::PATCH };
                let body =
                    object([("state", given(Some(state.word()))), ("carrier", given(carrier))]);
                Call::new(method, [mode, "partners", &partner, "sims", &iccid]).with(body)
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum PackageCommand {
    /// List packages by code.
    List(Paging),
    /// Show a package.
    Show {
        /// Its code.
        code: String,
    },
    /// Show which other carriers are asked where the package's own refuses for good, or set them.
    Route {
        /// Its code.
        code: String,
        /// CARRIER:PRODUCT, in the order in which they are asked; several times for several.
        #[arg(long, value_name = "CARRIER:PRODUCT", conflicts_with = "none")]
        set: Vec<String>,
        /// Ask no other carrier.
        #[arg(long)]
        none: bool,
    },
}

impl PackageCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        let columns = &["code", "unit", "calendar", "volume_bytes", "area", "carrier"];
        match self {
            Self::List(paging) => Call::get([mode, "packages"]).list(columns, paging),
            Self::Show { code } => Call::get([mode, "packages", &code]),
            Self::Route { code, set, none } if none || !set.is_empty() => {
                let body = object([("route", given(Some(set)))]);
                Call::new(Method::PUT, [mode, "packages", &code, "route"]).with(body)
            }
            Self::Route { code, .. } => Call::get([mode, "packages", &code, "route"]),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum PlanCommand {
    /// List plans by code, on sale or not.
    List(Paging),
    /// Show a plan.
    Show {
        /// Its code.
        code: String,
    },
}

impl PlanCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        let columns = &["code", "name", "package_code", "periods", "renewable", "on_sale"];
        match self {
            Self::List(paging) => Call::get([mode, "plans"]).list(columns, paging),
            Self::Show { code } => Call::get([mode, "plans", &code]),
        }
    }
}
