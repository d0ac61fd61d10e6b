//! The journal: records with their fields, lines out of streams, points in time.

use relapse::ctl::journalctl::{Journalctl, journalctl};
use relapse::journal::{
    Format, Journal, Line, LineBreak, Machine, ManagerLine, Matcher, Record, StdoutLine, StreamBuffer, Style, Term,
    format_bytes, format_relative, format_timestamp, parse_timestamp,
};
use relapse::time::{IncidentTime, Span};
use relapse::unit::Profile;
use serde_json::Value;

const UNIT: &str = "lumiera-whatsapp.service";

fn machine() -> Machine {
    Machine {
        hostname: "vm".to_owned(),
        machine_id: "3d1219c7c4c5404aaa1f6d2a48adfda4".to_owned(),
        boot_id: "3a89d074e4da4b8399992ebb427d8ee6".to_owned(),
        boot: IncidentTime::from_micros(1_795_451_344_261_714),
    }
}

/// The first recorded record whose message begins like this.
fn recorded(message: &str) -> Record {
    include_str!("../../fixtures/logs/incident.journal.json")
        .lines()
        .map(|line| Record::from_json(line).expect("a recorded line is a record"))
        .find(|record| record.message().starts_with(message))
        .expect("a recorded message")
}

/// Fields and values in order of their names, without those that differ between two machines or moments.
fn fields(record: &Record) -> Vec<(String, String)> {
    let machine_bound = ["_CMDLINE", "_CAP_EFFECTIVE", "_SOURCE_REALTIME_TIMESTAMP"];
    let mut list: Vec<(String, String)> = record
        .fields
        .iter()
        .filter(|(name, _)| !machine_bound.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    list.sort();
    list
}

#[test]
fn a_line_of_the_manager_gets_the_fields_that_were_recorded() {
    for (message, priority, id, invocation, extra) in [
        (
            "Started lumiera-whatsapp.service - Lumiera WhatsApp Copilot API.",
            6,
            "39f53479d3a045ac8e11786248231fbf",
            "35a8fec1637d4eb58d02c21d84dd1d73",
            vec![("JOB_ID", "21"), ("JOB_TYPE", "start"), ("JOB_RESULT", "done")],
        ),
        (
            "lumiera-whatsapp.service: Main process exited, code=exited, status=1/FAILURE",
            5,
            "98e322203f7a4ed290d09fe03c09fe15",
            "35a8fec1637d4eb58d02c21d84dd1d73",
            vec![("EXIT_CODE", "exited"), ("EXIT_STATUS", "1"), ("COMMAND", "ExecStart")],
        ),
        (
            "lumiera-whatsapp.service: Failed with result 'exit-code'.",
            4,
            "d9b373ed55a64feb8242e02dbe79a49c",
            "35a8fec1637d4eb58d02c21d84dd1d73",
            vec![("UNIT_RESULT", "exit-code")],
        ),
        (
            "lumiera-whatsapp.service: Scheduled restart job, restart counter is at 1.",
            6,
            "5eb03494b6584870a536b337290809b3",
            "35a8fec1637d4eb58d02c21d84dd1d73",
            vec![("N_RESTARTS", "1")],
        ),
    ] {
        let want = recorded(message);
        let line = ManagerLine {
            priority,
            message,
            message_id: Some(id),
            unit: Some(UNIT),
            invocation_id: Some(invocation),
            fields: &extra,
            child: None,
        };
        let got = machine().manager_record(want.realtime, &line);
        assert_eq!(fields(&got), fields(&want), "{message}");
        assert_eq!(got.realtime, want.realtime);
        // The recorded clocks were read one after the other.
        assert!(got.monotonic.abs_diff(want.monotonic) <= 1, "{message}: {} {}", got.monotonic, want.monotonic);
        for bound in ["_CMDLINE", "_CAP_EFFECTIVE", "_SOURCE_REALTIME_TIMESTAMP"] {
            assert!(got.get(bound).is_some(), "{message} has {bound}");
        }
    }
}

#[test]
fn a_line_of_a_child_that_never_became_its_program_is_found_by_its_unit() {
    let line = ManagerLine {
        priority: 3,
        message: "x.service: Failed at step EXEC spawning /x: No such file or directory",
        unit: Some("x.service"),
        child: Some((4905, "(x)")),
        ..ManagerLine::default()
    };
    let record = machine().manager_record(machine().boot, &line);
    assert!(Matcher::unit("x.service", 252).accepts(&record) && Matcher::unit("x.service", 257).accepts(&record));
    assert_eq!((record.get("_PID"), record.get("SYSLOG_IDENTIFIER")), (Some("4905"), Some("(x)")));
}

fn stdout(line: &[u8]) -> Option<Record> {
    machine().stdout_record(machine().boot, &StdoutLine { line, ..StdoutLine::default() })
}

#[test]
fn a_line_of_a_service_gets_the_fields_that_were_recorded() {
    let want = recorded("INFO:     Started server process [119]");
    let line = StdoutLine {
        unit: UNIT,
        invocation_id: "35a8fec1637d4eb58d02c21d84dd1d73",
        pid: 119,
        comm: "python",
        exe: "/usr/bin/python3.11",
        cmdline: want.get("_CMDLINE").expect("a command line"),
        uid: 4200,
        gid: 4200,
        identifier: "python",
        stream_id: "f834f120addf4febb3f299f1a2f6ba02",
        line: b"INFO:     Started server process [119]",
        line_break: LineBreak::Newline,
        levels: relapse::journal::Levels::default(),
    };
    let got = machine().stdout_record(want.realtime, &line).expect("a line is a record");
    assert_eq!(fields(&got), fields(&want));
    assert_eq!(got.get("_CAP_EFFECTIVE"), want.get("_CAP_EFFECTIVE"));
    assert_eq!(got.get("_CMDLINE"), want.get("_CMDLINE"));
}

#[test]
fn a_level_in_front_of_a_line_becomes_its_priority() {
    // (what was written, priority, what is left)
    let table: &[(&[u8], &str, &[u8])] = &[
        (b"plain", "6", b"plain"),
        (b"<3>err line", "3", b"err line"),
        (b"<03>err", "3", b"err"),
        (b"<7>", "", b""),
        (b"line <3>x", "6", b"line <3>x"),
        (b"<8>x", "6", b"<8>x"),
        (b"<13>with a facility", "6", b"<13>with a facility"),
        (b"<0003>x", "6", b"<0003>x"),
        (b"<>x", "6", b"<>x"),
        (b"<3x", "6", b"<3x"),
        (b"< 3>x", "6", b"< 3>x"),
        (b"  indented", "6", b"  indented"),
        (b"trailing blanks \t \r", "6", b"trailing blanks"),
        (b"", "", b""),
        (b"   ", "6", b"   "),
        (b"\xff\xfe", "6", b"\xff\xfe"),
    ];
    for (written, priority, left) in table {
        let record = stdout(written);
        let got =
            record.as_ref().map(|r| (r.get("PRIORITY").unwrap_or_default(), r.bytes("MESSAGE").unwrap_or_default()));
        let want = (!priority.is_empty()).then_some((*priority, *left));
        assert_eq!(got, want, "{:?}", String::from_utf8_lossy(written));
    }
}

#[test]
fn a_stream_is_cut_into_lines_wherever_it_was_cut_before() {
    let stream = [b"one\ntwo\0three\n\n".to_vec(), vec![b'x'; 100_000], b"\nrest".to_vec()].concat();
    let cut = |size: usize| {
        let mut buffer = StreamBuffer::default();
        let mut lines: Vec<Line> = stream.chunks(size).flat_map(|chunk| buffer.push(chunk)).collect();
        lines.extend(buffer.flush(LineBreak::Eof));
        assert_eq!(buffer.flush(LineBreak::Eof), None, "nothing is left");
        lines
    };
    let whole = cut(stream.len());
    let summary: Vec<(usize, LineBreak)> = whole.iter().map(|line| (line.bytes.len(), line.line_break)).collect();
    assert_eq!(
        summary,
        [
            (3, LineBreak::Newline),
            (3, LineBreak::Nul),
            (5, LineBreak::Newline),
            (0, LineBreak::Newline),
            (49_152, LineBreak::LineMax),
            (49_152, LineBreak::LineMax),
            (1_696, LineBreak::Newline),
            (4, LineBreak::Eof),
        ]
    );
    for size in [1, 2, 7, 4096, 49_152, 49_153] {
        assert!(cut(size) == whole, "chunks of {size} bytes");
    }
    let long = stdout(b"x").expect("a record");
    assert_eq!(long.get("_LINE_BREAK"), None);
    let broken = StdoutLine { line: b"x", line_break: LineBreak::LineMax, ..StdoutLine::default() };
    let broken = machine().stdout_record(machine().boot, &broken).expect("a record");
    assert_eq!(broken.get("_LINE_BREAK"), Some("line-max"));
}

#[test]
fn every_recorded_timestamp_is_read_as_systemd_reads_it() {
    let table: Value =
        serde_json::from_str(include_str!("../../fixtures/systemd/timestamp.json")).expect("the table is JSON");
    let now = IncidentTime::from_micros(1_795_464_000_123_456);
    let rows = table["parse"].as_array().expect("rows");
    assert!(rows.len() >= 90, "the table has its rows");
    let mut wrong = Vec::new();
    for row in rows {
        let input = row["input"].as_str().expect("input");
        let want = match (row["usec"].as_u64(), row["offset_ms"].as_i64()) {
            (Some(usec), _) => Some(usec),
            (None, Some(offset)) => now.as_micros().checked_add_signed(offset * 1000),
            (None, None) => None,
        };
        let got = parse_timestamp(input, now).ok().map(IncidentTime::as_micros);
        if got != want {
            wrong.push(format!("{input:?}: systemd says {want:?}, we say {got:?}"));
        }
    }
    for row in table["relative"].as_array().expect("rows") {
        let span = Span::parse(row["ago"].as_str().expect("ago")).expect("a span");
        let got = format_relative(now - span, now);
        if got != row["human"].as_str().expect("human") {
            wrong.push(format!("{} before: systemd says {}, we say {got}", row["ago"], row["human"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(format_relative(now, now), "now");
    assert_eq!(format_relative(now, now + Span::from_micros(883_999)), "883ms ago");
    assert_eq!(format_relative(now + Span::from_secs(63), now), "1min 3s left");
    assert_eq!(format_timestamp(now), "Mon 2026-11-23 20:00:00 UTC");
}

#[test]
fn what_was_written_as_json_is_read_back() {
    let mut journal = Journal::new("0".repeat(32));
    let record = machine()
        .manager_record(machine().boot + Span::from_secs(5), &ManagerLine { message: "x", ..ManagerLine::default() })
        .with("TWICE", "a")
        .with("TWICE", b"\xff\x00".to_vec())
        .with("TEXT", "tab\tquote\" back\\ line\nbell? é ✅");
    journal.append(record.clone());
    for version in [252, 257] {
        let mut out = Vec::new();
        for entry in journal.entries() {
            Style::new(Format::Json, version).write(&mut out, &entry, None);
        }
        let mut back = Record::from_json(std::str::from_utf8(&out).expect("text")).expect("our own JSON");
        let mut want = record.clone();
        back.fields.sort();
        want.fields.sort();
        assert_eq!(back, want);
    }
}

#[test]
fn a_kept_journal_is_read_back_whole() {
    let mut journal = Journal::new("0".repeat(32));
    let long = "x".repeat(10_000);
    let record = machine()
        .manager_record(machine().boot, &ManagerLine { message: &long, ..ManagerLine::default() })
        .with("BYTES", b"\x00\xff".to_vec());
    journal.append(record.clone());
    journal.append(recorded("INFO:     Waiting"));
    let lines: Vec<String> = journal.json_lines(252).map(|line| String::from_utf8(line).expect("text")).collect();
    assert!(lines.iter().all(|line| !line.contains('\n')));
    let mut back = Record::from_json(&lines[0]).expect("our own JSON");
    let mut want = record;
    back.fields.sort();
    want.fields.sort();
    assert_eq!((back, lines.len()), (want, 2));
}

#[test]
fn sizes_are_worded_as_systemd_words_them() {
    // What the real one printed for messages of these sizes, and the rule beyond them.
    for (bytes, words) in [
        (0, "0B"),
        (6, "6B"),
        (1023, "1023B"),
        (1024, "1.0K"),
        (1536, "1.5K"),
        (4_206_592, "4.0M"),
        (8_598_323, "8.1M"),
        (u64::MAX, "15.9E"),
    ] {
        assert_eq!(format_bytes(bytes), words);
    }
}

#[test]
fn what_is_no_record_is_refused_with_a_reason() {
    for (line, reason) in [
        ("", "not a journal record"),
        ("[1]", "expected a JSON object"),
        ("{\"MESSAGE\":\"x\"}", "no `__REALTIME_TIMESTAMP`"),
        ("{\"__REALTIME_TIMESTAMP\":\"x\"}", "no `__REALTIME_TIMESTAMP`"),
        ("{\"__REALTIME_TIMESTAMP\":\"1\",\"A\":true}", "field A has a value"),
        ("{\"__REALTIME_TIMESTAMP\":\"1\",\"A\":[256]}", "field A has a value"),
        ("{\"__REALTIME_TIMESTAMP\":\"1\",\"A\":{}}", "field A has a value"),
    ] {
        let error = Record::from_json(line).expect_err(line).to_string();
        assert!(error.contains(reason), "{line}: {error}");
    }
    let huge = Record::from_json("{\"__REALTIME_TIMESTAMP\":\"1\",\"A\":null}").expect("a cut-off value is none");
    assert!(huge.fields.is_empty());
}

fn numbered(count: u64, limit: usize) -> Journal {
    let mut journal = Journal::new("0".repeat(32)).with_limit(limit);
    for number in 1..=count {
        let at = machine().boot + Span::from_secs(number);
        let line = number.to_string();
        let line = StdoutLine { unit: "x.service", line: line.as_bytes(), identifier: "x", ..StdoutLine::default() };
        assert_eq!(journal.append(machine().stdout_record(at, &line).expect("a record")), number);
    }
    journal
}

#[test]
fn a_full_journal_forgets_its_oldest_records_and_keeps_counting() {
    let journal = numbered(1000, 100_000);
    assert!(journal.len() > 10 && journal.len() < 200, "{} records", journal.len());
    let last = journal.entries().next_back().expect("an entry");
    assert_eq!((last.seqnum, last.record.message().as_str()), (1000, "1000"));
    let oldest = journal.entries().next().expect("an entry").seqnum;
    assert_eq!(oldest, 1001 - journal.len() as u64);
    assert_eq!(journal.entries_from(0).count(), journal.len(), "what is gone is passed over");
    assert_eq!(journal.entries_from(998).map(|e| e.seqnum).collect::<Vec<_>>(), [998, 999, 1000]);
    assert_eq!(journal.entries_from(5000).count(), 0);
}

#[test]
fn a_follower_sees_the_last_ten_and_then_what_comes() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let mut journal = numbered(12, usize::MAX);
    let now = machine().boot;
    let follow = |args: &str| {
        let mut command = Journalctl::new(&words(args), Profile::V252, now, &journal).expect("a command");
        let first = text(command.run(&journal).stdout);
        (command, first)
    };
    let (mut plain, first) = follow("-fu x -o cat");
    assert_eq!(first.lines().collect::<Vec<_>>(), ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]);
    let (mut none, first) = follow("-f -n 0 -o cat");
    assert_eq!(first, "");
    let (mut other, first) = follow("-f -u other -o short");
    assert_eq!(first, "", "a follower does not say that there are no entries");
    let (mut grep, _) = follow("-f -g ^1 -n 1 -o cat");
    let (mut until, _) = follow("-f -o cat --until @1795451344");
    assert!(plain.follows() && none.follows());
    for number in [20, 13] {
        let line = format!("{number}");
        let line = StdoutLine { unit: "x.service", line: line.as_bytes(), ..StdoutLine::default() };
        journal.append(machine().stdout_record(machine().boot + Span::from_secs(60), &line).expect("a record"));
    }
    assert_eq!(text(plain.more(&journal)), "20\n13\n");
    assert_eq!(text(plain.more(&journal)), "");
    assert_eq!(text(none.more(&journal)), "20\n13\n");
    assert_eq!(text(other.more(&journal)), "");
    assert_eq!(text(grep.more(&journal)), "13\n");
    assert_eq!(text(until.more(&journal)), "");
}

#[test]
fn options_that_make_no_sense_in_an_incident_are_refused_with_a_reason() {
    let journal = numbered(1, usize::MAX);
    for (args, reason) in [
        (["-D", "/var/log"], "--directory is not supported: it reads journal files"),
        (["--file", "/x"], "--file is not supported: it reads journal files"),
        (["--user", "-n1"], "--user is not supported: there is no user manager"),
        (["-M", "box"], "--machine is not supported: there is one machine"),
        (["--vacuum-size", "1M"], "--vacuum-size is not supported: it changes or checks"),
        (["--verif", "-q"], "option '--verif' is ambiguous; possibilities: '--verify' '--verify-key'"),
    ] {
        let output = journalctl(&args.map(str::to_owned), Profile::V252, machine().boot, &journal);
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert!(stderr.contains(reason) && stderr.ends_with('\n'), "{args:?}: {stderr}");
        assert_eq!(output.code, 1, "{args:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn terms_of_one_field_are_alternatives_and_fields_must_all_match() {
    let record = Record::default().with("A", "1").with("B", "2").with("A", "3");
    let term = |text: &str| Term::parse(text).expect("a term");
    let conjunction = |terms: &[&str]| Matcher::conjunction(terms.iter().map(|t| term(t))).accepts(&record);
    assert!(conjunction(&["A=1", "B=2"]) && conjunction(&["A=3"]) && conjunction(&["A=9", "A=1"]) && conjunction(&[]));
    assert!(!conjunction(&["A=1", "B=9"]) && !conjunction(&["A=9"]) && !conjunction(&["C=1"]));
    for bad in ["", "=", "=x", "a=b", "1A=b", "A B=c", "noequals"] {
        assert!(Term::parse(bad).is_err(), "{bad:?}");
    }
}
