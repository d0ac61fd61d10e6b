//! A scenario on a real systemd: a machine of its own ([`super::container`]), the real commands, ports and paths as they
//! are written, and a wall clock.
//!
//! Nothing is polled. What happens is told by those who do it, each with the moment at which it did: stand-ins by the
//! control protocol, systemd by its journal and its bus. What they tell arrives in another order than it happened in, so
//! everything is held back for a moment ([`HOLD`]) and then taken into the timeline by its own time.

mod feed;
mod links;
mod play;
mod scale;
mod told;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::clock::{Clock, ClockKind};
use super::container::{Container, ContainerSetup};
use super::incident::StandIn;
use super::setup::Setup;
use super::{Cancel, Fault};
use crate::control::{Launch, Sink, Status};
use crate::journal::Journal;
use crate::program::{BUS, CLIENT, EXECUTABLE};
use crate::sys::namespace::MACHINE_ID;
use crate::sys::real_time;
use crate::time::{IncidentTime, Span};
use crate::timeline::{Ended, EventKind, Timeline};
use feed::{Known, Tail};
use links::{LinkId, Links, Said};
use scale::Scale;

/// Microseconds of real time for which events are held back.
const HOLD: u64 = 150_000;
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
const SCALED: &[&str] = &["curl", "date", "journalctl", "sleep", "systemctl", "timeout", "watch"];
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
    /// PIDs of all stand-ins that ever said hello.
    servers: HashSet<u32>,
    /// PIDs of main processes that are none, and live.
    foreign: HashSet<u32>,
    gone: Vec<Gone>,
    /// Ends of processes that the guard within the machine has reaped.
    statuses: HashMap<u32, Status>,
    journal: Tail,
    journal_file: Option<File>,
    changes: Tail,
    known: Known,
    scale: Scale,
    records: Journal,
    first_pid_set: bool,
    cancel: Cancel,
    /// The moment of the last event in the timeline, in microseconds since 1970.
    latest: u64,
    /// Something was told so late that it stands in the wrong place.
    out_of_order: bool,
    /// The host had no time for the harness itself.
    starved: bool,
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
        let shims = if factor == 1 { &["journalctl", "systemctl"][..] } else { SCALED };
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
        let begin = real_time();
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
            servers: HashSet::new(),
            foreign: HashSet::new(),
            gone: Vec::new(),
            statuses: HashMap::new(),
            journal: Tail::new(File::create_new(below(JOURNAL)).and_then(|_| File::open(below(JOURNAL)))?),
            journal_file: None,
            changes: Tail::new(File::create_new(below(CHANGES)).and_then(|_| File::open(below(CHANGES)))?),
            known: Known::default(),
            scale: Scale::new(factor, setup.profile),
            records: Journal::new("relapse"),
            first_pid_set: false,
            cancel: setup.cancel.clone(),
            latest: begin,
            out_of_order: false,
            starved: false,
            setup,
            container,
        };
        stage.listen()?;
        Ok(stage)
    }

    /// The version of this systemd, as far as it says one.
    pub(super) fn version(&mut self) -> Result<Option<u16>, Fault> {
        let (_, said) = self.container.run(&["systemctl", "--version"])?;
        Ok(said.split_whitespace().nth(1).and_then(|version| version.parse().ok()))
    }

    /// Starts those who tell what happens.
    fn listen(&mut self) -> Result<(), Fault> {
        // Into the file that outlives a reboot, which systemd-journal-flush.service has done on other machines.
        self.container.run(&["journalctl", "--flush"])?;
        self.journal_file = None;
        // Only what comes from now on, and all of that, however long journalctl takes to start.
        let (_, said) = self.container.run(&["journalctl", "-n", "0", "--show-cursor"])?;
        let cursor = said.lines().find_map(|line| line.strip_prefix("-- cursor: ")).unwrap_or_default();
        let follow = ["journalctl", "-f", "--no-tail", "-o", "json", "--all", "--after-cursor", cursor];
        self.launch("/usr/bin/journalctl", &follow[..if cursor.is_empty() { 6 } else { 8 }], JOURNAL)?;
        let every = if self.factor == 1 { 0 } else { GRID.as_micros() / self.factor };
        let phase = self.begin + self.setup.timer_phase.as_micros() / self.factor;
        self.launch(EXECUTABLE, &[BUS, &every.to_string(), &phase.to_string()], CHANGES)?;
        // Its first line says that it listens.
        let begin = Instant::now();
        while self.changes.lines()?.is_empty() {
            if begin.elapsed() > self.setup.stall {
                return Err(io::Error::other("nobody listens on the bus of the machine's systemd").into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
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
            pid: None,
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
        // Told after what came later: who looks at their order is misled.
        self.out_of_order |= at < self.latest && self.latest > self.begin;
        self.arrived += 1;
        self.held.insert((at, self.arrived), kind);
    }

    /// When the events of a kind that are held back happened, in order.
    fn held_moments(&self, is_it: impl Fn(&EventKind) -> bool) -> impl Iterator<Item = u64> {
        self.held.iter().filter(move |(_, kind)| is_it(kind)).map(|((at, _), _)| *at)
    }

    /// Events of a kind that are held back have not happened after that moment.
    fn bring_forward(&mut self, latest: u64, is_it: impl Fn(&EventKind) -> bool) {
        let after = self.held.range((latest, u64::MAX)..).filter(|(_, kind)| is_it(kind)).map(|(key, _)| *key);
        for key in after.collect::<Vec<_>>() {
            if let Some(kind) = self.held.remove(&key) {
                self.held.insert((latest, key.1), kind);
            }
        }
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
        let begin = real_time();
        let wait = due.saturating_sub(begin).min(10_000);
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
        // Who sleeps for much longer than it wanted shares a host with too many others: so do all that are watched.
        self.starved |= real_time().saturating_sub(begin + wait) > GRID.as_micros() / self.factor;
        let now = self.clock.now();
        if let Some(deadline) = self.links.deadline().filter(|deadline| *deadline <= now) {
            self.clock.reach(deadline);
        }
        self.links.wake(now);
        for (link, said) in self.links.hear(now)? {
            self.said(link, said)?;
        }
        self.reaped()?;
        self.touch_journal();
        self.read_journal()?;
        self.read_changes()?;
        self.explain()
    }

    /// journald wakes those who follow it a quarter of a second late, to do so once for many records. A new time of its
    /// file wakes them at once.
    fn touch_journal(&mut self) {
        if self.journal_file.is_none() {
            let path = format!("/var/log/journal/{MACHINE_ID}/system.journal");
            self.journal_file = File::options().append(true).open(self.below(&path)).ok();
        }
        if let Some(file) = &self.journal_file {
            // Where it does not help, it does no harm.
            let _ = file.set_modified(std::time::SystemTime::now());
        }
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

    /// Boots the machine again if it has gone down.
    fn come_up(&mut self) -> Result<(), Fault> {
        if self.container.guard.is_some() { Ok(()) } else { self.reboot() }
    }

    fn reboot(&mut self) -> Result<(), Fault> {
        self.container.reboot()?;
        let (journal, changes) = (self.below(JOURNAL), self.below(CHANGES));
        let servers = self.processes.iter().filter(|(_, process)| process.server).map(|(link, _)| *link);
        for link in servers.collect::<Vec<_>>() {
            self.said(link, Said::HungUp)?;
        }
        // Whoever was killed with the machine was so by systemd-shutdown(8).
        let at = real_time();
        for Gone { pid, unit, .. } in std::mem::take(&mut self.gone) {
            self.exit(at, pid, unit, Ended::Killed(9));
        }
        fs::write(&journal, "")?;
        fs::write(&changes, "")?;
        self.journal = Tail::new(File::open(journal)?);
        self.changes = Tail::new(File::open(changes)?);
        self.known = Known::default();
        self.listen()?;
        self.ask()
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
        self.clock.is_late() || self.out_of_order || self.starved
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
