//! Two servers on one port, where nobody is refused: who is answered by whom is chance.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::advice;
use super::cause::Cause;
use super::words::unit;
use super::{Diagnosis, Facts, Finding, Listener, Pace, Place, Process, Way};

/// Adds what it finds of that to a diagnosis.
pub(super) fn split(facts: &Facts, diagnosis: &mut Diagnosis) {
    let mut by_port: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (at, listener) in facts.listeners.iter().enumerate() {
        if facts.port.is_none_or(|port| port == listener.port) {
            by_port.entry(listener.port).or_default().push(at);
        }
    }
    for (port, at) in by_port {
        // A fight that has been found explains who is on its port.
        if diagnosis.findings.iter().any(|finding| finding.port == Some(port) && !finding.holders.is_empty()) {
            continue;
        }
        diagnosis.findings.extend(two(facts, port, &at));
    }
}

/// More owners of one port than that are not compared with each other.
const MOST: usize = 64;

/// The first two that are of two owners.
fn two(facts: &Facts, port: u16, at: &[usize]) -> Option<Finding> {
    let mut owners = BTreeMap::new();
    for at in at {
        let listener = facts.listeners.get(*at)?;
        // An owner's sockets on different addresses are all compared with those of others.
        owners.entry((owner(listener), listener.address)).or_insert((*at, listener));
        if owners.len() == MOST {
            break;
        }
    }
    let all: Vec<(&String, usize, &Listener)> =
        owners.iter().map(|((owner, _), (at, listener))| (owner, *at, *listener)).collect();
    for (nth, (first, one, a)) in all.iter().enumerate() {
        for (second, other, b) in all.iter().skip(nth + 1) {
            if first == second || !is_of_interest(facts, a, b) {
                continue;
            }
            let cause = kind(a, b);
            let mut holders = vec![*one, *other];
            holders.sort_unstable();
            return Some(finding(facts, cause, port, holders, a, b));
        }
    }
    None
}

/// What both parts of a server have in common: a service, or the first process that has the socket.
fn owner(listener: &Listener) -> String {
    match (listener.kept_by(), listener.holder()) {
        (place @ (Place::Service { .. } | Place::Init(_) | Place::Container { .. }), _) => place.in_words(),
        // Workers that have one socket each have one parent, unless that is whoever took over.
        (_, Some(holder)) => match holder.ancestors.first() {
            Some(parent) if *parent > 1 && is_like_its_parent(holder) => format!("children of {parent}"),
            _ => format!("process {}", holder.pid),
        },
        (place, None) => place.in_words(),
    }
}

/// Whether a parent is a server like its child, and no shell.
fn is_like_its_parent(holder: &Process) -> bool {
    holder.argv.first().is_some_and(|program| !program.is_empty() && holder.parent.starts_with(program.as_str()))
}

/// How two sockets come to be on one port.
fn kind(a: &Listener, b: &Listener) -> Cause {
    match (a.address, b.address) {
        (one, other) if one == other => Cause::SharedPort,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Cause::TwoFamilies,
        _ => Cause::TwoAddresses,
    }
}

/// Different programs on different addresses of one port are what a port number is for. One program twice is not, nor
/// are two owners of one address.
fn is_of_interest(facts: &Facts, a: &Listener, b: &Listener) -> bool {
    if let Some(wanted) = &facts.unit {
        let is = |listener: &Listener| matches!(listener.kept_by(), Place::Service { unit, .. } if unit == wanted);
        if !is(a) && !is(b) {
            return false;
        }
    }
    match (a.holder(), b.holder()) {
        (Some(one), Some(other)) => a.address == b.address || is_same_program(one, other),
        _ => a.address == b.address,
    }
}

/// The kernel's name and the first two arguments are the same.
fn is_same_program(a: &Process, b: &Process) -> bool {
    let head = |process: &Process| process.argv.iter().skip(1).take(2).cloned().collect::<Vec<_>>();
    a.comm == b.comm && head(a) == head(b)
}

fn finding(facts: &Facts, cause: Cause, port: u16, holders: Vec<usize>, a: &Listener, b: &Listener) -> Finding {
    let both = format!("{} ({}) and {} ({})", a.at(), advice::who_has(a), b.at(), advice::who_has(b));
    let (what, why) = match cause {
        Cause::SharedPort => {
            ("share", "Both have set SO_REUSEPORT: the kernel hands each of them a part of the connections.")
        }
        Cause::TwoFamilies => ("have", "One has IPv4, the other IPv6: whoever asks for a name may come to either."),
        _ => (
            "have",
            "They listen on different addresses: who is answered by whom depends on the address that was asked.",
        ),
    };
    let sudo = if facts.asker == 0 { "" } else { "sudo " };
    let ways = [a, b].into_iter().filter_map(|listener| {
        let holder = listener.holder()?;
        let command = match &holder.place {
            Place::Service { unit: name, manager: super::Manager::System } => {
                format!("{sudo}systemctl disable --now {}", unit(name)?)
            }
            _ if holder.pid > 1 => format!("{sudo}kill {}", holder.pid),
            _ => return None,
        };
        let what = format!("If {} is the one that is not wanted:", listener.at());
        Some(Way { what, commands: vec![command], page: None })
    });
    Finding {
        cause,
        certain: true,
        unit: None,
        port: Some(port),
        holders,
        headline: format!("Two servers {what} port {port}, and nobody is refused: {both}."),
        pace: Pace::default(),
        limit: None,
        why: vec![
            why.to_owned(),
            "Nothing loops, and nothing is logged; what one has in memory the other does not know.".to_owned(),
        ],
        pages: cause.page().into_iter().collect(),
        ways: ways.collect(),
    }
}
