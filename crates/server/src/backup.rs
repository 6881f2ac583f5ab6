//! `simmall backup` and `simmall restore`: a verified copy of a SQLite database, and its way back.
//!
//! A file appears under its name only when it is whole, verified and on disk.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::builder::BoolishValueParser;
use mall::doctor::{CopyReport, Finding, Schema, Verdict, bytes};
use store::Sealer;
use tempfile::{Builder, NamedTempFile, TempDir};

use crate::cli::{Database, Sealing, say};
use crate::clock;
use crate::doctor::{directory_of, line};
use crate::run::told_to_stop;

/// The exit code where PostgreSQL's own tools must make the backup.
const NOT_OURS: u8 = 3;
/// How often a copy says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// The database's name in the directory of a mall.
const DATABASE: &str = "mall.db";
/// How a SQLite file begins.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What to copy, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The file to make; it must not be there yet.
    file: PathBuf,
    #[command(flatten)]
    database: Database,
}

/// What to put back, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// A file that `simmall backup` made.
    file: PathBuf,
    /// Directory in which `mall.db` is made; it must hold no database yet.
    #[arg(long, env = "SIMMALL_DATA")]
    data: PathBuf,
    #[command(flatten)]
    sealing: Sealing,
    /// Restore it even if orders and books do not agree in it.
    #[arg(long, env = "SIMMALL_ACCEPT_FAULTS", value_parser = BoolishValueParser::new())]
    accept_faults: bool,
}

/// Copies a database while a mall serves it.
pub(crate) async fn backup(args: BackupArgs) -> anyhow::Result<ExitCode> {
    let Some(source) = store::sqlite_file(&args.database.database_url)? else {
        say(&dump_lines(&args.file))?;
        return Ok(ExitCode::from(NOT_OURS));
    };
    ensure!(source.is_file(), "there is no database in {}: see --database-url", source.display());
    refuse_to_overwrite(&args.file)?;
    let ctx = clock::system_ctx();
    let begun = ctx.now();
    // Whatever ends this function takes the unfinished file with it.
    let unfinished = Unfinished::beside(&args.file)?;
    let told = told_to_stop()?;
    tokio::select! {
        copied = copy(&source, unfinished.path()) => copied?,
        () = told => bail!("told to stop; nothing was kept"),
    }
    let report = verify(unfinished.path(), None).await.with_context(|| {
        format!("no backup was made: its copy cannot be served, nor may {}", source.display())
    })?;
    let size = unfinished.keep(&args.file)?;
    let millis = ctx.now().since(begun).as_micros() / 1_000;
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let file = args.file.display();
    tell_of(&report)?;
    say(&format!("{file}: {} in {seconds}.{millis:03} seconds", bytes(size)))?;
    say(
        "The sealing key is not in it: keep a copy of that elsewhere. Without it the partners' keys \
         in this backup are worth nothing.",
    )?;
    ensure!(
        books_agree(&report),
        "{file} was made, but orders or books do not agree in it, nor in the mall: \
         see `simmall doctor`"
    );
    Ok(ExitCode::SUCCESS)
}

/// Puts a backup into a directory.
pub(crate) async fn restore(args: RestoreArgs) -> anyhow::Result<()> {
    let file = args.file.display();
    let sealer = args.sealing.sealer_if_given()?;
    refuse_all_but_backups(&args.file)?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&args.data)
        .with_context(|| format!("the directory {} cannot be made", args.data.display()))?;
    let data = args.data.canonicalize()?;
    refuse_full(&data)?;
    let target = data.join(DATABASE);
    let mut unfinished = Unfinished::beside(&target)?;
    let mut source = File::open(&args.file).with_context(|| format!("{file} cannot be read"))?;
    std::io::copy(&mut source, unfinished.file.as_file_mut())
        .with_context(|| format!("{file} cannot be copied to {}", data.display()))?;
    // The copy is what will be served, so the copy is what is verified.
    let report = verify(unfinished.path(), sealer.as_ref()).await;
    let report = report.with_context(|| format!("{file} was not restored"))?;
    tell_of(&report)?;
    if let Some(Finding { verdict: Verdict::Fail, detail, .. }) = &report.sealing_key {
        bail!("{file} was not restored: with this sealing key {detail}");
    }
    ensure!(
        books_agree(&report) || args.accept_faults,
        "{file} was not restored, since orders or books do not agree in it; \
         --accept-faults restores it all the same"
    );
    let size = unfinished.keep(&target)?;
    say(&format!("restored {} to {}", bytes(size), target.display()))?;
    tell_next(&report, &target, &args.sealing)
}

/// What to run where PostgreSQL holds the database.
fn dump_lines(file: &Path) -> String {
    let file = format!("'{}'", file.display().to_string().replace('\'', r"'\''"));
    format!(
        "Nothing was copied: PostgreSQL makes consistent copies of itself. With the database's URL in \
         SIMMALL_DATABASE_URL, run\n    \
         pg_dump --format=custom --file={file} --dbname=\"$SIMMALL_DATABASE_URL\"\n\
         and to bring it back, into an empty database,\n    \
         pg_restore --exit-on-error --single-transaction --no-owner \
         --dbname=\"$SIMMALL_DATABASE_URL\" {file}\n\
         then see that all is well:\n    simmall doctor\n\
         The sealing key is not in it: keep a copy of that elsewhere."
    )
}

/// Copies the database, and says how far it is if it takes long.
async fn copy(source: &Path, to: &Path) -> anyhow::Result<()> {
    let mut copying = std::pin::pin!(store::copy_sqlite(source, to));
    let whole = source.metadata().map_or(0, |metadata| metadata.len());
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    ticks.tick().await;
    loop {
        tokio::select! {
            copied = &mut copying => {
                return copied.with_context(|| format!("{} cannot be copied", source.display()));
            }
            _ = ticks.tick() => {
                let done = to.metadata().map_or(0, |metadata| metadata.len());
                note(&format!("{} of about {} copied", bytes(done), bytes(whole)));
            }
        }
    }
}

