//! Which addresses no push goes to. Pure.
//!
//! For IPv4, what the registry of special-purpose addresses (RFC 6890 and later) holds is refused. For IPv6
//! only the global unicast range is taken at all, without what is special in it: in particular every
//! form that carries an IPv4 address inside, since some gateway might unpack it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// A range and why it is refused; the first that fits gives the reason.
type Range<A> = (A, u32, &'static str);

const V4: &[Range<Ipv4Addr>] = &[
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 100, 100, 200), 32, "metadata of a cloud"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "metadata of a cloud"),
    (Ipv4Addr::new(169, 254, 169, 254), 32, "metadata of a cloud"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmark"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::BROADCAST, 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

const V6: &[Range<Ipv6Addr>] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "IPv4-mapped"),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, "IPv4-translated"),
    (Ipv6Addr::UNSPECIFIED, 96, "IPv4-compatible"),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "NAT64"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "NAT64"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discard"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, "benchmark"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "protocol assignments"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "AS112"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, "metadata of a cloud"),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, "metadata of a cloud"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "unique-local"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// Where all public IPv6 addresses are.
const GLOBAL_UNICAST: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);

/// Why no push goes to an address, in a word or two; `None` if one may. What the operator allows is taken as
/// it is written: allowing an IPv4 range allows no IPv6 form of it.
pub fn refusal(address: IpAddr, allowed: &[IpNet]) -> Option<&'static str> {
    if allowed.iter().any(|range| range.contains(&address)) {
        return None;
    }
    match address {
        IpAddr::V4(address) => {
            let bits = u32::from(address);
            let within = |(range, prefix, _): &&Range<Ipv4Addr>| {
                let other = 32_u32.saturating_sub(*prefix);
                (bits ^ u32::from(*range)).checked_shr(other).unwrap_or(0) == 0
            };
            V4.iter().find(within).map(|(_, _, reason)| *reason)
        }
        IpAddr::V6(address) => {
            let found = V6.iter().find(|(range, prefix, _)| within_v6(address, *range, *prefix));
            if let Some((_, _, reason)) = found {
                return Some(reason);
            }
            // Interface ids by which a host unpacks an IPv4 address, under any prefix.
            if matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _]) {
                return Some("ISATAP");
            }
            (!within_v6(address, GLOBAL_UNICAST, 3)).then_some("not global unicast")
        }
    }
}

fn within_v6(address: Ipv6Addr, range: Ipv6Addr, prefix: u32) -> bool {
    let other = 128_u32.saturating_sub(prefix);
    (u128::from(address) ^ u128::from(range)).checked_shr(other).unwrap_or(0) == 0
}
