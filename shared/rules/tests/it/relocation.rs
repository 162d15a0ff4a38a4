//! Images named beside containers become those of the registry: by the templates as by the evaluator, and nothing else changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use quench_chart::Chart;
use quench_chart::render::{Helm, Rendered};
use quench_chart::workload;
use quench_model::{Digest, ImageReference, Target};
use quench_rules::Evidence;
use serde_json::{Value, json};

use crate::programs::{Case, chart, for_all, friendly, helms, object, render};

const REGISTRY: &str = "registry.internal:5000/q";

/// Each object of a list, as it is.
const OBJECTS: &str = "{{- range .Values.objects }}\n---\n{{ toYaml . }}\n{{- end }}\n";

fn evidence(images: &[&str]) -> Evidence {
    let mut evidence = for_all(friendly());
    for image in images {
        let reference: ImageReference = image.parse().unwrap();
        evidence.add_digest(&reference, &[(*image).to_owned()], &Digest::of(image));
    }
    evidence
}

fn case(images: &[&str]) -> Case {
    Case {
        evidence: evidence(images),
        target: Target {
            registry: Some(REGISTRY.to_owned()),
            ..Target::default()
        },
        ..Case::default()
    }
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

const IMAGES: [&str; 5] = [
    "quay.io/prometheus-operator/prometheus-config-reloader:v0.79.0",
    "docker.io/library/nginx:1.27",
    "nginx:latest",
    "ghcr.io/a/nginx:1.27",
    "10.0.0.1:5000/team/tool@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

/// Texts that hold references of the package, longer ones, others, and none.
fn text(numbers: &mut Numbers) -> String {
    let mut text = String::new();
    for _ in 0..=numbers.below(4) {
        text.push_str(numbers.of(&["", "--x=", "mirror/", "a b", "https://", "\"", "é", "my-"]));
        text.push_str(numbers.of(&IMAGES));
        text.push_str(numbers.of(&[
            "",
            ",",
            " ",
            "-debug",
            ".",
            ";",
            "\n",
            ".1",
            "/x",
            "@sha256:0",
            "é",
        ]));
        if numbers.below(3) == 0 {
            text.push_str(numbers.of(&[
                "nginx",
                "library/nginx:1.27",
                "nginx:1.27",
                "redis:7",
                "x",
            ]));
        }
    }
    text
}

fn value(numbers: &mut Numbers, depth: usize) -> Value {
    match numbers.below(if depth > 3 { 3 } else { 6 }) {
        0 => text(numbers).into(),
        1 => numbers
            .of(&[
                "nginx",
                "library/nginx",
                "docker.io",
                "1.27",
                "",
                "nginx:1.27",
                "quay.io",
                IMAGES[0],
            ])
            .into(),
        2 => [json!(null), json!(true), json!(7), json!([]), json!({})][numbers.below(5)].clone(),
        3 => (0..numbers.below(4))
            .map(|_| value(numbers, depth + 1))
            .collect(),
        _ => {
            let keys = [
                "image",
                "initImage",
                "repository",
                "registry",
                "tag",
                "version",
                "digest",
                "name",
                "labels",
                "selector",
                "args",
                "value",
                "containers",
                "data",
                "spec",
                "é",
            ];
            let fields = (0..numbers.below(6)).map(|_| {
                let key = numbers.of(&keys).to_owned();
                (key, value(numbers, depth + 1))
            });
            Value::Object(fields.collect())
        }
    }
}

#[test]
fn templates_and_evaluator_relocate_alike_whatever_there_is() {
    let sample = chart("objects: []\n", &[("objects.yaml", OBJECTS)]);
    let mut numbers = Numbers(7);
    let kinds = [
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("apps/v1", "Deployment"),
        ("example.org/v1", "Thing"),
    ];
    let encode = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let objects: Vec<Value> = (0..64)
        .map(|number| {
            let (version, kind) = kinds[number % kinds.len()];
            let metadata = json!({
                "name": format!("o{number}"),
                "labels": {"image": "nginx"},
                "annotations": {"a": text(&mut numbers)},
            });
            let mut object = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
            match kind {
                "ConfigMap" => {
                    object["data"] = json!({"a": text(&mut numbers), "b": text(&mut numbers)});
                    object["binaryData"] = json!({"c": encode(&text(&mut numbers))});
                }
                "Secret" => {
                    object["stringData"] = json!({"a": text(&mut numbers)});
                    object["data"] = json!({
                        "b": encode(&text(&mut numbers)), "c": "bmdpbng6MS4yNw==", "d": "no base64: nginx:1.27",
                        "e": "bmdpbng6MS4yNyD//g==", "f": 7,
                    });
                }
                "Deployment" => {
                    object["spec"] = json!({"template": {"spec": {
                        "containers": [{
                            "name": "a", "image": numbers.of(&IMAGES), "args": [text(&mut numbers)],
                            "env": [{"name": "nginx:1.27", "value": text(&mut numbers)}],
                        }],
                        "volumes": [{"name": "v", "image": {"reference": numbers.of(&IMAGES)}}],
                        "other": value(&mut numbers, 0),
                    }}});
                }
                _ => object["spec"] = value(&mut numbers, 0),
            }
            object
        })
        .collect();
    let values = json!({ "objects": objects }).to_string();
    for helm in helms() {
        for registry in [REGISTRY, "docker.io/", "odd.$1/${2}"] {
            let mut case = case(&IMAGES);
            case.target.registry = Some(registry.to_owned());
            let hardened = case.harden(&helm, &sample, &values).unwrap().chart;
            case.assert_equal(&helm, &hardened, &values);
            let text = render(&helm, &hardened, &values).unwrap().text;
            assert!(text.contains(&format!(
                "{}/prometheus-operator",
                registry.trim_end_matches('/')
            )));
            // Without a registry, and with hardening off, nothing is relocated.
            for off in ["registry: ''", "enabled: false"] {
                let values = format!(
                    "global: {{hardening: {{{off}}}}}\nobjects: {}",
                    json!(objects)
                );
                case.assert_equal(&helm, &hardened, &values);
                let text = render(&helm, &hardened, &values).unwrap().text;
                let moved = format!("{REGISTRY}/prometheus-operator");
                assert!(!text.contains(&moved));
            }
        }
    }
}

#[test]
fn a_waiver_keeps_an_object_as_it_is() {
    let sample = chart("objects: []\n", &[("objects.yaml", OBJECTS)]);
    let config = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "nginx:1.27"}});
    let waiver = json!({"rule": "image-references", "kind": "ConfigMap", "name": "kept", "reason": "a test"});
    let values = json!({
        "objects": [config("kept")], "global": {"hardening": {"waivers": [waiver]}},
    })
    .to_string();
    for helm in helms() {
        let case = case(&IMAGES);
        let hardened = case.harden(&helm, &sample, &values).unwrap().chart;
        case.assert_equal(&helm, &hardened, &values);
        let rendered = render(&helm, &hardened, &values).unwrap();
        assert_eq!(object(&rendered, "ConfigMap")["data"]["x"], "nginx:1.27");
    }
}

