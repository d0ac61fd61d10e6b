//! The processes of a run: who exists, who runs, who waits and for what.
//!
//! Everything that is asked or reported is collected while anybody runs, and handed out one at a time, in a fixed
//! order, once nobody does. That order (by the number a process got when it was first served) and not the order of
//! arrival is what makes two runs equal.

mod hear;
mod notify;
mod serve;
mod settle;
mod stream;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::guard::Guard;
use super::quiet::Foreign;
use super::{Cancel, Fault};
use crate::control::{Answer, Decoder, ENV_KILL, Launch, Note, Query, Sink, Status, Step, ToProcess, Welcome, encode};
use crate::journal::{Line, StreamBuffer};
use crate::sys::notify::{Descriptor, NotifySocket};
use crate::sys::process;
use crate::time::{IncidentTime, Span};
use crate::unit::signal::SIGKILL;
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
    /// The directory of what they print.
    pub(in crate::run) streams: &'a Path,
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
    stream_directory: PathBuf,
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
        let Places { socket, notify, streams, kill_command, kill_function } = places;
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

    // ---- doing ----

    /// Starts a program under the guard.
    pub(in crate::run) fn start(&mut self, start: Start) -> Result<Result<ProcessId, (Step, i32)>, Fault> {
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
                self.streams.push(Stream { name, file, path, read: 0, known: None, buffer: StreamBuffer::default() });
                self.streams.len() - 1
            }
        };
        let journal = Sink::Append(self.streams[index].path.to_string_lossy().into_owned());
        let Start { argv, mut environment, origin, ours, output, .. } = start;
        let owned = start.descriptors.iter().map(AsRawFd::as_raw_fd);
        let numbers: Vec<RawFd> = owned.chain(start.stored.iter().map(|stored| stored.number())).collect();
        let (stdout, stderr) = (output.0.unwrap_or_else(|| journal.clone()), output.1.unwrap_or(journal));
        let stderr = (stderr != stdout).then_some(stderr);
        let id = self.next_process;
        environment.push((crate::control::ENV_CONTROL.to_owned(), self.socket.clone()));
        environment.push((crate::control::ENV_ORIGIN.to_owned(), id.to_string()));
        environment.push((ENV_KILL.to_owned(), self.kill_command.clone()));
        // For scripts that nobody could write the function into; shells that are not bash have nothing like it.
        environment.push(("BASH_ENV".to_owned(), self.kill_function.clone()));
        let launch = Launch {
            program: start.program,
            argv: argv.clone(),
            environment,
            directory: start.directory,
            stdout,
            stderr,
            umask: start.umask,
            ignore_sigpipe: start.ignore_sigpipe,
            descriptors: u32::try_from(numbers.len()).unwrap_or(u32::MAX),
            socket_streams: start.socket_streams,
            own_pid: start.own_pid,
            pid: start.wanted_pid,
        };
        let host = match self.guard.spawn(&numbers, launch)? {
            Ok(host) => host,
            Err(why) => return Ok(Err(why)),
        };
        self.started.insert(id, (origin.clone(), index));
        self.next_process += 1;
        self.fresh.push(id);
        let mut process = Process::new(id, host, origin, argv, self.now);
        process.pid = start.pid;
        process.direct = true;
        process.stream = Some(index);
        process.state = if ours { State::Starting } else { State::Foreign };
        if !ours {
            self.has_strangers();
        }
        self.by_host.insert(host, id);
        self.processes.insert(id, process);
        Ok(Ok(id))
    }

    /// Whether nobody has waited yet for what the process does first.
    pub(in crate::run) fn is_fresh(&self, id: ProcessId) -> bool {
        self.fresh.contains(&id)
    }

    /// Sends a signal to a live process.
    pub(in crate::run) fn signal(&mut self, id: ProcessId, signal: i32) -> Result<bool, Fault> {
        // A PID whose process has been reaped meanwhile is nobody's, or a stranger's.
        self.take_ended()?;
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.end.is_none()) else {
            return Ok(false);
        };
        if signal != 0 {
            if !HARMLESS.contains(&signal) {
                process.last_signal = Some(signal);
            }
            let host = process.host;
            self.guard.signal(host, signal)?;
            // The signal must be pending before anything is decided on.
            self.guard.sync()?;
            self.foreign.disturbed();
            self.signalled = true;
            self.confirmed = false;
            if signal == SIGKILL
                && let Some(process) = self.processes.get_mut(&id)
            {
                // Nobody survives it: until it is gone nothing is settled, so that of several that are killed at once the
                // ends come in their order.
                process.stopped = false;
                process.run_again(self.now);
                if process.direct {
                    process.state = State::Ending;
                } else {
                    // Its parent may not reap it: /proc will tell.
                    process.connection = None;
                    process.state = State::Foreign;
                    self.has_strangers();
                }
            }
        }
        Ok(true)
    }

    pub(in crate::run) fn welcome(&mut self, id: ProcessId, welcome: Welcome) -> Result<(), Fault> {
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

    pub(in crate::run) fn answer(&mut self, id: ProcessId, answer: Answer) -> Result<(), Fault> {
        // Whoever asked may have died of it.
        if let Some(process) = self.processes.get_mut(&id).filter(|process| process.end.is_none()) {
            process.state = State::Running;
            self.tell(id, &ToProcess::Answer(answer))?;
        }
        Ok(())
    }

    /// Ends the wait of one process.
    pub(in crate::run) fn wake(&mut self, id: ProcessId) -> Result<(), Fault> {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else { return Ok(()) };
        if let State::Waiting { seq, .. } = process.state {
            process.run_again(now);
            self.tell(id, &ToProcess::Woken { seq, now })?;
        }
        Ok(())
    }

    /// Another process has ended or begun: whoever waits for that is to look again.
    pub(in crate::run) fn others_changed(&mut self) {
        let waiting =
            self.processes.values().filter(|process| matches!(process.state, State::Waiting { others: true, .. }));
        self.hopeful.extend(waiting.map(|process| process.id));
    }

    /// Wakes the first of those who are to look again. False if there is none.
    pub(in crate::run) fn wake_hopeful(&mut self) -> Result<bool, Fault> {
        while let Some(id) = self.hopeful.pop_first() {
            let process = self.processes.get(&id);
            if process.is_some_and(|process| matches!(process.state, State::Waiting { others: true, .. })) {
                self.wake(id)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn tell(&mut self, id: ProcessId, message: &ToProcess) -> Result<(), Fault> {
        let Some(connection) =
            self.processes.get(&id).and_then(|process| process.connection).and_then(|id| self.connections.get_mut(&id))
        else {
            return Ok(());
        };
        self.confirmed &= matches!(message, ToProcess::Probe { .. });
        // A process that died meanwhile is reported by the guard.
        let _ = io::Write::write_all(&mut connection.stream, &encode(message)?);
        Ok(())
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
