//! `relapse run`: scenario files in, verdicts out.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{UNDECIDED, USAGE};
use crate::expect::Style;
use crate::report::{self, Failure, Outcome, Verdict};
use crate::run::{Cancel, ClockKind, Container, Fault, Isolation, ManagerKind, Options, Run};
use crate::scenario::{Scenario, update};
use crate::sys::processors;
use crate::time::Span;
use crate::timeline::{Timeline, printable};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, or directories of them
    #[arg(value_name = "PATH", default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// virtual (lock-step), scaled:N (wall clock, N times as fast) or real
    #[arg(long, value_name = "CLOCK")]
    clock: Option<ClockKind>,
    /// embedded, or systemd: the distribution's own, booted in namespaces (its clock is scaled:5 unless named)
    #[arg(long, value_name = "MANAGER", default_value = "embedded", value_parser = manager)]
    manager: ManagerKind,
    /// Give each run with the embedded manager a machine of its own, in namespaces: ports, paths and PIDs are then literal, and
    /// the distribution's programs see them; auto: as far as this host permits it
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "never",
        default_missing_value = "always",
        num_args = 0..=1,
        require_equals = true,
        value_parser = isolation
    )]
    isolate: Isolation,
    /// Run the program NAME of the scenarios as the real thing, PATH (a virtual environment's python, say); needs --clock real
    #[arg(long, value_name = "NAME=PATH", value_parser = real)]
    real: Vec<(String, PathBuf)>,
    /// How to print verdicts
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json", "junit"])]
    format: String,
    /// Keep timeline.jsonl, journal.jsonl and logs below DIR, a directory per scenario
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Rewrite the outputs of console blocks as they come
    #[arg(long)]
    update: bool,
    /// Write the index of the scenarios into FILE, between the two lines that mark its place
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Keep each run's own directory and say where it is
    #[arg(long)]
    keep: bool,
    /// Runs at a time; 0 for two per processor in lock-step, else one. In lock-step, each of several keeps to one processor
    #[arg(short, value_name = "N", default_value_t = 0)]
    jobs: usize,
    /// Real seconds after which a process that does not come back is a stall
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    stall: u64,
}

fn isolation(text: &str) -> Result<Isolation, String> {
    match text {
        "always" => Ok(Isolation::Always),
        "auto" => Ok(Isolation::Auto),
        "never" => Ok(Isolation::Never),
        _ => Err(format!("`{text}`: expected always, auto or never")),
    }
}

fn manager(text: &str) -> Result<ManagerKind, String> {
    match text {
        "embedded" => Ok(ManagerKind::Embedded),
        "systemd" => Ok(ManagerKind::Systemd),
        _ => Err(format!("`{text}` is no manager, expected embedded or systemd")),
    }
}

impl Args {
    /// The clock that was named, or the manager's own.
    fn clock(&self) -> ClockKind {
        self.clock.unwrap_or(match self.manager {
            ManagerKind::Embedded => ClockKind::Virtual,
            ManagerKind::Systemd => ClockKind::Scaled(5),
        })
    }
}

