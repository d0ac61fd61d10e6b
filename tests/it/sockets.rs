//! Sockets of socket units, with real processes: the session that was recorded on systemd 252, and what lock-step has to
//! make of connections that wait.

use relapse::timeline::{Answer, EventKind};
use relapse::{Outcome, Scenario, Verdict, report};
use rstest::rstest;

use crate::lockstep::{holds, options};

const RECORDED: &str = include_str!("../../fixtures/systemd/recorded/socket_252.txt");

/// A command as it was recorded.
struct Command {
    line: usize,
    text: &'static str,
    output: Vec<&'static str>,
    status: &'static str,
}

/// A record of the journal as it was recorded: line, priority, who, text.
type Record = (usize, u8, &'static str, String);

/// A part of the recording.
struct Section {
    commands: Vec<Command>,
    journal: Vec<(&'static str, Vec<Record>)>,
}

fn section(name: &str) -> Section {
    let mut section = Section { commands: Vec::new(), journal: Vec::new() };
    let mut within = false;
    for (index, text) in RECORDED.lines().enumerate() {
        let line = index + 1;
        if let Some(heading) = text.strip_prefix("######## ") {
            within = heading == name;
        } else if !within {
        } else if let Some(command) = text.strip_prefix("$ ") {
            section.commands.push(Command { line, text: command, output: Vec::new(), status: "" });
        } else if let Some(unit) = text.strip_prefix("--- journal ") {
            section.journal.push((unit.split(' ').next().unwrap_or_default(), Vec::new()));
        } else if let Some(command) = section.commands.last_mut()
            && let Some(output) = text.strip_prefix("OUT: ").or_else(|| text.strip_prefix("ERR: "))
        {
            command.output.push(output);
        } else if let Some(command) = section.commands.last_mut()
            && let Some(status) = text.strip_prefix("rc=")
        {
            command.status = status;
        } else if let Some((_, records)) = section.journal.last_mut()
            && let Some(record) = record(line, text)
        {
            records.push(record);
        }
    }
    assert!(!section.commands.is_empty(), "socket_252.txt has no part `{name}`");
    section
}

/// `+  0.000 <6> systemd[1] 'TEXT' …`, of the manager and its children.
fn record(line: usize, text: &'static str) -> Option<Record> {
    let (_, rest) = text.strip_prefix('+')?.split_once('<')?;
    let (priority, rest) = rest.split_once("> ")?;
    let (who, rest) = rest.split_once(' ')?;
    let who = who.split('[').next()?;
    let quote = rest.chars().next()?;
    let message = &rest[1..1 + rest[1..].find(&format!("{quote} "))?];
    matches!(who, "systemd" | "(sd-listen)").then(|| Some((line, priority.parse().ok()?, who, message.to_owned())))?
}

/// What the recorded output is in another run: times, PIDs and what was logged before differ.
fn alike(command: &Command) -> Vec<String> {
    if !command.text.starts_with("systemctl status") {
        return command.output.iter().map(|&line| line.to_owned()).collect();
    }
    let mut lines = Vec::new();
    for line in &command.output {
        let cut = |at: &str| line.find(at).map(|found| format!("{}[..]", &line[..found + at.len()]));
        if line.trim_start().starts_with("CPU:") || line.is_empty() {
            break;
        }
        let process = line.find(" (code=").filter(|_| line.contains("Process: "));
        lines.push(match process {
            Some(at) => format!("    Process: [..]{}", &line[at..]),
            None => cut(" since ").or(cut("Duration: ")).or(cut("Main PID: ")).unwrap_or_else(|| (*line).to_owned()),
        });
    }
    lines.push("...".to_owned());
    lines
}

/// What is typed: a command of the recording, with its output, or one of this test's own, with lines for a console.
enum Step {
    Recorded(&'static str),
    Own(&'static str),
}
use Step::{Own, Recorded};

/// The server of the recording answers with its PID; this one imports for 30 ms and says where it runs.
const HEADER: &str = r#"# Recorded

```toml scenario
kind = "behaviour"
directory = "/home/app"
pid = 3500
```

```toml program=python
path = "/home/app/venv/bin/python"
startup = ["30ms"]
```
"#;

/// Types a part of the recording on a machine with these units, and compares outputs, exit codes and, from each named
/// unit's last `n` records, the journal.
fn replay(part: &str, units: &[(&str, &str)], steps: &[Step], journal: &[(&str, usize)], claim: &str) {
    let recorded = section(part);
    let mut document = HEADER.to_owned();
    for (name, text) in units {
        document.push_str(&format!("\n```ini unit={name}\n{text}```\n"));
    }
    document.push_str("\n```console\n");
    let mut rest = recorded.commands.iter();
    let mut places = Vec::new();
    for step in steps {
        match step {
            Own(lines) => document.push_str(&format!("{lines}\n")),
            Recorded(text) => {
                let command = rest.by_ref().find(|command| command.text == *text);
                let command = command.unwrap_or_else(|| panic!("`{text}` is not (or not there) in part `{part}`"));
                places.push((document.lines().count() + 1, command.line));
                document.push_str(&format!("$ {text}\n"));
                for line in alike(command) {
                    document.push_str(&format!("{line}\n"));
                }
                if command.status != "0" {
                    document.push_str(&format!("? {}\n", command.status));
                }
            }
        }
    }
    document.push_str(&format!("```\n\n```expect\n{claim}\n```\n"));
    let scenario = Scenario::parse("recorded.md", &document).expect("the document is in order");
    let run = scenario.record(&options()).expect("the run begins");
    assert_eq!(
        run.outcome.verdict,
        Verdict::Holds,
        "part `{part}` of socket_252.txt (line of this document, line of the recording): {places:?}\n{}",
        report::text(&run.outcome, relapse::expect::Style::Plain)
    );
    for (unit, last) in journal {
        let (_, wanted) = recorded.journal.iter().find(|(name, _)| name == unit).expect("the unit was recorded");
        let wanted = &wanted[wanted.len() - last..];
        let found: Vec<(u8, String, String)> = run
            .journal
            .entries()
            .filter(|entry| entry.record.get("UNIT") == Some(unit))
            .map(|entry| {
                let who = entry.record.get("SYSLOG_IDENTIFIER").unwrap_or_default().to_owned();
                (entry.record.priority().unwrap_or(9), who, entry.record.message())
            })
            .collect();
        let found = &found[found.len().saturating_sub(*last)..];
        for (at, (line, priority, who, text)) in wanted.iter().enumerate() {
            let other = found.get(at).map(|(priority, who, text)| (*priority, who.as_str(), text.as_str()));
            assert_eq!(other, Some((*priority, *who, text.as_str())), "socket_252.txt:{line}: {unit}: {found:#?}");
        }
    }
}

const SERVE: &str = "/home/app/venv/bin/python -m uvicorn --fd 3";

#[test]
fn the_first_connection_starts_a_service_and_a_killed_one_refuses_nobody() {
    let socket = "[Unit]\nDescription=Sock ok\n[Socket]\nListenStream=127.0.0.1:8100\nListenStream=/run/sok.sock\n\
                  [Install]\nWantedBy=sockets.target\n";
    let service = format!("[Service]\nExecStart={SERVE}\nRestart=on-failure\n");
    let answered = "$ curl -s http://127.0.0.1:8100/health; echo\n{\"status\":\"ok\"}";
    let steps = [
        Own("$ systemctl enable -q sok.socket"),
        Recorded("systemctl start sok.socket"),
        Own("$ systemctl status sok.socket\n...\n     Active: active (listening) since [..]\n..."),
        Own(answered),
        Own(answered),
        Recorded("systemctl status sok.socket -n0"),
        Recorded("systemctl status sok.service -n5"),
        Own("$ systemctl kill -s KILL sok.service"),
        Own(answered),
        Recorded("systemctl show sok.service -p NRestarts,ActiveState"),
        Recorded("systemctl stop sok.service"),
        Recorded("systemctl status sok.socket -n0"),
        Recorded("systemctl stop sok.socket"),
    ];
    // What `systemctl kill` says is not in it: the recording killed with kill(1).
    let journal = [("sok.service", 3), ("sok.socket", 3)];
    let claim = "eventually sok.socket.ActiveState = inactive";
    replay("ok", &[("sok.socket", socket), ("sok.service", &service)], &steps, &journal, claim);
}

#[test]
fn a_socket_is_refused_while_its_service_runs_without_it() {
    let socket = "[Socket]\nListenStream=127.0.0.1:8100\n";
    let service = format!(
        "[Service]\nExecStart=/bin/sh -c 'test -n \"$LISTEN_FDS\" && exec {SERVE}; sleep 0.02; exit 1'\nRestart=on-failure\n"
    );
    let steps = [
        Recorded("systemctl start sok.service"),
        Recorded("systemctl is-active sok.socket sok.service"),
        Recorded("systemctl start sok.socket"),
        Own("$ sleep 0.05"),
        Recorded("systemctl is-active sok.socket sok.service"),
        Recorded("systemctl stop sok.service sok.socket"),
    ];
    let part = "start service directly while socket inactive";
    let claim = "eventually sok.service.ActiveState = inactive";
    replay(part, &[("sok.socket", socket), ("sok.service", &service)], &steps, &[], claim);
}

#[test]
fn a_service_that_never_accepts_takes_its_socket_down_with_its_start_limit() {
    let socket = "[Socket]\nListenStream=127.0.0.1:8101\n[Install]\nWantedBy=sockets.target\n";
    let service = "[Service]\nExecStart=/bin/sh -c 'sleep 0.02; exit 1'\n";
    let steps = [
        Own("$ systemctl enable -q sfail.socket"),
        Recorded("systemctl start sfail.socket"),
        Own("$ curl -sS http://127.0.0.1:8101/\ncurl: (56) Recv failure: Connection reset by peer\n? 56"),
        Recorded("systemctl status sfail.socket"),
        Recorded("systemctl status sfail.service -n0"),
        Own("$ curl -s http://127.0.0.1:8101/\n? 7"),
        Recorded("systemctl show sfail.service -p Result,ActiveState,SubState"),
    ];
    let journal = [("sfail.socket", 2), ("sfail.service", 18)];
    let claim = "eventually sfail.socket.Result = service-start-limit-hit";
    replay("fail", &[("sfail.socket", socket), ("sfail.service", service)], &steps, &journal, claim);
}

#[test]
fn a_failed_socket_shows_the_recorded_properties() {
    let recorded = section("fail");
    let command = recorded.commands.iter().find(|command| command.text.contains("TriggerLimitBurst")).expect("it is");
    let wanted: String = command.output.iter().map(|line| format!("{line}\n")).collect();
    let document = format!(
        "{HEADER}\n```ini unit=sfail.socket\n[Socket]\nListenStream=127.0.0.1:8101\n```\n\n\
         ```ini unit=sfail.service\n[Service]\nExecStart=/bin/false\n```\n\n\
         ```console\n$ systemctl start sfail.socket; curl -s http://127.0.0.1:8101/\n? 56\n$ {}\n{wanted}```\n\n\
         ```expect\neventually sfail.socket.ActiveState = failed\n```\n",
        command.text
    );
    let outcome = run(&document);
    let text = report::text(&outcome, relapse::expect::Style::Plain);
    assert_eq!(outcome.verdict, Verdict::Holds, "socket_252.txt:{}: {text}", command.line);
}

#[test]
fn a_service_that_ends_after_each_connection_is_started_by_the_next() {
    let socket = "[Socket]\nListenStream=8102\nFileDescriptorName=web\n";
    let service = format!("[Service]\nExecStart=/bin/sh -c 'echo $LISTEN_FDS $LISTEN_FDNAMES; exec {SERVE}'\n");
    // The recorded program ends by itself. SIGTERM is as clean an end.
    let once = "$ curl -s http://127.0.0.1:8102/health >/dev/null; kill $(pgrep -f uvicorn); sleep 0.2";
    let steps = [
        Recorded("systemctl start sonce.socket"),
        Own(once),
        Own(once),
        Own(once),
        Recorded("systemctl is-active sonce.socket sonce.service"),
        Own("$ journalctl -o cat -u sonce.service | grep -E '^[0-9]|socket'\n1 web\n\
             INFO:     Uvicorn running on socket ('::', 8102, 0, 0) (Press CTRL+C to quit)\n1 web\n\
             INFO:     Uvicorn running on socket ('::', 8102, 0, 0) (Press CTRL+C to quit)\n1 web\n\
             INFO:     Uvicorn running on socket ('::', 8102, 0, 0) (Press CTRL+C to quit)"),
    ];
    let claim = "eventually sonce.socket.SubState = listening";
    let units = [("sonce.socket", socket), ("sonce.service", service.as_str())];
    replay("once (exit 0 after each)", &units, &steps, &[("sonce.service", 6)], claim);
}

#[test]
fn a_port_that_somebody_holds_fails_the_socket_and_not_its_service() {
    let socket =
        "[Unit]\nDescription=Busy socket\n[Socket]\nListenStream=0.0.0.0:8103\n[Install]\nWantedBy=sockets.target\n";
    let service =
        format!("[Service]\nExecStart=/bin/sh -c 'test -n \"$LISTEN_FDS\" && exec {SERVE}; sleep 0.01; exit 1'\n");
    let steps = [
        Own("$ systemctl enable -q sbusy.socket\n\
             $ venv/bin/python -m uvicorn --host 0.0.0.0 --port 8103 >/dev/null 2>&1 & sleep 0.1"),
        Recorded("systemctl start sbusy.socket"),
        Recorded("systemctl status sbusy.socket"),
        Recorded("systemctl show sbusy.socket -p Result,ActiveState,SubState"),
        Recorded("systemctl start sbusy.service"),
        Recorded("systemctl is-active sbusy.socket sbusy.service"),
        Own("$ sleep 0.1; kill $(pgrep -f uvicorn); sleep 0.2"),
        Recorded("systemctl start sbusy.socket"),
        Recorded("systemctl start sbusy.service"),
        Recorded("systemctl is-active sbusy.socket sbusy.service"),
        Own("$ curl -s http://127.0.0.1:8103/health; echo\n{\"status\":\"ok\"}"),
    ];
    let journal = [("sbusy.socket", 6), ("sbusy.service", 4)];
    let units = [("sbusy.socket", socket), ("sbusy.service", service.as_str())];
    replay("busy", &units, &steps, &journal, "eventually sbusy.socket.SubState = running");
}

#[test]
fn sockets_without_a_service_or_an_address_are_refused_with_the_recorded_words() {
    let units = [("snosvc.socket", "[Socket]\nListenStream=8104\n"), ("snolisten.socket", "[Socket]\nBacklog=1\n")];
    let steps = [Recorded("systemctl start snosvc.socket"), Recorded("systemctl start snolisten.socket")];
    let journal = [("snosvc.socket", 2), ("snolisten.socket", 1)];
    replay("nosvc", &units, &steps, &journal, "always port 8104 owner = none for 1s");
}

fn run(document: &str) -> Outcome {
    let scenario = Scenario::parse("socket.md", document).expect("the document is in order");
    scenario.run(&options()).expect("the run begins")
}

/// A server that takes 4.4 s to start, behind a socket, and a client that polls.
fn stage(header: &str, socket: &str, service: &str, blocks: &str) -> String {
    format!(
        "# Socket\n\n```toml scenario\nkind = \"behaviour\"\ndirectory = \"/home/app\"\n{header}\n```\n\n\
         ```toml program=uvicorn\npath = \"/home/app/venv/bin/python\"\nstartup = [\"4.4s\"]\n```\n\n\
         ```ini unit=app.service\n{service}\n```\n\n```ini unit=app.socket\n{socket}\n```\n\n{blocks}\n"
    )
}

const POLLED: &str = "client = { port = 8000, every = \"100ms\", timeout = \"30s\", from = 2026-01-01T00:00:05 }";
const WEB: &str = "[Service]\nExecStart=/home/app/venv/bin/python -m uvicorn --fd 3\nRestart=always\nRestartSec=2\n";

/// The requests of the polling client: when each was sent and answered (µs since the beginning), and how.
fn requests(outcome: &Outcome) -> Vec<(u64, u64, Answer)> {
    let begin = relapse::time::IncidentTime::from_micros(1_767_225_600_000_000);
    let events = outcome.timeline.events().iter();
    events
        .filter_map(|event| match &event.kind {
            EventKind::Request { answer, sent, .. } => {
                Some((sent.since(begin).as_micros(), event.at.since(begin).as_micros(), answer.clone()))
            }
            _ => None,
        })
        .collect()
}

#[rstest]
#[case::any_address("ListenStream=8000")]
#[case::any_ipv4_address("ListenStream=0.0.0.0:8000")]
#[case::loopback("ListenStream=127.0.0.1:8000")]
fn a_polling_client_waits_while_the_service_starts_and_restarts_and_is_never_refused(#[case] listen: &str) {
    let blocks = "```console\n$ systemctl start app.socket\n```\n\n\
                  ```console at=00:00:15\n$ systemctl kill -s KILL app.service\n```\n\n\
                  ```expect\neventually app.service.NRestarts = 1 within 10s\nalways app.socket.ActiveState = active for 20s\n\
                  outage = 0\n```";
    let outcome = run(&stage(POLLED, &format!("[Socket]\n{listen}"), WEB, blocks));
    holds(&outcome);
    let requests = requests(&outcome);
    assert!(requests.len() > 100, "{}", requests.len());
    let bad: Vec<_> = requests.iter().filter(|(.., answer)| *answer != Answer::Status(200)).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let slow: Vec<_> = requests.iter().filter(|(sent, at, _)| sent != at).map(|(sent, at, _)| (*sent, *at)).collect();
    // The first one has it started. One falls into the restart: RestartSec=2, then 4.4 s until it serves again.
    assert_eq!(slow, [(5_000_000, 9_400_000), (15_100_000, 21_400_000)]);
}

#[test]
fn an_impatient_client_gives_up_and_the_service_starts_all_the_same() {
    let header = "client = { port = 8000, every = \"10s\", timeout = \"2s\", from = 2026-01-01T00:00:05 }";
    let blocks = "```console\n$ systemctl start app.socket\n```\n\n\
                  ```expect\neventually app.service.ActiveState = active within 10s\n```\n\n\
                  ```console at=00:00:20\n$ systemctl is-active app.service\nactive\n```\n\n\
                  ```expect\nalways app.service.NRestarts = 0 for 5s\n```";
    let outcome = run(&stage(header, "[Socket]\nListenStream=8000", WEB, blocks));
    holds(&outcome);
    let found = requests(&outcome);
    assert!(found.len() >= 2, "{found:?}");
    assert_eq!(found[0], (5_000_000, 7_000_000, Answer::Timeout));
    assert_eq!(found[1], (15_000_000, 15_000_000, Answer::Status(200)));
}

#[test]
fn a_connection_that_nobody_waits_at_is_neither_missed_nor_counted_twice() {
    // The command is over before anything starts, and what it sent is still there when the service accepts.
    let service = "[Service]\nExecStart=/home/app/venv/bin/python -m uvicorn --fd 4\n";
    let blocks = "```console\n$ systemctl start app.socket\n\
                  $ timeout 1 curl -s --unix-socket /run/app/web.sock http://app/health\n? 124\n\
                  $ systemctl show -p SubState app.socket app.service | grep .\nSubState=running\nSubState=running\n\
                  $ sleep 4; journalctl -o cat -u app.service | grep -c GET\n1\n```\n\n\
                  ```expect\nalways app.socket.SubState = running for 5s\n```";
    let header = "";
    let outcome = run(&stage(header, "[Socket]\nListenStream=8000\nListenStream=/run/app/web.sock", service, blocks));
    let starts = outcome
        .timeline
        .events()
        .iter()
        .filter(|event| matches!(&event.kind, EventKind::Start { unit: Some(unit), .. } if unit == "app.service"))
        .count();
    assert_eq!(starts, 1, "{}", report::text(&outcome, relapse::expect::Style::Plain));
    holds(&outcome);
}

#[test]
fn a_service_without_a_start_limit_meets_the_trigger_limit() {
    let service = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/true";
    let blocks = "```console\n$ systemctl start app.socket\n$ curl -s http://localhost:8000/\n? 56\n\
                  $ curl -s http://localhost:8000/\n? 7\n\
                  $ systemctl show -p Result app.socket\nResult=trigger-limit-hit\n\
                  $ journalctl -o cat -u app.socket\nListening on app.socket.\n\
                  app.socket: Trigger limit hit, refusing further activation.\n\
                  app.socket: Failed with result 'trigger-limit-hit'.\n```\n\n\
                  ```expect\nalways app.socket.ActiveState = failed for 5s\n```";
    let outcome = run(&stage("", "[Socket]\nListenStream=8000", service, blocks));
    holds(&outcome);
    let starts = outcome.timeline.events().iter().filter(|event| matches!(event.kind, EventKind::Start { .. })).count();
    assert_eq!(starts, 20);
}

#[test]
fn a_socket_and_a_service_without_any_limit_are_named_and_not_run_for_ever() {
    let service = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/nonexistent";
    let socket = "[Socket]\nListenStream=8000\nTriggerLimitIntervalSec=0";
    let blocks = "```console\n$ systemctl start app.socket\n$ curl -s http://localhost:8000/\n? 56\n```\n\n\
                  ```expect\nalways app.socket.ActiveState = failed for 5s\n```";
    let outcome = run(&stage("", socket, service, blocks));
    let text = outcome.failures.first().map(|failure| failure.message().to_owned()).unwrap_or_default();
    assert!(text.contains("app.socket was triggered") && text.contains("give it or its service a limit"), "{text}");
}

#[test]
fn a_program_gets_the_sockets_as_systemd_gives_them() {
    // As recorded: in order, blocking, inherited by its children, LISTEN_PID its own PID, none for other commands.
    let service = "[Service]\nType=oneshot\n\
                   ExecStartPre=/bin/sh -c 'echo before: $LISTEN_FDS'\n\
                   ExecStart=/bin/sh -c 'test \"$LISTEN_PID\" = \"$$$$\" && echo $LISTEN_FDS $LISTEN_FDNAMES; grep flags: /proc/self/fdinfo/3 /proc/self/fdinfo/4; test -e /proc/self/fd/5 || echo no more'\n";
    let socket = "[Socket]\nListenStream=127.0.0.1:8000\nListenStream=/run/app.sock\n";
    let blocks = "```console\n$ systemctl start app.socket\n$ systemctl start app.service\n\
                  $ journalctl -o cat -t sh\nbefore:\n2 app.socket:app.socket\n\
                  /proc/self/fdinfo/3:flags:\t02\n/proc/self/fdinfo/4:flags:\t02\nno more\n```\n\n\
                  ```expect\nalways app.socket.SubState = listening for 5s\n```";
    holds(&run(&stage("", socket, service, blocks)));
}

#[test]
fn a_server_in_a_shell_leaves_sockets_blocking_for_the_next_one_unless_nonblocking_is_asked_for() {
    // The server sets O_NONBLOCK on the socket that all share.
    for (key, flags) in [("", "02"), ("NonBlocking=yes\n", "04002")] {
        let service = format!(
            "[Service]\n{key}ExecStart=/bin/sh -c 'grep flags: /proc/self/fdinfo/3; exec /home/app/venv/bin/python --fd 3'\n"
        );
        let blocks = format!(
            "```console\n$ systemctl start app.socket app.service\n$ sleep 5; systemctl restart app.service\n\
             $ journalctl -o cat -t sh | grep flags\nflags:\t{flags}\nflags:\t{flags}\n```\n\n\
             ```expect\nalways app.service.ActiveState = active for 5s\n```"
        );
        holds(&run(&stage("", "[Socket]\nListenStream=8000\n", &service, &blocks)));
    }
}

#[test]
fn a_program_that_cannot_be_executed_says_so_with_sockets_too() {
    let service = "[Service]\nExecStart=/home/app/broken\n";
    let blocks = "```sh file=/home/app/broken\n#!/nonexistent/interpreter\n```\n\n\
                  ```console\n$ systemctl start app.socket app.service\n\
                  $ systemctl show -p ExecMainStatus app.service\nExecMainStatus=203\n```\n\n\
                  ```expect\nalways app.socket.ActiveState = active for 5s\n```";
    let outcome = run(&stage("", "[Socket]\nListenStream=8000\n", service, blocks));
    holds(&outcome);
    assert!(
        outcome.timeline.events().iter().any(|event| matches!(&event.kind, EventKind::Journal { message, .. }
            if message == "app.service: Failed at step EXEC spawning /home/app/broken: No such file or directory")),
        "{}",
        report::text(&outcome, relapse::expect::Style::Plain)
    );
}

#[rstest]
#[case::kept("", "there\n")]
#[case::removed("RemoveOnStop=yes\n", "")]
fn a_path_is_served_and_stays_unless_it_is_to_be_removed(#[case] key: &str, #[case] left: &str) {
    let socket = format!("[Socket]\nListenStream=/run/app/web.sock\n{key}");
    let ask = "$ curl -s --unix-socket /run/app/web.sock http://app/health; echo\n{\"status\":\"ok\"}";
    let blocks = format!(
        "```console\n$ systemctl start app.socket\n{ask}\n\
         $ systemctl stop app.service app.socket 2>/dev/null; test -e /run/app/web.sock && echo there; true\n{left}\
         $ curl -s --unix-socket /run/app/web.sock http://app/health\n? 7\n\
         $ systemctl start app.socket\n{ask}\n\
         $ journalctl -o cat -u app.service | grep running | uniq\n\
         INFO:     Uvicorn running on socket /run/app/web.sock (Press CTRL+C to quit)\n```\n\n\
         ```expect\nalways app.socket.SubState = running for 5s\n```"
    );
    holds(&run(&stage("", &socket, WEB, &blocks)));
}

#[test]
fn who_has_a_socket_is_shown_by_lsof_ss_and_claims() {
    let blocks = "```console\n$ systemctl start app.socket\n\
                  $ ss -ltnp\n\
                  State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\n\
                  LISTEN 0      4096               *:8000            *:*    users:((\"systemd\",pid=1,fd=36))\n\
                  $ lsof -i :8000\n\
                  COMMAND PID USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n\
                  systemd   1 root   36u  IPv6  33993      0t0  TCP *:8000 (LISTEN)\n\
                  $ lsof -t -i 4:8000\n? 1\n```\n\n\
                  ```expect\neventually port 8000 owner = app.socket\n```\n\n\
                  ```console\n$ curl -s http://localhost:8000/health >/dev/null\n\
                  $ ss -ltnp\n\
                  State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\n\
                  LISTEN 0      2048               *:8000            *:*    users:((\"python\",pid=1001,fd=8),(\"python\",pid=1001,fd=3),(\"systemd\",pid=1,fd=36))\n\
                  $ lsof -i :8000\n\
                  COMMAND  PID USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n\
                  systemd    1 root   36u  IPv6  33993      0t0  TCP *:8000 (LISTEN)\n\
                  python  1001 root    3u  IPv6  33993      0t0  TCP *:8000 (LISTEN)\n\
                  python  1001 root    8u  IPv6  33993      0t0  TCP *:8000 (LISTEN)\n\
                  $ lsof -t -i :8000\n1\n1001\n```\n\n\
                  ```expect\neventually port 8000 owners = 2\n```";
    holds(&run(&stage("", "[Socket]\nListenStream=8000\n", WEB, blocks)));
}

#[test]
fn addresses_that_no_run_listens_on_are_refused() {
    for (line, address, words, by) in [
        ("ListenStream=192.0.2.1:8000", "192.0.2.1:8000", "Cannot assign requested address", "(sd-listen)"),
        ("ListenDatagram=192.0.2.1:8000", "192.0.2.1:8000", "Cannot assign requested address", "(sd-listen)"),
        ("ListenNetlink=audit 1", "audit 1", "Operation not supported", "systemd"),
    ] {
        let blocks = format!(
            "```console\n$ systemctl start app.socket\nJob failed. See \"journalctl -xe\" for details.\n? 1\n\
             $ journalctl -o cat -p err -t '{by}' | grep listening\n\
             app.socket: Failed to create listening socket ({address}): {words}\n```\n\n\
             ```expect\nalways app.socket.ActiveState = failed for 5s\n```"
        );
        holds(&run(&stage("ports = [8000]", &format!("[Socket]\n{line}\n"), WEB, &blocks)));
    }
}

#[test]
fn the_same_run_has_the_same_timeline() {
    let blocks = "```console\n$ systemctl start app.socket\n\
                  $ (sleep 6; curl -s http://localhost:8000/health) & (sleep 6; curl -s http://localhost:8000/health) & wait\n...\n```\n\n\
                  ```console at=00:00:15\n$ systemctl kill -s KILL app.service\n```\n\n\
                  ```expect\neventually app.service.NRestarts = 1 within 10s\nalways app.socket.ActiveState = active for 10s\n```";
    let document = stage(POLLED, "[Socket]\nListenStream=8000\n", WEB, blocks);
    let first = run(&document);
    holds(&first);
    for _ in 0..3 {
        assert_eq!(run(&document).timeline.to_jsonl(), first.timeline.to_jsonl());
    }
}
