//! What `detect` answers, against what is expected.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value};

/// The documented keys of an answer and of a loop, in their order.
const ANSWER: [&str; 3] = ["input", "verdict", "loops"];
const LOOP: [&str; 9] = ["subject", "signature", "starts", "first", "last", "period_us", "periodic", "cause", "ended"];

fn args(expected: &Value) -> Vec<String> {
    let args = expected["args"].as_array().map(Vec::as_slice).unwrap_or_default();
    args.iter().filter_map(|arg| arg.as_str().map(str::to_owned)).collect()
}

/// `detect` on a file.
///
/// # Errors
///
/// Says what differs.
pub fn file(path: &Path, expected: &Value) -> Result<(), String> {
    let run = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["detect", "--format", "json"])
        .args(args(expected))
        .arg(path)
        .stdin(Stdio::null())
        .output();
    judge(&run.expect("detect ran"), &path.display().to_string(), expected)
}

/// `detect` on its standard input.
///
/// # Errors
///
/// Says what differs.
pub fn bytes(input: &[u8], expected: &Value) -> Result<(), String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["detect", "--format", "json"])
        .args(args(expected))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("detect ran");
    let mut stdin = child.stdin.take().expect("a pipe");
    // Its answer is one line: the pipe takes it while this one is still being filled.
    let written = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    written.map_err(|error| format!("  it did not read its input: {error}"))?;
    judge(&output, "-", expected)
}

fn judge(output: &Output, name: &str, expected: &Value) -> Result<(), String> {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = if expected["verdict"] == "loop" { 1 } else { 0 };
    if stdout.lines().count() != 1 {
        return Err(format!("  expected one line, {}\n{stdout}{stderr}", output.status));
    }
    let found: Value = serde_json::from_str(&stdout).map_err(|error| format!("  {error}: {stdout}"))?;
    let mut wrong = Vec::new();
    if output.status.code() != Some(code) {
        wrong.push(format!("  exit {} where {code} was expected", output.status));
    }
    if found["input"] != name {
        wrong.push(format!("  input is {}", found["input"]));
    }
    if found["verdict"] != expected["verdict"] {
        wrong.push(format!("  verdict is {}", found["verdict"]));
    }
    if let Err(error) = in_order(&stdout) {
        wrong.push(format!("  {error}"));
    }
    wrong.extend(loops(&found["loops"], &expected["loops"]));
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n  found {found}", wrong.join("\n"))) }
}

/// The documented keys come first and in their order: a map in memory has forgotten it, so the text is looked at.
fn in_order(text: &str) -> Result<(), String> {
    let (answer, loops) = text.split_once("\"loops\":").ok_or("no loops")?;
    let mut at = 0;
    for key in &ANSWER[..2] {
        at += answer[at..].find(&format!("\"{key}\":")).ok_or_else(|| format!("{key} is not where it belongs"))?;
    }
    for entry in loops.split("{\"subject\":").skip(1) {
        let mut at = 0;
        for key in &LOOP[1..] {
            at += entry[at..].find(&format!("\"{key}\":")).ok_or_else(|| format!("{key} is not where it belongs"))?;
        }
    }
    Ok(())
}

fn subject(entry: &Value) -> String {
    entry
        .get("subject")
        .or_else(|| entry.get("subject_contains"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn loops(found: &Value, expected: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (mut found, mut expected) = (list(found), list(expected));
    let mut wrong = Vec::new();
    if found.len() != expected.len() {
        let names = |list: &[Value]| list.iter().map(subject).collect::<Vec<_>>().join(", ");
        let (found, expected) = (names(&found), names(&expected));
        wrong.push(format!("  loops of {found:?} where those of {expected:?} were expected"));
        return wrong;
    }
    // In which order several loops are listed is not promised.
    found.sort_by_key(subject);
    expected.sort_by_key(subject);
    for (found, expected) in found.iter().zip(&expected) {
        let (Some(found), Some(expected)) = (found.as_object(), expected.as_object()) else {
            wrong.push("  a loop that is no object".to_owned());
            continue;
        };
        wrong.extend(LOOP.iter().filter(|key| !found.contains_key(**key)).map(|key| format!("  no {key}")));
        wrong.extend(entry(found, expected));
    }
    wrong
}

fn entry(found: &Map<String, Value>, expected: &Map<String, Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, wanted) in expected {
        let there = found.get(key).unwrap_or(&Value::Null);
        let agrees = match (key.as_str(), wanted.as_object()) {
            ("subject_contains", _) => {
                let there = found.get("subject").and_then(Value::as_str).unwrap_or_default();
                there.contains(wanted.as_str().unwrap_or_default()) && there.trim() == there
            }
            ("period_us", Some(wanted)) => wanted.iter().all(|(name, value)| there.get(name) == Some(value)),
            _ => there == wanted,
        };
        if !agrees {
            let there = if key == "subject_contains" { found.get("subject").unwrap_or(there) } else { there };
            wrong.push(format!("  {key} is {there} where {wanted} was expected"));
        }
    }
    wrong
}
