//! Rewritten charts: one small chart for each thing that could go wrong.

use quench_chart::Chart;
use quench_chart::compare::{Options, compare};
use quench_chart::render::{Helm, Rendered, Request};
use quench_chart::rewrite::{driver, is_rewritten, restore, rewrite};
use serde_json::{Value, json};

use crate::programs::{OFF, block_on, chart, helms, idle, marking, render, with};

/// Renders the chart as it is, rewritten and switched off, and rewritten with a library that changes nothing: all three
/// must be the same. Returns the first.
pub fn unchanged(name: &str, helm: &Helm, chart: &Chart, request: &Request) -> Rendered {
    let original = render(helm, chart, request);
    let rewritten = rewrite(chart, &idle()).unwrap();
    let mut off = request.clone();
    off.set.push(OFF.to_owned());
    let off = render(helm, &rewritten, &off);
    assert_eq!(off.text, original.text, "{name}: switched off");
    let on = render(helm, &rewritten, request);
    let options = Options {
        ignore_checksums: true,
        again: &[],
    };
    let comparison = compare(&original, &on, options);
    assert!(comparison.is_same(), "{name}: {comparison}\n{}", on.text);
    let sources = |rendered: &Rendered| {
        let mut sources: Vec<_> = rendered
            .documents
            .iter()
            .filter(|document| document.object.is_some())
            .map(|document| document.source.clone())
            .collect();
        sources.sort();
        sources
    };
    assert_eq!(sources(&on), sources(&original), "{name}: sources");
    original
}

fn everywhere(chart: &Chart) {
    for (name, helm) in helms() {
        unchanged(name, &helm, chart, &Request::default());
    }
}

fn objects(rendered: &Rendered) -> Vec<Value> {
    rendered.objects().cloned().collect()
}

fn config(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

#[test]
fn bodies_stay_byte_identical_and_shims_take_their_place() {
    let text = "kind: {{ .Values.kind }}\r\n# odd \u{feff} bytes\n";
    let demo = chart(&[
        ("templates/x.yaml", text),
        ("templates/sub/y.yml", text),
        ("templates/_helpers.tpl", text),
        ("templates/NOTES.txt", text),
        ("templates/MY-NOTES.txt", text),
        ("crds/c.yaml", text),
        ("values.yaml", "kind: A\n"),
    ]);
    let library = idle();
    let rewritten = rewrite(&demo, &library).unwrap();
    let paths: Vec<_> = rewritten.files().keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "Chart.yaml",
            "crds/c.yaml",
            "templates/MY-NOTES.txt",
            "templates/NOTES.txt",
            "templates/_helpers.tpl",
            library.path().as_str(),
            "templates/_x.yaml.tpl",
            "templates/sub/_y.yml.tpl",
            "templates/sub/y.yml",
            "templates/x.yaml",
            "values.yaml",
        ]
    );
    assert_eq!(rewritten.text("templates/_x.yaml.tpl"), Some(text));
    let shim = rewritten.text("templates/sub/y.yml").unwrap();
    assert_eq!(
        shim,
        format!(
            "{{{{- include \"{}\" (list . \"/sub/y.yml\" \"/sub/_y.yml.tpl\" \"demo/templates\") -}}}}\n",
            library.entry()
        )
    );
    assert!(is_rewritten(&rewritten) && !is_rewritten(&demo));
    assert_eq!(restore(&rewritten).unwrap(), demo);
    assert_eq!(rewrite(&rewritten, &library).unwrap(), rewritten);
    let other = rewrite(&rewritten, &marking()).unwrap();
    assert_eq!(other, rewrite(&demo, &marking()).unwrap());
}

