//! Claims over timelines: for every form one that holds, one that is violated, and both sides of every boundary.

use std::collections::BTreeMap;

use relapse::expect::{Context, Monitor, State, Verdict, parse};
use relapse::time::{IncidentTime, Span};
use relapse::timeline::{Answer, Ended, EventKind, Timeline, brief};

const UNIT: &str = "a.service";

/// Moments are written as seconds after this one.
const ZERO: IncidentTime = IncidentTime::from_micros(1_768_566_000_000_000);

fn at(seconds: &str) -> IncidentTime {
    ZERO + Span::parse(seconds).unwrap_or_else(|error| panic!("{seconds}: {error}"))
}

/// Reads `SECONDS WORD…` lines; PIDs below 100 belong to no unit, from 200 on to `b.service`, others to `a.service`.
fn timeline(text: &str) -> Timeline {
    let mut timeline = Timeline::default();
    for line in text.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let (time, event) = line.split_once(' ').unwrap_or_else(|| panic!("{line}: an event"));
        timeline.push(at(time), event_of(event));
    }
    timeline
}

fn unit_of(pid: u32) -> Option<String> {
    match pid {
        0..100 => None,
        100..200 => Some(UNIT.into()),
        _ => Some("b.service".into()),
    }
}

/// Reads one event, without its time.
pub fn event_of(text: &str) -> EventKind {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |index: usize| words[index].parse::<u32>().unwrap_or_else(|_| panic!("{text}: a number"));
    let port = |index: usize| u16::try_from(number(index)).unwrap_or_else(|_| panic!("{text}: a port"));
    let rest = |index: usize| words[index..].join(" ");
    let role = |pid: u32| unit_of(pid).map(|_| "ExecStart".to_owned());
    match words[0] {
        "start" => {
            let pid = number(1);
            EventKind::Start { unit: unit_of(pid), role: role(pid), pid, ppid: 1, cmdline: rest(2) }
        }
        "pre" => {
            let pid = number(1);
            let role = Some("ExecStartPre".into());
            EventKind::Start { unit: unit_of(pid), role, pid, ppid: 1, cmdline: rest(2) }
        }
        "exec" => EventKind::Exec { pid: number(1), cmdline: rest(2) },
        "exit" | "killed" | "dumped" | "pre-exit" => {
            let pid = number(1);
            let code = number(2);
            let signal = i32::try_from(code).expect("a small number");
            let ended = match words[0] {
                "killed" => Ended::Killed(signal),
                "dumped" => Ended::Dumped(signal),
                _ => Ended::Exited(u8::try_from(code).expect("an exit code")),
            };
            let role = if words[0] == "pre-exit" { Some("ExecStartPre".into()) } else { role(pid) };
            EventKind::Exit { unit: unit_of(pid), role, pid, ended }
        }
        "log" => {
            let pid = number(1);
            EventKind::Log { unit: unit_of(pid), pid: Some(pid), stream: "stdout".into(), line: rest(2) }
        }
        "listening" => {
            let pid = number(1);
            EventKind::Listening { unit: unit_of(pid), pid, address: "0.0.0.0".into(), port: port(2) }
        }
        "closed" => EventKind::Closed { pid: number(1), address: "0.0.0.0".into(), port: port(2) },
        "refused" => {
            let pid = number(1);
            let errno = "EADDRINUSE".into();
            EventKind::Refused { unit: unit_of(pid), pid, address: "0.0.0.0".into(), port: port(2), errno }
        }
        "journal" => {
            EventKind::Journal { unit: Some(words[1].into()), priority: 6, message_id: None, message: rest(2) }
        }
        "scheduled" => EventKind::Journal {
            unit: Some(UNIT.into()),
            priority: 6,
            message_id: Some("5eb03494b6584870a536b337290809b3".into()),
            message: "worded by another version".into(),
        },
        "restart-in" => EventKind::RestartIn { unit: UNIT.into(), delay: Span::parse(words[1]).expect("a span") },
        "set" => {
            let (name, value) = words[2].split_once('=').expect("NAME=VALUE");
            let value = [&[value], &words[3..]].concat().join(" ");
            EventKind::Properties { unit: words[1].into(), changed: BTreeMap::from([(name.to_owned(), value)]) }
        }
        "get" => {
            let answer = match words[1] {
                "ok" => Answer::Status(200),
                "error" => Answer::Status(500),
                "refused" => Answer::Refused,
                "reset" => Answer::Reset,
                _ => Answer::Timeout,
            };
            let sent = words.get(2).map_or(IncidentTime::NEVER, |sent| at(sent));
            EventKind::Request { port: 8000, answer, pid: None, sent }
        }
        other => panic!("no event `{other}`"),
    }
}

