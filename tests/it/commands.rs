//! The commands an operator types: what they print during the incident, and what they say when used wrongly.

use relapse::{Options, Outcome, Scenario, Verdict, report};
use rstest::rstest;

use crate::lockstep::{console, holds, options, run};

/// The recorded incident: its clock, its PIDs as far as they go, its import time.
const INCIDENT: &str = r#"# Recorded

```toml scenario
kind = "behaviour"
clock = 2026-11-23T16:42:09
pid = 43
user = "ceeai"
directory = "/home/ceeai/whatsapp_api"
```

```toml program=uvicorn
path = "/home/ceeai/whatsapp_api/venv/bin/python"
startup = ["4.3s"]
startup-cpu = 85
log-file = "/home/ceeai/whatsapp_api/logs/app.log"
on-start = ["FSM Running session recovery on startup"]
```

```ini unit=lumiera-whatsapp.service
[Unit]
Description=Lumiera WhatsApp Copilot API

[Service]
User=ceeai
WorkingDirectory=/home/ceeai/whatsapp_api
ExecStart=/home/ceeai/whatsapp_api/venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
```

```console
$ venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000 >/dev/null 2>&1 &
```

```console at=16:42:14
$ systemctl enable --now lumiera-whatsapp
...
```
"#;

/// The incident, and a console block at a moment of it.
fn incident(at: &str, lines: &str) -> Outcome {
    run(
        &format!(
            "{INCIDENT}\n```console at={at}\n{lines}\n```\n\n```expect\nalways port 9999 owner = none for 1s\n```\n"
        ),
        options(),
    )
}

/// Recorded text as lines of a console block: the service's PID is the next here, and what depends on how fast the
/// recording machine was may be anything.
fn pattern(recorded: &str) -> String {
    let rules = [
        (r"\b119\b", "44"),
        (r"ceeai        44", "ceeai         44"),
        (r"(ceeai +\d+) +\d+\.\d", "$1 [..]"),
        (r"\b\d+ \d+ \?", "[..] ?"),
        (r"CPU: [\d.]+s", "CPU: [..]s"),
        (r"Consumed [\d.]+s", "Consumed [..]s"),
    ];
    rules.iter().fold(recorded.trim_end().to_owned(), |text, (what, with)| {
        regex::Regex::new(what).expect("a pattern").replace_all(&text, *with).into_owned()
    })
}

#[rstest]
#[case::an_attempt_under_way("16:42:16", include_str!("../../fixtures/logs/incident/cycle1-running.ps.txt"))]
#[case::the_wait("16:42:21", include_str!("../../fixtures/logs/incident/cycle1-autorestart.ps.txt"))]
fn ps_and_pgrep_show_what_was_recorded(#[case] at: &str, #[case] recorded: &str) {
    let mut parts = recorded.split("---\n");
    let rows: Vec<&str> = parts.next().unwrap_or_default().lines().filter(|line| line.contains("python")).collect();
    let (count, pgrep) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    holds(&incident(
        at,
        &format!(
            "$ ps aux | grep uvicorn | grep -v grep\n{}\n\
             $ ps aux | grep uvicorn | grep -v grep | wc -l\n{}\n$ pgrep -af uvicorn\n{}",
            pattern(&rows.join("\n")),
            count.trim(),
            pattern(pgrep)
        ),
    ));
}

#[rstest]
#[case::an_attempt_under_way("16:42:16", include_str!("../../fixtures/logs/incident/cycle1-running.lsof.txt"))]
#[case::the_wait("16:42:21", include_str!("../../fixtures/logs/incident/cycle1-autorestart.lsof.txt"))]
fn lsof_and_ss_show_what_was_recorded(#[case] at: &str, #[case] recorded: &str) {
    let mut parts = recorded.split("---\n");
    let lsof = parts.next().unwrap_or_default().trim_end().trim_end_matches("rc=0");
    let ss = parts.next().unwrap_or_default();
    holds(&incident(at, &format!("$ lsof -i :8000\n{lsof}$ ss -ltnp 'sport = :8000'\n{ss}")));
}

