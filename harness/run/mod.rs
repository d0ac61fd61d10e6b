//! The only place that joins the pure half (manager, timeline, claims) and the real half (processes, sockets).
//! The clocks live here.

mod clock;
mod console;
mod guard;
mod incident;
mod layout;
mod machine;
mod play;
mod quiet;
mod sessions;
pub(crate) mod setup;
mod tools;
mod tree;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::expect::{Judged, Source};
use crate::journal::{Format, Journal, Style};
use crate::scenario::{Scenario, StepKind};
use crate::time::{IncidentTime, Span};
use crate::timeline::Timeline;
use incident::Incident;

pub use clock::ClockKind;
pub use play::Failure;

/// Set from outside to end a run early.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to end: its processes are killed, its directory is removed or kept as asked.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// The flag itself, for a signal handler to set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether it was asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Why a run could not go on. None of these is a verdict on a claim.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It was asked to end.
    #[error("the run was asked to end")]
    Canceled,
    /// A process of ours did not come back to the protocol, or a foreign one went on and on.
    #[error(
        "stall: {}`{command}` {why} within {} s of real time; raise --stall if the machine is that slow",
        pid.map(|pid| format!("pid {pid} ")).unwrap_or_default(),
        after.as_secs()
    )]
    Stalled {
        /// Incident PID.
        pid: Option<u32>,
        /// Its command line.
        command: String,
        /// What it did not do.
        why: String,
        /// The watchdog's patience.
        after: Duration,
    },
    /// A foreign process has a clock of its own.
    #[error(
        "`{command}` cannot run in lock-step: it sleeps on its own timer or serves by itself (in {call}); \
         use the commands that a run provides (sleep, timeout, watch, curl), describe it with a program block, \
         or run with --clock real"
    )]
    NotInLockstep {
        /// Its command line.
        command: String,
        /// The system call it sleeps in.
        call: String,
    },
    /// Somebody outside the run took a leased port.
    #[error("a process outside this run took the host port leased for incident port {port}; run it again")]
    Intruder {
        /// The incident port.
        port: u16,
    },
    /// Nobody runs and nobody waits for a moment.
    #[error("nothing can happen any more: {waiting}")]
    Deadlock {
        /// Who waits for what.
        waiting: String,
    },
}

/// How to run a scenario.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which clock.
    pub clock: ClockKind,
    /// The executable that serves as helper; found by itself if this program calls [`crate::init`].
    pub helper: Option<PathBuf>,
    /// Keep artefacts below this directory, in one directory per scenario.
    pub artifacts: Option<PathBuf>,
    /// Keep the run's own directory.
    pub keep: bool,
    /// Take console outputs as they come, for `--update`.
    pub update: bool,
    /// Real time after which a process that does not come back is a stall.
    pub stall: Duration,
    /// Ends the run from outside.
    pub cancel: Cancel,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: ClockKind::Virtual,
            helper: None,
            artifacts: None,
            keep: false,
            update: false,
            stall: Duration::from_secs(30),
            cancel: Cancel::default(),
        }
    }
}

/// What a run comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Every claim holds.
    Holds,
    /// A claim is violated, or a command did not do what is written.
    Violated,
    /// The incident that is extended did not reproduce, so nothing is said about the fix.
    SetupFailed,
    /// A wall clock was too late to tell.
    Inconclusive,
    /// A process did not come back.
    Stalled,
    /// The run could not be made.
    Error,
}

impl Verdict {
    /// As in the JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Violated => "violated",
            Verdict::SetupFailed => "setup-failed",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Stalled => "stalled",
            Verdict::Error => "error",
        }
    }
}

/// What a run has shown.
#[derive(Debug)]
pub struct Outcome {
    /// In one word.
    pub verdict: Verdict,
    /// The claims that were judged: (source, whether inherited, claim).
    pub claims: Vec<(Arc<Source>, bool, Judged)>,
    /// The first thing that was not as written.
    pub failure: Option<Failure>,
    /// Why the run could not go on.
    pub fault: Option<Fault>,
    /// Everything that happened.
    pub timeline: Timeline,
    /// Everything that was logged.
    pub journal: Journal,
    /// What the commands printed, for `--update`.
    pub outputs: Vec<(Arc<Source>, std::ops::Range<usize>, String)>,
    /// When the incident began.
    pub start: IncidentTime,
    /// How much incident time has passed.
    pub incident: Span,
    /// How much real time has passed.
    pub wall: Duration,
    /// Greatest lateness of a wall clock, in incident time.
    pub latest: Span,
    /// Where the artefacts are.
    pub artifacts: Option<PathBuf>,
}

/// The scenario files' first incident PID, if they do not say.
const FIRST_PID: u32 = 1001;

