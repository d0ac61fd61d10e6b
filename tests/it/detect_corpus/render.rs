//! Stories as journalctl prints them, and what is to be found in each rendering.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::story::{Entry, MIN, Row, SEC, Source, Story};

/// One file and what `detect` is to say of it.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: String,
    pub bytes: Vec<u8>,
    pub args: Vec<String>,
    pub loops: Vec<Value>,
}

impl Input {
    pub fn new(name: &str, bytes: impl Into<Vec<u8>>, loops: Vec<Value>) -> Self {
        Self { name: name.to_owned(), bytes: bytes.into(), args: Vec::new(), loops }
    }

    pub fn with(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self
    }

    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// The same file with its bytes changed.
    pub fn changed(mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Self {
        self.bytes = change(self.bytes);
        self
    }
}

/// The moment of a start, as a value and as `detect` is to write it.
#[derive(Clone, Debug)]
pub struct Mark {
    pub at: i64,
    pub shown: String,
}

/// A loop that is to be found; moments and gaps come from the starts that the story has marked.
#[derive(Clone, Debug)]
pub struct Found {
    subject: String,
    /// The subject is a banner: what it has to contain, whatever else is left of the line.
    is_part: bool,
    signature: &'static str,
    starts: usize,
    cause: Value,
    ended: &'static str,
    growing: bool,
    only_median: bool,
    open: Vec<&'static str>,
    then_others: bool,
}

impl Found {
    pub fn of(subject: &str, signature: &'static str, starts: usize) -> Self {
        Self {
            subject: subject.to_owned(),
            is_part: false,
            signature,
            starts,
            cause: Value::Null,
            ended: "ongoing",
            growing: false,
            only_median: false,
            open: Vec::new(),
            then_others: false,
        }
    }

    /// A unit whose counter is among the evidence.
    pub fn unit(subject: &str, starts: usize) -> Self {
        Self::of(subject, "restart-counter", starts)
    }

    pub fn part_of_line(mut self) -> Self {
        self.is_part = true;
        self
    }

    pub fn cause(mut self, cause: Value) -> Self {
        self.cause = cause;
        self
    }

    pub fn code(self, status: u8) -> Self {
        self.cause(json!({"kind": "exit-code", "status": status}))
    }

    pub fn port(self, port: u16) -> Self {
        self.cause(json!({"kind": "port-in-use", "port": port}))
    }

    pub fn ended(mut self, ended: &'static str) -> Self {
        self.ended = ended;
        self
    }

    pub fn growing(mut self) -> Self {
        self.growing = true;
        self
    }

    /// The clock was set meanwhile: the shortest and the longest gap say nothing.
    pub fn only_median(mut self) -> Self {
        self.only_median = true;
        self
    }

    /// The story's later starts of the subject are no part of this loop.
    pub fn then_others(mut self) -> Self {
        self.then_others = true;
        self
    }

    /// The rules leave this key open here.
    pub fn open(mut self, key: &'static str) -> Self {
        self.open.push(key);
        self
    }

    /// The documented keys, for these starts; `whole` says that the stamps have no fraction.
    pub fn judge(&self, marks: &[Mark], whole: bool) -> Value {
        assert_eq!(marks.len(), self.starts, "{}: the story has other starts than the case says", self.subject);
        let shown = |mark: Option<&Mark>| mark.map_or(Value::Null, |mark| Value::from(mark.shown.clone()));
        self.entry(shown(marks.first()), shown(marks.last()), Gaps::of(marks), whole)
    }

    /// The documented keys for lines without stamps.
    pub fn judge_without_stamps(&self) -> Value {
        self.entry(Value::Null, Value::Null, None, false)
    }

