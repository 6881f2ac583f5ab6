//! The schema of a request's fields: what `wire::form` takes, said in JSON Schema, so that a client
//! generated from the document and the server agree on what is a good request.
//!
//! The patterns are plain enough to mean the same in ECMA-262 and in other dialects.

use domain::Currency;
use serde_json::{Map, Value, json};
use wire::Call;
use wire::form::{Field, Kind, required};

/// The most decimals that a currency of ISO 4217 has.
const EXPONENT_MAX: u32 = 4;
/// Amounts of so many digits, decimals included, fit into 64 bits whatever the digits are.
const AMOUNT_DIGITS_MAX: u32 = 18;

/// The last time of 13 digits, in milliseconds.
const MILLIS_MAX: i64 = 9_999_999_999_999;
/// The fewest digits of an ICCID.
const ICCID_DIGITS_MIN: usize = 18;

/// A text without control characters, line separators and overrides of the writing direction.
const PRINTABLE: &str = r"[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]*";

/// `yyyy-MM-dd HH:mm:ss`, with the days that each month has; a leap second is taken for the one before.
const DATE_TIME: &str = "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])\
    |(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))\
    |(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)\
    [ ](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)";

/// Where a field stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the JSON body, where a number is taken for its text and `null` for absence.
    Body,
    /// In the query, where everything is a text.
    Query,
}

/// The schema of one field.
pub fn schema(field: &Field, place: Place) -> Value {
    let mut schema = match field.kind {
        Kind::Text { max } => text(max, field.required),
        Kind::PartnerCode => {
            let mut schema = pattern("[A-Za-z0-9_-]{1,32}", field.required);
            also(&mut schema, "integer", json!({}));
            schema
        }
        Kind::Version => words(&["1.0", "2.0", "3.0", "1", "2", "3"], field.required),
        Kind::Flag => words(&["0", "1"], field.required),
        Kind::Iccid => {
            let mut schema = pattern("[0-9]{18,22}", field.required);
            let range = json!({"minimum": 100_000_000_000_000_000_i64, "exclusiveMaximum": 1e22});
            also(&mut schema, "integer", range);
            schema
        }
        Kind::Iccids { max, joined_max } => iccids(max, joined_max),
        Kind::Word(all) => words(all, field.required),
        Kind::Count { min, max } => {
            let mut schema = pattern(&whole_number(min, max), field.required);
            schema.insert("maxLength".into(), json!(9));
            also(&mut schema, "integer", json!({"minimum": min, "maximum": max}));
            schema
        }
        Kind::Decimal => {
            let mut schema = pattern(r"[0-9]+(?:\.[0-9]+)?", field.required);
            schema.insert("maxLength".into(), json!(32));
            also(&mut schema, "number", json!({"minimum": 0}));
            schema
        }
        Kind::Currency => currency(field.required),
        Kind::DateTime => pattern(DATE_TIME, field.required),
        Kind::Cursor => pattern("c[0-9]{1,18}", field.required),
        Kind::Millis => {
            let mut schema = pattern("[0-9]{1,13}", field.required);
            also(&mut schema, "integer", json!({"minimum": 0, "maximum": MILLIS_MAX}));
            schema
        }
        Kind::List(of, max) => list(*of, max),
    };
    if place == Place::Query {
        texts_only(&mut schema);
    } else if !field.required {
        null_too(&mut schema);
    }
    schema.insert("description".into(), json!(field.doc));
    Value::Object(schema)
}

/// A list of ICCIDs, or a text of some with commas between them. Of the shortest numbers as many fit into the text as it
/// may have.
fn iccids(max: usize, joined_max: usize) -> Map<String, Value> {
    let item = required("", Kind::Iccid, "ICCID of a SIM");
    let list = json!({
        "type": "array",
        "items": schema(&item, Place::Body),
        "minItems": 1,
        "maxItems": max,
    });
    if joined_max == 0 {
        return from_value(list);
    }
    let joined = json!({
        "type": "string",
        "pattern": "^[0-9]{18,22}(?:,[0-9]{18,22})*$",
        "maxLength": joined_max * (ICCID_DIGITS_MIN + 1) - 1,
    });
    from_value(json!({"anyOf": [list, joined]}))
}

/// The schema of a call's body. What stands in the path must not stand here again.
pub fn body(call: &Call) -> Value {
    let fields = || call.all_fields().filter(|field| !call.in_path(field.name));
    let mut properties: Map<String, Value> =
        fields().map(|field| (field.name.to_owned(), schema(field, Place::Body))).collect();
    properties.extend(call.path_names().map(|name| (name.to_owned(), Value::Bool(false))));
    let required: Vec<&str> =
        fields().filter(|field| field.required).map(|field| field.name).collect();
    let mut body = from_value(json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "maxProperties": wire::params::PARAMS_MAX,
        "additionalProperties": true,
    }));
    let amounts: Vec<&Field> =
        call.all_fields().filter(|field| field.name == "payAmount").collect();
    if !amounts.is_empty() {
        body.insert("allOf".into(), amounts_in_currency(&amounts));
    }
    if call.name == wire::endpoints::RESEND.name {
        // Which events: one of three ways to say it.
        let there = |name: &str| {
            let something = json!({"not": {"enum": ["", null]}});
            json!({"required": [name], "properties": {name: something}})
        };
        let ways = ["event_id", "failed_since", "from"].map(there);
        body.insert("allOf".into(), json!([{ "anyOf": ways }]));
    }
    Value::Object(body)
}

