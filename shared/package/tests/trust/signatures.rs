//! Signatures and statements: in the forms cosign reads, made once, by the right key, about the right thing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quench_content::{RefName, Store};
use quench_model::{Descriptor, Digest, Severity, media_type};
use quench_package::signing::{
    Algorithm, SignOptions, Signatures, SignedKind, SigningKey, cosign_tags, sign_package,
    verify_signatures,
};
use quench_package::{Context, Package, VerifyError, import, verify_file, verify_package};

use crate::made::{self, file, find, key, openssl, package};

async fn verify(
    store: &Store,
    package: &Package,
    keys: &[&SigningKey],
) -> Result<Signatures, VerifyError> {
    let keys: Vec<_> = keys.iter().map(|key| key.public().unwrap()).collect();
    verify_signatures(&verify_package(store, package).await?, &keys)
}

/// The sigstore bundle attached to a digest, found as cosign finds it: by type and annotations of the referrer.
async fn bundle_of(store: &Store, subject: &Digest) -> Descriptor {
    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let found = store.referrers(subject, Some(kind)).await.unwrap();
    let [bundle] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        bundle.annotations,
        [
            ("dev.sigstore.bundle.content", "dsse-envelope"),
            (
                "dev.sigstore.bundle.predicateType",
                "https://sigstore.dev/cosign/sign/v1"
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    );
    let manifest = store.manifest(bundle).await.unwrap();
    assert_eq!(manifest.subject.unwrap().digest, *subject);
    assert_eq!(manifest.config.media_type, media_type::EMPTY);
    let [layer] = manifest.layers.as_slice() else {
        panic!("{:?}", manifest.layers);
    };
    assert_eq!(layer.media_type, kind);
    layer.clone()
}

/// The bytes within a PEM text.
fn pem_body(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

#[tokio::test]
async fn openssl_verifies_exactly_the_payload_and_the_statement() {
    for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
        let folder = tempfile::tempdir().unwrap();
        let store = made::store(&folder);
        let package = package(&store, "demo", "1.0.0").await;
        let key = key(algorithm);
        let signed = sign_package(&store, &package, &key, &SignOptions::default())
            .await
            .unwrap();
        let public = file(
            &folder,
            "key.pub",
            key.public().unwrap().to_pem().unwrap().as_bytes(),
        );
        let check = |message: &[u8], signature: &[u8]| {
            let message = file(&folder, "message", message);
            let signature = file(&folder, "signature", signature);
            let ecdsa = [
                "dgst",
                "-sha256",
                "-verify",
                &public,
                "-signature",
                &signature,
                &message,
            ];
            let ed25519 = [
                "pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin", "-in", &message,
                "-sigfile", &signature,
            ];
            match algorithm {
                Algorithm::EcdsaP256 => openssl("openssl_verifies", &ecdsa),
                Algorithm::Ed25519 => openssl("openssl_verifies", &ed25519),
            }
        };

        // The signature, as the cosign specification lays it out.
        let manifest = store.manifest(&signed.signature).await.unwrap();
        assert_eq!(manifest.subject.unwrap().digest, package.revision.digest);
        let layer = &manifest.layers[0];
        assert_eq!(
            layer.media_type,
            "application/vnd.dev.cosign.simplesigning.v1+json"
        );
        let payload = store.read(layer, 1 << 20).await.unwrap();
        let signature = STANDARD
            .decode(
                layer
                    .annotation("dev.cosignproject.cosign/signature")
                    .unwrap(),
            )
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let bundle = bundle_of(&store, &package.revision.digest).await;
        let statement = store.manifest(&signed.statement).await.unwrap().layers[0].clone();
        assert_eq!(
            json,
            serde_json::json!({
                "critical": {
                    "identity": {"docker-reference": "demo"},
                    "image": {"docker-manifest-digest": package.revision.digest},
                    "type": "cosign container image signature",
                },
                "optional": {
                    "quench.bundle": bundle.digest,
                    "quench.statement": statement.digest,
                },
            })
        );
        if check(&payload, &signature).is_none() {
            return;
        }
        assert_eq!(check(&payload, &signature), Some(true));
        let mut changed = payload.clone();
        changed[20] ^= 1;
        assert_eq!(check(&changed, &signature), Some(false));

        // The bundle has the members that one of cosign 3 has, signed with a key and no transparency log.
        let bytes = store.read(&bundle, 1 << 20).await.unwrap();
        let bundle: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let der = pem_body(&key.public().unwrap().to_pem().unwrap());
        let hint = STANDARD.encode(Digest::of(&der).as_bytes());
        let envelope = &bundle["dsseEnvelope"];
        assert_eq!(
            bundle,
            serde_json::json!({
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": {"publicKey": {"hint": hint}},
                "dsseEnvelope": {
                    "payload": envelope["payload"],
                    "payloadType": "application/vnd.in-toto+json",
                    "signatures": [{"sig": envelope["signatures"][0]["sig"]}],
                },
            })
        );
        let decode = |value: &serde_json::Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
        let body = decode(&envelope["payload"]);
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            said,
            serde_json::json!({
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{"name": "demo", "digest": {"sha256": package.revision.digest.hex()}}],
                "predicateType": "https://sigstore.dev/cosign/sign/v1",
                "predicate": {},
            })
        );
        let mut encoded =
            format!("DSSEv1 28 application/vnd.in-toto+json {} ", body.len()).into_bytes();
        encoded.extend_from_slice(&body);
        let signature = decode(&envelope["signatures"][0]["sig"]);
        assert_eq!(check(&encoded, &signature), Some(true));
        encoded[60] ^= 1;
        assert_eq!(check(&encoded, &signature), Some(false));

        // The statement, by the DSSE protocol, encoded here once more by hand.
        assert_eq!(
            statement.media_type,
            "application/vnd.dsse.envelope.v1+json"
        );
        let envelope = store.read(&statement, 1 << 20).await.unwrap();
        let envelope: serde_json::Value = serde_json::from_slice(&envelope).unwrap();
        assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
        let body = STANDARD
            .decode(envelope["payload"].as_str().unwrap())
            .unwrap();
        let signature = STANDARD
            .decode(envelope["signatures"][0]["sig"].as_str().unwrap())
            .unwrap();
        let mut encoded =
            format!("DSSEv1 28 application/vnd.in-toto+json {} ", body.len()).into_bytes();
        encoded.extend_from_slice(&body);
        assert_eq!(check(&encoded, &signature), Some(true));
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(said["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(said["predicateType"], "https://slsa.dev/provenance/v1");
        assert_eq!(
            said["subject"][0]["digest"]["sha256"],
            package.revision.digest.hex()
        );
        let definition = &said["predicate"]["buildDefinition"];
        assert_eq!(
            definition["resolvedDependencies"].as_array().unwrap().len(),
            3
        );
        assert_eq!(
            definition["internalParameters"]["levels"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        let attached = said["predicate"]["runDetails"]["byproducts"]
            .as_array()
            .unwrap();
        let kinds: Vec<_> = attached
            .iter()
            .map(|a| a["name"].as_str().unwrap())
            .collect();
        for kind in [
            media_type::CYCLONEDX,
            media_type::FINDINGS,
            media_type::LICENCES,
        ] {
            assert!(kinds.contains(&kind), "{kinds:?}");
        }
    }
}

#[tokio::test]
async fn signing_twice_changes_nothing_and_two_keys_sign_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let package = package(&store, "demo", "1.0.0").await;
    let (one, two) = (key(Algorithm::EcdsaP256), key(Algorithm::Ed25519));
    let options = SignOptions::default();
    let first = sign_package(&store, &package, &one, &options)
        .await
        .unwrap();
    let again = sign_package(&store, &package, &one, &options)
        .await
        .unwrap();
    assert_eq!(first, again);
    sign_package(&store, &package, &two, &options)
        .await
        .unwrap();
    let found = verify(&store, &package, &[&two, &one]).await.unwrap();
    let ids = [two.public().unwrap(), one.public().unwrap()].map(|key| key.id().clone());
    assert_eq!(found.keys, ids);
    assert_eq!(found.found, 2);
}

#[tokio::test]
async fn only_a_trusted_key_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let package = package(&store, "demo", "1.0.0").await;
    let (signer, other) = (key(Algorithm::EcdsaP256), key(Algorithm::EcdsaP256));
    let error = verify(&store, &package, &[&signer])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("not signed"), "{error}");
    assert_eq!(
        verify(&store, &package, &[]).await.unwrap(),
        Signatures::default()
    );
    sign_package(&store, &package, &signer, &SignOptions::default())
        .await
        .unwrap();
    let error = verify(&store, &package, &[&other])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("none of its 1 signatures")
            && error.contains(&other.public().unwrap().id().to_string()),
        "{error}"
    );
    // Whom to trust was not said: that there is a signature is all that is told.
    let unchecked = verify(&store, &package, &[]).await.unwrap();
    assert_eq!((unchecked.found, unchecked.keys.len()), (1, 0));
    // The key signed what came after, not what came before.
    let parts = package
        .advance(&store, quench_model::Level::Secured)
        .await
        .unwrap();
    let newer = Package::store(&store, parts).await.unwrap();
    assert!(verify(&store, &newer, &[&signer]).await.is_err());
}

