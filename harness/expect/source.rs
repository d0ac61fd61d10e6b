//! A source text and errors that point into it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::timeline::printable;

/// A text that was read from somewhere: what every error frame is cut from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    path: String,
    text: String,
    /// Byte offsets at which lines begin.
    lines: Vec<usize>,
}

/// Line and column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Source {
    /// A text and the path under which it is shown.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1));
        Arc::new(Self { path: path.into(), text, lines })
    }

    /// The path, as given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a byte range, empty if the range does not lie within the text.
    pub fn slice(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    /// Where a byte offset lies.
    pub fn position(&self, offset: usize) -> Position {
        let offset = floor_boundary(&self.text, offset);
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        Position { line: narrow(line + 1), column: narrow(column + 1) }
    }

    /// The lines that a byte range touches, with `around` more on either side: their byte range and the number of the first.
    fn window(&self, span: &Range<usize>, around: usize) -> (Range<usize>, usize) {
        let first = self.lines.partition_point(|start| *start <= span.start).saturating_sub(1 + around);
        let after = self.lines.partition_point(|start| *start < span.end.max(span.start + 1)) + around;
        let start = self.lines.get(first).copied().unwrap_or(0);
        let end = self.lines.get(after).copied().unwrap_or(self.text.len());
        (start..end, first + 1)
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The character boundary at or before `offset`.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A part of a source text.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    /// The text.
    pub source: Arc<Source>,
    /// The bytes.
    pub span: Range<usize>,
}

impl Location {
    /// Line and column of its first byte.
    pub fn position(&self) -> Position {
        self.source.position(self.span.start)
    }

    /// The line of its first byte.
    pub fn line(&self) -> u32 {
        self.position().line
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.source.slice(self.span.clone())
    }

    /// The bytes of its first line, without the line end.
    pub fn first_line(&self) -> Range<usize> {
        let line = self.text().lines().next().unwrap_or_default();
        self.span.start..self.span.start + line.trim_end().len()
    }
}

impl fmt::Display for Location {
    /// `path:line:column`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position();
        write!(f, "{}:{line}:{column}", printable(self.source.path()))
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}..{}", self.span.end)
    }
}

/// Whether what is rendered carries colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    #[default]
    Plain,
    /// With ANSI escape sequences.
    Coloured,
}

/// One thing that is wrong with a text, by byte range; [`Diagnostic::render`] joins it with the text.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Diagnostic {
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// Where.
    pub span: Range<usize>,
    /// What was expected there; stands beside the caret.
    pub label: String,
    /// Another place that matters, and why.
    pub related: Option<Box<(Range<usize>, String)>>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding at `span`.
    pub fn new(span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { message: message.into(), span, label: label.into(), related: None, help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another place of the same text.
    #[must_use]
    pub fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related = Some(Box::new((span, label.into())));
        self
    }

    /// The finding as people read it: message, `path:line:column`, the line with a caret, help.
    pub fn render(&self, source: &Source, style: Style) -> String {
        self.render_as(Level::ERROR, source, style)
    }

    /// As [`Diagnostic::render`], with the word `violated` for `error`.
    pub fn render_claim(&self, source: &Source, style: Style) -> String {
        self.render_as(Level::ERROR.with_name("violated"), source, style)
    }

    /// As [`Diagnostic::render`], as a warning or a note; `name` says so.
    pub fn render_named(&self, name: &'static str, source: &Source, style: Style) -> String {
        let level = match name {
            "warning" => Level::WARNING,
            "note" => Level::NOTE,
            _ => Level::ERROR,
        };
        self.render_as(level.with_name(name), source, style)
    }

    fn render_as(&self, level: Level<'_>, source: &Source, style: Style) -> String {
        let mut snippets = Vec::new();
        let (window, first_line) = source.window(&self.span, 1);
        let mut main = frame(source, &window, first_line).annotation(
            AnnotationKind::Primary
                .span(within(source, &window, &self.span))
                .label(printable(&self.label).into_owned()),
        );
        if let Some((span, label)) = self.related.as_deref() {
            let note = |window: &Range<usize>| {
                AnnotationKind::Context.span(within(source, window, span)).label(printable(label).into_owned())
            };
            if window.start <= span.start && span.end <= window.end {
                main = main.annotation(note(&window));
            } else {
                let (window, first_line) = source.window(span, 0);
                snippets.push(frame(source, &window, first_line).annotation(note(&window)));
            }
        }
        snippets.insert(0, main);
        let mut group = Group::with_title(level.primary_title(printable(&self.message).into_owned()));
        group = group.elements(snippets);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(printable(help).into_owned()));
        }
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Coloured => Renderer::styled(),
        };
        renderer.render(&[group])
    }
}

fn frame<'a>(
    source: &'a Source,
    window: &Range<usize>,
    first_line: usize,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    Snippet::source(printable_in_place(source.slice(window.clone())))
        .line_start(first_line)
        .path(printable(source.path()).into_owned())
        .fold(false)
}

/// Replaces what the renderer lets through and a terminal would obey, by characters of the same length in bytes,
/// so that byte ranges keep their meaning. (The renderer takes care of the other control characters itself.)
fn printable_in_place(text: &str) -> String {
    let replace = |c: char| match c {
        '\u{80}'..='\u{9f}' => '\u{bf}',
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(replace).collect()
}

/// `span` relative to `window`, on character boundaries and never outside of it.
fn within(source: &Source, window: &Range<usize>, span: &Range<usize>) -> Range<usize> {
    let clamp = |at: usize| floor_boundary(&source.text, at.clamp(window.start, window.end)) - window.start;
    let (start, end) = (clamp(span.start), clamp(span.end));
    start..end.max(start)
}
