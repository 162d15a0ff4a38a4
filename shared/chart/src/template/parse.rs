//! Text and actions become a tree.

use std::collections::BTreeMap;

use serde_json::Value;

use super::action::{self, Action};
use super::{Branch, BranchKind, Expr, Node, Parsed};

/// Deepest nesting of blocks read; what lies deeper is read as if it stood at that depth.
const MAX_DEPTH: usize = 200;

/// A block or named template that has not ended yet.
struct Open {
    kind: OpenKind,
    /// Nodes so far of the branch being read.
    nodes: Vec<Node>,
}

enum OpenKind {
    /// Branches done, and what the branch being read is.
    Block(Vec<Branch>, BranchKind, Vec<String>, Option<Expr>),
    Define(String),
}

/// Reads a template. Ends that are missing are added, and those too many passed over.
pub(super) fn parse(text: &str) -> Parsed {
    let mut reader = TreeReader::default();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        reader.text(rest.get(..start).unwrap_or_default());
        let after = rest.get(start + 2..).unwrap_or_default();
        let (body, end) = action_body(after);
        if let Some(body) = body {
            reader.action(action::read(body));
        }
        rest = after.get(end..).unwrap_or_default();
    }
    reader.text(rest);
    reader.finish()
}

/// The text of an action without trim markers (nothing for a comment), and where the text after it begins.
fn action_body(text: &str) -> (Option<&str>, usize) {
    let start = match text.strip_prefix('-') {
        Some(after) if after.starts_with(char::is_whitespace) => 1,
        _ => 0,
    };
    let body = text.get(start..).unwrap_or_default();
    if body.trim_start().starts_with("/*") {
        let comment = body.find("*/").map_or(body.len(), |at| at + 2);
        let close = body
            .get(comment..)
            .and_then(|rest| rest.find("}}"))
            .map_or(body.len(), |at| comment + at + 2);
        return (None, start + close);
    }
    let mut at = 0;
    while let Some(rest) = body.get(at..)
        && let Some(c) = rest.chars().next()
    {
        if rest.starts_with("}}") {
            let inner = body.get(..at).unwrap_or_default();
            let inner = inner.strip_suffix('-').unwrap_or(inner);
            return (Some(inner), start + at + 2);
        }
        at += match c {
            '"' | '`' | '\'' => action::string_end(rest),
            c => c.len_utf8(),
        };
    }
    (Some(body), text.len())
}

#[derive(Default)]
struct TreeReader {
    root: Vec<Node>,
    open: Vec<Open>,
    defines: BTreeMap<String, Vec<Node>>,
}

impl TreeReader {
    fn push(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.root.push(node),
        }
    }

    fn text(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.push(Node::Text(text.to_owned()));
        }
    }

    fn action(&mut self, action: Action) {
        let Action {
            keywords,
            variables,
            expr,
        } = action;
        let keywords: Vec<&str> = keywords.iter().map(String::as_str).collect();
        match keywords.as_slice() {
            [] => match (variables.into_iter().next(), expr) {
                (Some(name), Some(expr)) => self.push(Node::Assign(name, expr)),
                (None, Some(expr)) => self.push(Node::Print(expr)),
                _ => {}
            },
            ["if"] => self.begin(BranchKind::If, variables, expr),
            ["with"] => self.begin(BranchKind::With, variables, expr),
            ["range"] => self.begin(BranchKind::Range, variables, expr),
            ["else"] => self.branch(BranchKind::Else, variables, expr),
            ["else", "if"] => self.branch(BranchKind::If, variables, expr),
            ["else", "with"] => self.branch(BranchKind::With, variables, expr),
            ["end"] => self.end(),
            ["define"] => {
                let name = name_of(expr.as_ref());
                self.open.push(Open {
                    kind: OpenKind::Define(name),
                    nodes: Vec::new(),
                });
            }
            ["block"] => {
                let name = name_of(expr.as_ref());
                self.push(Node::Print(included(expr)));
                self.open.push(Open {
                    kind: OpenKind::Define(name),
                    nodes: Vec::new(),
                });
            }
            ["template"] => self.push(Node::Print(included(expr))),
            _ => {}
        }
    }

    fn begin(&mut self, kind: BranchKind, variables: Vec<String>, subject: Option<Expr>) {
        if self.open.len() < MAX_DEPTH {
            self.open.push(Open {
                kind: OpenKind::Block(Vec::new(), kind, variables, subject),
                nodes: Vec::new(),
            });
        }
    }

    fn branch(&mut self, kind: BranchKind, variables: Vec<String>, subject: Option<Expr>) {
        let Some(Open {
            kind: OpenKind::Block(done, open_kind, open_variables, open_subject),
            nodes,
        }) = self.open.last_mut()
        else {
            return;
        };
        done.push(Branch {
            kind: std::mem::replace(open_kind, kind),
            variables: std::mem::replace(open_variables, variables),
            subject: std::mem::replace(open_subject, subject),
            body: std::mem::take(nodes),
        });
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else {
            return;
        };
        match open.kind {
            OpenKind::Block(mut branches, kind, variables, subject) => {
                branches.push(Branch {
                    kind,
                    variables,
                    subject,
                    body: open.nodes,
                });
                self.push(Node::Block(branches));
            }
            OpenKind::Define(name) => {
                self.defines.insert(name, open.nodes);
            }
        }
    }

    fn finish(mut self) -> Parsed {
        while !self.open.is_empty() {
            self.end();
        }
        Parsed {
            nodes: self.root,
            defines: self.defines,
        }
    }
}

/// `"name" argument`, as `define`, `block` and `template` have it, is read as operands without a function.
fn operands(expr: Option<Expr>) -> Vec<Expr> {
    match expr {
        Some(Expr::Other(operands)) => operands,
        Some(expr) => vec![expr],
        None => Vec::new(),
    }
}

fn name_of(expr: Option<&Expr>) -> String {
    match operands(expr.cloned()).into_iter().next() {
        Some(Expr::Literal(Value::String(name))) => name,
        _ => String::new(),
    }
}

fn included(expr: Option<Expr>) -> Expr {
    Expr::Call("include".to_owned(), operands(expr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_nest_and_comments_and_quotes_do_not_end_actions() {
        let text = "a {{- /* }} x */ -}} {{ if .a }}b{{ else if eq .b \"}}\" }}c{{ with $x := .d }}d{{ end }}{{ else }}e{{ end }}\
                    {{- define \"n\" }}in{{ end }}{{ template \"n\" . }}";
        let parsed = parse(text);
        assert_eq!(parsed.defines["n"], [Node::Text("in".to_owned())]);
        let [Node::Text(_), Node::Block(branches), Node::Print(include)] = parsed.nodes.as_slice()
        else {
            panic!("{:?}", parsed.nodes);
        };
        let kinds: Vec<_> = branches.iter().map(|b| b.kind).collect();
        assert_eq!(kinds, [BranchKind::If, BranchKind::If, BranchKind::Else]);
        assert!(matches!(&branches[1].body[1], Node::Block(inner) if inner[0].variables == ["x"]));
        assert!(
            matches!(include, Expr::Call(name, arguments) if name == "include" && arguments.len() == 2)
        );
    }

    #[test]
    fn broken_templates_are_read_as_far_as_they_go() {
        for text in [
            "{{",
            "{{ if .a",
            "{{ end }}{{ else }}x",
            "{{ if }}{{ \"",
            "{{ ((( }}",
        ] {
            parse(text);
        }
    }
}
