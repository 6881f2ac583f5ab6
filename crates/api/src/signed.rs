//! The extractor of every call: reads, checks the form, authenticates, and hands over the partner with
//! the request, so that a handler cannot be reached by anybody else.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::Locale;
use domain::partner::ResponseStyle;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use mall::{Caller, Credentials, Sighting};
use serde::Serialize;
use wire::common::Common;
use wire::groups::{IDEMPOTENCY_KEY, begins_operation, idempotency_key};
use wire::vshop::NUMBER_CHARS_MAX;
use wire::{Code, Form, FormError, Params, Shape};

use crate::answer::Voice;
use crate::file::File;
use crate::time_limit::timed_out;
use crate::{App, ClientAddress};

/// The largest body of a request.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The longest partner's code that is looked for.
const CODE_BYTES_MAX: usize = 32;

/// A request of a partner that signed it.
#[derive(Debug)]
pub(crate) struct Signed<R> {
    pub(crate) caller: Caller,
    pub(crate) request: R,
    /// Under which key it may be repeated; empty where there is none, or the call takes none.
    pub(crate) idempotency_key: String,
    voice: Voice,
}

impl<R> Signed<R> {
    /// Answers with a file, or why there is none.
    pub(crate) fn answer_file(&self, outcome: mall::Result<File>) -> Response {
        match outcome {
            Ok(file) => file.into_response(),
            Err(error) => self.voice.error(error),
        }
    }

    /// Answers in the caller's shape and language.
    pub(crate) fn answer<T: Serialize>(&self, outcome: mall::Result<T>) -> Response {
        self.voice.answer(outcome)
    }
}

impl<R: wire::Request> FromRequest<App> for Signed<R> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let address = ClientAddress::of(request.extensions());
        if let Err(error) = app.mall.admit_address(address) {
            let locale = accepted_locale(request.headers()).unwrap_or(Locale::EnUs);
            return Err(Voice::new(locale).error(error));
        }
        let signed = Self::read(request, app, address).await.inspect_err(|refusal| {
            if refusal.status().is_client_error() {
                app.mall.blame_address(address);
            }
        })?;
        let admitted = app.mall.admit_partner(&signed.caller.partner);
        admitted.map_err(|error| signed.voice.error(error)).map(|()| signed)
    }
}

impl<R: wire::Request> Signed<R> {
    /// Reads a request, and authenticates who makes it.
    async fn read(request: Request, app: &App, address: IpAddr) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let in_path = RawPathParams::from_request_parts(&mut parts, &()).await;
        let accepted = accepted_locale(&parts.headers);
        let mut voice = Voice::new(accepted.unwrap_or(Locale::EnUs));
        if let Some(sighting) = parts.extensions.get::<Arc<Sighting>>() {
            voice.sighting = Arc::clone(sighting);
        }
        // Refused before it is read where its length is known: who waits for "100 Continue" gets a clean
        // answer.
        let length = body.size_hint().lower();
        if usize::try_from(length).map_or(true, |length| length > BODY_BYTES_MAX) {
            return Err(voice.refuse(Code::PayloadTooLarge));
        }
        let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(voice.refuse(Code::PayloadTooLarge));
            }
            Err(error) if timed_out(&*error) => return Err(voice.refuse(Code::RequestTimeout)),
            Err(_) => return Err(voice.refuse(Code::BadRequest)),
        };
        if !body.is_empty() && !is_json(&parts.headers) {
            return Err(voice.refuse(Code::UnsupportedMediaType));
        }
        let params = Params::read(parts.uri.query(), &body);
        let mut params = params.map_err(|error| voice.unreadable(&error))?;
        for (name, value) in in_path.iter().flatten() {
            params.push_path(name, value).map_err(|error| voice.unreadable(&error))?;
        }
        let spoken = params.text("languageCode").and_then(language).or(accepted);
        voice.locale = spoken.unwrap_or(Locale::EnUs);
        let order_no = params.text("orderNo").filter(|no| no.chars().count() <= NUMBER_CHARS_MAX);
        if let Some(no) = order_no {
            voice.sighting.order(no);
        }
        voice.order_no = order_no.map(str::to_owned);
        if let Some(code) = params.text("partnerCode").filter(|code| code.len() <= CODE_BYTES_MAX) {
            voice.sighting.named(app.mode, code, address);
        }
        let read = read_form::<R>(&params, &parts.headers);
        let (common, request, idempotency_key) =
            read.map_err(|errors| voice.wrong_fields(&errors))?;
        let (mode, call, sighting) = (app.mode, R::CALL, Arc::clone(&voice.sighting));
        let credentials = Credentials { mode, call, params, common, address, sighting };
        let known = app.mall.authenticate(&credentials).await;
        let known = known.map_err(|error| {
            if let mall::Error::Refused(refusal) = &error {
                voice.sighting.sign_refused(&credentials, refusal);
                voice.locale = spoken.or(refusal.locale).unwrap_or(voice.locale);
            }
            voice.error(error)
        })?;
        let partner = Arc::clone(&known.partner);
        voice.locale = spoken.unwrap_or(partner.locale);
        voice.enveloped =
            R::CALL.shape == Shape::Envelope || partner.response_style == ResponseStyle::Envelope;
        let caller = Caller {
            partner,
            locale: voice.locale,
            trade_type: credentials.common.trade_type.clone(),
            mark: credentials.common.mark.clone(),
            terminal: credentials.common.terminal.clone(),
            credentials: Arc::new(credentials),
        };
        Ok(Self { caller, request, idempotency_key, voice })
    }
}

