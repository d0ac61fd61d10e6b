//! What becomes of a unit whose program keeps ending the same way: the manager and the model, without a process.

use super::{Act, Happened, Launch, Launcher, Program, World};
use crate::manager::{ActiveState, Config, ExecRole, Exit, JobMode, JobVerb, Reply, Request};
use crate::time::{IncidentTime, Span};
use crate::unit::{FileEntry, Files, Profile};

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
    /// Other commands of the unit that do not just succeed: how they end, if they do.
    others: Vec<(ExecRole, Option<Exit>)>,
}

/// What a unit will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// How often its program is started.
    pub starts: u32,
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

/// How many changes of state are told.
const MOST_STAGES: usize = 64;
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
            others: Vec::new(),
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
    pub fn command(mut self, role: ExecRole, ends: Option<Exit>) -> Forecast {
        self.others.push((role, ends));
        self
    }

    /// What the program does, as the type of its unit has it.
    fn launcher(&self) -> Launcher {
        let (starts_in, ends, others) = (self.starts_in, self.ends, self.others.clone());
        Box::new(move |spawn, _| {
            let comm = spawn.program.path.rsplit('/').next().unwrap_or_default();
            if spawn.role != ExecRole::Start {
                // The other commands of a unit do what they are there for.
                let acts = match others.iter().find(|(role, _)| *role == spawn.role) {
                    None => Vec::new(),
                    Some((_, Some(exit))) => vec![Act::End(*exit)],
                    Some((_, None)) => vec![Act::Serve],
                };
                return Launch::Runs(Program::new(comm, acts));
            }
            let mut acts = vec![Act::Sleep(starts_in)];
            match ends {
                Ends::With(exit) => acts.push(Act::End(exit)),
                Ends::Never => acts.push(Act::Serve),
                Ends::UntilPortIsFree { with, .. } => {
                    acts.push(Act::Bind { port: PORT, or: with });
                    if spawn.notify {
                        acts.push(Act::Notify("READY=1".to_owned()));
                    }
                    acts.push(Act::Serve);
                }
            }
            Launch::Runs(Program::new(comm, acts))
        })
    }

    /// Lets the unit start, and so much time pass.
    pub fn run_for(&self, span: Span) -> Prediction {
        let config = Config { profile: self.profile, boot: BOOT, timer_phase: Span::ZERO, seed: 1 };
        let mut world = World::new(config, self.files.clone(), self.launcher());
        world.boot();
        world.run_for(REST);
        world.take_happened();
        let begin = world.now();
        let end = begin + span;
        let mut seen = Seen::new(begin);
        if let Ends::UntilPortIsFree { after, with } = self.ends {
            let acts = vec![Act::Bind { port: PORT, or: with }, Act::Sleep(after), Act::End(Exit::Code(0))];
            world.start_process(Program::new("holder", acts));
        }
        world.request(Request::Job { verb: JobVerb::Start, unit: self.name.clone(), mode: JobMode::Replace });
        seen.look(&self.name, &mut world);
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
                Happened::Logged(message) if message.text.starts_with("/etc/systemd/system/") => {
                    self.warnings.push(message.text);
                }
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
        let [.., before, last] = self.restarts.as_slice() else { return None };
        Some(last.saturating_sub(*before))
    }

    fn period(&self) -> Option<(Span, Span, Span)> {
        let mut gaps: Vec<Span> = self.starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        gaps.sort_unstable();
        Some((*gaps.first()?, gaps[gaps.len() / 2], *gaps.last()?))
    }
}
