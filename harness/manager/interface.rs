//! What goes into the manager and what comes out.

mod request;

// The address type alone; nothing here touches the network.
use core::net::SocketAddr;
use std::sync::Arc;

use super::invocation::InvocationId;
use super::text::Text;
use crate::time::{IncidentTime, Span};
use crate::unit::{Context, Errno, Files, Profile, Socket, Syslog};

pub use request::*;

/// A process ID in incident coordinates.
pub type Pid = u32;

/// The number of a job (`JOB_ID`).
pub type JobId = u32;

/// Identifies one request of a client until its replies have come.
pub type RequestId = u64;

/// Where services send their notifications, as `$NOTIFY_SOCKET` has it.
pub const NOTIFY_SOCKET: &str = "/run/systemd/notify";

/// How the manager is set up; all of it is incident data.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose words and rules.
    pub profile: Profile,
    /// When the machine was booted: zero of the monotonic clock.
    pub boot: IncidentTime,
    /// Where in each 250 ms the service timers fire (SPEC 0.3; a machine has one phase per boot).
    pub timer_phase: Span,
    /// Seeds the invocation IDs, which are otherwise random: same seed, same IDs.
    pub seed: u64,
}

/// What the manager can look at while it decides, and where new PIDs come from.
pub trait Host {
    /// Hands out the next incident PID: a fork.
    fn fork(&mut self) -> Pid;
    /// The unit directories as they are on disk now.
    fn unit_files(&self) -> &Files;
    /// A number that changes whenever they do, which spares the manager from looking for changes itself.
    ///
    /// The default has none.
    fn unit_files_revision(&self) -> Option<u64> {
        None
    }
    /// A file of the incident's machine (EnvironmentFile=, PIDFile=), `None` if there is none.
    ///
    /// The default has no files.
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let _ = path;
        None
    }
    /// As `read`, for the PID file of a unit: whoever wrote it may have known PIDs that are not the incident's.
    fn read_pid_file(&self, unit: &str, path: &str) -> Option<Vec<u8>> {
        let _ = unit;
        self.read(path)
    }
    /// Whether there is a process with this PID that has not ended, in whatever unit.
    ///
    /// The default knows of none that is gone.
    fn is_alive(&self, pid: Pid) -> bool {
        let _ = pid;
        true
    }
    /// Whether a path exists, and as what (ConditionPathExists= and its siblings).
    fn stat(&self, path: &str) -> Option<PathKind>;
    /// The processes that belong to the unit now, in order of PID: its control group.
    fn processes(&self, unit: &str) -> Vec<Process>;
    /// The paths that a glob pattern (EnvironmentFile=, ConditionPathExistsGlob=) stands for, in order.
    ///
    /// The default knows no directories: the pattern stands for itself.
    fn glob(&self, pattern: &str) -> Vec<String> {
        if self.stat(pattern).is_some() { vec![pattern.to_owned()] } else { Vec::new() }
    }
    /// CPU time the unit's processes have used since the unit was last started.
    ///
    /// The default's take none.
    fn cpu_time(&self, unit: &str) -> Span {
        let _ = unit;
        Span::ZERO
    }
    /// Whether a user or group of this name exists.
    ///
    /// The default knows everybody.
    fn has_account(&self, name: &str) -> bool {
        let _ = name;
        true
    }
    /// What `%`-specifiers in unit files say of the machine.
    fn specifiers(&self) -> Context {
        Context::default()
    }
}

/// Kind of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PathKind {
    File { executable: bool, empty: bool },
    Directory { empty: bool },
    Symlink,
    Other,
}

/// A process in a unit's control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Incident PID.
    pub pid: Pid,
    /// The kernel's name of it (`comm`, 15 bytes).
    pub comm: String,
    /// Its parent; 1 once the process that forked it is gone, and for what the manager itself started.
    pub parent: Pid,
}

/// How a process ended (waitid(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// `exited`, with a code.
    Code(u8),
    /// `killed`, with a signal number.
    Signal(i32),
    /// `dumped`, with a signal number.
    Dumped(i32),
}

/// Which list a command comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the Exec key of the same name")]
pub enum ExecRole {
    Condition,
    StartPre,
    Start,
    StartPost,
    Reload,
    ReloadPost,
    Stop,
    StopPost,
}

impl ExecRole {
    /// The key, as in the COMMAND= field of the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            ExecRole::Condition => "ExecCondition",
            ExecRole::StartPre => "ExecStartPre",
            ExecRole::Start => "ExecStart",
            ExecRole::StartPost => "ExecStartPost",
            ExecRole::Reload => "ExecReload",
            ExecRole::ReloadPost => "ExecReloadPost",
            ExecRole::Stop => "ExecStop",
            ExecRole::StopPost => "ExecStopPost",
        }
    }
}

