//! The phases of a service's life that run commands.

use super::super::catalog::level;
use super::super::interface::ExecRole;
use super::super::load::commands;
use super::super::loaded::{NotifyState, Timer, UnitId};
use super::super::states::{ServiceResult, ServiceState};
use super::super::step::Step;
use crate::time::{IncidentTime, Span};
use crate::unit::{Errno, ExitType, KillMode, Service, ServiceType};

/// Why a service does not start next to processes that are left.
const BUSY: Errno = Errno::EBUSY;

impl Step<'_> {
    /// ExecCondition=.
    pub(super) fn enter_condition(&mut self, unit: UnitId) {
        self.forget_control(unit);
        if self.unit(unit).config.exec_condition.is_empty() {
            return self.enter_start_pre(unit);
        }
        let config = self.config(unit);
        let started = self
            .tolerates_leftovers(unit, &config)
            .and_then(|()| self.run_control(unit, ExecRole::Condition, 0, config.timeout_start_sec));
        match started {
            Ok(()) => self.set_state(unit, ServiceState::Condition),
            Err(reason) => {
                self.not_run(unit, "'exec-condition'", reason);
                self.enter_dead(unit, ServiceResult::Resources, true);
            }
        }
    }

    /// ExecStartPre=.
    pub(super) fn enter_start_pre(&mut self, unit: UnitId) {
        self.forget_control(unit);
        if self.unit(unit).config.exec_start_pre.is_empty() {
            return self.enter_start(unit);
        }
        let config = self.config(unit);
        let started = self
            .tolerates_leftovers(unit, &config)
            .and_then(|()| self.run_control(unit, ExecRole::StartPre, 0, config.timeout_start_sec));
        match started {
            Ok(()) => self.set_state(unit, ServiceState::StartPre),
            Err(reason) => {
                self.not_run(unit, "'start-pre'", reason);
                self.enter_dead(unit, ServiceResult::Resources, true);
            }
        }
    }

    /// ExecStart=.
    pub(super) fn enter_start(&mut self, unit: UnitId) {
        self.forget_control(unit);
        let config = self.config(unit);
        let started = self.tolerates_leftovers(unit, &config).and_then(|()| self.start_main(unit, &config));
        if let Err(reason) = started {
            // 257 has said already why processes that are left are in the way.
            if !(self.m.rules.new_words && reason == BUSY) {
                self.not_run(unit, "'start'", reason);
            }
            self.enter_signal(unit, ServiceState::StopSigterm, ServiceResult::Resources);
        }
    }

    fn start_main(&mut self, unit: UnitId, config: &Service) -> Result<(), Errno> {
        if config.exec_start.is_empty() {
            if config.service_type != ServiceType::Oneshot {
                return Err(Errno::ENXIO);
            }
            // Nobody must see the unit go from inactive to active without activating in between.
            self.set_state(unit, ServiceState::Start);
            self.enter_start_post(unit);
            return Ok(());
        }
        match config.service_type {
            ServiceType::Forking => {
                self.run_control(unit, ExecRole::Start, 0, config.timeout_start_sec)?;
                self.unit_mut(unit).service.main_command = None;
                self.set_state(unit, ServiceState::Start);
            }
            ServiceType::Simple | ServiceType::Idle => {
                self.run_main(unit, 0, Span::INFINITY)?;
                self.enter_start_post(unit);
            }
            ServiceType::Oneshot
            | ServiceType::Exec
            | ServiceType::Dbus
            | ServiceType::Notify
            | ServiceType::NotifyReload => {
                self.run_main(unit, 0, config.timeout_start_sec)?;
                self.set_state(unit, ServiceState::Start);
            }
        }
        Ok(())
    }

    /// ExecStartPost=.
    pub(super) fn enter_start_post(&mut self, unit: UnitId) {
        self.forget_control(unit);
        self.reset_watchdog(unit);
        if self.unit(unit).config.exec_start_post.is_empty() {
            return self.enter_running(unit, ServiceResult::Success);
        }
        let config = self.config(unit);
        match self.run_control(unit, ExecRole::StartPost, 0, config.timeout_start_sec) {
            Ok(()) => self.set_state(unit, ServiceState::StartPost),
            Err(reason) => {
                self.not_run(unit, "'start-post'", reason);
                self.enter_stop(unit, ServiceResult::Resources);
            }
        }
    }

    /// Up, if there is something left that can be up.
    pub(super) fn enter_running(&mut self, unit: UnitId, result: ServiceResult) {
        self.note_result(unit, result);
        self.forget_control(unit);
        let config = self.config(unit);
        let run = &self.unit(unit).service;
        if run.result != ServiceResult::Success {
            self.enter_signal(unit, ServiceState::StopSigterm, result);
        } else if self.is_good(unit, &config) {
            match self.unit(unit).service.notify_state {
                NotifyState::Reloading => self.enter_reload_by_notify(unit),
                NotifyState::Stopping => self.enter_stop_by_notify(unit),
                NotifyState::Unknown | NotifyState::Ready => {
                    self.set_state(unit, ServiceState::Running);
                    let since = self.unit(unit).stamps.active_enter.unwrap_or(self.now);
                    let limit = config.runtime_max_sec;
                    let deadline = if limit.is_infinite() { IncidentTime::NEVER } else { since + limit };
                    self.arm(unit, Timer::Phase, deadline);
                }
            }
        } else if config.remain_after_exit {
            self.set_state(unit, ServiceState::Exited);
        } else {
            self.enter_stop(unit, ServiceResult::Success);
        }
    }

    /// Whether the service has something that runs.
    fn is_good(&self, unit: UnitId, config: &Service) -> bool {
        match self.main_alive(unit) {
            Some(true) => true,
            Some(false) if config.exit_type == ExitType::Main => false,
            _ => self.has_processes(unit),
        }
    }

    /// ExecReload=, or the signal of Type=notify-reload.
    pub(super) fn enter_reload(&mut self, unit: UnitId) {
        self.forget_control(unit);
        let config = self.config(unit);
        let now = self.now;
        let run = &mut self.unit_mut(unit).service;
        run.reload_result = ServiceResult::Success;
        run.reload_begin = Some(now);
        let main = run.main_pid;
        let by_signal = config.service_type == ServiceType::NotifyReload && main != 0;
        if by_signal {
            self.signal_and_continue(unit, main, config.reload_signal);
        }
        if config.exec_reload.is_empty() {
            if by_signal {
                self.arm_after(unit, Timer::Phase, config.timeout_start_sec);
                self.set_state(unit, ServiceState::ReloadSignal);
            } else {
                self.enter_running(unit, ServiceResult::Success);
            }
            return;
        }
        match self.run_control(unit, ExecRole::Reload, 0, config.timeout_start_sec) {
            Ok(()) => self.set_state(unit, ServiceState::Reload),
            Err(reason) => {
                self.not_run(unit, "'reload'", reason);
                self.reload_failed(unit, ServiceResult::Resources);
            }
        }
    }

    /// ExecReloadPost=, which is there from 259 on: what has been reloaded is not done before it is.
    pub(super) fn enter_reload_post(&mut self, unit: UnitId) {
        self.forget_control(unit);
        if self.unit(unit).config.exec_reload_post.is_empty() {
            return self.enter_running(unit, ServiceResult::Success);
        }
        let timeout = self.unit(unit).config.timeout_start_sec;
        match self.run_control(unit, ExecRole::ReloadPost, 0, timeout) {
            Ok(()) => self.set_state(unit, ServiceState::ReloadPost),
            Err(reason) => {
                self.not_run(unit, "'reload-post'", reason);
                self.reload_failed(unit, ServiceResult::Resources);
            }
        }
    }

    /// The reload did not work out, which leaves the service as it was.
    pub(super) fn reload_failed(&mut self, unit: UnitId, result: ServiceResult) {
        self.unit_mut(unit).service.reload_result = result;
        self.enter_running(unit, ServiceResult::Success);
    }

    /// ExecStop=.
    pub(super) fn enter_stop(&mut self, unit: UnitId, result: ServiceResult) {
        self.note_result(unit, result);
        self.forget_control(unit);
        if self.unit(unit).config.exec_stop.is_empty() {
            return self.enter_signal(unit, ServiceState::StopSigterm, ServiceResult::Success);
        }
        let config = self.config(unit);
        match self.run_control(unit, ExecRole::Stop, 0, config.timeout_stop_sec) {
            Ok(()) => self.set_state(unit, ServiceState::Stop),
            Err(reason) => {
                self.not_run(unit, "'stop'", reason);
                self.enter_signal(unit, ServiceState::StopSigterm, ServiceResult::Resources);
            }
        }
    }

    /// ExecStopPost=.
    pub(super) fn enter_stop_post(&mut self, unit: UnitId, result: ServiceResult) {
        self.note_result(unit, result);
        self.forget_control(unit);
        if self.unit(unit).config.exec_stop_post.is_empty() {
            return self.enter_signal(unit, ServiceState::FinalSigterm, ServiceResult::Success);
        }
        let config = self.config(unit);
        match self.run_control(unit, ExecRole::StopPost, 0, config.timeout_stop_sec) {
            Ok(()) => self.set_state(unit, ServiceState::StopPost),
            Err(reason) => {
                self.not_run(unit, "'stop-post'", reason);
                self.enter_signal(unit, ServiceState::FinalSigterm, ServiceResult::Resources);
            }
        }
    }

    /// The next command of the list that the control process belongs to.
    pub(super) fn run_next_control(&mut self, unit: UnitId, role: ExecRole, index: usize) {
        self.forget_control(unit);
        let config = self.config(unit);
        let state = self.state(unit);
        let timeout = if state.is_starting() || state.is_reloading() {
            config.timeout_start_sec
        } else {
            config.timeout_stop_sec
        };
        let Err(reason) = self.run_control(unit, role, index, timeout) else { return };
        self.not_run(unit, "next control", reason);
        match state {
            ServiceState::Condition | ServiceState::StartPre | ServiceState::StartPost | ServiceState::Stop => {
                self.enter_signal(unit, ServiceState::StopSigterm, ServiceResult::Resources);
            }
            ServiceState::StopPost => self.enter_dead(unit, ServiceResult::Resources, true),
            ServiceState::Reload | ServiceState::ReloadPost => self.reload_failed(unit, ServiceResult::Resources),
            _ => self.enter_stop(unit, ServiceResult::Resources),
        }
    }

    /// The next ExecStart= command of a oneshot.
    pub(super) fn run_next_main(&mut self, unit: UnitId, index: usize) {
        let timeout = self.unit(unit).config.timeout_start_sec;
        if let Err(reason) = self.run_main(unit, index, timeout) {
            self.not_run(unit, "next main", reason);
            self.enter_stop(unit, ServiceResult::Resources);
        }
    }

    fn not_run(&mut self, unit: UnitId, task: &str, reason: Errno) {
        self.log_errno(unit, level::WARNING, reason, &format!("Failed to run {task} task: {reason}"));
    }

    /// Whether the list has a command with this index.
    pub(super) fn has_command(&self, unit: UnitId, role: ExecRole, index: usize) -> bool {
        index < commands(&self.unit(unit).config, role).len()
    }

    /// Names what a run before left behind; refuses to start next to it where SIGKILL is not allowed.
    fn tolerates_leftovers(&mut self, unit: UnitId, config: &Service) -> Result<(), Errno> {
        let name = self.unit(unit).name.clone();
        let mut found = false;
        for process in self.host.processes(&name) {
            if process.comm.starts_with('(') {
                continue;
            }
            found = true;
            let text = format!(
                "Found left-over process {} ({}) in control group while starting unit. Ignoring.",
                process.pid, process.comm
            );
            self.log(unit, level::WARNING, &text);
            // The second line of the same message is a record of its own, which 252 does not begin with the unit.
            let text = "This usually indicates unclean termination of a previous run, or service implementation \
                        deficiencies.";
            if self.m.rules.new_words {
                self.log(unit, level::WARNING, text);
            } else {
                self.log_full(unit, level::WARNING, text.to_owned(), None, Vec::new());
            }
        }
        if found && !config.send_sigkill && matches!(config.kill_mode, KillMode::Mixed | KillMode::ControlGroup) {
            let text = "Will not start SendSIGKILL=no service of type KillMode=control-group or mixed while \
                        processes exist";
            self.log(unit, level::ERR, text);
            return Err(BUSY);
        }
        Ok(())
    }

    /// The control process, if there is one, is nobody's any more.
    pub(super) fn forget_control(&mut self, unit: UnitId) {
        let pid = std::mem::take(&mut self.unit_mut(unit).service.control_pid);
        if pid != 0 {
            self.forget_pid(pid, unit);
        }
    }
}
