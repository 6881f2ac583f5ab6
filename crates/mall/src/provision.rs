//! From a paid order to a plan on the SIM, one durable step at a time.
//!
//! Nothing is guessed: what a carrier cannot tell is looked up, and what cannot be looked up goes to a
//! person. The key under which the carrier is asked is the same on every attempt. What is about to be asked
//! is in `attempts.rs` before a byte leaves; what came of it is written there too.

use std::collections::HashMap;
use std::sync::Arc;

use carriers::{
    Capabilities, Carrier, Feature, Idempotency, Line, Lookup, Snapshot, SubmitError, Submitted,
    UpstreamState,
};
use domain::order::{Failure, Order, OrderState};
use domain::{Span, Timestamp};
use store::{Attempt, AttemptState, Job, JobKind, StoreError, Tx};
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use crate::Mall;
use crate::attempts::{Begun, Start, Turn, Word, gives_way};
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::failpoints::Point;
use crate::worker::Next;

/// How long to wait before a node that knows the order's carrier may have come.
const NO_CARRIER_PAUSE: Span = Span::seconds(20);
/// How long an order waits, at least and at most, whose carrier has its share of the workers, and why.
const CROWDED_PAUSE: Span = Span::seconds(1);
const CROWDED_PAUSE_MAX: Span = Span::seconds(20);
const CROWDED: &str = "its carrier has its share of the workers";
/// How much longer than its client a call is waited for.
const CALL_GRACE: Span = Span::seconds(1);
/// How much longer than a call its job is held.
const LEASE_GRACE: Span = Span::seconds(5);
/// Why a call is looked up.
pub(crate) const NO_ANSWER: &str = "the carrier did not answer in time";

/// What a carrier made of an order.
pub(crate) enum Outcome {
    /// The plan is on the SIM.
    Done(Submitted),
    /// It works on it.
    Accepted(Submitted),
    /// It refused for good; nothing was done.
    Refused(Failure),
    /// It did nothing; not now.
    PutOff(Span, String),
    /// It was asked, and may have done it or not: to be looked for.
    Unclear(String),
    /// It is not there as far as can be seen; to ask again under the same key is safe.
    Resend(Option<Span>, String),
    /// It could not be asked how far it is, or cannot tell yet; ask again.
    Later(String),
    /// Nobody can tell.
    Unknown(String),
}

/// What is to be asked of a carrier next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// To do it.
    Submit,
    /// How far it is.
    Follow,
    /// Whether it did it.
    Look,
}

fn next_ask(order: &Order, attempt: Option<&Attempt>) -> Ask {
    match attempt.map(|attempt| attempt.state) {
        Some(AttemptState::Accepted) => Ask::Follow,
        Some(AttemptState::Unclear) => Ask::Look,
        // From before attempts were written down.
        None if !order.upstream_id.is_empty() => Ask::Follow,
        _ => Ask::Submit,
    }
}

impl Mall {
    /// The job `provision`. `claimed` is its order if it may be asked for at once.
    pub(crate) async fn provision(&self, job: &Job, claimed: Option<Begun>) -> Result<Next> {
        // Of a carrier that has its share of the workers already, more orders wait.
        let carrier_place = match &claimed {
            Some(_) => None,
            None => match self.place_at_carrier(job).await? {
                Some(place) => place,
                None => {
                    return Ok(Next::At(
                        self.ctx.now() + self.crowded_pause(job),
                        CROWDED.to_owned(),
                    ));
                }
            },
        };
        let start = match claimed {
            Some(begun) if begun.looks_first => self.look_first(begun).await?,
            Some(begun) => Start::Ready(Box::new(begun)),
            // Most orders do not come here, and need not carry its state.
            None => Box::pin(self.start(job)).await?,
        };
        let begun = match start {
            Start::Nothing => return Ok(Next::Done),
            Start::NoCarrier => {
                let why = "this node does not know the order's carrier".to_owned();
                return self.wait(job, None, NO_CARRIER_PAUSE, why).await;
            }
            Start::Wait(pause, why) => return self.wait(job, None, pause, why).await,
            Start::Ready(begun) => *begun,
        };
        let Some(carrier) = self.carrier(job.mode, &begun.order.carrier).map(Arc::clone) else {
            return Err(Error::Internal(format!("{} lost its carrier", begun.order.id)));
        };
        let outcome = self.ask(job, &*carrier, &begun).await?;
        self.fail_at(Point::BeforeWriting, job).await?;
        let next = self.write_outcome(job, begun, &*carrier, outcome).await?;
        self.fail_at(Point::AfterWriting, job).await?;
        drop(carrier_place);
        Ok(next)
    }

