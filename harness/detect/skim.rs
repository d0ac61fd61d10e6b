//! Large logs whose lines nobody signs: samples of them tell what to look for, and only lines that have it are read.

use memchr::{memchr, memmem, memrchr};

use super::detector::{Detector, Settings};
use super::entry;
use super::report::Report;

/// What every large log is searched for: an address in use.
const BIND: &str = "ddress already in use";
/// And, if no line is likelier, uvicorn's first one.
const START: &str = "Started server process [";
/// So much after a line is read, too, where a line alone does not tell a start.
const AFTER: usize = 400;
/// So far back a line with a stamp is looked for.
const BEFORE: usize = 4096;

/// Looks at samples of a log.
#[derive(Debug)]
pub struct Study {
    settings: Settings,
    detector: Detector,
}

impl Study {
    /// A study that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { detector: Detector::new(settings.clone()), settings }
    }

    /// Takes a part of the log, in their order; lines that are cut at its ends are left out. `first` if it is the
    /// beginning.
    pub fn sample(&mut self, bytes: &[u8], first: bool) {
        let begin = if first { 0 } else { memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1) };
        let end = memrchr(b'\n', bytes).map_or(begin, |at| at + 1).max(begin);
        self.detector.lines(&bytes[begin..end]);
    }

    /// How to read the whole log: by what lines have in common. None if all of it has to be read: where lines say who
    /// wrote them, many of them matter.
    pub fn plan(self) -> Option<Skimmer> {
        let found = self.detector.unsigned()?;
        let (needle, around) = match &self.settings.banner {
            Some(given) => (literal(given.as_str())?, false),
            None => found.unwrap_or_else(|| (START.to_owned(), true)),
        };
        let mut needles = vec![memmem::Finder::new(needle.as_bytes()).into_owned()];
        if !needle.contains(BIND) {
            needles.push(memmem::Finder::new(BIND).into_owned());
        }
        Some(Skimmer { detector: Detector::new(self.settings), needles, around, open: Vec::new() })
    }
}

/// What every match of a pattern has, if that is simple to see: the longest piece between `.*`.
fn literal(pattern: &str) -> Option<String> {
    let plain = |piece: &&str| piece.len() >= 4 && !piece.contains(|c: char| r"\.+*?()|[]{}^$".contains(c));
    if pattern.contains(['|', '(', '[', '{', '?']) {
        return None;
    }
    pattern.split(".*").filter(plain).max_by_key(|piece| piece.len()).map(str::to_owned)
}

/// Reads the lines of a log that matter.
#[derive(Debug)]
pub struct Skimmer {
    detector: Detector,
    needles: Vec<memmem::Finder<'static>>,
    /// Lines after one matter, too.
    around: bool,
    /// The beginning of a line whose end is still to come.
    open: Vec<u8>,
}

/// A line without an end is kept up to here.
const OPEN: usize = 1 << 20;

impl Skimmer {
    /// Takes the next bytes; only lines that matter are read.
    pub fn skim(&mut self, bytes: &[u8]) {
        let Some(last) = memrchr(b'\n', bytes) else {
            self.keep(bytes);
            return;
        };
        let mut begin = 0;
        if !self.open.is_empty() {
            // The line that was cut.
            let end = memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            self.keep(&bytes[..end]);
            let line = std::mem::take(&mut self.open);
            if self.needles.iter().any(|needle| needle.find(&line).is_some()) {
                self.detector.lines(&line);
                if line.last() != Some(&b'\n') {
                    self.detector.lines(b"\n");
                }
            }
            self.open = line;
            self.open.clear();
            begin = end;
        }
        if begin <= last {
            self.whole(&bytes[begin..=last]);
        }
        self.keep(&bytes[last + 1..]);
    }

    /// Takes the next bytes, and reads all of them.
    pub fn read(&mut self, bytes: &[u8]) {
        let Some(last) = memrchr(b'\n', bytes) else {
            self.keep(bytes);
            return;
        };
        self.detector.lines(&self.open);
        self.detector.lines(&bytes[..=last]);
        self.open.clear();
        self.keep(&bytes[last + 1..]);
    }

    /// The input has ended.
    pub fn finish(mut self) -> Report {
        self.detector.lines(&self.open);
        self.detector.finish()
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = OPEN.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Lines that are not cut.
    fn whole(&mut self, bytes: &[u8]) {
        let mut hits: Vec<usize> = self.needles.iter().flat_map(|needle| needle.find_iter(bytes)).collect();
        hits.sort_unstable();
        let mut done = 0;
        for hit in hits {
            if hit < done {
                continue;
            }
            let start = memrchr(b'\n', &bytes[..hit]).map_or(0, |at| at + 1);
            let after = (hit + if self.around { AFTER } else { 0 }).min(bytes.len());
            let end = memchr(b'\n', &bytes[after..]).map_or(bytes.len(), |at| after + at + 1);
            if !is_stamped(&bytes[start..]) {
                self.detector.lines(stamped_before(&bytes[done.max(start.saturating_sub(BEFORE))..start]));
            }
            self.detector.lines(&bytes[start..end]);
            done = end;
        }
    }
}

/// The last line that tells the time; nothing if there is none.
fn stamped_before(bytes: &[u8]) -> &[u8] {
    let mut end = bytes.len();
    // The first line may be cut.
    while let Some(start) = bytes[..end.saturating_sub(1)].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1) {
        if is_stamped(&bytes[start..end]) {
            return &bytes[start..end];
        }
        end = start;
    }
    &[]
}

fn is_stamped(line: &[u8]) -> bool {
    let line = &line[..memchr(b'\n', line).unwrap_or(line.len()).min(120)];
    entry::text(&String::from_utf8_lossy(line)).stamp.is_some()
}
