//! What programs say, and which units their processes belong to.

use std::collections::{HashMap, VecDeque};

use super::super::banner::{Said, without_numbers};
use super::super::chain::When;
use super::super::entry::Owner;
use super::super::fact::Fact;
use super::super::stamp::{self, SECOND};
use super::super::subject::{Around, Kind, Subject};
use super::super::{others, program, skim};
use super::{SUBJECTS, State};

/// A program ends so soon after it could not bind.
const BIND_TO_EXIT: i64 = 5 * SECOND;

/// A bind error whose unit is still to be found.
#[derive(Clone, Debug)]
pub(super) struct Unclaimed {
    at: Option<i64>,
    first: u64,
    port: Option<u16>,
    process: Option<(String, u32)>,
}

/// A process that writes.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// Its first place in the input.
    first: u64,
    began: When,
    /// The unit that its bind error was taken to end, and the run's place.
    blamed: Option<(String, u64)>,
}

/// Who says a line that is none of a manager's.
#[derive(Clone, Copy, Debug)]
struct Speaker<'a> {
    host: &'a str,
    name: &'a str,
    pid: Option<u32>,
    owner: Owner<'a>,
    /// The place of its first line in the input.
    first: u64,
    began: &'a When,
}

/// The units that have started last.
#[derive(Clone, Copy)]
struct Units<'a> {
    recent: &'a VecDeque<String>,
    subjects: &'a HashMap<String, Subject>,
}

impl Units<'_> {
    /// Those whose runs began before a place, the last first, each with its number of runs so far.
    fn until(self, until: u64, owner: Owner<'_>) -> Vec<(String, u64)> {
        if owner == Owner::Nobody {
            return Vec::new();
        }
        let began = |key: &String| {
            let subject = self.subjects.get(key)?;
            let (at, ..) = subject.current()?;
            (at <= until).then(|| (key.clone(), subject.runs))
        };
        self.recent.iter().rev().filter_map(began).take(8).collect()
    }
}

impl State {
    pub(super) fn program(
        &mut self,
        host: &str,
        name: &str,
        pid: Option<u32>,
        owner: Owner<'_>,
        text: &str,
        when: &When,
    ) {
        let unit = owner.service();
        // What writes a stamp of its own, such as supervisord, into the journal.
        let inner = stamp::read(text).map_or(text, |(_, end)| text[end..].trim_start_matches([' ', ':']));
        if !name.is_empty()
            && let Some(told) = others::read(inner)
        {
            self.told(&told, when);
            return;
        }
        if name == "kernel" && text.starts_with("Linux version ") {
            self.boots += u64::from(self.boot.is_empty());
            return;
        }
        let stepped = text.starts_with("System clock was stepped by") || text.starts_with("System clock wrong by");
        self.axis.set |= stepped && name.starts_with("chrony");
        let (first, began) = match pid {
            Some(pid) if !name.is_empty() => {
                let own = format!("\n\n\n{host}\n{}", unit.unwrap_or(name));
                let (process, is_new) = self.process(name, pid, when);
                if let Some((key, order)) = process.blamed.clone()
                    && let Some(subject) = self.subjects.get_mut(&key)
                    && subject.current().is_none_or(|(now, ..)| now != order)
                {
                    // It lives on: the unit ended for another reason.
                    subject.unbind(order);
                    if let Some(process) = self.processes.get_mut(&(name.to_owned(), pid)) {
                        process.blamed = None;
                    }
                }
                let process = &self.processes[&(name.to_owned(), pid)];
                let (first, began) = (process.first, process.began.clone());
                if is_new && self.subjects.contains_key(&own) {
                    let fact = Fact::ProgramStarts { pid: None };
                    self.starts(&own, (unit.unwrap_or(name), owner), &fact, pid.into(), when);
                }
                (first, began)
            }
            _ => (self.order, when.clone()),
        };
        let fact = program::read(text);
        if let Some(fact) = &fact {
            let speaker = Speaker { host, name, pid, owner, first, began: &began };
            self.fact_of_a_program(&speaker, text, fact, when);
        }
        let author = unit.unwrap_or(name);
        let units = Units { recent: &self.recent, subjects: &self.subjects };
        let units = || units.until(first, owner);
        let mut around = Around { rules: self.rules, room: &mut self.room, boots: self.boots, order: self.order };
        let workers = matches!(fact, Some(Fact::HasWorkers | Fact::MasterStarts { .. }));
        let bind = match fact {
            Some(Fact::Bind { port }) => Some(port),
            _ => None,
        };
        self.banners.line(Said { name: author, pid, text, workers, bind, units: &units }, when, &mut around);
    }

