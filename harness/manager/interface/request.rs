//! What clients ask of the manager, and what they are told (org.freedesktop.systemd1(5)).

use super::JobId;
use crate::unit::Errno;
pub use crate::unit::JobMode;
use crate::unit::install::PresetMode;

/// Which job a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the systemctl verb of the same name")]
pub enum JobVerb {
    Start,
    Stop,
    Reload,
    Restart,
    TryRestart,
    ReloadOrRestart,
    TryReloadOrRestart,
}

/// Which processes of a unit `systemctl kill` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the --kill-whom value of the same name")]
pub enum KillWhom {
    Main,
    Control,
    All,
}

/// What a client (systemctl) can ask. Unit names are full names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Enqueue a job. Replies: [`Reply::Job`] or [`Reply::Error`]; when the job ends, [`Effect::JobRemoved`](super::Effect::JobRemoved).
    Job {
        /// Which job.
        verb: JobVerb,
        /// For which unit.
        unit: String,
        /// In which mode.
        mode: JobMode,
    },
    /// Load the unit if it is not loaded (any look at it does that), without more. Replies [`Reply::Done`].
    ///
    /// The unit stays loaded until the next step, so that its properties can be read.
    Load {
        /// Which.
        unit: String,
    },
    /// As `Load`, for a client that reads all properties (`systemctl show`, `systemctl status`): that looks up
    /// UnitFileState too, which reads the file once more and warns once more of what stands in no section.
    Show {
        /// Which.
        unit: String,
    },
    /// Look up the state of a unit's file, without loading the unit (`systemctl is-enabled`): it is read for its `[Install]`
    /// section, with a warning for whatever stands in no section. Replies [`Reply::Done`].
    FileState {
        /// Which.
        unit: String,
    },
    /// Reset the failed state and the counters; `None` means all units.
    ResetFailed {
        /// Which.
        unit: Option<String>,
    },
    /// Give up what the unit has left behind (`systemctl clean`).
    Clean {
        /// Which.
        unit: String,
        /// What of it, by the words of `--what=`.
        what: Vec<String>,
    },
    /// Send a signal to processes of the unit.
    Kill {
        /// Which.
        unit: String,
        /// Whom.
        whom: KillWhom,
        /// Signal number.
        signal: i32,
    },
    /// Read all unit files again.
    DaemonReload,
    /// Create the links of `[Install]`. Replies [`Reply::UnitFiles`].
    Enable {
        /// Units, as named by the client.
        units: Vec<String>,
        /// Below /run instead of /etc.
        runtime: bool,
    },
    /// Remove the links of the units.
    Disable {
        /// Units, as named by the client.
        units: Vec<String>,
        /// Below /run instead of /etc.
        runtime: bool,
    },
    /// Link the units to /dev/null.
    Mask {
        /// Units.
        units: Vec<String>,
        /// Below /run instead of /etc.
        runtime: bool,
    },
    /// Remove such links.
    Unmask {
        /// Units.
        units: Vec<String>,
        /// Below /run instead of /etc.
        runtime: bool,
    },
    /// Enable or disable the units, as the preset files say (systemd.preset(5)). Replies [`Reply::UnitFiles`].
    Preset {
        /// Units, as named by the client.
        units: Vec<String>,
        /// Below /run instead of /etc.
        runtime: bool,
        /// Whether both is done, or one of them.
        mode: PresetMode,
    },
    /// Make a target the one that the machine boots into. Replies [`Reply::UnitFiles`].
    SetDefault {
        /// The target, as named by the client.
        unit: String,
    },
    /// Cancel a job, and those that depend on it.
    CancelJob {
        /// Its number.
        job: JobId,
    },
    /// Cancel all jobs.
    ClearJobs,
    /// The machine goes down and comes up again: everything is killed, all state but the files is lost.
    Reboot,
}

/// The manager's immediate answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The job was enqueued (or merged into this one).
    Job(JobId),
    /// Done, nothing to say.
    Done,
    /// Refused: systemd's error text and what systemctl makes of it.
    Error(RequestError),
    /// Unit files changed: the lines systemctl prints on stderr (`Created symlink …`, `Removed …`, hints).
    UnitFiles(Vec<String>),
}

/// A refused request (the D-Bus error), by kind; SPEC 9.1 maps kinds to exit codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// Which kind.
    pub kind: RequestErrorKind,
    /// The error number that goes with it.
    pub errno: Errno,
    /// The error message of the bus, such as `Unit x.service not found.`
    pub message: String,
}

impl RequestError {
    /// A refusal with the error number of its kind.
    pub fn new(kind: RequestErrorKind, message: impl Into<String>) -> Self {
        let errno = match kind {
            RequestErrorKind::NoSuchUnit => Errno::ENOENT,
            RequestErrorKind::LoadFailed => Errno::ENOEXEC,
            RequestErrorKind::Masked => Errno::ERFKILL,
            RequestErrorKind::TransactionIsDestructive | RequestErrorKind::Failed => Errno::EDEADLK,
            RequestErrorKind::JobTypeNotApplicable => Errno::EBADR,
            RequestErrorKind::OnlyByDependency | RequestErrorKind::NotActive => Errno::EINVAL,
            RequestErrorKind::NoIsolation => Errno::EPERM,
        };
        Self { kind, errno, message: message.into() }
    }
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestErrorKind {
    /// No such unit.
    NoSuchUnit,
    /// The unit could not be loaded (bad setting, error).
    LoadFailed,
    /// The unit is masked.
    Masked,
    /// Only by dependency (RefuseManualStart=, RefuseManualStop=).
    OnlyByDependency,
    /// The unit has no AllowIsolate=.
    NoIsolation,
    /// The job contradicts others (`--job-mode=fail`).
    TransactionIsDestructive,
    /// The job type does not apply (reload of a unit that cannot).
    JobTypeNotApplicable,
    /// The unit is not active (try-restart of an unloaded unit, kill).
    NotActive,
    /// Anything else.
    Failed,
}

/// The result of a job (`JOB_RESULT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the result of the same name")]
pub enum JobResult {
    Done,
    Canceled,
    Timeout,
    Failed,
    Dependency,
    Skipped,
    Invalid,
    Assert,
    Unsupported,
    Collected,
    Once,
}

impl JobResult {
    /// systemd's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            JobResult::Done => "done",
            JobResult::Canceled => "canceled",
            JobResult::Timeout => "timeout",
            JobResult::Failed => "failed",
            JobResult::Dependency => "dependency",
            JobResult::Skipped => "skipped",
            JobResult::Invalid => "invalid",
            JobResult::Assert => "assert",
            JobResult::Unsupported => "unsupported",
            JobResult::Collected => "collected",
            JobResult::Once => "once",
        }
    }
}
