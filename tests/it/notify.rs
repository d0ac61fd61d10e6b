//! Notifications (sd_notify(3)) with real processes: who may send them, what they do, and that they come at the same
//! moment in every run.

use std::process::Command;

use relapse::Options;
use relapse::run::{Live, LiveSetup};
use relapse::time::{IncidentTime, Span};
use relapse::unit::Profile;

/// 2026-01-16 01:00:00 UTC.
const START: IncidentTime = IncidentTime::from_micros(1_768_525_200_000_000);

fn boot(profile: Profile) -> Live {
    let setup = LiveSetup {
        profile,
        start: START,
        timer_phase: Span::ZERO,
        hostname: "web1".to_owned(),
        directories: vec!["/data".to_owned(), "/run".to_owned()],
        ports: Default::default(),
        unknown_accounts: ["nobodyknows".to_owned()].into(),
    };
    let options = Options { helper: Some(env!("CARGO_BIN_EXE_relapse").into()), ..Options::default() };
    Live::boot(setup, &options).expect("a machine")
}

/// Runs one command on a machine with these files for a minute: what it prints.
fn printed(files: &[(&str, &str)], command: &str) -> String {
    printed_by(Profile::V252, files, command)
}

fn printed_by(profile: Profile, files: &[(&str, &str)], command: &str) -> String {
    let mut live = boot(profile);
    for (path, content) in files {
        live.write(path, content).expect("a file");
    }
    live.enter(command).expect("a command");
    let ended = match live.run_until(START + Span::from_secs(60)) {
        Ok(ended) => ended,
        Err(fault) => panic!("{command}: {fault}"),
    };
    live.end().expect("an end");
    ended.into_iter().next().expect("the command ends").output
}

const UNIT: &str = "/etc/systemd/system/a.service";
const SHOW: &str = "systemctl show a -p ActiveState,SubState,Result,StatusText,NRestarts";
const LOG: &str = "journalctl -q -o cat _PID=1 -u a.service";

/// Says what sd_notify(3) would say, as programs do that do not know of any harness: a datagram, without waiting for
/// anything.
const SAY: &str = r#"#!/usr/bin/env python3
import os, socket, sys
def say(*lines):
    peer = os.environ["NOTIFY_SOCKET"]
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto("\n".join(lines).encode(), "\0" + peer[1:] if peer[0] == "@" else peer)
"#;

/// A machine without Python cannot show what Python does.
pub(crate) fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("no python3 here: not tried");
    }
    found
}

fn python(rest: &str) -> String {
    format!("{SAY}{rest}")
}

/// Waits as a process of the run can: as `sleep`, or for one.
const FOR_EVER: &str = "os.execvp('sleep', ['sleep', '1000'])\n";

#[test]
fn a_foreign_program_that_says_so_is_started() {
    if !has_python() {
        return;
    }
    let program = python(&format!(
        "import subprocess; subprocess.run(['sleep', '3']); say('READY=1', 'STATUS=at /data/x'); {FOR_EVER}"
    ));
    assert_eq!(
        printed(
            &[(UNIT, "[Service]\nType=notify\nExecStart=/data/daemon\n"), ("/data/daemon", &program)],
            &format!("systemctl start a; date +%T; {SHOW}; {LOG}"),
        ),
        "01:00:03\nStatusText=at /data/x\nResult=success\nNRestarts=0\nActiveState=active\nSubState=running\n\
         Starting a.service...\nStarted a.service.\n"
    );
}

#[test]
fn a_foreign_program_that_waits_for_its_barrier_goes_on_when_all_has_been_served() {
    if !has_python() {
        return;
    }
    // sd_notify_barrier(3): a descriptor goes out, and its other end is hung up.
    let program = python(&format!(
        "import array, select\n\
         say('READY=1')\n\
         r, w = os.pipe()\n\
         s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [w]))]\n\
         s.sendmsg([b'BARRIER=1'], rights, 0, os.environ['NOTIFY_SOCKET'])\n\
         os.close(w)\n\
         p = select.poll(); p.register(r, 0)\n\
         events = p.poll(5000)\n\
         print('hung up' if events else 'late', flush=True)\n{FOR_EVER}"
    ));
    assert_eq!(
        printed(
            &[(UNIT, "[Service]\nType=notify\nExecStart=/data/daemon\n"), ("/data/daemon", &program)],
            "systemctl start a; date +%T; journalctl -q -o cat -u a",
        ),
        "01:00:00\nStarting a.service...\nStarted a.service.\nhung up\n"
    );
}

