//! Business time. In test mode it can be moved on: what is due until then happens, in its order, as it would. Leases,
//! signatures, webhooks, rates, retries and whatever is said to networks keep real time.
//!
//! How far a mode is ahead stands in the database. Each node remembers it, and reads it again whenever it claims jobs and
//! at each look for some; the jobs with business dates are drawn nearer in the transaction that moves the clock.

use std::sync::atomic::{AtomicI64, Ordering};

use domain::order::Order;
use domain::{Mode, Span, Timestamp};
use serde_json::json;
use store::{JobKind, NewJob, Tx};
use wire::admin::Problem;
use wire::admin::clock::{Clock, MoveClock};

use crate::Mall;
use crate::admin::{Change, Operator, text, time};
use crate::error::Result;

/// The furthest that a clock is moved in all: ten years.
const AHEAD_MAX: Span = Span::days(3_653);
/// The least that it is moved in a step, however close together things fall due.
const STEP_MIN: Span = Span::seconds(1);
/// How long one request moves it; whoever asks goes on with the next one.
const WORK_MAX: std::time::Duration = std::time::Duration::from_secs(5);
/// How long what falls due at a step may take.
const STEP_TAKES_MAX: std::time::Duration = std::time::Duration::from_secs(4);
/// How often it is looked whether that is done.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(5);

/// How far the test mode is ahead, as this node knows it, in microseconds. Live mode never is.
#[derive(Debug, Default)]
pub(crate) struct Clocks(AtomicI64);

impl Clocks {
    /// It never goes back: who read it earlier and comes later changes nothing.
    pub(crate) fn learn(&self, ahead: Span) {
        self.0.fetch_max(ahead.as_micros(), Ordering::Relaxed);
    }

    fn ahead(&self, mode: Mode) -> Span {
        match mode {
            Mode::Live => Span::micros(0),
            Mode::Test => Span::micros(self.0.load(Ordering::Relaxed)),
        }
    }
}

impl Mall {
    /// A mode's business time.
    pub fn now(&self, mode: Mode) -> Timestamp {
        self.ctx.now() + self.clocks.ahead(mode)
    }

    /// When a mode's business time will be what is given, if nobody moves its clock.
    pub(crate) fn real(&self, mode: Mode, at: Timestamp) -> Timestamp {
        at - self.clocks.ahead(mode)
    }

    /// Whether a mode's clock was ever moved.
    pub(crate) fn is_moved(&self, mode: Mode) -> bool {
        self.clocks.ahead(mode) > Span::micros(0)
    }

    /// A job about an order, due at a business time; what has no business date is due at once.
    pub(crate) fn new_job(
        &self,
        order: &Order,
        (kind, subject): (JobKind, String),
        at: Timestamp,
    ) -> NewJob {
        let (mode, partner_id, trace) = (order.mode, order.partner_id, crate::trace::text());
        let run_at = if kind.follows_clock() { self.real(mode, at) } else { self.ctx.now() };
        NewJob { mode, partner_id, kind, subject, trace, run_at, claimed_at: None }
    }

    /// Reads how far the test mode is ahead.
    pub(crate) async fn read_clock(&self, tx: &mut Tx) -> Result<Span> {
        let ahead = tx.clock_ahead(Mode::Test).await?;
        self.clocks.learn(ahead);
        Ok(ahead)
    }

    /// A mode's clock.
    pub async fn clock(&self, mode: Mode) -> Result<Clock> {
        self.read_clock(&mut self.store.read().await?).await?;
        Ok(self.shown_clock(mode, true, Vec::new()))
    }

    fn shown_clock(&self, mode: Mode, is_there: bool, apart: Vec<String>) -> Clock {
        Clock {
            mode: mode.as_str().to_owned(),
            now: text(self.now(mode)),
            real: text(self.ctx.now()),
            ahead_seconds: self.clocks.ahead(mode).as_micros() / 1_000_000,
            is_there,
            apart,
        }
    }

