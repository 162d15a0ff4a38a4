//! File names as text.
//!
//! File names are bytes; nearly all are UTF-8, and everything that reports them wants text. Bytes that are
//! no UTF-8 are mapped one by one to the private characters U+10FE00 to U+10FEFF, and names that really hold
//! such a character have its bytes mapped too, so that no two names become one and every name can be
//! written back as it was.

use std::borrow::Cow;

const FIRST: u32 = 0x0010_FE00;

fn is_mapped(c: char) -> bool {
    (FIRST..FIRST + 256).contains(&u32::from(c))
}

fn push_mapped(text: &mut String, bytes: &[u8]) {
    text.extend(
        bytes
            .iter()
            .filter_map(|b| char::from_u32(FIRST + u32::from(*b))),
    );
}

/// The text that stands for a name.
pub(crate) fn from_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(is_mapped) => return Cow::Borrowed(text),
        _ => {}
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_mapped(c) {
                push_mapped(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(c);
            }
        }
        push_mapped(&mut out, chunk.invalid());
    }
    Cow::Owned(out)
}

/// The bytes of the name that a text stands for.
pub(crate) fn to_bytes(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(is_mapped) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c).checked_sub(FIRST).map(u8::try_from) {
            Some(Ok(byte)) => out.push(byte),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_comes_back_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = from_bytes(&bytes).into_owned();
            prop_assert_eq!(to_bytes(&text).into_owned(), bytes);
        }
    }

    #[test]
    fn utf8_stays_readable_and_the_rest_stays_apart() {
        assert_eq!(
            from_bytes("Főtanúsítvány.crt".as_bytes()),
            "Főtanúsítvány.crt"
        );
        let raw = from_bytes(b"\xff").into_owned();
        let written = from_bytes(raw.as_bytes()).into_owned();
        assert_ne!(raw, written);
        assert_eq!(to_bytes(&written), raw.as_bytes());
    }
}
