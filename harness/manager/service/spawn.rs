//! From a command of the unit file to a program with its environment (systemd.exec(5)).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::catalog::level;
use super::super::interface::{Effect, ExecFailure, ExecRole, NOTIFY_SOCKET, Peer, Pid, Program, Spawn, StandardInput};
use super::super::load::commands;
use super::super::loaded::{Kind, Prepared, Relation, Stored, Timer, UnitId, role_index};
use super::super::states::SocketState;
use super::super::step::Step;
use super::super::text::Text;
use super::exit_words;
use crate::time::Span;
use crate::unit::environment;
use crate::unit::{Errno, ExecCommand, NotifyAccess, Service, ServiceType};

/// What every process gets from the manager, on Debian.
pub const MANAGER_ENVIRONMENT: &[(&str, &str)] =
    &[("LANG", "C.UTF-8"), ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")];

/// The device of sockets, as `$JOURNAL_STREAM` has it before the number of the file (systemd.exec(5)). No file has this
/// number, so nobody takes its standard streams for the journal's socket: here they are none.
const STREAM_DEVICE: &str = "8:";

/// How long the child of a Type=idle service waits for the job queue to drain: five seconds, and one more for an answer
/// (systemd.service(5) names the five alone; `idl01` and its siblings were recorded).
const IDLE_WAIT: Span = Span::from_secs(6);

impl Step<'_> {
    /// Starts a command as the control process and arms its timeout.
    ///
    /// # Errors
    ///
    /// What made it impossible before a process existed.
    pub(super) fn run_control(
        &mut self,
        unit: UnitId,
        role: ExecRole,
        index: usize,
        timeout: Span,
    ) -> Result<(), Errno> {
        self.unit_mut(unit).service.control_command = Some((role, index));
        let spawn = self.prepare(unit, role, index, true)?;
        self.arm_after(unit, Timer::Phase, timeout);
        let pid = spawn.pid;
        self.unit_mut(unit).service.control_pid = pid;
        self.m.pids.insert(pid, unit);
        self.note_start(unit, role, index, pid);
        self.spawn_in_time(unit, spawn);
        Ok(())
    }

    /// Starts an ExecStart= command as the main process and arms its timeout.
    ///
    /// # Errors
    ///
    /// As [`Step::run_control`].
    pub(super) fn run_main(&mut self, unit: UnitId, index: usize, timeout: Span) -> Result<(), Errno> {
        let run = &mut self.unit_mut(unit).service;
        run.main_command = Some(index);
        run.control_command = None;
        let spawn = self.prepare(unit, ExecRole::Start, index, false)?;
        self.arm_after(unit, Timer::Phase, timeout);
        let pid = spawn.pid;
        self.set_main_pid(unit, pid, false);
        self.note_start(unit, ExecRole::Start, index, pid);
        self.spawn_in_time(unit, spawn);
        Ok(())
    }

    /// Starts the program, or has it wait if the service is idle: its output is not to mix with that of other jobs.
    fn spawn_in_time(&mut self, unit: UnitId, spawn: Box<Spawn>) {
        if self.unit(unit).config.service_type != ServiceType::Idle {
            return self.spawn(spawn);
        }
        self.unit_mut(unit).service.idle_spawns.push(*spawn);
        self.m.idle.push(unit);
        // But not for ever.
        self.arm_after(unit, Timer::Idle, IDLE_WAIT);
    }

    /// Lets the programs of Type=idle services go once no job is left; whether there was one.
    pub(in super::super) fn release_idle(&mut self) -> bool {
        if self.m.idle.is_empty() || self.m.job_count > 0 {
            return false;
        }
        for unit in std::mem::take(&mut self.m.idle) {
            self.release_idle_unit(unit);
        }
        true
    }

    /// Lets the program of a Type=idle service go.
    pub(in super::super) fn release_idle_unit(&mut self, unit: UnitId) {
        self.disarm(unit, Timer::Idle);
        self.m.idle.retain(|other| *other != unit);
        for spawn in std::mem::take(&mut self.unit_mut(unit).service.idle_spawns) {
            self.spawn(Box::new(spawn));
        }
    }

    /// Gives up children that wait to become programs; whether there were any.
    pub(super) fn drop_idle(&mut self, unit: UnitId, which: impl Fn(Pid) -> bool) -> bool {
        let waiting = &mut self.unit_mut(unit).service.idle_spawns;
        let before = waiting.len();
        if before == 0 {
            return false;
        }
        waiting.retain(|spawn| !which(spawn.pid));
        let left = waiting.len();
        if left == 0 {
            self.disarm(unit, Timer::Idle);
            self.m.idle.retain(|other| *other != unit);
        }
        left < before
    }

    /// Starts the program, unless the child would fail on its way for what the manager knows.
    fn spawn(&mut self, spawn: Box<Spawn>) {
        let known = |account: &Option<String>| account.as_ref().is_none_or(|name| self.host.has_account(name));
        let failure = if !known(&spawn.program.user) {
            Some(ExecFailure::User)
        } else if !known(&spawn.program.group) {
            Some(ExecFailure::Group)
        } else {
            None
        };
        match failure {
            Some(failure) => self.m.stillborn.push((spawn.pid, failure)),
            None => self.out.push(Effect::Spawn(spawn)),
        }
    }

    /// Everything that the process needs, with a PID.
    fn prepare(&mut self, unit: UnitId, role: ExecRole, index: usize, control: bool) -> Result<Box<Spawn>, Errno> {
        let config = self.config(unit);
        let Some(command) = commands(&config, role).get(index) else {
            return Err(Errno::ENXIO);
        };
        let prepared = self.prepared(unit, role, index, command);
        let has_socket = prepared.program.has_socket();
        let connection = self.unit(unit).service.connection.as_ref();
        let (sockets, connection) = match connection {
            _ if control && !has_socket => (Vec::new(), None),
            Some(held) => (vec![(self.unit(held.socket).name.to_string(), "connection".to_owned())], Some(held.id)),
            None => (self.sockets_of(unit), None),
        };
        if has_socket && sockets.len() != 1 {
            let text = if sockets.is_empty() { "Got no socket." } else { "Got more than one socket." };
            self.log(unit, level::ERR, text);
            return Err(Errno::EINVAL);
        }
        let files = self.environment_files(unit, &config)?;
        let notify = match self.notify_access(unit) {
            NotifyAccess::None => false,
            NotifyAccess::Exec | NotifyAccess::All => true,
            NotifyAccess::Main => !control,
        };
        let monitor = match role {
            ExecRole::StartPre | ExecRole::Start => self.monitor_variables(unit),
            _ => Vec::new(),
        };
        let pid = self.host.fork();
        // Who has the socket as a standard stream is not told of any.
        let store: &[Stored] = if control || has_socket { &[] } else { &self.unit(unit).service.store };
        let stored = store.iter().map(|stored| stored.descriptor.id).collect();
        let passed: Vec<&str> = match has_socket {
            true => Vec::new(),
            false => {
                let sockets = sockets.iter().map(|(_, name)| name.as_str());
                sockets.chain(store.iter().map(|stored| stored.name.as_str())).collect()
            }
        };
        let environment = self.environment(unit, &config, &prepared, pid, control, notify, &passed, &files, monitor);
        let argv = match &prepared.argv {
            Some(argv) => argv.clone(),
            None => crate::unit::expand(command, &environment).into(),
        };
        let this = self.unit(unit);
        Ok(Box::new(Spawn {
            pid,
            unit: (&this.name).into(),
            role,
            program: prepared.program.clone(),
            argv,
            environment,
            invocation_id: this.invocation,
            notify,
            sockets,
            connection,
            stored,
        }))
    }

    /// What of the command is the same in every run, found out in the first one.
    fn prepared(&mut self, unit: UnitId, role: ExecRole, index: usize, command: &ExecCommand) -> Arc<Prepared> {
        let this = self.unit_mut(unit);
        let list = &mut this.programs[role_index(role)];
        if list.len() <= index {
            list.resize(index + 1, None);
        }
        list[index].get_or_insert_with(|| Arc::new(prepare(&this.config, role, command))).clone()
    }

    /// The variables of EnvironmentFile=, read anew for every process.
    fn environment_files(&mut self, unit: UnitId, config: &Service) -> Result<Vec<(String, String)>, Errno> {
        let mut variables = Vec::new();
        let mut places = environment::Places::default();
        for (pattern, optional) in &config.environment_file {
            let paths = if pattern.contains(['*', '?', '[']) { self.host.glob(pattern) } else { vec![pattern.clone()] };
            let mut found = false;
            for path in paths {
                let Some(bytes) = self.host.read(&path) else { continue };
                found = true;
                match environment::read_environment_file(&bytes) {
                    Ok(file) => {
                        for word in file.ignored {
                            let text = format!("Ignoring invalid environment assignment '{word}': {path}");
                            self.log(unit, level::ERR, &text);
                        }
                        for (name, value) in &file.variables {
                            places.set(&mut variables, name, value);
                        }
                    }
                    Err(_) if *optional => {}
                    Err(error) => return self.no_environment(unit, error.errno()),
                }
            }
            if !found && !optional {
                return self.no_environment(unit, Errno::ENOENT);
            }
        }
        Ok(variables)
    }

    fn no_environment<T>(&mut self, unit: UnitId, reason: Errno) -> Result<T, Errno> {
        self.log_errno(unit, level::ERR, reason, &format!("Failed to load environment files: {reason}"));
        Err(reason)
    }

    /// The whole environment of a process, in systemd's order of precedence.
    #[expect(clippy::too_many_arguments, reason = "each comes from another corner of the unit")]
    fn environment(
        &self,
        unit: UnitId,
        config: &Service,
        prepared: &Prepared,
        pid: Pid,
        control: bool,
        notify: bool,
        passed: &[&str],
        files: &[(String, String)],
        monitor: Vec<(&'static str, Text)>,
    ) -> Vec<(Text, Text)> {
        let this = self.unit(unit);
        let run = &this.service;
        let mut all = Vec::with_capacity(prepared.first.len() + this.assignments.len() + files.len() + 13);
        all.extend_from_slice(&prepared.first);
        // All of these names are different.
        let mut put = |name: &'static str, value: Text| all.push((Text::fixed(name), value));
        if control && run.main_pid != 0 {
            put("MAINPID", Text::number(run.main_pid.into()));
        }
        if let Some(path) = &config.pid_file {
            put("PIDFILE", path.into());
        }
        if matches!(prepared.role, ExecRole::Stop | ExecRole::StopPost) {
            put("SERVICE_RESULT", Text::fixed(run.result.as_str()));
            if let Some(exit) = run.main_status.exit {
                let (code, status) = exit_words(exit);
                put("EXIT_CODE", Text::fixed(code));
                put("EXIT_STATUS", status);
            }
        }
        for (name, value) in monitor {
            put(name, value);
        }
        if let Some(invocation) = &this.invocation {
            put("INVOCATION_ID", Text::from(&**invocation));
        }
        if notify {
            put("NOTIFY_SOCKET", Text::fixed(NOTIFY_SOCKET));
        }
        let (out, error) = &prepared.program.output;
        if [out, error].iter().any(|stream| ["journal", "kmsg", "syslog"].iter().any(|kind| stream.starts_with(kind))) {
            put("JOURNAL_STREAM", Text::numbered(STREAM_DEVICE, 20_000 + 2 * u64::from(pid)));
        }
        let pid = Text::number(pid.into());
        put("SYSTEMD_EXEC_PID", pid.clone());
        if !control && let Some(span) = self.watchdog_span(unit) {
            put("WATCHDOG_PID", pid.clone());
            put("WATCHDOG_USEC", Text::number(span.as_micros()));
        }
        if let Some(Peer::Internet { remote, .. }) = run.connection.as_ref().map(|held| &held.peer) {
            put("REMOTE_ADDR", remote.ip().to_string().into());
            put("REMOTE_PORT", Text::number(remote.port().into()));
        }
        if !passed.is_empty() {
            put("LISTEN_PID", pid);
            put("LISTEN_FDS", Text::number(passed.len() as u64));
            put("LISTEN_FDNAMES", passed.join(":").into());
        }
        set_all(&mut all, this.assignments.iter().cloned());
        set_all(&mut all, files.iter().map(|(name, value)| (name.into(), value.into())));
        if !config.unset_environment.is_empty() {
            let unset: HashSet<(&str, Option<&str>)> = config
                .unset_environment
                .iter()
                .map(|word| word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value))))
                .collect();
            all.retain(|(name, value)| !unset.contains(&(name, None)) && !unset.contains(&(name, Some(value))));
        }
        all
    }

    /// What a unit that OnFailure= or OnSuccess= started is told about the unit that it is there for, if that can be
    /// only one (systemd.exec(5), `$MONITOR_SERVICE_RESULT`).
    fn monitor_variables(&mut self, unit: UnitId) -> Vec<(&'static str, Text)> {
        let this = self.unit(unit);
        let mut sources = this.related(Relation::OnFailureOf).chain(this.related(Relation::OnSuccessOf));
        let (source, other) = (sources.next(), sources.next());
        drop(sources);
        let Some(source) = source else { return Vec::new() };
        if let Some(other) = other {
            let text = format!(
                "multiple trigger source candidates for exit status propagation ({}, {}), skipping.",
                self.unit(source).name,
                self.unit(other).name
            );
            self.log(unit, level::WARNING, &text);
            return Vec::new();
        }
        let that = self.unit(source);
        let run = &that.service;
        let mut list = vec![("MONITOR_SERVICE_RESULT", Text::fixed(run.result.as_str()))];
        if let Some(exit) = run.main_status.exit {
            let (code, status) = exit_words(exit);
            list.push(("MONITOR_EXIT_CODE", Text::fixed(code)));
            list.push(("MONITOR_EXIT_STATUS", status));
        }
        if let Some(invocation) = &that.invocation {
            list.push(("MONITOR_INVOCATION_ID", Text::from(&**invocation)));
        }
        list.push(("MONITOR_UNIT", (&that.name).into()));
        list
    }

    /// The sockets that are passed to the main process: those that listen for it.
    fn sockets_of(&self, unit: UnitId) -> Vec<(String, String)> {
        let mut sockets = Vec::new();
        let mut seen = Vec::new();
        for other in self.unit(unit).related(Relation::TriggeredBy) {
            let that = self.unit(other);
            if that.kind != Kind::Socket || seen.contains(&other) {
                continue;
            }
            seen.push(other);
            let Some(socket) = that.def.socket.as_ref() else { continue };
            if matches!(that.socket.state, SocketState::Listening | SocketState::Running) {
                let name = socket.file_descriptor_name.clone().unwrap_or_else(|| that.name.to_string());
                for _ in &socket.listen {
                    sockets.push((that.name.to_string(), name.clone()));
                }
            }
        }
        sockets
    }
}