    /// An order that was handed over as it was written, of a partner that has groups: it is written down first, and
    /// looks then.
    async fn look_first(&self, begun: Begun) -> Result<Start> {
        let whose = (begun.order.mode, begun.order.partner_id);
        let is_moved = self.store.read().await?.is_member_moved(whose, &begun.order.iccid).await?;
        Ok(if is_moved { gives_way() } else { Start::Ready(Box::new(begun)) })
    }

    /// A place at the order's carrier, to be held while it is asked; `None` if there is none. Within is none where
    /// none is needed: the carrier is in this process, or not known.
    async fn place_at_carrier(&self, job: &Job) -> Result<Option<Option<SemaphorePermit<'_>>>> {
        let order = order_of(&mut self.store.read().await?, job).await?;
        let outside = self.carrier(job.mode, &order.carrier);
        let outside = outside.is_some_and(|carrier| !carrier.capabilities().in_process);
        Ok(match self.carrier_places.get(&order.carrier) {
            Some(places) if outside => places.try_acquire().ok().map(Some),
            _ => Some(None),
        })
    }

    /// How long an order waits whose carrier has its share of the workers. They come back the more rarely the longer
    /// they have waited, so that many of them do not keep the workers busy; and not all at once.
    fn crowded_pause(&self, job: &Job) -> Span {
        let [jitter] = self.ctx.random::<1>();
        let waited = self.ctx.now().since(job.first_run_at).as_micros();
        let pause = Span::micros(waited / 4).max(CROWDED_PAUSE).min(CROWDED_PAUSE_MAX);
        pause + Span::millis(i64::from(jitter) * 20)
    }

    /// How long a call to a carrier may take: a little longer than its client lets it.
    pub(crate) fn call_max(&self, carrier: &dyn Carrier) -> Span {
        match carrier.capabilities() {
            Capabilities { in_process: true, .. } => self.settings.carrier_timeout,
            Capabilities { call_max, .. } => call_max + CALL_GRACE,
        }
    }

    /// For how long a job is held whose carrier is asked: a call fits into it.
    pub(crate) fn lease_for(&self, carrier: &dyn Carrier) -> Span {
        self.settings.lease.max(self.call_max(carrier) + LEASE_GRACE)
    }

    async fn ask(&self, job: &Job, carrier: &dyn Carrier, begun: &Begun) -> Result<Outcome> {
        let Begun { order, attempt, sent_before, leased_until, .. } = begun;
        let line = line_of(order);
        let snapshot = attempt.as_ref().map(|attempt| attempt.snapshot.as_str());
        let snapshot = Snapshot::from_text(snapshot.unwrap_or_default());
        let key = order.upstream_key();
        let native = carrier.idempotency() == Idempotency::Native;
        let call_max = self.call_max(carrier).to_std();
        Ok(match next_ask(order, attempt.as_ref()) {
            Ask::Submit => {
                self.fail_at(Point::AfterSending, job).await?;
                // This process may have slept: whoever took the job over must find nothing sent after.
                if self.ctx.now() >= *leased_until {
                    return Err(StoreError::LeaseLost.into());
                }
                // A call that is cut off may have done its work.
                let cut_off = SubmitError::Ambiguous { message: NO_ANSWER.to_owned() };
                let submitted = timeout(call_max, carrier.submit(&key, &line)).await;
                let submitted = submitted.unwrap_or(Err(cut_off.clone()));
                let lost = self.fail_at(Point::AfterAnswer, job).await?;
                let submitted = if lost { Err(cut_off) } else { submitted };
                match submitted {
                    Err(error) if *sent_before => refusal_of_repeat(error),
                    submitted => submitted.map_or_else(refusal, progress),
                }
            }
            Ask::Follow => {
                let upstream_id = attempt.as_ref().map_or(&order.upstream_id, |it| &it.upstream_id);
                let asked = carrier.get_order(upstream_id, &line, &snapshot);
                match timeout(call_max, asked).await {
                    Ok(Ok(submitted)) => progress(submitted),
                    Ok(Err(error)) => Outcome::Later(error.message),
                    Err(_) => Outcome::Later(NO_ANSWER.to_owned()),
                }
            }
            Ask::Look => {
                let looked = carrier.find_by_key(&key, &line, &snapshot);
                let why = attempt.as_ref().map_or("", |attempt| attempt.words());
                match timeout(call_max, looked).await {
                    Ok(Ok(Lookup::Found(submitted))) => progress(submitted),
                    Ok(Ok(Lookup::NotFound)) if native => Outcome::Resend(None, why.to_owned()),
                    Ok(Ok(Lookup::NotFound)) => Outcome::Unknown(format!("{why}; it is not there")),
                    // What is new on a SIM may show only later.
                    Ok(Ok(Lookup::CannotTell { message }))
                        if carrier.capabilities().has(Feature::Snapshot) =>
                    {
                        Outcome::Later(message)
                    }
                    Ok(Ok(Lookup::CannotTell { message })) => {
                        Outcome::Unknown(format!("{why}; {message}"))
                    }
                    Ok(Err(error)) => Outcome::Later(error.message),
                    Err(_) => Outcome::Later(NO_ANSWER.to_owned()),
                }
            }
        })
    }

    async fn write_outcome(
        &self,
        job: &Job,
        begun: Begun,
        carrier: &dyn Carrier,
        outcome: Outcome,
    ) -> Result<Next> {
        let sent_at = begun.attempt.as_ref().map_or(job.first_run_at, |attempt| attempt.sent_at);
        let pause = carrier.poll_pause(self.ctx.now().since(sent_at));
        let overdue = Overdue { since: sent_at, limit: Some(carrier.capabilities().deadline) };
        match outcome {
            Outcome::Done(Submitted { upstream_id, said, .. }) => {
                let Begun { order, attempt, .. } = begun;
                let job = job.clone();
                let delivery =
                    Delivery { job: Some(job.clone()), order, upstream_id, attempt, said };
                self.deliver(&job, delivery).await
            }
            Outcome::Accepted(submitted) => {
                let said = submitted.said;
                let word = Word::Is(AttemptState::Accepted, Some(submitted.upstream_id));
                self.go_on(job, (Turn::Accepted, word), overdue, (pause, said)).await
            }
            Outcome::Refused(failure) => self.refused(job, failure).await,
            Outcome::PutOff(after, said) => {
                let word = Word::Is(AttemptState::PutOff, None);
                // Nothing was sent that counts: the order's own time does.
                let overdue = Overdue { since: job.first_run_at, limit: None };
                self.go_on(job, (Turn::PutOff, word), overdue, (after, said)).await
            }
            Outcome::Unclear(said) => {
                // The first look is at once.
                let (word, now) = (Word::Is(AttemptState::Unclear, None), Span::seconds(0));
                self.go_on(job, (Turn::Accepted, word), overdue, (now, said)).await
            }
            Outcome::Resend(after, said) => {
                let word = Word::Is(AttemptState::Sending, None);
                let pause = after.unwrap_or(pause);
                self.go_on(job, (Turn::Accepted, word), overdue, (pause, said)).await
            }
            Outcome::Later(said) => {
                self.go_on(job, (Turn::Accepted, Word::Same), overdue, (pause, said)).await
            }
            Outcome::Unknown(message) => {
                let reason = Failure { code: "CARRIER_UNCLEAR".to_owned(), message };
                self.to_review(job, reason).await
            }
        }
    }

    /// Goes on after a pause; an order that has taken too long goes to a person.
    async fn go_on(
        &self,
        job: &Job,
        (turn, word): (Turn, Word),
        overdue: Overdue,
        (pause, said): (Span, String),
    ) -> Result<Next> {
        if self.is_overdue(&overdue) {
            return self.review_overdue(job, word, said).await;
        }
        let at = self.ctx.now() + pause;
        self.write_step(job, turn, word, said, Some(at)).await
    }

    /// Waits for what must be before the carrier can be asked.
    async fn wait(&self, job: &Job, word: Option<Word>, pause: Span, why: String) -> Result<Next> {
        let overdue = Overdue { since: job.first_run_at, limit: None };
        if self.is_overdue(&overdue) {
            return self.review_overdue(job, word.unwrap_or(Word::Same), why).await;
        }
        Ok(Next::At(self.ctx.now() + pause, why))
    }

    /// Whether an order has been tried for too long. Time during which no node ran does not count
    /// before the first try.
    fn is_overdue(&self, overdue: &Overdue) -> bool {
        let own = self.settings.provisioning_deadline;
        let limit = overdue.limit.map_or(own, |limit| limit.min(own));
        self.ctx.now().since(overdue.since) > limit
    }

    async fn review_overdue(&self, job: &Job, word: Word, said: String) -> Result<Next> {
        let message = format!("not provisioned within the deadline: {said}");
        let reason = Failure { code: "CARRIER_OVERDUE".to_owned(), message };
        self.write_step(job, Turn::Review(reason), word, said, None).await
    }

    /// The carrier did nothing and never will: the next carrier of the package's route is asked, if there
    /// is one, else the order ends and what was owed for it is given back.
    async fn refused(&self, job: &Job, failure: Failure) -> Result<Next> {
        let said = format!("{}: {}", failure.code, failure.message);
        let word = Word::Is(AttemptState::Refused, None);
        self.write_step(job, Turn::Refused(failure), word, said, None).await
    }

    /// Nobody can tell what became of the order: it waits for a person.
    pub(crate) async fn to_review(&self, job: &Job, reason: Failure) -> Result<Next> {
        let said = reason.message.clone();
        self.write_step(job, Turn::Review(reason), Word::Same, said, None).await
    }

    /// The orders of freshly claimed jobs that may be asked for at once; the other jobs look for themselves.
    pub(crate) async fn begin_orders(
        &self,
        tx: &mut Tx,
        jobs: &[Job],
    ) -> Result<HashMap<String, Begun>> {
        let of_orders = |job: &&Job| job.kind == JobKind::Provision;
        let jobs: Vec<&Job> = jobs.iter().filter(of_orders).collect();
        let Some(leased_until) = jobs.first().map(|job| job.leased_until) else {
            return Ok(HashMap::new());
        };
        let orders = tx.orders_of_jobs(&jobs).await?.into_iter();
        // One whose SIM is being moved looks again, and waits.
        let free = orders.filter(|(_, is_moved)| !is_moved);
        let begun = free.filter_map(|(order, _)| self.begun_at_once(&order, leased_until));
        Ok(begun.map(|begun| (begun.order.id.to_string(), begun)).collect())
    }

    /// A paid order that may be asked for at once: its carrier is in this process, so that nothing has to be
    /// written down before. To ask again under the same key changes nothing there.
    pub(crate) fn begun_at_once(&self, order: &Order, leased_until: Timestamp) -> Option<Begun> {
        let carrier = self.carrier(order.mode, &order.carrier)?;
        let paid = matches!(order.state, OrderState::Paid { .. });
        let order = || order.clone();
        let begun = || Begun {
            order: order(),
            attempt: None,
            sent_before: false,
            leased_until,
            looks_first: false,
        };
        (paid && carrier.capabilities().in_process).then(begun)
    }
}

