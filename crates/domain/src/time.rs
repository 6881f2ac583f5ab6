//! Points in time (UTC, microseconds) and partners' time zones, which are applied at the edge only.

use std::fmt;
use std::str::FromStr;

/// A point in time: microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A length of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

/// An IANA time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(jiff::tz::TimeZone);

/// A text or a number that is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not an IANA name such as `Asia/Shanghai`.
    #[error("not an IANA time zone")]
    UnknownZone,
    /// Not `yyyy-MM-dd HH:mm:ss`, or no such moment.
    #[error("not a time of the form yyyy-MM-dd HH:mm:ss")]
    NotATime,
    /// Not RFC 3339 with an offset, or finer than a microsecond, or not between 1970 and 9999.
    #[error("not a time of the form 2026-11-22T08:00:00Z, with at most 6 decimals")]
    NotRfc3339,
}

/// The longest RFC 3339 text with microseconds and an offset.
const RFC3339_CHARS_MAX: usize = 32;
const DAY_US: i64 = 86_400_000_000;

impl std::ops::Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Span {
    /// So many microseconds.
    pub const fn micros(micros: i64) -> Self {
        Self(micros)
    }

    /// So many seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// So many milliseconds.
    pub const fn millis(millis: i64) -> Self {
        Self(millis * 1_000)
    }

    /// So many minutes.
    pub const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// So many days of 24 hours.
    pub const fn days(days: i64) -> Self {
        Self(days * DAY_US)
    }

    /// Whole days of 24 hours, rounded down.
    pub const fn whole_days(self) -> i64 {
        self.0.div_euclid(DAY_US)
    }

    /// Microseconds.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// As the standard library's duration; a negative span is none at all.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.0).unwrap_or(0))
    }
}

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the Unix epoch; `None` beyond the range.
    pub fn from_millis(millis: i64) -> Option<Self> {
        millis.checked_mul(1_000).map(Self)
    }

    /// Microseconds since the Unix epoch, as stored.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, as on the wire.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The time from `earlier` to here.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    fn zoned(self, zone: &Zone) -> jiff::Zoned {
        let timestamp = jiff::Timestamp::from_microsecond(self.0);
        // Only a corrupt row can lie outside of jiff's range of years (-9999 to 9999).
        timestamp.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned(zone.0.clone())
    }

    /// `yyyy-MM-dd HH:mm:ss` in a zone.
    pub fn date_time(self, zone: &Zone) -> String {
        self.zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// `yyyy-MM-dd` in a zone.
    pub fn date(self, zone: &Zone) -> String {
        self.zoned(zone).strftime("%Y-%m-%d").to_string()
    }

    /// `yyyy.MM.dd` in a zone.
    pub fn dotted_date(self, zone: &Zone) -> String {
        self.zoned(zone).strftime("%Y.%m.%d").to_string()
    }

    /// RFC 3339 in UTC, with as many decimals as it needs: `2026-11-22T08:00:00Z`.
    pub fn rfc3339(self) -> String {
        // Only a corrupt row can lie outside of jiff's range of years (-9999 to 9999).
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }

    /// As in HTTP's headers: `Sun, 22 Nov 2026 08:00:00 GMT`.
    pub fn http_date(self) -> String {
        self.zoned(&Zone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// Reads what [`Self::http_date`] writes, the one form that HTTP has not given up.
    pub fn parse_http_date(text: &str) -> Result<Self, TimeError> {
        jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", text)
            .and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC))
            .map(|zoned| Self(zoned.timestamp().as_microsecond()))
            .map_err(|_| TimeError::NotATime)
    }

    /// Reads RFC 3339 with an offset, to the microsecond.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        let shape = text.len() <= RFC3339_CHARS_MAX && text.as_bytes().get(10) == Some(&b'T');
        let time = text.parse::<jiff::Timestamp>().map_err(|_| TimeError::NotRfc3339)?;
        // Nanoseconds would be lost in silence.
        let exact = time.as_nanosecond() % 1_000 == 0;
        let years = (0..=253_402_300_799).contains(&time.as_second());
        if shape && exact && years {
            Ok(Self(time.as_microsecond()))
        } else {
            Err(TimeError::NotRfc3339)
        }
    }

    /// How many days on a calendar in a zone lie from the day of `earlier` to the day of this time.
    pub fn calendar_days_since(self, earlier: Self, zone: &Zone) -> i64 {
        let (from, to) = (earlier.zoned(zone).date(), self.zoned(zone).date());
        i64::from((to - from).get_days())
    }

    /// How many whole calendar months lie between `earlier` and here in a zone; none where it is not earlier.
    pub fn calendar_months_since(self, earlier: Self, zone: &Zone) -> u32 {
        let (from, to) = (earlier.zoned(zone).date(), self.zoned(zone).date());
        let years = i32::from(to.year()) - i32::from(from.year());
        let months = years * 12 + i32::from(to.month()) - i32::from(from.month());
        let months = u32::try_from(months).unwrap_or(0);
        let over = earlier.plus_calendar_months(months, zone) > self;
        months.saturating_sub(u32::from(over))
    }

    /// How many whole calendar days lie between `earlier` and here in a zone; none where it is not earlier.
    pub fn whole_calendar_days_since(self, earlier: Self, zone: &Zone) -> u32 {
        let days = u32::try_from(self.calendar_days_since(earlier, zone)).unwrap_or(0);
        let over = earlier.plus_calendar_days(days, zone) > self;
        days.saturating_sub(u32::from(over))
    }

    /// So many calendar months later in a zone; a day that the month lacks becomes its last day.
    pub fn plus_calendar_months(self, months: u32, zone: &Zone) -> Self {
        self.plus_calendar(jiff::Span::new().months(i64::from(months.min(12_000))), zone)
    }

    /// So many calendar days later in a zone, at the same time of day where that exists.
    pub fn plus_calendar_days(self, days: u32, zone: &Zone) -> Self {
        self.plus_calendar(jiff::Span::new().days(i64::from(days.min(1_000_000))), zone)
    }

    fn plus_calendar(self, span: jiff::Span, zone: &Zone) -> Self {
        let later = self.zoned(zone).saturating_add(span);
        Self(later.timestamp().as_microsecond())
    }
}

