//! From what a process writes to lines, as journald cuts a stream (systemd-journald.service(8), `LineMax=`).

/// `LineMax=` of journald.conf(5), its default.
const LINE_MAX: usize = 48 << 10;

/// What ended a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LineBreak {
    /// A newline.
    #[default]
    Newline,
    /// A NUL byte.
    Nul,
    /// The line was too long.
    LineMax,
    /// The stream ended.
    Eof,
    /// Another process began to write.
    PidChange,
}

impl LineBreak {
    /// The value of `_LINE_BREAK`, which a newline does not get.
    pub const fn field(self) -> Option<&'static str> {
        match self {
            LineBreak::Newline => None,
            LineBreak::Nul => Some("nul"),
            LineBreak::LineMax => Some("line-max"),
            LineBreak::Eof => Some("eof"),
            LineBreak::PidChange => Some("pid-change"),
        }
    }
}

/// A line without what ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What ended it.
    pub line_break: LineBreak,
}

/// Cuts one process's stream into lines. It holds at most one line, which is at most 48 KiB.
#[derive(Clone, Debug, Default)]
pub struct StreamBuffer {
    partial: Vec<u8>,
}

impl StreamBuffer {
    /// Takes more of the stream and gives the lines that are complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LINE_MAX - self.partial.len();
            let window = &rest[..rest.len().min(room)];
            match window.iter().position(|b| matches!(b, b'\n' | 0)) {
                Some(end) => {
                    let line_break = if window[end] == 0 { LineBreak::Nul } else { LineBreak::Newline };
                    self.partial.extend_from_slice(&window[..end]);
                    lines.push(self.take(line_break));
                    rest = &rest[end + 1..];
                }
                None => {
                    self.partial.extend_from_slice(window);
                    rest = &rest[window.len()..];
                    if self.partial.len() == LINE_MAX {
                        lines.push(self.take(LineBreak::LineMax));
                    }
                }
            }
        }
        lines
    }

    /// Gives what was written since the last line: the stream ended (`Eof`) or changed hands (`PidChange`).
    pub fn flush(&mut self, why: LineBreak) -> Option<Line> {
        (!self.partial.is_empty()).then(|| self.take(why))
    }

    fn take(&mut self, line_break: LineBreak) -> Line {
        Line { bytes: std::mem::take(&mut self.partial), line_break }
    }
}
