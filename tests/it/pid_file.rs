//! PIDFile= with real daemons, which know themselves by the host's PIDs.

use relapse::Options;
use relapse::run::{Live, LiveSetup};
use relapse::time::{IncidentTime, Span};
use relapse::unit::Profile;

/// 2026-01-16 01:00:00 UTC.
const START: IncidentTime = IncidentTime::from_micros(1_768_525_200_000_000);

/// Type=forking with PIDFile=/run/d.pid and these further settings: what is typed, and what that prints within a
/// minute.
struct Row {
    name: &'static str,
    settings: &'static str,
    typed: &'static str,
    printed: &'static str,
}

/// The main process as the manager, `ps` and the file have it.
const WHO: &str = "systemctl show a -p SubState,Result; ps -o args= -p $(systemctl show -P MainPID a)";

const ROWS: &[Row] = &[
    Row {
        name: "the child that the shell's $! names",
        settings: "ExecStart=/bin/sh -c 'sleep 1000 & sleep 2000 & echo $! >/run/d.pid'",
        typed: "systemctl start a; WHO",
        printed: "Result=success\nSubState=running\nsleep 2000\n",
    },
    Row {
        name: "a daemon that writes its own PID late is awaited, and seen at once",
        settings: "ExecStart=/bin/sh -c '(sleep 2.1; exec /data/daemon) & exit 0'",
        typed: "systemctl start a; date +%T.%3N; WHO",
        printed: "01:00:02.100\nResult=success\nSubState=running\n/bin/sh /data/daemon\n",
    },
    Row {
        name: "the file of an ExecStartPost=",
        settings: "ExecStart=/bin/sh -c 'sleep 2000 & echo $! >/data/pid'\nExecStartPost=/bin/cp /data/pid /run/d.pid",
        typed: "systemctl start a; WHO",
        printed: "Result=success\nSubState=running\nsleep 2000\n",
    },
    Row {
        name: "the end of the daemon is the end of the service",
        settings: "ExecStart=/bin/sh -c '(sleep 5; exit 3) & echo $! >/run/d.pid'",
        typed: "systemctl start a; sleep 6; systemctl show a -p Result,ExecMainStatus,SubState; LOG",
        printed: "Result=exit-code\nExecMainStatus=3\nSubState=failed\nStarting a.service...\nStarted a.service.\n\
                  a.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED\n\
                  a.service: Failed with result 'exit-code'.\n",
    },
    Row {
        name: "a stop ends the daemon",
        settings: "ExecStart=/bin/sh -c 'sleep 2000 & echo $! >/run/d.pid'",
        typed: "systemctl start a; systemctl stop a; pgrep -c sleep; LOG",
        printed: "0\nStarting a.service...\nStarted a.service.\nStopping a.service...\n\
                  a.service: Deactivated successfully.\nStopped a.service.\n",
    },
    Row {
        name: "the file goes with the daemon, so that nobody takes it for that of the next one",
        settings: "ExecStart=/bin/sh -c 'sleep 2000 & echo $! >/run/d.pid'",
        typed: "systemctl start a; systemctl stop a; ls /run/d.pid 2>&1 | sed 's/.*: //'",
        printed: "No such file or directory\n",
    },
    Row {
        name: "a dead process",
        settings: "TimeoutStartSec=1\nExecStart=/bin/sh -c 'sleep 2000 & cp /data/dead /run/d.pid'",
        typed: "true & echo $! >/data/dead; wait; systemctl start a 2>/dev/null; systemctl show -P Result a; \
                LOG | sed -n '2s/PID [0-9]*/PID N/p'",
        printed: "timeout\na.service: New main PID N does not exist or is a zombie.\n",
    },
    Row {
        name: "a number of nobody, and then none at all",
        settings: "TimeoutStartSec=1\nExecStart=/bin/sh -c 'sleep 2000 & echo 4194300 >/run/d.pid; (sleep 0.5; echo none >/run/d.pid) &'",
        typed: "systemctl start a 2>/dev/null; systemctl show -P Result a; LOG",
        printed: "timeout\nStarting a.service...\n\
                  a.service: New main PID 4194300 does not exist or is a zombie.\n\
                  a.service: start operation timed out. Terminating.\na.service: Failed with result 'timeout'.\n\
                  Failed to start a.service.\n",
    },
    Row {
        name: "no number",
        settings: "TimeoutStartSec=1\nExecStart=/bin/sh -c 'sleep 2000 & echo me >/run/d.pid'",
        typed: "systemctl start a 2>/dev/null; LOG | sed -n 2p",
        printed: "a.service: Failed to parse PID from file /run/d.pid: Invalid argument\n",
    },
    Row {
        name: "PID 1",
        settings: "TimeoutStartSec=1\nExecStart=/bin/sh -c 'sleep 2000 & echo 1 >/run/d.pid'",
        typed: "systemctl start a 2>/dev/null; LOG | sed -n 2p",
        printed: "a.service: New main PID 1 is the manager, refusing.\n",
    },
    Row {
        name: "the incident's number, from the incident's commands",
        settings: "ExecStart=/bin/sh -c 'sleep 2000 & pgrep -n -f ^sleep.2000 >/run/d.pid'",
        typed: "systemctl start a; WHO",
        printed: "Result=success\nSubState=running\nsleep 2000\n",
    },
    Row {
        name: "a process of somebody else, because the file is root's",
        settings: "ExecStart=/bin/sh -c 'sleep 2000 & cp /data/other /run/d.pid'",
        typed: "sleep 3000 & echo $! >/data/other; systemctl start a; WHO; LOG | sed 's/[0-9][0-9]*/N/'",
        printed: "Result=success\nSubState=running\nsleep 3000\nStarting a.service...\n\
                  a.service: Supervising process N which is not our child. We'll most likely not notice when it exits.\n\
                  Started a.service.\n",
    },
];

