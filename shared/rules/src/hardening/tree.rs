//! A chart and its subcharts, as templates see each other.

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::chart::{Chart, ChartError, ChartNode};
use quench_chart::render::{Document, Rendered, Request};
use quench_chart::rewrite::Library;
use quench_chart::workload;
use serde_json::Value;

use crate::evaluate::Surroundings;
use crate::siblings::KINDS;
use crate::template::{RELEASE_FILE, SIBLINGS_FILE, release_file, siblings_file};
use crate::{Release, Siblings, scan, scan_bindings};

/// The chart a template belongs to, and its sibling objects, by the folder of templates as rendered documents name it.
pub(super) struct Tree {
    charts: BTreeMap<String, (Release, Siblings)>,
    root: Release,
    nothing: (Release, Siblings),
}

impl Tree {
    /// Reads the tree of what a chart renders to, as a release of that name.
    pub(super) fn new(chart: &Chart, request: &Request, rendered: &Rendered) -> Self {
        let release_of = |chart: &str, app_version: Option<&String>| Release {
            name: request.release.clone(),
            namespace: request.namespace.clone(),
            service: "Helm".to_owned(),
            chart: chart.to_owned(),
            app_version: app_version.cloned().unwrap_or_default(),
        };
        let mut objects: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for document in &rendered.documents {
            if let Some(object) = &document.object {
                objects
                    .entry(folder(&document.source))
                    .or_default()
                    .extend(workload::objects(object));
            }
        }
        let charts = objects
            .into_iter()
            .map(|(folder, objects)| {
                let names = chart_names(folder);
                let node = node_of(chart.root(), &names);
                let elsewhere = node.is_some_and(|node| bindings_elsewhere(chart, node));
                let release = release_of(
                    names.last().copied().unwrap_or_default(),
                    node.and_then(|node| node.app_version.as_ref()),
                );
                (
                    folder.to_owned(),
                    (release, Siblings::of(objects, elsewhere)),
                )
            })
            .collect();
        let root = release_of(chart.name(), chart.root().app_version.as_ref());
        Self {
            charts,
            root,
            nothing: <(Release, Siblings)>::default(),
        }
    }

    /// The given surroundings, as they are for the release as a whole.
    pub(super) fn around_release<'a>(&'a self, surroundings: Surroundings<'a>) -> Surroundings<'a> {
        Surroundings {
            release: &self.root,
            ..surroundings
        }
    }

    /// The given surroundings, as they are where a document comes from.
    pub(super) fn around<'a>(
        &'a self,
        document: &Document,
        surroundings: Surroundings<'a>,
    ) -> Surroundings<'a> {
        let (release, siblings) = self
            .charts
            .get(folder(&document.source))
            .unwrap_or(&self.nothing);
        Surroundings {
            release,
            siblings,
            ..surroundings
        }
    }
}

/// `a/charts/b/templates` of `a/charts/b/templates/x/y.yaml`.
fn folder(source: &str) -> &str {
    match source.find("/templates/") {
        Some(at) => source.get(..at + "/templates".len()).unwrap_or(source),
        None => source,
    }
}

/// Names of the charts above a folder of templates, the root's first.
fn chart_names(folder: &str) -> Vec<&str> {
    folder
        .trim_end_matches("/templates")
        .split("/charts/")
        .collect()
}

/// The chart that goes by these names. Subcharts are found by alias first, as Helm renames them.
fn node_of<'c>(root: &'c ChartNode, names: &[&str]) -> Option<&'c ChartNode> {
    names.iter().skip(1).try_fold(root, |node, name| {
        let own = node
            .dependencies
            .iter()
            .find(|dependency| dependency.effective_name() == *name)
            .map_or(*name, |dependency| dependency.name.as_str());
        node.subcharts.iter().find(|subchart| subchart.name == own)
    })
}