/// Sets variables of different names, each in place if it was set before.
fn set_all(block: &mut Vec<(Text, Text)>, variables: impl ExactSizeIterator<Item = (Text, Text)>) {
    // A few are looked for one by one, which is faster; many would take quadratic time.
    let places: Option<HashMap<Text, usize>> = (variables.len() > 16)
        .then(|| block.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect());
    for (name, value) in variables {
        let place = match &places {
            Some(places) => places.get(&name).copied(),
            None => block.iter().position(|(known, _)| *known == name),
        };
        match place {
            Some(place) => block[place].1 = value,
            None => block.push((name, value)),
        }
    }
}

/// What of a command is the same in every run.
fn prepare(config: &Service, role: ExecRole, command: &ExecCommand) -> Prepared {
    let output = match config.standard_output.as_str() {
        "inherit" if config.standard_input == "null" => "null".to_owned(),
        "inherit" => config.standard_input.clone(),
        other => other.to_owned(),
    };
    let error = match config.standard_error.as_str() {
        "inherit" => output.clone(),
        other => other.to_owned(),
    };
    let home = match config.user.as_deref() {
        None | Some("root" | "0") => "/root".to_owned(),
        Some(user) => format!("/home/{user}"),
    };
    let mut first: Vec<(Text, Text)> =
        MANAGER_ENVIRONMENT.iter().map(|(name, value)| (Text::fixed(name), Text::fixed(value))).collect();
    if let Some(user) = &config.user {
        let account = [("HOME", home.as_str()), ("LOGNAME", user), ("USER", user), ("SHELL", "/bin/bash")];
        first.extend(account.map(|(name, value)| (Text::fixed(name), value.into())));
    }
    let base = command.path.rsplit('/').next().unwrap_or(&command.path);
    Prepared {
        role,
        argv: (command.no_env_expand || !command.argv.iter().any(|word| word.contains('$')))
            .then(|| command.argv.clone().into()),
        first,
        program: Arc::new(Program {
            path: command.path.clone(),
            working_directory: match &config.working_directory {
                _ if config.working_directory_home => Some((home, config.working_directory_missing_ok)),
                Some(path) => Some((path.clone(), config.working_directory_missing_ok)),
                None => None,
            },
            user: config.user.clone(),
            group: config.group.clone(),
            umask: config.umask,
            input: if config.standard_input == "socket" { StandardInput::Socket } else { StandardInput::Null },
            output: (output, error),
            syslog: config.syslog,
            identifier: config.syslog_identifier.clone().unwrap_or_else(|| base.to_owned()),
            ignore_sigpipe: config.ignore_sigpipe,
            non_blocking: config.non_blocking,
        }),
    }
}
