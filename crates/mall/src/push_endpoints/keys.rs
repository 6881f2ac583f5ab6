//! The keys that sign pushes: made here, sealed, shown once, and replaced by new ones while both sign.

use domain::Span;
use store::{PushEndpoint, PushKey, Tx};
use wire::endpoints::RotateKey;
use wire::push::{KEYS_MAX, Key};

use super::{EndpointReason, Manager, Shown, found};
use crate::Mall;
use crate::admin::pushes;
use crate::error::{Error, Result};

impl Mall {
    /// Makes a key for an endpoint: 32 random bytes.
    pub(super) async fn add_push_key(&self, tx: &mut Tx, endpoint: &PushEndpoint) -> Result<Key> {
        let id = format!("pk_{}", hex::encode(self.ctx.random::<6>()));
        let key = Key::new(&id, &self.ctx.random::<32>());
        let key = key.map_err(|error| Error::Internal(error.to_string()))?;
        let row = PushKey::seal_row(endpoint.mode, endpoint.partner_id, endpoint.id, &id);
        let sealed = self.sealer.seal(self.ctx.random(), &row, &key.hex());
        let sealed = sealed.map_err(store::StoreError::from)?;
        tx.insert_push_key(endpoint, (&id, sealed), self.ctx.now()).await?;
        Ok(key)
    }

    /// Gives an endpoint a new key; the one before it signs too for a while. Two sign at most, so that a third one is made
    /// only where the others go at once.
    pub(crate) async fn rotate_key(
        &self,
        by: Manager<'_>,
        request: &RotateKey,
    ) -> Result<(Shown, Key)> {
        let (shown, key) = self
            .retry(|| async {
                let (mut tx, now) = (self.store.begin().await?, self.ctx.now());
                let whose = by.held(&mut tx).await?;
                let endpoint = found(&mut tx, by, &whose, &request.endpoint_id).await?;
                tx.delete_retired_push_keys(&endpoint, now).await?;
                let before = self.shown(&mut tx, &whose, endpoint.clone()).await?;
                if before.keys.len() >= KEYS_MAX && request.overlap_hours > 0 {
                    let detail = "two keys sign already: wait until the older one retires, or let both go at once with \
                                  overlap_hours 0";
                    return Err(by.refused(EndpointReason::TwoKeys, "endpoint_id", detail));
                }
                let key = self.add_push_key(&mut tx, &endpoint).await?;
                let retire_at = now + Span::minutes(60 * i64::from(request.overlap_hours));
                tx.retire_push_keys(&endpoint, key.id(), retire_at).await?;
                tx.delete_retired_push_keys(&endpoint, now).await?;
                // Its version is raised: whoever sends to it opens its keys anew.
                tx.update_push_endpoint(&endpoint).await?;
                let endpoint = found(&mut tx, by, &whose, &request.endpoint_id).await?;
                let after = self.shown(&mut tx, &whose, endpoint).await?;
                let of = ("push.rotate", &whose, after.endpoint.id);
                let both = (pushes::audited(&before), pushes::audited(&after));
                by.record(self, &mut tx, of, both).await?;
                tx.commit().await?;
                Ok((after, key))
            })
            .await?;
        self.push_bell.ring([shown.endpoint.key()]);
        Ok((self.now_counted(shown).await?, key))
    }
}
