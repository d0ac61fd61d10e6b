//! `relapse conform --scenarios`: the same scenario files on both managers, as a table.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::Fault;
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

/// How often a scenario is run on a real systemd until the clock was not too late to tell.
const TRIES: usize = 3;

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
    /// Or why it cannot be run there.
    systemd: Result<Outcome, String>,
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
    let is_undecided = |row: &Row| row.systemd.as_ref().is_ok_and(|systemd| systemd.verdict == Verdict::Inconclusive);
    let undecided = rows.iter().any(is_undecided);
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

fn row(scenario: &Scenario, plan: &Plan<'_>) -> Result<Row, Fault> {
    let options = Options { cancel: plan.cancel.clone(), ..Options::default() };
    let embedded = scenario.record(&options)?;
    let options = Options { manager: ManagerKind::Systemd, clock: plan.clock, ..options };
    let mut systemd = match scenario.record(&options) {
        Err(Fault::NotOnSystemd { why }) => {
            let (path, title) = (scenario.source.path().to_owned(), scenario.title.clone());
            let words = (BTreeSet::new(), BTreeSet::new());
            return Ok(Row { path, title, embedded: embedded.outcome, systemd: Err(why), words });
        }
        systemd => systemd?,
    };
    // A machine that was too busy to tell may not be so the next time.
    for _ in 1..TRIES {
        if systemd.outcome.verdict != Verdict::Inconclusive || plan.cancel.is_set() {
            break;
        }
        systemd = scenario.record(&options)?;
    }
    let units: BTreeSet<&str> = scenario.units().map(|unit| unit.name.as_str()).collect();
    let words = |run: &Run| words(&run.journal, &units);
    let (ours, theirs) = (words(&embedded), words(&systemd));
    let words = (ours.difference(&theirs).cloned().collect(), theirs.difference(&ours).cloned().collect());
    let row = Row {
        path: scenario.source.path().to_owned(),
        title: scenario.title.clone(),
        embedded: embedded.outcome,
        systemd: Ok(systemd.outcome),
        words,
    };
    if let Ok(outcome) = &row.systemd {
        complain(&report::text(outcome, Style::Plain));
    }
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
        self.systemd.as_ref().map_or(true, |systemd| systemd.verdict == self.embedded.verdict)
    }

    fn remark(&self) -> String {
        let systemd = match &self.systemd {
            Ok(systemd) => systemd,
            Err(why) => return why.clone(),
        };
        if !self.agrees() {
            let first = systemd.failures.first();
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
            row.systemd.as_ref().map_or_else(|_| "cannot".to_owned(), cell),
            row.remark().replace('|', "\\|").replace('\n', " ")
        );
    }
    out
}

/// Puts the table between the lines of the document that say where. Rows of scenarios that were not compared this time stay, if
/// the scenario is still there.
fn write(path: &Path, table: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let place = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?)));
    let Some((before, (old, after))) = place else { return Err(format!("it has no lines `{BEGIN}` and `{END}`")) };
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut rows: BTreeMap<&str, &str> = rows(old).filter(|(page, _)| directory.join(page).exists()).collect();
    rows.extend(self::rows(table));
    let head: Vec<&str> = table.lines().take(2).collect();
    let rows: Vec<&str> = rows.into_values().collect();
    std::fs::write(path, format!("{before}{BEGIN}\n\n{}\n{}\n\n{END}{after}", head.join("\n"), rows.join("\n")))
        .map_err(|error| error.to_string())
}

/// The rows of a table by the pages that they link to.
fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let page = |row: &'_ str| row.find("](").and_then(|at| Some((at + 2, at + 2 + row[at + 2..].find(')')?)));
    table
        .lines()
        .filter(|line| line.starts_with("| ["))
        .filter_map(move |row| page(row).map(|(from, to)| (&row[from..to], row)))
}
