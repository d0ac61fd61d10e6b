//! From the bytes of a unit file to logical lines (systemd.syntax(7), SPEC 1.1).

use super::Errno;
use super::number::BLANKS;

/// The longest physical line, and the longest logical one.
const LONGEST: usize = 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A logical line: comments gone, continuations joined, blanks at both ends stripped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Number of its last physical line, from 1: the one systemd puts into messages.
    pub number: u32,
    /// Its text, or, if it is not clean UTF-8, the text with U+FFFD for each bad byte.
    pub text: Result<String, String>,
    /// Where the text stands in the file.
    pub origin: Origin,
}

/// Where the bytes of a logical line stand in their file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Offset of the first physical line in the file.
    start: usize,
    /// Blanks that were stripped from the beginning.
    skipped: usize,
    /// The other physical lines: offset in the joined bytes, offset in the file.
    joins: Vec<(usize, usize)>,
}

impl Origin {
    /// The offset in the file of a byte of the text.
    pub(crate) fn of(&self, offset: usize) -> usize {
        let offset = offset.saturating_add(self.skipped);
        let joined = self.joins.partition_point(|(from, _)| *from <= offset);
        let (from, start) =
            joined.checked_sub(1).and_then(|last| self.joins.get(last)).copied().unwrap_or((0, self.start));
        start.saturating_add(offset.saturating_sub(from))
    }
}

/// Reads logical lines one at a time, so that a consumer that gives up early does not pay for the rest.
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
    /// What was read so far.
    read: usize,
    number: u32,
    byte_order_mark_seen: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, read: 0, number: 0, byte_order_mark_seen: false }
    }

    /// The next physical line without its end (LF, CR, both in either order, or NUL), and its offset.
    fn physical(&mut self) -> Option<Result<(&'a [u8], usize), Errno>> {
        if self.rest.is_empty() {
            return None;
        }
        let length = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0)).unwrap_or(self.rest.len());
        let line = &self.rest[..length];
        let mut seen = [false; 3];
        let mut end = length;
        while let Some(kind) = self.rest.get(end).and_then(|byte| [b'\n', b'\r', 0].iter().position(|eol| eol == byte))
        {
            // Each kind of end counts once, and nothing follows a NUL.
            if seen[kind] || seen[2] {
                break;
            }
            seen[kind] = true;
            end += 1;
        }
        self.rest = &self.rest[end..];
        let at = self.read;
        self.read += end;
        Some(if length > LONGEST { Err(Errno::ENOBUFS) } else { Ok((line, at)) })
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<Line, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut joined: Option<Vec<u8>> = None;
        let mut origin = Origin::default();
        loop {
            let (mut line, mut at) = match self.physical() {
                None => {
                    // The end of the file inside a continuation just ends the line.
                    self.number = self.number.saturating_add(1);
                    return joined.map(|bytes| Ok(logical(&bytes, self.number, origin)));
                }
                Some(Err(errno)) => {
                    self.rest = &[];
                    return Some(Err(errno));
                }
                Some(Ok(line)) => line,
            };
            self.number = self.number.saturating_add(1);
            let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
            if matches!(first, Some(b'#' | b';')) {
                continue;
            }
            if !self.byte_order_mark_seen
                && let Some(after) = line.strip_prefix(BYTE_ORDER_MARK)
            {
                line = after;
                at += BYTE_ORDER_MARK.len();
                self.byte_order_mark_seen = true;
            }
            let continues = line.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
            match &joined {
                None => origin.start = at,
                Some(bytes) => origin.joins.push((bytes.len(), at)),
            }
            if !continues && joined.is_none() {
                return Some(Ok(logical(line, self.number, origin)));
            }
            let bytes = joined.get_or_insert_default();
            if bytes.len() + line.len() > LONGEST {
                self.rest = &[];
                return Some(Err(Errno::ENOBUFS));
            }
            bytes.extend_from_slice(line);
            if !continues {
                return Some(Ok(logical(bytes, self.number, origin)));
            }
            if let Some(last) = bytes.last_mut() {
                *last = b' ';
            }
        }
    }
}

fn logical(bytes: &[u8], number: u32, mut origin: Origin) -> Line {
    origin.skipped = bytes.iter().take_while(|byte| is_blank(**byte)).count();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_character) => Ok(text.trim_matches(BLANKS).to_owned()),
        _ => Err(mark_invalid(bytes).trim_matches(BLANKS).to_owned()),
    };
    Line { number, text, origin }
}

fn is_blank(byte: u8) -> bool {
    BLANKS.contains(&char::from(byte))
}

/// systemd refuses the code points that Unicode reserves as noncharacters.
pub(crate) fn is_character(c: char) -> bool {
    let code = u32::from(c);
    !(0xfdd0..=0xfdef).contains(&code) && code & 0xfffe != 0xfffe
}

/// One U+FFFD for every byte that is not part of a valid character.
fn mark_invalid(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_character(c) {
                out.push(c);
            } else {
                out.extend(std::iter::repeat_n('\u{fffd}', c.len_utf8()));
            }
        }
        out.extend(std::iter::repeat_n('\u{fffd}', chunk.invalid().len()));
    }
    out
}
