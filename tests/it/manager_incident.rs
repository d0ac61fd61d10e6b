//! The incident: a service that finds its port taken, 14.5 seconds apart, for ever.

use relapse::manager::{Config, Exit, JobMode, JobVerb, Message, Request};
use relapse::time::{IncidentTime, Span};
use relapse::unit::{FileEntry, Files, Profile};
use relapse::world::{Act, Happened, Launch, Program, World};

use crate::manager::BOOT;

const UNIT: &str = "[Unit]\nDescription=Lumiera WhatsApp Copilot API\nAfter=network.target\n\n[Service]\nType=simple\nUser=ceeai\nGroup=ceeai\nWorkingDirectory=/home/ceeai/whatsapp_api\nEnvironment=PYTHONPATH=/home/ceeai/whatsapp_api\nExecStart=/home/ceeai/whatsapp_api/venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000\nRestart=always\nRestartSec=10\n\n[Install]\nWantedBy=multi-user.target\n";
const NAME: &str = "lumiera-whatsapp.service";

/// A machine on which somebody holds port 8000, booted with the service enabled, and the holder's PID.
fn incident(starts_in: Span) -> (World, u32) {
    let launcher: relapse::world::Launcher = Box::new(move |_, _| {
        let acts = vec![Act::Work(starts_in), Act::Bind { port: 8000, or: Exit::Code(1) }, Act::Serve];
        Launch::Runs(Program::new("python", acts))
    });
    let config = Config { profile: Profile::V252, boot: BOOT, timer_phase: Span::ZERO, seed: 3 };
    let mut world = World::new(config, Files::default(), launcher);
    let entry = FileEntry::Regular { content: UNIT.as_bytes().to_vec(), generation: 1 };
    world.machine_mut().unit_files.entries.insert(format!("/etc/systemd/system/{NAME}"), entry);
    world.boot();
    let holder =
        world.start_process(Program::new("python", vec![Act::Bind { port: 8000, or: Exit::Code(1) }, Act::Serve]));
    world.run_for(Span::from_secs(60));
    world.take_happened();
    (world, holder)
}

fn messages(world: &mut World) -> Vec<(IncidentTime, Message)> {
    let happened = world.take_happened().into_iter();
    happened
        .filter_map(|(at, happened)| match happened {
            Happened::Logged(message) if message.unit.as_deref() == Some(NAME) => Some((at, message)),
            _ => None,
        })
        .collect()
}

fn start(world: &mut World) {
    world.request(Request::Job { verb: JobVerb::Start, unit: NAME.into(), mode: JobMode::Replace });
}

#[test]
fn a_cycle_logs_the_lines_of_the_incident_with_their_priorities_ids_and_invocations() {
    let (mut world, _) = incident(Span::from_millis(4350));
    start(&mut world);
    world.run_for(Span::from_secs(16));
    let all = messages(&mut world);
    let lines: Vec<String> =
        all.iter().map(|(_, message)| format!("<{}> {}", message.priority, message.text.replace(NAME, "U"))).collect();
    assert_eq!(
        lines,
        [
            "<6> Started U - Lumiera WhatsApp Copilot API.",
            "<5> U: Main process exited, code=exited, status=1/FAILURE",
            "<4> U: Failed with result 'exit-code'.",
            "<6> U: Consumed 4.350s CPU time.",
            "<6> U: Scheduled restart job, restart counter is at 1.",
            "<6> Stopped U - Lumiera WhatsApp Copilot API.",
            "<6> U: Consumed 4.350s CPU time.",
            "<6> Started U - Lumiera WhatsApp Copilot API.",
        ]
    );
    let ids: Vec<&str> = all.iter().map(|(_, message)| message.message_id.unwrap_or("-")).collect();
    assert_eq!(
        ids,
        [
            "39f53479d3a045ac8e11786248231fbf",
            "98e322203f7a4ed290d09fe03c09fe15",
            "d9b373ed55a64feb8242e02dbe79a49c",
            "ae8f7b866b0347b9af31fe1c80b127c0",
            "5eb03494b6584870a536b337290809b3",
            "9d1aaa27d60140bd96365438aad20286",
            "ae8f7b866b0347b9af31fe1c80b127c0",
            "39f53479d3a045ac8e11786248231fbf",
        ]
    );
    let invocation = |index: usize| all[index].1.invocation_id.as_deref().expect("an ID");
    assert!((0..7).all(|index| invocation(index) == invocation(0)), "what ends a run carries the run's ID");
    assert_ne!(invocation(7), invocation(0), "the ID changes with Started");
    let field = |index: usize, name: &str| {
        let fields = &all[index].1.fields;
        fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    };
    assert_eq!((field(1, "EXIT_CODE"), field(1, "EXIT_STATUS")), (Some("exited"), Some("1")));
    assert_eq!(field(1, "COMMAND"), Some("ExecStart"));
    assert_eq!(field(2, "UNIT_RESULT"), Some("exit-code"));
    assert_eq!(field(3, "CPU_USAGE_NSEC"), Some("4350000000"));
    assert_eq!(field(4, "N_RESTARTS"), Some("1"));
    assert_eq!((field(5, "JOB_TYPE"), field(5, "JOB_RESULT")), (Some("restart"), Some("done")));
    assert_eq!((field(7, "JOB_TYPE"), field(7, "JOB_RESULT")), (Some("start"), Some("done")));
}

