//! Who listens: the kernel's table of TCP sockets, asked over netlink (sock_diag(7)) or read from /proc/net (proc(5)).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recvfrom, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// A TCP socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// The number by which /proc names it.
    pub inode: u64,
    /// Whose process made it.
    pub uid: u32,
    /// Whether it leaves IPv4 alone; `None` for an IPv4 socket, and where the kernel did not say.
    pub v6_only: Option<bool>,
    /// Connections that nobody has accepted yet.
    pub waiting: u32,
    /// How many of them there may be; 0 where the kernel did not say.
    pub backlog: u32,
    /// The inode of the directory of the control group in which it was made; `None` where the kernel did not say.
    pub cgroup: Option<u64>,
}

/// How the kernel was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Over netlink.
    Netlink,
    /// By /proc/net, because netlink is not permitted here: control groups and IPV6_V6ONLY are not told.
    Proc,
}

/// All TCP sockets that listen, or those on one port, in ascending order of port and address.
///
/// # Errors
///
/// What the system says where neither netlink nor /proc can be asked.
pub fn listening(port: Option<u16>) -> io::Result<(Vec<Listening>, Source)> {
    let (mut found, source) = match over_netlink(port) {
        Ok(found) => (found, Source::Netlink),
        Err(_) => (from_proc(port)?, Source::Proc),
    };
    found.sort_by_key(|socket| (socket.port, socket.address, socket.inode));
    Ok((found, source))
}

/// A dump that changed under the kernel's hands is asked for again, so often.
const ATTEMPTS: usize = 4;
/// More sockets than that are not taken in.
const MOST: usize = 1 << 18;

/// By netlink alone.
///
/// # Errors
///
/// What the kernel says, for instance that there is no such protocol.
pub fn over_netlink(port: Option<u16>) -> io::Result<Vec<Listening>> {
    let protocol = SockProtocol::NetlinkSockDiag;
    let fd = socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
    // The kernel answers at once; whoever sits in between and does not is not waited for.
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(2))?;
    let mut found = Vec::new();
    for (sequence, family) in (1..).zip([AddressFamily::Inet, AddressFamily::Inet6]) {
        let mut attempts = 0;
        loop {
            let before = found.len();
            send(fd.as_raw_fd(), &request(family, port, sequence), MsgFlags::empty())?;
            match dump(&fd, sequence, port, &mut found) {
                Ok(true) => break,
                Ok(false) if attempts < ATTEMPTS => {
                    found.truncate(before);
                    attempts += 1;
                }
                Ok(false) => break,
                // A kernel without IPv6.
                Err(error) if family == AddressFamily::Inet6 && error.raw_os_error() == Some(Errno::ENOENT as i32) => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// `struct nlmsghdr` (netlink(7)).
const HEADER: usize = 16;
/// `struct inet_diag_msg` (sock_diag(7)).
const MESSAGE: usize = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x301;
const NLM_F_DUMP_INTR: u16 = 0x10;
const TCP: u8 = 6;
/// `1 << TCP_LISTEN`.
const LISTEN: u32 = 1 << 10;
/// Attributes of an answer (linux/inet_diag.h).
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_CGROUP_ID: u16 = 21;

/// `struct nlmsghdr`, then `struct inet_diag_req_v2`.
fn request(family: AddressFamily, port: Option<u16>, sequence: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + 56);
    out.extend_from_slice(&72u32.to_ne_bytes());
    out.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    out.extend_from_slice(&0u32.to_ne_bytes());
    // No extensions: what is wanted comes unasked.
    out.extend_from_slice(&[u8::try_from(family as i32).unwrap_or(0), TCP, 0, 0]);
    out.extend_from_slice(&LISTEN.to_ne_bytes());
    // The id: ports and addresses in network order; a dump takes the source port as a filter.
    out.extend_from_slice(&port.unwrap_or(0).to_be_bytes());
    out.resize(HEADER + 56, 0);
    out
}

/// Reads one dump to its end; whether it is consistent.
fn dump(fd: &OwnedFd, sequence: u32, port: Option<u16>, found: &mut Vec<Listening>) -> io::Result<bool> {
    let mut buffer = vec![0; 1 << 16];
    let mut consistent = true;
    loop {
        let (count, from) = match recvfrom::<NetlinkAddr>(fd.as_raw_fd(), &mut buffer) {
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
        let mut rest = buffer.get(..count).unwrap_or_default();
        while let Some((header, body, after)) = message(rest) {
            rest = after;
            if header.sequence != sequence {
                continue;
            }
            consistent &= header.flags & NLM_F_DUMP_INTR == 0;
            match header.kind {
                NLMSG_DONE => return Ok(consistent),
                NLMSG_ERROR => {
                    let errno = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                    return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
                }
                SOCK_DIAG_BY_FAMILY if found.len() < MOST => {
                    found.extend(parse(body).filter(|socket| port.is_none_or(|port| port == socket.port)));
                }
                _ => {}
            }
        }
    }
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
fn parse(body: &[u8]) -> Option<Listening> {
    let port = u16::from_be_bytes(*body.get(4..)?.first_chunk()?);
    let address = body.get(8..)?.first_chunk::<16>()?;
    let address = match i32::from(*body.first()?) {
        family if family == AddressFamily::Inet as i32 => IpAddr::V4(Ipv4Addr::from(*address.first_chunk::<4>()?)),
        _ => IpAddr::V6(Ipv6Addr::from(*address)),
    };
    let mut socket = Listening {
        address,
        port,
        waiting: u32_at(body, 56)?,
        backlog: u32_at(body, 60)?,
        uid: u32_at(body, 64)?,
        inode: u64::from(u32_at(body, 68)?),
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

/// By /proc/net/tcp and tcp6 alone.
///
/// # Errors
///
/// What the system says of the first; the second is not there without IPv6.
pub fn from_proc(port: Option<u16>) -> io::Result<Vec<Listening>> {
    let mut text = fs::read_to_string("/proc/net/tcp")?;
    text.push_str(&fs::read_to_string("/proc/net/tcp6").unwrap_or_default());
    let found = text.lines().filter_map(row).filter(|socket| port.is_none_or(|port| port == socket.port));
    Ok(found.take(MOST).collect())
}

/// A row of /proc/net/tcp or tcp6 (proc_pid_net(5)) if its socket listens.
fn row(line: &str) -> Option<Listening> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    // TCP_LISTEN.
    fields.nth(1).filter(|state| *state == "0A")?;
    let waiting = fields.next()?.split_once(':')?.1;
    let uid = fields.nth(2)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    // Words of 32 bits as they lie in memory.
    let words: Vec<[u8; 4]> = (0..address.len() / 8)
        .map(|at| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    let address = match *words.as_slice() {
        [four] => IpAddr::V4(Ipv4Addr::from(four)),
        [_, _, _, _] => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
        _ => return None,
    };
    Some(Listening {
        address,
        port: u16::from_str_radix(port, 16).ok()?,
        inode,
        uid,
        v6_only: None,
        waiting: u32::from_str_radix(waiting, 16).ok()?,
        backlog: 0,
        cgroup: None,
    })
}
