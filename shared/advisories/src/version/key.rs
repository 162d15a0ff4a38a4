//! Writing keys that compare by their bytes.
//!
//! Each part of a key ends itself (numbers carry their length, words end with a zero), so that a byte that differs belongs
//! to the same part in both keys, and comparing bytes is comparing parts from the left.

/// A key being written.
#[derive(Debug, Default)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// An empty key with room for a version of some length.
    pub(super) fn for_text(text: &str) -> Self {
        Self(Vec::with_capacity(text.len() * 2 + 8))
    }

    /// A mark: says what comes next, and orders it against what could come instead.
    pub(super) fn mark(&mut self, mark: u8) {
        self.0.push(mark);
    }

    /// A count of segments.
    pub(super) fn count(&mut self, count: u16) {
        self.0.extend(count.to_be_bytes());
    }

    /// A number of any size, in decimal digits; leading zeros and an empty text count as they do in arithmetic.
    pub(super) fn number(&mut self, digits: &str) {
        let digits = digits.trim_start_matches('0').as_bytes();
        // Versions are at most 1024 bytes long, so two bytes hold the length of those few that need more than one.
        match u8::try_from(digits.len()) {
            Ok(length) if length < u8::MAX => self.0.push(length),
            _ => {
                self.0.push(u8::MAX);
                let length = u16::try_from(digits.len()).unwrap_or(u16::MAX);
                self.0.extend(length.to_be_bytes());
            }
        }
        self.0.extend(digits);
    }

    /// A word without zero bytes, ordered as its bytes are, shorter first.
    pub(super) fn word(&mut self, word: &str) {
        self.0.extend(word.bytes().filter(|byte| *byte != 0));
        self.0.push(0);
    }

    pub(super) fn finish(self) -> Box<[u8]> {
        self.0.into()
    }
}

/// Splits the leading characters that satisfy `is` off a text.
pub(super) fn leading(text: &str, is: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !is(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// Splits leading ASCII digits off a text.
pub(super) fn digits(text: &str) -> (&str, &str) {
    leading(text, |c| c.is_ascii_digit())
}
