//! What newer versions do differently, as recorded from systemd 257 (and read in the source of 260).

use relapse::manager::JobResult;
use relapse::unit::Profile;

use crate::manager::Rig;

const LOOP: &str = "[Unit]\nDescription=RA\n[Service]\nExecStart=/bin/sh -c 'sleep 0.1; exit 1'\nRestart=always\nRestartSec=300ms\n[Install]\nWantedBy=multi-user.target\n";

#[test]
fn an_automatic_restart_stops_nothing_from_254_on() {
    let mut rig = Rig::with(Profile::V257, &[("a.service", LOOP)]);
    rig.start("a.service");
    rig.run("600ms");
    assert_eq!(
        rig.journal("a.service"),
        [
            "<6> Started a.service - RA.",
            "<5> a.service: Main process exited, code=exited, status=1/FAILURE",
            "<4> a.service: Failed with result 'exit-code'.",
            "<6> a.service: Scheduled restart job, restart counter is at 1.",
            "<6> Started a.service - RA.",
            "<5> a.service: Main process exited, code=exited, status=1/FAILURE",
            "<4> a.service: Failed with result 'exit-code'.",
        ]
    );
}

#[test]
fn a_start_during_the_wait_waits_in_252_and_runs_at_once_in_257() {
    for (profile, at_once) in [(Profile::V252, false), (Profile::V257, true)] {
        let mut rig = Rig::with(profile, &[("a.service", LOOP)]);
        rig.start("a.service");
        rig.run("150ms");
        rig.start("a.service");
        assert_eq!(rig.starts.len(), if at_once { 2 } else { 1 }, "{profile:?}");
        assert_eq!(rig.jobs.len(), if at_once { 2 } else { 1 }, "{profile:?}: {:?}", rig.jobs);
        let said = rig.times("immediately on client request, restart counter is at 1.").len();
        assert_eq!(said, usize::from(at_once));
        rig.run("600ms");
        assert_eq!(rig.result_of("a.service"), Some(JobResult::Done));
    }
}

#[test]
fn a_start_during_the_wait_costs_a_token_more_than_it_looks() {
    // One start and two by hand during the wait: four tokens of two that wait and two that run are too many.
    for (profile, until_the_second) in [(Profile::V252, "1800ms"), (Profile::V257, "400ms")] {
        let unit = "[Unit]\nStartLimitIntervalSec=1min\nStartLimitBurst=4\n[Service]\nExecStart=/bin/sh -c 'sleep 0.2; exit 1'\nRestart=always\nRestartSec=1500ms\n";
        let mut rig = Rig::with(profile, &[("a.service", unit)]);
        rig.start("a.service");
        for wait in ["600ms", until_the_second] {
            rig.run(wait);
            assert_eq!(rig.show("a.service", "SubState"), "auto-restart", "{profile:?}");
            rig.start("a.service");
        }
        rig.run("3s");
        assert_eq!(rig.state("a.service"), "failed/failed/exit-code", "{profile:?}");
        assert_eq!(rig.show("a.service", "NRestarts"), "2", "{profile:?}");
    }
}

#[test]
fn the_restart_counter_survives_a_stop_in_the_wait_in_252_alone() {
    for (profile, after_start, after_restart) in [(Profile::V252, "2", "2"), (Profile::V257, "0", "0")] {
        for (verb, want) in [("stop", after_start), ("restart", after_restart)] {
            let mut rig = Rig::with(profile, &[("a.service", LOOP)]);
            rig.keep("a.service");
            rig.start("a.service");
            rig.run("1150ms");
            assert_eq!(rig.show("a.service", "NRestarts"), "2", "{profile:?}");
            assert_eq!(rig.show("a.service", "SubState"), "auto-restart", "{profile:?}");
            if verb == "stop" {
                rig.stop("a.service");
                assert_eq!(rig.state("a.service"), "inactive/dead/exit-code", "the result stays");
                rig.start("a.service");
            } else {
                rig.restart("a.service");
            }
            assert_eq!(rig.show("a.service", "NRestarts"), want, "{profile:?} {verb}");
        }
    }
}

#[test]
fn what_nothing_keeps_loaded_is_forgotten_by_a_stop_in_the_wait() {
    let mut rig = Rig::new(&[("a.service", LOOP)]);
    rig.start("a.service");
    rig.run("1150ms");
    rig.stop("a.service");
    assert!(!rig.world.manager().is_loaded("a.service"));
    assert_eq!(rig.state("a.service"), "inactive/dead/success");
    assert_eq!(rig.show("a.service", "NRestarts"), "0");
}

#[test]
fn restart_steps_slow_a_loop_down_from_254_on() {
    let unit = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=300ms\nRestartSteps=3\nRestartMaxDelaySec=2400ms\n";
    let gaps = |profile| {
        let mut rig = Rig::with(profile, &[("a.service", unit)]);
        rig.start("a.service");
        rig.run("10s");
        let starts: Vec<u64> = rig.starts.iter().map(|(at, _)| at.as_micros() / 1000).collect();
        starts.windows(2).take(5).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()
    };
    assert_eq!(gaps(Profile::V257), [500, 750, 1250, 2500, 2500], "0.3 0.6 1.2 2.4 2.4 s, on the grid");
    assert_eq!(gaps(Profile::V252), [500; 5], "252 does not know the keys");
}

