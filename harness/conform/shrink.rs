//! Makes a case that differs smaller, as long as it differs in the same way.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::case::Case;
use super::compare::Difference;
use super::session::{Differs, Plan, Verdict, differences, theirs};

/// Something that a case can do without.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    UnitLine(usize),
    ProgramLine(usize),
    Action(usize),
    DropIn(String),
    Unit(String),
    Program(String),
}

/// The smallest case that was found by a moment in which systemd and the embedded manager differ in what they differ in
/// here, and what they answer there.
pub fn shrink(plan: &Plan, case: &Case, differs: Box<Differs>, until: Instant) -> (Case, Box<Differs>) {
    let Some(wanted) = differs.wrong.first().cloned() else { return (case.clone(), differs) };
    let (mut case, mut differs) = (case.clone(), differs);
    let search = Search { plan, wanted: &wanted, until };
    while Instant::now() < until {
        let parts = parts(&case);
        let singles: Vec<Case> = parts.iter().map(|part| without(&case, std::slice::from_ref(part))).collect();
        let found = search.try_all(&singles);
        let spare: Vec<Part> =
            parts.iter().zip(&found).filter(|(_, found)| found.is_some()).map(|(part, _)| part.clone()).collect();
        if spare.is_empty() {
            break;
        }
        // Each can go; mostly all of them can. If not, half of them are tried, and so on: one can.
        let mut take = spare.len();
        let (smaller, answers) = loop {
            if take == 1 {
                let first = parts.iter().position(|part| Some(part) == spare.first());
                break first
                    .map(|at| (singles[at].clone(), found.into_iter().nth(at).flatten()))
                    .unwrap_or((case.clone(), None));
            }
            let smaller = without(&case, &spare[..take]);
            if let Some(answers) = search.try_all(std::slice::from_ref(&smaller)).into_iter().next().flatten() {
                break (smaller, Some(answers));
            }
            take = take.div_ceil(2);
        };
        let Some(answers) = answers else { break };
        (case, differs) = (smaller, answers);
    }
    (case, differs)
}

struct Search<'a> {
    plan: &'a Plan,
    wanted: &'a Difference,
    until: Instant,
}

impl Search<'_> {
    /// Which of these cases still differ in that way.
    fn try_all(&self, cases: &[Case]) -> Vec<Option<Box<Differs>>> {
        let next = AtomicUsize::new(0);
        let found: Vec<Mutex<Option<Box<Differs>>>> = cases.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..self.plan.jobs.clamp(1, 256).min(cases.len()) {
                scope.spawn(|| {
                    while Instant::now() < self.until && !self.plan.cancel.is_set() {
                        let index = next.fetch_add(1, Ordering::SeqCst);
                        let (Some(case), Some(slot)) = (cases.get(index), found.get(index)) else { return };
                        let differs = self.differs(case);
                        *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = differs;
                    }
                });
            }
        });
        found.into_iter().map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)).collect()
    }

    fn differs(&self, case: &Case) -> Option<Box<Differs>> {
        let (answer, version) = theirs(case, 1, self.plan).ok()?;
        match differences(case, answer, version, &self.plan.cancel) {
            Verdict::Differs(differs) if differs.wrong.iter().any(|wrong| wrong.is_like(self.wanted)) => Some(differs),
            _ => None,
        }
    }
}

fn parts(case: &Case) -> Vec<Part> {
    let mut parts: Vec<Part> = (1..case.actions.len()).map(Part::Action).collect();
    parts.extend(case.dropins.keys().cloned().map(Part::DropIn));
    parts.extend(case.units.keys().cloned().map(Part::Unit));
    parts.extend(case.programs.keys().cloned().map(Part::Program));
    let needed = |line: &str| line.is_empty() || line.starts_with('[') || line == "Environment=DIR=@DIR@";
    let lines = case.unit.lines().enumerate().filter(|(_, line)| !needed(line));
    parts.extend(lines.map(|(index, _)| Part::UnitLine(index)));
    // What the program does is said line by line between its head and what its n-th run does.
    let lines: Vec<&str> = case.prog.lines().collect();
    let body = lines.iter().position(|line| line.starts_with("case ")).unwrap_or(0);
    parts.extend((2..body).map(Part::ProgramLine));
    parts
}

fn without(case: &Case, parts: &[Part]) -> Case {
    let mut case = case.clone();
    let strip = |text: &str, gone: &dyn Fn(usize) -> bool| -> String {
        text.lines().enumerate().filter(|(index, _)| !gone(*index)).map(|(_, line)| format!("{line}\n")).collect()
    };
    case.unit = strip(&case.unit, &|index| parts.contains(&Part::UnitLine(index)));
    case.prog = strip(&case.prog, &|index| parts.contains(&Part::ProgramLine(index)));
    let mut index = 0;
    case.actions.retain(|_| {
        index += 1;
        !parts.contains(&Part::Action(index - 1))
    });
    for part in parts {
        match part {
            Part::DropIn(name) => _ = case.dropins.remove(name),
            Part::Unit(name) => _ = case.units.remove(name),
            Part::Program(name) => _ = case.programs.remove(name),
            Part::UnitLine(_) | Part::ProgramLine(_) | Part::Action(_) => {}
        }
    }
    case
}
