//! `simmall sign`: the signature of a request, for partners' developers.

use std::io::Read;

use anyhow::{Context, bail};
use clap::builder::BoolishValueParser;
use domain::partner::Scheme;
use wire::Params;
use wire::content::signing_content;

/// The largest body that is read.
const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// What to sign, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Signature scheme: md5 (no key), md5-key or hmac-sha256.
    #[arg(long, env = "SIMMALL_SCHEME", default_value = "hmac-sha256")]
    scheme: Scheme,
    /// The partner's key; md5 has none.
    #[arg(long, env = "SIMMALL_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Query string of a GET request, signed together with the body.
    #[arg(long, env = "SIMMALL_QUERY")]
    query: Option<String>,
    /// A parameter of the path, as NAME=VALUE; may be given several times.
    #[arg(long = "path-param", env = "SIMMALL_PATH_PARAM", value_name = "NAME=VALUE")]
    path_params: Vec<String>,
    /// Print the signing content instead of the signature.
    #[arg(long, env = "SIMMALL_CONTENT", value_parser = BoolishValueParser::new())]
    content: bool,
}

/// Reads a JSON body from `input` and gives its signature or its signing content.
pub(crate) fn sign(args: &Args, input: impl Read) -> anyhow::Result<String> {
    let mut body = Vec::new();
    input.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
    if u64::try_from(body.len()).is_ok_and(|bytes| bytes > BODY_BYTES_MAX) {
        bail!("the body is larger than 1 MiB");
    }
    let mut params = Params::read(args.query.as_deref(), &body)?;
    for param in &args.path_params {
        let (name, value) = param.split_once('=').context("--path-param takes NAME=VALUE")?;
        params.push_path(name, value)?;
    }
    let content = signing_content(&params);
    if args.content {
        return Ok(content);
    }
    let key = match (&args.key, args.scheme.proves_sender()) {
        (Some(key), true) if !key.is_empty() => key.as_str(),
        (None, false) => "",
        (Some(_), false) => bail!("md5 has no key: leave --key out, or use md5-key"),
        _ => bail!("{} needs --key KEY or SIMMALL_KEY", args.scheme.as_str()),
    };
    Ok(wire::sign::sign(args.scheme, key, &content))
}
