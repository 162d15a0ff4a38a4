//! A signed export, changed in every way an attacker or a bad disk could: it is refused, what is wrong is named, and the
//! store it was to enter is as it was.

use std::collections::BTreeMap;
use std::path::Path;

use quench_content::Store;
use quench_content::artefact::{Index, Manifest};
use quench_model::{Descriptor, Digest, annotation, media_type};
use quench_package::signing::{
    Algorithm, PublicKey, SignOptions, SigningKey, sign_package, verify_signatures,
};
use quench_package::{Context, Package, import_trusted, verify_file};
use tempfile::TempDir;

use crate::made::{self, files, key, package};

/// An empty store that changed files are to enter, and the key that must have signed them.
struct Victim {
    folder: TempDir,
    store: Store,
    keys: [PublicKey; 1],
}

impl Victim {
    fn new(key: &SigningKey) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = made::store(&folder);
        let keys = [key.public().unwrap()];
        Self {
            folder,
            store,
            keys,
        }
    }

    /// Why verifying refuses a file, and importing it for the same reason; none when both take it.
    async fn refuses(&self, bytes: &[u8]) -> Option<String> {
        let file = self.folder.path().join("changed.quench.tar");
        std::fs::write(&file, bytes).unwrap();
        let before = files(&self.folder.path().join("store"));
        let verified =
            verify_file(&file).and_then(|v| verify_signatures(&v, &self.keys).map(|_| ()));
        let context = Context::new(self.store.clone());
        let imported = import_trusted(&context, &file, &self.keys)
            .await
            .map(|_| ());
        let (verified, imported) = match (verified, imported) {
            (Ok(()), Ok(())) => return None,
            (Err(verified), Err(imported)) => (verified.to_string(), imported.to_string()),
            other => panic!("verify and import disagree: {other:?}"),
        };
        assert_eq!(verified, imported);
        assert_eq!(
            before,
            files(&self.folder.path().join("store")),
            "something was left in the store"
        );
        Some(verified)
    }
}

/// A signed package, its export, and the key.
async fn signed() -> (TempDir, Store, Package, SigningKey, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let package = package(&store, "demo", "1.0.0").await;
    let key = key(Algorithm::EcdsaP256);
    let options = SignOptions {
        recursive: true,
        identity: None,
    };
    sign_package(&store, &package, &key, &options)
        .await
        .unwrap();
    let bytes = exported(&store, &package, folder.path()).await;
    (folder, store, package, key, bytes)
}

async fn exported(store: &Store, package: &Package, folder: &Path) -> Vec<u8> {
    let file = folder.join("made.quench.tar");
    made::export(store, package, &file).await;
    std::fs::read(file).unwrap()
}

/// Where the parts of a tar begin: each header, each entry's content and padding, and the end.
fn parts(bytes: &[u8]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while bytes[at..].iter().take(512).any(|b| *b != 0) {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&bytes[at..at + 512]);
        let name = String::from_utf8(header.path_bytes().into_owned()).unwrap();
        found.push((
            name,
            at,
            usize::try_from(header.entry_size().unwrap()).unwrap(),
        ));
        at += 512 + found.last().unwrap().2.div_ceil(512) * 512;
    }
    found.push((String::new(), at, 0));
    found
}

/// The entries of an export.
fn entries(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (name, at, size) in parts(bytes) {
        if !name.is_empty() {
            found.insert(name, bytes[at + 512..at + 512 + size].to_vec());
        }
    }
    found
}

