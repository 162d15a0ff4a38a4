//! The loader check: every ELF file of the new image finds what it found in the old one.

use std::collections::BTreeSet;

use quench_image::{Entry, Tree};

use crate::elf::Elf;
use crate::libraries::Libraries;

/// Why the loader would fail in the new image where it did not in the old one; nothing when it would not.
pub(crate) fn loader(original: &Tree, minimized: &Tree) -> Vec<String> {
    let before = Libraries::of(original, []);
    let after = Libraries::of(minimized, []);
    let mut failures = Vec::new();
    // Libraries that only their users' paths lead to: a name that is there counts as found.
    let names = |tree: &Tree, libraries: &Libraries<'_>| -> BTreeSet<String> {
        tree.iter()
            .filter(|entry| entry.is_file() && entry.name().contains(".so"))
            .filter_map(|entry| libraries.elf(entry)?.soname.clone())
            .collect()
    };
    let known = names(minimized, &after);
    let known_before = names(original, &before);
    for entry in minimized.iter().filter(Entry::is_file) {
        let Some(elf) = after.elf(entry) else {
            continue;
        };
        if !elf.dynamic {
            continue;
        }
        let path = entry.path();
        let Ok(old) = original.resolve(&path) else {
            continue;
        };
        if let Some(interpreter) = &elf.interpreter
            && minimized.resolve(interpreter).is_err()
            && original.resolve(interpreter).is_ok()
        {
            failures.push(format!("{path} lost its loader {interpreter}"));
        }
        for name in &elf.needed {
            match after.find(name, entry, &elf, &[]) {
                Some(found) => {
                    let library = after.elf(found.entry);
                    let lost = library.and_then(|library| lost_version(&elf, name, &library));
                    if let Some(version) = lost {
                        let here = found.entry.path();
                        let there = before
                            .find(name, old.entry, &elf, &[])
                            .map(|found| found.entry.path());
                        // The same library lacked it before: the image came that way.
                        if there.as_deref() != Some(here.as_str()) {
                            failures.push(format!(
                                "{path} needs {version} of {name}, which {here} does not have"
                            ));
                        }
                    }
                }
                None if known.contains(name) => {}
                None => {
                    let had = before.find(name, old.entry, &elf, &[]).is_some()
                        || known_before.contains(name);
                    if had {
                        failures.push(format!("{path} lost its library {name}"));
                    }
                }
            }
        }
    }
    failures
}

/// A symbol version that a library lacks.
fn lost_version<'a>(elf: &'a Elf, name: &str, library: &Elf) -> Option<&'a str> {
    elf.versions_needed
        .iter()
        .find(|(of, version)| of == name && !library.versions_defined.contains(version))
        .map(|(_, version)| version.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quench_content::artefact::Manifest;
    use quench_content::{DirectoryStore, Store};
    use quench_image::{Image, LayerEntry, LayerWriter};
    use quench_model::media_type;

    use super::*;

    async fn image(store: &Store, files: &BTreeMap<String, Vec<u8>>) -> Image {
        let mut writer = LayerWriter::new(store.writer().unwrap());
        for (path, bytes) in files {
            let entry = LayerEntry::file(path.as_bytes(), 0o755, bytes.len() as u64);
            writer.push(&entry, &mut bytes.as_slice()).unwrap();
        }
        let layer = writer.finish().unwrap();
        let blob = store
            .commit(layer.out, media_type::LAYER_GZIP)
            .await
            .unwrap();
        let config = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}});
        let mut manifest = Manifest::artefact("", vec![blob]);
        manifest.artifact_type = None;
        manifest.config = store.put_json(media_type::CONFIG, &config).await.unwrap();
        let manifest = store.put_manifest(&manifest).await.unwrap();
        Image::open(store, &manifest).await.unwrap()
    }

    /// Every file that `ls` of this machine is started with, taken away one by one, is missed; nothing is missed else.
    #[tokio::test]
    async fn each_lost_library_and_loader_is_told() {
        let Ok(told) = std::process::Command::new("ldd").arg("/bin/ls").output() else {
            eprintln!("SKIPPED: ldd is not on this machine");
            return;
        };
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let mut files: BTreeMap<String, Vec<u8>> = told
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
            .map(|path| (path.to_owned(), std::fs::read(path).unwrap()))
            .collect();
        files.insert("/bin/ls".to_owned(), std::fs::read("/bin/ls").unwrap());
        assert!(files.len() > 2, "{told}");
        let folder = tempfile::tempdir().unwrap();
        let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
        let whole = image(&store, &files).await;
        assert_eq!(loader(whole.tree(), whole.tree()), Vec::<String>::new());
        for path in files.keys().filter(|path| *path != "/bin/ls") {
            let mut fewer = files.clone();
            fewer.remove(path);
            let less = image(&store, &fewer).await;
            let failures = loader(whole.tree(), less.tree());
            let name = path.rsplit('/').next().unwrap();
            assert!(
                failures.iter().any(|failure| failure.contains(name)),
                "{path}: {failures:?}"
            );
            // What was never there is not missed.
            assert_eq!(loader(less.tree(), less.tree()), Vec::<String>::new());
        }
    }
}
