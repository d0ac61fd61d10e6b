//! What goes on beside a loop on machines that people have, and what the options change.

use serde_json::{Value, json};

use crate::detect_corpus::Case;
use crate::detect_corpus::render::{Format, Found, Input, journal, some};
use crate::detect_corpus::story::{CRASH, Crash, HOUR, MIN, MS, Row, SEC, Story, Unit};

const FEW: [Format; 2] = [Format::Short, Format::Json];

fn app() -> Unit {
    Unit::new("app.service", "App", "app")
}

fn found(starts: usize) -> Found {
    Found::unit("app.service", starts).code(1)
}

fn clean(name: &'static str, rule: &'static str, story: &Story) -> Case {
    Case::new(name, rule, some(story, &FEW, &[]))
}

/// Loops of which a part is missing, or whose counter does not go up by one.
fn parts() -> Vec<Case> {
    let mut reset = (Story::new("counter-reset"), app());
    reset.0.started(&mut reset.1).crashes(&mut reset.1, 2, CRASH);
    reset.1.counter = 0;
    reset.0.crashes(&mut reset.1, 2, CRASH);
    reset.1.counter = 0;
    reset.0.crashes(&mut reset.1, 2, CRASH);

    let mut lost = (Story::new("lost-lines"), app());
    lost.0.started(&mut lost.1).crashes(&mut lost.1, 2, CRASH);
    lost.1.counter += 4;
    lost.0.wait(58 * SEC).crashes(&mut lost.1, 3, CRASH);

    let mut middle = (Story::new("begins-in-the-loop"), app());
    middle.1.counter = 40;
    middle.0.started(&mut middle.1).crashes(&mut middle.1, 3, CRASH);
    middle.0.rows.remove(0);
    vec![
        Case::new(
            "counter-reset",
            "`reset-failed` in the middle: the counter's value says nothing",
            some(&reset.0, &FEW, &[found(7)]),
        ),
        Case::new("lost-lines", "what is not shown is not counted", some(&lost.0, &FEW, &[found(6)])),
        Case::new(
            "begins-in-the-loop",
            "three automatic restarts of a run whose start is not shown",
            some(&middle.0, &FEW, &[found(3)]),
        ),
    ]
}

/// Two units at once.
fn pairs() -> Vec<Case> {
    // One fights for a port, the other one has a fault of its own; their runs overlap.
    let (mut story, mut api, mut bot) =
        (Story::new("two-causes"), Unit::new("api.service", "API", "uvicorn"), Unit::new("bot.service", "Bot", "node"));
    story.started(&mut api).wait(2 * SEC).started(&mut bot);
    for _ in 0..4 {
        story.wait(2 * SEC).uvicorn_fails(&api, 8000);
        story.main_exited(&api, "code=exited, status=1/FAILURE").failed(&api, "exit-code");
        story.wait(3 * SEC).says(&bot, "TypeError: undefined is not a function");
        story.main_exited(&bot, "code=exited, status=7/NOTRUNNING").failed(&bot, "exit-code");
        story.wait(5 * SEC).scheduled(&mut api).started(&mut api);
        story.wait(SEC).scheduled(&mut bot).started(&mut bot);
    }
    let two = [Found::unit("api.service", 5).port(8000), Found::unit("bot.service", 5).code(7)];

    // What is part of a looping unit is stopped and started with it.
    let (mut part, mut unit, mut worker) =
        (Story::new("part-of"), app(), Unit::new("app-worker.service", "App's worker", "worker"));
    part.started(&mut unit).started(&mut worker);
    for _ in 0..4 {
        part.wait(4 * SEC).main_exited(&unit, CRASH.how).failed(&unit, "exit-code");
        part.stop_asked(&worker, 100 * MS);
        part.wait(10 * SEC).scheduled(&mut unit).started(&mut unit).started(&mut worker);
    }
    // Both programs are Python: their lines have the same identifier.
    let (mut shared, mut loops, mut deployed) = (
        Story::new("shared-identifier"),
        Unit::new("loops.service", "Loops", "python3"),
        Unit::new("site.service", "Site", "python3"),
    );
    shared.started(&mut loops).wait(SEC).started(&mut deployed);
    for _ in 0..5 {
        shared.says(&deployed, "INFO site starting, version 1.2");
        shared.wait(30 * SEC).stop_asked(&deployed, 100 * MS).started(&mut deployed);
        shared.wait(90 * SEC).uvicorn_fails(&loops, 8000);
        shared.main_exited(&loops, "code=exited, status=1/FAILURE").failed(&loops, "exit-code");
        shared.wait(50 * SEC).scheduled(&mut loops).started(&mut loops);
    }
    // flock is the main process, its child has another PID and logs through its parent's descriptor.
    let (mut child, mut lock) = (Story::new("logged-by-a-child"), Unit::new("api.service", "API", "flock"));
    child.started(&mut lock);
    for _ in 0..4 {
        let pid = child.pid();
        child.wait(4 * SEC).says(&lock, &format!("INFO:     Started server process [{pid}]"));
        child.says(
            &lock,
            "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
        );
        child.main_exited(&lock, "code=exited, status=1/FAILURE").failed(&lock, "exit-code");
        child.wait(10 * SEC).scheduled(&mut lock).started(&mut lock);
    }
    let mut user = (Story::new("user-unit-port"), Unit::new("dev.service", "Dev server", "uvicorn").of_user(1723));
    user.0.started(&mut user.1);
    for _ in 0..4 {
        user.0.wait(SEC).uvicorn_fails(&user.1, 8001);
        user.0.main_exited(&user.1, "code=exited, status=1/FAILURE").failed(&user.1, "exit-code");
        user.0.wait(5 * SEC).scheduled(&mut user.1).started(&mut user.1);
    }
    let (mut alike, mut one, two_alike) =
        (Story::new("names-alike"), app(), ["app@1.service", "my-app.service", "app.service.service", "app2.service"]);
    one.ident = "python3".to_owned();
    let mut others: Vec<Unit> = two_alike.iter().map(|name| Unit::new(name, "App", "python3")).collect();
    alike.started(&mut one);
    for other in &mut others {
        alike.started(other);
    }
    for other in &mut others {
        alike.crashes(&mut one, 1, CRASH).wait(SEC).crashes(other, 1, CRASH);
    }
    vec![
        Case::new("two-causes", "each loop has its own cause", some(&story, &FEW, &two)),
        Case::new("part-of", "a unit that is stopped and started along is no loop", some(&part, &FEW, &[found(5)])),
        Case::new(
            "user-unit-port",
            "a bind error of a user's unit",
            some(&user.0, &FEW, &[Found::unit("dev.service", 5).port(8001)]),
        ),
        Case::new(
            "shared-identifier",
            "several units' programs have one identifier",
            some(&shared, &FEW, &[Found::unit("loops.service", 6).port(8000)]),
        ),
        Case::new(
            "logged-by-a-child",
            "one fight is one entry",
            some(&child, &FEW, &[Found::unit("api.service", 5).port(8000)]),
        ),
        Case::new("names-alike", "units whose names and descriptions are alike", some(&alike, &FEW, &[found(5)])),
    ]
}

