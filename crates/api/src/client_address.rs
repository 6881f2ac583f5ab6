//! Where a request comes from: the one place that decides it. Allowlists, limits and logs take the
//! address from here. A header is believed only where a trusted proxy wrote it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use ipnet::{IpNet, Ipv4Net};

/// How many proxies are followed back at most.
const HOPS_MAX: usize = 32;
/// The name has no constant in `http`.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The bits before the IPv4 address in an IPv4-mapped one.
const MAPPED_BITS: u8 = 96;

/// The address of whoever made a request, IPv4-mapped ones as IPv4. Every request has it among its
/// extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// That of a request. Only a request that came by no listener has none, and comes from nowhere.
    pub(crate) fn of(extensions: &Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.0)
    }
}

/// The header in which proxies tell whom they speak for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAddressHeader {
    /// `X-Forwarded-For`: a list of addresses, to which each proxy adds one.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): a list of elements with `for=`.
    Forwarded,
}

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    ranges: Vec<IpNet>,
    header: ClientAddressHeader,
}

impl TrustedProxies {
    /// These, which all use one header.
    pub fn new(ranges: impl IntoIterator<Item = IpNet>, header: ClientAddressHeader) -> Self {
        Self { ranges: ranges.into_iter().map(canonical).collect(), header }
    }

    /// Whether an address is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.ranges.iter().any(|range| range.contains(&address))
    }

    /// The client's address: that of the connection, unless it is a trusted proxy's. Then the header
    /// is read from its right end, to which the nearest proxy wrote, up to the first address that is
    /// no trusted proxy's: what stands before that one anybody may have made up. Behind what is no
    /// address nothing is believed either.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut address = peer.to_canonical();
        if !self.trusts(address) {
            return ClientAddress(address);
        }
        let name = match self.header {
            ClientAddressHeader::XForwardedFor => X_FORWARDED_FOR,
            ClientAddressHeader::Forwarded => header::FORWARDED,
        };
        let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
        let entries = lines.into_iter().rev().flat_map(|line| elements(line).into_iter());
        for entry in entries.take(HOPS_MAX) {
            let Some(hop) = self.address(entry) else { break };
            address = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        ClientAddress(address)
    }

    /// The address that an element of the header names.
    fn address(&self, element: &str) -> Option<IpAddr> {
        match self.header {
            ClientAddressHeader::XForwardedFor => node(element),
            ClientAddressHeader::Forwarded => {
                let value = element.split(';').find_map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
                })?;
                let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                node(unquoted.unwrap_or(value))
            }
        }
    }
}

/// An IPv4-mapped range as the IPv4 range that it is.
fn canonical(range: IpNet) -> IpNet {
    let bits = range.prefix_len().checked_sub(MAPPED_BITS);
    match (range.addr().to_canonical(), bits) {
        (IpAddr::V4(address), Some(bits)) if range.addr().is_ipv6() => {
            Ipv4Net::new(address, bits).map_or(range, IpNet::V4)
        }
        _ => range,
    }
}

/// The elements of a line, the last one first. The line is read from its end, so that a quote which a
/// client left open spoils nothing of what proxies added. A line that is no text is one bad element.
fn elements(line: &HeaderValue) -> Vec<&str> {
    let Ok(line) = line.to_str() else { return vec![""] };
    let (mut found, mut end, mut quoted) = (Vec::new(), line.len(), false);
    for (place, letter) in line.char_indices().rev() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                found.push(line[place + 1..end].trim());
                end = place;
            }
            _ => {}
        }
        if found.len() == HOPS_MAX {
            return found;
        }
    }
    found.push(line[..end].trim());
    found
}

