//! What must hold for any service, whatever its programs do and whatever is asked of it.
//!
//! The inputs are the same in every run; `PROPTEST_CASES=10000` looks further. Each law was seen to fail:
//!
//! | law | with a manager that |
//! |---|---|
//! | one main process | starts what is starting already; calls a unit dead without a signal |
//! | one restart for each end | does not arm its timer, or keeps it when the unit is stopped |
//! | RestartSec= between, 250 ms more at most | waits nine tenths of it; has timers of 500 ms |
//! | NRestarts grows by one | counts twice; begins anew |
//! | no window over the burst, only full ones refuse | lets one more or one less through; has a window half or twice as long |
//! | what is stopped stays stopped | restarts though a stop is under way |
//! | every job ends | forgets a restart between its halves; waits for SIGTERM for ever |
//! | time goes on | lets the jobs of a unit run without a breather |
//! | without a deadline nothing happens by itself | starts services whenever it wakes |

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestCaseResult};
use relapse::manager::{Config, ExecFailure, ExecRole, Exit, JobId, JobMode, JobVerb, KillWhom, Pid, Reply, Request};
use relapse::time::{IncidentTime, Span};
use relapse::unit::{Errno, FileEntry, Files, Profile};
use relapse::world::{Act, Happened, Launch, Program, Reaction, World};

use crate::manager::BOOT;
use crate::unit_properties::{check, profiles};

const NAME: &str = "a.service";

/// What the programs of the service do, one after the other; each line of the unit file is one of them.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    Ends(u64, Exit),
    Serves,
    Stubborn,
    SaysReady(u64),
    LeavesChild(u64),
    Fails(ExecFailure),
}

/// Something that a client does.
#[derive(Clone, Debug)]
enum Deed {
    Job(JobVerb),
    ResetFailed,
    Kill(KillWhom, i32),
    DaemonReload,
    Show,
    Nothing,
}

#[derive(Clone, Debug)]
struct Plan {
    profile: Profile,
    phase: u64,
    unit: Vec<String>,
    limit: (u64, u32),
    restart_ms: u64,
    behaviours: Vec<Behaviour>,
    deeds: Vec<(u64, Deed)>,
}

impl Plan {
    fn text(&self) -> String {
        let (interval, burst) = self.limit;
        let lines = self.unit.join("\n");
        format!(
            "[Unit]\nStartLimitIntervalSec={interval}ms\nStartLimitBurst={burst}\n[Service]\nRestartSec={}ms\n{lines}\n",
            self.restart_ms
        )
    }
}

pub(crate) fn exits() -> impl Strategy<Value = Exit> {
    prop_oneof![
        3 => Just(Exit::Code(0)),
        3 => Just(Exit::Code(1)),
        1 => Just(Exit::Code(7)),
        1 => Just(Exit::Signal(15)),
        1 => Just(Exit::Signal(9)),
        1 => Just(Exit::Dumped(6)),
    ]
}

pub(crate) fn behaviours() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        6 => (0u64..3000, exits()).prop_map(|(after, exit)| Behaviour::Ends(after, exit)),
        2 => Just(Behaviour::Serves),
        1 => Just(Behaviour::Stubborn),
        2 => (0u64..3000).prop_map(Behaviour::SaysReady),
        2 => (0u64..3000).prop_map(Behaviour::LeavesChild),
        1 => Just(Behaviour::Fails(ExecFailure::Exec(Errno::ENOENT))),
        1 => Just(Behaviour::Fails(ExecFailure::Chdir(Errno::ENOENT))),
    ]
}

