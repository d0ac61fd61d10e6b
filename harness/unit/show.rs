//! A unit's settings as properties, spelled as `systemctl show` prints them (systemctl(1); SPEC 9.3).

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::LazyLock;

use super::name;
use super::{Condition, ExecCommand, Listen, LoadState, Profile, Service, ServiceType, Syslog, Unit};
use crate::time::Span;

/// Where a property stands in [`PROPERTY_ORDER`].
pub(crate) fn rank(property: &str) -> Option<usize> {
    static RANKS: LazyLock<HashMap<&str, usize>> =
        LazyLock::new(|| PROPERTY_ORDER.iter().enumerate().map(|(rank, name)| (*name, rank)).collect());
    RANKS.get(property).copied()
}

/// The order in which `systemctl show` prints the properties of a service, whatever order they are asked in: the
/// manager's. It holds the properties that this harness may know, those of the run as well as those of the settings.
#[rustfmt::skip]
pub const PROPERTY_ORDER: &[&str] = &[
    "Type", "ExitType", "Restart", "RestartMode", "PIDFile", "NotifyAccess", "RestartUSec", "RestartSteps",
    "RestartMaxDelayUSec", "RestartUSecNext", "TimeoutStartUSec", "TimeoutStopUSec", "TimeoutAbortUSec",
    "TimeoutStartFailureMode", "TimeoutStopFailureMode", "RuntimeMaxUSec", "RuntimeRandomizedExtraUSec",
    "WatchdogUSec", "WatchdogTimestamp", "WatchdogTimestampMonotonic", "RootDirectoryStartOnly", "RemainAfterExit",
    "GuessMainPID", "RestartPreventExitStatus", "RestartForceExitStatus", "SuccessExitStatus", "MainPID",
    "ControlPID", "BusName", "FileDescriptorStoreMax", "NFileDescriptorStore", "FileDescriptorStorePreserve", "StatusText", "StatusErrno", "Result",
    "ReloadResult", "CleanResult", "UID", "GID", "NRestarts", "OOMPolicy", "ReloadSignal", "ExecMainStartTimestamp",
    "ExecMainStartTimestampMonotonic", "ExecMainExitTimestamp", "ExecMainExitTimestampMonotonic", "ExecMainPID",
    "ExecMainCode", "ExecMainStatus", "ExecCondition", "ExecConditionEx", "ExecStartPre", "ExecStartPreEx",
    "ExecStart", "ExecStartEx", "ExecStartPost", "ExecStartPostEx", "ExecReload", "ExecReloadEx", "ExecReloadPost",
    "ExecReloadPostEx", "ExecStop", "ExecStopEx", "ExecStopPost", "ExecStopPostEx", "BindIPv6Only", "Backlog",
    "TimeoutUSec", "SocketMode", "DirectoryMode", "Accept", "FlushPending", "KeepAlive", "NoDelay", "RemoveOnStop",
    "Listen", "Symlinks", "MaxConnections", "MaxConnectionsPerSource", "ReusePort", "NConnections", "NAccepted",
    "NRefused", "FileDescriptorName", "TriggerLimitIntervalUSec", "TriggerLimitBurst", "PollLimitIntervalUSec",
    "PollLimitBurst", "Slice", "ControlGroup",
    "MemoryCurrent", "CPUUsageNSec", "TasksCurrent", "Delegate", "Environment", "EnvironmentFiles", "PassEnvironment",
    "UnsetEnvironment", "UMask", "LimitCPU", "LimitCPUSoft", "LimitFSIZE", "LimitFSIZESoft", "LimitDATA",
    "LimitDATASoft", "LimitSTACK", "LimitSTACKSoft", "LimitCORE", "LimitCORESoft", "LimitRSS", "LimitRSSSoft",
    "LimitNOFILE", "LimitNOFILESoft", "LimitAS", "LimitASSoft", "LimitNPROC", "LimitNPROCSoft", "LimitMEMLOCK",
    "LimitMEMLOCKSoft", "LimitLOCKS", "LimitLOCKSSoft", "LimitSIGPENDING", "LimitSIGPENDINGSoft", "LimitMSGQUEUE",
    "LimitMSGQUEUESoft", "LimitNICE", "LimitNICESoft", "LimitRTPRIO", "LimitRTPRIOSoft", "LimitRTTIME",
    "LimitRTTIMESoft", "WorkingDirectory", "OOMScoreAdjust", "Nice", "NonBlocking", "StandardInput", "StandardOutput",
    "StandardError", "SyslogPriority", "SyslogIdentifier", "SyslogLevelPrefix", "SyslogLevel", "SyslogFacility",
    "LogLevelMax", "User", "Group", "PAMName", "IgnoreSIGPIPE", "KillMode", "KillSignal",
    "RestartKillSignal", "FinalKillSignal", "SendSIGKILL", "SendSIGHUP", "WatchdogSignal", "Id", "Names", "Requires",
    "Requisite", "Wants", "BindsTo", "PartOf", "Upholds", "RequiredBy", "WantedBy", "BoundBy", "UpheldBy",
    "ConsistsOf", "Conflicts", "ConflictedBy", "Before", "After", "OnSuccess", "OnSuccessOf", "OnFailure",
    "OnFailureOf", "Triggers", "TriggeredBy", "PropagatesReloadTo", "ReloadPropagatedFrom", "PropagatesStopTo",
    "StopPropagatedFrom", "JoinsNamespaceOf", "Documentation", "Description", "LoadState", "ActiveState",
    "FreezerState", "SubState", "FragmentPath", "DropInPaths", "UnitFileState", "UnitFilePreset",
    "StateChangeTimestamp", "StateChangeTimestampMonotonic", "InactiveExitTimestamp",
    "InactiveExitTimestampMonotonic", "ActiveEnterTimestamp", "ActiveEnterTimestampMonotonic", "ActiveExitTimestamp",
    "ActiveExitTimestampMonotonic", "InactiveEnterTimestamp", "InactiveEnterTimestampMonotonic", "CanStart",
    "CanStop", "CanReload", "CanIsolate", "CanClean", "CanFreeze", "Job", "StopWhenUnneeded", "RefuseManualStart",
    "RefuseManualStop", "AllowIsolate", "DefaultDependencies", "OnSuccessJobMode", "OnFailureJobMode",
    "IgnoreOnIsolate", "NeedDaemonReload", "JobTimeoutUSec", "JobRunningTimeoutUSec", "ConditionResult",
    "AssertResult", "ConditionTimestamp", "ConditionTimestampMonotonic", "AssertTimestamp",
    "AssertTimestampMonotonic", "Conditions", "Asserts", "LoadError", "Transient", "Perpetual",
    "StartLimitIntervalUSec", "StartLimitBurst", "StartLimitAction", "FailureAction", "SuccessAction",
    "RebootArgument", "InvocationID", "CollectMode",
];

