//! Which templates read which values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::chart::{Chart, ChartNode};

#[expect(
    clippy::expect_used,
    reason = "the patterns are constant, and used by tests"
)]
mod patterns {
    use super::{LazyLock, Regex};

    pub(super) static FIELD: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\.Values((?:\.[A-Za-z_][A-Za-z0-9_]*)+)").expect("valid pattern")
    });
    pub(super) static INDEX: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"index\s+[$\w.]*\.Values((?:\.[A-Za-z_][A-Za-z0-9_]*)*)((?:\s+"[^"{}]*")+)"#)
            .expect("valid pattern")
    });
}

/// References to values in the templates of one chart.
pub(super) struct Usage {
    by_path: BTreeMap<Vec<String>, BTreeSet<String>>,
}

impl Usage {
    /// Reads the templates of a chart, partials and notes too.
    pub(super) fn of(chart: &Chart, node: &ChartNode) -> Self {
        let folder = format!("{}templates/", node.prefix);
        let end = format!("{}templates0", node.prefix);
        let mut by_path: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
        for (path, content) in chart.files().range(folder..end) {
            let Ok(text) = std::str::from_utf8(content) else {
                continue;
            };
            for reference in references(text) {
                by_path.entry(reference).or_default().insert(path.clone());
            }
        }
        Self { by_path }
    }

    /// Templates that read the value at a path, a map around it, or something within it.
    pub(super) fn readers(&self, path: &[String]) -> BTreeSet<String> {
        let around = (1..=path.len())
            .filter_map(|length| self.by_path.get(path.get(..length)?))
            .flatten();
        let within = self
            .by_path
            .range(path.to_vec()..)
            .take_while(|(reference, _)| reference.starts_with(path))
            .filter(|_| !path.is_empty())
            .flat_map(|(_, readers)| readers);
        around.chain(within).cloned().collect()
    }
}

fn references(text: &str) -> BTreeSet<Vec<String>> {
    let fields = |text: &str| -> Vec<String> {
        text.split('.')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut found: BTreeSet<Vec<String>> = patterns::FIELD
        .captures_iter(text)
        .filter_map(|found| Some(fields(found.get(1)?.as_str())))
        .collect();
    for indexed in patterns::INDEX.captures_iter(text) {
        let mut path = indexed
            .get(1)
            .map(|dotted| fields(dotted.as_str()))
            .unwrap_or_default();
        let keys = indexed.get(2).map_or("", |keys| keys.as_str());
        // Keys in quotes: every second part between quotes.
        path.extend(keys.split('"').skip(1).step_by(2).map(str::to_owned));
        found.insert(path);
    }
    found
}
