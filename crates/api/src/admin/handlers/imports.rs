//! Imports and exports.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use wire::admin::Problem;
use wire::admin::import::NEXT_CURSOR_HEADER;

use crate::admin::Outcome;
use crate::admin::call::{Call, created, done};

pub(crate) async fn add(call: Call) -> Outcome {
    let (import, is_new) = call.mall.create_import(call.mode()?, &call.body()?).await?;
    if is_new { created(Ok(import)) } else { done(Ok(import)) }
}

pub(crate) async fn put_part(call: Call) -> Outcome {
    let number = call.path("part").parse().ok().filter(|number| *number > 0);
    let number: i64 = number.ok_or_else(|| Problem::not_found("part; they count from 1"))?;
    let (mode, id) = (call.mode()?, call.path("import_id"));
    done(call.mall.put_import_part(mode, id, number, &call.bytes).await)
}

pub(crate) async fn apply(call: Call) -> Outcome {
    let dry_run = call.query("dry_run") == Some("true");
    let (mode, id) = (call.mode()?, call.path("import_id"));
    done(call.mall.apply_import(&call.by, mode, id, dry_run).await)
}

pub(crate) async fn show(call: Call) -> Outcome {
    done(call.mall.import(call.mode()?, call.path("import_id")).await)
}

pub(crate) async fn export(call: Call) -> Outcome {
    let (kind, partner) = (call.path("kind"), call.query("partner"));
    let page = call.mall.export(call.mode()?, kind, partner, call.query("cursor")).await?;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"))];
    let mut response = (kind, page.text).into_response();
    if let Some(cursor) = page.next_cursor {
        // A cursor is hexadecimal.
        let cursor = HeaderValue::from_str(&cursor).map_err(|_| Problem::not_found("cursor"))?;
        response.headers_mut().insert(HeaderName::from_static(NEXT_CURSOR_HEADER), cursor);
    }
    Ok(response)
}