/// The unit is `a.service`; `[MANUAL]` is 7.
pub fn context(budget: &str) -> Context {
    let vars = [("MANUAL", "7"), ("OTHER", "8"), ("WORD", "active")];
    let vars = vars.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect();
    Context { unit: UNIT.into(), vars, budget: Span::parse(budget).expect("a span") }
}

/// A request is sent when it is answered, unless the timeline says otherwise.
fn mend(timeline: Timeline) -> Timeline {
    let mut mended = Timeline::default();
    for event in timeline.events() {
        let mut kind = event.kind.clone();
        if let EventKind::Request { sent, .. } = &mut kind
            && *sent == IncidentTime::NEVER
        {
            *sent = event.at;
        }
        mended.push(event.at, kind);
    }
    mended
}

/// Judges the claims at zero, after what was before, up to and including the end.
fn judge(claims: &str, budget: &str, before: &str, after: &str, end: &str) -> Monitor {
    let parsed = parse(claims, 0..claims.len()).unwrap_or_else(|error| panic!("{claims}: {}", error.message));
    let mut all = mend(timeline(before));
    let mut monitor = Monitor::begin(&parsed, context(budget), &all, ZERO)
        .unwrap_or_else(|error| panic!("{claims}: {}", error.message));
    for event in mend(timeline(after)).events() {
        all.push(event.at, event.kind.clone());
        monitor.follow(&all);
    }
    monitor.advance(at(end));
    monitor
}

/// `holds 5s`, `violated 5s` or `open`.
fn verdicts(monitor: &Monitor) -> Vec<String> {
    let show = |claim: &relapse::expect::Judged| match (claim.verdict, claim.decided_at) {
        (Verdict::Open, None) => "open".to_owned(),
        (Verdict::Holds, Some(when)) => format!("holds {}", brief(when.since(ZERO))),
        (Verdict::Violated, Some(when)) => format!("violated {}", brief(when.since(ZERO))),
        other => panic!("{other:?} makes no sense"),
    };
    monitor.claims().iter().map(show).collect()
}

/// Claim; what was before; what happens; until when nothing more happens; the verdict and its moment.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

