//! One step of the manager: an input in, effects out, and the parts of a unit's life that all types share.

use std::sync::Arc;

use super::Manager;
use super::catalog::{self, level};
use super::interface::{Effect, Host, Input, JobMode, Message};
use super::job::{JobType, Started};
use super::loaded::{Kind, Loaded, Relation, Timer, UnitId};
use super::states::{ActiveState, ServiceState};
use super::text::{Text, concat};
use crate::time::{IncidentTime, Span};
use crate::unit::{EmergencyAction, Errno, LoadState, Service};

/// Why an order was not carried out, as the job engine distinguishes it.
pub(super) enum Refusal {
    /// Nothing to do.
    Already,
    /// Not now; the unit will say when.
    Later,
    /// A condition is not met: the job is done, without anything having been done.
    ConditionUnmet,
    /// An assertion is not met.
    AssertFailed,
    /// The order does not apply.
    Skip,
    /// Reload of what is not active.
    Inactive,
    /// Units of the type cannot be here.
    Unsupported,
    /// A Requisite= or BindsTo= unit is down.
    DependencyDown,
    /// Anything else.
    Failed,
}

/// How many starts and stops of a unit within which time the manager decides on itself.
const AUTO_LIMIT: (Span, u32) = (Span::from_secs(10), 16);

/// On whose other side a unit's change may call for something.
const CONCERNED: &[Relation] = &[
    Relation::BoundBy,
    Relation::Requires,
    Relation::Requisite,
    Relation::Wants,
    Relation::BindsTo,
    Relation::Upholds,
];

/// The journal's field of an error.
pub(super) fn errno_field(errno: Errno) -> (&'static str, Text) {
    ("ERRNO", Text::number(errno.number().unsigned_abs().into()))
}

/// The manager while it handles one input.
pub(super) struct Step<'a> {
    pub m: &'a mut Manager,
    pub host: &'a mut dyn Host,
    pub now: IncidentTime,
    pub out: Vec<Effect>,
}

