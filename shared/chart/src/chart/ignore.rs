//! `.helmignore`: which files of a folder are part of the chart.
//!
//! Helm's rules differ from git's: patterns are tried in order and the first that matches decides; a negated
//! pattern (`!keep.me`) *ignores whatever it does not match*; `**` is refused; and files under `templates/`
//! that start with a dot are always ignored.

use std::fmt;

use super::glob;

/// Name of the file.
pub(super) const FILE_NAME: &str = ".helmignore";

/// Patterns of a `.helmignore`, with Helm's own default after them.
#[derive(Debug, Clone)]
pub struct IgnoreRules {
    patterns: Vec<Pattern>,
}

/// A line that Helm refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreError {
    line: usize,
    pattern: String,
    reason: &'static str,
}

impl fmt::Display for IgnoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {:?}: {}", self.line, self.pattern, self.reason)
    }
}

impl std::error::Error for IgnoreError {}

#[derive(Debug, Clone)]
struct Pattern {
    glob: String,
    negated: bool,
    folders_only: bool,
    /// Matched against the whole path rather than the base name.
    whole_path: bool,
}

impl IgnoreRules {
    /// Reads the text of a `.helmignore`; the empty text gives Helm's defaults alone.
    ///
    /// # Errors
    /// Names the line that Helm would refuse.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (index, line) in text.lines().enumerate() {
            patterns.extend(pattern(line).map_err(|reason| IgnoreError {
                line: index + 1,
                pattern: line.chars().take(200).collect(),
                reason,
            })?);
        }
        patterns.extend(pattern("templates/.?*").ok().flatten());
        Ok(Self { patterns })
    }

    /// Whether Helm leaves out the file or folder at this path (relative to the chart, with `/`). What lies in
    /// an ignored folder is ignored too; ask for each folder on the way.
    pub fn ignores(&self, path: &str, is_folder: bool) -> bool {
        if matches!(path, "" | "." | "./") {
            return false;
        }
        let base = path.rsplit('/').next().unwrap_or(path);
        for pattern in &self.patterns {
            let name = if pattern.whole_path { path } else { base };
            let matched = glob::matches(&pattern.glob, name).unwrap_or(false);
            if pattern.negated {
                if (pattern.folders_only && !is_folder) || !matched {
                    return true;
                }
            } else if matched && (is_folder || !pattern.folders_only) {
                return true;
            }
        }
        false
    }

    /// Whether Helm leaves out the file at this path, or a folder it lies in.
    pub fn ignores_file(&self, path: &str) -> bool {
        path.match_indices('/')
            .filter_map(|(end, _)| path.get(..end))
            .any(|folder| self.ignores(folder, true))
            || self.ignores(path, false)
    }
}

fn pattern(line: &str) -> Result<Option<Pattern>, &'static str> {
    let rule = line.trim();
    if rule.is_empty() || rule.starts_with('#') {
        return Ok(None);
    }
    if rule.contains("**") {
        return Err("helm does not support double stars");
    }
    if glob::matches(rule, "abc").is_err() {
        return Err("is not a valid pattern");
    }
    let (negated, rule) = match rule.strip_prefix('!') {
        Some(rule) => (true, rule),
        None => (false, rule),
    };
    let (folders_only, rule) = match rule.strip_suffix('/') {
        Some(rule) => (true, rule),
        None => (false, rule),
    };
    let (whole_path, rule) = match rule.strip_prefix('/') {
        Some(rule) => (true, rule),
        None => (rule.contains('/'), rule),
    };
    Ok(Some(Pattern {
        glob: rule.to_owned(),
        negated,
        folders_only,
        whole_path,
    }))
}

/// The text without the lines that hide any of `paths`; `None` where none does. The order of the lines that
/// stay is kept, and none of them can come to hide what it did not hide before: each line hides on its own.
pub(super) fn settle<'a>(
    text: &str,
    paths: impl Iterator<Item = &'a str> + Clone,
) -> Option<String> {
    let hides = |line: &str| match pattern(line) {
        Ok(None) => false,
        Ok(Some(pattern)) => {
            let rules = IgnoreRules {
                patterns: vec![pattern],
            };
            paths.clone().any(|path| rules.ignores_file(path))
        }
        // Helm would refuse the whole folder for it.
        Err(_) => true,
    };
    let mut changed = false;
    let mut settled = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if hides(line.strip_prefix('\u{feff}').unwrap_or(line)) {
            changed = true;
        } else {
            settled.push_str(line);
        }
    }
    changed.then_some(settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> IgnoreRules {
        IgnoreRules::parse(text).unwrap()
    }

    #[test]
    fn patterns_match_names_or_paths_as_helm_has_it() {
        let rules = rules("# comment\n\n*.orig\nci/\n/top.txt\ndocs/*.md\n");
        assert!(rules.ignores("templates/x.yaml.orig", false));
        assert!(rules.ignores("ci", true));
        assert!(rules.ignores("charts/a/ci", true), "base name, any depth");
        assert!(!rules.ignores("ci", false), "a file is no folder");
        assert!(rules.ignores("top.txt", false));
        assert!(!rules.ignores("charts/top.txt", false));
        assert!(rules.ignores("docs/a.md", false));
        assert!(!rules.ignores("docs/a/b.md", false));
        assert!(rules.ignores("templates/.hidden.yaml", false), "default");
        assert!(!rules.ignores("charts/a/templates/.hidden.yaml", false));
        assert!(rules.ignores_file("ci/deep/values.yaml"));
    }

    #[test]
    fn a_negated_pattern_ignores_what_it_does_not_match() {
        let rules = rules("!*.yaml\n");
        assert!(!rules.ignores("values.yaml", false));
        assert!(rules.ignores("README.md", false));
    }

    #[test]
    fn double_stars_are_refused_with_their_line() {
        let error = IgnoreRules::parse("a\n**/b\n").unwrap_err();
        assert_eq!(error.line, 2);
    }

    #[test]
    fn settling_drops_only_lines_that_hide_a_file() {
        let text = "*.orig\n_*.tpl\n# kept\n.git/\n";
        let paths = ["templates/_x.yaml.tpl", "Chart.yaml"];
        assert_eq!(
            settle(text, paths.into_iter()).as_deref(),
            Some("*.orig\n# kept\n.git/\n")
        );
        assert_eq!(settle("*.orig\n", paths.into_iter()), None);
    }
}
