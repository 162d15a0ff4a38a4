//! Maven's order: "Version Order Specification" of the POM reference (<https://maven.apache.org/pom.html>),
//! as Maven has followed it since 3.9.0, where `.foo` and `-foo` became the same. Before, 1-1 < 1.0.rc < 1 < 1-1 held.

use super::key::{Key, digits, leading};

const END: u8 = 0x10;
const RELEASED: u8 = 0x11;
const SERVICE_PACK: u8 = 0x12;
const WORD: u8 = 0x13;
const HYPHEN_NUMBER: u8 = 0x14;
const DOT_NUMBER: u8 = 0x15;

#[derive(Debug)]
enum Token {
    /// After a dot (or first), without leading zeros.
    Dot(String),
    /// After a hyphen or a letter.
    Hyphen(String),
    /// A qualifier; `.foo` and `-foo` are the same.
    Word(String),
}

impl Token {
    /// Whether it is worth nothing at an end.
    fn is_null(&self) -> bool {
        match self {
            Self::Dot(number) | Self::Hyphen(number) => number.is_empty(),
            Self::Word(word) => word.is_empty(),
        }
    }
}

pub(super) fn key(text: &str) -> Result<Box<[u8]>, &'static str> {
    let lower = text.to_lowercase();
    let mut tokens: Vec<Token> = Vec::new();
    let mut rest = lower.as_str();
    let mut hyphen = false;
    loop {
        let (number, after) = digits(rest);
        let (word, after) = if number.is_empty() {
            leading(rest, |c| !matches!(c, '.' | '-') && !c.is_ascii_digit())
        } else {
            ("", after)
        };
        if word.is_empty() {
            // An empty token counts as zero.
            let number = number.trim_start_matches('0').to_owned();
            if hyphen {
                trim(&mut tokens);
                tokens.push(Token::Hyphen(number));
            } else {
                tokens.push(Token::Dot(number));
            }
        } else {
            trim(&mut tokens);
            let before_number = after.starts_with(|c: char| c.is_ascii_digit());
            tokens.push(Token::Word(canonical(word, before_number).to_owned()));
        }
        let Some(c) = after.chars().next() else {
            break;
        };
        // Between a digit and a letter stands a hyphen nobody wrote.
        hyphen = c != '.';
        rest = after.strip_prefix(['.', '-']).unwrap_or(after);
    }
    trim(&mut tokens);
    let mut key = Key::for_text(text);
    for token in &tokens {
        match token {
            Token::Dot(number) => {
                key.mark(DOT_NUMBER);
                key.number(number);
            }
            Token::Hyphen(number) => {
                key.mark(HYPHEN_NUMBER);
                key.number(number);
            }
            Token::Word(word) => match word.as_str() {
                "alpha" => key.mark(0x01),
                "beta" => key.mark(0x02),
                "milestone" => key.mark(0x03),
                "rc" => key.mark(0x04),
                "snapshot" => key.mark(0x05),
                "" => key.mark(RELEASED),
                "sp" => key.mark(SERVICE_PACK),
                other => {
                    key.mark(WORD);
                    key.word(other);
                }
            },
        }
    }
    key.mark(END);
    Ok(key.finish())
}

/// The one name of a qualifier that has several.
fn canonical(word: &str, before_number: bool) -> &str {
    match word {
        "a" if before_number => "alpha",
        "b" if before_number => "beta",
        "m" if before_number => "milestone",
        "cr" => "rc",
        "final" | "ga" | "release" => "",
        other => other,
    }
}

/// Drops what is worth nothing before a hyphen and at the end; the first token stays.
fn trim(tokens: &mut Vec<Token>) {
    while tokens.len() > 1 && tokens.last().is_some_and(Token::is_null) {
        tokens.pop();
    }
}
