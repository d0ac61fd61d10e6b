//! A line of a log: when, who wrote it, and what it says.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::stamp::{self, Scale, Stamp};

/// So much of a message is looked at.
const MESSAGE: usize = 4096;

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer<'a> {
    /// A manager: PID 1, or a user's by its PID; with the unit that the record names.
    Systemd { host: &'a str, manager: u32, unit: Option<&'a str> },
    /// A program under a name of its own.
    Program { host: &'a str, name: &'a str, pid: Option<u32>, owner: Owner<'a> },
    /// Nobody is named.
    Nobody { pid: Option<u32> },
}

/// The service that a program is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// The line does not say.
    Unknown,
    /// The journal knows it to be of none.
    Nobody,
    Service(&'a str),
}

impl<'a> Owner<'a> {
    pub(super) fn service(self) -> Option<&'a str> {
        match self {
            Owner::Service(name) => Some(name),
            Owner::Unknown | Owner::Nobody => None,
        }
    }
}

/// A line, taken apart.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub stamp: Option<Stamp<'a>>,
    pub writer: Writer<'a>,
    pub text: &'a str,
    /// Identifies the boot, if it is told.
    pub boot: Option<&'a str>,
    /// Of a container: what happened to it, by `docker events`.
    pub event: Option<Event<'a>>,
}

/// What `docker events --format json` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    pub action: &'a str,
    pub name: &'a str,
    pub exit_code: Option<&'a str>,
}

/// The fields of a JSON line that matter: of the journal's, of Docker's, of programs that log so.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, rename = "MESSAGE", default)]
    message: Field<'a>,
    #[serde(borrow, rename = "__REALTIME_TIMESTAMP", default)]
    realtime: Field<'a>,
    #[serde(borrow, rename = "SYSLOG_IDENTIFIER", default)]
    identifier: Field<'a>,
    #[serde(borrow, rename = "_COMM", default)]
    comm: Field<'a>,
    #[serde(borrow, rename = "_PID", default)]
    trusted_pid: Field<'a>,
    #[serde(borrow, rename = "_TRANSPORT", default)]
    transport: Field<'a>,
    #[serde(borrow, rename = "SYSLOG_PID", default)]
    syslog_pid: Field<'a>,
    #[serde(borrow, rename = "_SYSTEMD_UNIT", default)]
    systemd_unit: Field<'a>,
    #[serde(borrow, rename = "_SYSTEMD_USER_UNIT", default)]
    systemd_user_unit: Field<'a>,
    #[serde(borrow, rename = "UNIT", default)]
    unit: Field<'a>,
    #[serde(borrow, rename = "USER_UNIT", default)]
    user_unit: Field<'a>,
    #[serde(borrow, rename = "_HOSTNAME", default)]
    hostname: Field<'a>,
    #[serde(borrow, rename = "_BOOT_ID", default)]
    boot: Field<'a>,
    #[serde(borrow, rename = "Action", default)]
    action: Field<'a>,
    #[serde(borrow, rename = "Type", default)]
    kind: Field<'a>,
    #[serde(borrow, rename = "Actor", default)]
    actor: Option<Actor<'a>>,
    #[serde(borrow, rename = "timeNano", default)]
    time_nano: Field<'a>,
    #[serde(borrow, default)]
    log: Field<'a>,
    #[serde(borrow, default, alias = "message")]
    msg: Field<'a>,
    #[serde(borrow, default, alias = "timestamp", alias = "@timestamp", alias = "ts")]
    time: Field<'a>,
    #[serde(default)]
    pid: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Actor<'a> {
    #[serde(borrow, rename = "Attributes", default)]
    attributes: Attributes<'a>,
}

#[derive(Deserialize, Default)]
struct Attributes<'a> {
    #[serde(borrow, default)]
    name: Field<'a>,
    #[serde(borrow, rename = "exitCode", default)]
    exit_code: Field<'a>,
}

