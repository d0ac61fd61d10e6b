//! What must hold for units that depend on each other, whatever is asked of them and whatever their programs do.
//!
//! The inputs are the same in every run; `PROPTEST_CASES=10000` looks further. `manager_laws` says with which broken
//! managers each law failed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use relapse::manager::{
    Config, Connection, Descriptor, ExecFailure, ExecRole, Exit, Input, JobId, JobMode, JobVerb, KillWhom, Manager,
    Peer, Pid, Reply, Request, Spawn,
};
use relapse::time::Span;
use relapse::unit::{Errno, FileEntry, Files, Profile};
use relapse::world::{Happened, Launch, World};

use crate::manager::BOOT;
use crate::manager_laws::{Behaviour, behaviours, exits, launch};
use crate::unit_properties::{check, profiles};

/// In the order in which they may start: a socket goes before its service, a target after what it wants.
const NAMES: &[&str] = &["a.socket", "a.service", "b.service", "c.service", "d.target"];

/// The unit files of a small family whose members refer to each other at random; `ordered`: not in a circle. (A circle
/// that comes about by jobs of several transactions holds them up for ever, as in systemd.)
fn families(ordered: bool) -> impl Strategy<Value = Vec<(String, String)>> {
    const KEYS: &[&str] = &[
        "Requires",
        "Wants",
        "BindsTo",
        "PartOf",
        "Requisite",
        "After",
        "Before",
        "Conflicts",
        "Upholds",
        "OnFailure",
        "OnSuccess",
        "Unknown",
    ];
    const SERVICES: &[&str] = &[
        "ExecStart=/bin/x\nRestart=always\nRestartSec=1\n",
        "ExecStart=/bin/x\nRestart=on-failure\nRestartSec=0\nUser=nobodyknows\n",
        "Type=oneshot\nExecStart=/bin/x\nRemainAfterExit=yes\n",
        "Type=notify\nExecStart=/bin/x\nTimeoutStartSec=2\nNotifyAccess=all\n",
        "Type=forking\nExecStart=/bin/x\nPIDFile=/run/x.pid\n",
        "ExecStart=/bin/x\nSuccessAction=none\nBad Line\n",
        "",
    ];
    let relation = (proptest::sample::select(KEYS), proptest::sample::select(NAMES));
    let member = (proptest::collection::vec(relation, 0..4), proptest::sample::select(SERVICES), any::<bool>());
    let limit = proptest::sample::select(&[0, 5]);
    (proptest::collection::vec(member, NAMES.len()), limit).prop_map(move |(members, limit)| {
        let texts = members.into_iter().zip(NAMES).map(move |((relations, service, stops), name)| {
            let mut text = format!("[Unit]\nStartLimitIntervalSec={limit}\n");
            if stops {
                text.push_str("StopWhenUnneeded=yes\n");
            }
            let place = |name: &str| NAMES.iter().position(|known| *known == name);
            for (key, other) in relations {
                let backwards = match key {
                    "After" => place(other) >= place(name),
                    "Before" => place(other) <= place(name),
                    _ => false,
                };
                if ordered && backwards {
                    continue;
                }
                text.push_str(&format!("{key}={other}\n"));
            }
            match name.rsplit('.').next() {
                Some("service") => text.push_str(&format!("[Service]\nTimeoutSec=3\n{service}")),
                Some("socket") => text.push_str("[Socket]\nListenStream=8000\n"),
                _ => {}
            }
            ((*name).to_owned(), text)
        });
        texts.collect()
    })
}

