//! The report as one self-contained HTML page: no script, no font, no image from anywhere else.

use std::fmt::Write as _;

use quench_model::{Finding, FindingState};
use quench_package::Package;

use crate::commands::findings::place;
use crate::style;
use crate::summary::{ImageNumbers, Summary, arrow};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--good:#1a7f37;--bad:#c9252d;--unsure:#9a6700}
@media (prefers-color-scheme:dark){:root{--good:#3fb950;--bad:#ff7b72;--unsure:#d29922}}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .8rem .3rem 0;vertical-align:top;border-bottom:1px solid var(--line)}
td.n,th.n{text-align:right;white-space:nowrap}
.critical,.high{color:var(--bad);font-weight:600}.medium,.unsure{color:var(--unsure)}.good{color:var(--good)}
summary{cursor:pointer;font-weight:600;margin:.6rem 0}";

/// The report of a package.
pub fn page(
    package: &Package,
    lineage: &[Package],
    findings: &[Finding],
    summary: &Summary,
) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{name} {version}: hardening report</title><style>{STYLE}</style></head><body>\n\
         <h1>{name} {version}</h1><p>Level {number}, {level}. Revision <code>{revision}</code></p>\n",
        name = escape(package.name.as_str()),
        version = escape(&package.version),
        number = package.level.number(),
        level = package.level,
        revision = package.revision.digest,
    );
    images(&mut page, summary);
    numbers(&mut page, summary);
    section(&mut page, "Open findings", findings, |f| f.state.is_open());
    section(&mut page, "Waived", findings, |f| {
        f.state == FindingState::Suppressed
    });
    section(&mut page, "Resolved by hardening", findings, |f| {
        f.state == FindingState::Resolved
    });
    page.push_str("<h2>Revisions</h2><table><tr><th>Level</th><th>Digest</th></tr>\n");
    for revision in lineage.iter().rev() {
        let _ = writeln!(
            page,
            "<tr><td>{} {}</td><td><code>{}</code></td></tr>",
            revision.level.number(),
            revision.level,
            revision.revision.digest
        );
    }
    page.push_str("</table></body></html>\n");
    page
}

fn images(page: &mut String, summary: &Summary) {
    page.push_str(
        "<h2>Images</h2><table><tr><th>Image</th><th class=\"n\">Size</th><th class=\"n\">Files</th>\
         <th class=\"n\">Packages</th><th class=\"n\">Vulnerabilities</th></tr>\n",
    );
    let packages = |n: &ImageNumbers| n.packages.map_or("unknown".to_owned(), |p| p.to_string());
    for row in &summary.images {
        let vulnerabilities = match row.vulnerabilities {
            Some(change) if summary.checked => arrow(&change.before, &change.after),
            Some(change) => format!(
                "<span class=\"unsure\">{} (not all checked)</span>",
                arrow(&change.before, &change.after)
            ),
            None => "<span class=\"unsure\">not checked</span>".to_owned(),
        };
        let _ = writeln!(
            page,
            "<tr><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{vulnerabilities}</td></tr>",
            escape(&row.reference),
            arrow(
                &style::bytes(row.before.bytes),
                &style::bytes(row.after.bytes)
            ),
            arrow(&row.before.files, &row.after.files),
            arrow(&packages(&row.before), &packages(&row.after)),
        );
    }
    page.push_str("</table>\n");
}

fn numbers(page: &mut String, summary: &Summary) {
    let _ = writeln!(
        page,
        "<h2>Configuration</h2><p>Findings: {}</p>",
        arrow(&summary.configuration.before, &summary.configuration.after)
    );
    for (title, reasons) in [
        ("Not checked", &summary.unchecked),
        ("Not looked for", &summary.not_looked_for),
    ] {
        if reasons.is_empty() {
            continue;
        }
        let _ = writeln!(page, "<h2 class=\"unsure\">{title}</h2><ul>");
        for reason in reasons {
            let _ = writeln!(page, "<li>{}</li>", escape(reason));
        }
        page.push_str("</ul>\n");
    }
}

fn section(
    page: &mut String,
    title: &str,
    findings: &[Finding],
    wanted: impl Fn(&Finding) -> bool,
) {
    let mut picked: Vec<_> = findings.iter().filter(|f| wanted(f)).collect();
    picked.sort_by_key(|f| std::cmp::Reverse(f.severity));
    let _ = writeln!(page, "<h2>{title} ({})</h2>", picked.len());
    if picked.is_empty() {
        return;
    }
    page.push_str(
        "<table><tr><th>Severity</th><th>Finding</th><th>Where</th><th>What</th><th>Why so</th></tr>\n",
    );
    for finding in picked {
        let _ = writeln!(
            page,
            "<tr><td class=\"{severity}\">{severity}</td><td>{id}</td><td><code>{place}</code></td><td>{what}</td><td>{why}</td></tr>",
            severity = finding.severity,
            id = escape(&finding.canonical_id),
            place = escape(&place(finding)),
            what = what(finding),
            why = escape(&why(finding)),
        );
    }
    page.push_str("</table>\n");
}

fn what(finding: &Finding) -> String {
    let mut text = escape(&finding.title);
    if !finding.message.is_empty() {
        let _ = write!(text, "<br>{}", escape(&finding.message));
    }
    if let Some(fixed) = &finding.fixed_version {
        let _ = write!(text, "<br>fixed in <code>{}</code>", escape(fixed));
    }
    if !finding.evidence.is_empty() || !finding.references.is_empty() {
        text.push_str("<details><summary>evidence</summary><ul>");
        for evidence in &finding.evidence {
            let _ = write!(
                text,
                "<li>{}: {}</li>",
                escape(&evidence.source),
                escape(&evidence.fact)
            );
        }
        for reference in &finding.references {
            let _ = write!(text, "<li>{}</li>", escape(reference));
        }
        text.push_str("</ul></details>");
    }
    text
}

fn why(finding: &Finding) -> String {
    if let Some(suppression) = &finding.suppression {
        return match &suppression.expires {
            Some(day) => format!("{} (until {day})", suppression.reason),
            None => suppression.reason.clone(),
        };
    }
    finding
        .cause
        .as_ref()
        .map(|cause| {
            format!("{} {}", cause.kind.name(), cause.detail)
                .trim()
                .to_owned()
        })
        .unwrap_or_default()
}

/// Text as HTML: findings quote charts and images, which are hostile.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_charts_and_images_say_cannot_become_markup() {
        assert_eq!(escape("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
    }
}
