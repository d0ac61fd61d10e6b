//! systemd's words, of all versions.

use super::fact::{Cause, Fact};

/// What a message of systemd's says, and of which unit or description.
pub(super) struct Said<'a> {
    pub whose: Whose<'a>,
    pub fact: Fact,
}

/// Whom a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose<'a> {
    Unit(&'a str),
    /// Before version 249 jobs were told of by the unit's description alone.
    Description(&'a str),
    /// A timer, socket or path unit that starts the service of that name.
    Trigger(&'a str),
    /// All units: the machine has come up, or its clock was set.
    Boot,
    Clock,
}

const SUFFIXES: [&str; 10] =
    ["service", "socket", "timer", "path", "target", "mount", "swap", "device", "scope", "slice"];

fn suffix(name: &str) -> Option<&str> {
    let (stem, suffix) = name.rsplit_once('.')?;
    (!stem.is_empty() && !name.contains(' ') && SUFFIXES.contains(&suffix)).then_some(suffix)
}

/// Reads a message. None if it says nothing of a service's life.
pub(super) fn read(text: &str) -> Option<Said<'_>> {
    if let Some((unit, said)) = text.split_once(": ")
        && let Some(suffix) = suffix(unit)
    {
        if suffix != "service" {
            return None;
        }
        return of_unit(said).map(|fact| Said { whose: Whose::Unit(unit), fact });
    }
    oldest(text).or_else(|| job(text))
}

/// Version 219 and its like have no colon behind the unit, or the unit at the end.
fn oldest(text: &str) -> Option<Said<'_>> {
    if let Some(unit) = text.strip_prefix("start request repeated too quickly for ") {
        return of_service(unit, Fact::Limited);
    }
    if let Some(unit) = text.strip_prefix("Unit ").and_then(|rest| rest.strip_suffix(" entered failed state.")) {
        return of_service(unit, Fact::Result(None));
    }
    let (unit, said) = text.split_once(' ')?;
    let fact = match said {
        "holdoff time over, scheduling restart." => Fact::Scheduled { counter: None },
        "start operation timed out. Terminating." => Fact::Sign(Some(Cause::Timeout)),
        _ if said.starts_with("watchdog timeout (") => Fact::Sign(Some(Cause::Watchdog)),
        _ => return None,
    };
    of_service(unit, fact)
}

fn of_service(unit: &str, fact: Fact) -> Option<Said<'_>> {
    (suffix(unit) == Some("service")).then_some(Said { whose: Whose::Unit(unit), fact })
}

/// `UNIT: …`
fn of_unit(said: &str) -> Option<Fact> {
    if let Some(rest) = said.strip_prefix("Scheduled restart job") {
        let counter =
            rest.rsplit_once("restart counter is at ").and_then(|(_, n)| n.trim_end_matches('.').parse().ok());
        return Some(Fact::Scheduled { counter });
    }
    if said.starts_with("Service hold-off time over, scheduling restart")
        || (said.starts_with("Service RestartSec=") && said.contains("expired, scheduling restart"))
    {
        return Some(Fact::Scheduled { counter: None });
    }
    for phase in ["Main process exited, ", "Control process exited, ", "Condition check process exited, "] {
        if let Some(rest) = said.strip_prefix(phase.to_ascii_lowercase().as_str()).or_else(|| said.strip_prefix(phase))
        {
            // What runs beside the main process ends no run by itself, but says why one ends.
            let cause = exit(rest);
            return Some(if phase.starts_with("Main") { Fact::Exited(cause) } else { Fact::Sign(cause) });
        }
    }
    if let Some(rest) = said.strip_prefix("Failed with result '") {
        return Some(Fact::Result(result(rest.split('\'').next().unwrap_or_default())));
    }
    if said.starts_with("Unit entered failed state") {
        return Some(Fact::Result(None));
    }
    if said == "Deactivated successfully." || said == "Succeeded." {
        return Some(Fact::Exited(None));
    }
    if said.starts_with("Skipped due to 'exec-condition'") {
        return Some(Fact::Result(Some(Cause::Condition)));
    }
    if said.starts_with("Start request repeated too quickly") {
        return Some(Fact::Limited);
    }
    if said.starts_with("Watchdog timeout") {
        return Some(Fact::Sign(Some(Cause::Watchdog)));
    }
    let starting = said.starts_with("start") && said.contains(" operation timed out.");
    if starting || said.starts_with("Service reached runtime time limit") {
        return Some(Fact::Sign(Some(Cause::Timeout)));
    }
    None
}

/// `Started UNIT - DESCRIPTION.` and the like.
fn job(text: &str) -> Option<Said<'_>> {
    const JOBS: [(&str, &str, Fact); 7] = [
        ("Starting ", "...", Fact::Starting),
        ("Started ", ".", Fact::Started),
        ("Finished ", ".", Fact::Finished),
        ("Stopping ", "...", Fact::Stopping),
        ("Stopped ", ".", Fact::Stopped),
        ("Failed to start ", ".", Fact::StartFailed),
        ("Listening on ", ".", Fact::Started),
    ];
    if text.starts_with("Time has been changed") {
        return Some(Said { whose: Whose::Clock, fact: Fact::Finished });
    }
    if text.starts_with("systemd ") && text.contains(" running in system mode") {
        return Some(Said { whose: Whose::Boot, fact: Fact::Finished });
    }
    for (begin, end, fact) in JOBS {
        let Some(rest) = text.strip_prefix(begin) else { continue };
        let named = rest.split(" - ").next().unwrap_or(rest);
        let named = if named.len() == rest.len() { rest.strip_suffix(end).or(rest.strip_suffix('.'))? } else { named };
        // From the child's own words (`Failed to start X: reason`) nothing follows.
        return match suffix(named) {
            Some("service") => Some(Said { whose: Whose::Unit(named), fact }),
            Some("timer" | "path" | "socket") => {
                matches!(fact, Fact::Started).then_some(Said { whose: Whose::Trigger(named), fact })
            }
            Some(_) => None,
            None if begin == "Listening on " => None,
            None => Some(Said { whose: Whose::Description(named), fact }),
        };
    }
    None
}

/// `code=exited, status=1/FAILURE`; none if it ended cleanly.
fn exit(text: &str) -> Option<Cause> {
    let code = text.strip_prefix("code=")?.split([',', ' ']).next()?;
    let status = text.split("status=").nth(1)?.trim();
    let (number, name) = status.split_once('/').unwrap_or((status, ""));
    let signal = || name.split_whitespace().next().unwrap_or_default().trim_start_matches("SIG").to_owned();
    match code {
        "exited" => number.parse().ok().filter(|status| *status != 0).map(|status| Cause::ExitCode { status }),
        "killed" => Some(Cause::Signal { signal: signal() }),
        "dumped" => Some(Cause::CoreDump { signal: Some(signal()).filter(|signal| !signal.is_empty()) }),
        _ => None,
    }
}

/// A result that says more than the exit before it.
fn result(word: &str) -> Option<Cause> {
    match word {
        "timeout" => Some(Cause::Timeout),
        "watchdog" => Some(Cause::Watchdog),
        "protocol" => Some(Cause::Protocol),
        "resources" => Some(Cause::Resources),
        "exec-condition" => Some(Cause::Condition),
        "core-dump" => Some(Cause::CoreDump { signal: None }),
        _ => None,
    }
}
