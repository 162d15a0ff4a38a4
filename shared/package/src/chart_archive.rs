//! The chart of a revision as the store has it: a standard Helm OCI artefact.

use quench_chart::Chart;
use quench_content::artefact::Manifest;
use quench_content::{Store, blocking};
use quench_model::{Descriptor, annotation, media_type};
use serde_json::Value;

use crate::PackageError;
use crate::package::ChartEntry;

/// Most bytes of a chart archive that is read.
const CHART_LIMIT: u64 = 512 << 20;

/// Reads a chart from its archive.
///
/// # Errors
/// Not there, or no chart.
pub async fn read_chart(store: &Store, archive: &Descriptor) -> Result<Chart, PackageError> {
    let bytes = store.read(archive, CHART_LIMIT).await?;
    let name = format!("chart {}", archive.digest);
    blocking(move || Chart::from_tgz(bytes.as_slice(), &name).map_err(PackageError::Chart)).await
}

/// Packs a chart and stores it: `Chart.yaml` as JSON is the configuration of its artefact, the archive its layer.
pub(crate) async fn store_chart(store: &Store, chart: Chart) -> Result<ChartEntry, PackageError> {
    let metadata = chart.metadata().clone();
    let packed = blocking(move || chart.to_tgz().map_err(PackageError::Chart)).await?;
    let archive = store.put(media_type::HELM_CHART, &packed).await?;
    let mut manifest = Manifest::artefact("", vec![archive]);
    manifest.artifact_type = None;
    manifest.config = store.put_json(media_type::HELM_CONFIG, &metadata).await?;
    for (annotation, field) in [
        (annotation::TITLE, "name"),
        (annotation::VERSION, "version"),
    ] {
        if let Some(text) = metadata.get(field).and_then(Value::as_str) {
            manifest
                .annotations
                .insert(annotation.to_owned(), text.to_owned());
        }
    }
    let manifest = store.put_manifest(&manifest).await?;
    Ok(ChartEntry { manifest })
}

/// The archive that the manifest of a chart's artefact lists.
pub(crate) fn archive_of(
    manifest: Manifest,
    chart: &ChartEntry,
) -> Result<Descriptor, PackageError> {
    manifest
        .layers
        .into_iter()
        .find(|layer| layer.media_type == media_type::HELM_CHART)
        .ok_or_else(|| PackageError::Malformed {
            digest: chart.manifest.digest.clone(),
            reason: "the chart's manifest lists no chart archive".to_owned(),
        })
}
