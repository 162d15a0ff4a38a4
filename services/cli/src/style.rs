//! How text for people looks: tables, colours, sizes. Colours go through `anstream`, which drops them where
//! the output is no terminal or NO_COLOR is set.

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table};
use quench_model::Severity;

/// A table without lines, as wide as the terminal.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|cell| cell.to_uppercase()));
    table
}

/// The table as text, without trailing spaces.
pub fn lines(table: &Table) -> String {
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Text in a colour, or plain where standard output shows none: tables measure what they are given.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    match anstream::AutoStream::choice(&std::io::stdout()) {
        anstream::ColorChoice::Never => text.to_string(),
        _ => format!("{style}{text}{style:#}"),
    }
}

/// Bold.
pub const BOLD: Style = Style::new().bold();
/// For what went well.
pub const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// For what refuses.
pub const BAD: Style = Style::new()
    .bold()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
/// For what nobody could look at.
pub const UNSURE: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
/// For what matters less.
pub const DIM: Style = Style::new().dimmed();

/// The colour of a severity.
pub fn severity(severity: Severity) -> Style {
    match severity {
        Severity::Critical | Severity::High => BAD,
        Severity::Medium => UNSURE,
        Severity::Low | Severity::Info | Severity::Unknown => DIM,
    }
}

/// A number of bytes in decimal units, as registries and package managers write it.
#[expect(
    clippy::cast_precision_loss,
    reason = "one decimal is shown, precision beyond 2^52 bytes does not matter"
)]
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return if unit == "B" {
                format!("{count} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A number of things, in the singular or plural.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_in_decimal_units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_000), "1.0 kB");
        assert_eq!(bytes(138_412_032), "138.4 MB");
        assert_eq!(bytes(999_999_999), "1.0 GB");
    }
}