pub(super) fn main(args: &Args) -> u8 {
    let style = if io::stderr().is_terminal() { Style::Coloured } else { Style::Plain };
    let files = match find(&args.paths) {
        Ok(files) => files,
        Err(message) => {
            complain(&printable(&message));
            return USAGE;
        }
    };
    let isolation = match isolation_here(args) {
        Ok(isolation) => isolation,
        Err(code) => return code,
    };
    // Everything is read before anything is started.
    let mut scenarios = VecDeque::new();
    let mut wrong = false;
    for file in &files {
        let confined = args.manager == ManagerKind::Embedded && isolation == Isolation::Never;
        let loaded = Scenario::load(file);
        let checked = loaded.and_then(|scenario| match confined {
            true => scenario.check_writes().map(|()| scenario),
            false => Ok(scenario),
        });
        match checked {
            Ok(scenario) => scenarios.push_back(scenario),
            Err(error) => {
                complain(&error.render(style));
                wrong = true;
            }
        }
    }
    if wrong {
        return USAGE;
    }
    if let Some((name, _)) =
        args.real.iter().find(|(name, _)| !scenarios.iter().any(|s| s.programs().any(|block| block.name == *name)))
    {
        complain(&format!("error: --real {}: no scenario here has a program of this name", printable(name)));
        return USAGE;
    }
    let cancel = Cancel::default();
    watch_signals(&cancel);
    let options = Options {
        clock: args.clock(),
        manager: args.manager,
        isolation,
        artifacts: args.artifacts.clone(),
        keep: args.keep,
        update: args.update,
        real: args.real.iter().cloned().collect(),
        stall: Duration::from_secs(args.stall.max(1)),
        cancel: cancel.clone(),
        ..Options::default()
    };
    if let Err(fault) = options.check() {
        complain(&format!("error: {fault}"));
        return USAGE;
    }
    let jobs = match args.jobs {
        0 => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            // In lock-step now and then nobody of a run has anything to do.
            if options.clock == ClockKind::Virtual { processors * 2 } else { processors }
        }
        jobs => jobs,
    };
    let colours = args.format == "text" && io::stderr().is_terminal();
    let style = if colours { Style::Coloured } else { Style::Plain };
    let outcomes = run_all(scenarios, &options, jobs, args, style);
    if args.format == "junit" {
        say(&report::junit(&outcomes));
    }
    if let Some(file) = &args.index
        && let Err(why) = write_index(file, &outcomes)
    {
        complain(&format!("error: {}: {why}", file.display()));
        return USAGE;
    }
    complain(&report::summary(&outcomes, style));
    match SIGNAL.load(Ordering::SeqCst) {
        0 => report::exit_code(&outcomes),
        signal => u8::try_from(128 + signal).unwrap_or(255),
    }
}

/// Whether the machines that are wanted can be had: looked at once, before anything is read, and not for each scenario.
fn isolation_here(args: &Args) -> Result<Isolation, u8> {
    if args.manager == ManagerKind::Systemd && args.clock() == ClockKind::Virtual {
        complain(&format!("error: {}", Fault::WallClockOnly));
        return Err(USAGE);
    }
    let wanted = match args.manager {
        ManagerKind::Systemd => Isolation::Always,
        ManagerKind::Embedded => args.isolate,
    };
    let (probed, needs) = match (wanted, args.manager) {
        (Isolation::Never, _) => return Ok(Isolation::Never),
        (_, ManagerKind::Systemd) => (Container::probe(), "--manager systemd"),
        (_, ManagerKind::Embedded) => (Container::probe_without_systemd(), "--isolate"),
    };
    if args.keep {
        complain(&format!("error: --keep: with {needs} a run's directory goes with its machine; use --artifacts DIR"));
        return Err(USAGE);
    }
    match probed {
        Ok(()) => Ok(args.isolate),
        Err(unavailable) if wanted == Isolation::Auto => {
            complain(&format!("not isolated: {unavailable}"));
            Ok(Isolation::Never)
        }
        Err(unavailable) => {
            complain(&unavailable.to_string());
            Err(UNDECIDED)
        }
    }
}

/// `NAME=PATH` of --real. The path is made absolute but not resolved: a virtual environment is known by its links.
fn real(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text
        .split_once('=')
        .filter(|(name, path)| !name.is_empty() && !path.is_empty())
        .ok_or("expected NAME=PATH, such as uvicorn=venv/bin/python")?;
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let meta = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !meta.is_file() || std::os::unix::fs::MetadataExt::mode(&meta) & 0o111 == 0 {
        return Err(format!("{}: this is no program", path.display()));
    }
    Ok((name.to_owned(), path))
}