#[rstest]
#[case::an_attempt_under_way("16:42:15.6", include_str!("../../fixtures/logs/incident/cycle1-running.status.txt"), 0)]
#[case::the_wait("16:42:20.4", include_str!("../../fixtures/logs/incident/cycle1-autorestart.status.txt"), 3)]
fn status_shows_what_was_recorded(#[case] at: &str, #[case] recorded: &str, #[case] code: u8) {
    // Between the moment it was taken and the status it ended with.
    let lines: Vec<&str> = recorded.lines().skip(1).filter(|line| !line.starts_with("rc=")).collect();
    holds(&incident(at, &format!("$ systemctl status lumiera-whatsapp\n{}\n? {code}", pattern(&lines.join("\n")))));
}

#[rstest]
#[case::an_attempt_under_way("16:42:16", include_str!("../../fixtures/logs/incident/cycle1-running.is.txt"))]
#[case::the_wait("16:42:21", include_str!("../../fixtures/logs/incident/cycle1-autorestart.is.txt"))]
fn is_active_and_its_like_answer_what_was_recorded(#[case] at: &str, #[case] recorded: &str) {
    // An answer, and in the next line the command and its status.
    let lines: Vec<&str> = recorded.lines().collect();
    let mut typed = String::new();
    for pair in lines.windows(2) {
        let Some((command, status)) = pair[1].strip_prefix("  ^ ").and_then(|line| line.split_once(" rc=")) else {
            continue;
        };
        let verb = command.trim_start_matches("systemctl ");
        let unit = if verb == "is-system-running" { "" } else { " lumiera-whatsapp" };
        let status = if status == "0" { String::new() } else { format!("? {status}\n") };
        typed.push_str(&format!("$ systemctl {verb}{unit}\n{}\n{status}", pair[0]));
    }
    assert_eq!(typed.matches('$').count(), 4);
    holds(&incident(at, typed.trim_end()));
}

