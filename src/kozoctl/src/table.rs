//! Tables for people: columns as wide as what is in them, and nothing around them. Where a terminal is too narrow,
//! columns that can be spared are left out, and the last one is cut.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::{BOLD, FAINT, Output};

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
    /// Titles of columns that can be left out, the least important first.
    spare: &'static [&'static str],
}

impl Table {
    /// A table of these columns; a title that begins with `>` is one of numbers.
    pub(crate) fn new(titles: &[&str]) -> Table {
        let right = titles.iter().map(|title| title.starts_with('>')).collect();
        let titles = titles.iter().map(|title| title.trim_start_matches('>'));
        let rows = vec![titles.map(|title| Cell::new(title, BOLD)).collect()];
        Table { rows, right, spare: &[] }
    }

    /// Columns that are left out where there is no room for them, the least important first.
    pub(crate) fn spare(mut self, titles: &'static [&'static str]) -> Table {
        self.spare = titles;
        self
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
        let (columns, left_out) = self.fitting(&widths, output.width.unwrap_or(usize::MAX));
        let mut lines = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let mut line = String::new();
            let (mut spaces, mut written) = (0, 0);
            for column in &columns {
                let Some(cell) = row.get(*column) else { continue };
                let width = widths.get(*column).copied().unwrap_or(0);
                let missing = width.saturating_sub(cell.text.width());
                let is_right = self.right.get(*column).copied().unwrap_or(false);
                let (before, after) = if is_right { (missing, 0) } else { (0, missing) };
                spaces += before;
                // Spaces are written before something only: no line ends in them.
                if !cell.text.is_empty() {
                    line.push_str(&" ".repeat(spaces));
                    written += spaces;
                    let room =
                        output.width.map_or(usize::MAX, |width| width.saturating_sub(written));
                    line.push_str(&output.paint(cell.style, &cut(&cell.text, room)));
                    written += cell.text.width();
                    spaces = 0;
                }
                spaces += after + GAP.len();
            }
            lines.push(line);
        }
        if !left_out.is_empty() {
            let text = format!("no room for {}", left_out.join(", "));
            lines.push(output.paint(FAINT, &text));
        }
        lines.join("\n")
    }

    /// The columns that fit, and the titles of those that do not. A column with nothing in it is not missed.
    fn fitting(&self, widths: &[usize], room: usize) -> (Vec<usize>, Vec<&'static str>) {
        let is_empty = |column: &usize| {
            let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(*column));
            self.rows.len() > 1 && cells.all(|cell| cell.text.is_empty())
        };
        let needed = |columns: &[usize]| {
            let wide: usize = columns.iter().filter_map(|column| widths.get(*column)).sum();
            wide + GAP.len() * columns.len().saturating_sub(1)
        };
        let mut columns: Vec<_> = (0..widths.len()).collect();
        let mut left_out = Vec::new();
        if needed(&columns) > room {
            columns.retain(|column| !is_empty(column));
        }
        for title in self.spare {
            if needed(&columns) <= room {
                break;
            }
            let before = columns.len();
            let titles = self.rows.first();
            columns.retain(|column| {
                titles.and_then(|titles| titles.get(*column)).is_none_or(|cell| cell.text != *title)
            });
            if columns.len() < before {
                left_out.push(*title);
            }
        }
        (columns, left_out)
    }
}

/// The beginning of a text, as far as there is room for it.
fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut wide = 0;
    let fits = |char: &char| {
        wide += char.width().unwrap_or(0);
        wide < room
    };
    text.chars().take_while(fits).chain(['…']).collect()
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
        assert_eq!(table.show(Output::plain(None)), wanted);
        assert_eq!(table.show(Output::plain(Some(22))), wanted);
    }

    #[test]
    fn what_has_no_room_is_left_out_and_said() {
        let mut table = Table::new(&["NAME", ">SENT", ">LOST", "ERROR"]).spare(&["LOST", "SENT"]);
        table.row(["clock".into(), 7.into(), 0.into(), "".into()]);
        // A column of nothing goes first, and is not missed.
        assert_eq!(table.show(Output::plain(Some(17))), "NAME   SENT  LOST\nclock     7     0");
        let narrow = "NAME   SENT\nclock     7\nno room for LOST";
        assert_eq!(table.show(Output::plain(Some(12))), narrow);
        table.row(["attic".into(), 7.into(), 0.into(), "no route to host".into()]);
        let wanted = "NAME   ERROR\nclock\nattic  no route t…\nno room for LOST, SENT";
        assert_eq!(table.show(Output::plain(Some(18))), wanted);
    }
}