    /// Moves the test mode's clock on towards a time, for a while: from one thing that falls due to the next. The answer
    /// says whether it is there; else whoever asked asks again. The same again changes nothing.
    pub async fn move_clock(&self, by: &Operator, mode: Mode, wanted: &MoveClock) -> Result<Clock> {
        if mode == Mode::Live {
            let detail = "live mode has real time; only the test mode's clock can be moved";
            return Err(Problem::conflict("CLOCK_IS_REAL", detail).into());
        }
        let missing = || Problem::field("to", "missing");
        let to = time("to", Some(&wanted.to))?.ok_or_else(missing)?;
        if to.since(self.ctx.now()) > AHEAD_MAX {
            let detail = "the clock is moved ten years at most in all";
            return Err(Problem::field("to", detail).into());
        }
        self.read_clock(&mut self.store.read().await?).await?;
        let (before, begun) = (self.clocks.ahead(mode), tokio::time::Instant::now());
        let mut is_there = self.settle_step(mode).await? && self.now(mode) >= to;
        while !is_there && begun.elapsed() < WORK_MAX {
            self.step(mode, to).await?;
            is_there = self.settle_step(mode).await? && self.now(mode) >= to;
        }
        if self.clocks.ahead(mode) != before {
            self.note_moved(by, mode, self.ctx.now() + before).await?;
        }
        if is_there {
            // Other nodes hear of it at their next look for jobs.
            tokio::time::sleep(self.settings.poll.to_std() * 2).await;
        }
        let apart = self.cashiers.named().into_iter();
        let apart = apart.filter(|(name, cashier)| !cashier.played && name.starts_with("test"));
        Ok(self.shown_clock(mode, is_there, apart.map(|(name, _)| name).collect()))
    }

    async fn note_moved(&self, by: &Operator, mode: Mode, before: Timestamp) -> Result<()> {
        let mut tx = self.store.begin().await?;
        let change = Change {
            action: "clock.move",
            mode: Some(mode),
            object: "clock".to_owned(),
            before: json!({"now": text(before)}),
            after: json!({"now": text(self.now(mode))}),
        };
        self.record(&mut tx, by, change).await?;
        Ok(tx.commit().await?)
    }

    /// Moves the clock to the next thing that falls due, or to the end.
    async fn step(&self, mode: Mode, to: Timestamp) -> Result<()> {
        let mut tx = self.store.read().await?;
        let ahead = self.read_clock(&mut tx).await?;
        let now = self.ctx.now();
        let left = to.since(now + ahead);
        if left <= Span::micros(0) {
            return Ok(());
        }
        let next = tx.next_by_clock(mode, now).await?;
        drop(tx);
        let by = next.map_or(left, |at| at.since(now).min(left));
        let by = self.next_at_cashiers(mode, ahead).await.map_or(by, |next| next.min(by));
        let by = by.max(STEP_MIN).min(left);
        let mut tx = self.store.begin().await?;
        if !tx.move_clock(mode, ahead, by).await? {
            // Somebody else moves it too.
            return Ok(());
        }
        tx.commit().await?;
        self.clocks.learn(ahead + by);
        // What they tell of is dated by the time to which the mall has come.
        self.move_cashiers(mode, ahead + by).await;
        self.bell.notify_one();
        Ok(())
    }

    /// How much later the next thing happens at a double of Stripe.
    async fn next_at_cashiers(&self, mode: Mode, ahead: Span) -> Option<Span> {
        let mut next: Option<Span> = None;
        for cashier in self.cashiers.of_mode(mode).filter(|cashier| cashier.played) {
            let clock = cashier.stripe.move_double_to(ahead).await.ok();
            let there = clock.and_then(|clock| clock.next_in_seconds).map(Span::seconds);
            next = next.into_iter().chain(there).min();
        }
        next
    }

    /// Lets the doubles of Stripe be as far ahead as the mode, and tell what happened until then.
    async fn move_cashiers(&self, mode: Mode, ahead: Span) {
        for cashier in self.cashiers.of_mode(mode).filter(|cashier| cashier.played) {
            let begun = tokio::time::Instant::now();
            while begun.elapsed() < STEP_TAKES_MAX {
                match cashier.stripe.move_double_to(ahead).await {
                    Ok(clock) if clock.waiting == 0 => break,
                    // It may not reach us, or not be told to: without its events all is found as well.
                    Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
                    Err(error) => {
                        // The next step tells it the same.
                        tracing::warn!(%error, "a double of Stripe does not move its clock");
                        break;
                    }
                }
            }
        }
    }

    /// Waits until what is due is done; whether it is.
    async fn settle_step(&self, mode: Mode) -> Result<bool> {
        let begun = tokio::time::Instant::now();
        loop {
            let underway = self.store.read().await?.jobs_underway(mode, self.ctx.now()).await?;
            if underway == 0 {
                return Ok(true);
            }
            if begun.elapsed() > STEP_TAKES_MAX {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