/// What systemd logs all day.
fn noise() -> Vec<Case> {
    let mut demand = Story::new("activated-on-demand");
    let mut hostnamed = Unit::new("systemd-hostnamed.service", "Hostname Service", "systemd-hostnamed");
    let mut packagekit = Unit::new("packagekit.service", "PackageKit Daemon", "packagekitd");
    for _ in 0..6 {
        demand.program("dbus-daemon", 501, "[system] Activating via systemd: service name='org.freedesktop.hostname1'");
        demand.starting(&mut hostnamed).wait(80 * MS).now_active(&hostnamed);
        demand.started(&mut packagekit);
        demand.says(&packagekit, "daemon start");
        demand.wait(30 * SEC).deactivated(&hostnamed);
        demand.says(&packagekit, "daemon quit");
        demand.deactivated(&packagekit).wait(5 * SEC);
    }
    let mut sessions = Story::new("sessions");
    for n in 40..47 {
        let mut scope = Unit::new(&format!("session-{n}.scope"), &format!("Session {n} of User deploy"), "");
        let mut user = Unit::new("user@1001.service", "User Manager for UID 1001", "systemd");
        let mut runtime = Unit::new("user-runtime-dir@1001.service", "User Runtime Directory /run/user/1001", "");
        sessions.starting(&mut runtime).finished(&runtime).starting(&mut user).now_active(&user).started(&mut scope);
        let pid = sessions.pid();
        sessions.program("sshd", pid, "Accepted publickey for deploy from 10.0.0.7 port 50122 ssh2: ED25519 SHA256:x");
        sessions.program("systemd-logind", 480, &format!("New session {n} of user deploy."));
        sessions
            .wait(4 * SEC)
            .deactivated(&scope)
            .stop_asked(&user, 50 * MS)
            .stop_asked(&runtime, 10 * MS)
            .wait(6 * SEC);
    }
    let mut cron = Story::new("cron-job-logs");
    for _ in 0..8 {
        let pid = cron.pid();
        cron.program("CRON", pid, "(root) CMD (/opt/sync/sync.sh)");
        cron.program("sync", pid + 1, "sync 2.1 starting");
        cron.wait(3 * SEC).program("sync", pid + 1, "error: remote closed the connection, exiting");
        cron.wait(5 * MIN - 3 * SEC);
    }
    // A loop that dumps core, with all that says so.
    let mut cores = (Story::new("core-dump-noise"), app());
    cores.0.started(&mut cores.1);
    for n in 0..4 {
        let (story, unit) = (&mut cores.0, &mut cores.1);
        let pid = unit.pid;
        story.wait(2 * SEC).program(
            "kernel",
            None,
            &format!("app[{pid}]: segfault at 0 ip 000055d0 sp 00007ffc error 4 in app[55d0+1000]"),
        );
        let mut helper = Unit::new(
            &format!("systemd-coredump@{n}-{pid}-0.service"),
            &format!("Process Core Dump (PID {pid}/UID 0)"),
            "",
        );
        story.started(&mut helper);
        let dumper = story.pid();
        story.program("systemd-coredump", dumper, &format!("Process {pid} (app) of user 0 dumped core."));
        story.main_exited(unit, "code=dumped, status=11/SEGV").failed(unit, "core-dump");
        story.deactivated(&helper).wait(10 * SEC).scheduled(unit).started(unit);
    }
    let dumped = Found::unit("app.service", 5).cause(json!({"kind": "core-dump", "signal": "SEGV"}));
    vec![
        clean("activated-on-demand", "services that end when they have nothing to do", &demand),
        clean("sessions", "sessions come and go", &sessions),
        clean("cron-job-logs", "what cron starts never loops, even when each run fails", &cron),
        Case::new("core-dump-noise", "what writes the core is no loop of its own", some(&cores.0, &FEW, &[dumped])),
    ]
}

