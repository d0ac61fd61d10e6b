//! `systemctl status` (systemctl(1); SPEC 9.2).

use std::fmt::Write as _;

use crate::ctl::journalctl::unit_log;
use crate::ctl::{Output, UnitProcess, View};
use crate::journal::{Style, format_bytes, format_relative, format_timestamp};
use crate::time::{IncidentTime, Span};
use crate::unit::{Errno, exit_status, signal};

use super::glyphs::Glyphs;
use super::list;
use super::options::Options;
use super::properties::{ExecStatus, Properties};

const INDENT: &str = "             ";
const MILLISECOND: Span = Span::from_millis(1);

/// Writes the status of a unit that was found.
pub(super) fn write(out: &mut Vec<u8>, unit: &Properties, options: &Options, version: u32, view: &dyn View) {
    let mut text = String::new();
    let id = unit.get("Id");
    let processes = view.processes(id);
    let glyphs = options.glyphs;
    headline(&mut text, unit, glyphs);
    loaded(&mut text, unit);
    drop_ins(&mut text, &unit.list("DropInPaths"), glyphs);
    active(&mut text, unit, view.now());
    // Seen in 257, and not in 252.
    if version >= 257
        && let Some(job) = view.jobs().into_iter().find(|job| job.unit == id)
    {
        line(&mut text, "Job", &job.id.to_string());
    }
    if version >= 256
        && let Some(invocation) = unit.some("InvocationID")
    {
        line(&mut text, "Invocation", invocation);
    }
    triggers(&mut text, unit, glyphs, view);
    unmet(&mut text, unit, (version, glyphs), view);
    for (number, page) in unit.list("Documentation").iter().enumerate() {
        line(&mut text, if number == 0 { "Docs" } else { "" }, page);
    }
    for (number, listen) in unit.all("Listen").enumerate() {
        line(&mut text, if number == 0 { "Listen" } else { "" }, listen);
    }
    if unit.flag("Accept") {
        let count = |key: &str| unit.number(key).unwrap_or(0);
        let _ = write!(text, "   Accepted: {}; Connected: {};", count("NAccepted"), count("NConnections"));
        let _ = match count("NRefused") {
            0 => writeln!(text),
            refused => writeln!(text, "   Refused: {refused}"),
        };
    }
    pids(&mut text, unit, &processes);
    if let Some(status) = unit.some("StatusText") {
        line(&mut text, "Status", &format!("\"{status}\""));
    }
    if let Some(errno) = unit.number("StatusErrno").filter(|errno| *errno > 0) {
        let errno = Errno::new(i32::try_from(errno).unwrap_or(i32::MAX));
        line(&mut text, "Error", &format!("{} ({errno})", errno.number()));
    }
    resources(&mut text, unit);
    if let Some(group) = unit.some("ControlGroup").filter(|_| !processes.is_empty()) {
        line(&mut text, "CGroup", group);
        process_tree(&mut text, INDENT, &processes, glyphs);
    }
    out.extend_from_slice(text.as_bytes());
    log(out, unit, options, version, view);
}

/// One line: the label right-aligned before its colon.
fn line(text: &mut String, label: &str, value: &str) {
    let colon = if label.is_empty() { ' ' } else { ':' };
    let _ = writeln!(text, "{label:>11}{colon} {value}");
}

fn headline(text: &mut String, unit: &Properties, glyphs: Glyphs) {
    let id = unit.get("Id");
    let _ = write!(text, "{} {id}", glyphs.state(unit.get("ActiveState")));
    if let Some(description) = unit.some("Description").filter(|description| *description != id) {
        let _ = write!(text, " - {description}");
    }
    text.push('\n');
}

fn loaded(text: &mut String, unit: &Properties) {
    let state = unit.get("LoadState");
    let path = unit.some("SourcePath").or_else(|| unit.some("FragmentPath"));
    let value = match (unit.load_error(), path, unit.some("UnitFileState")) {
        (Some(error), ..) => format!("{state} (Reason: {error})"),
        (None, Some(path), Some(file_state)) => {
            // The preset says nothing where nobody enables or disables.
            let hides = matches!(file_state, "alias" | "static" | "generated" | "transient");
            match unit.some("UnitFilePreset").filter(|_| !hides) {
                Some(preset) => format!("{state} ({path}; {file_state}; preset: {preset})"),
                None => format!("{state} ({path}; {file_state})"),
            }
        }
        (None, Some(path), None) => format!("{state} ({path})"),
        (None, None, _) => state.to_owned(),
    };
    line(text, "Loaded", &value);
}

/// Drop-ins by directory, in the order in which they apply: a directory is named again when it comes back.
fn drop_ins(text: &mut String, paths: &[String], glyphs: Glyphs) {
    let mut rest = paths;
    let mut label = "Drop-In";
    while let Some((directory, _)) = rest.first().and_then(|path| path.rsplit_once('/')) {
        let here = |path: &&String| path.rsplit_once('/').is_some_and(|(dir, _)| dir == directory);
        let count = rest.iter().take_while(here).count();
        let names: Vec<&str> = rest[..count].iter().filter_map(|path| path.rsplit('/').next()).collect();
        line(text, label, directory);
        let _ = writeln!(text, "{INDENT}{}{}", glyphs.last(), names.join(", "));
        rest = &rest[count..];
        label = "";
    }
}

