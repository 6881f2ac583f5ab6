//! Which piece of work a step belongs to, across processes: W3C Trace Context. Pure reading and writing;
//! who carries a trace on is said where it is carried.

use std::fmt;
use std::str::FromStr;

use crate::id::Id;

/// How long a `traceparent` of the version known here is, in bytes.
const TRACEPARENT_BYTES: usize = 55;

/// The id that all steps of one piece of work share. Never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// A text that is no trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace id has 32 lower-case hexadecimal digits that are not all zero")]
pub struct TraceIdError;

impl TraceId {
    /// The trace that a request or job of ours begins: it has the digits of its id, so that whoever has the
    /// one has the other.
    pub fn begun_by<K>(id: Id<K>) -> Self {
        Self(id.bytes())
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceId {
    type Err = TraceIdError;
    fn from_str(text: &str) -> Result<Self, TraceIdError> {
        lower_hex(text, 32).map(|id| Self(id.to_be_bytes())).ok_or(TraceIdError)
    }
}

/// What a caller says of the trace that its request belongs to (the header `traceparent`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The step of the caller's that made the request. Never zero.
    pub span: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the header. `None` is a header that the standard says to take for absent.
    pub fn read(header: &str) -> Option<Self> {
        let (known, more) = header.split_at_checked(TRACEPARENT_BYTES)?;
        let mut parts = known.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (span, flags) = (parts.next()?, parts.next()?);
        // A later version may say more, after another dash.
        let readable = match version {
            "00" => more.is_empty(),
            "ff" => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        if !readable || !is_lower_hex(version, 2) || !is_lower_hex(flags, 2) {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self {
            trace: trace.parse().ok()?,
            span: u64::try_from(lower_hex(span, 16)?).ok()?,
            sampled: flags & 1 == 1,
        })
    }
}

fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A number of so many digits that is not zero.
fn lower_hex(text: &str, digits: usize) -> Option<u128> {
    let number = if is_lower_hex(text, digits) { u128::from_str_radix(text, 16).ok()? } else { 0 };
    (number != 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RequestId;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., flags: u8) {
            let header = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
            let read = TraceParent::read(&header).unwrap();
            prop_assert_eq!(read.trace.to_string(), format!("{trace:032x}"));
            prop_assert_eq!((read.span, read.sampled), (span, flags % 2 == 1));
        }

        #[test]
        fn no_header_panics(text in ".{0,80}", cut in 0_usize..55, put in "\\PC") {
            let _ = TraceParent::read(&text);
            let spoilt = format!("{}{put}{}", &GOOD[..cut], &GOOD[cut + 1..]);
            if let Some(read) = TraceParent::read(&spoilt) {
                prop_assert!(read.trace.bytes() != [0; 16] && read.span != 0);
            }
        }
    }

    #[test]
    fn the_standards_own_cases() {
        assert!(TraceParent::read(GOOD).unwrap().sampled);
        assert!(!TraceParent::read(&GOOD.replace("-01", "-00")).unwrap().sampled);
        assert!(TraceParent::read(&GOOD.replacen("00", "cc", 1)).is_some(), "a later version");
        assert!(TraceParent::read(&format!("{}-more", GOOD.replacen("00", "cc", 1))).is_some());
        for bad in [
            "",
            &format!("{GOOD}-more"),
            &format!("{GOOD}."),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace('-', "_"),
        ] {
            assert_eq!(TraceParent::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_trace_that_begins_here_has_its_requests_digits() {
        let id = RequestId::from_parts(1_654_585_746_965, [7; 10]);
        assert_eq!(format!("req_{}", TraceId::begun_by(id)), id.to_string());
    }
}
