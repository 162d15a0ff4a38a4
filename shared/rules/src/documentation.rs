//! The rules, for people: made from the declarations alone, so it cannot say other than what is done.

use std::fmt::Write as _;

use crate::rule::{Check, Expression, Literal, Path, Root, Rule, Scope, Step};
use crate::rules;

/// What is to be known about a rule, each part as lines without markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Where it looks: containers, pods, objects, of which kinds.
    pub looks_at: Vec<String>,
    /// What the fix does; empty for rules that only report.
    pub fixes: Vec<String>,
    /// When it is reported instead, and what to do then.
    pub unfixed: Vec<String>,
    /// Evidence the fix needs.
    pub needs: Vec<String>,
    /// Controls that ask for the same.
    pub references: Vec<String>,
    /// YAML of a waiver, for a policy.
    pub waiver: String,
    /// YAML of values that switch it off.
    pub off: String,
}

/// What is to be known about a rule.
pub fn explain(rule: &Rule) -> Explained {
    let mut looks_at: Vec<String> = Vec::new();
    let mut fixes: Vec<String> = Vec::new();
    let mut unfixed: Vec<String> = Vec::new();
    let once = |lines: &mut Vec<String>, line: String| {
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for check in rule.checks {
        once(&mut looks_at, place(check));
        for fix in check.fixes {
            for line in fix.steps.iter().flat_map(steps) {
                once(&mut fixes, line);
            }
        }
        for reason in check.unfixed {
            once(&mut unfixed, reason.text.to_owned());
        }
    }
    Explained {
        looks_at,
        fixes,
        unfixed,
        needs: rule
            .needs
            .iter()
            .map(|need| need.name().to_owned())
            .collect(),
        references: rule.references.iter().map(ToString::to_string).collect(),
        waiver: waiver(rule),
        off: format!(
            "global:\n  hardening:\n    rules:\n      {}:\n        enabled: false\n",
            rule.id
        ),
    }
}

/// A waiver for a place the rule looks at.
fn waiver(rule: &Rule) -> String {
    let check = rule.checks.first();
    let kind = check
        .and_then(|check| check.kinds.first())
        .copied()
        .unwrap_or("Deployment");
    let container = check
        .is_some_and(|check| matches!(check.scope, Scope::Container | Scope::RegularContainer));
    let container = if container {
        "    container: app\n"
    } else {
        ""
    };
    format!(
        "waivers:\n  - rule: {}\n    kind: {kind}\n    name: web-*\n{container}    reason: why it is accepted\n    \
         expires: \"2027-01-31\"\n",
        rule.id
    )
}

fn place(check: &Check) -> String {
    let what = match check.scope {
        Scope::Object => "objects",
        Scope::Pod => "pods",
        Scope::Container => "containers, init containers included",
        Scope::RegularContainer => "containers",
        Scope::Release => {
            "workloads whose pods go by a selector, once all of the release is rendered"
        }
        Scope::Chart => "the chart and its values",
    };
    match check.kinds {
        [] => what.to_owned(),
        kinds if check.scope == Scope::Object => kinds.join(", "),
        kinds => format!("{what} of {}", kinds.join(", ")),
    }
}

fn steps(step: &Step) -> Vec<String> {
    match step {
        Step::Set(path, value) => vec![format!("sets {} to {}", field(path), put(value))],
        Step::SetMissing(path, value) => vec![format!(
            "sets {} to {} where there is nothing",
            field(path),
            put(value)
        )],
        Step::Remove(path) => vec![format!("removes {}", field(path))],
        Step::Append(path, text) => vec![format!("adds {text} to {}", field(path))],
        Step::RemoveItems(path, _) => {
            vec![format!("takes the offending items out of {}", field(path))]
        }
        Step::RemoveRepeated(path, key) => vec![format!(
            "takes items of {} out that a later one of the same {key} overrides",
            field(path)
        )],
        Step::Each(path, _, inner) => inner
            .iter()
            .flat_map(steps)
            .map(|line| format!("{line}, for each in {}", field(path)))
            .collect(),
        Step::Isolate(direction) => vec![format!(
            "adds a NetworkPolicy for {} of the workload's pods",
            direction.name().to_lowercase()
        )],
        Step::When(_, inner) => inner
            .iter()
            .flat_map(steps)
            .map(|line| {
                if line.starts_with("where needed, ") {
                    line
                } else {
                    format!("where needed, {line}")
                }
            })
            .collect(),
        Step::MountWritable(_) => vec![
            "mounts an empty volume at each path the image writes to that lies on no volume yet"
                .to_owned(),
        ],
        Step::Relocate => vec![
            "puts the registry of the settings and the digest into each reference of the package in arguments, environment, \
             custom resources, ConfigMaps and Secrets"
                .to_owned(),
        ],
    }
}

fn field(path: &Path) -> String {
    let of = match path.root {
        Root::Object => "the object",
        Root::Template => "the pod's template",
        Root::Pod => "the pod",
        Root::Container => "the container",
        Root::Image => "the image",
        Root::Pin => "the image lock",
        Root::Item => "the item",
        Root::Settings => "the settings",
    };
    match path.dotted().as_str() {
        "" => of.to_owned(),
        keys => format!("{keys} of {of}"),
    }
}

fn put(expression: &Expression) -> String {
    match expression {
        Expression::Literal(Literal::Bool(value)) => value.to_string(),
        Expression::Literal(Literal::Number(value)) => value.to_string(),
        Expression::Literal(Literal::Text(value)) => (*value).to_owned(),
        Expression::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key}: {}", put(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Expression::One(one) => format!("[{}]", put(one)),
        Expression::Each(path, key) => format!("every {key} of {}", field(path)),
        Expression::Of(path) => format!("what {} says", field(path)),
        Expression::Pinned => {
            "the image's reference with its digest, at the registry of the settings if there is one"
                .to_owned()
        }
        Expression::ServedPort => "the port a Service of the chart leads to".to_owned(),
        Expression::ChartName => "the chart's name".to_owned(),
        Expression::AppVersion => "the application's version".to_owned(),
        Expression::ReleaseName => "the release's name".to_owned(),
        Expression::ReleaseService => "what installs the release".to_owned(),
    }
}

