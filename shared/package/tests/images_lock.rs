//! `images.lock` in the chart of a package tells what the package holds, at every level, and nobody can change it unseen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use quench_chart::{Chart, yaml};
use quench_content::artefact::{Index, Manifest};
use quench_content::{DirectoryStore, Store};
use quench_model::{Descriptor, Level, annotation, media_type};
use quench_package::{
    Context, FoundBy, ImageClass, ImageEvidence, ImageLock, ImageOrigin, LeftOut, LockedImage,
    Package, PackageError, PackageImage, PackageParts, Request, export_file, images_lock, import,
    verify_file, verify_package,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const WEB: &str = "registry.example.org/team/web:1";
const DB: &str = "registry.example.org/team/db:2";

fn store(folder: &TempDir) -> Store {
    Store::Directory(DirectoryStore::open(folder.path().join("store")).unwrap())
}

/// A one-layer image for linux/amd64.
async fn image(store: &Store, layer: &str) -> Descriptor {
    let layer = store
        .put(media_type::LAYER_GZIP, layer.as_bytes())
        .await
        .unwrap();
    let mut image = Manifest::artefact("", vec![layer]);
    image.artifact_type = None;
    image.config = store
        .put(
            media_type::CONFIG,
            b"{\"os\":\"linux\",\"architecture\":\"amd64\"}",
        )
        .await
        .unwrap();
    store.put_manifest(&image).await.unwrap()
}

fn chart(files: &[(&str, &str)]) -> Chart {
    let metadata = ("Chart.yaml", "apiVersion: v2\nname: demo\nversion: 1.2.3\n");
    let files = files
        .iter()
        .chain([&metadata])
        .map(|(path, text)| ((*path).to_owned(), Bytes::from((*text).to_owned())));
    Chart::from_files(files.collect()).unwrap()
}

fn place(name: &str, values: &str) -> ImageEvidence {
    ImageEvidence {
        template: "demo/templates/web.yaml".to_owned(),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
        container: "app".to_owned(),
        field: "containers".to_owned(),
        found_by: FoundBy::PodSpec,
        values: values.to_owned(),
    }
}

async fn parts(store: &Store, chart: Chart, images: &[&str]) -> PackageParts {
    let mut package_images = Vec::new();
    let mut lock = ImageLock::default();
    for reference in images {
        let descriptor = image(store, reference).await;
        lock.images.insert(
            (*reference).to_owned(),
            LockedImage {
                rendered: vec![(*reference).to_owned()],
                class: ImageClass::Required,
                digest: descriptor.digest.clone(),
                media_type: descriptor.media_type.clone(),
                size: descriptor.size,
                total_size: 4711,
                platforms: vec!["linux/amd64".parse().unwrap()],
                origin: ImageOrigin::Given,
                evidence: vec![place("web", "")],
            },
        );
        package_images.push(PackageImage {
            reference: reference.parse().unwrap(),
            original: descriptor.digest.clone(),
            descriptor,
        });
    }
    PackageParts {
        name: "demo".parse().unwrap(),
        version: "1.2.3".to_owned(),
        level: Level::Integrated,
        previous: None,
        chart,
        images: package_images,
        request: Request::default().store(store).await.unwrap(),
        lock,
    }
}

async fn text(store: &Store, package: &Package) -> String {
    let chart = package.load_chart(store).await.unwrap();
    chart.text(images_lock::NAME).unwrap().to_owned()
}

#[tokio::test]
async fn the_file_reads_as_people_and_tools_expect() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let mut parts = parts(&store, chart(&[]), &[WEB]).await;
    let locked = parts.lock.images.get_mut(WEB).unwrap();
    locked.rendered = vec!["team/web:1".to_owned(), WEB.to_owned()];
    locked.evidence = vec![
        place("a", "b.enabled=true"),
        place("z", ""),
        place("c", "x=1"),
        place(&"long".repeat(100), "y.enabled=true,z.enabled=true"),
        place("d\nforged: line", "y=1"),
    ];
    let reason = "no registry\nknows it".to_owned();
    parts.lock.left_out = BTreeMap::from([(
        "docker.io/library/maybe:1".to_owned(),
        LeftOut {
            rendered: vec!["maybe:1".to_owned()],
            class: ImageClass::Possible,
            reason,
            evidence: Vec::new(),
        },
    )]);
    let digest = parts.images[0].descriptor.digest.clone();
    let size = parts.images[0].descriptor.size;
    let package = Package::store(&store, parts).await.unwrap();
    let expected = format!(
        "# Image lock written by Quench: which image the package of this chart holds for each reference, and why.\n\
         # Every level writes it anew, and `quench verify` compares it with the package: do not edit it.\n\
         apiVersion: quench/v1\n\
         kind: ImageLock\n\
         images:\n\
         - image: \"registry.example.org/team/web:1\"\n  \
           class: required\n  \
           digest: \"{digest}\"\n  \
           evidence:\n  \
           - Deployment/z/app containers\n  \
           - Deployment/c/app containers with x=1\n  \
           - \"Deployment/d forged: line/app containers with y=1\"\n  \
           mediaType: application/vnd.oci.image.manifest.v1+json\n  \
           moreEvidence: 2\n  \
           platforms:\n  \
           - linux/amd64\n  \
           rendered:\n  \
           - \"team/web:1\"\n  \
           - \"registry.example.org/team/web:1\"\n  \
           size: {size}\n  \
           totalSize: 4711\n\
         leftOut:\n\
         - image: \"docker.io/library/maybe:1\"\n  \
           class: possible\n  \
           evidence: []\n  \
           reason: no registry knows it\n"
    );
    let found = text(&store, &package).await;
    assert_eq!(found, expected);
    let parsed = yaml::parse(&found).unwrap();
    assert_eq!(parsed["images"][0]["image"], json!(WEB));
    verify_package(&store, &package).await.unwrap();
}

