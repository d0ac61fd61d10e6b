//! A service: the state machine of systemd.service(5), as one sees it from the outside.

mod delay;
mod ended;
mod kill;
mod main_pid;
mod notify;
mod phases;
mod spawn;
mod store;
mod timeouts;

pub use delay::restart_delay;
pub(super) use ended::child_name;
pub use spawn::MANAGER_ENVIRONMENT;

use super::catalog::{self, level};
use super::interface::{Effect, ExecRole, Exit, Pid};
use super::job::{JobType, Started};
use super::loaded::{ExecStatus, NotifyState, Timer, UnitId, role_index};
use super::states::{ServiceResult, ServiceState};
use super::step::{Refusal, Step};
use super::text::{Text, concat};
use crate::unit::{ExitStatusSet, Restart, RestartMode, Service, ServiceType};

/// Whether an end belongs to the set.
fn in_set(set: &ExitStatusSet, exit: Option<Exit>) -> bool {
    match exit {
        Some(Exit::Code(code)) => set.codes.contains(&code),
        Some(Exit::Signal(signal) | Exit::Dumped(signal)) => set.signals.contains(&signal),
        None => false,
    }
}

/// `$EXIT_CODE` and `$EXIT_STATUS` of an end.
fn exit_words(exit: Exit) -> (&'static str, Text) {
    match exit {
        Exit::Code(code) => ("exited", Text::number(code.into())),
        Exit::Signal(signal) => ("killed", crate::unit::signal::name(signal).into()),
        Exit::Dumped(signal) => ("dumped", crate::unit::signal::name(signal).into()),
    }
}

