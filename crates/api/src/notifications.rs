//! What carriers tell on their own account: taken, and answered at once. It is a reason to ask them, no more.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use domain::Locale;
use http_body_util::{BodyExt, Limited};
use mall::Mall;
use wire::Code;

use crate::ClientAddress;
use crate::answer::Voice;
use crate::signed::accepted_locale;

/// The largest notification.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The route that carriers call.
pub(crate) fn router(mall: &Arc<Mall>) -> Router {
    Router::new()
        .route("/carriers/{code}/notifications", post(notified))
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
