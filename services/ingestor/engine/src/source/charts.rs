//! Charts from wherever they are, with all of their dependencies.

use std::collections::BTreeMap;
use std::path::PathBuf;

use quench_chart::chart::{MissingDependency, Unvendored};
use quench_chart::index::{self, Offer};
use quench_chart::version_range::VersionRange;
use quench_chart::{Chart, ChartError};
use quench_content::artefact::Manifest;
use quench_content::{Origin, RegistryAccess, RegistryClient, WebServer, blocking};
use quench_model::{Digest, ImageReference, media_type};
use quench_package::{Context, EngineError};
use url::Url;

use super::ChartSource;
use super::helm_repositories::HelmRepositories;

/// Most bytes of a repository's index; the largest in public have about thirty million.
const INDEX_LIMIT: u64 = 64 << 20;
/// Most bytes of a chart archive that is fetched.
const ARCHIVE_LIMIT: u64 = 256 << 20;
/// Most dependencies fetched for one chart.
const DEPENDENCIES: usize = 256;
/// Versions named in an error.
const NAMED: usize = 5;

/// Fetches charts.
pub(crate) struct Charts<'a> {
    client: RegistryClient,
    repositories: HelmRepositories,
    aliases: BTreeMap<String, String>,
    context: &'a Context,
    /// The index read last: dependencies of one chart mostly come from one repository.
    index: Option<(String, Vec<u8>)>,
}

/// An archive and where it came from.
struct Fetched {
    bytes: Vec<u8>,
    place: String,
    origin: Origin,
}

fn input(error: ChartError) -> EngineError {
    EngineError::Input(error.to_string())
}

impl<'a> Charts<'a> {
    /// A fetcher. `helm_repositories` is helm's file of repositories, its usual place when not given.
    pub(crate) fn new(
        access: RegistryAccess,
        helm_repositories: Option<PathBuf>,
        context: &'a Context,
    ) -> Result<Self, EngineError> {
        let repositories = HelmRepositories::read(helm_repositories)?;
        Ok(Self {
            client: RegistryClient::new(access)?,
            aliases: repositories.addresses(),
            repositories,
            context,
            index: None,
        })
    }

    /// The chart of a source, complete. `version` is a version or range for a source that has none of its own.
    pub(crate) async fn load(
        &mut self,
        source: &ChartSource,
        version: Option<&str>,
    ) -> Result<Chart, EngineError> {
        let (chart, origin) = match source {
            ChartSource::Folder(path) | ChartSource::Archive(path) => {
                let (path, aliases) = (path.clone(), self.aliases.clone());
                let load = move || Unvendored::load(&path, &aliases).map_err(input);
                (blocking(load).await?, Origin::USER)
            }
            ChartSource::Registry(reference) => {
                let fetched = self.pull(reference, version, Origin::USER).await?;
                self.unpack(fetched).await?
            }
            ChartSource::Repository {
                repository,
                name,
                version: own,
            } => {
                let wanted = own.as_deref().or(version);
                let fetched = self
                    .of_repository(repository, name, wanted, Origin::USER)
                    .await?;
                self.unpack(fetched).await?
            }
            ChartSource::Web(url) => {
                let server = self.client.web_server(url, Origin::USER).await?;
                let fetched = self.archive(&server, url, None).await?;
                self.unpack(fetched).await?
            }
            _ => return Err(EngineError::Input(format!("{source} is no chart"))),
        };
        self.complete(chart, origin).await
    }

