//! The jobs that a transaction would install, who of them asks for whom, and which of them give way.
//!
//! The steps and their order are systemd's: what matters to the anchor is found; in mode `fail` whatever would stop or
//! undo something without need is dropped; what changes nothing is dropped; what nobody asks for any more is collected;
//! cycles of the order are broken; of jobs that cannot be one the lesser is dropped, with those that need it; the rest
//! is merged.

use std::collections::{BTreeMap, HashMap};

use super::super::catalog::level;
use super::super::interface::{JobMode, RequestError, RequestErrorKind};
use super::super::job::JobType;
use super::super::loaded::{Relation, UnitId};
use super::super::step::Step;
use super::{PullKind, pulls};

/// A job that the transaction would install.
#[derive(Debug)]
struct Wish {
    unit: UnitId,
    kind: JobType,
    /// Whether the anchor cannot do without it.
    matters: bool,
    /// Which wishes ask for it.
    asked_by: Vec<Ask>,
    /// How many of them are left.
    askers: usize,
    /// Which wishes it asks for, and whether it cannot be without them.
    asks: Vec<(usize, bool)>,
    gone: bool,
}

/// One wish asks for another.
#[derive(Clone, Copy, Debug)]
struct Ask {
    by: usize,
    /// It cannot be without it.
    matters: bool,
    /// The two units cannot be at once.
    conflicts: bool,
}

/// A wish whose own wishes are being added.
struct Frame {
    wish: usize,
    todo: std::vec::IntoIter<Next>,
    /// Whether those who asked for it can do without.
    optional: bool,
}

/// What a wish asks for.
struct Next {
    unit: UnitId,
    kind: JobType,
    required: bool,
    conflicts: bool,
}

/// The wishes of a transaction; the first one is the anchor.
#[derive(Debug, Default)]
pub(super) struct Plan {
    wishes: Vec<Wish>,
    by_unit: HashMap<UnitId, Vec<usize>>,
    /// Wishes that nobody may ask for any more.
    orphans: Vec<usize>,
    /// Units that have lost a wish since somebody looked.
    changed: Vec<UnitId>,
}

const ANCHOR: usize = 0;

impl Plan {
    /// The wish, added if it is new; whether it is.
    fn add(&mut self, unit: UnitId, kind: JobType, ask: Option<Ask>) -> (usize, bool) {
        let of_unit = self.by_unit.entry(unit).or_default();
        let known = of_unit.iter().copied().find(|wish| self.wishes[*wish].kind == kind);
        let wish = known.unwrap_or(self.wishes.len());
        if known.is_none() {
            of_unit.push(wish);
            self.wishes.push(Wish {
                unit,
                kind,
                matters: false,
                asked_by: Vec::new(),
                askers: 0,
                asks: Vec::new(),
                gone: false,
            });
        }
        if let Some(ask) = ask {
            self.wishes[wish].asked_by.push(ask);
            self.wishes[wish].askers += 1;
            self.wishes[ask.by].asks.push((wish, ask.matters));
        }
        (wish, known.is_none())
    }

    /// Marks what the anchor cannot do without.
    fn find_what_matters(&mut self) {
        let mut todo = vec![ANCHOR];
        self.wishes[ANCHOR].matters = true;
        while let Some(wish) = todo.pop() {
            for (asked, required) in self.wishes[wish].asks.clone() {
                if required && !self.wishes[asked].matters {
                    self.wishes[asked].matters = true;
                    todo.push(asked);
                }
            }
        }
    }

    /// Takes a wish out, and with `dependants` those that cannot be without it.
    fn delete(&mut self, wish: usize, dependants: bool) {
        let mut todo = vec![wish];
        while let Some(wish) = todo.pop() {
            if std::mem::replace(&mut self.wishes[wish].gone, true) {
                continue;
            }
            let unit = self.wishes[wish].unit;
            if let Some(of_unit) = self.by_unit.get_mut(&unit) {
                of_unit.retain(|other| *other != wish);
            }
            for ask in std::mem::take(&mut self.wishes[wish].asked_by) {
                if dependants && ask.matters {
                    todo.push(ask.by);
                }
            }
            for (asked, _) in std::mem::take(&mut self.wishes[wish].asks) {
                self.wishes[asked].askers -= 1;
                if self.wishes[asked].askers == 0 {
                    self.orphans.push(asked);
                }
            }
            self.changed.push(unit);
        }
    }