#[tokio::test]
async fn places_reasons_and_lists_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let mut parts = parts(&store, chart(&[]), &[WEB]).await;
    let evidence: Vec<ImageEvidence> = (0..500)
        .map(|n| place(&format!("{n}-{}", "ö".repeat(400)), ""))
        .collect();
    parts.lock.images.get_mut(WEB).unwrap().evidence = evidence.clone();
    for n in 0..300 {
        parts.lock.left_out.insert(
            format!("docker.io/library/maybe:{n:03}"),
            LeftOut {
                rendered: Vec::new(),
                class: ImageClass::Possible,
                reason: "why ".repeat(1000),
                evidence: evidence[..5].to_vec(),
            },
        );
    }
    let package = Package::store(&store, parts).await.unwrap();
    let text = text(&store, &package).await;
    let parsed = yaml::parse(&text).unwrap();
    assert_eq!(parsed["images"][0]["evidence"].as_array().unwrap().len(), 3);
    assert_eq!(parsed["images"][0]["moreEvidence"], 497);
    assert_eq!(parsed["leftOut"].as_array().unwrap().len(), 100);
    assert_eq!(parsed["moreLeftOut"], 200);
    let longest = text.lines().map(|line| line.chars().count()).max();
    assert!(longest < Some(200), "{longest:?}");
    // All of it is in the lock of the revision.
    let lock = package.load_lock(&store).await.unwrap();
    assert_eq!(lock.images[WEB].evidence.len(), 500);
    assert_eq!(lock.left_out.len(), 300);
    verify_package(&store, &package).await.unwrap();
}

#[tokio::test]
async fn a_chart_without_images_has_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let parts = parts(&store, chart(&[]), &[]).await;
    let package = Package::store(&store, parts).await.unwrap();
    let text = text(&store, &package).await;
    assert!(text.ends_with("kind: ImageLock\nimages: []\n"), "{text}");
    verify_package(&store, &package).await.unwrap();
}