    /// Fetches what a chart declares and does not hold, and what that lacks in turn.
    async fn complete(
        &mut self,
        mut chart: Unvendored,
        origin: Origin,
    ) -> Result<Chart, EngineError> {
        let mut origins: Vec<(Vec<String>, Origin)> = vec![(Vec::new(), origin)];
        let mut count = 0;
        let next = |chart: &Unvendored| chart.missing().iter().find(|m| fetchable(m)).cloned();
        while let Some(wanted) = next(&chart) {
            self.context.check_cancelled()?;
            count += 1;
            if count > DEPENDENCIES {
                return Err(EngineError::Input(format!(
                    "chart {}: it needs more than {DEPENDENCIES} dependencies",
                    chart.name()
                )));
            }
            // What a chart names may lead as far into the network as the place it came from.
            let named_by = origins
                .iter()
                .rev()
                .find(|(chain, _)| wanted.chain.starts_with(chain))
                .map_or(origin, |(_, origin)| *origin);
            let fetched = self
                .dependency(&wanted, named_by)
                .await
                .map_err(|error| needed_by(&wanted, error))?;
            let (dependency, origin) = self.unpack(fetched).await?;
            let mut chain = wanted.chain.clone();
            chain.push(format!("{} {}", dependency.name(), dependency.version()));
            origins.push((chain, named_by.and(origin)));
            chart.add(&wanted, dependency).map_err(input)?;
        }
        blocking(move || chart.finish().map_err(input)).await
    }

    async fn dependency(
        &mut self,
        wanted: &MissingDependency,
        named_by: Origin,
    ) -> Result<Fetched, EngineError> {
        let dependency = &wanted.dependency;
        let version = wanted.locked.as_deref().or(dependency.version.as_deref());
        let repository = dependency.repository.as_deref().unwrap_or_default();
        match repository.strip_prefix("oci://") {
            Some(place) => {
                let reference = format!("{}/{}", place.trim_end_matches('/'), dependency.name);
                self.pull(&reference, version, named_by).await
            }
            None => {
                self.of_repository(repository, &dependency.name, version, named_by)
                    .await
            }
        }
    }

    /// Unpacks an archive as a chart whose dependencies may be missing.
    async fn unpack(&self, fetched: Fetched) -> Result<(Unvendored, Origin), EngineError> {
        let aliases = self.aliases.clone();
        let Fetched {
            bytes,
            place,
            origin,
        } = fetched;
        let unpack =
            move || Unvendored::from_tgz(bytes.as_slice(), &place, &aliases).map_err(input);
        Ok((blocking(unpack).await?, origin))
    }

    /// Finds a chart in a classic repository and reads its archive.
    async fn of_repository(
        &mut self,
        repository: &str,
        name: &str,
        version: Option<&str>,
        named_by: Origin,
    ) -> Result<Fetched, EngineError> {
        let address = match alias(repository) {
            Some(alias) => self.aliases.get(alias).cloned().ok_or_else(|| {
                EngineError::Input(format!(
                    "helm knows no repository {alias:?}; add it with `helm repo add {alias} URL`"
                ))
            })?,
            None => repository.to_owned(),
        };
        let told = |reason: String| EngineError::Input(format!("repository {address}: {reason}"));
        let mut base = Url::parse(&address).map_err(|e| told(e.to_string()))?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let server = self.client.web_server(&base, named_by).await?;
        if let Some((user, password)) = self.repositories.password(&address) {
            server.log_in(user, password)?;
        }
        let offers = self.offers(&server, &base, &address, name).await?;
        let offer = select(&offers, name, version).map_err(told)?;
        let archive = self.archive_of(&server, &base, offer, version).await?;
        Ok(archive)
    }

    async fn offers(
        &mut self,
        server: &WebServer,
        base: &Url,
        address: &str,
        name: &str,
    ) -> Result<Vec<Offer>, EngineError> {
        let told = |reason: String| EngineError::Input(format!("repository {address}: {reason}"));
        let bytes = match self.index.take() {
            Some((read, bytes)) if read == address => bytes,
            _ => {
                let mut index = base.clone();
                index.set_path(&format!("{}index.yaml", base.path()));
                server.read(&index, INDEX_LIMIT).await?.ok_or_else(|| {
                    told(
                        "it has no index.yaml, so it is no chart repository; check the address"
                            .to_owned(),
                    )
                })?
            }
        };
        let wanted = name.to_owned();
        let (bytes, offers) = blocking(move || {
            let offers = quench_chart::yaml::text(&bytes)
                .map_err(index::IndexError::from)
                .and_then(|text| index::offers(text, &wanted))
                .map_err(|e| e.to_string());
            Ok::<_, EngineError>((bytes, offers))
        })
        .await?;
        self.index = Some((address.to_owned(), bytes));
        offers
            .map_err(|e| told(format!("index.yaml: {e}")))?
            .ok_or_else(|| told(format!("it has no chart {name:?}")))
    }

