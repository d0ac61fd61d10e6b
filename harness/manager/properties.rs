//! Properties of units as `systemctl show` prints them, and the lists of units and jobs.
//!
//! They are put together when somebody asks; the manager itself never looks at them.

use super::interface::{ExecRole, Exit, Host, JobId};
use super::load::commands;
use super::loaded::{ExecStatus, Kind, Loaded, ROLES, Relation, role_index};
use super::states::ActiveState;
use super::{Manager, builtin};
use crate::time::{IncidentTime, Span};
use crate::unit::{ExecCommand, FileEntry, LoadState, SEARCH_PATH, ServiceType};

/// One line of `systemctl list-units`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitRow {
    /// Full name.
    pub name: String,
    /// LOAD.
    pub load: &'static str,
    /// ACTIVE.
    pub active: &'static str,
    /// SUB.
    pub sub: &'static str,
    /// Type of the queued job.
    pub job: Option<&'static str>,
    /// DESCRIPTION.
    pub description: String,
}

/// One line of `systemctl list-jobs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// JOB.
    pub id: JobId,
    /// UNIT.
    pub unit: String,
    /// TYPE.
    pub kind: &'static str,
    /// STATE: `waiting` or `running`.
    pub state: &'static str,
}

/// Property names and values in the order of `systemctl show`.
struct Sheet {
    rows: Vec<(&'static str, String)>,
    boot: IncidentTime,
}

impl Sheet {
    fn put(&mut self, name: &'static str, value: impl Into<String>) {
        self.rows.push((name, value.into()));
    }

    fn flag(&mut self, name: &'static str, value: bool) {
        self.put(name, if value { "yes" } else { "no" });
    }

    fn number(&mut self, name: &'static str, value: impl ToString) {
        self.put(name, value.to_string());
    }

    fn span(&mut self, name: &'static str, value: Span) {
        self.put(name, value.to_string());
    }

    /// A moment on both clocks.
    fn stamp(&mut self, names: [&'static str; 2], at: Option<IncidentTime>) {
        self.put(names[0], at.map(wall).unwrap_or_default());
        self.put(names[1], at.map_or(0, |at| at.since(self.boot).as_micros()).to_string());
    }
}

fn wall(at: IncidentTime) -> String {
    at.strftime("%a %Y-%m-%d %H:%M:%S UTC")
}

/// `{ path=… ; argv[]=… ; … }`.
fn command_text(command: &ExecCommand, status: ExecStatus, extended: bool) -> String {
    let moment = |at: Option<IncidentTime>| at.map_or_else(|| "n/a".into(), wall);
    let (code, exit) = match status.exit {
        None => ("(null)", "0/0".to_owned()),
        Some(Exit::Code(code)) => ("exited", code.to_string()),
        Some(Exit::Signal(signal)) => ("killed", format!("{signal}/{}", crate::unit::signal::name(signal))),
        Some(Exit::Dumped(signal)) => ("dumped", format!("{signal}/{}", crate::unit::signal::name(signal))),
    };
    let flags = if extended {
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
        format!("flags={}", flags.join(" "))
    } else {
        format!("ignore_errors={}", if command.ignore_failure { "yes" } else { "no" })
    };
    format!(
        "{{ path={} ; argv[]={} ; {flags} ; start_time=[{}] ; stop_time=[{}] ; pid={} ; code={code} ; status={exit} }}",
        command.path,
        command.argv.join(" "),
        moment(status.start),
        moment(status.stop),
        status.pid
    )
}

/// The two properties of a command list.
const fn role_names(role: ExecRole) -> [&'static str; 2] {
    match role {
        ExecRole::Condition => ["ExecCondition", "ExecConditionEx"],
        ExecRole::StartPre => ["ExecStartPre", "ExecStartPreEx"],
        ExecRole::Start => ["ExecStart", "ExecStartEx"],
        ExecRole::StartPost => ["ExecStartPost", "ExecStartPostEx"],
        ExecRole::Reload => ["ExecReload", "ExecReloadEx"],
        ExecRole::Stop => ["ExecStop", "ExecStopEx"],
        ExecRole::StopPost => ["ExecStopPost", "ExecStopPostEx"],
    }
}

/// `ExecMainCode`: how waitid(2) counts ends.
const fn exit_code(exit: Option<Exit>) -> u8 {
    match exit {
        None => 0,
        Some(Exit::Code(_)) => 1,
        Some(Exit::Signal(_)) => 2,
        Some(Exit::Dumped(_)) => 3,
    }
}

const fn exit_status(exit: Option<Exit>) -> i32 {
    match exit {
        None => 0,
        Some(Exit::Code(code)) => code as i32,
        Some(Exit::Signal(signal) | Exit::Dumped(signal)) => signal,
    }
}

impl Manager {
    /// All properties of a loaded unit that the manager knows, in the order of `systemctl show`; empty ones
    /// included. A list of commands is one entry a command. `None`: the unit is not loaded.
    ///
    /// To see the properties of any unit, send [`super::Request::Show`] first, as systemctl's look at it does.
    pub fn properties(&self, host: &dyn Host, name: &str) -> Option<Vec<(&'static str, String)>> {
        let unit = self.present(name)?;
        let mut sheet = Sheet { rows: Vec::with_capacity(160), boot: self.boot };
        match unit.kind {
            Kind::Service => self.service_properties(host, unit, &mut sheet),
            Kind::Socket => socket_properties(unit, &mut sheet),
            Kind::Target | Kind::Other => {}
        }
        self.unit_properties(host, unit, &mut sheet);
        Some(sheet.rows)
    }

