//! A table of texts: aligned for a terminal, or as Markdown.
//!
//! Owns the alignment. Must never know what a cell means.

use std::fmt::{self, Write};

/// Rows under a head.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a head and no rows.
    pub fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Table {
        Table { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row. What it lacks is empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Table {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// Whether there is nothing under the head.
    pub fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// As a Markdown table: the first column to the left, the others to the right.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for (n, row) in self.rows.iter().enumerate() {
            let cells: Vec<&str> =
                (0..self.columns()).map(|at| row.get(at).map_or("", String::as_str)).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
            if n == 0 {
                let _ = writeln!(out, "|---|{}", "---:|".repeat(self.columns() - 1));
            }
        }
        out
    }

    fn columns(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }

    fn widths(&self) -> Vec<usize> {
        let width =
            |at: usize| self.rows.iter().map(|row| row.get(at).map_or(0, |cell| cell.chars().count())).max();
        (0..self.columns()).map(|at| width(at).unwrap_or(0)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let mut line = String::new();
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if at == 0 {
                    write!(line, "{cell:<width$}")?;
                } else {
                    write!(line, "  {cell:>width$}")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn both_forms() {
        let mut table = Table::new(["store", "ev/s"]);
        table.row(["raw", "12"]).row(["a"]);
        assert_eq!(table.to_string(), "store  ev/s\nraw      12\na\n");
        assert_eq!(table.markdown(), "| store | ev/s |\n|---|---:|\n| raw | 12 |\n| a |  |\n");
    }
}
