//! From a submission to a package.

use std::path::Path;

use quench_content::{RegistryAccess, RegistryConfig, RegistryStore, Store};
use quench_ingestor_engine::source::ChartSource;
use quench_ingestor_engine::{Engine, EngineOptions, PackOptions, pack};
use quench_model::{Descriptor, FindingKind, Level, Platform, Policy, Waiver, media_type};
use quench_package::{
    Context, Disposition, EngineError, ImageLock, ImageOrigin, Outcome, Package, Submission,
};
use time::macros::date;

use crate::made::{DEPLOYMENT, chart, context, copy, have, layout, run, store};
use crate::server::Registry;

const TODAY: time::Date = date!(2026 - 01 - 01);

fn engine() -> Engine {
    Engine::new(EngineOptions::default())
}

fn options(chart: &Path, images: &[&str]) -> PackOptions {
    let mut options = PackOptions::new(ChartSource::Folder(chart.to_owned()));
    options.images = images.iter().map(|text| text.parse().unwrap()).collect();
    options
}

async fn ingest(options: &PackOptions, context: &Context) -> Result<Outcome, EngineError> {
    let submission = pack(options, TODAY, context).await?;
    engine().run(&submission, context).await
}

async fn lock(context: &Context, package: &Package) -> ImageLock {
    package.load_lock(&context.store).await.unwrap()
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn a_chart_and_its_images_become_one_package_the_same_everywhere() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let options = options(&chart, &[&format!("oci:{}", image.display())]);
    let here = context(&store(&folder));
    let submission = pack(&options, TODAY, &here).await.unwrap();
    let outcome = assert_send(engine().run(&submission, &here)).await.unwrap();

    let package = &outcome.package;
    assert_eq!(
        (package.name.as_str(), package.version.as_str()),
        ("demo", "1.2.3+build.7")
    );
    assert_eq!(
        (package.level, package.previous.as_ref()),
        (Level::Integrated, None)
    );
    assert!(!outcome.replayed && outcome.findings.is_empty());
    let lock = lock(&here, package).await;
    let locked = &lock.images["registry.example.org/app:1.0"];
    assert_eq!(locked.rendered, ["registry.example.org/app:1.0"]);
    assert!(matches!(&locked.origin, ImageOrigin::Matched(why) if why.contains("app:latest")));
    assert_eq!(locked.platforms.len(), 1);
    let evidence = &locked.evidence[0];
    assert_eq!(evidence.template, "demo/templates/web.yaml");
    assert_eq!(
        (evidence.kind.as_str(), evidence.name.as_str()),
        ("Deployment", "web")
    );
    assert_eq!(
        (evidence.container.as_str(), evidence.field.as_str()),
        ("app", "containers")
    );
    assert_eq!(package.images[0].descriptor.digest, locked.digest);
    assert_eq!(
        Package::load(&here.store, &package.revision).await.unwrap(),
        *package
    );

    let again = ingest(&options, &here).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.package.revision, package.revision);

    let elsewhere = tempfile::tempdir().unwrap();
    let there = ingest(&options, &context(&store(&elsewhere)))
        .await
        .unwrap();
    assert!(!there.replayed);
    assert_eq!(there.package.revision, package.revision);

    let Some(registry) = Registry::start().await else {
        return;
    };
    let config = RegistryConfig {
        repository: format!("{}/quench/store", registry.host),
        cache: elsewhere.path().join("cache"),
        access: RegistryAccess::default(),
    };
    let fleet = Context::new(Store::Registry(RegistryStore::open(config).unwrap()));
    let there = ingest(&options, &fleet).await.unwrap();
    assert!(!there.replayed);
    assert_eq!(there.package.revision, package.revision);
    assert!(ingest(&options, &fleet).await.unwrap().replayed);
}

