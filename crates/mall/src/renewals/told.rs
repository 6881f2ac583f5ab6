//! What a partner is told of an agreement: the order that it is about, and how the agreement stands.
//!
//! Events of one agreement arrive in their order: their subject is the order with which it began.

use domain::renewal::{Renewal, RenewalEvent, RenewalEventKind};
use domain::{Mode, Timestamp, id::PartnerId};
use serde_json::{Value, json};
use store::Tx;
use wire::push::EventType;

use crate::Mall;
use crate::error::{Error, Result};
use crate::push_events::{Told, Whom};

impl Mall {
    /// Tells the partner what became true of an agreement.
    pub(super) async fn tell_of_renewal(
        &self,
        tx: &mut Tx,
        (mode, partner): (Mode, PartnerId),
        (renewal, event): (&Renewal, &RenewalEvent),
    ) -> Result<()> {
        let event_type = match event.kind {
            RenewalEventKind::Agreed => return Ok(()),
            RenewalEventKind::Succeeded => EventType::RenewalSucceeded,
            RenewalEventKind::Failed => EventType::RenewalFailed,
            RenewalEventKind::Cancelled | RenewalEventKind::Replaced => EventType::RenewalCancelled,
        };
        let Some(known) = self.listening(tx, (mode, partner), event_type).await? else {
            return Ok(());
        };
        let missing = || Error::Internal(format!("{} has no order", renewal.id));
        let first = tx.order(mode, partner, renewal.order_id).await?.ok_or_else(missing)?;
        let (first_id, first_no) = (first.id.to_string(), first.order_no.clone());
        let order = match event.subject.parse() {
            Ok(id) if event.kind == RenewalEventKind::Succeeded => {
                tx.order(mode, partner, id).await?.ok_or_else(missing)?
            }
            _ => first,
        };
        let mut agreement = json!({
            "order_id": first_id,
            "order_no": first_no,
            "agreed_at": renewal.agreed_at.as_millis(),
        });
        if let Value::Object(fields) = &mut agreement {
            for (name, value) in self.what_became(tx, (mode, partner), (renewal, event)).await? {
                fields.insert(name.to_owned(), value);
            }
        }
        let data = self.order_data(tx, &known, &order, &[("renewal", agreement)]).await?;
        let told = Told { event_type, subject: first_id, at: event.at, data, whom: Whom::All };
        self.tell_all(tx, vec![(known, told)]).await?;
        Ok(())
    }

    /// What there is to say of an event beside the agreement itself.
    async fn what_became(
        &self,
        tx: &mut Tx,
        (mode, partner): (Mode, PartnerId),
        (renewal, event): (&Renewal, &RenewalEvent),
    ) -> Result<Vec<(&'static str, Value)>> {
        Ok(match event.kind {
            RenewalEventKind::Failed => {
                // A charge that was declined is tried again; what the partner is to pay for is not.
                let charge = tx.cashier_subscription(mode, partner, renewal.order_id).await?;
                let next = charge.as_ref().and_then(|charge| charge.next_try_at);
                let code = charge.map(|charge| charge.decline_code).filter(|code| !code.is_empty());
                vec![
                    ("reason", json!(event.detail)),
                    ("decline_code", json!(code)),
                    ("next_attempt_at", json!(next.map(Timestamp::as_millis))),
                ]
            }
            RenewalEventKind::Cancelled | RenewalEventKind::Replaced => {
                // Which operator it was is no business of the partner's.
                let actor = event.actor.split(' ').next().unwrap_or_default();
                vec![("ended_by", json!(actor)), ("reason", json!(event.detail))]
            }
            RenewalEventKind::Agreed | RenewalEventKind::Succeeded => Vec::new(),
        })
    }
}
