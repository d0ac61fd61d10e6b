//! `relapse conform --scenarios`: the same scenario files on both managers, as a table.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::cli::run::{complain, find, say};
use crate::cli::{UNDECIDED, USAGE};
use crate::expect::Style;
use crate::journal::Journal;
use crate::report::{self, Outcome, Verdict};
use crate::run::{Cancel, ClockKind, Container, ManagerKind, Options, Run};
use crate::scenario::Scenario;
use crate::timeline::brief;

/// Between these lines of a document stands the table.
const BEGIN: &str = "<!-- relapse conform --scenarios: begin -->";
const END: &str = "<!-- relapse conform --scenarios: end -->";

/// How to compare.
pub(super) struct Plan<'a> {
    pub(super) paths: &'a [PathBuf],
    pub(super) clock: ClockKind,
    pub(super) jobs: usize,
    /// The document whose table is written anew.
    pub(super) write: Option<&'a Path>,
    pub(super) cancel: Cancel,
}

/// One scenario on both.
struct Row {
    path: String,
    title: String,
    embedded: Outcome,
    systemd: Outcome,
    /// What one manager said of the scenario's units and the other did not.
    words: (BTreeSet<String>, BTreeSet<String>),
}

pub(super) fn main(plan: &Plan<'_>) -> u8 {
    let scenarios: Result<Vec<Scenario>, String> = find(plan.paths).and_then(|files| {
        files.iter().map(|file| Scenario::load(file).map_err(|error| error.render(Style::Plain))).collect()
    });
    let scenarios = match scenarios {
        Ok(scenarios) => scenarios,
        Err(message) => {
            complain(&message);
            return USAGE;
        }
    };
    if let Err(unavailable) = Container::probe() {
        complain(&unavailable.to_string());
        return UNDECIDED;
    }
    let rows = compare(scenarios, plan);
    let table = table(&rows);
    if let Some(path) = plan.write
        && let Err(why) = write(path, &table)
    {
        complain(&format!("error: {}: {why}", path.display()));
        return USAGE;
    }
    say(&table);
    let undecided = rows.iter().any(|row| row.systemd.verdict == Verdict::Inconclusive);
    match rows.iter().all(Row::agrees) {
        true => 0,
        false if undecided => UNDECIDED,
        false => 1,
    }
}

fn compare(scenarios: Vec<Scenario>, plan: &Plan<'_>) -> Vec<Row> {
    let queue = Mutex::new(scenarios.into_iter().enumerate().collect::<VecDeque<_>>());
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((index, scenario)) = next.filter(|_| !plan.cancel.is_set()) else { return };
                    match row(&scenario, plan) {
                        Ok(row) => rows.lock().unwrap_or_else(PoisonError::into_inner).push((index, row)),
                        Err(why) => complain(&format!("error: {}: {why}", scenario.source.path())),
                    }
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn row(scenario: &Scenario, plan: &Plan<'_>) -> Result<Row, crate::Fault> {
    let options = Options { cancel: plan.cancel.clone(), ..Options::default() };
    let embedded = scenario.record(&options)?;
    let systemd = scenario.record(&Options { manager: ManagerKind::Systemd, clock: plan.clock, ..options })?;
    let units: BTreeSet<&str> = scenario.units().map(|unit| unit.name.as_str()).collect();
    let words = |run: &Run| words(&run.journal, &units);
    let (ours, theirs) = (words(&embedded), words(&systemd));
    let words = (ours.difference(&theirs).cloned().collect(), theirs.difference(&ours).cloned().collect());
    let row = Row {
        path: scenario.source.path().to_owned(),
        title: scenario.title.clone(),
        embedded: embedded.outcome,
        systemd: systemd.outcome,
        words,
    };
    complain(&report::text(&row.systemd, Style::Plain));
    Ok(row)
}

/// What the manager said of the units, without numbers.
fn words(journal: &Journal, units: &BTreeSet<&str>) -> BTreeSet<String> {
    let about = |unit: Option<&str>| unit.is_some_and(|unit| units.contains(unit));
    journal
        .entries()
        .map(|entry| entry.record)
        .filter(|record| record.get("_PID") == Some("1") && about(record.get("UNIT")))
        .map(|record| record.message().chars().filter(|c| !c.is_ascii_digit()).collect())
        .collect()
}

impl Row {
    fn agrees(&self) -> bool {
        self.embedded.verdict == self.systemd.verdict
    }

    fn remark(&self) -> String {
        if !self.agrees() {
            let first = self.systemd.failures.first();
            let first = first
                .map(|failure| failure.place.as_ref().map_or(failure.detail.clone(), |(_, said)| said.message.clone()));
            return first.unwrap_or_default();
        }
        let (ours, theirs) = &self.words;
        let list =
            |words: &BTreeSet<String>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        match (ours.is_empty(), theirs.is_empty()) {
            (true, true) => "the same words".to_owned(),
            (false, true) => format!("only the embedded one said {}", list(ours)),
            (true, false) => format!("only systemd said {}", list(theirs)),
            (false, false) => format!("only the embedded one said {}; only systemd {}", list(ours), list(theirs)),
        }
    }
}

/// As a table of Markdown.
fn table(rows: &[Row]) -> String {
    let mut out = String::from("| scenario | embedded | systemd | |\n|---|---|---|---|\n");
    for row in rows {
        let cell = |outcome: &Outcome| {
            let cycles = outcome.cycles.as_ref().and_then(|seen| Some((seen.cycles, seen.period.as_ref()?)));
            let cycles =
                cycles.map(|(count, period)| format!(", {count} × {} … {}", brief(period.min), brief(period.max)));
            format!("{}{}", outcome.verdict.as_str(), cycles.unwrap_or_default())
        };
        let _ = writeln!(
            out,
            "| [{}]({}) | {} | {} | {} |",
            row.title.replace('|', "\\|"),
            row.path.strip_prefix("scenarios/").unwrap_or(&row.path),
            cell(&row.embedded),
            cell(&row.systemd),
            row.remark().replace('|', "\\|").replace('\n', " ")
        );
    }
    out
}

/// Puts the table between the lines of the document that say where.
fn write(path: &Path, table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let place = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = place else { return Err(format!("it has no lines `{BEGIN}` and `{END}`")) };
    std::fs::write(path, format!("{before}{BEGIN}\n\n{table}\n{END}{after}")).map_err(|error| error.to_string())
}
