//! Sockets of other kinds, and an instance for each connection, with real processes. What systemd 252 was seen to do is
//! replayed by `tests/recorded.rs` (`sck*`); here is what is the run's own business.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use relapse::timeline::EventKind;
use relapse::{Outcome, Scenario};
use rstest::rstest;

use crate::lockstep::{holds, options};

fn run(document: &str) -> Outcome {
    Scenario::parse("socket.md", document).expect("the document is in order").run(&options()).expect("the run begins")
}

fn stage(header: &str, units: &[(&str, &str)], blocks: &str) -> String {
    let claim = format!("```expect\nalways {}.ActiveState = active for 1s\n```", units[0].0);
    let claim = if blocks.contains("```expect") { String::new() } else { claim };
    let units: String = units.iter().map(|(name, text)| format!("```ini unit={name}\n{text}```\n\n")).collect();
    format!(
        "# Socket\n\n```toml scenario\nkind = \"behaviour\"\ndirectory = \"/home/app\"\n{header}\n```\n\n{units}{blocks}\n\n{claim}\n"
    )
}

/// Answers one request and ends.
const ANSWER: &str = "read line <&3; echo \"to $REMOTE_PORT: $line\"; sleep 1; \
                      printf \"HTTP/1.0 200 OK\\\\r\\\\nContent-Length: 3\\\\r\\\\n\\\\r\\\\nhi\\\\n\" >&3";

#[test]
fn connections_at_the_same_moment_get_the_same_instances_in_every_run() {
    let each = format!("[Unit]\nDescription=Each\n[Service]\nExecStart=/bin/bash -c '{}'\n", ANSWER.replace('$', "$$"));
    let units = [("each.socket", "[Socket]\nListenStream=8100\nAccept=yes\n"), ("each@.service", &each)];
    let blocks = "```console\n$ systemctl start each.socket\n\
                  $ for n in 1 2 3; do curl -s http://127.0.0.1:8100/$n & done; wait\nhi\nhi\nhi\n\
                  $ systemctl show each.socket -p NAccepted,NConnections\nNConnections=0\nNAccepted=3\n\
                  $ journalctl -q -o cat -u 'each@*' | sort\n\
                  Started each@0-127.0.0.1:8100-127.0.0.1:32768.service - Each (127.0.0.1:32768).\n\
                  Started each@1-127.0.0.1:8100-127.0.0.1:32770.service - Each (127.0.0.1:32770).\n\
                  Started each@2-127.0.0.1:8100-127.0.0.1:32772.service - Each (127.0.0.1:32772).\n\
                  each@0-127.0.0.1:8100-127.0.0.1:32768.service: Deactivated successfully.\n\
                  each@1-127.0.0.1:8100-127.0.0.1:32770.service: Deactivated successfully.\n\
                  each@2-127.0.0.1:8100-127.0.0.1:32772.service: Deactivated successfully.\n\
                  to 32768: GET /1 HTTP/1.1\nto 32770: GET /2 HTTP/1.1\nto 32772: GET /3 HTTP/1.1\n```\n\n\
                  ```expect\nalways each.socket.SubState = listening for 5s\n```";
    let document = stage("", &units, blocks);
    let first = run(&document);
    holds(&first);
    for _ in 0..2 {
        assert_eq!(run(&document).timeline.to_jsonl(), first.timeline.to_jsonl());
    }
}

#[test]
fn a_client_of_a_path_is_named_by_its_incident_pid() {
    let units = [
        ("each.socket", "[Socket]\nListenStream=/run/app/each.sock\nAccept=yes\n"),
        ("each@.service", "[Service]\nExecStart=/bin/sleep 100\n"),
    ];
    let blocks = "```console\n$ systemctl start each.socket\n\
                  $ curl -s -m 60 --unix-socket /run/app/each.sock http://x/ & sleep 1; \
                  name=$(systemctl list-units --no-legend 'each@*' | cut -d' ' -f3); \
                  pid=$(pgrep curl); test \"$name\" = \"each@0-$pid-0.service\" && echo same\nsame\n```\n\n\
                  ```expect\neventually each.socket.NConnections = 1\n```";
    holds(&run(&stage("", &units, blocks)));
}

