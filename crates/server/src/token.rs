//! `simmall token`: the first operator's token, which cannot come over the API.

use clap::{Args, Subcommand, ValueEnum};
use domain::{Role, Timestamp};
use mall::admin::made_offline;
use store::{Options, Store};

use crate::cli::{Database, Sealing, say};
use crate::clock;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token and print it; it cannot be shown again.
    Add(Add),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Whose token it is, for people and the audit log.
    #[arg(long)]
    name: String,
    /// What it may do: read, also do day-to-day work, or also manage tokens.
    #[arg(long)]
    role: RoleWord,
    /// From when on it is no longer taken, such as 2027-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    expires_at: Option<Timestamp>,
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    sealing: Sealing,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleWord {
    Viewer,
    Operator,
    Owner,
}

/// Runs a command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    let Command::Add(add) = command;
    let sealer = add.sealing.sealer()?;
    let options = Options { create: false, connections_max: add.database.database_connections };
    let store = Store::connect(&add.database.database_url, options).await?;
    store.check_schema().await?;
    let role = match add.role {
        RoleWord::Viewer => Role::Viewer,
        RoleWord::Operator => Role::Operator,
        RoleWord::Owner => Role::Owner,
    };
    let ctx = clock::system_ctx();
    let token = (add.name.as_str(), role, add.expires_at);
    let made = made_offline(&store, &ctx, &sealer, token).await?;
    store.close().await;
    say(&made.text.0)
}
