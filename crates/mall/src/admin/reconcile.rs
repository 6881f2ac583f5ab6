//! Whether a day's money adds up: what moved at Stripe, the postings, the orders and the plans. Reads only.
//!
//! A day has two halves. Every movement of Stripe's balance on that day must be in the books with its amount and fee
//! (`movements.rs`). Every order that was made on that day must have what its postings say, at Stripe and on its SIM.
//! It is gone through in parts, each a request of its own, so that a large day needs neither memory nor patience.

mod movements;

use std::collections::HashSet;
use std::sync::Arc;

use cashiers::stripe::{CallError, Stripe};
use domain::id::{OrderId, PartnerId};
use domain::ledger::{Account, PostingKind};
use domain::order::{Order, OrderSource, OrderState};
use domain::partner::Partner;
use domain::refund::Refund;
use domain::sim_plan::SimPlanState;
use domain::{Mode, Money, Span, Timestamp};
use store::{PostingRecord, SweptOrder};
use wire::admin::Problem;
use wire::admin::reconcile::{Difference, Reconciliation};

use super::Page;
use crate::error::{Error, Result};
use crate::{Cashier, Mall};

/// The most orders of a part.
const ORDERS_MAX: i64 = 100;
/// For so long after an order was made its money is looked for in Stripe's list; after that piece by piece.
const MONEY_WITHIN: Span = Span::minutes(60);
/// The most pages of Stripe's list that are read for a part.
const PAGES_MAX: usize = 20;

/// Where a part begins.
enum Place {
    /// In the list of an account's movements, after one of them.
    Stripe { account: usize, after: Option<String> },
    /// Among the orders, after one of them.
    Orders { after: String },
}

/// A day, in UTC as Stripe reports by default.
#[derive(Debug, Clone, Copy)]
struct Day {
    from: Timestamp,
    before: Timestamp,
}

/// An order with what the sides say of it.
struct Stand {
    order: Order,
    partner: Partner,
    agreed: Option<Money>,
    booked: Vec<PostingRecord>,
    plan: Option<SimPlanState>,
    /// The charge at Stripe, as far as it is known.
    charge: String,
    /// What went back, or shall, of what the order stands on and of what came beside it.
    refunds: Vec<Refund>,
    /// The payment that the order stands on.
    intent: String,
}

impl Mall {
    /// A part of a day's comparison.
    pub async fn reconcile_day(
        &self,
        mode: Mode,
        day: &str,
        page: &Page,
    ) -> Result<Reconciliation> {
        let day = read_day(day)?;
        let accounts = self.cashiers.sorted(mode);
        let place = read_place(&page.after, accounts.len())?;
        let (mut part, next) = match place {
            Place::Stripe { account, after } => {
                let (part, next) = self
                    .compare_movements((mode, day), &accounts[account], after.as_deref())
                    .await?;
                let next = match next {
                    Some(last) => format!("stripe {account} {last}"),
                    None if account + 1 < accounts.len() => format!("stripe {} ", account + 1),
                    None => "orders ".to_owned(),
                };
                (part, Some(next))
            }
            Place::Orders { after } => {
                let limit = page.limit.min(ORDERS_MAX);
                self.compare_orders((mode, day), (&after, limit)).await?
            }
        };
        part.next_cursor = next.map(hex::encode);
        Ok(part)
    }

    async fn compare_orders(
        &self,
        (mode, day): (Mode, Day),
        (after, limit): (&str, i64),
    ) -> Result<(Reconciliation, Option<String>)> {
        let after = if after.is_empty() { first_id(day.from)? } else { after.to_owned() };
        let before = first_id(day.before)?;
        let found = self.store.sweep_orders(mode, &after, limit).await?;
        let is_full = i64::try_from(found.len()).is_ok_and(|count| count >= limit);
        let (of_day, later): (Vec<SweptOrder>, Vec<SweptOrder>) =
            found.into_iter().partition(|order| order.id.to_string() < before);
        let last = of_day.last().filter(|_| is_full && later.is_empty());
        let next = last.map(|order| format!("orders {}", order.id));
        let mut known = Known::default();
        let mut differences = Vec::new();
        for swept in &of_day {
            let whose = (mode, swept.partner_id);
            let Some(stand) = self.stand_of(whose, swept.id).await? else { continue };
            differences.extend(self.missing_at_stripe(&stand, (&of_day, &mut known)).await?);
            if judge(&stand).is_empty() {
                continue;
            }
            // It may have moved on while its parts were read.
            let again = self.stand_of(whose, swept.id).await?;
            differences.extend(again.iter().flat_map(judge));
        }
        let orders = i64::try_from(of_day.len()).unwrap_or(i64::MAX);
        Ok((Reconciliation { orders, differences, ..Reconciliation::default() }, next))
    }

