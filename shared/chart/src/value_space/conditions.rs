//! What has to be set for a condition of a template to hold.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::abstract_value::{Abstract, Scope};
use super::effective::Effective;
use super::{Changes, ScalarValue, ValuePath, cluster, is_free};
use crate::template::{Branch, BranchKind, Expr, Node, Templates};

/// Most ways to make one condition hold that are followed.
const MAX_WAYS: usize = 6;
/// Deepest nesting of named templates followed.
pub(super) const MAX_INCLUDES: usize = 24;
/// Parts of templates looked at before reading is given up: a chart of a thousand templates needs some 100,000.
const MAX_STEPS: usize = 2_000_000;
/// Most members of a map or list that a `range` is followed for.
const MAX_MEMBERS: usize = 24;

/// Ways to have both.
pub(super) fn both(left: &[Changes], right: &[Changes]) -> Vec<Changes> {
    let mut ways: Vec<Changes> = Vec::new();
    for a in left {
        for b in right {
            if ways.len() >= MAX_WAYS {
                return ways;
            }
            let fits = b
                .iter()
                .all(|(path, value)| a.get(path).is_none_or(|known| known == value));
            if fits {
                let mut way = a.clone();
                way.extend(b.iter().map(|(path, value)| (path.clone(), value.clone())));
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
        }
    }
    ways
}

fn either(ways: impl IntoIterator<Item = Vec<Changes>>) -> Vec<Changes> {
    let mut all: Vec<Changes> = Vec::new();
    for way in ways.into_iter().flatten() {
        if !all.contains(&way) {
            all.push(way);
        }
    }
    // The fewer changes, the better: one that needs none makes the others pointless.
    all.sort_by_key(Changes::len);
    if all.first().is_some_and(Changes::is_empty) {
        all.truncate(1);
    }
    all.truncate(MAX_WAYS);
    all
}

/// It holds as it is, or nothing is known about it.
fn holds() -> Vec<Changes> {
    vec![Changes::new()]
}

fn never() -> Vec<Changes> {
    Vec::new()
}

fn set(path: &ValuePath, value: ScalarValue) -> Vec<Changes> {
    vec![Changes::from([(path.clone(), value)])]
}

fn known(fact: bool) -> Vec<Changes> {
    if fact { holds() } else { never() }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Reads conditions.
pub(super) struct Conditions<'a> {
    pub(super) effective: &'a Effective<'a>,
    pub(super) templates: &'a Templates,
    steps: Cell<usize>,
    /// API versions that conditions ask for and helm does not know by itself.
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Conditions<'a> {
    pub(super) fn new(effective: &'a Effective<'a>, templates: &'a Templates) -> Self {
        Self {
            effective,
            templates,
            steps: Cell::new(0),
            asked: RefCell::default(),
        }
    }

    /// API versions that conditions asked for.
    pub(super) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    /// Counts a step; false once there were too many.
    pub(super) fn step(&self) -> bool {
        self.steps.set(self.steps.get().saturating_add(1));
        !self.is_cut()
    }

    /// Whether reading was given up.
    pub(super) fn is_cut(&self) -> bool {
        self.steps.get() > MAX_STEPS
    }

    /// The named template an `include` means, and what it is called with.
    pub(super) fn included(
        &self,
        arguments: &[Expr],
        scope: &Scope,
    ) -> Option<(&'a str, &'a [Node], Abstract)> {
        let (name, rest) = arguments.split_first()?;
        let name = scope.evaluate(name, self.effective);
        let (name, nodes) = self.templates.defines.get_key_value(name.known_text()?)?;
        let argument = rest.first().map_or(Abstract::Unknown, |argument| {
            scope.evaluate(argument, self.effective)
        });
        Some((name, nodes, argument))
    }

    /// The branches of a block, each with the ways to come to it.
    pub(super) fn ways<'b>(
        &self,
        branches: &'b [Branch],
        scope: &Scope,
        depth: usize,
    ) -> Vec<(&'b Branch, Vec<Changes>)> {
        let mut otherwise = holds();
        let mut found = Vec::with_capacity(branches.len());
        for branch in branches {
            let Some(subject) = &branch.subject else {
                found.push((branch, otherwise.clone()));
                continue;
            };
            let yes = self.satisfy(subject, true, scope, depth);
            found.push((branch, both(&otherwise, &yes)));
            otherwise = both(&otherwise, &self.satisfy(subject, false, scope, depth));
        }
        found
    }

    /// What names stand for in the body of a branch: for `range` once for each member.
    pub(super) fn scopes(&self, branch: &Branch, scope: &Scope) -> Vec<Scope> {
        let Some(subject) = &branch.subject else {
            return vec![scope.clone()];
        };
        let value = scope.evaluate(subject, self.effective);
        let with = |dot: Option<Abstract>, variables: &[(&String, Abstract)]| {
            let mut inner = scope.clone();
            inner.dot = dot.unwrap_or(inner.dot);
            for (name, value) in variables {
                inner.variables.push(((*name).clone(), value.clone()));
            }
            inner
        };
        match branch.kind {
            BranchKind::If | BranchKind::Else => {
                let variables: Vec<_> = branch
                    .variables
                    .iter()
                    .map(|n| (n, value.clone()))
                    .collect();
                vec![with(None, &variables)]
            }
            BranchKind::With => {
                let variables: Vec<_> = branch
                    .variables
                    .iter()
                    .map(|n| (n, value.clone()))
                    .collect();
                vec![with(Some(value), &variables)]
            }
            BranchKind::Range => self
                .members(&value)
                .into_iter()
                .map(|(key, member)| {
                    let variables = match branch.variables.as_slice() {
                        [] => vec![],
                        [name] => vec![(name, member.clone())],
                        [index, name, ..] => vec![(index, key), (name, member.clone())],
                    };
                    with(Some(member), &variables)
                })
                .collect(),
        }
    }

    /// Keys and members of what is gone through; one unknown member where they are not known.
    fn members(&self, value: &Abstract) -> Vec<(Abstract, Abstract)> {
        let text = |text: &str| Abstract::Known(text.into());
        let mut found: Vec<(Abstract, Abstract)> = match value {
            Abstract::At(path) => match self.effective.get(path) {
                Some(Value::Object(map)) => map
                    .keys()
                    .map(|key| (text(key), Abstract::At(path.child(key))))
                    .collect(),
                Some(Value::Array(items)) => items
                    .iter()
                    .map(|item| (Abstract::Unknown, Abstract::Known(item.clone())))
                    .collect(),
                _ => Vec::new(),
            },
            Abstract::Known(Value::Array(items)) => items
                .iter()
                .map(|item| (Abstract::Unknown, Abstract::Known(item.clone())))
                .collect(),
            Abstract::Known(Value::Object(map)) => map
                .iter()
                .map(|(key, item)| (text(key), Abstract::Known(item.clone())))
                .collect(),
            Abstract::Map(map) => map
                .iter()
                .map(|(key, member)| (text(key), member.clone()))
                .collect(),
            Abstract::List(members) => members
                .iter()
                .map(|member| (Abstract::Unknown, member.clone()))
                .collect(),
            Abstract::Any(alternatives) => alternatives
                .iter()
                .flat_map(|alternative| self.members(alternative))
                .collect(),
            Abstract::Known(_) | Abstract::Context(_) | Abstract::Unknown => Vec::new(),
        };
        found.truncate(MAX_MEMBERS);
        if found.is_empty() {
            found.push((Abstract::Unknown, Abstract::Unknown));
        }
        found
    }

    /// Ways to make an expression true, or false.
    pub(super) fn satisfy(
        &self,
        expr: &Expr,
        want: bool,
        scope: &Scope,
        depth: usize,
    ) -> Vec<Changes> {
        if !self.step() || depth > MAX_INCLUDES {
            return holds();
        }
        let Expr::Call(function, arguments) = expr else {
            return match cluster::asked_version(expr) {
                Some(version) => self.offered(&scope.evaluate(version, self.effective), want),
                None => self.truthy(&scope.evaluate(expr, self.effective), want),
            };
        };
        let each = |want| {
            arguments
                .iter()
                .map(move |argument| self.satisfy(argument, want, scope, depth))
        };
        match (function.as_str(), want) {
            ("and", true) | ("or", false) => each(want).fold(holds(), |all, one| both(&all, &one)),
            ("or", true) | ("and", false) => either(each(want)),
            ("not" | "empty", _) => arguments.first().map_or_else(holds, |argument| {
                self.satisfy(argument, !want, scope, depth)
            }),
            ("eq", _) => self.equal(arguments, want, scope, depth),
            ("ne", _) => self.equal(arguments, !want, scope, depth),
            ("ternary", _) => match arguments.as_slice() {
                [yes, no, test] => either([
                    both(
                        &self.satisfy(test, true, scope, depth),
                        &self.satisfy(yes, want, scope, depth),
                    ),
                    both(
                        &self.satisfy(test, false, scope, depth),
                        &self.satisfy(no, want, scope, depth),
                    ),
                ]),
                _ => holds(),
            },
            ("include", _) => self.output(arguments, None, want, scope, depth),
            // Offline there is nothing to look up.
            ("lookup", _) => known(!want),
            // The text of something is as true as what it is made of.
            ("trim" | "quote" | "toString" | "lower" | "fromYaml" | "tpl" | "toYaml", _)
                if !arguments.is_empty() =>
            {
                let inner = if function == "tpl" {
                    arguments.first()
                } else {
                    arguments.last()
                };
                inner.map_or_else(holds, |inner| self.satisfy(inner, want, scope, depth))
            }
            ("gt" | "ge" | "lt" | "le" | "kindIs" | "hasKey" | "has" | "contains", _) => holds(),
            _ => self.truthy(&scope.evaluate(expr, self.effective), want),
        }
    }

    /// Ways to have the cluster offer an API version, or not.
    fn offered(&self, version: &Abstract, want: bool) -> Vec<Changes> {
        let known = match version {
            Abstract::At(path) => self.effective.get(path).and_then(Value::as_str),
            version => version.known_text(),
        };
        match known {
            Some(version) if !cluster::is_built_in(version) => {
                self.asked.borrow_mut().insert(version.to_owned());
                if want {
                    set(&ValuePath::api_version(version), ScalarValue::Bool(true))
                } else {
                    holds()
                }
            }
            // Which of its own versions helm knows hangs on the version of Kubernetes.
            _ => holds(),
        }
    }

    fn truthy(&self, value: &Abstract, want: bool) -> Vec<Changes> {
        match value {
            Abstract::Unknown => holds(),
            Abstract::Context(_) => known(want),
            Abstract::Known(value) => known(is_truthy(value) == want),
            Abstract::Map(map) => known(map.is_empty() != want),
            Abstract::List(list) => known(list.is_empty() != want),
            Abstract::Any(members) => {
                either(members.iter().map(|member| self.truthy(member, want)))
            }
            Abstract::At(path) => match self.effective.get(path) {
                Some(value) if is_truthy(value) == want => holds(),
                Some(Value::Bool(_)) => set(path, ScalarValue::Bool(want)),
                Some(Value::Number(_)) if want => set(path, ScalarValue::Number(1)),
                Some(Value::String(_)) if !want && is_free(path) => {
                    set(path, ScalarValue::Text(String::new()))
                }
                None | Some(Value::Null) => match (want, self.effective.turned(path)) {
                    (false, _) => holds(),
                    (true, Some(turned)) => set(path, turned),
                    (true, None) => never(),
                },
                // What would have to stand there cannot be guessed.
                Some(_) => never(),
            },
        }
    }

    fn equal(&self, arguments: &[Expr], want: bool, scope: &Scope, depth: usize) -> Vec<Changes> {
        let [first, second, ..] = arguments else {
            return holds();
        };
        for (tested, other) in [(first, second), (second, first)] {
            let Abstract::Known(literal) = scope.evaluate(other, self.effective) else {
                continue;
            };
            if let Expr::Call(function, arguments) = tested
                && function == "include"
                && let Some(text) = literal.as_str()
            {
                return self.output(arguments, Some(text), want, scope, depth);
            }
            let value = scope.evaluate(tested, self.effective);
            let mut paths = Vec::new();
            value.paths(&mut paths);
            if let Abstract::Known(value) = &value {
                return known((*value == literal) == want);
            }
            let ways = paths
                .into_iter()
                .map(|path| self.equals(path, &literal, want));
            let ways: Vec<Vec<Changes>> = ways.collect();
            if ways.is_empty() {
                return holds();
            }
            return either(ways);
        }
        holds()
    }

    fn equals(&self, path: &ValuePath, literal: &Value, want: bool) -> Vec<Changes> {
        let current = self.effective.get(path);
        if (current == Some(literal)) == want {
            return holds();
        }
        match literal {
            Value::Bool(value) if self.effective.may_set(path) => {
                set(path, ScalarValue::Bool(*value == want))
            }
            Value::String(text)
                if want
                    && is_free(path)
                    && self.effective.may_set(path)
                    && matches!(current, None | Some(Value::Null | Value::String(_))) =>
            {
                set(path, ScalarValue::Text(text.clone()))
            }
            _ => never(),
        }
    }

    /// Ways to have a named template print something, or this text.
    fn output(
        &self,
        arguments: &[Expr],
        wanted: Option<&str>,
        want: bool,
        scope: &Scope,
        depth: usize,
    ) -> Vec<Changes> {
        let Some((_, nodes, argument)) = self.included(arguments, scope) else {
            return holds();
        };
        let mut scope = Scope::new(argument);
        let mut ways = Vec::new();
        self.outputs(nodes, wanted, &mut scope, &holds(), depth + 1, &mut ways);
        let ways = either([ways]);
        if want {
            return ways;
        }
        // What would take it away again is not looked for.
        known(!ways.first().is_some_and(Changes::is_empty))
    }

    fn outputs(
        &self,
        nodes: &[Node],
        wanted: Option<&str>,
        scope: &mut Scope,
        way: &[Changes],
        depth: usize,
        found: &mut Vec<Changes>,
    ) {
        if depth > MAX_INCLUDES {
            return;
        }
        for node in nodes {
            if !self.step() {
                return;
            }
            match node {
                Node::Text(text) => {
                    let text = text.trim();
                    if wanted.map_or(!text.is_empty(), |wanted| wanted == text) {
                        found.extend_from_slice(way);
                    }
                }
                Node::Assign(name, expr) => {
                    let value = scope.evaluate(expr, self.effective);
                    scope.assign(name, value);
                }
                Node::Print(expr) => {
                    let printed = self.printed(expr, wanted, scope, depth);
                    found.extend(both(way, &printed));
                }
                Node::Block(branches) => {
                    for (branch, ways) in self.ways(branches, scope, depth) {
                        let way = both(way, &ways);
                        for mut inner in self.scopes(branch, scope) {
                            self.outputs(&branch.body, wanted, &mut inner, &way, depth, found);
                        }
                    }
                }
            }
        }
    }

    fn printed(
        &self,
        expr: &Expr,
        wanted: Option<&str>,
        scope: &Scope,
        depth: usize,
    ) -> Vec<Changes> {
        if let Expr::Call(function, arguments) = expr {
            match function.as_str() {
                "include" => return self.output(arguments, wanted, true, scope, depth),
                // `{{ ternary "true" "" (…) }}` and `{{ and … }}` are conditions that are printed.
                "ternary" | "and" | "or" | "not" | "eq" if wanted != Some("false") => {
                    return self.satisfy(expr, true, scope, depth);
                }
                _ => {}
            }
        }
        match (scope.evaluate(expr, self.effective), wanted) {
            (Abstract::Known(value), Some(wanted)) => known(match &value {
                Value::String(text) => text == wanted,
                other => {
                    let printed = other.to_string();
                    printed == wanted
                }
            }),
            (value, None) => self.truthy(&value, true),
            (value, Some(wanted @ ("true" | "false"))) => {
                let mut paths = Vec::new();
                value.paths(&mut paths);
                let wanted = Value::Bool(wanted == "true");
                either(
                    paths
                        .into_iter()
                        .map(|path| self.equals(path, &wanted, true)),
                )
            }
            (value, Some(wanted)) => {
                let mut paths = Vec::new();
                value.paths(&mut paths);
                let wanted = Value::from(wanted);
                either(
                    paths
                        .into_iter()
                        .map(|path| self.equals(path, &wanted, true)),
                )
            }
        }
    }
}

/// Texts that paths are compared with.
pub(super) type Choices = BTreeMap<ValuePath, BTreeSet<String>>;
