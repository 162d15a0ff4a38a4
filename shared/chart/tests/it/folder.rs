//! Chart folders: read as Helm reads them, vendored, written whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use quench_chart::Chart;
use quench_chart::render::Request;
use tempfile::TempDir;

use crate::programs::{block_on, chart, helms};

fn put(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn chart_yaml(name: &str, rest: &str) -> String {
    format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n{rest}")
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), files);
    folder
}

#[test]
fn ignored_files_are_those_helm_ignores() {
    for ignore in [
        "",
        "*.md\n",
        "docs/\n",
        "docs\n",
        "/docs/a.txt\n",
        "docs/*.txt\n",
        "a.txt\n",
        "# docs/\n\n  b.txt  \n",
        "!*.yaml\n",
        "!*.txt\n",
        "!docs/\n",
        "?.txt\n[xy].md\n",
        "docs/deep\n",
        "\u{feff}a.txt\n",
        "*.txt\n!a.txt\n",
        "charts/\n",
        "..data\n.*\n",
        "a.txt/\n",
        "/\n",
    ] {
        let demo = folder(&[
            ("Chart.yaml", &chart_yaml("demo", "")),
            (
                "templates/files.yaml",
                "files:\n{{- range $path, $content := .Files }}\n- {{ $path | quote }}\n{{- end }}\n",
            ),
            ("a.txt", "a"),
            ("b.txt", "b"),
            ("x.md", "x"),
            ("docs/a.txt", "a"),
            ("docs/c.txt", "c"),
            ("docs/deep/a.txt", "a"),
            ("docs/deep/x.md", "x"),
            (".hidden", "h"),
            ("values.yaml", "v: 1\n"),
            (".helmignore", ignore),
        ]);
        for (name, helm) in helms() {
            let theirs = block_on(helm.render_path(demo.path(), &Request::default()));
            let ours = Chart::load(demo.path());
            let (Ok(theirs), Ok(ours)) = (&theirs, &ours) else {
                assert_eq!(
                    theirs.is_ok(),
                    ours.is_ok(),
                    "{name} {ignore:?}: {theirs:?} {ours:?}"
                );
                continue;
            };
            let theirs: Vec<String> = theirs
                .documents
                .first()
                .and_then(|document| document.object.as_ref())
                .and_then(|object| object["files"].as_array())
                .into_iter()
                .flatten()
                .map(|path| path.as_str().unwrap().to_owned())
                .collect();
            let ours: Vec<String> = ours
                .files()
                .keys()
                .filter(|path| {
                    !matches!(path.as_str(), "Chart.yaml" | "values.yaml")
                        && !path.starts_with("templates/")
                })
                .cloned()
                .collect();
            assert_eq!(ours, theirs, "{name} {ignore:?}");
        }
    }
}

#[test]
fn bad_ignore_lines_are_named() {
    let demo = folder(&[
        ("Chart.yaml", &chart_yaml("demo", "")),
        (".helmignore", "ok\n**/x\n"),
    ]);
    let error = Chart::load(demo.path()).unwrap_err().to_string();
    assert_eq!(
        error,
        ".helmignore: line 2: \"**/x\": helm does not support double stars"
    );
}

#[test]
fn links_are_followed_within_the_folder_and_refused_out_of_it() {
    let demo = folder(&[("Chart.yaml", &chart_yaml("demo", "")), ("real/a.txt", "a")]);
    symlink("real", demo.path().join("linked")).unwrap();
    symlink("real/a.txt", demo.path().join("b.txt")).unwrap();
    let chart = Chart::load(demo.path()).unwrap();
    assert_eq!(chart.text("linked/a.txt"), Some("a"));
    assert_eq!(chart.text("b.txt"), Some("a"));
    symlink("/etc/passwd", demo.path().join("stolen")).unwrap();
    let error = Chart::load(demo.path()).unwrap_err().to_string();
    assert!(
        error.contains("\"stolen\"")
            && error.contains("link out of the chart's folder, to /etc/passwd"),
        "{error}"
    );
    put(demo.path(), &[(".helmignore", "stolen\n")]);
    Chart::load(demo.path()).unwrap();
    symlink(".", demo.path().join("loop")).unwrap();
    let error = Chart::load(demo.path()).unwrap_err().to_string();
    assert!(error.contains("lead back"), "{error}");
}

