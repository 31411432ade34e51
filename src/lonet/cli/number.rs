//! Parsers of numbers in arguments.

/// Parses a number within these limits.
pub fn number<const LEAST: u16, const MOST: u16>(text: &str) -> Result<u16, String> {
    let within = |n: &u16| (LEAST..=MOST).contains(n);
    text.parse().ok().filter(within).ok_or_else(|| format!("it is not a number from {LEAST} to {MOST}"))
}

/// Parses a port that a program can listen on.
pub fn port(text: &str) -> Result<u16, String> {
    number::<1, { u16::MAX }>(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_beyond_its_limits_is_refused() {
        assert_eq!((port("1"), port("65535"), number::<0, 9>("0")), (Ok(1), Ok(65535), Ok(0)));
        for text in ["0", "65536", "-1", "", "http", "1.5"] {
            assert_eq!(port(text), Err("it is not a number from 1 to 65535".into()), "{text}");
        }
    }
}