/// The schemas to which fields refer.
pub fn shared() -> Map<String, Value> {
    let names = used_exponents().map(currency_name);
    let any: Vec<Value> =
        names.map(|name| json!({"$ref": format!("#/components/schemas/{name}")})).collect();
    let about = "A currency's code of ISO 4217, in any case";
    let mut schemas = Map::new();
    schemas.insert("Currency".into(), json!({"description": about, "anyOf": any}));
    for exponent in used_exponents() {
        let codes = currency_codes(exponent);
        let any_case = codes.iter().map(|code| {
            let letters = code.chars();
            let either = letters.map(|letter| format!("[{letter}{}]", letter.to_ascii_lowercase()));
            either.collect::<String>()
        });
        let pattern = any_case.collect::<Vec<_>>().join("|");
        schemas.insert(
            currency_name(exponent),
            json!({
                "type": "string",
                "pattern": format!("^(?:{pattern})$"),
                "description": format!("Currencies with {exponent} decimals: {}", codes.join(" ")),
            }),
        );
    }
    schemas
}

/// An amount has no more decimals than its currency, except zeros, and fits into 64 bits.
fn amounts_in_currency(amounts: &[&Field]) -> Value {
    let rules = used_exponents().map(|exponent| {
        let whole = format!("0*[0-9]{{1,{}}}", AMOUNT_DIGITS_MAX - exponent);
        let amount = match exponent {
            0 => format!(r"{whole}(?:\.0+)?"),
            _ => format!(r"{whole}(?:\.[0-9]{{1,{exponent}}}0*)?"),
        };
        let currency = format!("#/components/schemas/{}", currency_name(exponent));
        let then: Map<String, Value> = amounts
            .iter()
            .map(|field| {
                let schema = pattern(&amount, field.required);
                (field.name.to_owned(), json!({"pattern": schema["pattern"]}))
            })
            .collect();
        json!({
            "if": {"required": ["payCurrency"], "properties": {"payCurrency": {"$ref": currency}}},
            "then": {"properties": then},
        })
    });
    rules.collect()
}

fn currency_name(exponent: u32) -> String {
    format!("CurrencyOf{exponent}Decimals")
}

/// The exponents that a currency has.
fn used_exponents() -> impl Iterator<Item = u32> {
    (0..=EXPONENT_MAX).filter(|exponent| !currency_codes(*exponent).is_empty())
}

/// All currencies with so many decimals. `domain` has no list of them, but there are only 17,576
/// codes of three letters.
fn currency_codes(exponent: u32) -> Vec<&'static str> {
    let letters = || 'A'..='Z';
    let codes = letters().flat_map(|a| {
        letters().flat_map(move |b| letters().map(move |c| [a, b, c].iter().collect::<String>()))
    });
    codes
        .filter_map(|code| code.parse::<Currency>().ok())
        .filter(|currency| currency.exponent() == exponent)
        .map(Currency::code)
        .collect()
}

fn text(max: usize, required: bool) -> Map<String, Value> {
    let mut schema = from_value(json!({
        "type": ["string", "number"],
        "maxLength": max,
        "pattern": format!("^{PRINTABLE}$"),
    }));
    if required {
        schema.insert("minLength".into(), json!(1));
    }
    schema
}

/// A text of a pattern; an optional one may be empty.
fn pattern(inner: &str, required: bool) -> Map<String, Value> {
    let optional = if required { "" } else { "?" };
    from_value(json!({"type": "string", "pattern": format!("^(?:{inner}){optional}$")}))
}

/// Letters only: there is no number to be taken for a currency.
fn currency(required: bool) -> Map<String, Value> {
    let code = json!({"$ref": "#/components/schemas/Currency"});
    from_value(if required { code } else { json!({"anyOf": [code, {"enum": ["", null]}]}) })
}

/// A list of texts or words; the empty text is none.
fn list(of: Kind, max: usize) -> Map<String, Value> {
    let item = match of {
        Kind::Word(words) => json!({"enum": words}),
        Kind::Text { max } => {
            let pattern = format!("^{PRINTABLE}$");
            json!({"type": ["string", "number"], "maxLength": max, "pattern": pattern})
        }
        _ => json!({}),
    };
    from_value(json!({"type": ["array", "string"], "items": item, "maxItems": max, "maxLength": 0}))
}

/// One of some texts, or the number that looks like it; an optional one may be empty.
fn words(texts: &[&str], required: bool) -> Map<String, Value> {
    let mut all: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    if !required {
        all.push(json!(""));
    }
    let whole = texts.iter().filter_map(|text| text.parse::<u32>().ok());
    all.extend(whole.map(|number| json!(number)));
    from_value(json!({"enum": all}))
}

