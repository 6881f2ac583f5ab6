//! The settings of pushes: where they may go beside the public network, and for how long is kept what came of them.

use anyhow::Context;
use clap::{Args, value_parser};
use domain::Span;
use ipnet::IpNet;
use mall::Settings;
use pushes::{Policy, Sender};

/// The most days that pushes may be kept for: ten years.
const DAYS_MAX: i64 = 3_650;

#[derive(Debug, Args)]
pub(crate) struct PushSettings {
    /// Where pushes may go although it is inside: addresses and ranges, `:PORT` for ports beside 443 (and 80 in test
    /// mode), names of hosts that need not look public; separated by commas.
    #[arg(
        long,
        env = "SIMMALL_PUSH_ALLOW",
        value_delimiter = ',',
        value_name = "RANGE|:PORT|HOST"
    )]
    push_allow: Vec<Allowed>,
    /// Days that events and what became of telling them to partners are kept for.
    #[arg(long, env = "SIMMALL_PUSH_LOG_DAYS", default_value_t = 30, value_parser = value_parser!(i64).range(1..=DAYS_MAX), value_name = "N")]
    push_log_days: i64,
}

/// Something that pushes may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Range(IpNet),
    Port(u16),
    Host(String),
}

impl std::str::FromStr for Allowed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Self::Range(range));
        }
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Ok(Self::Range(address.into()));
        }
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().ok().filter(|port| *port > 0);
            return port.map(Self::Port).ok_or_else(|| format!("{text}: not a port"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let is_name = !text.is_empty() && text.bytes().all(plain);
        let is_name = is_name && text.bytes().any(|byte| byte.is_ascii_alphabetic());
        let name = is_name.then(|| Self::Host(text.to_ascii_lowercase()));
        name.ok_or_else(|| {
            format!("{text}: neither a range of addresses, a :PORT nor a host's name")
        })
    }
}

impl PushSettings {
    /// The settings with these among them.
    pub(crate) fn settle(&self, settings: Settings) -> Settings {
        Settings { push_log: Span::days(self.push_log_days), ..settings }
    }

    /// What sends pushes.
    pub(crate) fn sender(&self) -> anyhow::Result<Sender> {
        let mut policy = Policy::default();
        for allowed in self.push_allow.iter().cloned() {
            match allowed {
                Allowed::Range(range) => policy.ranges.push(range),
                Allowed::Port(port) => policy.ports.push(port),
                Allowed::Host(host) => policy.hosts.push(host),
            }
        }
        let settings = pushes::Settings { policy, ..pushes::Settings::default() };
        Sender::new(settings).context("pushes cannot be sent")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_allowed() {
        let read = |text: &str| text.parse::<Allowed>();
        assert_eq!(read("10.0.0.0/8"), Ok(Allowed::Range("10.0.0.0/8".parse().unwrap())));
        assert_eq!(read("127.0.0.1"), Ok(Allowed::Range("127.0.0.1/32".parse().unwrap())));
        assert_eq!(read("::1"), Ok(Allowed::Range("::1/128".parse().unwrap())));
        assert_eq!(read(" :8443"), Ok(Allowed::Port(8_443)));
        assert_eq!(read("Hooks.internal"), Ok(Allowed::Host("hooks.internal".to_owned())));
        for bad in ["", ":", ":0", ":70000", "10.0.0.0/33", "8443", "a b", "http://x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