fn inputs() -> impl Strategy<Value = Input> {
    const ANY: &[&str] = &["a.service", "b.service", "c.service", "d.target", "a.socket", "e.service", "x", ""];
    let names = || proptest::sample::select(ANY).prop_map(str::to_owned);
    let pids = || prop_oneof![9 => 300u32..330, 1 => any::<u32>()];
    let verbs = proptest::sample::select(&[JobVerb::Start, JobVerb::Stop, JobVerb::Restart, JobVerb::Reload]);
    let modes = proptest::sample::select(&[
        JobMode::Replace,
        JobMode::Fail,
        JobMode::IgnoreDependencies,
        JobMode::IgnoreRequirements,
    ]);
    let request = prop_oneof![
        6 => (verbs, names(), modes).prop_map(|(verb, unit, mode)| Request::Job { verb, unit, mode }),
        1 => proptest::option::of(names()).prop_map(|unit| Request::ResetFailed { unit }),
        1 => names().prop_map(|unit| Request::Load { unit }),
        1 => names().prop_map(|unit| Request::Kill { unit, whom: KillWhom::All, signal: 15 }),
        1 => Just(Request::DaemonReload),
        1 => Just(Request::Reboot),
        1 => names().prop_map(|unit| Request::Enable { units: vec![unit], runtime: false }),
    ];
    let text = proptest::sample::select(&[
        "READY=1",
        "STOPPING=1",
        "RELOADING=1\nMONOTONIC_USEC=5",
        "MAINPID=310",
        "WATCHDOG=trigger",
        "WATCHDOG_USEC=1",
        "EXTEND_TIMEOUT_USEC=999999999999",
        "STATUS=\u{fffd}\nERRNO=-5\n=\n\n",
        "STATUS=\0\0\nBUSERROR=x\nFDSTORE=1\nRESTART_RESET=1",
        "NOTIFYACCESS=none",
    ]);
    prop_oneof![
        8 => request.prop_map(|request| Input::Request { id: 1, request }),
        6 => Just(Input::Elapsed),
        6 => (pids(), exits()).prop_map(|(pid, exit)| Input::Exited { pid, exit }),
        2 => pids().prop_map(|pid| Input::Executed { pid }),
        2 => pids().prop_map(|pid| Input::ExecFailed { pid, failure: ExecFailure::Other("FDS".into(), Errno::EIO) }),
        2 => names().prop_map(|unit| Input::CgroupEmpty { unit }),
        2 => (pids(), proptest::option::of(names()), text)
            .prop_map(|(pid, unit, text)| Input::Notify { pid, unit, text: text.as_bytes().to_vec(), descriptors: Vec::new() }),
        1 => names().prop_map(|unit| Input::Traffic { unit }),
        1 => (names(), 0..9u64, any::<bool>(), 0..3u8).prop_map(|(unit, id, unix, last)| {
            let end = |port| std::net::SocketAddr::from(([127, 0, 0, last], port));
            let peer = match unix {
                true => Peer::Process { pid: 77, uid: last.into() },
                false => Peer::Internet { local: end(80), remote: end(40_000) },
            };
            Input::Accepted { unit, connection: Connection { id, peer: (last > 0).then_some(peer) } }
        }),
        1 => (pids(), 0..9u64, 0..3u8, any::<bool>()).prop_map(|(pid, id, of, remove)| {
            let text = if remove { "FDSTOREREMOVE=1\nFDNAME=x" } else { "FDSTORE=1\nFDNAME=x" };
            let descriptors = vec![Descriptor { id, of: of.to_string() }];
            Input::Notify { pid, unit: None, text: text.into(), descriptors }
        }),
        1 => (0..9u64).prop_map(|id| Input::HungUp { id }),
        1 => (names(), any::<bool>()).prop_map(|(unit, good)| {
            let result = if good { Ok(()) } else { Err(("0.0.0.0:8000".into(), Errno::EADDRINUSE)) };
            Input::Listening { unit, result, links: Vec::new() }
        }),
        1 => Just(Input::Boot),
    ]
}

fn files(family: &[(String, String)]) -> Files {
    let mut files = Files::default();
    for (name, text) in family {
        let entry = FileEntry::Regular { content: text.clone().into_bytes(), generation: 1 };
        files.entries.insert(format!("/etc/systemd/system/{name}"), entry);
    }
    files
}

#[test]
fn the_manager_bears_any_input_in_any_state() {
    let steps = proptest::collection::vec((0u64..3_000_000, inputs()), 0..60);
    check((profiles(), families(false), steps), |(profile, family, steps)| {
        let config = Config { profile, boot: BOOT, timer_phase: Span::ZERO, seed: 1 };
        let mut other = World::new(config.clone(), files(&family), Box::new(|_, _| launch(&Behaviour::Serves)));
        let mut manager = Manager::new(config);
        let mut now = BOOT;
        for (wait, input) in steps {
            now += Span::from_micros(wait);
            if let Some(deadline) = manager.next_deadline().filter(|deadline| *deadline < now) {
                manager.step(deadline, other.machine_mut(), Input::Elapsed);
            }
            manager.step(now, other.machine_mut(), input);
            for row in manager.units() {
                let waits = row.sub == "auto-restart" && row.job.is_none();
                prop_assert!(!waits || manager.next_deadline().is_some(), "{} waits for nothing", row.name);
            }
            prop_assert!(
                manager.next_deadline().is_none_or(|deadline| deadline >= now),
                "the next deadline has passed"
            );
        }
        for row in manager.units() {
            let known = manager.properties(other.machine(), &row.name);
            prop_assert!(known.is_some_and(|properties| properties.len() > 10), "{} has properties", row.name);
        }
        if manager.next_deadline().is_none() {
            let effects = manager.step(now + Span::from_secs(3600), other.machine_mut(), Input::Elapsed);
            prop_assert_eq!(effects, &[], "nothing was to come, and nobody asked");
        }
        Ok(())
    });
}

/// What is known of the processes and jobs of a family.
#[derive(Default)]
struct Watch {
    /// Children that never become their programs.
    stillborn: Rc<RefCell<BTreeSet<Pid>>>,
    main: BTreeMap<String, BTreeSet<Pid>>,
    starts: BTreeMap<String, u64>,
    asked: BTreeSet<JobId>,
    ended: BTreeSet<JobId>,
}

