//! Tables for people: columns as wide as what is in them, and nothing around them.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use crate::output::{BOLD, Output};

/// Between two columns.
const GAP: &str = "  ";

/// What is in one place of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Cell {
        Cell { text: text.into(), style }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Cell {
        Cell::new(value.to_string(), Style::new())
    }
}

/// A table with a title over each column.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
    /// For each column, whether it holds numbers, which stand one below the other at their end.
    right: Vec<bool>,
}

impl Table {
    /// A table of these columns; a title that begins with `>` is one of numbers.
    pub(crate) fn new(titles: &[&str]) -> Table {
        let right = titles.iter().map(|title| title.starts_with('>')).collect();
        let titles = titles.iter().map(|title| title.trim_start_matches('>'));
        Table { rows: vec![titles.map(|title| Cell::new(title, BOLD)).collect()], right }
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The whole table, without the end of its last line.
    pub(crate) fn show(&self, output: Output) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.width()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.right.len()).map(width).collect();
        let mut lines = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let mut line = String::new();
            let mut spaces = 0;
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let missing = width.saturating_sub(cell.text.width());
                let (before, after) = if *right { (missing, 0) } else { (0, missing) };
                spaces += before;
                // Spaces are written before something only: no line ends in them.
                if !cell.text.is_empty() {
                    line.push_str(&" ".repeat(spaces));
                    line.push_str(&output.paint(cell.style, &cell.text));
                    spaces = 0;
                }
                spaces += after + GAP.len();
            }
            lines.push(line);
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(&["NAME", ">SENT", "ERROR"]);
        table.row(["clock".into(), 7.into(), "".into()]);
        table.row(["構造".into(), 12345.into(), "no route".into()]);
        let wanted = "NAME    SENT  ERROR\nclock      7\n構造   12345  no route";
        assert_eq!(table.show(Output::plain()), wanted);
    }
}
