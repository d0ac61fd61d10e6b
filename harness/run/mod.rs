//! The only place that joins the pure half (manager, timeline, claims) and the real half (processes, sockets).
//! The clocks live here.

mod clock;
mod console;
mod container;
mod disk;
mod effects;
mod guard;
mod incident;
mod isolated;
mod layout;
mod live;
mod machine;
mod notify;
mod pace;
mod pids;
mod play;
mod properties;
mod quiet;
mod real;
mod sessions;
pub(crate) mod setup;
mod sockets;
mod stage;
mod systemd;
mod tools;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::journal::Journal;
use crate::report::{Aftermath, Failure, FailureKind, Loop, Outage, Outcome, Verdict};
use crate::scenario::{Bindings, Command, Scenario, StepKind};
use crate::time::{IncidentTime, Span};
use crate::timeline::Timeline;
use incident::{Incident, StandIn};
use play::Played;
use stage::Stage;
use systemd::OnSystemd;

pub use crate::sys::namespace::own_cgroup;
pub use clock::ClockKind;
pub use container::{Container, ContainerSetup, Unavailable};
pub(crate) use isolated::inside;
pub use live::{CommandId, EndedCommand, Live, Setup as LiveSetup};

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
    /// It would write to the host.
    #[error("{0}")]
    Writes(Box<crate::scenario::Error>),
    /// There can be no machine for a systemd here.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A systemd keeps a time of its own.
    #[error("a real systemd cannot run in lock-step; run with --clock scaled:5 or --clock real")]
    WallClockOnly,
    /// It is about something that this systemd does not have, or that its machine does not show.
    #[error("a real systemd cannot run it: {why}")]
    NotOnSystemd {
        /// What is missing.
        why: String,
    },
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
    /// A real program was asked for on a clock that it cannot live with.
    #[error("`{program}` cannot be the real program with --clock {clock}: {why}; run it with --clock real")]
    RealTime {
        /// The program block's name.
        program: String,
        /// The clock.
        clock: ClockKind,
        /// What would go wrong.
        why: &'static str,
    },
    /// Real programs are installed for the embedded manager alone.
    #[error(
        "`{program}` cannot be the real program with --manager systemd: its machine has no such program; run it with the embedded manager"
    )]
    RealOnSystemd {
        /// The program block's name.
        program: String,
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

/// Who restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManagerKind {
    /// The manager of this crate.
    #[default]
    Embedded,
    /// The distribution's systemd, booted for the run in namespaces of its own.
    Systemd,
}

impl std::fmt::Display for ManagerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ManagerKind::Embedded => "embedded",
            ManagerKind::Systemd => "systemd",
        })
    }
}

/// Whether the embedded manager's runs have machines of their own, in namespaces: ports, paths and PIDs are then what
/// they are called, and the distribution's programs find them so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Paths and ports are mapped: that works everywhere.
    #[default]
    Never,
    /// As far as this host permits it.
    Auto,
    /// Or not at all.
    Always,
}

/// How to run a scenario.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which clock.
    pub clock: ClockKind,
    /// Who restarts; a systemd needs a wall clock.
    pub manager: ManagerKind,
    /// Whether runs with the embedded manager have machines of their own; those on a systemd always do.
    pub isolation: Isolation,
    /// The executable that serves as helper; found by itself if this program calls [`crate::init`].
    pub helper: Option<PathBuf>,
    /// Keep artefacts below this directory, in one directory per scenario.
    pub artifacts: Option<PathBuf>,
    /// Keep the run's own directory.
    pub keep: bool,
    /// Take what commands print as it comes: for `--update`.
    pub update: bool,
    /// Programs that are not to be stand-ins: the name of the `program` block, and the real program's file. Only with
    /// [`ClockKind::Real`].
    pub real: BTreeMap<String, PathBuf>,
    /// Real time after which a process that does not come back is a stall.
    pub stall: Duration,
    /// Ends the run from outside.
    pub cancel: Cancel,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: ClockKind::Virtual,
            manager: ManagerKind::Embedded,
            isolation: Isolation::Never,
            helper: None,
            artifacts: None,
            keep: false,
            update: false,
            real: BTreeMap::new(),
            stall: Duration::from_secs(30),
            cancel: Cancel::default(),
        }
    }
}

