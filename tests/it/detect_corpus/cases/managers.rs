//! Loops that supervisord, pm2 and Docker make.

use serde_json::json;

use super::programs::Log;
use crate::detect_corpus::Case;
use crate::detect_corpus::render::{Found, Input, Lines, Stamp};
use crate::detect_corpus::story::{INCIDENT, MS, SEC};

fn supervisord() -> Vec<Case> {
    let at = |second: i64| INCIDENT + second * SEC + 123 * MS;
    let mut fatal = Lines::default();
    let c = Stamp::Comma;
    for (n, second) in [0, 2, 5, 9].into_iter().enumerate() {
        fatal.start(at(second), c, &format!("@ INFO spawned: 'api' with pid {}", 4100 + n * 17));
        fatal.line(at(second) + 300 * MS, c, "@ INFO exited: api (exit status 1; not expected)");
    }
    fatal.line(at(10), c, "@ INFO gave up: api entered FATAL state, too many start retries too quickly");
    let fatal = fatal.input("fatal.log", Some(Found::of("api", "restart-counter", 4).code(1).ended("start-limit")));

    // Runs longer than startsecs: it goes on for ever.
    let mut respawns = Lines::default();
    for n in 0..6 {
        let begin = at(n * 21);
        respawns.start(begin, c, &format!("@ INFO spawned: 'api' with pid {}", 5100 + n * 13));
        respawns.line(
            begin + SEC,
            c,
            "@ INFO success: api entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)",
        );
        respawns.line(begin + 20 * SEC, c, "@ WARN exited: api (terminated by SIGSEGV (core dumped); not expected)");
    }
    let dumped = json!({"kind": "core-dump", "signal": "SEGV"});
    let respawns = respawns.input("respawns.log", Some(Found::of("api", "restart-counter", 6).cause(dumped)));

    let mut healthy = Lines::default();
    healthy.line(at(0), c, "@ INFO supervisord started with pid 1");
    healthy.line(at(1), c, "@ INFO spawned: 'api' with pid 9");
    healthy.line(at(1), c, "@ INFO spawned: 'worker' with pid 10");
    healthy.line(
        at(2),
        c,
        "@ INFO success: api entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)",
    );
    healthy.line(
        at(2),
        c,
        "@ INFO success: worker entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)",
    );
    healthy.line(at(4000), c, "@ WARN exited: api (exit status 1; not expected)");
    healthy.line(at(4001), c, "@ INFO spawned: 'api' with pid 812");
    healthy.line(
        at(4002),
        c,
        "@ INFO success: api entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)",
    );
    healthy.line(at(9000), c, "@ INFO waiting for api to stop");
    healthy.line(at(9000), c, "@ INFO stopped: api (terminated by SIGTERM)");
    let mut asked = Lines::default();
    for n in 0..6 {
        let begin = at(n * 40);
        asked.line(begin, c, &format!("@ INFO spawned: 'api' with pid {}", 5100 + n * 13));
        asked.line(
            begin + SEC,
            c,
            "@ INFO success: api entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)",
        );
        asked.line(begin + 39 * SEC, c, "@ INFO waiting for api to stop");
        asked.line(begin + 39 * SEC, c, "@ INFO stopped: api (exit status 0)");
    }
    vec![
        Case::new("supervisord-loops", "supervisord: FATAL, and respawns for ever", vec![fatal, respawns]),
        Case::new(
            "supervisord-healthy",
            "supervisord: one respawn, stops that were asked for",
            vec![healthy.input("healthy.log", None), asked.input("asked.log", None)],
        ),
    ]
}

