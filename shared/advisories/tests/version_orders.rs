//! Version orders against the published comparisons of each ecosystem, and against the laws of an order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::cmp::Ordering;
use std::path::PathBuf;

use proptest::prelude::*;
use quench_advisories::{Order, Version};

/// Compares every line of a file of comparisons; returns how many there were and the lines that came out otherwise.
fn check(order: Order, text: &str) -> (usize, Vec<String>) {
    let mut count = 0;
    let mut wrong = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') || line.starts_with("//") || line.trim().is_empty() {
            continue;
        }
        let mut fields = line.split_whitespace();
        let (Some(left), Some(sign), Some(right), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            wrong.push(format!("{line}: not understood"));
            continue;
        };
        // PHP holds a number sign equal to numbers that differ: the only text no order has room for, so it is refused.
        if order == Order::Composer && line.contains('#') {
            assert!(Version::parse(order, left).is_err());
            continue;
        }
        count += 1;
        let expected = match sign {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            ">" => Ordering::Greater,
            _ => panic!("{line}: unknown sign"),
        };
        match (Version::parse(order, left), Version::parse(order, right)) {
            (Ok(left), Ok(right)) if left.cmp(&right) == expected => {}
            (Ok(left), Ok(right)) => wrong.push(format!("{line}: {:?}", left.cmp(&right))),
            (left, right) => wrong.push(format!("{line}: {left:?} {right:?}")),
        }
    }
    (count, wrong)
}

/// Comparisons made by a Maven before 3.9.0, whose order ran in circles: a hyphen and a dot before a qualifier were
/// different, so that 2.9.0-1 < 2.9.0.RC1 < 2.9.0 < 2.9.0-1 (MNG-7644).
const AS_BEFORE_MAVEN_3_9: [&str; 20] = [
    "1.0.0-RC16 < 1.0.0.RC8-beta",
    "1.0.0-gradle-rework-beta3 < 1.0.0.RC7-3",
    "2.9.0-1 < 2.9.0.RC1",
    "3.6.2.FL.20090615 < 3.6.2-FL-2009-05-11",
    "6.1.12.rc5 < 6.1.12rc1",
    "1.1.31.sec10 < 1.1.31_noneautotype",
    "1.1.34.sec10 < 1.1.34_noneautotype",
    "1.1.46.sec10 < 1.1.46_noneautotype",
    "1.2.8.sec10_noneautotype < 1.2.8_noneautotype",
    "1.2.31.sec10 < 1.2.31_noneautotype",
    "1.2.48.sec10 < 1.2.48_noneautotype",
    "1.2.50.sec10 < 1.2.50_noneautotype",
    "1.2.54.sec10 < 1.2.54_noneautotype",
    "1.2.57.sec10 < 1.2.57_noneautotype",
    "1.2.60.sec10 < 1.2.60_noneautotype",
    "1.2.67.sec10 < 1.2.67_noneautotype",
    "1.0.0rc0 < 1.0.beta8",
    "1.5.9.RC1 < 1.5.9-RC0",
    "3.5.0-CR-2 < 3.5.0.Beta-1",
    "1.1.0-01-glassfish < 1.1.0.Beta1",
];