    /// Takes out all wishes of a unit, with those that cannot be without one.
    pub(super) fn delete_unit(&mut self, unit: UnitId) {
        for wish in self.by_unit.get(&unit).cloned().unwrap_or_default() {
            self.delete(wish, true);
        }
    }

    /// Takes out what nobody asks for any more.
    pub(super) fn collect_garbage(&mut self) {
        while let Some(wish) = self.orphans.pop() {
            if wish != ANCHOR && !self.wishes[wish].gone {
                self.delete(wish, true);
            }
        }
    }

    /// The wishes that are left, in the order in which they came up.
    fn left(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.wishes.len()).filter(|wish| !self.wishes[*wish].gone)
    }

    /// The units, in the order in which they came up, with their wishes.
    fn units(&self) -> Vec<UnitId> {
        let mut units: Vec<(usize, UnitId)> =
            self.by_unit.iter().filter_map(|(unit, wishes)| Some((*wishes.first()?, *unit))).collect();
        units.sort_unstable();
        units.into_iter().map(|(_, unit)| unit).collect()
    }

    /// The job of each unit that came up last.
    pub(super) fn members(&self) -> BTreeMap<UnitId, JobType> {
        self.by_unit.keys().filter_map(|unit| Some((*unit, self.member(*unit)?))).collect()
    }

    fn member(&self, unit: UnitId) -> Option<JobType> {
        self.by_unit.get(&unit)?.last().map(|wish| self.wishes[*wish].kind)
    }

    /// Brings the members up to date after wishes were taken out.
    pub(super) fn update(&mut self, members: &mut BTreeMap<UnitId, JobType>) {
        for unit in std::mem::take(&mut self.changed) {
            match self.member(unit) {
                Some(kind) => members.insert(unit, kind),
                None => members.remove(&unit),
            };
        }
    }

    /// Whether the anchor cannot do without the unit.
    pub(super) fn matters(&self, unit: UnitId) -> bool {
        self.by_unit.get(&unit).into_iter().flatten().any(|wish| self.wishes[*wish].matters)
    }

    /// Of two wishes for a unit that cannot be one job, the one that gives way; `None` if neither can.
    fn lesser(&self, one: usize, other: usize) -> Option<usize> {
        let conflicted = |wish: usize| self.wishes[wish].asked_by.iter().any(|ask| ask.conflicts);
        match (self.wishes[one].matters, self.wishes[other].matters) {
            (true, true) => None,
            (false, true) => Some(one),
            (true, false) => Some(other),
            // Rather a start than a stop, unless that is for a conflict.
            (false, false) => match (self.wishes[one].kind, self.wishes[other].kind) {
                (JobType::Stop, _) => Some(if conflicted(one) { other } else { one }),
                (_, JobType::Stop) => Some(if conflicted(other) { one } else { other }),
                _ => None,
            },
        }
    }

    /// Two wishes for the unit that cannot be one job.
    fn contradiction(&self, unit: UnitId) -> Option<(usize, usize)> {
        let wishes = self.by_unit.get(&unit)?;
        // There are as many as there are types of jobs, at most.
        wishes.iter().enumerate().find_map(|(index, one)| {
            let clashes = |other: &&usize| self.wishes[*one].kind.conflicts_with(self.wishes[**other].kind);
            wishes[index + 1..].iter().find(clashes).map(|other| (*one, *other))
        })
    }
}