/// Why a forked child never became its program: the step, as in `Failed at step EXEC` (SPEC 10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecFailure {
    /// The program cannot be found or run.
    Exec(Errno),
    /// The working directory.
    Chdir(Errno),
    /// The user.
    User,
    /// The group.
    Group,
    /// Anything else, by the step's name.
    Other(String, Errno),
}

/// A connection on a socket with Accept=yes, which has been accepted in the manager's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Names it from now on; no other one ever has this number.
    pub id: ConnectionId,
    /// Who is at its ends; `None` if the other one has gone already.
    pub peer: Option<Peer>,
}

/// The number of a connection.
pub type ConnectionId = u64;

/// The ends of a connection, in incident coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// TCP. An IPv4 client of an IPv6 socket has an IPv4 address here.
    Internet {
        /// The address that it came to.
        local: SocketAddr,
        /// The client's address.
        remote: SocketAddr,
    },
    /// A UNIX socket.
    Process {
        /// The client.
        pid: Pid,
        /// Its user.
        uid: u32,
    },
}

/// The number of a descriptor that a service has sent.
pub type DescriptorId = u64;

/// A descriptor that a service has sent to be kept (sd_notify(3), `FDSTORE=1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Names it from now on; no other one ever has this number.
    pub id: DescriptorId,
    /// What it is a descriptor of: two that are the same in this are kept once.
    pub of: String,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The machine came up: load what is enabled and start the default target.
    Boot,
    /// Time has reached [`super::Manager::next_deadline`], nothing else happened.
    Elapsed,
    /// execve(2) succeeded in a process that the manager had spawned.
    Executed {
        /// Which.
        pid: Pid,
    },
    /// The child could not become its program; the manager logs what the child would have logged and counts the
    /// process as ended with the exit code of that step.
    ExecFailed {
        /// Which.
        pid: Pid,
        /// Why.
        failure: ExecFailure,
    },
    /// A process the manager knows (main, control) or that was in a unit's group has been reaped.
    Exited {
        /// Which.
        pid: Pid,
        /// How.
        exit: Exit,
    },
    /// The last process of a unit's control group is gone.
    CgroupEmpty {
        /// Whose.
        unit: String,
    },
    /// A datagram on the notification socket (SPEC 12).
    Notify {
        /// The sender.
        pid: Pid,
        /// The unit whose group the sender is in, as far as the kernel can tell.
        unit: Option<String>,
        /// Newline-separated assignments.
        text: Vec<u8>,
        /// Descriptors that came with it. Those that are not stored are to be closed: [`Effect::CloseDescriptor`].
        descriptors: Vec<Descriptor>,
    },
    /// Nobody is left at the other end of a stored descriptor ([`super::Manager::polled_descriptors`]).
    HungUp {
        /// Which.
        id: DescriptorId,
    },
    /// A connection waits on a listening socket that the manager holds.
    Traffic {
        /// The socket unit.
        unit: String,
    },
    /// A connection was accepted from a watched socket with Accept=yes.
    Accepted {
        /// The socket unit.
        unit: String,
        /// The connection.
        connection: Connection,
    },
    /// The answer to [`Effect::Listen`].
    Listening {
        /// The socket unit.
        unit: String,
        /// `Err(address, why)` if an address could not be bound.
        result: Result<(), (String, Errno)>,
        /// The links of Symlinks= that could not be made, and why.
        links: Vec<(String, Errno)>,
    },
    /// A client asks for something.
    Request {
        /// Comes back with the replies.
        id: RequestId,
        /// What.
        request: Request,
    },
}

/// A record of the manager in the journal, without the trusted fields that every record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The unit it is about (`UNIT=`), `None` for messages about no unit.
    pub unit: Option<Text>,
    /// syslog priority.
    pub priority: u8,
    /// The text.
    pub text: String,
    /// `MESSAGE_ID`.
    pub message_id: Option<&'static str>,
    /// `INVOCATION_ID`.
    pub invocation_id: Option<InvocationId>,
    /// Event fields: JOB_ID, JOB_TYPE, JOB_RESULT, EXIT_CODE, EXIT_STATUS, COMMAND, N_RESTARTS, UNIT_RESULT, ….
    pub fields: Vec<(&'static str, Text)>,
    /// Logged by a forked child before its exec: its PID and SYSLOG_IDENTIFIER (`(python)`). `None`: by PID 1.
    pub child: Option<(Pid, String)>,
}

