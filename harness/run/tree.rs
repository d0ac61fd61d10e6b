//! The processes of a run: who exists, who runs, who waits and for what.
//!
//! Everything that is asked or reported is collected while anybody runs, and handed out one at a time, in a fixed
//! order, once nobody does. That order (by the number a process got when it was first served) and not the order of
//! arrival is what makes two runs equal.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::guard::Guard;
use super::quiet::Foreign;
use super::{Cancel, Fault};
use crate::control::{Answer, Decoder, Note, Query, Status, ToGuard, ToProcess, ToRun, Welcome, encode};
use crate::sys::process;
use crate::time::{IncidentTime, Span};

/// Numbers the processes of a run in the order in which they were first served.
pub(super) type ProcessId = u64;
type ConnectionId = u64;

/// Where a process comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The manager started it, or one of its descendants is meant.
    Unit { unit: String, role: String },
    /// An operator's command, by number.
    Console(u32),
    /// The polling client.
    Client,
}

/// Something that wants to be served.
#[derive(Debug)]
pub(super) enum Pending {
    /// It was reaped.
    Ended(ProcessId, Status),
    /// It said hello; answer with [`Tree::welcome`].
    Hello(ProcessId),
    /// It asked; answer with [`Tree::answer`], now or later.
    Ask(ProcessId, Query),
}

/// What a process reported, in order.
#[derive(Debug)]
pub(super) enum Report {
    /// It said so.
    Note(Note),
    /// It wrote a line.
    Line(String),
}

#[derive(Debug)]
enum State {
    /// It will say hello: one of our executables that has just been started.
    Starting,
    /// It hung up and the guard will report its end.
    Ending,
    /// Not one of ours: looked at in /proc.
    Foreign,
    /// It said hello and waits to be welcomed.
    Greeting,
    Running,
    Waiting {
        seq: u64,
        deadline: Option<IncidentTime>,
        cpu: u8,
        connections: bool,
        since: IncidentTime,
    },
    /// It asked and waits to be served.
    Asking(Option<Query>),
    /// Served, the answer comes later.
    Asked,
    /// Its end is known and has been handed out.
    Ended,
}

/// One process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: ProcessId,
    /// Host PID.
    pub(super) host: i32,
    /// Incident PID, once it needed one.
    pub(super) pid: Option<u32>,
    pub(super) origin: Origin,
    pub(super) argv: Vec<String>,
    pub(super) started: IncidentTime,
    /// Whether it was welcomed as a stand-in server: its lines are log lines.
    pub(super) server: bool,
    /// Whether it is the shell of a console command.
    pub(super) is_command: bool,
    parent: Option<ProcessId>,
    /// The guard is its parent, so the guard reports its end.
    direct: bool,
    state: State,
    connection: Option<ConnectionId>,
    notes: Vec<(Note, u64)>,
    /// Where its standard output goes.
    stream: Option<usize>,
    /// Length of the stream when it was welcomed.
    stream_base: u64,
    has_children: bool,
    /// Stopped by a signal: quiet whatever it was about to do.
    stopped: bool,
    end: Option<Status>,
    announced: Option<u8>,
    last_signal: Option<i32>,
    quiet: u64,
    cpu: Span,
    greeting: Vec<String>,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    process: Option<ProcessId>,
}

/// A file that standard output goes to, read as it grows.
#[derive(Debug)]
struct Stream {
    /// The unit, or the number of the command.
    name: String,
    path: PathBuf,
    file: File,
    read: u64,
    partial: Vec<u8>,
}

/// A program to start.
pub(super) struct Start {
    pub(super) program: String,
    pub(super) argv: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: String,
    pub(super) origin: Origin,
    /// One of our own executables, which will say hello.
    pub(super) ours: bool,
    pub(super) pid: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) guard: Guard,
    listener: UnixListener,
    connections: BTreeMap<ConnectionId, Connection>,
    processes: BTreeMap<ProcessId, Process>,
    by_host: HashMap<i32, ProcessId>,
    streams: Vec<Stream>,
    stream_directory: PathBuf,
    stream_of: HashMap<ProcessId, usize>,
    socket: String,
    next_process: ProcessId,
    next_connection: ConnectionId,
    next_provisional: ProcessId,
    generation: u64,
    /// How often somebody took itself back to running.
    awakenings: u64,
    foreign: Foreign,
    /// Processes that nobody announced may exist.
    untracked: bool,
    stall: Duration,
    looked: Option<Instant>,
    cancel: Cancel,
    pub(super) now: IncidentTime,
}