#[test]
fn an_unmet_condition_and_a_missing_program_are_worded_anew_in_257() {
    let units = [
        ("c.service", "[Unit]\nConditionPathExists=!/\n[Service]\nExecStart=/bin/sleep 1000\n"),
        ("m.service", "[Service]\nExecStart=/nonexistent/bin\n"),
    ];
    let mut rig = Rig::with(Profile::V257, &units);
    rig.world.machine_mut().files.insert("/x".into(), Vec::new());
    rig.start("c.service");
    assert_eq!(rig.journal("c.service"), ["<6> c.service skipped, unmet condition check ConditionPathExists=!/"]);
    rig.start("m.service");
    assert!(
        rig.journal("m.service").contains(
            &"<5> m.service: Unable to locate executable '/nonexistent/bin': No such file or directory".into()
        )
    );
}

#[test]
fn a_notify_reload_service_reloads_by_signal_from_253_on() {
    let unit = "[Service]\nType=notify-reload\nExecStart=/bin/sh -c 'trap \"notify RELOADING=1 MONOTONIC_USEC=99000000000; sleep 0.5; notify READY=1; serve\" HUP; notify READY=1; serve'\n";
    let mut rig = Rig::with(Profile::V257, &[("a.service", unit)]);
    rig.start("a.service");
    assert_eq!(rig.state("a.service"), "active/running/success");
    rig.job(relapse::manager::JobVerb::Reload, "a.service");
    rig.run("100ms");
    assert_eq!(rig.state("a.service"), "reloading/reload-notify/success");
    rig.run("1s");
    assert_eq!(rig.result_of("a.service"), Some(JobResult::Done));
    assert_eq!(
        rig.journal("a.service"),
        [
            "<6> Starting a.service...",
            "<6> Started a.service.",
            "<6> Reloading a.service...",
            "<6> Reloaded a.service.",
        ]
    );
}

fn state_while_another_starts(profile: Profile) -> (String, Vec<String>) {
    // The restart of `a` is due while `b`, after which it comes, is still starting.
    let units = [
        ("a.service", "[Unit]\nAfter=b.service\n[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=1\n"),
        ("b.service", "[Service]\nType=notify\nExecStart=/bin/sh -c 'sleep 5; notify READY=1; serve'\n"),
    ];
    let mut rig = Rig::with(profile, &units);
    rig.start("a.service");
    rig.run("100ms");
    rig.start("b.service");
    rig.run("3s");
    let waiting = rig.state("a.service");
    rig.journal("a.service");
    rig.run("2500ms");
    (waiting, rig.journal("a.service"))
}

#[test]
fn a_restart_that_is_due_and_has_to_wait_is_a_state_of_its_own_from_254_on() {
    let (old, lines) = state_while_another_starts(Profile::V252);
    // The restart job has stopped it and waits with its start.
    assert_eq!(old, "inactive/dead/exit-code");
    assert!(lines.contains(&"<6> Started a.service.".into()), "{lines:?}");
    for profile in [Profile::V257, Profile::V260] {
        let (new, lines) = state_while_another_starts(profile);
        assert_eq!(new, "activating/auto-restart-queued/exit-code", "{profile:?}");
        assert!(lines.contains(&"<6> Started a.service.".into()), "{lines:?}");
    }
}

/// In the moment in `failed` before the wait what is bound to the unit goes down, and with the restart what requires it
/// is restarted; a direct restart skips both.
#[test]
fn a_direct_restart_leaves_what_depends_on_the_unit_alone() {
    let seen = |profile, mode: &str| {
        let a = format!("[Service]\nExecStart=/bin/sh -c 'sleep 2; exit 1'\nRestart=always\nRestartSec=1\n{mode}");
        let bound = "[Unit]\nBindsTo=a.service\nAfter=a.service\n[Service]\nExecStart=/bin/sleep 1000\n";
        let needs = "[Unit]\nRequires=a.service\nAfter=a.service\n[Service]\nExecStart=/bin/sleep 1000\n";
        let units = [("a.service", a.as_str()), ("bound.service", bound), ("needs.service", needs)];
        let mut rig = Rig::with(profile, &units);
        rig.start("bound.service");
        rig.start("needs.service");
        rig.run("2100ms");
        let bound = rig.show("bound.service", "ActiveState");
        let stamped = rig.show("a.service", "InactiveEnterTimestampMonotonic") != "0";
        rig.run("1500ms");
        assert_eq!(rig.show("a.service", "NRestarts"), "1");
        let starts = rig.journal("needs.service").iter().filter(|line| line.contains("Started")).count();
        (bound, starts, stamped)
    };
    let through_failed = ("inactive".to_owned(), 2, true);
    for profile in [Profile::V257, Profile::V260] {
        assert_eq!(seen(profile, "RestartMode=normal\n"), through_failed, "{profile:?}");
        assert_eq!(seen(profile, "RestartMode=debug\n"), through_failed, "{profile:?}");
        assert_eq!(seen(profile, "RestartMode=direct\n"), ("active".to_owned(), 1, false), "{profile:?}");
    }
    assert_eq!(seen(Profile::V252, "RestartMode=direct\n"), through_failed, "252 does not know the key");
}

