//! Foreign text in Markdown: names, images and settings are whatever a chart renders.

/// A table that is cut where it gets long.
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|cell| (*cell).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Cells with foreign text must have been through [`cell`].
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table, with at most that many rows; columns without text are left out.
    pub(super) fn text(&self, most: usize) -> String {
        let used: Vec<usize> = (0..self.head.len())
            .filter(|column| {
                self.rows
                    .iter()
                    .any(|row| row.get(*column).is_some_and(|cell| !cell.is_empty()))
            })
            .collect();
        let line = |cells: &[String]| {
            let cells: Vec<&str> = used
                .iter()
                .map(|column| cells.get(*column).map_or("", String::as_str))
                .collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = line(&self.head);
        text.push('|');
        text.push_str(&"---|".repeat(used.len()));
        text.push('\n');
        for row in self.rows.iter().take(most) {
            text.push_str(&line(row));
        }
        let left = self.rows.len().saturating_sub(most);
        if left > 0 {
            text.push_str(&format!(
                "\n{left} more rows are left out here, since this file is part of every release; `quench explain` and \
                 `quench report` show all.\n"
            ));
        }
        text
    }
}

/// Some of a list, as a cell.
pub(super) fn listed(items: &[String], most: usize) -> String {
    let mut text = items
        .iter()
        .take(most)
        .map(|item| cell(item))
        .collect::<Vec<_>>()
        .join(", ");
    let left = items.len().saturating_sub(most);
    if left > 0 {
        text.push_str(&format!(" and {left} more"));
    }
    text
}

/// Longest text of a cell, in characters.
const LONGEST: usize = 300;

/// Foreign text that stays on its line and in its cell, and is no markup.
pub(super) fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (index, c) in text.chars().enumerate() {
        if index == LONGEST {
            escaped.push('…');
            break;
        }
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '!' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() || super::super::is_deceptive(c) => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_no_markup() {
        let hostile = "<img src=x>|\n# [x](javascript:y) `a` \u{202e}z";
        let text = cell(hostile);
        assert!(!text.contains('<') && !text.contains('\n') && !text.contains('\u{202e}'));
        assert!(text.contains("\\|") && text.contains("\\[x\\]") && text.contains("\\`a\\`"));
        assert_eq!(cell(&"x".repeat(400)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn long_tables_say_what_is_left_out() {
        let mut table = Table::new(&["a", "b"]);
        for number in 0..5 {
            table.row([number.to_string(), String::new()]);
        }
        let text = table.text(3);
        assert!(text.starts_with("| a |\n|---|\n| 0 |\n"), "{text}");
        assert!(text.contains("2 more rows"), "{text}");
    }
}
