//! Groups of SIMs: the group with its bundle and its counts, and what became true of it. Its SIMs are in `members.rs`, what
//! is done to them in `operations.rs`.
//!
//! Counts are changed by what they grow, under the row's own lock, and raise no version; everything else by
//! compare-and-set on the version.

mod members;
mod operations;

use domain::group::{Bundle, CarrierPolicy, Group, Period};
use domain::id::PartnerId;
use domain::package::{PlanLength, Volume};
use domain::{Mode, Timestamp};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, one_row, statements};
use crate::error::{Result, Row};

#[cfg(test)]
pub(crate) use members::ALL as MEMBER_STATEMENTS;
pub use members::{BLOCK_PLACES, BusySim, PlacedMember, ReviewedMember};
#[cfg(test)]
pub(crate) use operations::ALL as OPERATION_STATEMENTS;
pub use operations::{Chunk, ChunkSize};

/// Whose group: mode, partner, and its code.
pub type GroupKey<'a> = (Mode, PartnerId, &'a str);

/// All columns of [`GroupRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT mode, partner_id, group_id, name, state, sim_limit, sim_count, held_count,
            operation_no, plan_code, package_code, unit, periods, calendar, volume_bytes, carrier,
            carrier_group, period_no, counted_from, effective_at, expire_at, metered_from, at_limit,
            at_end, used_bytes, used_at, told, carrier_policy, version, created_at FROM sim_groups
            WHERE mode = $1 ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO sim_groups (mode, partner_id, group_id, name, state, sim_limit, sim_count,
        held_count, next_place, operation_no, plan_code, package_code, unit, periods, calendar,
        volume_bytes, carrier, carrier_group, period_no, counted_from, effective_at, expire_at,
        metered_from, at_limit, at_end, used_bytes, used_at, told, carrier_policy, version, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 1, 0, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
        $18, $19, $20, $21, $22, $23, $24, $25, 0, $26) ON CONFLICT DO NOTHING";
    UPDATE = "UPDATE sim_groups SET name = $5, state = $6, sim_limit = $7, plan_code = $8,
        package_code = $9, unit = $10, periods = $11, calendar = $12, volume_bytes = $13, carrier = $14,
        carrier_group = $15, period_no = $16, counted_from = $17, effective_at = $18, expire_at = $19,
        metered_from = $20, at_limit = $21, at_end = $22, used_bytes = $23, used_at = $24, told = $25,
        carrier_policy = $26, version = version + 1
        WHERE mode = $1 AND partner_id = $2 AND group_id = $3 AND version = $4
        AND (carrier = $14 OR held_count = 0)";
    FIND = select!("AND partner_id = $2 AND group_id = $3");
    OF_PARTNER = select!("AND partner_id = $2 AND group_id > $3 ORDER BY group_id LIMIT $4");
    OF_MODE = select!("AND (partner_id, group_id) > ($2, $3) ORDER BY partner_id, group_id LIMIT $4");
    AT_CARRIER = "SELECT group_id FROM sim_groups WHERE carrier = $1 AND carrier_group = $2
        AND NOT (mode = $3 AND partner_id = $4 AND group_id = $5)";
    COUNT_OF_PARTNER = "SELECT COUNT(*) AS count FROM sim_groups WHERE mode = $1 AND partner_id = $2";
    /// Whoever changes the group waits from here on.
    HOLD = "UPDATE sim_groups SET state = state WHERE mode = $1 AND partner_id = $2 AND group_id = $3";
    ANY = "SELECT group_id FROM sim_groups WHERE mode = $1 AND partner_id = $2 LIMIT 1";
    /// The row is locked by it: whoever takes places at the same time waits, and sees what is left.
    TAKE_PLACES = "UPDATE sim_groups SET held_count = held_count + $4, next_place = next_place + $4
        WHERE mode = $1 AND partner_id = $2 AND group_id = $3 AND held_count + $4 <= sim_limit
        AND state <> 'ended' AND carrier = $5 RETURNING next_place";
    COUNT = "UPDATE sim_groups SET sim_count = sim_count + $4, held_count = held_count + $5
        WHERE mode = $1 AND partner_id = $2 AND group_id = $3";
    NEXT_OPERATION = "UPDATE sim_groups SET operation_no = operation_no + 1
        WHERE mode = $1 AND partner_id = $2 AND group_id = $3 AND operation_no = $4";
    ADD_EVENT = "INSERT INTO group_events (mode, partner_id, group_id, kind, subject, detail, happened_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    EVENTS = "SELECT kind, subject, detail, happened_at FROM group_events
        WHERE mode = $1 AND partner_id = $2 AND group_id = $3 ORDER BY happened_at, kind, subject LIMIT $4";
}

