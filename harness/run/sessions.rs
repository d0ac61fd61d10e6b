//! The sessions of `systemctl`, `journalctl` and `systemd-escape`: commands that the run answers, some of which take
//! incident time.

use super::Fault;
use super::incident::Incident;
use super::machine::{Machinery, View};
use super::tree::{Origin, ProcessId, comm_of};
use crate::control::Answer;
use crate::ctl::journalctl::Journalctl;
use crate::ctl::systemctl::{Step, Systemctl};
use crate::ctl::{self, JobInfo, Output, UnitProcess, Unmet};
use crate::journal::{Journal, Machine};
use crate::manager::{Input, JobId, JobResult};
use crate::time::IncidentTime;
use crate::unit::{Files, Profile};

/// A command that has not ended yet.
pub(super) enum Session {
    /// `systemctl`: asks the manager, waits for jobs.
    Systemctl(Box<Systemctl>),
    /// `journalctl -f`: shows what comes.
    Follow(Box<Journalctl>),
}

/// What `systemctl` can look at.
struct MachineView<'a> {
    now: IncidentTime,
    machinery: &'a Machinery,
    host: View<'a>,
}

impl ctl::View for MachineView<'_> {
    fn now(&self) -> IncidentTime {
        self.now
    }

    fn machine(&self) -> &Machine {
        &self.machinery.machine
    }

    fn files(&self) -> &Files {
        &self.machinery.files
    }

    fn journal(&self) -> &Journal {
        &self.machinery.journal
    }

    fn units(&self) -> Vec<String> {
        self.machinery.manager.units().into_iter().map(|row| row.name).collect()
    }

    fn jobs(&self) -> Vec<JobInfo> {
        self.machinery
            .manager
            .jobs()
            .into_iter()
            .map(|row| JobInfo {
                id: row.id,
                unit: row.unit,
                job_type: row.kind.to_owned(),
                state: row.state.to_owned(),
            })
            .collect()
    }

    fn properties(&self, unit: &str) -> Vec<(&'static str, String)> {
        self.machinery.manager.properties(&self.host, unit).unwrap_or_default()
    }

    fn processes(&self, unit: &str) -> Vec<UnitProcess> {
        let mut rows: Vec<UnitProcess> = self
            .host
            .tree
            .alive()
            .filter(|process| matches!(&process.origin, Origin::Unit { unit: u, .. } if u == unit))
            .filter_map(|process| {
                let mut argv = self.host.tree.current_argv(process);
                let mut comm = self.host.tree.comm(process);
                if argv.is_empty() {
                    // It is being reaped: the kernel has no arguments of it any more, but the run knows the last.
                    argv.clone_from(&process.argv);
                }
                if comm.is_empty() {
                    comm = comm_of(&argv);
                }
                let mapping = &self.host.layout.mapping;
                let words: Vec<String> = argv.iter().map(|word| mapping.to_incident(word)).collect();
                let cmdline = ctl::quoted(&words);
                Some(UnitProcess { pid: process.pid?, comm, cmdline })
            })
            .collect();
        let children = self.machinery.manager.waiting_children(unit).into_iter();
        rows.extend(children.map(|(pid, comm)| UnitProcess {
            pid,
            cmdline: ctl::quoted(std::slice::from_ref(&comm)),
            comm,
        }));
        rows.sort_by_key(|row| row.pid);
        rows
    }

    fn profile(&self) -> Profile {
        self.machinery.profile
    }

    fn unmet(&self, unit: &str) -> Vec<Unmet> {
        self.machinery
            .manager
            .unmet(unit)
            .into_iter()
            .map(|condition| Unmet {
                key: condition.key,
                trigger: condition.trigger,
                negate: condition.negate,
                parameter: condition.parameter,
            })
            .collect()
    }
}

