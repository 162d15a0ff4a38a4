//! Reading a chart's templates: what lies on the way to each part that may name an image.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::abstract_value::{Abstract, Scope};
use super::conditions::{Choices, Conditions, MAX_INCLUDES, both};
use super::effective::Effective;
use super::{Changes, ValuePath, interest};
use crate::chart::Chart;
use crate::template::{Expr, Node, Templates};

/// Most parts of templates that ways are kept for.
const MAX_PARTS: usize = 20_000;

/// A part of a template: where it lies in memory, what is printed there, and what the named template it is part of was called with.
type Part = (usize, String, String);

/// What was read.
#[derive(Default)]
pub(super) struct Analysis {
    /// For each part that may name an image, the changes that lead to it.
    ways: BTreeMap<Part, BTreeSet<Changes>>,
    /// Paths that decide about such a part.
    switches: BTreeSet<ValuePath>,
    /// Texts that decide about such a part, with what they are compared with.
    choices: Choices,
    /// API versions that templates ask for, whatever hangs on them.
    api_versions: BTreeSet<String>,
    is_cut: bool,
}

impl Analysis {
    pub(super) fn of(chart: &Chart, effective: &Effective<'_>, templates: &Templates) -> Self {
        let mut walk = Walk {
            conditions: Conditions::new(effective, templates),
            dull: BTreeSet::new(),
            open: Vec::new(),
            found: Self::default(),
        };
        for (index, instance) in effective.instances.iter().enumerate() {
            let mut interesting = false;
            for path in instance.node.rendered_templates(chart.files()) {
                if let Some(nodes) = templates.files.get(path) {
                    let mut scope = Scope::new(Abstract::Context(index));
                    interesting |= walk.nodes(nodes, &mut scope, &instance.guards, 0);
                }
            }
            if interesting {
                let guards = instance.guards.iter().flat_map(Changes::keys).cloned();
                walk.found.switches.extend(guards);
                walk.conditions_of(instance);
            }
        }
        walk.found.api_versions = walk.conditions.asked();
        walk.found.is_cut = walk.conditions.is_cut() || walk.found.ways.len() >= MAX_PARTS;
        walk.found
    }

    /// Changes that lead to parts that may name an image: for each part those that no fewer changes lead to.
    pub(super) fn demands(&self) -> BTreeSet<&Changes> {
        let mut demands = BTreeSet::new();
        for ways in self.ways.values() {
            let needless = |way: &Changes| {
                ways.iter().any(|other| {
                    other.len() < way.len()
                        && other
                            .iter()
                            .all(|(path, value)| way.get(path) == Some(value))
                })
            };
            demands.extend(ways.iter().filter(|way| !needless(way)));
        }
        demands
    }

    pub(super) fn switches(&self) -> &BTreeSet<ValuePath> {
        &self.switches
    }

    /// Paths that decide about something, for which a schema may list what they can be.
    pub(super) fn reads(&self) -> BTreeSet<&ValuePath> {
        self.switches.iter().chain(self.choices.keys()).collect()
    }

    pub(super) fn choices(&self) -> Vec<(ValuePath, String)> {
        self.choices
            .iter()
            .flat_map(|(path, texts)| texts.iter().map(|text| (path.clone(), text.clone())))
            .collect()
    }

    pub(super) fn api_versions(&self) -> &BTreeSet<String> {
        &self.api_versions
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// What conditions read.
#[derive(Default)]
struct Reads {
    paths: BTreeSet<ValuePath>,
    choices: BTreeMap<ValuePath, BTreeSet<String>>,
}

struct Walk<'a> {
    conditions: Conditions<'a>,
    /// Named templates, and what they were called with, that print nothing of interest.
    dull: BTreeSet<String>,
    /// Named templates being walked.
    open: Vec<String>,
    found: Analysis,
}

impl<'a> Walk<'a> {
    /// The condition that a subchart hangs on decides whether it is on or off by default.
    fn conditions_of(&mut self, instance: &super::effective::Instance<'_>) {
        let Some((_, parent)) = instance.prefix.keys().split_last() else {
            return;
        };
        let parent = ValuePath::new(parent.to_vec());
        let effective = self.conditions.effective;
        let above = effective.instances.iter().find(|i| i.prefix == parent);
        for dependency in above.into_iter().flat_map(|i| &i.node.dependencies) {
            if dependency.effective_name() != instance.prefix.last() {
                continue;
            }
            for text in dependency.condition.iter().flat_map(|text| text.split(',')) {
                let mut path = parent.clone();
                path.0.extend(text.trim().split('.').map(str::to_owned));
                self.found.switches.insert(path);
            }
        }
    }

