//! The incident as it runs: the loop that joins clock, processes and manager.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::Fault;
use super::clock::Clock;
use super::layout::Layout;
use super::machine::{Machinery, View};
use super::pace::Pace;
use super::pids::Pids;
use super::real;
use super::sessions::Session;
use super::sockets::Sockets;
use super::stage::due;
use super::tree::{Origin, Pending, ProcessId, Report, Start, Tree, UMASK, comm_of};
use crate::control::{Answer as Reply, Note, Role, ServerRole, Status, Step, Welcome};
use crate::manager::{DescriptorId, Exit, Input};
use crate::sys::notify::Descriptor;
use crate::time::{IncidentTime, Span};
use crate::timeline::{Answer, Ended, EventKind, Timeline};

/// A stand-in server of the scenario.
#[derive(Clone, Debug)]
pub(super) struct StandIn {
    /// `argv[0]` must end in one of these names.
    pub(super) names: Vec<String>,
    /// All of these words must be among the arguments.
    pub(super) words: Vec<String>,
    /// How it behaves; `startup` is overwritten from the list.
    pub(super) role: ServerRole,
    /// Import times, one entry per start, the last repeats.
    pub(super) startup: Vec<Span>,
    /// How often it was started.
    pub(super) starts: usize,
}

impl StandIn {
    /// Whether a command line means it.
    pub(super) fn is_meant(&self, argv: &[String]) -> bool {
        let Some((first, rest)) = argv.split_first() else { return false };
        let name = first.rsplit('/').next().unwrap_or(first);
        self.names.iter().any(|known| known == name) && self.words.iter().all(|word| rest.contains(word))
    }
}

/// A listening socket that a process reported.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) process: ProcessId,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) backlog: u32,
    pub(super) fd: i32,
    pub(super) device: u32,
    pub(super) dual: bool,
}

/// Signals whose default action is a core: QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS (signal(7)).
const CORE_SIGNALS: [i32; 10] = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];

/// How far [`Incident::run_until`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The goal.
    Goal,
    /// The limit in time.
    Limit,
}

pub(super) struct Incident {
    pub(super) clock: Clock,
    pub(super) tree: Tree,
    pub(super) layout: Layout,
    pub(super) machinery: Machinery,
    pub(super) timeline: Timeline,
    pub(super) stand_ins: Vec<StandIn>,
    pub(super) client: Option<crate::control::ClientRole>,
    pub(super) listeners: Vec<Listener>,
    pub(super) sockets: Sockets,
    pub(super) sessions: HashMap<ProcessId, Session>,
    /// Sessions whose command waits for more.
    pub(super) waiting: BTreeSet<ProcessId>,
    pub(super) inputs: VecDeque<Input>,
    /// Ends of console commands: number → status.
    pub(super) commands: BTreeMap<u32, Status>,
    pub(super) pids: Pids,
    pub(super) next_device: u32,
    /// Descriptors that services have left with the manager.
    pub(super) store: BTreeMap<DescriptorId, Arc<Descriptor>>,
    pub(super) next_descriptor: DescriptorId,
    pub(super) console_user: String,
    pub(super) boot: IncidentTime,
    /// Who has sent a signal and waits to hear of it, and what it hears.
    pub(super) signalled: Vec<(ProcessId, Reply)>,
    /// The manager has sent signals, and nobody has waited yet for what they do at once.
    pub(super) signals_sent: bool,
    /// The machine goes down as soon as no command runs.
    pub(super) reboot_due: bool,
    /// A refused port that nobody of the run holds: somebody outside took it.
    pub(super) intruder: Option<u16>,
    /// Programs that are no stand-ins but the real ones, by name.
    pub(super) real: BTreeSet<String>,
    /// How many commands may start now.
    pub(super) pace: Pace,
}

impl Incident {
    pub(super) fn now(&mut self) -> IncidentTime {
        let now = self.clock.now();
        self.tree.now = now;
        now
    }

