//! What claims are about: whose events, which state, which moments, which names.

use relapse::expect::{Monitor, State, parse};
use relapse::timeline::Timeline;

use super::expect_tables::{UNIT, ZERO, at, context, judge, timeline, verdicts};

#[test]
fn acts_are_those_of_the_subject() {
    /// An act, an event that is it, events that are not.
    const ROWS: &[(&str, &str, &[&str])] = &[
        ("start", "start 100 x", &["start 7 x", "start 200 x", "pre 100 x", "exec 100 x"]),
        ("exit 1", "exit 100 1", &["exit 100 2", "exit 7 1", "pre-exit 100 1", "killed 100 1"]),
        ("killed KILL", "killed 100 9", &["killed 100 15", "exit 100 9", "killed 7 9"]),
        ("killed SIGSEGV", "dumped 100 11", &["killed 100 9"]),
        ("killed 9", "killed 100 9", &["dumped 100 11"]),
        (
            "log \"a \\\"b\\\"\"",
            "log 100 say a \"b\" c",
            &["log 100 a b", "log 7 a \"b\"", "journal a.service a \"b\""],
        ),
        ("log /^a.b$/", "log 100 a-b", &["log 100 xa-b", "log 100 ab"]),
        ("log /a\\/b # c/", "log 100 a/b # c", &["log 100 a/b"]),
        ("listening 8000", "listening 100 8000", &["refused 100 8000", "listening 7 8000"]),
        ("refused 8000", "refused 100 8000", &["listening 100 8000", "refused 100 8001"]),
        ("restart in 10s", "restart-in 10s", &["restart-in 10.000001s"]),
        (
            "restart scheduled",
            "scheduled",
            &["restart-in 10s", "journal b.service Scheduled restart job, restart counter is at 1."],
        ),
        ("restart scheduled", "journal a.service Scheduled restart job, restart counter is at 1.", &[]),
        (
            "start-limit-hit",
            "journal a.service Start request repeated too quickly.",
            &["journal b.service Start request repeated too quickly."],
        ),
        ("journal \"Failed\"", "journal a.service Failed with result", &["log 100 Failed", "journal b.service Failed"]),
        ("b.service journal \"Failed\"", "journal b.service Failed", &["journal a.service Failed"]),
        ("b.service exit 3", "exit 200 3", &["exit 100 3"]),
        ("[MANUAL] log \"x\"", "log 7 x", &["log 8 x", "log 100 x"]),
        ("[MANUAL] start", "start 7 x", &["start 100 x"]),
        ("[MANUAL] listening 8000", "listening 7 8000", &["listening 100 8000"]),
        ("[MANUAL] killed TERM", "killed 7 15", &["killed 100 15"]),
    ];
    for (act, is, is_not) in ROWS {
        let claim = format!("exactly 0 {act} for 5s");
        assert_eq!(verdicts(&judge(&claim, "1min", "", &format!("1 {is}"), "5")), ["violated 1s"], "{act}: {is}");
        for event in *is_not {
            let found = verdicts(&judge(&claim, "1min", "", &format!("1 {event}"), "5"));
            assert_eq!(found, ["holds 5s"], "{act}: not {event}");
        }
    }
}

