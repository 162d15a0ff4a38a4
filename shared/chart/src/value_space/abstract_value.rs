//! What an expression of a template stands for, without rendering it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ValuePath;
use super::effective::Effective;
use crate::template::Expr;

/// What an expression stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Abstract {
    /// What templates of an instance get as `.`: `Values`, `Chart` and so on.
    Context(usize),
    /// The value at a path.
    At(ValuePath),
    /// Known for certain.
    Known(Value),
    /// A map made in the template.
    Map(BTreeMap<String, Abstract>),
    /// A list made in the template.
    List(Vec<Abstract>),
    /// One of these, or made of them.
    Any(Vec<Abstract>),
    /// Anything.
    Unknown,
}

/// Most alternatives kept; more say no more.
const MAX_ALTERNATIVES: usize = 12;

impl Abstract {
    pub(super) fn any(members: impl IntoIterator<Item = Self>) -> Self {
        let mut flat: Vec<Self> = Vec::new();
        for member in members {
            let parts = match member {
                Self::Any(parts) => parts,
                one => vec![one],
            };
            for part in parts {
                if part != Self::Unknown && !flat.contains(&part) && flat.len() < MAX_ALTERNATIVES {
                    flat.push(part);
                }
            }
        }
        match (flat.pop(), flat.is_empty()) {
            (None, _) => Self::Unknown,
            (Some(only), true) => only,
            (Some(last), false) => {
                flat.push(last);
                Self::Any(flat)
            }
        }
    }

    /// What is `name` of it.
    pub(super) fn field(&self, name: &str, effective: &Effective<'_>) -> Self {
        match self {
            Self::Context(instance) => context_field(*instance, name, effective),
            Self::At(path) => {
                let child = path.child(name);
                // In a subchart `.Values.global` is the root's.
                if name == "global" && effective.instances.iter().any(|i| i.prefix == *path) {
                    return Self::At(ValuePath::new(["global"]));
                }
                Self::At(child)
            }
            Self::Known(value) => value
                .get(name)
                .map_or(Self::Unknown, |v| Self::Known(v.clone())),
            Self::Map(map) => map.get(name).cloned().unwrap_or(Self::Unknown),
            Self::Any(members) => Self::any(members.iter().map(|m| m.field(name, effective))),
            Self::List(_) | Self::Unknown => Self::Unknown,
        }
    }

    /// Every path in it.
    pub(super) fn paths<'a>(&'a self, found: &mut Vec<&'a ValuePath>) {
        match self {
            Self::At(path) => found.push(path),
            Self::Any(members) | Self::List(members) => {
                members.iter().for_each(|member| member.paths(found));
            }
            Self::Map(map) => map.values().for_each(|member| member.paths(found)),
            Self::Context(_) | Self::Known(_) | Self::Unknown => {}
        }
    }

    /// The text it is, where that is certain.
    pub(super) fn known_text(&self) -> Option<&str> {
        match self {
            Self::Known(Value::String(text)) => Some(text),
            _ => None,
        }
    }
}

fn context_field(instance: usize, name: &str, effective: &Effective<'_>) -> Abstract {
    let Some(this) = effective.instances.get(instance) else {
        return Abstract::Unknown;
    };
    match name {
        "Values" => Abstract::At(this.prefix.clone()),
        "Chart" => {
            let text = |text: &str| Abstract::Known(text.into());
            Abstract::Map(BTreeMap::from([
                ("Name".to_owned(), text(&this.node.name)),
                ("Version".to_owned(), text(&this.node.version)),
                (
                    "AppVersion".to_owned(),
                    text(this.node.app_version.as_deref().unwrap_or_default()),
                ),
            ]))
        }
        "Subcharts" => Abstract::Map(
            this.children
                .iter()
                .map(|(name, child)| (name.clone(), Abstract::Context(*child)))
                .collect(),
        ),
        _ => Abstract::Unknown,
    }
}

/// What names stand for at one place of a template.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) dot: Abstract,
    /// What the template was called with.
    pub(super) root: Abstract,
    pub(super) variables: Vec<(String, Abstract)>,
}

impl Scope {
    pub(super) fn new(argument: Abstract) -> Self {
        Self {
            dot: argument.clone(),
            root: argument,
            variables: Vec::new(),
        }
    }

