//! `simmall doctor`: looks at a mall and its machine, and prints one line per check.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use carriers::Behaviour;
use clap::builder::BoolishValueParser;
use mall::doctor::{FileMode, Finding, Patient, Space, Verdict};
use store::{Options, Store};

use crate::cli::{Database, Networks, Sealing, say};
use crate::{carriers_file, clock};

/// Connections that the looks take.
const CONNECTIONS_MAX: u32 = 2;

/// What to look at, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    sealing: Sealing,
    #[command(flatten)]
    networks: Networks,
    /// Read a SQLite database whole, however large: integrity and foreign keys.
    #[arg(long, env = "SIMMALL_DEEP", value_parser = BoolishValueParser::new())]
    deep: bool,
    /// Print one JSON object instead of lines.
    #[arg(long, env = "SIMMALL_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Looks, prints, and fails if anything is broken.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let findings = examine(&args).await?;
    let broken = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    if args.json {
        let object = serde_json::json!({ "healthy": !broken, "checks": findings });
        say(&serde_json::to_string_pretty(&object)?)?;
    } else {
        for finding in &findings {
            say(&line(finding))?;
        }
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A finding on one line, whatever is in its texts.
pub(crate) fn line(finding: &Finding) -> String {
    let Finding { verdict, name, detail, advice } = finding;
    let verdict = verdict.as_str();
    let advice = if advice.is_empty() { String::new() } else { format!(" ({advice})") };
    format!("{verdict:<5} {name:<18} {detail}{advice}").replace(['\n', '\r'], " ")
}

async fn examine(args: &Args) -> anyhow::Result<Vec<Finding>> {
    let ctx = clock::system_ctx();
    let url = &args.database.database_url;
    let file = store::sqlite_file(url)?;
    let sealer = args.sealing.sealer_if_given();
    let options = Options { create: false, connections_max: CONNECTIONS_MAX };
    let (store, mut findings) = match Store::connect(url, options).await {
        Ok(store) => {
            let sealer = sealer.as_ref().ok().and_then(Option::as_ref);
            let patient = Patient { store: &store, ctx: &ctx, sealer };
            let findings = mall::doctor::examine(&patient, args.deep).await;
            (Some(store), findings)
        }
        Err(error) => (None, mall::doctor::unreachable(&error)),
    };
    if let Err(error) = &sealer {
        findings.retain(|finding| finding.name != "sealing key");
        findings.push(Finding::fail("sealing key", format!("{error:#}")));
    }
    findings.extend(args.sealing.sealing_key_file.as_deref().and_then(look_at_key_file));
    findings.extend(look_at_machine(file.as_deref()));
    let mut carriers = carriers_file::built_in(&ctx, Behaviour::Accept);
    let opener = sealer.as_ref().ok().and_then(Option::as_ref);
    match args.networks.read(&ctx, opener) {
        Ok(read) => carriers.extend(read),
        Err(error) => findings.push(Finding::fail("carriers", format!("{error:#}"))),
    }
    match mall::doctor::examine_carriers(store.as_ref(), &carriers).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::fail("carriers", error.to_string())),
    }
    match args.networks.read_cashiers(opener) {
        Ok(cashiers) => findings.extend(mall::doctor::examine_cashiers(&cashiers).await),
        Err(error) => findings.push(Finding::fail("cashiers", format!("{error:#}"))),
    }
    if let Some(store) = store {
        store.close().await;
    }
    Ok(findings)
}

/// The key's file, unless it cannot be read: that has been told with the key.
fn look_at_key_file(file: &Path) -> Option<Finding> {
    permissions(file).ok().map(mall::doctor::key_file)
}

/// The file of a SQLite database, and its disk.
fn look_at_machine(file: Option<&Path>) -> Vec<Finding> {
    let names = ["database file", "disk space"];
    let Some(file) = file else {
        let why = "the database is on a server of its own: watch its disk there";
        return names.map(|name| Finding::skip(name, why)).to_vec();
    };
    let [file_name, disk_name] = names;
    let told = |name: &str, error: std::io::Error| {
        Finding::fail(name, format!("{}: {error}", file.display()))
    };
    let mode = permissions(file).map(mall::doctor::database_file);
    let space = space(directory_of(file)).map(mall::doctor::disk_space);
    vec![
        mode.unwrap_or_else(|error| told(file_name, error)),
        space.unwrap_or_else(|error| told(disk_name, error)),
    ]
}

/// The directory of a file that may be named without one.
pub(crate) fn directory_of(file: &Path) -> &Path {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}

fn permissions(file: &Path) -> std::io::Result<FileMode> {
    let mode = |path: &Path| path.metadata().map(|metadata| metadata.permissions().mode());
    Ok(FileMode { file: mode(file)?, directory: mode(directory_of(file))? })
}

fn space(directory: &Path) -> std::io::Result<Space> {
    let disk = rustix::fs::statvfs(directory)?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Ok(Space { free: bytes(disk.f_bavail), total: bytes(disk.f_blocks) })
}
