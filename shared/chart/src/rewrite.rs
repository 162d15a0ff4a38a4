//! Rewriting a chart so that it hardens itself.
//!
//! Each template that Helm renders keeps its body, byte for byte, under a new name that makes it a partial
//! (`templates/x.yaml` → `templates/_x.yaml.tpl`); a one-line shim takes its place, which has the body rendered *by
//! path* and passed through a template library. What the templates render to is thus changed at render time, for every
//! set of values, by helm itself. [`rewrite`] does that to a chart and its subcharts, [`restore`] undoes it.
//!
//! The library is one template file in the root chart. [`driver::library`] makes one: it holds the part that every
//! library needs (settings, splitting, parsing, printing), and calls a template given by the caller for each object.
//!
//! # Why not wrap each body in `define`?
//! A template that has `define`s of its own could not be wrapped: nested definitions are a parse error.
//!
//! # What does not reach
//! Objects that operators create later; `NOTES.txt`; files under `crds/`, which Helm does not render. A template that
//! another *chart* includes by its path finds its body only when that chart passes on the context of the chart the
//! template belongs to.

pub mod defaults;
pub mod driver;
mod names;
mod schema;
mod shim;

use bytes::Bytes;

use crate::chart::{Chart, ChartError};

/// A template library that shims call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Text of the template file: nothing but definitions, all of whose names start with `prefix`.
    pub text: String,
    /// What the names of its definitions start with. Definitions are global to a release, so a prefix must change
    /// whenever the text does.
    pub prefix: String,
}

impl Library {
    /// Name of the definition that shims include, with a list: the context, the paths of the template and of its body below
    /// the chart's templates (`/x.yaml`, `/_x.yaml.tpl`), and the folder of templates as it is called when no chart above
    /// goes by an alias.
    pub fn entry(&self) -> String {
        format!("{}.template", self.prefix)
    }

    /// Path of the library in the root chart.
    pub fn path(&self) -> String {
        format!("{LIBRARY_PREFIX}{}.tpl", self.prefix)
    }
}

/// Libraries lie in files of the root chart that start so; the underscore keeps Helm from rendering them.
const LIBRARY_PREFIX: &str = "templates/_";

/// Makes a chart that passes everything it renders through a library.
///
/// A chart that was rewritten before is restored first, so rewriting twice is rewriting once. `values.yaml` and
/// everything else but templates stays as it is; `values.schema.json` files are extended, where they would refuse it, so
/// that they accept `global.hardening`, and lines of `.helmignore` that would hide the new files are taken out.
///
/// # Errors
/// A path that results may not stand in a chart.
pub fn rewrite(chart: &Chart, library: &Library) -> Result<Chart, ChartError> {
    let mut rewritten = restore(chart)?;
    let plan = names::plan(&rewritten);
    for (template, body) in &plan {
        let Some(content) = rewritten.remove(&template.path)? else {
            continue;
        };
        rewritten.insert(body, content)?;
        let shim = shim::text(library, template, body);
        rewritten.insert(&template.path, shim)?;
    }
    if !plan.is_empty() {
        rewritten.insert(&library.path(), library.text.clone())?;
    }
    for (path, content) in extended_schemas(&rewritten) {
        rewritten.insert(&path, content)?;
    }
    rewritten.settle_ignore_rules()?;
    Ok(rewritten)
}

/// Gives a rewritten chart its templates and the defaults taken out of `values.yaml` back; a chart that was not rewritten comes back as it is. What rewriting
/// added to schemas stays.
///
/// # Errors
/// A path that results may not stand in a chart.
pub fn restore(chart: &Chart) -> Result<Chart, ChartError> {
    let mut restored = chart.clone();
    let mut prefixes = std::collections::BTreeSet::new();
    for node in chart.nodes() {
        for path in node.rendered_templates(chart.files()) {
            let Some(shim) = chart.text(path).and_then(shim::parse) else {
                continue;
            };
            let body = format!("{}templates{}", node.prefix, shim.body);
            if let Some(content) = restored.remove(&body)? {
                restored.insert(path, content)?;
                prefixes.insert(shim.prefix);
            }
        }
    }
    // A subchart that was rewritten on its own brought its library along.
    for node in chart.nodes() {
        for prefix in &prefixes {
            restored.remove(&format!("{}{LIBRARY_PREFIX}{prefix}.tpl", node.prefix))?;
        }
        let values = format!("{}values.yaml", node.prefix);
        if !prefixes.is_empty()
            && let Some(text) = chart.text(&values)
        {
            let original = defaults::put_back(text);
            if original != text {
                restored.insert(&values, original)?;
            }
        }
    }
    Ok(restored)
}

/// Whether a chart was rewritten.
pub fn is_rewritten(chart: &Chart) -> bool {
    chart.nodes().iter().any(|node| {
        node.rendered_templates(chart.files())
            .any(|path| chart.text(path).and_then(shim::parse).is_some())
    })
}

fn extended_schemas(chart: &Chart) -> Vec<(String, Bytes)> {
    chart
        .nodes()
        .into_iter()
        .filter_map(|node| {
            let path = format!("{}values.schema.json", node.prefix);
            let extended = schema::accept_hardening(chart.text(&path)?)?;
            Some((path, Bytes::from(extended)))
        })
        .collect()
}
