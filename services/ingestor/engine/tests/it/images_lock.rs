//! `images.lock` in the chart that level 1 makes, and in charts that are taken in.

use std::path::{Path, PathBuf};
use std::process::Command;

use quench_chart::{Chart, yaml};
use quench_ingestor_engine::source::ChartSource;
use quench_ingestor_engine::{Engine, EngineOptions, PackOptions, Survey, pack};
use quench_package::{Context, FoundBy, Package, images_lock, read_chart, verify_package};
use serde_json::json;
use time::macros::date;

use crate::made::{DEPLOYMENT, chart, context, have, layout, store};

const APP: &str = "registry.example.org/app:1.0";

fn options(chart: &Path, image: &Path) -> PackOptions {
    let mut options = PackOptions::new(ChartSource::Folder(chart.to_owned()));
    options.images = vec![format!("oci:{}", image.display()).parse().unwrap()];
    options
}

async fn ingest(options: &PackOptions, context: &Context) -> Package {
    let submission = pack(options, date!(2026 - 01 - 01), context).await.unwrap();
    let engine = Engine::new(EngineOptions::default());
    engine.run(&submission, context).await.unwrap().package
}

async fn survey(chart: &Path, context: &Context) -> Survey {
    let options = PackOptions::new(ChartSource::Folder(chart.to_owned()));
    let submission = pack(&options, date!(2026 - 01 - 01), context)
        .await
        .unwrap();
    let engine = Engine::new(EngineOptions::default());
    engine.survey(&submission, false, context).await.unwrap()
}

fn found(survey: &Survey) -> Vec<String> {
    let images = survey.images.iter();
    images.map(|image| image.reference.to_string()).collect()
}

fn rendered(helm: &str, chart: &Path) -> String {
    let output = Command::new(helm)
        .args(["template", "demo"])
        .arg(chart)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A chart with most of what a chart may have, none of it Quench's.
fn author_s(folder: &Path) -> PathBuf {
    let chart = chart(folder, "demo", &[("web.yaml", DEPLOYMENT)]);
    for (path, text) in [
        (".helmignore", "*.orig\n*.lock\n"),
        ("README.md", "# Demo\n"),
        ("files/page.html", "<p>hello</p>\n"),
        (
            "templates/page.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: page}\ndata:\n{{ (.Files.Glob \"files/*\").AsConfig | indent 2 }}\n",
        ),
        ("templates/NOTES.txt", "installed\n"),
        (
            "charts/sub/Chart.yaml",
            "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
        ),
        (
            "charts/sub/templates/x.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sub}\n",
        ),
    ] {
        let path = chart.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    chart
}

#[tokio::test]
async fn level_1_adds_one_file_and_nothing_else_changes() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let chart = author_s(folder.path());
    let here = context(&store(&folder));
    let package = ingest(&options(&chart, &image), &here).await;
    verify_package(&here.store, &package).await.unwrap();

    let packed = package.load_chart(&here.store).await.unwrap();
    let original = Chart::load(&chart).unwrap();
    for (path, content) in original.files() {
        if path != ".helmignore" {
            assert_eq!(packed.file(path), Some(content), "{path}");
        }
    }
    assert_eq!(
        packed.text(".helmignore"),
        Some("*.orig\n"),
        "{:?}",
        packed.files()
    );
    let added: Vec<&String> = packed
        .files()
        .keys()
        .filter(|path| original.file(path).is_none())
        .collect();
    assert_eq!(added, [images_lock::NAME]);

    let lock = yaml::parse(packed.text(images_lock::NAME).unwrap()).unwrap();
    let entry = &lock["images"][0];
    assert_eq!(lock["images"].as_array().unwrap().len(), 1);
    assert_eq!(entry["image"], json!(APP));
    assert_eq!(entry["digest"], json!(package.images[0].descriptor.digest));
    assert_eq!(entry["class"], "required");
    assert_eq!(entry["platforms"].as_array().unwrap().len(), 1);
    assert_eq!(entry["evidence"], json!(["Deployment/web/app containers"]));

    // Whatever helm reads it from, it renders the same.
    let (unpacked, archive) = (
        folder.path().join("unpacked"),
        folder.path().join("demo.tgz"),
    );
    packed.write_to(&unpacked).unwrap();
    let bytes = package.chart_archive(&here.store).await.unwrap();
    std::fs::copy(here.store.file(&bytes).await.unwrap(), &archive).unwrap();
    for helm in ["helm", "helm3"] {
        if have(&[helm]) {
            let before = rendered(helm, &chart);
            assert!(before.contains("hello"), "{before}");
            assert_eq!(rendered(helm, &unpacked), before, "{helm}");
            assert_eq!(rendered(helm, &archive), before, "{helm}");
        }
    }
}

#[tokio::test]
async fn a_chart_taken_out_of_a_package_and_in_again_is_the_same_revision() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let chart = author_s(folder.path());
    let here = context(&store(&folder));
    let first = ingest(&options(&chart, &image), &here).await;
    let out = folder.path().join("out");
    first
        .load_chart(&here.store)
        .await
        .unwrap()
        .write_to(&out)
        .unwrap();
    let second = ingest(&options(&out, &image), &here).await;
    assert_eq!(second.revision, first.revision);
}