/// How long a process may be silent before it is looked at.
const STOPPED: Duration = Duration::from_millis(20);

/// Processes that have not been served yet are numbered from here, in order of appearance; a served process gets its
/// final number. Nothing ever has so many.
const PROVISIONAL: ProcessId = 1 << 40;

impl Tree {
    pub(super) fn new(
        guard: Guard,
        socket: &Path,
        streams: &Path,
        stall: Duration,
        cancel: Cancel,
        now: IncidentTime,
    ) -> io::Result<Tree> {
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        Ok(Tree {
            guard,
            listener,
            connections: BTreeMap::new(),
            processes: BTreeMap::new(),
            by_host: HashMap::new(),
            streams: Vec::new(),
            stream_directory: streams.to_owned(),
            stream_of: HashMap::new(),
            socket: socket.to_string_lossy().into_owned(),
            next_process: 1,
            next_connection: 1,
            next_provisional: PROVISIONAL,
            generation: 0,
            awakenings: 0,
            foreign: Foreign::default(),
            untracked: false,
            stall,
            looked: None,
            cancel,
            now,
        })
    }

    // ---- what there is ----

    pub(super) fn get(&self, id: ProcessId) -> Option<&Process> {
        self.processes.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        self.processes.get_mut(&id)
    }

    /// Processes that have not ended, served ones first, in order.
    pub(super) fn alive(&self) -> impl Iterator<Item = &Process> {
        self.processes.values().filter(|process| process.end.is_none())
    }

    /// What the process executes now: the kernel's word for foreign processes, which may have changed their program.
    pub(super) fn current_argv(&self, process: &Process) -> Vec<String> {
        let greeted = !process.argv.is_empty() && (process.connection.is_some() || process.server);
        if greeted || process.is_command {
            return if process.is_command { vec!["-bash".to_owned()] } else { process.argv.clone() };
        }
        let now = process::cmdline(process.host);
        // A subshell that has executed nothing still has its shell's command line.
        let subshell =
            self.processes.values().any(|p| p.is_command && p.origin == process.origin && p.argv.join(" ") == now);
        if subshell { vec!["-bash".to_owned()] } else { now.split(' ').map(str::to_owned).collect() }
    }