#[test]
fn a_real_systemd_notify_of_the_host_is_heard() {
    if !std::path::Path::new("/usr/bin/systemd-notify").exists() {
        eprintln!("no systemd-notify here: not tried");
        return;
    }
    // A path that is written out leads to the run's own.
    let script = "#!/bin/sh\nsleep 2\n$(printf /usr/%s/systemd-notify bin) --ready --status=Hello\nsleep 1000\n";
    assert_eq!(
        printed(
            &[(UNIT, "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/data/daemon\n"), ("/data/daemon", script),],
            &format!("systemctl start a; date +%T; {SHOW}"),
        ),
        "01:00:02\nStatusText=Hello\nResult=success\nNRestarts=0\nActiveState=active\nSubState=running\n"
    );
}

#[test]
fn a_child_that_is_gone_has_been_heard() {
    if !has_python() {
        return;
    }
    // Nobody waits for anything: the sender is reaped by its shell before the run looks.
    let script = "#!/bin/sh\n/data/say READY=1\n/data/say 'STATUS=said by nobody'\nsleep 1000\n";
    let say = python("say(*sys.argv[1:])\n");
    let run = |access: &str| {
        let unit =
            format!("[Service]\nType=notify\nNotifyAccess={access}\nTimeoutStartSec=5\nExecStart=/data/daemon\n");
        printed(
            &[(UNIT, &unit), ("/data/daemon", script), ("/data/say", &say)],
            &format!("systemctl start a 2>/dev/null; {SHOW}; {LOG}"),
        )
    };
    assert_eq!(
        run("all"),
        "StatusText=said by nobody\nResult=success\nNRestarts=0\nActiveState=active\nSubState=running\n\
         Starting a.service...\nStarted a.service.\n"
    );
    let refused =
        "a.service: Got notification message from PID [PID], but reception only permitted for main PID [MAIN]\n";
    let said = run("main");
    let pids = regex::Regex::new(r"PID \d+").expect("a pattern");
    assert_eq!(
        pids.replace_all(&said, "PID [PID]"),
        format!(
            "StatusText=\nResult=timeout\nNRestarts=0\nActiveState=failed\nSubState=failed\n\
             Starting a.service...\n{0}{0}a.service: start operation timed out. Terminating.\n\
             a.service: Failed with result 'timeout'.\nFailed to start a.service.\n",
            refused.replace("[MAIN]", "[PID]")
        )
    );
}

#[test]
fn what_is_wrong_with_a_datagram_is_said_in_systemd_s_words() {
    if !has_python() {
        return;
    }
    let program = python(&format!(
        "say('READY=1\\0STATUS=x')\n\
         say('STATUS=' + 'x' * 4096)\n\
         say('BARRIER=1', 'READY=1')\n\
         say('BARRIER=1')\n\
         socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'STATUS=\\xff', os.environ['NOTIFY_SOCKET'])\n\
         say('STATUS=fine', 'MAINPID=0', 'ERRNO=5')\n{FOR_EVER}"
    ));
    assert_eq!(
        printed(
            &[
                (UNIT, "[Service]\nType=notify\nTimeoutStartSec=5\nExecStart=/data/daemon\n"),
                ("/data/daemon", &program)
            ],
            "systemctl start --no-block a; sleep 1; systemctl show a -p StatusText,StatusErrno,ActiveState; \
             journalctl -q -o cat _PID=1 -p warning",
        ),
        "StatusText=fine\nStatusErrno=5\nActiveState=activating\n\
         Received notify message with embedded NUL bytes. Ignoring.\n\
         Received notify message exceeded maximum size. Ignoring.\n\
         Extra notification messages sent with BARRIER=1, ignoring everything.\n\
         Got incorrect number of fds with BARRIER=1, closing them.\n\
         a.service: Status message in notification message is not UTF-8 clean.\n\
         a.service: Failed to parse MAINPID= field in notification message, ignoring: 0\n"
    );
}

