//! What looks like a loop and is none.

use crate::detect_corpus::Case;
use crate::detect_corpus::render::{FORMATS, Format, Found, Input, Lines, Stamp, journals, some};
use crate::detect_corpus::story::{CRASH, Crash, HOUR, INCIDENT, MIN, MS, SEC, Story, Unit};

const FEW: [Format; 3] = [Format::Short, Format::ShortIsoPrecise, Format::Json];

fn clean(name: &'static str, rule: &'static str, story: &Story, formats: &[Format]) -> Case {
    Case::new(name, rule, some(story, formats, &[]))
}

fn app() -> Unit {
    Unit::new("app.service", "App", "app")
}

/// A machine boots.
fn boot(story: &mut Story) {
    story.boot = story.dice.id();
    let note = format!("-- Boot {} --", story.boot);
    story.note(&note);
    story.program("kernel", None, "Linux version 6.1.0-18-amd64 (gcc-12) #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1");
    story.wait(8 * SEC);
}

fn few_restarts() -> Vec<Case> {
    let mut twenty = Story::new("twenty-units");
    let mut units: Vec<Unit> =
        (0..20).map(|n| Unit::new(&format!("svc{n:02}.service"), &format!("Service {n}"), "svc")).collect();
    for unit in &mut units {
        unit.counter = 0;
        unit.pid = 100;
        twenty.wait(200 * MS).main_exited(unit, "code=killed, status=9/KILL");
        twenty.scheduled(unit).started(unit);
    }

    let mut boots = Story::new("once-a-boot");
    for _ in 0..5 {
        let mut unit = app();
        boot(&mut boots);
        boots.started(&mut unit).crashes(&mut unit, 1, CRASH);
        boots.wait(20 * MIN).says(&unit, "served 812 requests");
    }

    let mut two_boots = Story::new("two-boots");
    for _ in 0..2 {
        let mut unit = app();
        boot(&mut two_boots);
        two_boots.started(&mut unit).crashes(&mut unit, 2, CRASH);
        two_boots.wait(50 * SEC).says(&unit, "ready");
    }

    let mut held = (Story::new("two-that-hold"), app());
    held.0.started(&mut held.1).crashes(&mut held.1, 2, CRASH);
    held.0.wait(20 * MIN).says(&held.1, "served 812 requests");

    let mut ended = (Story::new("two-at-the-end"), app());
    ended.0.started(&mut ended.1).crashes(&mut ended.1, 2, CRASH);

    let mut hours = (Story::new("crashes-hours-apart"), app());
    hours.0.started(&mut hours.1).crashes(&mut hours.1, 6, Crash { runs_for: 70 * MIN, ..CRASH });

    let mut chains = (Story::new("broken-chains"), app());
    chains.0.started(&mut chains.1);
    for _ in 0..3 {
        chains.0.crashes(&mut chains.1, 2, CRASH).crashes(&mut chains.1, 1, Crash { runs_for: 61 * MIN, ..CRASH });
    }

    let (mut starts, mut unit) = (Story::new("start-limit-of-one-hour"), app());
    starts.started(&mut unit).crashes(&mut unit, 3, Crash { runs_for: 2 * HOUR, ..CRASH });
    vec![
        clean("twenty-units", "twenty units that restart once each", &twenty, &[Format::Short, Format::Json]),
        clean("once-a-boot", "the same counter value once a boot", &boots, &FEW),
        clean("two-boots", "a boot begins a new chain", &two_boots, &FORMATS),
        clean("two-that-hold", "two restarts that then hold", &held.0, &FORMATS),
        clean("two-at-the-end", "three runs are too few", &ended.0, &FORMATS),
        clean("crashes-hours-apart", "a run of an hour or more breaks the chain", &hours.0, &FEW),
        clean("broken-chains", "no three restarts between runs of an hour", &chains.0, &FEW),
        clean("crashes-two-hours-apart", "a run of an hour or more breaks the chain", &starts, &FEW),
    ]
}

