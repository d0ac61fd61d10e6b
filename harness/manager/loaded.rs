//! A loaded unit: what its file says and everything the manager remembers about it.

// The address type alone; nothing here touches the network.
use core::net::IpAddr;
use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::interface::{ConnectionId, Descriptor, ExecRole, Exit, Peer, Pid, Program};
use super::invocation::InvocationId;
use super::job::Job;
use super::limit::RateLimit;
use super::states::{ActiveState, ServiceResult, ServiceState, SocketResult, SocketState};
use super::text::Text;
use crate::time::{IncidentTime, Span};
use crate::unit::{Implicit, LoadState, Service, ServiceType, Unit};

/// Index of a unit; a slot is never given to another name, so an index never dangles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct UnitId(pub u32);

/// The unit types that behave differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Service,
    Socket,
    Target,
    /// Slices, mounts and whatever else this machine only has by name.
    Other,
}

impl Kind {
    pub fn of(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, suffix)| suffix) {
            Some("service") => Kind::Service,
            Some("socket") => Kind::Socket,
            Some("target") => Kind::Target,
            _ => Kind::Other,
        }
    }
}

/// A dependency and, with `inverse`, what it means on the other side (systemd.unit(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Relation {
    Requires,
    Requisite,
    Wants,
    BindsTo,
    PartOf,
    Upholds,
    Conflicts,
    Before,
    After,
    OnFailure,
    OnSuccess,
    Triggers,
    PropagatesReloadTo,
    PropagatesStopTo,
    RequiredBy,
    RequisiteOf,
    WantedBy,
    BoundBy,
    ConsistsOf,
    UpheldBy,
    ConflictedBy,
    OnFailureOf,
    OnSuccessOf,
    TriggeredBy,
    ReloadPropagatedFrom,
    StopPropagatedFrom,
}

impl Relation {
    /// A bit of its own, for [`Loaded::relations`].
    const fn bit(self) -> u32 {
        1 << self as u32
    }

    pub const fn inverse(self) -> Self {
        match self {
            Relation::Requires => Relation::RequiredBy,
            Relation::Requisite => Relation::RequisiteOf,
            Relation::Wants => Relation::WantedBy,
            Relation::BindsTo => Relation::BoundBy,
            Relation::PartOf => Relation::ConsistsOf,
            Relation::Upholds => Relation::UpheldBy,
            Relation::Conflicts => Relation::ConflictedBy,
            Relation::Before => Relation::After,
            Relation::After => Relation::Before,
            Relation::OnFailure => Relation::OnFailureOf,
            Relation::OnSuccess => Relation::OnSuccessOf,
            Relation::Triggers => Relation::TriggeredBy,
            Relation::PropagatesReloadTo => Relation::ReloadPropagatedFrom,
            Relation::PropagatesStopTo => Relation::StopPropagatedFrom,
            Relation::RequiredBy => Relation::Requires,
            Relation::RequisiteOf => Relation::Requisite,
            Relation::WantedBy => Relation::Wants,
            Relation::BoundBy => Relation::BindsTo,
            Relation::ConsistsOf => Relation::PartOf,
            Relation::UpheldBy => Relation::Upholds,
            Relation::ConflictedBy => Relation::Conflicts,
            Relation::OnFailureOf => Relation::OnFailure,
            Relation::OnSuccessOf => Relation::OnSuccess,
            Relation::TriggeredBy => Relation::Triggers,
            Relation::ReloadPropagatedFrom => Relation::PropagatesReloadTo,
            Relation::StopPropagatedFrom => Relation::PropagatesStopTo,
        }
    }
}

/// What a timer of a unit is for. At most one of each kind is armed per unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The phase's timeout, RestartSec=, RuntimeMaxSec=.
    Phase,
    /// WatchdogSec=.
    Watchdog,
    /// JobTimeoutSec=.
    Job,
    /// Type=idle: the program starts at the latest then.
    Idle,
    /// Too many jobs at one moment: the next one runs then.
    Breather,
    /// Too many starts and stops that the manager decided on itself: it looks again then.
    Retry,
}

impl Timer {
    /// All kinds, in order.
    pub const ALL: [Timer; 6] = [Timer::Phase, Timer::Watchdog, Timer::Job, Timer::Idle, Timer::Breather, Timer::Retry];

