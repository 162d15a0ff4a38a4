//! What is said about a minimised image: its package index and SBOMs, read from the result itself.

use quench_content::Store;
use quench_image::ImageError;
use quench_inventory::{CatalogueError, Inventory, SbomSubject, catalogue, cyclonedx, spdx};
use quench_model::{Descriptor, Level, media_type};
use quench_package::{Attachment, EngineError, PackageImage};

/// Documents about one platform's image, as they are stored.
pub(crate) struct Documents {
    pub inventory: Inventory,
    parts: Vec<(&'static str, Vec<u8>)>,
}

/// Catalogues a minimised image as any scanner would: by what is in it, not by what was decided.
pub(crate) async fn describe(
    store: &Store,
    image: &PackageImage,
    manifest: &Descriptor,
) -> Result<Documents, EngineError> {
    let reference = &image.reference;
    let unwritable = |error: &dyn std::fmt::Display| {
        EngineError::Input(format!("SBOM of image {reference}: {error}"))
    };
    let inventory = catalogue(store, manifest)
        .await
        .map_err(|error| match error {
            CatalogueError::Image(ImageError::Store(error)) => EngineError::Store(error),
            error => EngineError::Input(format!("minimised image {reference}: {error}")),
        })?;
    let subject = SbomSubject {
        reference,
        inventory: &inventory,
    };
    let cyclonedx = cyclonedx::document(&subject).map_err(|e| unwritable(&e))?;
    let spdx = spdx::document(&subject).map_err(|e| unwritable(&e))?;
    let bytes = |value: Result<Vec<u8>, serde_json::Error>| value.map_err(|e| unwritable(&e));
    let parts = vec![
        (
            media_type::PACKAGE_INDEX,
            bytes(serde_json::to_vec(&inventory))?,
        ),
        (
            media_type::CYCLONEDX,
            bytes(serde_json::to_vec(&cyclonedx))?,
        ),
        (media_type::SPDX, bytes(serde_json::to_vec(&spdx))?),
    ];
    Ok(Documents { inventory, parts })
}

impl Documents {
    /// Attaches them to a revision, under the manifest they speak of.
    pub async fn attach(&self, store: &Store, revision: &Descriptor) -> Result<(), EngineError> {
        for (kind, bytes) in &self.parts {
            Attachment::attach(
                store,
                revision,
                kind,
                Level::Minimized,
                Some(&self.inventory.image),
                bytes,
            )
            .await?;
        }
        Ok(())
    }
}