fn asked_for() -> Vec<Case> {
    let mut deploys = (Story::new("deploys"), app());
    deploys.0.started(&mut deploys.1);
    for version in 0..5 {
        let (story, unit) = (&mut deploys.0, &mut deploys.1);
        story.says(unit, &format!("app 4.2.{version} starting up"));
        story.says(unit, "listening on 0.0.0.0:8080");
        story.wait(35 * SEC).stop_asked(unit, 200 * MS).started(unit);
    }
    let mut crash_after = (Story::new("deploys-and-a-crash"), app());
    crash_after.0.started(&mut crash_after.1);
    for _ in 0..4 {
        let (story, unit) = (&mut crash_after.0, &mut crash_after.1);
        story.crashes(unit, 1, CRASH).wait(3 * MIN).stop_asked(unit, 200 * MS).started(unit);
        story.wait(4 * MIN);
    }
    // Killed on request of somebody who waits, and slow to go: it fails, but it was asked for.
    let mut timeouts = (Story::new("stops-that-time-out"), app());
    timeouts.0.started(&mut timeouts.1);
    for _ in 0..5 {
        let (story, unit) = (&mut timeouts.0, &mut timeouts.1);
        story.wait(40 * SEC).manager(unit, "Stopping app.service - App...", &[]);
        story.wait(10 * SEC).manager(unit, "app.service: State 'stop-sigterm' timed out. Killing.", &[]);
        story.main_exited(unit, "code=killed, status=9/KILL").failed(unit, "timeout");
        story.stop_asked_in_the_wait(unit).started(unit);
    }
    vec![
        clean("deploys", "a stop that was asked for never counts", &deploys.0, &FORMATS),
        clean("deploys-and-a-crash", "one restart after each deploy", &crash_after.0, &FEW),
        clean("stops-that-time-out", "asked for, even if it then fails", &timeouts.0, &FEW),
    ]
}

fn oneshots() -> Vec<Case> {
    let failing = |name: &'static str, rule, gap: i64, before: Option<&str>| {
        let (mut story, mut unit) = (Story::new(name), Unit::new("backup.service", "Nightly backup", "backup.sh"));
        for run in 0..7 {
            if let Some(before) = before {
                story.program(before, 700 + run, "triggers");
            }
            story.starting(&mut unit).wait(800 * MS).says(&unit, "cannot reach the target");
            story.main_exited(&unit, "code=exited, status=1/FAILURE").failed(&unit, "exit-code");
            story.failed_to_start(&unit).wait(gap);
        }
        clean(name, rule, &story, if before.is_some() { &FEW } else { &FORMATS })
    };
    // A service that is no oneshot, started by its timer.
    let mut timer = (Story::new("timer-simple"), Unit::new("sync.service", "Sync", "sync"));
    let clock = Unit::new("sync.timer", "Sync every five minutes", "");
    timer.0.manager(&clock, "Started sync.timer - Sync every five minutes.", &[]);
    for _ in 0..6 {
        let (story, unit) = (&mut timer.0, &mut timer.1);
        story.wait(299 * SEC).started(unit).wait(SEC);
        story.main_exited(unit, "code=exited, status=1/FAILURE").failed(unit, "exit-code");
    }
    // A path unit starts its oneshot until the limit stops that.
    let mut path = (Story::new("path-limit"), Unit::new("import.service", "Import", "import"));
    let watch = Unit::new("import.path", "Watch for imports", "");
    path.0.manager(&watch, "Started import.path - Watch for imports.", &[]);
    for _ in 0..5 {
        let (story, unit) = (&mut path.0, &mut path.1);
        story.wait(90 * MS).starting(unit).wait(20 * MS).deactivated(unit).finished(unit);
    }
    path.0.limited(&path.1, "start-limit-hit");
    // Each connection has an instance of its own.
    let mut socket = Story::new("socket-instances");
    for n in 0..8 {
        let name = format!("probe@{n}-10.0.0.1:9000-10.0.0.2:{}.service", 40_000 + n);
        let mut unit = Unit::new(&name, &format!("Probe (10.0.0.2:{})", 40_000 + n), "probe");
        socket.started(&mut unit).wait(30 * MS);
        socket.main_exited(&unit, "code=exited, status=1/FAILURE").failed(&unit, "exit-code").wait(10 * SEC);
    }
    let mut ok = (
        Story::new("oneshot-succeeds"),
        Unit::new("sysstat-collect.service", "system activity accounting tool", "sa1"),
    );
    for _ in 0..10 {
        let (story, unit) = (&mut ok.0, &mut ok.1);
        story.starting(unit).wait(60 * MS).deactivated(unit).finished(unit).wait(10 * MIN);
    }
    vec![
        failing("oneshot-timer", "a oneshot never loops, even when each run fails", 60 * SEC, None),
        failing("oneshot-cron", "a oneshot that cron starts", 59 * SEC, Some("CRON")),
        clean("timer-simple", "a unit that a timer starts never loops", &timer.0, &FORMATS),
        clean("path-limit", "a oneshot that a path unit starts, up to its limit", &path.0, &FEW),
        clean("socket-instances", "one instance a connection", &socket, &FORMATS),
        clean("oneshot-succeeds", "a oneshot does its work every ten minutes", &ok.0, &FEW),
    ]
}

