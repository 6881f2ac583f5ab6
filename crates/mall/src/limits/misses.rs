//! When a guesser missed. Pure: the time is given.

use std::collections::VecDeque;

use domain::{Span, Timestamp};

use super::passed_since;

/// The latest misses of a guesser, as many as it may have.
#[derive(Debug, Default)]
pub(super) struct Misses(VecDeque<i64>);

impl Misses {
    /// How long until fewer than `max` misses lie within the window; `None` if that is so now.
    pub(super) fn wait(&self, now: Timestamp, max: usize, window: Span) -> Option<Span> {
        let place = self.0.len().checked_sub(max)?;
        let passed = passed_since(*self.0.get(place)?, now)?;
        let left = window.as_micros().saturating_sub(i64::try_from(passed).unwrap_or(i64::MAX));
        (left > 0).then_some(Span::micros(left))
    }

    /// Remembers a miss, and as many as matter.
    pub(super) fn note(&mut self, now: Timestamp, max: usize) {
        self.0.push_back(now.as_micros());
        while self.0.len() > max {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    proptest! {
        #[test]
        fn never_more_than_so_many_in_a_window_and_waits_are_true(
            max in 1..8_usize,
            pauses in prop::collection::vec(0..120_i64, 1..100),
        ) {
            let window = Span::seconds(100);
            let (mut misses, mut now, mut noted) = (Misses::default(), 0, Vec::new());
            for pause in pauses {
                now += pause * 1_000_000;
                match misses.wait(at(now), max, window) {
                    None => {
                        misses.note(at(now), max);
                        noted.push(now);
                    }
                    Some(wait) => {
                        let then = now + wait.as_micros();
                        prop_assert!(misses.wait(at(then), max, window).is_none());
                        prop_assert!(misses.wait(at(then - 1), max, window).is_some());
                    }
                }
                let within = noted.iter().filter(|time| now - **time < window.as_micros());
                prop_assert!(within.count() <= max);
            }
        }
    }
}
