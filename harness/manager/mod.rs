//! The restarter: systemd's service manager as a pure function, `step(now, host, input) -> effects`.
//!
//! No I/O, no clock, no thread. Whoever drives it (the `run` module with real processes, the `world` module
//! without) tells it what happened and does what it says.
//!
//! # Theory of operation
//!
//! A unit is *loaded* when something looks at it and *collected* when nothing needs it any more (`load`).
//! Clients, timers and dependencies enqueue *jobs* (`job`, `transaction`); a job orders its unit to start, stop
//! or reload, and the unit's state changes end the job. A service is a state machine (`service`) that its
//! processes' ends, its timeouts and its notifications drive; every change goes through `step::Step`'s `changed`,
//! which stamps it, tells the job, and lets dependants react. Within one step everything follows in the order in
//! which systemd would have done it, so the journal has systemd's lines in systemd's order.
//!
//! Service timers have an accuracy of 250 ms and fire on a grid with a phase of its own, or earlier, when something
//! else wakes the manager after the deadline (sd_event_add_time(3)).

mod accept;
mod builtin;
mod catalog;
mod condition;
mod files;
mod interface;
mod invocation;
mod job;
mod limit;
mod load;
mod loaded;
mod properties;
mod requests;
mod rules;
mod service;
mod socket;
mod states;
mod step;
mod text;
mod transaction;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

pub(crate) use builtin::{default_target, is_always_up};
pub use interface::*;
pub use invocation::InvocationId;
pub use limit::RateLimit;
pub use loaded::ExecStatus;
pub use properties::{JobRow, UnitRow};
pub use service::{MANAGER_ENVIRONMENT, restart_delay};
pub use states::{ActiveState, ServiceResult, ServiceState, SocketResult, SocketState};
pub use text::Text;

use crate::time::{IncidentTime, Span};
use loaded::{Loaded, Timer, UnitId};
use rules::Rules;

/// Accuracy of the manager's timers.
pub const TIMER_ACCURACY: Span = Span::from_millis(250);

/// An entry of the run queue: sockets and targets go before services, and then the name decides.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RunKey {
    kind: Reverse<loaded::Kind>,
    name: Arc<str>,
    unit: UnitId,
}

/// The service manager.
#[derive(Debug)]
pub struct Manager {
    config: Config,
    rules: Rules,
    /// Zero of the monotonic clock.
    boot: IncidentTime,
    booted: bool,
    /// The moment of the last step.
    now: IncidentTime,
    units: Vec<Loaded>,
    /// How often one of them was handed out to be changed.
    touches: u64,
    names: HashMap<Arc<str>, UnitId>,
    /// Whose main or control process a PID is.
    pids: BTreeMap<Pid, UnitId>,
    timers: BTreeSet<(IncidentTime, UnitId, Timer)>,
    run_queue: BinaryHeap<Reverse<RunKey>>,
    gc_queue: Vec<UnitId>,
    pinned: Vec<UnitId>,
    unsettled: BTreeSet<UnitId>,
    awaiting_pid_file: Vec<UnitId>,
    /// Type=idle services whose program waits for the job queue to drain.
    idle: Vec<UnitId>,
    /// Services that have left descriptors here.
    stores: Vec<UnitId>,
    /// Processes that were to die before they were spawned.
    unborn: Vec<(Pid, i32)>,
    /// Children that cannot become their programs, for what the manager itself knows.
    stillborn: Vec<(Pid, ExecFailure)>,
    job_count: usize,
    last_job: JobId,
    invocations: u64,
}

impl Manager {
    /// A manager of a machine that is about to boot.
    pub fn new(config: Config) -> Self {
        Self {
            rules: Rules::of(config.profile),
            boot: config.boot,
            now: config.boot,
            booted: false,
            units: Vec::new(),
            touches: 0,
            names: HashMap::new(),
            pids: BTreeMap::new(),
            timers: BTreeSet::new(),
            run_queue: BinaryHeap::new(),
            gc_queue: Vec::new(),
            pinned: Vec::new(),
            unsettled: BTreeSet::new(),
            awaiting_pid_file: Vec::new(),
            idle: Vec::new(),
            stores: Vec::new(),
            unborn: Vec::new(),
            stillborn: Vec::new(),
            job_count: 0,
            last_job: 0,
            invocations: 0,
            config,
        }
    }

