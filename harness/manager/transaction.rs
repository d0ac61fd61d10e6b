//! Transactions: which jobs a job brings along, and what of them is left after merging (systemd's transaction engine).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::catalog::level;
use super::interface::{JobId, JobMode, RequestError, RequestErrorKind};
use super::job::JobType;
use super::loaded::{Kind, Relation, UnitId};
use super::states::ActiveState;
use super::step::Step;
use super::text::Text;
use crate::unit::LoadState;

/// A job that the transaction would like to install.
#[derive(Clone, Copy, Debug)]
struct Wish {
    kind: JobType,
    /// The anchor cannot do without it.
    matters: bool,
}

/// What a job of some type asks of related units.
struct Pull {
    relation: Relation,
    kind: PullKind,
    /// Whether the anchor fails if that cannot be.
    required: bool,
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
    Pull { relation: Relation::Requires, kind: PullKind::Job(JobType::Start), required: true },
    Pull { relation: Relation::BindsTo, kind: PullKind::Job(JobType::Start), required: true },
    Pull { relation: Relation::Wants, kind: PullKind::Job(JobType::Start), required: false },
    Pull { relation: Relation::Upholds, kind: PullKind::Job(JobType::Start), required: false },
    Pull { relation: Relation::Requisite, kind: PullKind::Job(JobType::VerifyActive), required: true },
    Pull { relation: Relation::Conflicts, kind: PullKind::Job(JobType::Stop), required: true },
    Pull { relation: Relation::ConflictedBy, kind: PullKind::Job(JobType::Stop), required: false },
];

const STOP_PULLS: &[Pull] = &[
    Pull { relation: Relation::RequiredBy, kind: PullKind::Job(JobType::Stop), required: true },
    Pull { relation: Relation::RequisiteOf, kind: PullKind::Job(JobType::Stop), required: true },
    Pull { relation: Relation::BoundBy, kind: PullKind::Job(JobType::Stop), required: true },
    Pull { relation: Relation::ConsistsOf, kind: PullKind::Job(JobType::Stop), required: true },
    Pull { relation: Relation::PropagatesStopTo, kind: PullKind::Job(JobType::Stop), required: true },
];

const RESTART_PULLS: &[Pull] = &[
    Pull { relation: Relation::RequiredBy, kind: PullKind::TryRestart, required: true },
    Pull { relation: Relation::RequisiteOf, kind: PullKind::TryRestart, required: true },
    Pull { relation: Relation::BoundBy, kind: PullKind::TryRestart, required: true },
    Pull { relation: Relation::ConsistsOf, kind: PullKind::TryRestart, required: true },
];

