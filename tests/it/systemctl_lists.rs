//! What `systemctl` lists: units, files, jobs, dependencies, the machine as a whole.

use relapse::unit::Profile;

use crate::systemctl::{SYSTEMCTL_252, check};
use crate::systemctl_stage::{Recorded, Stage};

#[test]
fn lists_are_printed_as_recorded() {
    let units = || {
        Stage::at("16:48:00")
            .unit("gstatic.service", "ActiveState=active\nSubState=running\nDescription=gstatic.service")
            .unit("graphical.target", "Description=Graphical Interface")
            .unit("multi-user.target", "ActiveState=active\nSubState=active\nDescription=Multi-User System")
            .file("gstatic.service", "static")
            .file("graphical.target", "static")
            .file("gtmpl@.service", "disabled")
            .file("getty.target", "static")
            .file("g.service", "disabled")
            .file("getty@.service", "disabled")
            .file("gbad.service", "static")
            .file("getty-static.service", "static")
            .file("getty-pre.target", "static")
            .file("multi-user.target", "static")
    };
    for command in [
        "list-units g*",
        "list-units g* --all --no-legend",
        "list-units g* --all --plain --no-legend",
        "list-units --failed",
        "list-unit-files g*",
    ] {
        check(units(), SYSTEMCTL_252, &format!("systemctl {command}"), 1);
    }
}

#[test]
fn the_machine_and_its_jobs_are_shown() {
    let mut stage = Stage::at("16:48:00")
        .unit("a.service", "ActiveState=active\nSubState=running\nControlGroup=/system.slice/a.service\nDescription=A")
        .unit(
            "b.service",
            "ActiveState=activating\nSubState=start-pre\nControlGroup=/system.slice/b.service\nDescription=B unit",
        )
        .unit("c.service", "ActiveState=failed\nSubState=failed\nDescription=C")
        .unit("gone.service", "LoadState=not-found\nActiveState=active\nSubState=running\nDescription=gone.service")
        .process("a.service", 7, "sleep", "sleep 1")
        .process("a.service", 4242, "sleep", "sleep 2")
        .process("b.service", 99, "sh", "sh -c x");
    for (id, unit, job_type, state) in [(12, "b.service", "start", "running"), (130, "z.service", "stop", "waiting")] {
        stage.jobs.push(relapse::ctl::JobInfo {
            id,
            unit: unit.to_owned(),
            job_type: job_type.to_owned(),
            state: state.to_owned(),
        });
    }
    let mut text = String::new();
    for (command, profile) in [
        ("status", Profile::V252),
        ("list-jobs", Profile::V252),
        ("list-jobs nothing*", Profile::V252),
        ("list-units", Profile::V252),
        ("list-units", Profile::V257),
        ("list-units --state=failed,running -t service", Profile::V257),
        ("is-system-running", Profile::V252),
        ("is-failed", Profile::V257),
        ("status 4242", Profile::V252),
        ("status 5", Profile::V252),
        ("is-active [ab].service *.target", Profile::V252),
        ("show -p Version,NFailedUnits", Profile::V252),
    ] {
        let got = Recorded::from(stage.run(&format!("systemctl {command}"), profile).0);
        text.push_str(&format!("$ systemctl {command}\n{}{}? {}\n\n", got.stdout, got.stderr, got.code));
    }
    insta::assert_snapshot!(text);
}

/// As 252.38 and 257.13 printed them; the numbers are those of that boot.
#[test]
fn jobs_are_listed_with_those_they_wait_for_and_those_they_hold_up() {
    let mut stage = Stage::at("16:48:00")
        .unit("after.service", "After=slow.service basic.target\nBefore=third.service")
        .unit("slow.service", "Before=after.service")
        .unit("third.service", "After=after.service");
    for (id, unit, state) in [(61, "after", "waiting"), (48, "slow", "running"), (74, "third", "waiting")] {
        let (unit, job_type, state) = (format!("{unit}.service"), "start".to_owned(), state.to_owned());
        stage.jobs.push(relapse::ctl::JobInfo { id, unit, job_type, state });
    }
    let before_252 = "\
JOB UNIT                                      TYPE  STATE
61  after.service                             start waiting
└─  \twaiting for job 48 (slow.service/start)  -     -
48  slow.service                              start running
74  third.service                             start waiting
└─  \twaiting for job 61 (after.service/start) -     -

3 jobs listed.
";
    let both_257 = "\
JOB UNIT                                             TYPE  STATE
61  after.service                                    start waiting
└─  \tblocking job 74 (third.service/start)           -     -
└─  \twaiting for job 48 (slow.service/start)         -     -
48  slow.service                                     start running
└─  \tblocking job 61 (after.service/start)           -     -
74  third.service                                    start waiting
└─  \twaiting for job 61 (after.service/start) -     -

3 jobs listed.
";
    let shown = |stage: &mut Stage, command, profile| Recorded::from(stage.run(command, profile).0).stdout;
    assert_eq!(shown(&mut stage, "systemctl list-jobs --before", Profile::V252), before_252);
    assert_eq!(shown(&mut stage, "systemctl list-jobs --after --before", Profile::V257), both_257);
    // Of two ordered units the later one goes first if it is to stop.
    stage.jobs.retain(|job| job.id != 74);
    stage.jobs[0].job_type = "stop".to_owned();
    let shown = shown(&mut stage, "systemctl list-jobs --before", Profile::V252);
    let waits = "48  slow.service                             start running\n\
                 └─  \twaiting for job 61 (after.service/stop) -     -";
    assert!(shown.contains(waits), "{shown}");
}

/// A tree that is too deep for its line, and one that would have more lines than anybody reads.
#[test]
fn a_tree_of_dependencies_has_an_end() {
    let mut stage = Stage::at("16:48:00");
    for level in 0..60 {
        let next = format!("Requires=a{n}.target b{n}.target", n = level + 1);
        stage = stage.unit(&format!("a{level}.target"), &next).unit(&format!("b{level}.target"), &next);
    }
    let got = Recorded::from(stage.run("systemctl list-dependencies a0.target", Profile::V252).0);
    assert_eq!((got.stdout.lines().count(), got.code), (100_002, 1), "{}", got.stderr);
    assert!(got.stderr.starts_with("systemctl: the tree has more than 100000 lines; "), "{}", got.stderr);
    let deep = |line: &&str| line.ends_with("  ...");
    assert!(got.stdout.lines().filter(deep).count() > 100, "levels without room");
    assert!(got.stdout.lines().all(|line| line.chars().count() <= 82));
    let plain = Recorded::from(stage.run("systemctl list-dependencies --plain a0.target", Profile::V252).0);
    assert_eq!((plain.stdout.lines().count(), plain.code), (121, 0));
}