    async fn archive_of(
        &self,
        server: &WebServer,
        base: &Url,
        offer: &Offer,
        version: Option<&str>,
    ) -> Result<Fetched, EngineError> {
        let place = offer.urls.first().map_or("", String::as_str);
        if let Some(reference) = place.strip_prefix("oci://") {
            let tagged = reference
                .rsplit('/')
                .next()
                .is_some_and(|last| last.contains(':'));
            let version = if tagged {
                None
            } else {
                version.or(Some(&offer.version))
            };
            return Box::pin(self.pull(reference, version, server.origin())).await;
        }
        let mut url = base
            .join(place)
            .map_err(|e| EngineError::Input(format!("{base}: index.yaml: {place:?}: {e}")))?;
        if url.origin() == base.origin() {
            // Repositories behind signed addresses carry the signature on.
            if url.query().is_none() {
                url.set_query(base.query());
            }
            return self.archive(server, &url, offer.digest.as_deref()).await;
        }
        // Another host has credentials of its own.
        let other = self.client.web_server(&url, server.origin()).await?;
        self.archive(&other, &url, offer.digest.as_deref()).await
    }

    /// Reads an archive and checks it against the digest its index has.
    async fn archive(
        &self,
        server: &WebServer,
        url: &Url,
        digest: Option<&str>,
    ) -> Result<Fetched, EngineError> {
        let place = ChartSource::Web(url.clone()).to_string();
        self.context.progress.start(&format!("fetch {place}"), 0);
        let read = server.read(url, ARCHIVE_LIMIT).await?;
        self.context.progress.finish();
        let bytes = read.ok_or_else(|| EngineError::Input(format!("{place} is not there")))?;
        if let Some(expected) = digest {
            let actual = Digest::of(&bytes).hex();
            if actual != expected {
                return Err(EngineError::Input(format!(
                    "{place} has the digest {actual}, its index says {expected}; it was changed or damaged on its way"
                )));
            }
        } else {
            tracing::debug!(place, "no index states the digest of this archive");
        }
        Ok(Fetched {
            bytes,
            place,
            origin: server.origin(),
        })
    }

    /// Reads a chart archive from an OCI registry.
    async fn pull(
        &self,
        text: &str,
        version: Option<&str>,
        named_by: Origin,
    ) -> Result<Fetched, EngineError> {
        let input = |reason: String| EngineError::Input(format!("oci://{text}: {reason}"));
        // Tags cannot hold the `+` of a version; helm writes `_` in its place.
        let reference: ImageReference = text
            .replace('+', "_")
            .parse()
            .map_err(|e: quench_model::ReferenceError| input(e.to_string()))?;
        let last = text.rsplit('/').next().unwrap_or_default();
        let repository = self
            .client
            .repository(reference.registry(), reference.repository());
        let origin = repository.reached_from(named_by).await?;
        let wanted = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) if last.contains(':') => tag.to_owned(),
            _ if version.is_some_and(is_exact) => version.unwrap_or_default().replace('+', "_"),
            _ => {
                let tags = repository.tags().await?;
                let versions: Vec<String> = tags.iter().map(|tag| tag.replace('_', "+")).collect();
                let at = position(&versions, version).map_err(input)?;
                let named = at.and_then(|at| tags.get(at)).cloned();
                named.ok_or_else(|| {
                    let place = repository.place();
                    input(none_fits(
                        &place,
                        version,
                        versions.iter().map(String::as_str),
                    ))
                })?
            }
        };
        let absent = || {
            let place = repository.place();
            input(format!("{place} has no {wanted}; check path and version"))
        };
        let (_, bytes) = repository.manifest(&wanted).await?.ok_or_else(absent)?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|e| input(format!("its manifest: {e}")))?;
        let archive = manifest
            .layers
            .iter()
            .find(|layer| layer.media_type == media_type::HELM_CHART)
            .ok_or_else(|| {
                input("it is no Helm chart; an image is named without oci://".to_owned())
            })?;
        if archive.size > ARCHIVE_LIMIT {
            return Err(input(format!(
                "its archive has {} bytes; at most {ARCHIVE_LIMIT} are accepted",
                archive.size
            )));
        }
        let progress = &self.context.progress;
        progress.start(&format!("fetch oci://{}", reference.name()), archive.size);
        let told = |count| progress.advance(count);
        let bytes = repository
            .read_blob(archive, &told)
            .await?
            .ok_or_else(absent)?;
        progress.finish();
        Ok(Fetched {
            bytes,
            place: format!("oci://{text}"),
            origin,
        })
    }
}

