//! What carriers and Stripe tell on their own account: taken, and answered at once. It is a reason to ask them, no
//! more.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use domain::{Locale, Mode};
use http_body_util::{BodyExt, Limited};
use mall::{EventRefused, Mall};
use wire::Code;

use crate::ClientAddress;
use crate::answer::Voice;
use crate::signed::accepted_locale;

/// The largest notification.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The largest event of Stripe's.
const EVENT_BYTES_MAX: usize = 512 * 1024;

/// The routes that carriers and Stripe call.
pub(crate) fn router(mall: &Arc<Mall>) -> Router {
    Router::new()
        .route("/carriers/{code}/notifications", post(notified))
        .route("/stripe/webhook/{mode}", post(stripe_event))
        .with_state(Arc::clone(mall))
}

async fn notified(
    State(mall): State<Arc<Mall>>,
    Path(code): Path<String>,
    headers: HeaderMap,
    request: axum::extract::Request<Body>,
) -> Response {
    let voice = Voice::new(accepted_locale(&headers).unwrap_or(Locale::EnUs));
    let address = ClientAddress::of(request.extensions());
    if let Err(error) = mall.admit_address(address) {
        return voice.error(error);
    }
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        return voice.refuse(Code::PayloadTooLarge);
    };
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    match mall.carrier_notified(&code, &headers, &body.to_bytes()).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            mall.blame_address(address);
            voice.error(error)
        }
    }
}

/// 6.6: an event of Stripe's. It is stored before it is answered.
async fn stripe_event(
    State(mall): State<Arc<Mall>>,
    Path(mode): Path<String>,
    headers: HeaderMap,
    request: axum::extract::Request<Body>,
) -> Response {
    let voice = Voice::new(Locale::EnUs);
    let address = ClientAddress::of(request.extensions());
    if let Err(error) = mall.admit_address(address) {
        return voice.error(error);
    }
    let Ok(mode) = mode.parse::<Mode>() else { return voice.refuse(Code::NotFound) };
    let Ok(body) = Limited::new(request.into_body(), EVENT_BYTES_MAX).collect().await else {
        return voice.refuse(Code::PayloadTooLarge);
    };
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    match mall.cashier_event(mode, signature.unwrap_or_default(), &body.to_bytes()).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(EventRefused::NotHere) => voice.refuse(Code::NotFound),
        Err(EventRefused::Webhook(why)) => {
            tracing::warn!(%why, %mode, "an event of Stripe's is not taken");
            mall.blame_address(address);
            voice.refuse(Code::BadRequest)
        }
        Err(EventRefused::Own(error)) => voice.error(error),
    }
}
