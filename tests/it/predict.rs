//! `relapse predict`: the manager on an imagined machine.

use std::fs;
use std::process::Command;

use relapse::Scenario;
use relapse::manager::Exit;
use relapse::time::Span;
use relapse::timeline::EventKind;
use relapse::world::{Ends, Forecast};

use crate::lockstep::options;

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

/// The unit of each page whose program is the same from beginning to end, on processes and in the model.
#[test]
fn predictions_agree_with_processes_for_the_incidents_of_the_library() {
    let mut compared = 0;
    for name in crate::library::pages() {
        let scenario = Scenario::load(format!("scenarios/{name}")).unwrap_or_else(|error| panic!("{error}"));
        let (Some(unit), [block]) = (&scenario.unit, &scenario.programs().collect::<Vec<_>>()[..]) else { continue };
        if scenario.kind != relapse::scenario::Kind::Incident || block.program.startup.len() != 1 {
            continue;
        }
        let text: Vec<&str> = scenario.units().filter(|block| block.name == *unit).map(|block| block.text()).collect();
        let [text] = text[..] else { continue };
        let outcome = scenario.run(&options()).expect("the run begins");
        let events = outcome.timeline.events();
        let is_main = |kind: &EventKind| matches!(kind, EventKind::Start { unit: Some(whose), role: Some(role), .. } if whose == unit && role == "ExecStart");
        let starts: Vec<_> = events.iter().filter(|event| is_main(&event.kind)).map(|event| event.at).collect();
        let refused = events.iter().filter(|event| matches!(event.kind, EventKind::Refused { .. })).count();
        // Where somebody stops or kills it, or it serves first, there is no one way in which it ends.
        let gaps: Vec<Span> = starts.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        if starts.len() < 3 || refused + 1 < starts.len() || gaps.iter().max() != gaps.iter().min() {
            continue;
        }
        let code = u8::from(block.program.exit_on_bind_error.is_none_or(|code| code != 0));
        let start_up = block.program.startup[0].span + block.program.teardown.unwrap_or(ms(40));
        let span = outcome.timeline.events().last().expect("events").at.since(starts[0]);
        let predicted = Forecast::of(unit, text).starts_in(start_up).ends(Ends::With(Exit::Code(code))).run_for(span);
        assert_eq!(predicted.starts as usize, starts.len(), "{name}");
        compared += 1;
    }
    assert!(compared >= 5, "{compared} units were compared");
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

    It is started every 14.5s, for ever: 5958 restarts a day.
    Its start limit of 5 starts in 10s never ends that: it does only where a cycle takes less than 2s.
    "#);
    let (code, out, _) = predict(&["app.service", "--sweep", "RestartSec=500ms..5s", "--starts-in", "300ms"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(out, @r#"
      RestartSec      period   restarts/day  in the end
           500ms          1s              4  start limit at 5s
              1s        1.5s              4  start limit at 7.5s
              2s        2.5s          34560  goes on
              5s        5.5s          15709  goes on
    "#);
    let (code, out, _) = predict(&["app.service", "--format", "json", "--exits", "KILL", "--for", "1h"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(out, @r#"
    {"unit":"app.service","starts":361,"restarts_per_day":8640,"period_us":{"min":10000000,"median":10000000,"max":10000000},"active_state":"activating","sub_state":"auto-restart","result":"signal","nrestarts":360,"limited_at_us":null,"serves_at_us":null,"for_us":3600000000}
    "#);
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
