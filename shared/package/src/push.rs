//! Sending a package to a registry, where helm and a cluster find it.
//!
//! ```text
//! <place>/<chart>:<version>              the chart, as helm pushes charts
//! <place>/<repository>:<tag>             each image, where the chart's own relocation looks for it
//! <place>/packages/<package>             the revisions, all they list and all that is attached, as a fleet keeps them
//! ```
//!
//! What is attached to an image or chart lies with it too. Blobs that several of these share are sent once: the registry
//! takes them out of the repository that has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use quench_content::{MANIFEST_LIMIT, RefName, RegistryClient, Repository, Sent, StoreError};
use quench_model::{Descriptor, Digest, ImageReference};

use crate::closure::closure;
use crate::history;
use crate::holdings::Holdings;
use crate::signing::{cosign_tags, is_signed};
use crate::{Context, Package, PackageError};

/// Blobs, and repositories, sent to at the same time.
const PARALLEL: usize = 4;

/// A place in a registry.
#[derive(Debug, Clone)]
pub struct Destination {
    client: RegistryClient,
    host: String,
    path: String,
}

impl Destination {
    /// The place `host[:port][/path]`, without a scheme.
    ///
    /// # Errors
    /// When that is no place for repositories.
    pub fn new(client: RegistryClient, place: &str) -> Result<Self, StoreError> {
        let malformed = |reason: &str| StoreError::Malformed {
            what: format!("registry {place:?}"),
            reason: reason.to_owned(),
        };
        let place = place.strip_prefix("oci://").unwrap_or(place);
        let place = place.trim_end_matches('/');
        let (host, path) = place.split_once('/').unwrap_or((place, ""));
        // A name behind it shows whether host and path are what references allow.
        let parsed: ImageReference = format!("{place}/name")
            .parse()
            .map_err(|_| malformed("write it as host[:port]/path, in lower case"))?;
        let joined = join(path, "name");
        if parsed.registry() != host
            || parsed.repository() != joined
            || parsed.tag() != Some("latest")
        {
            return Err(malformed(
                "its first part is no registry host; write it as host[:port]/path",
            ));
        }
        Ok(Self {
            client,
            host: host.to_owned(),
            path: path.to_owned(),
        })
    }

    /// `host[:port]/path`, as `global.hardening.registry` takes it.
    pub fn place(&self) -> String {
        join(&self.host, &self.path)
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where a package's chart lies, for helm.
    pub fn chart(&self, package: &Package) -> String {
        format!("oci://{}", join(&self.place(), package.name.as_str()))
    }

    /// The chart's manifest that this place has under the package's version.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached.
    pub async fn resolve_chart(&self, package: &Package) -> Result<Option<Descriptor>, StoreError> {
        self.repository(package.name.as_str())
            .resolve(&chart_tag(package))
            .await
    }

    fn repository(&self, name: &str) -> Repository {
        self.client.repository(&self.host, &join(&self.path, name))
    }
}

fn join(path: &str, name: &str) -> String {
    match (path, name) {
        ("", only) | (only, "") => only.to_owned(),
        (path, name) => format!("{path}/{name}"),
    }
}

/// A chart's version as a tag, as helm writes it: tags know no `+`.
fn chart_tag(package: &Package) -> String {
    package.version.replace('+', "_")
}

/// What was pushed.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// `oci://…`, for helm.
    pub chart: String,
    /// Version of the chart, for helm.
    pub version: String,
    /// The images.
    pub images: Vec<PushedImage>,
    /// Repository of the revisions and what is attached to them.
    pub revisions: String,
    /// Number of blobs whose bytes were sent.
    pub uploaded: usize,
    /// Bytes sent.
    pub uploaded_bytes: u64,
    /// Number of blobs that the registry took from another of its repositories.
    pub mounted: usize,
    /// Number of blobs that were there.
    pub known: usize,
}

/// An image that was pushed.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushedImage {
    /// As the chart names it.
    pub reference: ImageReference,
    /// Where it is now.
    pub pushed: String,
    /// Another image of the package has the same repository and tag, so this one has its digest alone.
    pub untagged: bool,
}

/// Sends a package. What the registry has is passed over, so a push that was stopped goes on where it was; names are
/// given when all they lead to is there, the chart's and the package's last.
///
/// # Errors
/// When content is missing from the store, or the registry refuses or cannot be reached.
pub async fn push(
    context: &Context,
    package: &Package,
    destination: &Destination,
) -> Result<Pushed, PackageError> {
    match context
        .cancel
        .run_until_cancelled(send(context, package, destination))
        .await
    {
        Some(result) => result,
        None => Err(PackageError::Cancelled),
    }
}

/// What goes into one repository.
#[derive(Default)]
struct Shipment {
    /// Manifests, what is named before what names it.
    manifests: Vec<Descriptor>,
    listed: BTreeSet<Digest>,
    /// Subject and referrer.
    attached: Vec<(Digest, Descriptor)>,
    tags: BTreeMap<String, Descriptor>,
}

