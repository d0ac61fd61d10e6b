//! What a unit file says, typed, with systemd's defaults (SPEC 1, `defaults.json`).

use std::collections::BTreeMap;

use crate::time::Span;

use super::errno::Errno;
use super::service::Service;
use super::socket::Socket;

/// Which systemd the words and rules are taken from (SPEC 14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// systemd 252 (Debian 12).
    #[default]
    V252,
    /// systemd 257 (Debian 13).
    V257,
    /// systemd 260 and later.
    V260,
}

impl Profile {
    /// The version as a number.
    pub const fn version(self) -> u16 {
        match self {
            Profile::V252 => 252,
            Profile::V257 => 257,
            Profile::V260 => 260,
        }
    }

    /// The profile whose rules hold for a version: the newest that is not newer, 252 for anything older.
    pub const fn of_version(version: u16) -> Profile {
        match version {
            0..=253 => Profile::V252,
            254..=257 => Profile::V257,
            _ => Profile::V260,
        }
    }
}

/// The unit directories of the incident's machine: what is on disk, by absolute incident path.
///
/// A snapshot: whoever holds a real directory (the `run` module) reads it and maps it to incident coordinates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Absolute path → entry. Directories are implied by their entries.
    pub entries: BTreeMap<String, FileEntry>,
}

/// One entry of [`Files`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEntry {
    /// A regular file, byte for byte. `generation` grows whenever the file was written (for NeedDaemonReload).
    Regular {
        /// The bytes.
        content: Vec<u8>,
        /// Grows with each change; the manager compares it with what it had when it loaded the file.
        generation: u64,
    },
    /// A symbolic link and its target as written.
    Symlink {
        /// The target, verbatim.
        target: String,
    },
}

/// `LoadState` (systemctl(1), SPEC 1.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LoadState {
    /// The unit was read and is usable.
    #[default]
    Loaded,
    /// There is no such file.
    NotFound,
    /// A fatal setting: `bad-setting`.
    BadSetting,
    /// Another failure to load: `error`.
    Error,
    /// Empty file or symlink to /dev/null.
    Masked,
}

impl LoadState {
    /// systemd's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            LoadState::Loaded => "loaded",
            LoadState::NotFound => "not-found",
            LoadState::BadSetting => "bad-setting",
            LoadState::Error => "error",
            LoadState::Masked => "masked",
        }
    }
}

/// One line that systemd would log while it reads a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Path of the file, or the unit's name for rules that concern no single line.
    pub subject: String,
    /// Line number from 1; `None` when `subject` is a unit name.
    pub line: Option<u32>,
    /// syslog priority: 3 error, 4 warning, 5 notice, 6 info.
    pub priority: u8,
    /// The error behind it, `ERRNO=` in the journal.
    pub errno: Option<Errno>,
    /// The text after `FILE:LINE: ` or `UNIT: `.
    pub text: String,
}