    pub(super) fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.alive().find(|process| process.pid == Some(pid))
    }

    pub(super) fn by_host_pid(&self, host: i32) -> Option<&Process> {
        self.by_host.get(&host).and_then(|id| self.processes.get(id)).filter(|process| process.end.is_none())
    }

    /// CPU time that the process has used up to now.
    pub(super) fn cpu(&self, process: &Process) -> Span {
        match process.state {
            State::Waiting { cpu, since, .. } => process.cpu + share(self.now.since(since), cpu),
            _ => process.cpu,
        }
    }

    /// Whether it is busy as far as the incident is concerned.
    pub(super) fn is_busy(&self, process: &Process) -> bool {
        matches!(process.state, State::Waiting { cpu, .. } if cpu > 0)
    }

    // ---- doing ----

    /// Starts a program under the guard.
    pub(super) fn start(&mut self, start: Start) -> Result<Result<ProcessId, (bool, i32)>, Fault> {
        // All processes of a unit write to one file, one after the other; every command has its own.
        let name = match &start.origin {
            Origin::Unit { unit, .. } => unit.clone(),
            Origin::Console(number) => number.to_string(),
            Origin::Client => "client".to_owned(),
        };
        let index = match self.streams.iter().position(|stream| stream.name == name) {
            Some(index) => index,
            None => {
                let path = self.stream_directory.join(self.streams.len().to_string());
                let file = File::options().create(true).read(true).append(true).open(&path)?;
                self.streams.push(Stream { name, file, path, read: 0, partial: Vec::new() });
                self.streams.len() - 1
            }
        };
        let stdout = self.streams[index].path.to_string_lossy().into_owned();
        let Start { program, argv, mut environment, directory, origin, ours, pid } = start;
        let id = self.next_process;
        environment.push((crate::control::ENV_CONTROL.to_owned(), self.socket.clone()));
        environment.push((crate::control::ENV_ORIGIN.to_owned(), id.to_string()));
        let request = (program, argv.clone(), environment, directory, stdout);
        let host = match self.guard.spawn(move |id| {
            let (program, argv, environment, directory, stdout) = request;
            ToGuard::Spawn { id, program, argv, environment, directory, stdout, stderr: None }
        })? {
            Ok(host) => host,
            Err(why) => return Ok(Err(why)),
        };
        self.stream_of.insert(id, index);
        self.next_process += 1;
        let mut process = Process::new(id, host, origin, argv, self.now);
        process.pid = pid;
        process.direct = true;
        process.stream = Some(index);
        process.state = if ours { State::Starting } else { State::Foreign };
        self.untracked |= !ours;
        self.by_host.insert(host, id);
        self.processes.insert(id, process);
        Ok(Ok(id))
    }

    /// Sends a signal to a live process.
    pub(super) fn signal(&mut self, id: ProcessId, signal: i32) -> Result<bool, Fault> {
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.end.is_none()) else {
            return Ok(false);
        };
        if signal != 0 {
            process.last_signal = Some(signal);
            let host = process.host;
            self.guard.signal(host, signal)?;
            // The signal must be pending before anything is decided on.
            self.guard.sync()?;
            self.foreign.disturbed();
        }
        Ok(true)
    }

    pub(super) fn welcome(&mut self, id: ProcessId, welcome: Welcome) -> Result<(), Fault> {
        let server = matches!(welcome.role, crate::control::Role::Server(_));
        let mut base = 0;
        if let Some(index) = self.processes.get(&id).and_then(|process| process.stream) {
            let stream = &mut self.streams[index];
            base = stream.file.metadata()?.len();
            if server {
                // What a shell before it has printed is not the server's.
                stream.read = base;
            }
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.state = State::Running;
            process.stream_base = base;
            process.server = server;
        }
        self.tell(id, &ToProcess::Welcome(Box::new(welcome)))
    }

    pub(super) fn answer(&mut self, id: ProcessId, answer: Answer) -> Result<(), Fault> {
        if let Some(process) = self.processes.get_mut(&id) {
            process.state = State::Running;
        }
        self.tell(id, &ToProcess::Answer(answer))
    }

    /// Ends the wait of one process.
    pub(super) fn wake(&mut self, id: ProcessId) -> Result<(), Fault> {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else { return Ok(()) };
        if let State::Waiting { seq, .. } = process.state {
            process.run_again(now);
            self.tell(id, &ToProcess::Woken { seq, now })?;
        }
        Ok(())
    }

    fn tell(&mut self, id: ProcessId, message: &ToProcess) -> Result<(), Fault> {
        let Some(connection) =
            self.processes.get(&id).and_then(|process| process.connection).and_then(|id| self.connections.get_mut(&id))
        else {
            return Ok(());
        };
        // A process that died meanwhile is reported by the guard.
        let _ = io::Write::write_all(&mut connection.stream, &encode(message)?);
        Ok(())
    }

    /// The earliest deadline of anybody who waits, ties broken by number.
    pub(super) fn earliest(&self) -> Option<(IncidentTime, ProcessId)> {
        self.processes
            .values()
            .filter_map(|process| match process.state {
                State::Waiting { deadline: Some(deadline), .. } => Some((deadline, process.id)),
                _ => None,
            })
            .min()
    }

    // ---- hearing ----

    /// Takes in what processes and the guard have said; waits for it up to `timeout`. True if anything came.
    pub(super) fn pump(&mut self, timeout: Duration) -> Result<bool, Fault> {
        if self.cancel.is_set() {
            return Err(Fault::Canceled);
        }
        let mut heard = self.take_ended();
        let ready: Vec<bool>;
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        {
            let mut fds = vec![
                PollFd::new(self.guard.socket().as_fd(), PollFlags::POLLIN),
                PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
            ];
            fds.extend(self.connections.values().map(|c| PollFd::new(c.stream.as_fd(), PollFlags::POLLIN)));
            // In slices, so that a request to end is seen.
            let millis = if heard { 0 } else { timeout.as_micros().div_ceil(1000).min(100) };
            let timeout = PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
            ready = fds.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty())).collect();
        }
        if ready[0] {
            self.guard.read()?;
            self.take_ended();
            heard = true;
        }
        if ready[1] {
            while let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(false)?;
                let id = self.next_connection;
                self.next_connection += 1;
                self.connections.insert(id, Connection { stream, decoder: Decoder::default(), process: None });
            }
            heard = true;
        }
        for (id, _) in ids.into_iter().zip(&ready[2..]).filter(|(_, ready)| **ready) {
            self.hear(id)?;
            heard = true;
        }
        Ok(heard)
    }

    fn take_ended(&mut self) -> bool {
        let mut any = false;
        while let Some((host, status)) = self.guard.next_ended() {
            any = true;
            if let Some(id) = self.by_host.remove(&host)
                && let Some(process) = self.processes.get_mut(&id)
            {
                process.ended(status, self.now);
            }
            self.foreign.disturbed();
        }
        any
    }

    fn hear(&mut self, id: ConnectionId) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let mut chunk = [0u8; 16384];
        let count = match connection.stream.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(_) => 0,
        };
        if count == 0 {
            return self.hung_up(id);
        }
        connection.decoder.push(&chunk[..count]);
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
            let Some(message) = connection.decoder.take::<ToRun>()? else { return Ok(()) };
            let process = connection.process;
            match (message, process) {
                (ToRun::Hello { argv, .. }, _) => self.hello(id, argv)?,
                (message, Some(process)) => self.said(process, message)?,
                (_, None) => return Err(io::Error::other("control protocol: the first message was no hello").into()),
            }
        }
    }

    fn hello(&mut self, id: ConnectionId, argv: Vec<String>) -> Result<(), Fault> {
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let host = getsockopt(&connection.stream, PeerCredentials).map_err(io::Error::from)?.pid();
        let process = match self.by_host.get(&host) {
            Some(known) => *known,
            None => match self.discover(host) {
                Some(found) => found,
                // Not of this run; nobody else has a reason to connect.
                None => {
                    self.connections.remove(&id);
                    return Ok(());
                }
            },
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.process = Some(process);
        }
        if let Some(process) = self.processes.get_mut(&process) {
            process.connection = Some(id);
            process.greeting = argv;
            process.state = State::Greeting;
        }
        Ok(())
    }

    fn said(&mut self, id: ProcessId, message: ToRun) -> Result<(), Fault> {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else { return Ok(()) };
        match message {
            ToRun::Note { note: Note::Exiting { code }, .. } => process.announced = Some(code),
            ToRun::Note { note: Note::Foreign, .. } => {
                process.has_children = true;
                self.untracked = true;
            }
            ToRun::Note { note, written } => process.notes.push((note, written)),
            ToRun::Wait { seq, deadline, cpu, connections, .. } => {
                process.state = State::Waiting { seq, deadline, cpu, connections, since: now };
            }
            ToRun::Awake { seq } => {
                // A wake that crossed with ours has been answered already.
                if matches!(process.state, State::Waiting { seq: waited, .. } if waited == seq) {
                    process.run_again(now);
                    self.awakenings += 1;
                    self.tell(id, &ToProcess::Woken { seq, now })?;
                }
            }
            ToRun::Quiet { generation } => process.quiet = generation,
            ToRun::Ask { query, .. } => process.state = State::Asking(Some(query)),
            ToRun::Hello { .. } => {}
        }
        Ok(())
    }

    fn hung_up(&mut self, id: ConnectionId) -> Result<(), Fault> {
        let Some(connection) = self.connections.remove(&id) else { return Ok(()) };
        if let Some(process) = connection.process.and_then(|process| self.processes.get_mut(&process)) {
            process.connection = None;
            if process.end.is_none() {
                // It ends, or it became another program: /proc and the guard will tell.
                process.run_again(self.now);
                if process.direct && !process.has_children {
                    process.state = State::Ending;
                } else {
                    process.state = State::Foreign;
                    self.untracked = true;
                }
            }
        }
        Ok(())
    }

    /// Takes up a process that nobody announced. `None` if it is not of this run.
    fn discover(&mut self, host: i32) -> Option<ProcessId> {
        let origin = process::environment(host, crate::control::ENV_ORIGIN)?.parse::<ProcessId>().ok()?;
        let look = process::look(host)?;
        let ancestor = self.processes.get(&origin)?;
        let (origin, stream) = (ancestor.origin.clone(), ancestor.stream);
        let parent = self.by_host.get(&look.ppid).copied();
        let id = self.next_provisional;
        self.next_provisional += 1;
        let argv = process::cmdline(host).split(' ').map(str::to_owned).collect();
        let mut found = Process::new(id, host, origin, argv, self.now);
        found.parent = parent;
        found.stream = stream;
        found.direct = look.ppid.unsigned_abs() == self.guard.pid();
        self.by_host.insert(host, id);
        self.processes.insert(id, found);
        self.untracked = true;
        Some(id)
    }

    // ---- lock-step ----

    /// Waits until nobody runs: every process of ours waits, asks or greets, every foreign one sleeps for a child
    /// or at a pipe.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        let begin = Instant::now();
        let stopped: Vec<ProcessId> =
            self.alive().filter(|process| process.stopped).map(|process| process.id).collect();
        for id in stopped {
            self.is_stopped(id);
        }
        let mut pause = Duration::from_micros(100);
        let mut last = None;
        loop {
            if self.pump(Duration::ZERO)? {
                last = None;
                continue;
            }
            let left = self.stall.saturating_sub(begin.elapsed());
            if let Some(runner) = self.runner() {
                if left.is_zero() {
                    return Err(self.stalled(runner));
                }
                if !self.pump(left.min(STOPPED))? {
                    self.is_stopped(runner);
                }
                last = None;
                continue;
            }
            if !self.untracked {
                return Ok(());
            }
            let look = self.look_around()?;
            match look {
                Some(print) if last.as_ref() == Some(&print) => return Ok(()),
                Some(print) => last = Some(print),
                None => {
                    last = None;
                    if let Some(fault) = self.foreign.verdict(begin.elapsed(), self.stall) {
                        return Err(fault);
                    }
                    self.pump(pause)?;
                    pause = (pause * 2).min(Duration::from_millis(5));
                }
            }
        }
    }

    /// Somebody of ours who runs.
    fn runner(&self) -> Option<ProcessId> {
        self.processes
            .values()
            .find(|process| {
                process.end.is_none()
                    && !process.stopped
                    && matches!(process.state, State::Starting | State::Running | State::Ending)
            })
            .map(|process| process.id)
    }

    /// Looks whether a process that does not answer is stopped.
    fn is_stopped(&mut self, id: ProcessId) -> bool {
        let Some(process) = self.processes.get_mut(&id) else { return false };
        process.stopped = process::look(process.host).is_some_and(|look| matches!(look.state, 'T' | 't'));
        process.stopped
    }

    fn stalled(&self, id: ProcessId) -> Fault {
        let Some(process) = self.processes.get(&id) else { return Fault::Canceled };
        Fault::Stalled {
            pid: process.pid,
            command: process.argv.join(" "),
            why: "neither slept, parked nor exited".to_owned(),
            after: self.stall,
        }
    }

    /// Under a wall clock nothing settles: ends that no one reports are looked for now and then.
    pub(super) fn look_for_orphans(&mut self) -> Result<(), Fault> {
        if self.untracked && self.looked.is_none_or(|last| last.elapsed() > Duration::from_millis(20)) {
            self.looked = Some(Instant::now());
            self.look_around()?;
        }
        Ok(())
    }

    /// One pass over all foreign processes: a fingerprint if all are quiet.
    fn look_around(&mut self) -> Result<Option<Vec<process::Look>>, Fault> {
        let hosts = process::descendants(self.guard.pid());
        for host in &hosts {
            if !self.by_host.contains_key(host) {
                self.discover(*host);
            }
        }
        let mut prints = Vec::new();
        let mut quiet = true;
        let mut foreign = false;
        self.foreign.begin();
        for host in &hosts {
            let connected = self
                .by_host
                .get(host)
                .and_then(|id| self.processes.get(id))
                .is_some_and(|process| process.connection.is_some());
            if connected {
                continue;
            }
            foreign = true;
            match process::look(*host) {
                Some(look) if self.foreign.is_quiet(&look) => prints.push(look),
                _ => quiet = false,
            }
        }
        // Whoever is known but no longer there has been reaped by a parent of its own, or by the guard.
        let missing: Vec<ProcessId> = self
            .processes
            .values()
            .filter(|process| process.end.is_none() && process.connection.is_none() && !hosts.contains(&process.host))
            .map(|process| process.id)
            .collect();
        if !missing.is_empty() {
            self.guard.sync()?;
            self.take_ended();
            for id in missing {
                self.vanished(id);
            }
            return Ok(None);
        }
        if !quiet {
            return Ok(None);
        }
        let parents = self.processes.values().any(|process| process.end.is_none() && process.has_children);
        if !foreign && !parents {
            self.untracked = false;
        }
        Ok(Some(prints))
    }

    /// A process that another process reaped: its end is what it announced, or what was done to it.
    fn vanished(&mut self, id: ProcessId) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.end.is_some() || process::look(process.host).is_some_and(|look| look.state != 'Z') {
            return;
        }
        let status = match (process.announced, process.last_signal) {
            (Some(code), _) => Status::Code(code),
            (None, Some(signal)) => Status::Signal(signal),
            (None, None) => Status::Code(0),
        };
        self.by_host.remove(&process.host);
        process.ended(status, now);
    }

    /// Asks everybody who waits whether anything is pending. False if somebody runs again.
    pub(super) fn barrier(&mut self) -> Result<bool, Fault> {
        self.generation += 1;
        let generation = self.generation;
        let waiting: Vec<ProcessId> = self
            .processes
            .values()
            .filter(|process| process.connection.is_some() && matches!(process.state, State::Waiting { .. }))
            .map(|process| process.id)
            .collect();
        for id in &waiting {
            self.tell(*id, &ToProcess::Probe { generation })?;
        }
        let begin = Instant::now();
        let awakenings = self.awakenings;
        for id in &waiting {
            while let Some(process) = self.processes.get(id) {
                // Whoever woke up may wait again already: its answer to this probe will never come, and it may have
                // woken others.
                if self.awakenings != awakenings || !matches!(process.state, State::Waiting { .. }) {
                    return Ok(false);
                }
                if process.quiet == generation {
                    break;
                }
                if begin.elapsed() > self.stall {
                    return Err(self.stalled(*id));
                }
                if !self.pump(STOPPED)? && self.is_stopped(*id) {
                    break;
                }
            }
        }
        let still = |id: &ProcessId| {
            self.processes.get(id).is_some_and(|process| matches!(process.state, State::Waiting { .. }))
        };
        if self.awakenings != awakenings || !waiting.iter().all(still) {
            return Ok(false);
        }
        // A message in flight keeps its sender's or receiver's queue filled until it has been read.
        let talks =
            self.processes.values().any(|process| matches!(process.state, State::Waiting { connections: true, .. }));
        Ok(!(talks && self.foreign.data_in_flight()))
    }

    /// Ports whose connections may hold data in flight.
    pub(super) fn watch_ports(&mut self, ports: Vec<u16>) {
        self.foreign.watch_ports(ports);
    }

    /// The next thing to serve, in the fixed order: ends, then hellos and questions, each by number.
    pub(super) fn pending(&mut self) -> Option<Pending> {
        if let Some(process) = self.processes.values_mut().find(|p| p.end.is_some() && !p.is_over()) {
            process.state = State::Ended;
            let id = process.id;
            let status = process.end?;
            return Some(Pending::Ended(id, status));
        }
        let id = self
            .processes
            .values()
            .filter(|process| matches!(process.state, State::Greeting | State::Asking(Some(_))))
            .map(|process| match process.id {
                known if known < PROVISIONAL => (Vec::new(), known),
                unknown => (self.age(process), unknown),
            })
            .min()?
            .1;
        let id = self.served(id);
        let process = self.processes.get_mut(&id)?;
        match &mut process.state {
            State::Greeting => {
                process.argv = std::mem::take(&mut process.greeting);
                Some(Pending::Hello(id))
            }
            State::Asking(query) => {
                let query = query.take()?;
                process.state = State::Asked;
                Some(Pending::Ask(id, query))
            }
            _ => None,
        }
    }

    /// For processes that were never served: the order of birth, generation by generation. Siblings are born in the
    /// order in which their parent forks; which of two cousins is first is for the scheduler to say, so their
    /// parents decide.
    fn age(&self, process: &Process) -> Vec<u64> {
        let mut chain = Vec::new();
        let mut host = process.host;
        while let Some(look) =
            process::look(host).filter(|_| host.unsigned_abs() != self.guard.pid() && chain.len() < 64)
        {
            // A smaller PID than the parent's: the numbers have wrapped around.
            let wrapped = u64::from(host < look.ppid) << 32;
            chain.push(wrapped | u64::from(host.unsigned_abs()));
            host = look.ppid;
        }
        chain.reverse();
        chain
    }

    /// Gives a process its final number.
    fn served(&mut self, id: ProcessId) -> ProcessId {
        if id < PROVISIONAL {
            return id;
        }
        let Some(mut process) = self.processes.remove(&id) else { return id };
        let new = self.next_process;
        self.next_process += 1;
        process.id = new;
        self.by_host.insert(process.host, new);
        if let Some(connection) = process.connection.and_then(|connection| self.connections.get_mut(&connection)) {
            connection.process = Some(new);
        }
        self.processes.insert(new, process);
        for child in self.processes.values_mut().filter(|child| child.parent == Some(id)) {
            child.parent = Some(new);
        }
        new
    }

    /// Gives all live processes a final number, in order of birth: they are about to be shown.
    pub(super) fn serve_all(&mut self) {
        let mut strangers: Vec<(Vec<u64>, ProcessId)> = self
            .alive()
            .filter(|process| process.id >= PROVISIONAL)
            .map(|process| (self.age(process), process.id))
            .collect();
        strangers.sort_unstable();
        for (_, id) in strangers {
            self.served(id);
        }
    }

    pub(super) fn parent(&self, process: &Process) -> Option<&Process> {
        let host = process::look(process.host)?.ppid;
        self.by_host_pid(host)
    }

    // ---- reports ----

    /// What processes have said and written since the last call, process by process in order.
    pub(super) fn reports(&mut self) -> Result<Vec<(ProcessId, Report)>, Fault> {
        let mut out = Vec::new();
        for process in self.processes.values_mut() {
            let id = process.id;
            for (note, written) in process.notes.drain(..) {
                if let Some(index) = process.stream {
                    let until = process.stream_base + written;
                    self.streams[index].lines(Some(until), |line| out.push((id, Report::Line(line))))?;
                }
                out.push((id, Report::Note(note)));
            }
            // What a command prints is its output; only a server's lines are log lines, in whoever's file.
            let reads = process.server || matches!(process.origin, Origin::Unit { .. });
            if let Some(index) = process.stream.filter(|_| reads && !process.is_over()) {
                self.streams[index].lines(None, |line| out.push((id, Report::Line(line))))?;
                if process.end.is_some() && process.direct {
                    self.streams[index].last_line(|line| out.push((id, Report::Line(line))));
                }
            }
        }
        Ok(out)
    }

    /// Everything that was written so far where the process `id` writes; it may have ended.
    pub(super) fn stream_of(&self, id: ProcessId) -> Result<Vec<u8>, Fault> {
        let index = self.stream_of.get(&id).ok_or_else(|| io::Error::other("no such process"))?;
        Ok(std::fs::read(&self.streams[*index].path)?)
    }

    /// Forgets processes whose end has been handed out.
    pub(super) fn forget_ended(&mut self) {
        self.processes.retain(|_, process| !process.is_over());
    }

    /// Waits until a set of processes is gone: for a reboot.
    pub(super) fn kill_all(&mut self) -> Result<(), Fault> {
        let begin = Instant::now();
        loop {
            let hosts = process::descendants(self.guard.pid());
            let client: Vec<i32> =
                self.alive().filter(|process| process.origin == Origin::Client).map(|process| process.host).collect();
            let hosts: Vec<i32> = hosts
                .into_iter()
                .filter(|host| !client.contains(host) && process::look(*host).is_some_and(|look| look.state != 'Z'))
                .collect();
            if hosts.is_empty() {
                self.guard.sync()?;
                self.take_ended();
                self.untracked = true;
                return Ok(());
            }
            for host in hosts {
                self.guard.signal(host, 9)?;
            }
            self.guard.sync()?;
            self.pump(Duration::from_millis(1))?;
            if begin.elapsed() > self.stall {
                return Err(Fault::Stalled {
                    pid: None,
                    command: "reboot".to_owned(),
                    why: "could not kill every process".to_owned(),
                    after: self.stall,
                });
            }
        }
    }
}