fn options() -> Vec<Case> {
    let story = |restarts: u32, crash: Crash<'_>| {
        let (mut story, mut unit) = (Story::new("options"), app());
        story.started(&mut unit).crashes(&mut unit, restarts, crash);
        story
    };
    let input = |name: &str, story: &Story, loops: &[Found], args: &[&str]| -> Input {
        journal(story, Format::ShortIsoPrecise, loops).named(name).with(args)
    };
    let (two, four) = (story(2, CRASH), story(4, CRASH));
    let slow = story(4, Crash { runs_for: 10 * MIN, ..CRASH });
    let hours = story(4, Crash { runs_for: 2 * HOUR, ..CRASH });
    vec![Case::new(
        "options",
        "--min-restarts and --hold",
        vec![
            input("two-of-two.log", &two, &[found(3)], &["--min-restarts", "2"]),
            input("four-of-five.log", &four, &[], &["--min-restarts", "5"]),
            input("four-of-four.log", &four, &[found(5)], &["--min-restarts", "4"]),
            input("hold-5min.log", &slow, &[], &["--hold", "5min"]),
            input("hold-3h.log", &hours, &[found(5)], &["--hold", "3h"]),
        ],
    )]
}

/// A limit that is hit without anything restarting by itself, and one after a start by hand.
fn by_hand() -> Vec<Case> {
    let (mut again, mut unit) = (Story::new("limit-then-by-hand"), app());
    let quick = Crash { runs_for: 20 * MS, wait: 100 * MS, slack: 140 * MS, ..CRASH };
    again.started(&mut unit).crashes(&mut unit, 4, quick);
    again.wait(20 * MS).main_exited(&unit, CRASH.how).failed(&unit, "exit-code");
    again.wait(100 * MS).scheduled(&mut unit).limited(&unit, "exit-code");
    again.wait(20 * MIN).started(&mut unit);
    again.wait(30 * MIN).says(&unit, "served 812 requests");
    let limited = found(5).ended("start-limit").then_others();
    let rows = again.rows.iter().filter(|row| matches!(row, Row::Record(entry) if entry.start_of.is_some())).count();
    assert_eq!(rows, 6);
    vec![Case::new(
        "limit-then-by-hand",
        "a start by hand after the limit is none of the loop's",
        some(&again, &FEW, &[limited]),
    )]
}

/// A master that does not come up, with the workers it has each time.
fn masters() -> Vec<Case> {
    let mut lines = crate::detect_corpus::render::Lines::default();
    let stamp = crate::detect_corpus::render::Stamp::Offset;
    for n in 0..6 {
        let (at, master) = (crate::detect_corpus::story::INCIDENT + n * 11 * SEC, 2200 + n * 31);
        lines.start(at, stamp, &format!("[@] [{master}] [INFO] Starting gunicorn 21.2.0"));
        lines.line(at, stamp, &format!("[@] [{master}] [INFO] Listening at: http://0.0.0.0:8000 ({master})"));
        lines.line(at, stamp, &format!("[@] [{master}] [INFO] Using worker: sync"));
        for worker in [master + 1, master + 2] {
            lines.line(at, stamp, &format!("[@] [{worker}] [INFO] Booting worker with pid: {worker}"));
            lines.line(at + SEC, stamp, &format!("[@] [{worker}] [ERROR] Exception in worker process"));
            lines.line(at + SEC, stamp, "ModuleNotFoundError: No module named 'src'");
            lines.line(at + SEC, stamp, &format!("[@] [{worker}] [INFO] Worker exiting (pid: {worker})"));
        }
        lines.line(at + SEC, stamp, &format!("[@] [{master}] [ERROR] Shutting down: Master"));
        lines.line(at + SEC, stamp, &format!("[@] [{master}] [ERROR] Reason: Worker failed to boot."));
    }
    let found = Found::of("gunicorn", "banner", 6).part_of_line().cause(Value::Null);
    vec![Case::new(
        "master-fails-to-boot",
        "a master's start is one start, whatever workers it has",
        vec![lines.input("gunicorn.log", Some(found))],
    )]
}

pub fn cases() -> Vec<Case> {
    [parts(), pairs(), noise(), options(), by_hand(), masters()].into_iter().flatten().collect()
}
