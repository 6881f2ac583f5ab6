//! Records: a struct and the table of its fields, written once. The table is what a request is
//! checked against and what the `OpenAPI` document shows.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Printable text of so many characters.
    Text {
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// A code or number: 1 to 64 letters, digits, `-`, `_`, `.`.
    Code,
    /// One of our ids, with this prefix.
    Id(&'static str),
    /// One of some words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Whole {
        /// At least.
        min: i64,
        /// At most.
        max: i64,
    },
    /// RFC 3339.
    Time,
    /// ISO 4217, upper case.
    Currency,
    /// Major units as a decimal text: `12.36`. An answer's may be negative.
    Amount,
    /// 18 to 22 digits.
    Iccid,
    /// An IANA time zone.
    Zone,
    /// A CIDR range or an address.
    Cidr,
    /// A text per language: `{"en": …, "zh": …}`.
    Texts,
    /// Hexadecimal digits, lower case.
    Hex(usize),
    /// A list of at most so many.
    List(&'static Kind, usize),
    /// An object.
    Record(&'static Record),
    /// Any JSON.
    Any,
}

/// A field of a record.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Whether it must be there. One that need not be is left out where there is nothing to say.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
}

/// An object: its name in the document, what it is, and its fields.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// A type that is a record.
pub trait Recorded {
    /// Its table.
    const RECORD: Record;
}

/// Whether a value may be left out.
pub trait Presence {
    /// Whether it may.
    const OPTIONAL: bool = false;
    /// Whether it is.
    fn is_absent(&self) -> bool {
        false
    }
}

impl<T> Presence for Option<T> {
    const OPTIONAL: bool = true;
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl Presence for String {}
impl Presence for bool {}
impl Presence for i64 {}
impl Presence for u32 {}
impl Presence for Value {}
impl Presence for Secret {}
impl<T> Presence for Vec<T> {}
impl Presence for BTreeMap<String, String> {}

/// A text that is shown once and never logged.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Declares records. Every field is `name: Type = Kind`; an `Option` may be left out.
macro_rules! records {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident {
            $($(#[doc = $about:literal])+ $field:ident: $type:ty = $kind:expr,)*
        }
    )*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[doc = $about])+
                #[serde(skip_serializing_if = "crate::admin::Presence::is_absent")]
                pub $field: $type,
            )*
        }

        impl crate::admin::Presence for $name {}

        impl crate::admin::Recorded for $name {
            const RECORD: crate::admin::Record = crate::admin::Record {
                name: stringify!($name),
                doc: concat!($($doc),+),
                fields: &[$(crate::admin::Field {
                    name: stringify!($field),
                    kind: $kind,
                    required: !<$type as crate::admin::Presence>::OPTIONAL,
                    doc: concat!($($about),+),
                }),*],
            };
        }
    )*};
}

pub(crate) use records;

/// The kinds that many records share.
pub(crate) mod kinds {
    use super::Kind;
    use crate::admin::{CODE_CHARS_MAX, NAME_CHARS_MAX};

    pub(crate) const NAME: Kind = Kind::Text { min: 1, max: NAME_CHARS_MAX };
    pub(crate) const NUMBER: Kind = Kind::Text { min: 0, max: CODE_CHARS_MAX };
    pub(crate) const FREE: Kind = Kind::Text { min: 0, max: 2_048 };
    pub(crate) const MODE: Kind = Kind::Word(&["live", "test"]);
    pub(crate) const ROLE: Kind = Kind::Word(&["viewer", "operator", "owner"]);
    pub(crate) const COUNT: Kind = Kind::Whole { min: 0, max: i64::MAX };
}
