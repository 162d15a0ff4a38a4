//! Versions and version ranges as Helm reads them.
//!
//! Helm resolves dependencies with the Go library Masterminds/semver, whose ranges are not Cargo's: `1.2` means
//! `1.2.x` and not `^1.2`, a comma or a space means *and*, `||` means *or*, `1.2 - 2` is a range, and a range without
//! a pre-release never takes one.

use std::cmp::Ordering;

use semver::{Prerelease, Version};

/// Longest range read, in bytes: each part of one is compared with every version of an index.
const MAX_LENGTH: usize = 1024;

/// A version as Helm reads one: with or without a leading `v`, missing parts are zero.
pub fn version(text: &str) -> Option<Version> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at_checked(end)?;
    let missing = match core.matches('.').count() {
        0 => ".0.0",
        1 => ".0",
        _ => "",
    };
    Version::parse(&format!("{core}{missing}{rest}")).ok()
}

/// Orders versions as Helm does: build metadata does not count.
pub fn compare(a: &Version, b: &Version) -> Ordering {
    a.cmp_precedence(b)
}

/// A range of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    /// Any of these; each is met when all of its comparators are.
    alternatives: Vec<Vec<Comparator>>,
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a version range: {reason}")]
pub struct RangeError {
    text: String,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// How many parts of a comparator's version are given; the rest is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    Nothing,
    Major,
    Minor,
    Patch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparator {
    operator: Operator,
    version: Version,
    given: Given,
}

impl VersionRange {
    /// Every version but pre-releases: what Helm takes where nothing is asked for.
    pub fn any() -> Self {
        Self {
            alternatives: vec![vec![Comparator::free()]],
        }
    }

    /// Reads a range; an empty one takes everything but pre-releases.
    ///
    /// # Errors
    /// The text is no range, or longer than a range has reason to be.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let error = |reason: String| RangeError {
            text: text.chars().take(200).collect(),
            reason,
        };
        if text.len() > MAX_LENGTH {
            return Err(error(format!("it is longer than {MAX_LENGTH} bytes")));
        }
        let alternatives = text
            .split("||")
            .map(|part| all_of(part).map_err(&error))
            .collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// Whether a version lies in the range.
    pub fn takes(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|all| {
            // One pre-release among them says that pre-releases are wanted (since Masterminds/semver 3.4).
            let pre = all
                .iter()
                .any(|comparator| !comparator.version.pre.is_empty());
            all.iter().all(|comparator| comparator.takes(version, pre))
        })
    }
}

/// Comparators of one alternative: separated by commas or white space, `a - b` for a range from a to b.
fn all_of(text: &str) -> Result<Vec<Comparator>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Ok(vec![Comparator::free()]);
    }
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(['=', '!', '>', '<', '~', '^']);
        let (sign, after) = rest
            .split_at_checked(rest.len() - digits.len())
            .unwrap_or_default();
        let operator = operator(sign)?;
        let after = after.trim_start();
        let end = after
            .find(|c: char| c == ',' || c.is_whitespace() || "=!><~^".contains(c))
            .unwrap_or(after.len());
        let (written, after) = after.split_at_checked(end).unwrap_or_default();
        if written.is_empty() {
            return Err(format!("{sign:?} has no version behind it"));
        }
        let mut comparator = Comparator::read(operator, written)?;
        rest = after.trim_start();
        if let Some(to) = upper_end(rest).filter(|_| sign.is_empty()) {
            comparator.operator = Operator::GreaterOrEqual;
            let end = to
                .find(|c: char| c == ',' || c.is_whitespace())
                .unwrap_or(to.len());
            let (written, after) = to.split_at_checked(end).unwrap_or_default();
            found.push(comparator);
            comparator = Comparator::read(Operator::LessOrEqual, written)?;
            rest = after.trim_start();
        }
        found.push(comparator);
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            if rest.is_empty() {
                return Err("nothing follows its last comma".to_owned());
            }
        }
    }
    Ok(found)
}

/// What follows the dash of `a - b`.
fn upper_end(rest: &str) -> Option<&str> {
    let after = rest.strip_prefix('-')?;
    after
        .starts_with(char::is_whitespace)
        .then(|| after.trim_start())
}

fn operator(sign: &str) -> Result<Operator, String> {
    Ok(match sign {
        "" | "=" => Operator::Equal,
        "!=" => Operator::NotEqual,
        ">" => Operator::Greater,
        ">=" | "=>" => Operator::GreaterOrEqual,
        "<" => Operator::Less,
        "<=" | "=<" => Operator::LessOrEqual,
        "~" | "~>" => Operator::Tilde,
        "^" => Operator::Caret,
        other => return Err(format!("{other:?} is no comparison")),
    })
}

impl Comparator {
    fn free() -> Self {
        Self {
            operator: Operator::Equal,
            version: Version::new(0, 0, 0),
            given: Given::Nothing,
        }
    }

