//! When a push is tried again, when an endpoint's breaker opens and closes, and when an endpoint is given up. Pure.
//!
//! An event that fails alone is given up after its last try. Where an endpoint as a whole fails, tries do not count and
//! nothing is given up: a probe goes out now and then, and the first success lets all go that waited.

use domain::push::DeliveryState;
use domain::{Span, Timestamp};
use store::EndpointHealth;

/// The pauses behind the first try, the second, and so on; after the last one there is one more try.
const PAUSES: [Span; 7] = [
    Span::seconds(5),
    Span::minutes(5),
    Span::minutes(30),
    Span::minutes(120),
    Span::minutes(300),
    Span::minutes(600),
    Span::minutes(600),
];
/// How many tries fail in a row, of whichever events, before the breaker opens.
const FAILURES_MAX: i64 = 3;
/// The longest pause between two probes of an open breaker.
const PROBE_PAUSE: Span = Span::minutes(5);
/// After so long of nothing but failures an endpoint is switched off.
const OFF_AFTER: Span = Span::days(5);
/// Longer than that lies between two tries only where nobody tried: such days are none of failure.
const SILENCE_MAX: Span = Span::minutes(25 * 60);
/// The most pushes to one endpoint that are on their way at once.
pub(crate) const WIDTH_MAX: usize = 32;

/// What a receiver made of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has it.
    Taken,
    /// It does not, and asks for a pause perhaps.
    NotTaken(Option<Span>),
    /// It says that it is gone for good.
    Gone,
}

/// What follows for the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) state: DeliveryState,
    pub(crate) tries: i64,
    pub(crate) due_at: Timestamp,
}

/// What follows for the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// Nothing.
    None,
    /// Its breaker closed: all that waits is due.
    Closed,
    /// It is given up, because it said so.
    Gone,
    /// It is given up, after days of failures.
    Dead,
}

/// How an endpoint does, and how much may be sent to it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) health: EndpointHealth,
    /// How many pushes may be on their way at once.
    pub(crate) width: usize,
}

impl Course {
    /// An endpoint that was not sent to for a while is begun with gently.
    pub(crate) fn new(health: EndpointHealth) -> Self {
        Self { health, width: 1 }
    }

    /// Whether its breaker is open.
    pub(crate) fn is_open(&self) -> bool {
        self.health.probe_at.is_some()
    }

    /// A try ended; `health.tried_at` is that of the one before. `jitter` is any byte.
    pub(crate) fn heed(
        &mut self,
        (verdict, tries): (Verdict, i64),
        now: Timestamp,
        jitter: u8,
    ) -> (Decided, Consequence) {
        match verdict {
            Verdict::Taken => {
                let was_open = self.is_open();
                self.health.succeeded_at = Some(now);
                (self.health.failing_since, self.health.failures) = (None, 0);
                self.health.probe_at = None;
                self.width = (self.width * 2).min(WIDTH_MAX);
                let tries = if was_open { tries } else { tries + 1 };
                let decided = Decided { state: DeliveryState::Delivered, tries, due_at: now };
                (decided, if was_open { Consequence::Closed } else { Consequence::None })
            }
            Verdict::Gone => {
                let decided = Decided { state: DeliveryState::Waiting, tries, due_at: now };
                (decided, Consequence::Gone)
            }
            Verdict::NotTaken(after) => self.heed_failure((after, tries), now, jitter),
        }
    }

    fn heed_failure(
        &mut self,
        (after, tries): (Option<Span>, i64),
        now: Timestamp,
        jitter: u8,
    ) -> (Decided, Consequence) {
        let counts = !self.is_open();
        let was_silent = self.health.tried_at.is_some_and(|at| now.since(at) > SILENCE_MAX);
        if was_silent {
            self.health.failing_since = None;
        }
        let since = *self.health.failing_since.get_or_insert(now);
        self.health.failures = self.health.failures.saturating_add(1);
        self.width = (self.width / 2).max(1);
        if self.health.failures >= FAILURES_MAX {
            let pause = shortened(PROBE_PAUSE, jitter);
            let probe_at = now + after.map_or(pause, |after| after.max(pause));
            self.health.probe_at = Some(match self.health.probe_at.filter(|at| *at > now) {
                // What was on its way when it opened puts it off no further by itself.
                Some(known) if after.is_none() => known,
                Some(known) => known.max(probe_at),
                None => probe_at,
            });
        }
        let is_dead = now.since(since) >= OFF_AFTER;
        let consequence = if is_dead { Consequence::Dead } else { Consequence::None };
        let decided = match (counts, pause_after(tries, jitter)) {
            // Behind those that were not tried yet, so that probes go round.
            (false, _) => {
                let due_at = self.health.probe_at.unwrap_or(now);
                Decided { state: DeliveryState::Waiting, tries, due_at }
            }
            (true, Some(pause)) => {
                let due_at = now + after.map_or(pause, |after| after.max(pause));
                Decided { state: DeliveryState::Waiting, tries: tries + 1, due_at }
            }
            (true, None) => Decided { state: DeliveryState::Failed, tries: tries + 1, due_at: now },
        };
        (decided, consequence)
    }
}

/// The pause behind a try before which so many failed, ten per cent more or less; `None`: it was the last.
fn pause_after(tries: i64, jitter: u8) -> Option<Span> {
    let pause = PAUSES.get(usize::try_from(tries).ok()?)?.as_micros();
    Some(Span::micros(pause / 10 * 9 + pause / 5 / 255 * i64::from(jitter)))
}

