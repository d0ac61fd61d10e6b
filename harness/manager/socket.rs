//! Sockets: listening on behalf of services (systemd.socket(5)).

// The address type alone; nothing here touches the network.
use core::net::SocketAddr;

use super::catalog::{self, level};
use super::interface::{Effect, Message};
use super::job::{JobType, Started};
use super::loaded::{Kind, Relation, Timer, UnitId};
use super::states::{ServiceState, SocketResult, SocketState};
use super::step::{Refusal, Step, errno_field};
use super::text::Text;
use crate::time::Span;
use crate::unit::{Errno, Listen, ListenKind};

/// What is said when a service cannot be started for a connection, up to what kind of unit was looked for.
pub(super) const NO_JOB: &str = "Failed to queue service startup job (Maybe the service file is missing or not a";

/// The service that a socket starts if it names none.
pub(super) fn service_of(socket: &str) -> String {
    format!("{}.service", socket.strip_suffix(".socket").unwrap_or(socket))
}

impl Step<'_> {
    /// Orders a socket to listen.
    pub(super) fn start_socket(&mut self, unit: UnitId) -> Result<Started, Refusal> {
        if self.unit(unit).socket.opening {
            return Ok(Started::Silent);
        }
        if !self.within_start_limit(unit) {
            self.socket_dead(unit, SocketResult::Resources);
            return Err(Refusal::Failed);
        }
        let accepts = self.accepts(unit);
        let service = self.unit(unit).related(Relation::Triggers).next();
        if let Some(service) = service.filter(|_| !accepts) {
            let that = self.unit(service);
            let name = that.name.clone();
            let (loaded, kind, state) = (that.is_loaded(), that.kind, that.service.state);
            if !loaded {
                self.log(unit, level::ERR, &format!("Socket service {name} not loaded, refusing."));
                return Err(Refusal::Failed);
            }
            let free = matches!(
                state,
                ServiceState::Dead
                    | ServiceState::DeadResourcesPinned
                    | ServiceState::Failed
                    | ServiceState::DeadBeforeAutoRestart
                    | ServiceState::FailedBeforeAutoRestart
                    | ServiceState::AutoRestart
                    | ServiceState::AutoRestartQueued
            );
            if kind == Kind::Service && !free {
                self.log(unit, level::ERR, &format!("Socket service {name} already active, refusing."));
                return Err(Refusal::Failed);
            }
        }
        self.new_invocation(unit);
        let this = self.unit_mut(unit);
        this.socket.result = SocketResult::Success;
        this.socket.opening = true;
        let name = this.name.to_string();
        let socket = Box::new(this.def.socket.clone().unwrap_or_default());
        self.out.push(Effect::Listen { unit: name, socket });
        // The answer comes at the same moment; nobody sees the unit activating.
        Ok(Started::Silent)
    }

    /// The answer to a request to listen.
    pub(super) fn listening(&mut self, name: &str, result: Result<(), (String, Errno)>, links: &[(String, Errno)]) {
        let Some(unit) = self.m.id(name) else { return };
        if !std::mem::take(&mut self.unit_mut(unit).socket.opening) {
            // It was stopped in the meantime.
            if result.is_ok() {
                self.close_listen(unit);
            }
            return;
        }
        match result {
            Ok(()) => {
                let def = self.unit(unit).def.clone();
                let path = def.socket.iter().flat_map(|socket| &socket.listen).find_map(Listen::node);
                for (link, reason) in links {
                    let path = path.unwrap_or_default();
                    let text = format!("Failed to create symlink {path} → {link}, ignoring: {reason}");
                    self.log_errno(unit, level::WARNING, *reason, &text);
                }
                self.enter_listening(unit);
            }
            Err((address, reason)) if address.parse::<SocketAddr>().is_err() => {
                let def = self.unit(unit).def.clone();
                let mut lines = def.socket.iter().flat_map(|socket| &socket.listen);
                let fifo = lines.any(|listen| listen.kind == ListenKind::Fifo && listen.address == address);
                let text = match fifo {
                    true => format!("Failed to open FIFO {address}: {reason}"),
                    false => format!("Failed to create listening socket ({address}): {reason}"),
                };
                self.log_errno(unit, level::ERR, reason, &text);
                self.log_errno(unit, level::WARNING, reason, &format!("Failed to listen on sockets: {reason}"));
                self.socket_dead(unit, SocketResult::Resources);
            }
            Err((address, reason)) => {
                // A socket on a port is made by a child, which says so itself.
                let this = self.unit(unit);
                let child = Message {
                    unit: Some((&this.name).into()),
                    priority: level::ERR,
                    text: format!("{}: Failed to create listening socket ({address}): {reason}", this.name),
                    message_id: None,
                    invocation_id: this.invocation,
                    fields: vec![errno_field(reason)],
                    child: Some((self.host.fork(), "(sd-listen)".to_owned())),
                };
                self.out.push(Effect::Journal(child));
                let lost = Errno::EIO;
                let text = format!("Failed to receive listening socket ({address}): {lost}");
                self.log_errno(unit, level::ERR, lost, &text);
                self.log_errno(unit, level::WARNING, lost, &format!("Failed to listen on sockets: {lost}"));
                self.socket_dead(unit, SocketResult::Resources);
            }
        }
    }

    fn enter_listening(&mut self, unit: UnitId) {
        let this = self.unit_mut(unit);
        this.socket.poll_limit.reset();
        let name = this.name.to_string();
        if this.def.socket.as_ref().is_some_and(|socket| socket.flush_pending && !socket.accept) {
            self.out.push(Effect::Flush { unit: name.clone() });
        }
        self.out.push(Effect::Watch { unit: name, on: true });
        self.set_socket_state(unit, SocketState::Listening);
    }

    /// Orders a socket to close.
    pub(super) fn stop_socket(&mut self, unit: UnitId) -> Started {
        self.socket_dead(unit, SocketResult::Success);
        Started::Acts
    }

    /// Closes the socket for good.
    pub(super) fn socket_dead(&mut self, unit: UnitId, result: SocketResult) {
        let name = self.unit(unit).name.clone();
        let this = self.unit_mut(unit);
        this.socket.opening = false;
        self.disarm(unit, Timer::Phase);
        let this = self.unit_mut(unit);
        if this.socket.result == SocketResult::Success {
            this.socket.result = result;
        }
        let (state, result) = (this.socket.state, this.socket.result);
        if matches!(state, SocketState::Listening | SocketState::Running) {
            self.close_listen(unit);
        }
        if result == SocketResult::Success {
            let text = format!("{name}: Deactivated successfully.");
            self.log_full(unit, level::INFO, text, Some(catalog::SUCCESS), Vec::new());
            self.set_socket_state(unit, SocketState::Dead);
        } else {
            let text = format!("{name}: Failed with result '{}'.", result.as_str());
            let fields = vec![("UNIT_RESULT", Text::fixed(result.as_str()))];
            self.log_full(unit, level::WARNING, text, Some(catalog::FAILURE_RESULT), fields);
            self.set_socket_state(unit, SocketState::Failed);
        }
    }

    fn close_listen(&mut self, unit: UnitId) {
        let this = self.unit(unit);
        let remove = this.def.socket.as_ref().is_some_and(|socket| socket.remove_on_stop);
        let unit = this.name.to_string();
        self.out.push(Effect::CloseListen { unit, remove });
    }

    pub(super) fn set_socket_state(&mut self, unit: UnitId, state: SocketState) {
        let old = std::mem::replace(&mut self.unit_mut(unit).socket.state, state);
        self.changed(unit, old.active(), state.active(), false, false);
    }

    /// Somebody connects.
    pub(super) fn traffic(&mut self, name: &str) {
        let Some(unit) = self.m.id(name) else { return };
        if self.unit(unit).socket.state != SocketState::Listening || self.accepts(unit) {
            return;
        }
        if self.stop_pending(unit) {
            // Whoever comes now comes too late.
            let unit = self.unit(unit).name.to_string();
            return self.out.push(Effect::Flush { unit });
        }
        if !self.within_trigger_limit(unit) {
            return;
        }
        let Some(service) = self.unit(unit).related(Relation::Triggers).next() else { return };
        let that = self.unit(service);
        let pending = that.active().is_up_or_coming()
            || that.job.as_ref().is_some_and(|job| matches!(job.kind, JobType::Start | JobType::Restart));
        if !pending && let Err(error) = self.add_job(service, JobType::Start) {
            let text = format!("{NO_JOB} non-template unit?): {}", error.message);
            self.log(unit, level::WARNING, &text);
            return self.socket_dead(unit, SocketResult::Resources);
        }
        let name = self.unit(unit).name.to_string();
        self.unit_mut(unit).socket.n_accepted = self.unit(unit).socket.n_accepted.saturating_add(1);
        self.out.push(Effect::Watch { unit: name, on: false });
        self.set_socket_state(unit, SocketState::Running);
    }

    /// Counts an activation; `false` if there are too many, which is the end of the socket.
    pub(super) fn within_trigger_limit(&mut self, unit: UnitId) -> bool {
        let now = self.now;
        let this = self.unit_mut(unit);
        let Some(socket) = this.def.socket.as_ref() else { return false };
        let interval = socket.trigger_limit_interval_sec.unwrap_or(Span::from_secs(2));
        let burst = socket.trigger_limit_burst.unwrap_or(if socket.accept { 200 } else { 20 });
        if this.socket.trigger_limit.allow(now, interval, burst) {
            return true;
        }
        this.socket.n_refused = this.socket.n_refused.saturating_add(1);
        self.log(unit, level::WARNING, "Trigger limit hit, refusing further activation.");
        self.socket_dead(unit, SocketResult::TriggerLimitHit);
        false
    }

    /// Whether each connection gets a service of its own.
    pub(super) fn accepts(&self, unit: UnitId) -> bool {
        self.unit(unit).def.socket.as_ref().is_some_and(|socket| socket.accept)
    }

    /// Tells the sockets of a service that it changed its state.
    pub(super) fn tell_triggering_sockets(&mut self, service: UnitId) {
        if self.unit(service).kind != Kind::Service || !self.unit(service).has_any(&[Relation::TriggeredBy]) {
            return;
        }
        let sockets: Vec<UnitId> = self.unit(service).related(Relation::TriggeredBy).collect();
        for socket in sockets {
            let state = self.unit(socket).socket.state;
            if !matches!(state, SocketState::Listening | SocketState::Running) || self.accepts(socket) {
                continue;
            }
            let that = self.unit(service);
            if that.start_limit_hit {
                self.socket_dead(socket, SocketResult::ServiceStartLimitHit);
                continue;
            }
            if that.job.is_some() {
                continue;
            }
            match that.service.state {
                ServiceState::Dead
                | ServiceState::DeadResourcesPinned
                | ServiceState::Failed
                | ServiceState::DeadBeforeAutoRestart
                | ServiceState::FailedBeforeAutoRestart
                | ServiceState::FinalSigterm
                | ServiceState::FinalSigkill
                | ServiceState::AutoRestart
                    if state == SocketState::Running =>
                {
                    self.enter_listening(socket);
                }
                ServiceState::Running if state == SocketState::Listening => {
                    let name = self.unit(socket).name.to_string();
                    self.out.push(Effect::Watch { unit: name, on: false });
                    self.set_socket_state(socket, SocketState::Running);
                }
                _ => {}
            }
        }
    }
}
