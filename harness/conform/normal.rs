//! What is taken out of a text because it is another in every run: PIDs, moments, numbers of jobs.
//!
//! `fixtures/systemd/record/normal.py` does the same to what systemd printed for the recordings.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

macro_rules! patterns {
    ($($pattern:expr => $instead:expr),* $(,)?) => {
        LazyLock::new(|| vec![$((Regex::new($pattern).expect("a pattern"), $instead)),*])
    };
}

type Patterns = LazyLock<Vec<(Regex, &'static str)>>;

/// An instance for a connection is called after its client: a port, or a PID and a UID.
static CLIENTS: Patterns = patterns! {
    r"(@\d+-[\d.]+:\d+-[\d.]+:)\d+(\.service)" => "$1<PORT>$2",
    r"(@\d+-)\d+(-\d+\.service)" => "$1<PID>$2",
    r"(\((?:\d+\.){3}\d+:)\d{5}\)" => "$1<PORT>)",
    r"\bPID \d+/UID" => "PID <PID>/UID",
};

/// In this order. What stands for a moment says how it was written.
static ANYWHERE: Patterns = patterns! {
    r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} UTC" => "<TIME-US>",
    r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC" => "<TIME>",
    r"(?m)^(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d\.\d{6} " => "<SHORT-PRECISE> ",
    r"(?m)^(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d " => "<SHORT> ",
    r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+(00:?00)\b" => "<ISO-PRECISE+$1>",
    r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+(00:?00)\b" => "<ISO+$1>",
    r"(?m)^\d{10}\.\d{6} " => "<UNIX> ",
    r"(?m)^\[ *\d+\.\d{6}\] " => "<MONOTONIC> ",
    // The manager's own number, 1, stays.
    r"\[(?:[02-9]|\d{2,})\]: " => "[<PID>]: ",
    r"(?m)^(        Job): \d+$" => "$1: <JOB>",
    r"(?m)^( Invocation): [0-9a-f]{32}$" => "$1: <ID>",
    r"\bJob ID: \d+" => "Job ID: <JOB>",
    r"\bjob identifier is \d+" => "job identifier is <JOB>",
    r"(?m)^((?:Exec)?(?:Main|Control)PID)=[1-9]\d*$" => "$1=<PID>",
    r"(?m)^(\w+Monotonic)=[1-9]\d*$" => "$1=<US>",
    r"\b(InvocationID|_BOOT_ID|INVOCATION_ID|_SYSTEMD_INVOCATION_ID)=[0-9a-f]{32}\b" => "$1=<ID>",
    r#"(?m)^(\t"(?:__CURSOR|__REALTIME_TIMESTAMP|__MONOTONIC_TIMESTAMP|_BOOT_ID)" : )"[^"]*""# => "$1\"<N>\"",
    r"(?m)^( *)(__CURSOR|__REALTIME_TIMESTAMP|__MONOTONIC_TIMESTAMP|_SOURCE_REALTIME_TIMESTAMP|_STREAM_ID|JOB_ID)=.*$"
        => "$1$2=<N>",
    r"(?m)^( *)_PID=(?:[02-9]|\d{2,})$" => "${1}_PID=<PID>",
    r" \[s=[0-9a-f]+;i=[0-9a-f;=bmtx]+\]" => " [<CURSOR>]",
    r"; pid=[1-9]\d* ;" => "; pid=<PID> ;",
    r"\b(process|PID) \d+\b" => "$1 <PID>",
};

static STATUS: Patterns = patterns! {
    r"^( *(?:Active|Condition|Assert): .*?) (since|at) (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) .*$" => "$1 $2 <TIME>",
    r"(Process: |Main PID: |Control PID: |Cntrl PID: )\d+" => "$1<PID>",
};

static JOBS: Patterns = patterns! {
    r"(?m)^ *\d+ +(\S+\.\S+ )" => "<JOB> $1",
    r"(?m)^ *JOB +" => "JOB ",
};

static PROCESS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(process|PID) \d+\b").expect("a pattern"));

/// Lists that systemd shows in the order of a hash table.
static SETS: LazyLock<Regex> = LazyLock::new(|| {
    let names = "Requires|Requisite|Wants|BindsTo|PartOf|Upholds|RequiredBy|WantedBy|BoundBy|Conflicts|ConflictedBy\
                 |Before|After|Triggers|TriggeredBy|Names";
    Regex::new(&format!("(?m)^({names})=(.*)$")).expect("a pattern")
});

/// Fields of a record that are numbers of its machine.
const NUMBERS: &[&str] = &[
    "__CURSOR",
    "__SEQNUM",
    "__SEQNUM_ID",
    "__REALTIME_TIMESTAMP",
    "__MONOTONIC_TIMESTAMP",
    "_SOURCE_REALTIME_TIMESTAMP",
    "_BOOT_ID",
    "JOB_ID",
    "INVOCATION_ID",
    "_SYSTEMD_INVOCATION_ID",
    "_STREAM_ID",
    "_MACHINE_ID",
    "_CAP_EFFECTIVE",
    "_EXE",
    "_CMDLINE",
];

/// A message without the numbers of processes, and of clients.
pub fn without_pids(text: &str) -> String {
    PROCESS.replace_all(&replaced(&CLIENTS, text.to_owned()), "$1 <PID>").into_owned()
}

/// What a command printed, without what is of that moment.
pub fn printed(line: &str, text: &str) -> String {
    let mut text = text.to_owned();
    if line.contains(" status") {
        text = status(&text, line.contains(" -n"));
    }
    if line.contains(" list-jobs") {
        text = replaced(&JOBS, text);
    }
    if line.starts_with("systemctl show ") {
        let sorted = |captures: &Captures<'_>| {
            let mut words: Vec<&str> = captures[2].split_whitespace().collect();
            words.sort_unstable();
            format!("{}={}", &captures[1], words.join(" "))
        };
        text = SETS.replace_all(&text, sorted).into_owned();
    }
    if text.starts_with('{') {
        text = text.lines().map(json_line).collect();
    }
    replaced(&ANYWHERE, replaced(&CLIENTS, text))
}

fn replaced(patterns: &Patterns, mut text: String) -> String {
    for (pattern, instead) in patterns.iter() {
        text = pattern.replace_all(&text, *instead).into_owned();
    }
    text
}

/// A record without the numbers of its machine, its fields in the order of the alphabet.
fn json_line(line: &str) -> String {
    let Ok(Value::Object(mut record)) = serde_json::from_str(line) else { return format!("{line}\n") };
    for name in NUMBERS {
        if let Some(value) = record.get_mut(*name) {
            *value = "<N>".into();
        }
    }
    if let Some(pid) = record.get_mut("_PID")
        && pid != "1"
    {
        *pid = "<PID>".into();
    }
    format!("{}\n", Value::Object(record))
}

/// Without Duration, Tasks, Memory, CPU, the processes and, unless their number was asked for, the lines of the log.
fn status(text: &str, logs: bool) -> String {
    let mut out = Vec::new();
    let mut skip = false;
    for line in text.split('\n') {
        if line.starts_with(['●', '○', '×', '↻', '*', 'x']) {
            skip = false;
        } else if line.is_empty() || line.starts_with("     CGroup:") {
            // What follows is the log, or the next unit.
            skip = !logs || !line.is_empty();
            if logs && line.is_empty() {
                out.push(String::new());
            }
            continue;
        }
        let label = line.split(':').next().unwrap_or_default().trim();
        if !skip && !["Duration", "Tasks", "Memory", "CPU"].contains(&label) {
            out.push(replaced(&STATUS, line.to_owned()));
        }
    }
    out.join("\n")
}
