//! `relapse detect` on what every page of the scenario library leaves: its journal, as JSON and as text, and its log.

use std::fs;
use std::path::Path;

use relapse::Scenario;
use relapse::detect::{Detector, Ended, Loop, Report, Settings};
use relapse::journal::{Format, Journal, Record, Style};
use relapse::scenario::Kind;

use crate::lockstep::options;

/// Pages whose journal says something else than their kind, and why.
const EXCEPTIONS: &[(&str, &[Ended], &str)] = &[
    (
        "fixes/let-systemd-alone-restart.md",
        &[Ended::Ongoing, Ended::Recovered],
        "the loop is inside of one process of the unit: in text the script is its subject, and nothing ends it",
    ),
    (
        "fixes/restart-on-failure-for-a-duplicate-that-exits-with-0.md",
        &[Ended::Ongoing, Ended::Unknown],
        "a duplicate that exits with 0 is left alone: the journal just ends",
    ),
];

/// Pages whose program ends before its first words: its log shows one start, or none that is a loop, and the journal all.
const SILENT: &[(&str, &str)] = &[
    ("fixes/remove-the-stale-pid-file.md", STALE),
    ("fixes/restart-on-failure-for-a-duplicate-that-exits-with-0.md", DUPLICATE),
    ("non-fixes/reset-a-loop-that-never-fails.md", DUPLICATE),
    ("non-fixes/restart-with-a-stale-pid-file.md", STALE),
    ("variants/a-duplicate-that-exits-with-0.md", DUPLICATE),
    ("variants/a-stale-pid-file.md", STALE),
];
const DUPLICATE: &str = "a duplicate that finds the port taken exits without a word";
const STALE: &str = "who finds a pid file exits without a word";

/// Pages whose loop is inside of one process of the unit: in text, where no line names the unit, the script is the subject.
const INSIDE: &[&str] = &[
    "fixes/let-systemd-alone-restart.md",
    "traps/restart-no-for-a-loop-inside-the-unit.md",
    "variants/a-loop-inside-the-unit.md",
];

fn judged(bytes: &[u8]) -> Report {
    let mut detector = Detector::new(Settings::default());
    bytes.chunks(64 << 10).for_each(|chunk| detector.feed(chunk));
    detector.finish()
}

/// The journal's lines as another format.
fn rendered(json: &str, format: Format, version: u32) -> Vec<u8> {
    let mut journal = Journal::new("0");
    for line in json.lines() {
        journal.append(Record::from_json(line).expect("a record"));
    }
    let (style, mut out, mut previous) = (Style::new(format, version), Vec::new(), None);
    for entry in journal.entries() {
        style.write(&mut out, &entry, previous.as_ref());
        previous = Some(entry);
    }
    out
}

/// How a loop may have ended in the journal, by the page's kind; none where anything may be found.
fn allowed(name: &str, kind: Kind) -> Option<&'static [Ended]> {
    if let Some((_, allowed, _)) = EXCEPTIONS.iter().find(|(page, ..)| *page == name) {
        return Some(allowed);
    }
    match kind {
        Kind::Incident | Kind::NonFix => Some(&[Ended::Ongoing]),
        // Whether it recovered or was stopped for good.
        Kind::Fix => Some(&[Ended::Recovered, Ended::Unknown]),
        Kind::Limit => Some(&[Ended::StartLimit, Ended::Recovered, Ended::Unknown]),
        // It answers before and after the fix.
        Kind::Check => Some(&[Ended::Recovered]),
        Kind::Trap | Kind::Behaviour => None,
    }
}

/// What is wrong with what the journal is said to show.
fn journal_is_wrong(name: &str, scenario: &Scenario, report: &Report) -> Option<&'static str> {
    let unit = scenario.unit.as_deref().unwrap_or_default();
    let is_stranger =
        |found: &Loop| found.subject != unit && (found.subject.ends_with(".service") || !INSIDE.contains(&name));
    match (allowed(name, scenario.kind), &report.loops[..]) {
        (_, [_, _, ..]) => Some("one fight is one entry"),
        (_, [found]) if is_stranger(found) => Some("another than the unit is accused"),
        (Some(allowed), [found]) if allowed.contains(&found.ended) => None,
        (Some(_), []) => Some("its loop is not found"),
        (Some(_), [_]) => Some("it ended otherwise"),
        // What a unit does without an incident is no loop.
        (None, [_]) if scenario.kind == Kind::Behaviour => Some("there is none"),
        (None, _) => None,
    }
}

/// What is wrong with what the program's own log is said to show: its starts, and nothing of what ended them. After a fix
/// it ends with the start that held, and whether that holds is not told.
fn log_is_wrong(name: &str, kind: Kind, report: &Report) -> Option<&'static str> {
    let is_silent = SILENT.iter().any(|(page, _)| *page == name);
    match (kind, &report.loops[..]) {
        (_, [_, _, ..]) => Some("one fight is one entry"),
        (_, [_]) if is_silent => Some("it shows its loop, contrary to what is said here"),
        (Kind::Behaviour, [_]) => Some("there is none"),
        (Kind::Incident | Kind::NonFix, [found]) if found.ended != Ended::Ongoing => Some("it goes on"),
        (Kind::Incident | Kind::NonFix | Kind::Fix | Kind::Limit | Kind::Check, []) if !is_silent => {
            Some("its loop is not found")
        }
        _ => None,
    }
}

#[test]
fn what_every_page_leaves_is_judged_as_its_kind_says() {
    let mut wrong = Vec::new();
    let pages = crate::library::pages();
    for name in &pages {
        let scenario = Scenario::load(format!("scenarios/{name}")).unwrap_or_else(|error| panic!("{error}"));
        let directory = tempfile::tempdir().expect("a directory");
        let options = relapse::Options { artifacts: Some(directory.path().to_owned()), ..options() };
        let outcome = scenario.run(&options).expect("the run begins");
        let kept = outcome.artifacts.expect("artifacts");
        let json = fs::read_to_string(Path::new(&kept).join("journal.jsonl")).expect("a journal");
        let version = u32::from(scenario.settings.profile.version());
        let text = rendered(&json, Format::ShortIsoPrecise, version);
        let (json, text) = (judged(json.as_bytes()), judged(&text));
        let log = judged(&fs::read(Path::new(&kept).join("app.log")).unwrap_or_default());
        let views = [
            ("json", journal_is_wrong(name, &scenario, &json), &json),
            ("text", journal_is_wrong(name, &scenario, &text), &text),
            ("app.log", log_is_wrong(name, scenario.kind, &log), &log),
        ];
        for (view, why, report) in views {
            let Some(why) = why else { continue };
            wrong.push(format!("{name} ({}), {view}: {why}: {}", scenario.kind.as_str(), report.to_json(name)));
        }
    }
    let excused = EXCEPTIONS.iter().map(|(page, ..)| page).chain(SILENT.iter().map(|(page, _)| page)).chain(INSIDE);
    for page in excused {
        assert!(pages.iter().any(|name| name == page), "{page} is gone");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