/// The dependencies systemd adds on its own (systemd.service(5), "Automatic Dependencies").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the dependency of the same name")]
pub struct Implicit {
    pub requires: Vec<String>,
    pub wants: Vec<String>,
    pub conflicts: Vec<String>,
    pub before: Vec<String>,
    pub after: Vec<String>,
}

impl Unit {
    /// The description systemd shows: the file's, or the name.
    pub fn description(&self) -> &str {
        self.description.as_deref().unwrap_or(&self.name)
    }

    /// How long and how often it may be started: interval and burst, with systemd's defaults.
    pub fn start_limit(&self) -> (Span, u32) {
        (self.start_limit_interval_sec.unwrap_or(Span::from_secs(10)), self.start_limit_burst.unwrap_or(5))
    }

    /// The slice the unit runs in: `Slice=`, a slice of its own for each template, or `system.slice`.
    pub fn slice(&self) -> String {
        if let Some(slice) = self.service.as_ref().and_then(|service| service.slice.clone()) {
            return slice;
        }
        match name::instance(&self.name) {
            Some(_) => format!("system-{}.slice", name::escape(name::prefix(&self.name))),
            None => "system.slice".into(),
        }
    }

    /// The dependencies that are in no file.
    pub fn implicit(&self) -> Implicit {
        let mut all = Implicit::default();
        if self.load_state != LoadState::Loaded {
            return all;
        }
        if let Some(service) = &self.service {
            let slice = self.slice();
            all.requires.push(slice.clone());
            if self.default_dependencies.unwrap_or(true) {
                all.requires.push("sysinit.target".into());
                all.after.extend(["sysinit.target".into(), "basic.target".into()]);
                all.before.push("shutdown.target".into());
                all.conflicts.push("shutdown.target".into());
            }
            let to_journal = |stream: &str| ["journal", "kmsg"].iter().any(|kind| stream.starts_with(kind));
            if to_journal(&service.standard_output) || to_journal(&service.standard_error) {
                all.after.push("systemd-journald.socket".into());
            }
            all.after.push(slice);
            for socket in &service.sockets {
                all.wants.push(socket.clone());
                all.after.push(socket.clone());
            }
            if service.service_type == ServiceType::Dbus {
                all.requires.push("dbus.socket".into());
                all.after.push("dbus.socket".into());
            }
        }
        all
    }

