//! Lengths of time, as people write them.

use std::time::Duration;

/// A number with ms, s, m or h behind it.
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
    // The kernel's clock counts milliseconds; a year is longer than any test.
    if !(0.001..=31_536_000.0).contains(&seconds) {
        return Err("a time is at least 1ms and at most a year".into());
    }
    Ok(Duration::from_secs_f64(seconds))
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
}
