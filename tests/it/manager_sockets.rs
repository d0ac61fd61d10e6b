//! Sockets that the manager holds for services, as recorded from real systemd 252.

use relapse::manager::{JobMode, JobResult, JobVerb, Reply, Request};
use relapse::unit::Profile;
use relapse::world::{Act, Program};

use crate::manager::Rig;

const SOCKET: &str = "[Unit]\nDescription=Sock\n[Socket]\nListenStream=127.0.0.1:8100\n";

fn rig(service: &str) -> Rig {
    Rig::new(&[("s.socket", SOCKET), ("s.service", &format!("[Service]\n{service}"))])
}

#[test]
fn the_first_connection_starts_the_service_and_a_crash_refuses_nobody() {
    let mut rig = rig("ExecStart=/bin/sh -c 'sleep 0.1; accept; sleep 5; exit 1'\nRestart=on-failure\n");
    rig.start("s.socket");
    assert_eq!(rig.state("s.socket"), "active/listening/success");
    assert!(rig.world.connect("s.socket"));
    rig.run("200ms");
    assert_eq!(rig.state("s.socket"), "active/running/success");
    assert_eq!(rig.state("s.service"), "active/running/success");
    assert_eq!(rig.world.waiting("s.socket"), Some(0));
    rig.run("5s");
    assert!(rig.world.connect("s.socket"), "the socket is held while the service is down");
    rig.run("1s");
    assert_eq!(rig.world.waiting("s.socket"), Some(0));
    assert_eq!(rig.state("s.service"), "active/running/success");
    assert_eq!(rig.journal("s.socket"), ["<6> Listening on s.socket - Sock."]);
}

#[test]
fn a_stopped_service_comes_back_with_the_next_connection_and_a_closed_socket_does_not() {
    let mut rig = rig("ExecStart=/bin/sh -c 'accept; serve'\n");
    rig.start("s.socket");
    rig.world.connect("s.socket");
    rig.run("100ms");
    rig.stop("s.service");
    assert_eq!(rig.state("s.socket"), "active/listening/success");
    rig.world.connect("s.socket");
    rig.run("100ms");
    assert_eq!(rig.state("s.service"), "active/running/success");
    rig.stop("s.service");
    rig.stop("s.socket");
    assert!(!rig.world.connect("s.socket"));
    assert_eq!(
        rig.journal("s.socket"),
        ["<6> Listening on s.socket - Sock.", "<6> s.socket: Deactivated successfully.", "<6> Closed s.socket - Sock.",]
    );
}

#[test]
fn a_service_that_dies_without_accepting_takes_its_socket_down_with_its_start_limit() {
    let mut rig = rig("ExecStart=/bin/sh -c 'sleep 0.02; exit 1'\n");
    rig.start("s.socket");
    rig.world.connect("s.socket");
    rig.run("2s");
    assert_eq!(rig.starts.len(), 5);
    assert_eq!(rig.state("s.socket"), "failed/failed/service-start-limit-hit");
    assert_eq!(rig.state("s.service"), "failed/failed/exit-code");
    assert!(!rig.world.connect("s.socket"), "connections are refused now");
    assert_eq!(
        rig.journal("s.socket"),
        ["<6> Listening on s.socket - Sock.", "<4> s.socket: Failed with result 'service-start-limit-hit'."]
    );
}

#[test]
fn a_service_without_a_start_limit_meets_the_trigger_limit() {
    let mut rig = Rig::new(&[
        ("s.socket", SOCKET),
        ("s.service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/true\n"),
    ]);
    rig.start("s.socket");
    rig.world.connect("s.socket");
    rig.run("5s");
    assert_eq!(rig.starts.len(), 20);
    assert_eq!(rig.state("s.socket"), "failed/failed/trigger-limit-hit");
    assert!(rig.journal("s.socket").contains(&"<4> s.socket: Trigger limit hit, refusing further activation.".into()));
}

