//! PHP's `version_compare`, which Composer's order rests on (PHP manual, `version_compare`).

use super::key::{Key, digits, leading};

const UNKNOWN: u8 = 0x01;
const DEV: u8 = 0x02;
const ALPHA: u8 = 0x03;
const BETA: u8 = 0x04;
const CANDIDATE: u8 = 0x05;
const END: u8 = 0x06;
const NUMBER: u8 = 0x07;
const PATCH: u8 = 0x08;

/// A word's mark. PHP looks at how a word starts, and knows `RC` and `rc` but no other capitals.
fn word(word: &str) -> u8 {
    for (start, mark) in [
        ("dev", DEV),
        ("a", ALPHA),
        ("b", BETA),
        ("RC", CANDIDATE),
        ("rc", CANDIDATE),
        ("p", PATCH),
    ] {
        if word.starts_with(start) {
            return mark;
        }
    }
    UNKNOWN
}

pub(super) fn key(text: &str) -> Result<Box<[u8]>, &'static str> {
    // PHP holds `#` equal to every number, and so to numbers that differ: no order has room for it.
    if text.contains('#') {
        return Err("it holds a number sign");
    }
    let mut rest = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let mut key = Key::for_text(text);
    loop {
        let Some(c) = rest.chars().next() else {
            key.mark(END);
            return Ok(key.finish());
        };
        rest = if c.is_ascii_digit() {
            let (number, after) = digits(rest);
            key.mark(NUMBER);
            key.number(number);
            after
        } else if c.is_alphanumeric() {
            let (found, after) = leading(rest, |c| c.is_alphanumeric() && !c.is_ascii_digit());
            key.mark(word(found));
            after
        } else {
            rest.split_at(c.len_utf8()).1
        };
    }
}
