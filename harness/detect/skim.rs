//! Large logs whose lines nobody signs: samples of them tell what to look for, and only lines that have it are read. The parts
//! of a log can be skimmed side by side; what they have is then read in order.

use std::ops::Range;

use memchr::{memchr, memrchr};

use super::detector::{Detector, Settings};
use super::lines::lossy;
use super::report::Report;
use super::search::Search;
use super::{entry, program};

/// What every large log is searched for: an address in use.
const BIND: &str = "ddress already in use";
/// And, if no line is likelier, uvicorn's first one.
const START: &str = "Started server process [";
/// So much after a line is read, too, where a line alone does not tell a start.
const AFTER: usize = 400;
/// So far back a line with a stamp is looked for.
const BEFORE: usize = 4096;

/// What of the lines after one that matters does, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Around {
    Nothing,
    /// Those with known words: they begin with such.
    Words,
    /// All: they tell whether it is a start at all.
    Lines,
}

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

    /// Whether the samples tell enough but who signs lines: starts in words that are known are what is looked for.
    pub fn knows_starts(&self) -> bool {
        self.detector.knows_starts()
    }

    /// How to read the whole log: by what lines have in common. None if all of it has to be read: where lines say who
    /// wrote them, many of them matter.
    pub fn plan(self) -> Option<(Plan, Reader)> {
        let found = self.detector.unsigned()?;
        let (needle, around) = match &self.settings.banner {
            Some(given) => (literal(given.as_str())?, Around::Nothing),
            // With no start in the samples, what is around one has to tell what it is.
            None => found.unwrap_or_else(|| (START.to_owned(), Around::Lines)),
        };
        let needles = Search::new(std::iter::once(&*needle).chain((!needle.contains(BIND)).then_some(BIND)));
        let detector = match around {
            Around::Words => Detector::of_known_words(self.settings),
            Around::Nothing | Around::Lines => Detector::new(self.settings),
        };
        Some((Plan { needles, around }, Reader { detector, done: 0 }))
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

/// Which lines of a log matter.
#[derive(Clone, Debug)]
pub struct Plan {
    needles: Search,
    around: Around,
}

/// Lines that matter, with their places in the log.
#[derive(Debug, Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    all: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    /// Its place in the log, and that of its end.
    place: Range<u64>,
    /// How many of the bytes are up to its end.
    until: usize,
    /// It does not matter, but when it was written does.
    time: bool,
}

impl Pieces {
    fn add(&mut self, at: u64, lines: &[u8]) {
        self.push(at, lines, false);
    }

    fn push(&mut self, at: u64, lines: &[u8], time: bool) {
        if lines.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(lines);
        if lines.last() != Some(&b'\n') {
            self.bytes.push(b'\n');
        }
        let place = at..at + lines.len() as u64;
        self.all.push(Piece { place, until: self.bytes.len(), time });
    }
}

/// Reads the lines that matter.
#[derive(Clone, Debug)]
pub struct Reader {
    detector: Detector,
    /// All up to here has been read.
    done: u64,
}

impl Reader {
    /// Takes what the next part of the log has.
    pub fn take(&mut self, pieces: &Pieces) {
        let (mut begin, done) = (0, self.done);
        for Piece { place, until, time } in &pieces.all {
            // What follows a line in the part before may be here, too.
            let known = usize::try_from(done.saturating_sub(place.start)).unwrap_or(usize::MAX);
            if *time {
                self.detector.time(&pieces.bytes[begin..*until]);
            } else if place.end > done {
                self.detector.lines(&pieces.bytes[(begin + known).min(*until)..*until]);
                self.done = self.done.max(place.end);
            }
            begin = *until;
        }
    }

    /// The log has ended.
    pub fn finish(self) -> Report {
        self.detector.finish()
    }
}

/// Finds the lines of a part of a log that matter: of those that begin in it. It has to be given what is just before the part,
/// too, for the time of its first lines, and behind it what [`Skimmer::needs_more`].
#[derive(Debug)]
pub struct Skimmer<'a> {
    plan: &'a Plan,
    part: Range<u64>,
    pieces: Pieces,
    /// The place of what comes next.
    at: u64,
    /// What comes belongs to a line whose beginning is not known.
    cut: bool,
    /// The beginning of a line whose end is still to come, and its place.
    open: Vec<u8>,
    open_at: u64,
    /// Lines that begin before this place follow one that matters.
    wanted: u64,
    /// The lines before were kept.
    all: bool,
    /// What was before the lines that are looked at, and the place of its end.
    before: Vec<u8>,
    before_end: u64,
}

