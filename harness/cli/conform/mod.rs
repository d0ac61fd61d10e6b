//! `relapse conform`: the embedded manager beside a real systemd.

mod scenarios;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::USAGE;
use super::run::{complain, say, watch_signals};
use crate::conform::session::{self, Differs, Outcome, Plan, Verdict};
use crate::conform::{Case, Recording, Recordings, generate, show, shrink, table};
use crate::run::{Cancel, ClockKind, ContainerSetup};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many random units that answer the same every time
    #[arg(long, value_name = "N", default_value_t = 100)]
    cases: usize,
    /// What they are made of
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// In place of random units the rows of the tables: restarts, start limits, phases, signals
    #[arg(long)]
    table: bool,
    /// Machines with systemd side by side; 0 for 8 per processor
    #[arg(long, value_name = "J", default_value_t = 0)]
    jobs: usize,
    /// How often systemd is asked
    #[arg(long, value_name = "T", default_value_t = 2)]
    takes: usize,
    /// In place of units these scenario files, or directories of them
    #[arg(long, value_name = "PATH", num_args = 1..)]
    scenarios: Vec<PathBuf>,
    /// The clock of scenarios on systemd
    #[arg(long, value_name = "CLOCK", default_value = "scaled:5")]
    clock: ClockKind,
    /// Write the table of scenarios anew in this document
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// These alone, by the names that were printed
    #[arg(long, value_name = "ID", num_args = 1..)]
    only: Vec<String>,
    /// Those of a file, in the form of fixtures/systemd/cases.jsonl
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "table"])]
    from: Option<PathBuf>,
    /// The distribution that systemd is taken from
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Keep what was asked and answered in DIR/recorded.jsonl and DIR/differences.jsonl
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Seconds for making a difference smaller, of each
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    shrink: u64,
    /// Print the cases as JSON, one a line, and end
    #[arg(long, hide = true)]
    print: bool,
}

/// No systemd here.
const UNAVAILABLE: u8 = 3;
/// Differences that are made smaller and shown; the others are named.
const SHOWN: usize = 5;

pub(super) fn main(args: &Args) -> u8 {
    if !args.scenarios.is_empty() {
        let cancel = Cancel::default();
        watch_signals(&cancel);
        return scenarios::main(&scenarios::Plan {
            paths: &args.scenarios,
            clock: args.clock,
            jobs: if args.jobs == 0 { 4 } else { args.jobs },
            write: args.write.as_deref(),
            cancel,
        });
    }
    let (cases, wanted) = match cases(args) {
        Ok(cases) => cases,
        Err(message) => {
            complain(&format!("error: {message}"));
            return USAGE;
        }
    };
    if args.print {
        let mut out = io::stdout().lock();
        for case in cases.take(wanted) {
            let Ok(line) = serde_json::to_string(&case) else { continue };
            if writeln!(out, "{line}").is_err() {
                break;
            }
        }
        return 0;
    }
    let executable = match std::env::current_exe() {
        Ok(executable) => executable,
        Err(error) => {
            complain(&format!("error: cannot find this program itself: {error}"));
            return USAGE;
        }
    };
    let mut kept = match args.keep.as_deref().map(Kept::new).transpose() {
        Ok(kept) => kept,
        Err(error) => {
            complain(&format!("error: --keep: {error}"));
            return USAGE;
        }
    };
    let cancel = Cancel::default();
    watch_signals(&cancel);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan {
        cases: wanted,
        jobs: if args.jobs == 0 { 8 * processors } else { args.jobs },
        takes: args.takes.max(1),
        setup: ContainerSetup { distribution: args.root.clone(), ..ContainerSetup::new(executable) },
        cancel,
    };
    let mut tally = Tally::default();
    let ran = session::run(&plan, cases, |outcome| {
        if let Some(kept) = &mut kept {
            kept.keep(&outcome, &plan);
        }
        tally.count(outcome, wanted);
    });
    if let Err(unavailable) = ran {
        complain(&unavailable.to_string());
        return UNAVAILABLE;
    }
    tally.report(&plan, Duration::from_secs(args.shrink), wanted)
}