fn pm2() -> Vec<Case> {
    let t = Stamp::Tee;
    let looping = |name: &str, runs: i64, errored: bool| {
        let mut lines = Lines::default();
        for n in 0..runs {
            let at = INCIDENT + n * 3 * SEC;
            lines.start(at, t, "@: PM2 log: App [api:0] starting in -fork mode-");
            lines.line(at, t, "@: PM2 log: App [api:0] online");
            lines.line(at + 2 * SEC, t, "@: PM2 log: App [api:0] exited with code [1] via signal [SIGINT]");
        }
        if errored {
            let text =
                "@: PM2 log: Script /srv/api/server.js had too many unstable restarts (16). Stopped. \"errored\"";
            lines.line(INCIDENT + runs * 3 * SEC, t, text);
        }
        lines.input(
            name,
            Some(Found::of("api", "restart-counter", runs as usize).code(1).ended(if errored {
                "start-limit"
            } else {
                "ongoing"
            })),
        )
    };
    let mut healthy = Lines::default();
    for n in 0..2 {
        let at = INCIDENT + n * 400 * SEC;
        healthy.line(at, t, "@: PM2 log: App [api:0] starting in -fork mode-");
        healthy.line(at, t, "@: PM2 log: App [api:0] online");
        healthy.line(at + 399 * SEC, t, "@: PM2 log: App [api:0] exited with code [1] via signal [SIGINT]");
    }
    let mut reloads = Lines::default();
    for n in 0..6 {
        let at = INCIDENT + n * 40 * SEC;
        reloads.line(at, t, "@: PM2 log: App [api:0] starting in -fork mode-");
        reloads.line(at, t, "@: PM2 log: App [api:0] online");
        reloads.line(at + 39 * SEC, t, "@: PM2 log: Stopping app:api id:0");
        reloads.line(at + 39 * SEC, t, "@: PM2 log: App [api:0] exited with code [0] via signal [SIGINT]");
        reloads.line(at + 39 * SEC, t, &format!("@: PM2 log: pid={} msg=process killed", 4100 + n));
    }
    vec![
        Case::new(
            "pm2-loops",
            "pm2: errored, and restarts",
            vec![looping("errored.log", 17, true), looping("restarts.log", 6, false)],
        ),
        Case::new(
            "pm2-healthy",
            "pm2: one restart, restarts that were asked for",
            vec![healthy.input("healthy.log", None), reloads.input("reloads.log", None)],
        ),
    ]
}

fn docker() -> Vec<Case> {
    let mut looping = String::new();
    let mut healthy = String::new();
    let header = "CONTAINER ID   IMAGE          COMMAND                  CREATED         STATUS                         PORTS                    NAMES\n";
    for (n, ago) in (1..7).zip([58, 41, 30, 22, 9, 3]) {
        looping += header;
        looping += &format!(
            "3f2a9c1d8e7b   acme/api:1.4   \"uvicorn app:app\"        {n} minutes ago   Restarting (3) {ago} seconds ago                            api\n"
        );
        looping += "77aa01b2c3d4   postgres:16    \"docker-entrypoint.s…\"   3 days ago      Up 3 days                      5432/tcp                 db\n";
        healthy += header;
        healthy += &format!(
            "3f2a9c1d8e7b   acme/api:1.4   \"uvicorn app:app\"        2 days ago      Up {n} hours                     0.0.0.0:80->8000/tcp     api\n"
        );
        healthy += "77aa01b2c3d4   postgres:16    \"docker-entrypoint.s…\"   3 days ago      Up 3 days (healthy)            5432/tcp                 db\n";
        healthy += "0badc0ffee00   acme/job:2     \"/job\"                   2 days ago      Exited (1) 2 days ago                                   job\n";
    }
    // One restart with a long delay, looked at every two seconds.
    let statuses = [
        "Up 2 hours",
        "Restarting (1) 1 second ago",
        "Restarting (1) 3 seconds ago",
        "Restarting (1) 5 seconds ago",
        "Restarting (1) 7 seconds ago",
        "Restarting (1) 9 seconds ago",
        "Up 1 second",
        "Up 3 seconds",
        "Up 5 seconds",
    ];
    let row = |status: &str| {
        format!(
            "{header}3f2a9c1d8e7b   acme/api:1.4   \"uvicorn app:app\"        2 days ago      {status:<30} 0.0.0.0:80->8000/tcp     api\n"
        )
    };
    let polled: String = statuses.iter().map(|status| row(status)).collect();
    let logs = Log {
        name: "logs.log",
        stamp: Stamp::Zulu,
        gap: 14 * SEC,
        runs: 6,
        run: &[
            "!@ INFO:     Started server process [1]",
            "@ INFO:     Waiting for application startup.",
            "@ ERROR:    Application startup failed. Exiting.",
        ],
        after: &[],
    };
    let logs = logs.input(Some(Found::of("", "banner", 6).part_of_line()));
    let found = Found::of("api", "restart-counter", 6).code(3);
    let looping = Input::new("ps.log", looping, vec![found.judge_without_stamps()]);
    vec![
        Case::new("docker-loops", "docker ps, asked again and again: `Restarting (3) … ago`", vec![looping]),
        Case::new(
            "docker-healthy",
            "containers that are up or have ended",
            vec![Input::new("ps.log", healthy, Vec::new()), Input::new("polled.log", polled, Vec::new())],
        ),
        Case::new("container-logs", "every container's first process is PID 1", vec![logs]),
    ]
}

pub fn cases() -> Vec<Case> {
    [supervisord(), pm2(), docker()].into_iter().flatten().collect()
}
