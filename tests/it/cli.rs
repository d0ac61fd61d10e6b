//! `relapse run` from the outside: exit codes, what is printed where, what is kept.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use rstest::rstest;
use serde_json::Value;

/// A directory with scenario files, and one for the runs' own directories.
pub(crate) struct Shelf {
    directory: tempfile::TempDir,
}

impl Shelf {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("runs")).expect("a directory");
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    pub(crate) fn relapse(&self, arguments: &[&str]) -> Assert {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
        command.current_dir(self.directory.path()).env("TMPDIR", self.path("runs")).args(arguments).assert()
    }

    /// What is left where runs have their directories.
    pub(crate) fn left_over(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path("runs")).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
    }
}

pub(crate) fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).expect("UTF-8")
}

pub(crate) fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).expect("UTF-8")
}

pub(crate) fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:.200}"))).collect()
}

pub(crate) fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// A scenario of one console block and one claim.
pub(crate) fn document(title: &str, console: &str, claim: &str) -> String {
    format!(
        "# {title}\n\n```toml scenario\nkind = \"behaviour\"\nclock = 2026-01-16T12:00:00\n```\n\n\
         ```console\n{console}\n```\n\n```expect\n{claim}\n```\n"
    )
}

const QUIET: &str = "always port 9999 owner = none for 1s";

fn good() -> String {
    document("Good", "$ echo good\ngood", QUIET)
}

/// Two servers want one port: a loop, a client, a log.
pub(crate) const LOOP: &str = r#"# Loop

```toml scenario
kind = "incident"
clock = 2026-01-16T12:00:00
client = { port = 8000, every = "1s" }
```

```toml program=uvicorn
path = "/home/app/bin/python"
startup = ["1s"]
log-file = "/home/app/logs/app.log"
on-start = ["recovery"]
```

```ini unit=app.service
[Service]
ExecStart=/home/app/bin/python -m uvicorn --port 8000
Restart=always
RestartSec=3
```

```console
$ /home/app/bin/python -m uvicorn --port 8000 >/dev/null 2>&1 &
```

```console after=2s
$ systemctl start app
```

```expect
3x log "recovery" every 4s .. 5s
always port 8000 owners = 1 for 10s
```
"#;

pub(crate) const FIX: &str = r#"# Nothing to fix

```toml scenario
kind = "fix"
extends = "loop.md"
```

```console
$ systemctl stop app
```

```expect
never start for 1min
```
"#;

