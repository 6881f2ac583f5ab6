//! The file in which a double keeps what was asked of it, a line of JSON each, to play it again at its next start.
//! Touches that file.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use ::stripe_double::{Double, Request};
use anyhow::Context;
use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct StateFile {
    file: File,
}

impl StateFile {
    /// Opens or makes a file, and plays to a new double what it holds. The end of a line that was being
    /// written when the process died is cut off: nobody has had an answer to it.
    pub(super) fn open(path: &Path, double: &mut Double) -> anyhow::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut lines = BufReader::new(&file);
        let (mut whole_bytes, mut number) = (0_u64, 0_u64);
        let mut line = String::new();
        loop {
            line.clear();
            lines.read_line(&mut line).context("it is no text")?;
            if !line.ends_with('\n') {
                break;
            }
            number += 1;
            play(&line, double).with_context(|| format!("line {number}"))?;
            whole_bytes += u64::try_from(line.len())?;
        }
        drop(lines);
        file.set_len(whole_bytes)?;
        file.sync_all()?;
        let mut file = file;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file })
    }

    /// Keeps a request. It is on the disk when this returns.
    pub(super) fn keep_request(&mut self, now: i64, request: &Request) -> anyhow::Result<()> {
        self.write(&json!({"at": now, "request": request.to_json()}))?;
        self.file.sync_data().context("cannot write the state")
    }

    /// Keeps what came of a webhook. It may be lost, and then the webhook goes out again.
    pub(super) fn keep_delivery(
        &mut self,
        now: i64,
        id: u64,
        is_taken: bool,
    ) -> anyhow::Result<()> {
        self.write(&json!({"at": now, "delivery": id, "taken": is_taken}))
    }

    fn write(&mut self, entry: &Value) -> anyhow::Result<()> {
        self.file.write_all(format!("{entry}\n").as_bytes()).context("cannot write the state")
    }
}

fn play(line: &str, double: &mut Double) -> anyhow::Result<()> {
    let entry: Value = serde_json::from_str(line)?;
    let at = entry["at"].as_i64().context("`at` is missing")?;
    if let Some(id) = entry["delivery"].as_u64() {
        double.delivered(at, id, entry["taken"] == true);
        return Ok(());
    }
    let request = Request::from_json(&entry["request"]).context("`request` is missing")?;
    double.answer(at, &request);
    Ok(())
}
