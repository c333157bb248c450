//! Dates in log lines.

use core::fmt;

/// A date in the format of access logs: `10/Oct/2000:13:55:36 +0000`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogDate {
    /// Seconds since 1970.
    pub(super) unix_seconds: u64,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl fmt::Display for LogDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.unix_seconds / 86_400, self.unix_seconds % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{day:02}/{}/{year}:{hour:02}:{minute:02}:{second:02} +0000", MONTHS[month])
    }
}

/// Year, month (from 0) and day of the month of a number of days since 1970.
const fn date(days: u64) -> (u64, usize, u64) {
    // Count years from the first of March, so that the leap day is the last day of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, the lengths of months repeat: 31, 30, 31, 30, 31.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    (era * 400 + year_of_era + (month < 2) as u64, month as usize, day)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_seconds, text) in [
            (0, "01/Jan/1970:00:00:00 +0000"),
            (971_186_136, "10/Oct/2000:13:55:36 +0000"),
            (951_782_400, "29/Feb/2000:00:00:00 +0000"),
            (951_868_799, "29/Feb/2000:23:59:59 +0000"),
            (951_868_800, "01/Mar/2000:00:00:00 +0000"),
            (4_107_542_399, "28/Feb/2100:23:59:59 +0000"),
            (4_107_542_400, "01/Mar/2100:00:00:00 +0000"),
            (1_767_225_599, "31/Dec/2025:23:59:59 +0000"),
            (253_402_300_799, "31/Dec/9999:23:59:59 +0000"),
        ] {
            assert_eq!(LogDate { unix_seconds }.to_string(), text);
        }
        // Every day follows the one before it.
        let mut expected = (1970, 0, 1);
        for days in 0..200_000 {
            assert_eq!(date(days), expected);
            let (year, month, day) = expected;
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = [31, 28 + u64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month];
            expected = match (day == last, month == 11) {
                (false, _) => (year, month, day + 1),
                (true, false) => (year, month + 1, 1),
                (true, true) => (year + 1, 0, 1),
            };
        }
    }
}
