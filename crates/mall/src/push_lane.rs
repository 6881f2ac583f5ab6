//! What is sent to one endpoint, while this node has its lease.
//!
//! A lane reads what is due, sends it within the endpoint's width and one event of a subject at a time, and writes what
//! came of it in batches, beside further sending. It sends only what ends before its lease does, and prolongs the lease
//! with each batch. What was sent and is not written yet the endpoint may get a second time from whoever comes next, if
//! this process dies: [`UNWRITTEN_MAX`] says how much that is at most.

use std::collections::{HashSet, VecDeque};
use std::future::pending;
use std::sync::Arc;

use domain::id::EventId;
use domain::push::{DeliveryState, EndpointState};
use domain::{Span, Timestamp};
use store::{DuePush, PushEndpoint, PushLease, PushOutcome};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::Mall;
use crate::error::{Error, Result};
use crate::push_relay::LaneBell;
use crate::push_rules::{Consequence, Course, Decided, Tried, Verdict, WIDTH_MAX};
use crate::push_tries::{Landed, Signer};
use crate::push_writes::{PushWrite, Written};

/// How many events are read at once for each that may be on its way: what is not written yet is read again every time, so
/// that few large reads cost less than many small ones.
const READ_PER_WIDTH: usize = 16;
/// The most events of an endpoint that are on their way, or were sent and are not written yet.
const UNWRITTEN_MAX: usize = 4 * WIDTH_MAX;
/// A lease is prolonged this many times before it would end.
const PROLONGED: u32 = 8;
/// How often it is noted, at most, that an endpoint does well.
const NOTE_PAUSE: Span = Span::seconds(1);
/// So many looks in a row find nothing before the lease is given back.
const VAIN_LOOKS_MAX: u32 = 2;

/// One endpoint's pushes.
pub(crate) struct Lane {
    mall: Arc<Mall>,
    endpoint: PushEndpoint,
    lease: PushLease,
    signer: Arc<Signer>,
    course: Course,
    bell: Arc<LaneBell>,
    queue: VecDeque<DuePush>,
    /// What is at hand, on its way or not written: by the database's word it still waits.
    held: HashSet<EventId>,
    flying: JoinSet<Landed>,
    news: PushWrite,
    /// What is being written, and by whom.
    writing: Option<(Arc<PushWrite>, JoinHandle<Written>)>,
    /// After a write that failed, when the next one may begin.
    write_after: Instant,
    prolong_at: Instant,
    /// Whether the last look found all that is due.
    is_dry: bool,
    vain_looks: u32,
    is_stopping: bool,
    /// It is to be switched off, or was changed and could not be read again: until it is, nothing is sent, and no answer
    /// counts for it.
    is_shut: bool,
    noted_at: Timestamp,
}

impl Lane {
    pub(crate) async fn open(
        mall: Arc<Mall>,
        (lease, endpoint): (PushLease, PushEndpoint),
        bell: Arc<LaneBell>,
    ) -> Result<Self> {
        let signer = mall.push_signer(&endpoint).await?;
        let (now, at) = (mall.ctx.now(), Instant::now());
        Ok(Self {
            course: Course::new(endpoint.health),
            noted_at: now,
            prolong_at: at + mall.push_lease().to_std() / PROLONGED,
            write_after: at,
            news: PushWrite::new(&lease, &endpoint),
            signer: Arc::new(signer),
            mall,
            endpoint,
            lease,
            bell,
            queue: VecDeque::new(),
            held: HashSet::new(),
            flying: JoinSet::new(),
            writing: None,
            is_dry: false,
            vain_looks: 0,
            is_stopping: false,
            is_shut: false,
        })
    }

