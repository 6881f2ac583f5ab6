//! The partner as the cashier: it took the money and says how that went. Its word is read strictly:
//! what is not plainly paid or plainly failed is not known.

use domain::payment::Outcome;

/// Reads a partner's report of a payment (`payRst` and `payStatus` of `SynOrderInfo`).
pub fn outcome(result: &str, status: &str) -> Outcome {
    match (result.eq_ignore_ascii_case("SUCCESS"), status) {
        (true, "1") => Outcome::Paid,
        (false, "0") => Outcome::Failed,
        _ => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_words_that_agree_count() {
        for (result, status, expected) in [
            ("SUCCESS", "1", Outcome::Paid),
            ("success", "1", Outcome::Paid),
            ("FAIL", "0", Outcome::Failed),
            ("PENDING", "0", Outcome::Failed),
            ("SUCCESS", "0", Outcome::Unknown),
            ("SUCCESS", "2", Outcome::Unknown),
            ("FAIL", "1", Outcome::Unknown),
            ("FAIL", "2", Outcome::Unknown),
            ("SUCCESS ", "1", Outcome::Unknown),
        ] {
            assert_eq!(outcome(result, status), expected, "{result} {status}");
        }
    }
}
