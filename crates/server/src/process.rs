//! Figures of the process itself, under the names that all exporters of Prometheus use: memory, open files,
//! and what became of log lines. Read from `/proc` when somebody looks; elsewhere there are none.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tracing_appender::non_blocking::ErrorCounter;

/// Memory and open files.
#[derive(Debug)]
pub(crate) struct Process;

/// Log lines.
#[derive(Debug)]
pub(crate) struct LogLines(pub(crate) ErrorCounter);

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let figures = [
            ("process_resident_memory_bytes", "Memory in use", resident_bytes()),
            ("process_open_fds", "Open files and connections", open_files()),
        ];
        for (name, help, figure) in figures {
            if let Some(figure) = figure {
                let gauge = ConstGauge::new(figure);
                let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
                gauge.encode(metric)?;
            }
        }
        Ok(())
    }
}

impl Collector for LogLines {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let dropped = u64::try_from(self.0.dropped_lines()).unwrap_or(u64::MAX);
        let (name, counter) = ("simmall_log_lines_dropped", ConstCounter::new(dropped));
        let help = "Log lines dropped because too many waited to be written";
        let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
        counter.encode(metric)
    }
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

fn open_files() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}
