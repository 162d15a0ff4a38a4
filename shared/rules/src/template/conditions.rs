//! Conditions and paths, as template code.

use std::collections::BTreeMap;

use crate::rule::{Condition, Literal, Path, Root};

use super::{list, quoted};

/// Writes template code. What it returns are expressions over variables that are in scope where it was asked.
pub(super) struct Compiler {
    text: String,
    blocks: usize,
    next: usize,
    /// Variables that hold what a path leads to, one map for each scope.
    known: Vec<BTreeMap<String, String>>,
    container: String,
    item: String,
    /// Whether the container is the one the check looks at.
    own: bool,
    /// Id of the rule that is compiled.
    rule: &'static str,
}

impl Compiler {
    pub(super) fn new(rule: &'static str) -> Self {
        Self {
            text: String::new(),
            blocks: 0,
            next: 0,
            known: vec![BTreeMap::new()],
            container: "$container".to_owned(),
            item: "$nothing".to_owned(),
            own: true,
            rule,
        }
    }

    pub(super) fn action(&mut self, action: &str) {
        // Nothing stands between actions, so there is nothing to trim.
        self.text.push_str("{{");
        self.text.push_str(action);
        self.text.push_str("}}");
    }

    /// Opens a block that stays open to the end.
    pub(super) fn open(&mut self, action: &str) {
        self.enter(action);
        self.blocks += 1;
    }

    pub(super) fn otherwise(&mut self, action: &str) {
        self.known.pop();
        self.known.push(BTreeMap::new());
        self.action(action);
    }

    pub(super) fn enter(&mut self, action: &str) {
        self.action(action);
        self.known.push(BTreeMap::new());
    }

    pub(super) fn leave(&mut self) {
        self.known.pop();
        self.action("end");
    }

    pub(super) fn finish(mut self) -> String {
        for _ in 0..self.blocks {
            self.action("end");
        }
        self.text
    }

    pub(super) fn fresh(&mut self, letter: &str) -> String {
        self.next += 1;
        format!("${letter}{}", self.next)
    }

    /// Forgets what paths led to: something is about to change.
    pub(super) fn forget(&mut self) {
        for scope in &mut self.known {
            scope.clear();
        }
    }

    /// The variable of a root, and whether it is known to hold a map.
    pub(super) fn root(&self, root: Root) -> (String, bool) {
        let (name, is_map) = match root {
            Root::Object => ("$object", true),
            Root::Template => ("$template", true),
            Root::Pod => ("$pod", true),
            Root::Container => (self.container.as_str(), true),
            Root::Image if self.own => ("$image", false),
            Root::Pin if self.own => ("$pin", false),
            Root::Image | Root::Pin => ("$nothing", false),
            Root::Item => (self.item.as_str(), false),
            Root::Settings => ("$settings", true),
        };
        (name.to_owned(), is_map)
    }

    /// A variable that holds what a path leads to, or nothing.
    pub(super) fn path(&mut self, path: &Path) -> String {
        let (root, _) = self.root(path.root);
        if path.keys.is_empty() && path.otherwise.is_none() {
            return root;
        }
        let mut key = format!("{root} {}", list(path.keys));
        let mut other = path.otherwise;
        while let Some(next) = other {
            let (root, _) = self.root(next.root);
            key.push_str(&format!(" or {root} {}", list(next.keys)));
            other = next.otherwise;
        }
        if let Some(known) = self.known.iter().rev().find_map(|scope| scope.get(&key)) {
            return known.clone();
        }
        let otherwise = path.otherwise.map(|other| self.path(other));
        let found = self.fresh("v");
        match path.keys.split_last() {
            Some((last, way)) => {
                let map = self.map(path.root, way);
                self.action(&format!("{found} := index {map} {}", quoted(last)));
            }
            None => self.action(&format!("{found} := {root}")),
        }
        if let Some(otherwise) = otherwise {
            self.action(&format!("if kindIs \"invalid\" {found}"));
            self.action(&format!("{found} = {otherwise}"));
            self.action("end");
        }
        if let Some(scope) = self.known.last_mut() {
            scope.insert(key, found.clone());
        }
        found
    }

