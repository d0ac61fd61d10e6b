//! From facts to findings.

use super::advice;
use super::cause::{Cause, Page};
use super::limit::limit;
use super::ports::{Wanted, in_command, perhaps_in_command};
use super::split::split;
use super::words::{about, count};
use super::{Diagnosis, Digest, Facts, Finding, Listener, Manager, Pace, Place, Service, Sigterm, SocketUnit};
use crate::time::{IncidentTime, Span};

/// What a unit is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for its next start.
    Waits,
    /// It has been started again, and has not held for long.
    Tries,
    /// Its start limit has ended it.
    Limited,
    /// It has failed, and is not started again.
    Failed,
    /// systemd sees it run; what runs within does not.
    Inside,
}

/// A unit, and what bears on it.
pub(super) struct Case<'a> {
    pub(super) facts: &'a Facts,
    pub(super) service: &'a Service,
    pub(super) digest: Option<&'a Digest>,
    pub(super) state: State,
    pub(super) port: Option<Wanted>,
    /// Who has the port, by their places in the facts.
    pub(super) holders: Vec<usize>,
    pub(super) certain: bool,
    pub(super) cause: Cause,
    /// The unit that has the port, if one has.
    pub(super) other: Option<String>,
}

/// Finds what is wrong.
pub fn judge(facts: &Facts) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let of_interest = |id: &str| facts.unit.as_deref().is_none_or(|unit| unit == id);
    for service in facts.services.iter().filter(|service| of_interest(&service.id)) {
        match fight(facts, service) {
            Some(case) if is_an_answer(facts, &case) => diagnosis.findings.push(finding(&case)),
            Some(_) => {}
            None => diagnosis.healthy.extend(healthy(facts, service)),
        }
    }
    for socket in facts.sockets.iter().filter(|socket| {
        of_interest(&socket.id) || socket.triggers.iter().any(|service| facts.unit.as_deref() == Some(service))
    }) {
        diagnosis.findings.extend(refused(facts, socket));
    }
    split(facts, &mut diagnosis);
    if let Some(port) = facts.port {
        diagnosis.healthy.splice(0..0, port_in_words(facts, port));
    }
    // What is certain first; where somebody is to be ended before where nobody is.
    diagnosis.findings.sort_by_key(|finding| (!finding.certain, finding.holders.is_empty()));
    diagnosis
}

/// Whether a fight is about what was asked for: a unit that was named, whatever its port; else the port that was.
fn is_an_answer(facts: &Facts, case: &Case<'_>) -> bool {
    facts.unit.is_some() || facts.port.is_none_or(|port| case.port.is_some_and(|wanted| wanted.port == port))
}

/// Who has a port, where nobody fights for it.
fn port_in_words(facts: &Facts, port: u16) -> Vec<String> {
    let mut said: Vec<String> = facts
        .listeners
        .iter()
        .filter(|listener| listener.port == port)
        .map(|listener| match listener.holder() {
            _ if *listener.kept_by() == Place::Init(None) => {
                let unit = facts.sockets.iter().find(|socket| socket.has_port(port));
                let unit = unit.map(|unit| format!(" for {}", unit.id)).unwrap_or_default();
                format!("systemd has {}{unit}, as it should be.", listener.at())
            }
            Some(holder) => format!("Process {} has {}, {}.", holder.pid, listener.at(), holder.place.in_words()),
            None => format!("A process of {} has {}, {}.", listener.user, listener.at(), listener.place.in_words()),
        })
        .collect();
    said.dedup();
    if said.is_empty() {
        said.push(format!("Nobody listens on port {port}."));
    }
    said
}

