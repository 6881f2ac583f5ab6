//! The partner JSON API over HTTP: reads requests, calls one use-case, renders its answer.
//!
//! A handler is short: every business decision is in `mall`, every wire name in `wire`. Handlers are
//! reached only through the extractor that authenticates, so that none can forget it.

pub mod messages;
pub mod openapi;