/// Takes numbers of a type and range as well.
fn also(schema: &mut Map<String, Value>, number: &str, range: Value) {
    schema.insert("type".into(), json!(["string", number]));
    schema.append(&mut from_value(range));
}

fn null_too(schema: &mut Map<String, Value>) {
    match schema.get_mut("type") {
        Some(Value::Array(types)) => types.push(json!("null")),
        Some(one) => *one = json!([one.take(), "null"]),
        None => {}
    }
    if let Some(Value::Array(all)) = schema.get_mut("enum") {
        all.push(Value::Null);
    }
}

fn texts_only(schema: &mut Map<String, Value>) {
    if schema.contains_key("type") {
        schema.insert("type".into(), json!("string"));
        schema.retain(|name, _| !["minimum", "maximum", "exclusiveMaximum"].contains(&&**name));
    }
    if let Some(Value::Array(all)) = schema.get_mut("enum") {
        all.retain(Value::is_string);
    }
}

/// A pattern of the whole numbers from `min`, which is 0 or 1, to `max`; zeros may lead.
fn whole_number(min: u32, max: u32) -> String {
    debug_assert!(min <= 1 && max >= 9, "no table asks for {min} to {max}");
    let digits = max.to_string();
    let mut ways = Vec::new();
    if min == 0 {
        ways.push("0".to_owned());
    }
    if digits.len() > 1 {
        ways.push(format!("[1-9][0-9]{{0,{}}}", digits.len() - 2));
    }
    // As many digits as `max` has: equal up to some place, less there, anything after it.
    for (place, digit) in digits.char_indices() {
        let least = if place == 0 { '1' } else { '0' };
        let rest = digits.len() - place - 1;
        if let Some(less) = (least..digit).next_back() {
            ways.push(format!("{}[{least}-{less}][0-9]{{{rest}}}", &digits[..place]));
        }
    }
    ways.push(digits);
    format!("0*(?:{})", ways.join("|"))
}

fn from_value(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Form, Params, Problem};

    #[test]
    fn patterns_of_whole_numbers() {
        assert_eq!(
            whole_number(1, 999),
            "0*(?:[1-9][0-9]{0,1}|[1-8][0-9]{2}|9[0-8][0-9]{1}|99[0-8][0-9]{0}|999)"
        );
        assert_eq!(whole_number(1, 200), "0*(?:[1-9][0-9]{0,1}|[1-1][0-9]{2}|200)");
        assert_eq!(whole_number(0, 10), "0*(?:0|[1-9][0-9]{0,0}|10)");
    }

    #[test]
    fn every_currency_is_in_one_group() {
        let all: Vec<&str> = used_exponents().flat_map(currency_codes).collect();
        assert!(all.len() > 150, "{}", all.len());
        assert!(currency_codes(0).contains(&"JPY"));
        assert!(currency_codes(3).contains(&"KWD"));
        assert!(!all.contains(&"XAU"));
    }

    /// The edges of what a form takes, beside which the schema was written.
    #[test]
    fn the_edges_that_the_schema_copies() {
        static FIELDS: &[&[Field]] = &[&[
            wire::form::required("at", Kind::DateTime, ""),
            wire::form::required("of", Kind::Decimal, ""),
            wire::form::required("n", Kind::Count { min: 1, max: 999 }, ""),
            wire::form::required("since", Kind::Millis, ""),
        ]];
        let problems = |body: &str| {
            let params = Params::read(None, body.as_bytes()).unwrap();
            let mut form = Form::new(&params, FIELDS);
            form.date_time("at");
            form.decimal("of");
            form.count("n", 1, 999);
            form.millis("since");
            let errors = form.into_errors();
            errors.iter().map(|error| error.problem).collect::<Vec<_>>()
        };
        for good in [
            r#"{"at":"2024-02-29 23:59:59","of":"0","n":"000000999","since":"9999999999999"}"#,
            r#"{"at":"0000-02-29 00:00:60","of":1.5,"n":1,"since":0}"#,
            r#"{"at":"9999-12-30 00:00:00","of":"00.0000000000000000000000000000","n":"1","since":"0000000000001"}"#,
        ] {
            assert_eq!(problems(good), [], "{good}");
        }
        let bad = [
            Problem::NotDateTime,
            Problem::NotDecimal,
            Problem::NotCount(1, 999),
            Problem::NotMillis,
        ];
        for all_bad in [
            r#"{"at":"2023-02-29 00:00:00","of":"1.","n":"0000000001","since":"10000000000000"}"#,
            r#"{"at":"1900-02-29 00:00:00","of":"-1","n":"0","since":-1}"#,
            r#"{"at":"2024-01-01 24:00:00","of":1e3,"n":1.0,"since":1.0}"#,
            r#"{"at":"2024-01-01 00:60:00","of":"1,5","n":1000,"since":"1e3"}"#,
        ] {
            assert_eq!(problems(all_bad), bad, "{all_bad}");
        }
    }
}
