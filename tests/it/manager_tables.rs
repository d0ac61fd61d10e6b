//! The manager against the measured tables: restart matrix, start limit, restart delays, states.

use relapse::manager::{JobResult, JobVerb, RateLimit, ServiceState, restart_delay};
use relapse::time::{IncidentTime, Span};
use relapse::unit::{Profile, Service};
use serde_json::Value;

use crate::manager::Rig;
use crate::unit::{report, table, text};

/// The unit that ends the way a row of the matrix is called; what it takes until then.
fn unit_of(cause: &str) -> (String, &'static str) {
    let plain = |script: &str| format!("ExecStart=/bin/sh -c '{script}'\n");
    let sleep = "ExecStart=/bin/sleep 1000\n";
    let unit = match cause {
        "exit-0" => plain("exit 0"),
        "exit-1" => plain("exit 1"),
        "exit-143" => plain("exit 143"),
        "SIGHUP" => plain("kill -HUP $$$$"),
        "SIGINT" => plain("kill -INT $$$$"),
        "SIGTERM" => plain("kill -TERM $$$$"),
        "SIGPIPE" => format!("IgnoreSIGPIPE=no\n{}", plain("kill -PIPE $$$$")),
        "SIGKILL" => plain("kill -KILL $$$$"),
        "SIGUSR1" => plain("kill -USR1 $$$$"),
        "SIGSEGV(core off)" => plain("kill -SEGV $$$$"),
        "SIGABRT(core on)" => plain("dump"),
        "exec-missing(203)" => "ExecStart=/nonexistent/program\n".to_owned(),
        "chdir-missing(200)" => format!("WorkingDirectory=/nonexistent\n{sleep}"),
        "user-missing(217)" => format!("User=nobodyknows\n{sleep}"),
        "start-timeout" => format!("Type=notify\nTimeoutStartSec=300ms\n{sleep}"),
        "runtime-max" => format!("RuntimeMaxSec=300ms\n{sleep}"),
        "watchdog" => format!("WatchdogSec=300ms\n{sleep}"),
        "pre-fails(exit 1)" => format!("ExecStartPre=/bin/false\n{sleep}"),
        "condition-skip" => format!("ExecCondition=/bin/false\n{sleep}"),
        "condition-255" => format!("ExecCondition=/bin/sh -c 'exit 255'\n{sleep}"),
        "protocol(notify exits 0)" => format!("Type=notify\n{}", plain("exit 0")),
        other => panic!("unknown cause {other}"),
    };
    (unit, "700ms")
}

#[test]
fn every_cause_and_every_restart_setting_end_as_they_did_on_real_systemd() {
    let matrix = table("restart_matrix");
    let rows = matrix["rows"].as_object().expect("rows");
    let mut failures = Vec::new();
    let mut count = 0;
    for (cause, row) in rows {
        let (settings, until) = unit_of(cause);
        for (restart, restarted) in row["restarted"].as_object().expect("settings") {
            count += 1;
            let unit = format!(
                "[Service]\nRestart={restart}\nRestartSec=1min\n{settings}[Install]\nWantedBy=multi-user.target\n"
            );
            let mut rig = Rig::new(&[("a.service", &unit)]);
            rig.keep("a.service");
            rig.start("a.service");
            rig.run(until);
            let restarted = restarted.as_bool().expect("a flag");
            let result = text(row, "result");
            let end = match (restarted, result) {
                (true, _) => "activating/auto-restart",
                (false, "success" | "exec-condition") => "inactive/dead",
                (false, _) => "failed/failed",
            };
            let want = format!("{end}/{result} {} {}", row["exec_main_code"], row["exec_main_status"]);
            let code = rig.show("a.service", "ExecMainCode");
            let status = rig.show("a.service", "ExecMainStatus");
            let got = format!("{} {code} {status}", rig.state("a.service"));
            if got != want {
                failures.push(format!("{cause} with Restart={restart}: {got}, not {want}"));
            }
        }
    }
    assert_eq!(count, 21 * 7);
    report(&failures, count);
}

#[test]
fn a_fixed_window_counts_starts_as_the_table_says() {
    let start_limit = table("start_limit");
    let cases = start_limit["cases"].as_array().expect("cases");
    let micros = |seconds: &Value| Span::from_micros((seconds.as_f64().expect("seconds") * 1e6).round() as u64);
    let mut failures = Vec::new();
    for case in cases {
        let mut limit = RateLimit::default();
        let boot = IncidentTime::from_micros(1);
        let interval = micros(&case["interval_s"]);
        let burst = case["burst"].as_u64().and_then(|burst| u32::try_from(burst).ok()).expect("a burst");
        let starts = case["start_times_s"].as_array().expect("starts");
        let got: Vec<bool> = starts.iter().map(|at| limit.allow(boot + micros(at), interval, burst)).collect();
        let want: Vec<bool> =
            case["allowed"].as_array().expect("answers").iter().map(|allowed| allowed == &Value::Bool(true)).collect();
        if got != want {
            failures.push(format!("{}: {got:?}, not {want:?}", text(case, "name")));
        }
    }
    report(&failures, cases.len());
}