#[rstest]
// ps
#[case::ps_columns(
    "ps -o pid,ppid,user,comm,args -p 43",
    "    PID    PPID USER     COMMAND         COMMAND\n     43       1 ceeai    python          venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000"
)]
#[case::ps_no_headings("ps -o pid= -o stat= -p 43,44", "     43 S\n     44 Rs")]
#[case::ps_own_headings("ps -p 44 -o pid=WHO,unit", "    WHO UNIT\n     44 lumiera-whatsapp.service")]
#[case::ps_times(
    "ps -C python -o pid,etime,etimes,time,start,lstart --no-headers",
    "     43       00:07           7 00:00:03 16:42:09 Mon Nov 23 16:42:09 2026\n     44       00:02           2 00:00:01 16:42:14 Mon Nov 23 16:42:14 2026"
)]
#[case::ps_cpu("ps -C python -o pid=,pcpu=", "     43 52.2\n     44 85.0")]
#[case::ps_sorted("ps -C python -o pid= --sort=-pid", "     44\n     43")]
#[case::ps_by_user("ps -u ceeai -o pid= --sort -%cpu | head -1", "     44")]
#[case::ps_full(
    "ps -f -p 44",
    "UID          PID    PPID  C STIME TTY          TIME CMD\nceeai         44       1 85 16:42 ?        00:00:01 /home/ceeai/whatsapp_api/venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000"
)]
#[case::ps_short("ps -p 43", "    PID TTY          TIME CMD\n     43 ?        00:00:03 python")]
#[case::ps_nobody("ps -p 4711; echo $?", "    PID TTY          TIME CMD\n1")]
// pgrep
#[case::pgrep_by_name("pgrep python", "43\n44")]
#[case::pgrep_by_line("pgrep -f 'uvicorn src.main:app'", "43\n44")]
#[case::pgrep_of_the_service("pgrep -f ^/home/ceeai", "44")]
#[case::pgrep_exact("pgrep -x pyth; pgrep -x python", "43\n44")]
#[case::pgrep_newest("pgrep -n python; pgrep -o python", "44\n43")]
#[case::pgrep_count("pgrep -c python; pgrep -c nobody", "2\n0\n? 1")]
#[case::pgrep_names("pgrep -l python", "43 python\n44 python")]
// lsof
#[case::lsof_terse("lsof -t -i :8000", "43")]
#[case::lsof_terse_joined("lsof -ti:8000", "43")]
#[case::lsof_tcp("lsof -t -iTCP:8000 -sTCP:LISTEN -nP", "43")]
#[case::lsof_range("lsof -t -i :7999-8001,22", "43")]
#[case::lsof_six("lsof -t -i6:8000", "? 1")]
#[case::lsof_udp("lsof -i UDP:8000", "? 1")]
#[case::lsof_elsewhere("lsof -i :8001", "? 1")]
// ss
#[case::ss_port(
    "ss -ltn 'sport = :8000'",
    "State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\nLISTEN 0      2048         0.0.0.0:8000      0.0.0.0:*"
)]
#[case::ss_no_header("ss -Hltn", "LISTEN 0      2048   0.0.0.0:8000 0.0.0.0:*")]
#[case::ss_none("ss -ltn 'sport = :8001'", "State Recv-Q Send-Q Local Address:Port Peer Address:PortProcess")]
#[case::ss_either_side("ss -Htln '( sport = :8000 or dport = :8000 )' | wc -l", "1")]
#[case::ss_all_kinds(
    "ss -tulpn",
    "Netid State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\ntcp   LISTEN 0      2048         0.0.0.0:8000      0.0.0.0:*    users:((\"python\",pid=43,fd=7))"
)]
#[case::ss_six("ss -Hltn6", "")]
#[case::ss_connected("ss -Htn", "")]
// curl
#[case::curl_ok("curl -s http://127.0.0.1:8000/health; echo", "{\"status\":\"ok\"}")]
#[case::curl_status("curl -s -o /dev/null -w '%{http_code}\\n' localhost:8000/health", "200")]
#[case::curl_any_address("curl -so /dev/null -w '%{http_code}\\n' http://0.0.0.0:8000/nothing", "404")]
#[case::curl_fail("curl -fsS localhost:8000/nothing", "curl: (22) The requested URL returned error: 404\n? 22")]
#[case::curl_head("curl -si localhost:8000/health | head -2 | tr -d '\\r'", "HTTP/1.1 200 OK\nserver: uvicorn")]
#[case::curl_who("curl -si localhost:8000/health | grep process | tr -d '\\r'", "x-process-id: 43")]
#[case::curl_to_a_file("curl -s -o answer localhost:8000/health; cat answer; echo", "{\"status\":\"ok\"}")]
#[case::curl_refused(
    "curl -sS localhost:8001/health",
    "curl: (7) Failed to connect to localhost port 8001 after 0 ms: Couldn't connect to server\n? 7"
)]
#[case::curl_refused_in_silence("curl -s -o /dev/null -w '%{http_code}\\n' localhost:8001", "000\n? 7")]
// date
#[case::date_plain("date", "Mon Nov 23 16:42:16 UTC 2026")]
#[case::date_seconds("date +%s", "1795452136")]
#[case::date_format("date '+%F %T.%3N %% %Q'", "2026-11-23 16:42:16.000 % %Q")]
#[case::date_nanoseconds("sleep 0.25; date +%s%N; date +%6N", "1795452136250000000\n250000")]
#[case::date_of_seconds("date -u -d @0 +%FT%TZ", "1970-01-01T00:00:00Z")]
#[case::date_of_another_time(
    "date -d '5 minutes ago' +%T; date --date=tomorrow +%F; date -d'2026-01-16 12:28:18' +%s",
    "16:37:16\n2026-11-24\n1768566498"
)]
#[case::date_iso(
    "date -I; date -Is; date --iso-8601=ns; date --rfc-3339=seconds; date -R",
    "2026-11-23\n2026-11-23T16:42:16+00:00\n2026-11-23T16:42:16,000000000+00:00\n2026-11-23 16:42:16+00:00\nMon, 23 Nov 2026 16:42:16 +0000"
)]
// timeout, watch
#[case::timeout_with_suffix("timeout -s INT 0.5m sleep 1h; echo $?; date +%T", "124\n16:42:46")]
#[case::timeout_kill("timeout -sKILL 1 sleep 5; echo $?", "137")]
#[case::timeout_preserve("timeout --preserve-status 1 sleep 5; echo $?", "143")]
#[case::timeout_kill_after(
    "timeout -k 2 --signal=TERM 1 sh -c 'trap \"\" TERM; sleep 10; sleep 10'; echo $?; date +%T",
    "137\n16:42:19"
)]
#[case::timeout_of_a_group("timeout 1 sh -c 'sleep 3600; true'; pgrep sleep", "? 1")]
#[case::timeout_never("timeout 0 sleep 3; echo $?; date +%T", "0\n16:42:19")]
#[case::timeout_passes_on("timeout 5 sh -c 'exit 7'", "? 7")]
#[case::watch_a_while(
    "timeout 5 watch -n2 'date +%S'",
    "Every 2.0s: date +%S    vm: Mon Nov 23 16:42:16 2026\n\n16\nEvery 2.0s: date +%S    vm: Mon Nov 23 16:42:18 2026\n\n18\nEvery 2.0s: date +%S    vm: Mon Nov 23 16:42:20 2026\n\n20\n? 124"
)]
#[case::watch_without_title("timeout 1 watch -t --interval=0.5 pgrep -o python", "43\n43\n? 124")]
// kill, pkill, sudo
#[case::kill_looks("kill -0 43; echo $?; kill -0 4711", "0\nkill: (4711) - No such process\n? 1")]
#[case::kill_several("kill -s STOP 43 44; kill -n 18 43 44; ps -C python -o pid=", "     43\n     44")]
#[case::kill_lists("kill -l 9; kill -l term; kill -l 143", "KILL\n15\nTERM")]
#[case::kill_last("sleep 100 & kill -INT $!; kill -TERM $!; wait $!; echo $?", "143")]
#[case::kill_through_a_file("sleep 100 & echo $! >pid; kill $(cat pid); wait $!; echo $?", "143")]
#[case::kill_of_a_job("bash -c 'sleep 100 & sleep 200 & kill %1; wait %1; echo $?; pgrep -c sleep'", "143\n1")]
#[case::kill_of_the_group("sh -c 'sleep 100 & sleep 200 & kill 0'; pgrep -c sleep", "? 143")]
#[case::kill_of_a_group(
    "bash -c 'sleep 9 & kill -- -$!; set -m; sleep 100 & kill -- -$!; wait $!; echo $?' 2>/dev/null; pgrep -c sleep",
    "143\n1"
)]
#[case::kill_of_oneself("sh -c 'kill -9 $$'; echo $?; bash -c 'kill $$'; echo $?", "Killed\n137\nTerminated\n143")]
#[case::kill_in_a_shell("sh -c 'kill $(lsof -ti:8000)'; sleep 0.2; lsof -ti:8000", "? 1")]
#[case::kill_in_a_bash("bash -e -o pipefail -c 'kill \"$1\"' name 43; sleep 0.2; lsof -ti:8000", "? 1")]
#[case::kill_in_a_script(
    "printf '#!/bin/bash\\nf() { kill -9 \"$1\"; }\\nf 43\\n' >f; chmod +x f; ./f; sleep 0.2; lsof -ti:8000",
    "? 1"
)]
#[case::a_shell_shows_what_it_was_given(
    "sh -c 'pgrep -af kill; true' | cut -d' ' -f2-; which kill",
    "sh -c pgrep -af kill; true\n/usr/bin/kill"
)]
#[case::killall_by_name(
    "killall -9 -v python; sleep 0.1; ps -C python -o pid=",
    "Killed python(43) with signal 9\nKilled python(44) with signal 9\n? 1"
)]
#[case::pidof_by_name("pidof python; pidof -s python", "44 43\n44")]
#[case::fuser_of_a_port("fuser 8000/tcp; fuser -n tcp 8000 2>/dev/null; echo", "8000/tcp:               43\n    43")]
#[case::fuser_kills("fuser -k -TERM 8000/tcp >/dev/null 2>&1; sleep 0.2; fuser -s 8000/tcp", "? 1")]
#[case::netstat_lists(
    "netstat -tlnp",
    "Active Internet connections (only servers)\nProto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name\ntcp        0      0 0.0.0.0:8000            0.0.0.0:*               LISTEN      43/python"
)]
#[case::a_pipe_means_the_incident(
    "ps aux | grep -c 'port 8000'; systemctl cat lumiera-whatsapp | grep -c '^WorkingDirectory=/home/ceeai'; ss -ltn | grep -c :8000; ps -u ceeai -o args= | grep -c ^/home/ceeai",
    "3\n1\n1\n1"
)]
#[case::a_file_means_the_incident(
    "systemctl show -p ExecStart lumiera-whatsapp >shown; grep -o 'port 8000' shown; lsof -i :8000 | awk 'NR==2 {print $9}'",
    "port 8000\n*:8000"
)]
#[case::netstat_connected(
    "netstat -tn | tail -n +2",
    "Proto Recv-Q Send-Q Local Address           Foreign Address         State"
)]
#[case::pkill_by_line("pkill -9 -f ^/home/ceeai; sleep 0.1; pgrep python", "43")]
#[case::pkill_says("pkill -ef ^venv", "python killed (pid 43)")]
#[case::pkill_nobody("pkill -f nobody-has-this", "? 1")]
#[case::sudo_options("sudo -u root -E LANG=C date +%T", "16:42:16")]
fn a_command_answers_as_the_real_one_does(#[case] command: &str, #[case] answer: &str) {
    holds(&incident("16:42:16", &format!("$ {command}\n{answer}").replace("\n\n? ", "\n? ")));
}

