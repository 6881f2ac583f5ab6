//! Packages and plans.

use std::collections::BTreeMap;

use super::record::kinds::FREE;
use super::record::{Kind, records};

/// The most countries of a package.
pub const COUNTRIES_MAX: usize = 250;
/// The most carriers of a route, beside the package's own.
pub const ROUTE_MAX: usize = 5;
/// The most characters of a carrier of a route with its product.
pub const ROUTE_WORD_CHARS_MAX: usize = 200;
/// The most numbers of periods of a plan.
pub const PERIODS_MAX: usize = 100;

/// The units of packages.
pub const UNITS: &[&str] = &["day_pass", "daily", "monthly", "quarterly", "half_yearly", "yearly"];
const UNIT: Kind = Kind::Word(UNITS);
const VOLUME: Kind = Kind::Whole { min: 0, max: i64::MAX };
const COUNTRIES: Kind = Kind::List(&Kind::Text { min: 2, max: 2 }, COUNTRIES_MAX);
const PERIODS: Kind = Kind::List(&Kind::Whole { min: 1, max: 999 }, PERIODS_MAX);

records! {
    /// What the network gives.
    Package {
        /// The code that partners know (`packageCode`).
        code: String = Kind::Code,
        /// The unit of its periods.
        unit: String = UNIT,
        /// Whether a unit is the calendar's month or year instead of 30 or 365 days.
        calendar: bool = Kind::Bool,
        /// The data of one period; unlimited, if left out.
        volume_bytes: Option<i64> = VOLUME,
        /// The region's name.
        area: BTreeMap<String, String> = Kind::Texts,
        /// ISO 3166-1 codes of the countries where it works.
        countries: Vec<String> = COUNTRIES,
        /// The carrier that provides it.
        carrier: String = Kind::Code,
        /// That carrier's own product id.
        carrier_product: String = FREE,
    }
    /// What a package is to be.
    PutPackage {
        /// The unit of its periods.
        unit: String = UNIT,
        /// Whether a unit is the calendar's month or year instead of 30 or 365 days; not, if left
        /// out.
        calendar: Option<bool> = Kind::Bool,
        /// The data of one period; unlimited, if left out.
        volume_bytes: Option<i64> = VOLUME,
        /// The region's name.
        area: BTreeMap<String, String> = Kind::Texts,
        /// ISO 3166-1 codes of the countries where it works.
        countries: Vec<String> = COUNTRIES,
        /// The carrier that provides it.
        carrier: String = Kind::Code,
        /// That carrier's own product id.
        carrier_product: String = FREE,
    }
    /// Which other carriers may provide a package if its own refuses an order for good.
    Route {
        /// Words of `CARRIER:PRODUCT`, in the order in which they are asked.
        route: Vec<String> = Kind::List(&Kind::Text { min: 3, max: ROUTE_WORD_CHARS_MAX }, ROUTE_MAX),
    }
    /// What is sold.
    Plan {
        /// The code that partners know (`servicePlanCode`).
        code: String = Kind::Code,
        /// The id for subscriptions (`plan_id`).
        plan_id: String = Kind::Code,
        /// The package it gives.
        package_code: String = Kind::Code,
        /// Its name.
        name: BTreeMap<String, String> = Kind::Texts,
        /// A sentence about it.
        description: BTreeMap<String, String> = Kind::Texts,
        /// The numbers of periods that can be bought, ascending.
        periods: Vec<u32> = PERIODS,
        /// Whether it may renew by itself.
        renewable: bool = Kind::Bool,
        /// Whether it can be bought.
        on_sale: bool = Kind::Bool,
    }
    /// What a plan is to be.
    PutPlan {
        /// The id for subscriptions (`plan_id`); that of the plan there is, or the code, if left
        /// out.
        plan_id: Option<String> = Kind::Code,
        /// The package it gives.
        package_code: String = Kind::Code,
        /// Its name.
        name: BTreeMap<String, String> = Kind::Texts,
        /// A sentence about it; empty, if left out.
        description: Option<BTreeMap<String, String>> = Kind::Texts,
        /// The numbers of periods that can be bought.
        periods: Vec<u32> = PERIODS,
        /// Whether it may renew by itself; not, if left out.
        renewable: Option<bool> = Kind::Bool,
        /// Whether it can be bought; yes, if left out.
        on_sale: Option<bool> = Kind::Bool,
    }
}
