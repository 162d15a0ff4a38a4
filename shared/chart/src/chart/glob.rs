//! Shell patterns as Go's `path/filepath.Match` reads them, which is what `.helmignore` is written in.

/// A pattern that Go refuses as malformed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

/// Whether `pattern` matches all of `name`. `*` and `?` do not match `/`.
pub(super) fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let pattern: Vec<char> = pattern.chars().collect();
    check(&pattern)?;
    let name: Vec<char> = name.chars().collect();
    Ok(run(&pattern, &name))
}

/// Whether the pattern is well-formed; Go finds that out while matching.
fn check(mut pattern: &[char]) -> Result<(), BadPattern> {
    while let Some((first, rest)) = pattern.split_first() {
        pattern = match first {
            '\\' => rest.split_first().ok_or(BadPattern)?.1,
            '[' => class(rest, '\0').ok_or(BadPattern)?.1,
            _ => rest,
        };
    }
    Ok(())
}

/// Linear in the pattern for each `*`: only the last star is ever tried again.
fn run(pattern: &[char], name: &[char]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    let mut retry: Option<(&[char], &[char])> = None;
    loop {
        let step = match pattern.split_first() {
            Some(('*', rest)) => {
                retry = Some((rest, name));
                pattern = rest;
                continue;
            }
            Some((first, rest)) => one(*first, rest, name),
            None if name.is_empty() => return true,
            None => None,
        };
        if let Some((rest, tail)) = step {
            (pattern, name) = (rest, tail);
            continue;
        }
        // Give the last star one more character, which may not be a separator.
        match retry {
            Some((rest, [first, tail @ ..])) if *first != '/' => {
                retry = Some((rest, tail));
                (pattern, name) = (rest, tail);
            }
            _ => return false,
        }
    }
}

/// Matches one pattern element other than `*` against the head of `name`.
fn one<'p, 'n>(
    first: char,
    rest: &'p [char],
    name: &'n [char],
) -> Option<(&'p [char], &'n [char])> {
    let (head, tail) = name.split_first()?;
    match first {
        '?' => (*head != '/').then_some((rest, tail)),
        '[' => {
            let (matched, rest) = class(rest, *head)?;
            matched.then_some((rest, tail))
        }
        '\\' => {
            let (literal, rest) = rest.split_first()?;
            (literal == head).then_some((rest, tail))
        }
        literal => (literal == *head).then_some((rest, tail)),
    }
}

/// Reads a character class after its `[`: whether it matches `c`, and what follows it.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let (negated, mut rest) = match pattern {
        ['^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut matched = false;
    let mut ranges = 0;
    loop {
        if let [']', tail @ ..] = rest
            && ranges > 0
        {
            return Some((matched != negated, tail));
        }
        let (low, tail) = class_char(rest)?;
        let (high, tail) = match tail {
            ['-', tail @ ..] => class_char(tail)?,
            _ => (low, tail),
        };
        matched |= low <= c && c <= high;
        ranges += 1;
        rest = tail;
    }
}

fn class_char(pattern: &[char]) -> Option<(char, &[char])> {
    let (first, rest) = pattern.split_first()?;
    match first {
        '-' | ']' => None,
        '\\' => rest.split_first().map(|(c, rest)| (*c, rest)),
        c => Some((*c, rest)),
    }
    // Go wants something to follow within the class.
    .filter(|(_, rest)| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        // The table of Go's own documentation and behaviour of path/filepath.Match.
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "x", true),
            ("*x", "xxx", true),
            (".?*", ".gitkeep", true),
            (".?*", ".", false),
        ] {
            assert_eq!(matches(pattern, name), Ok(expected), "{pattern} {name}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in [
            "[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "a[", "[^bc",
        ] {
            assert_eq!(matches(pattern, "a"), Err(BadPattern), "{pattern}");
        }
    }
}
