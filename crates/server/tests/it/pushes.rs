//! Pushes, from what happened to the partner's server: signed, in their order, and never lost.

mod told;
