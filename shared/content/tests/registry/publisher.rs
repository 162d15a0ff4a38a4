//! What is attached to an image, in registries of all ages.

use quench_content::artefact::Index;
use quench_content::{Attached, RegistryAccess, RegistryClient, Repository, StoreError};
use quench_model::{Descriptor, Digest, media_type};

use crate::server::{Answer, Scripted};

fn repository(server: &Scripted) -> Repository {
    RegistryClient::new(RegistryAccess::default())
        .unwrap()
        .repository(&server.host, "team/app")
}

fn subject() -> Digest {
    Digest::of("subject")
}

fn manifest(text: &str) -> Descriptor {
    Descriptor::of(media_type::MANIFEST, text)
}

fn index(text: &str) -> Answer {
    let body = serde_json::to_vec(&Index::of(vec![manifest(text)])).unwrap();
    Answer::of("200 OK", &[("Content-Type", media_type::INDEX)], &body)
}

async fn attached(server: &Scripted) -> Result<Vec<Attached>, StoreError> {
    repository(server).attached(&subject()).await
}

#[tokio::test]
async fn the_api_is_read_page_by_page_and_at_home() {
    let server = Scripted::start(|request| {
        let line = request.line().to_owned();
        if line.ends_with(&format!("/referrers/{}", subject())) {
            let body = serde_json::to_vec(&Index::of(vec![manifest("one")])).unwrap();
            let next = format!(
                "</v2/team/app/referrers/{}?page=2>; rel=\"next\"",
                subject()
            );
            return Answer::of("200 OK", &[("Link", &next)], &body);
        }
        if line.ends_with("?page=2") {
            let body = serde_json::to_vec(&Index::of(vec![manifest("two")])).unwrap();
            let away = "<http://198.51.100.1/v2/>; rel=\"next\"";
            return Answer::of("200 OK", &[("Link", away)], &body);
        }
        if line.ends_with(".sig") {
            let digest = Digest::of("signature").to_string();
            let headers = [
                ("Docker-Content-Digest", digest.as_str()),
                ("Content-Type", media_type::MANIFEST),
                ("Content-Length", "7"),
            ];
            return Answer::of("200 OK", &headers, b"");
        }
        Answer::of("404 Not Found", &[], b"")
    })
    .await;
    let found = attached(&server).await.unwrap();
    let digests: Vec<&Digest> = found.iter().map(|a| &a.descriptor.digest).collect();
    assert_eq!(
        digests,
        [
            &Digest::of("one"),
            &Digest::of("two"),
            &Digest::of("signature")
        ]
    );
    let tags: Vec<Option<String>> = found
        .iter()
        .map(|a| a.tag.as_ref().map(ToString::to_string))
        .collect();
    let signature = format!("sha256-{}.sig", subject().hex());
    assert_eq!(tags, [None, None, Some(signature)]);
    // A registry with the API is not asked for the fallback.
    let fallback = format!("/manifests/sha256-{}", subject().hex());
    assert!(
        server
            .seen()
            .iter()
            .all(|request| !request.line().ends_with(&fallback))
    );
}

#[tokio::test]
async fn without_the_api_the_fallback_index_is_read() {
    for status in [
        "404 Not Found",
        "405 Method Not Allowed",
        "403 Forbidden",
        "501 Not Implemented",
    ] {
        let server = Scripted::start(move |request| {
            let line = request.line();
            if line.contains("/referrers/") {
                return Answer::of(status, &[], b"<html>");
            }
            if line.ends_with(&format!("/manifests/sha256-{}", subject().hex())) {
                return index("listed");
            }
            Answer::of("404 Not Found", &[], b"")
        })
        .await;
        let found = attached(&server).await.unwrap();
        assert_eq!(found.len(), 1, "{status}");
        assert_eq!(found[0].descriptor.digest, Digest::of("listed"));
    }
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_is_no_registry_without_signatures() {
    let server = Scripted::start(|request| match request.line().contains("/referrers/") {
        true => Answer::of("429 Too Many Requests", &[("Retry-After", "600")], b""),
        false => Answer::of("404 Not Found", &[], b""),
    })
    .await;
    let error = attached(&server).await.unwrap_err();
    assert!(error.retry_after().is_some(), "{error}");
    let many: Vec<Descriptor> = (0..2000).map(|n| manifest(&n.to_string())).collect();
    let body = serde_json::to_vec(&Index::of(many)).unwrap();
    let server = Scripted::start(
        move |request| match request.line().contains("/referrers/") {
            true => Answer::of("200 OK", &[], &body),
            false => Answer::of("404 Not Found", &[], b""),
        },
    )
    .await;
    let error = attached(&server).await.unwrap_err().to_string();
    assert!(error.contains("at most 1000"), "{error}");
}
