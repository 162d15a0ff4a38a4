//! Exports are the same bytes every time, and no changed byte goes unnoticed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::io::Write as _;

use quench_chart::Chart;
use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, Store};
use quench_model::{Finding, FindingKind, Level, Severity, Subject, media_type};
use quench_package::{
    Attachment, Base, Context, ImageLock, Package, PackageImage, PackageParts, Request,
    VerifyError, export, export_file, import, publish, replace_findings, verify_file,
    verify_package,
};

fn chart(version: &str) -> Chart {
    let metadata = format!("apiVersion: v2\nname: demo\nversion: {version}\n");
    Chart::from_files([("Chart.yaml".to_owned(), metadata.into())].into()).unwrap()
}

/// A package of two levels with an image, findings of two epochs and an SBOM.
async fn package(store: &Store) -> Package {
    let layer = store.put(media_type::LAYER_GZIP, &[7; 1500]).await.unwrap();
    let mut image = Manifest::artefact("", vec![layer]);
    image.artifact_type = None;
    image.config = store
        .put(media_type::CONFIG, b"{\"os\":\"linux\"}")
        .await
        .unwrap();
    let descriptor = store.put_manifest(&image).await.unwrap();
    let parts = PackageParts {
        name: "demo".parse().unwrap(),
        version: "1.2.3".into(),
        level: Level::Integrated,
        previous: None,
        chart: chart("1.2.3"),
        images: vec![PackageImage {
            reference: "registry.example.org/demo:1".parse().unwrap(),
            original: descriptor.digest.clone(),
            descriptor,
        }],
        request: Request::default().store(store).await.unwrap(),
        lock: ImageLock::default(),
    };
    let first = Package::store(store, parts).await.unwrap();
    let parts = first.advance(store, Level::Configured).await.unwrap();
    let next = Package::store(store, parts).await.unwrap();
    let sbom = b"{\"bomFormat\":\"CycloneDX\"}";
    Attachment::attach(
        store,
        &next.revision,
        media_type::CYCLONEDX,
        Level::Configured,
        None,
        sbom,
    )
    .await
    .unwrap();
    next
}

async fn find(store: &Store, package: &Package, id: &str) {
    let subject = Subject {
        package: package.name.clone(),
        image: None,
        purl: None,
        location: Some("Deployment/web".into()),
    };
    let kind = FindingKind::Configuration;
    let found = Finding::opened(kind, id, subject, Severity::Low, Level::Configured, id);
    replace_findings(store, &package.revision, Level::Configured, &mut [found])
        .await
        .unwrap();
}

fn store(folder: &tempfile::TempDir) -> Store {
    Store::Directory(DirectoryStore::open(folder.path().join("store")).unwrap())
}

async fn exported(store: &Store, package: &Package) -> Vec<u8> {
    let mut bytes = Vec::new();
    let context = Context::new(store.clone());
    let written = export(&context, package, None, &mut bytes).await.unwrap();
    assert_eq!(written.bytes, bytes.len() as u64);
    bytes
}

#[tokio::test]
async fn the_same_package_exports_to_the_same_bytes_from_any_store() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (store(&one), store(&two));
    let package_one = package(&one).await;
    find(&one, &package_one, "an-earlier-epoch-found-this").await;
    find(&one, &package_one, "current").await;
    let package_two = package(&two).await;
    find(&two, &package_two, "current").await;
    let bytes = exported(&one, &package_one).await;
    assert_eq!(bytes, exported(&one, &package_one).await);
    assert_eq!(bytes, exported(&two, &package_two).await);
}

#[tokio::test]
async fn an_export_verifies_and_so_does_the_package_in_its_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let package = package(&store).await;
    find(&store, &package, "current").await;
    let file = folder.path().join("demo.quench.tar");
    export_file(&Context::new(store.clone()), &package, None, &file)
        .await
        .unwrap();
    let in_file = verify_file(&file).unwrap();
    let in_store = verify_package(&store, &package).await.unwrap();
    assert_eq!(in_file, in_store);
    assert_eq!(in_file.revision, package.revision);
    assert_eq!(
        (in_file.revisions, in_file.images, in_file.attachments),
        (2, 1, 2)
    );
}

#[tokio::test]
async fn every_changed_byte_and_every_cut_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let package = package(&store).await;
    find(&store, &package, "current").await;
    let bytes = exported(&store, &package).await;
    let file = folder.path().join("changed.quench.tar");
    let refused = |bytes: &[u8]| {
        let mut written = std::fs::File::create(&file).unwrap();
        written.write_all(bytes).unwrap();
        drop(written);
        verify_file(&file).err().map(|e| e.to_string())
    };
    assert_eq!(refused(&bytes), None);
    // A step that is prime to the block size visits every region at every offset within blocks.
    for at in (0..bytes.len()).step_by(13) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        let error = refused(&changed);
        assert!(error.is_some(), "byte {at} was changed and nobody noticed");
        let mut cut = bytes.clone();
        cut.truncate(at);
        assert!(
            refused(&cut).is_some(),
            "cut at byte {at} and nobody noticed"
        );
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(refused(&longer).is_some());
}

