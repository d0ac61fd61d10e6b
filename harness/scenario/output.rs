//! What a command printed against what the document says it prints.
//!
//! A line `...` stands for any number of lines, as few as will do; `[..]` for any part of a line; `[NAME]` for a
//! word: the first match binds it, and from then on it stands for that word. Blanks at the end of a line and blank
//! lines at the end of the output do not count.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};

use super::console::{Command, Line};
use crate::expect::{Source, is_var_name};

/// Words by the names they are bound to.
pub type Bindings = BTreeMap<String, String>;

/// Greatest size of one line's pattern once compiled, in bytes.
const PATTERN_LIMIT: usize = 1 << 20;

/// Greatest number of line pairs that are compared to find out which lines were kept.
const COMPARISONS: usize = 1 << 20;

/// How an output differs: lines of the document with `-`, lines that came instead with `+`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The diff, one line a line.
    pub diff: String,
}

/// Compares an output with the lines of the document; the result is what it binds in addition to `bound`.
///
/// # Errors
///
/// How it differs.
pub fn compare(expected: &[Line], actual: &str, bound: &Bindings) -> Result<Bindings, Mismatch> {
    let patterns = compile(expected, bound);
    let lines = split(actual);
    let mut bindings = bound.clone();
    if match_all(&patterns, &lines, &mut bindings) {
        bindings.retain(|name, _| !bound.contains_key(name));
        return Ok(bindings);
    }
    Err(Mismatch { diff: diff(expected, &patterns, &lines, bound) })
}

/// As [`compare`]; where that fails, a number of the document stands for any, the name of a month too, and blanks for any
/// number of them: PIDs, moments, counts and the columns they make, of a machine whose clock nobody holds. A word that has
/// to be the same stays so.
///
/// # Errors
///
/// How it differs from what is written.
pub fn compare_but_for_numbers(expected: &[Line], actual: &str, bound: &Bindings) -> Result<Bindings, Mismatch> {
    compare(expected, actual, bound).or_else(|mismatch| {
        let loose = |line: &Line| Line { text: without_numbers(&line.text), span: line.span.clone() };
        let loose: Vec<Line> = expected.iter().map(loose).collect();
        let actual: Vec<String> = actual.lines().map(single_blanks).collect();
        compare(&loose, &actual.join("\n"), bound).map_err(|_| mismatch)
    })
}

/// The line with `[..]` for each of its numbers.
fn without_numbers(line: &str) -> String {
    let mut out = String::new();
    for piece in pieces(line) {
        match piece {
            Piece::Any => out.push_str("[..]"),
            Piece::Name(name) => {
                let _ = write!(out, "[{name}]");
            }
            Piece::Text(text) => {
                let mut rest = text;
                while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
                    out.push_str(without_month(&rest[..start]));
                    out.push_str("[..]");
                    let number = &rest[start..];
                    let end = number.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap_or(number.len());
                    rest = &number[end..];
                }
                out.push_str(rest);
            }
        }
    }
    single_blanks(&out)
}

/// What stands before a day but for the month: both are one `[..]`.
fn without_month(text: &str) -> &str {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let blank = text.trim_end_matches(' ');
    months.iter().find_map(|month| blank.strip_suffix(month)).filter(|_| blank != text).unwrap_or(text)
}