/// Texts of an object, with where they are.
fn texts<'v>(value: &'v Value, path: String, found: &mut Vec<(String, &'v str)>) {
    match value {
        Value::String(text) => found.push((path, text)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts(item, format!("{path}[{index}]"), found);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                texts(field, format!("{path}.{key}"), found);
            }
        }
        _ => {}
    }
}

/// What looks like a reference with registry and tag.
fn references(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "._/:@-".contains(c)))
        .filter(|word| {
            let (host, rest) = word.split_once('/').unwrap_or_default();
            host.contains('.') && !host.contains(':') && rest.contains(':')
        })
        .filter(|word| word.parse::<ImageReference>().is_ok())
        .map(str::to_owned)
        .collect()
}

/// Every reference of the package, made one and the same word.
fn without_references(text: &str, references: &BTreeSet<String>) -> String {
    let mut text = text.to_owned();
    // Longer ones first: one may begin like another.
    for reference in references.iter().rev() {
        text = text.replace(reference, "IMAGE");
    }
    while let Some(at) = text.find(REGISTRY) {
        let rest = &text[at..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "._/:@-".contains(c)))
            .unwrap_or(rest.len());
        text.replace_range(at..at + end, "IMAGE");
    }
    text
}

/// How many references beside containers changed, and how long rendering takes without and with a registry.
fn relocated(helm: &Helm, chart: &Chart, values: &str) -> Result<String, String> {
    let plain = render(helm, chart, values)?;
    let mut found = BTreeSet::new();
    for object in plain.objects() {
        if let Some(pod) = workload::pod(object) {
            found.extend(pod.containers().filter_map(|c| c.image).map(str::to_owned));
        }
        let mut all = Vec::new();
        texts(object, String::new(), &mut all);
        for (_, text) in all {
            found.extend(references(text));
        }
    }
    found.retain(|text| text.parse::<ImageReference>().is_ok());
    let images: Vec<&str> = found.iter().map(String::as_str).collect();
    let case = case(&images);
    let hardened = case
        .harden(helm, chart, values)
        .map_err(|e| e.to_string())?
        .chart;
    let comparison = case.compare(helm, &hardened, values)?;
    if !comparison.is_same() {
        return Err(comparison.to_string());
    }
    // The hardened chart with and without a registry.
    let unset = format!("{values}\nglobal: {{hardening: {{registry: ''}}}}\n");
    let start = Instant::now();
    let before = render(helm, &hardened, &unset)?;
    let without = start.elapsed();
    let after = render(helm, &hardened, values)?;
    let with = start.elapsed() - without;
    let count = differ_in_references_alone(&before, &after, &found)?;
    Ok(format!(
        "{count} references beside containers; rendering {without:?} without a registry, {with:?} with one"
    ))
}

