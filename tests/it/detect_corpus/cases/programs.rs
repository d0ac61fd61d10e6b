//! Loops in logs of programs.

use serde_json::{Value, json};

use crate::detect_corpus::Case;
use crate::detect_corpus::render::{FORMATS, Found, Input, Lines, Stamp, some};
use crate::detect_corpus::story::{Dice, INCIDENT, MIN, MS, SEC, Story};

/// How a run of a program reads, line by line: `@` is the stamp, `#` the PID, `~` a `#`, `!` before a line marks a start.
pub(super) struct Log<'a> {
    pub name: &'a str,
    pub stamp: Stamp,
    pub gap: i64,
    pub runs: usize,
    pub run: &'a [&'a str],
    /// Lines after the last run.
    pub after: &'a [&'a str],
}

impl Log<'_> {
    fn lines(&self) -> Lines {
        let (mut lines, mut dice) = (Lines::default(), Dice::of(self.name));
        let (mut at, mut pid) = (INCIDENT + 37 * SEC, dice.within(1_000, 40_000));
        let mut say = |at: i64, pid: i64, line: &str| {
            let text = line.replace('#', &pid.to_string()).replace('~', "#");
            match text.strip_prefix('!') {
                Some(text) => lines.start(at, self.stamp, text),
                None => lines.line(at, self.stamp, &text),
            };
        };
        for _ in 0..self.runs {
            pid += dice.within(3, 90);
            for (n, line) in self.run.iter().enumerate() {
                say(at + n as i64 * 150 * MS, pid, line);
            }
            at += self.gap + dice.within(0, 180 * MS);
        }
        for line in self.after {
            say(at, pid, line);
            at += MIN;
        }
        lines
    }

    pub fn input(&self, found: Option<Found>) -> Input {
        match self.stamp {
            Stamp::None => self.lines().input_without_stamps(self.name, found),
            _ => self.lines().input(self.name, found),
        }
    }
}

fn port(port: impl Into<Value>) -> Value {
    json!({"kind": "port-in-use", "port": port.into()})
}

fn banners() -> Vec<Case> {
    let log = |name, stamp, run, found: Found| {
        Log { name, stamp, gap: 14 * SEC, runs: 6, run, after: &[] }.input(Some(found.part_of_line()))
    };
    let banner = |text: &str| Found::of(text, "banner", 6);
    let starting = "payments: service starting, version 4.2.1";
    let pids = vec![
        log(
            "comma.log",
            Stamp::Comma,
            &[
                "!@ [#] INFO payments: service starting, version 4.2.1",
                "@ [#] INFO loading rules",
                "@ [#] CRITICAL database unreachable, giving up",
            ],
            banner(starting),
        ),
        log(
            "zulu.log",
            Stamp::Zulu,
            &[
                "!@ INFO pid=# payments: service starting, version 4.2.1",
                "@ ERROR pid=# database unreachable, giving up",
            ],
            banner(starting),
        ),
        log(
            "no-stamps.log",
            Stamp::None,
            &["!INFO payments: service starting, version 4.2.1 (pid #)", "ERROR database unreachable, giving up"],
            banner("payments: service starting, version 4.2.1"),
        ),
        log(
            "uvicorn.log",
            Stamp::None,
            &[
                "!INFO:     Started server process [#]",
                "INFO:     Waiting for application startup.",
                "ERROR:    Application startup failed. Exiting.",
            ],
            banner("").open("subject_contains"), // uvicorn may be named
        ),
    ];
    let around = vec![log(
        "no-pid.log",
        Stamp::Plain,
        &[
            "!@ INFO Starting payments 4.2.1",
            "@ INFO Loading configuration from /etc/payments.toml",
            "@ ERROR startup failed: database unreachable, exiting",
        ],
        banner("Starting payments 4.2.1"),
    )];
    // The other owner's start before, another restart delay after, one start when it was mended.
    let gaps = |name: &str, gaps: &[i64], growing: bool| {
        let (mut lines, mut at) = (Lines::default(), INCIDENT);
        for gap in [0].iter().chain(gaps) {
            at += gap * SEC;
            lines.start(at, Stamp::Plain, "@ | FSM Running session recovery on startup");
            if !growing {
                lines.line(at, Stamp::Plain, "@ | FSM Session recovery complete");
                lines.line(at, Stamp::Plain, "@ | FSM shutdown hook ran");
            }
        }
        let found = Found::of("FSM Running session recovery on startup", "banner", gaps.len() + 1).part_of_line();
        // Which of the outer starts belong to it is left open.
        let open = ["starts", "first", "last", "period_us", "periodic", "ended"];
        lines.input(name, Some(open.iter().fold(found, |found, key| found.open(key))))
    };
    let changed = vec![
        gaps("longer-delay.log", &[61, 14, 15, 14, 15, 34, 35, 34, 35], false),
        gaps("shorter-delay.log", &[61, 14, 15, 14, 15, 5, 4, 5, 5, 5, 4, 5], false),
        gaps("mended.log", &[61, 14, 15, 14, 15, 124, 15], false),
        gaps("begun-in-the-gap.log", &[62, 8, 14, 15, 14], false),
        gaps("growing.log", &[61, 9, 15, 24, 45, 84, 85], true),
    ];
    let each_minute = Log {
        name: "app.log",
        stamp: Stamp::Comma,
        gap: 60_250 * MS,
        runs: 6,
        run: &["!@ [#] INFO payments: service starting, version 4.2.1", "@ [#] CRITICAL no database"],
        after: &[],
    };
    let each_minute = each_minute.input(Some(Found::of(starting, "banner", 6).part_of_line()));
    let plain = Log {
        name: "plain.log",
        stamp: Stamp::Plain,
        gap: 14 * SEC,
        runs: 5,
        run: &["!@ [#] INFO Booting worker-bee 7"],
        after: &[],
    };
    let recovered = Log { after: &["@ [#] INFO 12 jobs done"; 5], name: "recovered.log", ..plain };
    let recovered =
        recovered.input(Some(Found::of("Booting worker-bee 7", "banner", 5).part_of_line().ended("recovered")));
    vec![
        Case::new("banner-with-pids", "a banner whose PID changes", pids),
        Case::new("banner-other-gaps", "a steady stretch is enough, and a growing one", changed),
        Case::new("banner-each-minute", "a loop of about a minute drifts, cron does not", vec![each_minute]),
        Case::new("banner-start-up-lines", "a banner with start-up lines around it", around),
        Case::new("banner-recovered", "the last process goes on", vec![recovered]),
        Case::new("banner-in-a-journal", "the syslog identifier is the subject", identified()),
        Case::new(
            "banner-given",
            "the pattern given is the subject",
            vec![
                Log {
                    name: "given.log",
                    stamp: Stamp::Plain,
                    gap: 20 * SEC,
                    runs: 6,
                    run: &["!@ *** ORDERS ENGINE ***", "@ ready", "@ out of memory"],
                    after: &[],
                }
                .input(Some(Found::of(r"\*{3} ORDERS \w+ \*{3}", "banner", 6)))
                .with(&["--banner", r"\*{3} ORDERS \w+ \*{3}"]),
            ],
        ),
    ]
}