#[test]
fn a_reboot_forgets_connections_and_who_was_there_for_them() {
    let units = [
        ("each.socket", "[Socket]\nListenStream=8100\nAccept=yes\n[Install]\nWantedBy=sockets.target\n"),
        ("each@.service", "[Service]\nExecStart=/bin/sleep 100\n"),
    ];
    let blocks = "```console\n$ systemctl enable -q --now each.socket\n$ curl -s -m 5 http://127.0.0.1:8100/\n? 28\n\
                  $ systemctl show each.socket -p NConnections\nNConnections=1\n$ systemctl reboot\n```\n\n\
                  ```console at=00:00:10\n$ systemctl show each.socket -p ActiveState,NConnections,NAccepted\n\
                  NConnections=0\nNAccepted=0\nActiveState=active\n$ curl -s -m 5 http://127.0.0.1:8100/\n? 28\n\
                  $ systemctl show each.socket -p NConnections\nNConnections=1\n```";
    holds(&run(&stage("", &units, blocks)));
}

#[test]
fn a_name_that_is_no_path_is_the_runs_own() {
    let name = "relapse-test-name";
    let address = SocketAddr::from_abstract_name(name).expect("a name");
    let _host = UnixListener::bind_addr(&address).expect("the host's own");
    let units = [
        ("a.socket", format!("[Socket]\nListenStream=@{name}\n")),
        (
            "a.service",
            "[Service]\nExecStart=/bin/sh -c 'test -S /dev/fd/3 && echo $LISTEN_FDS; sleep 100'\n".to_owned(),
        ),
    ];
    let units: Vec<(&str, &str)> = units.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let blocks = "```console\n$ systemctl start a.socket a.service\n$ journalctl -q -o cat -t sh\n1\n\
                  $ systemctl show a.socket -p Listen\nListen=@relapse-test-name (Stream)\n```";
    holds(&run(&stage("", &units, blocks)));
}

/// Where Python is there, it says what the kernel was told of a socket.
#[rstest]
#[case("KeepAlive=yes", "SOL_SOCKET", "SO_KEEPALIVE", "1")]
#[case("KeepAlive=no", "SOL_SOCKET", "SO_KEEPALIVE", "0")]
#[case("NoDelay=yes", "IPPROTO_TCP", "TCP_NODELAY", "1")]
#[case("NoDelay=no", "IPPROTO_TCP", "TCP_NODELAY", "0")]
fn settings_reach_the_kernel(#[case] setting: &str, #[case] level: &str, #[case] option: &str, #[case] wanted: &str) {
    if !crate::notify::has_python() {
        return;
    }
    let ask = format!("import socket as s; print(s.socket(fileno=3).getsockopt(s.{level}, s.{option}))");
    let units = [
        ("a.socket", format!("[Socket]\nListenStream=8100\n{setting}\n")),
        ("a.service", format!("[Service]\nExecStart=/usr/bin/env python3 -c '{ask}'\nRemainAfterExit=yes\n")),
    ];
    let units: Vec<(&str, &str)> = units.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let blocks = format!(
        "```console\n$ systemctl start a.socket a.service; sleep 1\n$ journalctl -q -o cat -u a.service _PID!=1 -t python3 -t env | tail -n1\n{wanted}\n```"
    );
    let blocks = blocks.replace(" _PID!=1", "");
    holds(&run(&stage("", &units, &blocks)));
}

#[test]
fn the_backlog_is_what_was_set() {
    let units = [
        ("a.socket", "[Socket]\nListenStream=127.0.0.1:8100\nBacklog=7\n"),
        ("a.service", "[Service]\nExecStart=/bin/true\n"),
    ];
    let blocks = "```console\n$ systemctl start a.socket\n$ ss -ltn | tail -n1\n[..]LISTEN 0      7 [..]\n```";
    holds(&run(&stage("", &units, blocks)));
}

#[test]
fn a_restarted_service_reads_on_in_a_fifo_whose_writer_has_gone() {
    let service = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sh -c 'read line <&3; echo got $$line'\n";
    let units = [("a.socket", "[Socket]\nListenFIFO=/run/app/fifo\n"), ("a.service", service)];
    let blocks = "```console\n$ systemctl start a.socket\n$ printf 'one\\ntwo\\n' > /run/app/fifo; sleep 1\n\
                  $ journalctl -q -o cat -t sh\ngot one\ngot two\n$ systemctl is-active a.socket a.service\nactive\ninactive\n```";
    let outcome = run(&stage("", &units, blocks));
    holds(&outcome);
    let starts =
        outcome.timeline.events().iter().filter(|event| matches!(&event.kind, EventKind::Start { role: Some(_), .. }));
    assert_eq!(starts.count(), 2);
}
