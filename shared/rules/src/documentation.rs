//! The rules, for people.

use std::fmt::Write as _;

use crate::rule::Rule;

/// A rule as text of a terminal or of Markdown.
pub fn describe(rule: &Rule) -> String {
    let mut text = format!("{}: {}\n\n{}\n\n", rule.id, rule.title, rule.rationale);
    let needs: Vec<&str> = rule.needs.iter().map(|need| need.name()).collect();
    let references: Vec<String> = rule.references.iter().map(ToString::to_string).collect();
    for (name, value) in [
        ("severity", rule.severity.name().to_owned()),
        ("level", format!("{} ({})", rule.level.number(), rule.level)),
        ("fix", rule.safety.meaning().to_owned()),
        ("evidence", needs.join(", ")),
        ("asked for by", references.join(", ")),
    ] {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "- {name}: {value}");
        }
    }
    let reasons: Vec<&str> = rule
        .checks
        .iter()
        .flat_map(|check| check.unfixed)
        .map(|reason| reason.text)
        .collect();
    if !reasons.is_empty() {
        text.push_str("\nWhen it is reported instead of fixed:\n");
        for reason in reasons {
            let _ = writeln!(text, "- {reason}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    #[test]
    fn every_rule_is_whole() {
        let mut ids = std::collections::BTreeSet::new();
        for rule in rules() {
            assert!(ids.insert(rule.id), "{} is there twice", rule.id);
            assert!(
                rule.id
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                rule.id
            );
            assert!(!rule.references.is_empty(), "{}", rule.id);
            assert!(!rule.checks.is_empty(), "{}", rule.id);
            for check in rule.checks {
                assert!(
                    !check.fixes.is_empty() || !check.unfixed.is_empty(),
                    "{} neither fixes nor says why not",
                    rule.id
                );
            }
            let text = describe(rule);
            assert!(text.contains(rule.rationale));
            assert!(!text.contains("  "), "{text}");
        }
    }
}