#[tokio::test]
async fn a_level_that_changes_an_image_cannot_forget_to_tell() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let parts = parts(&store, chart(&[]), &[DB, WEB]).await;
    let first = Package::store(&store, parts).await.unwrap();
    let unchanged = first.advance(&store, Level::Configured).await.unwrap();
    let unchanged = Package::store(&store, unchanged).await.unwrap();
    assert_eq!(unchanged.chart, first.chart, "same images, same chart");
    assert_eq!(unchanged.lock, first.lock);

    let mut parts = unchanged.advance(&store, Level::Minimized).await.unwrap();
    let smaller = image(&store, "smaller").await;
    parts.images[1].descriptor = smaller.clone();
    let package = Package::store(&store, parts).await.unwrap();
    verify_package(&store, &package).await.unwrap();
    let parsed = yaml::parse(&text(&store, &package).await).unwrap();
    let web = &parsed["images"][1];
    assert_eq!(web["image"], json!(WEB));
    assert_eq!(web["digest"], json!(smaller.digest));
    assert_eq!(web["original"], json!(first.images[1].original));
    assert_eq!(web["size"], json!(smaller.size));
    let manifest = store.manifest(&smaller).await.unwrap();
    let sizes = smaller.size + manifest.config.size + manifest.layers[0].size;
    assert_eq!(web["totalSize"], json!(sizes));
    assert_eq!(web["platforms"], json!(["linux/amd64"]));
    assert_eq!(web["evidence"], json!(["Deployment/web/app containers"]));
    let db = &parsed["images"][0];
    assert_eq!(db["digest"], json!(first.images[0].original));
    assert_eq!(db.get("original"), None);

    // An image that is not all there cannot be told of.
    let mut parts = unchanged.advance(&store, Level::Minimized).await.unwrap();
    parts.images[0].descriptor = Descriptor::of(media_type::MANIFEST, b"{}");
    let error = Package::store(&store, parts).await.unwrap_err();
    assert!(matches!(error, PackageError::Store(_)), "{error}");
}

#[tokio::test]
async fn the_author_s_files_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let theirs = "apiVersion: v0\nkind: ImagesLock\nimages: []\n";
    for (name, ours) in [
        ("images.lock", images_lock::OTHER_NAME),
        ("Images.lock", images_lock::OTHER_NAME),
        ("IMAGES.LOCK", images_lock::OTHER_NAME),
        ("files/images.lock", images_lock::NAME),
        ("charts/sub/images.lock", images_lock::NAME),
        ("quench-images.lock", images_lock::NAME),
    ] {
        let author = chart(&[
            (name, theirs),
            ("templates/x.yaml", "kind: X\n"),
            (
                "charts/sub/Chart.yaml",
                "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
            ),
        ]);
        let parts = parts(&store, author.clone(), &[WEB]).await;
        let package = Package::store(&store, parts).await.unwrap();
        let mut packed = package.load_chart(&store).await.unwrap();
        assert!(images_lock::is_own(packed.file(ours).unwrap()), "{name}");
        verify_package(&store, &package).await.unwrap();
        // Stored again, it is in the same place, once.
        let again = package.advance(&store, Level::Configured).await.unwrap();
        let again = Package::store(&store, again).await.unwrap();
        assert_eq!(again.chart, package.chart, "{name}");
        images_lock::remove(&mut packed).unwrap();
        assert_eq!(packed, author, "{name}");
    }

    let both = chart(&[("Images.lock", theirs), ("quench-images.lock", theirs)]);
    let parts = parts(&store, both, &[WEB]).await;
    let error = Package::store(&store, parts).await.unwrap_err().to_string();
    assert!(
        error.contains("quench-images.lock") && error.contains("rename"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_moves_leaves_no_copy() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let author = chart(&[("Images.lock", "theirs\n")]);
    let parts = parts(&store, author, &[WEB]).await;
    let package = Package::store(&store, parts).await.unwrap();
    let mut parts = package.advance(&store, Level::Configured).await.unwrap();
    parts.chart.remove("Images.lock").unwrap();
    let package = Package::store(&store, parts).await.unwrap();
    let chart = package.load_chart(&store).await.unwrap();
    assert!(chart.file(images_lock::NAME).is_some());
    assert_eq!(chart.file(images_lock::OTHER_NAME), None);
}

#[tokio::test]
async fn helmignore_does_not_hide_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let ignore = "# kept\n*.orig\n*.lock\n.git/\n";
    let author = chart(&[(".helmignore", ignore), ("templates/x.yaml", "kind: X\n")]);
    assert_eq!(author.text(".helmignore"), Some(ignore));
    let parts = parts(&store, author, &[WEB]).await;
    let package = Package::store(&store, parts).await.unwrap();
    let chart = package.load_chart(&store).await.unwrap();
    let written = folder.path().join("chart");
    chart.write_to(&written).unwrap();
    let read = Chart::load(&written).unwrap();
    assert_eq!(read.files(), chart.files());
    assert!(read.file(images_lock::NAME).is_some());
    assert_eq!(
        read.text(".helmignore"),
        Some("# kept\n*.orig\n.git/\n"),
        "only the line that hides it is gone"
    );
}