#[test]
fn what_is_no_chart_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let error = Chart::load(empty.path()).unwrap_err().to_string();
    assert!(error.contains("has no Chart.yaml"), "{error}");
    let error = Chart::load(&empty.path().join("nothing"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("nothing"), "{error}");
    for (yaml, reason) in [
        ("name: x\n", "has no version"),
        ("version: 1.0.0\n", "has no name"),
        ("- a\n", "is not a map"),
        ("name: ../x\nversion: 1.0.0\n", "a name that is a path"),
        ("name: x\nversion: 1/../2\n", "not a semantic version"),
        ("name: x\nversion: 1.0.0\ntype: other\n", "type other than"),
        ("name: [\n", "Chart.yaml: line"),
        ("name: x\nversion: 1.0.0\ndependencies: {}\n", "not a list"),
        (
            "name: x\nversion: 1.0.0\ndependencies: [{version: 1}]\n",
            "dependencies[0] has no name",
        ),
        ("", "has no name"),
    ] {
        let demo = folder(&[("Chart.yaml", yaml)]);
        let error = Chart::load(demo.path()).unwrap_err().to_string();
        assert!(error.contains(reason), "{yaml}: {error}");
    }
}

#[test]
fn dependencies_beside_the_chart_are_vendored() {
    let space = tempfile::tempdir().unwrap();
    let leaf = chart(&[
        ("Chart.yaml", &chart_yaml("leaf", "")),
        (
            "templates/x.yaml",
            "kind: Leaf\nmetadata: {name: {{ .Chart.Name }}}\n",
        ),
    ]);
    put(
        space.path(),
        &[
            (
                "app/Chart.yaml",
                &chart_yaml(
                    "app",
                    "dependencies:\n- {name: middle, version: 1.x.x, repository: \"file://../middle\", alias: a}\n- {name: middle, version: 1.x.x, repository: \"file://../middle\", alias: b}\n",
                ),
            ),
            (
                "middle/Chart.yaml",
                &chart_yaml(
                    "middle",
                    "dependencies:\n- {name: leaf, version: 1.0.0, repository: \"file://../leaf-1.0.0.tgz\"}\n",
                ),
            ),
            (
                "middle/templates/x.yaml",
                "kind: Middle\nmetadata: {name: {{ .Chart.Name }}}\n",
            ),
            ("middle/secret.txt", "s"),
            ("middle/.helmignore", "secret.txt\n"),
        ],
    );
    fs::write(space.path().join("leaf-1.0.0.tgz"), leaf.to_tgz().unwrap()).unwrap();
    let app = Chart::load(&space.path().join("app")).unwrap();
    let paths: Vec<_> = app.files().keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "Chart.yaml",
            "charts/middle-1.0.0/.helmignore",
            "charts/middle-1.0.0/Chart.yaml",
            "charts/middle-1.0.0/charts/leaf-1.0.0/Chart.yaml",
            "charts/middle-1.0.0/charts/leaf-1.0.0/templates/x.yaml",
            "charts/middle-1.0.0/templates/x.yaml",
        ]
    );
    let names: Vec<_> = app.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["app", "middle", "leaf"]);
    for (name, helm) in helms() {
        let rendered = block_on(helm.render(&app, &Request::default())).unwrap();
        assert_eq!(rendered.documents.len(), 4, "{name}");
    }
}

