//! Questions to the engine itself, in the words of each.

use domain::Timestamp;

use crate::engine::{Engine, SQLITE_VERSION_MIN, Tx, fetch_all, fetch_optional};
use crate::error::{Result, StoreError};

/// The oldest PostgreSQL that is supported, as it counts versions.
const POSTGRES_VERSION_MIN: i64 = 150_000;
/// What a sound SQLite database answers.
const SOUND: &str = "ok";

const SQLITE_VERSION: &str = "SELECT sqlite_version()";
const SQLITE_SETTINGS: &str = "
    SELECT 'journal_mode' AS name, journal_mode AS value FROM pragma_journal_mode
    UNION ALL SELECT 'synchronous', CASE synchronous WHEN 0 THEN 'off' WHEN 1 THEN 'normal'
        WHEN 2 THEN 'full' ELSE 'extra' END FROM pragma_synchronous
    UNION ALL SELECT 'foreign_keys', CASE foreign_keys WHEN 1 THEN 'on' ELSE 'off' END
        FROM pragma_foreign_keys";
const SQLITE_BYTES: &str = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
const SQLITE_QUICK_CHECK: &str = "SELECT quick_check FROM pragma_quick_check LIMIT 10";
const SQLITE_INTEGRITY_CHECK: &str = "SELECT integrity_check FROM pragma_integrity_check LIMIT 10";
const SQLITE_FOREIGN_KEY_CHECK: &str = "SELECT COALESCE(\"table\", '') || ', row ' ||
    COALESCE(rowid, '?') || ': its row in ' || COALESCE(parent, '') || ' is not there'
    FROM pragma_foreign_key_check LIMIT 10";

const POSTGRES_VERSION: &str = "SELECT current_setting('server_version'),
    CAST(current_setting('server_version_num') AS BIGINT)";
const POSTGRES_SETTINGS: &str = "SELECT name, setting AS value FROM pg_settings WHERE name IN
    ('fsync', 'synchronous_commit', 'full_page_writes', 'server_encoding', 'data_checksums')
    ORDER BY name";
const POSTGRES_BYTES: &str = "SELECT pg_database_size(current_database())";
const POSTGRES_CLOCK: &str =
    "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";

/// All questions to SQLite.
#[cfg(test)]
pub(crate) const SQLITE: [&str; 6] = [
    SQLITE_VERSION,
    SQLITE_SETTINGS,
    SQLITE_BYTES,
    SQLITE_QUICK_CHECK,
    SQLITE_INTEGRITY_CHECK,
    SQLITE_FOREIGN_KEY_CHECK,
];
/// All questions to PostgreSQL.
#[cfg(test)]
pub(crate) const POSTGRES: [&str; 4] =
    [POSTGRES_VERSION, POSTGRES_SETTINGS, POSTGRES_BYTES, POSTGRES_CLOCK];

/// Which engine answers, and in which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// Its name and version, for people.
    pub text: String,
    /// Whether it is supported.
    pub supported: bool,
    /// The oldest that is, for people.
    pub oldest: &'static str,
}

/// A setting of the engine that decides on what survives a failure.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, in the engine's words.
    pub value: String,
}

impl Tx {
    /// Which engine answers, and in which version.
    pub async fn engine_version(&mut self) -> Result<EngineVersion> {
        match self.engine() {
            Engine::Sqlite => {
                let row = fetch_optional!(self, (String,), SQLITE_VERSION)?;
                let (version,) = row.ok_or_else(silent)?;
                let parts: Vec<u32> =
                    version.split('.').filter_map(|part| part.parse().ok()).collect();
                let supported = parts[..] >= SQLITE_VERSION_MIN[..];
                let text = format!("SQLite {version}");
                Ok(EngineVersion { text, supported, oldest: "SQLite 3.51.3" })
            }
            Engine::Postgres => {
                let row = fetch_optional!(self, (String, i64), POSTGRES_VERSION)?;
                let (version, number) = row.ok_or_else(silent)?;
                let supported = number >= POSTGRES_VERSION_MIN;
                let text = format!("PostgreSQL {version}");
                Ok(EngineVersion { text, supported, oldest: "PostgreSQL 15" })
            }
        }
    }

    /// The settings that decide on what survives a failure, as this connection has them.
    pub async fn engine_settings(&mut self) -> Result<Vec<Setting>> {
        let statement = match self.engine() {
            Engine::Sqlite => SQLITE_SETTINGS,
            Engine::Postgres => POSTGRES_SETTINGS,
        };
        Ok(fetch_all!(self, Setting, statement)?)
    }

    /// How large the database is.
    pub async fn database_bytes(&mut self) -> Result<u64> {
        let statement = match self.engine() {
            Engine::Sqlite => SQLITE_BYTES,
            Engine::Postgres => POSTGRES_BYTES,
        };
        let row = fetch_optional!(self, (i64,), statement)?;
        let (bytes,) = row.ok_or_else(silent)?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// What is broken in the file: nothing, if it is sound. `deep` compares indexes with tables and
    /// looks for rows without their parents besides. Only SQLite can be asked.
    pub async fn file_faults(&mut self, deep: bool) -> Result<Vec<String>> {
        let statement = if deep { SQLITE_INTEGRITY_CHECK } else { SQLITE_QUICK_CHECK };
        let mut faults = fetch_all!(self, (String,), statement)?;
        if deep {
            faults.extend(fetch_all!(self, (String,), SQLITE_FOREIGN_KEY_CHECK)?);
        }
        Ok(faults.into_iter().map(|(fault,)| fault).filter(|fault| fault != SOUND).collect())
    }

    /// What the database's own clock says, if it has one.
    pub async fn database_clock(&mut self) -> Result<Option<Timestamp>> {
        if self.engine() == Engine::Sqlite {
            return Ok(None);
        }
        let row = fetch_optional!(self, (i64,), POSTGRES_CLOCK)?;
        Ok(row.map(|(micros,)| Timestamp::from_micros(micros)))
    }
}

/// A question that every engine answers was not answered.
fn silent() -> StoreError {
    StoreError::Unfit("the database gives no answer about itself".to_owned())
}