    fn entry(&self, first: Value, last: Value, gaps: Option<Gaps>, whole: bool) -> Value {
        let mut period = gaps.as_ref().map_or(
            Value::Null,
            |gaps| json!({"min": gaps.sorted.first(), "median": gaps.median(), "max": gaps.sorted.last()}),
        );
        if let (true, Some(period)) = (self.only_median, period.as_object_mut()) {
            period.retain(|key, _| key == "median");
        }
        let periodic = !self.growing && gaps.is_some_and(|gaps| gaps.are_steady(whole));
        let subject = if self.is_part { "subject_contains" } else { "subject" };
        let mut entry = json!({
            (subject): self.subject,
            "signature": self.signature,
            "starts": self.starts,
            "first": first,
            "last": last,
            "period_us": period,
            "periodic": periodic,
            "cause": self.cause,
            "ended": self.ended,
        });
        if self.growing {
            entry["growing"] = Value::from(true);
        }
        let open = if self.only_median { Some("periodic") } else { None };
        for key in self.open.iter().copied().chain(open) {
            entry.as_object_mut().expect("an object").remove(key);
        }
        entry
    }
}

struct Gaps {
    sorted: Vec<i64>,
}

impl Gaps {
    fn of(marks: &[Mark]) -> Option<Self> {
        let mut sorted: Vec<i64> = marks.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        sorted.sort_unstable();
        (!sorted.is_empty()).then_some(Self { sorted })
    }

    /// As everywhere in the harness: between two, the middle, rounded down.
    fn median(&self) -> i64 {
        let (lower, upper) = (self.sorted[(self.sorted.len() - 1) / 2], self.sorted[self.sorted.len() / 2]);
        lower + (upper - lower) / 2
    }

    /// At least three, nine of ten of them within a quarter of the median, or within a second of it where stamps are
    /// whole seconds.
    fn are_steady(&self, whole: bool) -> bool {
        let median = self.median();
        let near = |gap: &&i64| (**gap - median).abs() * 4 <= median || (whole && (**gap - median).abs() <= SEC);
        self.sorted.len() >= 3 && self.sorted.iter().filter(near).count() * 10 >= self.sorted.len() * 9
    }
}

/// An output format of journalctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Short,
    ShortPrecise,
    /// As 252 prints it, `+0000`.
    ShortIso,
    /// As 257 prints it, `+00:00`.
    ShortIsoPrecise,
    ShortFull,
    Json,
}

/// All of them.
pub const FORMATS: [Format; 6] =
    [Format::Short, Format::ShortPrecise, Format::ShortIso, Format::ShortIsoPrecise, Format::ShortFull, Format::Json];

impl Format {
    pub fn file(self) -> &'static str {
        match self {
            Self::Short => "short.log",
            Self::ShortPrecise => "short-precise.log",
            Self::ShortIso => "short-iso.log",
            Self::ShortIsoPrecise => "short-iso-precise.log",
            Self::ShortFull => "short-full.log",
            Self::Json => "journal.json",
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Self::Short | Self::ShortIso | Self::ShortFull)
    }
}

/// A moment in civil time, so many minutes ahead of UTC.
pub fn civil(at: i64, minutes: i64, format: &str) -> String {
    Timestamp::from_microsecond(at + minutes * MIN).expect("a moment").strftime(format).to_string()
}

/// `+0100`, or `+01:00`.
fn offset(minutes: i64, colon: &str) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}{colon}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// RFC 3339, the fraction as short as exact.
pub fn rfc3339(at: i64, minutes: i64) -> String {
    let fraction = format!("{:06}", at.rem_euclid(SEC));
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let zone = if minutes == 0 { "Z".to_owned() } else { offset(minutes, ":") };
    format!("{}{dot}{fraction}{zone}", civil(at, minutes, "%Y-%m-%dT%H:%M:%S"))
}

fn zone(story: &Story, at: i64) -> (i64, &'static str) {
    let zone = story.zones.iter().rev().find(|(from, _, _)| *from <= at).expect("a zone for all times");
    (zone.1, zone.2)
}

/// Later than the moment it was written, as journald's receipt is.
fn received(entry: &Entry) -> i64 {
    entry.at + 31 + entry.at.rem_euclid(53)
}

fn stamp(story: &Story, entry: &Entry, format: Format) -> String {
    let (minutes, name) = zone(story, entry.at);
    let micros = format!(".{:06}", entry.at.rem_euclid(SEC));
    let text = |pattern: &str| civil(entry.at, minutes, pattern);
    match format {
        Format::Short => text("%b %d %H:%M:%S"),
        Format::ShortPrecise => text("%b %d %H:%M:%S") + &micros,
        Format::ShortIso => text("%Y-%m-%dT%H:%M:%S") + &offset(minutes, ""),
        Format::ShortIsoPrecise => text("%Y-%m-%dT%H:%M:%S") + &micros + &offset(minutes, ":"),
        Format::ShortFull => format!("{} {name}", text("%a %Y-%m-%d %H:%M:%S")),
        Format::Json => received(entry).to_string(),
    }
}