impl Options {
    /// Whether they go together.
    ///
    /// # Errors
    ///
    /// [`Fault::RealTime`] if a real program is wanted on another clock than the wall's.
    pub fn check(&self) -> Result<(), Fault> {
        real::check(self)
    }
}

/// A run and all that it leaves behind.
#[derive(Debug)]
pub struct Run {
    /// What has become of the scenario.
    pub outcome: Outcome,
    /// Everything that was logged.
    pub journal: Journal,
    /// What each command of the scenario's own document printed, for [`crate::scenario::update`].
    pub outputs: Vec<Output>,
    /// The run's own directory, if it was kept.
    pub directory: Option<PathBuf>,
}

/// What one command printed.
#[derive(Debug)]
pub struct Output {
    /// The command.
    pub command: Command,
    /// What it printed, in incident coordinates.
    pub text: String,
    /// What names stood for before it ran.
    pub bound: Bindings,
}

/// The scenario files' first incident PID, if they do not say.
const FIRST_PID: u32 = 1001;

impl Scenario {
    /// Runs the scenario with real processes against the embedded manager.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if the run cannot even begin; once it has begun, faults are failures of the [`Outcome`].
    pub fn run(&self, options: &Options) -> Result<Outcome, Fault> {
        self.record(options).map(|run| run.outcome)
    }

    /// As [`Scenario::run`], and keeps what was logged and printed.
    ///
    /// # Errors
    ///
    /// As [`Scenario::run`].
    pub fn record(&self, options: &Options) -> Result<Run, Fault> {
        real::check(options)?;
        let begin = Instant::now();
        let executable = setup::helper(options.helper.as_deref())?;
        let mut run = match options.manager {
            ManagerKind::Embedded => match options.isolation {
                Isolation::Never => self.on_embedded(options, executable)?,
                Isolation::Always => self.on_isolated(options, executable)?,
                Isolation::Auto => match self.on_isolated(options, executable.clone()) {
                    Err(Fault::Unavailable(_)) => self.on_embedded(options, executable)?,
                    other => other?,
                },
            },
            ManagerKind::Systemd => self.on_systemd(options, executable)?,
        };
        run.outcome.wall_us = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(run)
    }

    fn on_embedded(&self, options: &Options, executable: PathBuf) -> Result<Run, Fault> {
        self.check_writes().map_err(|error| Fault::Writes(Box::new(error)))?;
        let (incident, finished) = self.play_embedded(self.setup(options), options, executable)?;
        let Finished { played, verdict, timeline, journal, end } = finished;
        let console = played.console.clone();
        let mut run = self.run_of(options, played, verdict, timeline, journal, end);
        run.directory = options.keep.then(|| incident.layout.directory.clone());
        if let Some(base) = &options.artifacts {
            let logs = log_files(&incident.stand_ins);
            let kept = self.keep_artifacts(base, &logs, |path| incident.layout.read(path), &run, &console)?;
            run.outcome.artifacts = Some(kept.to_string_lossy().into_owned());
        }
        incident.end(options.keep)?;
        Ok(run)
    }

    fn play_embedded(
        &self,
        setup: setup::Setup,
        options: &Options,
        executable: PathBuf,
    ) -> Result<(Incident, Finished), Fault> {
        let mut incident = Incident::begin(setup, executable)?;
        real::install(self, &mut incident, options)?;
        let mut played = Played::default();
        let result = play::play(self, &mut incident, &mut played, options.update);
        let end = incident.now();
        if let Err(fault) = &result {
            let text = incident.layout.mapping.to_incident(&fault.to_string());
            played.failures.push(Failure::other(text, Some(end)));
        }
        if let Some(port) = incident.intruder
            && !played.failures.is_empty()
        {
            played.failures.insert(0, Failure::other(Fault::Intruder { port }.to_string(), Some(end)));
        }
        let may_be_late = incident.intruder.is_some() || incident.clock.is_late();
        let verdict = verdict(&result, &played, may_be_late);
        let timeline = std::mem::take(&mut incident.timeline);
        let journal = std::mem::replace(&mut incident.machinery.journal, Journal::new(""));
        Ok((incident, Finished { played, verdict, timeline, journal, end }))
    }

