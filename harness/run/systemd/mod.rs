//! A scenario on a real systemd: a machine of its own ([`super::container`]), the real commands, ports and paths as they
//! are written, and a wall clock.
//!
//! Nothing is polled. What happens is told by those who do it, each with the moment at which it did: stand-ins by the
//! control protocol, systemd by its journal and its bus. What they tell arrives in another order than it happened in, so
//! everything is held back for a moment ([`HOLD`]) and then taken into the timeline by its own time.

mod feed;
mod links;
mod scale;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::clock::{Clock, ClockKind};
use super::console::CommandOutcome;
use super::container::{Container, ContainerSetup};
use super::incident::{Reached, StandIn};
use super::setup::Setup;
use super::stage::{self, Stage};
use super::{Cancel, Fault};
use crate::control::{Launch, Mapping, Note, Role, Sink, Status, Welcome};
use crate::journal::{Journal, Record};
use crate::program::{BUS, CLIENT, EXECUTABLE};
use crate::sys::real_time as real_now;
use crate::time::{IncidentTime, Span};
use crate::timeline::{Answer, Ended, EventKind, Timeline};
use feed::{Known, Tail};
use links::{LinkId, Links, Said};
use scale::Scale;

/// Microseconds of real time for which events are held back.
const HOLD: u64 = 100_000;
/// How long the end of a process may stay without its reason, in the same unit.
const REASON: u64 = 1_000_000;
/// The accuracy of systemd's timers (systemd.timer(5), `AccuracySec=` of service timers), of incident time.
const GRID: Span = Span::from_millis(250);
/// What real programs take to start and to end, of real time.
const LATENCY: Span = Span::from_millis(100);

const CONTROL: &str = "/relapse/control";
const SHIMS: &str = "/relapse/shims";
const JOURNAL: &str = "/relapse/journal.json";
const CHANGES: &str = "/relapse/changes.json";
/// Commands that know incident time, or see to the clock's drop-ins first.
const SCALED: &[&str] = &["curl", "date", "sleep", "systemctl", "timeout", "watch"];
/// Programs of the distribution that units name by their path, and that sleep.
const SLEEPERS: &[&str] = &["/usr/bin/sleep", "/usr/bin/timeout"];
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stand-in or another process of ours.
#[derive(Debug)]
struct Process {
    /// PID within the machine.
    pid: u32,
    unit: Option<String>,
    server: bool,
    /// What it said of its end, and when.
    end: Option<(u64, Ended)>,
}

/// One that is gone, and nobody has said why yet.
#[derive(Debug)]
struct Gone {
    at: u64,
    pid: u32,
    unit: Option<String>,
}

pub(super) struct OnSystemd {
    container: Container,
    clock: Clock,
    /// The real moment at which the incident began, in microseconds since 1970.
    begin: u64,
    start: IncidentTime,
    factor: u64,
    timeline: Timeline,
    /// Events that are held back, by the real moment at which they happened and in the order of their arrival.
    held: BTreeMap<(u64, u64), EventKind>,
    arrived: u64,
    stand_ins: Vec<StandIn>,
    setup: Setup,
    links: Links,
    processes: BTreeMap<LinkId, Process>,
    gone: Vec<Gone>,
    /// Ends of processes that the guard within the machine has reaped.
    statuses: HashMap<u32, Status>,
    journal: Tail,
    changes: Tail,
    known: Known,
    scale: Scale,
    records: Journal,
    first_pid_set: bool,
    cancel: Cancel,
    /// Microseconds since 1970, never going back.
    latest: u64,
}

