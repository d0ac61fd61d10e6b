//! What is said of a finding, and what to do about it. Commands are for a person to run; nothing here runs them.

use super::cause::{Cause, Page};
use super::judge::{Case, State, peculiarities};
use super::words::{about, count, quoted, unit};
use super::{Facts, Listener, Pace, Place, Sigterm, SocketUnit, Way};
use crate::time::Span;

/// `process 42 in a login session (session-3.scope of user 1000) has it`.
pub(super) fn who_has(listener: &Listener) -> String {
    match listener.holder() {
        _ if *listener.kept_by() == Place::Init(None) => "systemd has it".to_owned(),
        Some(holder) => format!("process {} {} has it", holder.pid, holder.place.in_words()),
        None => format!("a process of {} {} has it", listener.user, listener.place.in_words()),
    }
}

impl Case<'_> {
    fn listener(&self) -> Option<&Listener> {
        self.holders.first().and_then(|at| self.facts.listeners.get(*at))
    }

    fn systemctl(&self, verb: &str, name: &str) -> Vec<String> {
        systemctl(self.facts, verb, name)
    }

    /// `kill PID` of everybody in the way that can be seen.
    fn kills(&self) -> Vec<String> {
        let listeners = self.holders.iter().filter_map(|at| self.facts.listeners.get(*at));
        let mut said: Vec<String> = listeners.filter_map(|listener| kill(self.facts, listener)).collect();
        said.dedup();
        said
    }

    /// What nobody is served for at most, once the port is free: the rest of the wait, and a start-up.
    fn gap(&self, pace: &Pace) -> String {
        let delay = match self.service.restart_max_delay.filter(|_| self.service.restart_steps > 0) {
            Some(longest) => longest,
            None => self.service.restart_delay,
        };
        // systemd's timers are exact to a quarter of a second.
        let most = delay.saturating_add(pace.attempt.unwrap_or_default()).saturating_add(Span::from_millis(250));
        about(most)
    }
}

fn systemctl(facts: &Facts, verb: &str, name: &str) -> Vec<String> {
    let prefix = match (facts.user_manager, facts.asker) {
        (true, _) => "systemctl --user",
        (false, 0) => "systemctl",
        (false, _) => "sudo systemctl",
    };
    unit(name).map(|name| format!("{prefix} {verb} {name}")).into_iter().collect()
}

/// The command that ends who has a socket.
fn kill(facts: &Facts, listener: &Listener) -> Option<String> {
    let holder = listener.holder().filter(|holder| holder.pid > 1)?;
    let sudo = if facts.asker == 0 || facts.asker == holder.uid { "" } else { "sudo " };
    let signal = if holder.sigterm == Sigterm::Ignores { "-9 " } else { "" };
    Some(format!("{sudo}kill {signal}{}", holder.pid))
}

/// The first sentence of it.
pub(super) fn headline(case: &Case<'_>, pace: &Pace) -> String {
    let name = &case.service.id;
    let port = case.port.map(|wanted| format!("port {}", wanted.port)).unwrap_or_else(|| "its port".to_owned());
    let likely = if case.certain { "" } else { " (likely)" };
    let restarts = match (pace.n_restarts, pace.period) {
        (0, _) => String::new(),
        (n, Some((_, median, _))) => format!("; {} so far, one every {}", count(n, "restart"), about(median)),
        (n, None) => format!("; {} so far", count(n, "restart")),
    };
    let cannot = match case.state {
        State::Failed => format!("{name} has failed because it could not have {port}{likely}"),
        _ => format!("{name} cannot have {port}{likely}"),
    };
    let who = case.listener().map(who_has).unwrap_or_default();
    let by_hand = || match case.listener().and_then(Listener::holder) {
        Some(holder) => format!("process {}, started by hand, has it", holder.pid),
        None => who.clone(),
    };
    let of = |unit: &Option<String>| unit.clone().unwrap_or_else(|| "another unit".to_owned());
    match case.cause {
        Cause::ManualProcess => format!("{cannot}: {}{restarts}.", by_hand()),
        Cause::OtherUnit => format!("{cannot}: another unit, {}, has it{restarts}.", of(&case.other)),
        Cause::UserUnit => format!("{cannot}: {} of another manager has it{restarts}.", of(&case.other)),
        Cause::Container | Cause::UnseenHolder => format!("{cannot}: {who}{restarts}."),
        Cause::LeftOverChild => format!("{cannot}: a process left over from a run of its own has it{restarts}."),
        Cause::OwnSocket => {
            format!(
                "{cannot}: its own {} has it, and the program does not take it from there{restarts}.",
                of(&case.other)
            )
        }
        Cause::OtherSocket => format!("{cannot}: systemd has it for {}{restarts}.", of(&case.other)),
        Cause::StalePidFile => format!("{name} does not start because a file says that it runs already{restarts}."),
        Cause::PortIsFreeNow => format!("{name} could not have {port} when it last tried; it is free now{restarts}."),
        Cause::CleanExit => format!("{name} ends with success and is restarted all the same{restarts}."),
        Cause::LoopInsideTheUnit => {
            format!(
                "{name} restarts its server itself, again and again: {port} is taken, and systemd sees nothing of it."
            )
        }
        Cause::StartLimit => match case.listener() {
            Some(_) => format!("{name} was given up by its start limit; {port} is still taken: {who}."),
            None => format!("{name} was given up by its start limit, and stays down until somebody starts it."),
        },
        Cause::NotThePort if case.state == State::Failed => {
            format!("{name} has failed ({}), and nothing starts it again.", ended(case))
        }
        Cause::NotThePort => {
            format!("{name} is restarted again and again, not because of a port: {}{restarts}.", ended(case))
        }
        // These are not about one service.
        Cause::SocketRefused | Cause::SharedPort | Cause::TwoFamilies | Cause::TwoAddresses => cannot,
    }
}