    /// Walks through nodes that are reached by these ways; whether anything of interest is among them.
    fn nodes(
        &mut self,
        nodes: &'a [Node],
        scope: &mut Scope,
        way: &[Changes],
        depth: usize,
    ) -> bool {
        let mut interesting = false;
        for node in nodes {
            if !self.conditions.step() {
                return true;
            }
            interesting |= match node {
                Node::Text(text) => interest::in_text(text) && self.demand(text, "", way),
                Node::Assign(name, expr) => {
                    let value = scope.evaluate(expr, self.conditions.effective);
                    scope.assign(name, value);
                    // What a variable takes from a helper is printed later, by its name alone.
                    self.print(expr, scope, way, depth)
                }
                Node::Print(expr) => self.print(expr, scope, way, depth),
                Node::Block(branches) => {
                    let mut inside = false;
                    for (branch, ways) in self.conditions.ways(branches, scope, depth) {
                        let way = both(way, &ways);
                        for mut inner in self.conditions.scopes(branch, scope) {
                            inside |= self.nodes(&branch.body, &mut inner, &way, depth);
                            carry(&inner, scope);
                        }
                    }
                    if inside {
                        let mut reads = Reads::default();
                        for subject in branches.iter().filter_map(|b| b.subject.as_ref()) {
                            self.reads(subject, scope, &mut reads, depth);
                        }
                        self.found.switches.append(&mut reads.paths);
                        for (path, mut texts) in reads.choices {
                            self.found
                                .choices
                                .entry(path)
                                .or_default()
                                .append(&mut texts);
                        }
                    }
                    inside
                }
            };
        }
        interesting
    }

    /// Notes that something of interest is reached by these ways.
    fn demand<T: ?Sized>(&mut self, part: &T, printed: &str, way: &[Changes]) -> bool {
        let address = std::ptr::from_ref(part).cast::<u8>().addr();
        let call = self.open.last().cloned().unwrap_or_default();
        let part = (address, printed.to_owned(), call);
        if self.found.ways.len() < MAX_PARTS {
            let known = self.found.ways.entry(part).or_default();
            known.extend(way.iter().cloned());
        }
        true
    }

    fn print(&mut self, expr: &'a Expr, scope: &Scope, way: &[Changes], depth: usize) -> bool {
        match expr {
            Expr::Call(function, arguments) if function == "include" => {
                self.include(arguments, scope, way, depth)
            }
            Expr::Call(function, arguments) if function == "ternary" => {
                let mut interesting = false;
                if let [yes, no, test] = arguments.as_slice() {
                    for (value, want) in [(yes, true), (no, false)] {
                        let ways = self.conditions.satisfy(test, want, scope, depth);
                        interesting |= self.print(value, scope, &both(way, &ways), depth);
                    }
                    if interesting {
                        let mut reads = Reads::default();
                        self.reads(test, scope, &mut reads, depth);
                        self.found.switches.append(&mut reads.paths);
                    }
                }
                interesting
            }
            Expr::Call(function, _) if is_asked(function) => false,
            // What is taken out of a map is not all of the map.
            Expr::Call(function, _) if matches!(function.as_str(), "index" | "get" | "dig") => {
                let value = scope.evaluate(expr, self.conditions.effective);
                self.prints_image(expr, &value, way)
            }
            Expr::Call(_, parts) | Expr::Other(parts) => {
                let mut interesting = false;
                for part in parts {
                    interesting |= self.print(part, scope, way, depth);
                }
                let value = scope.evaluate(expr, self.conditions.effective);
                interesting || self.prints_image(expr, &value, way)
            }
            Expr::Literal(Value::String(text)) => {
                interest::in_text(text) && self.demand(expr, "", way)
            }
            Expr::Field(base, _) if matches!(**base, Expr::Call(..)) => {
                self.print(base, scope, way, depth)
            }
            _ => {
                let value = scope.evaluate(expr, self.conditions.effective);
                self.prints_image(expr, &value, way)
            }
        }
    }

    fn prints_image(&mut self, expr: &Expr, value: &Abstract, way: &[Changes]) -> bool {
        let effective = self.conditions.effective;
        let interesting = match value {
            Abstract::Known(Value::String(text)) => interest::in_text(text),
            Abstract::Known(_) | Abstract::Context(_) | Abstract::Unknown => false,
            value => {
                let mut paths = Vec::new();
                value.paths(&mut paths);
                paths
                    .into_iter()
                    .any(|path| interest::in_value(path, effective))
            }
        };
        interesting && self.demand(expr, &format!("{value:?}"), way)
    }

