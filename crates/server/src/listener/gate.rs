//! Counts connections, and turns away those that are too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::Early;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant};

use super::House;

/// The least time between two lines of the log about it: a flood must not become a flood of lines.
const WORD_PERIOD: Duration = Duration::from_secs(10);

/// The count of open connections.
pub(super) struct Gate {
    total_max: usize,
    per_address_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    turned_away: u64,
    /// When the log last said so.
    said_at: Option<Instant>,
}

/// The right to one connection, given back when it is dropped.
pub(super) struct Ticket {
    house: Arc<House>,
    /// Under which address it is counted; not at all for a trusted proxy.
    address: Option<IpAddr>,
}

impl Gate {
    pub(super) fn new(total_max: usize, per_address_max: usize) -> Self {
        Self { total_max, per_address_max, counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing between two changes of the counts can panic.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, if there is room.
    pub(super) fn admit(house: &Arc<House>, peer: IpAddr) -> Option<Ticket> {
        let proxy = house.proxies.trusts(peer);
        let address = (!proxy).then(|| mall::address_block(peer));
        let gate = &house.gate;
        let mut counts = gate.counts();
        let of_address = address.and_then(|one| counts.by_address.get(&one).copied()).unwrap_or(0);
        if counts.total >= gate.total_max || of_address >= gate.per_address_max {
            let total = counts.total;
            counts.turn_away(peer, total, of_address);
            return None;
        }
        counts.total += 1;
        if let Some(address) = address {
            counts.by_address.insert(address, of_address + 1);
        }
        Some(Ticket { house: Arc::clone(house), address })
    }
}

impl Counts {
    fn turn_away(&mut self, peer: IpAddr, total: usize, of_address: usize) {
        self.turned_away += 1;
        if self.said_at.is_none_or(|at| at.elapsed() >= WORD_PERIOD) {
            self.said_at = Some(Instant::now());
            let turned_away = std::mem::take(&mut self.turned_away);
            let address = mall::address_block(peer);
            tracing::warn!(%address, total, of_address, turned_away, "too many connections");
        }
    }
}

impl Ticket {
    pub(super) fn house(&self) -> &House {
        &self.house
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.house.gate.counts();
        counts.total -= 1;
        let Some(address) = self.address else { return };
        if let Some(count) = counts.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

/// Tells a client that there is no room, as far as it can be told without waiting, and hangs up. A
/// proxy or a client then tries another node, or again.
pub(super) fn turn_away(house: &House, stream: &TcpStream) {
    // An error means that the client is gone already.
    let _ = stream.try_write(&house.early.write(Early::NoRoom));
}
