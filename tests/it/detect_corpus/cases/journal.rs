//! Journals as people have them: several boots, zones, clocks that are set, files that were cut or edited.

use serde_json::Value;

use crate::detect_corpus::Case;
use crate::detect_corpus::render::{FORMATS, Format, Found, Input, journal, journals, some};
use crate::detect_corpus::story::{CRASH, Crash, HOUR, MIN, MS, Row, SEC, Story, Unit};

fn app() -> Unit {
    Unit::new("app.service", "App", "app")
}

/// A loop of five starts.
fn looping(name: &str) -> (Story, Unit) {
    let (mut story, mut unit) = (Story::new(name), app());
    story.started(&mut unit).crashes(&mut unit, 4, CRASH);
    (story, unit)
}

fn found(starts: usize) -> Found {
    Found::unit("app.service", starts).code(1)
}

fn headers() -> Vec<Case> {
    let with = |name: &str, notes: &[&str]| {
        let (mut story, mut unit) = (Story::new(name), app());
        notes.iter().for_each(|note| {
            story.note(note);
        });
        story.started(&mut unit).crashes(&mut unit, 4, CRASH);
        story
    };
    let hint = [
        "Hint: You are currently not seeing messages from other users and the system.",
        "      Users in groups 'adm', 'systemd-journal' can see all messages.",
        "      Pass -q to turn off this notice.",
        "-- Journal begins at Tue 2026-01-06 14:38:23 UTC, ends at Fri 2026-01-16 12:31:01 UTC. --",
    ];
    let mut boots = Story::new("loop-in-the-second-boot");
    let mut unit = app();
    boots.started(&mut unit).wait(3 * MIN).says(&unit, "served 812 requests");
    if let Some(Row::Record(entry)) = boots.rows.first_mut() {
        entry.start_of = None;
    }
    boots.wait(2 * HOUR);
    boots.boot = boots.dice.id();
    let note = format!("-- Boot {} --", boots.boot);
    boots.note(&note).wait(20 * SEC);
    boots.program("kernel", None, "Linux version 6.1.0-18-amd64 (gcc-12) #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1");
    let mut unit = app();
    boots.started(&mut unit).crashes(&mut unit, 4, CRASH);

    let (mut cut, unit) = looping("cut-by-a-reboot");
    cut.wait(2 * SEC).says(&unit, "working");
    cut.boot = cut.dice.id();
    let reboot = "-- Reboot --";
    cut.wait(MIN).note(reboot);
    let mut after = app();
    cut.started(&mut after).wait(20 * MIN).says(&after, "served 812 requests");
    vec![
        Case::new(
            "header-hint",
            "what journalctl says before the first line",
            some(&with("header-hint", &hint), &FORMATS[..5], &[found(5)]),
        ),
        Case::new("loop-in-the-second-boot", "a boot begins a new chain", some(&boots, &FORMATS[3..], &[found(5)])),
        // Whether a boot that holds is a recovery is left open.
        Case::new(
            "cut-by-a-reboot",
            "the start of the next boot is not automatic",
            journals(&cut, &[found(5).open("ended").then_others()]),
        ),
        Case::new(
            "nothing-there",
            "no entries, a header only, nothing at all",
            vec![
                Input::new("empty.log", "", Vec::new()),
                Input::new("newline.log", "\n", Vec::new()),
                Input::new("no-entries.log", "-- No entries --\n", Vec::new()),
                Input::new("header.log", hint.join("\n") + "\n", Vec::new()),
                Input::new("no-newline.log", "Jan 16 12:19:00 web1 systemd[1]: Started app.service - App.", Vec::new()),
                Input::new("empty-object.json", "{}\n", Vec::new()),
                Input::new("bom.log", "\u{feff}", Vec::new()),
            ],
        ),
    ]
}