    /// Gives a start to a program, with what units may have started it.
    fn starts(&mut self, key: &str, (name, owner): (&str, Owner<'_>), fact: &Fact, pid: Option<u32>, when: &When) {
        let units = Units { recent: &self.recent, subjects: &self.subjects }.until(self.order, owner);
        let before = self.subjects.get(key).map_or(0, |subject| subject.runs);
        self.give(key, name, Kind::Program, fact.clone(), pid, when);
        if let Some(subject) = self.subjects.get_mut(key).filter(|subject| subject.runs > before) {
            subject.explain(&units);
        }
    }

    /// The known words of a start, if those that no writer is named of are such: others would count the same starts again.
    pub(super) fn start_of_nobody(&self) -> Option<(String, skim::Around)> {
        let subject = self.subjects.get("\n\n\n\n").filter(|subject| !subject.unnamed && subject.starts() >= 2)?;
        Some((subject.name.clone(), skim::Around::Words))
    }

    /// A process, and whether this is its first line.
    fn process(&mut self, name: &str, pid: u32, when: &When) -> (&Process, bool) {
        let key = (name.to_owned(), pid);
        if self.processes.len() >= SUBJECTS && !self.processes.contains_key(&key) {
            let old = self.order.saturating_sub((SUBJECTS / 2) as u64);
            self.processes.retain(|_, process| process.first > old);
            if self.processes.len() >= SUBJECTS {
                self.processes.clear();
            }
        }
        let is_new = !self.processes.contains_key(&key);
        let new = || Process { first: self.order, began: when.clone(), blamed: None };
        (self.processes.entry(key).or_insert_with(new), is_new)
    }

    fn fact_of_a_program(&mut self, speaker: &Speaker<'_>, text: &str, fact: &Fact, when: &When) {
        let Speaker { host, name, pid, owner, first, began } = *speaker;
        let unit = owner.service();
        if matches!(fact, Fact::Bind { .. } | Fact::Serves) {
            match owner {
                Owner::Service(unit) => {
                    let suffix = format!("\n{unit}");
                    let owner = format!("{host}\n1{suffix}");
                    let known = match self.subjects.contains_key(&owner) {
                        true => Some(owner),
                        false => self.recent.iter().rev().find(|key| key.ends_with(&suffix)).cloned(),
                    };
                    if let Some(key) = known {
                        self.give(&key, unit, Kind::Managed, fact.clone(), None, when);
                    }
                }
                Owner::Nobody => {}
                Owner::Unknown => self.attach(fact, first, pid.map(|pid| (name.to_owned(), pid)), when),
            }
        }
        let server = match name {
            "" => match fact {
                Fact::ProgramStarts { pid: Some(_) } => "Started server process",
                Fact::MasterStarts { pid: None } => "Starting gunicorn",
                Fact::MasterStarts { .. } => "Started parent process",
                _ => "",
            },
            name => name,
        };
        let shown = unit.unwrap_or(server);
        let key = format!("\n\n\n{host}\n{}", unit.unwrap_or(name));
        let known = self.subjects.get_mut(&key);
        match (known, fact) {
            (Some(subject), _) => {
                if subject.unnamed && !shown.is_empty() {
                    shown.clone_into(&mut subject.name);
                }
            }
            // Nobody is named, and nothing starts: there is no subject yet.
            (None, Fact::ProgramStarts { .. } | Fact::MasterStarts { .. } | Fact::HasWorkers) => {}
            (None, Fact::Bind { .. }) if pid.is_some() => {}
            (None, _) => return,
        }
        let bare =
            name.is_empty() && unit.is_none() && matches!(fact, Fact::Bind { .. }) && !self.subjects.contains_key(&key);

        match fact {
            // Its first line was its start.
            Fact::Bind { .. } if pid.is_some() && !name.is_empty() => {
                self.starts(&key, (shown, owner), &Fact::ProgramStarts { pid: None }, pid, began);
                self.give(&key, shown, Kind::Program, fact.clone(), pid, when);
            }
            Fact::ProgramStarts { .. } | Fact::MasterStarts { .. } => {
                self.starts(&key, (shown, owner), fact, pid, when);
                if let Some(subject) = self.subjects.get_mut(&key) {
                    subject.unnamed = false;
                }
            }
            _ if bare => {
                let said = without_numbers(text);
                self.give(&key, &said, Kind::Program, fact.clone(), pid, when);
                if let Some(subject) = self.subjects.get_mut(&key) {
                    subject.unnamed = true;
                }
            }
            _ => self.give(&key, shown, Kind::Program, fact.clone(), pid, when),
        }
    }

    /// Gives a line of a process to the unit whose run it belongs to; of a bind error that unit's end will tell.
    fn attach(&mut self, fact: &Fact, first: u64, process: Option<(String, u32)>, when: &When) {
        let is_open = |key: &&String| {
            let run = self.subjects.get(*key).and_then(Subject::current);
            run.is_some_and(|(order, is_open, _)| is_open && order <= first)
        };
        let Some(last) = self.recent.iter().rfind(is_open).cloned() else { return };
        if let Fact::Bind { port } = fact {
            if process.as_ref().is_some_and(|process| self.is_a_stranger(process, when)) {
                return;
            }
            if self.unclaimed.len() >= 64 {
                self.unclaimed.pop_front();
            }
            self.unclaimed.push_back(Unclaimed { at: when.at, first, port: *port, process });
        } else {
            let name = last.rsplit('\n').next().unwrap_or_default().to_owned();
            self.give(&last, &name, Kind::Managed, fact.clone(), None, when);
        }
    }

    /// Whether a bind error of another process of that name has ended no unit. What such processes were taken to end ended
    /// for another reason.
    fn is_a_stranger(&mut self, (name, pid): &(String, u32), when: &When) -> bool {
        let is_lost = |bind: &Unclaimed| {
            let other = bind.process.as_ref().is_some_and(|(known, other)| known == name && other != pid);
            other && bind.at.zip(when.at).is_some_and(|(at, now)| now - at > BIND_TO_EXIT)
        };
        if !self.unclaimed.iter().any(is_lost) {
            return false;
        }
        for (_, key, order) in self.blamed.extract_if(.., |(known, ..)| known == name) {
            if let Some(subject) = self.subjects.get_mut(&key) {
                subject.unbind(order);
            }
        }
        true
    }

    /// A unit's run ends: the last bind error of a process that began in it is why.
    pub(super) fn claim(&mut self, key: &str, when: &When) {
        if self.unclaimed.is_empty() {
            return;
        }
        let Some((order, _, false)) = self.subjects.get(key).and_then(Subject::current) else { return };
        let near = |at: Option<i64>| at.zip(when.at).is_none_or(|(at, now)| now - at <= BIND_TO_EXIT);
        let found = self.unclaimed.iter().rposition(|bind| bind.first >= order && near(bind.at));
        let Some(bind) = found.and_then(|found| self.unclaimed.remove(found)) else { return };
        let name = key.rsplit('\n').next().unwrap_or_default().to_owned();
        self.give(key, &name, Kind::Managed, Fact::Bind { port: bind.port }, None, when);
        let Some(id) = bind.process else { return };
        // What else it has said of it.
        self.unclaimed.retain(|other| other.process.as_ref() != Some(&id));
        if self.blamed.len() >= 64 {
            self.blamed.remove(0);
        }
        self.blamed.push((id.0.clone(), key.to_owned(), order));
        if let Some(process) = self.processes.get_mut(&id) {
            process.blamed = Some((key.to_owned(), order));
        }
    }
}