    pub const fn index(self) -> usize {
        self as usize
    }
}

/// When what last happened to a unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamps {
    pub state_change: Option<IncidentTime>,
    pub inactive_exit: Option<IncidentTime>,
    pub active_enter: Option<IncidentTime>,
    pub active_exit: Option<IncidentTime>,
    pub inactive_enter: Option<IncidentTime>,
    pub condition: Option<IncidentTime>,
    pub assert: Option<IncidentTime>,
}

/// How the last run of one command went (`ExecStart=` as shown, `Process:` lines of status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecStatus {
    /// 0 if it never ran.
    pub pid: Pid,
    /// When it was forked.
    pub start: Option<IncidentTime>,
    /// When it was reaped.
    pub stop: Option<IncidentTime>,
    /// How it ended.
    pub exit: Option<Exit>,
}

impl ExecStatus {
    pub(super) const fn started(pid: Pid, now: IncidentTime) -> Self {
        Self { pid, start: Some(now), stop: None, exit: None }
    }

    pub(super) fn ended(&mut self, pid: Pid, now: IncidentTime, exit: Exit) {
        if self.pid != pid {
            *self = ExecStatus { pid, ..ExecStatus::default() };
        }
        self.stop = Some(now);
        self.exit = Some(exit);
    }
}

/// What the service said about itself last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum NotifyState {
    #[default]
    Unknown,
    Ready,
    Reloading,
    Stopping,
}

/// A command, as far as it is the same in every run.
#[derive(Debug)]
pub(super) struct Prepared {
    pub role: ExecRole,
    pub program: Arc<Program>,
    /// The arguments, if nothing in them depends on the environment.
    pub argv: Option<Arc<[String]>>,
    /// What the manager and the user's account give.
    pub first: Vec<(Text, Text)>,
}

/// Run-time state of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceRun {
    pub state: ServiceState,
    pub result: ServiceResult,
    pub reload_result: ServiceResult,
    /// 0 if there is none.
    pub main_pid: Pid,
    /// Whether it is known which process the main one is (or was).
    pub main_pid_known: bool,
    /// The main process is not the manager's own child: its end is not learnt by waiting.
    pub main_pid_alien: bool,
    pub control_pid: Pid,
    /// Which ExecStart= command the main process runs.
    pub main_command: Option<usize>,
    /// Which command the control process runs.
    pub control_command: Option<(ExecRole, usize)>,
    pub main_status: ExecStatus,
    /// One entry a command, per list, in the order of [`role_index`].
    pub statuses: [Vec<ExecStatus>; 8],
    pub n_restarts: u32,
    /// The next start zeroes the counter (rule of 252).
    pub flush_n_restarts: bool,
    pub forbid_restart: bool,
    pub will_auto_restart: bool,
    pub notify_state: NotifyState,
    pub status_text: Option<String>,
    pub status_errno: i32,
    pub watchdog_stamp: Option<IncidentTime>,
    pub watchdog_override: Option<Span>,
    pub awaits_pid_file: bool,
    /// Moment of the signal of Type=notify-reload, against which MONOTONIC_USEC= is checked.
    pub reload_begin: Option<IncidentTime>,
    /// Type=idle: the programs that wait for the job queue to drain.
    pub idle_spawns: Vec<super::interface::Spawn>,
    /// What the service has left with the manager, the newest first.
    pub store: Vec<Stored>,
    /// The connection that the service is there for.
    pub connection: Option<Held>,
    /// NOTIFYACCESS= overrides NotifyAccess= until the next start.
    pub notify_access_override: Option<crate::unit::NotifyAccess>,
}

/// A descriptor in the store of a service.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub descriptor: Descriptor,
    pub name: String,
    /// Whether it is given up once nobody is at its other end.
    pub polled: bool,
}

/// A connection in the hands of its service (Accept=yes).
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub id: ConnectionId,
    /// The socket that it came through.
    pub socket: UnitId,
    pub peer: Peer,
    /// Whether it is counted among those of its address.
    pub counted: bool,
}