    /// One property of a loaded unit.
    pub fn property(&self, host: &dyn Host, name: &str, property: &str) -> Option<String> {
        self.properties(host, name)?.into_iter().find(|(key, _)| *key == property).map(|(_, value)| value)
    }

    /// `ActiveState` and `SubState` of a unit, without everything else; those of an unloaded unit if it is not loaded.
    pub fn state(&self, name: &str) -> (ActiveState, &'static str) {
        self.present(name).map_or((ActiveState::Inactive, "dead"), |unit| (unit.active(), unit.sub_state()))
    }

    /// Whether the unit is loaded.
    pub fn is_loaded(&self, name: &str) -> bool {
        self.present(name).is_some()
    }

    /// `NRestarts`.
    pub fn n_restarts(&self, name: &str) -> u32 {
        self.present(name).map_or(0, |unit| unit.service.n_restarts)
    }

    /// The result of the last run, in systemd's spelling.
    pub fn result(&self, name: &str) -> &'static str {
        match self.present(name) {
            Some(unit) if unit.kind == Kind::Socket => unit.socket.result.as_str(),
            Some(unit) => unit.service.result.as_str(),
            None => "success",
        }
    }

    /// Main and control process of a service; 0 if there is none.
    pub fn pids(&self, name: &str) -> (super::Pid, super::Pid) {
        self.present(name).map_or((0, 0), |unit| (unit.service.main_pid, unit.service.control_pid))
    }

    /// Every command of a service with how its last run went, in systemd's order (`Process:` lines of status).
    pub fn commands(&self, name: &str) -> Vec<(ExecRole, ExecCommand, ExecStatus)> {
        let Some(unit) = self.present(name).filter(|unit| unit.kind == Kind::Service) else { return Vec::new() };
        let mut list = Vec::new();
        for role in ROLES {
            let statuses = &unit.service.statuses[role_index(role)];
            for (command, status) in commands(&unit.config, role).iter().zip(statuses) {
                list.push((role, command.clone(), *status));
            }
        }
        list
    }

