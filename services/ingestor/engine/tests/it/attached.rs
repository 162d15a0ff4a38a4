//! Signatures, attestations and SBOMs that publishers attached to their images.

use std::path::Path;

use quench_content::artefact::{EMPTY_CONFIG, Index};
use quench_content::{RefName, RegistryAccess, RegistryClient, Repository};
use quench_ingestor_engine::source::ChartSource;
use quench_ingestor_engine::{Engine, EngineOptions, PackOptions, pack};
use quench_model::{Descriptor, Digest, Finding, FindingKind, media_type};
use quench_package::Destination;
use serde_json::{Value, json};
use time::macros::date;

use crate::integrate::push_for_two_platforms;
use crate::made::{DEPLOYMENT, chart, context, copy, have, layout, store};
use crate::server::Registry;

/// Pushes a manifest of one layer, with a field that no type of ours has; gives its descriptor.
async fn push(repository: &Repository, to: Option<&str>, sort: &str, more: Value) -> Descriptor {
    let folder = tempfile::tempdir().unwrap();
    let put = async |media_type: &str, bytes: &[u8]| {
        let path = folder.path().join("blob");
        std::fs::write(&path, bytes).unwrap();
        let descriptor = Descriptor::of(media_type, bytes);
        repository.push_blob(&descriptor, &path).await.unwrap();
        descriptor
    };
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": put(media_type::EMPTY, EMPTY_CONFIG).await,
        "layers": [put(sort, sort.as_bytes()).await],
        "zeta": {"unknown": true},
    });
    for (key, value) in more.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
    let descriptor = Descriptor::of(media_type::MANIFEST, &bytes);
    let digest = descriptor.digest.to_string();
    repository
        .push_manifest(to.unwrap_or(&digest), media_type::MANIFEST, &bytes)
        .await
        .unwrap();
    descriptor
}

async fn list(repository: &Repository, subject: &Digest, referrers: Vec<Descriptor>) {
    let bytes = serde_json::to_vec(&Index::of(referrers)).unwrap();
    repository
        .push_manifest(
            RefName::referrers(subject).as_str(),
            media_type::INDEX,
            &bytes,
        )
        .await
        .unwrap();
}

