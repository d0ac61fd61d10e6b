//! TCP sockets as the kernel lists them over netlink: sock_diag(7).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recvfrom, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// A set of states: bit `1 << state`, by the numbers of [`state`].
pub type States = u32;

/// States of a TCP socket by the kernel's numbers (net/tcp_states.h), which /proc/net/tcp shows, too.
#[expect(missing_docs, reason = "they are tcp(7)'s")]
pub mod state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
    /// A connection that nobody has a socket for yet; /proc shows it as [`SYN_RECV`].
    pub const NEW_SYN_RECV: u8 = 12;
}

/// `struct inet_diag_msg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// One of [`state`].
    pub state: u8,
    /// This end.
    pub local: SocketAddr,
    /// The port of the other end; 0 where there is none.
    pub peer_port: u16,
    /// Of a connection: bytes that nobody has read. Of a listener: connections that nobody has accepted.
    pub receive_queue: u32,
    /// Of a connection: bytes that the other end has not confirmed, its end counted as one. Of a listener: its backlog.
    pub send_queue: u32,
    /// Whose process made it.
    pub uid: u32,
    /// The number by which /proc names it; 0 once no process has it.
    pub inode: u32,
    /// Whether it leaves IPv4 alone; `None` for an IPv4 socket.
    pub v6_only: Option<bool>,
    /// The inode of the directory of the control group in which it was made; `None` where the kernel does not say.
    pub cgroup: Option<u64>,
}

/// A connection to the kernel.
#[derive(Debug)]
pub struct SockDiag {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// A dump that changed under the kernel's hands is asked for again, so often.
const ATTEMPTS: usize = 4;
/// More sockets than that are not taken in.
pub(super) const MOST: usize = 1 << 18;
/// `struct nlmsghdr` (netlink(7)).
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// `struct inet_diag_msg`.
const MESSAGE: usize = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_MULTI: u16 = 2;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const TCP: u8 = 6;
/// Attributes of an answer that come unasked (linux/inet_diag.h).
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_CGROUP_ID: u16 = 21;

impl SockDiag {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// What the kernel says, for instance that there is no such protocol.
    pub fn open() -> io::Result<SockDiag> {
        let protocol = SockProtocol::NetlinkSockDiag;
        let fd = socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
        // The kernel answers at once; whoever sits in between and does not is not waited for.
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(2))?;
        Ok(SockDiag { fd, sequence: 0, buffer: vec![0; 1 << 16] })
    }

