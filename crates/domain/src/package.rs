//! What the network gives: how long a unit of it lasts and how much data it carries.

use std::str::FromStr;

use crate::UnknownWord;
use crate::locale::LocalizedText;
use crate::time::{Span, Timestamp, Zone};

/// The unit in which a package is sold (`packageType` on the wire).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackageType {
    /// `0`: a day pass.
    DayPass,
    /// `1`: daily.
    Daily,
    /// `2`: monthly.
    Monthly,
    /// `3`: quarterly.
    Quarterly,
    /// `4`: half-yearly.
    HalfYearly,
    /// `5`: yearly.
    Yearly,
}

impl PackageType {
    /// All types in the order of their codes.
    pub const ALL: [Self; 6] = [
        Self::DayPass,
        Self::Daily,
        Self::Monthly,
        Self::Quarterly,
        Self::HalfYearly,
        Self::Yearly,
    ];

    /// The code on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::DayPass => "0",
            Self::Daily => "1",
            Self::Monthly => "2",
            Self::Quarterly => "3",
            Self::HalfYearly => "4",
            Self::Yearly => "5",
        }
    }

    /// The word in settings and tables of people.
    pub fn word(self) -> &'static str {
        match self {
            Self::DayPass => "day_pass",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
            Self::Quarterly => "quarterly",
            Self::HalfYearly => "half_yearly",
            Self::Yearly => "yearly",
        }
    }

    /// The type of a word.
    pub fn from_word(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::word, text, "unit")
    }

    /// The days of one unit where the package does not follow the calendar.
    pub fn days(self) -> u32 {
        match self {
            Self::DayPass | Self::Daily => 1,
            Self::Monthly => 30,
            Self::Quarterly => 90,
            Self::HalfYearly => 180,
            Self::Yearly => 365,
        }
    }

    /// The calendar months of one unit; `None` for units of days.
    fn calendar_months(self) -> Option<u32> {
        match self {
            Self::DayPass | Self::Daily => None,
            Self::Monthly => Some(1),
            Self::Quarterly => Some(3),
            Self::HalfYearly => Some(6),
            Self::Yearly => Some(12),
        }
    }
}

impl FromStr for PackageType {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        UnknownWord::or_find(&Self::ALL, Self::code, text, "package type")
    }
}

/// How long a bought plan runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanLength {
    /// The unit.
    pub unit: PackageType,
    /// How many units, from 1.
    pub periods: u32,
    /// Whether a unit is the calendar's month or year in the partner's zone instead of 30 or 365 days.
    pub calendar: bool,
}

impl PlanLength {
    /// Whether plans of both lengths are counted in the same units of the calendar, so that one goes on with the
    /// other's count.
    pub fn counts_like(self, other: Self) -> bool {
        let months = |length: Self| length.unit.calendar_months().is_some();
        self.calendar && other.calendar && months(self) == months(other)
    }

    /// When a plan that starts at `start` ends, if it goes on with a row of plans whose first one began at `first`:
    /// counted from there, so that the 31st of January is followed by the 28th of February and the 31st of March.
    /// `None` where it does not go on with that row: it starts more than `late_max` after one of its ends.
    pub fn end_in_row(
        self,
        (first, start): (Timestamp, Timestamp),
        late_max: Span,
        zone: &Zone,
    ) -> Option<Timestamp> {
        let goes_on = |at: Timestamp| at <= start && start.since(at) <= late_max;
        match (self.calendar, self.unit.calendar_months()) {
            (true, Some(months)) => {
                let before = start.calendar_months_since(first, zone);
                let all = before.saturating_add(months.saturating_mul(self.periods));
                goes_on(first.plus_calendar_months(before, zone))
                    .then(|| first.plus_calendar_months(all, zone))
            }
            (true, None) => {
                let before = start.whole_calendar_days_since(first, zone);
                let all = before.saturating_add(self.unit.days().saturating_mul(self.periods));
                goes_on(first.plus_calendar_days(before, zone))
                    .then(|| first.plus_calendar_days(all, zone))
            }
            (false, _) => None,
        }
    }

    /// As many of these lengths, one after another.
    pub fn times(self, count: u32) -> Self {
        Self { periods: self.periods.saturating_mul(count), ..self }
    }

    /// When a plan that starts at `start` ends.
    pub fn end(self, start: Timestamp, zone: &Zone) -> Timestamp {
        match (self.calendar, self.unit.calendar_months()) {
            (true, Some(months)) => {
                start.plus_calendar_months(months.saturating_mul(self.periods), zone)
            }
            (true, None) => {
                start.plus_calendar_days(self.unit.days().saturating_mul(self.periods), zone)
            }
            (false, _) => start + Span::days(i64::from(self.unit.days()) * i64::from(self.periods)),
        }
    }
}

/// How much data one period of a package carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// So many bytes.
    Bytes(u64),
    /// No limit; `-1` on the wire.
    Unlimited,
}

/// What the network gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// The code that partners know (`packageCode`).
    pub code: String,
    /// The unit of its periods.
    pub kind: PackageType,
    /// Whether its months are the calendar's.
    pub calendar: bool,
    /// The data of one period.
    pub volume: Volume,
    /// The region's name per language.
    pub area: LocalizedText,
    /// ISO 3166-1 codes of the countries where it works.
    pub countries: Vec<String>,
    /// The carrier that provides it.
    pub carrier: String,
    /// That carrier's own product id.
    pub carrier_product: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Zone::UTC.parse_date_time(text).unwrap()
    }

    #[test]
    fn a_month_is_thirty_days_unless_the_package_says_calendar() {
        let fixed = PlanLength { unit: PackageType::Monthly, periods: 2, calendar: false };
        assert_eq!(fixed.end(at("2024-01-31 00:00:00"), &Zone::UTC), at("2024-03-31 00:00:00"));
        let calendar = PlanLength { periods: 1, calendar: true, ..fixed };
        assert_eq!(calendar.end(at("2024-01-31 00:00:00"), &Zone::UTC), at("2024-02-29 00:00:00"));
        let year = PlanLength { unit: PackageType::Yearly, ..calendar };
        assert_eq!(year.end(at("2024-02-29 00:00:00"), &Zone::UTC), at("2025-02-28 00:00:00"));
    }

    proptest! {
        #[test]
        fn a_plan_ends_after_it_starts(
            days in 0..40_000_i64, unit in 0_usize..6, periods in 1_u32..100, calendar: bool,
        ) {
            let start = Timestamp::from_micros(0) + Span::days(days);
            let length = PlanLength { unit: PackageType::ALL[unit], periods, calendar };
            let end = length.end(start, &Zone::UTC);
            prop_assert!(end > start);
            // A calendar unit differs from the fixed one by at most 5 days a quarter-year.
            let fixed = i64::from(length.unit.days() * periods);
            let real = end.since(start).whole_days();
            prop_assert!((real - fixed).abs() <= fixed / 30 * 2 + 2, "{real} {fixed}");
        }
    }
}
