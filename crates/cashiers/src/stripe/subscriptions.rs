//! Subscriptions: what saves a card, what is sold each period, and the invoices of it. May touch the network.

use serde::Deserialize;

use super::calls::{PAGE, safe};
use super::form::Form;
use super::objects::{Expandable, Metadata, Page, PaymentIntent, words};
use super::{CallError, IdempotencyKey, Stripe};

words! {
    /// How a subscription stands.
    SubscriptionStatus {
        /// Its first invoice is not paid yet.
        Incomplete = "incomplete",
        /// Its first invoice was not paid in time.
        IncompleteExpired = "incomplete_expired",
        /// A trial runs.
        Trialing = "trialing",
        /// It is paid.
        Active = "active",
        /// Its last invoice is not paid, and is tried again.
        PastDue = "past_due",
        /// It is over.
        Canceled = "canceled",
        /// Its last invoice was given up.
        Unpaid = "unpaid",
        /// Somebody paused it.
        Paused = "paused",
    }
}

words! {
    /// How an invoice stands.
    InvoiceStatus {
        /// It can still be changed.
        Draft = "draft",
        /// It is to be paid.
        Open = "open",
        /// It is paid.
        Paid = "paid",
        /// It was given up.
        Uncollectible = "uncollectible",
        /// It was withdrawn.
        Void = "void",
    }
}

/// Saves a way of payment for later.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct SetupIntent {
    /// `seti_…`.
    pub id: String,
    /// Lets whoever has it save a card.
    #[serde(default)]
    pub client_secret: Option<String>,
}

impl std::fmt::Debug for SetupIntent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SetupIntent({})", self.id)
    }
}

/// What is sold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Product {
    /// `prod_…`.
    pub id: String,
}

/// What it costs each period.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Price {
    /// `price_…`.
    pub id: String,
}

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// So many days.
    Days(u32),
    /// So many calendar months.
    Months(u32),
}

/// A price to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPrice {
    /// Of what.
    pub product: String,
    /// In Stripe's units.
    pub amount: i64,
    /// In lower case.
    pub currency: String,
    /// How often it is paid.
    pub interval: Interval,
}

/// A subscription to be made. If its first invoice is not paid at once, none is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubscription {
    /// Who pays.
    pub customer: String,
    /// What, each period.
    pub price: String,
    /// With which way of payment.
    pub payment_method: String,
    /// Our words.
    pub metadata: Metadata,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subscription {
    /// `sub_…`.
    pub id: String,
    /// How it stands.
    pub status: SubscriptionStatus,
    /// When the running period ends, in seconds.
    #[serde(default)]
    pub current_period_end: i64,
    /// Its last invoice.
    #[serde(default)]
    pub latest_invoice: Expandable<Invoice>,
    /// Our words.
    #[serde(default)]
    pub metadata: Metadata,
}

/// An invoice of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Invoice {
    /// `in_…`.
    pub id: String,
    /// How it stands; none before it is made out.
    #[serde(default)]
    pub status: Option<InvoiceStatus>,
    /// What was paid, in Stripe's units.
    #[serde(default)]
    pub amount_paid: i64,
    /// In lower case.
    pub currency: String,
    /// Why it was made: `subscription_create`, `subscription_cycle` and others.
    #[serde(default)]
    pub billing_reason: Option<String>,
    /// Its payment.
    #[serde(default)]
    pub payment_intent: Expandable<PaymentIntent>,
    /// How often it was tried.
    #[serde(default)]
    pub attempt_count: i64,
    /// When it is tried again, in seconds.
    #[serde(default)]
    pub next_payment_attempt: Option<i64>,
    /// When it was made, in seconds.
    #[serde(default)]
    pub created: i64,
}

impl Invoice {
    /// The id of its payment.
    pub fn intent_id(&self) -> Option<&str> {
        match &self.payment_intent {
            Expandable::None => None,
            Expandable::Id(id) => Some(id),
            Expandable::Object(intent) => Some(&intent.id),
        }
    }
}

impl Stripe {
    /// Makes what saves a customer's card for payments without the customer.
    pub async fn create_setup_intent(
        &self,
        customer: &str,
        metadata: &Metadata,
        key: &IdempotencyKey,
    ) -> Result<SetupIntent, CallError> {
        let form = Form::default()
            .with("customer", customer)
            .with("usage", "off_session")
            .with("automatic_payment_methods[enabled]", true)
            .metadata(metadata);
        self.http.post("setup_intents", form, key).await
    }

