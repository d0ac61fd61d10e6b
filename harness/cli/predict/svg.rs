//! A sweep as a picture: restarts a day over the value that was tried, both in powers of ten.

use std::fmt::Write as _;

use crate::time::Span;
use crate::timeline::brief;
use crate::world::Prediction;

const WIDTH: u64 = 720;
const HEIGHT: u64 = 400;
const LEFT: u64 = 70;
const RIGHT: u64 = 20;
const TOP: u64 = 40;
const BOTTOM: u64 = 50;
/// How wide a label is.
const LABEL: u64 = 34;

/// A thousandth of the logarithm to base ten; 0 for 0 and 1. No floating point: half of what lies between two powers of two
/// is as far from either as anybody can see here.
fn log(value: u64) -> u64 {
    let value = value.max(1);
    let whole = u64::from(value.ilog2());
    let rest = ((u128::from(value) * 1000) >> whole) as u64 - 1000;
    // log10(2) is 0.30103; between powers of two a straight line.
    (whole * 1000 + rest) * 30_103 / 100_000
}

/// Where a value lies between two others, of so many points.
fn place(value: u64, from: u64, to: u64, points: u64) -> u64 {
    let span = log(to).saturating_sub(log(from)).max(1);
    log(value).saturating_sub(log(from)) * points / span
}

pub(super) fn draw(unit: &str, key: &str, rows: &[(Span, Prediction)]) -> String {
    let (first, last) = match (rows.first(), rows.last()) {
        (Some(first), Some(last)) => (first.0.as_micros(), last.0.as_micros()),
        _ => (1, 1),
    };
    let most = rows.iter().map(|(_, row)| row.restarts_per_day()).max().unwrap_or(1).max(10);
    let x = |value: Span| LEFT + place(value.as_micros(), first, last, WIDTH - LEFT - RIGHT);
    let y = |count: u64| HEIGHT - BOTTOM - place(count, 1, most, HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}: restarts a day over {}</text>\n",
        escaped(unit),
        escaped(key)
    );
    let mut count = 1;
    while count <= most {
        let at = y(count);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{count}</text>",
            WIDTH - RIGHT,
            LEFT - 6,
            at + 4
        );
        count *= 10;
    }
    let points: Vec<String> =
        rows.iter().map(|(value, row)| format!("{},{}", x(*value), y(row.restarts_per_day()))).collect();
    let _ = writeln!(out, "<polyline points=\"{}\" fill=\"none\" stroke=\"#888\"/>", points.join(" "));
    let last_x = rows.last().map(|(value, _)| x(*value));
    let mut labelled: Option<u64> = None;
    for (value, row) in rows {
        let (colour, what) = if row.limited_at.is_some() {
            ("#2a7", "the start limit ends it")
        } else if row.goes_on() {
            ("#c33", "goes on")
        } else {
            ("#26b", "comes to rest")
        };
        let (at, count) = (x(*value), row.restarts_per_day());
        let _ = writeln!(
            out,
            "<circle cx=\"{at}\" cy=\"{}\" r=\"4\" fill=\"{colour}\"><title>{}: {count} a day, {what}</title></circle>",
            y(count),
            brief(*value),
        );
        // Labels that would run into each other are left out; the last value has one.
        let is_last = Some(at) == last_x;
        if labelled.is_none_or(|before| at >= before + LABEL)
            && (is_last || last_x.is_none_or(|last| at + LABEL <= last))
        {
            labelled = Some(at);
            let _ = writeln!(
                out,
                "<text x=\"{at}\" y=\"{}\" text-anchor=\"middle\" font-size=\"10\">{}</text>",
                HEIGHT - BOTTOM + 18,
                brief(*value)
            );
        }
    }
    let _ = writeln!(
        out,
        "<circle cx=\"{LEFT}\" cy=\"{legend}\" r=\"4\" fill=\"#c33\"/><text x=\"{}\" y=\"{}\">goes on for ever</text>\
         <circle cx=\"{}\" cy=\"{legend}\" r=\"4\" fill=\"#2a7\"/><text x=\"{}\" y=\"{}\">a start limit ends it</text>\
         <circle cx=\"{}\" cy=\"{legend}\" r=\"4\" fill=\"#26b\"/><text x=\"{}\" y=\"{}\">comes to rest or serves</text>\n</svg>",
        LEFT + 10,
        HEIGHT - 8,
        LEFT + 160,
        LEFT + 170,
        HEIGHT - 8,
        LEFT + 330,
        LEFT + 340,
        HEIGHT - 8,
        legend = HEIGHT - 12
    );
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