#[test]
fn charts_without_templates_and_libraries_stay_as_they_are() {
    let bundle = chart(&[("crds/c.yaml", "kind: CustomResourceDefinition\n")]);
    assert_eq!(rewrite(&bundle, &idle()).unwrap(), bundle);
    everywhere(&bundle);
    let library = chart(&[
        (
            "Chart.yaml",
            "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n",
        ),
        ("templates/_all.tpl", "{{ define \"lib.x\" }}x{{ end }}"),
        ("templates/not-rendered.yaml", "{{ fail \"no\" }}"),
    ]);
    assert_eq!(rewrite(&library, &idle()).unwrap(), library);
    let parent = chart(&[
        (
            "charts/lib/Chart.yaml",
            "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n",
        ),
        (
            "charts/lib/templates/_all.tpl",
            "{{ define \"lib.x\" }}x{{ end }}",
        ),
        (
            "charts/lib/templates/not-rendered.yaml",
            "{{ fail \"no\" }}",
        ),
        (
            "templates/x.yaml",
            "kind: {{ include \"lib.x\" . }}\nmetadata: {name: n}\n",
        ),
    ]);
    everywhere(&parent);
}

#[test]
fn subcharts_aliases_and_nested_archives_are_reached() {
    let inner = chart(&[
        (
            "Chart.yaml",
            "apiVersion: v2\nname: inner\nversion: 1.0.0\n",
        ),
        (
            "templates/deep/cm.yaml",
            "kind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-inner-{{ .Values.who }}}\npath: {{ .Template.Name }}\n",
        ),
        ("values.yaml", "who: inner\n"),
    ]);
    let middle = Chart::from_files(
        [
            ("Chart.yaml", b"apiVersion: v2\nname: middle\nversion: 1.0.0\ndependencies:\n- {name: inner, version: 1.0.0}\n".to_vec()),
            ("charts/inner-1.0.0.tgz", inner.to_tgz().unwrap()),
            ("templates/cm.yaml", b"kind: ConfigMap\nmetadata: {name: {{ .Chart.Name }}-{{ .Values.who }}}\n".to_vec()),
            ("values.yaml", b"who: middle\n".to_vec()),
        ]
        .into_iter()
        .map(|(path, content)| (path.to_owned(), content.into()))
        .collect(),
    )
    .unwrap();
    let root = Chart::from_files(
        [
            ("Chart.yaml", b"apiVersion: v2\nname: root\nversion: 1.0.0\ndependencies:\n- {name: middle, version: 1.0.0, alias: one}\n- {name: middle, version: 1.0.0, alias: two, condition: two.on}\n".to_vec()),
            ("charts/middle-1.0.0.tgz", middle.to_tgz().unwrap()),
            ("templates/cm.yaml", b"kind: ConfigMap\nmetadata: {name: root}\n".to_vec()),
            ("values.yaml", b"one: {who: first}\ntwo: {who: second, on: true, inner: {who: last}}\n".to_vec()),
        ]
        .into_iter()
        .map(|(path, content)| (path.to_owned(), content.into()))
        .collect(),
    )
    .unwrap();
    assert!(
        root.files()
            .contains_key("charts/middle-1.0.0/charts/inner-1.0.0/templates/deep/cm.yaml")
    );
    for (name, helm) in helms() {
        unchanged(name, &helm, &root, &with(&["two.on=false"]));
        let original = unchanged(name, &helm, &root, &Request::default());
        assert_eq!(original.documents.len(), 5, "{name}");
        let marked = render(
            &helm,
            &rewrite(&root, &marking()).unwrap(),
            &with(&["global.hardening.mark=m"]),
        );
        let mut seen: Vec<_> = marked
            .objects()
            .map(|object| {
                assert_eq!(object["seen"]["mark"], "m", "{name}: {object}");
                object["seen"]["template"].as_str().unwrap().to_owned()
            })
            .collect();
        seen.sort();
        assert_eq!(
            seen,
            [
                "root/charts/one/charts/inner/templates/deep/cm.yaml",
                "root/charts/one/templates/cm.yaml",
                "root/charts/two/charts/inner/templates/deep/cm.yaml",
                "root/charts/two/templates/cm.yaml",
                "root/templates/cm.yaml",
            ],
            "{name}"
        );
    }
}

