//! Migrations: embedded, numbered, expand-and-contract only.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::engine::{Pools, Store, Tx, fetch_all, statements};
use crate::error::{Result, StoreError};

/// Number, name and text of each migration, in order. A released one never changes.
const MIGRATIONS: [(i64, &str, &str); 17] = [
    (1, "mall", include_str!("../migrations/0001_mall.sql")),
    (2, "admin", include_str!("../migrations/0002_admin.sql")),
    (3, "imports", include_str!("../migrations/0003_imports.sql")),
    (4, "request log", include_str!("../migrations/0004_request_log.sql")),
    (5, "attempts", include_str!("../migrations/0005_attempts.sql")),
    (6, "sim reports", include_str!("../migrations/0006_sim_reports.sql")),
    (7, "carrier sims", include_str!("../migrations/0007_carrier_sims.sql")),
    (8, "new orders", include_str!("../migrations/0008_new_orders.sql")),
    (9, "cashier", include_str!("../migrations/0009_cashier.sql")),
    (10, "ledger", include_str!("../migrations/0010_ledger.sql")),
    (11, "renewals", include_str!("../migrations/0011_renewals.sql")),
    (12, "clocks", include_str!("../migrations/0012_clocks.sql")),
    (13, "pushes", include_str!("../migrations/0013_pushes.sql")),
    (14, "groups", include_str!("../migrations/0014_groups.sql")),
    (15, "group parts", include_str!("../migrations/0015_group_parts.sql")),
    (16, "group part jobs", include_str!("../migrations/0016_group_part_jobs.sql")),
    (17, "last tries", include_str!("../migrations/0017_last_tries.sql")),
];

statements! {
    APPLIED = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version DESC";
}

#[derive(sqlx::FromRow)]
struct Applied {
    version: i64,
}

impl Store {
    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<()> {
        let migrations = MIGRATIONS.map(|(version, name, sql)| {
            let sql = SqlStr::from_static(sql);
            Migration::new(version, name.into(), MigrationType::Simple, sql, false)
        });
        let mut migrator = Migrator::with_migrations(migrations.into());
        // The lock of sqlx is PostgreSQL's advisory one, which engines of its kind do not all have.
        // Two runs at once are harmless without it: one of them fails on the migration's own rows.
        migrator.set_locking(false);
        let done = match &self.0 {
            Pools::Sqlite { writer, .. } => migrator.run(writer).await,
            Pools::Postgres(pool) => migrator.run(pool).await,
        };
        done.map_err(|error| StoreError::Unfit(format!("the migration failed: {error}")))
    }

    /// Refuses a schema that is older or newer than this program knows.
    pub async fn check_schema(&self) -> Result<()> {
        let newest = schema_known();
        match self.read().await?.schema_version().await? {
            version if version == newest => Ok(()),
            version if version < newest => Err(StoreError::Unfit(format!(
                "the schema is at version {version}, this program needs {newest}: run `simmall migrate`"
            ))),
            version => Err(StoreError::Unfit(format!(
                "the schema is at version {version}, this program knows {newest} only: use a newer simmall"
            ))),
        }
    }
}

/// The version of the schema that this program needs.
pub fn schema_known() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

impl Tx {
    /// The version of the schema; 0 where it was never migrated.
    pub async fn schema_version(&mut self) -> Result<i64> {
        let applied = match fetch_all!(self, Applied, APPLIED) {
            // A database without the table has never been migrated.
            Err(sqlx::Error::Database(error)) if names_no_table(&*error) => Vec::new(),
            answer => answer?,
        };
        Ok(applied.first().map_or(0, |row| row.version))
    }
}

/// Whether an error says that a table is not there.
fn names_no_table(error: &dyn sqlx::error::DatabaseError) -> bool {
    let undefined_table = error.code().is_some_and(|code| code == "42P01");
    undefined_table || error.message().starts_with("no such table")
}
