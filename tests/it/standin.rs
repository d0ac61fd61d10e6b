//! The stand-in server against what the real one was measured to do: order, words, log, exit codes, signals.

use relapse::timeline::{Event, EventKind, render_range};
use relapse::{Options, Outcome};
use rstest::rstest;

use crate::lockstep::{options, run};

const LOG: &str = "/home/app/logs/app.log";
const SERVE: &str = "venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000";
/// The same where its lines do not matter.
const HOLD: &str = "venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000 >>hold.log 2>&1";

/// A stand-in with a start-up of four seconds, a unit for it, and what is typed. The program block is the
/// measured server's plus `keys`; the run lasts half a minute beyond the last command.
fn stage(keys: &str, console: &str) -> Outcome {
    play(keys, console, options())
}

/// As `stage`, for those who look at the timeline: outputs are taken as they come.
fn watch(keys: &str, console: &str) -> Outcome {
    play(keys, console, Options { update: true, ..options() })
}

fn play(keys: &str, console: &str, options: Options) -> Outcome {
    let document = format!(
        r#"# Stand-in

```toml scenario
kind = "behaviour"
clock = 2026-11-23T16:42:09
pid = 43
directory = "/home/app"
hostname = "vm"
```

```toml program=uvicorn
path = "/home/app/venv/bin/python"
module = "uvicorn"
startup = ["4s"]
log-file = "{LOG}"
on-start = ["FSM Running session recovery on startup", "FSM Session recovery complete", "✅ FSM background cleanup task started"]
on-shutdown = ["FSM shutdown hook ran"]
{keys}
```

```ini unit=app.service
[Service]
WorkingDirectory=/home/app
ExecStart=/home/app/{SERVE}

[Install]
WantedBy=multi-user.target
```

```console
{console}
```

```expect
always port 9999 owner = none for 30s
```
"#
    );
    let outcome = run(&document, options);
    assert!(outcome.failures.is_empty(), "{}", relapse::report::text(&outcome, relapse::expect::Style::Plain));
    outcome
}

/// From the first command on, one event a line, without what the manager's properties were.
fn story(outcome: &Outcome) -> String {
    let events = outcome.timeline.events();
    let first = events.iter().position(|event| matches!(event.kind, EventKind::Command { .. })).expect("a command");
    render_range(&outcome.timeline, first..events.len())
        .iter()
        .zip(&events[first..])
        .filter(|(_, event)| !matches!(event.kind, EventKind::Properties { .. }))
        .map(|(line, _)| format!("{line}\n"))
        .collect()
}

/// What the process wrote to its standard streams (`None`) or to a file.
fn written(outcome: &Outcome, who: u32, file: Option<&str>) -> String {
    outcome
        .timeline
        .events()
        .iter()
        .filter_map(|Event { kind, .. }| match kind {
            EventKind::Log { pid: Some(pid), stream, line, .. }
                if *pid == who && stream == file.unwrap_or("stdout") =>
            {
                Some(format!("{line}\n"))
            }
            _ => None,
        })
        .collect()
}

/// The lines of a server without what differs between two of them.
fn without_pid(text: &str) -> String {
    let pid = regex::Regex::new(r"process \[\d+\]").expect("a pattern");
    pid.replace_all(text, "process [PID]").into_owned()
}

#[test]
fn a_refused_attempt_does_things_in_the_order_that_strace_showed() {
    let outcome = watch("", &format!("$ {HOLD} & sleep 5\n$ {SERVE}\n? 1"));
    insta::assert_snapshot!(story(&outcome));
}

#[test]
fn a_refused_attempt_writes_the_recorded_lines_to_standard_error_and_none_to_standard_output() {
    let recorded = include_str!("../../fixtures/logs/incident/failing.stderr").trim_end();
    let show = "wc -c <out; sed 's/.44.$/[45]/' err";
    stage("", &format!("$ {HOLD} & sleep 5; {SERVE} >out 2>err\n? 1\n$ {show}\n0\n{recorded}"));
}