impl Shipment {
    fn add(&mut self, parts: &[Descriptor]) {
        for part in parts.iter().filter(|part| part.is_manifest()) {
            if self.listed.insert(part.digest.clone()) {
                self.manifests.push(part.clone());
            }
        }
    }
}

async fn send(
    context: &Context,
    package: &Package,
    destination: &Destination,
) -> Result<Pushed, PackageError> {
    let store = &context.store;
    let holdings = Holdings::of(store, package).await?;
    let mut cargo = Cargo::default();
    let mut images = Vec::with_capacity(package.images.len());
    for image in &package.images {
        let name = image.reference.repository();
        let parts = closure(store, &image.descriptor).await?;
        let digest = &image.descriptor.digest;
        let tag = image.reference.tag().unwrap_or_default().to_owned();
        let shipment = cargo.add(context, name, &parts, &holdings).await?;
        let taken = shipment.tags.get(&tag);
        let untagged = tag.is_empty() || taken.is_some_and(|other| other.digest != *digest);
        // Registries collect what has no tag.
        let tag_given = if untagged {
            format!("quench-{}", digest.hex().get(..32).unwrap_or_default())
        } else {
            tag.clone()
        };
        shipment.tags.insert(tag_given, image.descriptor.clone());
        let tag = if untagged {
            String::new()
        } else {
            format!(":{tag}")
        };
        images.push(PushedImage {
            reference: image.reference.clone(),
            pushed: format!("{}{tag}@{digest}", join(&destination.place(), name)),
            untagged: untagged && image.reference.tag().is_some(),
        });
    }
    let chart = closure(store, &package.chart.manifest).await?;
    let name = package.name.as_str();
    // Its tag is given last of all: the chart must not be found before its images are.
    cargo.add(context, name, &chart, &holdings).await?;
    let revisions = format!("packages/{name}");
    for revision in holdings.revisions.iter().rev() {
        let parts = closure(store, &revision.revision).await?;
        let shipment = cargo.add(context, &revisions, &parts, &holdings).await?;
        let findings = RefName::findings(&revision.revision.digest);
        if let Some(current) = store.resolve(&findings).await? {
            shipment.tags.insert(findings.to_string(), current);
        }
    }

    let counts = cargo.send_blobs(context, destination).await?;
    cargo.send_manifests(context, destination).await?;
    let repository = destination.repository(&revisions);
    let mut present: Vec<RefName> = Vec::new();
    for tag in repository.tags().await? {
        present.extend(tag.parse());
    }
    for revision in holdings.revisions.iter().rev() {
        if let Some(name) = history::next(&present, revision) {
            tag(context, &repository, name.as_str(), &revision.revision).await?;
            present.push(name);
        }
    }
    let version = chart_tag(package);
    let newest = RefName::package(&package.name);
    for name in [version.as_str(), newest.as_str()] {
        tag(context, &repository, name, &package.revision).await?;
    }
    let repository = destination.repository(name);
    tag(context, &repository, &version, &package.chart.manifest).await?;
    Ok(Pushed {
        chart: destination.chart(package),
        version: package.version.clone(),
        images,
        revisions: join(&destination.place(), &revisions),
        ..counts
    })
}

/// Everything that is sent.
#[derive(Default)]
struct Cargo {
    shipments: BTreeMap<String, Shipment>,
    /// Blobs and the repositories they go to.
    blobs: BTreeMap<Digest, (Descriptor, Vec<String>)>,
}

impl Cargo {
    /// Adds what one repository needs, with what is attached to it.
    async fn add(
        &mut self,
        context: &Context,
        name: &str,
        parts: &[Descriptor],
        holdings: &Holdings,
    ) -> Result<&mut Shipment, PackageError> {
        let shipment = self.shipments.entry(name.to_owned()).or_default();
        let mut all = parts.to_vec();
        let mut within: BTreeSet<Digest> = parts.iter().map(|part| part.digest.clone()).collect();
        // Attachments of attachments: what a round brings may be what the next one's are attached to.
        let mut taken = BTreeSet::new();
        loop {
            let before = taken.len();
            for (place, (subject, referrer)) in holdings.attached.iter().enumerate() {
                if within.contains(subject) && taken.insert((true, place)) {
                    all.extend(closure(&context.store, referrer).await?);
                    within.insert(referrer.digest.clone());
                    shipment.attached.push((subject.clone(), referrer.clone()));
                }
            }
            for (place, (tag, descriptor)) in holdings.tags.iter().enumerate() {
                let of = |subject: &&Digest| {
                    let own = RefName::referrers(subject).to_string();
                    tag.as_str().strip_prefix(&own).is_some()
                };
                if within.iter().find(of).is_some() && taken.insert((false, place)) {
                    all.extend(closure(&context.store, descriptor).await?);
                    within.insert(descriptor.digest.clone());
                    shipment.tags.insert(tag.to_string(), descriptor.clone());
                }
            }
            if taken.len() == before {
                break;
            }
        }
        let signed: BTreeSet<&Digest> = shipment
            .attached
            .iter()
            .filter(|(subject, referrer)| within.contains(subject) && is_signed(referrer))
            .map(|(subject, _)| subject)
            .collect();
        for tag in cosign_tags(&context.store, signed).await? {
            all.extend(closure(&context.store, &tag.manifest).await?);
            shipment.tags.insert(tag.name.to_string(), tag.manifest);
        }
        shipment.add(&all);
        for part in all {
            if !part.is_manifest() {
                let digest = part.digest.clone();
                let (_, places) = self.blobs.entry(digest).or_insert((part, Vec::new()));
                if places.last().is_none_or(|last| last != name) {
                    places.push(name.to_owned());
                }
            }
        }
        Ok(shipment)
    }