/// Text of every file in a chart's folder of templates.
fn texts<'c>(chart: &'c Chart, node: &ChartNode) -> impl Iterator<Item = (&'c str, &'c str)> {
    let folder = format!("{}templates/", node.prefix);
    chart.files().iter().filter_map(move |(path, content)| {
        let below = path.strip_prefix(&folder)?;
        Some((below, std::str::from_utf8(content).ok()?))
    })
}

fn bindings_elsewhere(chart: &Chart, node: &ChartNode) -> bool {
    chart
        .nodes()
        .into_iter()
        .filter(|other| other.prefix != node.prefix)
        .any(|other| texts(chart, other).any(|(_, text)| scan_bindings(text)))
}

/// Puts into a rewritten tree what its library needs beside the templates: the root's template that is rendered last,
/// and in each chart the file that names its templates with accounts, roles, bindings and Services.
/// `plain` is the tree before it was rewritten, and `rendered` what it renders to: templates whose text does not
/// show what they render may be known by that.
pub(super) fn complete(
    rewritten: &mut Chart,
    library: &Library,
    plain: &Chart,
    rendered: &Rendered,
) -> Result<(), ChartError> {
    let seen: BTreeSet<&str> = rendered
        .documents
        .iter()
        .filter(|document| {
            document
                .object
                .iter()
                .flat_map(workload::objects)
                .filter_map(|object| object.get("kind").and_then(Value::as_str))
                .any(|kind| KINDS.contains(&kind))
        })
        .map(|document| document.source.as_str())
        .collect();
    if rewritten.file(&library.path()).is_some() {
        rewritten.insert(RELEASE_FILE, release_file(&library.prefix))?;
    }
    // Partials are global: whoever includes anything may include one that renders such an object.
    let in_partials = plain
        .nodes()
        .into_iter()
        .any(|node| texts(plain, node).any(|(path, text)| is_partial(path) && scan(text)));
    for node in plain.nodes() {
        let templates: Vec<&str> = node.rendered_templates(plain.files()).collect();
        if templates.is_empty() {
            continue;
        }
        let folder = format!("{}templates", node.prefix);
        let bodies: Vec<String> = texts(rewritten, node)
            .filter(|(path, _)| plain.file(&format!("{folder}/{path}")).is_none())
            .filter(|(path, _)| !path.starts_with("_quench"))
            .filter(|(path, text)| {
                scan(text)
                    || (in_partials && (text.contains("include") || text.contains("template")))
                    || seen.iter().any(|source| renders(source, node, path))
            })
            .map(|(path, _)| format!("/{path}"))
            .collect();
        let elsewhere = bindings_elsewhere(plain, node);
        rewritten.insert(
            &format!("{folder}/{SIBLINGS_FILE}"),
            siblings_file(&bodies, elsewhere),
        )?;
    }
    Ok(())
}

fn is_partial(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with('_'))
}

/// Whether the document of that source may come from the body at `path`, below the templates of `node`.
fn renders(source: &str, node: &ChartNode, path: &str) -> bool {
    let Some((chart, template)) = source.split_once("/templates/") else {
        return false;
    };
    let depth = |text: &str| text.matches("charts/").count();
    let (folder, body) = path.rsplit_once('/').unwrap_or(("", path));
    let (source_folder, base) = template.rsplit_once('/').unwrap_or(("", template));
    depth(chart) == depth(&node.prefix)
        && folder == source_folder
        && body.starts_with('_')
        && body.trim_end_matches(".tpl").ends_with(base)
}

/// Takes out what hardening put into a chart beside its templates.
pub(super) fn remove_own_files(chart: &mut Chart) -> Result<(), ChartError> {
    let files: Vec<String> = chart
        .nodes()
        .into_iter()
        .flat_map(|node| {
            [
                format!("{}templates/{SIBLINGS_FILE}", node.prefix),
                format!("{}{RELEASE_FILE}", node.prefix),
            ]
        })
        .collect();
    for file in files {
        chart.remove(&file)?;
    }
    Ok(())
}