/// Something that became true of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEvent {
    /// What.
    pub kind: String,
    /// Which one: an operation, or a period and a part of its volume.
    pub subject: String,
    /// What there is to say of it: words of NAME=VALUE.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct GroupRow {
    mode: String,
    partner_id: String,
    group_id: String,
    name: String,
    state: String,
    sim_limit: i64,
    sim_count: i64,
    held_count: i64,
    operation_no: i64,
    plan_code: String,
    package_code: String,
    unit: String,
    periods: i64,
    calendar: bool,
    volume_bytes: Option<i64>,
    carrier: String,
    carrier_group: String,
    period_no: i64,
    counted_from: i64,
    effective_at: i64,
    expire_at: i64,
    metered_from: i64,
    at_limit: String,
    at_end: String,
    used_bytes: i64,
    used_at: Option<i64>,
    told: i64,
    carrier_policy: Option<String>,
    version: i64,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    kind: String,
    subject: String,
    detail: String,
    happened_at: i64,
}

impl GroupRow {
    fn into_group(self) -> Result<Group> {
        let row = Row { table: "sim_groups", key: &self.group_id };
        let bytes = |bytes: i64| u64::try_from(bytes);
        let volume = match self.volume_bytes {
            None => Volume::Unlimited,
            Some(all) => Volume::Bytes(bytes(all).map_err(|why| row.corrupt("volume_bytes", why))?),
        };
        let length = PlanLength {
            unit: row.parse("unit", &self.unit)?,
            periods: u32::try_from(self.periods).map_err(|why| row.corrupt("periods", why))?,
            calendar: self.calendar,
        };
        Ok(Group {
            mode: row.parse("mode", &self.mode)?,
            partner_id: row.parse("partner_id", &self.partner_id)?,
            state: row.parse("state", &self.state)?,
            bundle: Bundle {
                at_limit: row.parse("at_limit", &self.at_limit)?,
                at_end: row.parse("at_end", &self.at_end)?,
                plan_code: self.plan_code,
                package_code: self.package_code,
                length,
                volume,
                carrier: self.carrier,
                carrier_group: self.carrier_group,
            },
            period: Period {
                no: self.period_no,
                counted_from: Timestamp::from_micros(self.counted_from),
                effective_at: Timestamp::from_micros(self.effective_at),
                expire_at: Timestamp::from_micros(self.expire_at),
            },
            metered_from: Timestamp::from_micros(self.metered_from),
            used_bytes: bytes(self.used_bytes).map_err(|why| row.corrupt("used_bytes", why))?,
            used_at: self.used_at.map(Timestamp::from_micros),
            told: u32::try_from(self.told).map_err(|why| row.corrupt("told", why))?,
            carrier_policy: match &self.carrier_policy {
                None => None,
                Some(policy) => Some(row.parse("carrier_policy", policy)?),
            },
            id: self.group_id,
            name: self.name,
            sim_limit: self.sim_limit,
            sim_count: self.sim_count,
            held_count: self.held_count,
            operation_no: self.operation_no,
            version: self.version,
            created_at: Timestamp::from_micros(self.created_at),
        })
    }
}