/// The value of a field, if it is one.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Field<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Number(i64),
    Real(f64),
    Bytes(Vec<u8>),
    Other(IgnoredAny),
    #[default]
    Nothing,
}

/// A JSON line's values, kept while its entry is looked at.
#[derive(Debug, Default)]
pub(super) struct Kept {
    message: String,
    stamp: String,
    micros: Option<i64>,
    name: String,
    host: String,
    unit: Option<String>,
    boot: Option<String>,
    pid: Option<u32>,
    manager: bool,
    event: Option<(String, String, Option<String>)>,
}

impl Field<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Field::Text(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Field::Number(number) => Some(*number),
            Field::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// As text, bytes too.
    fn lossy(&self) -> Cow<'_, str> {
        match self {
            Field::Text(text) => Cow::Borrowed(text),
            Field::Bytes(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(MESSAGE)]),
            _ => Cow::Borrowed(""),
        }
    }
}

fn start(text: &str) -> &str {
    start_of(text, MESSAGE)
}

/// As much of a text as `most` bytes have.
pub(super) fn start_of(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Reads a JSON object into `kept`; false if it is none, or none that is known.
pub(super) fn json(line: &str, kept: &mut Kept) -> bool {
    let Ok(object) = serde_json::from_str::<Object<'_>>(line) else { return false };
    *kept = Kept::default();
    let first_line = |text: &str| start(text.trim_end_matches(['\n', '\r'])).to_owned();
    if let Some(realtime) = object.realtime.number() {
        let pid = |field: &Field<'_>| field.number().and_then(|pid| u32::try_from(pid).ok());
        kept.message = first_line(&object.message.lossy());
        kept.micros = Some(realtime);
        kept.host = object.hostname.text().unwrap_or_default().to_owned();
        kept.boot = object.boot.text().map(str::to_owned);
        kept.pid = pid(&object.trusted_pid).or_else(|| pid(&object.syslog_pid));
        kept.name = object.identifier.text().or_else(|| object.comm.text()).unwrap_or_default().to_owned();
        // What a program may claim of itself is its identifier; the fields with an underscore are the journal's own.
        let trusted = match (object.trusted_pid.number(), object.comm.text(), object.transport.text()) {
            (Some(1), ..) => true,
            (Some(_), Some(comm), _) => comm == "systemd",
            (_, _, Some(_)) => false,
            (None, Some(comm), None) => comm == "systemd",
            (_, None, None) => true,
        };
        kept.manager = kept.name == "systemd" && trusted;
        let unit = match kept.manager {
            true => object.unit.text().or_else(|| object.user_unit.text()),
            false => object.systemd_user_unit.text().or_else(|| object.systemd_unit.text()),
        };
        kept.unit = unit.map(str::to_owned);
        if kept.manager && object.user_unit.text().is_none() && kept.pid.is_none() {
            kept.pid = Some(1);
        }
        return true;
    }
    if object.kind.text() == Some("container") && object.action.text().is_some() {
        let attributes = object.actor.as_ref().map(|actor| &actor.attributes);
        kept.micros = object.time_nano.number().map(|nanos| nanos / 1000);
        kept.event = attributes.map(|attributes| {
            (
                object.action.text().unwrap_or_default().to_owned(),
                attributes.name.text().unwrap_or_default().to_owned(),
                attributes.exit_code.text().map(str::to_owned),
            )
        });
        return kept.event.is_some();
    }
    let said = [&object.log, &object.msg].into_iter().find_map(Field::text);
    let Some(said) = said else { return false };
    kept.message = first_line(said);
    match &object.time {
        Field::Text(text) => kept.stamp = start(text).to_owned(),
        Field::Number(number) => kept.micros = epoch(*number),
        Field::Real(number) if (1e9..4e9).contains(number) => kept.micros = Some((number * 1e6) as i64),
        _ => {}
    }
    kept.pid = object.pid.number().and_then(|pid| u32::try_from(pid).ok());
    true
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, by their size.
fn epoch(number: i64) -> Option<i64> {
    match number {
        1_000_000_000..4_000_000_000 => Some(number * 1_000_000),
        1_000_000_000_000..4_000_000_000_000 => Some(number * 1000),
        1_000_000_000_000_000..4_000_000_000_000_000 => Some(number),
        1_000_000_000_000_000_000.. => Some(number / 1000),
        _ => None,
    }
}

impl Kept {
    /// The entry that was read into it.
    pub(super) fn entry(&self) -> Entry<'_> {
        let exact =
            self.micros.map(|micros| Stamp { text: "", micros, scale: Scale::Zoned(0), whole: false, syslog: false });
        let stamp = exact.or_else(|| stamp::read(&self.stamp).map(|(stamp, _)| stamp));
        let unit = self.unit.as_deref();
        let writer = if self.manager {
            Writer::Systemd { host: &self.host, manager: self.pid.unwrap_or(0), unit }
        } else if self.name.is_empty() {
            Writer::Nobody { pid: self.pid }
        } else {
            let owner = match unit {
                None => Owner::Unknown,
                Some(unit) if unit.ends_with(".service") => Owner::Service(unit),
                Some(_) => Owner::Nobody,
            };
            Writer::Program { host: &self.host, name: &self.name, pid: self.pid, owner }
        };
        let event = self.event.as_ref().map(|(action, name, code)| Event { action, name, exit_code: code.as_deref() });
        Entry { stamp, writer, text: &self.message, boot: self.boot.as_deref(), event }
    }
}

/// Takes a line of text apart.
pub(super) fn text(line: &str) -> Entry<'_> {
    let line = start(line);
    let nothing = |stamp, text| Entry { stamp, writer: Writer::Nobody { pid: None }, text, boot: None, event: None };
    let (stamp, rest) = match stamped(line) {
        Some((Some(pid), stamp, rest)) => {
            let writer = Writer::Nobody { pid: Some(pid) };
            return Entry { writer, ..nothing(Some(stamp), rest.trim_start_matches([' ', '*', '#', '-', '.'])) };
        }
        Some((None, stamp, rest)) => (Some(stamp), rest),
        None => (None, line),
    };
    if stamp.is_none_or(|stamp| stamp.syslog)
        && let Some((host, name, pid, said)) = syslog(rest)
        && (stamp.is_some() || name == "systemd")
    {
        let writer = match name {
            "systemd" => Writer::Systemd { host, manager: pid.unwrap_or(1), unit: None },
            _ => Writer::Program { host, name, pid, owner: Owner::Unknown },
        };
        return Entry { stamp, writer, text: said, boot: None, event: None };
    }
    let mut entry = nothing(stamp, rest.trim_start_matches([' ', ':', '\t', '|']));
    entry.writer = Writer::Nobody { pid: bracketed_pid(entry.text).or_else(|| written_pid(entry.text)) };
    entry
}

