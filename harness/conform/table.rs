//! The rows of the tables as cases: what restarts (`fixtures/systemd/restart_matrix.json`), start limits
//! (`start_limit.json`), who gets which signal (systemd.kill(5)), and the phases of a start and a stop with what follows
//! when something fails in one (systemd.service(5), SPEC 2.2 and 7).

use serde_json::Value;

use super::case::{Action, Case};
use super::generate::{BEGIN, COUNT, PROPERTIES, SLEEP};
use crate::time::Span;

const MATRIX: &str = include_str!("../../fixtures/systemd/restart_matrix.json");
const LIMITS: &str = include_str!("../../fixtures/systemd/start_limit.json");

/// All rows.
pub fn cases() -> impl Iterator<Item = Case> {
    matrix().chain(limits()).chain(kills()).chain(phases())
}

/// The row of this name.
pub fn named(id: &str) -> Option<Case> {
    cases().find(|case| case.id == id)
}

/// A case of a unit with these lines, and what is entered: milliseconds and a line, in which `U` is the unit.
fn row(family: &str, number: usize, unit: &str, service: &str, prog: &str, entered: &[(u64, &str)]) -> Case {
    let id = format!("{family}{number:03}");
    let own = format!("{id}.service");
    let line = |line: &str| {
        line.split(' ').map(|word| if word == "U" { own.as_str() } else { word }).collect::<Vec<_>>().join(" ")
    };
    // As for random cases, what is first does nothing.
    let mut actions = vec![Action::enter(Span::ZERO, "true")];
    actions.extend(entered.iter().map(|(at, text)| Action::enter(Span::from_millis(at + BEGIN), line(text))));
    let last = entered.last().map_or(0, |(at, _)| *at);
    actions
        .push(Action::enter(Span::from_millis(last + 1750 + BEGIN), format!("systemctl show {own} -p {PROPERTIES}")));
    let start = if service.contains("ExecStart=") { "" } else { "ExecStart=/bin/sh @DIR@/prog.sh\n" };
    Case {
        id,
        family: family.to_owned(),
        unit: format!("[Unit]\nDescription=Row {number}\n{unit}\n[Service]\nEnvironment=DIR=@DIR@\n{start}{service}"),
        prog: format!("{COUNT}{prog}\n"),
        actions,
        ..Case::default()
    }
}

/// The lines of `[Service]` and the program of a service that ends the way a row of the matrix is called.
pub fn cause(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "exit-0" => ("", "exit 0"),
        "exit-1" => ("", "exit 1"),
        "exit-143" => ("", "exit 143"),
        "SIGHUP" => ("", "kill -HUP $$"),
        "SIGINT" => ("", "kill -INT $$"),
        "SIGTERM" => ("", "kill -TERM $$"),
        "SIGPIPE" => ("IgnoreSIGPIPE=no\n", "kill -PIPE $$"),
        "SIGKILL" => ("", "kill -KILL $$"),
        "SIGUSR1" => ("", "kill -USR1 $$"),
        "SIGSEGV(core off)" => ("LimitCORE=0\n", "kill -SEGV $$"),
        "SIGABRT(core on)" => ("LimitCORE=infinity\n", "kill -ABRT $$"),
        "exec-missing(203)" => ("ExecStart=/nonexistent/program\n", SLEEP),
        "chdir-missing(200)" => ("WorkingDirectory=/nonexistent\n", SLEEP),
        "user-missing(217)" => ("User=nobodyknows\n", SLEEP),
        "start-timeout" => ("Type=notify\nTimeoutStartSec=350ms\n", SLEEP),
        "runtime-max" => ("RuntimeMaxSec=350ms\n", SLEEP),
        "watchdog" => ("WatchdogSec=350ms\nLimitCORE=0\n", SLEEP),
        "pre-fails(exit 1)" => ("ExecStartPre=/bin/false\n", SLEEP),
        "condition-skip" => ("ExecCondition=/bin/false\n", SLEEP),
        "condition-255" => ("ExecCondition=/bin/sh -c 'exit 255'\n", SLEEP),
        "protocol(notify exits 0)" => ("Type=notify\n", "exit 0"),
        _ => return None,
    })
}

