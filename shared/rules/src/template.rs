//! The rules, compiled to template code.
//!
//! [`definitions`] gives what `quench_chart::rewrite::driver::library` asks for: the definition `object`, which hardens
//! one object in place, and what it calls. A chart also needs one file of its own beside its templates, see
//! [`siblings_file`].
//!
//! Template functions fail on the first value of another type than they expect, and a chart renders whatever its users
//! make it render. So each path is followed with `kindIs`, and values are compared as JSON.

mod conditions;
mod steps;

use serde_json::{Value, json};

use crate::evidence::Evidence;
use crate::relocation;
use crate::rule::{Check, Condition, Scope};
use crate::rules;
use crate::settings::{FACTS, Settings};
use crate::siblings;
use crate::workload::{GROUPS, SELECTING, WORKLOADS};

use conditions::Compiler;
use quench_model::Level;

const LIBRARY: &str = concat!(
    include_str!("template/library.tpl"),
    include_str!("template/network.tpl"),
    include_str!("template/relocation.tpl")
);

/// Name of the file in each chart's `templates` folder that [`siblings_file`] makes.
pub const SIBLINGS_FILE: &str = "_quench-siblings.tpl";

/// Definitions with which a chart hardens itself: rules up to `level`, what is known of its images, and
/// default settings. The token `@quench@` stands for the prefix of definition names.
pub fn definitions(level: Level, evidence: &Evidence, settings: &Settings) -> String {
    let mut sections = [const { String::new() }; 4];
    for rule in rules().filter(|rule| rule.level <= level) {
        for check in rule.checks.iter().filter(|check| !check.fixes.is_empty()) {
            let index = match check.scope {
                Scope::Container | Scope::RegularContainer => 0,
                Scope::Pod => 1,
                Scope::Object => 2,
                Scope::Release => 3,
                Scope::Chart => continue,
            };
            if let Some(section) = sections.get_mut(index) {
                section.push_str(&compile(rule.id, check));
            }
        }
    }
    let [container, pod, object, release] = sections;
    let workloads: Vec<String> = WORKLOADS
        .iter()
        .map(|(kind, keys)| format!("{} {}", quoted(kind), list(keys)))
        .collect();
    let facts: Vec<String> = FACTS
        .iter()
        .map(|(name, kind)| format!("{} {}", quoted(name), quoted(kind)))
        .collect();
    let groups: Vec<String> = GROUPS.iter().map(|group| quoted(group)).collect();
    let parts = [
        ("@container@", container),
        ("@pod@", pod),
        ("@object@", object),
        ("@release@", release),
        (
            "@selecting@",
            list(&SELECTING)
                .trim_matches(['(', ')'])
                .replacen("list ", "", 1),
        ),
        ("@siblings@", siblings::KINDS.join("|")),
        ("@workloads@", workloads.join(" ")),
        ("@groups@", groups.join(" ")),
        ("@facts@", facts.join(" ")),
        ("@never@", list(&relocation::NEVER)),
        ("@names@", list(&relocation::NAMES)),
        ("@containers@", list(&relocation::CONTAINERS)),
        ("@repositories@", list(&relocation::REPOSITORIES)),
        ("@tags@", list(&relocation::TAGS)),
        ("@defaults@", embedded(&settings.to_json())),
        ("@evidence@", embedded(&evidence.to_json())),
    ];
    fill(&compact(LIBRARY), &parts)
}

/// Path in the root chart of the template that Helm renders after all others: it renders templates of deeper folders
/// first, and those of one folder in descending order of their names, in which nothing that charts use comes before
/// an exclamation mark.
pub const RELEASE_FILE: &str = "templates/!quench.yaml";

/// Content of that template. Objects that rules add to the release are its.
pub fn release_file(prefix: &str) -> String {
    format!("{{{{- include \"{prefix}.release\" . -}}}}\n")
}

/// Content of the file that tells the library which templates of a chart can render accounts, bindings and
/// Services, by their paths below the folder of templates, with a slash before them; and whether another
/// chart of the same tree can render bindings.
pub fn siblings_file(templates: &[String], elsewhere: bool) -> String {
    embedded(&json!({"templates": templates, "elsewhere": elsewhere}))
}

/// Definitions with a table of JSON in place of the token `@table@`.
pub(crate) fn with_table(text: &str, table: &Value) -> String {
    fill(&compact(text), &[("@table@", embedded(table))])
}

