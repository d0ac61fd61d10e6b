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

/// How the last loop may have ended, by the page's kind; none where anything may be found.
fn allowed(name: &str, kind: Kind) -> Option<&'static [Ended]> {
    if let Some((_, allowed, _)) = EXCEPTIONS.iter().find(|(page, ..)| *page == name) {
        return Some(allowed);
    }
    match kind {
        Kind::Incident | Kind::NonFix => Some(&[Ended::Ongoing]),
        // Whether it recovered or was stopped for good.
        Kind::Fix => Some(&[Ended::Recovered, Ended::Unknown]),
        Kind::Limit => Some(&[Ended::StartLimit, Ended::Recovered, Ended::Unknown]),
        Kind::Check | Kind::Trap | Kind::Behaviour => None,
    }
}

#[test]
fn what_every_page_leaves_is_judged_as_its_kind_says() {
    let (mut wrong, mut logs) = (Vec::new(), 0);
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
        for (view, report) in [("json", judged(json.as_bytes())), ("text", judged(&text))] {
            let last: Option<&Loop> = report.loops.last();
            let agrees = match allowed(name, scenario.kind) {
                Some(allowed) => last.is_some_and(|last| allowed.contains(&last.ended)),
                // What a unit does without an incident is no loop.
                None if scenario.kind == Kind::Behaviour => last.is_none(),
                None => true,
            };
            let accused = report.loops.iter().filter(|found| found.subject.ends_with(".service"));
            let unit = scenario.unit.as_deref().unwrap_or_default();
            let strangers = accused.filter(|found| found.subject != unit).count();
            // A loop inside of one process is its program's in text, where no line names the unit.
            if !agrees || strangers > 0 {
                wrong.push(format!("{name} ({}), {view}: {}", scenario.kind.as_str(), report.to_json(name)));
            }
        }
        // The program's own log shows its starts and nothing of what ended them. Where it is none of the program's first
        // words that repeat, or too few, there is nothing to be found in it.
        let log = judged(&fs::read(Path::new(&kept).join("app.log")).unwrap_or_default());
        logs += usize::from(log.has_loop());
        if scenario.kind == Kind::Behaviour && log.has_loop() {
            wrong.push(format!("{name}, app.log: {}", log.to_json(name)));
        }
    }
    for (page, ..) in EXCEPTIONS {
        assert!(pages.iter().any(|name| name == page), "{page} is gone");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(logs >= 60, "only {logs} logs of programs show their loop");
}
