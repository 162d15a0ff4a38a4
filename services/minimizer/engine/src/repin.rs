//! Telling the chart the digests of the minimised images.

use std::collections::BTreeMap;

use bytes::Bytes;
use quench_chart::Chart;
use quench_model::Digest;
use quench_package::EngineError;

/// The chart's archive with new image digests; `None` when the chart pins none of them.
///
/// Level 2 writes the pins into the chart as JSON, `"digest":"sha256:…"`; the references they are found by,
/// which may hold a digest too, stay as the chart renders them.
pub(crate) fn repin(
    chart: &Chart,
    replaced: &BTreeMap<Digest, Digest>,
) -> Result<Option<Vec<u8>>, EngineError> {
    let failed = |e: quench_chart::ChartError| EngineError::Input(e.to_string());
    let mut changed = chart.clone();
    let mut any = false;
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
            changed.insert(path, Bytes::from(new)).map_err(failed)?;
            any = true;
        }
    }
    if !any {
        return Ok(None);
    }
    changed.to_tgz().map(Some).map_err(failed)
}
