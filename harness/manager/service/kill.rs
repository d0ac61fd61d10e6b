//! Signals: who gets which, in which phase (systemd.kill(5)).

use super::super::catalog::level;
use super::super::interface::{Effect, Exit, Pid, Process};
use super::super::job::JobType;
use super::super::loaded::{Timer, UnitId};
use super::super::states::{ServiceResult, ServiceState};
use super::super::step::Step;
use crate::unit::signal::{SIGCONT, SIGHUP, SIGKILL};
use crate::unit::{KillMode, Service};

/// What a round of signals is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Terminate,
    Restart,
    Kill,
    Watchdog,
}

impl Step<'_> {
    /// A phase that sends signals and waits for their effect; without anybody to signal it is over at once.
    pub(super) fn enter_signal(&mut self, unit: UnitId, state: ServiceState, result: ServiceResult) {
        // A phase that finds nobody falls through to the next one, up to the end.
        let (mut state, mut result) = (state, result);
        let config = self.config(unit);
        loop {
            self.note_result(unit, result);
            let restarting = self.unit(unit).job.as_ref().is_some_and(|job| job.kind == JobType::Restart);
            let operation = match state {
                ServiceState::StopWatchdog | ServiceState::FinalWatchdog => Operation::Watchdog,
                ServiceState::StopSigterm if restarting => Operation::Restart,
                ServiceState::StopSigterm | ServiceState::FinalSigterm => Operation::Terminate,
                _ => Operation::Kill,
            };
            if self.kill_round(unit, &config, operation) {
                let timeout = if operation == Operation::Watchdog {
                    config.timeout_abort_sec.unwrap_or(config.timeout_stop_sec)
                } else {
                    config.timeout_stop_sec
                };
                self.arm_after(unit, Timer::Phase, timeout);
                return self.set_state(unit, state);
            }
            result = ServiceResult::Success;
            state = match state {
                ServiceState::StopWatchdog | ServiceState::StopSigterm if config.send_sigkill => {
                    ServiceState::StopSigkill
                }
                ServiceState::StopWatchdog | ServiceState::StopSigterm | ServiceState::StopSigkill => {
                    return self.enter_stop_post(unit, ServiceResult::Success);
                }
                ServiceState::FinalWatchdog | ServiceState::FinalSigterm if config.send_sigkill => {
                    ServiceState::FinalSigkill
                }
                _ => return self.enter_dead(unit, ServiceResult::Success, true),
            };
        }
    }

    /// Sends the signals of one round; whether there is somebody to wait for.
    fn kill_round(&mut self, unit: UnitId, config: &Service, operation: Operation) -> bool {
        if config.kill_mode == KillMode::None {
            return false;
        }
        let signal = match operation {
            Operation::Terminate => config.kill_signal,
            Operation::Restart => config.restart_kill_signal.unwrap_or(config.kill_signal),
            Operation::Kill => config.final_kill_signal,
            Operation::Watchdog => config.watchdog_signal,
        };
        let noteworthy = matches!(operation, Operation::Kill | Operation::Watchdog);
        let hangup = config.send_sighup && operation == Operation::Terminate && signal != SIGHUP;
        let run = &self.unit(unit).service;
        let (main, control, alien) = (run.main_pid, run.control_pid, run.main_pid_alien);
        let everyone = config.kill_mode == KillMode::ControlGroup
            || config.kill_mode == KillMode::Mixed && operation == Operation::Kill;
        if main == 0 && control == 0 && !everyone {
            return false;
        }
        let name = self.unit(unit).name.clone();
        let mut processes = self.host.processes(&name);
        // Children that have not become their programs call themselves after them.
        let waiting = self.m.waiting_children(&name).into_iter();
        processes.extend(waiting.map(|(pid, comm)| Process { pid, comm, parent: 1 }));
        let mut wait = false;
        for pid in [main, control] {
            if pid != 0 {
                self.kill_one(unit, pid, &processes, signal, noteworthy, hangup);
                wait |= pid != main || !alien;
            }
        }
        if everyone {
            for process in processes.iter().filter(|process| process.pid != main && process.pid != control) {
                self.kill_one(unit, process.pid, &processes, signal, noteworthy, hangup);
                wait = true;
            }
        }
        wait
    }

    fn kill_one(&mut self, unit: UnitId, pid: Pid, all: &[Process], signal: i32, noteworthy: bool, hangup: bool) {
        if noteworthy {
            let comm = all.iter().find(|process| process.pid == pid).map_or("n/a", |process| process.comm.as_str());
            if !comm.starts_with('(') {
                let word = crate::unit::signal::name(signal);
                self.log(unit, level::NOTICE, &format!("Killing process {pid} ({comm}) with signal SIG{word}."));
            }
        }
        self.signal_and_continue(unit, pid, signal);
        if hangup {
            self.signal(unit, pid, SIGHUP);
        }
    }

    /// A signal, and SIGCONT after it, for a process that is stopped could not act on it.
    pub(super) fn signal_and_continue(&mut self, unit: UnitId, pid: Pid, signal: i32) {
        self.signal(unit, pid, signal);
        if !matches!(signal, SIGKILL | SIGCONT) {
            self.signal(unit, pid, SIGCONT);
        }
    }

    /// One signal to one process.
    pub(in super::super) fn signal(&mut self, unit: UnitId, pid: Pid, signal: i32) {
        let waits = self.unit(unit).service.idle_spawns.iter().any(|spawn| spawn.pid == pid);
        if waits {
            // The program was not started yet: what dies is the child that waits to become it.
            if signal != SIGCONT && self.drop_idle(unit, |other| other == pid) {
                self.m.unborn.push((pid, signal));
            }
            return;
        }
        self.out.push(Effect::Signal { pid, signal });
    }

    /// Takes note of the ends of processes that never became programs.
    ///
    /// Whether there were any.
    pub(in super::super) fn reap_unborn(&mut self) -> bool {
        let any = !self.m.unborn.is_empty() || !self.m.stillborn.is_empty();
        for (pid, signal) in std::mem::take(&mut self.m.unborn) {
            self.exited(pid, Exit::Signal(signal));
        }
        for (pid, failure) in std::mem::take(&mut self.m.stillborn) {
            self.exec_failed(pid, &failure);
        }
        any
    }
}
