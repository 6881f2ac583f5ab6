//! A partner's push endpoints: one method for each call. They need `hmac-sha256`.

use serde_json::{Value, json};
use wire::endpoints::{
    ADD, CHANGE, DELETE, DELIVERIES, Deliveries, Endpoint, Endpoints, IssuedEndpoint, LIST, RESEND,
    ROTATE, Resent, TAKE, TEST, Taken, Tested,
};
pub use wire::endpoints::{AddEndpoint, ChangeEndpoint};

use crate::client::{Client, Error, Fields};

/// Which events are sent again. Times are epoch milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again<'a> {
    /// This one.
    Event(&'a str),
    /// All that failed for good since a time.
    FailedSince(i64),
    /// All that were recorded from a time on and before another.
    Recorded(i64, i64),
}

fn of(endpoint_id: &str) -> (&'static str, Value) {
    ("endpoint_id", Value::from(endpoint_id))
}

impl Client {
    /// Your push endpoints, the oldest first.
    pub async fn push_endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        let found: Endpoints = self.call(&LIST, Vec::new()).await?;
        Ok(found.endpoints)
    }

    /// Adds a push endpoint. Keep the key: it is not shown again.
    pub async fn add_push_endpoint(&self, new: &AddEndpoint) -> Result<IssuedEndpoint, Error> {
        let kind = if new.is_listener { "listener" } else { "url" };
        let fields = vec![
            ("kind", Value::from(kind)),
            ("url", Value::from(new.url.as_str())),
            ("description", Value::from(new.description.as_str())),
            ("events", json!(new.events)),
        ];
        self.call(&ADD, fields).await
    }

    /// Changes a push endpoint, pauses or resumes it. What is `None` stays.
    pub async fn change_push_endpoint(&self, change: &ChangeEndpoint) -> Result<Endpoint, Error> {
        let state = change.paused.map(|paused| if paused { "paused" } else { "on" });
        let fields = [
            ("url", change.url.as_deref().map(Value::from)),
            ("description", change.description.as_deref().map(Value::from)),
            ("events", change.events.as_ref().map(|events| json!(events))),
            ("state", state.map(Value::from)),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let fields: Fields<'_> = given.chain([of(&change.endpoint_id)]).collect();
        self.call(&CHANGE, fields).await
    }

    /// Sends a sample to a push endpoint, and tells what came of it.
    pub async fn test_push_endpoint(&self, endpoint_id: &str) -> Result<Tested, Error> {
        self.call(&TEST, vec![of(endpoint_id)]).await
    }

    /// Gives a push endpoint a new key; the old one signs too for so many hours.
    pub async fn rotate_push_key(
        &self,
        endpoint_id: &str,
        overlap_hours: u32,
    ) -> Result<IssuedEndpoint, Error> {
        let overlap = ("overlap_hours", Value::from(overlap_hours));
        self.call(&ROTATE, vec![of(endpoint_id), overlap]).await
    }

    /// Deletes a push endpoint with all that waits for it.
    pub async fn delete_push_endpoint(&self, endpoint_id: &str) -> Result<(), Error> {
        self.call::<Value>(&DELETE, vec![of(endpoint_id)]).await.map(|_| ())
    }

    /// Sends events again. Go on behind `next_cursor` (at first empty) until there is none.
    pub async fn resend_pushes(
        &self,
        endpoint_id: &str,
        again: Again<'_>,
        cursor: &str,
    ) -> Result<Resent, Error> {
        let mut fields = vec![of(endpoint_id), ("cursor", Value::from(cursor))];
        match again {
            Again::Event(id) => fields.push(("event_id", Value::from(id))),
            Again::FailedSince(millis) => fields.push(("failed_since", Value::from(millis))),
            Again::Recorded(from, to) => {
                fields.extend([("from", Value::from(from)), ("to", Value::from(to))]);
            }
        }
        self.call(&RESEND, fields).await
    }

    /// Takes what waits for a listener, after telling which events were handled.
    pub async fn take_pushes(
        &self,
        endpoint_id: &str,
        acknowledged: &[String],
        limit: u32,
    ) -> Result<Taken, Error> {
        let fields =
            vec![of(endpoint_id), ("acknowledged", json!(acknowledged)), ("limit", limit.into())];
        self.call(&TAKE, fields).await
    }

    /// What a push endpoint was told, the newest first, a page of 50. An event's id asks for that one with all its
    /// tries; a state (`waiting`, `delivered`, `failed`) for those in it.
    pub async fn push_deliveries(
        &self,
        endpoint_id: &str,
        (event_id, state): (&str, &str),
        cursor: &str,
    ) -> Result<Deliveries, Error> {
        let fields = vec![
            of(endpoint_id),
            ("event_id", event_id.into()),
            ("state", state.into()),
            ("cursor", cursor.into()),
        ];
        self.call(&DELIVERIES, fields).await
    }
}
