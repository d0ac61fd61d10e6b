//! Sockets with Accept=yes: an instance of a service for each connection (systemd.socket(5), `Accept=`).

// The address type alone; nothing here touches the network.
use core::net::{IpAddr, SocketAddr};

use super::catalog::level;
use super::interface::{Connection, ConnectionId, Effect, Peer};
use super::job::JobType;
use super::loaded::{Held, Relation, Timer, UnitId};
use super::socket::NO_JOB;
use super::states::{SocketResult, SocketState};
use super::step::Step;
use crate::time::Span;
use crate::unit::{Errno, NameKind, Profile, Unit};

impl Step<'_> {
    /// A connection has been accepted: a service is made for it, or it is closed again.
    pub(super) fn accepted(&mut self, name: &str, connection: Connection) {
        let Connection { id, peer } = connection;
        let Some(unit) = self.m.id(name) else { return self.close_connection(id) };
        if self.unit(unit).socket.state != SocketState::Listening || !self.accepts(unit) || self.stop_pending(unit) {
            return self.refuse(unit, id);
        }
        self.count_poll(unit);
        if !self.within_trigger_limit(unit) {
            return self.close_connection(id);
        }
        let def = self.unit(unit).def.clone();
        let Some(socket) = def.socket.as_ref() else { return self.refuse(unit, id) };
        let count = self.unit(unit).socket.n_connections;
        if count >= socket.max_connections.unwrap_or(64) {
            let text = format!("Too many incoming connections ({count}), dropping connection.");
            self.log(unit, level::WARNING, &text);
            return self.refuse(unit, id);
        }
        let most = socket.max_connections_per_source;
        let source = peer.as_ref().and_then(source).filter(|_| most > 0);
        if let Some(source) = source {
            let count = self.unit(unit).socket.sources.get(&source).copied().unwrap_or(0).saturating_add(1);
            if count > most {
                let text =
                    format!("Too many incoming connections ({count}) from source {source}, dropping connection.");
                self.log(unit, level::WARNING, &text);
                return self.refuse(unit, id);
            }
        }
        // Who has gone already needs no service.
        let Some(peer) = peer else { return self.refuse(unit, id) };
        let number = self.unit(unit).socket.n_accepted;
        let service = self.instance(unit, number, id, &peer);
        let run = &mut self.unit_mut(unit).socket;
        run.n_accepted = run.n_accepted.saturating_add(1);
        let started = match service {
            None => Err(Errno::EINVAL.to_string()),
            Some(service) => {
                run.n_connections = run.n_connections.saturating_add(1);
                if let Some(source) = source {
                    *run.sources.entry(source).or_default() += 1;
                }
                let held = Held { id, socket: unit, peer, counted: source.is_some() };
                self.unit_mut(service).service.connection = Some(held);
                let queued = self.add_job(service, JobType::Start);
                if queued.is_err() {
                    self.release_connection(service);
                }
                queued.map(drop).map_err(|error| error.message)
            }
        };
        if let Err(reason) = started {
            if service.is_none() {
                self.close_connection(id);
            }
            self.log(unit, level::WARNING, &format!("{NO_JOB} template unit?): {reason}"));
            self.socket_dead(unit, SocketResult::Resources);
        }
    }

    /// Loads the instance for a connection, and tells it apart from the others. `None` if there is no such service.
    fn instance(&mut self, unit: UnitId, number: u32, id: ConnectionId, peer: &Peer) -> Option<UnitId> {
        let name = self.unit(unit).name.clone();
        let prefix = match name.split_once('@') {
            Some((prefix, _)) => prefix,
            None => name.strip_suffix(".socket").unwrap_or(&name),
        };
        let instance = instance(number, id, peer, self.m.config.profile);
        let name = format!("{prefix}@{instance}.service");
        if crate::unit::name::kind(&name) != Some(NameKind::Instance) {
            return None;
        }
        let service = self.load(&name);
        let this = self.unit_mut(service);
        if !this.is_loaded() {
            self.queue_gc(service);
            return None;
        }
        let client = match peer {
            Peer::Internet { remote, .. } => remote.to_string(),
            Peer::Process { pid, uid } => format!("PID {pid}/UID {uid}"),
        };
        let description = match &this.def.description {
            Some(text) => format!("{text} ({client})"),
            None => client,
        };
        this.ident = format!("{} - {description}", this.name).into();
        let def = Unit { description: Some(description), ..(*this.def).clone() };
        this.define(def);
        self.relate(unit, Relation::Triggers, service);
        self.relate(unit, Relation::Before, service);
        Some(service)
    }

    /// The service has no more use for its connection.
    pub(super) fn release_connection(&mut self, service: UnitId) {
        let Some(held) = self.unit_mut(service).service.connection.take() else { return };
        self.close_connection(held.id);
        let run = &mut self.unit_mut(held.socket).socket;
        run.n_connections = run.n_connections.saturating_sub(1);
        if let Some(source) = source(&held.peer).filter(|_| held.counted)
            && let Some(count) = run.sources.get_mut(&source)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                run.sources.remove(&source);
            }
        }
        // It may be all that has kept the socket loaded.
        self.queue_gc(held.socket);
    }

    fn refuse(&mut self, unit: UnitId, id: ConnectionId) {
        let run = &mut self.unit_mut(unit).socket;
        run.n_refused = run.n_refused.saturating_add(1);
        self.close_connection(id);
    }

    fn close_connection(&mut self, id: ConnectionId) {
        self.out.push(Effect::CloseConnection { id });
    }

    /// Counts a look at the socket (PollLimitBurst=, since 255): after too many, nobody looks until the interval is over.
    /// Where one service serves all, each new watch begins a new interval, so that the limit is never met.
    fn count_poll(&mut self, unit: UnitId) {
        if self.m.config.profile < Profile::V257 {
            return;
        }
        let now = self.now;
        let this = self.unit_mut(unit);
        let Some(socket) = this.def.socket.as_ref() else { return };
        let interval = socket.poll_limit_interval_sec.unwrap_or(Span::from_secs(2));
        let burst = socket.poll_limit_burst.unwrap_or(150);
        this.socket.poll_limit.allow(now, interval, burst);
        if let Some(end) = this.socket.poll_limit.full_until(now, interval, burst) {
            let unit_name = this.name.to_string();
            self.out.push(Effect::Watch { unit: unit_name, on: false });
            self.arm(unit, Timer::Phase, end);
        }
    }

    /// The interval of the poll limit is over.
    pub(super) fn poll_again(&mut self, unit: UnitId) {
        self.unit_mut(unit).socket.poll_limit.reset();
        if self.unit(unit).socket.state == SocketState::Listening {
            let unit = self.unit(unit).name.to_string();
            self.out.push(Effect::Watch { unit, on: true });
        }
    }
}

/// The address that connections are counted by.
fn source(peer: &Peer) -> Option<IpAddr> {
    match peer {
        Peer::Internet { remote, .. } => Some(remote.ip()),
        Peer::Process { .. } => None,
    }
}

/// The instance that serves a connection: how many there were before, and both of its ends. Later versions also name the
/// socket by the kernel's number (260), and a process by that of its pidfd.
fn instance(number: u32, id: ConnectionId, peer: &Peer, profile: Profile) -> String {
    let end = |at: &SocketAddr| format!("{}:{}", at.ip(), at.port());
    let cookie = if profile >= Profile::V260 { format!("{}-", id.saturating_add(1)) } else { String::new() };
    match peer {
        Peer::Internet { local, remote } => format!("{number}-{cookie}{}-{}", end(local), end(remote)),
        Peer::Process { pid, uid } if profile >= Profile::V260 => format!("{number}-{cookie}{pid}_{pid}-{uid}"),
        Peer::Process { pid, uid } => format!("{number}-{cookie}{pid}-{uid}"),
    }
}
