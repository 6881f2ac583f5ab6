//! Pushes: events that are sent to a partner's URL, and the two signatures that they carry.
//!
//! A push is signed as the vendor publishes it (the `x-lf-*` headers) and by Standard Webhooks (the
//! `webhook-*` headers), so that a receiver can verify with a ready library. One key makes both. The
//! sender's side and the receiver's side stand here together, so that they cannot drift apart. Pure.

mod event;
mod headers;
mod key;
mod verify;

pub use domain::{Mode, Span, Timestamp};

pub use event::{BODY_BYTES_MAX, BodyError, Event, EventType, VERSION, sorted_message};
pub use headers::{Headers, SignError, sign};
pub use key::{KEY_BYTES_MAX, KEY_BYTES_MIN, KEY_ID_CHARS_MAX, Key, KeyError};
pub use verify::{TOLERANCE, Verified, VerifyError, verify};

/// How many keys may be live at once: the second one takes the first one's place.
pub const KEYS_MAX: usize = 2;

/// Version of the notification (header published).
pub const NOTIFICATION_VERSION: &str = "x-lf-notification-version";
/// Algorithm (header published).
pub const ALGO: &str = "x-lf-algo";
/// `{keyId}/{signature}` (header published).
pub const LF_SIGNATURE: &str = "x-lf-signature";
/// When it was signed, in epoch milliseconds (header published).
pub const LF_TIMESTAMP: &str = "x-lf-timestamp";
/// The event's id (header of Standard Webhooks).
pub const WEBHOOK_ID: &str = "webhook-id";
/// When it was signed, in epoch seconds (header of Standard Webhooks).
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// Signatures, separated by spaces (header of Standard Webhooks).
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// The one value of `x-lf-algo` (published).
const HMAC_SHA1: &str = "HMAC-SHA1";
