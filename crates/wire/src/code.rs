//! The codes of failures (`data.code`, chosen).

/// Why a call failed, as a program reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Not JSON, a field missing or empty, a wrong format.
    BadRequest,
    /// No such partner (told in test mode only).
    PartnerUnknown,
    /// The operator suspended the partner.
    PartnerSuspended,
    /// The signature is not over this content with a valid key.
    SignMismatch,
    /// The signature is right, but its scheme is not allowed.
    SignSchemeNotAllowed,
    /// `tradeTime` is too far from the server's time.
    TradeTimeSkew,
    /// The caller's address is not on the partner's list.
    IpNotAllowed,
    /// No such SIM, or another partner's.
    SimUnknown,
    /// Nothing can be sold for the SIM.
    SimNotSellable,
    /// No such plan for this partner.
    PlanUnknown,
    /// The plan is not for this SIM's network.
    PlanNotForSim,
    /// Not one of the plan's numbers of periods.
    PeriodNotAllowed,
    /// The plan does not renew by itself.
    RenewalNotAllowed,
    /// No price in force has this amount.
    PriceMismatch,
    /// No price in force has this currency.
    CurrencyMismatch,
    /// The same number came before with other content.
    OrderConflict,
    /// No such order, or another partner's.
    OrderUnknown,
    /// No such payment, or another partner's.
    PaymentUnknown,
    /// No such auto-renewal, or another partner's.
    RenewalUnknown,
    /// The auto-renewal that an order is to renew has ended.
    RenewalEnded,
    /// No such group, or another partner's.
    GroupUnknown,
    /// No such operation, or another partner's, or one that is no longer kept.
    RequestUnknown,
    /// The payment was refused by the end user's bank.
    PaymentDeclined,
    /// The payment provider cannot be asked now, or gave no answer.
    PaymentProviderUnavailable,
    /// The order would take the partner over its credit.
    CreditExceeded,
    /// No such push endpoint, or another partner's.
    EndpointUnknown,
    /// A push endpoint cannot be made or changed like this.
    EndpointRefused,
    /// No such event at this endpoint.
    EventUnknown,
    /// No such path.
    NotFound,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// The body did not come in time.
    RequestTimeout,
    /// The body is over the limit.
    PayloadTooLarge,
    /// The body is not JSON by its own account.
    UnsupportedMediaType,
    /// Too many requests.
    RateLimited,
    /// The server cannot answer now.
    Unavailable,
    /// The server made a mistake.
    Internal,
}

impl Code {
    /// All codes; each has a message in every language.
    pub const ALL: [Self; 36] = [
        Self::BadRequest,
        Self::PartnerUnknown,
        Self::PartnerSuspended,
        Self::SignMismatch,
        Self::SignSchemeNotAllowed,
        Self::TradeTimeSkew,
        Self::IpNotAllowed,
        Self::SimUnknown,
        Self::SimNotSellable,
        Self::PlanUnknown,
        Self::PlanNotForSim,
        Self::PeriodNotAllowed,
        Self::RenewalNotAllowed,
        Self::PriceMismatch,
        Self::CurrencyMismatch,
        Self::OrderConflict,
        Self::OrderUnknown,
        Self::PaymentUnknown,
        Self::RenewalUnknown,
        Self::RenewalEnded,
        Self::GroupUnknown,
        Self::RequestUnknown,
        Self::PaymentDeclined,
        Self::PaymentProviderUnavailable,
        Self::CreditExceeded,
        Self::EndpointUnknown,
        Self::EndpointRefused,
        Self::EventUnknown,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::PartnerUnknown => "PARTNER_UNKNOWN",
            Self::PartnerSuspended => "PARTNER_SUSPENDED",
            Self::SignMismatch => "SIGN_MISMATCH",
            Self::SignSchemeNotAllowed => "SIGN_SCHEME_NOT_ALLOWED",
            Self::TradeTimeSkew => "TRADE_TIME_SKEW",
            Self::IpNotAllowed => "IP_NOT_ALLOWED",
            Self::SimUnknown => "SIM_UNKNOWN",
            Self::SimNotSellable => "SIM_NOT_SELLABLE",
            Self::PlanUnknown => "PLAN_UNKNOWN",
            Self::PlanNotForSim => "PLAN_NOT_FOR_SIM",
            Self::PeriodNotAllowed => "PERIOD_NOT_ALLOWED",
            Self::RenewalNotAllowed => "RENEWAL_NOT_ALLOWED",
            Self::PriceMismatch => "PRICE_MISMATCH",
            Self::CurrencyMismatch => "CURRENCY_MISMATCH",
            Self::OrderConflict => "ORDER_CONFLICT",
            Self::OrderUnknown => "ORDER_UNKNOWN",
            Self::PaymentUnknown => "PAYMENT_UNKNOWN",
            Self::RenewalUnknown => "RENEWAL_UNKNOWN",
            Self::RenewalEnded => "RENEWAL_ENDED",
            Self::GroupUnknown => "GROUP_UNKNOWN",
            Self::RequestUnknown => "REQUEST_UNKNOWN",
            Self::PaymentDeclined => "PAYMENT_DECLINED",
            Self::PaymentProviderUnavailable => "PAYMENT_PROVIDER_UNAVAILABLE",
            Self::CreditExceeded => "CREDIT_EXCEEDED",
            Self::EndpointUnknown => "ENDPOINT_UNKNOWN",
            Self::EndpointRefused => "ENDPOINT_REFUSED",
            Self::EventUnknown => "EVENT_UNKNOWN",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RateLimited => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }

    /// The HTTP status: 400 for whatever concerns the call itself (published).
    pub fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable | Self::PaymentProviderUnavailable => 503,
            _ => 400,
        }
    }
}
