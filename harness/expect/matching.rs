//! Which events of the timeline an event of a claim means.

use std::collections::BTreeMap;

use super::claim::{Act, EventPattern, Subject};
use crate::timeline::{Ended, Event, EventKind};

/// MESSAGE_ID of "Scheduled restart job" (systemd.journal-fields(7); the catalogue's `UNIT_RESTART_SCHEDULED`).
const RESTART_SCHEDULED: &str = "5eb03494b6584870a536b337290809b3";

/// The Exec list whose processes are a unit's main process.
const MAIN: &str = "ExecStart";

/// Whose events are meant, with names resolved.
enum Whose<'a> {
    Unit(&'a str),
    Process(Option<u32>),
}

impl Whose<'_> {
    /// Whether a process of this unit (or this one) did it.
    fn did(&self, unit: Option<&str>, pid: Option<u32>) -> bool {
        match self {
            Whose::Unit(name) => unit == Some(*name),
            Whose::Process(process) => process.is_some() && pid == *process,
        }
    }

    /// As [`Whose::did`], of a unit's main process only.
    fn did_as_main(&self, unit: Option<&str>, role: Option<&str>, pid: u32) -> bool {
        self.did(unit, Some(pid)) && (matches!(self, Whose::Process(_)) || role == Some(MAIN))
    }

    fn is_unit(&self, unit: Option<&str>) -> bool {
        matches!(self, Whose::Unit(name) if unit == Some(*name))
    }
}

/// Whether the event is what the pattern means. `unit` is the scenario's unit, `vars` what the console bound.
pub(super) fn matches(pattern: &EventPattern, event: &Event, unit: &str, vars: &BTreeMap<String, String>) -> bool {
    let whose = match &pattern.subject {
        Subject::Default => Whose::Unit(unit),
        Subject::Unit(name) => Whose::Unit(name),
        Subject::Var(var) => Whose::Process(vars.get(&var.name).and_then(|pid| pid.parse().ok())),
    };
    match (&pattern.act, &event.kind) {
        (Act::Log(text), EventKind::Log { unit, pid, line, .. }) => {
            whose.did(unit.as_deref(), *pid) && text.matches(line)
        }
        (Act::Start, EventKind::Start { unit, role, pid, .. }) => {
            whose.did_as_main(unit.as_deref(), role.as_deref(), *pid)
        }
        (Act::Exit(code), EventKind::Exit { unit, role, pid, ended }) => {
            *ended == Ended::Exited(*code) && whose.did_as_main(unit.as_deref(), role.as_deref(), *pid)
        }
        (Act::Killed(signal), EventKind::Exit { unit, role, pid, ended }) => {
            matches!(ended, Ended::Killed(by) | Ended::Dumped(by) if by == signal)
                && whose.did_as_main(unit.as_deref(), role.as_deref(), *pid)
        }
        (Act::Listening(asked), EventKind::Listening { unit, pid, port, .. })
        | (Act::Refused(asked), EventKind::Refused { unit, pid, port, .. }) => {
            port == asked && whose.did(unit.as_deref(), Some(*pid))
        }
        (Act::RestartIn(span), EventKind::RestartIn { unit, delay }) => delay == span && whose.is_unit(Some(unit)),
        (Act::RestartScheduled, EventKind::Journal { unit, message_id, message, .. }) => {
            whose.is_unit(unit.as_deref())
                && (message_id.as_deref() == Some(RESTART_SCHEDULED) || message.contains("Scheduled restart job"))
        }
        // The limit shows in this message alone: Result= stays that of the last failure (systemd keeps the first).
        (Act::StartLimitHit, EventKind::Journal { unit, message, .. }) => {
            whose.is_unit(unit.as_deref()) && message.contains("Start request repeated too quickly")
        }
        (Act::Journal(text), EventKind::Journal { unit, message, .. }) => {
            whose.is_unit(unit.as_deref()) && text.matches(message)
        }
        _ => false,
    }
}

/// Whether a unit's main process starts here: where one cycle ends and the next begins.
pub fn is_main_start(event: &Event, unit: &str) -> bool {
    matches!(&event.kind, EventKind::Start { unit: Some(of), role: Some(role), .. } if of == unit && role == MAIN)
}
