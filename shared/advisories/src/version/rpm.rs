//! RPM's order of epoch, version and release: `rpm-version(7)`.

use super::key::{Key, digits, leading};

const TILDE: u8 = 0x01;
const END: u8 = 0x02;
const CARET: u8 = 0x03;
const WORD: u8 = 0x04;
const NUMBER: u8 = 0x05;

const NO_RELEASE: u8 = 0x00;
const SOME_RELEASE: u8 = 0x01;

pub(super) fn key(text: &str) -> Result<Box<[u8]>, &'static str> {
    let is_epoch = |epoch: &str| !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit());
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if is_epoch(epoch) => (epoch, rest),
        _ => ("0", text),
    };
    let (version, release) = match rest.rsplit_once('-') {
        Some((version, release)) => (version, Some(release)),
        None => (rest, None),
    };
    let mut key = Key::for_text(text);
    key.number(epoch);
    part(&mut key, version);
    match release {
        None => key.mark(NO_RELEASE),
        Some(release) => {
            key.mark(SOME_RELEASE);
            part(&mut key, release);
        }
    }
    Ok(key.finish())
}

/// Writes runs of digits and runs of letters; everything else but `~` and `^` only separates.
fn part(key: &mut Key, mut rest: &str) {
    loop {
        let Some(c) = rest.chars().next() else {
            key.mark(END);
            return;
        };
        rest = if c.is_ascii_digit() {
            let (number, after) = digits(rest);
            key.mark(NUMBER);
            key.number(number);
            after
        } else if c.is_ascii_alphabetic() {
            let (word, after) = leading(rest, |c| c.is_ascii_alphabetic());
            key.mark(WORD);
            key.word(word);
            after
        } else {
            match c {
                '~' => key.mark(TILDE),
                '^' => key.mark(CARET),
                _ => {}
            }
            rest.split_at(c.len_utf8()).1
        };
    }
}
