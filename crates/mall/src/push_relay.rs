//! The relay: finds endpoints that something is due for, takes their leases, and lets a lane of its own send to each.
//!
//! Lanes share nothing but the database and the processor: an endpoint that does not answer holds up its own events only.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Span;
use store::{EndpointKey, Tx};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::Mall;
use crate::error::{Error, Result};
use crate::push_lane::Lane;

/// How many lanes read at a time: the readers are the partners' in the first place.
const READERS: usize = 2;
/// How much longer than a try a lease lasts at least.
const LEASE_GRACE: Span = Span::seconds(5);

/// Tells a lane that something more is due.
#[derive(Debug, Default)]
pub(crate) struct LaneBell {
    notify: Notify,
    /// Whether it was rung and the lane has not looked since.
    is_rung: AtomicBool,
}

impl LaneBell {
    fn ring(&self) {
        self.is_rung.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }

    pub(crate) async fn rung(&self) {
        self.notify.notified().await;
        self.is_rung.store(false, Ordering::SeqCst);
    }
}

/// By what endpoints are held in one order.
pub(crate) fn text_of((mode, partner, endpoint): &EndpointKey) -> (&'static str, String, String) {
    (mode.as_str(), partner.to_string(), endpoint.to_string())
}

/// The lanes of this process.
#[derive(Debug)]
pub(crate) struct Relay {
    lanes: Mutex<HashMap<EndpointKey, Arc<LaneBell>>>,
    /// Endpoints that cannot be sent to at this moment: the bell is not heeded for them until the next look at all.
    refused: Mutex<HashSet<EndpointKey>>,
    readers: Semaphore,
    /// Whether it looks for work at this moment, or is about to begin it.
    is_looking: AtomicBool,
}

impl Default for Relay {
    fn default() -> Self {
        let is_looking = AtomicBool::new(false);
        let readers = Semaphore::new(READERS);
        Self { lanes: Mutex::default(), refused: Mutex::default(), readers, is_looking }
    }
}

impl Relay {
    fn lanes(&self) -> MutexGuard<'_, HashMap<EndpointKey, Arc<LaneBell>>> {
        // A map is valid after any panic.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, HashSet<EndpointKey>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for reading, while the relay may have one.
pub(crate) struct PushReader<'a> {
    pub(crate) tx: Tx,
    _place: SemaphorePermit<'a>,
}

/// A lane's entry among those that run; goes with it, however it ends.
struct Entry {
    mall: Arc<Mall>,
    key: EndpointKey,
    bell: Arc<LaneBell>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut lanes = self.mall.relay.lanes();
        lanes.remove(&self.key);
        // It may have been told of more after its last look.
        if self.bell.is_rung.load(Ordering::SeqCst) {
            self.mall.push_bell.ring([self.key]);
        }
    }
}

/// Sends what is due until `stop` turns true; then what is on its way lands, and nothing more is sent.
pub async fn run_relay(mall: Arc<Mall>, mut stop: watch::Receiver<bool>) {
    let mut lanes = JoinSet::new();
    let mut polls = tokio::time::interval(mall.settings.poll.to_std());
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stop.borrow() {
        while lanes.try_join_next().is_some() {}
        let found = tokio::select! {
            () = mall.push_bell.bell.notified() => {
                mall.relay.is_looking.store(true, Ordering::SeqCst);
                Ok(mall.push_bell.heard().into_iter().collect())
            }
            _ = polls.tick() => {
                mall.relay.is_looking.store(true, Ordering::SeqCst);
                mall.relay.refused().clear();
                mall.endpoints_with_work().await
            }
            // Nobody left to tell us to stop means that we should.
            changed = stop.changed() => if changed.is_err() { break } else { continue },
        };
        let begun = match found {
            Ok(keys) => Mall::begin_lanes(&mall, keys, (&mut lanes, &stop)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = begun {
            // The next look finds them again.
            tracing::warn!(%error, "pushes cannot be begun now");
        }
        mall.relay.is_looking.store(false, Ordering::SeqCst);
    }
    while lanes.join_next().await.is_some() {}
}

impl Mall {
    /// A connection for reading. Few lanes have one at a time.
    pub(crate) async fn push_reader(&self) -> Result<PushReader<'_>> {
        let place = self.relay.readers.acquire().await;
        let place = place.map_err(|error| Error::Internal(error.to_string()))?;
        Ok(PushReader { tx: self.store.read().await?, _place: place })
    }

    /// How many more lanes may run.
    fn free_lanes(&self) -> usize {
        self.settings.push_lanes.saturating_sub(self.relay.lanes().len())
    }

    /// How long a lease lasts: a try fits into it.
    pub(crate) fn push_lease(&self) -> Span {
        self.settings.lease.max(self.sender.timeout() + LEASE_GRACE)
    }

    async fn endpoints_with_work(&self) -> Result<Vec<EndpointKey>> {
        let free = i64::try_from(self.free_lanes()).unwrap_or(i64::MAX);
        let mut reader = self.push_reader().await?;
        Ok(reader.tx.push_endpoints_with_work(self.ctx.now(), free).await?)
    }

    /// Lets lanes run for endpoints that nobody sends to yet; those that run are told.
    async fn begin_lanes(
        mall: &Arc<Self>,
        keys: Vec<EndpointKey>,
        (running, stop): (&mut JoinSet<()>, &watch::Receiver<bool>),
    ) -> Result<()> {
        let free = mall.free_lanes();
        let mut wanted: Vec<EndpointKey> = {
            let (lanes, refused) = (mall.relay.lanes(), mall.relay.refused());
            let is_new = |key: &EndpointKey| match lanes.get(key) {
                Some(lane) => {
                    lane.ring();
                    false
                }
                None => !refused.contains(key),
            };
            keys.into_iter().filter(is_new).take(free).collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        // In one order on all nodes, so that none waits for another that waits for it.
        wanted.sort_by_cached_key(text_of);
        let leased = mall
            .retry(|| async {
                let now = mall.ctx.now();
                let mut tx = mall.store.begin().await?;
                let until = now + mall.push_lease();
                let leased = tx.lease_push_endpoints(&wanted, (now, until)).await?;
                tx.commit().await?;
                Ok(leased)
            })
            .await?;
        let got: HashSet<EndpointKey> = leased.iter().map(|(lease, _)| lease.key).collect();
        mall.relay.refused().extend(wanted.iter().filter(|key| !got.contains(*key)));
        for (lease, endpoint) in leased {
            let bell = Arc::new(LaneBell::default());
            let key = lease.key;
            mall.relay.lanes().insert(key, Arc::clone(&bell));
            let entry = Entry { mall: Arc::clone(mall), key, bell: Arc::clone(&bell) };
            let (mall, stop) = (Arc::clone(mall), stop.clone());
            running.spawn(async move {
                let lane = Lane::open(mall, (lease, endpoint), bell).await;
                let ran = match lane {
                    Ok(lane) => lane.run(stop).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = ran {
                    // Its lease ends by itself, and the next look finds the endpoint again.
                    tracing::warn!(%error, endpoint = %entry.key.2, "pushes to an endpoint broke off");
                }
                drop(entry);
            });
        }
        Ok(())
    }

    /// Whether this process sends nothing, and nothing is due that it could send.
    pub async fn is_push_idle(&self) -> Result<bool> {
        let is_busy = || {
            self.relay.is_looking.load(Ordering::SeqCst)
                || !self.push_bell.is_silent()
                || !self.relay.lanes().is_empty()
        };
        Ok(!is_busy() && self.endpoints_with_work().await?.is_empty() && !is_busy())
    }
}