#[test]
fn a_port_that_is_taken_fails_the_socket() {
    let mut rig = rig("ExecStart=/bin/sleep 1000\n");
    rig.world.start_process(Program::new(
        "python",
        vec![Act::Bind { port: 8100, or: relapse::manager::Exit::Code(1) }, Act::Serve],
    ));
    rig.start("s.socket");
    assert_eq!(rig.result_of("s.socket"), Some(JobResult::Failed));
    assert_eq!(
        rig.journal("s.socket"),
        [
            "<3> s.socket: Failed to create listening socket (127.0.0.1:8100): Address already in use",
            "<3> s.socket: Failed to receive listening socket (127.0.0.1:8100): Input/output error",
            "<4> s.socket: Failed to listen on sockets: Input/output error",
            "<4> s.socket: Failed with result 'resources'.",
            "<3> Failed to listen on s.socket - Sock.",
        ]
    );
    assert_eq!(rig.show("s.socket", "InactiveEnterTimestamp"), "", "it never was anything else");
}

#[test]
fn a_socket_is_refused_while_its_service_runs_on_its_own_and_without_a_service() {
    let mut rig = rig("ExecStart=/bin/sleep 1000\n");
    rig.start("s.service");
    rig.start("s.socket");
    assert_eq!(rig.result_of("s.socket"), Some(JobResult::Failed));
    assert_eq!(
        rig.journal("s.socket"),
        [
            "<3> s.socket: Socket service s.service already active, refusing.",
            "<3> Failed to listen on s.socket - Sock.",
        ]
    );
    let mut rig = Rig::new(&[("n.socket", "[Socket]\nListenStream=8101\n")]);
    rig.start("n.socket");
    assert_eq!(
        rig.journal("n.socket"),
        ["<3> n.socket: Socket service n.service not loaded, refusing.", "<3> Failed to listen on n.socket."]
    );
}

#[test]
fn a_service_started_by_hand_gets_the_sockets_that_listen() {
    let mut rig = Rig::new(&[
        ("s.socket", "[Socket]\nListenStream=127.0.0.1:8100\nListenStream=/run/s.sock\nFileDescriptorName=web\n"),
        (
            "s.service",
            "[Service]\nNotifyAccess=all\nExecStart=/bin/sh -c 'notify STATUS=${LISTEN_FDS}:${LISTEN_FDNAMES}; serve'\n",
        ),
    ]);
    rig.start("s.socket");
    rig.start("s.service");
    assert_eq!(rig.show("s.service", "StatusText"), "2:web:web");
    assert_eq!(rig.state("s.socket"), "active/running/success");
    rig.ask(Request::Job { verb: JobVerb::Stop, unit: "s.socket".into(), mode: JobMode::Replace });
    assert!(matches!(rig.restart("s.service"), Reply::Job(_)));
    assert_eq!(rig.show("s.service", "StatusText"), ":", "without the socket there is nothing to pass");
}

const EACH: &str = "[Unit]\nDescription=Each\n[Service]\nExecStart=/bin/sleep 1\n";

fn accepting(profile: Profile, settings: &str) -> Rig {
    let socket = format!("[Socket]\nListenStream=127.0.0.1:8100\nAccept=yes\n{settings}");
    let mut rig = Rig::with(profile, &[("s.socket", &socket), ("s@.service", EACH)]);
    rig.start("s.socket");
    rig
}

/// The instances that are loaded.
fn instances(rig: &Rig) -> Vec<String> {
    let units = rig.world.manager().units().into_iter().map(|row| row.name);
    units.filter(|name| name.starts_with("s@")).collect()
}

