//! Keys that no log and no error may show. Pure.

/// The longest text that is kept of what Stripe said, in characters.
const WORDS_CHARS_MAX: usize = 500;

/// A key. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a key.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key itself: for a request, or for the app that it is made for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The beginning of a text on one line, without a key that it may repeat.
pub(super) fn words(text: &str, secret: &Secret) -> String {
    let text =
        if secret.0.is_empty() { text.to_owned() } else { text.replace(&secret.0, "[redacted]") };
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
        assert_eq!(words(" bad key\r\nk3y, k3y! ", &secret), "bad key  [redacted], [redacted]!");
        assert_eq!(words(&"é".repeat(600), &Secret::new("")).chars().count(), WORDS_CHARS_MAX);
    }
}