/// What is well with a service, where it was asked for or has just come out of a loop.
fn healthy(facts: &Facts, service: &Service) -> Option<String> {
    let name = &service.id;
    if facts.unit.as_deref() != Some(name) && service.n_restarts == 0 {
        return None;
    }
    let times = match service.n_restarts {
        0 => "it has not been restarted".to_owned(),
        n => format!("it was restarted {} before, and holds", count(n, "time")),
    };
    let own: Vec<String> =
        facts.listeners.iter().filter(|listener| serves_on(service, listener)).map(Listener::at).collect();
    let has = if own.is_empty() { String::new() } else { format!(" and has {}", own.join(" and ")) };
    Some(match service.active_state.as_str() {
        "active" => {
            let since = service.started.map(|at| format!(" since {}", about(facts.now.since(at)))).unwrap_or_default();
            format!("{name} runs{since}{has}; {times}.")
        }
        "inactive" => format!("{name} does not run, and nothing is about to start it."),
        other => format!("{name} is {other} ({}).", service.sub_state),
    })
}

/// Whether a listener belongs to what the service runs now. One that systemd itself has, too, says nothing of that:
/// each attempt is handed the descriptor, and need not take it.
pub(super) fn serves_on(service: &Service, listener: &Listener) -> bool {
    match listener.holders.as_slice() {
        // Not to be seen: that it was made in the service is all there is.
        [] => service.main_pid > 0 && matches!(&listener.place, Place::Service { unit, .. } if *unit == service.id),
        holders => {
            !holders.iter().any(|holder| matches!(holder.place, Place::Init(_)))
                && holders.iter().any(|holder| holder.descends_from(service.main_pid))
        }
    }
}

fn fight<'a>(facts: &'a Facts, service: &'a Service) -> Option<Case<'a>> {
    let digest = facts.journals.get(&service.id);
    let wanted = wanted(facts, service, digest);
    let serves = facts.listeners.iter().any(|listener| {
        serves_on(service, listener) && (wanted.is_empty() || wanted.iter().any(|one| one.port == listener.port))
    });
    let state = state(facts, service, digest, serves)?;
    let fresh = digest.and_then(|digest| digest.bind_errors.last()).filter(|error| match digest {
        // Not from a run long ago: since the start before the last one.
        Some(digest) => digest.starts.iter().rev().nth(1).is_none_or(|start| error.at >= *start),
        None => false,
    });
    let in_the_way = |wanted: &Wanted| -> Vec<usize> {
        let all = facts.listeners.iter().enumerate();
        all.filter(|(_, one)| wanted.conflicts_with(one) && !serves_on(service, one)).map(|(at, _)| at).collect()
    };
    let found = wanted.iter().map(|one| (*one, in_the_way(one))).find(|(_, holders)| !holders.is_empty());
    let certain = fresh.is_some_and(|error| match (error.wanted, &found) {
        (Some(said), Some((found, _))) => said.port == found.port,
        _ => true,
    });
    let (port, holders) = match found {
        Some((port, holders)) => (Some(port), holders),
        None => (fresh.and_then(|error| error.wanted).or(wanted.first().copied()), Vec::new()),
    };
    let holder = holders.first().and_then(|at| facts.listeners.get(*at));
    let related = holder.map(|listener| relation(facts, service, listener));
    // Its own socket unit is where the port belongs, unless the program is seen to want it for itself.
    let (related, holders) = match related {
        Some((Cause::OwnSocket, _)) if !certain && state == State::Tries => return None,
        Some((Cause::OwnSocket, _)) if !certain => (None, Vec::new()),
        other => (other, holders),
    };
    let already = digest.and_then(|digest| digest.already_running.as_ref());
    let is_file = already.is_some_and(|(at, _)| digest.is_some_and(|digest| is_of_late(digest, *at)));
    let clean = service.restart == "always" && ended_well(service, digest);
    let cause = match (state, &related) {
        (State::Limited, _) => Cause::StartLimit,
        (State::Inside, _) => Cause::LoopInsideTheUnit,
        (_, Some(_)) if clean && !certain => Cause::CleanExit,
        (_, Some((cause, _))) => *cause,
        (_, None) if fresh.is_some() => Cause::PortIsFreeNow,
        (_, None) if is_file => Cause::StalePidFile,
        (_, None) if clean => Cause::CleanExit,
        (_, None) => Cause::NotThePort,
    };
    // A command line that names a port is no reason for a failure that systemd explains otherwise.
    let certain = certain || matches!(cause, Cause::StartLimit | Cause::CleanExit | Cause::StalePidFile);
    let other = related.and_then(|(_, other)| other);
    Some(Case { facts, service, digest, state, port, holders, certain, cause, other })
}

