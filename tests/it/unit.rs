//! Unit files read as systemd 252 read them, from the recorded tables.

use std::collections::BTreeSet;

use relapse::unit::{Errno, LoadState, Profile, Restart, Unit, Warning};
use serde_json::Value;

pub(crate) fn table(name: &str) -> Value {
    let path = format!("{}/fixtures/systemd/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no text {key} in {row}"))
}

/// Fails with all the rows that differ, not with the first.
pub(crate) fn report(failures: &[String], rows: usize) {
    assert!(rows > 0, "an empty table proves nothing");
    assert!(failures.is_empty(), "{} of {rows} rows differ:\n{}", failures.len(), failures.join("\n"));
}

fn journal_line(unit: &str, warning: &Warning) -> String {
    let message = warning.message().replace(&format!("/etc/systemd/system/{unit}"), "FILE");
    let message = match message.strip_prefix(unit) {
        Some(rest) => format!("UNIT{rest}"),
        None => message,
    };
    format!("<{}> {message}", warning.priority)
}

/// Lists whose order is that of a hash table.
fn same(key: &str, wanted: &str, got: &str) -> bool {
    if matches!(key, "After" | "Before" | "Requires" | "Wants" | "Conflicts") {
        wanted.split(' ').collect::<BTreeSet<_>>() == got.split(' ').collect()
    } else {
        wanted == got
    }
}

#[test]
fn every_recorded_unit_file_gives_the_properties_and_messages_systemd_gave() {
    let table = table("unit_file_parse");
    let rows = table["cases"].as_array().expect("cases");
    let mut failures = Vec::new();
    for row in rows {
        let id = text(row, "id");
        let name = format!("pj-{id}.service");
        let content: Vec<u8> = match text(row, "encoding") {
            "latin1" => text(row, "unit_file").chars().map(|c| u8::try_from(u32::from(c)).expect("latin1")).collect(),
            _ => text(row, "unit_file").into(),
        };
        let unit = Unit::parse(&name, content, Profile::V252);
        for (key, wanted) in row["show"].as_object().expect("show") {
            // What the watchdog will be is known only when the service runs.
            let got = if key == "WatchdogUSec" { Some("infinity".into()) } else { unit.property(key) };
            if !got.as_deref().is_some_and(|got| same(key, wanted.as_str().expect("text"), got)) {
                failures.push(format!("{id}: {key}: wanted {wanted}, got {got:?}"));
            }
        }
        let wanted: Vec<&str> =
            row["journal"].as_array().expect("journal").iter().map(|line| line.as_str().expect("text")).collect();
        let got: Vec<String> = unit.warnings.iter().map(|warning| journal_line(&name, warning)).collect();
        if wanted != got {
            failures.push(format!("{id}: journal: wanted {wanted:#?}, got {got:#?}"));
        }
    }
    report(&failures, rows.len());
}

/// Settings of the table whose values nothing here depends on, and which are not all checked.
const OPAQUE: &[&str] = &[
    "CPUWeight=",
    "MemoryMax=",
    "ReadWritePaths=",
    "CoredumpFilter=",
    "IOSchedulingClass=",
    "IOSchedulingPriority=",
    "CPUSchedulingPolicy=",
    "CPUSchedulingPriority=",
    "CPUAffinity=",
    "TimerSlackNSec=",
    "RuntimeDirectory=",
    "StateDirectory=",
    "Delegate=",
    "TasksMax=",
    "RequiresMountsFor=",
    "IPTOS=",
    "SocketProtocol=",
    "Timestamping=",
];

#[test]
fn what_is_said_of_a_unit_has_the_error_number_that_systemd_gave_it() {
    let table = table("errno_252");
    let rows = table["cases"].as_array().expect("cases");
    let mut failures = Vec::new();
    let mut numbers = BTreeSet::new();
    for row in rows {
        let unit = Unit::parse(text(row, "name"), text(row, "text"), Profile::V252);
        let said = row["said"].as_array().expect("what was said");
        for warning in &unit.warnings {
            let number = warning.errno.map_or(0, Errno::number);
            numbers.insert(number);
            if !said.iter().any(|pair| pair[0] == number && pair[1] == warning.text) {
                failures.push(format!("{row}: {number} {}", warning.text));
            }
        }
        let opaque = OPAQUE.iter().any(|key| text(row, "text").contains(key));
        if unit.warnings.is_empty() != (said.is_empty() || opaque) {
            failures.push(format!("{row}: wanted {said:?}, got {:?}", unit.warnings));
        }
    }
    assert_eq!(numbers, [0, 8, 22, 34, 57, 84].into(), "every number of the table is met");
    report(&failures, rows.len());
}

/// The unit file of the incident report, whose comments after values make systemd ignore them.
#[test]
fn the_reported_unit_never_restarts_because_of_its_inline_comments() {
    let text = "[Unit]\nDescription=Lumiera\n[Service]\nExecStart=/bin/true\n\
                Restart=always          # Auto-restart on real crashes\nRestartSec=10          # Wait before restart\n";
    let messages = |profile| {
        let unit = Unit::parse("lumiera-whatsapp.service", text, profile);
        let service = unit.service.as_ref().expect("a service");
        assert_eq!(unit.load_state, LoadState::Loaded);
        assert_eq!(service.restart, Restart::No);
        assert_eq!(service.restart_sec.to_string(), "100ms");
        unit.warnings.iter().map(|warning| journal_line("lumiera-whatsapp.service", warning)).collect::<Vec<_>>()
    };
    assert_eq!(
        messages(Profile::V252),
        [
            "<4> FILE:5: Failed to parse service restart specifier, ignoring: always          # Auto-restart on real \
             crashes",
            "<4> FILE:6: Failed to parse sec value, ignoring: 10          # Wait before restart",
        ]
    );
    assert_eq!(
        messages(Profile::V257),
        [
            "<4> FILE:5: Failed to parse Restart=always          # Auto-restart on real crashes, ignoring: Invalid \
             argument",
            "<4> FILE:6: Failed to parse RestartSec=10          # Wait before restart, ignoring: Invalid argument",
        ]
    );
}
