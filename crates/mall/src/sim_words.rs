//! Which of a carrier's words about the plans of a SIM are certain, and what they mean for the queue. Pure: what it
//! is not sure of it leaves out, because a plan that somebody paid for must not end on a doubtful word.

use carriers::{Carrier, Feature};
use domain::sim_plan::{PlanWord, SimPlanState};
use domain::{Span, Timestamp};
use store::SimPlan;
use wire::topup::SIM_PLANS_MAX;

use crate::sim_answers::{PlanSaid, PlanStateWord, StateSaid};

/// How far apart the begin of a plan may be here and there if nothing but its product tells which it is.
const BEGIN_DIFFERS_MAX: Span = Span::minutes(10);
/// A plan that is younger may not be in its carrier's list yet.
const SETTLED_AFTER: Span = Span::minutes(60);

/// Which of the carrier's plans each plan of a queue is; `None` where that is not certain.
pub(crate) fn matched(queue: &[SimPlan], carrier: &str, said: &[PlanSaid]) -> Vec<Option<usize>> {
    let only = |is_it: &dyn Fn(&PlanSaid) -> bool| {
        let mut found = said.iter().enumerate().filter(|(_, plan)| is_it(plan));
        match (found.next(), found.next()) {
            (Some((place, _)), None) => Some(place),
            _ => None,
        }
    };
    let of_plan = |plan: &SimPlan| {
        if plan.carrier != carrier {
            return None;
        }
        let by_order = only(&|said| is_of_order(said, &plan.upstream_id));
        by_order.or_else(|| {
            // By its product, or as the only one here and there; and it began at the same time.
            let alike = |other: &&SimPlan| other.carrier_product == plan.carrier_product;
            let is_alone = queue.iter().filter(alike).count() == 1;
            let by_product =
                || only(&|said| said.order.is_none() && said.id == plan.carrier_product);
            let live = || only(&|said| said.order.is_none() && is_live(said));
            let place = by_product().or_else(|| if queue.len() == 1 { live() } else { None })?;
            (is_alone && began_together(plan, &said[place])).then_some(place)
        })
    };
    let places: Vec<Option<usize>> = queue.iter().map(of_plan).collect();
    let is_shared = |place: usize| places.iter().filter(|other| **other == Some(place)).count() > 1;
    places.iter().map(|place| place.filter(|place| !is_shared(*place))).collect()
}

/// Whether a carrier's plan came with an order: more may stand behind the order's id.
fn is_of_order(said: &PlanSaid, upstream_id: &str) -> bool {
    names_order(said.order.as_deref(), upstream_id)
}