/// Whether something was said in one of the last two runs.
fn is_of_late(digest: &Digest, at: IncidentTime) -> bool {
    digest.starts.iter().rev().nth(1).is_none_or(|start| at >= *start)
}

/// Whether the last run ended with success.
fn ended_well(service: &Service, digest: Option<&Digest>) -> bool {
    match service.exec_main_code {
        1 => service.exec_main_status == 0 && service.result == "success",
        2 | 3 => service.result == "success",
        _ => digest.is_some_and(|digest| match (digest.successes.last(), digest.ends.last()) {
            (Some(success), Some((end, _, _))) => success > end,
            (success, _) => success.is_some(),
        }),
    }
}

/// What a unit is doing, `None` if nothing is wrong with it.
fn state(facts: &Facts, service: &Service, digest: Option<&Digest>, serves: bool) -> Option<State> {
    if service.waits() {
        return Some(State::Waits);
    }
    let asked = facts.unit.as_deref() == Some(service.id.as_str());
    match service.active_state.as_str() {
        "failed" => {
            let said = digest.and_then(|digest| digest.limited);
            let last = digest.and_then(|digest| digest.starts.last());
            let limited = said.is_some_and(|at| last.is_none_or(|last| at >= *last));
            // Without a journal: as many restarts as the limit lets through, and none since.
            let likely = digest.is_none() && service.limit_burst > 0 && service.n_restarts >= service.limit_burst;
            if limited || likely || service.result == "start-limit-hit" {
                return Some(State::Limited);
            }
            let refused = digest.is_some_and(|digest| !digest.bind_errors.is_empty());
            (asked || refused).then_some(State::Failed)
        }
        "active" | "activating" | "deactivating" | "reloading" if !serves => {
            if is_inside(service, digest) {
                return Some(State::Inside);
            }
            let runs = service.started.map_or(Span::ZERO, |started| facts.now.since(started));
            let (enough, patience) = match digest.and_then(Digest::period) {
                // The longest one may be a night in which somebody had stopped it.
                // A busy machine makes one attempt longer than the others.
                Some((_, median, _)) => (1, median.saturating_mul(2).saturating_add(Span::from_secs(5))),
                None => (2, service.restart_delay.saturating_mul(2).saturating_add(Span::from_secs(30))),
            };
            (service.n_restarts >= enough && runs < patience && service.active_state != "inactive")
                .then_some(State::Tries)
        }
        _ => None,
    }
}

/// Whether processes that are not the main one were refused a port, again and again, while that one lived.
fn is_inside(service: &Service, digest: Option<&Digest>) -> bool {
    let (Some(digest), Some(started)) = (digest, service.started) else { return false };
    // systemd was asked before its journal: the main process may have ended, and others have come, in between.
    let ended = digest.ends.iter().map(|(at, _, _)| *at).chain(digest.restarts.iter().map(|(at, _)| *at));
    if ended.max().is_some_and(|at| at >= started) {
        return false;
    }
    let errors = digest.bind_errors.iter().filter(|error| error.at >= started && error.pid != service.main_pid);
    let mut pids: Vec<i32> = errors.map(|error| error.pid).filter(|pid| *pid > 0).collect();
    pids.sort_unstable();
    pids.dedup();
    service.main_pid > 0 && pids.len() >= 2
}