    fn read(operator: Operator, text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no version");
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (core, rest) = text.split_at_checked(end).ok_or_else(wrong)?;
        let mut numbers = [0_u64; 3];
        let mut given = Given::Nothing;
        let mut free = false;
        let mut parts = core.split('.');
        for (number, level) in numbers
            .iter_mut()
            .zip([Given::Major, Given::Minor, Given::Patch])
        {
            match parts.next() {
                None | Some("x" | "X" | "*") => free = true,
                // What stands behind a free part says nothing.
                Some(part) => {
                    let value = part.parse().map_err(|_| wrong())?;
                    if !free {
                        *number = value;
                        given = level;
                    }
                }
            }
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        let [major, minor, patch] = numbers;
        let mut version = Version::new(major, minor, patch);
        let pre = rest.split('+').next().unwrap_or_default();
        if let Some(pre) = pre.strip_prefix('-') {
            version.pre = Prerelease::new(pre)
                .ok()
                .filter(|pre| !pre.is_empty())
                .ok_or_else(wrong)?;
        }
        Ok(Self {
            operator,
            version,
            given,
        })
    }

    fn takes(&self, version: &Version, pre: bool) -> bool {
        let order = compare(version, &self.version);
        if self.operator == Operator::NotEqual && self.given == Given::Patch {
            return order.is_ne();
        }
        if !version.pre.is_empty() && !pre {
            return false;
        }
        match self.operator {
            Operator::Equal if self.given == Given::Patch => order.is_eq(),
            Operator::Equal => order.is_ge() && self.agrees(version, self.given),
            Operator::NotEqual => !self.agrees(version, self.given),
            Operator::Greater => order.is_gt() && !self.covers(version),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le() || self.covers(version),
            Operator::Tilde => order.is_ge() && self.agrees(version, self.given.min(Given::Minor)),
            Operator::Caret => order.is_ge() && self.agrees(version, self.leading()),
        }
    }

    /// Whether a version agrees in the parts up to `until`.
    fn agrees(&self, version: &Version, until: Given) -> bool {
        let own = &self.version;
        (until < Given::Major || version.major == own.major)
            && (until < Given::Minor || version.minor == own.minor)
            && (until < Given::Patch || version.patch == own.patch)
    }

    /// Whether the comparator's own version has free parts that a version fills in: `1.2.9` is not greater than `1.2`.
    fn covers(&self, version: &Version) -> bool {
        match self.given {
            Given::Patch => false,
            // `>*` is every version there is.
            Given::Nothing => self.operator == Operator::LessOrEqual,
            given => self.agrees(version, given),
        }
    }

    /// The part that a caret keeps: the first that is not zero, as far as parts are given.
    fn leading(&self) -> Given {
        let first = match (self.version.major, self.version.minor) {
            (1.., _) => Given::Major,
            (0, 1..) => Given::Minor,
            (0, 0) => Given::Patch,
        };
        first.min(self.given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_take_what_their_documentation_says() {
        // From the tables of the library's documentation, and its rules for pre-releases.
        for (range, taken, refused) in [
            ("", &["1.2.3", "0.0.1"][..], &["1.2.3-rc.1"][..]),
            ("*", &["1.2.3", "9.0.0"], &["1.0.0-alpha"]),
            (
                "1.2.3",
                &["1.2.3", "v1.2.3", "1.2.3+build"],
                &["1.2.4", "1.2.3-rc.1"],
            ),
            ("1.2", &["1.2.0", "1.2.9"], &["1.3.0", "1.1.9"]),
            ("1.x", &["1.0.0", "1.9.9"], &["2.0.0", "0.9.0"]),
            ("=1", &["1.0.0", "1.9.9"], &["2.0.0"]),
            ("~1.2.3", &["1.2.3", "1.2.9"], &["1.3.0", "1.2.2"]),
            ("~1", &["1.0.0", "1.9.0"], &["2.0.0"]),
            ("~>2.3", &["2.3.0", "2.3.9"], &["2.4.0"]),
            ("^1.2.3", &["1.2.3", "1.9.0"], &["2.0.0", "1.2.2"]),
            ("^0.2.3", &["0.2.3", "0.2.9"], &["0.3.0", "1.0.0"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4", "0.1.0"]),
            ("^0.0", &["0.0.1", "0.0.9"], &["0.1.0"]),
            ("^0", &["0.0.1", "0.9.9"], &["1.0.0"]),
            (">1.2", &["1.3.0", "2.0.0"], &["1.2.9", "1.2.0"]),
            (">11", &["12.0.0"], &["11.1.0"]),
            ("<=11", &["11.9.9", "10.0.0"], &["12.0.0"]),
            ("<2", &["1.9.9"], &["2.0.0"]),
            (">= 1.2, < 3.0.0", &["1.2.0", "2.9.9"], &["3.0.0", "1.1.0"]),
            (">=1.2 <1.4", &["1.2.0", "1.3.9"], &["1.4.0"]),
            ("1.2 - 1.4.5", &["1.2.0", "1.4.5"], &["1.4.6", "1.1.9"]),
            ("1.2 - 1.4", &["1.4.9"], &["1.5.0"]),
            ("< 1 || >= 2.0", &["0.9.0", "2.0.0"], &["1.5.0"]),
            ("!=1.5.0", &["1.4.0", "1.6.0"], &["1.5.0"]),
            ("!=1.5", &["1.4.0", "2.5.1"], &["1.5.7"]),
            (">1.0.0-0 <2", &["1.0.0-alpha", "1.0.1-rc.1"], &["2.0.0"]),
            (
                ">1.0.0-0",
                &["1.0.0-alpha", "1.0.1-rc.1", "2.0.0"],
                &["1.0.0-0"],
            ),
            ("^1.0.0-alpha", &["1.0.0-beta", "1.5.0"], &["2.0.0"]),
        ] {
            let parsed = VersionRange::parse(range).unwrap();
            for text in taken {
                assert!(
                    parsed.takes(&version(text).unwrap()),
                    "{range} takes {text}"
                );
            }
            for text in refused {
                assert!(
                    !parsed.takes(&version(text).unwrap()),
                    "{range} refuses {text}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "latest",
            ">=",
            "1.2.3.4",
            "1.2,",
            "=>>1",
            "1.a",
            "1.0.0-",
            &"1 ".repeat(600),
        ] {
            assert!(VersionRange::parse(text).is_err(), "{text}");
        }
        assert_eq!(version("1.2").unwrap(), Version::new(1, 2, 0));
        assert_eq!(version("v2-rc.1").unwrap().to_string(), "2.0.0-rc.1");
        assert_eq!(version("latest"), None);
    }
}
