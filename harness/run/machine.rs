//! The machine of the incident: the manager and the journal, and what the manager's effects do to real processes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Fault;
use super::incident::Incident;
use super::layout::Layout;
use super::pids::Pids;
use super::properties::Told;
use super::tree::{Origin, Pending, Start, Tree};
use crate::control::Step;
use crate::journal::{Journal, Levels, Line, Machine, ManagerLine, StdoutLine};
use crate::manager::{
    Config, ExecFailure, Host, Input, Manager, Message, PathKind, Pid, Process, Program, Reply, RequestId, Spawn,
};
use crate::program::{PASS_ON, arm_shell};
use crate::time::{IncidentTime, Span};
use crate::timeline::EventKind;
use crate::unit::{Context, Errno, Files, Profile, Syslog};

/// The manager, the journal, and what belongs to them.
pub(super) struct Machinery {
    pub(super) manager: Manager,
    pub(super) journal: Journal,
    pub(super) machine: Machine,
    pub(super) files: Files,
    /// How often they were found to be others.
    pub(super) files_revision: u64,
    /// unit → what the timeline has been told of it.
    pub(super) told: BTreeMap<String, Told>,
    /// unit → (invocation ID, identifier, levels) of its last spawn.
    output: HashMap<String, (String, String, Syslog)>,
    /// unit → CPU time of those of its processes that have ended, since its last start.
    pub(super) spent: HashMap<String, Span>,
    pub(super) replies: HashMap<RequestId, Reply>,
    pub(super) next_request: RequestId,
    boots: u32,
    /// Users and groups that do not exist.
    pub(super) unknown_accounts: BTreeSet<String>,
    /// Units that have a PID file, and where.
    pub(super) pid_files: BTreeMap<String, String>,
    /// The PID files that the manager waits for, as they were last seen.
    awaited: Vec<(String, Option<String>)>,
    /// Units whose processes were told where to send notifications.
    pub(super) notifying: BTreeSet<String>,
    pub(super) profile: Profile,
}

impl Machinery {
    pub(super) fn new(config: Config, hostname: String) -> Machinery {
        let profile = config.profile;
        let machine = Machine {
            hostname,
            machine_id: "4c1f0e5b7d3a4b68a2e19d5c8f7b6a01".into(),
            boot_id: boot_id(0),
            boot: config.boot,
        };
        Machinery {
            manager: Manager::new(config),
            journal: Journal::new("8d2c6a5f0b1e4d7793a4c5e6f7081920"),
            machine,
            files: Files::default(),
            files_revision: 0,
            told: BTreeMap::new(),
            output: HashMap::new(),
            spent: HashMap::new(),
            replies: HashMap::new(),
            next_request: 1,
            boots: 0,
            unknown_accounts: BTreeSet::new(),
            pid_files: BTreeMap::new(),
            awaited: Vec::new(),
            notifying: BTreeSet::new(),
            profile,
        }
    }

    pub(super) fn hostname(&self) -> &str {
        &self.machine.hostname
    }

    /// Counts what a process of the unit has used up to its end.
    pub(super) fn account(&mut self, unit: &str, cpu: Span) {
        let spent = self.spent.entry(unit.to_owned()).or_default();
        *spent = *spent + cpu;
    }

    pub(super) fn next_deadline(&self) -> Option<IncidentTime> {
        self.manager.next_deadline()
    }

    pub(super) fn service_line(
        &mut self,
        now: IncidentTime,
        unit: &str,
        pid: Pid,
        comm: &str,
        cmdline: &str,
        line: &Line,
    ) {
        let (invocation, identifier, syslog) = self.output.get(unit).cloned().unwrap_or_default();
        let Syslog { level, facility, level_prefix, level_max } = syslog;
        let exe = cmdline.split(' ').next().unwrap_or_default().to_owned();
        let record = self.machine.stdout_record(
            now,
            &StdoutLine {
                unit,
                invocation_id: &invocation,
                pid,
                comm,
                exe: &exe,
                cmdline,
                uid: 0,
                gid: 0,
                identifier: &identifier,
                stream_id: &format!("{:032x}", u128::from(pid)),
                line: &line.bytes,
                line_break: line.line_break,
                levels: Levels { level, facility, prefix: level_prefix, max: level_max },
            },
        );
        if let Some(record) = record {
            self.journal.append(record);
        }
    }

