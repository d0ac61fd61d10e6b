//! Loading and unloading: which units exist for the manager, what they refer to, and when one is forgotten
//! (systemd's load queue and garbage collection).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::catalog::{self, level};
use super::interface::{Effect, ExecRole, Host, Message};
use super::job::JobType;
use super::loaded::{Kind, Loaded, ROLES, Relation, Timer, UnitId, role_index};
use super::states::{ActiveState, ServiceState, SocketState};
use super::step::{Step, errno_field};
use super::text::Text;
use super::{Manager, builtin};
use crate::time::IncidentTime;
use crate::unit::{
    CollectMode, ExecCommand, FileEntry, Files, Index, LoadState, Loader, SEARCH_PATH, Service, Unit, Warning,
};

/// The commands of one list.
pub(super) fn commands(config: &Service, role: ExecRole) -> &[ExecCommand] {
    match role {
        ExecRole::Condition => &config.exec_condition,
        ExecRole::StartPre => &config.exec_start_pre,
        ExecRole::Start => &config.exec_start,
        ExecRole::StartPost => &config.exec_start_post,
        ExecRole::Reload => &config.exec_reload,
        ExecRole::ReloadPost => &config.exec_reload_post,
        ExecRole::Stop => &config.exec_stop,
        ExecRole::StopPost => &config.exec_stop_post,
    }
}

/// Reads a unit from the unit directories, or from what the distribution ships.
fn definition(files: &Files, index: &Index, name: &str, loader: &Loader) -> Unit {
    let unit = loader.load_from(files, index, name);
    // A slice needs no file to be there.
    let has_files = unit.fragment_path.is_some() || !unit.drop_in_paths.is_empty();
    if unit.load_state != LoadState::NotFound && (has_files || !name.ends_with(".slice")) {
        return unit;
    }
    let name = builtin::resolve(name, files);
    match builtin::unit(&name) {
        Some(shipped) => builtin::with_aliases(shipped, files),
        None if builtin::is_always_up(&name) => Unit { name, load_state: LoadState::Loaded, ..Unit::default() },
        None => unit,
    }
}

/// The names below `NAME.wants/` or `NAME.requires/` in all unit directories.
fn linked(files: &Files, name: &str, suffix: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    for dir in SEARCH_PATH {
        let prefix = format!("{dir}/{name}.{suffix}/");
        for (path, entry) in files.entries.range(prefix.clone()..) {
            let Some(file) = path.strip_prefix(&prefix) else { break };
            let masked = matches!(entry, FileEntry::Symlink { target } if target == "/dev/null");
            if !file.contains('/') && !masked && seen.insert(file) {
                names.push(file.to_owned());
            }
        }
    }
    names
}

/// What the unit's files were when they were read.
fn generations(files: &Files, unit: &Unit) -> Vec<(String, u64)> {
    unit.fragment_path
        .iter()
        .chain(&unit.drop_in_paths)
        .filter_map(|path| Some((path.clone(), generation(files, path)?)))
        .collect()
}

/// The generation of a file, through symbolic links.
fn generation(files: &Files, path: &str) -> Option<u64> {
    let mut path = path.to_owned();
    for _ in 0..16 {
        match files.entries.get(&path)? {
            FileEntry::Regular { generation, .. } => return Some(*generation),
            FileEntry::Symlink { target } if target.starts_with('/') => path.clone_from(target),
            FileEntry::Symlink { target } => {
                let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
                path = format!("{dir}/{target}");
            }
        }
    }
    None
}

impl Manager {
    /// Whether the unit's files have changed since they were read, as far as systemd notices that
    /// (`NeedDaemonReload`).
    pub fn needs_reload(&self, host: &dyn Host, name: &str) -> bool {
        let Some(unit) = self.present(name) else { return false };
        unit.stale.get_or(host.unit_files_revision(), || self.is_stale(host, unit))
    }

