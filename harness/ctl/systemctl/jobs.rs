//! Verbs that enqueue jobs, and what becomes of the jobs (SPEC 9.1).

use crate::manager::{JobId, JobResult, JobVerb, Reply, RequestError, RequestErrorKind};

use super::properties::Properties;
use super::{Systemctl, Task};
use crate::ctl::View;

/// A verb that enqueues a job, and the name of the job in messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JobAction {
    verb: &'static str,
    pub(super) job: JobVerb,
    job_type: &'static str,
}

impl JobAction {
    /// As it is typed.
    pub(super) const fn verb(&self) -> &'static str {
        self.verb
    }
}

const fn action(verb: &'static str, job: JobVerb, job_type: &'static str) -> JobAction {
    JobAction { verb, job, job_type }
}

const ACTIONS: &[JobAction] = &[
    action("start", JobVerb::Start, "start"),
    action("isolate", JobVerb::Start, "start"),
    action("stop", JobVerb::Stop, "stop"),
    action("condstop", JobVerb::Stop, "stop"),
    action("reload", JobVerb::Reload, "reload"),
    action("restart", JobVerb::Restart, "restart"),
    action("try-restart", JobVerb::TryRestart, "try-restart"),
    action("condrestart", JobVerb::TryRestart, "try-restart"),
    action("reload-or-restart", JobVerb::ReloadOrRestart, "reload-or-restart"),
    action("try-reload-or-restart", JobVerb::TryReloadOrRestart, "reload-or-try-restart"),
    action("reload-or-try-restart", JobVerb::TryReloadOrRestart, "reload-or-try-restart"),
    action("condreload", JobVerb::TryReloadOrRestart, "reload-or-try-restart"),
    action("force-reload", JobVerb::TryReloadOrRestart, "reload-or-try-restart"),
];

impl Systemctl {
    /// Enqueues a job for each of the units, then waits for them.
    pub(super) fn plan_jobs(&mut self, verb: &str, units: Vec<String>) {
        let Some(action) = ACTIONS.iter().find(|action| action.verb == verb) else { return };
        self.tasks.extend(units.into_iter().map(|unit| Task::Job(action, unit)));
        if !self.options.no_block {
            self.tasks.push_back(Task::WaitJobs);
        }
    }

    /// Goes on after the manager has answered.
    pub(super) fn enqueued(&mut self, action: &'static JobAction, unit: String, reply: Reply, view: &dyn View) {
        match reply {
            Reply::Error(error) => self.refused(action, &unit, &error),
            reply => {
                if Properties::of(view, &unit).flag("NeedDaemonReload") {
                    self.warn_changed(&unit);
                }
                if let Reply::Job(job) = reply
                    && !self.options.no_block
                {
                    self.jobs.push(job);
                }
                if action.job == JobVerb::Stop {
                    self.stopped.push(unit);
                }
                // From here on the jobs of this command are known.
                if !self.tasks.iter().any(|task| matches!(task, Task::Job(..))) {
                    let jobs = &self.jobs;
                    self.removed.retain(|(job, ..)| jobs.contains(job));
                }
            }
        }
    }

    /// A job was refused (SPEC 9.1).
    fn refused(&mut self, action: &JobAction, unit: &str, error: &RequestError) {
        let is_try = matches!(action.job, JobVerb::TryRestart | JobVerb::TryReloadOrRestart);
        if error.kind == RequestErrorKind::Masked && is_try {
            return;
        }
        let code = match error.kind {
            RequestErrorKind::NoSuchUnit => 5,
            RequestErrorKind::OnlyByDependency
            | RequestErrorKind::NoIsolation
            | RequestErrorKind::TransactionIsDestructive => 4,
            RequestErrorKind::JobTypeNotApplicable => 3,
            RequestErrorKind::LoadFailed
            | RequestErrorKind::Masked
            | RequestErrorKind::NotActive
            | RequestErrorKind::Failed => 1,
        };
        self.fail(code);
        self.output.complain(format!("Failed to {} {unit}: {}", action.job_type, error.message));
        let obvious = matches!(
            error.kind,
            RequestErrorKind::NoSuchUnit | RequestErrorKind::Masked | RequestErrorKind::JobTypeNotApplicable
        );
        if !obvious {
            let dashes = if unit.starts_with('-') { " --" } else { "" };
            self.output.complain(format!("See system logs and 'systemctl status{dashes} {unit}' for details."));
        }
    }

