//! Network flows as a Mermaid flowchart.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::overview::{Exposure, Network, NodeKind};

/// Most connections drawn: more cannot be read.
const MOST: usize = 80;

/// The flowchart's text.
pub(super) fn mermaid(network: &Network) -> String {
    let edges: Vec<_> = network.edges.iter().take(MOST).collect();
    let mut ids: BTreeMap<&str, String> = BTreeMap::new();
    let mut text = String::from("flowchart LR\n");
    for node in &network.nodes {
        let drawn = edges
            .iter()
            .any(|edge| edge.from == node.name || edge.to == node.name);
        if !drawn {
            continue;
        }
        let id = format!("n{}", ids.len());
        let label = label(&node.name);
        // Writing to a String cannot fail.
        let _ = match node.kind {
            NodeKind::Outside => writeln!(text, "  {id}([\"{label}\"])"),
            NodeKind::Entry => writeln!(text, "  {id}{{{{\"{label}\"}}}}"),
            NodeKind::Service => writeln!(text, "  {id}(\"{label}\")"),
            NodeKind::Workload => writeln!(text, "  {id}[\"{label}\"]"),
        };
        if node
            .ingress
            .is_some_and(|ingress| ingress != Exposure::Open)
        {
            let _ = writeln!(text, "  style {id} stroke-width:3px");
        }
        ids.insert(&node.name, id);
    }
    for edge in &edges {
        if let (Some(from), Some(to)) = (ids.get(&*edge.from), ids.get(&*edge.to)) {
            let _ = match edge.ports.as_slice() {
                [] => writeln!(text, "  {from} --> {to}"),
                ports => writeln!(text, "  {from} -->|\"{}\"| {to}", label(&ports.join(", "))),
            };
        }
    }
    let left = network.edges.len().saturating_sub(MOST);
    if left > 0 {
        let _ = writeln!(
            text,
            "  more[\"{left} connections more, see quench report\"]"
        );
    }
    text
}

/// Foreign text between quotes: Mermaid has entity codes (`#quot;`) for what would end them.
fn label(text: &str) -> String {
    let mut label = String::new();
    for c in text.chars().take(80) {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '/' | '.' | ',' | ':' | '_' => {
                label.push(c);
            }
            c if c.is_control() || super::super::is_deceptive(c) => label.push(' '),
            c => {
                let _ = write!(label, "#{};", u32::from(c));
            }
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::super::super::overview::{Edge, Node};
    use super::*;

    #[test]
    fn names_cannot_end_their_quotes() {
        let hostile = "Service/x\"]; click n0 \"javascript:y\"\n%%";
        let network = Network {
            nodes: vec![Node {
                name: hostile.to_owned(),
                kind: NodeKind::Service,
                ingress: None,
                egress: None,
            }],
            edges: vec![Edge {
                from: hostile.to_owned(),
                to: hostile.to_owned(),
                ports: vec!["80\"".to_owned()],
                shown_by: String::new(),
            }],
            policies: Vec::new(),
        };
        let text = mermaid(&network);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(text.matches('"').count(), 4, "{text}");
    }
}
