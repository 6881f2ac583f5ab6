//! The plans on one SIM: one in use, the others wait and run one after another, driven by the clock.

use crate::package::PlanLength;
use crate::time::{Span, Timestamp, Zone};

/// Where a bought plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimPlanState {
    /// Not yet begun.
    Waiting,
    /// Running.
    InUse {
        /// When it began.
        effective_at: Timestamp,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// It ran to its end.
    Finished {
        /// When it began.
        effective_at: Timestamp,
        /// When it ended.
        expires_at: Timestamp,
    },
    /// Taken back before its end.
    Revoked,
}

impl SimPlanState {
    /// The word stored in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InUse { .. } => "in_use",
            Self::Finished { .. } => "finished",
            Self::Revoked => "revoked",
        }
    }

    /// Begin and end, once it began.
    pub fn times(self) -> Option<(Timestamp, Timestamp)> {
        match self {
            Self::InUse { effective_at, expires_at }
            | Self::Finished { effective_at, expires_at } => Some((effective_at, expires_at)),
            Self::Waiting | Self::Revoked => None,
        }
    }
}

/// A bought plan in a SIM's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedPlan {
    /// Its place in the SIM's queue; lower runs first.
    pub queue_no: i64,
    /// When it was put on the SIM.
    pub added_at: Timestamp,
    /// How long it runs.
    pub length: PlanLength,
    /// From when its units of the calendar are counted: when the first plan of its unbroken row began. Before it
    /// begins it says which row it is to go on with, if it comes no more than a day late for it.
    pub counted_from: Option<Timestamp>,
    /// Where it stands.
    pub state: SimPlanState,
}

/// How late the next plan of an auto-renewal may begin and still end when the row of plans before it says: the cashier
/// takes an hour to be paid, and the partner may take a day.
const ROW_LATE_MAX: Span = Span::days(1);

/// A plan that has its times, for the one that comes after it.
#[derive(Debug, Clone, Copy)]
struct Before {
    end: Timestamp,
    first: Timestamp,
    length: PlanLength,
}

impl QueuedPlan {
    /// When it begins and ends, and from when that is counted, if it begins next.
    fn times(
        &self,
        free_since: Option<Timestamp>,
        before: Option<Before>,
        zone: &Zone,
    ) -> (Timestamp, Timestamp, Timestamp) {
        // A plan that was added after the previous one had ended begins when it was added.
        let start = free_since.map_or(self.added_at, |free: Timestamp| free.max(self.added_at));
        let behind = before.filter(|one| one.end == start && one.length.counts_like(self.length));
        let rows = [
            behind.map(|one| (one.first, Span::seconds(0))),
            self.counted_from.map(|first| (first, ROW_LATE_MAX)),
        ];
        let in_row = rows.into_iter().flatten().find_map(|(first, late_max)| {
            let end = self.length.end_in_row((first, start), late_max, zone)?;
            (end > start).then_some((start, end, first))
        });
        in_row.unwrap_or_else(|| (start, self.length.end(start, zone), start))
    }

    fn as_before(&self) -> Option<Before> {
        let (begin, end) = self.state.times()?;
        let first = self.counted_from.unwrap_or(begin);
        Some(Before { end, first, length: self.length })
    }
}

/// Brings a SIM's queue up to `now`: plans whose time is over finish, and the next one begins where
/// the last one ended, so that there is neither gap nor overlap however late this is called. `queue`
/// is in order of `queue_no`; `free_since` is when the plan before it ended.
pub fn advance(
    queue: &mut [QueuedPlan],
    mut free_since: Option<Timestamp>,
    now: Timestamp,
    zone: &Zone,
) {
    let mut before = None;
    for plan in queue {
        if plan.state == SimPlanState::Waiting {
            let (effective_at, expires_at, first) = plan.times(free_since, before, zone);
            plan.state = SimPlanState::InUse { effective_at, expires_at };
            plan.counted_from = plan.length.calendar.then_some(first);
        }
        if let SimPlanState::InUse { effective_at, expires_at } = plan.state
            && expires_at <= now
        {
            plan.state = SimPlanState::Finished { effective_at, expires_at };
            free_since = Some(expires_at);
        }
        if matches!(plan.state, SimPlanState::InUse { .. }) {
            break;
        }
        before = plan.as_before().or(before);
    }
}

