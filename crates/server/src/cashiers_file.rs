//! The file that says whose money a mall takes: an object of Stripe accounts, JSON. `live` and `test` are the
//! modes' accounts, `test/P000270` is the one of a single partner.
//!
//! All mistakes are gathered before the file is refused. Secrets are sealed or in files of their own, as in the
//! file of carriers, whose fields are read by the same means.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use cashiers::stripe::{Settings, Stripe};
use domain::Mode;
use mall::{Cashier, Cashiers};
use serde_json::Value;
use store::Sealer;

use crate::carriers_file::{Fields, Unique, is_private};

/// The most accounts of a file.
const ACCOUNTS_MAX: usize = 1_000;

/// Reads the file's accounts.
pub(crate) fn read(file: &Path, sealer: Option<&Sealer>) -> anyhow::Result<Cashiers> {
    let told = || format!("the cashiers cannot be read from {}", file.display());
    let text = std::fs::read_to_string(file).with_context(told)?;
    parse(&text, sealer).with_context(told)
}

fn parse(text: &str, sealer: Option<&Sealer>) -> anyhow::Result<Cashiers> {
    let not_it = "it is not a JSON object of accounts by their modes";
    let Unique(file) = serde_json::from_str(text).context(not_it)?;
    let Value::Object(file) = file else { anyhow::bail!(not_it) };
    anyhow::ensure!(file.len() <= ACCOUNTS_MAX, "it has more than {ACCOUNTS_MAX} accounts");
    let (mut cashiers, mut mistakes) = (Cashiers::default(), Vec::new());
    for (name, value) in file {
        let (mode, partner) = match name.split_once('/') {
            Some((mode, partner)) => (mode, Some(partner)),
            None => (name.as_str(), None),
        };
        let Ok(mode) = mode.parse::<Mode>() else {
            mistakes.push(format!("{name:?}: live, test, live/PARTNER or test/PARTNER is needed"));
            continue;
        };
        let mut fields = Fields::new(&name, value, sealer, &mut mistakes);
        let cashier = account(&mut fields, mode).map(Arc::new);
        fields.end();
        match (cashier, partner) {
            (Some(cashier), None) => drop(cashiers.modes.insert(mode, cashier)),
            (Some(cashier), Some(partner)) => {
                cashiers.partners.insert((mode, partner.to_owned()), cashier);
            }
            (None, _) => {}
        }
    }
    anyhow::ensure!(mistakes.is_empty(), "{}", mistakes.join("; "));
    Ok(cashiers)
}

/// An account as its fields say; mistakes are noted with the fields. All fields are read before anything that is
/// missing ends it.
fn account(fields: &mut Fields<'_>, mode: Mode) -> Option<Cashier> {
    let secret_key = fields.secret("secret_key");
    let publishable_key = fields.text("publishable_key");
    let webhook_secret = fields.secret("webhook_secret");
    let next = fields.optional_secret("next_webhook_secret");
    let base = fields.optional_text("base");
    if base.as_ref().is_some_and(|base| !is_private(base)) {
        fields.wrong(
            "base: https://HOST is needed; without TLS only a server on this machine is asked",
        );
    }
    let played = fields.flag("double");
    if played && mode == Mode::Live {
        fields.wrong("double: live mode takes real money");
    }
    let call_max = fields.seconds("call_max_seconds", 1, 80);
    let mut settings = Settings::new(mode, secret_key?.reveal(), publishable_key?);
    settings.base_url = base.unwrap_or(settings.base_url);
    settings.timeout = call_max.unwrap_or(settings.timeout);
    let secrets = webhook_secret.into_iter().chain(next);
    let webhook_secrets = secrets.map(|secret| secret.reveal().to_owned()).collect();
    match Stripe::new(&settings) {
        Ok(stripe) => Some(Cashier { stripe, webhook_secrets, played }),
        Err(error) => {
            fields.wrong(&error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once_and_no_key() {
        let told = parse(
            r#"{"uat": {}, "live": {"secret_key": "sk_live_k3y", "publishable_key": "pk_live_1"},
            "live/P2": {"double": true},
            "test/P1": {"base": "http://stripe.example", "double": 1, "webhook": 1, "call_max_seconds": 0}}"#,
            None,
        );
        let told = format!("{:#}", told.unwrap_err());
        for part in [
            "\"uat\": live, test,",
            "live: secret_key: a secret does not stand here",
            "live: webhook_secret: missing",
            "test/P1: secret_key: missing",
            "test/P1: publishable_key: missing",
            "test/P1: base: https://HOST",
            "test/P1: call_max_seconds: a number from 1 to 80",
            "test/P1: webhook: no such field",
            "test/P1: double: true or false",
            "live/P2: double: live mode takes real money",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("k3y"), "{told}");
    }

    #[test]
    fn keys_of_the_other_mode_are_refused() {
        let sealer = Sealer::new(&[7; 32]);
        let as_sealed = |field: &str, text: &str| {
            let row = format!("carrier secret {field}");
            hex::encode(sealer.seal([1; 24], &row, text).unwrap())
        };
        let file = |mode: &str, key: &str| {
            let (key, hook) =
                (as_sealed("secret_key", key), as_sealed("webhook_secret", "whsec_test"));
            format!(
                r#"{{"{mode}": {{"secret_key": {{"sealed": "{key}"}}, "publishable_key": "pk_test_1",
                "webhook_secret": {{"sealed": "{hook}"}}}}}}"#
            )
        };
        let read = parse(&file("test", "sk_test_key"), Some(&sealer)).unwrap();
        assert_eq!(read.modes[&Mode::Test].webhook_secrets, ["whsec_test"]);
        assert!(parse(&file("test/P1", "rk_test_key"), Some(&sealer)).unwrap().modes.is_empty());
        let told = parse(&file("test", "sk_live_key"), Some(&sealer)).unwrap_err();
        assert!(format!("{told:#}").contains("this one is of live mode"), "{told:#}");
    }
}
