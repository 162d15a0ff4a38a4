//! Getting images from their registries into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use quench_content::artefact::{Index, Manifest};
use quench_content::{MANIFEST_LIMIT, RegistryClient, Repository, Store, StoreError};
use quench_model::{Descriptor, Digest, ImageReference, Platform};
use quench_package::{Context, EngineError};
use tokio::time::Instant;

use crate::attached::{self, AttachedPlan, Unread};
use crate::survey::Available;

/// Images looked up, and blobs fetched, at the same time.
const PARALLEL: usize = 4;
/// Most manifests of one image: one per platform and as many attestations.
const MANIFESTS: usize = 1000;

/// How long further images are looked up when one could not be had, to tell of all in one go.
const FAILURES: Duration = Duration::from_secs(10);

/// Why an image could not be had.
pub(crate) enum FetchError {
    /// Its registry does not have it, or cannot be asked.
    Unavailable(String, Option<Duration>),
    /// Anything else.
    Engine(EngineError),
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Registry { retry_after, .. } => {
                Self::Unavailable(error.to_string(), retry_after)
            }
            error => Self::Engine(EngineError::Store(error)),
        }
    }
}

impl FetchError {
    fn reason(self) -> String {
        match self {
            Self::Unavailable(reason, _) => reason,
            Self::Engine(error) => error.to_string(),
        }
    }
}

/// An image as its registry has it, and everything it is made of.
pub(crate) struct Plan {
    /// Digest the reference had.
    pub(crate) original: Digest,
    /// The image as it goes into the package.
    pub(crate) descriptor: Descriptor,
    /// Manifests and indexes in the order in which they have to be stored.
    documents: Vec<(Descriptor, Vec<u8>)>,
    blobs: BTreeMap<Digest, Descriptor>,
    repository: Repository,
}

impl Plan {
    /// What the plan says of the image as a whole.
    pub(crate) fn available(&self) -> Available {
        let documents = self.documents.iter().map(|(descriptor, _)| descriptor.size);
        let blobs = self.blobs.values().map(|blob| blob.size);
        let index = self
            .documents
            .iter()
            .find(|(descriptor, _)| descriptor.digest == self.descriptor.digest)
            .filter(|(descriptor, _)| descriptor.is_index())
            .and_then(|(_, bytes)| serde_json::from_slice::<Index>(bytes).ok());
        let platforms: BTreeSet<Platform> = index
            .into_iter()
            .flat_map(|index| index.manifests)
            .filter_map(|entry| entry.platform)
            .filter(|platform| platform.architecture != "unknown")
            .collect();
        Available {
            digest: self.original.clone(),
            total_size: documents.chain(blobs).sum(),
            platforms: platforms.into_iter().collect(),
        }
    }
}

/// Looks an image up: which digest the reference has now, and what it is made of.
pub(crate) async fn plan(
    client: &RegistryClient,
    reference: &ImageReference,
    platforms: &[Platform],
    store: &Store,
) -> Result<Plan, FetchError> {
    let repository = client.repository(reference.registry(), reference.repository());
    let wanted = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    };
    let absent =
        || FetchError::Unavailable(format!("{} has no {wanted}", repository.place()), None);
    let root = repository.resolve(&wanted).await?.ok_or_else(absent)?;
    let bytes = document(&repository, &root, store)
        .await?
        .ok_or_else(absent)?;
    let original = root.digest.clone();
    let (root, bytes) = limit(root, bytes, platforms).map_err(|reason| {
        FetchError::Engine(EngineError::Input(format!("{reference}: {reason}")))
    })?;

    let mut plan = Plan {
        original,
        descriptor: root.clone(),
        documents: Vec::new(),
        blobs: BTreeMap::new(),
        repository: repository.clone(),
    };
    let mut seen = BTreeSet::from([root.digest.clone()]);
    let mut open = vec![(root, bytes)];
    while let Some((descriptor, bytes)) = open.pop() {
        for named in named(&descriptor, &bytes)? {
            if !seen.insert(named.digest.clone()) {
                continue;
            }
            if !named.is_manifest() {
                plan.blobs.insert(named.digest.clone(), named);
                continue;
            }
            if open.len() + plan.documents.len() >= MANIFESTS {
                let reason = format!("{reference}: it lists more than {MANIFESTS} manifests");
                return Err(FetchError::Engine(EngineError::Input(reason)));
            }
            let bytes = document(&repository, &named, store).await?.ok_or_else(|| {
                let reason = format!(
                    "{} lacks {}, which {reference} lists",
                    repository.place(),
                    named.digest
                );
                FetchError::Unavailable(reason, None)
            })?;
            open.push((named, bytes));
        }
        plan.documents.push((descriptor, bytes));
    }
    // An index was taken off the stack before what it lists: what is named has to be stored first.
    plan.documents.reverse();
    plan.documents
        .sort_by_key(|(descriptor, _)| descriptor.is_index());
    Ok(plan)
}