fn deeds() -> impl Strategy<Value = Deed> {
    let verb = prop_oneof![
        Just(JobVerb::Start),
        Just(JobVerb::Stop),
        Just(JobVerb::Restart),
        Just(JobVerb::TryRestart),
        Just(JobVerb::Reload),
        Just(JobVerb::ReloadOrRestart),
        Just(JobVerb::TryReloadOrRestart),
    ];
    let whom = prop_oneof![Just(KillWhom::Main), Just(KillWhom::Control), Just(KillWhom::All)];
    let signal = prop_oneof![Just(1), Just(9), Just(15)];
    prop_oneof![
        5 => verb.prop_map(Deed::Job),
        1 => Just(Deed::ResetFailed),
        1 => (whom, signal).prop_map(|(whom, signal)| Deed::Kill(whom, signal)),
        1 => Just(Deed::DaemonReload),
        1 => Just(Deed::Show),
        3 => Just(Deed::Nothing),
    ]
}

/// One of the lines, or none.
fn line(key: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(proptest::sample::select(values)).prop_map(move |value| value.map(|v| format!("{key}={v}")))
}

fn plans() -> impl Strategy<Value = Plan> {
    let how = (
        line("Type", &["simple", "exec", "oneshot", "forking", "notify", "idle"]),
        line("Restart", &["no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"]),
        line("SuccessExitStatus", &["7", "TERM", "1 SIGKILL"]),
        line("RestartPreventExitStatus", &["7", "SIGKILL"]),
        line("RestartForceExitStatus", &["1", "SIGABRT"]),
        line("RemainAfterExit", &["yes"]),
        line("KillMode", &["mixed", "process", "control-group"]),
        line("RuntimeMaxSec", &["1500ms"]),
    );
    let commands = (
        line("ExecCondition", &["/bin/x"]),
        line("ExecStartPre", &["/bin/x", "-/bin/x"]),
        line("ExecStartPost", &["/bin/x", "-/bin/x"]),
        line("ExecReload", &["/bin/x"]),
        line("ExecStop", &["/bin/x", "-/bin/x"]),
        line("ExecStopPost", &["/bin/x"]),
        line("WatchdogSec", &["2s"]),
        line("RestartMode", &["direct"]),
        line("[Unit]\nJobTimeoutSec", &["400ms\n[Service]"]),
    );
    let limit = (prop_oneof![Just(0), 1u64..30_000], 0u32..6);
    let phase = 0u64..250_000;
    let deeds = proptest::collection::vec((0u64..20_000, deeds()), 0..12);
    let behaviours = proptest::collection::vec(behaviours(), 1..6);
    let restart = prop_oneof![Just(0), Just(100), 0u64..4000];
    (profiles(), phase, how, commands, limit, restart, behaviours, deeds).prop_map(
        |(profile, phase, how, commands, limit, restart_ms, behaviours, deeds)| {
            let mut unit = vec!["ExecStart=/bin/x".to_owned(), "TimeoutSec=3s".to_owned()];
            unit.extend([how.0, how.1, how.2, how.3, how.4, how.5, how.6, how.7].into_iter().flatten());
            unit.extend(
                [
                    commands.0, commands.1, commands.2, commands.3, commands.4, commands.5, commands.6, commands.7,
                    commands.8,
                ]
                .into_iter()
                .flatten(),
            );
            // What is left behind is listed at every start: a hundred starts a second would be all that is tried.
            let leaves = unit.iter().any(|line| line == "KillMode=process");
            let restart_ms = if leaves { restart_ms.max(500) } else { restart_ms };
            Plan { profile, phase, unit, limit, restart_ms, behaviours, deeds }
        },
    )
}

pub(crate) fn launch(behaviour: &Behaviour) -> Launch {
    let sleep = |ms: &u64| Act::Sleep(Span::from_millis(*ms));
    let acts = match behaviour {
        Behaviour::Ends(after, exit) => vec![sleep(after), Act::End(*exit)],
        Behaviour::Serves => vec![Act::Serve],
        Behaviour::Stubborn => return Launch::Runs(Program::new("x", vec![Act::Serve]).on(15, Reaction::Ignore)),
        Behaviour::SaysReady(after) => vec![sleep(after), Act::Notify("READY=1\nSTATUS=fine".into()), Act::Serve],
        Behaviour::LeavesChild(lives) => {
            let child = Program::new("child", vec![sleep(lives)]);
            vec![Act::Fork(Box::new(child)), Act::End(Exit::Code(0))]
        }
        Behaviour::Fails(failure) => return Launch::Fails(failure.clone()),
    };
    Launch::Runs(Program::new("x", acts))
}

