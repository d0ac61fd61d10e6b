//! A discrete-event model of a machine: processes, ports and time without any of them being real, so that the
//! manager can run as fast as it can think.

mod forecast;
mod machine;
mod program;

// The address types alone; nothing here touches the network.
use core::net::{Ipv4Addr, SocketAddr};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

pub use forecast::{Attempt, Ends, Forecast, MOST_TIMES, Prediction, Stage};
pub use machine::Machine;
pub use program::{Act, Launch, Program, Reaction};

use crate::manager::{
    Config, Connection, ConnectionId, Effect, Exit, Host, Input, JobId, JobResult, Manager, Message, Peer, Pid, Reply,
    Request, RequestId, Spawn,
};
use crate::time::{IncidentTime, Span};
use crate::unit::{Errno, FileEntry, Files, Listen, ListenKind};
use machine::{Delivered, Doing, Moment};

/// Says what becomes of a process that the manager starts.
pub type Launcher = Box<dyn FnMut(&Spawn, &mut Machine) -> Launch>;

const SIGPIPE: i32 = 13;

/// The manager's own PID.
const MANAGER: Pid = 1;

/// How often processes may act at one moment before the model calls it an endless loop.
const MOST_ACTS: u32 = 100_000;

/// Something that happened, for whoever watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The manager logged this.
    Logged(Message),
    /// A process was started.
    Started {
        /// Whose.
        unit: String,
        /// Its PID.
        pid: Pid,
        /// What it was started for.
        role: crate::manager::ExecRole,
    },
    /// A process has ended.
    Ended {
        /// Whose, if a unit's.
        unit: Option<String>,
        /// Its PID.
        pid: Pid,
        /// How.
        exit: Exit,
    },
    /// A request was answered.
    Replied(RequestId, Reply),
    /// A job has ended.
    JobRemoved(JobId, String, JobResult),
    /// A port was taken.
    Bound(u16, Pid),
}

/// The port of the first client.
const FIRST_CLIENT_PORT: u16 = 40_000;

/// A listening socket that the manager holds.
#[derive(Clone, Debug)]
struct Listening {
    ports: Vec<u16>,
    /// Whether connections are accepted one by one (Accept=yes).
    accept: bool,
    watched: bool,
    waiting: u32,
}

/// The model: a machine, its manager, and the clock.
pub struct World {
    manager: Manager,
    machine: Machine,
    launcher: Launcher,
    now: IncidentTime,
    moments: BinaryHeap<Reverse<Moment>>,
    counter: u64,
    inputs: VecDeque<Input>,
    happened: Vec<(IncidentTime, Happened)>,
    listening: BTreeMap<String, Listening>,
    /// How many connections were accepted.
    connections: ConnectionId,
    requests: RequestId,
    /// Processes act no more than so often in one moment.
    acts: u32,
}

impl World {
    /// A machine with these unit files, at the time of its boot. It does not boot by itself: see [`World::boot`].
    pub fn new(config: Config, unit_files: Files, launcher: Launcher) -> Self {
        Self {
            now: config.boot,
            manager: Manager::new(config),
            machine: Machine::new(unit_files, 300),
            launcher,
            moments: BinaryHeap::new(),
            counter: 0,
            inputs: VecDeque::new(),
            happened: Vec::new(),
            listening: BTreeMap::new(),
            connections: 0,
            requests: 0,
            acts: 0,
        }
    }

    /// The time.
    pub fn now(&self) -> IncidentTime {
        self.now
    }

    /// The manager.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine, to change its files. Whatever is written into a unit directory has to be loaded to count.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// All properties of a unit that is loaded.
    pub fn properties(&self, unit: &str) -> Option<Vec<(&'static str, String)>> {
        self.manager.properties(&self.machine, unit)
    }

    /// What has happened since the last call.
    pub fn take_happened(&mut self) -> Vec<(IncidentTime, Happened)> {
        std::mem::take(&mut self.happened)
    }

    /// Boots: enabled units start.
    pub fn boot(&mut self) {
        self.feed(Input::Boot);
    }

    /// A client's request, now; answers are among what happened.
    pub fn request(&mut self, request: Request) -> RequestId {
        self.requests += 1;
        self.feed(Input::Request { id: self.requests, request });
        self.requests
    }