/// Says which chart needs what could not be had.
fn needed_by(wanted: &MissingDependency, error: EngineError) -> EngineError {
    let told = |reason: String| {
        let parent = wanted.chain.join(" → ");
        format!("chart {parent}: dependency {}: {reason}", wanted.dependency)
    };
    match error {
        EngineError::Input(reason) => EngineError::Input(told(reason)),
        EngineError::Store(error) => match error.retry_after() {
            Some(retry_after) => EngineError::Unavailable {
                reason: told(error.to_string()),
                retry_after,
            },
            None => EngineError::Input(told(error.to_string())),
        },
        other => other,
    }
}

/// A dependency without a repository lies in its chart's own `charts/` folder or nowhere.
fn fetchable(missing: &MissingDependency) -> bool {
    missing
        .dependency
        .repository
        .as_deref()
        .is_some_and(|repository| !repository.is_empty())
}

fn alias(repository: &str) -> Option<&str> {
    repository
        .strip_prefix('@')
        .or_else(|| repository.strip_prefix("alias:"))
}

/// Whether a text is one version and no range: then nobody has to be asked which there are.
fn is_exact(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit()) && semver::Version::parse(version).is_ok()
}

/// The version to take of a chart.
fn select<'o>(offers: &'o [Offer], name: &str, version: Option<&str>) -> Result<&'o Offer, String> {
    let versions: Vec<String> = offers.iter().map(|offer| offer.version.clone()).collect();
    let at = position(&versions, version)?;
    at.and_then(|at| offers.get(at)).ok_or_else(|| {
        none_fits(
            &format!("chart {name}"),
            version,
            versions.iter().map(String::as_str),
        )
    })
}

fn position(versions: &[String], wanted: Option<&str>) -> Result<Option<usize>, String> {
    let wanted = wanted.unwrap_or_default();
    let range = match VersionRange::parse(wanted) {
        Ok(range) => range,
        // Written exactly so, a version need not be a range.
        Err(_) if versions.iter().any(|version| version == wanted) => VersionRange::any(),
        Err(error) => return Err(error.to_string()),
    };
    Ok(index::choose(
        versions.iter().map(String::as_str),
        wanted,
        &range,
    ))
}

fn none_fits<'v>(
    what: &str,
    wanted: Option<&str>,
    versions: impl Iterator<Item = &'v str>,
) -> String {
    let mut known: Vec<&str> = versions.collect();
    let more = known.len().saturating_sub(NAMED);
    known.truncate(NAMED);
    let known = match (known.is_empty(), more) {
        (true, _) => "it has no versions at all".to_owned(),
        (false, 0) => format!("there are {}", known.join(", ")),
        (false, more) => format!("there are {} and {more} more", known.join(", ")),
    };
    match wanted.filter(|wanted| !wanted.is_empty()) {
        Some(wanted) => format!("{what} has no version {wanted}; {known}"),
        None => format!("{what} has no version that is no pre-release; {known}"),
    }
}
