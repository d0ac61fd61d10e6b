//! From bytes to a report.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use regex::Regex;

use super::banner::{Banners, Found, Said};
use super::chain::{Rules, When};
use super::clock::Clock;
use super::entry::{self, Entry, Kept, Writer};
use super::fact::Fact;
use super::lines::Lines;
use super::others::{self, Told};
use super::program;
use super::report::{Loop, Report, Signature};
use super::stamp::{HOUR, SECOND};
use super::subject::{Around, Kind, Over, Subject};
use super::systemd::{self, Whose};
use crate::time::Span;

/// So many subjects are followed at a time.
const SUBJECTS: usize = 8192;
/// So many gaps are kept, of all loops together.
const GAPS: usize = 1 << 20;
/// So many loops are reported.
const LOOPS: usize = 1000;
/// A line of text longer than this is looked at no further.
const TEXT: usize = 16 << 10;
/// A program ends so soon after it could not bind.
const BIND_TO_EXIT: i64 = 5 * SECOND;

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

/// A loop that has begun or ended since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is a loop from now on.
    Began(Loop),
    /// It is one no longer.
    Ended(Loop),
}

/// A clock that goes back by less has not been set: lines are slightly out of order.
const DISORDER: i64 = 60 * SECOND;

/// A bind error whose unit is still to be found.
#[derive(Clone, Debug)]
struct Unclaimed {
    at: Option<i64>,
    first: u64,
    port: Option<u16>,
    process: Option<(String, u32)>,
}

/// Finds restart loops in a log, chunk by chunk.
#[derive(Clone, Debug)]
pub struct Detector {
    lines: Lines,
    state: State,
}

/// A process that writes.
#[derive(Clone, Debug)]
struct Process {
    /// Its first place in the input.
    first: u64,
    began: When,
    /// The unit that its bind error was taken to end, and the run's place.
    blamed: Option<(String, u64)>,
}

/// Who says a line that is none of a manager's.
#[derive(Clone, Copy, Debug)]
struct Speaker<'a> {
    host: &'a str,
    name: &'a str,
    pid: Option<u32>,
    /// The unit that the journal knows it to be of.
    unit: Option<&'a str>,
    /// The place of its first line in the input.
    first: u64,
    began: &'a When,
}

/// The units that have started last.
#[derive(Clone, Copy)]
struct Units<'a> {
    recent: &'a VecDeque<String>,
    subjects: &'a HashMap<String, Subject>,
}

impl Units<'_> {
    /// Those whose runs began before a place, the last first, each with its number of runs so far.
    fn until(self, until: u64) -> Vec<(String, u64)> {
        let began = |key: &String| {
            let subject = self.subjects.get(key)?;
            let (at, ..) = subject.current()?;
            (at <= until).then(|| (key.clone(), subject.runs))
        };
        self.recent.iter().rev().filter_map(began).take(8).collect()
    }
}

#[derive(Clone, Debug)]
struct State {
    rules: Rules,
    clock: Clock,
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
    now: Option<i64>,
    /// What is added to a stamp since the clock was set, and what was before that.
    offset: i64,
    offset_before: Option<i64>,
    /// What is added since summer time has ended.
    summer: i64,
    /// A line has said that the clock is set.
    set: bool,
    /// The last line, to know it if it comes again.
    line_before: u64,
    /// Whether any line names its writer.
    signed: bool,
    /// The last stamp, for lines without one.
    last: When,
}