/// Reads a manifest from the store, else from the registry.
pub(crate) async fn document(
    repository: &Repository,
    descriptor: &Descriptor,
    store: &Store,
) -> Result<Option<Vec<u8>>, StoreError> {
    if store.contains(descriptor).await? {
        return store.read(descriptor, MANIFEST_LIMIT).await.map(Some);
    }
    let found = repository.manifest(&descriptor.digest.to_string()).await?;
    match found {
        Some((found, _)) if found.size != descriptor.size => Err(StoreError::WrongSize {
            digest: descriptor.digest.clone(),
            expected: descriptor.size,
            actual: found.size,
            place: repository.place(),
        }),
        found => Ok(found.map(|(_, bytes)| bytes)),
    }
}

pub(crate) fn named(descriptor: &Descriptor, bytes: &[u8]) -> Result<Vec<Descriptor>, StoreError> {
    let malformed = |e: serde_json::Error| StoreError::Malformed {
        what: format!("manifest {}", descriptor.digest),
        reason: e.to_string(),
    };
    if descriptor.is_index() {
        let index: Index = serde_json::from_slice(bytes).map_err(malformed)?;
        return Ok(index.manifests);
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(malformed)?;
    let mut named = vec![manifest.config];
    named.extend(manifest.layers);
    Ok(named)
}

/// Takes the platforms that were not asked for out of an index. A package holds all that its indexes list, so
/// fewer platforms are another index; one that lists no other stays the bytes it is.
fn limit(
    root: Descriptor,
    bytes: Vec<u8>,
    platforms: &[Platform],
) -> Result<(Descriptor, Vec<u8>), String> {
    if platforms.is_empty() || !root.is_index() {
        return Ok((root, bytes));
    }
    let mut index: Index = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    let fits = |entry: &Descriptor| {
        entry.platform.as_ref().is_some_and(|offered| {
            platforms.iter().any(|asked| {
                asked.os == offered.os
                    && asked.architecture == offered.architecture
                    && (asked.variant.is_none() || asked.variant == offered.variant)
            })
        })
    };
    let offered = index.manifests.len();
    let listed: Vec<String> = index
        .manifests
        .iter()
        .filter_map(|entry| Some(entry.platform.as_ref()?.to_string()))
        .collect();
    index.manifests.retain(fits);
    if index.manifests.is_empty() {
        return Err(format!("it is offered for {} alone", listed.join(", ")));
    }
    if index.manifests.len() == offered {
        return Ok((root, bytes));
    }
    let bytes = serde_json::to_vec(&index).map_err(|e| e.to_string())?;
    Ok((Descriptor::of(root.media_type, &bytes), bytes))
}

/// Why one of several images could not be had.
pub(crate) struct FailedAt {
    /// Its place among them; none where that cannot be told.
    pub(crate) place: Option<usize>,
    pub(crate) error: FetchError,
}

impl From<StoreError> for FailedAt {
    fn from(error: StoreError) -> Self {
        Self {
            place: None,
            error: error.into(),
        }
    }
}

/// Brings everything that was planned into the store, and what publishers attached to it: blobs first, each once, then
/// what names them. Gives for each image what is attached to it and could not be read.
pub(crate) async fn fetch(plans: &[Plan], context: &Context) -> Result<Vec<Vec<Unread>>, FailedAt> {
    let store = &context.store;
    let attached = attached_to(plans, context).await?;
    let mut missing = BTreeMap::new();
    let mut extra = BTreeMap::new();
    for (place, plan) in plans.iter().enumerate() {
        for (digest, descriptor) in &plan.blobs {
            if !missing.contains_key(digest) && !store.contains(descriptor).await? {
                missing.insert(digest, (descriptor, place, plan));
            }
        }
    }
    for (place, (plan, attached)) in plans.iter().zip(&attached).enumerate() {
        for descriptor in attached.attachments.iter().flat_map(|a| &a.blobs) {
            // What an attachment says of the size of a blob that others name too must not count for those.
            let key = (&descriptor.digest, descriptor.size);
            let is_coming = missing
                .get(&descriptor.digest)
                .is_some_and(|(blob, _, _)| blob.size == descriptor.size);
            if !is_coming && !extra.contains_key(&key) && !store.contains(descriptor).await? {
                extra.insert(key, (descriptor, place, plan));
            }
        }
    }
    let all = || missing.values().chain(extra.values());
    if all().next().is_some() {
        let total = all().map(|(descriptor, _, _)| descriptor.size).sum();
        context.progress.start("fetch images", total);
    }
    let mut lost = BTreeMap::new();
    let missing: Vec<_> = missing.into_values().collect();
    let extra: Vec<_> = extra.into_values().collect();
    for (blobs, is_needed) in [(missing, true), (extra, false)] {
        let mut fetches = Vec::with_capacity(blobs.len());
        for (descriptor, place, plan) in blobs {
            fetches.push(async move {
                let fetched = fetch_blob(descriptor, &plan.repository, context).await;
                let reason = fetched.map_err(|error| FailedAt {
                    place: Some(place),
                    error: error.into(),
                })?;
                match reason {
                    Some(error) if is_needed => Err(FailedAt {
                        place: Some(place),
                        error,
                    }),
                    reason => Ok(reason.map(|error| {
                        let blob = (descriptor.digest.clone(), descriptor.size);
                        (blob, error.reason())
                    })),
                }
            });
        }
        let found: Vec<Option<((Digest, u64), String)>> = stream::iter(fetches)
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        lost.extend(found.into_iter().flatten());
    }
    context.progress.finish();
    let mut unread = Vec::with_capacity(plans.len());
    for (plan, attached) in plans.iter().zip(attached) {
        for (descriptor, bytes) in &plan.documents {
            if !store.contains(descriptor).await? {
                store.put(&descriptor.media_type, bytes).await?;
            }
        }
        unread.push(attached.attach(store, &lost).await?);
    }
    Ok(unread)
}

/// Looks up what is attached to the images and to the manifest of each of their platforms.
async fn attached_to(plans: &[Plan], context: &Context) -> Result<Vec<AttachedPlan>, FailedAt> {
    context
        .progress
        .start("look up signatures", plans.len() as u64);
    let mut lookups = Vec::with_capacity(plans.len());
    for (place, plan) in plans.iter().enumerate() {
        lookups.push(async move {
            let subjects = attached::subjects(&plan.documents);
            let found = attached::plan(&plan.repository, subjects, &context.store).await;
            context.progress.advance(1);
            found.map_err(|error| FailedAt {
                place: Some(place),
                error: error.into(),
            })
        });
    }
    let found = stream::iter(lookups)
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    context.progress.finish();
    Ok(found)
}

/// Fetches a blob; gives what is wrong with it where its registry has it not, or not as its manifest says.
async fn fetch_blob(
    descriptor: &Descriptor,
    repository: &Repository,
    context: &Context,
) -> Result<Option<FetchError>, StoreError> {
    let told = |bytes| context.progress.advance(bytes);
    let writer = match repository.download(descriptor, &context.store, &told).await {
        Ok(Some(writer)) => writer,
        Ok(None) => {
            let reason = format!(
                "{} lacks {}, which its manifest lists",
                repository.place(),
                descriptor.digest
            );
            return Ok(Some(FetchError::Unavailable(reason, None)));
        }
        Err(
            error @ (StoreError::Malformed { .. }
            | StoreError::WrongSize { .. }
            | StoreError::WrongDigest { .. }),
        ) => return Ok(Some(error.into())),
        Err(error) => return Err(error),
    };
    context
        .store
        .commit_expected(writer, descriptor, &repository.place())
        .await?;
    Ok(None)
}

/// Looks up several images at a time; results come in the order of the references. Where images cannot be had, several are
/// told: as many as are met within some seconds of the first.
pub(crate) async fn plan_all(
    client: &RegistryClient,
    references: &[&ImageReference],
    platforms: &[Platform],
    store: &Store,
) -> Result<Vec<Plan>, Vec<FailedAt>> {
    // A list of futures, not a closure over the stream's items: such a closure borrows what the compiler can
    // then no longer show to be `Send`.
    let mut lookups = Vec::with_capacity(references.len());
    for (place, reference) in references.iter().copied().enumerate() {
        lookups.push(async move {
            let found = plan(client, reference, platforms, store).await;
            found.map_err(|error| FailedAt {
                place: Some(place),
                error,
            })
        });
    }
    let mut lookups = stream::iter(lookups).buffered(PARALLEL);
    let (mut plans, mut failed) = (Vec::new(), Vec::new());
    let mut until: Option<Instant> = None;
    loop {
        let next = match until {
            Some(until) => match tokio::time::timeout_at(until, lookups.next()).await {
                Ok(next) => next,
                Err(_) => break,
            },
            None => lookups.next().await,
        };
        match next {
            Some(Ok(plan)) => plans.push(plan),
            Some(Err(error)) => {
                failed.push(error);
                until.get_or_insert_with(|| Instant::now() + FAILURES);
            }
            None => break,
        }
    }
    if failed.is_empty() {
        Ok(plans)
    } else {
        Err(failed)
    }
}
