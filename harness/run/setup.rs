//! From what a scenario says to an incident that can run.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::{Clock, ClockKind};
use super::guard::Guard;
use super::incident::{Incident, StandIn};
use super::layout::Layout;
use super::machine::Machinery;
use super::pace::Pace;
use super::pids::Pids;
use super::sockets::Sockets;
use super::tree::{Places, Tree};
use super::{Cancel, Fault};
use crate::control::ClientRole;
use crate::manager::Config;
use crate::mapping::KILL_FUNCTION;
use crate::time::{IncidentTime, Span};
use crate::timeline::Timeline;
use crate::unit::Profile;

/// All that an incident needs to begin.
pub(super) struct Setup {
    pub(super) clock: ClockKind,
    /// When the incident begins.
    pub(super) start: IncidentTime,
    pub(super) profile: Profile,
    pub(super) timer_phase: Span,
    pub(super) hostname: String,
    pub(super) first_pid: u32,
    pub(super) ports: BTreeSet<u16>,
    pub(super) stand_ins: Vec<StandIn>,
    /// Where the stand-ins are installed.
    pub(super) executables: Vec<String>,
    /// Incident paths that are the run's own, with all below them.
    pub(super) own_paths: Vec<String>,
    /// Directories to make.
    pub(super) directories: Vec<String>,
    pub(super) client: Option<ClientRole>,
    pub(super) console_user: String,
    pub(super) stall: Duration,
    pub(super) cancel: Cancel,
    /// Whether it runs in a machine of its own: paths, ports and PIDs are what they are there.
    pub(super) literal: bool,
}

/// How long before the incident the machine was booted.
const UPTIME: Span = Span::from_secs(3600);

static REEXECUTABLE: AtomicBool = AtomicBool::new(false);

/// Says that this program calls [`crate::init`] first, so that it can be its own helper.
pub(crate) fn can_be_helper() {
    REEXECUTABLE.store(true, Ordering::Relaxed);
}

/// The executable that serves as helper: an explicit one, this program if it called `init`, or the binary that cargo
/// has built beside the tests.
pub(crate) fn helper(explicit: Option<&Path>) -> io::Result<PathBuf> {
    if let Some(path) = explicit {
        return path.canonicalize();
    }
    if REEXECUTABLE.load(Ordering::Relaxed) {
        return std::env::current_exe();
    }
    if let Some(path) = std::env::var_os("CARGO_BIN_EXE_relapse") {
        return Ok(path.into());
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        "no helper executable: let the test's own main begin with\n    relapse::init();\n\
         (in Cargo.toml: [[test]] name = \"…\" harness = false), or name one with Options::helper",
    ))
}

impl Incident {
    /// Makes the run's directory, leases ports, starts the guard.
    pub(super) fn begin(setup: Setup, executable: PathBuf) -> Result<Incident, Fault> {
        // It makes the run's directory and removes it, also when this process is killed.
        let guard = if setup.literal { Guard::start_free(&executable)? } else { Guard::start(&executable, None)? };
        let directory = guard.directory().to_owned();
        let layout = Layout::new(&directory, executable, &setup.ports, (!setup.literal).then_some(setup.own_paths))?;
        for path in &setup.directories {
            layout.make_directory(path)?;
        }
        for path in &setup.executables {
            layout.install(path)?;
        }
        for stand_in in &setup.stand_ins {
            if let Some(parent) = stand_in.role.log_file.as_deref().and_then(|path| path.rsplit_once('/')) {
                layout.make_directory(parent.0)?;
            }
        }
        let (socket, notify) = (layout.socket(), layout.notify_socket());
        // unix(7): 108 bytes with the last NUL.
        if let Some(path) = [&socket, &notify].into_iter().find(|path| path.as_os_str().len() > 107) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the path {} is too long for a socket; set TMPDIR to a shorter one", path.display()),
            )
            .into());
        }
        let function = directory.join("kill.sh");
        std::fs::write(&function, KILL_FUNCTION)?;
        let places = Places {
            socket: &socket,
            notify: &notify,
            directory: &layout.directory,
            kill_command: layout.command("kill").to_string_lossy().into_owned(),
            kill_function: function.to_string_lossy().into_owned(),
        };
        let mut tree = Tree::new(guard, places, setup.stall, setup.cancel.clone(), setup.start)?;
        tree.watch_ports(layout.mapping.ports.iter().map(|(_, host)| *host).collect());
        let boot = setup.start - UPTIME;
        let machinery = Machinery::new(
            Config { profile: setup.profile, boot, timer_phase: setup.timer_phase, seed: 1 },
            setup.hostname,
        );
        let mut incident = Incident {
            clock: Clock::new(setup.clock, setup.start),
            tree,
            layout,
            machinery,
            timeline: Timeline::default(),
            stand_ins: setup.stand_ins,
            client: setup.client,
            listeners: Vec::new(),
            sockets: Sockets::default(),
            sessions: HashMap::new(),
            waiting: std::collections::BTreeSet::new(),
            inputs: VecDeque::new(),
            commands: std::collections::BTreeMap::new(),
            pids: Pids::new(setup.first_pid, setup.literal),
            next_device: 33_993,
            store: Default::default(),
            next_descriptor: 0,
            console_user: setup.console_user,
            boot,
            signalled: Vec::new(),
            signals_sent: false,
            reboot_due: false,
            intruder: None,
            real: BTreeSet::new(),
            pace: Pace::new(setup.start),
        };
        incident.input(crate::manager::Input::Boot)?;
        if incident.client.is_some() {
            incident.start_client()?;
        }
        Ok(incident)
    }

    /// Kills everything and removes the run's directory unless it is kept.
    pub(super) fn end(mut self, keep: bool) -> Result<(), Fault> {
        Ok(self.tree.guard.shut_down(keep)?)
    }
}
