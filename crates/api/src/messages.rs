//! What the API says to people, in their language: the texts of `locales/`, which are part of the
//! binary. Whoever writes an answer takes its words from here and from nowhere else.

use std::sync::LazyLock;

use domain::Locale;
use domain::group::ItemCode;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;
use wire::diagnosis::Cause;
use wire::endpoints::ENDPOINTS_MAX;
use wire::params::{DEPTH_MAX, PARAMS_MAX, ParamsError, VALUES_MAX};
use wire::{Code, FormError, Problem};

/// The most characters of a caller's own text in a message: an answer shall not grow with what it
/// quotes.
pub const ARG_CHARS_MAX: usize = 200;

/// What is said of an outcome that contradicts a known one.
pub const OUTCOME_CONFLICT: &str = "conflict-outcome";

/// What is said of an operation that cannot be retried yet.
pub const STILL_RUNS: &str = "conflict-still-runs";

const EN_US: &str = include_str!("../locales/en-US.ftl");
const ZH_CN: &str = include_str!("../locales/zh-CN.ftl");

type Bundle = FluentBundle<FluentResource>;

static BUNDLES: LazyLock<[Bundle; 2]> =
    LazyLock::new(|| [bundle(Locale::EnUs, EN_US), bundle(Locale::ZhCn, ZH_CN)]);

