//! CVSS 4.0.

use super::vector::Metrics;

pub(super) fn score(_metrics: &Metrics<'_>) -> Result<f64, String> {
    Err("version 4.0 is not scored".to_owned())
}
