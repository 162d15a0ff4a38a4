//! Charts that are made of manifests, or of images alone.

use std::path::Path;

use quench_chart::Chart;
use quench_chart::render::{Helm, Request};
use quench_content::RegistryAccess;
use quench_ingestor_engine::{Engine, EngineOptions, PackOptions, pack};
use quench_package::{Context, EngineError, Outcome, Submission};
use serde_json::Value;
use time::macros::date;

use crate::made::{blobs, context, copy, have, layout, store};
use crate::server::Registry;

async fn submit(options: &PackOptions, context: &Context) -> Result<Submission, EngineError> {
    pack(options, date!(2026 - 01 - 01), context).await
}

async fn ingest(options: &PackOptions, context: &Context) -> Result<Outcome, EngineError> {
    let submission = submit(options, context).await?;
    Engine::new(EngineOptions::default())
        .run(&submission, context)
        .await
}

fn put(folder: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

#[tokio::test]
async fn manifests_render_to_what_they_say() {
    if !have(&["helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("My App");
    put(
        &manifests,
        &[
            (
                "web/rules.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: rules}\ndata:\n  alert: '{{ $labels.pod }} {{{x}}} {{/* y'\n",
            ),
            (
                "web/two.yml",
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n",
            ),
            (
                "all.json",
                "{\"apiVersion\": \"v1\",\n\t\"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"json\"}}",
            ),
            (
                "crd.yaml",
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.org}\nspec: {description: '{{ untouched }}'}\n",
            ),
        ],
    );
    let here = store(&folder);
    let options = PackOptions::new(manifests.to_str().unwrap().parse().unwrap());
    let submission = submit(&options, &context(&here)).await.unwrap();
    let archive = std::fs::File::open(here.blob_path(&submission.parts.chart.digest)).unwrap();
    let chart = Chart::from_tgz(archive, "made").unwrap();
    assert_eq!((chart.name(), chart.version()), ("my-app", "0.1.0"));
    let rendered = Helm::find()
        .unwrap()
        .render(&chart, &Request::default())
        .await
        .unwrap();
    let mut names: Vec<&str> = rendered
        .objects()
        .filter_map(|object| object.pointer("/metadata/name")?.as_str())
        .filter(|name| *name != "things.example.org")
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["json", "one", "rules", "two"]);
    let alert = rendered
        .objects()
        .find_map(|object| object.pointer("/data/alert").and_then(Value::as_str))
        .unwrap();
    assert_eq!(alert, "{{ $labels.pod }} {{{x}}} {{/* y");
    assert!(
        chart
            .text("crds/crd.yaml")
            .unwrap()
            .contains("{{ untouched }}")
    );
    // The same on any machine, and from a pipe under another name.
    let again = submit(&options, &context(&here)).await.unwrap();
    assert_eq!(again.descriptor, submission.descriptor);
    let text = std::fs::read(manifests.join("web/two.yml")).unwrap();
    let mut piped = PackOptions::new(quench_ingestor_engine::source::ChartSource::ManifestText(
        text,
    ));
    let error = submit(&piped, &context(&here))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("give the package a name (--name)"),
        "{error}"
    );
    piped.name = Some("piped".to_owned());
    piped.version = Some("2.0.0".to_owned());
    submit(&piped, &context(&here)).await.unwrap();
    piped.version = Some("two".to_owned());
    let error = submit(&piped, &context(&here))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\"two\" cannot be the version of a chart"),
        "{error}"
    );
}

#[tokio::test]
async fn images_alone_become_a_package() {
    if !have(&["helm", "umoci", "skopeo"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(folder.path(), "app", "1.0", "x");
    let name = format!("{}/team/app:1.0", registry.host);
    copy(
        &format!("oci:{}:1.0", layout.display()),
        &format!("docker://{name}"),
    );

    let here = store(&folder);
    let options = PackOptions::new(name.parse().unwrap());
    assert_eq!(options.access.insecure, RegistryAccess::default().insecure);
    let fetched = ingest(&options, &context(&here)).await.unwrap().package;
    assert_eq!(
        (fetched.name.as_str(), fetched.version.as_str()),
        ("app", "0.1.0")
    );
    let references: Vec<String> = fetched
        .images
        .iter()
        .map(|i| i.reference.to_string())
        .collect();
    assert_eq!(references, [name]);

    // From a layout without a name, into a store of its own: nobody is asked for it.
    let other = tempfile::tempdir().unwrap();
    let there = store(&other);
    let mut options = PackOptions::new(format!("oci:{}", layout.display()).parse().unwrap());
    options.name = Some("lonely".to_owned());
    let given = ingest(&options, &context(&there)).await.unwrap().package;
    assert_eq!(given.name.as_str(), "lonely");
    let references: Vec<String> = given
        .images
        .iter()
        .map(|i| i.reference.to_string())
        .collect();
    assert_eq!(references, ["localhost/app:1.0"]);
    assert_eq!(
        given.images[0].descriptor.digest,
        fetched.images[0].descriptor.digest
    );
    assert!(!blobs(&there).is_empty());
}
