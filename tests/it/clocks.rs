//! Runs on a wall clock: the same verdicts and the same order as in lock-step, and no claim of violation that only
//! lateness explains. Nothing here asserts an upper bound in real time.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relapse::timeline::{Ended, EventKind};
use relapse::{ClockKind, Options, Outcome, Verdict, report};
use rstest::rstest;

use crate::lockstep::{console, holds, options, run};

fn with(clock: &str) -> Options {
    Options { clock: clock.parse::<ClockKind>().expect("a clock"), ..options() }
}

/// A loop of about four seconds: one of import, three of waiting. Bounds that no slow machine can miss.
const LOOP: &str = r#"# Loop

```toml scenario
kind = "behaviour"
clock = 2026-01-16T12:00:00
client = { port = 8000, every = "500ms" }
```

```toml program=uvicorn
path = "/home/app/bin/python"
startup = ["1s"]
startup-cpu = 50
log-file = "/home/app/logs/app.log"
on-start = ["recovery"]
on-shutdown = ["shutdown"]
```

```ini unit=app.service
[Service]
ExecStart=/home/app/bin/python -m uvicorn --port 8000
Restart=always
RestartSec=3
```

```console
$ /home/app/bin/python -m uvicorn --port 8000 >/dev/null 2>&1 & echo $! >/home/app/pid
```

```expect
eventually port 8000 owner != none within 5min
```

```console
$ systemctl start app
$ sleep 2; systemctl is-enabled app
static
```

```expect
3x log "recovery" every 3s .. 10min
each cycle: start, log "recovery", refused 8000, exit 1, restart in 3s
never start-limit-hit for 20s
```

```console
$ kill $(cat /home/app/pid)
```

```expect
eventually port 8000 owner = unit within 10min
```

```expect
always port 8000 owner = unit for 2s
```
"#;

/// Events without their times and without what a clock decides: how often a client asked.
fn order(outcome: &Outcome) -> Vec<String> {
    let unit = |unit: &Option<String>| unit.clone().unwrap_or_else(|| "by hand".to_owned());
    outcome
        .timeline
        .events()
        .iter()
        .filter_map(|event| {
            Some(match &event.kind {
                EventKind::Start { unit: of, .. } => format!("{} start", unit(of)),
                EventKind::Exit { unit: of, ended, .. } => format!("{} {ended:?}", unit(of)),
                EventKind::Log { unit: of, stream, line, .. } if stream != "stdout" => {
                    format!("{} {}", unit(of), line.rsplit(" | ").next().unwrap_or_default())
                }
                EventKind::Listening { unit: of, port, .. } => format!("{} listening {port}", unit(of)),
                EventKind::Refused { unit: of, port, .. } => format!("{} refused {port}", unit(of)),
                EventKind::RestartIn { delay, .. } => format!("restart in {delay}"),
                _ => return None,
            })
        })
        .collect()
}

#[test]
fn a_wall_clock_gives_the_verdict_and_the_order_of_lock_step() {
    // On a machine that is too busy for this clock a run says that it cannot tell, and wants a slower one.
    let mut clocks = ["scaled:20", "scaled:10", "scaled:4"].into_iter();
    let outcome = loop {
        let clock = clocks.next().expect("one of the clocks is slow enough");
        let outcome = run(LOOP, with(clock));
        assert_eq!(outcome.clock, clock);
        if outcome.verdict != Verdict::Inconclusive {
            break outcome;
        }
    };
    holds(&outcome);
    let attempt = [
        "app.service start",
        "app.service recovery",
        "app.service refused 8000",
        "app.service shutdown",
        "app.service Exited(1)",
        "restart in 3s",
    ];
    let events = order(&outcome);
    let text = events.join("\n");
    assert!(text.starts_with("by hand start\nby hand recovery\nby hand listening 8000\napp.service start\n"), "{text}");
    // Each refused attempt has its steps in the order of lock-step, and there are three at least.
    let refused = events.iter().filter(|event| *event == "app.service refused 8000").count();
    assert!(refused >= 3, "{text}");
    assert!(text.matches(&attempt.join("\n")).count() >= 3, "{text}");
    // What was killed ended by the signal. It closes the port before it ends, so the unit may have it even earlier.
    assert!(events.iter().any(|event| event == "by hand Killed(15)"), "{text}");
    assert!(events.iter().any(|event| event == "app.service listening 8000"), "{text}");
    // Lower bounds are hard on every clock: no import below a second, no restart before RestartSec.
    let mut started = None;
    let mut ended = None;
    for event in outcome.timeline.events() {
        match &event.kind {
            EventKind::Start { unit: Some(_), .. } => {
                if let Some(ended) = ended {
                    assert!(event.at.since(ended).as_micros() >= 3_000_000, "a restart before its time: {event:?}");
                }
                started = Some(event.at);
            }
            EventKind::Refused { unit: Some(_), .. } => {
                assert!(event.at.since(started.expect("a start")).as_micros() >= 1_000_000, "{event:?}");
            }
            EventKind::Exit { unit: Some(_), .. } => ended = Some(event.at),
            _ => {}
        }
    }
    let outage = outcome.outage.expect("a client");
    assert!(outage.requests > outage.failed && outage.failed > 0, "{outage:?}");
}