/// Puts parts in place of their tokens, each token once, parts not looked into: they hold foreign text.
fn fill(text: &str, parts: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    loop {
        let next = parts
            .iter()
            .filter_map(|(token, part)| Some((rest.find(token)?, *token, part)))
            .min_by_key(|(at, _, _)| *at);
        let Some((at, token, part)) = next else {
            filled.push_str(rest);
            return filled;
        };
        filled.push_str(rest.get(..at).unwrap_or_default());
        filled.push_str(part);
        rest = rest.get(at + token.len()..).unwrap_or_default();
    }
}

/// Without indentation and comments: it becomes part of each release's Secret, which may have 1 MiB in all.
fn compact(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("{{- /*"))
        .collect::<String>()
        // Nothing stands between actions any more, so there is nothing to trim.
        .replace("{{- ", "{{")
        .replace(" -}}", "}}")
}

/// JSON as text of a template. Delimiters of actions can only stand in strings, where they can be escaped, and
/// so must the library's token.
fn embedded(value: &Value) -> String {
    value
        .to_string()
        .replace("{{", "{\\u007b")
        .replace("@quench@", "\\u0040quench@")
}

fn compile(id: &'static str, check: &Check) -> String {
    let mut code = Compiler::new(id);
    // What is fixed by decision alone costs nothing where nobody decided so.
    let by_decision = check.fixes.iter().all(|fix| needs_decision(&fix.when));
    if by_decision {
        code.open(&format!(
            "if and (hasKey $decided {0}) (not (hasKey $off {0}))",
            quoted(id)
        ));
    } else {
        code.open(&format!("if not (hasKey $off {})", quoted(id)));
    }
    if !check.kinds.is_empty() {
        code.open(&format!("if has $kind {}", list(check.kinds)));
    }
    if check.scope == Scope::RegularContainer {
        code.open("if eq $list \"containers\"");
    }
    for condition in [&check.applies, &check.broken] {
        if !matches!(condition, Condition::Always) {
            let holds = code.condition(condition);
            code.open(&format!("if {holds}"));
        }
    }
    let conditions: Vec<String> = check
        .fixes
        .iter()
        .map(|fix| code.condition(&fix.when))
        .collect();
    for (index, (fix, holds)) in check.fixes.iter().zip(conditions).enumerate() {
        match index {
            0 => code.open(&format!("if {holds}")),
            _ => code.otherwise(&format!("else if {holds}")),
        }
        code.steps(fix.steps);
    }
    code.finish()
}

/// Whether a condition can only hold where the settings say so.
fn needs_decision(condition: &Condition) -> bool {
    match condition {
        Condition::Decided => true,
        Condition::All(all) => all.iter().any(needs_decision),
        _ => false,
    }
}

/// Text as a Go string. JSON's escapes are all Go's too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn list(items: &[&str]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("(list {})", items.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_text_cannot_become_an_action() {
        let hostile = json!({"{{ fail \"x\" }}": ["}}", "@quench@.object", "{{{"]});
        let text = embedded(&hostile);
        assert!(!text.contains("{{"));
        assert!(!text.contains("@quench@"));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), hostile);
    }

    #[test]
    fn parts_are_not_looked_into() {
        let parts = [("@a@", "@b@".to_owned()), ("@b@", "x".to_owned())];
        assert_eq!(fill("1 @a@ 2 @b@ 3", &parts), "1 @b@ 2 x 3");
    }

    #[test]
    fn definitions_balance_and_are_small() {
        let text = definitions(Level::Operable, &Evidence::default(), &Settings::default());
        let actions = || text.split("{{").skip(1);
        let opened = actions()
            .filter(|action| {
                ["if ", "range ", "define ", "with "]
                    .iter()
                    .any(|word| action.starts_with(word))
            })
            .count();
        let ended = actions()
            .filter(|action| action.starts_with("end}}"))
            .count();
        assert_eq!(opened, ended);
        assert!(text.len() < 84 << 10, "{} bytes", text.len());
        // Helm compresses what goes into a release's Secret.
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
        let packed = packed.finish().unwrap().len();
        assert!(packed < 14 << 10, "{packed} bytes packed");
        println!("{} bytes, {packed} packed", text.len());
    }
}