    /// All sockets in one of the states that are wanted, as far as so many are taken in; on one local port, if it is given.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn dump(
        &mut self,
        states: States,
        port: Option<u16>,
        wanted: impl Fn(&Socket) -> bool,
    ) -> io::Result<Vec<Socket>> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            for attempt in 0.. {
                let before = found.len();
                // A dump takes the local port as a filter.
                self.ask(NLM_F_DUMP, family, states, |id| {
                    id.extend_from_slice(&port.unwrap_or(0).to_be_bytes());
                    id.resize(id.len() + 46, 0);
                })?;
                match self.answers(|body| {
                    if found.len() < MOST {
                        let on_port = |socket: &Socket| port.is_none_or(|port| port == socket.local.port());
                        found.extend(parse(body).filter(|socket| on_port(socket) && wanted(socket)));
                    }
                }) {
                    Ok(false) if attempt < ATTEMPTS => found.truncate(before),
                    Ok(_) => break,
                    // A kernel without IPv6.
                    Err(error) if family == AddressFamily::Inet6 && is(&error, Errno::ENOENT) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// The socket of a connection as seen from one end; a socket that listens there if there is no such connection.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn connection(&mut self, local: SocketAddr, peer: SocketAddr) -> io::Result<Option<Socket>> {
        let (source, target) = (local.ip().to_canonical(), peer.ip().to_canonical());
        let family = if source.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        self.ask(0, family, 0, |id| {
            id.extend_from_slice(&local.port().to_be_bytes());
            id.extend_from_slice(&peer.port().to_be_bytes());
            for ip in [source, target] {
                match ip {
                    IpAddr::V4(four) => id.extend_from_slice(&[&four.octets()[..], &[0; 12]].concat()),
                    IpAddr::V6(six) => id.extend_from_slice(&six.octets()),
                }
            }
            id.extend_from_slice(&0u32.to_ne_bytes());
            // INET_DIAG_NOCOOKIE.
            id.extend_from_slice(&[0xff; 8]);
        })?;
        let mut found = None;
        match self.answers(|body| found = parse(body)) {
            Ok(_) => Ok(found),
            Err(error) if is(&error, Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends `struct nlmsghdr`, then `struct inet_diag_req_v2`; `id` writes its `struct inet_diag_sockid`, in which ports
    /// and addresses are in network order.
    fn ask(
        &mut self,
        flags: u16,
        family: AddressFamily,
        states: States,
        id: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut out = Vec::with_capacity(HEADER + REQUEST);
        out.extend_from_slice(&72u32.to_ne_bytes());
        out.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        out.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        out.extend_from_slice(&self.sequence.to_ne_bytes());
        out.extend_from_slice(&0u32.to_ne_bytes());
        // No extensions: what is wanted comes unasked.
        out.extend_from_slice(&[u8::try_from(family as i32).unwrap_or(0), TCP, 0, 0]);
        out.extend_from_slice(&states.to_ne_bytes());
        id(&mut out);
        send(self.fd.as_raw_fd(), &out, MsgFlags::empty())?;
        Ok(())
    }

    /// Reads the answer to the last question to its end; whether it is consistent.
    fn answers(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut consistent = true;
        loop {
            let (count, from) = match recvfrom::<NetlinkAddr>(self.fd.as_raw_fd(), &mut self.buffer) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            // Only the kernel has no PID.
            if from.is_some_and(|from| from.pid() != 0) {
                continue;
            }
            let mut rest = self.buffer.get(..count).unwrap_or_default();
            while let Some((header, body, after)) = message(rest) {
                rest = after;
                if header.sequence != self.sequence {
                    continue;
                }
                consistent &= header.flags & NLM_F_DUMP_INTR == 0;
                match header.kind {
                    NLMSG_DONE => return Ok(consistent),
                    NLMSG_ERROR => {
                        let errno = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                        return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
                    }
                    SOCK_DIAG_BY_FAMILY => {
                        take(body);
                        // The answer about one socket is one message.
                        if header.flags & NLM_F_MULTI == 0 {
                            return Ok(consistent);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// The first message of a datagram, and what follows it.
fn message(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let header = Header { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)? };
    let body = bytes.get(HEADER..length)?;
    let next = length.checked_next_multiple_of(4)?;
    Some((header, body, bytes.get(next..).unwrap_or_default()))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_ne_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk))
}

/// `struct inet_diag_msg` and its attributes.
fn parse(body: &[u8]) -> Option<Socket> {
    let port = |at: usize| Some(u16::from_be_bytes(*body.get(at..)?.first_chunk()?));
    let address = body.get(8..)?.first_chunk::<16>()?;
    let address = match i32::from(*body.first()?) {
        family if family == AddressFamily::Inet as i32 => IpAddr::V4(Ipv4Addr::from(*address.first_chunk::<4>()?)),
        _ => IpAddr::V6(Ipv6Addr::from(*address)),
    };
    let mut socket = Socket {
        state: *body.get(1)?,
        local: SocketAddr::new(address, port(4)?),
        peer_port: port(6)?,
        receive_queue: u32_at(body, 56)?,
        send_queue: u32_at(body, 60)?,
        uid: u32_at(body, 64)?,
        inode: u32_at(body, 68)?,
        v6_only: None,
        cgroup: None,
    };
    let mut rest = body.get(MESSAGE..).unwrap_or_default();
    while let (Some(length), Some(kind)) = (u16_at(rest, 0).map(usize::from), u16_at(rest, 2)) {
        let Some(value) = rest.get(4..length) else { break };
        match kind {
            INET_DIAG_SKV6ONLY => socket.v6_only = value.first().map(|only| *only != 0),
            INET_DIAG_CGROUP_ID => socket.cgroup = value.first_chunk().map(|id| u64::from_ne_bytes(*id)),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(socket)
}
