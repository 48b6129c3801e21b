//! Calendar arithmetic in UTC, on the proleptic Gregorian calendar.

const DAY_SECONDS: i64 = 86_400;

/// Go counts time from the year −292277022399 in 64 unsigned bits and wraps around; this many days lie between then
/// and the Unix epoch. It only matters for numbers that are no sensible time.
const GO_EPOCH_DAYS: i64 = 106_751_991_073_094;

/// A date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// May be negative.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 1 to 366.
    pub day_of_year: u16,
    /// 0 is Sunday.
    pub day_of_week: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl Civil {
    /// The date of a sample value in seconds since the Unix epoch, truncated. NaN and numbers beyond 64 bits give the
    /// date that Prometheus gives on x86-64.
    #[must_use]
    pub fn from_value(seconds: f64) -> Self {
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        Self::from_unix(if (-LIMIT..LIMIT).contains(&seconds) {
            seconds as i64
        } else {
            i64::MIN
        })
    }

    /// The date of seconds since the Unix epoch.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        let since_go_epoch = seconds.wrapping_add(GO_EPOCH_DAYS * DAY_SECONDS).cast_unsigned();
        let days = (since_go_epoch / DAY_SECONDS.cast_unsigned()).cast_signed() - GO_EPOCH_DAYS;
        // Below 86,400.
        let second_of_day = (since_go_epoch % DAY_SECONDS.cast_unsigned()) as u32;
        let (year, month, day) = from_days(days);
        let days_before = to_days(year, 1, 1);
        Self {
            year,
            month,
            day,
            day_of_year: (days - days_before + 1) as u16,
            // The epoch was a Thursday.
            day_of_week: (days + 4).rem_euclid(7) as u8,
            hour: (second_of_day / 3600) as u8,
            minute: (second_of_day / 60 % 60) as u8,
            second: (second_of_day % 60) as u8,
        }
    }

    /// The number of days of the month.
    #[must_use]
    pub fn days_in_month(&self) -> u8 {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// Year, month and day of a number of days since 1970-01-01.
///
/// Years are counted from March on, so that the leap day is the last of its year, and in cycles of 400 years, which
/// all have 146,097 days.
fn from_days(days: i64) -> (i64, u8, u8) {
    const CYCLE_DAYS: i64 = 146_097;
    // 0000-03-01 lies 719,468 days before the epoch.
    let shifted = days + 719_468;
    let cycle = shifted.div_euclid(CYCLE_DAYS);
    let day_of_cycle = shifted.rem_euclid(CYCLE_DAYS);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // Months from March on have 153 days per five months.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

/// The inverse of [`from_days`].
fn to_days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let cycle = year.div_euclid(400);
    let year_of_cycle = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    cycle * 146_097 + day_of_cycle - 719_468
}

/// Appends a time as RFC 3339 writes it, whole seconds, `Z`.
pub(crate) fn push_rfc3339(text: &mut String, timestamp_ms: i64) {
    use std::fmt::Write;
    let date = Civil::from_unix(timestamp_ms / 1000);
    write!(
        text,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year, date.month, date.day, date.hour, date.minute, date.second
    )
    .expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(seconds: i64) -> String {
        let mut text = String::new();
        push_rfc3339(&mut text, seconds * 1000);
        text
    }

    #[test]
    fn dates_around_leap_days_and_new_years_are_right() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59Z");
        assert_eq!(text(1136239445), "2006-01-02T22:04:05Z");
        assert_eq!(text(1230767999), "2008-12-31T23:59:59Z");
        assert_eq!(text(1230768000), "2009-01-01T00:00:00Z");
        assert_eq!(text(1456790399), "2016-02-29T23:59:59Z");
        assert_eq!(text(1456790400), "2016-03-01T00:00:00Z");
        assert_eq!(text(-62135596800), "0001-01-01T00:00:00Z");
        assert_eq!(text(951782400), "2000-02-29T00:00:00Z");
        assert_eq!(text(4107542400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn days_are_counted_in_week_month_and_year() {
        let check = |seconds: i64, day_of_week: u8, day_of_year: u16, days_in_month: u8| {
            let date = Civil::from_unix(seconds);
            assert_eq!(
                (date.day_of_week, date.day_of_year, date.days_in_month()),
                (day_of_week, day_of_year, days_in_month)
            );
        };
        check(0, 4, 1, 31);
        check(1136239445, 1, 2, 31);
        check(1483191420, 6, 366, 31);
        check(1672493820, 6, 365, 31);
        check(1454284800, 1, 32, 29);
        check(1485907200, 3, 32, 28);
        check(-86_400, 3, 365, 31);
    }

    #[test]
    fn values_are_truncated_towards_zero() {
        assert_eq!(Civil::from_value(0.9), Civil::from_unix(0));
        assert_eq!(Civil::from_value(-0.9), Civil::from_unix(0));
        assert_eq!(Civil::from_value(f64::NAN), Civil::from_unix(i64::MIN));
        assert_eq!(Civil::from_value(1e300), Civil::from_unix(i64::MIN));
    }

    #[test]
    fn no_time_wraps_around_as_in_go() {
        let date = Civil::from_unix(i64::MIN);
        assert_eq!((date.year, date.month, date.day), (292_277_026_596, 12, 4));
        assert_eq!((date.hour, date.minute, date.second), (15, 30, 8));
    }

    proptest! {
        #[test]
        fn days_and_dates_are_inverse(days in -800_000_i64..800_000) {
            let (year, month, day) = from_days(days);
            prop_assert_eq!(to_days(year, i64::from(month), i64::from(day)), days);
            let (next_year, next_month, next_day) = from_days(days + 1);
            let date = Civil::from_unix(days * DAY_SECONDS);
            if day == date.days_in_month() {
                prop_assert_eq!(next_day, 1);
                prop_assert_eq!((next_year, next_month), if month == 12 { (year + 1, 1) } else { (year, month + 1) });
            } else {
                prop_assert_eq!((next_year, next_month, next_day), (year, month, day + 1));
            }
        }
    }
}
