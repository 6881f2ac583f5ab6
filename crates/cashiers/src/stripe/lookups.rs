//! The calls that look for what there is: one object by its id, what moved, what happened. They change nothing.
//! May touch the network.

use domain::Span;
use serde::Deserialize;

use super::calls::{PAGE, WHOLE, safe};
use super::form::Form;
use super::{
    BalanceTransaction, CallError, Charge, Customer, Dispute, Event, Page, PaymentIntent, Stripe,
};

/// Which events are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventsQuery<'a> {
    /// Of these types, 20 at most; all if there are none.
    pub types: &'a [&'a str],
    /// Made at this time or later, in seconds.
    pub created_from: Option<i64>,
}

/// What a double says of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct DoubleClock {
    /// How many webhooks it is about to send.
    pub waiting: u64,
    /// How many seconds later the next thing happens there by itself.
    pub next_in_seconds: Option<i64>,
}

impl Stripe {
    /// A customer; one that was deleted at Stripe is there still, with `deleted`.
    pub async fn customer(&self, id: &str) -> Result<Customer, CallError> {
        self.http.get(&format!("customers/{}", safe(id)?), Form::default()).await
    }

    /// Whether Stripe answers and takes our key for what a mall reads: payments, and movements of the balance.
    pub async fn check(&self) -> Result<(), CallError> {
        let one = || Form::default().with("limit", 1);
        self.http.get::<Page<PaymentIntent>>("payment_intents", one()).await?;
        self.http.get::<Page<BalanceTransaction>>("balance_transactions", one()).await?;
        Ok(())
    }

    /// Lets a double of Stripe be so far ahead of real time, unless it is further; its control, which Stripe itself
    /// does not have.
    pub async fn move_double_to(&self, ahead: Span) -> Result<DoubleClock, CallError> {
        let body = format!("{{\"ahead_seconds\": {}}}", ahead.as_micros() / 1_000_000);
        self.http.control("clock", &body).await
    }

    /// A charge, with what it did to the balance.
    pub async fn charge(&self, id: &str) -> Result<Charge, CallError> {
        let form = Form::default().expand(&["balance_transaction"]);
        self.http.get(&format!("charges/{}", safe(id)?), form).await
    }

    /// How a dispute stands.
    pub async fn dispute(&self, id: &str) -> Result<Dispute, CallError> {
        self.http.get(&format!("disputes/{}", safe(id)?), Form::default()).await
    }

    /// A movement of the account's balance.
    pub async fn balance_transaction(&self, id: &str) -> Result<BalanceTransaction, CallError> {
        self.http.get(&format!("balance_transactions/{}", safe(id)?), Form::default()).await
    }

    /// The payments that bear a word of ours, 100 at most. Stripe's index is a minute behind, or an hour on a bad day:
    /// that nothing is found proves nothing.
    pub async fn search_payment_intents(
        &self,
        name: &str,
        value: &str,
    ) -> Result<Page<PaymentIntent>, CallError> {
        let query = format!("metadata['{}']:'{}'", quoted(name), quoted(value));
        let form = Form::default().with("query", query).with("limit", PAGE);
        let whole = format!("data.{WHOLE}");
        self.http.get("payment_intents/search", form.expand(&[&whole])).await
    }

    /// Something that happened; Stripe remembers 30 days.
    pub async fn event(&self, id: &str) -> Result<Event, CallError> {
        self.http.get(&format!("events/{}", safe(id)?), Form::default()).await
    }

    /// A part of what happened, the newest first; Stripe remembers 30 days.
    pub async fn events(
        &self,
        query: &EventsQuery<'_>,
        after: Option<&str>,
    ) -> Result<Page<Event>, CallError> {
        let form = Form::default()
            .list("types", query.types)
            .maybe("created[gte]", query.created_from)
            .with("limit", PAGE)
            .maybe("starting_after", after);
        self.http.get("events", form).await
    }
}

/// A text within the quotes of a search.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_cannot_be_led_elsewhere() {
        assert_eq!(quoted(r"a' OR \"), r"a\' OR \\");
    }
}
