//! Payment, the cashier (section 6 of the vendor's pages).

use domain::Money;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Method, Request, Service, Shape};
use crate::common::PAYMENT;
use crate::form::{Field, Form, Kind, optional, required};
use crate::vshop::NUMBER_CHARS_MAX;

const PAY_ID: Field = required(
    "payId",
    Kind::Text { max: NUMBER_CHARS_MAX },
    "The payment's number, made by the client (published)",
);

/// 6.1, title published; path and fields chosen.
pub const STRIPE_SINGLE_AUTH: Call = Call {
    service: Service::Payment,
    method: Method::Post,
    path: "/stripeSingleAuth",
    name: "stripeSingleAuth",
    shape: Shape::Envelope,
    summary: "Authorise one payment",
    doc: "Gives what Stripe's SDKs for apps and the web need to let the end user pay. The same payId has \
          the same PaymentIntent always. Amount and currency must be those of the order.",
    fields: &[
        PAYMENT,
        &[
            PAY_ID,
            required("payAmount", Kind::Decimal, "What the end user pays in all (chosen)"),
            required("payCurrency", Kind::Currency, "ISO 4217, any case (chosen)"),
            optional("email", Kind::Text { max: EMAIL_CHARS_MAX }, "For Stripe's receipt (chosen)"),
        ],
    ],
};

/// The longest address that mail can be sent to, in characters.
const EMAIL_CHARS_MAX: usize = 254;

/// Authorise one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeSingleAuth {
    /// The payment's number.
    pub pay_id: String,
    /// What the end user pays.
    pub pay_amount: Money,
    /// Where Stripe's receipt goes; may be empty.
    pub email: String,
}

impl Request for StripeSingleAuth {
    const CALL: Call = STRIPE_SINGLE_AUTH;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let pay_id = form.text("payId", NUMBER_CHARS_MAX);
        let pay_amount = form.amount("payAmount", "payCurrency");
        let email = form.text("email", EMAIL_CHARS_MAX);
        Some(Self { pay_id: pay_id?, pay_amount: pay_amount?, email: email? })
    }
}

/// What Stripe's SDKs need for one payment (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeSingleAuthAnswer {
    /// The payment's number.
    #[serde(rename = "payId")]
    pub pay_id: String,
    /// The key that the SDK is set up with.
    #[serde(rename = "publishableKey")]
    pub publishable_key: String,
    /// Lets whoever has it pay this payment.
    #[serde(rename = "clientSecret")]
    pub client_secret: String,
    /// The `PaymentIntent`.
    #[serde(rename = "paymentIntentId")]
    pub payment_intent_id: String,
    /// The SIM's customer at Stripe.
    pub customer_id: String,
    /// Opens that customer's saved cards to the SDK, for an hour.
    #[serde(rename = "ephemeralKey")]
    pub ephemeral_key: String,
}

/// 6.2, title published; path and fields chosen.
pub const STRIPE_SUB_AUTH: Call = Call {
    service: Service::Payment,
    method: Method::Post,
    path: "/stripeSubAuth",
    name: "stripeSubAuth",
    shape: Shape::Envelope,
    summary: "Authorise an auto-renewal",
    doc: "Gives what Stripe's SDKs need to save the end user's card. Its result is the `pm_id` of \
          stripeSubDirectly.",
    fields: &[
        PAYMENT,
        &[
            PAY_ID,
            optional(
                "email",
                Kind::Text { max: EMAIL_CHARS_MAX },
                "For Stripe's receipts (chosen)",
            ),
        ],
    ],
};

/// Authorise an auto-renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeSubAuth {
    /// The first payment's number.
    pub pay_id: String,
}

impl Request for StripeSubAuth {
    const CALL: Call = STRIPE_SUB_AUTH;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let pay_id = form.text("payId", NUMBER_CHARS_MAX);
        let email = form.text("email", EMAIL_CHARS_MAX);
        email.and(pay_id).map(|pay_id| Self { pay_id })
    }
}

/// What Stripe's SDKs need to save a card (names chosen).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeSubAuthAnswer {
    /// The key that the SDK is set up with.
    #[serde(rename = "publishableKey")]
    pub publishable_key: String,
    /// Lets whoever has it save a card.
    #[serde(rename = "clientSecret")]
    pub client_secret: String,
    /// The SIM's customer at Stripe.
    pub customer_id: String,
    /// Opens that customer's saved cards to the SDK, for an hour.
    #[serde(rename = "ephemeralKey")]
    pub ephemeral_key: String,
}