#[test]
fn dependencies_that_are_not_there_or_another_chart_are_named() {
    let dependency = |path: &str| {
        chart_yaml(
            "app",
            &format!(
                "dependencies: [{{name: dep, version: 1.0.0, repository: \"file://{path}\"}}]\n"
            ),
        )
    };
    let space = folder(&[
        ("app/Chart.yaml", &dependency("../nowhere")),
        ("other/Chart.yaml", &chart_yaml("other", "")),
    ]);
    let app = space.path().join("app");
    let error = Chart::load(&app).unwrap_err().to_string();
    assert!(
        error.contains("nowhere: not a chart: chart app depends on \"dep\" there"),
        "{error}"
    );
    put(space.path(), &[("app/Chart.yaml", &dependency("../other"))]);
    let error = Chart::load(&app).unwrap_err().to_string();
    assert!(
        error.contains(
            "chart app: dependency dep 1.0.0 (file://../other): the chart there is called \"other\""
        ),
        "{error}"
    );
}

#[test]
fn circles_of_dependencies_are_found() {
    let space = folder(&[
        (
            "a/Chart.yaml",
            &chart_yaml(
                "a",
                "dependencies: [{name: b, version: 1.0.0, repository: \"file://../b\"}]\n",
            ),
        ),
        (
            "b/Chart.yaml",
            &chart_yaml(
                "b",
                "dependencies: [{name: a, version: 1.0.0, repository: \"file://../a\"}]\n",
            ),
        ),
    ]);
    let error = Chart::load(&space.path().join("a"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("dependencies lead in a circle: a 1.0.0 → b 1.0.0 → a"),
        "{error}"
    );
}

#[test]
fn requirements_of_old_charts_are_read() {
    let demo = folder(&[
        ("Chart.yaml", "apiVersion: v1\nname: old\nversion: 0.1.0\n"),
        (
            "requirements.yaml",
            "dependencies:\n- name: dep\n  version: 1.0.0\n  repository: https://example.org\n  condition: dep.enabled\n  tags: [t]\n",
        ),
    ]);
    let error = Chart::load(demo.path()).unwrap_err().to_string();
    assert!(error.contains("dep 1.0.0 (https://example.org)"), "{error}");
    put(
        demo.path(),
        &[("charts/dep/Chart.yaml", &chart_yaml("dep", ""))],
    );
    let chart = Chart::load(demo.path()).unwrap();
    assert_eq!(
        chart.root().dependencies[0].condition.as_deref(),
        Some("dep.enabled")
    );
    assert_eq!(chart.root().subcharts[0].prefix, "charts/dep/");
}

#[test]
fn folders_are_written_whole_or_not_at_all() {
    let space = tempfile::tempdir().unwrap();
    let demo = chart(&[("templates/x.yaml", "kind: A\n"), ("values.yaml", "a: 1\n")]);
    let target = space.path().join("out/demo");
    demo.write_to(&target).unwrap();
    assert_eq!(Chart::load(&target).unwrap(), demo);
    let error = demo.write_to(&target).unwrap_err().to_string();
    assert!(error.contains("out/demo"), "{error}");
    // A file where a folder must be: nothing may be left behind.
    let broken = {
        let mut broken = demo.clone();
        broken.insert("values.yaml/x", "y").unwrap();
        broken
    };
    broken
        .write_to(&space.path().join("out/broken"))
        .unwrap_err();
    let left: Vec<_> = fs::read_dir(space.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["demo"]);
}

#[test]
fn changes_that_break_a_chart_are_undone() {
    let mut demo = chart(&[("values.yaml", "a: 1\n")]);
    let before = demo.clone();
    demo.insert("Chart.yaml", "name: [").unwrap_err();
    demo.remove("Chart.yaml").unwrap_err();
    demo.insert("../x", "y").unwrap_err();
    assert_eq!(demo, before);
    demo.insert("Chart.yaml", chart_yaml("other", "")).unwrap();
    assert_eq!(demo.name(), "other");
    assert_eq!(demo.values().unwrap()["a"], 1);
}