/// Run-time state of a socket.
#[derive(Clone, Debug, Default)]
pub(super) struct SocketRun {
    pub state: SocketState,
    pub result: SocketResult,
    /// The answer to a request to listen is due.
    pub opening: bool,
    pub trigger_limit: RateLimit,
    /// Polls of a socket with Accept=yes, and whether there have been too many (PollLimitBurst=).
    pub poll_limit: RateLimit,
    pub n_accepted: u32,
    /// Connections whose service has not ended.
    pub n_connections: u32,
    /// How many of those are from each address (MaxConnectionsPerSource=).
    pub sources: BTreeMap<IpAddr, u32>,
    pub n_refused: u32,
}

/// One loaded unit.
#[derive(Debug)]
pub(super) struct Loaded {
    pub name: Arc<str>,
    /// `NAME - DESCRIPTION`.
    pub ident: Arc<str>,
    pub kind: Kind,
    /// Whether it is loaded at all; otherwise the rest is as after a fresh boot.
    pub present: bool,
    /// Looked at by a client: kept until the next step.
    pub pinned: bool,
    pub def: Arc<Unit>,
    /// `def.service`, or the defaults where the file has gone.
    pub config: Arc<Service>,
    /// What of its commands is the same in every run, as far as they have run.
    pub programs: [Vec<Option<Arc<Prepared>>>; 8],
    /// What Environment= gives every process, each variable once.
    pub assignments: Vec<(Text, Text)>,
    /// Dependencies that this unit's own file declares.
    pub own: Vec<(Relation, UnitId)>,
    /// What others' dependencies on this unit mean here.
    pub inverse: Vec<(Relation, UnitId)>,
    /// The bits of all relations that these hold, and perhaps of some that they held: most units have few.
    relations: u32,
    pub job: Option<Job>,
    pub invocation: Option<InvocationId>,
    pub stamps: Stamps,
    pub timers: [IncidentTime; Timer::ALL.len()],
    /// When a job of the unit did something last, and how many did at that moment.
    pub busy: (IncidentTime, u32),
    pub start_limit: RateLimit,
    pub start_limit_hit: bool,
    /// Limits the starts and stops that the manager decides on itself (Upholds=, BindsTo=, StopWhenUnneeded=).
    pub auto_limit: RateLimit,
    pub condition_result: bool,
    pub assert_result: bool,
    /// The conditions and assertions that did not hold at the last attempt to start.
    pub unmet_conditions: Vec<usize>,
    pub unmet_asserts: Vec<usize>,
    pub service: ServiceRun,
    pub socket: SocketRun,
    /// Targets and others have no other state.
    pub up: bool,
    /// UnitFileState has been looked up since the load.
    pub file_state_known: bool,
    /// For NeedDaemonReload: what the files were when they were loaded.
    pub generations: Vec<(String, u64)>,
    /// Whether they have changed since.
    pub stale: Known<bool>,
    /// Whether the unit is enabled, and would be by preset.
    pub file_states: Known<(&'static str, &'static str)>,
    /// The properties that follow from `def`.
    pub settings: OnceCell<Settings>,
    /// In the queue of units that might be unloaded.
    pub gc_queued: bool,
    /// How many units had been handed out to be changed when this one was, for the last time.
    pub touched: u64,
}

/// What follows from the unit files on disk, by their revision at which it was found out.
#[derive(Debug, Default)]
pub(super) struct Known<T: Copy>(Cell<Option<(u64, T)>>);

impl<T: Copy> Known<T> {
    /// It, looked for where that is not known, or where nobody can tell whether the files are the same.
    pub fn get_or(&self, revision: Option<u64>, look: impl FnOnce() -> T) -> T {
        match (revision, self.0.get()) {
            (Some(now), Some((then, known))) if now == then => known,
            _ => {
                let found = look();
                self.0.set(revision.map(|now| (now, found)));
                found
            }
        }
    }

    pub fn forget(&self) {
        self.0.set(None);
    }
}

