//! Cycles in the order of jobs, and which job is given up for one.

use std::collections::{BTreeMap, HashSet};

use super::super::catalog::level;
use super::super::interface::{RequestError, RequestErrorKind};
use super::super::job::JobType;
use super::super::loaded::{Relation, UnitId};
use super::super::step::Step;
use super::super::text::Text;
use super::plan::Plan;

impl Step<'_> {
    /// Takes units out until the order of the rest, and of the jobs that are there already, has no cycle.
    pub(super) fn break_cycles(&mut self, plan: &mut Plan) -> Result<(), RequestError> {
        // As systemd does: only the job of a unit that came last, which is before they are merged.
        let mut members = plan.members();
        if members.len() < 2 && self.m.job_count == 0 {
            return Ok(());
        }
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
            let victim = cycle.iter().copied().find(|unit| members.contains_key(unit) && !plan.matters(*unit));
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
                let message = "Transaction order is cyclic. See system logs for details.";
                return Err(RequestError::new(RequestErrorKind::Failed, message));
            };
            plan.delete_unit(victim);
            plan.collect_garbage();
            plan.update(&mut members);
        }
        Ok(())
    }

    /// Logs about all units of a cycle at once.
    fn log_cycle(&mut self, cycle: &[UnitId], texts: Vec<(u8, String)>) {
        let others: Vec<_> =
            cycle[1..].iter().map(|unit| ("UNIT", Text::from(self.unit(*unit).name.to_string()))).collect();
        for (priority, text) in texts {
            self.log_of_no_invocation(cycle[0], priority, text, others.clone());
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
}
