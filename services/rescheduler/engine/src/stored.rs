//! Packages in the store: which there are, what their images hold, what is wrong with them under an epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use quench_advisories::Epoch;
use quench_content::{RefName, Store, StoreError};
use quench_image::ImageError;
use quench_inventory::{CatalogueError, Evaluation, Inventory, catalogue, evaluate};
use quench_model::{CauseKind, Descriptor, Digest, Finding, FindingId, Level, media_type};
use quench_package::{Context, EngineError, Package, PackageError, attachments, verdict};

use crate::change::{depends_on_epoch, merged};
use crate::index::unavailable;

/// Largest package index read: an image with 50,000 packages and a million files.
const INDEX_LIMIT: u64 = 512 << 20;

/// The newest revision of every package that was secured at least once: before that, no level has looked for
/// vulnerabilities, and the scanner will with the newest epoch.
pub(crate) async fn current(store: &Store) -> Result<Vec<Package>, EngineError> {
    let mut packages = Vec::new();
    for name in store.names("package-").await? {
        let Some(revision) = store.resolve(&name).await? else {
            continue;
        };
        match Package::load(store, &revision).await {
            Ok(package) if package.level >= Level::Secured => packages.push(package),
            Ok(_) => {}
            // A name that points to nothing, or to no package: nothing can be attached to it, so it can only be told, and
            // must not keep the others from being looked at.
            Err(
                error @ (PackageError::Malformed { .. }
                | PackageError::Chart(_)
                | PackageError::Store(StoreError::NotFound { .. })),
            ) => tracing::error!(%name, %error, "package left out"),
            Err(PackageError::Store(error)) => return Err(error.into()),
            Err(PackageError::Cancelled) => return Err(EngineError::Cancelled),
        }
    }
    Ok(packages)
}

/// Manifest of the findings a revision has now.
pub(crate) async fn findings_manifest(
    store: &Store,
    revision: &Digest,
) -> Result<Option<Digest>, EngineError> {
    let manifest = store.resolve(&RefName::findings(revision)).await?;
    Ok(manifest.map(|descriptor| descriptor.digest))
}

/// What one platform of an image holds.
pub(crate) struct Held {
    /// The image's repository.
    pub(crate) repository: String,
    pub(crate) inventory: Inventory,
}

/// What every image of a revision holds: as the package indexes attached along its lineage say; an image that has none, because a
/// later level made it, is catalogued.
pub(crate) async fn held(package: &Package, context: &Context) -> Result<Vec<Held>, EngineError> {
    let store = &context.store;
    let mut indexes: Option<BTreeMap<Digest, Descriptor>> = None;
    let mut held = Vec::new();
    for image in &package.images {
        let unreadable = |error: CatalogueError| match error {
            CatalogueError::Image(ImageError::Store(error)) => EngineError::Store(error),
            error @ (CatalogueError::Image(ImageError::Cache { .. })
            | CatalogueError::Interrupted { .. }) => EngineError::Unavailable {
                reason: format!("image {}: {error}", image.reference),
                retry_after: Duration::from_secs(5),
            },
            error => EngineError::Input(format!("image {}: {error}", image.reference)),
        };
        let manifests = quench_image::platforms(store, &image.descriptor)
            .await
            .map_err(|error| unreadable(error.into()))?;
        for manifest in manifests {
            context.check_cancelled()?;
            if indexes.is_none() {
                indexes = Some(package_indexes(package, store).await?);
            }
            let attached = indexes
                .as_ref()
                .and_then(|indexes| indexes.get(&manifest.digest));
            let inventory = match attached {
                Some(document) => store.read_json(document, INDEX_LIMIT).await?,
                None => catalogue(store, &manifest).await.map_err(unreadable)?,
            };
            held.push(Held {
                repository: image.reference.name(),
                inventory,
            });
        }
    }
    Ok(held)
}

/// Package indexes attached to a revision and those before it, by the manifest they speak of; the newest revision's first.
async fn package_indexes(
    package: &Package,
    store: &Store,
) -> Result<BTreeMap<Digest, Descriptor>, EngineError> {
    let mut indexes = BTreeMap::new();
    for revision in package.lineage(store).await? {
        let kind = Some(media_type::PACKAGE_INDEX);
        for attachment in attachments(store, &revision.revision.digest, kind).await? {
            if let Some(image) = attachment.image {
                indexes.entry(image).or_insert(attachment.document);
            }
        }
    }
    Ok(indexes)
}

/// What is wrong with a revision under an epoch, by the epoch's word; waivers of its policy applied.
pub(crate) async fn found(
    package: &Package,
    held: &[Held],
    epoch: &Epoch,
    store: &Store,
) -> Result<BTreeMap<FindingId, Finding>, EngineError> {
    let policy = package.request(store).await?.policy;
    let findings = blocking(|| {
        let mut findings = Vec::new();
        for held in held {
            let evaluation = Evaluation {
                package: &package.name,
                image: &held.repository,
                level: Level::Secured,
                cause: CauseKind::Advisory,
            };
            findings.extend(evaluate(&held.inventory, Some(epoch), &evaluation)?);
        }
        Ok(findings)
    })
    .map_err(|error| unavailable(&error))?;
    let mut findings: Vec<Finding> = merged(findings.into_iter().filter(depends_on_epoch))
        .into_values()
        .collect();
    verdict::apply_waivers(&mut findings, &policy);
    Ok(findings
        .into_iter()
        .map(|finding| (finding.id.clone(), finding))
        .collect())
}

/// Runs database work without holding up other tasks, where the runtime allows it.
#[expect(
    clippy::disallowed_methods,
    reason = "asked for on a multi-thread runtime only; spawn_blocking cannot borrow the epochs"
)]
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
