//! What becomes of a unit whose program keeps ending the same way: the manager and the model, without a process.

use super::{Act, Happened, Launch, Launcher, Program, World};
use crate::manager::{ActiveState, Config, ExecRole, Exit, JobMode, JobVerb, Reply, Request};
use crate::time::{IncidentTime, Span};
use crate::unit::{FileEntry, Files, Profile, ServiceType, load};

/// How the program of a unit ends, each time it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It exits, or is killed, as soon as it has started up.
    With(Exit),
    /// It cannot have its port, and ends so, until the port is free; then it serves.
    UntilPortIsFree {
        /// How it ends while somebody else has the port.
        with: Exit,
        /// When that one goes.
        after: Span,
    },
    /// It does not end, and never says that it is ready.
    Never,
}

/// A unit, and what is supposed of its program.
///
/// ```
/// use relapse::manager::Exit;
/// use relapse::time::Span;
/// use relapse::world::{Ends, Forecast};
///
/// let unit = "[Service]\nExecStart=/usr/bin/node server.js\nRestart=always\nRestartSec=1\n";
/// let predicted = Forecast::of("node.service", unit)
///     .starts_in(Span::from_millis(300))
///     .ends(Ends::With(Exit::Code(45)))
///     .run_for(Span::from_secs(3600));
/// assert_eq!(predicted.starts, 5);
/// assert_eq!(predicted.sub_state, "failed");
/// ```
#[derive(Clone, Debug)]
pub struct Forecast {
    name: String,
    files: Files,
    profile: Profile,
    starts_in: Span,
    ends: Ends,
    /// What the runs of a list of commands are like, where that is said run by run.
    runs: Vec<(ExecRole, Vec<Attempt>)>,
    /// How long after one of the moments to which timers are aligned the first start is.
    offset: Span,
    /// Files that take the place of the unit's at a moment, with a daemon-reload.
    reloads: Vec<(Span, Files)>,
}

/// One run of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How long it takes until it ends, or until it serves.
    pub takes: Span,
    /// How it ends; `None` if it stays: a main program then serves.
    pub ends: Option<Exit>,
}

/// What a unit will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// How often its program is started.
    pub starts: u32,
    /// When, after the first start was asked for; at most [`MOST_TIMES`] of them.
    pub started_at: Vec<Span>,
    /// From one start to the next, in ascending order: the shortest, the median and the longest; `None` with fewer than
    /// two starts.
    pub period: Option<(Span, Span, Span)>,
    /// From one restart to the next, in the end: the pace at which it goes on. Differs from the median where delays grow.
    pub pace: Option<Span>,
    /// `ActiveState` in the end.
    pub active_state: &'static str,
    /// `SubState`.
    pub sub_state: &'static str,
    /// `Result`.
    pub result: &'static str,
    /// `NRestarts`.
    pub nrestarts: u32,
    /// When the start limit ended it.
    pub limited_at: Option<Span>,
    /// When it began to serve.
    pub serves_at: Option<Span>,
    /// What it was loaded with: `RestartUSec`, `StartLimitIntervalUSec`, `StartLimitBurst`.
    pub settings: [(&'static str, String); 4],
    /// The first changes of its state.
    pub states: Vec<Stage>,
    /// What systemd warns of when it loads the unit, in its words.
    pub warnings: Vec<String>,
    /// Why it cannot be started at all.
    pub refused: Option<String>,
    /// How long it was looked at.
    pub span: Span,
}

/// A state, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Since the first start was asked for.
    pub at: Span,
    /// `ActiveState`.
    pub active_state: &'static str,
    /// `SubState`.
    pub sub_state: &'static str,
    /// `Result`.
    pub result: &'static str,
    /// `NRestarts`.
    pub nrestarts: u32,
}

