//! What `relapse run` keeps of a run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cli::{LOOP, Shelf, objects, stdout};

#[test]
fn artifacts_are_whole_and_know_nothing_of_the_host() {
    let shelf = Shelf::new(&[("some/loop.md", LOOP)]);
    let assert = shelf.relapse(&["run", "--format", "json", "--artifacts", "kept", "some/loop.md"]).code(0);
    let kept = PathBuf::from(objects(&stdout(&assert))[0]["artifacts"].as_str().expect("a directory"));
    assert_eq!(kept, Path::new("kept/some-loop"));
    let file = |name: &str| shelf.read(&kept.join(name).to_string_lossy());

    let timeline = objects(&file("timeline.jsonl"));
    assert!(timeline.len() > 50);
    let mut last = 0;
    for event in &timeline {
        let at = event["at"].as_u64().expect("a moment");
        assert!(at >= last, "in order: {event}");
        last = at;
        assert!(event["event"].is_string(), "{event}");
    }
    for kind in [
        "command",
        "command-ended",
        "start",
        "log",
        "listening",
        "refused",
        "exit",
        "journal",
        "restart-in",
        "request",
        "properties",
    ] {
        assert!(timeline.iter().any(|event| event["event"] == kind), "there is an event {kind}");
    }

    let journal = objects(&file("journal.jsonl"));
    for record in &journal {
        for field in [
            "__CURSOR",
            "__REALTIME_TIMESTAMP",
            "__MONOTONIC_TIMESTAMP",
            "_BOOT_ID",
            "_HOSTNAME",
            "_PID",
            "_TRANSPORT",
            "PRIORITY",
            "SYSLOG_IDENTIFIER",
            "MESSAGE",
        ] {
            assert!(record[field].is_string(), "{field} is in {record}");
        }
    }
    let message =
        |text: &str| journal.iter().find(|record| record["MESSAGE"] == text).unwrap_or_else(|| panic!("{text}"));
    let scheduled = message("app.service: Scheduled restart job, restart counter is at 1.");
    assert_eq!(
        [
            &scheduled["MESSAGE_ID"],
            &scheduled["UNIT"],
            &scheduled["N_RESTARTS"],
            &scheduled["_TRANSPORT"],
            &scheduled["_PID"]
        ],
        ["5eb03494b6584870a536b337290809b3", "app.service", "1", "journal", "1"]
    );
    let line = message("INFO:     Application startup complete.");
    assert_eq!(
        [&line["_SYSTEMD_UNIT"], &line["SYSLOG_IDENTIFIER"], &line["_TRANSPORT"], &line["PRIORITY"]],
        ["app.service", "python", "stdout", "6"]
    );

    let log = file("app.log");
    assert_eq!(log.lines().next(), Some("2026-01-16 12:00:01 | recovery"));
    assert!(log.lines().count() > 3 && log.lines().all(|line| line.ends_with(" | recovery")), "{log}");

    let runs = shelf.path("runs");
    for name in ["timeline.jsonl", "journal.jsonl", "console.log", "app.log"] {
        let text = file(name);
        for secret in [runs.to_string_lossy().as_ref(), "relapse-", "/tmp/", "RELAPSE_"] {
            assert!(!text.contains(secret), "{name} contains {secret}");
        }
    }
    let ports: BTreeSet<u64> = timeline.iter().filter_map(|event| event["port"].as_u64()).collect();
    assert_eq!(ports, BTreeSet::from([8000]));
    assert_eq!(shelf.left_over(), Vec::<PathBuf>::new());
}

#[test]
fn two_runs_keep_the_same_artifacts() {
    let shelf = Shelf::new(&[("loop.md", LOOP)]);
    for directory in ["one", "two"] {
        shelf.relapse(&["run", "--artifacts", directory, "loop.md"]).code(0);
    }
    for name in ["timeline.jsonl", "journal.jsonl", "console.log", "app.log"] {
        assert_eq!(shelf.read(&format!("one/loop/{name}")), shelf.read(&format!("two/loop/{name}")), "{name}");
    }
}
