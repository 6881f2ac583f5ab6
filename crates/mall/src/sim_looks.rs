//! Looks at SIMs upstream: what became of a SIM and its plans at the carrier is taken over into the mall's own
//! queue, as far as it is certain. It never touches money.
//!
//! A look is a job. A carrier's notification asks for one, and a sweep goes by all SIMs with a plan in use,
//! in small pieces: carriers allow few questions, and orders need them first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use carriers::Carrier;
use domain::sim::SimState;
use domain::sim_plan::{QueuedPlan, schedule, take_over};
use domain::{Iccid, Mode, Span, Timestamp, Zone};
use store::{Job, JobKind, NewJob, Question, SimKey, SimPlan, SimQueue, Tx};
use tokio::sync::{Mutex, watch};
use tokio::time::MissedTickBehavior;

use crate::Mall;
use crate::error::{Error, Result};
use crate::sim_answers::{SimWord, StateSaid, failed_pause, is_fresh, written};
use crate::sim_words::certain_words;
use crate::turns::turn_after_change;
use crate::worker::Next;

/// How often the sweep goes on.
const PERIOD: Duration = Duration::from_mins(1);
/// How many SIMs it reads at most in a pass.
const PART: i64 = 200;
/// How soon a look is tried again whose turn somebody else has.
const TURN_PAUSE: Span = Span::seconds(5);
/// How soon after a question that failed, and for how long it is tried.
const FAILED_LOOK_PAUSE: Span = Span::minutes(15);
const TRIED_MAX: Span = Span::minutes(60);

/// How far the sweep has come in each mode: the partner and the SIM.
pub(crate) type LookPlaces = Mutex<HashMap<Mode, (String, String)>>;

/// Goes by the SIMs with a plan in use, until `stop` turns true.
pub async fn run_sim_sweep(mall: Arc<Mall>, mut stop: watch::Receiver<bool>) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stop.borrow() {
        tokio::select! {
            _ = period.tick() => {}
            // Nobody left to tell us to stop means that we should.
            changed = stop.changed() => if changed.is_err() { return } else { continue },
        }
        if let Err(error) = mall.sweep_sims().await {
            tracing::warn!(%error, "SIMs cannot be gone by now");
        }
    }
}

/// A look that has its turn.
struct Look {
    key: SimKey,
    code: String,
    turn: i64,
    began_at: Timestamp,
}

/// Whether a look can begin.
enum Begin {
    /// There is nothing to look at.
    Nothing,
    /// Somebody asks at this moment, or the last question failed just now.
    Wait(Timestamp),
    Ready(Look, Arc<dyn Carrier>),
}

impl Mall {
    /// The job `look_at_sim`.
    pub(crate) async fn look_upstream(&self, job: &Job) -> Result<Next> {
        let broken = || Error::Internal(format!("{} names no SIM", job.id));
        let iccid: Iccid = job.subject.parse().map_err(|_| broken())?;
        let (look, carrier) = match self.begin_look(job, iccid).await? {
            Begin::Nothing => return Ok(Next::Done),
            Begin::Wait(until) => return Ok(Next::At(until, "not yet its turn".to_owned())),
            Begin::Ready(look, carrier) => (look, carrier),
        };
        match self.question::<StateSaid>(&*carrier, (&look.code, &look.key.2)).await {
            Ok(said) => self.write_look(job, &look, &*carrier, &said).await,
            Err(error) => {
                let now = self.ctx.now();
                let after = now + failed_pause::<StateSaid>(&self.settings, &*carrier);
                self.no_answer(&look.key, (Question::State, look.turn), after).await?;
                if now.since(job.first_run_at) >= TRIED_MAX {
                    tracing::warn!(
                        carrier = look.code,
                        error = error.message,
                        "a look was given up"
                    );
                    return Ok(Next::Done);
                }
                Ok(Next::At(now + FAILED_LOOK_PAUSE, error.message))
            }
        }
    }