#[tokio::test]
async fn a_missing_or_foreign_blob_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let package = package(&store).await;
    let bytes = exported(&store, &package).await;
    let file = folder.path().join("other.quench.tar");
    let layer = quench_model::Digest::of([7; 1500]);

    // The same tar without the image's layer, in the same strict form.
    let mut without = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&bytes[at..at + 512]);
        let size = header.entry_size().unwrap_or_default() as usize;
        let end = at + 512 + size.div_ceil(512) * 512;
        let name = header.path_bytes().into_owned();
        if !String::from_utf8_lossy(&name).ends_with(&layer.hex()) {
            without.extend_from_slice(&bytes[at..end]);
        }
        at = end;
    }
    assert!(without.len() < bytes.len());
    std::fs::write(&file, &without).unwrap();
    let error = verify_file(&file).unwrap_err().to_string();
    assert!(
        error.contains(&layer.to_string()) && error.contains("missing"),
        "{error}"
    );
}

#[tokio::test]
async fn a_store_whose_blob_was_changed_neither_exports_nor_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let package = package(&store).await;
    let layer = quench_model::Digest::of([7; 1500]);
    let blob = folder.path().join("store/blobs/sha256").join(layer.hex());
    std::fs::write(&blob, [8; 1500]).unwrap();
    let error = export(
        &Context::new(store.clone()),
        &package,
        None,
        std::io::sink(),
    )
    .await
    .unwrap_err()
    .to_string();
    assert!(error.contains(&layer.to_string()), "{error}");
    let error = verify_package(&store, &package)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&layer.to_string()), "{error}");
    let file = folder.path().join("never.quench.tar");
    assert!(
        export_file(&Context::new(store.clone()), &package, None, &file)
            .await
            .is_err()
    );
    assert!(!file.exists(), "a failed export left a file");
}

/// The same package with another chart and everything else as it was: two levels, an SBOM, findings.
async fn changed(store: &Store, package: &Package) -> Package {
    let parts = PackageParts {
        version: "1.2.4".into(),
        level: Level::Integrated,
        previous: None,
        chart: chart("1.2.4"),
        ..package.advance(store, Level::Integrated).await.unwrap()
    };
    let first = Package::store(store, parts).await.unwrap();
    let parts = first.advance(store, Level::Configured).await.unwrap();
    let next = Package::store(store, parts).await.unwrap();
    let sbom = b"{\"bomFormat\":\"CycloneDX\"}";
    Attachment::attach(
        store,
        &next.revision,
        media_type::CYCLONEDX,
        Level::Configured,
        None,
        sbom,
    )
    .await
    .unwrap();
    find(store, &next, "current").await;
    next
}

fn names(file: &std::path::Path) -> Vec<String> {
    let mut archive = tar::Archive::new(std::fs::File::open(file).unwrap());
    archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect()
}

#[tokio::test]
async fn a_delta_holds_what_changed_and_restores_the_same_revision() {
    let folder = tempfile::tempdir().unwrap();
    let here = store(&folder);
    let context = Context::new(here.clone());
    let file = |name: &str| folder.path().join(format!("{name}.quench.tar"));
    let old = package(&here).await;
    find(&here, &old, "current").await;
    let new = changed(&here, &old).await;
    let newest = {
        let parts = PackageParts {
            images: Vec::new(),
            lock: ImageLock::default(),
            ..new.advance(&here, Level::Secured).await.unwrap()
        };
        Package::store(&here, parts).await.unwrap()
    };
    export_file(&context, &old, None, &file("old"))
        .await
        .unwrap();
    let since_revision = Base::of_revision(&here, &old).await.unwrap();
    let since_file = Base::of_file(&file("old")).unwrap();
    assert_eq!(since_revision.revision(), since_file.revision());
    for (name, base) in [("revision", &since_revision), ("file", &since_file)] {
        let summary = export_file(&context, &new, Some(base), &file(name))
            .await
            .unwrap();
        let delta = summary.delta.unwrap();
        assert_eq!(delta.base, old.revision.digest);
        // The image with its layer and configuration, the SBOM, the request.
        let layer = quench_model::Digest::of([7; 1500]);
        assert!(delta.presumed.contains_key(&layer));
        let blob = format!("blobs/sha256/{}", layer.hex());
        assert!(names(&file("old")).contains(&blob));
        assert!(!names(&file(name)).contains(&blob), "{name}");
        let sbom = quench_model::Digest::of(b"{\"bomFormat\":\"CycloneDX\"}");
        assert!(delta.presumed.contains_key(&sbom));
        let verified = verify_file(&file(name)).unwrap();
        assert_eq!(verified.delta.unwrap(), delta);
        assert_eq!(verified.revision.digest, new.revision.digest);
    }
    // A delta is the base of the next one.
    let since_delta = Base::of_file(&file("file")).unwrap();
    export_file(&context, &newest, Some(&since_delta), &file("next"))
        .await
        .unwrap();

    let there = tempfile::tempdir().unwrap();
    let there = Context::new(store(&there));
    let error = import(&there, &file("file")).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, VerifyError::Broken { .. }), "{text}");
    assert!(text.contains(&old.revision.digest.to_string()), "{text}");
    assert!(there.store.names("").await.unwrap().is_empty());
    import(&there, &file("old")).await.unwrap();
    let error = import(&there, &file("next")).await.unwrap_err().to_string();
    assert!(error.contains(&new.revision.digest.to_string()), "{error}");
    for (name, package) in [("file", &new), ("revision", &new), ("next", &newest)] {
        let imported = import(&there, &file(name)).await.unwrap();
        assert_eq!(imported.package, *package);
        verify_package(&there.store, package).await.unwrap();
    }
    // What was put together of deltas exports as if it had come whole.
    assert_eq!(
        exported(&there.store, &newest).await,
        exported(&here, &newest).await
    );
}