/// What a service is told in its environment: NotifyAccess=, WatchdogSec=, and what its main process and its control
/// processes have then (systemd.exec(5), `$NOTIFY_SOCKET`, `$WATCHDOG_USEC`).
const TOLD: &[(&str, &str, &str)] = &[
    ("", "post: -, -", "main: -, -"),
    ("NotifyAccess=main\n", "post: -, -", "main: /run/systemd/notify, -"),
    ("NotifyAccess=exec\n", "post: /run/systemd/notify, -", "main: /run/systemd/notify, -"),
    ("NotifyAccess=all\n", "post: /run/systemd/notify, -", "main: /run/systemd/notify, -"),
    ("WatchdogSec=3\n", "post: -, -", "main: /run/systemd/notify, 3000000"),
    ("FileDescriptorStoreMax=1\n", "post: -, -", "main: /run/systemd/notify, -"),
];

#[test]
fn a_process_is_told_where_to_send_if_it_may_send() {
    for (settings, post, main) in TOLD {
        let unit = format!("[Service]\n{settings}ExecStart=/data/tell main\nExecStartPost=/data/tell post\n");
        let script = "#!/bin/sh\necho $1: ${NOTIFY_SOCKET:--}, ${WATCHDOG_USEC:--}\nsleep 1\n";
        let said =
            printed(&[(UNIT, &unit), ("/data/tell", script)], "systemctl start a; journalctl -q -o cat -t tell | sort");
        assert_eq!(said, format!("{main}\n{post}\n"), "{settings}");
    }
}

/// systemd-notify(1) as a child of a service's main process: what systemd 252.38's does with such a command line, and
/// what of it arrives. (`$NOTIFY_SOCKET` is set; the message goes out in the parent's name.)
const COMMAND_LINES: &[(&str, u8, &str, &str)] = &[
    ("--ready --status=Hello", 0, "", "READY=1 STATUS=Hello"),
    ("--status=Hello --ready READY=0 X=1", 0, "", "READY=0 STATUS=Hello X=1"),
    ("foo --ready", 0, "", "READY=1 foo"),
    ("A=1 A=2", 0, "", "A=2"),
    ("B=2 A=1 STATUS=a --status=b", 0, "", "STATUS=a B=2 A=1"),
    ("STATUS= A", 0, "", "STATUS= A"),
    ("--rea", 0, "", "READY=1"),
    ("-- --ready", 0, "", "--ready"),
    ("--no-block READY=1", 0, "", "READY=1"),
    ("--pid --ready", 0, "", "READY=1 MAINPID=[PARENT]"),
    ("--pid=auto", 0, "", "MAINPID=[PARENT]"),
    ("--pid=parent", 0, "", "MAINPID=[PARENT]"),
    ("--pid=self", 0, "", "MAINPID=[SELF]"),
    ("--pid=1", 0, "", "MAINPID=1"),
    ("--booted", 0, "", ""),
    ("--booted --ready", 0, "", ""),
    ("--bogus", 1, "systemd-notify: unrecognized option '--bogus'\n", "!"),
    ("--reloading", 1, "systemd-notify: unrecognized option '--reloading'\n", "!"),
    ("--stopping", 1, "systemd-notify: unrecognized option '--stopping'\n", "!"),
    ("--status", 1, "systemd-notify: option '--status' requires an argument\n", "!"),
    ("--ready=1", 1, "systemd-notify: option '--ready' doesn't allow an argument\n", "!"),
    ("--pid=abc", 1, "Failed to parse PID abc.\n", "!"),
    ("--pid=0 --ready", 1, "Failed to parse PID 0.\n", "!"),
    ("--uid=nobodyknows --ready", 1, "Can't resolve user nobodyknows: Invalid argument\n", "!"),
];

/// The same in later versions.
const LATER: &[(&str, u8, &str, &str)] = &[
    ("--reloading", 0, "", "RELOADING=1 MONOTONIC_USEC=7000000"),
    ("--stopping --ready", 0, "", "READY=1 STOPPING=1"),
    ("--pid=abc", 1, "Failed to refer to --pid='abc': Invalid argument\n", "!"),
    ("--exec A=1", 1, "If --exec is used, argument list must contain ';' separator, refusing.\n", "!"),
    ("--exec A=1 ;", 1, "Empty command line specified after ';' separator, refusing.\n", "!"),
    ("--exec ; true", 1, "No notify message specified while --exec, refusing.\n", "!"),
    ("--exec --ready ; a b", 0, "", "READY=1 then 2 words"),
];

