//! What makes the runs of a loop end: each kind of cause, and what outranks what.

use serde_json::{Value, json};

use crate::detect_corpus::Case;
use crate::detect_corpus::render::{FORMATS, Format, Found, journals, some};
use crate::detect_corpus::story::{CRASH, Crash, MS, SEC, Story, Unit};

const FEW: [Format; 3] = [Format::Short, Format::ShortFull, Format::Json];

/// A loop of five starts of `app.service` whose runs end as CRASH says.
fn ends(name: &'static str, rule: &'static str, crash: Crash<'_>, cause: Value, formats: &[Format]) -> Case {
    let (mut story, mut unit) = (Story::new(name).on("db-01"), Unit::new("app.service", "App", "app"));
    story.started(&mut unit).crashes(&mut unit, 4, crash);
    Case::new(name, rule, some(&story, formats, &[Found::unit("app.service", 5).cause(cause)]))
}

fn exits() -> Vec<Case> {
    let signal = |signal: &str| json!({"kind": "signal", "signal": signal});
    let code = |status: u8| json!({"kind": "exit-code", "status": status});
    let with = |how, result| Crash { how, result, ..CRASH };
    vec![
        ends("cause-signal-kill", "killed", with("code=killed, status=9/KILL", "signal"), signal("KILL"), &FORMATS),
        ends(
            "cause-signal-oom",
            "the kernel's line is no cause of its own",
            Crash { last_words: "allocating 8 GiB", how: "code=killed, status=9/KILL", result: "oom-kill", ..CRASH },
            signal("KILL"),
            &FEW,
        ),
        ends(
            "cause-core-dump",
            "dumped core",
            with("code=dumped, status=11/SEGV", "core-dump"),
            json!({"kind": "core-dump", "signal": "SEGV"}),
            &FORMATS,
        ),
        ends("cause-exit-0", "a clean exit is no cause", with("", "success"), Value::Null, &FORMATS),
        ends(
            "cause-exit-3",
            "another status",
            with("code=exited, status=3/NOTIMPLEMENTED", "exit-code"),
            code(3),
            &FEW,
        ),
        ends(
            "cause-already-running",
            "`already running` is no port",
            Crash { last_words: "another instance is already running (pid 8000)", ..CRASH },
            code(1),
            &FEW,
        ),
        ends(
            "cause-lock-held",
            "a lock is no port",
            Crash {
                last_words: "could not lock /run/app/8000.lock: Resource temporarily unavailable: already in use",
                how: "code=exited, status=75/TEMPFAIL",
                ..CRASH
            },
            code(75),
            &FEW,
        ),
        ends(
            "cause-container-name",
            "a container's name in use is no port",
            Crash {
                last_words: "docker: Error response from daemon: Conflict. The container name \"/web\" is already in \
                             use by container \"8f3c\". You have to remove (or rename) that container.",
                how: "code=exited, status=125/n/a",
                ..CRASH
            },
            code(125),
            &FEW,
        ),
    ]
}

/// Bind errors, each program in its own words, before an exit.
fn ports() -> Vec<Case> {
    let words: [(&'static str, &'static str, &str, Value); 9] = [
        (
            "port-uvicorn-workers",
            "uvicorn --workers shows no port",
            "ERROR:    [Errno 98] Address already in use",
            Value::Null,
        ),
        (
            "port-gunicorn",
            "gunicorn",
            "[2026-01-16 12:19:04 +0000] [77] [ERROR] Connection in use: ('0.0.0.0', 8080)",
            json!(8080),
        ),
        ("port-node", "node", "Error: listen EADDRINUSE: address already in use :::3000", json!(3000)),
        ("port-go", "Go", "2026/01/16 12:19:04 listen tcp :9090: bind: address already in use", json!(9090)),
        ("port-go-v6", "Go, an IPv6 address", "listen tcp [::1]:9091: bind: address already in use", json!(9091)),
        ("port-nginx", "nginx", "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", json!(80)),
        ("port-java", "Java", "Caused by: java.net.BindException: Address already in use (Bind failed)", Value::Null),
        ("port-spring", "Spring Boot", "Web server failed to start. Port 8081 was already in use.", json!(8081)),
        (
            "port-docker",
            "Docker",
            "docker: Error response from daemon: driver failed programming external connectivity on endpoint web \
             (4f0c2f9a): Bind for 0.0.0.0:8443 failed: port is already allocated.",
            json!(8443),
        ),
    ];
    let of = |(name, rule, last_words, port): (&'static str, &'static str, &str, Value)| {
        let crash = Crash { last_words, ..CRASH };
        ends(name, rule, crash, json!({"kind": "port-in-use", "port": port}), &FEW)
    };
    words.into_iter().map(of).collect()
}

