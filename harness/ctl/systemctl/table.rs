//! Columns, as systemctl's lists print them: as wide as the widest cell, one blank between, the last one ragged.

/// Lays out rows; every row has the same number of cells.
pub(super) fn lay_out(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |cell: &String| cell.chars().count();
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().filter_map(|row| row.get(c)).map(width_of).max().unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
            let line = cells.join(" ");
            // Only the last cell loses its padding.
            let padding = widths.get(row.len().wrapping_sub(1)).copied().unwrap_or(0)
                - row.last().map_or(0, width_of).min(widths.last().copied().unwrap_or(0));
            line[..line.len() - padding].to_owned()
        })
        .collect()
}
