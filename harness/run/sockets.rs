//! The listening sockets of socket units: real ones, which the run holds in the manager's place.

mod open;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;

use super::Fault;
use super::incident::Incident;
use crate::control::SocketRow;
use crate::manager::{Connection, ConnectionId, Input, Peer, Pid};
use crate::sys::process;
use crate::sys::socket::{self, Family};
use crate::time::{IncidentTime, Span};
use crate::timeline::EventKind;
use crate::unit::Socket;
use open::{Refusal, backlog};

/// The manager's own PID.
pub(super) const MANAGER: Pid = 1;
/// The first descriptor that the manager's sockets get; those before it are its own business.
const FIRST_FD: i32 = 36;
/// net.core.somaxconn, above which no backlog goes.
const SOMAXCONN: u32 = 4096;
/// Where kernels begin with the ports of clients, every other of which connect(2) takes (ip_local_port_range).
const FIRST_CLIENT_PORT: u16 = 32768;
const CLIENT_PORTS: ConnectionId = 14_000;
/// Whoever is not root is the first user of the machine.
const FIRST_USER: u32 = 1000;
/// How often sockets may trigger in [`TRIGGER_WINDOW`]; systemd's own limits are 20 and 200 in two seconds.
const MOST_TRIGGERS: u32 = 400;
const TRIGGER_WINDOW: Span = Span::from_secs(5);

/// All sockets that the manager holds, by unit.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    units: BTreeMap<String, Unit>,
    /// How often sockets have triggered, and since when.
    triggers: (IncidentTime, u32),
    /// Connections that were accepted for services (Accept=yes), until those have ended.
    connections: BTreeMap<ConnectionId, OwnedFd>,
    /// How many there were.
    accepted: ConnectionId,
}

#[derive(Debug, Default)]
struct Unit {
    held: Vec<Held>,
    /// The links of Symlinks=.
    links: Vec<PathBuf>,
    /// Whether the manager wants connections rather than to hear of them (Accept=yes).
    accept: bool,
    watched: bool,
    /// The manager was told of traffic and let it be: it will not be told again before something else happens.
    told: bool,
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Held {
    socket: OwnedFd,
    place: Place,
    /// Whether connections come in, and of which family.
    accepts: Option<Family>,
    backlog: u32,
    /// What the manager calls the descriptor.
    fd: i32,
    device: u32,
}

#[derive(Clone, Debug)]
enum Place {
    /// A TCP port.
    Port { address: IpAddr, port: u16, dual: bool },
    /// A UDP port.
    Datagrams,
    /// A path with a socket or a FIFO.
    Path(PathBuf),
    /// A name that is no path.
    Name,
}

/// The ends of a connection as the host knows them.
enum Ends {
    Internet(SocketAddr, SocketAddr),
    /// Its PID.
    Process(i32),
    Gone,
}

impl Sockets {
    /// Whether any on a port is watched: then a connection on its way matters.
    fn any_port_watched(&self) -> bool {
        self.units.values().any(|unit| unit.watched && unit.held.iter().any(|held| held.port().is_some()))
    }

    fn held(&self) -> impl Iterator<Item = (&str, &Held)> {
        self.units.iter().flat_map(|(name, unit)| unit.held.iter().map(move |held| (name.as_str(), held)))
    }

    /// Those whose traffic the manager wants to hear of, in order of unit and address.
    fn watched(&self) -> impl Iterator<Item = ((&str, usize), BorrowedFd<'_>)> {
        let units = self.units.iter().filter(|(_, unit)| unit.watched && !unit.told);
        units.flat_map(|(name, unit)| {
            unit.held.iter().enumerate().map(move |(at, held)| ((name.as_str(), at), held.socket.as_fd()))
        })
    }

    /// The descriptors of those, to wait for on a wall clock.
    pub(super) fn watched_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.watched().map(|(_, fd)| fd).collect()
    }

    /// Something has happened: the manager may see traffic in another light.
    pub(super) fn disturbed(&mut self) {
        self.units.values_mut().for_each(|unit| unit.told = false);
    }

