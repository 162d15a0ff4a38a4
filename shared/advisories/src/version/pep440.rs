//! Python's order: PEP 440, "Summary of permitted suffixes and relative ordering".
//!
//! Versions from before PEP 440 still lie on PyPI; they are less than every version that follows it, and ordered among
//! themselves as setuptools did before (documentation of `pkg_resources.parse_version`).

use super::key::{Key, digits, leading};

const LEGACY: u8 = 0x00;
const MODERN: u8 = 0x01;
const NUMBER: u8 = 0x10;

/// Where a version stands against its final release.
const DEV_ONLY: u8 = 0x01;
const ALPHA: u8 = 0x02;
const BETA: u8 = 0x03;
const CANDIDATE: u8 = 0x04;
const FINAL: u8 = 0x05;

pub(super) fn key(text: &str) -> Result<Box<[u8]>, &'static str> {
    let lower = text.trim().to_lowercase();
    Ok(modern(&lower, text).unwrap_or_else(|| legacy(&lower, text)))
}

/// A label, optionally after one separator, and its number, optionally after another.
fn labelled<'a>(rest: &'a str, labels: &[(&str, u8)]) -> Option<(u8, &'a str, &'a str)> {
    let bare = rest.strip_prefix(['.', '-', '_']).unwrap_or(rest);
    let (after, mark) = labels
        .iter()
        .find_map(|(label, mark)| Some((bare.strip_prefix(label)?, *mark)))?;
    let (number, numbered) = digits(after.strip_prefix(['.', '-', '_']).unwrap_or(after));
    Some(if number.is_empty() {
        (mark, "0", after)
    } else {
        (mark, number, numbered)
    })
}

fn modern(lower: &str, text: &str) -> Option<Box<[u8]>> {
    let bare = lower.strip_prefix('v').unwrap_or(lower);
    let (epoch, mut rest) = match bare.split_once('!') {
        Some((epoch, rest)) => (epoch, rest),
        None => ("0", bare),
    };
    if epoch.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut release = Vec::new();
    loop {
        let (number, after) = digits(rest);
        if number.is_empty() {
            return None;
        }
        release.push(number.trim_start_matches('0'));
        rest = after;
        match after.strip_prefix('.') {
            Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
            _ => break,
        }
    }
    while release.last().is_some_and(|number| number.is_empty()) {
        release.pop();
    }
    // Longer labels first: `preview` starts with `pre`.
    let pre = labelled(
        rest,
        &[
            ("alpha", ALPHA),
            ("a", ALPHA),
            ("beta", BETA),
            ("b", BETA),
            ("preview", CANDIDATE),
            ("pre", CANDIDATE),
            ("rc", CANDIDATE),
            ("c", CANDIDATE),
        ],
    );
    if let Some((_, _, after)) = pre {
        rest = after;
    }
    let mut post = None;
    // `1.0-1` is `1.0.post1`.
    if let Some((number, after)) = rest.strip_prefix('-').map(digits)
        && !number.is_empty()
    {
        post = Some(number);
        rest = after;
    } else if let Some((_, number, after)) = labelled(rest, &[("post", 0), ("rev", 0), ("r", 0)]) {
        post = Some(number);
        rest = after;
    }
    let dev = labelled(rest, &[("dev", 0)]);
    if let Some((_, _, after)) = dev {
        rest = after;
    }
    let local = match rest.strip_prefix('+') {
        Some(local) => Some(local),
        None if rest.is_empty() => None,
        None => return None,
    };

    let mut key = Key::for_text(text);
    key.mark(MODERN);
    key.number(epoch);
    for number in release {
        key.mark(NUMBER);
        key.number(number);
    }
    match pre {
        Some((mark, number, _)) => {
            key.mark(mark);
            key.number(number);
        }
        None if post.is_none() && dev.is_some() => key.mark(DEV_ONLY),
        None => key.mark(FINAL),
    }
    match post {
        None => key.mark(0x01),
        Some(number) => {
            key.mark(0x02);
            key.number(number);
        }
    }
    match dev {
        Some((_, number, _)) => {
            key.mark(0x01);
            key.number(number);
        }
        None => key.mark(0x02),
    }
    match local {
        None => key.mark(0x00),
        Some(local) => local_key(&mut key, local)?,
    }
    Some(key.finish())
}

/// A local version: numbers are greater than words, more segments are greater than fewer.
fn local_key(key: &mut Key, local: &str) -> Option<()> {
    key.mark(0x01);
    for segment in local.split(['.', '-', '_']) {
        if segment.is_empty() || !segment.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        if segment.bytes().all(|b| b.is_ascii_digit()) {
            key.mark(0x03);
            key.number(segment);
        } else {
            key.mark(0x02);
            key.word(segment);
        }
    }
    key.mark(0x01);
    Some(())
}

/// Numbers padded to eight digits, words marked with a star, so that words come before numbers and `dev`, `pre` and `rc` before
/// the end (which is itself a word, `*final`).
fn legacy(lower: &str, text: &str) -> Box<[u8]> {
    const END: &str = "*final";
    let mut parts: Vec<String> = Vec::new();
    let mut add = |part: String| {
        if part.starts_with('*') {
            if part.as_str() < END {
                while parts.last().is_some_and(|last| last == "*final-") {
                    parts.pop();
                }
            }
            while parts.last().is_some_and(|last| last == "00000000") {
                parts.pop();
            }
        }
        parts.push(part);
    };
    let mut rest = lower;
    while let Some(c) = rest.chars().next() {
        rest = if c.is_ascii_digit() {
            let (number, after) = digits(rest);
            add(format!("{number:0>8}"));
            after
        } else if c.is_ascii_lowercase() {
            let (word, after) = leading(rest, |c| c.is_ascii_lowercase());
            add(match word {
                "pre" | "preview" | "rc" => "*c".to_owned(),
                "dev" => "*@".to_owned(),
                other => format!("*{other}"),
            });
            after
        } else if c == '.' {
            rest.split_at(1).1
        } else {
            let (other, after) = leading(rest, |c| {
                c != '.' && !c.is_ascii_lowercase() && !c.is_ascii_digit()
            });
            // A lone hyphen is a patch level after the final release.
            add(if other == "-" {
                "*final-".to_owned()
            } else {
                format!("*{other}")
            });
            after
        };
    }
    add(END.to_owned());
    let mut key = Key::for_text(text);
    key.mark(LEGACY);
    for part in &parts {
        key.word(part);
    }
    key.finish()
}
