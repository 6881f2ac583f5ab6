//! Logs: to standard error, pretty for people or JSON for programs.
//!
//! A thread of its own writes them, so that a reader of the log who is slow holds up no request. Where
//! too many lines wait they are dropped and counted: a log must not stop sales.

use std::io::{BufWriter, IsTerminal};

use anyhow::Context;
use clap::ValueEnum;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// The most lines that wait to be written; some hundred bytes each.
const LINES_MAX: usize = 32_768;
/// How many bytes are written at once where many lines wait.
const WRITE_BYTES: usize = 64 * 1024;

/// Whatever takes spans and events.
pub(crate) type AnyLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Logging that was started. When it goes, all that waits is written.
#[must_use]
pub(crate) struct Telemetry {
    /// How many lines were dropped.
    pub(crate) dropped: ErrorCounter,
    /// Goes before the log does.
    #[cfg(feature = "otel")]
    #[expect(dead_code, reason = "kept for what it does when it goes")]
    export: Option<crate::otel::Export>,
    _lines: WorkerGuard,
}

/// Starts logging.
pub(crate) fn start(filter: &str, format: LogFormat) -> anyhow::Result<Telemetry> {
    // A word alone would be taken for a target, and a misspelt level would silence everything.
    for word in filter.split(',').map(str::trim).filter(|word| !word.contains('=')) {
        word.parse::<LevelFilter>().map_err(|_| {
            anyhow::anyhow!("--log: {word:?} is no level; use error, warn, info, debug or trace")
        })?;
    }
    let filter = EnvFilter::try_new(filter).context("--log")?;
    // Colours are for a terminal; in a file or a journal they are rubbish.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (lines, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(BufWriter::with_capacity(WRITE_BYTES, std::io::stderr()));
    let dropped = lines.error_counter();
    let layer = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(lines);
    let layer: AnyLayer = match format {
        LogFormat::Pretty => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer.json().with_filter(filter).boxed(),
    };
    #[cfg_attr(not(feature = "otel"), expect(unused_mut, reason = "there is one layer only"))]
    let mut layers = vec![layer];
    #[cfg(feature = "otel")]
    let export = crate::otel::start()?.map(|(export, layer)| {
        layers.push(layer);
        export
    });
    let started = tracing_subscriber::registry().with(layers).try_init();
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))?;
    // A panic is a line of the log like any other, with the request or job it happened in.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a panic")));
    Ok(Telemetry {
        dropped,
        #[cfg(feature = "otel")]
        export,
        _lines: guard,
    })
}
