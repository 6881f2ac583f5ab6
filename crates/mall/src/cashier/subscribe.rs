//! An auto-renewal through Stripe begins: a card is saved, a price made, and a subscription whose first invoice pays
//! the order.

use cashiers::stripe::{
    CallError, Interval, NewPrice, NewSubscription, SetupIntent, Stripe, Subscription, minor_units,
};
use domain::Mode;
use domain::order::{Order, OrderSource, OrderState};
use domain::package::{PackageType, PlanLength};
use domain::payment::{Channel, PaymentEvent, PaymentState};
use store::{CashierKey, CashierPrice, CashierSubscription, JobKind, Offer, StoreError};
use wire::Code;
use wire::payment::{
    StripeSubAuth, StripeSubAuthAnswer, StripeSubDirectly, StripeSubDirectlyAnswer,
};

use super::authorise::{NoIntent, Payable, next_look};
use super::learn::at_seconds;
use super::{is_fresh, key_text, metadata};
use crate::error::{Error, Refusal, Result};
use crate::{Caller, Mall};

/// The longest interval that Stripe has.
const DAYS_MAX: u32 = 1_095;
const MONTHS_MAX: u32 = 36;
/// The number of the key under which the first card that is chosen is charged: the row is made with the one before.
pub(super) const FIRST_CHOICE: i64 = 2;

/// A payable order with the subscription that it begins.
#[derive(Debug, Clone)]
pub(super) struct Renewing {
    pub(super) payable: Payable,
    pub(super) subscription: CashierSubscription,
}

/// How often a plan of a length is paid for: exactly as long as it runs.
fn interval(length: PlanLength) -> Option<Interval> {
    let months = match length.unit {
        PackageType::DayPass | PackageType::Daily => None,
        PackageType::Monthly => Some(1),
        PackageType::Quarterly => Some(3),
        PackageType::HalfYearly => Some(6),
        PackageType::Yearly => Some(12),
    };
    if let Some(months) = months.filter(|_| length.calendar) {
        let months = length.periods.checked_mul(months)?;
        return (months <= MONTHS_MAX).then_some(Interval::Months(months));
    }
    let days = length.periods.checked_mul(length.unit.days())?;
    (days <= DAYS_MAX).then_some(Interval::Days(days))
}

impl Mall {
    /// 6.2: what the client's SDK needs to save the end user's card.
    pub async fn authorise_renewal(
        &self,
        caller: &Caller,
        request: &StripeSubAuth,
    ) -> Result<StripeSubAuthAnswer> {
        let cashier = self.cashier(&caller.partner)?;
        let stripe = &cashier.stripe;
        let mut renewing = self.begin_renewal(caller, &request.pay_id).await?;
        let customer = self.ensure_customer(stripe, &renewing.payable).await;
        let customer = customer.map_err(NoIntent::told)?;
        let setup = self.ensure_setup(stripe, &mut renewing.payable, &customer).await;
        let setup = setup.map_err(NoIntent::told)?;
        let ephemeral_key = self.ephemeral_key(stripe, &customer).await?;
        let client_secret = setup
            .client_secret
            .ok_or_else(|| Error::Internal(format!("{} has no client secret", setup.id)))?;
        Ok(StripeSubAuthAnswer {
            publishable_key: stripe.publishable_key().to_owned(),
            client_secret,
            customer_id: customer,
            ephemeral_key,
        })
    }

    /// 6.3: the subscription, made once. A card that is declined leaves nothing behind, and another may be tried.
    pub async fn subscribe(
        &self,
        caller: &Caller,
        request: &StripeSubDirectly,
    ) -> Result<StripeSubDirectlyAnswer> {
        let cashier = self.cashier(&caller.partner)?;
        let mut renewing = self.begin_renewal(caller, &request.pay_id).await?;
        self.check_subscription(&renewing.payable, request).await?;
        self.choose_card(&mut renewing, &request.pm_id).await?;
        let made = self.ensure_subscription(&cashier.stripe, &mut renewing).await;
        let made = made.map_err(NoIntent::told)?;
        if let Err(error) = self.follow_first(&renewing).await {
            // The job does it again.
            tracing::warn!(%error, "a first invoice is not heeded yet");
        }
        Ok(StripeSubDirectlyAnswer {
            customer_id: renewing.payable.taken.customer_id,
            pay_method: renewing.subscription.method_id,
            product_id: renewing.subscription.product_id,
            status: made.status.as_str().to_owned(),
            sub_id: made.id,
        })
    }