fn tag(subject: &Digest, suffix: &str) -> RefName {
    format!("{}.{suffix}", RefName::referrers(subject))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn what_publishers_attached_comes_along() {
    if !have(&["umoci", "skopeo", "helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let reference = push_for_two_platforms(folder.path(), &registry);
    let client = RegistryClient::new(RegistryAccess::default()).unwrap();
    let repository = client.repository(&registry.host, "team/multi");
    let (index, bytes) = repository.manifest("1").await.unwrap().unwrap();
    let platforms: Index = serde_json::from_slice(&bytes).unwrap();
    let amd64 = &platforms.manifests[0];

    let signature = tag(&index.digest, "sig");
    let attestation = tag(&amd64.digest, "att");
    let signed = push(
        &repository,
        Some(signature.as_str()),
        "application/vnd.dev.cosign.simplesigning.v1+json",
        json!({}),
    )
    .await;
    let attested = push(
        &repository,
        Some(attestation.as_str()),
        "application/vnd.dsse.envelope.v1+json",
        json!({}),
    )
    .await;
    let of_amd64 = json!({"subject": amd64, "artifactType": "application/spdx+json", "annotations": {"by": "them"}});
    let sbom = push(&repository, None, "application/spdx+json", of_amd64).await;
    // A signature over the SBOM, and something attached to that, in both ways.
    let countersigned = tag(&sbom.digest, "sig");
    let over_sbom = push(
        &repository,
        Some(countersigned.as_str()),
        "application/vnd.dev.cosign.simplesigning.v1+json",
        json!({"annotations": {"of": "sbom"}}),
    )
    .await;
    let stamp = json!({"subject": over_sbom, "artifactType": "application/vnd.example.stamp"});
    let stamp = push(&repository, None, "application/vnd.example.stamp", stamp).await;
    list(&repository, &over_sbom.digest, vec![stamp.clone()]).await;
    // Listed, but attached to something else.
    let stray = json!({"subject": index, "artifactType": "application/spdx+json"});
    let stray = push(&repository, None, "application/jose+json", stray).await;
    // A list may claim what it likes.
    let mut claimed = sbom.clone();
    claimed.artifact_type = Some("application/vnd.other".to_owned());
    list(&repository, &amd64.digest, vec![claimed, stray]).await;

    let here = store(&folder);
    let context = context(&here);
    let options = PackOptions::new(reference.parse().unwrap());
    let submission = pack(&options, date!(2026 - 01 - 01), &context)
        .await
        .unwrap();
    let engine = Engine::new(EngineOptions::default());
    let outcome = engine.run(&submission, &context).await.unwrap();
    assert_eq!(unread(&outcome.findings), Vec::<&Finding>::new());
    let package = outcome.package;
    assert_eq!(package.images[0].descriptor.digest, index.digest);

    let resolve = async |name: &RefName| here.resolve(name).unwrap().unwrap().digest;
    assert_eq!(resolve(&signature).await, signed.digest);
    assert_eq!(resolve(&attestation).await, attested.digest);
    assert_eq!(resolve(&countersigned).await, over_sbom.digest);
    let listed = context.store.referrers(&amd64.digest, None).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].digest, sbom.digest);
    assert_eq!(
        listed[0].artifact_type.as_deref(),
        Some("application/spdx+json")
    );
    assert_eq!(listed[0].annotations["by"], "them");
    // Whole, to the last layer, and the bytes they were.
    for manifest in [&signed, &attested, &sbom, &over_sbom, &stamp] {
        for part in quench_package::closure(&context.store, manifest)
            .await
            .unwrap()
        {
            context.store.verify(&part).await.unwrap();
        }
    }

    // And on to another store, by file.
    let file = folder.path().join("package.quench.tar");
    quench_package::export_file(&context, &package, None, &file)
        .await
        .unwrap();
    let other = tempfile::tempdir().unwrap();
    let there = store(&other);
    let elsewhere = crate::made::context(&there);
    let imported = quench_package::import(&elsewhere, &file).await.unwrap();
    assert_eq!(imported.package.revision, package.revision);
    assert_eq!(
        there.resolve(&signature).unwrap().unwrap().digest,
        signed.digest
    );
    assert_eq!(
        there.resolve(&attestation).unwrap().unwrap().digest,
        attested.digest
    );
    let listed = elsewhere
        .store
        .referrers(&amd64.digest, None)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].digest, sbom.digest);
    elsewhere.store.verify(&listed[0]).await.unwrap();
    assert_eq!(
        there.resolve(&countersigned).unwrap().unwrap().digest,
        over_sbom.digest
    );
    let stamps = elsewhere.store.referrers(&over_sbom.digest, None).await;
    assert_eq!(stamps.unwrap()[0].digest, stamp.digest);

    // And into another registry.
    let client = RegistryClient::new(RegistryAccess::default()).unwrap();
    let place = format!("{}/moved", registry.host);
    let destination = Destination::new(client.clone(), &place).unwrap();
    quench_package::push(&elsewhere, &imported.package, &destination)
        .await
        .unwrap();
    let moved = client.repository(&registry.host, "moved/team/multi");
    let found = moved.resolve(countersigned.as_str()).await.unwrap();
    assert_eq!(found.unwrap().digest, over_sbom.digest);
    let stamps = moved.attached(&over_sbom.digest).await.unwrap();
    assert_eq!(stamps[0].descriptor.digest, stamp.digest);
}

fn unread(findings: &[Finding]) -> Vec<&Finding> {
    let about = |finding: &&Finding| finding.canonical_id == "attachment-not-read";
    findings.iter().filter(about).collect()
}

/// An image with the given referrers; its manifest, and where it lies.
async fn image_with(
    folder: &Path,
    registry: &Registry,
    referrers: impl AsyncFnOnce(&Repository, &Descriptor) -> Vec<Descriptor>,
) -> (String, Descriptor) {
    let image = layout(folder, "app", "latest", "one");
    let reference = format!("{}/team/app:1", registry.host);
    copy(
        &format!("oci:{}:latest", image.display()),
        &format!("docker://{reference}"),
    );
    let client = RegistryClient::new(RegistryAccess::default()).unwrap();
    let repository = client.repository(&registry.host, "team/app");
    let manifest = repository.resolve("1").await.unwrap().unwrap();
    let referrers = referrers(&repository, &manifest).await;
    list(&repository, &manifest.digest, referrers).await;
    (reference, manifest)
}