    /// What saves a card, by its id.
    pub async fn setup_intent(&self, id: &str) -> Result<SetupIntent, CallError> {
        self.http.get(&format!("setup_intents/{}", safe(id)?), Form::default()).await
    }

    /// Makes a product.
    pub async fn create_product(
        &self,
        name: &str,
        key: &IdempotencyKey,
    ) -> Result<Product, CallError> {
        self.http.post("products", Form::default().with("name", name), key).await
    }

    /// Makes a price that is paid each period.
    pub async fn create_price(
        &self,
        new: &NewPrice,
        key: &IdempotencyKey,
    ) -> Result<Price, CallError> {
        let (interval, count) = match new.interval {
            Interval::Days(days) => ("day", days),
            Interval::Months(months) => ("month", months),
        };
        let form = Form::default()
            .with("product", &new.product)
            .with("unit_amount", new.amount)
            .with("currency", &new.currency)
            .with("recurring[interval]", interval)
            .with("recurring[interval_count]", count);
        self.http.post("prices", form, key).await
    }

    /// Makes a subscription whose first invoice is paid at once, or none.
    pub async fn create_subscription(
        &self,
        new: &NewSubscription,
        key: &IdempotencyKey,
    ) -> Result<Subscription, CallError> {
        let form = Form::default()
            .with("customer", &new.customer)
            .with("items[0][price]", &new.price)
            .with("default_payment_method", &new.payment_method)
            .with("payment_behavior", "error_if_incomplete")
            .metadata(&new.metadata)
            .expand(&["latest_invoice"]);
        self.http.post("subscriptions", form, key).await
    }

    /// How a subscription stands, with its last invoice.
    pub async fn subscription(&self, id: &str) -> Result<Subscription, CallError> {
        let form = Form::default().expand(&["latest_invoice"]);
        self.http.get(&format!("subscriptions/{}", safe(id)?), form).await
    }

    /// A part of a customer's subscriptions, the newest first, those that are over included.
    pub async fn subscriptions_of(
        &self,
        customer: &str,
        after: Option<&str>,
    ) -> Result<Page<Subscription>, CallError> {
        let form = Form::default()
            .with("customer", customer)
            .with("status", "all")
            .with("limit", PAGE)
            .maybe("starting_after", after)
            .expand(&["data.latest_invoice"]);
        self.http.get("subscriptions", form).await
    }

    /// Ends a subscription now: nothing more is charged.
    pub async fn cancel_subscription(&self, id: &str) -> Result<Subscription, CallError> {
        self.http.delete(&format!("subscriptions/{}", safe(id)?)).await
    }

    /// A part of a subscription's invoices, the newest first.
    pub async fn invoices_of(
        &self,
        subscription: &str,
        after: Option<&str>,
    ) -> Result<Page<Invoice>, CallError> {
        let form = Form::default()
            .with("subscription", subscription)
            .with("limit", PAGE)
            .maybe("starting_after", after)
            .expand(&["data.payment_intent"]);
        self.http.get("invoices", form).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_with_its_invoice() {
        let text = r#"{"id":"sub_1","object":"subscription","status":"active","customer":"cus_1",
            "current_period_end":1700000000,"metadata":{"order":"ord_1"},
            "latest_invoice":{"id":"in_1","object":"invoice","status":"paid","amount_paid":1000,
            "currency":"eur","billing_reason":"subscription_create","payment_intent":"pi_1",
            "attempt_count":1,"next_payment_attempt":null,"created":1699000000}}"#;
        let subscription: Subscription = serde_json::from_str(text).unwrap();
        assert_eq!(subscription.status, SubscriptionStatus::Active);
        let invoice = subscription.latest_invoice.object().unwrap();
        assert_eq!((invoice.intent_id(), invoice.amount_paid), (Some("pi_1"), 1_000));
        let draft = r#"{"id":"in_2","status":null,"currency":"eur","payment_intent":null}"#;
        let draft: Invoice = serde_json::from_str(draft).unwrap();
        assert_eq!((draft.status.clone(), draft.intent_id()), (None, None));
    }
}