impl OnSystemd {
    /// Boots the machine.
    pub(super) fn begin(setup: Setup, users: Vec<String>, executable: PathBuf) -> Result<OnSystemd, Fault> {
        let factor = match setup.clock {
            ClockKind::Virtual => return Err(Fault::WallClockOnly),
            ClockKind::Scaled(factor) => u64::from(factor),
            ClockKind::Real => 1,
        };
        let mut manager = scale::manager(factor);
        manager.push(format!("DefaultEnvironment={}={CONTROL}", crate::control::ENV_CONTROL));
        let replaced = if factor == 1 { &[] } else { SLEEPERS };
        let mut container = Container::make(&ContainerSetup {
            hostname: setup.hostname.clone(),
            users,
            manager,
            replaced: replaced.iter().map(|&path| path.to_owned()).collect(),
            ..ContainerSetup::new(executable)
        })?;
        let root = container.kept_root().to_owned();
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let listener = UnixListener::bind(below(CONTROL))?;
        fs::set_permissions(below(CONTROL), fs::Permissions::from_mode(0o666))?;
        fs::create_dir_all(below(SHIMS))?;
        fs::create_dir_all(below("/relapse/out"))?;
        let shims = if factor == 1 { &["systemctl"][..] } else { SCALED };
        for name in shims.iter().chain(["sudo"].iter()) {
            symlink(EXECUTABLE, below(SHIMS).join(name))?;
        }
        for path in &setup.directories {
            open_directory(&root, path)?;
        }
        if setup.client.is_some() {
            // Before the machine boots, and beside it: who looks for the port's owners must not find the client.
            container.beside(&[CLIENT], &[(crate::control::ENV_CONTROL, CONTROL)])?;
        }
        container.start()?;
        let begin = real_now();
        let mut stage = OnSystemd {
            clock: Clock::new(setup.clock, setup.start),
            begin,
            start: setup.start,
            factor,
            timeline: Timeline::default(),
            held: BTreeMap::new(),
            arrived: 0,
            stand_ins: Vec::new(),
            links: Links::new(listener)?,
            processes: BTreeMap::new(),
            gone: Vec::new(),
            statuses: HashMap::new(),
            journal: Tail::new(File::create_new(below(JOURNAL)).and_then(|_| File::open(below(JOURNAL)))?),
            changes: Tail::new(File::create_new(below(CHANGES)).and_then(|_| File::open(below(CHANGES)))?),
            known: Known::default(),
            scale: Scale::new(factor, setup.profile),
            records: Journal::new("relapse"),
            first_pid_set: false,
            cancel: setup.cancel.clone(),
            latest: begin,
            setup,
            container,
        };
        stage.listen()?;
        Ok(stage)
    }

    /// Starts those who tell what happens.
    fn listen(&mut self) -> Result<(), Fault> {
        // Only what comes from now on.
        self.launch("/usr/bin/journalctl", &["journalctl", "-f", "-n", "0", "-o", "json", "--all"], JOURNAL)?;
        let every = if self.factor == 1 { 0 } else { GRID.as_micros() / self.factor };
        let phase = self.begin + self.setup.timer_phase.as_micros() / self.factor;
        self.launch(EXECUTABLE, &[BUS, &every.to_string(), &phase.to_string()], CHANGES)?;
        Ok(())
    }

    /// Starts a program of the run's within the machine.
    fn launch(&mut self, program: &str, argv: &[&str], out: &str) -> Result<i32, Fault> {
        let environment =
            vec![("PATH".to_owned(), PATH.to_owned()), (crate::control::ENV_CONTROL.to_owned(), CONTROL.to_owned())];
        let argv = argv.iter().map(|&arg| arg.to_owned()).collect();
        self.spawn(program, argv, environment, "/", out)
    }

    fn spawn(
        &mut self,
        program: &str,
        argv: Vec<String>,
        environment: Vec<(String, String)>,
        directory: &str,
        out: &str,
    ) -> Result<i32, Fault> {
        let launch = Launch {
            program: program.to_owned(),
            argv,
            environment,
            directory: directory.to_owned(),
            stdout: Sink::Append(out.to_owned()),
            stderr: None,
            // What the operator writes, a unit's user may have to write too.
            umask: 0,
            ignore_sigpipe: false,
            descriptors: 0,
            socket_streams: [false; 3],
            own_pid: false,
        };
        let guard = self.container.guard.as_mut().ok_or_else(|| io::Error::other("the machine is down"))?;
        Ok(guard.spawn(&[], launch)?.map_err(|(_, errno)| io::Error::from_raw_os_error(errno))?)
    }

    fn below(&self, path: &str) -> PathBuf {
        self.container.kept_root().join(path.trim_start_matches('/'))
    }

    fn incident_time(&self, real: u64) -> IncidentTime {
        self.start + Span::from_micros(real.saturating_sub(self.begin).saturating_mul(self.factor))
    }

    fn real_time(&self, at: IncidentTime) -> u64 {
        self.begin + at.since(self.start).as_micros().div_ceil(self.factor)
    }

    // ---- what happens ----

    fn hold(&mut self, at: u64, kind: EventKind) {
        self.arrived += 1;
        self.held.insert((at, self.arrived), kind);
    }

