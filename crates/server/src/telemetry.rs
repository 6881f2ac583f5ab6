//! Logs: to standard error, pretty for people or JSON for programs.

use std::io::IsTerminal;

use anyhow::Context;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Starts logging.
pub(crate) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    // A word alone would be taken for a target, and a misspelt level would silence everything.
    for word in filter.split(',').map(str::trim).filter(|word| !word.contains('=')) {
        word.parse::<LevelFilter>().map_err(|_| {
            anyhow::anyhow!("--log: {word:?} is no level; use error, warn, info, debug or trace")
        })?;
    }
    let filter = EnvFilter::try_new(filter).context("--log")?;
    // Colours are for a terminal; in a file or a journal they are rubbish.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Pretty => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))?;
    // A panic is a line of the log like any other, with the request or job it happened in.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a panic")));
    Ok(())
}