impl Warning {
    /// The whole message as it stands in the journal (`FILE:LINE: TEXT`, or `UNIT: TEXT`).
    pub fn message(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", self.subject, self.text),
            None => format!("{}: {}", self.subject, self.text),
        }
    }
}

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
        impl $name {
            /// All values in systemd's order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// systemd's spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
            /// The value with this spelling; spelling is case sensitive, as in systemd.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }
    };
}
word_enum!(
    /// `Type=` (systemd.service(5)).
    ServiceType {
        /// Started as soon as the process was forked.
        #[default] Simple = "simple",
        /// Started once the program was executed.
        Exec = "exec",
        /// Started once the first process has left a daemon behind.
        Forking = "forking",
        /// Started once the commands have ended.
        Oneshot = "oneshot",
        /// Started when its bus name appears. Not supported by the embedded manager.
        Dbus = "dbus",
        /// Started when it says READY=1.
        Notify = "notify",
        /// As notify, with a reload by signal (253 and later).
        NotifyReload = "notify-reload",
        /// As simple, after other jobs.
        Idle = "idle",
    }
);
word_enum!(
    /// `Restart=` (systemd.service(5)).
    Restart {
        /// Never.
        #[default] No = "no",
        /// After a clean end.
        OnSuccess = "on-success",
        /// After anything but a clean end.
        OnFailure = "on-failure",
        /// After a signal, a timeout, the watchdog.
        OnAbnormal = "on-abnormal",
        /// After the watchdog alone.
        OnWatchdog = "on-watchdog",
        /// After an uncaught signal.
        OnAbort = "on-abort",
        /// After every end but a requested stop.
        Always = "always",
    }
);
word_enum!(
    /// `RestartMode=` (254 and later).
    RestartMode {
        /// Through failed or inactive.
        #[default] Normal = "normal",
        /// Without the moment in failed or inactive.
        Direct = "direct",
        /// As normal, next run with debug logging (257 and later).
        Debug = "debug",
    }
);
word_enum!(
    /// `FileDescriptorStorePreserve=` (systemd.service(5), 254 and later).
    Preserve {
        /// Given up whenever the service has ended.
        No = "no",
        /// Kept until the unit is unloaded.
        Yes = "yes",
        /// Kept over a restart.
        #[default] Restart = "restart",
    }
);
word_enum!(
    /// How a job deals with those that are there, and with the units it would bring along (`--job-mode=`, systemctl(1);
    /// `OnFailureJobMode=`, systemd.unit(5)).
    JobMode {
        /// It is refused if it contradicts any.
        Fail = "fail",
        /// It replaces those it contradicts.
        #[default] Replace = "replace",
        /// As replace, and what comes later cannot replace it in turn.
        ReplaceIrreversibly = "replace-irreversibly",
        /// What it does not bring along is stopped.
        Isolate = "isolate",
        /// All other jobs are cancelled.
        Flush = "flush",
        /// Nothing is brought along, and no order is kept.
        IgnoreDependencies = "ignore-dependencies",
        /// Nothing is brought along.
        IgnoreRequirements = "ignore-requirements",
        /// A stop takes what triggers the unit along.
        Triggering = "triggering",
    }
);
word_enum!(
    /// `KillMode=` (systemd.kill(5)).
    KillMode {
        /// Every process of the unit.
        #[default] ControlGroup = "control-group",
        /// The main process alone.
        Process = "process",
        /// SIGTERM to the main process, SIGKILL to all.
        Mixed = "mixed",
        /// Nobody.
        None = "none",
    }
);
word_enum!(
    /// `NotifyAccess=` (systemd.service(5)).
    NotifyAccess {
        /// Nobody may notify.
        #[default] None = "none",
        /// The main process.
        Main = "main",
        /// Main and control processes.
        Exec = "exec",
        /// Every process of the unit.
        All = "all",
    }
);
word_enum!(
    /// `TimeoutStartFailureMode=`, `TimeoutStopFailureMode=` (systemd.service(5)).
    TimeoutFailureMode {
        /// SIGTERM, then SIGKILL.
        #[default] Terminate = "terminate",
        /// WatchdogSignal= first.
        Abort = "abort",
        /// SIGKILL at once.
        Kill = "kill",
    }
);
word_enum!(
    /// `ExitType=` (systemd.service(5)).
    ExitType {
        /// The service ends with its main process.
        #[default] Main = "main",
        /// The service ends with its last process.
        Cgroup = "cgroup",
    }
);
word_enum!(
    /// `OOMPolicy=` (systemd.service(5)).
    OomPolicy {
        /// Log only.
        Continue = "continue",
        /// Stop the service.
        #[default] Stop = "stop",
        /// Kill the whole group.
        Kill = "kill",
    }
);
word_enum!(
    /// `CollectMode=` (systemd.unit(5)).
    CollectMode {
        /// Unload inactive units, keep failed ones.
        #[default] Inactive = "inactive",
        /// Unload failed ones too.
        InactiveOrFailed = "inactive-or-failed",
    }
);
word_enum!(
    /// `StartLimitAction=`, `FailureAction=`, `SuccessAction=` (systemd.unit(5)).
    EmergencyAction {
        /// Do nothing.
        #[default] None = "none",
        /// Restart the machine.
        Reboot = "reboot",
        /// The same, at once.
        RebootForce = "reboot-force",
        /// The same, without a shutdown.
        RebootImmediate = "reboot-immediate",
        /// Power off.
        Poweroff = "poweroff",
        /// The same, at once.
        PoweroffForce = "poweroff-force",
        /// The same, without a shutdown.
        PoweroffImmediate = "poweroff-immediate",
        /// Leave the manager.
        Exit = "exit",
        /// The same, at once.
        ExitForce = "exit-force",
    }
);

/// One command of an Exec list (SPEC 1.3), specifiers expanded, variables not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecCommand {
    /// The program: an absolute path, or a bare file name that is searched in the default PATH when it is run.
    pub path: String,
    /// argv, `argv[0]` first (the path as written unless `@` was given).
    pub argv: Vec<String>,
    /// `-`: a failure counts as success.
    pub ignore_failure: bool,
    /// `:`: variables are not expanded.
    pub no_env_expand: bool,
    /// `+`, `!`, `!!` as written, or empty.
    pub privileges: &'static str,
    /// `|`: through the user's shell (258 and later).
    pub via_shell: bool,
}

/// An exit-status set (`SuccessExitStatus=` and its siblings): exit codes and signals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitStatusSet {
    /// Exit codes, sorted, each once.
    pub codes: Vec<u8>,
    /// Signal numbers, sorted, each once.
    pub signals: Vec<i32>,
}

/// One `Condition…=` or `Assert…=` line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The key without `Condition`/`Assert` prefix stripped: `ConditionPathExists`, `AssertPathExists`, …
    pub key: String,
    /// `!`
    pub negate: bool,
    /// `|`
    pub trigger: bool,
    /// What is tested.
    pub parameter: String,
}

/// `[Install]` (systemd.unit(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Install {
    pub wanted_by: Vec<String>,
    pub required_by: Vec<String>,
    pub upheld_by: Vec<String>,
    pub alias: Vec<String>,
    pub also: Vec<String>,
    pub default_instance: Option<String>,
}