impl Step<'_> {
    /// Orders a service to start.
    pub(super) fn start_service(&mut self, unit: UnitId) -> Result<Started, Refusal> {
        let state = self.state(unit);
        let waits = state.is_stopping();
        let under_way = state.is_starting();
        if self.m.rules.waiting_start_is_free {
            if waits {
                return Err(Refusal::Later);
            }
            if under_way {
                return Ok(Started::Silent);
            }
        }
        if !self.within_start_limit(unit) {
            self.enter_dead(unit, ServiceResult::StartLimitHit, false);
            return Err(Refusal::Failed);
        }
        if waits {
            return Err(Refusal::Later);
        }
        if under_way {
            return Ok(Started::Silent);
        }
        if state == ServiceState::AutoRestart {
            // The timer will start it; from 257 on it does not keep a client waiting.
            if self.m.rules.start_cuts_wait_short {
                self.enter_restart(unit, true);
            }
            return Err(Refusal::Later);
        }
        self.new_invocation(unit);
        let old_rule = self.m.rules.restart_job;
        let run = &mut self.unit_mut(unit).service;
        run.result = ServiceResult::Success;
        run.reload_result = ServiceResult::Success;
        run.main_pid_known = false;
        run.main_pid_alien = false;
        run.forbid_restart = false;
        run.status_text = None;
        run.status_errno = 0;
        run.notify_state = NotifyState::Unknown;
        run.notify_access_override = None;
        run.watchdog_override = None;
        run.main_status = ExecStatus::default();
        for list in &mut run.statuses {
            list.fill(ExecStatus::default());
        }
        let flush = std::mem::take(&mut run.flush_n_restarts);
        if if old_rule { flush } else { state != ServiceState::AutoRestartQueued } {
            run.n_restarts = 0;
        }
        self.enter_condition(unit);
        Ok(Started::Acts)
    }

    /// Orders a service to stop.
    pub(super) fn stop_service(&mut self, unit: UnitId) -> Started {
        self.unit_mut(unit).service.forbid_restart = true;
        match self.state(unit) {
            ServiceState::Running | ServiceState::Exited => {
                self.enter_stop(unit, ServiceResult::Success);
                return Started::Acts;
            }
            ServiceState::AutoRestart | ServiceState::AutoRestartQueued => {
                // A restart was to come: it no longer is.
                let dead = self.dead_state(unit);
                self.set_state(unit, dead);
            }
            state if state.is_starting() || state.is_reloading() => {
                self.enter_signal(unit, ServiceState::StopSigterm, ServiceResult::Success);
            }
            _ => {}
        }
        Started::Silent
    }

    /// Orders a service to reload.
    pub(super) fn reload_service(&mut self, unit: UnitId) -> Started {
        self.enter_reload(unit);
        Started::Acts
    }

    /// Enters a state, and lets go of what belongs to the one before.
    pub(super) fn set_state(&mut self, unit: UnitId, state: ServiceState) {
        let this = self.unit_mut(unit);
        let idle = this.config.service_type == ServiceType::Idle;
        let old = std::mem::replace(&mut this.service.state, state);
        let run = &mut this.service;
        run.awaits_pid_file = false;
        let stopping = state.is_stopping();
        let up = matches!(state, ServiceState::StartPost | ServiceState::Running) || state.is_reloading();
        let has_main = up || stopping || state == ServiceState::Start;
        let has_control = state.is_starting() || state.is_reloading() || stopping;
        let timed = has_control || matches!(state, ServiceState::Running | ServiceState::AutoRestart);
        let mut forgotten = [0; 2];
        if !has_main {
            forgotten[0] = std::mem::take(&mut run.main_pid);
            run.main_command = None;
        }
        if !has_control {
            forgotten[1] = std::mem::take(&mut run.control_pid);
            run.control_command = None;
        }
        let (main, control) = (run.main_pid, run.control_pid);
        let reload_failed = run.reload_result != ServiceResult::Success;
        let will_auto_restart = run.will_auto_restart;
        for pid in forgotten.into_iter().filter(|pid| *pid != 0) {
            self.forget_pid(pid, unit);
        }
        if !timed {
            self.disarm(unit, Timer::Phase);
        }
        if !up {
            self.disarm(unit, Timer::Watchdog);
        }
        self.drop_idle(unit, |pid| pid != main && pid != control);
        // Whoever is started again has lost it.
        let is_over = !has_main && !has_control;
        let dead = matches!(state, ServiceState::Dead | ServiceState::DeadResourcesPinned);
        if is_over && (!dead || self.unit(unit).job.is_none()) {
            self.release_connection(unit);
        }
        self.changed(unit, old.active(idle), state.active(idle), reload_failed, will_auto_restart);
    }

    /// The last thing in a run: dead or failed, and perhaps on to a restart.
    pub(super) fn enter_dead(&mut self, unit: UnitId, result: ServiceResult, allow_restart: bool) {
        let allow_restart = allow_restart && !self.stop_pending(unit);
        let limit_wins = self.m.rules.start_limit_result_wins && result == ServiceResult::StartLimitHit;
        let run = &mut self.unit_mut(unit).service;
        if run.result == ServiceResult::Success || limit_wins {
            run.result = result;
        }
        let end = self.log_end(unit);
        let name = self.unit(unit).name.clone();
        for process in self.host.processes(&name) {
            if !process.comm.starts_with('(') {
                let text =
                    format!("Unit process {} ({}) remains running after unit stopped.", process.pid, process.comm);
                self.log(unit, level::INFO, &text);
            }
        }
        let config = self.config(unit);
        if allow_restart && self.shall_restart(unit, &config) {
            let count = self.unit(unit).service.n_restarts.saturating_add(1);
            let delay = if self.m.rules.restart_steps { restart_delay(&config, count) } else { config.restart_sec };
            if self.m.rules.restart_job {
                self.unit_mut(unit).service.will_auto_restart = true;
                self.set_state(unit, end);
                self.unit_mut(unit).service.will_auto_restart = false;
            } else if config.restart_mode != RestartMode::Direct {
                let end = match end {
                    ServiceState::Failed => ServiceState::FailedBeforeAutoRestart,
                    _ => ServiceState::DeadBeforeAutoRestart,
                };
                self.set_state(unit, end);
            }
            self.arm_after(unit, Timer::Phase, delay);
            self.set_state(unit, ServiceState::AutoRestart);
        } else {
            // The counter is for looking at until the next start.
            self.unit_mut(unit).service.flush_n_restarts = true;
            self.set_state(unit, end);
        }
        self.queue_gc(unit);
        self.unit_mut(unit).service.forbid_restart = false;
        self.store_after_end(unit);
        if let Some(path) = &config.pid_file
            && self.host.stat(path).is_some()
        {
            // What it says is no longer true.
            self.out.push(Effect::Remove { path: path.clone() });
        }
    }

    /// Logs how the run went; which state that is.
    fn log_end(&mut self, unit: UnitId) -> ServiceState {
        let this = self.unit(unit);
        let (name, result) = (&this.name, this.service.result);
        let fields = || vec![("UNIT_RESULT", Text::fixed(result.as_str()))];
        let (priority, text, id, fields, state) = match result {
            ServiceResult::Success => {
                let text = format!("{name}: Deactivated successfully.");
                (level::INFO, text, catalog::SUCCESS, Vec::new(), self.dead_state(unit))
            }
            ServiceResult::ExecCondition => {
                let text = format!("{name}: Skipped due to '{}'.", result.as_str());
                (level::INFO, text, catalog::SKIPPED, fields(), self.dead_state(unit))
            }
            _ => {
                let text = concat([name, ": Failed with result '", result.as_str(), "'."]);
                (level::WARNING, text, catalog::FAILURE_RESULT, fields(), ServiceState::Failed)
            }
        };
        self.log_full(unit, priority, text, Some(id), fields);
        state
    }

    /// Whether the service comes back by itself (`restart_matrix.json`).
    fn shall_restart(&self, unit: UnitId, config: &Service) -> bool {
        let run = &self.unit(unit).service;
        if run.forbid_restart {
            return false;
        }
        let exit = run.main_status.exit;
        if in_set(&config.restart_prevent_exit_status, exit) {
            return false;
        }
        let succeeded = run.result == ServiceResult::Success;
        if in_set(&config.restart_force_exit_status, exit) {
            let spared = self.m.rules.force_spares_oneshot && config.service_type == ServiceType::Oneshot;
            return !(spared && succeeded);
        }
        let skipped = run.result == ServiceResult::ExecCondition;
        match config.restart {
            Restart::No => false,
            Restart::Always => !skipped,
            Restart::OnSuccess => succeeded,
            Restart::OnFailure => !succeeded && !skipped,
            Restart::OnAbnormal => !succeeded && !skipped && run.result != ServiceResult::ExitCode,
            Restart::OnWatchdog => run.result == ServiceResult::Watchdog,
            Restart::OnAbort => matches!(run.result, ServiceResult::Signal | ServiceResult::CoreDump),
        }
    }

    /// The wait for a restart is over.
    pub(super) fn enter_restart(&mut self, unit: UnitId, on_request: bool) {
        if self.stop_pending(unit) {
            self.log(unit, level::INFO, "Stop job pending for unit, skipping automatic restart.");
            return;
        }
        let enqueued = if self.m.rules.restart_job {
            self.add_job(unit, JobType::Restart)
        } else {
            // What depends on the unit is restarted with it, unless it is not to notice.
            let direct = self.config(unit).restart_mode == RestartMode::Direct;
            self.add_job_with(unit, JobType::Start, !direct)
        };
        if let Err(error) = enqueued {
            let text = format!("Failed to schedule restart job: {}", error.message);
            self.log(unit, level::WARNING, &text);
            self.enter_dead(unit, ServiceResult::Resources, false);
            return;
        }
        let run = &mut self.unit_mut(unit).service;
        run.n_restarts = run.n_restarts.saturating_add(1);
        run.flush_n_restarts = false;
        let count = run.n_restarts;
        let how = if on_request { " immediately on client request" } else { "" };
        let count = Text::number(count.into());
        let name = &self.unit(unit).name;
        let text = concat([name, ": Scheduled restart job", how, ", restart counter is at ", &count, "."]);
        let fields = vec![("N_RESTARTS", count)];
        self.log_full(unit, level::INFO, text, Some(catalog::RESTART_SCHEDULED), fields);
        if !self.m.rules.restart_job {
            self.set_state(unit, ServiceState::AutoRestartQueued);
        }
    }

    /// Records the first failure of a run; later ones do not count.
    pub(super) fn note_result(&mut self, unit: UnitId, result: ServiceResult) {
        let run = &mut self.unit_mut(unit).service;
        if run.result == ServiceResult::Success {
            run.result = result;
        }
    }

    /// Makes a process the service's main one.
    pub(super) fn set_main_pid(&mut self, unit: UnitId, pid: Pid, alien: bool) {
        let now = self.now;
        let run = &mut self.unit_mut(unit).service;
        if run.main_pid == pid && run.main_pid_known {
            return;
        }
        let old = std::mem::replace(&mut run.main_pid, pid);
        if old != pid {
            run.main_status = ExecStatus::started(pid, now);
        }
        run.main_pid_known = true;
        run.main_pid_alien = alien;
        if old != 0 && old != pid {
            self.forget_pid(old, unit);
        }
        self.m.pids.insert(pid, unit);
    }

    /// No longer connects the process with the unit, unless it still has a part in it.
    pub(super) fn forget_pid(&mut self, pid: Pid, unit: UnitId) {
        let run = &self.unit(unit).service;
        if run.main_pid != pid && run.control_pid != pid && self.m.pids.get(&pid) == Some(&unit) {
            self.m.pids.remove(&pid);
        }
    }

    /// `Some(true)`: the main process lives; `Some(false)`: it is dead; `None`: nobody knows which one it is.
    fn main_alive(&self, unit: UnitId) -> Option<bool> {
        let run = &self.unit(unit).service;
        // Nobody tells of the end of a process that is not the manager's child.
        let alive = run.main_pid != 0 && (!run.main_pid_alien || self.host.is_alive(run.main_pid));
        run.main_pid_known.then_some(alive)
    }

    fn control_alive(&self, unit: UnitId) -> bool {
        self.unit(unit).service.control_pid != 0
    }

    /// Whether any process of the service is left.
    fn has_processes(&self, unit: UnitId) -> bool {
        !self.host.processes(&self.unit(unit).name).is_empty()
    }

    /// The record of one command.
    fn status_slot(&mut self, unit: UnitId, role: ExecRole, index: usize) -> Option<&mut ExecStatus> {
        self.unit_mut(unit).service.statuses.get_mut(role_index(role))?.get_mut(index)
    }
}
