//! Subscriptions at the cashier, and the prices that they are paid by.

use domain::id::{OrderId, PartnerId};
use domain::{Mode, Timestamp};

use crate::cashier::CashierKey;
use crate::engine::{Tx, execute, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

/// The columns of [`SubscriptionRow`].
macro_rules! subscription {
    ($rest:literal) => {
        concat!(
            "SELECT partner_id, order_id, key_no, key_at, method_id, subscription_id, product_id,
            status, period_ends_at, decline_code, next_try_at, ends, version
            FROM cashier_subscriptions WHERE mode = $1 ",
            $rest
        )
    };
}

statements! {
    PRICE = "SELECT key_no, key_at, product_id, price_id FROM cashier_prices
        WHERE mode = $1 AND partner_id = $2 AND plan_code = $3 AND offer = $4";
    ADD_PRICE = "INSERT INTO cashier_prices (mode, partner_id, plan_code, offer, key_no, key_at, product_id,
        price_id) VALUES ($1, $2, $3, $4, 1, $5, '', '') ON CONFLICT DO NOTHING";
    PRICE_KEY = "UPDATE cashier_prices SET key_no = $5 + 1, key_at = $6 WHERE mode = $1 AND partner_id = $2
        AND plan_code = $3 AND offer = $4 AND key_no = $5 AND price_id = ''";
    PRICE_FOUND = "UPDATE cashier_prices SET product_id = $5, price_id = $6
        WHERE mode = $1 AND partner_id = $2 AND plan_code = $3 AND offer = $4 AND price_id = ''";
    BY_ORDER = subscription!("AND partner_id = $2 AND order_id = $3");
    BY_ID = subscription!("AND subscription_id = $2 AND subscription_id <> ''");
    ADD = "INSERT INTO cashier_subscriptions (mode, partner_id, order_id, key_no, key_at, method_id,
        subscription_id, product_id, status, period_ends_at, decline_code, next_try_at, ends, version)
        VALUES ($1, $2, $3, 1, $4, '', '', '', '', NULL, '', NULL, $5, 0) ON CONFLICT DO NOTHING";
    UPDATE = "UPDATE cashier_subscriptions SET key_no = $4, key_at = $5, method_id = $6,
        subscription_id = $7, product_id = $8, status = $9, period_ends_at = $10, decline_code = $11,
        next_try_at = $12, ends = $13, version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND order_id = $3 AND version = $14";
}

/// What an auto-renewal costs, at the cashier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CashierPrice {
    /// Under which both are, or were, made.
    pub key: CashierKey,
    /// What is sold; empty until it is known.
    pub product_id: String,
    /// What it costs; empty until it is known.
    pub price_id: String,
}

/// A subscription at the cashier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CashierSubscription {
    /// Whose order it is.
    pub partner_id: PartnerId,
    /// The order with which it begins.
    pub order_id: OrderId,
    /// Under which it is, or was, made.
    pub key: CashierKey,
    /// With which card it is being made; empty while none is.
    pub method_id: String,
    /// What the cashier calls it; empty until that is known.
    pub subscription_id: String,
    /// What it sells; empty until that is known.
    pub product_id: String,
    /// The cashier's word for how it stands; empty until that is known.
    pub status: String,
    /// When the running period ends.
    pub period_ends_at: Option<Timestamp>,
    /// Why its last invoice is not paid; empty otherwise.
    pub decline_code: String,
    /// When that is tried again.
    pub next_try_at: Option<Timestamp>,
    /// It is to be ended at the cashier.
    pub ends: bool,
    /// Grows with each change.
    pub version: i64,
}

#[derive(sqlx::FromRow)]
struct PriceRow {
    key_no: i64,
    key_at: i64,
    product_id: String,
    price_id: String,
}

#[derive(sqlx::FromRow)]
struct SubscriptionRow {
    partner_id: String,
    order_id: String,
    key_no: i64,
    key_at: i64,
    method_id: String,
    subscription_id: String,
    product_id: String,
    status: String,
    period_ends_at: Option<i64>,
    decline_code: String,
    next_try_at: Option<i64>,
    ends: bool,
    version: i64,
}