fn identified() -> Vec<Input> {
    let mut story = Story::new("banner-in-a-journal").on("pi4");
    for _ in 0..6 {
        let pid = story.pid();
        story.program("payments", pid, "service starting, version 4.2.1");
        story.start_here("payments").wait(900 * MS).program("payments", pid, "database unreachable, giving up");
        story.wait(13 * SEC);
    }
    some(&story, &FORMATS, &[Found::of("payments", "banner", 6)])
}

fn bind_errors() -> Vec<Case> {
    let log = |name, stamp, run, subject: &str, port: Value| {
        let found = Found::of(subject, "port-conflict", 6).part_of_line().cause(port);
        Log { name, stamp, gap: 12 * SEC, runs: 6, run, after: &[] }.input(Some(found))
    };
    let inputs = vec![
        log(
            "gunicorn.log",
            Stamp::Offset,
            &[
                "![@] [#] [INFO] Starting gunicorn 21.2.0",
                "[@] [#] [ERROR] Connection in use: ('0.0.0.0', 8080)",
                "[@] [#] [ERROR] Retrying in 1 second.",
                "[@] [#] [ERROR] Connection in use: ('0.0.0.0', 8080)",
                "[@] [#] [ERROR] Can't connect to ('0.0.0.0', 8080)",
            ],
            "gunicorn",
            port(8080),
        ),
        log(
            "uvicorn.log",
            Stamp::None,
            &[
                "!INFO:     Started server process [#]",
                "INFO:     Waiting for application startup.",
                "INFO:     Application startup complete.",
                "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
                "INFO:     Waiting for application shutdown.",
                "INFO:     Application shutdown complete.",
            ],
            "",
            port(8000),
        ),
        log(
            "uvicorn-colours.log",
            Stamp::None,
            &[
                "!\u{1b}[32mINFO\u{1b}[0m:     Started server process [\u{1b}[36m#\u{1b}[0m]",
                "\u{1b}[32mINFO\u{1b}[0m:     Waiting for application startup.",
                "\u{1b}[32mINFO\u{1b}[0m:     Application startup complete.",
                "\u{1b}[31mERROR\u{1b}[0m:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
                "\u{1b}[32mINFO\u{1b}[0m:     Waiting for application shutdown.",
                "\u{1b}[32mINFO\u{1b}[0m:     Application shutdown complete.",
            ],
            "",
            port(8000),
        ),
        log(
            "go.log",
            Stamp::Slashes,
            &["!@ starting api v1.4.2", "@ listen tcp :9090: bind: address already in use"],
            "starting api v1.4.2",
            port(9090),
        ),
        log(
            "node.log",
            Stamp::None,
            &[
                "!> api@1.0.0 start",
                "> node server.js",
                "",
                "node:events:497",
                "      throw er; // Unhandled 'error' event",
                "Error: listen EADDRINUSE: address already in use :::3000",
                "    at Server.setupListenHandle [as _listen2] (node:net:1463:16)",
                "  code: 'EADDRINUSE',",
                "  syscall: 'listen',",
                "  port: 3000",
                "}",
            ],
            "",
            port(3000),
        ),
        log(
            "spring.log",
            Stamp::Zulu,
            &[
                "!@  INFO # --- [           main] c.acme.shop.ShopApplication              : Starting ShopApplication v2.1.0 using Java 17.0.9 with PID #",
                "@ ERROR # --- [           main] o.s.b.d.LoggingFailureAnalysisReporter   : Web server failed to start. Port 8081 was already in use.",
            ],
            "Starting ShopApplication v2.1.0",
            port(8081),
        ),
        log(
            "java.log",
            Stamp::Comma,
            &[
                "!@ INFO [main] pid # Starting broker 3.1",
                "@ ERROR [main] pid # cannot start: java.net.BindException: Address already in use",
            ],
            "Starting broker 3.1",
            port(Value::Null),
        ),
        redis(),
        log(
            "nginx-of-a-script.log",
            Stamp::Slashes,
            &[
                "!@ [emerg] #~#: bind() to 0.0.0.0:80 failed (98: Address already in use)",
                "@ [emerg] #~#: still could not bind()",
            ],
            "",
            port(80),
        ),
    ];
    let mut syslog = Story::new("port-conflict-of-a-program").on("edge-2");
    for _ in 0..6 {
        let pid = syslog.pid();
        syslog.program("uvicorn-web", pid, "ERROR:    [Errno 98] Address already in use");
        syslog.start_here("uvicorn-web").wait(9 * SEC);
    }
    let conflict = Found::of("uvicorn-web", "port-conflict", 6).cause(port(Value::Null));
    vec![
        Case::new("port-conflict", "bind errors from changing processes", inputs),
        Case::new(
            "port-conflict-of-a-program",
            "uvicorn --workers shows no port",
            some(&syslog, &FORMATS, &[conflict]),
        ),
        two_owners(),
    ]
}

