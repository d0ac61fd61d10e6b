//! Every service type and phase as it was recorded on systemd 252 (`fixtures/systemd/recorded/types_phases_252.txt`):
//! the same units, typed the same way, with real processes. What was answered and logged is what we answer and log.

use std::collections::BTreeMap;

use relapse::Options;
use relapse::run::{Live, LiveSetup};
use relapse::time::{IncidentTime, Span};
use relapse::unit::Profile;

const RECORDING: &str = include_str!("../../fixtures/systemd/recorded/types_phases_252.txt");

/// 2026-11-23 16:46:00 UTC.
const START: IncidentTime = IncidentTime::from_micros(1_795_452_360_000_000);

/// Real systemd's timers fire up to a quarter of a second late, ours at another phase of that quarter.
const TOLERANCE_MS: u64 = 300;

/// After its start a unit was left alone for so long, and those that had to wait for a timer for longer.
const PAUSE: &[(&str, &str)] = &[("wdog", "0.87"), ("rtmax", "0.87"), ("", "0.3")];

/// Units that do not load: they were looked at another number of times than here before they were started, and each
/// look says what is wrong once more. `unit_file_parse.json` has them.
const NOT_LOADED: &[&str] = &["noexec", "twoexec", "oneshotalways", "badtype", "badpath", "badquote", "unknown"];

/// The recording's own script, by what it printed.
const ENVDUMP: &str = "#!/bin/sh\n\
    echo \"$1: RESULT=$SERVICE_RESULT CODE=$EXIT_CODE STATUS=$EXIT_STATUS MAINPID=${MAINPID:+set} \
    INV=${INVOCATION_ID:+set} JS=${JOURNAL_STREAM:+set} SYSEXEC=${SYSTEMD_EXEC_PID:+set} \
    NOTIFY=${NOTIFY_SOCKET:+set} PATH=$PATH LANG=$LANG HOME=$HOME USER=$USER SHELL=$SHELL LOGNAME=$LOGNAME\"\n";