fn matrix() -> impl Iterator<Item = Case> {
    let table: Value = serde_json::from_str(MATRIX).unwrap_or_default();
    let rows = table["rows"].as_object().cloned().unwrap_or_default();
    let settings = rows.into_iter().flat_map(|(name, row)| {
        let settings = row["restarted"].as_object().cloned().unwrap_or_default();
        settings.into_iter().map(move |(restart, _)| (name.clone(), restart))
    });
    settings.enumerate().filter_map(|(number, (name, restart))| {
        let (lines, prog) = cause(&name)?;
        let service = format!("Restart={restart}\nRestartSec=1min\n{lines}");
        Some(row("restart", number, "", &service, prog, &[(0, "systemctl start U"), (1250, "systemctl status U")]))
    })
}

/// Starts at the table's moments, but for those on the very edge of an interval, and for what takes longer than half a
/// minute.
fn limits() -> impl Iterator<Item = Case> {
    let table: Value = serde_json::from_str(LIMITS).unwrap_or_default();
    let span = |value: &Value| Span::parse(&value.to_string()).ok();
    let rows = table["cases"].as_array().cloned().unwrap_or_default();
    rows.into_iter().enumerate().filter_map(move |(number, case)| {
        let interval = span(&case["interval_s"])?;
        let starts: Vec<Span> = case["start_times_s"].as_array()?.iter().filter_map(span).collect();
        let unit = format!("StartLimitIntervalSec={}\nStartLimitBurst={}\n", case["interval_s"], case["burst"]);
        let mut made = row(
            "startlimit",
            number,
            &unit,
            "Type=oneshot\nExecStart=/bin/true\n",
            SLEEP,
            &[(0, "systemctl enable U")],
        );
        // What keeps it loaded, and with it the count: it is wanted by a target.
        made.unit += "\n[Install]\nWantedBy=multi-user.target\n";
        let show = made.actions.pop()?;
        let first = Span::from_millis(1000 + BEGIN);
        let mut last = Span::ZERO;
        for (index, start) in starts.iter().enumerate() {
            // Several at once are a moment apart.
            let start = *start
                + Span::from_millis(if starts.iter().all(|start| start.is_zero()) { 400 * index as u64 } else { 0 });
            if start != interval && start <= Span::from_secs(30) {
                last = first + start;
                made.actions.push(Action::enter(last, format!("systemctl start {}", made.own())));
            }
        }
        made.actions.push(Action { t: last + Span::from_millis(1500), ..show });
        Some(made)
    })
}

fn kills() -> impl Iterator<Item = Case> {
    let modes = ["control-group", "mixed", "process", "none"];
    let who = [
        "sleep 100 & exec sleep 90",
        "sleep 100 & trap \"\" TERM; exec sleep 90",
        "(trap \"\" TERM; exec sleep 100) & exec sleep 90",
    ];
    let how = ["", "SendSIGHUP=yes\n", "SendSIGKILL=no\n", "KillSignal=SIGHUP\nFinalKillSignal=SIGQUIT\nLimitCORE=0\n"];
    let mut rows = Vec::new();
    for mode in modes {
        for prog in who {
            for how in how {
                rows.push((format!("KillMode={mode}\nTimeoutStopSec=600ms\n{how}"), prog, "stop"));
            }
        }
    }
    for failure in ["terminate", "abort", "kill"] {
        let lines =
            format!("TimeoutStopFailureMode={failure}\nTimeoutStopSec=600ms\nTimeoutAbortSec=850ms\nLimitCORE=0\n");
        rows.push((lines.clone(), who[1], "stop"));
        rows.push((format!("{lines}ExecStop=/bin/sleep 100\n"), who[0], "stop"));
        rows.push((format!("{lines}ExecStopPost=/bin/sleep 100\n"), who[0], "stop"));
    }
    for mode in modes {
        let lines = format!("KillMode={mode}\nRestartKillSignal=SIGINT\nTimeoutStopSec=600ms\n");
        rows.push((lines.clone(), who[0], "restart"));
        // Whether a child is gone when the main process is would be a toss.
        rows.push((lines, SLEEP, "kill"));
    }
    rows.into_iter().enumerate().map(|(number, (lines, prog, verb))| {
        let verb = format!("systemctl {verb} U");
        let then = [(0, "systemctl start U"), (500, &*verb), (3250, "systemctl status U"), (3750, "systemctl start U")];
        row("signal", number, "", &lines, prog, &then)
    })
}