    /// Says of the jobs that have ended what there is to say.
    pub(super) fn report_jobs(&mut self, view: &dyn View) {
        for (job, unit, result) in std::mem::take(&mut self.removed) {
            let Some(at) = self.jobs.iter().position(|known| *known == job) else { continue };
            self.jobs.swap_remove(at);
            if matches!(result, JobResult::Done | JobResult::Skipped) {
                continue;
            }
            // A job that failed counts for more than a request that was refused before.
            self.output.code = 1;
            if !self.options.quiet {
                for line in job_failure(&unit, result, view) {
                    self.output.complain(line);
                }
            }
        }
    }

    /// Plans to look at what can start the stopped units again.
    pub(super) fn plan_triggers(&mut self) {
        let stopped = std::mem::take(&mut self.stopped);
        if !self.options.quiet {
            self.tasks.extend(stopped.into_iter().map(Task::IsMasked));
        }
    }

    /// Says what can start a stopped unit again.
    pub(super) fn warn_of_triggers(&mut self, unit: &str, view: &dyn View) {
        let properties = Properties::of(view, unit);
        let active = |unit: &&str| matches!(Properties::of(view, unit).get("ActiveState"), "active" | "reloading");
        let triggers: Vec<&str> = properties.words("TriggeredBy").into_iter().filter(active).collect();
        if !triggers.is_empty() {
            self.output.complain(format!("Warning: Stopping {unit}, but it can still be activated by:"));
        }
        for trigger in triggers {
            self.output.complain(format!("  {trigger}"));
        }
    }
}

/// The number of a job, as systemd reads numbers: with the base that its prefix says.
pub(super) fn number(word: &str) -> Result<JobId, &'static str> {
    const INVALID: &str = "Invalid argument";
    const RANGE: &str = "Numerical result out of range";
    let text = word.trim_start_matches([' ', '\t', '\n', '\r']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixes = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8), ("0", 8)];
    let based = prefixes.iter().find_map(|(prefix, base)| Some((digits.strip_prefix(prefix)?, *base)));
    let (digits, base) = based.filter(|(rest, _)| !rest.is_empty()).unwrap_or((digits, 10));
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return Err(INVALID);
    }
    match u32::from_str_radix(digits, base) {
        Ok(number) if !negative || number == 0 => Ok(number),
        _ => Err(RANGE),
    }
}

/// What a failed job is reported with (SPEC 9.1).
fn job_failure(unit: &str, result: JobResult, view: &dyn View) -> Vec<String> {
    let line = match result {
        JobResult::Done | JobResult::Skipped => return Vec::new(),
        JobResult::Canceled => format!("Job for {unit} canceled."),
        JobResult::Timeout => format!("Job for {unit} timed out."),
        JobResult::Dependency => {
            format!("A dependency job for {unit} failed. See 'journalctl -xe' for details.")
        }
        JobResult::Invalid => format!("{unit} is not active, cannot reload."),
        JobResult::Assert => format!("Assertion failed on job for {unit}."),
        JobResult::Unsupported => format!("Operation on or unit type of {unit} not supported on this system."),
        JobResult::Collected => format!("Queued job for {unit} was garbage collected."),
        JobResult::Once => format!("Unit {unit} was started already once and can't be started again."),
        JobResult::Failed if !unit.ends_with(".service") => {
            "Job failed. See \"journalctl -xe\" for details.".to_owned()
        }
        JobResult::Failed => return service_failure(unit, Properties::of(view, unit).get("Result")),
    };
    vec![line]
}

fn service_failure(unit: &str, result: &str) -> Vec<String> {
    let because = match result {
        "resources" => " because of unavailable resources or another system error",
        "protocol" => " because the service did not take the steps required by its unit configuration",
        "timeout" => " because a timeout was exceeded",
        "exit-code" => " because the control process exited with error code",
        "signal" => " because a fatal signal was delivered to the control process",
        "core-dump" => " because a fatal signal was delivered causing the control process to dump core",
        "watchdog" => " because the service failed to send watchdog ping",
        "start-limit-hit" => " because start of the service was attempted too often",
        _ => "",
    };
    // A name that the shell would take apart is quoted.
    let word = if unit.contains('\\') { format!("\"{}\"", unit.replace('\\', "\\\\")) } else { unit.to_owned() };
    let mut lines = vec![
        format!("Job for {unit} failed{because}."),
        format!("See \"systemctl status {word}\" and \"journalctl -xeu {word}\" for details."),
    ];
    if result == "start-limit-hit" {
        lines.push(format!("To force a start use \"systemctl reset-failed {word}\""));
        lines.push(format!("followed by \"systemctl start {word}\" again."));
    }
    lines
}
