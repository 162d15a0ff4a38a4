//! What two charts differ in: version, values, and what they render to.

use anyhow::Result;
use quench_chart::compare::{Options, compare as compare_rendered};
use quench_chart::render::{Helm, Rendered, Request};
use quench_chart::{Chart, yaml};
use quench_package::{Context, Package};
use serde::Serialize;
use serde_json::Value;

use crate::exit::Failure;

/// What two charts differ in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartDifference {
    /// Version before.
    pub version_before: String,
    /// Version after.
    pub version_after: String,
    /// Values in force that differ.
    pub values: Vec<ValueChange>,
    /// Fields of rendered objects that differ, the first of them.
    pub objects: Vec<ValueChange>,
    /// How many fields of rendered objects differ in all.
    pub objects_total: usize,
}

/// A value that differs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueChange {
    /// Rendered object, for a field of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// JSON pointer; empty for all of an object.
    pub path: String,
    /// Before; nothing where it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// After; nothing where it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl ChartDifference {
    pub fn is_empty(&self) -> bool {
        self.version_before == self.version_after
            && self.values.is_empty()
            && self.objects_total == 0
    }
}

/// A package's chart and how it is rendered.
struct Side {
    chart: Chart,
    request: Request,
    values: Value,
}

impl Side {
    async fn of(context: &Context, package: &Package, values: Option<&[Vec<u8>]>) -> Result<Self> {
        let store = &context.store;
        let chart = package.load_chart(store).await?;
        let demands = package.request(store).await?;
        let mut merged = chart.values()?;
        let mut texts = Vec::new();
        for (index, bytes) in values.unwrap_or(&demands.values).iter().enumerate() {
            let refuse =
                |reason: String| Failure::usage(format!("values file {}: {reason}", index + 1));
            let text = yaml::text(bytes).map_err(|e| refuse(e.to_string()))?;
            let given = yaml::values(text).map_err(|e| refuse(e.to_string()))?;
            yaml::override_values(&mut merged, &given);
            texts.push(text.to_owned());
        }
        Ok(Self {
            request: Request {
                release: package.name.to_string(),
                values: texts,
                kube_version: demands.target.kube_version,
                ..Request::default()
            },
            chart,
            values: merged,
        })
    }

    async fn render(&self, helm: &Helm) -> Result<Rendered> {
        Ok(helm.render(&self.chart, &self.request).await?)
    }
}

pub(super) async fn compare(
    context: &Context,
    before: &Package,
    after: &Package,
    values: Option<&[Vec<u8>]>,
) -> Result<ChartDifference> {
    let (one, two) = (
        Side::of(context, before, values).await?,
        Side::of(context, after, values).await?,
    );
    let mut difference = ChartDifference {
        version_before: before.version.clone(),
        version_after: after.version.clone(),
        values: Vec::new(),
        objects: Vec::new(),
        objects_total: 0,
    };
    walk(
        Some(&one.values),
        Some(&two.values),
        "",
        &mut difference.values,
    );
    if before.chart == after.chart && one.request.values == two.request.values {
        return Ok(difference);
    }
    let helm = Helm::find().map_err(|error| Failure::missing(error.to_string()))?;
    context.progress.start("render", 3);
    // Twice, since charts put in random passwords and certificates.
    let left = one.render(&helm).await?;
    context.progress.advance(1);
    let again = one.render(&helm).await?;
    context.progress.advance(1);
    let right = two.render(&helm).await?;
    context.progress.finish();
    let options = Options {
        ignore_checksums: true,
        again: std::slice::from_ref(&again),
    };
    let rendered = compare_rendered(&left, &right, options);
    difference.objects_total = rendered.total;
    difference.objects = rendered
        .differences
        .into_iter()
        .map(|found| ValueChange {
            object: Some(found.object.to_string()),
            path: found.pointer,
            before: found.left,
            after: found.right,
        })
        .collect();
    Ok(difference)
}

fn walk(before: Option<&Value>, after: Option<&Value>, path: &str, changes: &mut Vec<ValueChange>) {
    if before == after {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) {
        let added = new.keys().filter(|key| !old.contains_key(*key));
        for key in old.keys().chain(added) {
            let step = key.replace('~', "~0").replace('/', "~1");
            walk(
                old.get(key),
                new.get(key),
                &format!("{path}/{step}"),
                changes,
            );
        }
        return;
    }
    changes.push(ValueChange {
        object: None,
        path: path.to_owned(),
        before: before.cloned(),
        after: after.cloned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_differ_where_they_differ_and_nowhere_else() {
        let (one, two) = (
            json!({"a": 1, "b": {"c": [1], "d/e": 2}, "gone": true}),
            json!({"a": 1, "b": {"c": [2], "d/e": 2, "new": {}}}),
        );
        let mut changes = Vec::new();
        walk(Some(&one), Some(&two), "", &mut changes);
        let paths: Vec<&str> = changes.iter().map(|c| c.path.as_str()).collect();
        assert_eq!(paths, ["/b/c", "/b/new", "/gone"]);
        walk(Some(&one), Some(&one), "", &mut changes);
        assert_eq!(changes.len(), 3);
    }
}