fn check(rows: &[Row<'_>]) {
    for (claim, before, after, end, wanted) in rows {
        let monitor = judge(claim, "1min", before, after, end);
        assert_eq!(verdicts(&monitor), [*wanted], "{claim}\n  before: {before}\n  after: {after}\n  end: {end}");
        let claim = &monitor.claims()[0];
        assert_eq!(claim.reason.is_empty(), claim.verdict == Verdict::Open, "{claim:?}");
        assert_eq!(monitor.is_open(), claim.verdict == Verdict::Open);
        assert_eq!(monitor.next_deadline().is_some(), monitor.is_open());
    }
}

#[test]
fn repeats_are_counted_and_their_distances_measured() {
    const CLAIM: &str = "3x log \"FSM\" every 14s .. 15s";
    check(&[
        (CLAIM, "", "1 log 100 FSM; 15 log 100 FSM; 30 log 100 FSM", "30", "holds 30s"),
        (CLAIM, "", "1 log 100 FSM; 15 log 100 FSM", "29.999999", "open"),
        // Both ends of the range belong to it, and not a microsecond more.
        (CLAIM, "", "1 log 100 FSM; 14.999999 log 100 FSM", "15", "violated 14.999999s"),
        (CLAIM, "", "1 log 100 FSM; 16 log 100 FSM; 31 log 100 FSM", "31", "holds 31s"),
        (CLAIM, "", "1 log 100 FSM; 16.000001 log 100 FSM", "17", "violated 16s"),
        // Without another event time alone decides.
        (CLAIM, "", "1 log 100 FSM", "15.999999", "open"),
        (CLAIM, "", "1 log 100 FSM", "16", "violated 16s"),
        (CLAIM, "", "", "59.999999", "open"),
        (CLAIM, "", "", "1min", "violated 1min"),
        (CLAIM, "", "50 log 100 FSM", "1min", "violated 1min"),
        // Others' lines, and lines before the block, do not count.
        (CLAIM, "", "1 log 100 FSM; 8 log 7 FSM; 9 log 200 FSM; 15 log 100 FSM; 30 log 100 FSM", "30", "holds 30s"),
        (CLAIM, "0 log 100 FSM", "14 log 100 FSM; 28 log 100 FSM", "28", "open"),
        // A single distance is a range as well.
        ("2x start every 14.5s .. 14.5s", "", "1 start 100 x; 15.5 start 101 x", "20", "holds 15.5s"),
        ("2x start every 14.5s .. 14.5s", "", "1 start 100 x; 15.500001 start 101 x", "20", "violated 15.5s"),
        ("2x start every 0s .. 0s", "", "1 start 100 x; 1 start 101 x", "1", "holds 1s"),
    ]);
}

/// A cycle of five seconds that begins at `from`: start, log, refusal, exit, restart.
fn cycle(from: u32, pid: u32) -> String {
    format!(
        "{from} start {pid} uvicorn; {} log {pid} FSM; {} refused {pid} 8000; {} exit {pid} 1; {} restart-in 4s;",
        from + 1,
        from + 1,
        from + 1,
        from + 1
    )
}

#[test]
fn each_cycle_has_its_events_in_order() {
    const CLAIM: &str = "each cycle: start, log \"FSM\", refused 8000, exit 1, restart in 4s";
    let whole: String = (0..4).map(|n| cycle(5 * n, 100 + n)).collect();
    let late: String =
        "2 exit 99 1; 3 log 99 FSM;".to_owned() + &(1..5).map(|n| cycle(5 * n, 100 + n)).collect::<String>();
    let without_log = whole.replace("6 log 101 FSM;", "");
    let other_order = whole.replace("6 log 101 FSM; 6 refused 101 8000;", "6 refused 101 8000; 6 log 101 FSM;");
    check(&[
        // The start that ends the third cycle decides.
        (CLAIM, "", &whole, "15", "holds 15s"),
        (CLAIM, "", whole.split("15 start").next().unwrap_or_default(), "14.999999", "open"),
        (CLAIM, "", &without_log, "20", "violated 10s"),
        (CLAIM, "", &other_order, "20", "violated 10s"),
        // What is left of a cycle that began before the block is not judged.
        (CLAIM, "0 start 99 uvicorn", &late, "20", "holds 20s"),
        // A loop that stops was no loop.
        (
            CLAIM,
            "",
            "0 start 100 x; 1 log 100 FSM; 1 refused 100 8000; 1 exit 100 1; 1 restart-in 4s; 5 start 101 x",
            "1min",
            "violated 1min",
        ),
        (CLAIM, "", "", "1min", "violated 1min"),
        ("each cycle: restart in 4s", "", &whole, "15", "holds 15s"),
        ("each cycle: restart in 5s", "", &whole, "15", "violated 5s"),
        ("each cycle: exit 1, exit 1", "", &whole, "15", "violated 5s"),
    ]);
}

#[test]
fn each_cycle_is_judged_as_long_as_the_block_lasts() {
    let cycles: String = (0..6).map(|n| cycle(5 * n, 100 + n)).collect();
    let monitor = judge("5x start every 5s .. 5s\neach cycle: log \"FSM\"", "1min", "", &cycles, "30");
    assert_eq!(verdicts(&monitor), ["holds 20s", "holds 20s"]);
    let broken = cycles.replace("16 log 103 FSM;", "");
    let monitor = judge("5x start every 5s .. 5s\neach cycle: log \"FSM\"", "1min", "", &broken, "30");
    assert_eq!(verdicts(&monitor), ["holds 20s", "violated 20s"]);
    // What comes after the block's end is not part of it.
    let broken = cycles.replace("21 log 104 FSM;", "");
    let monitor = judge("5x start every 5s .. 5s\neach cycle: log \"FSM\"", "1min", "", &broken, "30");
    assert_eq!(verdicts(&monitor), ["holds 20s", "holds 20s"]);
}

#[test]
fn events_in_order_may_have_others_between_them() {
    const CLAIM: &str = "in order: start, log /FSM .*ing/, [MANUAL] exit 0, listening 8000";
    check(&[
        (
            CLAIM,
            "",
            "1 start 100 x; 2 log 100 FSM Running; 3 log 100 more; 4 exit 7 0; 4 listening 100 8000",
            "4",
            "holds 4s",
        ),
        (CLAIM, "", "1 log 100 FSM Running; 2 start 100 x; 4 exit 7 0; 4 listening 100 8000", "59", "open"),
        (CLAIM, "", "1 log 100 FSM Running; 2 start 100 x; 4 exit 7 0; 4 listening 100 8000", "1min", "violated 1min"),
        (CLAIM, "", "1 start 100 x; 2 log 100 FSM Running; 4 exit 8 0; 4 listening 100 8000", "1min", "violated 1min"),
        ("in order: start", "0 start 99 x", "1min start 100 x", "1min", "holds 1min"),
        ("in order: start, start", "", "1 start 100 x", "1min", "violated 1min"),
    ]);
}

#[test]
fn eventually_is_decided_by_the_first_moment_that_is_so() {
    check(&[
        ("eventually unit.ActiveState = failed", "", "5 set a.service ActiveState=failed", "5", "holds 5s"),
        ("eventually unit.ActiveState = failed", "0 set a.service ActiveState=failed", "", "0", "holds 0"),
        ("eventually unit.ActiveState = failed", "", "5 set b.service ActiveState=failed", "59.999999", "open"),
        ("eventually unit.ActiveState = failed", "", "5 set b.service ActiveState=failed", "1min", "violated 1min"),
        // The last moment of the window belongs to it.
        ("eventually unit.ActiveState = failed within 5s", "", "5 set a.service ActiveState=failed", "5", "holds 5s"),
        (
            "eventually unit.ActiveState = failed within 5s",
            "",
            "5.000001 set a.service ActiveState=failed",
            "6",
            "violated 5s",
        ),
        ("eventually unit.ActiveState = failed within 5s", "", "", "4.999999", "open"),
        ("eventually unit.ActiveState = failed within 5s", "", "", "5", "violated 5s"),
        // A window of its own may outlast the budget.
        (
            "eventually unit.ActiveState = failed within 2min",
            "",
            "119 set a.service ActiveState=failed",
            "2min",
            "holds 1min 59s",
        ),
        // Both terms at one moment.
        (
            "eventually unit.ActiveState = active and port 8000 owner = unit",
            "",
            "1 set a.service ActiveState=active; 2 set a.service ActiveState=failed; 3 listening 100 8000",
            "1min",
            "violated 1min",
        ),
        (
            "eventually unit.ActiveState = active and port 8000 owner = unit",
            "",
            "1 set a.service ActiveState=active; 3 listening 100 8000",
            "4",
            "holds 3s",
        ),
    ]);
}

#[test]
fn always_is_violated_by_the_first_moment_that_is_not_so() {
    const CLAIM: &str = "always unit.ActiveState = active for 5s";
    const ACTIVE: &str = "0 set a.service ActiveState=active";
    check(&[
        (CLAIM, ACTIVE, "", "5", "holds 5s"),
        (CLAIM, ACTIVE, "", "4.999999", "open"),
        (CLAIM, ACTIVE, "5 set a.service ActiveState=failed", "5", "violated 5s"),
        (CLAIM, ACTIVE, "5.000001 set a.service ActiveState=failed", "6", "holds 5s"),
        (CLAIM, ACTIVE, "1 set a.service ActiveState=failed; 1 set a.service ActiveState=active", "5", "violated 1s"),
        (CLAIM, "", "", "0", "violated 0"),
        (CLAIM, "0 set a.service ActiveState=failed", "", "0", "violated 0"),
        ("always unit.ActiveState = active", ACTIVE, "", "1min", "holds 1min"),
        ("always unit.ActiveState = active", ACTIVE, "59 set a.service ActiveState=failed", "1min", "violated 59s"),
        // Whole cycles: the start that ends the second one ends the window, and is not in it.
        (
            "always unit.ActiveState = active for 2 cycles",
            ACTIVE,
            "1 start 100 x; 6 start 101 x; 11 start 102 x",
            "11",
            "holds 11s",
        ),
        (
            "always unit.ActiveState = active for 2 cycles",
            ACTIVE,
            "1 start 100 x; 6 start 101 x",
            "1min",
            "violated 1min",
        ),
        (
            "always unit.ActiveState = active for 2 cycles",
            ACTIVE,
            "0.5 set a.service ActiveState=failed; 1 start 100 x",
            "1",
            "violated 500ms",
        ),
        (
            "always processes \"uvicorn\" = 1 for 1 cycles",
            "0 start 99 uvicorn",
            "1 start 100 nginx; 6 start 101 uvicorn",
            "6",
            "holds 6s",
        ),
    ]);
}

#[test]
fn never_is_violated_by_the_first_time() {
    check(&[
        ("never listening 8000 for 5s", "", "", "4.999999", "open"),
        ("never listening 8000 for 5s", "", "", "5", "holds 5s"),
        ("never listening 8000 for 5s", "", "5 listening 100 8000", "5", "violated 5s"),
        ("never listening 8000 for 5s", "", "5.000001 listening 100 8000", "6", "holds 5s"),
        ("never listening 8000 for 5s", "0 listening 100 8000", "", "5", "holds 5s"),
        (
            "never listening 8000 for 5s",
            "",
            "1 listening 100 8001; 2 listening 7 8000; 3 listening 200 8000",
            "5",
            "holds 5s",
        ),
        ("never listening 8000", "", "", "59.999999", "open"),
        ("never listening 8000", "", "", "1min", "holds 1min"),
        ("never b.service listening 8000 for 5s", "", "3 listening 200 8000", "5", "violated 3s"),
        ("never [MANUAL] exit 143 for 5s", "", "3 exit 7 143", "5", "violated 3s"),
        (
            "never exit 1 for 3 cycles",
            "",
            "1 start 100 x; 2 start 101 x; 3 start 102 x; 4 start 103 x",
            "4",
            "holds 4s",
        ),
        (
            "never exit 1 for 3 cycles",
            "",
            "1 start 100 x; 2 start 101 x; 3 start 102 x; 3.5 exit 102 1; 4 start 103 x",
            "4",
            "violated 3.5s",
        ),
        // An absence in a loop that is not there proves nothing.
        ("never exit 1 for 3 cycles", "", "1 start 100 x; 2 start 101 x; 3 start 102 x", "1min", "violated 1min"),
        // Conditions.
        ("never unit.ActiveState = failed for 5s", "0 set a.service ActiveState=active", "", "5", "holds 5s"),
        ("never unit.ActiveState = failed for 5s", "0 set a.service ActiveState=failed", "", "0", "violated 0"),
        ("never unit.ActiveState = failed for 5s", "", "5 set a.service ActiveState=failed", "5", "violated 5s"),
        ("never port 8000 owners >= 2 for 5s", "0 listening 7 8000", "4 listening 100 8000", "5", "violated 4s"),
        // A property that nobody ever showed is a slip of the pen.
        ("never unit.ActivState = failed for 5s", "0 set a.service ActiveState=active", "", "5", "violated 5s"),
        ("never unit.Result >= 3 for 5s", "0 set a.service Result=success", "", "5", "violated 5s"),
    ]);
}

#[test]
fn numbers_of_events_have_bounds() {
    const TWO: &str = "1 start 100 x; 5 start 101 x";
    const THREE: &str = "1 start 100 x; 3 start 101 x; 5 start 102 x";
    check(&[
        ("exactly 2 start for 5s", "", TWO, "5", "holds 5s"),
        ("exactly 2 start for 5s", "", TWO, "4.999999", "open"),
        ("exactly 2 start for 5s", "", THREE, "5", "violated 5s"),
        ("exactly 2 start for 5s", "", "1 start 100 x; 5.000001 start 101 x", "6", "violated 5s"),
        ("exactly 0 start for 5s", "", "", "5", "holds 5s"),
        ("exactly 0 start for 5s", "", TWO, "5", "violated 1s"),
        ("exactly 2 start", "", TWO, "1min", "holds 1min"),
        ("at least 2 start for 5s", "", TWO, "5", "holds 5s"),
        ("at least 3 start for 5s", "", TWO, "5", "violated 5s"),
        ("at least 3 start", "", TWO, "59", "open"),
        ("at least 3 start", "", TWO, "1min", "violated 1min"),
        ("at most 2 start for 5s", "", TWO, "5", "holds 5s"),
        ("at most 2 start for 5s", "", THREE, "5", "violated 5s"),
        ("at most 0 start", "", "", "1min", "holds 1min"),
        // Whole cycles are counted from their first start on; the start that ends the last is not in it.
        (
            "exactly 2 log \"x\" for 2 cycles",
            "",
            "0 log 100 x; 1 start 100 p; 2 log 100 x; 3 start 101 p; 4 log 101 x; 5 start 102 p",
            "5",
            "holds 5s",
        ),
        ("exactly 2 start for 2 cycles", "", THREE, "5", "holds 5s"),
        (
            "at most 1 log \"x\" for 2 cycles",
            "",
            "1 start 100 p; 2 log 100 x; 3 start 101 p; 4 log 101 x",
            "4",
            "violated 4s",
        ),
        (
            "at least 1 log \"x\" for 2 cycles",
            "",
            "0 log 100 x; 1 start 100 p; 3 start 101 p; 5 start 102 p",
            "5",
            "violated 5s",
        ),
        ("exactly 2 start for 2 cycles", "", TWO, "1min", "violated 1min"),
    ]);
}

#[test]
fn an_outage_lasts_from_the_first_request_that_failed_to_the_first_that_did_not() {
    const TWO_SECONDS: &str = "1 get ok; 2 get refused; 3 get refused; 4 get ok; 5 get ok";
    check(&[
        ("outage <= 2s", "", TWO_SECONDS, "1min", "holds 1min"),
        ("outage <= 1.999999s", "", TWO_SECONDS, "1min", "violated 4s"),
        ("outage <= 0.5s", "", TWO_SECONDS, "1min", "violated 3s"),
        ("outage >= 2s", "", TWO_SECONDS, "1min", "holds 4s"),
        ("outage >= 2.000001s", "", TWO_SECONDS, "1min", "violated 1min"),
        ("outage = 2s", "", TWO_SECONDS, "1min", "holds 1min"),
        ("outage = 1s", "", TWO_SECONDS, "1min", "violated 4s"),
        ("outage = 3s", "", TWO_SECONDS, "1min", "violated 1min"),
        ("outage = 0s", "", "1 get ok; 2 get error", "1min", "holds 1min"),
        // A request that fails late has failed since it was sent.
        ("outage <= 3s", "", "1 get ok; 4 get timeout 2; 5 get ok", "1min", "holds 1min"),
        ("outage <= 2.9s", "", "1 get ok; 4 get timeout 2; 5 get ok", "1min", "violated 5s"),
        // Several outages add up.
        ("outage <= 2s", "", "1 get refused; 2 get ok; 3 get ok; 4 get reset; 5 get ok", "1min", "holds 1min"),
        ("outage <= 1.5s", "", "1 get refused; 2 get ok; 3 get ok; 4 get reset; 5 get ok", "1min", "violated 5s"),
        // One that was there before the block counts in full; one that does not end cannot be short.
        ("outage <= 4s", "", "3 get refused", "1min", "violated 1min"),
        ("outage >= 57s", "", "3 get refused", "1min", "holds 1min"),
        // Without a client there is nothing to see.
        ("outage <= 4s", "", "", "1min", "violated 1min"),
    ]);
    let monitor = judge("outage <= 4s", "1min", "0 get refused", "2 get refused; 4.000001 get ok", "1min");
    assert_eq!(verdicts(&monitor), ["violated 4.000001s"]);
}

#[test]
fn an_outage_is_judged_as_long_as_the_block_lasts_and_until_it_is_over() {
    const CLAIMS: &str = "eventually unit.ActiveState = active\noutage <= 5s";
    let up = judge(CLAIMS, "1min", "", "1 get ok; 2 set a.service ActiveState=active; 3 get refused", "1min");
    assert_eq!(verdicts(&up), ["holds 2s", "holds 2s"]);
    let down = judge(CLAIMS, "1min", "", "1 get refused; 2 set a.service ActiveState=active; 3 get refused", "30");
    assert_eq!(verdicts(&down), ["holds 2s", "open"]);
    let back = judge(CLAIMS, "1min", "", "1 get refused; 2 set a.service ActiveState=active; 4 get ok", "30");
    assert_eq!(verdicts(&back), ["holds 2s", "holds 4s"]);
    let unseen = judge(CLAIMS, "1min", "", "2 set a.service ActiveState=active", "30");
    assert_eq!(verdicts(&unseen), ["holds 2s", "open"], "no request yet");
}

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
