//! Charts out of repositories, and the dependencies of charts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quench_chart::Chart;
use quench_content::{Credentials, RegistryAccess};
use quench_ingestor_engine::source::ChartSource;
use quench_ingestor_engine::{PackOptions, pack};
use quench_package::EngineError;
use time::macros::date;

use crate::made::{context, have, run, store};
use crate::server::{Answer, Registry, Request, Scripted};

fn helm() -> String {
    std::env::var("QUENCH_HELM").unwrap_or_else(|_| "helm".to_owned())
}

/// A chart folder; `rest` goes into its `Chart.yaml`.
fn folder(at: &Path, name: &str, version: &str, rest: &str) -> PathBuf {
    let chart = at.join(format!("{name}-{version}"));
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(
        chart.join("Chart.yaml"),
        format!("apiVersion: v2\nname: {name}\nversion: {version}\n{rest}"),
    )
    .unwrap();
    let template = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{version: {version:?}}}\n"
    );
    std::fs::write(chart.join("templates/map.yaml"), template).unwrap();
    chart
}

/// A repository folder as helm makes one: `demo` in four versions.
fn repository(at: &Path) -> PathBuf {
    let repository = at.join("repository");
    std::fs::create_dir(&repository).unwrap();
    for version in ["1.2.0", "1.10.0", "1.10.1-rc.1", "2.0.0+build.1"] {
        let chart = folder(at, "demo", version, "");
        let (chart, to) = (chart.to_str().unwrap(), repository.to_str().unwrap());
        run(&helm(), &["package", chart, "-d", to]);
    }
    run(&helm(), &["repo", "index", repository.to_str().unwrap()]);
    repository
}

/// Serves a folder under `/charts/`.
async fn serve(folder: &Path) -> Scripted {
    let folder = folder.to_owned();
    Scripted::start(move |request| file_of(&folder, request)).await
}

fn file_of(folder: &Path, request: &Request) -> Answer {
    let path = request
        .line()
        .strip_prefix("GET /charts/")
        .unwrap_or("none");
    let path = path.split('?').next().unwrap().replace("%2B", "+");
    match std::fs::read(folder.join(path)) {
        Ok(bytes) => Answer::of("200 OK", &[], &bytes),
        Err(_) => Answer::of("404 Not Found", &[], b""),
    }
}

struct Loader {
    folder: tempfile::TempDir,
    access: RegistryAccess,
    helm_repositories: Option<PathBuf>,
    version: Option<String>,
}