    /// All that is known of an order; `None`: there is no such order.
    async fn stand_of(
        &self,
        (mode, partner_id): (Mode, PartnerId),
        id: OrderId,
    ) -> Result<Option<Stand>> {
        let missing = || Error::Internal(format!("{id} has no partner"));
        let mut tx = self.store.read().await?;
        let Some(order) = tx.order(mode, partner_id, id).await? else { return Ok(None) };
        let partner = tx.partner(mode, partner_id).await?.ok_or_else(missing)?;
        let payment = tx.payment_of_order(mode, partner_id, id).await?;
        let taken = tx.cashier_payment(mode, partner_id, id).await?;
        let agreed = match order.source {
            OrderSource::Mall => payment.map(|payment| payment.amount),
            OrderSource::Reported => {
                order.settlement.and_then(|one| one.checked_mul(order.length.periods).ok())
            }
        };
        Ok(Some(Stand {
            agreed,
            booked: tx.postings_of_order((mode, partner_id), id).await?,
            plan: tx.sim_plan_of_order(&order).await?.map(|plan| plan.queued.state),
            charge: taken.as_ref().map(|taken| taken.charge_id.clone()).unwrap_or_default(),
            refunds: tx.refunds_of_order(mode, partner_id, id).await?,
            intent: taken.map(|taken| taken.intent_id).unwrap_or_default(),
            order,
            partner,
        }))
    }

    /// What is booked of an order as moved at Stripe, and is not known there.
    async fn missing_at_stripe(
        &self,
        stand: &Stand,
        (of_day, known): (&[SweptOrder], &mut Known),
    ) -> Result<Vec<Difference>> {
        let of_stripe = |one: &&PostingRecord| {
            [one.posting.debit, one.posting.credit].contains(&Account::StripeBalance)
        };
        let booked: Vec<&PostingRecord> = stand.booked.iter().filter(of_stripe).collect();
        if booked.is_empty() {
            return Ok(Vec::new());
        }
        let cashier = self.cashiers.of(stand.order.mode, &stand.partner.code);
        let cashier = cashier.ok_or_else(|| {
            let detail =
                format!("{} takes no money here: --cashiers has no account", stand.partner.code);
            Problem::conflict("NO_CASHIER", detail)
        })?;
        known.fill(cashier, of_day).await?;
        let mut missing = Vec::new();
        for one in booked {
            let id = stripe_id(stand, one);
            let is_there = known.ids.contains(&id) || is_there(&cashier.stripe, &id).await?;
            if !is_there {
                let what = format!(
                    "the {} is booked, and Stripe knows nothing of it",
                    one.posting.kind.as_str()
                );
                let sides = (None, Some(one.posting.amount));
                missing.push(difference("not_at_stripe", Some(stand), (&id, sides), what));
            }
        }
        Ok(missing)
    }
}

/// The ids of what moved at the accounts while a part's orders were made and paid.
#[derive(Default)]
struct Known {
    ids: HashSet<String>,
    accounts: Vec<Arc<Cashier>>,
}

impl Known {
    /// Reads an account's list, once.
    async fn fill(&mut self, cashier: &Arc<Cashier>, orders: &[SweptOrder]) -> Result<()> {
        let [first, .., last] = orders else {
            // A single order is looked for piece by piece.
            return Ok(());
        };
        if self.accounts.iter().any(|read| Arc::ptr_eq(read, cashier)) {
            return Ok(());
        }
        self.accounts.push(Arc::clone(cashier));
        let seconds = |time: Timestamp| time.as_micros().div_euclid(1_000_000);
        let within = (seconds(first.created_at), seconds(last.created_at + MONEY_WITHIN));
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = cashier.stripe.balance_transactions(within, after.as_deref()).await;
            let page = page.map_err(|error| not_asked(&error))?;
            for moved in &page.data {
                self.ids.extend(moved.source_id().map(str::to_owned));
                self.ids.insert(moved.id.clone());
            }
            after = page.data.last().map(|last| last.id.clone());
            if !page.has_more {
                break;
            }
        }
        Ok(())
    }
}

/// Stripe's id of what is booked; empty where none is known.
fn stripe_id(stand: &Stand, one: &PostingRecord) -> String {
    match one.posting.kind {
        PostingKind::Sale if one.reference.is_empty() => stand.charge.clone(),
        PostingKind::Refund | PostingKind::RefundFailed => {
            let own = stand.refunds.iter().find(|own| own.id.to_string() == one.reference);
            own.map(|own| own.cashier_id.clone()).unwrap_or_default()
        }
        _ => one.reference.clone(),
    }
}

/// Whether Stripe has it.
async fn is_there(stripe: &Stripe, id: &str) -> Result<bool> {
    let found = match id.split_once('_').map(|(kind, _)| kind) {
        Some("ch" | "py") => stripe.charge(id).await.map(|_| ()),
        Some("pi") => stripe.payment_intent(id).await.map(|_| ()),
        Some("re" | "pyr") => stripe.refund(id).await.map(|_| ()),
        Some("dp" | "du") => stripe.dispute(id).await.map(|_| ()),
        Some("txn") => stripe.balance_transaction(id).await.map(|_| ()),
        _ => return Ok(false),
    };
    match found {
        Ok(()) => Ok(true),
        Err(CallError::NotFound { .. }) => Ok(false),
        Err(error) => Err(not_asked(&error)),
    }
}

