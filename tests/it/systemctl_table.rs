//! `systemctl`'s exit codes, row by row of `fixtures/systemd/systemctl_exit_codes.json`, and the recorded incident.

use relapse::ctl::UnitProcess;
use relapse::journal::Record;
use relapse::manager::{JobResult, Reply, RequestError, RequestErrorKind};
use relapse::time::{IncidentTime, Span};
use relapse::unit::Profile;
use serde_json::Value;

use crate::systemctl_stage::{BOOT, Recorded, Stage, clock};

const V252: Profile = Profile::V252;
const V257: Profile = Profile::V257;

fn in_state(active: &str, sub: &str) -> Stage {
    Stage::at("16:48:00").unit("x.service", &format!("ActiveState={active}\nSubState={sub}"))
}

fn unknown() -> Stage {
    Stage::at("16:48:00").shown("Id=x.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead")
}

fn refused(kind: RequestErrorKind, message: &str) -> Stage {
    in_state("inactive", "dead").refuses(kind, message)
}

fn ending(result: &str, job: JobResult) -> Stage {
    Stage::at("16:48:00").unit("x.service", &format!("Result={result}")).jobs_end([job])
}

fn unit_files(lines: &[&str]) -> Stage {
    let reply = Reply::UnitFiles(lines.iter().map(|line| (*line).to_owned()).collect());
    in_state("inactive", "dead").replies([reply])
}

