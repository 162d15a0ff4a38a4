//! What installs without a network, and what is named where something does not.

use std::net::TcpListener;
use std::path::Path;

use quench_chart::Chart;
use quench_chart::render::{Helm, RenderError};
use quench_content::Store;
use quench_content::artefact::Manifest;
use quench_ingestor_engine::air_gap::{AirGapError, images_at_given_values, prove};
use quench_model::{Descriptor, Level, media_type};
use quench_package::{Context, ImageLock, Package, PackageImage, PackageParts, Request};

use crate::made;

/// A chart with an image of each sort: always there, behind a switch, in an init container, in a hook.
const TEMPLATES: [(&str, &str); 2] = [
    (
        "deployment.yaml",
        r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers:
        - name: prepare
          image: registry.example.org/team/prepare:2
          command: [sh, -c, "curl -s https://token:secret@plugins.example.org/get?key=1 -o /x && curl http://web:80"]
      containers:
        - name: app
          image: {{ .Values.image | quote }}
          env: [{name: SIDECAR, value: "use registry.example.org/team/hook:4, please"}]
        {{- if .Values.metrics.enabled }}
        - name: metrics
          image: registry.example.org/team/metrics:3
        {{- end }}
"#,
    ),
    (
        "hook.yaml",
        r#"apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {helm.sh/hook: post-install}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: "registry.example.org/team/hook:4"}]
"#,
    ),
];
const IMAGES: [&str; 4] = [
    "registry.example.org/team/app:1",
    "registry.example.org/team/prepare:2",
    "registry.example.org/team/metrics:3",
    "registry.example.org/team/hook:4",
];

fn chart(folder: &Path) -> Chart {
    let path = made::chart(folder, "demo", &TEMPLATES);
    std::fs::write(
        path.join("values.yaml"),
        "image: registry.example.org/team/app:1\nmetrics: {enabled: false}\n",
    )
    .unwrap();
    Chart::load(&path).unwrap()
}

async fn image(store: &Store, content: &str) -> Descriptor {
    let layer = store
        .put(media_type::LAYER, content.as_bytes())
        .await
        .unwrap();
    let mut image = Manifest::artefact("", vec![layer]);
    image.artifact_type = None;
    image.config = store.put(media_type::CONFIG, b"{}").await.unwrap();
    store.put_manifest(&image).await.unwrap()
}

async fn package(store: &Store, chart: &Chart, images: &[&str]) -> Package {
    let mut packaged = Vec::new();
    for reference in images {
        let descriptor = image(store, reference).await;
        packaged.push(PackageImage {
            reference: reference.parse().unwrap(),
            original: descriptor.digest.clone(),
            descriptor,
        });
    }
    let parts = PackageParts {
        name: "demo".parse().unwrap(),
        version: chart.version().to_owned(),
        level: Level::Integrated,
        previous: None,
        chart: chart.clone(),
        images: packaged,
        request: Request::default().store(store).await.unwrap(),
        lock: ImageLock::default(),
    };
    Package::store(store, parts).await.unwrap()
}