#[tokio::test]
async fn a_lock_of_quench_is_replaced_and_is_no_evidence() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let here = context(&store(&folder));
    let package = ingest(&options(&chart, &image), &here).await;
    let lock = package.load_chart(&here.store).await.unwrap();
    let lock = lock.text(images_lock::NAME).unwrap();
    // Of a package whose chart used another image once; and such a chart as a dependency.
    let stale = lock.replace(APP, "registry.example.org/gone:1");
    std::fs::write(chart.join(images_lock::NAME), &stale).unwrap();
    std::fs::create_dir_all(chart.join("charts/sub")).unwrap();
    std::fs::write(
        chart.join("charts/sub/Chart.yaml"),
        "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
    )
    .unwrap();
    std::fs::write(chart.join("charts/sub/images.lock"), &stale).unwrap();
    assert_eq!(found(&survey(&chart, &here).await), [APP]);

    let package = ingest(&options(&chart, &image), &here).await;
    let packed = package.load_chart(&here.store).await.unwrap();
    let now = packed.text(images_lock::NAME).unwrap();
    assert!(now.contains(APP) && !now.contains("gone"), "{now}");
    assert_eq!(packed.text("charts/sub/images.lock"), Some(stale.as_str()));
}

#[tokio::test]
async fn the_author_s_lock_stays_and_is_evidence() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let here = context(&store(&folder));
    let theirs = "apiVersion: v0\nkind: ImagesLock\nimages:\n- name: tool\n  image: registry.example.org/tool:2\n";
    for name in ["images.lock", "Images.lock"] {
        let chart = chart(
            &folder.path().join(name),
            "demo",
            &[("web.yaml", DEPLOYMENT)],
        );
        std::fs::write(chart.join(name), theirs).unwrap();
        let package = ingest(&options(&chart, &image), &here).await;
        let packed = package.load_chart(&here.store).await.unwrap();
        assert_eq!(packed.text(name), Some(theirs));
        let ours = packed.text(images_lock::OTHER_NAME).unwrap();
        assert!(ours.contains(APP), "{ours}");
        assert!(
            ours.contains("registry.example.org/tool:2"),
            "left out: {ours}"
        );

        // Taken in again it is still theirs that counts.
        let out = folder.path().join(format!("{name}-out"));
        packed.write_to(&out).unwrap();
        let survey = survey(&out, &here).await;
        assert_eq!(found(&survey), [APP, "registry.example.org/tool:2"]);
        let tool = &survey.images[1];
        let ways: Vec<FoundBy> = tool.evidence.iter().map(|place| place.found_by).collect();
        assert_eq!(ways, [FoundBy::LockFile], "{:?}", tool.evidence);
        let again = ingest(&options(&out, &image), &here).await;
        assert_eq!(again.revision, package.revision);
    }
}

#[tokio::test]
async fn a_submission_keeps_the_chart_as_it_was_given() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let here = context(&store(&folder));
    let options = options(&chart, &image);
    let submission = pack(&options, date!(2026 - 01 - 01), &here).await.unwrap();
    let given = read_chart(&here.store, &submission.parts.chart)
        .await
        .unwrap();
    assert_eq!(given, Chart::load(&chart).unwrap());
    assert_eq!(given.file(images_lock::NAME), None);
}
