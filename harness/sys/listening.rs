//! Who listens: the kernel's table of TCP sockets, asked over netlink (sock_diag(7)) or read from /proc/net (proc(5)).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::sock_diag::{MOST, SockDiag, Socket, state};

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

/// By netlink alone.
///
/// # Errors
///
/// What the kernel says, for instance that there is no such protocol.
pub fn over_netlink(port: Option<u16>) -> io::Result<Vec<Listening>> {
    let found = SockDiag::open()?.dump(1 << state::LISTEN, port, |_| true)?;
    let told = |socket: Socket| Listening {
        address: socket.local.ip(),
        port: socket.local.port(),
        waiting: socket.receive_queue,
        backlog: socket.send_queue,
        uid: socket.uid,
        inode: u64::from(socket.inode),
        v6_only: socket.v6_only,
        cgroup: socket.cgroup,
    };
    Ok(found.into_iter().map(told).collect())
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