impl Watch {
    fn look(&mut self, world: &mut World) -> Result<(), TestCaseError> {
        for (at, happened) in world.take_happened() {
            match happened {
                Happened::Started { unit, pid, role: ExecRole::Start } => {
                    let main = self.main.entry(unit.clone()).or_default();
                    if !self.stillborn.borrow().contains(&pid) {
                        main.insert(pid);
                    }
                    prop_assert!(main.len() < 2, "two main processes of {unit} at {at}");
                    let starts = self.starts.entry(unit.clone()).or_default();
                    *starts += 1;
                    // The clock that goes on allows about a hundred a second, and some at once.
                    let most = 200 + at.since(BOOT).as_micros() / 9_000;
                    prop_assert!(*starts <= most, "{starts} starts of {unit} by {at}");
                }
                Happened::Ended { unit: Some(unit), pid, .. } => {
                    self.main.entry(unit).or_default().remove(&pid);
                }
                Happened::Replied(_, Reply::Job(job)) => {
                    self.asked.insert(job);
                }
                Happened::JobRemoved(job, ..) => {
                    prop_assert!(self.ended.insert(job), "job {job} ended twice");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn run(&mut self, world: &mut World, span: Span) -> Result<(), TestCaseError> {
        let until = world.now() + span;
        while world.next_moment().is_some_and(|at| at <= until) {
            world.advance();
            self.look(world)?;
        }
        world.run_until(until);
        self.look(world)
    }
}

#[test]
fn every_job_of_a_family_ends_and_time_goes_on_whoever_calls_for_whom() {
    const VERBS: &[JobVerb] = &[JobVerb::Start, JobVerb::Stop, JobVerb::Restart, JobVerb::Reload, JobVerb::TryRestart];
    let deed = (0u64..8000, proptest::sample::select(VERBS), proptest::sample::select(NAMES));
    let deeds = proptest::collection::vec(deed, 1..8);
    let programs = proptest::collection::vec(behaviours(), 1..6);
    check((profiles(), families(true), deeds, programs), |(profile, family, deeds, programs)| {
        let mut turn = 0;
        let stillborn = Rc::new(RefCell::new(BTreeSet::new()));
        let mut watch = Watch { stillborn: stillborn.clone(), ..Watch::default() };
        let launcher = move |spawn: &Spawn, _: &mut _| {
            turn += 1;
            let launch = launch(&programs[(turn - 1) % programs.len()]);
            if matches!(launch, Launch::Fails(_)) {
                stillborn.borrow_mut().insert(spawn.pid);
            }
            launch
        };
        let config = Config { profile, boot: BOOT, timer_phase: Span::ZERO, seed: 1 };
        let mut world = World::new(config, files(&family), Box::new(launcher));
        world.machine_mut().unknown_accounts.insert("nobodyknows".into());
        world.boot();
        for (wait, verb, unit) in deeds {
            watch.run(&mut world, Span::from_millis(wait))?;
            world.request(Request::Job { verb, unit: unit.into(), mode: JobMode::Replace });
            watch.look(&mut world)?;
        }
        watch.run(&mut world, Span::from_secs(90))?;
        let open: Vec<&JobId> = watch.asked.difference(&watch.ended).collect();
        prop_assert!(open.is_empty(), "jobs that nobody heard of again: {open:?}");

        for unit in NAMES {
            world.request(Request::Job { verb: JobVerb::Stop, unit: (*unit).into(), mode: JobMode::Replace });
        }
        watch.run(&mut world, Span::from_secs(60))?;
        let calls = |line: &str| ["OnFailure=", "OnSuccess=", "Upholds="].iter().any(|key| line.starts_with(key));
        if !family.iter().any(|(_, text)| text.lines().any(calls)) {
            let starts = watch.starts.clone();
            watch.run(&mut world, Span::from_secs(600))?;
            prop_assert_eq!(starts, watch.starts, "what was stopped came back");
            prop_assert!(world.manager().jobs().is_empty(), "{:?}", world.manager().jobs());
        }
        Ok(())
    });
}

#[test]
fn two_units_that_call_for_each_other_at_every_failure_let_time_go_on() {
    let text = |other: &str, user: &str| {
        format!("[Unit]\nOnFailure={other}\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/x\nUser={user}\n")
    };
    for user in ["root", "nobodyknows"] {
        let family =
            [("a.service".to_owned(), text("b.service", user)), ("b.service".to_owned(), text("a.service", user))];
        for profile in [Profile::V252, Profile::V257, Profile::V260] {
            let config = Config { profile, boot: BOOT, timer_phase: Span::ZERO, seed: 1 };
            let ends = Behaviour::Ends(0, Exit::Code(1));
            let mut world = World::new(config, files(&family), Box::new(move |_, _| launch(&ends)));
            world.machine_mut().unknown_accounts.insert("nobodyknows".into());
            world.boot();
            world.request(Request::Job { verb: JobVerb::Start, unit: "a.service".into(), mode: JobMode::Replace });
            world.run_for(Span::from_secs(5));
            let calls = |happened: &Happened| matches!(happened, Happened::Logged(message) if message.text == "b.service: Triggering OnFailure= dependencies.");
            let count = world.take_happened().iter().filter(|(_, happened)| calls(happened)).count();
            assert!((450..550).contains(&count), "{count} failures in five seconds");
        }
    }
}