/// The ports that a service wants, the surest first.
fn wanted(facts: &Facts, service: &Service, digest: Option<&Digest>) -> Vec<Wanted> {
    let said = digest.into_iter().flat_map(|digest| digest.bind_errors.iter().rev().filter_map(|error| error.wanted));
    let own = facts.sockets.iter().filter(|socket| belongs(service, socket)).flat_map(SocketUnit::ports);
    let own = own.map(|port| Wanted { port, address: None });
    let commands = service.exec_start.iter().flat_map(|words| in_command(words));
    let seen = digest.into_iter().flat_map(|digest| digest.ports.iter().copied());
    // A bare number is believed only where somebody listens on it.
    let taken = |one: &Wanted| facts.listeners.iter().any(|listener| listener.port == one.port);
    let perhaps = service.exec_start.iter().flat_map(|words| perhaps_in_command(words)).filter(taken);
    let mut found: Vec<Wanted> = Vec::new();
    for one in said.chain(own).chain(commands).chain(seen).chain(perhaps) {
        match found.iter_mut().find(|known| known.port == one.port) {
            Some(known) => known.address = known.address.or(one.address),
            None => found.push(one),
        }
    }
    if let Some(asked) = facts.port {
        let refused = digest.is_some_and(|digest| digest.bind_errors.iter().any(|error| error.wanted.is_none()));
        if found.is_empty() && refused {
            found.push(Wanted { port: asked, address: None });
        }
        found.sort_by_key(|one| one.port != asked);
    }
    found
}

/// Whether a socket unit is one of the service's.
fn belongs(service: &Service, socket: &SocketUnit) -> bool {
    socket.triggers.contains(&service.id) || service.sockets.contains(&socket.id)
}

/// Who has the port, in relation to the service; and the unit that has it, if one has.
fn relation(facts: &Facts, service: &Service, listener: &Listener) -> (Cause, Option<String>) {
    let place = listener.kept_by();
    let user = facts.user_manager.then_some(facts.asker);
    let is_docker = listener.holder().is_some_and(|holder| holder.comm.starts_with("docker-pr"));
    if is_docker {
        return (Cause::Container, None);
    }
    if place.is_service(&service.id, user) {
        return (Cause::LeftOverChild, None);
    }
    match place {
        Place::Init(None) => match facts.sockets.iter().find(|socket| socket.has_port(listener.port)) {
            Some(socket) if belongs(service, socket) => (Cause::OwnSocket, Some(socket.id.clone())),
            socket => (Cause::OtherSocket, socket.map(|socket| socket.id.clone())),
        },
        Place::Init(Some(uid)) | Place::UserManager(uid) => (Cause::UserUnit, Some(format!("user@{uid}.service"))),
        Place::Service { unit, manager } => match (place.supervisor(), manager, user) {
            (None, _, _) => (Cause::ManualProcess, None),
            (_, Manager::System, None) => (Cause::OtherUnit, Some(unit.clone())),
            (_, Manager::User(uid), Some(own)) if *uid == own => (Cause::OtherUnit, Some(unit.clone())),
            _ => (Cause::UserUnit, Some(unit.clone())),
        },
        Place::Unknown => (Cause::UnseenHolder, None),
        Place::Container { .. } => (Cause::Container, None),
        Place::Session { .. } | Place::Scope { .. } | Place::Group(_) => (Cause::ManualProcess, None),
    }
}

fn finding(case: &Case<'_>) -> Finding {
    let (service, digest) = (case.service, case.digest);
    let pace = Pace {
        n_restarts: service.n_restarts,
        period: digest.and_then(Digest::period),
        attempt: digest.and_then(Digest::attempt),
        growing: digest.is_some_and(Digest::is_growing) || service.restart_steps > 0,
        first: digest.and_then(Digest::first),
        errors: digest.map(Digest::errors).unwrap_or_default(),
    };
    let goes_round = matches!(case.state, State::Waits | State::Tries);
    let limit = goes_round.then(|| limit(service, digest, case.facts.version));
    let (why, pages) = advice::why(case, &pace);
    Finding {
        cause: case.cause,
        certain: case.certain,
        unit: Some(service.id.clone()),
        port: case.port.map(|wanted| wanted.port),
        holders: case.holders.clone(),
        headline: advice::headline(case, &pace),
        ways: advice::ways(case, &pace),
        pace,
        limit,
        why,
        pages,
    }
}

