//! Units that depend on each other, as real systemd 252 treated the same units.

use relapse::manager::{JobResult, Reply, RequestErrorKind};

use crate::manager::Rig;

const SLEEP: &str = "[Service]\nExecStart=/bin/sleep 1000\n";

/// A unit that sleeps, with a [Unit] section.
fn unit(section: &str) -> String {
    format!("[Unit]\n{section}{SLEEP}")
}

fn rig(units: &[(&str, &str)]) -> Rig {
    Rig::new(units)
}

#[test]
fn an_automatic_restart_takes_what_requires_the_unit_along_and_leaves_what_was_bound_to_it_down() {
    let mut rig = rig(&[
        ("base.service", "[Service]\nExecStart=/bin/sh -c 'sleep 1; exit 1'\nRestart=always\nRestartSec=1\n"),
        ("bound.service", &unit("BindsTo=base.service\nAfter=base.service\n")),
        ("req.service", &unit("Requires=base.service\nAfter=base.service\n")),
        ("want.service", &unit("Wants=base.service\nAfter=base.service\n")),
        ("part.service", &unit("PartOf=base.service\nAfter=base.service\n")),
    ]);
    for name in ["bound.service", "req.service", "want.service", "part.service"] {
        rig.start(name);
    }
    rig.run("2500ms");
    assert_eq!(
        rig.journal("bound.service"),
        [
            "<6> Started bound.service.",
            "<6> Stopping bound.service...",
            "<6> bound.service: Deactivated successfully.",
            "<6> Stopped bound.service.",
        ]
    );
    for name in ["req.service", "part.service"] {
        let lines = [
            format!("<6> Started {name}."),
            format!("<6> Stopping {name}..."),
            format!("<6> {name}: Deactivated successfully."),
            format!("<6> Stopped {name}."),
            format!("<6> Started {name}."),
        ];
        let order = [rig.times(&format!("Stopped {name}")), rig.times("Stopped base.service")];
        assert_eq!(order[0], order[1], "{name} stops before base does, in the same moment");
        assert_eq!(rig.journal(name), lines);
    }
    assert_eq!(rig.journal("want.service"), ["<6> Started want.service."]);
    rig.stop("base.service");
    assert_eq!(rig.state("req.service"), "inactive/dead/success");
    assert_eq!(rig.state("part.service"), "inactive/dead/success");
    assert_eq!(rig.state("want.service"), "active/running/success");
}

#[test]
fn a_start_fails_if_what_it_requires_does() {
    let mut rig = rig(&[
        ("a.service", &unit("Requires=b.service\nAfter=b.service\nOnFailure=h.service\n")),
        ("b.service", "[Service]\nExecStartPre=/bin/sh -c 'sleep 0.3; exit 1'\nExecStart=/bin/sleep 1000\n"),
        ("h.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n"),
    ]);
    rig.start("a.service");
    rig.run("1s");
    assert_eq!(rig.result_of("a.service"), Some(JobResult::Dependency));
    assert_eq!(
        rig.journal("a.service"),
        [
            "<4> Dependency failed for a.service.",
            "<5> a.service: Job a.service/start failed with result 'dependency'.",
            "<6> a.service: Triggering OnFailure= dependencies.",
        ]
    );
    assert!(rig.journal("h.service").contains(&"<6> Finished h.service.".to_owned()));
}

#[test]
fn a_start_is_refused_if_what_it_requires_does_not_exist_and_not_if_it_only_wants_it() {
    let mut rig = rig(&[
        ("a.service", &unit("Requires=nosuch.service\n")),
        ("b.service", &unit("Wants=nosuch.service\nAfter=nosuch.service\n")),
    ]);
    match rig.start("a.service") {
        Reply::Error(error) => {
            assert_eq!(error.kind, RequestErrorKind::NoSuchUnit);
            assert_eq!(error.message, "Unit nosuch.service not found.");
        }
        other => panic!("{other:?}"),
    }
    rig.start("b.service");
    assert_eq!(rig.result_of("b.service"), Some(JobResult::Done));
}