fn single_blanks(line: &str) -> String {
    line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The names that a line would bind or use.
pub(super) fn names(line: &str) -> Vec<(String, Range<usize>)> {
    let mut at = 0;
    let mut names = Vec::new();
    for piece in pieces(line) {
        match piece {
            Piece::Text(text) => at += text.len(),
            Piece::Any => at += "[..]".len(),
            Piece::Name(name) => {
                let end = at + name.len() + "[]".len();
                names.push((name.to_owned(), at..end));
                at = end;
            }
        }
    }
    names
}

/// Rewrites the outputs of commands of one document to what they print now; everything else stays as it is,
/// and so does every line, elision and name that still matches.
pub fn update(source: &Source, outputs: &[(&Command, &str, &Bindings)]) -> String {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for (command, actual, bound) in outputs {
        let is_here =
            command.location.source.path() == source.path() && command.location.source.text() == source.text();
        if is_here && compare(&command.output, actual, bound).is_err() {
            let mut text = rewrite(&command.output, actual, bound);
            let is_at_line_start = source.text()[..command.output_span.start].ends_with('\n');
            if !text.is_empty() && !is_at_line_start {
                text.insert(0, '\n');
            }
            edits.push((command.output_span.clone(), text));
        }
    }
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = String::new();
    let mut at = 0;
    for (span, with) in edits {
        if span.start >= at {
            out.push_str(source.slice(at..span.start));
            out.push_str(&with);
            at = span.end;
        }
    }
    out.push_str(source.slice(at..source.text().len()));
    out
}

enum Piece<'a> {
    Text(&'a str),
    Any,
    Name(&'a str),
}

/// Takes a line of the document apart.
fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut text, mut at) = (0, 0);
    while let Some(found) = line[at..].find('[') {
        let start = at + found;
        let Some(length) = line[start..].find(']') else { break };
        let inside = &line[start + 1..start + length];
        let piece = match inside {
            ".." => Some(Piece::Any),
            name if is_var_name(name) => Some(Piece::Name(name)),
            _ => None,
        };
        match piece {
            Some(piece) => {
                if text < start {
                    pieces.push(Piece::Text(&line[text..start]));
                }
                pieces.push(piece);
                at = start + length + 1;
                text = at;
            }
            // Another bracket may open before this one closes; the last that does is the next that can matter.
            None => at = start + 1 + inside.rfind('[').unwrap_or(0),
        }
    }
    if text < line.len() {
        pieces.push(Piece::Text(&line[text..]));
    }
    pieces
}

enum Pattern<'a> {
    /// `...`
    Lines,
    /// A line without anything special.
    Plain(&'a str),
    /// A line with `[..]` or `[NAME]`.
    Special(Special<'a>),
}

/// What matches a line with `[..]` or `[NAME]`.
struct Special<'a> {
    text: &'a str,
    /// With the names bound that were bound before the output.
    first: Matcher<'a>,
    /// With names bound that this output has bound: the last such matcher. Many lines are tried with the same words.
    later: RefCell<Option<(Words, Rc<Matcher<'a>>)>>,
}

/// The words that the names of a line stand for, as far as they are bound.
type Words = Vec<Option<String>>;

/// A regular expression and the names of its groups, in order.
struct Matcher<'a> {
    regex: Regex,
    names: Vec<&'a str>,
}

fn compile<'a>(expected: &'a [Line], bound: &Bindings) -> Vec<Pattern<'a>> {
    expected.iter().map(|line| compile_line(line.text.trim_end(), bound)).collect()
}

fn compile_line<'a>(line: &'a str, bound: &Bindings) -> Pattern<'a> {
    if line == "..." {
        return Pattern::Lines;
    }
    if pieces(line).iter().all(|piece| matches!(piece, Piece::Text(_))) {
        return Pattern::Plain(line);
    }
    match Matcher::new(line, bound) {
        Some(first) => Pattern::Special(Special { text: line, first, later: RefCell::new(None) }),
        None => Pattern::Plain(line),
    }
}

impl<'a> Matcher<'a> {
    /// `None` if it would be too large.
    fn new(line: &'a str, bindings: &Bindings) -> Option<Self> {
        let mut names = Vec::new();
        let mut pattern = String::from("^");
        for piece in pieces(line) {
            match piece {
                Piece::Text(text) => pattern.push_str(&regex::escape(text)),
                Piece::Any => pattern.push_str(".*?"),
                Piece::Name(name) => match bindings.get(name) {
                    Some(word) => pattern.push_str(&regex::escape(word)),
                    None => {
                        names.push(name);
                        pattern.push_str(r"(\S+)");
                    }
                },
            }
        }
        pattern.push('$');
        let regex = RegexBuilder::new(&pattern).size_limit(PATTERN_LIMIT).dot_matches_new_line(true).build().ok()?;
        Some(Self { regex, names })
    }

    /// Matches and binds.
    fn matches(&self, line: &str, bindings: &mut Bindings) -> bool {
        let Some(captures) = self.regex.captures(line) else { return false };
        self.names.iter().enumerate().all(|(index, name)| {
            let word = captures.get(index + 1).map_or("", |found| found.as_str());
            // A name that stands twice in a line must stand for one word.
            bindings.entry((*name).to_owned()).or_insert_with(|| word.to_owned()) == word
        })
    }
}

