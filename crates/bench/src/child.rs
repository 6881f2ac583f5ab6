//! The mall under test: this program itself, started once more as `simmall serve`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use domain::Ctx;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::Kind;
use crate::data::{Database, SEALING_KEY};
use crate::load::{self, Load};

/// The word that makes this program the mall.
pub(crate) const SERVE: &str = "__simmall";

/// A mall in a process of its own.
#[derive(Debug)]
pub(crate) struct Mall {
    process: Child,
    pub(crate) address: String,
    /// Where its admin API listens.
    pub(crate) admin: String,
    /// From the start of the process to its first good answer.
    pub(crate) cold_start: Duration,
    /// Resident memory once it stands, in bytes.
    pub(crate) bytes_at_rest: u64,
}

impl Mall {
    /// Starts a mall on a database, with more settings, and waits for its first good answer.
    pub(crate) async fn start_with(
        ctx: &Ctx,
        database: &Database,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut process = Command::new(std::env::current_exe()?)
            .args([SERVE, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log", "warn"])
            // The limit is counted, as it is in life, and not met: one partner sends all of it.
            .args(["--rate-limit-partner", "1000000"])
            .args(["--database-url", &database.url, "--database-connections", "24"])
            .args(arguments)
            .env("SIMMALL_SEALING_KEY", SEALING_KEY.map(|byte| format!("{byte:02x}")).concat())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("the mall has an output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut admin = String::new();
        let address = loop {
            let Some(line) = lines.next_line().await? else { bail!("the mall did not start") };
            if let Some(line) = line.strip_prefix("admin API on http://") {
                line.split('/').next().unwrap_or_default().clone_into(&mut admin);
            }
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.to_owned();
            }
        };
        // Whatever it says later is read, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let load = Load {
            kind: Kind::Verify,
            address: address.clone(),
            database: database.clone(),
            clients: 1,
            run: 0,
            token: String::new(),
        };
        let mut connection = load::connect(&address).await?;
        load::ask(ctx, &load, Kind::Verify, 0, &mut connection).await?;
        let cold_start = began.elapsed();
        let mut mall = Self { process, address, admin, cold_start, bytes_at_rest: 0 };
        tokio::time::sleep(Duration::from_millis(300)).await;
        mall.bytes_at_rest = mall.bytes();
        Ok(mall)
    }

    /// Resident memory, in bytes; 0 where the system does not tell.
    pub(crate) fn bytes(&self) -> u64 {
        resident(self.process.id().unwrap_or(0))
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id().unwrap_or(0)
    }

    /// Ends it as an operator would.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().await?;
        self.process.wait().await?;
        Ok(())
    }
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