    /// Takes the turn, and holds the job for as long as the question may take.
    async fn begin_look(&self, job: &Job, iccid: Iccid) -> Result<Begin> {
        let key: SimKey = (job.mode, job.partner_id, iccid);
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let Some(sim) = tx.sim(key.0, key.1, &key.2).await? else { return Ok(Begin::Nothing) };
            let Some(carrier) = self.carrier(job.mode, &sim.carrier).map(Arc::clone) else {
                return Ok(Begin::Nothing);
            };
            let known = tx.carrier_sim(&key, Question::State).await?;
            let now = self.ctx.now();
            if let Some(after) = known.ask_after.filter(|after| *after > now) {
                return Ok(Begin::Wait(after.min(now + TURN_PAUSE)));
            }
            let until = now + self.turn_max(&*carrier);
            let Some(turn) = tx.take_turn(&key, Question::State, (&known, until)).await? else {
                return Ok(Begin::Wait(now + TURN_PAUSE));
            };
            tx.extend_lease(job, until.max(job.leased_until)).await?;
            tx.commit().await?;
            let look = Look { key: key.clone(), code: sim.carrier, turn, began_at: now };
            Ok(Begin::Ready(look, carrier))
        })
        .await
    }

    /// Writes what the carrier said, and what follows from it, under the job's fence.
    async fn write_look(
        &self,
        job: &Job,
        look: &Look,
        carrier: &dyn Carrier,
        said: &StateSaid,
    ) -> Result<Next> {
        let (key, text) = (&look.key, written(said)?);
        let changed = self
            .retry(|| async {
                let now = self.ctx.now();
                let mut tx = self.store.begin().await?;
                let turn = (Question::State, look.turn);
                // This holds the row, so that a notification comes either before or after all of this.
                if !tx.write_answer(key, turn, (&text, now)).await? {
                    tx.reschedule_job(job, now + TURN_PAUSE, 0, "somebody else asked").await?;
                    tx.commit().await?;
                    return Ok(false);
                }
                let changed = self.take_over_sim(&mut tx, (key, &look.code), carrier, said).await?;
                let known = tx.carrier_sim(key, Question::State).await?;
                match known.heed_at.filter(|at| *at > look.began_at) {
                    // The carrier told something since.
                    Some(at) => tx.reschedule_job(job, at, 0, "").await?,
                    None => tx.finish_job(job).await?,
                }
                tx.commit().await?;
                Ok(changed)
            })
            .await?;
        self.wake_for_answer(changed);
        Ok(Next::Settled)
    }

    /// Takes over what is certain of what a carrier says of a SIM; whether anything changed.
    pub(crate) async fn take_over_sim(
        &self,
        tx: &mut Tx,
        (key, code): (&SimKey, &str),
        carrier: &dyn Carrier,
        said: &StateSaid,
    ) -> Result<bool> {
        let (mode, partner_id, iccid) = key;
        tx.hold_sim(*mode, *partner_id, iccid).await?;
        let mut changed = false;
        let sim = tx.sim(*mode, *partner_id, iccid).await?;
        // It may have been given another carrier while this one was asked.
        let Some(sim) = sim.filter(|sim| sim.carrier == code) else { return Ok(false) };
        if said.state == SimWord::Terminated && sim.state != SimState::Terminated {
            tx.set_sim_state(*mode, *partner_id, iccid, SimState::Terminated).await?;
            tracing::warn!(carrier = code, "a SIM is terminated at its carrier");
            changed = true;
        }
        let SimQueue { plans: before, free_since } =
            tx.sim_queue(*mode, *partner_id, iccid).await?;
        if before.is_empty() {
            return Ok(changed);
        }
        let partner = tx.partner(*mode, *partner_id).await?;
        let partner = partner.ok_or_else(|| Error::Internal("a SIM has no partner".to_owned()))?;
        if self.is_moved(*mode) {
            // The carrier's dates are real ones, and ours are not.
            return Ok(changed);
        }
        let now = self.ctx.now();
        let (words, unsure) = certain_words(&before, code, carrier, said, now);
        let mut queue: Vec<QueuedPlan> = before.iter().map(|plan| plan.queued.clone()).collect();
        let unsure = unsure + take_over(&mut queue, &words, free_since, now, &partner.zone);
        if unsure > 0 {
            self.metrics.plans_left_alone(code, unsure);
            tracing::debug!(carrier = code, unsure, "plans of a SIM are left alone");
        }
        if before.iter().map(|plan| &plan.queued).eq(&queue) {
            return Ok(changed);
        }
        tracing::info!(carrier = code, "a SIM's plans stand otherwise at its carrier");
        self.write_queue(tx, key, (&before, &queue), &partner.zone).await?;
        Ok(true)
    }

    async fn write_queue(
        &self,
        tx: &mut Tx,
        key: &SimKey,
        (before, queue): (&[SimPlan], &[QueuedPlan]),
        zone: &Zone,
    ) -> Result<()> {
        self.write_changes(tx, key, before, queue).await?;
        let run_at = self.real(key.0, turn_after_change(queue, self.now(key.0)));
        let turn = NewJob { kind: JobKind::TurnPlan, ..look_job(key, run_at) };
        tx.insert_job(&turn, self.ctx.now()).await?;
        // The agreement of the SIM is due anew: when the last plan of its queue ends.
        match schedule(queue, zone).last() {
            Some((_, _, end)) => self.schedule_renewal(tx, key, *end).await,
            None => Ok(()),
        }
    }

    /// One pass of the sweep; gives how many looks it asked for. SIMs of carriers inside this process are left out:
    /// those know no more than the mall.
    pub async fn sweep_sims(&self) -> Result<u64> {
        let Some(age_max) = self.settings.sim_look_age else { return Ok(0) };
        let mut left = self.settings.sim_looks_per_minute;
        let mut places = self.look_places.lock().await;
        let mut added = 0;
        for mode in Mode::ALL {
            let place = places.entry(mode).or_default();
            let after = (place.0.as_str(), place.1.as_str());
            let part = self.store.read().await?.running_sims(mode, after, PART).await?;
            let is_last = i64::try_from(part.len()) != Ok(PART);
            let now = self.ctx.now();
            let mut all_seen = true;
            for sim in part {
                let asked = self
                    .carrier(mode, &sim.carrier)
                    .is_some_and(|carrier| !carrier.capabilities().in_process);
                let known = sim.heard_at.is_some_and(|at| is_fresh(at, now, age_max));
                let waits = sim.ask_after.is_some_and(|after| after > now);
                if asked && !known && !waits {
                    if left == 0 {
                        all_seen = false;
                        break;
                    }
                    let key = (mode, sim.partner_id, sim.iccid.clone());
                    if self.add_look(&key, now).await? {
                        (left, added) = (left - 1, added + 1);
                    }
                }
                *place = (sim.partner_id.to_string(), sim.iccid.as_str().to_owned());
            }
            if is_last && all_seen {
                *place = Default::default();
            }
        }
        drop(places);
        if added > 0 {
            self.bell.notify_one();
        }
        Ok(added)
    }

    async fn add_look(&self, key: &SimKey, run_at: Timestamp) -> Result<bool> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let added = tx.add_missing_job(&look_job(key, run_at), run_at).await?;
            tx.commit().await?;
            Ok(added)
        })
        .await
    }
}

/// The job that looks at a SIM.
pub(crate) fn look_job((mode, partner_id, iccid): &SimKey, run_at: Timestamp) -> NewJob {
    NewJob {
        mode: *mode,
        partner_id: *partner_id,
        kind: JobKind::LookAtSim,
        subject: iccid.as_str().to_owned(),
        trace: crate::trace::text(),
        run_at,
        claimed_at: None,
    }
}