/// Since when an order is under way, and how long that may take by its carrier; the mall's own limit counts too.
struct Overdue {
    since: Timestamp,
    limit: Option<Span>,
}

/// What is ordered of the carrier.
pub(crate) fn line_of(order: &Order) -> Line {
    Line {
        iccid: order.iccid.clone(),
        product: order.carrier_product.clone(),
        periods: order.length.periods,
    }
}

/// The order of a job.
pub(crate) async fn order_of(tx: &mut Tx, job: &Job) -> Result<Order> {
    let missing = || Error::Internal(format!("{} names no order: {}", job.id, job.subject));
    let id = job.subject.parse().map_err(|_| missing())?;
    tx.order(job.mode, job.partner_id, id).await?.ok_or_else(missing)
}

fn progress(submitted: Submitted) -> Outcome {
    match submitted.state {
        UpstreamState::Done => Outcome::Done(submitted),
        UpstreamState::Pending => Outcome::Accepted(submitted),
        UpstreamState::Failed { code, message } => Outcome::Refused(Failure { code, message }),
    }
}

fn refusal(error: SubmitError) -> Outcome {
    match error {
        SubmitError::Permanent { code, message } => Outcome::Refused(Failure { code, message }),
        SubmitError::RetryLater { after, message } => Outcome::PutOff(after, message),
        SubmitError::Ambiguous { message } => Outcome::Unclear(message),
    }
}

/// What is made of a refusal where the same order may have been taken before: it says that nothing is done now,
/// and nothing of then.
fn refusal_of_repeat(error: SubmitError) -> Outcome {
    match error {
        SubmitError::Permanent { code, message } => {
            Outcome::Unclear(format!("refused when it was asked for again: {code} {message}"))
        }
        SubmitError::RetryLater { after, message } => Outcome::Resend(Some(after), message),
        SubmitError::Ambiguous { message } => Outcome::Unclear(message),
    }
}
