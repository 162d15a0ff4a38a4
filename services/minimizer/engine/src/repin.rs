//! Telling the chart the digests of the minimised images.

use std::collections::BTreeMap;

use quench_chart::Chart;
use quench_model::Digest;
use quench_package::EngineError;

/// Puts new image digests into a chart, where it pins the old ones.
///
/// Level 2 writes the pins into the chart as JSON, `"digest":"sha256:…"`; the references they are found by,
/// which may hold a digest too, stay as the chart renders them.
pub(crate) fn repin(
    chart: &mut Chart,
    replaced: &BTreeMap<Digest, Digest>,
) -> Result<(), EngineError> {
    let mut changed = Vec::new();
    for (path, content) in chart.files() {
        let Ok(text) = std::str::from_utf8(content) else {
            continue;
        };
        if !path.contains("templates/") {
            continue;
        }
        let mut new = text.to_owned();
        for (old, replacement) in replaced.iter().filter(|(old, new)| old != new) {
            for quote in ["\"", "\\\""] {
                for space in ["", " "] {
                    let pin = |digest: &Digest| {
                        format!("{quote}digest{quote}:{space}{quote}{digest}{quote}")
                    };
                    new = new.replace(&pin(old), &pin(replacement));
                }
            }
        }
        if new != text {
            changed.push((path.clone(), new));
        }
    }
    for (path, text) in changed {
        chart
            .insert(&path, text)
            .map_err(|e| EngineError::Input(e.to_string()))?;
    }
    Ok(())
}
