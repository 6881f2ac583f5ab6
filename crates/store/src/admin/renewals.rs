//! What operators see of auto-renewals.

use domain::id::{PartnerId, RenewalId};
use domain::renewal::Renewal;
use domain::{Iccid, Mode};

use crate::engine::{Tx, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row};
use crate::renewals::RenewalRow;

/// All columns of [`FoundRow`], from renewals `r`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT (SELECT code FROM partners p WHERE p.mode = r.mode
            AND p.partner_id = r.partner_id) AS partner_code, r.partner_id AS owner, o.order_no, o.plan_code,
            o.unit, o.periods, (SELECT c.ends FROM cashier_subscriptions c WHERE c.mode = r.mode
            AND c.partner_id = r.partner_id AND c.order_id = r.order_id) IS NOT NULL AS subscribed,
            r.renewal_id, r.iccid, r.order_id, r.state, r.agreed_at, r.ended_at, r.next_at, r.renewed,
            r.misses FROM renewals r JOIN orders o ON o.mode = r.mode AND o.partner_id = r.partner_id
            AND o.order_id = r.order_id WHERE r.mode = $1 ",
            $rest
        )
    };
}

statements! {
    PAGE = select!(
        "AND r.renewal_id < $2 AND (r.state = $3 OR $3 = '') AND r.misses >= $4
        ORDER BY r.renewal_id DESC LIMIT $5"
    );
    PAGE_OF_PARTNER = select!(
        "AND r.renewal_id < $2 AND (r.state = $3 OR $3 = '') AND r.misses >= $4 AND r.partner_id = $6
        ORDER BY r.renewal_id DESC LIMIT $5"
    );
    PAGE_OF_SIM = select!(
        "AND r.renewal_id < $2 AND (r.state = $3 OR $3 = '') AND r.misses >= $4
        AND (r.partner_id = $6 OR $6 = '') AND r.iccid = $7
        ORDER BY r.renewal_id DESC LIMIT $5"
    );
    FIND = select!("AND r.renewal_id = $2");
}

/// Which agreements are wanted. Empty texts want all.
#[derive(Debug, Clone)]
pub struct RenewalFilter {
    /// Of this mode.
    pub mode: Mode,
    /// Of this partner.
    pub partner: Option<PartnerId>,
    /// For this SIM.
    pub iccid: Option<Iccid>,
    /// In this state.
    pub state: String,
    /// With at least so many periods in a row that did not come.
    pub misses_min: i64,
    /// Older than this one; empty for the newest.
    pub before_id: String,
}

/// An agreement as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalRecord {
    /// Whose it is.
    pub partner_id: PartnerId,
    /// That partner's code.
    pub partner: String,
    /// The agreement.
    pub renewal: Renewal,
    /// The number of the order with which it began.
    pub order_no: String,
    /// The plan that it buys.
    pub plan_code: String,
    /// The unit of that plan, as on the wire.
    pub unit: String,
    /// How many units at a time.
    pub periods: i64,
    /// Whether a subscription at the cashier pays it, and not the partner.
    pub subscribed: bool,
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    partner_code: Option<String>,
    owner: String,
    order_no: String,
    plan_code: String,
    unit: String,
    periods: i64,
    subscribed: bool,
    #[sqlx(flatten)]
    renewal: RenewalRow,
}

impl FoundRow {
    fn into_record(self) -> Result<RenewalRecord> {
        let row = Row { table: "renewals", key: &self.owner };
        Ok(RenewalRecord {
            partner_id: row.parse("partner_id", &self.owner)?,
            partner: row.needed("partner_id", self.partner_code)?,
            renewal: self.renewal.into_renewal()?,
            order_no: self.order_no,
            plan_code: self.plan_code,
            unit: self.unit,
            periods: self.periods,
            subscribed: self.subscribed,
        })
    }
}

/// Sorts after every agreement's id.
const AFTER_ALL_IDS: &str = "s";

impl Tx {
    /// A page of agreements, the newest first.
    pub async fn renewals_page(
        &mut self,
        filter: &RenewalFilter,
        limit: i64,
    ) -> Result<Vec<RenewalRecord>> {
        let (mode, state, misses) = (filter.mode.as_str(), &filter.state, filter.misses_min);
        let before = match filter.before_id.as_str() {
            "" => AFTER_ALL_IDS,
            before => before,
        };
        let partner = filter.partner.map(|id| id.to_string()).unwrap_or_default();
        let rows = match &filter.iccid {
            Some(iccid) => {
                let (page, iccid) = (PAGE_OF_SIM, iccid.as_str());
                fetch_all!(
                    self, FoundRow, page, mode, before, state, misses, limit, partner, iccid
                )?
            }
            None if partner.is_empty() => {
                fetch_all!(self, FoundRow, PAGE, mode, before, state, misses, limit)?
            }
            None => {
                let page = PAGE_OF_PARTNER;
                fetch_all!(self, FoundRow, page, mode, before, state, misses, limit, partner)?
            }
        };
        rows.into_iter().map(FoundRow::into_record).collect()
    }

    /// An agreement of whichever partner, by our id.
    pub async fn find_renewal(
        &mut self,
        mode: Mode,
        id: RenewalId,
    ) -> Result<Option<RenewalRecord>> {
        let row = fetch_optional!(self, FoundRow, FIND, mode.as_str(), id.to_string())?;
        row.map(FoundRow::into_record).transpose()
    }
}