/// Properties, and where each stands.
#[derive(Debug)]
pub(super) struct Settings {
    pub rows: Vec<(&'static str, String)>,
    /// By name; of those with several lines, the last.
    pub places: HashMap<&'static str, usize>,
    pub implicit: Implicit,
}

impl Loaded {
    pub fn new(name: Arc<str>) -> Self {
        let kind = Kind::of(&name);
        Self {
            ident: name.clone(),
            def: Arc::new(Unit { name: name.to_string(), load_state: LoadState::NotFound, ..Unit::default() }),
            config: Arc::new(Service::default()),
            programs: Default::default(),
            assignments: Vec::new(),
            name,
            kind,
            present: false,
            pinned: false,
            own: Vec::new(),
            inverse: Vec::new(),
            relations: 0,
            job: None,
            invocation: None,
            stamps: Stamps::default(),
            timers: [IncidentTime::NEVER; Timer::ALL.len()],
            busy: (IncidentTime::NEVER, 0),
            start_limit: RateLimit::default(),
            start_limit_hit: false,
            auto_limit: RateLimit::default(),
            condition_result: false,
            assert_result: false,
            unmet_conditions: Vec::new(),
            unmet_asserts: Vec::new(),
            service: ServiceRun::default(),
            socket: SocketRun::default(),
            up: false,
            file_state_known: false,
            generations: Vec::new(),
            stale: Known::default(),
            file_states: Known::default(),
            settings: OnceCell::new(),
            gc_queued: false,
            touched: 0,
        }
    }

    /// Makes it what its files say now; what was derived from what they said before is forgotten.
    pub fn define(&mut self, def: Unit) {
        self.stale.forget();
        self.file_states.forget();
        self.settings.take();
        self.def = Arc::new(def);
    }

    pub fn active(&self) -> ActiveState {
        match self.kind {
            Kind::Service => self.service.state.active(self.config.service_type == ServiceType::Idle),
            Kind::Socket => self.socket.state.active(),
            Kind::Target | Kind::Other => {
                if self.up {
                    ActiveState::Active
                } else {
                    ActiveState::Inactive
                }
            }
        }
    }

    pub fn sub_state(&self) -> &'static str {
        match self.kind {
            Kind::Service => self.service.state.as_str(),
            Kind::Socket => self.socket.state.as_str(),
            Kind::Target | Kind::Other if self.up => "active",
            Kind::Target | Kind::Other => "dead",
        }
    }

    pub fn is_loaded(&self) -> bool {
        self.def.load_state == LoadState::Loaded
    }

    /// The units that stand in `relation` to this one, whoever declared it; one may come up twice.
    pub fn related(&self, relation: Relation) -> impl Iterator<Item = UnitId> + '_ {
        let (own, inverse): (&[_], &[_]) =
            if self.relations & relation.bit() == 0 { (&[], &[]) } else { (&self.own, &self.inverse) };
        own.iter().chain(inverse).filter(move |(r, _)| *r == relation).map(|(_, unit)| *unit)
    }

    /// Adds a relation that the unit's own file declares.
    pub fn relate(&mut self, relation: Relation, other: UnitId) {
        self.relations |= relation.bit();
        self.own.push((relation, other));
    }

    /// Adds what a relation that another unit declares means here.
    pub fn relate_inverse(&mut self, relation: Relation, other: UnitId) {
        self.relations |= relation.bit();
        self.inverse.push((relation, other));
    }

    /// Whether the unit has any relation of these kinds.
    pub fn has_any(&self, relations: &[Relation]) -> bool {
        relations.iter().any(|relation| self.relations & relation.bit() != 0)
    }

    /// Whether all else may be stopped for it.
    pub fn allows_isolation(&self) -> bool {
        self.def.allow_isolate
    }

    /// Whether it stays up when another unit is isolated.
    pub fn survives_isolation(&self) -> bool {
        self.def.ignore_on_isolate || super::builtin::is_always_up(&self.name)
    }

    pub fn has_related(&self, relation: Relation, other: UnitId) -> bool {
        self.related(relation).any(|unit| unit == other)
    }
}

/// The place of a command list in [`ServiceRun::statuses`].
pub(super) const fn role_index(role: ExecRole) -> usize {
    match role {
        ExecRole::Condition => 0,
        ExecRole::StartPre => 1,
        ExecRole::Start => 2,
        ExecRole::StartPost => 3,
        ExecRole::Reload => 4,
        ExecRole::ReloadPost => 5,
        ExecRole::Stop => 6,
        ExecRole::StopPost => 7,
    }
}

/// All command lists in the order in which systemd shows them.
pub(super) const ROLES: [ExecRole; 8] = [
    ExecRole::Condition,
    ExecRole::StartPre,
    ExecRole::Start,
    ExecRole::StartPost,
    ExecRole::Reload,
    ExecRole::ReloadPost,
    ExecRole::Stop,
    ExecRole::StopPost,
];
