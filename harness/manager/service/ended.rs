//! What becomes of a service when one of its processes starts, fails to start, or ends.

use super::super::catalog::{self, level};
use super::super::interface::{Effect, ExecFailure, ExecRole, Exit, Message, Pid};
use super::super::load::commands;
use super::super::loaded::{ExecStatus, UnitId};
use super::super::states::{ServiceResult, ServiceState};
use super::super::step::{Step, errno_field};
use super::super::text::{Text, concat};
use crate::unit::signal::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};
use crate::unit::{Errno, ExitType, NotifyAccess, Service, ServiceType};

/// Whether an end counts as success (systemd.service(5), SuccessExitStatus=). The four signals with which one stops
/// a daemon are clean for daemons alone.
fn is_clean(config: &Service, exit: Exit, daemon: bool) -> bool {
    match exit {
        Exit::Code(0) => true,
        Exit::Code(code) => config.success_exit_status.codes.contains(&code),
        Exit::Signal(signal) => {
            daemon && matches!(signal, SIGHUP | SIGINT | SIGTERM | SIGPIPE)
                || config.success_exit_status.signals.contains(&signal)
        }
        Exit::Dumped(_) => false,
    }
}

/// The exit status of a child that failed at a step of its way to the program (systemd.exec(5), "Process Exit
/// Codes"), by the step's name.
fn step_status(step: &str) -> u8 {
    crate::unit::exit_status::from_name(step).unwrap_or(1)
}