    fn on_systemd(&self, options: &Options, executable: PathBuf) -> Result<Run, Fault> {
        if let Some(why) = &self.settings.only_embedded {
            return Err(Fault::NotOnSystemd { why: why.clone() });
        }
        let mut stage = OnSystemd::begin(self.setup(options), self.users(), executable)?;
        if let Some(version) = stage.version()?.filter(|version| *version < self.settings.profile.version()) {
            let why = format!("it is about systemd {}, and here is {version}", self.settings.profile.version());
            stage.end()?;
            return Err(Fault::NotOnSystemd { why });
        }
        let mut played = Played::default();
        let result = play::play(self, &mut stage, &mut played, options.update);
        let end = Stage::now(&mut stage);
        if let Err(fault) = &result {
            played.failures.push(Failure::other(fault.to_string(), Some(end)));
        }
        let console = std::mem::take(&mut played.console);
        let verdict = verdict(&result, &played, stage.is_late());
        let (timeline, journal) = (stage.take_timeline(), stage.take_journal());
        let mut run = self.run_of(options, played, verdict, timeline, journal, end);
        if let Some(base) = &options.artifacts {
            let logs = log_files(stage.stand_ins());
            let kept = self.keep_artifacts(base, &logs, |path| stage.read(path), &run, &console)?;
            run.outcome.artifacts = Some(kept.to_string_lossy().into_owned());
        }
        stage.end()?;
        Ok(run)
    }

    fn run_of(
        &self,
        options: &Options,
        played: Played,
        verdict: Verdict,
        timeline: Timeline,
        journal: Journal,
        end: IncidentTime,
    ) -> Run {
        let unit = self.unit.clone().unwrap_or_default();
        let aftermath = played.first_action.map(|first| Aftermath::of(&timeline, first, &unit));
        let loop_end = played.loop_end.unwrap_or(timeline.events().len()).min(timeline.events().len());
        let cycles = Some(Loop::of(&timeline.events()[..loop_end], &unit)).filter(|seen| seen.cycles > 0);
        Run {
            outcome: Outcome {
                scenario: self.source.path().to_owned(),
                title: self.title.clone(),
                kind: self.kind.as_str().to_owned(),
                verdict,
                clock: options.clock.to_string(),
                manager: options.manager.to_string(),
                profile: self.settings.profile.version().to_string(),
                incident: end.since(self.settings.clock),
                wall_us: 0,
                claims: played.claims,
                cycles,
                outage: Outage::of(timeline.events()),
                aftermath,
                remark: self.settings.remark.clone(),
                cannot_tell: self.settings.cannot_tell,
                artifacts: None,
                phases: played.phases,
                failures: played.failures,
                timeline,
                rerun: self.rerun(options),
            },
            journal,
            outputs: played.outputs,
            directory: None,
        }
    }

    /// Who programs run as: the operator, and what units say.
    fn users(&self) -> Vec<String> {
        let mut users: BTreeSet<String> = [self.settings.user.clone()].into();
        for unit in self.units() {
            let named =
                |line: &str| line.strip_prefix("User=").or_else(|| line.strip_prefix("Group=")).map(str::to_owned);
            users.extend(unit.text().lines().filter_map(named));
        }
        users.into_iter().filter(|user| user.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')).collect()
    }

    /// The command that runs this scenario alone.
    pub(crate) fn rerun(&self, options: &Options) -> String {
        let manager = match options.manager {
            ManagerKind::Embedded => String::new(),
            other => format!("--manager {other} "),
        };
        let isolation = match options.isolation {
            Isolation::Always => "--isolate ",
            Isolation::Auto => "--isolate=auto ",
            Isolation::Never => "",
        };
        let clock = match options.clock {
            ClockKind::Virtual => String::new(),
            other => format!("--clock {other} "),
        };
        let real: String =
            options.real.iter().map(|(name, path)| format!("--real {name}={} ", path.display())).collect();
        format!("relapse run {manager}{isolation}{clock}{real}{}", self.source.path())
    }

    /// Where the scenario's programs are at home: directories to make.
    fn directories(&self) -> BTreeSet<String> {
        let mut directories: BTreeSet<String> = self.settings.directory.iter().cloned().collect();
        let logs = self.programs().filter_map(|block| block.program.log_file.as_deref()?.rsplit_once('/'));
        directories.extend(logs.map(|(parent, _)| parent.to_owned()));
        directories.extend(self.files().filter_map(|file| Some(file.path.rsplit_once('/')?.0.to_owned())));
        directories.extend(self.pid_files().iter().filter_map(|path| Some(path.rsplit_once('/')?.0.to_owned())));
        for unit in self.units() {
            directories.extend(
                unit.text()
                    .lines()
                    .filter_map(|line| line.strip_prefix("WorkingDirectory="))
                    .filter(|path| path.starts_with('/'))
                    .map(|path| path.trim().to_owned()),
            );
        }
        directories.retain(|path| path.len() > 1);
        directories
    }

    fn setup(&self, options: &Options) -> setup::Setup {
        let settings = &self.settings;
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
            directories: self.directories().into_iter().collect(),
            client: settings.client.as_ref().map(|client| crate::control::ClientRole {
                port: client.port,
                every: client.every,
                path: client.path.clone(),
                timeout: client.timeout,
                from: client.from.unwrap_or(settings.clock),
                until: client.until,
            }),
            console_user: settings.user.clone(),
            stall: options.stall,
            cancel: options.cancel.clone(),
            literal: false,
        }
    }

