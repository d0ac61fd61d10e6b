//! Properties of units as `systemctl show` prints them, and the lists of units and jobs.
//!
//! They are put together when somebody asks; the manager itself never looks at them.

use super::interface::{ExecRole, Exit, Host, JobId};
use super::load::commands;
use super::loaded::{ExecStatus, Kind, Loaded, ROLES, Relation, Settings, role_index};
use super::service::child_name;
use super::states::ActiveState;
use super::{Manager, builtin};
use crate::time::IncidentTime;
use crate::unit::install::{self, UnitFileState};
use crate::unit::{Condition, ExecCommand, Implicit, LoadState, ServiceType, rank};

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

/// Property names and values: those that follow from the files, and what the run makes of them. They are put together at
/// every step of a run that changes the unit.
struct Sheet<'a> {
    settings: &'a Settings,
    /// The settings, as the run has changed them.
    rows: Vec<(&'static str, String)>,
    /// What the settings do not have.
    more: Vec<(&'static str, String)>,
    boot: IncidentTime,
}

impl<'a> Sheet<'a> {
    fn new(settings: &'a Settings, boot: IncidentTime) -> Self {
        Self { settings, rows: settings.rows.clone(), more: Vec::with_capacity(96), boot }
    }

    /// Sets a property, in place of what the files say.
    fn put(&mut self, name: &'static str, value: impl Into<String>) {
        let row = match self.settings.places.get(name) {
            Some(place) => self.rows.get_mut(*place),
            None => self.more.iter_mut().rev().find(|row| row.0 == name),
        };
        match row {
            Some(row) => row.1 = value.into(),
            None => self.more.push((name, value.into())),
        }
    }

    /// Sets a property that has a line for each of its values, and none yet.
    fn put_all(&mut self, name: &'static str, values: impl Iterator<Item = String>) {
        self.more.extend(values.map(|value| (name, value)));
    }

    fn flag(&mut self, name: &'static str, value: bool) {
        self.put(name, if value { "yes" } else { "no" });
    }

    fn number(&mut self, name: &'static str, value: impl ToString) {
        self.put(name, value.to_string());
    }

    /// A moment on both clocks.
    fn stamp(&mut self, names: [&'static str; 2], at: Option<IncidentTime>) {
        self.put(names[0], at.map(wall).unwrap_or_default());
        self.put(names[1], at.map_or(0, |at| at.since(self.boot).as_micros()).to_string());
    }

    /// All rows in the order of `systemctl show`.
    fn into_rows(mut self) -> Vec<(&'static str, String)> {
        self.rows.append(&mut self.more);
        self.rows.sort_by_cached_key(|(name, _)| rank(name).unwrap_or(usize::MAX));
        self.rows
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
        if command.via_shell {
            flags.push("via-shell");
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
        ExecRole::ReloadPost => ["ExecReloadPost", "ExecReloadPostEx"],
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

/// What follows from the files of a unit.
fn settings(unit: &Loaded) -> Settings {
    let mut rows = unit.def.properties();
    if unit.kind == Kind::Service {
        // The run tells those with what became of each command.
        let commands = ROLES.map(role_names);
        rows.retain(|(name, _)| !name.starts_with("Exec") || !commands.as_flattened().contains(name));
    }
    let places = rows.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
    let implicit = if builtin::unit(&unit.name).is_none() { unit.def.implicit() } else { Implicit::default() };
    Settings { rows, places, implicit }
}

impl Manager {
    /// All properties of a loaded unit that the manager knows, in the order of `systemctl show`; empty ones
    /// included. A list of commands is one entry a command. `None`: the unit is not loaded.
    ///
    /// To see the properties of any unit, send [`super::Request::Show`] first, as systemctl's look at it does.
    pub fn properties(&self, host: &dyn Host, name: &str) -> Option<Vec<(&'static str, String)>> {
        let unit = self.present(name)?;
        let mut sheet = Sheet::new(unit.settings.get_or_init(|| settings(unit)), self.boot);
        match unit.kind {
            Kind::Service => self.service_properties(host, unit, &mut sheet),
            Kind::Socket => {
                sheet.put("Result", unit.socket.result.as_str());
                sheet.number("NConnections", unit.socket.n_connections);
                sheet.number(
                    "NAccepted",
                    if unit.def.socket.as_ref().is_some_and(|s| s.accept) { unit.socket.n_accepted } else { 0 },
                );
                sheet.number("NRefused", unit.socket.n_refused);
            }
            Kind::Target | Kind::Other => {}
        }
        self.unit_properties(host, unit, &mut sheet);
        let mut rows = sheet.into_rows();
        if unit.kind == Kind::Socket {
            // The one property that sockets and services have in different places.
            let place = |name: &str| rows.iter().position(|(key, _)| *key == name);
            if let (Some(result), Some(next)) = (place("Result"), place("NConnections"))
                && result < next
            {
                rows[result..next].rotate_left(1);
            }
        }
        Some(rows)
    }

    /// A number that is another one whenever a loaded unit may have other properties than before, but for its CPU time and those that
    /// follow from the unit files as they are on disk ([`Host::unit_files_revision`]). `None`: the unit is not loaded.
    pub fn touched(&self, name: &str) -> Option<u64> {
        self.present(name).map(|unit| unit.touched)
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

    /// The children of a Type=idle service that wait to become their programs, and what they call themselves.
    pub fn waiting_children(&self, name: &str) -> Vec<(super::Pid, String)> {
        let waiting = self.present(name).map_or(&[][..], |unit| &unit.service.idle_spawns);
        waiting.iter().map(|spawn| (spawn.pid, child_name(&spawn.program.path))).collect()
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

    /// The conditions and assertions of a unit that did not hold when it was to be started last.
    pub fn unmet(&self, name: &str) -> Vec<Condition> {
        let Some(unit) = self.present(name) else { return Vec::new() };
        let conditions = unit.unmet_conditions.iter().filter_map(|index| unit.def.conditions.get(*index));
        let asserts = unit.unmet_asserts.iter().filter_map(|index| unit.def.asserts.get(*index));
        conditions.chain(asserts).cloned().collect()
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

    fn service_properties(&self, host: &dyn Host, unit: &Loaded, sheet: &mut Sheet<'_>) {
        let (config, run) = (&unit.config, &unit.service);
        if self.rules.restart_steps {
            sheet.put("RestartMode", config.restart_mode.as_str());
            sheet.number("RestartSteps", config.restart_steps);
            sheet.number("RestartMaxDelayUSec", config.restart_max_delay_sec);
            sheet.number("RestartUSecNext", super::restart_delay(config, run.n_restarts.saturating_add(1)));
        }
        if self.rules.notify_reload {
            sheet.number("ReloadSignal", config.reload_signal);
        }
        sheet.number("WatchdogUSec", run.watchdog_override.unwrap_or(config.watchdog_sec));
        sheet.stamp(["WatchdogTimestamp", "WatchdogTimestampMonotonic"], run.watchdog_stamp);
        sheet.number("MainPID", run.main_pid);
        sheet.number("ControlPID", run.control_pid);
        sheet.number("NFileDescriptorStore", run.store.len());
        if self.rules.store_preserve {
            sheet.put("FileDescriptorStorePreserve", config.file_descriptor_store_preserve.as_str());
        }
        sheet.put("StatusText", run.status_text.clone().unwrap_or_default());
        sheet.number("StatusErrno", run.status_errno);
        sheet.put("Result", run.result.as_str());
        sheet.put("ReloadResult", run.reload_result.as_str());
        sheet.put("CleanResult", "success");
        sheet.number("NRestarts", run.n_restarts);
        let main = run.main_status;
        sheet.stamp(["ExecMainStartTimestamp", "ExecMainStartTimestampMonotonic"], main.start);
        sheet.stamp(["ExecMainExitTimestamp", "ExecMainExitTimestampMonotonic"], main.stop);
        sheet.number("ExecMainPID", main.pid);
        sheet.number("ExecMainCode", exit_code(main.exit));
        sheet.number("ExecMainStatus", exit_status(main.exit));
        for role in ROLES {
            let list = commands(config, role).iter().zip(&run.statuses[role_index(role)]);
            let [plain, extended] = role_names(role);
            sheet.put_all(plain, list.clone().map(|(command, status)| command_text(command, *status, false)));
            sheet.put_all(extended, list.map(|(command, status)| command_text(command, *status, true)));
        }
        let live = !unit.active().is_down() && run.state != super::ServiceState::AutoRestart;
        let group = if live { format!("/{}/{}", unit.def.slice(), unit.name) } else { String::new() };
        sheet.put("ControlGroup", group);
        let used = u128::from(host.cpu_time(&unit.name).as_micros()) * 1000;
        sheet.put("CPUUsageNSec", if main.start.is_some() { used.to_string() } else { "[not set]".into() });
    }

    fn unit_properties(&self, host: &dyn Host, unit: &Loaded, sheet: &mut Sheet<'_>) {
        let def = &unit.def;
        let implicit = &sheet.settings.implicit;
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
            ("PropagatesReloadTo", Relation::PropagatesReloadTo),
            ("ReloadPropagatedFrom", Relation::ReloadPropagatedFrom),
            ("PropagatesStopTo", Relation::PropagatesStopTo),
            ("StopPropagatedFrom", Relation::StopPropagatedFrom),
        ] {
            sheet.put(name, self.related_names(unit, relation, implicit).join(" "));
        }
        sheet.put("ActiveState", unit.active().as_str());
        sheet.put("FreezerState", "running");
        sheet.put("SubState", unit.sub_state());
        let loaded = def.load_state == LoadState::Loaded;
        let (state, preset) = unit.file_states.get_or(host.unit_files_revision(), || {
            let preset = match &def.fragment_path {
                Some(_) if loaded && install::preset_enabled(host.unit_files(), &unit.name) => "enabled",
                Some(_) if loaded => "disabled",
                _ => "",
            };
            (self.unit_file_state(host, unit), preset)
        });
        sheet.put("UnitFileState", state);
        sheet.put("UnitFilePreset", preset);
        let stamps = &unit.stamps;
        sheet.stamp(["StateChangeTimestamp", "StateChangeTimestampMonotonic"], stamps.state_change);
        sheet.stamp(["InactiveExitTimestamp", "InactiveExitTimestampMonotonic"], stamps.inactive_exit);
        sheet.stamp(["ActiveEnterTimestamp", "ActiveEnterTimestampMonotonic"], stamps.active_enter);
        sheet.stamp(["ActiveExitTimestamp", "ActiveExitTimestampMonotonic"], stamps.active_exit);
        sheet.stamp(["InactiveEnterTimestamp", "InactiveEnterTimestampMonotonic"], stamps.inactive_enter);
        sheet.flag("CanStart", loaded && !def.refuse_manual_start);
        sheet.flag("CanStop", !def.refuse_manual_stop);
        let reloads = unit.kind == Kind::Service
            && (!unit.config.exec_reload.is_empty() || unit.config.service_type == ServiceType::NotifyReload);
        sheet.flag("CanReload", reloads);
        sheet.flag("CanIsolate", unit.def.allow_isolate);
        sheet.put("Job", unit.job.as_ref().map_or_else(String::new, |job| job.id.to_string()));
        sheet.flag("NeedDaemonReload", self.needs_reload(host, &unit.name));
        sheet.flag("ConditionResult", unit.condition_result);
        sheet.flag("AssertResult", unit.assert_result);
        sheet.stamp(["ConditionTimestamp", "ConditionTimestampMonotonic"], stamps.condition);
        sheet.stamp(["AssertTimestamp", "AssertTimestampMonotonic"], stamps.assert);
        sheet.flag("Transient", false);
        sheet.flag("Perpetual", false);
        sheet.put("InvocationID", unit.invocation.as_deref().unwrap_or_default());
    }

    /// The names of related units, with what the default dependencies add to them.
    fn related_names<'a>(&'a self, unit: &'a Loaded, relation: Relation, implicit: &'a Implicit) -> Vec<&'a str> {
        let defaults = match relation {
            Relation::Requires => &implicit.requires[..],
            Relation::Wants => &implicit.wants,
            Relation::Conflicts => &implicit.conflicts,
            Relation::Before => &implicit.before,
            Relation::After => &implicit.after,
            _ => &[],
        };
        let own = unit.related(relation).map(|other| &*self.units[other.0 as usize].name);
        let mut names: Vec<&str> = own.chain(defaults.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// `UnitFileState`: what `systemctl is-enabled` says.
    fn unit_file_state(&self, host: &dyn Host, unit: &Loaded) -> &'static str {
        let Some(fragment) = unit.def.fragment_path.as_deref() else { return "" };
        let files = host.unit_files();
        if files.entries.contains_key(fragment) || builtin::unit(&unit.name).is_none() {
            // A file that has gone since the unit was loaded is a bad one.
            match install::unit_file_state(files, &unit.name, self.config.profile) {
                UnitFileState::NotFound => "bad",
                state => state.as_str(),
            }
        } else {
            "static"
        }
    }
}
