//! `relapse predict`: the manager on an imagined machine.

use std::fs;
use std::process::Command;

use relapse::manager::{ExecRole, Exit};
use relapse::time::Span;
use relapse::unit::{Files, Profile};
use relapse::world::{Attempt, Ends, Forecast};

const UNIT: &str = "[Service]\nExecStart=/usr/bin/app\nRestart=always\n";

fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

/// Restart settings, what a start takes, how it ends; starts in an hour, the end, and whether a limit ended it.
const ROWS: &[(&str, u64, Exit, u32, &str, bool)] = &[
    ("RestartSec=10\n", 4_440, Exit::Code(1), 249, "active/running", false),
    ("RestartSec=100ms\n", 0, Exit::Code(1), 5, "failed/failed", true),
    ("RestartSec=1\n", 300, Exit::Signal(9), 5, "failed/failed", true),
    ("RestartSec=1\n[Unit]\nStartLimitIntervalSec=0\n", 300, Exit::Code(1), 2_401, "active/running", false),
    ("RestartSec=10\n[Unit]\nStartLimitIntervalSec=300\n", 4_440, Exit::Code(1), 5, "failed/failed", true),
    // In [Service] it is an unknown key, and the default of 10 s goes on to apply.
    ("RestartSec=10\nStartLimitIntervalSec=300\n", 4_440, Exit::Code(1), 249, "active/running", false),
    ("RestartSec=10\nRestart=on-failure\n", 1_000, Exit::Code(0), 1, "inactive/dead", false),
    ("RestartSec=10\nRestart=no\n", 1_000, Exit::Code(1), 1, "failed/failed", false),
    ("RestartSec=10\nRestartPreventExitStatus=75\n", 1_000, Exit::Code(75), 1, "failed/failed", false),
];

#[test]
fn an_hour_of_a_unit_that_keeps_ending_has_the_starts_and_the_end_that_systemd_gives_it() {
    for (settings, starts_in, exit, starts, end, limited) in ROWS {
        let predicted = Forecast::of("app.service", &format!("{UNIT}{settings}"))
            .starts_in(ms(*starts_in))
            .ends(Ends::With(*exit))
            .run_for(Span::from_secs(3_600));
        let found = format!("{}/{}", predicted.active_state, predicted.sub_state);
        assert_eq!((predicted.starts, found.as_str()), (*starts, *end), "{settings}");
        assert_eq!(predicted.limited_at.is_some(), *limited, "{settings}");
        assert_eq!(predicted.nrestarts + 1, predicted.starts + u32::from(*limited), "{settings}");
    }
}

#[test]
fn a_service_serves_one_start_up_after_the_next_start_once_its_port_is_free() {
    let forecast = Forecast::of("app.service", &format!("{UNIT}RestartSec=10\n")).starts_in(ms(4_400));
    // Freed during a wait, during an attempt, and before anything.
    for (free, serves) in [(ms(60_000), ms(62_400)), (ms(50_000), ms(62_400)), (ms(0), ms(4_400))] {
        let ends = Ends::UntilPortIsFree { with: Exit::Code(1), after: free };
        let predicted = forecast.clone().ends(ends).run_for(Span::from_secs(600));
        assert_eq!(predicted.serves_at, Some(serves), "{free}");
        assert!(!predicted.goes_on());
        assert_eq!((predicted.active_state, predicted.sub_state), ("active", "running"));
    }
}

#[test]
fn what_systemd_would_warn_of_and_refuse_is_told() {
    let warned = Forecast::of("app.service", &format!("{UNIT}RestartSec=10 # ten\n")).run_for(ms(1));
    let warning = "/etc/systemd/system/app.service:4: Failed to parse sec value, ignoring: 10 # ten";
    assert_eq!(warned.warnings, [warning]);
    let refused = Forecast::of("app.service", "[Service]\nType=simple\n").run_for(ms(1));
    assert_eq!(refused.refused.as_deref(), Some("Unit app.service has a bad unit file setting."));
}

