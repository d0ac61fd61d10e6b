//! The lexical half of the claim language: words, numbers, spans, texts, each with its place.

use std::ops::Range;

use regex::RegexBuilder;

use super::claim::{Pattern, Var};
use super::source::Diagnostic;
use crate::time::Span;

/// Greatest size of a compiled regular expression, in bytes.
const REGEX_LIMIT: usize = 1 << 20;

/// One line of an `expect` block and how far it has been read.
pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
    end: usize,
}

type Result<T> = std::result::Result<T, Diagnostic>;

impl<'a> Words<'a> {
    /// A line of `text`; blanks around it do not count.
    pub(super) fn new(text: &'a str, line: Range<usize>) -> Self {
        let mut words = Self { text, at: line.start, end: line.end };
        words.skip_blanks();
        words
    }

    /// The offset of the next word.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The offset after the last word read, without the blanks that follow it.
    pub(super) fn behind(&self, from: usize) -> usize {
        from + self.slice(from, self.at).trim_end().len()
    }

    /// What is left of the line.
    fn rest(&self) -> &'a str {
        self.slice(self.at, self.end)
    }

    pub(super) fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Whether nothing but a comment is left.
    pub(super) fn is_done(&self) -> bool {
        self.rest().is_empty() || self.rest().starts_with('#')
    }

    /// The next word without reading it: up to a blank, a comma, a quote or a comparison sign.
    pub(super) fn peek(&self) -> &'a str {
        if self.is_done() {
            return "";
        }
        let rest = self.rest();
        let stop = |c: char| c.is_whitespace() || matches!(c, ',' | '"' | '=' | '!' | '<' | '>');
        &rest[..rest.find(stop).unwrap_or(rest.len())]
    }

    /// Reads `length` bytes and the blanks after them; returns the range of the bytes.
    pub(super) fn take(&mut self, length: usize) -> Range<usize> {
        let start = self.at;
        self.at = (start + length).min(self.end);
        let range = start..self.at;
        self.skip_blanks();
        range
    }

    /// Reads the next word.
    pub(super) fn word(&mut self) -> (&'a str, Range<usize>) {
        let word = self.peek();
        (word, self.take(word.len()))
    }

    /// Reads the word if it is this one.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek() == keyword;
        if found {
            self.take(keyword.len());
        }
        found
    }

    /// Reads a sign if it comes next.
    pub(super) fn sign(&mut self, sign: &str) -> bool {
        let found = !self.is_done() && self.rest().starts_with(sign);
        if found {
            self.take(sign.len());
        }
        found
    }

    /// An error at the next word, which says what was expected instead.
    pub(super) fn expected(&self, what: &str) -> Diagnostic {
        if self.is_done() {
            // Point behind the last word rather than into a comment.
            let end = self.text.get(..self.at).unwrap_or_default().trim_end().len();
            return Diagnostic::new(end..end, "the claim ends too early", format!("expected {what}"));
        }
        let word = self.peek();
        let length = if word.is_empty() { self.rest().chars().next().map_or(0, char::len_utf8) } else { word.len() };
        let found = self.slice(self.at, self.at + length);
        Diagnostic::new(
            self.at..self.at + length,
            format!("unexpected `{found}` in a claim"),
            format!("expected {what}"),
        )
    }

    /// Reads a whole number.
    pub(super) fn integer(&mut self, what: &str) -> Result<(u32, Range<usize>)> {
        let word = self.peek();
        if word.is_empty() || !word.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.expected(what));
        }
        let Ok(number) = word.parse() else {
            return Err(Diagnostic::new(
                self.at..self.at + word.len(),
                "the number is too large",
                format!("expected {what}"),
            ));
        };
        Ok((number, self.take(word.len())))
    }

    /// Reads a port number.
    pub(super) fn port(&mut self) -> Result<u16> {
        let (number, span) = self.integer("a port, as in `8000`")?;
        match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(Diagnostic::new(span, format!("{number} is not a port"), "expected 1 to 65535")),
        }
    }

    /// Reads a time span: words that begin with a digit, a word that continues one (`10 s`), or `infinity`.
    pub(super) fn time_span(&mut self) -> Result<(Span, Range<usize>)> {
        let start = self.at;
        let mut end = start;
        loop {
            let mut word = self.peek();
            if let Some(dots) = word.find("..") {
                word = &word[..dots];
            }
            let is_number = word.starts_with(|c: char| c.is_ascii_digit());
            // A unit that stands apart from its number, as in `10 s`.
            let is_unit = end > start
                && self.slice(start, end).ends_with(|c: char| c.is_ascii_digit())
                && Span::parse(&format!("1{word}")).is_ok();
            let is_infinity = end == start && word == "infinity";
            if word.is_empty() || !(is_number || is_unit || is_infinity) {
                break;
            }
            end = self.take(word.len()).end;
        }
        if end == start {
            return Err(self.expected("a time span, as in `14.5s` or `1min 30s`"));
        }
        match Span::parse(self.slice(start, end)) {
            Ok(span) => Ok((span, start..end)),
            Err(error) => Err(Diagnostic::new(
                start..end,
                format!("not a time span: {error}"),
                "expected a span such as `14.5s` or `1min 30s`",
            )),
        }
    }

    /// Reads a time span if one comes next.
    pub(super) fn try_time_span(&mut self) -> Option<(Span, Range<usize>)> {
        let before = self.at;
        let found = self.time_span().ok();
        if found.is_none() {
            self.at = before;
        }
        found
    }

    /// Reads `N cycles` if that comes next.
    pub(super) fn try_cycles(&mut self) -> Option<(u32, Range<usize>)> {
        let before = self.at;
        let count = self.integer("a number").ok();
        if count.is_some() && (self.keyword("cycles") || self.keyword("cycle")) {
            return count;
        }
        self.at = before;
        None
    }

    /// Reads `"…"` or `/…/`.
    pub(super) fn pattern(&mut self) -> Result<Pattern> {
        match self.rest().chars().next() {
            Some('"') => Ok(Pattern::Literal(self.quoted()?)),
            Some('/') => {
                let (text, span) = self.delimited('/', "the regular expression is not closed")?;
                match RegexBuilder::new(&text).size_limit(REGEX_LIMIT).build() {
                    Ok(regex) => Ok(Pattern::Regex(regex)),
                    Err(error) => {
                        let reason = error.to_string();
                        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                        Err(Diagnostic::new(span, "not a regular expression", reason))
                    }
                }
            }
            _ => Err(self.expected("a text, as in `\"FSM Running\"`, or a regular expression, as in `/Errno 98/`")),
        }
    }

    /// Whether a text in quotes comes next.
    pub(super) fn at_quote(&self) -> bool {
        self.rest().starts_with('"')
    }

    /// Reads `"…"`, in which `\"` and `\\` stand for `"` and `\`.
    pub(super) fn quoted(&mut self) -> Result<String> {
        Ok(self.delimited('"', "the text is not closed")?.0)
    }

    /// Reads a text between two delimiters; a backslash takes the delimiter's meaning away. In quotes it also
    /// does that for itself; a regular expression has its own use for it.
    fn delimited(&mut self, delimiter: char, unclosed: &str) -> Result<(String, Range<usize>)> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((offset, c)) = chars.next() {
            match c {
                c if c == delimiter => {
                    let span = self.take(offset + delimiter.len_utf8());
                    return Ok((text, span));
                }
                '\\' => match chars.peek().copied() {
                    Some((_, next)) if next == delimiter || (next == '\\' && delimiter == '"') => {
                        text.push(next);
                        chars.next();
                    }
                    Some((_, next)) if delimiter == '/' => {
                        text.push('\\');
                        text.push(next);
                        chars.next();
                    }
                    _ => text.push('\\'),
                },
                c => text.push(c),
            }
        }
        Err(Diagnostic::new(start..self.end, unclosed, format!("expected a closing `{delimiter}`")))
    }

    /// Reads `[NAME]` if one comes next.
    pub(super) fn var(&mut self) -> Result<Option<Var>> {
        let word = self.peek();
        if !word.starts_with('[') {
            return Ok(None);
        }
        let name = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
        if !is_var_name(name) {
            return Err(Diagnostic::new(
                self.at..self.at + word.len(),
                format!("`{word}` is not a name"),
                "expected `[NAME]` in capitals, digits and `_`",
            ));
        }
        Ok(Some(Var { name: name.to_owned(), span: self.take(word.len()) }))
    }
}

/// Whether this can stand between the brackets of `[NAME]`.
pub fn is_var_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}
