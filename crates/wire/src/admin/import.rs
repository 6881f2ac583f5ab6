//! Imports and exports: what is asked and answered, and the columns of each kind of file.

use super::catalogue::UNITS;
use super::record::kinds::{COUNT, FREE};
use super::record::{Field, Kind, records};

/// The most bytes of a part.
pub const PART_BYTES_MAX: usize = 1024 * 1024;
/// The most bytes of a line.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// The most parts of an import.
pub const PARTS_MAX: i64 = 1_000;
/// The most SIMs of an import.
pub const SIMS_MAX: i64 = 5_000_000;
/// The most packages, plans or prices of an import.
pub const ROWS_MAX: i64 = 250_000;
/// The most errors that an import keeps.
pub const ERRORS_MAX: i64 = 100;
/// The most lines of a page of an export.
pub const EXPORT_ROWS_MAX: i64 = 10_000;
/// The header of an export's answer that carries the cursor of the next page.
pub const NEXT_CURSOR_HEADER: &str = "x-next-cursor";
/// The media type of parts and exports.
pub const CSV: &str = "text/csv";
/// The word for a package without a limit on its data.
pub const UNLIMITED: &str = "unlimited";

/// The kinds of files, in the order in which an empty mall needs them.
pub const KINDS: &[&str] = &["packages", "plans", "prices", "sims"];
/// The states of imports.
pub const STATES: &[&str] = &["staging", "validating", "invalid", "checked", "applying", "applied"];

const KIND: Kind = Kind::Word(KINDS);
const SIM_STATE: Kind = Kind::Word(&["ready", "suspended", "expired", "terminated"]);
const PRICE_KIND: Kind = Kind::Word(&["sale", "settlement"]);
const TEXT: Kind = Kind::Text { min: 0, max: 500 };
const FILE_NAME: Kind = Kind::Text { min: 1, max: 256 };

const fn column(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: true, doc }
}

/// A column that a file may lack: what the mall has then stays as it is.
const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: false, doc }
}

/// The columns of SIMs.
pub const SIM_COLUMNS: &[Field] = &[
    column("iccid", Kind::Iccid, "The number on the card: 18 to 22 digits. Unique in the mode"),
    column("carrier", Kind::Code, "The carrier it belongs to"),
    column("state", SIM_STATE, "`ready`, `suspended`, `expired` or `terminated`"),
];

/// The columns of packages.
pub const PACKAGE_COLUMNS: &[Field] = &[
    column("code", Kind::Code, "The code that partners know. Unique in the mode"),
    column(
        "unit",
        Kind::Word(UNITS),
        "The unit of its periods: `day_pass`, `daily`, `monthly`, \
        `quarterly`, `half_yearly` or `yearly`",
    ),
    column(
        "calendar",
        Kind::Bool,
        "`true` if a unit is the calendar's month or year, `false` if \
        it is 30 or 365 days",
    ),
    column(
        "volume_bytes",
        Kind::Whole { min: 0, max: i64::MAX },
        "The bytes of one period, or \
        `unlimited`",
    ),
    column(
        "area_en",
        TEXT,
        "The region's name in English; may be empty where the Chinese one is not",
    ),
    column(
        "area_zh",
        TEXT,
        "The region's name in Chinese; may be empty where the English one is not",
    ),
    column("countries", FREE, "ISO 3166-1 codes with a space between: `AT BE CH`"),
    column("carrier", Kind::Code, "The carrier that provides it"),
    column("carrier_product", FREE, "That carrier's own product id"),
    optional(
        "route",
        FREE,
        "Which other carriers are asked where that one refuses for good, in their order: \
        `CARRIER:PRODUCT` with a space between. May be empty, and the column may be missing: then \
        the route stays as it is",
    ),
];

/// The columns of plans.
pub const PLAN_COLUMNS: &[Field] = &[
    column("code", Kind::Code, "The code that partners know. Unique in the mode"),
    column("plan_id", Kind::Code, "The id for subscriptions. Unique in the mode"),
    column("package_code", Kind::Code, "The package it gives"),
    column("name_en", TEXT, "Its name in English; may be empty where the Chinese one is not"),
    column("name_zh", TEXT, "Its name in Chinese; may be empty where the English one is not"),
    column("description_en", TEXT, "A sentence about it in English; may be empty"),
    column("description_zh", TEXT, "A sentence about it in Chinese; may be empty"),
    column(
        "periods",
        FREE,
        "The numbers of periods that can be bought, 1 to 999, with a space \
        between: `1 3 5`",
    ),
    column("renewable", Kind::Bool, "`true` if it may renew by itself, else `false`"),
    column("on_sale", Kind::Bool, "`true` if it can be bought, else `false`"),
];