fn clocks() -> Vec<Case> {
    const NEW_YEAR: i64 = 1_767_225_600 * SEC; // 2026-01-01 00:00:00 UTC
    const LEAP_DAY: i64 = 1_709_164_800 * SEC; // 2024-02-29 00:00:00 UTC
    const SPRING: i64 = 1_774_746_000 * SEC; // 2026-03-29 01:00:00 UTC: 02:00 becomes 03:00 in Berlin
    const AUTUMN: i64 = 1_792_890_000 * SEC; // 2026-10-25 01:00:00 UTC: 03:00 becomes 02:00 there
    let begun = |name: &str, at: i64| {
        let (mut story, mut unit) = (Story::new(name).since(at - 30 * SEC), app());
        story.started(&mut unit).crashes(&mut unit, 4, CRASH);
        story
    };
    let year = begun("year", NEW_YEAR);
    let leap = begun("leap-day", LEAP_DAY);
    let leap_end = begun("leap-day-end", LEAP_DAY + 24 * HOUR);
    let mut year_inputs = journals(&year, &[found(5)]);
    year_inputs
        .push(journal(&year, Format::Short, &[found(5)]).named("short-year-given.log").with(&["--year", "2025"]));
    let mut leap_inputs = journals(&leap, &[found(5)]);
    let short_leap_end = journal(&leap_end, Format::Short, &[found(5)]).with(&["--year", "2024"]);
    leap_inputs.push(short_leap_end.named("short-its-end.log"));

    let zoned = |name: &str, at: i64, zones: Vec<(i64, i64, &'static str)>| {
        let mut story = begun(name, at);
        story.zones = zones;
        story
    };
    let iso = [Format::ShortIso, Format::ShortIsoPrecise, Format::ShortFull, Format::Json];
    let ahead = zoned("ahead", NEW_YEAR + HOUR, vec![(i64::MIN, 330, "IST")]);
    let behind = zoned("behind", NEW_YEAR, vec![(i64::MIN, -210, "NST")]);
    let spring = zoned("spring", SPRING, vec![(i64::MIN, 60, "CET"), (SPRING, 120, "CEST")]);
    let autumn = zoned("autumn", AUTUMN, vec![(i64::MIN, 120, "CEST"), (AUTUMN, 60, "CET")]);
    // Stamps without a zone go an hour forward or back in the middle of the loop: it is one all the same.
    let local = |story: &Story| some(story, &[Format::Short, Format::ShortPrecise], &[found(5).only_median()]);
    let precise = [Format::ShortIso, Format::ShortIsoPrecise, Format::Json];
    let (mut spring_inputs, mut autumn_inputs) =
        (some(&spring, &precise, &[found(5)]), some(&autumn, &precise, &[found(5)]));
    spring_inputs.extend(local(&spring));
    autumn_inputs.extend(local(&autumn));

    let jump = |name: &str, by: i64| {
        let (mut story, mut unit) = (Story::new(name), app());
        story.started(&mut unit).crashes(&mut unit, 3, CRASH);
        story.wait(SEC).program("chronyd", 511, &format!("System clock was stepped by {}.0 seconds", by / SEC));
        story.ahead += by;
        story.crashes(&mut unit, 3, CRASH);
        story
    };
    let jumps =
        |name: &'static str, rule, by| Case::new(name, rule, journals(&jump(name, by), &[found(7).only_median()]));
    vec![
        Case::new("year-roll-over", "stamps without a year", year_inputs),
        Case::new("leap-day", "29 February without a year", leap_inputs),
        Case::new("zone-ahead", "another zone, +05:30", some(&ahead, &iso, &[found(5)])),
        Case::new("zone-behind", "another zone, -03:30", some(&behind, &iso, &[found(5)])),
        Case::new("dst-spring", "an hour is left out", spring_inputs),
        Case::new("dst-autumn", "an hour comes twice", autumn_inputs),
        jumps("clock-back", "the clock is set back in the middle of a loop", -40 * SEC),
        jumps("clock-forward", "the clock is set forward by minutes", 7 * MIN),
        jumps("clock-back-by-hours", "the clock is set back by hours", -3 * HOUR),
        // Only the JSON format has a clock that nobody sets; elsewhere it looks like a run that held for months.
        Case::new(
            "clock-forward-by-months",
            "a machine without a battery finds out what day it is",
            some(&jump("clock-forward-by-months", 2_000 * HOUR), &[Format::Json], &[found(7).only_median()]),
        ),
    ]
}