    /// Starts a process that belongs to no unit, as a user does on a console.
    pub fn start_process(&mut self, program: Program) -> Pid {
        let pid = self.machine.fork();
        self.machine.start(pid, None, program, MANAGER);
        self.wake(pid, self.now);
        self.run_moment();
        pid
    }

    /// Sends a signal, as kill(1) does.
    pub fn kill(&mut self, pid: Pid, signal: i32) {
        self.deliver(pid, signal);
        self.run_moment();
    }

    /// Somebody connects to a listening socket of the manager and waits there; `false` if nobody listens.
    pub fn connect(&mut self, socket: &str) -> bool {
        let Some(listening) = self.listening.get_mut(socket) else { return false };
        listening.waiting += 1;
        if listening.watched {
            let input = self.traffic(socket);
            self.feed(input);
        }
        true
    }

    /// What the manager is told of connections that wait on a watched socket.
    fn traffic(&mut self, socket: &str) -> Input {
        let unit = socket.to_owned();
        let Some(listening) = self.listening.get_mut(socket).filter(|listening| listening.accept) else {
            return Input::Traffic { unit };
        };
        listening.waiting = listening.waiting.saturating_sub(1);
        let id = self.connections;
        self.connections += 1;
        let end = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let local = end(listening.ports.first().copied().unwrap_or(0));
        let remote = end(FIRST_CLIENT_PORT.wrapping_add(u16::try_from(id & 0x3fff).unwrap_or(0)));
        Input::Accepted { unit, connection: Connection { id, peer: Some(Peer::Internet { local, remote }) } }
    }

    /// How many connections wait on a socket; `None` if nobody listens.
    pub fn waiting(&self, socket: &str) -> Option<u32> {
        self.listening.get(socket).map(|listening| listening.waiting)
    }