/// A line without an end is kept up to here.
const OPEN: usize = 1 << 20;

impl<'a> Skimmer<'a> {
    /// Of a part, and the place from where on bytes will come: [`Skimmer::first`].
    pub fn new(plan: &'a Plan, part: Range<u64>) -> Self {
        let at = Self::first(part.start);
        Self {
            plan,
            part,
            pieces: Pieces::default(),
            at,
            cut: at > 0,
            open: Vec::new(),
            open_at: at,
            wanted: 0,
            all: false,
            before: Vec::new(),
            before_end: at,
        }
    }

    /// From where on to give the log, for a part that begins at `begin`.
    pub fn first(begin: u64) -> u64 {
        begin.saturating_sub(BEFORE as u64)
    }

    /// Whether something that begins in the part goes on behind what has come.
    pub fn needs_more(&self) -> bool {
        let is_open = !self.open.is_empty() && self.open.len() < OPEN && self.open_at < self.part.end.max(self.wanted);
        self.at < self.part.end || is_open || self.wanted > self.at
    }

    /// Takes the next bytes; only lines that matter are kept.
    pub fn skim(&mut self, bytes: &[u8]) {
        self.next(bytes, false);
    }

    /// Takes the next bytes, and keeps all of them.
    pub fn read(&mut self, bytes: &[u8]) {
        self.next(bytes, true);
    }

    /// How many bytes of lines that matter it has kept.
    pub fn found(&self) -> usize {
        self.pieces.bytes.len()
    }

    /// Hands out what was found so far.
    pub fn take(&mut self) -> Pieces {
        std::mem::take(&mut self.pieces)
    }

    /// What else the part has. `last` if the log has ended: a line without an end is one, too.
    pub fn finish(mut self, last: bool) -> Pieces {
        if last || self.open.len() >= OPEN {
            self.close(last);
        }
        self.pieces
    }

