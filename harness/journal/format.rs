//! The output formats of `journalctl -o` (journalctl(1), "--output=").

use crate::time::IncidentTime;

use super::json::{self, Layout};
use super::text::{format_bytes, is_printable, strip_tab_ansi};
use super::timestamp::format_timestamp;
use super::{Entry, Record};

/// A value of this length or more is no host name, identifier or PID to `journalctl`.
const PRINT_CHAR_THRESHOLD: usize = 300;

macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// A value of `--output=`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum Format { $($(#[$doc])* $variant),+ }
        impl Format {
            /// All of them, in the order in which `-o help` lists them.
            pub const ALL: &'static [Format] = &[$(Format::$variant),+];
            /// systemd's spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Format::$variant => $word),+ }
            }
        }
    };
}
formats! {
    /// `Nov 23 16:43:33 HOST IDENT[PID]: MESSAGE`.
    #[default] Short = "short",
    /// With weekday, year and time zone.
    ShortFull = "short-full",
    /// With an ISO 8601 time.
    ShortIso = "short-iso",
    /// The same with microseconds.
    ShortIsoPrecise = "short-iso-precise",
    /// As short, with microseconds.
    ShortPrecise = "short-precise",
    /// With the time since boot.
    ShortMonotonic = "short-monotonic",
    /// With the time since boot and since the line before.
    ShortDelta = "short-delta",
    /// With seconds since 1970.
    ShortUnix = "short-unix",
    /// All fields, one a line.
    Verbose = "verbose",
    /// The same for machines.
    Export = "export",
    /// One object a line.
    Json = "json",
    /// One field a line.
    JsonPretty = "json-pretty",
    /// For server-sent events.
    JsonSse = "json-sse",
    /// JSON text sequences (RFC 7464).
    JsonSeq = "json-seq",
    /// The message alone.
    Cat = "cat",
    /// As short-full, with the unit in place of the identifier.
    WithUnit = "with-unit",
}

/// Not an output format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unknown output format '{0}'.")]
pub struct UnknownFormat(pub String);

impl std::str::FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.iter().copied().find(|f| f.as_str() == word).ok_or_else(|| UnknownFormat(word.to_owned()))
    }
}

impl Format {
    /// Whether `-- No entries --` is for this format.
    pub const fn is_for_people(self) -> bool {
        !matches!(
            self,
            Format::Export | Format::Json | Format::JsonPretty | Format::JsonSse | Format::JsonSeq | Format::Cat
        )
    }
}

/// How entries are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// `--output=`.
    pub format: Format,
    /// systemd's major version: from 254 on the machine formats carry sequence numbers, and the offset in ISO times
    /// has a colon.
    pub version: u32,
    /// `--no-hostname`.
    pub no_hostname: bool,
    /// `--all`: unprintable and very long values too.
    pub all: bool,
    /// `--truncate-newline`: the first line of a message is enough.
    pub truncate_newline: bool,
    /// `--output-fields=`, for the formats that list fields.
    pub fields: Vec<String>,
}

impl Style {
    /// The plain style of a format.
    pub fn new(format: Format, version: u32) -> Self {
        Self { format, version, ..Self::default() }
    }

    pub(super) fn shows(&self, field: &str) -> bool {
        self.fields.is_empty() || self.fields.iter().any(|f| f == field)
    }

    /// Writes an entry. `previous` is the entry written before it, if any.
    pub fn write(&self, out: &mut Vec<u8>, entry: &Entry<'_>, previous: Option<&Entry<'_>>) {
        match self.format {
            Format::Verbose => self.verbose(out, entry),
            Format::Export => self.export(out, entry),
            Format::Json => json::write(out, entry, Layout::Line, self),
            Format::JsonPretty => json::write(out, entry, Layout::Pretty, self),
            Format::JsonSse => {
                out.extend_from_slice(b"data: ");
                json::write(out, entry, Layout::Line, self);
                out.push(b'\n');
            }
            Format::JsonSeq => {
                out.push(0x1e);
                json::write(out, entry, Layout::Line, self);
            }
            Format::Cat => self.cat(out, entry.record),
            _ => self.short(out, entry.record, previous.map(|p| p.record)),
        }
    }

    fn cat(&self, out: &mut Vec<u8>, record: &Record) {
        let mut names: Vec<&str> = self.fields.iter().map(String::as_str).collect();
        names.sort_unstable();
        if names.is_empty() {
            names.push("MESSAGE");
        }
        for name in names {
            if let Some(value) = record.bytes(name) {
                out.extend_from_slice(value);
                out.push(b'\n');
            }
        }
    }

