//! One test per case that was run on real systemd 252 (`fixtures/systemd/cases*.jsonl`): the same units, programs and
//! commands with real processes in lock-step, whose records, answers and times must be systemd's. What is compared, and
//! what is not, is in `fixtures/systemd/README.md`.
//!
//! `cargo test --test recorded d020` runs one of them, and `RELAPSE_CASES=FILE cargo test --test recorded` runs a recording
//! of your own instead (`fixtures/systemd/record/record.py` makes them).

#[path = "it/cases.rs"]
mod cases;
#[path = "it/normal.rs"]
mod normal;

use cases::{DIR, Printed, Said, TOLERANCE_MS, text};
use libtest_mimic::{Arguments, Failed, Trial};
use relapse::Options;
use relapse::journal::Record;
use relapse::run::{Live, LiveSetup};
use relapse::time::{IncidentTime, Span};
use relapse::unit::Profile;
use serde_json::Value;

/// 2026-01-16 01:00:00 UTC.
const START: IncidentTime = IncidentTime::from_micros(1_768_525_200_000_000);

/// Cases that differ, and why. One that no longer differs fails until it is struck off.
const KNOWN: &[(&str, &[&str])] =
    &[("journalctl -x adds no explanations: they are texts of systemd's catalog", &["jnl11", "jnl11_257"])];

fn main() {
    relapse::init();
    let args = Arguments::from_args();
    let cases: Vec<Value> = match std::env::var_os("RELAPSE_CASES") {
        Some(file) => lines(&std::fs::read_to_string(file).expect("RELAPSE_CASES names a recording")).collect(),
        None => {
            let ours: Vec<Value> = cases::all()
                .chain(lines(include_str!("../fixtures/systemd/cases-groups.jsonl")))
                .chain(lines(include_str!("../fixtures/systemd/cases-webs.jsonl")))
                .chain(lines(include_str!("../fixtures/systemd/cases-257.jsonl")))
                .collect();
            assert!(ours.len() >= 937, "only {} cases", ours.len());
            ours
        }
    };
    // Descriptors are sent by programs in Python.
    let has_python = std::path::Path::new("/usr/bin/python3").exists();
    let trials: Vec<Trial> = cases
        .into_iter()
        .map(|case| {
            let ignored = text(&case, "family") == "fds" && !has_python;
            Trial::test(format!("{}_{}", text(&case, "family"), name(&case)), move || test(&case))
                .with_ignored_flag(ignored)
        })
        .collect();
    libtest_mimic::run(&args, trials).exit();
}

/// Whether it was systemd 257, not 252, that the case was run on.
fn by_257(case: &Value) -> bool {
    case["recordings"]["systemd"].as_str().is_some_and(|version| version.starts_with("systemd 257"))
}

/// How a case is called here.
fn name(case: &Value) -> String {
    format!("{}{}", text(case, "id"), if by_257(case) { "_257" } else { "" })
}

fn lines(text: &str) -> impl Iterator<Item = Value> + '_ {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON"))
}

fn test(case: &Value) -> Result<(), Failed> {
    let id = name(case);
    let excuse = || KNOWN.iter().find(|(_, known)| known.contains(&id.as_str()));
    let wrong = match replay(case) {
        Ok(wrong) => wrong,
        Err(fault) if excuse().is_some() => vec![fault.to_string()],
        Err(fault) => return Err(fault.into()),
    };
    match excuse() {
        None if wrong.is_empty() => Ok(()),
        None => Err(wrong.join("\n").into()),
        Some((reason, _)) if wrong.is_empty() => {
            Err(format!("{id} does as systemd did: strike it off the list of those that do not ({reason})").into())
        }
        Some(_) => Ok(()),
    }
}

