//! Listening sockets: made, looked at, handed to other processes, and taken over from those who made them.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
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

/// How to listen on a port.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    /// Where.
    pub address: SocketAddr,
    /// Whether IPv4 is left alone; `None`: as the host is set up.
    pub v6_only: Option<bool>,
    /// Whether others may listen there, too (SO_REUSEPORT).
    pub reuse_port: bool,
    /// listen(2)'s.
    pub backlog: u32,
}

/// Listens on a port, with SO_REUSEADDR.
///
/// # Errors
///
/// What the kernel says.
pub fn listen_tcp(tcp: &Tcp) -> Result<OwnedFd, Errno> {
    let family = if tcp.address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if tcp.reuse_port {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    if let Some(only) = tcp.v6_only.filter(|_| tcp.address.is_ipv6()) {
        setsockopt(&fd, sockopt::Ipv6V6Only, &only)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(tcp.address))?;
    listen(&fd, backlog(tcp.backlog)?)?;
    Ok(fd)
}

/// Listens on a path, in place of whatever was there.
///
/// # Errors
///
/// What the kernel says.
pub fn listen_unix(path: &Path, length: u32) -> Result<OwnedFd, Errno> {
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    match bind(fd.as_raw_fd(), &address) {
        Err(Errno::EADDRINUSE) => {
            nix::unistd::unlink(path)?;
            bind(fd.as_raw_fd(), &address)?;
        }
        other => other?,
    }
    listen(&fd, backlog(length)?)?;
    Ok(fd)
}

/// More than the kernel's own limit is that limit.
fn backlog(length: u32) -> Result<Backlog, Errno> {
    Backlog::new(i32::try_from(length).unwrap_or(i32::MAX).min(i32::from(Backlog::MAXCONN)))
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
