//! What came of an operation, and what is kept of it for how long.

use domain::group::{Item, ItemState, Operation};
use domain::{Mode, Span};
use store::{ChunkSize, Tx};

use super::{OperationResult, RESULT_DAYS, ResultWish};
use crate::error::Result;
use crate::{Caller, Mall};

/// How many old operations are deleted in a pass.
const DELETED_MAX: i64 = 50;

impl Mall {
    /// How far an operation is, and what came of its SIMs.
    pub async fn group_result(
        &self,
        caller: &Caller,
        request_id: &str,
        wish: ResultWish,
    ) -> Result<OperationResult> {
        let partner = &caller.partner;
        let mut tx = self.store.read().await?;
        let operation = self.known_operation(&mut tx, partner, request_id).await?;
        result(&mut tx, operation, wish).await
    }

    /// Deletes operations whose results were kept long enough.
    pub(crate) async fn forget_old_operations(&self, mode: Mode) -> Result<()> {
        let before = self.ctx.id_at(self.now(mode) - Span::days(RESULT_DAYS));
        loop {
            let old = self.store.read().await?.old_operations(mode, before, DELETED_MAX).await?;
            for operation in &old {
                let mut tx = self.store.begin().await?;
                tx.delete_operation(operation).await?;
                tx.commit().await?;
            }
            if i64::try_from(old.len()) != Ok(DELETED_MAX) {
                return Ok(());
            }
        }
    }
}

/// A page of an operation's results.
pub(super) async fn result(
    tx: &mut Tx,
    operation: Operation,
    wish: ResultWish,
) -> Result<OperationResult> {
    let is_wanted = |item: &Item| {
        !wish.only_failed || !matches!(item.state, ItemState::Waiting | ItemState::Succeeded)
    };
    let wanted = |size: &ChunkSize| if wish.only_failed { size.failed } else { size.sims };
    let sizes = tx.chunk_sizes(&operation).await?;
    let page_size = usize::try_from(wish.page_size).unwrap_or(usize::MAX);
    let mut skipped = i64::from(wish.page_no.saturating_sub(1)) * i64::from(wish.page_size);
    let mut items = Vec::new();
    for size in &sizes {
        if skipped >= wanted(size) {
            skipped -= wanted(size);
            continue;
        }
        let whose = (operation.mode, operation.partner_id);
        let chunk = tx.chunk(whose, (operation.id, size.no)).await?;
        let found = chunk.map(|chunk| chunk.items).unwrap_or_default().into_iter();
        items.extend(found.filter(is_wanted).skip(usize::try_from(skipped).unwrap_or(0)));
        skipped = 0;
        if items.len() >= page_size {
            break;
        }
    }
    items.truncate(page_size);
    let items_total = sizes.iter().map(wanted).sum();
    Ok(OperationResult { operation, items_total, items })
}
