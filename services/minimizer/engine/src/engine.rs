//! The engine: a package at level 4 in, at level 5 out.

use std::collections::BTreeMap;

use quench_chart::Chart;
use quench_chart::render::{Helm, Request as RenderRequest};
use quench_content::artefact::Index;
use quench_image::{Image, platforms};
use quench_model::{
    Cause, CauseKind, Descriptor, Digest, Finding, FindingKind, FindingState, Level, media_type,
};
use quench_package::{
    Attachment, Context, EngineError, Outcome, Package, PackageImage, Request, Work,
    current_findings,
};
use serde_json::Value;

use crate::demand::{Demand, ImageNames};
use crate::documents::{Documents, describe};
use crate::minimize::{Minimized, minimize, unreadable};
use crate::report::Report;
use crate::{ENGINE_VERSION, repin};

/// Level 5.
#[derive(Debug, Clone)]
pub struct Engine {
    helm: Helm,
}

impl Engine {
    /// An engine that renders with `helm`.
    pub fn new(helm: Helm) -> Self {
        Self { helm }
    }

    /// Brings a package to [`Level::Minimized`]: each image keeps what the chart makes it need.
    ///
    /// # Errors
    /// When the chart does not render, an image cannot be read, or the store fails. An image that cannot be
    /// minimised far is no error: the report says how far, and why not further.
    pub async fn run(&self, input: &Package, context: &Context) -> Result<Outcome, EngineError> {
        let request = input.request(&context.store).await?;
        let policy = request.policy.digest();
        let work = Work {
            level: Level::Minimized,
            engine_version: ENGINE_VERSION,
            input: &input.revision.digest,
            policy: &policy,
            epoch: None,
        };
        work.replay_or_run(context, async || {
            self.minimize(input, &request, context).await
        })
        .await
    }

    async fn minimize(
        &self,
        input: &Package,
        request: &Request,
        context: &Context,
    ) -> Result<Outcome, EngineError> {
        let mut parts = input.advance(&context.store, Level::Minimized).await?;
        let objects = self.render(&parts.chart, request).await?;
        let mut findings = current_findings(&context.store, input).await?;
        let mut report = Report {
            level: Level::Minimized.to_string(),
            images: Vec::new(),
        };
        let mut documents = Vec::new();
        let mut replaced: BTreeMap<Digest, Digest> = BTreeMap::new();
        context
            .progress
            .start("minimizing images", input.images.len() as u64);
        for image in &mut parts.images {
            context.check_cancelled()?;
            let before = image.descriptor.digest.clone();
            let results = self.image(image, &objects, context).await?;
            let mut described = Vec::new();
            for result in &results {
                described.push(describe(&context.store, image, &result.manifest).await?);
            }
            resolve_findings(&mut findings, image, &results, &described);
            documents.extend(described);
            replaced.insert(before, image.descriptor.digest.clone());
            report
                .images
                .extend(results.into_iter().map(|result| result.report));
            context.progress.advance(1);
        }
        context.progress.finish();
        repin::repin(&mut parts.chart, &replaced)?;
        let package = Package::store(&context.store, parts).await?;
        for document in &documents {
            document.attach(&context.store, &package.revision).await?;
        }
        let bytes = serde_json::to_vec(&report)
            .map_err(|e| EngineError::Input(format!("the report cannot be written: {e}")))?;
        Attachment::attach(
            &context.store,
            &package.revision,
            media_type::REPORT,
            Level::Minimized,
            None,
            &bytes,
        )
        .await?;
        Ok(Outcome::new(package, findings))
    }

    async fn render(&self, chart: &Chart, request: &Request) -> Result<Vec<Value>, EngineError> {
        let values = request
            .values
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect();
        let render = RenderRequest {
            values,
            kube_version: request.target.kube_version.clone(),
            ..RenderRequest::default()
        };
        let rendered = self
            .helm
            .render(chart, &render)
            .await
            .map_err(|e| EngineError::Input(e.to_string()))?;
        Ok(rendered.objects().cloned().collect())
    }