impl Step<'_> {
    pub(super) fn unit(&self, unit: UnitId) -> &Loaded {
        &self.m.units[unit.0 as usize]
    }

    pub(super) fn unit_mut(&mut self, unit: UnitId) -> &mut Loaded {
        self.m.touches += 1;
        let this = &mut self.m.units[unit.0 as usize];
        this.touched = self.m.touches;
        this
    }

    pub(super) fn config(&self, unit: UnitId) -> Arc<Service> {
        self.unit(unit).config.clone()
    }

    /// Handles the input and everything that follows from it at this moment.
    pub(super) fn handle(&mut self, input: Input) {
        self.unpin();
        match input {
            Input::Boot => self.boot(),
            Input::Elapsed => {}
            Input::Request { id, request } => {
                // A client wakes the manager when it connects, and what has elapsed then is done before it says what it
                // wants.
                if self.fire_elapsed() {
                    self.settle();
                }
                self.request(id, request);
            }
            Input::Traffic { unit } => {
                self.fire_elapsed();
                self.traffic(&unit);
            }
            // News of processes goes before timers that elapsed in the same moment.
            Input::Executed { pid } => self.executed(pid),
            Input::ExecFailed { pid, failure } => self.exec_failed(pid, &failure),
            Input::Exited { pid, exit } => self.exited(pid, exit),
            Input::CgroupEmpty { unit } => self.cgroup_empty(&unit),
            Input::Notify { pid, unit, text, descriptors } => self.told(pid, unit.as_deref(), &text, descriptors),
            Input::HungUp { id } => self.hung_up(id),
            Input::Accepted { unit, connection } => {
                self.fire_elapsed();
                self.accepted(&unit, connection);
            }
            Input::Listening { unit, result, links } => self.listening(&unit, result, &links),
        }
        self.settle();
        if self.fire_elapsed() {
            self.settle();
        }
    }

    /// Runs the queues until nothing is left to do at this moment.
    fn settle(&mut self) {
        loop {
            self.look_for_pid_files();
            self.check_steady_states();
            // All jobs that can run do, those too that come up meanwhile, before anybody looks at how the units stand.
            let mut ran = false;
            while let Some(unit) = self.m.dequeue_run() {
                self.run_job(unit);
                ran = true;
            }
            if !(ran || self.release_idle() || self.reap_unborn()) {
                break;
            }
        }
        self.release_stores();
        self.collect_garbage();
    }

    /// Fires every timer that has elapsed; whether there was one.
    fn fire_elapsed(&mut self) -> bool {
        let mut fired = false;
        while let Some(&(deadline, unit, timer)) = self.m.timers.first()
            && deadline <= self.now
        {
            fired = true;
            self.disarm(unit, timer);
            match timer {
                Timer::Phase if self.unit(unit).kind == Kind::Socket => self.poll_again(unit),
                Timer::Phase => self.phase_timeout(unit),
                Timer::Watchdog => self.watchdog_timeout(unit),
                Timer::Job => self.job_timeout(unit),
                Timer::Idle => self.release_idle_unit(unit),
                Timer::Breather => self.queue_job(unit),
                Timer::Retry => self.unsettle(unit),
            }
        }
        fired
    }

    /// Arms a timer of the unit, in place of one of the same kind.
    pub(super) fn arm(&mut self, unit: UnitId, timer: Timer, deadline: IncidentTime) {
        self.disarm(unit, timer);
        if deadline != IncidentTime::NEVER {
            self.unit_mut(unit).timers[timer.index()] = deadline;
            self.m.timers.insert((deadline, unit, timer));
        }
    }

    /// Arms a timer that fires after `span`.
    pub(super) fn arm_after(&mut self, unit: UnitId, timer: Timer, span: Span) {
        let deadline = if span.is_infinite() { IncidentTime::NEVER } else { self.now + span };
        self.arm(unit, timer, deadline);
    }

    /// When a timer of the unit is due, [`IncidentTime::NEVER`] if it is not armed.
    pub(super) fn deadline(&self, unit: UnitId, timer: Timer) -> IncidentTime {
        self.unit(unit).timers[timer.index()]
    }

    pub(super) fn disarm(&mut self, unit: UnitId, timer: Timer) {
        let deadline = std::mem::replace(&mut self.unit_mut(unit).timers[timer.index()], IncidentTime::NEVER);
        if deadline != IncidentTime::NEVER {
            self.m.timers.remove(&(deadline, unit, timer));
        }
    }

    /// Logs `UNIT: TEXT`.
    pub(super) fn log(&mut self, unit: UnitId, priority: u8, text: &str) {
        let text = concat([&self.unit(unit).name, ": ", text]);
        self.log_full(unit, priority, text, None, Vec::new());
    }

    /// Logs `UNIT: TEXT` with the error behind it.
    pub(super) fn log_errno(&mut self, unit: UnitId, priority: u8, errno: Errno, text: &str) {
        let text = concat([&self.unit(unit).name, ": ", text]);
        self.log_full(unit, priority, text, None, vec![errno_field(errno)]);
    }

    /// Logs a whole text with fields about a unit.
    pub(super) fn log_full(
        &mut self,
        unit: UnitId,
        priority: u8,
        text: String,
        message_id: Option<&'static str>,
        fields: Vec<(&'static str, Text)>,
    ) {
        let this = self.unit(unit);
        if !this.config.syslog.logs(priority) {
            return;
        }
        let message = Message {
            unit: Some((&this.name).into()),
            priority,
            text,
            message_id,
            invocation_id: this.invocation,
            fields,
            child: None,
        };
        self.out.push(Effect::Journal(message));
    }

    /// Logs about a unit, but not about any invocation of it.
    pub(super) fn log_of_no_invocation(
        &mut self,
        unit: UnitId,
        priority: u8,
        text: String,
        fields: Vec<(&'static str, Text)>,
    ) {
        let invocation = self.unit_mut(unit).invocation.take();
        self.log_full(unit, priority, text, None, fields);
        self.unit_mut(unit).invocation = invocation;
    }

    /// Logs about no unit.
    pub(super) fn log_manager(&mut self, priority: u8, text: &str) {
        self.out.push(Effect::Journal(Message {
            unit: None,
            priority,
            text: text.to_owned(),
            message_id: None,
            invocation_id: None,
            fields: Vec::new(),
            child: None,
        }));
    }

    /// A new invocation ID for the unit.
    pub(super) fn new_invocation(&mut self, unit: UnitId) {
        let id = self.m.next_invocation();
        self.unit_mut(unit).invocation = Some(id);
    }

    /// Orders the unit to start.
    pub(super) fn start_unit(&mut self, unit: UnitId) -> Result<Started, Refusal> {
        let state = self.unit(unit).active();
        if state.is_up() {
            return Err(Refusal::Already);
        }
        if self.unit(unit).def.load_state != LoadState::Loaded {
            return Err(Refusal::Failed);
        }
        if state != ActiveState::Activating {
            if !self.test_conditions(unit) {
                return Err(Refusal::ConditionUnmet);
            }
            if !self.test_asserts(unit) {
                self.log(unit, level::NOTICE, "Starting requested but asserts failed.");
                return Err(Refusal::AssertFailed);
            }
        }
        // The recordings' machine is a container, and there swap is the host's.
        if self.unit(unit).name.ends_with(".swap") {
            return Err(Refusal::Unsupported);
        }
        if !self.dependencies_up(unit) {
            return Err(Refusal::DependencyDown);
        }
        match self.unit(unit).kind {
            Kind::Service => self.start_service(unit),
            Kind::Socket => self.start_socket(unit),
            Kind::Target | Kind::Other => {
                if self.unit(unit).kind == Kind::Target {
                    self.new_invocation(unit);
                }
                self.set_plain_state(unit, true);
                Ok(Started::Acts)
            }
        }
    }

    /// Counts a start of the unit against its start limit; one too many is logged, and StartLimitAction= taken.
    pub(super) fn within_start_limit(&mut self, unit: UnitId) -> bool {
        let now = self.now;
        let this = self.unit_mut(unit);
        let interval = this.def.start_limit_interval_sec.unwrap_or(Span::from_secs(10));
        let burst = this.def.start_limit_burst.unwrap_or(5);
        this.start_limit_hit = !this.start_limit.allow(now, interval, burst);
        if !this.start_limit_hit {
            return true;
        }
        let action = this.def.start_limit_action;
        self.log(unit, level::WARNING, "Start request repeated too quickly.");
        self.emergency(unit, action, "failed");
        false
    }

    /// Orders the unit to stop.
    pub(super) fn stop_unit(&mut self, unit: UnitId) -> Result<Started, Refusal> {
        if self.unit(unit).active().is_down() {
            return Err(Refusal::Already);
        }
        match self.unit(unit).kind {
            Kind::Service => Ok(self.stop_service(unit)),
            Kind::Socket => Ok(self.stop_socket(unit)),
            Kind::Target | Kind::Other => {
                self.set_plain_state(unit, false);
                Ok(Started::Acts)
            }
        }
    }

    /// Orders the unit to reload.
    pub(super) fn reload_unit(&mut self, unit: UnitId) -> Result<Started, Refusal> {
        if self.unit(unit).def.load_state != LoadState::Loaded {
            return Err(Refusal::Failed);
        }
        if !self.can_reload(unit) {
            return Err(Refusal::Skip);
        }
        match self.unit(unit).active() {
            ActiveState::Reloading => Err(Refusal::Later),
            ActiveState::Active => Ok(self.reload_service(unit)),
            _ => {
                self.log(unit, level::WARNING, "Unit cannot be reloaded because it is inactive.");
                Err(Refusal::Inactive)
            }
        }
    }

    /// Whether what the unit cannot be active without is there: the job engine has seen to it, but a reload or a
    /// condition may have undone it since.
    fn dependencies_up(&mut self, unit: UnitId) -> bool {
        let this = self.unit(unit);
        let missing = this
            .related(Relation::BindsTo)
            .find(|other| this.has_related(Relation::After, *other) && !self.unit(*other).active().is_up());
        let Some(other) = missing else { return true };
        let text = format!("Bound to unit {}, but unit isn't active.", self.unit(other).name);
        self.log(unit, level::NOTICE, &text);
        false
    }

    fn set_plain_state(&mut self, unit: UnitId, up: bool) {
        let old = self.unit(unit).active();
        self.unit_mut(unit).up = up;
        let new = self.unit(unit).active();
        self.changed(unit, old, new, false, false);
    }

    /// Everything that a state change sets off: stamps, jobs, dependants, actions (systemd's `unit_notify`).
    pub(super) fn changed(
        &mut self,
        unit: UnitId,
        old: ActiveState,
        new: ActiveState,
        reload_failed: bool,
        will_auto_restart: bool,
    ) {
        let now = self.now;
        let stamps = &mut self.unit_mut(unit).stamps;
        stamps.state_change = Some(now);
        match (old.is_down(), new.is_down()) {
            (true, false) => stamps.inactive_exit = Some(now),
            (false, true) => stamps.inactive_enter = Some(now),
            _ => {}
        }
        match (old.is_up(), new.is_up()) {
            (false, true) => stamps.active_enter = Some(now),
            (true, false) => stamps.active_exit = Some(now),
            _ => {}
        }
        if self.job_sees(unit, new, reload_failed) {
            self.propagate_unexpected(unit, old, new);
        }
        if old != new && new == ActiveState::Failed && !will_auto_restart {
            self.start_triggered(unit, Relation::OnFailure);
        }
        if new.is_down() && !old.is_down() {
            self.log_resources(unit);
        }
        if new == ActiveState::Inactive && !old.is_down() && !will_auto_restart {
            self.start_triggered(unit, Relation::OnSuccess);
        }
        self.tell_triggering_sockets(unit);
        if old != ActiveState::Failed && new == ActiveState::Failed {
            self.emergency(unit, self.unit(unit).def.failure_action, "failed");
        } else if !old.is_down() && new == ActiveState::Inactive {
            self.emergency(unit, self.unit(unit).def.success_action, "succeeded");
        }
        if new.is_down() {
            self.unsettle(unit);
            self.queue_gc(unit);
        } else if new.is_up() {
            self.unsettle(unit);
        }
    }

    /// `Consumed 3.766s CPU time.`, if it was worth mentioning.
    fn log_resources(&mut self, unit: UnitId) {
        if self.unit(unit).kind != Kind::Service {
            return;
        }
        let name = self.unit(unit).name.clone();
        let used = self.host.cpu_time(&name);
        if used <= Span::from_secs(1) {
            return;
        }
        let priority = if used > Span::from_secs(600) { level::NOTICE } else { level::INFO };
        let text = format!("{name}: Consumed {} CPU time.", used.format(Span::from_millis(1)));
        let fields = vec![("CPU_USAGE_NSEC", Text::number(used.as_micros().saturating_mul(1000)))];
        self.log_full(unit, priority, text, Some(catalog::RESOURCES), fields);
    }

    /// `StartLimitAction=` and its siblings.
    pub(super) fn emergency(&mut self, unit: UnitId, action: EmergencyAction, reason: &str) {
        let (words, effect) = match action {
            EmergencyAction::None => return,
            EmergencyAction::Reboot => ("Rebooting", Effect::Reboot),
            EmergencyAction::RebootForce => ("Forcibly rebooting", Effect::Reboot),
            EmergencyAction::RebootImmediate => ("Rebooting immediately", Effect::Reboot),
            EmergencyAction::Poweroff => ("Powering off", Effect::Poweroff),
            EmergencyAction::PoweroffForce => ("Forcibly powering off", Effect::Poweroff),
            EmergencyAction::PoweroffImmediate => ("Powering off immediately", Effect::Poweroff),
            // A system manager outside of a container cannot leave: it powers off.
            EmergencyAction::Exit | EmergencyAction::ExitForce => ("Exiting", Effect::Poweroff),
        };
        if reason != "succeeded" {
            let text = format!("{words}: unit {} {reason}", self.unit(unit).name);
            self.log_manager(level::WARNING, &text);
        }
        self.out.push(effect);
    }

    /// Marks the units whose standing may have to be put right after `unit` changed.
    pub(super) fn unsettle(&mut self, unit: UnitId) {
        let this = &self.m.units[unit.0 as usize];
        if this.own.is_empty() && this.inverse.is_empty() && !this.def.stop_when_unneeded {
            return;
        }
        if this.has_any(CONCERNED) {
            for (relation, other) in this.own.iter().chain(&this.inverse) {
                if CONCERNED.contains(relation) {
                    self.m.unsettled.insert(*other);
                }
            }
        }
        self.m.unsettled.insert(unit);
    }

    /// Starts and stops that follow from how the units stand now, whatever led there: Upholds=, BindsTo=,
    /// StopWhenUnneeded=.
    fn check_steady_states(&mut self) {
        while let Some(unit) = self.m.unsettled.pop_first() {
            let this = self.unit(unit);
            if !this.present || this.job.is_some() {
                continue;
            }
            let state = this.active();
            let (kind, mode, words, limited) = if state.is_up() {
                let bound = this
                    .related(Relation::BindsTo)
                    .find(|other| self.unit(*other).active().is_down() && self.unit(*other).job.is_none());
                if let Some(other) = bound {
                    let name = &self.unit(other).name;
                    let limited = format!(
                        "Unit needs to be stopped because it is bound to inactive unit {name}, but not stopping"
                    );
                    let words = format!("Unit is bound to inactive unit {name}. Stopping, too.");
                    (JobType::Stop, JobMode::Replace, Some(words), limited)
                } else if this.def.stop_when_unneeded && !self.is_needed(unit) {
                    (JobType::Stop, JobMode::Fail, None, "Unit not needed anymore, but not stopping".to_owned())
                } else {
                    continue;
                }
            } else if state.is_down() && this.is_loaded() {
                let upheld = this.related(Relation::UpheldBy).find(|other| self.unit(*other).active().is_up());
                let Some(other) = upheld else { continue };
                let name = &self.unit(other).name;
                let limited =
                    format!("Unit needs to be started because active unit {name} upholds it, but not starting");
                (JobType::Start, JobMode::Fail, None, limited)
            } else {
                continue;
            };
            let now = self.now;
            let (interval, burst) = AUTO_LIMIT;
            if !self.unit_mut(unit).auto_limit.allow(now, interval, burst) {
                let text = format!("{limited} since we tried this too often recently. Will retry later.");
                self.log(unit, level::WARNING, &text);
                if let Some(end) = self.unit(unit).auto_limit.full_until(now, interval, burst) {
                    // The window is over when more than its time has passed.
                    self.arm(unit, Timer::Retry, end + Span::from_micros(1));
                }
                continue;
            }
            if let Some(text) = words {
                self.log(unit, level::INFO, &text);
            }
            // As systemd does: what cannot be enqueued is passed over.
            let _ = self.add_job_in(unit, kind, mode);
        }
    }

    /// Whether something that is up or coming needs the unit.
    fn is_needed(&self, unit: UnitId) -> bool {
        [Relation::RequiredBy, Relation::RequisiteOf, Relation::WantedBy, Relation::BoundBy, Relation::UpheldBy]
            .into_iter()
            .flat_map(|relation| self.unit(unit).related(relation))
            .any(|other| !self.unit(other).active().is_down() || self.unit(other).job.is_some())
    }

    /// The state of a service unit.
    pub(super) fn state(&self, unit: UnitId) -> ServiceState {
        self.unit(unit).service.state
    }
}
