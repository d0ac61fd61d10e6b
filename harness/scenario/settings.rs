//! The header (`toml scenario`) and the programs (`toml program=NAME`): typed, every key documented.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::time::{IncidentTime, Span};
use crate::unit::Profile;

/// What a scenario is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something goes wrong, and the loop is seen.
    Incident,
    /// What stops the loop of the incident it extends.
    Fix,
    /// What ends the loop by giving up.
    Limit,
    /// What does not stop the loop, though one might think so.
    NonFix,
    /// A way of looking at it, which must answer differently before and after.
    Check,
    /// What goes wrong while one fixes it.
    Trap,
    /// What a unit does, without an incident.
    Behaviour,
}

impl Kind {
    /// As the header spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Incident => "incident",
            Kind::Fix => "fix",
            Kind::Limit => "limit",
            Kind::NonFix => "non-fix",
            Kind::Check => "check",
            Kind::Trap => "trap",
            Kind::Behaviour => "behaviour",
        }
    }

    /// Whether it says what becomes of an incident, and so extends one whose loop is seen first.
    pub const fn is_cure(self) -> bool {
        matches!(self, Kind::Fix | Kind::Limit | Kind::NonFix)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The header as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Header {
    pub(super) kind: Spanned<Kind>,
    pub(super) extends: Option<Spanned<String>>,
    pub(super) clock: Option<Spanned<toml::value::Datetime>>,
    pub(super) systemd: Option<Spanned<u32>>,
    pub(super) pid: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) ports: Vec<Spanned<u16>>,
    pub(super) directory: Option<Spanned<String>>,
    pub(super) client: Option<Spanned<Client>>,
    pub(super) timer_phase: Option<Spanned<Length>>,
    pub(super) budget: Option<Spanned<Length>>,
    pub(super) hostname: Option<Spanned<String>>,
    pub(super) user: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) cannot_tell: Option<Spanned<bool>>,
    pub(super) remark: Option<Spanned<String>>,
    pub(super) cure: Option<Spanned<String>>,
    #[serde(rename = "only-embedded")]
    pub(super) only_embedded: Option<Spanned<String>>,
}

/// A span where it stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Length(
    /// The span.
    #[serde(deserialize_with = "span")]
    pub Span,
);

/// What the header sets up; a scenario that extends another one sets only what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `clock`: when the scenario begins, a local date-time of TOML, taken as UTC.
    pub clock: IncidentTime,
    /// `systemd`: whose words and rules, 252 (the default), 257 or 260.
    pub profile: Profile,
    /// `pid`: the first incident PID that is handed out.
    pub first_pid: Option<u32>,
    /// `ports`: incident ports to lease besides those that units and programs name.
    pub ports: Vec<u16>,
    /// `directory`: where the operator's shell is.
    pub directory: Option<String>,
    /// `client`: somebody who asks the service again and again.
    pub client: Option<Client>,
    /// `timer-phase`: where in each 250 ms the manager's timers fire.
    pub timer_phase: Option<Span>,
    /// `budget`: how long claims without a window of their own may take; 10 min.
    pub budget: Span,
    /// `hostname`: the machine's name in the journal; `vm`.
    pub hostname: String,
    /// `user`: who types at the console; `root`.
    pub user: String,
    /// `cannot-tell`: this check answers the same, sick or healthy.
    pub cannot_tell: bool,
    /// `remark`: what the index of a library says of it: what an action leaves behind, what is seen.
    pub remark: String,
    /// `cure`: the command that ends this incident, for tests that want to see what does not cure it fail.
    pub cure: Option<String>,
    /// `only-embedded`: why a real systemd cannot run it.
    pub only_embedded: Option<String>,
}

/// 2026-01-01 00:00:00 UTC: when scenarios begin that do not say.
const NEW_YEAR: IncidentTime = IncidentTime::from_micros(1_767_225_600_000_000);

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: NEW_YEAR,
            profile: Profile::default(),
            first_pid: None,
            ports: Vec::new(),
            directory: None,
            client: None,
            timer_phase: None,
            budget: Span::from_secs(600),
            hostname: "vm".into(),
            user: "root".into(),
            cannot_tell: false,
            remark: String::new(),
            cure: None,
            only_embedded: None,
        }
    }
}

/// A client that sends a request, waits for the answer or its patience to end, and sends the next one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Client {
    /// The incident port it asks.
    pub port: u16,
    /// From one request to the next.
    #[serde(default = "Client::every", deserialize_with = "span")]
    pub every: Span,
    /// The path it asks for.
    #[serde(default = "Client::path")]
    pub path: String,
    /// How long it waits for an answer.
    #[serde(default = "Client::timeout", deserialize_with = "span")]
    pub timeout: Span,
    /// When it begins, a local date-time; with the scenario unless given.
    #[serde(default, deserialize_with = "moment")]
    pub from: Option<IncidentTime>,
    /// When it stops, a local date-time; it never does unless given.
    #[serde(default, deserialize_with = "moment")]
    pub until: Option<IncidentTime>,
}

/// A local date-time of TOML, taken as UTC.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IncidentTime>, D::Error> {
    let text = toml::value::Datetime::deserialize(deserializer)?.to_string();
    let civil = text.parse::<jiff::civil::DateTime>();
    civil
        .map(|civil| Some(IncidentTime::from_civil(civil)))
        .map_err(|_| serde::de::Error::custom("expected a local date-time such as 2026-01-16T12:31:00"))
}