/// How far apart the moments are to which systemd aligns timers of services.
const GRID: Span = Span::from_millis(250);
/// A target that is up from the boot on and refers to the unit.
const KEEPER: &str = "relapse-predict.target";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
/// How many changes of state are told.
const MOST_STAGES: usize = 64;
/// How many starts are told with their times.
pub const MOST_TIMES: usize = 10_000;
/// The port that is fought for. Its number means nothing here.
const PORT: u16 = 1;
/// The machine is booted at midnight, and is at rest a minute later.
const BOOT: IncidentTime = IncidentTime::from_micros(1_767_225_600_000_000);
const REST: Span = Span::from_secs(60);
/// systemd's words when a start limit is hit (systemd.unit(5), `StartLimitIntervalSec=`).
const LIMITED: &str = "Start request repeated too quickly.";
/// systemd's words for a restart.
const RESTART: &str = ": Scheduled restart job, restart counter is at ";

impl Forecast {
    /// Of a unit by its file's text.
    pub fn of(name: &str, text: &str) -> Forecast {
        let mut files = Files::default();
        let entry = FileEntry::Regular { content: text.as_bytes().to_vec(), generation: 1 };
        files.entries.insert(format!("/etc/systemd/system/{name}"), entry);
        Self::in_files(name, files)
    }

    /// Of a unit among others, with its drop-ins.
    pub fn in_files(name: &str, files: Files) -> Forecast {
        Forecast {
            name: name.to_owned(),
            files,
            profile: Profile::default(),
            starts_in: Span::ZERO,
            ends: Ends::With(Exit::Code(1)),
            runs: Vec::new(),
            offset: Span::ZERO,
            reloads: Vec::new(),
        }
    }

