//! A scenario with the embedded manager in a machine of its own ([`super::container`]): ports, paths and PIDs are what they
//! are called, so that the distribution's own programs find them, and nothing of it can be reached from outside.
//!
//! The whole run takes place within, in a process that is given the documents and answers with all that came of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::container::{Container, ContainerSetup};
use super::layout::REPLACED;
use super::play::Played;
use super::{Fault, Finished, Options, Output, Run, log_files};
use crate::expect::{Diagnostic, Source};
use crate::journal::{Journal, Record};
use crate::program::{EXECUTABLE, INSIDE};
use crate::report::{ClaimOutcome, Failure, FailureKind, PhaseOutcome, Verdict};
use crate::scenario::{Bindings, Command, Loader, Scenario, StepKind};
use crate::time::IncidentTime;
use crate::timeline::{Event, Timeline};

const ASKED: &str = "/relapse/asked.json";
const ANSWERED: &str = "/relapse/answered.json";
const SAID: &str = "/relapse/said";
/// How often it is looked whether the run is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What is to be run.
#[derive(Serialize, Deserialize)]
struct Asked {
    scenario: String,
    documents: BTreeMap<String, String>,
    clock: String,
    update: bool,
    real: BTreeMap<String, PathBuf>,
    stall: Duration,
}

impl Loader for Asked {
    fn read(&self, path: &str) -> Result<String, String> {
        self.documents.get(path).cloned().ok_or_else(|| "it did not come along".to_owned())
    }
}

/// What came of it.
#[derive(Serialize, Deserialize)]
struct Answered {
    verdict: Verdict,
    end: IncidentTime,
    events: Vec<Event>,
    journal: (String, Vec<Record>),
    claims: Vec<ClaimOutcome>,
    failures: Vec<Failed>,
    phases: Vec<PhaseOutcome>,
    /// What the scenario's own commands printed, and what names stood for before.
    outputs: Vec<(String, Bindings)>,
    console: String,
    loop_end: Option<usize>,
    first_action: Option<usize>,
    logs: BTreeMap<String, Vec<u8>>,
}

/// A [`Failure`] without the document, of which there is but one copy.
#[derive(Serialize, Deserialize)]
struct Failed {
    kind: FailureKind,
    place: Option<(String, Diagnostic)>,
    detail: String,
    at: Option<IncidentTime>,
    evidence: Vec<usize>,
}

impl Failed {
    fn pack(failure: Failure) -> Failed {
        let Failure { kind, place, detail, at, evidence } = failure;
        let place = place.map(|(source, diagnostic)| (source.path().to_owned(), diagnostic));
        Failed { kind, place, detail, at, evidence }
    }

    fn unpack(self, documents: &[Arc<Source>]) -> Failure {
        let Failed { kind, place, detail, at, evidence } = self;
        let place = place.and_then(|(path, diagnostic)| {
            Some((Arc::clone(documents.iter().find(|source| source.path() == path)?), diagnostic))
        });
        Failure { kind, place, detail, at, evidence }
    }
}

impl Scenario {
    /// Runs the scenario with the embedded manager, in a machine of its own.
    pub(super) fn on_isolated(&self, options: &Options, executable: PathBuf) -> Result<Run, Fault> {
        let mut replaced: Vec<String> = ["/usr/bin", "/bin"]
            .iter()
            .flat_map(|at| REPLACED.iter().map(move |name| format!("{at}/{name}")))
            .collect();
        replaced.sort_by_key(|path| Path::new(path).canonicalize().ok());
        // Once, where /bin is a link to /usr/bin.
        replaced.dedup_by_key(|path| Path::new(path).canonicalize().ok());
        let container = Container::make(&ContainerSetup {
            systemd: false,
            hostname: self.settings.hostname.clone(),
            users: self.users(),
            replaced,
            exposed: options.real.values().flat_map(|file| environment(file)).collect(),
            writable: true,
            ..ContainerSetup::new(executable)
        })?;
        let answered = self.ask(options, container)?;
        let mut journal = Journal::new(answered.journal.0);
        for record in answered.journal.1 {
            journal.append(record);
        }
        let mut timeline = Timeline::default();
        for event in answered.events {
            timeline.push(event.at, event.kind);
        }
        let played = Played {
            claims: answered.claims,
            failures: answered.failures.into_iter().map(|failed| failed.unpack(&self.documents)).collect(),
            failed_before_own: false,
            phases: answered.phases,
            outputs: self
                .own_commands()
                .zip(answered.outputs)
                .map(|(command, (text, bound))| Output { command: command.clone(), text, bound })
                .collect(),
            console: String::new(),
            loop_end: answered.loop_end,
            first_action: answered.first_action,
        };
        let mut run = self.run_of(options, played, answered.verdict, timeline, journal, answered.end);
        if let Some(base) = &options.artifacts {
            let (logs, paths) = (&answered.logs, answered.logs.keys().cloned().collect());
            let kept = self.keep_artifacts(base, &paths, |path| logs.get(path).cloned(), &run, &answered.console)?;
            run.outcome.artifacts = Some(kept.to_string_lossy().into_owned());
        }
        Ok(run)
    }

