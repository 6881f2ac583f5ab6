//! What waits in a mall, and whether its orders and its books agree.

use domain::{Mode, Span, Timestamp};
use store::{Backlog, Fault, PushBacklog};

use super::{FAULTS_SHOWN, Finding};

/// A job that has been due for so long shows that nobody runs jobs, or too few of them.
const DUE_WARN: Span = Span::minutes(1);
/// By then partners ask where their plans are.
const DUE_FAIL: Span = Span::minutes(15);

pub(super) fn jobs(backlog: &Backlog, now: Timestamp) -> Finding {
    let waited = backlog.oldest.map_or(Span::seconds(0), |oldest| now.since(oldest));
    let since = format!(", the oldest for {} seconds", waited.as_micros() / 1_000_000);
    let since = if backlog.due > 0 { since } else { String::new() };
    let detail = format!("{} due{since}; {} dead", backlog.due, backlog.dead);
    let run = "see that `simmall serve` runs and reaches the carriers; more --workers may help";
    if waited >= DUE_FAIL {
        return Finding::fail("jobs", detail).advise(run);
    }
    if backlog.dead > 0 {
        let advice = "look why, then retry them: simmall admin job list --state dead";
        return Finding::warn("jobs", detail).advise(advice);
    }
    if waited >= DUE_WARN {
        return Finding::warn("jobs", detail).advise(run);
    }
    Finding::ok("jobs", detail)
}

pub(super) fn review(counts: &[(Mode, i64)]) -> Finding {
    let counted = counts.iter().map(|(mode, count)| format!("{count} in {mode} mode"));
    let detail = counted.collect::<Vec<_>>().join(", ");
    if detail.is_empty() {
        return Finding::ok("review", "no order waits for a person");
    }
    Finding::warn("review", format!("orders that wait for a person: {detail}"))
        .advise("ask the carrier what it did: simmall admin review list, then review resolve")
}

pub(super) fn orders(faults: &[Fault]) -> Finding {
    match named(faults) {
        None => Finding::ok("orders", "each has what its state needs"),
        Some(detail) => Finding::fail("orders", detail)
            .advise("keep the database as it is, and report this with the log of that time"),
    }
}

pub(super) fn ledger(faults: &[Fault]) -> Finding {
    match named(faults) {
        None => Finding::ok("ledger", "postings sum to zero, credit used is the balance owed"),
        Some(detail) => Finding::fail("ledger", detail)
            .advise("keep the database as it is, and report this with the log of that time"),
    }
}

pub(super) fn pushes(backlog: &PushBacklog, faults: &[Fault], now: Timestamp) -> Finding {
    if let Some(detail) = named(faults) {
        return Finding::fail("pushes", detail)
            .advise("keep the database as it is, and report this with the log of that time");
    }
    let PushBacklog { failing, off, oldest } = *backlog;
    let waited = oldest.map_or(Span::seconds(0), |oldest| now.since(oldest));
    let mut detail = format!("{failing} endpoints fail, {off} are switched off");
    if waited >= DUE_WARN {
        let seconds = waited.as_micros() / 1_000_000;
        detail = format!("{detail}; an event has been due for {seconds} seconds");
    }
    let run = "see that `simmall serve` runs: it sends pushes";
    if waited >= DUE_FAIL {
        return Finding::fail("pushes", detail).advise(run);
    }
    if failing + off > 0 {
        let advice = "tell the partners: their endpoints' log of deliveries says what came back";
        return Finding::warn("pushes", detail).advise(advice);
    }
    if waited >= DUE_WARN {
        return Finding::warn("pushes", detail).advise(run);
    }
    Finding::ok("pushes", detail)
}

/// The first faults, and whether there are more.
fn named(faults: &[Fault]) -> Option<String> {
    let shown = faults.iter().take(FAULTS_SHOWN);
    let shown: Vec<String> =
        shown.map(|fault| format!("{} mode, {}", fault.mode, fault.what)).collect();
    let more = if faults.len() > FAULTS_SHOWN { "; and more" } else { "" };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn pushes_are_told_by_what_fails_and_by_how_long_they_wait() {
        let now = Timestamp::from_micros(0) + Span::days(1);
        let verdict = |failing, off, waited: Option<Span>| {
            let oldest = waited.map(|span| now - span);
            pushes(&PushBacklog { failing, off, oldest }, &[], now).verdict
        };
        assert_eq!(verdict(0, 0, Some(Span::seconds(59))), Verdict::Ok);
        assert_eq!(verdict(0, 0, Some(Span::seconds(60))), Verdict::Warn);
        assert_eq!(verdict(0, 0, Some(Span::minutes(15))), Verdict::Fail);
        assert_eq!(verdict(1, 0, None), Verdict::Warn);
        assert_eq!(verdict(0, 1, None), Verdict::Warn);
        let fault = Fault { mode: Mode::Live, what: "a".to_owned() };
        assert_eq!(pushes(&PushBacklog::default(), &[fault], now).verdict, Verdict::Fail);
    }

    #[test]
    fn jobs_that_wait_are_told_by_how_long() {
        let now = Timestamp::from_micros(0) + Span::days(1);
        let verdict = |waited: Option<Span>, dead| {
            jobs(&Backlog { due: 1, oldest: waited.map(|span| now - span), dead }, now).verdict
        };
        assert_eq!(verdict(None, 0), Verdict::Ok);
        assert_eq!(verdict(Some(Span::seconds(59)), 0), Verdict::Ok);
        assert_eq!(verdict(Some(Span::seconds(60)), 0), Verdict::Warn);
        assert_eq!(verdict(Some(Span::minutes(15)), 0), Verdict::Fail);
        assert_eq!(verdict(None, 1), Verdict::Warn);
    }
}