/// 6.3, published; the path is chosen.
pub const STRIPE_SUB_DIRECTLY: Call = Call {
    service: Service::Payment,
    method: Method::Post,
    path: "/stripeSubDirectly",
    name: "stripeSubDirectly",
    shape: Shape::Bare,
    summary: "Create the subscription",
    doc: "The first invoice pays the order; each further one that is paid makes a renewal order.",
    fields: &[
        PAYMENT,
        &[
            PAY_ID,
            required("payAmount", Kind::Decimal, "What the end user pays each time (published)"),
            required("payCurrency", Kind::Currency, "ISO 4217, any case (published)"),
            required("plan_id", Kind::Text { max: 64 }, "`plan_id` of the plan (published)"),
            required("pm_id", Kind::Text { max: 64 }, "The saved card, `pm_…` (published)"),
            optional(
                "email",
                Kind::Text { max: EMAIL_CHARS_MAX },
                "For Stripe's receipts (published)",
            ),
        ],
    ],
};

/// Create the subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeSubDirectly {
    /// The first payment's number.
    pub pay_id: String,
    /// What the end user pays each time.
    pub pay_amount: Money,
    /// The plan.
    pub plan_id: String,
    /// The saved card.
    pub pm_id: String,
}

impl Request for StripeSubDirectly {
    const CALL: Call = STRIPE_SUB_DIRECTLY;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let pay_id = form.text("payId", NUMBER_CHARS_MAX);
        let pay_amount = form.amount("payAmount", "payCurrency");
        let plan_id = form.text("plan_id", 64);
        let pm_id = form.text("pm_id", 64);
        form.text("email", EMAIL_CHARS_MAX)?;
        Some(Self { pay_id: pay_id?, pay_amount: pay_amount?, plan_id: plan_id?, pm_id: pm_id? })
    }
}

/// The subscription (published).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeSubDirectlyAnswer {
    /// The SIM's customer at Stripe.
    pub customer_id: String,
    /// The saved card.
    pub pay_method: String,
    /// What is sold.
    pub product_id: String,
    /// Stripe's word for how the subscription stands.
    pub status: String,
    /// The subscription.
    pub sub_id: String,
}

/// 6.4, published.
pub const RESULT_QUERY: Call = Call {
    service: Service::Payment,
    method: Method::Post,
    path: "/resultQuery",
    name: "resultQuery",
    shape: Shape::Bare,
    summary: "Result of a payment",
    doc: "`payRst` is `processing`, `success`, `fail`, `closed`, `refunding` or `refunded`. While it is \
          `processing`, Stripe is asked, every five seconds at most.",
    fields: &[PAYMENT, &[PAY_ID]],
};

/// Result of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultQuery {
    /// The payment's number.
    pub pay_id: String,
}

impl Request for ResultQuery {
    const CALL: Call = RESULT_QUERY;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.text("payId", NUMBER_CHARS_MAX).map(|pay_id| Self { pay_id })
    }
}

/// 6.5, title published; path and fields chosen.
pub const RESULT_CONFIRM: Call = Call {
    path: "/resultConfirm",
    name: "resultConfirm",
    summary: "The SDK's flow ended",
    doc: "Asks Stripe now, records the outcome and answers as resultQuery does. The client's word is \
          never taken for it.",
    ..RESULT_QUERY
};

/// The SDK's flow ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultConfirm {
    /// The payment's number.
    pub pay_id: String,
}

impl Request for ResultConfirm {
    const CALL: Call = RESULT_CONFIRM;
    fn read(form: &mut Form<'_>) -> Option<Self> {
        form.text("payId", NUMBER_CHARS_MAX).map(|pay_id| Self { pay_id })
    }
}

/// Result of a payment (published: all strings, all required).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultQueryAnswer {
    /// How many periods.
    pub order_period: String,
    /// The package's type.
    pub package_type: String,
    /// The partner.
    pub partner_code: String,
    /// The amount with its currency's sign: `$19.99`.
    pub pay_amount: String,
    /// The payment's number.
    pub pay_id: String,
    /// `yyyy-MM-dd HH:mm:ss` in the partner's zone; empty while processing.
    pub pay_result_date: String,
    /// The result.
    pub pay_rst: String,
    /// The plan's name.
    pub service_plan_show_name: String,
}

/// An amount with its currency's sign where that is unambiguous (CLDR's narrow symbols, as published:
/// `$19.99`), else with the ISO code and a space.
pub fn amount_with_sign(money: Money) -> String {
    let code = money.currency.code();
    let sign = match code {
        "USD" => "$",
        "GBP" => "£",
        "EUR" => "€",
        "JPY" => "¥",
        "KRW" => "₩",
        "INR" => "₹",
        "HKD" => "HK$",
        "SGD" => "S$",
        _ => return format!("{code} {}", money.decimal()),
    };
    format!("{sign}{}", money.decimal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_carry_a_sign_where_it_is_unambiguous() {
        let shown = |minor, code: &str| amount_with_sign(Money::new(minor, code.parse().unwrap()));
        assert_eq!(shown(1999, "USD"), "$19.99");
        assert_eq!(shown(500, "JPY"), "¥500");
        assert_eq!(shown(1999, "CNY"), "CNY 19.99");
        assert_eq!(shown(1234, "KWD"), "KWD 1.234");
        assert_eq!(shown(100, "HKD"), "HK$1.00");
    }
}