    /// All loaded units, by name.
    pub fn units(&self) -> Vec<UnitRow> {
        let mut rows: Vec<UnitRow> = self
            .units
            .iter()
            .filter(|unit| unit.present)
            .map(|unit| UnitRow {
                name: unit.name.to_string(),
                load: unit.def.load_state.as_str(),
                active: unit.active().as_str(),
                sub: unit.sub_state(),
                job: unit.job.as_ref().map(|job| job.kind.as_str()),
                description: unit.def.description.clone().unwrap_or_else(|| unit.name.to_string()),
            })
            .collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    /// All queued jobs, by number.
    pub fn jobs(&self) -> Vec<JobRow> {
        let mut rows: Vec<JobRow> = self
            .units
            .iter()
            .filter_map(|unit| {
                unit.job.as_ref().map(|job| JobRow {
                    id: job.id,
                    unit: unit.name.to_string(),
                    kind: job.kind.as_str(),
                    state: if job.running { "running" } else { "waiting" },
                })
            })
            .collect();
        rows.sort_by_key(|row| row.id);
        rows
    }

    fn service_properties(&self, host: &dyn Host, unit: &Loaded, sheet: &mut Sheet) {
        let (config, run) = (&unit.config, &unit.service);
        sheet.put("Type", config.service_type.as_str());
        sheet.put("ExitType", config.exit_type.as_str());
        sheet.put("Restart", config.restart.as_str());
        if self.rules.restart_steps {
            sheet.put("RestartMode", config.restart_mode.as_str());
        }
        sheet.put("PIDFile", config.pid_file.clone().unwrap_or_default());
        sheet.put("NotifyAccess", config.notify_access.as_str());
        sheet.span("RestartUSec", config.restart_sec);
        if self.rules.restart_steps {
            sheet.number("RestartSteps", config.restart_steps);
            sheet.span("RestartMaxDelayUSec", config.restart_max_delay_sec);
            let next = super::restart_delay(config, run.n_restarts.saturating_add(1));
            sheet.span("RestartUSecNext", next);
        }
        sheet.span("TimeoutStartUSec", config.timeout_start_sec);
        sheet.span("TimeoutStopUSec", config.timeout_stop_sec);
        sheet.span("TimeoutAbortUSec", config.timeout_abort_sec.unwrap_or(config.timeout_stop_sec));
        sheet.put("TimeoutStartFailureMode", config.timeout_start_failure_mode.as_str());
        sheet.put("TimeoutStopFailureMode", config.timeout_stop_failure_mode.as_str());
        sheet.span("RuntimeMaxUSec", config.runtime_max_sec);
        sheet.span("RuntimeRandomizedExtraUSec", config.runtime_randomized_extra_sec);
        sheet.span("WatchdogUSec", run.watchdog_override.unwrap_or(config.watchdog_sec));
        sheet.stamp(["WatchdogTimestamp", "WatchdogTimestampMonotonic"], run.watchdog_stamp);
        sheet.flag("RootDirectoryStartOnly", config.root_directory_start_only);
        sheet.flag("RemainAfterExit", config.remain_after_exit);
        sheet.flag("GuessMainPID", config.guess_main_pid);
        sheet.number("RestartPreventExitStatus", &config.restart_prevent_exit_status);
        sheet.number("RestartForceExitStatus", &config.restart_force_exit_status);
        sheet.number("SuccessExitStatus", &config.success_exit_status);
        sheet.number("MainPID", run.main_pid);
        sheet.number("ControlPID", run.control_pid);
        sheet.put("BusName", config.bus_name.clone().unwrap_or_default());
        sheet.number("FileDescriptorStoreMax", config.file_descriptor_store_max);
        sheet.put("NFileDescriptorStore", "0");
        sheet.put("StatusText", run.status_text.clone().unwrap_or_default());
        sheet.number("StatusErrno", run.status_errno);
        sheet.put("Result", run.result.as_str());
        sheet.put("ReloadResult", run.reload_result.as_str());
        sheet.put("CleanResult", "success");
        sheet.number("NRestarts", run.n_restarts);
        sheet.put("OOMPolicy", config.oom_policy.as_str());
        let main = run.main_status;
        sheet.stamp(["ExecMainStartTimestamp", "ExecMainStartTimestampMonotonic"], main.start);
        sheet.stamp(["ExecMainExitTimestamp", "ExecMainExitTimestampMonotonic"], main.stop);
        sheet.number("ExecMainPID", main.pid);
        sheet.number("ExecMainCode", exit_code(main.exit));
        sheet.number("ExecMainStatus", exit_status(main.exit));
        for role in ROLES {
            let list = commands(config, role).iter().zip(&run.statuses[role_index(role)]);
            for (index, name) in role_names(role).into_iter().enumerate() {
                for (command, status) in list.clone() {
                    sheet.put(name, command_text(command, *status, index == 1));
                }
            }
        }
        sheet.put("Slice", config.slice.clone().unwrap_or_else(|| "system.slice".into()));
        let live = !unit.active().is_down() && run.state != super::ServiceState::AutoRestart;
        let group = if live { format!("/system.slice/{}", unit.name) } else { String::new() };
        sheet.put("ControlGroup", group);
        let used = u128::from(host.cpu_time(&unit.name).as_micros()) * 1000;
        let started = run.main_status.start.is_some();
        sheet.put("CPUUsageNSec", if started { used.to_string() } else { "[not set]".into() });
        sheet.put("Environment", environment_text(&config.environment));
        let files: Vec<String> = config
            .environment_file
            .iter()
            .map(|(path, optional)| format!("{path} (ignore_errors={})", if *optional { "yes" } else { "no" }))
            .collect();
        if files.is_empty() {
            sheet.put("EnvironmentFiles", "");
        }
        for file in files {
            sheet.put("EnvironmentFiles", file);
        }
        sheet.put("PassEnvironment", config.pass_environment.join(" "));
        sheet.put("UnsetEnvironment", config.unset_environment.join(" "));
        sheet.put("UMask", format!("{:04o}", config.umask));
        let directory = match &config.working_directory {
            _ if config.working_directory_home => "~".to_owned(),
            Some(path) => path.clone(),
            None => String::new(),
        };
        let missing_ok = if config.working_directory_missing_ok && !directory.is_empty() { "!" } else { "" };
        sheet.put("WorkingDirectory", format!("{missing_ok}{directory}"));
        sheet.number("Nice", config.nice);
        sheet.flag("NonBlocking", config.non_blocking);
        sheet.put("StandardInput", config.standard_input.clone());
        sheet.put("StandardOutput", stream(&config.standard_output));
        sheet.put("StandardError", stream(&config.standard_error));
        sheet.put("SyslogIdentifier", config.syslog_identifier.clone().unwrap_or_default());
        sheet.put("User", config.user.clone().unwrap_or_default());
        sheet.put("Group", config.group.clone().unwrap_or_default());
        sheet.flag("IgnoreSIGPIPE", config.ignore_sigpipe);
        sheet.put("KillMode", config.kill_mode.as_str());
        sheet.number("KillSignal", config.kill_signal);
        sheet.number("RestartKillSignal", config.restart_kill_signal.unwrap_or(config.kill_signal));
        sheet.number("FinalKillSignal", config.final_kill_signal);
        sheet.flag("SendSIGKILL", config.send_sigkill);
        sheet.flag("SendSIGHUP", config.send_sighup);
        sheet.number("WatchdogSignal", config.watchdog_signal);
        if self.rules.notify_reload {
            sheet.number("ReloadSignal", config.reload_signal);
        }
    }

    fn unit_properties(&self, host: &dyn Host, unit: &Loaded, sheet: &mut Sheet) {
        let def = &unit.def;
        sheet.put("Id", &*unit.name);
        let names: Vec<&str> = std::iter::once(&*unit.name).chain(def.aliases.iter().map(String::as_str)).collect();
        sheet.put("Names", names.join(" "));
        for (name, relation) in [
            ("Requires", Relation::Requires),
            ("Requisite", Relation::Requisite),
            ("Wants", Relation::Wants),
            ("BindsTo", Relation::BindsTo),
            ("PartOf", Relation::PartOf),
            ("Upholds", Relation::Upholds),
            ("RequiredBy", Relation::RequiredBy),
            ("RequisiteOf", Relation::RequisiteOf),
            ("WantedBy", Relation::WantedBy),
            ("BoundBy", Relation::BoundBy),
            ("UpheldBy", Relation::UpheldBy),
            ("ConsistsOf", Relation::ConsistsOf),
            ("Conflicts", Relation::Conflicts),
            ("ConflictedBy", Relation::ConflictedBy),
            ("Before", Relation::Before),
            ("After", Relation::After),
            ("OnSuccess", Relation::OnSuccess),
            ("OnSuccessOf", Relation::OnSuccessOf),
            ("OnFailure", Relation::OnFailure),
            ("OnFailureOf", Relation::OnFailureOf),
            ("Triggers", Relation::Triggers),
            ("TriggeredBy", Relation::TriggeredBy),
        ] {
            sheet.put(name, self.related_names(unit, relation).join(" "));
        }
        sheet.put("Documentation", def.documentation.join(" "));
        sheet.put("Description", def.description.clone().unwrap_or_else(|| unit.name.to_string()));
        sheet.put("LoadState", def.load_state.as_str());
        sheet.put("ActiveState", unit.active().as_str());
        sheet.put("FreezerState", "running");
        sheet.put("SubState", unit.sub_state());
        sheet.put("FragmentPath", def.fragment_path.clone().unwrap_or_default());
        sheet.put("SourcePath", "");
        sheet.put("DropInPaths", def.drop_in_paths.join(" "));
        sheet.put("UnitFileState", self.unit_file_state(host, unit));
        let preset = if def.load_state == LoadState::Loaded && def.fragment_path.is_some() { "enabled" } else { "" };
        sheet.put("UnitFilePreset", preset);
        let stamps = &unit.stamps;
        sheet.stamp(["StateChangeTimestamp", "StateChangeTimestampMonotonic"], stamps.state_change);
        sheet.stamp(["InactiveExitTimestamp", "InactiveExitTimestampMonotonic"], stamps.inactive_exit);
        sheet.stamp(["ActiveEnterTimestamp", "ActiveEnterTimestampMonotonic"], stamps.active_enter);
        sheet.stamp(["ActiveExitTimestamp", "ActiveExitTimestampMonotonic"], stamps.active_exit);
        sheet.stamp(["InactiveEnterTimestamp", "InactiveEnterTimestampMonotonic"], stamps.inactive_enter);
        let loaded = def.load_state == LoadState::Loaded;
        sheet.flag("CanStart", loaded && !def.refuse_manual_start);
        sheet.flag("CanStop", !def.refuse_manual_stop);
        let reloads = unit.kind == Kind::Service
            && (!unit.config.exec_reload.is_empty() || unit.config.service_type == ServiceType::NotifyReload);
        sheet.flag("CanReload", reloads);
        sheet.flag("CanIsolate", false);
        sheet.put("CanClean", "");
        sheet.flag("CanFreeze", matches!(unit.kind, Kind::Service));
        sheet.put("Job", unit.job.as_ref().map_or_else(String::new, |job| job.id.to_string()));
        sheet.flag("StopWhenUnneeded", def.stop_when_unneeded);
        sheet.flag("RefuseManualStart", def.refuse_manual_start);
        sheet.flag("RefuseManualStop", def.refuse_manual_stop);
        sheet.flag("AllowIsolate", false);
        sheet.flag("DefaultDependencies", def.default_dependencies.unwrap_or(true));
        sheet.put("OnSuccessJobMode", "fail");
        sheet.put("OnFailureJobMode", "replace");
        sheet.flag("IgnoreOnIsolate", false);
        sheet.flag("NeedDaemonReload", self.needs_reload(host, &unit.name));
        let job_timeout = if def.job_timeout_sec.is_zero() { Span::INFINITY } else { def.job_timeout_sec };
        sheet.span("JobTimeoutUSec", job_timeout);
        sheet.span("JobRunningTimeoutUSec", def.job_running_timeout_sec);
        sheet.put("JobTimeoutAction", "none");
        sheet.flag("ConditionResult", unit.condition_result);
        sheet.flag("AssertResult", unit.assert_result);
        sheet.stamp(["ConditionTimestamp", "ConditionTimestampMonotonic"], stamps.condition);
        sheet.stamp(["AssertTimestamp", "AssertTimestampMonotonic"], stamps.assert);
        sheet.put("LoadError", load_error(unit));
        sheet.flag("Transient", false);
        sheet.flag("Perpetual", false);
        sheet.span("StartLimitIntervalUSec", def.start_limit_interval_sec.unwrap_or(Span::from_secs(10)));
        sheet.number("StartLimitBurst", def.start_limit_burst.unwrap_or(5));
        sheet.put("StartLimitAction", def.start_limit_action.as_str());
        sheet.put("FailureAction", def.failure_action.as_str());
        sheet.put("SuccessAction", def.success_action.as_str());
        sheet.put("RebootArgument", def.reboot_argument.clone().unwrap_or_default());
        sheet.put("InvocationID", unit.invocation.as_deref().unwrap_or_default());
        sheet.put("CollectMode", def.collect_mode.as_str());
    }

    /// The names of related units, and what the default dependencies add to them.
    fn related_names(&self, unit: &Loaded, relation: Relation) -> Vec<String> {
        let mut names: Vec<String> =
            unit.related(relation).map(|other| self.units[other.0 as usize].name.to_string()).collect();
        let defaults = matches!(unit.kind, Kind::Service | Kind::Socket)
            && unit.def.load_state == LoadState::Loaded
            && unit.def.default_dependencies.unwrap_or(true)
            && builtin::unit(&unit.name).is_none();
        if unit.kind == Kind::Service && unit.def.load_state == LoadState::Loaded {
            let implied: &[&str] = match relation {
                Relation::Requires => &["system.slice"],
                Relation::After => &["system.slice", "systemd-journald.socket"],
                _ => &[],
            };
            names.extend(implied.iter().map(|&name| name.to_owned()));
        }
        if defaults {
            let implied: &[&str] = match relation {
                Relation::Requires => &["sysinit.target"],
                Relation::After if unit.kind == Kind::Service => &["sysinit.target", "basic.target"],
                Relation::After => &["sysinit.target"],
                Relation::Before if unit.kind == Kind::Socket => &["sockets.target", "shutdown.target"],
                Relation::Before | Relation::Conflicts => &["shutdown.target"],
                _ => &[],
            };
            names.extend(implied.iter().map(|&name| name.to_owned()));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// `UnitFileState`: what `systemctl is-enabled` says.
    fn unit_file_state(&self, host: &dyn Host, unit: &Loaded) -> &'static str {
        let def = &unit.def;
        let Some(fragment) = def.fragment_path.as_deref() else { return "" };
        if def.load_state == LoadState::Masked {
            return if fragment.starts_with("/run/") { "masked-runtime" } else { "masked" };
        }
        let files = host.unit_files();
        if !files.entries.contains_key(fragment) && builtin::unit(&unit.name).is_none() {
            // It was there when the unit was loaded.
            return "bad";
        }
        let mut runtime = false;
        for dir in SEARCH_PATH.iter().filter(|dir| dir.starts_with("/etc/") || dir.starts_with("/run/")) {
            for (path, entry) in files.entries.range(format!("{dir}/")..) {
                let Some(rest) = path.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/')) else { break };
                let FileEntry::Symlink { target } = entry else { continue };
                let linked = match rest.split_once('/') {
                    Some((owner, name)) => {
                        (owner.ends_with(".wants") || owner.ends_with(".requires")) && name == &*unit.name
                    }
                    None => {
                        rest != &*unit.name
                            && target != "/dev/null"
                            && target.rsplit('/').next() == Some(&*unit.name)
                            && def.install.alias.iter().any(|alias| alias == rest)
                    }
                };
                if linked && dir.starts_with("/etc/") {
                    return "enabled";
                }
                runtime |= linked;
            }
        }
        let install = &def.install;
        if runtime {
            "enabled-runtime"
        } else if install.wanted_by.is_empty()
            && install.required_by.is_empty()
            && install.upheld_by.is_empty()
            && install.alias.is_empty()
        {
            if install.also.is_empty() { "static" } else { "indirect" }
        } else {
            "disabled"
        }
    }
}

fn socket_properties(unit: &Loaded, sheet: &mut Sheet) {
    let Some(socket) = unit.def.socket.as_ref() else { return };
    let listen: Vec<String> = socket.listen_stream.iter().map(|address| format!("{address} (Stream)")).collect();
    for address in listen {
        sheet.put("Listen", address);
    }
    sheet.flag("Accept", socket.accept);
    sheet.put("Result", unit.socket.result.as_str());
    sheet.number("NAccepted", if socket.accept { unit.socket.n_accepted } else { 0 });
    let name = socket.file_descriptor_name.clone().unwrap_or_else(|| unit.name.to_string());
    sheet.put("FileDescriptorName", name);
    sheet.span("TriggerLimitIntervalUSec", socket.trigger_limit_interval_sec.unwrap_or(Span::from_secs(2)));
    sheet.number("TriggerLimitBurst", socket.trigger_limit_burst.unwrap_or(if socket.accept { 200 } else { 20 }));
}

/// `org.freedesktop.systemd1.NoSuchUnit "Unit x.service not found."` and its like.
fn load_error(unit: &Loaded) -> String {
    let text = |fallback: String| unit.def.load_error.clone().unwrap_or(fallback);
    let name = &unit.name;
    match unit.def.load_state {
        LoadState::Loaded => String::new(),
        LoadState::NotFound => {
            format!("org.freedesktop.systemd1.NoSuchUnit \"{}\"", text(format!("Unit {name} not found.")))
        }
        LoadState::Masked => {
            format!("org.freedesktop.systemd1.UnitMasked \"{}\"", text(format!("Unit {name} is masked.")))
        }
        LoadState::BadSetting => {
            let fallback = format!("Unit {name} has a bad unit file setting.");
            format!("org.freedesktop.systemd1.BadUnitSetting \"{}\"", text(fallback))
        }
        LoadState::Error => {
            let fallback = format!("Unit {name} failed to load properly.");
            format!("org.freedesktop.systemd1.LoadFailed \"{}\"", text(fallback))
        }
    }
}

/// `A=1 "B=two words"`: assignments as `systemctl show` prints them, quoted where needed.
fn environment_text(list: &[(String, String)]) -> String {
    let quoted = list.iter().map(|(name, value)| {
        let word = format!("{name}={value}");
        if word.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '`' | '$')) {
            let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('`', "\\`").replace('$', "\\$");
            format!("\"{escaped}\"")
        } else {
            word
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The kind of a stream: what follows the colon is another property.
fn stream(setting: &str) -> String {
    setting.split_once(':').map_or(setting, |(kind, _)| kind).to_owned()
}
