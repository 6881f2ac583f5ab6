//! Parameters: forms with names such as `items[0][price]`, read field by field. Touches nothing.

use serde_json::{Map, Value, json};

use crate::error::ApiError;

/// The most keys of metadata, and the most characters of a key and of a value.
const METADATA_KEYS_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 40;
const METADATA_VALUE_CHARS_MAX: usize = 500;
/// The deepest name that is read.
const DEPTH_MAX: usize = 6;

/// The parameters of a request, in the order received.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    entries: Vec<(Vec<String>, String)>,
}

/// `a[b][c]` as `a`, `b`, `c`.
fn segments(name: &str) -> Vec<String> {
    let mut parts = name.splitn(2, '[');
    let mut found = vec![parts.next().unwrap_or_default().to_owned()];
    if let Some(rest) = parts.next() {
        found.extend(rest.trim_end_matches(']').split("][").map(str::to_owned));
    }
    found
}

/// `a`, `b`, `c` as `a[b][c]`.
fn named(path: &[String]) -> String {
    let Some((first, rest)) = path.split_first() else { return String::new() };
    rest.iter().fold(first.clone(), |name, part| format!("{name}[{part}]"))
}

impl Params {
    pub(crate) fn parse(query: &str, body: &[u8]) -> Result<Self, ApiError> {
        let pairs = form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(body));
        let mut entries = Vec::new();
        for (name, value) in pairs {
            let path = segments(&name);
            if path.len() > DEPTH_MAX || path.first().is_none_or(String::is_empty) {
                return Err(ApiError::param(&name, format!("Invalid parameter name: {name}")));
            }
            entries.push((path, value.into_owned()));
        }
        Ok(Self { entries })
    }

    /// Refuses what no pattern allows; `*` stands for any part.
    pub(crate) fn check(&self, allowed: &[&[&str]]) -> Result<(), ApiError> {
        let fits = |path: &[String]| {
            let allowed = allowed.iter().copied().flatten();
            allowed.map(|pattern| segments(pattern)).any(|pattern| {
                let same = |(part, given): (&String, &String)| part == "*" || part == given;
                pattern.len() == path.len() && pattern.iter().zip(path).all(same)
            })
        };
        match self.entries.iter().find(|(path, _)| !fits(path)) {
            Some((path, _)) => {
                let name = named(path);
                let error = ApiError::param(&name, format!("Received unknown parameter: {name}"));
                Err(error.code("parameter_unknown"))
            }
            None => Ok(()),
        }
    }

    /// A parameter as it was given, even if empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        let wanted = segments(name);
        let found = self.entries.iter().rev().find(|(path, _)| *path == wanted);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, ApiError> {
        match self.given(name) {
            None => Err(ApiError::missing(name)),
            Some("") => {
                let message = format!(
                    "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a \
                     parameter; however '{name}' cannot be unset. You should remove '{name}' from your request or \
                     supply a non-empty value."
                );
                Err(ApiError::param(name, message).code("parameter_invalid_empty"))
            }
            Some(value) => Ok(value),
        }
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let error = || ApiError::param(name, format!("Invalid integer: {value}"));
        let error = || error().code("parameter_invalid_integer");
        value.parse().map(Some).map_err(|_| error())
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(other) => Err(ApiError::param(name, format!("Invalid boolean: {other}"))),
        }
    }

    /// A word out of a few.
    pub(crate) fn choice(&self, name: &str, words: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.text(name) {
            Some(word) if !words.contains(&word) => {
                let message = format!("Invalid {name}: must be one of {}", words.join(", or "));
                Err(ApiError::param(name, message))
            }
            word => Ok(word),
        }
    }

    /// The values of `name[]`, `name[0]` and so on.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let found = self.entries.iter().filter(|(path, _)| path.len() == 2 && path[0] == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether anything is given below a name, or under it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(path, _)| path[0] == name)
    }

    /// An object of texts, such as `card[…]`, by its name; empty if nothing is given.
    pub(crate) fn object(&self, name: &str) -> Map<String, Value> {
        let below = self.entries.iter().filter(|(path, _)| path.len() == 2 && path[0] == name);
        below.map(|(path, value)| (path[1].clone(), json!(value))).collect()
    }

    /// Metadata with what is given changed: an empty value takes a key away, an empty `metadata` all.
    pub(crate) fn metadata(&self, old: &Value) -> Result<Value, ApiError> {
        let mut metadata = old.as_object().cloned().unwrap_or_default();
        if self.given("metadata") == Some("") {
            metadata.clear();
        }
        for (key, value) in self.object("metadata") {
            let text = value.as_str().unwrap_or_default();
            if text.is_empty() {
                metadata.remove(&key);
                continue;
            }
            let param = format!("metadata[{key}]");
            if key.is_empty() || key.chars().count() > METADATA_KEY_CHARS_MAX {
                let message = "Metadata keys are 1 to 40 characters long.";
                return Err(ApiError::param(&param, message));
            }
            if text.chars().count() > METADATA_VALUE_CHARS_MAX {
                let message = "Metadata values can have up to 500 characters.";
                return Err(ApiError::param(&param, message));
            }
            metadata.insert(key, value);
        }
        if metadata.len() > METADATA_KEYS_MAX {
            return Err(ApiError::param("metadata", "Metadata can have up to 50 keys."));
        }
        Ok(Value::Object(metadata))
    }
}