#[test]
fn a_forced_restart_spares_a_oneshot_that_succeeded_since_256_and_is_refused_before() {
    let unit = |code: u8| {
        format!(
            "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit {code}'\nRestartForceExitStatus=0 3\nRestartSec=1\n"
        )
    };
    let after = |profile, code| {
        let mut rig = Rig::with(profile, &[("a.service", &unit(code))]);
        rig.start("a.service");
        rig.run("100ms");
        rig.state("a.service")
    };
    assert_eq!(after(Profile::V257, 0), "inactive/dead/success");
    assert_eq!(after(Profile::V257, 3), "activating/auto-restart/exit-code");
    let mut rig = Rig::new(&[("a.service", &unit(3))]);
    rig.start("a.service");
    assert_eq!(rig.show("a.service", "LoadState"), "bad-setting");
    assert!(rig.starts.is_empty());
}

#[test]
fn a_refused_start_overrides_an_earlier_result_since_260() {
    for (profile, result) in
        [(Profile::V252, "exit-code"), (Profile::V257, "exit-code"), (Profile::V260, "start-limit-hit")]
    {
        let unit = "[Unit]\nStartLimitBurst=1\n[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=100ms\n";
        let mut rig = Rig::with(profile, &[("a.service", unit)]);
        rig.start("a.service");
        rig.run("2s");
        assert_eq!(rig.state("a.service"), format!("failed/failed/{result}"), "{profile:?}");
        let last = rig.journal("a.service");
        assert!(last.contains(&format!("<4> a.service: Failed with result '{result}'.")), "{profile:?}: {last:?}");
    }
}

#[test]
fn a_service_resets_its_own_restart_counter_since_258() {
    for (profile, count) in [(Profile::V252, "2"), (Profile::V257, "2"), (Profile::V260, "0")] {
        let unit = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nNotifyAccess=main\nRestart=always\nRestartSec=500ms\n\
                    ExecStart=/bin/sh -c 'sleep 1; notify RESTART_RESET=1; sleep 0.4; exit 1'\n";
        let mut rig = Rig::with(profile, &[("a.service", unit)]);
        rig.start("a.service");
        // 1.4 s and 0.5 s, up to the grid: the third run begins at 4 s and has said so at 5.2 s.
        rig.run("5200ms");
        assert_eq!(rig.starts.len(), 3, "{profile:?}");
        assert_eq!(rig.show("a.service", "NRestarts"), count, "{profile:?}");
    }
}

#[test]
fn links_are_quoted_in_single_quotes_since_253() {
    use relapse::manager::{Reply, Request};
    let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    let link = "/etc/systemd/system/multi-user.target.wants/a.service";
    for (profile, created, removed) in [
        (
            Profile::V252,
            format!("Created symlink {link} → /etc/systemd/system/a.service."),
            format!("Removed \"{link}\"."),
        ),
        (
            Profile::V257,
            format!("Created symlink '{link}' → '/etc/systemd/system/a.service'."),
            format!("Removed '{link}'."),
        ),
    ] {
        let mut rig = Rig::with(profile, &[("a.service", unit)]);
        let units = || vec!["a.service".to_owned()];
        let enabled = rig.ask(Request::Enable { units: units(), runtime: false });
        assert_eq!(enabled, Reply::UnitFiles(vec![created]), "{profile:?}");
        let disabled = rig.ask(Request::Disable { units: units(), runtime: false });
        assert_eq!(disabled, Reply::UnitFiles(vec![removed]), "{profile:?}");
    }
}

#[test]
fn a_bad_value_is_logged_in_the_words_of_the_version() {
    let unit = "[Service]\nExecStart=/bin/sleep 1000\nRestart=always  # always\n";
    for (profile, text) in [
        (Profile::V252, "Failed to parse service restart specifier, ignoring: always  # always"),
        (Profile::V257, "Failed to parse Restart=always  # always, ignoring: Invalid argument"),
        (Profile::V260, "Failed to parse Restart=always  # always, ignoring: Invalid argument"),
    ] {
        let mut rig = Rig::with(profile, &[("a.service", unit)]);
        rig.start("a.service");
        assert_eq!(rig.journal("a.service")[0], format!("<4> /etc/systemd/system/a.service:3: {text}"), "{profile:?}");
        assert_eq!(rig.show("a.service", "Restart"), "no");
    }
}