/// Systemd's words where systemd did not write them.
fn quoted() -> Vec<Case> {
    let words = |n: u32| format!("app.service: Scheduled restart job, restart counter is at {n}.");
    let mut ansible = Story::new("quoted-in-a-message");
    for n in 1..8 {
        ansible.wait(12 * SEC).program("ansible", 991, &format!("Jan 16 12:20:0{n} db systemd[1]: {}", words(n)));
        ansible.program("ansible", 991, &format!("systemd[1]: {}", words(n)));
        ansible.program("ansible", 991, &words(n));
        ansible.program("ansible", 991, "app.service: Main process exited, code=exited, status=1/FAILURE");
        ansible.program("ansible", 991, "Started app.service - App.");
    }
    let mut like = Story::new("identifiers-like-systemd");
    for n in 1..8 {
        like.wait(12 * SEC).program("systemd-watcher", 615, &words(n));
        like.program("systemd-logind", 412, "Started app.service - App.");
        like.program("my-systemd", 616, "app.service: Main process exited, code=exited, status=1/FAILURE");
        like.program("systemd[1]", 617, &words(n));
        like.program("systemd_exporter", 618, &words(n));
    }
    // Of JSON only the trusted fields count: a program may call itself what it likes.
    let mut forged = Story::new("forged-identifier");
    for n in 1..8 {
        forged.wait(12 * SEC).program("systemd", 617, &words(n));
        forged.program("systemd", 617, "Started app.service - App.");
    }
    let mut forged = some(&forged, &[Format::Json], &[]);
    for input in &mut forged {
        let text = String::from_utf8(input.bytes.clone())
            .expect("text")
            .replace("\"_COMM\":\"systemd\"", "\"_COMM\":\"python3\",\"_UID\":\"1000\"");
        input.bytes = text.into_bytes();
    }
    let mut log = Lines::default();
    for n in 1..8 {
        let at = INCIDENT + i64::from(n) * 14 * SEC;
        log.line(at, Stamp::Plain, &format!("@ INFO ticket 77: user pasted \"systemd[1]: {}\"", words(n)));
        log.line(at, Stamp::Plain, "@ INFO ticket 77: [Errno 98] address already in use, they say");
    }
    vec![
        clean("quoted-in-a-message", "systemd's words quoted by a program are text", &ansible, &FEW),
        clean("identifiers-like-systemd", "an identifier that begins like systemd's", &like, &FORMATS),
        Case::new("forged-identifier", "the journal knows who wrote it", forged),
        Case::new("quoted-in-an-app-log", "a ticket system's log", vec![log.input("app.log", None)]),
    ]
}

