//! Reading and writing YAML as Helm does, shown by Helm.

use quench_chart::yaml;
use serde_json::{Value, json};

use crate::programs::{chart, helms, render};
use quench_chart::render::{Helm, Request};

/// What `fromYaml` makes of each text, as JSON; `None` where it reports an error.
fn from_yaml(helm: &Helm, texts: &[String]) -> Vec<Option<Value>> {
    let probe = chart(&[(
        "templates/probe.yaml",
        "results:\n{{- range .Values.texts }}\n- {{ fromYaml . | toJson | b64enc | quote }}\n{{- end }}\n",
    )]);
    let request = Request {
        values: vec![yaml::to_string(&json!({ "texts": texts }))],
        ..Request::default()
    };
    let rendered = render(helm, &probe, &request);
    let object = rendered.documents[0].object.clone().unwrap();
    object["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            use base64::Engine as _;
            let json = base64::engine::general_purpose::STANDARD
                .decode(result.as_str().unwrap())
                .unwrap();
            let value: Value = serde_json::from_slice(&json).unwrap();
            value.get("Error").is_none().then_some(value)
        })
        .collect()
}

/// Numbers as templates hold them.
fn as_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(list) => list.iter().map(as_floats).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), as_floats(value)))
            .collect(),
        other => other.clone(),
    }
}

const TEXTS: &[&str] = &[
    "a: 1\na: 2",
    "a: 1\n<<: {a: 2, b: 3}",
    "<<: [{a: 1},{a: 2, c: 3}]\na: 9",
    "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2",
    "a: 0644\nb: 0o644\nc: y\nd: 1.0\ne: 1e3\nf: 2024-01-01\ng: 12345678901234567\n1: x\n1.5: z\ntrue: y",
    "t: !!binary aGk=\nu: !foo 12\nv: ! 12\nw: .5\nx: 1_0\ny: -0b11\nz: +1",
    "no: 1\noff: 2\n0x10: 3\n010: 4",
    "a: .inf",
    "a: .nan",
    "? {a: 1}\n: x",
    "~: x",
    "a: &x [1]\nb: *x",
    "- 1",
    "just text",
    "",
    "# comment only",
    "a:\tb",
    "\ta: b",
    "a: 'x'\nb: @x",
    "a: %x",
    "a: `x`",
    "key: [a,b\n]\n",
    "k:\n  a: [\n    1\n  ]\n  b: {\n    c: 1\n  }\nd: 2",
    "k:\n  a: 1\n ]\nd: 2",
    "a: 'it''s'\n...\nb: 1",
    "a: b: c",
    "a: x\n b: 1",
    "{a: b}",
    "a: {b:c}",
    "a: [x:y]",
    "a: {b: c, d}",
    "%YAML 1.1\n---\na: 1",
    "a: \"\\x41\\u00e9\\n\\t\\e\"",
    "a: >\n  x\n  y\n\n  z\n",
    "a: >-\n  x\n    more\n  y\n",
    "a: |+\n  x\n\n\nb: 1",
    "a: |2\n    x\n   y\n",
    "a: \"b\nc\"",
    "x:\n  a: \"b\n\nc \\\"d\\\n e\" # f\n  b: 'it''s\nnext'\nc: \"x\ny\"",
    "a:\tb\nc:\t\td\ne:\t-1\nf: 'x:\ty'",
    "a: b\n  c\n  d",
    "a: *nope",
    "a:\n- b\n- c\n",
    "a:\n  - b\n  -   c: 1\n      d: 2\n",
    "a: - b",
    "x: a #b",
    "x: a#b",
    "'a': b\n\"c\" : d",
    "a: !!int '3'",
    "a: !!int x",
    "a: !!str 3",
    "a: !!float 3",
    "a: !!bool maybe",
    "a: 0x",
    "a: 09",
    "a: 1e999",
    "a: 18446744073709551615\nb: 18446744073709551616",
    "a: 1\n\n---\nb: 2",
    "---\na: 1",
    "--- {a: 1}",
    "a: http://x/y?z=1&b",
    "a: x:y",
    "a: -1\nb: -x\nc: ?x\nd: :x",
    "a: \"{{ x }}\"\nb: '{{ y }}'",
    "a: {{ x }}",
    "\"a\": 1,",
    "a: 1,",
    "a: [1, 2,]",
    "a: {b: 1,}",
    "a: ''\nb: \"\"\nc:",
    "{\"a\": {\"b\": [1, \"x\", null, true]}}",
    "{\"a\":1,\"b\":\"c\"}",
    "a: |\n  x\n  \ty\n",
    "a: 1 \nb: 2\t\n",
    "a: x\r\nb: y\r\n",
    "a: |\r\n  x\r\n  y\r\n",
    "a: \u{e9}\u{1f600}",
    "a: !!map {b: 1}\nc: !!seq [1]",
    "a: !tag {b: 1}",
    "a: &anchor\nb: *anchor",
    "a: 1:30\nb: 190:20:30",
    "a: 2024-01-01T00:00:00Z\nb: 2024-01-01 10:00:00",
    "a: null\nb: Null\nc: ~\nd: nULL",
    "a: =\nb: <<",
    "?a: b",
    "a: >\n\n  x\n",
    "a: |-\n  x\n \n",
    "a:\n  b: 1\n c: 2",
    "a: 'x' y",
    "- a: 1\n- b",
    "a: [\n  1,\n  # comment\n  2\n]",
    "\u{feff}a: 1",
    "s:\n  args: [\n    \"a\",\n    \"b\"\n  ]\n  more: 1\n",
    "s:\n  args: [\n    \"a\",\n    \"b\"\n]\nmore: 1\n",
    "s:\n    t:\n      more: {\n  a: b,\n c: [x, \ny\n ]\n}\n    last: 1\n",
    "s:\n  - t: [\n# comment\nx, 'y\nz'\n ]\n  - u: {\na: 1\n  }\n",
    "s:\n  a: [\nx: y\n]\n",
    "s:\n  a: {\n? x\n: y\n}\nb: 1",
    "s:\n  a: [x\ny\nz]\nb: 1",
    "s:\n  a: [\n&x 1,\n*x\n]\nb: 1",
    "s:\n  a: [\n- 1\n]\nb: 1",
    "s:\n  a: [\n--- \n]\nb: 1",
    "s:\n  a: [\nb: 1",
];

