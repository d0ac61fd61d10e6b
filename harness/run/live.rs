//! A machine under the caller's hand: the same real processes and the same manager as a scenario's, but what happens
//! next is said from Rust, command by command.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::incident::Incident;
use super::{FIRST_PID, Fault, Options, setup};
use crate::control::Status;
use crate::journal::Journal;
use crate::time::{IncidentTime, Span};
use crate::timeline::Timeline;
use crate::unit::Profile;

/// What the machine is like.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whose words and rules the manager follows.
    pub profile: Profile,
    /// The incident time at which it is handed over; it was booted an hour before.
    pub start: IncidentTime,
    /// Where in each 250 ms the manager's timers fire.
    pub timer_phase: Span,
    /// Its name.
    pub hostname: String,
    /// Directories that are its own, not the host's, with all that is below them. They are made.
    pub directories: Vec<String>,
    /// Ports that the machine's programs, units and commands use: a free one of the host stands for each.
    pub ports: BTreeSet<u16>,
    /// Users and groups that do not exist; every other one does.
    pub unknown_accounts: BTreeSet<String>,
}

/// Numbers the commands in the order in which they were entered, from 1.
pub type CommandId = u32;

/// A command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedCommand {
    /// Which.
    pub id: CommandId,
    /// When.
    pub at: IncidentTime,
    /// Exit status as a shell shows it.
    pub status: u8,
    /// Standard output and error, in incident coordinates.
    pub output: String,
}

/// A running machine. Dropping it kills every process of it.
///
/// ```no_run
/// # use relapse::run::{Live, LiveSetup, Options};
/// # use relapse::time::{IncidentTime, Span};
/// # fn main() -> Result<(), relapse::Fault> {
/// # let start = IncidentTime::from_micros(1_768_521_600_000_000);
/// # let setup = LiveSetup {
/// #     profile: relapse::unit::Profile::V252,
/// #     start,
/// #     timer_phase: Span::ZERO,
/// #     hostname: "web1".to_owned(),
/// #     directories: Vec::new(),
/// #     ports: Default::default(),
/// #     unknown_accounts: Default::default(),
/// # };
/// let mut live = Live::boot(setup, &Options::default())?;
/// live.write("/etc/systemd/system/a.service", "[Service]\nExecStart=/bin/sleep 1\nRestart=always\n")?;
/// live.enter("systemctl start a.service")?;
/// let ended = live.run_until(start + Span::from_secs(10))?;
/// assert_eq!(ended[0].status, 0);
/// live.end()?;
/// # Ok(()) }
/// ```
pub struct Live {
    incident: Incident,
    directory: String,
    /// Commands that have not ended.
    open: BTreeSet<CommandId>,
    last: CommandId,
    keep: bool,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("directory", &self.incident.layout.directory).finish_non_exhaustive()
    }
}

impl Live {
    /// Boots a machine. Of the options `clock`, `helper`, `keep`, `stall` and `cancel` count.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if its directory, its guard or its manager cannot begin.
    pub fn boot(setup: Setup, options: &Options) -> Result<Live, Fault> {
        let executable: PathBuf = setup::helper(options.helper.as_deref())?;
        let mut own: Vec<String> =
            ["/etc/systemd", "/run/systemd", "/var/log", "/home"].iter().map(|&path| path.to_owned()).collect();
        own.extend(setup.directories.iter().cloned());
        let mut incident = Incident::begin(
            setup::Setup {
                clock: options.clock,
                start: setup.start,
                profile: setup.profile,
                timer_phase: setup.timer_phase,
                hostname: setup.hostname,
                first_pid: FIRST_PID,
                ports: setup.ports,
                stand_ins: Vec::new(),
                executables: Vec::new(),
                own_paths: own,
                directories: setup.directories,
                client: None,
                console_user: "root".to_owned(),
                stall: options.stall,
                cancel: options.cancel.clone(),
                literal: false,
            },
            executable,
        )?;
        incident.machinery.unknown_accounts = setup.unknown_accounts;
        Ok(Live { incident, directory: "/home".to_owned(), open: BTreeSet::new(), last: 0, keep: options.keep })
    }

    /// The incident time.
    pub fn now(&mut self) -> IncidentTime {
        self.incident.now()
    }

    /// Writes a file of the machine's own, executable if it begins with `#!`. Paths in a script are mapped.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn write(&mut self, path: &str, text: &str) -> Result<(), Fault> {
        self.incident.write_file(path, text, false)
    }

    /// The content of a file, `None` if it cannot be read. Paths in it are the incident's.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.incident.layout.read(path)
    }

    /// Enters a command at a console of its own, without waiting for its end. It is run by `/bin/sh` with the commands
    /// of a run first in PATH; nothing of it has happened before [`Live::run_until`].
    ///
    /// # Errors
    ///
    /// A [`Fault`] if the shell cannot be started.
    pub fn enter(&mut self, command: &str) -> Result<CommandId, Fault> {
        self.last += 1;
        self.incident.begin_command(self.last, command, &self.directory, &BTreeMap::new())?;
        self.open.insert(self.last);
        Ok(self.last)
    }

    /// Lets everything go on up to and including a moment; the commands that have ended by then, in the order of their
    /// ends.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if a process does not come back, or sleeps on a timer of its own.
    pub fn run_until(&mut self, moment: IncidentTime) -> Result<Vec<EndedCommand>, Fault> {
        let mut ended = Vec::new();
        let mut ends: Vec<(CommandId, IncidentTime, Status)> = Vec::new();
        let open = &mut self.open;
        self.incident.run_until(moment, |incident| {
            let now = incident.now();
            let over = open.iter().filter_map(|id| Some((*id, now, *incident.commands.get(id)?)));
            let new: Vec<_> = over.filter(|(id, ..)| ends.iter().all(|(known, ..)| known != id)).collect();
            ends.extend(new);
            false
        })?;
        for (id, at, status) in ends {
            self.open.remove(&id);
            let outcome = self.incident.command_outcome(id, Some(status))?;
            ended.push(EndedCommand { id, at, status: outcome.status, output: outcome.output });
        }
        Ok(ended)
    }

    /// Everything that was logged.
    pub fn journal(&self) -> &Journal {
        &self.incident.machinery.journal
    }

    /// Everything that happened.
    pub fn timeline(&self) -> &Timeline {
        &self.incident.timeline
    }

    /// Kills what is left and removes the machine's directory, unless it is kept.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if the guard did not confirm it.
    pub fn end(self) -> Result<(), Fault> {
        self.incident.end(self.keep)
    }
}
