//! The calls of a partner, one method each.

use serde_json::Value;
use wire::payment::{
    RESULT_CONFIRM, RESULT_QUERY, ResultQueryAnswer, STRIPE_SINGLE_AUTH, STRIPE_SUB_AUTH,
    STRIPE_SUB_DIRECTLY, StripeSingleAuthAnswer, StripeSubAuthAnswer, StripeSubDirectlyAnswer,
};
use wire::renewals::{
    AutoRenewalRecord, AutoRenewalRecordListAnswer, CANCEL_AUTO_RENEWAL_RECORD,
    QUERY_AUTO_RENEWAL_RECORD, QUERY_AUTO_RENEWAL_RECORD_LIST,
};
use wire::topup::{Order, OrderPage, QUERY_ORDER, QUERY_SIM, QUERY_SIM_USAGE, SimStatus, SimUsage};
use wire::vshop::{
    SINGLE_ORDER, SINGLE_QUERY_ORDER, SINGLE_SERVICE_PLAN_PAGE, SINGLE_VERIFY, SYN_ORDER_INFO,
    SingleOrderAnswer, SingleQueryOrderAnswer, SingleServicePlanPageAnswer, SingleVerifyAnswer,
    SynOrderInfoAnswer,
};

use crate::client::{Client, Error, Fields};

/// An order to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewOrder {
    /// The SIM's ICCID.
    pub iccid: String,
    /// The order's number, made by you and never used again.
    pub order_no: String,
    /// The payment's number, made by you and never used again.
    pub pay_id: String,
    /// Your own reference; may be empty.
    pub request_order_id: String,
    /// The plan's code.
    pub service_plan_code: String,
    /// The package's code.
    pub package_code: String,
    /// How many periods.
    pub order_period: u32,
    /// The amount in major units: `12.36`.
    pub pay_amount: String,
    /// ISO 4217.
    pub pay_currency: String,
    /// Whether it shall renew by itself.
    pub auto_renewal: bool,
}

/// An order that you were paid for, or were not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PaidOrder {
    /// What was sold.
    pub order: NewOrder,
    /// What you owe the operator per period: `12.36`.
    pub settle_price: String,
    /// `SUCCESS` if you were paid.
    pub pay_rst: String,
    /// `1` paid, `0` failed, anything else not known yet.
    pub pay_status: String,
    /// `yyyy-MM-dd HH:mm:ss` in your zone; may be empty.
    pub pay_result_date: String,
    /// Your payment's reference; may be empty.
    pub transaction_id: String,
    /// The order that this one renews; may be empty.
    pub org_order_id: String,
    /// What the end user paid per period; may be empty.
    pub pay_unit: String,
    /// Your code of the way of payment; may be empty.
    pub pay_type: String,
    /// Your code of the account; may be empty.
    pub pay_account: String,
}

fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

impl NewOrder {
    /// The fields as they are sent.
    pub fn fields(&self) -> Fields<'static> {
        vec![
            ("deviceCode", text(&self.iccid)),
            ("orderNo", text(&self.order_no)),
            ("payId", text(&self.pay_id)),
            ("requestOrderId", text(&self.request_order_id)),
            ("servicePlanCode", text(&self.service_plan_code)),
            ("packageCode", text(&self.package_code)),
            ("orderPeriod", text(self.order_period.to_string())),
            ("payAmount", text(&self.pay_amount)),
            ("payCurrency", text(&self.pay_currency)),
            ("autoRenewal", text(if self.auto_renewal { "1" } else { "0" })),
        ]
    }
}

impl PaidOrder {
    /// The fields as they are sent.
    pub fn fields(&self) -> Fields<'static> {
        let mut fields = self.order.fields();
        fields.extend([
            ("settlePrice", text(&self.settle_price)),
            ("payRst", text(&self.pay_rst)),
            ("payStatus", text(&self.pay_status)),
            ("payResultDate", text(&self.pay_result_date)),
            ("transactionId", text(&self.transaction_id)),
            ("orgOrderId", text(&self.org_order_id)),
            ("payUnit", text(&self.pay_unit)),
            ("payType", text(&self.pay_type)),
            ("payAccount", text(&self.pay_account)),
        ]);
        fields
    }
}

impl Client {
    /// How a card stands.
    pub async fn single_verify(&self, iccid: &str) -> Result<SingleVerifyAnswer, Error> {
        self.call(&SINGLE_VERIFY, vec![("deviceCode", text(iccid))]).await
    }

    /// The plans that a card can buy in an area (empty: anywhere), a page of 200 from 1 on.
    pub async fn single_service_plan_page(
        &self,
        iccid: &str,
        area: &str,
        page_no: u32,
    ) -> Result<SingleServicePlanPageAnswer, Error> {
        let page = ("pageNo", text(page_no.to_string()));
        let fields = vec![
            ("deviceCode", text(iccid)),
            ("area", text(area)),
            page,
            ("pageSize", text("200")),
        ];
        self.call(&SINGLE_SERVICE_PLAN_PAGE, fields).await
    }

    /// Makes an order that the mall takes the payment of.
    pub async fn single_order(&self, order: &NewOrder) -> Result<SingleOrderAnswer, Error> {
        self.call(&SINGLE_ORDER, order.fields()).await
    }

