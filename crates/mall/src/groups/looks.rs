//! The second half of a step: the carrier is asked, and then looked at. What it answers to a request is a reason to look;
//! only what a look shows is the truth, and a refusal of what was never asked before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use carriers::{Accepted, Carrier, ControlError, Membership};
use domain::group::{ItemCode, ItemState, Member, MemberStep, OperationKind};
use domain::{Iccid, Span};
use store::StoreError;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument;

use super::chunk::{BUSY_PAUSE, Prepared};
use crate::Mall;
use crate::error::Result;
use crate::provision::NO_ANSWER;

/// What became of a SIM that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is as it was wanted.
    Done,
    /// It is not, and nothing of it will come.
    Not(ItemCode, String),
    /// Nothing was done, and its place is free: later again.
    PutOff(ItemCode, Span),
    /// It is at the carrier, or may be: to be looked at again.
    Open(MemberStep, ItemCode, String, Span),
    /// Nobody can tell.
    Review(String),
}

/// What a carrier answered to a request; `None`: it was not asked in this step.
type Answer = Option<std::result::Result<Accepted, ControlError>>;

fn words(answer: &Answer) -> String {
    match answer {
        None => String::new(),
        Some(Ok(accepted)) => accepted.said.clone(),
        Some(Err(ControlError::Unsupported)) => "there are no groups".to_owned(),
        Some(Err(ControlError::Refused { code, message })) => format!("{code}: {message}"),
        Some(Err(ControlError::RetryLater { message, .. } | ControlError::Unclear { message })) => {
            message.clone()
        }
    }
}

/// What is made of an answer and of a look.
struct Weighing<'a> {
    kind: OperationKind,
    /// How long to wait before the next look.
    pause: Span,
    /// How long a call may be under way.
    call: Span,
    /// Whether it was asked for in an earlier step, with an outcome that nobody wrote down.
    before: bool,
    overdue: bool,
    answer: &'a Answer,
    step: MemberStep,
}

impl Weighing<'_> {
    /// Where a look is not needed: nothing was ever sent but what was refused.
    fn without_look(&self) -> Option<Heard> {
        if self.before {
            return None;
        }
        match self.answer {
            Some(Err(ControlError::Unsupported)) => {
                Some(Heard::Not(ItemCode::SimNotForGroup, String::new()))
            }
            Some(Err(ControlError::Refused { code, .. })) => {
                Some(Heard::Not(ItemCode::CarrierRefused, code.clone()))
            }
            Some(Err(ControlError::RetryLater { after, .. })) => {
                Some(Heard::PutOff(ItemCode::CarrierBusy, *after))
            }
            _ => None,
        }
    }

    fn weigh(&self, looked: std::result::Result<&Membership, &str>) -> Heard {
        let said = words(self.answer);
        let is_wanted = match (self.kind, looked) {
            (_, Ok(Membership::Pending)) => {
                let (step, code) = (MemberStep::Accepted, ItemCode::CarrierWorking);
                return if self.overdue {
                    Heard::Review("it is still under way".to_owned())
                } else {
                    Heard::Open(step, code, said, self.pause)
                };
            }
            (_, Ok(Membership::CannotTell { message })) => return self.blind(&said, message),
            (_, Err(message)) => return self.blind(&said, message),
            (OperationKind::AddSims, Ok(seen)) => *seen == Membership::In,
            (OperationKind::RemoveSims, Ok(seen)) => *seen == Membership::Out,
        };
        if is_wanted { Heard::Done } else { self.undone(said) }
    }

    /// Nothing can be seen.
    fn blind(&self, said: &str, why: &str) -> Heard {
        let step = match self.answer {
            Some(Ok(_)) => MemberStep::Accepted,
            None => self.step,
            _ => MemberStep::Unclear,
        };
        let said = if said.is_empty() { why.to_owned() } else { format!("{said}; {why}") };
        // What may still be on its way must have come by the next look.
        let pause = match step {
            MemberStep::Unclear => self.pause.max(self.call),
            _ => self.pause,
        };
        if self.overdue {
            Heard::Review(said)
        } else {
            Heard::Open(step, ItemCode::CarrierUnclear, said, pause)
        }
    }

    /// It is plain that it is not as it was wanted, and that nothing is under way.
    fn undone(&self, said: String) -> Heard {
        match self.answer {
            Some(Ok(_)) => Heard::Not(ItemCode::CarrierDidNot, String::new()),
            Some(Err(ControlError::Unsupported)) => {
                Heard::Not(ItemCode::SimNotForGroup, String::new())
            }
            Some(Err(ControlError::Refused { code, .. })) => {
                Heard::Not(ItemCode::CarrierRefused, code.clone())
            }
            // All that was sent before is over.
            Some(Err(ControlError::RetryLater { after, .. })) => {
                Heard::PutOff(ItemCode::CarrierBusy, *after)
            }
            None if self.step == MemberStep::Accepted => {
                Heard::Not(ItemCode::CarrierDidNot, String::new())
            }
            None if self.overdue => Heard::Not(ItemCode::CarrierUnavailable, String::new()),
            // What was sent just now may still be on its way; after that it is asked for again, if there is time for it.
            _ => Heard::Open(MemberStep::Unclear, ItemCode::CarrierUnavailable, said, self.call),
        }
    }
}

