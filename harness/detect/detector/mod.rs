//! From bytes to a report.

mod findings;
mod managers;
mod processes;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use regex::Regex;

use super::axis::Axis;
use super::banner::Banners;
use super::chain::{Rules, When};
use super::entry::{self, Entry, Kept, Owner, Writer};
use super::fact::Fact;
use super::lines::{Lines, lossy};
use super::others;
use super::report::Report;
use super::skim::Around;
use super::subject::{self, Kind, Subject};
use crate::time::Span;
use processes::{Process, Unclaimed};

/// So many subjects are followed at a time.
const SUBJECTS: usize = 8192;
/// So many gaps are kept, of all loops together.
const GAPS: usize = 1 << 20;
/// A line of text longer than this is looked at no further.
const TEXT: usize = 16 << 10;

/// The rules, with their defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// So many automatic restarts of one subject are a loop (3), unless a start limit ends it earlier.
    pub min_restarts: u64,
    /// A run as long as this breaks the chain (1 h).
    pub hold: Span,
    /// The year of the first stamp without one.
    pub year: Option<i16>,
    /// The line that a program prints when it starts; found if it is not given.
    pub banner: Option<Regex>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { min_restarts: 3, hold: Span::from_secs(3600), year: None, banner: None }
    }
}

/// Finds restart loops in a log, chunk by chunk.
#[derive(Clone, Debug)]
pub struct Detector {
    lines: Lines,
    state: State,
}

#[derive(Clone, Debug)]
struct State {
    rules: Rules,
    axis: Axis,
    subjects: HashMap<String, Subject>,
    banners: Banners,
    /// Unit by description, for the words of systemd before 249.
    descriptions: HashMap<String, String>,
    /// Units that were scheduled and whose stop, told of by description, is still to come.
    scheduled: VecDeque<String>,
    /// Units that started last.
    recent: VecDeque<String>,
    unclaimed: VecDeque<Unclaimed>,
    /// The last bind errors that were taken to end a unit: the program, the unit, and the run's place.
    blamed: Vec<(String, String, u64)>,
    /// Processes by name and PID.
    processes: HashMap<(String, u32), Process>,
    room: usize,
    boots: u64,
    boot: String,
    order: u64,
    /// The last line, to know it if it comes again.
    line_before: Vec<u8>,
    /// Whether any line names its writer.
    signed: bool,
}

impl Detector {
    /// A detector that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        let hold = i64::try_from(settings.hold.as_micros()).unwrap_or(i64::MAX);
        let rules = Rules { min_restarts: settings.min_restarts.max(1), hold };
        let state = State {
            rules,
            axis: Axis::new(settings.year.map(i64::from)),
            subjects: HashMap::new(),
            banners: Banners::new(settings.banner),
            descriptions: HashMap::new(),
            scheduled: VecDeque::new(),
            recent: VecDeque::new(),
            unclaimed: VecDeque::new(),
            blamed: Vec::new(),
            processes: HashMap::new(),
            room: GAPS,
            boots: 0,
            boot: String::new(),
            order: 0,
            line_before: Vec::new(),
            signed: false,
        };
        Self { lines: Lines::default(), state }
    }

    /// One that is given only lines with known words, and looks for no others.
    pub(in crate::detect) fn of_known_words(settings: Settings) -> Self {
        let mut this = Self::new(settings);
        this.state.banners.off = true;
        this
    }

    /// Takes the next bytes of the input; lines may be cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        let state = &mut self.state;
        self.lines.feed(bytes, |line| state.line(line));
    }

    /// Takes lines that are not cut.
    pub(in crate::detect) fn lines(&mut self, bytes: &[u8]) {
        self.feed(bytes);
    }

    /// Takes the time of a line that does not matter.
    pub(in crate::detect) fn time(&mut self, line: &[u8]) {
        self.state.axis.when(entry::stamp(plain(&lossy(line)).trim_end()).as_ref());
    }

    /// What is known of lines of which nobody is named as the writer: the constant part of the likeliest start, and what
    /// it needs of its surroundings. None if somebody signs the lines.
    pub(in crate::detect) fn unsigned(&self) -> Option<Option<(String, Around)>> {
        (!self.state.signed).then(|| self.state.start_of_nobody().or_else(|| self.state.banners.needle()))
    }

    /// Whether known words of a start are said by nobody who is named.
    pub(in crate::detect) fn knows_starts(&self) -> bool {
        self.state.start_of_nobody().is_some()
    }

    /// The input has ended.
    pub fn finish(mut self) -> Report {
        let state = &mut self.state;
        self.lines.finish(|line| state.line(line));
        self.state.report()
    }

    /// What the input comes to so far, if it ended here.
    pub fn so_far(&self) -> Report {
        self.clone().finish()
    }
}

