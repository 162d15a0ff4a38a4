//! What the forward index holds for a package and an advisory: the affected versions, already read.
//!
//! Only in the database of one machine: the exported form keeps versions as text, so that keys may change with
//! the code.

use super::record::{Affected, Event};
use crate::{Ecosystem, Order, Version};

/// Affected versions of a package, by one advisory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Whether some of what the advisory says could not be read, so that "not affected" cannot be told.
    pub(super) incomplete: bool,
    intervals: Vec<Interval>,
    /// Keys of versions that are affected and lie in no interval, sorted.
    versions: Vec<Box<[u8]>>,
}

/// Versions from `from` to `to`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    /// Key of the first affected version; nothing for all from the beginning.
    from: Option<Box<[u8]>>,
    to: Bound,
    /// The fixed version's text.
    fixed: Option<String>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Before(Box<[u8]>),
    UpTo(Box<[u8]>),
    Open,
}

impl Interval {
    fn contains(&self, version: &[u8]) -> bool {
        self.from.as_deref().is_none_or(|from| from <= version)
            && match &self.to {
                Bound::Before(end) => version < &**end,
                Bound::UpTo(end) => version <= &**end,
                Bound::Open => true,
            }
    }
}

/// A version's key in an ecosystem. Where no order is known, the text itself: it can be compared for being the same.
pub(super) fn key(ecosystem: &Ecosystem, version: &str) -> Result<Box<[u8]>, String> {
    match ecosystem.order() {
        Some(order) => Version::parse(order, version)
            .map(|version| version.key().into())
            .map_err(|error| error.to_string()),
        None => Ok(version.as_bytes().into()),
    }
}

impl Row {
    pub(super) fn of(affected: &Affected) -> Self {
        let mut row = Self::default();
        let ecosystem = &affected.package.ecosystem;
        for events in &affected.ranges {
            match ecosystem.order().and_then(|order| intervals(order, events)) {
                Some(intervals) => row.intervals.extend(intervals),
                None => row.incomplete = true,
            }
        }
        row.intervals.sort();
        row.intervals.dedup();
        for version in &affected.versions {
            match key(ecosystem, version) {
                Ok(key) if row.intervals.iter().any(|interval| interval.contains(&key)) => {}
                Ok(key) => row.versions.push(key),
                Err(_) => row.incomplete = true,
            }
        }
        row.versions.sort();
        row.versions.dedup();
        row
    }

    /// Whether nothing is affected, and that is known.
    pub(super) fn is_empty(&self) -> bool {
        !self.incomplete && self.intervals.is_empty() && self.versions.is_empty()
    }

    /// Whether a version is affected; inside, the smallest version told to fix it.
    pub(super) fn affects(&self, version: &[u8]) -> Option<Option<&str>> {
        let hit = self
            .intervals
            .iter()
            .any(|interval| interval.contains(version))
            || self
                .versions
                .binary_search_by(|listed| (**listed).cmp(version))
                .is_ok();
        if !hit {
            return None;
        }
        // The interval's own fix first: a fix of another branch may be smaller and is none for this one.
        let smallest = |only_own: bool| {
            self.intervals
                .iter()
                .filter(|interval| !only_own || interval.contains(version))
                .filter_map(|interval| match (&interval.to, &interval.fixed) {
                    (Bound::Before(end), Some(text)) if &**end > version => Some((end, text)),
                    _ => None,
                })
                .min()
                .map(|(_, text)| text.as_str())
        };
        let inside = self
            .intervals
            .iter()
            .any(|interval| interval.contains(version));
        Some(smallest(inside))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.incomplete)];
        put_number(&mut bytes, self.intervals.len());
        for interval in &self.intervals {
            put(&mut bytes, interval.from.as_deref().unwrap_or_default());
            match &interval.to {
                Bound::Before(end) => {
                    bytes.push(1);
                    put(&mut bytes, end);
                }
                Bound::UpTo(end) => {
                    bytes.push(2);
                    put(&mut bytes, end);
                }
                Bound::Open => bytes.push(0),
            }
            put(
                &mut bytes,
                interval.fixed.as_deref().unwrap_or_default().as_bytes(),
            );
        }
        put_number(&mut bytes, self.versions.len());
        for version in &self.versions {
            put(&mut bytes, version);
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let incomplete = take(&mut rest, 1)? == [1];
        let mut intervals = Vec::new();
        for _ in 0..take_number(&mut rest)? {
            let from = take_field(&mut rest)?;
            let to = match take(&mut rest, 1)? {
                [0] => Bound::Open,
                [1] => Bound::Before(take_field(&mut rest)?.into()),
                [2] => Bound::UpTo(take_field(&mut rest)?.into()),
                _ => return None,
            };
            let fixed = std::str::from_utf8(take_field(&mut rest)?).ok()?;
            intervals.push(Interval {
                from: (!from.is_empty()).then(|| from.into()),
                to,
                fixed: (!fixed.is_empty()).then(|| fixed.to_owned()),
            });
        }
        let mut versions = Vec::new();
        for _ in 0..take_number(&mut rest)? {
            versions.push(take_field(&mut rest)?.into());
        }
        rest.is_empty().then_some(Self {
            incomplete,
            intervals,
            versions,
        })
    }
}

