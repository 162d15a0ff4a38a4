//! Go templates, read as far as is needed to know what a chart's templates read, decide by and print.
//!
//! [`Templates::of`] reads every template of a chart. Helm alone renders: what stands here never decides what a chart
//! renders to, so text that does not parse costs completeness of an analysis, not its truth.

mod action;
mod parse;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::chart::Chart;

/// Part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// Printed as it stands.
    Text(String),
    /// Printed by evaluating; `{{ template "x" . }}` is read as `{{ include "x" . }}`.
    Print(Expr),
    /// `$x := …` or `$x = …`.
    Assign(String, Expr),
    /// `if`, `with` or `range` with all of its branches.
    Block(Vec<Branch>),
}

/// One branch of a block.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Branch {
    pub(crate) kind: BranchKind,
    /// Variables that the branch declares.
    pub(crate) variables: Vec<String>,
    /// What is tested or gone through; nothing for a plain `else`.
    pub(crate) subject: Option<Expr>,
    pub(crate) body: Vec<Node>,
}

/// What a branch does with its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BranchKind {
    If,
    With,
    Range,
    Else,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Literal(Value),
    /// `.`
    Dot,
    /// `$` (empty name) or `$name`.
    Variable(String),
    /// `x.name`
    Field(Box<Expr>, String),
    /// A function with its arguments; what is piped in is the last one.
    Call(String, Vec<Expr>),
    /// A method, or what was not understood; holds the expressions in it.
    Other(Vec<Expr>),
}

/// A template that was read: its own nodes, and the named templates it defines.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) nodes: Vec<Node>,
    pub(crate) defines: BTreeMap<String, Vec<Node>>,
}

/// All templates of a chart.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    /// Nodes by path of the file.
    pub(crate) files: BTreeMap<String, Vec<Node>>,
    /// Named templates. Names are global in Helm.
    pub(crate) defines: BTreeMap<String, Vec<Node>>,
}

impl Templates {
    /// Reads the templates of a chart and its subcharts.
    pub(crate) fn of(chart: &Chart) -> Self {
        let mut templates = Self::default();
        for node in chart.nodes() {
            let folder = format!("{}templates/", node.prefix);
            let end = format!("{}templates0", node.prefix);
            for (path, content) in chart.files().range(folder..end) {
                let Ok(text) = std::str::from_utf8(content) else {
                    continue;
                };
                let parsed = parse::parse(text);
                templates.files.insert(path.clone(), parsed.nodes);
                templates.defines.extend(parsed.defines);
            }
        }
        templates
    }
}
