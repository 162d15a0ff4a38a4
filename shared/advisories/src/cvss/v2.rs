//! CVSS 2.0 base score ("A Complete Guide to the Common Vulnerability Scoring System Version 2.0", section 3.2.1).

use super::vector::Metrics;

pub(super) fn base(metrics: &Metrics<'_>) -> Result<f64, String> {
    const IMPACT: [(&str, f64); 3] = [("N", 0.0), ("P", 0.275), ("C", 0.660)];
    let vector = metrics.weigh("AV", &[("L", 0.395), ("A", 0.646), ("N", 1.0)])?;
    let complexity = metrics.weigh("AC", &[("H", 0.35), ("M", 0.61), ("L", 0.71)])?;
    let authentication = metrics.weigh("Au", &[("M", 0.45), ("S", 0.56), ("N", 0.704)])?;
    let confidentiality = metrics.weigh("C", &IMPACT)?;
    let integrity = metrics.weigh("I", &IMPACT)?;
    let availability = metrics.weigh("A", &IMPACT)?;

    let kept = (1.0 - confidentiality) * (1.0 - integrity) * (1.0 - availability);
    let impact = 10.41 * (1.0 - kept);
    let exploitability = 20.0 * vector * complexity * authentication;
    let factor = if impact == 0.0 { 0.0 } else { 1.176 };
    let score = (0.6 * impact + 0.4 * exploitability - 1.5) * factor;
    Ok((score * 10.0).round() / 10.0)
}