/// The loop with each record's line and that of another unit's healthy program between.
fn interleaved() -> Vec<Case> {
    let (mut story, mut unit) = (Story::new("interleaved"), app());
    let mut other = Unit::new("db.service", "Database", "postgres");
    other.pid = 900;
    story.started(&mut unit);
    for n in 0..4 {
        for _ in 0..3 {
            story.wait(SEC).says(&other, &format!("checkpoint complete: wrote {n} buffers"));
        }
        story.wait(SEC).main_exited(&unit, CRASH.how);
        story.says(&other, "received fast shutdown request from nobody");
        story.failed(&unit, "exit-code");
        story.wait(5 * SEC).says(&other, "Started app.service - App.");
        story.wait(5 * SEC).scheduled(&mut unit);
        story.says(&other, "checkpoint starting: time");
        story.started(&mut unit);
    }
    let (loop_story, _) = looping("out-of-order");
    let shuffled: Vec<Input> = journals(&loop_story, &[found(5)]).into_iter().map(out_of_order).collect();
    vec![
        Case::new("interleaved", "lines of other units between", journals(&story, &[found(5)])),
        Case::new("out-of-order", "lines slightly out of order", shuffled),
        localized(),
    ]
}

/// Within a group of lines that were written within a millisecond, the order is another.
fn out_of_order(input: Input) -> Input {
    input.changed(|bytes| {
        let text = String::from_utf8(bytes).expect("text");
        let mut lines: Vec<&str> = text.lines().collect();
        // Started, exited, failed | scheduled, stopped, started, exited, failed | …
        for at in (1..lines.len().saturating_sub(3)).step_by(5) {
            lines.swap(at, at + 1);
            lines.swap(at + 2, at + 3);
        }
        (lines.join("\n") + "\n").into_bytes()
    })
}

fn localized() -> Case {
    let (mut story, mut unit) = (Story::new("other-languages"), app());
    story.started(&mut unit);
    for words in [
        "Адрес уже используется",
        "アドレスは既に使用中です",
        "Adresse bereits in Benutzung",
        "L'adresse est déjà utilisée",
    ] {
        story.crashes(&mut unit, 1, Crash { last_words: words, ..CRASH });
    }
    Case::new("other-languages", "text that is not English says nothing about ports", journals(&story, &[found(5)]))
}

fn damaged() -> Vec<Case> {
    let (mut story, mut unit) = (Story::new("damaged"), app());
    story.started(&mut unit).crashes(&mut unit, 3, CRASH);
    let of = |format: Format, name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        journal(&story, format, &[found(4)]).named(name).changed(change)
    };
    let text = |change: &dyn Fn(&str) -> String, bytes: Vec<u8>| {
        change(std::str::from_utf8(&bytes).expect("text")).into_bytes()
    };
    let each = |change: &dyn Fn(&str) -> String, bytes: Vec<u8>| {
        text(&|all| all.lines().map(|line| change(line) + "\n").collect(), bytes)
    };
    let crlf = |bytes| text(&|all| all.replace('\n', "\r\n"), bytes);
    let twice = |bytes| each(&|line| format!("{line}\n{line}"), bytes);
    let latin = |bytes: Vec<u8>| {
        let mut all = b"Jan 16 12:18:59 web1 app[12]: gr\xfc\xdfe \xff\xfe\x00 \xc3\x28\n".to_vec();
        all.extend(bytes);
        all.extend(b"\xf0\x28\x8c\xbc\n\x00\x00\x00\n");
        all
    };
    let bom = |bytes: Vec<u8>| [b"\xef\xbb\xbf".as_slice(), &bytes].concat();
    let no_end = |mut bytes: Vec<u8>| {
        bytes.pop();
        bytes
    };
    let escapes = |bytes| each(&|line| format!("\u{1b}[0;1;31m{line}\u{1b}[0m"), bytes);
    let texts = vec![
        of(Format::Short, "crlf.log", &crlf),
        of(Format::ShortIso, "crlf-iso.log", &crlf),
        of(Format::Json, "crlf.json", &crlf),
        of(Format::Short, "twice.log", &twice),
        of(Format::ShortPrecise, "twice-precise.log", &twice),
        of(Format::Json, "twice.json", &twice),
        of(Format::Short, "invalid-utf-8.log", &latin),
        of(Format::ShortIsoPrecise, "invalid-utf-8-iso.log", &latin),
        of(Format::Short, "bom.log", &bom),
        of(Format::Json, "bom.json", &bom),
        of(Format::Short, "no-last-newline.log", &no_end),
        of(Format::Json, "no-last-newline.json", &no_end),
        of(Format::Short, "coloured.log", &escapes),
    ];
    vec![
        Case::new("damaged-texts", "CRLF, duplicated lines, invalid UTF-8, a mark of byte order, colours", texts),
        damaged_json(&story),
    ]
}