    /// By another version of systemd than 252.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Forecast {
        self.profile = profile;
        self
    }

    /// What its program takes to start up.
    #[must_use]
    pub fn starts_in(mut self, span: Span) -> Forecast {
        self.starts_in = span;
        self
    }

    /// How it ends then.
    #[must_use]
    pub fn ends(mut self, ends: Ends) -> Forecast {
        self.ends = ends;
        self
    }

    /// How the unit's commands of another list than ExecStart= end: at once in this way, or never. Those of which nothing is
    /// said succeed at once.
    #[must_use]
    pub fn command(self, role: ExecRole, ends: Option<Exit>) -> Forecast {
        self.attempts(role, vec![Attempt { takes: Span::ZERO, ends }])
    }

    /// What the commands of a list do, one entry for each run; the last repeats. Goes before what is said of all of them.
    #[must_use]
    pub fn attempts(mut self, role: ExecRole, attempts: Vec<Attempt>) -> Forecast {
        if !attempts.is_empty() {
            self.runs.push((role, attempts));
        }
        self
    }

    /// The first start is so long after one of the moments, 250 ms apart, to which timers are aligned.
    #[must_use]
    pub fn offset(mut self, offset: Span) -> Forecast {
        self.offset = offset;
        self
    }

    /// The unit's file has another text from a moment on, and the manager is told (`systemctl daemon-reload`). Moments
    /// ascend.
    #[must_use]
    pub fn reload(mut self, at: Span, text: &str) -> Forecast {
        let mut files = self.reloads.last().map_or(&self.files, |(_, files)| files).clone();
        let generation = 2 + self.reloads.len() as u64;
        let entry = FileEntry::Regular { content: text.as_bytes().to_vec(), generation };
        files.entries.insert(format!("/etc/systemd/system/{}", self.name), entry);
        self.reloads.push((at, files));
        self
    }

    /// What the program does, as the type of its unit has it.
    fn launcher(&self) -> Launcher {
        let (name, profile, files) = (self.name.clone(), self.profile, self.files.clone());
        let (starts_in, ends) = (self.starts_in, self.ends);
        let mut runs: Vec<(ExecRole, std::vec::IntoIter<Attempt>, Option<Attempt>)> =
            self.runs.iter().map(|(role, attempts)| (*role, attempts.clone().into_iter(), None)).collect();
        Box::new(move |spawn, _| {
            let comm = spawn.program.path.rsplit('/').next().unwrap_or_default();
            let is_main = spawn.role == ExecRole::Start;
            let ready = || spawn.notify.then(|| Act::Notify("READY=1".to_owned()));
            let mut acts = Vec::new();
            if *spawn.unit != *name {
                // What it asks for does what it is there for.
                acts.extend(ready());
                let kind = load(&files, &spawn.unit, profile).service.map(|service| service.service_type);
                if is_main && kind != Some(ServiceType::Oneshot) {
                    acts.push(Act::Serve);
                }
                return Launch::Runs(Program::new(comm, acts));
            }
            if let Some((_, rest, last)) = runs.iter_mut().find(|(role, _, _)| *role == spawn.role) {
                *last = rest.next().or(*last);
                if let Some(attempt) = last {
                    acts.push(Act::Sleep(attempt.takes));
                    match attempt.ends {
                        Some(exit) => acts.push(Act::End(exit)),
                        None if is_main => {
                            acts.push(Act::Bind { port: PORT, or: Exit::Code(1) });
                            acts.extend(ready());
                            acts.push(Act::Serve);
                        }
                        None => acts.push(Act::Serve),
                    }
                }
                return Launch::Runs(Program::new(comm, acts));
            }
            if !is_main {
                return Launch::Runs(Program::new(comm, acts));
            }
            acts.push(Act::Sleep(starts_in));
            match ends {
                Ends::With(exit) => acts.push(Act::End(exit)),
                Ends::Never => acts.push(Act::Serve),
                Ends::UntilPortIsFree { with, .. } => {
                    acts.push(Act::Bind { port: PORT, or: with });
                    acts.extend(ready());
                    acts.push(Act::Serve);
                }
            }
            Launch::Runs(Program::new(comm, acts))
        })
    }

    /// With something that refers to the unit, as an enabled one has: else the manager forgets all about it when it is
    /// inactive.
    fn kept(&self, files: &Files) -> Files {
        let mut files = files.clone();
        files.insert(format!("/etc/systemd/system/{KEEPER}"), format!("[Unit]\nAfter={}\n", self.name));
        let target = format!("/etc/systemd/system/{KEEPER}");
        files.entries.insert(format!("{WANTS}/{KEEPER}"), FileEntry::Symlink { target });
        files
    }

    /// Lets the unit start, and so much time pass.
    pub fn run_for(&self, span: Span) -> Prediction {
        let grid = GRID.as_micros();
        let phase = Span::from_micros((grid - self.offset.as_micros() % grid) % grid);
        let config = Config { profile: self.profile, boot: BOOT, timer_phase: phase, seed: 1 };
        let mut world = World::new(config, self.kept(&self.files), self.launcher());
        world.boot();
        world.run_for(REST);
        let booted = world.take_happened();
        let begin = world.now();
        let end = begin + span;
        let mut seen = Seen::new(begin);
        // It is loaded at boot, by what refers to it.
        seen.warnings.extend(booted.into_iter().filter_map(|(_, happened)| warning(happened)));
        if let Ends::UntilPortIsFree { after, with } = self.ends {
            let acts = vec![Act::Bind { port: PORT, or: with }, Act::Sleep(after), Act::End(Exit::Code(0))];
            world.start_process(Program::new("holder", acts));
        }
        world.request(Request::Job { verb: JobVerb::Start, unit: self.name.clone(), mode: JobMode::Replace });
        seen.look(&self.name, &mut world);
        for (at, files) in &self.reloads {
            let at = begin + *at;
            while world.next_moment().is_some_and(|next| next <= at.min(end)) && world.advance() {
                seen.look(&self.name, &mut world);
            }
            if at > end {
                break;
            }
            world.run_until(at);
            world.machine_mut().unit_files = self.kept(files);
            world.request(Request::DaemonReload);
            seen.look(&self.name, &mut world);
        }
        while world.next_moment().is_some_and(|at| at <= end) && world.advance() {
            seen.look(&self.name, &mut world);
        }
        let (active_state, sub_state) = world.manager().state(&self.name);
        let properties = world.properties(&self.name).unwrap_or_default();
        let setting = |name: &'static str| {
            let value = properties.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
            (name, value.unwrap_or_default())
        };
        Prediction {
            starts: u32::try_from(seen.starts.len()).unwrap_or(u32::MAX),
            started_at: seen.starts.iter().copied().take(MOST_TIMES).collect(),
            period: seen.period(),
            pace: seen.pace(),
            active_state: active_state.as_str(),
            sub_state,
            result: world.manager().result(&self.name),
            nrestarts: world.manager().n_restarts(&self.name),
            limited_at: seen.limited_at,
            serves_at: seen.serves_at,
            settings: ["Restart", "RestartUSec", "StartLimitIntervalUSec", "StartLimitBurst"].map(setting),
            states: seen.states,
            warnings: seen.warnings,
            refused: seen.refused,
            span,
        }
    }
}

