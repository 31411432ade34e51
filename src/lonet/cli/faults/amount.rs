//! The amounts of faults, as arguments of the commands: rates, delays and loss.

use crate::duration::time;
use std::time::Duration;

/// A rate in bytes per second: a number followed by a unit of bytes or bits.
pub fn rate(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 8] = [
        ("kB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("kbit", 125.0),
        ("Mbit", 125_000.0),
        ("Gbit", 125_000_000.0),
    ];
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = UNITS.iter().find(|(name, _)| *name == &text[digits..]);
    let (_, unit) =
        unit.ok_or("a rate is a number followed by kB, MB, GB, KiB, MiB, kbit, Mbit or Gbit, a second")?;
    let number: f64 = text[..digits].parse().map_err(|_| "a rate begins with a number".to_owned())?;
    let rate = number * unit;
    if !(1e3..=1e11).contains(&rate) {
        return Err("a rate is at least 1kB and at most 100GB a second".into());
    }
    Ok(rate.round() as u64)
}

/// A delay in microseconds.
pub fn delay(text: &str) -> Result<u64, String> {
    match time(text)? {
        time if time > Duration::from_secs(60) => Err("a delay is at most a minute".into()),
        time => Ok((time.as_secs_f64() * 1e6).round() as u64),
    }
}

/// A loss in parts per million: a number followed by %.
pub fn parts_per_million(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let number = number.ok_or("a loss is a number followed by %, such as 5%")?;
    match (0.01..=90.0).contains(&number) {
        true => Ok((number * 1e4).round() as u64),
        false => Err("a loss is at least 0.01% and at most 90%; lonet cut loses all".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::faults::commands::rate_text;

    #[test]
    fn delay_is_a_time_of_up_to_a_minute() {
        assert_eq!((delay("1.5ms"), delay("60s")), (Ok(1500), Ok(60_000_000)));
        for text in ["61s", "1h", "5", "0ms"] {
            assert!(delay(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loss_is_a_percentage() {
        assert_eq!(
            [parts_per_million("5%"), parts_per_million("0.01%"), parts_per_million("90%")],
            [Ok(50_000), Ok(100), Ok(900_000)]
        );
        for text in ["5", "%", "0%", "91%", "-1%", "x%", "5 %"] {
            assert!(parts_per_million(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rate_has_a_unit_of_bytes_or_bits() {
        for (text, bytes) in [("1MB", 1_000_000), ("1.5kB", 1500), ("64KiB", 65536), ("8Mbit", 1_000_000)] {
            assert_eq!(rate(text), Ok(bytes));
            assert_eq!(rate(&rate_text(bytes)), Ok(bytes));
        }
        for text in ["1", "MB", "1B", "0kB", "0.5kB", "1mb", "-1MB", "999999GB", "1.2.3MB", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