#[test]
fn a_requisite_is_looked_at_but_not_started() {
    let mut rig = rig(&[("a.service", &unit("Requisite=b.service\nAfter=b.service\n")), ("b.service", SLEEP)]);
    rig.start("a.service");
    assert_eq!(rig.result_of("a.service"), Some(JobResult::Dependency));
    assert_eq!(
        rig.journal("a.service"),
        ["<4> Dependency failed for a.service.", "<5> a.service: Job a.service/start failed with result 'dependency'.",]
    );
    assert!(rig.journal("b.service").is_empty());
    rig.start("b.service");
    rig.start("a.service");
    rig.stop("b.service");
    assert_eq!(rig.state("a.service"), "inactive/dead/success");
}

#[test]
fn a_unit_cannot_be_bound_to_a_oneshot_that_is_over() {
    let mut rig = rig(&[
        ("a.service", &unit("BindsTo=one.service\nAfter=one.service\n")),
        ("one.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep 0.3\n"),
    ]);
    rig.start("a.service");
    rig.run("1s");
    assert_eq!(
        rig.journal("a.service"),
        [
            "<5> a.service: Bound to unit one.service, but unit isn't active.",
            "<4> Dependency failed for a.service.",
            "<5> a.service: Job a.service/start failed with result 'dependency'.",
        ]
    );
}

#[test]
fn conflicting_units_push_each_other_out() {
    let mut rig = rig(&[("a.service", &unit("Conflicts=b.service\n")), ("b.service", SLEEP)]);
    rig.start("b.service");
    rig.start("a.service");
    assert_eq!(rig.state("b.service"), "inactive/dead/success");
    rig.start("b.service");
    assert_eq!(rig.state("a.service"), "inactive/dead/success");
    assert_eq!(rig.state("b.service"), "active/running/success");
}

#[test]
fn what_nothing_needs_any_more_is_stopped() {
    let mut rig = rig(&[
        ("a.service", &unit("Requires=b.service\nAfter=b.service\n")),
        ("b.service", &unit("StopWhenUnneeded=yes\n")),
    ]);
    rig.start("a.service");
    rig.stop("a.service");
    assert_eq!(
        rig.journal("b.service"),
        [
            "<6> Started b.service.",
            "<6> Stopping b.service...",
            "<6> b.service: Deactivated successfully.",
            "<6> Stopped b.service.",
        ]
    );
}

#[test]
fn what_is_upheld_is_started_again_whoever_stopped_it() {
    let mut rig = rig(&[("a.service", &unit("Upholds=b.service\n")), ("b.service", SLEEP)]);
    rig.start("a.service");
    for _ in 0..2 {
        rig.stop("b.service");
        assert_eq!(rig.state("b.service"), "active/running/success");
    }
    rig.stop("a.service");
    rig.stop("b.service");
    assert_eq!(rig.state("b.service"), "inactive/dead/success");
}

#[test]
fn upholding_what_fails_at_once_ends_with_the_start_limit() {
    let mut rig =
        rig(&[("a.service", &unit("Upholds=b.service\n")), ("b.service", "[Service]\nExecStart=/bin/false\n")]);
    rig.start("a.service");
    rig.run("5s");
    assert_eq!(rig.state("b.service"), "failed/failed/exit-code");
    assert!(rig.starts.len() <= 6, "{}", rig.starts.len());
}

#[test]
fn a_handler_is_told_what_it_is_there_for() {
    let mut rig = rig(&[
        ("a.service", "[Unit]\nOnFailure=h.service\n[Service]\nExecStart=/bin/sh -c 'sleep 0.2; exit 3'\n"),
        (
            "h.service",
            "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'notify STATUS=${MONITOR_UNIT}:${MONITOR_SERVICE_RESULT}:${MONITOR_EXIT_CODE}:${MONITOR_EXIT_STATUS}'\nNotifyAccess=all\nRemainAfterExit=yes\n",
        ),
    ]);
    rig.start("a.service");
    rig.run("1s");
    assert_eq!(rig.show("h.service", "StatusText"), "a.service:exit-code:exited:3");
}

