//! Where Stripe tells that something happened (6.6). An event is stored before it is answered; what it tells is a
//! reason to ask Stripe, and no proof.

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

/// The largest event.
const EVENT_BYTES_MAX: usize = 512 * 1024;

/// The one route, the same in each mode.
pub(crate) fn router(mall: &Arc<Mall>) -> Router {
    Router::new().route(wire::call::STRIPE_WEBHOOK, post(told)).with_state(Arc::clone(mall))
}

async fn told(
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