fn damaged_json(story: &Story) -> Case {
    let of = |name: &str, change: &dyn Fn(usize, &str) -> String| {
        journal(story, Format::Json, &[found(4)]).named(name).changed(|bytes| {
            let text = String::from_utf8(bytes).expect("text");
            text.lines().enumerate().map(|(n, line)| change(n, line) + "\n").collect::<String>().into_bytes()
        })
    };
    // journalctl writes what is not UTF-8 as an array of bytes, and what is too long as null.
    let odd = |line: &str, message: Value| {
        let mut record: Value = serde_json::from_str(line).expect("a record");
        record["MESSAGE"] = message;
        record["_PID"] = Value::from("77");
        record["_SYSTEMD_UNIT"] = Value::from("noise.service");
        record["SYSLOG_IDENTIFIER"] = Value::from("noise");
        record["_COMM"] = Value::from("noise");
        for key in ["UNIT", "MESSAGE_ID", "INVOCATION_ID", "N_RESTARTS"] {
            record.as_object_mut().expect("an object").remove(key);
        }
        record.to_string()
    };
    let bytes_of = |line: &str| {
        let mut record: Value = serde_json::from_str(line).expect("a record");
        let bytes: Vec<Value> = record["MESSAGE"].as_str().unwrap_or_default().bytes().map(Value::from).collect();
        record["MESSAGE"] = Value::from(bytes);
        record.to_string()
    };
    let pretty = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a record");
        // Sorted keys and blanks after colons, as jq -S would leave them on one line.
        let fields: Vec<String> = record
            .as_object()
            .expect("an object")
            .iter()
            .map(|(key, value)| format!("{} : {value}", Value::from(key.as_str())))
            .collect();
        format!("{{ {} }}", fields.join(" , "))
    };
    Case::new(
        "damaged-json",
        "truncated lines, MESSAGE as bytes or null, fields repeated or in any order",
        vec![
            of("truncated.json", &|n, line| {
                if n % 4 == 1 { format!("{line}\n{}", &line[..line.len() / 2]) } else { line.to_owned() }
            }),
            of("begins-in-a-line.json", &|n, line| {
                if n == 0 { format!("{}\n{line}", &line[40..]) } else { line.to_owned() }
            }),
            of("message-null.json", &|_, line| format!("{line}\n{}", odd(line, Value::Null))),
            of("message-bytes.json", &|_, line| format!("{line}\n{}", odd(line, Value::from(vec![255, 254, 0, 10])))),
            of("message-all-bytes.json", &|_, line| bytes_of(line)),
            of("message-twice.json", &|_, line| format!("{line}\n{}", odd(line, serde_json::json!(["one", "two"])))),
            of("sorted.json", &|_, line| pretty(line)),
            of("no-objects.json", &|n, line| {
                if n == 2 { format!("{line}\n[1,2]\nnull\n17\n\"text\"\n{{}}") } else { line.to_owned() }
            }),
        ],
    )
}

/// The journal of one unit, and a loop among the lines of a busy machine.
fn of_one_unit() -> Vec<Case> {
    let (mut story, mut unit) = (Story::new("noise"), app());
    story.started(&mut unit);
    for n in 0..4 {
        for (ident, text) in [
            ("kernel", "[UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.9 DST=10.0.0.17 PROTO=TCP SPT=443 DPT=8000"),
            ("sshd", "Failed password for root from 203.0.113.9 port 51022 ssh2"),
            (
                "audit",
                "SERVICE_START pid=1 uid=0 msg='unit=app comm=\"systemd\" exe=\"/usr/lib/systemd/systemd\" res=success'",
            ),
            ("dockerd", "time=\"2026-01-16T12:19:04Z\" level=info msg=\"ignoring event\" topic=/tasks/delete"),
            ("systemd-networkd", "eth0: Gained carrier"),
            ("dbus-daemon", "[system] Successfully activated service 'org.freedesktop.hostname1'"),
        ] {
            let pid = (ident != "kernel").then_some(400 + n);
            story.wait(700 * MS).program(ident, pid, text);
        }
        story.crashes(&mut unit, 1, CRASH);
    }
    vec![Case::new("noise", "a loop on a busy machine", some(&story, &FORMATS[3..], &[found(5)]))]
}

pub fn cases() -> Vec<Case> {
    [headers(), clocks(), interleaved(), damaged(), of_one_unit()].into_iter().flatten().collect()
}
