//! Where bodies of templates go.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::chart::Chart;

/// A template to be replaced by a shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    /// Path in the root chart: `charts/redis/templates/sub/x.yaml`.
    pub(super) path: String,
    /// The chart's folder of templates, without a slash at the end: `charts/redis/templates`.
    pub(super) folder: String,
    /// `.Template.BasePath` as it is where no chart above goes by an alias: `nginx/charts/redis/templates`.
    pub(super) static_base: String,
}

/// Templates that define named templates themselves.
#[expect(
    clippy::expect_used,
    reason = "the pattern is constant, and used by tests"
)]
static DEFINES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{-?\s*(?:define|block)\b").expect("valid pattern"));

/// Every template to be replaced, with the path of its body.
pub(super) fn plan(chart: &Chart) -> Vec<(Template, String)> {
    let mut taken: BTreeSet<String> = chart.files().keys().cloned().collect();
    let mut plan = Vec::new();
    let mut nodes = vec![(chart.root(), chart.name().to_owned())];
    while let Some((node, static_name)) = nodes.pop() {
        nodes.extend(
            node.subcharts
                .iter()
                .map(|subchart| (subchart, format!("{static_name}/charts/{}", subchart.name))),
        );
        for path in node.rendered_templates(chart.files()) {
            let defines = chart.text(path).is_some_and(|text| DEFINES.is_match(text));
            let body = body_path(path, defines, &taken);
            taken.insert(body.clone());
            let template = Template {
                path: path.to_owned(),
                folder: format!("{}templates", node.prefix),
                static_base: format!("{static_name}/templates"),
            };
            plan.push((template, body));
        }
    }
    plan.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    plan
}

/// `templates/sub/x.yaml` → `templates/sub/_x.yaml.tpl`, or another name where that is taken.
///
/// Helm parses the templates of one folder in descending order of their names, and of two definitions of one name the one
/// parsed last holds. A body that defines something must keep its place among partials: behind all of
/// them if it began with a letter that sorts behind `_`, before all of them otherwise.
fn body_path(path: &str, defines: bool, taken: &BTreeSet<String>) -> String {
    let (folder, base) = path.rsplit_once('/').unwrap_or(("", path));
    let mut mark = match base.bytes().next() {
        Some(first) if defines && first > b'_' => "_~",
        Some(_) if defines => "_!",
        _ => "_",
    }
    .to_owned();
    loop {
        let body = format!("{folder}/{mark}{base}.tpl");
        if !taken.contains(&body) {
            return body;
        }
        mark.push('_');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_collide_and_keep_their_folder() {
        let taken: BTreeSet<_> = ["t/_x.yaml.tpl".to_owned()].into();
        assert_eq!(body_path("t/x.yaml", false, &taken), "t/__x.yaml.tpl");
        assert_eq!(body_path("t/a/x.yaml", false, &taken), "t/a/_x.yaml.tpl");
        assert_eq!(body_path("t/x.yaml", true, &taken), "t/_~x.yaml.tpl");
        assert_eq!(body_path("t/X.yaml", true, &taken), "t/_!X.yaml.tpl");
    }

    #[test]
    fn definitions_are_recognised() {
        assert!(DEFINES.is_match("{{- define \"x\" }}"));
        assert!(DEFINES.is_match("{{block \"x\" .}}"));
        assert!(!DEFINES.is_match("define"));
    }
}
