//! `systemctl`: a command line to requests and output (systemctl(1)).
//!
//! A command may have to wait: for the manager's answer to a request, for jobs to end. So it is a session that is
//! asked for its [`Step`] again and again.

mod dependencies;
mod glyphs;
mod jobs;
mod list;
mod look;
mod options;
mod plan;
mod properties;
mod sockets;
mod status;
mod table;

use std::collections::VecDeque;

use crate::manager::{JobId, JobMode, JobResult, Reply, Request, RequestError, RequestErrorKind};
use crate::unit::Profile;
use crate::unit::name::{NameKind, is_glob, kind};

use self::dependencies::Walk;
use self::glyphs::Glyphs;
use self::jobs::JobAction;
use self::options::Options;
use self::properties::Properties;
use super::{Output, View, name, version_of};

/// What a session needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pass this to the manager and give the reply to [`Systemctl::answer`].
    Ask(Request),
    /// Tell [`Systemctl::job_removed`] of every job that ends, until these have.
    WaitJobs(Vec<JobId>),
    /// It is over.
    Exit(Output),
}

/// One `systemctl` command.
#[derive(Clone, Debug)]
pub struct Systemctl {
    options: Options,
    version: u32,
    output: Output,
    tasks: VecDeque<Task>,
    /// The task whose request is with the manager, and its reply once that is there.
    asked: Option<(Task, Option<Reply>)>,
    /// Jobs that the command waits for.
    jobs: Vec<JobId>,
    /// Jobs that have ended and were not looked at yet.
    removed: Vec<(JobId, String, JobResult)>,
    /// Units whose stop was enqueued.
    stopped: Vec<String>,
    /// Whether something was printed that the next unit is set apart from.
    printed: bool,
    tally: Tally,
}

/// What several units add up to.
#[derive(Clone, Debug, Default)]
struct Tally {
    /// One of them is in the state that was asked for.
    good: bool,
    /// One of them is known at all.
    known: bool,
}

/// One thing to do.
#[derive(Clone, Debug)]
enum Task {
    /// Make the patterns of the operands names, then do the verb for each.
    Expand(Vec<String>),
    /// Load the unit, then look at it.
    Look(String),
    /// Load the unit without more.
    Ask(String),
    /// Load the unit that the command is about; it ends here if that cannot be.
    Referenced(String),
    /// Enqueue a job.
    Job(&'static JobAction, String),
    /// Wait for the jobs.
    WaitJobs,
    /// Whether the stopped unit is masked: nothing starts it then. Each look at a unit that nobody needs loads it.
    IsMasked(String),
    /// Say what can start the stopped unit again.
    Triggers(String),
    /// A request that is done or refused; a refusal is reported as `Failed to WHAT: MESSAGE`.
    Request { request: Request, what: String },
    /// A mistake that comes to light once what stands before it is done.
    Refuse(String),
    /// Say of each of the units if it does not exist.
    Exists(String),
    /// A change of unit files.
    UnitFiles { verb: String, request: Request },
    /// `is-enabled` of one name, by its file.
    IsEnabled(String),
    /// The same of a unit that has no file on disk, by what the manager knows.
    IsEnabledLoaded(String),
    /// Print the tree of a unit's dependencies.
    Tree(String),
    /// Go on with the tree.
    Walk(Walk),
    /// What needs no request.
    Now(Listing),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Units,
    UnitFiles,
    Jobs,
    Sockets,
    /// Timers, paths or automounts, of which there are none.
    Others,
    Machine,
    SystemState,
    IsSystemFailed,
    ManagerProperties,
    DefaultTarget,
    /// The exit code of what the units added up to.
    Tally,
}

/// How the manager begins to say that there is nothing to enable.
const NOTHING_TO_ENABLE: &str = "The unit files have no installation config";

impl Systemctl {
    /// Reads a command line, without the program's name.
    pub fn new(args: &[String], profile: Profile) -> Self {
        let version = version_of(profile);
        let mut session = match Options::parse(args, version) {
            Ok(options) => Self::with(options, version, Output::default()),
            Err(output) => Self::with(Options::none(), version, output),
        };
        session.plan();
        session
    }

    fn with(options: Options, version: u32, output: Output) -> Self {
        Self {
            options,
            version,
            output,
            tasks: VecDeque::new(),
            asked: None,
            jobs: Vec::new(),
            removed: Vec::new(),
            stopped: Vec::new(),
            printed: false,
            tally: Tally::default(),
        }
    }