impl Scenario {
    /// Runs the scenario with real processes against the embedded manager.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if the run cannot even begin; once it has begun, faults are part of the [`Outcome`].
    pub fn run(&self, options: &Options) -> Result<Outcome, Fault> {
        let begin = Instant::now();
        let executable = setup::helper(options.helper.as_deref())?;
        let directory = tempfile::Builder::new().prefix("relapse-").tempdir()?;
        // From here on the guard removes it, also when this process is killed.
        let directory = directory.keep();
        let setup = self.setup(options);
        let mut incident = Incident::begin(setup, &directory, executable)?;
        let result = play::play(self, &mut incident, options);
        let end = incident.now();
        let latest = incident.clock.latest();
        let intruder = incident.intruder;
        let mut outcome = Outcome {
            verdict: Verdict::Holds,
            claims: Vec::new(),
            failure: None,
            fault: None,
            timeline: std::mem::take(&mut incident.timeline),
            journal: incident.machinery.journal.clone(),
            outputs: Vec::new(),
            start: self.settings.clock,
            incident: end.since(self.settings.clock),
            wall: Duration::ZERO,
            latest,
            artifacts: None,
        };
        let mut console = String::new();
        match result {
            Ok(played) => {
                console = played.console;
                outcome.claims = played.claims;
                outcome.outputs = played.outputs;
                outcome.verdict = match &played.failure {
                    None => Verdict::Holds,
                    Some(_) if play::is_inconclusive(options.clock, latest) => Verdict::Inconclusive,
                    Some(failure) if failure.inherited => Verdict::SetupFailed,
                    Some(_) => Verdict::Violated,
                };
                outcome.failure = played.failure;
            }
            Err(fault) => {
                outcome.verdict = match &fault {
                    Fault::Stalled { .. } | Fault::NotInLockstep { .. } | Fault::Deadlock { .. } => Verdict::Stalled,
                    Fault::Io(_) | Fault::Canceled | Fault::Intruder { .. } => Verdict::Error,
                };
                outcome.fault = Some(fault);
            }
        }
        if let Some(port) = intruder
            && outcome.verdict != Verdict::Holds
        {
            outcome.verdict = Verdict::Inconclusive;
            outcome.fault = Some(Fault::Intruder { port });
        }
        if let Some(base) = &options.artifacts {
            outcome.artifacts = Some(self.keep_artifacts(base, &incident, &outcome, &console)?);
        }
        incident.end(options.keep)?;
        outcome.wall = begin.elapsed();
        Ok(outcome)
    }

    fn setup(&self, options: &Options) -> setup::Setup {
        let settings = &self.settings;
        let mut directories: Vec<String> = settings.directory.iter().cloned().collect();
        let logs = self.programs().filter_map(|block| block.program.log_file.as_deref()?.rsplit_once('/'));
        directories.extend(logs.map(|(parent, _)| parent.to_owned()));
        directories.extend(self.files().filter_map(|file| Some(file.path.rsplit_once('/')?.0.to_owned())));
        for unit in self.units() {
            directories.extend(
                unit.text()
                    .lines()
                    .filter_map(|line| line.strip_prefix("WorkingDirectory="))
                    .filter(|path| path.starts_with('/'))
                    .map(|path| path.trim().to_owned()),
            );
        }
        setup::Setup {
            clock: options.clock,
            start: settings.clock,
            profile: settings.profile,
            timer_phase: settings.timer_phase.unwrap_or(Span::ZERO),
            hostname: settings.hostname.clone(),
            first_pid: settings.first_pid.unwrap_or(FIRST_PID),
            ports: self.ports(),
            stand_ins: Vec::new(),
            executables: self.programs().flat_map(|block| block.program.path.iter().cloned()).collect(),
            own_paths: self.own_paths(),
            directories: directories.into_iter().filter(|path| path.len() > 1).collect(),
            client: settings.client.as_ref().map(|client| crate::control::ClientRole {
                port: client.port,
                every: client.every,
                path: client.path.clone(),
                timeout: client.timeout,
                from: client.from.unwrap_or(settings.clock),
            }),
            console_user: settings.user.clone(),
            stall: options.stall,
            cancel: options.cancel.clone(),
        }
    }

    /// Incident ports: those the header names, and every number that stands where a port does.
    fn ports(&self) -> BTreeSet<u16> {
        let mut ports: BTreeSet<u16> = self.settings.ports.iter().copied().collect();
        ports.extend(self.settings.client.iter().map(|client| client.port));
        let mut scan = |text: &str| {
            let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || "=:\"'(),".contains(c)).collect();
            for pair in words.windows(2) {
                if matches!(pair[0], "--port" | "port" | "listening" | "refused" | "ListenStream")
                    && let Ok(port) = pair[1].parse::<u16>()
                {
                    ports.insert(port);
                }
            }
        };
        for step in &self.steps {
            match &step.kind {
                StepKind::Unit(unit) => scan(unit.text()),
                StepKind::File(file) => scan(file.text()),
                StepKind::Console(console) => console.commands.iter().for_each(|command| scan(&command.text)),
                StepKind::Expect(expect) => expect.claims.iter().for_each(|claim| scan(&claim.text)),
                StepKind::Program(_) => {}
            }
        }
        ports.remove(&0);
        ports
    }

    fn keep_artifacts(&self, base: &Path, incident: &Incident, outcome: &Outcome, console: &str) -> Result<PathBuf, Fault> {
        let name: String = self
            .source
            .path()
            .trim_end_matches(".md")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
            .collect();
        let directory = base.join(name.trim_matches(['-', '.']));
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("timeline.jsonl"), outcome.timeline.to_jsonl())?;
        std::fs::write(directory.join("journal.jsonl"), journal_lines(&outcome.journal))?;
        std::fs::write(directory.join("console.log"), console)?;
        let mut logs = BTreeSet::new();
        for stand_in in &incident.stand_ins {
            logs.extend(stand_in.role.log_file.clone());
        }
        for path in logs {
            if let (Some(bytes), Some(name)) = (incident.layout.read(&path), Path::new(&path).file_name()) {
                std::fs::write(directory.join(name), bytes)?;
            }
        }
        Ok(directory)
    }
}

/// `journalctl -o json` of the whole journal.
fn journal_lines(journal: &Journal) -> Vec<u8> {
    let style = Style::new(Format::Json, 252);
    let mut out = Vec::new();
    for entry in journal.entries() {
        style.write(&mut out, &entry, None);
    }
    out
}
