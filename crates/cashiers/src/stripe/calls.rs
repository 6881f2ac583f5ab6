//! The calls, one method for each. A write takes the key that makes its repeats the same write. May touch the
//! network.

use super::form::Form;
use super::objects::{
    BalanceTransaction, Customer, Dispute, EphemeralKey, Metadata, Page, PaymentIntent, Refund,
};
use super::{CallError, IdempotencyKey, Stripe};

/// How many objects of a list are asked for at once; the most that Stripe gives.
pub(super) const PAGE: u8 = 100;
/// What is asked for whole with a payment: its charge, and what that did to the balance.
pub(super) const WHOLE: &str = "latest_charge.balance_transaction";

/// A customer to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewCustomer {
    /// Where Stripe's mails go.
    pub email: Option<String>,
    /// Our words.
    pub metadata: Metadata,
}

/// A payment to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPaymentIntent {
    /// In Stripe's units.
    pub amount: i64,
    /// In lower case.
    pub currency: String,
    /// Who pays.
    pub customer: String,
    /// What the end user reads in Stripe's receipt.
    pub description: Option<String>,
    /// Our words.
    pub metadata: Metadata,
}

/// A refund to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefund {
    /// Of which payment.
    pub payment_intent: String,
    /// How much, in Stripe's units.
    pub amount: i64,
    /// Our words.
    pub metadata: Metadata,
}

impl Stripe {
    /// Makes a customer.
    pub async fn create_customer(
        &self,
        new: &NewCustomer,
        key: &IdempotencyKey,
    ) -> Result<Customer, CallError> {
        let form = Form::default().maybe("email", new.email.as_deref()).metadata(&new.metadata);
        self.http.post("customers", form, key).await
    }

    /// Makes a key that opens a customer's saved cards to an app.
    pub async fn create_ephemeral_key(
        &self,
        customer: &str,
        key: &IdempotencyKey,
    ) -> Result<EphemeralKey, CallError> {
        self.http.post("ephemeral_keys", Form::default().with("customer", customer), key).await
    }

    /// Makes a payment, which the end user can pay in any way that the account takes.
    pub async fn create_payment_intent(
        &self,
        new: &NewPaymentIntent,
        key: &IdempotencyKey,
    ) -> Result<PaymentIntent, CallError> {
        let form = Form::default()
            .with("amount", new.amount)
            .with("currency", &new.currency)
            .with("customer", &new.customer)
            .with("automatic_payment_methods[enabled]", true)
            .maybe("description", new.description.as_deref())
            .metadata(&new.metadata);
        self.http.post("payment_intents", form, key).await
    }

    /// How a payment stands, with its charge and what Stripe kept.
    pub async fn payment_intent(&self, id: &str) -> Result<PaymentIntent, CallError> {
        let form = Form::default().expand(&[WHOLE]);
        self.http.get(&format!("payment_intents/{}", safe(id)?), form).await
    }

    /// Tells Stripe where its receipt for a payment goes.
    pub async fn send_receipt_to(
        &self,
        id: &str,
        email: &str,
        key: &IdempotencyKey,
    ) -> Result<PaymentIntent, CallError> {
        let form = Form::default().with("receipt_email", email);
        self.http.post(&format!("payment_intents/{}", safe(id)?), form, key).await
    }

    /// Sees to it that nobody can pay a payment any more.
    pub async fn cancel_payment_intent(
        &self,
        id: &str,
        key: &IdempotencyKey,
    ) -> Result<PaymentIntent, CallError> {
        let form = Form::default().with("cancellation_reason", "abandoned");
        self.http.post(&format!("payment_intents/{}/cancel", safe(id)?), form, key).await
    }

    /// A part of a customer's payments, the newest first, with their charges and what Stripe kept.
    pub async fn payment_intents_of(
        &self,
        customer: &str,
        after: Option<&str>,
    ) -> Result<Page<PaymentIntent>, CallError> {
        let whole = format!("data.{WHOLE}");
        let form = Form::default().with("customer", customer).with("limit", PAGE);
        let form = form.maybe("starting_after", after).expand(&[&whole]);
        self.http.get("payment_intents", form).await
    }

    /// Gives money back.
    pub async fn create_refund(
        &self,
        new: &NewRefund,
        key: &IdempotencyKey,
    ) -> Result<Refund, CallError> {
        let form = Form::default()
            .with("payment_intent", &new.payment_intent)
            .with("amount", new.amount)
            .metadata(&new.metadata);
        self.http.post("refunds", form, key).await
    }

    /// How a refund stands.
    pub async fn refund(&self, id: &str) -> Result<Refund, CallError> {
        self.http.get(&format!("refunds/{}", safe(id)?), Form::default()).await
    }

    /// A part of a payment's refunds, the newest first.
    pub async fn refunds_of(
        &self,
        payment_intent: &str,
        after: Option<&str>,
    ) -> Result<Page<Refund>, CallError> {
        let form = Form::default().with("payment_intent", payment_intent).with("limit", PAGE);
        self.http.get("refunds", form.maybe("starting_after", after)).await
    }

    /// The disputes of a payment; there are never many.
    pub async fn disputes_of(&self, payment_intent: &str) -> Result<Page<Dispute>, CallError> {
        let form = Form::default().with("payment_intent", payment_intent).with("limit", PAGE);
        self.http.get("disputes", form).await
    }

    /// A part of what moved the account's balance between two times, in seconds, the newest first, each with what
    /// moved it.
    pub async fn balance_transactions(
        &self,
        (from, before): (i64, i64),
        after: Option<&str>,
    ) -> Result<Page<BalanceTransaction>, CallError> {
        let form = Form::default()
            .with("created[gte]", from)
            .with("created[lt]", before)
            .with("limit", PAGE)
            .maybe("starting_after", after)
            .expand(&["data.source"]);
        self.http.get("balance_transactions", form).await
    }
}

/// An id that can stand in a path: whatever Stripe calls an object, it does not lead elsewhere.
pub(super) fn safe(id: &str) -> Result<&str, CallError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !id.is_empty() && id.bytes().all(plain) {
        return Ok(id);
    }
    Err(CallError::Refused {
        code: None,
        param: Some("id".to_owned()),
        message: format!("{id:?} is not the id of an object at Stripe"),
    })
}
