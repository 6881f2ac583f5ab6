//! Orders as operators look for them: the newest first, by number, SIM, partner or state; and those that
//! wait for a person, the eldest first.
//!
//! Every statement walks one index from the cursor on and looks at [`SCAN_MAX`] orders at most (or
//! one page), so that none takes long however many orders there are and however few of them are
//! wanted. A page may therefore have few items and yet a next one.

use std::collections::BTreeMap;

use domain::id::{OrderId, PartnerId};
use domain::order::Order;
use domain::{Mode, Timestamp};

use crate::engine::{Tx, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::orders::{OrderRow, order_columns};

/// How many orders a statement looks at, where not all of them are wanted.
const SCAN_MAX: i64 = 1_000;
/// Sorts after every order's id.
const AFTER_ALL_IDS: &str = "p";
/// The states in which few orders are for long, and for which there is an index.
pub(crate) const UNSETTLED: [&str; 6] =
    ["AWAITING_PAYMENT", "CLOSED", "FAILED", "REVIEW", "REFUNDING", "REFUNDED"];

/// The orders to look at: all.
macro_rules! all {
    () => {
        "SELECT * FROM orders WHERE mode = $1 AND order_id < $2 AND order_id >= $3
        AND $4 = '' AND $5 = '' ORDER BY order_id DESC LIMIT $6"
    };
}

/// Those of a partner.
macro_rules! of_partner {
    () => {
        "SELECT * FROM orders WHERE mode = $1 AND partner_id = $4 AND order_id < $2
        AND order_id >= $3 AND $5 = '' ORDER BY order_id DESC LIMIT $6"
    };
}

/// Those in an unsettled state. The list is the index's condition, to the letter.
macro_rules! of_state {
    () => {
        "SELECT * FROM orders WHERE mode = $1 AND state = $5 AND order_id < $2 AND order_id >= $3
        AND state IN ('AWAITING_PAYMENT', 'CLOSED', 'FAILED', 'REVIEW', 'REFUNDING', 'REFUNDED')
        AND CAST($4 AS TEXT) IS NOT NULL ORDER BY order_id DESC LIMIT $6"
    };
}

/// Those with a value in a column that is indexed for each partner.
macro_rules! of_key {
    ($condition:literal) => {
        concat!(
            "SELECT o.* FROM partners q CROSS JOIN orders o WHERE q.mode = $1
            AND (q.partner_id = $4 OR $4 = '') AND o.mode = q.mode AND o.partner_id = q.partner_id
            AND o.order_id < $2 AND o.order_id >= $3 AND ",
            $condition,
            " ORDER BY o.order_id DESC LIMIT $6"
        )
    };
}

/// Of the orders looked at those that are wanted.
macro_rules! page {
    ($source:expr) => {
        concat!(
            "SELECT (SELECT code FROM partners p WHERE p.mode = $1 AND p.partner_id = o.partner_id)
            AS partner_code, partner_id AS owner, ",
            order_columns!(),
            " FROM (",
            $source,
            ") o WHERE (state = $7 OR $7 = '') AND (iccid = $8 OR $8 = '')
            AND (plan_code = $9 OR $9 = '') AND created_at >= $10 AND created_at < $11
            AND (partner_id = $4 OR $4 = '') ORDER BY order_id DESC LIMIT $12"
        )
    };
}

/// How far they were looked at.
macro_rules! reach {
    ($source:expr) => {
        concat!("SELECT MIN(order_id) AS last, COUNT(*) AS scanned FROM (", $source, ") o")
    };
}

statements! {
    ALL_PAGE = page!(all!());
    ALL_REACH = reach!(all!());
    PARTNER_PAGE = page!(of_partner!());
    PARTNER_REACH = reach!(of_partner!());
    STATE_PAGE = page!(of_state!());
    STATE_REACH = reach!(of_state!());
    SIM_PAGE = page!(of_key!("o.iccid = $5"));
    SIM_REACH = reach!(of_key!("o.iccid = $5"));
    ORDER_NO_PAGE = page!(of_key!("o.order_no = $5"));
    PAY_ID_PAGE = page!(of_key!("o.pay_id = $5"));
    REQUEST_NO_PAGE = page!(of_key!("o.request_order_id = $5 AND o.request_order_id <> ''"));
    REQUEST_NO_REACH = reach!(of_key!("o.request_order_id = $5 AND o.request_order_id <> ''"));
    ID_PAGE = page!(of_key!("o.order_id = $5"));
    /// By the index of unsettled orders, whose condition stands here to the letter.
    REVIEWS = concat!(
        "SELECT (SELECT code FROM partners p WHERE p.mode = $1 AND p.partner_id = o.partner_id)
            AS partner_code, partner_id AS owner, ",
        order_columns!(),
        " FROM orders o WHERE mode = $1 AND state = 'REVIEW' AND order_id > $2
        AND state IN ('AWAITING_PAYMENT', 'CLOSED', 'FAILED', 'REVIEW', 'REFUNDING', 'REFUNDED')
        AND (partner_id = $3 OR $3 = '') ORDER BY order_id LIMIT $4"
    );
}

/// Which orders are wanted. Empty texts want all.
#[derive(Debug, Clone)]
pub struct OrderFilter {
    /// Of this mode.
    pub mode: Mode,
    /// Of this partner.
    pub partner: Option<PartnerId>,
    /// In this state.
    pub state: String,
    /// For this SIM.
    pub iccid: String,
    /// With this number, whichever it is.
    pub number: String,
    /// Of this plan.
    pub plan_code: String,
    /// From this time on.
    pub from: Timestamp,
    /// Before this time.
    pub to: Timestamp,
    /// Older than this order; empty for the newest.
    pub before_id: String,
}

/// An order and the code of its partner.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundOrder {
    /// The order.
    pub order: Order,
    /// The partner's code.
    pub partner: String,
}

