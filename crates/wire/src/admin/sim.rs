//! SIMs in a partner's stock.

use super::record::{Kind, records};

/// The states of SIMs.
pub const STATES: &[&str] = &["ready", "suspended", "expired", "terminated"];
const STATE: Kind = Kind::Word(STATES);

records! {
    /// A SIM in a partner's stock.
    Sim {
        /// The number on the card.
        iccid: String = Kind::Iccid,
        /// Our id.
        sim_id: String = Kind::Id("sim"),
        /// The carrier it belongs to.
        carrier: String = Kind::Code,
        /// What the network says of it.
        state: String = STATE,
        /// When it was added.
        created_at: String = Kind::Time,
    }
    /// A SIM to be added, or what it is to be.
    PutSim {
        /// The carrier it belongs to.
        carrier: String = Kind::Code,
        /// What the network says of it; `ready`, if left out.
        state: Option<String> = STATE,
    }
    /// What is to change of a SIM.
    SimChange {
        /// What the network says of it.
        state: String = STATE,
    }
}
