//! Registries that break off, lie, stall, refuse and lead astray.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quench_content::{
    Credentials, DirectoryStore, RegistryAccess, RegistryClient, Repository, Sent, Store,
    StoreError,
};
use quench_model::{Descriptor, media_type};

use crate::server::{Answer, Request, Scripted};

const BLOB: &[u8] = &[7; 300_000];

fn repository(server: &Scripted) -> Repository {
    with(server, RegistryAccess::default())
}

fn with(server: &Scripted, access: RegistryAccess) -> Repository {
    let access = RegistryAccess {
        stall: Some(Duration::from_millis(400)),
        ..access
    };
    RegistryClient::new(access)
        .unwrap()
        .repository(&server.host, "team/app")
}

fn blob() -> Descriptor {
    Descriptor::of(media_type::LAYER, BLOB)
}

/// Downloads the blob into a fresh store and checks that nothing is left behind on failure.
async fn download(repository: &Repository) -> Result<bool, StoreError> {
    let folder = tempfile::tempdir().unwrap();
    let directory = DirectoryStore::open(folder.path()).unwrap();
    let store = Store::Directory(directory.clone());
    let result = repository.download(&blob(), &store, &|_| ()).await;
    let result = match result {
        Ok(Some(writer)) => store
            .commit_expected(writer, &blob(), "test")
            .await
            .map(|()| true),
        Ok(None) => Ok(false),
        Err(error) => Err(error),
    };
    assert_eq!(directory.contains(&blob()), matches!(result, Ok(true)));
    let staged = std::fs::read_dir(folder.path().join("staging")).unwrap();
    assert_eq!(staged.count(), 0);
    result
}

fn part(from: usize, to: usize) -> Answer {
    let length = (BLOB.len() - from).to_string();
    let range = format!("bytes {from}-{}/{}", BLOB.len() - 1, BLOB.len());
    let (status, mut headers) = match from {
        0 => ("200 OK", vec![]),
        _ => (
            "206 Partial Content",
            vec![("Content-Range", range.as_str())],
        ),
    };
    headers.push(("Content-Length", &length));
    Answer::of(status, &headers, &BLOB[from..to])
}

fn range_start(request: &Request) -> usize {
    request
        .header("range")
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_broke() {
    let server = Scripted::start(|request| {
        let from = range_start(request);
        part(from, (from + 100_000).min(BLOB.len()))
    })
    .await;
    assert!(download(&repository(&server)).await.unwrap());
    let seen = server.seen();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(range_start(&seen[2]), 200_000);
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_from_the_beginning() {
    let calls = Arc::new(AtomicUsize::new(0));
    let server = Scripted::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => part(0, 150_000),
        _ => part(0, BLOB.len()),
    })
    .await;
    assert!(download(&repository(&server)).await.unwrap());
}

#[tokio::test]
async fn a_stalled_transfer_is_given_up_and_taken_up_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let server = Scripted::start(move |request| {
        let from = range_start(request);
        match (
            calls.fetch_add(1, Ordering::SeqCst),
            part(from, (from + 9_000).min(BLOB.len())),
        ) {
            (0, Answer::Raw(bytes)) => Answer::ThenSilence(bytes),
            _ => part(from, BLOB.len()),
        }
    })
    .await;
    let began = Instant::now();
    assert!(download(&repository(&server)).await.unwrap());
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_registry_that_never_answers_is_an_error_to_retry() {
    let server = Scripted::start(|_| Answer::ThenSilence(Vec::new())).await;
    let error = tokio::time::timeout(Duration::from_secs(60), download(&repository(&server)))
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.retry_after().is_some(), "{error}");
    assert!(error.to_string().contains("no byte"), "{error}");
}

