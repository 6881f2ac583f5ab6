//! The form of a partner's URL: one plain spelling of each, so that no two readers of it can disagree about
//! where it leads. Pure.
//!
//! The text is read here by a strict grammar, then by the parser that the HTTP client uses, and must come out
//! of that one as it went in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::Mode;
use ipnet::IpNet;
use reqwest::Url;

use crate::address::refusal;

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;
/// The longest name of a host, in bytes.
const NAME_BYTES_MAX: usize = 253;
/// The longest part of a name between dots, in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// Ends of names that mean a place inside, or none at all.
const INSIDE: &[&str] = &[
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "lan",
    "home",
    "corp",
    "arpa",
    "onion",
    "invalid",
];

/// What the operator allows beside the rule. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Ranges of addresses that pushes may go to although they are inside.
    pub ranges: Vec<IpNet>,
    /// Ports beside 443 and, in test mode, 80.
    pub ports: Vec<u16>,
    /// Names of hosts, in lower case, that need not look public. Their addresses are checked all the same.
    pub hosts: Vec<String>,
}

/// A URL that pushes may be sent to, as far as its form tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Empty or too long.
    #[error("a URL has 1 to {URL_BYTES_MAX} bytes")]
    Length,
    /// Characters that readers treat differently.
    #[error("the URL has a space, a backslash or another character that must be percent-encoded")]
    Characters,
    /// Letters beyond ASCII.
    #[error("the URL is not ASCII: write the host in Punycode (xn--…) and percent-encode the rest")]
    NotAscii,
    /// Not `https://`, nor `http://` where that is allowed.
    #[error("the URL does not begin with {0}")]
    Scheme(&'static str),
    /// A name or password before the host.
    #[error("the URL has a user's name or a password in it; a push is signed and needs none")]
    UserInfo,
    /// A part that is never sent.
    #[error("the URL has a # in it, and what follows is never sent")]
    Fragment,
    /// A port that is not allowed.
    #[error("the port {0} is not allowed")]
    Port(u16),
    /// A port that is no number.
    #[error("the port is not a number from 1 to 65535 in its shortest form")]
    PortForm,
    /// An encoded host.
    #[error("the host is percent-encoded: write it plainly")]
    EncodedHost,
    /// An address in another form than its own.
    #[error(
        "the host is an IP address in an odd form: write it as four decimal numbers, or as IPv6 in brackets and its shortest form"
    )]
    OddAddress,
    /// An address that no push goes to.
    #[error("no push goes to {0}: {1}")]
    Address(IpAddr, &'static str),
    /// A dot behind the name.
    #[error("the host's name ends with a dot: leave it out")]
    TrailingDot,
    /// No name of a host.
    #[error("the host's name is not letters, digits and hyphens between dots")]
    Name,
    /// A name that only has a meaning inside.
    #[error("the host's name is not a public one")]
    Inside,
    /// A path that readers would write otherwise.
    #[error("the URL is not in its plain form, which would be {0}")]
    Spelling(String),
}

impl Endpoint {
    /// Checks the form of a URL: `https`, in test mode also `http`; no user info; a usual port; a host of one
    /// plain spelling. Whether its name leads inside is not known before a connection is made.
    pub fn parse(text: &str, mode: Mode, policy: &Policy) -> Result<Self, EndpointError> {
        if text.is_empty() || text.len() > URL_BYTES_MAX {
            return Err(EndpointError::Length);
        }
        if !text.is_ascii() {
            return Err(EndpointError::NotAscii);
        }
        let odd = |byte: u8| !byte.is_ascii_graphic() || b"\\\"<>^`{|}".contains(&byte);
        if text.bytes().any(odd) {
            return Err(EndpointError::Characters);
        }
        let is_test = mode == Mode::Test;
        let fits = |scheme: &str| scheme == "https" || (scheme == "http" && is_test);
        let wanted = if is_test { "https:// or http://" } else { "https://" };
        let found = text.split_once("://").filter(|(scheme, _)| fits(scheme));
        let (scheme, rest) = found.ok_or(EndpointError::Scheme(wanted))?;
        if rest.contains('#') {
            return Err(EndpointError::Fragment);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        if authority.contains('%') {
            return Err(EndpointError::EncodedHost);
        }
        let (host, port) = split_authority(authority)?;
        let host = host.to_ascii_lowercase();
        check_host(&host, policy)?;
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = port.unwrap_or(usual);
        if !(port == 443 || (port == 80 && is_test) || policy.ports.contains(&port)) {
            return Err(EndpointError::Port(port));
        }
        let port = if port == usual { String::new() } else { format!(":{port}") };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let plain = format!("{scheme}://{host}{port}{slash}{path}");
        let url = Url::parse(text).map_err(|_| EndpointError::Name)?;
        if url.as_str() != plain {
            return Err(EndpointError::Spelling(url.into()));
        }
        Ok(Self(url))
    }

    /// The URL in its plain form.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host: a name in lower case, or an address.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub(crate) fn url(&self) -> Url {
        self.0.clone()
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<u16>), EndpointError> {
    let behind =
        if authority.starts_with('[') { authority.find(']').map(|end| end + 1) } else { None };
    let colon = match behind {
        Some(end) if end == authority.len() => None,
        Some(end) => Some(end),
        // Without brackets an IPv6 address has no port that could be told from it.
        None if authority.matches(':').count() > 1 => return Err(EndpointError::OddAddress),
        None => authority.find(':'),
    };
    let Some(colon) = colon else { return Ok((authority, None)) };
    let (host, port) = authority.split_at(colon);
    let port = port.strip_prefix(':').ok_or(EndpointError::Name)?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    let number = port.parse().ok().filter(|_| digits).ok_or(EndpointError::PortForm)?;
    Ok((host, Some(number)))
}

fn check_host(host: &str, policy: &Policy) -> Result<(), EndpointError> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| EndpointError::OddAddress)?;
        check_address(address.into(), policy)?;
        let is_plain = address.to_string() == inner;
        return if is_plain { Ok(()) } else { Err(EndpointError::OddAddress) };
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return check_address(address.into(), policy);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or(name);
    // Such an end makes old readers take the whole for an address, whatever stands before it.
    let is_number = |text: &str, digit: fn(&u8) -> bool| text.as_bytes().iter().all(digit);
    let numeric = !last.is_empty() && is_number(last, u8::is_ascii_digit);
    let hexadecimal =
        last.strip_prefix("0x").is_some_and(|digits| is_number(digits, u8::is_ascii_hexdigit));
    if numeric || hexadecimal {
        return Err(EndpointError::OddAddress);
    }
    if name.len() < host.len() {
        return Err(EndpointError::TrailingDot);
    }
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(is_label) {
        return Err(EndpointError::Name);
    }
    let is_public = name.contains('.') && !INSIDE.contains(&last);
    if is_public || policy.hosts.iter().any(|host| host == name) {
        Ok(())
    } else {
        Err(EndpointError::Inside)
    }
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn check_address(address: IpAddr, policy: &Policy) -> Result<(), EndpointError> {
    match refusal(address, &policy.ranges) {
        Some(reason) => Err(EndpointError::Address(address, reason)),
        None => Ok(()),
    }
}
