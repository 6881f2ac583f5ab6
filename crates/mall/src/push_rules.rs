//! When a push is tried again, when an endpoint's breaker opens and closes, and when an endpoint is given up. Pure.
//!
//! An event that fails alone is given up after its last try. Where an endpoint as a whole fails, tries do not count and
//! nothing is given up: a probe goes out now and then, and the first success lets all go that waited. An endpoint that
//! asks for time gets it: nothing is held against it.

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
/// So many tries of an event count at most before the breaker opens.
pub(crate) const HELD_TRIES_MAX: i64 = FAILURES_MAX;
/// A receiver that asks for less time than this gets this much, so that nobody is tried without a pause.
const ASKED_MIN: Span = Span::seconds(1);
/// The longest time that a receiver gets.
const ASKED_MAX: Span = Span::days(1);
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
    /// It does not.
    NotTaken,
    /// It asks to be left alone for so long.
    NotNow(Span),
    /// It says that it is gone for good.
    Gone,
}

/// A try that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) verdict: Verdict,
    /// How many tries of the event had failed before.
    pub(crate) tries: i64,
    /// When it began, as [`Course::begin`] said.
    pub(crate) at: Timestamp,
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
    /// Its breaker closed: what that held up is due.
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
    /// The last try that had begun when a failure was counted.
    counted_at: Option<Timestamp>,
    /// The last try that had begun when it asked for time.
    asked_at: Option<Timestamp>,
}

impl Course {
    /// An endpoint that was not sent to for a while is begun with gently.
    pub(crate) fn new(health: EndpointHealth) -> Self {
        Self { health, width: 1, counted_at: None, asked_at: None }
    }

    /// Whether nothing but a probe may go out, and when: its breaker is open, or it asked for time.
    pub(crate) fn is_open(&self) -> bool {
        self.health.probe_at.is_some()
    }

    /// Whether so many tries failed that its breaker is open.
    fn is_broken(&self) -> bool {
        self.health.failures >= FAILURES_MAX
    }

    /// Whether the next probe is what happened last, and not what was tried longest ago: each comes in turn, so that a few
    /// events that an endpoint cannot take do not keep it shut.
    pub(crate) fn probes_newest(&self) -> bool {
        self.health.failures % 2 == 0
    }

    /// The course of the same endpoint after somebody changed it.
    pub(crate) fn anew(&self, health: EndpointHealth) -> Self {
        // The times of tries go on.
        let tried_at = self.health.tried_at.max(health.tried_at);
        Self::new(EndpointHealth { tried_at, ..health })
    }

    /// A try begins. No two tries of an endpoint are of the same time.
    pub(crate) fn begin(&mut self, now: Timestamp) -> Timestamp {
        if self.health.tried_at.is_some_and(|last| now.since(last) > SILENCE_MAX) {
            self.health.failing_since = None;
        }
        let after = |last: Timestamp| now.max(last + Span::micros(1));
        let at = self.health.tried_at.map_or(now, after);
        self.health.tried_at = Some(at);
        at
    }

    /// A try ended. `jitter` is any byte.
    pub(crate) fn heed(
        &mut self,
        tried: Tried,
        now: Timestamp,
        jitter: u8,
    ) -> (Decided, Consequence) {
        match tried.verdict {
            Verdict::Taken => self.heed_success(tried, now),
            Verdict::Gone => (waits(tried.tries, now), Consequence::Gone),
            Verdict::NotNow(pause) => self.heed_plea(pause, tried.tries, now),
            Verdict::NotTaken => self.heed_failure(tried, now, jitter),
        }
    }

    fn heed_success(&mut self, end: Tried, now: Timestamp) -> (Decided, Consequence) {
        let (was_open, was_broken) = (self.is_open(), self.is_broken());
        self.health.succeeded_at = Some(now);
        (self.health.failing_since, self.health.failures) = (None, 0);
        // What was on its way already when it asked for time does not end that time.
        if self.asked_at.is_none_or(|asked| end.at > asked) {
            self.health.probe_at = None;
        }
        self.width = (self.width * 2).min(WIDTH_MAX);
        let tries = if was_open { end.tries } else { end.tries + 1 };
        let decided = Decided { state: DeliveryState::Delivered, tries, due_at: now };
        (decided, if was_broken { Consequence::Closed } else { Consequence::None })
    }

    /// It asks for time: that is no failure, neither of the event nor of the endpoint. One that has asked for nothing but
    /// time for days is given up as any other.
    fn heed_plea(&mut self, pause: Span, tries: i64, now: Timestamp) -> (Decided, Consequence) {
        let since = *self.health.failing_since.get_or_insert(now);
        let probe_at = now + pause.clamp(ASKED_MIN, ASKED_MAX);
        let probe_at = self.health.probe_at.map_or(probe_at, |known| known.max(probe_at));
        self.health.probe_at = Some(probe_at);
        self.asked_at = self.health.tried_at;
        self.width = (self.width / 2).max(1);
        (waits(tries, probe_at), dead_or_not(since, now))
    }

    fn heed_failure(&mut self, end: Tried, now: Timestamp, jitter: u8) -> (Decided, Consequence) {
        let (was_open, tries) = (self.is_open(), end.tries);
        let since = *self.health.failing_since.get_or_insert(now);
        // Those that were on their way together and fail are one failure.
        if self.counted_at.is_none_or(|counted| end.at > counted) {
            self.health.failures = self.health.failures.saturating_add(1);
            self.counted_at = self.health.tried_at;
        }
        self.width = (self.width / 2).max(1);
        if self.is_broken() || was_open {
            // What was on its way when it opened puts it off no further.
            let known = self.health.probe_at.filter(|at| *at > now);
            self.health.probe_at = Some(known.unwrap_or(now + shortened(PROBE_PAUSE, jitter)));
        }
        let decided = match (was_open, pause_after(tries, jitter)) {
            // Behind those that were not tried yet, so that probes go round.
            (true, _) => waits(tries, self.health.probe_at.unwrap_or(now)),
            (false, Some(pause)) => waits(tries + 1, now + pause),
            (false, None) => {
                Decided { state: DeliveryState::Failed, tries: tries + 1, due_at: now }
            }
        };
        (decided, dead_or_not(since, now))
    }
}

fn waits(tries: i64, due_at: Timestamp) -> Decided {
    Decided { state: DeliveryState::Waiting, tries, due_at }
}

fn dead_or_not(failing_since: Timestamp, now: Timestamp) -> Consequence {
    if now.since(failing_since) >= OFF_AFTER { Consequence::Dead } else { Consequence::None }
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
mod tests;