#[test]
fn restart_delays_grow_as_the_table_says() {
    let steps = table("restart_steps");
    let cases = steps["cases"].as_array().expect("cases");
    let mut failures = Vec::new();
    for case in cases {
        let number = |key: &str| case[key].as_u64();
        let config = Service {
            restart_sec: Span::from_micros(number("RestartUSec").expect("a span")),
            restart_steps: number("RestartSteps").and_then(|steps| u32::try_from(steps).ok()).expect("steps"),
            restart_max_delay_sec: number("RestartMaxDelayUSec").map_or(Span::INFINITY, Span::from_micros),
            ..Service::default()
        };
        let want = case["delay_usec_for_restart_number"].as_array().expect("delays");
        for (index, want) in want.iter().enumerate() {
            let restart = u32::try_from(index + 1).expect("a number");
            let got = restart_delay(&config, restart).as_micros();
            if Some(got) != want.as_u64() {
                failures.push(format!("{case}: restart {restart} after {got} us"));
            }
        }
    }
    report(&failures, cases.len());
}

#[test]
fn delays_of_real_257_double_from_300_ms_to_2400_ms() {
    let config = Service {
        restart_sec: Span::from_millis(300),
        restart_steps: 3,
        restart_max_delay_sec: Span::from_millis(2400),
        ..Service::default()
    };
    let delays: Vec<u64> = (1..=5).map(|number| restart_delay(&config, number).as_micros()).collect();
    assert_eq!(delays, [300_000, 600_000, 1_200_000, 2_400_000, 2_400_000]);
    // However many steps someone asks for, the answer is there at once and grows.
    let config = Service { restart_steps: u32::MAX, ..config };
    let delays: Vec<Span> = [1, 2, u32::MAX / 2, u32::MAX].map(|number| restart_delay(&config, number)).into();
    assert!(delays.is_sorted() && delays[0] == Span::from_millis(300), "{delays:?}");
}

/// States that no service here ever enters, and why.
const NO_STATE: &[(&str, &str)] = &[
    ("refresh-extensions", "since 258, while extension images are mounted anew: there are no images"),
    ("refresh-credentials", "since 261, while credentials are read anew: there are none"),
    ("mounting", "since 257, while `systemctl mount-image` is at it: there are no images"),
    ("cleaning", "while directories are removed for `systemctl clean`: StateDirectory= and its siblings make none"),
];

#[test]
fn every_state_of_a_service_maps_to_the_active_state_of_the_table() {
    let rows = table("service_states");
    let rows = rows.as_array().expect("rows");
    let mut failures = Vec::new();
    for row in rows {
        let name = text(row, "sub_state");
        let Some(state) = ServiceState::ALL.iter().find(|state| state.as_str() == name) else {
            failures.push(format!("{name} is no state"));
            continue;
        };
        for (idle, key) in [(false, "active_state"), (true, "type_idle")] {
            if state.active(idle).as_str() != text(row, key) {
                failures.push(format!("{name}: {}, not {}", state.active(idle).as_str(), text(row, key)));
            }
        }
    }
    assert_eq!(rows.len(), ServiceState::ALL.len(), "every state is in the table");
    report(&failures, rows.len());
}

#[test]
fn a_state_that_is_never_entered_stands_in_no_order_to_enter_it() {
    let orders: Vec<String> = ["mod", "phases", "ended", "kill", "notify", "store", "timeouts", "main_pid"]
        .map(|file| std::fs::read_to_string(format!("harness/manager/service/{file}.rs")).expect("a source"))
        .iter()
        .flat_map(|source| source.split(';'))
        .filter(|statement| statement.contains("set_state(") || statement.contains("enter_signal("))
        .map(str::to_owned)
        .collect();
    let entered = |name: &str| {
        let variant = format!("{:?}", ServiceState::ALL.iter().find(|state| state.as_str() == name).expect("a state"));
        orders.iter().any(|order| order.contains(&format!("ServiceState::{variant}")))
    };
    assert!(entered("reload-post") && entered("stop-sigterm"), "orders are found");
    for (name, reason) in NO_STATE {
        assert!(!entered(name), "{name} is entered, but was given up since {reason}");
    }
}