    /// Takes the next event that happened up to a moment into the timeline.
    fn release(&mut self, until: u64) -> bool {
        let Some(entry) = self.held.first_entry().filter(|entry| entry.key().0 <= until) else { return false };
        let ((at, _), kind) = entry.remove_entry();
        self.latest = self.latest.max(at);
        let at = self.incident_time(self.latest);
        self.timeline.push(at, kind);
        true
    }

    /// Hears everybody, for at most a hundredth of a second.
    fn pump(&mut self, until: u64) -> Result<(), Fault> {
        if self.cancel.is_set() {
            return Err(Fault::Canceled);
        }
        let due = self.links.deadline().map(|at| self.real_time(at)).unwrap_or(u64::MAX).min(until);
        let wait = due.saturating_sub(real_now()).min(10_000);
        {
            let guard = self.container.guard.as_ref();
            let mut fds: Vec<PollFd<'_>> =
                self.links.descriptors().into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            if let Some(guard) = guard {
                fds.push(PollFd::new(std::os::fd::AsFd::as_fd(guard.socket()), PollFlags::POLLIN));
            }
            let timeout = u16::try_from(wait.div_ceil(1000)).unwrap_or(10);
            match poll(&mut fds, PollTimeout::from(timeout)) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
        let now = self.clock.now();
        if let Some(deadline) = self.links.deadline().filter(|deadline| *deadline <= now) {
            self.clock.reach(deadline);
        }
        self.links.wake(now);
        for (link, said) in self.links.hear(now)? {
            self.said(link, said)?;
        }
        self.reaped()?;
        self.read_journal()?;
        self.read_changes()?;
        self.explain()
    }

    /// Ends that the guard within the machine tells; `Ok` also if that is gone, as at a reboot.
    fn reaped(&mut self) -> Result<(), Fault> {
        let Some(guard) = self.container.guard.as_mut() else { return Ok(()) };
        if guard.read_within(Duration::ZERO).is_err() {
            // It goes down with the machine, which nothing but a reboot ends.
            self.container.guard = None;
            return Ok(());
        }
        while let Some((pid, status)) = self.container.guard.as_mut().and_then(super::guard::Guard::next_ended) {
            self.statuses.insert(pid.unsigned_abs(), status);
        }
        Ok(())
    }

    fn read_journal(&mut self) -> Result<(), Fault> {
        for line in self.journal.lines()? {
            let Ok(record) = Record::from_json(&line) else { continue };
            let at = feed::stamp(&record);
            if feed::is_the_managers(&record) {
                self.explain_by(&record, at);
                self.hold(at, feed::event(&record));
            } else if let Some(unit) = record.get("_SYSTEMD_UNIT").filter(|unit| *unit != "init.scope") {
                let pid = record.get("_PID").and_then(|pid| pid.parse().ok());
                let ours = self.processes.values().any(|process| process.server && Some(process.pid) == pid)
                    || self.stand_ins.iter().any(|known| record.get("_EXE") == Some(EXECUTABLE) && known.starts > 0);
                // A stand-in has said itself what it printed.
                if !ours && record.get("_TRANSPORT") == Some("stdout") {
                    let (unit, line) = (Some(unit.to_owned()), record.message());
                    self.hold(at, EventKind::Log { unit, pid, stream: "stdout".to_owned(), line });
                }
            }
            self.records.append(record);
        }
        Ok(())
    }

    fn read_changes(&mut self) -> Result<(), Fault> {
        for line in self.changes.lines()? {
            let Ok(changed) = serde_json::from_str::<crate::control::Changed>(&line) else { continue };
            let at = changed.at;
            let root = self.container.kept_root().to_owned();
            let scale = &self.scale;
            let delay = |unit: &str| {
                let unit = scale.unit(&root, unit).ok().and_then(|unit| unit.service);
                unit.map_or(Span::ZERO, |service| service.restart_sec)
            };
            for event in self.known.events(changed, delay) {
                self.hold(at, event);
            }
        }
        Ok(())
    }

    fn said(&mut self, link: LinkId, said: Said) -> Result<(), Fault> {
        let at = real_now();
        match said {
            Said::Hello { host, argv } => self.hello(link, host, argv, at),
            Said::Note(note, said) => {
                self.note(link, note, if said == 0 { at } else { said.min(at) });
                Ok(())
            }
            Said::HungUp => {
                let Some(process) = self.processes.remove(&link).filter(|process| process.server) else {
                    return Ok(());
                };
                let Process { pid, unit, end, .. } = process;
                match end {
                    Some((at, ended)) => self.exit(at, pid, unit, ended),
                    None => self.gone.push(Gone { at, pid, unit }),
                }
                Ok(())
            }
        }
    }

    fn exit(&mut self, at: u64, pid: u32, unit: Option<String>, ended: Ended) {
        let role = unit.as_ref().map(|_| "ExecStart".to_owned());
        self.hold(at, EventKind::Exit { unit, role, pid, ended });
    }

    fn hello(&mut self, link: LinkId, host: i32, argv: Vec<String>, at: u64) -> Result<(), Fault> {
        let name = argv.first().map_or("", |first| first.rsplit('/').next().unwrap_or(first));
        let stand_in = stage::due(&mut self.stand_ins, &argv);
        let role = match (name, stand_in, &self.setup.client) {
            (CLIENT, _, Some(client)) => Role::Client(client.clone()),
            (_, Some(role), _) => Role::Server(Box::new(role)),
            ("systemctl", ..) => {
                self.scale.write(self.container.kept_root())?;
                Role::Real("/usr/bin/systemctl".to_owned())
            }
            _ => Role::Tool,
        };
        let server = matches!(role, Role::Server(_));
        let pid = crate::sys::process::innermost_pid(host).unwrap_or(0);
        let unit = self.unit_of(host);
        if server {
            let role = unit.as_ref().map(|_| "ExecStart".to_owned());
            let event = EventKind::Start { unit: unit.clone(), role, pid, ppid: 1, cmdline: argv.join(" ") };
            self.hold(at, event);
        }
        self.processes.insert(link, Process { pid, unit, server, end: None });
        // What the machine took to start it is no time of the incident's.
        let now = self.incident_time(crate::sys::process::born(host).unwrap_or(at).clamp(self.begin, at));
        self.links.welcome(
            link,
            Welcome {
                now,
                pid,
                role,
                mapping: Mapping::default(),
                wall_scale: self.clock.wall_scale(),
                hostname: self.setup.hostname.clone(),
                tells_lines: server,
            },
        );
        Ok(())
    }

    /// The unit that a process belongs to: the last part of its cgroup's path that names one.
    fn unit_of(&self, host: i32) -> Option<String> {
        let text = fs::read_to_string(format!("/proc/{host}/cgroup")).ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        path.split('/').rfind(|part| part.ends_with(".service")).map(str::to_owned)
    }

    fn note(&mut self, link: LinkId, note: Note, at: u64) {
        let Some(process) = self.processes.get_mut(&link) else { return };
        let (pid, unit) = (process.pid, process.unit.clone());
        let event = match note {
            Note::Exiting { code } => {
                process.end = Some((at, Ended::Exited(code)));
                return;
            }
            Note::Dying { signal } => {
                process.end = Some((at, Ended::Killed(signal)));
                return;
            }
            Note::Foreign => return,
            Note::Printed { line } => EventKind::Log { unit, pid: Some(pid), stream: "stdout".to_owned(), line },
            Note::Log { path, line } => EventKind::Log { unit, pid: Some(pid), stream: path, line },
            Note::Listening { address, port, .. } => EventKind::Listening { unit, pid, address, port },
            Note::Closed { address, port } => EventKind::Closed { pid, address, port },
            Note::Refused { address, port, errno } => EventKind::Refused { unit, pid, address, port, errno },
            Note::Request { port, status, error, by, sent } => {
                EventKind::Request { port, answer: Answer::of(status, &error), pid: by, sent }
            }
        };
        self.hold(at, event);
    }

    // ---- why a process ended ----

    /// The manager says how the main process of a unit ended.
    fn explain_by(&mut self, record: &Record, at: u64) {
        let (Some(unit), Some(code), Some(status)) =
            (record.get("UNIT"), record.get("EXIT_CODE"), record.get("EXIT_STATUS"))
        else {
            return;
        };
        let Some(index) = self.gone.iter().position(|gone| gone.unit.as_deref() == Some(unit)) else { return };
        let Some(ended) = ended(code, status) else { return };
        let Gone { at: since, pid, unit } = self.gone.remove(index);
        self.exit(since.min(at), pid, unit, ended);
    }

    /// The guard has reaped it; or systemd is asked, once, because it says nothing of an end that counts as clean.
    fn explain(&mut self) -> Result<(), Fault> {
        let now = real_now();
        let (known, unknown): (Vec<Gone>, Vec<Gone>) =
            std::mem::take(&mut self.gone).into_iter().partition(|gone| self.statuses.contains_key(&gone.pid));
        for Gone { at, pid, unit } in known {
            let ended = match self.statuses.get(&pid) {
                Some(Status::Code(code)) => Ended::Exited(*code),
                Some(Status::Signal(signal)) => Ended::Killed(*signal),
                Some(Status::Dumped(signal)) => Ended::Dumped(*signal),
                None => continue,
            };
            self.exit(at, pid, unit, ended);
        }
        for gone in unknown {
            if now < gone.at + REASON {
                self.gone.push(gone);
                continue;
            }
            let unit = gone.unit.clone().unwrap_or_default();
            let show = ["systemctl", "show", "--value", "-p", "ExecMainCode", "-p", "ExecMainStatus", "--", &unit];
            let (_, text) = self.container.run(&show)?;
            let mut words = text.lines();
            // waitid(2): CLD_EXITED, CLD_KILLED, CLD_DUMPED.
            let code = match words.next() {
                Some("1") => "exited",
                Some("3") => "dumped",
                _ => "killed",
            };
            let ended = ended(code, words.next().unwrap_or_default()).unwrap_or(Ended::Killed(9));
            self.exit(gone.at, gone.pid, gone.unit, ended);
        }
        Ok(())
    }

    // ---- commands ----

    /// The next process but one gets the scenario's first PID: the shell of the first command comes before it.
    fn set_first_pid(&mut self) {
        if std::mem::replace(&mut self.first_pid_set, true) {
            return;
        }
        let next = self.setup.first_pid.saturating_sub(2).to_string();
        let line = format!("echo {next} > /relapse/proc/sys/kernel/ns_last_pid");
        // Where that cannot be set, PIDs are what they are.
        let _ = self.container.run(&["/bin/sh", "-c", &line]);
    }

    fn reboot(&mut self) -> Result<(), Fault> {
        self.container.reboot()?;
        let (journal, changes) = (self.below(JOURNAL), self.below(CHANGES));
        let servers = self.processes.iter().filter(|(_, process)| process.server).map(|(link, _)| *link);
        for link in servers.collect::<Vec<_>>() {
            self.said(link, Said::HungUp)?;
        }
        // Whoever was killed with the machine was so by systemd-shutdown(8).
        let at = real_now();
        for Gone { pid, unit, .. } in std::mem::take(&mut self.gone) {
            self.exit(at, pid, unit, Ended::Killed(9));
        }
        fs::write(&journal, "")?;
        fs::write(&changes, "")?;
        self.journal = Tail::new(File::open(journal)?);
        self.changes = Tail::new(File::open(changes)?);
        self.known = Known::default();
        self.listen()
    }

    /// Everything that was logged.
    pub(super) fn take_journal(&mut self) -> Journal {
        std::mem::replace(&mut self.records, Journal::new("relapse"))
    }

    pub(super) fn take_timeline(&mut self) -> Timeline {
        while self.release(u64::MAX) {}
        std::mem::take(&mut self.timeline)
    }

    /// The content of one of the machine's files.
    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.below(path)).ok()
    }

    /// Whether this host was too slow for what did not come to mean anything.
    pub(super) fn is_late(&self) -> bool {
        self.clock.is_late()
    }

    pub(super) fn stand_ins(&self) -> &[StandIn] {
        &self.stand_ins
    }

    pub(super) fn end(self) -> Result<(), Fault> {
        Ok(self.container.end()?)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
            open_directory(self.container.kept_root(), parent)?;
        }
        let file = self.below(path);
        fs::write(&file, bytes)?;
        let mode = if bytes.starts_with(b"#!") { 0o777 } else { 0o666 };
        Ok(fs::set_permissions(file, fs::Permissions::from_mode(mode))?)
    }
}

