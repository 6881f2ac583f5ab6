//! `simmall seal`: a carrier's secret as it may stand in the file of carriers.

use std::io::{IsTerminal, Read};

use anyhow::Context;

use crate::cli::{Sealing, say};
use crate::clock;

use super::fields::seal_row;

/// The longest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What is sealed, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The field of the carriers' file: which secret it is.
    #[arg(value_parser = ["private_key", "access_code", "secret_key", "api_key", "key"])]
    field: String,
    #[command(flatten)]
    sealing: Sealing,
}

/// Reads a secret from standard input and prints it sealed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let sealer = args.sealing.sealer()?;
    let mut stdin = std::io::stdin();
    anyhow::ensure!(
        !stdin.is_terminal(),
        "give the secret on standard input: simmall seal {} < FILE",
        args.field
    );
    let mut text = String::new();
    stdin.by_ref().take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).context("the secret")?;
    let fits = u64::try_from(text.len()).is_ok_and(|length| length <= SECRET_BYTES_MAX);
    anyhow::ensure!(fits, "the secret is longer than {SECRET_BYTES_MAX} bytes");
    let text = text.trim();
    anyhow::ensure!(!text.is_empty(), "the secret is empty");
    let nonce = clock::system_ctx().random();
    let bytes = sealer.seal(nonce, &seal_row(&args.field), text)?;
    say(&format!("{{\"sealed\": \"{}\"}}", hex::encode(bytes)))
}