#[tokio::test]
async fn images_come_from_their_registry_and_stay_what_they_were() {
    if !have(&["umoci", "skopeo", "helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let push = |name: &str, marker: &str, to: &str| {
        let image = layout(folder.path(), name, "latest", marker);
        copy(
            &format!("oci:{}:latest", image.display()),
            &format!("docker://{}/{to}", registry.host),
        );
    };
    push("one", "1", "team/app:1.0");
    push("two", "2", "team/job:2");
    let templates = [
        ("web.yaml", DEPLOYMENT.to_owned()),
        (
            "job.yaml",
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec:\n  schedule: '@daily'\n  jobTemplate: {spec: \
             {template: {spec: {restartPolicy: Never, initContainers: [{name: wait, image: HOST/team/app:1.0}], \
             containers: [{name: job, image: HOST/team/job:2}], volumes: [{name: model, image: {reference: \
             HOST/team/job:2}}]}}}}\n"
                .replace("HOST", &registry.host),
        ),
    ];
    let templates: Vec<(&str, &str)> = templates.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let chart = chart(folder.path(), "demo", &templates);
    let values = folder.path().join("mine.yaml");
    std::fs::write(&values, format!("image: {}/team/app:1.0\n", registry.host)).unwrap();
    let mut options = options(&chart, &[]);
    options.values.push(values);
    let here = context(&store(&folder));
    let first = ingest(&options, &here).await.unwrap();
    assert_eq!(first.package.images.len(), 2);
    let lock = lock(&here, &first.package).await;
    let app = &lock.images[&format!("{}/team/app:1.0", registry.host)];
    assert_eq!(app.origin, ImageOrigin::Registry);
    let places: Vec<_> = app
        .evidence
        .iter()
        .map(|e| (e.field.as_str(), e.container.as_str()))
        .collect();
    assert_eq!(places, [("initContainers", "wait"), ("containers", "app")]);
    let job = &lock.images[&format!("{}/team/job:2", registry.host)];
    assert!(
        job.evidence
            .iter()
            .any(|e| e.field == "volumes" && e.container == "model")
    );
    for image in &first.package.images {
        for part in quench_package::closure(&here.store, &image.descriptor)
            .await
            .unwrap()
        {
            here.store.verify(&part).await.unwrap();
        }
    }
    // The tag moves; the same submission is the same package all the same.
    push("three", "3", "team/app:1.0");
    let again = ingest(&options, &here).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.package.revision, first.package.revision);
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = ingest(&options, &context(&store(&elsewhere)))
        .await
        .unwrap();
    assert_ne!(moved.package.revision, first.package.revision);
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_named_with_what_to_do() {
    if !have(&["helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let values = folder.path().join("mine.yaml");
    std::fs::write(&values, format!("image: {}/absent:9\n", registry.host)).unwrap();
    let mut options = options(&chart, &[]);
    options.values.push(values);
    let error = ingest(&options, &context(&store(&folder)))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, EngineError::Unavailable { .. }), "{text}");
    assert!(matches!(error.disposition(), Disposition::Retry { .. }));
    for part in [
        &format!("{}/absent:9", registry.host),
        "Deployment/web",
        "--images-from oci:DIR",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn all_images_that_cannot_be_had_are_named_at_once() {
    if !have(&["helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let pods: String = (0..3)
        .map(|number| {
            format!(
                "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: pod-{number}}}\nspec: {{containers: [{{name: c, image: \"{}/absent-{number}:9\"}}]}}\n",
                registry.host
            )
        })
        .collect();
    let chart = chart(folder.path(), "demo", &[("pods.yaml", &pods)]);
    let error = ingest(&options(&chart, &[]), &context(&store(&folder)))
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Unavailable { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("3 images cannot be had"), "{text}");
    for number in 0..3 {
        let image = format!(
            "{}/absent-{number}:9 (needed by Pod/pod-{number}",
            registry.host
        );
        assert!(text.contains(&image), "{image}: {text}");
    }
    assert!(
        text.contains("give them with --images-from oci:DIR"),
        "{text}"
    );
}

#[tokio::test]
async fn values_that_do_not_render_are_refused_in_helms_words() {
    if !have(&["helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let values = folder.path().join("mine.yaml");
    let here = context(&store(&folder));
    for (text, expected) in [
        ("fail: true\n", "value fail must stay false"),
        ("image: 'not an image!'\n", "is not an image reference"),
        ("a: [\n", "mine.yaml"),
        ("- 1\n", "mine.yaml"),
    ] {
        std::fs::write(&values, text).unwrap();
        let mut options = options(&chart, &[]);
        options.values.push(values.clone());
        let error = ingest(&options, &here).await.unwrap_err();
        assert!(matches!(error, EngineError::Input(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn what_was_not_looked_at_is_a_finding() {
    if !have(&["helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let templates = [
        (
            "db.yaml",
            "apiVersion: db.example.com/v1\nkind: Database\nmetadata: {name: main}\nspec: {image: postgres}\n",
        ),
        (
            "route.yaml",
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\n",
        ),
        (
            "pod.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: bare}\nspec: {containers: [{name: c}]}\n",
        ),
    ];
    let chart = chart(folder.path(), "demo", &templates);
    let here = context(&store(&folder));
    let outcome = ingest(&options(&chart, &[]), &here).await.unwrap();
    let mut found: Vec<_> = outcome
        .findings
        .iter()
        .map(|f| {
            (
                f.canonical_id.as_str(),
                f.subject.location.as_deref().unwrap(),
                f.kind,
            )
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            (
                "container-without-image",
                "Pod/bare/c",
                FindingKind::Completeness
            ),
            (
                "image-not-confirmed",
                "Database/main",
                FindingKind::Completeness
            ),
            // The chart's values name an image that none of these templates uses.
            (
                "image-not-confirmed",
                "values.yaml",
                FindingKind::Completeness
            ),
        ]
    );
    let again = ingest(&options(&chart, &[]), &here).await.unwrap();
    assert_eq!((again.replayed, again.findings), (true, outcome.findings));
}

#[tokio::test]
async fn a_chart_is_pulled_from_a_registry() {
    if !have(&["helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let helm = std::env::var("QUENCH_HELM").unwrap_or_else(|_| "helm".to_owned());
    let target = folder.path().to_str().unwrap();
    run(&helm, &["package", chart.to_str().unwrap(), "-d", target]);
    let archive = folder.path().join("demo-1.2.3+build.7.tgz");
    let to = format!("oci://{}/charts", registry.host);
    run(
        &helm,
        &["push", "--plain-http", archive.to_str().unwrap(), &to],
    );

    let here = context(&store(&folder));
    let chart_of = async |source: &str| -> Result<Submission, EngineError> {
        pack(&PackOptions::new(source.parse().unwrap()), TODAY, &here).await
    };
    let folder_form = chart_of(chart.to_str().unwrap()).await.unwrap();
    let archive_form = chart_of(archive.to_str().unwrap()).await.unwrap();
    let pulled = chart_of(&format!("{to}/demo:1.2.3+build.7")).await.unwrap();
    assert_eq!(archive_form.descriptor, pulled.descriptor);
    assert_eq!(folder_form.parts.chart.media_type, media_type::HELM_CHART);

    let newest = chart_of(&format!("{to}/demo")).await.unwrap();
    assert_eq!(newest.descriptor, pulled.descriptor);
    let error = chart_of(&format!("{to}/demo:9.9.9"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("has no 9.9.9"), "{error}");
}

#[tokio::test]
async fn expired_waivers_and_cancelled_work_end_before_they_begin() {
    let folder = tempfile::tempdir().unwrap();
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let here = context(&store(&folder));
    let mut late = options(&chart, &[]);
    late.policy = Policy {
        waivers: vec![Waiver {
            rule: "run-as-non-root".into(),
            reason: "old".into(),
            expires: Some("2020-01-01".into()),
            ..serde_json::from_str::<Waiver>(r#"{"rule":"x","reason":"y"}"#).unwrap()
        }],
        ..Policy::default()
    };
    let error = pack(&late, TODAY, &here).await.unwrap_err().to_string();
    assert!(error.contains("run-as-non-root"), "{error}");

    here.cancel.cancel();
    let error = pack(&options(&chart, &[]), TODAY, &here).await.unwrap_err();
    assert!(matches!(error, EngineError::Cancelled));
}

/// Pushes an image for two platforms, and gives its reference.
pub fn push_for_two_platforms(folder: &Path, registry: &Registry) -> String {
    let image = layout(folder, "multi", "amd64", "one");
    let path = image.to_str().unwrap();
    run(
        "umoci",
        &["tag", "--image", &format!("{path}:amd64"), "arm64"],
    );
    let arm64 = format!("{path}:arm64");
    run(
        "umoci",
        &["config", "--image", &arm64, "--architecture", "arm64"],
    );
    let index = std::fs::read(image.join("index.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    for entry in index["manifests"].as_array_mut().unwrap() {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .unwrap();
        let platform = serde_json::json!({"architecture": name, "os": "linux"});
        entry["platform"] = platform;
        entry.as_object_mut().unwrap().remove("annotations");
    }
    index["mediaType"] = media_type::INDEX.into();
    let bytes = serde_json::to_vec(&index).unwrap();
    let descriptor = Descriptor::of(media_type::INDEX, &bytes);
    std::fs::write(
        image.join("blobs/sha256").join(descriptor.digest.hex()),
        &bytes,
    )
    .unwrap();
    let outer = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor]});
    std::fs::write(image.join("index.json"), outer.to_string()).unwrap();
    let reference = format!("{}/team/multi:1", registry.host);
    run(
        "skopeo",
        &[
            "--insecure-policy",
            "copy",
            "--all",
            "--dest-tls-verify=false",
            &format!("oci:{path}"),
            &format!("docker://{reference}"),
        ],
    );
    reference
}

#[tokio::test]
async fn every_platform_is_fetched_unless_fewer_are_asked_for() {
    if !have(&["umoci", "skopeo", "helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let reference = push_for_two_platforms(folder.path(), &registry);
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let values = folder.path().join("mine.yaml");
    std::fs::write(&values, format!("image: {reference}\n")).unwrap();
    let mut options = options(&chart, &[]);
    options.values.push(values);
    let here = context(&store(&folder));
    let submission = pack(&options, TODAY, &here).await.unwrap();

    let platforms = async |wanted: &[&str]| -> Result<(Vec<String>, Package), EngineError> {
        let platform = |architecture: &&str| Platform {
            architecture: (*architecture).to_owned(),
            os: "linux".to_owned(),
            variant: None,
        };
        let engine = Engine::new(EngineOptions {
            platforms: wanted.iter().map(platform).collect(),
            ..EngineOptions::default()
        });
        let package = engine.run(&submission, &here).await?.package;
        let lock = lock(&here, &package).await;
        let found = &lock.images[&reference].platforms;
        Ok((found.iter().map(ToString::to_string).collect(), package))
    };
    let (all, whole) = platforms(&[]).await.unwrap();
    assert_eq!(all, ["linux/amd64", "linux/arm64"]);
    assert_eq!(whole.images[0].original, whole.images[0].descriptor.digest);
    let (one, part) = platforms(&["arm64"]).await.unwrap();
    assert_eq!(one, ["linux/arm64"]);
    assert_eq!(part.images[0].original, whole.images[0].original);
    assert_ne!(part.images[0].descriptor, whole.images[0].descriptor);
    let both = platforms(&["arm64", "amd64"]).await.unwrap().1;
    assert_eq!(both.images, whole.images);
    let error = platforms(&["s390x"]).await.unwrap_err().to_string();
    assert!(
        error.contains("offered for linux/amd64, linux/arm64 alone"),
        "{error}"
    );
}
