//! Whose processes may be looked into: /proc/PID/fd can be read by the process's own user and by root (proc(5)).

use crate::control::{Answer, Query, SocketRow};
use crate::program::link::Link;

/// The listening sockets, and who looks at them.
pub(super) struct Sockets {
    pub(super) rows: Vec<SocketRow>,
    user: String,
}

impl Sockets {
    /// Asks the run; `None` if it has no answer.
    pub(super) fn ask(link: &mut Link) -> Option<Sockets> {
        let Answer::Sockets { user, rows } = link.ask(Query::Sockets) else { return None };
        // The run knows who typed a command; under sudo it is somebody else's.
        let changed = std::env::var("SUDO_USER").is_ok();
        let user = std::env::var("USER").ok().filter(|_| changed).unwrap_or(user);
        Some(Sockets { rows, user })
    }

    /// Whether whoever asks may know which process has the socket.
    pub(super) fn is_open(&self, row: &SocketRow) -> bool {
        matches!(self.user.as_str(), "" | "root") || self.user == row.user
    }
}
