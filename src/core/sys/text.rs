//! A string buffer of fixed size, for code that must not allocate.

use std::ffi::CStr;
use std::fmt;

/// Up to N bytes of text. The rest of the buffer is zero.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub const fn new() -> Text<N> {
        Text { bytes: [0; N], len: 0 }
    }

    /// Appends bytes. `false`: there is no room, and nothing was appended.
    pub fn push(&mut self, part: &[u8]) -> bool {
        let Some(to) = self.bytes.get_mut(self.len..).and_then(|rest| rest.get_mut(..part.len())) else {
            return false;
        };
        to.copy_from_slice(part);
        self.len += part.len();
        true
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The text as a C string, up to its first zero. `None`: there is no room for the terminating zero.
    pub fn c_str(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).ok()
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Text<N> {
        Text::new()
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.push(s.as_bytes()) { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::Text;
    use std::fmt::Write;

    #[test]
    fn text_that_fills_the_room_has_none_for_a_zero() {
        let mut text = Text::<6>::new();
        assert!(write!(text, "{}", 12345).is_ok());
        assert_eq!(text.c_str(), Some(c"12345"));
        assert!(!text.push(b"67"));
        assert!(text.push(b"6"));
        assert_eq!((text.bytes(), text.c_str()), (&b"123456"[..], None));
    }
}