impl Client {
    fn every() -> Span {
        Span::from_millis(100)
    }

    fn path() -> String {
        "/health".into()
    }

    fn timeout() -> Span {
        Span::from_secs(2)
    }
}

/// A stand-in: what a program of the incident does, as far as the incident is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Program {
    /// Incident paths at which it is installed; one path or a list.
    #[serde(deserialize_with = "one_or_more")]
    pub path: Vec<String>,
    /// The name it must be called by.
    pub argv0: Option<String>,
    /// The `-m MODULE` it must be called with.
    pub module: Option<String>,
    /// How long it takes from its start to serving (or failing to), one entry a start; the last one repeats.
    pub startup: Vec<Startup>,
    /// How much of a processor it uses meanwhile, in percent.
    pub startup_cpu: Option<u8>,
    /// The file it logs to, besides standard error.
    pub log_file: Option<String>,
    /// What it logs when it has started, before it binds.
    pub on_start: Vec<String>,
    /// What it logs when it shuts down.
    pub on_shutdown: Vec<String>,
    /// From a refused port to its exit.
    #[serde(deserialize_with = "maybe_span")]
    pub teardown: Option<Span>,
    /// Whether it binds its port before or after it starts up.
    pub bind: Bind,
    /// The descriptor from which it takes the socket that it serves on, as `--fd` says on its command line.
    pub fd: Option<u8>,
    /// Its exit code when the port is refused.
    pub exit_on_bind_error: Option<u8>,
    /// What SIGTERM does while it starts up.
    pub sigterm: Option<OnTerm>,
    /// How long after its start SIGTERM still ends it at once, before its handlers are in place.
    #[serde(deserialize_with = "maybe_span")]
    pub sigterm_ready_after: Option<Span>,
    /// From SIGTERM to its exit, once it serves.
    #[serde(deserialize_with = "maybe_span")]
    pub shutdown: Option<Span>,
    /// How long it takes to answer a request.
    #[serde(deserialize_with = "maybe_span")]
    pub answer: Option<Span>,
    /// Other paths that it knows, and how long it takes to answer there.
    pub answers: BTreeMap<String, Length>,
    /// Whether it shares its port with others who do so, too (SO_REUSEPORT).
    pub reuse_port: bool,
    /// Whether its socket for an IPv6 address leaves IPv4 alone; asyncio, and so uvicorn, says so.
    pub v6_only: Option<bool>,
    /// Whether it starts a child that serves on its port in its place and that it does not end.
    pub child: bool,
    /// What it says to the manager.
    pub notify: Option<Says>,
    /// Which version of the program it stands in for, where versions differ.
    pub version: Option<String>,
}

impl Program {
    /// How long the start number `nth` takes, from 0.
    pub fn startup_of(&self, nth: u64) -> Span {
        let mut left = nth;
        for entry in &self.startup {
            if left < u64::from(entry.times) {
                return entry.span;
            }
            left -= u64::from(entry.times);
        }
        self.startup.last().map_or(Span::ZERO, |entry| entry.span)
    }
}

/// When a program binds its port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bind {
    /// When it has started up, as uvicorn does.
    #[default]
    AfterStartup,
    /// First of all.
    BeforeStartup,
}

/// What SIGTERM does to a program that starts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnTerm {
    /// It dies of it.
    Default,
    /// Nothing, now or later.
    Ignore,
    /// It starts up to the end and then shuts down.
    Defer,
}

/// What a program says to the manager with sd_notify(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// READY=1 when it listens, STOPPING=1 when it stops, WATCHDOG=1 in time for its watchdog.
    Ready,
    /// The same, but never WATCHDOG=1.
    Silent,
}

/// An entry of `startup`: `"4.4s"`, or `"34x 4.4s"` for 34 starts alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Startup {
    /// For how many starts.
    pub times: u32,
    /// How long each takes.
    pub span: Span,
}

impl Startup {
    /// Reads an entry.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (times, rest) = match text[digits..].strip_prefix('x') {
            Some(rest) if digits > 0 => (text[..digits].parse().unwrap_or(0), rest),
            _ => (1, text),
        };
        if times == 0 {
            return Err("expected a number of starts from 1 to 4294967295 before the `x`".into());
        }
        Ok(Self { times, span: finite(rest)? })
    }
}

impl<'de> Deserialize<'de> for Startup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl Visitor<'_> for Entry {
            type Value = Startup;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time span such as \"4.4s\", or \"34x 4.4s\" for 34 starts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Startup, E> {
                Startup::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Entry)
    }
}

fn finite(text: &str) -> Result<Span, String> {
    match Span::parse(text) {
        Ok(span) if span.is_infinite() => Err("the span must end, expected one such as `4.4s`".into()),
        Ok(span) => Ok(span),
        Err(error) => Err(error.to_string()),
    }
}

/// A span as text. A bare number is refused: nobody remembers whether it means seconds.
fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Span;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time span in quotes, such as \"4.4s\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
            finite(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text)
}

fn maybe_span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Span>, D::Error> {
    span(deserializer).map(Some)
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Paths;
    impl<'de> Visitor<'de> for Paths {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path or a list of paths")
        }

        fn visit_str<E: de::Error>(self, path: &str) -> Result<Vec<String>, E> {
            Ok(vec![path.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut paths = Vec::new();
            while let Some(path) = list.next_element()? {
                paths.push(path);
            }
            Ok(paths)
        }
    }
    deserializer.deserialize_any(Paths)
}
