//! Imports and exports of files.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use sdk::admin::import::{self as told, ERRORS_MAX, LineError, NewImport};
use sdk::admin::{Error, Method, examine};

use super::Session;
use crate::cli::say;

/// The pause between two looks at an import.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often in a row a look may fail: the mall may be starting anew.
const LOOKS_FAILED_MAX: u32 = 120;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    Packages,
    Plans,
    Prices,
    Sims,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Plans => "plans",
            Self::Prices => "prices",
            Self::Sims => "sims",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// What the file holds.
    kind: Kind,
    /// The CSV file. If an upload or an import of the same file was interrupted, it goes on.
    file: PathBuf,
    /// The code of the partner whose SIMs the file holds.
    #[arg(long)]
    partner: Option<String>,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// What to export.
    kind: Kind,
    /// The CSV file to write; `-` for standard output.
    file: PathBuf,
    /// The partner whose SIMs are exported, or only whose prices are.
    #[arg(long)]
    partner: Option<String>,
}

/// How far something is: a bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    tenth: i64,
}

impl Progress {
    fn new(json: bool) -> Self {
        let is_seen = std::io::stderr().is_terminal() && !json;
        let bar = is_seen.then(|| {
            let bar = ProgressBar::new(0);
            // A template of our own always parses; without it the bar looks plain.
            let style = ProgressStyle::with_template(
                "{msg:<10} [{bar:30}] {human_pos}/{human_len} {elapsed}, {eta} left",
            );
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, what: String::new(), tenth: 0 }
    }

    fn at(&mut self, what: &str, done: i64, of: i64) {
        let begins = self.what != what;
        if begins {
            what.clone_into(&mut self.what);
            self.tenth = -1;
        }
        if let Some(bar) = &self.bar {
            if begins {
                bar.reset();
                bar.set_message(what.to_owned());
            }
            bar.set_length(of.unsigned_abs());
            bar.set_position(done.unsigned_abs());
            return;
        }
        let tenth = done.saturating_mul(10) / of.max(1);
        if tenth > self.tenth {
            self.tenth = tenth;
            // Nothing can be done if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{what}: {done} of {of}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Import {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let (mode, named) = (session.mode(), || format!("the file {}", self.file.display()));
        let mut file = File::open(&self.file).with_context(named)?;
        let known = examine(&mut file).with_context(named)?;
        let new = NewImport {
            kind: self.kind.word().to_owned(),
            partner: self.partner.clone(),
            file_name: name_of(&self.file),
            sha256: Some(known.sha256),
        };
        let import = session.client.begin_import(mode, &new).await;
        let import = import.map_err(|error| session.explain(error))?;
        let mut progress = Progress::new(session.json);
        let mut errors = Vec::new();
        if import.state == "staging" {
            let of = i64::try_from(known.bytes).unwrap_or(i64::MAX);
            progress.at("uploading", import.bytes, of);
            let staged = session.client.stage(mode, &import, &mut file, |part| {
                errors.extend(part.errors.iter().cloned());
                progress.at("uploading", part.bytes, of);
            });
            staged.await.map_err(|error| session.explain(error))?;
        }
        if !errors.is_empty() {
            drop(progress);
            let found = session.client.import(mode, &import.import_id).await;
            return refuse(session, &found.map_err(|error| session.explain(error))?);
        }
        let applied = session.client.apply_import(mode, &import.import_id, self.dry_run).await;
        let applied = applied.map_err(|error| session.explain(error))?;
        let done = wait(session, mode, applied, &mut progress).await?;
        drop(progress);
        report(session, &done)
    }
}

/// The file's name without its directory.
fn name_of(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let name: String = name.unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    if name.is_empty() { "file".to_owned() } else { name.chars().take(200).collect() }
}

/// Looks at an import until the mall has nothing more to do for it.
async fn wait(
    session: &Session,
    mode: &str,
    mut import: told::Import,
    progress: &mut Progress,
) -> anyhow::Result<told::Import> {
    let mut failed = 0;
    loop {
        progress.at(&import.state, import.rows_done, import.rows);
        if !["validating", "applying"].contains(&import.state.as_str()) {
            return Ok(import);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        match session.client.import(mode, &import.import_id).await {
            Ok(now) => (import, failed) = (now, 0),
            Err(Error::Transport(_)) if failed < LOOKS_FAILED_MAX => failed += 1,
            Err(Error::Refused(problem))
                if failed < LOOKS_FAILED_MAX && [429, 503].contains(&problem.status) =>
            {
                failed += 1;
            }
            Err(error) => return Err(session.explain(error)),
        }
    }
}

/// Tells what became of an import.
fn report(session: &Session, import: &told::Import) -> anyhow::Result<()> {
    if import.state == "invalid" {
        return refuse(session, import);
    }
    if session.json {
        session.print(&serde_json::to_value(import)?)?;
    } else {
        let counts = format!(
            "{} new, {} changed, {} as they were",
            import.new, import.changed, import.unchanged
        );
        match import.state.as_str() {
            "checked" => say(&format!("nothing was written; it would be: {counts}"))?,
            _ => say(&format!("{} rows are imported: {counts}", import.rows - import.skipped))?,
        }
    }
    if import.skipped == 0 {
        return Ok(());
    }
    let what = "rows became impossible while the import ran, and were left out";
    anyhow::bail!("{} {what}:\n{}", import.skipped, lines(&import.errors))
}

/// Tells why nothing was imported.
fn refuse(session: &Session, import: &told::Import) -> anyhow::Result<()> {
    if session.json {
        session.print(&serde_json::to_value(import)?)?;
    }
    let more = if import.error_count >= ERRORS_MAX { " or more" } else { "" };
    let (count, text) = (import.error_count, lines(&import.errors));
    anyhow::bail!("nothing was written: the file has {count}{more} errors\n{text}")
}

/// Errors as `line 7, column state: …`.
fn lines(errors: &[LineError]) -> String {
    let line = |error: &LineError| {
        let column = match error.column.as_str() {
            "" => String::new(),
            column => format!(", column {column}"),
        };
        match error.line {
            0 => format!("  the file{column}: {}", error.detail),
            line => format!("  line {line}{column}: {}", error.detail),
        }
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Export {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let named = || format!("the file {}", self.file.display());
        if self.file.as_os_str() == "-" {
            let mut out = std::io::stdout().lock();
            self.write(session, &mut out).await?;
            return Ok(());
        }
        // Beside the file, so that one that was broken off is never taken for the whole.
        let place = self.file.parent().filter(|place| !place.as_os_str().is_empty());
        let part = tempfile::NamedTempFile::new_in(place.unwrap_or(Path::new(".")));
        let mut out = BufWriter::new(part.with_context(named)?);
        let rows = self.write(session, &mut out).await?;
        let part = out.into_inner().map_err(std::io::IntoInnerError::into_error);
        part.with_context(named)?.persist(&self.file).with_context(named)?;
        if session.json {
            return session.print(&serde_json::json!({ "rows": rows }));
        }
        say(&format!("{rows} rows are in {}", self.file.display()))
    }

    /// Writes page after page; gives the number of rows.
    async fn write(&self, session: &Session, out: &mut impl Write) -> anyhow::Result<usize> {
        let path = [session.mode(), "exports", self.kind.word()];
        let (mut rows, mut cursor) = (0, None::<String>);
        loop {
            let mut query = Vec::new();
            query.extend(self.partner.as_deref().map(|partner| ("partner", partner)));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = session.client.send(Method::GET, &path, &query, None).await;
            let page = page.map_err(|error| session.explain(error))?;
            out.write_all(page.text.as_bytes())?;
            rows += page.text.lines().count() - usize::from(cursor.is_none());
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }
}
