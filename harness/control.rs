//! The wire protocol between a run and its processes.
//!
//! A frame is eight bytes of head (`rlp`, the protocol version, the length of the body as little-endian `u32`)
//! and a body of JSON. Both ends refuse another version or an oversized frame loudly. One connection is one
//! *thread* of one process, so that a process with several threads (or a preload library in an unmodified program)
//! speaks the same protocol.
//!
//! A participant is *running* from before its exec until it says [`ToRun::Wait`] (or asks something). It is running
//! again when it gets [`ToProcess::Woken`], or by its own word, [`ToRun::Awake`], when a signal or data woke it first:
//! no permission is needed for that.

mod guard;
mod keeper;

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use crate::mapping::Mapping;
use crate::time::{IncidentTime, Span};
pub use guard::{FromGuard, Launch, Sink, Status, Step, ToGuard};
pub use keeper::{Changed, FromKeeper, Init, Keep, ToKeeper};

/// Changes whenever a message changes its form.
pub const VERSION: u8 = 5;

/// Environment variable: where the run listens.
pub const ENV_CONTROL: &str = "RELAPSE_CONTROL";
/// Environment variable: which spawn a process descends from. Survives daemonising.
pub const ENV_ORIGIN: &str = "RELAPSE_ORIGIN";

/// Environment variable: the run's `kill`, see [`crate::mapping::KILL_FUNCTION`].
pub const ENV_KILL: &str = "RELAPSE_KILL";

/// Environment variable: a [`Welcome`] as JSON for a stand-in without a run, whose waits then take no time. For
/// measuring what a run costs over the bare processes.
pub const ENV_ALONE: &str = "RELAPSE_ALONE";

/// Environment variable: set for the child of a stand-in, which finds the socket that it is to serve on in the place of
/// standard input.
pub const ENV_CHILD: &str = "RELAPSE_CHILD";

const MAX_FRAME: usize = 64 << 20;

/// From a process to its run.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToRun {
    /// The first message of every connection. The answer is [`ToProcess::Welcome`].
    Hello {
        /// The thread's ordinal in its process, 0 for the first.
        thread: u32,
        /// argv as the program got it.
        argv: Vec<String>,
    },
    /// Something happened; no answer.
    Note {
        /// What.
        note: Note,
        /// Bytes written so far to standard output and error together, which puts the note between its lines.
        written: u64,
        /// When, in microseconds of real time since 1970; 0 where time stands still meanwhile.
        #[serde(default)]
        at: u64,
    },
    /// Nothing to do until the deadline, or until a descriptor or signal wakes the process.
    Wait {
        /// Numbers the waits of a connection, so that answers cannot be mistaken.
        seq: u64,
        /// Until when; `None` is for ever.
        deadline: Option<IncidentTime>,
        /// Percent of one CPU that this wait stands for.
        cpu: u8,
        /// Whether open connections may carry data for the process.
        connections: bool,
        /// Whether it also ends when another process has ended, or has just begun: a lock may be free then.
        #[serde(default)]
        others: bool,
        /// Whether something may be on its way at a connection that it has opened, used or closed.
        #[serde(default = "yes")]
        sent: bool,
        /// As in `Note`.
        written: u64,
    },
    /// A signal or a descriptor ended wait `seq` early: the process runs again.
    Awake {
        /// Which wait.
        seq: u64,
    },
    /// Answer to [`ToProcess::Probe`]: nothing is pending, the wait goes on.
    Quiet {
        /// Of the probe.
        generation: u64,
    },
    /// A question; exactly one [`ToProcess::Answer`] follows.
    Ask {
        /// What.
        query: Query,
        /// As in `Note`.
        written: u64,
    },
}

/// What a process says that it did. Addresses, ports and paths are incident coordinates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Note {
    /// It appended a line to a log file.
    Log {
        /// The file.
        path: String,
        /// The line without newline.
        line: String,
    },
    /// It listens.
    Listening {
        /// As bound.
        address: String,
        /// The port.
        port: u16,
        /// The listen(2) backlog.
        backlog: u32,
        /// Descriptor number, for lsof and ss.
        fd: i32,
        /// Whether IPv4 arrives at its IPv6 address, too.
        #[serde(default)]
        dual: bool,
        /// Whether it is a socket that another process of its unit or command has, too.
        #[serde(default)]
        shared: bool,
    },
    /// It closed a listening socket.
    Closed {
        /// As bound.
        address: String,
        /// The port.
        port: u16,
    },
    /// bind(2) or listen(2) failed.
    Refused {
        /// What it asked for.
        address: String,
        /// The port.
        port: u16,
        /// Symbolic errno.
        errno: String,
    },
    /// It made a request as a polling client.
    Request {
        /// The port.
        port: u16,
        /// HTTP status; 0 with `error`.
        status: u16,
        /// `refused`, `timeout`, `reset`, or empty.
        error: String,
        /// Incident PID of the process that answered, from the answer's header.
        by: Option<u32>,
        /// When it was sent.
        sent: IncidentTime,
    },
    /// It printed a line, which nobody else tells ([`Welcome::tells_lines`]).
    Printed {
        /// The line.
        line: String,
    },
    /// It is about to end by this signal.
    Dying {
        /// Its number.
        signal: i32,
    },
    /// It is about to end with this code.
    Exiting {
        /// Exit code.
        code: u8,
        /// Whether it has had connections: something of theirs may be on its way.
        #[serde(default = "yes")]
        sent: bool,
    },
    /// It is about to replace its program, or to start children of its own.
    Foreign,
}