    /// Tells the manager what happened at `now`, and gets what it does about it, in order.
    ///
    /// Time must not go backwards between calls. Timers whose moment has come fire in the same step, before a
    /// client's request and after news of a process (sd-event's priorities).
    pub fn step(&mut self, now: IncidentTime, host: &mut dyn Host, input: Input) -> Vec<Effect> {
        self.now = now;
        // Most inputs lead to a few effects.
        let mut step = step::Step { m: self, host, now, out: Vec::with_capacity(6) };
        step.handle(input);
        step.out
    }

    /// When the manager wants to be woken if nothing else happens: the first point of the timer grid at or after
    /// the earliest deadline.
    ///
    /// While it waits for a PID file to be written it wants to look at every point of the grid; whoever knows that a
    /// file was written may send [`Input::Elapsed`] at once, as inotify(7) would.
    pub fn next_deadline(&self) -> Option<IncidentTime> {
        let timer = self.timers.first().map(|(deadline, ..)| *deadline);
        let look = (!self.awaiting_pid_file.is_empty()).then(|| self.now + Span::from_micros(1));
        // It is the child of an idle service that waits, not the manager, and so to the moment.
        let idle = self.idle.iter().map(|unit| self.units[unit.0 as usize].timers[Timer::Idle.index()]).min();
        let on_grid = timer.into_iter().chain(look).min();
        let on_grid = on_grid.map(|at| at.ceil_to_grid(self.config.boot, TIMER_ACCURACY, self.config.timer_phase));
        on_grid.into_iter().chain(idle).min()
    }

    /// The PID files that the manager waits for.
    pub fn awaited_files(&self) -> impl Iterator<Item = &str> {
        self.awaiting_pid_file.iter().filter_map(|unit| self.units[unit.0 as usize].config.pid_file.as_deref())
    }

    /// Whether the manager waits for a PID file.
    pub fn awaits_files(&self) -> bool {
        !self.awaiting_pid_file.is_empty()
    }

    /// The earliest moment at which a timer may fire if something wakes the manager.
    pub fn earliest_timer(&self) -> Option<IncidentTime> {
        self.timers.first().map(|(deadline, ..)| *deadline)
    }

    /// When the machine was booted last.
    pub fn boot_time(&self) -> IncidentTime {
        self.boot
    }

    /// Whose words and rules the manager follows.
    pub fn profile(&self) -> crate::unit::Profile {
        self.config.profile
    }

    fn enqueue_run(&mut self, unit: UnitId) {
        let this = &self.units[unit.0 as usize];
        self.run_queue.push(Reverse(RunKey { kind: Reverse(this.kind), name: this.name.clone(), unit }));
    }

    fn dequeue_run(&mut self) -> Option<UnitId> {
        self.run_queue.pop().map(|Reverse(key)| key.unit)
    }

    fn next_job_id(&mut self) -> JobId {
        self.last_job = self.last_job.wrapping_add(1).max(1);
        self.last_job
    }

    /// The next invocation ID: it depends on the seed and on how many there were before.
    fn next_invocation(&mut self) -> InvocationId {
        self.invocations += 1;
        InvocationId::nth(self.config.seed, self.invocations)
    }

    fn id(&self, name: &str) -> Option<UnitId> {
        self.names.get(name).copied()
    }

    /// The unit that has the job of this number.
    fn unit_of_job(&self, id: JobId) -> Option<UnitId> {
        let index = self.units.iter().position(|unit| unit.job.as_ref().is_some_and(|job| job.id == id))?;
        u32::try_from(index).ok().map(UnitId)
    }

    /// The unit of that name or alias, if it is loaded.
    fn present(&self, name: &str) -> Option<&Loaded> {
        self.id(name).map(|unit| &self.units[unit.0 as usize]).filter(|unit| unit.present)
    }
}
