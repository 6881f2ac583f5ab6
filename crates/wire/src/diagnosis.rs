//! Why a signature does not match: the server writes the content as a mistaken client might have, and
//! looks which way fits the signature it got. Used in test mode and for the partner's own log.

use std::collections::HashSet;

use domain::partner::Scheme;

use crate::content::{NonAscii, Numbers, PUBLISHED, Spacing, Style, is_number, write_content};
use crate::params::{Params, Value};
use crate::sign::{Key, same, sign};

/// Contents larger than this are not searched: the search costs some hundred hashes.
pub const CONTENT_BYTES_MAX: usize = 4 * 1024;

/// How many parameters are tried as numbers and as strings, in all combinations.
const NUMBERS_MAX: usize = 10;
/// The longest text that a client may have taken for a number: a double has so many digits.
const NUMBER_CHARS_MAX: usize = 15;

/// What a client did that the rules do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Empty strings were left out.
    EmptyDropped,
    /// `null` was kept.
    NullKept,
    /// Path parameters were left out.
    PathDropped,
    /// Keys are not in byte order.
    KeysUnsorted,
    /// White space between the tokens.
    Spaces,
    /// Non-ASCII characters were escaped.
    NonAsciiEscaped,
    /// `/` was escaped.
    SlashEscaped,
    /// `<`, `>` and `&` were escaped, as some JSON writers do for the sake of pages.
    HtmlEscaped,
    /// A line feed was signed with the content.
    TrailingNewline,
    /// A number was signed as a string.
    NumberAsString,
    /// A string was signed as a number.
    StringAsNumber,
    /// The hexadecimal digits are upper case.
    UpperCaseHex,
    /// The signature has a length that no scheme has.
    WrongLength,
    /// No key was used.
    KeyMissing,
    /// A key was used that is no longer valid.
    KeyRetired,
    /// The key of the other mode was used.
    KeyOfOtherMode,
}

impl Cause {
    /// All causes; each has a message in every language.
    pub const ALL: [Self; 16] = [
        Self::EmptyDropped,
        Self::NullKept,
        Self::PathDropped,
        Self::KeysUnsorted,
        Self::Spaces,
        Self::NonAsciiEscaped,
        Self::SlashEscaped,
        Self::HtmlEscaped,
        Self::TrailingNewline,
        Self::NumberAsString,
        Self::StringAsNumber,
        Self::UpperCaseHex,
        Self::WrongLength,
        Self::KeyMissing,
        Self::KeyRetired,
        Self::KeyOfOtherMode,
    ];

    /// The cause as a word.
    pub fn word(self) -> &'static str {
        self.message_id().trim_start_matches("hint-")
    }

    /// The id of the cause's message.
    pub fn message_id(self) -> &'static str {
        match self {
            Self::EmptyDropped => "hint-empty-dropped",
            Self::NullKept => "hint-null-kept",
            Self::PathDropped => "hint-path-dropped",
            Self::KeysUnsorted => "hint-keys-unsorted",
            Self::Spaces => "hint-spaces",
            Self::NonAsciiEscaped => "hint-non-ascii-escaped",
            Self::SlashEscaped => "hint-slash-escaped",
            Self::HtmlEscaped => "hint-html-escaped",
            Self::TrailingNewline => "hint-trailing-newline",
            Self::NumberAsString => "hint-number-as-string",
            Self::StringAsNumber => "hint-string-as-number",
            Self::UpperCaseHex => "hint-upper-case-hex",
            Self::WrongLength => "hint-wrong-length",
            Self::KeyMissing => "hint-key-missing",
            Self::KeyRetired => "hint-key-retired",
            Self::KeyOfOtherMode => "hint-key-of-other-mode",
        }
    }
}

/// The keys that a mistaken client might have used.
#[derive(Debug, Clone, Default)]
pub struct SuspectKeys {
    /// Valid now.
    pub current: Vec<Key>,
    /// Valid once.
    pub retired: Vec<Key>,
    /// Of the partner's other mode.
    pub other_mode: Vec<Key>,
}