impl Step<'_> {
    /// The job with all that it brings along; in mode `fail` nothing is stopped or undone without need, in mode `isolate`
    /// whatever else is up is stopped, in mode `triggering` what triggers the unit.
    pub(super) fn transaction(
        &mut self,
        unit: UnitId,
        kind: JobType,
        restart_dependants: bool,
        mode: JobMode,
    ) -> Result<Vec<(UnitId, JobType)>, RequestError> {
        let mut plan = self.wishes(unit, kind, restart_dependants)?;
        match mode {
            JobMode::Isolate => self.stop_the_rest(&mut plan),
            JobMode::Triggering => self.stop_triggers(&mut plan, unit),
            _ => {}
        }
        plan.find_what_matters();
        if mode == JobMode::Fail {
            self.minimize_impact(&mut plan);
        }
        self.drop_redundant(&mut plan);
        plan.collect_garbage();
        self.break_cycles(&mut plan)?;
        for unit in plan.units() {
            while let Some((one, other)) = plan.contradiction(unit) {
                let Some(lesser) = plan.lesser(one, other) else {
                    let (one, other) = (&plan.wishes[one], &plan.wishes[other]);
                    let message = format!(
                        "Transaction contains conflicting jobs '{}' and '{}' for {}. Probably contradicting \
                         requirement dependencies configured.",
                        other.kind.as_str(),
                        one.kind.as_str(),
                        self.unit(unit).name
                    );
                    return Err(RequestError::new(RequestErrorKind::Failed, message));
                };
                plan.delete(lesser, true);
                plan.collect_garbage();
            }
        }
        self.drop_redundant(&mut plan);
        let merged = |unit: UnitId| {
            let kinds = plan.by_unit[&unit].iter().map(|wish| plan.wishes[*wish].kind);
            // Nothing contradicts any more.
            let kind = kinds.reduce(|one, other| one.merge(other).unwrap_or(one))?;
            Some((unit, kind))
        };
        Ok(plan.units().into_iter().filter_map(merged).collect())
    }

    /// Everything that the job asks for, and what that asks for. What a required unit cannot be makes the asker fail, up
    /// to one that is not required.
    fn wishes(&mut self, unit: UnitId, kind: JobType, restart_dependants: bool) -> Result<Plan, RequestError> {
        let mut plan = Plan::default();
        plan.add(unit, kind, None);
        // A chain of units may be longer than the stack.
        let mut frames =
            vec![Frame { wish: ANCHOR, todo: self.asks(unit, kind, restart_dependants).into_iter(), optional: false }];
        while let Some(frame) = frames.last_mut() {
            let by = frame.wish;
            let Some(next) = frame.todo.next() else {
                frames.pop();
                continue;
            };
            if let Some(error) = self.refuses(next.unit, next.kind) {
                if !next.required {
                    self.say_ignored(next.unit, &error);
                    continue;
                }
                if error.kind == RequestErrorKind::JobTypeNotApplicable {
                    continue;
                }
                // Those who cannot be without it end here, each in the middle of its list.
                loop {
                    let Some(frame) = frames.pop() else { return Err(error) };
                    if frame.optional {
                        self.say_ignored(plan.wishes[frame.wish].unit, &error);
                        break;
                    }
                }
                continue;
            }
            let ask = Ask { by, matters: next.required, conflicts: next.conflicts };
            let (wish, new) = plan.add(next.unit, next.kind, Some(ask));
            if new {
                let todo = self.asks(next.unit, next.kind, false).into_iter();
                frames.push(Frame { wish, todo, optional: !next.required });
            }
        }
        Ok(plan)
    }

    /// Adds what the units need by default, which is up unless somebody has isolated something before.
    fn keep_defaults(&mut self, plan: &mut Plan) {
        let mut todo: Vec<usize> = plan.left().filter(|wish| plan.wishes[*wish].kind == JobType::Start).collect();
        while let Some(by) = todo.pop() {
            let unit = plan.wishes[by].unit;
            let names = self.unit(unit).def.implicit().requires;
            let needed = names.iter().filter_map(|name| self.m.id(name));
            let needed = needed.map(|unit| Next { unit, kind: JobType::Start, required: true, conflicts: false });
            for next in needed.chain(self.asks(unit, JobType::Start, false)) {
                if next.kind == JobType::Start && self.refuses(next.unit, next.kind).is_none() {
                    let ask = Ask { by, matters: next.required, conflicts: false };
                    let (wish, new) = plan.add(next.unit, next.kind, Some(ask));
                    if new {
                        todo.push(wish);
                    }
                }
            }
        }
    }

    /// Adds a stop for every unit that has no part in the transaction.
    fn stop_the_rest(&mut self, plan: &mut Plan) {
        self.keep_defaults(plan);
        for unit in self.present_units().into_values() {
            let this = self.unit(unit);
            let idle = this.active().is_down() && this.job.is_none();
            if !idle && !this.survives_isolation() && !plan.by_unit.contains_key(&unit) {
                self.also_stop(plan, unit);
            }
        }
    }

    /// Adds a stop for every unit that would start this one again.
    fn stop_triggers(&mut self, plan: &mut Plan, unit: UnitId) {
        for other in self.unit(unit).related(Relation::TriggeredBy).collect::<Vec<_>>() {
            let this = self.unit(other);
            let idle = this.active().is_down() && this.job.is_none();
            if !idle && !plan.by_unit.contains_key(&other) {
                self.also_stop(plan, other);
            }
        }
    }

    /// Adds a stop that the anchor asks for, with what it brings along.
    fn also_stop(&mut self, plan: &mut Plan, unit: UnitId) {
        let mut todo = vec![(ANCHOR, unit, true)];
        while let Some((by, unit, matters)) = todo.pop() {
            let (wish, new) = plan.add(unit, JobType::Stop, Some(Ask { by, matters, conflicts: false }));
            if new {
                let asks = self.asks(unit, JobType::Stop, false);
                todo.extend(asks.into_iter().map(|next| (wish, next.unit, next.required)));
            }
        }
    }

    /// What a job of this type on the unit asks for.
    fn asks(&self, unit: UnitId, kind: JobType, restart_dependants: bool) -> Vec<Next> {
        let this = self.unit(unit);
        let mut list = Vec::new();
        for pull in pulls(kind, restart_dependants).into_iter().flatten() {
            for other in this.related(pull.relation) {
                let kind = match pull.kind {
                    PullKind::Job(job) => job,
                    PullKind::TryRestart if self.unit(other).active().is_up_or_coming() => JobType::Restart,
                    PullKind::TryReload if self.unit(other).active().is_up_or_coming() => JobType::Reload,
                    PullKind::TryRestart | PullKind::TryReload => continue,
                };
                list.push(Next { unit: other, kind, required: pull.required, conflicts: pull.conflicts });
            }
        }
        list
    }

    /// A job that was not required cannot be: said only if that is a mistake and not a choice.
    fn say_ignored(&mut self, unit: UnitId, error: &RequestError) {
        if error.kind == RequestErrorKind::LoadFailed {
            let text = format!("Cannot add dependency job, ignoring: {}", error.message);
            self.log_errno(unit, level::WARNING, error.errno, &text);
        }
    }

    /// Takes out what does not matter and would stop something or undo a job.
    fn minimize_impact(&self, plan: &mut Plan) {
        for wish in plan.left().collect::<Vec<_>>() {
            let Wish { unit, kind, matters, gone, .. } = plan.wishes[wish];
            let this = self.unit(unit);
            let stops = kind == JobType::Stop && this.active().is_up_or_coming();
            let undoes = this.job.as_ref().is_some_and(|job| job.kind.conflicts_with(kind));
            if !gone && !matters && (stops || undoes) {
                plan.delete(wish, true);
            }
        }
    }

    /// Takes out the units for which every wish is fulfilled already.
    fn drop_redundant(&self, plan: &mut Plan) {
        for unit in plan.units() {
            let state = self.unit(unit).active();
            let present = self.unit(unit).job.as_ref().map(|job| job.kind);
            let wishes = plan.by_unit[&unit].clone();
            let needed = |wish: &usize| {
                let kind = plan.wishes[*wish].kind;
                *wish == ANCHOR || !kind.is_redundant(state) || present.is_some_and(|job| job.conflicts_with(kind))
            };
            if !wishes.iter().any(needed) {
                wishes.into_iter().for_each(|wish| plan.delete(wish, false));
            }
        }
    }
}