#[test]
fn instances_are_called_after_the_ends_of_their_connections() {
    for (profile, cookies) in [(Profile::V252, ["", ""]), (Profile::V257, ["", ""]), (Profile::V260, ["1-", "2-"])] {
        let mut rig = accepting(profile, "");
        rig.world.connect("s.socket");
        rig.world.connect("s.socket");
        rig.run("100ms");
        let names: Vec<String> = cookies
            .iter()
            .enumerate()
            .map(|(n, cookie)| format!("s@{n}-{cookie}127.0.0.1:8100-127.0.0.1:{}.service", 40_000 + n))
            .collect();
        assert_eq!(instances(&rig), names, "{profile:?}");
        assert_eq!(rig.show(&names[1], "Description"), "Each (127.0.0.1:40001)");
        assert_eq!(rig.show(&names[1], "TriggeredBy"), "s.socket");
        assert_eq!(rig.show("s.socket", "NConnections"), "2");
        rig.run("2s");
        assert_eq!(rig.show("s.socket", "NConnections"), "0");
        assert_eq!(rig.show("s.socket", "Triggers"), "", "what has ended is unloaded");
        assert_eq!(instances(&rig), [""; 0]);
        assert_eq!(rig.show("s.socket", "NAccepted"), "2");
    }
}

#[test]
fn the_poll_limit_of_later_versions_slows_connections_and_refuses_none() {
    let settings = "PollLimitIntervalSec=3s\nPollLimitBurst=2\n";
    for (profile, counts) in [(Profile::V252, [5, 0, 0]), (Profile::V257, [2, 2, 1])] {
        let mut rig = accepting(profile, settings);
        for _ in 0..5 {
            rig.world.connect("s.socket");
        }
        for wanted in counts {
            rig.run("1500ms");
            assert_eq!(std::mem::take(&mut rig.starts).len(), wanted, "{profile:?}");
            rig.run("1500ms");
        }
        assert_eq!(rig.state("s.socket"), "active/listening/success");
        assert_eq!(rig.show("s.socket", "NAccepted"), "5");
    }
    // One service for all is looked at anew after each of its ends.
    let socket = format!("[Socket]\nListenStream=127.0.0.1:8100\n{settings}");
    let service = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/true\n";
    let mut rig = Rig::with(Profile::V257, &[("s.socket", &socket), ("s.service", service)]);
    rig.start("s.socket");
    rig.world.connect("s.socket");
    rig.run("1s");
    assert_eq!(rig.state("s.socket"), "failed/failed/trigger-limit-hit");
}

#[test]
fn a_socket_counts_the_instances_that_run_whatever_is_done_to_them() {
    // Ends well, fails, runs on.
    let each = "[Service]\nExecStart=/bin/sh -c 'sleep 0.7; exit 1'\nRestart=on-failure\nRestartSec=300ms\n";
    for (seed, each) in (1u64..).zip([EACH, each, "[Service]\nExecStart=/bin/sleep 1000\n", each, EACH]) {
        let socket = "[Socket]\nListenStream=127.0.0.1:8100\nAccept=yes\nMaxConnectionsPerSource=4\n";
        let mut rig = Rig::new(&[("s.socket", socket), ("s@.service", each)]);
        rig.start("s.socket");
        let mut state = seed;
        for step in 0..60 {
            // xorshift64 (Marsaglia).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let some = instances(&rig).into_iter().nth(usize::try_from(state >> 40).unwrap_or(0) % 3);
            match (state >> 20) % 9 {
                0..4 => drop(rig.world.connect("s.socket")),
                4 | 5 => rig.run("400ms"),
                6 => drop(some.map(|unit| rig.stop(&unit))),
                7 => drop(if state & 4096 == 0 { rig.stop("s.socket") } else { rig.start("s.socket") }),
                _ => drop(rig.ask(Request::ResetFailed { unit: None })),
            }
            let units = rig.world.manager().units();
            let connected = units.iter().filter(|row| row.name.starts_with("s@") && row.active == "active").count();
            let told = rig.show("s.socket", "NConnections");
            // One that was started again has no connection any more.
            let most: u32 = told.parse().expect("a number");
            assert!(most <= 4, "seed {seed}, step {step}");
            if !each.contains("Restart=") {
                assert_eq!(told, connected.to_string(), "seed {seed}, step {step}");
            }
        }
    }
}