    fn is_stale(&self, host: &dyn Host, unit: &Loaded) -> bool {
        let Some(fragment) = unit.def.fragment_path.as_deref() else { return false };
        if unit.generations.is_empty() && builtin::unit(&unit.name).is_some() {
            return false;
        }
        let files = host.unit_files();
        let known: HashMap<&str, u64> = unit.generations.iter().map(|(path, at)| (path.as_str(), *at)).collect();
        let known = |path: &str| known.get(path).copied();
        if unit.def.load_state == LoadState::Masked {
            return files.entries.get(fragment).is_some_and(|entry| match entry {
                FileEntry::Regular { content, .. } => !content.is_empty(),
                FileEntry::Symlink { target } => target != "/dev/null",
            });
        }
        if generation(files, fragment) != known(fragment) {
            return true;
        }
        // Only a unit that loaded well is searched for drop-ins; to the others every drop-in they had looks gone.
        let now = if unit.is_loaded() {
            definition(files, &Index::of(files), &unit.name, &Loader::new(self.config.profile)).drop_in_paths
        } else {
            Vec::new()
        };
        // A directory that did not exist when the unit was loaded is not looked into.
        let dirs = &unit.def.drop_in_dirs;
        let now: Vec<&String> = now
            .iter()
            .filter(|path| path.rsplit_once('/').is_some_and(|(dir, _)| dirs.iter().any(|known| known == dir)))
            .collect();
        now != unit.def.drop_in_paths.iter().collect::<Vec<_>>()
            || now.iter().any(|path| generation(files, path) != known(path))
    }
}