    /// One property of the settings, `None` if the harness does not know it. A property that may have several lines
    /// (`ExecStart`, `EnvironmentFiles`) gives its first.
    pub fn property(&self, key: &str) -> Option<String> {
        self.properties().into_iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The properties that follow from the unit's files alone, in the order of [`PROPERTY_ORDER`], empty ones too
    /// (`systemctl show` prints those only if asked for by name). What belongs to the run is the manager's to add.
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let mut out = Lines(Vec::new());
        if let Some(service) = &self.service {
            service_lines(service, self.profile, &mut out);
        }
        if let Some(socket) = &self.socket {
            let accept = socket.accept;
            out.add(
                "BindIPv6Only",
                match socket.bind_ipv6_only {
                    None => "default",
                    Some(false) => "both",
                    Some(true) => "ipv6-only",
                },
            );
            // What stands for "as many as the kernel takes" has changed its type.
            let most = if self.profile == Profile::V252 { i32::MAX.unsigned_abs() } else { u32::MAX };
            out.add("Backlog", socket.backlog.unwrap_or(most));
            out.add("TimeoutUSec", socket.timeout_sec.unwrap_or(Span::from_secs(90)));
            out.flag("Accept", accept);
            out.flag("RemoveOnStop", socket.remove_on_stop);
            for Listen { kind, address } in &socket.listen {
                out.add("Listen", format!("{address} ({})", kind.as_str()));
            }
            out.add("SocketMode", format!("{:04o}", socket.socket_mode.unwrap_or(0o666)));
            out.add("DirectoryMode", format!("{:04o}", socket.directory_mode.unwrap_or(0o755)));
            out.flag("FlushPending", socket.flush_pending);
            out.flag("KeepAlive", socket.keep_alive);
            out.flag("NoDelay", socket.no_delay);
            out.add("Symlinks", socket.symlinks.join(" "));
            out.add("MaxConnections", socket.max_connections.unwrap_or(64));
            out.add("MaxConnectionsPerSource", socket.max_connections_per_source);
            out.flag("ReusePort", socket.reuse_port);
            out.add(
                "FileDescriptorName",
                match &socket.file_descriptor_name {
                    Some(name) => name,
                    None if accept => "connection",
                    None => &self.name,
                },
            );
            out.add("TriggerLimitIntervalUSec", socket.trigger_limit_interval_sec.unwrap_or(Span::from_secs(2)));
            out.add("TriggerLimitBurst", socket.trigger_limit_burst.unwrap_or(if accept { 200 } else { 20 }));
            if self.profile >= Profile::V257 {
                out.add("PollLimitIntervalUSec", socket.poll_limit_interval_sec.unwrap_or(Span::from_secs(2)));
                out.add("PollLimitBurst", socket.poll_limit_burst.unwrap_or(if accept { 150 } else { 15 }));
            }
        }
        if self.service.is_some() && self.load_state == LoadState::Loaded {
            out.add("Slice", self.slice());
        }
        self.unit_lines(&mut out);
        let mut lines = out.0;
        lines.sort_by_cached_key(|(key, _)| rank(key));
        lines
    }