#[tokio::test]
async fn every_changed_byte_of_a_delta_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let here = store(&folder);
    let context = Context::new(here.clone());
    let old = package(&here).await;
    let new = changed(&here, &old).await;
    let base = Base::of_revision(&here, &old).await.unwrap();
    let mut bytes = Vec::new();
    export(&context, &new, Some(&base), &mut bytes)
        .await
        .unwrap();
    let file = folder.path().join("delta.quench.tar");
    for at in (0..bytes.len()).step_by(29) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        std::fs::write(&file, &changed).unwrap();
        assert!(verify_file(&file).is_err(), "byte {at}");
    }
}

#[tokio::test]
async fn a_delta_whose_base_has_lost_a_blob_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let here = store(&folder);
    let context = Context::new(here.clone());
    let old = package(&here).await;
    let new = changed(&here, &old).await;
    let base = Base::of_revision(&here, &old).await.unwrap();
    let (full, delta) = (
        folder.path().join("full.tar"),
        folder.path().join("delta.tar"),
    );
    export_file(&context, &old, None, &full).await.unwrap();
    export_file(&context, &new, Some(&base), &delta)
        .await
        .unwrap();
    let there = tempfile::tempdir().unwrap();
    let context = Context::new(store(&there));
    import(&context, &full).await.unwrap();
    let layer = quench_model::Digest::of([7; 1500]);
    let blob = there.path().join("store/blobs/sha256").join(layer.hex());
    std::fs::remove_file(blob).unwrap();
    let error = import(&context, &delta).await.unwrap_err().to_string();
    assert!(error.contains(&layer.to_string()), "{error}");
}

#[tokio::test]
async fn what_came_with_an_image_travels_with_it() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here_store, there_store) = (store(&here), store(&there));
    let package = package(&here_store).await;
    let image = package.images[0].descriptor.clone();
    // A signature as a referrer, in a form this version would not write, and one under cosign's tag.
    let layer = here_store.put("text/plain", b"signature").await.unwrap();
    let mut manifest = Manifest::artefact("application/vnd.example.signature", vec![layer]);
    let tagged = here_store.put_manifest(&manifest).await.unwrap();
    let tag: quench_content::RefName = format!("sha256-{}.sig", image.digest.hex())
        .parse()
        .unwrap();
    here_store.tag(&tag, &tagged).await.unwrap();
    manifest.subject = Some(image.clone());
    let mut odd = serde_json::to_value(&manifest).unwrap();
    odd["foreign"] = true.into();
    let mut referrer = here_store
        .put_json(media_type::MANIFEST, &odd)
        .await
        .unwrap();
    referrer.artifact_type = manifest.artifact_type.clone();
    here_store
        .list_referrer(&image.digest, &referrer)
        .await
        .unwrap();

    let file = here.path().join("signed.quench.tar");
    export_file(&Context::new(here_store.clone()), &package, None, &file)
        .await
        .unwrap();
    let imported = import(&Context::new(there_store.clone()), &file)
        .await
        .unwrap();
    publish(&there_store, &imported.package).await.unwrap();
    let found = there_store.referrers(&image.digest, None).await.unwrap();
    assert_eq!(found, [referrer]);
    let found = there_store.resolve(&tag).await.unwrap().unwrap();
    assert_eq!(found.digest, tagged.digest);
    assert_eq!(
        exported(&here_store, &package).await,
        exported(&there_store, &package).await
    );
}