    /// For a locale without UTF-8: what is drawn is drawn in ASCII.
    #[must_use]
    pub fn in_ascii(mut self) -> Self {
        self.options.glyphs = Glyphs { utf8: false };
        self
    }

    /// Takes the manager's reply to the request of the last step.
    pub fn answer(&mut self, reply: Reply) {
        if let Some((_, slot)) = &mut self.asked {
            *slot = Some(reply);
        }
    }

    /// Takes the end of a job, of whichever: the session knows its own.
    pub fn job_removed(&mut self, job: JobId, unit: &str, result: JobResult) {
        // Before the manager has answered, a job cannot be told from those of others.
        if self.jobs.contains(&job) || self.asked.is_some() {
            self.removed.push((job, unit.to_owned(), result));
        }
    }

    /// What comes next. After [`Step::Ask`] it is the same step until the answer is there.
    pub fn next(&mut self, view: &dyn View) -> Step {
        loop {
            if let Some((task, reply)) = self.asked.take() {
                match reply {
                    Some(reply) => self.answered(task, reply, view),
                    None => {
                        let step = self.request(&task).map(Step::Ask);
                        self.asked = Some((task, None));
                        if let Some(step) = step {
                            return step;
                        }
                        self.asked = None;
                    }
                }
                continue;
            }
            let Some(task) = self.tasks.pop_front() else {
                return Step::Exit(std::mem::take(&mut self.output));
            };
            if let Task::WaitJobs = task {
                self.report_jobs(view);
                if !self.jobs.is_empty() {
                    self.tasks.push_front(task);
                    return Step::WaitJobs(self.jobs.clone());
                }
                self.plan_triggers();
                continue;
            }
            match self.request(&task) {
                Some(request) => {
                    self.asked = Some((task, None));
                    return Step::Ask(request);
                }
                None => self.perform(task, view),
            }
        }
    }

    /// The request that a task begins with, if it needs the manager.
    fn request(&self, task: &Task) -> Option<Request> {
        match task {
            // A template is no unit, and the manager is not even asked; `cat` looks for its file.
            Task::Look(unit) if !loadable(unit) => None,
            // Reading all properties is more than looking at the state.
            Task::Look(unit) if matches!(self.options.verb.as_str(), "status" | "show") => {
                Some(Request::Show { unit: unit.clone() })
            }
            // A template is no unit; `cat` and `mask` look for its file.
            Task::Look(unit) if loadable(unit) || self.options.verb != "cat" => {
                Some(Request::Load { unit: unit.clone() })
            }
            Task::Ask(unit) | Task::Referenced(unit) if loadable(unit) => Some(Request::Load { unit: unit.clone() }),
            Task::Walk(walk) => walk.wanted().map(|unit| Request::Load { unit: unit.to_owned() }),
            Task::IsMasked(unit) | Task::Triggers(unit) => Some(Request::Load { unit: unit.clone() }),
            Task::IsEnabled(unit) => Some(Request::FileState { unit: unit.clone() }),
            Task::Exists(unit) | Task::IsEnabledLoaded(unit) if loadable(unit) => {
                Some(Request::Load { unit: unit.clone() })
            }
            Task::Job(action, unit) => {
                let mode = match action.verb() {
                    "isolate" => JobMode::Isolate,
                    _ => *self.options.job_mode.as_ref().ok()?,
                };
                Some(Request::Job { verb: action.job, unit: unit.clone(), mode })
            }
            Task::Request { request, .. } | Task::UnitFiles { request, .. } => Some(request.clone()),
            _ => None,
        }
    }

