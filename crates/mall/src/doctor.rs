//! Whether a mall is healthy: what is looked at, and what is good, doubtful or bad.
//!
//! Reads only, and may run beside a serving mall. What belongs to the machine (files, disk) is looked at
//! by the caller and judged here.

mod books;
mod copy;
mod machine;

use std::collections::BTreeMap;

use carriers::{Carriers, Served};
use domain::{Ctx, Mode, Span, Timestamp};
use serde::Serialize;
use store::{Engine, Sealer, Setting, Store, StoreError, Tx};
use tokio::time::timeout;

use crate::Cashiers;

pub use copy::{CopyReport, Schema, examine_copy};
pub use machine::{FileMode, Space, database_file, disk_space, key_file};

/// A larger SQLite database is read whole only when that is asked for.
const QUICK_CHECK_BYTES_MAX: u64 = 2 << 30;
/// How far the database's clock may be from ours: `tradeTime` and leases are compared with ours.
const SKEW_WARN: Span = Span::seconds(1);
/// From here on leases, which last 20 seconds, can no longer be trusted.
const SKEW_FAIL: Span = Span::seconds(10);
/// How long a carrier may take to answer, unless its settings allow it more.
const CARRIER_TIMEOUT: Span = Span::seconds(8);
/// How long Stripe may take to answer twice.
const CASHIER_TIMEOUT: Span = Span::seconds(20);
/// How many faults stand in a line.
const FAULTS_SHOWN: usize = 3;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be looked at, for the reason given.
    Skip,
    /// Somebody should look at it.
    Warn,
    /// The mall cannot or must not go on like this.
    Fail,
}

impl Verdict {
    /// The word that is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was found at one point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What was looked at.
    pub name: String,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty where nothing is to be done.
    pub advice: String,
}

impl Finding {
    /// A finding.
    pub fn new(verdict: Verdict, name: &str, detail: impl Into<String>) -> Self {
        Self { verdict, name: name.to_owned(), detail: detail.into(), advice: String::new() }
    }

    /// All is well.
    pub fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, name, detail)
    }

    /// Somebody should look at it.
    pub fn warn(name: &str, detail: impl Into<String>) -> Self {
        Self::new(Verdict::Warn, name, detail)
    }

    /// It is broken.
    pub fn fail(name: &str, detail: impl Into<String>) -> Self {
        Self::new(Verdict::Fail, name, detail)
    }

    /// It was not looked at.
    pub fn skip(name: &str, detail: impl Into<String>) -> Self {
        Self::new(Verdict::Skip, name, detail)
    }

    /// With what to do about it.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

/// A mall to be examined.
#[derive(Debug)]
pub struct Patient<'a> {
    /// Its database.
    pub store: &'a Store,
    /// Our clock.
    pub ctx: &'a Ctx,
    /// Its sealing key, if it is known.
    pub sealer: Option<&'a Sealer>,
}

/// The checks of the database, in the order in which they are made and told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Version,
    Migrations,
    Settings,
    Integrity,
    Clock,
    SealingKey,
    Jobs,
    Review,
    Orders,
    Ledger,
    Pushes,
}

impl Check {
    const ALL: [Self; 11] = [
        Self::Version,
        Self::Migrations,
        Self::Settings,
        Self::Integrity,
        Self::Clock,
        Self::SealingKey,
        Self::Jobs,
        Self::Review,
        Self::Orders,
        Self::Ledger,
        Self::Pushes,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Version => "database",
            Self::Migrations => "migrations",
            Self::Settings => "settings",
            Self::Integrity => "integrity",
            Self::Clock => "clock",
            Self::SealingKey => "sealing key",
            Self::Jobs => "jobs",
            Self::Review => "review",
            Self::Orders => "orders",
            Self::Ledger => "ledger",
            Self::Pushes => "pushes",
        }
    }

    /// Whether it can be made without the tables of this program's schema.
    fn is_of_the_engine(self) -> bool {
        matches!(self, Self::Version | Self::Migrations | Self::Settings | Self::Integrity)
    }
}

/// Examines a database. `deep` reads it whole however large it is.
pub async fn examine(patient: &Patient<'_>, deep: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut migrated = false;
    for check in Check::ALL {
        let name = check.name();
        if !migrated && !check.is_of_the_engine() {
            findings.push(Finding::skip(name, "the schema is not this program's"));
            continue;
        }
        let found = patient.make(check, deep).await.unwrap_or_else(|error| {
            Finding::fail(name, error.to_string()).advise("look at the database's own log")
        });
        migrated |= check == Check::Migrations && found.verdict == Verdict::Ok;
        findings.push(found);
    }
    findings
}

