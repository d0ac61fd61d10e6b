//! Timelines and verdicts as text, for tables of claims.

use std::collections::BTreeMap;

use relapse::expect::{Context, Judged, Monitor, Verdict, parse};
use relapse::time::{IncidentTime, Span};
use relapse::timeline::{Answer, Ended, EventKind, Timeline, brief};

pub const UNIT: &str = "a.service";

/// Moments are written as seconds after this one.
pub const ZERO: IncidentTime = IncidentTime::from_micros(1_768_566_000_000_000);

pub fn at(seconds: &str) -> IncidentTime {
    ZERO + Span::parse(seconds).unwrap_or_else(|error| panic!("{seconds}: {error}"))
}

/// Reads `SECONDS WORD…` lines; PIDs below 100 belong to no unit, from 200 on to `b.service`, others to `a.service`.
pub fn timeline(text: &str) -> Timeline {
    let mut timeline = Timeline::default();
    for line in text.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let (time, event) = line.split_once(' ').unwrap_or_else(|| panic!("{line}: an event"));
        timeline.push(at(time), event_of(event));
    }
    timeline
}

pub fn unit_of(pid: u32) -> Option<String> {
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
    Context { unit: UNIT.into(), vars, budget: Span::parse(budget).expect("a span"), slack: Span::ZERO }
}

/// A request is sent when it is answered, unless the timeline says otherwise.
pub fn mend(timeline: Timeline) -> Timeline {
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
pub fn judge(claims: &str, budget: &str, before: &str, after: &str, end: &str) -> Monitor {
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
pub fn verdicts(monitor: &Monitor) -> Vec<String> {
    let show = |claim: &Judged| match (claim.verdict, claim.decided_at) {
        (Verdict::Open, None) => "open".to_owned(),
        (Verdict::Holds, Some(when)) => format!("holds {}", brief(when.since(ZERO))),
        (Verdict::Violated, Some(when)) => format!("violated {}", brief(when.since(ZERO))),
        other => panic!("{other:?} makes no sense"),
    };
    monitor.claims().iter().map(show).collect()
}

/// Claim; what was before; what happens; until when nothing more happens; the verdict and its moment.
pub type Row<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

pub fn check(rows: &[Row<'_>]) {
    for (claim, before, after, end, wanted) in rows {
        let monitor = judge(claim, "1min", before, after, end);
        assert_eq!(verdicts(&monitor), [*wanted], "{claim}\n  before: {before}\n  after: {after}\n  end: {end}");
        let claim = &monitor.claims()[0];
        assert_eq!(claim.reason.is_empty(), claim.verdict == Verdict::Open, "{claim:?}");
        assert_eq!(monitor.is_open(), claim.verdict == Verdict::Open);
        assert_eq!(monitor.next_deadline().is_some(), monitor.is_open());
    }
}