fn extended(change: impl Fn(&str) -> String) -> [(&'static str, String); 2] {
    [("loop.md", change(LOOP)), ("fix.md", FIX.to_owned())]
}

#[test]
fn everything_holds_is_0() {
    let shelf = Shelf::new(&[("good.md", &good()), ("loop.md", LOOP)]);
    let assert = shelf.relapse(&["run", "good.md", "loop.md"]).code(0);
    assert_eq!(stdout(&assert), "", "text goes to standard error");
    assert!(stderr(&assert).contains("2 scenarios: 2 hold"), "{}", stderr(&assert));
    assert_eq!(shelf.left_over(), Vec::<PathBuf>::new());
}

#[rstest]
#[case::a_claim(document("Bad", "$ true", "eventually port 9 owner != none within 1s"), 1, "violated")]
#[case::an_output(document("Bad", "$ echo other\ngood", QUIET), 1, "violated")]
#[case::a_status(document("Bad", "$ false", QUIET), 1, "violated")]
#[case::a_budget(document("Bad", "$ sleep infinity", QUIET), 1, "violated")]
#[case::a_timer_of_its_own(document("Bad", "$ /usr/bin/../bin/sleep 60", QUIET), 3, "stalled")]
fn what_does_not_hold_has_its_exit_code(#[case] document: String, #[case] code: i32, #[case] verdict: &str) {
    let shelf = Shelf::new(&[("bad.md", &document), ("good.md", &good())]);
    let assert = shelf.relapse(&["run", "--format", "json", "bad.md", "good.md"]).code(code);
    let verdicts: Vec<Value> = objects(&stdout(&assert)).iter().map(|object| object["verdict"].clone()).collect();
    assert_eq!(verdicts, [verdict, "holds"]);
    assert_eq!(shelf.left_over(), Vec::<PathBuf>::new());
}

#[test]
fn an_incident_that_does_not_show_is_3() {
    let files = extended(|text| text.replace("Restart=always", "Restart=no"));
    let shelf = Shelf::new(&[(files[0].0, &files[0].1), (files[1].0, &files[1].1)]);
    let assert = shelf.relapse(&["run", "--format", "json", "fix.md"]).code(3);
    assert_eq!(objects(&stdout(&assert))[0]["verdict"], "setup-failed");
    // The incident itself is violated, and that is the finding.
    shelf.relapse(&["run", "fix.md", "loop.md"]).code(1);
}

#[rstest]
#[case::nothing(&[], "Usage: relapse")]
#[case::an_unknown_command(&["nonsense"], "unrecognized subcommand 'nonsense'")]
#[case::an_unknown_option(&["run", "--nonsense", "good.md"], "unexpected argument '--nonsense'")]
#[case::an_unknown_clock(&["run", "--clock", "sundial", "good.md"], "`sundial` is no clock, expected virtual, real or scaled:N")]
#[case::a_clock_too_fast(&["run", "--clock", "scaled:10001", "good.md"], "N of scaled:N is a whole number from 1 to 10000")]
#[case::a_clock_that_stands(&["run", "--clock", "scaled:0", "good.md"], "N of scaled:N is a whole number from 1 to 10000")]
#[case::an_unknown_format(&["run", "--format", "yaml", "good.md"], "[possible values: text, json, junit]")]
#[case::no_number(&["run", "-j", "many", "good.md"], "invalid value 'many'")]
#[case::a_missing_file(&["run", "good.md", "nowhere.md"], "error: nowhere.md: there is no such file or directory")]
#[case::a_directory_without_scenarios(&["run", "good.md", "empty"], "error: empty: there is no scenario (*.md) in this directory")]
#[case::no_default_directory(&["run"], "error: scenarios: there is no such file or directory")]
#[case::no_text(&["run", "latin.md"], "the file is not UTF-8 (byte 3)")]
fn usage_is_2_and_nothing_is_started(#[case] arguments: &[&str], #[case] message: &str) {
    let shelf = Shelf::new(&[("good.md", &good()), ("empty/README.md", "# Not a scenario\n")]);
    fs::write(shelf.path("latin.md"), b"# L\xe4rm\n").expect("a file");
    let assert = shelf.relapse(arguments).code(2);
    assert_eq!(stdout(&assert), "");
    assert!(stderr(&assert).contains(message), "{}", stderr(&assert));
    assert_eq!(shelf.left_over(), Vec::<PathBuf>::new());
}

#[test]
fn help_and_version_are_answers() {
    let shelf = Shelf::new(&[]);
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let assert = shelf.relapse(arguments).code(0);
        assert!(!stdout(&assert).is_empty() && stderr(&assert).is_empty(), "{arguments:?}");
    }
}

#[test]
fn several_runs_at_a_time_keep_to_one_processor_each_and_one_run_to_none() {
    let count = "$ grep -cE 'Cpus_allowed_list:.[0-9]+$' /proc/self/status";
    let one = document("One", &format!("{count}\n1"), QUIET);
    let shelf = Shelf::new(&[("a.md", &one), ("b.md", &one)]);
    shelf.relapse(&["run", "-j", "2", "a.md", "b.md"]).code(0);
    if relapse::sys::processors::usable().len() > 1 {
        shelf.relapse(&["run", "-j", "2", "a.md"]).code(1);
        shelf.relapse(&["run", "-j", "1", "a.md", "b.md"]).code(1);
    }
}

#[test]
fn what_a_command_prints_into_is_given_to_the_next_one_unless_somebody_still_has_it() {
    // A shell becomes its last command, with what that prints into.
    let file = "x=$(readlink /proc/$$/fd/1); f=$(cat first 2>&1)";
    let same = format!("$ {file}; [ \"$x\" = \"$f\" ] && echo same || echo another");
    let console = format!(
        "$ {file}; echo \"$x\" > first; echo some words\nsome words\n{same}\nsame\n\
         $ (sleep 5; echo late) &\n{same}\nanother\n$ sleep 10\n{same}\nsame\n{same}\nsame"
    );
    let shelf = Shelf::new(&[("a.md", &document("Streams", &console, QUIET))]);
    let run = shelf.relapse(&["run", "a.md"]);
    assert_eq!(run.get_output().status.code(), Some(0), "{}", stderr(&run));
}

