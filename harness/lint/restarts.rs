//! Delays between restarts, and ends that are or are not restarted.

use super::Spot;
use super::course::{ending, outcome};
use super::program::Command;
use super::rules::{self, Severity};
use super::sheet::Sheet;
use super::shell::{Joint, Role, base};
use crate::manager::Exit;
use crate::timeline::brief;
use crate::unit::{Restart, ServiceType};

pub(super) fn look(sheet: &mut Sheet<'_>) {
    let Some(service) = sheet.service() else { return };
    let (restart, kind) = (service.restart, service.service_type);
    if restart == Restart::No {
        return;
    }
    delay(sheet);
    remain(sheet);
    clean_ends(sheet, restart);
    if kind != ServiceType::Oneshot {
        swallowed(sheet, restart);
    }
}

fn delay(sheet: &mut Sheet<'_>) {
    let Some(service) = sheet.service() else { return };
    let delay = service.restart_sec;
    let exit = sheet.exit();
    let written = sheet.assignments().any(|(_, item)| item.section == "Service" && item.key == "RestartSec");
    let course = sheet.course(exit);
    if course.starts < 2 {
        return;
    }
    let takes = sheet.options.starts_in.map_or_else(|| "at once".to_owned(), |span| format!("after {}", brief(span)));
    let what = format!("if its program {} {takes}, {}", ending(exit), outcome(&course));
    if !written {
        let severity =
            if sheet.options.starts_in.is_some() && course.goes_on() { Severity::Warning } else { Severity::Note };
        let message = format!("RestartSec= is not set, and the default is {}: {what}", brief(delay));
        let spot = sheet.place(&["Restart"]);
        sheet.add(
            &rules::NO_RESTART_SEC,
            severity,
            spot,
            message,
            "restarted almost at once",
            Some("RestartSec=5".to_owned()),
        );
    } else if delay.is_zero() {
        let spot = sheet.place(&["RestartSec"]);
        let message = format!("RestartSec=0 leaves no time between an end and the next start: {what}");
        sheet.found(&rules::RESTART_SEC_ZERO, spot, message, "at once", Some("RestartSec=5".to_owned()));
    }
}

fn remain(sheet: &mut Sheet<'_>) {
    let Some(service) = sheet.service() else { return };
    let restart = service.restart;
    if !service.remain_after_exit || !matches!(restart, Restart::Always | Restart::OnSuccess) {
        return;
    }
    let course = sheet.course(Exit::Code(0));
    if course.starts > 1 || course.sub_state != "exited" {
        return;
    }
    let spot = sheet.place(&["RemainAfterExit"]);
    let message = format!(
        "with RemainAfterExit=yes a clean exit leaves the unit {} ({}), so Restart={restart} does not restart it, and nobody sees that nothing runs",
        course.active_state, course.sub_state
    );
    sheet.found(
        &rules::REMAIN,
        spot,
        message,
        "stays active after a clean exit",
        Some("RemainAfterExit=no".to_owned()),
    );
}

/// Programs that end with 0 although they have not done anything.
fn clean_ends(sheet: &mut Sheet<'_>, restart: Restart) {
    let Some(line) = sheet.main_line() else { return };
    let spot = line.spot.clone();
    let (exit, why) = match sheet.options.exits {
        Some(exit) => (exit, format!("its program {}", ending(exit))),
        None if exits_0_when_locked(&line.command) => {
            (Exit::Code(0), "flock -n -E 0 exits with 0 if somebody else has the lock".to_owned())
        }
        None => return,
    };
    let course = sheet.course(exit);
    let clean = match exit {
        Exit::Code(code) => {
            code == 0 || sheet.service().is_some_and(|service| service.success_exit_status.codes.contains(&code))
        }
        _ => course.result == "success",
    };
    if !clean {
        return;
    }
    if course.starts > 1 {
        let message =
            format!("{why}, which is a clean end, and Restart={restart} restarts after it: {}", outcome(&course));
        let place = sheet.place(&["Restart"]);
        let fix = (restart == Restart::Always).then(|| "Restart=on-failure".to_owned());
        sheet.found(&rules::EXIT_0_RESTARTED, place, message, "restarts clean ends, too", fix);
    } else if course.active_state == "inactive" {
        let message = format!(
            "{why}, which is a clean end, and Restart={restart} does not restart after it: the unit is {} ({}), Result={}, and nobody is told",
            course.active_state, course.sub_state, course.result
        );
        sheet.found(&rules::EXIT_0_NOT_RESTARTED, spot, message, "a clean end", None);
    }
}

/// `flock -n -E 0 …`
fn exits_0_when_locked(command: &Command) -> bool {
    let argv = &command.argv;
    if argv.first().is_none_or(|path| base(path) != "flock") {
        return false;
    }
    let options: Vec<&str> =
        argv.iter().skip(1).map(String::as_str).take_while(|word| word.starts_with('-') || *word == "0").collect();
    let code = options.windows(2).any(|pair| matches!(pair, ["-E" | "--conflict-exit-code", "0"]))
        || options.iter().any(|word| matches!(*word, "-E0" | "--conflict-exit-code=0"));
    code && options.iter().any(|word| matches!(*word, "-n" | "--nb" | "--nonblock"))
}

fn swallowed(sheet: &mut Sheet<'_>, restart: Restart) {
    let Some(line) = sheet.main_line() else { return };
    let Some(script) = line.command.script.as_ref().filter(|script| !script.odd) else { return };
    let own: Vec<_> = script.commands.iter().filter(|simple| !simple.substituted).collect();
    let [.., before, last] = own.as_slice() else { return };
    let texts = last.texts();
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    let always_0 = matches!(words.as_slice(), ["true" | ":"] | ["exit", "0"]) && last.role == Role::Plain;
    // With `set -e` only what stands behind `||` is reached after a failure.
    let errexit =
        script.commands.iter().any(|simple| {
            simple.name() == "set"
                && simple.words.iter().any(|word| word.text.starts_with('-') && word.text.contains('e'))
        }) || line.command.shell.iter().skip(1).take_while(|word| word.starts_with('-')).any(|word| word.contains('e'));
    let reached = match last.before {
        Joint::Or => before.role == Role::Plain,
        Joint::Then => !errexit && before.name() != "exec",
        _ => false,
    };
    if !always_0 || !reached {
        return;
    }
    let Spot { file, span } = line.spot.clone();
    let course = sheet.course(Exit::Code(0));
    let message = format!(
        "the script ends with 0 whatever happens in it, so Restart={restart} never sees a failure: {}",
        outcome(&course)
    );
    sheet.found(&rules::SWALLOWED, Spot { file, span }, message, "every failure becomes a success", None);
}