/// The command lines that stand for a row, each with the machine it is typed on.
fn commands(verb: &str, case: &str) -> Vec<(&'static str, Stage, Profile)> {
    use RequestErrorKind as Kind;
    let files = |states: &[&str]| -> Vec<(&'static str, Stage, Profile)> {
        states
            .iter()
            .map(|state| ("systemctl is-enabled x", Stage::at("16:48:00").file("x.service", state), V252))
            .collect()
    };
    let one = |command: &'static str, stage: Stage| vec![(command, stage, V252)];
    match (verb, case) {
        ("status", "active / reloading unit") => vec![
            ("systemctl status x", in_state("active", "running"), V252),
            ("systemctl status x", in_state("reloading", "reload"), V252),
        ],
        ("status", "inactive, failed, activating (incl. auto-restart), deactivating") => vec![
            ("systemctl status x", in_state("inactive", "dead"), V252),
            ("systemctl status x", in_state("failed", "failed"), V252),
            ("systemctl status x", in_state("activating", "auto-restart"), V252),
            ("systemctl status x", in_state("deactivating", "stop-sigterm"), V252),
        ],
        ("status", "not found") => one("systemctl status x", unknown()),
        ("status", "several units: first non-zero code (failed + unknown)") => {
            one("systemctl status x nosuch", in_state("failed", "failed"))
        }
        ("is-active", "any listed unit active or reloading") => vec![
            ("systemctl is-active nosuch x", in_state("active", "running"), V252),
            ("systemctl is-active x", in_state("reloading", "reload"), V257),
        ],
        ("is-active", "none active") => vec![
            ("systemctl is-active x", unknown(), V252),
            ("systemctl is-active x", in_state("activating", "auto-restart"), V257),
        ],
        ("is-active", "all unknown") => vec![("systemctl is-active x", unknown(), V257)],
        ("is-failed", "any listed unit failed") => one("systemctl is-failed x nosuch", in_state("failed", "failed")),
        ("is-failed", "none failed") => vec![
            ("systemctl is-failed x", in_state("activating", "auto-restart"), V252),
            ("systemctl is-failed x", unknown(), V252),
        ],
        ("is-failed", "all unknown") => vec![("systemctl is-failed x", unknown(), V257)],
        ("is-enabled", "enabled, enabled-runtime, static, alias, indirect, generated") => {
            files(&["enabled", "enabled-runtime", "static", "alias", "indirect", "generated"])
        }
        ("is-enabled", "disabled, masked, masked-runtime, linked, transient, bad") => {
            files(&["disabled", "masked", "masked-runtime", "linked", "transient", "bad"])
        }
        ("is-enabled", "unknown unit, 252") => one("systemctl is-enabled x", unknown()),
        ("is-enabled", "unknown unit, 257") => vec![("systemctl is-enabled x", unknown(), V257)],
        ("start", "job done") => one("systemctl start x", in_state("inactive", "dead")),
        ("start", "already active") => one("systemctl start x", in_state("active", "running")),
        ("start", "job failed/timeout/dependency/assert/canceled") => {
            let results =
                [JobResult::Failed, JobResult::Timeout, JobResult::Dependency, JobResult::Assert, JobResult::Canceled];
            results.map(|result| ("systemctl start x", ending("exit-code", result), V252)).into()
        }
        ("start", "unit not found") => one("systemctl start x", refused(Kind::NoSuchUnit, "Unit x.service not found.")),
        ("start", "masked") => one("systemctl start x", refused(Kind::Masked, "Unit x.service is masked.")),
        ("start", "bad-setting") => {
            one("systemctl start x", refused(Kind::LoadFailed, "Unit x.service has a bad unit file setting."))
        }
        ("start", "RefuseManualStart") => {
            one("systemctl start x", refused(Kind::OnlyByDependency, "Operation refused, unit x.service may be"))
        }
        ("start", "simple service whose process dies at once") => {
            one("systemctl start x", ending("exit-code", JobResult::Done))
        }
        ("stop", "any loaded state incl. inactive and failed") => vec![
            ("systemctl stop x", in_state("inactive", "dead"), V252),
            ("systemctl stop x", in_state("failed", "failed"), V252),
        ],
        ("stop", "not loaded") => one("systemctl stop x", refused(Kind::NoSuchUnit, "Unit x.service not loaded.")),
        ("restart", "not found") => one("systemctl restart x", refused(Kind::NoSuchUnit, "Unit x.service not found.")),
        ("reload", "unit has no ExecReload") => one(
            "systemctl reload x",
            refused(Kind::JobTypeNotApplicable, "Job type reload is not applicable for unit x.service."),
        ),
        ("reload", "inactive") => one("systemctl reload x", ending("success", JobResult::Invalid)),
        ("reload", "ExecReload failed") => one("systemctl reload x", ending("success", JobResult::Failed)),
        ("kill", "loaded") => one("systemctl kill x", in_state("inactive", "dead")),
        ("kill", "not loaded") => one("systemctl kill x", refused(Kind::NoSuchUnit, "Unit x.service not loaded.")),
        ("kill", "bad signal") => one("systemctl kill -s BOGUS x", in_state("active", "running")),
        ("reset-failed", "loaded or no argument") => vec![
            ("systemctl reset-failed x", in_state("failed", "failed"), V252),
            ("systemctl reset-failed", in_state("failed", "failed"), V252),
        ],
        ("reset-failed", "not loaded") => {
            one("systemctl reset-failed x", refused(Kind::NoSuchUnit, "Unit x.service not loaded."))
        }
        ("cat", "found") => {
            let mut stage = Stage::at("16:48:00").unit("x.service", "FragmentPath=/etc/systemd/system/x.service");
            stage.files.insert("/etc/systemd/system/x.service", "[Service]\n");
            one("systemctl cat x", stage)
        }
        ("cat", "unknown") => one("systemctl cat x", unknown()),
        ("show", "always") => {
            vec![("systemctl show x", unknown(), V252), ("systemctl show x", in_state("failed", "failed"), V257)]
        }
        ("enable", "unit file exists") => one("systemctl enable x", unit_files(&["Created symlink A → B."])),
        ("enable", "no [Install]") => one("systemctl enable x", unit_files(&["The unit files have no"])),
        ("enable", "unknown") => {
            one("systemctl enable x", refused(Kind::Failed, "Unit file x.service does not exist."))
        }
        ("enable", "masked") => one("systemctl enable x", refused(Kind::Failed, "Unit file P is masked.")),
        ("disable", "exists") => one("systemctl disable x", unit_files(&["Removed \"P\"."])),
        ("disable", "unknown") => {
            one("systemctl disable x", refused(Kind::Failed, "Unit file x.service does not exist."))
        }
        ("mask", "vendor unit") => {
            one("systemctl mask x", unit_files(&["Created symlink /etc/systemd/system/x.service → /dev/null."]))
        }
        ("mask", "regular file already in /etc") => {
            one("systemctl mask x", refused(Kind::Failed, "File P already exists."))
        }
        ("unmask", "masked") => one("systemctl unmask x", unit_files(&["Removed \"P\"."])),
        ("unmask", "not masked") => one("systemctl unmask x", unit_files(&[])),
        ("daemon-reload", "") => one("systemctl daemon-reload", unknown()),
        ("list-units", "") => one("systemctl list-units", unknown()),
        ("(unknown verb)", "") => one("systemctl V", unknown()),
        ("start (no unit)", "") => one("systemctl start", unknown()),
        other => panic!("no command for the row {other:?}"),
    }
}

