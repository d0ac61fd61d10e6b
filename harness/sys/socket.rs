//! Listening sockets: made, looked at, handed to other processes, and taken over from those who made them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrStorage,
    UnixAddr, bind, listen, recvmsg, sendmsg, setsockopt, socket, sockopt,
};
use nix::unistd::{close, dup2_stdin};

/// The most descriptors that one message can carry (unix(7), SCM_MAX_FD).
const MOST: usize = 253;

/// Which kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Connections of bytes.
    Stream,
    /// Messages without connections.
    Datagram,
    /// Connections of messages.
    SequentialPacket,
}

impl Kind {
    const fn socket_type(self) -> SockType {
        match self {
            Kind::Stream => SockType::Stream,
            Kind::Datagram => SockType::Datagram,
            Kind::SequentialPacket => SockType::SeqPacket,
        }
    }
}

/// Families of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// UNIX.
    Unix,
    /// IPv4 and IPv6.
    Internet,
}

/// How to listen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether IPv4 is left alone; `None`: as the host is set up.
    pub v6_only: Option<bool>,
    /// Whether others may listen there, too (SO_REUSEPORT).
    pub reuse_port: bool,
    /// Whether connections are kept alive (SO_KEEPALIVE).
    pub keep_alive: bool,
    /// Whether what is written goes out at once (TCP_NODELAY).
    pub no_delay: bool,
    /// listen(2)'s.
    pub backlog: u32,
}

