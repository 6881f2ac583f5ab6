//! What carriers last said of SIMs, shared by all nodes, and who may ask next.
//!
//! Whoever asks raises the row's turn by compare-and-set before it does, and writes under it what came of it:
//! of many that want to ask at once one does, and an answer that comes late writes over nothing.

use std::str::FromStr;

use domain::id::{OrderId, PartnerId};
use domain::{Iccid, Mode, Timestamp, UnknownWord};

use crate::engine::{Tx, execute, fetch_all, fetch_optional, statements};
use crate::error::{Result, Row, StoreError};
use crate::jobs::JobKind;
use crate::sim_plans::SimKey;

statements! {
    FIND = "SELECT answer, answered_at, asking, ask_after, turn, heed_at FROM carrier_sims
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3 AND question = $4";
    ASK = "INSERT INTO carrier_sims (mode, partner_id, iccid, question, answer, answered_at, asking,
        ask_after, turn, heed_at) VALUES ($1, $2, $3, $4, '', NULL, TRUE, $5, 1, NULL)
        ON CONFLICT (mode, partner_id, iccid, question) DO UPDATE SET asking = TRUE,
        ask_after = excluded.ask_after, turn = carrier_sims.turn + 1 WHERE carrier_sims.turn = $6";
    ANSWER = "UPDATE carrier_sims SET answer = $6, answered_at = $7, asking = FALSE, ask_after = $7
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3 AND question = $4 AND turn = $5";
    FAIL = "UPDATE carrier_sims SET asking = FALSE, ask_after = $6
        WHERE mode = $1 AND partner_id = $2 AND iccid = $3 AND question = $4 AND turn = $5";
    HEED = "INSERT INTO carrier_sims (mode, partner_id, iccid, question, answer, answered_at, asking,
        ask_after, turn, heed_at) VALUES ($1, $2, $3, 'state', '', NULL, FALSE, $4, 0, $4)
        ON CONFLICT (mode, partner_id, iccid, question) DO UPDATE SET heed_at = $5
        WHERE carrier_sims.heed_at IS NOT DISTINCT FROM $6";
    /// Whoever asks at this moment has lost its turn.
    FORGET = "UPDATE carrier_sims SET answer = '', answered_at = NULL, asking = FALSE, ask_after = 0,
        turn = turn + 1 WHERE mode = $1 AND partner_id = $2 AND iccid = $3";
    /// Orders of a SIM that a carrier works on. Their jobs ask how far it is and send nothing: it is safe to
    /// let one run that somebody has at this moment, who then can write nothing.
    ACCEPTED = "SELECT a.order_id FROM orders o JOIN attempts a ON a.mode = o.mode
        AND a.partner_id = o.partner_id AND a.order_id = o.order_id
        WHERE o.mode = $1 AND o.partner_id = $2 AND o.iccid = $3 AND o.state = 'PROVISIONING'
        AND a.carrier = $4 AND a.state = 'accepted' LIMIT 20";
    RUNNING = "SELECT p.partner_id, p.iccid, s.carrier, c.answered_at, c.ask_after FROM sim_plans p
        JOIN sims s ON s.mode = p.mode AND s.partner_id = p.partner_id AND s.iccid = p.iccid
        LEFT JOIN carrier_sims c ON c.mode = p.mode AND c.partner_id = p.partner_id
            AND c.iccid = p.iccid AND c.question = 'state'
        WHERE p.mode = $1 AND p.state = 'in_use' AND (p.partner_id, p.iccid) > ($2, $3)
        ORDER BY p.partner_id, p.iccid LIMIT $4";
}

/// What is asked of a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// How a SIM and its plans stand.
    State,
    /// How much data it used.
    Usage,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::State, Self::Usage];

    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Usage => "usage",
        }
    }
}

impl FromStr for Question {
    type Err = UnknownWord;
    fn from_str(text: &str) -> std::result::Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::as_str, text, "question")
    }
}

/// What is known of a question about a SIM. The default is that of one that was never asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CarrierSim {
    /// The last answer, and when it came.
    pub answer: Option<(String, Timestamp)>,
    /// Whether somebody asks, unless [`CarrierSim::ask_after`] is over.
    pub asking: bool,
    /// Nobody else asks before.
    pub ask_after: Option<Timestamp>,
    /// How often it was asked.
    pub turn: i64,
    /// Of the state: when the carrier's last notification is or was heeded.
    pub heed_at: Option<Timestamp>,
}

/// A SIM with a plan in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningSim {
    /// Whose it is.
    pub partner_id: PartnerId,
    /// The SIM.
    pub iccid: Iccid,
    /// Its carrier.
    pub carrier: String,
    /// When the carrier was last heard of it.
    pub heard_at: Option<Timestamp>,
    /// Before that it is not asked about.
    pub ask_after: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    answer: String,
    answered_at: Option<i64>,
    asking: bool,
    ask_after: i64,
    turn: i64,
    heed_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct OrderRow {
    order_id: String,
}

#[derive(sqlx::FromRow)]
struct RunningRow {
    partner_id: String,
    iccid: String,
    carrier: String,
    answered_at: Option<i64>,
    ask_after: Option<i64>,
}

fn time(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(Timestamp::from_micros)
}