/// Up to ten per cent less.
fn shortened(pause: Span, jitter: u8) -> Span {
    let micros = pause.as_micros();
    Span::micros(micros - micros / 10 / 255 * i64::from(jitter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn course() -> Course {
        Course::new(EndpointHealth::default())
    }

    #[test]
    fn pauses_are_the_published_ones_within_ten_per_cent() {
        let seconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
        for (tries, seconds) in (0..).zip(seconds) {
            let span = |jitter| pause_after(tries, jitter).unwrap().as_micros();
            let micros = seconds * 1_000_000;
            assert_eq!(span(0), micros / 10 * 9);
            assert!((micros / 10 * 11 - 1_000..=micros / 10 * 11).contains(&span(255)), "{tries}");
        }
        assert_eq!(pause_after(7, 0), None);
    }

    #[test]
    fn an_event_that_fails_alone_fails_after_its_eighth_try() {
        let (mut course, mut now, mut tries) = (course(), NOW, 0);
        for no in 1..=8 {
            let (decided, consequence) = course.heed((Verdict::NotTaken(None), tries), now, 128);
            assert_eq!(consequence, Consequence::None);
            let last = if no == 8 { DeliveryState::Failed } else { DeliveryState::Waiting };
            assert_eq!((decided.state, decided.tries), (last, no));
            (now, tries) = (decided.due_at, decided.tries);
            // Another event is taken meanwhile.
            course.heed((Verdict::Taken, 0), now, 0);
            assert!(!course.is_open());
        }
    }

    #[test]
    fn three_failures_open_the_breaker_and_one_success_closes_it() {
        let mut course = course();
        for _ in 0..3 {
            assert!(!course.is_open());
            let (decided, _) = course.heed((Verdict::NotTaken(None), 0), NOW, 0);
            assert_eq!(decided.tries, 1);
        }
        assert_eq!(course.health.probe_at, Some(NOW + PROBE_PAUSE));
        // A try that does not count, however many there are.
        let (decided, _) = course.heed((Verdict::NotTaken(None), 7), NOW, 255);
        assert_eq!((decided.state, decided.tries), (DeliveryState::Waiting, 7));
        assert_eq!(decided.due_at, NOW + PROBE_PAUSE);
        let (_, consequence) = course.heed((Verdict::Taken, 7), NOW, 0);
        assert_eq!(consequence, Consequence::Closed);
        assert_eq!((course.health.failures, course.health.failing_since), (0, None));
        assert!(!course.is_open());
    }

    #[test]
    fn five_days_of_failures_are_the_end_and_a_success_begins_anew() {
        let mut course = course();
        let fail = |course: &mut Course, after: Span| {
            course.heed((Verdict::NotTaken(None), 0), NOW + after, 0).1
        };
        fail(&mut course, Span::seconds(0));
        assert_eq!(
            fail(&mut course, Span::micros(Span::days(5).as_micros() - 1)),
            Consequence::None
        );
        assert_eq!(fail(&mut course, Span::days(5)), Consequence::Dead);
        course.heed((Verdict::Taken, 0), NOW + Span::days(5), 0);
        assert_eq!(fail(&mut course, Span::days(6)), Consequence::None);
        assert_eq!(fail(&mut course, Span::days(10)), Consequence::None);
        assert_eq!(fail(&mut course, Span::days(11)), Consequence::Dead);
    }

    #[test]
    fn days_on_which_nobody_tried_are_none_of_failure() {
        let mut course = course();
        let mut fail = |after: Span| {
            let (_, consequence) = course.heed((Verdict::NotTaken(None), 0), NOW + after, 0);
            course.health.tried_at = Some(NOW + after);
            consequence
        };
        assert_eq!(fail(Span::seconds(0)), Consequence::None);
        assert_eq!(fail(Span::days(6)), Consequence::None);
        for day in 7..11 {
            assert_eq!(fail(Span::days(day)), Consequence::None);
        }
        assert_eq!(fail(Span::days(11)), Consequence::Dead);
    }

    #[test]
    fn what_the_receiver_asks_for_is_heard() {
        let mut course = course();
        let hour = Some(Span::minutes(60));
        let (decided, _) = course.heed((Verdict::NotTaken(hour), 0), NOW, 0);
        assert_eq!(decided.due_at, NOW + Span::minutes(60));
        let (decided, _) = course.heed((Verdict::NotTaken(Some(Span::seconds(1))), 2), NOW, 0);
        assert_eq!(decided.due_at, NOW + Span::minutes(27));
        // It puts probes off too.
        course.heed((Verdict::NotTaken(hour), 0), NOW, 0);
        assert_eq!(course.health.probe_at, Some(NOW + Span::minutes(60)));
        assert_eq!(course.heed((Verdict::Gone, 0), NOW, 0).1, Consequence::Gone);
    }

    proptest! {
        #[test]
        fn probes_come_within_five_minutes_and_the_width_stays_within_its_bounds(
            tries in proptest::collection::vec((any::<bool>(), any::<u8>()), 1..60),
        ) {
            let (mut course, mut now) = (course(), NOW);
            for (taken, jitter) in tries {
                let verdict = if taken { Verdict::Taken } else { Verdict::NotTaken(None) };
                course.heed((verdict, 0), now, jitter);
                prop_assert!((1..=WIDTH_MAX).contains(&course.width));
                prop_assert_eq!(course.is_open(), course.health.failures >= FAILURES_MAX);
                if let Some(at) = course.health.probe_at {
                    prop_assert!(at.since(now) <= PROBE_PAUSE && at > now);
                    now = at;
                }
            }
        }
    }
}