#[tokio::test]
async fn what_is_attached_and_cannot_be_read_is_a_finding_of_the_image() {
    if !have(&["umoci", "skopeo", "helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut broken = Vec::new();
    let attach = async |repository: &Repository, image: &Descriptor| {
        let of_image = |mut more: Value| {
            more["subject"] = json!(image);
            more
        };
        let good = push(repository, None, "text/plain", of_image(json!({}))).await;
        let mut longer = push(repository, None, "text/x", of_image(json!({}))).await;
        longer.size += 1;
        // Its layer has another size than it says.
        let config =
            json!({"mediaType": media_type::EMPTY, "digest": Digest::of(EMPTY_CONFIG), "size": 3});
        let wrong = push(
            repository,
            None,
            "text/y",
            of_image(json!({"config": config})),
        )
        .await;
        broken = vec![longer.clone(), wrong.clone()];
        vec![good, longer, wrong]
    };
    let (reference, manifest) = image_with(folder.path(), &registry, attach).await;

    let here = store(&folder);
    let context = context(&here);
    let options = PackOptions::new(reference.parse().unwrap());
    let submission = pack(&options, date!(2026 - 01 - 01), &context)
        .await
        .unwrap();
    let engine = Engine::new(EngineOptions::default());
    let outcome = engine.run(&submission, &context).await.unwrap();
    let found = unread(&outcome.findings);
    let [finding] = found.as_slice() else {
        panic!("{:?}", outcome.findings);
    };
    assert_eq!(finding.kind, FindingKind::Completeness);
    assert!(finding.title.contains("2 things"), "{}", finding.title);
    assert!(finding.title.contains(&reference), "{}", finding.title);
    let evidence = format!("{:?}", finding.evidence);
    for attachment in &broken {
        let digest = attachment.digest.to_string();
        assert!(evidence.contains(&digest), "{digest}: {evidence}");
    }
    let listed = context
        .store
        .referrers(&manifest.digest, None)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    // And again from what was stored.
    let again = engine.run(&submission, &context).await.unwrap();
    assert!(again.replayed && unread(&again.findings).len() == 1);
}

#[tokio::test]
async fn attachments_on_attachments_are_followed_so_far_and_no_farther() {
    if !have(&["umoci", "skopeo", "helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut chain = Vec::new();
    let attach = async |repository: &Repository, image: &Descriptor| {
        let mut subject = image.clone();
        for link in 0..5 {
            let more = json!({"subject": subject, "annotations": {"link": link.to_string()}});
            subject = push(repository, None, "text/plain", more).await;
            chain.push(subject.clone());
        }
        for pair in chain.windows(2) {
            list(repository, &pair[0].digest, vec![pair[1].clone()]).await;
        }
        vec![chain[0].clone()]
    };
    let (reference, _) = image_with(folder.path(), &registry, attach).await;
    let context = context(&store(&folder));
    let options = PackOptions::new(reference.parse().unwrap());
    let submission = pack(&options, date!(2026 - 01 - 01), &context)
        .await
        .unwrap();
    let engine = Engine::new(EngineOptions::default());
    let outcome = engine.run(&submission, &context).await.unwrap();
    for (link, manifest) in chain.iter().enumerate() {
        let is_there = context.store.contains(manifest).await.unwrap();
        assert_eq!(is_there, link < 3, "link {link}");
    }
    let found = unread(&outcome.findings);
    assert!(
        format!("{:?}", found[0].evidence).contains(&chain[2].digest.to_string()),
        "{found:?}"
    );
}

/// Writes a manifest of one layer into a layout.
fn write(layout: &Path, sort: &str, more: Value) -> Descriptor {
    let put = |media_type: &str, bytes: &[u8]| {
        let descriptor = Descriptor::of(media_type, bytes);
        let path = layout.join("blobs/sha256").join(descriptor.digest.hex());
        std::fs::write(path, bytes).unwrap();
        descriptor
    };
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        // Cosign's signatures have the configuration of an image.
        "config": put(media_type::CONFIG, EMPTY_CONFIG),
        "layers": [put(sort, sort.as_bytes())],
    });
    if let Some(list) = more.as_array() {
        manifest = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": list});
    } else {
        for (key, value) in more.as_object().unwrap() {
            manifest[key] = value.clone();
        }
    }
    let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
    put(&media_type, &serde_json::to_vec_pretty(&manifest).unwrap())
}

#[tokio::test]
async fn what_lies_in_a_layout_beside_an_image_comes_along() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = layout(folder.path(), "app", "latest", "one");
    let read =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let mut index = read(&image.join("index.json"));
    let manifest: Descriptor = serde_json::from_value(index["manifests"][0].clone()).unwrap();

    let of_image = json!({"subject": manifest, "artifactType": "application/spdx+json"});
    let by_entry = write(&image, "application/spdx+json", of_image);
    let of_image = json!({"subject": manifest, "artifactType": "text/vex"});
    let by_list = write(&image, "text/vex", of_image);
    let list = write(&image, "", json!([by_list]));
    let signature = write(&image, "text/signature", json!({}));
    let over_sbom = write(&image, "text/over-sbom", json!({}));
    let saved = write(&image, "text/saved-by-cosign", json!({}));
    let stray = Descriptor::of(media_type::MANIFEST, b"elsewhere");
    let stray = json!({"subject": stray, "artifactType": "text/stray"});
    let stray = write(&image, "text/stray", stray);

    let fallback = RefName::referrers(&manifest.digest);
    let named =
        |descriptor: &Descriptor, key: &str, name: &str| descriptor.clone().annotated(key, name);
    const NAME: &str = "org.opencontainers.image.ref.name";
    let more = [
        named(&by_entry, "x", "y"),
        named(&list, NAME, fallback.as_str()),
        named(&signature, NAME, &format!("{fallback}.sig")),
        named(&over_sbom, NAME, tag(&by_entry.digest, "sig").as_str()),
        named(&saved, NAME, "latest").annotated("kind", "dev.cosignproject.cosign/atts"),
        named(&stray, "x", "y"),
    ];
    index["manifests"][0]["annotations"]["kind"] = "dev.cosignproject.cosign/image".into();
    let entries = index["manifests"].as_array_mut().unwrap();
    entries.extend(more.iter().map(|entry| json!(entry)));
    std::fs::write(image.join("index.json"), index.to_string()).unwrap();

    let here = store(&folder);
    let context = context(&here);
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let mut options = PackOptions::new(ChartSource::Folder(chart));
    options.images = vec![format!("oci:{}", image.display()).parse().unwrap()];
    let submission = pack(&options, date!(2026 - 01 - 01), &context)
        .await
        .unwrap();
    // What is attached to nothing that is here is left out.
    let table = &submission.parts.images;
    assert_eq!(table.attached.len(), 5, "{table:?}");
    // A fleet gets what a submission names.
    let sent = quench_package::closure(&context.store, &submission.descriptor)
        .await
        .unwrap();
    for attachment in [&by_entry, &by_list, &signature, &over_sbom, &saved] {
        assert!(sent.iter().any(|d| d.digest == attachment.digest));
    }
    let engine = Engine::new(EngineOptions::default());
    let package = engine.run(&submission, &context).await.unwrap().package;
    let referrers = context
        .store
        .referrers(&manifest.digest, None)
        .await
        .unwrap();
    let mut found: Vec<&Digest> = referrers.iter().map(|r| &r.digest).collect();
    found.sort();
    let mut expected = vec![&by_entry.digest, &by_list.digest];
    expected.sort();
    assert_eq!(found, expected);
    for (name, attached) in [
        (tag(&manifest.digest, "sig"), &signature),
        (tag(&manifest.digest, "att"), &saved),
        (tag(&by_entry.digest, "sig"), &over_sbom),
    ] {
        let there = here.resolve(&name).unwrap().unwrap();
        assert_eq!(there.digest, attached.digest, "{name}");
    }
    quench_package::verify_package(&context.store, &package)
        .await
        .unwrap();

    // What is listed and not there is no package.
    let hex = over_sbom.digest.hex();
    std::fs::remove_file(image.join("blobs/sha256").join(&hex)).unwrap();
    let error = pack(&options, date!(2026 - 01 - 01), &context)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&hex), "{error}");
}