/// When each plan of an advanced queue begins and ends if nothing else happens, by its place.
pub fn schedule(queue: &[QueuedPlan], zone: &Zone) -> Vec<(i64, Timestamp, Timestamp)> {
    let mut before: Option<Before> = None;
    let mut times = Vec::new();
    for plan in queue {
        let (start, end, first) = match plan.state {
            SimPlanState::Revoked => continue,
            SimPlanState::Waiting => plan.times(before.map(|one| one.end), before, zone),
            SimPlanState::InUse { effective_at, expires_at }
            | SimPlanState::Finished { effective_at, expires_at } => {
                (effective_at, expires_at, plan.counted_from.unwrap_or(effective_at))
            }
        };
        before = Some(Before { end, first, length: plan.length });
        times.push((plan.queue_no, start, end));
    }
    times
}

/// The least by which a carrier's end of a plan has to differ to be taken over: carriers count in seconds.
const END_DIFFERS: Span = Span::seconds(1);

/// What a carrier says became of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanWord {
    /// It runs, until a time if the carrier knows it.
    Runs {
        /// When it ends.
        until: Option<Timestamp>,
    },
    /// It came to its end.
    Ended {
        /// When it began, if the carrier says so.
        from: Option<Timestamp>,
        /// When it ended or would have, if the carrier says so.
        at: Option<Timestamp>,
    },
    /// It was taken back.
    Revoked {
        /// When, if the carrier says so.
        at: Option<Timestamp>,
    },
}

