//! A server that tells the manager when it is ready: what Type=notify and WatchdogSec= make of a taken port, of a start
//! that takes too long, and of a server that no longer answers for itself.

use relapse::timeline::{EventKind, render_range};
use relapse::{Options, Outcome};

use crate::lockstep::{options, run};

/// A server with two seconds of start-up and a unit for it; what is typed, and what it prints if that is said.
fn stage(keys: &str, settings: &str, console: &str) -> Outcome {
    play(keys, settings, console, options())
}

/// As `stage`, for those who look at the timeline.
fn watch(keys: &str, settings: &str, console: &str) -> Outcome {
    play(keys, settings, console, Options { update: true, ..options() })
}

fn play(keys: &str, settings: &str, console: &str, options: Options) -> Outcome {
    let document = format!(
        r#"# Notifying

```toml scenario
kind = "behaviour"
clock = 2026-01-16T12:00:00
```

```toml program=uvicorn
path = "/home/app/bin/uvicorn"
startup = ["2s"]
{keys}
```

```ini unit=app.service
[Service]
Type=notify
{settings}
ExecStart=/home/app/bin/uvicorn --port 8000
```

```console
{console}
```

```expect
always port 9 owner = none for 1s
```
"#
    );
    let outcome = run(&document, options);
    assert!(outcome.failures.is_empty(), "{}", relapse::report::text(&outcome, relapse::expect::Style::Plain));
    outcome
}

/// What the manager logged, and what else is worth telling, one event a line.
fn story(outcome: &Outcome) -> Vec<String> {
    let events = outcome.timeline.events();
    let lines = render_range(&outcome.timeline, 0..events.len());
    lines
        .into_iter()
        .zip(events)
        .filter_map(|(line, event)| match &event.kind {
            EventKind::Journal { unit, .. } => (unit.as_deref() == Some("app.service")).then_some(line),
            EventKind::Listening { .. } | EventKind::Refused { .. } | EventKind::Exit { .. } => Some(line),
            EventKind::Properties { unit, changed, .. } if unit == "app.service" => {
                Some(format!("{} {}", line.split(' ').next()?, changed.get("SubState")?))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_start_is_done_when_the_server_listens_and_says_so() {
    stage(
        "notify = \"ready\"",
        "",
        "$ systemctl start app & sleep 1.999; systemctl is-active app; wait; date +%T.%3N; systemctl is-active app\n\
         activating\n12:00:02.000\nactive",
    );
    let outcome =
        watch("notify = \"ready\"", "", "$ systemctl start app; kill $(systemctl show -P MainPID app); sleep 1");
    insta::assert_snapshot!(story(&outcome).join("\n"));
}

#[test]
fn a_taken_port_fails_the_start_itself() {
    // A simple service would have been started by now, and its loop unseen.
    let outcome = stage(
        "notify = \"ready\"",
        "Restart=on-failure\nRestartSec=10",
        "$ /home/app/bin/uvicorn --port 8000 >/dev/null 2>&1 & sleep 3\n\
         $ systemctl start app & sleep 1; systemctl is-active app; wait $!; echo $?; date +%T; systemctl is-active app\n\
         activating\n\
         Job for app.service failed because the control process exited with error code.\n\
         See \"systemctl status app.service\" and \"journalctl -xeu app.service\" for details.\n\
         1\n12:00:05\nactivating\n? 3\n\
         $ systemctl show app -p Result,SubState,NRestarts\n\
         Result=exit-code\nNRestarts=0\nSubState=auto-restart",
    );
    insta::assert_snapshot!(story(&outcome).join("\n"));
}

#[test]
fn a_server_that_never_says_it_is_ready_times_out_although_it_serves() {
    stage(
        "",
        "TimeoutStartSec=3",
        "$ systemctl start app; echo $?; systemctl show app -p Result,ActiveState\n\
         Job for app.service failed because a timeout was exceeded.\n\
         See \"systemctl status app.service\" and \"journalctl -xeu app.service\" for details.\n\
         1\nResult=timeout\nActiveState=failed\n\
         $ journalctl -q -o cat -u app _PID=1\n\
         Starting app.service...\n\
         app.service: start operation timed out. Terminating.\n\
         app.service: Failed with result 'timeout'.\n\
         Failed to start app.service.",
    );
}

#[test]
fn a_watchdog_that_is_fed_does_not_bite() {
    stage(
        "notify = \"ready\"",
        "WatchdogSec=2",
        "$ systemctl start app; sleep 60.5; systemctl show app -p ActiveState,NRestarts,WatchdogUSec,WatchdogTimestamp\n\
         WatchdogUSec=2s\nWatchdogTimestamp=Fri 2026-01-16 12:01:02 UTC\nNRestarts=0\nActiveState=active",
    );
}

#[test]
fn a_watchdog_that_is_not_fed_aborts_the_server() {
    let outcome = watch(
        "notify = \"silent\"",
        "WatchdogSec=3\nRestart=on-watchdog\nRestartSec=1\nLimitCORE=0",
        "$ systemctl start app; sleep 4",
    );
    insta::assert_snapshot!(story(&outcome).join("\n"));
}