/// A rule as text of a terminal.
pub fn describe(rule: &Rule) -> String {
    let explained = explain(rule);
    let mut text = format!("{}: {}\n\n{}\n\n", rule.id, rule.title, rule.rationale);
    for (name, value) in facts(rule, &explained) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "- {name}: {value}");
    }
    for (title, lines) in [
        ("The fix", &explained.fixes),
        (unfixed_title(&explained), &explained.unfixed),
    ] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}:");
            for line in lines {
                let _ = writeln!(text, "- {line}");
            }
        }
    }
    for (title, yaml) in yaml_parts(&explained) {
        let _ = writeln!(text, "\n{title}:\n");
        for line in yaml.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// A rule as a section of a Markdown page, with a heading of that depth.
pub fn markdown(rule: &Rule, depth: usize) -> String {
    let explained = explain(rule);
    let mut text = format!(
        "{} {}\n\n{}.\n\n{}\n\n",
        "#".repeat(depth),
        rule.id,
        sentence(rule.title),
        rule.rationale
    );
    for (name, value) in facts(rule, &explained) {
        let _ = writeln!(text, "- {name}: {value}");
    }
    for (title, lines) in [
        ("The fix", &explained.fixes),
        (unfixed_title(&explained), &explained.unfixed),
    ] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}:\n");
            for line in lines {
                let _ = writeln!(text, "- {}", line.replace('<', "&lt;").replace('*', "\\*"));
            }
        }
    }
    for (title, yaml) in yaml_parts(&explained) {
        let _ = writeln!(text, "\n{title}:\n\n```yaml\n{yaml}```");
    }
    text
}

/// The whole catalogue as one Markdown page.
pub fn catalogue() -> String {
    let mut text = String::from(
        "# Rules\n\nMade by `quench rules --format markdown` from the declarations that are evaluated and compiled into charts.\n\n\
         | rule | level | severity | fix | what |\n|---|---|---|---|---|\n",
    );
    for rule in rules() {
        let _ = writeln!(
            text,
            "| [{id}](#{id}) | {} | {} | {} | {} |",
            rule.level.number(),
            rule.severity,
            rule.safety.meaning(),
            rule.title,
            id = rule.id,
        );
    }
    for rule in rules() {
        text.push('\n');
        text.push_str(&markdown(rule, 2));
    }
    text
}

fn facts(rule: &Rule, explained: &Explained) -> Vec<(&'static str, String)> {
    [
        ("severity", rule.severity.name().to_owned()),
        ("level", format!("{} ({})", rule.level.number(), rule.level)),
        ("fix", rule.safety.meaning().to_owned()),
        ("looks at", explained.looks_at.join("; ")),
        ("evidence needed", explained.needs.join(", ")),
        ("asked for by", explained.references.join(", ")),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

fn unfixed_title(explained: &Explained) -> &'static str {
    if explained.fixes.is_empty() {
        "It is reported, not fixed"
    } else {
        "It is reported instead of fixed when"
    }
}

fn yaml_parts(explained: &Explained) -> [(&'static str, &str); 2] {
    [
        (
            "A waiver, in the policy or under global.hardening of the values",
            &explained.waiver,
        ),
        ("Switched off altogether, in the values", &explained.off),
    ]
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            for part in [rule.id, rule.title, rule.rationale] {
                assert!(!part.contains("  "), "{part}");
            }
        }
    }

    #[test]
    fn what_is_said_about_a_rule_can_be_used() {
        for rule in rules() {
            let explained = explain(rule);
            let waiver = quench_chart::yaml::parse(&explained.waiver).unwrap();
            let policy: quench_model::Policy = serde_json::from_value(waiver).unwrap();
            assert!(policy.waivers.iter().all(|waiver| waiver.rule == rule.id));
            assert!(!policy.waivers.is_empty());
            let off = quench_chart::yaml::parse(&explained.off).unwrap();
            let settings = crate::Settings::default()
                .with_values(off.pointer("/global/hardening").unwrap())
                .unwrap();
            assert!(settings.off.contains(rule.id), "{off}");
            let fixes = rule.checks.iter().any(|check| !check.fixes.is_empty());
            assert_eq!(fixes, !explained.fixes.is_empty(), "{}", rule.id);
            assert!(!explained.looks_at.is_empty());
        }
    }

    #[test]
    fn the_catalogue_has_a_section_a_rule() {
        let page = catalogue();
        for rule in rules() {
            assert_eq!(
                page.matches(&format!("\n## {}\n", rule.id)).count(),
                1,
                "{}",
                rule.id
            );
        }
    }
}
