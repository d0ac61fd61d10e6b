//! What is wrong on a host: facts in, findings out. Pure; who collects the facts is `cli::diagnose`.
//!
//! Two owners fight over one port, and a service manager restarts the loser for ever. The facts are the sockets that
//! listen and whose they are ([`Listener`]), what systemd says of its units ([`Service`], [`SocketUnit`]) and a
//! [`Digest`] of their journal. [`judge`] finds the fight, and which of the library's variants it is ([`Cause`]).

mod advice;
mod cause;
mod digest;
mod json;
mod judge;
mod limit;
mod place;
mod ports;
mod show;
mod split;
mod text;
mod words;

use core::net::IpAddr;
use std::collections::BTreeMap;

use crate::time::{IncidentTime, Span};

pub use cause::{Cause, Page};
pub use digest::{BindError, Digest, digest};
pub use json::json;
pub use judge::judge;
pub use limit::{Limit, limit};
pub use place::{Manager, Place};
pub use ports::{Wanted, in_command, in_message, perhaps_in_command};
pub use show::{PROPERTIES, Service, SocketUnit, parse_show};
pub use text::text;

/// Everything that was seen of a host in one look.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// When.
    pub now: IncidentTime,
    /// By which user.
    pub asker: u32,
    /// Whether units are those of the user's manager.
    pub user_manager: bool,
    /// The unit that was asked for.
    pub unit: Option<String>,
    /// The port that was asked for.
    pub port: Option<u16>,
    /// Whether units could be seen.
    pub units: Units,
    /// systemd's version, if there is one.
    pub version: Option<u16>,
    /// Sockets that listen.
    pub listeners: Vec<Listener>,
    /// Units that are services.
    pub services: Vec<Service>,
    /// Units that are sockets.
    pub sockets: Vec<SocketUnit>,
    /// What the journal says of services and sockets, by their names.
    pub journals: BTreeMap<String, Digest>,
    /// What could not be seen.
    pub unseen: Vec<Unseen>,
}

/// Whether units could be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Units {
    /// They were.
    #[default]
    Seen,
    /// There are none: systemd does not run here (sd_booted(3)).
    None,
    /// systemd does run here, and did not answer.
    Unseen,
}

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// What, and why.
    pub what: String,
    /// What to do to see it.
    pub remedy: String,
}

/// A TCP socket that listens, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// By which number /proc knows it.
    pub inode: u64,
    /// Whose process made it.
    pub uid: u32,
    /// The user's name, or the number.
    pub user: String,
    /// Whether it leaves IPv4 alone, if that is known.
    pub v6_only: Option<bool>,
    /// Connections that nobody has accepted yet.
    pub waiting: u32,
    /// How many there may be.
    pub backlog: u32,
    /// Where the socket was made.
    pub place: Place,
    /// The processes that have it, parents first; none if they are not ours to see.
    pub holders: Vec<Process>,
    /// Where no holder can be seen: the processes that are in the place where it was made.
    pub neighbours: Vec<Process>,
}

/// What a process does when it is sent SIGTERM, as far as the kernel knows (proc_pid_status(5), `SigIgn`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sigterm {
    /// It ends at once.
    Ends,
    /// It has a handler, or waits for it; what it does then is for the process to say.
    Handles,
    /// It ignores it.
    Ignores,
    /// Not known.
    #[default]
    Unknown,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its PID.
    pub pid: i32,
    /// Its parent, and the parent's, and so on.
    pub ancestors: Vec<i32>,
    /// What its parent runs.
    pub parent: String,
    /// Whose it is.
    pub uid: u32,
    /// The user's name, or the number.
    pub user: String,
    /// The kernel's name of it.
    pub comm: String,
    /// Its command line.
    pub argv: Vec<String>,
    /// Since when it is there.
    pub since: Option<IncidentTime>,
    /// Where it is.
    pub place: Place,
    /// What it does when it is asked to end.
    pub sigterm: Sigterm,
}

impl Process {
    /// Its command line, or its name in brackets where it has none, as `ps` shows it.
    pub fn command(&self) -> String {
        if self.argv.is_empty() { format!("[{}]", self.comm) } else { self.argv.join(" ") }
    }

    /// Whether it is that process or a descendant of it.
    pub fn descends_from(&self, pid: i32) -> bool {
        pid > 0 && (self.pid == pid || self.ancestors.contains(&pid))
    }
}

impl Listener {
    /// The first of its holders, whose parent is none.
    pub fn holder(&self) -> Option<&Process> {
        self.holders.first()
    }

    /// Where its first holder is; if there is none to be seen, where it was made.
    pub fn kept_by(&self) -> &Place {
        self.holder().map_or(&self.place, |holder| &holder.place)
    }

    /// `0.0.0.0:8000`, `[::]:8000`.
    pub fn at(&self) -> String {
        match self.address {
            IpAddr::V4(address) => format!("{address}:{}", self.port),
            IpAddr::V6(address) => format!("[{address}]:{}", self.port),
        }
    }
}

/// What is wrong with one unit or port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The likely cause.
    pub cause: Cause,
    /// Whether something that was written says so, or it is only likely.
    pub certain: bool,
    /// The unit that cannot have what it wants.
    pub unit: Option<String>,
    /// The port that is fought for.
    pub port: Option<u16>,
    /// Those who have it, by their places in [`Facts::listeners`].
    pub holders: Vec<usize>,
    /// One sentence.
    pub headline: String,
    /// How the unit goes round.
    pub pace: Pace,
    /// Whether its own start limit will ever end that.
    pub limit: Option<Limit>,
    /// Why that is the cause, and what is worth knowing beside.
    pub why: Vec<String>,
    /// Pages of the library.
    pub pages: Vec<Page>,
    /// What to do: ways, the best first.
    pub ways: Vec<Way>,
}

/// How a unit goes round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// systemd's `NRestarts`.
    pub n_restarts: u32,
    /// From one start to the next: the shortest, the median, the longest.
    pub period: Option<(Span, Span, Span)>,
    /// From a start to its end.
    pub attempt: Option<Span>,
    /// Whether each wait is longer than the one before.
    pub growing: bool,
    /// The first start of the loop that the journal shows.
    pub first: Option<IncidentTime>,
    /// The last lines of its journal that look like errors.
    pub errors: Vec<String>,
}

/// A way out: commands for a person to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What it comes to.
    pub what: String,
    /// As they are typed.
    pub commands: Vec<String>,
    /// The page that has tried it.
    pub page: Option<Page>,
}

/// The shortest answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Healthy,
    /// Something is.
    Problem,
    /// Nothing was found, and what had to be looked at could not be seen.
    Unknown,
}

impl Verdict {
    /// As machines read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Healthy => "healthy",
            Verdict::Problem => "problem",
            Verdict::Unknown => "unknown",
        }
    }
}

impl Diagnosis {
    /// The shortest answer.
    pub fn verdict(&self, facts: &Facts) -> Verdict {
        match (self.findings.is_empty(), facts.units) {
            (false, _) => Verdict::Problem,
            (true, Units::Unseen) => Verdict::Unknown,
            (true, _) => Verdict::Healthy,
        }
    }
}

/// What it comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is well, in sentences; of what was asked for, or of all.
    pub healthy: Vec<String>,
}