    fn unit_lines(&self, out: &mut Lines) {
        let implicit = self.implicit();
        out.add("Id", &self.name);
        let names: Vec<&str> = std::iter::once(&self.name).chain(&self.aliases).map(String::as_str).collect();
        out.add("Names", names.join(" "));
        for (key, own, added) in [
            ("Requires", &self.requires, implicit.requires),
            ("Requisite", &self.requisite, Vec::new()),
            ("Wants", &self.wants, implicit.wants),
            ("BindsTo", &self.binds_to, Vec::new()),
            ("PartOf", &self.part_of, Vec::new()),
            ("Upholds", &self.upholds, Vec::new()),
            ("RequiredBy", &self.required_by, Vec::new()),
            ("WantedBy", &self.wanted_by, Vec::new()),
            ("Conflicts", &self.conflicts, implicit.conflicts),
            ("Before", &self.before, implicit.before),
            ("After", &self.after, implicit.after),
            ("OnSuccess", &self.on_success, Vec::new()),
            ("OnFailure", &self.on_failure, Vec::new()),
            ("PropagatesReloadTo", &self.propagates_reload_to, Vec::new()),
            ("ReloadPropagatedFrom", &self.reload_propagated_from, Vec::new()),
            ("PropagatesStopTo", &self.propagates_stop_to, Vec::new()),
            ("StopPropagatedFrom", &self.stop_propagated_from, Vec::new()),
            ("JoinsNamespaceOf", &self.joins_namespace_of, Vec::new()),
        ] {
            let mut all: Vec<String> = added;
            all.extend(own.iter().cloned());
            let mut known = HashSet::new();
            let unique: Vec<&str> = all.iter().map(String::as_str).filter(|name| known.insert(*name)).collect();
            out.add(key, unique.join(" "));
        }
        out.add("Documentation", quoted(&self.documentation));
        out.add("Description", self.description());
        out.add("LoadState", self.load_state.as_str());
        out.add("FragmentPath", self.fragment_path.as_deref().unwrap_or_default());
        out.add("DropInPaths", quoted(&self.drop_in_paths));
        out.flag("StopWhenUnneeded", self.stop_when_unneeded);
        out.flag("RefuseManualStart", self.refuse_manual_start);
        out.flag("RefuseManualStop", self.refuse_manual_stop);
        out.flag("AllowIsolate", self.allow_isolate);
        out.add("OnSuccessJobMode", self.on_success_job_mode);
        out.add("OnFailureJobMode", self.on_failure_job_mode);
        out.flag("IgnoreOnIsolate", self.ignore_on_isolate);
        out.flag("DefaultDependencies", self.default_dependencies.unwrap_or(true));
        out.add("JobTimeoutUSec", self.job_timeout_sec);
        out.add("JobRunningTimeoutUSec", self.job_running_timeout_sec);
        out.add("LoadError", self.load_error_line());
        let (interval, burst) = self.start_limit();
        out.add("StartLimitIntervalUSec", interval);
        out.add("StartLimitBurst", burst);
        out.add("StartLimitAction", self.start_limit_action);
        out.add("FailureAction", self.failure_action);
        out.add("SuccessAction", self.success_action);
        out.add("RebootArgument", self.reboot_argument.as_deref().unwrap_or_default());
        out.add("CollectMode", self.collect_mode);
    }

    /// `LoadError=org.freedesktop.systemd1.NoSuchUnit "Unit x.service not found."`
    fn load_error_line(&self) -> String {
        let text = self.load_error.as_deref().unwrap_or_default();
        let name = match self.load_state {
            LoadState::Loaded => return String::new(),
            LoadState::NotFound => "systemd1.NoSuchUnit",
            LoadState::BadSetting => "systemd1.BadUnitSetting",
            LoadState::Masked => "systemd1.UnitMasked",
            // The bus has names for some errors of the C library (sd-bus-errors(3)).
            LoadState::Error => match text.rsplit(": ").next() {
                Some("Bad message") => "DBus.Error.InconsistentMessage",
                Some("Invalid argument") => "DBus.Error.InvalidArgs",
                Some("No buffer space available") => "DBus.Error.LimitsExceeded",
                _ => "systemd1.LoadFailed",
            },
        };
        format!("org.freedesktop.{name} \"{text}\"")
    }
}

