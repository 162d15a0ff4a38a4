//! Alpine's order: "Package version" of `apk-package(5)`,
//! `number{.number}…{letter}{_suffix{number}}…{~hash}{-r#}`.
//!
//! Where two versions go on differently, the one that goes on with a number is greater than the one that goes on with a
//! letter, then a suffix, a hash, a release, the end; the suffixes of versions before a release are less than the end. What
//! is outside the grammar but exists (`6.6.2p1`, `1..2`) is read as far as it goes; from there on it is less than the end.

use super::key::{Key, digits, leading};

const BROKEN: u8 = 0x01;
const END: u8 = 0x10;
const RELEASE: u8 = 0x11;
const HASH: u8 = 0x12;
const NO_NUMBER: u8 = 0x30;
const LETTER: u8 = 0x31;
const FRACTION: u8 = 0x32;
const NUMBER: u8 = 0x33;

/// The mark of a suffix: before [`END`] those that come before a release, after [`HASH`] those that come after.
fn suffix(name: &str) -> Option<u8> {
    Some(match name {
        "alpha" => 0x02,
        "beta" => 0x03,
        "pre" => 0x04,
        "rc" => 0x05,
        "cvs" => 0x20,
        "svn" => 0x21,
        "git" => 0x22,
        "hg" => 0x23,
        "p" => 0x24,
        _ => return None,
    })
}

pub(super) fn key(text: &str) -> Result<Box<[u8]>, &'static str> {
    let mut key = Key::for_text(text);
    let mut rest = numbers(&mut key, text);
    loop {
        let (letter, after) = leading(rest, |c| c.is_ascii_lowercase());
        if letter.is_empty() {
            break;
        }
        // The grammar has one letter and no number after it; Alpine has shipped `p1` all the same.
        let (number, after) = digits(after);
        key.mark(LETTER);
        key.word(letter);
        if !number.is_empty() {
            key.mark(NUMBER);
            key.number(number);
        }
        rest = after;
    }
    while let Some(after) = rest.strip_prefix('_') {
        let (name, after) = leading(after, |c| c.is_ascii_lowercase());
        let Some(mark) = suffix(name) else {
            break;
        };
        let (number, after) = digits(after);
        key.mark(mark);
        key.number(number);
        rest = after;
    }
    if let Some(after) = rest.strip_prefix('~') {
        let (hash, after) = leading(after, |c| c.is_ascii_hexdigit());
        key.mark(HASH);
        key.word(hash);
        rest = after;
    }
    if let Some(after) = rest.strip_prefix("-r") {
        let (number, after) = digits(after);
        if after.is_empty() || after.starts_with('-') {
            key.mark(RELEASE);
            key.number(number);
            rest = after;
        }
    }
    key.mark(if rest.is_empty() { END } else { BROKEN });
    Ok(key.finish())
}

/// Writes the numbers at the start and returns what follows them.
fn numbers<'a>(key: &mut Key, text: &'a str) -> &'a str {
    let mut first = true;
    let mut rest = text;
    loop {
        let (number, after) = digits(rest);
        if number.is_empty() {
            key.mark(NO_NUMBER);
        } else if !first && number.starts_with('0') {
            // A number after a dot that starts with zero is a fraction: 1.05 is less than 1.1.
            key.mark(FRACTION);
            key.word(number);
        } else {
            key.mark(NUMBER);
            key.number(number);
        }
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return after,
        }
        first = false;
    }
}