/// The causes that together explain `sign_given`, as few as possible; empty when nothing does, `None` if
/// the content is too large to be searched.
pub fn diagnose(
    params: &Params,
    sign_given: &str,
    allowed: &[Scheme],
    keys: &SuspectKeys,
) -> Option<Vec<Cause>> {
    let lower = sign_given.to_ascii_lowercase();
    let upper_hex = (lower != sign_given).then_some(Cause::UpperCaseHex);
    let schemes: &[Scheme] = match lower.len() {
        64 => &[Scheme::HmacSha256],
        32 => &[Scheme::Md5, Scheme::Md5Key],
        _ => return Some(vec![Cause::WrongLength]),
    };
    if write_content(params, PUBLISHED).len() > CONTENT_BYTES_MAX {
        return None;
    }
    let mut seen = HashSet::new();
    for (style, style_causes) in styles().into_iter().chain(number_styles(params)) {
        let content = write_content(params, style);
        if !seen.insert(content.clone()) {
            continue;
        }
        for scheme in schemes {
            if let Some(key_causes) = explain_key(*scheme, allowed, &content, &lower, keys) {
                let mut causes = style_causes;
                // The MD5 schemes take contents without empty strings or path: no cause for them.
                if *scheme != Scheme::HmacSha256 {
                    causes
                        .retain(|cause| !matches!(cause, Cause::EmptyDropped | Cause::PathDropped));
                }
                causes.extend(key_causes);
                causes.extend(upper_hex);
                return Some(causes);
            }
        }
    }
    Some(Vec::new())
}

/// Whether some key makes `sign_given` over `content`, and what is wrong with that key.
fn explain_key(
    scheme: Scheme,
    allowed: &[Scheme],
    content: &str,
    sign_given: &str,
    keys: &SuspectKeys,
) -> Option<Vec<Cause>> {
    if scheme == Scheme::Md5 {
        let keyless = same(&sign(scheme, "", content), sign_given);
        let refused = !allowed.contains(&Scheme::Md5);
        return keyless.then(|| refused.then_some(Cause::KeyMissing).into_iter().collect());
    }
    let fits = |key: &Key| same(&sign(scheme, &key.text, content), sign_given);
    if keys.current.iter().any(fits) {
        return Some(Vec::new());
    }
    if keys.retired.iter().any(fits) {
        return Some(vec![Cause::KeyRetired]);
    }
    if keys.other_mode.iter().any(fits) {
        return Some(vec![Cause::KeyOfOtherMode]);
    }
    // HMAC under an empty key, or the bare digest.
    let bare = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(content));
    let keyless = same(&sign(scheme, "", content), sign_given) || same(&bare, sign_given);
    (scheme == Scheme::HmacSha256 && keyless).then(|| vec![Cause::KeyMissing])
}

/// Every choice of parameters whose numbers and strings a typed client may have mixed up, with sorted and
/// unsorted keys, and the rest as published. Texts that are too long for a number type are left alone.
fn number_styles(params: &Params) -> Vec<(Style, Vec<Cause>)> {
    let places: Vec<(u64, Cause)> = (0_u32..64)
        .zip(params.iter())
        .filter_map(|(place, param)| match &param.value {
            Value::Number(_) => Some((1 << place, Cause::NumberAsString)),
            Value::String(text) if text.len() <= NUMBER_CHARS_MAX && is_number(text) => {
                Some((1 << place, Cause::StringAsNumber))
            }
            _ => None,
        })
        .take(NUMBERS_MAX)
        .collect();
    let mut choices: Vec<(u64, Vec<Cause>)> = vec![(0, Vec::new())];
    for (bit, cause) in places {
        let more: Vec<(u64, Vec<Cause>)> = choices
            .iter()
            .map(|(bits, causes)| {
                let mut causes = causes.clone();
                if !causes.contains(&cause) {
                    causes.push(cause);
                }
                (bits | bit, causes)
            })
            .collect();
        choices.extend(more);
    }
    choices.sort_by_key(|(bits, _)| bits.count_ones());
    let style = |bits, sorted| Style { numbers: Numbers::Flipped(bits), sorted, ..PUBLISHED };
    let unsorted = choices.clone().into_iter().map(|(bits, mut causes)| {
        causes.insert(0, Cause::KeysUnsorted);
        (style(bits, false), causes)
    });
    let sorted = choices.into_iter().map(|(bits, causes)| (style(bits, true), causes));
    sorted.chain(unsorted).collect()
}