/// What a process can ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Query {
    /// The process table as of now.
    Processes,
    /// The listening sockets as of now.
    Sockets,
    /// Run this command of the manager's or journal's, given as argv; may take incident time.
    Tool {
        /// argv, `argv[0]` is `systemctl` or `journalctl`.
        argv: Vec<String>,
        /// Whether the locale of whoever asks has UTF-8.
        utf8: bool,
        /// `$SYSTEMD_UTF8`, which later versions ask before the locale.
        utf8_asked: Option<bool>,
    },
    /// Run `systemd-notify`. The message has been served when the answer comes: [`Answer::Notified`].
    Notify {
        /// argv.
        argv: Vec<String>,
        /// `$NOTIFY_SOCKET`, as the host has it.
        socket: Option<String>,
    },
    /// Go on with a command that had more to say ([`Answer::Output`] with `more`).
    More,
    /// Send a signal.
    Kill {
        /// As kill(2) has it: a PID, 0 for the sender's process group, else the negative of a group's. PIDs are the
        /// incident's or, of processes of the run, the host's.
        pid: i64,
        /// Signal number; 0 only looks.
        signal: i32,
    },
}

/// From a run to a process.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToProcess {
    /// Answer to Hello.
    Welcome(Box<Welcome>),
    /// Wait `seq` has ended.
    Woken {
        /// Which wait.
        seq: u64,
        /// The incident time.
        now: IncidentTime,
    },
    /// Is anything pending? Answer [`ToRun::Quiet`] or [`ToRun::Awake`].
    Probe {
        /// Numbers the probes.
        generation: u64,
    },
    /// The answer to a question.
    Answer(Answer),
}

/// What a process is told about itself and its surroundings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// Incident time.
    pub now: IncidentTime,
    /// Its incident PID.
    pub pid: u32,
    /// What it is.
    pub role: Role,
    /// Where the two worlds meet.
    pub mapping: Mapping,
    /// `None` in lock-step; else incident microseconds per real microsecond, times 1000.
    pub wall_scale: Option<u64>,
    /// Host name of the incident's machine.
    pub hostname: String,
    /// Whether it says itself what it prints: its output goes where the run does not look.
    #[serde(default)]
    pub tells_lines: bool,
}

/// What a process is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Role {
    /// A command such as `ps`, known by `argv[0]`.
    Tool,
    /// A stand-in server.
    Server(Box<ServerRole>),
    /// The polling client.
    Client(ClientRole),
    /// The program of the machine's own that it stands before, by its path.
    Real(String),
}

/// How a stand-in server behaves; see the `program` block of a scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerRole {
    /// The program block's name.
    pub name: String,
    /// Import time of this start.
    pub startup: Span,
    /// Percent of a CPU the import takes.
    pub startup_cpu: u8,
    /// The application's log file (incident path), if any.
    pub log_file: Option<String>,
    /// Lines of the start-up hook.
    pub on_start: Vec<String>,
    /// Lines of the shutdown hook.
    pub on_shutdown: Vec<String>,
    /// From the end of the shutdown hook to the exit.
    pub teardown: Span,
    /// Bind before the import, as `--workers` and `--reload` do.
    pub bind_before_startup: bool,
    /// Serve on this descriptor, which it is started with; `--fd` says so, too.
    pub fd: Option<i32>,
    /// Exit code after a refused bind.
    pub exit_on_bind_error: u8,
    /// Reaction to SIGTERM during start-up.
    pub sigterm: Sigterm,
    /// Until then after its start the default action of SIGTERM applies.
    pub handlers_after: Span,
    /// How often a healthy server looks whether it was told to end.
    pub notice: Span,
    /// How long it takes to answer a request.
    pub answer: Span,
    /// Other paths that it knows, and how long their answers take.
    #[serde(default)]
    pub answers: Vec<(String, Span)>,
    /// Whether it shares its port with others who do so, too (SO_REUSEPORT).
    #[serde(default)]
    pub reuse_port: bool,
    /// Whether its IPv6 socket leaves IPv4 alone (IPV6_V6ONLY).
    #[serde(default = "yes")]
    pub v6_only: bool,
    /// Whether a child of its own serves on its port and lives on without it.
    #[serde(default)]
    pub child: bool,
    /// What it says to the manager.
    pub notify: Notify,
}

