//! Why an endpoint cannot be made or changed, for messages in the caller's language. Pure.

use pushes::EndpointError;

/// Why an endpoint cannot be made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointReason {
    /// The partner has as many as it may.
    TooMany,
    /// Two keys sign already.
    TwoKeys,
    /// A listener has no URL.
    ListenerUrl,
    /// Only a listener's events are taken.
    NoListener,
    /// The URL is empty or too long.
    UrlLength,
    /// The URL has characters that must be encoded.
    UrlCharacters,
    /// The URL is not ASCII.
    UrlAscii,
    /// The URL's scheme is not allowed.
    UrlScheme,
    /// The URL has a user in it.
    UrlUser,
    /// The URL has a fragment.
    UrlFragment,
    /// The URL's port is not allowed.
    UrlPort,
    /// The URL's host is no name and no plain address.
    UrlHost,
    /// The URL leads inside.
    UrlInside,
    /// The URL is not in its plain form.
    UrlSpelling,
}

impl EndpointReason {
    /// All that there are; each has a message in every language.
    pub const ALL: [Self; 14] = [
        Self::TooMany,
        Self::TwoKeys,
        Self::ListenerUrl,
        Self::NoListener,
        Self::UrlLength,
        Self::UrlCharacters,
        Self::UrlAscii,
        Self::UrlScheme,
        Self::UrlUser,
        Self::UrlFragment,
        Self::UrlPort,
        Self::UrlHost,
        Self::UrlInside,
        Self::UrlSpelling,
    ];

    /// The id of its message.
    pub fn message_id(self) -> &'static str {
        match self {
            Self::TooMany => "endpoint-too-many",
            Self::TwoKeys => "endpoint-two-keys",
            Self::ListenerUrl => "endpoint-listener-url",
            Self::NoListener => "endpoint-no-listener",
            Self::UrlLength => "endpoint-url-length",
            Self::UrlCharacters => "endpoint-url-characters",
            Self::UrlAscii => "endpoint-url-ascii",
            Self::UrlScheme => "endpoint-url-scheme",
            Self::UrlUser => "endpoint-url-user",
            Self::UrlFragment => "endpoint-url-fragment",
            Self::UrlPort => "endpoint-url-port",
            Self::UrlHost => "endpoint-url-host",
            Self::UrlInside => "endpoint-url-inside",
            Self::UrlSpelling => "endpoint-url-spelling",
        }
    }

    /// The code by which operators are told, where no field is to blame.
    pub(super) fn problem_code(self) -> &'static str {
        match self {
            Self::TooMany => "ENDPOINTS_FULL",
            Self::TwoKeys => "KEYS_FULL",
            _ => "ENDPOINT_REFUSED",
        }
    }

    /// What is wrong with a URL.
    pub(super) fn of(error: &EndpointError) -> Self {
        match error {
            EndpointError::Length => Self::UrlLength,
            EndpointError::Characters => Self::UrlCharacters,
            EndpointError::NotAscii => Self::UrlAscii,
            EndpointError::Scheme(_) => Self::UrlScheme,
            EndpointError::UserInfo => Self::UrlUser,
            EndpointError::Fragment => Self::UrlFragment,
            EndpointError::Port(_) | EndpointError::PortForm => Self::UrlPort,
            EndpointError::EncodedHost
            | EndpointError::OddAddress
            | EndpointError::TrailingDot
            | EndpointError::Name => Self::UrlHost,
            EndpointError::Address(..) | EndpointError::Inside => Self::UrlInside,
            EndpointError::Spelling(_) => Self::UrlSpelling,
        }
    }
}