/// An address, with or without brackets and port.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.as_ref().map(IpAddr::to_canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    use ClientAddressHeader::{Forwarded, XForwardedFor};

    /// Whom the mall takes for the client of a connection from 10.0.0.1 with these lines.
    fn client(header: ClientAddressHeader, lines: &[&str]) -> String {
        client_of("10.0.0.1", header, lines)
    }

    fn client_of(peer: &str, header: ClientAddressHeader, lines: &[&str]) -> String {
        let ranges = ["10.0.0.0/8", "2001:db8::/32", "::ffff:172.16.0.0/108"];
        let proxies = TrustedProxies::new(ranges.map(|range| range.parse().unwrap()), header);
        let name = match header {
            XForwardedFor => X_FORWARDED_FOR,
            Forwarded => header::FORWARDED,
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).0.to_string()
    }

    #[test]
    fn strangers_are_who_they_are() {
        for peer in ["192.0.2.1", "11.0.0.1", "::1", "2001:db9::1"] {
            assert_eq!(client_of(peer, XForwardedFor, &["198.51.100.7"]), peer);
            assert_eq!(client_of(peer, Forwarded, &["for=198.51.100.7"]), peer);
        }
        assert_eq!(client_of("::ffff:192.0.2.1", XForwardedFor, &["10.1.1.1"]), "192.0.2.1");
        let nobody = TrustedProxies::default();
        let headers =
            HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static("1.2.3.4"))]);
        let peer = "127.0.0.1".parse().unwrap();
        assert_eq!(nobody.client(peer, &headers), ClientAddress(peer));
    }

    #[test]
    fn the_rightmost_address_that_is_not_trusted_counts() {
        let client = |lines: &[&str]| client(XForwardedFor, lines);
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&["192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(&["1.1.1.1, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(&["1.1.1.1", "192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(&["1.1.1.1,192.0.2.7,10.2.2.2 , 2001:db8::9"]), "192.0.2.7");
        assert_eq!(client(&["1.1.1.1, 192.0.2.7", "10.2.2.2", "10.3.3.3"]), "192.0.2.7");
        // Mapped ranges, peers and hops are the IPv4 ones.
        assert_eq!(client(&["192.0.2.7, 172.16.0.9, ::ffff:10.9.9.9"]), "192.0.2.7");
        assert_eq!(client(&["::ffff:192.0.2.7"]), "192.0.2.7");
        assert_eq!(client_of("::ffff:10.0.0.1", XForwardedFor, &["192.0.2.7"]), "192.0.2.7");
        // With ports and brackets, as some write them.
        assert_eq!(client(&["192.0.2.7:50123"]), "192.0.2.7");
        assert_eq!(client(&["[2001:db9::7]"]), "2001:db9::7");
        assert_eq!(client(&["[2001:db9::7]:50123"]), "2001:db9::7");
        // All of them are trusted: the farthest is as far as one can see.
        assert_eq!(client(&["10.7.7.7, 10.8.8.8"]), "10.7.7.7");
    }

    #[test]
    fn garbage_ends_what_is_believed() {
        for garbage in
            ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "1.2.3.4:99999", "[::1", "é"]
        {
            assert_eq!(client(XForwardedFor, &[garbage]), "10.0.0.1", "{garbage:?}");
            let line = format!("192.0.2.7, {garbage}, 10.5.5.5");
            assert_eq!(client(XForwardedFor, &["192.0.2.7", garbage, "10.5.5.5"]), "10.5.5.5");
            // Where it is no text at all, nothing of the line is.
            let kept = if line.is_ascii() { "10.5.5.5" } else { "10.0.0.1" };
            assert_eq!(client(XForwardedFor, &[&line]), kept, "{garbage:?}");
            // Before an address that counts it does not matter.
            assert_eq!(client(XForwardedFor, &[garbage, "192.0.2.7"]), "192.0.2.7");
        }
        let long = vec!["10.0.0.2"; 5_000].join(",");
        assert_eq!(client(XForwardedFor, &["192.0.2.7", &long]), "10.0.0.2");
        assert_eq!(client(XForwardedFor, &[&"\"".repeat(5_000)]), "10.0.0.1");
    }

    #[test]
    fn forwarded_elements() {
        let client = |lines: &[&str]| client(Forwarded, lines);
        assert_eq!(client(&["for=192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(&["For=\"192.0.2.7:80\";proto=https;by=10.0.0.1"]), "192.0.2.7");
        assert_eq!(client(&["proto=https; for=\"[2001:db9::7]:443\""]), "2001:db9::7");
        assert_eq!(client(&["for=1.1.1.1, for=192.0.2.7, for=10.4.4.4"]), "192.0.2.7");
        assert_eq!(client(&["for=192.0.2.7;ext=\"a,b\", for=10.4.4.4;ext=\"c,d\""]), "192.0.2.7");
        // A client's open quote does not swallow what the proxy added.
        assert_eq!(client(&["for=\"1.1.1.1, for=192.0.2.7"]), "192.0.2.7");
        for garbage in ["proto=https", "for=unknown", "for=_x", "192.0.2.7", "for", "for="] {
            assert_eq!(client(&[garbage]), "10.0.0.1", "{garbage}");
        }
    }
}