#[test]
fn the_archive_of_a_rewritten_chart_renders_too() {
    let demo = chart(&[("templates/x.yaml", &config("x")), ("README.md", "r")]);
    let rewritten = rewrite(&demo, &marking()).unwrap();
    let archive = rewritten.to_tgz().unwrap();
    assert_eq!(
        Chart::from_tgz(archive.as_slice(), "a.tgz").unwrap(),
        rewritten
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.tgz");
    std::fs::write(&path, archive).unwrap();
    for (name, helm) in helms() {
        let rendered = block_on(helm.render_path(&path, &Request::default())).unwrap();
        assert!(
            rendered.objects().all(|object| object["seen"].is_object()),
            "{name}"
        );
        assert_eq!(
            objects(&rendered),
            objects(&render(&helm, &rewritten, &Request::default())),
            "{name}"
        );
    }
}

#[test]
fn awkward_file_names_work() {
    let demo = chart(&[
        ("templates/with space.yaml", &config("a")),
        ("templates/it's \"quoted\" `so`.yaml", &config("b")),
        ("templates/{{ braces }}.yaml", &config("c")),
        ("templates/d\u{e9}j\u{e0}.yaml", &config("d")),
        ("templates/noextension", &config("e")),
        ("templates/x.tpl", &config("f")),
        ("templates/x.txt", &config("g")),
        ("templates/tests/test.yaml", &config("h")),
        ("templates/_folder/x.yaml", &config("i")),
        ("templates/x.yaml", &config("j")),
        ("templates/_x.yaml.tpl", "{{ define \"other\" }}{{ end }}"),
    ]);
    for (name, helm) in helms() {
        let original = unchanged(name, &helm, &demo, &Request::default());
        assert_eq!(original.documents.len(), 10, "{name}");
    }
}

#[test]
fn checksums_of_templates_by_path_still_work() {
    let demo = chart(&[
        (
            "templates/deployment.yaml",
            "kind: Deployment\nmetadata:\n  name: d\n  annotations:\n    checksum/config: {{ include (print $.Template.BasePath \"/config.yaml\") . | sha256sum }}\n\
             \x20   name: {{ .Template.Name }}\n    base: {{ .Template.BasePath }}\n",
        ),
        (
            "templates/config.yaml",
            "kind: ConfigMap\nmetadata: {name: {{ .Template.Name | quote }}}\n",
        ),
        // A context that is no chart's, and none at all.
        (
            "templates/odd.yaml",
            "kind: ConfigMap\nmetadata:\n  name: odd\n  annotations:\n    checksum/a: {{ include \"demo/templates/plain.yaml\" (dict \"a\" 1) | sha256sum }}\n\
             \x20   checksum/b: {{ include \"demo/templates/plain.yaml\" \"text\" | sha256sum }}\n    checksum/c: {{ include \"demo/templates/plain.yaml\" nil | sha256sum }}\n",
        ),
        ("templates/plain.yaml", &config("plain")),
    ]);
    everywhere(&demo);
}

#[test]
fn switches_and_settings_survive_any_values() {
    let demo = chart(&[("templates/x.yaml", &config("x"))]);
    let rewritten = rewrite(&demo, &marking()).unwrap();
    for (name, helm) in helms() {
        let hardened = |values: &str, set: &[&str]| {
            let request = Request {
                values: vec![values.to_owned()],
                ..with(set)
            };
            render(&helm, &rewritten, &request)
                .objects()
                .all(|object| object.get("seen").is_some())
        };
        for values in [
            "",
            "global: null",
            "global: {}",
            "global: text",
            "global: []",
            "global: {hardening: null}",
            "global: {hardening: false}",
            "global: {hardening: {}}",
            "global: {hardening: {enabled: null}}",
            "global: {hardening: {enabled: true}}",
            "global: {hardening: {enabled: 0}}",
        ] {
            assert!(hardened(values, &[]), "{name}: {values}");
        }
        assert!(
            !hardened("global: {hardening: {enabled: false}}", &[]),
            "{name}"
        );
        assert!(
            !hardened("global: {hardening: {enabled: 'false'}}", &[]),
            "{name}"
        );
        assert!(!hardened("", &[OFF]), "{name}");
    }
}

#[test]
fn documents_are_split_where_helm_splits_them() {
    let demo = chart(&[
        (
            "templates/x.yaml",
            "---\n---\n# only a comment\n---\nkind: A\nmetadata: {name: a}\n---kind: B\nmetadata: {name: b}\n--- # comment\nkind: C\nmetadata: {name: c}\n\
         ---   \n\n\n---\n   \nkind: D\nmetadata: {name: d}\ndata:\n  text: |\n    ---\n    kind: no\n     --- either\n---\nkind: E\nmetadata: {name: e}\n",
        ),
        ("templates/empty.yaml", "{{ if false }}x{{ end }}\n"),
        ("templates/none.yaml", ""),
    ]);
    for (name, helm) in helms() {
        let original = unchanged(name, &helm, &demo, &Request::default());
        assert_eq!(original.objects().count(), 5, "{name}");
    }
}

#[test]
fn last_newlines_of_block_scalars_are_kept() {
    let mut files = vec![];
    for (chomping, mark) in [
        ("clip", "|"),
        ("strip", "|-"),
        ("keep", "|+"),
        ("fold", ">"),
        ("foldkeep", ">+"),
    ] {
        for (newlines, end) in [
            "",
            "\n",
            "\n\n",
            "\n\n\n",
            "\n    ",
            "\n      \n    \n\n",
            "\n   \n",
        ]
        .into_iter()
        .enumerate()
        {
            let body = format!(
                "kind: ConfigMap\nmetadata: {{name: NAME}}\ndata:\n  text: {mark}\n    hello\n    world{}",
                end
            );
            for (place, text) in [
                ("alone", body.clone()),
                (
                    "last",
                    format!("kind: A\nmetadata: {{name: NAME}}\n---\n{body}"),
                ),
            ] {
                files.push((
                    format!("templates/{chomping}{newlines}{place}.yaml"),
                    text.replace("NAME", &format!("{chomping}{newlines}{place}")),
                ));
            }
            if end.ends_with('\n') {
                let text = format!("{body}---\nkind: A\nmetadata: {{name: NAME}}\n");
                files.push((
                    format!("templates/{chomping}{newlines}first.yaml"),
                    text.replace("NAME", &format!("{chomping}{newlines}first")),
                ));
            }
        }
    }
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    everywhere(&chart(&files));
}

#[test]
fn no_value_is_taken_out_before_parsing() {
    let demo = chart(&[(
        "templates/x.yaml",
        "kind: A\nmetadata:\n  name: a\n  labels: {{ .Values.missing }}\n  text: x{{ .Values.missing }}y\n  bad: {{ .Values.missing }}: 1\n",
    )]);
    for (name, helm) in helms() {
        // `bad: : 1` is no YAML before nor after, so it must go.
        let mut demo = demo.clone();
        let text = demo
            .text("templates/x.yaml")
            .unwrap()
            .replace("  bad: {{ .Values.missing }}: 1\n", "");
        demo.insert("templates/x.yaml", text).unwrap();
        let original = unchanged(name, &helm, &demo, &Request::default());
        assert_eq!(
            objects(&original)[0]["metadata"],
            json!({"name": "a", "labels": null, "text": "xy"})
        );
    }
}

#[test]
fn values_of_every_kind_come_through() {
    let demo = chart(&[(
        "templates/x.yaml",
        "kind: A\nmetadata: {name: a, annotations: null}\nnothing: null\nempty: {}\nnone: []\nmode: 0644\nbig: 9007199254740991\nneg: -9007199254740991\n\
         float: 1.5\nwhole: 1.0\nsmall: 1e-7\nhuge: 1e25\nyes: \"yes\"\noctal: \"0644\"\nnumber: \"123\"\ndate: 2024-01-01\nport: \"8080\"\n\
         dup: 1\ndup: 2\nbase: &base {a: 1, b: 2}\nmerged: {<<: *base, b: 3}\ncolon: \"a: b\"\nhash: \"a #b\"\nquote: 'it''s \"so\"'\ntab: \"a\\tb\"\n\
         unicode: \"\\u00e9\\u2028\\ufeff\\U0001F600\"\nspaces: \"  a  \"\nlines: \"a\\n  b\\n\\n c \\n\"\nlong: {{ repeat 300 \"word \" | quote }}\n\
         cert: |\n  -----BEGIN CERTIFICATE-----\n  MIIB\n  -----END CERTIFICATE-----\nscript: |\n  #!/bin/sh\n  \tindented\n\n  last  \nhex: \"0x1234567890abcdef1234\"\n\
         digits: \"12345678901234567890\"\nsha: sha256:1234567890123456789012345678901234567890\n",
    )]);
    for (name, helm) in helms() {
        let original = unchanged(name, &helm, &demo, &Request::default());
        let object = &objects(&original)[0];
        assert_eq!(object["mode"], 420, "{name}");
        assert_eq!(object["dup"], 2, "{name}");
        assert_eq!(object["merged"], json!({"a": 1, "b": 3}), "{name}");
    }
}

#[test]
fn integers_that_templates_cannot_hold_are_refused() {
    for (text, refused) in [
        ("kind: A\nbig: 9007199254740993\n", true),
        ("kind: A\nlist: [{x: -12345678901234567}]\n", true),
        ("kind: A\nbig: 1_234_567_890_123_456_789\n", true),
        ("kind: A\nbig: \"9007199254740993\"\n", false),
        ("kind: A\ntext: |\n  id 12345678901234567890 here\n", false),
        ("kind: A\nok: 1234567890123456\n", false),
    ] {
        let demo = chart(&[("templates/x.yaml", text)]);
        let rewritten = rewrite(&demo, &idle()).unwrap();
        for (name, helm) in helms() {
            let result = block_on(helm.render(&rewritten, &Request::default()));
            match result {
                Err(error) => {
                    assert!(refused, "{name}: {text}: {error}");
                    let message = error.to_string();
                    assert!(
                        message.contains("demo/templates/x.yaml")
                            && message.contains("has too many digits"),
                        "{name}: {message}"
                    );
                }
                Ok(_) => assert!(!refused, "{name}: {text}"),
            }
            render(&helm, &rewritten, &with(&[OFF]));
        }
    }
}

#[test]
fn text_that_is_no_yaml_fails_with_the_template_named() {
    for text in ["kind: A\n\tb: c\n", "- a\n- b\n", "just text\n"] {
        let demo = chart(&[("templates/x.yaml", text)]);
        let rewritten = rewrite(&demo, &idle()).unwrap();
        for (name, helm) in helms() {
            let error = block_on(helm.render(&rewritten, &Request::default())).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains("demo/templates/x.yaml") && message.contains("cannot be hardened"),
                "{name}: {message}"
            );
            block_on(helm.render(&demo, &Request::default())).unwrap_err();
        }
    }
}

