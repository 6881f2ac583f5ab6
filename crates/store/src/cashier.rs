//! The mall's own cashier: customers, what it was asked to take for orders, and the events it told of.
//!
//! An idempotency key is a number and the time it was made; both are stored before the call that uses it.

use domain::id::{OrderId, PartnerId};
use domain::{Iccid, Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

/// The columns of [`PaymentRow`].
macro_rules! payment {
    ($rest:literal) => {
        concat!(
            "SELECT partner_id, order_id, key_no, key_at, customer_id, intent_id, charge_id,
            setup_id, begun_at, asked_at, decline_code, version FROM cashier_payments WHERE mode = $1 ",
            $rest
        )
    };
}

statements! {
    CUSTOMER = "SELECT key_no, key_at, customer_id FROM cashier_customers
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
    IS_CUSTOMER = "SELECT 1 FROM cashier_customers WHERE mode = $1 AND customer_id = $2
        AND customer_id <> '' LIMIT 1";
    ADD_CUSTOMER = "INSERT INTO cashier_customers (mode, partner_id, iccid, key_no, key_at, customer_id)
        VALUES ($1, $2, $3, 1, $4, '') ON CONFLICT DO NOTHING";
    CUSTOMER_KEY = "UPDATE cashier_customers SET key_no = key_no + 1, key_at = $5
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3 AND key_no = $4 AND customer_id = ''";
    CUSTOMER_FOUND = "UPDATE cashier_customers SET customer_id = $4
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3 AND customer_id IN ('', $4)";
    PAYMENT = payment!("AND partner_id = $2 AND order_id = $3");
    PAYMENT_BY_INTENT = payment!("AND intent_id = $2 AND intent_id <> ''");
    ADD_PAYMENT = "INSERT INTO cashier_payments (mode, partner_id, order_id, key_no, key_at, customer_id,
        intent_id, charge_id, setup_id, begun_at, asked_at, decline_code, version)
        VALUES ($1, $2, $3, 1, $4, '', '', '', '', $4, NULL, '', 0) ON CONFLICT DO NOTHING";
    UPDATE_PAYMENT = "UPDATE cashier_payments SET key_no = $4, key_at = $5, customer_id = $6,
        intent_id = $7, charge_id = $8, asked_at = $9, decline_code = $10, setup_id = $12,
        version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND order_id = $3 AND version = $11";
    MAY_ASK = "UPDATE cashier_payments SET asked_at = $4 WHERE mode = $1 AND partner_id = $2
        AND order_id = $3 AND (asked_at IS NULL OR asked_at <= $5)";
    ADD_EVENT = "INSERT INTO cashier_events (mode, event_id, event_type, object_id, partner_id, order_id,
        created_at, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    EVENTS_OF_ORDER = "SELECT event_id, event_type, object_id, partner_id, order_id, created_at, received_at
        FROM cashier_events WHERE mode = $1 AND partner_id = $2 AND order_id = $3
        ORDER BY received_at, event_id LIMIT 200";
    FORGET_EVENTS = "DELETE FROM cashier_events WHERE received_at < $1";
}

/// An idempotency key as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CashierKey {
    /// Grows when an older one is not used any more.
    pub no: i64,
    /// When it was made.
    pub at: Timestamp,
}

/// The cashier's customer of a SIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CashierCustomer {
    /// Under which it is, or was, made.
    pub key: CashierKey,
    /// What the cashier calls it; empty until that is known.
    pub customer_id: String,
}

/// The cashier's part of an order's payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CashierPayment {
    /// Whose order it is.
    pub partner_id: PartnerId,
    /// The order.
    pub order_id: OrderId,
    /// Under which the intent is, or was, made.
    pub key: CashierKey,
    /// Who is to pay; empty until that is known.
    pub customer_id: String,
    /// The `PaymentIntent`; empty until it is known.
    pub intent_id: String,
    /// The charge that took the money; empty until it is known.
    pub charge_id: String,
    /// What saves the card of an auto-renewal; empty until there is one.
    pub setup_id: String,
    /// When payment was begun.
    pub begun_at: Timestamp,
    /// When the cashier was last asked.
    pub asked_at: Option<Timestamp>,
    /// Why the last try was declined; empty otherwise.
    pub decline_code: String,
    /// Grows with each change.
    pub version: i64,
}

