//! Writing an image as an OCI layout.

use std::path::Path;

use anyhow::{Context as _, Result};
use quench_content::{DirectoryStore, RefName, Store};
use quench_model::Descriptor;

use crate::exit::Failure;

/// Copies an image and all it names into a new OCI layout folder, which appears when it is whole.
///
/// # Errors
/// When the folder exists and is not empty, content is missing, or the folder cannot be written.
pub async fn write(store: &Store, image: &Descriptor, name: &RefName, folder: &Path) -> Result<()> {
    refuse_existing(folder)?;
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let staging = tempfile::Builder::new()
        .prefix(".quench-image-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot write to {}", parent.display()))?;
    let layout = DirectoryStore::open(staging.path())?;
    for descriptor in quench_package::closure(store, image).await? {
        let source = store.file(&descriptor).await?;
        let mut reader = std::fs::File::open(&source)
            .with_context(|| format!("cannot read {}", source.display()))?;
        let mut writer = layout.writer()?;
        std::io::copy(&mut reader, &mut writer)
            .with_context(|| format!("cannot write to {}", staging.path().display()))?;
        layout.commit_expected(writer, &descriptor, &store.place())?;
    }
    layout.tag(name, image)?;
    // What the store needs beside the layout is of no use to those who read the layout.
    for extra in ["staging", "cache"] {
        std::fs::remove_dir_all(staging.path().join(extra))
            .with_context(|| format!("cannot tidy {}", staging.path().display()))?;
    }
    std::fs::remove_file(staging.path().join(".lock"))
        .with_context(|| format!("cannot tidy {}", staging.path().display()))?;
    publish(staging, folder)
}

/// Refuses a folder that exists and holds something.
///
/// # Errors
/// When it does.
pub fn refuse_existing(folder: &Path) -> Result<()> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failure::usage(format!(
                "{} is not empty; choose a new folder",
                folder.display()
            ))),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot use {}", folder.display())),
    }
}

fn publish(staging: tempfile::TempDir, folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // A temporary folder is private; what the user asked for follows the usual mode.
    std::fs::set_permissions(staging.path(), std::fs::Permissions::from_mode(0o755))
        .and_then(|()| std::fs::rename(staging.path(), folder))
        .with_context(|| format!("cannot write {}", folder.display()))?;
    // The folder has its final name now: there is nothing left to remove.
    let _renamed = staging.keep();
    Ok(())
}