/// A unit whose runs fail before `Started`.
fn before_started() -> Vec<Case> {
    type Fails<'a> = &'a dyn Fn(&mut Story, &Unit);
    let failing = |name: &'static str, rule, span, cause: Value, fails: Fails<'_>| {
        let (mut story, mut unit) = (Story::new(name), Unit::new("app.service", "App", "app"));
        for run in 0..5 {
            if run > 0 {
                story.wait(5 * SEC).scheduled(&mut unit);
            }
            story.starting(&mut unit).start_here("app.service").wait(span);
            fails(&mut story, &unit);
            story.failed_to_start(&unit);
        }
        Case::new(name, rule, some(&story, &FEW, &[Found::unit("app.service", 5).cause(cause)]))
    };
    let mut cases = vec![
        failing(
            "cause-timeout",
            "a start that takes too long",
            90 * SEC,
            json!({"kind": "timeout"}),
            &|story, unit| {
                story.manager(unit, "app.service: start operation timed out. Terminating.", &[]);
                story.failed(unit, "timeout");
            },
        ),
        failing(
            "cause-protocol",
            "Type=notify without a notifier",
            200 * MS,
            json!({"kind": "protocol"}),
            &|story, unit| {
                story.failed(unit, "protocol");
            },
        ),
        failing("cause-resources", "systemd cannot run it", 2 * MS, json!({"kind": "resources"}), &|story, unit| {
            story.manager(unit, "app.service: Failed to load environment files: No such file or directory", &[]);
            story.manager(unit, "app.service: Failed to run 'start-pre' task: No such file or directory", &[]);
            story.failed(unit, "resources");
        }),
        failing(
            "cause-start-pre",
            "ExecStartPre= fails: `Starting` is the start if no `Started` follows",
            30 * MS,
            json!({"kind": "exit-code", "status": 1}),
            &|story, unit| {
                story.control_exited(unit, "code=exited, status=1/FAILURE").failed(unit, "exit-code");
            },
        ),
    ];
    // With Type=notify a run begins with `Starting`, but `Started` is its start where it follows.
    let (mut story, mut unit) = (Story::new("notify-started"), Unit::new("app.service", "App", "app"));
    for run in 0..5 {
        if run > 0 {
            story.wait(5 * SEC).scheduled(&mut unit);
        }
        story.starting(&mut unit).wait(2 * SEC).now_active(&unit).start_here("app.service").wait(9 * SEC);
        story.main_exited(&unit, "code=exited, status=1/FAILURE").failed(&unit, "exit-code");
    }
    cases.push(Case::new(
        "notify-started",
        "`Starting` and `Started` of one run are one start",
        journals(&story, &[Found::unit("app.service", 5).code(1)]),
    ));
    cases
}

/// Watchdogs, and causes that change from run to run.
fn mixed() -> Vec<Case> {
    let mut watchdog = (Story::new("cause-watchdog"), Unit::new("app.service", "App", "app"));
    for run in 0..5 {
        let (story, unit) = (&mut watchdog.0, &mut watchdog.1);
        if run > 0 {
            story.wait(5 * SEC).scheduled(unit);
        }
        story.started(unit).wait(30 * SEC);
        story.manager(unit, "app.service: Watchdog timeout (limit 30s)!", &[]);
        story.manager(unit, &format!("app.service: Killing process {} (app) with signal SIGABRT.", unit.pid), &[]);
        story.main_exited(unit, "code=dumped, status=6/ABRT").failed(unit, "watchdog");
    }
    let mixture = |name: &'static str, rule, causes: &[&'static str], words: &[&'static str], cause: Value| {
        let (mut story, mut unit) = (Story::new(name), Unit::new("app.service", "App", "app"));
        story.started(&mut unit);
        for (how, last_words) in causes.iter().zip(words) {
            let result = if how.contains("killed") { "signal" } else { "exit-code" };
            story.crashes(&mut unit, 1, Crash { how, result, last_words, ..CRASH });
        }
        let found = Found::unit("app.service", causes.len() + 1).cause(cause);
        Case::new(name, rule, some(&story, &FEW, &[found]))
    };
    let (one, two, kill) =
        ("code=exited, status=1/FAILURE", "code=exited, status=2/INVALIDARGUMENT", "code=killed, status=9/KILL");
    let bind = "panic: listen tcp :7070: bind: address already in use";
    vec![
        Case::new("cause-watchdog", "the watchdog, not the signal that it sends", {
            some(&watchdog.0, &FEW, &[Found::unit("app.service", 5).cause(json!({"kind": "watchdog"}))])
        }),
        mixture(
            "cause-majority",
            "the majority of the runs",
            &[one, one, two, one, kill],
            &[""; 5],
            json!({"kind": "exit-code", "status": 1}),
        ),
        mixture(
            "cause-tie",
            "the latest breaks a tie",
            &[one, one, kill, kill],
            &[""; 4],
            json!({"kind": "signal", "signal": "KILL"}),
        ),
        mixture(
            "cause-port-once",
            "a bind error in any run outranks",
            &[one, two, two, two, two],
            &[bind, "", "", "", ""],
            json!({"kind": "port-in-use", "port": 7070}),
        ),
        elsewhere(),
    ]
}

/// Somebody else's bind error is no cause of this loop.
fn elsewhere() -> Case {
    let (mut story, mut unit) = (Story::new("cause-not-its-own"), Unit::new("app.service", "App", "app"));
    story.started(&mut unit);
    for _ in 0..4 {
        story.crashes(&mut unit, 1, CRASH);
        story.program("node", 5150, "Error: listen EADDRINUSE: address already in use :::3000");
    }
    // One process that tries again and again is not a loop of its own.
    let found = Found::unit("app.service", 5).code(1);
    Case::new("cause-not-its-own", "a bind error of another program's living process", some(&story, &FEW, &[found]))
}

pub fn cases() -> Vec<Case> {
    [exits(), ports(), before_started(), mixed()].into_iter().flatten().collect()
}
