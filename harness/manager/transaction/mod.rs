//! Transactions: which jobs a job brings along, and what of them is left after merging (systemd's transaction engine).

mod cycle;
mod plan;

use super::catalog::level;
use std::collections::HashSet;

use super::interface::{JobId, JobMode, JobResult, RequestError, RequestErrorKind};
use super::job::JobType;
use super::loaded::{Kind, Relation, UnitId};
use super::states::ActiveState;
use super::step::Step;
use crate::unit::LoadState;

/// What a job of some type asks of related units.
struct Pull {
    relation: Relation,
    kind: PullKind,
    /// Whether the anchor fails if that cannot be.
    required: bool,
    /// Whether it is there because the two cannot be at once.
    conflicts: bool,
}

#[derive(Clone, Copy)]
enum PullKind {
    Job(JobType),
    /// A restart, but only of what runs.
    TryRestart,
    /// A reload, but only of what runs.
    TryReload,
}

const START_PULLS: &[Pull] = &[
    Pull { relation: Relation::Requires, kind: PullKind::Job(JobType::Start), required: true, conflicts: false },
    Pull { relation: Relation::BindsTo, kind: PullKind::Job(JobType::Start), required: true, conflicts: false },
    Pull { relation: Relation::Wants, kind: PullKind::Job(JobType::Start), required: false, conflicts: false },
    Pull { relation: Relation::Upholds, kind: PullKind::Job(JobType::Start), required: false, conflicts: false },
    Pull {
        relation: Relation::Requisite,
        kind: PullKind::Job(JobType::VerifyActive),
        required: true,
        conflicts: false,
    },
    Pull { relation: Relation::Conflicts, kind: PullKind::Job(JobType::Stop), required: true, conflicts: true },
    Pull { relation: Relation::ConflictedBy, kind: PullKind::Job(JobType::Stop), required: false, conflicts: false },
];

const STOP_PULLS: &[Pull] = &[
    Pull { relation: Relation::RequiredBy, kind: PullKind::Job(JobType::Stop), required: true, conflicts: false },
    Pull { relation: Relation::RequisiteOf, kind: PullKind::Job(JobType::Stop), required: true, conflicts: false },
    Pull { relation: Relation::BoundBy, kind: PullKind::Job(JobType::Stop), required: true, conflicts: false },
    Pull { relation: Relation::ConsistsOf, kind: PullKind::Job(JobType::Stop), required: true, conflicts: false },
    Pull { relation: Relation::PropagatesStopTo, kind: PullKind::Job(JobType::Stop), required: true, conflicts: false },
];

const RESTART_PULLS: &[Pull] = &[
    Pull { relation: Relation::RequiredBy, kind: PullKind::TryRestart, required: true, conflicts: false },
    Pull { relation: Relation::RequisiteOf, kind: PullKind::TryRestart, required: true, conflicts: false },
    Pull { relation: Relation::BoundBy, kind: PullKind::TryRestart, required: true, conflicts: false },
    Pull { relation: Relation::ConsistsOf, kind: PullKind::TryRestart, required: true, conflicts: false },
];

const RELOAD_PULLS: &[Pull] =
    &[Pull { relation: Relation::PropagatesReloadTo, kind: PullKind::TryReload, required: false, conflicts: false }];

/// The relations through which a change that no job asked for spreads.
const SYMPATHETIC: &[Relation] = &[
    Relation::Requires,
    Relation::BindsTo,
    Relation::Upholds,
    Relation::Wants,
    Relation::Conflicts,
    Relation::ConflictedBy,
    Relation::BoundBy,
    Relation::PropagatesStopTo,
];

/// What a job of this type asks of which related units.
fn pulls(kind: JobType, restart_dependants: bool) -> [&'static [Pull]; 2] {
    let starts = matches!(kind, JobType::Start | JobType::Restart | JobType::ReloadOrStart);
    [
        if starts { START_PULLS } else { &[] },
        match kind {
            JobType::Stop => STOP_PULLS,
            JobType::Restart => RESTART_PULLS,
            JobType::Start if restart_dependants => RESTART_PULLS,
            JobType::Reload => RELOAD_PULLS,
            _ => &[],
        },
    ]
}

