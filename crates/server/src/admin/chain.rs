//! The audit log: what it says, where its chain ends, and whether it is as it was written.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use sdk::admin::Method;
use serde_json::{Value, json};

use super::{Call, Paging, Session};
use crate::cli::say;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List what operators changed in both modes, the newest first.
    List {
        /// Only what was done with this token.
        #[arg(long, value_name = "TOKEN_ID")]
        token: Option<String>,
        /// Only this action, such as partner.add or import.applied.
        #[arg(long)]
        action: Option<String>,
        /// Only what was done to this object, such as partners/P000270.
        #[arg(long)]
        object: Option<String>,
        /// Only what was done from this time on, such as 2027-01-01T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Only what was done before this time.
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Print where the chain ends, as JSON, to be kept in a file elsewhere.
    Head,
    /// Verify the whole log; ends with status 1 if anything in it was changed.
    Verify {
        /// A file with a head that was printed earlier, so that a log that was cut off is found too.
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
    },
}

impl AuditCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::List { token, action, object, from, to, paging } => {
                let columns = &["at", "token_name", "action", "mode", "object", "request_id"];
                let call = Call::get(["audit"]).only("token_id", token).only("action", action);
                let call = call.only("object", object).only("from", from).only("to", to);
                session.run(call.list(columns, paging)).await
            }
            Self::Head => {
                let head = session.ask(&Call::get(["audit", "head"])).await?;
                say(&serde_json::to_string_pretty(&head)?)
            }
            Self::Verify { head } => verify(session, head).await,
        }
    }
}

async fn verify(session: &Session, file: Option<PathBuf>) -> anyhow::Result<()> {
    let mut body = json!({});
    if let Some(file) = file {
        let named = || format!("the head in {}", file.display());
        let text = std::fs::read_to_string(&file).with_context(named)?;
        let head: Value = serde_json::from_str(&text).with_context(named)?;
        body = json!({ "head": { "sequence": head["sequence"], "mac": head["mac"] } });
    }
    let call = Call::new(Method::POST, ["audit", "verify"]).with(body);
    let verdict = session.ask(&call).await?;
    if session.json {
        session.print(&verdict)?;
    }
    let detail = verdict["detail"].as_str().unwrap_or_default();
    match (verdict["intact"].as_bool(), &verdict["first_bad"]) {
        (Some(true), _) if session.json => Ok(()),
        (Some(true), _) => say(&format!("{} entries: {detail}", verdict["count"])),
        (_, Value::Null) => anyhow::bail!("the audit log does not hold: {detail}"),
        (_, place) => anyhow::bail!("the audit log does not hold at entry {place}: {detail}"),
    }
}
