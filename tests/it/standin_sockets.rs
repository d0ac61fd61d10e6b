//! Stand-ins that share a port, in every way in which the kernel lets them; and who may see it.

use relapse::timeline::EventKind;
use relapse::{Options, Outcome};
use rstest::rstest;

use crate::lockstep::{holds, options, run};

const SERVE: &str = "venv/bin/python -m uvicorn src.main:app --port 8000";

/// A stand-in with a start-up of one second, a unit of it, and what is typed.
fn stage(header: &str, keys: &str, unit: &str, lines: &str, options: Options) -> Outcome {
    let startup = if keys.contains("startup") { "" } else { "startup = [\"1s\"]" };
    let document = format!(
        "# Ports\n\n```toml scenario\nkind = \"behaviour\"\nclock = 2026-01-16T12:00:00\npid = 43\nuser = \"ceeai\"\n\
         directory = \"/home/app\"\n{header}\n```\n\n\
         ```toml program=uvicorn\npath = \"/home/app/venv/bin/python\"\nmodule = \"uvicorn\"\n\n\
         on-shutdown = [\"over\"]\n{startup}\n{keys}\n```\n\n\
         ```ini unit=app.service\n[Service]\nWorkingDirectory=/home/app\nExecStart=/home/app/{SERVE} --host 0.0.0.0\n\
         {unit}\n\n[Install]\nWantedBy=multi-user.target\n```\n\n\
         ```console\n{lines}\n```\n\n```expect\nalways port 9999 owner = none for 10s\n```\n"
    );
    run(&document, options)
}

fn shows(keys: &str, unit: &str, lines: &str) -> Outcome {
    let outcome = stage("", keys, unit, lines, options());
    holds(&outcome);
    outcome
}

/// How requests of the polling client were answered, by whom.
fn answers(outcome: &Outcome) -> Vec<(bool, Option<u32>)> {
    let requests = outcome.timeline.events().iter().filter_map(|event| match &event.kind {
        EventKind::Request { answer, pid, .. } => {
            Some((matches!(answer, relapse::timeline::Answer::Status(200)), *pid))
        }
        _ => None,
    });
    requests.collect()
}

const ENABLE: &str = "$ systemctl enable -q --now app; sleep 2";

#[test]
fn a_child_has_the_socket_of_its_parent_and_serves_in_its_place() {
    let lines = format!(
        "{ENABLE}\n\
         $ lsof -i :8000\nCOMMAND PID USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n? 1\n\
         $ sudo lsof -i :8000 | tail -n +2\n\
         python   43 root    7u  IPv4  33993      0t0  TCP *:8000 (LISTEN)\n\
         python   44 root    7u  IPv4  33993      0t0  TCP *:8000 (LISTEN)\n\
         $ ps -o pid,ppid,unit -C python\n    PID    PPID UNIT\n     43       1 app.service\n     44      43 app.service\n\
         $ curl -si localhost:8000/health | grep -i process\nx-process-id: 44"
    );
    // Who is not root sees nothing of root's.
    let lines = lines.replace("COMMAND PID USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n? 1", "? 1");
    shows("child = true", "", &lines);
}

#[rstest]
#[case::of_its_parent_alone("kill -9 43", "44", "active")]
#[case::of_its_parent_by_term("kill 43", "44", "active")]
#[case::of_the_child("kill 44", "43", "active")]
#[case::of_the_child_at_once("kill -9 44", "43", "active")]
fn who_is_left_serves_on_after_the_end(#[case] kill: &str, #[case] left: &str, #[case] state: &str) {
    // KillMode=process: systemd leaves it alone, too. The next attempt is refused.
    shows(
        "child = true",
        "KillMode=process\nRestart=always\nRestartSec=30",
        &format!(
            "{ENABLE}\n$ sudo {kill}; sleep 1; sudo lsof -t -i :8000\n{left}\n\
             $ curl -si localhost:8000/health | grep -i process\nx-process-id: {left}\n\
             $ systemctl is-active app || true\n{}",
            if left == "44" { "activating" } else { state }
        ),
    );
}

#[test]
fn a_child_ends_with_the_others_of_its_control_group_and_says_nothing() {
    let outcome = shows(
        "child = true",
        "",
        &format!(
            "{ENABLE}\n$ systemctl stop app; date +%T; systemctl show -P Result app; lsof -t -i :8000\n12:00:02\nsuccess\n? 1"
        ),
    );
    let said = outcome.timeline.events().iter().filter(|event| matches!(&event.kind, EventKind::Log { .. })).count();
    // Four lines of the start, four of the end, and what the hook logs goes nowhere.
    assert_eq!(said, 8, "{:#?}", outcome.timeline.events());
}

