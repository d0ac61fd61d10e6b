//! Which units the processes of one name belong to, where no line says it.

/// So many units may share a program's name.
const TOGETHER: usize = 4;
/// So many sets of units are thought of.
const SETS: usize = 64;

/// Sets of units that may have started a program, the smallest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Explainers {
    sets: Vec<Set>,
    starts: u64,
}

/// Units one of which had a run to explain each start of a program: no run explains two.
#[derive(Clone, Debug)]
struct Set {
    units: Vec<Unit>,
    /// Runs that explain none.
    silent: u64,
}

#[derive(Clone, Debug)]
struct Unit {
    name: String,
    /// The last of its runs that explains a start.
    run: u64,
    explained: u64,
}

impl Set {
    fn of((name, run): &(String, u64)) -> Self {
        Self { units: vec![Unit { name: name.clone(), run: *run, explained: 1 }], silent: 0 }
    }

    fn has(&self, name: &str) -> bool {
        self.units.iter().any(|unit| unit.name == name)
    }

    /// Whether one of the units, of which the last to start comes first, explains a start.
    fn start(&mut self, units: &[(String, u64)]) -> bool {
        for (name, run) in units {
            if let Some(unit) = self.units.iter_mut().find(|unit| unit.name == *name && unit.run < *run) {
                self.silent += *run - unit.run - 1;
                unit.run = *run;
                unit.explained += 1;
                return true;
            }
        }
        false
    }

    fn with(&self, unit: &(String, u64)) -> Self {
        let mut set = Self::of(unit);
        set.units.extend_from_slice(&self.units);
        set.silent = self.silent;
        set
    }

    /// Nearly none of them by chance.
    fn is_likely(&self) -> bool {
        self.units.iter().filter(|unit| unit.explained == 1).count() <= 1
    }
}

impl Explainers {
    /// The program has started; these units have started before, the last first, each with the number of its run.
    pub(super) fn start(&mut self, units: &[(String, u64)]) {
        self.starts += 1;
        if self.starts == 1 {
            self.sets = units.iter().map(Set::of).collect();
            return;
        }
        let mut kept = Vec::new();
        let mut missed = Vec::new();
        for mut set in std::mem::take(&mut self.sets) {
            if set.start(units) { kept.push(set) } else { missed.push(set) }
        }
        for set in missed.iter().filter(|set| set.units.len() < TOGETHER) {
            for unit in units.iter().filter(|(name, _)| !set.has(name)) {
                if kept.len() < SETS {
                    kept.push(set.with(unit));
                }
            }
        }
        kept.sort_by_key(|set| set.units.len());
        self.sets = kept;
    }

    /// Whether some units explain all starts; with most of their runs, if each of them would be seen.
    pub(super) fn explain(&self, each_is_seen: bool) -> bool {
        let seen = |set: &Set| !each_is_seen || set.silent <= self.starts / 2;
        self.sets.iter().any(|set| set.is_likely() && seen(set))
    }
}