/// An event of the cashier, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CashierEvent {
    /// Its id, the same whenever it comes again.
    pub id: String,
    /// What it says that happened.
    pub kind: String,
    /// To what.
    pub object_id: String,
    /// Whose it is, if that is known: a partner's and its order's.
    pub order: Option<(PartnerId, OrderId)>,
    /// When it happened, by the cashier's clock.
    pub created_at: Timestamp,
    /// When it came first.
    pub received_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct CustomerRow {
    key_no: i64,
    key_at: i64,
    customer_id: String,
}

#[derive(sqlx::FromRow)]
struct PaymentRow {
    partner_id: String,
    order_id: String,
    key_no: i64,
    key_at: i64,
    customer_id: String,
    intent_id: String,
    charge_id: String,
    setup_id: String,
    begun_at: i64,
    asked_at: Option<i64>,
    decline_code: String,
    version: i64,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    event_id: String,
    event_type: String,
    object_id: String,
    partner_id: String,
    order_id: String,
    created_at: i64,
    received_at: i64,
}

impl PaymentRow {
    fn into_payment(self) -> Result<CashierPayment> {
        let row = Row { table: "cashier_payments", key: &self.order_id };
        Ok(CashierPayment {
            partner_id: row.parse("partner_id", &self.partner_id)?,
            order_id: row.parse("order_id", &self.order_id)?,
            key: CashierKey { no: self.key_no, at: Timestamp::from_micros(self.key_at) },
            customer_id: self.customer_id,
            intent_id: self.intent_id,
            charge_id: self.charge_id,
            setup_id: self.setup_id,
            begun_at: Timestamp::from_micros(self.begun_at),
            asked_at: self.asked_at.map(Timestamp::from_micros),
            decline_code: self.decline_code,
            version: self.version,
        })
    }
}

impl EventRow {
    fn into_event(self) -> Result<CashierEvent> {
        let row = Row { table: "cashier_events", key: &self.event_id };
        let order = match self.order_id.as_str() {
            "" => None,
            id => Some((row.parse("partner_id", &self.partner_id)?, row.parse("order_id", id)?)),
        };
        Ok(CashierEvent {
            id: self.event_id,
            kind: self.event_type,
            object_id: self.object_id,
            order,
            created_at: Timestamp::from_micros(self.created_at),
            received_at: Timestamp::from_micros(self.received_at),
        })
    }
}