    pub(super) fn log(&mut self, now: IncidentTime, message: &Message) {
        let fields: Vec<(&str, &str)> = message.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let record = self.machine.manager_record(
            now,
            &ManagerLine {
                priority: message.priority,
                message: &message.text,
                message_id: message.message_id,
                unit: message.unit.as_deref(),
                invocation_id: message.invocation_id.as_deref(),
                fields: &fields,
                child: message.child.as_ref().map(|(pid, identifier)| (*pid, identifier.as_str())),
            },
        );
        self.journal.append(record);
    }
}

/// Boot IDs are the incident's: the same in every run.
fn boot_id(boots: u32) -> String {
    format!("b7e4c2d19f3a4e5c8d6f{:012x}", 0x1a2b_3c4d_5e6fu64 + u64::from(boots))
}

/// What the manager can look at.
pub(super) struct View<'a> {
    pub(super) tree: &'a Tree,
    pub(super) layout: &'a Layout,
    pub(super) files: &'a Files,
    pub(super) files_revision: u64,
    pub(super) spent: &'a HashMap<String, Span>,
    pub(super) pids: &'a Pids,
    pub(super) unknown_accounts: &'a BTreeSet<String>,
    pub(super) machine: &'a Machine,
}

impl Host for View<'_> {
    fn fork(&mut self) -> Pid {
        self.pids.fork()
    }

    fn unit_files(&self) -> &Files {
        self.files
    }

    fn unit_files_revision(&self) -> Option<u64> {
        Some(self.files_revision)
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.layout.read(path)
    }

    fn read_pid_file(&self, unit: &str, path: &str) -> Option<Vec<u8>> {
        let line = self.layout.first_line(path)?;
        let pid = super::notify::incident_pid(self.tree, Some(unit), &line);
        Some(pid.map_or(line, |pid| pid.to_string()).into_bytes())
    }

    fn is_alive(&self, pid: Pid) -> bool {
        self.tree.by_pid(pid).is_some()
    }

    fn stat(&self, path: &str) -> Option<PathKind> {
        self.layout.stat(path)
    }

    fn processes(&self, unit: &str) -> Vec<Process> {
        let mut found: Vec<Process> = self
            .tree
            .alive()
            .filter(|process| matches!(&process.origin, Origin::Unit { unit: u, .. } if u == unit))
            .filter_map(|process| {
                let parent = self.tree.parent(process).and_then(|parent| parent.pid).unwrap_or(1);
                Some(Process { pid: process.pid?, comm: self.tree.comm(process), parent })
            })
            .collect();
        found.sort_by_key(|process| process.pid);
        found
    }

    fn cpu_time(&self, unit: &str) -> Span {
        let before = self.spent.get(unit).copied().unwrap_or_default();
        self.tree
            .alive()
            .filter(|process| matches!(&process.origin, Origin::Unit { unit: u, .. } if u == unit))
            .fold(before, |sum, process| sum + self.tree.cpu(process))
    }

    fn has_account(&self, name: &str) -> bool {
        // Whoever is named in User= or Group= is there, if nothing else is said: the host's accounts do not count.
        !self.unknown_accounts.contains(name)
    }

    fn specifiers(&self) -> Context {
        let Machine { hostname, machine_id, boot_id, .. } = self.machine.clone();
        Context { host_name: hostname, machine_id, boot_id, ..Context::default() }
    }
}

impl Incident {
    /// Reads the unit directories again.
    pub(super) fn refresh_files(&mut self) -> Result<(), Fault> {
        let files = self.layout.unit_files()?;
        if files != self.machinery.files {
            self.machinery.files = files;
            self.machinery.files_revision += 1;
        }
        Ok(())
    }

