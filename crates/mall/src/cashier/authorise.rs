//! What a client needs so that its user can pay: customer, `PaymentIntent` and ephemeral key.

use cashiers::stripe::{
    CallError, NewCustomer, NewPaymentIntent, PaymentIntent, Stripe, minor_units,
};
use domain::order::{Order, OrderSource, OrderState};
use domain::partner::Partner;
use domain::payment::{Channel, PaymentEvent, PaymentState};
use domain::{Mode, Timestamp};
use sha2::{Digest, Sha256};
use store::{CashierKey, CashierPayment, JobKind, Tx};
use wire::Code;
use wire::payment::{StripeSingleAuth, StripeSingleAuthAnswer};

use super::follow::FIRST_PAUSE;
use super::{is_fresh, key_text, metadata, told};
use crate::error::{Error, Refusal, Result};
use crate::{Caller, Mall};

/// An order whose money the mall takes itself, with what is known of that at the cashier.
#[derive(Debug, Clone)]
pub(super) struct Payable {
    pub(super) order: Order,
    pub(super) payment: domain::payment::Payment,
    pub(super) partner: Partner,
    pub(super) taken: CashierPayment,
}

/// Why there is no intent.
#[derive(Debug)]
pub(super) enum NoIntent {
    /// The call did not go well.
    Call(CallError),
    /// Our own side failed.
    Own(Error),
}

impl From<CallError> for NoIntent {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<Error> for NoIntent {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl From<store::StoreError> for NoIntent {
    fn from(error: store::StoreError) -> Self {
        Self::Own(error.into())
    }
}

impl NoIntent {
    pub(super) fn told(self) -> Error {
        match self {
            Self::Call(error) => {
                tracing::warn!(%error, "Stripe did not prepare a payment");
                told(&error)
            }
            Self::Own(error) => error,
        }
    }
}

impl Mall {
    /// 6.1: what the client's SDK needs to let the end user pay. The same payment has the same intent always.
    pub async fn authorise_payment(
        &self,
        caller: &Caller,
        request: &StripeSingleAuth,
    ) -> Result<StripeSingleAuthAnswer> {
        let cashier = self.cashier(&caller.partner)?;
        let stripe = &cashier.stripe;
        let mut payable = self.begin_payment(caller, request).await?;
        let intent = self.ensure_intent(stripe, &mut payable).await;
        let intent = intent.map_err(NoIntent::told)?;
        self.send_receipt(stripe, &intent, &request.email).await?;
        let customer = payable.taken.customer_id.clone();
        let ephemeral_key = self.ephemeral_key(stripe, &customer).await?;
        let client_secret = intent
            .client_secret
            .ok_or_else(|| Error::Internal(format!("{} has no client secret", intent.id)))?;
        Ok(StripeSingleAuthAnswer {
            pay_id: request.pay_id.clone(),
            publishable_key: stripe.publishable_key().to_owned(),
            client_secret,
            payment_intent_id: intent.id,
            customer_id: customer,
            ephemeral_key,
        })
    }

    /// A key that opens a customer's saved cards to an app. Its secret is told once: a fresh one each time.
    pub(super) async fn ephemeral_key(&self, stripe: &Stripe, customer: &str) -> Result<String> {
        let key = CashierKey { no: 1, at: self.ctx.now() };
        let key = key_text("ephemeral", &hex::encode(self.ctx.random::<16>()), key)?;
        let made = stripe.create_ephemeral_key(customer, &key).await;
        let made = made.map_err(|error| NoIntent::Call(error).told())?;
        Ok(made.secret.ok_or(Code::PaymentProviderUnavailable)?)
    }

    /// Writes down that Stripe is about to be asked, and that the payment is followed from now on.
    async fn begin_payment(&self, caller: &Caller, request: &StripeSingleAuth) -> Result<Payable> {
        let (mode, partner) = (caller.partner.mode, &caller.partner);
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let order = tx.order_by_pay_id(mode, partner.id, &request.pay_id).await?;
            let order = order.filter(|order| order.source == OrderSource::Mall);
            let order = order.ok_or(Code::PaymentUnknown)?;
            let payment = tx.payment_of_order(mode, partner.id, order.id).await?;
            let payment = payment.filter(|payment| payment.channel == Channel::Stripe);
            let payment = payment.ok_or(Code::PaymentUnknown)?;
            if payment.amount.currency != request.pay_amount.currency {
                return Err(Refusal::about(Code::CurrencyMismatch, "payCurrency").into());
            }
            if payment.amount != request.pay_amount {
                return Err(Refusal::about(Code::PriceMismatch, "payAmount").into());
            }
            let now = self.now(mode);
            if !matches!(order.state, OrderState::AwaitingPayment { .. }) {
                // What is decided is not paid again; what was begun is shown as it is.
                let taken = tx.cashier_payment(mode, partner.id, order.id).await?;
                let taken = taken.filter(|taken| !taken.intent_id.is_empty());
                let taken = taken.ok_or(Refusal::about(Code::OrderConflict, "payId"))?;
                return Ok(Payable { order, payment, partner: (**partner).clone(), taken });
            }
            tx.add_cashier_customer((mode, partner.id, &order.iccid), now).await?;
            let is_new = tx.add_cashier_payment(mode, partner.id, order.id, now).await?;
            // After that: of two who begin at once one waits there for the other.
            if tx.cashier_subscription(mode, partner.id, order.id).await?.is_some() {
                // An auto-renewal is being agreed, whose first invoice pays it.
                return Err(Refusal::about(Code::OrderConflict, "payId").into());
            }
            if is_new {
                let job = (JobKind::FollowPayment, order.id.to_string());
                self.write_job(&mut tx, &order, job, now + FIRST_PAUSE).await?;
            }
            let taken = cashier_payment(&mut tx, mode, &order).await?;
            tx.commit().await?;
            Ok(Payable { order, payment, partner: (**partner).clone(), taken })
        })
        .await
    }

