//! Partners' signing keys, as operators manage them: two live ones at most, so that a partner can
//! change from one to the other while both sign.

use domain::Mode;
use serde_json::Value;
use store::KeyRecord;
use wire::admin::partner::{IssuedKey, Key};
use wire::admin::{List, Problem, Secret};

use super::{Change, Operator, Page, held_partner, json, partner_of, text};
use crate::Mall;
use crate::error::Result;

/// How many keys of a partner may be live at once.
const LIVE_MAX: usize = 2;

fn shown(key: &KeyRecord) -> Key {
    Key {
        key_id: key.key_id.clone(),
        created_at: text(key.created_at),
        retired_at: key.retired_at.map(text),
    }
}

impl Mall {
    /// A partner's keys without their texts, the oldest first.
    pub async fn list_keys(&self, (mode, code): (Mode, &str), page: &Page) -> Result<List<Key>> {
        let mut tx = self.store.read().await?;
        let partner = partner_of(&mut tx, mode, code).await?;
        let place = |key: &KeyRecord| format!("{:020} {}", key.created_at.as_micros(), key.key_id);
        let mut keys = tx.key_records(&partner).await?;
        keys.retain(|key| place(key) > page.after);
        Ok(page.list(keys, place, |key| shown(&key)))
    }

    /// Makes a key for a partner.
    pub async fn issue_key(&self, by: &Operator, (mode, code): (Mode, &str)) -> Result<IssuedKey> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let partner = held_partner(&mut tx, mode, code).await?;
            let keys = tx.key_records(&partner).await?;
            if keys.iter().filter(|key| key.retired_at.is_none()).count() >= LIVE_MAX {
                let detail = "the partner has two live keys: retire one of them first";
                return Err(Problem::conflict("KEYS_FULL", detail).into());
            }
            let new = self.add_key(&mut tx, &partner).await?;
            let key = KeyRecord { key_id: new.id, created_at: self.ctx.now(), retired_at: None };
            let key = shown(&key);
            let change = Change {
                action: "key.add",
                mode: Some(mode),
                object: format!("partners/{code}/keys/{}", key.key_id),
                before: Value::Null,
                after: json(&key),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(IssuedKey { key, text: Secret(new.text) })
        })
        .await
    }

    /// Retires a key; one that is retired stays as it is. Even the last one can be: it may have
    /// leaked.
    pub async fn retire_key(
        &self,
        by: &Operator,
        (mode, code, key_id): (Mode, &str, &str),
    ) -> Result<Key> {
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            let partner = held_partner(&mut tx, mode, code).await?;
            let keys = tx.key_records(&partner).await?;
            let before = keys.into_iter().find(|key| key.key_id == key_id);
            let before = before.ok_or_else(|| Problem::not_found("key"))?;
            if before.retired_at.is_some() {
                return Ok(shown(&before));
            }
            let now = self.ctx.now();
            tx.retire_key(&partner, key_id, now).await?;
            let after = shown(&KeyRecord { retired_at: Some(now), ..before.clone() });
            let change = Change {
                action: "key.retire",
                mode: Some(mode),
                object: format!("partners/{code}/keys/{key_id}"),
                before: json(&shown(&before)),
                after: json(&after),
            };
            self.record(&mut tx, by, change).await?;
            tx.commit().await?;
            Ok(after)
        })
        .await
    }
}