/// An export of these entries, in the form exports have: what a careful attacker writes.
fn packed(entries: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().div_ceil(512) * 512, 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Changes what `index.json` says is attached to a digest, with the list and the index rewritten to fit.
fn rewrite_referrers(
    entries: &mut BTreeMap<String, Vec<u8>>,
    subject: &Digest,
    change: impl FnOnce(&mut Vec<Descriptor>),
) {
    let mut index: Index = serde_json::from_slice(&entries["index.json"]).unwrap();
    let name = format!("sha256-{}", subject.hex());
    let place = index
        .manifests
        .iter()
        .position(|d| d.annotation(annotation::REF_NAME) == Some(&name))
        .unwrap();
    let old = index.manifests[place].clone();
    let mut list: Index =
        serde_json::from_slice(&entries.remove(&blob(&old.digest)).unwrap()).unwrap();
    change(&mut list.manifests);
    list.manifests.sort_by(|a, b| a.digest.cmp(&b.digest));
    if list.manifests.is_empty() {
        index.manifests.remove(place);
    } else {
        let bytes = serde_json::to_vec(&list).unwrap();
        let mut new = Descriptor::of(media_type::INDEX, &bytes);
        new.annotations = old.annotations;
        entries.insert(blob(&new.digest), bytes);
        index.manifests[place] = new;
    }
    entries.insert("index.json".to_owned(), serde_json::to_vec(&index).unwrap());
}

/// Removes every blob that nothing names any more, as a careful attacker would.
fn tidy(entries: &mut BTreeMap<String, Vec<u8>>) {
    loop {
        let all: Vec<String> = entries.keys().cloned().collect();
        // Only manifests and indexes name blobs; a signature's payload mentions its statement without naming it.
        let names = |text: &String| text.contains("\"layers\":") || text.contains("\"manifests\":");
        let texts: Vec<String> = entries
            .values()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .filter(names)
            .collect();
        let stray: Vec<String> = all
            .into_iter()
            .filter_map(|name| {
                let hex = name.strip_prefix("blobs/sha256/")?.to_owned();
                (!texts.iter().any(|text| text.contains(&hex))).then_some(name)
            })
            .collect();
        if stray.is_empty() {
            return;
        }
        for name in stray {
            entries.remove(&name);
        }
    }
}

#[tokio::test]
async fn a_byte_changed_in_any_region_is_noticed_and_named() {
    let (_folder, _store, _package, key, bytes) = signed().await;
    let victim = Victim::new(&key);
    let mut places = Vec::new();
    for (name, at, size) in parts(&bytes) {
        // The header: name, mode, owner, size, time, checksum, type, magic, and the unused rest.
        for offset in [0, 20, 100, 108, 116, 124, 136, 148, 156, 257, 300, 345, 511] {
            places.push((name.clone(), at + offset));
        }
        if size > 0 {
            for offset in [0, size / 2, size - 1] {
                places.push((name.clone(), at + 512 + offset));
            }
        }
        let end = at + 512 + size.div_ceil(512) * 512;
        if size % 512 != 0 {
            places.push((name.clone(), at + 512 + size));
            places.push((name.clone(), end - 1));
        }
    }
    places.push((String::new(), bytes.len() - 1));
    assert!(places.len() > 300, "{}", places.len());
    for (name, at) in places {
        for flip in [0x01, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let Some(reason) = victim.refuses(&changed).await else {
                panic!("byte {at}, in {name:?}, was changed and nobody noticed");
            };
            let names_it = reason.contains(&format!("{name:?}"))
                || reason.contains(&name)
                || reason.contains("byte ")
                || reason.contains("index.json");
            assert!(names_it, "byte {at} of {name:?}: {reason}");
        }
    }
    assert_eq!(victim.refuses(&bytes).await, None, "the unchanged file");
}

#[tokio::test]
async fn a_file_cut_anywhere_or_longer_than_it_was_is_refused() {
    let (_folder, _store, _package, key, bytes) = signed().await;
    let victim = Victim::new(&key);
    for block in (0..bytes.len()).step_by(512) {
        for at in [block, block + 1, block + 257] {
            let reason = victim.refuses(&bytes[..at.min(bytes.len() - 1)]).await;
            let reason = reason.unwrap_or_else(|| panic!("cut at {at} and nobody noticed"));
            assert!(
                ["too early", "does not end", "missing"]
                    .iter()
                    .any(|word| reason.contains(word)),
                "cut at {at}: {reason}"
            );
        }
    }
    for longer in [1, 511, 512, 10240] {
        let mut changed = bytes.clone();
        changed.resize(bytes.len() + longer, 0);
        assert!(
            victim.refuses(&changed).await.is_some(),
            "{longer} bytes more"
        );
    }
}

#[tokio::test]
async fn an_image_taken_out_with_everything_rewritten_is_missed() {
    let (folder, store, package, key, bytes) = signed().await;
    let victim = Victim::new(&key);
    for (position, image) in package.images.iter().enumerate() {
        // Only its bytes: what names them says so.
        let manifest = store.manifest(&image.descriptor).await.unwrap();
        for gone in [&manifest.layers[0].digest, &image.descriptor.digest] {
            let mut less = entries(&bytes);
            less.remove(&blob(gone));
            let reason = victim.refuses(&packed(&less)).await.unwrap();
            assert!(
                reason.contains(&gone.to_string()) && reason.contains("missing"),
                "{reason}"
            );
        }

        // From the revision too, which gets another digest: the lock still has it.
        let mut parts = package.advance(&store, package.level).await.unwrap();
        parts.previous.clone_from(&package.previous);
        let removed = parts.images.remove(position);
        let forged = Package::store(&store, parts).await.unwrap();
        let forged_bytes = exported_unchecked(&store, &forged, folder.path()).await;
        let reason = victim.refuses(&forged_bytes).await.unwrap();
        assert!(reason.contains(&removed.reference.to_string()), "{reason}");

        // From the lock as well: now only the signature can tell, and it does.
        let mut parts = forged.advance(&store, forged.level).await.unwrap();
        parts.previous.clone_from(&forged.previous);
        parts.lock.images.remove(&removed.reference.to_string());
        let forged = Package::store(&store, parts).await.unwrap();
        let forged_bytes = exported_unchecked(&store, &forged, folder.path()).await;
        let reason = victim.refuses(&forged_bytes).await.unwrap();
        assert!(reason.contains("not signed"), "{reason}");
    }
}

/// The export of a package that is not complete: export itself does not look at the lock.
async fn exported_unchecked(store: &Store, package: &Package, folder: &Path) -> Vec<u8> {
    exported(store, package, folder).await
}

#[tokio::test]
async fn an_attachment_taken_away_is_missed() {
    let (_folder, store, package, key, bytes) = signed().await;
    let victim = Victim::new(&key);
    let referrers = store
        .referrers(&package.revision.digest, None)
        .await
        .unwrap();
    assert_eq!(
        referrers.len(),
        5,
        "SBOM, findings, statement, bundle, signature"
    );
    let mut all: Vec<(Digest, Descriptor)> = referrers
        .into_iter()
        .map(|referrer| (package.revision.digest.clone(), referrer))
        .collect();
    // What was attached to the revision this one was made from is part of what was signed.
    let previous = package.previous.clone().unwrap();
    for referrer in store.referrers(&previous, None).await.unwrap() {
        all.push((previous.clone(), referrer));
    }
    assert_eq!(all.len(), 6);
    for (subject, gone) in all {
        let kind = gone.artifact_type.clone().unwrap();
        let mut less = entries(&bytes);
        rewrite_referrers(&mut less, &subject, |list| {
            list.retain(|referrer| referrer.digest != gone.digest);
        });
        if kind == media_type::FINDINGS {
            let mut index: Index = serde_json::from_slice(&less["index.json"]).unwrap();
            index.manifests.retain(|d| d.digest != gone.digest);
            less.insert("index.json".to_owned(), serde_json::to_vec(&index).unwrap());
        }
        tidy(&mut less);
        let reason = victim.refuses(&packed(&less)).await;
        let reason = reason.unwrap_or_else(|| panic!("{kind} was taken away and nobody noticed"));
        let expected = match kind.as_str() {
            media_type::COSIGN_SIGNATURE => "not signed",
            media_type::COSIGN_ATTESTATION => "the statement",
            media_type::SIGSTORE_BUNDLE => "the bundle",
            other => other,
        };
        assert!(reason.contains(expected), "{kind}: {reason}");
    }
}

#[tokio::test]
async fn a_signature_from_elsewhere_or_by_another_key_is_refused() {
    let (folder, store, package, key, bytes) = signed().await;
    let victim = Victim::new(&key);
    let other = made::package(&store, "other", "1.0.0").await;
    sign_package(&store, &other, &key, &SignOptions::default())
        .await
        .unwrap();
    let is_signature =
        |d: &Descriptor| d.artifact_type.as_deref() == Some(media_type::COSIGN_SIGNATURE);
    let signature_of = |digest: Digest| {
        let store = store.clone();
        async move {
            let all = store.referrers(&digest, None).await.unwrap();
            all.into_iter().find(is_signature).unwrap()
        }
    };

    // The signature of another package, made to say that it is attached to this one.
    let foreign = signature_of(other.revision.digest.clone()).await;
    let mut manifest: Manifest = store.manifest(&foreign).await.unwrap();
    let own = store
        .manifest(&signature_of(package.revision.digest.clone()).await)
        .await
        .unwrap();
    manifest.subject = own.subject.clone();
    let payload = store.read(&manifest.layers[0], 1 << 20).await.unwrap();
    let swapped = serde_json::to_vec(&manifest).unwrap();
    let mut descriptor = Descriptor::of(media_type::MANIFEST, &swapped);
    descriptor.artifact_type.clone_from(&manifest.artifact_type);
    let mut changed = entries(&bytes);
    changed.insert(blob(&descriptor.digest), swapped);
    changed.insert(blob(&manifest.layers[0].digest), payload);
    rewrite_referrers(&mut changed, &package.revision.digest, |list| {
        list.retain(|referrer| !is_signature(referrer));
        list.push(descriptor);
    });
    tidy(&mut changed);
    let reason = victim.refuses(&packed(&changed)).await.unwrap();
    assert!(
        reason.contains(&other.revision.digest.to_string())
            && reason.contains("taken from elsewhere"),
        "{reason}"
    );

    // The other package's signature as it is: it is not attached to this revision.
    let mut changed = entries(&bytes);
    let as_is = store.read(&foreign, 1 << 20).await.unwrap();
    let layer = store.manifest(&foreign).await.unwrap().layers[0].clone();
    changed.insert(blob(&foreign.digest), as_is);
    changed.insert(
        blob(&layer.digest),
        store.read(&layer, 1 << 20).await.unwrap(),
    );
    rewrite_referrers(&mut changed, &package.revision.digest, |list| {
        list.push(foreign.clone())
    });
    let reason = victim.refuses(&packed(&changed)).await.unwrap();
    assert!(
        reason.contains(&foreign.digest.to_string()) && reason.contains("not attached"),
        "{reason}"
    );

    // Signed again, by somebody else.
    let thief = made::key(Algorithm::EcdsaP256);
    let theirs = Victim::new(&thief);
    let reason = theirs.refuses(&bytes).await.unwrap();
    assert!(reason.contains("trusted key"), "{reason}");
    let stolen = tempfile::tempdir().unwrap();
    let stolen_store = made::store(&stolen);
    let package = made::package(&stolen_store, "demo", "1.0.0").await;
    sign_package(&stolen_store, &package, &thief, &SignOptions::default())
        .await
        .unwrap();
    let bytes = exported(&stolen_store, &package, folder.path()).await;
    let reason = victim.refuses(&bytes).await.unwrap();
    assert!(reason.contains("none of its 1 signatures"), "{reason}");
}