/// Texts that this crate refuses though Helm reads them, or reads though Helm refuses them. The parser beneath is one of
/// YAML 1.2; what it reads differently must stay this short.
const KNOWN: &[&str] = &["\ta: b"];

#[test]
fn reading_is_what_helm_reads() {
    let texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    for (name, helm) in helms() {
        let mut wrong = Vec::new();
        for (text, theirs) in texts.iter().zip(from_yaml(&helm, &texts)) {
            let ours = match yaml::parse(text) {
                Ok(value @ Value::Object(_)) => Some(as_floats(&value)),
                // Into the map that fromYaml fills, null fills nothing in.
                Ok(Value::Null) => Some(json!({})),
                Ok(_) | Err(_) => None,
            };
            let theirs = theirs.map(|value| as_floats(&value));
            if ours != theirs && !KNOWN.contains(&text.as_str()) {
                wrong.push(format!(
                    "{text:?}\n  helm {theirs:?}\n  ours {ours:?} {:?}",
                    yaml::parse(text).err()
                ));
            }
        }
        assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    }
}

fn awkward_texts() -> Vec<String> {
    let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    for c in (0_u32..0x180)
        .chain([0x2028, 0x2029, 0xfeff, 0xfffd, 0x1f600])
        .filter_map(char::from_u32)
    {
        texts.extend([
            format!("{c}"),
            format!("a{c}b"),
            format!("{c} a"),
            format!("a {c}"),
            format!("a\n{c}b\n"),
        ]);
    }
    texts.extend(
        [
            "y",
            "NO",
            "1e3",
            "0o7",
            "1_0",
            "null",
            "~",
            ".5",
            "-",
            "=",
            "<<",
            "2024-01-01",
            "12:30:45",
            " a",
            "a ",
            "a\n",
            "a\n\n",
            "\na",
            "\n",
            "a\n b\nc",
            "#",
            "a #b",
            "- a",
            "? a",
        ]
        .map(str::to_owned),
    );
    texts
}

