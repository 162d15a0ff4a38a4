//! Whatever templates render to, the rewritten chart renders the same: random documents, made of what is awkward in YAML and
//! in the way Helm takes it apart.

use proptest::prelude::*;
use quench_chart::render::Request;
use serde_json::Value;

use crate::pitfalls::unchanged;
use crate::programs::{chart, helms};

/// What stands between two documents. Helm splits at three dashes at the start of a line, whatever follows.
const SEPARATORS: [&str; 8] = [
    "---\n",
    "--- \t\n",
    "---\n---\n",
    "---   # here\n",
    "\n\n---\n\n",
    "---\n# only a comment\n---\n",
    "{{ if .Values.no }}kind: Never{{ end }}\n---\n",
    "---\n{{- /* taken away */ -}}\n\n---\n",
];

/// Lines of a map that must come through as they are.
const LINES: [&str; 16] = [
    "a: null",
    "b: ~",
    "c:",
    "d: {{ .Values.missing }}",
    "e: \"<no value>{{ .Values.missing }}\"",
    "f: 9007199254740991",
    "g: -9007199254740991",
    "h: 1e3",
    "i: 0x1F",
    "j: 0777",
    "k: [1, 1.0, '1', true, yes, null, {}, []]",
    "l: 2001-02-03",
    "m: &anchor {x: 1}",
    "same: first",
    "same: last",
    "1: number",
];

/// A string as JSON, which is YAML too, without what a template would run. U+2028 and its like are left out: to the YAML
/// library of Helm they end a line, to YAML 1.2 and to us they do not, so a chart with them is refused.
fn quoted() -> impl Strategy<Value = String> {
    "[ -~\t\u{e4}\u{a0}\u{1f600}]{0,12}"
        .prop_map(|text| Value::from(text.replace("{{", "{ {")).to_string())
}

/// A block scalar under the key `block`, with what follows its last line.
fn block() -> impl Strategy<Value = String> {
    (
        prop::sample::select(vec!["|", "|-", "|+", ">", ">-", ">+"]),
        prop::collection::vec("([a-z#:'\"-][a-z #:\t]{0,6})?", 0..5),
        0..4_usize,
    )
        .prop_map(|(style, lines, blank)| {
            // The first line tells how far the block is indented.
            let first = std::iter::once("x".to_owned());
            let body: String = first
                .chain(lines)
                .map(|line| {
                    if line.is_empty() {
                        "\n".to_owned()
                    } else {
                        format!("    {line}\n")
                    }
                })
                .collect();
            format!("  block: {style}\n{body}{}", "\n".repeat(blank))
        })
}

fn metadata() -> impl Strategy<Value = String> {
    (
        0..3_u8,
        prop::sample::select(vec![
            "",
            "  annotations: {helm.sh/hook: pre-install, helm.sh/hook-weight: \"-5\"}\n",
            "  annotations: null\n",
        ]),
    )
        .prop_map(|(number, rest)| format!("metadata:\n  name: n{number}\n{rest}"))
}

/// An object of some kind; a block scalar, if there is one, comes last.
fn object() -> impl Strategy<Value = String> {
    (
        metadata(),
        prop::sample::subsequence(LINES.to_vec(), 0..6),
        quoted(),
        prop::option::of(block()),
    )
        .prop_map(|(metadata, lines, text, block)| {
            let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
            format!(
                "apiVersion: v1\nkind: ConfigMap\n{metadata}data:\n  text: {text}\n{lines}{}",
                block.unwrap_or_default()
            )
        })
}

/// Objects as members of a `List`.
fn members() -> impl Strategy<Value = String> {
    prop::collection::vec((0..9_u8, quoted()), 0..3).prop_map(|members| {
        let items: String = members
            .iter()
            .map(|(number, text)| {
                format!("- {{apiVersion: v1, kind: Secret, metadata: {{name: m{number}}}, stringData: {{a: {text}}}}}\n")
            })
            .collect();
        let items = if items.is_empty() { "items: []\n".to_owned() } else { format!("items:\n{items}") };
        format!("apiVersion: v1\nkind: List\nmetadata: {{name: list}}\n{items}")
    })
}

/// A template: documents, separated in some way, with line ends of some system.
fn template() -> impl Strategy<Value = String> {
    (
        prop::collection::vec(
            (
                prop_oneof![4 => object(), 1 => members()],
                prop::sample::select(SEPARATORS.to_vec()),
            ),
            1..4,
        ),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(documents, leading, windows)| {
            let mut text = if leading {
                "---\n".to_owned()
            } else {
                String::new()
            };
            for (document, separator) in documents {
                text.push_str(&document);
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(separator);
            }
            if windows {
                text.replace('\n', "\r\n")
            } else {
                text
            }
        })
}

proptest! {
    // Each case starts helm six times.
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn random_documents_come_through(templates in prop::collection::vec(template(), 6)) {
        let names: Vec<String> = (0..templates.len()).map(|number| format!("templates/t{number}.yaml")).collect();
        let files: Vec<(&str, &str)> = names
            .iter()
            .zip(&templates)
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .chain([("values.yaml", "no: false\n")])
            .collect();
        let sample = chart(&files);
        for (name, helm) in helms() {
            unchanged(name, &helm, &sample, &Request::default());
        }
    }
}
