//! The settings of the mall's edge: what callers may cost, and whom the mall believes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use api::{ClientAddressHeader, TrustedProxies};
use clap::{Args, ValueEnum, value_parser};
use ipnet::IpNet;
use mall::RateLimit;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::listener::{ADMIN_CONNECTIONS_MAX, Limits};

/// The most seconds that a time-out may be set to: an hour.
const SECONDS_MAX: u64 = 3_600;
/// The most connections that may be set.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// Open files that are not connections of partners: operators', the database's, the carriers'.
const OTHER_FILES: usize = 256 + ADMIN_CONNECTIONS_MAX;

#[derive(Debug, Args)]
pub(crate) struct Edge {
    /// The most connections at a time; fewer where the system allows fewer open files.
    #[arg(long, env = "SIMMALL_CONNECTIONS_MAX", default_value_t = 16_384, value_parser = value_parser!(u64).range(1..=CONNECTIONS_MAX), value_name = "N")]
    connections_max: u64,
    /// The most connections of one address (of IPv6: one /64) at a time; trusted proxies are exempt.
    #[arg(long, env = "SIMMALL_CONNECTIONS_PER_ADDRESS_MAX", default_value_t = 1_024, value_parser = value_parser!(u64).range(1..=CONNECTIONS_MAX), value_name = "N")]
    connections_per_address_max: u64,
    /// Seconds that a connection may be silent before its next request.
    #[arg(long, env = "SIMMALL_IDLE_TIMEOUT_SECONDS", default_value_t = 75, value_parser = seconds(), value_name = "N")]
    idle_timeout_seconds: u64,
    /// Seconds that the head of a request may take from its first byte on.
    #[arg(long, env = "SIMMALL_HEAD_TIMEOUT_SECONDS", default_value_t = 10, value_parser = seconds(), value_name = "N")]
    head_timeout_seconds: u64,
    /// Seconds that the body of a request may take.
    #[arg(long, env = "SIMMALL_BODY_TIMEOUT_SECONDS", default_value_t = 20, value_parser = seconds(), value_name = "N")]
    body_timeout_seconds: u64,
    /// Seconds that a request may take in all until it is answered.
    #[arg(long, env = "SIMMALL_REQUEST_TIMEOUT_SECONDS", default_value_t = 60, value_parser = seconds(), value_name = "N")]
    request_timeout_seconds: u64,
    /// Seconds that a client may take to read what was written to it.
    #[arg(long, env = "SIMMALL_ANSWER_TIMEOUT_SECONDS", default_value_t = 30, value_parser = seconds(), value_name = "N")]
    answer_timeout_seconds: u64,
    /// Requests per second of one partner, as RATE or RATE:BURST; 0 is no limit.
    #[arg(long, env = "SIMMALL_RATE_LIMIT_PARTNER", default_value = "2000", value_parser = rate, value_name = "RATE[:BURST]")]
    rate_limit_partner: Rate,
    /// Calls per second of one address (of IPv6: one /64) whose signature does not hold, as RATE or
    /// RATE:BURST; 0 is no limit.
    #[arg(long, env = "SIMMALL_RATE_LIMIT_ADDRESS", default_value = "500", value_parser = rate, value_name = "RATE[:BURST]")]
    rate_limit_address: Rate,
    /// Calls per second of one address (of IPv6: one /64) to the admin API with a token that is not
    /// valid, as RATE or RATE:BURST; 0 is no limit.
    #[arg(long, env = "SIMMALL_RATE_LIMIT_ADMIN", default_value = "1:20", value_parser = rate, value_name = "RATE[:BURST]")]
    rate_limit_admin: Rate,
    /// Cards that are not theirs which a partner, or an address, may ask for in 10 minutes before its
    /// card checks have to wait; 0 is no limit.
    #[arg(long, env = "SIMMALL_CARD_MISSES_MAX", default_value_t = 100, value_parser = value_parser!(u16).range(0..=1_000), value_name = "N")]
    card_misses_max: u16,
    /// Proxies that are believed when they tell a client's address: addresses or ranges such as
    /// 10.0.0.0/8, with commas between them.
    #[arg(long, env = "SIMMALL_TRUSTED_PROXIES", value_delimiter = ',', value_parser = range, value_name = "RANGE,…")]
    trusted_proxies: Vec<IpNet>,
    /// The header in which the trusted proxies tell it.
    #[arg(long, env = "SIMMALL_CLIENT_ADDRESS_HEADER", default_value = "x-forwarded-for")]
    client_address_header: HeaderName,
    /// A TLS proxy stands in front of the admin API: it may listen on addresses other than this
    /// machine's own.
    #[arg(long, env = "SIMMALL_BEHIND_TLS_PROXY")]
    behind_tls_proxy: bool,
}

