//! Signatures, attestations and SBOMs that publishers attached to their images.

use quench_content::artefact::{EMPTY_CONFIG, Index};
use quench_content::{RefName, RegistryAccess, RegistryClient, Repository};
use quench_ingestor_engine::{Engine, EngineOptions, PackOptions, pack};
use quench_model::{Descriptor, Digest, media_type};
use serde_json::{Value, json};
use time::macros::date;

use crate::integrate::push_for_two_platforms;
use crate::made::{context, have, store};
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
    let package = engine.run(&submission, &context).await.unwrap().package;
    assert_eq!(package.images[0].descriptor.digest, index.digest);

    let resolve = async |name: &RefName| here.resolve(name).unwrap().unwrap().digest;
    assert_eq!(resolve(&signature).await, signed.digest);
    assert_eq!(resolve(&attestation).await, attested.digest);
    let listed = context.store.referrers(&amd64.digest, None).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].digest, sbom.digest);
    assert_eq!(
        listed[0].artifact_type.as_deref(),
        Some("application/spdx+json")
    );
    assert_eq!(listed[0].annotations["by"], "them");
    // Whole, to the last layer, and the bytes they were.
    for manifest in [&signed, &attested, &sbom] {
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
}