fn differ_in_references_alone(
    before: &Rendered,
    after: &Rendered,
    references: &BTreeSet<String>,
) -> Result<usize, String> {
    let pinned: BTreeSet<String> = references
        .iter()
        .flat_map(|text| {
            let reference: ImageReference = text.parse().unwrap();
            let tag = reference
                .tag()
                .map(|tag| format!(":{tag}"))
                .unwrap_or_default();
            let digest = Digest::of(text);
            [text.clone(), format!("{}{tag}@{digest}", reference.name())]
        })
        .collect();
    let mut moved = 0;
    for (one, two) in before.objects().zip(after.objects()) {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        texts(one, String::new(), &mut old);
        texts(two, String::new(), &mut new);
        if old.len() != new.len() {
            return Err(format!("{}: other fields", one["metadata"]["name"]));
        }
        for ((path, old), (other, new)) in old.into_iter().zip(new) {
            // Charts make certificates and passwords anew, and checksums of what was changed.
            let random =
                path.contains("checksum/") || one["kind"] == "Secret" || path.contains("caBundle");
            if old == new || random {
                continue;
            }
            let at = format!("{}/{}{path}", one["kind"], one["metadata"]["name"]);
            if path != other || without_references(old, &pinned) != without_references(new, &pinned)
            {
                return Err(format!("{at}: {old:?} became {new:?}"));
            }
            let container = path.ends_with(".image") && path.contains("ontainers[");
            moved += usize::from(!container);
        }
    }
    Ok(moved)
}

#[test]
fn corpus_differs_in_references_alone() {
    let Some(folder) = std::env::var_os("QUENCH_CHARTS") else {
        eprintln!("SKIPPED: QUENCH_CHARTS names no folder of charts");
        return;
    };
    // One chart by hand, with values it may need.
    let only = std::env::var("QUENCH_CHART").ok();
    let values = std::env::var("QUENCH_CHART_VALUES").unwrap_or_default();
    let mut charts: Vec<PathBuf> = std::fs::read_dir(Path::new(&folder))
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("Chart.yaml").is_file())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            only.as_deref().is_none_or(|only| Some(only) == name)
        })
        .collect();
    charts.sort();
    let helms = helms();
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in &charts {
        let chart = match Chart::load(path) {
            Ok(chart) => chart,
            Err(error) => {
                eprintln!("SKIPPED: {}: {error}", path.display());
                continue;
            }
        };
        for helm in &helms {
            if let Err(error) = render(helm, &chart, &values) {
                let last = error.lines().last().unwrap_or_default();
                eprintln!("SKIPPED: {}: {last}", path.display());
                continue;
            }
            match relocated(helm, &chart, &values) {
                Ok(line) => {
                    compared += 1;
                    println!("{}: {line}", chart.name());
                }
                Err(error) => wrong.push(format!("{}: {error}", path.display())),
            }
        }
    }
    println!("{compared} charts compared, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