#[test]
fn members_of_lists_are_hardened_one_by_one() {
    let demo = chart(&[(
        "templates/x.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- kind: A\n  metadata: {name: a}\n- apiVersion: v1\n  kind: RoleList\n  items:\n  - kind: B\n    metadata: {name: b}\n",
    )]);
    everywhere(&demo);
    for (name, helm) in helms() {
        let rendered = render(
            &helm,
            &rewrite(&demo, &marking()).unwrap(),
            &Request::default(),
        );
        assert_eq!(rendered.objects().count(), 2, "{name}");
        assert!(
            rendered.objects().all(|object| object["seen"].is_object()),
            "{name}: {}",
            rendered.text
        );
        let list = rendered.documents[0].object.as_ref().unwrap();
        assert!(list.get("seen").is_none(), "{name}");
    }
}

#[test]
fn hooks_keep_their_annotations() {
    let demo = chart(&[(
        "templates/x.yaml",
        "kind: Job\nmetadata:\n  name: a\n  annotations:\n    helm.sh/hook: pre-install,pre-upgrade\n    helm.sh/hook-weight: \"-5\"\n---\nkind: Pod\nmetadata: {name: t, annotations: {\"helm.sh/hook\": test}}\n",
    )]);
    everywhere(&demo);
}

#[test]
fn definitions_in_templates_keep_their_precedence() {
    // Of two definitions of one name Helm takes the one parsed last, which goes by file name.
    for names in [
        ["templates/_helpers.tpl", "templates/config.yaml"],
        ["templates/_helpers.tpl", "templates/Config.yaml"],
        ["templates/_helpers.tpl", "templates/0config.yaml"],
        ["templates/__x.tpl", "templates/config.yaml"],
        ["templates/a.yaml", "templates/b.yaml"],
        ["templates/a.yaml", "templates/a-b.yaml"],
        ["templates/A.yaml", "templates/b.yaml"],
        ["templates/sub/_x.tpl", "templates/x.yaml"],
    ] {
        let [first, second] = names;
        let demo = chart(&[
            (first, "{{- define \"which\" }}first{{ end -}}"),
            (second, "{{- define \"which\" }}second{{ end -}}"),
            (
                "templates/use.yaml",
                "kind: {{ include \"which\" . }}\nmetadata: {name: x}\n",
            ),
        ]);
        everywhere(&demo);
    }
}