/// When a line of text was written, if it tells.
pub(super) fn stamp(line: &str) -> Option<Stamp<'_>> {
    stamped(line).map(|(_, stamp, _)| stamp)
}

/// The stamp of a line, with the PID that may be before it, and what is behind it.
fn stamped(line: &str) -> Option<(Option<u32>, Stamp<'_>, &str)> {
    if let Some((pid, rest)) = redis(line)
        && let Some((stamp, end)) = stamp::read(rest)
    {
        return Some((Some(pid), stamp, &rest[end..]));
    }
    let (stamp, rest) = stamp::read(line)
        .map(|(stamp, end)| (stamp, &line[end..]))
        .or_else(|| in_another_language(line))
        .or_else(|| behind_a_prefix(line))?;
    Some((None, stamp, rest))
}

/// `1月 16 12:28:18 HOST NAME[PID]: …`: only what follows tells that it is a stamp.
fn in_another_language(line: &str) -> Option<(Stamp<'_>, &str)> {
    let (stamp, end) = stamp::monthless(line)?;
    syslog(&line[end..])?;
    Some((stamp, &line[end..]))
}

/// `812:M STAMP * …`: who writes, and as what (master, child, replica, sentinel).
fn redis(line: &str) -> Option<(u32, &str)> {
    line.bytes().next().filter(u8::is_ascii_digit)?;
    let (pid, rest) = line.split_once(':')?;
    let rest = rest.strip_prefix(['M', 'C', 'S', 'X'])?.strip_prefix(' ')?;
    Some((pid.parse().ok()?, rest))
}

