//! Every movement of Stripe's balance must be in the books. What is not of this mall is counted and passed over: an account
//! may serve others too.

use std::collections::BTreeMap;
use std::sync::Arc;

use cashiers::stripe::{BalanceTransaction, Source};
use domain::ledger::{Posting, PostingKind};
use domain::{Mode, Money, Timestamp};
use store::{CashierPayment, PostingRecord, Tx};
use wire::admin::reconcile::{Difference, Movement, Reconciliation};

use super::{Day, Stand, difference, not_asked};
use crate::cashier::refunds::{fee_of, in_ours};
use crate::error::{Error, Result};
use crate::{Cashier, Mall};
use domain::id::{OrderId, PartnerId};

/// Whose a movement is.
enum Owner {
    /// An order's; with the payment's id where it came beside the order's own.
    Order { partner: PartnerId, order: OrderId, stray: Option<String> },
    /// A customer's of ours, and no order's.
    Customer(String),
    /// Somebody else's, who uses the same account, or the account's own.
    Nobody,
}

/// What a movement should be in the books.
struct Expected {
    kind: PostingKind,
    reference: String,
    amount: Money,
}

/// The sums of movements, by Stripe's type and currency.
#[derive(Default)]
struct Sums(BTreeMap<(String, &'static str), (i64, Money, Money)>);

impl Sums {
    fn add(&mut self, moved: &BalanceTransaction) -> Result<()> {
        // A currency that this mall does not know is not its money.
        let Ok(amount) = in_ours(&moved.id, moved.amount, &moved.currency) else { return Ok(()) };
        let fee = in_ours(&moved.id, moved.fee, &moved.currency)?;
        let none = Money::new(0, amount.currency);
        let key = (moved.kind.clone(), amount.currency.code());
        let (count, so_far, fees) = self.0.entry(key).or_insert((0, none, none));
        *count += 1;
        let add = |one: Money, more: Money| {
            one.checked_add(more).map_err(|error| Error::Internal(error.to_string()))
        };
        (*so_far, *fees) = (add(*so_far, amount)?, add(*fees, fee)?);
        Ok(())
    }

    fn shown(self) -> Vec<Movement> {
        let shown =
            |((kind, currency), (count, amount, fee)): ((String, &str), (i64, Money, Money))| {
                let currency = currency.to_owned();
                Movement { kind, currency, count, amount: amount.decimal(), fee: fee.decimal() }
            };
        self.0.into_iter().map(shown).collect()
    }
}

impl Mall {
    /// A part of an account's movements on a day, the newest first; and after which the next part begins.
    pub(super) async fn compare_movements(
        &self,
        (mode, day): (Mode, Day),
        cashier: &Arc<Cashier>,
        after: Option<&str>,
    ) -> Result<(Reconciliation, Option<String>)> {
        let seconds = |time: Timestamp| time.as_micros().div_euclid(1_000_000);
        let within = (seconds(day.from), seconds(day.before));
        let page = cashier.stripe.balance_transactions(within, after).await;
        let page = page.map_err(|error| not_asked(&error))?;
        let (mut sums, mut differences) = (Sums::default(), Vec::new());
        for moved in &page.data {
            sums.add(moved)?;
            if let Some(source) = self.source_of(cashier, moved).await? {
                differences.extend(self.compare(mode, moved, &source).await?);
            }
        }
        let last = page.data.last().filter(|_| page.has_more).map(|last| last.id.clone());
        Ok((
            Reconciliation { movements: sums.shown(), differences, ..Reconciliation::default() },
            last,
        ))
    }

    /// What moved the balance, where it may be an order's: asked for where the list has only its id.
    async fn source_of(
        &self,
        cashier: &Arc<Cashier>,
        moved: &BalanceTransaction,
    ) -> Result<Option<Source>> {
        if let Some(source) = moved.source.object() {
            return Ok(Some(source.clone()));
        }
        let of_charge = ["charge", "payment"].contains(&moved.kind.as_str());
        let Some(id) = moved.source_id().filter(|_| of_charge) else { return Ok(None) };
        let charge = cashier.stripe.charge(id).await.map_err(|error| not_asked(&error))?;
        Ok(Some(Source {
            id: charge.id,
            object: "charge".to_owned(),
            amount: charge.amount,
            currency: charge.currency,
            payment_intent: charge.payment_intent,
            customer: None,
            metadata: BTreeMap::new(),
        }))
    }

    async fn compare(
        &self,
        mode: Mode,
        moved: &BalanceTransaction,
        source: &Source,
    ) -> Result<Vec<Difference>> {
        let mut tx = self.store.read().await?;
        let owner = owner(&mut tx, mode, source).await?;
        drop(tx);
        let at_stripe = |sign: i64| in_ours(&source.id, sign * source.amount, &source.currency);
        let (partner, order, stray) = match owner {
            Owner::Nobody => return Ok(Vec::new()),
            Owner::Customer(customer) => {
                let what =
                    format!("{} of our customer {customer}, whom no order names", moved.kind);
                let sides = (Some(at_stripe(1)?), None);
                return Ok(vec![difference("not_booked", None, (&moved.id, sides), what)]);
            }
            Owner::Order { partner, order, stray } => (partner, order, stray),
        };
        let Some(stand) = self.stand_of((mode, partner), order).await? else {
            let what = format!("{} for {order}, which is not there", moved.kind);
            let sides = (Some(at_stripe(1)?), None);
            return Ok(vec![difference("not_booked", None, (&moved.id, sides), what)]);
        };
        let mut found = Vec::new();
        if let Some(expected) = expected(&stand, moved, (source, stray))? {
            found.extend(compare_one(&stand, moved, &expected));
        }
        if let Some(fee) = fee_of(moved)? {
            let Posting { kind, amount, .. } = fee;
            let expected = Expected { kind, amount, reference: moved.id.clone() };
            found.extend(compare_one(&stand, moved, &expected));
        }
        Ok(found)
    }
}

/// What a movement should be in the books; `None`: nothing that is known here.
fn expected(
    stand: &Stand,
    moved: &BalanceTransaction,
    (source, stray): (&Source, Option<String>),
) -> Result<Option<Expected>> {
    let amount = in_ours(&source.id, source.amount, &source.currency)?;
    let refund = || {
        let own = stand.refunds.iter().find(|own| own.cashier_id == source.id);
        own.map_or_else(|| source.id.clone(), |own| own.id.to_string())
    };
    let (kind, reference) = match moved.kind.as_str() {
        "charge" | "payment" => (PostingKind::Sale, stray.unwrap_or_default()),
        "refund" | "payment_refund" => (PostingKind::Refund, refund()),
        "refund_failure" | "payment_failure_refund" => (PostingKind::RefundFailed, refund()),
        "adjustment" if moved.amount < 0 => (PostingKind::Dispute, source.id.clone()),
        "adjustment" => (PostingKind::DisputeWon, source.id.clone()),
        _ => return Ok(None),
    };
    Ok(Some(Expected { kind, reference, amount }))
}

fn compare_one(
    stand: &Stand,
    moved: &BalanceTransaction,
    expected: &Expected,
) -> Option<Difference> {
    let kind = expected.kind.as_str();
    let is_it = |one: &&PostingRecord| {
        one.posting.kind == expected.kind && one.reference == expected.reference
    };
    let booked = stand.booked.iter().find(is_it).map(|one| one.posting.amount);
    let (word, what) = match booked {
        Some(booked) if booked == expected.amount => return None,
        Some(_) => ("amount_differs", format!("the {kind} is booked with another amount")),
        None => ("not_booked", format!("Stripe's {} is not booked as a {kind}", moved.kind)),
    };
    let sides = (Some(expected.amount), booked);
    Some(difference(word, Some(stand), (&moved.id, sides), what))
}

/// Whose a movement is: by its payment, else by what we wrote on it, else by whose money it is.
async fn owner(tx: &mut Tx, mode: Mode, source: &Source) -> Result<Owner> {
    if let Some(intent) = &source.payment_intent
        && let Some(CashierPayment { partner_id, order_id, .. }) =
            tx.cashier_payment_of_intent(mode, intent).await?
    {
        return Ok(Owner::Order { partner: partner_id, order: order_id, stray: None });
    }
    let word = |name: &str| source.metadata.get(name).map(String::as_str).unwrap_or_default();
    if let Ok(order) = word("order").parse::<OrderId>()
        && let Some(partner) = tx.partner_by_code(mode, word("partner")).await?
    {
        let stray = source.payment_intent.clone();
        return Ok(Owner::Order { partner: partner.id, order, stray });
    }
    match &source.customer {
        Some(customer) if tx.is_cashier_customer(mode, customer).await? => {
            Ok(Owner::Customer(customer.to_owned()))
        }
        _ => Ok(Owner::Nobody),
    }
}