#[test]
fn templates_that_define_block_and_call_tpl_work() {
    let demo = chart(&[
        (
            "templates/x.yaml",
            "{{- define \"x.name\" -}}named{{- end -}}\nkind: A\nmetadata: {name: {{ include \"x.name\" . }}}\nfiles: {{ .Files.Get \"f.txt\" | quote }}\n\
             tpl: {{ tpl \"{{ .Template.Name }}-{{ include \\\"x.name\\\" . }}\" . }}\nblock: {{ block \"x.block\" . }}b{{ end }}\nsub: {{ .Subcharts | toJson | quote }}\n",
        ),
        ("f.txt", "content"),
    ]);
    everywhere(&demo);
}

#[test]
fn schemas_accept_the_settings() {
    let demo = chart(&[
        ("templates/x.yaml", &config("x")),
        ("values.yaml", "a: 1 # stays\n"),
        (
            "values.schema.json",
            "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {\"a\": {\"type\": \"integer\"}}}",
        ),
        (
            "charts/s/Chart.yaml",
            "apiVersion: v2\nname: s\nversion: 1.0.0\n",
        ),
        ("charts/s/templates/x.yaml", &config("s")),
        (
            "charts/s/values.schema.json",
            "{\"properties\": {\"global\": {\"$ref\": \"#/$defs/global\"}}, \"$defs\": {\"global\": {\"type\": \"object\", \"additionalProperties\": false}}}",
        ),
    ]);
    let mut closed = demo.clone();
    closed
        .insert(
            "values.schema.json",
            demo.text("values.schema.json")
                .unwrap()
                .replace("\"a\": {", "\"s\": {}, \"a\": {"),
        )
        .unwrap();
    let rewritten = rewrite(&closed, &marking()).unwrap();
    assert_eq!(rewritten.file("values.yaml"), closed.file("values.yaml"));
    for (name, helm) in helms() {
        let set = with(&["global.hardening.mark=m"]);
        block_on(helm.render(&closed, &set)).unwrap_err();
        let rendered = render(&helm, &rewritten, &set);
        assert_eq!(rendered.objects().count(), 2, "{name}");
        assert!(
            rendered
                .objects()
                .all(|object| object["seen"]["mark"] == "m"),
            "{name}"
        );
        block_on(helm.render(&rewritten, &with(&["a=text"]))).unwrap_err();
        block_on(helm.render(&rewritten, &with(&["other=1"]))).unwrap_err();
        block_on(helm.render(&rewritten, &with(&["global.hardening=text"]))).unwrap_err();
    }
}