/// A program as the unit file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The file to execute.
    pub path: String,
    /// The working directory; `(path, may be missing)`.
    pub working_directory: Option<(String, bool)>,
    /// User=.
    pub user: Option<String>,
    /// Group=.
    pub group: Option<String>,
    /// UMask=.
    pub umask: u32,
    /// StandardInput=, as far as it is obeyed.
    pub input: StandardInput,
    /// StandardOutput= and StandardError=, resolved (`journal`, `null`, `file:…`, …).
    pub output: (String, String),
    /// SYSLOG_IDENTIFIER= of its output.
    pub identifier: String,
    /// How lines of its output are logged.
    pub syslog: Syslog,
    /// Whether signal SIGPIPE is ignored in it.
    pub ignore_sigpipe: bool,
    /// Whether the descriptors that are passed to it are set not to block (NonBlocking=).
    pub non_blocking: bool,
}

/// Where a program reads from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StandardInput {
    /// Nothing.
    #[default]
    Null,
    /// The socket that it is started with.
    Socket,
}

impl Program {
    /// Which of the three standard streams are the socket.
    pub fn socket_streams(&self) -> [bool; 3] {
        [self.input == StandardInput::Socket, self.output.0 == "socket", self.output.1 == "socket"]
    }

    /// Whether any of the standard streams is the socket.
    pub fn has_socket(&self) -> bool {
        self.socket_streams().contains(&true)
    }
}

/// A program to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// The PID it gets, from [`Host::fork`].
    pub pid: Pid,
    /// The unit whose group it joins.
    pub unit: Text,
    /// Which command it is.
    pub role: ExecRole,
    /// Which program, and how to run it.
    pub program: Arc<Program>,
    /// argv, variables expanded.
    pub argv: Arc<[String]>,
    /// The whole environment.
    pub environment: Vec<(Text, Text)>,
    /// The unit's invocation ID.
    pub invocation_id: Option<InvocationId>,
    /// Whether the process may send notifications; it has [`NOTIFY_SOCKET`] in its environment then.
    pub notify: bool,
    /// Names of the sockets to pass from descriptor 3 on: (socket unit, FileDescriptorName). Where a standard stream
    /// is the socket ([`Program::has_socket`]), it is the only one, and is not passed otherwise.
    pub sockets: Vec<(String, String)>,
    /// The connection that is passed in the place of the one socket.
    pub connection: Option<ConnectionId>,
    /// Stored descriptors to pass after the sockets.
    pub stored: Vec<DescriptorId>,
}

/// Something to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write this record into the journal.
    Journal(Message),
    /// Start this program now.
    Spawn(Box<Spawn>),
    /// Send a signal to one process.
    Signal {
        /// To whom.
        pid: Pid,
        /// Which.
        signal: i32,
    },
    /// Answer a request.
    Reply {
        /// Whose.
        id: RequestId,
        /// What.
        reply: Reply,
    },
    /// A job has ended.
    JobRemoved {
        /// Which.
        job: JobId,
        /// For which unit.
        unit: Text,
        /// How.
        result: JobResult,
    },
    /// Create a symbolic link on disk (parents are made).
    Symlink {
        /// Where.
        path: String,
        /// To what.
        target: String,
    },
    /// Remove a file or link (and its directory when that is left empty and ends in .wants or .requires).
    Remove {
        /// Where.
        path: String,
    },
    /// Bind and listen; answer with [`Input::Listening`].
    Listen {
        /// The socket unit.
        unit: String,
        /// Its `[Socket]` section: addresses and how to listen on them.
        socket: Box<Socket>,
    },
    /// Close the listening sockets of a socket unit.
    CloseListen {
        /// The socket unit.
        unit: String,
        /// Whether their paths are removed from the file system, too (RemoveOnStop=).
        remove: bool,
    },
    /// Close a connection; whoever it was passed to keeps its own copies.
    CloseConnection {
        /// Which.
        id: ConnectionId,
    },
    /// Close a descriptor that a service has sent.
    CloseDescriptor {
        /// Which.
        id: DescriptorId,
    },
    /// Watch (or stop watching) a listening socket for connections.
    Watch {
        /// The socket unit.
        unit: String,
        /// On or off.
        on: bool,
    },
    /// Throw away what waits on the listening sockets of a unit (FlushPending=).
    Flush {
        /// The socket unit.
        unit: String,
    },
    /// The machine goes down now: kill every process of every unit and of every console, then send [`Input::Boot`].
    Reboot,
    /// The machine goes down and stays down: as `Reboot`, without a boot.
    Poweroff,
}