fn mark(story: &Story, entry: &Entry, format: Format) -> Mark {
    let at = match format {
        Format::Json => received(entry),
        _ if format.is_whole() => entry.at - entry.at.rem_euclid(SEC),
        _ => entry.at,
    };
    let (minutes, name) = zone(story, entry.at);
    let shown = match format {
        Format::Json => rfc3339(at, 0),
        Format::ShortIso | Format::ShortIsoPrecise => rfc3339(at, minutes),
        Format::ShortFull if name == "UTC" => rfc3339(at, 0),
        Format::Short | Format::ShortPrecise | Format::ShortFull => stamp(story, entry, format),
    };
    Mark { at, shown }
}

fn text_line(story: &Story, entry: &Entry, format: Format) -> String {
    let (ident, pid) = match &entry.source {
        Source::Manager => ("systemd", Some(1)),
        Source::UserManager(pid) => ("systemd", Some(*pid)),
        Source::Program { ident, pid, .. } => (ident.as_str(), *pid),
    };
    let pid = pid.map_or_else(String::new, |pid| format!("[{pid}]"));
    format!("{} {} {ident}{pid}: {}", stamp(story, entry, format), story.host, entry.message)
}

fn json_line(story: &Story, entry: &Entry) -> String {
    let mut fields: Vec<(&str, String)> = vec![
        ("__CURSOR", format!("s=9d1c;i={:x}", entry.at & 0xffff)),
        ("__REALTIME_TIMESTAMP", received(entry).to_string()),
        ("__MONOTONIC_TIMESTAMP", entry.monotonic.to_string()),
        ("_BOOT_ID", entry.boot.clone()),
        ("_HOSTNAME", story.host.clone()),
        ("MESSAGE", entry.message.clone()),
    ];
    let mut more = |pairs: &[(&'static str, &str)]| {
        fields.extend(pairs.iter().map(|(name, value)| (*name, (*value).to_owned())));
    };
    match &entry.source {
        Source::Manager => more(&[
            ("SYSLOG_IDENTIFIER", "systemd"),
            ("_PID", "1"),
            ("_UID", "0"),
            ("_COMM", "systemd"),
            ("_TRANSPORT", "journal"),
            ("_SYSTEMD_UNIT", "init.scope"),
        ]),
        Source::UserManager(pid) => more(&[
            ("SYSLOG_IDENTIFIER", "systemd"),
            ("_PID", &pid.to_string()),
            ("_UID", "1000"),
            ("_COMM", "systemd"),
            ("_TRANSPORT", "journal"),
            ("_SYSTEMD_UNIT", "user@1000.service"),
            ("_SYSTEMD_USER_UNIT", "init.scope"),
        ]),
        Source::Program { ident, pid, unit } => {
            more(&[("SYSLOG_IDENTIFIER", ident), ("_COMM", ident), ("PRIORITY", "6")]);
            if let Some(pid) = pid {
                more(&[("_PID", &pid.to_string())]);
            }
            match unit.as_str() {
                "" => more(&[("_TRANSPORT", "syslog"), ("_SYSTEMD_UNIT", "session-4.scope")]),
                unit => more(&[("_TRANSPORT", "stdout"), ("_SYSTEMD_UNIT", unit)]),
            }
        }
    }
    fields.extend(entry.fields.iter().map(|(name, value)| (*name, value.clone())));
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{}", Value::from(*name), Value::from(value.clone()))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// A story in one format; the starts of each loop are those of its subject that are marked.
pub fn journal(story: &Story, format: Format, loops: &[Found]) -> Input {
    let mut text = String::new();
    for row in &story.rows {
        match row {
            Row::Record(entry) if format == Format::Json => text += &json_line(story, entry),
            Row::Record(entry) => text += &text_line(story, entry, format),
            Row::Note(_) if format == Format::Json => continue,
            Row::Note(note) => text += note,
        }
        text.push('\n');
    }
    let judged = loops.iter().map(|found| {
        let entries = story.rows.iter().filter_map(|row| match row {
            Row::Record(entry) if entry.start_of.as_deref() == Some(&found.subject) => Some(entry),
            _ => None,
        });
        let limit = if found.then_others { found.starts } else { usize::MAX };
        let marks: Vec<Mark> = entries.take(limit).map(|entry| mark(story, entry, format)).collect();
        found.judge(&marks, format.is_whole())
    });
    Input::new(format.file(), text, judged.collect())
}

/// A story in all formats.
pub fn journals(story: &Story, loops: &[Found]) -> Vec<Input> {
    FORMATS.iter().map(|format| journal(story, *format, loops)).collect()
}

/// A story in some formats.
pub fn some(story: &Story, formats: &[Format], loops: &[Found]) -> Vec<Input> {
    formats.iter().map(|format| journal(story, *format, loops)).collect()
}

/// A log that is written line by line, with stamps of its own.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    text: String,
    marks: Vec<Mark>,
    whole: bool,
}

/// How a program writes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// `2026-01-16 12:28:18`
    Plain,
    /// `2026-01-16 12:28:18,123`
    Comma,
    /// `2026/01/16 12:28:18`
    Slashes,
    /// `2026-01-16T12:28:18.123Z`
    Zulu,
    /// `2026-01-16T12:28:18`
    Tee,
    /// `2026-01-16 12:28:18 +0000`
    Offset,
    /// No stamp.
    None,
}