impl Detector {
    /// A detector that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        let hold = i64::try_from(settings.hold.as_micros()).unwrap_or(i64::MAX);
        let rules = Rules { min_restarts: settings.min_restarts.max(1), hold };
        let state = State {
            rules,
            clock: Clock::new(settings.year.map(i64::from)),
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
            now: None,
            offset: 0,
            offset_before: None,
            summer: 0,
            set: false,
            line_before: 0,
            signed: false,
            last: When::default(),
        };
        Self { lines: Lines::default(), state }
    }

    /// Takes the next bytes of the input; lines may be cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        let state = &mut self.state;
        self.lines.feed(bytes, |line| state.line(line));
    }

    /// Takes lines that are not cut.
    pub(super) fn lines(&mut self, bytes: &[u8]) {
        self.feed(bytes);
    }

    /// What is known of lines of which nobody is named as the writer: the constant part of the likeliest start, and
    /// whether it needs its surroundings. None if somebody signs the lines.
    pub(super) fn unsigned(&self) -> Option<Option<(String, bool)>> {
        (!self.state.signed).then(|| self.state.banners.needle())
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

impl Report {
    /// What has changed since an earlier report of the same input.
    pub fn since(&self, earlier: &Report) -> Vec<Change> {
        use super::report::Ended::Ongoing;
        let before = |found: &Loop| {
            earlier.loops.iter().find(|known| known.subject == found.subject && known.first == found.first)
        };
        let mut changes = Vec::new();
        for found in &self.loops {
            match (before(found).map(|known| known.ended), found.ended) {
                (None, Ongoing) => changes.push(Change::Began(found.clone())),
                (None, _) => changes.extend([Change::Began(found.clone()), Change::Ended(found.clone())]),
                (Some(Ongoing), now) if now != Ongoing => changes.push(Change::Ended(found.clone())),
                (Some(was), Ongoing) if was != Ongoing => changes.push(Change::Began(found.clone())),
                _ => {}
            }
        }
        changes
    }
}

impl State {
    fn line(&mut self, line: &[u8]) {
        self.order += 1;
        let line = if self.order == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.is_empty() {
            return;
        }
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        if std::mem::replace(&mut self.line_before, hasher.finish()) == hasher.finish() {
            return; // The same line twice in a row.
        }
        if line.first() == Some(&b'{') {
            let text = String::from_utf8_lossy(line);
            let mut kept = Kept::default();
            if entry::json(&text, &mut kept) {
                self.entry(&kept.entry());
                return;
            }
        }
        let text = String::from_utf8_lossy(&line[..line.len().min(TEXT)]);
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
        let when = self.when(entry);
        self.signed |= !matches!(entry.writer, Writer::Nobody { .. }) || entry.event.is_some();
        match entry.writer {
            Writer::Systemd { host, manager, unit } => self.systemd(host, manager, unit, entry.text, &when),
            Writer::Program { host, name, pid, unit } => self.program(host, name, pid, unit, entry.text, &when),
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
                    None if entry.event.is_none() => self.program("", "", pid, None, entry.text, &when),
                    None => {}
                }
            }
        }
    }

    fn when(&mut self, entry: &Entry<'_>) -> When {
        let Some(stamp) = &entry.stamp else {
            return self.last.clone();
        };
        let read = self.clock.place(stamp).saturating_add(self.summer);
        let (at, read) = self.steady(read);
        self.now = self.now.max(Some(at));
        let when = When { at: Some(at), read, moment: Some(stamp.moment()), whole: stamp.whole };
        self.last = when.clone();
        when
    }

    /// A stamp on an axis that goes on when the clock is set.
    fn steady(&mut self, read: i64) -> (i64, i64) {
        let at = read.saturating_add(self.offset);
        let Some(now) = self.now else { return (at, read) };
        if let Some(before) = self.offset_before {
            // A stray line had another clock: back to the one before.
            let old = read.saturating_add(before);
            if (old - now).abs() < (at - now).abs() && (old - now).abs() < DISORDER {
                self.offset_before = Some(self.offset);
                self.offset = before;
                return (old, read);
            }
        }
        let told = std::mem::take(&mut self.set) && (at - now).abs() > DISORDER;
        let back = now.saturating_sub(at);
        if !told && (HOUR - 10 * DISORDER..HOUR).contains(&back) {
            // The end of summer time: an hour comes twice.
            self.summer += HOUR;
            return (at + HOUR, read + HOUR);
        }
        if told || back > DISORDER {
            self.offset_before = Some(self.offset);
            self.offset = now.saturating_sub(read);
            return (now, read);
        }
        (at, read)
    }

    fn give(&mut self, key: &str, name: &str, kind: Kind, fact: Fact, pid: Option<u32>, when: &When) {
        if !self.subjects.contains_key(key) {
            self.make_room();
            self.subjects.insert(key.to_owned(), Subject::new(name.to_owned(), kind));
        }
        let mut around = Around { rules: self.rules, room: &mut self.room, boots: self.boots, order: self.order };
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

    fn systemd(&mut self, host: &str, manager: u32, unit: Option<&str>, text: &str, when: &When) {
        let Some(said) = systemd::read(text) else { return };
        let key = |name: &str| format!("{host}\n{manager}\n{name}");
        let (name, description) = match said.whose {
            Whose::Boot => {
                self.boots += u64::from(self.boot.is_empty());
                return;
            }
            Whose::Clock => {
                self.set = true;
                return;
            }
            Whose::Trigger(name) => {
                let Some((stem, _)) = name.rsplit_once('.') else { return };
                let service = format!("{stem}.service");
                let key = key(&service);
                if !self.subjects.contains_key(&key) {
                    self.make_room();
                }
                let subject = self.subjects.entry(key).or_insert_with(|| Subject::new(service, Kind::Managed));
                subject.triggered = true;
                subject.seen = self.order;
                return;
            }
            Whose::Unit(name) => (name.to_owned(), None),
            Whose::Description(text) => match unit {
                Some(unit) if unit.ends_with(".service") => (unit.to_owned(), None),
                Some(_) => return,
                None => (text.to_owned(), Some(text.to_owned())),
            },
        };
        let mut key_of = key(&name);
        let mut name = name;
        if let Some(description) = description {
            if let Some(known) = self.described(&key_of, &said.fact) {
                name = known.rsplit('\n').next().unwrap_or_default().to_owned();
                key_of = known;
            } else if !self.may_be_a_service(&description) {
                return;
            }
        }
        match said.fact {
            Fact::Scheduled { .. } => {
                self.claim(&key_of, when);
                self.scheduled.retain(|known| *known != key_of);
                self.scheduled.push_back(key_of.clone());
                if self.scheduled.len() > 64 {
                    self.scheduled.pop_front();
                }
            }
            Fact::Started | Fact::Starting => {
                self.recent.retain(|known| *known != key_of);
                self.recent.push_back(key_of.clone());
                if self.recent.len() > 32 {
                    self.recent.pop_front();
                }
            }
            Fact::Exited(_) | Fact::Result(_) => {
                self.pair(&key_of);
                self.claim(&key_of, when);
            }
            _ => {}
        }
        self.give(&key_of, &name, Kind::Managed, said.fact, None, when);
    }

    /// The unit that a description is of: the one that was scheduled just before it is stopped.
    fn described(&mut self, key: &str, fact: &Fact) -> Option<String> {
        if let Some(known) = self.descriptions.get(key) {
            let known = known.clone();
            self.scheduled.retain(|scheduled| *scheduled != known);
            return Some(known);
        }
        if *fact == Fact::Stopped
            && self.scheduled.len() == 1
            && let Some(unit) = self.scheduled.pop_front()
        {
            self.learn(key, &unit);
            return Some(unit);
        }
        None
    }

    /// An exit of a unit that was not seen to start: of the only description that was.
    fn pair(&mut self, unit: &str) {
        if self.subjects.get(unit).is_some_and(|subject| subject.current().is_some()) {
            return;
        }
        let unnamed = |key: &&String| !key.ends_with(".service") && !self.descriptions.contains_key(key.as_str());
        let open: Vec<String> = self.recent.iter().filter(unnamed).cloned().collect();
        if let [only] = &open[..] {
            self.learn(&only.clone(), unit);
        }
    }

    fn learn(&mut self, description: &str, unit: &str) {
        if self.descriptions.len() >= SUBJECTS {
            self.descriptions.clear();
        }
        self.descriptions.insert(description.to_owned(), unit.to_owned());
        self.recent.retain(|known| known != description);
        let Some(earlier) = self.subjects.remove(description) else { return };
        let name = unit.rsplit('\n').next().unwrap_or_default();
        let subject =
            self.subjects.entry(unit.to_owned()).or_insert_with(|| Subject::new(name.to_owned(), Kind::Managed));
        subject.absorb(earlier);
    }

    /// Sessions, slices and targets have descriptions, too.
    fn may_be_a_service(&self, description: &str) -> bool {
        !description.starts_with("Session ") && !description.starts_with("User ") && description.len() < 200
    }

    /// What a manager of another kind says.
    fn told(&mut self, told: &Told<'_>, when: &When) {
        let key = format!("\n\n{}", told.name);
        if let Some(age) = told.age {
            let known = self.subjects.get_mut(&key);
            if let Some(subject) = known
                && subject.age.replace(age).is_some_and(|before| before < age)
            {
                return; // Still the restart that was told of before.
            }
        }
        for fact in &told.facts {
            // pm2 names the script where it gives up.
            let known = *fact != Fact::Limited || self.subjects.contains_key(&key);
            let key = if known { key.clone() } else { self.latest().unwrap_or_else(|| key.clone()) };
            self.give(&key, told.name, Kind::Managed, fact.clone(), told.pid, when);
        }
        if told.age.is_some()
            && let Some(subject) = self.subjects.get_mut(&key)
        {
            subject.age = told.age;
        }
    }

    /// The subject that was heard of last.
    fn latest(&self) -> Option<String> {
        self.subjects.iter().max_by_key(|(_, subject)| subject.seen).map(|(key, _)| key.clone())
    }

    fn program(&mut self, host: &str, name: &str, pid: Option<u32>, unit: Option<&str>, text: &str, when: &When) {
        // What writes a stamp of its own, such as supervisord, into the journal.
        let inner = super::stamp::read(text).map_or(text, |(_, end)| text[end..].trim_start_matches([' ', ':']));
        if !name.is_empty()
            && let Some(told) = others::read(inner)
        {
            self.told(&told, when);
            return;
        }
        if name == "kernel" && text.starts_with("Linux version ") {
            self.boots += u64::from(self.boot.is_empty());
            return;
        }
        let stepped = text.starts_with("System clock was stepped by") || text.starts_with("System clock wrong by");
        self.set |= stepped && name.starts_with("chrony");
        let own = format!("\n\n\n{host}\n{}", unit.unwrap_or(name));
        let (first, began) = match pid {
            Some(pid) if !name.is_empty() => {
                let (process, is_new) = self.process(name, pid, when);
                if let Some((key, order)) = process.blamed.clone()
                    && let Some(subject) = self.subjects.get_mut(&key)
                    && subject.current().is_none_or(|(now, ..)| now != order)
                {
                    // It lives on: the unit ended for another reason.
                    subject.unbind(order);
                    if let Some(process) = self.processes.get_mut(&(name.to_owned(), pid)) {
                        process.blamed = None;
                    }
                }
                let process = &self.processes[&(name.to_owned(), pid)];
                let (first, began) = (process.first, process.began.clone());
                if is_new && self.subjects.contains_key(&own) {
                    let fact = Fact::ProgramStarts { pid: None };
                    self.starts(&own, unit.unwrap_or(name), &fact, pid.into(), when);
                }
                (first, began)
            }
            _ => (self.order, when.clone()),
        };
        let fact = program::read(text);
        if let Some(fact) = &fact {
            let speaker = Speaker { host, name, pid, unit, first, began: &began };
            self.fact_of_a_program(&speaker, text, fact, when);
        }
        let author = unit.unwrap_or(name);
        let units = Units { recent: &self.recent, subjects: &self.subjects };
        let units = || units.until(first);
        let mut around = Around { rules: self.rules, room: &mut self.room, boots: self.boots, order: self.order };
        let workers = matches!(fact, Some(Fact::HasWorkers | Fact::MasterStarts { .. }));
        let bind = match fact {
            Some(Fact::Bind { port }) => Some(port),
            _ => None,
        };
        self.banners.line(Said { name: author, pid, text, workers, bind, units: &units }, when, &mut around);
    }

    /// Gives a start to a program, with what units may have started it.
    fn starts(&mut self, key: &str, name: &str, fact: &Fact, pid: Option<u32>, when: &When) {
        let units = Units { recent: &self.recent, subjects: &self.subjects }.until(self.order);
        let before = self.subjects.get(key).map_or(0, |subject| subject.runs);
        self.give(key, name, Kind::Program, fact.clone(), pid, when);
        if let Some(subject) = self.subjects.get_mut(key).filter(|subject| subject.runs > before) {
            subject.explain(&units);
        }
    }

    /// A process, and whether this is its first line.
    fn process(&mut self, name: &str, pid: u32, when: &When) -> (&Process, bool) {
        let key = (name.to_owned(), pid);
        if self.processes.len() >= SUBJECTS && !self.processes.contains_key(&key) {
            let old = self.order.saturating_sub((SUBJECTS / 2) as u64);
            self.processes.retain(|_, process| process.first > old);
            if self.processes.len() >= SUBJECTS {
                self.processes.clear();
            }
        }
        let is_new = !self.processes.contains_key(&key);
        let new = || Process { first: self.order, began: when.clone(), blamed: None };
        (self.processes.entry(key).or_insert_with(new), is_new)
    }

    fn fact_of_a_program(&mut self, speaker: &Speaker<'_>, text: &str, fact: &Fact, when: &When) {
        let Speaker { host, name, pid, unit, first, began } = *speaker;
        if matches!(fact, Fact::Bind { .. } | Fact::Serves) {
            match unit {
                Some(unit) => {
                    let suffix = format!("\n{unit}");
                    let owner = format!("{host}\n1{suffix}");
                    let known = match self.subjects.contains_key(&owner) {
                        true => Some(owner),
                        false => self.recent.iter().rev().find(|key| key.ends_with(&suffix)).cloned(),
                    };
                    if let Some(key) = known {
                        self.give(&key, unit, Kind::Managed, fact.clone(), None, when);
                    }
                }
                None => self.attach(fact, first, pid.map(|pid| (name.to_owned(), pid)), when),
            }
        }
        let server = match name {
            "" => match fact {
                Fact::ProgramStarts { pid: Some(_) } => "Started server process",
                Fact::MasterStarts { pid: None } => "Starting gunicorn",
                Fact::MasterStarts { .. } => "Started parent process",
                _ => "",
            },
            name => name,
        };
        let shown = unit.unwrap_or(server);
        let key = format!("\n\n\n{host}\n{}", unit.unwrap_or(name));
        let known = self.subjects.get_mut(&key);
        match (known, fact) {
            (Some(subject), _) => {
                if subject.unnamed && !shown.is_empty() {
                    shown.clone_into(&mut subject.name);
                }
            }
            // Nobody is named, and nothing starts: there is no subject yet.
            (None, Fact::ProgramStarts { .. } | Fact::MasterStarts { .. } | Fact::HasWorkers) => {}
            (None, Fact::Bind { .. }) if pid.is_some() => {}
            (None, _) => return,
        }
        let bare =
            name.is_empty() && unit.is_none() && matches!(fact, Fact::Bind { .. }) && !self.subjects.contains_key(&key);

        match fact {
            // Its first line was its start.
            Fact::Bind { .. } if pid.is_some() && !name.is_empty() => {
                self.starts(&key, shown, &Fact::ProgramStarts { pid: None }, pid, began);
                self.give(&key, shown, Kind::Program, fact.clone(), pid, when);
            }
            Fact::ProgramStarts { .. } | Fact::MasterStarts { .. } => {
                self.starts(&key, shown, fact, pid, when);
                if let Some(subject) = self.subjects.get_mut(&key) {
                    subject.unnamed = false;
                }
            }
            _ if bare => {
                let said = super::banner::without_numbers(text);
                self.give(&key, &said, Kind::Program, fact.clone(), pid, when);
                if let Some(subject) = self.subjects.get_mut(&key) {
                    subject.unnamed = true;
                }
            }
            _ => self.give(&key, shown, Kind::Program, fact.clone(), pid, when),
        }
    }

    /// Gives a line of a process to the unit whose run it belongs to; of a bind error that unit's end will tell.
    fn attach(&mut self, fact: &Fact, first: u64, process: Option<(String, u32)>, when: &When) {
        let is_open = |key: &&String| {
            let run = self.subjects.get(*key).and_then(Subject::current);
            run.is_some_and(|(order, is_open, _)| is_open && order <= first)
        };
        let Some(last) = self.recent.iter().rfind(is_open).cloned() else { return };
        if let Fact::Bind { port } = fact {
            if process.as_ref().is_some_and(|process| self.is_a_stranger(process, when)) {
                return;
            }
            if self.unclaimed.len() >= 64 {
                self.unclaimed.pop_front();
            }
            self.unclaimed.push_back(Unclaimed { at: when.at, first, port: *port, process });
        } else {
            let name = last.rsplit('\n').next().unwrap_or_default().to_owned();
            self.give(&last, &name, Kind::Managed, fact.clone(), None, when);
        }
    }

    /// Whether a bind error of another process of that name has ended no unit. What such processes were taken to end ended
    /// for another reason.
    fn is_a_stranger(&mut self, (name, pid): &(String, u32), when: &When) -> bool {
        let is_lost = |bind: &Unclaimed| {
            let other = bind.process.as_ref().is_some_and(|(known, other)| known == name && other != pid);
            other && bind.at.zip(when.at).is_some_and(|(at, now)| now - at > BIND_TO_EXIT)
        };
        if !self.unclaimed.iter().any(is_lost) {
            return false;
        }
        for (_, key, order) in self.blamed.extract_if(.., |(known, ..)| known == name) {
            if let Some(subject) = self.subjects.get_mut(&key) {
                subject.unbind(order);
            }
        }
        true
    }

    /// A unit's run ends: the last bind error of a process that began in it is why.
    fn claim(&mut self, key: &str, when: &When) {
        if self.unclaimed.is_empty() {
            return;
        }
        let Some((order, _, false)) = self.subjects.get(key).and_then(Subject::current) else { return };
        let near = |at: Option<i64>| at.zip(when.at).is_none_or(|(at, now)| now - at <= BIND_TO_EXIT);
        let found = self.unclaimed.iter().rposition(|bind| bind.first >= order && near(bind.at));
        let Some(bind) = found.and_then(|found| self.unclaimed.remove(found)) else { return };
        let name = key.rsplit('\n').next().unwrap_or_default().to_owned();
        self.give(key, &name, Kind::Managed, Fact::Bind { port: bind.port }, None, when);
        let Some(id) = bind.process else { return };
        // What else it has said of it.
        self.unclaimed.retain(|other| other.process.as_ref() != Some(&id));
        if self.blamed.len() >= 64 {
            self.blamed.remove(0);
        }
        self.blamed.push((id.0.clone(), key.to_owned(), order));
        if let Some(process) = self.processes.get_mut(&id) {
            process.blamed = Some((key.to_owned(), order));
        }
    }

    fn report(mut self) -> Report {
        let now = self.now;
        let mut around = Around { rules: self.rules, room: &mut self.room, boots: self.boots, order: self.order };
        let mut more = 0;
        let (mut managed, mut programs, mut unnamed) = (Vec::new(), Vec::new(), Vec::new());
        let mut subjects: Vec<Subject> = self.subjects.into_values().collect();
        subjects.sort_by(|a, b| a.name.cmp(&b.name));
        let mut rivals = Vec::new();
        for subject in &mut subjects {
            let found = subject.finish(now, &mut around);
            more += subject.more;
            if subject.kind == Kind::Managed {
                managed.extend(found);
            } else if !subject.is_explained() {
                let list = if subject.unnamed { &mut unnamed } else { &mut programs };
                list.extend(found);
                rivals.extend(subject.ports.iter().map(|port| (subject.name.clone(), *port)));
            }
        }
        let mut kept = one_of_each_fight(managed);
        for mut over in one_of_each_fight(programs) {
            // Another one has the port in turn.
            let takes_turns = over.chain.bound < over.chain.starts
                && over.chain.port().flatten().is_some_and(|port| {
                    rivals.iter().any(|(name, rival)| *rival == port && *name != over.found.subject)
                });
            if takes_turns {
                over.found.signature = Signature::DuplicateOwner;
            }
            let is_known = |known: &Over| known.found.subject == over.found.subject || is_the_same(known, &over);
            if !kept.iter().any(is_known) {
                kept.push(over);
            }
        }
        for Found { over, .. } in self.banners.finish(now, &mut around) {
            if !kept.iter().any(|known| is_the_same(known, &over)) {
                kept.push(over);
            }
        }
        // Of these only what they end with is known.
        for over in unnamed {
            if !kept.iter().any(|known| is_the_same(known, &over)) {
                kept.push(over);
            }
        }
        kept.sort_by(|a, b| (a.chain.order, &a.found.subject).cmp(&(b.chain.order, &b.found.subject)));
        more += kept.len().saturating_sub(LOOPS) as u64;
        Report { loops: kept.into_iter().take(LOOPS).map(|over| over.found).collect(), more }
    }
}