/// What each start takes and how it ends, and the unit's text from a moment on.
#[test]
fn starts_may_differ_and_the_unit_may_be_loaded_anew() {
    let ends = |millis, exit| Attempt { takes: ms(millis), ends: exit };
    let failed = Some(Exit::Code(1));
    let forecast = Forecast::of("app.service", &format!("{UNIT}RestartSec=10\n"));
    let attempts = vec![ends(4_400, failed), ends(500, Some(Exit::Signal(9))), ends(4_400, None)];
    let predicted = forecast.clone().attempts(ExecRole::Start, attempts).run_for(Span::from_secs(600));
    assert_eq!(predicted.started_at, [ms(0), ms(14_500), ms(25_000)]);
    assert_eq!((predicted.sub_state, predicted.nrestarts), ("running", 2));
    assert_eq!(predicted.serves_at, Some(ms(29_400)));
    // The wait is measured anew from the end of the attempt.
    let slower = format!("{UNIT}RestartSec=30\n");
    let loops = forecast.clone().starts_in(ms(4_400)).reload(ms(10_000), &slower).run_for(Span::from_secs(100));
    assert_eq!(loops.started_at, [ms(0), ms(34_500), ms(69_000)]);
    let off = forecast.starts_in(ms(4_400)).reload(ms(20_000), &format!("{UNIT}Restart=no\n"));
    let off = off.run_for(Span::from_secs(600));
    // The restart that was under way is made; the next one is not.
    assert_eq!((off.starts, off.active_state), (3, "failed"));
}

#[test]
fn other_commands_of_the_unit_may_fail_or_stay() {
    let forecast = Forecast::of("app.service", &format!("{UNIT}RestartSec=10\nExecStartPre=/usr/bin/check\n"));
    let fails = forecast.clone().command(ExecRole::StartPre, Some(Exit::Code(1))).run_for(Span::from_secs(3_600));
    assert_eq!((fails.starts, fails.pace, fails.goes_on()), (0, Some(ms(10_000)), true));
    assert_eq!(fails.restarts_per_hour(), 360);
    // What is skipped is not tried again, and its result is kept.
    let condition = Forecast::of("app.service", &format!("{UNIT}RestartSec=10\nExecCondition=/usr/bin/check\n"));
    let skipped = condition.command(ExecRole::Condition, Some(Exit::Code(1))).run_for(Span::from_secs(3_600));
    assert_eq!((skipped.starts, skipped.active_state, skipped.result), (0, "inactive", "exec-condition"));
    let stays = forecast.command(ExecRole::StartPre, None).run_for(Span::from_secs(3_600));
    // Until TimeoutStartSec=, 90 s.
    assert_eq!((stays.starts, stays.pace), (0, Some(ms(100_000))));
}

#[test]
fn a_delay_that_grows_is_told_as_it_is_in_the_end() {
    let unit = format!("{UNIT}RestartSec=5\nRestartSteps=4\nRestartMaxDelaySec=80\n");
    let predicted = Forecast::of("app.service", &unit).profile(Profile::V257).run_for(Span::from_secs(86_400));
    let gaps: Vec<u64> = predicted
        .started_at
        .windows(2)
        .take(6)
        .map(|pair| pair[1].saturating_sub(pair[0]).as_micros() / 1_000_000)
        .collect();
    assert_eq!(gaps, [5, 10, 20, 40, 80, 80]);
    assert_eq!((predicted.pace, predicted.restarts_per_day()), (Some(ms(80_000)), 1_080));
    // 252 knows neither setting.
    let before = Forecast::of("app.service", &unit).run_for(Span::from_secs(3_600));
    assert_eq!(before.pace, Some(ms(5_000)));
}

#[test]
fn what_a_unit_asks_of_others_does_not_end_as_it_does() {
    let mut files = Files::default();
    files.insert(
        "/etc/systemd/system/app.service",
        format!("[Unit]\nRequires=db.service\nAfter=db.service\n{UNIT}RestartSec=10\n"),
    );
    files.insert("/etc/systemd/system/db.service", "[Service]\nType=notify\nExecStart=/usr/bin/db\n");
    let predicted = Forecast::in_files("app.service", files).starts_in(ms(4_440)).run_for(Span::from_secs(3_600));
    assert_eq!((predicted.refused, predicted.starts), (None, 249));
}

