//! What a scenario is played on: the embedded manager's incident, or a machine with a systemd of its own.

use std::collections::BTreeMap;

use super::Fault;
use super::console::CommandOutcome;
use super::incident::{Incident, Reached, StandIn};
use crate::control::{ENV_CHILD, ServerRole};
use crate::sys::process;
use crate::time::{IncidentTime, Span};
use crate::timeline::{EventKind, Timeline};

/// Where the blocks of a scenario act, and what has happened there.
pub(super) trait Stage {
    fn now(&mut self) -> IncidentTime;

    fn is_virtual(&self) -> bool;

    /// What upper bounds in time are allowed beyond their word.
    fn slack(&self) -> Span {
        Span::ZERO
    }

    /// Whether PIDs, moments and counts in what commands print are those of the scenario.
    fn prints_to_the_letter(&self) -> bool {
        true
    }

    fn timeline(&self) -> &Timeline;

    fn event(&mut self, kind: EventKind);

    /// Describes a program, which is installed at these paths.
    fn describe(&mut self, stand_in: StandIn, paths: &[String]) -> Result<(), Fault>;

    fn write_unit(&mut self, path: &str, text: &str) -> Result<(), Fault>;

    fn write_file(&mut self, path: &str, text: &str, is_shell: bool) -> Result<(), Fault>;

    /// Lets the incident go on until that moment.
    fn wait_until(&mut self, at: IncidentTime) -> Result<(), Fault>;

    /// The present, once everything that happened up to it is in the timeline.
    fn settle(&mut self) -> Result<IncidentTime, Fault>;

    /// Lets the incident go on until the goal is reached, or the limit in time.
    fn go_on(&mut self, limit: IncidentTime, goal: &mut dyn FnMut(&Timeline) -> bool) -> Result<Reached, Fault>;

    /// Runs an operator's command to its end; `None` if it has none within its budget.
    fn command(
        &mut self,
        number: u32,
        text: &str,
        directory: &str,
        variables: &BTreeMap<String, String>,
        budget: IncidentTime,
    ) -> Result<Option<CommandOutcome>, Fault>;
}

/// A later description of the same program goes on where the earlier one was.
pub(super) fn describe(known: &mut Vec<StandIn>, new: StandIn) {
    match known.iter_mut().find(|stand_in| stand_in.role.name == new.role.name) {
        Some(old) => *old = StandIn { starts: old.starts, ..new },
        None => known.push(new),
    }
}

/// Whether a command line means a stand-in.
pub(super) fn means_stand_in(known: &[StandIn], argv: &[String]) -> bool {
    known.iter().any(|stand_in| stand_in.is_meant(argv))
}

/// The stand-in that a command line means, with the start-up time that is due to the process `host`. A child of a stand-in
/// has been started with it.
pub(super) fn due(known: &mut [StandIn], argv: &[String], host: i32) -> Option<ServerRole> {
    let stand_in = known.iter_mut().find(|stand_in| stand_in.is_meant(argv))?;
    let mut role = stand_in.role.clone();
    if role.child && process::environment(host, ENV_CHILD).is_some() {
        return Some(role);
    }
    if let Some(span) = stand_in.startup.get(stand_in.starts).or(stand_in.startup.last()) {
        role.startup = *span;
    }
    stand_in.starts += 1;
    Some(role)
}

impl Stage for Incident {
    fn now(&mut self) -> IncidentTime {
        self.now()
    }

    fn is_virtual(&self) -> bool {
        self.clock.is_virtual()
    }

    fn prints_to_the_letter(&self) -> bool {
        // A real program takes the time it takes, and the kernel's PIDs are what they are.
        self.real.is_empty() && !self.layout.is_literal()
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn event(&mut self, kind: EventKind) {
        self.event(kind);
    }

    fn describe(&mut self, stand_in: StandIn, paths: &[String]) -> Result<(), Fault> {
        describe(&mut self.stand_ins, stand_in);
        for path in paths {
            self.layout.install(path)?;
        }
        Ok(())
    }

    fn write_unit(&mut self, path: &str, text: &str) -> Result<(), Fault> {
        Ok(self.layout.write(path, text.as_bytes())?)
    }

    fn write_file(&mut self, path: &str, text: &str, is_shell: bool) -> Result<(), Fault> {
        self.write_file(path, text, is_shell)
    }

    fn wait_until(&mut self, at: IncidentTime) -> Result<(), Fault> {
        self.run_until(at, |_| false).map(drop)
    }

    fn settle(&mut self) -> Result<IncidentTime, Fault> {
        Ok(self.now())
    }

    fn go_on(&mut self, limit: IncidentTime, goal: &mut dyn FnMut(&Timeline) -> bool) -> Result<Reached, Fault> {
        self.run_until(limit, |incident| goal(&incident.timeline))
    }

    fn command(
        &mut self,
        number: u32,
        text: &str,
        directory: &str,
        variables: &BTreeMap<String, String>,
        budget: IncidentTime,
    ) -> Result<Option<CommandOutcome>, Fault> {
        self.command(number, text, directory, variables, budget)
    }
}