impl SubscriptionRow {
    fn into_subscription(self) -> Result<CashierSubscription> {
        let row = Row { table: "cashier_subscriptions", key: &self.order_id };
        Ok(CashierSubscription {
            partner_id: row.parse("partner_id", &self.partner_id)?,
            order_id: row.parse("order_id", &self.order_id)?,
            key: CashierKey { no: self.key_no, at: Timestamp::from_micros(self.key_at) },
            method_id: self.method_id,
            subscription_id: self.subscription_id,
            product_id: self.product_id,
            status: self.status,
            period_ends_at: self.period_ends_at.map(Timestamp::from_micros),
            decline_code: self.decline_code,
            next_try_at: self.next_try_at.map(Timestamp::from_micros),
            ends: self.ends,
            version: self.version,
        })
    }
}

/// Whose price, of which plan, and how much for how long.
pub type Offer<'a> = (Mode, PartnerId, &'a str, &'a str);

impl Tx {
    /// The price of an offer, with a first key if there was none.
    pub async fn cashier_price(
        &mut self,
        (mode, partner, plan, offer): Offer<'_>,
        now: Timestamp,
    ) -> Result<Option<CashierPrice>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        execute!(self, ADD_PRICE, mode, &partner, plan, offer, now.as_micros())?;
        let row = fetch_optional!(self, PriceRow, PRICE, mode, &partner, plan, offer)?;
        Ok(row.map(|row| CashierPrice {
            key: CashierKey { no: row.key_no, at: Timestamp::from_micros(row.key_at) },
            product_id: row.product_id,
            price_id: row.price_id,
        }))
    }

    /// Gives a price that is not known yet a fresh key.
    pub async fn renew_price_key(
        &mut self,
        (mode, partner, plan, offer): Offer<'_>,
        old: CashierKey,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let at = now.as_micros();
        let changed = execute!(self, PRICE_KEY, mode, partner, plan, offer, old.no, at)?;
        one_row(changed, "the price")
    }

    /// Notes what the cashier calls a price and its product, unless that is known; whether it was not.
    pub async fn cashier_price_found(
        &mut self,
        (mode, partner, plan, offer): Offer<'_>,
        (product, price): (&str, &str),
    ) -> Result<bool> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        Ok(execute!(self, PRICE_FOUND, mode, partner, plan, offer, product, price)? == 1)
    }

    /// The subscription that an order began.
    pub async fn cashier_subscription(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
    ) -> Result<Option<CashierSubscription>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let id = order_id.to_string();
        let row = fetch_optional!(self, SubscriptionRow, BY_ORDER, mode, partner, id)?;
        row.map(SubscriptionRow::into_subscription).transpose()
    }

    /// A subscription by what the cashier calls it.
    pub async fn cashier_subscription_by_id(
        &mut self,
        mode: Mode,
        subscription_id: &str,
    ) -> Result<Option<CashierSubscription>> {
        let mode = mode.as_str();
        let row = fetch_optional!(self, SubscriptionRow, BY_ID, mode, subscription_id)?;
        row.map(SubscriptionRow::into_subscription).transpose()
    }

    /// Writes down the first key of an order's subscription, unless there is one.
    pub async fn add_cashier_subscription(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner, id) = (mode.as_str(), partner.to_string(), order_id.to_string());
        execute!(self, ADD, mode, partner, id, now.as_micros(), false)?;
        Ok(())
    }

    /// Writes a subscription as it is now, provided that nobody changed it since it was read.
    pub async fn update_cashier_subscription(
        &mut self,
        mode: Mode,
        subscription: &mut CashierSubscription,
    ) -> Result<()> {
        let changed = execute!(
            self,
            UPDATE,
            mode.as_str(),
            subscription.partner_id.to_string(),
            subscription.order_id.to_string(),
            subscription.key.no,
            subscription.key.at.as_micros(),
            &subscription.method_id,
            &subscription.subscription_id,
            &subscription.product_id,
            &subscription.status,
            subscription.period_ends_at.map(Timestamp::as_micros),
            &subscription.decline_code,
            subscription.next_try_at.map(Timestamp::as_micros),
            subscription.ends,
            subscription.version,
        )?;
        one_row(changed, "the subscription")?;
        subscription.version += 1;
        Ok(())
    }
}