/// One unit: its settings, the commands with what they answered, and what was logged.
#[derive(Debug, Default)]
struct Case {
    name: &'static str,
    settings: Vec<&'static str>,
    commands: Vec<Command>,
    log: Vec<Logged>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Command {
    line: &'static str,
    stdout: String,
    stderr: String,
    code: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Logged {
    at_ms: u64,
    /// By the manager itself.
    manager: bool,
    /// `<PRIORITY> text`.
    text: String,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in RECORDING.lines() {
        if let Some((name, settings)) = line.strip_prefix("######## ").and_then(|head| head.split_once(" ::: ")) {
            let settings = settings.split('|').filter(|setting| !setting.is_empty()).collect();
            cases.push(Case { name, settings, ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a head first");
        if let Some(line) = line.strip_prefix("$ ") {
            case.commands.push(Command { line, ..Command::default() });
        } else if let Some(command) = case.commands.last_mut().filter(|_| case.log.is_empty()) {
            let text = |text: &str| format!("{}\n", text.strip_prefix(' ').unwrap_or(text));
            if let Some(out) = line.strip_prefix("OUT:") {
                command.stdout += &text(out);
            } else if let Some(error) = line.strip_prefix("ERR:") {
                command.stderr += &text(error);
            } else if let Some(code) = line.strip_prefix("rc=") {
                command.code = code.parse().expect("an exit code");
            }
        }
        if let Some(record) = line.strip_prefix('+') {
            case.log.push(logged(record));
        }
    }
    cases
}

/// `  0.497 <4> systemd[1] 'text' NAME FIELDS`, the text in quotes of either kind.
fn logged(record: &str) -> Logged {
    let mut words = record.trim_start().splitn(4, ' ');
    let mut word = || words.next().expect("a field");
    let (seconds, priority, ident, rest) = (word(), word(), word(), word());
    let (whole, part) = seconds.split_once('.').expect("seconds");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let quote = rest.chars().next().expect("a quote");
    let end = rest.rfind(quote).expect("its end");
    Logged {
        at_ms: number(whole) * 1000 + number(part),
        manager: ident == "systemd[1]",
        text: format!("{priority} {}", &rest[1..end]),
    }
}

/// Without what differs from run to run: PIDs, moments, CPU time, and where the run's commands are.
fn bare(text: &str) -> String {
    let rules = [
        (r"(?m)^ *(CPU|Duration): .*\n", ""),
        (r"(?m) (since|failed at) .*; .* ago$", " $1"),
        (r"PATH=\S*", "PATH"),
        (r"(?m)(Process: |PID: |[├└]─|process )\d+", "${1}N"),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, with)| {
        regex::Regex::new(pattern).expect("a pattern").replace_all(&text, *with).into_owned()
    })
}

fn replay(case: &Case) -> Vec<String> {
    let setup = LiveSetup {
        profile: Profile::V252,
        start: START,
        timer_phase: Span::from_millis(164),
        hostname: "semtest".to_owned(),
        directories: vec!["/run".to_owned(), "/usr/local".to_owned()],
        ports: Default::default(),
        unknown_accounts: Default::default(),
    };
    let options = Options { helper: Some(env!("CARGO_BIN_EXE_relapse").into()), ..Options::default() };
    let mut live = Live::boot(setup, &options).expect("a machine");
    let unit = format!(
        "[Unit]\nDescription={} desc\n[Service]\n{}\n[Install]\nWantedBy=multi-user.target\n",
        case.name,
        case.settings.join("\n")
    );
    live.write(&format!("/etc/systemd/system/{}.service", case.name), &unit).expect("a unit");
    live.write("/usr/local/bin/envdump.sh", ENVDUMP).expect("a script");
    live.enter(&format!("systemctl enable -q {}", case.name)).expect("a command");
    live.run_until(START + Span::from_secs(1)).expect("a run");
    let begin = live.now();
    let pause = PAUSE.iter().find(|(name, _)| case.name.starts_with(name)).expect("a pause").1;
    let mut script = String::new();
    for (index, command) in case.commands.iter().enumerate() {
        let line = command.line;
        script += &format!("{line} >/home/{index}.out 2>/home/{index}.err; echo $? >/home/{index}.rc\n");
        if index == 0 {
            script += &format!("sleep {pause}\n");
        }
    }
    live.enter(&script).expect("commands");
    live.run_until(begin + Span::from_secs(10)).expect("a run");

    let mut wrong = Vec::new();
    let read = |live: &Live, name: String| {
        live.read(&name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    for (index, command) in case.commands.iter().enumerate() {
        let file = |what: &str| read(&live, format!("/home/{index}.{what}"));
        let ours = [file("rc").trim().to_owned(), bare(&file("out")), file("err")];
        let theirs = [command.code.to_string(), bare(&command.stdout), command.stderr.clone()];
        if ours != theirs {
            wrong.push(format!("$ {}\nwe: {ours:#?}\nsystemd: {theirs:#?}", command.line));
        }
    }
    let service = format!("{}.service", case.name);
    let ours: Vec<Logged> = live
        .journal()
        .entries()
        .map(|entry| entry.record)
        .filter(|record| {
            record.get("UNIT") == Some(service.as_str()) || record.get("_SYSTEMD_UNIT") == Some(service.as_str())
        })
        .map(|record| Logged {
            at_ms: record.realtime.since(begin).as_micros() / 1000,
            manager: record.get("_PID") == Some("1"),
            text: format!("<{}> {}", record.priority().unwrap_or(6), record.message()),
        })
        .collect();
    live.end().expect("an end");
    // The manager's records in their order, the others as they may come: they reach the journal another way.
    for manager in [true, false] {
        let pick = |log: &[Logged]| {
            let mut picked: Vec<Logged> = log.iter().filter(|record| record.manager == manager).cloned().collect();
            picked.iter_mut().for_each(|record| record.text = bare(&record.text));
            if !manager {
                picked.sort_by(|a, b| a.text.cmp(&b.text));
            }
            picked
        };
        let (ours, theirs) = (pick(&ours), pick(&case.log));
        let texts = |log: &[Logged]| log.iter().map(|record| record.text.clone()).collect::<Vec<_>>();
        let late = ours.iter().zip(&theirs).any(|(we, they)| we.at_ms.abs_diff(they.at_ms) > TOLERANCE_MS);
        if texts(&ours) != texts(&theirs) || late {
            wrong.push(format!("log, manager's: {manager}\nwe: {ours:#?}\nsystemd: {theirs:#?}"));
        }
    }
    wrong
}

#[test]
fn types_and_phases_go_as_recorded() {
    let cases = cases();
    assert_eq!(cases.len(), 40, "every unit of the recording");
    let mut wrong = BTreeMap::new();
    for case in cases.iter().filter(|case| !NOT_LOADED.contains(&case.name)) {
        let differences = replay(case);
        if !differences.is_empty() {
            wrong.insert(case.name, differences.join("\n"));
        }
    }
    let report: Vec<String> = wrong.iter().map(|(name, differences)| format!("== {name}\n{differences}")).collect();
    assert!(report.is_empty(), "{} of {} differ\n{}", report.len(), cases.len(), report.join("\n"));
}