#[test]
fn published_comparisons_come_out_as_published() {
    let Some(folder) = std::env::var_os("QUENCH_CONFORMANCE").map(PathBuf::from) else {
        eprintln!("SKIPPED: QUENCH_CONFORMANCE names no folder of comparisons");
        return;
    };
    let mut failed = Vec::new();
    for (order, name, generated) in [
        (Order::Dpkg, "debian", true),
        (Order::Apk, "alpine", true),
        (Order::Rpm, "redhat", false),
        (Order::SemVer, "semver", false),
        (Order::Pep440, "pypi", true),
        (Order::Maven, "maven", true),
        (Order::RubyGems, "rubygems", true),
        (Order::NuGet, "nuget", false),
        (Order::Composer, "packagist", true),
    ] {
        let mut otherwise = 0;
        for suffix in [Some(""), generated.then_some("-generated")]
            .into_iter()
            .flatten()
        {
            let path = folder.join(format!("versions/{name}-versions{suffix}.txt"));
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
            let (count, wrong) = check(order, &text);
            eprintln!(
                "{name}{suffix}: {} of {count} as published",
                count - wrong.len()
            );
            assert!(count > 0, "{} has no comparison", path.display());
            otherwise += wrong.len();
            failed.extend(
                wrong
                    .into_iter()
                    .map(|line| format!("{name}{suffix}: {line}")),
            );
        }
        if order == Order::Maven {
            failed.retain(|line| !AS_BEFORE_MAVEN_3_9.iter().any(|old| line.contains(old)));
            assert_eq!(otherwise, AS_BEFORE_MAVEN_3_9.len());
        }
    }
    assert!(
        failed.is_empty(),
        "{} comparisons come out otherwise:\n{}",
        failed.len(),
        failed
            .iter()
            .take(60)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
}

const ORDERS: [Order; 9] = [
    Order::Dpkg,
    Order::Apk,
    Order::Rpm,
    Order::SemVer,
    Order::Pep440,
    Order::Maven,
    Order::RubyGems,
    Order::NuGet,
    Order::Composer,
];

/// Debian policy 5.6.12 as it is worded: compare runs without digits, then runs of digits, in turn.
fn as_debian_policy_words_it(left: &str, right: &str) -> Ordering {
    fn rank(c: Option<char>) -> (u8, u32) {
        match c {
            Some('~') => (0, 0),
            None => (1, 0),
            Some(c) if c.is_ascii_alphabetic() => (2, c as u32),
            Some(c) => (3, c as u32),
        }
    }
    fn part(mut left: &str, mut right: &str) -> Ordering {
        while !left.is_empty() || !right.is_empty() {
            let split = |text: &str, digits: bool| {
                text.find(|c: char| c.is_ascii_digit() != digits)
                    .unwrap_or(text.len())
            };
            let (a, left_rest) = left.split_at(split(left, false));
            let (b, right_rest) = right.split_at(split(right, false));
            for at in 0..a.len().max(b.len()) {
                let order = rank(a.chars().nth(at)).cmp(&rank(b.chars().nth(at)));
                if order.is_ne() {
                    return order;
                }
            }
            let (a, left_rest) = left_rest.split_at(split(left_rest, true));
            let (b, right_rest) = right_rest.split_at(split(right_rest, true));
            let number = |text: &str| text.parse::<u128>().unwrap_or(0);
            let order = number(a).cmp(&number(b));
            if order.is_ne() {
                return order;
            }
            (left, right) = (left_rest, right_rest);
        }
        Ordering::Equal
    }
    let split = |text: &'_ str| -> (u64, String, String) {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        (epoch.parse().unwrap(), upstream.into(), revision.into())
    };
    let (a, b) = (split(left), split(right));
    a.0.cmp(&b.0)
        .then_with(|| part(&a.1, &b.1))
        .then_with(|| part(&a.2, &b.2))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn dpkg_keys_compare_as_policy_words_it(
        left in "([0-9]{1,2}:)?[0-9][a-c0-9.+~]{0,6}(-[a-c0-9.+~]{1,4})?",
        right in "([0-9]{1,2}:)?[0-9][a-c0-9.+~]{0,6}(-[a-c0-9.+~]{1,4})?",
    ) {
        let key = |text: &str| Version::parse(Order::Dpkg, text).unwrap();
        prop_assert_eq!(key(&left).cmp(&key(&right)), as_debian_policy_words_it(&left, &right));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_text_is_ordered_or_refused(
        a in "[0-9a-cprv._+:~^!#-]{0,9}",
        b in "\\PC{0,6}",
        c in "[0-9]{1,2}(\\.[0-9]{1,2}){0,2}([-_.~^]?(a|b|rc|p|alpha|dev|post|sp|r|final)[0-9]{0,2}){0,2}",
    ) {
        for order in ORDERS {
            let read: Vec<Version> = [&a, &b, &c]
                .into_iter()
                .filter_map(|text| Version::parse(order, text).ok())
                .collect();
            for x in &read {
                prop_assert_eq!(x.cmp(x), Ordering::Equal);
                for y in &read {
                    prop_assert_eq!(x.cmp(y), y.cmp(x).reverse());
                    for z in &read {
                        if x <= y && y <= z {
                            prop_assert!(x <= z, "{:?} {:?} {:?} {:?}", order, x, y, z);
                        }
                    }
                }
            }
        }
    }

    /// Equal versions stay equal, and greater ones greater, when the same revision is put behind them: a key's parts end
    /// themselves, so nothing that follows can reach into them.
    #[test]
    fn what_follows_does_not_change_what_was_decided(
        left in "[0-9]{1,2}(\\.[0-9]{1,2}){0,3}",
        right in "[0-9]{1,2}(\\.[0-9]{1,2}){0,3}",
        release in "[0-9]{1,2}",
    ) {
        for (order, separator) in [(Order::Dpkg, "-"), (Order::Rpm, "-"), (Order::Apk, "-r")] {
            let key = |text: &str| Version::parse(order, text).unwrap();
            let with = |text: &str| key(&format!("{text}{separator}{release}"));
            let bare = key(&left).cmp(&key(&right));
            prop_assert_eq!(bare, with(&left).cmp(&with(&right)), "{:?}", order);
        }
    }
}

#[test]
fn what_is_no_version_is_refused_with_the_reason() {
    for (order, text) in [
        (Order::Dpkg, ""),
        (Order::Dpkg, "x:1"),
        (Order::Dpkg, ":1"),
        (Order::Dpkg, "1:-1"),
        (Order::SemVer, "latest"),
        (Order::RubyGems, "1.0/2"),
        (Order::Apk, "1\n2"),
        (Order::Rpm, &"1".repeat(2000)),
    ] {
        let error = Version::parse(order, text).unwrap_err().to_string();
        assert!(error.contains("is not a version that"), "{error}");
    }
}

/// The real dpkg, where there is one.
#[test]
fn dpkg_itself_agrees() {
    let versions = [
        "1.0",
        "1.0-0",
        "1.0-1",
        "1.0~rc1-1",
        "1.0~~",
        "1.0~",
        "1.0+b1",
        "1.0-1+deb12u1",
        "1.0-1~deb12u1",
        "1:0.9",
        "0:1.0",
        "1.0a",
        "1.0a0",
        "1.00",
        "1.0.",
        "1.0-1.1",
        "1.0+dfsg-1",
        "1.0+dfsg1-1",
        "2.36-9+deb12u10",
    ];
    let holds = |left: &str, relation: &str, right: &str| {
        std::process::Command::new("dpkg")
            .args(["--compare-versions", left, relation, right])
            .status()
            .map(|status| status.success())
    };
    if holds("1", "eq", "1").is_err() {
        eprintln!("SKIPPED: there is no dpkg to ask");
        return;
    }
    for left in versions {
        for right in versions {
            let key = |text: &str| Version::parse(Order::Dpkg, text).unwrap();
            let relation = match key(left).cmp(&key(right)) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            assert!(
                holds(left, relation, right).unwrap(),
                "{left} {relation} {right}"
            );
        }
    }
}
