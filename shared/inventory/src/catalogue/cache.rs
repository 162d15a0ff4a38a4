//! Inventories kept in the store's cache, by image and version of the cataloguer.

use std::io::Write;
use std::path::PathBuf;

use quench_content::Store;
use quench_model::Descriptor;

use crate::{CATALOGUER_VERSION, Inventory};

/// Inventories kept in the store's cache.
pub(super) struct Cache {
    path: PathBuf,
}

impl Cache {
    pub fn of(store: &Store, manifest: &Descriptor) -> Self {
        let folder = format!("inventories-{CATALOGUER_VERSION}");
        Self {
            path: store
                .cache_dir()
                .join(folder)
                .join(format!("{}.json", manifest.digest.hex())),
        }
    }

    /// The inventory, if a whole one of this image is there.
    pub fn load(&self, manifest: &Descriptor) -> Option<Inventory> {
        let bytes = std::fs::read(&self.path).ok()?;
        let inventory: Inventory = serde_json::from_slice(&bytes).ok()?;
        let fits = inventory.cataloguer == CATALOGUER_VERSION && inventory.image == manifest.digest;
        fits.then_some(inventory)
    }

    /// Keeps an inventory. The cache only saves time, so a failure is told and no more.
    pub fn keep(&self, inventory: &Inventory) {
        let write = || -> std::io::Result<()> {
            let folder = self.path.parent().unwrap_or(&self.path);
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec(inventory)?)?;
            file.persist(&self.path)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(path = %self.path.display(), %error, "cannot keep an inventory in the cache");
        }
    }
}