    fn short(&self, out: &mut Vec<u8>, record: &Record, previous: Option<&Record>) {
        let Some(raw) = record.bytes("MESSAGE") else { return };
        let start = out.len();
        out.extend_from_slice(self.short_time(record, previous).as_bytes());
        let printable = |name: &str| record.bytes(name).filter(|value| self.all || fits(value));
        if !self.no_hostname
            && let Some(hostname) = printable("_HOSTNAME")
        {
            out.push(b' ');
            out.extend_from_slice(hostname);
        }
        let unit = match self.format {
            Format::WithUnit => printable("_SYSTEMD_UNIT"),
            _ => None,
        };
        out.push(b' ');
        out.extend_from_slice(
            unit.or_else(|| printable("SYSLOG_IDENTIFIER")).or_else(|| printable("_COMM")).unwrap_or(b"unknown"),
        );
        if let Some(pid) = printable("_PID").or_else(|| printable("SYSLOG_PID")) {
            out.push(b'[');
            out.extend_from_slice(pid);
            out.push(b']');
        }
        out.extend_from_slice(b": ");
        let message = if self.all { raw.to_vec() } else { strip_tab_ansi(raw) };
        if !self.all && !is_printable(&message) {
            out.extend_from_slice(format!("[{} blob data]\n", format_bytes(message.len() as u64)).as_bytes());
            return;
        }
        let indent = out.len() - start;
        let first = message.split(|b| *b == b'\n').next().unwrap_or_default();
        multiline(out, if self.truncate_newline { first } else { &message }, indent);
    }

    fn short_time(&self, record: &Record, previous: Option<&Record>) -> String {
        let moment = source_time(record);
        let micros = moment.as_micros() % 1_000_000;
        let zone = if self.version >= 254 { "+00:00" } else { "+0000" };
        match self.format {
            Format::ShortIso => format!("{}{zone}", moment.strftime("%Y-%m-%dT%H:%M:%S")),
            Format::ShortIsoPrecise => format!("{}.{micros:06}{zone}", moment.strftime("%Y-%m-%dT%H:%M:%S")),
            Format::ShortPrecise => format!("{}.{micros:06}", moment.strftime("%b %d %H:%M:%S")),
            Format::ShortUnix => format!("{}.{micros:06}", moment.as_micros() / 1_000_000),
            Format::ShortFull | Format::WithUnit => format_timestamp(moment),
            Format::ShortMonotonic => format!("[{}]", monotonic(self.since_boot(record))),
            Format::ShortDelta => {
                let since_boot = self.since_boot(record);
                let delta = match previous {
                    None => " ".repeat(16),
                    Some(before) if before.boot_id() == record.boot_id() => {
                        let span = since_boot.saturating_sub(self.since_boot(before));
                        format!(" <{} >", monotonic(span))
                    }
                    // Another boot: the clocks of the wall are all there is to compare.
                    Some(before) => {
                        let span = source_time(record).since(source_time(before)).as_micros();
                        format!(" <{}*>", monotonic(span))
                    }
                };
                format!("[{}{delta}]", monotonic(since_boot))
            }
            _ => moment.strftime("%b %d %H:%M:%S"),
        }
    }

    /// Microseconds since boot. Up to 252 only the kernel's lines say when they were sent; later systemd works it
    /// out from the sender's clock.
    fn since_boot(&self, record: &Record) -> u64 {
        if self.version >= 256 {
            let late = record.realtime.since(source_time(record)).as_micros();
            return record.monotonic.saturating_sub(late);
        }
        record.get("_SOURCE_MONOTONIC_TIMESTAMP").and_then(|text| text.parse().ok()).unwrap_or(record.monotonic)
    }

    fn verbose(&self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        let moment = source_time(entry.record);
        let header = format!(
            "{}.{:06} UTC [{}]\n",
            moment.strftime("%a %Y-%m-%d %H:%M:%S"),
            moment.as_micros() % 1_000_000,
            entry.cursor()
        );
        out.extend_from_slice(header.as_bytes());
        for (name, value) in entry.record.fields.iter().filter(|(name, _)| self.shows(name)) {
            out.extend_from_slice(format!("    {name}=").as_bytes());
            if self.all || is_printable(value) {
                multiline(out, value, name.len() + 5);
            } else {
                out.extend_from_slice(format!("[{} blob data]\n", format_bytes(value.len() as u64)).as_bytes());
            }
        }
    }

    fn export(&self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        for (name, value) in json::address(entry, self.version) {
            out.extend_from_slice(format!("{name}={value}\n").as_bytes());
        }
        let fields = entry.record.fields.iter().filter(|(name, _)| name != "_BOOT_ID" && self.shows(name));
        for (name, value) in fields {
            out.extend_from_slice(name.as_bytes());
            // A newline in the value would end it: such values go by length.
            if is_printable(value) && !value.contains(&b'\n') {
                out.push(b'=');
            } else {
                out.push(b'\n');
                out.extend_from_slice(&(value.len() as u64).to_le_bytes());
            }
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out.push(b'\n');
    }
}

/// When the sender says it happened, else when it was received.
fn source_time(record: &Record) -> IncidentTime {
    record
        .get("_SOURCE_REALTIME_TIMESTAMP")
        .and_then(|text| text.parse().ok())
        .map_or(record.realtime, IncidentTime::from_micros)
}

fn monotonic(micros: u64) -> String {
    format!("{:5}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn fits(value: &[u8]) -> bool {
    value.len() < PRINT_CHAR_THRESHOLD && is_printable(value)
}

/// Lines after the first begin below it.
fn multiline(out: &mut Vec<u8>, text: &[u8], indent: usize) {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for (number, line) in text.split(|b| *b == b'\n').enumerate() {
        if number > 0 {
            out.extend(std::iter::repeat_n(b' ', indent));
        }
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}
