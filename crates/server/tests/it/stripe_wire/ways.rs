//! The ways that an end user's money takes, each gone once while something befalls calls on the line to Stripe, and
//! what must be true at its end.

use std::time::Duration;

use domain::sim::SimState;
use domain::{Mode, Role, Span};
use sdk::{Client, Error, NewOrder};
use serde_json::{Value, json};
use testkit::{Calls, TestMall, TestPartner, WireFault};
use wire::payment::StripeSubDirectlyAnswer;

use crate::payments::status;

/// The network whose plans are sold.
pub(super) const CARRIER: &str = "network";
const EUR: (&str, &str) = ("10.00", "EUR");
/// How many calls in a row are befallen each time.
const TIMES: u64 = 2;
/// How often a client asks again before the fault is gone.
const TRIES_MAX: usize = 6;
/// After so long whatever had trouble was asked again.
const PAUSE: Span = Span::seconds(31);

/// Where the money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A card pays, and the plan comes.
    Once,
    /// Nobody pays in time; or somebody does as the order is being closed.
    Closed,
    /// The intent's making was not answered, and its key is forgotten before it is asked for again.
    Forgotten,
    /// A subscription pays, pays once more, and is ended.
    Renewed,
    /// A subscription's making was not answered, and the client does not come again.
    Unanswered,
    /// An operator gives it back, and the bank takes its time.
    Refunded,
    /// The end user's bank takes it back.
    Disputed,
}

/// What must be at Stripe and at the carrier for one SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) status: &'static str,
    pub(super) intents: usize,
    pub(super) paid: usize,
    pub(super) refunded: i64,
    pub(super) subscriptions: usize,
    pub(super) plans: usize,
}

impl Default for Expected {
    /// Paid once, and provisioned.
    fn default() -> Self {
        let status = "PROVISIONED";
        Self { status, intents: 1, paid: 1, refunded: 0, subscriptions: 0, plans: 1 }
    }
}

/// One way, gone once, by a partner of its own.
pub(super) struct Run<'a> {
    mall: &'a TestMall,
    fault: (Calls, WireFault),
    pub(super) partner: TestPartner,
    pub(super) client: Client,
    pub(super) number: String,
    sim: String,
    name: String,
    /// Alternates what is not worth a story of its own.
    is_odd: bool,
}

impl<'a> Run<'a> {
    pub(super) async fn new(
        mall: &'a TestMall,
        (number, is_odd): (usize, bool),
        fault: (Calls, WireFault),
    ) -> Self {
        let partner = mall.add_partner(&format!("Q{number}"), Mode::Test, |_| ()).await;
        mall.add_plan_of(&partner, CARRIER).await;
        let client = partner.client(mall);
        let sim = mall.add_sim(&partner, "", CARRIER, SimState::Ready).await;
        let (number, name) = ("N1".to_owned(), "Europe, 30 days".to_owned());
        Self { mall, fault, partner, client, number, sim, name, is_odd }
    }

    /// An order of the same partner under another name, on another SIM.
    pub(super) async fn beside(&self, number: &str, name: &str) -> Self {
        let sim = self.mall.add_sim(&self.partner, "", CARRIER, SimState::Ready).await;
        Self {
            mall: self.mall,
            fault: self.fault.clone(),
            partner: self.partner.clone(),
            client: self.client.clone(),
            number: number.to_owned(),
            sim,
            name: name.to_owned(),
            is_odd: self.is_odd,
        }
    }

    /// Goes a way to its end, when nothing befalls calls any more; gives what must have come of it.
    pub(super) async fn go(&self, way: Way) -> Expected {
        // Half of the time there are no events either.
        let deaf = self.is_odd && matches!(way, Way::Once | Way::Closed | Way::Renewed);
        self.mall.stripe().webhooks(deaf || way == Way::Forgotten, false).await;
        match way {
            Way::Once => self.once("pm_card_visa").await,
            Way::Closed => self.closed().await,
            Way::Forgotten => self.forgotten().await,
            Way::Renewed => self.renewed().await,
            Way::Unanswered => self.unanswered().await,
            Way::Refunded => self.refunded().await,
            Way::Disputed => self.once("pm_card_createDispute").await,
        }
    }

    fn begins(&self) {
        self.begins_for(TIMES);
    }

    fn begins_for(&self, times: u64) {
        let (calls, fault) = self.fault.clone();
        self.mall.stripe().line().fault(calls, fault, (1, times));
    }

    /// Nothing befalls calls any more, and those that were held arrive.
    async fn ends(&self) {
        self.mall.stripe().line().no_faults();
        self.mall.stripe().line().release();
        self.mall.settle_payments().await;
        for _ in 0..3 {
            self.mall.advance(PAUSE).await;
        }
        self.mall.advance(Span::minutes(5)).await;
        self.mall.settle_payments().await;
    }

    fn order(&self) -> NewOrder {
        self.partner.order_at(CARRIER, &self.sim, &self.number)
    }

    async fn place(&self, order: &NewOrder) {
        let mut fields = order.fields();
        fields.push(("servicePlanShowName", self.name.clone().into()));
        let placed = self.client.call::<Value>(&wire::vshop::SINGLE_ORDER, fields).await;
        placed.unwrap();
    }