impl Mall {
    /// Asks for SIMs and looks what became of them. No transaction is open.
    pub(super) async fn ask_and_look(
        &self,
        prepared: &Prepared,
        carrier: &Arc<dyn Carrier>,
    ) -> Result<HashMap<Iccid, Heard>> {
        let group = &prepared.group;
        // A SIM of an order that was written down meanwhile gives way to it.
        let whose = (group.mode, group.partner_id);
        let iccids: Vec<&Iccid> = prepared.ask.iter().map(|member| &member.iccid).collect();
        let busy = self.store.read().await?.busy_sims(whose, &iccids).await?;
        let busy: HashSet<Iccid> = busy.into_iter().map(|one| one.iccid).collect();
        let mut heard: HashMap<Iccid, Heard> = HashMap::new();
        for iccid in &busy {
            heard.insert(iccid.clone(), Heard::PutOff(ItemCode::SimBusy, self.busy_pause()));
        }
        let before = self.look_at_group(prepared, carrier, &prepared.look).await;
        let mut ask: Vec<&Member> =
            prepared.ask.iter().filter(|member| !busy.contains(&member.iccid)).collect();
        for member in &prepared.look {
            let seen = before.as_ref().map_err(String::as_str);
            let seen = seen.and_then(|seen| seen.get(&member.iccid).ok_or(NO_ANSWER));
            let weighed = self.weighing(prepared, (member, &None), &**carrier).weigh(seen);
            match weighed {
                // It is not there and nothing is under way: it is asked for once more.
                Heard::Open(_, ItemCode::CarrierUnavailable, _, _) => ask.push(member),
                weighed => {
                    heard.insert(member.iccid.clone(), weighed);
                }
            }
        }
        let answers = self.ask_for_all(prepared, carrier, &ask).await?;
        let mut unseen = Vec::new();
        for member in ask {
            let answer = answers.get(&member.iccid).cloned();
            let weighing = self.weighing(prepared, (member, &answer), &**carrier);
            match weighing.without_look() {
                Some(plain) => {
                    heard.insert(member.iccid.clone(), plain);
                }
                None => unseen.push(member.clone()),
            }
        }
        let after = self.look_at_group(prepared, carrier, &unseen).await;
        for member in &unseen {
            let answer = answers.get(&member.iccid).cloned();
            let seen = after.as_ref().map_err(String::as_str);
            let seen = seen.and_then(|seen| seen.get(&member.iccid).ok_or(NO_ANSWER));
            let weighing = self.weighing(prepared, (member, &answer), &**carrier);
            heard.insert(member.iccid.clone(), weighing.weigh(seen));
        }
        Ok(heard)
    }

    /// Two that give way to each other must not do so again and again.
    fn busy_pause(&self) -> Span {
        let [jitter] = self.ctx.random::<1>();
        BUSY_PAUSE + Span::millis(i64::from(jitter) * 10)
    }

