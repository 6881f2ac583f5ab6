//! From a name to addresses that a push may go to. May touch the network, for names only.
//!
//! The HTTP client connects to the addresses that come out of here and asks no second time, so that a name
//! cannot lead elsewhere between the check and the connection.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::refusal;
use crate::endpoint::Policy;

/// How many addresses of a name are looked at.
const ADDRESSES_MAX: usize = 32;

/// Who knows the addresses of names.
#[async_trait]
pub trait Names: std::fmt::Debug + Send + Sync {
    /// All addresses of a name. An error says that it has none, or that nobody could be asked.
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The names that the machine knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        // The port plays no part.
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Why a name gave no address to connect to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NameError {
    /// It has none, or nobody could be asked.
    #[error("the name {0} has no address: {1}")]
    Unknown(String, io::Error),
    /// All of its addresses are refused.
    #[error("the name {host} leads only to addresses that no push goes to: {reasons}")]
    Refused {
        /// The name.
        host: String,
        /// Why its addresses are refused. They themselves are not told: a partner may read this, and has no
        /// business with what names mean inside.
        reasons: String,
    },
}

/// Names whose refused addresses are taken out.
pub(crate) struct Guarded {
    pub names: Arc<dyn Names>,
    pub policy: Arc<Policy>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, policy) = (Arc::clone(&self.names), Arc::clone(&self.policy));
        Box::pin(async move {
            let allowed = allowed(&*names, &policy, name.as_str()).await?;
            // The client puts the URL's port in the place of 0.
            let addresses = allowed.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok::<Addrs, _>(Box::new(addresses))
        })
    }
}

async fn allowed(names: &dyn Names, policy: &Policy, host: &str) -> Result<Vec<IpAddr>, NameError> {
    let unknown = |error| NameError::Unknown(host.to_owned(), error);
    let mut found = names.addresses(host).await.map_err(unknown)?;
    found.truncate(ADDRESSES_MAX);
    if found.is_empty() {
        return Err(unknown(io::Error::from(io::ErrorKind::NotFound)));
    }
    let (mut good, mut reasons) = (Vec::new(), BTreeSet::new());
    for address in found {
        match refusal(address, &policy.ranges) {
            Some(reason) => {
                reasons.insert(reason);
            }
            None => good.push(address),
        }
    }
    if good.is_empty() {
        let reasons = reasons.into_iter().collect::<Vec<_>>().join(", ");
        return Err(NameError::Refused { host: host.to_owned(), reasons });
    }
    Ok(good)
}