    /// Asks until there is an answer.
    pub(super) async fn until_done<T, F>(&self, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, Error>>,
    {
        for _ in 0..TRIES_MAX {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => {
                    let told = error.code();
                    assert_eq!(told, Some("PAYMENT_PROVIDER_UNAVAILABLE"), "{:?}", self.fault);
                    self.mall.advance(PAUSE).await;
                }
            }
        }
        panic!("{:?}: there is no answer", self.fault);
    }

    async fn authorised(&self, order: &NewOrder) -> String {
        let email = "jane@example.com";
        let auth = async || self.client.stripe_single_auth(&order.pay_id, EUR, email).await;
        self.until_done(auth).await.payment_intent_id
    }

    async fn once(&self, card: &str) -> Expected {
        let order = self.order();
        self.place(&order).await;
        self.begins();
        let intent = self.authorised(&order).await;
        assert_eq!(self.mall.stripe().pay(&intent, card).await, "succeeded");
        // It may be known already, or not; it is told in any case.
        self.client.result_confirm(&order.pay_id).await.unwrap();
        self.mall.settle_payments().await;
        self.mall.advance(PAUSE).await;
        self.ends().await;
        Expected::default()
    }

    async fn closed(&self) -> Expected {
        let order = self.order();
        self.place(&order).await;
        let intent = self.authorised(&order).await;
        self.begins();
        self.mall.advance(Span::minutes(31)).await;
        // Somebody may pay just now.
        let paying = if self.is_odd { "pm_card_visa" } else { "pm_card_chargeDeclined" };
        let paid = self.mall.stripe().pay(&intent, paying).await == "succeeded";
        self.mall.advance(PAUSE).await;
        self.ends().await;
        self.closed_or_paid(paid, &intent).await
    }

    async fn closed_or_paid(&self, paid: bool, intent: &str) -> Expected {
        if paid {
            return Expected::default();
        }
        assert_ne!(self.mall.stripe().pay(intent, "pm_card_visa").await, "succeeded");
        Expected { status: "CLOSED", paid: 0, plans: 0, ..Expected::default() }
    }

    async fn forgotten(&self) -> Expected {
        let (order, line) = (self.order(), self.mall.stripe().line());
        self.place(&order).await;
        let making = Calls::Of("POST /v1/payment_intents".to_owned());
        line.fault(making, WireFault::AnswerLost, (1, u64::MAX));
        assert!(self.client.stripe_single_auth(&order.pay_id, EUR, "").await.is_err());
        line.fault(Calls::Every, WireFault::ResetBefore, (1, u64::MAX));
        self.mall.advance(Span::minutes(25 * 60)).await;
        let made = self.all_of_sim("payment_intents").await;
        let intent = made[0]["id"].as_str().unwrap();
        let paid =
            self.is_odd && self.mall.stripe().pay(intent, "pm_card_visa").await != "canceled";
        line.no_faults();
        self.begins();
        for _ in 0..2 {
            self.mall.advance(PAUSE).await;
        }
        self.ends().await;
        self.closed_or_paid(paid, intent).await
    }

    /// An order that is to renew, and a card that its user saved. Until both are there, the client asks again.
    pub(super) async fn ordered_with_card(&self) -> (String, String) {
        let order = NewOrder { auto_renewal: true, ..self.order() };
        self.place(&order).await;
        let auth = async || self.client.stripe_sub_auth(&order.pay_id).await;
        let first = self.until_done(&auth).await;
        assert_eq!(self.until_done(&auth).await.client_secret, first.client_secret);
        let (setup, _) = first.client_secret.split_once("_secret_").unwrap();
        let form = [("payment_method", "pm_card_visa"), ("use_stripe_sdk", "true")];
        let path = format!("setup_intents/{setup}/confirm");
        let (_, done) = self.mall.stripe().call(&path, &form).await;
        (order.pay_id, done["payment_method"].as_str().unwrap().to_owned())
    }

