//! The file that says which carriers a mall has: an object of carriers by their codes, JSON.
//!
//! All mistakes are gathered before the file is refused. Secrets never stand in it as they are: each is sealed
//! by `simmall seal`, or in a file of its own.

mod fields;
mod seal;
mod unique;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use carriers::{
    Behaviour, Carrier, Carriers, CubeNotifications, CubeSettings, CubeV4, Endpoint, EsimAccess,
    EsimAccessSettings, EsimGo, EsimGoSettings, Plain, PlainSettings, Served, SetupError,
    Simulator,
};
use domain::{Ctx, Mode, Span};
use serde_json::Value;
use store::Sealer;

pub(crate) use fields::Fields;
pub(crate) use seal::{Args as SealArgs, run as seal};
pub(crate) use unique::Unique;

/// The most carriers of a file.
const CARRIERS_MAX: usize = 50;

/// The carrier that is always there.
pub(crate) fn built_in(ctx: &Ctx, simulator: Behaviour) -> Carriers {
    let simulator: Arc<dyn Carrier> = Arc::new(Simulator::new(ctx.clone(), simulator));
    let served = Served { carrier: simulator, modes: Mode::ALL.to_vec() };
    Carriers::from([(mall::demo::CARRIER.to_owned(), served)])
}

/// Reads the file's carriers.
pub(crate) fn read(file: &Path, ctx: &Ctx, sealer: Option<&Sealer>) -> anyhow::Result<Carriers> {
    let told = || format!("the carriers cannot be read from {}", file.display());
    let text = std::fs::read_to_string(file).with_context(told)?;
    parse(&text, ctx, sealer).with_context(told)
}

fn parse(text: &str, ctx: &Ctx, sealer: Option<&Sealer>) -> anyhow::Result<Carriers> {
    let not_it = "it is not a JSON object of carriers by their codes";
    let Unique(file) = serde_json::from_str(text).context(not_it)?;
    let Value::Object(file) = file else { anyhow::bail!(not_it) };
    anyhow::ensure!(file.len() <= CARRIERS_MAX, "it has more than {CARRIERS_MAX} carriers");
    let (mut carriers, mut mistakes) = (Carriers::new(), Vec::new());
    for (code, value) in file {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if code.is_empty() || code.len() > 32 || !code.bytes().all(plain) {
            mistakes.push(format!("{code:?}: a code is 1 to 32 letters, digits, _ and -"));
            continue;
        }
        if code == mall::demo::CARRIER {
            mistakes.push(format!("{code}: this is the built-in simulator; take another code"));
            continue;
        }
        let mut fields = Fields::new(&code, value, sealer, &mut mistakes);
        if let Some(served) = carrier(&mut fields, ctx) {
            carriers.insert(code.clone(), served);
        }
        fields.end();
    }
    anyhow::ensure!(mistakes.is_empty(), "{}", mistakes.join("; "));
    Ok(carriers)
}

/// A carrier as its fields say; mistakes are noted with the fields.
fn carrier(fields: &mut Fields<'_>, ctx: &Ctx) -> Option<Served> {
    const WORDS: [&str; 4] = ["cube_v4", "esim_access", "esim_go", "plain"];
    let speaks = fields.word("speaks", &WORDS)?;
    let modes = fields.modes();
    let carrier = match speaks {
        "cube_v4" => shared(CubeV4::new(ctx.clone(), cube(fields)?)),
        "esim_access" => {
            let access_code = fields.secret("access_code");
            let secret_key = fields.optional_secret("secret_key");
            let given = given(fields);
            let mut settings = EsimAccessSettings::new(access_code?, secret_key);
            given.change(&mut settings.endpoint);
            shared(EsimAccess::new(ctx.clone(), settings))
        }
        "plain" => {
            let (api_key, given) = (fields.secret("api_key"), given(fields));
            let mut settings = PlainSettings::new(api_key?);
            given.change(&mut settings.endpoint);
            shared(Plain::new(ctx.clone(), settings))
        }
        _ => {
            let (api_key, given) = (fields.secret("api_key"), given(fields));
            let mut settings = EsimGoSettings::new(api_key?);
            given.change(&mut settings.endpoint);
            shared(EsimGo::new(ctx.clone(), settings))
        }
    };
    match carrier {
        Ok(carrier) => Some(Served { carrier, modes }),
        Err(error) => {
            fields.wrong(&error.to_string());
            None
        }
    }
}