/// Turns a range's events into intervals, as OSV's evaluation does: in the order of versions, `introduced` begins and
/// `fixed`, `last_affected` or `limit` ends. Nothing when a version cannot be read.
fn intervals(order: Order, events: &[Event]) -> Option<Vec<Interval>> {
    let mut points = Vec::with_capacity(events.len());
    for event in events {
        let (Event::Introduced(text)
        | Event::Fixed(text)
        | Event::LastAffected(text)
        | Event::Limit(text)) = event;
        // `0` is before every version, also before those that sort before 0.
        let key = match text.as_str() {
            "0" => None,
            text => Some(Box::<[u8]>::from(Version::parse(order, text).ok()?.key())),
        };
        points.push((key, event));
    }
    points.sort_by(|a, b| a.0.cmp(&b.0));
    let mut intervals = Vec::new();
    let mut open: Option<Option<Box<[u8]>>> = None;
    for (key, event) in points {
        let ends = match event {
            Event::Introduced(_) => {
                open.get_or_insert(key);
                continue;
            }
            // Nothing is before the beginning.
            Event::Fixed(_) | Event::Limit(_) => key.map(Bound::Before),
            Event::LastAffected(_) => key.map(Bound::UpTo),
        };
        let (Some(from), Some(to)) = (open.take(), ends) else {
            continue;
        };
        let empty = match &to {
            Bound::Before(end) => from.as_ref() == Some(end),
            _ => false,
        };
        if !empty {
            intervals.push(Interval {
                from,
                to,
                fixed: match event {
                    Event::Fixed(text) => Some(text.clone()),
                    _ => None,
                },
            });
        }
    }
    if let Some(from) = open {
        intervals.push(Interval {
            from,
            to: Bound::Open,
            fixed: None,
        });
    }
    Some(intervals)
}