    async fn send_blobs(
        &self,
        context: &Context,
        destination: &Destination,
    ) -> Result<Pushed, PackageError> {
        let total = self.blobs.values().map(|(blob, _)| blob.size).sum();
        context.progress.start("push blobs", total);
        let (uploaded, mounted, known) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let bytes = AtomicU64::new(0);
        let repositories: Mutex<BTreeMap<String, Repository>> = Mutex::default();
        let repository = |name: &str| {
            let mut all = repositories
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            all.entry(name.to_owned())
                .or_insert_with(|| destination.repository(name))
                .clone()
        };
        let mut jobs = Vec::with_capacity(self.blobs.len());
        for (blob, places) in self.blobs.values() {
            let (uploaded, mounted, known, bytes) = (&uploaded, &mounted, &known, &bytes);
            let repository = &repository;
            jobs.push(async move {
                let mut from: Option<String> = None;
                for place in places {
                    let target = repository(place);
                    let path = context.store.file(blob).await?;
                    match target.send_blob(blob, &path, from.as_deref()).await? {
                        Sent::Known => known.fetch_add(1, Ordering::Relaxed),
                        Sent::Mounted => mounted.fetch_add(1, Ordering::Relaxed),
                        Sent::Uploaded => {
                            bytes.fetch_add(blob.size, Ordering::Relaxed);
                            uploaded.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                    from = Some(target.name().to_owned());
                }
                context.progress.advance(blob.size);
                Ok::<_, PackageError>(())
            });
        }
        stream::iter(jobs)
            .buffer_unordered(PARALLEL)
            .try_collect::<()>()
            .await?;
        context.progress.finish();
        Ok(Pushed {
            chart: String::new(),
            version: String::new(),
            images: Vec::new(),
            revisions: String::new(),
            uploaded: uploaded.into_inner(),
            uploaded_bytes: bytes.into_inner(),
            mounted: mounted.into_inner(),
            known: known.into_inner(),
        })
    }

    async fn send_manifests(
        &self,
        context: &Context,
        destination: &Destination,
    ) -> Result<(), PackageError> {
        let total = self
            .shipments
            .values()
            .map(|s| s.manifests.len())
            .sum::<usize>();
        context.progress.start("push manifests", total as u64);
        let mut jobs = Vec::with_capacity(self.shipments.len());
        for (name, shipment) in &self.shipments {
            let repository = destination.repository(name);
            jobs.push(async move { shipment.send(context, &repository).await });
        }
        stream::iter(jobs)
            .buffer_unordered(PARALLEL)
            .try_collect::<()>()
            .await?;
        context.progress.finish();
        Ok(())
    }
}

impl Shipment {
    /// Sends manifests, what is attached, and tags, in this order.
    async fn send(&self, context: &Context, repository: &Repository) -> Result<(), PackageError> {
        for manifest in &self.manifests {
            if !repository.has(manifest).await? {
                let bytes = context.store.read(manifest, MANIFEST_LIMIT).await?;
                repository
                    .push_manifest(&manifest.digest.to_string(), &manifest.media_type, &bytes)
                    .await?;
            }
            context.progress.advance(1);
        }
        for (subject, referrer) in &self.attached {
            let bytes = context.store.read(referrer, MANIFEST_LIMIT).await?;
            repository.attach(subject, referrer, &bytes).await?;
        }
        for (name, descriptor) in &self.tags {
            tag(context, repository, name, descriptor).await?;
        }
        Ok(())
    }
}

async fn tag(
    context: &Context,
    repository: &Repository,
    name: &str,
    descriptor: &Descriptor,
) -> Result<(), PackageError> {
    let there = repository.resolve(name).await?;
    if there.is_none_or(|there| there.digest != descriptor.digest) {
        let bytes = context.store.read(descriptor, MANIFEST_LIMIT).await?;
        repository
            .push_manifest(name, &descriptor.media_type, &bytes)
            .await?;
    }
    Ok(())
}
