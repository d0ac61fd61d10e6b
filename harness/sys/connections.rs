//! What is on its way between the two ends of TCP connections. On loopback that takes no time, but under load the kernel may
//! put it off: to be sure, one has to ask.

use std::fs;
use std::net::SocketAddr;

use super::sock_diag::{SockDiag, Socket, States, state};

/// What may be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flight {
    /// Connections that are being opened, and data.
    Data,
    /// Connections that are being opened: nobody waits for data.
    Opening,
}

/// Being opened.
const OPENING: &[u8] = &[state::SYN_SENT, state::SYN_RECV, state::NEW_SYN_RECV];
/// With bytes in the queue that the other end has not confirmed, they are on their way.
const OPEN: &[u8] = &[state::ESTABLISHED, state::FIN_WAIT1, state::CLOSE_WAIT, state::LAST_ACK, state::CLOSING];

/// Whether that socket has something on its way.
fn is_flying(what: Flight, state: u8, unconfirmed: bool) -> bool {
    OPENING.contains(&state) || what == Flight::Data && unconfirmed && OPEN.contains(&state)
}

/// Whether anything is on its way at a connection to one of the ports. The kernel goes through a table that is as large as
/// its memory allows, which takes about a millisecond.
pub fn any_flying(what: Flight, ports: &[u16]) -> bool {
    let states = OPENING.iter().chain(OPEN).fold(0, |states: States, state| states | 1 << state);
    let flies = |socket: &Socket| {
        (ports.contains(&socket.local.port()) || ports.contains(&socket.peer_port))
            && is_flying(what, socket.state, socket.send_queue > 0)
    };
    match SockDiag::open().and_then(|mut kernel| kernel.dump(states, None, flies)) {
        Ok(found) => !found.is_empty(),
        // Not permitted, or not there.
        Err(_) => ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|path| {
            let table = fs::read_to_string(path).unwrap_or_default();
            table.lines().skip(1).any(|line| row_is_flying(what, ports, line))
        }),
    }
}

/// A row of /proc/net/tcp or tcp6 (proc_pid_net(5)).
fn row_is_flying(what: Flight, ports: &[u16], line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let port = |field: Option<&str>| u16::from_str_radix(field?.rsplit(':').next()?, 16).ok();
    let ends = [port(fields.next()), port(fields.next())];
    let state = fields.next().and_then(|state| u8::from_str_radix(state, 16).ok());
    let queued = fields.next().and_then(|queues| queues.split(':').next()).unwrap_or_default();
    let unconfirmed = queued.bytes().any(|digit| digit != b'0');
    ends.into_iter().flatten().any(|port| ports.contains(&port))
        && state.is_some_and(|state| is_flying(what, state, unconfirmed))
}

/// Whether the other end of a connection has all that was sent at this one, the end of the connection included; of one that
/// was opened here, also whether it is open there. False where the kernel does not tell.
pub fn has_arrived(kernel: &mut SockDiag, local: SocketAddr, peer: SocketAddr, opening: bool) -> bool {
    let mut is_quiet = |what: Flight, local, peer| {
        // A socket that nobody has any more has nothing under way.
        kernel
            .connection(local, peer)
            .is_ok_and(|found| found.is_none_or(|socket| !is_flying(what, socket.state, socket.send_queue > 0)))
    };
    is_quiet(Flight::Data, local, peer) && (!opening || is_quiet(Flight::Opening, peer, local))
}
