//! `detect` on what real systemds have logged: the sessions and the units below `fixtures/systemd`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::check;
use super::render::civil;
use super::story::INCIDENT;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn line(at: i64, who: &str, message: &str) -> String {
    format!("{}.{:06}+0000 vm {who}: {message}\n", civil(at, 0, "%Y-%m-%dT%H:%M:%S"), at.rem_euclid(1_000_000))
}

/// What `detect` says of some texts, by their names; they are all given to one command.
fn answers(texts: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in texts {
        fs::write(directory.path().join(name), text).expect("a file");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["detect", "--format", "json"])
        .args(texts.keys())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .expect("detect ran");
    let answers = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers = answers.lines().map(|line| {
        let answer: Value = serde_json::from_str(line).expect("an answer a line");
        (answer["input"].as_str().unwrap_or_default().to_owned(), answer)
    });
    let answers: BTreeMap<String, Value> = answers.collect();
    assert_eq!(answers.len(), texts.len(), "{}", String::from_utf8_lossy(&output.stderr));
    answers
}

/// Subject, starts and end of the loops that were found.
fn loops(answer: &Value) -> Vec<(String, u64, String)> {
    let loops = answer["loops"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    loops
        .iter()
        .map(|entry| (text(&entry["subject"]), entry["starts"].as_u64().unwrap_or(0), text(&entry["ended"])))
        .collect()
}

/// The journals that are shown in a recorded session, by the unit they are of.
fn journals(session: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut of = None;
    for row in session.lines() {
        if let Some(name) = row.strip_prefix("--- journal ") {
            of = name.split(' ').next();
        }
        // `+  0.103 <5> systemd[1] 'a1.service: Main process exited, …' PROCESS_EXIT EXIT_CODE=exited …`
        let (Some(of), Some(rest)) = (of, row.strip_prefix('+')) else { continue };
        let Some((at, rest)) = rest.split_once(" <") else { continue };
        let Some((who, rest)) = rest[2..].trim_start().split_once(' ') else { continue };
        let quote = rest.chars().next().unwrap_or_default();
        let Some((message, _)) = rest[1..].rsplit_once(quote) else { continue };
        let (seconds, millis) = at.trim().split_once('.').expect("a moment");
        let at =
            seconds.parse::<i64>().expect("seconds") * 1_000_000 + millis.parse::<i64>().expect("milliseconds") * 1_000;
        *found.entry(of.to_owned()).or_default() += &line(INCIDENT + at, who, &message.replace("\\'", "'"));
    }
    found
}

/// Sessions with loops in them: the unit, its starts and how it ended.
const SESSIONS: &[(&str, &str, &str, u64, &str)] = &[
    ("incident_252.txt", "lumiera-whatsapp", "lumiera-whatsapp.service", 5, "ongoing"),
    ("incident_257.txt", "lumiera-whatsapp", "lumiera-whatsapp.service", 5, "ongoing"),
    ("misc_252.txt", "kmiss", "kmiss.service", 2, "start-limit"),
    ("misc_252.txt", "ktok", "ktok.service", 2, "start-limit"),
    ("misc_257.txt", "kmiss", "kmiss.service", 2, "start-limit"),
    ("misc_257.txt", "ktok", "ktok.service", 2, "start-limit"),
];
/// Units that a socket starts: what is logged of the unit alone does not say so.
const BY_SOCKET: [&str; 2] = ["sok.service", "sfail.service"];

#[test]
fn recorded_sessions_are_judged_rightly() {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(fixtures().join("systemd/recorded")).expect("recordings").flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        for (unit, text) in journals(&fs::read_to_string(entry.path()).expect("a session")) {
            texts.insert(format!("{file}:{unit}"), text);
        }
    }
    assert!(texts.len() > 60, "{} journals", texts.len());
    let mut wrong = Vec::new();
    for (name, answer) in answers(&texts) {
        let (file, unit) = name.split_once(':').expect("a name of ours");
        if BY_SOCKET.contains(&unit) {
            continue;
        }
        let wanted = SESSIONS.iter().filter(|(in_file, of, ..)| (*in_file, *of) == (file, unit));
        let wanted: Vec<_> = wanted
            .map(|(_, _, subject, starts, ended)| ((*subject).to_owned(), *starts, (*ended).to_owned()))
            .collect();
        if loops(&answer) != wanted {
            wrong.push(format!("{name}: {answer}\n{}", texts[&name]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_recorded_incident_is_found_with_its_port_and_period() {
    let cause = json!({"kind": "port-in-use", "port": 8000});
    let loops = |first: &str, last: &str, period: Value| {
        json!({"verdict": "loop", "loops": [{
            "subject": "lumiera-whatsapp.service", "signature": "restart-counter", "starts": 9, "first": first,
            "last": last, "period_us": period, "periodic": true, "cause": cause, "ended": "ongoing",
        }]})
    };
    let text = loops(
        "2026-11-23T16:42:14.562043Z",
        "2026-11-23T16:44:10.8942Z",
        json!({"min": 14_367_995, "median": 14_567_872, "max": 14_696_100}),
    );
    let json = loops("2026-11-23T16:42:14.562093Z", "2026-11-23T16:44:10.894217Z", json!({}));
    let app = json!({"verdict": "loop", "loops": [{
        "subject_contains": "FSM Running session recovery on startup", "signature": "banner", "starts": 10,
        "first": "2026-11-23 16:42:13", "last": "2026-11-23 16:44:15", "cause": null, "ended": "ongoing",
    }]});
    for (file, expected) in
        [("incident.short-iso-precise.txt", text), ("incident.journal.json", json), ("incident/app.log", app)]
    {
        if let Err(error) = check::file(&fixtures().join("logs").join(file), &expected) {
            panic!("{file}:\n{error}");
        }
    }
}

#[test]
fn what_is_no_log_of_a_loop_is_clean() {
    let clean = json!({"verdict": "clean", "loops": []});
    for file in
        ["formats.journal.json", "incident/failing.stderr", "incident/fixed.journal.txt", "incident/fixed.status.txt"]
    {
        if let Err(error) = check::file(&fixtures().join("logs").join(file), &clean) {
            panic!("{file}:\n{error}");
        }
    }
}

/// What the rules leave no doubt about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sure {
    Loop,
    Clean,
    Open,
}

/// Judges one unit's records by nothing but counting.
fn sure(unit: &str, messages: &[&str], is_oneshot: bool) -> Sure {
    // Starts in a row, each but the first after a `Scheduled` line.
    let (mut chain, mut longest, mut scheduled, mut starts, mut limited) = (0u32, 0, false, 0, false);
    let (mut cut, mut counters, mut starting) = (false, 0, false);
    for message in messages {
        let about = |verb: &str| message.strip_prefix(verb).is_some_and(|rest| rest.starts_with(unit));
        let begins = about("Started ") || about("Starting ");
        if message.ends_with(": Start request repeated too quickly.") && message.starts_with(unit) {
            limited |= chain >= 2 && scheduled;
            cut = true;
        } else if message.starts_with(&format!("{unit}: Scheduled restart job")) {
            scheduled = true;
            counters += 1;
        } else if begins && !(starting && about("Started ")) {
            chain = if scheduled { chain + 1 } else { 1 };
            longest = longest.max(chain);
            scheduled = false;
            starts += 1;
        } else if about("Stopping ") || (about("Stopped ") && !scheduled) {
            chain = 0;
        }
        if begins {
            starting = about("Starting ");
        }
    }
    match () {
        () if is_oneshot => Sure::Open,
        () if longest >= 4 || limited => Sure::Loop,
        () if counters < 3 && !cut && starts < 4 => Sure::Clean,
        () => Sure::Open,
    }
}

#[test]
fn units_recorded_on_real_systemds_are_judged_as_counting_does() {
    let (mut texts, mut wanted) = (BTreeMap::new(), BTreeMap::new());
    for file in ["cases", "cases-257", "cases-conform", "cases-groups", "cases-random", "cases-webs"] {
        let lines = fs::read_to_string(fixtures().join(format!("systemd/{file}.jsonl"))).expect("recordings");
        for text in lines.lines() {
            let case: Value = serde_json::from_str(text).expect("a case");
            let records = case["expected"]["messages"].as_array().expect("messages");
            let messages: Vec<&str> = records.iter().filter_map(|record| record["msg"].as_str()).collect();
            let journal: String = records
                .iter()
                .map(|record| {
                    let at = record["t_ms"][0].as_f64().unwrap_or_default();
                    line(INCIDENT + at as i64 * 1_000, "systemd[1]", record["msg"].as_str().unwrap_or_default())
                })
                .collect();
            // Every unit that begins a sentence or is the object of one.
            let units: BTreeSet<&str> = messages
                .iter()
                .flat_map(|message| message.split(' '))
                .map(|word| word.trim_end_matches([':', '.']))
                .filter(|word| word.ends_with(".service") && !word.starts_with('/'))
                .collect();
            let is_oneshot = text.contains("Type=oneshot");
            let each: Vec<(&str, Sure)> = units.iter().map(|unit| (*unit, sure(unit, &messages, is_oneshot))).collect();
            let name = format!("{file}-{}.log", case["id"].as_str().unwrap_or_default());
            let each: Vec<(String, Sure)> = each.into_iter().map(|(unit, sure)| (unit.to_owned(), sure)).collect();
            wanted.insert(name.clone(), each);
            texts.insert(name, journal);
        }
    }
    let mut wrong = Vec::new();
    let mut seen = [0, 0, 0];
    for (name, answer) in answers(&texts) {
        let found: Vec<String> = loops(&answer).into_iter().map(|(subject, ..)| subject).collect();
        for (unit, sure) in &wanted[&name] {
            seen[*sure as usize] += 1;
            if (*sure == Sure::Loop && !found.contains(unit)) || (*sure == Sure::Clean && found.contains(unit)) {
                wrong.push(format!("{name}: {unit} is {sure:?}\n{answer}\n{}", texts[&name]));
            }
        }
        let strangers = found.iter().filter(|subject| !wanted[&name].iter().any(|(unit, _)| unit == *subject));
        wrong.extend(strangers.map(|subject| format!("{name}: {subject} is no unit\n{}", texts[&name])));
    }
    assert!(seen[0] > 20 && seen[1] > 900, "{seen:?}");
    assert!(wrong.is_empty(), "{}\n{} of {seen:?}", wrong.join("\n"), wrong.len());
}