#[tokio::test]
async fn other_bytes_than_named_are_refused_for_good() {
    let server = Scripted::start(|_| Answer::of("200 OK", &[], &[8; 300_000])).await;
    let error = download(&repository(&server)).await.unwrap_err();
    assert!(matches!(error, StoreError::WrongDigest { .. }), "{error}");
    assert!(error.retry_after().is_none());

    let server = Scripted::start(|_| Answer::of("200 OK", &[], &[7; 300_001])).await;
    let error = download(&repository(&server)).await.unwrap_err();
    assert!(matches!(error, StoreError::WrongSize { .. }), "{error}");

    let server = Scripted::start(|_| Answer::of("200 OK", &[], &[7; 299_999])).await;
    let error = download(&repository(&server)).await.unwrap_err();
    assert!(matches!(error, StoreError::WrongSize { .. }), "{error}");
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let sent = vec![7; 8 << 20];
    let server = Scripted::start(move |_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        bytes.write_all(&sent).unwrap();
        Answer::ThenSilence(bytes)
    })
    .await;
    let error = download(&repository(&server)).await.unwrap_err();
    assert!(matches!(error, StoreError::WrongSize { .. }), "{error}");
    let error = repository(&server).manifest("v1").await.unwrap_err();
    assert!(
        error.to_string().contains("more than the 4194304 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn a_busy_registry_gets_the_time_it_asks_for() {
    let calls = Arc::new(AtomicUsize::new(0));
    let server = Scripted::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::of("429 Too Many Requests", &[("Retry-After", "1")], b""),
        1 => Answer::of("503 Service Unavailable", &[], b""),
        _ => part(0, BLOB.len()),
    })
    .await;
    let began = Instant::now();
    assert!(download(&repository(&server)).await.unwrap());
    assert!(began.elapsed() >= Duration::from_secs(1));

    // Longer waits are for whoever runs the job.
    let server = Scripted::start(|_| {
        let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#;
        Answer::of("429 Too Many Requests", &[("Retry-After", "600")], body)
    })
    .await;
    let error = download(&repository(&server)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(600)));
    assert!(error.to_string().contains("pull rate limit"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_registry_leads_nobody_to_what_lies_deeper_in_the_network() {
    for target in [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://0.0.0.0:1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
    ] {
        let server = Scripted::start(move |_| {
            Answer::of("307 Temporary Redirect", &[("Location", target)], b"")
        })
        .await;
        let error = download(&repository(&server)).await.unwrap_err();
        assert!(error.to_string().contains("refused"), "{target}: {error}");
        assert!(error.retry_after().is_none());
    }
}

#[tokio::test]
async fn redirects_are_followed_without_the_registrys_permission_and_not_forever() {
    let storage = Scripted::start(|_| Answer::of("200 OK", &[], BLOB)).await;
    let there = format!("http://{}/storage", storage.host);
    let server = Scripted::start(move |request| match request.header("authorization") {
        Some(_) => Answer::of("307 Temporary Redirect", &[("Location", &there)], b""),
        None => Answer::of(
            "401 Unauthorized",
            &[("WWW-Authenticate", "Basic realm=\"r\"")],
            b"",
        ),
    })
    .await;
    let access = RegistryAccess {
        credentials: Credentials::Basic {
            user: "u".into(),
            password: "p".into(),
        },
        ..RegistryAccess::default()
    };
    assert!(download(&with(&server, access)).await.unwrap());
    assert_eq!(storage.seen().len(), 1);
    assert_eq!(storage.seen()[0].header("authorization"), None);

    let server = Scripted::start(|_| Answer::of("302 Found", &[("Location", "/again")], b"")).await;
    let error = download(&repository(&server)).await.unwrap_err();
    assert!(error.to_string().contains("redirects more than"), "{error}");
}

#[tokio::test]
async fn tokens_are_asked_for_once_and_for_what_is_needed() {
    let token = Scripted::start(|request| {
        assert_eq!(request.header("authorization"), Some("Basic dTpw"));
        Answer::of("200 OK", &[], br#"{"token":"abc"}"#)
    })
    .await;
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"reg\",scope=\"repository:other:pull\"",
        token.host
    );
    let server = Scripted::start(move |request| match request.header("authorization") {
        Some("Bearer abc") => Answer::of("200 OK", &[], BLOB),
        _ => Answer::of("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b""),
    })
    .await;
    let access = RegistryAccess {
        credentials: Credentials::Basic {
            user: "u".into(),
            password: "p".into(),
        },
        ..RegistryAccess::default()
    };
    let repository = with(&server, access);
    assert!(download(&repository).await.unwrap());
    assert!(download(&repository).await.unwrap());
    assert_eq!(token.seen().len(), 1);
    assert_eq!(
        token.seen()[0].line(),
        "GET /token?scope=repository%3Ateam%2Fapp%3Apull&service=reg"
    );
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_is_not_repeated() {
    let server = Scripted::start(|_| {
        Answer::of(
            "401 Unauthorized",
            &[("WWW-Authenticate", "Basic realm=\"r\"")],
            b"",
        )
    })
    .await;
    let access = RegistryAccess {
        credentials: Credentials::Anonymous,
        ..RegistryAccess::default()
    };
    let error = download(&with(&server, access)).await.unwrap_err();
    assert!(error.to_string().contains("docker login"), "{error}");
    assert!(error.retry_after().is_none());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn pages_of_tags_are_read_to_the_last_and_only_at_home() {
    let server = Scripted::start(|request| match request.line() {
        "GET /v2/team/app/tags/list?n=1000" => Answer::of(
            "200 OK",
            &[(
                "Link",
                "</v2/team/app/tags/list?n=1000&last=b>; rel=\"next\"",
            )],
            br#"{"name":"team/app","tags":["a","b"]}"#,
        ),
        "GET /v2/team/app/tags/list?n=1000&last=b" => {
            Answer::of("200 OK", &[], br#"{"name":"team/app","tags":["c"]}"#)
        }
        other => panic!("{other}"),
    })
    .await;
    assert_eq!(repository(&server).tags().await.unwrap(), ["a", "b", "c"]);

    let server = Scripted::start(|_| {
        let link = "<http://127.0.0.2:1/v2/tags>; rel=\"next\"";
        Answer::of("200 OK", &[("Link", link)], br#"{"tags":["a"]}"#)
    })
    .await;
    let error = repository(&server).tags().await.unwrap_err();
    assert!(error.to_string().contains("another host"), "{error}");
}

#[tokio::test]
async fn an_upload_whose_session_ends_begins_anew() {
    let puts = Arc::new(AtomicUsize::new(0));
    let server = Scripted::start(move |request| {
        let line = request.line();
        if line.starts_with("HEAD ") {
            Answer::of("404 Not Found", &[], b"")
        } else if line.starts_with("POST ") {
            Answer::of("202 Accepted", &[("Location", "/upload/1?state=x")], b"")
        } else {
            assert!(
                line.starts_with("PUT /upload/1?state=x&digest=sha256%3A"),
                "{line}"
            );
            match puts.fetch_add(1, Ordering::SeqCst) {
                0 => Answer::of("404 Not Found", &[], b""),
                1 => Answer::of("503 Service Unavailable", &[], b""),
                _ => Answer::of("201 Created", &[], b""),
            }
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    // Small enough to be sent before the server, which does not read bodies, closes the connection.
    std::fs::write(&path, b"blob").unwrap();
    let descriptor = Descriptor::of(media_type::LAYER, b"blob");
    repository(&server)
        .push_blob(&descriptor, &path)
        .await
        .unwrap();
    let begun = server
        .seen()
        .iter()
        .filter(|r| r.line().starts_with("POST "))
        .count();
    assert_eq!(begun, 3);
}

#[tokio::test]
async fn a_blob_is_mounted_where_the_registry_mounts_and_sent_where_it_does_not() {
    for mounts in [true, false] {
        let server = Scripted::start(move |request| {
            let line = request.line();
            if line.starts_with("HEAD ") {
                Answer::of("404 Not Found", &[], b"")
            } else if line.contains("?mount=sha256%3A") {
                assert!(line.ends_with("&from=other%2Frepository"), "{line}");
                match mounts {
                    true => Answer::of("201 Created", &[], b""),
                    // Not mounted: a session for the bytes, which nobody has to use.
                    false => Answer::of("202 Accepted", &[("Location", "/upload/unused")], b""),
                }
            } else if line.starts_with("POST ") {
                Answer::of("202 Accepted", &[("Location", "/upload/1")], b"")
            } else {
                assert!(line.starts_with("PUT /upload/1?"), "{line}");
                Answer::of("201 Created", &[], b"")
            }
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        std::fs::write(&path, b"blob").unwrap();
        let descriptor = Descriptor::of(media_type::LAYER, b"blob");
        let sent = repository(&server)
            .send_blob(&descriptor, &path, Some("other/repository"))
            .await
            .unwrap();
        let expected = if mounts {
            Sent::Mounted
        } else {
            Sent::Uploaded
        };
        assert_eq!(sent, expected);
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_says_why() {
    let server = Scripted::start(|request| match request.line().split(' ').next() {
        Some("HEAD") => Answer::of("404 Not Found", &[], b""),
        _ => Answer::of(
            "403 Forbidden",
            &[],
            br#"{"errors":[{"code":"DENIED","message":"requested access is denied"}]}"#,
        ),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    std::fs::write(&path, b"blob").unwrap();
    let descriptor = Descriptor::of(media_type::LAYER, b"blob");
    let error = repository(&server)
        .push_blob(&descriptor, &path)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("DENIED requested access is denied"),
        "{error}"
    );
    assert!(error.retry_after().is_none());
}