#[test]
fn a_handler_of_two_units_is_told_of_neither() {
    let fails = "[Unit]\nOnFailure=h.service\n[Service]\nExecStart=/bin/false\n";
    let mut rig = rig(&[
        ("a.service", fails),
        ("b.service", fails),
        ("h.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n"),
    ]);
    rig.start("b.service");
    rig.start("a.service");
    let lines = rig.journal("h.service");
    assert!(lines[3].starts_with("<4> h.service: multiple trigger source candidates"), "{lines:?}");
}

#[test]
fn on_failure_waits_for_the_end_of_a_loop_in_252_and_fires_at_every_run_in_257() {
    use relapse::unit::Profile;
    let unit = |mode: &str| {
        format!(
            "[Unit]\nOnFailure=h.service\nStartLimitBurst=3\n[Service]\nExecStart=/bin/false\nRestart=always\n{mode}"
        )
    };
    for (profile, mode, handled) in
        [(Profile::V252, "", 1), (Profile::V257, "", 4), (Profile::V257, "RestartMode=direct\n", 1)]
    {
        let handler = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
        let mut rig = Rig::with(profile, &[("a.service", &unit(mode)), ("h.service", handler)]);
        rig.start("a.service");
        rig.run("5s");
        assert_eq!(rig.times("Triggering OnFailure= dependencies.").len(), handled, "{profile:?} {mode}");
    }
}

#[test]
fn a_cycle_in_the_order_gives_up_what_is_only_wanted() {
    let mut rig =
        rig(&[("a.service", &unit("Wants=b.service\nAfter=b.service\n")), ("b.service", &unit("After=a.service\n"))]);
    rig.start("a.service");
    assert_eq!(rig.result_of("a.service"), Some(JobResult::Done));
    assert_eq!(rig.state("b.service"), "inactive/dead/success");
    assert!(rig.log.iter().any(|(_, message)| message.text.contains("deleted to break ordering cycle")));
}

#[test]
fn a_cycle_of_what_is_required_is_refused() {
    let mut rig = rig(&[
        ("a.service", &unit("Requires=b.service\nAfter=b.service\n")),
        ("b.service", &unit("Requires=a.service\nAfter=a.service\n")),
    ]);
    assert!(matches!(rig.start("a.service"), Reply::Error(error) if error.message.contains("cyclic")));
}

#[test]
fn a_failure_runs_through_a_long_chain_of_units() {
    let count = 400;
    let names: Vec<String> = (0..count).map(|index| format!("u{index}.service")).collect();
    let texts: Vec<String> = (0..count)
        .map(|index| {
            let next = index + 1;
            match next < count {
                true => unit(&format!("Requires=u{next}.service\nAfter=u{next}.service\n")),
                false => "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'sleep 0.1; exit 1'\n".to_owned(),
            }
        })
        .collect();
    let units: Vec<(&str, &str)> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut rig = rig(&units);
    rig.start("u0.service");
    rig.run("1s");
    assert_eq!(rig.result_of("u0.service"), Some(JobResult::Dependency));
}

#[test]
fn enabled_units_start_at_boot_before_the_target_is_reached() {
    let mut rig =
        rig(&[("a.service", "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n")]);
    rig.keep("a.service");
    assert_eq!(rig.state("a.service"), "inactive/dead/success");
    rig.ask(relapse::manager::Request::Reboot);
    rig.run("1s");
    assert_eq!(rig.state("a.service"), "active/running/success");
    let position = |part: &str| rig.log.iter().position(|(_, message)| message.text.starts_with(part));
    assert!(position("Started a.service") < position("Reached target multi-user.target"), "{:?}", rig.log);
    assert_eq!(rig.show("a.service", "NRestarts"), "0");
    assert_eq!(rig.show("a.service", "WantedBy"), "multi-user.target");
}
