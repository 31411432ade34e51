//! Parsers of times in arguments, such as 10s.

use std::time::Duration;

const YEAR: f64 = 31_536_000.0;

/// Parses a number followed by ms, s, m or h.
pub fn time(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match &text[digits..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time is a number followed by ms, s, m or h, such as 5s".into()),
    };
    let number: f64 = text[..digits].parse().map_err(|_| "a time begins with a number".to_owned())?;
    let seconds = number * unit;
    // The kernel's timers have milliseconds; a year is longer than any test.
    if !(0.001..=YEAR).contains(&seconds) {
        return Err("a time is at least 1ms and at most a year".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// As [`time`], or a number of seconds, which may be 0. More than a year counts as a year.
pub fn limit(text: &str) -> Result<Duration, String> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text.parse::<f64>().ok().filter(|_| is_number) {
        Some(seconds) => Ok(Duration::from_secs_f64(seconds.min(YEAR))),
        None if is_number => time(text),
        None => Err("it is not a time, such as 10s, 500ms or 2m, nor a number of seconds".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_a_unit() {
        assert_eq!(time("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(time("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(time("20ms"), Ok(Duration::from_millis(20)));
        for text in ["5", "s", "", "-1s", "0s", "1d", "1e9h", "9999999h", "1.2.3s"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limit_is_a_time_or_a_number_of_seconds() {
        assert_eq!(limit("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(limit("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(limit("0"), Ok(Duration::ZERO));
        assert_eq!(limit("1e30"), Ok(Duration::from_secs_f64(YEAR)));
        for text in ["", "x", "-1", "nan", "inf", "5d", "s"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }
}
