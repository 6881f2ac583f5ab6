//! A fresh, migrated database of its own for each test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use store::{Options, Store};

pub use store::Engine;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A fresh database.
#[derive(Debug)]
pub struct Database {
    /// Its URL.
    pub url: String,
    directory: Option<PathBuf>,
}

impl Database {
    /// Makes a database of the engine, with a current schema.
    pub async fn fresh(engine: Engine) -> Self {
        let database = Self::empty(engine).await;
        let store = database.open().await;
        store.migrate().await.unwrap();
        store.close().await;
        database
    }

    /// Makes an empty database of the engine.
    pub async fn empty(engine: Engine) -> Self {
        let name =
            format!("simmall_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        match engine {
            Engine::Sqlite => {
                let directory = std::env::temp_dir().join(&name);
                // A directory of an earlier process with the same number is worth nothing.
                let _ = std::fs::remove_dir_all(&directory);
                std::fs::create_dir_all(&directory).unwrap();
                let url = format!("sqlite://{}", directory.join("mall.db").display());
                Self { url, directory: Some(directory) }
            }
            Engine::Postgres => {
                let server = std::env::var("TEST_POSTGRES_URL").expect(
                    "TEST_POSTGRES_URL is not set: run scripts/test, \
                     or scripts/with-postgres COMMAND",
                );
                let mut admin = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
                for statement in [
                    format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
                    format!("CREATE DATABASE {name} TEMPLATE template0"),
                ] {
                    admin.execute(AssertSqlSafe(statement)).await.unwrap();
                }
                admin.close().await.unwrap();
                Self { url: format!("{server}/{name}"), directory: None }
            }
        }
    }

    /// A database that is there already, and stays.
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), directory: None }
    }

    /// Runs statements past the mall, as whoever can write to the database may; gives the number of
    /// rows they changed.
    pub async fn execute(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            connection.execute("PRAGMA busy_timeout = 5000").await.unwrap();
            let changed = connection.execute(sql).await.unwrap().rows_affected();
            connection.close().await.unwrap();
            changed
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let changed = connection.execute(sql).await.unwrap().rows_affected();
            connection.close().await.unwrap();
            changed
        }
    }

    /// Opens it.
    pub async fn open(&self) -> Store {
        let options = Options { create: true, connections_max: 12 };
        Store::connect(&self.url, options).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // PostgreSQL's databases go with the throwaway server.
        if let Some(directory) = &self.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}