#[test]
fn conditions_see_what_was_before_the_block() {
    /// A condition, what was before, whether it is so.
    const ROWS: &[(&str, &str, bool)] = &[
        ("unit.ActiveState = active", "0 set a.service ActiveState=active", true),
        ("unit.ActiveState = active", "0 set a.service ActiveState=activating", false),
        ("unit.ActiveState = \"active\"", "0 set a.service ActiveState=active", true),
        ("unit.ActiveState != failed", "0 set a.service ActiveState=active", true),
        ("unit.ActiveState != failed", "0 set a.service ActiveState=failed", false),
        ("unit.ActiveState = [WORD]", "0 set a.service ActiveState=active", true),
        ("a.service.ActiveState = active", "0 set a.service ActiveState=active", true),
        ("a.ActiveState = active", "0 set a.service ActiveState=active", true),
        ("b.ActiveState = active", "0 set a.service ActiveState=active", false),
        ("unit.Description = \"My app\"", "0 set a.service Description=My app", true),
        ("unit.Description = \"\"", "0 set a.service Description=", true),
        ("unit.NRestarts = 3", "0 set a.service NRestarts=3", true),
        ("unit.NRestarts >= 3", "0 set a.service NRestarts=3", true),
        ("unit.NRestarts >= 4", "0 set a.service NRestarts=3", false),
        ("unit.NRestarts <= 10", "0 set a.service NRestarts=9", true),
        ("unit.NRestarts <= 3", "0 set a.service NRestarts=4", false),
        ("unit.RestartUSec = 10s", "0 set a.service RestartUSec=10s", true),
        ("unit.RestartUSec = 10", "0 set a.service RestartUSec=10s", true),
        ("unit.RestartUSec >= 1min 30s", "0 set a.service RestartUSec=90s", true),
        ("unit.RestartUSec >= 1min 30s", "0 set a.service RestartUSec=89.9s", false),
        ("unit.RestartUSec >= 5min", "0 set a.service RestartUSec=infinity", true),
        (
            "unit.NRestarts >= unit.StartLimitBurst",
            "0 set a.service NRestarts=5; 0 set a.service StartLimitBurst=5",
            true,
        ),
        ("unit.KillMode = none", "0 set a.service KillMode=none", true),
        ("port 8000 owner = none", "", true),
        ("port 8000 owner = none", "0 listening 7 8000", false),
        ("port 8000 owner = none", "0 listening 7 8000; 0 closed 7 8000", true),
        ("port 8000 owner = none", "0 start 7 x; 0 listening 7 8000; 0 exit 7 0", true),
        ("port 8000 owner != none", "0 listening 7 8000", true),
        ("port 8000 owner = [MANUAL]", "0 listening 7 8000", true),
        ("port 8000 owner = [OTHER]", "0 listening 7 8000", false),
        ("port 8000 owner = 7", "0 listening 7 8000", true),
        ("port 8000 owner = unit", "0 listening 100 8000", true),
        ("port 8000 owner = a", "0 listening 100 8000", true),
        ("port 8000 owner = a.service", "0 listening 100 8000", true),
        ("port 8000 owner = b.service", "0 listening 100 8000", false),
        ("port 8000 owner = unit", "0 listening 7 8000", false),
        ("port 8000 owner = unit.MainPID", "0 listening 100 8000; 0 set a.service MainPID=100", true),
        ("port 8000 owner = unit.MainPID", "0 set a.service MainPID=0", false),
        // Two owners: neither is the owner, and there is not none.
        ("port 8000 owner = unit", "0 listening 100 8000; 0 listening 7 8000", false),
        ("port 8000 owner = [MANUAL]", "0 listening 100 8000; 0 listening 7 8000", false),
        ("port 8000 owner = none", "0 listening 100 8000; 0 listening 7 8000", false),
        ("port 8000 owner != unit", "0 listening 100 8000; 0 listening 7 8000", true),
        ("port 8000 owners = 2", "0 listening 100 8000; 0 listening 7 8000; 0 listening 7 8000", true),
        ("port 8000 owners = 0", "0 listening 100 8001", true),
        ("port 8000 owners <= 1", "0 listening 100 8000; 0 listening 7 8000; 0 closed 7 8000", true),
        ("processes \"uvicorn\" = 2", "0 start 100 python -m uvicorn; 0 start 7 uvicorn; 0 start 8 sh", true),
        ("processes \"uvicorn\" = 1", "0 start 100 uvicorn; 0 start 7 uvicorn; 0 exit 7 0", true),
        ("processes \"uvicorn\" = 1", "0 start 100 sh; 0 exec 100 uvicorn", true),
        ("processes /uvi.*n$/ >= 1", "0 start 100 sh; 0 exec 100 uvicorn x", false),
        ("unit.A = 1 and unit.B = 2 and port 8000 owners = 0", "0 set a.service A=1; 0 set a.service B=2", true),
        ("unit.A = 1 and unit.B = 2", "0 set a.service A=1; 0 set a.service B=3", false),
    ];
    for (cond, before, wanted) in ROWS {
        let found = verdicts(&judge(&format!("eventually {cond} within 1us"), "1min", before, "", "1us"));
        assert_eq!(found, [if *wanted { "holds 0" } else { "violated 1us" }], "{cond} after {before}");
    }
}