/// What a message is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg<'a> {
    /// A text; of a long one the beginning is shown.
    Text(&'a str),
    /// A whole number, shown without separators; it can choose between singular and plural.
    Number(i64),
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Arg<'_> {
    fn from(number: u32) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<usize> for Arg<'_> {
    /// A number beyond 64 bits is shown as the largest.
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// The message of an id. An id without a message is its own: nobody is left without an answer.
pub fn message(locale: Locale, id: &str, args: &[(&str, Arg<'_>)]) -> String {
    let bundle = match locale {
        Locale::EnUs => &BUNDLES[0],
        Locale::ZhCn => &BUNDLES[1],
    };
    let Some(pattern) = bundle.get_message(id).and_then(|found| found.value()) else {
        return id.to_owned();
    };
    let mut values = FluentArgs::with_capacity(args.len());
    for (name, arg) in args {
        match arg {
            Arg::Text(text) => values.set(*name, FluentValue::from(shortened(text))),
            Arg::Number(number) => values.set(*name, FluentValue::from(*number)),
        }
    }
    // A missing argument is the only error that a pattern can have here; the tests look for it.
    let mut errors = Vec::new();
    bundle.format_pattern(pattern, Some(&values), &mut errors).into_owned()
}

/// Why a call failed.
pub fn code(locale: Locale, code: Code) -> String {
    let id = format!("code-{}", code.as_str().to_lowercase().replace('_', "-"));
    message(locale, &id, &[])
}

/// What is wrong with a field.
pub fn problem(locale: Locale, error: &FormError) -> String {
    let field = ("field", Arg::from(error.field.as_str()));
    let say = |id| message(locale, id, &[field]);
    match error.problem {
        Problem::Missing => say("problem-missing"),
        Problem::WrongType => say("problem-wrong-type"),
        Problem::TooLong(max) => message(locale, "problem-too-long", &[field, ("max", max.into())]),
        Problem::NotPrintable => say("problem-not-printable"),
        Problem::NotPartnerCode => say("problem-not-partner-code"),
        Problem::NotVersion => say("problem-not-version"),
        Problem::NotIccid => say("problem-not-iccid"),
        Problem::BadCheckDigit => say("problem-bad-check-digit"),
        Problem::NotCount(min, max) => {
            let range = [field, ("min", min.into()), ("max", max.into())];
            message(locale, "problem-not-count", &range)
        }
        Problem::NotDecimal => say("problem-not-decimal"),
        Problem::NotInCurrency => say("problem-not-in-currency"),
        Problem::NotCurrency => say("problem-not-currency"),
        Problem::NotFlag => say("problem-not-flag"),
        Problem::NotWord(words) => {
            let words = words.join(", ");
            message(locale, "problem-not-word", &[field, ("words", words.as_str().into())])
        }
        Problem::NotList => say("problem-not-list"),
        Problem::TooManyItems(max) => {
            message(locale, "problem-too-many-items", &[field, ("max", max.into())])
        }
        Problem::NotDateTime => say("problem-not-date-time"),
        Problem::NotEpochMillis => say("problem-not-epoch-millis"),
        Problem::NotTradeType => say("problem-not-trade-type"),
        Problem::NotTheProduct => say("problem-not-the-product"),
        Problem::NoneOfThem => say("problem-none-of-them"),
        Problem::NotMillis => say("problem-not-millis"),
        Problem::NotCursor => say("problem-not-cursor"),
        Problem::NotKey(max) => message(locale, "problem-not-key", &[field, ("max", max.into())]),
    }
}

/// Why a push endpoint cannot be made or changed, by the id of the reason.
pub fn endpoint_reason(locale: Locale, id: &str) -> String {
    message(locale, id, &[("max", ENDPOINTS_MAX.into())])
}

/// Why a request has no parameters that could be read.
pub fn params_error(locale: Locale, error: &ParamsError) -> String {
    let say = |id, args: &[(&str, Arg<'_>)]| message(locale, id, args);
    match error {
        ParamsError::NotUtf8 => say("bad-utf8", &[]),
        ParamsError::NotJson(line, column) => {
            say("bad-json", &[("line", (*line).into()), ("column", (*column).into())])
        }
        ParamsError::BadEscape => say("bad-escape", &[]),
        ParamsError::NotAnObject => say("bad-body-object", &[]),
        ParamsError::BadQuery => say("bad-query", &[]),
        ParamsError::Duplicate(name) => say("bad-duplicate", &[("name", name.as_str().into())]),
        ParamsError::TooDeep => say("bad-too-deep", &[("max", DEPTH_MAX.into())]),
        ParamsError::TooMany => {
            say("bad-too-many", &[("max", PARAMS_MAX.into()), ("values", VALUES_MAX.into())])
        }
    }
}

/// Why a signature does not match: all its causes, or that none is known.
pub fn hint(locale: Locale, causes: &[Cause]) -> String {
    if causes.is_empty() {
        return message(locale, "hint-none", &[]);
    }
    joined(locale, causes.iter().map(|cause| message(locale, cause.message_id(), &[])))
}

/// Why an order failed or waits for a person, if the mall has words of its own for it.
pub fn failure(locale: Locale, code: &str) -> Option<String> {
    let id = format!("failure-{}", code.to_lowercase().replace('_', "-"));
    let text = message(locale, &id, &[]);
    (text != id).then_some(text)
}

/// What became of a SIM of an operation on a group. Where its carrier refused, its own code is told too.
pub fn sim_result(locale: Locale, code: ItemCode, detail: &str) -> String {
    if code == ItemCode::CarrierRefused && !detail.is_empty() {
        return message(locale, "result-carrier-refused-with", &[("detail", detail.into())]);
    }
    let id = format!("result-{}", code.as_str().to_lowercase().replace('_', "-"));
    message(locale, &id, &[])
}

/// Sentences one after another.
pub fn joined(locale: Locale, sentences: impl Iterator<Item = String>) -> String {
    // Chinese sets no space between sentences.
    let space = match locale {
        Locale::EnUs => " ",
        Locale::ZhCn => "",
    };
    sentences.collect::<Vec<_>>().join(space)
}

fn bundle(locale: Locale, text: &str) -> Bundle {
    let language: LanguageIdentifier =
        locale.tag().parse().expect("the tags of the locales are BCP 47");
    let resource = FluentResource::try_new(text.to_owned())
        .expect("the texts are part of the binary, and a test reads them");
    let mut bundle = Bundle::new_concurrent(vec![language]);
    // Isolation marks help where directions of writing mix; in JSON they are dirt.
    bundle.set_use_isolating(false);
    bundle.add_resource(resource).expect("the texts name no id twice, and a test reads them");
    bundle
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ARG_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that the mall itself gives to orders which failed or wait for a person.
    const FAILURES: [&str; 4] =
        ["PAYMENT_FAILED", "CARRIER_UNCLEAR", "CARRIER_OVERDUE", "PROVISIONING_FAILED"];

    const PROBLEMS: [Problem; 24] = [
        Problem::Missing,
        Problem::WrongType,
        Problem::TooLong(10_000),
        Problem::NotPrintable,
        Problem::NotPartnerCode,
        Problem::NotVersion,
        Problem::NotIccid,
        Problem::BadCheckDigit,
        Problem::NotCount(1_000, 1_000_000),
        Problem::NotDecimal,
        Problem::NotInCurrency,
        Problem::NotCurrency,
        Problem::NotFlag,
        Problem::NotWord(&["json", "csv"]),
        Problem::NotList,
        Problem::TooManyItems(10_000),
        Problem::NotDateTime,
        Problem::NotEpochMillis,
        Problem::NotTradeType,
        Problem::NotTheProduct,
        Problem::NoneOfThem,
        Problem::NotMillis,
        Problem::NotCursor,
        Problem::NotKey(128),
    ];

    fn params_errors() -> [ParamsError; 8] {
        [
            ParamsError::NotUtf8,
            ParamsError::NotJson(1, 20),
            ParamsError::BadEscape,
            ParamsError::NotAnObject,
            ParamsError::BadQuery,
            ParamsError::Duplicate("payId".into()),
            ParamsError::TooDeep,
            ParamsError::TooMany,
        ]
    }

    /// The ids of a file, in its order.
    fn ids(text: &str) -> Vec<&str> {
        text.lines()
            .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
            .filter_map(|line| line.split_once(" =").map(|(id, _)| id))
            .collect()
    }

    /// Every message that the API can say, with the id under which it stands.
    fn everything(locale: Locale) -> Vec<(String, String)> {
        let wire_id = |code: &str| code.to_lowercase().replace('_', "-");
        let codes = Code::ALL
            .into_iter()
            .map(|one| (format!("code-{}", wire_id(one.as_str())), code(locale, one)));
        let problems = PROBLEMS.into_iter().map(|one| {
            let variant = format!("{one:?}");
            let variant = variant.split('(').next().unwrap_or_default();
            let words = variant.chars().flat_map(|letter| {
                let dash = letter.is_uppercase().then_some('-');
                dash.into_iter().chain(letter.to_lowercase())
            });
            let error = FormError { field: "orderPeriod".into(), problem: one };
            let said = problem(locale, &error);
            assert!(said.contains("orderPeriod"), "{said}");
            (format!("problem{}", words.collect::<String>()), said)
        });
        let hints = Cause::ALL
            .into_iter()
            .map(|cause| (cause.message_id().to_owned(), hint(locale, &[cause])));
        let bad_ids = [
            "bad-utf8",
            "bad-json",
            "bad-escape",
            "bad-body-object",
            "bad-query",
            "bad-duplicate",
            "bad-too-deep",
            "bad-too-many",
        ];
        let bad = bad_ids
            .into_iter()
            .zip(params_errors())
            .map(|(id, error)| (id.to_owned(), params_error(locale, &error)));
        let others = [
            ("hint-none".to_owned(), hint(locale, &[])),
            (
                "hint-stale-time".to_owned(),
                message(locale, "hint-stale-time", &[("seconds", 12_345_u32.into())]),
            ),
            ("hint-too-large".to_owned(), message(locale, "hint-too-large", &[])),
            ("hint-busy".to_owned(), message(locale, "hint-busy", &[])),
            (OUTCOME_CONFLICT.to_owned(), message(locale, OUTCOME_CONFLICT, &[])),
            (STILL_RUNS.to_owned(), message(locale, STILL_RUNS, &[])),
        ];
        let failures = FAILURES.into_iter().map(|code| {
            let id = format!("failure-{}", wire_id(code));
            (id, failure(locale, code).unwrap_or_default())
        });
        let reasons = mall::EndpointReason::ALL.into_iter().map(|reason| {
            let id = reason.message_id();
            (id.to_owned(), endpoint_reason(locale, id))
        });
        let results = ItemCode::ALL.into_iter().map(|code| {
            (format!("result-{}", wire_id(code.as_str())), sim_result(locale, code, ""))
        });
        let with_word = sim_result(locale, ItemCode::CarrierRefused, "limit exceeded");
        let results = results.chain([("result-carrier-refused-with".to_owned(), with_word)]);
        let all = codes.chain(problems).chain(hints).chain(bad);
        all.chain(others).chain(failures).chain(reasons).chain(results).collect()
    }

    #[test]
    fn the_languages_have_the_same_ids_in_the_same_order() {
        assert_eq!(ids(EN_US), ids(ZH_CN));
        assert!(ids(EN_US).contains(&"code-sim-unknown"));
    }

    #[test]
    fn every_message_is_said_and_every_id_is_used() {
        for locale in Locale::ALL {
            let all = everything(locale);
            for (id, said) in &all {
                assert!(!said.is_empty() && said != id, "{id} has no message");
                // Neither a placeholder without its value nor an isolation mark.
                let leak = |letter: char| "{}$\u{2066}\u{2067}\u{2068}\u{2069}".contains(letter);
                assert!(!said.contains(leak), "{id}: {said}");
                assert_eq!(said.trim(), said, "{id}");
            }
            let mut used: Vec<&str> = all.iter().map(|(id, _)| id.as_str()).collect();
            let mut there = ids(EN_US);
            used.sort_unstable();
            there.sort_unstable();
            assert_eq!(used, there);
        }
    }

    #[test]
    fn the_languages_differ() {
        for ((id, english), (_, chinese)) in
            everything(Locale::EnUs).into_iter().zip(everything(Locale::ZhCn))
        {
            assert_ne!(english, chinese, "{id}");
            let is_chinese = |letter: char| ('\u{4e00}'..='\u{9fff}').contains(&letter);
            assert!(chinese.contains(is_chinese), "{id}: {chinese}");
            assert!(!english.contains(is_chinese), "{id}: {english}");
        }
    }

    #[test]
    fn numbers_are_not_grouped_and_choose_the_plural() {
        let error = FormError { field: "pageNo".into(), problem: Problem::NotCount(1, 1_000_000) };
        assert_eq!(
            problem(Locale::EnUs, &error),
            "pageNo must be a whole number from 1 to 1000000."
        );
        assert_eq!(problem(Locale::ZhCn, &error), "pageNo 应为 1 到 1000000 之间的整数。");
        let stale = |seconds: u32| {
            let args = [("seconds", seconds.into())];
            message(Locale::EnUs, "hint-stale-time", &args)
        };
        assert!(stale(1).contains("by one second."), "{}", stale(1));
        assert!(stale(10_000).contains("by 10000 seconds."));
    }

    #[test]
    fn several_causes_make_one_text() {
        let causes = [Cause::KeysUnsorted, Cause::Spaces];
        assert_eq!(
            hint(Locale::EnUs, &causes),
            "The keys of the signing content are not in ascending byte order; sort them. \
             The signing content has spaces between its parts; write compact JSON."
        );
        assert_eq!(
            hint(Locale::ZhCn, &causes),
            "签名原文的键没有按字节升序排列，请先排序。\
             签名原文的各部分之间有空格，应使用紧凑的 JSON。"
        );
    }

    #[test]
    fn a_quoted_text_is_cut_and_never_read_as_a_pattern() {
        let name = format!("{{ $why }}{}", "欧".repeat(ARG_CHARS_MAX));
        let said = params_error(Locale::EnUs, &ParamsError::Duplicate(name));
        assert!(said.contains("{ $why }欧"), "{said}");
        assert!(said.chars().count() < ARG_CHARS_MAX + 100, "{said}");
        assert!(said.contains('…'));
    }

    #[test]
    fn an_unknown_id_is_its_own_message() {
        assert_eq!(message(Locale::ZhCn, "no-such-id", &[]), "no-such-id");
    }
}