/// All differences.
fn replay(case: &Value) -> Result<Vec<String>, relapse::Fault> {
    let unit = format!("{}.service", text(case, "id"));
    let mut live = Live::boot(
        LiveSetup {
            profile: if by_257(case) { Profile::V257 } else { Profile::V252 },
            start: START,
            timer_phase: Span::from_millis(164),
            hostname: "semtest".to_owned(),
            directories: match text(case, "family") {
                // Sockets and FIFOs lie in /run.
                "sck" => vec![DIR.to_owned(), "/run".to_owned()],
                _ => vec![DIR.to_owned()],
            },
            ports: if ["sck", "fds"].contains(&text(case, "family")) {
                [8100, 8101].into()
            } else {
                Default::default()
            },
            unknown_accounts: ["nobodyknows".to_owned()].into(),
        },
        &Options::default(),
    )?;
    live.write(&format!("{DIR}/prog.sh"), &format!("#!/bin/sh\n{}", text(case, "prog")))?;
    for (name, content) in object(case, "programs") {
        live.write(&format!("{DIR}/{name}"), &content)?;
    }
    write(&mut live, &unit, text(case, "unit"))?;
    for (name, content) in object(case, "units") {
        write(&mut live, &name, &content)?;
    }
    for (drop_in, content) in object(case, "dropins") {
        write(&mut live, &format!("{unit}.d/{drop_in}"), &content)?;
    }

    let actions = case["actions"].as_array().expect("actions");
    let expected = &case["expected"];
    let commands = expected["commands"].as_array().expect("commands");
    let mut entered = Vec::new();
    let mut ended = Vec::new();
    for (index, action) in actions.iter().enumerate() {
        let seconds = action["t"].as_f64().expect("a time");
        ended.extend(live.run_until(START + Span::from_micros((seconds * 1e6) as u64))?);
        match action["write"].as_str() {
            Some(name) => write(&mut live, name, text(action, "text"))?,
            None => {
                let line = text(action, "cmd");
                let here = line.replace("@DIR@", DIR);
                let id = live.enter(&format!("{{ {here}\n}} >/home/{index}.out 2>/home/{index}.err"))?;
                entered.push((index, id, line));
            }
        }
    }
    let end = |which: usize| commands.iter().filter_map(|command| command["end_ms"][which].as_u64()).max().unwrap_or(0);
    // Where the recording ends: what systemd does later was not recorded.
    ended.extend(live.run_until(START + Span::from_millis(end(0) + 20))?);
    let said = said(&live, case);
    let runs = live.read(&format!("{DIR}/n")).map_or_else(String::new, |n| String::from_utf8_lossy(&n).into_owned());
    ended.extend(live.run_until(START + Span::from_millis(end(1) + 2 * TOLERANCE_MS))?);

    let mut wrong = Vec::new();
    for (index, id, line) in entered {
        let printed = |what| {
            let bytes = live.read(&format!("/home/{index}.{what}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let printed = ended.iter().find(|command| command.id == id).map(|command| Printed {
            at_ms: command.at.since(START).as_micros() / 1000,
            code: command.status,
            stdout: printed("out"),
            stderr: printed("err"),
        });
        cases::compare_command(line, &commands[index], printed.as_ref(), &mut wrong);
    }
    cases::compare_messages(case, &said, &mut wrong);
    let runs: u64 = runs.trim().parse().unwrap_or(0);
    if expected["runs"].as_u64() != Some(runs) {
        wrong.push(format!("the program ran {runs} times, not {}", expected["runs"]));
    }
    live.end()?;
    if !wrong.is_empty() {
        let line = |s: &Said| format!("{:>6} {} {}", s.at_ms, s.unit, s.text);
        wrong.push(format!("\nwhat was logged here:\n{}", said.iter().map(line).collect::<Vec<_>>().join("\n")));
    }
    Ok(wrong)
}

fn write(live: &mut Live, name: &str, content: &str) -> Result<(), relapse::Fault> {
    live.write(&format!("/etc/systemd/system/{name}"), &content.replace("@DIR@", DIR))
}

/// A map of texts, empty if the case has none.
fn object(case: &Value, key: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    case[key].as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// What the journal has of the manager about the case's units.
fn said(live: &Live, case: &Value) -> Vec<Said> {
    let mut units = vec![format!("{}.service", text(case, "id"))];
    units.extend(object(case, "units").into_iter().map(|(name, _)| name));
    units.extend(case["also"].as_array().into_iter().flatten().filter_map(|unit| unit.as_str().map(str::to_owned)));
    let about = |record: &Record| {
        let mut about: Vec<String> = record
            .fields
            .iter()
            .filter(|(name, _)| name == "UNIT")
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect();
        about.sort_unstable();
        about
    };
    live.journal()
        .entries()
        .map(|entry| (about(entry.record), entry.record))
        // A template stands for all of its instances.
        .filter(|(about, _)| about.iter().any(|unit| units.contains(unit) || units.contains(&template(unit))))
        .map(|(about, record)| Said {
            at_ms: record.realtime.since(START).as_micros() / 1000,
            priority: record.priority().unwrap_or(6),
            unit: normal::without_pids(&about.join(" ")),
            text: record.message(),
            message_id: record.get("MESSAGE_ID").map(str::to_owned),
            invocation: record.get("INVOCATION_ID").map(str::to_owned),
            fields: record
                .fields
                .iter()
                .filter(|(name, _)| is_event_field(name))
                .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
                .collect(),
            by_child: record.get("_PID") != Some("1"),
        })
        .collect()
}

/// The template of an instance.
fn template(unit: &str) -> String {
    match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((prefix, _)), Some((_, kind))) => format!("{prefix}@.{kind}"),
        _ => unit.to_owned(),
    }
}

/// Fields of what happened; the others say who logged it and where, and are in every record.
fn is_event_field(name: &str) -> bool {
    let every = ["SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "PRIORITY", "TID", "UNIT", "MESSAGE", "MESSAGE_ID"];
    !(name.starts_with('_') || name.starts_with("CODE_") || name == "INVOCATION_ID" || every.contains(&name))
}