#[test]
fn a_bad_document_is_shown_and_no_other_is_run() {
    let shelf = Shelf::new(&[
        ("a/good.md", &document("Good", "$ touch /home/x", QUIET)),
        ("a/typo.md", &good().replace("```console", "```consle")),
        ("a/claim.md", &document("Claim", "$ true", "never say never")),
    ]);
    let assert = shelf.relapse(&["run", "--artifacts", "kept", "a"]).code(2);
    let text = stderr(&assert);
    // Every bad document, not only the first: file, line, column, and a caret under the place.
    for place in ["--> a/typo.md:8:4", "--> a/claim.md:13:7"] {
        assert!(text.contains(place), "{place} is not in\n{text}");
    }
    assert_eq!(text.matches("error: ").count(), 2, "{text}");
    assert!(
        text.lines().filter(|line| line.trim_start().starts_with("| ") && line.contains('^')).count() == 2,
        "{text}"
    );
    assert_eq!(shelf.left_over(), Vec::<PathBuf>::new());
    assert!(!shelf.path("kept").exists());
}

#[test]
fn json_is_one_object_a_line_with_the_documented_keys() {
    let shelf = Shelf::new(&[("loop.md", LOOP), ("good.md", &good())]);
    let assert = shelf.relapse(&["run", "--format", "json", "loop.md", "good.md"]).code(0);
    let objects = objects(&stdout(&assert));
    assert_eq!(objects.len(), 2);
    let wanted = [
        "scenario",
        "title",
        "kind",
        "verdict",
        "clock",
        "manager",
        "profile",
        "incident_us",
        "wall_us",
        "claims",
        "loop",
        "outage",
        "aftermath",
        "artifacts",
    ];
    for object in &objects {
        assert_eq!(keys(object).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(wanted));
    }
    let (seen, quiet) = (&objects[0], &objects[1]);
    assert_eq!(
        [&seen["scenario"], &seen["title"], &seen["kind"], &seen["clock"], &seen["manager"], &seen["profile"]],
        ["loop.md", "Loop", "incident", "virtual", "embedded", "252"]
    );
    let claims = seen["claims"].as_array().expect("claims");
    assert_eq!(claims.len(), 2);
    assert_eq!(
        keys(&claims[0]).into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(["line", "text", "verdict", "decided_at"])
    );
    assert_eq!(claims[0]["text"], "3x log \"recovery\" every 4s .. 5s");
    assert_eq!(LOOP.lines().nth(claims[0]["line"].as_u64().expect("a line") as usize - 1), claims[0]["text"].as_str());
    let decided = claims[0]["decided_at"].as_u64().expect("a moment");
    assert!(decided > 1_768_564_800_000_000 && decided < 1_768_564_860_000_000, "incident time: {decided}");
    // A second of import, three of waiting, the 40 ms of the teardown, up to the next quarter.
    assert_eq!(
        seen["loop"]["period_us"],
        serde_json::json!({ "min": 4_250_000, "median": 4_250_000, "max": 4_250_000 })
    );
    assert!(seen["loop"]["cycles"].as_u64().is_some_and(|cycles| cycles >= 2));
    assert_eq!(
        keys(&seen["outage"]).into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(["us", "requests", "failed", "slow", "answered"])
    );
    assert_eq!([&quiet["loop"], &quiet["outage"], &quiet["artifacts"]], [&Value::Null; 3]);
}

#[test]
fn claims_of_an_extended_scenario_say_where_they_stand() {
    let files = extended(str::to_owned);
    let shelf = Shelf::new(&[(files[0].0, &files[0].1), (files[1].0, &files[1].1)]);
    let assert = shelf.relapse(&["run", "--format", "json", "fix.md"]).code(0);
    let documents: Vec<Value> = objects(&stdout(&assert))[0]["claims"]
        .as_array()
        .expect("claims")
        .iter()
        .map(|claim| claim["document"].clone())
        .collect();
    assert_eq!(documents, [Value::from("loop.md"), Value::from("loop.md"), Value::Null]);
}