#[test]
fn command_lines_of_systemd_notify_mean_what_they_mean_to_the_real_one() {
    use relapse::ctl::notify::{Caller, Outcome, read};
    let caller =
        Caller { pid: 21, parent: 20, uptime: Span::from_secs(7), is_unknown_user: &|user| user == "nobodyknows" };
    let rows = COMMAND_LINES.iter().map(|row| (Profile::V252, row)).chain(LATER.iter().map(|row| (Profile::V257, row)));
    for (profile, (line, code, stderr, sent)) in rows {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (output, text) = match read(&args, profile, &caller) {
            Outcome::Said(output) => (output, String::new()),
            Outcome::Refused(output) => (output, "!".to_owned()),
            Outcome::Sends(sends) => {
                let then = if sends.command > 0 { format!(" then {} words", sends.command) } else { String::new() };
                (relapse::ctl::Output::default(), sends.text.replace('\n', " ") + &then)
            }
        };
        let said = (output.code, String::from_utf8_lossy(&output.stderr).into_owned(), text);
        let expected = (*code, (*stderr).to_owned(), sent.replace("[PARENT]", "20").replace("[SELF]", "21"));
        assert_eq!(said, expected, "systemd-notify {line}");
    }
    let nothing = read(&[], Profile::V252, &caller);
    assert!(
        matches!(&nothing, Outcome::Refused(output) if output.code == 1 && output.stderr.is_empty()),
        "{nothing:?}"
    );
}

#[test]
fn a_shell_s_systemd_notify_speaks_in_the_shell_s_name() {
    // NotifyAccess=main: the shell is the main process, systemd-notify is not.
    let unit = "[Service]\nType=notify\nExecStart=/bin/sh -c 'sleep 2; systemd-notify --ready; systemd-notify \
                STATUS=two; sleep 1000'\n";
    assert_eq!(
        printed(&[(UNIT, unit)], &format!("systemctl start a; date +%T; sleep 1; {SHOW}; {LOG}")),
        "01:00:02\nStatusText=two\nResult=success\nNRestarts=0\nActiveState=active\nSubState=running\n\
         Starting a.service...\nStarted a.service.\n"
    );
    // Only root may do so.
    let unit = unit.replace("[Service]\n", "[Service]\nUser=app\nTimeoutStartSec=4\n");
    let said = printed(&[(UNIT, &unit)], &format!("systemctl start a 2>/dev/null; {LOG}"));
    assert!(
        said.contains(
            "a.service: Got notification message from PID 1002, but reception only permitted for main PID 1001"
        ),
        "{said}"
    );
}

#[test]
fn a_systemd_notify_that_makes_no_sense_tells_the_manager_so_itself() {
    let unit = "[Service]\nNotifyAccess=all\nExecStart=/bin/sh -c 'systemd-notify --bogus; echo $?; sleep 1000'\n";
    assert_eq!(
        printed(
            &[(UNIT, unit)],
            "systemctl start a; sleep 1; systemctl show a -p StatusErrno; journalctl -q -o cat -t sh"
        ),
        "StatusErrno=22\nsystemd-notify: unrecognized option '--bogus'\n1\n"
    );
}

#[test]
fn systemd_notify_outside_a_service_says_what_is_missing() {
    let lines = [
        ("systemd-notify --ready", "No status data could be sent: $NOTIFY_SOCKET was not set\n1\n"),
        ("systemd-notify --booted", "0\n"),
        (
            "NOTIFY_SOCKET=/data/none systemd-notify --ready",
            "Failed to notify init system: No such file or directory\n1\n",
        ),
        ("NOTIFY_SOCKET=relative systemd-notify --ready", "Failed to notify init system: Invalid argument\n1\n"),
        (
            "NOTIFY_SOCKET=/run/systemd/notify systemd-notify --ready; journalctl -q -o cat -p warning | sed 's/PID [0-9]*/PID N/'",
            "Cannot find unit for notify message of PID N, ignoring.\n0\n",
        ),
    ];
    for (line, said) in lines {
        assert_eq!(printed(&[], &format!("{line}; echo $?")), said, "{line}");
    }
}

#[test]
fn systemd_notify_goes_on_as_another_program_from_254_on() {
    let unit = "[Service]\nType=notify\nExecStart=/usr/bin/systemd-notify --exec --ready \\; /data/daemon one\n";
    let files = [(UNIT, unit), ("/data/daemon", "#!/bin/sh\necho $0 $1\nexec sleep 1000\n")];
    let said = printed_by(
        Profile::V257,
        &files,
        "systemctl start a; systemctl show a -p SubState; journalctl -q -o cat _TRANSPORT=stdout; pgrep -f 'sleep 1000' | grep -c $(systemctl show -P MainPID a)",
    );
    assert_eq!(said, "SubState=running\n/data/daemon one\n1\n");
}