#[tokio::test]
async fn a_signature_outlives_new_findings_but_not_a_lost_attachment() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let package = package(&store, "demo", "1.0.0").await;
    let key = key(Algorithm::EcdsaP256);
    sign_package(&store, &package, &key, &SignOptions::default())
        .await
        .unwrap();
    // A later advisory epoch replaces the findings.
    find(&store, &package, "b", Severity::High).await;
    assert!(verify(&store, &package, &[&key]).await.is_ok());

    let mut verified = verify_package(&store, &package).await.unwrap();
    let keys = [key.public().unwrap()];
    for kind in [media_type::CYCLONEDX, media_type::FINDINGS] {
        let mut less = verified.clone();
        less.referrers
            .retain(|(_, referrer)| referrer.artifact_type.as_deref() != Some(kind));
        let error = verify_signatures(&less, &keys).unwrap_err().to_string();
        assert!(error.contains(kind) && error.contains("missing"), "{error}");
    }
    verified
        .signed
        .retain(|document| document.kind != quench_package::signing::SignedKind::Envelope);
    let error = verify_signatures(&verified, &keys).unwrap_err().to_string();
    assert!(
        error.contains("the statement") && error.contains("missing"),
        "{error}"
    );
}

#[tokio::test]
async fn images_and_chart_are_signed_when_asked_and_that_travels() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let package = package(&store, "demo", "1.0.0").await;
    let key = key(Algorithm::EcdsaP256);
    let options = SignOptions {
        recursive: true,
        identity: None,
    };
    let signed = sign_package(&store, &package, &key, &options)
        .await
        .unwrap();
    assert_eq!(signed.manifests, 4, "revision, chart, two images");
    let export = folder.path().join("demo.quench.tar");
    made::export(&store, &package, &export).await;
    let in_file = verify_file(&export).unwrap();
    assert_eq!(in_file, verify_package(&store, &package).await.unwrap());
    let found = verify_signatures(&in_file, &[key.public().unwrap()]).unwrap();
    let mut parts: Vec<Digest> = package
        .images
        .iter()
        .map(|i| i.descriptor.digest.clone())
        .collect();
    parts.push(package.chart.manifest.digest.clone());
    parts.sort();
    assert_eq!(
        found.signed_parts.iter().cloned().collect::<Vec<_>>(),
        parts
    );

    let elsewhere = tempfile::tempdir().unwrap();
    let other = made::store(&elsewhere);
    let imported = import(&Context::new(other.clone()), &export).await.unwrap();
    let found = verify(&other, &imported.package, &[&key]).await.unwrap();
    assert_eq!((found.keys.len(), found.signed_parts.len()), (1, 3));

    // The bundles alone tell that too, as those of cosign 3 do.
    for part in &parts {
        bundle_of(&other, part).await;
    }
    let mut verified = verify_package(&other, &imported.package).await.unwrap();
    let revision = package.revision.digest.clone();
    verified.signed.retain(|document| {
        document.subject == revision || !matches!(document.kind, SignedKind::Signature { .. })
    });
    let found = verify_signatures(&verified, &[key.public().unwrap()]).unwrap();
    assert_eq!(found.signed_parts.into_iter().collect::<Vec<_>>(), parts);
    let stranger = [made::key(Algorithm::EcdsaP256).public().unwrap()];
    verified
        .signed
        .retain(|document| document.subject != revision);
    assert!(verify_signatures(&verified, &stranger).is_err());
}

