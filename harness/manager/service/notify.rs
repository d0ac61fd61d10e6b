//! What services say about themselves (sd_notify(3)).

use super::super::catalog::level;
use super::super::interface::Pid;
use super::super::loaded::{Kind, NotifyState, Timer, UnitId};
use super::super::states::{ServiceResult, ServiceState};
use super::super::step::Step;
use super::main_pid::parse_pid;
use crate::time::Span;
use crate::unit::{Errno, NotifyAccess, ServiceType};

impl Step<'_> {
    /// A datagram has come from a process, which is known by its PID or by its control group.
    ///
    /// The service, if it may say anything.
    pub(super) fn notified(&mut self, pid: Pid, group: Option<&str>, bytes: &[u8]) -> Option<UnitId> {
        let known = self.m.pids.get(&pid).copied().or_else(|| self.m.id(group?));
        let Some(unit) = known.filter(|unit| self.unit(*unit).kind == Kind::Service) else {
            let text = format!("Cannot find unit for notify message of PID {pid}, ignoring.");
            self.log_manager(level::WARNING, &text);
            return None;
        };
        if !self.may_notify(unit, pid) {
            return None;
        }
        let text = &*String::from_utf8_lossy(bytes);
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        if let Some(new) = value("MAINPID") {
            self.new_main_pid(unit, new);
        }
        let steps: Vec<&str> = text.lines().collect();
        self.progress(unit, &steps);
        if let Some(status) = bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"STATUS=")) {
            match std::str::from_utf8(status) {
                Ok(status) => {
                    self.unit_mut(unit).service.status_text = (!status.is_empty()).then(|| status.to_owned());
                }
                Err(_) => {
                    let text = "Status message in notification message is not UTF-8 clean.";
                    self.log(unit, level::WARNING, text);
                }
            }
        }
        if let Some(word) = value("ERRNO") {
            match Errno::parse(word) {
                Ok(errno) => self.unit_mut(unit).service.status_errno = errno.number(),
                Err(errno) => {
                    let text = format!("Failed to parse ERRNO= field value '{word}' in notification message: {errno}");
                    self.log_errno(unit, level::WARNING, errno, &text);
                }
            }
        }
        if let Some(span) = value("EXTEND_TIMEOUT_USEC").and_then(|usec| usec.parse().ok()) {
            self.extend_timeout(unit, Span::from_micros(span));
        }
        match value("WATCHDOG") {
            Some("1") => self.reset_watchdog(unit),
            Some("trigger") => {
                let status = self.unit(unit).service.status_text.clone().unwrap_or_else(|| "<unset>".into());
                self.log(unit, level::ERR, &format!("Watchdog request (last status: {status})!"));
                self.enter_signal(unit, ServiceState::StopWatchdog, ServiceResult::Watchdog);
            }
            _ => {}
        }
        if let Some(span) = value("WATCHDOG_USEC").and_then(|usec| usec.parse().ok()) {
            self.unit_mut(unit).service.watchdog_override = Some(Span::from_micros(span));
            if self.watchdog_runs(unit) {
                // The new period begins now.
                self.unit_mut(unit).service.watchdog_stamp = Some(self.now);
                self.arm_watchdog(unit);
            }
        }
        if self.m.rules.restart_steps
            && let Some(access) = value("NOTIFYACCESS").and_then(NotifyAccess::from_word)
        {
            self.unit_mut(unit).service.notify_access_override = Some(access);
        }
        if self.m.rules.restart_reset && steps.contains(&"RESTART_RESET=1") {
            self.unit_mut(unit).service.n_restarts = 0;
        }
        Some(unit)
    }

    /// NotifyAccess= as it holds now.
    pub(super) fn notify_access(&self, unit: UnitId) -> NotifyAccess {
        let this = self.unit(unit);
        this.service.notify_access_override.unwrap_or(this.config.notify_access)
    }

    fn may_notify(&mut self, unit: UnitId, pid: Pid) -> bool {
        let run = &self.unit(unit).service;
        let (main, control) = (run.main_pid, run.control_pid);
        let refused = match self.notify_access(unit) {
            NotifyAccess::All => return true,
            NotifyAccess::None => "reception is disabled".to_owned(),
            NotifyAccess::Main if pid == main => return true,
            NotifyAccess::Main if main != 0 => format!("reception only permitted for main PID {main}"),
            NotifyAccess::Main => "reception only permitted for main PID which is currently not known".to_owned(),
            NotifyAccess::Exec if pid == main || pid == control => return true,
            NotifyAccess::Exec if main != 0 && control != 0 => {
                format!("reception only permitted for main PID {main} and control PID {control}")
            }
            NotifyAccess::Exec if main != 0 => format!("reception only permitted for main PID {main}"),
            NotifyAccess::Exec if control != 0 => format!("reception only permitted for control PID {control}"),
            NotifyAccess::Exec => {
                "reception only permitted for main PID and control PID which are currently not known".to_owned()
            }
        };
        self.log(unit, level::WARNING, &format!("Got notification message from PID {pid}, but {refused}"));
        false
    }

    fn new_main_pid(&mut self, unit: UnitId, text: &str) {
        let state = self.state(unit);
        let live = matches!(state, ServiceState::Start | ServiceState::StartPost | ServiceState::Running)
            || state.is_reloading();
        if !live {
            return;
        }
        let Some(pid) = parse_pid(text) else {
            let text = format!("Failed to parse MAINPID= field in notification message, ignoring: {text}");
            return self.log(unit, level::WARNING, &text);
        };
        let run = &self.unit(unit).service;
        if run.main_pid == pid && run.main_pid_known {
            return;
        }
        // One that is not the service's own is taken on the word of a privileged sender, and all are that here.
        match self.refuse_main_pid(unit, pid) {
            Some(refusal) => self.log(unit, level::WARNING, &refusal),
            None => self.adopt_main_pid(unit, pid),
        }
    }

    /// READY=1, RELOADING=1, STOPPING=1: the last one in the datagram counts.
    fn progress(&mut self, unit: UnitId, lines: &[&str]) {
        let config = self.config(unit);
        let by_signal = config.service_type == ServiceType::NotifyReload;
        let last = lines.iter().rev().find(|line| matches!(**line, "READY=1" | "RELOADING=1" | "STOPPING=1"));
        let state = self.state(unit);
        match last.copied() {
            Some("READY=1") => {
                self.unit_mut(unit).service.notify_state = NotifyState::Ready;
                let waits = matches!(config.service_type, ServiceType::Notify | ServiceType::NotifyReload);
                if waits && state == ServiceState::Start {
                    self.enter_start_post(unit);
                }
                let reloaded = state == ServiceState::Reload && self.unit(unit).service.control_pid == 0
                    || state == ServiceState::ReloadNotify;
                if reloaded {
                    self.enter_reload_post(unit);
                }
            }
            Some("RELOADING=1") => {
                self.unit_mut(unit).service.notify_state = NotifyState::Reloading;
                if state == ServiceState::Running && !by_signal {
                    self.enter_reload_by_notify(unit);
                } else if state == ServiceState::ReloadSignal && by_signal && self.is_answer(unit, lines) {
                    self.unit_mut(unit).service.notify_state = NotifyState::Unknown;
                    self.arm_after(unit, Timer::Phase, config.timeout_start_sec);
                    self.set_state(unit, ServiceState::ReloadNotify);
                }
            }
            Some("STOPPING=1") => {
                self.unit_mut(unit).service.notify_state = NotifyState::Stopping;
                if state == ServiceState::Running {
                    self.enter_stop_by_notify(unit);
                }
            }
            _ => {}
        }
    }

    /// Whether RELOADING=1 answers the signal of this reload, and not something earlier.
    fn is_answer(&self, unit: UnitId, lines: &[&str]) -> bool {
        let stamp = lines
            .iter()
            .find_map(|line| line.strip_prefix("MONOTONIC_USEC="))
            .and_then(|usec| usec.parse::<u64>().ok());
        let begin = self.unit(unit).service.reload_begin.map(|begin| begin.since(self.m.boot).as_micros());
        matches!((stamp, begin), (Some(stamp), Some(begin)) if stamp >= begin)
    }

    /// The service says that it reloads.
    pub(super) fn enter_reload_by_notify(&mut self, unit: UnitId) {
        let timeout = self.unit(unit).config.timeout_start_sec;
        self.arm_after(unit, Timer::Phase, timeout);
        self.set_state(unit, ServiceState::Reload);
    }

    /// The service says that it stops: as if it had got its signal already.
    pub(super) fn enter_stop_by_notify(&mut self, unit: UnitId) {
        let timeout = self.unit(unit).config.timeout_stop_sec;
        self.arm_after(unit, Timer::Phase, timeout);
        self.set_state(unit, ServiceState::StopSigterm);
    }

    /// The phase that runs may take until `span` from now, if it could not anyway.
    fn extend_timeout(&mut self, unit: UnitId, span: Span) {
        let deadline = self.now + span;
        let armed = self.unit(unit).timers[Timer::Phase.index()];
        if armed != crate::time::IncidentTime::NEVER && armed < deadline {
            self.arm(unit, Timer::Phase, deadline);
        }
    }

    fn watchdog_runs(&self, unit: UnitId) -> bool {
        let state = self.state(unit);
        matches!(state, ServiceState::StartPost | ServiceState::Running) || state.is_reloading()
    }
}