/// What is said of the database and all that stands in it when it cannot be opened.
pub fn unreachable(error: &StoreError) -> Vec<Finding> {
    let advice = "see that --database-url is right and that the database runs";
    let told = |check: Check| match check {
        Check::Version => Finding::fail(check.name(), error.to_string()).advise(advice),
        _ => Finding::skip(check.name(), "the database cannot be opened"),
    };
    Check::ALL.map(told).to_vec()
}

/// Asks each carrier whether it can be reached and takes our credentials, and names those that packages need and
/// that do not serve them.
pub async fn examine_carriers(
    store: Option<&Store>,
    carriers: &Carriers,
) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    let mut codes: Vec<&String> = carriers.keys().collect();
    codes.sort();
    for code in codes {
        findings.push(ask(code, &carriers[code]).await);
    }
    let mut unserved: BTreeMap<String, Vec<Mode>> = BTreeMap::new();
    if let Some(store) = store {
        for (mode, code) in store.read().await?.carriers_in_use().await? {
            if !carriers.get(&code).is_some_and(|served| served.modes.contains(&mode)) {
                unserved.entry(code).or_default().push(mode);
            }
        }
    }
    findings.extend(unserved.iter().map(|(code, modes)| {
        let why = match carriers.get(code) {
            Some(_) => "it does not serve that mode",
            None => "this program does not know it",
        };
        let modes: Vec<&str> = modes.iter().map(|mode| mode.as_str()).collect();
        let detail = format!("packages in {} mode name it, but {why}", modes.join(" and "));
        let advice = "its orders wait until a node's --carriers has it: give that file here too, or \
                      correct the packages";
        Finding::fail(&format!("carrier {code}"), detail).advise(advice)
    }));
    Ok(findings)
}

/// Asks each account at Stripe whether it answers and takes our key.
pub async fn examine_cashiers(cashiers: &Cashiers) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, cashier) in cashiers.named() {
        let name = format!("cashier {name}");
        let advice = "see that this machine may reach Stripe, and that the key is right and may read payments and \
                      the balance's transactions";
        findings.push(match timeout(CASHIER_TIMEOUT.to_std(), cashier.stripe.check()).await {
            Ok(Ok(())) => Finding::ok(&name, "Stripe answers and takes the key"),
            Ok(Err(error)) => Finding::fail(&name, error.to_string()).advise(advice),
            Err(_) => Finding::fail(&name, "no answer in time").advise(advice),
        });
    }
    findings
}

/// Asks a carrier. One that may take longer by its settings is given that time.
async fn ask(code: &str, served: &Served) -> Finding {
    let name = format!("carrier {code}");
    let limit = CARRIER_TIMEOUT.max(served.carrier.capabilities().call_max);
    let advice = "see that the carrier is up, that this machine may reach it, and that its settings \
                  and secrets are right";
    match timeout(limit.to_std(), served.carrier.check()).await {
        Ok(Ok(words)) => {
            let modes: Vec<&str> = served.modes.iter().map(|mode| mode.as_str()).collect();
            Finding::ok(&name, format!("answers ({words}); serves {}", modes.join(" and ")))
        }
        Ok(Err(error)) => Finding::fail(&name, error.message).advise(advice),
        Err(_) => {
            let seconds = limit.as_micros() / 1_000_000;
            Finding::fail(&name, format!("no answer within {seconds} seconds")).advise(advice)
        }
    }
}

impl Patient<'_> {
    async fn make(&self, check: Check, deep: bool) -> Result<Finding, StoreError> {
        let mut tx = self.store.read().await?;
        let tx = &mut tx;
        match check {
            Check::Version => version(tx).await,
            Check::Migrations => migrations(tx).await,
            Check::Settings => Ok(settings(self.store.engine(), &tx.engine_settings().await?)),
            Check::Integrity => integrity(tx, deep).await,
            Check::Clock => clock(tx, self.ctx).await,
            Check::SealingKey => match self.sealer {
                Some(sealer) => sealing_key(tx, sealer).await,
                None => Ok(Finding::warn("sealing key", "none is given: partners' keys not tried")
                    .advise("give --sealing-key-file FILE or SIMMALL_SEALING_KEY")),
            },
            Check::Jobs => Ok(books::jobs(&tx.backlog(self.ctx.now()).await?, self.ctx.now())),
            Check::Review => Ok(books::review(&tx.orders_in_review().await?)),
            Check::Orders => Ok(books::orders(&tx.order_faults().await?)),
            Check::Ledger => Ok(books::ledger(&tx.ledger_faults().await?)),
            Check::Pushes => {
                let (now, faults) = (self.ctx.now(), tx.push_faults().await?);
                Ok(books::pushes(&tx.push_backlog(now).await?, &faults, now))
            }
        }
    }
}