/// A page of orders, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct OrdersPage {
    /// The orders.
    pub orders: Vec<FoundOrder>,
    /// Where the next page begins, if there may be more.
    pub next: Option<String>,
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    partner_code: Option<String>,
    owner: String,
    #[sqlx(flatten)]
    order: OrderRow,
}

#[derive(sqlx::FromRow)]
struct ReachRow {
    last: Option<String>,
    scanned: i64,
}

impl FoundRow {
    fn into_found(self, mode: Mode) -> Result<FoundOrder> {
        let row = Row { table: "orders", key: &self.owner };
        let partner = row.needed("partner_id", self.partner_code)?;
        let owner = row.parse("partner_id", &self.owner)?;
        Ok(FoundOrder { order: self.order.into_order(mode, owner)?, partner })
    }
}

/// How a search goes about it: the statements that find orders, the one that says how far they were
/// looked at, and the value that they look for.
struct Way<'a> {
    pages: &'static [&'static str],
    reach: &'static str,
    key: &'a str,
    /// Whether all orders that it looks at are wanted.
    exact: bool,
}

impl OrderFilter {
    fn way(&self) -> Way<'_> {
        const NUMBERS: &[&str] = &[ORDER_NO_PAGE, PAY_ID_PAGE, REQUEST_NO_PAGE, ID_PAGE];
        let (state, iccid) = (self.state.is_empty(), self.iccid.is_empty());
        let any_time = self.from.as_micros() == i64::MIN && self.to.as_micros() == i64::MAX;
        let any = any_time && self.plan_code.is_empty();
        let (any_partner, number) = (self.partner.is_none(), self.number.as_str());
        if !number.is_empty() {
            // Of the four only a reference of the partner's own may have many orders.
            let exact = any && state && iccid;
            Way { pages: NUMBERS, reach: REQUEST_NO_REACH, key: number, exact }
        } else if !iccid {
            Way { pages: &[SIM_PAGE], reach: SIM_REACH, key: &self.iccid, exact: any && state }
        } else if UNSETTLED.contains(&self.state.as_str()) {
            let exact = any && any_partner;
            Way { pages: &[STATE_PAGE], reach: STATE_REACH, key: &self.state, exact }
        } else if any_partner {
            Way { pages: &[ALL_PAGE], reach: ALL_REACH, key: "", exact: any && state }
        } else {
            Way { pages: &[PARTNER_PAGE], reach: PARTNER_REACH, key: "", exact: any && state }
        }
    }

    /// The ids between which the wanted orders lie: an id begins with the time it was made, which
    /// is that of the order but for what a request takes.
    fn ids(&self) -> (String, String) {
        const REQUEST_MICROS_MAX: i64 = 1_000_000;
        let id = |micros: i64| {
            let millis = u64::try_from(micros / 1_000).unwrap_or(0).min((1 << 48) - 1);
            OrderId::from_parts(millis, [0; 10]).to_string()
        };
        let least = id(self.from.as_micros().saturating_sub(REQUEST_MICROS_MAX));
        let before = match self.before_id.as_str() {
            "" => AFTER_ALL_IDS,
            before => before,
        };
        let after_to = self.to.as_micros().saturating_add(REQUEST_MICROS_MAX);
        let before = match id(after_to) {
            end if end.as_str() < before => end,
            _ => before.to_owned(),
        };
        (before, least)
    }
}