#[test]
fn the_next_deadline_is_the_moment_that_time_alone_decides() {
    /// Claims, what happens, the next deadline after it.
    const ROWS: &[(&str, &str, Option<&str>)] = &[
        ("eventually unit.A = 1 within 5s", "", Some("5")),
        ("eventually unit.A = 1 within 5s\nnever start for 3s", "", Some("3")),
        ("eventually unit.A = 1 within 5s\nnever start for 3s", "2 start 100 x", Some("5")),
        ("3x start every 1s .. 2s", "", Some("1min")),
        ("3x start every 1s .. 2s", "4 start 100 x", Some("6")),
        ("3x start every 1s .. 2s", "59 start 100 x", Some("1min")),
        ("each cycle: start", "1 start 100 x", Some("1min")),
        ("never exit 1 for 3 cycles", "1 start 100 x", Some("1min")),
        ("never start for 1s", "1 start 100 x", None),
    ];
    for (claims, events, wanted) in ROWS {
        let parsed = parse(claims, 0..claims.len()).expect("claims");
        let mut monitor = Monitor::begin(&parsed, context("1min"), &Timeline::default(), ZERO).expect("a block");
        monitor.follow(&timeline(events));
        assert_eq!(monitor.next_deadline(), wanted.map(at), "{claims} after {events}");
    }
}

#[test]
fn a_runner_that_follows_the_deadlines_ends_every_block() {
    const CLAIMS: &str = "3x start every 1s .. 2s\neach cycle: exit 1\nin order: start, exit 1\neventually unit.A = 1\n\
        always port 8000 owner = none for 3 cycles\nnever exit 2 for 5min\nexactly 1 start\nat least 2 start\noutage <= 1s\n";
    for events in
        ["", "1 start 100 x", "1 start 100 x; 2 exit 100 1; 3 start 101 x; 5 start 102 x; 6 start 103 x; 6 get refused"]
    {
        let parsed = parse(CLAIMS, 0..CLAIMS.len()).expect("claims");
        let mut monitor = Monitor::begin(&parsed, context("1min"), &Timeline::default(), ZERO).expect("a block");
        monitor.follow(&timeline(events));
        let mut steps = 0;
        while let Some(deadline) = monitor.next_deadline() {
            monitor.advance(deadline);
            steps += 1;
            assert!(steps <= 9, "every deadline decides a claim");
        }
        assert!(!monitor.is_open());
        let last = monitor.claims().iter().filter_map(|claim| claim.decided_at).max();
        assert_eq!(last, Some(at("5min")));
    }
}

#[test]
fn evidence_points_at_the_events_that_decided() {
    let monitor =
        judge("2x log \"x\" every 1s .. 2s", "1min", "0 start 100 p", "1 log 100 x; 1 log 100 y; 2 log 100 x", "9");
    assert_eq!(monitor.claims()[0].evidence, [1, 3]);
    let monitor =
        judge("always port 8000 owner = [MANUAL]", "1min", "0 listening 7 8000", "1 log 7 bye; 2 exit 7 0", "9");
    assert_eq!(monitor.claims()[0].evidence, [2]);
    assert_eq!(monitor.claims()[0].reason, "port 8000 owner is none");
    let many: String = (1..200).map(|n| format!("{n} log 100 x;")).collect();
    let monitor = judge("at least 199 log \"x\"", "1h", "", &many, "200");
    let evidence = &monitor.claims()[0].evidence;
    assert_eq!((evidence.len(), evidence[0], evidence[31]), (32, 0, 198), "the first and the last are kept");
}

#[test]
fn names_must_be_bound_and_processes_be_numbers() {
    for (claim, message) in [
        ("never [NOBODY] start", "`[NOBODY]` is not bound"),
        ("always port 8000 owner = [NOBODY]", "`[NOBODY]` is not bound"),
        ("never [WORD] start", "`[WORD]` is `active`, which is not a PID"),
    ] {
        let parsed = parse(claim, 0..claim.len()).expect("a claim");
        let error = Monitor::begin(&parsed, context("1min"), &Timeline::default(), ZERO).expect_err("not bound");
        assert_eq!(error.message, message);
        assert!(claim[error.span].starts_with('['));
    }
}

#[test]
fn a_monitor_may_begin_with_a_state_that_was_kept() {
    let before = timeline("0 listening 7 8000; 0 set a.service ActiveState=active");
    let mut state = State::default();
    before.events().iter().for_each(|event| state.apply(event));
    assert_eq!(state.owners(8000), [7]);
    assert_eq!(state.property(UNIT, "ActiveState"), Some("active"));
    let claim = "always port 8000 owner = [MANUAL] for 1s";
    let parsed = parse(claim, 0..claim.len()).expect("a claim");
    let mut monitor = Monitor::resume(&parsed, context("1min"), state, before.events().len(), ZERO).expect("a block");
    monitor.follow(&before);
    monitor.advance(at("1"));
    assert_eq!(verdicts(&monitor), ["holds 1s"]);
}