    fn include(
        &mut self,
        arguments: &'a [Expr],
        scope: &Scope,
        way: &[Changes],
        depth: usize,
    ) -> bool {
        let Some((name, nodes, argument)) = self.conditions.included(arguments, scope) else {
            // Which template it is, is decided in rendering.
            let is_dynamic = !matches!(arguments.first(), Some(Expr::Literal(_)));
            return is_dynamic && self.demand(arguments, "", way);
        };
        let call = format!("{name} {argument:?}");
        if depth > MAX_INCLUDES || self.dull.contains(&call) || self.open.contains(&call) {
            return false;
        }
        self.open.push(call);
        let mut inner = Scope::new(argument);
        let interesting = self.nodes(nodes, &mut inner, way, depth + 1);
        if let Some(call) = self.open.pop()
            && !interesting
        {
            self.dull.insert(call);
        }
        interesting
    }

    /// What an expression that is decided by reads.
    fn reads(&self, expr: &Expr, scope: &Scope, found: &mut Reads, depth: usize) {
        if !self.conditions.step() || depth > MAX_INCLUDES {
            return;
        }
        let effective = self.conditions.effective;
        if let Expr::Call(function, arguments) = expr {
            if function == "include" {
                if let Some((_, nodes, argument)) = self.conditions.included(arguments, scope) {
                    self.reads_in(nodes, &mut Scope::new(argument), found, depth + 1);
                }
                return;
            }
            if matches!(
                function.as_str(),
                "eq" | "ne" | "has" | "contains" | "hasPrefix"
            ) {
                self.compared(arguments, scope, found);
            }
            for argument in arguments {
                self.reads(argument, scope, found, depth);
            }
        }
        if let Expr::Other(parts) = expr {
            for part in parts {
                self.reads(part, scope, found, depth);
            }
        }
        let value = scope.evaluate(expr, effective);
        let mut paths = Vec::new();
        value.paths(&mut paths);
        found.paths.extend(paths.into_iter().cloned());
    }

    /// Texts that paths are compared with among the arguments of a comparison.
    fn compared(&self, arguments: &[Expr], scope: &Scope, found: &mut Reads) {
        let effective = self.conditions.effective;
        let values: Vec<Abstract> = arguments
            .iter()
            .map(|argument| scope.evaluate(argument, effective))
            .collect();
        let mut texts = BTreeSet::new();
        let mut paths = Vec::new();
        for value in &values {
            match value {
                Abstract::List(members) => {
                    texts.extend(
                        members
                            .iter()
                            .filter_map(Abstract::known_text)
                            .map(str::to_owned),
                    );
                }
                value => texts.extend(value.known_text().map(str::to_owned)),
            }
            value.paths(&mut paths);
        }
        for path in paths {
            // A text is compared with texts; what is not set may be one.
            if matches!(
                effective.get(path),
                None | Some(Value::Null | Value::String(_))
            ) && effective.may_set(path)
            {
                found
                    .choices
                    .entry(path.clone())
                    .or_default()
                    .extend(texts.iter().cloned());
            }
        }
    }

    fn reads_in(&self, nodes: &[Node], scope: &mut Scope, found: &mut Reads, depth: usize) {
        for node in nodes {
            match node {
                Node::Text(_) => {}
                Node::Assign(name, expr) => {
                    self.reads(expr, scope, found, depth);
                    let value = scope.evaluate(expr, self.conditions.effective);
                    scope.assign(name, value);
                }
                Node::Print(expr) => self.reads(expr, scope, found, depth),
                Node::Block(branches) => {
                    for branch in branches {
                        if let Some(subject) = &branch.subject {
                            self.reads(subject, scope, found, depth);
                        }
                        for mut inner in self.conditions.scopes(branch, scope) {
                            self.reads_in(&branch.body, &mut inner, found, depth);
                        }
                    }
                }
            }
        }
    }
}

/// Whether a function tells something about its arguments that cannot be, or hold, an image.
fn is_asked(function: &str) -> bool {
    matches!(
        function,
        "sha256sum"
            | "fail"
            | "eq"
            | "ne"
            | "gt"
            | "ge"
            | "lt"
            | "le"
            | "not"
            | "empty"
            | "hasKey"
            | "has"
            | "len"
            | "kindIs"
            | "kindOf"
            | "typeOf"
            | "typeIs"
            | "contains"
            | "hasPrefix"
            | "hasSuffix"
            | "semverCompare"
            | "regexMatch"
            | "lookup"
    )
}

/// What a branch set variables of the outside to may hold after it.
fn carry(inner: &Scope, outer: &mut Scope) {
    for (known, (name, value)) in outer.variables.iter_mut().zip(&inner.variables) {
        if known.0 == *name && known.1 != *value {
            known.1 = Abstract::any([known.1.clone(), value.clone()]);
        }
    }
}