#[test]
fn starts_of_children_do_not_count_as_starts() {
    shows(
        "startup = [\"1s\", \"2s\"]\nchild = true",
        "",
        &format!(
            "{ENABLE}\n$ systemctl restart app; sleep 1.9; lsof -t -i :8000\n? 1\n$ sleep 0.2; sudo lsof -t -i :8000 | wc -l\n2"
        ),
    );
}

#[rstest]
#[case::both("reuse-port = true", 0)]
#[case::neither("", 1)]
fn those_who_share_a_port_with_reuse_port_are_not_refused(#[case] keys: &str, #[case] refused: usize) {
    let outcome =
        shows(keys, "", &format!("$ {SERVE} --host 0.0.0.0 2>/dev/null & sleep 2\n$ systemctl start app; sleep 2"));
    let is_refused = |kind: &EventKind| matches!(kind, EventKind::Refused { .. });
    assert_eq!(outcome.timeline.events().iter().filter(|event| is_refused(&event.kind)).count(), refused);
}

#[test]
fn the_kernel_gives_connections_to_both_who_share_a_port() {
    shows(
        "reuse-port = true",
        "",
        &format!(
            "$ {SERVE} --host 0.0.0.0 >/dev/null 2>&1 & sleep 2\n$ systemctl start app; sleep 2\n\
             $ for i in $(seq 50); do curl -si localhost:8000/health | grep -i process; done | sort -u\n\
             x-process-id: 43\nx-process-id: 44\n\
             $ ss -Hltn | wc -l\n2"
        ),
    );
}

/// Rows v2 and v2b: what takes IPv4, too, is in conflict with IPv4, and looks like IPv6 to who asks for IPv4 alone.
#[rstest]
#[case::as_uvicorn_does("", false, "[::]:8000 [::]:*", "? 1")]
#[case::both_families("v6-only = false", true, "*:8000 *:*", "? 1")]
fn a_socket_for_every_ipv6_address_takes_ipv4_unless_it_is_told_not_to(
    #[case] keys: &str,
    #[case] conflict: bool,
    #[case] shown: &str,
    #[case] four: &str,
) {
    let outcome = shows(
        keys,
        "",
        &format!(
            "$ {SERVE} --host :: >/dev/null 2>&1 & sleep 2\n\
             $ ss -Hltn | sed 's/.* 2048 *//'\n{shown}\n$ lsof -t -i 4:8000\n{four}\n$ lsof -t -i 6:8000\n43\n\
             $ systemctl start app; sleep 3; curl -s -o /dev/null http://[::1]:8000/health; echo $?\n0"
        ),
    );
    let refused = outcome.timeline.events().iter().any(|event| matches!(event.kind, EventKind::Refused { .. }));
    assert_eq!(refused, conflict);
}

#[test]
fn other_paths_have_answers_of_their_own_that_a_server_finishes_before_it_ends() {
    let serve = format!("{SERVE} >/dev/null 2>&1");
    shows(
        "answers = { \"/upload\" = \"12s\" }",
        "",
        &format!(
            "$ {serve} & sleep 2\n$ curl -s localhost:8000/health; date +' %T'\n{{\"status\":\"ok\"}} 12:00:02\n\
             $ curl -s localhost:8000/upload >answer & sleep 1; kill 43; sleep 1; lsof -t -i :8000; pgrep python\n43\n\
             $ wait; sleep 12; cat answer; pgrep python\n{{\"status\":\"ok\"}}\n? 1"
        ),
    );
}

#[test]
fn a_client_asks_until_it_is_told_not_to() {
    let header = "client = { port = 8000, every = \"1s\", from = 2026-01-16T12:00:02, until = 2026-01-16T12:00:05 }";
    let outcome = stage(header, "", "", &format!("$ {SERVE} >/dev/null 2>&1 & sleep 2"), options());
    holds(&outcome);
    assert_eq!(answers(&outcome), [(true, Some(43)); 3]);
}

#[test]
fn who_is_neither_root_nor_the_owner_sees_sockets_but_not_whose_they_are() {
    shows(
        "",
        "",
        &format!(
            "{ENABLE}\n\
             $ lsof -i :8000\n? 1\n$ fuser 8000/tcp\n? 1\n$ sudo -u postgres lsof -t -i :8000\n? 1\n\
             $ sudo lsof -t -i :8000\n43\n$ sudo fuser -s 8000/tcp\n\
             $ ss -Hltnp\nLISTEN 0      2048   0.0.0.0:8000 0.0.0.0:*\n\
             $ sudo ss -Hltnp\nLISTEN 0      2048   0.0.0.0:8000 0.0.0.0:* users:((\"python\",pid=43,fd=7))\n\
             $ netstat -ltnp | tail -1 | sed 's/.*LISTEN *//;s/ *$//'\n-\n\
             $ sudo netstat -ltnp | tail -1 | sed 's/.*LISTEN *//;s/ *$//'\n43/python"
        ),
    );
}