#[test]
fn the_application_s_log_has_the_recorded_lines_at_incident_time() {
    // The start by hand, and the first failing attempt; the recorded second is 16:42:18 with a start at 16:42:14.
    let recorded: String =
        include_str!("../../fixtures/logs/incident/app.log").lines().take(7).map(|line| format!("{line}\n")).collect();
    let outcome = stage("", &format!("$ {HOLD} & sleep 5.5\n$ systemctl start app; sleep 10; cat {LOG}\n{recorded}"));
    // Healthy or doomed: the first three lines are the same.
    let doomed = written(&outcome, 44, Some(LOG));
    assert_eq!(
        doomed.lines().map(|line| &line[22..]).collect::<Vec<_>>(),
        [
            "FSM Running session recovery on startup",
            "FSM Session recovery complete",
            "✅ FSM background cleanup task started",
            "FSM shutdown hook ran"
        ]
    );
}

#[rstest]
#[case::measured_with_0_40("version = \"0.40\"", 1)]
#[case::the_last_that_exits_1("version = \"0.48.0\"", 1)]
#[case::the_first_that_exits_3("version = \"0.50.2\"", 3)]
#[case::measured_with_0_54("version = \"0.54\"", 3)]
#[case::as_0_40_unless_it_says("", 1)]
#[case::said_by_the_document("version = \"0.54\"\nexit-on-bind-error = 98", 98)]
#[case::workers("bind = \"before-startup\"", 1)]
#[case::workers_of_a_later_version("version = \"0.54\"\nbind = \"before-startup\"", 3)]
fn the_exit_code_of_a_refused_port_is_the_version_s(#[case] keys: &str, #[case] code: u8) {
    stage(keys, &format!("$ {HOLD} & sleep 5; {SERVE} 2>/dev/null; echo $?\n{code}"));
}

#[test]
fn who_binds_first_is_refused_before_anything_is_imported() {
    let outcome = stage(
        "bind = \"before-startup\"",
        &format!("$ {HOLD} & sleep 5\n$ {SERVE}; date +%T\nERROR:    [Errno 98] Address already in use\n16:42:14"),
    );
    assert_eq!(written(&outcome, 44, None), "ERROR:    [Errno 98] Address already in use\n");
    assert_eq!(written(&outcome, 44, Some(LOG)), "", "the recovery did not run");
}

