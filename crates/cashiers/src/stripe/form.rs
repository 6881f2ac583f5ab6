//! Requests as Stripe reads them: forms whose names spell out a tree, such as `items[0][price]`. Pure.

use std::fmt::Display;

use super::Metadata;

/// The fields of a request, in their order: the same request is the same text, which Stripe compares under a key.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Adds a field.
    pub fn with(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.0.push((name.into(), format!("{value}")));
        self
    }

    /// Adds a field if there is a value.
    pub fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a list.
    pub fn list(self, name: &str, values: &[&str]) -> Self {
        values.iter().fold(self, |form, value| form.with(format!("{name}[]"), value))
    }

    /// Adds our words on the object.
    pub fn metadata(self, metadata: &Metadata) -> Self {
        let add = |form: Self, (name, value): (&String, &String)| {
            form.with(format!("metadata[{name}]"), value)
        };
        metadata.iter().fold(self, add)
    }

    /// Asks for objects in place of their ids.
    pub fn expand(self, paths: &[&str]) -> Self {
        self.list("expand", paths)
    }

    /// The form as text.
    pub fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_spell_out_a_tree() {
        let metadata = Metadata::from([("order".to_owned(), "a&b=ü".to_owned())]);
        let form = Form::default()
            .with("items[0][price]", "price_1")
            .maybe("none", None::<&str>)
            .metadata(&metadata)
            .expand(&["a.b", "c"]);
        assert_eq!(
            form.encoded(),
            "items%5B0%5D%5Bprice%5D=price_1&metadata%5Border%5D=a%26b%3D%C3%BC\
             &expand%5B%5D=a.b&expand%5B%5D=c"
        );
    }
}
