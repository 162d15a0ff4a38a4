//! The demo's image, made of Debian packages (`QUENCH_DEMO_IMAGE`, an OCI layout); skips loudly without. Where `umoci` is
//! on PATH and the test runs as root, the tree is compared with what umoci unpacks.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use quench_content::artefact::Index;
use quench_content::{DirectoryStore, Store};
use quench_image::{Image, Kind, facts};
use quench_model::media_type;

fn layout() -> Option<PathBuf> {
    let layout = std::env::var_os("QUENCH_DEMO_IMAGE").map(PathBuf::from);
    if layout.is_none() {
        eprintln!("SKIPPED: QUENCH_DEMO_IMAGE names no OCI layout of the demo image");
    }
    layout
}

async fn open(layout: &Path, folder: &Path) -> Image {
    let store = Store::Directory(DirectoryStore::open(folder).unwrap());
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let bytes = std::fs::read(blob.unwrap().path()).unwrap();
        store.put(media_type::LAYER_GZIP, &bytes).await.unwrap();
    }
    let index = std::fs::read(layout.join("index.json")).unwrap();
    let index: Index = serde_json::from_slice(&index).unwrap();
    Image::open(&store, &index.manifests[0]).await.unwrap()
}

#[tokio::test]
async fn facts_are_read_from_the_image_itself() {
    let Some(layout) = layout() else { return };
    let folder = tempfile::tempdir().unwrap();
    let image = open(&layout, folder.path()).await;
    let facts = facts(&image);
    assert_eq!((facts.uid, facts.gid), (Some(33), Some(33)));
    assert_eq!(facts.entrypoint, Some(vec!["/usr/sbin/nginx".to_owned()]));
    assert_eq!(facts.entrypoint_privileged, Some(false));
    assert_eq!(facts.entrypoint_switches_user, Some(false));
    let writable = facts.writable.unwrap();
    let paths: Vec<_> = writable.iter().map(|path| path.path()).collect();
    assert_eq!(paths, ["/run", "/tmp", "/var/lib/nginx", "/var/tmp"]);
    assert!(writable.iter().all(|path| !path.copy_up()));
}

#[tokio::test]
async fn the_tree_is_what_another_tool_unpacks() {
    let Some(layout) = layout() else { return };
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !root {
        eprintln!("SKIPPED: unpacking owners and devices needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let index: Index =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let name = &index.manifests[0].annotations["org.opencontainers.image.ref.name"];
    // umoci takes only plain tags: it gets a copy in which the image has one.
    let copy = folder.path().join("layout");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&layout)
        .arg(&copy)
        .status();
    assert!(copied.unwrap().success());
    let text = std::fs::read_to_string(copy.join("index.json")).unwrap();
    std::fs::write(copy.join("index.json"), text.replace(name, "demo")).unwrap();
    let image = format!("{}:demo", copy.display());
    match Command::new("umoci")
        .args(["unpack", "--image", &image])
        .arg(&bundle)
        .output()
    {
        Ok(told) if told.status.success() => {}
        Ok(told) => panic!("{}", String::from_utf8_lossy(&told.stderr)),
        Err(_) => {
            eprintln!("SKIPPED: umoci is not on PATH");
            return;
        }
    }
    let image = open(&layout, &folder.path().join("store")).await;
    let ours: BTreeMap<String, String> = image
        .tree()
        .iter()
        .map(|entry| {
            let kind = match entry.kind() {
                Kind::File => format!("file {}", entry.size()),
                Kind::Folder => "folder".to_owned(),
                Kind::Symlink => format!("link to {}", entry.target().unwrap()),
                _ => "other".to_owned(),
            };
            let mode = if entry.is_symlink() {
                0o777
            } else {
                entry.mode()
            };
            let told = format!("{kind} {mode:o} {} {}", entry.uid(), entry.gid());
            (entry.path(), told)
        })
        .collect();
    let rootfs = bundle.join("rootfs");
    let mut theirs = BTreeMap::new();
    let mut pending = vec![rootfs.clone()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let kind = if meta.is_dir() {
                pending.push(path.clone());
                "folder".to_owned()
            } else if meta.is_symlink() {
                format!("link to {}", std::fs::read_link(&path).unwrap().display())
            } else if meta.file_type().is_fifo() || meta.file_type().is_char_device() {
                "other".to_owned()
            } else {
                format!("file {}", meta.len())
            };
            let mode = meta.mode() & 0o7777;
            let told = format!("{kind} {mode:o} {} {}", meta.uid(), meta.gid());
            let inside = path.strip_prefix(&rootfs).unwrap();
            theirs.insert(format!("/{}", inside.display()), told);
        }
    }
    assert!(theirs.len() > 5000);
    for (path, told) in &theirs {
        assert_eq!(ours.get(path), Some(told), "{path}");
    }
    assert_eq!(ours.len(), theirs.len());
}
