//! Debian's order: Debian policy 5.6.12, "Version".

use super::key::{Key, digits, leading};

/// Sorts before everything, the end included.
const TILDE: u8 = 0x01;
/// End of a run without digits.
const END: u8 = 0x02;
/// Precedes the byte of a character that is not a letter: those sort after letters, and letters stand for themselves.
const OTHER: u8 = 0x80;

pub(super) fn key(text: &str) -> Result<Box<[u8]>, &'static str> {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) => (epoch, rest),
        None => ("0", text),
    };
    if epoch.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) {
        return Err("its epoch is not a number");
    }
    // An absent revision is equal to the revision 0.
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    if upstream.is_empty() {
        return Err("it has no upstream version");
    }
    let mut key = Key::for_text(text);
    key.number(epoch);
    part(&mut key, upstream);
    part(&mut key, revision);
    Ok(key.finish())
}

/// Writes runs without and with digits in turn.
fn part(key: &mut Key, mut rest: &str) {
    loop {
        let (other, after) = leading(rest, |c| !c.is_ascii_digit());
        for byte in other.bytes() {
            match byte {
                b'~' => key.mark(TILDE),
                letter if letter.is_ascii_alphabetic() => key.mark(letter),
                other => {
                    key.mark(OTHER);
                    key.mark(other);
                }
            }
        }
        key.mark(END);
        let (number, after) = digits(after);
        key.number(number);
        rest = after;
        if rest.is_empty() {
            // One more run, empty: only `~` sorts before it.
            key.mark(END);
            return;
        }
    }
}