/// How a process ended, in the words of the journal's fields `EXIT_CODE` and `EXIT_STATUS`.
fn ended(code: &str, status: &str) -> Option<Ended> {
    let number = status.parse::<i32>().ok().or_else(|| crate::unit::signal::from_name(status));
    match code {
        "exited" => status.parse().ok().map(Ended::Exited),
        "killed" => number.map(Ended::Killed),
        "dumped" => number.map(Ended::Dumped),
        _ => None,
    }
}

/// Makes a directory of the machine's that everybody there may write to, as far as it is new.
fn open_directory(root: &Path, path: &str) -> io::Result<()> {
    let mut at = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at.push(part);
        match fs::create_dir(&at) {
            Ok(()) => fs::set_permissions(&at, fs::Permissions::from_mode(0o777))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Stage for OnSystemd {
    fn now(&mut self) -> IncidentTime {
        self.clock.now()
    }

    fn is_virtual(&self) -> bool {
        false
    }

    fn slack(&self) -> Span {
        GRID + LATENCY.saturating_mul(self.factor)
    }

    fn prints_to_the_letter(&self) -> bool {
        false
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn event(&mut self, kind: EventKind) {
        self.hold(real_now(), kind);
    }

    fn describe(&mut self, stand_in: StandIn, paths: &[String]) -> Result<(), Fault> {
        stage::describe(&mut self.stand_ins, stand_in);
        for path in paths {
            if let Some((parent, _)) = path.rsplit_once('/') {
                open_directory(self.container.kept_root(), parent)?;
            }
            match symlink(EXECUTABLE, self.below(path)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn write_unit(&mut self, path: &str, text: &str) -> Result<(), Fault> {
        self.write(path, text.as_bytes())?;
        fs::set_permissions(self.below(path), fs::Permissions::from_mode(0o644))?;
        Ok(self.scale.write(self.container.kept_root())?)
    }

    fn write_file(&mut self, path: &str, text: &str, _is_shell: bool) -> Result<(), Fault> {
        self.write(path, text.as_bytes())
    }

    fn wait_until(&mut self, at: IncidentTime) -> Result<(), Fault> {
        let until = self.real_time(at);
        while real_now() < until {
            self.pump(until)?;
            while self.release(real_now().saturating_sub(HOLD)) {}
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<IncidentTime, Fault> {
        let present = real_now();
        while real_now() < present + HOLD {
            self.pump(present + HOLD)?;
        }
        while self.release(present) {}
        Ok(self.incident_time(present))
    }

    fn go_on(&mut self, limit: IncidentTime, goal: &mut dyn FnMut(&Timeline) -> bool) -> Result<Reached, Fault> {
        let limit = self.real_time(limit);
        loop {
            if goal(&self.timeline) {
                return Ok(Reached::Goal);
            }
            if self.release(limit.min(real_now().saturating_sub(HOLD))) {
                continue;
            }
            if real_now() >= limit.saturating_add(HOLD) {
                return Ok(Reached::Limit);
            }
            self.pump(limit.saturating_add(HOLD))?;
        }
    }

    fn command(
        &mut self,
        number: u32,
        text: &str,
        directory: &str,
        variables: &BTreeMap<String, String>,
        budget: IncidentTime,
    ) -> Result<Option<CommandOutcome>, Fault> {
        self.set_first_pid();
        let (script, out) = (format!("/relapse/out/{number}.sh"), format!("/relapse/out/{number}"));
        fs::write(self.below(&script), format!("{text}\n"))?;
        let mut environment: Vec<(String, String)> = [
            ("PATH", format!("{SHIMS}:{PATH}").as_str()),
            ("HOME", directory),
            ("USER", &self.setup.console_user),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("SYSTEMD_PAGER", ""),
            (crate::control::ENV_CONTROL, CONTROL),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        environment.extend(variables.clone());
        let argv = ["bash", "-c", &format!(". {script}"), "bash"].map(str::to_owned).to_vec();
        let shell = if self.below("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
        let pid = self.spawn(shell, argv, environment, directory, &out)?.unsigned_abs();
        let limit = self.real_time(budget);
        let status = loop {
            if let Some(status) = self.statuses.get(&pid) {
                break status.as_shell();
            }
            if self.container.guard.is_none() {
                break 0;
            }
            if real_now() > limit {
                return Ok(None);
            }
            self.pump(limit)?;
            while self.release(real_now().saturating_sub(HOLD)) {}
        };
        // A machine that is asked to reboot does so a moment after the command has ended.
        let reboots = text.split_whitespace().any(|word| word == "reboot");
        while reboots && self.container.guard.is_some() && real_now() < limit {
            self.pump(limit)?;
        }
        if self.container.guard.is_none() {
            self.reboot()?;
        }
        let bytes = self.read(&out).unwrap_or_default();
        let mut output = String::from_utf8_lossy(&bytes).replace(&format!("{script}: "), "bash: ");
        // Before it asks systemd to reboot, systemctl(1) asks logind, of which the machine has none.
        if let Some(rest) =
            output.strip_prefix("Failed to connect to bus: No such file or directory\n").filter(|_| reboots)
        {
            output = rest.to_owned();
        }
        Ok(Some(CommandOutcome { output, status }))
    }
}
