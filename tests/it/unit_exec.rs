//! Command lines and environments against what systemd 252 really ran.

use std::collections::BTreeMap;

use relapse::unit::{self, LoadState, Profile, Unit, expand, parse_environment_file};
use serde_json::Value;

use crate::unit::{report, table, text};

fn pairs(value: &Value) -> Vec<(String, String)> {
    let object = value.as_object().expect("an object");
    object.iter().map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .map(|list| list.iter().map(|word| word.as_str().expect("text").to_owned()).collect())
        .unwrap_or_default()
}

#[test]
fn every_recorded_command_line_runs_the_programs_systemd_ran() {
    let table = table("exec_split");
    let env = pairs(&table["environment_of_unit"]);
    let rows = table["cases"].as_array().expect("cases");
    let mut failures = Vec::new();
    for row in rows {
        let id = text(row, "id");
        let file = format!("[Service]\nType=oneshot\nExecStart={}\n", text(row, "exec_start"));
        let unit = Unit::parse("exec.service", file, Profile::V252);
        let service = unit.service.as_ref().expect("a service");
        let loaded = unit.load_state == LoadState::Loaded;
        if loaded != row["ok"].as_bool().expect("ok") && row.get("load_state").is_some_and(|state| state != "loaded") {
            failures.push(format!("{id}: load state {}, {:?}", unit.load_state.as_str(), unit.warnings));
        }
        if let Some(state) = row.get("load_state")
            && state != unit.load_state.as_str()
        {
            failures.push(format!("{id}: load state wanted {state}, got {}", unit.load_state.as_str()));
        }
        if let Some(wanted) = row.get("commands") {
            let wanted: Vec<Vec<String>> = wanted.as_array().expect("commands").iter().map(strings).collect();
            let got: Vec<Vec<String>> = service
                .exec_start
                .iter()
                // One command of the table is there to be skipped.
                .filter(|command| command.path != "/bin/false")
                .map(|command| {
                    let argv = expand(command, &env);
                    // The recording program shows argv[0] only under its second name.
                    let first = usize::from(!command.path.ends_with("argv0"));
                    argv.into_iter().skip(first).collect()
                })
                .collect();
            if wanted != got {
                failures.push(format!("{id}: commands wanted {wanted:?}, got {got:?}"));
            }
        }
        if row.get("result").is_none() {
            let wanted = strings(&row["journal"]);
            let got: Vec<&str> = unit.warnings.iter().map(|warning| warning.text.as_str()).collect();
            if wanted != got {
                failures.push(format!("{id}: journal wanted {wanted:?}, got {got:?}"));
            }
        }
    }
    report(&failures, rows.len());
}

/// The environment as systemd would build it from settings and files.
fn environment(unit: &Unit, files: &BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    let service = unit.service.as_ref().expect("a service");
    let mut all: BTreeMap<String, String> = service.environment.iter().cloned().collect();
    for (path, _) in &service.environment_file {
        if let Some(content) = files.get(path.as_str()) {
            all.extend(parse_environment_file(content.as_bytes()));
        }
    }
    all
}

#[test]
fn every_recorded_environment_is_the_one_systemd_made() {
    let table = table("environment");
    let rows = table["cases"].as_array().expect("cases");
    let mut failures = Vec::new();
    for row in rows {
        let (kind, id, input) = (text(row, "kind"), text(row, "id"), text(row, "input"));
        let exec = "ExecStart=/bin/true\n";
        let files =
            BTreeMap::from([("/tmp/file.env", input), ("/tmp/ef0.env", "A=1\nB=2\n"), ("/tmp/ef1.env", "# c\nA=1\n")]);
        let content = match kind {
            "environment" => format!("[Service]\nType=oneshot\n{exec}Environment={input}\n"),
            "environment_file" => format!("[Service]\nType=oneshot\n{exec}EnvironmentFile=/tmp/file.env\n"),
            _ => format!("{input}{exec}"),
        };
        let unit = Unit::parse("env.service", content, Profile::V252);
        let got = environment(&unit, &files);
        if let Some(wanted) = row.get("env") {
            let wanted: BTreeMap<String, String> = pairs(wanted).into_iter().collect();
            if wanted != got {
                failures.push(format!("{kind} {id}: wanted {wanted:?}, got {got:?}"));
            }
        }
        let mut messages: Vec<String> = unit.warnings.iter().map(|warning| warning.text.clone()).collect();
        if kind == "environment_file" {
            let read = unit::environment::read_environment_file(input.as_bytes()).expect("readable");
            messages
                .extend(read.ignored.iter().map(|word| format!("Ignoring invalid environment assignment '{word}'")));
        }
        let mut wanted = strings(&row["journal"]);
        wanted.iter_mut().for_each(|line| line.truncate(line.find(": /tmp/").unwrap_or(line.len())));
        // A missing file is found out by whoever runs the service.
        if row["result"] != "resources" && wanted != messages {
            failures.push(format!("{kind} {id}: journal wanted {wanted:?}, got {messages:?}"));
        }
    }
    report(&failures, rows.len());
}