/// `since TIME; AGO`.
fn moment(time: IncidentTime, now: IncidentTime) -> String {
    format!("{}; {}", format_timestamp(time), format_relative(time, now))
}

fn active(text: &mut String, unit: &Properties, now: IncidentTime) {
    let state = unit.get("ActiveState");
    let mut value = state.to_owned();
    if let Some(sub) = unit.some("SubState").filter(|sub| *sub != state) {
        let _ = write!(value, " ({sub})");
    }
    if let Some(result) = unit.some("Result").filter(|result| *result != "success") {
        let _ = write!(value, " (Result: {result})");
    }
    let since = unit.time(match state {
        "active" | "reloading" => "ActiveEnterTimestamp",
        "inactive" | "failed" => "InactiveEnterTimestamp",
        "activating" => "InactiveExitTimestamp",
        _ => "ActiveExitTimestamp",
    });
    let Some(since) = since else { return line(text, "Active", &value) };
    line(text, "Active", &format!("{value} since {}", moment(since, now)));
    if state == "active"
        && let Ok(limit) = Span::parse(unit.get("RuntimeMaxUSec"))
        && !limit.is_infinite()
    {
        line(text, "Until", &moment(since + limit, now));
    }
    if matches!(state, "inactive" | "failed")
        && !unit.get("Id").ends_with(".target")
        && let (Some(enter), Some(exit)) = (unit.time("ActiveEnterTimestamp"), unit.time("ActiveExitTimestamp"))
        && exit >= enter
    {
        line(text, "Duration", &exit.since(enter).format(MILLISECOND));
    }
}

fn triggers(text: &mut String, unit: &Properties, glyphs: Glyphs, view: &dyn View) {
    for (number, by) in unit.words("TriggeredBy").iter().enumerate() {
        let mark = glyphs.state(Properties::of(view, by).get("ActiveState"));
        line(text, if number == 0 { "TriggeredBy" } else { "" }, &format!("{mark} {by}"));
    }
    for (number, triggered) in unit.words("Triggers").iter().enumerate() {
        line(text, if number == 0 { "Triggers" } else { "" }, &format!("{} {triggered}", glyphs.dot()));
    }
}

/// Conditions and the assertion that the last start ran into.
fn unmet(text: &mut String, unit: &Properties, (version, glyphs): (u32, Glyphs), view: &dyn View) {
    let condition = unit.time("ConditionTimestamp").filter(|_| !unit.flag("ConditionResult"));
    let assertion = unit.time("AssertTimestamp").filter(|_| !unit.flag("AssertResult"));
    if condition.is_none() && assertion.is_none() {
        return;
    }
    let now = view.now();
    let (asserts, conditions): (Vec<_>, Vec<_>) =
        view.unmet(unit.get("Id")).into_iter().partition(|unmet| unmet.key.starts_with("Assert"));
    if let Some(time) = condition {
        let word = if version >= 254 { "unmet" } else { "failed" };
        line(text, "Condition", &format!("start condition {word} at {}", moment(time, now)));
        for (number, one) in conditions.iter().enumerate() {
            let branch = glyphs.fork(number + 1 == conditions.len());
            let (trigger, negate) = (if one.trigger { "|" } else { "" }, if one.negate { "!" } else { "" });
            let _ = writeln!(text, "{INDENT}{branch} {}={trigger}{negate}{} was not met", one.key, one.parameter);
        }
    }
    if let Some(time) = assertion {
        line(text, "Assert", &format!("start assertion failed at {}", moment(time, now)));
        match asserts.iter().find(|one| !one.trigger) {
            Some(one) => {
                let negate = if one.negate { "!" } else { "" };
                let _ = writeln!(text, "{INDENT}{}={negate}{} was not met", one.key, one.parameter);
            }
            None if asserts.is_empty() => {}
            None => {
                let _ = writeln!(text, "{INDENT}none of the trigger assertions were met");
            }
        }
    }
}

/// `code=exited, status=1/FAILURE` or `code=killed, signal=TERM`.
fn ending(code: &str, status: i32) -> String {
    match u8::try_from(status) {
        Ok(status) if code == "exited" => format!("(code=exited, status={})", exit_status::status_code(status)),
        _ => format!("(code={code}, signal={})", signal::name(status)),
    }
}

