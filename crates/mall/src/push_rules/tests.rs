use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn course() -> Course {
    Course::new(EndpointHealth::default())
}

/// A try that begins and ends at a time.
fn tried(
    course: &mut Course,
    (verdict, tries): (Verdict, i64),
    now: Timestamp,
    jitter: u8,
) -> (Decided, Consequence) {
    let at = course.begin(now);
    course.heed(Tried { verdict, tries, at }, now, jitter)
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
        let (decided, consequence) = tried(&mut course, (Verdict::NotTaken, tries), now, 128);
        assert_eq!(consequence, Consequence::None);
        let last = if no == 8 { DeliveryState::Failed } else { DeliveryState::Waiting };
        assert_eq!((decided.state, decided.tries), (last, no));
        (now, tries) = (decided.due_at, decided.tries);
        // Another event is taken meanwhile.
        tried(&mut course, (Verdict::Taken, 0), now, 0);
        assert!(!course.is_open());
    }
}

#[test]
fn three_failures_open_the_breaker_and_one_success_closes_it() {
    let mut course = course();
    for _ in 0..3 {
        assert!(!course.is_open());
        let (decided, _) = tried(&mut course, (Verdict::NotTaken, 0), NOW, 0);
        assert_eq!(decided.tries, 1);
    }
    assert_eq!(course.health.probe_at, Some(NOW + PROBE_PAUSE));
    // A try that does not count, however many there are.
    let (decided, _) = tried(&mut course, (Verdict::NotTaken, 7), NOW, 255);
    assert_eq!((decided.state, decided.tries), (DeliveryState::Waiting, 7));
    assert_eq!(decided.due_at, NOW + PROBE_PAUSE);
    let (_, consequence) = tried(&mut course, (Verdict::Taken, 7), NOW, 0);
    assert_eq!(consequence, Consequence::Closed);
    assert_eq!((course.health.failures, course.health.failing_since), (0, None));
    assert!(!course.is_open());
}

#[test]
fn pushes_that_were_on_their_way_together_fail_once() {
    let mut course = course();
    for wave in 1..=3 {
        let begun: Vec<Timestamp> = (0..8).map(|_| course.begin(NOW)).collect();
        for at in begun {
            assert_eq!(course.is_open(), course.health.failures == 3);
            course.heed(Tried { verdict: Verdict::NotTaken, tries: 0, at }, NOW, 0);
            assert_eq!(course.health.failures, wave);
        }
    }
    assert!(course.is_open());
}

#[test]
fn five_days_of_failures_are_the_end_and_a_success_begins_anew() {
    let mut course = course();
    let fail =
        |course: &mut Course, after: Span| tried(course, (Verdict::NotTaken, 0), NOW + after, 0).1;
    for day in 0..5 {
        assert_eq!(fail(&mut course, Span::days(day)), Consequence::None);
    }
    assert_eq!(fail(&mut course, Span::micros(Span::days(5).as_micros() - 1)), Consequence::None);
    assert_eq!(fail(&mut course, Span::days(5)), Consequence::Dead);
    tried(&mut course, (Verdict::Taken, 0), NOW + Span::days(5), 0);
    for day in 6..11 {
        assert_eq!(fail(&mut course, Span::days(day)), Consequence::None);
    }
    assert_eq!(fail(&mut course, Span::days(11)), Consequence::Dead);
}

#[test]
fn days_on_which_nobody_tried_are_no_days_of_failure() {
    let mut course = course();
    tried(&mut course, (Verdict::NotTaken, 0), NOW, 0);
    let later = NOW + Span::days(6);
    assert_eq!(tried(&mut course, (Verdict::NotTaken, 0), later, 0).1, Consequence::None);
    assert_eq!(course.health.failing_since, Some(later));
}

