//! `systemd-escape` as a command of the incident: row by row what the real one answered.

use relapse::Scenario;
use serde_json::Value;

use crate::lockstep::options;
use crate::unit::{report, table, text};

/// A word as the shell takes it literally.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What each of many commands printed to standard output and standard error, and its exit code.
fn typed(commands: &[Vec<String>]) -> Vec<(String, String, i32)> {
    let lines: String = commands
        .iter()
        .map(|words| {
            let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            format!(
                "systemd-escape {} >out 2>err; code=$?; cat out; printf '~|'; cat err; printf '~|%s~;' $code\n",
                line.join(" ")
            )
        })
        .collect();
    let document = format!(
        "# Typed\n\n```toml scenario\nkind = \"behaviour\"\nclock = 2026-01-16T12:00:00\ndirectory = \"/home/op\"\n```\n\n\
         ```sh file=/home/op/script\n{lines}```\n\n```console\n$ sh script\n...\n```\n\n\
         ```expect\nalways port 9 owner = none for 1s\n```\n"
    );
    let scenario = Scenario::parse("typed.md", &document)
        .unwrap_or_else(|error| panic!("{}", error.render(relapse::expect::Style::Plain)));
    let run = scenario.record(&options()).expect("the run begins");
    let answers = run.outputs.first().map(|output| output.text.clone()).unwrap_or_default();
    let mut answers: Vec<&str> = answers.split("~;").collect();
    answers.pop();
    let parts = |answer: &str| {
        let parts: Vec<&str> = answer.split("~|").collect();
        let [stdout, stderr, code] = parts[..] else { panic!("{answer:?}") };
        (stdout.to_owned(), stderr.to_owned(), code.parse().expect("an exit code"))
    };
    answers.into_iter().map(parts).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn every_row_of_the_escape_table_comes_out_of_the_command() {
    let table = table("unit_name_escape");
    // What to type, what to print (`None`: nothing), and which error.
    let mut rows: Vec<(Vec<String>, Option<String>, Option<String>)> = Vec::new();
    let value = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
    for row in table["escape"].as_array().expect("escape") {
        let input = text(row, "input");
        rows.push((words(&["--", input]), value(row, "escape"), None));
        rows.push((words(&["--path", "--", input]), value(row, "path"), None));
    }
    for row in table["unescape"].as_array().expect("unescape") {
        let input = text(row, "input");
        rows.push((words(&["-u", "--", input]), value(row, "unescape"), value(row, "unescape_error")));
        rows.push((words(&["-u", "--path", "--", input]), value(row, "path"), value(row, "path_error")));
    }
    for row in table["mangle"].as_array().expect("mangle") {
        rows.push((words(&["--mangle", "--", text(row, "input")]), value(row, "mangled"), None));
    }
    for row in table["template"].as_array().expect("template") {
        let template = format!("--template={}", text(row, "template"));
        let error = value(row, "stderr").filter(|error| !error.is_empty());
        rows.push((words(&[&template, "--", text(row, "input")]), value(row, "output"), error));
    }
    let answers = typed(&rows.iter().map(|(words, ..)| words.clone()).collect::<Vec<_>>());
    assert_eq!(answers.len(), rows.len());
    let mut failures = Vec::new();
    for ((words, wanted, error), (stdout, stderr, code)) in rows.iter().zip(&answers) {
        let good = match wanted {
            Some(wanted) => *stdout == format!("{wanted}\n") && *code == 0,
            None => stdout.is_empty() && *code == 1 && !stderr.is_empty(),
        };
        let said = error.as_ref().is_none_or(|error| *stderr == format!("{error}\n"));
        if !good || !said {
            failures.push(format!("{words:?}: wanted {wanted:?} {error:?}, got {stdout:?} {stderr:?} {code}"));
        }
    }
    report(&failures, rows.len());
}

#[test]
fn every_recorded_use_of_the_command_gives_the_same_output_errors_and_exit_code() {
    let table = table("systemd_escape_252");
    let cases = table["cases"].as_array().expect("cases");
    let args = |case: &Value| -> Vec<String> {
        case["args"].as_array().expect("words").iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let answers = typed(&cases.iter().map(args).collect::<Vec<_>>());
    assert_eq!(answers.len(), cases.len());
    let mut failures = Vec::new();
    for (case, (stdout, stderr, code)) in cases.iter().zip(&answers) {
        let wanted = (text(case, "stdout"), text(case, "stderr"), case["code"].as_i64());
        if wanted != (stdout.as_str(), stderr.as_str(), Some(i64::from(*code))) {
            failures.push(format!("{}: wanted {wanted:?}, got {stdout:?} {stderr:?} {code}", case["args"]));
        }
    }
    report(&failures, cases.len());
}

#[test]
fn a_unit_may_run_it_by_its_path() {
    let unit = "[Service]\nType=oneshot\nExecStart=/usr/bin/systemd-escape --suffix=service 'a b'\n";
    let document = format!(
        "# Unit\n\n```toml scenario\nkind = \"behaviour\"\nclock = 2026-01-16T12:00:00\n```\n\n```ini unit=x.service\n{unit}```\n\n\
         ```console\n$ systemctl start x; journalctl -u x -o cat --no-pager\nStarting x.service...\na\\x20b.service\n\
         x.service: Deactivated successfully.\nFinished x.service.\n```\n\n```expect\nalways port 9 owner = none for 1s\n```\n"
    );
    let outcome = crate::lockstep::run(&document, options());
    let shown = relapse::report::text(&outcome, relapse::expect::Style::Plain);
    assert_eq!(outcome.verdict, relapse::Verdict::Holds, "{shown}");
}