/// A unit as loaded: fragment and drop-ins merged (systemd.unit(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are the keys and properties of the same names")]
pub struct Unit {
    /// The full name with suffix, `lumiera-whatsapp.service`.
    pub name: String,
    /// Whose rules it was read by.
    pub profile: Profile,
    pub load_state: LoadState,
    /// Text of LoadError for BadSetting and Error.
    pub load_error: Option<String>,
    /// What keeps the unit from being loaded, by number.
    pub load_errno: Option<Errno>,
    pub fragment_path: Option<String>,
    pub drop_in_paths: Vec<String>,
    /// The directories for drop-ins that were there when it was read, whether or not there were any in them.
    pub drop_in_dirs: Vec<String>,
    /// Other names of the unit (aliases), without `name`.
    pub aliases: Vec<String>,
    /// Whether the file declares Description=; else systemd shows the name.
    pub description: Option<String>,
    pub documentation: Vec<String>,
    pub requires: Vec<String>,
    pub requisite: Vec<String>,
    pub wants: Vec<String>,
    pub binds_to: Vec<String>,
    pub part_of: Vec<String>,
    pub upholds: Vec<String>,
    pub conflicts: Vec<String>,
    pub before: Vec<String>,
    pub after: Vec<String>,
    pub on_failure: Vec<String>,
    pub allow_isolate: bool,
    pub ignore_on_isolate: bool,
    pub on_failure_job_mode: JobMode,
    pub on_success_job_mode: JobMode,
    pub on_success: Vec<String>,
    pub propagates_reload_to: Vec<String>,
    pub reload_propagated_from: Vec<String>,
    pub propagates_stop_to: Vec<String>,
    pub stop_propagated_from: Vec<String>,
    pub joins_namespace_of: Vec<String>,
    /// WantedBy= and RequiredBy= as found on disk (symlinks in `*.wants`, `*.requires` of loaded targets).
    pub wanted_by: Vec<String>,
    pub required_by: Vec<String>,
    pub default_dependencies: Option<bool>,
    pub conditions: Vec<Condition>,
    pub asserts: Vec<Condition>,
    /// `None`: the default, 10 s.
    pub start_limit_interval_sec: Option<Span>,
    /// `None`: the default, 5.
    pub start_limit_burst: Option<u32>,
    pub start_limit_action: EmergencyAction,
    pub failure_action: EmergencyAction,
    pub success_action: EmergencyAction,
    pub refuse_manual_start: bool,
    pub refuse_manual_stop: bool,
    pub stop_when_unneeded: bool,
    pub collect_mode: CollectMode,
    /// Infinity unless set.
    pub job_timeout_sec: Span,
    /// As JobTimeoutSec unless set.
    pub job_running_timeout_sec: Span,
    pub reboot_argument: Option<String>,
    pub install: Install,
    pub service: Option<Service>,
    pub socket: Option<Socket>,
    /// Everything logged while reading it, in order.
    pub warnings: Vec<Warning>,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            name: String::new(),
            profile: Profile::V252,
            load_state: LoadState::Loaded,
            load_error: None,
            load_errno: None,
            fragment_path: None,
            drop_in_paths: Vec::new(),
            drop_in_dirs: Vec::new(),
            aliases: Vec::new(),
            description: None,
            documentation: Vec::new(),
            requires: Vec::new(),
            requisite: Vec::new(),
            wants: Vec::new(),
            binds_to: Vec::new(),
            part_of: Vec::new(),
            upholds: Vec::new(),
            conflicts: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            on_failure: Vec::new(),
            allow_isolate: false,
            ignore_on_isolate: false,
            on_failure_job_mode: JobMode::Replace,
            on_success_job_mode: JobMode::Fail,
            on_success: Vec::new(),
            propagates_reload_to: Vec::new(),
            reload_propagated_from: Vec::new(),
            propagates_stop_to: Vec::new(),
            stop_propagated_from: Vec::new(),
            joins_namespace_of: Vec::new(),
            wanted_by: Vec::new(),
            required_by: Vec::new(),
            default_dependencies: None,
            conditions: Vec::new(),
            asserts: Vec::new(),
            start_limit_interval_sec: None,
            start_limit_burst: None,
            start_limit_action: EmergencyAction::None,
            failure_action: EmergencyAction::None,
            success_action: EmergencyAction::None,
            refuse_manual_start: false,
            refuse_manual_stop: false,
            stop_when_unneeded: false,
            collect_mode: CollectMode::Inactive,
            job_timeout_sec: Span::INFINITY,
            job_running_timeout_sec: Span::INFINITY,
            reboot_argument: None,
            install: Install::default(),
            service: None,
            socket: None,
            warnings: Vec::new(),
        }
    }
}

impl Unit {
    /// How systemd names the unit in most messages: `NAME - DESCRIPTION`, or the name alone (SPEC 0).
    pub fn ident(&self) -> String {
        match &self.description {
            Some(text) if *text != self.name => format!("{} - {text}", self.name),
            _ => self.name.clone(),
        }
    }
}
