//! The partners' request log: what each asked and how it was answered, kept for some days.
//!
//! A request only leaves a note in memory; a task of its own writes the notes in batches. So the log costs
//! a request nothing worth measuring and can stop no sale: where too many notes wait, the next ones are
//! dropped and counted. A process that is killed loses what waited, a moment's worth.
//!
//! Whoever cannot prove to be its partner must not fill the disk, nor push others out: such requests wait
//! in a queue of their own, and few of them are written per partner and hour.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::id::{PartnerId, RequestId};
use domain::partner::Partner;
use domain::{Mode, Span, Timestamp, TraceId};
use store::LoggedRequest;
use tokio::sync::watch;
use wire::Code;
use wire::sign::Match;

use crate::Mall;
use crate::cache::Known;
use crate::error::{Hint, Result};
use crate::metrics::{NotLogged, Route};
use crate::sighting::{Facts, Sighting, Suspect};

/// How often the notes that wait are written.
const WRITE_PERIOD: Duration = Duration::from_millis(250);
/// The most rows that are written in one transaction: others must not wait for it.
const ROWS_MAX: usize = 512;
/// The most notes that wait, of requests whose partner is proven.
const PROVEN_MAX: usize = 20_000;
/// The most notes that wait of others, and that are looked into at a time.
const UNPROVEN_MAX: usize = 1_000;
const UNPROVEN_AT_ONCE: usize = 200;
/// The most requests per partner and hour that are written though nobody proved to be that partner.
const UNPROVEN_PER_HOUR_MAX: u32 = 200;
/// How often old rows are looked for, how many are deleted at once, and the pause between two such.
const SWEEP_PERIOD: Span = Span::minutes(60);
const SWEEP_LOOK: Duration = Duration::from_millis(500);
const SWEEP_ROWS: i64 = 500;
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
const HOUR_US: i64 = 3_600_000_000;

/// A request that was answered.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Its number.
    pub id: RequestId,
    /// Its trace.
    pub trace: TraceId,
    /// When it came.
    pub at: Timestamp,
    /// How long it took.
    pub took: Span,
    /// Its route.
    pub route: Route,
    /// Its method.
    pub method: &'static str,
    /// The status of its answer.
    pub status: u16,
    /// The code of its answer.
    pub code: &'static str,
    /// What became known of it on its way.
    pub sighting: &'a Sighting,
}

/// What is known of a request whoever made it.
#[derive(Debug)]
struct Note {
    id: RequestId,
    trace: TraceId,
    at: Timestamp,
    took: Span,
    route: Route,
    method: &'static str,
    status: u16,
    code: &'static str,
    mode: Mode,
    address: IpAddr,
    found: Option<Match>,
    order_no: String,
}

#[derive(Debug)]
struct Unproven {
    note: Note,
    partner_code: String,
    suspect: Option<Box<Suspect>>,
}

/// How many unproven requests were written in an hour, by the partner that they name.
#[derive(Debug, Default)]
struct Quota {
    hour: i64,
    written: HashMap<(Mode, PartnerId), u32>,
}

/// The notes that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    proven: Mutex<Vec<(PartnerId, Note)>>,
    unproven: Mutex<Vec<Unproven>>,
    quota: Mutex<Quota>,
    /// Held by whoever writes.
    writing: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after each statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a note if there is room.
fn push<T>(queue: &Mutex<Vec<T>>, most: usize, note: T) -> bool {
    let mut queue = lock(queue);
    let room = queue.len() < most;
    if room {
        queue.push(note);
    }
    room
}

/// Whether it is certain who made a request, as far as its scheme can prove it.
fn is_proven(facts: &Facts) -> Option<PartnerId> {
    let (partner, found) = facts.signed.as_ref()?;
    let refused = matches!(facts.refused, Some(Code::SignMismatch | Code::SignSchemeNotAllowed));
    (found.scheme.proves_sender() || !refused).then_some(*partner)
}

