//! Units that were generated at random and run on real systemd 252 (`fixtures/systemd/cases.jsonl`), and how what
//! somebody else makes of them is compared with what systemd made of them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Where the recordings had `@DIR@`.
pub const DIR: &str = "/case";

/// How much later or earlier than recorded something may happen: the recordings are of a machine with other work.
pub const TOLERANCE_MS: u64 = 300;

/// All recorded cases.
pub fn all() -> impl Iterator<Item = Value> {
    include_str!("../../fixtures/systemd/cases.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON"))
}

/// A text of a recording.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// A message about the case's unit.
pub struct Said {
    /// Milliseconds since the first action.
    pub at_ms: u64,
    /// `PRIORITY`.
    pub priority: u8,
    /// `MESSAGE`.
    pub text: String,
    /// `MESSAGE_ID`.
    pub message_id: Option<String>,
    /// `INVOCATION_ID`.
    pub invocation: Option<String>,
    /// The event fields.
    pub fields: Vec<(String, String)>,
    /// Whether a child said it before it became its program, not PID 1.
    pub by_child: bool,
}

/// What a command line came to.
pub struct Printed {
    /// When it ended, in milliseconds since the first action.
    pub at_ms: u64,
    /// Exit code.
    pub code: u8,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The text with PID for every number that stands after `process` or `PID`.
pub(crate) fn without_pids(text: &str) -> String {
    let mut out = Vec::new();
    for word in text.split(' ') {
        let digits = word.trim_end_matches(',');
        let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let after_process = matches!(out.last(), Some(&"process" | &"PID"));
        out.push(match number && after_process {
            true if word.ends_with(',') => "PID,",
            true => "PID",
            false => word,
        });
    }
    out.join(" ")
}

/// The messages of PID 1 are systemd's: text, priority, MESSAGE_ID, event fields, invocation, order and time; and those
/// of its children, in any order.
pub fn compare_messages(case: &Value, said: &[Said], wrong: &mut Vec<String>) {
    let mut invocations: Vec<&str> = Vec::new();
    let mut mine = Vec::new();
    let mut children = Vec::new();
    for message in said {
        let words = without_pids(&message.text).replace(DIR, "@DIR@").replace("PID (", "<PID> (");
        let id = message.message_id.as_deref().unwrap_or("-");
        if message.by_child {
            children.push(format!("<{}> {words} {id}", message.priority));
            continue;
        }
        let number = message.invocation.as_deref().map_or(0, |invocation| {
            1 + invocations.iter().position(|known| *known == invocation).unwrap_or_else(|| {
                invocations.push(invocation);
                invocations.len() - 1
            })
        });
        let fields: BTreeMap<&str, &str> = message
            .fields
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "JOB_ID" | "CONFIG_FILE" | "CONFIG_LINE"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        mine.push((message.at_ms, format!("<{}> #{number} {words} {id} {fields:?}", message.priority)));
    }
    let expected = &case["expected"];
    let theirs: Vec<(u64, u64, String)> = expected["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| {
            let not_fields = ["msg", "prio", "id", "inv", "t_ms"];
            let fields: BTreeMap<&str, &str> = message
                .as_object()
                .expect("an object")
                .iter()
                .filter(|(name, _)| !not_fields.contains(&name.as_str()))
                .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
                .collect();
            let id = message["id"].as_str().unwrap_or("-");
            let line = format!("<{}> #{} {} {id} {fields:?}", message["prio"], message["inv"], text(message, "msg"));
            let time = |index: usize| message["t_ms"][index].as_u64().expect("a time");
            (time(0), time(1), line)
        })
        .collect();
    for index in 0..mine.len().max(theirs.len()) {
        match (mine.get(index), theirs.get(index)) {
            (Some((at, mine)), Some((from, to, theirs))) if mine == theirs => {
                if at + TOLERANCE_MS < *from || *at > to + TOLERANCE_MS {
                    wrong.push(format!("message {index} at {at} ms, not {from}..{to}: {mine}"));
                }
            }
            (mine, theirs) => {
                let mine = mine.map_or("nothing", |(_, line)| line);
                let theirs = theirs.map_or("nothing", |(_, _, line)| line);
                wrong.push(format!("message {index}: {mine}\n            not {theirs}"));
                break;
            }
        }
    }
    let mut wanted: Vec<String> = expected["child_messages"]
        .as_array()
        .expect("child messages")
        .iter()
        .map(|message| {
            format!("<{}> {} {}", message["prio"], text(message, "msg"), message["id"].as_str().unwrap_or("-"))
        })
        .collect();
    // How often each was said is a matter of how many attempts the recording covers.
    for list in [&mut children, &mut wanted] {
        list.sort_unstable();
        list.dedup();
    }
    if children != wanted {
        wrong.push(format!("children said {children:?}, not {wanted:?}"));
    }
}

