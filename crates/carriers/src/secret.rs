//! Keys that no log and no error may show. Pure.

/// The longest text that is kept of what a carrier said, in characters.
pub const WORDS_CHARS_MAX: usize = 500;

/// A key. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a key.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key itself, for signing only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A text without the secrets in it. A carrier that repeats our key in an answer must not bring it into a log.
pub(crate) fn redacted(text: &str, secrets: &[Secret]) -> String {
    let known = secrets.iter().filter(|secret| !secret.0.is_empty());
    known.fold(text.to_owned(), |text, secret| text.replace(&secret.0, "[redacted]"))
}

/// The beginning of a text, on one line.
pub(crate) fn words(text: &str) -> String {
    let printable = |char: char| if char.is_control() { ' ' } else { char };
    let line: String = text.chars().map(printable).collect();
    line.trim().chars().take(WORDS_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let secret = Secret::new("k3y");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let known = [secret, Secret::new("")];
        assert_eq!(redacted("bad key k3y, k3y!", &known), "bad key [redacted], [redacted]!");
    }

    #[test]
    fn words_are_short_and_on_one_line() {
        assert_eq!(words(" a\r\nb\u{0} "), "a  b");
        assert_eq!(words(&"é".repeat(600)).chars().count(), WORDS_CHARS_MAX);
    }
}