fn log(name: &str, stamp: Stamp, gap: i64, lines: &[&str]) -> Input {
    let mut log = Lines::default();
    for n in 0..12 {
        for line in lines {
            // `#` is a number that changes from line to line.
            log.line(INCIDENT + n * gap, stamp, &line.replace('#', &(4100 + 7 * n).to_string()));
        }
    }
    if stamp == Stamp::None { log.input_without_stamps(name, None) } else { log.input(name, None) }
}

/// What cron starts, in a log of its own: always in the first seconds of a minute.
fn cron_like() -> Input {
    let mut log = Lines::default();
    for n in 0..9 {
        let (at, pid) = (INCIDENT + n * 5 * MIN + SEC, 4100 + 37 * n);
        log.line(at, Stamp::Plain, &format!("@ [{pid}] INFO sync 2.1 starting"));
        log.line(at + 4 * SEC, Stamp::Plain, &format!("@ [{pid}] INFO 12 orders sent, done"));
    }
    log.input("cron-like.log", None)
}

/// Somebody starts a program now and then; nothing is steady about that, even where two gaps are alike.
fn started_by_hand() -> Case {
    let log = |name: &str, gaps: &[i64]| {
        let (mut log, mut at) = (Lines::default(), INCIDENT);
        for gap in [0].iter().chain(gaps) {
            at += gap * SEC;
            log.line(at, Stamp::Plain, "@ | payments 4.2.1 starting up");
            log.line(at + SEC, Stamp::Plain, "@ | ready");
        }
        log.input(name, None)
    };
    let inputs = vec![
        log("an-afternoon.log", &[840, 95, 412, 1310, 30, 366, 940, 52, 60, 1702]),
        log("longer-each-time-by-chance.log", &[310, 45, 122, 318, 905, 71, 260]),
        log("twice-alike.log", &[600, 604, 88, 1300, 1320, 217, 52]),
        log("three-alike-of-many.log", &[20, 21, 20, 900, 144, 388, 61, 702]),
    ];
    Case::new("started-by-hand", "starts at gaps of all lengths, and nothing that says why", inputs)
}

/// A living master says which child of its own it has started.
fn redis() -> Input {
    let mut log = Lines::default();
    for n in 0..9 {
        let (at, child) = (INCIDENT + n * 61 * SEC, 4100 + 37 * n);
        let stamp = crate::detect_corpus::render::civil(at, 0, "%d %b %Y %H:%M:%S");
        log.line(at, Stamp::None, &format!("1:M {stamp}.101 * 100 changes in 60 seconds. Saving..."));
        log.line(at, Stamp::None, &format!("1:M {stamp}.102 * Background saving started by pid {child}"));
        log.line(at, Stamp::None, &format!("{child}:C {stamp}.130 * DB saved on disk"));
        log.line(at, Stamp::None, &format!("1:M {stamp}.202 * Background saving terminated with success"));
    }
    log.input("redis.log", None)
}

