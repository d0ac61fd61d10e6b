//! Jobs: what is asked of a unit, how requests merge, what a job's end sets off (systemd's job engine).

use super::catalog::{self, level};
use super::interface::{Effect, JobId, JobResult};
use super::loaded::{Kind, Relation, Timer, UnitId};
use super::states::{ActiveState, ServiceResult};
use super::step::{Refusal, Step};
use super::text::{Text, concat};
use crate::time::Span;
use crate::unit::ServiceType;

/// How many jobs of a unit run at one moment before the next one waits for the next point of the timer grid.
///
/// On a real machine a start takes a few milliseconds, so even a service that fails at once and may come back at once,
/// for ever, lets time pass. Here a program may end at the moment it begins: with RestartSec=0, or two units that are
/// each other's OnFailure=, and no start limit, there would be no next moment. (With a limit, two units that fail
/// because of a third one, and call for each other, do the same.) Every such loop goes through jobs, whoever drives the
/// manager, so the job queue is where it is broken. A hundred starts a second is about what a real machine manages.
const MOST_AT_ONCE: u32 = 25;

/// Types of jobs that exist as jobs; `try-` and `reload-or-` variants collapse before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum JobType {
    Start,
    VerifyActive,
    Stop,
    Reload,
    ReloadOrStart,
    Restart,
}

impl JobType {
    pub const fn as_str(self) -> &'static str {
        match self {
            JobType::Start => "start",
            JobType::VerifyActive => "verify-active",
            JobType::Stop => "stop",
            JobType::Reload => "reload",
            JobType::ReloadOrStart => "reload-or-start",
            JobType::Restart => "restart",
        }
    }

    /// What both together ask for; `None` if they contradict each other.
    pub const fn merge(self, other: JobType) -> Option<JobType> {
        use JobType::{Reload, ReloadOrStart, Restart, Start, Stop, VerifyActive};
        Some(match (self, other) {
            (Stop, Stop) => Stop,
            (Stop, _) | (_, Stop) => return None,
            (Restart, _) | (_, Restart) => Restart,
            (ReloadOrStart, _) | (_, ReloadOrStart) => ReloadOrStart,
            (Start, Reload) | (Reload, Start) => ReloadOrStart,
            (Start, _) | (_, Start) => Start,
            (Reload, _) | (_, Reload) => Reload,
            (VerifyActive, VerifyActive) => VerifyActive,
        })
    }

    pub fn conflicts_with(self, other: JobType) -> bool {
        self.merge(other).is_none()
    }

    /// Whether a running job of this type may take in one of type `other` without being run again.
    fn takes_in(self, other: JobType) -> bool {
        other != JobType::Reload && self.merge(other) == Some(self)
    }

    /// Whether the unit's state is already what the job wants; a restart never is.
    pub const fn is_redundant(self, state: ActiveState) -> bool {
        match self {
            JobType::Start | JobType::VerifyActive | JobType::ReloadOrStart => state.is_up(),
            JobType::Stop => state.is_down(),
            JobType::Reload => matches!(state, ActiveState::Reloading),
            JobType::Restart => false,
        }
    }

    /// A restart stops first, and waits as a stop does.
    const fn stops(self) -> bool {
        matches!(self, JobType::Stop | JobType::Restart)
    }
}

/// The job of a unit; there is at most one.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub id: JobId,
    pub kind: JobType,
    pub running: bool,
    pub queued: bool,
    pub ignore_order: bool,
    /// No job replaces it.
    pub irreversible: bool,
}

/// A step of ending jobs.
enum Ending {
    /// The unit's job ends. `already`: it changed nothing, so nothing is logged.
    Job { unit: UnitId, result: JobResult, recursive: bool, already: bool },
    /// Those that depended on the job have ended.
    Aftermath { unit: UnitId, kind: JobType, result: JobResult },
}

/// How a unit took an order.
pub(super) enum Started {
    /// It acts, and says so with a message unless it has already finished.
    Acts,
    /// It acts, or was on it already: no message.
    Silent,
}