/// The command line printed and returned what it did on systemd, and ended when it did there.
pub fn compare_command(line: &str, command: &Value, printed: Option<&Printed>, wrong: &mut Vec<String>) {
    let Some(printed) = printed else {
        // A command that the recording did not see the end of either.
        if command["rc"].is_i64() {
            wrong.push(format!("{line}: does not end, was recorded to end at {}", command["end_ms"]));
        }
        return;
    };
    let Some(code) = command["rc"].as_i64() else {
        return wrong.push(format!("{line}: ends at {} ms, was not recorded to end", printed.at_ms));
    };
    if i64::from(printed.code) != code {
        wrong.push(format!("{line}: exit code {}, not {code}", printed.code));
    }
    let stdout = printed.stdout.replace(DIR, "@DIR@");
    let stdout = if line.contains(" status ") { without_the_moment(&stdout) } else { stdout };
    for (ours, theirs) in [
        (stdout, command["out"].as_str().unwrap_or_default()),
        (printed.stderr.clone(), command["err"].as_str().unwrap_or_default()),
    ] {
        if ours.trim_end() != theirs.trim_end() {
            let verb = line.split(" -p ").next().unwrap_or(line);
            wrong.push(format!("{verb}: (- we, + systemd)\n{}", differing_lines(&ours, theirs)));
        }
    }
    let time = |index: usize| command["end_ms"][index].as_u64().unwrap_or_default();
    let ended = printed.at_ms;
    if ended + TOLERANCE_MS < time(0) || ended > time(1) + TOLERANCE_MS {
        wrong.push(format!("{line}: ends at {ended} ms, not {}..{}", time(0), time(1)));
    }
}

/// The lines of which only one side has as many.
fn differing_lines(ours: &str, theirs: &str) -> String {
    let mut out = String::new();
    for (sign, these, those) in [('-', ours, theirs), ('+', theirs, ours)] {
        let mut those: Vec<&str> = those.lines().collect();
        for line in these.lines() {
            match those.iter().position(|other| *other == line) {
                Some(at) => _ = those.remove(at),
                None => out.push_str(&format!("{sign} {line}\n")),
            }
        }
    }
    if out.is_empty() {
        out.push_str("the same lines in another order");
    }
    out
}

/// A status as it was kept: without the lines that differ each time, PIDs and times.
fn without_the_moment(status: &str) -> String {
    let mut out = String::new();
    // The processes and the log come last.
    for line in status.lines().take_while(|line| !line.is_empty() && !line.starts_with("     CGroup:")) {
        let label = line.split(':').next().unwrap_or_default().trim();
        if ["Duration", "Tasks", "Memory", "CPU"].contains(&label) {
            continue;
        }
        let mut kept = line.to_owned();
        for (before, word) in [(" since ", "<TIME>"), (" at ", "<TIME>")] {
            if let Some(at) = kept.find(before)
                && matches!(label, "Active" | "Condition" | "Assert")
            {
                kept.truncate(at + before.len());
                kept.push_str(word);
            }
        }
        for before in ["Process: ", "Main PID: ", "Control PID: ", "Cntrl PID: "] {
            if let Some(at) = kept.find(before) {
                let start = at + before.len();
                let end = kept[start..].find(|c: char| !c.is_ascii_digit()).map_or(kept.len(), |n| start + n);
                kept.replace_range(start..end, "<PID>");
            }
        }
        out.push_str(&kept);
        out.push('\n');
    }
    out
}
