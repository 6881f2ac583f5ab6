//! One carrier's fields, read one by one; every mistake is noted with its place, and what nobody asked for is one.

use std::path::Path;

use carriers::Secret;
use domain::{Mode, Span};
use serde_json::{Map, Value};
use store::Sealer;

/// For what a secret of this name is sealed.
pub(crate) fn seal_row(field: &str) -> String {
    format!("carrier secret {field}")
}

/// The fields of an object.
pub(crate) struct Fields<'a> {
    place: String,
    object: Map<String, Value>,
    sealer: Option<&'a Sealer>,
    mistakes: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    /// The fields of a value; where it is no object, that is the mistake.
    pub fn new(
        place: &str,
        value: Value,
        sealer: Option<&'a Sealer>,
        mistakes: &'a mut Vec<String>,
    ) -> Self {
        let object = if let Value::Object(object) = value {
            object
        } else {
            mistakes.push(format!("{place}: an object is needed"));
            Map::new()
        };
        Self { place: place.to_owned(), object, sealer, mistakes }
    }

    /// Notes a mistake.
    pub fn wrong(&mut self, what: &str) {
        self.mistakes.push(format!("{}: {what}", self.place));
    }

    /// What was not asked for is a mistake: a slip in a name must not go unnoticed.
    pub fn end(&mut self) {
        let rest: Vec<String> = self.object.keys().cloned().collect();
        for name in rest {
            self.wrong(&format!("{name}: no such field here"));
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// A text that may be missing.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if text.len() <= 1_000 => Some(text),
            _ => {
                self.wrong(&format!("{name}: a text of at most 1000 characters is needed"));
                None
            }
        }
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        if !self.object.contains_key(name) {
            self.wrong(&format!("{name}: missing"));
            return None;
        }
        self.optional_text(name)
    }

    /// One of some words.
    pub fn word(&mut self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let given = self.take(name);
        let given = given.as_ref().and_then(Value::as_str);
        let found = words.iter().find(|word| given == Some(word));
        if found.is_none() {
            self.object.clear();
            self.wrong(&format!("{name}: one of {} is needed", words.join(", ")));
        }
        found.copied()
    }

    /// `true` or `false`; missing is `false`.
    pub fn flag(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.wrong(&format!("{name}: true or false is needed"));
                false
            }
        }
    }

    /// A whole number within limits, that may be missing.
    pub fn number(&mut self, name: &str, min: u32, max: u32) -> Option<u32> {
        let value = self.take(name)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.wrong(&format!("{name}: a number from {min} to {max} is needed"));
        }
        number
    }

    /// A number of seconds.
    pub fn seconds(&mut self, name: &str, min: u32, max: u32) -> Option<Span> {
        Some(Span::seconds(i64::from(self.number(name, min, max)?)))
    }

    /// The modes whose orders the carrier takes: live, unless others are given.
    pub fn modes(&mut self) -> Vec<Mode> {
        let Some(value) = self.take("modes") else { return vec![Mode::Live] };
        let words = value.as_array().cloned().unwrap_or_default();
        let modes = words.iter().map(|word| word.as_str().and_then(|word| word.parse().ok()));
        match modes.collect::<Option<Vec<Mode>>>() {
            Some(modes) if !modes.is_empty() => modes,
            _ => {
                self.wrong("modes: a list of live and test is needed");
                vec![Mode::Live]
            }
        }
    }

    /// An object within the object.
    pub fn part<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let place = format!("{}: {name}", self.place);
        let mut fields = Fields::new(&place, value, self.sealer, self.mistakes);
        let read = read(&mut fields);
        fields.end();
        read
    }

    /// A secret that may be missing.
    pub fn optional_secret(&mut self, name: &str) -> Option<Secret> {
        let value = self.take(name)?;
        let read = match value.as_object().map(|object| (object.len(), object)) {
            Some((1, object)) => match (object.get("sealed"), object.get("file")) {
                (Some(Value::String(sealed)), None) => self.open(name, sealed),
                (None, Some(Value::String(file))) => read_file(Path::new(file)),
                _ => Err(HOW.to_owned()),
            },
            _ => Err(HOW.to_owned()),
        };
        match read {
            Ok(text) if text.is_empty() => {
                self.wrong(&format!("{name}: the secret is empty"));
                None
            }
            Ok(text) => Some(Secret::new(text)),
            Err(why) => {
                self.wrong(&format!("{name}: {why}"));
                None
            }
        }
    }

    /// A secret.
    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        if !self.object.contains_key(name) {
            self.wrong(&format!("{name}: missing"));
            return None;
        }
        self.optional_secret(name)
    }

    fn open(&self, name: &str, sealed: &str) -> Result<String, String> {
        let opener = self.sealer.ok_or("sealed, but no sealing key is given")?;
        let bytes = hex::decode(sealed).map_err(|_| "not what `simmall seal` prints")?;
        opener.open(&seal_row(name), &bytes).map_err(|error| error.to_string())
    }
}

/// What to do with a secret.
const HOW: &str = "a secret does not stand here as it is: give {\"sealed\": \"…\"} as `simmall seal` \
    prints it, or {\"file\": \"/PATH\"}";

fn read_file(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    #[cfg(unix)]
    if let Ok(metadata) = file.metadata()
        && std::os::unix::fs::MetadataExt::mode(&metadata) & 0o077 != 0
    {
        tracing::warn!(file = %file.display(), "a carrier's secret can be read by others: chmod 600");
    }
    Ok(text.trim().to_owned())
}