/// Takes over what a carrier says of the plans of a queue, and brings it up to `now`: what is over there is
/// over here, the next one begins when it was, and ends that moved move here. `words` has one for each plan,
/// `None` where the carrier says nothing of it. What would contradict the order of the queue is left alone;
/// gives how often that was. The other parameters are those of [`advance`].
pub fn take_over(
    queue: &mut [QueuedPlan],
    words: &[Option<PlanWord>],
    mut free_since: Option<Timestamp>,
    now: Timestamp,
    zone: &Zone,
) -> usize {
    let (mut doubts, mut one_is_live) = (0, false);
    for (plan, word) in queue.iter_mut().zip(words) {
        let over_at = |at: &Option<Timestamp>| at.map_or(now, |at| at.min(now));
        match (plan.state, word) {
            (
                SimPlanState::InUse { effective_at, expires_at },
                Some(PlanWord::Runs { until: Some(until) }),
            ) => {
                let differs = until.since(expires_at).as_micros().saturating_abs();
                if *until > now && *until > effective_at && differs >= END_DIFFERS.as_micros() {
                    plan.state = SimPlanState::InUse { effective_at, expires_at: *until };
                }
            }
            (SimPlanState::InUse { effective_at, .. }, Some(PlanWord::Ended { at, .. })) => {
                let expires_at = over_at(at).max(effective_at);
                plan.state = SimPlanState::Finished { effective_at, expires_at };
                free_since = Some(expires_at);
            }
            (SimPlanState::InUse { effective_at, .. }, Some(PlanWord::Revoked { at })) => {
                plan.state = SimPlanState::Revoked;
                free_since = Some(over_at(at).max(effective_at));
            }
            (SimPlanState::Waiting, Some(PlanWord::Revoked { .. })) => {
                plan.state = SimPlanState::Revoked;
            }
            (SimPlanState::Waiting, Some(PlanWord::Ended { from: Some(from), at: Some(at) })) => {
                let effective_at = free_since.map_or(*from, |free| free.max(*from));
                let expires_at = (*at).min(now);
                if one_is_live || effective_at >= expires_at {
                    doubts += 1;
                } else {
                    plan.state = SimPlanState::Finished { effective_at, expires_at };
                    free_since = Some(expires_at);
                }
            }
            (SimPlanState::Waiting, Some(PlanWord::Ended { .. })) => doubts += 1,
            _ => {}
        }
        one_is_live |= matches!(plan.state, SimPlanState::InUse { .. } | SimPlanState::Waiting);
    }
    advance(queue, free_since, now, zone);
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::PackageType;
    use proptest::prelude::*;

    fn queue(lengths: &[u32], added_hours: &[i64]) -> Vec<QueuedPlan> {
        lengths
            .iter()
            .zip(added_hours)
            .enumerate()
            .map(|(place, (periods, hours))| QueuedPlan {
                queue_no: i64::try_from(place).unwrap(),
                added_at: Timestamp::from_micros(0) + Span::minutes(60 * hours),
                length: PlanLength { unit: PackageType::Daily, periods: *periods, calendar: false },
                counted_from: None,
                state: SimPlanState::Waiting,
            })
            .collect()
    }

    fn hour(hours: i64) -> Timestamp {
        Timestamp::from_micros(0) + Span::minutes(60 * hours)
    }

    #[test]
    fn plans_run_one_after_another() {
        let mut plans = queue(&[1, 2, 1], &[0, 1, 200]);
        advance(&mut plans, None, hour(1), &Zone::UTC);
        assert_eq!(
            plans[0].state,
            SimPlanState::InUse { effective_at: hour(0), expires_at: hour(24) }
        );
        assert_eq!(plans[1].state, SimPlanState::Waiting);
        advance(&mut plans, None, hour(24), &Zone::UTC);
        assert_eq!(
            plans[1].state,
            SimPlanState::InUse { effective_at: hour(24), expires_at: hour(72) }
        );
        // The third was added long after the second had ended.
        advance(&mut plans, None, hour(201), &Zone::UTC);
        assert_eq!(
            plans[2].state,
            SimPlanState::InUse { effective_at: hour(200), expires_at: hour(224) }
        );
    }

    #[test]
    fn nothing_begins_before_the_last_one_ended() {
        let mut plans = queue(&[1], &[5]);
        advance(&mut plans, Some(hour(7)), hour(8), &Zone::UTC);
        assert_eq!(
            plans[0].state,
            SimPlanState::InUse { effective_at: hour(7), expires_at: hour(31) }
        );
    }

    #[test]
    fn what_is_over_at_the_carrier_is_over_here_and_the_next_one_begins() {
        let mut plans = queue(&[2, 1, 1], &[0, 1, 2]);
        advance(&mut plans, None, hour(10), &Zone::UTC);
        let words = [Some(PlanWord::Ended { from: None, at: Some(hour(48)) }), None, None];
        assert_eq!(take_over(&mut plans, &words, None, hour(10), &Zone::UTC), 0);
        let finished = SimPlanState::Finished { effective_at: hour(0), expires_at: hour(10) };
        assert_eq!(plans[0].state, finished);
        let in_use = SimPlanState::InUse { effective_at: hour(10), expires_at: hour(34) };
        assert_eq!(plans[1].state, in_use);
        // Taken back at a time that is known: the next one began then.
        let words = [None, Some(PlanWord::Revoked { at: Some(hour(11)) }), None];
        take_over(&mut plans, &words, Some(hour(10)), hour(12), &Zone::UTC);
        assert_eq!(plans[1].state, SimPlanState::Revoked);
        let in_use = SimPlanState::InUse { effective_at: hour(11), expires_at: hour(35) };
        assert_eq!(plans[2].state, in_use);
    }

    #[test]
    fn ends_move_and_what_contradicts_the_queue_is_left_alone() {
        let mut plans = queue(&[1, 1], &[0, 0]);
        advance(&mut plans, None, hour(1), &Zone::UTC);
        let runs = |until| Some(PlanWord::Runs { until: Some(until) });
        take_over(&mut plans, &[runs(hour(30)), None], None, hour(1), &Zone::UTC);
        let in_use = SimPlanState::InUse { effective_at: hour(0), expires_at: hour(30) };
        assert_eq!(plans[0].state, in_use);
        // Nearly the same, in the past, or before it began: nothing moves.
        for until in [hour(30) + Span::millis(900), hour(0), hour(-1)] {
            take_over(&mut plans, &[runs(until), None], None, hour(1), &Zone::UTC);
            assert_eq!(plans[0].state, in_use);
        }
        // The one that waits behind it cannot have ended.
        let ended = PlanWord::Ended { from: Some(hour(0)), at: Some(hour(1)) };
        assert_eq!(take_over(&mut plans, &[None, Some(ended)], None, hour(2), &Zone::UTC), 1);
        assert_eq!(plans[1].state, SimPlanState::Waiting);
    }

    /// When the n-th plan of a row ends, worked out by hand.
    struct Case {
        zone: Zone,
        begin: Timestamp,
        length: PlanLength,
        n: u32,
        end: Timestamp,
    }

    fn cases() -> Vec<Case> {
        let case = |line: &str| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [zone, begin, unit, n, end, ..] = cells.as_slice() else { panic!("{line}") };
            let zone: Zone = zone.parse().unwrap();
            let unit = PackageType::from_word(unit).unwrap();
            Case {
                begin: zone.parse_date_time(begin).unwrap(),
                zone,
                length: PlanLength { unit, periods: 1, calendar: true },
                n: n.parse().unwrap(),
                end: Timestamp::parse_rfc3339(end).unwrap(),
            }
        };
        include_str!("../data/calendar.tsv").lines().skip(1).map(case).collect()
    }

    #[test]
    fn calendar_plans_end_when_the_calendar_says_so() {
        let cases = cases();
        assert!(cases.len() > 60, "{}", cases.len());
        for Case { zone, begin, length, n, end } in &cases {
            let name = format!("{} {} {n} {:?}", zone.name(), begin.date_time(zone), length.unit);
            // As one plan of n units.
            assert_eq!(length.times(*n).end(*begin, zone), *end, "{name}");
            // As n plans that wait for each other, turned one by one or after a long sleep; without gap or overlap.
            let waiting = |place: u32| QueuedPlan {
                queue_no: i64::from(place),
                added_at: *begin,
                length: *length,
                counted_from: None,
                state: SimPlanState::Waiting,
            };
            let mut slept: Vec<QueuedPlan> = (1..=*n).map(waiting).collect();
            let foreseen = schedule(&slept, zone);
            let mut often = slept.clone();
            for (_, _, end) in &foreseen {
                advance(&mut often, None, *end, zone);
            }
            advance(&mut slept, None, *end, zone);
            assert_eq!(often, slept, "{name}");
            let times: Vec<_> = slept.iter().filter_map(|plan| plan.state.times()).collect();
            assert_eq!(times.last().unwrap().1, *end, "{name}");
            assert!(times.windows(2).all(|pair| pair[0].1 == pair[1].0), "{name}");
            assert_eq!(times[0].0, *begin, "{name}");
            let told: Vec<_> = foreseen.iter().map(|(_, from, to)| (*from, *to)).collect();
            assert_eq!(times, told, "{name}");
            // As auto-renewals of which each came an hour after the one before had ended.
            let late = Span::minutes(60);
            let before = if *n == 1 { *begin } else { told[usize::try_from(*n).unwrap() - 2].1 };
            let mut renewed =
                [QueuedPlan { counted_from: Some(*begin), added_at: before + late, ..waiting(*n) }];
            advance(&mut renewed, Some(before), before + late, zone);
            let (effective_at, expires_at) = renewed[0].state.times().unwrap();
            assert_eq!((effective_at, expires_at), (before + late, *end), "{name}");
        }
    }

    #[test]
    fn another_count_or_a_moved_end_begins_a_row_of_its_own() {
        let at = |text: &str| Zone::UTC.parse_date_time(text).unwrap();
        let begin = at("2023-01-31 10:00:00");
        let plan = |queue_no, unit, calendar| QueuedPlan {
            queue_no,
            added_at: begin,
            length: PlanLength { unit, periods: 1, calendar },
            counted_from: None,
            state: SimPlanState::Waiting,
        };
        let month = |queue_no| plan(queue_no, PackageType::Monthly, true);
        let ends = |queue: &[QueuedPlan]| {
            let ends = schedule(queue, &Zone::UTC).into_iter().map(|(_, _, end)| end);
            ends.map(|end| end.date(&Zone::UTC)).collect::<Vec<_>>()
        };
        let days = plan(2, PackageType::Daily, true);
        assert_eq!(ends(&[month(1), days, month(3)]), ["2023-02-28", "2023-03-01", "2023-04-01"]);
        let fixed = plan(2, PackageType::Monthly, false);
        assert_eq!(ends(&[month(1), fixed, month(3)]), ["2023-02-28", "2023-03-30", "2023-04-30"]);
        // A carrier that ended the month an hour later: the next one is counted from there.
        let mut queue = [month(1), month(2)];
        advance(&mut queue, None, begin, &Zone::UTC);
        let until = Some(at("2023-02-28 11:00:00"));
        take_over(&mut queue, &[Some(PlanWord::Runs { until }), None], None, begin, &Zone::UTC);
        assert_eq!(ends(&queue), ["2023-02-28", "2023-03-28"]);
        // More than a day late is a beginning.
        let mut late = [QueuedPlan { counted_from: Some(begin), ..month(2) }];
        let now = at("2023-03-01 10:00:01");
        late[0].added_at = now;
        advance(&mut late, Some(at("2023-02-28 10:00:00")), now, &Zone::UTC);
        assert_eq!(late[0].state.times().unwrap().1, at("2023-04-01 10:00:01"));
        assert_eq!(late[0].counted_from, Some(now));
    }

    fn any_word() -> impl Strategy<Value = Option<PlanWord>> {
        let time = || prop::option::of((-10_i64..200).prop_map(hour));
        prop_oneof![
            Just(None),
            time().prop_map(|until| Some(PlanWord::Runs { until })),
            (time(), time()).prop_map(|(from, at)| Some(PlanWord::Ended { from, at })),
            time().prop_map(|at| Some(PlanWord::Revoked { at })),
        ]
    }

    proptest! {
        /// Whatever a carrier says: one plan in use at most, nothing ends before it began, nothing runs beside
        /// another, and nothing that is over comes back.
        #[test]
        fn a_carriers_words_never_break_a_queue(
            lengths in prop::collection::vec(1_u32..4, 1..6),
            rounds in prop::collection::vec((0_i64..40, prop::collection::vec(any_word(), 6)), 1..6),
        ) {
            let mut plans = queue(&lengths, &vec![0; lengths.len()]);
            let (mut now, mut free) = (0, None);
            for (step, words) in rounds {
                now += step;
                let before = plans.clone();
                take_over(&mut plans, &words, free, hour(now), &Zone::UTC);
                for (old, new) in before.iter().zip(&plans) {
                    let over = !matches!(old.state, SimPlanState::Waiting | SimPlanState::InUse { .. });
                    prop_assert!(!over || old == new);
                }
                let mut end = hour(-100);
                for plan in &plans {
                    if let Some((from, to)) = plan.state.times() {
                        prop_assert!(from <= to && end <= from, "{plans:?}");
                        end = to;
                    }
                    if let SimPlanState::Finished { expires_at, .. } = plan.state {
                        prop_assert!(expires_at <= hour(now));
                        free = free.max(Some(expires_at));
                    }
                }
                let in_use = plans.iter().filter(|plan| matches!(plan.state, SimPlanState::InUse { .. }));
                prop_assert!(in_use.count() <= 1);
            }
        }

        /// One long sleep or many small steps: the same plans at the same times, no overlap, one in use.
        #[test]
        fn late_is_as_good_as_often(
            lengths in prop::collection::vec(1_u32..4, 1..8), steps in prop::collection::vec(0_i64..60, 1..10),
        ) {
            let added = vec![0; lengths.len()];
            let (mut often, mut late) = (queue(&lengths, &added), queue(&lengths, &added));
            let mut now = 0;
            for step in steps {
                now += step;
                advance(&mut often, None, hour(now), &Zone::UTC);
            }
            advance(&mut late, None, hour(now), &Zone::UTC);
            prop_assert_eq!(&often, &late);
            let in_use = late.iter().filter(|plan| matches!(plan.state, SimPlanState::InUse { .. })).count();
            prop_assert!(in_use <= 1);
            let times = schedule(&late, &Zone::UTC);
            prop_assert!(times.windows(2).all(|pair| pair[0].2 == pair[1].1));
        }
    }
}
