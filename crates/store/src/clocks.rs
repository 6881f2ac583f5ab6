//! The clocks of modes: how far business time is ahead of real time, and what moves when it is moved.
//!
//! `run_at` of every job is real time. A job whose date is a business date is therefore drawn nearer by as much as its
//! mode's clock is moved. A lease is not.

use domain::{Mode, Span, Timestamp};

use crate::engine::{Tx, execute, fetch_optional, statements};
use crate::error::Result;

statements! {
    AHEAD = "SELECT ahead FROM mode_clocks WHERE mode = $1";
    FIRST = "INSERT INTO mode_clocks (mode, ahead) VALUES ($1, 0) ON CONFLICT DO NOTHING";
    /// Whoever moves it at the same time is told that the row changed.
    MOVE = "UPDATE mode_clocks SET ahead = ahead + $3 WHERE mode = $1 AND ahead = $2";
    DRAW_NEARER = "UPDATE jobs SET run_at = run_at - $2 WHERE mode = $1 AND state = 'ready' AND NOT leased
        AND kind IN ('close_order', 'turn_plan', 'follow_payment', 'refund', 'stray_payment',
        'follow_subscription', 'await_renewal', 'turn_group')";
    NEXT = "SELECT CAST(MIN(run_at) AS BIGINT) AS run_at FROM jobs WHERE mode = $1 AND state = 'ready'
        AND NOT leased AND run_at > $2 AND kind IN ('close_order', 'turn_plan', 'follow_payment', 'refund',
        'stray_payment', 'follow_subscription', 'await_renewal', 'turn_group')";
    UNDERWAY = "SELECT COUNT(*) AS count FROM jobs WHERE mode = $1 AND state = 'ready'
        AND (leased OR run_at <= $2)";
}

impl Tx {
    /// How far a mode's business time is ahead.
    pub async fn clock_ahead(&mut self, mode: Mode) -> Result<Span> {
        let row = fetch_optional!(self, (i64,), AHEAD, mode.as_str())?;
        Ok(Span::micros(row.map_or(0, |(ahead,)| ahead)))
    }

    /// Moves a mode's clock on from where it was, and draws nearer what has a business date. `false`, and nothing is
    /// moved: somebody else moved it first.
    pub async fn move_clock(&mut self, mode: Mode, from: Span, by: Span) -> Result<bool> {
        execute!(self, FIRST, mode.as_str())?;
        if execute!(self, MOVE, mode.as_str(), from.as_micros(), by.as_micros())? != 1 {
            return Ok(false);
        }
        execute!(self, DRAW_NEARER, mode.as_str(), by.as_micros())?;
        Ok(true)
    }

    /// When the next job with a business date falls due after a time, in real time as the clock stands.
    pub async fn next_by_clock(
        &mut self,
        mode: Mode,
        after: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let row = fetch_optional!(self, (Option<i64>,), NEXT, mode.as_str(), after.as_micros())?;
        Ok(row.and_then(|(at,)| at).map(Timestamp::from_micros))
    }

    /// How many jobs of a mode run or are due.
    pub async fn jobs_underway(&mut self, mode: Mode, now: Timestamp) -> Result<i64> {
        let row = fetch_optional!(self, (i64,), UNDERWAY, mode.as_str(), now.as_micros())?;
        Ok(row.map_or(0, |(count,)| count))
    }
}