    /// The first socket on which something waits: its unit and its place there.
    fn waiting(&self) -> io::Result<Option<(String, usize)>> {
        let (places, fds): (Vec<(&str, usize)>, Vec<BorrowedFd<'_>>) = self.watched().unzip();
        let ready = socket::readable(&fds)?;
        let found = places.into_iter().zip(ready).find(|(_, ready)| *ready);
        Ok(found.map(|((name, at), _)| (name.to_owned(), at)))
    }

    /// Takes the next connection, if there is one.
    fn accept(&mut self, unit: &str, at: usize) -> io::Result<Option<(ConnectionId, Ends)>> {
        let held = self.units.get(unit).and_then(|unit| unit.held.get(at));
        let Some((held, family)) = held.and_then(|held| Some((held, held.accepts?))) else { return Ok(None) };
        // Whoever had it before may have changed that for all.
        socket::set_nonblocking(&held.socket, true)?;
        let Some(connection) = socket::accept(&held.socket, family)? else { return Ok(None) };
        let ends = match family {
            Family::Unix => socket::peer_process(&connection).map_or(Ends::Gone, Ends::Process),
            Family::Internet => {
                let stream = TcpStream::from(connection.try_clone()?);
                match (stream.local_addr(), stream.peer_addr()) {
                    (Ok(local), Ok(remote)) => Ends::Internet(local, remote),
                    _ => Ends::Gone,
                }
            }
        };
        let id = self.accepted;
        self.accepted += 1;
        self.connections.insert(id, connection);
        Ok(Some((id, ends)))
    }

    /// The manager has no more use for a connection.
    pub(super) fn close_connection(&mut self, id: ConnectionId) {
        crate::sys::close(self.connections.remove(&id));
    }

    /// Whether the manager holds a socket on a port.
    pub(super) fn holds_port(&self, port: u16) -> bool {
        self.held().any(|(_, held)| matches!(held.place, Place::Port { port: other, .. } if other == port))
    }

    /// The number by which lsof knows the socket on this address, and whether it takes IPv4 at an IPv6 address.
    pub(super) fn device_of(&self, address: &str, port: u16) -> Option<(u32, bool)> {
        let address: IpAddr = address.parse().ok()?;
        self.held().find_map(|(_, held)| match held.place {
            Place::Port { address: other, port: at, dual } if (other, at) == (address, port) => {
                Some((held.device, dual))
            }
            _ => None,
        })
    }

    /// The sockets that a program is to get, in order, as the manager has named them.
    pub(super) fn pass(
        &self,
        wanted: &[(String, String)],
        connection: Option<ConnectionId>,
        nonblocking: bool,
    ) -> io::Result<Vec<OwnedFd>> {
        if let Some(id) = connection {
            let Some(connection) = self.connections.get(&id) else { return Ok(Vec::new()) };
            let copy = connection.try_clone()?;
            socket::set_nonblocking(&copy, nonblocking)?;
            return Ok(vec![copy]);
        }
        let mut next: BTreeMap<&str, usize> = BTreeMap::new();
        let mut passed = Vec::new();
        for (unit, _) in wanted {
            let at = next.entry(unit).or_default();
            if let Some(held) = self.units.get(unit).and_then(|unit| unit.held.get(*at)) {
                let copy = held.socket.try_clone()?;
                // Whoever had it before may have changed it for all.
                socket::set_nonblocking(&copy, nonblocking)?;
                passed.push(copy);
            }
            *at += 1;
        }
        Ok(passed)
    }
}

impl Incident {
    /// Binds and listens for a socket unit, and tells the manager how it went.
    pub(super) fn listen(&mut self, name: String, socket: &Socket) -> Result<(), Fault> {
        let mut unit = Unit { accept: socket.accept, ..Unit::default() };
        let mut refused = None;
        for listen in &socket.listen {
            match self.open(listen, socket) {
                Ok((fd, place)) => {
                    let taken = |fd: i32| self.sockets.held().any(|(_, held)| held.fd == fd);
                    let number = (FIRST_FD..).find(|fd| !taken(*fd) && !unit.held.iter().any(|held| held.fd == *fd));
                    let (device, number) = (self.next_device, number.unwrap_or(FIRST_FD));
                    self.next_device += 7;
                    let accepts = match (listen.kind.accepts(), &place) {
                        (false, _) => None,
                        (true, Place::Port { .. } | Place::Datagrams) => Some(Family::Internet),
                        (true, Place::Path(_) | Place::Name) => Some(Family::Unix),
                    };
                    unit.held.push(Held { socket: fd, place, accepts, backlog: backlog(socket), fd: number, device });
                }
                Err(Refusal::Fault(fault)) => return Err(fault),
                Err(Refusal::Errno(errno)) => {
                    refused = Some((listen.address.clone(), errno));
                    break;
                }
            }
        }
        let mut links = Vec::new();
        let result = match refused {
            Some((address, errno)) => {
                self.refused(&name, &address, errno);
                Err((address, crate::unit::Errno::new(errno as i32)))
            }
            None => {
                links = self.make_links(socket, &mut unit);
                for (address, port) in unit.held.iter().filter_map(Held::port) {
                    let address = address.to_string();
                    self.event(EventKind::Listening { unit: Some(name.clone()), pid: MANAGER, address, port });
                }
                self.sockets.units.insert(name.clone(), unit);
                Ok(())
            }
        };
        self.inputs.push_back(Input::Listening { unit: name, result, links });
        Ok(())
    }

