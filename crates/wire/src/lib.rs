//! The Mall API v3 on the wire: parameters, signing content, signatures, requests, answers, codes.
//!
//! Every name on the wire lives here and nowhere else, so that a correction touches one file. Names
//! marked *published* follow the vendor's pages to the letter; names marked *chosen* are ours.
//! No I/O: this crate may touch `domain` only.

pub mod admin;
pub mod answer;
pub mod call;
pub mod code;
pub mod common;
pub mod content;
pub mod diagnosis;
pub mod endpoints;
pub mod form;
pub mod groups;
pub mod params;
pub mod payment;
pub mod push;
pub mod redact;
pub mod renewals;
pub mod sign;
pub mod topup;
pub mod vshop;

pub use call::{Call, Method, Request, Service, Shape};
pub use code::Code;
pub use form::{Form, FormError, Problem};
pub use params::{Params, Value};
