//! The index of a classic chart repository (`index.yaml`).

use saphyr_parser::{Event, Parser, StrInput};
use semver::Version;
use serde_json::Value;

use crate::version_range::{VersionRange, compare, version};
use crate::yaml::{self, YamlError};

/// A version of a chart that a repository offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Version as written.
    pub version: String,
    /// Where its archive is: absolute, or relative to the repository's URL. The first is the one Helm takes.
    pub urls: Vec<String>,
    /// SHA-256 of the archive in hexadecimal digits; repositories may leave it out.
    pub digest: Option<String>,
}

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It is not YAML.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// It is YAML of another sort.
    #[error("it has no map of entries, so it is no index of a chart repository")]
    NotAnIndex,
}

/// What an index offers of one chart, newest first; versions that are none come last, in their order. None where
/// the chart is not in the index.
///
/// An index may list tens of thousands of versions: of all but the wanted chart nothing is kept.
///
/// # Errors
/// The text is no index.
pub fn offers(index: &str, chart: &str) -> Result<Option<Vec<Offer>>, IndexError> {
    let Some(entries) = entry(index, chart)? else {
        return Ok(None);
    };
    let mut found: Vec<(Option<Version>, Offer)> = entries
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter_map(offer)
        .map(|offer| (version(&offer.version), offer))
        .collect();
    found.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) => compare(b, a),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => std::cmp::Ordering::Equal,
    });
    Ok(Some(found.into_iter().map(|(_, offer)| offer).collect()))
}

/// The version Helm would take: one written exactly like `wanted`, else the newest in that range. Gives its position.
pub fn choose<'a>(
    versions: impl Iterator<Item = &'a str> + Clone,
    wanted: &str,
    range: &VersionRange,
) -> Option<usize> {
    if !wanted.is_empty()
        && let Some(exact) = versions.clone().position(|text| text == wanted)
    {
        return Some(exact);
    }
    let mut best: Option<(usize, Version)> = None;
    for (at, text) in versions.enumerate() {
        let Some(found) = version(text).filter(|found| range.takes(found)) else {
            continue;
        };
        if best
            .as_ref()
            .is_none_or(|(_, newest)| compare(&found, newest).is_gt())
        {
            best = Some((at, found));
        }
    }
    best.map(|(at, _)| at)
}

fn offer(entry: &Value) -> Option<Offer> {
    let urls: Vec<String> = entry
        .get("urls")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .filter(|url| !url.is_empty())
        .map(str::to_owned)
        .collect();
    let version = match entry.get("version")? {
        Value::String(text) => text.clone(),
        // `version: 1.10` is what its author wrote; there is no telling it from `1.1`.
        _ => return None,
    };
    let digest = entry
        .get("digest")
        .and_then(Value::as_str)
        .map(|text| text.strip_prefix("sha256:").unwrap_or(text))
        .filter(|text| !text.is_empty())
        .map(str::to_ascii_lowercase);
    (!urls.is_empty()).then_some(Offer {
        version,
        urls,
        digest,
    })
}