impl Note {
    fn row(&self, partner_id: PartnerId) -> LoggedRequest {
        let (form, key_id) = match &self.found {
            Some(found) => (found.form(), found.key_id.clone().unwrap_or_default()),
            None => (String::new(), String::new()),
        };
        LoggedRequest {
            mode: self.mode,
            partner_id,
            id: self.id,
            at: self.at,
            route: format!("{} {}", self.method, self.route.as_str()),
            status: self.status,
            code: self.code.to_owned(),
            form,
            key_id,
            took_us: self.took.as_micros(),
            address: self.address.to_string(),
            trace: self.trace.to_string(),
            sign_content: None,
            causes: None,
            order_no: self.order_no.clone(),
        }
    }
}

impl Hint {
    /// What was found, as words.
    fn words(&self) -> Vec<&'static str> {
        match self {
            Self::Causes(causes) if causes.is_empty() => vec!["unexplained"],
            Self::Causes(causes) => causes.iter().map(|cause| cause.word()).collect(),
            Self::TooLarge => vec!["too-large"],
            Self::Busy | Self::Stale(_) | Self::WrongUnit => vec!["not-searched"],
        }
    }
}

impl Mall {
    /// Notes how a request was answered, for its partner's log and for the figures.
    pub fn log_request(&self, answered: Answered<'_>) {
        let facts = answered.sighting.take();
        let Some((mode, partner_code, address)) = facts.named.clone() else { return };
        if let Some(suspect) = &facts.suspect {
            self.metrics.sign_mismatch(mode, &suspect.sign);
            self.count_causes(mode, suspect.hint.as_ref());
        }
        if self.settings.request_log.is_none() {
            return;
        }
        let proven = is_proven(&facts);
        let Answered { id, trace, at, took, route, method, status, code, .. } = answered;
        let found = facts.signed.map(|(_, found)| found).filter(|_| proven.is_some());
        let order_no = facts.order_no;
        let note = Note {
            id,
            trace,
            at,
            took,
            route,
            method,
            status,
            code,
            mode,
            address,
            found,
            order_no,
        };
        let log = &self.request_log;
        let taken = if let Some(partner) = proven {
            push(&log.proven, PROVEN_MAX, (partner, note))
        } else {
            let unproven = Unproven { note, partner_code, suspect: facts.suspect };
            push(&log.unproven, UNPROVEN_MAX, unproven)
        };
        if !taken {
            self.metrics.not_logged(NotLogged::QueueFull);
        }
    }

    fn count_causes(&self, mode: Mode, hint: Option<&Hint>) {
        for cause in hint.map(Hint::words).unwrap_or_default() {
            self.metrics.sign_mismatch_cause(mode, cause);
        }
    }

    /// Writes all notes that wait. What cannot be written now waits on, as far as there is room.
    pub async fn write_request_log(&self) -> Result<()> {
        let log = &self.request_log;
        let _writing = log.writing.lock().await;
        loop {
            let proven = std::mem::take(&mut *lock(&log.proven));
            let unproven: Vec<Unproven> = {
                let mut queue = lock(&log.unproven);
                let count = queue.len().min(UNPROVEN_AT_ONCE);
                queue.drain(..count).collect()
            };
            if proven.is_empty() && unproven.is_empty() {
                return Ok(());
            }
            let mut batches = proven.chunks(ROWS_MAX);
            let mut written = 0;
            for batch in &mut batches {
                let rows: Vec<_> = batch.iter().map(|(id, note)| note.row(*id)).collect();
                if let Err(error) = self.write_rows(&rows).await {
                    self.put_back(proven, written);
                    return Err(error);
                }
                written += batch.len();
            }
            let rows = self.look_into(unproven).await?;
            self.write_rows(&rows).await?;
        }
    }

    /// Those that were not written wait on, before those that came meanwhile.
    fn put_back(&self, mut notes: Vec<(PartnerId, Note)>, written: usize) {
        notes.drain(..written);
        let mut queue = lock(&self.request_log.proven);
        notes.append(&mut queue);
        let over = notes.len().saturating_sub(PROVEN_MAX);
        notes.truncate(PROVEN_MAX);
        *queue = notes;
        drop(queue);
        for _ in 0..over {
            self.metrics.not_logged(NotLogged::QueueFull);
        }
    }

