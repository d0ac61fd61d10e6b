//! From a `Listen…=` line to a socket or FIFO of the host.

use std::fs::Permissions;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use nix::errno::Errno;

use super::{Place, SOMAXCONN, Unit};
use crate::run::Fault;
use crate::run::incident::Incident;
use crate::run::layout::Layout;
use crate::sys::socket::{self, Options};
use crate::unit::{Listen, ListenKind, Socket};

/// Why an address cannot be listened on.
pub(super) enum Refusal {
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

impl Incident {
    /// Makes the links of Symlinks= to the unit's one path; those that cannot be made, and why.
    pub(super) fn make_links(&self, socket: &Socket, unit: &mut Unit) -> Vec<(String, crate::unit::Errno)> {
        let Some(target) = socket.listen.iter().find_map(Listen::node) else { return Vec::new() };
        let target = self.layout.below(target);
        let mut failed = Vec::new();
        for name in &socket.symlinks {
            let link = self.layout.below(name);
            let is_there = || std::fs::read_link(&link).is_ok_and(|known| known == target);
            let make = || std::os::unix::fs::symlink(&target, &link).map_err(|error| errno_of(&error));
            let made = make_parents(&self.layout, name, socket).and_then(|()| match make() {
                Err(Errno::EEXIST) if is_there() => Ok(()),
                // Who removes everything at the end may remove what is in the way, too.
                Err(Errno::EEXIST) if socket.remove_on_stop && std::fs::remove_file(&link).is_ok() => make(),
                other => other,
            });
            match made {
                Ok(()) => {}
                Err(errno) => failed.push((name.clone(), crate::unit::Errno::new(errno as i32))),
            }
            unit.links.push(link);
        }
        failed
    }

    /// Makes the thing that a line asks for, with its directories and modes.
    pub(super) fn open(&self, listen: &Listen, unit: &Socket) -> Result<(OwnedFd, Place), Refusal> {
        let kind = match listen.kind {
            ListenKind::Stream => socket::Kind::Stream,
            ListenKind::Datagram => socket::Kind::Datagram,
            ListenKind::SequentialPacket => socket::Kind::SequentialPacket,
            ListenKind::Fifo => {
                let path = self.layout.below(&listen.address);
                make_parents(&self.layout, &listen.address, unit)?;
                return Ok((socket::fifo(&path, unit.socket_mode.unwrap_or(0o666))?, Place::Path(path)));
            }
            // The kernel's own ends, and what no service of a run can have.
            ListenKind::Netlink | ListenKind::Special | ListenKind::MessageQueue | ListenKind::UsbFunction => {
                return Err(Errno::EOPNOTSUPP.into());
            }
        };
        let options = Options {
            v6_only: unit.bind_ipv6_only,
            reuse_port: unit.reuse_port,
            keep_alive: unit.keep_alive,
            no_delay: unit.no_delay,
            backlog: backlog(unit),
        };
        let address = listen.address.as_str();
        if address.starts_with('/') {
            let path = self.layout.below(address);
            make_parents(&self.layout, address, unit)?;
            let fd = socket::listen_on_path(&path, kind, &options)?;
            // The mask is the whole run's; nobody of the run can look between the two.
            let mode = unit.socket_mode.unwrap_or(0o666) & 0o777;
            let set = std::fs::set_permissions(&path, Permissions::from_mode(mode));
            set.map_err(|error| errno_of(&error))?;
            return Ok((fd, Place::Path(path)));
        }
        if let Some(name) = address.strip_prefix('@') {
            // Such names are the host's. This one is the run's own, which is not to be met by other runs.
            let run = self.layout.directory.file_name().unwrap_or_default().to_string_lossy();
            let own = format!("{run}/{name}");
            return Ok((socket::listen_on_name(own.as_bytes(), kind, &options)?, Place::Name));
        }
        // Another family.
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
        let bind = |address| socket::listen_on_port(SocketAddr::new(address, host), kind, &options);
        let fd = match bind(at.ip()) {
            // A host without IPv6 still has the half of "any address" that is asked for.
            Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if at.ip().is_unspecified() && at.is_ipv6() => {
                bind(Ipv4Addr::UNSPECIFIED.into())?
            }
            other => other?,
        };
        if kind == socket::Kind::Datagram {
            return Ok((fd, Place::Datagrams));
        }
        let dual = at.is_ipv6() && at.ip().is_unspecified() && unit.bind_ipv6_only != Some(true);
        Ok((fd, Place::Port { address: at.ip(), port: at.port(), dual }))
    }
}

fn leased(layout: &Layout, port: u16) -> Option<u16> {
    layout.mapping.ports.iter().find(|(incident, _)| *incident == port).map(|(_, host)| *host)
}

/// How many connections may wait.
pub(super) fn backlog(unit: &Socket) -> u32 {
    unit.backlog.unwrap_or(u32::MAX).min(SOMAXCONN)
}

/// Makes the directories of a path of the incident, with DirectoryMode=.
fn make_parents(layout: &Layout, path: &str, unit: &Socket) -> Result<(), Errno> {
    let mode = unit.directory_mode.unwrap_or(0o755) & 0o7777;
    for (at, _) in path.match_indices('/').skip(1) {
        let directory = layout.below(&path[..at]);
        match std::fs::create_dir(&directory) {
            // The mask does not count.
            Ok(()) => std::fs::set_permissions(&directory, Permissions::from_mode(mode)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| errno_of(&error))?;
    }
    Ok(())
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