/// A socket unit that could not have its port.
fn refused(facts: &Facts, socket: &SocketUnit) -> Option<Finding> {
    let said = facts.journals.get(&socket.id).and_then(|digest| digest.bind_errors.last());
    let port = said.and_then(|error| error.wanted).map(|wanted| wanted.port).or_else(|| socket.ports().next())?;
    if socket.active_state != "failed" || (said.is_none() && socket.result != "resources") {
        return None;
    }
    if facts.port.is_some_and(|asked| asked != port) {
        return None;
    }
    let holders: Vec<usize> =
        (0..facts.listeners.len()).filter(|at| facts.listeners.get(*at).is_some_and(|l| l.port == port)).collect();
    let who = holders.first().and_then(|at| facts.listeners.get(*at));
    let (headline, mut why) = match who {
        Some(listener) => (
            format!("{} could not have port {port}, {}; nobody tries again.", socket.id, advice::who_has(listener)),
            vec!["A socket unit is not restarted: Restart= is about processes, and there was none.".to_owned()],
        ),
        None => (
            format!("{} could not have port {port} when it was started; it is free now.", socket.id),
            vec!["Whoever had the port is gone. A socket unit is not restarted by itself.".to_owned()],
        ),
    };
    why.extend(said.map(|error| format!("Its journal: {}", error.message)));
    Some(Finding {
        cause: Cause::SocketRefused,
        certain: said.is_some(),
        unit: Some(socket.id.clone()),
        port: Some(port),
        headline,
        pace: Pace::default(),
        limit: None,
        why,
        pages: Cause::SocketRefused.page().into_iter().collect(),
        ways: advice::socket_ways(facts, socket, who),
        holders,
    })
}

/// A page beside the cause's own, where the holder or the unit has a peculiarity that has one.
pub(super) fn peculiarities(case: &Case<'_>, pace: &Pace) -> Vec<(String, Page)> {
    let mut found = Vec::new();
    let listener = case.holders.first().and_then(|at| case.facts.listeners.get(*at));
    if let Some(listener) = listener {
        let wildcard = listener.address.is_unspecified();
        if listener.holder().is_some_and(|holder| holder.sigterm == Sigterm::Ignores) {
            let text = "The holder ignores SIGTERM: only kill -9 ends it.".to_owned();
            found.push((text, Page("variants/a-holder-that-ignores-sigterm.md")));
        }
        let wants = case.port.and_then(|wanted| wanted.address);
        if listener.address.is_ipv6() && wildcard && listener.v6_only == Some(false) {
            let text =
                "The holder's socket is IPv6 and takes IPv4 as well: `lsof -i4` and `ss -4` do not show it.".to_owned();
            found.push((text, Page("variants/a-holder-on-both-families.md")));
        } else if listener.address.is_loopback() && wants.is_some_and(|wants| wants.is_unspecified()) {
            let text =
                "The holder listens on the loopback address only; the unit wants every address, which includes it.";
            found.push((text.to_owned(), Page("variants/a-holder-on-the-loopback-address.md")));
        } else if wildcard && wants.is_some_and(|wants| wants.is_loopback()) {
            let text = "The unit wants the loopback address only; the holder has every address, which includes it.";
            found.push((text.to_owned(), Page("variants/a-service-on-the-loopback-address.md")));
        }
        let since = listener.holder().and_then(|holder| holder.since);
        if case.cause == Cause::ManualProcess
            && let (Some(since), Some(started)) = (since, pace.first)
            && since > started
        {
            let text = "The holder was started after the loop began, in a gap in which the unit waited.".to_owned();
            found.push((text, Page("variants/a-manual-start-in-the-restart-gap.md")));
        }
    }
    if pace.growing {
        let text = "Each wait is longer than the one before (RestartSteps=): it becomes slower, and does not stop.";
        found.push((text.to_owned(), Page("variants/a-growing-delay.md")));
    } else if let Some(attempt) = pace.attempt
        && matches!(case.state, State::Waits | State::Tries)
        && case.service.restart_delay < attempt
    {
        let text = format!(
            "RestartSec= ({}) is shorter than a start-up ({}): the machine does little else.",
            about(case.service.restart_delay),
            about(attempt)
        );
        found.push((text, Page("variants/a-restart-delay-shorter-than-the-start-up.md")));
    }
    if case.service.need_daemon_reload {
        let text =
            "Its file has changed since systemd read it: what the file says does not hold before a daemon-reload.";
        found.push((text.to_owned(), Page("traps/a-drop-in-without-daemon-reload.md")));
    }
    found
}