fn volume_bytes(volume: Volume) -> Option<i64> {
    match volume {
        Volume::Unlimited => None,
        Volume::Bytes(bytes) => Some(signed(bytes)),
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Tx {
    /// Adds a group; `false` where the partner has one of that code, or the carrier one of that name.
    pub async fn insert_group(&mut self, group: &Group) -> Result<bool> {
        let (bundle, period) = (&group.bundle, group.period);
        let added = execute!(
            self,
            INSERT,
            group.mode.as_str(),
            group.partner_id.to_string(),
            &group.id,
            &group.name,
            group.state.as_str(),
            group.sim_limit,
            &bundle.plan_code,
            &bundle.package_code,
            bundle.length.unit.code(),
            i64::from(bundle.length.periods),
            bundle.length.calendar,
            volume_bytes(bundle.volume),
            &bundle.carrier,
            &bundle.carrier_group,
            period.no,
            period.counted_from.as_micros(),
            period.effective_at.as_micros(),
            period.expire_at.as_micros(),
            group.metered_from.as_micros(),
            bundle.at_limit.as_str(),
            bundle.at_end.as_str(),
            signed(group.used_bytes),
            group.used_at.map(Timestamp::as_micros),
            i64::from(group.told),
            group.carrier_policy.map(CarrierPolicy::as_str),
            group.created_at.as_micros(),
        )?;
        Ok(added == 1)
    }

    /// Writes a group but for its counts, provided that nobody changed it since it was read, and that no place is taken
    /// where its carrier is to be another.
    pub async fn update_group(&mut self, group: &mut Group) -> Result<()> {
        let (bundle, period) = (&group.bundle, group.period);
        let changed = execute!(
            self,
            UPDATE,
            group.mode.as_str(),
            group.partner_id.to_string(),
            &group.id,
            group.version,
            &group.name,
            group.state.as_str(),
            group.sim_limit,
            &bundle.plan_code,
            &bundle.package_code,
            bundle.length.unit.code(),
            i64::from(bundle.length.periods),
            bundle.length.calendar,
            volume_bytes(bundle.volume),
            &bundle.carrier,
            &bundle.carrier_group,
            period.no,
            period.counted_from.as_micros(),
            period.effective_at.as_micros(),
            period.expire_at.as_micros(),
            group.metered_from.as_micros(),
            bundle.at_limit.as_str(),
            bundle.at_end.as_str(),
            signed(group.used_bytes),
            group.used_at.map(Timestamp::as_micros),
            i64::from(group.told),
            group.carrier_policy.map(CarrierPolicy::as_str),
        )?;
        one_row(changed, "the group")?;
        group.version += 1;
        Ok(())
    }

    /// A group of a partner.
    pub async fn group(&mut self, (mode, partner, id): GroupKey<'_>) -> Result<Option<Group>> {
        let row = fetch_optional!(self, GroupRow, FIND, mode.as_str(), partner.to_string(), id)?;
        row.map(GroupRow::into_group).transpose()
    }

    /// A partner's groups after a code, in its order.
    pub async fn groups(
        &mut self,
        (mode, partner, after): GroupKey<'_>,
        limit: i64,
    ) -> Result<Vec<Group>> {
        let partner = partner.to_string();
        let rows = fetch_all!(self, GroupRow, OF_PARTNER, mode.as_str(), partner, after, limit)?;
        rows.into_iter().map(GroupRow::into_group).collect()
    }

    /// The groups of a mode after one of a partner's id and a code, in their order.
    pub async fn groups_of_all(
        &mut self,
        mode: Mode,
        (partner, id): (&str, &str),
        limit: i64,
    ) -> Result<Vec<Group>> {
        let rows = fetch_all!(self, GroupRow, OF_MODE, mode.as_str(), partner, id, limit)?;
        rows.into_iter().map(GroupRow::into_group).collect()
    }

    /// Whether a carrier has another group of a name, whosever it is.
    pub async fn is_carrier_group_taken(
        &mut self,
        (mode, partner, id): GroupKey<'_>,
        (carrier, name): (&str, &str),
    ) -> Result<bool> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let other = fetch_optional!(self, (String,), AT_CARRIER, carrier, name, mode, partner, id)?;
        Ok(other.is_some())
    }

    /// How many groups a partner has.
    pub async fn group_count(&mut self, mode: Mode, partner: PartnerId) -> Result<i64> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let count = fetch_optional!(self, (i64,), COUNT_OF_PARTNER, mode, partner)?;
        Ok(count.map_or(0, |(count,)| count))
    }

    /// Takes a group's row before anything else is written: whoever else changes it waits for this transaction.
    pub async fn hold_group(&mut self, (mode, partner, id): GroupKey<'_>) -> Result<()> {
        execute!(self, HOLD, mode.as_str(), partner.to_string(), id)?;
        Ok(())
    }

    /// Whether a partner has groups.
    pub async fn has_groups(&mut self, mode: Mode, partner: PartnerId) -> Result<bool> {
        let any = fetch_optional!(self, (String,), ANY, mode.as_str(), partner.to_string())?;
        Ok(any.is_some())
    }

    /// Takes so many of a group's places; gives the first of them. `None`, and nothing taken, where there are fewer, its
    /// bundle is over, or its carrier is another than the one given. Whoever else counts at the group waits for this transaction.
    pub async fn take_group_places(
        &mut self,
        (mode, partner, id): GroupKey<'_>,
        carrier: &str,
        count: i64,
    ) -> Result<Option<i64>> {
        let partner = partner.to_string();
        let next =
            fetch_optional!(self, (i64,), TAKE_PLACES, mode.as_str(), partner, id, count, carrier)?;
        Ok(next.map(|(next,)| next - count))
    }

    /// Counts SIMs that came or went, and places that were taken or given back.
    pub async fn count_group(
        &mut self,
        (mode, partner, id): GroupKey<'_>,
        (sims, held): (i64, i64),
    ) -> Result<()> {
        let changed = execute!(self, COUNT, mode.as_str(), partner.to_string(), id, sims, held)?;
        one_row(changed, "the group")
    }

    /// Gives a group its next operation, provided that its newest one still has the number given.
    pub async fn next_group_operation(
        &mut self,
        (mode, partner, id): GroupKey<'_>,
        newest: i64,
    ) -> Result<()> {
        let partner = partner.to_string();
        let changed = execute!(self, NEXT_OPERATION, mode.as_str(), partner, id, newest)?;
        one_row(changed, "the group's operations")
    }

    /// Writes down what became true of a group; whether it was not known.
    pub async fn add_group_event(
        &mut self,
        (mode, partner, id): GroupKey<'_>,
        event: &GroupEvent,
    ) -> Result<bool> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let GroupEvent { kind, subject, detail, at } = event;
        let at = at.as_micros();
        Ok(execute!(self, ADD_EVENT, mode, partner, id, kind, subject, detail, at)? == 1)
    }

    /// What became true of a group, the first thing first.
    pub async fn group_events(
        &mut self,
        (mode, partner, id): GroupKey<'_>,
        limit: i64,
    ) -> Result<Vec<GroupEvent>> {
        let partner = partner.to_string();
        let rows = fetch_all!(self, EventRow, EVENTS, mode.as_str(), partner, id, limit)?;
        let event = |row: EventRow| GroupEvent {
            kind: row.kind,
            subject: row.subject,
            detail: row.detail,
            at: Timestamp::from_micros(row.happened_at),
        };
        Ok(rows.into_iter().map(event).collect())
    }
}