const RELOAD_PULLS: &[Pull] =
    &[Pull { relation: Relation::PropagatesReloadTo, kind: PullKind::TryReload, required: false }];

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
        if let Some(error) = self.refuses(unit, kind) {
            return Err(error);
        }
        match mode {
            JobMode::Replace => self.add_job(unit, kind),
            JobMode::Fail => {
                let jobs = self.transaction(unit, kind, false)?;
                self.refuse_if_destructive(unit, kind, &jobs)?;
                Ok(self.install_jobs(unit, jobs))
            }
            JobMode::IgnoreDependencies | JobMode::IgnoreRequirements => {
                let id = self.m.next_job_id();
                Ok(self.install_job(unit, id, kind, mode == JobMode::IgnoreDependencies))
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
            let id = self.m.next_job_id();
            return Ok(self.install_job(unit, id, kind, false));
        }
        let jobs = self.transaction(unit, kind, restart_dependants)?;
        Ok(self.install_jobs(unit, jobs))
    }

    /// The job with all that it brings along.
    fn transaction(
        &mut self,
        unit: UnitId,
        kind: JobType,
        restart_dependants: bool,
    ) -> Result<Vec<(UnitId, JobType)>, RequestError> {
        let mut wishes: HashMap<UnitId, Vec<Wish>> = HashMap::new();
        let mut order: Vec<UnitId> = Vec::new();
        let mut todo = VecDeque::from([(unit, kind, true, restart_dependants)]);
        let mut seen: HashSet<(UnitId, JobType, bool)> = HashSet::new();
        while let Some((unit, kind, matters, restart_dependants)) = todo.pop_front() {
            if !seen.insert((unit, kind, matters)) {
                continue;
            }
            let list = wishes.entry(unit).or_insert_with(|| {
                order.push(unit);
                Vec::new()
            });
            match list.iter_mut().find(|wish| wish.kind == kind) {
                Some(wish) => wish.matters |= matters,
                None => list.push(Wish { kind, matters }),
            }
            self.pull(unit, kind, matters, restart_dependants, &mut todo)?;
        }
        self.drop_redundant(unit, &mut wishes);
        let merged = self.merge_wishes(&order, &wishes)?;
        self.break_cycles(unit, merged, &wishes)
    }

    /// Whether the jobs contradict any that is there.
    fn refuse_if_destructive(
        &self,
        anchor: UnitId,
        kind: JobType,
        jobs: &[(UnitId, JobType)],
    ) -> Result<(), RequestError> {
        for (unit, new) in jobs {
            let Some(present) = self.unit(*unit).job.as_ref().map(|job| job.kind) else { continue };
            if present.conflicts_with(*new) {
                let message = format!(
                    "Transaction for {}/{} is destructive ({} has '{}' job queued, but '{}' is included in \
                     transaction).",
                    self.unit(anchor).name,
                    kind.as_str(),
                    self.unit(*unit).name,
                    present.as_str(),
                    new.as_str()
                );
                return Err(RequestError { kind: RequestErrorKind::TransactionIsDestructive, message });
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
    fn refuses(&self, unit: UnitId, kind: JobType) -> Option<RequestError> {
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
                return Some(RequestError { kind, message });
            }
        }
        if matches!(kind, JobType::Reload) && !self.can_reload(unit) {
            return Some(RequestError {
                kind: RequestErrorKind::JobTypeNotApplicable,
                message: format!("Job type {} is not applicable for unit {name}.", kind.as_str()),
            });
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

    /// Adds what a job brings along to the list of work.
    fn pull(
        &self,
        unit: UnitId,
        kind: JobType,
        matters: bool,
        restart_dependants: bool,
        todo: &mut VecDeque<(UnitId, JobType, bool, bool)>,
    ) -> Result<(), RequestError> {
        for pull in pulls(kind, restart_dependants).into_iter().flatten() {
            for other in self.unit(unit).related(pull.relation) {
                let job = match pull.kind {
                    PullKind::Job(job) => job,
                    PullKind::TryRestart if self.unit(other).active().is_up_or_coming() => JobType::Restart,
                    PullKind::TryReload if self.unit(other).active().is_up_or_coming() => JobType::Reload,
                    PullKind::TryRestart | PullKind::TryReload => continue,
                };
                if let Some(error) = self.refuses(other, job) {
                    if pull.required {
                        return Err(error);
                    }
                    continue;
                }
                todo.push_back((other, job, matters && pull.required, false));
            }
        }
        Ok(())
    }

    /// Takes out the units for which every wish is fulfilled already.
    fn drop_redundant(&self, anchor: UnitId, wishes: &mut HashMap<UnitId, Vec<Wish>>) {
        wishes.retain(|&unit, list| {
            let state = self.unit(unit).active();
            let present = self.unit(unit).job.as_ref().map(|job| job.kind);
            unit == anchor
                || list.iter().any(|wish| {
                    !wish.kind.is_redundant(state) || present.is_some_and(|job| job.conflicts_with(wish.kind))
                })
        });
    }

    /// One job per unit, or the contradiction that cannot be resolved.
    fn merge_wishes(
        &self,
        order: &[UnitId],
        wishes: &HashMap<UnitId, Vec<Wish>>,
    ) -> Result<Vec<(UnitId, JobType)>, RequestError> {
        let mut jobs = Vec::with_capacity(wishes.len());
        for &unit in order {
            let Some(list) = wishes.get(&unit) else { continue };
            let mut kept: Option<Wish> = None;
            for wish in list {
                let Some(other) = kept else {
                    kept = Some(*wish);
                    continue;
                };
                kept = Some(match other.kind.merge(wish.kind) {
                    Some(kind) => Wish { kind, matters: other.matters || wish.matters },
                    // What the anchor can do without gives way; of two such jobs, the start.
                    None if !other.matters && wish.matters => *wish,
                    None if other.matters && !wish.matters => other,
                    None if !other.matters && !wish.matters => {
                        if other.kind == JobType::Stop {
                            other
                        } else {
                            *wish
                        }
                    }
                    None => {
                        return Err(RequestError {
                            kind: RequestErrorKind::Failed,
                            message: format!(
                                "Transaction contains conflicting jobs '{}' and '{}' for {}. Probably contradicting \
                                 requirement dependencies configured.",
                                wish.kind.as_str(),
                                other.kind.as_str(),
                                self.unit(unit).name
                            ),
                        });
                    }
                });
            }
            if let Some(wish) = kept {
                jobs.push((unit, wish.kind));
            }
        }
        Ok(jobs)
    }

    /// Takes jobs out until the order of the rest, and of the jobs that are there already, has no cycle.
    fn break_cycles(
        &mut self,
        anchor: UnitId,
        mut jobs: Vec<(UnitId, JobType)>,
        wishes: &HashMap<UnitId, Vec<Wish>>,
    ) -> Result<Vec<(UnitId, JobType)>, RequestError> {
        if jobs.len() < 2 && self.m.job_count == 0 {
            return Ok(jobs);
        }
        let mut members: BTreeMap<UnitId, JobType> = jobs.iter().copied().collect();
        let mut sound = HashSet::new();
        while let Some(cycle) = self.find_cycle(&members, &mut sound) {
            let name_of = |unit: UnitId| {
                let kind = self.job_on(unit, &members).map_or("start", JobType::as_str);
                format!("{}/{kind}", self.unit(unit).name)
            };
            let first = cycle[0];
            let first_name = self.unit(first).name.clone();
            let on =
                |what: &str, unit: UnitId| (level::WARNING, format!("{first_name}: Found {what} on {}", name_of(unit)));
            let mut texts = vec![on("ordering cycle", cycle[1 % cycle.len()])];
            texts.extend((2..=cycle.len()).map(|index| on("dependency", cycle[index % cycle.len()])));
            let victim = cycle.iter().copied().find(|unit| {
                *unit != anchor
                    && members.contains_key(unit)
                    && wishes.get(unit).is_none_or(|list| !list.iter().any(|wish| wish.matters))
            });
            let end = match victim {
                Some(victim) => format!(
                    "{first_name}: Job {} deleted to break ordering cycle starting with {}",
                    name_of(victim),
                    name_of(first)
                ),
                None => format!("{first_name}: Unable to break cycle starting with {}", name_of(first)),
            };
            texts.push((level::ERR, end));
            self.log_cycle(&cycle, texts);

            let Some(victim) = victim else {
                return Err(RequestError {
                    kind: RequestErrorKind::Failed,
                    message: "Transaction order is cyclic. See system logs for details.".into(),
                });
            };
            members.remove(&victim);
        }
        jobs.retain(|(unit, _)| members.contains_key(unit));
        Ok(jobs)
    }

    /// Logs about all units of a cycle at once.
    fn log_cycle(&mut self, cycle: &[UnitId], texts: Vec<(u8, String)>) {
        let others: Vec<_> =
            cycle[1..].iter().map(|unit| ("UNIT", Text::from(self.unit(*unit).name.to_string()))).collect();
        for (priority, text) in texts {
            self.log_full(cycle[0], priority, text, None, others.clone());
        }
    }

    /// The job that the unit would have: the transaction's, else the one that it has.
    fn job_on(&self, unit: UnitId, members: &BTreeMap<UnitId, JobType>) -> Option<JobType> {
        members.get(&unit).copied().or_else(|| self.unit(unit).job.as_ref().map(|job| job.kind))
    }

    /// A cycle in the order of the jobs, if there is one. `sound` are units from which none can be reached: they stay
    /// so when jobs are taken out, so that all searches together take as long as one.
    fn find_cycle(&self, members: &BTreeMap<UnitId, JobType>, sound: &mut HashSet<UnitId>) -> Option<Vec<UnitId>> {
        for &root in members.keys() {
            if sound.contains(&root) {
                continue;
            }
            // Each frame is a unit and the units that go before it, still to be visited.
            let mut path = vec![(root, self.goes_before(root, members))];
            let mut on_path = HashSet::from([root]);
            while let Some((unit, next)) = path.last_mut() {
                let unit = *unit;
                match next.pop() {
                    Some(other) if on_path.contains(&other) => {
                        let start = path.iter().position(|(unit, _)| *unit == other)?;
                        return Some(path[start..].iter().map(|(unit, _)| *unit).collect());
                    }
                    Some(other) if !sound.contains(&other) => {
                        on_path.insert(other);
                        path.push((other, self.goes_before(other, members)));
                    }
                    Some(_) => {}
                    None => {
                        sound.insert(unit);
                        on_path.remove(&unit);
                        path.pop();
                    }
                }
            }
        }
        None
    }

    /// The units whose jobs go before the unit's.
    fn goes_before(&self, unit: UnitId, members: &BTreeMap<UnitId, JobType>) -> Vec<UnitId> {
        let stops = |kind: JobType| matches!(kind, JobType::Stop | JobType::Restart);
        let this = self.unit(unit);
        let own_stops = self.job_on(unit, members).is_some_and(stops);
        let after = this.related(Relation::After).filter(|o| !own_stops && self.job_on(*o, members).is_some());
        let before = this.related(Relation::Before).filter(|o| self.job_on(*o, members).is_some_and(stops));
        after.chain(before).filter(|other| *other != unit).collect()
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
        for other in targets {
            if let Err(error) = self.add_job(other, JobType::Start) {
                let text = format!("Failed to enqueue {key} job, ignoring: {}", error.message);
                self.log(unit, level::WARNING, &text);
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
                        jobs.push((other, JobType::Start));
                    }
                }
            }
            for relation in [Relation::Conflicts, Relation::ConflictedBy] {
                for other in this.related(relation) {
                    if !self.unit(other).active().is_down_or_going() {
                        jobs.push((other, JobType::Stop));
                    }
                }
            }
        } else if old.is_up_or_coming() && new.is_down_or_going() {
            for relation in [Relation::BoundBy, Relation::PropagatesStopTo] {
                for other in this.related(relation) {
                    if !self.unit(other).active().is_down_or_going() {
                        jobs.push((other, JobType::Stop));
                    }
                }
            }
        }
        for (other, kind) in jobs {
            // As systemd does: what cannot be enqueued is passed over.
            let _ = self.add_job(other, kind);
        }
    }
}