#[test]
fn ignore_rules_do_not_hide_what_was_added() {
    let demo = chart(&[
        ("templates/x.yaml", &config("x")),
        (".helmignore", "*.orig\n*.tpl\n_*\nREADME.md\n"),
    ]);
    let rewritten = rewrite(&demo, &idle()).unwrap();
    assert_eq!(rewritten.text(".helmignore"), Some("*.orig\nREADME.md\n"));
    everywhere(&demo);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo");
    rewritten.write_to(&path).unwrap();
    assert_eq!(Chart::load(&path).unwrap(), rewritten);
}

#[test]
fn a_hardened_chart_can_be_a_subchart_of_another() {
    let inner = chart(&[
        (
            "Chart.yaml",
            "apiVersion: v2\nname: inner\nversion: 1.0.0\n",
        ),
        ("templates/x.yaml", &config("inner")),
    ]);
    let other = driver::library(
        "{{- define \"@quench@.object\" -}}{{- $_ := set .object \"other\" true -}}{{- end -}}",
    );
    let inner = rewrite(&inner, &other).unwrap();
    let outer = Chart::from_files(
        [
            (
                "Chart.yaml".to_owned(),
                "apiVersion: v2\nname: outer\nversion: 1.0.0\n".into(),
            ),
            (
                "charts/inner.tgz".to_owned(),
                inner.to_tgz().unwrap().into(),
            ),
            ("templates/y.yaml".to_owned(), config("outer").into()),
        ]
        .into_iter()
        .collect(),
    )
    .unwrap();
    assert!(
        !restore(&outer)
            .unwrap()
            .files()
            .keys()
            .any(|path| path.contains("quench"))
    );
    for (name, helm) in helms() {
        let rendered = render(
            &helm,
            &rewrite(&outer, &marking()).unwrap(),
            &Request::default(),
        );
        assert_eq!(rendered.objects().count(), 2, "{name}");
        assert!(
            rendered.objects().all(|object| object["seen"].is_object()),
            "{name}: {}",
            rendered.text
        );
        assert!(
            !rendered.text.contains("other"),
            "{name}: the outer library takes over"
        );
    }
}