#[test]
fn who_asks_for_time_gets_it_and_nothing_is_held_against_it() {
    let mut course = course();
    course.width = 8;
    for (asked, given) in [(20, 20), (3_600, 3_600), (0, 1), (900_000, 86_400)] {
        let asked = Verdict::NotNow(Span::seconds(asked));
        course.health.probe_at = None;
        let (decided, consequence) = tried(&mut course, (asked, 7), NOW, 200);
        let until = NOW + Span::seconds(given);
        assert_eq!(course.health.probe_at, Some(until));
        assert_eq!(decided, waits(7, until));
        assert_eq!((course.health.failures, consequence), (0, Consequence::None));
    }
    assert_eq!(course.width, 1);
    // It is over with the first success after it, which lets nothing go before its time.
    let (_, consequence) = tried(&mut course, (Verdict::Taken, 0), NOW, 0);
    assert_eq!((course.health.probe_at, consequence), (None, Consequence::None));
    assert_eq!(tried(&mut course, (Verdict::Gone, 0), NOW, 0).1, Consequence::Gone);
}

#[test]
fn what_was_on_its_way_does_not_end_the_time_that_was_asked_for() {
    let mut course = course();
    let (first, second) = (course.begin(NOW), course.begin(NOW));
    let verdict = Verdict::NotNow(Span::minutes(60));
    course.heed(Tried { verdict, tries: 0, at: first }, NOW, 0);
    let until = course.health.probe_at;
    assert_eq!(until, Some(NOW + Span::minutes(60)));
    course.heed(Tried { verdict: Verdict::Taken, tries: 0, at: second }, NOW, 0);
    assert_eq!(course.health.probe_at, until);
    tried(&mut course, (Verdict::Taken, 0), NOW + Span::minutes(60), 0);
    assert_eq!(course.health.probe_at, None);
}

#[test]
fn five_days_of_nothing_but_pleas_are_the_end_too() {
    let mut course = course();
    let verdict = Verdict::NotNow(Span::days(1));
    for day in 0..5 {
        let now = NOW + Span::days(day);
        assert_eq!(tried(&mut course, (verdict, 0), now, 0).1, Consequence::None);
    }
    assert_eq!(tried(&mut course, (verdict, 0), NOW + Span::days(5), 0).1, Consequence::Dead);
}

proptest! {
    #[test]
    fn probes_come_within_five_minutes_and_the_width_stays_within_its_bounds(
        tries in proptest::collection::vec((any::<bool>(), any::<u8>()), 1..60),
    ) {
        let (mut course, mut now) = (course(), NOW);
        for (taken, jitter) in tries {
            let verdict = if taken { Verdict::Taken } else { Verdict::NotTaken };
            tried(&mut course, (verdict, 0), now, jitter);
            prop_assert!((1..=WIDTH_MAX).contains(&course.width));
            prop_assert_eq!(course.is_open(), course.health.failures >= FAILURES_MAX);
            if let Some(at) = course.health.probe_at {
                prop_assert!(at.since(now) <= PROBE_PAUSE && at > now);
                now = at;
            }
        }
    }

    /// What an outage costs an event: no try of it counts beyond those that open the breaker.
    #[test]
    fn an_outage_costs_an_event_three_tries_at_most(
        steps in proptest::collection::vec((any::<bool>(), 0_usize..6), 1..200),
    ) {
        let (mut course, mut flying) = (course(), Vec::new());
        let mut counted = [0_i64; 6];
        for (begins, event) in steps {
            let found = flying.iter().position(|(flies, _)| *flies == event);
            match found {
                None if begins => flying.push((event, course.begin(NOW))),
                Some(place) if !begins => {
                    let (event, at) = flying.remove(place);
                    let tried = Tried { verdict: Verdict::NotTaken, tries: counted[event], at };
                    counted[event] = course.heed(tried, NOW, 0).0.tries;
                    prop_assert!(counted[event] <= HELD_TRIES_MAX);
                }
                _ => {}
            }
        }
    }
}