/// Each row of the table of phases, for the types it is about.
fn phases() -> impl Iterator<Item = Case> {
    // What happens, what the program does, and what the operator does at 1.5 s.
    let rows: &[(&str, &str, &str)] = &[
        ("ExecCondition=/bin/false\n", SLEEP, "status"),
        ("ExecCondition=/bin/sh -c 'exit 255'\n", SLEEP, "status"),
        ("ExecCondition=/bin/sh -c 'kill -KILL $$$$'\n", SLEEP, "status"),
        ("ExecCondition=/bin/sleep 100\n", SLEEP, "stop"),
        ("ExecStartPre=/bin/false\n", SLEEP, "status"),
        ("ExecStartPre=/bin/sleep 100\n", SLEEP, "stop"),
        ("ExecStartPre=-/bin/false\n", SLEEP, "stop"),
        ("ExecStartPost=/bin/sh -c 'sleep 0.4; exit 1'\n", SLEEP, "status"),
        ("ExecStartPost=/bin/sleep 100\n", SLEEP, "stop"),
        ("ExecStartPost=/bin/sleep 1.15\n", "sleep 0.4; exit 0", "status"),
        ("ExecStartPost=/bin/sleep 1.15\n", "sleep 0.4; exit 3", "status"),
        ("", "sleep 0.4; exit 0", "status"),
        ("", "sleep 0.4; exit 3", "status"),
        ("", "sleep 0.4; kill -KILL $$", "status"),
        ("RemainAfterExit=yes\n", "sleep 0.4; exit 0", "stop"),
        ("", SLEEP, "stop"),
        ("", SLEEP, "restart"),
        ("ExecStop=/bin/false\n", SLEEP, "stop"),
        ("ExecStopPost=/bin/false\n", SLEEP, "stop"),
        ("ExecStop=/bin/sh -c 'kill $MAINPID'\n", SLEEP, "stop"),
        ("ExecReload=/bin/false\n", SLEEP, "reload"),
        ("ExecReload=/bin/true\n", SLEEP, "reload"),
        ("ExecReload=/bin/sleep 100\n", SLEEP, "reload --no-block"),
        ("", SLEEP, "reload"),
        ("ExecStartPre=/nonexistent/program\n", SLEEP, "status"),
        ("ExecStopPost=/nonexistent/program\n", SLEEP, "stop"),
    ];
    let types = ["simple", "exec", "oneshot", "forking", "notify"];
    let both = rows.iter().flat_map(move |row| types.map(|kind| (row, kind)));
    both.enumerate().map(|(number, ((lines, prog, verb), kind))| {
        let prog = match kind {
            "forking" => format!("({prog}) & exit 0"),
            "notify" => format!("systemd-notify --ready; {prog}"),
            _ => (*prog).to_owned(),
        };
        let seen = ["Stop", "StopPost"].map(|phase| format!("Exec{phase}=/bin/sh -c 'echo {phase} >> @DIR@/seen'\n"));
        let service = format!(
            "Type={kind}\nNotifyAccess=all\nTimeoutStartSec=2350ms\nTimeoutStopSec=600ms\n{lines}{}",
            seen.concat()
        );
        let verb = format!("systemctl {verb} U");
        let then =
            [(0, "systemctl start U"), (1500, &*verb), (4250, "systemctl is-active U"), (4500, "cat @DIR@/seen")];
        row("phase", number, "", &service, &prog, &then)
    })
}