    /// Sets a variable. One of that name may keep what it was: whether it is set again may hang on something.
    pub(super) fn assign(&mut self, name: &str, value: Abstract) {
        match self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            Some((_, known)) => *known = Abstract::any([known.clone(), value]),
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    pub(super) fn evaluate(&self, expr: &Expr, effective: &Effective<'_>) -> Abstract {
        match expr {
            Expr::Literal(value) => Abstract::Known(value.clone()),
            Expr::Dot => self.dot.clone(),
            Expr::Variable(name) if name.is_empty() => self.root.clone(),
            Expr::Variable(name) => self
                .variables
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map_or(Abstract::Unknown, |(_, value)| value.clone()),
            Expr::Field(base, name) => self.evaluate(base, effective).field(name, effective),
            Expr::Call(function, arguments) => {
                // A helper's text is made of what it reads, not of what it is called with.
                if function == "include" {
                    return Abstract::Unknown;
                }
                let arguments = arguments.iter().map(|a| self.evaluate(a, effective));
                call(function, arguments.collect(), effective)
            }
            Expr::Other(parts) => {
                Abstract::any(parts.iter().map(|part| self.evaluate(part, effective)))
            }
        }
    }
}

fn call(function: &str, arguments: Vec<Abstract>, effective: &Effective<'_>) -> Abstract {
    match function {
        "index" => {
            let mut arguments = arguments.into_iter();
            let base = arguments.next().unwrap_or(Abstract::Unknown);
            follow(base, arguments, effective)
        }
        "get" => {
            let mut arguments = arguments.into_iter();
            let base = arguments.next().unwrap_or(Abstract::Unknown);
            follow(base, arguments.take(1), effective)
        }
        // dig "a" "b" default map
        "dig" => {
            let mut arguments = arguments;
            let (base, default) = (arguments.pop(), arguments.pop());
            let found = follow(base.unwrap_or(Abstract::Unknown), arguments, effective);
            Abstract::any([found, default.unwrap_or(Abstract::Unknown)])
        }
        "dict" => {
            let mut map = BTreeMap::new();
            let mut arguments = arguments.into_iter();
            while let (Some(key), Some(value)) = (arguments.next(), arguments.next()) {
                if let Some(key) = key.known_text() {
                    map.insert(key.to_owned(), value);
                }
            }
            Abstract::Map(map)
        }
        "list" | "tuple" => Abstract::List(arguments),
        // Another name for the last argument, or text made of it.
        "default" | "quote" | "squote" | "toString" | "trim" | "lower" | "upper" | "toYaml"
        | "toJson" | "fromYaml" | "fromJson" | "deepCopy" | "mustDeepCopy" | "coalesce" | "tpl"
        | "merge" | "mergeOverwrite" | "mustMerge" | "mustMergeOverwrite" | "concat" | "omit"
        | "pick" | "ternary" | "and" | "or" | "required" | "nindent" | "indent" | "trimSuffix"
        | "trimPrefix" | "trunc" | "replace" | "print" | "cat" | "set" | "append" | "prepend"
        | "compact" | "uniq" | "first" | "last" | "join" | "splitList" | "values" => {
            Abstract::any(arguments)
        }
        "printf" => format(&arguments).unwrap_or_else(|| Abstract::any(arguments)),
        // What is asked about a value is not the value.
        "eq" | "ne" | "gt" | "ge" | "lt" | "le" | "not" | "empty" | "hasKey" | "has" | "len"
        | "kindIs" | "kindOf" | "typeOf" | "typeIs" | "contains" | "hasPrefix" | "hasSuffix"
        | "semverCompare" | "regexMatch" | "lookup" | "sha256sum" | "b64enc" | "keys" => {
            Abstract::Unknown
        }
        _ => Abstract::any(arguments),
    }
}

fn follow(
    base: Abstract,
    keys: impl IntoIterator<Item = Abstract>,
    effective: &Effective<'_>,
) -> Abstract {
    keys.into_iter()
        .fold(base, |value, key| match key.known_text() {
            Some(key) => value.field(key, effective),
            None => Abstract::Unknown,
        })
}

/// `printf` of texts that are all known, with no verb but `%s`.
fn format(arguments: &[Abstract]) -> Option<Abstract> {
    let (first, rest) = arguments.split_first()?;
    let mut text = String::new();
    let mut parts = first.known_text()?.split("%s");
    text.push_str(parts.next()?);
    let mut rest = rest.iter();
    for part in parts {
        text.push_str(rest.next()?.known_text()?);
        text.push_str(part);
    }
    (!text.contains('%')).then(|| Abstract::Known(text.into()))
}
