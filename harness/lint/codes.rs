//! Exit codes of a taken port.

use super::course::outcome;
use super::program::Known;
use super::rules;
use super::sheet::Sheet;
use crate::manager::Exit;
use crate::unit::Restart;

pub(super) fn look(sheet: &mut Sheet<'_>) {
    let (Some(service), Some(line)) = (sheet.service(), sheet.main_line()) else { return };
    let Some(known) = line.command.known.filter(|known| !known.bind_errors.is_empty()) else { return };
    // A shell that goes on after it may end with any other code.
    if line
        .command
        .wrappers
        .iter()
        .any(|wrapper| wrapper.stays && super::program::SHELLS.contains(&wrapper.name.as_str()))
    {
        return;
    }
    let restart = service.restart;
    let prevented = service.restart_prevent_exit_status.codes.clone();
    let successes = service.success_exit_status.codes.clone();
    let (name, told) = (known.name, told(known));
    let all: Vec<u8> = known.bind_errors.iter().map(|(code, _)| *code).collect();
    let all_words = words(&all);
    let success: Vec<u8> = all.iter().copied().filter(|code| successes.contains(code)).collect();
    if let Some(code) = success.first() {
        let course = sheet.course(Exit::Code(*code));
        let spot = sheet.place(&["SuccessExitStatus"]);
        let message = format!(
            "{name} {told} if its port is taken, and SuccessExitStatus= takes {} for success: {}, Result={}",
            words(&success),
            outcome(&course),
            course.result
        );
        sheet.found(&rules::SUCCESS_BIND_ERROR, spot, message, "a taken port is no success", None);
    }
    if restart == Restart::No {
        return;
    }
    let restarted: Vec<u8> = all.iter().copied().filter(|code| sheet.course(Exit::Code(*code)).starts > 1).collect();
    let Some(first) = restarted.first().copied() else { return };
    let course = sheet.course(Exit::Code(first));
    let fix = Some(format!("RestartPreventExitStatus={}", words(&merged(&prevented, &all))));
    if prevented.is_empty() {
        let spot = sheet.place(&["Restart"]);
        let message = format!(
            "{name} {told} if its port is taken, and Restart={restart} restarts it after that: {}. RestartPreventExitStatus={all_words} would \
             leave it failed, but after every other failure with the same code, too",
            outcome(&course)
        );
        sheet.found(&rules::BIND_ERROR_RESTARTS, spot, message, "also if the port is taken", fix);
        return;
    }
    let spot = sheet.place(&["RestartPreventExitStatus"]);
    let message = format!(
        "{name} {told} if its port is taken; RestartPreventExitStatus={} has no {}: after an exit with {first} {}",
        words(&prevented),
        words(&restarted),
        outcome(&course)
    );
    let label = format!("misses {}", words(&restarted));
    sheet.found(&rules::PREVENT_MISSES, spot, message, &label, fix);
}

/// `exits with 1 (up to 0.48) or 3 (from 0.50 on)`
fn told(known: &Known) -> String {
    let one = |(code, when): &(u8, &str)| match *when {
        "" => code.to_string(),
        when => format!("{code} ({when})"),
    };
    let all: Vec<String> = known.bind_errors.iter().map(one).collect();
    format!("exits with {}", all.join(" or "))
}

fn words(codes: &[u8]) -> String {
    codes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")
}

fn merged(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut all: Vec<u8> = a.iter().chain(b).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}