    /// When something happens next, if anything ever does.
    pub fn next_moment(&self) -> Option<IncidentTime> {
        let moment = self.moments.peek().map(|Reverse(moment)| moment.at);
        match (moment, self.manager.next_deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Lets time pass until the next thing happens; `false` if nothing ever will.
    pub fn advance(&mut self) -> bool {
        let Some(at) = self.next_moment() else { return false };
        self.now = self.now.max(at);
        self.run_moment();
        if self.manager.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.feed(Input::Elapsed);
        }
        true
    }

    /// Lets time pass until `end`.
    pub fn run_until(&mut self, end: IncidentTime) {
        while self.next_moment().is_some_and(|at| at <= end) {
            self.advance();
        }
        self.now = self.now.max(end);
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, span: Span) {
        self.run_until(self.now + span);
    }

    fn feed(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.run_moment();
    }

    /// Everything that is due now: processes first, since the manager learns of their ends before its timers fire.
    fn run_moment(&mut self) {
        self.acts = 0;
        loop {
            if let Some(input) = self.inputs.pop_front() {
                let accepted = match &input {
                    Input::Accepted { unit, .. } => Some(unit.clone()),
                    _ => None,
                };
                let effects = self.manager.step(self.now, &mut self.machine, input);
                for effect in effects {
                    self.perform(effect);
                }
                // The next one in the queue.
                let more = |unit: &String| self.listening.get(unit).is_some_and(|l| l.watched && l.waiting > 0);
                if let Some(unit) = accepted.filter(more) {
                    let input = self.traffic(&unit);
                    self.inputs.push_back(input);
                }
                continue;
            }
            let Some(Reverse(moment)) = self.moments.peek().copied() else { return };
            if moment.at > self.now {
                return;
            }
            self.moments.pop();
            let current = self.machine.processes.get(&moment.pid).map(|process| process.doing);
            if matches!(current, Some(Doing::Ready)) || current == Some(Doing::Until(moment.number)) {
                self.run_process(moment.pid);
            }
        }
    }

    fn wake(&mut self, pid: Pid, at: IncidentTime) -> u64 {
        self.counter += 1;
        self.moments.push(Reverse(Moment { at, number: self.counter, pid }));
        self.counter
    }

    /// Lets a process act until it has to wait for something.
    fn run_process(&mut self, pid: Pid) {
        while let Some(act) = self.machine.next_act(pid) {
            self.acts += 1;
            if self.acts > MOST_ACTS {
                // A program that never lets time pass would hang the model: it ends as if it had been aborted.
                return self.end(pid, Exit::Signal(6));
            }
            let doing = match act {
                Act::Sleep(span) | Act::Work(span) => {
                    if matches!(act, Act::Work(_)) {
                        let unit = self.machine.processes.get(&pid).and_then(|process| process.unit.clone());
                        self.machine.spend(unit.as_deref(), span);
                    }
                    Doing::Until(self.wake(pid, self.now + span))
                }
                Act::End(exit) => return self.end(pid, exit),
                Act::Bind { port, or } => {
                    if self.machine.ports.contains_key(&port) {
                        return self.end(pid, or);
                    }
                    self.machine.ports.insert(port, pid);
                    if let Some(process) = self.machine.processes.get_mut(&pid) {
                        process.ports.push(port);
                    }
                    self.happened.push((self.now, Happened::Bound(port, pid)));
                    continue;
                }
                Act::Accept => {
                    let sockets = self.machine.processes.get(&pid).map(|process| process.sockets.clone());
                    for socket in sockets.unwrap_or_default() {
                        if let Some(listening) = self.listening.get_mut(&socket) {
                            listening.waiting = 0;
                        }
                    }
                    continue;
                }
                Act::Fork(program) => {
                    let child = self.machine.fork();
                    let unit = self.machine.processes.get_mut(&pid).and_then(|process| {
                        process.last_child = child;
                        process.children += 1;
                        process.unit.clone()
                    });
                    self.machine.start(child, unit.as_deref(), *program, pid);
                    self.wake(child, self.now);
                    continue;
                }
                Act::Raise(signal) => match self.machine.deliver(pid, signal) {
                    Delivered::Nothing | Delivered::Turns => continue,
                    Delivered::Ends(exit) => return self.end(pid, exit),
                },
                Act::Wait => {
                    let child = self.machine.processes.get(&pid).map_or(0, |process| process.last_child);
                    match self.machine.processes.get(&child) {
                        Some(process) if process.parent == pid => Doing::Child(child),
                        _ => continue,
                    }
                }
                Act::Write { path, content } => {
                    self.machine.files.insert(path, content);
                    self.tell_of_files();
                    continue;
                }
                Act::WritePid { path, child } => {
                    let last = self.machine.processes.get(&pid).map_or(0, |process| process.last_child);
                    let number = if child { last } else { pid };
                    self.machine.files.insert(path, format!("{number}\n").into_bytes());
                    self.tell_of_files();
                    continue;
                }
                Act::Notify(text) => {
                    let unit = self.machine.processes.get(&pid).and_then(|process| process.unit.clone());
                    self.inputs.push_back(Input::Notify {
                        pid,
                        unit,
                        text: text.into_bytes(),
                        descriptors: Vec::new(),
                    });
                    continue;
                }
                Act::Exec(program) => {
                    if let Some(process) = self.machine.processes.get_mut(&pid) {
                        let ignored = std::mem::take(&mut process.program.reactions);
                        process.program = *program;
                        let ignored = ignored.into_iter().filter(|(_, reaction)| *reaction == Reaction::Ignore);
                        process.program.reactions.extend(ignored);
                        process.next = 0;
                    }
                    continue;
                }
                Act::Again(index) => {
                    if let Some(process) = self.machine.processes.get_mut(&pid) {
                        process.next = index;
                    }
                    continue;
                }
                Act::Serve => Doing::Serving,
            };
            if let Some(process) = self.machine.processes.get_mut(&pid) {
                process.doing = doing;
            }
            return;
        }
    }

    /// A file was written, which the manager may be waiting for.
    fn tell_of_files(&mut self) {
        if self.manager.awaits_files() {
            self.inputs.push_back(Input::Elapsed);
        }
    }

    /// A process ends: its parent is told, and the manager is if it is the parent.
    fn end(&mut self, pid: Pid, exit: Exit) {
        let Some((parent, unit, empty)) = self.machine.bury(pid) else { return };
        self.happened.push((self.now, Happened::Ended { unit: unit.clone(), pid, exit }));
        match self.machine.processes.get_mut(&parent) {
            Some(process) => {
                if process.doing == Doing::Child(pid) {
                    process.doing = Doing::Ready;
                    self.wake(parent, self.now);
                }
            }
            None => self.inputs.push_back(Input::Exited { pid, exit }),
        }
        if let Some(unit) = unit.filter(|_| empty) {
            self.inputs.push_back(Input::CgroupEmpty { unit });
        }
    }

    fn deliver(&mut self, pid: Pid, signal: i32) {
        match self.machine.deliver(pid, signal) {
            Delivered::Nothing => {}
            Delivered::Turns => {
                self.wake(pid, self.now);
            }
            Delivered::Ends(exit) => self.end(pid, exit),
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Journal(message) => self.happened.push((self.now, Happened::Logged(message))),
            Effect::Spawn(spawn) => self.spawn(&spawn),
            Effect::Signal { pid, signal } => self.deliver(pid, signal),
            Effect::Reply { id, reply } => self.happened.push((self.now, Happened::Replied(id, reply))),
            Effect::JobRemoved { job, unit, result } => {
                self.happened.push((self.now, Happened::JobRemoved(job, unit.into(), result)));
            }
            Effect::Symlink { path, target } => {
                self.machine.unit_files.entries.insert(path, FileEntry::Symlink { target });
            }
            Effect::Remove { path } => {
                self.machine.unit_files.entries.remove(&path);
                self.machine.files.remove(&path);
            }
            Effect::Listen { unit, socket } => {
                // Datagrams have ports of their own.
                let addresses = || socket.listen.iter().filter(|listen| listen.kind == ListenKind::Stream);
                let port =
                    |listen: &Listen| listen.address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
                let taken = |listen: &&Listen| port(listen).is_some_and(|p| self.machine.ports.contains_key(&p));
                let result = match addresses().find(taken) {
                    Some(listen) => Err((listen.address.clone(), Errno::EADDRINUSE)),
                    None => {
                        let ports: Vec<u16> = addresses().filter_map(port).collect();
                        self.machine.ports.extend(ports.iter().map(|port| (*port, MANAGER)));
                        self.listening.insert(
                            unit.clone(),
                            Listening { ports, accept: socket.accept, watched: false, waiting: 0 },
                        );
                        Ok(())
                    }
                };
                self.inputs.push_back(Input::Listening { unit, result, links: Vec::new() });
            }
            // Nobody is at its other end here.
            Effect::CloseConnection { .. } | Effect::CloseDescriptor { .. } => {}
            Effect::CloseListen { unit, .. } => {
                for port in self.listening.remove(&unit).into_iter().flat_map(|listening| listening.ports) {
                    self.machine.ports.remove(&port);
                }
            }
            Effect::Watch { unit, on } => {
                if let Some(listening) = self.listening.get_mut(&unit) {
                    listening.watched = on;
                    if on && listening.waiting > 0 {
                        let input = self.traffic(&unit);
                        self.inputs.push_back(input);
                    }
                }
            }
            Effect::Flush { unit } => {
                if let Some(listening) = self.listening.get_mut(&unit) {
                    listening.waiting = 0;
                }
            }
            Effect::Reboot => {
                self.power_off();
                self.inputs.push_back(Input::Boot);
            }
            Effect::Poweroff => self.power_off(),
        }
    }

    fn power_off(&mut self) {
        self.machine.processes.clear();
        self.machine.groups.clear();
        self.machine.ports.clear();
        self.machine.cpu.clear();
        self.moments.clear();
        self.inputs.clear();
        self.listening.clear();
    }

    fn spawn(&mut self, spawn: &Spawn) {
        let (pid, unit) = (spawn.pid, &spawn.unit);
        if spawn.role == crate::manager::ExecRole::Start {
            self.machine.cpu.insert(unit.to_string(), Span::ZERO);
        }
        let happened = Happened::Started { unit: unit.to_string(), pid, role: spawn.role };
        self.happened.push((self.now, happened));
        match (self.launcher)(spawn, &mut self.machine) {
            Launch::Runs(mut program) => {
                if spawn.program.ignore_sigpipe {
                    program.reactions.entry(SIGPIPE).or_insert(Reaction::Ignore);
                }
                self.machine.start(pid, Some(unit), program, MANAGER);
                if let Some(process) = self.machine.processes.get_mut(&pid) {
                    process.sockets = spawn.sockets.iter().map(|(socket, _)| socket.clone()).collect();
                }
                self.inputs.push_back(Input::Executed { pid });
                self.wake(pid, self.now);
            }
            Launch::Fails(failure) => {
                self.inputs.push_back(Input::ExecFailed { pid, failure });
                if self.machine.processes(unit).is_empty() {
                    self.inputs.push_back(Input::CgroupEmpty { unit: unit.to_string() });
                }
            }
        }
    }
}