    /// Learns at once what became of the first invoice.
    async fn follow_first(&self, renewing: &Renewing) -> Result<()> {
        let order = &renewing.payable.order;
        if let Some(payable) = self.payable(order).await? {
            self.follow(payable).await?;
        }
        Ok(())
    }

    /// The order of a payment that is to renew, with all that is written down of it.
    async fn begin_renewal(&self, caller: &Caller, pay_id: &str) -> Result<Renewing> {
        let (mode, partner) = (caller.partner.mode, &caller.partner);
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let order = tx.order_by_pay_id(mode, partner.id, pay_id).await?;
            let order = order.filter(|order| order.source == OrderSource::Mall);
            let order = order.ok_or(Code::PaymentUnknown)?;
            let payment = tx.payment_of_order(mode, partner.id, order.id).await?;
            let payment = payment.filter(|payment| payment.channel == Channel::Stripe);
            let payment = payment.ok_or(Code::PaymentUnknown)?;
            if !order.auto_renewal || interval(order.length).is_none() {
                return Err(Code::RenewalNotAllowed.into());
            }
            let now = self.now(mode);
            let waits = matches!(order.state, OrderState::AwaitingPayment { .. });
            let begun = tx.cashier_subscription(mode, partner.id, order.id).await?;
            if begun.is_none() {
                let other = tx.cashier_payment(mode, partner.id, order.id).await?;
                if !waits || other.is_some() {
                    // It is decided, or being paid once.
                    return Err(Refusal::about(Code::OrderConflict, "payId").into());
                }
                tx.add_cashier_customer((mode, partner.id, &order.iccid), now).await?;
                if !tx.add_cashier_payment(mode, partner.id, order.id, now).await? {
                    // Somebody began it at the same moment.
                    return Err(StoreError::Changed("the order's payment").into());
                }
                tx.add_cashier_subscription(mode, partner.id, order.id, now).await?;
            }
            let missing = || Error::Internal(format!("{} lost its subscription", order.id));
            let subscription = tx.cashier_subscription(mode, partner.id, order.id).await?;
            let subscription = subscription.ok_or_else(missing)?;
            let taken = tx.cashier_payment(mode, partner.id, order.id).await?;
            let taken = taken.ok_or_else(missing)?;
            tx.commit().await?;
            let partner = (**partner).clone();
            let payable = Payable { order, payment, partner, taken };
            Ok(Renewing { payable, subscription })
        })
        .await
    }

    async fn check_subscription(
        &self,
        payable: &Payable,
        request: &StripeSubDirectly,
    ) -> Result<()> {
        let amount = payable.payment.amount;
        if amount.currency != request.pay_amount.currency {
            return Err(Refusal::about(Code::CurrencyMismatch, "payCurrency").into());
        }
        if amount != request.pay_amount {
            return Err(Refusal::about(Code::PriceMismatch, "payAmount").into());
        }
        let order = &payable.order;
        let mut tx = self.store.begin().await?;
        let seen = self.partner_now(&mut tx, order.mode, &payable.partner.code).await?;
        let seen = seen.ok_or(Code::PartnerUnknown)?;
        let catalogue = self.catalogue_at(&mut tx, order.mode, seen.versions.catalogue).await?;
        drop(tx);
        match catalogue.plan(&order.plan_code) {
            Some(plan) if plan.plan_id == request.plan_id => Ok(()),
            _ => Err(Refusal::about(Code::PlanUnknown, "plan_id").into()),
        }
    }

    /// Writes down with which card the subscription is being made; another one only once nothing can come of the
    /// one before.
    async fn choose_card(&self, renewing: &mut Renewing, card: &str) -> Result<()> {
        let order = renewing.payable.order.clone();
        let chosen = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let missing = || Error::Internal(format!("{} lost its subscription", order.id));
                let found = tx.cashier_subscription(order.mode, order.partner_id, order.id).await?;
                let mut found = found.ok_or_else(missing)?;
                if found.method_id == card || !found.subscription_id.is_empty() {
                    return Ok(found);
                }
                if !found.method_id.is_empty() {
                    return Err(Code::PaymentProviderUnavailable.into());
                }
                if !matches!(order.state, OrderState::AwaitingPayment { .. }) {
                    return Err(Refusal::about(Code::OrderConflict, "payId").into());
                }
                card.clone_into(&mut found.method_id);
                // Another card is another call: under a key of its own, from now on.
                found.key = CashierKey { no: found.key.no + 1, at: self.now(order.mode) };
                tx.update_cashier_subscription(order.mode, &mut found).await?;
                let now = self.now(order.mode);
                let job = (JobKind::FollowSubscription, order.id.to_string());
                self.write_job(&mut tx, &order, job, next_look(now, now)).await?;
                tx.commit().await?;
                Ok(found)
            })
            .await?;
        renewing.subscription = chosen;
        Ok(())
    }

    /// What saves the card, made if there is none.
    async fn ensure_setup(
        &self,
        stripe: &Stripe,
        payable: &mut Payable,
        customer: &str,
    ) -> std::result::Result<SetupIntent, NoIntent> {
        if !payable.taken.setup_id.is_empty() {
            return Ok(stripe.setup_intent(&payable.taken.setup_id).await?);
        }
        let order = &payable.order;
        let mode = order.mode;
        if !is_fresh(payable.taken.key, self.now(mode)) {
            // One more than is used harms nobody.
            self.renew_payment_key(&mut payable.taken, mode).await?;
        }
        let whose = format!("{mode}-{}-{}", order.partner_id, order.id);
        let key = key_text("setup", &whose, payable.taken.key)?;
        let words = metadata(order, &payable.partner.code);
        let setup = stripe.create_setup_intent(customer, &words, &key).await;
        if let Err(CallError::Trouble { .. }) = setup {
            self.renew_payment_key(&mut payable.taken, mode).await?;
        }
        let setup = setup?;
        let mut noted = payable.taken.clone();
        setup.id.clone_into(&mut noted.setup_id);
        let mut tx = self.store.begin().await?;
        tx.update_cashier_payment(mode, &mut noted).await?;
        tx.commit().await?;
        payable.taken = noted;
        Ok(setup)
    }

    /// The subscription of an order whose card is chosen, made if there is none.
    pub(super) async fn ensure_subscription(
        &self,
        stripe: &Stripe,
        renewing: &mut Renewing,
    ) -> std::result::Result<Subscription, NoIntent> {
        if !renewing.subscription.subscription_id.is_empty() {
            return Ok(stripe.subscription(&renewing.subscription.subscription_id).await?);
        }
        let customer = self.ensure_customer(stripe, &renewing.payable).await?;
        let forgotten = !is_fresh(renewing.subscription.key, self.now(renewing.payable.order.mode));
        if forgotten || renewing.subscription.key.no > FIRST_CHOICE {
            // The key may be forgotten, or a try with another card have arrived after all: what was made is looked
            // for among the customer's.
            if let Some(found) = self.find_subscription(stripe, renewing, &customer).await? {
                self.note_subscription(renewing, &customer, &found).await?;
                return Ok(found);
            }
            if forgotten {
                self.renew_subscription_key(renewing, false).await?;
            }
        }
        let price = self.ensure_price(stripe, &renewing.payable).await?;
        let order = &renewing.payable.order;
        let mut words = metadata(order, &renewing.payable.partner.code);
        words.insert("renewal".to_owned(), order.id.to_string());
        let new = NewSubscription {
            customer: customer.clone(),
            price: price.price_id,
            payment_method: renewing.subscription.method_id.clone(),
            metadata: words,
        };
        price.product_id.clone_into(&mut renewing.subscription.product_id);
        let whose = format!("{}-{}-{}", order.mode, order.partner_id, order.id);
        let key = key_text("subscription", &whose, renewing.subscription.key)?;
        let made = match stripe.create_subscription(&new, &key).await {
            Ok(made) => made,
            Err(trouble @ CallError::Trouble { .. }) => {
                let there = self.find_subscription(stripe, renewing, &customer).await?;
                let Some(found) = there else {
                    self.renew_subscription_key(renewing, false).await?;
                    return Err(trouble.into());
                };
                found
            }
            Err(refused @ (CallError::Declined { .. } | CallError::Refused { .. })) => {
                // Nothing was made, and another card may be tried.
                self.refuse_card(renewing, &refused).await?;
                return Err(refused.into());
            }
            Err(error) => return Err(error.into()),
        };
        self.note_subscription(renewing, &customer, &made).await?;
        Ok(made)
    }

    /// The subscription of an order as it stands at Stripe, if one was made. Nothing is made here: only the client
    /// charges its user's card.
    pub(super) async fn look_for_subscription(
        &self,
        stripe: &Stripe,
        renewing: &mut Renewing,
    ) -> std::result::Result<Option<Subscription>, NoIntent> {
        if !renewing.subscription.subscription_id.is_empty() {
            return Ok(Some(stripe.subscription(&renewing.subscription.subscription_id).await?));
        }
        let order = &renewing.payable.order;
        let mut tx = self.store.read().await?;
        let customer = tx.cashier_customer((order.mode, order.partner_id, &order.iccid)).await?;
        drop(tx);
        let customer = customer.map(|known| known.customer_id).unwrap_or_default();
        if customer.is_empty() {
            return Ok(None);
        }
        let found = self.find_subscription(stripe, renewing, &customer).await?;
        if let Some(found) = &found {
            self.note_subscription(renewing, &customer, found).await?;
        }
        Ok(found)
    }

    /// Nothing came of a try to subscribe: another card may be chosen.
    pub(super) async fn give_up_card(&self, renewing: &mut Renewing) -> Result<()> {
        self.renew_subscription_key(renewing, true).await
    }

    async fn find_subscription(
        &self,
        stripe: &Stripe,
        renewing: &Renewing,
        customer: &str,
    ) -> std::result::Result<Option<Subscription>, NoIntent> {
        let id = renewing.payable.order.id.to_string();
        let mut after: Option<String> = None;
        loop {
            let page = stripe.subscriptions_of(customer, after.as_deref()).await?;
            let own = |one: &&Subscription| one.metadata.get("renewal") == Some(&id);
            if let Some(found) = page.data.iter().find(own) {
                return Ok(Some(found.clone()));
            }
            match page.data.last() {
                Some(last) if page.has_more => after = Some(last.id.clone()),
                _ => return Ok(None),
            }
        }
    }

    /// A card was not charged: another may be chosen, and the partner is told where it was declined. Of two who tried
    /// the same at once one writes that down.
    async fn refuse_card(&self, renewing: &Renewing, refused: &CallError) -> Result<()> {
        let order = &renewing.payable.order;
        let declined = match refused {
            CallError::Declined { code, decline_code, .. } => {
                Some(decline_code.as_deref().or(code.as_deref()).unwrap_or_default())
            }
            _ => None,
        };
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let found = tx.cashier_subscription(order.mode, order.partner_id, order.id).await?;
            let Some(found) = found.filter(|found| found.key == renewing.subscription.key) else {
                return Ok(());
            };
            let mut renewed = self.with_fresh_key(&found, order.mode, true);
            // Its price stays, whichever card is charged.
            renewing.subscription.product_id.clone_into(&mut renewed.product_id);
            tx.update_cashier_subscription(order.mode, &mut renewed).await?;
            if let Some(word) = declined {
                self.tell_not_paid(&mut tx, order, word).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    /// A subscription under a fresh key, for which another card may be chosen if `free`.
    fn with_fresh_key(
        &self,
        known: &CashierSubscription,
        mode: Mode,
        free: bool,
    ) -> CashierSubscription {
        let mut renewed = known.clone();
        renewed.key = CashierKey { no: known.key.no + 1, at: self.now(mode) };
        if free {
            renewed.method_id.clear();
        }
        renewed
    }

    async fn renew_subscription_key(&self, renewing: &mut Renewing, free: bool) -> Result<()> {
        let mode = renewing.payable.order.mode;
        let mut renewed = self.with_fresh_key(&renewing.subscription, mode, free);
        let mut tx = self.store.begin().await?;
        tx.update_cashier_subscription(mode, &mut renewed).await?;
        tx.commit().await?;
        renewing.subscription = renewed;
        Ok(())
    }

    /// Writes down what Stripe calls the subscription, and that its first invoice's payment is the order's.
    async fn note_subscription(
        &self,
        renewing: &mut Renewing,
        customer: &str,
        there: &Subscription,
    ) -> Result<()> {
        let invoice = there.latest_invoice.object();
        let intent = invoice.and_then(|invoice| invoice.intent_id()).unwrap_or_default();
        let product = renewing.subscription.product_id.clone();
        let order = renewing.payable.order.clone();
        let (mode, partner) = (order.mode, order.partner_id);
        let noted = self
            .retry(|| async {
                let mut tx = self.store.begin().await?;
                let missing = || Error::Internal(format!("{} lost its subscription", order.id));
                let found = tx.cashier_subscription(mode, partner, order.id).await?;
                let mut found = found.ok_or_else(missing)?;
                if !found.subscription_id.is_empty() {
                    return Ok(found);
                }
                there.id.clone_into(&mut found.subscription_id);
                product.clone_into(&mut found.product_id);
                there.status.as_str().clone_into(&mut found.status);
                found.period_ends_at = Some(at_seconds(there.current_period_end));
                tx.update_cashier_subscription(mode, &mut found).await?;
                let taken = tx.cashier_payment(mode, partner, order.id).await?;
                let mut taken = taken.ok_or_else(missing)?;
                customer.clone_into(&mut taken.customer_id);
                intent.clone_into(&mut taken.intent_id);
                tx.update_cashier_payment(mode, &mut taken).await?;
                let payment = tx.payment_of_order(mode, partner, order.id).await?;
                let mut payment = payment.ok_or_else(missing)?;
                if payment.state == PaymentState::Created {
                    let state = payment.state.on(PaymentEvent::Started)?;
                    tx.update_payment(mode, partner, &mut payment, state).await?;
                }
                let now = self.now(mode);
                let job = (JobKind::FollowPayment, order.id.to_string());
                self.write_job(&mut tx, &order, job, now).await?;
                tx.commit().await?;
                Ok(found)
            })
            .await?;
        customer.clone_into(&mut renewing.payable.taken.customer_id);
        renewing.subscription = noted;
        Ok(())
    }

    /// What the plan costs each time, made once for each offer.
    async fn ensure_price(
        &self,
        stripe: &Stripe,
        payable: &Payable,
    ) -> std::result::Result<CashierPrice, NoIntent> {
        let (order, amount) = (&payable.order, payable.payment.amount);
        let interval = interval(order.length).ok_or(Error::from(Code::RenewalNotAllowed))?;
        let offer = format!("{interval:?} {} {}", amount.minor, amount.currency.code());
        let offer: Offer<'_> = (order.mode, order.partner_id, &order.plan_code, &offer);
        let known = self.known_price(offer).await?;
        if !known.price_id.is_empty() {
            return Ok(known);
        }
        let mut key = known.key;
        if !is_fresh(key, self.now(order.mode)) {
            // A price more than is used harms nobody.
            key = self.renew_price(offer, key).await?;
        }
        let made = self.make_price(stripe, order, (amount, interval), (offer, key)).await;
        // The key has this answer for good, or belongs to what was begun for another order under another name.
        if let Err(CallError::Trouble { .. } | CallError::KeyConflict { .. }) = made {
            self.renew_price(offer, key).await?;
        }
        let (product, price) = made?;
        let mut tx = self.store.begin().await?;
        tx.cashier_price_found(offer, (&product, &price)).await?;
        tx.commit().await?;
        Ok(self.known_price(offer).await?)
    }

    async fn make_price(
        &self,
        stripe: &Stripe,
        order: &Order,
        (amount, interval): (domain::Money, Interval),
        (offer, key): (Offer<'_>, CashierKey),
    ) -> std::result::Result<(String, String), CallError> {
        let broken = |message: String| CallError::Refused { code: None, param: None, message };
        let (mode, partner, plan, length) = offer;
        let whose = format!("{mode}-{partner}-{plan}-{length}").replace(' ', "_");
        let text =
            |what: &str| key_text(what, &whose, key).map_err(|error| broken(error.to_string()));
        let units = minor_units::to_stripe(amount).map_err(|error| broken(error.to_string()))?;
        let name = if order.show_name.is_empty() { &order.plan_code } else { &order.show_name };
        let product = stripe.create_product(name, &text("product")?).await?;
        let new = NewPrice {
            product: product.id.clone(),
            amount: units,
            currency: amount.currency.code().to_lowercase(),
            interval,
        };
        let price = stripe.create_price(&new, &text("price")?).await?;
        Ok((product.id, price.id))
    }

    async fn known_price(&self, offer: Offer<'_>) -> Result<CashierPrice> {
        let mut tx = self.store.begin().await?;
        let price = tx.cashier_price(offer, self.now(offer.0)).await?;
        tx.commit().await?;
        price.ok_or_else(|| Error::Internal(format!("{} lost its price", offer.2)))
    }

    async fn renew_price(&self, offer: Offer<'_>, old: CashierKey) -> Result<CashierKey> {
        let now = self.now(offer.0);
        let mut tx = self.store.begin().await?;
        tx.renew_price_key(offer, old, now).await?;
        tx.commit().await?;
        Ok(CashierKey { no: old.no + 1, at: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_paid_for_as_often_as_it_runs_out() {
        let of = |unit, periods, calendar| interval(PlanLength { unit, periods, calendar });
        assert_eq!(of(PackageType::Monthly, 1, false), Some(Interval::Days(30)));
        assert_eq!(of(PackageType::Monthly, 1, true), Some(Interval::Months(1)));
        assert_eq!(of(PackageType::Quarterly, 2, true), Some(Interval::Months(6)));
        assert_eq!(of(PackageType::Yearly, 3, false), Some(Interval::Days(1_095)));
        assert_eq!(of(PackageType::Yearly, 4, false), None);
        assert_eq!(of(PackageType::Daily, 7, true), Some(Interval::Days(7)));
        assert_eq!(of(PackageType::Yearly, 4, true), None);
    }
}
