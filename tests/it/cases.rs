//! What real systemd 252 did with units, programs and commands (`fixtures/systemd/cases*.jsonl`), and how what somebody
//! else makes of them is compared with it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::normal;

/// Where the recordings had `@DIR@`.
pub const DIR: &str = "/case";

/// How much later or earlier than recorded something may happen: the recordings are of a machine with other work.
pub const TOLERANCE_MS: u64 = 300;

/// Units that were generated at random, one a case.
pub fn all() -> impl Iterator<Item = Value> {
    let files =
        [include_str!("../../fixtures/systemd/cases.jsonl"), include_str!("../../fixtures/systemd/cases-random.jsonl")];
    files.into_iter().flat_map(str::lines).map(|line| serde_json::from_str(line).expect("JSON"))
}

/// Fields of the manager's records that were not recorded everywhere.
const NOT_COMPARED: &[&str] = &["JOB_ID", "CONFIG_FILE", "CONFIG_LINE", "ERRNO"];

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
    /// `UNIT`; all of them if there are several.
    pub unit: String,
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

/// The messages of PID 1 are systemd's: text, priority, MESSAGE_ID, event fields, unit, invocation, order and time; and
/// those of its children, in any order.
pub fn compare_messages(case: &Value, said: &[Said], wrong: &mut Vec<String>) {
    let own = format!("{}.service", text(case, "id"));
    let unit = |name: &str| if name == own { String::new() } else { format!(" [{name}]") };
    let mut invocations: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut mine = Vec::new();
    let mut children = Vec::new();
    for message in said {
        let words = normal::without_pids(&message.text).replace(DIR, "@DIR@");
        let id = message.message_id.as_deref().unwrap_or("-");
        let about = unit(&message.unit);
        if message.by_child {
            children.push(format!("<{}>{about} {words} {id}", message.priority));
            continue;
        }
        let known = invocations.entry(&message.unit).or_default();
        let number = message.invocation.as_deref().map_or(0, |invocation| {
            1 + known.iter().position(|known| *known == invocation).unwrap_or_else(|| {
                known.push(invocation);
                known.len() - 1
            })
        });
        let fields: BTreeMap<&str, &str> = message
            .fields
            .iter()
            .filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let line = format!("<{}>{about} #{number} {words} {id} {fields:?}", message.priority);
        mine.push((about, message.at_ms, line));
    }
    let expected = &case["expected"];
    let mut theirs: Vec<(String, u64, u64, String)> = expected["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| {
            let not_fields = ["msg", "prio", "id", "inv", "t_ms", "unit", "ERRNO"];
            let fields: BTreeMap<&str, &str> = message
                .as_object()
                .expect("an object")
                .iter()
                .filter(|(name, _)| !not_fields.contains(&name.as_str()))
                .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
                .collect();
            let id = message["id"].as_str().unwrap_or("-");
            let about = unit(message["unit"].as_str().unwrap_or(&own));
            let (priority, number) = (&message["prio"], &message["inv"]);
            let line = format!("<{priority}>{about} #{number} {} {id} {fields:?}", text(message, "msg"));
            let time = |index: usize| message["t_ms"][index].as_u64().expect("a time");
            (about, time(0), time(1), line)
        })
        .collect();
    if expected["order"] == "per unit" {
        // Units side by side log in any order.
        mine.sort_by(|a, b| a.0.cmp(&b.0));
        theirs.sort_by(|a, b| a.0.cmp(&b.0));
    }
    for index in 0..mine.len().max(theirs.len()) {
        match (mine.get(index), theirs.get(index)) {
            (Some((_, at, mine)), Some((_, from, to, theirs))) if mine == theirs => {
                if at + TOLERANCE_MS < *from || *at > to + TOLERANCE_MS {
                    wrong.push(format!("message {index} at {at} ms, not {from}..{to}: {mine}"));
                }
            }
            (mine, theirs) => {
                let mine = mine.map_or("nothing", |(.., line)| line);
                let theirs = theirs.map_or("nothing", |(.., line)| line);
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
            let about = unit(message["unit"].as_str().unwrap_or(&own));
            let id = message["id"].as_str().unwrap_or("-");
            format!("<{}>{about} {} {id}", message["prio"], text(message, "msg"))
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
    for (ours, stream) in [(&printed.stdout, "out"), (&printed.stderr, "err")] {
        let ours = normal::printed(line, &ours.replace(DIR, "@DIR@"));
        // Those of a recording are normal but for the blanks of JSON.
        let theirs = normal::printed(line, command[stream].as_str().unwrap_or_default());
        if ours.trim_end() != theirs.trim_end() {
            let verb = line.split(" -p ").next().unwrap_or(line);
            wrong.push(format!("{verb}: (- we, + systemd)\n{}", differing_lines(&ours, &theirs)));
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