    fn ask(&self, options: &Options, mut container: Container) -> Result<Answered, Fault> {
        let text = |source: &Arc<Source>| (source.path().to_owned(), source.text().to_owned());
        let asked = Asked {
            scenario: self.source.path().to_owned(),
            documents: self.documents.iter().map(text).collect(),
            clock: options.clock.to_string(),
            update: options.update,
            real: options.real.clone(),
            stall: options.stall,
        };
        container.start()?;
        fs::write(container.below(ASKED), serde_json::to_vec(&asked).map_err(io::Error::other)?)?;
        // Its own directory is out of the incident's sight.
        let environment = [("TMPDIR", "/relapse"), ("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")];
        let inside = container.spawn_as(EXECUTABLE, &[INSIDE], &environment, SAID, SAID)?;
        while !matches!(container.wait(LOOK)?, Some((pid, _)) if pid == inside) {
            if options.cancel.is_set() {
                return Err(Fault::Canceled);
            }
        }
        let answer = fs::read(container.below(ANSWERED)).map_err(|error| {
            let said = fs::read(container.below(SAID)).unwrap_or_default();
            match String::from_utf8_lossy(&said).trim() {
                "" => io::Error::other(format!("the run within the machine has ended without an answer: {error}")),
                said => io::Error::other(said),
            }
        })?;
        let answered = serde_json::from_slice(&answer).map_err(io::Error::other)?;
        container.end()?;
        Ok(answered)
    }

    /// The commands of the scenario's own document, in order.
    fn own_commands(&self) -> impl Iterator<Item = &Command> {
        self.steps[self.inherited..].iter().flat_map(|step| match &step.kind {
            StepKind::Console(console) => console.commands.as_slice(),
            _ => &[],
        })
    }
}

/// What a real program needs of the host: its directory, or its virtual environment and the Python that this one is of.
fn environment(file: &Path) -> Vec<PathBuf> {
    let Some(directory) = file.parent() else { return Vec::new() };
    let top = directory.parent().unwrap_or(directory);
    let Ok(settings) = fs::read_to_string(top.join("pyvenv.cfg")) else { return vec![directory.to_owned()] };
    let home = settings.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "home"));
    let python = home.and_then(|(_, bin)| Path::new(bin.trim()).parent());
    // What the distribution has is there.
    let python = python.filter(|path| path.is_dir() && !path.starts_with("/usr") && *path != Path::new("/"));
    [Some(top), python].into_iter().flatten().map(Path::to_owned).collect()
}

/// The run within the machine.
pub(crate) fn inside() -> u8 {
    match run_inside() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn run_inside() -> Result<(), Fault> {
    let asked: Asked = serde_json::from_slice(&fs::read(ASKED)?).map_err(io::Error::other)?;
    let scenario = Scenario::load_with(&asked.scenario, &asked)
        .map_err(|error| io::Error::other(error.render(crate::expect::Style::Plain)))?;
    let options = Options {
        clock: asked.clock.parse().map_err(io::Error::other)?,
        update: asked.update,
        real: asked.real,
        stall: asked.stall,
        ..Options::default()
    };
    let mut setup = scenario.setup(&options);
    setup.literal = true;
    let (incident, finished) = scenario.play_embedded(setup, &options, PathBuf::from(EXECUTABLE))?;
    let Finished { played, verdict, timeline, journal, end } = finished;
    let logs = log_files(&incident.stand_ins);
    let answered = Answered {
        verdict,
        end,
        events: timeline.events().to_vec(),
        journal: (journal.seqnum_id().to_owned(), journal.entries().map(|entry| entry.record.clone()).collect()),
        claims: played.claims,
        failures: played.failures.into_iter().map(Failed::pack).collect(),
        phases: played.phases,
        outputs: played.outputs.into_iter().map(|output| (output.text, output.bound)).collect(),
        console: played.console,
        loop_end: played.loop_end,
        first_action: played.first_action,
        logs: logs
            .into_iter()
            .filter_map(|path| Some((incident.layout.read(&path)?, path)))
            .map(|(bytes, path)| (path, bytes))
            .collect(),
    };
    fs::write(ANSWERED, serde_json::to_vec(&answered).map_err(io::Error::other)?)?;
    incident.end(false)
}
