//! Times of events: RFC 3339 in UTC, with microseconds.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, UTC. As text: `2026-11-29T14:00:00.123456Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

const SECOND: u64 = 1_000_000;
const DAY: u64 = 24 * 60 * 60;
/// The last second of the year 9999, the latest time that has a text form.
const LAST: u64 = 253_402_300_799;

impl Moment {
    pub fn now() -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// How much later it is than another moment; nothing, if it is not.
    pub fn since(self, other: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(other.0))
    }

    /// The time of day alone: `14:00:00.123456`.
    pub fn of_day(self) -> impl fmt::Display {
        OfDay(self)
    }
}

struct OfDay(Moment);

impl fmt::Display for OfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment(moment) = self.0;
        let second = moment / SECOND % DAY;
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{h:02}:{m:02}:{s:02}.{:06}", moment % SECOND)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Moment(self.0.min(LAST * SECOND));
        let (year, month, day) = date(at.0 / SECOND / DAY);
        write!(f, "{year:04}-{month:02}-{day:02}T{}Z", at.of_day())
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: <https://howardhinnant.github.io/date_algorithms.html>,
/// civil_from_days.
fn date(days: u64) -> (u64, u64, u64) {
    // The algorithm's years begin in March, so that a leap day is the last day.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The inverse of [`date`]: days_from_civil.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let march = (month + 9) % 12;
    let of_year = (153 * march + 2) / 5 + day - 1;
    let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    (year / 400 * 146_097 + of_era).checked_sub(719_468)
}

/// The error for a text that is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMoment;

impl fmt::Display for NoMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no time as in 2026-11-29T14:00:00.123456Z")
    }
}

impl FromStr for Moment {
    type Err = NoMoment;

    /// Takes what [`fmt::Display`] writes, with any number of digits of a second, or none.
    fn from_str(text: &str) -> Result<Moment, NoMoment> {
        parse(text).ok_or(NoMoment)
    }
}

fn parse(text: &str) -> Option<Moment> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let fraction: String = format!("{fraction:0<6}").chars().take(6).collect();
    let fraction = number(&fraction)?;
    let since = days(year, month, day)?;
    // An invalid date, such as February 30, converts to a different one.
    let is_date = year <= 9999 && self::date(since) == (year, month, day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(Moment((since * DAY + hour * 3600 + minute * 60 + second) * SECOND + fraction))
}

fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let all: Option<Vec<u64>> = text.split(between).map(number).collect();
    all?.try_into().ok()
}

fn number(text: &str) -> Option<u64> {
    let is_number = (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Moment, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moment_is_written_as_date_does() {
        // As `date -u -d @N` does.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_795_960_800, "2026-11-29T14:00:00.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (LAST, "9999-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(Moment(seconds * SECOND).to_string(), text);
        }
        assert_eq!(Moment(u64::MAX).to_string(), Moment(LAST * SECOND).to_string());
    }

    #[test]
    fn invalid_text_is_refused() {
        for text in [
            "",
            "2026-11-29",
            "2026-11-29T14:00:00",
            "2026-02-29T14:00:00Z",
            "2026-13-01T14:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-11-29T24:00:00Z",
            "2026-11-29T14:00:00.+1Z",
            "2026-11-29T14:00Z",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(NoMoment), "{text}");
        }
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(Moment(SECOND)));
        assert_eq!("1970-01-01T00:00:01.123456789Z".parse(), Ok(Moment(1_123_456)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn moment_is_read_as_it_was_written(moment in 0..=LAST * SECOND) {
            let moment = Moment(moment);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }
}
