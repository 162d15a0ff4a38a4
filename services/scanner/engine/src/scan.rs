//! One platform's image: catalogue, documents, findings.

use std::sync::Arc;
use std::time::Duration;

use quench_advisories::Epoch;
use quench_content::{Store, blocking};
use quench_image::ImageConfig;
use quench_inventory::{Evaluation, Inventory, SbomSubject, catalogue, cyclonedx, evaluate, spdx};
use quench_model::{CauseKind, Descriptor, Finding, Level};
use quench_package::{EngineError, Package, PackageImage};

use crate::configuration;
use crate::engine::unreadable;

/// What is known of one platform's image.
pub(crate) struct PlatformScan {
    /// Its software.
    pub inventory: Inventory,
    /// Documents about it.
    pub documents: Documents,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// Documents about an image, as they are stored.
pub(crate) struct Documents {
    pub index: Vec<u8>,
    pub cyclonedx: Vec<u8>,
    pub spdx: Vec<u8>,
}

/// Scans one platform's image.
pub(crate) async fn scan(
    package: &Package,
    image: &PackageImage,
    manifest: &Descriptor,
    epoch: Option<Arc<Epoch>>,
    store: &Store,
) -> Result<PlatformScan, EngineError> {
    let inventory = catalogue(store, manifest)
        .await
        .map_err(|error| unreadable(image, error))?;
    let config = store.manifest(manifest).await?.config;
    let config = ImageConfig::read(store, &config)
        .await
        .map_err(|error| unreadable(image, error))?;
    let (name, reference) = (package.name.clone(), image.reference.clone());
    // Matching reads the epoch's files, and large documents take a while to write.
    let work = move || {
        let repository = reference.name();
        let evaluation = Evaluation {
            package: &name,
            image: &repository,
            level: Level::Secured,
            cause: CauseKind::Scan,
        };
        let mut findings =
            evaluate(&inventory, epoch.as_deref(), &evaluation).map_err(|error| {
                EngineError::Unavailable {
                    reason: format!("advisories: {error}"),
                    retry_after: Duration::from_secs(30),
                }
            })?;
        findings.extend(configuration::findings(&config, &inventory, &evaluation));
        let subject = SbomSubject {
            reference: &reference,
            inventory: &inventory,
        };
        let unwritable = |error: &dyn std::fmt::Display| {
            EngineError::Input(format!("SBOM of image {reference}: {error}"))
        };
        let bytes = |value: Result<Vec<u8>, serde_json::Error>| value.map_err(|e| unwritable(&e));
        let documents = Documents {
            index: bytes(serde_json::to_vec(&inventory))?,
            cyclonedx: bytes(serde_json::to_vec(
                &cyclonedx::document(&subject).map_err(|e| unwritable(&e))?,
            ))?,
            spdx: bytes(serde_json::to_vec(
                &spdx::document(&subject).map_err(|e| unwritable(&e))?,
            ))?,
        };
        Ok(PlatformScan {
            inventory,
            documents,
            findings,
        })
    };
    blocking(work).await
}
