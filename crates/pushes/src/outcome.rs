//! What became of a push. Pure.

use domain::{Span, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// How much of an answer is kept, in bytes.
pub const ANSWER_TEXT_BYTES_MAX: usize = 2_048;
/// How much of an error is kept, in characters.
const WORDS_CHARS_MAX: usize = 500;
/// The longest that a receiver may ask the mall to wait: a day.
const RETRY_AFTER_SECONDS_MAX: i64 = 86_400;

/// One try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// From the beginning until the answer's status was there, or until the try had failed.
    pub latency: Span,
    /// The answer, whatever its status, or why there is none.
    pub result: Result<Answer, Failure>,
}

impl Outcome {
    /// Whether the receiver took the push: any 2xx.
    pub fn is_success(&self) -> bool {
        self.result.as_ref().is_ok_and(Answer::is_success)
    }
}

/// What the receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status. Redirects are not followed.
    pub status: u16,
    /// How long the receiver asks to wait, at most a day.
    pub retry_after: Option<Span>,
    /// The beginning of the body, at most 2 KiB of printable text and safe to store.
    pub text: String,
    /// Whether the body went on behind `text`, or broke off.
    pub is_cut: bool,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub http: String,
}

impl Answer {
    /// Any 2xx.
    pub fn is_success(&self) -> bool {
        (200..=299).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people, at most 500 characters. The URL's path and query are not in it.
    pub words: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, text: &str) -> Self {
        let words = printable(text).split_whitespace().collect::<Vec<_>>().join(" ");
        Self { kind, words: words.chars().take(WORDS_CHARS_MAX).collect() }
    }
}

/// What kept an answer from coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The push itself cannot be sent: too long, or a header that is none. A fault of the mall.
    Push,
    /// The URL's form is refused.
    Endpoint,
    /// The name leads only to addresses that no push goes to.
    Address,
    /// The name has no address.
    Name,
    /// No connection: refused, unreachable, or TLS failed.
    Connection,
    /// No answer in time.
    Time,
    /// The connection broke, or what came is not HTTP.
    Broken,
}

impl FailureKind {
    /// All that there are.
    pub const ALL: [Self; 7] = [
        Self::Push,
        Self::Endpoint,
        Self::Address,
        Self::Name,
        Self::Connection,
        Self::Time,
        Self::Broken,
    ];

    /// The word to store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Endpoint => "endpoint",
            Self::Address => "address",
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Time => "time",
            Self::Broken => "broken",
        }
    }

    /// Whether bytes of the push may have reached the receiver, so that it may have taken it.
    pub fn may_have_arrived(self) -> bool {
        matches!(self, Self::Time | Self::Broken)
    }
}

/// The answer but for its body.
pub(crate) fn head(status: StatusCode, headers: &HeaderMap, http: String) -> Answer {
    let retry_after = retry_after(headers);
    Answer { status: status.as_u16(), retry_after, text: String::new(), is_cut: false, http }
}

/// The first bytes of a body as text. A character that was cut in the middle is left out.
pub(crate) fn answer_text(bytes: &[u8]) -> String {
    let mut text = printable(&String::from_utf8_lossy(bytes));
    // What is not UTF-8 became longer.
    let mut end = text.len().min(ANSWER_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// A text without control characters, but for line feeds and tabs: what a database stores and a terminal
/// shows without harm.
fn printable(text: &str) -> String {
    let plain =
        |char: char| if char.is_control() && !matches!(char, '\n' | '\t') { ' ' } else { char };
    text.chars().map(plain).collect()
}

/// `Retry-After` in seconds, or as a date: then from the answer's own `Date`, so that no clock of ours is
/// held against one of theirs.
fn retry_after(headers: &HeaderMap) -> Option<Span> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let value = text(RETRY_AFTER)?.trim();
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a very long time.
        let seconds: i64 = value.parse().unwrap_or(i64::MAX);
        Span::seconds(seconds.min(RETRY_AFTER_SECONDS_MAX))
    } else {
        let date = Timestamp::parse_http_date(text(DATE)?).ok()?;
        Timestamp::parse_http_date(value).ok()?.since(date)
    };
    let wait = wait.min(Span::seconds(RETRY_AFTER_SECONDS_MAX));
    (!value.is_empty() && wait >= Span::seconds(0)).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(retry_after_value: &str, date: Option<&str>) -> Option<i64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after_value.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        retry_after(&headers).map(|span| span.as_micros() / 1_000_000)
    }

    #[test]
    fn retry_after_in_both_forms() {
        assert_eq!(wait("120", None), Some(120));
        assert_eq!(wait("0", None), Some(0));
        assert_eq!(wait("86401", None), Some(86_400));
        assert_eq!(wait("99999999999999999999", None), Some(86_400));
        assert_eq!(wait("9223372036854775807", None), Some(86_400));
        for bad in ["", "-1", "1.5", "soon"] {
            assert_eq!(wait(bad, None), None, "{bad}");
        }
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(wait("Wed, 21 Oct 2015 07:30:00 GMT", Some(date)), Some(120));
        assert_eq!(wait("Wed, 21 Oct 2015 07:27:00 GMT", Some(date)), None);
        assert_eq!(wait("Wed, 21 Oct 2015 07:30:00 GMT", None), None);
    }

    #[test]
    fn answers_are_safe_to_store_and_short() {
        assert_eq!(answer_text(b"a\0b\x1b[1m\nc\td\xff"), "a b [1m\nc\td\u{fffd}");
        assert_eq!(answer_text(&[0xff; 2_048]).len(), 2_046);
        let failure = Failure::new(FailureKind::Broken, &format!("a\r\n b {}", "x".repeat(600)));
        assert_eq!(failure.words.chars().count(), WORDS_CHARS_MAX);
        assert!(failure.words.starts_with("a b xxx"), "{failure}");
    }
}
