//! Payment, the cashier (section 6 of the vendor's pages).

use domain::Money;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Method, Request, Service, Shape};
use crate::common::PAYMENT;
use crate::form::{Form, Kind, required};
use crate::vshop::NUMBER_CHARS_MAX;

/// 6.4, published.
pub const RESULT_QUERY: Call = Call {
    service: Service::Payment,
    method: Method::Post,
    path: "/resultQuery",
    name: "resultQuery",
    shape: Shape::Bare,
    summary: "Result of a payment",
    doc: "`payRst` is `processing`, `success`, `fail`, `closed`, `refunding` or `refunded`.",
    fields: &[
        PAYMENT,
        &[required(
            "payId",
            Kind::Text { max: NUMBER_CHARS_MAX },
            "The payment's number, made by the client (published)",
        )],
    ],
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
