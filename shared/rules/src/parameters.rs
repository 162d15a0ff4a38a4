//! Security parameters: values of charts that make what they render safer or less safe.
//!
//! Chart authors know their software better than any rule does, and many a chart can be made safer by its own values alone:
//! authentication, TLS, network policies, accounts, debug modes. [`parameters`] lists what such values are called, what they
//! mean, which value is the safe one, and whether a machine may choose it. [`matching`] finds the parameter a value is.
//! The search that tries them on a chart is in [`crate::hardening`].

mod catalogue;

use quench_chart::values_documentation::ValuesDocumentation;
use quench_model::Severity;
use serde_json::Value;

use crate::rule::Reference;

/// Id of the rule that parameters of a chart stand at their safe values; what switches and waivers of the search name.
pub const RULE: &str = "parameters";
/// Id of the rule that no password of a chart is one everybody knows.
pub const NO_DEFAULT_PASSWORD: &str = "no-default-password";
/// Id of the rule that parts nobody needs are off.
pub const OPTIONAL_PARTS_OFF: &str = "optional-parts-off";
/// Id of the rule that every value is documented.
pub const VALUES_DOCUMENTED: &str = "values-documented";
/// Kind under which waivers of [`RULE`] find a parameter; its path is the name.
pub const KIND: &str = "Parameter";

/// A value of charts that matters to security.
#[derive(Debug)]
pub struct Parameter {
    /// Name in this catalogue.
    pub id: &'static str,
    /// Last keys of its path, with dots between. `*` stands for any run of characters within a key; upper and lower case are the
    /// same.
    pub paths: &'static [&'static str],
    /// What a path must not have among its keys for the parameter to be meant.
    pub unless: &'static [&'static str],
    /// Values that are not safe.
    pub unsafe_when: Unsafe,
    /// The safe value.
    pub safe: Safe,
    /// What it does, in one line.
    pub meaning: &'static str,
    /// Why the safe value is safer.
    pub why: &'static str,
    /// Whether a machine may choose the safe value where it can be shown to do no harm, or why not.
    pub choice: Choice,
    /// What may go from what the chart renders when the safe value is chosen.
    pub removes: Removes,
    /// How bad an unsafe value is.
    pub severity: Severity,
    /// Rule that findings about it name.
    pub rule: &'static str,
    /// Controls that ask for the same.
    pub references: &'static [Reference],
}

/// Values of a parameter that are not safe.
#[derive(Debug, Clone, Copy)]
pub enum Unsafe {
    /// This boolean.
    Bool(bool),
    /// One of these texts.
    Text(&'static [&'static str]),
    /// Any text that is not empty.
    AnyText,
    /// A number that is not 0.
    AnyNumber,
    /// None: other rules decide from evidence, and the value is only told of.
    Never,
}

impl Unsafe {
    /// Whether a value is one of them.
    pub fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Bool(wrong), Value::Bool(value)) => wrong == *value,
            (Self::Text(wrong), Value::String(value)) => wrong.contains(&value.as_str()),
            (Self::AnyText, Value::String(value)) => !value.is_empty(),
            (Self::AnyNumber, Value::Number(value)) => value.as_f64() != Some(0.0),
            _ => false,
        }
    }
}

/// The safe value of a parameter.
#[derive(Debug, Clone, Copy)]
pub enum Safe {
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(&'static str),
    /// One that only the user can name, in these words.
    Given(&'static str),
}

impl Safe {
    /// The value; none where only the user can name one.
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Bool(value) => Some(Value::Bool(value)),
            Self::Text(value) => Some(Value::String(value.to_owned())),
            Self::Given(_) => None,
        }
    }
}

/// Who chooses the safe value.
#[derive(Debug, Clone, Copy)]
pub enum Choice {
    /// The search, where it is shown to do no harm.
    Search,
    /// People: it changes what the software can do, or how it is reached, as these words tell.
    People(&'static str),
    /// The rules, which decide from image evidence what the chart's value cannot know.
    Rules,
}

/// What may go when the safe value is chosen.
#[derive(Debug, Clone, Copy)]
pub enum Removes {
    /// Nothing.
    Nothing,
    /// Objects of these kinds.
    Kinds(&'static [&'static str]),
    /// What the chart renders from `templates/tests/`.
    Tests,
}

/// Every parameter, the more telling first.
pub fn parameters() -> impl Iterator<Item = &'static Parameter> {
    catalogue::FAMILIES.iter().copied().flatten()
}

