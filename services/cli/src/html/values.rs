//! Every value of the chart.

use maud::html;
use quench_chart::values_documentation::{MeaningSource, ValuesDocumentation};

use super::{Section, code, filterable, text};

/// Longest default shown, in characters.
const LONGEST: usize = 200;

pub(super) fn section(values: &ValuesDocumentation) -> Section {
    let table = html! {
        table {
            thead { tr { th scope="col" { "Value" } th scope="col" { "Type" } th scope="col" { "Default" } th scope="col" { "Meaning" } } }
            tbody {
                @for value in &values.values {
                    tr data-tag=(if value.security.is_some() { "security" } else { "plain" }) {
                        td.wide { (code(&value.path)) }
                        td { (value.kind.name()) }
                        td { (code(&short(&value.default.to_string()))) }
                        td.wide {
                            (text(&value.meaning))
                            @if matches!(value.source, MeaningSource::Inferred) { " " span.chip { "from its name" } }
                            @if let Some(security) = &value.security { div { span class="chip note" { "security" } " " (text(security)) } }
                        }
                    }
                }
            }
        }
    };
    let coverage = values.coverage();
    let body = html! {
        p {
            (coverage.values) " values: " (coverage.documented) " with words of the chart's author, " (coverage.inherited) " by a map around them, "
            (coverage.inferred) " by their name; of " (coverage.unknown) " only the readers are known."
            @if values.truncated { " There are more than can be listed." }
        }
        (filterable("values", &[("security", "security")], &table))
    };
    Section::new("values", "Values", values.values.len(), body)
}

fn short(default: &str) -> String {
    if default.chars().count() <= LONGEST {
        return default.to_owned();
    }
    let mut short: String = default.chars().take(LONGEST).collect();
    short.push('…');
    short
}
