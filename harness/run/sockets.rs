//! The listening sockets of socket units: real ones, which the run holds in the manager's place.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Fault;
use super::incident::Incident;
use super::layout::Layout;
use crate::control::SocketRow;
use crate::manager::{Input, Pid};
use crate::sys::process;
use crate::sys::socket::{self, Tcp};
use crate::time::{IncidentTime, Span};
use crate::timeline::EventKind;
use crate::unit::Socket;

/// The manager's own PID.
const MANAGER: Pid = 1;
/// The first descriptor that the manager's sockets get; those before it are its own business.
const FIRST_FD: i32 = 36;
/// net.core.somaxconn, above which no backlog goes.
const SOMAXCONN: u32 = 4096;
/// How often sockets may trigger in [`TRIGGER_WINDOW`]; systemd's own limits are 20 and 200 in two seconds.
const MOST_TRIGGERS: u32 = 400;
const TRIGGER_WINDOW: Span = Span::from_secs(5);

/// All sockets that the manager holds, by unit.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    units: BTreeMap<String, Unit>,
    /// How often sockets have triggered, and since when.
    triggers: (IncidentTime, u32),
}

#[derive(Debug, Default)]
struct Unit {
    held: Vec<Held>,
    watched: bool,
    /// The manager was told of traffic and let it be: it will not be told again before something else happens.
    told: bool,
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Held {
    socket: OwnedFd,
    place: Place,
    backlog: u32,
    /// What the manager calls the descriptor.
    fd: i32,
    device: u32,
}

#[derive(Clone, Debug)]
enum Place {
    Port { address: IpAddr, port: u16, dual: bool },
    Path(PathBuf),
}

/// Why an address cannot be listened on.
enum Refusal {
    /// The kernel, or we in its place, say so.
    Errno(Errno),
    /// The run cannot go on.
    Fault(Fault),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Refusal::Errno(errno)
    }
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
    fn watched(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.units
            .iter()
            .filter(|(_, unit)| unit.watched && !unit.told)
            .flat_map(|(name, unit)| unit.held.iter().map(move |held| (name.as_str(), held.socket.as_fd())))
    }

    /// The descriptors of those, to wait for on a wall clock.
    pub(super) fn watched_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.watched().map(|(_, fd)| fd).collect()
    }

    /// Something has happened: the manager may see traffic in another light.
    pub(super) fn disturbed(&mut self) {
        self.units.values_mut().for_each(|unit| unit.told = false);
    }

    /// The first unit on one of whose sockets a connection waits.
    fn waiting(&self) -> io::Result<Option<String>> {
        let (names, fds): (Vec<&str>, Vec<BorrowedFd<'_>>) = self.watched().unzip();
        let ready = socket::readable(&fds)?;
        Ok(names.into_iter().zip(ready).find(|(_, ready)| *ready).map(|(name, _)| name.to_owned()))
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
    pub(super) fn pass(&self, wanted: &[(String, String)], nonblocking: bool) -> io::Result<Vec<OwnedFd>> {
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
        let mut unit = Unit::default();
        let mut refused = None;
        let other = socket.listen_other.iter().map(|(_, address)| (address, true));
        // One that serves each connection by itself hands out connections, which nobody here does.
        let streams = socket.listen_stream.iter().map(|address| (address, socket.accept));
        for (address, unsupported) in streams.chain(other) {
            let opened = match unsupported {
                true => Err(Errno::EOPNOTSUPP.into()),
                false => self.open(address, socket),
            };
            match opened {
                Ok((fd, place, backlog)) => {
                    let taken = |fd: i32| self.sockets.held().any(|(_, held)| held.fd == fd);
                    let number = (FIRST_FD..).find(|fd| !taken(*fd) && !unit.held.iter().any(|held| held.fd == *fd));
                    let (device, number) = (self.next_device, number.unwrap_or(FIRST_FD));
                    self.next_device += 7;
                    unit.held.push(Held { socket: fd, place, backlog, fd: number, device });
                }
                Err(Refusal::Fault(fault)) => return Err(fault),
                Err(Refusal::Errno(errno)) => {
                    refused = Some((address.clone(), errno));
                    break;
                }
            }
        }
        let result = match refused {
            Some((address, errno)) => {
                self.refused(&name, &address, errno);
                Err((address, errno.desc().to_owned()))
            }
            None => {
                for (address, port) in unit.held.iter().filter_map(Held::port) {
                    let address = address.to_string();
                    self.event(EventKind::Listening { unit: Some(name.clone()), pid: MANAGER, address, port });
                }
                self.sockets.units.insert(name.clone(), unit);
                Ok(())
            }
        };
        self.inputs.push_back(Input::Listening { unit: name, result });
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

    fn open(&self, address: &str, unit: &Socket) -> Result<(OwnedFd, Place, u32), Refusal> {
        let backlog = unit.backlog.unwrap_or(u32::MAX).min(SOMAXCONN);
        if address.starts_with('/') {
            let path = self.layout.below(address);
            make_parent(&path)?;
            return Ok((socket::listen_unix(&path, backlog)?, Place::Path(path), backlog));
        }
        // An abstract name, or another family.
        let Ok(at) = address.parse::<SocketAddr>() else { return Err(Errno::EOPNOTSUPP.into()) };
        // Nothing beyond this machine is ever listened on: the machine of the incident has no other address.
        if !at.ip().is_loopback() && !at.ip().is_unspecified() {
            return Err(Errno::EADDRNOTAVAIL.into());
        }
        let Some(host) = leased(&self.layout, at.port()) else {
            let text = format!(
                "a socket unit listens on port {}, for which no port of the host is leased; \
                 name it in `ports` of the scenario's header",
                at.port()
            );
            return Err(Refusal::Fault(io::Error::other(text).into()));
        };
        let tcp = |address| {
            let (v6_only, reuse_port) = (unit.bind_ipv6_only, unit.reuse_port);
            socket::listen_tcp(&Tcp { address: SocketAddr::new(address, host), v6_only, reuse_port, backlog })
        };
        let fd = match tcp(at.ip()) {
            // A host without IPv6 still has the half of "any address" that is asked for.
            Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if at.ip().is_unspecified() && at.is_ipv6() => {
                tcp(Ipv4Addr::UNSPECIFIED.into())?
            }
            other => other?,
        };
        let dual = at.is_ipv6() && at.ip().is_unspecified() && unit.bind_ipv6_only != Some(true);
        Ok((fd, Place::Port { address: at.ip(), port: at.port(), dual }, backlog))
    }

    /// Closes the sockets of a unit.
    pub(super) fn close_listen(&mut self, name: &str, remove: bool) {
        let Some(unit) = self.sockets.units.remove(name) else { return };
        for held in unit.held {
            match held.place {
                Place::Port { address, port, .. } => {
                    self.event(EventKind::Closed { pid: MANAGER, address: address.to_string(), port });
                }
                Place::Path(path) if remove => {
                    // Somebody may have been quicker.
                    let _ = std::fs::remove_file(path);
                }
                Place::Path(_) => {}
            }
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
        let Some(unit) = self.sockets.waiting()? else { return Ok(false) };
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
            Place::Path(_) => None,
        }
    }
}

fn leased(layout: &Layout, port: u16) -> Option<u16> {
    layout.mapping.ports.iter().find(|(incident, _)| *incident == port).map(|(_, host)| *host)
}

fn make_parent(path: &Path) -> Result<(), Errno> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let made = std::fs::create_dir_all(parent);
    made.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}
