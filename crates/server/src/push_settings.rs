//! The settings of pushes: where they may go beside public addresses.

use std::net::IpAddr;

use clap::Args;
use ipnet::IpNet;
use pushes::{Policy, Settings};

#[derive(Debug, Args)]
pub(crate) struct PushSettings {
    /// Addresses or ranges inside that pushes may go to all the same, such as 10.1.2.0/24, with commas between them.
    #[arg(long, env = "SIMMALL_PUSH_RANGES", value_delimiter = ',', value_parser = range, value_name = "RANGE,…")]
    push_ranges: Vec<IpNet>,
    /// Ports that pushes may go to beside 443 and, in test mode, 80, with commas between them.
    #[arg(long, env = "SIMMALL_PUSH_PORTS", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..), value_name = "PORT,…")]
    push_ports: Vec<u16>,
    /// Names of hosts that pushes may go to although they do not look public, such as hooks.internal, with commas
    /// between them; their addresses must be allowed too.
    #[arg(long, env = "SIMMALL_PUSH_HOSTS", value_delimiter = ',', value_name = "HOST,…")]
    push_hosts: Vec<String>,
}

fn range(text: &str) -> Result<IpNet, String> {
    let range = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    range.map_err(|_| format!("{text:?} is no address and no CIDR range"))
}

impl PushSettings {
    /// How pushes are sent.
    pub(crate) fn settings(&self) -> Settings {
        let policy = Policy {
            ranges: self.push_ranges.clone(),
            ports: self.push_ports.clone(),
            hosts: self.push_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        };
        Settings { policy, ..Settings::default() }
    }
}