#[test]
fn the_undisturbed_loop_has_a_period_of_exactly_fourteen_and_a_half_seconds_and_no_limit() {
    let (mut world, _) = incident(Span::from_millis(4350));
    start(&mut world);
    world.run_for(Span::from_secs(3600));
    let all = messages(&mut world);
    let starts: Vec<IncidentTime> =
        all.iter().filter(|(_, message)| message.text.starts_with("Started")).map(|(at, _)| *at).collect();
    assert!(starts.len() >= 248, "{}", starts.len());
    assert!(starts.windows(2).all(|pair| pair[1].since(pair[0]) == Span::from_millis(14_500)));
    assert_eq!(world.manager().n_restarts(NAME) as usize, starts.len() - 1);
    assert_eq!(world.manager().state(NAME).0.as_str(), "active", "an attempt is under way, and looks healthy");
}

#[test]
fn the_wait_and_the_doomed_attempt_look_as_they_did() {
    let (mut world, _) = incident(Span::from_millis(4350));
    start(&mut world);
    world.run_for(Span::from_secs(2));
    let show = |world: &mut World, names: &[&str]| -> Vec<String> {
        let rows = world.properties(NAME).expect("loaded");
        let value = |name: &&str| rows.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        names.iter().map(|name| value(name).unwrap_or_else(|| panic!("no {name}"))).collect()
    };
    let names = ["ActiveState", "SubState", "Result", "ExecMainCode", "ExecMainStatus", "NRestarts"];
    assert_eq!(show(&mut world, &names), ["active", "running", "success", "0", "0", "0"]);
    world.run_for(Span::from_secs(5));
    assert_eq!(show(&mut world, &names), ["activating", "auto-restart", "exit-code", "1", "1", "0"]);
    assert_eq!(show(&mut world, &["MainPID", "ControlPID"]), ["0", "0"]);
    let stamps = ["StateChangeTimestampMonotonic", "InactiveExitTimestampMonotonic", "ActiveExitTimestampMonotonic"];
    let stamps = show(&mut world, &stamps);
    assert!(stamps.iter().all(|stamp| *stamp == stamps[0]), "the moment of the death is that of the wait too");
    let exec = &show(&mut world, &["ExecStart"])[0];
    assert!(
        exec.starts_with("{ path=/home/ceeai/whatsapp_api/venv/bin/python ; argv[]=/home/ceeai/whatsapp_api/venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000 ; ignore_errors=no ; start_time=[Fri 2026-01-16 00:01:00 UTC] ; stop_time=[Fri 2026-01-16 00:01:04 UTC] ; pid="),
        "{exec}"
    );
    assert!(exec.ends_with(" ; code=exited ; status=1 }"), "{exec}");
}

#[test]
fn killing_the_holder_lets_the_attempt_in_flight_or_the_next_one_take_over() {
    for (wait, restarts, outage) in [("2s", 0, 2_350), ("8s", 1, 10_850)] {
        let (mut world, holder) = incident(Span::from_millis(4350));
        start(&mut world);
        world.run_for(Span::parse(wait).expect("a span"));
        let killed = world.now();
        world.kill(holder, 15);
        world.run_for(Span::from_secs(60));
        let bound = world.take_happened().into_iter().find_map(|(at, happened)| match happened {
            Happened::Bound(8000, _) if at > killed => Some(at),
            _ => None,
        });
        let bound = bound.expect("the service has the port");
        assert_eq!(bound.since(killed), Span::from_millis(outage), "killed after {wait}");
        assert_eq!(world.manager().n_restarts(NAME), restarts);
        assert_eq!(world.machine().port_owner(8000), Some(world.manager().pids(NAME).0));
    }
}

#[test]
fn the_unit_as_printed_in_the_report_does_not_loop_at_all() {
    let printed = UNIT
        .replace("Restart=always", "Restart=always          # Auto-restart on real crashes")
        .replace("RestartSec=10", "RestartSec=10          # Wait before restart");
    let (mut world, _) = incident(Span::from_millis(4350));
    let entry = FileEntry::Regular { content: printed.into_bytes(), generation: 2 };
    world.machine_mut().unit_files.entries.insert(format!("/etc/systemd/system/{NAME}"), entry);
    start(&mut world);
    world.run_for(Span::from_secs(600));
    let all = messages(&mut world);
    assert!(all.iter().any(|(_, message)| {
        message.text.ends_with("Failed to parse sec value, ignoring: 10          # Wait before restart")
    }));
    assert_eq!(all.iter().filter(|(_, message)| message.text.starts_with("Started")).count(), 1);
    assert_eq!(world.manager().state(NAME), (relapse::manager::ActiveState::Failed, "failed"));
}