    /// Does a task that needs no answer.
    fn perform(&mut self, task: Task, view: &dyn View) {
        match task {
            Task::Expand(words) => {
                if let Some(units) = self.expand(&words, view) {
                    self.expanded(units);
                }
            }
            Task::Look(unit) => self.look(&unit, view),
            Task::Exists(unit) => self.exists(&unit, view),
            Task::IsEnabledLoaded(unit) => self.is_enabled(&unit, None, view),
            Task::Refuse(message) => {
                self.output.complain(message);
                self.fail(1);
            }
            Task::Tree(unit) => self.tree(unit),
            Task::Walk(_) | Task::Ask(_) | Task::Referenced(_) => {}
            Task::Now(listing) => self.list(listing, view),
            Task::Job(action, unit) => {
                let word = self.options.job_mode.as_ref().err().map_or("", String::as_str);
                let error = RequestError::new(RequestErrorKind::Failed, format!("Job mode {word} invalid"));
                self.enqueued(action, unit, Reply::Error(error), view);
            }
            Task::WaitJobs
            | Task::IsMasked(_)
            | Task::IsEnabled(_)
            | Task::Triggers(_)
            | Task::Request { .. }
            | Task::UnitFiles { .. } => {}
        }
    }

    /// What to do with the units of a verb that takes units.
    fn expanded(&mut self, units: Vec<String>) {
        let verb = self.options.verb.clone();
        match verb.as_str() {
            "kill" => {
                let Some(whom) = self.options.whom() else {
                    let word = self.options.kill_whom.clone();
                    let what = if self.version >= 257 { "whom argument:" } else { "who argument" };
                    for unit in units {
                        self.output.complain(format!("Failed to kill unit {unit}: Invalid {what} {word}"));
                        self.fail(1);
                    }
                    return;
                };
                let signal = self.options.signal;
                self.tasks.extend(units.into_iter().map(|unit| Task::Request {
                    what: format!("kill unit {unit}"),
                    request: Request::Kill { unit, whom, signal },
                }));
            }
            "clean" => {
                let what = match self.options.what.as_slice() {
                    // What is made anew without anybody's loss.
                    [] => vec!["cache".to_owned(), "runtime".to_owned()],
                    words => words.to_vec(),
                };
                for unit in units {
                    let what = what.clone();
                    self.tasks.push_back(Task::Referenced(unit.clone()));
                    self.tasks.push_back(Task::Request {
                        what: format!("clean unit {unit}"),
                        request: Request::Clean { unit, what },
                    });
                }
            }
            "reset-failed" => self.tasks.extend(units.into_iter().map(|unit| Task::Request {
                what: format!("reset failed state of unit {unit}"),
                request: Request::ResetFailed { unit: Some(unit) },
            })),
            "list-dependencies" => self.tasks.extend(units.into_iter().map(Task::Tree)),
            // It asks for one property after the other, and each question loads a unit that nobody needs.
            "cat" => {
                let asks = |unit: String| [Task::Ask(unit.clone()), Task::Ask(unit.clone()), Task::Look(unit)];
                self.tasks.extend(units.into_iter().flat_map(asks));
            }
            "status" | "show" => self.tasks.extend(units.into_iter().map(Task::Look)),
            "is-active" | "check" | "is-failed" => {
                self.tasks.extend(units.into_iter().map(Task::Look));
                self.tasks.push_back(Task::Now(Listing::Tally));
            }
            _ => self.plan_jobs(&verb, units),
        }
    }

    /// Goes on with a task whose request was answered.
    fn answered(&mut self, task: Task, reply: Reply, view: &dyn View) {
        match (task, reply) {
            (Task::Look(unit), _) => self.look(&unit, view),
            (Task::Walk(mut walk), _) => {
                walk.proceed(&mut self.output, &self.options, view);
                if walk.wanted().is_some() {
                    self.tasks.push_front(Task::Walk(walk));
                }
            }
            (Task::Exists(unit), _) => self.exists(&unit, view),
            (Task::IsMasked(unit), _) if Properties::of(view, &unit).get("LoadState") != "masked" => {
                self.tasks.push_front(Task::Triggers(unit));
            }
            (Task::Triggers(unit), _) => self.warn_of_triggers(&unit, view),
            (Task::IsEnabled(unit), _) => match view.unit_file_state(&unit) {
                Some(state) => self.is_enabled(&unit, Some(state), view),
                None => self.tasks.push_front(Task::IsEnabledLoaded(unit)),
            },
            (Task::IsEnabledLoaded(unit), _) => {
                let state = Properties::of(view, &unit).some("UnitFileState").map(str::to_owned);
                self.is_enabled(&unit, state, view);
            }
            (Task::Referenced(unit), _) => {
                let properties = Properties::of(view, &unit);
                if let Some(message) = properties.load_error() {
                    self.output.complain(format!("Failed to add reference to unit {unit}: {message}"));
                    self.fail(1);
                    self.tasks.clear();
                }
            }
            (Task::Job(action, unit), reply) => self.enqueued(action, unit, reply, view),
            (Task::Request { what, .. }, Reply::Error(error)) => {
                self.fail(1);
                self.output.complain(format!("Failed to {what}: {}", error.message));
            }
            (Task::UnitFiles { verb, .. }, Reply::Error(error)) => {
                self.fail(1);
                let what = if verb == "set-default" { "set default target" } else { &format!("{verb} unit") };
                self.output.complain(format!("Failed to {what}: {}", error.message));
                // Neither the reload nor --now happens after that.
                self.tasks.clear();
            }
            (Task::UnitFiles { verb, request }, Reply::UnitFiles(mut lines)) if !self.options.quiet => {
                // Of what is enabled again at once nobody says that it cannot be disabled.
                if verb == "reenable" && matches!(request, Request::Disable { .. }) {
                    let hint = lines.iter().position(|line| line.starts_with(NOTHING_TO_ENABLE));
                    lines.truncate(hint.unwrap_or(lines.len()));
                }
                let arrow = self.options.glyphs.arrow();
                for line in lines {
                    self.output.complain(line.replacen("→", arrow, 1));
                }
            }
            _ => {}
        }
    }