/// What does not fit of an order, its postings and its plan.
fn judge(stand: &Stand) -> Vec<Difference> {
    let sale = stand
        .booked
        .iter()
        .find(|one| one.posting.kind == PostingKind::Sale && one.reference.is_empty());
    let sale = sale.map(|one| one.posting.amount);
    let left = sale.map_or(0, |sale| sale.minor - gone(stand));
    let state = stand.order.state.name();
    let mut found = Vec::new();
    let unsettled = matches!(
        stand.order.state,
        OrderState::AwaitingPayment { .. }
            | OrderState::Paid { .. }
            | OrderState::Provisioning { .. }
            | OrderState::Closed
            | OrderState::Failed { .. }
            | OrderState::Review { .. }
    );
    if unsettled && left > 0 {
        let what = format!(
            "it was paid, and is {state}: neither a plan nor the money is where it belongs"
        );
        let sides = (None, sale.map(|sale| Money::new(left, sale.currency)));
        found.push(difference("money_without_plan", Some(stand), (&stand.charge, sides), what));
    }
    let is_free = sale.is_some_and(|sale| sale.minor == 0);
    let provisioned = matches!(stand.order.state, OrderState::Provisioned { .. });
    let runs = matches!(stand.plan, Some(SimPlanState::Waiting | SimPlanState::InUse { .. }));
    let in_review = matches!(stand.order.state, OrderState::Review { .. });
    if !is_free && left <= 0 && (provisioned || (runs && !in_review)) {
        let what = format!("the order is {state}, and nothing of what it costs is there");
        found.push(difference("plan_without_money", Some(stand), ("", (None, sale)), what));
    }
    if let (Some(sale), Some(agreed)) = (sale, stand.agreed)
        && sale != agreed
        && left > 0
    {
        let what = format!("{} {} was agreed", agreed.currency.code(), agreed.decimal());
        let sides = (None, Some(sale));
        found.push(difference("amount_differs", Some(stand), (&stand.charge, sides), what));
    }
    found
}

/// How much of an order's sale is gone again, in minor units. What was paid twice and given back is not of it.
fn gone(stand: &Stand) -> i64 {
    let is_own = |reference: &str| {
        let own = |refund: &&Refund| refund.intent_id == stand.intent;
        stand.refunds.iter().filter(own).any(|refund| refund.id.to_string() == reference)
    };
    let back = stand.booked.iter().map(|one| match one.posting.kind {
        PostingKind::Reversal => one.posting.amount.minor,
        PostingKind::Refund if is_own(&one.reference) => one.posting.amount.minor,
        PostingKind::RefundFailed if is_own(&one.reference) => -one.posting.amount.minor,
        _ => 0,
    });
    back.sum()
}

/// A difference of an order, or of none.
fn difference(
    kind: &str,
    stand: Option<&Stand>,
    (stripe_id, (at_stripe, in_books)): (&str, (Option<Money>, Option<Money>)),
    what: String,
) -> Difference {
    Difference {
        kind: kind.to_owned(),
        partner: stand.map(|stand| stand.partner.code.clone()),
        order_id: stand.map(|stand| stand.order.id.to_string()),
        state: stand.map(|stand| stand.order.state.name().to_owned()),
        stripe_id: stripe_id.to_owned(),
        at_stripe: at_stripe.map(Money::decimal),
        in_books: in_books.map(Money::decimal),
        currency: at_stripe.or(in_books).map(|money| money.currency.code().to_owned()),
        what,
    }
}

fn not_asked(error: &CallError) -> Error {
    Problem::new(503, "PAYMENT_PROVIDER_UNAVAILABLE", format!("Stripe cannot be asked: {error}"))
        .into()
}

fn read_day(day: &str) -> Result<Day> {
    let wrong = || Problem::field("day", "not a day such as 2027-01-31");
    let plain = day.len() == 10 && day.is_ascii();
    let from = Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z"));
    let from = from.ok().filter(|_| plain).ok_or_else(wrong)?;
    Ok(Day { from, before: from + Span::days(1) })
}

fn read_place(text: &str, accounts: usize) -> Result<Place> {
    let wrong = || Problem::field("cursor", "not one that this list gave");
    if text.is_empty() {
        return Ok(if accounts == 0 {
            Place::Orders { after: String::new() }
        } else {
            Place::Stripe { account: 0, after: None }
        });
    }
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["stripe", account, after] => {
            let account = account.parse().ok().filter(|one: &usize| *one < accounts);
            let after = Some((*after).to_owned()).filter(|after| !after.is_empty());
            Ok(Place::Stripe { account: account.ok_or_else(wrong)?, after })
        }
        ["orders", ""] => Ok(Place::Orders { after: String::new() }),
        ["orders", after] => {
            let after: OrderId = after.parse().map_err(|_| wrong())?;
            Ok(Place::Orders { after: after.to_string() })
        }
        _ => Err(wrong().into()),
    }
}

/// The id that sorts before every order of a time.
fn first_id(from: Timestamp) -> Result<String> {
    let millis = u64::try_from(from.as_micros().div_euclid(1_000));
    let millis = millis.map_err(|_| Problem::field("day", "before there were orders"))?;
    Ok(OrderId::from_parts(millis, [0; 10]).to_string())
}
