//! CVSS 3.0 and 3.1 base score (CVSS v3.1 specification, section 7.1; the two differ in how they round).

use super::vector::Metrics;

pub(super) fn base(metrics: &Metrics<'_>, minor: u8) -> Result<f64, String> {
    const IMPACT: [(&str, f64); 3] = [("N", 0.0), ("L", 0.22), ("H", 0.56)];
    let changed = metrics.weigh("S", &[("U", 0.0), ("C", 1.0)])? > 0.5;
    let vector = metrics.weigh("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?;
    let complexity = metrics.weigh("AC", &[("L", 0.77), ("H", 0.44)])?;
    let privileges = if changed {
        metrics.weigh("PR", &[("N", 0.85), ("L", 0.68), ("H", 0.5)])?
    } else {
        metrics.weigh("PR", &[("N", 0.85), ("L", 0.62), ("H", 0.27)])?
    };
    let interaction = metrics.weigh("UI", &[("N", 0.85), ("R", 0.62)])?;
    let confidentiality = metrics.weigh("C", &IMPACT)?;
    let integrity = metrics.weigh("I", &IMPACT)?;
    let availability = metrics.weigh("A", &IMPACT)?;

    let sub_score = 1.0 - (1.0 - confidentiality) * (1.0 - integrity) * (1.0 - availability);
    let impact = if changed {
        7.52 * (sub_score - 0.029) - 3.25 * (sub_score - 0.02).powi(15)
    } else {
        6.42 * sub_score
    };
    if impact <= 0.0 {
        return Ok(0.0);
    }
    let exploitability = 8.22 * vector * complexity * privileges * interaction;
    let sum = impact + exploitability;
    let score = if changed { 1.08 * sum } else { sum }.min(10.0);
    Ok(if minor == 0 {
        (score * 10.0).ceil() / 10.0
    } else {
        round_up(score)
    })
}

/// Appendix A of the 3.1 specification: rounding up to one decimal without the surprises of binary fractions.
fn round_up(score: f64) -> f64 {
    let scaled = (score * 100_000.0).round();
    if scaled % 10_000.0 == 0.0 {
        scaled / 100_000.0
    } else {
        ((scaled / 10_000.0).floor() + 1.0) / 10.0
    }
}
