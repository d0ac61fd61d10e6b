//! Events and the timeline that holds them.

use serde::{Deserialize, Serialize};

use crate::time::{IncidentTime, Span};

/// Something that happened at a moment of the incident.
///
/// Nothing here is of the host: PIDs, ports, paths and times are incident coordinates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: IncidentTime,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// With an exit code.
    Exited(u8),
    /// By a signal (number).
    Killed(i32),
    /// By a signal, with a core dump.
    Dumped(i32),
}

/// Who answered a client's request, or why nobody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Answered with this HTTP status by the process with this PID.
    Status(u16),
    /// Nobody listened.
    Refused,
    /// No answer within the client's patience.
    Timeout,
    /// The connection broke.
    Reset,
}

impl Answer {
    /// What a client says: an HTTP status, or in a word why there is none.
    pub(crate) fn of(status: u16, error: &str) -> Answer {
        match error {
            "" => Answer::Status(status),
            "refused" => Answer::Refused,
            "timeout" => Answer::Timeout,
            _ => Answer::Reset,
        }
    }
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// A phase (H2) of the scenario begins.
    Phase {
        /// Its title.
        title: String,
    },
    /// An operator's command begins.
    Command {
        /// As typed.
        command: String,
        /// Line in the scenario file.
        line: u32,
    },
    /// An operator's command has ended.
    CommandEnded {
        /// As typed.
        command: String,
        /// Line in the scenario file.
        line: u32,
        /// Exit status as the shell shows it.
        status: u8,
    },
    /// A process exists and runs a program. For a unit's main process this is the claim event `start`.
    Start {
        /// The unit it belongs to, if any.
        unit: Option<String>,
        /// Which Exec list, `ExecStart` for the main process; `None` outside units.
        role: Option<String>,
        /// Incident PID.
        pid: u32,
        /// Parent's incident PID.
        ppid: u32,
        /// Its command line, blank separated.
        cmdline: String,
    },
    /// A process replaced its program (exec), same PID.
    Exec {
        /// Incident PID.
        pid: u32,
        /// New command line.
        cmdline: String,
    },
    /// A process ended and was reaped; its sockets are closed.
    Exit {
        /// The unit it belonged to, if any.
        unit: Option<String>,
        /// Which Exec list.
        role: Option<String>,
        /// Incident PID.
        pid: u32,
        /// How.
        ended: Ended,
    },
    /// A process wrote a line.
    Log {
        /// The unit it belongs to, if any.
        unit: Option<String>,
        /// Incident PID, if known.
        pid: Option<u32>,
        /// `stdout` for standard output and error, else the incident path of the log file.
        stream: String,
        /// The line, without its newline.
        line: String,
    },
    /// A process listens on a port.
    Listening {
        /// The unit it belongs to, if any.
        unit: Option<String>,
        /// Incident PID.
        pid: u32,
        /// Local address as bound (`0.0.0.0`, `127.0.0.1`, `::`).
        address: String,
        /// Incident port.
        port: u16,
    },
    /// A process stopped listening but lives on (its end closes its sockets without this event).
    Closed {
        /// Incident PID.
        pid: u32,
        /// Local address.
        address: String,
        /// Incident port.
        port: u16,
    },
    /// A process was refused a port.
    Refused {
        /// The unit it belongs to, if any.
        unit: Option<String>,
        /// Incident PID.
        pid: u32,
        /// Address it asked for.
        address: String,
        /// Incident port.
        port: u16,
        /// `EADDRINUSE` and so on.
        errno: String,
    },
    /// The manager wrote a record.
    Journal {
        /// The unit it is about, if any.
        unit: Option<String>,
        /// syslog priority.
        priority: u8,
        /// MESSAGE_ID, if any.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        message_id: Option<String>,
        /// MESSAGE.
        message: String,
    },
    /// Properties of a unit changed; names and values as `systemctl show` prints them.
    Properties {
        /// The unit.
        unit: String,
        /// Name → new value.
        changed: std::collections::BTreeMap<String, String>,
    },
    /// The manager armed the restart timer: `restart in SPAN`.
    RestartIn {
        /// The unit.
        unit: String,
        /// RestartSec as it applies to this restart.
        delay: Span,
    },
    /// A signal was sent.
    Signal {
        /// Sender: `kill`, `systemctl`, `manager`, ….
        by: String,
        /// Receiver's incident PID.
        pid: u32,
        /// Signal number.
        signal: i32,
    },
    /// The polling client made a request.
    Request {
        /// Incident port.
        port: u16,
        /// How it ended.
        answer: Answer,
        /// Who answered.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pid: Option<u32>,
        /// When the request was sent (the event's time is when it ended).
        sent: IncidentTime,
    },
}

/// The events of a run in order. Events of one moment keep the order in which they happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    events: Vec<Event>,
}

impl Timeline {
    /// Appends an event. Time never goes back.
    pub fn push(&mut self, at: IncidentTime, kind: EventKind) {
        debug_assert!(self.events.last().is_none_or(|last| last.at <= at), "time went back");
        self.events.push(Event { at, kind });
    }

    /// All events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// One JSON object a line (`timeline.jsonl`).
    pub fn to_jsonl(&self) -> String {
        let mut out = String::new();
        for event in &self.events {
            if let Ok(line) = serde_json::to_string(event) {
                out.push_str(&line);
                out.push('\n');
            }
        }
        out
    }
}
