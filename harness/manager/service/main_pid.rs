//! Which process is the main one of a service that forks (PIDFile=, GuessMainPID=).

use super::super::catalog::level;
use super::super::interface::Pid;
use super::super::loaded::UnitId;
use super::super::states::{ServiceResult, ServiceState};
use super::super::step::Step;
use crate::unit::{Errno, Service};

impl Step<'_> {
    /// The starter of a forking service has ended well.
    pub(super) fn forked(&mut self, unit: UnitId, config: &Service) {
        if config.pid_file.is_some() {
            // The file may well be written by ExecStartPost= only.
            let last_chance = config.exec_start_post.is_empty();
            if self.load_pid_file(unit, last_chance).is_err() && last_chance {
                if self.has_processes(unit) {
                    self.await_pid_file(unit);
                } else {
                    self.await_pid_file(unit);
                    self.enter_signal(unit, ServiceState::StopSigterm, ServiceResult::Protocol);
                }
                return;
            }
        } else {
            self.search_main_pid(unit, config);
        }
        self.enter_start_post(unit);
    }

    /// ExecStartPost= is done.
    pub(super) fn start_post_done(&mut self, unit: UnitId, config: &Service) {
        if config.pid_file.is_some() {
            if self.load_pid_file(unit, true).is_err() {
                self.await_pid_file(unit);
                if !self.has_processes(unit) {
                    self.enter_stop(unit, ServiceResult::Protocol);
                }
                return;
            }
        } else {
            self.search_main_pid(unit, config);
        }
        self.enter_running(unit, ServiceResult::Success);
    }

    fn await_pid_file(&mut self, unit: UnitId) {
        if !std::mem::replace(&mut self.unit_mut(unit).service.awaits_pid_file, true) {
            self.m.awaiting_pid_file.push(unit);
        }
    }

    /// Looks again for the PID files that services have not written yet.
    pub(in super::super) fn look_for_pid_files(&mut self) {
        if self.m.awaiting_pid_file.is_empty() {
            return;
        }
        for unit in std::mem::take(&mut self.m.awaiting_pid_file) {
            if !self.unit(unit).service.awaits_pid_file {
                continue;
            }
            if self.load_pid_file(unit, false).is_err() {
                self.m.awaiting_pid_file.push(unit);
                continue;
            }
            self.unit_mut(unit).service.awaits_pid_file = false;
            if self.state(unit) == ServiceState::Start {
                self.enter_start_post(unit);
            } else {
                self.enter_running(unit, ServiceResult::Success);
            }
        }
    }

    /// Takes the main PID from the PID file. `Ok(true)`: it is a new one; `Ok(false)`: it was known.
    ///
    /// # Errors
    ///
    /// There is no usable PID in the file; `warn` says so in the journal.
    pub(super) fn load_pid_file(&mut self, unit: UnitId, warn: bool) -> Result<bool, ()> {
        let config = self.config(unit);
        let Some(path) = config.pid_file.as_deref() else { return Err(()) };
        let state = self.state(unit).as_str();
        let complain = |step: &mut Self, errno: Option<Errno>, text: String| {
            match errno {
                _ if !warn => {}
                Some(errno) => step.log_errno(unit, level::INFO, errno, &text),
                None => step.log(unit, level::INFO, &text),
            }
            Err(())
        };
        let Some(bytes) = self.host.read_pid_file(&self.unit(unit).name, path) else {
            let errno = Errno::ENOENT;
            let text = format!("Can't open PID file {path} (yet?) after {state}: {errno}");
            return complain(self, Some(errno), text);
        };
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().next().unwrap_or_default().trim();
        let Some(pid) = parse_pid(line) else {
            let errno = Errno::EINVAL;
            return complain(self, Some(errno), format!("Failed to parse PID from file {path}: {errno}"));
        };
        let run = &self.unit(unit).service;
        if run.main_pid_known && run.main_pid == pid {
            return Ok(false);
        }
        // One that is not the service's own is taken because the file is root's, as all files are here.
        match self.refuse_main_pid(unit, pid) {
            Some(refusal) => complain(self, None, refusal),
            None => {
                self.adopt_main_pid(unit, pid);
                Ok(true)
            }
        }
    }

    /// Why a process cannot become the main one, if it cannot.
    pub(super) fn refuse_main_pid(&self, unit: UnitId, pid: Pid) -> Option<String> {
        if pid == 1 {
            Some(format!("New main PID {pid} is the manager, refusing."))
        } else if pid == self.unit(unit).service.control_pid {
            Some(format!("New main PID {pid} is the control process, refusing."))
        } else if !self.host.is_alive(pid) {
            Some(format!("New main PID {pid} does not exist or is a zombie."))
        } else {
            None
        }
    }

    /// Takes a process that somebody has named as the main one.
    pub(super) fn adopt_main_pid(&mut self, unit: UnitId, pid: Pid) {
        let processes = self.host.processes(&self.unit(unit).name);
        let alien = !processes.iter().any(|process| process.pid == pid && process.parent == 1);
        self.set_main_pid(unit, pid, alien);
        if alien {
            let text = format!(
                "Supervising process {pid} which is not our child. We'll most likely not notice when it exits."
            );
            self.log(unit, level::WARNING, &text);
        }
    }

    /// Guesses the main process: the only one that was left to the manager.
    pub(super) fn search_main_pid(&mut self, unit: UnitId, config: &Service) {
        if self.unit(unit).service.main_pid_known || !config.guess_main_pid {
            return;
        }
        let processes = self.host.processes(&self.unit(unit).name);
        let mut orphans = processes.iter().filter(|process| process.parent == 1);
        if let (Some(only), None) = (orphans.next(), orphans.next()) {
            self.set_main_pid(unit, only.pid, false);
        }
    }
}

/// A PID as systemd reads it.
pub(super) fn parse_pid(text: &str) -> Option<Pid> {
    text.trim().parse::<Pid>().ok().filter(|pid| *pid > 0 && i32::try_from(*pid).is_ok())
}