fn shared<C: Carrier + 'static>(
    made: Result<C, SetupError>,
) -> Result<Arc<dyn Carrier>, SetupError> {
    Ok(Arc::new(made?))
}

/// All fields are read before anything that is missing ends it: what was read is no unknown field.
fn cube(fields: &mut Fields<'_>) -> Option<CubeSettings> {
    let (key_id, private_key) = (fields.text("key_id"), fields.secret("private_key"));
    let (given, api_version) = (given(fields), fields.optional_text("api_version"));
    let suspend_unconfirmed = fields.flag("suspend_unconfirmed");
    let notifications = fields.part("notifications", |fields| {
        let key = fields.secret("key");
        let joined_by = fields.optional_text("joined_by").unwrap_or_default();
        let (key_is_hex, headers_first) = (fields.flag("key_is_hex"), fields.flag("headers_first"));
        let base64 = fields.flag("base64");
        Some(CubeNotifications { key_is_hex, headers_first, base64, joined_by, key: key? })
    });
    let settings = CubeSettings::new(key_id?, private_key?);
    let mut settings = CubeSettings { api_version, suspend_unconfirmed, notifications, ..settings };
    given.change(&mut settings.endpoint);
    Some(settings)
}

/// What the file says of where a carrier is and what it allows; the rest is as published.
#[derive(Debug, Default)]
struct Given {
    base: Option<String>,
    call_max: Option<Span>,
    starts_per_second: Option<u32>,
    in_flight: Option<u32>,
    calls_per_day: Option<u32>,
    wait_max: Option<Span>,
}

fn given(fields: &mut Fields<'_>) -> Given {
    let base = fields.optional_text("base");
    if base.as_ref().is_some_and(|base| !is_private(base)) {
        fields.wrong(
            "base: https://HOST/PATH is needed; without TLS only a server on this machine is asked",
        );
    }
    let call_max = fields.seconds("call_max_seconds", 1, 120);
    let limits = fields.part("limits", |fields| {
        Some(Given {
            starts_per_second: fields.number("starts_per_second", 1, 10_000),
            in_flight: fields.number("in_flight", 1, 1_000),
            calls_per_day: fields.number("calls_per_day", 1, 1_000_000_000),
            wait_max: fields.seconds("wait_max_seconds", 0, 60),
            ..Given::default()
        })
    });
    Given { base, call_max, ..limits.unwrap_or_default() }
}

impl Given {
    fn change(self, endpoint: &mut Endpoint) {
        let Endpoint { base, call_max, limits } = endpoint;
        *base = self.base.unwrap_or_else(|| base.clone());
        *call_max = self.call_max.unwrap_or(*call_max);
        limits.starts_per_second = self.starts_per_second.unwrap_or(limits.starts_per_second);
        limits.in_flight = self.in_flight.unwrap_or(limits.in_flight);
        limits.calls_per_day = self.calls_per_day.or(limits.calls_per_day);
        limits.wait_max = self.wait_max.unwrap_or(limits.wait_max);
    }
}

/// Whether nobody between us and the address can read along. Only what is plainly so is: other spellings of
/// `http` are read as such by others.
pub(crate) fn is_private(base: &str) -> bool {
    base.starts_with("https://") || (base.starts_with("http://") && is_loopback(base))
}