impl Special<'_> {
    fn matches(&self, line: &str, bindings: &mut Bindings) -> bool {
        // The matcher with fewer names bound is the wider one: what it refuses need not be looked at again.
        if !self.first.regex.is_match(line) {
            return false;
        }
        let words: Words = self.first.names.iter().map(|name| bindings.get(*name).cloned()).collect();
        if words.iter().all(Option::is_none) {
            return self.first.matches(line, bindings);
        }
        let mut later = self.later.borrow_mut();
        let matcher = match &*later {
            Some((known, matcher)) if *known == words => Rc::clone(matcher),
            _ => {
                let Some(matcher) = Matcher::new(self.text, bindings) else { return false };
                let matcher = Rc::new(matcher);
                *later = Some((words, Rc::clone(&matcher)));
                matcher
            }
        };
        matcher.matches(line, bindings)
    }
}

/// The lines of an output as they are compared.
fn split(actual: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = actual.lines().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

/// Matches from top to bottom; every run of lines between two `...` at the first place where it fits.
fn match_all(patterns: &[Pattern<'_>], lines: &[&str], bindings: &mut Bindings) -> bool {
    let runs: Vec<&[Pattern<'_>]> = patterns.split(|pattern| matches!(pattern, Pattern::Lines)).collect();
    let Some((last, others)) = runs.split_last() else { return lines.is_empty() };
    let mut at = 0;
    for (index, run) in others.iter().enumerate() {
        let places = if index == 0 { 0..=0 } else { at..=lines.len() };
        match places.into_iter().find_map(|place| match_run(run, lines, place, bindings).map(|found| (place, found))) {
            Some((place, found)) => {
                *bindings = found;
                at = place + run.len();
            }
            None => return false,
        }
    }
    let Some(place) = lines.len().checked_sub(last.len()) else { return false };
    let is_in_place = if others.is_empty() { place == 0 } else { place >= at };
    match match_run(last, lines, place, bindings) {
        Some(found) if is_in_place => {
            *bindings = found;
            true
        }
        _ => false,
    }
}

/// The bindings after a run of lines has matched at a place.
fn match_run(run: &[Pattern<'_>], lines: &[&str], place: usize, bindings: &Bindings) -> Option<Bindings> {
    let lines = lines.get(place..place.checked_add(run.len())?)?;
    // Most places fail on plain text; look at that before anything is copied.
    if run.iter().zip(lines).any(|(pattern, line)| matches!(pattern, Pattern::Plain(text) if text != line)) {
        return None;
    }
    let mut bindings = bindings.clone();
    run.iter().zip(lines).all(|(pattern, line)| match_line(pattern, line, &mut bindings)).then_some(bindings)
}

fn match_line(pattern: &Pattern<'_>, line: &str, bindings: &mut Bindings) -> bool {
    match pattern {
        Pattern::Lines => true,
        Pattern::Plain(text) => *text == line,
        Pattern::Special(special) => special.matches(line, bindings),
    }
}

/// Which lines of the document match which lines of the output, both in order: what fits at the beginning and at
/// the end, and between these the longest such sequence.
fn align(patterns: &[Pattern<'_>], lines: &[&str], bound: &Bindings) -> Vec<(usize, usize)> {
    let weight = |row: usize, column: usize| match &patterns[row] {
        Pattern::Lines => 0,
        Pattern::Plain(text) => {
            if *text == lines[column] {
                2_u32
            } else {
                0
            }
        }
        pattern => u32::from(match_line(pattern, lines[column], &mut bound.clone())),
    };
    let shorter = patterns.len().min(lines.len());
    let front = (0..shorter).take_while(|at| weight(*at, *at) > 0).count();
    let from_end = |at: usize| (patterns.len() - 1 - at, lines.len() - 1 - at);
    let back = (0..shorter - front).take_while(|at| weight(from_end(*at).0, from_end(*at).1) > 0).count();
    let (rows, columns) = (front..patterns.len() - back, front..lines.len() - back);
    let mut pairs: Vec<(usize, usize)> = (0..front).map(|at| (at, at)).collect();
    pairs.extend(longest(&rows, &columns, weight));
    pairs.extend((0..back).rev().map(from_end));
    pairs
}

/// The heaviest sequence of pairs within rows and columns; nothing if there is too much to compare.
fn longest(rows: &Range<usize>, columns: &Range<usize>, weight: impl Fn(usize, usize) -> u32) -> Vec<(usize, usize)> {
    if rows.len().saturating_mul(columns.len()) > COMPARISONS {
        return Vec::new();
    }
    let mut best = vec![vec![0_u32; columns.len() + 1]; rows.len() + 1];
    let mut fit = vec![vec![0_u32; columns.len()]; rows.len()];
    for row in (0..rows.len()).rev() {
        for column in (0..columns.len()).rev() {
            let here = weight(rows.start + row, columns.start + column);
            fit[row][column] = here;
            let apart = best[row + 1][column].max(best[row][column + 1]);
            best[row][column] = if here > 0 { apart.max(best[row + 1][column + 1] + here) } else { apart };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut pairs = Vec::new();
    while row < rows.len() && column < columns.len() {
        let here = fit[row][column];
        if here > 0 && best[row][column] == best[row + 1][column + 1] + here {
            pairs.push((rows.start + row, columns.start + column));
            row += 1;
            column += 1;
        } else if best[row + 1][column] >= best[row][column + 1] {
            row += 1;
        } else {
            column += 1;
        }
    }
    pairs
}

/// Walks the document's lines and the output's side by side, from one pair that matches to the next. What lies
/// between two pairs is either a `...` alone on the document's side, which may stay, or a difference.
fn walk(
    patterns: &[Pattern<'_>],
    lines: &[&str],
    bound: &Bindings,
    mut between: impl FnMut(Range<usize>, Range<usize>, bool),
    mut pair: impl FnMut(usize),
) {
    let mut pairs = align(patterns, lines, bound);
    pairs.push((patterns.len(), lines.len()));
    let (mut row, mut column) = (0, 0);
    for (next_row, next_column) in pairs {
        let gap = &patterns[row..next_row];
        let is_elided = !gap.is_empty() && gap.iter().all(|pattern| matches!(pattern, Pattern::Lines));
        between(row..next_row, column..next_column, is_elided);
        if next_row < patterns.len() {
            pair(next_row);
        }
        (row, column) = (next_row + 1, next_column + 1);
    }
}

fn diff(expected: &[Line], patterns: &[Pattern<'_>], lines: &[&str], bound: &Bindings) -> String {
    let out = RefCell::new(String::new());
    let line = |sign: char, text: &str| {
        let _ = writeln!(out.borrow_mut(), "{sign}{text}");
    };
    walk(
        patterns,
        lines,
        bound,
        |rows, columns, is_elided| {
            if is_elided {
                line(' ', "...");
                return;
            }
            expected[rows].iter().for_each(|expected| line('-', &expected.text));
            lines[columns].iter().for_each(|actual| line('+', actual));
        },
        |row| line(' ', &expected[row].text),
    );
    out.into_inner()
}

/// The document's lines for an output that they do not match. Lines are kept one by one, so that names may come to
/// stand for several words; then none is kept.
fn rewrite(expected: &[Line], actual: &str, bound: &Bindings) -> String {
    let kept = keep(expected, actual, bound);
    let lines: Vec<Line> = kept.lines().map(|text| Line { text: text.to_owned(), span: 0..0 }).collect();
    if compare(&lines, actual, bound).is_ok() { kept } else { keep(&[], actual, bound) }
}

/// The lines of an output, with those of the document in place that still match.
fn keep(expected: &[Line], actual: &str, bound: &Bindings) -> String {
    let (patterns, lines) = (compile(expected, bound), split(actual));
    let out = RefCell::new(String::new());
    let line = |text: &str| {
        out.borrow_mut().push_str(text);
        out.borrow_mut().push('\n');
    };
    walk(
        &patterns,
        &lines,
        bound,
        |_, columns, is_elided| {
            if is_elided {
                line("...");
            } else {
                lines[columns].iter().for_each(|actual| line(&literal(actual)));
            }
        },
        |row| {
            // What comes first must not be read as a continuation of the command.
            let is_first = out.borrow().is_empty();
            if is_first && expected[row].text.starts_with('>') {
                line(&literal(&expected[row].text));
            } else {
                line(&expected[row].text);
            }
        },
    );
    out.into_inner()
}

/// A line of output as a line of a document that matches it and means nothing else.
fn literal(actual: &str) -> String {
    if actual == "..." {
        return "[..]".into();
    }
    let mut text = String::new();
    for piece in pieces(actual) {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Any | Piece::Name(_) => text.push_str("[..]"),
        }
    }
    // A prompt, a status or a fence would be read as such.
    let opens = text.trim_start();
    if text.starts_with("$ ") || text == "$" || text.starts_with("> ") || text == ">" || text.starts_with("? ") {
        text.replace_range(..1, "[..]");
    } else if opens.starts_with("```") || opens.starts_with("~~~") {
        let start = text.len() - opens.len();
        text.replace_range(start..start + 3, "[..]");
    }
    text
}