#[test]
fn every_row_of_the_exit_codes_holds() {
    let table: Value = serde_json::from_str(include_str!("../../fixtures/systemd/systemctl_exit_codes.json"))
        .expect("the table is JSON");
    let rows = table["rows"].as_array().expect("rows");
    assert!(rows.len() >= 48, "the table has its rows");
    let mut wrong = Vec::new();
    for row in rows {
        let text = |key: &str| row[key].as_str().expect("text");
        let (verb, case) = (text("verb"), text("case"));
        for (command, mut stage, profile) in commands(verb, case) {
            let got = Recorded::from(stage.run(command, profile).0);
            if u64::from(got.code) != row["exit"].as_u64().expect("exit") {
                wrong.push(format!("{verb}, {case}: {command} gives {}, not {}", got.code, row["exit"]));
            }
            // The notes name the unit X; of a text that goes on they give the beginning.
            let Some(words) = text("note").strip_prefix("stderr: ").filter(|note| !note.starts_with("long")) else {
                continue;
            };
            let stderr = got.stderr.replace("x.service", "X");
            for part in words.split(" + ") {
                if !stderr.contains(part.trim_end_matches(", ...")) {
                    wrong.push(format!("{verb}, {case}: {command} prints {stderr:?} without {part:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const UNIT: &str = "lumiera-whatsapp.service";
const CMDLINE: &str = "/home/ceeai/whatsapp_api/venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000";

/// The machine of the recorded incident at the moment of `status`, whose first line is the time.
fn incident(show: &str, status: &str) -> (Stage, Recorded) {
    let (time, rest) = status.split_once('\n').expect("a first line");
    let (stdout, code) = rest.rsplit_once("rc=").expect("an exit code");
    let span = Span::parse(time).expect("seconds since 1970");
    let mut stage = Stage::default().shown(show);
    stage.now = IncidentTime::from_micros(span.as_micros());
    stage.machine.hostname = "vm".to_owned();
    for line in include_str!("../../fixtures/logs/incident.journal.json").lines() {
        let record = Record::from_json(line).expect("a recorded line is a record");
        if record.realtime <= stage.now {
            stage.journal.append(record);
        }
    }
    if let Some(pid) = rest.split("Main PID: ").nth(1).and_then(|pid| pid.split(' ').next()) {
        let process =
            UnitProcess { pid: pid.parse().expect("a PID"), comm: "python".to_owned(), cmdline: CMDLINE.to_owned() };
        if rest.contains("CGroup") {
            stage.processes.insert(UNIT.to_owned(), vec![process]);
        }
    }
    let code = code.trim().parse().expect("an exit code");
    (stage, Recorded { stdout: stdout.to_owned(), stderr: String::new(), code })
}

/// `show` was typed a moment after `status`, so the CPU time in it is a little more.
fn with_cpu(mut stage: Stage, nanoseconds: &str) -> Stage {
    for (key, value) in stage.units.get_mut(UNIT).expect("the unit") {
        if *key == "CPUUsageNSec" {
            *value = nanoseconds.to_owned();
        }
    }
    stage
}

#[test]
fn the_loop_looks_as_it_was_recorded_while_it_waits() {
    let (mut stage, want) = incident(
        include_str!("../../fixtures/logs/incident/cycle1-autorestart.show.txt"),
        include_str!("../../fixtures/logs/incident/cycle1-autorestart.status.txt"),
    );
    assert_eq!(stage.machine.boot, IncidentTime::from_micros(BOOT));
    assert_eq!(Recorded::from(stage.run("systemctl status lumiera-whatsapp", V252).0), want);
    assert_answers(&mut stage, include_str!("../../fixtures/logs/incident/cycle1-autorestart.is.txt"));
}

#[test]
fn the_doomed_attempt_looks_healthy_as_it_was_recorded() {
    let (stage, want) = incident(
        include_str!("../../fixtures/logs/incident/cycle1-running.show.txt"),
        include_str!("../../fixtures/logs/incident/cycle1-running.status.txt"),
    );
    let mut stage = with_cpu(stage, "1337000000");
    assert_eq!(Recorded::from(stage.run("systemctl status lumiera-whatsapp", V252).0), want);
    assert_answers(&mut stage, include_str!("../../fixtures/logs/incident/cycle1-running.is.txt"));
}

#[test]
fn the_healed_service_looks_as_it_was_recorded() {
    let (stage, want) = incident(
        include_str!("../../fixtures/logs/incident/fixed.show.txt"),
        include_str!("../../fixtures/logs/incident/fixed.status.txt"),
    );
    let mut stage = with_cpu(stage, "3835000000");
    for line in include_str!("../../fixtures/logs/incident/fixed.journal.txt").lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let [time, host, who, message] = words[..] else { panic!("not a line of a journal: {line}") };
        let at = clock(&time[11..26]);
        let (ident, pid) = who.trim_end_matches("]:").split_once('[').expect("a PID");
        if at <= stage.now {
            let record = Record::new(at, stage.machine.boot)
                .with("_BOOT_ID", stage.machine.boot_id.as_str())
                .with("_HOSTNAME", host)
                .with("SYSLOG_IDENTIFIER", ident)
                .with("_PID", pid)
                .with("_SYSTEMD_UNIT", UNIT)
                .with("MESSAGE", message);
            stage.journal.append(record);
        }
    }
    assert_eq!(Recorded::from(stage.run("systemctl status lumiera-whatsapp", V252).0), want);
    assert_answers(&mut stage, include_str!("../../fixtures/logs/incident/fixed.is.txt"));
}

/// The recordings of the short answers: what came out, then the command and its exit code, then two lists.
fn assert_answers(stage: &mut Stage, recording: &str) {
    let lines: Vec<&str> = recording.lines().collect();
    let mut answers = Vec::new();
    let machine = std::mem::take(stage).file(UNIT, "enabled");
    *stage = machine;
    for pair in lines.chunks(2).take(4) {
        let (command, code) = pair[1].trim_start_matches("  ^ ").split_once(" rc=").expect("a command and a code");
        let command = command.trim_start_matches("systemctl ");
        let unit = if command == "is-system-running" { "" } else { "lumiera-whatsapp" };
        let got = Recorded::from(stage.run(format!("systemctl {command} {unit}").trim(), V252).0);
        answers.push((got.stdout, got.code.to_string()));
        assert_eq!(answers.last(), Some(&(format!("{}\n", pair[0]), code.to_owned())), "systemctl {command}");
    }
    assert_eq!(answers.len(), 4, "four short answers are recorded");
    let units = Recorded::from(stage.run("systemctl list-units --no-legend --all lumiera*", V252).0);
    assert_eq!(units.stdout, format!("{}\n", lines[8]));
    let jobs = Recorded::from(stage.run("systemctl list-jobs", V252).0);
    assert_eq!(jobs.stdout, format!("{}\n", lines[9]));
}

#[test]
fn showing_a_recorded_unit_gives_the_recording_back() {
    let show = include_str!("../../fixtures/logs/incident/fixed.show.txt");
    let mut stage = Stage::default().shown(show);
    let got = Recorded::from(stage.run("systemctl show lumiera-whatsapp", V252).0);
    assert_eq!(got.stdout, show);
    let some = Recorded::from(stage.run("systemctl show lumiera-whatsapp -p NRestarts,Result --value", V252).0);
    assert_eq!(some.stdout, "success\n9\n", "in the manager's order, not in the order asked");
}

#[test]
fn a_refused_unit_file_change_does_not_reload_or_start_anything() {
    let refusal = RequestError::new(RequestErrorKind::Failed, "Unit file x.service does not exist.");
    let mut stage = unknown().replies([Reply::Error(refusal)]);
    let (output, requests) = stage.run("systemctl enable --now x", V252);
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(output.code, 1);
}

#[test]
fn every_state_of_a_unit_file_is_what_systemd_252_said_of_the_same_tree() {
    let table: Value = serde_json::from_str(include_str!("../../fixtures/systemd/unit_file_state_252.json"))
        .expect("the table is JSON");
    let mut files = relapse::unit::Files::default();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    for (path, content) in table["files"].as_object().expect("files") {
        files.insert(path, text(content));
    }
    for (path, target) in table["links"].as_object().expect("links") {
        files.symlink(path, text(target));
    }
    let rows = table["rows"].as_array().expect("rows");
    assert!(rows.len() >= 60, "the table has its rows");
    let mut stage = Stage { files, ..Stage::at("16:48:00") };
    let mut wrong = Vec::new();
    for row in rows {
        let unit = text(&row["unit"]);
        let got = Recorded::from(stage.run(&format!("systemctl is-enabled {unit}"), V252).0);
        // What the real one logged while reading the file goes to the journal here.
        let stderr = text(&row["stderr"]).lines().last().unwrap_or_default().to_owned();
        let stderr = if stderr.starts_with("Failed") { format!("{stderr}\n") } else { String::new() };
        let state = row["state"].as_str().map(|state| format!("{state}\n")).unwrap_or_default();
        if got.stdout != state || got.stderr != stderr || u64::from(got.code) != row["code"].as_u64().expect("code") {
            wrong.push(format!("{unit}: systemd says {state:?} {stderr:?} {}, we say {got:?}", row["code"]));
        }
    }
    let listed = Recorded::from(stage.run("systemctl list-unit-files --no-legend", V252).0).stdout;
    let listed: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    let want: Vec<Vec<&str>> = serde_json::from_value::<Vec<Vec<String>>>(table["listed"].clone())
        .expect("pairs")
        .into_iter()
        .map(|pair| pair.into_iter().map(|word| &*word.leak()).collect())
        .collect();
    for (ours, theirs) in listed.iter().zip(&want) {
        if ours != theirs {
            wrong.push(format!("listed: systemd says {theirs:?}, we say {ours:?}"));
        }
    }
    assert_eq!(listed.len(), want.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