/// Of two that take turns on one port, the one that fails more often.
fn one_of_each_fight(all: Vec<Over>) -> Vec<Over> {
    let mut kept: Vec<Over> = Vec::new();
    for over in all {
        let turns = |chain: &super::chain::Chain| chain.bound > 0 && chain.bound < chain.starts;
        let rival = kept.iter_mut().find(|known| {
            let port = known.chain.port().flatten();
            port.is_some()
                && port == over.chain.port().flatten()
                && turns(&known.chain)
                && turns(&over.chain)
                && known.found.subject != over.found.subject
                && overlap(known, &over)
        });
        match rival {
            Some(rival) => {
                if over.chain.bound > rival.chain.bound {
                    *rival = over;
                }
                if rival.found.signature > Signature::DuplicateOwner {
                    rival.found.signature = Signature::DuplicateOwner;
                }
            }
            None => kept.push(over),
        }
    }
    kept
}

/// Whether two loops overlap in time; without stamps they do.
fn overlap(a: &Over, b: &Over) -> bool {
    let bounds = |over: &Over| Some((over.chain.first_at()?, over.chain.heard.or(over.chain.last_at())?));
    let (Some((a_first, a_last)), Some((b_first, b_last))) = (bounds(a), bounds(b)) else { return true };
    let slack = a.chain.period().unwrap_or(0).max(b.chain.period().unwrap_or(0)).saturating_mul(2);
    a_first <= b_last.saturating_add(slack) && b_first <= a_last.saturating_add(slack)
}

/// Whether a loop is another view of one that is known: at the same time, with the same period and as many starts.
fn is_the_same(known: &Over, other: &Over) -> bool {
    let fights_for_another = match (known.chain.port(), other.chain.port()) {
        (Some(Some(a)), Some(Some(b))) => a != b,
        (a, b) => a.is_none() && b.is_some(),
    };
    if fights_for_another || !overlap(known, other) {
        return false;
    }
    let (Some(a), Some(b)) = (known.found.period_us, other.found.period_us) else { return true };
    a.median.abs_diff(b.median) <= a.median.max(b.median) / 4 && known.found.starts.abs_diff(other.found.starts) <= 2
}

/// A line without what colours it.
fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
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