    async fn write_rows(&self, rows: &[LoggedRequest]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.retry(|| async {
            let mut tx = self.store.begin().await?;
            tx.insert_requests(rows).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Finds the partners that unproven requests name, and why signatures do not match.
    async fn look_into(&self, unproven: Vec<Unproven>) -> Result<Vec<LoggedRequest>> {
        let mut partners: HashMap<(Mode, String), Option<Arc<Known>>> = HashMap::new();
        let mut rows = Vec::new();
        for Unproven { note, partner_code, suspect } in unproven {
            let mode = note.mode;
            let name = (mode, partner_code);
            if !partners.contains_key(&name) {
                let mut tx = self.store.read().await?;
                let seen = self.partner_now(&mut tx, mode, &name.1).await?;
                partners.insert(name.clone(), seen.map(|seen| seen.known));
            }
            let Some(known) = partners.get(&name).and_then(Option::as_ref) else {
                self.metrics.not_logged(NotLogged::NoPartner);
                continue;
            };
            if !self.within_quota(&known.partner, note.at) {
                self.metrics.not_logged(NotLogged::Unproven);
                continue;
            }
            let mut row = note.row(known.partner.id);
            if let Some(suspect) = suspect {
                let causes = self.causes(known, &suspect).await?;
                row.causes = Some(causes.join(","));
                row.sign_content = Some(suspect.redacted);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    async fn causes(&self, known: &Known, suspect: &Suspect) -> Result<Vec<&'static str>> {
        let hint = match (&suspect.hint, &suspect.params) {
            (Some(hint), _) => return Ok(hint.words()),
            (None, Some(params)) => self.explain(known, params, &suspect.sign).await?,
            (None, None) => Hint::TooLarge,
        };
        self.count_causes(known.partner.mode, Some(&hint));
        Ok(hint.words())
    }

    /// Whether one more request may be written in whose name nobody proved to be the partner.
    fn within_quota(&self, partner: &Partner, at: Timestamp) -> bool {
        let mut quota = lock(&self.request_log.quota);
        let hour = at.as_micros() / HOUR_US;
        if quota.hour != hour {
            *quota = Quota { hour, written: HashMap::new() };
        }
        let written = quota.written.entry((partner.mode, partner.id)).or_default();
        *written = written.saturating_add(1);
        *written <= UNPROVEN_PER_HOUR_MAX
    }

    /// Deletes what is older than is kept, a little at a time.
    async fn sweep(&self, kept: Span, stop: &watch::Receiver<bool>) -> Result<()> {
        let before = self.ctx.now() - kept;
        for partner in self.store.partner_ids().await? {
            loop {
                let deleted = self
                    .retry(|| async {
                        let mut tx = self.store.begin().await?;
                        let deleted = tx.delete_requests(partner, before, SWEEP_ROWS).await?;
                        tx.commit().await?;
                        Ok(deleted)
                    })
                    .await?;
                if *stop.borrow() || i64::try_from(deleted).is_ok_and(|some| some < SWEEP_ROWS) {
                    break;
                }
                tokio::time::sleep(SWEEP_PAUSE).await;
            }
        }
        Ok(())
    }
}

/// Keeps the request log until `stop` turns true: writes what waits and deletes what is old. It is to be
/// stopped after all that may still note something.
pub async fn run_request_log(mall: Arc<Mall>, stop: watch::Receiver<bool>) {
    tokio::join!(write_often(&mall, stop.clone()), sweep_often(&mall, stop));
}

/// Waits; `true` when it is time to stop.
async fn pause(length: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    // Nobody left to tell us to stop means that we should.
    let told = tokio::time::timeout(length, stop.wait_for(|stop| *stop)).await;
    told.is_ok()
}

async fn write_often(mall: &Mall, mut stop: watch::Receiver<bool>) {
    loop {
        let stopping = pause(WRITE_PERIOD, &mut stop).await;
        if let Err(error) = mall.write_request_log().await {
            tracing::warn!(%error, "the request log cannot be written");
        }
        if stopping {
            return;
        }
    }
}

async fn sweep_often(mall: &Mall, mut stop: watch::Receiver<bool>) {
    let mut last: Option<Timestamp> = None;
    while !pause(SWEEP_LOOK, &mut stop).await {
        let now = mall.ctx.now();
        let Some(kept) = mall.settings.request_log else { return };
        if last.is_some_and(|last| now.since(last) < SWEEP_PERIOD) {
            continue;
        }
        last = Some(now);
        if let Err(error) = mall.sweep(kept, &stop).await {
            tracing::warn!(%error, "old requests cannot be deleted from the log");
        }
    }
}