impl State {
    fn line(&mut self, line: &[u8]) {
        self.order += 1;
        let line = if self.order == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.is_empty() {
            return;
        }
        if self.line_before == line {
            return; // The same line twice in a row.
        }
        self.line_before.clear();
        self.line_before.extend_from_slice(line);
        if line.first() == Some(&b'{') {
            let text = lossy(line);
            let mut kept = Kept::default();
            if entry::json(&text, &mut kept) {
                self.entry(&kept.entry());
                return;
            }
        }
        let text = lossy(&line[..line.len().min(TEXT)]);
        let text = plain(&text);
        if text.starts_with("-- ") {
            // `-- Reboot --`, `-- Boot 3a89… --`; not `-- Journal begins at …`.
            self.boots += u64::from(text.starts_with("-- Reboot") || text.starts_with("-- Boot "));
            return;
        }
        self.entry(&entry::text(&text));
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        if let Some(boot) = entry.boot
            && boot != self.boot
        {
            self.boots += u64::from(!self.boot.is_empty());
            boot.clone_into(&mut self.boot);
        }
        let when = self.axis.when(entry.stamp.as_ref());
        self.signed |= !matches!(entry.writer, Writer::Nobody { .. }) || entry.event.is_some();
        match entry.writer {
            Writer::Systemd { host, manager, unit } => self.systemd(host, manager, unit, entry.text, &when),
            Writer::Program { host, name, pid, owner } => self.program(host, name, pid, owner, entry.text, &when),
            Writer::Nobody { pid } => {
                let told = match entry.event {
                    Some(event) => others::container(event.action, event.name, event.exit_code),
                    None => others::read(entry.text),
                };
                match told {
                    Some(told) => {
                        self.signed = true;
                        self.told(&told, &when);
                    }
                    None if entry.event.is_none() => self.program("", "", pid, Owner::Unknown, entry.text, &when),
                    None => {}
                }
            }
        }
    }

    fn give(&mut self, key: &str, name: &str, kind: Kind, fact: Fact, pid: Option<u32>, when: &When) {
        if !self.subjects.contains_key(key) {
            self.make_room();
            self.subjects.insert(key.to_owned(), Subject::new(name.to_owned(), kind));
        }
        let mut around =
            subject::Around { rules: self.rules, room: &mut self.room, boots: self.boots, order: self.order };
        if let Some(subject) = self.subjects.get_mut(key) {
            subject.take(fact, pid, when, &mut around);
        }
    }

    /// Forgets those that were not heard of for the longest, unless they loop.
    fn make_room(&mut self) {
        if self.subjects.len() < SUBJECTS {
            return;
        }
        let mut seen: Vec<u64> = self.subjects.values().map(|subject| subject.seen).collect();
        let middle = seen.len() / 2;
        let (_, middle, _) = seen.select_nth_unstable(middle);
        let middle = *middle;
        self.subjects.retain(|_, subject| subject.seen > middle || subject.matters());
        if self.subjects.len() >= SUBJECTS {
            // All of them loop: the oldest have to go nevertheless.
            self.subjects.retain(|_, subject| subject.seen > middle);
        }
    }
}

/// A line without what colours it.
fn plain(text: &str) -> Cow<'_, str> {
    if memchr::memchr(0x1b, text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let behind = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        rest = behind.strip_prefix(|c: char| c.is_ascii_alphabetic()).unwrap_or(behind);
    }
    out.push_str(rest);
    Cow::Owned(out)
}
