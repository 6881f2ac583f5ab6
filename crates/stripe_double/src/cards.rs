//! Test cards: what befalls a payment with each. Touches nothing.

use crate::error::ApiError;

/// A test card.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Card {
    /// The id under which anybody may use it.
    pub(crate) token: &'static str,
    pub(crate) number: &'static str,
    pub(crate) brand: &'static str,
    pub(crate) behaviour: Behaviour,
}

/// What befalls a card's payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Pays,
    /// Declined: the code, the decline code, and what is said.
    Declines(&'static str, Option<&'static str>, &'static str),
    /// Can be saved, and declines to pay.
    DeclinesWhenSaved,
    /// Pays after authentication only, each time.
    Authenticates,
    /// Pays after authentication, or without if it was saved with one.
    AuthenticatesOnce,
    /// Is declined after authentication.
    AuthenticatesAndDeclines,
    /// Pays; refunds look good and fail later.
    RefundFails,
    /// Pays; refunds are pending and succeed later.
    RefundPends,
    /// Pays, and the payment is disputed for this reason.
    IsDisputed(&'static str),
}

const DECLINED: &str = "Your card was declined.";
const FUNDS: &str = "Your card has insufficient funds.";

pub(crate) const CARDS: &[Card] = &[
    card("pm_card_visa", "4242424242424242", "visa", Behaviour::Pays),
    card("pm_card_visa_debit", "4000056655665556", "visa", Behaviour::Pays),
    card("pm_card_mastercard", "5555555555554444", "mastercard", Behaviour::Pays),
    card("pm_card_amex", "378282246310005", "amex", Behaviour::Pays),
    card("pm_card_unionpay", "6200000000000005", "unionpay", Behaviour::Pays),
    card(
        "pm_card_chargeDeclined",
        "4000000000000002",
        "visa",
        declines("generic_decline", DECLINED),
    ),
    card(
        "pm_card_chargeDeclinedInsufficientFunds",
        "4000000000009995",
        "visa",
        declines("insufficient_funds", FUNDS),
    ),
    card(
        "pm_card_chargeDeclinedLostCard",
        "4000000000009987",
        "visa",
        declines("lost_card", DECLINED),
    ),
    card(
        "pm_card_chargeDeclinedStolenCard",
        "4000000000009979",
        "visa",
        declines("stolen_card", DECLINED),
    ),
    card(
        "pm_card_chargeDeclinedFraudulent",
        "4100000000000019",
        "visa",
        declines("fraudulent", DECLINED),
    ),
    card(
        "pm_card_chargeDeclinedExpiredCard",
        "4000000000000069",
        "visa",
        Behaviour::Declines("expired_card", None, "Your card has expired."),
    ),
    card(
        "pm_card_chargeDeclinedIncorrectCvc",
        "4000000000000127",
        "visa",
        Behaviour::Declines("incorrect_cvc", None, "Your card's security code is incorrect."),
    ),
    card(
        "pm_card_chargeDeclinedProcessingError",
        "4000000000000119",
        "visa",
        Behaviour::Declines(
            "processing_error",
            None,
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ),
    card("pm_card_chargeCustomerFail", "4000000000000341", "visa", Behaviour::DeclinesWhenSaved),
    card("pm_card_threeDSecure2Required", "4000000000003220", "visa", Behaviour::Authenticates),
    card("pm_card_authenticationRequired", "4000002760003184", "visa", Behaviour::Authenticates),
    card(
        "pm_card_authenticationRequiredOnSetup",
        "4000002500003155",
        "visa",
        Behaviour::AuthenticatesOnce,
    ),
    card(
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        "visa",
        Behaviour::AuthenticatesAndDeclines,
    ),
    card("pm_card_refundFail", "4000000000005126", "visa", Behaviour::RefundFails),
    card("pm_card_pendingRefund", "4000000000007726", "visa", Behaviour::RefundPends),
    card("pm_card_createDispute", "4000000000000259", "visa", Behaviour::IsDisputed("fraudulent")),
    card(
        "pm_card_createDisputeProductNotReceived",
        "4000000000002685",
        "visa",
        Behaviour::IsDisputed("product_not_received"),
    ),
];

const fn card(
    token: &'static str,
    number: &'static str,
    brand: &'static str,
    behaviour: Behaviour,
) -> Card {
    Card { token, number, brand, behaviour }
}

const fn declines(decline_code: &'static str, message: &'static str) -> Behaviour {
    Behaviour::Declines("card_declined", Some(decline_code), message)
}

impl Card {
    pub(crate) fn by_token(token: &str) -> Option<&'static Self> {
        CARDS.iter().find(|card| card.token == token)
    }

    pub(crate) fn by_number(number: &str) -> Option<&'static Self> {
        CARDS.iter().find(|card| card.number == number)
    }

    pub(crate) fn last4(&self) -> &'static str {
        self.number.get(self.number.len().saturating_sub(4)..).unwrap_or_default()
    }

    /// Why saving it fails, if it does.
    pub(crate) fn declines_saving(&self) -> Option<ApiError> {
        match self.behaviour {
            Behaviour::Declines(code, decline_code, message) => {
                Some(ApiError::card(code, decline_code, message))
            }
            _ => None,
        }
    }

    /// Why paying with it fails in the end, if it does.
    pub(crate) fn declines_paying(&self) -> Option<ApiError> {
        match self.behaviour {
            Behaviour::DeclinesWhenSaved => {
                Some(ApiError::card("card_declined", Some("generic_decline"), DECLINED))
            }
            Behaviour::AuthenticatesAndDeclines => {
                Some(ApiError::card("card_declined", Some("insufficient_funds"), FUNDS))
            }
            _ => self.declines_saving(),
        }
    }

    /// Whether its holder must prove to be there.
    pub(crate) fn needs_authentication(&self, is_set_up: bool) -> bool {
        match self.behaviour {
            Behaviour::Authenticates | Behaviour::AuthenticatesAndDeclines => true,
            Behaviour::AuthenticatesOnce => !is_set_up,
            _ => false,
        }
    }
}

/// The refusal of a payment whose payer would have to be there.
pub(crate) fn authentication_required() -> ApiError {
    let message = "Your card was declined. This transaction requires authentication.";
    ApiError::card("authentication_required", Some("authentication_required"), message)
}
