//! The SIMs of groups, in the order in which they took their places, and which of a group's SIMs are busy with an order.
//!
//! The key lets a SIM be in one group at most. A change of one is a compare-and-set on its state.

use std::collections::{BTreeMap, HashMap};

use domain::group::{Member, MemberState};
use domain::id::{GroupOperationId, OrderId, PartnerId};
use domain::{Iccid, Mode, Timestamp};

use super::GroupKey;
use crate::engine::{Tx, execute, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row, StoreError};
use crate::many::{execute_many, fetch_many};

/// So many places are counted together.
pub const BLOCK_PLACES: i64 = 1_024;

/// All columns of [`MemberRow`].
macro_rules! columns {
    () => {
        "iccid, group_id, place, state, request_id, chunk_no, joined_at, step, asked_at, look_at, said"
    };
}

statements! {
    FIND = concat!("SELECT ", columns!(), " FROM group_members
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3");
    /// Those that an operation moves at this moment.
    MOVED = concat!("SELECT ", columns!(), " FROM group_members WHERE mode = $1 AND partner_id = $2
        AND request_id = $3 AND chunk_no = $4 AND state IN ('joining', 'leaving') ORDER BY place");
    PAGE = "SELECT iccid, place, joined_at FROM group_members WHERE mode = $1 AND partner_id = $2
        AND group_id = $3 AND place > $4 AND state IN ('member', 'leaving')
        ORDER BY place LIMIT $5 OFFSET $6";
    /// The block in which the SIM after so many others stands, and how many stand before the block.
    BLOCK = "SELECT block_no, before FROM (SELECT block_no, sims,
            CAST(SUM(sims) OVER (ORDER BY block_no) AS BIGINT) - sims AS before
            FROM group_blocks WHERE mode = $1 AND partner_id = $2 AND group_id = $3) AS b
        WHERE before <= $4 AND before + sims > $4 LIMIT 1";
    GROW_BLOCK = "INSERT INTO group_blocks (mode, partner_id, group_id, block_no, sims)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (mode, partner_id, group_id, block_no)
        DO UPDATE SET sims = group_blocks.sims + excluded.sims";
    SHRINK_BLOCK = "UPDATE group_blocks SET sims = sims - $5
        WHERE mode = $1 AND partner_id = $2 AND group_id = $3 AND block_no = $4";
    DROP_BLOCK = "DELETE FROM group_blocks
        WHERE mode = $1 AND partner_id = $2 AND group_id = $3 AND block_no = $4 AND sims = 0";
    /// Whether a SIM is on its way into a group or out of one.
    IS_MOVED = "SELECT iccid FROM group_members WHERE mode = $1 AND partner_id = $2 AND iccid = $3
        AND state IN ('joining', 'leaving')";
    IN_REVIEW = concat!("SELECT partner_id, ", columns!(), " FROM group_members
        WHERE mode = $1 AND iccid > $2 AND state = 'review' ORDER BY iccid LIMIT $3");
    /// The subqueries' rows are few; the counts stand beside them and must be the same.
    COUNTED = "SELECT COUNT(CASE WHEN state IN ('member', 'leaving') THEN 1 END) AS sims, COUNT(*) AS held
        FROM group_members WHERE mode = $1 AND partner_id = $2 AND group_id = $3";
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    iccid: String,
    group_id: String,
    place: i64,
    state: String,
    request_id: String,
    chunk_no: i64,
    joined_at: Option<i64>,
    step: String,
    asked_at: Option<i64>,
    look_at: Option<i64>,
    said: String,
}

#[derive(sqlx::FromRow)]
struct ReviewRow {
    partner_id: String,
    #[sqlx(flatten)]
    member: MemberRow,
}

#[derive(sqlx::FromRow)]
struct PlacedRow {
    iccid: String,
    place: i64,
    joined_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct BlockRow {
    block_no: i64,
    before: i64,
}

#[derive(sqlx::FromRow)]
struct BusyRow {
    iccid: String,
    order_id: String,
    state: String,
}

#[derive(sqlx::FromRow)]
struct CountedRow {
    sims: i64,
    held: i64,
}

/// A SIM in a group, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedMember {
    /// The SIM.
    pub iccid: Iccid,
    /// Its place.
    pub place: i64,
    /// When it came to be in the group.
    pub joined_at: Timestamp,
}

/// A SIM that waits for a person, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewedMember {
    /// Whose it is.
    pub partner_id: PartnerId,
    /// The SIM.
    pub member: Member,
}

/// A SIM for which an order is under way at its carrier, or about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusySim {
    /// The SIM.
    pub iccid: Iccid,
    /// The order.
    pub order_id: OrderId,
    /// Whether nothing of it was sent yet, as far as is written down.
    pub is_unsent: bool,
}

