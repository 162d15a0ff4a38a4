//! RubyGems' order: documentation of `Gem::Version`.
//!
//! Segments are numbers and words; a word is less than a number, and the shorter version goes on with zeros without end. A
//! run of zeros therefore counts only together with what comes after it.

use super::key::{Key, digits, leading};

const WORD: u8 = 0x01;
const ZEROS_THEN_WORD: u8 = 0x02;
const END: u8 = 0x03;
const ZEROS_THEN_NUMBER: u8 = 0x04;
const NUMBER: u8 = 0x05;

enum Segment<'a> {
    Word(&'a str),
    /// Without leading zeros; empty for zero.
    Number(&'a str),
}

pub(super) fn key(text: &str) -> Result<Box<[u8]>, &'static str> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() {
            let (number, after) = digits(rest);
            segments.push(Segment::Number(number.trim_start_matches('0')));
            rest = after;
        } else if c.is_ascii_alphabetic() {
            let (word, after) = leading(rest, |c| c.is_ascii_alphabetic());
            segments.push(Segment::Word(word));
            rest = after;
        } else {
            if c == '-' {
                // A hyphen stands for `.pre.`.
                segments.push(Segment::Word("pre"));
            } else if c != '.' && c != '_' {
                return Err("it holds something else than letters, digits, dots and hyphens");
            }
            rest = rest.split_at(c.len_utf8()).1;
        }
    }
    if segments.is_empty() {
        return Err("it has no number");
    }
    let mut key = Key::for_text(text);
    let mut zeros: u16 = 0;
    let mut released = true;
    for segment in segments {
        match segment {
            Segment::Number("") => zeros = zeros.saturating_add(1),
            Segment::Number(number) => {
                if zeros > 0 {
                    // The more zeros, the later the number: less.
                    key.mark(ZEROS_THEN_NUMBER);
                    key.count(u16::MAX - zeros);
                }
                key.mark(NUMBER);
                key.number(number);
                zeros = 0;
            }
            Segment::Word(word) => {
                // Zeros before the first word do not count: 1.0.a is 1.a.
                if zeros > 0 && !released {
                    key.mark(ZEROS_THEN_WORD);
                    key.count(zeros);
                }
                key.mark(WORD);
                key.word(word);
                zeros = 0;
                released = false;
            }
        }
    }
    key.mark(END);
    Ok(key.finish())
}