fn printed(row: &Row) -> String {
    let setup = LiveSetup {
        profile: Profile::V252,
        start: START,
        timer_phase: Span::ZERO,
        hostname: "web1".to_owned(),
        directories: vec!["/data".to_owned(), "/run".to_owned()],
        ports: Default::default(),
        unknown_accounts: Default::default(),
    };
    let options = Options { helper: Some(env!("CARGO_BIN_EXE_relapse").into()), ..Options::default() };
    let mut live = Live::boot(setup, &options).expect("a machine");
    let unit = format!("[Service]\nType=forking\nPIDFile=/run/d.pid\n{}\n", row.settings);
    live.write("/etc/systemd/system/a.service", &unit).expect("a unit");
    live.write("/data/daemon", "#!/bin/sh\necho $$ >/run/d.pid\nsleep 1000\n").expect("a program");
    let typed = row.typed.replace("WHO", WHO).replace("LOG", "journalctl -q -o cat _PID=1 -u a");
    live.enter(&typed).expect("a command");
    let ended = match live.run_until(START + Span::from_secs(60)) {
        Ok(ended) => ended,
        Err(fault) => panic!("{}: {fault}", row.name),
    };
    live.end().expect("an end");
    ended.into_iter().next().unwrap_or_else(|| panic!("{}: the command does not end", row.name)).output
}

#[test]
fn the_process_that_a_pid_file_names_is_the_main_one() {
    let mut wrong = Vec::new();
    for row in ROWS {
        let printed = printed(row);
        if printed != row.printed {
            wrong.push(format!("{}\n{printed}--- not\n{}", row.name, row.printed));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_scenario_s_pid_files_are_the_run_s_own() {
    let document = "# P\n\n```toml scenario\nkind = \"behaviour\"\n```\n\n```ini unit=a.service\n[Service]\nType=forking\n\
                    PIDFile = /run/a/a.pid\nExecStart=/bin/true\n```\n\n```ini unit=b.service\n[Service]\nType=forking\n\
                    PIDFile=b.pid\nExecStart=/bin/true\n```\n\n```expect\nalways port 9 owner = none for 1s\n```\n";
    let scenario = relapse::Scenario::parse("p.md", document).expect("a scenario");
    let own = scenario.own_paths();
    for path in ["/run/a/a.pid", "/run/b.pid"] {
        assert!(own.iter().any(|known| known == path), "{path}: {own:?}");
    }
}
