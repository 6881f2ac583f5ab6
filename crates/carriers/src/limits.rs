//! How often and how much at once a carrier may be asked. It keeps us within what the carrier allows, so that
//! a burst of orders is put off here instead of being refused there. Time comes from the context.
//!
//! One limiter counts for one process: nodes that share an address share the carrier's limits by setting.

use std::sync::{Arc, Mutex, PoisonError};

use domain::{Ctx, Span, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

/// When to try again what found no free place.
const CROWDED_RETRY: Span = Span::seconds(5);
/// When to try again what found the day's questions used up.
const SPENT_RETRY: Span = Span::minutes(15);

/// What a carrier allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls begun in a second, evenly spread.
    pub starts_per_second: u32,
    /// Calls at once.
    pub in_flight: u32,
    /// Calls in a day (UTC) after which only orders are sent; `None` if there is no such limit.
    pub calls_per_day: Option<u32>,
    /// How long a call waits for its turn before it is put off.
    pub wait_max: Span,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It changes nothing.
    Question,
    /// It orders or changes something.
    Change,
    /// A question about a group's SIMs, of which there are many.
    GroupQuestion,
    /// It moves a group's SIM, of which there are many.
    GroupChange,
}

impl Purpose {
    fn is_question(self) -> bool {
        matches!(self, Self::Question | Self::GroupQuestion)
    }

    fn is_of_group(self) -> bool {
        matches!(self, Self::GroupQuestion | Self::GroupChange)
    }
}

/// A call's place, taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _place: OwnedSemaphorePermit,
    _of_groups: Option<OwnedSemaphorePermit>,
}

/// Not now; nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PutOff {
    pub after: Span,
    pub message: &'static str,
}

/// Lets calls through at the carrier's pace.
#[derive(Debug)]
pub(crate) struct Limiter {
    ctx: Ctx,
    limits: Limits,
    places: Arc<Semaphore>,
    /// Half of the places: what is done for groups leaves the rest to orders, which stand in no line behind it.
    group_places: Arc<Semaphore>,
    count: Mutex<Count>,
}

#[derive(Debug)]
struct Count {
    next_start: Timestamp,
    next_group_start: Timestamp,
    day: i64,
    calls: u32,
}

impl Limiter {
    pub fn new(ctx: Ctx, limits: Limits) -> Self {
        let places = usize::try_from(limits.in_flight.max(1)).unwrap_or(1);
        let now = ctx.now();
        let count = Count { next_start: now, next_group_start: now, day: 0, calls: 0 };
        let (places, group_places) = (Semaphore::new(places), Semaphore::new((places / 2).max(1)));
        let (places, group_places) = (Arc::new(places), Arc::new(group_places));
        Self { ctx, limits, places, group_places, count: Mutex::new(count) }
    }

    /// Waits for a call's turn. The place is taken until the permit is dropped.
    pub async fn start(&self, purpose: Purpose) -> Result<Place, PutOff> {
        let crowded = PutOff { after: CROWDED_RETRY, message: "too many calls to the carrier" };
        let (begun, wait_max) = (Instant::now(), self.limits.wait_max.to_std());
        // All waits together are a call's wait: its caller counts on that.
        let left = || wait_max.saturating_sub(begun.elapsed());
        let span = |left: std::time::Duration| {
            Span::micros(i64::try_from(left.as_micros()).unwrap_or(i64::MAX))
        };
        let mut of_groups = None;
        if purpose.is_of_group() {
            let place = timeout(left(), Arc::clone(&self.group_places).acquire_owned()).await;
            let Ok(Ok(place)) = place else { return Err(crowded) };
            of_groups = Some(place);
            let wait = self.group_turn(span(left()), crowded.clone())?;
            if wait.as_micros() > 0 {
                sleep(wait.to_std()).await;
            }
        }
        let place = timeout(left(), Arc::clone(&self.places).acquire_owned()).await;
        // The semaphore is never closed.
        let Ok(Ok(place)) = place else { return Err(crowded) };
        let wait = self.turn(purpose, span(left()), crowded)?;
        if wait.as_micros() > 0 {
            sleep(wait.to_std()).await;
        }
        Ok(Place { _place: place, _of_groups: of_groups })
    }

    /// How long a call for a group waits before it stands in line with all others: at most half of all starts are groups'.
    fn group_turn(&self, left: Span, crowded: PutOff) -> Result<Span, PutOff> {
        let (now, pace) = (self.ctx.now(), self.pace() + self.pace());
        // The count is valid between any two statements that change it.
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let start = count.next_group_start.max(now);
        let start = if start > now + self.limits.wait_max + pace { now } else { start };
        let wait = start.since(now);
        if wait > left {
            return Err(crowded);
        }
        count.next_group_start = start + pace;
        Ok(wait)
    }

    /// How long to wait for the next start, which is then taken; `left` at most.
    fn turn(&self, purpose: Purpose, left: Span, crowded: PutOff) -> Result<Span, PutOff> {
        let now = self.ctx.now();
        // The count is valid between any two statements that change it.
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let day = now.since(Timestamp::from_micros(0)).whole_days();
        if count.day != day {
            (count.day, count.calls) = (day, 0);
        }
        let spent = self.limits.calls_per_day.is_some_and(|most| count.calls >= most);
        if spent && purpose.is_question() {
            let message = "today's questions to the carrier are used up";
            return Err(PutOff { after: SPENT_RETRY, message });
        }
        let start = count.next_start.max(now);
        // A clock that was put back must not hold up everything until it has caught up.
        let start = if start > now + self.limits.wait_max + self.pace() { now } else { start };
        let wait = start.since(now);
        if wait > left {
            return Err(crowded);
        }
        count.next_start = start + self.pace();
        count.calls = count.calls.saturating_add(1);
        Ok(wait)
    }