/// `web-1  | STAMP …`, `PM2 | STAMP …`, `INFO STAMP …`, `[INFO] STAMP …`, `time="STAMP" …`.
fn behind_a_prefix(line: &str) -> Option<(Stamp<'_>, &str)> {
    for key in ["time=\"", "ts=\"", "time=", "ts=", "timestamp=\"", "t="] {
        if let Some(rest) = line.strip_prefix(key) {
            let (stamp, end) = stamp::read(rest)?;
            return Some((stamp, rest[end..].trim_start_matches('"')));
        }
    }
    let head = &line.as_bytes()[..line.len().min(64)];
    let mut at = None;
    if let Some(bar) = memchr::memchr(b'|', head) {
        at = Some(bar + 1);
    } else if let Some(space) = memchr::memchr(b' ', head)
        && space <= 12
    {
        at = Some(space);
    }
    let rest = line[at?..].trim_start_matches(' ');
    let (stamp, end) = stamp::read(rest)?;
    Some((Stamp { syslog: false, ..stamp }, &rest[end..]))
}

const LEVELS: [&str; 14] = [
    "info", "error", "warn", "warning", "debug", "critical", "fatal", "trace", "notice", "err", "crit", "severe",
    "alert", "emerg",
];

/// Whether a word is the level of a log line.
pub(super) fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
}

/// `HOST NAME[PID]: …` or `NAME[PID]: …`.
fn syslog(rest: &str) -> Option<(&str, &str, Option<u32>, &str)> {
    let rest = rest.trim_start_matches(' ');
    let (mut word, mut said) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut host = "";
    if !word.ends_with(':') {
        let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        if word.is_empty() || !plain || is_level(word) {
            return None;
        }
        host = word;
        (word, said) = said.split_once(' ').unwrap_or((said, ""));
    }
    let name = word.strip_suffix(':')?;
    if name.is_empty() || is_level(name) {
        return None;
    }
    let (name, pid) = match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
        Some((name, pid)) => (name, Some(pid.parse().ok()?)),
        None => (name, None),
    };
    Some((host, name, pid, said.trim_start_matches(' ')))
}

/// `[119] …`, as gunicorn and others print it behind the time.
fn bracketed_pid(text: &str) -> Option<u32> {
    let (number, _) = text.strip_prefix('[')?.split_once(']')?;
    number.parse().ok()
}

/// `pid=119`, `pid 119`, `(PID: 119)`, and nginx's `119#119:`.
fn written_pid(text: &str) -> Option<u32> {
    let bytes = text.as_bytes();
    let number = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        text[..digits].parse().ok()
    };
    static WORDS: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| [Finder::new("pid"), Finder::new("PID")]);
    for word in &*WORDS {
        for at in word.find_iter(bytes) {
            let bound = at == 0 || !bytes[at - 1].is_ascii_alphabetic();
            let rest = &text[at + word.needle().len()..];
            let rest = rest.trim_start_matches(['=', ':', ' ', '[']);
            if bound && let Some(pid) = number(rest) {
                return Some(pid);
            }
        }
    }
    let rest = text.strip_prefix('[')?.split_once("] ")?.1;
    let (pid, rest) = rest.split_once('#')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(pid) && digits(rest.split(':').next()?)).then(|| pid.parse().ok()).flatten()
}