#[test]
fn junit_is_one_document_with_a_case_a_scenario() {
    let shelf = Shelf::new(&[
        ("good.md", &good()),
        ("bad.md", &document("Bad <&> \"quoted\"", "$ echo '<other>'\ngood", QUIET)),
        ("stall.md", &document("Stall", "$ /usr/bin/../bin/sleep 60", QUIET)),
    ]);
    let assert = shelf.relapse(&["run", "--format", "junit", "good.md", "bad.md", "stall.md"]).code(1);
    let text = stdout(&assert);
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"), "{text}");
    let suite = text.lines().find(|line| line.contains("<testsuite ")).expect("a suite");
    for count in ["tests=\"3\"", "failures=\"1\"", "errors=\"1\""] {
        assert!(suite.contains(count), "{count} is not in {suite}");
    }
    assert_eq!(text.matches("<testcase ").count(), 3);
    assert!(
        text.contains("classname=\"good.md\"") && text.contains("name=\"Bad &lt;&amp;&gt; &quot;quoted&quot;\""),
        "{text}"
    );
    assert!(text.contains("&lt;other&gt;") && text.trim_end().ends_with("</testsuites>"), "{text}");
}

#[test]
fn one_or_four_at_a_time_print_the_same_in_the_order_of_the_files() {
    let mut files: Vec<(String, String)> = Vec::new();
    // The slow ones first: whoever ends first is not printed first.
    for n in 0..6 {
        let console = if n < 3 {
            "$ i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; date +%s\n1768564800"
        } else {
            "$ echo x\nx"
        };
        files.push((format!("all/{n}.md"), document(&format!("Number {n}"), console, QUIET)));
    }
    files.push(("all/z/loop.md".into(), LOOP.into()));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let shelf = Shelf::new(&files);
    let run = |jobs: &str, paths: &[&str]| {
        let mut arguments = vec!["run", "--format", "json", "-j", jobs];
        arguments.extend(paths);
        let mut objects = objects(&stdout(&shelf.relapse(&arguments).code(0)));
        for object in &mut objects {
            object["wall_us"] = Value::Null;
        }
        objects
    };
    let one = run("1", &["all"]);
    assert_eq!(one, run("4", &["all"]));
    let order: Vec<&str> = one.iter().filter_map(|object| object["scenario"].as_str()).collect();
    assert_eq!(order, ["all/0.md", "all/1.md", "all/2.md", "all/3.md", "all/4.md", "all/5.md", "all/z/loop.md"]);
    let named = run("4", &["all/z", "all/5.md", "all/0.md"]);
    let order: Vec<&str> = named.iter().filter_map(|object| object["scenario"].as_str()).collect();
    assert_eq!(order, ["all/z/loop.md", "all/5.md", "all/0.md"], "as they are named");
}

/// A title, prose, commands, outputs and log lines with what a terminal would obey.
#[test]
fn nothing_that_a_terminal_would_obey_is_printed() {
    let escape = "\u{1b}[31mred\u{1b}[0m \u{9b}2J \u{7} \u{202e}";
    let console = format!("$ printf '\\033[31mred\\007\\r\\n'; echo '{escape}'\nother {escape}");
    let violated = document(&format!("Title {escape}"), &console, QUIET);
    let bad = document(&format!("Title {escape}"), "$ true", &format!("never say {escape}"));
    let header = good().replace("kind = \"behaviour\"", &format!("kind = \"behaviour\" # {escape}\n{escape} = 1"));
    let shelf = Shelf::new(&[
        ("violated.md", &violated),
        ("bad.md", &bad),
        ("header.md", &header),
        ("names/\u{1b}[31m.md", &violated),
    ]);
    let runs: [(&[&str], i32); 6] = [
        (&["run", "violated.md"], 1),
        (&["run", "--format", "json", "violated.md"], 1),
        (&["run", "--format", "junit", "violated.md"], 1),
        (&["run", "bad.md", "header.md"], 2),
        (&["run", "names"], 1),
        (&["run", "\u{1b}[31mnowhere.md"], 2),
    ];
    for (arguments, code) in runs {
        let assert = shelf.relapse(arguments).code(code);
        for text in [stdout(&assert), stderr(&assert)] {
            let obeyed = text.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || *c == '\u{202e}');
            assert_eq!(obeyed, None, "{arguments:?}: {text:?}");
        }
    }
}