async fn version(tx: &mut Tx) -> Result<Finding, StoreError> {
    let version = tx.engine_version().await?;
    let detail = format!("{}, {}", version.text, bytes(tx.database_bytes().await?));
    Ok(if version.supported {
        Finding::ok("database", detail)
    } else {
        Finding::fail("database", detail).advise(format!("use {} or newer", version.oldest))
    })
}

async fn migrations(tx: &mut Tx) -> Result<Finding, StoreError> {
    let (found, known) = (tx.schema_version().await?, store::schema_known());
    let detail = format!("the schema is at version {found}, this program needs {known}");
    Ok(match found.cmp(&known) {
        std::cmp::Ordering::Equal => Finding::ok("migrations", detail),
        std::cmp::Ordering::Less => {
            Finding::fail("migrations", detail).advise("run `simmall migrate`")
        }
        std::cmp::Ordering::Greater => {
            Finding::fail("migrations", detail).advise("use a newer simmall")
        }
    })
}

/// Judges the settings on which it depends that what was acknowledged survives.
fn settings(engine: Engine, found: &[Setting]) -> Finding {
    let needed: &[(&str, &str)] = match engine {
        Engine::Sqlite => {
            &[("journal_mode", "wal"), ("synchronous", "full"), ("foreign_keys", "on")]
        }
        Engine::Postgres => &[
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
            ("server_encoding", "UTF8"),
        ],
    };
    let value =
        |name: &str| found.iter().find(|setting| setting.name == name).map(|s| s.value.as_str());
    // Stricter than needed is as good.
    let stricter = [("synchronous_commit", "remote_apply"), ("synchronous", "extra")];
    let wrong: Vec<String> = needed
        .iter()
        .filter(|(name, needed)| {
            value(name).is_none_or(|v| v != *needed && !stricter.contains(&(*name, v)))
        })
        .map(|(name, needed)| {
            format!("{name} is {}, not {needed}", value(name).unwrap_or("unknown"))
        })
        .collect();
    let all = found.iter().map(|s| format!("{} {}", s.name, s.value)).collect::<Vec<_>>();
    if wrong.is_empty() {
        return Finding::ok("settings", all.join(", "));
    }
    let advice = match engine {
        Engine::Sqlite => "keep the file on a local disk, where SQLite can use its write-ahead log",
        Engine::Postgres => "set them in postgresql.conf: a crash could lose acknowledged orders",
    };
    Finding::fail("settings", wrong.join(", ")).advise(advice)
}

async fn integrity(tx: &mut Tx, deep: bool) -> Result<Finding, StoreError> {
    if tx.engine() == Engine::Postgres {
        let why = "PostgreSQL looks after its own files (data_checksums, amcheck)";
        return Ok(Finding::skip("integrity", why));
    }
    let size = tx.database_bytes().await?;
    if !deep && size > QUICK_CHECK_BYTES_MAX {
        let detail = format!("not read: {} take a while", bytes(size));
        return Ok(Finding::skip("integrity", detail).advise("--deep reads it all"));
    }
    let faults = tx.file_faults(deep).await?;
    let how = if deep { "integrity_check, foreign_key_check" } else { "quick_check" };
    Ok(match faults.first() {
        None => Finding::ok("integrity", format!("{how} found nothing")),
        Some(first) => Finding::fail("integrity", format!("{how}: {}", first.trim()))
            .advise("stop the mall, keep the file, and restore the newest good backup"),
    })
}

/// Compares clocks. SQLite has none of its own, but rows of a time to come show that ours went back.
async fn clock(tx: &mut Tx, ctx: &Ctx) -> Result<Finding, StoreError> {
    let before = ctx.now();
    let theirs = tx.database_clock().await?;
    let after = ctx.now();
    let newest = tx.newest_row_at().await?;
    Ok(judge_clock((before, after), theirs, newest))
}

