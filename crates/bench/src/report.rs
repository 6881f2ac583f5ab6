//! What a run measured, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::Done;

/// One side of a comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Side {
    /// What it is.
    pub(crate) name: String,
    /// Requests, or transactions, a second; of orders, until the last one's outcome is written.
    pub(crate) per_second: f64,
    /// Half of them took no longer, in milliseconds.
    pub(crate) p50_ms: f64,
    /// All but one in a hundred took no longer.
    pub(crate) p99_ms: f64,
    /// How many went wrong.
    pub(crate) errors: u64,
    /// How many orders waited for their outcome when the clients stopped; the most of all turns.
    pub(crate) backlog: u64,
    /// How long these took, in seconds; the longest of all turns.
    pub(crate) drain_s: f64,
}

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) what: String,
    pub(crate) engine: String,
    pub(crate) clients: u32,
    pub(crate) seconds: u64,
    pub(crate) filled_sims: u64,
    pub(crate) filled_orders: u64,
    pub(crate) mall: Side,
    /// All floors that were measured; the mall is compared with the first.
    pub(crate) floors: Vec<Side>,
    /// The mall as a part of its floor.
    pub(crate) ratio: f64,
    /// The floor as a part of a bare two-row transaction.
    pub(crate) floor_of_bare: Option<f64>,
    /// Orders acknowledged, and found provisioned at the end.
    pub(crate) acknowledged: u64,
    pub(crate) found: u64,
    pub(crate) cold_start_ms: f64,
    pub(crate) mib_at_rest: f64,
    pub(crate) mib_under_load: f64,
    pub(crate) machine: String,
}

/// A count as a float; exact as far as any count here goes.
pub(crate) fn float(count: u64) -> f64 {
    let (high, low) = (u32::try_from(count >> 32), u32::try_from(count & 0xffff_ffff));
    f64::from(high.unwrap_or(u32::MAX)) * 4_294_967_296.0 + f64::from(low.unwrap_or(u32::MAX))
}

/// A ratio; 0 where there is nothing to compare with.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl Side {
    /// The figures of all rounds of a side.
    pub(crate) fn new(
        name: &str,
        mut done: Done,
        time: Duration,
        (backlog, drained): (u64, Duration),
    ) -> Self {
        done.micros.sort_unstable();
        let many = done.micros.len();
        let at = |part: usize| done.micros.get(many * part / 100).copied().unwrap_or(0);
        Self {
            name: name.to_owned(),
            per_second: ratio(float(u64::try_from(many).unwrap_or(0)), time.as_secs_f64()),
            p50_ms: f64::from(at(50)) / 1_000.0,
            p99_ms: f64::from(at(99)) / 1_000.0,
            errors: done.errors,
            backlog,
            drain_s: drained.as_secs_f64(),
        }
    }

    fn line(&self) -> String {
        format!(
            "{:<30} {:>8.0} {:>8.2} {:>8.2} {:>7} {:>8} {:>8.2}",
            self.name,
            self.per_second,
            self.p50_ms,
            self.p99_ms,
            self.errors,
            self.backlog,
            self.drain_s
        )
    }
}

impl Report {
    /// A table for people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} on {}, {} clients, {} s a side, {} SIMs and {} orders before\n{}\n\n",
            self.what,
            self.engine,
            self.clients,
            self.seconds,
            self.filled_sims,
            self.filled_orders,
            self.machine,
        );
        // A string takes whatever is written to it.
        let _ = writeln!(
            text,
            "{:<30} {:>8} {:>8} {:>8} {:>7} {:>8} {:>8}",
            "", "per s", "p50 ms", "p99 ms", "errors", "backlog", "drain s"
        );
        for side in std::iter::once(&self.mall).chain(&self.floors) {
            let _ = writeln!(text, "{}", side.line());
        }
        text.push('\n');
        if !self.floors.is_empty() {
            let _ = writeln!(text, "mall / floor      {:.2}", self.ratio);
        }
        if let Some(of_bare) = self.floor_of_bare {
            let _ = writeln!(text, "floor / two rows  {of_bare:.2}");
        }
        if self.acknowledged > 0 {
            let (acknowledged, found) = (self.acknowledged, self.found);
            let _ = writeln!(text, "acknowledged      {acknowledged}, found provisioned {found}");
        }
        let _ = writeln!(text, "first good answer {:.0} ms after the start", self.cold_start_ms);
        let _ = writeln!(
            text,
            "memory            {:.0} MiB at rest, {:.0} MiB under load",
            self.mib_at_rest, self.mib_under_load
        );
        text
    }

    /// What changed from an older run to this one.
    pub(crate) fn compared_with(&self, old: &Self) -> String {
        let mut text = format!("{} on {}\n", self.what, self.engine);
        let lines = [
            ("mall, per s", old.mall.per_second, self.mall.per_second),
            ("mall, p50 ms", old.mall.p50_ms, self.mall.p50_ms),
            ("mall, p99 ms", old.mall.p99_ms, self.mall.p99_ms),
            ("mall / floor", old.ratio, self.ratio),
            ("memory at rest, MiB", old.mib_at_rest, self.mib_at_rest),
            ("first good answer, ms", old.cold_start_ms, self.cold_start_ms),
        ];
        for (name, before, now) in lines {
            let change = (ratio(now, before) - 1.0) * 100.0;
            let _ = writeln!(text, "{name:<22} {before:>10.2} {now:>10.2} {change:>+7.1} %");
        }
        text
    }
}

/// The machine, as far as it tells.
pub(crate) fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{model}, {cores} cores")
}