impl Loader {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            helm_repositories: Some(folder.path().join("no-repositories.yaml")),
            folder,
            access: RegistryAccess {
                credentials: Credentials::Anonymous,
                ..RegistryAccess::default()
            },
            version: None,
        }
    }

    /// The chart a submission of this source holds.
    async fn load(&self, source: ChartSource) -> Result<Chart, EngineError> {
        let here = store(&self.folder);
        let mut options = PackOptions::new(source);
        options.access = self.access.clone();
        options
            .helm_repositories
            .clone_from(&self.helm_repositories);
        options.version.clone_from(&self.version);
        let submission = pack(&options, date!(2026 - 01 - 01), &context(&here)).await?;
        let archive = std::fs::File::open(here.blob_path(&submission.parts.chart.digest)).unwrap();
        Ok(Chart::from_tgz(archive, "submitted").unwrap())
    }

    async fn version(&self, source: &str) -> Result<String, String> {
        let chart = self.load(source.parse().unwrap()).await;
        chart
            .map(|chart| chart.version().to_owned())
            .map_err(|e| e.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_gives_what_helm_would_take() {
    if !have(&["helm"]) {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    let repository = repository(made.path());
    let server = serve(&repository).await;
    let mut loader = Loader::new();
    let base = format!("http://{}/charts", server.host);
    // The oracle is helm itself.
    let pulled = made.path().join("pulled");
    for wanted in [
        "",
        "1.2.0",
        "^1",
        "~1.2",
        ">1.0.0-0 <2",
        "1.x",
        "<2",
        "*",
        "2.0.0+build.1",
        "2.0.0",
        "5",
        "1.10.1-rc.1",
    ] {
        std::fs::create_dir(&pulled).unwrap();
        let status = std::process::Command::new(helm())
            .args([
                "pull",
                "demo",
                "--repo",
                &base,
                "-d",
                pulled.to_str().unwrap(),
            ])
            .args(["--version", wanted])
            .env("HOME", made.path())
            .output()
            .unwrap()
            .status;
        let taken = std::fs::read_dir(&pulled).unwrap().next().map(|entry| {
            Chart::load(&entry.unwrap().path())
                .unwrap()
                .version()
                .to_owned()
        });
        assert_eq!(status.success(), taken.is_some());
        std::fs::remove_dir_all(&pulled).unwrap();
        let source = if wanted.is_empty() {
            format!("{base}/demo")
        } else {
            format!("{base}/demo:{wanted}")
        };
        let ours = loader.version(&source).await;
        assert_eq!(ours.as_ref().ok(), taken.as_ref(), "{wanted:?}: {ours:?}");
    }
    let error = loader.version(&format!("{base}/demo:5")).await.unwrap_err();
    assert!(
        error.contains("chart demo has no version 5; there are 2.0.0+build.1, 1.10.1-rc.1"),
        "{error}"
    );
    let error = loader.version(&format!("{base}/other")).await.unwrap_err();
    assert!(error.contains("it has no chart \"other\""), "{error}");
    let error = loader
        .version(&format!("http://{}/nowhere/demo", server.host))
        .await
        .unwrap_err();
    assert!(error.contains("it has no index.yaml"), "{error}");
    let archive = format!("{base}/demo-1.2.0.tgz");
    assert_eq!(loader.version(&archive).await.unwrap(), "1.2.0");
    loader.version = Some("~1.2".to_owned());
    let named = ChartSource::in_repository(&base, "demo").unwrap();
    assert_eq!(loader.load(named).await.unwrap().version(), "1.2.0");
}

#[tokio::test]
async fn an_archive_that_is_not_the_one_in_the_index_is_refused() {
    if !have(&["helm"]) {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    let repository = repository(made.path());
    let other = std::fs::read(repository.join("demo-1.10.0.tgz")).unwrap();
    std::fs::write(repository.join("demo-1.2.0.tgz"), other).unwrap();
    let server = serve(&repository).await;
    let error = Loader::new()
        .version(&format!("http://{}/charts/demo:1.2.0", server.host))
        .await
        .unwrap_err();
    assert!(error.contains("demo-1.2.0.tgz has the digest"), "{error}");
}

#[tokio::test]
async fn passwords_go_to_the_repository_alone() {
    if !have(&["helm"]) {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    let repository = repository(made.path());
    let archives = serve(&repository).await;
    let index = std::fs::read_to_string(repository.join("index.yaml")).unwrap();
    // Archives on another host, as repositories on code forges have them.
    let index = index.replace(
        "- demo-",
        &format!("- http://{}/charts/demo-", archives.host),
    );
    let front = Scripted::start(move |request| {
        // "u:s3cr3t"
        match request.header("authorization") {
            Some("Basic dTpzM2NyM3Q=") => Answer::of("200 OK", &[], index.as_bytes()),
            _ => Answer::of(
                "401 Unauthorized",
                &[("WWW-Authenticate", "Basic realm=\"r\"")],
                b"",
            ),
        }
    })
    .await;
    let source = format!("http://{}/charts/demo:1.2.0", front.host);
    let mut loader = Loader::new();
    let error = loader.version(&source).await.unwrap_err();
    assert!(error.contains("there are no credentials"), "{error}");

    // Helm's own file, and a docker configuration: either will do.
    let file = made.path().join("repositories.yaml");
    let entry = format!(
        "repositories: [{{name: ours, url: 'http://{}/charts', username: u, password: s3cr3t}}]",
        front.host
    );
    std::fs::write(&file, entry).unwrap();
    loader.helm_repositories = Some(file);
    assert_eq!(loader.version(&source).await.unwrap(), "1.2.0");
    let by_name = ChartSource::in_repository("@ours", "demo").unwrap();
    assert_eq!(
        loader.load(by_name).await.unwrap().version(),
        "2.0.0+build.1"
    );

    let mut loader = Loader::new();
    let config = made.path().join("config.json");
    std::fs::write(
        &config,
        format!(
            "{{\"auths\":{{\"{}\":{{\"auth\":\"dTpzM2NyM3Q=\"}}}}}}",
            front.host
        ),
    )
    .unwrap();
    loader.access.credentials = Credentials::File(config);
    assert_eq!(loader.version(&source).await.unwrap(), "1.2.0");

    assert!(!archives.seen().is_empty());
    for request in archives.seen() {
        assert_eq!(request.header("authorization"), None, "{}", request.head);
    }
}

#[tokio::test]
async fn a_repository_leads_nobody_to_what_lies_deeper_in_the_network() {
    let index = |url: &str| {
        format!("apiVersion: v1\nentries: {{demo: [{{version: 1.0.0, urls: ['{url}']}}]}}\n")
    };
    for target in [
        "http://169.254.169.254/latest/demo.tgz",
        "http://[fe80::1]/demo.tgz",
        "http://0.0.0.0:1/demo.tgz",
        "ftp://127.0.0.1/demo.tgz",
        "file:///etc/passwd",
    ] {
        let text = index(target);
        let server = Scripted::start(move |_| Answer::of("200 OK", &[], text.as_bytes())).await;
        let error = Loader::new()
            .version(&format!("http://{}/charts/demo", server.host))
            .await
            .unwrap_err();
        assert!(
            error.contains("refused") || error.contains("use http://"),
            "{target}: {error}"
        );
        let redirect =
            Scripted::start(move |_| Answer::of("302 Found", &[("Location", target)], b"")).await;
        let error = Loader::new()
            .version(&format!("http://{}/charts/demo", redirect.host))
            .await
            .unwrap_err();
        assert!(error.contains("refused"), "{target}: {error}");
    }
}

/// Publishers that moved to OCI registries keep an index whose entries lead there.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_may_lead_to_charts_in_an_oci_registry() {
    if !have(&["helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let made = tempfile::tempdir().unwrap();
    let repository = repository(made.path());
    let place = format!("oci://{}/moved", registry.host);
    for version in ["1.2.0", "1.10.0"] {
        let archive = repository.join(format!("demo-{version}.tgz"));
        let archive = archive.to_str().unwrap();
        run(&helm(), &["push", "--plain-http", archive, &place]);
    }
    // With the version as a tag, and without.
    let index = format!(
        "apiVersion: v1\nentries:\n  demo:\n  - {{name: demo, version: 1.10.0, urls: ['{place}/demo:1.10.0']}}\n  \
         - {{name: demo, version: 1.2.0, urls: ['{place}/demo']}}\n  \
         - {{name: demo, version: 0.9.0, urls: ['{place}/gone:0.9.0']}}\n"
    );
    std::fs::write(repository.join("index.yaml"), index).unwrap();
    let server = serve(&repository).await;
    let loader = Loader::new();
    let base = format!("http://{}/charts/demo", server.host);
    for (wanted, version) in [("", "1.10.0"), (":~1.2", "1.2.0")] {
        let found = loader.version(&format!("{base}{wanted}")).await;
        assert_eq!(found.as_deref(), Ok(version), "{wanted}");
    }
    let error = loader.version(&format!("{base}:0.9.0")).await.unwrap_err();
    assert!(error.contains("moved/gone"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dependencies_are_fetched_as_helm_fetches_them() {
    if !have(&["helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let made = tempfile::tempdir().unwrap();
    let repository = repository(made.path());
    let server = serve(&repository).await;
    let place = format!("oci://{}/charts", registry.host);
    for version in ["0.3.0", "0.4.1"] {
        let chart = folder(made.path(), "common", version, "");
        let to = made.path().to_str().unwrap();
        run(&helm(), &["package", chart.to_str().unwrap(), "-d", to]);
        let archive = made.path().join(format!("common-{version}.tgz"));
        run(
            &helm(),
            &["push", "--plain-http", archive.to_str().unwrap(), &place],
        );
    }
    folder(made.path(), "beside", "3.0.0", "");
    let rest = format!(
        "dependencies:\n\
         - {{name: demo, version: 1.x, repository: 'http://{}/charts', import-values: [data]}}\n\
         - {{name: demo, version: 1.x, repository: 'http://{}/charts', alias: second, condition: second.enabled}}\n\
         - {{name: common, version: '>=0.3 <1', repository: '{place}', tags: [a, b]}}\n\
         - {{name: beside, version: '>2', repository: 'file://../beside-3.0.0'}}\n",
        server.host, server.host
    );
    let app = folder(made.path(), "app", "1.0.0", &rest);
    let loader = Loader::new();
    let source = || ChartSource::Folder(app.clone());
    let unlocked = loader.load(source()).await.unwrap();

    // What helm puts under charts/ is what we put there, with a lock and without.
    run(
        &helm(),
        &[
            "dependency",
            "update",
            "--plain-http",
            app.to_str().unwrap(),
        ],
    );
    let built = Chart::load(&app).unwrap();
    std::fs::remove_dir_all(app.join("charts")).unwrap();
    let locked = loader.load(source()).await.unwrap();
    assert_eq!(locked, built);
    let without_lock = |chart: &Chart| {
        let files = chart
            .files()
            .iter()
            .filter(|(path, _)| *path != "Chart.lock");
        files
            .map(|(path, content)| (path.clone(), content.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(without_lock(&unlocked), without_lock(&built));
    assert!(built.files().contains_key("charts/demo-1.10.0/Chart.yaml"));

    // The lock holds where newer versions have come since.
    let chart = folder(made.path(), "demo", "1.11.0", "");
    run(
        &helm(),
        &[
            "package",
            chart.to_str().unwrap(),
            "-d",
            repository.to_str().unwrap(),
        ],
    );
    run(&helm(), &["repo", "index", repository.to_str().unwrap()]);
    assert_eq!(loader.load(source()).await.unwrap(), built);
    // It has to be the lock of these declarations.
    let metadata = std::fs::read_to_string(app.join("Chart.yaml")).unwrap();
    std::fs::write(
        app.join("Chart.yaml"),
        metadata.replace(">=0.3 <1", ">=0.3 <2"),
    )
    .unwrap();
    let error = loader.load(source()).await.unwrap_err().to_string();
    assert!(error.contains("Chart.lock: is out of sync"), "{error}");
}

/// Packs a chart whose dependencies are missing, which helm refuses to do.
fn pack_incomplete(repository: &Path, name: &str, rest: &str) {
    let content = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n{rest}");
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(
        &mut header,
        format!("{name}/Chart.yaml"),
        content.as_bytes(),
    )
    .unwrap();
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    std::fs::write(repository.join(format!("{name}-1.0.0.tgz")), bytes).unwrap();
}

#[tokio::test]
async fn circles_and_wrong_dependencies_are_named() {
    let made = tempfile::tempdir().unwrap();
    let repository = made.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    let server = serve(&repository).await;
    let needs = |name: &str, version: &str, repository: &str| {
        format!(
            "dependencies: [{{name: {name}, version: '{version}', repository: '{repository}'}}]\n"
        )
    };
    let place = format!("http://{}/charts", server.host);
    pack_incomplete(&repository, "a", &needs("b", "1", &place));
    pack_incomplete(&repository, "b", &needs("c", "1", &place));
    pack_incomplete(&repository, "c", &needs("a", "1", &place));
    pack_incomplete(&repository, "liar", "");
    let entries: Vec<String> = [("a", "a"), ("b", "b"), ("c", "c"), ("honest", "liar")]
        .iter()
        .map(|(name, file)| format!("{name}: [{{version: 1.0.0, urls: [{file}-1.0.0.tgz]}}]"))
        .collect();
    std::fs::write(
        repository.join("index.yaml"),
        format!("entries: {{{}}}\n", entries.join(", ")),
    )
    .unwrap();
    let loader = Loader::new();
    let error = loader.version(&format!("{place}/a")).await.unwrap_err();
    assert!(
        error.contains("dependencies lead in a circle: a 1.0.0 → b 1.0.0 → c 1.0.0 → a 1.0.0"),
        "{error}"
    );

    for (dependency, reason) in [
        (
            needs("honest", "1", &place),
            "the chart there is called \"liar\"",
        ),
        (needs("b", "2", &place), "dependency b 2 (http"),
        (needs("x", "1", &place), "it has no chart \"x\""),
        (
            needs("x", "1", "@unknown"),
            "helm knows no repository \"unknown\"",
        ),
        (needs("x", "1", "ssh://host"), "use http:// or https://"),
        (needs("x", "1", "http://169.254.169.254/charts"), "refused"),
        (needs("x", "1", "oci://0.0.0.0/charts"), "refused"),
        (needs("x", "latest", &place), "it has no chart \"x\""),
        (needs("x", "1", ""), "x 1 missing under charts/"),
    ] {
        let app = folder(made.path(), "app", "1.0.0", &dependency);
        let error = loader
            .load(ChartSource::Folder(app))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{dependency}: {error}");
        assert!(error.contains("app"), "{error}");
    }
}
