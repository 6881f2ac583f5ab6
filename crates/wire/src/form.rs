//! Reads the fields of a request into domain types and gathers everything that is wrong with them, so
//! that a partner learns of all mistakes at once.

use std::collections::HashSet;

use domain::{Currency, Iccid, Money, Timestamp};

use crate::params::{Params, Value};

/// What a field holds; also its schema in the `OpenAPI` document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text of printable characters, at most so many.
    Text {
        /// The most characters.
        max: usize,
    },
    /// A partner's code: 1-32 of `[A-Za-z0-9_-]`.
    PartnerCode,
    /// `1.0`, `2.0` or `3.0`.
    Version,
    /// An ICCID.
    Iccid,
    /// A list of ICCIDs, 1 to so many.
    Iccids {
        /// The most of a JSON list.
        max: usize,
        /// The most of a text with commas between them, as a query has it; 0: no text is taken.
        joined_max: usize,
    },
    /// One of some words.
    Word(&'static [&'static str]),
    /// A whole number in a range.
    Count {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A non-negative decimal in major units.
    Decimal,
    /// An ISO 4217 code in any case.
    Currency,
    /// `0` or `1`.
    Flag,
    /// `yyyy-MM-dd HH:mm:ss`.
    DateTime,
    /// Milliseconds since 1970, at most 13 digits.
    Millis,
    /// A place in a list, as an earlier page gave it: `c` and at most 18 digits.
    Cursor,
    /// A JSON list of at most so many texts or words; not in a query.
    List(&'static Kind, usize),
}

/// One field of a request.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// Whether it must be there and not be empty.
    pub required: bool,
    /// What it holds.
    pub kind: Kind,
    /// What it means.
    pub doc: &'static str,
}

/// Whether a character does something other than to be seen: controls, line separators, and overrides of
/// the writing direction, which can make a number look like another.
pub fn is_unprintable(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A field that must be there.
pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, required: true, kind, doc }
}

/// A field that may be absent, `null` or empty.
pub const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, required: false, kind, doc }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Absent, `null` or empty.
    Missing,
    /// Neither a string nor a number.
    WrongType,
    /// More characters than allowed.
    TooLong(usize),
    /// It has control characters.
    NotPrintable,
    /// Not a partner code.
    NotPartnerCode,
    /// Not a version that is spoken here.
    NotVersion,
    /// Not 18 to 22 digits.
    NotIccid,
    /// The ICCID's check digit does not hold.
    BadCheckDigit,
    /// Not a whole number in the range.
    NotCount(u32, u32),
    /// Not a decimal amount.
    NotDecimal,
    /// More decimals than the currency has, or too large.
    NotInCurrency,
    /// Not an ISO 4217 code.
    NotCurrency,
    /// Neither `0` nor `1`.
    NotFlag,
    /// Not one of these words.
    NotWord(&'static [&'static str]),
    /// Not a list.
    NotList,
    /// More items than a list may have.
    TooManyItems(usize),
    /// Not `yyyy-MM-dd HH:mm:ss`, or no such moment.
    NotDateTime,
    /// `hmac-sha256` demands epoch milliseconds.
    NotEpochMillis,
    /// `hmac-sha256` demands the interface's own name.
    NotTradeType,
    /// It differs from the product of two other fields.
    NotTheProduct,
    /// None of several fields is there.
    NoneOfThem,
    /// Not a time in milliseconds.
    NotMillis,
    /// Not a cursor that an earlier page gave.
    NotCursor,
    /// Not 1 to so many visible characters of ASCII, or more than one.
    NotKey(usize),
}

/// A field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormError {
    /// The field's name.
    pub field: String,
    /// What is wrong.
    pub problem: Problem,
}

/// So many wrong items of a list are named; who sends more wrong ones learns of the others next time.
const ITEMS_NAMED_MAX: usize = 20;

/// A request being read.
#[derive(Debug)]
pub struct Form<'a> {
    params: &'a Params,
    fields: &'static [&'static [Field]],
    errors: Vec<FormError>,
    read: Vec<&'static str>,
}

