//! Where carriers tell that something happened. What they tell is a reason to ask them, and no proof: it is
//! taken whether or not it is signed, and whoever does not prove to be a carrier is counted as a caller that
//! proves nothing.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use domain::Locale;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use mall::{Mall, Notified};
use wire::Code;
use wire::answer::Envelope;

use crate::ClientAddress;
use crate::answer::Voice;
use crate::signed::accepted_locale;
use crate::time_limit::timed_out;

/// The largest body of a notification.
const NOTIFICATION_BYTES_MAX: usize = 64 * 1024;

/// The one route.
pub(crate) fn router(mall: &Arc<Mall>) -> Router {
    Router::new()
        .route(wire::call::CARRIER_NOTIFICATIONS, post(notified))
        .with_state(Arc::clone(mall))
}

async fn notified(
    State(mall): State<Arc<Mall>>,
    code: Result<Path<String>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> Response {
    let voice = Voice::new(accepted_locale(request.headers()).unwrap_or(Locale::EnUs));
    let address = ClientAddress::of(request.extensions());
    if let Err(error) = mall.admit_address(address) {
        return voice.error(error);
    }
    let (parts, body) = request.into_parts();
    let blame = |refusal: Response| {
        mall.blame_address(address);
        refusal
    };
    let Ok(Path(code)) = code else { return blame(voice.refuse(Code::NotFound)) };
    let body = match Limited::new(body, NOTIFICATION_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return blame(voice.refuse(Code::PayloadTooLarge));
        }
        Err(error) if timed_out(&*error) => return blame(voice.refuse(Code::RequestTimeout)),
        Err(_) => return blame(voice.refuse(Code::BadRequest)),
    };
    // A header that is no text is none of a carrier's.
    let named = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let headers: Vec<(&str, &str)> = named.collect();
    match mall.carrier_notified(&code, &headers, &body).await {
        Ok(Notified::Taken { signed: true }) => taken(),
        Ok(Notified::Taken { signed: false }) => blame(taken()),
        Ok(Notified::Unknown) => blame(voice.refuse(Code::NotFound)),
        Ok(Notified::Unreadable) => blame(voice.refuse(Code::BadRequest)),
        Ok(Notified::BadSignature) => {
            let mut refusal = voice.refuse(Code::SignMismatch);
            // Carriers go by the status, and 400 means to them that they wrote nonsense.
            *refusal.status_mut() = StatusCode::UNAUTHORIZED;
            blame(refusal)
        }
        Err(error) => voice.error(error),
    }
}

fn taken() -> Response {
    Json(Envelope::success(serde_json::json!({}))).into_response()
}
