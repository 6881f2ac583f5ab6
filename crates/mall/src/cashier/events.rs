//! Stripe's events. One says that something is to be looked at, and nothing else is taken from it: duplicates,
//! disorder and days of delay do no harm. It is stored, with the job that looks, before it is answered.

use cashiers::stripe::webhook::{self, WebhookError};
use cashiers::stripe::{PaymentIntent, PaymentIntentStatus, minor_units};
use domain::id::{OrderId, PartnerId};
use domain::ledger::{Account, Posting};
use domain::order::Order;
use domain::refund::{Refund, RefundState};
use domain::{Mode, Span};
use serde::Deserialize;
use store::{CashierEvent, CashierPayment, Job, JobKind, Tx};

use super::follow::trouble_pause;
use super::learn::at_seconds;
use crate::Mall;
use crate::error::{Error, Result};
use crate::orders::new_job;
use crate::worker::Next;

/// How far the time of a signature may be from ours.
const TOLERANCE: Span = Span::minutes(5);
/// For how long events are kept.
const KEPT: Span = Span::days(90);

/// Events that are no reason to ask: the mall itself made the payment, or another event, `payment_intent.succeeded`, says
/// the same at the same time. To ask for each of them made three looks of one, which took each other's lease.
const NO_NEWS: [&str; 2] = ["payment_intent.created", "charge.succeeded"];

/// Why an event is not taken.
#[derive(Debug, thiserror::Error)]
pub enum EventRefused {
    /// No money is taken in this mode.
    #[error("no money is taken in this mode")]
    NotHere,
    /// It is not signed by Stripe, or not an event.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// It could not be stored.
    #[error(transparent)]
    Own(#[from] Error),
}

/// What an event names: read only to find whose it is.
#[derive(Debug, Deserialize)]
struct Body {
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: Named,
}

#[derive(Debug, Clone, Deserialize)]
struct Named {
    id: Option<String>,
    #[serde(default)]
    object: String,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    subscription: Option<String>,
    #[serde(default)]
    invoice: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    partner: String,
    #[serde(default)]
    order: String,
}

impl Named {
    /// The payment it is about.
    fn intent(&self) -> Option<&str> {
        match self.object.as_str() {
            "payment_intent" => self.id.as_deref(),
            _ => self.payment_intent.as_deref(),
        }
    }
}

impl Named {
    /// The subscription it is about.
    fn renewal(&self) -> Option<&str> {
        match self.object.as_str() {
            "subscription" => self.id.as_deref(),
            _ => self.subscription.as_deref(),
        }
    }
}

/// An event on its way into the database.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    mode: Mode,
    event: CashierEvent,
    named: Option<Named>,
}

/// Whose an event is.
struct Whose {
    partner: PartnerId,
    order: OrderId,
    /// A payment for the order beside the one that it has.
    stray: Option<String>,
    /// It is about the subscription that the order began.
    renews: bool,
}

impl Mall {
    /// 6.6: an event as it came, with its signature.
    pub async fn cashier_event(
        &self,
        mode: Mode,
        signature: &str,
        body: &[u8],
    ) -> std::result::Result<(), EventRefused> {
        let secrets: Vec<&str> = self
            .cashiers
            .of_mode(mode)
            .flat_map(|cashier| cashier.webhook_secrets.iter().map(String::as_str))
            .collect();
        if secrets.is_empty() {
            return Err(EventRefused::NotHere);
        }
        let now = self.ctx.now();
        let event = webhook::verify(body, signature, &secrets, (now, TOLERANCE), mode)?;
        let named = serde_json::from_slice::<Body>(body).map(|body| body.data.object);
        // An object of a kind that is not known here names nobody.
        let named = named.ok();
        let stored = CashierEvent {
            id: event.id,
            kind: event.kind,
            object_id: named.as_ref().and_then(|named| named.id.clone()).unwrap_or_default(),
            order: None,
            created_at: at_seconds(event.created),
            received_at: now,
        };
        self.store_event(Told { mode, event: stored, named }).await?;
        self.bell.notify_one();
        Ok(())
    }

    /// Stores an event, together with those that come at the same time.
    async fn store_event(&self, told: Told) -> Result<()> {
        let together = |all: Vec<Told>| async move {
            let stored = self.store_events(&all).await;
            vec![stored.is_ok(); all.len()]
        };
        if self.events.run(told.clone(), together).await == Some(true) {
            return Ok(());
        }
        // One that cannot be stored must not hold up the others, and is told why.
        self.store_events(&[told]).await
    }