#[rstest]
#[case("ps -p abc", "error: process ID list syntax error\n? 1")]
#[case("ps -o pid,nothing", "error: unknown user-defined format specifier \"nothing\"\n? 1")]
#[case("ps --forest", "error: unsupported option: --forest (this ps knows [..])\n? 1")]
#[case("ps --sort=rss", "error: unknown sort specifier \"rss\" (this ps knows [..])\n? 1")]
#[case("pgrep", "pgrep: no matching criteria specified\nTry `pgrep --help' for more information.\n? 2")]
#[case("pgrep a b", "pgrep: only one pattern can be provided\nTry `pgrep --help' for more information.\n? 2")]
#[case("pgrep -z x", "pgrep: invalid option -- 'z' (this pgrep knows [..])\n? 2")]
#[case("pgrep -9 x", "pgrep: invalid option -- '9' (this pgrep knows [..])\n? 2")]
#[case("pkill -NOSUCH x", "pkill: invalid option -- 'N' (this pkill knows [..])\n? 2")]
#[case("pgrep -f '('", "pgrep: regex error: unclosed group\n? 2")]
#[case("lsof", "lsof: this lsof lists network files only: use -i\n? 1")]
#[case("lsof -p 1", "lsof: unsupported option argument: -p (this lsof knows [..])\n? 1")]
#[case("lsof -i :http", "lsof: unacceptable port specification in: -i :http\n? 1")]
#[case("lsof -i :99999", "lsof: unacceptable port specification in: -i :99999\n? 1")]
#[case("lsof -i sctp", "lsof: unacceptable port specification in: -i sctp\n? 1")]
#[case("ss -Q", "ss: invalid option -- '-Q' (this ss knows [..])\n? 255")]
#[case("ss --summary", "ss: invalid option -- '--summary' (this ss knows [..])\n? 255")]
#[case(
    "ss -ltn sport",
    "ss: bison bellows (while parsing filter): \"syntax error!\" in `sport` (this ss knows [..])\n? 255"
)]
#[case(
    "ss -ltn 'sport = :http'",
    "ss: bison bellows (while parsing filter): \"syntax error!\" in `sport = :http` (this ss knows [..])\n? 255"
)]
#[case("curl", "curl: no URL specified\n? 2")]
#[case("curl -sm soon localhost", "curl: option -m: expected a proper numerical parameter\n? 2")]
#[case("curl --nosuch localhost", "curl: option --nosuch is not one that this curl knows\n? 2")]
#[case("curl -Z localhost", "curl: option -Z is not one that this curl knows\n? 2")]
#[case("curl http://example.org/", "curl: http://example.org/: only http:// to this machine is contacted\n? 2")]
#[case("curl https://localhost/", "curl: https://localhost/: only http:// to this machine is contacted\n? 2")]
#[case("date -d nonsense", "date: invalid date ‘nonsense’\n? 1")]
#[case("date foo", "date: extra operand ‘foo’\nTry 'date --help' for more information.\n? 1")]
#[case(
    "date -s 12:00",
    "date: unrecognized option '-s' (this date knows [..])\nTry 'date --help' for more information.\n? 1"
)]
#[case("date +%s +%T", "date: multiple output formats specified\nTry 'date --help' for more information.\n? 1")]
#[case("sleep", "sleep: missing operand\nTry 'sleep --help' for more information.\n? 1")]
#[case("sleep abc", "sleep: invalid time interval ‘abc’\nTry 'sleep --help' for more information.\n? 1")]
#[case("sleep 1x", "sleep: invalid time interval ‘1x’\nTry 'sleep --help' for more information.\n? 1")]
#[case("sleep -- -1", "sleep: invalid time interval ‘--’\nTry 'sleep --help' for more information.\n? 1")]
#[case("timeout", "timeout: missing operand\nTry 'timeout --help' for more information.\n? 125")]
#[case("timeout 1", "timeout: missing operand\nTry 'timeout --help' for more information.\n? 125")]
#[case("timeout abc true", "timeout: invalid time interval ‘abc’\nTry 'timeout --help' for more information.\n? 125")]
#[case(
    "timeout -k abc 1 true",
    "timeout: invalid time interval ‘abc’\nTry 'timeout --help' for more information.\n? 125"
)]
#[case("timeout -s FOO 1 true", "timeout: ‘FOO’: invalid signal\nTry 'timeout --help' for more information.\n? 125")]
#[case(
    "timeout -Q 1 true",
    "timeout: unrecognized option '-Q' (this timeout knows [..])\nTry 'timeout --help' for more information.\n? 125"
)]
#[case(
    "timeout 1 no-such-command",
    "timeout: failed to run command ‘no-such-command’: No such file or directory\n? 127"
)]
#[case("timeout 1 /home", "timeout: failed to run command ‘/home’: Permission denied\n? 126")]
#[case("watch", "watch: no command given\n? 1")]
#[case("watch -n abc true", "watch: failed to parse argument: 'abc': Invalid argument\n? 1")]
#[case("watch -g true", "watch: invalid option -- '-g' (this watch knows [..])\n? 1")]
#[case("kill", "kill: usage: kill [..]\n? 2")]
#[case("kill -9", "kill: usage: kill [..]\n? 2")]
#[case("kill -s", "kill: -s: option requires an argument\n? 1")]
#[case("kill -FOO 1", "kill: FOO: invalid signal specification\n? 1")]
#[case("kill -99 1", "kill: 99: invalid signal specification\n? 1")]
#[case("kill -l 99", "kill: 99: invalid signal specification\n? 1")]
#[case("kill abc", "kill: abc: arguments must be process or job IDs\n? 1")]
#[case("kill -- -1", "kill: (-1) - everybody is not to be signalled in a run\n? 1")]
#[case("kill x", "kill: x: arguments must be process or job IDs\n? 1")]
#[case("kill -- -1", "kill: (-1) - everybody is not to be signalled in a run\n? 1")]
#[case("killall nobody", "nobody: no process found\n? 1")]
#[case("pidof nobody", "? 1")]
#[case("fuser", "No process specification given\n? 1")]
#[case("fuser 8001/tcp", "? 1")]
#[case("fuser /home", "Specified filename /home does not exist. (this fuser knows ports only: 8000/tcp)\n? 1")]
#[case("netstat -x", "netstat: invalid option -- 'x' (this netstat knows -l, -a, -t, -u, -n, -p)\n? 4")]
#[case("sudo", "usage: sudo command [arg ...]\n? 1")]
#[case("sudo /home", "sudo: unable to execute /home: Permission denied\n? 1")]
#[case("sudo no-such-command", "sudo: no-such-command: command not found\n? 1")]
fn a_command_that_makes_no_sense_is_refused_as_the_real_one_does(#[case] command: &str, #[case] answer: &str) {
    holds(&console(&format!("$ {command}\n{answer}"), options()));
}