/// Lines that come again and again from processes that live, or are meant to be short.
fn repeated() -> Vec<Case> {
    let beats = vec![
        log("heartbeat.log", Stamp::Plain, 15 * SEC, &["@ INFO heartbeat ok, 12 sessions"]),
        log(
            "constant-pid.log",
            Stamp::Comma,
            15 * SEC,
            &["@ [4711] INFO Starting synchronisation", "@ [4711] INFO Synchronisation finished"],
        ),
        log("sweep.log", Stamp::Plain, 14 * SEC, &["@ | FSM session recovery sweep: 0 sessions"]),
        log(
            "interval-job.log",
            Stamp::Comma,
            15 * SEC,
            &[
                "@ INFO apscheduler.executors.default: Running job \"sync (trigger: interval[0:00:15])\"",
                "@ INFO apscheduler.executors.default: Job \"sync\" executed successfully",
            ],
        ),
        log(
            "backup.log",
            Stamp::Plain,
            MIN,
            &["@ Starting backup of table orders", "@ Backup of table orders finished, # rows"],
        ),
        log("no-stamps.log", Stamp::None, SEC, &["poll: nothing new", "sleeping for 15 s"]),
        log(
            "request-ids.log",
            Stamp::Zulu,
            3 * SEC,
            &["@ INFO request # started", "@ INFO request # completed in 12 ms"],
        ),
        log(
            "reconnects.log",
            Stamp::Zulu,
            15 * SEC,
            &["@ WARN connection to broker lost, reconnecting", "@ INFO connected to broker"],
        ),
        cron_like(),
        redis(),
        log(
            "daily.log",
            Stamp::Plain,
            24 * HOUR,
            &["@ === log rotated ===", "@ server version 4.2.1 starting up", "@ listening on 0.0.0.0:8080"],
        ),
    ];
    let mut short_lived = Story::new("short-lived-processes");
    for n in 0..9 {
        let pid = short_lived.pid();
        short_lived.program("CRON", pid, "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)");
        short_lived.program("CRON", pid + 1, "(root) CMD (/usr/local/bin/sync-orders --start)");
        short_lived.program("CRON", pid, "pam_unix(cron:session): session closed for user root");
        short_lived.wait(5 * SEC);
        let pid = short_lived.pid() + 2;
        short_lived.program("sshd", pid, &format!("Connection closed by 10.0.0.9 port {} [preauth]", 51_000 + n));
        let pid = short_lived.pid() + 2;
        short_lived.program("postfix/smtpd", pid, "connect from monitor.example[10.0.0.9]");
        short_lived.program("postfix/smtpd", pid, "disconnect from monitor.example[10.0.0.9] quit=1 commands=1");
        let pid = short_lived.pid();
        short_lived.program("sudo", pid, "  deploy : PWD=/srv ; USER=root ; COMMAND=/usr/bin/systemctl start app");
        short_lived.wait(55 * SEC);
    }
    vec![
        Case::new("repeated-lines", "a line that one living process repeats is no start", beats),
        clean("short-lived-processes", "cron, sshd, smtpd and sudo have a PID a job", &short_lived, &FEW),
    ]
}