impl Step<'_> {
    /// Puts a job on its unit, merging it into or cancelling the one that is there.
    pub(super) fn install_job(&mut self, unit: UnitId, id: JobId, kind: JobType, ignore_order: bool) -> JobId {
        if let Some(present) = self.unit(unit).job.as_ref() {
            let old = present.kind;
            match old.merge(kind) {
                None => self.finish_job(unit, JobResult::Canceled, false, false),
                Some(merged) => {
                    let late = old.takes_in(kind);
                    if let Some(job) = self.unit_mut(unit).job.as_mut() {
                        job.kind = merged;
                        job.ignore_order |= ignore_order;
                        if job.running && !late {
                            job.running = false;
                        }
                        let id = job.id;
                        self.queue_job(unit);
                        return id;
                    }
                }
            }
        }
        self.unit_mut(unit).job =
            Some(Job { id, kind, running: false, queued: false, ignore_order, irreversible: false });
        self.m.job_count += 1;
        let timeout = self.unit(unit).def.job_timeout_sec;
        if !timeout.is_zero() && !timeout.is_infinite() {
            self.arm_after(unit, Timer::Job, timeout);
        }
        self.queue_job(unit);
        id
    }

    /// Puts the unit's job, if it has one, into the run queue. One that runs is passed over there, unless it has to
    /// wait by then.
    pub(super) fn queue_job(&mut self, unit: UnitId) {
        if let Some(job) = self.unit_mut(unit).job.as_mut()
            && !job.queued
        {
            job.queued = true;
            self.m.enqueue_run(unit);
        }
    }

    /// Whether nothing that is ordered before the job is still to be done.
    fn is_runnable(&self, unit: UnitId) -> bool {
        let this = self.unit(unit);
        let Some(job) = this.job.as_ref() else { return false };
        if job.ignore_order || self.m.job_count == 1 {
            return true;
        }
        // Of two ordered units the later one goes first if it is to stop, else the earlier one does.
        let blocked = |relation: Relation| {
            this.related(relation).filter_map(|other| self.unit(other).job.as_ref()).any(|other| {
                !other.ignore_order && if relation == Relation::After { !job.kind.stops() } else { other.kind.stops() }
            })
        };
        !blocked(Relation::After) && !blocked(Relation::Before)
    }

    /// Whether the unit's job has to wait because too many of them have run at this very moment.
    fn takes_breath(&mut self, unit: UnitId) -> bool {
        let busy = self.unit(unit).busy;
        let waits = busy.0 == self.now && busy.1 >= MOST_AT_ONCE;
        if waits {
            self.arm_after(unit, Timer::Breather, Span::from_micros(1));
        }
        waits
    }

    /// Counts a job that has done something, or has failed to.
    fn count_run(&mut self, unit: UnitId) {
        let now = self.now;
        let busy = &mut self.unit_mut(unit).busy;
        *busy = (now, if busy.0 == now { busy.1.saturating_add(1) } else { 1 });
    }

    /// Runs the unit's job as far as it goes now.
    pub(super) fn run_job(&mut self, unit: UnitId) {
        let Some(job) = self.unit_mut(unit).job.as_mut() else { return };
        job.queued = false;
        if job.running || !self.is_runnable(unit) || self.takes_breath(unit) {
            return;
        }
        let Some(job) = self.unit_mut(unit).job.as_mut() else { return };
        job.running = true;
        let (id, mut kind) = (job.id, job.kind);
        let timeout = self.unit(unit).def.job_running_timeout_sec;
        if !timeout.is_zero() && !timeout.is_infinite() && self.now + timeout < self.deadline(unit, Timer::Job) {
            self.arm_after(unit, Timer::Job, timeout);
        }
        if kind == JobType::ReloadOrStart {
            // Decided when it runs: by then the unit may have come up or gone down.
            kind = if self.unit(unit).active().is_up() { JobType::Reload } else { JobType::Start };
            if let Some(job) = self.unit_mut(unit).job.as_mut() {
                job.kind = kind;
            }
        }
        let result = match kind {
            JobType::VerifyActive => match self.unit(unit).active() {
                state if state.is_up() => Err(Refusal::Already),
                ActiveState::Activating => Err(Refusal::Later),
                _ => Err(Refusal::Skip),
            },
            JobType::Start => self.start_unit(unit),
            JobType::Stop | JobType::Restart => self.stop_unit(unit),
            JobType::Reload | JobType::ReloadOrStart => self.reload_unit(unit),
        };
        // A restart is counted when it goes on as a start.
        if kind != JobType::Restart && !matches!(result, Err(Refusal::Already)) {
            self.count_run(unit);
        }
        // The order may have ended the job, or a reaction to it may have put another one in its place.
        if self.unit(unit).job.as_ref().is_none_or(|job| job.id != id) {
            return;
        }
        match result {
            Ok(Started::Acts) => self.log_job_begin(unit, kind),
            Ok(Started::Silent) => {}
            Err(Refusal::Later) => {
                if let Some(job) = self.unit_mut(unit).job.as_mut() {
                    job.running = false;
                }
            }
            Err(Refusal::Already) => self.finish_job(unit, JobResult::Done, true, true),
            Err(Refusal::ConditionUnmet) => self.finish_job(unit, JobResult::Done, true, false),
            Err(Refusal::Skip) => self.finish_job(unit, JobResult::Skipped, true, false),
            Err(Refusal::Inactive) => self.finish_job(unit, JobResult::Invalid, true, false),
            Err(Refusal::AssertFailed) => self.finish_job(unit, JobResult::Assert, true, false),
            Err(Refusal::Unsupported) => self.finish_job(unit, JobResult::Unsupported, true, false),
            Err(Refusal::DependencyDown) => self.finish_job(unit, JobResult::Dependency, true, false),
            Err(Refusal::Failed) => self.finish_job(unit, JobResult::Failed, true, false),
        }
    }

    /// Ends the unit's job. `already`: the job changed nothing, so nothing is logged.
    pub(super) fn finish_job(&mut self, unit: UnitId, result: JobResult, recursive: bool, already: bool) {
        // Failing dependants, each with its own dependants before the next, is done with a list: a chain of units may be
        // longer than the stack.
        let mut todo = Vec::new();
        let mut next = Some(Ending::Job { unit, result, recursive, already });
        while let Some(ending) = next.take().or_else(|| todo.pop()) {
            let (unit, result, recursive, already) = match ending {
                Ending::Job { unit, result, recursive, already } => (unit, result, recursive, already),
                Ending::Aftermath { unit, kind, result } => {
                    self.after_job(unit, kind, result);
                    continue;
                }
            };
            let Some(job) = self.unit(unit).job.as_ref() else { continue };
            let (id, kind) = (job.id, job.kind);
            if !already {
                self.log_job_end(unit, id, kind, result);
            }
            if result == JobResult::Done && kind == JobType::Restart {
                // The stop half is done; the same job goes on as a start.
                if let Some(job) = self.unit_mut(unit).job.as_mut() {
                    job.kind = JobType::Start;
                    job.running = false;
                }
                self.queue_job(unit);
                self.wake_ordered_jobs(unit);
                continue;
            }
            self.remove_job(unit, result);
            todo.push(Ending::Aftermath { unit, kind, result });
            if result != JobResult::Done && recursive {
                let relations: &[Relation] = match kind {
                    JobType::Start | JobType::VerifyActive => {
                        &[Relation::RequiredBy, Relation::RequisiteOf, Relation::BoundBy]
                    }
                    JobType::Stop => &[Relation::ConflictedBy],
                    _ => &[],
                };
                self.collect_failing(unit, relations, &mut todo);
            }
            if result == JobResult::Done && kind == JobType::Start && self.unit(unit).active().is_down() {
                // What went straight from starting to inactive does not satisfy Requisite=.
                self.collect_failing(unit, &[Relation::RequisiteOf], &mut todo);
            }
        }
    }

    /// What follows the end of a job once those that depended on it have ended, too.
    fn after_job(&mut self, unit: UnitId, kind: JobType, result: JobResult) {
        if matches!(result, JobResult::Timeout | JobResult::Dependency) {
            let name = &self.unit(unit).name;
            let (kind, result) = (kind.as_str(), result.as_str());
            let text = format!("{name}: Job {name}/{kind} failed with result '{result}'.");
            let fields = vec![("JOB_TYPE", Text::fixed(kind)), ("JOB_RESULT", Text::fixed(result))];
            self.log_of_no_invocation(unit, level::NOTICE, text, fields);
            self.start_triggered(unit, Relation::OnFailure);
        }
        self.tell_triggering_sockets(unit);
        self.wake_ordered_jobs(unit);
    }

    fn collect_failing(&self, unit: UnitId, relations: &[Relation], todo: &mut Vec<Ending>) {
        let starts = |other: &UnitId| {
            let job = self.unit(*other).job.as_ref();
            job.is_some_and(|job| matches!(job.kind, JobType::Start | JobType::VerifyActive))
        };
        let first = todo.len();
        for &relation in relations {
            let failing = self.unit(unit).related(relation).filter(starts);
            todo.extend(failing.map(|unit| Ending::Job {
                unit,
                result: JobResult::Dependency,
                recursive: true,
                already: false,
            }));
        }
        // The last one is taken first.
        todo[first..].reverse();
    }

    /// JobTimeoutSec= or JobRunningTimeoutSec= is over.
    pub(super) fn job_timeout(&mut self, unit: UnitId) {
        let Some(kind) = self.unit(unit).job.as_ref().map(|job| job.kind) else { return };
        let text = format!("Job {}/{} timed out.", self.unit(unit).name, kind.as_str());
        self.log(unit, level::WARNING, &text);
        self.finish_job(unit, JobResult::Timeout, true, false);
    }

    fn remove_job(&mut self, unit: UnitId, result: JobResult) {
        let Some(job) = self.unit_mut(unit).job.take() else { return };
        self.m.job_count -= 1;
        self.disarm(unit, Timer::Job);
        self.disarm(unit, Timer::Breather);
        let name = (&self.unit(unit).name).into();
        self.out.push(Effect::JobRemoved { job: job.id, unit: name, result });
        self.unsettle(unit);
        self.queue_gc(unit);
    }

    fn wake_ordered_jobs(&mut self, unit: UnitId) {
        if self.m.job_count == 0 {
            return;
        }
        let ordered: Vec<UnitId> =
            self.unit(unit).related(Relation::After).chain(self.unit(unit).related(Relation::Before)).collect();
        for other in ordered {
            self.queue_job(other);
        }
    }

    /// Tells the unit's job that the unit changed its state. Whether the change was one that no job asked for.
    pub(super) fn job_sees(&mut self, unit: UnitId, state: ActiveState, reload_failed: bool) -> bool {
        let Some(job) = self.unit(unit).job.as_ref() else { return true };
        let (kind, running) = (job.kind, job.running);
        if !running {
            self.queue_job(unit);
        }
        match kind {
            JobType::Start | JobType::VerifyActive => {
                if state.is_up() {
                    self.finish_job(unit, JobResult::Done, true, false);
                } else if running && state != ActiveState::Activating {
                    if state.is_down() {
                        let result = if state == ActiveState::Failed { JobResult::Failed } else { JobResult::Done };
                        self.finish_job(unit, result, true, false);
                    }
                    return true;
                }
            }
            JobType::Reload | JobType::ReloadOrStart => {
                if running {
                    if state == ActiveState::Active {
                        let result = if reload_failed { JobResult::Failed } else { JobResult::Done };
                        self.finish_job(unit, result, true, false);
                    } else if !matches!(state, ActiveState::Activating | ActiveState::Reloading) {
                        if state.is_down() {
                            self.finish_job(unit, JobResult::Failed, true, false);
                        }
                        return true;
                    }
                }
            }
            JobType::Stop | JobType::Restart => {
                if state.is_down() {
                    self.finish_job(unit, JobResult::Done, true, false);
                } else if running && state != ActiveState::Deactivating {
                    self.finish_job(unit, JobResult::Failed, true, false);
                    return true;
                }
            }
        }
        false
    }

    /// Whether a stop of the unit is queued (a restart is none).
    pub(super) fn stop_pending(&self, unit: UnitId) -> bool {
        self.unit(unit).job.as_ref().is_some_and(|job| job.kind == JobType::Stop)
    }

    fn log_job_begin(&mut self, unit: UnitId, kind: JobType) {
        let (word, kind, id) = match kind {
            JobType::Start => ("Starting", JobType::Start, catalog::STARTING),
            // A restart announces its stop half as the stop that it is.
            JobType::Stop | JobType::Restart => ("Stopping", JobType::Stop, catalog::STOPPING),
            JobType::Reload => ("Reloading", JobType::Reload, catalog::RELOADING),
            _ => return,
        };
        let Some(job) = self.unit(unit).job.as_ref().map(|job| job.id) else { return };
        let text = concat([word, " ", &self.unit(unit).ident, "..."]);
        let fields = vec![("JOB_ID", Text::number(job.into())), ("JOB_TYPE", Text::fixed(kind.as_str()))];
        self.log_full(unit, level::INFO, text, Some(id), fields);
    }

    fn log_job_end(&mut self, unit: UnitId, job: JobId, kind: JobType, result: JobResult) {
        let this = self.unit(unit);
        let ident = &this.ident;
        let text = if kind == JobType::Start && result == JobResult::Done && !this.condition_result {
            self.skipped_text(unit)
        } else {
            let (before, after) = match (kind, result) {
                (JobType::Start, JobResult::Done) => match this.kind {
                    Kind::Service if this.config.service_type == ServiceType::Oneshot => ("Finished ", "."),
                    Kind::Socket => ("Listening on ", "."),
                    Kind::Target => ("Reached target ", "."),
                    _ => ("Started ", "."),
                },
                (JobType::Start, JobResult::Failed) if this.kind == Kind::Socket => ("Failed to listen on ", "."),
                (JobType::Start, JobResult::Failed) => ("Failed to start ", "."),
                (JobType::Start, JobResult::Timeout) => ("Timed out starting ", "."),
                (JobType::Start, JobResult::Dependency) => ("Dependency failed for ", "."),
                (JobType::Start, JobResult::Assert) => ("Assertion failed for ", "."),
                (JobType::Start, JobResult::Unsupported) => ("Starting of ", " unsupported."),
                (JobType::Stop | JobType::Restart, JobResult::Done) => match this.kind {
                    Kind::Socket => ("Closed ", "."),
                    Kind::Target => ("Stopped target ", "."),
                    _ => ("Stopped ", "."),
                },
                (JobType::Stop | JobType::Restart, JobResult::Failed) => ("Stopped (with error) ", "."),
                (JobType::Stop | JobType::Restart, JobResult::Timeout) => ("Timed out stopping ", "."),
                (JobType::Reload | JobType::ReloadOrStart, JobResult::Done) => ("Reloaded ", "."),
                (JobType::Reload | JobType::ReloadOrStart, JobResult::Failed) => ("Reload failed for ", "."),
                (JobType::Reload | JobType::ReloadOrStart, JobResult::Timeout) => ("Timed out reloading ", "."),
                _ => return,
            };
            concat([before, ident, after])
        };
        let priority = match result {
            JobResult::Timeout | JobResult::Failed | JobResult::Once => level::ERR,
            JobResult::Dependency | JobResult::Assert | JobResult::Unsupported => level::WARNING,
            JobResult::Skipped => level::NOTICE,
            JobResult::Done | JobResult::Canceled | JobResult::Invalid | JobResult::Collected => level::INFO,
        };
        let id = match kind {
            JobType::Start if result == JobResult::Done => Some(catalog::STARTED),
            JobType::Start => Some(catalog::FAILED),
            JobType::Stop | JobType::Restart => Some(catalog::STOPPED),
            JobType::Reload | JobType::ReloadOrStart => Some(catalog::RELOADED),
            JobType::VerifyActive => None,
        };
        let fields = vec![
            ("JOB_ID", Text::number(job.into())),
            ("JOB_TYPE", Text::fixed(kind.as_str())),
            ("JOB_RESULT", Text::fixed(result.as_str())),
        ];
        self.log_full(unit, priority, text, id, fields);
    }

    /// What is said of a start that a condition turned into nothing.
    fn skipped_text(&self, unit: UnitId) -> String {
        let this = self.unit(unit);
        let ident = &this.ident;
        if this.kind == Kind::Service && this.service.result == ServiceResult::ExecCondition {
            return format!("Condition check resulted in {ident} being skipped.");
        }
        let mut plain = this.unmet_conditions.iter().filter_map(|index| this.def.conditions.get(*index));
        let Some(condition) = plain.find(|condition| !condition.trigger) else {
            return if self.m.rules.new_words {
                format!("{ident} skipped, no trigger condition checks were met.")
            } else {
                format!("{ident} was skipped because no trigger condition checks were met.")
            };
        };
        let negate = if condition.negate { "!" } else { "" };
        let (key, parameter) = (&condition.key, &condition.parameter);
        if self.m.rules.new_words {
            format!("{ident} skipped, unmet condition check {key}={negate}{parameter}")
        } else {
            format!("{ident} was skipped because of an unmet condition check ({key}={negate}{parameter}).")
        }
    }
}
