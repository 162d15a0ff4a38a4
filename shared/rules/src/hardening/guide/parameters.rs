//! The chart's own parameters.

use std::fmt::Write as _;

use super::markdown::{Table, cell};
use super::{MAX_ROWS, show};
use crate::hardening::report::Report;

/// What was chosen, and what is recommended.
pub(super) fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(parameters) = &report.parameters else {
        return Ok(());
    };
    if !parameters.kept.is_empty() {
        writeln!(
            out,
            "\n## Parameters of the chart that have safer defaults now\n\n\
             Each was tried: the chart renders with it, nothing it runs is gone, and no rule is broken that was not. What you give \
             wins over them; `values-hardened.yaml` has them in one place, `values.yaml` shows the chart's own defaults as comments.\n"
        )?;
        let mut table = Table::new(&["value", "before", "now", "why", "places that break a rule"]);
        for kept in &parameters.kept {
            table.row([
                cell(&kept.path),
                cell(&show(Some(&kept.before))),
                cell(&show(Some(&kept.after))),
                cell(&kept.why),
                kept.findings
                    .map_or_else(String::new, |(before, after)| format!("{before} → {after}")),
            ]);
        }
        writeln!(out, "{}", table.text(MAX_ROWS))?;
    }
    if !parameters.recommended.is_empty() {
        writeln!(
            out,
            "\n## Parameters of the chart that should be other than they are\n"
        )?;
        let mut table = Table::new(&["value", "is", "should be", "why", "why it was not changed"]);
        for recommended in &parameters.recommended {
            table.row([
                cell(&recommended.path),
                cell(&show(Some(&recommended.current))),
                recommended
                    .recommended
                    .as_ref()
                    .map_or_else(String::new, |value| cell(&show(Some(value)))),
                cell(&recommended.why),
                cell(&recommended.reason),
            ]);
        }
        writeln!(out, "{}", table.text(MAX_ROWS))?;
    }
    Ok(())
}
