//! What the journal says of a unit: starts, ends, refusals, and the words of the program itself.
//!
//! systemd's messages are told by their `MESSAGE_ID` and their own fields, never by their text, and only where PID 1 or
//! a user's manager wrote them: what an application quotes is not systemd's word.

use std::collections::BTreeSet;

use super::ports::{Wanted, in_command, in_message};
use crate::journal::Record;
use crate::time::{IncidentTime, Span};

/// A bind error that a program has logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// When.
    pub at: IncidentTime,
    /// Which process said so, 0 if that is not known.
    pub pid: i32,
    /// The port and address, where it named them.
    pub wanted: Option<Wanted>,
    /// Its words.
    pub message: String,
}

/// What a journal says of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Starts.
    pub starts: Vec<IncidentTime>,
    /// `N_RESTARTS` and the moment of each scheduled restart.
    pub restarts: Vec<(IncidentTime, u32)>,
    /// How the main process ended, each time: `exited` or `killed` and the status or signal.
    pub ends: Vec<(IncidentTime, String, String)>,
    /// Ends that systemd calls a success.
    pub successes: Vec<IncidentTime>,
    /// `UNIT_RESULT` of the last failure.
    pub result: Option<String>,
    /// When its start limit refused a start for the last time.
    pub limited: Option<IncidentTime>,
    /// A process that systemd found left over in the unit's own control group: its PID.
    pub left_over: Option<i32>,
    /// Bind errors.
    pub bind_errors: Vec<BindError>,
    /// The last words of programs about a PID file, a lock or an instance that is there already.
    pub already_running: Option<(IncidentTime, String)>,
    /// Ports that the command lines of its processes named.
    pub ports: Vec<Wanted>,
    /// The last lines of its programs, the oldest first.
    pub last_words: Vec<String>,
    /// How many records there were.
    pub records: usize,
}

const STARTED: &str = "39f53479d3a045ac8e11786248231fbf";
const RESTART_SCHEDULED: &str = "5eb03494b6584870a536b337290809b3";
const PROCESS_EXIT: &str = "98e322203f7a4ed290d09fe03c09fe15";
const FAILURE_RESULT: &str = "d9b373ed55a64feb8242e02dbe79a49c";
const SUCCESS: &str = "7ad2d189f7e94e70a38c781354912448";
/// systemd's words when a start limit is hit; they have no MESSAGE_ID.
const LIMITED: &str = ": Start request repeated too quickly.";
const LEFT_OVER: &str = ": Found left-over process ";

/// Words of programs that do not start because of a file, not of a port.
const ALREADY_RUNNING: [&str; 9] = [
    "already running",
    "already started",
    "pid file",
    "pidfile",
    ".pid",
    "lock file",
    "lockfile",
    "could not lock",
    "another instance",
];

/// So many of a program's last lines are kept, and so much of each.
const LAST_WORDS: usize = 6;
const LONGEST: usize = 500;
/// More command lines than that are not looked into.
const COMMAND_LINES: usize = 16;

/// Reads records of one unit, in the order of the journal.
pub fn digest<'a>(unit: &str, records: impl IntoIterator<Item = &'a Record>) -> Digest {
    let mut digest = Digest::default();
    let mut command_lines = BTreeSet::new();
    for record in records {
        digest.records += 1;
        if is_managers(record) {
            if [record.get("UNIT"), record.get("USER_UNIT")].contains(&Some(unit)) {
                digest.managers_word(unit, record);
            }
        } else {
            digest.programs_word(record);
            if let Some(line) = record.get("_CMDLINE")
                && command_lines.len() < COMMAND_LINES
            {
                command_lines.insert(line.to_owned());
            }
        }
    }
    for line in command_lines {
        let words: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
        for wanted in in_command(&words) {
            if !digest.ports.iter().any(|known| known.port == wanted.port) {
                digest.ports.push(wanted);
            }
        }
    }
    digest
}

/// Fields that begin with an underscore are the journal's own word.
fn is_managers(record: &Record) -> bool {
    record.get("_PID") == Some("1")
        || (record.get("_COMM") == Some("systemd") && record.get("SYSLOG_IDENTIFIER") == Some("systemd"))
}

