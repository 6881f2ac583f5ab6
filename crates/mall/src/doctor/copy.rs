//! Whether a copy of a database can be served.

use std::cmp::Ordering;

use store::{Sealer, StoreError, Tx};

use super::{Finding, books, integrity, sealing_key};

/// How a copy's schema stands to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// It is no simmall database.
    None,
    /// It must be migrated before it is served.
    Older(i64),
    /// It can be served.
    Current(i64),
    /// A newer program made it.
    Newer(i64),
}

/// What was found in a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyReport {
    /// How its schema stands to this program.
    pub schema: Schema,
    /// Whether the file itself is sound.
    pub integrity: Finding,
    /// Whether the sealing key opens its keys, if one was given.
    pub sealing_key: Option<Finding>,
    /// Whether orders and books agree; not looked at in another schema than this program's.
    pub books: Vec<Finding>,
}

/// Reads a copy whole.
pub async fn examine_copy(tx: &mut Tx, sealer: Option<&Sealer>) -> Result<CopyReport, StoreError> {
    let integrity = integrity(tx, true).await?;
    let known = store::schema_known();
    let schema = match tx.schema_version().await? {
        0 => Schema::None,
        version => match version.cmp(&known) {
            Ordering::Less => Schema::Older(version),
            Ordering::Equal => Schema::Current(version),
            Ordering::Greater => Schema::Newer(version),
        },
    };
    let mut report = CopyReport { schema, integrity, sealing_key: None, books: Vec::new() };
    if let (Some(sealer), Schema::Older(_) | Schema::Current(_)) = (sealer, schema) {
        report.sealing_key = Some(sealing_key(tx, sealer).await?);
    }
    if let Schema::Current(_) = schema {
        report.books = vec![
            books::orders(&tx.order_faults().await?),
            books::ledger(&tx.ledger_faults().await?),
        ];
    }
    Ok(report)
}