#[test]
fn no_signal_leaves_the_run() {
    // This process, the parent of the shell, the guard's parent, init, all of a group, everybody.
    let me = std::process::id();
    let lines = format!(
        "$ kill -9 {me}\nkill: ({me}) - No such process\n? 1\n\
         $ kill -9 $PPID 2>&1 | sed 's/(.*)/()/'\nkill: () - No such process\n\
         $ sudo kill -9 {me} 1 2>&1 | wc -l\n2\n\
         $ timeout 1 kill -9 {me}\nkill: ({me}) - No such process\n? 1\n\
         $ pkill -9 -f 'relapse|cargo|it-'; pgrep -f 'relapse-guard'\n? 1\n\
         $ killall -9 cargo relapse-guard 2>&1 | wc -l\n2\n\
         $ sh -c 'kill -9 {me}'; bash -c 'kill -9 {me}' || /bin/bash -c 'kill -9 {me}'\n\
         kill: ({me}) - No such process\nkill: ({me}) - No such process\nkill: ({me}) - No such process\n? 1\n\
         $ /bin/kill -9 {me}; /usr/bin/pkill -9 cargo\nkill: ({me}) - No such process\n? 1\n\
         $ kill 0\n? 143"
    );
    holds(&console(&lines, options()));
}

/// What no function of a shell can catch, the kernel refuses, where it knows how (Linux 6.12).
#[test]
fn the_kernel_keeps_signals_within_the_run() {
    use landlock::{CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
    let required = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).scope(Scope::Signal);
    if required.and_then(Ruleset::create).is_err() {
        return;
    }
    let me = std::process::id();
    holds(&console(
        &format!(
            "$ sh -c 'command kill -9 {me}'; bash -c 'builtin kill -9 {me}'; env kill -9 {me}\n\
             [..]Operation not permitted\n\n[..]Operation not permitted\nkill: ({me}) - No such process\n? 1"
        ),
        options(),
    ));
}