/// Whether what a carrier says of a plan's order is this one.
pub(crate) fn names_order(said: Option<&str>, upstream_id: &str) -> bool {
    let rest = said.and_then(|order| order.strip_prefix(upstream_id));
    !upstream_id.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn is_live(said: &PlanSaid) -> bool {
    matches!(said.state, PlanStateWord::Queued | PlanStateWord::Active | PlanStateWord::Paused)
}

fn began_together(plan: &SimPlan, said: &PlanSaid) -> bool {
    let SimPlanState::InUse { effective_at, .. } = plan.queued.state else { return false };
    said.start_at.is_some_and(|start| {
        let apart = effective_at.since(Timestamp::from_micros(start)).as_micros();
        apart.saturating_abs() <= BEGIN_DIFFERS_MAX.as_micros()
    })
}

fn word(said: &PlanSaid) -> Option<PlanWord> {
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    let at = time(said.end_at);
    match said.state {
        PlanStateWord::Active | PlanStateWord::Paused => Some(PlanWord::Runs { until: at }),
        PlanStateWord::Ended => Some(PlanWord::Ended { from: time(said.start_at), at }),
        PlanStateWord::Revoked => Some(PlanWord::Revoked { at }),
        PlanStateWord::Queued | PlanStateWord::Other => None,
    }
}

/// What a carrier certainly says of each plan of a queue; and where it tells plans apart, of how many of its own it
/// says nothing certain.
pub(crate) fn certain_words(
    queue: &[SimPlan],
    code: &str,
    carrier: &dyn Carrier,
    said: &StateSaid,
    now: Timestamp,
) -> (Vec<Option<PlanWord>>, usize) {
    let capabilities = carrier.capabilities();
    let (lists_each, forgets) = (capabilities.has(Feature::Plans), capabilities.in_process);
    let places =
        if lists_each { matched(queue, code, &said.plans) } else { vec![None; queue.len()] };
    // Carriers in this process forget, and are not believed about what they do not list.
    let over = if forgets {
        vec![false; queue.len()]
    } else {
        over_together(queue, code, lists_each, said, now)
    };
    let (mut words, mut unsure) = (Vec::with_capacity(queue.len()), 0);
    for ((plan, place), over) in queue.iter().zip(places).zip(over) {
        let recognised = place.and_then(|place| said.plans.get(place));
        let word = match recognised.filter(|it| is_believed(plan, it, forgets, now)) {
            Some(said) => word(said),
            None if over => Some(over_word(plan, said)),
            None => {
                unsure += usize::from(lists_each && plan.carrier == code);
                None
            }
        };
        words.push(word);
    }
    (words, unsure)
}

/// Whether what is said of a plan that was recognised counts.
fn is_believed(plan: &SimPlan, said: &PlanSaid, forgets: bool, now: Timestamp) -> bool {
    // A carrier that forgot the plans before it has another idea of when this one began, and so of its end.
    let is_shifted = forgets
        && matches!(plan.queued.state, SimPlanState::InUse { .. })
        && !began_together(plan, said);
    // Without an order it may be an earlier plan, and this one not be listed yet.
    let is_early = said.order.is_none() && is_over(said) && !is_settled(plan, now);
    !is_shifted && !is_early
}

fn is_over(said: &PlanSaid) -> bool {
    matches!(said.state, PlanStateWord::Ended | PlanStateWord::Revoked)
}

fn is_settled(plan: &SimPlan, now: Timestamp) -> bool {
    now.since(plan.queued.added_at) >= SETTLED_AFTER
}

/// Which plans of a queue are over because all is that their carrier lists. A plan came into the queue because the
/// carrier had it; but what was over before it began says nothing of it. Plans run one after another, so that
/// of several the first ones are over.
fn over_together(
    queue: &[SimPlan],
    code: &str,
    lists_each: bool,
    said: &StateSaid,
    now: Timestamp,
) -> Vec<bool> {
    let own = |plan: &&SimPlan| plan.carrier == code;
    let Some(first) = queue.iter().find(own) else { return vec![false; queue.len()] };
    if !all_over(queue.iter().filter(own), said, now) {
        return vec![false; queue.len()];
    }
    let begin = match first.queued.state {
        SimPlanState::InUse { effective_at, .. } => effective_at,
        _ => first.queued.added_at,
    };
    let last_of = |it: &PlanSaid| it.end_at.max(it.start_at).map(Timestamp::from_micros);
    let is_later =
        |it: &&PlanSaid| last_of(it).is_some_and(|last| last > begin + BEGIN_DIFFERS_MAX);
    let mut unnamed = said.plans.iter().filter(|it| it.order.is_none()).filter(is_later).count();
    // Where a SIM is one plan that grows, it stands for all of them.
    let whole =
        !lists_each && said.plans.iter().any(|it| last_of(it).is_none_or(|last| last > begin));
    let is_over = |plan: &SimPlan| {
        if !own(&plan) {
            return false;
        }
        if whole || said.plans.iter().any(|it| is_of_order(it, &plan.upstream_id)) {
            return true;
        }
        let is_one_left = lists_each && unnamed > 0;
        unnamed -= usize::from(is_one_left);
        is_one_left
    };
    queue.iter().map(is_over).collect()
}

/// Whether everything that a carrier lists is over, and none of its plans so young that the list may lack it.
fn all_over<'a>(
    mut own: impl Iterator<Item = &'a SimPlan>,
    said: &StateSaid,
    now: Timestamp,
) -> bool {
    // A list that may be cut says nothing of what is missing.
    let is_whole = (1..SIM_PLANS_MAX).contains(&said.plans.len());
    is_whole && said.plans.iter().all(is_over) && own.all(|plan| is_settled(plan, now))
}