/// Helm, if it can be run without a network here; says so, loudly, if not.
fn helm() -> Option<Helm> {
    if !made::have(&["helm"]) {
        return None;
    }
    let helm = Helm::find().unwrap();
    match helm.clone().without_network() {
        Ok(_) => Some(helm),
        Err(error @ RenderError::NoIsolation { .. }) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn problems(error: AirGapError) -> Vec<String> {
    match error {
        AirGapError::NotShown { problems, .. } => problems,
        error @ AirGapError::Engine(_) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_whole_package_is_shown_and_without_any_one_image_it_is_not() {
    let Some(helm) = helm() else { return };
    let folder = tempfile::tempdir().unwrap();
    let context: Context = made::context(&made::store(&folder));
    let store = &context.store;
    let chart = chart(folder.path());
    let whole = package(store, &chart, &IMAGES).await;
    let proof = prove(&helm, &whole, &context).await.unwrap();
    assert_eq!(proof.revision, whole.revision.digest);
    let mut shown: Vec<&str> = proof.images.keys().map(String::as_str).collect();
    let mut wanted = IMAGES;
    shown.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(shown, wanted, "the switched one and the hook's among them");
    assert!(proof.rendered >= 2 && proof.is_complete(), "{proof:?}");
    // What is named, and without what may be secret in it.
    let urls: Vec<&str> = proof.may_need_network.keys().map(String::as_str).collect();
    assert_eq!(urls, ["https://plugins.example.org"]);
    let json = serde_json::to_string(&proof).unwrap();
    assert!(!json.contains("secret") && json.contains("Deployment/web, container \\\"prepare\\\""));
    // Nothing moves images at level 1.
    assert_eq!(proof.own_names.len(), 4);
    let again = prove(&helm, &whole, &context).await.unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);

    for missing in IMAGES {
        let rest: Vec<&str> = IMAGES
            .into_iter()
            .filter(|image| *image != missing)
            .collect();
        let less = package(store, &chart, &rest).await;
        let problems = problems(prove(&helm, &less, &context).await.unwrap_err());
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].contains(&format!("image {missing} of ")),
            "{problems:?}"
        );
        if missing.contains("metrics") {
            assert!(problems[0].contains("metrics.enabled=true"), "{problems:?}");
        }
    }
}

#[tokio::test]
async fn helm_asks_nobody_for_a_schema_that_lies_elsewhere() {
    let Some(helm) = helm() else { return };
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let url = format!("http://{}/schema.json", server.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let context: Context = made::context(&made::store(&folder));
    let mut chart = chart(folder.path());
    let schema = serde_json::json!({"properties": {"image": {"$ref": url}}});
    chart
        .insert("values.schema.json", serde_json::to_vec(&schema).unwrap())
        .unwrap();
    let whole = package(&context.store, &chart, &IMAGES).await;
    let problems = problems(prove(&helm, &whole, &context).await.unwrap_err());
    assert!(
        problems
            .iter()
            .any(|p| p.contains("values.schema.json") && p.contains(&url)),
        "{problems:?}"
    );
    let asked = server.accept().map(|_| ()).map_err(|e| e.kind());
    assert_eq!(
        asked,
        Err(std::io::ErrorKind::WouldBlock),
        "helm reached the server"
    );
}

/// Images that a proof misses, by the names the chart gives them.
fn missing(problems: &[String]) -> Vec<String> {
    let mut names: Vec<String> = problems
        .iter()
        .filter_map(|problem| problem.strip_prefix("image ")?.split(" of ").next())
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Charts that nobody here wrote: what a proof misses is all it needs, and without any one of that it fails and names it.
#[tokio::test]
async fn corpus_charts_are_shown_with_the_images_they_miss_and_not_without_one_of_them() {
    let Some(charts) = std::env::var_os("QUENCH_CHARTS") else {
        eprintln!("SKIPPED: QUENCH_CHARTS names no folder of charts");
        return;
    };
    let Some(helm) = helm() else { return };
    let mut folders: Vec<_> = std::fs::read_dir(charts)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("Chart.yaml").is_file())
        .collect();
    folders.sort();
    let (mut shown, mut passed_over) = (0, Vec::new());
    for path in folders {
        let folder = tempfile::tempdir().unwrap();
        let context: Context = made::context(&made::store(&folder));
        let Ok(chart) = Chart::load(&path) else {
            passed_over.push(format!("{}: cannot be loaded", path.display()));
            continue;
        };
        let started = std::time::Instant::now();
        let bare = package(&context.store, &chart, &[]).await;
        let wanted = match prove(&helm, &bare, &context).await {
            Ok(_) => Vec::new(),
            Err(AirGapError::NotShown { problems, .. }) => problems,
            Err(AirGapError::Engine(error)) => {
                // A chart that wants values of its user; what it says is for its user.
                passed_over.push(format!("{}: {error}", chart.name()));
                continue;
            }
        };
        let names = missing(&wanted);
        let other: Vec<&String> = wanted.iter().filter(|p| !p.starts_with("image ")).collect();
        if !other.is_empty() {
            passed_over.push(format!("{}: {other:?}", chart.name()));
            continue;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let whole = package(&context.store, &chart, &names).await;
        let proof = prove(&helm, &whole, &context).await.unwrap();
        let seconds = started.elapsed().as_secs_f64() / 2.0;
        eprintln!(
            "{}: {} images, {} sets ({} different, {} do not render), {} URLs, {seconds:.1} s a proof",
            chart.name(),
            proof.images.len(),
            proof.rendered,
            proof.distinct,
            proof.failed.len(),
            proof.may_need_network.len(),
        );
        for gone in &names {
            let rest: Vec<&str> = names.iter().copied().filter(|name| name != gone).collect();
            let less = package(&context.store, &chart, &rest).await;
            let error = prove(&helm, &less, &context).await;
            let refused = error.err().map(problems).unwrap_or_default();
            assert_eq!(missing(&refused), [*gone], "{}", chart.name());
        }
        shown += 1;
    }
    eprintln!("{shown} charts shown; passed over: {passed_over:#?}");
    assert!(shown > 0, "no chart was shown");
}

#[tokio::test]
async fn at_the_given_values_each_image_that_is_rendered_must_be_in_the_package() {
    if !made::have(&["helm"]) {
        return;
    }
    let helm = Helm::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(made::store(&folder));
    let context = Context::new(store.clone());
    let chart = chart(folder.path());
    for left_out in IMAGES {
        let images: Vec<&str> = IMAGES.into_iter().filter(|i| *i != left_out).collect();
        let package = package(&store, &chart, &images).await;
        let shown = images_at_given_values(&helm, &package, &context).await;
        // Other values are not looked at.
        if left_out.contains("metrics") {
            let shown: Vec<String> = shown.unwrap().into_keys().collect();
            let mut expected = images;
            expected.sort_unstable();
            assert_eq!(shown, expected);
            continue;
        }
        let problems = problems(shown.unwrap_err());
        assert!(
            problems.len() == 1 && problems[0].contains(left_out),
            "{left_out}: {problems:?}"
        );
    }
}
