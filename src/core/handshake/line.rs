//! Reads one line of the handshake from a stream, and no byte behind it.

/// The longest line in bytes, with its newline. Of a longer one, the first part is the line.
pub const MAX_LINE: usize = 1024;

/// Collects one line from a stream without reading a byte of what follows it.
#[derive(Clone, Debug, Default)]
pub struct LineBuf {
    line: Vec<u8>,
}

impl LineBuf {
    /// The number of bytes to peek at most; 0 when the line is complete.
    pub fn room(&self) -> usize {
        if self.is_complete() { 0 } else { MAX_LINE - self.line.len() }
    }

    /// The number of peeked bytes to read: those up to the newline or the limit.
    pub fn wanted(&self, peeked: &[u8]) -> usize {
        let peeked = &peeked[..peeked.len().min(self.room())];
        peeked.iter().position(|&b| b == b'\n').map_or(peeked.len(), |newline| newline + 1)
    }

    /// Adds bytes that were read, no more than were wanted. Returns the line once it is complete: up to and
    /// including the newline, or [`MAX_LINE`] bytes without one.
    ///
    /// # Panics
    /// If bytes behind the line are pushed: they belong to the program, and would be lost.
    pub fn push(&mut self, taken: &[u8]) -> Option<&[u8]> {
        assert!(taken.len() <= self.wanted(taken), "bytes behind the line were taken");
        self.line.extend_from_slice(taken);
        self.is_complete().then_some(&self.line[..])
    }

    fn is_complete(&self) -> bool {
        self.line.len() == MAX_LINE || self.line.ends_with(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a line as the I/O side does, seeing at most `step` bytes at a time. Returns it and what is
    /// left in the stream; None if the stream ends first.
    fn read(stream: &[u8], step: usize) -> Option<(Vec<u8>, &[u8])> {
        let mut line = LineBuf::default();
        let mut rest = stream;
        while !rest.is_empty() {
            let peeked = &rest[..rest.len().min(step).min(line.room())];
            let (taken, tail) = rest.split_at(line.wanted(peeked));
            assert!(!taken.is_empty(), "peeking would not advance");
            rest = tail;
            if let Some(line) = line.push(taken) {
                return Some((line.to_vec(), rest));
            }
        }
        None
    }

    #[test]
    fn line_is_read_and_no_byte_more() {
        for step in [1, 2, 3, 5, 4096] {
            assert_eq!(read(b"abc\nhello\n", step), Some((b"abc\n".to_vec(), &b"hello\n"[..])));
            assert_eq!(read(b"\n\n", step), Some((b"\n".to_vec(), &b"\n"[..])));
            assert_eq!(read(b"abc", step), None);
            assert_eq!(read(b"", step), None);
        }
    }

    #[test]
    fn line_ends_at_the_limit() {
        let long = [b'x'; MAX_LINE + 1];
        for step in [1, 1000, 4096] {
            assert_eq!(read(&long, step), Some((long[..MAX_LINE].to_vec(), &b"x"[..])));
            assert_eq!(read(&long[..MAX_LINE - 1], step), None);
        }
    }

    #[test]
    fn complete_line_wants_nothing() {
        let mut line = LineBuf::default();
        assert_eq!(line.push(b"abc\n"), Some(&b"abc\n"[..]));
        assert_eq!((line.room(), line.wanted(b"more")), (0, 0));
    }

    #[test]
    #[should_panic(expected = "behind the line")]
    fn bytes_behind_the_line_are_not_swallowed() {
        LineBuf::default().push(b"abc\nhello");
    }
}
