//! The plans on one SIM: one in use, the others wait and run one after another, driven by the clock.

use crate::package::PlanLength;
use crate::time::{Timestamp, Zone};

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
    /// Where it stands.
    pub state: SimPlanState,
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
    for plan in queue {
        if plan.state == SimPlanState::Waiting {
            // A plan that was added after the previous one had ended begins when it was added.
            let start = free_since.map_or(plan.added_at, |free: Timestamp| free.max(plan.added_at));
            let expires_at = plan.length.end(start, zone);
            plan.state = SimPlanState::InUse { effective_at: start, expires_at };
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
    }
}

/// When each plan of an advanced queue begins and ends if nothing else happens, by its place.
pub fn schedule(queue: &[QueuedPlan], zone: &Zone) -> Vec<(i64, Timestamp, Timestamp)> {
    let mut free_since: Option<Timestamp> = None;
    let mut times = Vec::new();
    for plan in queue {
        let (start, end) = match plan.state {
            SimPlanState::Revoked => continue,
            SimPlanState::Waiting => {
                let start = free_since.map_or(plan.added_at, |free| free.max(plan.added_at));
                (start, plan.length.end(start, zone))
            }
            SimPlanState::InUse { effective_at, expires_at }
            | SimPlanState::Finished { effective_at, expires_at } => (effective_at, expires_at),
        };
        free_since = Some(end);
        times.push((plan.queue_no, start, end));
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::PackageType;
    use crate::time::Span;
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

    proptest! {
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