fn workers() -> Vec<Case> {
    let gunicorn = log(
        "gunicorn.log",
        Stamp::Offset,
        30 * SEC,
        &[
            "[@] [2200] [INFO] Autorestarting worker after current request.",
            "[@] [#] [INFO] Worker exiting (pid: #)",
            "[@] [#9] [INFO] Booting worker with pid: #9",
        ],
    );
    let timeouts = log(
        "gunicorn-timeouts.log",
        Stamp::Offset,
        45 * SEC,
        &[
            "[@] [2200] [CRITICAL] WORKER TIMEOUT (pid:#)",
            "[@] [2200] [ERROR] Worker (pid:#) was sent SIGKILL! Perhaps out of memory?",
            "[@] [#9] [INFO] Booting worker with pid: #9",
        ],
    );
    let uvicorn = log(
        "uvicorn-workers.log",
        Stamp::None,
        SEC,
        &[
            "INFO:     Waiting for child process [#]",
            "INFO:     Child process [#] died",
            "INFO:     Started server process [#9]",
            "INFO:     Waiting for application startup.",
            "INFO:     Application startup complete.",
        ],
    );
    let reload = log(
        "uvicorn-reload.log",
        Stamp::None,
        SEC,
        &[
            "WARNING:  WatchFiles detected changes in 'src/main.py'. Reloading...",
            "INFO:     Shutting down",
            "INFO:     Waiting for application shutdown.",
            "INFO:     Application shutdown complete.",
            "INFO:     Finished server process [#]",
            "INFO:     Started server process [#9]",
            "INFO:     Waiting for application startup.",
            "INFO:     Application startup complete.",
        ],
    );
    let celery = log(
        "celery.log",
        Stamp::Comma,
        40 * SEC,
        &[
            "[@: INFO/MainProcess] Task orders.sync[6f#] received",
            "[@: INFO/ForkPoolWorker-#] Task orders.sync[6f#] succeeded in 0.1s: None",
        ],
    );
    let php = log(
        "php-fpm.log",
        Stamp::Slashes,
        20 * SEC,
        &[
            "[@] NOTICE: [pool www] child # exited with code 0 after 20.001 seconds from start",
            "[@] NOTICE: [pool www] child #9 started",
        ],
    );
    let retries = log(
        "node-retries.log",
        Stamp::Zulu,
        2 * SEC,
        &["@ [812] Address in use, retrying: Error: listen EADDRINUSE: address already in use :::3000"],
    );
    let gunicorn_retries = {
        let mut lines = Lines::default();
        let line = |lines: &mut Lines, at: i64, text: &str| {
            lines.line(INCIDENT + at * SEC, Stamp::Offset, &format!("[@] [4120] {text}"));
        };
        line(&mut lines, 0, "[INFO] Starting gunicorn 21.2.0");
        for at in 0..5 {
            line(&mut lines, at, "[ERROR] Connection in use: ('0.0.0.0', 8000)");
            line(&mut lines, at, "[ERROR] Retrying in 1 second.");
        }
        line(&mut lines, 5, "[INFO] Listening at: http://0.0.0.0:8000 (4120)");
        lines.input("gunicorn-retries.log", None)
    };
    let nginx = {
        let mut lines = Lines::default();
        for at in 0..5 {
            for port in [80, 443] {
                lines.line(
                    INCIDENT + at * SEC / 2,
                    Stamp::Slashes,
                    &format!("@ [emerg] 1234#1234: bind() to 0.0.0.0:{port} failed (98: Address already in use)"),
                );
            }
        }
        lines.line(INCIDENT + 3 * SEC, Stamp::Slashes, "@ [emerg] 1234#1234: still could not bind()");
        lines.input("nginx-retries.log", None)
    };
    let systemd_workers = {
        let (mut story, mut unit) = (Story::new("recycled-in-a-unit"), Unit::new("web.service", "Web", "gunicorn"));
        story.started(&mut unit);
        let master = unit.clone();
        for _ in 0..8 {
            let worker = Unit { pid: story.pid(), ..master.clone() };
            story.says(&master, "[INFO] Handling signal: ttou");
            story.says(&worker, &format!("[INFO] Booting worker with pid: {}", worker.pid));
            story.wait(20 * SEC).says(&worker, &format!("[INFO] Worker exiting (pid: {})", worker.pid));
        }
        story
    };
    vec![
        Case::new(
            "recycled-workers",
            "workers recycled by a living master",
            vec![gunicorn, timeouts, uvicorn, reload, celery, php],
        ),
        clean("recycled-in-a-unit", "workers recycled by a living master, in a journal", &systemd_workers, &FORMATS),
        Case::new("bind-retries", "bind retries inside one process", vec![retries, gunicorn_retries, nginx]),
    ]
}

/// A loop of one unit among lines of others that are healthy.
fn holder() -> Case {
    let (mut story, mut unit) = (Story::new("healthy-holder"), Unit::new("api.service", "API", "uvicorn"));
    let mut other = Unit::new("api-old.service", "API, old", "uvicorn");
    story.started(&mut other).uvicorn_serves(&other, 8000).wait(40 * SEC).started(&mut unit);
    for _ in 0..4 {
        story.wait(2 * SEC).uvicorn_fails(&unit, 8000);
        story.main_exited(&unit, "code=exited, status=1/FAILURE").failed(&unit, "exit-code");
        story.wait(5 * SEC).says(&other, "INFO:     10.0.0.9:51022 - \"GET /health HTTP/1.1\" 200 OK");
        story.wait(5 * SEC).scheduled(&mut unit).started(&mut unit);
    }
    Case::new(
        "healthy-holder",
        "the holder of the port is never accused",
        journals(&story, &[Found::unit("api.service", 5).port(8000)]),
    )
}

pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> =
        [few_restarts(), asked_for(), oneshots(), quoted(), repeated(), workers()].into_iter().flatten().collect();
    all.extend([started_by_hand(), holder()]);
    all
}
