//! Semantic versioning 2.0, section 11 (<https://semver.org>), and NuGet's form of it.
//!
//! Read leniently, since tags are: a leading `v` (or Go's `go`), one to any number of numbers, leading zeros. Build metadata
//! does not count.

use super::key::{Key, digits};

const PRE_RELEASE: u8 = 0x01;
const FINAL: u8 = 0x02;
const NUMBER: u8 = 0x05;

const PRE_END: u8 = 0x01;
const PRE_NUMBER: u8 = 0x02;
const PRE_WORD: u8 = 0x03;

pub(super) fn key(text: &str) -> Result<Box<[u8]>, &'static str> {
    let bare = text
        .strip_prefix("go")
        .or_else(|| text.strip_prefix(['v', 'V']))
        .unwrap_or(text);
    write(bare, text)
}

/// NuGet: words of a pre-release do not depend on case (NuGet documentation, "Package versioning").
pub(super) fn nuget_key(text: &str) -> Result<Box<[u8]>, &'static str> {
    write(&text.to_lowercase(), text)
}

fn write(bare: &str, text: &str) -> Result<Box<[u8]>, &'static str> {
    if !bare.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("it does not start with a number");
    }
    let bare = bare.split('+').next().unwrap_or(bare);
    let mut numbers = Vec::new();
    let mut rest = bare;
    loop {
        let (number, after) = digits(rest);
        numbers.push(number.trim_start_matches('0'));
        rest = after;
        match after.strip_prefix('.') {
            Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
            _ => break,
        }
    }
    // 1, 1.0 and 1.0.0 are one version.
    while numbers.last().is_some_and(|number| number.is_empty()) {
        numbers.pop();
    }
    let mut key = Key::for_text(text);
    for number in numbers {
        key.mark(NUMBER);
        key.number(number);
    }
    // `1.21rc2` is Go's own form of 1.21-rc2.
    let pre_release = rest.strip_prefix(['-', '.']).unwrap_or(rest);
    if pre_release.is_empty() {
        key.mark(FINAL);
        return Ok(key.finish());
    }
    key.mark(PRE_RELEASE);
    for identifier in pre_release.split('.') {
        if !identifier.is_empty() && identifier.bytes().all(|b| b.is_ascii_digit()) {
            key.mark(PRE_NUMBER);
            key.number(identifier);
        } else {
            key.mark(PRE_WORD);
            key.word(identifier);
        }
    }
    key.mark(PRE_END);
    Ok(key.finish())
}