/// A service's own shell signals by the incident's PIDs, and by what it knows as `$$` and `$!`.
#[test]
fn the_shell_of_a_service_signals_by_the_pids_of_the_incident() {
    let document =
        INCIDENT.replace("[Install]", "ExecStartPre=/bin/sh -ec 'kill $(lsof -ti :8000); sleep 1'\n\n[Install]");
    holds(&run(
        &format!(
            "{document}\n```console at=16:42:30\n$ lsof -ti :8000\n45\n$ systemctl is-active lumiera-whatsapp\nactive\n```\n\n```expect\nalways port 9999 owner = none for 1s\n```\n"
        ),
        options(),
    ));
}

/// Whatever is asked, ports, paths and PIDs are the incident's. The two first commands give away, in a form that no
/// mapping finds, what must not be seen anywhere.
#[test]
fn nothing_of_the_host_shows_in_what_commands_print() {
    let unit = "/etc/systemd/system/lumiera-whatsapp.service";
    let commands = [
        "printf 8000 | sed 's/./&,/g'",
        "cd /home && printf %s \"$PWD\" | sed 's/./&,/g'",
        "ps aux; ps -ef; ps -eo pid,ppid,args",
        "pgrep -af .",
        "ss -tulpn; ss -ltnp; lsof -i; lsof -i :8000",
        "curl -si localhost:8000/health; curl -sS localhost:8001/; curl -s localhost:1/; curl -sS 'http://127.0.0.1:8000/a?port=8000'",
        "systemctl status lumiera-whatsapp; systemctl cat lumiera-whatsapp; systemctl list-units; systemctl list-unit-files",
        "systemctl show lumiera-whatsapp",
        "journalctl; journalctl -o json; journalctl -o verbose | tail -100",
        "pwd; ls -l; cat logs/app.log; echo $HOME $PWD $0; readlink -f run.sh",
        "nosuchcommand; cat /home/nothing; ./nothing; cd /home/nothing",
        "echo ( ",
        "cat /etc/systemd/system/lumiera-whatsapp.service; grep -r port /etc/systemd/system",
        "sh -c 'nosuchcommand; echo $0; pwd'",
        "sudo ls /home/nothing; timeout 1 ls /home/nothing; watch ls /home; date -d /home/x; sleep /home/x; kill /home/x",
        "systemctl start /home/nothing.service; systemctl status nothing; systemctl nothing; journalctl --nothing",
        "venv/bin/python /home/ceeai/x.py; venv/bin/python -m uvicorn --port 8000",
    ];
    let block: String = commands
        .iter()
        .map(|command| {
            let command = if command.contains("watch") {
                command.replace("watch", "timeout 1 watch")
            } else {
                command.to_string()
            };
            // Whatever the command returns, the block goes on.
            format!("$ {command}; true\n")
        })
        .collect();
    let block = block.replace("echo ( ; true", "sh -c 'echo ('; true");
    let document = format!(
        "{INCIDENT}\n```console at=16:42:21\n{block}```\n\n```expect\nalways port 9999 owner = none for 1s\n```\n"
    );
    let scenario = Scenario::parse("leak.md", &document).unwrap_or_else(|error| panic!("{error}"));
    let run = scenario.record(&Options { update: true, ..options() }).expect("it runs");
    assert_eq!(run.outcome.verdict, Verdict::Holds, "{}", report::text(&run.outcome, relapse::expect::Style::Plain));
    let printed: Vec<&str> = run.outputs.iter().skip(2).map(|output| output.text.as_str()).collect();
    assert_eq!(printed.len(), commands.len());
    let port = printed[0].replace(',', "");
    let home = printed[1].replace(',', "");
    let directory = home.trim_end_matches("/root/home");
    assert!(port.parse::<u16>().is_ok_and(|port| port != 8000), "the run's own port is known: {port}");
    assert!(directory.contains("/relapse-") && directory != home, "the run's own directory is known: {home}");
    let name = directory.rsplit('/').next().unwrap_or_default();
    for (command, text) in commands.iter().zip(&printed).skip(2) {
        assert!(!text.is_empty(), "`{command}` prints something");
        for secret in [directory, name, "relapse-guard", "RELAPSE_", &port] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "`{command}` shows {secret}: {line:?} (unit {unit})");
        }
    }
    // The rest of what is kept of a run.
    let version = u32::from(scenario.settings.profile.version());
    let journal = run.journal.json_lines(version).flatten().collect::<Vec<u8>>();
    for kept in [String::from_utf8_lossy(&journal).into_owned(), run.outcome.timeline.to_jsonl()] {
        // The two give-aways are commands of the timeline, but not what they printed.
        for secret in [name, &port] {
            assert!(!kept.contains(secret), "{secret} is in {:?}", kept.lines().find(|line| line.contains(secret)));
        }
    }
}

