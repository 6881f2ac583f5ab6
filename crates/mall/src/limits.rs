//! How much one caller may ask of a node: requests per second of a partner, failures per second of
//! an address, misses of the card check. All of it is counted in memory, by each node for itself,
//! on the mall's own clock; it touches no database.

mod bucket;
mod misses;
mod recent;

use std::net::{IpAddr, Ipv6Addr};

use domain::id::PartnerId;
use domain::partner::Partner;
use domain::{Span, Timestamp};
use wire::Code;

use crate::error::{Error, Refusal, Result};
use crate::{Mall, Settings};
use bucket::Bucket;
use misses::Misses;
use recent::Recent;

pub use bucket::RateLimit;

/// How many partners, addresses or guessers are remembered at least. Whoever was not heard of for
/// longer than so many others is forgotten; twice as many take up memory at most.
const REMEMBERED_MIN: usize = 32_768;
/// How far back misses of the card check count.
const MISSES_WINDOW: Span = Span::minutes(10);

/// What a node remembers of its callers.
pub(crate) struct Limits {
    partner_rate: Option<RateLimit>,
    address_rate: Option<RateLimit>,
    token_rate: Option<RateLimit>,
    card_misses_max: usize,
    partners: Recent<PartnerId, Bucket>,
    addresses: Failures,
    token_addresses: Failures,
    guessers: Recent<Guesser, Misses>,
}

/// Who misses cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Guesser {
    Partner(PartnerId),
    Address(IpAddr),
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            partner_rate: settings.partner_rate,
            address_rate: settings.address_rate,
            token_rate: settings.token_rate,
            card_misses_max: settings.card_misses_max,
            partners: Recent::new(REMEMBERED_MIN),
            addresses: Recent::new(REMEMBERED_MIN),
            token_addresses: Recent::new(REMEMBERED_MIN),
            // Each of these is up to a kilobyte.
            guessers: Recent::new(REMEMBERED_MIN / 8),
        }
    }

    /// How long a guesser has to wait until its next card check, if at all.
    fn wait_of(&self, guesser: Guesser, now: Timestamp) -> Option<Span> {
        let max = self.card_misses_max;
        self.guessers.look(&guesser, |misses| misses.wait(now, max, MISSES_WINDOW)).flatten()
    }
}

/// What is counted as one address: of IPv6 the /64 that a customer gets.
pub fn address_block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        canonical @ IpAddr::V4(_) => canonical,
    }
}

impl Mall {
    /// Whether an address may call, or has failed to prove who calls too often. Asked before anything
    /// costs anything.
    pub fn admit_address(&self, address: IpAddr) -> Result<()> {
        let Limits { address_rate, addresses, .. } = &self.limits;
        admit(addresses, *address_rate, address, self.ctx.now())
    }

    /// Counts a call that did not prove who makes it. Those that do are never counted, so that an
    /// address may send whatever its partners may.
    pub fn blame_address(&self, address: IpAddr) {
        let Limits { address_rate, addresses, .. } = &self.limits;
        blame(addresses, *address_rate, address, self.ctx.now());
    }

    /// Whether an address may call the admin API, or has tried too many tokens.
    pub fn admit_token_of(&self, address: IpAddr) -> Result<()> {
        let Limits { token_rate, token_addresses, .. } = &self.limits;
        admit(token_addresses, *token_rate, address, self.ctx.now())
    }

    /// Counts a token that is not valid.
    pub fn blame_token_of(&self, address: IpAddr) {
        let Limits { token_rate, token_addresses, .. } = &self.limits;
        blame(token_addresses, *token_rate, address, self.ctx.now());
    }

    /// Counts a call of a partner, or refuses it. Only for calls whose signature holds: else anybody
    /// could lock a partner out.
    pub fn admit_partner(&self, partner: &Partner) -> Result<()> {
        let Some(rate) = self.limits.partner_rate else { return Ok(()) };
        let now = self.ctx.now();
        let taken = self.limits.partners.change(partner.id, |bucket| bucket.take(rate, now));
        taken.map_err(too_many)
    }

    /// Whether a partner may check cards now, at this address.
    pub(crate) fn admit_card_check(&self, partner: &Partner, address: IpAddr) -> Result<()> {
        if self.limits.card_misses_max == 0 {
            return Ok(());
        }
        let now = self.ctx.now();
        let waits = guessers(partner, address).map(|one| self.limits.wait_of(one, now));
        waits.into_iter().flatten().max().map_or(Ok(()), |wait| Err(too_many(wait)))
    }

    /// Counts a miss, unless there are too many already: then neither a hit nor a miss is told.
    pub(crate) fn settle_card_check<T>(
        &self,
        partner: &Partner,
        address: IpAddr,
        outcome: &Result<T>,
    ) -> Result<()> {
        let max = self.limits.card_misses_max;
        let missed = matches!(
            outcome,
            Err(Error::Refused(refusal)) if refusal.code == Code::SimUnknown
        );
        if max == 0 || !missed {
            return self.admit_card_check(partner, address);
        }
        let now = self.ctx.now();
        for guesser in guessers(partner, address) {
            let wait = self.limits.guessers.change(guesser, |misses| {
                let wait = misses.wait(now, max, MISSES_WINDOW);
                if wait.is_none() {
                    misses.note(now, max);
                }
                wait
            });
            wait.map_or(Ok(()), |wait| Err(too_many(wait)))?;
        }
        Ok(())
    }
}

type Failures = Recent<IpAddr, Bucket>;

fn admit(of: &Failures, rate: Option<RateLimit>, address: IpAddr, now: Timestamp) -> Result<()> {
    let Some(rate) = rate else { return Ok(()) };
    let wait = of.look(&address_block(address), |bucket| bucket.wait(rate, now)).flatten();
    wait.map_or(Ok(()), |wait| Err(too_many(wait)))
}

fn blame(of: &Failures, rate: Option<RateLimit>, address: IpAddr, now: Timestamp) {
    if let Some(rate) = rate {
        of.change(address_block(address), |bucket| bucket.spill(rate, now));
    }
}

fn guessers(partner: &Partner, address: IpAddr) -> [Guesser; 2] {
    [Guesser::Partner(partner.id), Guesser::Address(address_block(address))]
}

/// The microseconds since a time; `None` if the clock was put back since. Within a second that is
/// nothing: threads take the time before they wait for each other.
fn passed_since(time: i64, now: Timestamp) -> Option<u64> {
    let passed = now.as_micros().saturating_sub(time);
    (passed >= -1_000_000).then(|| u64::try_from(passed).unwrap_or(0))
}

pub(crate) fn too_many(wait: Span) -> Error {
    Refusal { retry_after: Some(wait), ..Refusal::new(Code::RateLimited) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_is_one_block() {
        let block = |text: &str| address_block(text.parse().unwrap()).to_string();
        assert_eq!(block("192.0.2.7"), "192.0.2.7");
        assert_eq!(block("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(block("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(block("2001:db8:1:2:ffff::"), block("2001:db8:1:2::1"));
        assert_ne!(block("2001:db8:1:2::"), block("2001:db8:1:3::"));
    }
}
