//! Steps, as template code.

use crate::rule::{Condition, Expression, Path, Step, item};

use super::conditions::{Compiler, as_go};
use super::{list, quoted};

/// A value to put somewhere: an expression, and the condition under which there is one.
struct Value {
    expression: String,
    given: Option<String>,
}

impl Value {
    fn certain(expression: impl Into<String>) -> Self {
        Self {
            expression: expression.into(),
            given: None,
        }
    }
}

impl Compiler {
    pub(super) fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.forget();
            self.step(step);
        }
        self.forget();
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Set(path, expression) => self.set(path, expression),
            Step::SetMissing(path, expression) => {
                let bare = Path {
                    otherwise: None,
                    ..*path
                };
                let value = self.path(&bare);
                self.enter(&format!("if kindIs \"invalid\" {value}"));
                self.set(path, expression);
                self.leave();
            }
            Step::Remove(path) => self.remove(path),
            Step::Append(path, text) => {
                let value = self.path(path);
                let all = self.fresh("l");
                let text = quoted(text);
                self.action(&format!("{all} := {value}"));
                self.action(&format!("if not (kindIs \"slice\" {all})"));
                self.action(&format!("{all} = list"));
                self.action("end");
                self.action(&format!("if not (has {text} {all})"));
                self.action(&format!("{all} = append {all} {text}"));
                self.action("end");
                self.put(path, &all);
            }
            Step::RemoveItems(path, condition) => self.remove_items(path, condition),
            Step::RemoveRepeated(path, key) => self.remove_repeated(path, key),
            Step::Each(path, condition, steps) => {
                let all = self.path(path);
                let one = self.fresh("i");
                self.enter(&format!("if kindIs \"slice\" {all}"));
                self.enter(&format!("range {one} := {all}"));
                self.enter(&format!("if kindIs \"map\" {one}"));
                self.with_item(&one, |code| {
                    let holds = code.condition(condition);
                    code.enter(&format!("if {holds}"));
                    code.steps(steps);
                    code.leave();
                });
                self.leave();
                self.leave();
                self.leave();
            }
            Step::Isolate(direction) => {
                let name = quoted(direction.name());
                self.action(&format!(
                    "$set := set $made \"all\" (append $made.all (fromJson (include \"@quench@.isolate\" (dict \"workload\" $workload \"shown\" $shown \"all\" $all \"context\" $context \"direction\" {name}))))"
                ));
            }
            Step::When(condition, steps) => {
                let holds = self.condition(condition);
                self.enter(&format!("if {holds}"));
                self.steps(steps);
                self.leave();
            }
            Step::MountWritable(path) => self.mount(path),
            Step::Relocate => self.action(
                "$set := include \"@quench@.relocate_object\" (dict \"object\" $object \"context\" $context \"pods\" (kindIs \"map\" $template))",
            ),
        }
    }

    fn set(&mut self, path: &Path, expression: &Expression) {
        let value = self.value(expression);
        if let Some(given) = &value.given {
            self.enter(&format!("if {given}"));
        }
        self.put(path, &value.expression);
        if value.given.is_some() {
            self.leave();
        }
    }

    fn put(&mut self, path: &Path, value: &str) {
        let (root, _) = self.root(path.root);
        match path.keys {
            [] => {}
            [key] => self.action(&format!("$set := set {root} {} {value}", quoted(key))),
            keys => self.action(&format!(
                "$set := include \"@quench@.put\" (list {root} {} {value})",
                list(keys)
            )),
        }
    }

    fn remove(&mut self, path: &Path) {
        let (root, _) = self.root(path.root);
        match path.keys {
            [] => {}
            [key] => self.action(&format!("$set := unset {root} {}", quoted(key))),
            keys => self.action(&format!(
                "$set := include \"@quench@.drop\" (list {root} {})",
                list(keys)
            )),
        }
    }

    fn remove_items(&mut self, path: &Path, condition: &Condition) {
        let all = self.path(path);
        let (kept, one) = (self.fresh("l"), self.fresh("i"));
        self.enter(&format!("if kindIs \"slice\" {all}"));
        self.action(&format!("{kept} := list"));
        self.enter(&format!("range {one} := {all}"));
        let holds = self.with_item(&one, |code| code.condition(condition));
        self.action(&format!("if not {holds}"));
        self.action(&format!("{kept} = append {kept} {one}"));
        self.action("end");
        self.leave();
        self.enter(&format!("if {kept}"));
        self.put(path, &kept);
        self.action("else");
        self.remove(path);
        self.leave();
        self.leave();
    }

    /// Keeps the last of each, in place.
    fn remove_repeated(&mut self, path: &Path, key: &str) {
        let all = self.path(path);
        let (kept, seen) = (self.fresh("l"), self.fresh("d"));
        let (one, held, text) = (self.fresh("i"), self.fresh("h"), self.fresh("t"));
        self.enter(&format!("if kindIs \"slice\" {all}"));
        self.action(&format!("{kept} := list"));
        self.action(&format!("{seen} := dict"));
        self.enter(&format!("range {one} := reverse {all}"));
        self.action(&format!("{held} := false"));
        self.action(&format!("if kindIs \"map\" {one}"));
        self.action(&format!("{text} := index {one} {}", quoted(key)));
        self.action(&format!("if kindIs \"string\" {text}"));
        self.action(&format!("{text} = print \"=\" {text}"));
        self.action(&format!("{held} = hasKey {seen} {text}"));
        self.action(&format!("$set := set {seen} {text} true"));
        self.action("end");
        self.action("end");
        self.action(&format!("if not {held}"));
        self.action(&format!("{kept} = prepend {kept} {one}"));
        self.action("end");
        self.leave();
        self.put(path, &kept);
        self.leave();
    }

    /// The same volumes under the same names as the evaluator makes.
    fn mount(&mut self, writable: &Path) {
        let paths = self.path(writable);
        let one = self.fresh("i");
        self.enter(&format!("if kindIs \"slice\" {paths}"));
        self.enter(&format!("range {one} := {paths}"));
        let mounted = self.with_item(&one, |code| {
            code.condition(&Condition::Mounted(item(&["path"])))
        });
        let volume = self.fresh("n");
        self.enter(&format!("if not {mounted}"));
        self.action(&format!(
            "{volume} := replace \"--\" \"-\" (printf \"quench-%s-%s\" {one}.slug (trunc 8 (sha256sum (printf \"%s %s\" $container_name {one}.path))))"
        ));
        for (map, key, entry) in [
            (
                "$container",
                "volumeMounts",
                format!("(dict \"name\" {volume} \"mountPath\" {one}.path)"),
            ),
            (
                "$pod",
                "volumes",
                format!("(dict \"name\" {volume} \"emptyDir\" (dict))"),
            ),
        ] {
            let all = self.fresh("l");
            self.action(&format!("{all} := index {map} \"{key}\""));
            self.action(&format!("if not (kindIs \"slice\" {all})"));
            self.action(&format!("{all} = list"));
            self.action("end");
            self.action(&format!(
                "$set := set {map} \"{key}\" (append {all} {entry})"
            ));
        }
        self.leave();
        self.leave();
        self.leave();
    }

    fn value(&mut self, expression: &Expression) -> Value {
        match expression {
            Expression::Literal(literal) => Value::certain(as_go(literal)),
            Expression::Map(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| format!("{} {}", quoted(key), self.value(value).expression))
                    .collect();
                Value::certain(format!("(dict {})", entries.join(" ")))
            }
            Expression::One(one) => {
                let one = self.value(one);
                Value {
                    expression: format!("(list {})", one.expression),
                    given: one.given,
                }
            }
            Expression::Each(path, key) => {
                let all = self.path(path);
                let (found, one, text) = (self.fresh("l"), self.fresh("i"), self.fresh("t"));
                self.action(&format!("{found} := list"));
                self.action(&format!("if kindIs \"slice\" {all}"));
                self.action(&format!("range {one} := {all}"));
                self.action(&format!("if kindIs \"map\" {one}"));
                self.action(&format!("{text} := index {one} {}", quoted(key)));
                self.action(&format!(
                    "if and (kindIs \"string\" {text}) (not (has {text} {found}))"
                ));
                self.action(&format!("{found} = append {found} {text}"));
                for _ in 0..4 {
                    self.action("end");
                }
                Value::certain(found)
            }
            Expression::Of(path) => {
                let value = self.path(path);
                Value {
                    given: Some(format!("not (kindIs \"invalid\" {value})")),
                    expression: value,
                }
            }
            Expression::Pinned => {
                let reference = self.fresh("e");
                self.action(&format!("{reference} := \"\""));
                self.action("if kindIs \"map\" $pin");
                self.action(&format!(
                    "{reference} = printf \"%s/%s%s@%s\" (regexReplaceAll \"/+$\" (default $pin.registry (index $settings \"registry\")) \"\") $pin.repository $pin.tag $pin.digest"
                ));
                self.action("end");
                Value {
                    given: Some(reference.clone()),
                    expression: reference,
                }
            }
            Expression::ServedPort => {
                let port = self.served();
                Value::certain(format!(
                    "(index (fromJson (printf \"{{\\\"port\\\":%s}}\" {port})) \"port\")"
                ))
            }
            Expression::ChartName => self.label("chart"),
            Expression::AppVersion => self.label("version"),
            Expression::ReleaseName => self.label("release"),
            Expression::ReleaseService => self.label("service"),
        }
    }

    fn label(&mut self, name: &str) -> Value {
        let label = self.fresh("e");
        self.action(&format!("{label} := index $context.labels \"{name}\""));
        Value {
            given: Some(label.clone()),
            expression: label,
        }
    }
}