/// How its main process ended.
fn ended(case: &Case<'_>) -> String {
    let service = case.service;
    let last = case.digest.and_then(|digest| digest.ends.last());
    let signal = |number: i32| crate::timeline::signal_name(number);
    let how = match (service.exec_main_code, last) {
        (1, _) => format!("it exits with {}", service.exec_main_status),
        (2, _) => format!("it is killed by {}", signal(service.exec_main_status)),
        (3, _) => format!("it is killed by {} and dumps core", signal(service.exec_main_status)),
        (_, Some((_, how, status))) if how == "exited" => format!("it exits with {status}"),
        (_, Some((_, _, status))) => format!("it is killed by {status}"),
        _ => "it ends".to_owned(),
    };
    match service.result.as_str() {
        "success" | "exit-code" | "signal" | "core-dump" | "" => how,
        other => format!("{how}, Result={other}"),
    }
}

/// Why that is the cause; and the pages.
pub(super) fn why(case: &Case<'_>, pace: &Pace) -> (Vec<String>, Vec<Page>) {
    let (mut said, mut pages) = (Vec::new(), Vec::new());
    pages.extend(case.cause.page());
    let service = case.service;
    match (&case.listener(), case.certain, case.port) {
        (_, true, Some(wanted))
            if !matches!(case.cause, Cause::StartLimit | Cause::CleanExit | Cause::StalePidFile) =>
        {
            said.push(format!("The unit's own journal says that port {} was in use when it tried.", wanted.port));
        }
        (Some(_), false, Some(wanted)) => {
            said.push(format!(
                "Its command line names port {}; its journal shows no bind error, so this is likely, not certain.",
                wanted.port
            ));
        }
        _ => {}
    }
    said.extend(match case.cause {
        Cause::OtherUnit => Some("Whoever is killed there is started again: the unit has to be stopped, not its process."),
        Cause::UserUnit => Some("`systemctl status` of this manager knows nothing of it, and a killed process comes back."),
        Cause::LeftOverChild if service.kill_mode == "process" || service.kill_mode == "none" => {
            Some("KillMode= lets systemd end the main process only: children live on, with the port.")
        }
        Cause::LeftOverChild => Some("It is in the unit's own control group, and is none of the main process's children."),
        Cause::OwnSocket => Some("The program binds the port itself instead of taking the descriptor that systemd passes (sd_listen_fds(3))."),
        Cause::CleanExit => Some("Restart=always restarts after clean exits, too."),
        Cause::LoopInsideTheUnit => Some("Its main process lives on, NRestarts= does not move, and Restart=no would change nothing."),
        Cause::StartLimit => Some("Result= need not say start-limit-hit: it keeps what the last attempt left."),
        Cause::PortIsFreeNow => Some("If its next start holds, whoever had the port has just gone; look again then."),
        _ => None,
    }.map(str::to_owned));
    if case.cause == Cause::CleanExit
        && let Some(listener) = case.listener()
    {
        said.push(format!("Somebody serves already: {}, {}.", listener.at(), who_has(listener)));
    }
    said.extend(could_kill(case));
    for (text, page) in peculiarities(case, pace) {
        said.push(text);
        pages.push(page);
    }
    (said, pages)
}