/// Several units that say things at the same moment: in shells, through systemd-notify, and as datagrams of processes
/// that nobody has announced and that are gone at once.
fn crowd() -> String {
    let mut live = boot(Profile::V252);
    let says = if has_python() { "/data/say READY=1 STATUS=$1" } else { "systemd-notify --ready STATUS=$1" };
    let daemon = format!(
        "#!/bin/sh\nsleep 1\n(sleep 1; systemd-notify STATUS=early-$1) &\n(sleep 1; {says}) &\nsleep 2\n\
         systemd-notify WATCHDOG=1 & systemd-notify --ready STATUS=late-$1\nwait\nsleep 5\n"
    );
    live.write("/data/daemon", &daemon).expect("a file");
    live.write("/data/say", &python("say(*sys.argv[1:])\n")).expect("a file");
    let unit = "[Service]\nType=notify\nNotifyAccess=all\nWatchdogSec=2\nRestart=always\nExecStart=/data/daemon %i\n";
    live.write("/etc/systemd/system/a@.service", unit).expect("a file");
    // While it is alone a sender that is gone is heard, later it is not.
    live.enter("systemctl start a@1 & sleep 3; systemctl start a@2 a@3").expect("a command");
    live.run_until(START + Span::from_secs(8)).expect("a run");
    let journal = live.journal().entries().map(|entry| entry.record.message() + "\n").collect::<String>();
    let timeline = live.timeline().to_jsonl();
    live.end().expect("an end");
    journal + &timeline
}