impl Tx {
    /// A page of orders, the newest first.
    pub async fn search_orders(&mut self, filter: &OrderFilter, limit: i64) -> Result<OrdersPage> {
        let (word, way, (before, least)) = (filter.mode.as_str(), filter.way(), filter.ids());
        let partner = filter.partner.map(|id| id.to_string()).unwrap_or_default();
        let (from, to) = (filter.from.as_micros(), filter.to.as_micros());
        let and_one = limit.saturating_add(1);
        let look = if way.exact { and_one } else { SCAN_MAX.max(and_one) };
        // An order may be found by two of its numbers.
        let mut found = BTreeMap::new();
        for page in way.pages {
            let rows = fetch_all!(
                self,
                FoundRow,
                *page,
                word,
                &before,
                &least,
                &partner,
                way.key,
                look,
                &filter.state,
                &filter.iccid,
                &filter.plan_code,
                from,
                to,
                and_one,
            )?;
            for row in rows {
                let order = row.into_found(filter.mode)?;
                found.insert(order.order.id.to_string(), order);
            }
        }
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len() > wanted;
        let orders: Vec<FoundOrder> = found.into_values().rev().take(wanted).collect();
        if more {
            let next = orders.last().map(|found| found.order.id.to_string());
            return Ok(OrdersPage { orders, next });
        }
        // The page is not full: are there orders that were not looked at?
        let (reach, key) = (way.reach, way.key);
        let reach =
            fetch_optional!(self, ReachRow, reach, word, &before, &least, &partner, key, look)?;
        let next = reach.filter(|reach| reach.scanned >= look).and_then(|reach| reach.last);
        Ok(OrdersPage { orders, next })
    }

    /// Orders that wait for a person, made after the one with this id: the eldest first.
    pub async fn orders_waiting(
        &mut self,
        mode: Mode,
        partner: Option<PartnerId>,
        after_id: &str,
        limit: i64,
    ) -> Result<Vec<FoundOrder>> {
        let partner = partner.map(|id| id.to_string()).unwrap_or_default();
        let rows = fetch_all!(self, FoundRow, REVIEWS, mode.as_str(), after_id, partner, limit)?;
        rows.into_iter().map(|row| row.into_found(mode)).collect()
    }

    /// An order of whichever partner, by our id.
    pub async fn find_order(&mut self, mode: Mode, id: OrderId) -> Result<Option<FoundOrder>> {
        let filter = OrderFilter {
            mode,
            partner: None,
            state: String::new(),
            iccid: String::new(),
            number: id.to_string(),
            plan_code: String::new(),
            from: Timestamp::from_micros(i64::MIN),
            to: Timestamp::from_micros(i64::MAX),
            before_id: String::new(),
        };
        let found = self.search_orders(&filter, 10).await?;
        // Somebody's number may look like an id of ours.
        Ok(found.orders.into_iter().find(|found| found.order.id == id))
    }
}