    fn refused(&mut self, unit: &str, address: &str, errno: Errno) {
        let Ok(at) = address.parse::<SocketAddr>() else { return };
        let port = at.port();
        if errno == Errno::EADDRINUSE && !self.somebody_has(port) {
            self.intruder = Some(port);
        }
        self.event(EventKind::Refused {
            unit: Some(unit.to_owned()),
            pid: MANAGER,
            address: at.ip().to_string(),
            port,
            errno: format!("{errno:?}"),
        });
    }

    /// Whether anybody of the run listens on a port.
    pub(super) fn somebody_has(&self, port: u16) -> bool {
        self.listeners.iter().any(|listener| listener.port == port) || self.sockets.holds_port(port)
    }

    /// Throws away what waits on the sockets of a unit (FlushPending=).
    pub(super) fn flush(&mut self, name: &str) -> Result<(), Fault> {
        for held in self.sockets.units.get(name).into_iter().flat_map(|unit| &unit.held) {
            socket::flush(&held.socket, held.accepts)?;
        }
        Ok(())
    }

    /// Closes the sockets of a unit.
    pub(super) fn close_listen(&mut self, name: &str, remove: bool) {
        let Some(unit) = self.sockets.units.remove(name) else { return };
        let mut sockets = Vec::new();
        for held in unit.held {
            sockets.push(held.socket);
            match held.place {
                Place::Port { address, port, .. } => {
                    self.event(EventKind::Closed { pid: MANAGER, address: address.to_string(), port });
                }
                Place::Path(path) if remove => {
                    // Somebody may have been quicker.
                    let _ = std::fs::remove_file(path);
                }
                Place::Path(_) | Place::Datagrams | Place::Name => {}
            }
        }
        crate::sys::close(sockets);
        for link in unit.links.into_iter().filter(|_| remove) {
            let _ = std::fs::remove_file(link);
        }
        self.tree.expect_connections(self.sockets.any_port_watched());
    }

    /// Watches the sockets of a unit for connections, or no longer.
    pub(super) fn watch(&mut self, unit: &str, on: bool) {
        if let Some(unit) = self.sockets.units.get_mut(unit) {
            unit.watched = on;
            unit.told = false;
        }
        self.tree.expect_connections(self.sockets.any_port_watched());
    }

    /// The machine goes down.
    pub(super) fn close_all(&mut self) {
        let units: Vec<String> = self.sockets.units.keys().cloned().collect();
        for unit in units {
            self.close_listen(&unit, false);
        }
        crate::sys::close(std::mem::take(&mut self.sockets.connections));
    }