/// Whether an address names this machine.
fn is_loopback(base: &str) -> bool {
    let rest = base.trim_start_matches("http://");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
        authority.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    struct Still;

    impl domain::Clock for Still {
        fn now(&self) -> domain::Timestamp {
            domain::Timestamp::from_micros(0)
        }
    }

    fn ctx() -> Ctx {
        Ctx::new(Arc::new(Still), StdRng::seed_from_u64(1))
    }

    fn mistakes(text: &str) -> String {
        format!("{:#}", parse(text, &ctx(), None).unwrap_err())
    }

    #[test]
    fn a_file_with_sealed_secrets_is_read() {
        let sealer = Sealer::new(&[7; 32]);
        let as_sealed = |field: &str| {
            hex::encode(sealer.seal([1; 24], &fields::seal_row(field), "test-key").unwrap())
        };
        let text = format!(
            r#"{{"go": {{"speaks": "esim_go", "api_key": {{"sealed": "{}"}}}},
            "access": {{"speaks": "esim_access", "modes": ["live", "test"],
            "access_code": {{"sealed": "{}"}}, "base": "http://127.0.0.1:9/api",
            "call_max_seconds": 5, "limits": {{"in_flight": 2, "wait_max_seconds": 1}}}}}}"#,
            as_sealed("api_key"),
            as_sealed("access_code"),
        );
        let carriers = parse(&text, &ctx(), Some(&sealer)).unwrap();
        assert_eq!(carriers["go"].modes, [Mode::Live]);
        assert_eq!(carriers["access"].modes, [Mode::Live, Mode::Test]);
        let capabilities = carriers["access"].carrier.capabilities();
        assert_eq!(capabilities.call_max, domain::Span::seconds(6));
        // What was sealed as one field does not open as another, nor under another key.
        let moved = text.replace(&as_sealed("access_code"), &as_sealed("api_key"));
        assert!(parse(&moved, &ctx(), Some(&sealer)).is_err());
        assert!(parse(&text, &ctx(), Some(&Sealer::new(&[8; 32]))).is_err());
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let told = mistakes(
            r#"{"simulator": {}, "a b": {}, "x": {"speaks": "smoke"}, "y": 1,
            "c": {"speaks": "cube_v4", "private_key": "MIIB", "limit": {}, "modes": ["uat"],
                "notifications": {"base64": 1}, "api_version": "2", "limits": {"in_flight": 0}},
            "go": {"speaks": "esim_go", "api_key": {"file": "/nowhere"}, "base": "http://go.example"}}"#,
        );
        for part in [
            "simulator: this is the built-in simulator",
            "\"a b\": a code is",
            "x: speaks: one of cube_v4, esim_access, esim_go, plain",
            "y: an object",
            "c: private_key: a secret does not stand here as it is",
            "c: key_id: missing",
            "c: limit: no such field",
            "c: modes: a list of live and test",
            "c: notifications: key: missing",
            "c: notifications: base64: true or false",
            "c: limits: in_flight: a number from 1 to 1000",
            "go: api_key: /nowhere cannot be read",
            "go: base: https://HOST/PATH is needed",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        // Only what nobody reads is unknown, whatever else is wrong.
        assert_eq!(told.matches("no such field").count(), 1, "{told}");
        assert!(!told.contains("MIIB"), "{told}");
    }

    #[test]
    fn a_name_that_is_there_twice_is_told_with_its_place() {
        for text in [r#"{"go": {}, "go": {}}"#, r#"{"go": {"limits": [{"a": 1, "a": 1}]}}"#] {
            let told = mistakes(text);
            assert!(told.contains("is there twice at line 1"), "{told}");
        }
        assert!(mistakes("[]").contains("not a JSON object"));
        assert!(mistakes(r#"{"go": "#).contains("line 1"));
    }

    #[test]
    fn without_tls_only_this_machine_is_asked() {
        for (base, here) in [
            ("http://127.0.0.1:8090/x", true),
            ("http://localhost", true),
            ("http://[::1]:1/", true),
            ("http://127.0.0.1.example/", false),
            ("http://localhost.example", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_private(base), here, "{base}");
        }
        assert!(is_private("https://go.example/v2.5"));
        for base in ["HTTP://go.example", " http://go.example", "ht\ttp://go.example", "go.example"]
        {
            assert!(!is_private(base), "{base:?}");
        }
    }
}