    fn weighing<'a>(
        &self,
        prepared: &Prepared,
        (member, answer): (&Member, &'a Answer),
        carrier: &dyn Carrier,
    ) -> Weighing<'a> {
        let now = self.ctx.now();
        let age = member.asked_at.map_or(Span::micros(0), |at| now.since(at));
        let deadline = carrier.capabilities().deadline.min(self.settings.provisioning_deadline);
        Weighing {
            kind: prepared.operation.kind,
            pause: carrier.poll_pause(age),
            call: if carrier.capabilities().in_process {
                Span::micros(0)
            } else {
                self.call_max(carrier)
            },
            before: prepared.look.iter().any(|one| one.iccid == member.iccid),
            overdue: age > deadline,
            answer,
            step: member.step,
        }
    }

    async fn look_at_group(
        &self,
        prepared: &Prepared,
        carrier: &Arc<dyn Carrier>,
        members: &[Member],
    ) -> std::result::Result<HashMap<Iccid, Membership>, String> {
        if members.is_empty() {
            return Ok(HashMap::new());
        }
        let iccids: Vec<Iccid> = members.iter().map(|member| member.iccid.clone()).collect();
        let group = &prepared.group.bundle.carrier_group;
        let looked = carrier.group_members(group, &iccids);
        match timeout(self.call_max(&**carrier).to_std(), looked).await {
            Ok(Ok(seen)) => Ok(iccids.into_iter().zip(seen).collect()),
            Ok(Err(error)) => Err(error.message),
            Err(_) => Err(NO_ANSWER.to_owned()),
        }
    }

    /// A call for each SIM: one after another where nothing is lost on the way, else at once.
    async fn ask_for_all(
        &self,
        prepared: &Prepared,
        carrier: &Arc<dyn Carrier>,
        members: &[&Member],
    ) -> Result<HashMap<Iccid, std::result::Result<Accepted, ControlError>>> {
        // This process may have slept: whoever took the job over must find nothing sent after.
        if self.ctx.now() >= prepared.leased_until {
            return Err(StoreError::LeaseLost.into());
        }
        let (kind, call_max) = (prepared.operation.kind, self.call_max(&**carrier).to_std());
        let mut answers = HashMap::with_capacity(members.len());
        let in_process = carrier.capabilities().in_process;
        let mut calls = JoinSet::new();
        for member in members {
            let (carrier, iccid) = (Arc::clone(carrier), member.iccid.clone());
            let group = prepared.group.bundle.carrier_group.clone();
            let call = async move {
                let asked = async {
                    match kind {
                        OperationKind::AddSims => carrier.join_group(&group, &iccid).await,
                        OperationKind::RemoveSims => carrier.leave_group(&group, &iccid).await,
                    }
                };
                // A call that is cut off may have done its work.
                let cut_off = ControlError::Unclear { message: NO_ANSWER.to_owned() };
                let answer = timeout(call_max, asked).await.unwrap_or(Err(cut_off));
                (iccid, answer)
            };
            if in_process {
                let (iccid, answer) = call.await;
                answers.insert(iccid, answer);
            } else {
                calls.spawn(call.in_current_span());
            }
        }
        while let Some(ended) = calls.join_next().await {
            // One that panicked is missing, and looked at like one without an answer.
            if let Ok((iccid, answer)) = ended {
                answers.insert(iccid, answer);
            }
        }
        for member in members {
            let lost = || Err(ControlError::Unclear { message: NO_ANSWER.to_owned() });
            answers.entry(member.iccid.clone()).or_insert_with(lost);
        }
        Ok(answers)
    }
}

/// What a SIM's line says after something was heard.
pub(super) fn state_of(heard: &Heard) -> ItemState {
    match heard {
        Heard::Done => ItemState::Succeeded,
        Heard::Not(..) => ItemState::Failed,
        Heard::PutOff(..) | Heard::Open(..) => ItemState::Waiting,
        Heard::Review(_) => ItemState::Review,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Span = Span::seconds(1);
    const CALL: Span = Span::seconds(30);

    fn weighing(overdue: bool, answer: &Answer) -> Weighing<'_> {
        Weighing {
            kind: OperationKind::AddSims,
            pause: PAUSE,
            call: CALL,
            before: true,
            overdue,
            answer,
            step: MemberStep::Unclear,
        }
    }

    fn lost() -> ControlError {
        ControlError::Unclear { message: "no answer".to_owned() }
    }

    #[test]
    fn what_was_sent_just_now_may_still_arrive_however_late_it_is() {
        for overdue in [false, true] {
            let heard = weighing(overdue, &Some(Err(lost()))).weigh(Ok(&Membership::Out));
            let Heard::Open(MemberStep::Unclear, ItemCode::CarrierUnavailable, _, pause) = heard
            else {
                panic!("{heard:?}")
            };
            assert_eq!(pause, CALL);
        }
        let heard = weighing(true, &None).weigh(Ok(&Membership::Out));
        assert_eq!(heard, Heard::Not(ItemCode::CarrierUnavailable, String::new()));
    }

    #[test]
    fn nobody_looks_again_before_what_was_sent_is_over() {
        let heard = weighing(false, &Some(Err(lost()))).weigh(Err("no answer"));
        let Heard::Open(MemberStep::Unclear, _, _, pause) = heard else { panic!("{heard:?}") };
        assert_eq!(pause, CALL);
        let accepted = Some(Ok(Accepted { request_id: None, said: String::new() }));
        let heard = weighing(false, &accepted).weigh(Err("no answer"));
        let Heard::Open(MemberStep::Accepted, _, _, pause) = heard else { panic!("{heard:?}") };
        assert_eq!(pause, PAUSE);
    }
}