fn world(plan: &Plan) -> World {
    let mut files = Files::default();
    let entry = FileEntry::Regular { content: plan.text().into_bytes(), generation: 1 };
    files.entries.insert(format!("/etc/systemd/system/{NAME}"), entry);
    let link = FileEntry::Symlink { target: format!("/etc/systemd/system/{NAME}") };
    files.entries.insert(format!("/etc/systemd/system/multi-user.target.wants/{NAME}"), link);
    let mut turn = 0;
    let behaviours = plan.behaviours.clone();
    let launcher = move |_: &_, _: &mut _| {
        turn += 1;
        launch(&behaviours[(turn - 1) % behaviours.len()])
    };
    let timer_phase = Span::from_micros(plan.phase);
    World::new(Config { profile: plan.profile, boot: BOOT, timer_phase, seed: 1 }, files, Box::new(launcher))
}

/// What is known of the service's life so far.
#[derive(Default)]
struct Watch {
    /// Main processes that live.
    main: BTreeSet<Pid>,
    starts: Vec<IncidentTime>,
    /// When the last run ended, until a restart is scheduled for it.
    dead: Option<IncidentTime>,
    n_restarts: u32,
    /// What the journal says of the counter.
    scheduled: u32,
    asked: BTreeSet<JobId>,
    ended: BTreeSet<JobId>,
    /// A client has asked for something since the last look.
    disturbed: bool,
}