/// Lines as they are collected.
struct Lines(Vec<(&'static str, String)>);

impl Lines {
    fn add(&mut self, key: &'static str, value: impl Display) {
        self.0.push((key, value.to_string()));
    }

    fn flag(&mut self, key: &'static str, value: bool) {
        self.add(key, if value { "yes" } else { "no" });
    }
}

fn service_lines(service: &Service, profile: Profile, out: &mut Lines) {
    out.add("Type", if service.is_untyped { "" } else { service.service_type.as_str() });
    out.add("ExitType", service.exit_type);
    out.add("Restart", service.restart);
    out.add("PIDFile", service.pid_file.as_deref().unwrap_or_default());
    out.add("NotifyAccess", service.notify_access);
    out.add("RestartUSec", service.restart_sec);
    if profile >= Profile::V257 {
        out.add("RestartMode", service.restart_mode);
        out.add("RestartSteps", service.restart_steps);
        out.add("RestartMaxDelayUSec", service.restart_max_delay_sec);
        out.add("ReloadSignal", service.reload_signal);
    }
    out.add("TimeoutStartUSec", service.timeout_start_sec);
    out.add("TimeoutStopUSec", service.timeout_stop_sec);
    out.add("TimeoutAbortUSec", service.timeout_abort_sec.unwrap_or(service.timeout_stop_sec));
    out.add("TimeoutStartFailureMode", service.timeout_start_failure_mode);
    out.add("TimeoutStopFailureMode", service.timeout_stop_failure_mode);
    out.add("RuntimeMaxUSec", service.runtime_max_sec);
    out.add("RuntimeRandomizedExtraUSec", service.runtime_randomized_extra_sec);
    out.flag("RootDirectoryStartOnly", service.root_directory_start_only);
    out.flag("RemainAfterExit", service.remain_after_exit);
    out.flag("GuessMainPID", service.guess_main_pid);
    out.add("RestartPreventExitStatus", &service.restart_prevent_exit_status);
    out.add("RestartForceExitStatus", &service.restart_force_exit_status);
    out.add("SuccessExitStatus", &service.success_exit_status);
    out.add("BusName", service.bus_name.as_deref().unwrap_or_default());
    out.add("FileDescriptorStoreMax", service.file_descriptor_store_max);
    out.add("OOMPolicy", service.oom_policy);
    for (key, extended, list) in [
        ("ExecCondition", "ExecConditionEx", &service.exec_condition),
        ("ExecStartPre", "ExecStartPreEx", &service.exec_start_pre),
        ("ExecStart", "ExecStartEx", &service.exec_start),
        ("ExecStartPost", "ExecStartPostEx", &service.exec_start_post),
        ("ExecReload", "ExecReloadEx", &service.exec_reload),
        ("ExecReloadPost", "ExecReloadPostEx", &service.exec_reload_post),
        ("ExecStop", "ExecStopEx", &service.exec_stop),
        ("ExecStopPost", "ExecStopPostEx", &service.exec_stop_post),
    ] {
        list.iter().for_each(|command| out.add(key, command_line(command, false)));
        list.iter().for_each(|command| out.add(extended, command_line(command, true)));
    }
    let assignments: Vec<String> = service.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    out.add("Environment", quoted(&assignments));
    for (path, missing_ok) in &service.environment_file {
        out.add("EnvironmentFiles", format!("{path} (ignore_errors={})", if *missing_ok { "yes" } else { "no" }));
    }
    out.add("PassEnvironment", quoted(&service.pass_environment));
    out.add("UnsetEnvironment", quoted(&service.unset_environment));
    out.add("UMask", format!("{:04o}", service.umask));
    for (key, (soft, hard)) in &service.limits {
        let print = |value: u64| if value == u64::MAX { "infinity".to_owned() } else { value.to_string() };
        let known = |key: &str| PROPERTY_ORDER.get(rank(key)?).copied();
        if let (Some(hard_key), Some(soft_key)) = (known(key), known(&format!("{key}Soft"))) {
            out.add(hard_key, print(*hard));
            out.add(soft_key, print(*soft));
        }
    }
    let directory =
        if service.working_directory_home { "~" } else { service.working_directory.as_deref().unwrap_or("") };
    let mark = if service.working_directory_missing_ok { "!" } else { "" };
    out.add("WorkingDirectory", format!("{mark}{directory}"));
    out.add("OOMScoreAdjust", service.oom_score_adjust.unwrap_or(0));
    out.add("Nice", service.nice);
    out.flag("NonBlocking", service.non_blocking);
    // The kind alone; paths and names are not shown.
    let kind = |stream: &str| stream.split(':').next().unwrap_or_default().to_owned();
    out.add("StandardInput", kind(&service.standard_input));
    out.add("StandardOutput", kind(&service.standard_output));
    out.add("StandardError", kind(&service.standard_error));
    let Syslog { level, facility, level_prefix, level_max } = service.syslog;
    out.add("SyslogPriority", u16::from(facility) << 3 | u16::from(level));
    out.add("SyslogIdentifier", service.syslog_identifier.as_deref().unwrap_or_default());
    out.flag("SyslogLevelPrefix", level_prefix);
    out.add("SyslogLevel", level);
    out.add("SyslogFacility", facility);
    out.add("LogLevelMax", level_max.map_or(-1, i16::from));
    out.add("User", service.user.as_deref().unwrap_or_default());
    out.add("Group", service.group.as_deref().unwrap_or_default());
    out.add("PAMName", service.pam_name.as_deref().unwrap_or_default());
    out.flag("IgnoreSIGPIPE", service.ignore_sigpipe);
    out.add("KillMode", service.kill_mode);
    out.add("KillSignal", service.kill_signal);
    out.add("RestartKillSignal", service.restart_kill_signal.unwrap_or(service.kill_signal));
    out.add("FinalKillSignal", service.final_kill_signal);
    out.flag("SendSIGKILL", service.send_sigkill);
    out.flag("SendSIGHUP", service.send_sighup);
    out.add("WatchdogSignal", service.watchdog_signal);
}

/// A command that has not run yet, as `ExecStart=` or, with its flags, as `ExecStartEx=`.
fn command_line(command: &ExecCommand, extended: bool) -> String {
    let argv = command.argv.join(" ");
    let how = if extended {
        let mut flags = Vec::new();
        if command.ignore_failure {
            flags.push("ignore-failure");
        }
        match command.privileges {
            "+" => flags.push("privileged"),
            "!" => flags.push("no-setuid"),
            "!!" => flags.push("ambient"),
            _ => {}
        }
        if command.no_env_expand {
            flags.push("no-env-expand");
        }
        if command.via_shell {
            flags.push("via-shell");
        }
        format!("flags={}", flags.join(" "))
    } else {
        format!("ignore_errors={}", if command.ignore_failure { "yes" } else { "no" })
    };
    let path = &command.path;
    format!(
        "{{ path={path} ; argv[]={argv} ; {how} ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }}"
    )
}

/// A list of strings, those that need it in double quotes, as a shell would read them.
pub(crate) fn quoted(words: &[String]) -> String {
    let quote = |word: &String| {
        let special = |c: char| c.is_ascii_control() || " \t\n\r\"\\`$*?['()<>|&;!".contains(c);
        if !word.contains(special) {
            return word.clone();
        }
        let mut out = String::from('"');
        for c in word.chars() {
            match c {
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\x0b' => out.push_str("\\v"),
                '\x0c' => out.push_str("\\f"),
                '\r' => out.push_str("\\r"),
                c if c.is_ascii_control() => out.push_str(&format!("\\{:03o}", u32::from(c))),
                '"' | '\\' | '`' | '$' => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
        out.push('"');
        out
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

impl Display for Condition {
    /// `ConditionPathExists=|!/x`, as a unit file says it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let trigger = if self.trigger { "|" } else { "" };
        let negate = if self.negate { "!" } else { "" };
        write!(f, "{}={trigger}{negate}{}", self.key, self.parameter)
    }
}