/// A rate; none is no limit.
#[derive(Debug, Clone, Copy)]
struct Rate(Option<RateLimit>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HeaderName {
    XForwardedFor,
    Forwarded,
}

fn seconds() -> clap::builder::RangedU64ValueParser {
    value_parser!(u64).range(1..=SECONDS_MAX)
}

fn rate(text: &str) -> Result<Rate, &'static str> {
    if text == "0" { Ok(Rate(None)) } else { text.parse().map(Some).map(Rate) }
}

fn range(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let range = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    range.map_err(|_| "must be an address or a range such as 10.0.0.0/8".to_owned())
}

/// Asks the system for as many open files as it gives, and tells how many.
fn raise_open_files() -> io::Result<usize> {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
    // No limit at all is the largest number.
    Ok(files.maximum.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX))
}

impl Edge {
    /// Refuses to serve the admin API in the clear to others than this machine.
    pub(crate) fn check_admin(&self, listen: SocketAddr) -> anyhow::Result<()> {
        anyhow::ensure!(
            listen.ip().to_canonical().is_loopback() || self.behind_tls_proxy,
            "--admin-listen {listen} can be reached from elsewhere, where operators' tokens could be \
             read on their way: listen on 127.0.0.1 or [::1], or put a TLS proxy in front of it and \
             say so with --behind-tls-proxy"
        );
        Ok(())
    }

    /// What connections may cost, after the system was asked for as many open files as it gives.
    pub(crate) fn limits(&self) -> anyhow::Result<Limits> {
        let files = raise_open_files().context("the limit of open files")?;
        // Where there are very few files, a third of them: a mall on SQLite has two dozen open of its own, and
        // one more for the connection that it turns away.
        let connections_most = files.saturating_sub(OTHER_FILES).max(files / 3).max(1);
        let connections = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let connections_max = connections(self.connections_max);
        if connections_max > connections_most {
            tracing::warn!(
                files,
                connections_most,
                "the limit of open files allows fewer connections"
            );
        }
        Ok(Limits {
            connections_max: connections_max.min(connections_most),
            connections_per_address_max: connections(self.connections_per_address_max),
            idle_time_max: Duration::from_secs(self.idle_timeout_seconds),
            head_time_max: Duration::from_secs(self.head_timeout_seconds),
            body_time_max: Duration::from_secs(self.body_timeout_seconds),
            request_time_max: Duration::from_secs(self.request_timeout_seconds),
            answer_time_max: Duration::from_secs(self.answer_timeout_seconds),
        })
    }

    /// The proxies that are believed.
    pub(crate) fn proxies(&self) -> TrustedProxies {
        let header = match self.client_address_header {
            HeaderName::XForwardedFor => ClientAddressHeader::XForwardedFor,
            HeaderName::Forwarded => ClientAddressHeader::Forwarded,
        };
        TrustedProxies::new(self.trusted_proxies.iter().copied(), header)
    }

    /// The settings with the limits of callers.
    pub(crate) fn settle(&self, settings: mall::Settings) -> mall::Settings {
        mall::Settings {
            partner_rate: self.rate_limit_partner.0,
            address_rate: self.rate_limit_address.0,
            token_rate: self.rate_limit_admin.0,
            card_misses_max: usize::from(self.card_misses_max),
            ..settings
        }
    }
}
