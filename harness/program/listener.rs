//! What a stand-in server serves on: a port of its own, or a socket that it was started with.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, getsockname};

use crate::control::Mapping;
use crate::sys::socket::{self, Kind, Options};

const BACKLOG: u32 = 2048;
/// The descriptor that the real server's first listening socket gets; the stand-in's own number is the host's affair.
const LISTENER: i32 = 7;
/// The one that the real server's copy of an inherited socket gets.
const COPY: i32 = 8;

/// Where a server is to serve.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// On a port.
    Port {
        /// As asked for.
        host: String,
        /// The incident's.
        port: u16,
        /// Whether others may have it, too.
        shared: bool,
        /// Whether an IPv6 address leaves IPv4 alone.
        v6_only: bool,
    },
    /// On a socket that it was started with.
    Inherited(i32),
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection.
#[derive(Debug)]
pub(super) enum Stream {
    /// With its two ends, which the socket itself forgets when it is cut off.
    Tcp(TcpStream, SocketAddr, SocketAddr),
    Unix(UnixStream),
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    /// As the server says where it runs.
    pub(super) shown: String,
    /// The address and the incident's port, if it is on one.
    pub(super) port: Option<(String, u16)>,
    pub(super) backlog: u32,
    /// The number of the descriptor in the incident.
    pub(super) fd: i32,
    /// Whether IPv4 arrives at its IPv6 address, too.
    pub(super) dual: bool,
}

impl Listener {
    pub(super) fn open(place: &Place, mapping: &Mapping) -> Result<Listener, Errno> {
        match place {
            Place::Port { host, port, shared, v6_only } => Ok(Listener {
                socket: Socket::Tcp(bind(host, mapping.host_port(*port), *shared, *v6_only)?),
                shown: if host.contains(':') {
                    format!("http://[{host}]:{port}")
                } else {
                    format!("http://{host}:{port}")
                },
                port: Some((host.clone(), *port)),
                backlog: BACKLOG,
                fd: LISTENER,
                dual: host == "::" && !v6_only,
            }),
            Place::Inherited(number) => Self::inherit(*number, mapping),
        }
    }

    /// The socket of the parent, which is in the place of standard input.
    pub(super) fn of_parent(place: &Place, mapping: &Mapping) -> Result<Listener, Errno> {
        let listener = Self::inherit(0, mapping)?;
        Ok(match place {
            Place::Port { host, port, v6_only, .. } => {
                Listener { port: Some((host.clone(), *port)), fd: LISTENER, dual: host == "::" && !v6_only, ..listener }
            }
            Place::Inherited(_) => listener,
        })
    }

    /// The socket once more, as standard input of a child.
    pub(super) fn for_child(&self) -> io::Result<Stdio> {
        Ok(self.as_fd().try_clone_to_owned()?.into())
    }

    fn inherit(number: i32, mapping: &Mapping) -> Result<Listener, Errno> {
        let errno = |error: io::Error| error.raw_os_error().map_or(Errno::EBADF, Errno::from_raw);
        let fd = socket::inherited(number).map_err(errno)?;
        let name = getsockname::<SockaddrStorage>(fd.as_raw_fd())?;
        let ip = match (name.as_sockaddr_in(), name.as_sockaddr_in6()) {
            (Some(four), _) => Some(SocketAddr::from(std::net::SocketAddrV4::from(*four))),
            (None, Some(six)) => Some(SocketAddr::from(std::net::SocketAddrV6::from(*six))),
            (None, None) => None,
        };
        let path = || name.as_unix_addr().and_then(|unix| Some(unix.path()?.to_string_lossy().into_owned()));
        // As Python shows the address of a socket.
        let (socket, shown, port) = match ip {
            Some(address) => {
                let (ip, port) = (address.ip(), mapping.incident_port(address.port()));
                let more = if ip.is_ipv6() { ", 0, 0" } else { "" };
                let shown = format!("('{ip}', {port}{more})");
                (Socket::Tcp(TcpListener::from(fd)), shown, Some((ip.to_string(), port)))
            }
            None => {
                let path = path().unwrap_or_default();
                (Socket::Unix(UnixListener::from(fd)), mapping.to_incident(&path), None)
            }
        };
        Ok(Listener { socket, shown: format!("socket {shown}"), port, backlog: BACKLOG, fd: COPY, dual: false })
    }

    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(listener) => listener.set_nonblocking(true),
            Socket::Unix(listener) => listener.set_nonblocking(true),
        }
    }

    /// The next connection that waits, set not to block.
    pub(super) fn accept(&self) -> io::Result<Stream> {
        let stream = match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                let local = stream.local_addr()?;
                Stream::Tcp(stream, local, peer)
            }
            Socket::Unix(listener) => Stream::Unix(listener.accept()?.0),
        };
        stream.set_nonblocking()?;
        Ok(stream)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Stream {
    /// Of a connection between machines: here and there.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Stream::Tcp(_, local, peer) => Some((*local, *peer)),
            Stream::Unix(_) => None,
        }
    }

    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream, ..) => stream.set_nonblocking(true),
            Stream::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream, ..) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream, ..) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream, ..) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream, ..) => stream.flush(),
            Stream::Unix(stream) => stream.flush(),
        }
    }
}

/// socket, SO_REUSEADDR, bind, listen: what asyncio does, IPV6_V6ONLY included unless it is told otherwise.
fn bind(host: &str, port: u16, reuse_port: bool, v6_only: bool) -> Result<TcpListener, Errno> {
    let ip: IpAddr = match host {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        "" => Ipv4Addr::UNSPECIFIED.into(),
        text => text.parse().map_err(|_| Errno::EADDRNOTAVAIL)?,
    };
    let address = SocketAddr::new(ip, port);
    let options = Options { v6_only: Some(v6_only), reuse_port, backlog: BACKLOG, ..Options::default() };
    let fd = socket::listen_on_port(address, Kind::Stream, &options)?;
    Ok(TcpListener::from(fd))
}
