//! A chart as its author made it, and what it is rendered with.

use quench_chart::chart::Chart;
use quench_chart::render::{Helm, Rendered, Request};
use quench_chart::rewrite::restore;
use quench_chart::values_documentation::{SCHEMA, is_generated_schema};
use quench_package::images_lock;
use serde_json::{Map, Value};

use super::{Demands, GUIDE, HardenError, NAMESPACE_LABELS, parameters, tree};
use crate::Settings;

/// Namespace of the release that a chart is looked at in.
const NAMESPACE: &str = "release-namespace";

/// What a chart renders to as its author made it, at the values given.
pub(super) struct Base {
    pub(super) request: Request,
    pub(super) settings: Settings,
    pub(super) before: Rendered,
}

impl Base {
    pub(super) async fn new(
        helm: &Helm,
        plain: &Chart,
        demands: Demands<'_>,
    ) -> Result<Self, HardenError> {
        let request = request(demands)?;
        let defaults = Settings::new(demands.policy, demands.target);
        let settings = settings_in_force(plain, &request, &defaults)?;
        let before = helm.render(plain, &request).await?;
        Ok(Self {
            request,
            settings,
            before,
        })
    }
}

/// The chart without anything hardening put into it. Without the image lock of a package, too: who stores the chart in a
/// package puts that package's in.
pub(super) fn plain(chart: &Chart) -> Result<Chart, HardenError> {
    let mut plain = restore(chart)?;
    tree::remove_own_files(&mut plain)?;
    parameters::remove_file(&mut plain)?;
    if plain.text(SCHEMA).is_some_and(is_generated_schema) {
        plain.remove(SCHEMA)?;
    }
    plain.remove(GUIDE)?;
    images_lock::remove(&mut plain)?;
    // A file of that name that a chart brings has nothing to do with hardening.
    let own = "# Pod Security labels for the namespace that chart ";
    if plain
        .text(NAMESPACE_LABELS)
        .is_some_and(|text| text.starts_with(own))
    {
        plain.remove(NAMESPACE_LABELS)?;
    }
    Ok(plain)
}

pub(super) fn request(demands: Demands<'_>) -> Result<Request, HardenError> {
    let values = demands
        .values
        .iter()
        .enumerate()
        .map(|(index, bytes)| {
            String::from_utf8(bytes.clone())
                .map_err(|_| HardenError::Input(format!("values file {} is not UTF-8", index + 1)))
        })
        .collect::<Result<_, _>>()?;
    Ok(Request {
        values,
        // Any but `default`, so that a chart that writes that one in so many words is told from one that goes
        // where the release goes.
        namespace: NAMESPACE.to_owned(),
        kube_version: demands.target.kube_version.clone(),
        ..Request::default()
    })
}

/// The defaults with `global.hardening` of the chart's values and the user's over them.
pub(super) fn settings_in_force(
    chart: &Chart,
    request: &Request,
    defaults: &Settings,
) -> Result<Settings, HardenError> {
    let mut hardening = Value::Object(Map::new());
    let mut layers = vec![chart.values()?];
    for (index, text) in request.values.iter().enumerate() {
        let values = quench_chart::yaml::values(text)
            .map_err(|error| HardenError::Input(format!("values file {}: {error}", index + 1)))?;
        layers.push(values);
    }
    for layer in layers {
        if let Some(given) = layer.pointer("/global/hardening") {
            quench_chart::yaml::override_values(&mut hardening, given);
        }
    }
    defaults
        .clone()
        .with_values(&hardening)
        .map_err(|error| HardenError::Input(error.to_string()))
}