/// Listens on a port, with SO_REUSEADDR.
///
/// # Errors
///
/// What the kernel says.
pub fn listen_on_port(address: SocketAddr, kind: Kind, options: &Options) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let fd = socket(family, kind.socket_type(), SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if options.reuse_port {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    if let Some(only) = options.v6_only.filter(|_| address.is_ipv6()) {
        setsockopt(&fd, sockopt::Ipv6V6Only, &only)?;
    }
    if kind == Kind::Stream {
        // Whoever is accepted has inherited it.
        setsockopt(&fd, sockopt::KeepAlive, &options.keep_alive)?;
        setsockopt(&fd, sockopt::TcpNoDelay, &options.no_delay)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    if kind != Kind::Datagram {
        listen(&fd, backlog(options.backlog)?)?;
    }
    Ok(fd)
}

/// Listens on a path, in place of whatever was there. Its mode is the process's umask's to say.
///
/// # Errors
///
/// What the kernel says.
pub fn listen_on_path(path: &Path, kind: Kind, options: &Options) -> Result<OwnedFd, Errno> {
    let address = UnixAddr::new(path)?;
    match listen_unix(&address, kind, options) {
        Err(Errno::EADDRINUSE) => {
            nix::unistd::unlink(path)?;
            listen_unix(&address, kind, options)
        }
        other => other,
    }
}

/// Listens on a name that is no path (unix(7), "Abstract sockets").
///
/// # Errors
///
/// What the kernel says.
pub fn listen_on_name(name: &[u8], kind: Kind, options: &Options) -> Result<OwnedFd, Errno> {
    listen_unix(&UnixAddr::new_abstract(name)?, kind, options)
}

fn listen_unix(address: &UnixAddr, kind: Kind, options: &Options) -> Result<OwnedFd, Errno> {
    let fd = socket(AddressFamily::Unix, kind.socket_type(), SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    bind(fd.as_raw_fd(), address)?;
    if kind != Kind::Datagram {
        listen(&fd, backlog(options.backlog)?)?;
    }
    Ok(fd)
}

/// Makes a FIFO, or takes the one that is there if it is of this mode, and opens both of its ends.
///
/// # Errors
///
/// `EEXIST` if something else is there; what the kernel says.
pub fn fifo(path: &Path, mode: u32) -> Result<OwnedFd, Errno> {
    let mode = mode & 0o777;
    let errno = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    match nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(mode)) {
        // The mask is not ours to set.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(errno)?,
        Err(Errno::EEXIST) => {}
        Err(other) => return Err(other),
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path).map_err(errno)?;
    let meta = file.metadata().map_err(errno)?;
    if !meta.file_type().is_fifo() || meta.mode() & 0o777 != mode || meta.uid() != nix::unistd::getuid().as_raw() {
        return Err(Errno::EEXIST);
    }
    Ok(file.into())
}

/// More than the kernel's own limit is that limit.
fn backlog(length: u32) -> Result<Backlog, Errno> {
    Backlog::new(i32::try_from(length).unwrap_or(i32::MAX).min(i32::from(Backlog::MAXCONN)))
}

/// So much is thrown away at once, and so many connections.
const MOST_FLUSHED: usize = 1 << 20;

/// Throws away what waits on a listening socket or a FIFO: connections of a family, or what can be read.
///
/// # Errors
///
/// What accept(2) or read(2) says.
pub fn flush(fd: &OwnedFd, accepts: Option<Family>) -> io::Result<()> {
    set_nonblocking(fd, true)?;
    let mut chunk = [0; 4096];
    for _ in 0..MOST_FLUSHED {
        let more = match accepts {
            Some(family) => accept(fd, family)?.map(super::close).is_some(),
            None => match nix::unistd::read(fd, &mut chunk) {
                Ok(count) => count > 0,
                Err(Errno::EINTR) => true,
                Err(Errno::EAGAIN) => false,
                Err(errno) => return Err(errno.into()),
            },
        };
        if !more {
            break;
        }
    }
    Ok(())
}

/// The next connection that waits on a socket that does not block, `None` if there is none.
///
/// # Errors
///
/// What accept(2) says.
pub fn accept(fd: &OwnedFd, family: Family) -> io::Result<Option<OwnedFd>> {
    let copy = fd.try_clone()?;
    // The type does not matter to accept(2).
    let listener: Box<dyn Fn() -> io::Result<OwnedFd>> = match family {
        Family::Unix => {
            let listener = UnixListener::from(copy);
            Box::new(move || Ok(listener.accept()?.0.into()))
        }
        Family::Internet => {
            let listener = TcpListener::from(copy);
            Box::new(move || Ok(listener.accept()?.0.into()))
        }
    };
    loop {
        match listener() {
            Ok(connection) => return Ok(Some(connection)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            // Whoever it was has gone again (accept(2)).
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The process at the other end of a UNIX connection; `None` if the kernel does not know.
pub fn peer_process(fd: &OwnedFd) -> Option<i32> {
    let peer = nix::sys::socket::getsockopt(fd, sockopt::PeerCredentials).ok()?;
    Some(peer.pid()).filter(|pid| *pid > 0)
}

/// Which of the descriptors have something to read or accept now.
///
/// # Errors
///
/// What poll(2) says.
pub fn readable(fds: &[BorrowedFd<'_>]) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut polled, PollTimeout::ZERO) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) => return Ok(polled.iter().map(|fd| fd.any().unwrap_or(false)).collect()),
        }
    }
}

/// Sets or clears O_NONBLOCK, which all who share the socket share.
///
/// # Errors
///
/// What fcntl(2) says.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, on);
    fcntl(&fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// The number by which /proc names a socket.
pub fn inode(fd: impl AsFd) -> Option<u64> {
    nix::sys::stat::fstat(fd).ok().map(|stat| stat.st_ino)
}

/// Writes bytes to a blocking stream and passes descriptors with them, none later than the last byte.
///
/// # Errors
///
/// What sendmsg(2) says; `InvalidInput` if there are more than 253 descriptors a byte.
pub fn send_with(stream: &UnixStream, mut bytes: &[u8], fds: &[RawFd]) -> io::Result<()> {
    for chunk in fds.chunks(MOST) {
        let Some((first, rest)) = bytes.split_at_checked(1) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more descriptors than a message can carry"));
        };
        let messages = [ControlMessage::ScmRights(chunk)];
        loop {
            match sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(first)], &messages, MsgFlags::MSG_NOSIGNAL, None) {
                Err(Errno::EINTR) => {}
                other => break other.map(drop)?,
            };
        }
        bytes = rest;
    }
    io::Write::write_all(&mut &*stream, bytes)
}

/// As read(2), and takes the descriptors that were passed along. They are numbers only, for whoever hands them on:
/// what is not handed on has to be closed.
///
/// # Errors
///
/// What recvmsg(2) says.
pub fn receive_with(stream: &UnixStream, buffer: &mut [u8], fds: &mut impl Extend<RawFd>) -> io::Result<usize> {
    let mut control = cmsg_space!([RawFd; MOST]);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(passed) = control {
            fds.extend(passed);
        }
    }
    Ok(message.bytes)
}

/// A descriptor that this process was started with, by its number, as one of its own. The number stays open.
///
/// There is no sound way to claim a number that somebody else may own, and this is none: the descriptor is sent to
/// this process itself and arrives as a new one, in the place of standard input, where the standard library has a name
/// for it. Standard input is /dev/null afterwards. For programs with a single thread: another one might open a file
/// in between and find itself in that place.
///
/// # Errors
///
/// `EBADF` if it was not started with it.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    let (from, to) = UnixStream::pair()?;
    send_with(&from, &[0], &[number])?;
    // Opened before, so that it does not get the place.
    let nothing = File::open("/dev/null")?;
    match close(0) {
        Ok(()) | Err(Errno::EBADF) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut arrived = Vec::new();
    let received = receive_with(&to, &mut [0], &mut arrived);
    let own = match (received, arrived.as_slice()) {
        (Ok(_), [0]) => io::stdin().as_fd().try_clone_to_owned(),
        (Ok(_), _) => Err(io::Error::other("the descriptor arrived in another place")),
        (Err(error), _) => Err(error),
    };
    dup2_stdin(&nothing)?;
    own
}