    /// Incident ports: those the header names, and every number that stands where a port does.
    fn ports(&self) -> BTreeSet<u16> {
        let mut ports: BTreeSet<u16> = self.settings.ports.iter().copied().collect();
        ports.extend(self.settings.client.iter().map(|client| client.port));
        let mut scan = |text: &str| {
            // Whatever stands before the port of a socket unit, a number that ends the line is one.
            let sockets = text.lines().filter_map(|line| line.trim_start().strip_prefix("ListenStream"));
            ports
                .extend(sockets.filter_map(|rest| {
                    rest.rsplit(['=', ':']).next().and_then(|port| port.trim().parse::<u16>().ok())
                }));
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

    fn keep_artifacts(
        &self,
        base: &Path,
        logs: &BTreeSet<String>,
        read: impl Fn(&str) -> Option<Vec<u8>>,
        run: &Run,
        console: &str,
    ) -> Result<PathBuf, Fault> {
        let name: String = self
            .source
            .path()
            .trim_end_matches(".md")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
            .collect();
        let directory = base.join(name.trim_matches(['-', '.']));
        std::fs::create_dir_all(&directory)?;
        let version = u32::from(self.settings.profile.version());
        std::fs::write(directory.join("timeline.jsonl"), run.outcome.timeline.to_jsonl())?;
        std::fs::write(
            directory.join("journal.jsonl"),
            run.journal.json_lines(version).flat_map(|line| [line, vec![b'\n']].concat()).collect::<Vec<u8>>(),
        )?;
        std::fs::write(directory.join("console.log"), console)?;
        for path in logs {
            if let (Some(bytes), Some(name)) = (read(path), Path::new(path).file_name()) {
                std::fs::write(directory.join(name), bytes)?;
            }
        }
        Ok(directory)
    }
}

/// What is left of a scenario that was played to its end.
struct Finished {
    played: Played,
    verdict: Verdict,
    timeline: Timeline,
    journal: Journal,
    end: IncidentTime,
}

/// Where stand-ins write their logs.
fn log_files(stand_ins: &[StandIn]) -> BTreeSet<String> {
    stand_ins.iter().filter_map(|stand_in| stand_in.role.log_file.clone()).collect()
}

fn verdict(result: &Result<(), Fault>, played: &Played, may_be_late: bool) -> Verdict {
    match result {
        Err(Fault::Stalled { .. } | Fault::NotInLockstep { .. } | Fault::Deadlock { .. }) => Verdict::Stalled,
        Err(_) => Verdict::Error,
        Ok(()) if played.failures.is_empty() => Verdict::Holds,
        Ok(()) if may_be_late => Verdict::Inconclusive,
        Ok(()) if played.failed_before_own => Verdict::SetupFailed,
        Ok(()) if played.failures.iter().any(|failure| failure.kind == FailureKind::Error) => Verdict::Error,
        Ok(()) => Verdict::Violated,
    }
}
