//! One look at this host's processes and sockets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ask::account;
use crate::diagnose::{Facts, Listener, Place, Process, Sigterm, Unseen};
use crate::sys::listening::{Listening, Source, listening};
use crate::sys::processes::{Owners, Proc, Search, owners, status};
use crate::sys::{cgroup, process};
use crate::time::IncidentTime;

/// SIGTERM's bit in the masks of /proc.
const SIGTERM: u64 = 1 << 14;
/// So many processes of one socket or place are looked at closely.
const MOST: usize = 64;
/// Nobody has that many ancestors.
const GENERATIONS: usize = 64;

/// Names of users, asked for once each.
#[derive(Default)]
pub(super) struct Users(HashMap<u32, String>);

impl Users {
    pub(super) fn name(&mut self, uid: u32) -> String {
        let name = || {
            let found = account(&uid.to_string());
            found.map_or_else(|| uid.to_string(), |(name, _)| name)
        };
        self.0.entry(uid).or_insert_with(name).clone()
    }
}

/// Fills in who listens.
///
/// # Errors
///
/// If neither netlink nor /proc tells.
pub(super) fn listeners(facts: &mut Facts) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the sockets of this host cannot be seen: {error}");
    // A unit that was named may fight for another port than the one that was named.
    let only = facts.port.filter(|_| facts.unit.is_none());
    let (sockets, source) = listening(only).map_err(failed)?;
    if source == Source::Proc {
        facts.unseen.push(unseen(
            "netlink is not permitted here: sockets come from /proc/net, which does not tell whether an IPv6 socket takes IPv4, nor in which unit a socket was made.",
            "",
        ));
    }
    let proc = Proc::open().map_err(|error| format!("/proc cannot be read: {error}"))?;
    let found = owners(&proc, &sockets, Search::All).map_err(|error| format!("/proc cannot be read: {error}"))?;
    let groups: BTreeSet<u64> = sockets.iter().filter_map(|socket| socket.cgroup).collect();
    let directories = cgroup::directories(&groups);
    let mut users = Users::default();
    let mut known: BTreeMap<i32, Option<Process>> = BTreeMap::new();
    for socket in &sockets {
        facts.listeners.push(listener(socket, &found, &directories, &mut users, &mut known));
    }
    what_is_hidden(facts, &found, &proc);
    Ok(())
}

fn unseen(what: impl Into<String>, remedy: &str) -> Unseen {
    Unseen { what: what.into(), remedy: remedy.to_owned() }
}

fn what_is_hidden(facts: &mut Facts, owners: &Owners, proc: &Proc) {
    let without: Vec<String> = facts
        .listeners
        .iter()
        .filter(|listener| listener.holders.is_empty())
        .take(8)
        .map(|listener| format!("{} (of {})", listener.at(), listener.user))
        .collect();
    if !without.is_empty() && owners.hidden > 0 {
        let what = format!(
            "Which process has {}: the descriptors of {} processes are not ours to see.",
            without.join(", "),
            owners.hidden
        );
        facts.unseen.push(unseen(what, "Run it as root, or as that user."));
    } else if !without.is_empty() {
        let what = format!(
            "Which process has {}: none that can be seen from here has it open; it may be in another namespace of PIDs, or hidden.",
            without.join(", ")
        );
        facts.unseen.push(unseen(what, "Run it as root, on the host itself."));
    }
    if !proc.pids().unwrap_or_default().contains(&1) {
        facts.unseen.push(unseen("The processes of other users: /proc hides them (hidepid=).", "Run it as root."));
    }
    if cgroup::mount().is_none() {
        facts.unseen.push(unseen(
            "In which unit a socket was made: control groups of version 2 are not mounted.",
            "Units are told by the processes' own groups.",
        ));
    }
}

fn listener(
    socket: &Listening,
    owners: &Owners,
    directories: &BTreeMap<u64, std::path::PathBuf>,
    users: &mut Users,
    known: &mut BTreeMap<i32, Option<Process>>,
) -> Listener {
    let mut of_pid = |pid: i32, users: &mut Users| known.entry(pid).or_insert_with(|| look(pid, users)).clone();
    let pids = owners.found.range((socket.inode, 0)..=(socket.inode, i32::MAX)).map(|(_, pid)| *pid);
    let mut holders: Vec<Process> = pids.take(MOST).filter_map(|pid| of_pid(pid, users)).collect();
    // Parents first, so that the first one is whom the others come from.
    let all: BTreeSet<i32> = holders.iter().map(|process| process.pid).collect();
    holders.sort_by_key(|one| (one.ancestors.iter().filter(|pid| all.contains(pid)).count(), one.pid));
    let directory = socket.cgroup.and_then(|group| directories.get(&group));
    let place = directory.and_then(|path| cgroup::path_of(path)).map(|path| Place::of_group(&path));
    let neighbours = match directory {
        Some(path) if holders.is_empty() => {
            cgroup::processes(path).into_iter().take(MOST).filter_map(|pid| of_pid(pid, users)).collect()
        }
        _ => Vec::new(),
    };
    Listener {
        address: socket.address,
        port: socket.port,
        inode: socket.inode,
        uid: socket.uid,
        user: users.name(socket.uid),
        v6_only: socket.v6_only,
        waiting: socket.waiting,
        backlog: socket.backlog,
        place: place.unwrap_or_default(),
        holders,
        neighbours,
    }
}

/// Looks at one process; `None` if it is gone.
fn look(pid: i32, users: &mut Users) -> Option<Process> {
    let own = status(pid)?;
    let mut ancestors = Vec::new();
    let mut parent = own.ppid;
    while parent > 0 && ancestors.len() < GENERATIONS {
        ancestors.push(parent);
        parent = status(parent).map_or(0, |status| status.ppid);
    }
    let sigterm = match own {
        _ if own.ignored & SIGTERM != 0 => Sigterm::Ignores,
        // Who blocks it reads it some other way (signalfd(2), sigwait(3)).
        _ if (own.caught | own.blocked) & SIGTERM != 0 => Sigterm::Handles,
        _ => Sigterm::Ends,
    };
    let parents = |pid: &i32| match process::cmdline(*pid) {
        line if line.is_empty() => process::comm(*pid),
        line => line,
    };
    let place = match cgroup::of_process(pid) {
        _ if pid == 1 => Place::Init(None),
        Some(path) => Place::of_group(&path),
        None => Place::Unknown,
    };
    Some(Process {
        pid,
        parent: ancestors.first().map(parents).unwrap_or_default(),
        ancestors,
        uid: own.uid,
        user: users.name(own.uid),
        comm: process::comm(pid),
        argv: process::argv(pid),
        since: process::born(pid).map(IncidentTime::from_micros),
        place,
        sigterm,
    })
}