/// The package with another file in its chart, everything else as it was and every digest right.
async fn forged(store: &Store, package: &Package, changed: Option<String>) -> Package {
    let mut chart = package.load_chart(store).await.unwrap();
    chart.remove(images_lock::NAME).unwrap();
    if let Some(text) = changed {
        chart.insert(images_lock::NAME, text).unwrap();
    }
    let archive = store
        .put(media_type::HELM_CHART, &chart.to_tgz().unwrap())
        .await
        .unwrap();
    let mut manifest = store.manifest(&package.chart.manifest).await.unwrap();
    manifest.layers = vec![archive];
    let manifest = store.put_manifest(&manifest).await.unwrap();
    let mut index: Index = store.index(&package.revision).await.unwrap();
    for entry in &mut index.manifests {
        if entry.annotation(annotation::ROLE) == Some("chart") {
            *entry = manifest.clone().annotated(annotation::ROLE, "chart");
        }
    }
    let revision = store.put_json(media_type::INDEX, &index).await.unwrap();
    Package::load(store, &revision).await.unwrap()
}

#[tokio::test]
async fn a_changed_file_is_refused_and_the_reference_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let parts = parts(&store, chart(&[]), &[DB, WEB]).await;
    let package = Package::store(&store, parts).await.unwrap();
    let right = text(&store, &package).await;
    let same = forged(&store, &package, Some(right.clone())).await;
    assert_eq!(same.revision.digest, package.revision.digest);

    let digest = package.images[1].descriptor.digest.to_string();
    let other = format!("sha256:{}", "0".repeat(64));
    let (before_web, web) = right.split_at(right.find(&format!("- image: \"{WEB}\"")).unwrap());
    let with = |from: &str, to: &str| Some(format!("{before_web}{}", web.replace(from, to)));
    let cases: [(&str, Option<String>, &[&str]); 10] = [
        ("digest", with(&digest, &other), &[WEB, &other, &digest]),
        ("size", with("\n  size: ", "\n  size: 1"), &[WEB, "size"]),
        (
            "media type",
            with("manifest.v1", "index.v1"),
            &[WEB, "mediaType"],
        ),
        ("entry", Some(before_web.to_owned()), &[WEB, "missing"]),
        (
            "more",
            Some(format!("{right}- image: \"docker.io/library/evil:1\"\n")),
            &["docker.io/library/evil:1", "not in the package"],
        ),
        ("twice", Some(format!("{right}{web}")), &[WEB, "twice"]),
        (
            "class",
            with("required", "optional"),
            &[WEB, "image lock says"],
        ),
        (
            "evidence",
            with("Deployment", "Job"),
            &[WEB, "image lock says"],
        ),
        (
            "comment",
            Some(right.replace("do not edit it", "edit it")),
            &["not what Quench writes"],
        ),
        ("file", None, &["the chart has no images.lock"]),
    ];
    for (what, changed, told) in cases {
        let forged = forged(&store, &package, changed).await;
        assert_ne!(forged.revision.digest, package.revision.digest, "{what}");
        let error = verify_package(&store, &forged)
            .await
            .unwrap_err()
            .to_string();
        for word in told {
            assert!(error.contains(word), "{what}: {error}");
        }
        let file = folder.path().join("forged.quench.tar");
        export_file(&Context::new(store.clone()), &forged, None, &file)
            .await
            .unwrap();
        let of_file = verify_file(&file).unwrap_err().to_string();
        for word in told {
            assert!(of_file.contains(word), "{what}: {of_file}");
        }
    }
}

