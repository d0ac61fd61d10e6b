//! A manager that loads units and never starts one.

use std::collections::HashSet;

use super::Shelf;
use crate::manager::{
    Config, Effect, Host, Input, JobMode, JobVerb, Manager, Message, PathKind, Pid, Process, Reply, Request,
    RequestError,
};
use crate::time::{IncidentTime, Span};
use crate::unit::Files;

/// 2026-01-01 00:00:00 UTC. Nothing that is shown depends on it.
pub(super) const NOW: IncidentTime = IncidentTime::from_micros(1_767_225_600_000_000);

/// Something the manager would have logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// About which unit.
    pub unit: String,
    /// syslog priority.
    pub priority: u8,
    /// With the file's real place.
    pub text: String,
    /// Whether it is about a line of a file, and not about the unit as a whole.
    pub about_line: bool,
}

/// A manager and the files it sees.
pub(super) struct Desk<'a> {
    shelf: &'a Shelf,
    manager: Manager,
    machine: Machine<'a>,
    /// Units that were warned about: one that nothing keeps is loaded, and warned about, again at every look.
    warned: HashSet<String>,
    requests: u64,
}

impl<'a> Desk<'a> {
    pub(super) fn new(shelf: &'a Shelf) -> Self {
        Self::with_files(shelf, &shelf.files)
    }

    /// With other files than the shelf's.
    pub(super) fn with_files(shelf: &'a Shelf, files: &'a Files) -> Self {
        let config = Config { profile: shelf.profile, boot: NOW, timer_phase: Span::ZERO, seed: 0 };
        Self {
            shelf,
            manager: Manager::new(config),
            machine: Machine { files, last_pid: 1 },
            warned: HashSet::new(),
            requests: 0,
        }
    }

    /// Loads a unit and what it refers to; what is to be said of all that for the first time.
    pub(super) fn load(&mut self, unit: &str) -> Vec<Said> {
        let (said, _) = self.request(Request::Load { unit: unit.to_owned() });
        self.news(said)
    }

    /// As `load`, for a look at all properties. The look-up of UnitFileState reads the file once more; what it says
    /// then was said before.
    pub(super) fn show(&mut self, unit: &str) -> Vec<Said> {
        let news = self.load(unit);
        let _ = self.request(Request::Show { unit: unit.to_owned() });
        news
    }

    fn news(&mut self, said: Vec<Said>) -> Vec<Said> {
        let news: Vec<Said> = said.into_iter().filter(|said| !self.warned.contains(&said.unit)).collect();
        self.warned.extend(news.iter().map(|said| said.unit.clone()));
        news
    }

    /// Asks for a start; what was said before the answer, and the refusal.
    pub(super) fn start(&mut self, unit: &str) -> (Vec<Said>, Option<RequestError>) {
        let (said, reply) =
            self.request(Request::Job { verb: JobVerb::Start, unit: unit.to_owned(), mode: JobMode::default() });
        match reply {
            Some(Reply::Error(error)) => (said, Some(error)),
            _ => (said, None),
        }
    }

    /// What was said until the answer came, and the answer. What would be done about it is not.
    fn request(&mut self, request: Request) -> (Vec<Said>, Option<Reply>) {
        self.requests += 1;
        let input = Input::Request { id: self.requests, request };
        let mut said = Vec::new();
        for effect in self.manager.step(NOW, &mut self.machine, input) {
            match effect {
                Effect::Journal(message) => said.push(self.said(message)),
                Effect::Reply { reply, .. } => return (said, Some(reply)),
                _ => {}
            }
        }
        (said, None)
    }

    fn said(&self, message: Message) -> Said {
        let file = message.fields.iter().find(|(name, _)| *name == "CONFIG_FILE").map(|(_, file)| file.to_string());
        let text = match file.as_deref().and_then(|file| Some((file, message.text.strip_prefix(file)?))) {
            Some((file, rest)) => format!("{}{rest}", self.shelf.shown(file)),
            None => message.text,
        };
        Said {
            unit: message.unit.as_deref().unwrap_or_default().to_owned(),
            priority: message.priority,
            text,
            about_line: file.is_some(),
        }
    }

    /// All properties, with the real places of files.
    pub(super) fn properties(&self, unit: &str) -> Vec<(&'static str, String)> {
        let mut rows = self.manager.properties(&self.machine, unit).unwrap_or_default();
        for (key, value) in &mut rows {
            match *key {
                "FragmentPath" => *value = self.shelf.shown(value).to_owned(),
                "DropInPaths" if !value.is_empty() => {
                    let paths = crate::unit::load(self.machine.files, unit, self.shelf.profile).drop_in_paths;
                    let shown: Vec<String> = paths.iter().map(|path| self.shelf.shown(path).to_owned()).collect();
                    *value = crate::unit::quoted(&shown);
                }
                _ => {}
            }
        }
        rows
    }

    pub(super) fn property(&self, unit: &str, key: &str) -> String {
        let rows = self.manager.properties(&self.machine, unit).unwrap_or_default();
        rows.into_iter().find(|(known, _)| *known == key).map(|(_, value)| value).unwrap_or_default()
    }

    /// The units that something refers to and nobody has.
    pub(super) fn missing(&self) -> Vec<String> {
        self.manager.units().into_iter().filter(|row| row.load == "not-found").map(|row| row.name).collect()
    }
}

/// A machine on which nothing runs.
struct Machine<'a> {
    files: &'a Files,
    last_pid: Pid,
}

impl Host for Machine<'_> {
    fn fork(&mut self) -> Pid {
        self.last_pid = self.last_pid.saturating_add(1);
        self.last_pid
    }

    fn unit_files(&self) -> &Files {
        self.files
    }

    fn stat(&self, _: &str) -> Option<PathKind> {
        None
    }

    fn processes(&self, _: &str) -> Vec<Process> {
        Vec::new()
    }
}