/// The cases that are asked for, and how many.
fn cases(args: &Args) -> Result<(Box<dyn Iterator<Item = Case> + Send>, usize), String> {
    if let Some(file) = &args.from {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let wrong = |line: usize, error: serde_json::Error| format!("{}:{}: {error}", file.display(), line + 1);
        let read = |(line, text)| serde_json::from_str::<Case>(text).map_err(|error| wrong(line, error));
        let found = text.lines().enumerate().map(read).collect::<Result<Vec<Case>, String>>()?;
        let count = found.len();
        return Ok((Box::new(found.into_iter()), count));
    }
    if !args.only.is_empty() {
        let found: Result<Vec<Case>, String> = args
            .only
            .iter()
            .map(|id| generate::named(id).or_else(|| table::named(id)).ok_or(format!("there is no case `{id}`")))
            .collect();
        let found = found?;
        let count = found.len();
        return Ok((Box::new(found.into_iter()), count));
    }
    if args.table {
        let rows: Vec<Case> = table::cases().collect();
        let count = rows.len();
        return Ok((Box::new(rows.into_iter()), count));
    }
    Ok((Box::new(generate::cases(args.seed)), args.cases))
}

/// What became of all of them.
#[derive(Default)]
struct Tally {
    agree: usize,
    known: Vec<String>,
    unstable: Vec<String>,
    differ: Vec<(Case, Box<Differs>)>,
}

impl Tally {
    fn count(&mut self, outcome: Outcome, wanted: usize) {
        let id = outcome.case.id.clone();
        match outcome.verdict {
            Verdict::Agrees { known, .. } => {
                self.agree += 1;
                self.known.extend(known.into_iter().map(|why| format!("{id}: {why}")));
            }
            Verdict::Unstable(why) => {
                complain(&format!("{id} is not counted: {}", why.chars().take(400).collect::<String>()));
                return self.unstable.push(id);
            }
            Verdict::Differs(differs) => {
                let first = differs.wrong.first().map(ToString::to_string).unwrap_or_default();
                complain(&format!("{id} differs: {first}"));
                self.differ.push((outcome.case, differs));
            }
        }
        let done = self.agree + self.differ.len();
        if done.is_multiple_of(50) {
            complain(&format!("{done} of {wanted}, {} differ", self.differ.len()));
        }
    }

    fn report(self, plan: &Plan, limit: Duration, wanted: usize) -> u8 {
        let differ = self.differ.len();
        for (index, (case, differs)) in self.differ.into_iter().enumerate() {
            let (case, differs) = match index < SHOWN && !limit.is_zero() && !plan.cancel.is_set() {
                true => shrink::shrink(plan, &case, differs, Instant::now() + limit),
                false => (case, differs),
            };
            if index < SHOWN {
                complain(&format!("\n{}", show::two_columns(&case, &differs)));
            }
        }
        self.known.iter().for_each(|known| complain(&format!("known: {known}")));
        // There may be no more of them than are stable.
        let wanted = wanted.min(self.agree + differ);
        complain(&format!(
            "of {} made, {} did not answer the same every time, {} differ as is known",
            wanted + self.unstable.len(),
            self.unstable.len(),
            self.known.len()
        ));
        say(&format!("{}/{wanted}", self.agree));
        u8::from(self.agree < wanted)
    }
}

/// What is kept, in the form of `fixtures/systemd/cases*.jsonl`.
struct Kept {
    recorded: File,
    differences: File,
}

impl Kept {
    fn new(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self {
            recorded: File::create(directory.join("recorded.jsonl"))?,
            differences: File::create(directory.join("differences.jsonl"))?,
        })
    }

    fn keep(&mut self, outcome: &Outcome, plan: &Plan) {
        let (file, expected, systemd) = match &outcome.verdict {
            Verdict::Agrees { theirs, version, .. } => (&mut self.recorded, (**theirs).clone(), version),
            Verdict::Differs(differs) => (&mut self.differences, differs.theirs.clone(), &differs.version),
            Verdict::Unstable(_) => return,
        };
        let recordings = Recordings { n: u32::try_from(plan.takes).unwrap_or(u32::MAX), systemd: systemd.clone() };
        let recording = Recording { case: outcome.case.clone(), expected, recordings };
        let written =
            serde_json::to_string(&recording).map_err(io::Error::from).and_then(|line| writeln!(file, "{line}"));
        if let Err(error) = written {
            complain(&format!("{}: not kept: {error}", outcome.case.id));
        }
    }
}
