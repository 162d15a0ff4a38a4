//! `quench findings`.

use anyhow::Result;
use quench_inventory::PackageUrl;
use quench_model::Finding;
use quench_package::current_findings;

use crate::args::FindingsFormat;
use crate::exit::Exit;
use crate::session::{Session, write_stdout};
use crate::style;

/// Prints the findings of a package as they stand now.
pub async fn run(
    session: &Session,
    wanted: &str,
    format: FindingsFormat,
    all: bool,
) -> Result<Exit> {
    let store = session.open_store()?;
    let package = session.find(&store, wanted).await?;
    let findings = current_findings(&store, &package).await?;
    let format = match format {
        FindingsFormat::Table if session.json => FindingsFormat::Json,
        format => format,
    };
    match format {
        FindingsFormat::Json => session.print_json(&findings)?,
        FindingsFormat::Sarif => {
            let mut text = serde_json::to_vec_pretty(&quench_package::sarif(&package, &findings))?;
            text.push(b'\n');
            write_stdout(&text)?;
        }
        FindingsFormat::Table => print(&findings, all),
    }
    Ok(Exit::Done)
}

fn print(findings: &[Finding], all: bool) {
    let shown: Vec<_> = findings
        .iter()
        .filter(|f| all || f.state.is_open())
        .collect();
    if !shown.is_empty() {
        anstream::println!("{}\n", table(&shown));
    }
    let count = |wanted: &dyn Fn(&Finding) -> bool| findings.iter().filter(|f| wanted(f)).count();
    anstream::println!(
        "{} open, {} suppressed, {} resolved",
        count(&|f| f.state.is_open()),
        count(&|f| f.state == quench_model::FindingState::Suppressed),
        count(&|f| f.state == quench_model::FindingState::Resolved),
    );
}

/// Findings as a table, worst first.
pub fn table(findings: &[&Finding]) -> String {
    let mut sorted = findings.to_vec();
    sorted.sort_by_key(|f| std::cmp::Reverse(f.severity));
    let mut table = style::table(&["severity", "finding", "where", "fixed in", "state", "what"]);
    for finding in sorted {
        table.add_row([
            style::paint(style::severity(finding.severity), finding.severity),
            finding.canonical_id.clone(),
            place(finding),
            finding.fixed_version.clone().unwrap_or_default(),
            finding.state.to_string(),
            finding.title.clone(),
        ]);
    }
    style::lines(&table)
}

/// Where a finding is, for people.
pub fn place(finding: &Finding) -> String {
    let subject = &finding.subject;
    let mut parts = Vec::new();
    if let Some(image) = &subject.image {
        parts.push(image.rsplit('/').next().unwrap_or(image).to_owned());
    }
    if let Some(purl) = &subject.purl {
        parts.push(match purl.parse::<PackageUrl>() {
            Ok(purl) => format!("{} {}", purl.name(), purl.version().unwrap_or_default()),
            Err(_) => purl.clone(),
        });
    }
    parts.extend(subject.location.clone());
    parts.join(" ").trim_end().to_owned()
}