    /// The intent of a payment, made if there is none. Whoever calls has written the keys down.
    pub(super) async fn ensure_intent(
        &self,
        stripe: &Stripe,
        payable: &mut Payable,
    ) -> std::result::Result<PaymentIntent, NoIntent> {
        if !payable.taken.intent_id.is_empty() {
            return Ok(stripe.payment_intent(&payable.taken.intent_id).await?);
        }
        let customer = self.ensure_customer(stripe, payable).await?;
        let order = &payable.order;
        let (mode, partner) = (order.mode, order.partner_id);
        let now = self.now(mode);
        if !is_fresh(payable.taken.key, now) {
            // The key may be forgotten: what was made under it is looked for among the customer's.
            if let Some(intent) = self.find_intent(stripe, order, &customer).await? {
                self.note_intent(payable, &customer, &intent).await?;
                return Ok(intent);
            }
            self.renew_payment_key(&mut payable.taken, mode).await?;
        }
        let amount = minor_units::to_stripe(payable.payment.amount).map_err(|error| {
            CallError::Refused { code: None, param: None, message: error.to_string() }
        })?;
        let new = NewPaymentIntent {
            amount,
            currency: payable.payment.amount.currency.code().to_lowercase(),
            customer: customer.clone(),
            description: None,
            metadata: metadata(&payable.order, &payable.partner.code),
        };
        let whose = format!("{mode}-{partner}-{}", payable.order.id);
        let key = key_text("intent", &whose, payable.taken.key)?;
        let intent = match stripe.create_payment_intent(&new, &key).await {
            Ok(intent) => intent,
            Err(trouble @ CallError::Trouble { .. }) => {
                // The key has this answer for good. What is there is taken; else the next try has another key.
                let there = self.find_intent(stripe, &payable.order, &customer).await?;
                let Some(intent) = there else {
                    self.renew_payment_key(&mut payable.taken, mode).await?;
                    return Err(trouble.into());
                };
                intent
            }
            Err(error) => return Err(error.into()),
        };
        #[cfg(feature = "failpoints")]
        if crate::failpoints::forgets_intent() {
            self.renew_payment_key(&mut payable.taken, mode).await?;
            return Err(CallError::Unknown { message: "forgotten on purpose".to_owned() }.into());
        }
        self.note_intent(payable, &customer, &intent).await?;
        Ok(intent)
    }

    /// Gives a payment a fresh key.
    pub(super) async fn renew_payment_key(
        &self,
        taken: &mut CashierPayment,
        mode: Mode,
    ) -> Result<()> {
        let mut renewed = taken.clone();
        renewed.key = CashierKey { no: taken.key.no + 1, at: self.now(mode) };
        let mut tx = self.store.begin().await?;
        tx.update_cashier_payment(mode, &mut renewed).await?;
        tx.commit().await?;
        *taken = renewed;
        Ok(())
    }

    /// Tells Stripe where its receipt goes. Not as the intent is made: the same call must be the same to the letter.
    async fn send_receipt(
        &self,
        stripe: &Stripe,
        intent: &PaymentIntent,
        email: &str,
    ) -> Result<()> {
        if email.is_empty() {
            return Ok(());
        }
        let address = hex::encode(Sha256::digest(email));
        let key = CashierKey { no: 1, at: self.ctx.now() };
        let key = key_text("receipt", &format!("{}-{address}", intent.id), key)?;
        match stripe.send_receipt_to(&intent.id, email, &key).await {
            Ok(_) => Ok(()),
            // The payment stands without it, also where it is no address.
            Err(error) => {
                tracing::warn!(%error, "Stripe does not know where its receipt goes");
                Ok(())
            }
        }
    }