    async fn store_events(&self, all: &[Told]) -> Result<()> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            for told in all {
                self.heed_event(&mut tx, told).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn heed_event(&self, tx: &mut Tx, told: &Told) -> Result<()> {
        let (now, mode, event) = (self.ctx.now(), told.mode, &told.event);
        let whose = match &told.named {
            Some(named) => whose(tx, mode, named).await?,
            None => None,
        };
        let order = whose.as_ref().map(|whose| (whose.partner, whose.order));
        if !tx.add_cashier_event(mode, &CashierEvent { order, ..event.clone() }).await? {
            // It came before, and what it asked for was written down then.
            return Ok(());
        }
        let is_news = !NO_NEWS.contains(&event.kind.as_str());
        if let Some(Whose { partner, order, stray, renews }) = whose.filter(|_| is_news)
            && let Some(order) = tx.order(mode, partner, order).await?
        {
            let job = match stray {
                None if renews => (JobKind::FollowSubscription, order.id.to_string()),
                None => (JobKind::FollowPayment, order.id.to_string()),
                Some(intent) => (JobKind::StrayPayment, format!("{} {intent}", order.id)),
            };
            tx.insert_job(&new_job(&order, job, now), now).await?;
        }
        Ok(())
    }

    /// Forgets events that are long over.
    pub(crate) async fn forget_old_events(&self) -> Result<()> {
        let mut tx = self.store.begin().await?;
        tx.forget_cashier_events(self.ctx.now() - KEPT).await?;
        Ok(tx.commit().await?)
    }

    /// The job `stray_payment`: money that came for an order beside its own payment goes back.
    pub(crate) async fn stray_payment(&self, job: &Job) -> Result<Next> {
        let broken = || Error::Internal(format!("{} names no payment: {}", job.id, job.subject));
        let (order, intent) = job.subject.split_once(' ').ok_or_else(broken)?;
        let order: OrderId = order.parse().map_err(|_| broken())?;
        let mut tx = self.store.read().await?;
        let order = tx.order(job.mode, job.partner_id, order).await?.ok_or_else(broken)?;
        drop(tx);
        let payable = self.payable(&order).await?.ok_or_else(broken)?;
        let cashier = self.cashier(&payable.partner)?;
        let intent = match cashier.stripe.payment_intent(intent).await {
            Ok(intent) => intent,
            Err(error) => {
                let at = self.ctx.now() + trouble_pause(&error);
                return Ok(Next::At(at, error.to_string()));
            }
        };
        let own = intent.metadata.get("order") == Some(&order.id.to_string());
        // What pays an invoice is a renewal's, and comes to its order by the subscription.
        let own = own && intent.invoice.is_none();
        if own && intent.status == PaymentIntentStatus::Succeeded {
            let received = minor_units::from_stripe(intent.amount_received, &intent.currency)
                .map_err(|error| Error::Internal(format!("{}: {error}", intent.id)))?;
            self.give_stray_back(&order, &intent, received).await?;
        }
        Ok(Next::Done)
    }

    async fn give_stray_back(
        &self,
        order: &Order,
        intent: &PaymentIntent,
        received: domain::Money,
    ) -> Result<()> {
        let (mode, partner, now) = (order.mode, order.partner_id, self.ctx.now());
        let (charge, intent) = (intent.charge(), intent.id.as_str());
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let taken = tx.cashier_payment(mode, partner, order.id).await?;
            // What the order stands on is never given back here, nor while that is not known.
            if taken.is_none_or(|taken| taken.intent_id.is_empty() || taken.intent_id == intent) {
                return Ok(());
            }
            if tx.cashier_payment_of_intent(mode, intent).await?.is_some() {
                // Another order stands on it.
                return Ok(());
            }
            let sale = Posting::sale(Account::StripeBalance, received);
            if !tx.insert_posting((mode, partner, order.id), (sale, intent), now).await? {
                // Its refund was written down with it.
                return Ok(());
            }
            let refund = Refund {
                id: self.ctx.id(),
                order_id: order.id,
                intent_id: intent.to_owned(),
                amount: received,
                state: RefundState::Asked,
                reason: "the order was paid twice".to_owned(),
                actor: "mall".to_owned(),
                cashier_id: String::new(),
                failure: String::new(),
                created_at: now,
                ended_at: None,
                version: 0,
            };
            tx.insert_refund(mode, partner, &refund).await?;
            if let Some(charge) = charge {
                self.book_fee(&mut tx, order, charge).await?;
            }
            let job = (JobKind::Refund, refund.id.to_string());
            tx.insert_job(&new_job(order, job, now), now).await?;
            tracing::error!(order_id = %order.id, intent, "an order was paid twice");
            Ok(tx.commit().await?)
        })
        .await
    }
}

/// Whose an event is: by the payment that it names, else by what we wrote on the object.
async fn whose(tx: &mut Tx, mode: Mode, named: &Named) -> Result<Option<Whose>> {
    if let Some(intent) = named.intent()
        && let Some(CashierPayment { partner_id, order_id, .. }) =
            tx.cashier_payment_of_intent(mode, intent).await?
    {
        return Ok(Some(Whose {
            partner: partner_id,
            order: order_id,
            stray: None,
            renews: false,
        }));
    }
    if let Some(id) = named.renewal()
        && let Some(known) = tx.cashier_subscription_by_id(mode, id).await?
    {
        let (partner, order) = (known.partner_id, known.order_id);
        return Ok(Some(Whose { partner, order, stray: None, renews: true }));
    }
    let Ok(order) = named.metadata.order.parse::<OrderId>() else { return Ok(None) };
    let Some(partner) = tx.partner_by_code(mode, &named.metadata.partner).await? else {
        return Ok(None);
    };
    let Some(taken) = tx.cashier_payment(mode, partner.id, order).await? else { return Ok(None) };
    // Before its making was heard of, the order has no payment to tell it from.
    let known = !taken.intent_id.is_empty();
    // What pays an invoice may bear the words of the first order, and is a renewal's.
    let renews = named.object == "subscription" || named.invoice.is_some();
    // It may have been noted since it was looked for.
    let other = |intent: &&str| known && !renews && *intent != taken.intent_id;
    let stray = named.intent().filter(other).map(str::to_owned);
    Ok(Some(Whose { partner: partner.id, order, stray, renews }))
}
