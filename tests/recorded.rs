//! One test per case that was run on real systemd 252 (`fixtures/systemd/cases*.jsonl`): the same units, programs and
//! commands with real processes in lock-step, whose records, answers and times must be systemd's. What is compared, and
//! what is not, is in `fixtures/systemd/README.md`.
//!
//! `cargo test --test recorded d020` runs one of them, and `RELAPSE_CASES=FILE cargo test --test recorded` runs a recording
//! of your own instead (`fixtures/systemd/record/record.py` makes them).

use libtest_mimic::{Arguments, Failed, Trial};
use relapse::Options;
use relapse::conform::{Recording, compare, embedded};
use relapse::unit::Profile;

/// Cases that differ, and why. One that no longer differs fails until it is struck off.
const KNOWN: &[(&str, &[&str])] =
    &[("journalctl -x adds no explanations: they are texts of systemd's catalog", &["jnl11", "jnl11_257"])];

const RECORDED: &[&str] = &[
    include_str!("../fixtures/systemd/cases.jsonl"),
    include_str!("../fixtures/systemd/cases-random.jsonl"),
    include_str!("../fixtures/systemd/cases-groups.jsonl"),
    include_str!("../fixtures/systemd/cases-webs.jsonl"),
    include_str!("../fixtures/systemd/cases-257.jsonl"),
    include_str!("../fixtures/systemd/cases-conform.jsonl"),
];

fn main() {
    relapse::init();
    let args = Arguments::from_args();
    let cases: Vec<Recording> = match std::env::var_os("RELAPSE_CASES") {
        Some(file) => lines(&std::fs::read_to_string(file).expect("RELAPSE_CASES names a recording")).collect(),
        None => {
            let ours: Vec<Recording> = RECORDED.iter().flat_map(|text| lines(text)).collect();
            assert!(ours.len() >= 995, "only {} cases", ours.len());
            ours
        }
    };
    // Descriptors are sent by programs in Python.
    let has_python = std::path::Path::new("/usr/bin/python3").exists();
    let trials: Vec<Trial> = cases
        .into_iter()
        .map(|recording| {
            let ignored = ["fds", "fdp"].contains(&recording.case.family.as_str()) && !has_python;
            let name = format!("{}_{}", recording.case.family, name(&recording));
            Trial::test(name, move || test(&recording)).with_ignored_flag(ignored)
        })
        .collect();
    libtest_mimic::run(&args, trials).exit();
}

fn lines(text: &str) -> impl Iterator<Item = Recording> + '_ {
    text.lines().map(|line| serde_json::from_str(line).expect("a recorded case"))
}

/// Whose rules and words the manager follows.
fn profile(recording: &Recording) -> Profile {
    if recording.recordings.systemd.starts_with("systemd 257") { Profile::V257 } else { Profile::V252 }
}

/// How a case is called here.
fn name(recording: &Recording) -> String {
    let version = if profile(recording) == Profile::V257 { "_257" } else { "" };
    format!("{}{version}", recording.case.id)
}

fn test(recording: &Recording) -> Result<(), Failed> {
    let id = name(recording);
    let excuse = || KNOWN.iter().find(|(_, known)| known.contains(&id.as_str()));
    let wrong = match replay(recording) {
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
fn replay(recording: &Recording) -> Result<Vec<String>, relapse::Fault> {
    let Recording { case, expected, .. } = recording;
    let ours = embedded::play(case, profile(recording), Some(expected), &Options::default())?;
    let mut wrong: Vec<String> = compare::compare(case, expected, &ours).iter().map(ToString::to_string).collect();
    if !wrong.is_empty() {
        let said: Vec<String> =
            ours.messages.iter().map(|message| format!("{:>6} {}", message.t_ms.0, compare::line(message))).collect();
        wrong.push(format!("\nwhat was logged here:\n{}", said.join("\n")));
    }
    Ok(wrong)
}