impl Step<'_> {
    /// The slot of a name, new if the name was never seen.
    fn slot(&mut self, name: &str) -> UnitId {
        if let Some(unit) = self.m.id(name) {
            return unit;
        }
        let unit = UnitId(u32::try_from(self.m.units.len()).unwrap_or(u32::MAX));
        let name: Arc<str> = name.into();
        self.m.units.push(Loaded::new(name.clone()));
        self.m.names.insert(name, unit);
        unit
    }

    /// The unit of that name, loaded with everything that it refers to if it was not.
    pub(super) fn load(&mut self, name: &str) -> UnitId {
        if let Some(unit) = self.m.id(name).filter(|unit| self.unit(*unit).present) {
            return unit;
        }
        let index = Index::of(self.host.unit_files());
        self.load_with(&index, name)
    }

    /// As [`Step::load`], from files that were looked through already.
    fn load_with(&mut self, index: &Index, name: &str) -> UnitId {
        let wanted = match self.m.id(name) {
            Some(unit) if self.unit(unit).present => return unit,
            _ => self.read(index, name),
        };
        let mut todo = vec![wanted];
        while let Some(unit) = todo.pop() {
            for (relation, name) in self.references(unit) {
                let other = match self.m.id(&name) {
                    Some(other) if self.unit(other).present => other,
                    _ => {
                        let other = self.read(index, &name);
                        todo.push(other);
                        other
                    }
                };
                self.relate(unit, relation, other);
            }
        }
        wanted
    }

    /// Reads units as this version does on this machine.
    fn loader(&self) -> Loader {
        Loader::new(self.m.config.profile).context(self.host.specifiers())
    }

    /// Reads one unit's file and makes it present, without what it refers to.
    fn read(&mut self, index: &Index, name: &str) -> UnitId {
        let def = definition(self.host.unit_files(), index, name, &self.loader());
        let unit = self.slot(&def.name);
        for alias in def.aliases.iter().map(String::as_str).chain([name]) {
            self.m.names.insert(alias.into(), unit);
        }
        if self.unit(unit).present {
            return unit;
        }
        self.unit_mut(unit).present = true;
        self.define(unit, def);
        let name = self.unit(unit).name.clone();
        if builtin::is_always_up(&name) {
            let this = self.unit_mut(unit);
            this.up = true;
            match this.kind {
                Kind::Service => this.service.state = ServiceState::Running,
                Kind::Socket => this.socket.state = SocketState::Running,
                Kind::Target | Kind::Other => {}
            }
        }
        self.queue_gc(unit);
        unit
    }

    /// Takes over what the file says, and logs what was found wrong with it.
    fn define(&mut self, unit: UnitId, def: Unit) {
        for warning in &def.warnings {
            let id = warning.line.map(|_| catalog::INVALID_CONFIGURATION);
            self.out.push(Effect::Journal(Message {
                unit: Some((&self.unit(unit).name).into()),
                priority: warning.priority,
                text: warning.message(),
                message_id: id,
                invocation_id: None,
                fields: config_fields(warning),
                child: None,
            }));
        }
        let generations = generations(self.host.unit_files(), &def);
        let this = self.unit_mut(unit);
        this.ident = match &def.description {
            Some(text) if **text != *this.name => format!("{} - {text}", this.name).into(),
            _ => this.name.clone(),
        };
        this.config = Arc::new(def.service.clone().unwrap_or_default());
        this.programs.iter_mut().for_each(Vec::clear);
        this.assignments = this.config.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        for role in ROLES {
            let count = commands(&this.config, role).len();
            this.service.statuses[role_index(role)].resize_with(count, Default::default);
        }
        this.generations = generations;
        this.file_state_known = false;
        this.define(def);
    }

    /// The dependencies that the unit's file and directories declare.
    fn references(&self, unit: UnitId) -> Vec<(Relation, String)> {
        let def = self.unit(unit).def.clone();
        let files = self.host.unit_files();
        let mut list: Vec<(Relation, String)> = Vec::new();
        let fields: [(Relation, &Vec<String>); 15] = [
            (Relation::Requires, &def.requires),
            (Relation::Requisite, &def.requisite),
            (Relation::Wants, &def.wants),
            (Relation::BindsTo, &def.binds_to),
            (Relation::PartOf, &def.part_of),
            (Relation::Upholds, &def.upholds),
            (Relation::Conflicts, &def.conflicts),
            (Relation::Before, &def.before),
            (Relation::After, &def.after),
            (Relation::OnFailure, &def.on_failure),
            (Relation::OnSuccess, &def.on_success),
            (Relation::PropagatesReloadTo, &def.propagates_reload_to),
            (Relation::ReloadPropagatedFrom, &def.reload_propagated_from),
            (Relation::PropagatesStopTo, &def.propagates_stop_to),
            (Relation::StopPropagatedFrom, &def.stop_propagated_from),
        ];
        for (relation, names) in fields {
            list.extend(names.iter().map(|name| (relation, name.clone())));
        }
        for name in def.aliases.iter().chain([&def.name]) {
            list.extend(linked(files, name, "wants").into_iter().map(|other| (Relation::Wants, other)));
            list.extend(linked(files, name, "requires").into_iter().map(|other| (Relation::Requires, other)));
            list.extend(linked(files, name, "upholds").into_iter().map(|other| (Relation::Upholds, other)));
        }
        if let Some(socket) = &def.socket
            && !socket.accept
        {
            let service = socket.service.clone().unwrap_or_else(|| super::socket::service_of(&def.name));
            list.push((Relation::Triggers, service.clone()));
            list.push((Relation::Before, service));
        }
        if let Some(service) = &def.service {
            for socket in &service.sockets {
                list.push((Relation::Wants, socket.clone()));
                list.push((Relation::After, socket.clone()));
                list.push((Relation::TriggeredBy, socket.clone()));
            }
        }
        if self.unit(unit).kind == Kind::Target && self.unit(unit).def.default_dependencies != Some(false) {
            // A target comes after what it pulls in, unless that says otherwise.
            let pulled: Vec<String> = list
                .iter()
                .filter(|(relation, _)| matches!(relation, Relation::Wants | Relation::Requires))
                .map(|(_, name)| name.clone())
                .collect();
            list.extend(pulled.into_iter().map(|name| (Relation::After, name)));
        }
        let mut seen = HashSet::new();
        list.retain(|entry| *entry.1 != *self.unit(unit).name && seen.insert(entry.clone()));
        list
    }

    pub(super) fn relate(&mut self, unit: UnitId, relation: Relation, other: UnitId) {
        if unit == other {
            return;
        }
        // A target's implicit order gives way to what the other unit says itself.
        if relation == Relation::After
            && self.unit(unit).kind == Kind::Target
            && self.unit(unit).has_related(Relation::Before, other)
        {
            return;
        }
        self.unit_mut(unit).relate(relation, other);
        self.unit_mut(other).relate_inverse(relation.inverse(), unit);
    }

    /// Reads all files again; everything else stays as it is.
    pub(super) fn daemon_reload(&mut self) {
        let count = self.m.units.len();
        let all = (0..count).map(|index| UnitId(u32::try_from(index).unwrap_or(u32::MAX)));
        for unit in all.clone() {
            let this = self.unit_mut(unit);
            this.own.clear();
            this.inverse.clear();
        }
        let present: Vec<UnitId> = all.filter(|u| self.unit(*u).present).collect();
        let (index, loader) = (Index::of(self.host.unit_files()), self.loader());
        for &unit in &present {
            let name = self.unit(unit).name.clone();
            let mut def = definition(self.host.unit_files(), &index, &name, &loader);
            // An alias that now leads elsewhere does not rename what runs.
            def.name = name.to_string();
            self.define(unit, def);
            self.forget_what_a_reload_forgets(unit);
        }
        let units = &self.m.units;
        self.m.names.retain(|name, unit| {
            let this = &units[unit.0 as usize];
            *name == this.name || this.def.aliases.iter().any(|alias| **alias == **name)
        });
        for &unit in &present {
            for (relation, name) in self.references(unit) {
                let other = self.load_with(&index, &name);
                self.relate(unit, relation, other);
            }
            self.rearm(unit);
            self.queue_gc(unit);
        }
    }

    /// What systemd does not carry over a reload: start and trigger limits, and how each command went. (That a reload
    /// opens the start limit's window anew was seen on 252.)
    fn forget_what_a_reload_forgets(&mut self, unit: UnitId) {
        let this = self.unit_mut(unit);
        this.start_limit.reset();
        this.start_limit_hit = false;
        this.socket.trigger_limit.reset();
        for list in &mut this.service.statuses {
            list.fill(Default::default());
        }
    }

    /// Puts the phase timer where the settings as they are now would have put it.
    fn rearm(&mut self, unit: UnitId) {
        let this = self.unit(unit);
        if this.kind != Kind::Service {
            return;
        }
        let (config, run, stamps) = (&this.config, &this.service, &this.stamps);
        let armed = this.timers[Timer::Phase.index()] != IncidentTime::NEVER;
        let base = match run.state {
            ServiceState::AutoRestart => stamps.inactive_enter,
            ServiceState::Running => stamps.active_enter,
            _ => stamps.state_change,
        };
        let span = match run.state {
            ServiceState::Condition | ServiceState::StartPre | ServiceState::StartPost => config.timeout_start_sec,
            ServiceState::Start
                if matches!(config.service_type, crate::unit::ServiceType::Simple | crate::unit::ServiceType::Idle) =>
            {
                return;
            }
            ServiceState::Start => config.timeout_start_sec,
            state if state.is_reloading() => config.timeout_start_sec,
            ServiceState::Running => config.runtime_max_sec,
            ServiceState::StopWatchdog | ServiceState::FinalWatchdog => {
                config.timeout_abort_sec.unwrap_or(config.timeout_stop_sec)
            }
            ServiceState::AutoRestart => super::service::restart_delay(
                config,
                if self.m.rules.restart_steps { run.n_restarts.saturating_add(1) } else { 1 },
            ),
            state if state.is_stopping() => config.timeout_stop_sec,
            _ => return,
        };
        if !armed && run.state != ServiceState::Running {
            return;
        }
        let deadline = match base {
            Some(base) if !span.is_infinite() => base + span,
            _ => IncidentTime::NEVER,
        };
        self.arm(unit, Timer::Phase, deadline);
    }

    /// The machine comes up: what was is forgotten, and the default target is started.
    pub(super) fn boot(&mut self) {
        if std::mem::replace(&mut self.m.booted, true) {
            let mut fresh = Manager::new(self.m.config.clone());
            fresh.booted = true;
            fresh.boot = self.now;
            fresh.invocations = self.m.invocations;
            *self.m = fresh;
        }
        let target = self.load(&builtin::default_target(self.host.unit_files()));
        if let Err(error) = self.add_job(target, JobType::Start) {
            let text = format!("Failed to start default target: {}", error.message);
            self.log_manager(level::ERR, &text);
        }
    }

    /// Keeps a unit loaded until the next step: a client looks at it.
    pub(super) fn pin(&mut self, unit: UnitId) {
        if !std::mem::replace(&mut self.unit_mut(unit).pinned, true) {
            self.m.pinned.push(unit);
        }
    }

    pub(super) fn unpin(&mut self) {
        if self.m.pinned.is_empty() {
            return;
        }
        for unit in std::mem::take(&mut self.m.pinned) {
            self.unit_mut(unit).pinned = false;
            self.queue_gc(unit);
        }
        self.collect_garbage();
    }

    pub(super) fn queue_gc(&mut self, unit: UnitId) {
        let this = self.unit_mut(unit);
        if this.present && !std::mem::replace(&mut this.gc_queued, true) {
            self.m.gc_queue.push(unit);
        }
    }

    /// Unloads what is inactive, without a job or a process, and referred to by nothing that stays.
    pub(super) fn collect_garbage(&mut self) {
        while let Some(unit) = self.m.gc_queue.pop() {
            self.unit_mut(unit).gc_queued = false;
            if self.unit(unit).present && !self.is_needed_in_memory(unit) {
                self.unload(unit);
            }
        }
    }

    /// Whether the unit keeps itself in memory.
    fn keeps_itself(&self, unit: UnitId) -> bool {
        let this = self.unit(unit);
        if this.pinned || this.job.is_some() {
            return true;
        }
        let collectable = match this.active() {
            ActiveState::Inactive => true,
            ActiveState::Failed => this.def.collect_mode == CollectMode::InactiveOrFailed,
            _ => false,
        };
        !collectable
            || this.socket.opening
            || this.socket.n_connections > 0
            || this.kind == Kind::Service && !self.host.processes(&this.name).is_empty()
    }

    /// Whether the unit, or something that refers to it over however many corners, keeps itself in memory.
    fn is_needed_in_memory(&self, unit: UnitId) -> bool {
        if self.keeps_itself(unit) {
            return true;
        }
        let mut seen = HashSet::from([unit]);
        let mut todo = vec![unit];
        while let Some(unit) = todo.pop() {
            for &(relation, other) in &self.unit(unit).inverse {
                // A socket does not hold the instances that it has made.
                let made = matches!(relation, Relation::TriggeredBy | Relation::After)
                    && self.unit(other).def.socket.as_ref().is_some_and(|socket| socket.accept);
                if !made && seen.insert(other) {
                    if self.keeps_itself(other) {
                        return true;
                    }
                    todo.push(other);
                }
            }
        }
        false
    }

    fn unload(&mut self, unit: UnitId) {
        self.release_connection(unit);
        for timer in Timer::ALL {
            self.disarm(unit, timer);
        }
        let own = std::mem::take(&mut self.unit_mut(unit).own);
        for (relation, other) in own {
            self.unit_mut(other).inverse.retain(|entry| *entry != (relation.inverse(), unit));
            self.queue_gc(other);
        }
        let this = self.unit_mut(unit);
        let name = this.name.clone();
        // Others may refer to it still, if they are to be collected themselves.
        let inverse = std::mem::take(&mut this.inverse);
        *this = Loaded::new(name);
        for (relation, other) in inverse {
            self.unit_mut(other).own.retain(|entry| *entry != (relation.inverse(), unit));
        }
    }

    /// Who is loaded, by name.
    pub(super) fn present_units(&self) -> BTreeMap<Arc<str>, UnitId> {
        self.m
            .units
            .iter()
            .enumerate()
            .filter(|(_, unit)| unit.present)
            .map(|(index, unit)| (unit.name.clone(), UnitId(u32::try_from(index).unwrap_or(u32::MAX))))
            .collect()
    }
}

/// What the journal has of a line that was complained of.
fn config_fields(warning: &Warning) -> Vec<(&'static str, Text)> {
    let line = warning
        .line
        .map(|line| [("CONFIG_FILE", warning.subject.as_str().into()), ("CONFIG_LINE", Text::number(line as u64))]);
    line.into_iter().flatten().chain(warning.errno.map(errno_field)).collect()
}
