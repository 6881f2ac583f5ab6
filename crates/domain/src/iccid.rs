//! A SIM card's number. It identifies a person's card, so that `Debug` masks it: logs never carry it whole.

use std::fmt;
use std::str::FromStr;

/// An ICCID: 18 to 22 digits, usually 19 or 20 (ITU-T E.118).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Iccid(String);

/// A text that is not an ICCID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an ICCID has 18 to 22 digits")]
pub struct IccidError;

impl Iccid {
    /// All digits. Use it for the wire and the database, never for a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the last digit is the Luhn check digit of the others. Many real cards fail it.
    pub fn luhn_holds(&self) -> bool {
        let sum: u32 = self
            .0
            .bytes()
            .rev()
            .enumerate()
            .map(|(place, digit)| match (place % 2, u32::from(digit - b'0')) {
                (0, digit) => digit,
                (_, digit) if digit > 4 => digit * 2 - 9,
                (_, digit) => digit * 2,
            })
            .sum();
        sum.is_multiple_of(10)
    }
}

impl FromStr for Iccid {
    type Err = IccidError;
    fn from_str(text: &str) -> Result<Self, IccidError> {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        if digits && (18..=22).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IccidError)
        }
    }
}

impl fmt::Debug for Iccid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…{}", &self.0[..6], &self.0[self.0.len() - 4..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Of the ten numbers that differ in the last digit only, exactly one has the right one.
        #[test]
        fn one_check_digit_in_ten_is_right(stem in "[0-9]{17,21}") {
            let good = (0..10).filter(|digit| {
                format!("{stem}{digit}").parse::<Iccid>().unwrap().luhn_holds()
            });
            prop_assert_eq!(good.count(), 1);
        }

        #[test]
        fn only_digits_of_the_right_number_are_taken(text in ".{0,24}") {
            let right = (18..=22).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            prop_assert_eq!(text.parse::<Iccid>().is_ok(), right);
        }
    }

    #[test]
    fn lengths_and_digits() {
        for good in ["898524201809103407", "89852420180910340793", "8985242018091034079312"] {
            assert!(good.parse::<Iccid>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "89852420180910340",
            "89852420180910340793123",
            "8985242018091034079x",
            "８985242018091034079",
        ] {
            assert!(bad.parse::<Iccid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn luhn() {
        assert!("8944500102198304826".parse::<Iccid>().unwrap().luhn_holds());
        assert!(!"8944500102198304825".parse::<Iccid>().unwrap().luhn_holds());
    }

    #[test]
    fn debug_masks() {
        let iccid: Iccid = "89852420180910340793".parse().unwrap();
        assert_eq!(format!("{iccid:?}"), "898524…0793");
    }
}
