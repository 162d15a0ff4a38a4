//! Registries that speak TLS.

use std::path::{Path, PathBuf};

use quench_content::{RegistryAccess, RegistryConfig, RegistryStore, Store};
use quench_model::media_type;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::server::Registry;

/// Writes a certificate authority and a certificate of it for the loopback address.
fn certificates(folder: &Path, name: &str) -> (PathBuf, PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&leaf_key, &issuer)
        .unwrap();
    let write = |ending: &str, text: String| {
        let path = folder.join(format!("{name}-{ending}.pem"));
        std::fs::write(&path, text).unwrap();
        path
    };
    (
        write("authority", authority.pem()),
        write("leaf", leaf.pem()),
        write("key", leaf_key.serialize_pem()),
    )
}

fn open(registry: &Registry, folder: &Path, access: RegistryAccess) -> Store {
    let config = RegistryConfig {
        repository: format!("{}/quench", registry.host),
        cache: folder.join("cache"),
        access,
    };
    Store::Registry(RegistryStore::open(config).unwrap())
}

#[tokio::test]
async fn a_registry_is_trusted_by_its_authority_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, leaf, key) = certificates(folder.path(), "own");
    let (foreign, ..) = certificates(folder.path(), "foreign");
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        leaf.display(),
        key.display()
    );
    let Some(registry) = Registry::start_with(&tls).await else {
        return;
    };
    let trusting = |path: &Path| RegistryAccess {
        ca_file: Some(path.to_owned()),
        ..RegistryAccess::default()
    };
    let store = open(&registry, folder.path(), trusting(&authority));
    let stored = store.put(media_type::REPORT, b"{}").await.unwrap();
    assert!(store.contains(&stored).await.unwrap());

    let error = open(&registry, folder.path(), trusting(&foreign))
        .contains(&stored)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("invalid peer certificate"),
        "{error}"
    );
    assert!(error.retry_after().is_none());

    let none = folder.path().join("none.pem");
    std::fs::write(&none, "nothing").unwrap();
    let config = RegistryConfig {
        repository: "127.0.0.1:1/quench".into(),
        cache: folder.path().join("cache"),
        access: trusting(&none),
    };
    let error = RegistryStore::open(config).unwrap_err();
    assert!(error.to_string().contains("none.pem"), "{error}");
}