/// Reads a copy whole. One that is broken, or that this program cannot serve, is worth nothing.
async fn verify(file: &Path, sealer: Option<&Sealer>) -> anyhow::Result<CopyReport> {
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    if size > 1 << 30 {
        note(&format!("verifying {}", bytes(size)));
    }
    let mut tx = store::read_file(file).await?;
    let report = mall::doctor::examine_copy(&mut tx, sealer).await?;
    let Finding { verdict, detail, .. } = &report.integrity;
    ensure!(*verdict != Verdict::Fail, "{detail}");
    match report.schema {
        Schema::None => bail!("it is no database of simmall"),
        Schema::Newer(version) => bail!(
            "its schema has version {version}, which this program does not know: \
             use a newer simmall"
        ),
        Schema::Older(_) | Schema::Current(_) => Ok(report),
    }
}

/// Tells a person who waits; nobody needs it.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn books_agree(report: &CopyReport) -> bool {
    report.books.iter().all(|finding| finding.verdict != Verdict::Fail)
}

fn tell_of(report: &CopyReport) -> anyhow::Result<()> {
    say(&line(&report.integrity))?;
    for finding in report.sealing_key.iter().chain(&report.books) {
        say(&line(finding))?;
    }
    if let Schema::Older(version) = report.schema {
        say(&line(&Finding::skip(
            "ledger",
            format!("not looked at: the schema is still at version {version}"),
        )))?;
    }
    Ok(())
}

/// A file that has no name yet. Dropped, it is gone, and so is what SQLite laid beside it.
struct Unfinished {
    file: NamedTempFile,
    /// Dropped after what is in it.
    _directory: TempDir,
}

impl Unfinished {
    /// An empty file on the same disk, for its owner only.
    fn beside(file: &Path) -> anyhow::Result<Self> {
        let directory = directory_of(file);
        let named = || format!("no file can be made in {}", directory.display());
        let own = Builder::new().prefix(".simmall-").suffix(".unfinished").tempdir_in(directory);
        let own = own.with_context(named)?;
        let file = NamedTempFile::new_in(own.path()).with_context(named)?;
        Ok(Self { file, _directory: own })
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    /// Makes the file durable and gives it its name, which nobody may have taken meanwhile.
    fn keep(self, file: &Path) -> anyhow::Result<u64> {
        let kept = || format!("{} cannot be written", file.display());
        File::open(self.path()).and_then(|copy| copy.sync_all()).with_context(kept)?;
        let named = self.file.persist_noclobber(file).map_err(|error| error.error);
        let size = named.and_then(|copy| copy.metadata()).with_context(kept)?.len();
        let directory = File::open(directory_of(file));
        directory.and_then(|directory| directory.sync_all()).with_context(kept)?;
        Ok(size)
    }
}

fn refuse_to_overwrite(file: &Path) -> anyhow::Result<()> {
    // A link to nowhere is something too.
    ensure!(
        file.symlink_metadata().is_err(),
        "{} is there already and is not overwritten: give another name",
        file.display()
    );
    Ok(())
}

/// A raw copy of a database that was being served lacks what stands in the log beside it.
fn refuse_all_but_backups(file: &Path) -> anyhow::Result<()> {
    ensure!(file.is_file(), "there is no file {}", file.display());
    ensure!(is_sqlite(file)?, "{} is no SQLite database", file.display());
    for suffix in ["-wal", "-journal"] {
        let mut log = file.as_os_str().to_owned();
        log.push(suffix);
        let log = PathBuf::from(log);
        ensure!(
            !log.exists(),
            "{} stands beside it: this is a database in use and no backup; \
             `simmall backup` makes one",
            log.display()
        );
    }
    Ok(())
}

/// Refuses a directory in which a database stands: what is in it must not be lost, and a log of it
/// would be taken for the new one's.
fn refuse_full(data: &Path) -> anyhow::Result<()> {
    let named = || format!("the directory {} cannot be read", data.display());
    for entry in data.read_dir().with_context(named)? {
        let path = entry.with_context(named)?.path();
        let ours = path.file_name().and_then(|name| name.to_str());
        let ours = ours.is_some_and(|name| name.starts_with(DATABASE));
        ensure!(
            !(ours || path.is_file() && is_sqlite(&path)?),
            "{} is in the way: restore into a directory without a database",
            path.display()
        );
    }
    Ok(())
}

fn is_sqlite(file: &Path) -> anyhow::Result<bool> {
    let mut begin = [0; SQLITE_MAGIC.len()];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut begin));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        read => {
            read.with_context(|| format!("{} cannot be read", file.display()))?;
            Ok(begin == *SQLITE_MAGIC)
        }
    }
}

fn tell_next(report: &CopyReport, target: &Path, key: &Sealing) -> anyhow::Result<()> {
    let url = format!("sqlite://{}", target.display());
    if let Schema::Older(_) = report.schema {
        say(&format!("first: simmall migrate --database-url {url}"))?;
    }
    let file = key.sealing_key_file.as_deref().unwrap_or(Path::new("FILE")).display();
    let given = format!("--database-url {url} --sealing-key-file {file}");
    say(&format!("look at it: simmall doctor {given}"))?;
    say(&format!("serve it: simmall serve {given}"))?;
    if report.sealing_key.is_none() {
        say("The sealing key was not in the backup; it must be the one of that time.")?;
    }
    Ok(())
}