    /// Sends until nothing is due, the endpoint must not be sent to, or somebody else has its lease.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        loop {
            self.is_stopping |= *stop.borrow();
            if self.wants_more()
                && let Err(error) = self.read().await
            {
                // What is on its way lands and is written all the same; it is looked again in a while.
                tracing::warn!(%error, endpoint = %self.endpoint.id, "no pushes can be read now");
                self.is_dry = true;
            }
            self.launch();
            self.begin_to_write();
            if self.is_over() {
                return self.release().await;
            }
            let look_at = self.look_at();
            tokio::select! {
                Some(landed) = self.flying.join_next() => {
                    let mut next = Some(landed);
                    // Those that landed beside it need no turn of their own.
                    while let Some(landed) = next {
                        self.land(landed.map_err(|error| Error::Internal(error.to_string()))?);
                        next = self.flying.try_join_next();
                    }
                }
                written = ended(&mut self.writing) => match written {
                    Written::Held(version) => self.heed_written(version).await,
                    Written::Failed => self.write_again(),
                    // Whoever has it now sends what was not written.
                    Written::Lost => return Ok(()),
                },
                () = self.bell.rung() => self.is_dry = false,
                () = sleep_until(look_at) => self.is_dry = false,
                changed = stop.changed(), if !self.is_stopping => {
                    self.is_stopping |= changed.is_err();
                }
            }
        }
    }

    /// When to look for more if nothing happens.
    fn look_at(&self) -> Instant {
        let look_at = Instant::now() + self.mall.settings.poll.to_std();
        if self.writing.is_some() {
            return look_at;
        }
        look_at.min(self.prolong_at.max(self.write_after))
    }

    /// What was sent, or is on its way, and is not written.
    fn unwritten(&self) -> usize {
        let being_written = self.writing.as_ref().map_or(0, |(write, _)| write.outcomes.len());
        self.flying.len() + self.news.outcomes.len() + being_written
    }

    fn may_send(&self) -> bool {
        self.endpoint.state == EndpointState::On && !self.is_shut && !self.is_stopping
    }

    /// Whether a probe may go out, where the breaker is open.
    fn may_probe(&self) -> bool {
        let due = self.course.health.probe_at.is_some_and(|at| at <= self.mall.ctx.now());
        due && self.unwritten() == 0 && self.writing.is_none()
    }

    fn wants_more(&self) -> bool {
        let allowed = if self.course.is_open() {
            self.queue.is_empty() && self.may_probe()
        } else {
            self.queue.len() < self.course.width
        };
        self.may_send() && !self.is_dry && allowed
    }

    async fn read(&mut self) -> Result<()> {
        let (key, is_open) = (self.lease.key, self.course.is_open());
        let wanted = if is_open { 1 } else { READ_PER_WIDTH * self.course.width };
        let limit = wanted + self.held.len();
        let asked = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut reader = self.mall.push_reader().await?;
        let due = if is_open && self.course.probes_newest() {
            reader.tx.newest_pushes(key, asked).await?
        } else {
            // A probe is due whenever it is, that first which was tried longest ago.
            let any_time = Timestamp::from_micros(i64::MAX);
            let due_by = if is_open { any_time } else { self.mall.ctx.now() };
            reader.tx.due_pushes(key, (due_by, asked)).await?
        };
        drop(reader);
        self.is_dry = due.len() < limit;
        let before = self.queue.len();
        for push in due.into_iter().filter(|push| !self.held.contains(&push.event_id)).take(wanted)
        {
            self.queue.push_back(push);
        }
        let found = self.queue.iter().skip(before);
        self.held.extend(found.map(|push| push.event_id));
        let in_vain = self.queue.is_empty() && self.unwritten() == 0;
        self.vain_looks = if in_vain { self.vain_looks + 1 } else { 0 };
        Ok(())
    }

    /// Sends what may be sent now.
    fn launch(&mut self) {
        let is_open = self.course.is_open();
        if !self.may_send() || (is_open && !self.may_probe()) {
            return;
        }
        let now = self.mall.ctx.now();
        if !self.queue.is_empty() && self.lease.until.since(now) < self.mall.sender.timeout() {
            self.news.is_due = true;
            return;
        }
        let width = if is_open { 1 } else { self.course.width };
        while self.flying.len() < width && self.unwritten() < UNWRITTEN_MAX {
            let Some(push) = self.queue.pop_front() else { return };
            let signer = Signer::at(&mut self.signer, now);
            let tried_at = self.course.begin(now);
            self.flying.spawn(signer.send(self.mall.sender.clone(), push, tried_at));
        }
    }

    fn land(&mut self, landed: Landed) {
        let now = self.mall.ctx.now();
        let was_open = self.course.is_open();
        // What an endpoint said before it was changed says nothing of it as it is now.
        let is_current = landed.version == self.endpoint.version && !self.is_shut;
        let (decided, consequence) = if is_current {
            let [jitter] = self.mall.ctx.random::<1>();
            let (verdict, tries, at) = (landed.verdict, landed.tries, landed.tried_at);
            self.course.heed(Tried { verdict, tries, at }, now, jitter)
        } else {
            (decide_alone(&landed, now), Consequence::None)
        };
        self.mall.metrics.push_tried(self.endpoint.mode, &landed, decided.state);
        if decided.state == DeliveryState::Failed {
            let (endpoint, event) = (self.endpoint.id, landed.event_id);
            tracing::warn!(%endpoint, %event, "an event was tried often enough and is not told");
        }
        let outcome = PushOutcome {
            event_id: landed.event_id,
            was: (landed.tries, landed.due_at),
            was_tried: landed.was_tried,
            state: decided.state,
            tries: decided.tries,
            due_at: decided.due_at,
        };
        self.news.outcomes.push((outcome, landed.attempt()));
        if is_current {
            self.follow(consequence, was_open, now);
        }
    }

    /// What follows from a try for the endpoint.
    fn follow(&mut self, consequence: Consequence, was_open: bool, now: Timestamp) {
        match consequence {
            Consequence::None => {}
            Consequence::Closed => {
                tracing::info!(endpoint = %self.endpoint.id, "an endpoint answers again");
                self.news.closed = true;
            }
            Consequence::Gone => {
                self.give_up("it answered that it is gone for good (410)");
            }
            Consequence::Dead => {
                self.give_up("nothing but failures came of it for five days");
            }
        }
        if self.course.is_open() {
            if !was_open {
                tracing::warn!(endpoint = %self.endpoint.id, "an endpoint fails; it is probed now and then");
            }
            self.put_back();
        }
        let fails = self.course.health.failures > 0 || self.endpoint.health.failures > 0;
        let is_open = self.course.is_open();
        let is_news = fails || was_open || is_open || now.since(self.noted_at) >= NOTE_PAUSE;
        if is_news {
            self.note_health(now);
        }
    }

    fn give_up(&mut self, reason: &str) {
        self.is_shut = true;
        self.news.off = Some(reason.to_owned());
    }

    /// What is at hand and was not sent is read again another time.
    fn put_back(&mut self) {
        for push in self.queue.drain(..) {
            self.held.remove(&push.event_id);
        }
        self.is_dry = false;
    }

    fn note_health(&mut self, now: Timestamp) {
        self.noted_at = now;
        self.endpoint.health = self.course.health;
        self.news.health = Some(self.course.health);
    }

    fn begin_to_write(&mut self) {
        let at = Instant::now();
        self.news.is_due |= at >= self.prolong_at;
        if self.writing.is_some() || at < self.write_after || !self.news.is_needed() {
            return;
        }
        self.news.lease.until = self.mall.ctx.now() + self.mall.push_lease();
        self.prolong_at = at + self.mall.push_lease().to_std() / PROLONGED;
        let next = PushWrite::new(&self.lease, &self.endpoint);
        let write = Arc::new(std::mem::replace(&mut self.news, next));
        let (mall, written) = (Arc::clone(&self.mall), Arc::clone(&write));
        let task = tokio::spawn(async move { mall.write_push(written).await });
        self.writing = Some((write, task));
    }

    async fn heed_written(&mut self, version: i64) {
        let Some((write, _)) = self.writing.take() else { return };
        self.lease.until = write.lease.until;
        self.news.lease.until = write.lease.until;
        for (outcome, _) in &write.outcomes {
            self.held.remove(&outcome.event_id);
        }
        // What comes next of their subjects is due now, and what waited for the breaker.
        self.is_dry &= write.outcomes.is_empty();
        if version != self.endpoint.version
            && let Err(error) = self.reread().await
        {
            // What is on its way lands and is written; then the lease is given back.
            tracing::warn!(%error, endpoint = %self.endpoint.id, "an endpoint cannot be read now");
            self.is_shut = true;
            self.put_back();
        }
    }

    /// Somebody changed the endpoint: what was found out about it is forgotten.
    async fn reread(&mut self) -> Result<()> {
        let (mode, partner, id) = self.lease.key;
        let mut reader = self.mall.push_reader().await?;
        let found = reader.tx.push_endpoint((mode, partner), id).await?;
        drop(reader);
        match found {
            Some(endpoint) => {
                self.signer = Arc::new(self.mall.push_signer(&endpoint).await?);
                self.course = self.course.anew(endpoint.health);
                self.news.version = endpoint.version;
                self.endpoint = endpoint;
                self.is_shut = false;
            }
            None => self.endpoint.state = EndpointState::Off,
        }
        (self.news.health, self.news.off, self.news.closed) = (None, None, false);
        self.put_back();
        Ok(())
    }

    /// What could not be written is written again, before what came since.
    fn write_again(&mut self) {
        let Some((write, _)) = self.writing.take() else { return };
        self.news.take_before(&write);
        self.write_after = Instant::now() + self.mall.settings.poll.to_std();
    }

    fn is_over(&self) -> bool {
        let is_busy = self.unwritten() > 0 || self.writing.is_some() || self.news.is_needed();
        let waits = self.course.is_open() && !self.may_probe();
        let is_done = waits || (self.queue.is_empty() && self.vain_looks >= VAIN_LOOKS_MAX);
        !is_busy && (is_done || !self.may_send())
    }

    /// Gives the lease back, with what was not worth a write of its own.
    async fn release(mut self) -> Result<()> {
        self.news.health = Some(self.course.health).filter(|now| *now != self.endpoint.health);
        self.news.lease.until = Timestamp::from_micros(0);
        // If it fails, the lease ends by itself.
        self.mall.write_push(Arc::new(self.news)).await;
        Ok(())
    }
}

/// What follows for the delivery alone: it was taken, or is due as before.
fn decide_alone(landed: &Landed, now: Timestamp) -> Decided {
    let (state, tries) = match landed.verdict {
        Verdict::Taken => (DeliveryState::Delivered, landed.tries + 1),
        Verdict::NotTaken | Verdict::NotNow(_) | Verdict::Gone => {
            (DeliveryState::Waiting, landed.tries)
        }
    };
    Decided { state, tries, due_at: now }
}

/// Waits for a write that was begun; for ever, if there is none.
async fn ended(writing: &mut Option<(Arc<PushWrite>, JoinHandle<Written>)>) -> Written {
    match writing {
        Some((_, task)) => task.await.unwrap_or(Written::Failed),
        None => pending().await,
    }
}