    fn warn_changed(&mut self, unit: &str) {
        self.output.complain(format!(
            "Warning: The unit file, source configuration file or drop-ins of {unit} changed on disk. \
             Run 'systemctl daemon-reload' to reload units."
        ));
    }

    /// The first failure decides the exit code.
    fn fail(&mut self, code: u8) {
        if self.output.code == 0 {
            self.output.code = code;
        }
    }

    /// A word of the command line as a unit name; what is wrong with it goes to standard error.
    fn mangle(&mut self, word: &str) -> Option<String> {
        let suffix = match self.options.verb.as_str() {
            "isolate" | "set-default" => ".target",
            _ => ".service",
        };
        match name::mangle(word, suffix) {
            Some(mangled) => {
                if let Some(hint) = mangled.hint.filter(|_| !self.options.quiet) {
                    self.output.complain(hint);
                }
                Some(mangled.name)
            }
            None => {
                self.output.complain("Failed to mangle name: Invalid argument");
                None
            }
        }
    }

    /// Names first, then the loaded units that match a pattern.
    fn expand(&mut self, words: &[String], view: &dyn View) -> Option<Vec<String>> {
        let mut names = Vec::new();
        let mut patterns = Vec::new();
        for word in words {
            // A number is the unit that this process belongs to.
            let by_pid = if self.options.verb == "status" { word.parse::<u32>().ok() } else { None };
            if let Some(pid) = by_pid {
                match view.units().into_iter().find(|unit| view.processes(unit).iter().any(|p| p.pid == pid)) {
                    Some(unit) => names.push(unit),
                    None => {
                        self.fail(1);
                        // Later systemd looks for the process first. What is no unit's is the operator's own.
                        self.output.complain(if self.version >= 254 {
                            format!("PID {pid} doesn't exist or is already gone.")
                        } else {
                            format!("Failed to get unit for PID {pid}: PID {pid} does not belong to any loaded unit.")
                        });
                    }
                }
                continue;
            }
            let Some(name) = self.mangle(word) else {
                self.output.complain("Failed to expand names: Invalid argument");
                self.output.code = 1;
                return None;
            };
            if is_glob(&name) { patterns.push(name) } else { names.push(name) }
        }
        if !patterns.is_empty() && self.options.verb == "start" && !self.options.all && !self.options.quiet {
            for line in [
                "Warning: systemctl start called with a glob pattern.",
                "Hint: unit globs expand to loaded units, so start will usually have no effect.",
                "      Passing --all will also load units which are pulled in by other units.",
                "      See systemctl(1) for more details.",
            ] {
                self.output.complain(line);
            }
        }
        if words.is_empty() || !patterns.is_empty() {
            let all = self.options.all || self.options.verb == "cat";
            names.extend(list::select(&self.options, all, &patterns, view).into_iter().map(|row| row.unit));
        }
        Some(names)
    }
}

/// Whether the manager can load a unit of this name: a template it cannot.
fn loadable(unit: &str) -> bool {
    kind(unit) != Some(NameKind::Template)
}