impl Incident {
    /// Lets commands go on that wait for the manager or the journal.
    pub(super) fn progress_sessions(&mut self) -> Result<(), Fault> {
        let waiting: Vec<ProcessId> = self.waiting.iter().copied().collect();
        for id in waiting {
            self.drive(id)?;
        }
        Ok(())
    }

    pub(super) fn begin_session(&mut self, id: ProcessId, argv: &[String], utf8: bool) -> Result<(), Fault> {
        let now = self.now();
        let profile = self.machinery.profile;
        let args = argv.get(1..).unwrap_or_default();
        match argv.first().map(String::as_str) {
            Some("journalctl") => match Journalctl::new(args, profile, now, &self.machinery.journal) {
                Err(output) => self.print(id, output, false),
                Ok(mut session) => {
                    let output = session.run(&self.machinery.journal);
                    let follows = session.follows();
                    if follows {
                        self.sessions.insert(id, Session::Follow(Box::new(session)));
                    }
                    self.print(id, output, follows)
                }
            },
            Some("systemctl") => {
                // It looks at the unit directories itself, too.
                self.refresh_files()?;
                let session = Systemctl::new(args, profile);
                let session = if utf8 { session } else { session.in_ascii() };
                self.sessions.insert(id, Session::Systemctl(Box::new(session)));
                self.drive(id)
            }
            Some("systemd-escape") => self.print(id, ctl::escape::run(args, profile), false),
            other => {
                let stderr =
                    format!("{}: the run does not know this command\n", other.unwrap_or_default()).into_bytes();
                self.print(id, Output { stderr, code: 127, ..Output::default() }, false)
            }
        }
    }

    /// Every session is told of every job; each knows its own.
    pub(super) fn job_removed(&mut self, job: JobId, unit: &str, result: JobResult) {
        for session in self.sessions.values_mut() {
            if let Session::Systemctl(session) = session {
                session.job_removed(job, unit, result);
            }
        }
    }

    /// Goes on with a session as far as it goes.
    pub(super) fn drive(&mut self, id: ProcessId) -> Result<(), Fault> {
        // Not by itself, while it is at it.
        self.waiting.remove(&id);
        loop {
            let now = self.now();
            let step = match self.sessions.get_mut(&id) {
                None => return Ok(()),
                Some(Session::Follow(session)) => {
                    let stdout = session.more(&self.machinery.journal);
                    if stdout.is_empty() {
                        self.waiting.insert(id);
                        return Ok(());
                    }
                    return self.print(id, Output { stdout, ..Output::default() }, true);
                }
                Some(Session::Systemctl(session)) => session.next(&MachineView {
                    now,
                    machinery: &self.machinery,
                    host: View {
                        tree: &self.tree,
                        layout: &self.layout,
                        files: &self.machinery.files,
                        files_revision: self.machinery.files_revision,
                        spent: &self.machinery.spent,
                        pids: &self.pids,
                        unknown_accounts: &self.machinery.unknown_accounts,
                        machine: &self.machinery.machine,
                    },
                }),
            };
            match step {
                Step::Ask(request) => {
                    let number = self.machinery.next_request;
                    self.machinery.next_request += 1;
                    self.input(Input::Request { id: number, request })?;
                    let reply = self.machinery.replies.remove(&number);
                    if let (Some(reply), Some(Session::Systemctl(session))) = (reply, self.sessions.get_mut(&id)) {
                        session.answer(reply);
                    }
                }
                Step::WaitJobs(_) => {
                    self.waiting.insert(id);
                    return Ok(());
                }
                Step::Exit(output) => {
                    self.sessions.remove(&id);
                    return self.print(id, output, false);
                }
            }
        }
    }

    fn print(&mut self, id: ProcessId, output: Output, more: bool) -> Result<(), Fault> {
        let now = self.now();
        let Output { stdout, stderr, code } = output;
        let answer = Answer::Output { stdout, stderr, code, more, now };
        if self.signals_sent {
            self.signalled.push((id, answer));
            return Ok(());
        }
        self.tree.answer(id, answer)
    }
}
