//! What happens when a timer of a service fires.

use super::super::catalog::level;
use super::super::loaded::{Timer, UnitId};
use super::super::states::{ServiceResult, ServiceState};
use super::super::step::Step;
use crate::time::{IncidentTime, Span};
use crate::unit::TimeoutFailureMode;

impl Step<'_> {
    /// The phase has lasted too long, the wait for a restart is over, or RuntimeMaxSec= has passed.
    pub(in super::super) fn phase_timeout(&mut self, unit: UnitId) {
        let config = self.config(unit);
        let state = self.state(unit);
        let timeout = ServiceResult::Timeout;
        let sigkill = config.send_sigkill;
        match state {
            ServiceState::Condition | ServiceState::StartPre | ServiceState::Start | ServiceState::StartPost => {
                let what = format!("{} operation", state.as_str());
                self.give_up_on(unit, &what, config.timeout_start_failure_mode, sigkill);
            }
            ServiceState::Stop => self.give_up_on(unit, "Stopping", config.timeout_stop_failure_mode, sigkill),
            ServiceState::Running => {
                self.log(unit, level::WARNING, "Service reached runtime time limit. Stopping.");
                self.enter_stop(unit, timeout);
            }
            ServiceState::Reload
            | ServiceState::ReloadSignal
            | ServiceState::ReloadNotify
            | ServiceState::ReloadPost => {
                self.log(unit, level::WARNING, "Reload operation timed out. Killing reload process.");
                let control = self.unit(unit).service.control_pid;
                if control != 0 {
                    self.signal(unit, control, 9);
                }
                self.unit_mut(unit).service.reload_result = timeout;
                self.enter_running(unit, ServiceResult::Success);
            }
            ServiceState::StopSigterm if config.timeout_stop_failure_mode == TimeoutFailureMode::Abort => {
                self.log(unit, level::WARNING, "State 'stop-sigterm' timed out. Aborting.");
                self.enter_signal(unit, ServiceState::StopWatchdog, timeout);
            }
            ServiceState::StopWatchdog | ServiceState::StopSigterm => {
                let next = if sigkill { "Killing." } else { "Skipping SIGKILL." };
                self.log(unit, level::WARNING, &format!("State '{}' timed out. {next}", state.as_str()));
                if sigkill {
                    self.enter_signal(unit, ServiceState::StopSigkill, timeout);
                } else {
                    self.enter_stop_post(unit, timeout);
                }
            }
            ServiceState::StopSigkill => {
                self.log(unit, level::WARNING, "Processes still around after SIGKILL. Ignoring.");
                self.enter_stop_post(unit, timeout);
            }
            ServiceState::StopPost => {
                let (next, state) = match config.timeout_stop_failure_mode {
                    TimeoutFailureMode::Terminate => ("Terminating.", Some(ServiceState::FinalSigterm)),
                    TimeoutFailureMode::Abort => ("Aborting.", Some(ServiceState::FinalWatchdog)),
                    TimeoutFailureMode::Kill if sigkill => ("Killing.", Some(ServiceState::FinalSigkill)),
                    TimeoutFailureMode::Kill => ("Skipping SIGKILL. Entering failed mode.", None),
                };
                self.log(unit, level::WARNING, &format!("State 'stop-post' timed out. {next}"));
                match state {
                    Some(state) => self.enter_signal(unit, state, timeout),
                    None => self.enter_dead(unit, timeout, false),
                }
            }
            ServiceState::FinalSigterm if config.timeout_stop_failure_mode == TimeoutFailureMode::Abort => {
                self.log(unit, level::WARNING, "State 'final-sigterm' timed out. Aborting.");
                self.enter_signal(unit, ServiceState::FinalWatchdog, timeout);
            }
            ServiceState::FinalWatchdog | ServiceState::FinalSigterm => {
                let next = if sigkill { "Killing." } else { "Skipping SIGKILL. Entering failed mode." };
                self.log(unit, level::WARNING, &format!("State '{}' timed out. {next}", state.as_str()));
                if sigkill {
                    self.enter_signal(unit, ServiceState::FinalSigkill, timeout);
                } else {
                    self.enter_dead(unit, timeout, false);
                }
            }
            ServiceState::FinalSigkill => {
                self.log(unit, level::WARNING, "Processes still around after final SIGKILL. Entering failed mode.");
                self.enter_dead(unit, timeout, true);
            }
            ServiceState::AutoRestart => self.enter_restart(unit, false),
            ServiceState::Dead
            | ServiceState::Exited
            | ServiceState::Failed
            | ServiceState::DeadBeforeAutoRestart
            | ServiceState::FailedBeforeAutoRestart
            | ServiceState::DeadResourcesPinned
            | ServiceState::RefreshExtensions
            | ServiceState::RefreshCredentials
            | ServiceState::Mounting
            | ServiceState::Cleaning
            | ServiceState::AutoRestartQueued => {}
        }
    }

    /// A start phase or ExecStop= timed out: what TimeoutStartFailureMode= or TimeoutStopFailureMode= says.
    fn give_up_on(&mut self, unit: UnitId, what: &str, mode: TimeoutFailureMode, sigkill: bool) {
        let (next, state) = match mode {
            TimeoutFailureMode::Terminate => ("Terminating.", Some(ServiceState::StopSigterm)),
            TimeoutFailureMode::Abort => ("Aborting.", Some(ServiceState::StopWatchdog)),
            TimeoutFailureMode::Kill if sigkill => ("Killing.", Some(ServiceState::StopSigkill)),
            TimeoutFailureMode::Kill => ("Skipping SIGKILL.", None),
        };
        self.log(unit, level::WARNING, &format!("{what} timed out. {next}"));
        match state {
            Some(state) => self.enter_signal(unit, state, ServiceResult::Timeout),
            None => self.enter_stop_post(unit, ServiceResult::Timeout),
        }
    }

    /// WatchdogSec= as it holds now; `None` if there is no watchdog.
    pub(super) fn watchdog_span(&self, unit: UnitId) -> Option<Span> {
        let this = self.unit(unit);
        let span = this.service.watchdog_override.unwrap_or(this.config.watchdog_sec);
        (!span.is_zero() && !span.is_infinite()).then_some(span)
    }

    /// A sign of life.
    pub(super) fn reset_watchdog(&mut self, unit: UnitId) {
        let now = self.now;
        self.unit_mut(unit).service.watchdog_stamp = Some(now);
        self.arm_watchdog(unit);
    }

    /// Arms the watchdog from the last sign of life on.
    pub(super) fn arm_watchdog(&mut self, unit: UnitId) {
        let deadline = match (self.watchdog_span(unit), self.unit(unit).service.watchdog_stamp) {
            (Some(span), Some(stamp)) => stamp + span,
            _ => IncidentTime::NEVER,
        };
        self.arm(unit, Timer::Watchdog, deadline);
    }

    /// The service gave no sign of life.
    pub(in super::super) fn watchdog_timeout(&mut self, unit: UnitId) {
        let span = self.watchdog_span(unit).unwrap_or(Span::ZERO);
        self.log(unit, level::ERR, &format!("Watchdog timeout (limit {span})!"));
        self.enter_signal(unit, ServiceState::StopWatchdog, ServiceResult::Watchdog);
    }
}