/// Runs all scenarios, `jobs` at a time, and reports them in the order of the files, whoever was first.
fn run_all(scenarios: VecDeque<Scenario>, options: &Options, jobs: usize, args: &Args, style: Style) -> Vec<Outcome> {
    let total = scenarios.len();
    let queue = Mutex::new(scenarios.into_iter().enumerate().collect::<VecDeque<_>>());
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut outcomes = Vec::new();
    let jobs = jobs.clamp(1, 64).min(total.max(1));
    // The processes of a run in lock-step take turns: on one processor nobody has to wake up another one for that.
    let usable = if jobs > 1 && options.clock == ClockKind::Virtual { processors::usable() } else { Vec::new() };
    std::thread::scope(|scope| {
        let mut places = usable.into_iter().cycle();
        for _ in 0..jobs {
            let (sender, queue, own) = (sender.clone(), &queue, places.next());
            scope.spawn(move || {
                own.into_iter().for_each(processors::keep_to);
                loop {
                    let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
                    let Some((index, scenario)) = next.filter(|_| !options.cancel.is_set()) else { return };
                    let run = scenario.record(options);
                    if sender.send((index, scenario, run)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        for (index, scenario, run) in receiver {
            early.insert(index, (scenario, run));
            while let Some((scenario, run)) = early.remove(&outcomes.len()) {
                outcomes.push(report_one(&scenario, run, options, args, style));
            }
        }
    });
    outcomes
}

fn report_one(scenario: &Scenario, run: Result<Run, Fault>, options: &Options, args: &Args, style: Style) -> Outcome {
    let outcome = match run {
        Ok(mut run) => {
            if args.update {
                rewrite(scenario, &mut run);
            }
            if let Some(directory) = &run.directory {
                complain(&format!("kept {}", directory.display()));
            }
            run.outcome
        }
        Err(fault) => not_begun(scenario, &fault, options),
    };
    match args.format.as_str() {
        "json" => say(&report::json(&outcome)),
        "junit" => {}
        _ => complain(&report::text(&outcome, style)),
    }
    outcome
}

fn write_index(file: &Path, outcomes: &[Outcome]) -> Result<(), String> {
    let document = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let written = report::with_index(&document, &report::index(outcomes))
        .ok_or("it has no lines `<!-- relapse run --index: begin -->` and `<!-- relapse run --index: end -->`")?;
    std::fs::write(file, written).map_err(|error| error.to_string())
}

/// `--update`: what came instead of what is written is written, in the scenario's own document.
fn rewrite(scenario: &Scenario, run: &mut Run) {
    let outputs: Vec<_> =
        run.outputs.iter().map(|output| (&output.command, output.text.as_str(), &output.bound)).collect();
    let text = update(&scenario.source, &outputs);
    if text == scenario.source.text() {
        return;
    }
    let path = scenario.source.path();
    match std::fs::write(path, text) {
        Ok(()) => {
            complain(&format!("{path}: outputs rewritten; run it again, a later command may print something else"))
        }
        Err(error) => run.outcome.failures.push(Failure::other(format!("{path}: cannot write: {error}"), None)),
    }
}

fn not_begun(scenario: &Scenario, fault: &Fault, options: &Options) -> Outcome {
    Outcome {
        scenario: scenario.source.path().to_owned(),
        title: scenario.title.clone(),
        kind: scenario.kind.as_str().to_owned(),
        verdict: match fault {
            Fault::NotOnSystemd { .. } => Verdict::Inconclusive,
            _ => Verdict::Error,
        },
        clock: options.clock.to_string(),
        manager: options.manager.to_string(),
        profile: scenario.settings.profile.version().to_string(),
        incident: Span::ZERO,
        wall_us: 0,
        claims: Vec::new(),
        cycles: None,
        outage: None,
        aftermath: None,
        remark: String::new(),
        cannot_tell: false,
        artifacts: None,
        phases: Vec::new(),
        failures: vec![Failure::other(fault.to_string(), None)],
        timeline: Timeline::default(),
        rerun: scenario.rerun(options),
    }
}

/// Machine formats go to standard output.
pub(super) fn say(text: &str) {
    let mut out = io::stdout().lock();
    // A reader that went away is not our error.
    let _ = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
}

pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{}", text.trim_end());
}

/// Scenario files in a stable order: what is named, and every `.md` but README.md below directories.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            walk(path, &mut found)?;
            if found.len() == before {
                return Err(format!("error: {}: there is no scenario (*.md) in this directory", path.display()));
            }
            found[before..].sort();
        } else if path.is_file() {
            found.push(path.clone());
        } else {
            return Err(format!("error: {}: there is no such file or directory", path.display()));
        }
    }
    Ok(found)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = std::fs::read_dir(directory).map_err(|error| format!("error: {}: {error}", directory.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "md")
            && path.file_name().is_some_and(|name| name != "README.md")
        {
            found.push(path);
        }
    }
    Ok(())
}

/// The signal that asked us to end, or 0.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// SIGINT, SIGTERM and SIGHUP end the runs in good order: the processes of every run are gone before we are.
pub(super) fn watch_signals(cancel: &Cancel) {
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT] {
        let number = signal as usize;
        // Only a signal that the kernel does not know could be refused.
        let _ = signal_hook::flag::register_usize(signal as i32, Arc::clone(&SIGNAL), number);
        let _ = signal_hook::flag::register(signal as i32, cancel.flag());
    }
}