fn predict(arguments: &[&str]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("app.service"), format!("{UNIT}RestartSec=10\n")).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .arg("predict")
        .args(arguments)
        .current_dir(directory.path())
        .output()
        .expect("relapse runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_command_tells_states_and_what_they_come_to() {
    let (code, out, _) = predict(&["app.service", "--starts-in", "4.44s", "--for", "20s"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(out, @r#"
    app.service

               0  active (running)
           4.44s  activating (auto-restart, exit-code)
           14.5s  active (running)  NRestarts=1
          18.94s  activating (auto-restart, exit-code)  NRestarts=1

    It is started every 14.5s, for ever: 248 restarts an hour, 5958 a day.
    Its start limit of 5 starts in 10s never ends that: it does only where a cycle takes less than 2s.
    "#);
    let (code, out, _) = predict(&["app.service", "--sweep", "RestartSec=500ms..5s", "--starts-in", "300ms"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(out, @r#"
      RestartSec      period  per hour   restarts/day  in the end
           500ms          1s         4              4  start limit at 5s
              1s        1.5s         4              4  start limit at 7.5s
              2s        2.5s      1440          34560  goes on
              5s        5.5s       654          15709  goes on
    "#);
    let (code, out, _) = predict(&["app.service", "--format", "json", "--exits", "KILL", "--for", "1h"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(out, @r#"
    {"unit":"app.service","starts":361,"restarts_per_day":8640,"period_us":{"min":10000000,"median":10000000,"max":10000000},"active_state":"activating","sub_state":"auto-restart","result":"signal","nrestarts":360,"limited_at_us":null,"serves_at_us":null,"for_us":3600000000,"restarts_per_hour":360,"pace_us":10000000}
    "#);
}

#[test]
fn a_unit_that_is_required_and_not_there_is_taken_to_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let unit = format!("[Unit]\nRequires=db.service cache.socket\nAfter=db.service\n{UNIT}RestartSec=10\n");
    fs::write(directory.path().join("app.service"), unit).expect("written");
    let run = |unit: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
        command.args(["predict", unit, "--for", "1h"]).current_dir(directory.path()).output().expect("relapse runs")
    };
    let output = run("app.service");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // One that cannot be started at all.
    fs::write(directory.path().join("no.service"), "[Service]\nType=simple\n").expect("written");
    let output = run("no.service");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad unit file setting"));
}

#[test]
fn a_sweep_is_drawn_with_a_point_for_each_value_and_labels_that_do_not_overlap() {
    let (code, _, _) = predict(&["app.service", "--sweep", "RestartSec=100ms..60s", "--svg", "/dev/null"]);
    assert_eq!(code, Some(0));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sweep.svg");
    let (code, _, _) = predict(&[
        "app.service",
        "--starts-in",
        "300ms",
        "--sweep",
        "RestartSec=100ms..60s",
        "--svg",
        file.to_str().expect("UTF-8"),
    ]);
    assert_eq!(code, Some(0));
    let svg = fs::read_to_string(file).expect("drawn");
    let number = |line: &str, key: &str| -> u64 {
        let rest = line.split(&format!("{key}=\"")).nth(1).expect("an attribute");
        rest.split('"').next().and_then(|text| text.parse().ok()).expect("a number")
    };
    let points = svg.lines().filter(|line| line.contains("<title>"));
    assert_eq!(points.count(), 10);
    let labels: Vec<u64> =
        svg.lines().filter(|line| line.contains("font-size=\"10\"")).map(|line| number(line, "text x")).collect();
    assert!(labels.windows(2).all(|pair| pair[1] >= pair[0] + 30), "{labels:?}");
    assert_eq!((svg.matches("the start limit ends it").count(), svg.matches("a day, goes on").count()), (4, 6));
    assert!(svg.ends_with("</svg>") || svg.ends_with("</svg>\n"));
}

#[test]
fn bad_input_is_one_clear_error() {
    for (arguments, wanted) in [
        (&["no.service"][..], "no.service: there is no such file"),
        (&["app.service", "--exits", "256"], "expected an exit code from 0 to 255, or a signal such as KILL"),
        (&["app.service", "--starts-in", "soon"], "expected a time span such as 4.4s or 1min 30s"),
        (&["app.service", "--sweep", "Restart=1s..2s"], "one of RestartSec, RestartMaxDelaySec"),
        (&["app.service", "--sweep", "RestartSec=2s..1s"], "the shorter one first"),
        (&["app.service", "--svg", "x.svg"], "--sweep"),
    ] {
        let (code, out, said) = predict(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
}