/// Every combination of mistakes in writing the content, those with few mistakes first.
fn styles() -> Vec<(Style, Vec<Cause>)> {
    type Choice = (fn(&mut Style), Option<Cause>);
    const RIGHT: Choice = (|_| (), None);
    let choices: [&[Choice]; 10] = [
        &[RIGHT, (|style| style.empty_kept = false, Some(Cause::EmptyDropped))],
        &[RIGHT, (|style| style.null_kept = true, Some(Cause::NullKept))],
        &[RIGHT, (|style| style.path_kept = false, Some(Cause::PathDropped))],
        &[RIGHT, (|style| style.sorted = false, Some(Cause::KeysUnsorted))],
        &[RIGHT, (|style| style.spacing = Spacing::Spaced, Some(Cause::Spaces))],
        &[
            RIGHT,
            (|style| style.non_ascii = NonAscii::LowerEscape, Some(Cause::NonAsciiEscaped)),
            (|style| style.non_ascii = NonAscii::UpperEscape, Some(Cause::NonAsciiEscaped)),
        ],
        &[RIGHT, (|style| style.slash_escaped = true, Some(Cause::SlashEscaped))],
        &[RIGHT, (|style| style.html_escaped = true, Some(Cause::HtmlEscaped))],
        &[RIGHT, (|style| style.newline = true, Some(Cause::TrailingNewline))],
        &[
            RIGHT,
            (|style| style.numbers = Numbers::AsStrings, Some(Cause::NumberAsString)),
            (|style| style.numbers = Numbers::FromStrings, Some(Cause::StringAsNumber)),
        ],
    ];
    let mut all: Vec<(Style, Vec<Cause>)> = vec![(PUBLISHED, Vec::new())];
    for choice in choices {
        all = all
            .iter()
            .flat_map(|(style, causes)| {
                choice.iter().map(move |(apply, cause)| {
                    let (mut style, mut causes) = (*style, causes.clone());
                    apply(&mut style);
                    causes.extend(*cause);
                    (style, causes)
                })
            })
            .collect();
    }
    all.sort_by_key(|(_, causes)| causes.len());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str =
        r#"{"url":"https://a/b?c&d","area":"欧洲","mark":"","n":12.360,"gone":null,"zero":"0"}"#;

    fn key(id: &str) -> Key {
        Key { id: id.into(), text: format!("test-key-of-{id}") }
    }

    fn keys() -> SuspectKeys {
        SuspectKeys {
            current: vec![key("one"), key("two")],
            retired: vec![key("old")],
            other_mode: vec![key("live")],
        }
    }

    fn params() -> Params {
        Params::read(None, BODY.as_bytes()).unwrap()
    }

    fn causes_of(sign_given: &str) -> Vec<Cause> {
        diagnose(&params(), sign_given, &[Scheme::Md5Key, Scheme::HmacSha256], &keys()).unwrap()
    }

    #[test]
    fn each_mistake_in_the_content_is_named_alone() {
        for (style, causes) in styles().into_iter().filter(|(_, causes)| causes.len() == 1) {
            if causes == [Cause::PathDropped] {
                continue; // The body has no path; it has a test of its own.
            }
            let content = write_content(&params(), style);
            assert_eq!(
                causes_of(&sign(Scheme::HmacSha256, &key("two").text, &content)),
                causes,
                "{content}"
            );
        }
    }

    #[test]
    fn mistakes_in_company() {
        // What PHP's json_encode and Python's json.dumps write by default.
        let php = Style { slash_escaped: true, non_ascii: NonAscii::LowerEscape, ..PUBLISHED };
        let made = sign(Scheme::Md5Key, &key("one").text, &write_content(&params(), php));
        assert_eq!(causes_of(&made), [Cause::NonAsciiEscaped, Cause::SlashEscaped]);
        let python = Style { spacing: Spacing::Spaced, sorted: false, ..PUBLISHED };
        let made = sign(Scheme::HmacSha256, &key("old").text, &write_content(&params(), python));
        assert_eq!(causes_of(&made), [Cause::KeysUnsorted, Cause::Spaces, Cause::KeyRetired]);
    }

    #[test]
    fn a_typed_client_mixes_up_some_numbers_only() {
        let body = r#"{"deviceCode":"89852420180910340793","orderPeriod":"2","payAmount":"12.36","mark":"0","n":1}"#;
        let params = Params::read(None, body.as_bytes()).unwrap();
        let made = |content: &str| sign(Scheme::HmacSha256, &key("one").text, content);
        let causes = |content| diagnose(&params, &made(content), &Scheme::ALL, &keys()).unwrap();
        let one = r#"{"deviceCode":"89852420180910340793","mark":"0","n":1,"orderPeriod":2,"payAmount":"12.36"}"#;
        assert_eq!(causes(one), [Cause::StringAsNumber]);
        let two = r#"{"deviceCode":"89852420180910340793","mark":"0","n":1,"orderPeriod":2,"payAmount":12.36}"#;
        assert_eq!(causes(two), [Cause::StringAsNumber]);
        let both = r#"{"deviceCode":"89852420180910340793","mark":"0","n":"1","orderPeriod":2,"payAmount":"12.36"}"#;
        assert_eq!(causes(both).len(), 2, "{:?}", causes(both));
        let unsorted = r#"{"deviceCode":"89852420180910340793","orderPeriod":2,"payAmount":"12.36","mark":"0","n":1}"#;
        assert_eq!(causes(unsorted), [Cause::KeysUnsorted, Cause::StringAsNumber]);
        let large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(CONTENT_BYTES_MAX));
        let large = Params::read(None, large.as_bytes()).unwrap();
        assert_eq!(diagnose(&large, &made(one), &Scheme::ALL, &keys()), None);
    }

    #[test]
    fn mistakes_with_the_key() {
        let content = write_content(&params(), PUBLISHED);
        let hmac = |key: &str| sign(Scheme::HmacSha256, key, &content);
        assert_eq!(causes_of(&hmac(&key("one").text).to_uppercase()), [Cause::UpperCaseHex]);
        assert_eq!(causes_of(&hmac(&key("old").text)), [Cause::KeyRetired]);
        assert_eq!(causes_of(&hmac(&key("live").text)), [Cause::KeyOfOtherMode]);
        assert_eq!(causes_of(&hmac("")), [Cause::KeyMissing]);
        assert_eq!(causes_of(&sign(Scheme::Md5, "", &content)), [Cause::KeyMissing]);
        assert_eq!(causes_of(&hmac("unknown")), []);
        assert_eq!(causes_of("nonsense"), [Cause::WrongLength]);
    }

    #[test]
    fn a_path_left_out() {
        let mut params = params();
        params.push_path("group_id", "grp_1").unwrap();
        let content = write_content(&params, Style { path_kept: false, ..PUBLISHED });
        let made = sign(Scheme::HmacSha256, &key("one").text, &content);
        assert_eq!(diagnose(&params, &made, &Scheme::ALL, &keys()).unwrap(), [Cause::PathDropped]);
    }
}