#[tokio::test]
async fn the_tags_of_cosign_hold_every_signature_in_a_fixed_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let package = package(&store, "demo", "1.0.0").await;
    let subject = &package.revision.digest;
    assert!(cosign_tags(&store, [subject]).await.unwrap().is_empty());
    for key in [key(Algorithm::EcdsaP256), key(Algorithm::Ed25519)] {
        sign_package(&store, &package, &key, &SignOptions::default())
            .await
            .unwrap();
    }
    let tags = cosign_tags(&store, [subject]).await.unwrap();
    let names: Vec<String> = tags.iter().map(|tag| tag.name.to_string()).collect();
    let name = |suffix| format!("sha256-{}.{suffix}", subject.hex());
    assert_eq!(names, [name("sig"), name("att")]);
    for tag in &tags {
        let manifest = store.manifest(&tag.manifest).await.unwrap();
        assert_eq!(manifest.config.media_type, media_type::CONFIG);
        assert_eq!(manifest.layers.len(), 2);
        for layer in &manifest.layers {
            assert!(
                layer
                    .annotations
                    .contains_key("dev.cosignproject.cosign/signature")
            );
        }
    }
    assert_eq!(tags, cosign_tags(&store, [subject]).await.unwrap());
    // A signature that an image came with stays beside ours.
    let present = &tags[0];
    store
        .tag(&RefName::cosign(subject, "sig"), &present.manifest)
        .await
        .unwrap();
    assert_eq!(
        cosign_tags(&store, [subject]).await.unwrap()[0].manifest,
        present.manifest
    );
}