/// Whether a process of the unit could end the holder (kill(2)): what `ExecStartPre=-kill …` can do.
fn could_kill(case: &Case<'_>) -> Option<String> {
    let holder = case.listener()?.holder().filter(|holder| holder.pid > 1)?;
    let user = if case.service.user.is_empty() { "root" } else { &case.service.user };
    let what = format!("a command of the unit, running as {user},");
    let page = Page("non-fixes/exec-start-pre-that-may-not-kill.md");
    match case.service.uid {
        _ if case.service.may_kill => Some(format!("It could be killed by {what} without asking anybody.")),
        Some(uid) if uid == holder.uid => Some(format!("It could be killed by {what} since both are of one user.")),
        Some(_) => Some(format!("It could not be killed by {what} since it belongs to {} ({page}).", holder.user)),
        None => None,
    }
}

fn way(what: impl Into<String>, commands: Vec<String>, page: Option<&'static str>) -> Way {
    Way { what: what.into(), commands, page: page.map(Page) }
}

/// What to do.
pub(super) fn ways(case: &Case<'_>, pace: &Pace) -> Vec<Way> {
    let name = &case.service.id;
    let mut ways = match case.cause {
        Cause::ManualProcess | Cause::LeftOverChild | Cause::PortIsFreeNow => end_the_holder(case, pace),
        Cause::OtherUnit | Cause::OtherSocket => match &case.other {
            Some(other) => vec![way(
                format!("Stop {other} for good; {name} takes over within {}.", case.gap(pace)),
                case.systemctl("disable --now", other),
                Some("fixes/stop-the-other-unit.md"),
            )],
            None => vec![way("Find the socket unit and stop it.", vec!["systemctl list-sockets".to_owned()], None)],
        },
        Cause::UserUnit => end_the_user_unit(case, pace),
        Cause::Container => {
            let port = case.port.map(|wanted| wanted.port).unwrap_or_default();
            let commands = vec![format!("docker ps --filter publish={port}"), "docker stop CONTAINER".to_owned()];
            vec![way("Stop the container that publishes the port (or give it another one).", commands, None)]
        }
        Cause::UnseenHolder => {
            let port = case.port.map(|wanted| wanted.port).unwrap_or_default();
            vec![way(
                "Ask again as root, to see who it is.",
                vec![format!("sudo relapse diagnose --port {port}")],
                None,
            )]
        }
        Cause::OwnSocket => vec![
            way(
                "Have the program take the port from systemd (uvicorn: --fd 3 instead of --host and --port).",
                edit(case),
                Some("fixes/give-the-port-to-a-socket-unit.md"),
            ),
            way(
                "Or do without the socket unit.",
                case.other.iter().flat_map(|unit| case.systemctl("disable --now", unit)).collect(),
                None,
            ),
        ],
        Cause::StalePidFile => vec![way(
            "Find the file that its start script looks at, see that nobody runs by that PID, and remove it.",
            case.systemctl("cat", name),
            Some("fixes/remove-the-stale-pid-file.md"),
        )],
        Cause::CleanExit => {
            let mut ways = end_the_holder(case, pace);
            ways.push(way(
                "Or have it restarted after failures only: [Service] Restart=on-failure. It is off then as long as the other serves.",
                edit(case),
                Some("fixes/restart-on-failure-for-a-duplicate-that-exits-with-0.md"),
            ));
            ways
        }
        Cause::LoopInsideTheUnit => {
            let mut ways = end_the_holder(case, pace);
            ways.push(way(
                "Then let systemd alone restart: have ExecStart= run the server itself, without a loop around it.",
                edit(case),
                Some("fixes/let-systemd-alone-restart.md"),
            ));
            ways
        }
        Cause::StartLimit => {
            let mut commands = case.kills();
            commands.extend(case.systemctl("reset-failed", name));
            commands.extend(case.systemctl("start", name));
            vec![way(
                "Clear the way, let it forget the starts that it has counted, and start it.",
                commands,
                Some("limits/start-limit-300s-5.md"),
            )]
        }
        _ => {
            let user = if case.facts.user_manager { "--user " } else { "" };
            let named = unit(name).unwrap_or_default();
            vec![way(
                "Read what it said, then mend that.",
                vec![
                    format!("journalctl {user}-u {named} -n 50 --no-pager"),
                    format!("systemctl {user}status {named}"),
                ],
                None,
            )]
        }
    };
    if matches!(case.state, State::Waits | State::Tries) {
        let page = case.holders.first().map(|_| "fixes/stop-and-disable-the-service.md");
        let what = match case.listener() {
            Some(_) => format!("Or keep whoever serves, and stop {name}. Nothing starts at boot then."),
            None => format!("Or stop {name} until that is mended."),
        };
        let verb = if case.holders.is_empty() { "stop" } else { "disable --now" };
        ways.push(way(what, case.systemctl(verb, name), page));
    }
    ways
}