impl Tx {
    /// The customer of a SIM.
    pub async fn cashier_customer(
        &mut self,
        (mode, partner, iccid): (Mode, PartnerId, &Iccid),
    ) -> Result<Option<CashierCustomer>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, CustomerRow, CUSTOMER, mode, partner, iccid.as_str())?;
        Ok(row.map(|row| CashierCustomer {
            key: CashierKey { no: row.key_no, at: Timestamp::from_micros(row.key_at) },
            customer_id: row.customer_id,
        }))
    }

    /// Whether the cashier's customer is one of ours.
    pub async fn is_cashier_customer(&mut self, mode: Mode, customer_id: &str) -> Result<bool> {
        let row = fetch_optional!(self, (i32,), IS_CUSTOMER, mode.as_str(), customer_id)?;
        Ok(row.is_some())
    }

    /// Writes down the first key of a SIM's customer, unless there is one.
    pub async fn add_cashier_customer(
        &mut self,
        (mode, partner, iccid): (Mode, PartnerId, &Iccid),
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        execute!(self, ADD_CUSTOMER, mode, partner, iccid.as_str(), now.as_micros())?;
        Ok(())
    }

    /// Gives a customer that is not known yet a fresh key.
    pub async fn renew_customer_key(
        &mut self,
        (mode, partner, iccid): (Mode, PartnerId, &Iccid),
        old: CashierKey,
        now: Timestamp,
    ) -> Result<()> {
        let (mode, partner, now) = (mode.as_str(), partner.to_string(), now.as_micros());
        let changed = execute!(self, CUSTOMER_KEY, mode, partner, iccid.as_str(), old.no, now)?;
        one_row(changed, "the customer")
    }

    /// Notes what the cashier calls a SIM's customer; a SIM never changes its customer.
    pub async fn cashier_customer_found(
        &mut self,
        (mode, partner, iccid): (Mode, PartnerId, &Iccid),
        customer_id: &str,
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let changed = execute!(self, CUSTOMER_FOUND, mode, partner, iccid.as_str(), customer_id)?;
        one_row(changed, "the customer")
    }

    /// The cashier's part of an order's payment.
    pub async fn cashier_payment(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
    ) -> Result<Option<CashierPayment>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, PaymentRow, PAYMENT, mode, partner, order_id.to_string())?;
        row.map(PaymentRow::into_payment).transpose()
    }

    /// The payment of an intent, whosoever it is.
    pub async fn cashier_payment_of_intent(
        &mut self,
        mode: Mode,
        intent_id: &str,
    ) -> Result<Option<CashierPayment>> {
        let row = fetch_optional!(self, PaymentRow, PAYMENT_BY_INTENT, mode.as_str(), intent_id)?;
        row.map(PaymentRow::into_payment).transpose()
    }

    /// Writes down the first key of an order's intent, unless there is one; whether it did.
    pub async fn add_cashier_payment(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
        now: Timestamp,
    ) -> Result<bool> {
        let (mode, partner, order_id) = (mode.as_str(), partner.to_string(), order_id.to_string());
        Ok(execute!(self, ADD_PAYMENT, mode, partner, order_id, now.as_micros())? == 1)
    }

    /// Writes a payment as it is now, provided that nobody changed it since it was read.
    pub async fn update_cashier_payment(
        &mut self,
        mode: Mode,
        payment: &mut CashierPayment,
    ) -> Result<()> {
        let changed = execute!(
            self,
            UPDATE_PAYMENT,
            mode.as_str(),
            payment.partner_id.to_string(),
            payment.order_id.to_string(),
            payment.key.no,
            payment.key.at.as_micros(),
            &payment.customer_id,
            &payment.intent_id,
            &payment.charge_id,
            payment.asked_at.map(Timestamp::as_micros),
            &payment.decline_code,
            payment.version,
            &payment.setup_id,
        )?;
        one_row(changed, "the cashier's payment")?;
        payment.version += 1;
        Ok(())
    }

    /// Takes the right to ask the cashier of a payment, unless somebody asked after a time.
    pub async fn may_ask_cashier(
        &mut self,
        mode: Mode,
        payment: &CashierPayment,
        (now, before): (Timestamp, Timestamp),
    ) -> Result<bool> {
        let (partner, order) = (payment.partner_id.to_string(), payment.order_id.to_string());
        let (now, before) = (now.as_micros(), before.as_micros());
        Ok(execute!(self, MAY_ASK, mode.as_str(), partner, order, now, before)? == 1)
    }

    /// Stores an event; whether it is new.
    pub async fn add_cashier_event(&mut self, mode: Mode, event: &CashierEvent) -> Result<bool> {
        let (partner, order) = match event.order {
            Some((partner, order)) => (partner.to_string(), order.to_string()),
            None => (String::new(), String::new()),
        };
        let added = execute!(
            self,
            ADD_EVENT,
            mode.as_str(),
            &event.id,
            &event.kind,
            &event.object_id,
            partner,
            order,
            event.created_at.as_micros(),
            event.received_at.as_micros(),
        )?;
        Ok(added == 1)
    }

    /// The events of an order, in the order in which they came.
    pub async fn cashier_events(
        &mut self,
        mode: Mode,
        partner: PartnerId,
        order_id: OrderId,
    ) -> Result<Vec<CashierEvent>> {
        let (mode, partner, order_id) = (mode.as_str(), partner.to_string(), order_id.to_string());
        let rows = fetch_all!(self, EventRow, EVENTS_OF_ORDER, mode, partner, order_id)?;
        rows.into_iter().map(EventRow::into_event).collect()
    }

    /// Forgets the events that came before a time.
    pub async fn forget_cashier_events(&mut self, before: Timestamp) -> Result<u64> {
        Ok(execute!(self, FORGET_EVENTS, before.as_micros())?)
    }
}