    /// Tells the manager of one socket on which connections wait, once nobody runs who might accept or open one. True
    /// if there is more to do.
    ///
    /// As with poll(2), what waits is told for as long as it waits and is watched.
    pub(super) fn traffic(&mut self) -> Result<bool, Fault> {
        if self.reboot_due || self.sockets.watched().next().is_none() {
            return Ok(false);
        }
        if self.clock.is_virtual() && !self.tree.confirm()? {
            return Ok(true);
        }
        let Some((unit, at)) = self.sockets.waiting()? else { return Ok(false) };
        if self.sockets.units.get(&unit).is_some_and(|unit| unit.accept) {
            if let Some((id, ends)) = self.sockets.accept(&unit, at)? {
                let peer = self.peer(id, ends);
                self.input(Input::Accepted { unit, connection: Connection { id, peer } })?;
            }
            return Ok(true);
        }
        let now = self.now();
        let (since, count) = &mut self.sockets.triggers;
        if now.since(*since) >= TRIGGER_WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count > MOST_TRIGGERS {
            let text = format!(
                "{unit} was triggered {MOST_TRIGGERS} times within {TRIGGER_WINDOW}; \
                 give it or its service a limit, or let the service take some time"
            );
            return Err(io::Error::other(text).into());
        }
        if let Some(unit) = self.sockets.units.get_mut(&unit) {
            unit.told = true;
        }
        self.input(Input::Traffic { unit })?;
        Ok(true)
    }

    /// The ends of a connection in incident coordinates.
    ///
    /// The client's port is another one in every run: in the incident it is the next one of the range from which
    /// kernels take them, so that an instance is called the same every time.
    fn peer(&mut self, id: ConnectionId, ends: Ends) -> Option<Peer> {
        match ends {
            Ends::Gone => None,
            Ends::Internet(local, remote) => {
                let local_port = self.layout.mapping.incident_port(local.port());
                let port = FIRST_CLIENT_PORT + u16::try_from(id % CLIENT_PORTS).unwrap_or(0) * 2;
                Some(Peer::Internet {
                    local: SocketAddr::new(local.ip().to_canonical(), local_port),
                    remote: SocketAddr::new(remote.ip().to_canonical(), port),
                })
            }
            Ends::Process(host) => {
                self.number_processes();
                let known = self.tree.sender(host);
                let pid = match known {
                    Some(id) => self.named(id),
                    // It is gone, or none of this run.
                    None => self.pids.name(host),
                };
                let user = known.and_then(|id| self.tree.get(id)).map(|process| self.user(process));
                let uid = if user.is_none_or(|user| user == "root") { 0 } else { FIRST_USER };
                Some(Peer::Process { pid, uid })
            }
        }
    }

    /// The manager's sockets, and the same sockets in the hands of those who were given them.
    pub(super) fn held_sockets(&self) -> Vec<SocketRow> {
        let mut rows = Vec::new();
        let mut known = BTreeMap::new();
        for (_, held) in self.sockets.held() {
            let Some((address, port)) = held.port() else { continue };
            let row = SocketRow {
                pid: MANAGER,
                comm: "systemd".to_owned(),
                user: "root".to_owned(),
                fd: held.fd,
                address: address.to_string(),
                dual: matches!(held.place, Place::Port { dual: true, .. }),
                port,
                backlog: held.backlog,
                device: held.device,
            };
            if let Some(inode) = socket::inode(&held.socket) {
                known.insert(inode, row.clone());
            }
            rows.push(row);
        }
        if known.is_empty() {
            return rows;
        }
        for process in self.tree.alive() {
            let Some(pid) = process.pid else { continue };
            let mut seen = Vec::new();
            for (fd, inode) in process::sockets(process.host) {
                let Some(row) = known.get(&inode) else { continue };
                // A stand-in's own copies have the host's numbers; it says what they are in the incident.
                if process.server && seen.contains(&inode) {
                    continue;
                }
                seen.push(inode);
                let (comm, user) = (self.tree.comm(process), self.user(process));
                rows.push(SocketRow { pid, fd, comm, user, ..row.clone() });
            }
        }
        rows
    }
}

impl Held {
    fn port(&self) -> Option<(IpAddr, u16)> {
        match self.place {
            Place::Port { address, port, .. } => Some((address, port)),
            Place::Path(_) | Place::Datagrams | Place::Name => None,
        }
    }
}