impl Digest {
    fn managers_word(&mut self, unit: &str, record: &Record) {
        let at = record.realtime;
        let own = |name: &str| record.get(name).unwrap_or_default().to_owned();
        match record.get("MESSAGE_ID") {
            Some(STARTED) if record.get("JOB_RESULT") == Some("done") => self.starts.push(at),
            Some(RESTART_SCHEDULED) => {
                self.restarts.push((at, record.get("N_RESTARTS").and_then(|n| n.parse().ok()).unwrap_or(0)));
            }
            // Of the main process, or of one that goes before it and whose failure is that of the start.
            Some(PROCESS_EXIT) => self.ends.push((at, own("EXIT_CODE"), own("EXIT_STATUS"))),
            Some(SUCCESS) => self.successes.push(at),
            Some(FAILURE_RESULT) => self.result = Some(own("UNIT_RESULT")),
            _ => {
                let message = record.message();
                let Some(rest) = message.strip_prefix(unit) else {
                    self.bind_error(record, &message);
                    return;
                };
                if rest == LIMITED {
                    self.limited = Some(at);
                } else if let Some(rest) = rest.strip_prefix(LEFT_OVER) {
                    self.left_over = rest.split(' ').next().and_then(|pid| pid.parse().ok());
                } else {
                    self.bind_error(record, rest);
                }
            }
        }
    }

    fn programs_word(&mut self, record: &Record) {
        let message = record.message();
        let message: String = message.chars().take(LONGEST).collect();
        self.bind_error(record, &message);
        let lower = message.to_ascii_lowercase();
        if ALREADY_RUNNING.iter().any(|words| lower.contains(words)) {
            self.already_running = Some((record.realtime, message.clone()));
        }
        if !message.trim().is_empty() {
            if self.last_words.len() == LAST_WORDS {
                self.last_words.remove(0);
            }
            self.last_words.push(message);
        }
    }

    fn bind_error(&mut self, record: &Record, message: &str) {
        if let Some(wanted) = in_message(message) {
            let pid = record.get("_PID").and_then(|pid| pid.parse().ok()).unwrap_or(0);
            self.bind_errors.push(BindError { at: record.realtime, pid, wanted, message: message.trim().to_owned() });
        }
    }

    /// From one start to the next: the shortest, the median, the longest. Of the last runs that were restarted by
    /// themselves; `None` with fewer than two of them.
    pub fn period(&self) -> Option<(Span, Span, Span)> {
        let moments = self.cycle();
        let mut gaps: Vec<Span> = moments.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        gaps.sort_unstable();
        Some((*gaps.first()?, *gaps.get(gaps.len() / 2)?, *gaps.last()?))
    }

    /// The moments of the last chain of restarts: the counter goes up by one from each to the next.
    fn cycle(&self) -> Vec<IncidentTime> {
        let mut chain: Vec<IncidentTime> = Vec::new();
        let mut last = None;
        for (at, count) in &self.restarts {
            if last.is_some_and(|last: u32| *count != last.saturating_add(1)) {
                chain.clear();
            }
            last = Some(*count);
            chain.push(*at);
        }
        chain
    }

    /// From a start to its end: the median.
    pub fn attempt(&self) -> Option<Span> {
        let ends: Vec<IncidentTime> =
            self.ends.iter().map(|(at, _, _)| *at).chain(self.successes.iter().copied()).collect();
        let next = |start: &IncidentTime| ends.iter().filter(|end| *end >= start).min().map(|end| end.since(*start));
        let mut attempts: Vec<Span> = self.starts.iter().filter_map(next).collect();
        attempts.sort_unstable();
        attempts.get(attempts.len() / 2).copied()
    }

    /// Whether each wait was at least as long as the one before, but for the quarter of a second to which systemd's
    /// timers are exact, and the last at least twice the first.
    pub fn is_growing(&self) -> bool {
        const ACCURACY: Span = Span::from_millis(500);
        let gaps: Vec<Span> = self.cycle().windows(2).map(|pair| pair[1].since(pair[0])).collect();
        let rises = gaps.windows(2).all(|pair| pair[1].saturating_add(ACCURACY) >= pair[0]);
        match (gaps.first(), gaps.last()) {
            (Some(first), Some(last)) if gaps.len() >= 3 => rises && *last >= first.saturating_mul(2),
            _ => false,
        }
    }

    /// The first start of the last chain.
    pub fn first(&self) -> Option<IncidentTime> {
        let first = self.cycle().first().copied()?;
        // The one before the first scheduled restart is where it began.
        Some(self.starts.iter().rev().find(|start| **start < first).copied().unwrap_or(first))
    }

    /// The lines that say why: bind errors, else words about another instance, else the last ones.
    pub fn errors(&self) -> Vec<String> {
        if let Some(error) = self.bind_errors.last() {
            return vec![error.message.clone()];
        }
        match &self.already_running {
            Some((_, message)) => vec![message.clone()],
            None => self.last_words.clone(),
        }
    }
}
