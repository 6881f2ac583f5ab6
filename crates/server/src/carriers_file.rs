//! The file that says which carriers a mall has: an object of carriers by their codes, JSON.
//!
//! All mistakes are gathered before the file is refused. Secrets never stand in it as they are: each is sealed
//! by `simmall seal`, or in a file of its own.

mod fields;
mod seal;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use carriers::{
    Behaviour, Carrier, Carriers, CubeNotifications, CubeSettings, CubeV4, Endpoint, EsimAccess,
    EsimAccessSettings, EsimGo, EsimGoSettings, Served, SetupError, Simulator,
};
use domain::{Ctx, Mode};
use serde_json::{Map, Value};
use store::Sealer;

use fields::Fields;
pub(crate) use seal::{Args as SealArgs, run as seal};

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
    let file: Map<String, Value> =
        serde_json::from_str(text).context("it is not a JSON object of carriers by their codes")?;
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
    const WORDS: [&str; 3] = ["cube_v4", "esim_access", "esim_go"];
    let speaks = fields.word("speaks", &WORDS)?;
    let modes = fields.modes();
    let carrier = match speaks {
        "cube_v4" => shared(CubeV4::new(ctx.clone(), cube(fields)?)),
        "esim_access" => {
            let access_code = fields.secret("access_code");
            let secret_key = fields.optional_secret("secret_key");
            let mut settings = EsimAccessSettings::new(access_code?, secret_key);
            settings.endpoint = endpoint(fields, settings.endpoint);
            shared(EsimAccess::new(ctx.clone(), settings))
        }
        _ => {
            let mut settings = EsimGoSettings::new(fields.secret("api_key")?);
            settings.endpoint = endpoint(fields, settings.endpoint);
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

fn cube(fields: &mut Fields<'_>) -> Option<CubeSettings> {
    let (key_id, private_key) = (fields.text("key_id"), fields.secret("private_key"));
    let mut settings = CubeSettings::new(key_id?, private_key?);
    settings.endpoint = endpoint(fields, settings.endpoint);
    settings.api_version = fields.optional_text("api_version");
    settings.suspend_unconfirmed = fields.flag("suspend_unconfirmed");
    settings.notifications = fields.part("notifications", |fields| {
        let key = fields.secret("key");
        let joined_by = fields.optional_text("joined_by").unwrap_or_default();
        Some(CubeNotifications {
            key_is_hex: fields.flag("key_is_hex"),
            headers_first: fields.flag("headers_first"),
            base64: fields.flag("base64"),
            joined_by,
            key: key?,
        })
    });
    Some(settings)
}

/// Where the carrier is and what it allows: what is not given is as published.
fn endpoint(fields: &mut Fields<'_>, published: Endpoint) -> Endpoint {
    let mut endpoint = published;
    if let Some(base) = fields.optional_text("base") {
        if base.starts_with("http://") && !is_loopback(&base) {
            fields.wrong("base: without TLS only a server on this machine is asked; use https://");
        }
        endpoint.base = base;
    }
    if let Some(seconds) = fields.seconds("call_max_seconds", 1, 120) {
        endpoint.call_max = seconds;
    }
    let limits = &mut endpoint.limits;
    let given = fields.part("limits", |fields| {
        let mut given = *limits;
        if let Some(number) = fields.number("starts_per_second", 1, 10_000) {
            given.starts_per_second = number;
        }
        if let Some(number) = fields.number("in_flight", 1, 1_000) {
            given.in_flight = number;
        }
        if let Some(number) = fields.number("calls_per_day", 1, 1_000_000_000) {
            given.calls_per_day = Some(number);
        }
        if let Some(seconds) = fields.seconds("wait_max_seconds", 0, 60) {
            given.wait_max = seconds;
        }
        Some(given)
    });
    if let Some(given) = given {
        *limits = given;
    }
    endpoint
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
            "c": {"speaks": "cube_v4", "private_key": "MIIB", "limit": {}, "modes": ["uat"]},
            "go": {"speaks": "esim_go", "api_key": {"file": "/nowhere"}, "base": "http://go.example"}}"#,
        );
        for part in [
            "simulator: this is the built-in simulator",
            "\"a b\": a code is",
            "x: speaks: one of cube_v4, esim_access, esim_go",
            "y: an object",
            "c: private_key: a secret does not stand here as it is",
            "c: key_id: missing",
            "c: limit: no such field",
            "c: modes: a list of live and test",
            "go: api_key: /nowhere cannot be read",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("MIIB"), "{told}");
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
            assert_eq!(is_loopback(base), here, "{base}");
        }
    }
}