    fn pace(&self) -> Span {
        Span::micros(1_000_000 / i64::from(self.limits.starts_per_second.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    struct Hand(AtomicI64);

    impl domain::Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::Relaxed))
        }
    }

    fn limiter(limits: Limits) -> (Arc<Hand>, Limiter) {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        let rng = rand::SeedableRng::seed_from_u64(1);
        (clock.clone(), Limiter::new(Ctx::new(clock, rng), limits))
    }

    const LIMITS: Limits = Limits {
        starts_per_second: 10,
        in_flight: 3,
        calls_per_day: None,
        wait_max: Span::millis(250),
    };

    fn turn(limiter: &Limiter, purpose: Purpose) -> Result<Span, Span> {
        let crowded = PutOff { after: CROWDED_RETRY, message: "" };
        limiter.turn(purpose, limiter.limits.wait_max, crowded).map_err(|put_off| put_off.after)
    }

    #[test]
    fn starts_are_spread_and_what_would_wait_too_long_is_put_off() {
        let (clock, limiter) = limiter(LIMITS);
        for wait in [0, 100, 200] {
            assert_eq!(turn(&limiter, Purpose::Question), Ok(Span::millis(wait)));
        }
        assert_eq!(turn(&limiter, Purpose::Change), Err(CROWDED_RETRY));
        clock.0.store(150_000, Ordering::Relaxed);
        assert_eq!(turn(&limiter, Purpose::Change), Ok(Span::millis(150)));
        clock.0.store(10_000_000, Ordering::Relaxed);
        assert_eq!(turn(&limiter, Purpose::Change), Ok(Span::micros(0)));
        // The clock is put back.
        clock.0.store(0, Ordering::Relaxed);
        assert_eq!(turn(&limiter, Purpose::Change), Ok(Span::micros(0)));
    }

    #[tokio::test]
    async fn groups_leave_half_of_the_places_and_of_the_pace_to_orders() {
        let limits = Limits { in_flight: 4, starts_per_second: 1_000_000, ..LIMITS };
        let (_, crowd) = limiter(Limits { wait_max: Span::millis(10), ..limits });
        let mut taken = Vec::new();
        for _ in 0..2 {
            taken.push(crowd.start(Purpose::GroupChange).await.unwrap());
        }
        assert!(crowd.start(Purpose::GroupQuestion).await.is_err());
        for _ in 0..2 {
            taken.push(crowd.start(Purpose::Change).await.unwrap());
        }
        assert!(crowd.start(Purpose::Question).await.is_err());
        drop(taken);
        assert!(crowd.start(Purpose::GroupChange).await.is_ok());
        // Ten starts a second, of which five are groups': each of theirs waits, and holds up no other.
        let (_, paced) = limiter(LIMITS);
        let crowded = PutOff { after: CROWDED_RETRY, message: "" };
        let group_turn = || paced.group_turn(LIMITS.wait_max, crowded.clone()).ok();
        assert_eq!(group_turn(), Some(Span::millis(0)));
        assert_eq!(group_turn(), Some(Span::millis(200)));
        assert_eq!(group_turn(), None);
        assert_eq!(turn(&paced, Purpose::Change), Ok(Span::millis(0)));
    }

    #[test]
    fn what_waited_for_a_place_has_less_time_for_its_turn() {
        let (_, limiter) = limiter(LIMITS);
        let crowded = PutOff { after: CROWDED_RETRY, message: "" };
        let turn = |left| limiter.turn(Purpose::Change, left, crowded.clone()).ok();
        assert_eq!(turn(Span::millis(0)), Some(Span::millis(0)));
        assert_eq!(turn(Span::millis(99)), None);
        assert_eq!(turn(Span::millis(100)), Some(Span::millis(100)));
    }

    #[test]
    fn a_day_has_so_many_questions_and_orders_still_go() {
        let (clock, limiter) = limiter(Limits { calls_per_day: Some(2), ..LIMITS });
        assert!(turn(&limiter, Purpose::Question).is_ok());
        assert!(turn(&limiter, Purpose::Change).is_ok());
        clock.0.store(1_000_000, Ordering::Relaxed);
        assert_eq!(turn(&limiter, Purpose::Question), Err(SPENT_RETRY));
        assert!(turn(&limiter, Purpose::Change).is_ok());
        clock.0.store(86_400_000_000, Ordering::Relaxed);
        assert!(turn(&limiter, Purpose::Question).is_ok());
    }

    #[tokio::test]
    async fn so_many_calls_are_on_their_way_at_once() {
        let limits = Limits { in_flight: 1, starts_per_second: 1_000_000, ..LIMITS };
        let (_, limiter) = limiter(Limits { wait_max: Span::millis(10), ..limits });
        let first = limiter.start(Purpose::Question).await.unwrap();
        let put_off = limiter.start(Purpose::Change).await.unwrap_err();
        assert_eq!(put_off.after, CROWDED_RETRY);
        drop(first);
        assert!(limiter.start(Purpose::Change).await.is_ok());
    }
}