impl std::ops::Add<Span> for Timestamp {
    type Output = Self;
    /// Saturates at the ends of the range.
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl std::ops::Sub<Span> for Timestamp {
    type Output = Self;
    /// Saturates at the ends of the range.
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(jiff::tz::TimeZone::UTC);

    /// The IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Reads `yyyy-MM-dd HH:mm:ss` as a time of day in this zone. Of a moment that happened twice
    /// (the clock went back) the first counts.
    pub fn parse_date_time(&self, text: &str) -> Result<Timestamp, TimeError> {
        let shape = text.len() == 19
            && text.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                10 => byte == b' ',
                13 | 16 => byte == b':',
                _ => byte.is_ascii_digit(),
            });
        if !shape {
            return Err(TimeError::NotATime);
        }
        jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text)
            .and_then(|civil| civil.to_zoned(self.0.clone()))
            .map(|zoned| Timestamp(zoned.timestamp().as_microsecond()))
            .map_err(|_| TimeError::NotATime)
    }
}

impl FromStr for Zone {
    type Err = TimeError;
    fn from_str(name: &str) -> Result<Self, TimeError> {
        jiff::tz::TimeZone::get(name).map(Self).map_err(|_| TimeError::UnknownZone)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} UTC", self.date_time(&Zone::UTC))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shanghai() -> Zone {
        "Asia/Shanghai".parse().unwrap()
    }

    #[test]
    fn zones_apply_at_the_edge() {
        let time = shanghai().parse_date_time("2022-06-07 15:10:35").unwrap();
        assert_eq!(time.as_millis(), 1_654_585_835_000);
        assert_eq!(time.date_time(&shanghai()), "2022-06-07 15:10:35");
        assert_eq!(time.date_time(&Zone::UTC), "2022-06-07 07:10:35");
        assert_eq!(time.dotted_date(&shanghai()), "2022.06.07");
        for bad in [
            "",
            "2022-06-07",
            "2022-06-07T15:10:35",
            "2022-13-07 15:10:35",
            "2022-02-30 00:00:00",
            "2022-6-7 15:10:35 ",
        ] {
            assert_eq!(shanghai().parse_date_time(bad), Err(TimeError::NotATime), "{bad}");
        }
        assert!("Mars/Base".parse::<Zone>().is_err());
    }

    #[test]
    fn calendar_months() {
        let zone = shanghai();
        let start = zone.parse_date_time("2024-01-31 10:00:00").unwrap();
        assert_eq!(start.plus_calendar_months(1, &zone).date_time(&zone), "2024-02-29 10:00:00");
        assert_eq!(start.plus_calendar_months(13, &zone).date_time(&zone), "2025-02-28 10:00:00");
        let end = zone.parse_date_time("2024-03-01 00:00:00").unwrap();
        assert_eq!(end.calendar_days_since(start, &zone), 30);
        assert_eq!(end.calendar_days_since(end + Span::minutes(1_439), &zone), 0);
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let before = berlin.parse_date_time("2024-03-30 12:00:00").unwrap();
        assert_eq!(
            before.plus_calendar_days(1, &berlin).since(before).as_micros(),
            23 * 3_600_000_000
        );
    }

    #[test]
    fn rfc3339() {
        let time = Timestamp::parse_rfc3339("2026-11-22T08:00:00Z").unwrap();
        assert_eq!(time.rfc3339(), "2026-11-22T08:00:00Z");
        assert_eq!(time.http_date(), "Sun, 22 Nov 2026 08:00:00 GMT");
        assert_eq!(Timestamp::parse_http_date("Sun, 22 Nov 2026 08:00:00 GMT"), Ok(time));
        for bad in ["", "Mon, 22 Nov 2026 08:00:00 GMT", "Sun, 22 Nov 2026 08:00:00", "1"] {
            assert_eq!(Timestamp::parse_http_date(bad), Err(TimeError::NotATime), "{bad}");
        }
        assert_eq!(Timestamp::parse_rfc3339("2026-11-22T16:00:00+08:00"), Ok(time));
        let finer = Timestamp::from_micros(time.as_micros() + 1_500);
        assert_eq!(finer.rfc3339(), "2026-11-22T08:00:00.0015Z");
        assert_eq!(Timestamp::parse_rfc3339(&finer.rfc3339()), Ok(finer));
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22 08:00:00Z",
            "2026-11-22T08:00:00",
            "2026-02-30T08:00:00Z",
            "2026-11-22T08:00:00.0000001Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(bad), Err(TimeError::NotRfc3339), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn date_time_reads_back(seconds in 0..4_102_444_800_i64) {
            let time = Timestamp::from_micros(seconds * 1_000_000);
            let zone = shanghai();
            // Shanghai put its clocks back until 1991, so only later times are read back exactly.
            prop_assume!(seconds > 700_000_000);
            prop_assert_eq!(zone.parse_date_time(&time.date_time(&zone)), Ok(time));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = Zone::UTC.parse_date_time(&text);
            let _ = text.parse::<Zone>();
        }
    }
}
