//! The timeline as text.

use std::collections::BTreeMap;

use relapse::time::{IncidentTime, Span};
use relapse::timeline::{
    Answer, Ended, EventKind, Timeline, brief, printable, render, render_range, signal_name, signal_number,
};

/// 2026-01-16 12:28:18.
pub const START: IncidentTime = IncidentTime::from_micros(1_768_566_498_000_000);

/// One event of every kind.
fn every_kind() -> Timeline {
    let unit = || Some("lumiera-whatsapp.service".to_owned());
    let events = vec![
        EventKind::Phase { title: "The service starts".into() },
        EventKind::Command { command: "cat <<EOF\nx\nEOF".into(), line: 3 },
        EventKind::CommandEnded { command: "cat <<EOF\nx\nEOF".into(), line: 3, status: 1 },
        EventKind::Start { unit: None, role: None, pid: 7, ppid: 1, cmdline: "/opt/venv/bin/python -m uvicorn".into() },
        EventKind::Start {
            unit: unit(),
            role: Some("ExecStartPre".into()),
            pid: 100,
            ppid: 1,
            cmdline: "/bin/true".into(),
        },
        EventKind::Exit { unit: unit(), role: Some("ExecStartPre".into()), pid: 100, ended: Ended::Exited(0) },
        EventKind::Start {
            unit: unit(),
            role: Some("ExecStart".into()),
            pid: 101,
            ppid: 1,
            cmdline: "/bin/sh -c run".into(),
        },
        EventKind::Exec { pid: 7, cmdline: "/bin/node server.js".into() },
        EventKind::Log { unit: unit(), pid: Some(101), stream: "stdout".into(), line: "FSM Running".into() },
        EventKind::Log { unit: unit(), pid: None, stream: "stdout".into(), line: "from a file".into() },
        EventKind::Log { unit: None, pid: None, stream: "/var/log/app.log".into(), line: "from a file".into() },
        EventKind::Listening { unit: None, pid: 7, address: "0.0.0.0".into(), port: 8000 },
        EventKind::Refused {
            unit: unit(),
            pid: 101,
            address: "0.0.0.0".into(),
            port: 8000,
            errno: "EADDRINUSE".into(),
        },
        EventKind::Closed { pid: 7, address: "0.0.0.0".into(), port: 8000 },
        EventKind::Journal {
            unit: unit(),
            priority: 6,
            message_id: None,
            message: "lumiera-whatsapp.service: Failed with result 'exit-code'.".into(),
        },
        EventKind::Journal { unit: None, priority: 6, message_id: None, message: "Reloading.".into() },
        EventKind::Properties {
            unit: "lumiera-whatsapp.service".into(),
            changed: BTreeMap::from([
                ("ActiveState".into(), "activating".into()),
                ("SubState".into(), "auto-restart".into()),
            ]),
        },
        EventKind::RestartIn { unit: "a.socket".into(), delay: Span::from_millis(10_500) },
        EventKind::Signal { by: "kill".into(), pid: 7, signal: 15 },
        EventKind::Exit { unit: None, role: None, pid: 7, ended: Ended::Killed(15) },
        EventKind::Exit { unit: unit(), role: None, pid: 101, ended: Ended::Dumped(64) },
        EventKind::Request { port: 8000, answer: Answer::Status(200), pid: Some(7), sent: START },
        EventKind::Request { port: 8000, answer: Answer::Refused, pid: None, sent: START },
        EventKind::Request { port: 8000, answer: Answer::Timeout, pid: None, sent: START },
        EventKind::Request { port: 8000, answer: Answer::Reset, pid: None, sent: START },
        EventKind::Log {
            unit: None,
            pid: Some(9),
            stream: "stdout".into(),
            line: "\u{1b}[31mred\u{1b}[0m\r\u{7}".into(),
        },
    ];
    let mut timeline = Timeline::default();
    for (index, event) in events.into_iter().enumerate() {
        timeline.push(START + Span::from_millis(250 * index as u64), event);
    }
    timeline
}

