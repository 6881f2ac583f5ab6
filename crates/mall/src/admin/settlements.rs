//! What makes a partner owe less without an order: what it paid, and what it was let off.

use domain::ledger::{Posting, PostingKind};
use domain::money::Currency;
use domain::{Mode, Money};
use serde_json::Value;
use wire::admin::Problem;
use wire::admin::ledger::{NewSettlement, Posting as Shape};

use super::ledger::shown;
use super::{Change, Operator, held_partner, json};
use crate::Mall;
use crate::error::{Error, Result};

impl Mall {
    /// Books what a partner paid of what it owes, or was let off: once for each reference.
    pub async fn settle_credit(
        &self,
        by: &Operator,
        (mode, code, currency): (Mode, &str, &str),
        wanted: &NewSettlement,
    ) -> Result<Shape> {
        let known = currency.parse::<Currency>().ok().filter(|known| known.code() == currency);
        let currency = known.ok_or_else(|| Problem::not_found("currency"))?;
        let amount = Money::parse(&wanted.amount, currency)
            .map_err(|error| Problem::field("amount", error.to_string()))?;
        if amount.minor <= 0 {
            return Err(Problem::field("amount", "must be more than nothing").into());
        }
        let posting = match wanted.kind.as_str() {
            "credit" => Posting::credit(amount),
            _ => Posting::settlement(amount),
        };
        self.retry(|| self.book_settlement(by, (mode, code), (posting, &wanted.reference))).await
    }

    async fn book_settlement(
        &self,
        by: &Operator,
        (mode, code): (Mode, &str),
        (posting, reference): (Posting, &str),
    ) -> Result<Shape> {
        let Posting { kind, amount, .. } = posting;
        let mut tx = self.store.begin().await?;
        let partner = held_partner(&mut tx, mode, code).await?;
        let whose = (mode, partner.id);
        if let Some(before) = tx.partner_posting(whose, (kind, reference)).await? {
            if before.posting == posting {
                return Ok(shown(&before));
            }
            let booked = before.posting.amount;
            let (currency, booked) = (booked.currency.code(), booked.decimal());
            let detail = format!("{currency} {booked} is booked under the reference {reference}");
            return Err(Problem::conflict("REFERENCE_TAKEN", detail).into());
        }
        if !tx.take_from_owed(mode, partner.id, amount).await? {
            let credits = tx.credits(&partner).await?;
            let owed = credits.iter().find(|one| one.limit.currency == amount.currency);
            let owed = owed.map_or(Money::new(0, amount.currency), |one| one.used);
            let detail = format!("the partner owes {} {}", owed.currency.code(), owed.decimal());
            return Err(Problem::conflict("MORE_THAN_OWED", detail).into());
        }
        tx.insert_partner_posting(whose, (posting, reference), self.ctx.now()).await?;
        let booked = tx.partner_posting(whose, (kind, reference)).await?;
        let booked = booked.ok_or_else(|| Error::Internal("a posting is gone".to_owned()))?;
        let after = shown(&booked);
        let action = match kind {
            PostingKind::Credit => "credit.note",
            _ => "credit.settle",
        };
        let object = format!("partners/{}/credits/{}", partner.code, amount.currency.code());
        let change =
            Change { action, mode: Some(mode), object, before: Value::Null, after: json(&after) };
        self.record(&mut tx, by, change).await?;
        tx.commit().await?;
        Ok(after)
    }
}