/// The columns of prices.
pub const PRICE_COLUMNS: &[Field] = &[
    column("partner", Kind::Code, "The partner's code"),
    column("plan", Kind::Code, "The plan's code"),
    column(
        "kind",
        PRICE_KIND,
        "`sale`: the end user pays it. `settlement`: the partner owes it \
        to the operator",
    ),
    column(
        "currency",
        Kind::Currency,
        "ISO 4217, upper case; for a settlement the partner's settlement currency",
    ),
    column("amount", Kind::Amount, "For one period, in major units: `12.36`"),
    column("valid_from", Kind::Time, "From when it is in force: `2026-11-22T08:00:00Z`"),
    column("valid_to", Kind::Time, "When it is no longer in force; never, if empty"),
];

/// The columns of a kind of file, in the order in which exports have them.
pub fn columns(kind: &str) -> Option<&'static [Field]> {
    match kind {
        "sims" => Some(SIM_COLUMNS),
        "packages" => Some(PACKAGE_COLUMNS),
        "plans" => Some(PLAN_COLUMNS),
        "prices" => Some(PRICE_COLUMNS),
        _ => None,
    }
}

records! {
    /// An import to be made, or to be gone on with: one of the same file that is not applied yet is
    /// answered instead of a new one.
    NewImport {
        /// What the file holds.
        kind: String = KIND,
        /// Whose SIMs they are; for SIMs only.
        partner: Option<String> = Kind::Code,
        /// The file's name, for people.
        file_name: String = FILE_NAME,
        /// The SHA-256 of the file. With it an upload can be resumed, and what was staged is compared
        /// with it.
        sha256: Option<String> = Kind::Hex(64),
    }
    /// What is wrong at a place in a file.
    LineError {
        /// The line's number, from 1: the header's.
        line: i64 = COUNT,
        /// The column's name; empty where it is about the whole line.
        column: String = FREE,
        /// What is wrong, and what to do.
        detail: String = FREE,
    }
    /// An import.
    Import {
        /// Our id.
        import_id: String = Kind::Id("imp"),
        /// What the file holds.
        kind: String = KIND,
        /// Whose SIMs they are.
        partner: Option<String> = Kind::Code,
        /// The file's name.
        file_name: String = FILE_NAME,
        /// The SHA-256 of the file, once it is known.
        sha256: Option<String> = Kind::Hex(64),
        /// `staging`: parts are taken. `validating`, `applying`: the mall works on it. `invalid`: it has
        /// errors, and nothing was written. `checked`: a dry run found no error. `applied`: done.
        state: String = Kind::Word(STATES),
        /// Whether it ends after validation.
        dry_run: bool = Kind::Bool,
        /// How many parts are staged. The next one's number is one more.
        parts: i64 = COUNT,
        /// How many bytes are staged: where an interrupted upload goes on.
        bytes: i64 = COUNT,
        /// How many lines are staged, the header's among them.
        lines: i64 = COUNT,
        /// How many rows are staged.
        rows: i64 = COUNT,
        /// How many rows are validated or applied, whichever goes on or was last.
        rows_done: i64 = COUNT,
        /// How many rows are, or would be, new.
        new: i64 = COUNT,
        /// How many rows are, or would be, changed.
        changed: i64 = COUNT,
        /// How many rows are as they were.
        unchanged: i64 = COUNT,
        /// How many rows became impossible while the import ran; `errors` says why.
        skipped: i64 = COUNT,
        /// How many errors were found until it was given up.
        error_count: i64 = COUNT,
        /// The first of them.
        errors: Vec<LineError> = Kind::List(&Kind::Record(&LineError::RECORD), 100),
        /// When it was made.
        created_at: String = Kind::Time,
        /// When something last happened to it.
        updated_at: String = Kind::Time,
    }
    /// A part that was staged, or was staged already.
    ImportPart {
        /// Its number.
        part: i64 = COUNT,
        /// How many parts are staged.
        parts: i64 = COUNT,
        /// How many bytes are staged.
        bytes: i64 = COUNT,
        /// How many rows are staged.
        rows: i64 = COUNT,
        /// How many errors the import has so far. With any it cannot be applied.
        error_count: i64 = COUNT,
        /// Those of this part.
        errors: Vec<LineError> = Kind::List(&Kind::Record(&LineError::RECORD), 100),
    }
}