impl Prediction {
    /// Whether it is started again and again to the end.
    pub fn goes_on(&self) -> bool {
        let at_rest = [ActiveState::Failed.as_str(), ActiveState::Inactive.as_str()].contains(&self.active_state);
        (self.starts > 1 || self.pace.is_some()) && !at_rest && self.serves_at.is_none()
    }

    /// How many restarts a day that makes: while it goes on, by its pace in the end; else those that there were.
    pub fn restarts_per_day(&self) -> u64 {
        self.restarts_in(Span::from_secs(86_400))
    }

    /// The same for an hour.
    pub fn restarts_per_hour(&self) -> u64 {
        self.restarts_in(Span::from_secs(3_600))
    }

    fn restarts_in(&self, span: Span) -> u64 {
        match self.pace {
            Some(pace) if self.goes_on() && !pace.is_zero() => span.as_micros() / pace.as_micros(),
            _ => u64::from(self.starts.saturating_sub(1)),
        }
    }
}

/// What systemd says of a unit's file.
fn warning(happened: Happened) -> Option<String> {
    match happened {
        Happened::Logged(message) if message.text.starts_with("/etc/systemd/system/") => Some(message.text),
        _ => None,
    }
}

/// What is noted on the way.
struct Seen {
    begin: IncidentTime,
    starts: Vec<Span>,
    /// When restarts were scheduled, also of starts that did not come to the program.
    restarts: Vec<Span>,
    limited_at: Option<Span>,
    serves_at: Option<Span>,
    states: Vec<Stage>,
    warnings: Vec<String>,
    refused: Option<String>,
}

impl Seen {
    fn new(begin: IncidentTime) -> Seen {
        Seen {
            begin,
            starts: Vec::new(),
            restarts: Vec::new(),
            limited_at: None,
            serves_at: None,
            states: Vec::new(),
            warnings: Vec::new(),
            refused: None,
        }
    }

    fn look(&mut self, name: &str, world: &mut World) {
        for (at, happened) in world.take_happened() {
            let at = at.since(self.begin);
            match happened {
                Happened::Started { unit, role: ExecRole::Start, .. } if unit == name => self.starts.push(at),
                Happened::Logged(message)
                    if message.unit.as_deref() == Some(name) && message.text.contains(RESTART) =>
                {
                    self.restarts.push(at);
                }
                Happened::Logged(message)
                    if message.unit.as_deref() == Some(name) && message.text.ends_with(LIMITED) =>
                {
                    self.limited_at.get_or_insert(at);
                }
                happened @ Happened::Logged(_) => self.warnings.extend(warning(happened)),
                Happened::Replied(_, Reply::Error(error)) => self.refused = Some(error.message),
                Happened::Bound(PORT, _) if !self.starts.is_empty() => {
                    self.serves_at.get_or_insert(at);
                }
                _ => {}
            }
        }
        if self.states.len() >= MOST_STAGES {
            return;
        }
        let manager = world.manager();
        let (active_state, sub_state) = manager.state(name);
        let stage = Stage {
            at: world.now().since(self.begin),
            active_state: active_state.as_str(),
            sub_state,
            result: manager.result(name),
            nrestarts: manager.n_restarts(name),
        };
        if self.states.last().is_none_or(|last| Stage { at: stage.at, ..last.clone() } != stage) {
            self.states.push(stage);
        }
    }

    fn pace(&self) -> Option<Span> {
        let last_gap = |moments: &[Span]| match moments {
            [.., before, last] => Some(last.saturating_sub(*before)),
            _ => None,
        };
        last_gap(&self.restarts).or_else(|| last_gap(&self.starts))
    }

    fn period(&self) -> Option<(Span, Span, Span)> {
        let mut gaps: Vec<Span> = self.starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        gaps.sort_unstable();
        Some((*gaps.first()?, gaps[gaps.len() / 2], *gaps.last()?))
    }
}
