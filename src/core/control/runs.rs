//! Runs of ports, each from a first to a last one, in ascending order, as a message carries them.

/// So many fit a message beside the longest name of a host.
const MOST: usize = 100;

/// The first and the last port of a run, little-endian.
const SIZE: usize = 4;

/// Ports of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs<'a>(&'a [u8]);

impl<'a> Runs<'a> {
    pub const NONE: Runs<'static> = Runs(&[]);

    /// `None`: not whole runs, or too many.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Runs<'a>> {
        (bytes.len().is_multiple_of(SIZE) && bytes.len() <= MOST * SIZE).then_some(Runs(bytes))
    }

    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The last port of the run that `port` is in.
    pub fn end_of(self, port: u16) -> Option<u16> {
        let runs = self.0.as_chunks::<SIZE>().0.iter();
        let ends = |&[a, b, c, d]: &[u8; SIZE]| (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        runs.map(ends).find(|(first, last)| (*first..=*last).contains(&port)).map(|(_, last)| last)
    }
}

/// Runs that are being collected.
pub struct Collected {
    bytes: [u8; MOST * SIZE],
    len: usize,
    last: u16,
}

impl Collected {
    pub fn nothing() -> Collected {
        Collected { bytes: [0; MOST * SIZE], len: 0, last: 0 }
    }

    /// Adds a port, which is higher than those before. Where there is no room for another run the last one is stretched over
    /// what lies between: whoever passes over these ports passes over some more, and comes to an end all the same.
    pub fn add(&mut self, port: u16) {
        let follows = self.len > 0 && self.last.checked_add(1) == Some(port);
        if !follows && self.len < self.bytes.len() {
            self.write(self.len, port);
            self.len += SIZE;
        }
        self.write(self.len - SIZE / 2, port);
        self.last = port;
    }

    fn write(&mut self, at: usize, port: u16) {
        if let Some(to) = self.bytes.get_mut(at..at + SIZE / 2) {
            to.copy_from_slice(&port.to_le_bytes());
        }
    }

    pub fn runs(&self) -> Runs<'_> {
        Runs(self.bytes.get(..self.len).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_run() {
        let mut all = Collected::nothing();
        [1, 2, 3, 7, 65534, 65535].into_iter().for_each(|port| all.add(port));
        let runs = all.runs();
        assert_eq!(runs.bytes().len(), 3 * SIZE);
        let ends = [0, 1, 3, 4, 7, 8, 65533, 65534].map(|port| runs.end_of(port));
        assert_eq!(ends, [None, Some(3), Some(3), None, Some(7), None, None, Some(65535)]);
    }

    #[test]
    fn what_does_not_fit_stretches_the_last_run() {
        let mut all = Collected::nothing();
        (1..=500).for_each(|n| all.add(n * 2));
        let runs = all.runs();
        assert_eq!(runs.bytes().len(), MOST * SIZE);
        assert_eq!((runs.end_of(3), runs.end_of(198), runs.end_of(999)), (None, Some(198), Some(1000)));
        assert_eq!(runs.end_of(1001), None);
    }

    #[test]
    fn cut_or_too_long_bytes_are_no_runs() {
        assert_eq!(Runs::from_bytes(&[1, 0, 2]), None);
        assert_eq!(Runs::from_bytes(&[0; (MOST + 1) * SIZE]), None);
        assert_eq!(Runs::from_bytes(&[1, 0, 2, 0]).and_then(|runs| runs.end_of(1)), Some(2));
    }
}