#[test]
fn the_driver_stays_small() {
    // It becomes part of the Secret of each release, with the rest of the chart.
    assert!(idle().text.len() < 8192, "{}", idle().text.len());
}

proptest::proptest! {
    #[test]
    fn restoring_undoes_rewriting(
        files in proptest::collection::btree_map("(charts/(a|b)/)?templates/([a_~!.]{1,3}/)?[xX_~!\" {}.]{1,4}(\\.yaml|\\.tpl|\\.yaml\\.tpl)?", "(\\{\\{ define \"x\" \\}\\}\\{\\{ end \\}\\})?[a-z ]{0,5}", 0..12),
        ignore in "([_*?x.~]{1,4}(/)?\n){0,4}",
    ) {
        let mut demo = chart(&[
            ("charts/a/Chart.yaml", "name: a\nversion: 1.0.0\n"),
            ("charts/b/Chart.yaml", "name: b\nversion: 1.0.0\ntype: library\n"),
        ]);
        for (path, text) in &files {
            // Some of the paths are not ones a chart may hold; others are folders of each other.
            let _ = demo.insert(path, text.clone());
        }
        let _ = demo.insert(".helmignore", ignore);
        let demo = Chart::from_files(demo.files().clone()).unwrap();
        let rewritten = rewrite(&demo, &idle()).unwrap();
        let bodies = rewritten.files().len() - demo.files().len();
        let rendered: usize = demo.nodes().iter().map(|node| node.rendered_templates(demo.files()).count()).sum();
        proptest::prop_assert_eq!(bodies, rendered + usize::from(rendered > 0));
        let mut restored = restore(&rewritten).unwrap();
        // Lines of .helmignore that hid bodies are gone for good.
        if let Some(ignore) = demo.file(".helmignore") {
            restored.insert(".helmignore", ignore.clone()).unwrap();
        }
        proptest::prop_assert_eq!(restored, demo);
    }
}
