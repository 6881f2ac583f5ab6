//! The ledger: balances and postings.

use std::collections::BTreeMap;

use domain::{Mode, Money};
use store::PostingRecord;
use wire::admin::ledger::{Balance, Posting};
use wire::admin::{List, Problem};

use super::{Page, filtered, text};
use crate::Mall;
use crate::error::{Error, Result};

/// Sorts after every key of a posting.
const AFTER_ALL: (&str, &str, &str, &str) = ("q", "p", "z", "");

/// A posting as an operator sees it.
pub(crate) fn shown(record: &PostingRecord) -> Posting {
    let posting = record.posting;
    Posting {
        partner: record.partner.clone(),
        order_id: record.order_id.map(|id| id.to_string()),
        kind: posting.kind.as_str().to_owned(),
        reference: record.reference.clone(),
        debit: posting.debit.as_str().to_owned(),
        credit: posting.credit.as_str().to_owned(),
        amount: posting.amount.decimal(),
        currency: posting.amount.currency.code().to_owned(),
        created_at: text(record.created_at),
    }
}

fn key(record: &PostingRecord) -> String {
    let kind = record.posting.kind.as_str();
    let order = record.order_id.map(|id| id.to_string()).unwrap_or_default();
    format!("{} {order} {kind} {}", record.partner_id, record.reference)
}

impl Mall {
    /// The balances of every account, by partner, account and currency. Every posting is added up.
    pub async fn list_balances(
        &self,
        mode: Mode,
        partner: Option<&str>,
        page: &Page,
    ) -> Result<List<Balance>> {
        let mut tx = self.store.read().await?;
        let of = filtered(&mut tx, mode, partner).await?;
        let moved = tx.moved(mode, of).await?;
        drop(tx);
        let mut sums: BTreeMap<(String, &str, &str), Money> = BTreeMap::new();
        for sum in moved {
            let Money { minor, currency } = sum.amount;
            for (account, minor) in [(sum.debit, minor), (sum.credit, -minor)] {
                let key = (sum.partner.clone(), account.as_str(), currency.code());
                let so_far = sums.entry(key).or_insert(Money::new(0, currency));
                let total = so_far.checked_add(Money::new(minor, currency));
                *so_far = total.map_err(|error| Error::Internal(error.to_string()))?;
            }
        }
        let balances = sums.into_iter().map(|((partner, account, currency), sum)| Balance {
            partner,
            account: account.to_owned(),
            currency: currency.to_owned(),
            balance: sum.decimal(),
        });
        let key = |one: &Balance| format!("{} {} {}", one.partner, one.account, one.currency);
        let mut balances: Vec<Balance> = balances.collect();
        balances.sort_by_key(key);
        balances.retain(|balance| key(balance) > page.after);
        Ok(page.list(balances, key, |balance| balance))
    }

    /// Postings by partner, those of the newest orders first.
    pub async fn list_postings(
        &self,
        mode: Mode,
        partner: Option<&str>,
        page: &Page,
    ) -> Result<List<Posting>> {
        let words: Vec<&str> = page.after.split(' ').collect();
        let before = match words.as_slice() {
            [""] => AFTER_ALL,
            [partner, order, kind, reference] => (*partner, *order, *kind, *reference),
            _ => return Err(Problem::field("cursor", "not one that this list gave").into()),
        };
        let mut tx = self.store.read().await?;
        let of = filtered(&mut tx, mode, partner).await?;
        let postings = tx.postings_page(mode, of, before, page.limit_and_one()).await?;
        Ok(page.list(postings, key, |record| shown(&record)))
    }
}
