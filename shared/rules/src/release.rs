//! Release and chart an object belongs to.

/// What Helm knows of a release and of the chart within it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release {
    /// Name of the release.
    pub name: String,
    /// Namespace it goes to.
    pub namespace: String,
    /// What installs it: `Helm`.
    pub service: String,
    /// Name of the chart, or the alias it goes by.
    pub chart: String,
    /// Version of the application.
    pub app_version: String,
}

/// A text as a label value (Kubernetes: at most 63 letters, digits, `-_.`, letters or digits at both ends); empty when nothing is left.
pub(crate) fn label_value(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => c,
            _ => '_',
        })
        .take(63)
        .collect();
    text.trim_matches(['-', '_', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::label_value;

    #[test]
    fn label_values_are_valid() {
        assert_eq!(label_value("1.2.3+build.4"), "1.2.3_build.4");
        assert_eq!(label_value("-x-"), "x");
        assert_eq!(label_value(&"a".repeat(80)).len(), 63);
        assert_eq!(label_value("+"), "");
    }
}