impl Process {
    fn new(id: ProcessId, host: i32, origin: Origin, argv: Vec<String>, now: IncidentTime) -> Process {
        Process {
            id,
            host,
            pid: None,
            origin,
            argv,
            started: now,
            server: false,
            is_command: false,
            parent: None,
            direct: false,
            state: State::Foreign,
            connection: None,
            notes: Vec::new(),
            stream: None,
            stream_base: 0,
            has_children: false,
            stopped: false,
            end: None,
            announced: None,
            last_signal: None,
            quiet: 0,
            cpu: Span::ZERO,
            greeting: Vec::new(),
        }
    }

    fn run_again(&mut self, now: IncidentTime) {
        if let State::Waiting { cpu, since, .. } = self.state {
            self.cpu = self.cpu + share(now.since(since), cpu);
        }
        self.state = State::Running;
    }

    /// Whether its end has been handed out.
    fn is_over(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn ended(&mut self, status: Status, now: IncidentTime) {
        self.run_again(now);
        self.end = Some(status);
    }
}

fn share(span: Span, percent: u8) -> Span {
    Span::from_micros(span.as_micros() / 100 * u64::from(percent))
}

impl Stream {
    /// Reads whole lines up to the position, or to the end.
    fn lines(&mut self, until: Option<u64>, mut line: impl FnMut(String)) -> Result<(), Fault> {
        loop {
            let mut chunk = [0u8; 8192];
            let room =
                until.map_or(chunk.len() as u64, |until| until.saturating_sub(self.read).min(chunk.len() as u64));
            let want = usize::try_from(room).unwrap_or(chunk.len());
            if want == 0 {
                return Ok(());
            }
            let count = self.file.read_at(&mut chunk[..want], self.read)?;
            if count == 0 {
                return Ok(());
            }
            self.read += count as u64;
            self.partial.extend_from_slice(&chunk[..count]);
            while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let rest = self.partial.split_off(end + 1);
                let bytes = std::mem::replace(&mut self.partial, rest);
                line(String::from_utf8_lossy(&bytes[..end]).into_owned());
            }
        }
    }

    /// What is left without a newline when its writer is gone.
    fn last_line(&mut self, mut line: impl FnMut(String)) {
        if !self.partial.is_empty() {
            let bytes = std::mem::take(&mut self.partial);
            line(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
