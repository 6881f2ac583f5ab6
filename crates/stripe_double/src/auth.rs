//! Who asks: keys of test mode only. Touches nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::ApiError;
use crate::exchange::Request;
use crate::params::Params;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A server, with a secret or restricted key.
    Secret,
    /// An end user's program, with a publishable key.
    Public,
}

fn given(request: &Request, params: &Params) -> Option<String> {
    let Some(header) = request.header("authorization") else {
        return params.text("key").map(str::to_owned);
    };
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    let decoded = STANDARD.decode(rest.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    decoded.split(':').next().map(str::to_owned)
}

pub(crate) fn caller(
    request: &Request,
    params: &Params,
    secret_keys: &[String],
) -> Result<Caller, ApiError> {
    let Some(key) = given(request, params).filter(|key| !key.is_empty()) else {
        return Err(ApiError::unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using \
             Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        ));
    };
    if ["sk_live_", "rk_live_", "pk_live_"].iter().any(|live| key.starts_with(live)) {
        return Err(ApiError::unauthorized(
            "This is a double of Stripe for test mode: it takes no live keys and moves no money. Point the client \
             at https://api.stripe.com, or give it a key of test mode.",
        ));
    }
    if key.starts_with("pk_test_") {
        return Ok(Caller::Public);
    }
    let is_secret = key.starts_with("sk_test_") || key.starts_with("rk_test_");
    if is_secret && (secret_keys.is_empty() || secret_keys.contains(&key)) {
        return Ok(Caller::Secret);
    }
    let shown: String = key.chars().take(8).collect();
    Err(ApiError::unauthorized(format!("Invalid API Key provided: {shown}****")))
}