#[rstest]
#[case::real("real")]
#[case::scaled("scaled:10")]
fn commands_take_their_time_on_a_wall_clock(#[case] clock: &str) {
    // Seconds since the beginning, at least what was slept; a shell that reaps its children itself.
    holds(&console(
        "$ begin=$(date +%s%N); sleep 0.3 & sleep 0.2; wait; end=$(date +%s%N); [ $((end - begin)) -ge 300000000 ] && echo enough\nenough\n\
         $ timeout 0.2 sleep 1000; echo $?\n124\n\
         $ sleep 1000 & kill $!; wait $! 2>/dev/null; echo $?\n143\n\
         $ ps -C sleep -o pid=; pgrep sleep\n? 1",
        with(clock),
    ));
}

#[test]
fn a_program_with_a_timer_of_its_own_runs_on_a_wall_clock() {
    holds(&console("$ /usr/bin/../bin/sleep 0.2; echo done\ndone", with("real")));
}

/// In lock-step this holds to the microsecond; ten thousand times as fast no cycle can be done in time.
#[test]
fn what_only_lateness_explains_is_inconclusive() {
    let end = LOOP.find("each cycle").expect("the second claim");
    let document = format!("{}```\n", LOOP[..end].replace("3s .. 10min", "4s .. 4300ms"));
    holds(&run(&document, options()));
    let late = run(&document, with("scaled:10000"));
    assert_eq!(late.verdict, Verdict::Inconclusive, "{}", report::text(&late, relapse::expect::Style::Plain));
    assert!(!late.failures.is_empty());
    assert_eq!(report::exit_code(&[late]), 3);
}

#[test]
fn what_lateness_does_not_explain_never_holds_on_a_wall_clock() {
    // Too early is never late: the restart comes after three seconds, not after thirty.
    let document = LOOP.replace("3x log \"recovery\" every 3s .. 10min", "3x log \"recovery\" every 30s .. 10min");
    let outcome = run(&document, with("scaled:4"));
    assert!(matches!(outcome.verdict, Verdict::Violated | Verdict::Inconclusive), "{:?}", outcome.verdict);
    // An output is no matter of time; unless the machine itself was late.
    let outcome = console("$ echo other\ngood", with("real"));
    assert!(matches!(outcome.verdict, Verdict::Violated | Verdict::Inconclusive), "{:?}", outcome.verdict);
}

/// Nobody announces the end of a process whose parent is gone, and nobody who reaps it is the run.
#[test]
fn the_end_of_an_orphan_is_noticed_on_a_wall_clock() {
    let document = LOOP.replace(
        "ExecStart=/home/app/bin/python -m uvicorn --port 8000\nRestart=always",
        "Type=forking\nExecStart=/bin/sh -c '(sleep 2; exit 7) & exit 0'\nRestart=no\nRestart=on-failure",
    );
    let begin = document.find("```console").expect("a console block");
    let document = format!(
        "{}```console\n$ systemctl start app; systemctl is-active app\nactive\n```\n\n\
         ```expect\neventually unit.NRestarts >= 1 within 10min\n```\n",
        &document[..begin]
    );
    let outcome = run(&document, with("scaled:5"));
    holds(&outcome);
    let ended = outcome.timeline.events().iter().any(|event| {
        matches!(&event.kind, EventKind::Exit { unit: Some(unit), ended: Ended::Exited(7), .. } if unit == "app.service")
    });
    assert!(ended, "the orphan's exit code is known:\n{}", relapse::timeline::render(&outcome.timeline));
}

#[rstest]
#[case("real", Signal::SIGINT, 130)]
#[case("scaled:3", Signal::SIGTERM, 143)]
fn a_signal_ends_a_run_on_a_wall_clock_in_good_order(#[case] clock: &str, #[case] signal: Signal, #[case] code: i32) {
    let directory = tempfile::tempdir().expect("a directory");
    let runs = directory.path().join("runs");
    fs::create_dir(&runs).expect("a directory");
    let scenario = directory.path().join("long.md");
    // Without the signal it would take days, and the test with it.
    fs::write(&scenario, LOOP.replace("$ kill $(cat /home/app/pid)", "$ touch /home/app/ready; sleep 30d"))
        .expect("a file");
    let text = fs::read_to_string(&scenario).expect("the file").replace("kind =", "budget = \"1000d\"\nkind =");
    let text = text.replace("3x log \"recovery\" every 3s .. 10min\neach cycle: start, log \"recovery\", refused 8000, exit 1, restart in 3s\nnever start-limit-hit for 20s", "eventually port 8000 owner != none within 5min");
    fs::write(&scenario, text).expect("a file");
    let child = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["run", "--clock", clock, "--format", "json", "--artifacts"])
        .arg(directory.path().join("kept"))
        .arg(&scenario)
        .env("TMPDIR", &runs)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("relapse starts");
    // The last command of the scenario says that it is under way.
    let is_ready = || {
        fs::read_dir(&runs)
            .ok()
            .and_then(|mut entries| entries.next()?.ok())
            .is_some_and(|run| run.path().join("root/home/app/ready").exists())
    };
    while !is_ready() {
        std::thread::yield_now();
    }
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a PID")), signal).expect("the signal is sent");
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    let object: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("the object of the run that was ended");
    assert_eq!(object["verdict"], "error");
    assert_eq!(fs::read_dir(&runs).expect("the directory").count(), 0, "the run's directory is removed");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("1 scenario: 0 hold, 1 error"), "{text}");
}