impl<'a> Form<'a> {
    /// A form over parameters and the fields that they shall have.
    pub fn new(params: &'a Params, fields: &'static [&'static [Field]]) -> Self {
        Self { params, fields, errors: Vec::new(), read: Vec::new() }
    }

    /// All that is wrong so far.
    pub fn into_errors(self) -> Vec<FormError> {
        self.errors
    }

    /// How much is wrong so far.
    pub fn error_count(&self) -> usize {
        self.errors.len()
    }

    /// The names of the fields read so far.
    pub fn read_names(&self) -> &[&'static str] {
        &self.read
    }

    /// Notes a problem.
    pub fn fail(&mut self, field: &str, problem: Problem) {
        self.errors.push(FormError { field: field.to_owned(), problem });
    }

    /// The field that is read now, as its table has it.
    fn is_known(&mut self, name: &'static str, kind: Kind) -> Field {
        let known = self.fields.iter().flat_map(|part| part.iter()).find(|f| f.name == name);
        let field = known.copied().unwrap_or(required(name, kind, ""));
        debug_assert!(known.is_some() && field.kind == kind, "{name} differs from its table");
        self.read.push(name);
        field
    }

    /// The text of a field of the given kind; its table says whether it is required. `None` with an
    /// error noted, or for an optional field that is not there.
    fn raw(&mut self, name: &'static str, kind: Kind) -> Option<&'a str> {
        let field = self.is_known(name, kind);
        match self.params.get(name) {
            None => {
                if field.required {
                    self.fail(name, Problem::Missing);
                }
                None
            }
            Some(Value::String(text) | Value::Number(text)) => {
                if text.is_empty() && field.required {
                    self.fail(name, Problem::Missing);
                }
                Some(text.as_str()).filter(|text| !text.is_empty())
            }
            Some(_) => {
                let problem = match kind {
                    Kind::List(..) => Problem::NotList,
                    _ => Problem::WrongType,
                };
                self.fail(name, problem);
                None
            }
        }
    }

    fn parsed<T>(
        &mut self,
        name: &'static str,
        kind: Kind,
        problem: Problem,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(self.raw(name, kind)?);
        if value.is_none() {
            self.fail(name, problem);
        }
        value
    }

    /// A text; empty where an optional one is not there.
    pub fn text(&mut self, name: &'static str, max: usize) -> Option<String> {
        let before = self.errors.len();
        let Some(text) = self.raw(name, Kind::Text { max }) else {
            return (self.errors.len() == before).then(String::new);
        };
        if text.chars().count() > max {
            self.fail(name, Problem::TooLong(max));
            None
        } else if text.chars().any(is_unprintable) {
            self.fail(name, Problem::NotPrintable);
            None
        } else {
            Some(text.to_owned())
        }
    }

    /// A partner's code.
    pub fn partner_code(&mut self, name: &'static str) -> Option<String> {
        self.parsed(name, Kind::PartnerCode, Problem::NotPartnerCode, |text| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            (text.len() <= 32 && text.bytes().all(good)).then(|| text.to_owned())
        })
    }

    /// The version, if it is one that is spoken here.
    pub fn version(&mut self, name: &'static str) {
        self.parsed(name, Kind::Version, Problem::NotVersion, |text| {
            matches!(text, "1.0" | "2.0" | "3.0" | "1" | "2" | "3").then_some(())
        });
    }

    /// An ICCID.
    pub fn iccid(&mut self, name: &'static str) -> Option<Iccid> {
        self.parsed(name, Kind::Iccid, Problem::NotIccid, |text| text.parse().ok())
    }

    /// A list of ICCIDs of a kind [`Kind::Iccids`], each once, in their order. A wrong one is named with its index.
    pub fn iccids(&mut self, name: &'static str, kind: Kind) -> Option<Vec<Iccid>> {
        let Kind::Iccids { max, joined_max } = kind else {
            debug_assert!(false, "{name} is no list of ICCIDs");
            return None;
        };
        self.is_known(name, kind);
        let (items, max): (Vec<Option<&str>>, usize) = match self.params.get(name) {
            None => (Vec::new(), max),
            Some(Value::String(text) | Value::Number(text)) if joined_max > 0 => {
                let items = text.split(',').map(Some);
                (items.filter(|_| !text.is_empty()).collect(), joined_max)
            }
            Some(Value::Array(items)) => (items.iter().map(scalar).collect(), max),
            Some(_) => {
                self.fail(name, Problem::NotList);
                return None;
            }
        };
        if items.is_empty() {
            self.fail(name, Problem::Missing);
            return None;
        }
        if items.len() > max {
            self.fail(name, Problem::TooManyItems(max));
            return None;
        }
        self.each_iccid(name, &items)
    }

    fn each_iccid(&mut self, name: &str, items: &[Option<&str>]) -> Option<Vec<Iccid>> {
        let (mut wrong, mut seen) = (0, HashSet::with_capacity(items.len()));
        let mut iccids = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let problem = match item.map(str::parse::<Iccid>) {
                Some(Ok(iccid)) => {
                    if seen.insert(*item) {
                        iccids.push(iccid);
                    }
                    continue;
                }
                Some(Err(_)) => Problem::NotIccid,
                None => Problem::WrongType,
            };
            if wrong < ITEMS_NAMED_MAX {
                self.fail(&format!("{name}[{index}]"), problem);
            }
            wrong += 1;
        }
        (wrong == 0).then_some(iccids)
    }

    /// One of the words of a kind [`Kind::Word`]; empty where an optional one is not there.
    pub fn word_or_empty(&mut self, name: &'static str, kind: Kind) -> Option<&'static str> {
        let Kind::Word(words) = kind else {
            debug_assert!(false, "{name} is no word");
            return None;
        };
        let before = self.errors.len();
        let word = self.word(name, words);
        word.or((self.errors.len() == before).then_some(""))
    }

    /// A whole number from `min` to `max`.
    pub fn count(&mut self, name: &'static str, min: u32, max: u32) -> Option<u32> {
        self.parsed(name, Kind::Count { min, max }, Problem::NotCount(min, max), |text| {
            let digits = text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| digits && (min..=max).contains(number))
        })
    }

