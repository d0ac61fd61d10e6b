//! The processes of a run: who exists, who runs, who waits and for what.
//!
//! Everything that is asked or reported is collected while anybody runs, and handed out one at a time, in a fixed
//! order, once nobody does. That order (by the number a process got when it was first served) and not the order of
//! arrival is what makes two runs equal.

mod act;
mod hear;
mod notify;
mod serve;
mod settle;
mod stream;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Cancel;
use super::guard::Guard;
use super::quiet::Foreign;
use crate::control::{Decoder, Note, Query, Sink, Status};
use crate::journal::Line;
use crate::sys::notify::{Descriptor, NotifySocket};
use crate::sys::process;
use crate::time::{IncidentTime, Span};
use notify::Notices;
pub(in crate::run) use notify::{Notice, complaint};
use stream::Stream;

/// Numbers the processes of a run in the order in which they were first served.
pub(in crate::run) type ProcessId = u64;
type ConnectionId = u64;

/// Where a process comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::run) enum Origin {
    /// The manager started it, or one of its descendants is meant.
    Unit { unit: String, role: String },
    /// An operator's command, by number.
    Console(u32),
    /// The polling client.
    Client,
}

/// Something that wants to be served.
#[derive(Debug)]
pub(in crate::run) enum Pending {
    /// It has sent a notification.
    Notified(Notice),
    /// Nobody wants anything, but somebody was set free to go on.
    Nothing,
    /// It was reaped.
    Ended(ProcessId, Status),
    /// It said hello; answer with [`Tree::welcome`].
    Hello(ProcessId),
    /// It asked; answer with [`Tree::answer`], now or later.
    Ask(ProcessId, Query),
}

/// What a process reported, in order.
#[derive(Debug)]
pub(in crate::run) enum Report {
    /// It said so.
    Note(Note),
    /// It wrote a line.
    Line(Line),
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
        others: bool,
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
pub(in crate::run) struct Process {
    pub(in crate::run) id: ProcessId,
    /// Host PID.
    pub(in crate::run) host: i32,
    /// Incident PID, once it needed one.
    pub(in crate::run) pid: Option<u32>,
    pub(in crate::run) origin: Origin,
    pub(in crate::run) argv: Vec<String>,
    pub(in crate::run) started: IncidentTime,
    /// Whether it was welcomed as a stand-in server: its lines are log lines.
    pub(in crate::run) server: bool,
    /// Whether it is the shell of a console command.
    pub(in crate::run) is_command: bool,
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
    /// Whether a process of the run has reaped it, and not the guard, which stands for PID 1.
    reaped_by_parent: bool,
    announced: Option<u8>,
    /// It has said that it ends, and that it never had a connection.
    silent: bool,
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

/// A program to start.
pub(in crate::run) struct Start {
    pub(in crate::run) program: String,
    pub(in crate::run) argv: Vec<String>,
    pub(in crate::run) environment: Vec<(String, String)>,
    pub(in crate::run) directory: String,
    pub(in crate::run) origin: Origin,
    /// One of our own executables, which will say hello.
    pub(in crate::run) ours: bool,
    pub(in crate::run) pid: Option<u32>,
    /// What the kernel is to call it.
    pub(in crate::run) wanted_pid: Option<u32>,
    /// Standard output and error, `None`: the unit's or command's own file, which is read as it grows.
    pub(in crate::run) output: (Option<Sink>, Option<Sink>),
    pub(in crate::run) umask: u32,
    pub(in crate::run) ignore_sigpipe: bool,
    /// Descriptors that it gets, from 3 on.
    pub(in crate::run) descriptors: Vec<OwnedFd>,
    /// Descriptors that were sent with notifications, after those.
    pub(in crate::run) stored: Vec<Arc<Descriptor>>,
    /// Which of the standard streams are the first of the descriptors.
    pub(in crate::run) socket_streams: [bool; 3],
    /// Whether variables that name it by its PID have to hold for the host: somebody else's program compares them.
    pub(in crate::run) own_pid: bool,
}

/// Signals that nobody dies of: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH (signal(7)).
pub(in crate::run) const HARMLESS: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];

/// Where processes find what a run has for them.
pub(in crate::run) struct Places<'a> {
    /// The control protocol's socket.
    pub(in crate::run) socket: &'a Path,
    /// The notify socket.
    pub(in crate::run) notify: &'a Path,
    /// The run's directory, for what they print.
    pub(in crate::run) directory: &'a Path,
    /// The file of our `kill`.
    pub(in crate::run) kill_command: String,
    /// A file with the shell function that calls it.
    pub(in crate::run) kill_function: String,
}

