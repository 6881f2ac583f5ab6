//! What carriers say of SIMs. An answer is remembered in the database, so that a carrier is asked once per SIM
//! and period however many ask however many nodes; where it cannot be asked, its last word is told as such.
//!
//! Whoever asks takes a turn first, by compare-and-set. No transaction is open while a carrier is asked.

use std::sync::Arc;
use std::time::Duration;

use carriers::{Allowance, Carrier, CarrierPlan, PlanState, QueryError, SimState, UsageRange};
use domain::{Iccid, Span, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{CarrierSim, Question, SimKey, Tx};
use tokio::time::{sleep, timeout};
use tracing::Instrument;
use wire::topup::SIM_PLANS_MAX;

use crate::error::{Error, Result};
use crate::provision::NO_ANSWER;
use crate::{Mall, Settings};

/// How often a question may go to the network for one answer: a client may need several calls for it.
const CALLS_MAX: i64 = 3;
/// How much longer than the calls a turn lasts.
const TURN_GRACE: Span = Span::seconds(5);
/// How soon a question that failed is asked again, unless answers are allowed to be older anyway.
const FAILED_PAUSE: Span = Span::seconds(60);
/// How long a caller waits for the answer to another one's question,
const WAIT_MAX: Duration = Duration::from_secs(20);
/// and how often it looks whether another node has it.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Over how many days usage is asked.
const USAGE_DAYS: i64 = 29;
/// The most parts of usage that are kept, and the most characters of a carrier's ids.
const PERIODS_MAX: usize = 62;
const ID_CHARS_MAX: usize = 128;
/// How far an answer may seem to be from the future: nodes' clocks differ.
const CLOCK_SLACK: Span = Span::seconds(5);

/// An answer of a carrier that is remembered.
pub(crate) trait Answer:
    Serialize + DeserializeOwned + Clone + Send + Sync + 'static
{
    /// To what it is one.
    const QUESTION: Question;

    /// How old it may be, by the operator's setting and by what the carrier allows.
    fn age_max(settings: &Settings, carrier: &dyn Carrier) -> Span;

    /// Asks for it.
    fn ask(
        carrier: &dyn Carrier,
        iccid: &Iccid,
        now: Timestamp,
    ) -> impl Future<Output = std::result::Result<Self, QueryError>> + Send;

    /// Takes over what follows from it, in the transaction that writes it; whether anything changed.
    fn take_over(
        &self,
        mall: &Mall,
        tx: &mut Tx,
        about: (&SimKey, &str, &dyn Carrier),
    ) -> impl Future<Output = Result<bool>> + Send;
}

/// A carrier's word for a SIM's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SimWord {
    PreActive,
    Active,
    Paused,
    Expired,
    Terminated,
    Other,
}

impl SimWord {
    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PreActive => "pre_active",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Expired => "expired",
            Self::Terminated => "terminated",
            Self::Other => "other",
        }
    }
}

/// A carrier's word for a plan's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlanStateWord {
    Queued,
    Active,
    Paused,
    Ended,
    Revoked,
    Other,
}

/// A plan as the carrier has it. Bytes; -1 is unlimited. Times are microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanSaid {
    pub(crate) id: String,
    pub(crate) order: Option<String>,
    pub(crate) state: PlanStateWord,
    pub(crate) data: Option<i64>,
    pub(crate) used: Option<i64>,
    pub(crate) start_at: Option<i64>,
    pub(crate) end_at: Option<i64>,
}

/// How a SIM and its plans stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateSaid {
    pub(crate) state: SimWord,
    /// The carrier's own word, where it is none of ours.
    pub(crate) other: Option<String>,
    pub(crate) plans: Vec<PlanSaid>,
}

/// How much data a SIM used. Bytes; -1 is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageSaid {
    pub(crate) used: i64,
    pub(crate) total: Option<i64>,
    /// When the carrier counted, in microseconds.
    pub(crate) as_of: Option<i64>,
    pub(crate) periods: Vec<(String, i64)>,
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn volume(data: Allowance) -> Option<i64> {
    match data {
        Allowance::Bytes(count) => Some(bytes(count)),
        Allowance::Unlimited => Some(-1),
        Allowance::Unknown => None,
    }
}

fn short(text: &str) -> String {
    text.chars().take(ID_CHARS_MAX).collect()
}

impl From<&CarrierPlan> for PlanSaid {
    fn from(plan: &CarrierPlan) -> Self {
        Self {
            id: short(&plan.id),
            order: plan.order.as_deref().map(short),
            state: match plan.state {
                PlanState::Queued => PlanStateWord::Queued,
                PlanState::Active => PlanStateWord::Active,
                PlanState::Paused => PlanStateWord::Paused,
                PlanState::Ended => PlanStateWord::Ended,
                PlanState::Revoked => PlanStateWord::Revoked,
                PlanState::Other(_) => PlanStateWord::Other,
            },
            data: volume(plan.data),
            used: plan.used.map(bytes),
            start_at: plan.start_at.map(Timestamp::as_micros),
            end_at: plan.end_at.map(Timestamp::as_micros),
        }
    }
}

