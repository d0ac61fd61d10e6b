//! What lines come to: causes, and what happened to a subject.

use serde::Serialize;

/// What ended the runs of a loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cause {
    /// Its address was taken.
    PortInUse {
        /// The port, if the line shows one.
        port: Option<u16>,
    },
    /// It exited.
    ExitCode {
        /// Its exit status.
        status: i32,
    },
    /// A signal ended it.
    Signal {
        /// The signal's name without `SIG`.
        signal: String,
    },
    /// It dumped core.
    CoreDump {
        /// The signal's name without `SIG`, if the line shows one.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
    },
    /// A start, stop or run-time limit was exceeded.
    Timeout,
    /// It did not feed its watchdog.
    Watchdog,
    /// It did not do what its `Type=` asks for.
    Protocol,
    /// The manager could not set it up.
    Resources,
    /// An `ExecCondition=` said no.
    Condition,
}

/// What a line says of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// The manager begins with it; phases before the program may come first.
    Starting,
    /// A run has begun.
    Started,
    /// A run has begun, of a program that its manager starts again whenever it ends.
    Spawned,
    /// The program says that it starts; with the PID it prints.
    ProgramStarts { pid: Option<u32> },
    /// The same of a process that starts others.
    MasterStarts { pid: Option<u32> },
    /// A stop that somebody asked for.
    Stopping,
    /// It is stopped, asked for or before a restart.
    Stopped,
    /// A run has ended; none if cleanly.
    Exited(Option<Cause>),
    /// The result that a run failed with, where it says more than its exit.
    Result(Option<Cause>),
    /// Why a run is about to fail.
    Sign(Option<Cause>),
    /// The start job has failed.
    StartFailed,
    /// It is to be started again, by the manager.
    Scheduled { counter: Option<u64> },
    /// The manager will not start it again.
    Limited,
    /// A oneshot is through.
    Finished,
    /// The program could not bind.
    Bind { port: Option<u16> },
    /// The program serves.
    Serves,
    /// The program was asked to end.
    Leaves,
    /// A process that lives on has started another: what starts below it is none of our starts.
    HasWorkers,
}