/// A script that has no `#!`, or that a console reads in, is the host shell's all the same; so is a file that `grep` reads.
#[test]
fn files_of_any_kind_mean_the_incident() {
    let files = "\n```sh file=/home/ceeai/whatsapp_api/stop\nkill $(lsof -ti :8000)\n: >/home/ceeai/stopped\n```\n\n\
                 ```json file=/home/ceeai/whatsapp_api/settings.json\n{\"port\": 8000, \"log\": \"/home/ceeai/log\"}\n```\n";
    let lines = "$ sh stop; ls /home/ceeai/stopped; sleep 0.2; lsof -ti:8000\n/home/ceeai/stopped\n? 1\n\
                 $ grep -c 8000 settings.json; cat settings.json; ls $(sed 's/.*: \"//; s/\".*//' settings.json)\n\
                 1\n{\"port\": 8000, \"log\": \"/home/ceeai/log\"}\nls: cannot access '/home/ceeai/log': No such file or directory\n? 2";
    let claim = "\n```expect\nalways port 9999 owner = none for 1s\n```\n";
    holds(&run(&format!("{INCIDENT}{files}\n```console at=16:42:16\n{lines}\n```\n{claim}"), options()));
}

/// `timeout` and `sudo` pass on what they are given to programs of the host.
#[test]
fn a_unit_may_run_its_program_by_a_command_that_passes_on() {
    let document = INCIDENT.replace("ExecStart=/home", "ExecStart=/usr/bin/timeout 1h /home").replace(
        "[Install]",
        "ExecStartPre=/usr/bin/sudo -u ceeai /bin/sh -c 'echo 8000 > /home/ceeai/port'\n\n[Install]",
    );
    holds(&run(
        &format!(
            "{document}\n```console at=16:42:18\n$ cat /home/ceeai/port; pgrep -cf '^/usr/bin/timeout 1h /home'\n8000\n1\n```\n\n```expect\nalways port 9999 owner = none for 1s\n```\n"
        ),
        options(),
    ));
}
