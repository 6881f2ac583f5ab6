//! Partners' signing keys: made here, sealed, shown once.

use domain::partner::Partner;
use store::{PartnerKey, Tx};

use crate::Mall;
use crate::error::Result;

/// A key that was just made; its text is not stored in the clear and cannot be shown again.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The id by which people speak of it.
    pub id: String,
    /// Its text.
    pub text: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewKey({})", self.id)
    }
}

impl Mall {
    /// Whether the sealing key is the one with which this database's keys were sealed. With another one
    /// no partner could be served.
    pub async fn check_sealing_key(&self) -> Result<()> {
        let mut tx = self.store.read().await?;
        if let Some((row, sealed)) = tx.some_key().await? {
            self.sealer.open(&row, &sealed).map_err(store::StoreError::from)?;
        }
        Ok(())
    }

    /// Makes a key for a partner: 32 random bytes as hexadecimal text.
    pub async fn add_key(&self, tx: &mut Tx, partner: &Partner) -> Result<NewKey> {
        let id = format!("key_{}", hex::encode(self.ctx.random::<6>()));
        let text = hex::encode(self.ctx.random::<32>());
        let row = PartnerKey::seal_row(partner.mode, partner.id, &id);
        let sealed = self.sealer.seal(self.ctx.random(), &row, &text);
        let sealed = sealed.map_err(store::StoreError::from)?;
        tx.insert_key(partner, &id, sealed, self.ctx.now()).await?;
        Ok(NewKey { id, text })
    }
}