const fn yes() -> bool {
    true
}

/// Reaction to SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sigterm {
    /// The default action while starting, graceful when healthy.
    Default,
    /// During start-up: remembered, obeyed once the start-up is complete.
    Defer,
    /// Never obeyed.
    Ignore,
}

/// What a stand-in says to the manager (sd_notify(3)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notify {
    /// Nothing.
    #[default]
    Nothing,
    /// That it is ready, that it stops, and the signs of life that its watchdog wants.
    Ready,
    /// That it is ready and that it stops, but no signs of life.
    Silent,
}

/// The polling client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientRole {
    /// Incident port.
    pub port: u16,
    /// Period.
    pub every: Span,
    /// Path of the request.
    pub path: String,
    /// Patience.
    pub timeout: Span,
    /// When it begins; at once if that has passed.
    pub from: IncidentTime,
    /// When it has asked enough; `None` is never.
    #[serde(default)]
    pub until: Option<IncidentTime>,
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To `Processes`.
    Processes {
        /// Incident time.
        now: IncidentTime,
        /// Who asked.
        you: u32,
        /// In order of PID.
        rows: Vec<ProcessRow>,
    },
    /// To `Sockets`.
    Sockets {
        /// The user that whoever asked runs as.
        #[serde(default)]
        user: String,
        /// In order of port, PID.
        rows: Vec<SocketRow>,
    },
    /// To `Tool` and `More`.
    Output {
        /// For standard output.
        stdout: Vec<u8>,
        /// For standard error.
        stderr: Vec<u8>,
        /// Exit code, once `more` is false.
        code: u8,
        /// Whether to print this and ask for `More`.
        more: bool,
        /// Incident time.
        now: IncidentTime,
    },
    /// To `Notify`.
    Notified {
        /// For standard output.
        stdout: Vec<u8>,
        /// For standard error.
        stderr: Vec<u8>,
        /// Exit code.
        code: u8,
        /// How many of the last arguments are a command to go on as.
        command: usize,
    },
    /// To `Kill`: `None` if the signal was sent, else what the shell would print after `kill: `.
    Killed(Option<String>),
}

/// One row of the process table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Incident PID.
    pub pid: u32,
    /// Parent's.
    pub ppid: u32,
    /// User name.
    pub user: String,
    /// Kernel's name of it.
    pub comm: String,
    /// Command line.
    pub cmdline: String,
    /// `R`, `S`, `T` or `Z`, and `s` for a session leader.
    pub stat: String,
    /// When it was started.
    pub started: IncidentTime,
    /// CPU time it has used.
    pub cpu: Span,
    /// The unit it belongs to, if any.
    pub unit: Option<String>,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketRow {
    /// Incident PID.
    pub pid: u32,
    /// Kernel's name of the process.
    pub comm: String,
    /// User name.
    pub user: String,
    /// Descriptor number.
    pub fd: i32,
    /// Local address as bound.
    pub address: String,
    /// Whether IPv4 arrives at its IPv6 address, too.
    pub dual: bool,
    /// Incident port.
    pub port: u16,
    /// listen(2) backlog.
    pub backlog: u32,
    /// A number for lsof's DEVICE column.
    pub device: u32,
}

/// Turns a message into a frame.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![b'r', b'l', b'p', VERSION, 0, 0, 0, 0];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 8).map_err(|_| too_long())?;
    frame[4..8].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "control protocol: a frame is larger than 64 MiB")
}

/// Collects bytes and hands out whole messages.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        // What was read goes once it is the larger part: the buffer stays small, and no byte is moved often.
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a whole message (or a broken head) is already here.
    pub fn is_ready(&self) -> bool {
        let bytes = &self.buffer[self.start..];
        bytes.get(4..8).is_some_and(|n| bytes.len() - 8 >= u32::from_le_bytes([n[0], n[1], n[2], n[3]]) as usize)
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the peer speaks another protocol or version, or sends a frame that is too large.
    pub fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let bytes = &self.buffer[self.start..];
        let Some((head, body)) = bytes.split_at_checked(8) else { return Ok(None) };
        if head[..3] != *b"rlp" {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "control protocol: the peer speaks something else"));
        }
        if head[3] != VERSION {
            let text = format!("control protocol: the peer speaks version {}, this is version {VERSION}", head[3]);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if length > MAX_FRAME {
            return Err(too_long());
        }
        let Some(body) = body.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.start += 8 + length;
        Ok(Some(message))
    }
}

/// Writes one message to a blocking stream.
pub fn send<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    stream.write_all(&encode(message)?)
}

/// Reads one message from a blocking stream; `None` at its end.
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read, decoder: &mut Decoder) -> io::Result<Option<T>> {
    loop {
        if let Some(message) = decoder.take()? {
            return Ok(Some(message));
        }
        let mut chunk = [0u8; 8192];
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(count) => decoder.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
