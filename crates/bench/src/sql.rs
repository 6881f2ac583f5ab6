//! The floor's statements: the mall's rows, written as plainly as the engine allows. SQLite takes several
//! statements in one text, PostgreSQL several changes in one statement: each is one round trip.

macro_rules! order {
    () => {
        "INSERT INTO orders (mode, partner_id, order_id, order_no, pay_id, request_order_id,
        org_order_id, source, iccid, plan_code, show_name, package_code, carrier, carrier_product,
        unit, periods, calendar, settle_minor, settle_currency, auto_renewal, content_hash, state,
        version, closes_at, paid_at, provisioned_at, queue_no, failure_code, failure_message,
        upstream_id, trade_type, mark, terminal, payment_id, channel, pay_minor, pay_currency,
        pay_state, pay_version, pay_result_at, transaction_id, pay_result, pay_status, pay_type,
        pay_account, pay_unit, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
        $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29,
        $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47)
        ON CONFLICT DO NOTHING"
    };
}

macro_rules! posting {
    () => {
        "INSERT INTO postings (mode, partner_id, order_id, kind, debit, credit, minor, currency,
        created_at) VALUES ($1, $2, $3, 'sale', 'partner_receivable', 'sales', $18, $19, $47)"
    };
}

/// Claimed as it is written, as the mall does it.
macro_rules! job {
    () => {
        "INSERT INTO jobs (mode, partner_id, job_id, kind, subject, trace, state, run_at, fence,
        failures, last_error, first_run_at, created_at) VALUES ($1, $2, $48, 'provision', $3, '',
        'ready', $47, 1, 0, '', $47, $47)"
    };
}

pub(crate) const ACCEPT_SQLITE: &str = concat!(order!(), ";", posting!(), ";", job!());
pub(crate) const ACCEPT_POSTGRES: &str =
    concat!("WITH o AS (", order!(), "), p AS (", posting!(), ") ", job!());
pub(crate) const TWO_ROWS_SQLITE: &str = concat!(order!(), ";", job!());
pub(crate) const TWO_ROWS_POSTGRES: &str = concat!("WITH o AS (", order!(), ") ", job!());

macro_rules! provisioned {
    () => {
        "UPDATE orders SET state = 'PROVISIONED', version = version + 1, provisioned_at = $5,
        queue_no = $5, upstream_id = 'SIM-1' WHERE mode = $1 AND partner_id = $2 AND order_id = $3"
    };
}

/// The place in the queue is the time: no two are the same, and the floor need not look.
macro_rules! plan {
    () => {
        "INSERT INTO sim_plans (mode, partner_id, iccid, queue_no, order_id, unit, periods,
        calendar, state, added_at, effective_at, expires_at) SELECT mode, partner_id, iccid,
        created_at, order_id, unit, periods, calendar, 'waiting', $5, NULL, NULL FROM orders
        WHERE mode = $1 AND partner_id = $2 AND order_id = $3 AND $6 > 0
        ON CONFLICT DO NOTHING"
    };
}

macro_rules! finish {
    () => {
        "DELETE FROM jobs WHERE mode = $1 AND partner_id = $2 AND job_id = $4"
    };
}

pub(crate) const OUTCOME_SQLITE: &str = concat!(provisioned!(), ";", plan!(), ";", finish!());
pub(crate) const OUTCOME_POSTGRES: &str =
    concat!("WITH o AS (", provisioned!(), "), p AS (", plan!(), ") ", finish!());

/// What a plan list is made of: the partner, its keys, the SIM, the plans, the prices.
pub(crate) const PLAN_ROWS: [&str; 5] = [
    PARTNER,
    KEYS,
    SIM,
    "SELECT p.code, p.plan_id, p.name, p.description, p.periods, k.code, k.unit, k.area,
        k.countries, k.carrier FROM plans p JOIN packages k ON k.mode = p.mode
        AND k.code = p.package_code WHERE p.mode = $1 AND p.on_sale ORDER BY p.code",
    "SELECT plan_code, kind, currency, CAST(minor AS TEXT) FROM prices
        WHERE mode = $1 AND partner_id = $2 ORDER BY plan_code, valid_from DESC",
];

/// What a card check is made of: the partner, its keys, the SIM, its plans, its auto-renewal.
pub(crate) const CARD_ROWS: [&str; 6] = [
    PARTNER,
    KEYS,
    SIM,
    "SELECT order_id, state FROM sim_plans WHERE mode = $1 AND partner_id = $2 AND iccid = $3
        AND state IN ('in_use', 'waiting') ORDER BY queue_no",
    "SELECT CAST(MAX(expires_at) AS TEXT) FROM sim_plans WHERE mode = $1 AND partner_id = $2
        AND iccid = $3 AND state = 'finished' HAVING COUNT(*) > 0",
    "SELECT renewal_id, order_id FROM renewals WHERE mode = $1 AND partner_id = $2 AND iccid = $3
        AND state = 'active'",
];

const PARTNER: &str =
    "SELECT code, name, schemes, ip_allowlist, currency, settlement_currency, zone,
    locale, response_style FROM partners WHERE mode = $1 AND partner_id = $2";
const KEYS: &str =
    "SELECT key_id FROM partner_keys WHERE mode = $1 AND partner_id = $2 ORDER BY created_at";
const SIM: &str =
    "SELECT sim_id, carrier, state FROM sims WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