    /// Minimises every platform of an image and puts the result into `image`.
    async fn image(
        &self,
        image: &mut PackageImage,
        objects: &[Value],
        context: &Context,
    ) -> Result<Vec<Minimized>, EngineError> {
        let store = &context.store;
        let reference = image.reference.to_string();
        let images = platforms(store, &image.descriptor)
            .await
            .map_err(unreadable)?;
        let mut results = Vec::new();
        for descriptor in &images {
            let demand = |opened: &Image| {
                let names = ImageNames {
                    reference: &image.reference,
                    digests: vec![
                        &image.original,
                        &image.descriptor.digest,
                        &descriptor.digest,
                    ],
                };
                Demand::of(objects, &names, &opened.config.run)
            };
            results.push(minimize(context, &reference, descriptor, &demand).await?);
        }
        image.descriptor = match results.as_slice() {
            [only] if !image.descriptor.is_index() => only.manifest.clone(),
            _ => {
                let manifests: Vec<Descriptor> = results
                    .iter()
                    .map(|result| result.manifest.clone())
                    .collect();
                store
                    .put_json(media_type::INDEX, &Index::of(manifests))
                    .await?
            }
        };
        Ok(results)
    }
}

/// Resolves findings of an image whose package, file or right is gone from every platform.
fn resolve_findings(
    findings: &mut [Finding],
    image: &PackageImage,
    results: &[Minimized],
    documents: &[Documents],
) {
    let catalogued = |purl: &str| {
        let mut packages = documents
            .iter()
            .flat_map(|document| &document.inventory.packages);
        packages.any(|package| package.purl == purl)
    };
    for finding in findings {
        if !finding.state.is_open()
            || finding.subject.image.as_deref() != Some(image.reference.name().as_str())
        {
            continue;
        }
        let detail = match (
            finding.kind,
            &finding.subject.purl,
            &finding.subject.location,
        ) {
            (
                FindingKind::Vulnerability | FindingKind::EndOfLife | FindingKind::Licence,
                Some(purl),
                _,
            ) => {
                let gone = results.iter().all(|result| is_gone(result, purl));
                (gone && !catalogued(purl)).then(|| format!("{purl} is no longer in the image"))
            }
            (FindingKind::Malware | FindingKind::Secret, _, Some(path))
                if path.starts_with('/') =>
            {
                results
                    .iter()
                    .all(|result| result.image.tree().locate(path).is_err())
                    .then(|| format!("{path} is no longer in the image"))
            }
            (FindingKind::Configuration, None, None)
                if finding.canonical_id == "image-privileged-files" =>
            {
                let mut inventories = documents.iter().map(|document| &document.inventory);
                inventories
                    .all(|inventory| inventory.privileged_files.is_empty())
                    .then(|| "no file of the image has rights beyond its user's".to_owned())
            }
            _ => None,
        };
        if let Some(detail) = detail {
            finding.state = FindingState::Resolved;
            finding.cause = Some(Cause {
                kind: CauseKind::Minimized,
                detail,
                epoch: None,
            });
        }
    }
}

/// Whether a package that was in the original has no file left. What was never catalogued there is not gone.
fn is_gone(result: &Minimized, purl: &str) -> bool {
    let Some(path) = purl.strip_prefix("pkg:deb/") else {
        return false;
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.rsplit_once('@').map_or(path, |(path, _)| path);
    let name = path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .replace("%2B", "+");
    // Names of binary packages first; advisories may name the source instead.
    let mut named: Vec<_> = result.packages.iter().filter(|p| p.name == name).collect();
    if named.is_empty() {
        named = result
            .packages
            .iter()
            .filter(|p| p.source == name)
            .collect();
    }
    !named.is_empty() && named.iter().all(|package| !package.left)
}
