//! Cases and answers, in the form of `fixtures/systemd/cases*.jsonl`: one JSON object a line.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Span;

/// A unit, its programs and what an operator does. `@DIR@` in its texts is [`super::DIR`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The unit's name without `.service`.
    pub id: String,
    /// What it was made of, if it was made at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// What it is about.
    pub family: String,
    /// The unit file.
    pub unit: String,
    /// Further units, name → text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, String>,
    /// Drop-ins of the unit, name → text.
    #[serde(default)]
    pub dropins: BTreeMap<String, String>,
    /// A shell script, `@DIR@/prog.sh`, without its first line.
    pub prog: String,
    /// Further files in `@DIR@`, name → text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
    /// Units that are not files but whose messages count, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// `per unit` if units side by side may log in any order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// What is done, in the order of the moments.
    pub actions: Vec<Action>,
}

impl Case {
    /// The unit's name.
    pub fn own(&self) -> String {
        format!("{}.service", self.id)
    }

    /// Every file that is there from the beginning: absolute path and text, `@DIR@` replaced.
    pub fn files(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let own = self.own();
        let dropins = self.dropins.iter().map(move |(name, text)| (format!("{own}.d/{name}"), text));
        let units = self.units.iter().map(|(name, text)| (name.clone(), text));
        let units = std::iter::once((self.own(), &self.unit)).chain(units).chain(dropins);
        let program = std::iter::once((format!("{}/prog.sh", super::DIR), format!("#!/bin/sh\n{}", self.prog)));
        let programs = self.programs.iter().map(|(name, text)| (format!("{}/{name}", super::DIR), text.clone()));
        program.chain(programs).chain(units.map(|(name, text)| (unit_file(&name), here(text))))
    }
}

/// Where a unit file or drop-in of that name lies.
pub(super) fn unit_file(name: &str) -> String {
    format!("/etc/systemd/system/{name}")
}

/// A text of a case as the machine has it.
pub(super) fn here(text: &str) -> String {
    text.replace("@DIR@", super::DIR)
}

/// What is done at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Seconds after the first action.
    #[serde(with = "seconds")]
    pub t: Span,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// Something that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Act {
    /// A command line for a shell; nobody waits for its end.
    Enter {
        /// The line.
        cmd: String,
    },
    /// A file below /etc/systemd/system is written.
    Write {
        /// Its name; nothing is written if that is empty.
        write: String,
        /// Its content.
        text: String,
    },
}

impl Action {
    /// A command line at a moment.
    pub fn enter(t: Span, cmd: impl Into<String>) -> Self {
        Self { t, act: Act::Enter { cmd: cmd.into() } }
    }

    /// The command line, empty if a file is written.
    pub fn line(&self) -> &str {
        match &self.act {
            Act::Enter { cmd } => cmd,
            Act::Write { .. } => "",
        }
    }
}

/// A case and what a machine answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// The answer.
    pub expected: Answer,
    /// Of what machine.
    pub recordings: Recordings,
}

/// How an answer came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recordings {
    /// How many takes agreed.
    pub n: u32,
    /// First line of `systemctl --version`.
    pub systemd: String,
}

/// What a machine made of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The manager's records about the case's units, in order.
    pub messages: Vec<Message>,
    /// Records of forked children before their exec, each once.
    pub child_messages: Vec<Message>,
    /// One per action.
    pub commands: Vec<Ended>,
    /// How often the program ran.
    pub runs: u64,
    /// `per unit` if units side by side logged in any order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

impl Answer {
    /// When the last command ended: in the first take in which it did, and in the last one.
    pub fn end(&self) -> Times {
        let ends = || self.commands.iter().filter_map(|command| command.end_ms);
        Times(ends().map(|end| end.0).max().unwrap_or(0), ends().map(|end| end.1).max().unwrap_or(0))
    }
}

/// A record of the manager, or of a child.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Message {
    /// `UNIT` if it is not the case's own; all of them if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// `MESSAGE`.
    pub msg: String,
    /// `PRIORITY`.
    pub prio: u8,
    /// `MESSAGE_ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Which of the invocations seen of that unit, 0 for none.
    #[serde(default)]
    pub inv: usize,
    /// Milliseconds since the first action.
    #[serde(default)]
    pub t_ms: Times,
    /// The event fields.
    #[serde(flatten)]
    pub fields: BTreeMap<String, String>,
}

/// What became of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Exit code as a shell has it; `None` of a file that was written, and of a command that did not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rc: Option<u8>,
    /// Standard output.
    #[serde(default)]
    pub out: String,
    /// Standard error.
    #[serde(default)]
    pub err: String,
    /// When it ended, in milliseconds since the first action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<Times>,
}

/// The earliest and the latest moment of several takes, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Times(pub u64, pub u64);

impl Times {
    /// Of one take.
    pub fn at(ms: u64) -> Self {
        Self(ms, ms)
    }

    /// Of both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0.min(other.0), self.1.max(other.1))
    }

    /// Whether some moment of the one is within a tolerance of some moment of the other.
    pub fn near(self, other: Self, tolerance: u64) -> bool {
        self.0 <= other.1.saturating_add(tolerance) && other.0 <= self.1.saturating_add(tolerance)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(from, to) if from == to => write!(f, "{from}"),
            Self(from, to) => write!(f, "{from}..{to}"),
        }
    }
}

/// A pair, or one number.
impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Times;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("milliseconds, or the earliest and the latest of them")
            }
            fn visit_u64<E: Error>(self, ms: u64) -> Result<Times, E> {
                Ok(Times::at(ms))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Times, A::Error> {
                let mut next =
                    || pair.next_element()?.ok_or_else(|| A::Error::custom("one of the two moments is missing"));
                let (from, to) = (next()?, next()?);
                Ok(Times(from, to))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A span as a JSON number of seconds, exact to the microsecond: read and written as decimals.
mod seconds {
    use super::*;

    pub(super) fn serialize<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
        let (seconds, micros) = (span.as_micros() / 1_000_000, span.as_micros() % 1_000_000);
        let text = match micros {
            0 => seconds.to_string(),
            micros => format!("{seconds}.{micros:06}"),
        };
        serde_json::from_str::<serde_json::Number>(&text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = serde_json::Number::deserialize(deserializer)?.to_string();
        Span::parse(&text).map_err(|error| D::Error::custom(format!("`{text}` is no number of seconds: {error}")))
    }
}