    /// A variable that holds the map which keys lead to, or an empty one.
    fn map(&mut self, root: Root, keys: &'static [&'static str]) -> String {
        let (root_name, is_map) = self.root(root);
        if keys.is_empty() && is_map {
            return root_name;
        }
        let key = format!("map {root_name} {}", list(keys));
        if let Some(known) = self.known.iter().rev().find_map(|scope| scope.get(&key)) {
            return known.clone();
        }
        let found = match keys.split_last() {
            Some((last, way)) => {
                let above = self.map(root, way);
                format!("index {above} {}", quoted(last))
            }
            None => root_name,
        };
        // An expression in parentheses, or a variable, which needs none.
        let map = self.fresh("m");
        self.action(&format!(
            "{map} := ternary ({found}) $none (kindIs \"map\" ({found}))"
        ));
        if let Some(scope) = self.known.last_mut() {
            scope.insert(key, map.clone());
        }
        map
    }

    /// An expression that is true where the condition holds.
    pub(super) fn condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::Always => "true".to_owned(),
            Condition::Linux => "$linux".to_owned(),
            Condition::Present(path) => {
                let value = self.path(path);
                format!("(not (kindIs \"invalid\" {value}))")
            }
            Condition::Is(path, literal) => {
                let value = self.path(path);
                format!("(eq (toJson {value}) {})", as_json(literal))
            }
            Condition::OneOf(path, texts) => {
                let value = self.path(path);
                format!("(has {value} {})", list(texts))
            }
            Condition::Below(path, bound) => {
                let value = self.path(path);
                format!(
                    "(and (has (kindOf {value}) (list \"float64\" \"int\" \"int64\")) (lt (float64 {value}) {bound}.0))"
                )
            }
            Condition::AtMost(small, large) => {
                let [small, large] = [small, large].map(|path| {
                    let value = self.path(path);
                    let found = self.fresh("n");
                    self.action(&format!(
                        "{found} := include \"@quench@.quantity\" (dict \"of\" {value})"
                    ));
                    found
                });
                format!(
                    "(and (ne {small} \"\") (ne {large} \"\") (le (float64 {small}) (float64 {large})))"
                )
            }
            Condition::Has(path, text) => {
                let value = self.path(path);
                format!(
                    "(and (kindIs \"slice\" {value}) (has {} {value}))",
                    quoted(text)
                )
            }
            Condition::StartsWith(path, head) => {
                let value = self.path(path);
                format!(
                    "(and (kindIs \"string\" {value}) (hasPrefix {} {value}))",
                    quoted(head)
                )
            }
            Condition::Contains(path, part) => {
                let value = self.path(path);
                format!(
                    "(and (kindIs \"string\" {value}) (contains {} {value}))",
                    quoted(part)
                )
            }
            Condition::AnyItem(path, condition) => {
                let value = self.path(path);
                let item = self.fresh("i");
                let nested = [
                    format!("if kindIs \"slice\" {value}"),
                    format!("range {item} := {value}"),
                ];
                self.with_item(&item, |code| {
                    code.any(&nested.each_ref().map(String::as_str), |code| {
                        code.condition(condition)
                    })
                })
            }
            Condition::AnyKey(path, head) => {
                let value = self.path(path);
                let key = self.fresh("k");
                let ignored = self.fresh("i");
                self.any(
                    &[
                        &format!("if kindIs \"map\" {value}"),
                        &format!("range {key}, {ignored} := {value}"),
                    ],
                    |_| format!("(hasPrefix {} {key})", quoted(head)),
                )
            }
            Condition::AnyContainer(condition) => {
                let (name, all, one) = (self.fresh("k"), self.fresh("l"), self.fresh("c"));
                let outer = std::mem::replace(&mut self.container, one.clone());
                let own = std::mem::replace(&mut self.own, false);
                let found = self.any(
                    &[
                        &format!(
                            "range {name} := {}",
                            list(&crate::workload::CONTAINER_LISTS)
                        ),
                        &format!("{all} := index $pod {name}"),
                        &format!("if kindIs \"slice\" {all}"),
                        &format!("range {one} := {all}"),
                        &format!("if kindIs \"map\" {one}"),
                    ],
                    |code| code.condition(condition),
                );
                self.container = outer;
                self.own = own;
                found
            }
            Condition::Mounted(path) => {
                let value = self.path(path);
                let (mounts, mount, at) = (self.fresh("m"), self.fresh("n"), self.fresh("p"));
                let container = self.container.clone();
                self.action(&format!("{mounts} := index {container} \"volumeMounts\""));
                self.any(
                    &[
                        &format!("if and (kindIs \"string\" {value}) (kindIs \"slice\" {mounts})"),
                        &format!("range {mount} := {mounts}"),
                        &format!("if kindIs \"map\" {mount}"),
                        &format!("{at} := index {mount} \"mountPath\""),
                        &format!("if kindIs \"string\" {at}"),
                        &format!("{at} = trimSuffix \"/\" {at}"),
                    ],
                    |_| format!("(or (eq {value} {at}) (hasPrefix (print {at} \"/\") {value}))"),
                )
            }
            Condition::Account(account) => {
                let word = self.once("account", "a", |_| {
                    "include \"@quench@.account\" (dict \"context\" $context \"root\" $root \"pod\" $pod)"
                        .to_owned()
                });
                format!("(eq {word} {})", quoted(account.word()))
            }
            Condition::Repeats(path, key) => {
                let value = self.path(path);
                let (seen, one, text) = (self.fresh("d"), self.fresh("i"), self.fresh("t"));
                let key = quoted(key);
                self.action(&format!("{seen} := dict"));
                self.any(
                    &[
                        &format!("if kindIs \"slice\" {value}"),
                        &format!("range {one} := {value}"),
                        &format!("if kindIs \"map\" {one}"),
                        &format!("{text} := index {one} {key}"),
                        &format!("if kindIs \"string\" {text}"),
                        &format!("{text} = print \"=\" {text}"),
                    ],
                    |code| {
                        let held = code.fresh("h");
                        code.action(&format!("{held} := hasKey {seen} {text}"));
                        code.action(&format!("$set := set {seen} {text} true"));
                        held
                    },
                )
            }
            Condition::AnyValue(path, part, texts) => {
                let value = self.path(path);
                let (key, held) = (self.fresh("k"), self.fresh("i"));
                self.any(
                    &[
                        &format!("if kindIs \"map\" {value}"),
                        &format!("range {key}, {held} := {value}"),
                        &format!("if kindIs \"string\" {held}"),
                    ],
                    |_| {
                        format!(
                            "(and (contains {} (lower {key})) (has {held} {}))",
                            quoted(part),
                            list(texts)
                        )
                    },
                )
            }
            Condition::AnyPair(path, head, text) => {
                let value = self.path(path);
                let (key, held) = (self.fresh("k"), self.fresh("i"));
                self.any(
                    &[
                        &format!("if kindIs \"map\" {value}"),
                        &format!("range {key}, {held} := {value}"),
                        &format!("if kindIs \"string\" {held}"),
                    ],
                    |_| {
                        format!(
                            "(and (hasPrefix {} {key}) (eq {held} {}))",
                            quoted(head),
                            quoted(text)
                        )
                    },
                )
            }
            Condition::Decided => format!("(hasKey $decided {})", quoted(self.rule)),
            Condition::Isolated(direction) => format!("$isolated.{}", direction.name()),
            Condition::PortsKnown => "$shown.known".to_owned(),
            Condition::Served => {
                let port = self.served();
                format!("(ne {port} \"\")")
            }
            Condition::AtRegistry => {
                let (registry, image) = (self.fresh("r"), self.fresh("i"));
                let container = self.container.clone();
                self.action(&format!("{registry} := index $settings \"registry\""));
                self.action(&format!("{image} := index {container} \"image\""));
                self.any(
                    &[&format!(
                        "if and (kindIs \"string\" {registry}) (kindIs \"string\" {image})"
                    )],
                    |_| {
                        format!(
                            "(hasPrefix (print (regexReplaceAll \"/+$\" {registry} \"\") \"/\") {image})"
                        )
                    },
                )
            }
            Condition::NamesImages => {
                // Wider than what the step changes, and cheaper: where nothing is to be changed, the step changes nothing.
                let found = self.fresh("n");
                self.action(&format!("{found} := \"\""));
                self.action("if index $settings \"registry\"");
                self.action(&format!(
                    "{found} = include \"@quench@.names_images\" (dict \"object\" $object \"context\" $context)"
                ));
                self.action("end");
                format!("(eq {found} \"true\")")
            }
            Condition::All(all) => self.joined("and", all),
            Condition::Any(any) => self.joined("or", any),
            Condition::Not(condition) => format!("(not {})", self.condition(condition)),
        }
    }

    pub(super) fn with_item<T>(&mut self, item: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.item, item.to_owned());
        let result = work(self);
        self.item = outer;
        result
    }

    /// The port a Service leads to, as JSON, or an empty text.
    pub(super) fn served(&mut self) -> String {
        self.once("served", "s", |code| {
            format!(
                "include \"@quench@.served\" (dict \"context\" $context \"root\" $root \"template\" $template \"container\" {})",
                code.container
            )
        })
    }

    fn joined(&mut self, word: &str, conditions: &[Condition]) -> String {
        let parts: Vec<String> = conditions
            .iter()
            .map(|condition| self.condition(condition))
            .collect();
        format!("({word} {})", parts.join(" "))
    }

    /// A variable that is true when an expression, asked for within nested actions, was true once.
    fn any(&mut self, nested: &[&str], condition: impl FnOnce(&mut Self) -> String) -> String {
        let found = self.fresh("q");
        self.action(&format!("{found} := false"));
        let mut depth = 0;
        for action in nested {
            if action.starts_with("if ") || action.starts_with("range ") {
                self.enter(action);
                depth += 1;
            } else {
                self.action(action);
            }
        }
        let holds = condition(self);
        self.action(&format!("if {holds}"));
        self.action(&format!("{found} = true"));
        self.action("end");
        for _ in 0..depth {
            self.leave();
        }
        found
    }

    /// A variable that holds what an action gives, which is done once in a scope.
    fn once(&mut self, name: &str, letter: &str, action: impl FnOnce(&Self) -> String) -> String {
        let key = format!("{name} {}", self.container);
        if let Some(known) = self.known.iter().rev().find_map(|scope| scope.get(&key)) {
            return known.clone();
        }
        let action = action(self);
        let found = self.fresh(letter);
        self.action(&format!("{found} := {action}"));
        if let Some(scope) = self.known.last_mut() {
            scope.insert(key, found.clone());
        }
        found
    }
}

/// A literal as `toJson` prints it, as a Go string.
pub(super) fn as_json(literal: &Literal) -> String {
    match literal {
        Literal::Bool(value) => quoted(&value.to_string()),
        Literal::Number(value) => quoted(&value.to_string()),
        Literal::Text(value) => quoted(&quoted(value)),
    }
}

pub(super) fn as_go(literal: &Literal) -> String {
    match literal {
        Literal::Bool(value) => value.to_string(),
        Literal::Number(value) => value.to_string(),
        Literal::Text(value) => quoted(value),
    }
}