    /// What the manager can look at.
    pub(super) fn view(&self) -> View<'_> {
        View {
            tree: &self.tree,
            layout: &self.layout,
            files: &self.machinery.files,
            files_revision: self.machinery.files_revision,
            spent: &self.machinery.spent,
            pids: &self.pids,
            unknown_accounts: &self.machinery.unknown_accounts,
            machine: &self.machinery.machine,
        }
    }

    pub(super) fn event(&mut self, kind: EventKind) {
        let now = self.now();
        self.timeline.push(now, kind);
    }

    /// Lets the incident go on until the goal is reached (looked at whenever nobody runs) or the limit in time.
    pub(super) fn run_until(
        &mut self,
        limit: IncidentTime,
        mut goal: impl FnMut(&mut Incident) -> bool,
    ) -> Result<Reached, Fault> {
        loop {
            self.quiesce()?;
            if goal(self) {
                return Ok(Reached::Goal);
            }
            if self.clock.is_virtual() && !self.tree.barrier()? {
                continue;
            }
            self.signals_sent = false;
            let process = self.tree.earliest();
            let manager = self.machinery.next_deadline();
            let next = [process.map(|(at, _)| at), manager, self.paced().filter(|_| self.tree.somebody_greets())]
                .into_iter()
                .flatten()
                .min()
                .filter(|at| *at != IncidentTime::NEVER);
            let target = next.map_or(limit, |next| next.min(limit));
            if target == IncidentTime::NEVER && self.clock.is_virtual() {
                return Err(Fault::Deadlock { waiting: self.who_waits() });
            }
            if let Some(wait) = self.clock.until(target)
                && !wait.is_zero()
            {
                // Never long: an orphan's end is only seen by looking.
                let wait = wait.min(std::time::Duration::from_millis(50));
                self.tree.pump_or(wait, &self.sockets.watched_fds())?;
                continue;
            }
            // At the limit itself everything that is due comes first.
            if next.is_none_or(|next| next > limit) {
                self.clock.reach(limit);
                self.now();
                return Ok(Reached::Limit);
            }
            self.clock.reach(target);
            self.now();
            match process {
                Some((at, id)) if at == target => self.tree.wake(id)?,
                _ if manager == Some(target) => self.input(Input::Elapsed)?,
                _ => {}
            }
        }
    }

    /// When the next command may start, if none may now.
    fn paced(&self) -> Option<IncidentTime> {
        Some(self.pace.next()).filter(|at| self.clock.is_virtual() && *at > self.tree.now)
    }

    /// Serves everybody until nobody runs and nobody wants anything.
    fn quiesce(&mut self) -> Result<(), Fault> {
        loop {
            self.now();
            if self.clock.is_virtual() {
                self.tree.settle()?;
                // Of those who talk to each other, one may have been woken and not have said so: what it does now
                // belongs to what they have done, whoever is quicker.
                if self.tree.somebody_talks() && !self.tree.confirm()? || !self.tree.signals_noticed()? {
                    continue;
                }
            } else {
                self.tree.mark_streams()?;
                self.tree.pump(std::time::Duration::ZERO)?;
                self.tree.look_for_orphans()?;
                self.now();
            }
            self.take_reports()?;
            match self.tree.pending(self.paced().is_none()) {
                Some(pending) => self.serve(pending)?,
                None if self.reboot_due && !self.tree.alive().any(|process| process.is_command) => self.reboot()?,
                None if !self.signalled.is_empty() => self.answer_kills()?,
                None if self.hung_up()? => {}
                None if self.tree.wake_hopeful()? => {}
                None if self.pid_file_written() => self.input(Input::Elapsed)?,
                None if self.traffic()? => {}
                None => {
                    self.tree.forget_ended();
                    return Ok(());
                }
            }
        }
    }

    /// Tells those who sent signals, or had the manager send some, that they are sent, once what they do at once is
    /// done. Else a shell that waits for its `kill` might or might not see the end of a child of its own first, and
    /// whoever looks after `systemctl kill` might or might not find the killed one.
    fn answer_kills(&mut self) -> Result<(), Fault> {
        if self.clock.is_virtual() && !self.tree.barrier()? {
            return Ok(());
        }
        self.signals_sent = false;
        for (id, reply) in std::mem::take(&mut self.signalled) {
            self.tree.answer(id, reply)?;
        }
        Ok(())
    }

    fn who_waits(&self) -> String {
        let waiting: Vec<String> = self
            .tree
            .alive()
            .filter(|process| process.origin != Origin::Client)
            .map(|process| format!("`{}`", process.argv.join(" ")))
            .collect();
        match waiting.as_slice() {
            [] => "no process is left and no timer is armed".to_owned(),
            list => format!("{} wait(s) for ever", list.join(", ")),
        }
    }

    // ---- serving ----

    fn serve(&mut self, pending: Pending) -> Result<(), Fault> {
        match pending {
            Pending::Notified(notice) => self.notified(notice),
            Pending::Nothing => Ok(()),
            Pending::Ended(id, status) => self.ended(id, status),
            Pending::Hello(id) => self.hello(id),
            Pending::Ask(id, query) => self.ask(id, query),
        }
    }

    pub(super) fn ended(&mut self, id: ProcessId, status: Status) -> Result<(), Fault> {
        if !self.clock.is_virtual() {
            // Children that it leaves behind, and that nobody has seen yet.
            self.tree.discover_all();
        }
        self.tree.others_changed();
        self.listeners.retain(|listener| listener.process != id);
        self.sessions.remove(&id);
        self.waiting.remove(&id);
        let Some(process) = self.tree.get(id) else { return Ok(()) };
        let (pid, origin, server) = (process.pid, process.origin.clone(), process.server);
        let told = !process.was_reaped_by_parent();
        let cpu = self.tree.cpu(process);
        let status = match &origin {
            Origin::Unit { unit, .. } => self.with_core(unit, status),
            _ => status,
        };
        let ended = match status {
            Status::Code(code) => Ended::Exited(code),
            Status::Signal(signal) => Ended::Killed(signal),
            Status::Dumped(signal) => Ended::Dumped(signal),
        };
        let exit = match status {
            Status::Code(code) => Exit::Code(code),
            Status::Signal(signal) => Exit::Signal(signal),
            Status::Dumped(signal) => Exit::Dumped(signal),
        };
        match origin {
            Origin::Unit { unit, role } => {
                self.machinery.account(&unit, cpu);
                if let Some(pid) = pid {
                    self.event(EventKind::Exit { unit: Some(unit.clone()), role: Some(role), pid, ended });
                    if told && !self.reboot_due {
                        self.input(Input::Exited { pid, exit })?;
                    }
                }
                let left = self.tree.alive().any(|p| matches!(&p.origin, Origin::Unit { unit: u, .. } if *u == unit));
                if !left && !self.reboot_due {
                    self.input(Input::CgroupEmpty { unit })?;
                }
            }
            Origin::Console(number) => {
                if let (Some(pid), true) = (pid, server) {
                    self.event(EventKind::Exit { unit: None, role: None, pid, ended });
                }
                if self.tree.get(id).is_some_and(|process| process.is_command) {
                    self.commands.insert(number, status);
                }
            }
            Origin::Client => {}
        }
        Ok(())
    }

    /// How a process of the unit ended on the incident's machine, where LimitCORE= says whether there is a core (setrlimit(2):
    /// less than a page is none). The host's limit does not count; and no core is written, because it would be left
    /// wherever the host's core_pattern says.
    pub(super) fn with_core(&self, unit: &str, status: Status) -> Status {
        let (Status::Signal(signal) | Status::Dumped(signal)) = status else { return status };
        let limit = self.machinery.manager.property(&self.view(), unit, "LimitCORESoft").unwrap_or_default();
        let dumps = limit == "infinity" || limit.parse::<u64>().is_ok_and(|bytes| bytes >= 4096);
        if dumps && CORE_SIGNALS.contains(&signal) { Status::Dumped(signal) } else { Status::Signal(signal) }
    }

    fn hello(&mut self, id: ProcessId) -> Result<(), Fault> {
        let Some(process) = self.tree.get(id) else { return Ok(()) };
        let (mut argv, origin) = (process.argv.clone(), process.origin.clone());
        let (known, host) = (process.pid, process.host);
        if self.is_real(&argv) {
            // It was given its words in the host's terms.
            argv.iter_mut().for_each(|arg| *arg = self.layout.mapping.to_incident(arg));
            if let Some(process) = self.tree.get_mut(id) {
                process.argv.clone_from(&argv);
            }
        }
        self.pace.count(self.tree.now);
        self.tree.others_changed();
        let role = match (&origin, &self.client) {
            (Origin::Client, Some(client)) => Role::Client(client.clone()),
            _ => match due(&mut self.stand_ins, &argv, host) {
                Some(role) => Role::Server(Box::new(role)),
                None => Role::Tool,
            },
        };
        let mut pid = known.unwrap_or(0);
        if matches!(role, Role::Server(_)) && known.is_none() {
            pid = self.pids.name(host);
            let unit = match origin {
                Origin::Unit { unit, .. } => Some(unit),
                _ => None,
            };
            let cmdline = self.layout.mapping.to_incident(&argv.join(" "));
            self.event(EventKind::Start { unit, role: None, pid, ppid: 1, cmdline });
            if let Some(process) = self.tree.get_mut(id) {
                process.pid = Some(pid);
            }
        }
        let now = self.now();
        let welcome = Welcome {
            now,
            pid,
            role,
            mapping: self.layout.mapping.clone(),
            wall_scale: self.clock.wall_scale(),
            hostname: self.machinery.hostname().to_owned(),
            tells_lines: false,
        };
        self.tree.welcome(id, welcome)
    }

    // ---- reports ----

    fn take_reports(&mut self) -> Result<(), Fault> {
        let mut lines = false;
        for (id, report) in self.tree.reports()? {
            let Some(process) = self.tree.get(id) else { continue };
            let (pid, server, host) = (process.pid, process.server, process.host);
            let real = self.is_real(&process.argv);
            let refused = (real && !server).then(|| process.argv.clone());
            let unit = match &process.origin {
                Origin::Unit { unit, .. } => Some(unit.clone()),
                _ => None,
            };
            match report {
                Report::Line(mut line) => {
                    if unit.is_none() && !server {
                        continue;
                    }
                    line.bytes = self.layout.mapping.bytes_to_incident(&line.bytes);
                    if let (true, Ok(text)) = (real, std::str::from_utf8(&line.bytes)) {
                        // It says its own PID, which is the host's.
                        line.bytes =
                            text.replace(&format!("[{host}]"), &format!("[{}]", pid.unwrap_or(0))).into_bytes();
                    }
                    if let Some(unit) = &unit {
                        let comm = comm_of(&process.argv);
                        let cmdline = process.argv.join(" ");
                        self.machinery.service_line(self.tree.now, unit, pid.unwrap_or(0), &comm, &cmdline, &line);
                    }
                    let text = String::from_utf8_lossy(&line.bytes).into_owned();
                    if let Some(note) = refused.and_then(|argv| real::refused(&argv, &text)) {
                        self.note(id, pid, unit.clone(), note);
                    }
                    self.event(EventKind::Log { unit, pid, stream: "stdout".into(), line: text });
                    lines = true;
                }
                Report::Note(note) => self.note(id, pid, unit, note),
            }
        }
        // Somebody may follow the journal.
        if lines { self.progress_sessions() } else { Ok(()) }
    }

    fn note(&mut self, id: ProcessId, pid: Option<u32>, unit: Option<String>, note: Note) {
        let own = pid.unwrap_or(0);
        match note {
            Note::Log { path, line } => self.event(EventKind::Log { unit, pid, stream: path, line }),
            Note::Listening { address, port, backlog, fd, dual, shared } => {
                // Who took a socket over has the same one.
                let is_same = |other: &&Listener| shared && other.port == port && other.address == address;
                let taken_over = || self.listeners.iter().find(is_same).map(|other| (other.device, other.dual));
                let known = self.sockets.device_of(&address, port).or_else(taken_over);
                let (device, dual) = known.unwrap_or((self.next_device, dual));
                self.next_device += 7;
                self.listeners.push(Listener {
                    process: id,
                    address: address.clone(),
                    port,
                    backlog,
                    fd,
                    device,
                    dual,
                });
                self.event(EventKind::Listening { unit, pid: own, address, port });
            }
            Note::Closed { address, port } => {
                self.listeners.retain(|l| !(l.process == id && l.port == port && l.address == address));
                self.event(EventKind::Closed { pid: own, address, port });
            }
            Note::Refused { address, port, errno } => {
                if errno == "EADDRINUSE" && !self.somebody_has(port) {
                    self.intruder = Some(port);
                }
                self.event(EventKind::Refused { unit, pid: own, address, port, errno });
            }
            Note::Request { port, status, error, by, sent } => {
                self.event(EventKind::Request { port, answer: Answer::of(status, &error), pid: by, sent });
            }
            Note::Printed { .. } | Note::Dying { .. } | Note::Exiting { .. } | Note::Foreign => {}
        }
    }

    // ---- starting things that are not the manager's ----

    /// Starts a console command: a shell that runs a script of the run's own.
    pub(super) fn start_command(
        &mut self,
        number: u32,
        script: &std::path::Path,
        directory: &str,
        environment: Vec<(String, String)>,
    ) -> Result<(), Fault> {
        let start = Start {
            program: "/bin/sh".into(),
            // Read by the shell rather than run as a script: then $0 is what an operator's shell has.
            argv: ["bash", "-c", &format!(". {}", script.to_string_lossy()), "bash"].map(str::to_owned).to_vec(),
            environment,
            directory: self.layout.resolve(directory).to_string_lossy().into_owned(),
            origin: Origin::Console(number),
            ours: false,
            pid: None,
            wanted_pid: self.pids.shell(),
            output: (None, None),
            umask: UMASK,
            ignore_sigpipe: false,
            descriptors: Vec::new(),
            socket_streams: [false; 3],
            stored: Vec::new(),
            own_pid: false,
        };
        match self.tree.start(start)? {
            Ok(id) => {
                if let Some(process) = self.tree.get_mut(id) {
                    process.is_command = true;
                }
                Ok(())
            }
            Err((Step::Chdir, _)) => {
                Err(std::io::Error::other(format!("the console's directory {directory} does not exist")).into())
            }
            Err((_, errno)) => Err(std::io::Error::from_raw_os_error(errno).into()),
        }
    }

    /// Starts the polling client.
    pub(super) fn start_client(&mut self) -> Result<(), Fault> {
        let start = Start {
            program: self.layout.executable.to_string_lossy().into_owned(),
            argv: vec![crate::program::CLIENT.into()],
            environment: Vec::new(),
            directory: "/".into(),
            origin: Origin::Client,
            ours: true,
            pid: None,
            wanted_pid: None,
            output: (None, None),
            umask: UMASK,
            ignore_sigpipe: false,
            descriptors: Vec::new(),
            socket_streams: [false; 3],
            stored: Vec::new(),
            own_pid: false,
        };
        match self.tree.start(start)? {
            Ok(_) => Ok(()),
            Err((_, errno)) => Err(std::io::Error::from_raw_os_error(errno).into()),
        }
    }
}