#[test]
fn what_services_say_comes_at_the_same_moment_in_every_run_however_busy_the_machine_is() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let first = crowd();
    assert!(["late-1", "Watchdog timeout", "Started a@3"].iter().all(|said| first.contains(said)), "{first}");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for round in 0..2 {
            let again = crowd();
            if again != first {
                stop.store(true, Ordering::Relaxed);
                let differs = first.lines().zip(again.lines()).find(|(a, b)| a != b);
                panic!("round {round}: {differs:#?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_service_that_reloads_by_signal_says_when_it_is_done() {
    let script = "#!/bin/sh\ntrap 'systemd-notify --reloading; sleep 2; systemd-notify --ready --status=again' HUP\n\
                  systemd-notify --ready\nwhile :; do sleep 1000 & wait $!; done\n";
    let unit = "[Service]\nType=notify-reload\nExecStart=/data/daemon\n";
    assert_eq!(
        printed_by(
            Profile::V257,
            &[(UNIT, unit), ("/data/daemon", script)],
            "systemctl start a; systemctl reload a & sleep 1; systemctl show a -p SubState; wait $!; date +%T; \
             systemctl show a -p SubState,StatusText; journalctl -q -o cat _PID=1 -u a",
        ),
        "SubState=reload-notify\n01:00:02\nStatusText=again\nSubState=running\nStarting a.service...\n\
         Started a.service.\nReloading a.service...\nReloaded a.service.\n"
    );
}

/// Units that name another main process or speak in somebody else's name, as they were run on systemd 252.38: the
/// settings, what was typed, and what the manager logged, PIDs as N.
const RECORDED: &[(&str, &str, &str, &str)] = &[
    (
        "a main process whose parent is another process: its end is seen only when nothing is left",
        "Type=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'sleep 2 & systemd-notify MAINPID=$! READY=1; wait'\n",
        "systemctl start a; sleep 3; systemctl show a -p SubState,Result",
        "Result=success\nSubState=dead\n\
         Starting a.service...\n\
         a.service: Supervising process N which is not our child. We'll most likely not notice when it exits.\n\
         Started a.service.\n\
         a.service: Killing process N (n/a) with signal SIGKILL.\n\
         a.service: Killing process N (n/a) with signal SIGKILL.\n\
         a.service: Deactivated successfully.\n",
    ),
    (
        "a main process from outside, whose end nobody sees",
        "Type=forking\nPIDFile=/run/o.pid\nExecStart=/bin/sh -c 'sleep 2000 & cp /run/other /run/o.pid'\n",
        "sleep 30 & echo $! >/run/other; systemctl start a; kill $!; sleep 1; systemctl show a -p SubState,Result; \
         systemctl stop a",
        "Result=success\nSubState=running\n\
         Starting a.service...\n\
         a.service: Supervising process N which is not our child. We'll most likely not notice when it exits.\n\
         Started a.service.\n\
         Stopping a.service...\n\
         a.service: Killing process N (n/a) with signal SIGKILL.\n\
         a.service: Deactivated successfully.\n\
         Stopped a.service.\n",
    ),
    (
        "a main process that has lost its parent is a child of the manager like any other",
        "Type=notify\nNotifyAccess=all\nExecStart=/bin/sh -c \"sh -c '(sleep 1; systemd-notify --pid; systemd-notify \
         --ready; sleep 2; exit 7) &'; sleep 5\"\n",
        "systemctl start a; sleep 3; systemctl show a -p SubState,Result,ExecMainStatus",
        "Result=exit-code\nExecMainStatus=7\nSubState=failed\n\
         Starting a.service...\n\
         Started a.service.\n\
         a.service: Main process exited, code=exited, status=7/NOTRUNNING\n\
         a.service: Failed with result 'exit-code'.\n",
    ),
    (
        "a number of nobody, a command line without sense",
        "NotifyAccess=all\nExecStart=/bin/sh -c 'systemd-notify MAINPID=4194301; systemd-notify --bogus; sleep 1; \
         systemd-notify STATUS=x BARRIER=1; sleep 1000'\n",
        "systemctl start a; sleep 2; systemctl show a -p StatusErrno,StatusText; systemctl stop a",
        "StatusText=\nStatusErrno=22\n\
         Started a.service.\n\
         a.service: New main PID N does not exist or is a zombie.\n\
         Stopping a.service...\n\
         a.service: Deactivated successfully.\n\
         Stopped a.service.\n",
    ),
    (
        "what systemd-notify sends in its own name is not the main process's",
        "NotifyAccess=main\nExecStart=/bin/sh -c 'systemd-notify --pid=self --status=a; systemd-notify --bogus; sleep \
         1000'\n",
        "systemctl start a; sleep 1; systemctl show a -p StatusErrno,StatusText,SubState; systemctl stop a",
        "StatusText=\nStatusErrno=0\nSubState=running\n\
         Started a.service.\n\
         a.service: Got notification message from PID N, but reception only permitted for main PID N\n\
         a.service: Got notification message from PID N, but reception only permitted for main PID N\n\
         Stopping a.service...\n\
         a.service: Deactivated successfully.\n\
         Stopped a.service.\n",
    ),
];

#[test]
fn whoever_speaks_in_whose_name_is_taken_as_recorded() {
    let number = regex::Regex::new(r"(PID|process) \d+").expect("a pattern");
    let mut wrong = Vec::new();
    for (name, settings, typed, expected) in RECORDED {
        let said = printed(&[(UNIT, &format!("[Service]\n{settings}"))], &format!("{typed}; {LOG}"));
        let said = number.replace_all(&said, "$1 N").into_owned();
        if said != *expected {
            wrong.push(format!("{name}\n{said}--- systemd:\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_notification_is_heard_on_a_wall_clock_too() {
    let unit = "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'sleep 1; systemd-notify --ready; sleep 1000'\n";
    let document = format!(
        "# Wall\n\n```toml scenario\nkind = \"behaviour\"\n```\n\n```ini unit=a.service\n{unit}```\n\n\
         ```console\n$ systemctl start a; systemctl is-active a\nactive\n```\n\n```expect\nalways a.ActiveState = active for 1s\n```\n"
    );
    let clock = "scaled:10".parse().expect("a clock");
    let outcome = crate::lockstep::run(&document, Options { clock, ..crate::lockstep::options() });
    assert!(outcome.failures.is_empty(), "{}", relapse::report::text(&outcome, relapse::expect::Style::Plain));
}

#[test]
fn a_foreign_program_finds_the_watchdog_to_be_meant_for_it() {
    if !has_python() {
        return;
    }
    // sd_watchdog_enabled(3): only for the process that WATCHDOG_PID names.
    let program = python(&format!(
        "mine = os.environ['WATCHDOG_PID'] == str(os.getpid())\n\
         say('READY=1', 'STATUS=%s, %s' % (mine, os.environ['WATCHDOG_USEC']))\n{FOR_EVER}"
    ));
    assert_eq!(
        printed(
            &[(UNIT, "[Service]\nType=notify\nWatchdogSec=90\nExecStart=/data/daemon\n"), ("/data/daemon", &program)],
            "systemctl start a; systemctl show -P StatusText a",
        ),
        "True, 90000000\n"
    );
}
