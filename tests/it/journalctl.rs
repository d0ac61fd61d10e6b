//! `journalctl` against what journalctl 252 answered: every row of `fixtures/systemd/journalctl_252.json` is a command
//! line, the journal it was given, and what came out.

use relapse::ctl::Output;
use relapse::ctl::journalctl::journalctl;
use relapse::journal::{Journal, Record};
use relapse::time::IncidentTime;
use serde_json::Value;

/// A journal from lines of `journalctl -o json`.
pub fn load(lines: &str) -> Journal {
    let mut journal = Journal::new("d3a6489fb17b439ca072a0f317840063");
    for line in lines.lines() {
        journal.append(Record::from_json(line).expect("a recorded line is a record"));
    }
    journal
}

fn formats() -> Journal {
    load(include_str!("../../fixtures/logs/formats.journal.json"))
}

fn incident() -> Journal {
    load(include_str!("../../fixtures/logs/incident.journal.json"))
}

fn run(args: &[&str], now: IncidentTime, journal: &Journal) -> Output {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    journalctl(&args, 252, now, journal)
}

/// Takes away what differs between two journals with the same records: cursors, and where the order of fields is
/// not specified, the order.
fn comparable(args: &[&str], output: &[u8]) -> Vec<Vec<u8>> {
    let unordered = ["verbose", "export", "json", "json-pretty", "json-seq", "json-sse"];
    let sorts = args.iter().any(|arg| unordered.contains(arg) || *arg == "-F");
    let mut lines: Vec<Vec<u8>> = output.split(|b| *b == b'\n').map(without_cursor).collect();
    if args.iter().any(|arg| ["json", "json-seq", "json-sse"].contains(arg)) {
        for line in &mut lines {
            let start = line.iter().position(|b| *b == b'{').unwrap_or(line.len());
            if let Ok(object) = serde_json::from_slice::<Value>(&line[start..]) {
                line.truncate(start);
                line.extend_from_slice(object.to_string().as_bytes());
            }
        }
    } else if args.contains(&"json-pretty") {
        // The last field of an object has no comma, whichever it is.
        for line in &mut lines {
            if line.last() == Some(&b',') {
                line.pop();
            }
        }
    }
    if sorts && !args.iter().any(|arg| ["json", "json-seq", "json-sse"].contains(arg)) {
        lines.sort();
    }
    lines
}

fn without_cursor(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line).into_owned();
    // `s=` and 32 digits stand before the number.
    match (text.find(";i="), text.find(";x=")) {
        (Some(number), Some(hash)) if number >= 34 && number < hash => {
            let end = text[hash + 3..].find(|c: char| !c.is_ascii_hexdigit()).map_or(text.len(), |n| hash + 3 + n);
            format!("{}CURSOR{}", &text[..number - 34], &text[end..]).into_bytes()
        }
        _ => line.to_vec(),
    }
}

/// Where we knowingly say something else, and what.
const OURS: &[(&[&str], &str)] =
    &[(&["-g", "("], "the regular expressions are another engine's, and so are its words")];

#[test]
fn every_recorded_command_line_gives_what_systemd_252_gave() {
    let table: Value =
        serde_json::from_str(include_str!("../../fixtures/systemd/journalctl_252.json")).expect("the table is JSON");
    let rows = table["rows"].as_array().expect("rows");
    assert!(rows.len() >= 200, "the table has its rows");
    let (formats, incident) = (formats(), incident());
    let mut wrong = Vec::new();
    for row in rows {
        let args: Vec<&str> =
            row["args"].as_array().expect("args").iter().map(|arg| arg.as_str().expect("a word")).collect();
        if OURS.iter().any(|(ours, _)| *ours == args) {
            continue;
        }
        let journal = if row["journal"] == "inc" { &incident } else { &formats };
        let now = IncidentTime::from_micros(row["now_us"].as_u64().expect("now_us"));
        let got = run(&args, now, journal);
        let want_out: Vec<u8> = match &row["stdout"] {
            Value::String(text) => text.clone().into_bytes(),
            bytes => serde_json::from_value(bytes.clone()).expect("bytes"),
        };
        let want_err = row["stderr"].as_str().expect("stderr");
        let same = comparable(&args, &got.stdout) == comparable(&args, &want_out)
            && String::from_utf8_lossy(&got.stderr) == want_err
            && u64::from(got.code) == row["code"].as_u64().expect("code");
        if !same {
            let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(600).collect::<String>();
            wrong.push(format!(
                "journalctl {args:?}\n--- systemd: code {} stderr {want_err:?}\n{}\n--- we: code {} stderr {:?}\n{}",
                row["code"],
                show(&want_out),
                got.code,
                show(&got.stderr),
                show(&got.stdout),
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows differ\n{}", wrong.len(), rows.len(), wrong.join("\n\n"));
}

#[test]
fn the_recorded_incident_reads_as_it_was_printed() {
    let printed = include_str!("../../fixtures/logs/incident.short-iso-precise.txt");
    let output = run(&["-o", "short-iso-precise"], IncidentTime::NEVER, &incident());
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
}