impl Step<'_> {
    /// Enqueues a job and what it needs; in contradiction to present jobs it wins (job mode `replace`).
    ///
    /// # Errors
    ///
    /// The refusal that the bus client would see: a unit that cannot be loaded, or contradicting requirements.
    pub(super) fn add_job(&mut self, unit: UnitId, kind: JobType) -> Result<JobId, RequestError> {
        self.add_job_with(unit, kind, false)
    }

    /// As [`Step::add_job`], in the mode that a client asked for.
    pub(super) fn add_job_in(&mut self, unit: UnitId, kind: JobType, mode: JobMode) -> Result<JobId, RequestError> {
        let failed = |message: &str| Err(RequestError::new(RequestErrorKind::Failed, message));
        match mode {
            JobMode::Replace => return self.add_job(unit, kind),
            JobMode::IgnoreDependencies | JobMode::IgnoreRequirements => {
                if let Some(error) = self.refuses(unit, kind) {
                    return Err(error);
                }
                self.refuse_if_destructive(unit, kind, &[(unit, kind)], false)?;
                let id = self.m.next_job_id();
                return Ok(self.install_job(unit, id, kind, mode == JobMode::IgnoreDependencies));
            }
            JobMode::Isolate if kind != JobType::Start => return failed("Isolate is only valid for start."),
            JobMode::Isolate if !self.unit(unit).allows_isolation() => {
                let message = "Operation refused, unit may not be isolated.";
                return Err(RequestError::new(RequestErrorKind::NoIsolation, message));
            }
            JobMode::Triggering if kind != JobType::Stop => {
                return failed("--job-mode=triggering is only valid for stop.");
            }
            _ => {}
        }
        if let Some(error) = self.refuses(unit, kind) {
            return Err(error);
        }
        let jobs = self.transaction(unit, kind, false, mode)?;
        self.refuse_if_destructive(unit, kind, &jobs, mode == JobMode::Fail)?;
        if matches!(mode, JobMode::Isolate | JobMode::Flush) {
            self.cancel_others(&jobs);
        }
        let members: Vec<UnitId> = jobs.iter().map(|(unit, _)| *unit).collect();
        let id = self.install_jobs(unit, jobs);
        if mode == JobMode::ReplaceIrreversibly {
            for unit in members {
                if let Some(job) = &mut self.unit_mut(unit).job {
                    job.irreversible = true;
                }
            }
        }
        Ok(id)
    }

    /// Cancels the jobs of all units that the transaction does not speak of; nothing else comes of that.
    fn cancel_others(&mut self, jobs: &[(UnitId, JobType)]) {
        let members: HashSet<UnitId> = jobs.iter().map(|(unit, _)| *unit).collect();
        for unit in self.present_units().into_values() {
            if self.unit(unit).job.is_some() && !members.contains(&unit) {
                self.finish_job(unit, JobResult::Canceled, false, false);
            }
        }
    }

    /// As [`Step::add_job`]; `restart_dependants` makes a start restart what depends on the unit (an automatic
    /// restart from 254 on).
    pub(super) fn add_job_with(
        &mut self,
        unit: UnitId,
        kind: JobType,
        restart_dependants: bool,
    ) -> Result<JobId, RequestError> {
        if let Some(error) = self.refuses(unit, kind) {
            return Err(error);
        }
        if !self.pulls_any(unit, kind, restart_dependants) {
            // Most services stand alone: no need for a transaction.
            self.refuse_if_destructive(unit, kind, &[(unit, kind)], false)?;
            let id = self.m.next_job_id();
            return Ok(self.install_job(unit, id, kind, false));
        }
        let jobs = self.transaction(unit, kind, restart_dependants, JobMode::Replace)?;
        self.refuse_if_destructive(unit, kind, &jobs, false)?;
        Ok(self.install_jobs(unit, jobs))
    }

    /// Whether the jobs contradict any that is there and may not be replaced: in mode `fail` none may.
    fn refuse_if_destructive(
        &self,
        anchor: UnitId,
        kind: JobType,
        jobs: &[(UnitId, JobType)],
        fail: bool,
    ) -> Result<(), RequestError> {
        for (unit, new) in jobs {
            let Some(job) = self.unit(*unit).job.as_ref() else { continue };
            let present = job.kind;
            if (fail || job.irreversible) && present.conflicts_with(*new) {
                let message = format!(
                    "Transaction for {}/{} is destructive ({} has '{}' job queued, but '{}' is included in \
                     transaction).",
                    self.unit(anchor).name,
                    kind.as_str(),
                    self.unit(*unit).name,
                    present.as_str(),
                    new.as_str()
                );
                return Err(RequestError::new(RequestErrorKind::TransactionIsDestructive, message));
            }
        }
        Ok(())
    }

    /// Installs all jobs of a transaction; the anchor's.
    fn install_jobs(&mut self, unit: UnitId, jobs: Vec<(UnitId, JobType)>) -> JobId {
        let mut anchor = 0;
        for (other, kind) in jobs {
            let id = self.m.next_job_id();
            let id = self.install_job(other, id, kind, false);
            if other == unit {
                anchor = id;
            }
        }
        anchor
    }

    /// Why a job of this type cannot be on the unit.
    pub(super) fn refuses(&self, unit: UnitId, kind: JobType) -> Option<RequestError> {
        let this = self.unit(unit);
        let name = &this.name;
        if kind != JobType::Stop {
            let (error, message) = match this.def.load_state {
                LoadState::Loaded => (None, String::new()),
                LoadState::NotFound => (Some(RequestErrorKind::NoSuchUnit), format!("Unit {name} not found.")),
                LoadState::BadSetting => {
                    (Some(RequestErrorKind::LoadFailed), format!("Unit {name} has a bad unit file setting."))
                }
                // The whole text, as LoadError= has it.
                LoadState::Error => {
                    (Some(RequestErrorKind::LoadFailed), this.def.load_error.clone().unwrap_or_default())
                }
                LoadState::Masked => (Some(RequestErrorKind::Masked), format!("Unit {name} is masked.")),
            };
            if let Some(kind) = error {
                let error = RequestError::new(kind, message);
                return Some(RequestError { errno: this.def.load_errno.unwrap_or(error.errno), ..error });
            }
        }
        if matches!(kind, JobType::Reload) && !self.can_reload(unit) {
            let message = format!("Job type {} is not applicable for unit {name}.", kind.as_str());
            return Some(RequestError::new(RequestErrorKind::JobTypeNotApplicable, message));
        }
        None
    }

    /// Whether a job of this type on the unit concerns any other unit.
    fn pulls_any(&self, unit: UnitId, kind: JobType, restart_dependants: bool) -> bool {
        let this = self.unit(unit);
        this.own.iter().chain(&this.inverse).any(|(relation, _)| {
            pulls(kind, restart_dependants).into_iter().flatten().any(|pull| pull.relation == *relation)
        })
    }

    /// Whether the unit can be reloaded by itself.
    pub(super) fn can_reload(&self, unit: UnitId) -> bool {
        let this = self.unit(unit);
        this.kind == Kind::Service
            && (!this.config.exec_reload.is_empty()
                || this.config.service_type == crate::unit::ServiceType::NotifyReload)
    }

    /// Starts what OnFailure= or OnSuccess= names.
    pub(super) fn start_triggered(&mut self, unit: UnitId, relation: Relation) {
        if !self.unit(unit).has_any(&[relation]) {
            return;
        }
        let targets: Vec<UnitId> = self.unit(unit).related(relation).collect();
        if targets.is_empty() {
            return;
        }
        let key = if relation == Relation::OnFailure { "OnFailure=" } else { "OnSuccess=" };
        self.log(unit, level::INFO, &format!("Triggering {key} dependencies."));
        let def = &self.unit(unit).def;
        let mode = if relation == Relation::OnFailure { def.on_failure_job_mode } else { def.on_success_job_mode };
        for other in targets {
            if let Err(error) = self.add_job_in(other, JobType::Start, mode) {
                let which = if self.m.rules.new_words { &*self.unit(other).name } else { "" };
                let text = format!("Failed to enqueue {key}{which} job, ignoring: {}", error.message);
                self.log_errno(unit, level::WARNING, error.errno, &text);
            }
        }
    }

    /// Reacts to a state change that no job asked for.
    pub(super) fn propagate_unexpected(&mut self, unit: UnitId, old: ActiveState, new: ActiveState) {
        let this = self.unit(unit);
        if !this.has_any(SYMPATHETIC) {
            return;
        }
        let mut jobs = Vec::new();
        if old.is_down() && new.is_up_or_coming() {
            for relation in [Relation::Requires, Relation::BindsTo, Relation::Upholds, Relation::Wants] {
                for other in this.related(relation) {
                    if !this.has_related(Relation::After, other) && !self.unit(other).active().is_up_or_coming() {
                        let needed = matches!(relation, Relation::Requires | Relation::BindsTo);
                        jobs.push((other, JobType::Start, if needed { JobMode::Replace } else { JobMode::Fail }));
                    }
                }
            }
            for relation in [Relation::Conflicts, Relation::ConflictedBy] {
                for other in this.related(relation) {
                    if !self.unit(other).active().is_down_or_going() {
                        jobs.push((other, JobType::Stop, JobMode::Replace));
                    }
                }
            }
        } else if old.is_up_or_coming() && new.is_down_or_going() {
            for relation in [Relation::BoundBy, Relation::PropagatesStopTo] {
                for other in this.related(relation) {
                    if !self.unit(other).active().is_down_or_going() {
                        jobs.push((other, JobType::Stop, JobMode::Replace));
                    }
                }
            }
        }
        for (other, kind, mode) in jobs {
            // As systemd does: what cannot be enqueued is passed over.
            let _ = self.add_job_in(other, kind, mode);
        }
    }
}
