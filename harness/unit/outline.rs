//! What stands where in a unit file: for whoever speaks about its text and not about what it means.

use std::ops::Range;

use super::lines::{Lines, Origin};
use super::number::BLANKS;

/// The logical lines of a unit file that say something, in order, as far as systemd reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Headers, assignments, and lines that are neither.
    pub items: Vec<Item>,
}

/// What a logical line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// `[Section]`.
    Section,
    /// `Key=value`.
    Assignment,
    /// Anything else, also what is not UTF-8.
    Other,
}

/// A logical line and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// The section it is in, or whose header it is; empty before the first one.
    pub section: String,
    /// The key of an assignment.
    pub key: String,
    /// The value of an assignment, the text of any other line, up to the first byte that is not UTF-8; continuations joined.
    pub value: String,
    /// The number that systemd's messages have: of its last physical line, from 1.
    pub line: u32,
    origin: Origin,
    /// Offset of the value in the joined text.
    value_at: usize,
}

impl Item {
    /// The bytes of the file from its first to its last character.
    pub fn span(&self) -> Range<usize> {
        self.part(0..self.value_at + self.value.len())
    }

    /// The bytes of an assignment's key.
    pub fn key_span(&self) -> Range<usize> {
        self.part(0..self.key.len())
    }

    /// The bytes of the value; where it is empty, the place where it would be.
    pub fn value_span(&self) -> Range<usize> {
        self.value_part(0..self.value.len())
    }

    /// The bytes of a part of the value.
    pub fn value_part(&self, part: Range<usize>) -> Range<usize> {
        self.part(part.start + self.value_at..part.end + self.value_at)
    }

    fn part(&self, part: Range<usize>) -> Range<usize> {
        let start = self.origin.of(part.start);
        // The byte after the last one may be on another line.
        let end = if part.end > part.start { self.origin.of(part.end - 1) + 1 } else { start };
        start..end.max(start)
    }
}

impl Outline {
    /// Reads a file.
    pub fn of(bytes: &[u8]) -> Self {
        let mut items = Vec::new();
        let mut section = String::new();
        for line in Lines::new(bytes) {
            let Ok(line) = line else { break };
            let item = |kind, section: &str, key: &str, value: &str, value_at| Item {
                kind,
                section: section.to_owned(),
                key: key.to_owned(),
                value: value.to_owned(),
                line: line.number,
                origin: line.origin.clone(),
                value_at,
            };
            let text = match &line.text {
                Ok(text) if text.is_empty() => continue,
                Ok(text) => text,
                Err(text) => {
                    // What follows the first bad byte has other offsets in the file.
                    let sound = text.split('\u{fffd}').next().unwrap_or_default();
                    items.push(item(ItemKind::Other, &section, "", sound, 0));
                    break;
                }
            };
            if let Some(header) = text.strip_prefix('[') {
                section = header.strip_suffix(']').unwrap_or(header).to_owned();
                items.push(item(ItemKind::Section, &section, "", text, 0));
                continue;
            }
            items.push(match text.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    let trimmed = value.trim_matches(BLANKS);
                    let blanks = value.len() - value.trim_start_matches(BLANKS).len();
                    let value_at = key.len() + 1 + if trimmed.is_empty() { 0 } else { blanks };
                    item(ItemKind::Assignment, &section, key.trim_matches(BLANKS), trimmed, value_at)
                }
                _ => item(ItemKind::Other, &section, "", text, 0),
            });
        }
        Self { items }
    }

    /// The assignments of a key, in order.
    pub fn assignments<'a>(&'a self, section: &'a str, key: &'a str) -> impl Iterator<Item = &'a Item> {
        self.items
            .iter()
            .filter(move |item| item.kind == ItemKind::Assignment && item.section == section && item.key == key)
    }
}