fn pids(text: &mut String, unit: &Properties, processes: &[UnitProcess]) {
    let mut control = unit.number("ControlPID").filter(|pid| *pid > 0);
    for ExecStatus { key, argv, pid, code, status } in unit.commands() {
        if !matches!(code.as_str(), "exited" | "killed" | "dumped") {
            continue;
        }
        line(text, "Process", &format!("{pid} {key}={argv} {}", ending(&code, status)));
        if control == Some(u64::from(pid)) {
            control = None;
        }
    }
    let comm = |pid: u64| {
        let known = processes.iter().find(|p| u64::from(p.pid) == pid && !p.comm.is_empty());
        known.map(|p| format!(" ({})", p.comm)).unwrap_or_default()
    };
    let running = unit.number("MainPID").filter(|pid| *pid > 0);
    let main = running.or_else(|| unit.number("ExecMainPID").filter(|pid| *pid > 0));
    let main = main.map(|pid| match running {
        Some(_) => format!("{pid}{}", comm(pid)),
        None => match (unit.number("ExecMainCode"), unit.get("ExecMainStatus").parse()) {
            (Some(code @ 1..=3), Ok(status)) => {
                let code = ["exited", "killed", "dumped"][usize::try_from(code).unwrap_or(1) - 1];
                format!("{pid} {}", ending(code, status))
            }
            _ => pid.to_string(),
        },
    });
    let control = control.map(|pid| format!("{pid}{}", comm(pid)));
    match (main, control) {
        (Some(main), Some(control)) => line(text, "Main PID", &format!("{main}; Control PID: {control}")),
        (Some(main), None) => line(text, "Main PID", &main),
        (None, Some(control)) => line(text, "Cntrl PID", &control),
        (None, None) => {}
    }
}

/// What the kernel counts; a machine without the controllers has only the CPU time.
fn resources(text: &mut String, unit: &Properties) {
    if let Some(tasks) = unit.number("TasksCurrent") {
        let limit = unit.number("TasksMax").map(|max| format!(" (limit: {max})")).unwrap_or_default();
        line(text, "Tasks", &format!("{tasks}{limit}"));
    }
    if let Some(memory) = unit.number("MemoryCurrent") {
        line(text, "Memory", &format_bytes(memory));
    }
    if let Some(nanoseconds) = unit.number("CPUUsageNSec") {
        line(text, "CPU", &Span::from_micros(nanoseconds / 1000).format(MILLISECOND));
    }
}

/// The processes of a group, aligned.
fn process_tree(text: &mut String, prefix: &str, processes: &[UnitProcess], glyphs: Glyphs) {
    let width = processes.last().map_or(0, |p| p.pid.to_string().len());
    for (number, process) in processes.iter().enumerate() {
        let branch = glyphs.fork(number + 1 == processes.len());
        let _ = writeln!(text, "{prefix}{branch}{:>width$} {}", process.pid, process.cmdline);
    }
}

/// The last lines of the unit since it left the inactive state.
fn log(out: &mut Vec<u8>, unit: &Properties, options: &Options, version: u32, view: &dyn View) {
    let not_before = unit.monotonic("InactiveExitTimestamp").unwrap_or(0);
    let style = Style { all: options.all, ..Style::new(options.format, version) };
    let lines = unit_log(view.journal(), unit.get("Id"), &view.machine().boot_id, not_before, options.lines, &style);
    if !lines.is_empty() {
        out.push(b'\n');
        out.extend_from_slice(&lines);
    }
}

/// `systemctl status` without a unit: the machine.
pub(super) fn machine(output: &mut Output, version: u32, glyphs: Glyphs, view: &dyn View) {
    let machine = view.machine();
    output.say(format!("{} {}", glyphs.dot(), machine.hostname));
    output.say(format!("    State: {}", list::system_state(view)));
    output.say(format!("    Units: {} loaded (incl. loaded aliases)", view.units().len()));
    output.say(format!("     Jobs: {} queued", view.jobs().len()));
    output.say(format!("   Failed: {} units", list::failed_units(view)));
    output.say(format!("    Since: {}", moment(machine.boot, view.now())));
    output.say(format!("  systemd: {}", crate::ctl::package_version(version)));
    output.say("   CGroup: /");
    let mut groups: Vec<(String, Vec<UnitProcess>)> = Vec::new();
    for unit in view.units() {
        let processes = view.processes(&unit);
        if let Some(group) = Properties::of(view, &unit).some("ControlGroup").filter(|_| !processes.is_empty()) {
            groups.push((group.rsplit('/').next().unwrap_or_default().to_owned(), processes));
        }
    }
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    let mut tree = String::new();
    let prefix = "           ";
    let (branch, bar) = (glyphs.fork(groups.is_empty()), glyphs.stem(!groups.is_empty()));
    let _ = writeln!(tree, "{prefix}{branch}init.scope");
    let _ = writeln!(tree, "{prefix}{bar}{}1 /sbin/init", glyphs.last());
    if !groups.is_empty() {
        let _ = writeln!(tree, "{prefix}{}system.slice", glyphs.last());
    }
    for (number, (name, processes)) in groups.iter().enumerate() {
        let last = number + 1 == groups.len();
        let (branch, bar) = (glyphs.fork(last), glyphs.stem(!last));
        let _ = writeln!(tree, "{prefix}  {branch}{name}");
        process_tree(&mut tree, &format!("{prefix}  {bar}"), processes, glyphs);
    }
    output.stdout.extend_from_slice(tree.as_bytes());
}
