//! A bucket of tokens that fills steadily. Pure: the time is given.
//!
//! Known limiters keep a clock of their own and cannot look without taking; both are needed here.

use std::str::FromStr;

use domain::{Span, Timestamp};

use super::passed_since;

/// The highest rate and burst.
const RATE_MAX: u32 = 1_000_000;
/// Parts of a token: a rate per second is as many parts per microsecond.
const TOKEN: u64 = 1_000_000;

/// So many requests per second in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    per_second: u32,
    burst: u32,
}

impl RateLimit {
    /// A rate and a burst; `None` unless both are from 1 to 1,000,000.
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        let fine = |number| (1..=RATE_MAX).contains(&number);
        (fine(per_second) && fine(burst)).then_some(Self { per_second, burst })
    }

    fn size(self) -> u64 {
        u64::from(self.burst) * TOKEN
    }
}

impl FromStr for RateLimit {
    type Err = &'static str;

    /// `RATE` or `RATE:BURST`; a burst that is not named is two seconds' worth.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let complaint = "must be RATE or RATE:BURST, each from 1 to 1000000";
        let number = |text: &str| text.parse::<u32>().map_err(|_| complaint);
        let (rate, burst) = match text.split_once(':') {
            Some((rate, burst)) => (number(rate)?, number(burst)?),
            None => (number(text)?, number(text)?.saturating_mul(2).min(RATE_MAX)),
        };
        Self::new(rate, burst).ok_or(complaint)
    }
}

/// How full a bucket is. A new one is full.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// What is missing, in parts of a token.
    missing: u64,
    /// When that was so, in microseconds.
    at: i64,
}

impl Bucket {
    /// What is missing now.
    fn missing_at(&self, rate: RateLimit, now: Timestamp) -> u64 {
        let Some(passed) = passed_since(self.at, now) else { return 0 };
        self.missing.saturating_sub(passed.saturating_mul(rate.per_second.into()))
    }

    /// How long until a token is there; `None` if one is.
    pub(super) fn wait(&self, rate: RateLimit, now: Timestamp) -> Option<Span> {
        let lacking = (self.missing_at(rate, now) + TOKEN).saturating_sub(rate.size());
        if lacking == 0 {
            return None;
        }
        let micros = lacking.div_ceil(rate.per_second.into());
        Some(Span::micros(i64::try_from(micros).unwrap_or(i64::MAX)))
    }

    /// Takes a token, or says how long until there is one.
    pub(super) fn take(&mut self, rate: RateLimit, now: Timestamp) -> Result<(), Span> {
        if let Some(wait) = self.wait(rate, now) {
            return Err(wait);
        }
        self.spill(rate, now);
        Ok(())
    }

    /// Takes a token whether it is there or not: an empty bucket stays empty.
    pub(super) fn spill(&mut self, rate: RateLimit, now: Timestamp) {
        self.missing = (self.missing_at(rate, now) + TOKEN).min(rate.size());
        self.at = now.as_micros();
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
        fn no_window_admits_more_than_it_may_and_waits_are_true(
            per_second in 1..5_000_u32,
            burst in 1..50_u32,
            pauses in prop::collection::vec(0..400_000_i64, 1..200),
        ) {
            let rate = RateLimit::new(per_second, burst).unwrap();
            let (mut bucket, mut now) = (Bucket::default(), 1_700_000_000_000_000);
            let mut admitted: Vec<i64> = Vec::new();
            for pause in pauses {
                now += pause;
                match bucket.take(rate, at(now)) {
                    Ok(()) => admitted.push(now),
                    Err(wait) => {
                        // Then, and not a microsecond sooner.
                        let then = now + wait.as_micros();
                        prop_assert!(bucket.wait(rate, at(then)).is_none());
                        prop_assert!(bucket.wait(rate, at(then - 1)).is_some());
                    }
                }
            }
            for (place, from) in admitted.iter().enumerate() {
                for (more, until) in admitted[place..].iter().enumerate() {
                    let filled = (until - from) * i64::from(per_second) / 1_000_000;
                    prop_assert!(i64::try_from(more).unwrap() < i64::from(burst) + filled + 1);
                }
            }
        }

        #[test]
        fn who_keeps_to_the_rate_is_never_refused(
            per_second in 1..5_000_u32, burst in 1..50_u32, extra in 0..1_000_i64, times in 1..300,
        ) {
            let rate = RateLimit::new(per_second, burst).unwrap();
            let (mut bucket, mut now) = (Bucket::default(), 5);
            for _ in 0..times {
                prop_assert_eq!(bucket.take(rate, at(now)), Ok(()));
                now += (1_000_000 + i64::from(per_second) - 1) / i64::from(per_second) + extra;
            }
        }

        #[test]
        fn a_clock_put_back_locks_nobody_out(
            burst in 1..50_u32, spilled in 0..200_u32, back in 0..1_000_000_000_000_i64,
        ) {
            let rate = RateLimit::new(10, burst).unwrap();
            let (mut bucket, now) = (Bucket::default(), 1_700_000_000_000_000);
            for _ in 0..spilled {
                bucket.spill(rate, at(now));
            }
            // A tenth of a second's filling is one token.
            let mut later = [0, 1_100_000].map(|later| at(now - back + later)).into_iter();
            prop_assert!(later.any(|time| bucket.wait(rate, time).is_none()));
        }
    }

    #[test]
    fn rates_are_read() {
        assert_eq!("20".parse(), Ok(RateLimit { per_second: 20, burst: 40 }));
        assert_eq!("20:5".parse(), Ok(RateLimit { per_second: 20, burst: 5 }));
        assert_eq!("1000000".parse(), Ok(RateLimit { per_second: 1_000_000, burst: 1_000_000 }));
        for wrong in ["", "0", "-1", "1.5", "5:", ":5", "5:0", "1000001", "1:2:3", "many"] {
            assert!(wrong.parse::<RateLimit>().is_err(), "{wrong}");
        }
    }
}