#[test]
fn every_kind_of_event_has_its_line() {
    insta::assert_snapshot!(render(&every_kind()), @r#"
    12:28:18.000 ## The service starts
    12:28:18.250 $ cat <<EOF ⏎ x ⏎ EOF
    12:28:18.500 ? 1
    12:28:18.750 python[7] start /opt/venv/bin/python -m uvicorn
    12:28:19.000 lumiera-whatsapp[100] ExecStartPre start /bin/true
    12:28:19.250 lumiera-whatsapp[100] exit 0
    12:28:19.500 lumiera-whatsapp[101] start /bin/sh -c run
    12:28:19.750 node[7] exec /bin/node server.js
    12:28:20.000 lumiera-whatsapp[101] log "FSM Running"
    12:28:20.250 lumiera-whatsapp log "from a file"
    12:28:20.500 /var/log/app.log log "from a file"
    12:28:20.750 node[7] listening 8000 on 0.0.0.0
    12:28:21.000 lumiera-whatsapp[101] refused 8000 on 0.0.0.0 (EADDRINUSE)
    12:28:21.250 node[7] closed 8000 on 0.0.0.0
    12:28:21.500 lumiera-whatsapp journal "lumiera-whatsapp.service: Failed with result 'exit-code'."
    12:28:21.750 manager journal "Reloading."
    12:28:22.000 lumiera-whatsapp ActiveState=activating SubState=auto-restart
    12:28:22.250 a.socket restart in 10.5s
    12:28:22.500 node[7] gets TERM from kill
    12:28:22.750 node[7] killed TERM
    12:28:23.000 lumiera-whatsapp[101] killed 64 (core dumped)
    12:28:23.250 client asks 8000: 200 by node[7]
    12:28:23.500 client asks 8000: refused
    12:28:23.750 client asks 8000: timeout
    12:28:24.000 client asks 8000: reset
    12:28:24.250 [9] log "␛[31mred␛[0m␍␇"
    "#);
}

#[test]
fn a_part_of_the_timeline_knows_the_names_from_before() {
    let timeline = every_kind();
    let lines = render_range(&timeline, 11..12);
    assert_eq!(lines, ["12:28:20.750 node[7] listening 8000 on 0.0.0.0"]);
    assert_eq!(render_range(&timeline, 25..99).len(), 1);
    assert_eq!(render_range(&timeline, 99..100).len(), 0);
}

#[test]
fn a_long_line_is_cut_off() {
    let mut timeline = Timeline::default();
    let line = "é".repeat(10_000);
    timeline.push(START, EventKind::Log { unit: None, pid: Some(1), stream: "stdout".into(), line });
    let text = render(&timeline);
    assert_eq!(text.trim_end().chars().count(), 201);
    assert!(text.trim_end().ends_with('…'));
}

#[test]
fn spans_are_brief() {
    const ROWS: &[(u64, &str)] = &[
        (0, "0"),
        (1, "1us"),
        (14_500_000, "14.5s"),
        (14_000_000, "14s"),
        (4_400, "4.4ms"),
        (90_000_001, "1min 30.000001s"),
        (100_000, "100ms"),
        (u64::MAX, "infinity"),
    ];
    for (micros, wanted) in ROWS {
        let span = Span::from_micros(*micros);
        assert_eq!(brief(span), *wanted);
        assert_eq!(Span::parse(&brief(span)), Ok(span));
    }
}

#[test]
fn nothing_printable_is_changed() {
    for text in ["", "plain", "tab\tstays", "ünïcödé ✓ 日本語"] {
        assert_eq!(printable(text), text);
    }
    assert_eq!(printable("\u{0}\u{1b}]0;x\u{7}\n\u{7f}\u{9b}\u{202e}"), "␀␛]0;x␇␊␡\u{fffd}\u{fffd}");
}

#[test]
fn signals_have_names_and_numbers() {
    for number in 1..=31 {
        let name = signal_name(number);
        assert_eq!(signal_number(&name), Some(number));
        assert_eq!(signal_number(&format!("SIG{name}")), Some(number));
        assert_eq!(signal_number(&number.to_string()), Some(number));
    }
    assert_eq!(signal_name(40), "40");
    assert_eq!(
        (signal_number("40"), signal_number("65"), signal_number("0"), signal_number("BOOM")),
        (Some(40), None, None, None)
    );
}