/// The mask of an operator's shell.
pub(in crate::run) const UMASK: u32 = 0o022;

#[derive(Debug)]
pub(in crate::run) struct Tree {
    pub(in crate::run) guard: Guard,
    listener: UnixListener,
    connections: BTreeMap<ConnectionId, Connection>,
    processes: BTreeMap<ProcessId, Process>,
    by_host: HashMap<i32, ProcessId>,
    streams: Vec<Stream>,
    directory: PathBuf,
    /// Every process that was started here, also those that have ended: where it came from and where it wrote.
    started: HashMap<ProcessId, (Origin, usize)>,
    socket: String,
    next_process: ProcessId,
    next_connection: ConnectionId,
    next_provisional: ProcessId,
    generation: u64,
    /// Everybody who waits has said that nothing is pending, and nothing has happened since.
    confirmed: bool,
    /// How often somebody took itself back to running.
    awakenings: u64,
    foreign: Foreign,
    notices: Notices,
    /// Processes that nobody announced may exist.
    untracked: bool,
    /// Started since nobody ran last.
    fresh: Vec<ProcessId>,
    stall: Duration,
    looked: Option<Instant>,
    cancel: Cancel,
    /// Somebody listens in another's place: who connects need not wait for an answer.
    connections_expected: bool,
    /// Whether anybody may have sent something on a connection since it was last known that nothing is on its way. Of others'
    /// programs the last look tells.
    sent: bool,
    looks: Vec<process::Look>,
    /// What was seen when nobody ran, while it tells of everybody who has to be looked at.
    quiet: Option<settle::Print>,
    /// Files of those who are, by host PID.
    watches: HashMap<i32, process::Watch>,
    /// The foreign process that was not quiet in the last look.
    busy: Option<i32>,
    /// Whether a signal was sent that somebody who waits may not have noticed yet.
    signalled: bool,
    pub(in crate::run) now: IncidentTime,
    /// Who waits for others and has not been woken since one of them ended or began.
    hopeful: BTreeSet<ProcessId>,
    /// The file of our `kill`, and one with the shell function that calls it.
    kill_command: String,
    kill_function: String,
}

/// Processes that have not been served yet are numbered from here, in order of appearance; a served process gets its
/// final number. Nothing ever has so many.
const PROVISIONAL: ProcessId = 1 << 40;

impl Tree {
    pub(in crate::run) fn new(
        guard: Guard,
        places: Places<'_>,
        stall: Duration,
        cancel: Cancel,
        now: IncidentTime,
    ) -> io::Result<Tree> {
        let Places { socket, notify, directory, kill_command, kill_function } = places;
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        Ok(Tree {
            guard,
            listener,
            connections: BTreeMap::new(),
            processes: BTreeMap::new(),
            by_host: HashMap::new(),
            streams: Vec::new(),
            directory: directory.to_owned(),
            started: HashMap::new(),
            socket: socket.to_string_lossy().into_owned(),
            next_process: 1,
            next_connection: 1,
            next_provisional: PROVISIONAL,
            generation: 0,
            confirmed: false,
            awakenings: 0,
            foreign: Foreign::default(),
            notices: Notices::new(NotifySocket::bind(notify)?),
            untracked: false,
            fresh: Vec::new(),
            stall,
            looked: None,
            cancel,
            connections_expected: false,
            sent: true,
            looks: Vec::new(),
            quiet: None,
            watches: HashMap::new(),
            busy: None,
            signalled: false,
            hopeful: BTreeSet::new(),
            now,
            kill_command,
            kill_function,
        })
    }

