//! `Type=` and what the program does about it.

use super::course::outcome;
use super::program::{Command, Forks, Known, Notifies};
use super::rules::{self, Severity};
use super::sheet::Sheet;
use super::shell::Joint;
use crate::manager::Exit;
use crate::timeline::brief;
use crate::unit::{ExitType, NotifyAccess, ServiceType};
use crate::world::Ends;

pub(super) fn look(sheet: &mut Sheet<'_>) {
    let Some(service) = sheet.service() else { return };
    match service.service_type {
        ServiceType::Notify | ServiceType::NotifyReload => {
            notify(sheet);
        }
        ServiceType::Forking => forking(sheet),
        ServiceType::Simple | ServiceType::Exec | ServiceType::Idle => {}
        ServiceType::Oneshot | ServiceType::Dbus => return,
    }
    daemon(sheet);
}

/// What becomes of a program that runs but never gets beyond its start.
fn never_started(sheet: &Sheet<'_>) -> String {
    let timeout = sheet.service().map(|service| service.timeout_start_sec).unwrap_or_default();
    if timeout.is_infinite() {
        return "its start is never complete, and systemctl start waits for ever".to_owned();
    }
    let course = sheet.forecast(&sheet.unit).ends(Ends::Never).run_for(sheet.hanging());
    format!("after TimeoutStartSec={} it is killed, although it serves, and {}", brief(timeout), outcome(&course))
}

fn notify(sheet: &mut Sheet<'_>) {
    let (Some(service), Some(line)) = (sheet.service(), sheet.main_line()) else { return };
    let (kind, access) = (service.service_type, service.notify_access);
    let has_user = service.user.as_deref().is_some_and(|user| !matches!(user, "root" | "0"));
    let command = line.command.clone();
    let exec_start = line.spot.clone();
    if let Some((spot, item)) = sheet.decisive(&["Service"], &["NotifyAccess"])
        && item.value == "none"
    {
        let message = format!("Type={kind} needs messages of the service: systemd makes NotifyAccess={access} of it");
        sheet.found(&rules::NOTIFY_NONE, spot, message, "not in effect", Some("NotifyAccess=main".to_owned()));
    }
    let helper = command.argv.iter().any(|word| word.contains("systemd-notify"));
    let spot = sheet.place(&["Type"]);
    if helper {
        if access == NotifyAccess::Main && has_user && command.script.is_some() {
            let message = "systemd-notify is a child of the main process, and only root may speak for its parent: NotifyAccess=main ignores its READY=1".to_owned();
            sheet.found(&rules::NOTIFY_CHILD, exec_start, message, "from a child", Some("NotifyAccess=all".to_owned()));
        }
        return;
    }
    let name = command.known.map(|known| known.name).unwrap_or_default();
    match command.known.map(|known| known.notifies) {
        Some(Notifies::Never) => {
            let message = format!("{name} never says READY=1: {}", never_started(sheet));
            sheet.found(&rules::NO_NOTIFIER, spot, message, "nobody says READY=1", Some("Type=exec".to_owned()));
        }
        Some(Notifies::Perhaps) => {
            let message =
                format!("{name} does not say READY=1 by itself; unless what it runs does: {}", never_started(sheet));
            sheet.add(&rules::NO_NOTIFIER, Severity::Note, spot, message, "who says READY=1?", None);
        }
        Some(Notifies::Always) | None => {
            let Some(wrapper) = command.wrappers.iter().find(|wrapper| wrapper.stays) else { return };
            let known = command.known.is_some() || ["sudo", "flock", "runuser"].contains(&wrapper.name.as_str());
            if access == NotifyAccess::Main && known {
                let message = format!(
                    "{} stays the main process and the program is its child, whose READY=1 NotifyAccess=main ignores: {}",
                    wrapper.name,
                    never_started(sheet)
                );
                sheet.found(
                    &rules::NOTIFY_CHILD,
                    exec_start,
                    message,
                    "a child says READY=1",
                    Some("NotifyAccess=all".to_owned()),
                );
            }
        }
    }
}

/// Whether the program forks, as far as its command line says it.
fn forks(command: &Command, known: &Known) -> Option<bool> {
    let in_background = command
        .script
        .as_ref()
        .is_some_and(|script| script.odd || script.commands.iter().any(|simple| simple.after == Joint::Background));
    if in_background {
        return None;
    }
    match (known.forks, known.name) {
        (Forks::Never, _) => Some(false),
        (Forks::With(options), "redis-server") => match command.option(options) {
            Some("yes") => Some(true),
            Some(_) => Some(false),
            // A file may say it.
            None => command.program.get(1).is_none_or(|word| word.starts_with("--")).then_some(false),
        },
        (Forks::With(options), _) if command.has(options) => Some(true),
        (Forks::With(_), _) => (!command.has(&["-c", "--config"])).then_some(false),
        (Forks::Unknown, "nginx") => command
            .program
            .iter()
            .any(|word| word.split_ascii_whitespace().collect::<Vec<_>>().join(" ").contains("daemon off"))
            .then_some(false),
        (Forks::Unknown, _) => None,
    }
}

fn forking(sheet: &mut Sheet<'_>) {
    let Some(line) = sheet.main_line() else { return };
    let Some(known) = line.command.known else { return };
    if forks(&line.command, known) != Some(false) {
        return;
    }
    // Its default configuration file may say otherwise.
    let sure = known.forks == Forks::Never || known.name != "gunicorn";
    let severity = if sure { Severity::Error } else { Severity::Warning };
    let unless = if sure { "" } else { " unless its configuration says so" };
    let message = format!(
        "{} stays in the foreground{unless}, and Type=forking waits for it to end: {}",
        known.name,
        never_started(sheet)
    );
    let spot = sheet.place(&["Type"]);
    sheet.add(&rules::FOREGROUND, severity, spot, message, "does not fork", Some("Type=exec".to_owned()));
}

fn daemon(sheet: &mut Sheet<'_>) {
    let (Some(service), Some(line)) = (sheet.service(), sheet.main_line()) else { return };
    if service.service_type == ServiceType::Forking || service.exit_type == ExitType::Cgroup {
        return;
    }
    let kind = service.service_type;
    let Some(known) = line.command.known else { return };
    if forks(&line.command, known) != Some(true) {
        return;
    }
    let spot = line.spot.clone();
    let course = sheet.course(Exit::Code(0));
    let message = format!(
        "{} goes into the background, so with Type={kind} the service has ended at once, and what it left behind is killed: {}",
        known.name,
        outcome(&course)
    );
    sheet.found(&rules::DAEMON, spot, message, "goes into the background", None);
}
