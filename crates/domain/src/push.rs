//! Pushes: where a partner is told of events, and how far that is.

use std::str::FromStr;

use crate::UnknownWord;

/// How a partner comes by its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointKind {
    /// They are sent to a URL.
    Url,
    /// They are taken from the mall, by somebody without a public address.
    Listener,
}

impl EndpointKind {
    const ALL: [Self; 2] = [Self::Url, Self::Listener];

    /// The word stored in the database and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Listener => "listener",
        }
    }
}

impl FromStr for EndpointKind {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "kind of endpoint")
    }
}

/// Whether events are sent to an endpoint. They are kept for it in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointState {
    /// They are.
    On,
    /// Its partner wants a pause.
    Paused,
    /// The mall gave it up.
    Off,
}

impl EndpointState {
    /// All that there are.
    pub const ALL: [Self; 3] = [Self::On, Self::Paused, Self::Off];

    /// The word stored in the database and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Paused => "paused",
            Self::Off => "off",
        }
    }
}

impl FromStr for EndpointState {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "state of an endpoint")
    }
}

/// How far the telling of one event to one endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// It is due, or will be.
    Waiting,
    /// The endpoint has it.
    Delivered,
    /// It was tried often enough.
    Failed,
}

impl DeliveryState {
    /// All that there are.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Failed];

    /// The word stored in the database and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for DeliveryState {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "state of a delivery")
    }
}