fn edit(case: &Case<'_>) -> Vec<String> {
    let mut commands = case.systemctl("edit", &case.service.id);
    commands.extend(case.systemctl("restart", &case.service.id));
    commands
}

/// A manual process, or one left over.
fn end_the_holder(case: &Case<'_>, pace: &Pace) -> Vec<Way> {
    let name = &case.service.id;
    let mut commands = case.kills();
    if commands.is_empty() {
        return Vec::new();
    }
    let holder = case.listener().and_then(Listener::holder);
    let ignores = holder.is_some_and(|holder| holder.sigterm == Sigterm::Ignores);
    let (mut what, page) = match case.cause {
        _ if ignores => ("End it; it ignores SIGTERM.".to_owned(), "fixes/kill-9-a-holder-that-ignores-sigterm.md"),
        Cause::LeftOverChild => ("End it.".to_owned(), "fixes/kill-the-child-that-is-left-over.md"),
        _ => ("End it.".to_owned(), "fixes/kill-the-manual-process.md"),
    };
    let mut page = page;
    if case.state == State::Failed {
        commands.extend(case.systemctl("reset-failed", name));
        commands.extend(case.systemctl("start", name));
        what.push_str(" Then start the unit: nothing else does.");
    } else if pace.growing {
        commands.extend(case.systemctl("restart", name));
        what.push_str(" Then restart the unit, which would else wait for up to its longest delay.");
        page = "fixes/kill-the-holder-and-restart.md";
    } else if matches!(case.state, State::Waits | State::Tries) {
        what.push_str(&format!(" {name} takes over by itself; nobody is served for up to {} then.", case.gap(pace)));
    }
    if !ignores && holder.is_some_and(|holder| holder.sigterm == Sigterm::Handles) {
        what.push_str(" It has a handler for SIGTERM: if it is still there after a while, kill -9.");
    }
    let mut ways = vec![way(what, commands, Some(page))];
    if case.cause == Cause::LeftOverChild && case.service.kill_mode != "control-group" {
        let what = "So that it does not come again: [Service] KillMode=control-group.";
        ways.push(way(what, case.systemctl("edit", name), None));
    }
    ways
}

/// A unit of somebody's own manager, or that manager.
fn end_the_user_unit(case: &Case<'_>, pace: &Pace) -> Vec<Way> {
    let Some(other) = &case.other else { return Vec::new() };
    let place = case.listener().map(Listener::kept_by);
    let sudo = if case.facts.asker == 0 { "" } else { "sudo " };
    let name = &case.service.id;
    match place {
        Some(Place::Service { unit: inner, manager: super::Manager::User(uid) }) => {
            let whose = format!("--user --machine={uid}@.host");
            let commands = unit(inner).map(|inner| format!("{sudo}systemctl {whose} disable --now {inner}"));
            vec![way(
                format!("Stop it in the manager of user {uid}; {name} takes over within {}.", case.gap(pace)),
                commands.into_iter().collect(),
                Some("fixes/end-the-user-s-manager.md"),
            )]
        }
        Some(Place::Service { .. }) => vec![way(
            format!("Stop {other} of the system's manager."),
            unit(other).map(|other| format!("{sudo}systemctl disable --now {other}")).into_iter().collect(),
            Some("fixes/stop-the-other-unit.md"),
        )],
        _ => vec![way(
            format!("End that user's manager, with everything in it; {name} takes over within {}.", case.gap(pace)),
            vec![format!("{sudo}systemctl stop {}", quoted(other))],
            Some("fixes/end-the-user-s-manager.md"),
        )],
    }
}

/// For a socket unit that was refused.
pub(super) fn socket_ways(facts: &Facts, socket: &SocketUnit, who: Option<&Listener>) -> Vec<Way> {
    let mut commands: Vec<String> = who.and_then(|listener| kill(facts, listener)).into_iter().collect();
    if let Some(Place::Service { unit, .. }) = who.map(Listener::kept_by) {
        commands = systemctl(facts, "disable --now", unit);
    }
    commands.extend(systemctl(facts, "start", &socket.id));
    let what = match who {
        Some(_) => "Clear the way, and start the socket unit again.",
        None => "Start the socket unit again.",
    };
    vec![way(what, commands, Some("traps/a-socket-unit-while-the-port-is-taken.md"))]
}