    /// A whole number from `min` to `max`, or a default where it is not there.
    pub fn count_or(
        &mut self,
        name: &'static str,
        default: u32,
        min: u32,
        max: u32,
    ) -> Option<u32> {
        let before = self.errors.len();
        let number = self.count(name, min, max);
        number.or((self.errors.len() == before).then_some(default))
    }

    /// A decimal as written, to be read once its currency is known.
    pub fn decimal(&mut self, name: &'static str) -> Option<String> {
        self.parsed(name, Kind::Decimal, Problem::NotDecimal, |text| {
            let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            (text.len() <= 32 && digits(whole) && digits(decimals)).then(|| text.to_owned())
        })
    }

    /// An amount in major units with its currency, each in a field of its own.
    pub fn amount(&mut self, name: &'static str, currency: &'static str) -> Option<Money> {
        let (text, currency) = (self.decimal(name), self.currency(currency));
        let amount = Money::parse(&text?, currency?).ok();
        if amount.is_none() {
            self.fail(name, Problem::NotInCurrency);
        }
        amount
    }

    /// A currency.
    pub fn currency(&mut self, name: &'static str) -> Option<Currency> {
        self.parsed(name, Kind::Currency, Problem::NotCurrency, |text| text.parse().ok())
    }

    /// `0` or `1`; not there is `0`.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        let before = self.errors.len();
        let flag = self.parsed(name, Kind::Flag, Problem::NotFlag, |text| match text {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        });
        flag.or((self.errors.len() == before).then_some(false))
    }

    /// One of some words.
    pub fn word(
        &mut self,
        name: &'static str,
        words: &'static [&'static str],
    ) -> Option<&'static str> {
        self.parsed(name, Kind::Word(words), Problem::NotWord(words), |text| {
            words.iter().find(|word| **word == text).copied()
        })
    }

    /// A time in milliseconds since 1970.
    pub fn millis(&mut self, name: &'static str) -> Option<Timestamp> {
        self.parsed(name, Kind::Millis, Problem::NotMillis, |text| {
            let digits = text.len() <= 13 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits).and_then(Timestamp::from_millis)
        })
    }

    /// A place in a list, as an earlier page gave it; `None` as well where an optional one is not there.
    pub fn cursor(&mut self, name: &'static str) -> Option<i64> {
        self.parsed(name, Kind::Cursor, Problem::NotCursor, |text| {
            let digits = text.strip_prefix('c')?;
            let plain = digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| plain)
        })
    }

    /// A list of texts; `None` where an optional one is not there, or with an error noted.
    pub fn texts(
        &mut self,
        name: &'static str,
        of: &'static Kind,
        items_max: usize,
    ) -> Option<Vec<String>> {
        let Some(Value::Array(items)) = self.params.get(name) else {
            if self.raw(name, Kind::List(of, items_max)).is_some() {
                self.fail(name, Problem::NotList);
            }
            return None;
        };
        self.read.push(name);
        if items.len() > items_max {
            self.fail(name, Problem::TooManyItems(items_max));
            return None;
        }
        let wrong = items.iter().find_map(|item| wrong_item(item, *of));
        if let Some(problem) = wrong {
            self.fail(name, problem);
            return None;
        }
        let text = |item: &Value| match item {
            Value::String(text) | Value::Number(text) => Some(text.clone()),
            _ => None,
        };
        Some(items.iter().filter_map(text).collect())
    }

    /// Whether a field was sent, be it empty.
    pub fn is_there(&self, name: &str) -> bool {
        self.params.get(name).is_some()
    }

    /// A date and time as written, to be read once the partner's zone is known.
    pub fn date_time(&mut self, name: &'static str) -> Option<String> {
        self.parsed(name, Kind::DateTime, Problem::NotDateTime, |text| {
            domain::Zone::UTC.parse_date_time(text).ok().map(|_| text.to_owned())
        })
    }
}

/// What is wrong with an item of a list; only texts and words are there.
fn wrong_item(item: &Value, of: Kind) -> Option<Problem> {
    let (Value::String(text) | Value::Number(text)) = item else {
        return Some(Problem::WrongType);
    };
    match of {
        Kind::Word(words) if !words.contains(&text.as_str()) => Some(Problem::NotWord(words)),
        Kind::Text { max } if text.chars().count() > max => Some(Problem::TooLong(max)),
        Kind::Text { .. } if text.chars().any(is_unprintable) => Some(Problem::NotPrintable),
        _ => None,
    }
}

/// The text of an item of a list: a string, or the token of a number.
fn scalar(item: &Value) -> Option<&str> {
    match item {
        Value::String(text) | Value::Number(text) => Some(text),
        _ => None,
    }
}