    /// Another card of the SIM's customer.
    pub(super) async fn attached(&self, card: &str) -> String {
        let customer = &self.customers().await[0];
        let form = [("customer", customer["id"].as_str().unwrap())];
        let path = format!("payment_methods/{card}/attach");
        let (_, card) = self.mall.stripe().call(&path, &form).await;
        card["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn subscribe(
        &self,
        pay_id: &str,
        card: &str,
    ) -> Result<StripeSubDirectlyAnswer, Error> {
        let plan = format!("plan_PLAN-{CARRIER}");
        self.client.stripe_sub_directly(pay_id, EUR, (&plan, card)).await
    }

    async fn renewed(&self) -> Expected {
        self.begins();
        let (pay_id, card) = self.ordered_with_card().await;
        let subscribe = async || self.subscribe(&pay_id, &card).await;
        assert_eq!(self.until_done(&subscribe).await.status, "active");
        self.mall.settle_payments().await;
        self.ends().await;
        // A period later the next invoice is paid.
        self.begins_for(1);
        self.mall.advance(Span::days(30)).await;
        for _ in 0..3 {
            self.mall.settle_payments().await;
            self.mall.advance(Span::minutes(30)).await;
        }
        self.ends().await;
        self.begins_for(1);
        let cancelled = self.client.cancel_auto_renewal_record(&self.sim, &self.number, &pay_id);
        cancelled.await.unwrap();
        self.mall.settle_payments().await;
        self.ends().await;
        let subscriptions = self.subscriptions().await;
        assert!(subscriptions.iter().all(|one| one["status"] == "canceled"), "{subscriptions:?}");
        Expected { intents: 2, paid: 2, plans: 2, subscriptions: 1, ..Expected::default() }
    }

    async fn unanswered(&self) -> Expected {
        let (pay_id, card) = self.ordered_with_card().await;
        let making = Calls::Of("POST /v1/subscriptions".to_owned());
        self.mall.stripe().line().fault(making, WireFault::AnswerLost, (1, u64::MAX));
        assert!(self.subscribe(&pay_id, &card).await.is_err());
        self.begins();
        for _ in 0..2 {
            self.mall.advance(PAUSE).await;
        }
        self.ends().await;
        let again = async || self.subscribe(&pay_id, &card).await;
        assert_eq!(self.until_done(&again).await.status, "active");
        Expected { subscriptions: 1, ..Expected::default() }
    }

    /// Waits until a payment's plan is there: a call that a slow machine did not answer in time is made again.
    async fn until_provisioned(&self) {
        self.mall.settle_payments().await;
        for _ in 0..TRIES_MAX {
            if status(&self.client, &self.number).await == "PROVISIONED" {
                return;
            }
            self.mall.advance(PAUSE).await;
            self.mall.settle_payments().await;
        }
        assert_eq!(status(&self.client, &self.number).await, "PROVISIONED");
    }

    async fn refunded(&self) -> Expected {
        let order = self.order();
        self.place(&order).await;
        let intent = self.authorised(&order).await;
        let card = "pm_card_pendingRefund";
        assert_eq!(self.mall.stripe().pay(&intent, card).await, "succeeded");
        self.until_provisioned().await;
        let token = self.mall.add_token(&self.partner.partner.code, Role::Operator).await;
        let id = self.client.order(&self.number).await.unwrap().order_id;
        self.begins();
        // All of it, or a part, of which Stripe would give back another one.
        let amount = self.is_odd.then_some("3.00");
        let body = json!({"amount": amount, "reason": "the end user asked for it"});
        let operator = self.mall.admin_with(Some(token));
        operator.post(&format!("/test/orders/{id}/refund"), &body).await.done();
        for _ in 0..3 {
            self.mall.settle_payments().await;
            self.mall.advance(PAUSE).await;
        }
        self.ends().await;
        if self.is_odd {
            return Expected { refunded: 300, ..Expected::default() };
        }
        Expected { status: "REFUNDED", refunded: 1_000, ..Expected::default() }
    }

    async fn customers(&self) -> Vec<Value> {
        let mut customers = self.mall.stripe().all("customers").await;
        customers.retain(|customer| customer["metadata"]["iccid"] == self.sim.as_str());
        customers
    }

    /// What Stripe has of a kind for the SIM's customer, of which there is one.
    async fn all_of_sim(&self, kind: &str) -> Vec<Value> {
        let customers = self.customers().await;
        let [customer] = customers.as_slice() else { panic!("{:?}: {customers:?}", self.fault) };
        let mut all = self.mall.stripe().all(kind).await;
        all.retain(|one| one["customer"] == customer["id"]);
        all
    }

    async fn subscriptions(&self) -> Vec<Value> {
        let mut all = self.mall.stripe().all("subscriptions?status=all").await;
        all.retain(|one| one["metadata"]["partner"] == self.partner.partner.code.as_str());
        all
    }

    /// Waits until what was held has come of the kind.
    pub(super) async fn wait_for(&self, kind: &str) {
        for _ in 0..10_000 {
            if !self.all_of_sim(kind).await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {kind} arrive");
    }

    /// Insists on what must be at Stripe, at the carrier and here.
    pub(super) async fn check(&self, expected: &Expected) {
        let intents = self.all_of_sim("payment_intents").await;
        let paid: Vec<_> = intents.iter().filter(|one| one["status"] == "succeeded").collect();
        let refunds = self.mall.stripe().all("refunds").await;
        let own = |refund: &&Value| {
            refund["status"] == "succeeded"
                && intents.iter().any(|intent| intent["id"] == refund["payment_intent"])
        };
        let refunded = refunds.iter().filter(own).map(|refund| refund["amount"].as_i64().unwrap());
        let status = status(&self.client, &self.number).await;
        let found = Expected {
            status: expected.status,
            intents: intents.len(),
            paid: paid.len(),
            refunded: refunded.sum(),
            subscriptions: self.subscriptions().await.len(),
            plans: self.mall.network(CARRIER).bundles(&self.sim).len(),
        };
        assert_eq!(
            (status.as_str(), &found),
            (expected.status, expected),
            "{:?} {refunds:?}",
            self.fault
        );
        assert!(paid.iter().all(|one| one["amount_received"] == 1_000), "{paid:?}");
    }
}