/// The word on a plan that is over together with all others.
fn over_word(plan: &SimPlan, said: &StateSaid) -> PlanWord {
    let at = said.plans.iter().filter_map(|plan| plan.end_at).max().map(Timestamp::from_micros);
    let all_revoked = said.plans.iter().all(|it| it.state == PlanStateWord::Revoked);
    match plan.queued.state {
        SimPlanState::InUse { .. } if all_revoked => PlanWord::Revoked { at },
        SimPlanState::InUse { .. } => PlanWord::Ended { from: None, at },
        _ => PlanWord::Revoked { at: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_answers::SimWord;
    use domain::package::{PackageType, PlanLength};
    use domain::sim_plan::QueuedPlan;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(0) + Span::minutes(minutes)
    }

    fn ours(queue_no: i64, upstream_id: &str) -> SimPlan {
        let length = PlanLength { unit: PackageType::Daily, periods: 1, calendar: false };
        let in_use = SimPlanState::InUse { effective_at: at(0), expires_at: at(1_440) };
        let state = if queue_no == 1 { in_use } else { SimPlanState::Waiting };
        SimPlan {
            queued: QueuedPlan { queue_no, added_at: at(0), length, counted_from: None, state },
            order_id: "ord_01890a5dac96774bbcceb302099a8057".parse().unwrap(),
            plan_code: "P".to_owned(),
            show_name: String::new(),
            carrier: "net".to_owned(),
            carrier_product: "CP".to_owned(),
            upstream_id: upstream_id.to_owned(),
        }
    }

    fn theirs(order: Option<&str>, state: PlanStateWord, start: Option<i64>) -> PlanSaid {
        PlanSaid {
            id: "CP".to_owned(),
            order: order.map(str::to_owned),
            state,
            data: None,
            used: None,
            start_at: start.map(|minutes| at(minutes).as_micros()),
            end_at: None,
        }
    }

    #[test]
    fn a_plan_is_known_by_its_order_and_by_no_other() {
        let queue = [ours(1, "R-1"), ours(2, "R-10")];
        let active = PlanStateWord::Active;
        let said = [theirs(Some("R-10-0"), active, None), theirs(Some("R-1-0"), active, None)];
        assert_eq!(matched(&queue, "net", &said), [Some(1), Some(0)]);
        assert_eq!(matched(&queue, "other", &said), [None, None]);
        // Two of one order, or one of two: neither is certain.
        let two = [theirs(Some("R-1-0"), active, None), theirs(Some("R-1-1"), active, None)];
        assert_eq!(matched(&queue, "net", &two), [None, None]);
        let same = [ours(1, "R-1"), ours(2, "R-1")];
        assert_eq!(matched(&same, "net", &said), [None, None]);
        assert_eq!(matched(&[ours(1, "")], "net", &said), [None]);
    }

    #[test]
    fn a_plan_without_an_order_is_known_if_it_is_alone_and_began_together() {
        let queue = [ours(1, "R-1")];
        let of = |start| [theirs(None, PlanStateWord::Active, start)];
        assert_eq!(matched(&queue, "net", &of(Some(10))), [Some(0)]);
        assert_eq!(matched(&queue, "net", &of(Some(11))), [None]);
        assert_eq!(matched(&queue, "net", &of(None)), [None]);
        assert_eq!(matched(&[ours(1, "R-1"), ours(2, "R-2")], "net", &of(Some(0))), [None, None]);
        let mut renamed = of(Some(0)).to_vec();
        "LP".clone_into(&mut renamed[0].id);
        assert_eq!(matched(&queue, "net", &renamed), [Some(0)], "the only one here and there");
        renamed.push(theirs(Some("R-2"), PlanStateWord::Active, Some(0)));
        assert_eq!(matched(&queue, "net", &renamed), [Some(0)]);
        renamed[1].order = None;
        "LQ".clone_into(&mut renamed[1].id);
        assert_eq!(matched(&queue, "net", &renamed), [None], "two there");
    }

    #[test]
    fn all_is_over_where_a_whole_list_says_so_of_plans_that_are_not_young() {
        let queue = [ours(1, ""), ours(2, "")];
        let said = |plans: &[PlanStateWord]| StateSaid {
            state: SimWord::Active,
            other: None,
            plans: plans.iter().map(|state| theirs(None, *state, None)).collect(),
        };
        let over =
            |plans: &[PlanStateWord], minutes| all_over(queue.iter(), &said(plans), at(minutes));
        let (ended, revoked) = (PlanStateWord::Ended, PlanStateWord::Revoked);
        assert!(over(&[ended, revoked], 60));
        assert!(!over(&[ended, revoked], 59));
        assert!(!over(&[], 60));
        assert!(!over(&[ended; SIM_PLANS_MAX], 60));
        for live in [PlanStateWord::Queued, PlanStateWord::Active, PlanStateWord::Other] {
            assert!(!over(&[ended, live], 60), "{live:?}");
        }
    }

    #[test]
    fn what_was_over_before_a_plan_began_does_not_end_it() {
        let over = |queue: &[SimPlan], lists_each, plans: &[PlanSaid]| {
            let (state, plans) = (SimWord::Active, plans.to_vec());
            let said = StateSaid { state, other: None, plans };
            over_together(queue, "net", lists_each, &said, at(90))
        };
        let ended = |order: Option<&str>, end: Option<i64>| PlanSaid {
            end_at: end.map(|minutes| at(minutes).as_micros()),
            ..theirs(order, PlanStateWord::Ended, None)
        };
        let queue = [ours(1, "R-1"), ours(2, "R-2")];
        let (before, during) = (ended(None, Some(5)), ended(None, Some(80)));
        assert_eq!(over(&queue, true, std::slice::from_ref(&before)), [false, false]);
        assert_eq!(over(&queue, true, &[ended(None, None)]), [false, false]);
        // One entry ends one plan, the one that runs first.
        assert_eq!(over(&queue, true, &[before.clone(), during.clone()]), [true, false]);
        assert_eq!(over(&queue, true, &[during.clone(), during.clone()]), [true, true]);
        // Entries that name their orders stand for these alone.
        assert_eq!(over(&queue, true, &[ended(Some("R-0"), Some(80))]), [false, false]);
        assert_eq!(over(&queue, true, &[ended(Some("R-2-0"), Some(80))]), [false, true]);
        // A SIM that is one plan ends with all that went into it, unless that was before.
        assert_eq!(over(&queue, false, std::slice::from_ref(&during)), [true, true]);
        assert_eq!(over(&queue, false, &[ended(None, None)]), [true, true]);
        assert_eq!(over(&queue, false, &[ended(None, Some(-5))]), [false, false]);
        let mut other = queue.clone();
        "else".clone_into(&mut other[0].carrier);
        assert_eq!(over(&other, true, &[during]), [false, true]);
    }

    #[test]
    fn a_word_that_may_be_about_another_plan_is_not_believed() {
        let plan = ours(1, "R-1");
        let ended = theirs(None, PlanStateWord::Ended, Some(0));
        assert!(is_believed(&plan, &ended, false, at(60)));
        assert!(!is_believed(&plan, &ended, false, at(59)), "it may not be listed yet");
        let named = theirs(Some("R-1"), PlanStateWord::Ended, Some(-60));
        assert!(is_believed(&plan, &named, false, at(1)));
        assert!(!is_believed(&plan, &named, true, at(1)), "a carrier that forgets");
    }

    #[test]
    fn what_is_over_together_was_taken_back_if_all_was() {
        let said = |states: &[PlanStateWord]| StateSaid {
            state: SimWord::Active,
            other: None,
            plans: states.iter().map(|state| theirs(None, *state, None)).collect(),
        };
        let (ended, revoked) = (PlanStateWord::Ended, PlanStateWord::Revoked);
        let (runs, waits) = (ours(1, ""), ours(2, ""));
        let taken_back = PlanWord::Revoked { at: None };
        assert_eq!(over_word(&runs, &said(&[revoked])), taken_back);
        let ran = PlanWord::Ended { from: None, at: None };
        assert_eq!(over_word(&runs, &said(&[revoked, ended])), ran);
        assert_eq!(over_word(&waits, &said(&[ended])), taken_back);
    }
}