    // ---- what there is ----

    pub(in crate::run) fn get(&self, id: ProcessId) -> Option<&Process> {
        self.processes.get(&id)
    }

    pub(in crate::run) fn get_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        self.processes.get_mut(&id)
    }

    /// Processes that have not ended, served ones first, in order.
    pub(in crate::run) fn alive(&self) -> impl Iterator<Item = &Process> {
        self.processes.values().filter(|process| process.end.is_none())
    }

    /// As `alive`, and those whose end has not been handed out.
    pub(in crate::run) fn all(&self) -> impl Iterator<Item = &Process> {
        self.processes.values().filter(|process| !process.is_over())
    }

    /// What the process executes now: the kernel's word for foreign processes, which may have changed their program.
    pub(in crate::run) fn current_argv(&self, process: &Process) -> Vec<String> {
        if matches!(process.state, State::Greeting) {
            // It has not been welcomed, but who asks now must not see the shell that it was before its exec.
            return process.greeting.clone();
        }
        let greeted = !process.argv.is_empty() && (process.connection.is_some() || process.server);
        if greeted || process.is_command {
            return if process.is_command { vec!["-bash".to_owned()] } else { process.argv.clone() };
        }
        let now = process::argv(process.host);
        // A subshell that has executed nothing still has its shell's command line.
        let subshell = self.processes.values().any(|p| p.is_command && p.origin == process.origin && p.argv == now);
        if subshell { vec!["-bash".to_owned()] } else { now }
    }

    /// The kernel's name of what the process executes now.
    pub(in crate::run) fn comm(&self, process: &Process) -> String {
        let argv = self.current_argv(process);
        let ours = process.is_command || process.connection.is_some() || process.server;
        // A script has the name of its file, which is not in its argv; an operator's shell is one of ours.
        let kernel = if ours || argv == ["-bash"] { String::new() } else { process::comm(process.host) };
        if kernel.is_empty() { comm_of(&argv).trim_start_matches('-').to_owned() } else { kernel }
    }

    pub(in crate::run) fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.alive().find(|process| process.pid == Some(pid))
    }

    pub(in crate::run) fn by_host_pid(&self, host: i32) -> Option<&Process> {
        self.by_host.get(&host).and_then(|id| self.processes.get(id)).filter(|process| process.end.is_none())
    }

    /// CPU time that the process has used up to now.
    pub(in crate::run) fn cpu(&self, process: &Process) -> Span {
        match process.state {
            State::Waiting { cpu, since, .. } => process.cpu + share(self.now.since(since), cpu),
            _ => process.cpu,
        }
    }

    /// Whether it is busy as far as the incident is concerned.
    pub(in crate::run) fn is_busy(&self, process: &Process) -> bool {
        matches!(process.state, State::Waiting { cpu, .. } if cpu > 0)
    }

    /// The earliest deadline of anybody who waits, ties broken by number.
    pub(in crate::run) fn earliest(&self) -> Option<(IncidentTime, ProcessId)> {
        self.processes
            .values()
            .filter_map(|process| match process.state {
                State::Waiting { deadline: Some(deadline), .. } => Some((deadline, process.id)),
                _ => None,
            })
            .min()
    }
}

/// The kernel's name of a program.
pub(in crate::run) fn comm_of(argv: &[String]) -> String {
    let name = argv.first().map(|first| first.rsplit('/').next().unwrap_or(first)).unwrap_or_default();
    name.chars().take(15).collect()
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
            reaped_by_parent: false,
            announced: None,
            silent: false,
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

    /// Whether its end was none of PID 1's business: another process was its parent.
    pub(in crate::run) fn was_reaped_by_parent(&self) -> bool {
        self.reaped_by_parent
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