impl Tx {
    /// What is known of a question.
    pub async fn carrier_sim(
        &mut self,
        (mode, partner, iccid): &SimKey,
        question: Question,
    ) -> Result<CarrierSim> {
        let (mode, partner, question) = (mode.as_str(), partner.to_string(), question.as_str());
        let row = fetch_optional!(self, FoundRow, FIND, mode, partner, iccid.as_str(), question)?;
        Ok(row.map_or_else(CarrierSim::default, |row| CarrierSim {
            answer: time(row.answered_at).map(|at| (row.answer, at)),
            asking: row.asking,
            ask_after: Some(Timestamp::from_micros(row.ask_after)),
            turn: row.turn,
            heed_at: time(row.heed_at),
        }))
    }

    /// Takes the next turn to ask, until a time at the latest; `None` if somebody else was faster.
    pub async fn take_turn(
        &mut self,
        (mode, partner, iccid): &SimKey,
        question: Question,
        (known, until): (&CarrierSim, Timestamp),
    ) -> Result<Option<i64>> {
        let (mode, partner, sim) = (mode.as_str(), partner.to_string(), iccid.as_str());
        let (question, until) = (question.as_str(), until.as_micros());
        let won = execute!(self, ASK, mode, partner, sim, question, until, known.turn)?;
        Ok((won == 1).then_some(known.turn + 1))
    }

    /// Writes an answer, unless somebody asked since; whether it was written.
    pub async fn write_answer(
        &mut self,
        (mode, partner, iccid): &SimKey,
        (question, turn): (Question, i64),
        (answer, at): (&str, Timestamp),
    ) -> Result<bool> {
        let (mode, partner, sim) = (mode.as_str(), partner.to_string(), iccid.as_str());
        let (question, at) = (question.as_str(), at.as_micros());
        Ok(execute!(self, ANSWER, mode, partner, sim, question, turn, answer, at)? == 1)
    }

    /// Writes down that a question failed, and until when it is not asked again.
    pub async fn write_no_answer(
        &mut self,
        (mode, partner, iccid): &SimKey,
        (question, turn): (Question, i64),
        ask_after: Timestamp,
    ) -> Result<()> {
        let (mode, partner, sim) = (mode.as_str(), partner.to_string(), iccid.as_str());
        let (question, after) = (question.as_str(), ask_after.as_micros());
        execute!(self, FAIL, mode, partner, sim, question, turn, after)?;
        Ok(())
    }

    /// Forgets what was heard of a SIM that gets another carrier, and what is being asked.
    pub async fn forget_answers(&mut self, (mode, partner, iccid): &SimKey) -> Result<()> {
        execute!(self, FORGET, mode.as_str(), partner.to_string(), iccid.as_str())?;
        Ok(())
    }

    /// Notes when a carrier's notification about a SIM is heeded; fails if another was heeded since `last` was read.
    pub async fn write_heed(
        &mut self,
        (mode, partner, iccid): &SimKey,
        last: Option<Timestamp>,
        (now, heed_at): (Timestamp, Timestamp),
    ) -> Result<()> {
        let (mode, partner, sim) = (mode.as_str(), partner.to_string(), iccid.as_str());
        let (now, heed_at) = (now.as_micros(), heed_at.as_micros());
        let last = last.map(Timestamp::as_micros);
        let written = execute!(self, HEED, mode, partner, sim, now, heed_at, last)?;
        if written == 1 { Ok(()) } else { Err(StoreError::Changed("the state of a SIM upstream")) }
    }

    /// Lets the jobs of a SIM's orders that a carrier works on run at a time, if they would run later; how
    /// many.
    pub async fn hasten_accepted(
        &mut self,
        (mode, partner, iccid): &SimKey,
        carrier: &str,
        at: Timestamp,
    ) -> Result<u64> {
        let (mode, partner, sim) = (mode.as_str(), partner.to_string(), iccid.as_str());
        let orders = fetch_all!(self, OrderRow, ACCEPTED, mode, &partner, sim, carrier)?;
        let mut hastened = 0;
        for found in orders {
            let row = Row { table: "attempts", key: &found.order_id };
            let order: OrderId = row.parse("order_id", &found.order_id)?;
            let job = JobKind::Provision.job_id(&order.to_string());
            hastened += u64::from(self.hasten((mode, &partner), &job, (at, at)).await?);
        }
        Ok(hastened)
    }

    /// Lets the look at a SIM run at a time if it was put off beyond another one.
    pub async fn hasten_look(
        &mut self,
        (mode, partner, iccid): &SimKey,
        (at, put_off_beyond): (Timestamp, Timestamp),
    ) -> Result<()> {
        let (mode, partner) = (mode.as_str(), partner.to_string());
        let job = JobKind::LookAtSim.job_id(iccid.as_str());
        self.hasten((mode, &partner), &job, (at, put_off_beyond)).await?;
        Ok(())
    }

    /// SIMs with a plan in use, after one of them, so many at most.
    pub async fn running_sims(
        &mut self,
        mode: Mode,
        (partner, iccid): (&str, &str),
        limit: i64,
    ) -> Result<Vec<RunningSim>> {
        let rows = fetch_all!(self, RunningRow, RUNNING, mode.as_str(), partner, iccid, limit)?;
        let parsed = rows.into_iter().map(|found| {
            let row = Row { table: "sim_plans", key: "a plan in use" };
            Ok(RunningSim {
                partner_id: row.parse("partner_id", &found.partner_id)?,
                iccid: row.parse("iccid", &found.iccid)?,
                carrier: found.carrier,
                heard_at: time(found.answered_at),
                ask_after: time(found.ask_after),
            })
        });
        parsed.collect()
    }
}
