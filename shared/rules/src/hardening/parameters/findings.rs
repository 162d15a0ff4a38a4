//! What is found about a chart's own values.

use quench_chart::values_documentation::{MeaningSource, ValuesDocumentation, path_text};
use quench_model::{
    CauseKind, Evidence as Fact, Finding, FindingKind, FindingState, Level, PackageName, Severity,
    Subject,
};

use super::super::findings::{cause, findings};
use super::super::report::{Numbers, Report};
use super::{Override, Parameters, Recommended};
use crate::evaluate::{Outcome, Verdict};
use crate::parameters::{
    KIND, NO_DEFAULT_PASSWORD, OPTIONAL_PARTS_OFF, VALUES_DOCUMENTED, matching, split,
};
use crate::rule;

/// Puts the chart's own parameters into a report, and into its numbers.
pub(in super::super) fn tell_parameters(report: &mut Report, parameters: Parameters) {
    let add = |numbers: &mut Numbers, rule: &str, severity: Severity| {
        numbers.findings += 1;
        *numbers.by_severity.entry(severity).or_default() += 1;
        *numbers.by_rule.entry(rule.to_owned()).or_default() += 1;
    };
    for kept in &parameters.kept {
        if let Some(parameter) = matching(&split(&kept.path)) {
            add(&mut report.before, parameter.rule, parameter.severity);
        }
    }
    for recommended in &parameters.recommended {
        for numbers in [&mut report.before, &mut report.after] {
            add(numbers, &recommended.rule, recommended.severity);
        }
    }
    report.parameters = Some(parameters);
}

/// Whether a finding is about values of the chart, which only level 2 looks at: later levels carry it along.
pub fn is_of_values(finding: &Finding) -> bool {
    finding.kind == FindingKind::Configuration
        && finding.subject.location.as_deref().is_some_and(|location| {
            location == VALUES_LOCATION || location.starts_with(&format!("{KIND}/"))
        })
}

/// Where the finding about documentation of values is.
const VALUES_LOCATION: &str = "values.yaml";
/// Most undocumented values that a finding names.
const MAX_NAMED: usize = 10;

/// Findings about the chart's own parameters: those that were chosen are resolved. To be asked for where they were just
/// looked for: an earlier level tells of what it chose.
pub(in super::super) fn of_parameters(
    package: &PackageName,
    report: &Report,
    documentation: &ValuesDocumentation,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(parameters) = &report.parameters else {
        return found;
    };
    for kept in &parameters.kept {
        let Some(parameter) = matching(&split(&kept.path)) else {
            continue;
        };
        let mut finding = about_value(package, parameter.rule, &kept.path, parameter.severity);
        finding.message = format!("{} → {}; {}", kept.before, kept.after, kept.why);
        finding.references.clone_from(&kept.references);
        if let Some((before, after)) = kept.findings {
            finding.evidence.push(Fact::new(
                "rendered chart",
                format!("places that break a rule: {before} → {after}"),
            ));
        }
        found.push(finding.into_state(
            FindingState::Resolved,
            cause(CauseKind::Hardened, parameter.rule),
        ));
    }
    for recommended in &parameters.recommended {
        let mut finding = of_recommended(package, recommended);
        finding
            .message
            .push_str(&format!("; not changed, since {}", recommended.reason));
        found.push(finding);
    }
    found.extend(undocumented(package, documentation));
    found
}

/// Findings of places that broke a rule until parameters were chosen.
pub(in super::super) fn of_places(
    package: &PackageName,
    chosen: &[Override],
    resolved: &[Verdict],
) -> Vec<Finding> {
    let names: Vec<String> = chosen
        .iter()
        .map(|chosen| path_text(&chosen.path))
        .collect();
    let resolved: Vec<Verdict> = resolved
        .iter()
        .map(|verdict| Verdict {
            outcome: Outcome::Fixed {
                changes: Vec::new(),
                evidence: Vec::new(),
            },
            ..verdict.clone()
        })
        .collect();
    let mut found = findings(package, &resolved);
    for finding in &mut found {
        finding.message = format!("the chart's own parameters see to it: {}", names.join(", "));
    }
    found
}

/// The finding that a parameter stands at an unsafe value.
pub(super) fn of_recommended(package: &PackageName, recommended: &Recommended) -> Finding {
    let mut finding = about_value(
        package,
        &recommended.rule,
        &recommended.path,
        recommended.severity,
    );
    let should = recommended
        .recommended
        .as_ref()
        .map(|value| format!(", and should be {value}"))
        .unwrap_or_default();
    finding.message = format!("it is {}{should}: {}", recommended.current, recommended.why);
    finding.references.clone_from(&recommended.references);
    finding.cause = Some(cause(CauseKind::Scan, &recommended.rule));
    finding
}

pub(in super::super) fn undocumented(
    package: &PackageName,
    documentation: &ValuesDocumentation,
) -> Option<Finding> {
    let unknown: Vec<&str> = documentation
        .values
        .iter()
        .filter(|value| value.source == MeaningSource::Unknown)
        .map(|value| value.path.as_str())
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let mut finding = about_value(package, VALUES_DOCUMENTED, "", Severity::Info);
    finding.subject.location = Some(VALUES_LOCATION.to_owned());
    finding.id = Finding::id_of(finding.kind, &finding.canonical_id, &finding.subject);
    let named: Vec<&str> = unknown.iter().take(MAX_NAMED).copied().collect();
    finding.message = format!(
        "{} of {} values are documented nowhere: {}{}",
        unknown.len(),
        documentation.values.len(),
        named.join(", "),
        if unknown.len() > MAX_NAMED {
            ", …"
        } else {
            ""
        }
    );
    finding.cause = Some(cause(CauseKind::Scan, VALUES_DOCUMENTED));
    Some(finding)
}

fn about_value(package: &PackageName, id: &str, path: &str, severity: Severity) -> Finding {
    let subject = Subject {
        package: package.clone(),
        image: None,
        purl: None,
        location: Some(format!("{KIND}/{path}")),
    };
    let title = rule(id).map_or(
        match id {
            NO_DEFAULT_PASSWORD => "no password is one that everybody knows",
            OPTIONAL_PARTS_OFF => "parts that nobody needs are off",
            VALUES_DOCUMENTED => "every value is documented",
            _ => "the chart's own parameters are at their safe values",
        },
        |rule| rule.title,
    );
    Finding::opened(
        FindingKind::Configuration,
        id,
        subject,
        severity,
        Level::Configured,
        title,
    )
}
