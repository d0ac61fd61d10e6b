//! CommonMark → headings and fenced blocks with their places. What the blocks mean is not known here.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Parser, Tag, TagEnd};

/// A heading or a fenced block.
pub(super) enum Part {
    Heading { level: u8, text: String, span: Range<usize> },
    Fence(Fence),
}

/// A fenced code block.
pub(super) struct Fence {
    /// The rest of the opening line.
    pub(super) info: Range<usize>,
    /// The lines between the fences.
    pub(super) content: Range<usize>,
    /// Whether a closing fence was found.
    pub(super) is_closed: bool,
    /// Whether it stands in a list or a quotation, or is indented.
    pub(super) is_nested: bool,
}

/// The parts of a document, in order.
pub(super) fn parts(source: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut heading: Option<(u8, String, Range<usize>)> = None;
    for (event, range) in Parser::new(source).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => heading = Some((depth(level), String::new(), range)),
            Event::End(TagEnd::Heading(_)) => {
                if let Some((level, text, span)) = heading.take() {
                    let end = span.start + source.get(span.clone()).unwrap_or_default().trim_end().len();
                    parts.push(Part::Heading { level, text: text.trim().to_owned(), span: span.start..end });
                }
            }
            Event::Text(piece) | Event::Code(piece) => {
                if let Some((_, text, _)) = &mut heading {
                    text.push_str(&piece);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some((_, text, _)) = &mut heading {
                    text.push(' ');
                }
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => parts.push(Part::Fence(fence(source, range))),
            _ => {}
        }
    }
    parts
}

fn depth(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// Takes the block's source apart; `range` runs from the opening fence to the closing one.
fn fence(text: &str, range: Range<usize>) -> Fence {
    let line_start = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[range.start..].find('\n').map_or(text.len(), |newline| range.start + newline);
    let opening = &text[range.start..line_end];
    let marker = opening.trim_start().chars().next().unwrap_or('`');
    let fence_start = range.start + opening.len() - opening.trim_start().len();
    let ticks = opening.trim_start().len() - opening.trim_start().trim_start_matches(marker).len();
    let content_start = (line_end + 1).min(text.len());
    let end = range.end.clamp(content_start, text.len());
    let body = &text[content_start..end];
    let last_start = content_start + body.trim_end_matches(['\n', '\r']).rfind('\n').map_or(0, |newline| newline + 1);
    let last = text[last_start..end].trim();
    let is_closed = last.len() >= ticks && !last.is_empty() && last.chars().all(|c| c == marker);
    Fence {
        info: fence_start + ticks..line_end,
        content: content_start..if is_closed { last_start } else { end },
        is_closed,
        is_nested: line_start != fence_start,
    }
}