/// The PID is the first word of each line, before the stamp.
fn redis() -> Input {
    let (mut log, mut dice) = (Lines::default(), Dice::of("redis"));
    for n in 0..6 {
        let (at, pid) = (INCIDENT + n * 12 * SEC, 800 + 23 * n);
        let stamp = crate::detect_corpus::render::civil(at, 0, "%d %b %Y %H:%M:%S");
        log.line(at, Stamp::None, &format!("{pid}:C {stamp}.000 * oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo"));
        log.begins(at, Stamp::Plain);
        let milli = dice.within(20, 90);
        let taken = "Warning: Could not create server TCP listening socket *:6379: bind: Address already in use";
        log.line(at, Stamp::None, &format!("{pid}:M {stamp}.0{milli} # {taken}"));
        log.line(
            at,
            Stamp::None,
            &format!("{pid}:M {stamp}.0{milli} # Failed listening on port 6379 (tcp), aborting."),
        );
    }
    let found = Found::of("Redis is starting", "port-conflict", 6).part_of_line().cause(port(6379));
    log.input("redis.log", Some(["first", "last"].iter().fold(found, |found, key| found.open(key))))
}

/// Two programs, each started anew while the other one has the port.
fn two_owners() -> Case {
    let mut story = Story::new("two-owners").on("box");
    let blue = story.pid();
    story.program("blue", blue, "starting, version 7");
    story.program("blue", blue, "listening on 0.0.0.0:7000");
    for _ in 0..5 {
        story.wait(11 * SEC);
        let green = story.pid();
        story.program("green", green, "starting, version 8");
        story.start_here("green");
        story.program("green", green, "cannot listen: bind 0.0.0.0:7000: address already in use");
        story.wait(2 * SEC).program("blue", blue, "served 12 requests");
    }
    // Whoever lets go of it, the other one gets it; then the first is refused.
    story.wait(4 * SEC).program("blue", blue, "terminated, bye");
    let green = story.wait(6 * SEC).pid();
    story.program("green", green, "starting, version 8");
    story.start_here("green");
    story.program("green", green, "listening on 0.0.0.0:7000");
    story.wait(3 * SEC);
    let blue = story.pid();
    story.program("blue", blue, "starting, version 7");
    story.program("blue", blue, "cannot listen: bind 0.0.0.0:7000: address already in use");
    let found = Found::of("green", "duplicate-owner", 6).cause(port(7000)).open("ended");
    Case::new("two-owners", "one fight is one entry: who fails", some(&story, &FORMATS, &[found]))
}

pub fn cases() -> Vec<Case> {
    [banners(), bind_errors()].into_iter().flatten().collect()
}
