//! Columns, as systemctl's lists print them: as wide as the widest cell, one blank between, the last one ragged; or a
//! JSON array of objects (`-o json`).

use crate::ctl::Output;
use crate::journal::Format;

use super::options::Options;

/// A list with a head. A cell that is `None` has nothing to say.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Option<String>>>,
}

impl Table {
    pub(super) fn new(head: Vec<&'static str>) -> Self {
        Self { head, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Vec<Option<String>>) {
        self.rows.push(row);
    }

    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Prints it in the form that was asked for.
    pub(super) fn print(self, output: &mut Output, options: &Options) {
        match options.format {
            Format::Json | Format::JsonPretty | Format::JsonSse | Format::JsonSeq => self.json(output, options.format),
            _ => {
                let text = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
                let mut cells: Vec<Vec<String>> = Vec::new();
                if options.legend {
                    cells.push(self.head.iter().map(|&title| title.to_owned()).collect());
                }
                cells.extend(self.rows.into_iter().map(|row| row.into_iter().map(text).collect()));
                for line in lay_out(&cells) {
                    output.say(line);
                }
            }
        }
    }

    /// Keys are the titles of the columns; a column without one is left out.
    fn json(self, output: &mut Output, format: Format) {
        let keys: Vec<String> = self.head.iter().map(|title| title.trim().to_lowercase().replace(' ', "_")).collect();
        let pretty = format == Format::JsonPretty;
        let (colon, comma, open, close) =
            if pretty { (" : ", ",\n\t\t", "\t{\n\t\t", "\n\t}") } else { (":", ",", "{", "}") };
        let object = |row: Vec<Option<String>>| {
            let fields = keys.iter().zip(row).filter(|(key, _)| !key.is_empty());
            let field = |(key, cell): (&String, Option<String>)| {
                let value = cell.map_or_else(|| "null".to_owned(), |cell| serde_json::Value::String(cell).to_string());
                format!("\"{key}\"{colon}{value}")
            };
            format!("{open}{}{close}", fields.map(field).collect::<Vec<_>>().join(comma))
        };
        let objects: Vec<String> = self.rows.into_iter().map(object).collect();
        output.say(match (pretty, objects.is_empty()) {
            (true, false) => format!("[\n{}\n]", objects.join(",\n")),
            _ => format!("[{}]", objects.join(",")),
        });
    }
}

/// Lays out rows; every row has the same number of cells.
pub(super) fn lay_out(rows: &[Vec<String>]) -> Vec<String> {
    lay_out_by(rows, |cell| cell.chars().count())
}

/// The same where a cell asks for `width_of` columns; one that gets what it asks for is not padded.
pub(super) fn lay_out_by(rows: &[Vec<String>], width_of: impl Fn(&str) -> usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|row| row.get(c)).map(|cell| width_of(cell)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut lines = Vec::new();
    for row in rows {
        let mut line = String::new();
        for (index, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(cell);
            if index + 1 < row.len() {
                let padding = if width_of(cell) < width { width.saturating_sub(cell.chars().count()) } else { 0 };
                line.extend(std::iter::repeat_n(' ', padding + 1));
            }
        }
        lines.push(line);
    }
    lines
}