    fn next(&mut self, bytes: &[u8], all: bool) {
        let mut begin = 0;
        if self.cut || !self.open.is_empty() {
            let end = memchr(b'\n', bytes).map(|at| at + 1);
            begin = end.unwrap_or(bytes.len());
            if !self.cut {
                self.keep(&bytes[..begin]);
                if end.is_some() {
                    self.close(all);
                }
            }
            self.cut &= end.is_none();
        }
        let end = memrchr(b'\n', &bytes[begin..]).map_or(begin, |at| begin + at + 1);
        self.whole(&bytes[begin..end], self.at + begin as u64, all);
        if end < bytes.len() && !self.cut {
            self.open_at = self.at + end as u64;
            self.keep(&bytes[end..]);
        }
        self.at += bytes.len() as u64;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = OPEN.saturating_sub(self.open.len());
        self.open.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The line that was cut is whole.
    fn close(&mut self, all: bool) {
        let line = std::mem::take(&mut self.open);
        self.whole(&line, self.open_at, all);
        self.open = line;
        self.open.clear();
    }

    /// Lines that are not cut.
    fn whole(&mut self, lines: &[u8], at: u64, all: bool) {
        if lines.is_empty() {
            return;
        }
        let place = |place: u64| usize::try_from(place.saturating_sub(at)).unwrap_or(usize::MAX).min(lines.len());
        let line_end = |from: usize| memchr(b'\n', &lines[from..]).map_or(lines.len(), |end| from + end + 1);
        // Only lines that begin in the part are its own.
        let own = |place: usize| match place.checked_sub(1) {
            None => 0,
            Some(last) => line_end(last),
        };
        let (begin, end) = (own(place(self.part.start)), own(place(self.part.end)));
        if begin == end {
            // It has none of its own here.
        } else if all {
            if !std::mem::replace(&mut self.all, all) {
                self.tell_time(lines, at, 0, begin);
            }
            self.pieces.add(at + begin as u64, &lines[begin..end]);
        } else {
            self.all = false;
            self.matter(lines, at, begin..end);
        }
        let rest = own(place(self.wanted)).max(end);
        if self.wanted > at + end as u64 {
            self.follow(&lines[end..rest], at + end as u64);
        }
        self.remember(lines, at);
    }

    /// Finds lines that matter among those that are the part's own.
    fn matter(&mut self, lines: &[u8], at: u64, own: Range<usize>) {
        let plan = self.plan;
        let line_end = |from: usize| memchr(b'\n', &lines[from..own.end]).map_or(own.end, |end| from + end + 1);
        // What follows a line that came before.
        let (mut done, mut told) = (own.start, 0);
        let wanted = usize::try_from(self.wanted.saturating_sub(at)).unwrap_or(usize::MAX).min(own.end);
        if wanted > done {
            let begin = std::mem::replace(&mut done, line_end(wanted - 1));
            self.follow(&lines[begin..done], at + begin as u64);
        }
        let searched = done;
        for hit in plan.needles.places(&lines[done..own.end]) {
            let hit = searched + hit;
            if hit < done {
                continue;
            }
            let start = memrchr(b'\n', &lines[..hit]).map_or(0, |at| at + 1);
            let end = line_end(hit);
            if !is_stamped(&lines[start..end]) {
                self.tell_time(lines, at, told.max(start.saturating_sub(BEFORE)), start);
            }
            self.pieces.add(at + start as u64, &lines[start..end]);
            (done, told) = (end, end);
            if plan.around != Around::Nothing {
                self.wanted = at + (hit + AFTER) as u64;
                done = line_end((hit + AFTER - 1).clamp(end - 1, own.end - 1));
                self.follow(&lines[end..done], at + end as u64);
            }
        }
    }

    /// Lines that follow one that matters.
    fn follow(&mut self, lines: &[u8], at: u64) {
        if self.plan.around == Around::Lines {
            self.pieces.add(at, lines);
            return;
        }
        let needles = self.plan.needles.places(lines);
        let mut places = program::places(lines);
        places.extend(&needles);
        places.sort_unstable();
        let mut done = 0;
        for place in places {
            if place < done {
                continue;
            }
            let start = memrchr(b'\n', &lines[..place]).map_or(0, |at| at + 1);
            done = memchr(b'\n', &lines[place..]).map_or(lines.len(), |end| place + end + 1);
            let line = &lines[start..done];
            if needles.iter().any(|needle| (start..done).contains(needle)) || program::read(&lossy(line)).is_some() {
                self.pieces.add(at + start as u64, line);
            }
        }
    }

    /// Tells the time of the last line before `start` that has one, from `from` on, or from what came before.
    fn tell_time(&mut self, lines: &[u8], at: u64, from: usize, start: usize) {
        let near = stamped(&lines[from..start], from > 0 && lines[from - 1] != b'\n');
        if !near.is_empty() {
            self.pieces.push(at + (from + near.start) as u64, &lines[from..][near], true);
        } else if from == 0 && self.before_end == at {
            let far = stamped(&self.before, true);
            let far_at = at - self.before.len() as u64 + far.start as u64;
            self.pieces.push(far_at, &self.before[far], true);
        }
    }

    fn remember(&mut self, lines: &[u8], at: u64) {
        if self.before_end != at {
            self.before.clear();
        }
        let kept = &lines[lines.len().saturating_sub(BEFORE)..];
        let old = (self.before.len() + kept.len()).saturating_sub(BEFORE);
        self.before.drain(..old.min(self.before.len()));
        self.before.extend_from_slice(kept);
        self.before_end = at + lines.len() as u64;
    }
}

/// The last line that tells the time; empty if there is none. The first may be `cut`.
fn stamped(lines: &[u8], cut: bool) -> Range<usize> {
    let mut end = lines.len();
    while end > 0 {
        let start = memrchr(b'\n', &lines[..end - 1]).map(|at| at + 1);
        if start.is_none() && cut {
            break;
        }
        let start = start.unwrap_or(0);
        if is_stamped(&lines[start..end]) {
            return start..end;
        }
        end = start;
    }
    0..0
}

fn is_stamped(line: &[u8]) -> bool {
    let line = &line[..memchr(b'\n', line).unwrap_or(line.len()).min(120)];
    entry::stamp(&lossy(line)).is_some()
}