/// The parameter that the value at a path of a chart's values is.
pub fn matching(path: &[String]) -> Option<&'static Parameter> {
    let keys: Vec<String> = path.iter().map(|key| key.to_ascii_lowercase()).collect();
    parameters().find(|parameter| {
        let wanted = parameter
            .paths
            .iter()
            .any(|pattern| ends_with(&keys, pattern));
        wanted
            && !parameter.unless.iter().any(|word| {
                let word = word.to_ascii_lowercase();
                keys.iter().any(|key| key.contains(&word))
            })
    })
}

/// Whether keys (in lower case) end in those of a pattern.
fn ends_with(keys: &[String], pattern: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let wanted: Vec<&str> = pattern.split('.').collect();
    keys.len() >= wanted.len()
        && wanted
            .iter()
            .rev()
            .zip(keys.iter().rev())
            .all(|(wanted, key)| fits(wanted, key))
}

fn fits(pattern: &str, key: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == key,
        Some((head, tail)) => {
            key.len() >= head.len() + tail.len() && key.starts_with(head) && key.ends_with(tail)
        }
    }
}

/// Puts into documentation of values what they mean for security.
pub fn annotate(documentation: &mut ValuesDocumentation) {
    for value in &mut documentation.values {
        let path = split(&value.path);
        value.security = matching(&path).map(|parameter| {
            let safe = match (parameter.safe, parameter.choice) {
                (_, Choice::Rules) => "the chart's rules decide it from the image".to_owned(),
                (Safe::Bool(safe), _) => format!("safe value: {safe}"),
                (Safe::Text(safe), _) => format!("safe value: {safe}"),
                (Safe::Given(words), _) => words.to_owned(),
            };
            format!("{}; {safe}", parameter.why)
        });
    }
}

/// Keys of a path as `path_text` writes it.
pub(crate) fn split(path: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'.') => {
                chars.next();
                if let Some(key) = keys.last_mut() {
                    key.push('.');
                }
            }
            '.' => keys.push(String::new()),
            c => {
                if let Some(key) = keys.last_mut() {
                    key.push(c);
                }
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(path: &str) -> Option<&'static str> {
        matching(&split(path)).map(|parameter| parameter.id)
    }

    #[test]
    fn parameters_are_found_under_the_names_charts_give_them() {
        for (path, expected) in [
            ("networkPolicy.enabled", Some("network-policy")),
            ("redis.master.networkPolicy.enabled", Some("network-policy")),
            ("alertmanager.networkPolicy.enabled", Some("network-policy")),
            ("networkPolicies.enabled", Some("network-policy")),
            ("auth.enabled", Some("authentication")),
            ("architecture.auth.enabled", Some("authentication")),
            ("tls.enabled", Some("transport-encryption")),
            ("ingress.tls", None),
            ("serviceAccount.create", Some("own-account")),
            (
                "serviceAccount.automountServiceAccountToken",
                Some("account-token"),
            ),
            ("serviceAccount.automount", Some("account-token")),
            (
                "volumePermissions.containerSecurityContext.enabled",
                Some("security-context"),
            ),
            (
                "containerSecurityContext.runAsNonRoot",
                Some("decided-by-rules"),
            ),
            ("hostNetwork", Some("host-namespace")),
            ("grafana.adminPassword", Some("default-password")),
            (
                "grafana\\.ini.auth\\.anonymous.enabled",
                Some("anonymous-access"),
            ),
            ("auth.existingSecret", None),
            ("image.tag", None),
        ] {
            assert_eq!(id(path), expected, "{path}");
        }
    }

    #[test]
    fn every_parameter_is_whole() {
        let mut ids = std::collections::BTreeSet::new();
        for parameter in parameters() {
            assert!(ids.insert(parameter.id), "{} is there twice", parameter.id);
            assert!(!parameter.paths.is_empty() && !parameter.references.is_empty());
            assert!(!parameter.meaning.is_empty() && !parameter.why.is_empty());
            assert!(
                !(matches!(parameter.choice, Choice::Search) && parameter.safe.value().is_none()),
                "{}: a search needs a value to try",
                parameter.id
            );
            if let Some(safe) = parameter.safe.value() {
                assert!(!parameter.unsafe_when.holds(&safe), "{}", parameter.id);
            }
        }
    }

    #[test]
    fn paths_come_apart_as_they_were_put_together() {
        let path = ["a.b".to_owned(), "c".to_owned()];
        assert_eq!(
            split(&quench_chart::values_documentation::path_text(&path)),
            path
        );
    }
}