fn put_number(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    // Keys and texts come from versions of at most 1024 bytes.
    let field = field
        .get(..field.len().min(usize::from(u16::MAX)))
        .unwrap_or_default();
    bytes.extend(u16::try_from(field.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(field);
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_number(rest: &mut &[u8]) -> Option<u32> {
    take(rest, 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn take_field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take(rest, 2)?.try_into().ok().map(u16::from_le_bytes)?;
    take(rest, usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::PackageKey;

    fn row(ecosystem: &str, ranges: &[&[(&str, &str)]], versions: &[&str]) -> Row {
        let event = |(kind, version): &(&str, &str)| {
            let version = (*version).to_owned();
            match *kind {
                "introduced" => Event::Introduced(version),
                "fixed" => Event::Fixed(version),
                "last_affected" => Event::LastAffected(version),
                _ => Event::Limit(version),
            }
        };
        let row = Row::of(&Affected {
            package: PackageKey {
                ecosystem: ecosystem.parse().unwrap(),
                name: "x".into(),
            },
            ranges: ranges
                .iter()
                .map(|events| events.iter().map(event).collect())
                .collect(),
            versions: versions.iter().map(|v| (*v).to_owned()).collect(),
            severity: None,
            vector: None,
        });
        assert_eq!(Row::decode(&row.encode()).unwrap(), row);
        row
    }

    fn affects<'a>(row: &'a Row, ecosystem: &str, version: &str) -> Option<Option<&'a str>> {
        row.affects(&key(&ecosystem.parse().unwrap(), version).unwrap())
    }

    #[test]
    fn a_range_ends_before_fixed_and_with_last_affected() {
        let fixed = row(
            "Debian:12",
            &[&[("introduced", "0"), ("fixed", "1.2-1+deb12u1")]],
            &[],
        );
        assert_eq!(
            affects(&fixed, "Debian:12", "1.2-1"),
            Some(Some("1.2-1+deb12u1"))
        );
        assert_eq!(
            affects(&fixed, "Debian:12", "0~rc1-1"),
            Some(Some("1.2-1+deb12u1"))
        );
        assert_eq!(affects(&fixed, "Debian:12", "1.2-1+deb12u1"), None);
        let last = row(
            "PyPI",
            &[&[("introduced", "1.0"), ("last_affected", "1.2")]],
            &[],
        );
        assert_eq!(affects(&last, "PyPI", "1.2.0"), Some(None));
        assert_eq!(affects(&last, "PyPI", "1.2.1"), None);
        assert_eq!(affects(&last, "PyPI", "0.9"), None);
    }

    #[test]
    fn each_branch_has_its_own_fix() {
        let row = row(
            "Bitnami",
            &[
                &[("introduced", "1.0.0"), ("fixed", "1.4.2")],
                &[
                    ("introduced", "2.0.0"),
                    ("fixed", "2.1.0"),
                    ("introduced", "3.0.0"),
                ],
            ],
            &[],
        );
        assert_eq!(affects(&row, "Bitnami", "1.3.0"), Some(Some("1.4.2")));
        assert_eq!(affects(&row, "Bitnami", "1.4.2"), None);
        assert_eq!(affects(&row, "Bitnami", "2.0.5"), Some(Some("2.1.0")));
        assert_eq!(affects(&row, "Bitnami", "3.7.0"), Some(None));
    }

    #[test]
    fn fixed_from_the_beginning_means_never_affected() {
        let row = row("Debian:12", &[&[("introduced", "0"), ("fixed", "0")]], &[]);
        assert!(row.is_empty());
        let same = [("introduced", "2026.3.0"), ("fixed", "2026.3.0")];
        assert!(self::row("Bitnami", &[&same], &[]).is_empty());
    }

    #[test]
    fn listed_versions_are_affected_beside_ranges() {
        let row = row(
            "PyPI",
            &[&[("introduced", "2.0"), ("fixed", "2.2")]],
            &["1.0", "2.1"],
        );
        assert_eq!(row.versions.len(), 1, "2.1 lies in the range");
        assert_eq!(affects(&row, "PyPI", "1.0.0"), Some(Some("2.2")));
        assert_eq!(affects(&row, "PyPI", "1.1"), None);
    }

    #[test]
    fn what_cannot_be_read_is_not_called_unaffected() {
        assert!(
            row(
                "Debian:12",
                &[&[("introduced", "0"), ("fixed", "a:b")]],
                &[]
            )
            .incomplete
        );
        let unknown = row(
            "Hackage",
            &[&[("introduced", "0"), ("fixed", "2")]],
            &["1.5"],
        );
        assert!(
            unknown.incomplete,
            "nobody said how Hackage orders versions"
        );
        assert_eq!(affects(&unknown, "Hackage", "1.5"), Some(None));
    }

    #[test]
    fn events_count_in_the_order_of_versions() {
        let row = row("Go", &[&[("fixed", "1.2.0"), ("introduced", "1.0.0")]], &[]);
        assert_eq!(affects(&row, "Go", "v1.1.0"), Some(Some("1.2.0")));
        assert_eq!(affects(&row, "Go", "v1.2.0"), None);
        let limited = self::row("Go", &[&[("introduced", "0"), ("limit", "2.0.0")]], &[]);
        assert_eq!(affects(&limited, "Go", "v1.9.0"), Some(None));
        assert_eq!(affects(&limited, "Go", "v2.0.0"), None);
    }
}
