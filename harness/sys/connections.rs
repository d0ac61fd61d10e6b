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

/// Whoever is at the other end has closed the connection, and all that it sent before that is here.
const HEARD_ALL: &[u8] = &[state::CLOSE_WAIT, state::LAST_ACK, state::CLOSING, state::TIME_WAIT, state::CLOSE];

/// Whether that socket has something on its way.
fn is_flying(what: Flight, state: u8, unconfirmed: bool) -> bool {
    OPENING.contains(&state) || what == Flight::Data && unconfirmed && OPEN.contains(&state)
}

/// Whether that socket has something on its way, as far as the state of the other end tells: who has nothing to send takes its time,
/// up to 40 ms, to confirm that it has heard all.
fn flies(what: Flight, socket: &Socket, other: Option<u8>) -> bool {
    let has_arrived = socket.state == state::FIN_WAIT1 && other.is_some_and(|other| HEARD_ALL.contains(&other));
    is_flying(what, socket.state, socket.send_queue > 0) && !has_arrived
}

/// Whether anything is on its way at a connection to one of the ports. The kernel goes through a table that is as large as
/// its memory allows, which takes about a millisecond.
pub fn any_flying(what: Flight, ports: &[u16]) -> bool {
    let states = OPENING.iter().chain(OPEN).fold(0, |states: States, state| states | 1 << state);
    let ours = |socket: &Socket| ports.contains(&socket.local.port()) || ports.contains(&socket.peer_port);
    match SockDiag::open().and_then(|mut kernel| kernel.dump(states, None, ours)) {
        Ok(found) => {
            let other = |socket: &Socket| {
                let end =
                    |other: &&Socket| other.local.port() == socket.peer_port && other.peer_port == socket.local.port();
                found.iter().find(end).map(|other| other.state)
            };
            found.iter().any(|socket| flies(what, socket, other(socket)))
        }
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
    // A socket that nobody has any more has nothing under way.
    let Ok(ours) = kernel.connection(local, peer) else { return false };
    let mut theirs = None;
    if opening || ours.is_some_and(|socket| socket.state == state::FIN_WAIT1) {
        let Ok(found) = kernel.connection(peer, local) else { return false };
        // Where nobody has that end any more, who listens there is found.
        theirs = found.filter(|socket| socket.state != state::LISTEN);
    }
    let other = theirs.map_or(state::CLOSE, |socket| socket.state);
    !ours.is_some_and(|socket| flies(Flight::Data, &socket, Some(other)))
        && !theirs.is_some_and(|socket| flies(Flight::Opening, &socket, None))
}
