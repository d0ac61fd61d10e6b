//! Bytes cut into lines.

use std::borrow::Cow;

use memchr::memchr;

/// So many bytes of a line are kept; the rest of it is passed over.
const MAX: usize = 1 << 20;

/// Cuts a stream into lines, however it comes in.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end is still to come.
    open: Vec<u8>,
}

impl Lines {
    /// Takes more of the stream and hands out what lines are whole, without their ends (LF or CRLF).
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.open.is_empty() {
                each(trim(&line[..line.len().min(MAX)]));
            } else {
                self.keep(line);
                each(trim(&self.open));
                self.open.clear();
            }
        }
        self.keep(bytes);
    }

    /// The stream has ended: its last line may lack an end.
    pub(super) fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.open.is_empty() {
            each(trim(&self.open));
        }
        self.open = Vec::new();
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX - self.open.len();
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// As [`String::from_utf8_lossy`], which takes its time with what is right.
pub(super) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

fn trim(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
