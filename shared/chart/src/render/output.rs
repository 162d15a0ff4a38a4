//! Taking apart what `helm template` prints.

use serde_json::Value;

use super::{Document, RenderError, Rendered};
use crate::yaml;

const SOURCE: &str = "# Source: ";

/// Splits helm's output into documents. Helm writes `---` and `# Source: <template>` before each; only files
/// under `crds/` may hold further separators, and what follows those belongs to the same source.
pub(super) fn parse(text: String, chart: &str) -> Result<Rendered, RenderError> {
    let mut documents = Vec::new();
    for (source, body) in split(&text) {
        let object = yaml::parse(body).map_err(|error| RenderError::Output {
            chart: chart.to_owned(),
            template: source.to_owned(),
            source: error,
        })?;
        documents.push(Document {
            source: source.to_owned(),
            text: body.to_owned(),
            object: match object {
                Value::Null => None,
                object => Some(object),
            },
        });
    }
    Ok(Rendered { text, documents })
}

/// Source and text of each document that is not empty.
pub(super) fn split(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut source = "";
    for part in yaml::documents(text) {
        let mut body = part;
        if let Some((first, rest)) = part.split_once('\n').or(Some((part, "")))
            && let Some(named) = first.strip_prefix(SOURCE)
        {
            source = named.trim_end();
            body = rest;
        }
        if !body.trim().is_empty() {
            found.push((source, body));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_their_source() {
        let text = "---\n# Source: c/templates/a.yaml\nkind: A\n---\n# Source: c/crds/x.yaml\nkind: B\n---\nkind: C\n\
                    ---\n# Source: c/templates/only.yaml\n# nothing but this\n";
        let rendered = parse(text.to_owned(), "c").unwrap();
        let found: Vec<_> = rendered
            .documents
            .iter()
            .map(|d| (d.source.as_str(), d.object.is_some()))
            .collect();
        assert_eq!(
            found,
            [
                ("c/templates/a.yaml", true),
                ("c/crds/x.yaml", true),
                ("c/crds/x.yaml", true),
                ("c/templates/only.yaml", false),
            ]
        );
    }
}