fn judge_clock(
    (before, after): (Timestamp, Timestamp),
    theirs: Option<Timestamp>,
    newest: Option<Timestamp>,
) -> Finding {
    let advice = "let one time service (NTP) set the clocks of all machines";
    if let Some(theirs) = theirs {
        // Nobody can tell at which instant between the two it was read.
        let ahead = theirs.since(after).max(before.since(theirs)).max(Span::seconds(0));
        let detail = format!("the database's clock is {} from ours", seconds(ahead));
        if ahead >= SKEW_FAIL {
            return Finding::fail("clock", detail).advise(advice);
        }
        if ahead >= SKEW_WARN {
            return Finding::warn("clock", detail).advise(advice);
        }
    }
    let future = newest.map_or(Span::seconds(0), |newest| newest.since(after));
    if future >= SKEW_WARN {
        let detail = format!("there are rows from {} ahead of our clock", seconds(future));
        return Finding::warn("clock", detail).advise(advice);
    }
    Finding::ok(
        "clock",
        match theirs {
            Some(_) => "agrees with the database's; no row is from the future",
            None => "no row is from the future",
        },
    )
}

/// Opens every live key.
async fn sealing_key(tx: &mut Tx, sealer: &Sealer) -> Result<Finding, StoreError> {
    let (mut tried, mut shut) = (0_u64, Vec::new());
    for of_endpoints in [false, true] {
        let mut after = [const { String::new() }; 4];
        loop {
            let page = if of_endpoints {
                tx.sealed_push_keys(&after).await?
            } else {
                tx.live_keys(&after).await?
            };
            let Some(last) = page.last() else { break };
            after.clone_from(&last.place);
            for key in page {
                tried += 1;
                if sealer.open(&key.row, &key.sealed).is_err() {
                    shut.push(key.row);
                }
            }
        }
    }
    let Some(first) = shut.first() else {
        return Ok(Finding::ok("sealing key", format!("opens all live keys ({tried})")));
    };
    let detail = format!("{} of {tried} live keys do not open, such as {first}", shut.len());
    Ok(Finding::fail("sealing key", detail)
        .advise("give the key that sealed them, or make these partners new keys"))
}

/// A size for people, rounded down.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut scale, mut unit) = (1024, 0);
    while size / scale >= 1024 && unit + 1 < UNITS.len() {
        (scale, unit) = (scale * 1024, unit + 1);
    }
    let (whole, tenths) = (size / scale, size % scale * 10 / scale);
    format!("{whole}.{tenths} {}", UNITS[unit])
}

/// A length of time for people.
fn seconds(span: Span) -> String {
    let millis = span.as_micros() / 1_000;
    format!("{}.{:03} seconds", millis / 1_000, millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Setting {
        Setting { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_setting_that_could_lose_orders_fails() {
        let good = [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")]
            .map(|(name, value)| setting(name, value));
        let mut all = good.to_vec();
        assert_eq!(settings(Engine::Postgres, &all).verdict, Verdict::Fail, "no encoding");
        all.push(setting("server_encoding", "UTF8"));
        assert_eq!(settings(Engine::Postgres, &all).verdict, Verdict::Ok);
        all[1] = setting("synchronous_commit", "remote_apply");
        assert_eq!(settings(Engine::Postgres, &all).verdict, Verdict::Ok);
        for (place, value) in [(0, "off"), (1, "local"), (2, "off"), (3, "SQL_ASCII")] {
            let mut bad = all.clone();
            bad[place].value = value.to_owned();
            let found = settings(Engine::Postgres, &bad);
            assert_eq!(found.verdict, Verdict::Fail);
            assert!(found.detail.contains(&bad[place].name), "{found:?}");
        }
    }

    #[test]
    fn clocks_are_compared_with_the_instants_around_the_look() {
        let at = |millis: i64| Timestamp::from_millis(millis).unwrap();
        let verdict = |theirs: Option<i64>, newest: Option<i64>| {
            judge_clock((at(100_000), at(100_500)), theirs.map(at), newest.map(at)).verdict
        };
        assert_eq!(verdict(None, None), Verdict::Ok);
        assert_eq!(verdict(Some(100_200), Some(100_500)), Verdict::Ok);
        assert_eq!(verdict(Some(101_499), None), Verdict::Ok);
        assert_eq!(verdict(Some(101_500), None), Verdict::Warn);
        assert_eq!(verdict(Some(99_000), None), Verdict::Warn);
        assert_eq!(verdict(Some(90_000), None), Verdict::Fail);
        assert_eq!(verdict(Some(110_500), None), Verdict::Fail);
        assert_eq!(verdict(None, Some(101_500)), Verdict::Warn);
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(bytes(0), "0.0 KiB");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(5 << 20), "5.0 MiB");
        assert_eq!(bytes((5 << 20) - 1), "4.9 MiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }
}