impl Stamp {
    /// As it stands in the line, and as `detect` is to write it.
    fn text(self, at: i64) -> (String, String) {
        let whole = |pattern: &str| civil(at, 0, pattern);
        let millis = format!("{:03}", at.rem_euclid(SEC) / 1_000);
        let same = |text: String| (text.clone(), text);
        match self {
            Self::Plain => same(whole("%Y-%m-%d %H:%M:%S")),
            Self::Comma => same(whole("%Y-%m-%d %H:%M:%S,") + &millis),
            Self::Slashes => same(whole("%Y/%m/%d %H:%M:%S")),
            Self::Tee => same(whole("%Y-%m-%dT%H:%M:%S")),
            Self::Zulu => (whole("%Y-%m-%dT%H:%M:%S.") + &millis + "Z", rfc3339(self.exact(at), 0)),
            Self::Offset => (whole("%Y-%m-%d %H:%M:%S +0000"), rfc3339(self.exact(at), 0)),
            Self::None => same(String::new()),
        }
    }

    fn exact(self, at: i64) -> i64 {
        match self {
            Self::Comma | Self::Zulu => at - at.rem_euclid(1_000),
            _ => at - at.rem_euclid(SEC),
        }
    }
}

impl Lines {
    /// A line; `@` stands for the stamp.
    pub fn line(&mut self, at: i64, stamp: Stamp, line: &str) -> &mut Self {
        self.text += &line.replacen('@', &stamp.text(at).0, 1);
        self.text.push('\n');
        self
    }

    /// A line with which a run begins.
    pub fn start(&mut self, at: i64, stamp: Stamp, line: &str) -> &mut Self {
        self.line(at, stamp, line).begins(at, stamp)
    }

    /// A run begins at a moment that a line shows.
    pub fn begins(&mut self, at: i64, stamp: Stamp) -> &mut Self {
        self.marks.push(Mark { at: stamp.exact(at), shown: stamp.text(at).1 });
        self.whole = !matches!(stamp, Stamp::Comma | Stamp::Zulu);
        self
    }

    /// The file, with at most one loop.
    pub fn input(&self, name: &str, found: Option<Found>) -> Input {
        let loops = found.map(|found| found.judge(&self.marks, self.whole));
        Input::new(name, self.text.clone(), loops.into_iter().collect())
    }

    /// The file of a log without stamps.
    pub fn input_without_stamps(&self, name: &str, found: Option<Found>) -> Input {
        let loops = found.map(|found| found.judge_without_stamps());
        Input::new(name, self.text.clone(), loops.into_iter().collect())
    }
}