impl Step<'_> {
    /// The program runs: what Type=exec waits for.
    pub(in super::super) fn executed(&mut self, pid: Pid) {
        let Some(&unit) = self.m.pids.get(&pid) else { return };
        let this = self.unit(unit);
        if this.config.service_type == ServiceType::Exec
            && this.service.state == ServiceState::Start
            && this.service.main_pid == pid
        {
            self.enter_start_post(unit);
        }
    }

    /// The child could not become its program: it says so and exits with the status of the step it failed at.
    pub(in super::super) fn exec_failed(&mut self, pid: Pid, failure: &ExecFailure) {
        let Some(&unit) = self.m.pids.get(&pid) else { return };
        let (path, forgiving) = self.command_of(unit, pid);
        let child = Some((pid, child_name(&path)));
        let name = self.unit(unit).name.clone();
        let new_words = self.m.rules.new_words;
        let invocation = self.unit(unit).invocation;
        let mut said = Vec::new();
        let mut say = |priority: u8, errno: Errno, text: String, identified: bool| {
            let mut fields = vec![errno_field(errno)];
            if identified {
                fields.push(("EXECUTABLE", path.as_str().into()));
            }
            let message = Message {
                unit: Some((&name).into()),
                priority,
                text: format!("{name}: {text}"),
                message_id: identified.then_some(catalog::SPAWN_FAILED),
                invocation_id: invocation,
                fields,
                child: child.clone(),
            };
            said.push(Effect::Journal(message));
        };
        let (step, reason) = match failure {
            &ExecFailure::Exec(reason) => {
                let missing = matches!(reason, Errno::ENOENT | Errno::EACCES | Errno::EISDIR | Errno::ENOTDIR);
                if forgiving && missing {
                    say(level::INFO, reason, format!("Executable {path} missing, skipping: {reason}"), true);
                    self.out.append(&mut said);
                    return self.exited(pid, Exit::Code(0));
                }
                if !missing {
                    say(level::ERR, reason, format!("Failed to execute {path}: {reason}"), false);
                } else if new_words {
                    say(level::NOTICE, reason, format!("Unable to locate executable '{path}': {reason}"), true);
                } else {
                    say(level::INFO, reason, format!("Failed to locate executable {path}: {reason}"), true);
                }
                ("EXEC", reason)
            }
            &ExecFailure::Chdir(reason) => {
                say(level::ERR, reason, format!("Changing to the requested working directory failed: {reason}"), false);
                ("CHDIR", reason)
            }
            ExecFailure::User => {
                let reason = Errno::ESRCH;
                say(level::ERR, reason, format!("Failed to determine user credentials: {reason}"), false);
                ("USER", reason)
            }
            ExecFailure::Group => {
                let reason = Errno::ESRCH;
                say(level::ERR, reason, format!("Failed to determine group credentials: {reason}"), false);
                ("GROUP", reason)
            }
            &ExecFailure::Other(ref step, reason) => {
                let what = match step.as_str() {
                    "STDOUT" => Some("standard output"),
                    "STDERR" => Some("standard error output"),
                    _ => None,
                };
                if let Some(what) = what {
                    say(level::ERR, reason, format!("Failed to set up {what}: {reason}"), false);
                }
                (step.as_str(), reason)
            }
        };
        say(level::ERR, reason, format!("Failed at step {step} spawning {path}: {reason}"), true);
        self.out.append(&mut said);
        self.exited(pid, Exit::Code(step_status(step)));
    }

    /// The program of a process of the unit, and whether its failures are ignored.
    fn command_of(&self, unit: UnitId, pid: Pid) -> (String, bool) {
        let this = self.unit(unit);
        let run = &this.service;
        let place = if run.control_pid == pid {
            run.control_command
        } else {
            run.main_command.map(|index| (ExecRole::Start, index))
        };
        place
            .and_then(|(role, index)| commands(&this.config, role).get(index))
            .map_or_else(|| ("n/a".to_owned(), false), |command| (command.path.clone(), command.ignore_failure))
    }

    /// A process has ended.
    pub(in super::super) fn exited(&mut self, pid: Pid, exit: Exit) {
        let Some(unit) = self.m.pids.remove(&pid) else { return };
        let config = self.config(unit);
        let run = &self.unit(unit).service;
        let is_control = run.control_pid == pid;
        // The starter of a forking service is a daemon as far as signals are concerned.
        let starter = matches!(run.control_command, Some((ExecRole::Start, _)));
        let daemon = config.service_type != ServiceType::Oneshot && (!is_control || starter);
        let result = if is_clean(&config, exit, daemon) {
            ServiceResult::Success
        } else {
            match exit {
                Exit::Code(_) => ServiceResult::ExitCode,
                Exit::Signal(_) => ServiceResult::Signal,
                Exit::Dumped(_) => ServiceResult::CoreDump,
            }
        };
        if run.main_pid == pid {
            self.main_exited(unit, &config, pid, exit, result);
        } else if is_control {
            self.control_exited(unit, &config, pid, exit, result);
        }
    }

    fn main_exited(&mut self, unit: UnitId, config: &Service, pid: Pid, exit: Exit, result: ServiceResult) {
        // The daemon may have handed over to another process, and said so in the PID file.
        if config.pid_file.is_some() && self.load_pid_file(unit, false) == Ok(true) {
            return;
        }
        let now = self.now;
        let run = &mut self.unit_mut(unit).service;
        run.main_pid = 0;
        run.main_status.ended(pid, now, exit);
        let status = run.main_status;
        let command = run.main_command;
        let forgiving = match command {
            Some(index) => {
                if let Some(slot) = self.status_slot(unit, ExecRole::Start, index) {
                    *slot = status;
                }
                config.exec_start.get(index).is_some_and(|command| command.ignore_failure)
            }
            None => config.exec_start.first().is_some_and(|command| command.ignore_failure),
        };
        let result = if forgiving { ServiceResult::Success } else { result };
        self.log_exit(unit, "Main process", ExecRole::Start, result == ServiceResult::Success, exit);
        self.note_result(unit, result);
        // Even while the unit is being stopped, if the command ended well: so does systemd 252.
        if let Some(index) = command
            && config.service_type == ServiceType::Oneshot
            && result == ServiceResult::Success
            && self.has_command(unit, ExecRole::Start, index + 1)
        {
            return self.run_next_main(unit, index + 1);
        }
        self.unit_mut(unit).service.main_command = None;
        if config.exit_type == ExitType::Cgroup && self.has_processes(unit) {
            return;
        }
        let control = self.control_alive(unit);
        match self.state(unit) {
            // With neither a main nor a control process left nothing could end the state.
            ServiceState::StartPost
            | ServiceState::Reload
            | ServiceState::ReloadSignal
            | ServiceState::ReloadNotify
            | ServiceState::ReloadPost
                if !control =>
            {
                self.enter_stop(unit, result);
            }
            ServiceState::Start if config.service_type == ServiceType::Oneshot => {
                if result == ServiceResult::Success {
                    self.enter_start_post(unit);
                } else {
                    self.enter_signal(unit, ServiceState::StopSigterm, result);
                }
            }
            ServiceState::Start if matches!(config.service_type, ServiceType::Notify | ServiceType::NotifyReload) => {
                if result != ServiceResult::Success {
                    self.enter_signal(unit, ServiceState::StopSigterm, result);
                } else if !config.remain_after_exit || self.notify_access(unit) == NotifyAccess::Main {
                    // Nobody is left who could say READY=1.
                    self.enter_signal(unit, ServiceState::StopSigterm, ServiceResult::Protocol);
                }
            }
            ServiceState::Start | ServiceState::Running => self.enter_running(unit, result),
            // Where a control process is left, its end is waited for.
            ServiceState::StopWatchdog | ServiceState::StopSigterm | ServiceState::StopSigkill if !control => {
                self.enter_stop_post(unit, result);
            }
            ServiceState::StopPost if !control => self.enter_signal(unit, ServiceState::FinalSigterm, result),
            ServiceState::FinalWatchdog | ServiceState::FinalSigterm | ServiceState::FinalSigkill if !control => {
                self.enter_dead(unit, result, true);
            }
            _ => {}
        }
    }

    fn control_exited(&mut self, unit: UnitId, config: &Service, pid: Pid, exit: Exit, result: ServiceResult) {
        let now = self.now;
        let run = &mut self.unit_mut(unit).service;
        run.control_pid = 0;
        let command = run.control_command;
        let mut result = result;
        if let Some((role, index)) = command {
            if let Some(slot) = self.status_slot(unit, role, index) {
                let mut status = *slot;
                status.ended(pid, now, exit);
                *slot = status;
            }
            if commands(config, role).get(index).is_some_and(|command| command.ignore_failure) {
                result = ServiceResult::Success;
            }
        }
        let state = self.state(unit);
        let mut success = result == ServiceResult::Success;
        let mut kind = "Control process";
        if state == ServiceState::Condition {
            kind = "Condition check process";
            match exit {
                Exit::Code(code) if result == ServiceResult::ExitCode && code < 255 => {
                    // A condition that is not met is no failure.
                    self.unit_mut(unit).condition_result = false;
                    result = ServiceResult::ExecCondition;
                    success = true;
                }
                _ if success => self.unit_mut(unit).condition_result = true,
                _ => {}
            }
        }
        let role = command.map_or(ExecRole::Start, |(role, _)| role);
        self.log_exit(unit, kind, role, success, exit);
        if !state.is_reloading() {
            self.note_result(unit, result);
        }
        if let Some((role, index)) = command
            && result == ServiceResult::Success
            && self.has_command(unit, role, index + 1)
        {
            return self.run_next_control(unit, role, index + 1);
        }
        self.unit_mut(unit).service.control_command = None;
        let main_alive = self.main_alive(unit) == Some(true);
        match state {
            ServiceState::Condition if result == ServiceResult::Success => self.enter_start_pre(unit),
            ServiceState::StartPre if result == ServiceResult::Success => self.enter_start(unit),
            ServiceState::Start if config.service_type != ServiceType::Forking => {}
            ServiceState::Start if result == ServiceResult::Success => self.forked(unit, config),
            ServiceState::StartPost if result == ServiceResult::Success => self.start_post_done(unit, config),
            ServiceState::Condition | ServiceState::StartPre | ServiceState::Start | ServiceState::StartPost => {
                self.enter_signal(unit, ServiceState::StopSigterm, result);
            }
            ServiceState::Reload => {
                if result == ServiceResult::Success && self.load_pid_file(unit, true).is_err() {
                    self.search_main_pid(unit, config);
                }
                if result == ServiceResult::Success {
                    self.enter_reload_post(unit);
                } else {
                    self.reload_failed(unit, result);
                }
            }
            ServiceState::ReloadPost if result == ServiceResult::Success => {
                self.enter_running(unit, ServiceResult::Success);
            }
            ServiceState::ReloadPost => self.reload_failed(unit, result),
            ServiceState::Stop => self.enter_signal(unit, ServiceState::StopSigterm, result),
            ServiceState::StopWatchdog | ServiceState::StopSigterm | ServiceState::StopSigkill if !main_alive => {
                self.enter_stop_post(unit, result);
            }
            ServiceState::StopPost if !main_alive => {
                self.enter_signal(unit, ServiceState::FinalSigterm, result);
            }
            ServiceState::FinalWatchdog | ServiceState::FinalSigterm | ServiceState::FinalSigkill if !main_alive => {
                self.enter_dead(unit, result, true);
            }
            _ => {}
        }
    }

    /// The last process of the unit is gone.
    pub(in super::super) fn cgroup_empty(&mut self, name: &str) {
        let Some(unit) = self.m.id(name) else { return };
        self.queue_gc(unit);
        let config = self.config(unit);
        let (main, control) = (self.main_alive(unit), self.control_alive(unit));
        let nobody = main != Some(true) && !control;
        let waits_for_pid = config.pid_file.is_some() && main == Some(false) && !control;
        match self.state(unit) {
            ServiceState::Start
                if matches!(config.service_type, ServiceType::Notify | ServiceType::NotifyReload)
                    && main == Some(false)
                    && !control =>
            {
                self.enter_stop_post(unit, ServiceResult::Protocol);
            }
            ServiceState::Start if config.exit_type == ExitType::Cgroup && main != Some(true) => {
                self.enter_start_post(unit);
            }
            // A daemon that dies before anybody knows it is missed by the start timeout alone.
            state @ (ServiceState::Start | ServiceState::StartPost) if waits_for_pid => {
                self.log(unit, level::WARNING, "Daemon never wrote its PID file. Failing.");
                self.unit_mut(unit).service.awaits_pid_file = false;
                if state == ServiceState::Start {
                    self.enter_stop_post(unit, ServiceResult::Protocol);
                } else {
                    self.enter_stop(unit, ServiceResult::Protocol);
                }
            }
            ServiceState::Running => self.enter_running(unit, ServiceResult::Success),
            ServiceState::StopWatchdog | ServiceState::StopSigterm | ServiceState::StopSigkill if nobody => {
                self.enter_stop_post(unit, ServiceResult::Success);
            }
            ServiceState::StopPost
            | ServiceState::FinalWatchdog
            | ServiceState::FinalSigterm
            | ServiceState::FinalSigkill
                if nobody =>
            {
                self.enter_dead(unit, ServiceResult::Success, true);
            }
            _ => {}
        }
    }

    /// `Main process exited, code=exited, status=1/FAILURE`; a clean end is not worth a line.
    fn log_exit(&mut self, unit: UnitId, kind: &str, role: ExecRole, success: bool, exit: Exit) {
        if success {
            return;
        }
        let named = |signal: i32| (u64::from(signal.unsigned_abs()), crate::unit::signal::name(signal).into());
        let (code, (number, word)) = match exit {
            Exit::Code(code) => {
                let name = crate::unit::exit_status::name(code).map_or("n/a", |(name, _)| name);
                ("exited", (u64::from(code), Text::fixed(name)))
            }
            Exit::Signal(signal) => ("killed", named(signal)),
            Exit::Dumped(signal) => ("dumped", named(signal)),
        };
        let number = Text::number(number);
        let priority = if code == "exited" { level::NOTICE } else { level::WARNING };
        let name = &self.unit(unit).name;
        let text = concat([name, ": ", kind, " exited, code=", code, ", status=", &number, "/", &word]);
        let fields =
            vec![("EXIT_CODE", Text::fixed(code)), ("EXIT_STATUS", number), ("COMMAND", Text::fixed(role.as_str()))];
        self.log_full(unit, priority, text, Some(catalog::PROCESS_EXIT), fields);
    }

    /// Records that a command was started.
    pub(super) fn note_start(&mut self, unit: UnitId, role: ExecRole, index: usize, pid: Pid) {
        let now = self.now;
        if let Some(slot) = self.status_slot(unit, role, index) {
            *slot = ExecStatus::started(pid, now);
        }
    }
}

/// What a child calls itself before it becomes its program: the last eight characters of the program's name.
pub(in super::super) fn child_name(path: &str) -> String {
    let base = path.rsplit('/').next().unwrap_or(path);
    let skip = base.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    format!("({})", &base[skip..])
}