/// The value under `entries` / `chart`, without keeping any other.
fn entry(index: &str, chart: &str) -> Result<Option<Value>, IndexError> {
    let mut parser = Parser::new(StrInput::new(index));
    let mut collector = yaml::Collector::default();
    // Depth of the collections around the current event; the index itself is the first.
    let mut depth = 0_usize;
    let mut expects_key = true;
    let mut in_entries = false;
    let mut seen_entries = false;
    let mut collecting = false;
    let mut found = None;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| yaml::scan_error(&error))?;
        if matches!(event, Event::DocumentEnd | Event::StreamEnd) {
            break;
        }
        if collecting {
            if let Some(value) = collector.take(event, span)? {
                // Of two equal keys the last one counts.
                found = Some(value);
                collecting = false;
                expects_key = true;
                collector = yaml::Collector::default();
            }
            continue;
        }
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 0 && !matches!(event, Event::MappingStart(..)) {
                    return Err(IndexError::NotAnIndex);
                }
                depth += 1;
                if depth > yaml::MAX_DEPTH {
                    return Err(yaml::too_deep(span.start.line()).into());
                }
                if depth <= 2 {
                    expects_key = true;
                }
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    in_entries = false;
                }
                if depth <= 2 {
                    expects_key = true;
                }
            }
            Event::Scalar(text, ..) if depth == 1 => {
                if expects_key {
                    in_entries = text == "entries";
                    seen_entries |= in_entries;
                } else {
                    in_entries = false;
                }
                expects_key = !expects_key;
            }
            Event::Scalar(text, ..) if depth == 2 && in_entries => {
                if expects_key && text == chart {
                    collecting = true;
                } else {
                    expects_key = !expects_key;
                }
            }
            Event::Alias(_) if depth == 1 || (depth == 2 && in_entries) => {
                expects_key = !expects_key;
            }
            Event::Scalar(..) if depth == 0 => return Err(IndexError::NotAnIndex),
            _ => {}
        }
    }
    if seen_entries {
        Ok(found)
    } else {
        Err(IndexError::NotAnIndex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = r#"apiVersion: v1
entries:
  other:
    - {version: 9.9.9, urls: [x.tgz], dependencies: [{name: demo}]}
  demo:
    - version: 1.2.0
      digest: sha256:ABC
      urls: [https://example.org/demo-1.2.0.tgz]
    - version: 1.10.0
      urls: [demo-1.10.0.tgz, second.tgz]
    - {version: broken, urls: [demo-broken.tgz]}
    - {version: 2.0.0-rc.1, urls: [demo-rc.tgz]}
    - {version: 3.0.0, urls: []}
  demo-extra: []
generated: "2024-01-01T00:00:00Z"
"#;

    fn chosen(wanted: &str) -> Option<String> {
        let offers = offers(INDEX, "demo").unwrap().unwrap();
        let range = VersionRange::parse(wanted).unwrap_or_else(|_| VersionRange::any());
        let versions = offers.iter().map(|offer| offer.version.as_str());
        let at = choose(versions, wanted, &range)?;
        Some(offers[at].version.clone())
    }

    #[test]
    fn one_chart_is_read_out_of_an_index() {
        let demo = offers(INDEX, "demo").unwrap().unwrap();
        let versions: Vec<&str> = demo.iter().map(|offer| offer.version.as_str()).collect();
        assert_eq!(versions, ["2.0.0-rc.1", "1.10.0", "1.2.0", "broken"]);
        assert_eq!(demo[2].digest.as_deref(), Some("abc"));
        assert_eq!(offers(INDEX, "entries").unwrap(), None);
        assert_eq!(offers(INDEX, "urls").unwrap(), None);
        assert_eq!(offers(INDEX, "demo-extra").unwrap(), Some(Vec::new()));
        // `helm repo index --json` writes JSON.
        let json = r#"{"apiVersion":"v1","entries":{"a":[{"version":"1.0.0","urls":["a.tgz"]}]}}"#;
        assert_eq!(offers(json, "a").unwrap().unwrap().len(), 1);
    }

    #[test]
    fn the_newest_in_range_is_taken_or_what_is_written_exactly() {
        assert_eq!(chosen("").as_deref(), Some("1.10.0"));
        assert_eq!(chosen("<1.10").as_deref(), Some("1.2.0"));
        assert_eq!(chosen("2.0.0-rc.1").as_deref(), Some("2.0.0-rc.1"));
        assert_eq!(chosen(">1.0.0-0").as_deref(), Some("2.0.0-rc.1"));
        assert_eq!(chosen("broken").as_deref(), Some("broken"));
        assert_eq!(chosen("5").as_deref(), None);
    }

    #[test]
    fn what_is_no_index_is_refused() {
        for text in ["", "a: 1\n", "- entries\n", "entries", "<html>hello</html>"] {
            let error = offers(text, "demo").unwrap_err().to_string();
            assert!(error.contains("no index"), "{text}: {error}");
        }
        assert!(offers("entries: {a: [}", "a").is_err());
        let deep = format!("entries: {}", "[".repeat(100_000));
        let error = offers(&deep, "a").unwrap_err().to_string();
        assert!(error.contains("recursion limit"), "{error}");
        let deep = format!("entries:\n  a:{}\n", " {b:".repeat(200) + &"}".repeat(200));
        assert!(offers(&deep, "a").is_ok());
    }

    #[test]
    fn aliases_in_an_index_expand_within_bounds() {
        let mut bomb = "entries:\n  demo:\n    - &a0 {version: 1.0.0, urls: [x]}\n".to_owned();
        for level in 1..30 {
            let of = level - 1;
            bomb.push_str(&format!("    - &a{level} [*a{of}, *a{of}, *a{of}]\n"));
        }
        let error = offers(&bomb, "demo").unwrap_err().to_string();
        assert!(error.contains("aliases expand"), "{error}");
        // What another chart's entry anchors cannot be reached from this one's.
        let across = "entries:\n  a: &x [1]\n  demo: *x\n";
        assert!(offers(across, "demo").is_err());
    }
}