    /// Looks for an order's intent among its customer's: a list that is never behind.
    async fn find_intent(
        &self,
        stripe: &Stripe,
        order: &Order,
        customer: &str,
    ) -> std::result::Result<Option<PaymentIntent>, NoIntent> {
        let mut after: Option<String> = None;
        loop {
            let page = stripe.payment_intents_of(customer, after.as_deref()).await?;
            let id = order.id.to_string();
            let own = |intent: &&PaymentIntent| intent.metadata.get("order") == Some(&id);
            if let Some(intent) = page.data.iter().find(own) {
                return Ok(Some(intent.clone()));
            }
            match page.data.last() {
                Some(last) if page.has_more => after = Some(last.id.clone()),
                _ => return Ok(None),
            }
        }
    }

    async fn note_intent(
        &self,
        payable: &mut Payable,
        customer: &str,
        intent: &PaymentIntent,
    ) -> Result<()> {
        let (mode, partner) = (payable.order.mode, payable.order.partner_id);
        let order_id = payable.order.id;
        let (taken, payment) = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let missing = || Error::Internal(format!("{order_id} lost its payment"));
                let taken = tx.cashier_payment(mode, partner, order_id).await?;
                let mut taken = taken.ok_or_else(missing)?;
                let payment = tx.payment_of_order(mode, partner, order_id).await?;
                let mut payment = payment.ok_or_else(missing)?;
                if taken.intent_id.is_empty() {
                    customer.clone_into(&mut taken.customer_id);
                    intent.id.clone_into(&mut taken.intent_id);
                    tx.update_cashier_payment(mode, &mut taken).await?;
                    if payment.state == PaymentState::Created {
                        let state = payment.state.on(PaymentEvent::Started)?;
                        tx.update_payment(mode, partner, &mut payment, state).await?;
                    }
                    tx.commit().await?;
                }
                Ok((taken, payment))
            })
            .await?;
        (payable.taken, payable.payment) = (taken, payment);
        if payable.taken.intent_id == intent.id {
            return Ok(());
        }
        Err(Error::Internal(format!("{order_id} has two intents: {}", intent.id)))
    }

    /// The SIM's customer, made if there is none.
    pub(super) async fn ensure_customer(
        &self,
        stripe: &Stripe,
        payable: &Payable,
    ) -> std::result::Result<String, NoIntent> {
        let order = &payable.order;
        let whose = (order.mode, order.partner_id, &order.iccid);
        let missing = || Error::Internal(format!("{} lost its customer", order.id));
        let known = self.store.read().await?.cashier_customer(whose).await?.ok_or_else(missing)?;
        if !known.customer_id.is_empty() {
            return Ok(known.customer_id);
        }
        let now = self.now(order.mode);
        let mut key = known.key;
        if !is_fresh(key, now) {
            let mut tx = self.store.begin().await?;
            key = tx.cashier_customer(whose).await?.ok_or_else(missing)?.key;
            if !is_fresh(key, now) {
                // A customer more than is used harms nobody: nothing is on it.
                tx.renew_customer_key(whose, key, now).await?;
                key = CashierKey { no: key.no + 1, at: now };
                tx.commit().await?;
            }
        }
        let new = NewCustomer { email: None, metadata: customer_metadata(payable) };
        let text = format!("{}-{}-{}", order.mode, order.partner_id, order.iccid.as_str());
        let made = stripe.create_customer(&new, &key_text("customer", &text, key)?).await;
        if let Err(CallError::Trouble { .. }) = made {
            // The key has this answer for good.
            let mut tx = self.store.begin().await?;
            tx.renew_customer_key(whose, key, now).await?;
            tx.commit().await?;
        }
        let made = made?;
        let mut tx = self.store.begin().await?;
        tx.cashier_customer_found(whose, &made.id).await?;
        tx.commit().await?;
        Ok(made.id)
    }
}

fn customer_metadata(payable: &Payable) -> cashiers::stripe::Metadata {
    let order = &payable.order;
    cashiers::stripe::Metadata::from([
        ("mode".to_owned(), order.mode.as_str().to_owned()),
        ("partner".to_owned(), payable.partner.code.clone()),
        ("iccid".to_owned(), order.iccid.as_str().to_owned()),
    ])
}

/// The cashier's part of an order's payment, which must be there.
async fn cashier_payment(tx: &mut Tx, mode: Mode, order: &Order) -> Result<CashierPayment> {
    let taken = tx.cashier_payment(mode, order.partner_id, order.id).await?;
    taken.ok_or_else(|| Error::Internal(format!("{} lost its payment", order.id)))
}

/// When a payment is asked about next, by how long it is followed already: 5 s, 15 s, 60 s, 5 min, 30 min, then
/// hourly.
pub(super) fn next_look(begun_at: Timestamp, now: Timestamp) -> Timestamp {
    use domain::Span;
    const STEPS: [Span; 5] = [
        Span::seconds(5),
        Span::seconds(15),
        Span::seconds(60),
        Span::minutes(5),
        Span::minutes(30),
    ];
    let age = now.since(begun_at);
    let mut sum = Span::seconds(0);
    for step in STEPS {
        sum = sum + step;
        if sum > age {
            return begun_at + sum;
        }
    }
    now + Span::minutes(60)
}
