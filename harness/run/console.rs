//! What an operator types: run by /bin/sh, with our commands first in PATH.

use std::collections::BTreeMap;

use super::Fault;
use super::incident::{Incident, Reached};
use crate::control::Status;
use crate::mapping::KILL_FUNCTION;
use crate::time::IncidentTime;

/// What a command has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandOutcome {
    /// Standard output and error, in incident coordinates.
    pub(super) output: String,
    /// Exit status as the shell shows it.
    pub(super) status: u8,
}

impl Incident {
    /// Runs a command to its end; background processes it leaves go on.
    pub(super) fn command(
        &mut self,
        number: u32,
        text: &str,
        directory: &str,
        variables: &BTreeMap<String, String>,
        budget: IncidentTime,
    ) -> Result<Option<CommandOutcome>, Fault> {
        self.begin_command(number, text, directory, variables)?;
        let reached = self.run_until(budget, |incident| incident.commands.contains_key(&number))?;
        if reached == Reached::Limit {
            return Ok(None);
        }
        let status = self.commands.get(&number).copied();
        self.command_outcome(number, status).map(Some)
    }

    /// Starts a command.
    pub(super) fn begin_command(
        &mut self,
        number: u32,
        text: &str,
        directory: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), Fault> {
        let script = self.tree.script_for(number)?;
        std::fs::write(&script, format!("{KILL_FUNCTION}{}\n", self.layout.mapping.to_host(text)))?;
        let mut environment: Vec<(String, String)> = vec![
            ("PATH".into(), self.layout.path_variable("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")),
            ("HOME".into(), self.layout.resolve(directory).to_string_lossy().into_owned()),
            ("USER".into(), self.console_user.clone()),
            ("LANG".into(), "C.UTF-8".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
            ("TZ".into(), "UTC".into()),
        ];
        environment.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.start_command(number, &script, directory, environment)
    }

    /// What a command has done, now that it has ended.
    pub(super) fn command_outcome(&mut self, number: u32, status: Option<Status>) -> Result<CommandOutcome, Fault> {
        let status = match status {
            Some(Status::Code(code)) => code,
            Some(Status::Signal(signal) | Status::Dumped(signal)) => u8::try_from(128 + signal).unwrap_or(255),
            None => 255,
        };
        let (bytes, script) = self.tree.written_by(number)?;
        if self.commands.contains_key(&number) && self.clock.is_virtual() {
            // Under a wall clock there may be processes of its that nobody has seen yet.
            self.tree.leave_stream(number);
        }
        let script_name = script.to_string_lossy();
        // The shell names its script in its own error messages; an interactive one says `bash`.
        let text = String::from_utf8_lossy(&bytes).replace(&format!("{script_name}: "), "bash: ");
        Ok(CommandOutcome { output: self.layout.mapping.to_incident(&text), status })
    }
}
