//! Charts and images made for these tests, with the tools of the field.

use std::path::{Path, PathBuf};
use std::process::Command;

use quench_content::{DirectoryStore, Store};
use quench_package::Context;

/// Whether programs are on `PATH`; says so, loudly, where one is not.
pub fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|program| match **program {
            "helm" if std::env::var_os("QUENCH_HELM").is_some() => false,
            program => !std::env::split_paths(&path).any(|dir| dir.join(program).is_file()),
        })
        .collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: not on PATH: {missing:?}");
    }
    missing.is_empty()
}

pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// An OCI layout with one image made by umoci, of two layers with files of this machine's distribution.
pub fn layout(folder: &Path, name: &str, tag: &str, marker: &str) -> PathBuf {
    let layout = folder.join(name);
    let path = layout.to_str().unwrap();
    let image = format!("{path}:{tag}");
    run("umoci", &["init", "--layout", path]);
    run("umoci", &["new", "--image", &image]);
    let own = folder.join(format!("{name}-{tag}-marker"));
    std::fs::write(&own, marker).unwrap();
    for (from, to) in [(Path::new("/bin/true"), "/bin/true"), (&own, "/etc/marker")] {
        let from = from.canonicalize().unwrap();
        run(
            "umoci",
            &[
                "insert",
                "--rootless",
                "--image",
                &image,
                from.to_str().unwrap(),
                to,
            ],
        );
    }
    layout
}

/// `skopeo copy`, to and from registries without TLS.
pub fn copy(from: &str, to: &str) {
    let arguments = [
        "--insecure-policy",
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        from,
        to,
    ];
    run("skopeo", &arguments);
}

/// A chart folder with the given templates.
pub fn chart(folder: &Path, name: &str, templates: &[(&str, &str)]) -> PathBuf {
    let chart = folder.join(name);
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    let metadata =
        format!("apiVersion: v2\nname: {name}\nversion: 1.2.3+build.7\nappVersion: \"1.0\"\n");
    std::fs::write(chart.join("Chart.yaml"), metadata).unwrap();
    std::fs::write(
        chart.join("values.yaml"),
        "image: registry.example.org/app:1.0\nfail: false\n",
    )
    .unwrap();
    for (file, text) in templates {
        std::fs::write(chart.join("templates").join(file), text).unwrap();
    }
    chart
}

pub const DEPLOYMENT: &str = r#"{{- if .Values.fail }}{{ fail "value fail must stay false" }}{{ end }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: app
          image: {{ .Values.image | quote }}
"#;

pub fn context(store: &DirectoryStore) -> Context {
    Context::new(Store::Directory(store.clone()))
}

pub fn store(folder: &tempfile::TempDir) -> DirectoryStore {
    DirectoryStore::open(folder.path().join("store")).unwrap()
}

/// Names of all blobs of a store.
pub fn blobs(store: &DirectoryStore) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(store.root().join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