    /// Reports an order that you were paid for.
    pub async fn syn_order_info(&self, order: &PaidOrder) -> Result<SynOrderInfoAnswer, Error> {
        self.call(&SYN_ORDER_INFO, order.fields()).await
    }

    /// What runs on a card, and what waits.
    pub async fn single_query_order(&self, iccid: &str) -> Result<SingleQueryOrderAnswer, Error> {
        self.call(&SINGLE_QUERY_ORDER, vec![("deviceCode", text(iccid))]).await
    }

    /// The auto-renewal in force for a card.
    pub async fn query_auto_renewal_record(
        &self,
        iccid: &str,
    ) -> Result<Option<AutoRenewalRecord>, Error> {
        let fields = vec![("deviceCode", text(iccid))];
        let record: Value = self.call(&QUERY_AUTO_RENEWAL_RECORD, fields).await?;
        if record.as_object().is_some_and(serde_json::Map::is_empty) {
            return Ok(None);
        }
        serde_json::from_value(record)
            .map(Some)
            .map_err(|error| Error::Unreadable(error.to_string()))
    }

    /// All auto-renewals of a card, the newest first.
    pub async fn query_auto_renewal_record_list(
        &self,
        iccid: &str,
    ) -> Result<AutoRenewalRecordListAnswer, Error> {
        self.call(&QUERY_AUTO_RENEWAL_RECORD_LIST, vec![("deviceCode", text(iccid))]).await
    }

    /// Cancels an auto-renewal. Cancelling twice succeeds.
    pub async fn cancel_auto_renewal_record(
        &self,
        iccid: &str,
        order_no: &str,
        pay_id: &str,
    ) -> Result<(), Error> {
        let fields =
            vec![("deviceCode", text(iccid)), ("orderNo", text(order_no)), ("payId", text(pay_id))];
        self.call::<Value>(&CANCEL_AUTO_RENEWAL_RECORD, fields).await.map(|_| ())
    }

    /// 6.1: what Stripe's SDK needs to let the end user pay; amount and currency are those of the order.
    pub async fn stripe_single_auth(
        &self,
        pay_id: &str,
        (amount, currency): (&str, &str),
        email: &str,
    ) -> Result<StripeSingleAuthAnswer, Error> {
        let fields = vec![
            ("payId", text(pay_id)),
            ("payAmount", text(amount)),
            ("payCurrency", text(currency)),
            ("email", text(email)),
        ];
        self.call(&STRIPE_SINGLE_AUTH, fields).await
    }

    /// 6.2: what Stripe's SDK needs to save the end user's card.
    pub async fn stripe_sub_auth(&self, pay_id: &str) -> Result<StripeSubAuthAnswer, Error> {
        self.call(&STRIPE_SUB_AUTH, vec![("payId", text(pay_id))]).await
    }

    /// 6.3: the subscription, whose first invoice pays the order.
    pub async fn stripe_sub_directly(
        &self,
        pay_id: &str,
        (amount, currency): (&str, &str),
        (plan_id, pm_id): (&str, &str),
    ) -> Result<StripeSubDirectlyAnswer, Error> {
        let fields = vec![
            ("payId", text(pay_id)),
            ("payAmount", text(amount)),
            ("payCurrency", text(currency)),
            ("plan_id", text(plan_id)),
            ("pm_id", text(pm_id)),
            ("email", text("")),
        ];
        self.call(&STRIPE_SUB_DIRECTLY, fields).await
    }

    /// 6.5: tells that the SDK's flow ended, and gives the result that Stripe gives now.
    pub async fn result_confirm(&self, pay_id: &str) -> Result<ResultQueryAnswer, Error> {
        self.call(&RESULT_CONFIRM, vec![("payId", text(pay_id))]).await
    }

    /// The result of a payment.
    pub async fn result_query(&self, pay_id: &str) -> Result<ResultQueryAnswer, Error> {
        self.call(&RESULT_QUERY, vec![("payId", text(pay_id))]).await
    }

    /// An order by `orderNo` or the mall's own id.
    pub async fn order(&self, order_id: &str) -> Result<Order, Error> {
        self.call(&QUERY_ORDER, vec![("order_id", text(order_id))]).await
    }

    /// The most recent paid order of your own reference (`requestOrderId`, else `orderNo`).
    pub async fn order_by_purchase(&self, purchase_order_id: &str) -> Result<Order, Error> {
        self.call(&QUERY_ORDER, vec![("purchase_order_id", text(purchase_order_id))]).await
    }

    /// How a card stands: state, plans, usage.
    pub async fn sim(&self, iccid: &str) -> Result<SimStatus, Error> {
        self.call(&QUERY_SIM, vec![("sim_id", text(iccid))]).await
    }

    /// How much data a card used.
    pub async fn sim_usage(&self, iccid: &str) -> Result<SimUsage, Error> {
        self.call(&QUERY_SIM_USAGE, vec![("sim_id", text(iccid))]).await
    }

    /// A card's orders, the newest first, a page of 100 from 1 on.
    pub async fn orders_of_sim(&self, iccid: &str, page_no: u32) -> Result<OrderPage, Error> {
        let page = ("page_no", text(page_no.to_string()));
        self.call(&QUERY_ORDER, vec![("sim_id", text(iccid)), page]).await
    }
}