impl Answer for StateSaid {
    const QUESTION: Question = Question::State;

    fn age_max(settings: &Settings, carrier: &dyn Carrier) -> Span {
        settings.sim_age_max.max(carrier.capabilities().fresh_for)
    }

    async fn ask(
        carrier: &dyn Carrier,
        iccid: &Iccid,
        _now: Timestamp,
    ) -> std::result::Result<Self, QueryError> {
        let (mut other, said) = (None, carrier.get_sim(iccid).await?.state);
        let state = match said {
            SimState::PreActive => SimWord::PreActive,
            SimState::Active => SimWord::Active,
            SimState::Paused => SimWord::Paused,
            SimState::Expired => SimWord::Expired,
            SimState::Terminated => SimWord::Terminated,
            SimState::Other(word) => {
                other = Some(short(&word));
                SimWord::Other
            }
        };
        let plans = carrier.list_plans(iccid).await?;
        // Those that came last matter most.
        let skipped = plans.len().saturating_sub(SIM_PLANS_MAX);
        Ok(Self { state, other, plans: plans.iter().skip(skipped).map(PlanSaid::from).collect() })
    }

    async fn take_over(
        &self,
        mall: &Mall,
        tx: &mut Tx,
        (key, code, carrier): (&SimKey, &str, &dyn Carrier),
    ) -> Result<bool> {
        mall.take_over_sim(tx, (key, code), carrier, self).await
    }
}

impl Answer for UsageSaid {
    const QUESTION: Question = Question::Usage;

    fn age_max(settings: &Settings, carrier: &dyn Carrier) -> Span {
        settings.usage_age_max.max(carrier.capabilities().fresh_for)
    }

    async fn ask(
        carrier: &dyn Carrier,
        iccid: &Iccid,
        now: Timestamp,
    ) -> std::result::Result<Self, QueryError> {
        let range = UsageRange { from: now - Span::days(USAGE_DAYS), to: now };
        let usage = carrier.get_usage(iccid, range).await?;
        let skipped = usage.periods.len().saturating_sub(PERIODS_MAX);
        let parts = usage.periods.iter().skip(skipped);
        Ok(Self {
            used: bytes(usage.used),
            total: volume(usage.total),
            as_of: usage.as_of.map(Timestamp::as_micros),
            periods: parts.map(|(period, used)| (short(period), bytes(*used))).collect(),
        })
    }

    /// How much was used changes nothing of ours.
    async fn take_over(
        &self,
        _mall: &Mall,
        _tx: &mut Tx,
        _about: (&SimKey, &str, &dyn Carrier),
    ) -> Result<bool> {
        Ok(false)
    }
}

/// What a carrier said, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard<T> {
    pub(crate) answer: T,
    pub(crate) at: Timestamp,
    /// Whether it was asked for somebody else.
    pub(crate) cached: bool,
    /// Whether it is older than it may be.
    pub(crate) stale: bool,
}

/// What can be told of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told<T> {
    /// The carrier's word.
    Heard(Heard<T>),
    /// Nothing; it may be worth to ask again after so long.
    Nothing(Span),
}

/// The last answer, if it can be read.
fn last<T: Answer>(known: &CarrierSim) -> Option<(T, Timestamp)> {
    let (text, at) = known.answer.as_ref()?;
    let read = serde_json::from_str(text).inspect_err(|error| {
        // Another version wrote it; it is asked for again.
        tracing::warn!(%error, "a carrier's answer cannot be read back");
    });
    Some((read.ok()?, *at))
}

fn last_told<T: Answer>(known: &CarrierSim, pause: Span) -> Told<T> {
    last(known).map_or(Told::Nothing(pause), |(answer, at)| {
        Told::Heard(Heard { answer, at, cached: true, stale: true })
    })
}

/// Whether something of a time is not older than it may be.
pub(crate) fn is_fresh(at: Timestamp, now: Timestamp, age_max: Span) -> bool {
    let age = now.since(at);
    age < age_max && age.as_micros() >= -CLOCK_SLACK.as_micros()
}

impl Mall {
    /// A carrier's word on a SIM: the remembered one while it is fresh, else it is asked for, by one of those
    /// who want it.
    pub(crate) async fn heard<T: Answer>(
        self: &Arc<Self>,
        key: &SimKey,
        carrier: &str,
    ) -> Result<Told<T>> {
        match timeout(WAIT_MAX, self.ask_or_wait(key, carrier)).await {
            Ok(told) => told,
            Err(_) => Ok(last_told(&self.known_answer(key, T::QUESTION).await?, FAILED_PAUSE)),
        }
    }

    async fn known_answer(&self, key: &SimKey, question: Question) -> Result<CarrierSim> {
        Ok(self.store.read().await?.carrier_sim(key, question).await?)
    }

