//! The parameters that all calls share.

use crate::form::{Field, Form, Kind, optional, required};

const VERSION: Field =
    optional("version", Kind::Version, "API version; absent means 3.0 (published)");
const PARTNER_CODE: Field =
    required("partnerCode", Kind::PartnerCode, "Code given by the operator (published)");
const SIGN: Field = required("sign", Kind::Text { max: 128 }, "Signature (published)");
const TRADE_TIME: &str = "Access time; epoch milliseconds under hmac-sha256 (published)";
const TRADE_TYPE: &str = "Name of the interface; checked under hmac-sha256 only (published)";
const LANGUAGE_CODE: Field = optional(
    "languageCode",
    Kind::Text { max: 35 },
    "0 English, 1 simplified Chinese, or a BCP 47 tag; empty: the partner's default (published)",
);
const MARK: Field =
    optional("mark", Kind::Text { max: 32 }, "Undocumented; stored with an order (published)");
const TERMINAL: Field =
    optional("terminal", Kind::Text { max: 32 }, "0 web, 1 app (name published, meaning chosen)");

/// The end user's SIM.
pub const DEVICE_CODE: Field =
    required("deviceCode", Kind::Iccid, "ICCID of the SIM, 18 to 22 digits (published)");

/// The common set of Vshop, without `deviceCode`.
pub const VSHOP: &[Field] = &[
    VERSION,
    PARTNER_CODE,
    SIGN,
    required("tradeTime", Kind::Text { max: 64 }, TRADE_TIME),
    required("tradeType", Kind::Text { max: 64 }, TRADE_TYPE),
    LANGUAGE_CODE,
    MARK,
    TERMINAL,
];

/// The common set of Payment, whose published page requires all of it.
pub const PAYMENT: &[Field] = &[
    Field { required: true, ..VERSION },
    PARTNER_CODE,
    SIGN,
    required("tradeTime", Kind::Text { max: 64 }, TRADE_TIME),
    required("tradeType", Kind::Text { max: 64 }, TRADE_TYPE),
];

/// The common set of Topup; `hmac-sha256` asks for the two optional ones as well.
pub const TOPUP: &[Field] = &[
    VERSION,
    PARTNER_CODE,
    SIGN,
    optional("tradeTime", Kind::Text { max: 64 }, TRADE_TIME),
    optional("tradeType", Kind::Text { max: 64 }, TRADE_TYPE),
];

/// What the caller says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// The partner's code.
    pub partner_code: String,
    /// The signature.
    pub sign: String,
    /// The access time as sent; empty where Topup has none.
    pub trade_time: String,
    /// The interface's name as sent; empty where Topup has none.
    pub trade_type: String,
    /// Undocumented; may be empty.
    pub mark: String,
    /// The end user's terminal; may be empty.
    pub terminal: String,
}

impl Common {
    /// Reads the common set of a call. `None` only with an error noted.
    pub fn read(form: &mut Form<'_>, set: &[Field]) -> Option<Self> {
        form.version("version");
        let partner_code = form.partner_code("partnerCode");
        let sign = form.text("sign", 128);
        let trade_time = form.text("tradeTime", 64);
        let trade_type = form.text("tradeType", 64);
        let (mut mark, mut terminal) = (Some(String::new()), Some(String::new()));
        if set.iter().any(|field| field.name == LANGUAGE_CODE.name) {
            form.text("languageCode", 35);
            mark = form.text("mark", 32);
            terminal = form.text("terminal", 32);
        }
        Some(Self {
            partner_code: partner_code?,
            sign: sign?,
            trade_time: trade_time?,
            trade_type: trade_type?,
            mark: mark?,
            terminal: terminal?,
        })
    }
}