/// From 259 on; what is known of it is the source's, no run's.
#[test]
fn a_reload_is_done_when_exec_reload_post_is() {
    for (post, result, says) in
        [("/bin/true", "done", "Reloaded a.service."), ("/bin/false", "failed", "Reload failed for a.service.")]
    {
        let unit = format!(
            "[Service]\nExecStart=/bin/sleep 1000\nExecReload=/bin/true\nExecReloadPost=/bin/sleep 1\nExecReloadPost={post}\n"
        );
        let mut rig = Rig::with(Profile::V260, &[("a.service", &unit)]);
        rig.start("a.service");
        rig.job(JobVerb::Reload, "a.service");
        rig.run("500ms");
        assert_eq!(rig.show("a.service", "SubState"), "reload-post", "{post}");
        assert_eq!(rig.show("a.service", "ActiveState"), "reloading", "{post}");
        rig.run("1s");
        assert_eq!(rig.show("a.service", "SubState"), "running", "{post}");
        assert_eq!(rig.result_of("a.service").map(JobResult::as_str), Some(result), "{post}");
        assert!(rig.log.iter().any(|(_, message)| message.text == says), "{post}: {:?}", rig.log);
    }
}

/// Starts and refusals of a unit that ends at once, per profile and start limit.
#[test]
fn the_default_limit_refuses_the_sixth_quick_start_and_only_then() {
    for (profile, program, result) in [
        (Profile::V252, "/bin/false", "exit-code"),
        (Profile::V252, "/bin/true", "start-limit-hit"),
        (Profile::V257, "/bin/false", "exit-code"),
        (Profile::V260, "/bin/false", "start-limit-hit"),
    ] {
        let unit = format!("[Service]\nExecStart={program}\nRestart=always\nRestartSec=100ms\n");
        let mut rig = Rig::with(profile, &[("a.service", &unit)]);
        rig.start("a.service");
        rig.run("20s");
        assert_eq!(rig.starts.len(), 5, "{profile:?} {program}");
        assert_eq!(rig.state("a.service"), format!("failed/failed/{result}"), "{profile:?} {program}");
        assert_eq!(rig.show("a.service", "NRestarts"), "5", "the counter is raised before the refusal");
        assert_eq!(rig.result_of("a.service"), Some(JobResult::Failed));
    }
}

#[test]
fn a_loop_slower_than_interval_by_burst_is_never_limited() {
    for (delay, limited) in [("1750ms", true), ("2s", false)] {
        // Each start is on the grid, so the period is the delay and what is left of a quarter of a second.
        let unit = format!("[Service]\nExecStart=/bin/sh -c 'sleep 0.2; exit 1'\nRestart=always\nRestartSec={delay}\n");
        let mut rig = Rig::new(&[("a.service", &unit)]);
        rig.start("a.service");
        rig.run("2min");
        assert_eq!(rig.times("repeated too quickly").len(), usize::from(limited), "RestartSec={delay}");
    }
}

#[test]
fn reset_failed_and_a_reload_of_the_manager_open_the_window_again() {
    let unit = "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=100ms\n";
    for (request, restarts) in [
        (relapse::manager::Request::ResetFailed { unit: Some("a.service".into()) }, "0"),
        (relapse::manager::Request::DaemonReload, "5"),
    ] {
        let mut rig = Rig::new(&[("a.service", unit)]);
        rig.start("a.service");
        rig.run("3s");
        rig.forget();
        rig.start("a.service");
        assert_eq!(rig.result_of("a.service"), Some(JobResult::Failed));
        assert!(rig.starts.is_empty());
        rig.ask(request);
        assert_eq!(rig.show("a.service", "NRestarts"), restarts);
        rig.start("a.service");
        assert_eq!(rig.starts.len(), 1);
    }
}

/// What reading a unit cannot tell: rows of the unit language's tables that end with a result.
#[test]
fn rows_that_only_a_run_decides_end_as_recorded() {
    let mut failures = Vec::new();
    let mut count = 0;
    let (exec, environment) = (table("exec_split"), table("environment"));
    let exec = exec["cases"].as_array().expect("cases").iter().filter(|row| row.get("result").is_some());
    let missing = environment["cases"].as_array().expect("cases").iter().filter(|row| row["result"] == "resources");
    let units = exec
        .map(|row| (row, format!("[Service]\nType=oneshot\nExecStart={}\n", text(row, "exec_start"))))
        .chain(missing.map(|row| (row, format!("{}ExecStart=/bin/true\n", text(row, "input")))));
    for (row, unit) in units {
        count += 1;
        let mut rig = Rig::new(&[("a.service", &unit)]);
        rig.start("a.service");
        rig.run("1s");
        let (id, result) = (text(row, "id"), text(row, "result"));
        let state = rig.state("a.service");
        if state != format!("failed/failed/{result}") {
            failures.push(format!("{id}: {state}, not {result}"));
        }
        let journal = rig.journal("a.service");
        for line in row["journal"].as_array().expect("lines").iter().filter_map(Value::as_str) {
            let line = line.split(": /tmp/").next().unwrap_or_default();
            if !journal.iter().any(|said| said.ends_with(&format!("a.service: {line}"))) {
                failures.push(format!("{id}: {journal:#?} without {line}"));
            }
        }
    }
    assert_eq!(count, 3);
    report(&failures, count);
}
