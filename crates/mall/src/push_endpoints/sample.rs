//! A sample, as whoever asks for one is told of it.

use domain::id::EventId;
use domain::push::DeliveryState;
use serde_json::{Value, json};
use store::PushAttempt;
use wire::endpoints::{TestEndpoint, Tested};

use super::{Manager, found};
use crate::error::Result;
use crate::{Caller, Mall};

/// What came of a sample.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) event_id: EventId,
    pub(crate) state: DeliveryState,
    /// The try; none where a listener is to take it.
    pub(crate) attempt: Option<PushAttempt>,
}

impl Mall {
    /// `POST /mall/push-endpoints/test`.
    pub async fn test_push_endpoint(
        &self,
        caller: &Caller,
        request: &TestEndpoint,
    ) -> Result<Tested> {
        let by = Manager::Partner(&caller.partner);
        let sample = self.send_sample(by, &request.endpoint_id).await?;
        Ok(Tested {
            event_id: sample.event_id.to_string(),
            state: sample.state.as_str().to_owned(),
            attempt: sample.attempt.as_ref().map(super::log::of_partner),
        })
    }

    /// Sends a sample to an endpoint, whatever its state and its types.
    pub(crate) async fn send_sample(&self, by: Manager<'_>, id: &str) -> Result<Sample> {
        let mut tx = self.store.read().await?;
        let whose = by.partner(&mut tx).await?;
        let endpoint = found(&mut tx, by, &whose, id).await?;
        drop(tx);
        let sent = self.send_push_sample(&endpoint).await?;
        let state = match &sent.attempt {
            None => DeliveryState::Waiting,
            Some(_) if sent.is_taken => DeliveryState::Delivered,
            Some(_) => DeliveryState::Failed,
        };
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let after = json!({"event_id": sent.event_id.to_string(), "state": state.as_str()});
            by.record(self, &mut tx, ("push.test", &whose, endpoint.id), (Value::Null, after))
                .await?;
            Ok(tx.commit().await?)
        })
        .await?;
        Ok(Sample { event_id: sent.event_id, state, attempt: sent.attempt })
    }
}
