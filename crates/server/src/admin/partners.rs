//! Partners, their keys, credit and prices.

use clap::{Args, Subcommand, ValueEnum};
use sdk::admin::Method;
use serde_json::{Value, json};

use super::{Call, Paging, given, object};

#[derive(Debug, Subcommand)]
pub(super) enum PartnerCommand {
    /// Add a partner; it has no key yet.
    Add {
        /// The code by which it calls.
        code: String,
        /// Its name, for people to read.
        #[arg(long)]
        name: String,
        /// The currency that its end users pay in, such as EUR.
        #[arg(long)]
        currency: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// List partners by code.
    List(Paging),
    /// Show a partner.
    Show {
        /// Its code.
        code: String,
    },
    /// Refuse a partner's requests until it is resumed.
    Suspend {
        /// Its code.
        code: String,
    },
    /// Take a suspended partner's requests again.
    Resume {
        /// Its code.
        code: String,
    },
    /// Change a partner's settings; what is not given stays.
    Set {
        /// Its code.
        code: String,
        /// Its name, for people to read.
        #[arg(long)]
        name: Option<String>,
        /// The currency that its end users pay in, such as EUR.
        #[arg(long)]
        currency: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List a partner's signed requests, the newest first.
    Requests {
        /// Its code.
        code: String,
        #[command(flatten)]
        paging: Paging,
    },
}

#[derive(Debug, Args)]
pub(super) struct Settings {
    /// The currency in which it owes the operator.
    #[arg(long)]
    settlement_currency: Option<String>,
    /// Its IANA time zone, such as Europe/Berlin.
    #[arg(long)]
    zone: Option<String>,
    /// Its default language: en-US or zh-CN.
    #[arg(long)]
    locale: Option<String>,
    /// Its answers: as published, or all in the envelope.
    #[arg(long, value_name = "published|envelope")]
    response_style: Option<String>,
    /// A signature scheme it may use: md5, md5-key or hmac-sha256; repeat it for several.
    #[arg(long = "scheme", value_name = "SCHEME")]
    schemes: Vec<String>,
    /// A range it may call from, such as 192.0.2.0/24; repeat it for several.
    #[arg(long = "allow", value_name = "CIDR")]
    ip_allowlist: Vec<String>,
    /// Whether it may call from anywhere, whatever was allowed before.
    #[arg(long, conflicts_with = "ip_allowlist")]
    allow_anywhere: bool,
    /// Whether the check digit of its ICCIDs must hold.
    #[arg(long, value_name = "true|false")]
    checks_luhn: Option<bool>,
    /// Whether unit price times periods must be the amount in its reported orders.
    #[arg(long, value_name = "true|false")]
    checks_pay_amount: Option<bool>,
}

impl Settings {
    /// What the API takes of them, beside these members.
    fn body(self, members: [(&str, Option<Value>); 3]) -> Value {
        let several = |items: Vec<String>| Some(items).filter(|items| !items.is_empty());
        let anywhere = self.allow_anywhere.then(Vec::new);
        let [code, name, currency] = members;
        object([
            code,
            name,
            currency,
            ("settlement_currency", given(self.settlement_currency)),
            ("zone", given(self.zone)),
            ("locale", given(self.locale)),
            ("response_style", given(self.response_style)),
            ("schemes", given(several(self.schemes))),
            ("ip_allowlist", given(several(self.ip_allowlist).or(anywhere))),
            ("checks_luhn", given(self.checks_luhn)),
            ("checks_pay_amount", given(self.checks_pay_amount)),
        ])
    }
}

impl PartnerCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        let columns = &["code", "name", "currency", "zone", "suspended"];
        match self {
            Self::Add { code, name, currency, settings } => {
                let members = [("code", code), ("name", name), ("currency", currency)];
                let members = members.map(|(name, value)| (name, Some(Value::from(value))));
                Call::new(Method::POST, [mode, "partners"]).with(settings.body(members))
            }
            Self::List(paging) => Call::get([mode, "partners"]).list(columns, paging),
            Self::Show { code } => Call::get([mode, "partners", &code]),
            Self::Suspend { code } => Call::new(Method::POST, [mode, "partners", &code, "suspend"]),
            Self::Resume { code } => Call::new(Method::POST, [mode, "partners", &code, "resume"]),
            Self::Set { code, name, currency, settings } => {
                let members =
                    [("code", None), ("name", given(name)), ("currency", given(currency))];
                let call = Call::new(Method::PATCH, [mode, "partners", &code]);
                call.with(settings.body(members))
            }
            Self::Requests { code, paging } => {
                let columns = &["at", "route", "outcome", "status", "code", "scheme", "took_us"];
                Call::get([mode, "partners", &code, "requests"]).list(columns, paging)
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key; its text is shown only now. A partner has two live ones at most.
    Add {
        /// The partner's code.
        partner: String,
    },
    /// List a partner's keys.
    List {
        /// The partner's code.
        partner: String,
        #[command(flatten)]
        paging: Paging,
    },
    /// Retire a key: what is signed with it is refused from now on.
    Retire {
        /// The partner's code.
        partner: String,
        /// The key's id.
        key_id: String,
    },
}

impl KeyCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::Add { partner } => Call::new(Method::POST, [mode, "partners", &partner, "keys"]),
            Self::List { partner, paging } => Call::get([mode, "partners", &partner, "keys"])
                .list(&["key_id", "created_at", "retired_at"], paging),
            Self::Retire { partner, key_id } => {
                Call::new(Method::DELETE, [mode, "partners", &partner, "keys", &key_id])
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum CreditCommand {
    /// Set what a partner may owe in a currency.
    Set {
        /// The partner's code.
        partner: String,
        /// The currency, such as EUR.
        currency: String,
        /// The most that it may owe, such as 1000.00.
        limit: String,
    },
    /// Show what a partner may owe, and owes.
    Show {
        /// The partner's code.
        partner: String,
        #[command(flatten)]
        paging: Paging,
    },
    /// Book what a partner paid of what it owes. The same again under its reference books nothing more.
    Settle(Settlement),
    /// Book what a partner is let off of what it owes: a credit note.
    Note(Settlement),
}

#[derive(Debug, clap::Args)]
pub(super) struct Settlement {
    /// The partner's code.
    partner: String,
    /// The currency, such as EUR.
    currency: String,
    /// How much, such as 1000.00.
    amount: String,
    /// Your number of it, such as a bank's or a credit note's.
    #[arg(long)]
    reference: String,
}

impl Settlement {
    fn call(self, mode: &str, kind: &str) -> Call {
        let Self { partner, currency, amount, reference } = self;
        let path = [mode, "partners", &partner, "credits", &currency, "settlements"];
        let body = json!({"kind": kind, "amount": amount, "reference": reference});
        Call::new(Method::POST, path).with(body)
    }
}

impl CreditCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::Set { partner, currency, limit } => {
                let path = [mode, "partners", &partner, "credits", &currency];
                Call::new(Method::PUT, path).with(json!({ "limit": limit }))
            }
            Self::Show { partner, paging } => Call::get([mode, "partners", &partner, "credits"])
                .list(&["currency", "limit", "used", "available"], paging),
            Self::Settle(settlement) => settlement.call(mode, "settlement"),
            Self::Note(settlement) => settlement.call(mode, "credit"),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum PriceWord {
    /// The end user pays it.
    Sale,
    /// The partner owes it to the operator.
    Settlement,
}

#[derive(Debug, Subcommand)]
pub(super) enum PriceCommand {
    /// Set a price for one period of a plan; it ends the one before it.
    Set {
        /// The partner's code.
        partner: String,
        /// The plan's code.
        plan: String,
        /// Who pays it.
        kind: PriceWord,
        /// For one period, such as 12.36.
        amount: String,
        /// The currency, such as EUR.
        currency: String,
        /// From when it is in force, such as 2027-01-01T00:00:00Z; now, if not given.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
    },
    /// List a partner's prices, those that ended and those to come too.
    List {
        /// The partner's code.
        partner: String,
        /// Only the prices of this plan.
        #[arg(long)]
        plan: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// End a price now, or drop one that has not begun.
    End {
        /// The partner's code.
        partner: String,
        /// The price's id.
        price_id: String,
    },
}

impl PriceCommand {
    pub(super) fn call(self, mode: &str) -> Call {
        match self {
            Self::Set { partner, plan, kind, amount, currency, from } => {
                let kind = match kind {
                    PriceWord::Sale => "sale",
                    PriceWord::Settlement => "settlement",
                };
                let body = object([
                    ("plan_code", given(Some(plan))),
                    ("kind", given(Some(kind))),
                    ("amount", given(Some(amount))),
                    ("currency", given(Some(currency))),
                    ("valid_from", given(from)),
                ]);
                Call::new(Method::POST, [mode, "partners", &partner, "prices"]).with(body)
            }
            Self::List { partner, plan, paging } => {
                let columns = &[
                    "price_id",
                    "plan_code",
                    "kind",
                    "amount",
                    "currency",
                    "valid_from",
                    "valid_to",
                ];
                let call = Call::get([mode, "partners", &partner, "prices"]);
                call.only("plan", plan).list(columns, paging)
            }
            Self::End { partner, price_id } => {
                Call::new(Method::DELETE, [mode, "partners", &partner, "prices", &price_id])
            }
        }
    }
}