impl Watch {
    fn look(&mut self, world: &mut World, plan: &Plan) -> TestCaseResult {
        for (at, happened) in world.take_happened() {
            match happened {
                Happened::Started { pid, role: ExecRole::Start, .. } => {
                    self.main.insert(pid);
                    prop_assert!(self.main.len() < 2, "two main processes at {at}");
                    self.starts.push(at);
                }
                Happened::Ended { pid, .. } => {
                    self.main.remove(&pid);
                }
                Happened::Logged(message) => {
                    // A child that never became its program is gone.
                    if let Some((pid, _)) = &message.child {
                        self.main.remove(pid);
                    }
                    self.hear(at, &message.text, plan)?;
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
        let (main, _) = world.manager().pids(NAME);
        let (_, state) = world.manager().state(NAME);
        if state == "auto-restart" {
            prop_assert_eq!(main, 0, "nothing runs while the restart waits");
            prop_assert!(world.manager().next_deadline().is_some(), "the restart has a moment");
        }
        let count = world.manager().n_restarts(NAME);
        prop_assert!(
            count >= self.n_restarts || self.disturbed && count == 0,
            "NRestarts went from {} to {count}",
            self.n_restarts
        );
        prop_assert!(count <= self.scheduled, "NRestarts is {count}, though {} were scheduled", self.scheduled);
        self.n_restarts = count;
        self.scheduled = count;
        Ok(())
    }

    fn hear(&mut self, at: IncidentTime, text: &str, plan: &Plan) -> TestCaseResult {
        if text.contains("Deactivated successfully")
            || text.contains(": Failed with result '")
            || text.contains("Skipped due")
        {
            self.dead = Some(at);
        }
        let Some((_, counter)) = text.split_once("restart counter is at ") else { return Ok(()) };
        let counter: u32 = counter.trim_end_matches('.').parse().expect("a number");
        prop_assert!(
            counter == self.scheduled + 1 || self.disturbed && counter == 1,
            "from {} to {text}",
            self.scheduled
        );
        self.scheduled = counter;
        // One end, one restart: a second timer would bring a second line.
        let Some(dead) = self.dead.take() else {
            return Err(TestCaseError::fail(format!("{text}, but nothing has ended")));
        };
        if text.contains("Scheduled restart job,") {
            let waited = at.since(dead);
            let least = Span::from_millis(plan.restart_ms);
            prop_assert!(waited >= least, "{waited:?} is less than RestartSec={least:?}");
            prop_assert!(
                waited <= least + Span::from_millis(250),
                "{waited:?} is a lot more than RestartSec={least:?}"
            );
        }
        Ok(())
    }

    /// No window of the start limit holds more starts than the burst. How many each held.
    fn keeps_to_the_limit(&self, plan: &Plan) -> Result<Vec<usize>, TestCaseError> {
        let (interval, burst) = (Span::from_millis(plan.limit.0), plan.limit.1 as usize);
        let forgets = |(_, deed): &(u64, Deed)| matches!(deed, Deed::ResetFailed | Deed::DaemonReload);
        if interval.is_zero() || burst == 0 || plan.deeds.iter().any(forgets) {
            return Ok(Vec::new());
        }
        // A window may begin with an attempt that never came to a start. Then all that is known is that two windows
        // at most lie in any span of this length.
        let early = |line: &String| line.starts_with("ExecCondition=") || line.starts_with("ExecStartPre=");
        let exact = plan.deeds.is_empty() && !plan.unit.iter().any(early);
        let mut windows = Vec::new();
        let mut rest = self.starts.as_slice();
        while let Some((first, others)) = rest.split_first() {
            let within = 1 + others.iter().take_while(|at| at.since(*first) <= interval).count();
            let most = if exact { burst } else { 2 * burst };
            prop_assert!(within <= most, "{within} starts in {interval:?}, though the burst is {burst}");
            rest = if exact { &rest[within..] } else { others };
            windows.push(within);
        }
        Ok(windows)
    }

    /// Lets the world go on up to a moment, looking at every one in between.
    fn run(&mut self, world: &mut World, plan: &Plan, until: IncidentTime) -> TestCaseResult {
        while world.next_moment().is_some_and(|at| at <= until) {
            world.advance();
            self.look(world, plan)?;
        }
        world.run_until(until);
        self.look(world, plan)
    }
}

#[test]
fn whatever_a_service_does_it_obeys_its_unit_file() {
    check(plans(), |plan| {
        let mut world = world(&plan);
        let mut watch = Watch::default();
        world.boot();
        watch.look(&mut world, &plan)?;
        for (wait, deed) in &plan.deeds {
            let until = world.now() + Span::from_millis(*wait);
            watch.run(&mut world, &plan, until)?;
            let request = match *deed {
                Deed::Job(verb) => Request::Job { verb, unit: NAME.into(), mode: JobMode::Replace },
                Deed::ResetFailed => Request::ResetFailed { unit: Some(NAME.into()) },
                Deed::Kill(whom, signal) => Request::Kill { unit: NAME.into(), whom, signal },
                Deed::DaemonReload => Request::DaemonReload,
                Deed::Show => Request::Show { unit: NAME.into() },
                Deed::Nothing => continue,
            };
            world.request(request);
            watch.disturbed = true;
            watch.look(&mut world, &plan)?;
        }
        // Without a client the counter only grows, once what was asked for is over.
        let until = world.now() + Span::from_secs(15);
        watch.run(&mut world, &plan, until)?;
        watch.disturbed = false;
        let until = world.now() + Span::from_secs(15);
        watch.run(&mut world, &plan, until)?;
        watch.keeps_to_the_limit(&plan)?;

        // A stopped unit stays stopped.
        world.request(Request::Job { verb: JobVerb::Stop, unit: NAME.into(), mode: JobMode::Replace });
        let until = world.now() + Span::from_secs(60);
        watch.disturbed = true;
        watch.run(&mut world, &plan, until)?;
        let starts = watch.starts.len();
        let until = world.now() + Span::from_secs(3600);
        watch.run(&mut world, &plan, until)?;
        prop_assert_eq!(watch.starts.len(), starts, "a stopped unit came back");
        let (_, state) = world.manager().state(NAME);
        prop_assert!(matches!(state, "dead" | "failed"), "{state} after a stop");
        prop_assert!(world.manager().jobs().is_empty(), "jobs that never end: {:?}", world.manager().jobs());
        let open: Vec<&JobId> = watch.asked.difference(&watch.ended).collect();
        prop_assert!(open.is_empty(), "jobs that nobody heard of again: {open:?}");
        Ok(())
    });
}

#[test]
fn no_window_holds_more_starts_than_the_burst_and_only_a_full_one_refuses() {
    let ends =
        proptest::collection::vec((0u64..400, exits()).prop_map(|(after, exit)| Behaviour::Ends(after, exit)), 1..4);
    let limit = (prop_oneof![1u64..300, 300u64..6000], 1u32..6);
    let inputs = (profiles(), 0u64..250_000, limit, prop_oneof![Just(0), 0u64..1500], ends);
    check(inputs, |(profile, phase, limit, restart_ms, behaviours)| {
        let unit = vec!["ExecStart=/bin/x".to_owned(), "Restart=always".to_owned()];
        let plan = Plan { profile, phase, unit, limit, restart_ms, behaviours, deeds: Vec::new() };
        let mut world = world(&plan);
        let mut watch = Watch::default();
        world.boot();
        let until = world.now() + Span::from_secs(20);
        watch.run(&mut world, &plan, until)?;
        let windows = watch.keeps_to_the_limit(&plan)?;
        let (interval, burst) = (Span::from_millis(plan.limit.0), plan.limit.1 as usize);
        let limited = world.manager().state(NAME).1 == "failed";
        prop_assert!(!limited || windows.last() == Some(&burst), "refused after {windows:?} starts in {interval:?}");
        Ok(())
    });
}

#[test]
fn two_machines_with_the_same_seed_live_the_same_life() {
    check(plans(), |plan| {
        let live = || {
            let mut world = world(&plan);
            world.boot();
            for (wait, deed) in &plan.deeds {
                world.run_for(Span::from_millis(*wait));
                if let Deed::Job(verb) = *deed {
                    world.request(Request::Job { verb, unit: NAME.into(), mode: JobMode::Replace });
                }
            }
            world.run_for(Span::from_secs(5));
            world.take_happened()
        };
        prop_assert_eq!(live(), live());
        Ok(())
    });
}

#[test]
fn time_goes_on_though_a_service_fails_and_comes_back_at_once_for_ever() {
    let plan = |profile, phase, user: &str, behaviours| Plan {
        profile,
        phase,
        unit: vec!["ExecStart=/bin/x".into(), "Restart=always".into(), format!("User={user}")],
        limit: (0, 0),
        restart_ms: 0,
        behaviours,
        deeds: Vec::new(),
    };
    let missing = Behaviour::Fails(ExecFailure::Exec(Errno::ENOENT));
    let ends = Behaviour::Ends(0, Exit::Code(1));
    for (profile, phase) in [(Profile::V252, 0), (Profile::V252, 7), (Profile::V257, 0), (Profile::V260, 100_001)] {
        for (user, behaviour) in [("nobodyknows", &ends), ("root", &missing), ("root", &ends)] {
            let plan = plan(profile, phase, user, vec![behaviour.clone()]);
            let mut world = world(&plan);
            world.machine_mut().unknown_accounts.insert("nobodyknows".into());
            world.boot();
            world.run_for(Span::from_secs(10));
            let count = world.manager().n_restarts(NAME);
            assert!((900..1100).contains(&count), "{count} restarts in ten seconds of {plan:?}");
        }
    }
}