/// Reads the common fields and the call's own, and the caller's key where the call takes one, or tells all that is wrong
/// with them.
fn read_form<R: wire::Request>(
    params: &Params,
    headers: &HeaderMap,
) -> Result<(Common, R, String), Vec<FormError>> {
    let mut form = Form::new(params, R::CALL.fields);
    let common = Common::read(&mut form, R::CALL.fields[0]);
    let request = R::read(&mut form);
    let mut errors = form.into_errors();
    let mut key = String::new();
    if begins_operation(&R::CALL) {
        let values = headers.get_all(IDEMPOTENCY_KEY).into_iter().map(HeaderValue::as_bytes);
        match idempotency_key(values) {
            Ok(read) => key = read,
            Err(error) => errors.push(error),
        }
    }
    match (common, request) {
        (Some(common), Some(request)) if errors.is_empty() => Ok((common, request, key)),
        _ => Err(errors),
    }
}

/// Whether a body may be JSON by its own account. The published pages leave the header out, and `curl -d`
/// then calls the body a form, which says nothing about it.
fn is_json(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return false;
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let kind = value.to_str().unwrap_or("").split(';').next().unwrap_or("").trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json"
        || kind == "application/x-www-form-urlencoded"
        || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// A `languageCode`: 0 English, 1 simplified Chinese, or a BCP 47 tag.
fn language(code: &str) -> Option<Locale> {
    match code {
        "0" => Some(Locale::EnUs),
        "1" => Some(Locale::ZhCn),
        tag => Locale::from_tag(tag),
    }
}

/// The language that a browser or program accepts most gladly, if the mall speaks one of its list.
pub(crate) fn accepted_locale(headers: &HeaderMap) -> Option<Locale> {
    let list = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut wishes: Vec<(u32, Locale)> = list
        .split(',')
        .filter_map(|wish| {
            let (tag, quality) = wish.split_once(';').unwrap_or((wish, "q=1"));
            let quality = quality.trim().strip_prefix("q=")?;
            Some((thousandths(quality)?, Locale::from_tag(tag.trim())?))
        })
        .filter(|(quality, _)| *quality > 0)
        .collect();
    // The sort is stable: of equal wishes the first one counts.
    wishes.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    wishes.first().map(|(_, locale)| *locale)
}

/// A quality value (`1`, `0.8`, `0.875`) in thousandths.
fn thousandths(quality: &str) -> Option<u32> {
    let (whole, decimals) = quality.split_once('.').unwrap_or((quality, ""));
    if decimals.len() > 3 {
        return None;
    }
    format!("{whole}{decimals:0<3}").parse().ok().filter(|value| *value <= 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_gladdest_language_counts() {
        let accepted = |list| accepted_locale(&headers(header::ACCEPT_LANGUAGE, list));
        assert_eq!(accepted("zh-CN"), Some(Locale::ZhCn));
        assert_eq!(accepted("fr, en;q=0.5, zh;q=0.875"), Some(Locale::ZhCn));
        assert_eq!(accepted("en;q=0, zh;q=0.1"), Some(Locale::ZhCn));
        assert_eq!(accepted("fr;q=x, *"), None);
        assert_eq!(accepted_locale(&HeaderMap::new()), None);
    }

    #[test]
    fn json_goes_by_several_names() {
        let json = |kind| is_json(&headers(header::CONTENT_TYPE, kind));
        assert!(json("application/json") && json("Application/JSON; charset=utf-8"));
        assert!(json("application/problem+json") && is_json(&HeaderMap::new()));
        assert!(json("application/x-www-form-urlencoded"), "what curl says of itself");
        assert!(!json("text/plain") && !json("application/xml"));
    }
}