/// `kill -SIGNAL` so long after the start. What the process wrote, what was logged, and how and when it ended.
#[rstest]
#[case::before_the_handlers_0_40("version = \"0.40\"", "TERM", "0.05", 0, "killed TERM", "16:42:09.050")]
#[case::before_the_handlers_0_54("version = \"0.54\"", "TERM", "0.05", 0, "killed TERM", "16:42:09.050")]
#[case::during_the_import_0_54("version = \"0.54\"", "TERM", "1.5", 0, "killed TERM", "16:42:10.500")]
#[case::during_the_import_0_40("version = \"0.40\"", "TERM", "1.5", 3, "killed TERM", "16:42:13.000")]
#[case::twice_during_the_import("version = \"0.40\"", "TERM $!; kill", "1.5", 3, "killed TERM", "16:42:13.000")]
#[case::just_before_the_handlers("sigterm-ready-after = \"1s\"", "TERM", "0.999", 0, "killed TERM", "16:42:09.999")]
#[case::just_with_the_handlers("sigterm-ready-after = \"1s\"", "TERM", "1", 3, "killed TERM", "16:42:13.000")]
#[case::ignored_only_once_there_are_handlers("sigterm = \"ignore\"", "TERM", "0.1", 0, "killed TERM", "16:42:09.100")]
#[case::kill_before_the_handlers("", "KILL", "0.05", 0, "killed KILL", "16:42:09.050")]
#[case::kill_during_the_import("", "KILL", "1.5", 0, "killed KILL", "16:42:10.500")]
#[case::kill_when_healthy("", "KILL", "7.03", 3, "killed KILL", "16:42:16.030")]
#[case::kill_what_ignores_the_rest(
    "sigterm = \"ignore\"",
    "TERM $!; kill -KILL",
    "7.03",
    3,
    "killed KILL",
    "16:42:16.030"
)]
#[case::healthy("", "TERM", "7.03", 4, "killed TERM", "16:42:16.200")]
#[case::healthy_0_54("version = \"0.54\"", "TERM", "7.03", 4, "killed TERM", "16:42:16.200")]
#[case::slow_to_notice("shutdown = \"2s\"", "TERM", "7.03", 4, "killed TERM", "16:42:17.100")]
#[case::quick_to_notice("shutdown = \"1ms\"", "TERM", "7.0305", 4, "killed TERM", "16:42:16.131")]
fn a_signal_does_what_was_measured(
    #[case] keys: &str,
    #[case] signal: &str,
    #[case] after: &str,
    #[case] logged: usize,
    #[case] end: &str,
    #[case] at: &str,
) {
    let outcome = watch(keys, &format!("$ {SERVE} & sleep {after}; kill -{signal} $!"));
    let story = story(&outcome);
    let ends: Vec<&str> = story.lines().filter(|line| line.contains("python[43] killed")).collect();
    assert_eq!(ends, [format!("{at} python[43] {end}")], "{story}");
    assert_eq!(written(&outcome, 43, Some(LOG)).lines().count(), logged, "{story}");
}

#[test]
fn a_signal_during_the_import_is_remembered_until_the_port_is_bound() {
    let outcome = watch("version = \"0.40\"", &format!("$ {SERVE} & sleep 1.5; kill $!"));
    insta::assert_snapshot!(story(&outcome));
}

#[test]
fn a_signal_during_the_import_of_a_doomed_attempt_changes_nothing_for_0_40() {
    let outcome = stage("", &format!("$ {HOLD} & sleep 5\n$ {SERVE} & sleep 1.5; kill $!; wait $!\n...\n? 1"));
    let recorded = without_pid(include_str!("../../fixtures/logs/incident/failing.stderr"));
    assert_eq!(without_pid(&written(&outcome, 44, None)), recorded);
}

#[test]
fn a_healthy_server_closes_its_port_first_and_then_runs_its_hook_and_dies_of_the_signal() {
    let outcome = watch("", &format!("$ {SERVE} & sleep 7.03; kill $!"));
    insta::assert_snapshot!(story(&outcome));
    let events = outcome.timeline.events();
    let at = |wanted: fn(&EventKind) -> bool| events.iter().find(|event| wanted(&event.kind)).expect("an event").at;
    let signal = at(|kind| matches!(kind, EventKind::Signal { signal: 15, .. }));
    let closed = at(|kind| matches!(kind, EventKind::Closed { .. }));
    assert!(closed.since(signal).as_micros() <= 100_000, "the listener closes within 100 ms");
}

#[test]
fn who_ignores_sigterm_serves_on() {
    stage(
        "sigterm = \"ignore\"",
        &format!(
            "$ {HOLD} & sleep 1; kill $!; sleep 6; kill $!; sleep 1; curl -s localhost:8000/health\n{{\"status\":\"ok\"}}"
        ),
    );
}

/// Row a2: the attempt that is importing when the port becomes free takes over.
#[test]
fn an_attempt_that_is_importing_takes_a_port_that_becomes_free() {
    let outcome = stage(
        "",
        &format!(
            "$ {HOLD} & echo $! >pid; sleep 5\n\
             $ systemctl start app; sleep 2; kill $(cat pid); sleep 5\n\
             $ systemctl show -p MainPID -p NRestarts -p SubState app\nMainPID=[UNIT]\nNRestarts=0\nSubState=running\n\
             $ lsof -t -i :8000\n[UNIT]"
        ),
    );
    assert!(!story(&outcome).contains("refused"), "{}", story(&outcome));
}

