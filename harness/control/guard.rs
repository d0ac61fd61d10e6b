//! Between a run and its guard (`program::guard`).

use serde::{Deserialize, Serialize};

/// A program for the guard to start.
#[derive(Debug, Serialize, Deserialize)]
pub struct Launch {
    /// File to execute.
    pub program: String,
    /// argv, `argv[0]` first.
    pub argv: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Working directory.
    pub directory: String,
    /// Where standard output goes.
    pub stdout: Sink,
    /// The same for standard error; `None`: with standard output.
    pub stderr: Option<Sink>,
    /// The file mode creation mask.
    pub umask: u32,
    /// Whether it begins with SIGPIPE ignored.
    pub ignore_sigpipe: bool,
    /// How many descriptors come with this message: the program gets them from 3 on.
    pub descriptors: u32,
    /// Which of the three standard streams are the first of them, which then has no other number.
    pub socket_streams: [bool; 3],
    /// Whether variables that name the process by its PID (LISTEN_PID and its like) get the PID on the host.
    pub own_pid: bool,
    /// The PID that it is to have, if nobody has it: within a machine, where that can be had.
    pub pid: Option<u32>,
}

/// From a run to its guard.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToGuard {
    /// Start a program in a process group of its own, standard input from /dev/null.
    Spawn {
        /// Comes back in the answer.
        id: u64,
        /// Which, and how.
        launch: Launch,
    },
    /// Send a signal to a process of the tree.
    Signal {
        /// Host PID.
        pid: i32,
        /// Signal number.
        signal: i32,
    },
    /// Answer with `Pong`: every end that was reaped before has been told.
    Ping,
    /// Kill every process, answer `Gone`, remove the directory if asked, end.
    Shutdown {
        /// Whether the run's directory stays.
        keep: bool,
    },
}

/// A file that a new process writes to. A file, not a pipe: a grandchild that keeps a pipe open would hang the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sink {
    /// At its end.
    Append(String),
    /// From its beginning, over what is there.
    Over(String),
    /// It is emptied first.
    Truncate(String),
}

/// A step on the way to a new program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Opening its standard output.
    Stdout,
    /// Opening its standard error.
    Stderr,
    /// Going to its working directory.
    Chdir,
    /// Executing it.
    Exec,
}

/// From the guard to its run.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromGuard {
    /// It has made the run's directory.
    Ready,
    /// It could not.
    NoDirectory {
        /// Why.
        errno: i32,
    },
    /// The program runs.
    Spawned {
        /// Of the request.
        id: u64,
        /// Host PID.
        pid: i32,
    },
    /// It could not be started.
    SpawnFailed {
        /// Of the request.
        id: u64,
        /// What could not be done.
        step: Step,
        /// errno.
        errno: i32,
    },
    /// A process was reaped.
    Exited {
        /// Host PID.
        pid: i32,
        /// How.
        status: Status,
    },
    /// Answer to `Ping`.
    Pong,
    /// Nothing is left.
    Gone {
        /// How many processes had to be killed.
        killed: u32,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Exit code.
    Code(u8),
    /// Signal number.
    Signal(i32),
    /// Signal number, with core dump.
    Dumped(i32),
}

impl Status {
    /// As a shell shows it in `$?`.
    pub fn as_shell(self) -> u8 {
        match self {
            Status::Code(code) => code,
            Status::Signal(signal) | Status::Dumped(signal) => u8::try_from(128 + signal).unwrap_or(255),
        }
    }
}