impl MemberRow {
    fn into_member(self) -> Result<Member> {
        // A person's card is not named in errors.
        let row = Row { table: "group_members", key: &self.group_id };
        let moved_by = match self.request_id.as_str() {
            "" => None,
            id => Some((row.parse("request_id", id)?, self.chunk_no)),
        };
        Ok(Member {
            iccid: row.parse("iccid", &self.iccid)?,
            state: row.parse("state", &self.state)?,
            step: row.parse("step", &self.step)?,
            moved_by,
            place: self.place,
            joined_at: self.joined_at.map(Timestamp::from_micros),
            asked_at: self.asked_at.map(Timestamp::from_micros),
            look_at: self.look_at.map(Timestamp::from_micros),
            said: self.said,
            group_id: self.group_id,
        })
    }
}

fn mover(member: &Member) -> (String, i64) {
    let moved_by = member.moved_by.as_ref();
    moved_by.map_or_else(|| (String::new(), 0), |(id, chunk)| (id.to_string(), *chunk))
}

impl Tx {
    /// A SIM's place in a group, if it has one.
    pub async fn member(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        iccid: &Iccid,
    ) -> Result<Option<Member>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, MemberRow, FIND, mode, partner, iccid.as_str())?;
        row.map(MemberRow::into_member).transpose()
    }

    /// Those of many SIMs that are in a group, on their way, or in doubt.
    pub async fn members_among(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        iccids: &[&Iccid],
    ) -> Result<HashMap<Iccid, Member>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let mut members = HashMap::with_capacity(iccids.len());
        for piece in self.pieces(iccids) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_iccid) AS ({}) SELECT {} FROM v CROSS JOIN group_members
                WHERE mode = k_mode AND partner_id = k_partner AND iccid = k_iccid",
                self.rows(3, piece.len()),
                columns!(),
            );
            let rows = fetch_many!(self, MemberRow, sql.as_str(), piece,
                iccid => [mode, partner.as_str(), iccid.as_str()])?;
            for row in rows {
                let member = row.into_member()?;
                members.insert(member.iccid.clone(), member);
            }
        }
        Ok(members)
    }

    /// The SIMs that a part of an operation moves at this moment.
    pub async fn members_moved(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        (request, chunk): (GroupOperationId, i64),
    ) -> Result<Vec<Member>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, MemberRow, MOVED, mode, partner, request.to_string(), chunk)?;
        rows.into_iter().map(MemberRow::into_member).collect()
    }

    /// Gives SIMs their places. The key refuses one that has a place in any group.
    pub async fn insert_members(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        members: &[&Member],
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        for piece in self.pieces(members) {
            let sql = format!(
                "INSERT INTO group_members (mode, partner_id, iccid, group_id, place, state, request_id,
                chunk_no, joined_at, step, asked_at, look_at, said) {}",
                self.rows(13, piece.len())
            );
            execute_many!(self, sql.as_str(), piece, member => [
                mode,
                partner.as_str(),
                member.iccid.as_str(),
                member.group_id.as_str(),
                member.place,
                member.state.as_str(),
                mover(member).0,
                mover(member).1,
                member.joined_at.map(Timestamp::as_micros),
                member.step.as_str(),
                member.asked_at.map(Timestamp::as_micros),
                member.look_at.map(Timestamp::as_micros),
                member.said.as_str(),
            ])?;
        }
        Ok(())
    }

    /// Writes SIMs as they stand now, provided that each still was in the state given.
    pub async fn update_members(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        members: &[(MemberState, &Member)],
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let mut changed = 0;
        for piece in self.pieces(members) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_iccid, k_state, k_place, n_state, n_request, n_chunk,
                n_joined, n_step, n_asked, n_look, n_said) AS ({})
                UPDATE group_members SET state = n_state, request_id = n_request, chunk_no = n_chunk,
                joined_at = n_joined, step = n_step, asked_at = n_asked, look_at = n_look, said = n_said
                FROM v WHERE mode = k_mode AND partner_id = k_partner AND iccid = k_iccid
                AND state = k_state AND place = k_place",
                self.rows(13, piece.len())
            );
            changed += execute_many!(self, sql.as_str(), piece, (old, member) => [
                mode,
                partner.as_str(),
                member.iccid.as_str(),
                old.as_str(),
                member.place,
                member.state.as_str(),
                mover(member).0,
                mover(member).1,
                member.joined_at.map(Timestamp::as_micros),
                member.step.as_str(),
                member.asked_at.map(Timestamp::as_micros),
                member.look_at.map(Timestamp::as_micros),
                member.said.as_str(),
            ])?;
        }
        all_rows(changed, members.len())
    }

    /// Takes SIMs out of their group, provided that each still was in the state given.
    pub async fn delete_members(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        members: &[(MemberState, &Member)],
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let mut deleted = 0;
        for piece in self.pieces(members) {
            let sql = format!(
                "DELETE FROM group_members WHERE (mode, partner_id, iccid, state, place) IN ({})",
                self.rows(5, piece.len())
            );
            deleted += execute_many!(self, sql.as_str(), piece, (old, member) => [
                mode,
                partner.as_str(),
                member.iccid.as_str(),
                old.as_str(),
                member.place,
            ])?;
        }
        all_rows(deleted, members.len())
    }

    /// Counts SIMs at their places as being in the group, or as gone.
    pub async fn count_blocks(
        &mut self,
        (mode, partner, group): GroupKey<'_>,
        (came, went): (&[i64], &[i64]),
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        for (block, sims) in blocks(came) {
            execute!(self, GROW_BLOCK, mode, &partner, group, block, sims)?;
        }
        for (block, sims) in blocks(went) {
            execute!(self, SHRINK_BLOCK, mode, &partner, group, block, sims)?;
            execute!(self, DROP_BLOCK, mode, &partner, group, block)?;
        }
        Ok(())
    }

    /// The SIMs of a group after a place.
    pub async fn members_after(
        &mut self,
        group: GroupKey<'_>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<PlacedMember>> {
        self.members_page(group, (after, 0), limit).await
    }

    /// The SIMs of a group after so many others.
    pub async fn members_at(
        &mut self,
        group: GroupKey<'_>,
        skipped: i64,
        limit: i64,
    ) -> Result<Vec<PlacedMember>> {
        let (mode, partner, id) = (group.0.as_str(), group.1.to_string(), group.2);
        match fetch_optional!(self, BlockRow, BLOCK, mode, partner, id, skipped)? {
            None => Ok(Vec::new()),
            Some(BlockRow { block_no, before }) => {
                let after = block_no * BLOCK_PLACES - 1;
                self.members_page(group, (after, skipped - before), limit).await
            }
        }
    }

    async fn members_page(
        &mut self,
        (mode, partner, group): GroupKey<'_>,
        (after, skipped): (i64, i64),
        limit: i64,
    ) -> Result<Vec<PlacedMember>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let rows = fetch_all!(self, PlacedRow, PAGE, mode, partner, group, after, limit, skipped)?;
        let row = Row { table: "group_members", key: group };
        let placed = rows.into_iter().map(|found| {
            Ok(PlacedMember {
                iccid: row.parse("iccid", &found.iccid)?,
                place: found.place,
                joined_at: row.needed("joined_at", found.joined_at).map(Timestamp::from_micros)?,
            })
        });
        placed.collect()
    }

    /// Whether a SIM is on its way into a group or out of one.
    pub async fn is_member_moved(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        iccid: &Iccid,
    ) -> Result<bool> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let moved = fetch_optional!(self, (String,), IS_MOVED, mode, partner, iccid.as_str())?;
        Ok(moved.is_some())
    }

    /// Those of many SIMs for which an order is under way or about to be, each with its orders.
    pub async fn busy_sims(
        &mut self,
        (mode, partner): (Mode, PartnerId),
        iccids: &[&Iccid],
    ) -> Result<Vec<BusySim>> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let mut busy = Vec::new();
        for piece in self.pieces(iccids) {
            let sql = format!(
                "WITH v (k_mode, k_partner, k_iccid) AS ({})
                SELECT iccid, order_id, state FROM v CROSS JOIN orders WHERE mode = k_mode
                AND partner_id = k_partner AND iccid = k_iccid AND state IN ('PAID', 'PROVISIONING')
                UNION SELECT iccid, order_id, state FROM v CROSS JOIN attempts WHERE mode = k_mode
                AND partner_id = k_partner AND iccid = k_iccid AND holds_sim",
                self.rows(3, piece.len()),
            );
            let rows = fetch_many!(self, BusyRow, sql.as_str(), piece,
                iccid => [mode, partner.as_str(), iccid.as_str()])?;
            for found in rows {
                let row = Row { table: "orders", key: &found.order_id };
                busy.push(BusySim {
                    iccid: row.parse("iccid", &found.iccid)?,
                    order_id: row.parse("order_id", &found.order_id)?,
                    is_unsent: found.state == "PAID",
                });
            }
        }
        Ok(busy)
    }

    /// The SIMs of a mode that wait for a person, after a number, in its order.
    pub async fn members_in_review(
        &mut self,
        mode: Mode,
        after: &str,
        limit: i64,
    ) -> Result<Vec<ReviewedMember>> {
        let rows = fetch_all!(self, ReviewRow, IN_REVIEW, mode.as_str(), after, limit)?;
        let parsed = rows.into_iter().map(|found| {
            let row = Row { table: "group_members", key: &found.member.group_id };
            let partner_id = row.parse("partner_id", &found.partner_id)?;
            Ok(ReviewedMember { partner_id, member: found.member.into_member()? })
        });
        parsed.collect()
    }

    /// How many SIMs of a group are in it, and how many places are taken, counted one by one.
    pub async fn counted_members(
        &mut self,
        (mode, partner, group): GroupKey<'_>,
    ) -> Result<(i64, i64)> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let row = fetch_optional!(self, CountedRow, COUNTED, mode, partner, group)?;
        Ok(row.map_or((0, 0), |row| (row.sims, row.held)))
    }
}

/// How many of some places stand in each block.
fn blocks(places: &[i64]) -> BTreeMap<i64, i64> {
    let mut blocks = BTreeMap::new();
    for place in places {
        *blocks.entry(place.div_euclid(BLOCK_PLACES)).or_default() += 1;
    }
    blocks
}

fn all_rows(changed: u64, wanted: usize) -> Result<()> {
    if usize::try_from(changed) == Ok(wanted) {
        Ok(())
    } else {
        Err(StoreError::Changed("a SIM of the group"))
    }
}