#[tokio::test]
async fn the_lock_of_the_revision_must_agree_at_every_level() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let parts = parts(&store, chart(&[]), &[WEB]).await;
    let first = Package::store(&store, parts).await.unwrap();
    let mut parts = first.advance(&store, Level::Minimized).await.unwrap();
    parts.images[0].descriptor = image(&store, "smaller").await;
    let package = Package::store(&store, parts).await.unwrap();
    // The lock as it was before.
    let mut index: Index = store.index(&package.revision).await.unwrap();
    for entry in &mut index.manifests {
        if entry.annotation(annotation::ROLE) == Some("lock") {
            *entry = first.lock.clone().annotated(annotation::ROLE, "lock");
        }
    }
    let revision = store.put_json(media_type::INDEX, &index).await.unwrap();
    let forged = Package::load(&store, &revision).await.unwrap();
    let error = verify_package(&store, &forged)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(WEB) && error.contains("image lock says"),
        "{error}"
    );

    // And it must be there.
    index
        .manifests
        .retain(|entry| entry.annotation(annotation::ROLE) != Some("lock"));
    let revision = store.put_json(media_type::INDEX, &index).await.unwrap();
    let error = Package::load(&store, &revision).await.unwrap_err();
    assert!(error.to_string().contains("no image lock"), "{error}");
}

#[tokio::test]
async fn a_delta_that_takes_the_chart_for_granted_is_compared_on_import() {
    let folder = tempfile::tempdir().unwrap();
    let (here, elsewhere) = (store(&folder), tempfile::tempdir().unwrap());
    let there = Context::new(store(&elsewhere));
    let parts = parts(&here, chart(&[]), &[WEB]).await;
    let first = Package::store(&here, parts).await.unwrap();
    let context = Context::new(here.clone());
    let file = |name: &str| folder.path().join(name);
    export_file(&context, &first, None, &file("first"))
        .await
        .unwrap();
    import(&there, &file("first")).await.unwrap();
    let base = quench_package::Base::of_revision(&here, &first)
        .await
        .unwrap();

    // Another image under the chart and the lock of the first.
    let mut index: Index = here.index(&first.revision).await.unwrap();
    let evil = image(&here, "evil").await;
    for entry in &mut index.manifests {
        if entry.annotation(annotation::ROLE) == Some("image") {
            *entry = Descriptor {
                annotations: entry.annotations.clone(),
                ..evil.clone()
            };
        }
    }
    let revision = here.put_json(media_type::INDEX, &index).await.unwrap();
    let forged = Package::load(&here, &revision).await.unwrap();
    export_file(&context, &forged, Some(&base), &file("delta"))
        .await
        .unwrap();
    let error = import(&there, &file("delta"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(WEB) && error.contains(&evil.digest.to_string()),
        "{error}"
    );

    // An honest one goes through.
    let next = first.advance(&here, Level::Configured).await.unwrap();
    let next = Package::store(&here, next).await.unwrap();
    export_file(&context, &next, Some(&base), &file("honest"))
        .await
        .unwrap();
    let imported = import(&there, &file("honest")).await.unwrap();
    assert_eq!(imported.package, next);
    let value: Value = yaml::parse(&text(&there.store, &imported.package).await).unwrap();
    assert_eq!(value["images"][0]["image"], json!(WEB));
}
