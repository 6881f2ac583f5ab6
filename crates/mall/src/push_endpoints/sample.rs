//! A sample, as whoever asks for one is told of it.

use std::sync::Arc;

use domain::Span;
use domain::id::EventId;
use domain::push::DeliveryState;
use serde_json::{Value, json};
use store::{PushAttempt, PushEndpoint};
use wire::endpoints::{TestEndpoint, Tested};

use super::{Manager, Whose, found};
use crate::admin::Operator;
use crate::error::{Error, Result};
use crate::limits::too_many;
use crate::{Caller, Mall};

/// When whoever asks for samples too fast may ask again.
const NEXT_AFTER: Span = Span::seconds(1);

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
        self: &Arc<Self>,
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

    /// Sends a sample to an endpoint, whatever its state and its types: one at a time. It is sent and noted although
    /// whoever asked for it goes away.
    pub(crate) async fn send_sample(self: &Arc<Self>, by: Manager<'_>, id: &str) -> Result<Sample> {
        let mut tx = self.store.read().await?;
        let whose = by.partner(&mut tx).await?;
        let endpoint = found(&mut tx, by, &whose, id).await?;
        drop(tx);
        let place = self.sample_place(endpoint.key()).ok_or_else(|| too_many(NEXT_AFTER))?;
        let mall = Arc::clone(self);
        let operator = match by {
            Manager::Partner(_) => None,
            Manager::Operator(by, ..) => Some(by.clone()),
        };
        let task = tokio::spawn(async move {
            let sample = mall.sampled((operator.as_ref(), &whose), &endpoint).await;
            drop(place);
            sample
        });
        task.await.map_err(|error| Error::Internal(error.to_string()))?
    }

    async fn sampled(
        &self,
        (operator, whose): (Option<&Operator>, &Whose),
        endpoint: &PushEndpoint,
    ) -> Result<Sample> {
        let sent = self.send_push_sample(endpoint).await?;
        let state = match &sent.attempt {
            None => DeliveryState::Waiting,
            Some(_) if sent.is_taken => DeliveryState::Delivered,
            Some(_) => DeliveryState::Failed,
        };
        if let Some(operator) = operator {
            let by = Manager::Operator(operator, whose.mode, &whose.code);
            self.retry(|| async {
                let mut tx = self.store.begin().await?;
                let after = json!({"event_id": sent.event_id.to_string(), "state": state.as_str()});
                let of = ("push.test", whose, endpoint.id);
                by.record(self, &mut tx, of, (Value::Null, after)).await?;
                Ok(tx.commit().await?)
            })
            .await?;
        }
        Ok(Sample { event_id: sent.event_id, state, attempt: sent.attempt })
    }
}