    /// Tells the manager, does what it says, and whatever follows from that.
    pub(super) fn input(&mut self, input: Input) -> Result<(), Fault> {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            if !matches!(input, Input::Traffic { .. }) {
                self.sockets.disturbed();
            }
            if matches!(input, Input::Request { .. } | Input::Boot) {
                self.refresh_files()?;
            }
            self.number_processes();
            self.name_in_pid_files();
            let now = self.now();
            let mut view = View {
                tree: &self.tree,
                layout: &self.layout,
                files: &self.machinery.files,
                files_revision: self.machinery.files_revision,
                spent: &self.machinery.spent,
                pids: &self.pids,
                unknown_accounts: &self.machinery.unknown_accounts,
                machine: &self.machinery.machine,
            };
            // What changes without any effect is what clients and notifications set.
            let silent = matches!(input, Input::Request { .. } | Input::Notify { .. } | Input::Boot);
            let effects = self.machinery.manager.step(now, &mut view, input);
            let changed = silent || !effects.is_empty();
            self.apply_all(effects)?;
            if changed {
                self.tell_properties();
            }
        }
        self.progress_sessions()
    }

    /// Whether a PID file that the manager waits for has been written since the last look: what inotify(7) tells it.
    pub(super) fn pid_file_written(&mut self) -> bool {
        if !self.machinery.manager.awaits_files() && self.machinery.awaited.is_empty() {
            return false;
        }
        let read = |path: &str| (path.to_owned(), self.layout.first_line(path));
        let files: Vec<_> = self.machinery.manager.awaited_files().map(read).collect();
        let written = files.iter().any(|file| file.1.is_some() && !self.machinery.awaited.contains(file));
        self.machinery.awaited = files;
        written
    }

    /// Gives descendants of units that have no PID yet one: the manager may want to see or signal them.
    pub(super) fn number_processes(&mut self) {
        let is_nameless =
            |process: &&super::tree::Process| process.pid.is_none() && matches!(process.origin, Origin::Unit { .. });
        if !self.tree.alive().any(|process| is_nameless(&process)) {
            return;
        }
        self.tree.serve_all();
        let nameless: Vec<_> =
            self.tree.alive().filter(is_nameless).map(|process| (process.id, process.host)).collect();
        for (id, host) in nameless {
            let pid = self.pids.name(host);
            if let Some(process) = self.tree.get_mut(id) {
                process.pid = Some(pid);
            }
        }
    }

    /// The machine goes down, with everything that runs, and comes up again.
    pub(super) fn reboot(&mut self) -> Result<(), Fault> {
        self.tree.kill_all()?;
        // They die with the machine: no manager is there to hear of it.
        while let Some(pending) = self.tree.pending(true) {
            if let Pending::Ended(id, status) = pending {
                self.ended(id, status)?;
            }
        }
        self.reboot_due = false;
        self.listeners.clear();
        self.close_all();
        self.sessions.clear();
        self.waiting.clear();
        self.signalled.clear();
        self.store.clear();
        self.machinery.boots += 1;
        let now = self.now();
        self.machinery.machine.boot_id = boot_id(self.machinery.boots);
        self.machinery.machine.boot = now;
        self.boot = now;
        self.input(Input::Boot)
    }

    pub(super) fn spawn(&mut self, spawn: Spawn) -> Result<(), Fault> {
        let Spawn { pid, role, argv, environment, notify, .. } = spawn;
        let socket_streams = spawn.program.socket_streams();
        let Program { path, working_directory, output, identifier, syslog, .. } = &*spawn.program;
        let unit = String::from(spawn.unit);
        let invocation_id = spawn.invocation_id.as_deref().unwrap_or_default().to_owned();
        if let Some((_, path)) = environment.iter().find(|(name, _)| name == "PIDFILE") {
            self.machinery.pid_files.insert(unit.clone(), path.to_string());
        }
        if notify {
            self.machinery.notifying.insert(unit.clone());
        }
        let before = self.machinery.output.insert(unit.clone(), (invocation_id.clone(), identifier.clone(), *syslog));
        if before.is_none_or(|(id, ..)| id != invocation_id) {
            self.machinery.spent.remove(&unit);
        }
        let program = match self.layout.executable(path) {
            Ok(program) => program,
            Err(errno) => return self.stillborn(pid, unit, ExecFailure::Exec(Errno::new(errno as i32))),
        };
        let ours = self.layout.is_ours(&program);
        // What another program is to be told must be said in its terms.
        let passes_on = program.file_name().is_some_and(|name| PASS_ON.iter().any(|known| name == *known));
        let directory = working_directory.as_ref().map_or("/", |(path, _)| path.as_str());
        let may_fail = working_directory.as_ref().is_some_and(|(_, may_fail)| *may_fail);
        let mut host_directory = self.layout.resolve(directory);
        if may_fail && !host_directory.is_dir() {
            host_directory = "/".into();
        }
        let output = (self.layout.sink(&output.0)?, self.layout.sink(&output.1)?);
        let mapping = &self.layout.mapping;
        let mut host_argv: Vec<String> =
            if ours && !passes_on { argv.to_vec() } else { argv.iter().map(|arg| mapping.to_host(arg)).collect() };
        if !ours {
            arm_shell(&mut host_argv);
        }
        let mut host_environment: Vec<(String, String)> = environment
            .iter()
            .filter(|(name, _)| name != "PATH")
            .map(|(name, value)| (name.to_string(), mapping.to_host(value)))
            .collect();
        let path_variable =
            environment.iter().find(|(name, _)| name == "PATH").map_or("/usr/local/bin:/usr/bin:/bin", |(_, v)| v);
        host_environment.push(("PATH".into(), self.layout.path_variable(path_variable)));
        let start = Start {
            program: program.to_string_lossy().into_owned(),
            argv: host_argv,
            environment: host_environment,
            directory: host_directory.to_string_lossy().into_owned(),
            origin: Origin::Unit { unit: unit.clone(), role: role.as_str().to_owned() },
            ours,
            pid: Some(pid),
            wanted_pid: self.pids.promised(pid),
            output,
            umask: spawn.program.umask,
            ignore_sigpipe: spawn.program.ignore_sigpipe,
            // Other programs compare LISTEN_PID and WATCHDOG_PID with their own PID, which is the host's. Who has a socket
            // for standard input has no LISTEN_PID, and no place to be told what went wrong.
            own_pid: !ours
                && !socket_streams[0]
                && environment.iter().any(|(name, _)| name == "LISTEN_PID" || name == "WATCHDOG_PID"),
            descriptors: self.sockets.pass(&spawn.sockets, spawn.connection, spawn.program.non_blocking)?,
            socket_streams,
            stored: spawn.stored.iter().filter_map(|id| self.store.get(id)).cloned().collect(),
        };
        match self.tree.start(start)? {
            Ok(id) => {
                if let Some(process) = self.tree.get_mut(id) {
                    process.argv = argv.to_vec();
                }
                let cmdline = argv.join(" ");
                self.event(EventKind::Start {
                    unit: Some(unit),
                    role: Some(role.as_str().to_owned()),
                    pid,
                    ppid: 1,
                    cmdline,
                });
                self.inputs.push_back(Input::Executed { pid });
            }
            Err((step, errno)) => {
                let errno = Errno::new(errno);
                let failure = match step {
                    Step::Exec => ExecFailure::Exec(errno),
                    Step::Chdir => ExecFailure::Chdir(errno),
                    Step::Stdout => ExecFailure::Other("STDOUT".to_owned(), errno),
                    Step::Stderr => ExecFailure::Other("STDERR".to_owned(), errno),
                };
                self.stillborn(pid, unit, failure)?;
            }
        }
        Ok(())
    }

    /// A child that never became its program: for the manager it has ended, and its group may be empty now.
    fn stillborn(&mut self, pid: Pid, unit: String, failure: ExecFailure) -> Result<(), Fault> {
        self.inputs.push_back(Input::ExecFailed { pid, failure });
        let left = self.tree.alive().any(|p| matches!(&p.origin, Origin::Unit { unit: u, .. } if *u == unit));
        if !left {
            self.inputs.push_back(Input::CgroupEmpty { unit });
        }
        Ok(())
    }
}
