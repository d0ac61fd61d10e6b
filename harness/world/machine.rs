//! The machine under the manager: its processes, ports and files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::program::{Act, Program, Reaction};
use crate::manager::{Exit, Host, PathKind, Pid, Process};
use crate::time::{IncidentTime, Span};
use crate::unit::Files;
use crate::unit::signal::SIGKILL;

/// Signals that do nothing to a process that does not ask for them: CHLD, CONT, URG, WINCH.
const HARMLESS: [i32; 4] = [17, 18, 23, 28];

/// What a process is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// About to do its next act.
    Ready,
    /// Until the moment with this number.
    Until(u64),
    /// Waits for this child.
    Child(Pid),
    /// Serves.
    Serving,
}

/// A process of the model.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub unit: Option<String>,
    pub program: Program,
    pub next: usize,
    pub doing: Doing,
    pub parent: Pid,
    pub last_child: Pid,
    pub children: u32,
    pub ports: Vec<u16>,
    /// Socket units whose listening sockets it was given.
    pub sockets: Vec<String>,
}

/// What there is on the incident's machine.
#[derive(Debug)]
pub struct Machine {
    /// The unit directories.
    pub unit_files: Files,
    /// All other files.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Users and groups that do not exist.
    pub unknown_accounts: BTreeSet<String>,
    pub(super) processes: BTreeMap<Pid, Running>,
    /// The processes of each unit, so that nobody has to look through all of them.
    pub(super) groups: HashMap<String, BTreeSet<Pid>>,
    pub(super) ports: HashMap<u16, Pid>,
    pub(super) cpu: HashMap<String, Span>,
    pub(super) next_pid: Pid,
}

impl Machine {
    pub(super) fn new(unit_files: Files, first_pid: Pid) -> Self {
        Self {
            unit_files,
            files: BTreeMap::new(),
            unknown_accounts: BTreeSet::new(),
            processes: BTreeMap::new(),
            groups: HashMap::new(),
            ports: HashMap::new(),
            cpu: HashMap::new(),
            next_pid: first_pid.max(2),
        }
    }

    /// Who holds a port.
    pub fn port_owner(&self, port: u16) -> Option<Pid> {
        self.ports.get(&port).copied()
    }

    /// How many processes there are.
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    pub(super) fn start(&mut self, pid: Pid, unit: Option<&str>, program: Program, parent: Pid) {
        if let Some(unit) = unit {
            match self.groups.get_mut(unit) {
                Some(group) => {
                    group.insert(pid);
                }
                None => {
                    self.groups.insert(unit.to_owned(), BTreeSet::from([pid]));
                }
            }
        }
        let process = Running {
            unit: unit.map(str::to_owned),
            program,
            next: 0,
            doing: Doing::Ready,
            parent,
            last_child: 0,
            children: 0,
            ports: Vec::new(),
            sockets: Vec::new(),
        };
        self.processes.insert(pid, process);
    }

    /// Takes a process away, and everything that was its own; whose child it was and whether its unit is empty now.
    pub(super) fn bury(&mut self, pid: Pid) -> Option<(Pid, Option<String>, bool)> {
        let process = self.processes.remove(&pid)?;
        for port in &process.ports {
            self.ports.remove(port);
        }
        if process.children > 0 {
            for other in self.processes.values_mut().filter(|other| other.parent == pid) {
                other.parent = 1;
            }
        }
        if let Some(parent) = self.processes.get_mut(&process.parent) {
            parent.children = parent.children.saturating_sub(1);
        }
        let mut empty = false;
        if let Some(group) = process.unit.as_deref().and_then(|unit| self.groups.get_mut(unit)) {
            group.remove(&pid);
            empty = group.is_empty();
        }
        Some((process.parent, process.unit, empty))
    }

    /// What a signal does to a process: it may end, or do something else from now on.
    pub(super) fn deliver(&mut self, pid: Pid, signal: i32) -> Delivered {
        let Some(process) = self.processes.get_mut(&pid) else { return Delivered::Nothing };
        if signal == SIGKILL {
            return Delivered::Ends(Exit::Signal(signal));
        }
        match process.program.reactions.get(&signal) {
            Some(Reaction::Ignore) => Delivered::Nothing,
            Some(Reaction::Do(acts)) => {
                process.program.acts = acts.clone();
                process.next = 0;
                process.doing = Doing::Ready;
                Delivered::Turns
            }
            None if HARMLESS.contains(&signal) => Delivered::Nothing,
            None => Delivered::Ends(Exit::Signal(signal)),
        }
    }

    /// The next act of a process, which is then behind it.
    pub(super) fn next_act(&mut self, pid: Pid) -> Option<Act> {
        let process = self.processes.get_mut(&pid)?;
        let act = process.program.acts.get(process.next).cloned();
        process.next += 1;
        Some(act.unwrap_or(Act::End(Exit::Code(0))))
    }

    pub(super) fn spend(&mut self, unit: Option<&str>, span: Span) {
        if let Some(unit) = unit {
            let used = self.cpu.entry(unit.to_owned()).or_default();
            *used = used.saturating_add(span);
        }
    }
}

/// What a signal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    Nothing,
    Turns,
    Ends(Exit),
}

impl Host for Machine {
    fn fork(&mut self) -> Pid {
        let pid = self.next_pid;
        // Where Linux starts over.
        self.next_pid = if pid >= 4_194_303 { 300 } else { pid + 1 };
        while self.processes.contains_key(&self.next_pid) {
            self.next_pid += 1;
        }
        pid
    }

    fn unit_files(&self) -> &Files {
        &self.unit_files
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.files.get(path).cloned()
    }

    fn stat(&self, path: &str) -> Option<PathKind> {
        if let Some(content) = self.files.get(path) {
            return Some(PathKind::File { executable: false, empty: content.is_empty() });
        }
        let dir = format!("{}/", path.trim_end_matches('/'));
        self.files
            .range(dir.clone()..)
            .next()
            .is_some_and(|(path, _)| path.starts_with(&dir))
            .then_some(PathKind::Directory { empty: false })
    }

    fn processes(&self, unit: &str) -> Vec<Process> {
        let Some(group) = self.groups.get(unit).filter(|group| !group.is_empty()) else { return Vec::new() };
        group
            .iter()
            .filter_map(|pid| {
                let process = self.processes.get(pid)?;
                Some(Process { pid: *pid, comm: process.program.comm.clone(), parent: process.parent })
            })
            .collect()
    }

    fn is_alive(&self, pid: Pid) -> bool {
        self.processes.contains_key(&pid)
    }

    fn cpu_time(&self, unit: &str) -> Span {
        self.cpu.get(unit).copied().unwrap_or_default()
    }

    fn has_account(&self, name: &str) -> bool {
        !self.unknown_accounts.contains(name)
    }
}

/// A moment in which something of the model happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub at: IncidentTime,
    /// Ties are broken by who asked first.
    pub number: u64,
    pub pid: Pid,
}