#[test]
fn what_is_written_helm_reads_back() {
    let texts: Vec<String> = awkward_texts()
        .into_iter()
        .map(|text| json!({"a": {"b": [text.clone(), {"c": text.clone()}], text.clone(): null}}))
        .map(|value| yaml::to_string(&value))
        .collect();
    for (name, helm) in helms() {
        for (text, theirs) in texts.iter().zip(from_yaml(&helm, &texts)) {
            assert_eq!(yaml::parse(text).ok(), theirs, "{name}: {text}");
        }
    }
}

#[test]
fn what_helm_writes_reads_back() {
    let values: Vec<Value> = awkward_texts()
        .into_iter()
        // YAML 1.1 takes these for line breaks and writes them as such; the parser beneath does not.
        .filter(|text| !text.contains(['\u{85}', '\u{2028}', '\u{2029}']))
        // toYaml does not quote this as a key, so that not even Helm reads it back.
        .filter(|text| text != "<<")
        .map(|text| json!({"a": [text.clone()], "b": {text.clone(): text}}))
        .collect();
    let probe = chart(&[(
        "templates/probe.yaml",
        "results:\n{{- range .Values.values }}\n- {{ toYaml . | b64enc | quote }}\n{{- end }}\n",
    )]);
    for (name, helm) in helms() {
        let request = Request {
            values: vec![yaml::to_string(&json!({ "values": values }))],
            ..Request::default()
        };
        let rendered = render(&helm, &probe, &request);
        let object = rendered.documents[0].object.clone().unwrap();
        for (value, written) in values.iter().zip(object["results"].as_array().unwrap()) {
            use base64::Engine as _;
            let written = base64::engine::general_purpose::STANDARD
                .decode(written.as_str().unwrap())
                .unwrap();
            // toYaml takes the last newline off; Helm puts it back when it prints a document.
            let written = format!("{}\n", String::from_utf8(written).unwrap());
            // JSON may hold characters raw that YAML may not; toYaml then gives up and prints nothing.
            if written == "\n" && value.to_string().chars().any(char::is_control) {
                continue;
            }
            assert_eq!(
                yaml::parse(&written).as_ref(),
                Ok(value),
                "{name}: {written}"
            );
        }
    }
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![before; 10].join(", ")
        ));
    }
    let error = yaml::parse(&text).unwrap_err();
    assert!(error.to_string().contains("aliases expand"), "{error}");
    let error = yaml::parse("a: &a [*a]").unwrap_err();
    assert!(error.to_string().contains("inside the value"), "{error}");
    let error = yaml::parse(&"[".repeat(100_000)).unwrap_err();
    assert!(error.to_string().contains("recursion limit"), "{error}");
    let error = yaml::parse(&"- ".repeat(100_000)).unwrap_err();
    assert!(error.to_string().contains("nested deeper"), "{error}");
}

#[test]
fn values_files_of_several_documents_are_merged() {
    assert_eq!(
        yaml::values("a: {b: 1, c: 2}\n---\na: {c: 3}\nd: [1]\n"),
        Ok(json!({"a": {"b": 1, "c": 3}, "d": [1]}))
    );
    let error = yaml::values("a: 1\n---\n- x\n").unwrap_err();
    assert_eq!(error.line(), 3);
}