/// Rows c2 and m: what systemd sees of a stand-in that ends by a signal.
#[rstest]
#[case::stop_of_a_doomed_attempt(
    "",
    "systemctl start app; sleep 1.5; systemctl stop app; date +%T.%N",
    "16:42:18.040000000",
    "ExecMainCode=1\nExecMainStatus=1\nResult=exit-code\nSubState=failed"
)]
#[case::stop_of_a_doomed_attempt_0_54(
    "version = \"0.54\"",
    "systemctl start app; sleep 1.5; systemctl stop app; date +%T.%N",
    "16:42:15.500000000",
    "ExecMainCode=2\nExecMainStatus=15\nResult=success\nSubState=dead"
)]
#[case::term_in_the_import_0_54(
    "version = \"0.54\"",
    "systemctl start app; sleep 1.5; kill $(systemctl show -P MainPID app); date +%T.%N",
    "16:42:15.500000000",
    "ExecMainCode=2\nExecMainStatus=15\nResult=success\nSubState=dead"
)]
#[case::kill_in_the_import(
    "",
    "systemctl start app; sleep 1.5; kill -9 $(systemctl show -P MainPID app); date +%T.%N",
    "16:42:15.500000000",
    "ExecMainCode=2\nExecMainStatus=9\nResult=signal\nSubState=failed"
)]
fn the_manager_sees_how_a_doomed_attempt_ends(
    #[case] keys: &str,
    #[case] typed: &str,
    #[case] printed: &str,
    #[case] properties: &str,
) {
    stage(
        keys,
        &format!(
            "$ systemctl enable app 2>/dev/null; {HOLD} & sleep 5\n$ {typed}\n{printed}\n\
             $ systemctl show -p ExecMainCode -p ExecMainStatus -p Result -p SubState app | sort\n{properties}"
        ),
    );
}

#[rstest]
#[case::both_everywhere("0.0.0.0", "0.0.0.0", true)]
#[case::loopback_holds_everywhere("127.0.0.1", "0.0.0.0", true)]
#[case::everywhere_holds_loopback("0.0.0.0", "127.0.0.1", true)]
#[case::two_loopbacks("127.0.0.2", "127.0.0.1", false)]
// asyncio sets IPV6_V6ONLY: two servers, one port.
#[case::six_and_four("::", "0.0.0.0", false)]
#[case::six_and_six("::", "::1", true)]
fn addresses_conflict_as_the_kernel_has_it(#[case] holder: &str, #[case] second: &str, #[case] conflict: bool) {
    let serve = |host: &str| SERVE.replace("0.0.0.0", host);
    let outcome = watch("", &format!("$ {} & sleep 5\n$ {} & sleep 5", serve(holder), serve(second)));
    let refused = outcome.timeline.events().iter().any(|event| matches!(event.kind, EventKind::Refused { .. }));
    assert_eq!(refused, conflict, "{}", story(&outcome));
}

#[rstest]
#[case::a_port_that_is_none("--port 99999", "Error: Invalid value for '--port': '99999' is not a valid integer.")]
#[case::a_word_for_a_port("--port=http", "Error: Invalid value for '--port': 'http' is not a valid integer.")]
#[case::no_port("--port", "Error: Option '--port' requires an argument.")]
#[case::no_host("--host", "Error: Option '--host' requires an argument.")]
fn a_command_line_that_makes_no_sense_is_refused(#[case] argument: &str, #[case] message: &str) {
    stage("", &format!("$ venv/bin/python -m uvicorn src.main:app {argument}\n{message}\n? 2"));
}

#[test]
fn a_program_that_no_block_describes_says_so() {
    stage(
        "",
        "$ venv/bin/python -m flask\npython: no program block of the scenario describes `venv/bin/python -m flask`; add one, or give it a match\n? 127",
    );
}