    async fn ask_or_wait<T: Answer>(
        self: &Arc<Self>,
        key: &SimKey,
        carrier: &str,
    ) -> Result<Told<T>> {
        loop {
            let answered = self.answer_bell.notified();
            tokio::pin!(answered);
            // From here on no ring is missed.
            answered.as_mut().enable();
            let known = self.known_answer(key, T::QUESTION).await?;
            let now = self.ctx.now();
            let Some(served) = self.carrier(key.0, carrier).map(Arc::clone) else {
                return Ok(last_told(&known, FAILED_PAUSE));
            };
            if let Some((answer, at)) = last::<T>(&known)
                && is_fresh(at, now, T::age_max(&self.settings, &*served))
            {
                return Ok(Told::Heard(Heard { answer, at, cached: true, stale: false }));
            }
            match known.ask_after.filter(|after| *after > now) {
                Some(_) if known.asking => {
                    tokio::select! {
                        () = answered => {}
                        () = sleep(LOOK_AGAIN) => {}
                    }
                    continue;
                }
                Some(after) => return Ok(last_told(&known, after.since(now))),
                None => {}
            }
            let until = now + self.turn_max(&*served);
            let Some(turn) = self.take_turn(key, T::QUESTION, (&known, until)).await? else {
                continue;
            };
            // A task of its own: who wants to know may go away, and others wait for it.
            let (mall, asked, code) = (Arc::clone(self), key.clone(), carrier.to_owned());
            let ask = async move { mall.ask_in_turn::<T>(&asked, (&code, served), turn).await };
            let answer = tokio::spawn(ask.in_current_span()).await;
            let answer = answer.map_err(|error| Error::Internal(error.to_string()))??;
            return Ok(answer.map_or_else(
                || last_told(&known, FAILED_PAUSE),
                |(answer, at)| Told::Heard(Heard { answer, at, cached: false, stale: false }),
            ));
        }
    }

    async fn take_turn(
        &self,
        key: &SimKey,
        question: Question,
        (known, until): (&CarrierSim, Timestamp),
    ) -> Result<Option<i64>> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let turn = tx.take_turn(key, question, (known, until)).await?;
            tx.commit().await?;
            Ok(turn)
        })
        .await
    }

    /// How long a question may take in all.
    pub(crate) fn question_max(&self, carrier: &dyn Carrier) -> Span {
        Span::micros(self.call_max(carrier).as_micros().saturating_mul(CALLS_MAX))
    }

    /// How long a turn lasts.
    pub(crate) fn turn_max(&self, carrier: &dyn Carrier) -> Span {
        self.question_max(carrier) + TURN_GRACE
    }

    /// Asks a carrier, in bounded time.
    pub(crate) async fn question<T: Answer>(
        &self,
        carrier: &dyn Carrier,
        (code, iccid): (&str, &Iccid),
    ) -> std::result::Result<T, QueryError> {
        let asked = T::ask(carrier, iccid, self.ctx.now());
        let answer = timeout(self.question_max(carrier).to_std(), asked).await;
        let late = || Err(QueryError { message: NO_ANSWER.to_owned() });
        let answer = answer.unwrap_or_else(|_| late());
        self.metrics.sim_question(code, T::QUESTION, answer.is_ok());
        answer
    }

    /// Asks in a turn that was taken, and writes down what came of it. `None` if the carrier did not say.
    async fn ask_in_turn<T: Answer>(
        &self,
        key: &SimKey,
        (code, carrier): (&str, Arc<dyn Carrier>),
        turn: i64,
    ) -> Result<Option<(T, Timestamp)>> {
        let answer = self.question::<T>(&*carrier, (code, &key.2)).await;
        let now = self.ctx.now();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(
                    carrier = code,
                    error = error.message,
                    "a SIM cannot be asked about"
                );
                self.no_answer(
                    key,
                    (T::QUESTION, turn),
                    now + failed_pause::<T>(&self.settings, &*carrier),
                )
                .await?;
                return Ok(None);
            }
        };
        let text = written(&answer)?;
        let changed = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let written = tx.write_answer(key, (T::QUESTION, turn), (&text, now)).await?;
                let about = (key, code, &*carrier);
                let changed = written && answer.take_over(self, &mut tx, about).await?;
                tx.commit().await?;
                Ok(changed)
            })
            .await?;
        self.wake_for_answer(changed);
        Ok(Some((answer, now)))
    }

    /// Wakes those who wait for an answer, and the workers if it changed something.
    pub(crate) fn wake_for_answer(&self, changed: bool) {
        self.answer_bell.notify_waiters();
        if changed {
            self.bell.notify_one();
        }
    }

    /// Writes down that a question failed.
    pub(crate) async fn no_answer(
        &self,
        key: &SimKey,
        turn: (Question, i64),
        ask_after: Timestamp,
    ) -> Result<()> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            tx.write_no_answer(key, turn, ask_after).await?;
            Ok(tx.commit().await?)
        })
        .await?;
        self.answer_bell.notify_waiters();
        Ok(())
    }
}

/// For how long a question that failed is not asked again.
pub(crate) fn failed_pause<T: Answer>(settings: &Settings, carrier: &dyn Carrier) -> Span {
    FAILED_PAUSE.min(T::age_max(settings, carrier))
}

/// An answer as it is stored.
pub(crate) fn written<T: Answer>(answer: &T) -> Result<String> {
    serde_json::to_string(answer).map_err(|error| Error::Internal(error.to_string()))
}
